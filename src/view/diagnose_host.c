/* SPDX-License-Identifier: MIT */
/* Rules of doctor about hosts (tables that are full) and programs (stopped, out of descriptors). */
#include <stdlib.h>
#include <string.h>

#include "view/diagnose_rules.h"

/* How much a counter has grown since the first pass; 0 if that is not known. */
static uint64_t grown(const struct rule_look *l, const struct view_host *host, enum view_fact fact)
{
	uint64_t now, then;

	if (!view_fact_get(host, fact, &now) ||
	    !view_fact_get(view_facts_host(l->seen->before, host->netns), fact, &then))
		return 0;
	return now > then ? now - then : 0;
}

void rule_conntrack_full(struct rule_look *l)
{
	const struct view_facts *facts = l->seen->facts;

	for (size_t i = 0; facts && i < facts->hosts; i++) {
		const struct view_host *host = &facts->host[i];
		uint64_t number, max, drops = grown(l, host, VIEW_FACT_conntrack_drops);
		struct view_finding *f;

		if (!view_fact_get(host, VIEW_FACT_conntrack_number, &number) ||
		    !view_fact_get(host, VIEW_FACT_conntrack_max, &max) || !max)
			continue;
		/* At the limit old entries are thrown out early: it swings just below. */
		if (number < max && !(drops && number >= max - max / 20))
			continue;
		f = view_diagnosis_add(l->d, VIEW_FINDING_conntrack_full, VIEW_CERTAIN);
		if (!f)
			return;
		f->netns = host->netns;
		snprintf(f->about, sizeof(f->about), "connection tracking");
		view_finding_say(f, "%s entries, and %s may be (nf_conntrack_max)",
				 word_count(number).s, word_count(max).s);
		if (drops)
			view_finding_say(f, "%s packets dropped for it while we looked",
					 word_count(drops).s);
	}
}

/* ---- Ports ----------------------------------------------------------------------------------- */

/* One connection that was called from here: where to, and from which address. */
struct call {
	const struct cpl_info *info;
};

static int call_order(const struct cpl_info *a, const struct cpl_info *b)
{
	int r;

	if (a->netns != b->netns)
		return a->netns < b->netns ? -1 : 1;
	if (a->remote_port != b->remote_port)
		return a->remote_port < b->remote_port ? -1 : 1;
	r = memcmp(&a->remote_addr, &b->remote_addr, sizeof(a->remote_addr));
	return r ? r : memcmp(&a->local_addr, &b->local_addr, sizeof(a->local_addr));
}

static int by_call(const void *pa, const void *pb)
{
	const struct call *a = pa, *b = pb;
	int r = call_order(a->info, b->info);

	return r ? r
		 : (a->info->local_port > b->info->local_port) -
			       (a->info->local_port < b->info->local_port);
}

/* Whether the kernel gives the port of this TIME-WAIT to a new connection (tcp_tw_reuse). */
static bool reusable(const struct cpl_info *i, uint64_t tw_reuse)
{
	bool loopback = cpl_addr_is4(&i->remote_addr)
				? i->remote_addr.b[12] == 127
				: i->remote_addr.b[15] == 1 && !i->remote_addr.b[0];

	return tw_reuse == 1 || (tw_reuse == 2 && loopback);
}

/* CALLS[0..N): all from one address to one port of another. */
static void ports_of_one(struct rule_look *l, const struct call *calls, size_t n,
			 const struct view_host *host, uint64_t low, uint64_t high)
{
	const struct cpl_info *first = calls[0].info;
	uint64_t room = high - low + 1, used = 0, waiting = 0, tw_reuse;
	struct view_finding *f;
	uint32_t last = 0;

	view_fact_get(host, VIEW_FACT_tw_reuse, &tw_reuse);
	for (size_t i = 0; i < n; i++) {
		const struct cpl_info *c = calls[i].info;
		bool over = c->state == CPL_TIME_WAIT;

		if (c->local_port == last || (over && reusable(c, tw_reuse)))
			continue;
		last = c->local_port;
		used++;
		waiting += over;
	}
	if (used < room - (room >= 1000 ? room / 200 : 0))
		return;
	f = view_diagnosis_add(l->d, VIEW_FINDING_ports_exhausted, VIEW_CERTAIN);
	if (!f)
		return;
	view_finding_of(f, first, NULL);
	snprintf(f->about, sizeof(f->about), "calls from %.50s to %.60s",
		 word_addr(&first->local_addr).s,
		 word_endpoint(&first->remote_addr, first->remote_port).s);
	view_finding_say(f, "%s of the %s ports from %u to %u are in use, %s of them by TIME-WAIT",
			 word_count(used).s, word_count(room).s, (unsigned)low, (unsigned)high,
			 word_count(waiting).s);
}

void rule_ports_exhausted(struct rule_look *l)
{
	const struct view_facts *facts = l->seen->facts;
	struct call *calls;
	size_t n = 0;

	if (!facts || !facts->hosts)
		return;
	calls = malloc((l->m->n ? l->m->n : 1) * sizeof(*calls));
	if (!calls) {
		l->d->failed = true;
		return;
	}
	for (size_t i = 0; i < l->m->n; i++) {
		const struct cpl_info *info = rule_now(l, i);

		if (info && l->m->end[i].host == 0 && info->protocol == 6 && info->remote_port &&
		    info->state >= CPL_SYN_SENT)
			calls[n++].info = info;
	}
	for (size_t h = 0; h < facts->hosts; h++) {
		uint64_t low, high;
		size_t kept = 0;

		/* Only what was called from this namespace, out of the range for it. */
		if (!view_fact_get(&facts->host[h], VIEW_FACT_port_low, &low) ||
		    !view_fact_get(&facts->host[h], VIEW_FACT_port_high, &high) || high < low)
			continue;
		for (size_t i = 0; i < n; i++) {
			const struct cpl_info *c = calls[i].info;

			if (c->netns == facts->host[h].netns && c->local_port >= low &&
			    c->local_port <= high)
				kept++;
		}
		if (kept < high - low + 1 - (high - low) / 100)
			continue;
		qsort(calls, n, sizeof(*calls), by_call);
		for (size_t i = 0, end; i < n; i = end) {
			size_t in = 0;

			for (end = i; end < n && !call_order(calls[i].info, calls[end].info); end++)
				in += calls[end].info->local_port >= low &&
				      calls[end].info->local_port <= high;
			if (in >= high - low + 1 - (high - low) / 100 && in == end - i &&
			    calls[i].info->netns == facts->host[h].netns)
				ports_of_one(l, calls + i, end - i, &facts->host[h], low, high);
		}
	}
	free(calls);
}

/* ---- Programs -------------------------------------------------------------------------------- */

static struct view_finding *find_process(struct rule_look *l, enum view_finding_id id,
					 const struct view_process *p)
{
	struct view_finding *f = view_diagnosis_add(l->d, id, VIEW_CERTAIN);

	if (!f)
		return NULL;
	f->pid = p->pid;
	f->netns = p->netns;
	snprintf(f->program, sizeof(f->program), "%.15s", word_foreign(p->program).s);
	return f;
}

/* What waits for one program. */
struct waiting {
	size_t listeners, callers; /* calls in accept queues */
	size_t connections;	   /* with data that it does not read */
	size_t held;		   /* of these, whose peer may not send more */
	uint64_t bytes;
	const struct cpl_info *example;
};

static struct waiting *waiting_of(struct rule_look *l, struct waiting *w,
				  const struct cpl_info *info)
{
	const struct view_facts *facts = l->seen->facts;
	const struct view_process *p =
		info && rule_known(info, CPL_F_pid) ? view_facts_process(facts, info->pid) : NULL;

	return p ? &w[p - facts->process] : NULL;
}

static void count_waiting(struct rule_look *l, struct waiting *w, size_t end)
{
	const struct cpl_info *now = rule_now(l, end), *before = rule_before(l, end);
	size_t other = l->m->end[end].other;
	const struct cpl_info *peer = other == VIEW_NONE ? NULL : rule_now(l, other);
	struct waiting *mine = waiting_of(l, w, now);

	if (!mine)
		return;
	if (rule_state_is(now, RULE_STATE(LISTEN))) {
		if (!rule_at_least(now, CPL_F_accept_queue, 1))
			return;
		mine->listeners++;
		mine->callers += now->accept_queue;
	} else {
		if (!rule_at_least(now, CPL_F_recv_queue, 1) || !rule_end_still(before, now))
			return;
		mine->connections++;
		mine->bytes += now->recv_queue;
		mine->held += peer && rule_known(peer, CPL_F_snd_wnd) && !peer->snd_wnd;
	}
	if (!mine->example || (now->state != CPL_LISTEN && mine->example->state == CPL_LISTEN))
		mine->example = now;
}

/* All that waits for the programs that INVOLVED names is explained by them. */
static void explain_waiting(struct rule_look *l, const bool *involved)
{
	const struct view_facts *facts = l->seen->facts;

	for (size_t i = 0; i < l->m->n; i++) {
		const struct cpl_info *now = rule_now(l, i);
		const struct view_process *p = now && rule_known(now, CPL_F_pid)
						       ? view_facts_process(facts, now->pid)
						       : NULL;
		size_t other = l->m->end[i].other;

		if (!p || !involved[p - facts->process])
			continue;
		l->explained[i] = true;
		if (other != VIEW_NONE)
			l->explained[other] = true;
		if (rule_state_is(now, RULE_STATE(LISTEN)) &&
		    rule_at_least(now, CPL_F_accept_queue, 1))
			rule_listener_add(l, now);
	}
}

static void say_waiting(struct view_finding *f, const struct waiting *w)
{
	if (w->connections)
		view_finding_say(f, "%s lie unread in %s of its connections",
				 word_bytes(w->bytes).s, word_count(w->connections).s);
	if (w->held)
		view_finding_say(f, "the window of %s is closed: the other end may not send",
				 word_count(w->held).s);
	if (w->callers)
		view_finding_say(f, "%s caller%s wait%s to be accepted", word_count(w->callers).s,
				 w->callers == 1 ? "" : "s", w->callers == 1 ? "s" : "");
}

static bool has_two_looks(const struct view_process *p, const struct view_process *before)
{
	return p && before && p->state == before->state;
}

void rule_process_stopped(struct rule_look *l)
{
	const struct view_facts *facts = l->seen->facts;
	struct waiting *w;
	bool *involved, any = false;

	if (!facts || !facts->processes)
		return;
	w = calloc(facts->processes, sizeof(*w));
	involved = calloc(facts->processes, sizeof(*involved));
	for (size_t i = 0; w && involved && i < facts->processes; i++)
		any |= facts->process[i].state == 'T' || facts->process[i].state == 't';
	for (size_t i = 0; any && i < l->m->n; i++)
		count_waiting(l, w, i);
	for (size_t i = 0; any && i < facts->processes; i++) {
		const struct view_process *p = &facts->process[i];
		const struct view_process *before = view_facts_process(l->seen->before, p->pid);
		struct view_finding *f;

		if ((p->state != 'T' && p->state != 't') || !(w[i].connections || w[i].callers) ||
		    (l->seen->before && !has_two_looks(p, before)))
			continue;
		f = find_process(l, VIEW_FINDING_process_stopped, p);
		if (!f)
			break;
		view_finding_of(f, w[i].example, NULL);
		view_finding_say(f,
				 p->state == 'T' ? "process %u is in state T (stopped)"
						 : "process %u is in state t (held by a tracer)",
				 p->pid);
		say_waiting(f, &w[i]);
		snprintf(f->next, sizeof(f->next),
			 p->state == 'T' ? "Continue it: kill -CONT %u, or fg in its shell."
					 : "Let the debugger that holds process %u continue it.",
			 p->pid);
		involved[i] = true;
	}
	if (any)
		explain_waiting(l, involved);
	if (!w || !involved)
		l->d->failed = true;
	free(w);
	free(involved);
}

void rule_fd_limit(struct rule_look *l)
{
	const struct view_facts *facts = l->seen->facts;
	size_t full = 0;

	for (size_t i = 0; facts && i < facts->processes; i++) {
		const struct view_process *p = &facts->process[i];
		struct view_finding *f;

		if (!p->known_limit || !p->descriptors_max || p->descriptors < p->descriptors_max)
			continue;
		f = find_process(l, VIEW_FINDING_fd_limit, p);
		if (!f)
			return;
		view_finding_say(f, "it holds %s descriptors, and %s are allowed",
				 word_count(p->descriptors).s, word_count(p->descriptors_max).s);
		full++;
	}
	/* Its listeners' queues fill up because of that. */
	for (size_t i = 0; full && i < l->m->n; i++) {
		const struct cpl_info *now = rule_now(l, i);
		const struct view_process *p;

		if (!rule_state_is(now, RULE_STATE(LISTEN)) || !rule_known(now, CPL_F_pid) ||
		    !rule_at_least(now, CPL_F_accept_queue, 1))
			continue;
		p = view_facts_process(facts, now->pid);
		if (p && p->known_limit && p->descriptors >= p->descriptors_max) {
			l->explained[i] = true;
			rule_listener_add(l, now);
		}
	}
}

/* ---- Reverse-path filtering ------------------------------------------------------------------ */

/* The event's packet is of a connection or listener that was seen. */
static size_t end_of_packet(const struct rule_look *l, const struct view_event *e)
{
	for (size_t i = 0; i < l->m->n; i++) {
		const struct cpl_info *c = rule_now(l, i);

		if (!c || c->protocol != 6)
			continue;
		if (c->local_port == e->to_port && c->remote_port == e->from_port &&
		    cpl_addr_equal(&c->local_addr, &e->to) &&
		    cpl_addr_equal(&c->remote_addr, &e->from))
			return i;
		if (c->local_port == e->from_port && c->remote_port == e->to_port &&
		    cpl_addr_equal(&c->local_addr, &e->from) &&
		    cpl_addr_equal(&c->remote_addr, &e->to))
			return i;
	}
	return VIEW_ALONE;
}

void rule_rp_filter(struct rule_look *l)
{
	const struct view_facts *facts = l->seen->facts;
	unsigned looked_for = 0;

	for (size_t i = 0; facts && i < facts->events && looked_for < 64; i++) {
		const struct view_event *e = &facts->event[i];
		struct view_finding *f;
		size_t end, other;

		if (e->kind != VIEW_EVENT_DROP || e->protocol != 6 || !rule_event_here(l, e) ||
		    strcmp(e->reason_name, "IP_RPFILTER") != 0)
			continue;
		looked_for++;
		end = end_of_packet(l, e);
		if (end == VIEW_ALONE || l->explained[end])
			continue;
		f = view_diagnosis_add(l->d, VIEW_FINDING_rp_filter, VIEW_CERTAIN);
		if (!f)
			return;
		other = l->m->end[end].other;
		view_finding_of(f, rule_now(l, end),
				other == VIEW_NONE ? NULL : rule_now(l, other));
		l->explained[end] = true;
		if (other != VIEW_NONE)
			l->explained[other] = true;
		view_finding_say(f,
				 "while we watched the kernel dropped %s packets from %s to %s: "
				 "IP_RPFILTER",
				 word_count(e->times).s, word_endpoint(&e->from, e->from_port).s,
				 word_endpoint(&e->to, e->to_port).s);
	}
}
