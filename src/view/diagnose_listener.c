/* SPDX-License-Identifier: MIT */
/* Rules of doctor about listeners: the accept queue and the queue of half-open connections. */
#include "view/diagnose_rules.h"

/* Candidates beyond this are judged by their queue's length alone. */
#define FOLLOWED 64

/* One whose accept queue is full. */
struct full {
	size_t end;
	size_t children; /* connections that wait in it now ... */
	size_t stayed;	 /* ... and waited there before: nothing was taken */
};

/* Linux takes one more than the backlog (sk_acceptq_is_full()). */
static bool accept_full(const struct cpl_info *i)
{
	return rule_known(i, CPL_F_accept_queue) && rule_known(i, CPL_F_backlog) &&
	       i->accept_queue > i->backlog;
}

static bool is_child(const struct cpl_info *child, const struct cpl_info *listener)
{
	return child->local_port == listener->local_port && child->netns == listener->netns &&
	       child->remote_port &&
	       rule_state_is(child, RULE_STATE(ESTABLISHED) | RULE_STATE(CLOSE_WAIT)) &&
	       !rule_attached(child);
}

static void count_children(const struct rule_look *l, struct full *full, size_t n)
{
	uint8_t ports[8192] = { 0 };

	for (size_t k = 0; k < n; k++) {
		uint16_t port = rule_now(l, full[k].end)->local_port;

		ports[port / 8] |= (uint8_t)(1u << port % 8);
	}
	for (size_t i = 0; n && i < l->m->n; i++) {
		const struct cpl_info *now = rule_now(l, i), *before = rule_before(l, i);

		if (!now || !(ports[now->local_port / 8] >> now->local_port % 8 & 1))
			continue;
		for (size_t k = 0; k < n; k++) {
			const struct cpl_info *listener = rule_now(l, full[k].end);

			if (!is_child(now, listener))
				continue;
			full[k].children++;
			full[k].stayed += before && is_child(before, listener);
		}
	}
}

static uint64_t overflows(const struct rule_look *l, const struct cpl_info *i)
{
	uint64_t now, then;

	if (!view_fact_get(view_facts_host(l->seen->facts, i->netns), VIEW_FACT_listen_overflows,
			   &now) ||
	    !view_fact_get(view_facts_host(l->seen->before, i->netns), VIEW_FACT_listen_overflows,
			   &then))
		return 0;
	return now > then ? now - then : 0;
}

static void find_accept_queue_full(struct rule_look *l, const struct full *full)
{
	const struct cpl_info *now = rule_now(l, full->end), *before = rule_before(l, full->end);
	bool stuck = before && full->stayed && full->stayed == full->children;
	bool long_enough = l->seen->later_ns >= RULE_SECOND;
	struct view_finding *f;

	l->explained[full->end] = true;
	rule_listener_add(l, now);
	f = view_diagnosis_add(l->d, VIEW_FINDING_accept_queue_full,
			       !before		      ? VIEW_GUESS
			       : stuck && long_enough ? VIEW_CERTAIN
						      : VIEW_DERIVED);
	view_finding_of(f, now, NULL);
	view_finding_blame(f, now);
	view_finding_say(f, "%s connection%s wait%s in the accept queue, which takes %s",
			 word_count(now->accept_queue).s, now->accept_queue == 1 ? "" : "s",
			 now->accept_queue == 1 ? "s" : "", word_count(now->backlog + 1ull).s);
	if (stuck)
		view_finding_say(f, "not one was accepted in %s", word_ns(l->seen->later_ns).s);
	else if (before)
		view_finding_say(f, "it was full %s ago, too", word_ns(l->seen->later_ns).s);
	if (overflows(l, now))
		view_finding_say(f, "%s calls were turned away meanwhile (ListenOverflows)",
				 word_count(overflows(l, now)).s);
}

void rule_accept_queue_full(struct rule_look *l)
{
	struct full full[FOLLOWED];
	size_t n = 0;

	for (size_t i = 0; i < l->m->n; i++) {
		const struct cpl_info *now = rule_now(l, i), *before = rule_before(l, i);

		if (!rule_state_is(now, RULE_STATE(LISTEN)) || l->explained[i] ||
		    !accept_full(now) || (before && !accept_full(before)))
			continue;
		if (n < FOLLOWED)
			full[n++] = (struct full){ .end = i };
		else
			find_accept_queue_full(l, &(struct full){ .end = i });
	}
	count_children(l, full, n);
	for (size_t k = 0; k < n; k++)
		find_accept_queue_full(l, &full[k]);
}

/* With so few one cannot speak of a flood; a backlog of 0 is full of none. */
#define FLOOD 4

static bool syn_full(const struct cpl_info *i)
{
	return rule_known(i, CPL_F_syn_queue) && rule_known(i, CPL_F_backlog) &&
	       i->syn_queue >= FLOOD && i->syn_queue >= i->backlog;
}

void rule_syn_queue_full(struct rule_look *l)
{
	for (size_t i = 0; i < l->m->n; i++) {
		const struct cpl_info *now = rule_now(l, i), *before = rule_before(l, i);
		const struct view_host *host;
		struct view_finding *f;
		uint64_t cookies, sent;

		/* Where the accept queue is full, half-open ones pile up behind it. */
		if (!rule_state_is(now, RULE_STATE(LISTEN)) || l->explained[i] || !syn_full(now) ||
		    (before && !syn_full(before)) || rule_hangs(l, now))
			continue;
		l->explained[i] = true;
		rule_listener_add(l, now);
		f = view_diagnosis_add(l->d, VIEW_FINDING_syn_queue_full,
				       before ? VIEW_CERTAIN : VIEW_GUESS);
		view_finding_of(f, now, NULL);
		view_finding_blame(f, now);
		view_finding_say(f, "%s half-open connections, and the backlog is %s",
				 word_count(now->syn_queue).s, word_count(now->backlog).s);
		host = view_facts_host(l->seen->facts, now->netns);
		if (!view_fact_get(host, VIEW_FACT_syncookies, &cookies))
			continue;
		if (!cookies)
			view_finding_say(f,
					 "net.ipv4.tcp_syncookies is 0: further calls are dropped");
		else if (view_fact_get(host, VIEW_FACT_syncookies_sent, &sent) && sent)
			view_finding_say(f,
					 "further calls get a SYN cookie (%s since this host's "
					 "start)",
					 word_count(sent).s);
	}
}
