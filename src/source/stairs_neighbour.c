/* SPDX-License-Identifier: MIT */
/*
 * The step NEIGHBOUR: whether the next hop tells its link address (ARP, RFC 826; Neighbour
 * Discovery, RFC 4861), and whether only one machine does (RFC 5227).
 */
#include "source/stairs_step.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "wire/icmp.h"
#include "wire/ip.h"

void stairs_ask_neighbours(struct stairs *s)
{
	tap_open(&s->tap, s->o->target.port);
	for (unsigned i = 0; i < s->calls; i++) {
		const struct stairs_call *c = &s->call[i];

		if (!c->has_hop || !c->route.has_source)
			continue;
		tap_ask(&s->tap, &c->link, &c->route.source, &c->hop, false);
		tap_ask(&s->tap, &c->link, &c->route.source, &c->route.source, true);
	}
}

/*
 * The kernel soon forgets a neighbour that failed; but it said so, and our own question was not
 * answered either.
 */
static bool was_forgotten(const struct stairs *s, const struct stairs_call *c)
{
	const struct stairs_icmp *icmp = &c->icmp;
	const struct tap_claim *claim = tap_claim_of(&s->tap, &c->hop, c->link.ifindex);

	return c->has_hop && !c->has_neighbour && c->outcome == STAIRS_BY_ICMP && icmp->has_from &&
	       cpl_addr_equal(&icmp->from, &c->local) && claim && !claim->n &&
	       (icmp->ip6 ? icmp->type == ICMP6_UNREACHABLE && icmp->code == ICMP6_DST_UNREACH_ADDR
			  : icmp->type == ICMP4_UNREACHABLE && icmp->code == ICMP_HOST_UNREACH);
}

void stairs_see_neighbours(struct stairs *s)
{
	uint64_t waited = (stairs_now() - s->call[0].began) / 1000000;

	/* Who is slower than the first must have its chance to answer. */
	if (s->tap.claims && waited < STAIRS_ARP_MS)
		poll(NULL, 0, STAIRS_ARP_MS - (int)waited);
	for (unsigned i = 0; i < s->calls; i++) {
		struct stairs_call *c = &s->call[i];

		c->has_neighbour =
			c->has_hop && rt_neighbour(c->link.ifindex, &c->hop, &c->neighbour) == 0;
		/* Its state says more than the error that it led to. */
		if (c->outcome != STAIRS_OPEN && c->outcome != STAIRS_REFUSED && c->has_neighbour &&
		    (c->neighbour.state & (NUD_FAILED | NUD_INCOMPLETE)))
			c->outcome = STAIRS_NO_HOP;
	}
	tap_read(&s->tap, s->call, s->calls, s->o->target.port);
	for (unsigned i = 0; i < s->calls; i++) {
		if (!was_forgotten(s, &s->call[i]))
			continue;
		s->call[i].outcome = STAIRS_NO_HOP;
		s->call[i].neighbour.state = NUD_FAILED;
	}
}

static const char *state_name(uint16_t state)
{
	return state & NUD_PERMANENT		 ? "set by hand"
	       : state & NUD_REACHABLE		 ? "reachable"
	       : state & NUD_NOARP		 ? "needs none"
	       : state & (NUD_DELAY | NUD_PROBE) ? "being asked again"
	       : state & NUD_STALE		 ? "not asked lately"
	       : state & NUD_FAILED		 ? "failed"
	       : state & NUD_INCOMPLETE		 ? "no answer yet"
						 : "unknown";
}

static struct view_word mac_word(const uint8_t *mac, unsigned len)
{
	return len == 6 ? word_format("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
				      mac[3], mac[4], mac[5])
			: word_format("its link address");
}

static bool duplicate(struct stairs *s, const struct tap_claim *claim)
{
	const struct stairs_call *c = s->best;
	/* One machine with two interfaces on one link may answer twice: not certain. */
	struct view_finding *f = stairs_find(s, VIEW_FINDING_duplicate_address, VIEW_DERIVED);
	struct view_word first = mac_word(claim->mac[0], 6), second = mac_word(claim->mac[1], 6);

	view_finding_say(f, "%u machines on %s answer for %s: %s and %s", claim->n, c->link.name,
			 word_addr(&c->hop).s, first.s, second.s);
	if (c->has_neighbour && c->neighbour.mac_len == 6)
		view_finding_say(f, "packets go to %s now",
				 mac_word(c->neighbour.mac, c->neighbour.mac_len).s);
	view_diagnosis_step(s->d, VIEW_STEP_NEIGHBOUR, VIEW_STEP_FAILS,
			    "%u machines answer for %s: %s, %s", claim->n, word_addr(&c->hop).s,
			    first.s, second.s);
	return false;
}

/* ---- No answer ------------------------------------------------------------------------------- */

/*
 * A host that is off and one that is behind a router look alike. The mask is suspect where the
 * prefix is shorter than usual, the destination is outside the usual prefix around our own address,
 * and a gateway is inside.
 */
static bool mask_is_suspect(const struct stairs_call *c, struct rt_route *far)
{
	bool ip4 = cpl_addr_is4(&c->addr);
	unsigned usual = ip4 ? 24 : 64;
	/* Documentation addresses (RFC 5737, 3849): only a default route leads there. */
	struct cpl_addr away = cpl_addr4(192, 0, 2, 1);

	if (!ip4)
		away = (struct cpl_addr){ { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
	return !c->route.has_gateway && c->route.has_source && c->route.has_prefix &&
	       c->route.prefix < usual && c->route.prefix &&
	       rt_common_prefix(&c->addr, &c->route.source) < usual && !rt_route(&away, 0, far) &&
	       !far->error && far->has_gateway &&
	       rt_common_prefix(&far->gateway, &c->route.source) >= usual;
}

static bool silent(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	struct view_word hop = word_addr(&c->hop);
	const char *how = cpl_addr_is4(&c->hop) ? "ARP" : "neighbour discovery";
	struct rt_route far;
	bool suspect = mask_is_suspect(c, &far);
	struct view_finding *f =
		stairs_find(s, suspect ? VIEW_FINDING_wrong_netmask : VIEW_FINDING_neighbour_silent,
			    suspect ? VIEW_GUESS : VIEW_CERTAIN);

	view_finding_say(f, "%s does not answer on %s (%s: %s)", hop.s, c->link.name, how,
			 state_name(c->neighbour.state));
	if (suspect) {
		view_finding_say(f, "this machine is %s/%u, so %s counts as on the same link",
				 word_addr(&c->route.source).s, c->route.prefix, hop.s);
		view_finding_say(f, "a gateway is there that was not asked: %s",
				 word_addr(&far.gateway).s);
	} else if (c->route.has_gateway) {
		view_finding_say(f, "it is the gateway to %s", word_addr(&c->addr).s);
	}
	view_diagnosis_step(s->d, VIEW_STEP_NEIGHBOUR, VIEW_STEP_FAILS,
			    "%s%s does not answer on %s",
			    c->route.has_gateway ? "the gateway " : "", hop.s, c->link.name);
	return false;
}

bool stairs_neighbour(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	const struct tap_claim *claim =
		c->has_hop ? tap_claim_of(&s->tap, &c->hop, c->link.ifindex) : NULL;

	if (c->routed && !c->has_hop) {
		view_diagnosis_step(s->d, VIEW_STEP_NEIGHBOUR, VIEW_STEP_NEEDLESS,
				    c->route.type == RTN_LOCAL ? "none: it is this machine"
							       : "none: the link needs no address");
		return true;
	}
	if (claim && claim->n > 1)
		return duplicate(s, claim);
	if (c->outcome == STAIRS_NO_HOP)
		return silent(s);
	if (c->has_hop && s->tap.fd < 0)
		view_diagnosis_unseen(s->d, "whether another machine has the same address: needs "
					    "root");
	if (!c->routed) {
		view_diagnosis_step(s->d, VIEW_STEP_NEIGHBOUR, VIEW_STEP_NOT_SEEN,
				    "the kernel's neighbours could not be read");
		return true;
	}
	if (!c->has_neighbour) {
		view_diagnosis_step(s->d, VIEW_STEP_NEIGHBOUR, VIEW_STEP_NOT_SEEN,
				    "the kernel has no entry for %s", word_addr(&c->hop).s);
		return true;
	}
	view_diagnosis_step(s->d, VIEW_STEP_NEIGHBOUR, VIEW_STEP_HOLDS, "%s is at %s (%s)",
			    word_addr(&c->hop).s,
			    mac_word(c->neighbour.mac, c->neighbour.mac_len).s,
			    state_name(c->neighbour.state));
	return true;
}
