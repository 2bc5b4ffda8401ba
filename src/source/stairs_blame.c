/* SPDX-License-Identifier: MIT */
/*
 * A call that was refused or not answered: who is to blame? The sockets on that port in all
 * namespaces that we may see, the kernel's counters, its reasons for drops and the packets seen at
 * the device tell causes apart that look the same to the caller.
 */
#include "source/stairs_step.h"

#include <string.h>
#include <strings.h>
#include <netinet/in.h>
#include <linux/rtnetlink.h>

#include "wire/ip.h"
#include "wire/tcp.h"

/* ---- Findings -------------------------------------------------------------------------------- */

struct view_finding *stairs_find(struct stairs *s, enum view_finding_id id,
				 enum view_certainty certainty)
{
	struct view_finding *f = view_diagnosis_add(s->d, id, certainty);

	/* Without memory d->failed is set; what is said then goes nowhere. */
	if (!f) {
		memset(&s->spare, 0, sizeof(s->spare));
		f = &s->spare;
	}
	return f;
}

void stairs_of(struct view_finding *f, const struct far_socket *socket,
	       const struct far_place *place)
{
	if (place && !place->ours && !place->peer)
		f->netns = place->netns;
	if (!socket)
		return;
	f->known_x = true;
	f->x = socket->info;
	if (cpl_info_known(&socket->info, CPL_F_pid)) {
		f->pid = socket->info.pid;
		memcpy(f->program, socket->info.program, sizeof(f->program));
	}
}

static void fails(struct stairs *s, const char *text)
{
	view_diagnosis_step(s->d, VIEW_STEP_SYN, VIEW_STEP_FAILS, "%s", text);
}

/* ---- Listeners ------------------------------------------------------------------------------- */

/* How well a listener answers to an address. */
enum match {
	MATCH_NOT,
	MATCH_FAMILY,  /* the other family's same address: any, or loopback */
	MATCH_ADDRESS, /* bound to another address */
	MATCH_DEVICE,  /* bound to another interface */
	MATCH,
};

static enum match match_listener(const struct cpl_info *l, const struct stairs_call *c,
				 uint16_t port)
{
	bool ip4 = cpl_addr_is4(&c->addr), any = addr_is_any(&l->local_addr);
	bool other_family = cpl_addr_is4(&l->local_addr) != ip4;

	if (l->state != CPL_LISTEN || l->local_port != port)
		return MATCH_NOT;
	if (other_family) {
		/* [::] takes IPv4 as well unless it is told not to (IPV6_V6ONLY): it refused. */
		if (any || (addr_is_loopback(&l->local_addr) && addr_is_loopback(&c->addr)))
			return MATCH_FAMILY;
		return MATCH_ADDRESS;
	}
	/* 0.0.0.0 and :: as destinations mean loopback. */
	if (!any && !cpl_addr_equal(&l->local_addr, &c->addr) &&
	    !(addr_is_any(&c->addr) && addr_is_loopback(&l->local_addr)))
		return MATCH_ADDRESS;
	if (l->ifindex && c->linked && l->ifindex != c->link.ifindex)
		return MATCH_DEVICE;
	return MATCH;
}

/* The best listener in PLACE; NULL: none on that port. */
static struct far_socket *listener_in(struct stairs *s, const struct far_place *place,
				      enum match *match)
{
	struct far_socket *best = NULL;

	*match = MATCH_NOT;
	for (unsigned i = 0; i < s->far.sockets; i++) {
		struct far_socket *f = &s->far.socket[i];
		enum match m = match_listener(&f->info, s->best, s->o->target.port);

		if (&s->far.place[f->place] == place && m > *match) {
			*match = m;
			best = f;
		}
	}
	return best;
}

void stairs_reconsider(struct stairs *s)
{
	struct stairs_call *best = s->best;
	enum match match;

	if (best->outcome != STAIRS_REFUSED)
		return;
	for (unsigned i = 0; i < s->calls; i++) {
		struct far_place *place;

		if (s->call[i].outcome != STAIRS_SILENT)
			continue;
		s->best = &s->call[i];
		place = far_place_of(&s->far, s->best);
		if (place && listener_in(s, place, &match) && match == MATCH)
			return;
	}
	s->best = best;
}

static struct far_socket *listener_elsewhere(struct stairs *s, const struct far_place *place)
{
	for (unsigned i = 0; i < s->far.sockets; i++) {
		struct far_socket *f = &s->far.socket[i];

		if (f->info.state == CPL_LISTEN && f->info.local_port == s->o->target.port &&
		    &s->far.place[f->place] != place && s->far.place[f->place].peer == place->peer)
			return f;
	}
	return NULL;
}

static bool is_localhost(const char *name)
{
	size_t len = strlen(name);

	return strcasecmp(name, "localhost") == 0 ||
	       (len > 10 && strcasecmp(name + len - 10, ".localhost") == 0) ||
	       strncasecmp(name, "localhost.", 10) == 0 || strncasecmp(name, "ip6-", 4) == 0;
}

static void blame_elsewhere_bound(struct stairs *s, struct far_socket *l,
				  const struct far_place *place, enum match match)
{
	const struct stairs_call *c = s->best;
	struct view_word bound = word_endpoint(&l->info.local_addr, l->info.local_port);
	struct view_word called = word_endpoint(&c->addr, s->o->target.port);
	struct view_word who = far_who(&l->info), where = far_where(place);
	struct view_finding *f;
	char text[200];
	/* A name that leads to loopback, and the program listens where others reach it. */
	bool name = match == MATCH_ADDRESS && s->name.from != NAME_LITERAL &&
		    addr_is_loopback(&c->addr) && !addr_is_loopback(&l->info.local_addr) &&
		    !is_localhost(s->o->target.host);

	if (addr_is_any(&l->info.local_addr))
		bound = word_format("%s:%u (IPv%d only)",
				    cpl_addr_is4(&l->info.local_addr) ? "0.0.0.0" : "[::]",
				    l->info.local_port, cpl_addr_is4(&l->info.local_addr) ? 4 : 6);
	f = stairs_find(s,
			name			? VIEW_FINDING_name_wrong_address
			: match == MATCH_FAMILY ? VIEW_FINDING_listener_other_family
						: VIEW_FINDING_listener_other_address,
			VIEW_CERTAIN);
	stairs_of(f, l, place);
	view_finding_say(f, "%s %s listens on %s, and %s was called", who.s, where.s, bound.s,
			 called.s);
	if (match == MATCH_DEVICE)
		view_finding_say(f, "its socket is bound to one interface (SO_BINDTODEVICE)");
	for (int i = VIEW_STEP_ADDRESS; name && i < VIEW_STEP_SYN; i++)
		view_diagnosis_step(s->d, (enum view_step_id)i, VIEW_STEP_NOT_REACHED, "%s", "");
	if (name && s->name.line) {
		view_finding_say(f, "/etc/hosts line %u gives %s the address %s", s->name.line,
				 word_foreign(s->o->target.host).s, word_addr(&c->addr).s);
		view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_FAILS,
				    "%s (/etc/hosts line %u), and %s listens on %s",
				    word_addr(&c->addr).s, s->name.line, who.s, bound.s);
		return;
	}
	if (name) {
		view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_FAILS,
				    "%s (DNS), and %s listens on %s", word_addr(&c->addr).s, who.s,
				    bound.s);
		return;
	}
	snprintf(text, sizeof(text), "refused by RST: %.60s listens on %.60s", who.s, bound.s);
	fails(s, text);
}

static void blame_container(struct stairs *s, struct far_socket *l)
{
	const struct far_place *place = &s->far.place[l->place];
	struct view_word bound = word_endpoint(&l->info.local_addr, l->info.local_port);
	struct view_finding *f = stairs_find(s, VIEW_FINDING_port_not_published, VIEW_DERIVED);
	struct view_word who = far_who(&l->info), where = far_where(place);
	char text[200];

	if (addr_is_any(&l->info.local_addr))
		bound = word_format("port %u", l->info.local_port);
	stairs_of(f, l, place);
	view_finding_say(f, "%s listens on %s %s; %s nobody does", who.s, bound.s, where.s,
			 place->peer ? "at the address itself" : "here");
	if (place->has_own &&
	    (addr_is_any(&l->info.local_addr) || cpl_addr_equal(&l->info.local_addr, &place->own)))
		snprintf(f->next, sizeof(f->next),
			 "Publish the port (docker run -p %u:%u ...), or call the container's own "
			 "address: %s port %u.",
			 s->o->target.port, s->o->target.port, word_addr(&place->own).s,
			 s->o->target.port);
	snprintf(text, sizeof(text), "refused by RST: %.60s listens %.80s", who.s, where.s);
	fails(s, text);
}

/* The address may be a lie of the hosts file: then DNS's would have worked. */
static bool dns_would_do(struct stairs *s)
{
	struct stairs other = { .o = s->o, .tried_to_watch = true };

	name_ask_dns(s);
	if (!s->name.dns_n)
		return false;
	for (unsigned i = 0; i < s->name.n; i++)
		if (cpl_addr_equal(&s->name.addr[i], &s->name.dns[0]))
			return false;
	other.name.n = s->name.dns_n;
	memcpy(other.name.addr, s->name.dns, sizeof(other.name.addr));
	other.tap.fd = -1;
	stairs_routes(&other);
	stairs_call_all(&other);
	stairs_hang_up(&other);
	return other.best->outcome == STAIRS_OPEN;
}

bool stairs_blame_name(struct stairs *s)
{
	struct view_word is = word_addr(&s->best->addr), dns;
	struct view_finding *f;

	if (!dns_would_do(s))
		return false;
	dns = word_addr(&s->name.dns[0]);
	f = stairs_find(s, VIEW_FINDING_name_wrong_address, VIEW_CERTAIN);
	view_finding_say(f, "/etc/hosts line %u gives %s the address %s; DNS says %s", s->name.line,
			 word_foreign(s->o->target.host).s, is.s, dns.s);
	view_finding_say(f, "%s answers on port %u, and %s does not", dns.s, s->o->target.port,
			 is.s);
	snprintf(f->next, sizeof(f->next), "Correct or remove line %u of /etc/hosts.",
		 s->name.line);
	view_diagnosis_step(s->d, VIEW_STEP_NAME, VIEW_STEP_FAILS,
			    "%s (/etc/hosts line %u) does not answer; %s (DNS) does", is.s,
			    s->name.line, dns.s);
	return true;
}

static void blame_rst(struct stairs *s, struct far_socket *l, const struct far_place *place)
{
	const struct stairs_call *c = s->best;
	const struct view_event *drop = stairs_drop(s);
	struct view_finding *f =
		stairs_find(s, VIEW_FINDING_syn_refused, l ? VIEW_DERIVED : VIEW_CERTAIN);
	char text[200];

	stairs_of(f, l, place);
	if (l) {
		view_finding_say(f, "%s listens on %s %s, so the RST is not its own",
				 far_who(&l->info).s,
				 word_endpoint(&l->info.local_addr, l->info.local_port).s,
				 far_where(place).s);
		if (drop)
			view_finding_say(f, "the kernel dropped the SYN: %s",
					 stairs_reason(drop).s);
		snprintf(f->next, sizeof(f->next),
			 "A firewall rule answers in its place (reject with tcp reset): nft list "
			 "ruleset, %s.",
			 place->ours ? "here" : far_where(place).s);
		snprintf(text, sizeof(text), "refused by RST, though %.80s listens: a firewall's",
			 far_who(&l->info).s);
		fails(s, text);
		return;
	}
	view_finding_say(f, "%s answered the SYN with an RST after %s",
			 word_endpoint(&c->addr, s->o->target.port).s,
			 word_ns(c->ended - c->began).s);
	view_diagnosis_unseen(s->d, "who listens on %s: %s", word_addr(&c->addr).s,
			      c->routed ? "it is another machine"
					: "couplet was built without libmnl");
	snprintf(text, sizeof(text), "refused by RST after %.40s", word_ns(c->ended - c->began).s);
	fails(s, text);
}

void stairs_blame_refused(struct stairs *s)
{
	struct far_place *place = far_place_of(&s->far, s->best);
	enum match match = MATCH_NOT;
	struct far_socket *l = place ? listener_in(s, place, &match) : NULL;
	struct far_socket *elsewhere;
	struct view_finding *f;

	if (l && match < MATCH) {
		blame_elsewhere_bound(s, l, place, match);
		return;
	}
	if (l || !place) {
		blame_rst(s, l, place);
		return;
	}
	elsewhere = place->ours || place->peer ? listener_elsewhere(s, place) : NULL;
	if (elsewhere) {
		blame_container(s, elsewhere);
		return;
	}
	f = stairs_find(s, VIEW_FINDING_no_listener, VIEW_CERTAIN);
	stairs_of(f, NULL, place);
	view_finding_say(f, "no socket %s listens on port %u", far_where(place).s,
			 s->o->target.port);
	if (place->ours && s->far.denied)
		view_diagnosis_unseen(s->d,
				      "who listens in other network namespaces "
				      "(containers): that %s",
				      source_denied());
	fails(s, "refused by RST: nobody listens on that port");
}

/* ---- Silence --------------------------------------------------------------------------------- */

/* The call is thrown away because the program does not take those before it. */
static bool blame_queue(struct stairs *s, struct far_socket *l, const struct far_place *place)
{
	struct view_word who = far_who(&l->info);
	struct view_finding *f;
	char text[200];

	if (l->info.accept_queue <= l->info.backlog) /* Linux takes one more than the backlog */
		return false;
	f = stairs_find(s, VIEW_FINDING_accept_queue_full, VIEW_CERTAIN);
	stairs_of(f, l, place);
	view_finding_say(f, "%u connections wait for %s to accept them; there is room for %u",
			 l->info.accept_queue, who.s, l->info.backlog + 1);
	if (far_grown(place, FAR_LISTEN_OVERFLOWS))
		view_finding_say(f, "meanwhile the kernel dropped %llu calls for want of room",
				 (unsigned long long)far_grown(place, FAR_LISTEN_OVERFLOWS));
	snprintf(text, sizeof(text), "no answer: %.60s has a full accept queue (%u of %u)", who.s,
		 l->info.accept_queue, l->info.backlog + 1);
	fails(s, text);
	stairs_blame_process(s, l, place);
	return true;
}

void stairs_blame_process(struct stairs *s, const struct far_socket *l,
			  const struct far_place *place)
{
	struct view_finding *f;

	if (l->process_state == 'T' || l->process_state == 't') {
		f = stairs_find(s, VIEW_FINDING_process_stopped, VIEW_CERTAIN);
		stairs_of(f, l, place);
		view_finding_say(f, "%s is in state %c: %s", far_who(&l->info).s, l->process_state,
				 l->process_state == 'T' ? "stopped by a signal"
							 : "stopped by a debugger");
		snprintf(f->next, sizeof(f->next), "Continue it: kill -CONT %u", l->info.pid);
	} else if (l->known_limit && l->descriptors >= l->descriptors_max) {
		f = stairs_find(s, VIEW_FINDING_fd_limit, VIEW_CERTAIN);
		stairs_of(f, l, place);
		view_finding_say(f, "%s holds %u descriptors of %u", far_who(&l->info).s,
				 l->descriptors, l->descriptors_max);
	}
}

static bool blame_syn_queue(struct stairs *s, struct far_socket *l, const struct far_place *place)
{
	struct view_finding *f;
	unsigned half_open = 0;
	uint64_t full = far_grown(place, FAR_SYN_QUEUE_FULL);
	/* Nearly full it keeps its last quarter for callers that it knows: counted here only. */
	uint64_t drops = full ? full : far_grown(place, FAR_LISTEN_DROPS);

	for (unsigned i = 0; i < s->far.sockets; i++)
		half_open += s->far.socket[i].info.state == CPL_SYN_RECEIVED &&
			     s->far.socket[i].info.local_port == s->o->target.port &&
			     s->far.socket[i].place == l->place;
	if (!drops || (!full && (!half_open || far_grown(place, FAR_LISTEN_OVERFLOWS))))
		return false;
	f = stairs_find(s, VIEW_FINDING_syn_queue_full, full ? VIEW_CERTAIN : VIEW_DERIVED);
	stairs_of(f, l, place);
	view_finding_say(f, "%u half-open connections wait at %s", half_open,
			 word_endpoint(&l->info.local_addr, l->info.local_port).s);
	view_finding_say(f, "the kernel dropped %llu SYNs for want of room meanwhile",
			 (unsigned long long)drops);
	fails(s, "no answer: the queue of half-open connections is full");
	return true;
}

/* The answer takes another way back than the call took. */
static void say_where_it_came(struct view_finding *f, const struct stairs_call *c)
{
	struct rt_link link;

	if (rt_link(c->seen.answer_ifindex, &link) || !c->linked ||
	    link.ifindex == c->link.ifindex) {
		view_finding_say(f, "the answer (SYN,ACK) did arrive at this machine");
		return;
	}
	view_finding_say(f, "the call left by %s, its answer (SYN,ACK) came by %s", c->link.name,
			 link.name);
	snprintf(f->next, sizeof(f->next),
		 "Correct the routes, here or there, so that both ways are the same; or allow it: "
		 "sysctl net.ipv4.conf.%s.rp_filter=2 (loose).",
		 link.name);
}

static bool blame_rp_filter(struct stairs *s)
{
	for (unsigned i = 0; i < s->far.places; i++) {
		const struct far_place *p = &s->far.place[i];
		uint64_t drops = far_grown(p, FAR_RP_FILTER);
		struct view_finding *f;
		char text[200];

		if (!drops || (!p->ours && p != far_place_of(&s->far, s->best) && !p->has_hop))
			continue;
		f = stairs_find(s, VIEW_FINDING_rp_filter, VIEW_DERIVED);
		stairs_of(f, NULL, p);
		view_finding_say(f,
				 "the kernel %s dropped %llu packets by reverse-path filtering "
				 "meanwhile (TcpExt IPReversePathFilter)",
				 far_where(p).s, (unsigned long long)drops);
		if (p->ours && s->best->seen.answer_in)
			say_where_it_came(f, s->best);
		snprintf(text, sizeof(text),
			 p->ours ? "the answer is dropped here by reverse-path filtering"
				 : "no answer: dropped by reverse-path filtering %.100s",
			 far_where(p).s);
		fails(s, text);
		return true;
	}
	return false;
}

static bool blame_way_back(struct stairs *s, const struct far_place *place)
{
	struct view_finding *f;
	struct view_word from = word_addr(&s->best->local);
	char text[200];

	if (!place || !place->asked_back || !place->back.error)
		return false;
	f = stairs_find(s, VIEW_FINDING_no_route, VIEW_CERTAIN);
	stairs_of(f, NULL, place);
	view_finding_say(f, "the destination lives %s, whose kernel knows no way back to %s",
			 far_where(place).s, from.s);
	snprintf(f->next, sizeof(f->next), "Add a route to %s there (ip route), or a default one.",
		 from.s);
	snprintf(text, sizeof(text), "no answer: the other host knows no way back to %.60s",
		 from.s);
	fails(s, text);
	return true;
}

/* Nobody else is to blame: something drops packets on the way. */
static void blame_drop(struct stairs *s, struct far_socket *l, const struct far_place *place)
{
	const struct stairs_call *c = s->best;
	const struct view_event *drop = stairs_drop(s);
	bool tapped = s->tap.fd >= 0;
	struct view_word there = place ? far_where(place) : word_format("there");
	const char *where = "between here and there, or there";
	enum view_certainty certainty = VIEW_GUESS;
	struct view_finding *f;
	char text[200];

	if (tapped && !c->seen.syn_out)
		where = "on this machine, on the way out";
	else if (tapped && c->seen.answer_in)
		where = "here, when its answer came in";
	else if (place && !place->peer)
		where = place->ours ? "on this machine, on the way in" : there.s;
	if (drop || (tapped && (!c->seen.syn_out || c->seen.answer_in)))
		certainty = VIEW_CERTAIN;
	else if (place && !place->peer)
		certainty = VIEW_DERIVED;
	f = stairs_find(s, VIEW_FINDING_syn_dropped, certainty);
	stairs_of(f, l, place);
	view_finding_say(f, "%u SYN%s to %s in %s, no answer", c->syns, c->syns == 1 ? "" : "s",
			 word_endpoint(&c->addr, s->o->target.port).s,
			 word_ns(c->ended - c->began).s);
	if (drop)
		view_finding_say(f, "the kernel dropped it%s: %s",
				 drop->netns && place && drop->netns == place->netns ? " there"
										     : "",
				 stairs_reason(drop).s);
	if (tapped && !c->seen.syn_out)
		view_finding_say(f, "no SYN left %s: the firewall of this machine took it",
				 c->linked ? c->link.name : "the interface");
	else if (tapped && c->seen.answer_in)
		view_finding_say(f,
				 "%u answers (SYN,ACK) came in and did not get through this "
				 "machine's firewall",
				 c->seen.answer_in);
	else if (tapped)
		view_finding_say(f, "the SYN left by %s",
				 c->linked ? c->link.name : "the interface");
	if (l)
		view_finding_say(f, "%s does listen %s, with room in its queues",
				 far_who(&l->info).s, there.s);
	if (place && place->peer && !drop && !(tapped && !c->seen.syn_out))
		snprintf(f->next, sizeof(f->next),
			 "Look at the firewalls on the way and %s (nft list ruleset; iptables -S), "
			 "and at its way back.",
			 there.s);
	else if (drop || (tapped && !c->seen.syn_out) || place)
		snprintf(f->next, sizeof(f->next),
			 "Look at the firewall %s (nft list ruleset; iptables -S).",
			 place && !place->ours && c->seen.syn_out && !c->seen.answer_in
				 ? there.s
				 : "of this machine");
	snprintf(text, sizeof(text), "no answer to %u SYN%s: dropped %.120s", c->syns,
		 c->syns == 1 ? "" : "s", where);
	fails(s, text);
}

void stairs_blame_silent(struct stairs *s)
{
	struct far_place *place = far_place_of(&s->far, s->best);
	enum match match = MATCH_NOT;
	struct far_socket *l = place ? listener_in(s, place, &match) : NULL;

	if (match < MATCH)
		l = NULL;
	if (l && (blame_queue(s, l, place) || blame_syn_queue(s, l, place)))
		return;
	if (blame_rp_filter(s) || blame_way_back(s, place))
		return;
	blame_drop(s, l, place);
	if (s->tap.fd < 0)
		view_diagnosis_unseen(s->d, "whether the SYN left this machine: that %s",
				      source_denied());
	if (!s->watcher)
		view_diagnosis_unseen(s->d, "the kernel's reasons for drops: that %s",
				      source_denied());
	if (!place)
		view_diagnosis_unseen(s->d, "the far host: its queues, firewall and routes");
	else if (place->peer)
		view_diagnosis_unseen(s->d, "the far host: its firewall and routes");
}

const struct view_event *stairs_drop(struct stairs *s)
{
	const struct stairs_call *c = s->best;
	uint16_t port = s->o->target.port;

	for (size_t i = 0; i < s->facts.events; i++) {
		const struct view_event *e = &s->facts.event[i];
		bool there = cpl_addr_equal(&e->to, &c->addr) && e->to_port == port;
		bool back = cpl_addr_equal(&e->from, &c->addr) && e->from_port == port;
		uint16_t ours = there ? e->from_port : e->to_port;

		if (e->kind == VIEW_EVENT_DROP && e->protocol == IPPROTO_TCP && (there || back) &&
		    ours && (ours == c->local_port || ours == c->watched_port))
			return e;
	}
	return NULL;
}

struct view_word stairs_reason(const struct view_event *drop)
{
	static const struct {
		const char *name, *text;
	} known[] = {
		{ "NETFILTER_DROP", "a firewall rule" },
		{ "IP_RPFILTER", "reverse-path filtering" },
		{ "NO_SOCKET", "no socket for it" },
		{ "PKT_TOO_BIG", "too large for the next link" },
		{ "SOCKET_FILTER", "a filter on the socket" },
		{ "XFRM_POLICY", "an IPsec policy" },
		{ "BPF_CGROUP_EGRESS", "a BPF program of the control group" },
		{ "XDP", "an XDP program" },
		{ "TC_INGRESS", "a traffic control filter" },
		{ "TC_EGRESS", "a traffic control filter" },
	};

	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(drop->reason_name, known[i].name) == 0)
			return word_format("%s (%s)", known[i].text, known[i].name);
	return word_format("%s", drop->reason_name[0] ? drop->reason_name : "for no known reason");
}
