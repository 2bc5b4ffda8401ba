/* SPDX-License-Identifier: MIT */
/*
 * The steps ADDRESS and ROUTE: what kind of address it is, whether this machine has one of that
 * family, and where the kernel sends packets for it (rtnetlink(7)).
 */
#include "source/stairs_step.h"

#include <errno.h>
#include <string.h>
#include <net/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>

#include "wire/ip.h"

/* net/if.h has it not, linux/if.h cannot stand beside it. */
#define LOWER_UP (1u << 16)

static void route_one(struct stairs_call *c)
{
	c->routed = rt_route(&c->addr, c->scope, &c->route) == 0;
	if (!c->routed || c->route.error)
		return;
	c->linked = c->route.ifindex && rt_link(c->route.ifindex, &c->link) == 0;
	c->has_hop = c->linked && c->route.type == RTN_UNICAST &&
		     !(c->link.flags & (IFF_LOOPBACK | IFF_NOARP | IFF_POINTOPOINT));
	c->hop = c->route.has_gateway ? c->route.gateway : c->addr;
}

void stairs_routes(struct stairs *s)
{
	s->calls = s->name.n;
	for (unsigned i = 0; i < s->calls; i++) {
		s->call[i].fd = -1;
		s->call[i].addr = s->name.addr[i];
		s->call[i].scope = s->name.scope[i];
		route_one(&s->call[i]);
	}
	s->best = &s->call[0];
}

/* ---- Our own addresses ----------------------------------------------------------------------- */

struct addresses {
	const struct stairs_call *call;
	unsigned of_family;	/* beyond loopback and, of IPv6, the link's own */
	bool duplicate;		/* the source address was found in use by another (RFC 4862 5.4) */
	bool covered;		/* one has a prefix that holds the destination */
	struct rt_address best; /* shares most bits with the destination */
	unsigned best_bits;
};

static int look_at_address(void *arg, const struct rt_address *a)
{
	struct addresses *all = arg;
	const struct cpl_addr *to = &all->call->addr;
	unsigned bits = rt_common_prefix(&a->addr, to);

	if (cpl_addr_is4(&a->addr) != cpl_addr_is4(to) || addr_is_loopback(&a->addr))
		return 0;
	if (a->scope != RT_SCOPE_LINK)
		all->of_family++;
	if ((a->flags & IFA_F_DADFAILED) &&
	    (!all->call->route.has_source || all->call->route.error ||
	     cpl_addr_equal(&a->addr, &all->call->route.source)))
		all->duplicate = true;
	if (bits >= a->prefix)
		all->covered = true;
	if (bits >= all->best_bits) {
		all->best_bits = bits;
		all->best = *a;
	}
	return 0;
}

static struct addresses own_addresses(const struct stairs_call *c, bool *known)
{
	struct addresses all = { .call = c };

	*known = rt_addresses(look_at_address, &all) == 0;
	return all;
}

/* ---- ADDRESS --------------------------------------------------------------------------------- */

static bool not_for_tcp(struct stairs *s, const char *what)
{
	struct view_word addr = word_addr(&s->best->addr);
	struct view_finding *f = stairs_find(s, VIEW_FINDING_no_route, VIEW_CERTAIN);

	view_finding_say(f, "%s is %s: a connection leads to one host only", addr.s, what);
	snprintf(f->next, sizeof(f->next), "Call the address of the host itself.");
	view_diagnosis_step(s->d, VIEW_STEP_ADDRESS, VIEW_STEP_FAILS, "%s is %s", addr.s, what);
	return false;
}

static bool no_family(struct stairs *s)
{
	int family = cpl_addr_is4(&s->best->addr) ? 4 : 6;
	struct view_finding *f = stairs_find(s, VIEW_FINDING_no_route, VIEW_CERTAIN);

	view_finding_say(f, "%s is an IPv%d address and this machine has none but loopback%s",
			 word_addr(&s->best->addr).s, family,
			 family == 6 ? " and link-local ones" : "");
	snprintf(
		f->next, sizeof(f->next),
		"Call the host by its IPv%d address (curl -%d), or give this machine one of IPv%d.",
		10 - family, 10 - family, family);
	view_diagnosis_step(s->d, VIEW_STEP_ADDRESS, VIEW_STEP_FAILS,
			    "%s is an IPv%d address and this machine has none",
			    word_addr(&s->best->addr).s, family);
	return false;
}

/* Another machine claims our own address. */
static bool own_duplicate(struct stairs *s, bool by_kernel)
{
	const struct stairs_call *c = s->best;
	const struct tap_claim *claim =
		c->route.has_source ? tap_claim_of(&s->tap, &c->route.source, c->link.ifindex)
				    : NULL;
	struct view_finding *f;

	if (!by_kernel && !(claim && claim->n))
		return false;
	f = stairs_find(s, VIEW_FINDING_duplicate_address, VIEW_CERTAIN);
	if (by_kernel)
		view_finding_say(f, "the kernel found this machine's own address in use by "
				    "another machine and does not use it (ip addr: dadfailed)");
	else
		view_finding_say(f,
				 "this machine's own address %s on %s is claimed by another: "
				 "%02x:%02x:%02x:%02x:%02x:%02x answers for it",
				 word_addr(&c->route.source).s, c->link.name, claim->mac[0][0],
				 claim->mac[0][1], claim->mac[0][2], claim->mac[0][3],
				 claim->mac[0][4], claim->mac[0][5]);
	view_diagnosis_step(s->d, VIEW_STEP_ADDRESS, VIEW_STEP_FAILS,
			    "this machine's own address is used by another one, too");
	return true;
}

static void address_holds(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	struct view_word addr = word_addr(&c->addr);
	const char *kind = "";

	if (addr_is_any(&c->addr))
		kind = "stands for this machine itself, when called";
	else if (addr_is_loopback(&c->addr))
		kind = "is loopback: this machine itself";
	else if (c->routed && !c->route.error && c->route.type == RTN_LOCAL)
		kind = "is this machine's own";
	else if (addr_is_link_local(&c->addr))
		kind = "is link-local: of a host on the same link";
	if (*kind)
		view_diagnosis_step(s->d, VIEW_STEP_ADDRESS, VIEW_STEP_HOLDS, "%s %s", addr.s,
				    kind);
	else if (c->route.has_source && !c->route.error)
		view_diagnosis_step(s->d, VIEW_STEP_ADDRESS, VIEW_STEP_HOLDS,
				    "%s is another host's; called from %s", addr.s,
				    word_addr(&c->route.source).s);
	else
		view_diagnosis_step(s->d, VIEW_STEP_ADDRESS, VIEW_STEP_HOLDS,
				    "%s is another host's", addr.s);
}

bool stairs_address(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	struct addresses own;
	bool known;

	if (addr_is_multicast(&c->addr))
		return not_for_tcp(s, "a multicast address");
	if (addr_is_broadcast(&c->addr) ||
	    (c->routed && !c->route.error && c->route.type == RTN_BROADCAST))
		return not_for_tcp(s, "a broadcast address");
	own = own_addresses(c, &known);
	if (known && own.duplicate && c->outcome != STAIRS_OPEN && own_duplicate(s, true))
		return false;
	if (own_duplicate(s, false))
		return false;
	if (known && !own.of_family && c->routed && c->route.error && !addr_is_loopback(&c->addr))
		return no_family(s);
	address_holds(s);
	return true;
}

/* ---- ROUTE ----------------------------------------------------------------------------------- */

/* Links that are down and whose address would have covered the destination. */
struct down {
	const struct stairs_call *call;
	char name[16]; /* of the link */
	struct rt_address address;
	struct rt_link link;
};

static int down_link(void *arg, const struct rt_link *link)
{
	struct down *d = arg;

	if (link->ifindex == d->address.ifindex)
		d->link = *link;
	return 0;
}

static int down_address(void *arg, const struct rt_address *a)
{
	struct down *d = arg;

	if (rt_common_prefix(&a->addr, &d->call->addr) < a->prefix || !a->prefix)
		return 0;
	d->address = *a;
	d->link.ifindex = 0;
	rt_links(down_link, d);
	if (d->link.ifindex && !(d->link.flags & IFF_UP))
		memcpy(d->name, d->link.name, sizeof(d->name));
	return d->name[0] != 0;
}

static const char *refusal(int error)
{
	switch (error) {
	case -EACCES:
		return "a route or rule of this machine prohibits it (prohibit)";
	case -EINVAL:
		return "a route of this machine throws its packets away (blackhole)";
	case -EHOSTUNREACH:
		return "a route of this machine calls it unreachable";
	}
	return "no route covers it, not even a default route";
}

static bool no_route(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	struct view_word addr = word_addr(&c->addr);
	struct view_finding *f = stairs_find(s, VIEW_FINDING_no_route, VIEW_CERTAIN);
	struct down down = { .call = c };
	struct addresses own;
	unsigned rules = 0;
	bool ip4 = cpl_addr_is4(&c->addr), known;

	view_finding_say(f, "%s: %s", addr.s, refusal(c->route.error));
	rt_addresses(down_address, &down);
	own = own_addresses(c, &known);
	if (c->route.error != -ENETUNREACH) {
		snprintf(f->next, sizeof(f->next),
			 "See ip route get %s, then ip%s route and ip%s rule for the entry that "
			 "says so.",
			 addr.s, ip4 ? "" : " -6", ip4 ? "" : " -6");
	} else if (down.name[0]) {
		view_finding_say(f, "%s has the address %s/%u, which would cover it, and is down",
				 down.name, word_addr(&down.address.addr).s, down.address.prefix);
		snprintf(f->next, sizeof(f->next), "Bring the interface up: ip link set %s up",
			 down.name);
	} else if (known && own.of_family && own.best_bits >= (ip4 ? 16 : 48)) {
		view_finding_say(f,
				 "the nearest address here is %s/%u: its prefix does not hold %s",
				 word_addr(&own.best.addr).s, own.best.prefix, addr.s);
		snprintf(
			f->next, sizeof(f->next),
			"Add a default gateway or a route (ip route), or correct the prefix length "
			"/%u if %s is on the same link.",
			own.best.prefix, addr.s);
	}
	if (!rt_rules(ip4, &rules) && rules)
		view_finding_say(f, "%u policy rule%s decide%s as well (ip%s rule)", rules,
				 rules == 1 ? "" : "s", rules == 1 ? "s" : "", ip4 ? "" : " -6");
	view_diagnosis_step(s->d, VIEW_STEP_ROUTE, VIEW_STEP_FAILS, "%s: %s", addr.s,
			    down.name[0] ? "the interface that leads there is down"
					 : refusal(c->route.error));
	return false;
}

static bool link_down(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	bool up = c->link.flags & IFF_UP;
	struct view_finding *f = stairs_find(s, VIEW_FINDING_no_route, VIEW_CERTAIN);

	view_finding_say(f, "the way to %s leads by %s, which %s", word_addr(&c->addr).s,
			 c->link.name,
			 up ? "has no carrier: nothing is connected to it" : "is down");
	snprintf(f->next, sizeof(f->next),
		 up ? "Look at the cable, the switch or the other end of %s (ip link)."
		    : "Bring the interface up: ip link set %s up",
		 c->link.name);
	view_diagnosis_step(s->d, VIEW_STEP_ROUTE, VIEW_STEP_FAILS, "%s %s", c->link.name,
			    up ? "has no carrier" : "is down");
	return false;
}

static void route_holds(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	const struct rt_route *r = &c->route;
	struct view_word by = word_format("by %s", c->linked ? c->link.name : "?");
	struct view_word table = { "" }, prefix = { "" };
	uint32_t mtu = r->mtu ? r->mtu : c->linked ? c->link.mtu : 0;

	if (r->table && r->table != RT_TABLE_MAIN && r->table != RT_TABLE_LOCAL)
		table = word_format(", table %u by a policy rule", r->table);
	if (r->type == RTN_LOCAL) {
		view_diagnosis_step(s->d, VIEW_STEP_ROUTE, VIEW_STEP_HOLDS,
				    "stays on this machine (%s)%s", c->linked ? c->link.name : "lo",
				    table.s);
		return;
	}
	if (r->has_prefix && !r->has_gateway)
		prefix = word_format(" (on link: /%u)", r->prefix);
	if (r->has_gateway)
		view_diagnosis_step(s->d, VIEW_STEP_ROUTE, VIEW_STEP_HOLDS,
				    "%s through %s, MTU %u%s", by.s, word_addr(&r->gateway).s, mtu,
				    table.s);
	else
		view_diagnosis_step(s->d, VIEW_STEP_ROUTE, VIEW_STEP_HOLDS,
				    "%s directly%s, MTU %u%s", by.s, prefix.s, mtu, table.s);
}

bool stairs_route(struct stairs *s)
{
	const struct stairs_call *c = s->best;

	if (!c->routed) {
		view_diagnosis_step(s->d, VIEW_STEP_ROUTE, VIEW_STEP_NOT_SEEN,
				    "the kernel's routes could not be read");
		view_diagnosis_unseen(s->d,
				      "routes and neighbours: couplet was built without libmnl");
		return true;
	}
	if (c->route.error && c->outcome != STAIRS_OPEN)
		return no_route(s);
	if (c->linked && c->outcome != STAIRS_OPEN &&
	    (!(c->link.flags & IFF_UP) || !(c->link.flags & LOWER_UP)))
		return link_down(s);
	route_holds(s);
	return true;
}
