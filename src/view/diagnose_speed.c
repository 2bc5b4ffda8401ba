/* SPDX-License-Identifier: MIT */
/* Rules of doctor about data that flow, and what holds them back. */
#include "view/diagnose_rules.h"
#include "view/limits.h"

/* Linux delays an ACK by 40 to 200 ms, others by up to 500 (RFC 9293 3.8.6.3): no more a second. */
#define STALLS_A_SECOND 30

/* A short segment waits for the ACK of another short one. */
static bool waits_by_nagle(const struct cpl_info *i)
{
	if (!rule_state_is(i, RULE_STATE(ESTABLISHED)) || !rule_known(i, CPL_F_snd_mss) ||
	    (rule_known(i, CPL_F_nodelay) && i->nodelay) || rule_value(i, CPL_F_rexmt_count))
		return false;
	return rule_at_least(i, CPL_F_not_sent, 1) && i->not_sent < i->snd_mss &&
	       rule_at_least(i, CPL_F_in_flight, 1) && i->in_flight < i->snd_mss &&
	       rule_value(i, CPL_F_snd_wnd) > i->snd_mss &&
	       (!rule_known(i, CPL_F_why) || i->why == CPL_WHY_NAGLE);
}

static bool nagle(struct rule_pair *p, unsigned x)
{
	const struct cpl_info *now = p->now[x], *before = p->before[x], *peer = p->now[!x];
	uint64_t later = p->l->seen->later_ns, sent, acked;
	struct view_finding *f;
	bool delays;

	if (!before || !later || !waits_by_nagle(now) || !waits_by_nagle(before) ||
	    !rule_known(now, CPL_F_data_segs_out) || !rule_known(now, CPL_F_bytes_acked))
		return false;
	/* It moves, in small segments, and no faster than ACKs that are delayed. */
	sent = now->data_segs_out - before->data_segs_out;
	acked = now->bytes_acked - before->bytes_acked;
	if (!sent || !acked || acked / sent >= now->snd_mss ||
	    sent > 2 * STALLS_A_SECOND * (later + RULE_SECOND - 1) / RULE_SECOND)
		return false;
	/* On a long path waiting for the ACK is not the receiver's doing. */
	if (rule_at_least(now, CPL_F_rtt_min, 40 * RULE_MS))
		return false;
	delays = rule_timer_runs(peer, CPL_F_timer_delack) ||
		 rule_timer_runs(p->before[!x], CPL_F_timer_delack);
	f = rule_find(p, VIEW_FINDING_nagle_delayed_ack, delays ? VIEW_DERIVED : VIEW_GUESS, x);
	view_finding_blame(f, now);
	view_finding_say(f,
			 "%s waits to send %s until %s are acknowledged, each time that it was "
			 "looked at",
			 rule_who(now).s, word_bytes(now->not_sent).s,
			 word_bytes(now->in_flight).s);
	view_finding_say(f, "it sent %s segments of %s in %s, on a path of %s", word_count(sent).s,
			 word_bytes(acked / sent).s, word_ns(later).s,
			 word_ns(rule_value(now, CPL_F_rtt_min)).s);
	if (delays)
		view_finding_say(f, "the receiver's delayed-ACK timer runs");
	return true;
}

bool rule_nagle_delayed_ack(struct rule_pair *p)
{
	return nagle(p, 0) || (p->now[1] && nagle(p, 1));
}

/* ---- What limits it -------------------------------------------------------------------------- */

/* The part of the time between the passes that F, a sum of time, grew by; in percent. */
static unsigned share(const struct rule_pair *p, unsigned x, enum cpl_field f)
{
	uint64_t now, before, later = p->l->seen->later_ns;

	if (!later || !p->before[x] || !rule_known(p->now[x], f) || !rule_known(p->before[x], f))
		return 0;
	now = rule_value(p->now[x], f);
	before = rule_value(p->before[x], f);
	if (now <= before)
		return 0;
	return now - before < later ? (unsigned)((now - before) * 100 / later) : 100;
}

static bool limited(struct rule_pair *p, unsigned x)
{
	const struct cpl_info *now = p->now[x], *before = p->before[x];
	uint64_t moved = 0;
	struct view_finding *f;
	unsigned full = share(p, x, CPL_F_why_time_rwnd),
		 zero = share(p, x, CPL_F_why_time_zero_wnd);
	unsigned window = full + zero < 100 ? full + zero : 100;
	unsigned buffer = share(p, x, CPL_F_why_time_sndbuf);
	struct view_limits limits;
	bool busy;

	if (!before || !rule_state_is(now, RULE_STATE(ESTABLISHED) | RULE_STATE(CLOSE_WAIT)))
		return false;
	if (rule_known(now, CPL_F_bytes_acked) && rule_known(before, CPL_F_bytes_acked))
		moved = now->bytes_acked - before->bytes_acked;
	if (!moved)
		return false;
	busy = rule_at_least(now, CPL_F_not_sent, 1) && rule_at_least(before, CPL_F_not_sent, 1);
	f = rule_find(p,
		      window >= 50   ? VIEW_FINDING_limited_by_receiver
		      : buffer >= 50 ? VIEW_FINDING_limited_by_buffer
		      : busy	     ? VIEW_FINDING_limited_by_network
				     : VIEW_FINDING_limited_by_sender,
		      window >= 50 || buffer >= 50 ? VIEW_CERTAIN : VIEW_DERIVED, x);
	view_finding_blame(f, window >= 50 ? p->now[!x] : now);
	view_finding_say(
		f, "%s in %s: %s", word_bytes(moved).s, word_ns(p->l->seen->later_ns).s,
		word_rate((uint64_t)((double)moved * 1e9 / (double)p->l->seen->later_ns)).s);
	if (view_limits_get(&limits, now, before)) {
		char clause[400];

		view_limits_clause(clause, sizeof(clause), &limits, now,
				   p->now[!x] ? rule_who(p->now[!x]).s : NULL);
		view_finding_say(f, "%s", clause);
	} else if (window >= 50)
		view_finding_say(f, "for %u %% of that time the receiver's window was full",
				 window);
	else if (busy)
		view_finding_say(f, "congestion window %s, smoothed round-trip time %s",
				 word_bytes(rule_value(now, CPL_F_cwnd)).s,
				 word_ns(rule_value(now, CPL_F_srtt)).s);
	return true;
}

bool rule_limited(struct rule_pair *p)
{
	bool found;

	if (!p->l->seen->remarks)
		return false;
	found = limited(p, 0);
	return (p->now[1] && limited(p, 1)) || found;
}
