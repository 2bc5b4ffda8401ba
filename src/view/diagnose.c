/* SPDX-License-Identifier: MIT */
/*
 * Runs the rules of doctor over what was seen, in the order from causes to effects, and holds what
 * the rules share: see diagnose.h. Linear in the number of connections.
 */
#include "view/diagnose_rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/seq.h"
#include "view/field.h"

/* ---- What ends tell -------------------------------------------------------------------------- */

uint64_t rule_value(const struct cpl_info *i, enum cpl_field f)
{
	uint64_t value = 0;

	if (i)
		view_get(i, f, &value);
	return value;
}

bool rule_at_least(const struct cpl_info *i, enum cpl_field f, uint64_t n)
{
	uint64_t value;

	return i && view_get(i, f, &value) && value >= n;
}

bool rule_timer_runs(const struct cpl_info *i, enum cpl_field f)
{
	uint64_t left;

	return i && view_get(i, f, &left) && left != CPL_TIMER_OFF;
}

bool rule_state_is(const struct cpl_info *i, unsigned states)
{
	return rule_known(i, CPL_F_state) && i->state < CPL_STATES && (states >> i->state & 1);
}

const struct cpl_info *rule_now(const struct rule_look *l, size_t end)
{
	const struct view_end *e = &l->m->end[end];
	unsigned passes = l->m->look[e->host].passes;

	return passes ? view_match_info(l->m, end, passes - 1) : NULL;
}

const struct cpl_info *rule_before(const struct rule_look *l, size_t end)
{
	const struct view_end *e = &l->m->end[end];

	/* The first two passes lie too close to each other to tell what stands still. */
	return l->m->look[e->host].passes > 2 ? view_match_info(l->m, end, 1) : NULL;
}

bool rule_attached(const struct cpl_info *i)
{
	if (!i)
		return true;
	if (cpl_info_known(i, CPL_F_attached))
		return i->attached;
	return i->source != CPL_SOURCE_SOCK_DIAG || cpl_info_known(i, CPL_F_inode);
}

int rule_moved(const struct cpl_info *before, const struct cpl_info *now, enum cpl_field f)
{
	uint64_t a, b;

	if (!before || !now || !view_get(before, f, &a) || !view_get(now, f, &b))
		return -1;
	return a != b;
}

bool rule_still(const struct cpl_info *before, const struct cpl_info *now,
		const enum cpl_field *fields)
{
	for (; *fields != CPL_FIELDS; fields++)
		if (rule_moved(before, now, *fields) == 1)
			return false;
	return true;
}

bool rule_end_still(const struct cpl_info *before, const struct cpl_info *now)
{
	static const enum cpl_field fields[] = {
		CPL_F_snd_una,	  CPL_F_snd_nxt,     CPL_F_rcv_nxt,    CPL_F_read_seq,
		CPL_F_write_seq,  CPL_F_bytes_acked, CPL_F_recv_queue, CPL_F_bytes_received,
		CPL_F_send_queue, CPL_F_state,	     CPL_FIELDS
	};

	return rule_still(before, now, fields);
}

char rule_stopped(const struct rule_look *l, const struct cpl_info *end)
{
	const struct view_process *p, *before;

	if (!rule_known(end, CPL_F_pid) || !end->pid)
		return 0;
	p = view_facts_process(l->seen->facts, end->pid);
	before = view_facts_process(l->seen->before, end->pid);
	if (!p || (p->state != 'T' && p->state != 't'))
		return 0;
	/* A tracer stops its program for moments only. */
	return before && before->state != 'T' && before->state != 't' ? 0 : p->state;
}

/* ---- Words ----------------------------------------------------------------------------------- */

struct view_word rule_who(const struct cpl_info *i)
{
	if (rule_known(i, CPL_F_pid) && i->pid && rule_known(i, CPL_F_fd))
		return word_format("%.20s (pid %u, descriptor %u)", word_foreign(i->program).s,
				   i->pid, i->fd);
	if (rule_known(i, CPL_F_pid) && i->pid)
		return word_format("%.20s (pid %u)", word_foreign(i->program).s, i->pid);
	return word_format("the program at %.60s", word_endpoint(&i->local_addr, i->local_port).s);
}

struct view_word rule_who_at(const struct rule_pair *p, unsigned end)
{
	const struct cpl_info *other = p->now[!end];

	if (p->now[end])
		return rule_who(p->now[end]);
	return word_format("the program at %.60s",
			   word_endpoint(&other->remote_addr, other->remote_port).s);
}

struct view_finding *rule_find(struct rule_pair *p, enum view_finding_id id,
			       enum view_certainty certainty, unsigned x)
{
	struct rule_look *l = p->l;
	struct view_finding *f;

	for (unsigned end = 0; end < 2; end++)
		if (p->end[end] != VIEW_ALONE)
			l->explained[p->end[end]] = true;
	f = view_diagnosis_add(l->d, id, certainty);
	view_finding_of(f, p->now[x], p->now[!x]);
	return f;
}

/* ---- Events ---------------------------------------------------------------------------------- */

bool rule_event_here(const struct rule_look *l, const struct view_event *e)
{
	/* The kernel tells of all, those included that have our addresses and are not ours to see.
	 */
	return !e->netns || view_facts_host(l->seen->facts, e->netns);
}

const struct view_event *rule_drop(const struct rule_look *l, const struct cpl_info *x,
				   const char *reason)
{
	const struct view_facts *facts = l->seen->facts;
	const struct view_event *best = NULL;

	for (size_t i = 0; facts && x && i < facts->events; i++) {
		const struct view_event *e = &facts->event[i];

		if (e->kind != VIEW_EVENT_DROP || e->protocol != 6 || !rule_event_here(l, e) ||
		    e->from_port != x->local_port || e->to_port != x->remote_port ||
		    !cpl_addr_equal(&e->from, &x->local_addr) ||
		    !cpl_addr_equal(&e->to, &x->remote_addr))
			continue;
		/* What its own peer refused it, the peer's control block tells better. */
		if (!strncmp(e->reason_name, "TCP_", 4) || !strncmp(e->reason_name, "SOCKET_", 7))
			continue;
		if (reason && strcmp(reason, e->reason_name) != 0)
			continue;
		if (!best || e->times > best->times)
			best = e;
	}
	return best;
}

void rule_say_drop(struct view_finding *f, const struct view_event *e)
{
	static const struct {
		const char *reason, *text;
	} texts[] = {
		{ "NETFILTER_DROP", "a firewall rule of this machine (netfilter)" },
		{ "IP_RPFILTER", "reverse-path filtering" },
		{ "PKT_TOO_BIG", "larger than the link's MTU" },
		{ "NO_SOCKET", "no socket for it" },
		{ "NEIGH_FAILED", "the next hop's link address is not found" },
		{ "NEIGH_QUEUEFULL", "the next hop's link address is still awaited" },
		{ "QDISC_DROP", "the device's queue" },
		{ "IP_OUTNOROUTES", "no route" },
		{ "IP_INNOROUTES", "no route" },
		{ "TC_INGRESS", "a traffic-control rule" },
		{ "TC_EGRESS", "a traffic-control rule" },
		{ "XDP", "an XDP program" },
		{ "BPF_CGROUP_EGRESS", "a BPF program of the cgroup" },
	};
	const char *why = "";

	if (!e)
		return;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (!strcmp(texts[i].reason, e->reason_name))
			why = texts[i].text;
	view_finding_say(f, "while we watched the kernel dropped %s of its packets: %s%s%s%s",
			 word_count(e->times).s, why, *why ? " (" : "",
			 *e->reason_name ? word_foreign(e->reason_name).s
					 : word_format("reason %u", e->reason).s,
			 *why ? ")" : "");
}

/* ---- Ends by number ---------------------------------------------------------------------------
 */

static int by_index_key(const void *pa, const void *pb)
{
	const struct rule_key *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->end > b->end) - (a->end < b->end);
}

void rule_index_make(struct rule_look *l, struct rule_index *index,
		     bool (*key)(const struct rule_look *l, size_t end, uint64_t *key))
{
	size_t n = 0;
	uint64_t value;

	if (index->made)
		return;
	index->made = true;
	for (size_t i = 0; i < l->m->n; i++)
		n += key(l, i, &value);
	index->entry = malloc((n ? n : 1) * sizeof(*index->entry));
	if (!index->entry) {
		l->d->failed = true;
		return;
	}
	for (size_t i = 0; i < l->m->n; i++)
		if (key(l, i, &value))
			index->entry[index->n++] = (struct rule_key){ value, i };
	qsort(index->entry, index->n, sizeof(*index->entry), by_index_key);
}

/* The first entry whose key is not less than KEY. */
static size_t index_bound(const struct rule_index *index, uint64_t key)
{
	size_t low = 0, high = index->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (index->entry[mid].key < key)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct rule_key *rule_index_find(const struct rule_index *index, uint64_t key, size_t *n)
{
	size_t at = index_bound(index, key);

	*n = index_bound(index, key + 1) - at;
	return *n ? &index->entry[at] : NULL;
}

/* ---- Listeners in trouble -------------------------------------------------------------------- */

static bool is_any(const struct cpl_addr *a)
{
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0), any6 = { { 0 } };

	return cpl_addr_equal(a, &any4) || cpl_addr_equal(a, &any6);
}

static bool is_loopback(const struct cpl_addr *a)
{
	struct cpl_addr one = { { 0 } };

	one.b[15] = 1;
	return cpl_addr_is4(a) ? a->b[12] == 127 : cpl_addr_equal(a, &one);
}

void rule_listener_add(struct rule_look *l, const struct cpl_info *listener)
{
	struct rule_listener *r;

	if (l->listeners == l->listeners_room) {
		size_t room = l->listeners_room ? l->listeners_room * 2 : 16;

		r = realloc(l->listener, room * sizeof(*r));
		if (!r) {
			l->d->failed = true;
			return;
		}
		l->listener = r;
		l->listeners_room = room;
	}
	r = &l->listener[l->listeners++];
	memset(r, 0, sizeof(*r));
	r->netns = listener->netns;
	r->addr = listener->local_addr;
	r->port = listener->local_port;
	r->any = is_any(&r->addr);
	l->ports[r->port / 8] |= (uint8_t)(1u << r->port % 8);
}

static int by_port(const void *a, const void *b)
{
	const struct rule_listener *x = a, *y = b;

	return (x->port > y->port) - (x->port < y->port);
}

void rule_listeners_sort(struct rule_look *l)
{
	if (l->listeners)
		qsort(l->listener, l->listeners, sizeof(*l->listener), by_port);
}

/* Whether a call from namespace NETNS to ADDR reaches a listener of R's namespace and address. */
static bool reaches(const struct rule_look *l, const struct rule_listener *r, uint32_t netns,
		    const struct cpl_addr *addr)
{
	const struct view_host *host = view_facts_host(l->seen->facts, r->netns);

	if (!r->any)
		return cpl_addr_equal(&r->addr, addr) && (netns == r->netns || !is_loopback(addr));
	if (is_loopback(addr))
		return netns == r->netns;
	return host && host->addrs ? view_host_has(host, addr) : true;
}

static struct rule_listener *listener_of(struct rule_look *l, uint16_t port, uint32_t netns,
					 const struct cpl_addr *addr)
{
	size_t low = 0, high = l->listeners;

	if (!(l->ports[port / 8] >> port % 8 & 1))
		return NULL;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->listener[mid].port < port)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < l->listeners && l->listener[low].port == port; low++)
		if (reaches(l, &l->listener[low], netns, addr))
			return &l->listener[low];
	return NULL;
}

struct rule_listener *rule_hangs(struct rule_look *l, const struct cpl_info *end)
{
	struct rule_listener *r;

	if (!l->listeners || !end)
		return NULL;
	r = listener_of(l, end->remote_port, end->netns, &end->remote_addr);
	return r ? r : listener_of(l, end->local_port, end->netns, &end->local_addr);
}

/* ---- Pairs ----------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cpl_addr));
}

/*
 * Another namespace of this machine has that address, and all of them were asked. That it is the
 * one that is meant is likely: a namespace may have any address for itself.
 */
static bool a_namespace_has(const struct rule_look *l, const struct cpl_addr *addr, unsigned host)
{
	const struct view_seen *seen = l->seen;

	if (host || !seen->all_namespaces[0] || !seen->complete[0])
		return false;
	for (size_t i = 0; seen->facts && i < seen->facts->hosts; i++)
		if (view_host_has(&seen->facts->host[i], addr))
			return true;
	return false;
}

/* Whether a namespace that should hold the other end of END, of host HOST, was asked for it. */
static bool was_asked(const struct rule_look *l, const struct cpl_info *end, unsigned host,
		      bool *unsure)
{
	const struct view_seen *seen = l->seen;
	bool own = false;

	if (is_loopback(&end->remote_addr))
		return end->source != CPL_SOURCE_STACK && seen->complete[host];
	for (unsigned h = 0; h < l->m->hosts; h++) {
		if (!seen->owns[h] || !bsearch(&end->remote_addr, seen->own[h], seen->owns[h],
					       sizeof(*seen->own[h]), by_bytes))
			continue;
		if (!seen->complete[h] && !seen->told[h])
			return false;
		*unsure |= !seen->complete[h];
		/* Of our own namespace all was asked, whoever we are. */
		if (!seen->all_namespaces[h] &&
		    !(h == host &&
		      view_host_has(view_facts_host(seen->facts, end->netns), &end->remote_addr)))
			return false;
		own = true;
	}
	return own;
}

/* Whether this machine translates addresses, as far as is known. */
static bool translates(const struct view_facts *facts)
{
	uint64_t tracked;

	for (size_t i = 0; facts && i < facts->hosts; i++)
		if (view_fact_get(&facts->host[i], VIEW_FACT_conntrack_number, &tracked) && tracked)
			return true;
	return false;
}

static void pair_init(struct rule_pair *p, struct rule_look *l, const struct view_pair *pair)
{
	memset(p, 0, sizeof(*p));
	p->l = l;
	p->end[0] = pair->x;
	p->end[1] = pair->y;
	for (unsigned end = 0; end < 2; end++) {
		if (p->end[end] == VIEW_ALONE)
			continue;
		p->now[end] = rule_now(l, p->end[end]);
		p->before[end] = rule_before(l, p->end[end]);
	}
	if (pair->y == VIEW_ALONE && p->now[0]) {
		p->looked = was_asked(l, p->now[0], l->m->end[pair->x].host, &p->elsewhere);
		if (!p->looked)
			p->looked = p->elsewhere = a_namespace_has(l, &p->now[0]->remote_addr,
								   l->m->end[pair->x].host);
		p->nat = l->translates;
	}
}

/* It waits for a program that does not take its connections: said of the listener. */
static bool hangs(struct rule_pair *p)
{
	static const unsigned calling = RULE_STATE(SYN_SENT) | RULE_STATE(SYN_RECEIVED);
	bool waits = rule_state_is(p->now[0], calling) || rule_state_is(p->now[1], calling) ||
		     p->end[1] == VIEW_ALONE;
	struct rule_listener *r;

	for (unsigned end = 0; end < 2; end++)
		waits |= p->now[end] && !rule_attached(p->now[end]);
	if (!waits)
		return false;
	r = rule_hangs(p->l, p->now[0]);
	if (!r && p->now[1])
		r = rule_hangs(p->l, p->now[1]);
	if (r)
		r->callers++;
	return r;
}

static void diagnose_pair(struct rule_look *l, const struct view_pair *pair)
{
	/* From what is sure and says most to what is likely and says least. */
	static bool (*const rules[])(struct rule_pair * p) = {
		rule_half_open,		rule_zero_window_stuck, rule_not_acknowledged,
		rule_syn_not_answered,	rule_close_wait_stuck,	rule_fin_wait_2_stuck,
		rule_nagle_delayed_ack, rule_limited,
	};
	struct rule_pair p;
	bool explained, wanted = !l->seen->wanted;

	pair_init(&p, l, pair);
	if (!p.now[0] || (pair->y != VIEW_ALONE && !p.now[1]))
		return; /* it ended while we looked */
	if (!wanted)
		wanted = l->seen->wanted[pair->x] ||
			 (pair->y != VIEW_ALONE && l->seen->wanted[pair->y]);
	if (!wanted)
		return;
	l->d->connections += pair->y != VIEW_ALONE && pair->y != pair->x ? 2 : 1;
	l->d->pairs += pair->y != VIEW_ALONE;
	explained = l->explained[pair->x] || (pair->y != VIEW_ALONE && l->explained[pair->y]);
	if (rule_disagree(&p) || explained || hangs(&p))
		return;
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (rules[i](&p))
			return;
}

/* ---- All together ---------------------------------------------------------------------------- */

static void diagnose_causes(struct rule_look *l)
{
	rule_conntrack_full(l);
	rule_ports_exhausted(l);
	rule_fd_limit(l);
	rule_process_stopped(l);
	rule_rp_filter(l);
	rule_accept_queue_full(l);
	rule_listeners_sort(l);
	rule_syn_queue_full(l);
	rule_listeners_sort(l);
}

/* Whether F, of a host, a program or a listener, concerns this end. */
static bool concerns(const struct view_finding *f, const struct cpl_info *end)
{
	if (!end)
		return false;
	switch (view_finding_kinds[f->id].subject) {
	case VIEW_OF_PROCESS:
		return rule_known(end, CPL_F_pid) && end->pid == f->pid;
	case VIEW_OF_HOST:
		return end->netns == f->netns;
	default:
		break;
	}
	if (f->known_x && f->x.id == end->id && f->x.netns == end->netns)
		return true;
	return (f->x.netns == end->netns && f->x.local_port == end->local_port) ||
	       (f->x.local_port == end->remote_port &&
		(f->x.netns == end->netns || cpl_addr_equal(&f->x.local_addr, &end->remote_addr)));
}

/* Who asked for one connection is told of the causes that concern it. */
static void keep_wanted(struct rule_look *l)
{
	const struct view_match *m = l->m;
	struct view_diagnosis *d = l->d;
	size_t kept = 0;

	if (!l->seen->wanted)
		return;
	view_diagnosis_settle(d);
	for (size_t k = 0; k < d->n; k++) {
		bool keep = false;

		for (size_t i = 0; !keep && i < m->n; i++) {
			if (!l->seen->wanted[i])
				continue;
			keep = concerns(&d->finding[k], rule_now(l, i));
			if (!keep && m->end[i].other != VIEW_NONE)
				keep = concerns(&d->finding[k], rule_now(l, m->end[i].other));
		}
		if (keep && kept != k)
			d->finding[kept] = d->finding[k];
		kept += keep;
	}
	d->n = d->folded = kept;
	view_diagnosis_settle(d);
}

static void note_unseen(struct rule_look *l)
{
	const struct view_seen *seen = l->seen;
	const struct view_facts *facts = seen->facts;

	if (!facts)
		view_diagnosis_unseen(l->d, "limits and counters of the host");
	bool owned = false;

	for (size_t i = 0; facts && !owned && i < l->m->n; i++)
		owned = l->m->end[i].host == 0 && rule_known(rule_now(l, i), CPL_F_pid);
	if (owned && !facts->processes)
		view_diagnosis_unseen(l->d, "whether programs are stopped or out of descriptors");
	for (unsigned host = 0; host < l->m->hosts; host++)
		if (l->m->look[host].passes < 3)
			view_diagnosis_unseen(l->d, "what stands still and what moves (one moment "
						    "was looked at)");
}

/* In whose namespace it was found, for who stands in another. */
static void name_spaces(struct view_diagnosis *d, const struct view_facts *facts)
{
	for (size_t i = 0; i < d->n; i++) {
		struct view_finding *f = &d->finding[i];
		const struct view_host *host = f->netns ? view_facts_host(facts, f->netns) : NULL;

		if (!host || host->ours)
			continue;
		if (*host->name)
			snprintf(f->space, sizeof(f->space), "%s", host->name);
		else
			snprintf(f->space, sizeof(f->space), "%u", host->netns);
	}
}

uint64_t view_diagnose(struct view_diagnosis *d, const struct view_seen *seen)
{
	struct rule_look l = { .d = d, .seen = seen, .m = seen->match };

	l.explained = calloc(l.m->n ? l.m->n : 1, sizeof(*l.explained));
	if (!l.explained) {
		d->failed = true;
		return 0;
	}
	l.translates = translates(seen->facts);
	diagnose_causes(&l);
	keep_wanted(&l);
	for (size_t i = 0; i < l.m->pairs; i++)
		diagnose_pair(&l, &l.m->pair[i]);
	name_spaces(d, seen->facts);
	note_unseen(&l);
	if (l.wanted_ns > seen->later_ns)
		view_diagnosis_unseen(d, "what shows only after a longer look (--for=%u)",
				      (unsigned)((l.wanted_ns + RULE_SECOND - 1) / RULE_SECOND));
	free(l.explained);
	free(l.listener);
	free(l.born.entry);
	free(l.quiet.entry);
	return l.wanted_ns > seen->later_ns ? l.wanted_ns : 0;
}
