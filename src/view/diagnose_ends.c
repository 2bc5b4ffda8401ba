/* SPDX-License-Identifier: MIT */
/* Rules of doctor about two ends that contradict each other, and about an end that has no other. */
#include <string.h>

#include "base/seq.h"
#include "view/diagnose_rules.h"

/* ---- Both ends were seen --------------------------------------------------------------------- */

/* The check that shows the disagreement; certain ones before others. */
static const struct view_check *broken(const struct view_report *r)
{
	const struct view_check *best = NULL;

	for (unsigned i = 0; i < r->n; i++) {
		const struct view_check *k = &r->checks[i];

		if (!k->seen || k->verdict != VIEW_DISAGREE)
			continue;
		if (!best || k->certainty < best->certainty ||
		    (k->certainty == best->certainty && k->rule == VIEW_RULE_RECEIVED))
			best = k;
	}
	return best;
}

/* What is no proof in a sandwich must be so a moment later as well. */
static const struct view_check *
broken_later(const struct rule_pair *p, const struct view_ends *names, struct view_report *report)
{
	struct view_ends ends = *names;

	if (!p->before[0] || !p->before[1])
		return NULL;
	ends.x = p->before[0];
	ends.y = p->before[1];
	view_compare_passes(&ends, p->now[0], p->now[1], report);
	return broken(report);
}

static void say_broken(struct view_finding *f, const struct view_report *report)
{
	unsigned said = 0;

	for (unsigned i = 0; i < report->n && said < VIEW_EVIDENCE - 1; i++) {
		if (!report->checks[i].seen || report->checks[i].verdict != VIEW_DISAGREE)
			continue;
		view_finding_say(f, "%.190s", report->checks[i].text);
		said++;
	}
}

/* Numbers of one direction alone do not fit: somebody has added bytes to it. */
static bool is_forged(const struct view_report *r)
{
	bool forged = false;

	for (unsigned i = 0; i < r->n; i++) {
		const struct view_check *k = &r->checks[i];

		if (!k->seen || k->verdict != VIEW_DISAGREE)
			continue;
		if (k->rule == VIEW_RULE_RECEIVED || k->rule == VIEW_RULE_BYTES_RECEIVED)
			forged |= k->certainty != VIEW_GUESS;
		else if (k->rule != VIEW_RULE_WINDOW)
			return false;
	}
	return forged;
}

bool rule_disagree(struct rule_pair *p)
{
	const struct view_match *m = p->l->m;
	struct view_pair pair = { p->end[0], p->end[1], VIEW_BY_ADDRESS };
	struct view_ends ends = { .absent = VIEW_NOT_LOOKED };
	struct view_report report, later;
	const struct view_check *k;
	struct view_word name[2];
	struct view_finding *f;
	bool forged;

	if (p->end[1] == VIEW_ALONE || p->end[0] == p->end[1])
		return false;
	view_match_compare(m, &pair, &ends, false, false, &report);
	p->l->d->checks += report.n - report.unseen;
	if (!broken(&report))
		return false;
	for (unsigned end = 0; end < 2; end++)
		name[end] = word_endpoint(&p->now[end]->local_addr, p->now[end]->local_port);
	ends.x_name = name[0].s;
	ends.y_name = name[1].s;
	view_match_compare(m, &pair, &ends, true, false, &report);
	k = broken(&report);
	forged = k && is_forged(&report);
	if (k && !forged)
		k = broken_later(p, &ends, &later);
	if (!k)
		return false;
	f = rule_find(p, forged ? VIEW_FINDING_forged_bytes : VIEW_FINDING_desynchronised,
		      k->certainty, 0);
	say_broken(f, forged ? &report : &later);
	return true;
}

/* ---- The other end is missing ---------------------------------------------------------------- */

static uint64_t ports_key(uint16_t local, uint16_t remote)
{
	return (uint64_t)local << 16 | remote;
}

static bool born_key(const struct rule_look *l, size_t end, uint64_t *key)
{
	const struct view_end *e = &l->m->end[end];
	const struct cpl_info *now;

	if (e->at[0] != VIEW_NONE || e->at[1] != VIEW_NONE)
		return false;
	now = rule_now(l, end);
	*key = now ? ports_key(now->local_port, now->remote_port) : 0;
	return now;
}

/* The other end of X, which only the last pass saw: it had not been there, or comes again. */
static bool born_since(struct rule_look *l, const struct cpl_info *x)
{
	const struct rule_key *k;
	size_t n;

	rule_index_make(l, &l->born, born_key);
	k = rule_index_find(&l->born, ports_key(x->remote_port, x->local_port), &n);
	for (size_t i = 0; i < n; i++) {
		const struct cpl_info *now = rule_now(l, k[i].end);

		if (cpl_addr_equal(&now->local_addr, &x->remote_addr) &&
		    cpl_addr_equal(&now->remote_addr, &x->local_addr))
			return true;
	}
	return false;
}

bool rule_half_open(struct rule_pair *p)
{
	static const unsigned states =
		RULE_STATE(ESTABLISHED) | RULE_STATE(FIN_WAIT_1) | RULE_STATE(FIN_WAIT_2);
	const struct cpl_info *now = p->now[0];
	bool three = p->before[0];
	struct view_finding *f;

	if (p->end[1] != VIEW_ALONE || !p->looked || !rule_state_is(now, states) ||
	    !rule_attached(now))
		return false;
	/* It ends by itself, or has just changed. */
	if (rule_timer_runs(now, CPL_F_timer_close) ||
	    (three && rule_moved(p->before[0], now, CPL_F_state) == 1))
		return false;
	/* Who was translated has its other end elsewhere, and only its numbers would tell. */
	if (p->nat && !rule_known(now, CPL_F_snd_una))
		return false;
	if (three && born_since(p->l, now))
		return false;
	/* Somebody answers it. */
	if (rule_moved(p->before[0], now, CPL_F_segs_in) == 1 ||
	    rule_moved(p->before[0], now, CPL_F_bytes_acked) == 1 ||
	    rule_moved(p->before[0], now, CPL_F_bytes_received) == 1)
		return false;
	f = rule_find(p, VIEW_FINDING_half_open,
		      three && !p->nat && !p->elsewhere ? VIEW_DERIVED : VIEW_GUESS, 0);
	view_finding_blame(f, now);
	view_finding_say(f, "%s was asked for its connections and has no such end",
			 word_endpoint(&now->remote_addr, now->remote_port).s);
	if (rule_at_least(now, CPL_F_in_flight, 1))
		view_finding_say(f, "%s of this end are unacknowledged, sent again %u times",
				 word_bytes(now->in_flight).s,
				 (unsigned)rule_value(now, CPL_F_rexmt_count));
	else if (rule_timer_runs(now, CPL_F_timer_keep))
		view_finding_say(f, "its keep-alive will find out in %s",
				 word_ns(now->timer_keep).s);
	else if (rule_known(now, CPL_F_timer_keep))
		view_finding_say(f,
				 "it has nothing to send and no keep-alive: it will not find out");
	rule_say_drop(f, rule_drop(p->l, now, NULL));
	return true;
}
