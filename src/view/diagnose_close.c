/* SPDX-License-Identifier: MIT */
/*
 * Rules of doctor about connections of which one side never closes.
 *
 * CLOSE-WAIT and FIN-WAIT-2 are lawful states: a program may close its half and be answered for
 * hours (RFC 9293 3.6). What tells a forgotten socket is time, or number, and a far end that could
 * not take an answer any more.
 */
#include "view/diagnose_rules.h"

/* No program should be so slow to close when its peer is gone; none is so slow. */
#define GONE_FOR  (3 * RULE_SECOND)
#define GONE_LONG (10 * RULE_SECOND)
/* Nothing comes for so long behind what was asked: that is likely for ever, but may be a thought.
 */
#define ASKED_FOR (5 * RULE_SECOND)
/* The other half may be in use, and its program think for long. */
#define IDLE_FOR  (300 * RULE_SECOND)
/* One forgotten socket can be a thought, so many for this long cannot. */
#define CROWD	  10
#define CROWD_FOR (2 * RULE_SECOND)

/* How long at least nothing was received, acknowledged or sent: the state is no younger. */
static uint64_t quiet_for(const struct cpl_info *i)
{
	static const enum cpl_field fields[] = { CPL_F_last_ack, CPL_F_last_received,
						 CPL_F_last_sent };
	uint64_t least = UINT64_MAX;

	/* Only an ACK's age bounds that of a FIN, which is no data. */
	if (!rule_known(i, CPL_F_last_ack))
		return 0;
	for (size_t k = 0; k < sizeof(fields) / sizeof(*fields); k++)
		if (rule_known(i, fields[k]) && rule_value(i, fields[k]) < least)
			least = rule_value(i, fields[k]);
	return least;
}

/* The same, or how long it was seen to stand still. */
static uint64_t quiet_at_least(const struct rule_pair *p, unsigned x)
{
	uint64_t quiet = quiet_for(p->now[x]), later = p->l->seen->later_ns;

	return p->before[x] && later > quiet ? later : quiet;
}

static uint64_t program_key(const struct cpl_info *i)
{
	return (uint64_t)i->pid << 8 | i->state;
}

static bool quiet_key(const struct rule_look *l, size_t end, uint64_t *key)
{
	static const unsigned states = RULE_STATE(CLOSE_WAIT) | RULE_STATE(FIN_WAIT_2);
	const struct cpl_info *now = rule_now(l, end), *before = rule_before(l, end);

	if (!rule_state_is(now, states) || !rule_known(now, CPL_F_pid) || !rule_attached(now) ||
	    !rule_end_still(before, now))
		return false;
	if (rule_known(now, CPL_F_last_ack) ? quiet_for(now) < CROWD_FOR : !before)
		return false;
	*key = program_key(now);
	return true;
}

/* True if its program holds many connections in this state, all of them quiet. */
static bool is_of_a_crowd(struct rule_look *l, const struct cpl_info *i)
{
	size_t n;

	if (!rule_known(i, CPL_F_pid))
		return false;
	rule_index_make(l, &l->quiet, quiet_key);
	rule_index_find(&l->quiet, program_key(i), &n);
	return n >= CROWD;
}

/* Whether a program at the other end could still take what is sent. */
static bool peer_listens(const struct rule_pair *p, unsigned peer)
{
	if (p->now[peer])
		return rule_attached(p->now[peer]);
	return !p->looked; /* not seen: who knows */
}

bool rule_close_wait_stuck(struct rule_pair *p)
{
	unsigned x = rule_state_is(p->now[0], RULE_STATE(CLOSE_WAIT)) ? 0 : 1;
	const struct cpl_info *now = p->now[x];
	bool listens = peer_listens(p, !x), many;
	struct view_finding *f;
	uint64_t quiet;

	if (!rule_state_is(now, RULE_STATE(CLOSE_WAIT)) || !rule_attached(now) ||
	    !rule_end_still(p->before[x], now) || rule_at_least(now, CPL_F_send_queue, 1))
		return false;
	quiet = quiet_at_least(p, x);
	if (quiet < (listens ? IDLE_FOR : GONE_FOR)) {
		many = p->before[x] && is_of_a_crowd(p->l, now);
		if (!many && !listens && p->before[x])
			rule_want(p->l, GONE_FOR);
		if (!many)
			return false;
	}
	f = rule_find(p, VIEW_FINDING_close_wait_stuck,
		      listens || quiet < GONE_LONG ? VIEW_DERIVED : VIEW_CERTAIN, x);
	view_finding_blame(f, now);
	if (quiet >= RULE_SECOND)
		view_finding_say(f,
				 "the other end closed at least %s ago, and nothing was sent "
				 "since",
				 word_ns(quiet).s);
	if (!p->now[!x] && p->looked)
		view_finding_say(f, "the other end does not exist any more");
	else if (!listens)
		view_finding_say(f, "the other end's program is gone: nobody waits for an answer");
	if (rule_at_least(now, CPL_F_recv_queue, 1))
		view_finding_say(f, "%s has not read to the end of what came", rule_who(now).s);
	else if (rule_known(now, CPL_F_recv_queue))
		view_finding_say(f, "%s has read all, the end included", rule_who(now).s);
	return true;
}

bool rule_fin_wait_2_stuck(struct rule_pair *p)
{
	const struct cpl_info *now = p->now[0];
	struct view_finding *f;
	uint64_t quiet;
	bool many;

	/* Without a program the kernel's timer ends it; a far end that is seen tells more. */
	if (p->end[1] != VIEW_ALONE || !rule_state_is(now, RULE_STATE(FIN_WAIT_2)) ||
	    !rule_attached(now) || rule_timer_runs(now, CPL_F_timer_close) ||
	    !rule_end_still(p->before[0], now))
		return false;
	quiet = quiet_at_least(p, 0);
	many = quiet < ASKED_FOR && p->before[0] && is_of_a_crowd(p->l, now);
	if (quiet < ASKED_FOR && !many) {
		if (p->before[0])
			rule_want(p->l, ASKED_FOR);
		return false;
	}
	f = rule_find(p, VIEW_FINDING_fin_wait_2_stuck,
		      quiet >= IDLE_FOR ? VIEW_DERIVED : VIEW_GUESS, 0);
	view_finding_blame(f, now);
	if (quiet >= RULE_SECOND)
		view_finding_say(f, "%s closed its side, and nothing came for %s", rule_who(now).s,
				 word_ns(quiet).s);
	view_finding_say(f, "the program at %.60s has not closed the other",
			 word_endpoint(&now->remote_addr, now->remote_port).s);
	return true;
}
