/* SPDX-License-Identifier: MIT */
/*
 * Rules of doctor about data that do not flow: a window that stays closed, segments that nobody
 * acknowledges, SYNs that nobody answers.
 *
 * A sender that sends again and again knows only that no ACK comes. What its peer holds tells why:
 * all of it (the way back is broken), later but not earlier bytes (large packets vanish), nothing.
 */
#include <string.h>

#include "base/seq.h"
#include "view/diagnose_rules.h"

/* ---- The program does not read --------------------------------------------------------------- */

/* Slow readers read at least once in so long. */
#define READS_WITHIN (3 * RULE_SECOND)
/* A window that stays closed for so long is told of even if its reader is not seen. */
#define CLOSED_FOR   (10 * RULE_SECOND)

static bool has_more(const struct cpl_info *sender)
{
	return rule_at_least(sender, CPL_F_not_sent, 1) ||
	       rule_at_least(sender, CPL_F_in_flight, 1) ||
	       rule_timer_runs(sender, CPL_F_timer_persist);
}

/* Its peer's window does not let it send, and it would. */
static bool held_by_window(const struct cpl_info *sender)
{
	if (!has_more(sender) || !rule_state_is(sender, RULE_SYNCHRONISED))
		return false;
	if (rule_known(sender, CPL_F_snd_wnd) && !sender->snd_wnd)
		return true;
	if (rule_known(sender, CPL_F_why) && sender->why == CPL_WHY_ZERO_WND)
		return true;
	/* Silly-window avoidance: less than a segment is offered (RFC 9293 3.8.6.2.1). */
	return rule_timer_runs(sender, CPL_F_timer_persist) &&
	       rule_at_least(sender, CPL_F_not_sent, 1) && !rule_value(sender, CPL_F_in_flight);
}

/* It drops what comes within the window, since its memory is used up. */
static bool out_of_memory(const struct cpl_info *reader, const struct cpl_info *sender)
{
	return rule_known(reader, CPL_F_recv_buffer) &&
	       rule_at_least(reader, CPL_F_recv_memory, reader->recv_buffer) &&
	       reader->recv_buffer && rule_at_least(sender, CPL_F_rexmt_count, 2);
}

static bool reads(const struct rule_pair *p, unsigned reader)
{
	static const enum cpl_field fields[] = { CPL_F_read_seq, CPL_F_recv_queue, CPL_F_rcv_nxt,
						 CPL_F_bytes_received, CPL_FIELDS };

	return !rule_still(p->before[reader], p->now[reader], fields);
}

static bool find_reader(struct rule_pair *p, unsigned reader)
{
	const struct cpl_info *r = p->now[reader], *s = p->now[!reader];
	struct rule_look *l = p->l;
	struct view_finding *f;

	if (!rule_at_least(r, CPL_F_recv_queue, 1) || reads(p, reader))
		return false;
	if (s ? !held_by_window(s) && !out_of_memory(r, s)
	      : !rule_known(r, CPL_F_rcv_wnd) || r->rcv_wnd || !p->before[reader])
		return false;
	if (!p->before[reader] && !rule_at_least(r, CPL_F_last_received, READS_WITHIN) &&
	    !rule_at_least(s, CPL_F_last_sent, READS_WITHIN))
		return false; /* one moment: it may read the next */
	if (p->before[reader] && l->seen->later_ns < READS_WITHIN) {
		rule_want(l, READS_WITHIN);
		return false;
	}
	f = rule_find(p, VIEW_FINDING_zero_window_stuck,
		      !p->before[reader] ? VIEW_GUESS
		      : s		 ? VIEW_CERTAIN
					 : VIEW_DERIVED,
		      reader);
	view_finding_blame(f, r);
	if (p->before[reader])
		view_finding_say(f, "%s has left %s unread, and read nothing in %s", rule_who(r).s,
				 word_bytes(r->recv_queue).s, word_ns(l->seen->later_ns).s);
	else
		view_finding_say(f, "%s has left %s unread", rule_who(r).s,
				 word_bytes(r->recv_queue).s);
	if (s)
		view_finding_say(f, "%s holds %s back: the window is %s", rule_who(s).s,
				 word_bytes(rule_value(s, CPL_F_not_sent) +
					    rule_value(s, CPL_F_in_flight))
					 .s,
				 word_bytes(rule_value(s, CPL_F_snd_wnd)).s);
	else
		view_finding_say(f, "its window is closed; the sender was not seen");
	if (s && rule_timer_runs(s, CPL_F_timer_persist))
		view_finding_say(f, "the sender asks again in %s", word_ns(s->timer_persist).s);
	return true;
}

/* The reader is on a host that was not asked. */
static bool find_closed_window(struct rule_pair *p)
{
	const struct cpl_info *s = p->now[0];
	struct view_finding *f;

	if (p->end[1] != VIEW_ALONE || !held_by_window(s) || rule_value(s, CPL_F_snd_wnd) ||
	    !rule_attached(s) || !rule_end_still(p->before[0], s))
		return false;
	if (!rule_at_least(s, CPL_F_backoff, 5) && !rule_at_least(s, CPL_F_last_sent, CLOSED_FOR))
		return false;
	f = rule_find(p, VIEW_FINDING_zero_window_stuck, VIEW_DERIVED, 0);
	snprintf(f ? f->next : (char[240]){ 0 }, 240,
		 "Look at the program at %.60s: stopped, blocked, or waiting for something else.",
		 word_endpoint(&s->remote_addr, s->remote_port).s);
	view_finding_say(f, "%.60s offers a window of 0; %s holds %s back",
			 word_endpoint(&s->remote_addr, s->remote_port).s, rule_who(s).s,
			 word_bytes(rule_value(s, CPL_F_send_queue)).s);
	if (rule_known(s, CPL_F_last_sent))
		view_finding_say(f, "nothing could be sent for %s", word_ns(s->last_sent).s);
	return true;
}

bool rule_zero_window_stuck(struct rule_pair *p)
{
	if (find_reader(p, 0))
		return true;
	return p->end[1] == VIEW_ALONE ? find_closed_window(p) : find_reader(p, 1);
}

/* ---- No ACK comes ---------------------------------------------------------------------------- */

/*
 * So many retransmissions of one segment in a row are no bad luck: where a third of all packets
 * are lost in each direction, of 40 segments one gets so far. A drop that was seen needs fewer.
 */
#define AGAIN	   4
#define AGAIN_SEEN 3

/* The next retransmission is waited for if it comes this soon: who drops it is seen then. */
#define NEXT_WITHIN (8 * RULE_SECOND)
#define NEXT_MARGIN (200 * RULE_MS)

static void await_next(struct rule_look *l, const struct cpl_info *now)
{
	uint64_t until = l->seen->later_ns + NEXT_MARGIN;

	if (!l->seen->facts || !l->seen->facts->watched || !rule_timer_runs(now, CPL_F_timer_rexmt))
		return;
	until += now->timer_rexmt;
	if (now->timer_rexmt < NEXT_WITHIN && until < NEXT_WITHIN)
		rule_want(l, until);
}

/* The segment that X sends again is at least as large as it may be. */
static bool full_sized(const struct cpl_info *x)
{
	return rule_at_least(x, CPL_F_snd_mss, 1) && rule_at_least(x, CPL_F_in_flight, x->snd_mss);
}

/* How much of X's bytes Y has beyond what X knows to be acknowledged: 1 some, 0 none, -1 unknown.
 */
static int has_arrived(const struct cpl_info *x, const struct cpl_info *y)
{
	if (rule_known(x, CPL_F_snd_una) && rule_known(y, CPL_F_rcv_nxt))
		return seq_gt(y->rcv_nxt, x->snd_una);
	if (rule_known(x, CPL_F_bytes_acked) && rule_known(y, CPL_F_bytes_received))
		/* A SYN or FIN may count. */
		return y->bytes_received > x->bytes_acked + 2;
	return -1;
}

/* What Y knows to have come from X since Y last got further: small packets that passed. */
static bool small_passed(const struct rule_pair *p, unsigned x)
{
	const struct cpl_info *now = p->now[x], *peer = p->now[!x];

	if (rule_at_least(now, CPL_F_sacked, 1) || rule_at_least(peer, CPL_F_ooo_bytes, 1))
		return true;
	/* Pure ACKs of X reach Y. */
	return rule_moved(p->before[!x], peer, CPL_F_snd_una) == 1 ||
	       rule_moved(p->before[!x], peer, CPL_F_segs_in) == 1;
}

static void say_again(struct view_finding *f, const struct rule_pair *p, unsigned x)
{
	const struct cpl_info *now = p->now[x];

	view_finding_say(f, "%s: %s sent, the oldest %u times, and not acknowledged",
			 rule_who(now).s, word_bytes(rule_value(now, CPL_F_in_flight)).s,
			 (unsigned)rule_value(now, CPL_F_rexmt_count) + 1);
}

static bool find_ack_path(struct rule_pair *p, unsigned x)
{
	const struct cpl_info *now = p->now[x], *peer = p->now[!x];
	bool numbers = rule_known(now, CPL_F_snd_una) && rule_known(peer, CPL_F_rcv_nxt);
	struct view_finding *f = rule_find(p, VIEW_FINDING_ack_path_broken,
					   numbers ? VIEW_CERTAIN : VIEW_DERIVED, x);

	say_again(f, p, x);
	if (numbers)
		view_finding_say(f, "%s has %s of these: they arrived",
				 word_endpoint(&peer->local_addr, peer->local_port).s,
				 word_bytes(peer->rcv_nxt - now->snd_una).s);
	else
		view_finding_say(f, "%s has received them",
				 word_endpoint(&peer->local_addr, peer->local_port).s);
	rule_say_drop(f, rule_drop(p->l, peer, NULL));
	return true;
}

/* The message that a packet was too large, to X, was thrown away. */
static const struct view_event *lost_message(const struct rule_look *l, const struct cpl_info *x)
{
	const struct view_facts *facts = l->seen->facts;

	for (size_t i = 0; facts && i < facts->events; i++) {
		const struct view_event *e = &facts->event[i];
		bool told = (e->protocol == 1 && e->from_port == 3 && e->to_port == 4) ||
			    (e->protocol == 58 && e->from_port == 2);

		if (e->kind == VIEW_EVENT_DROP && told && rule_event_here(l, e) &&
		    cpl_addr_equal(&e->to, &x->local_addr))
			return e;
	}
	return NULL;
}

/*
 * Of all that X sent nothing as large as what it sends again ever arrived, and the other end is
 * alive: it was seen, or heard of.
 */
static bool only_small_before(const struct rule_pair *p, unsigned x)
{
	const struct cpl_info *now = p->now[x];

	return rule_at_least(now, CPL_F_bytes_acked, 1) && now->bytes_acked < now->snd_mss &&
	       (p->now[!x] || rule_moved(p->before[x], now, CPL_F_segs_in) == 1);
}

static bool find_mtu(struct rule_pair *p, unsigned x, const struct view_event *too_big)
{
	const struct view_event *message = lost_message(p->l, p->now[x]);
	const struct cpl_info *now = p->now[x], *peer = p->now[!x];
	struct view_finding *f = rule_find(p, VIEW_FINDING_mtu_black_hole,
					   too_big		? VIEW_CERTAIN
					   : small_passed(p, x) ? VIEW_DERIVED
								: VIEW_GUESS,
					   x);

	say_again(f, p, x);
	view_finding_say(f, "its segments carry up to %s, in packets of up to %u bytes",
			 word_bytes(now->snd_mss).s, (unsigned)rule_value(now, CPL_F_pmtu));
	if (rule_at_least(peer, CPL_F_ooo_bytes, 1))
		view_finding_say(f, "%s that came later in smaller segments did arrive",
				 word_bytes(peer->ooo_bytes).s);
	else if (rule_at_least(now, CPL_F_sacked, 1))
		view_finding_say(f, "the other end has got %s of later, smaller segments (SACK)",
				 word_bytes(now->sacked).s);
	else if (only_small_before(p, x))
		view_finding_say(f, "all that ever arrived, %s, was smaller than one such segment",
				 word_bytes(now->bytes_acked).s);
	rule_say_drop(f, too_big);
	if (message)
		view_finding_say(f,
				 "the message that says so (ICMP) was dropped on this machine: %s",
				 word_foreign(message->reason_name).s);
	return true;
}

/*
 * The host of RECEIVER has filtered at least as many packets by their reverse path as X has sent in
 * vain: likely these. (Events say it for certain, if one is seen: rule_rp_filter().)
 */
static bool find_filtered(struct rule_pair *p, unsigned x, const struct cpl_info *receiver)
{
	const struct view_host *host =
		receiver ? view_facts_host(p->l->seen->facts, receiver->netns) : NULL;
	uint64_t drops, again = rule_value(p->now[x], CPL_F_rexmt_count);
	struct view_finding *f;

	if (!view_fact_get(host, VIEW_FACT_rp_filter_drops, &drops) || drops < again)
		return false;
	f = rule_find(p, VIEW_FINDING_rp_filter, VIEW_GUESS, x);
	say_again(f, p, x);
	view_finding_say(f, "the host of %s has dropped %s packets by reverse-path filtering",
			 word_endpoint(&receiver->local_addr, receiver->local_port).s,
			 word_count(drops).s);
	return true;
}

static bool find_black_hole(struct rule_pair *p, unsigned x, const struct view_event *drop)
{
	const struct cpl_info *now = p->now[x], *peer = p->now[!x];
	struct view_finding *f = rule_find(p, VIEW_FINDING_black_hole,
					   drop	  ? VIEW_CERTAIN
					   : peer ? VIEW_DERIVED
						  : VIEW_GUESS,
					   x);

	say_again(f, p, x);
	if (peer)
		view_finding_say(f, "%s has received none of that",
				 word_endpoint(&peer->local_addr, peer->local_port).s);
	if (rule_at_least(now, CPL_F_soft_error, 1))
		view_finding_say(f, "the last error message for it: %s",
				 strerror((int)now->soft_error));
	rule_say_drop(f, drop);
	return true;
}

/* The way of X's packets, when X sends again and again. */
static bool not_acknowledged(struct rule_pair *p, unsigned x)
{
	const struct cpl_info *now = p->now[x], *peer = p->now[!x];
	const struct view_event *drop, *too_big;
	uint64_t again = rule_value(now, CPL_F_rexmt_count);
	int arrived;

	if (again < AGAIN_SEEN || !rule_state_is(now, RULE_SYNCHRONISED) || !rule_attached(now) ||
	    !rule_at_least(now, CPL_F_in_flight, 1) ||
	    rule_moved(p->before[x], now, CPL_F_snd_una) == 1 ||
	    rule_moved(p->before[x], now, CPL_F_bytes_acked) == 1)
		return false;
	arrived = peer ? has_arrived(now, peer) : -1;
	/* That the ACK of this instant is still on its way is ruled out by the pass before. */
	if (arrived == 1 && p->before[!x])
		arrived = has_arrived(now, p->before[!x]);
	drop = rule_drop(p->l, arrived == 1 ? peer : now, NULL);
	if (again < AGAIN && !(drop && strcmp(drop->reason_name, "QDISC_DROP") != 0))
		return false;
	if (!drop)
		await_next(p->l, now);
	if (!drop && find_filtered(p, x, arrived == 1 ? now : peer))
		return true;
	if (arrived == 1)
		return find_ack_path(p, x);
	too_big = rule_drop(p->l, now, "PKT_TOO_BIG");
	if (too_big || (full_sized(now) && (!drop || strcmp(drop->reason_name, "NETFILTER_DROP")) &&
			(small_passed(p, x) || only_small_before(p, x))))
		return find_mtu(p, x, too_big);
	return find_black_hole(p, x, drop);
}

bool rule_not_acknowledged(struct rule_pair *p)
{
	return not_acknowledged(p, 0) || (p->now[1] && not_acknowledged(p, 1));
}

/* ---- No answer comes ------------------------------------------------------------------------- */

/* One lost SYN is a lossy link. */
#define SYN_AGAIN 2

bool rule_syn_not_answered(struct rule_pair *p)
{
	unsigned x = rule_state_is(p->now[0], RULE_STATE(SYN_SENT)) ? 0 : 1;
	const struct cpl_info *now = p->now[x], *peer = p->now[!x];
	const struct view_event *drop;
	struct view_finding *f;
	uint64_t again = rule_value(now, CPL_F_rexmt_count);

	if (!rule_state_is(now, RULE_STATE(SYN_SENT)))
		return false;
	drop = rule_drop(p->l, now, NULL);
	if (!drop && peer)
		drop = rule_drop(p->l, peer, NULL);
	if (again < SYN_AGAIN && !(again && drop))
		return false;
	if (!drop)
		await_next(p->l, now);
	f = rule_find(p, VIEW_FINDING_syn_not_answered, VIEW_CERTAIN, x);
	view_finding_blame(f, now);
	view_finding_say(f, "%s has sent its SYN %u times", rule_who(now).s, (unsigned)again + 1);
	if (rule_state_is(peer, RULE_STATE(SYN_RECEIVED)))
		view_finding_say(f, "%s has got it: its SYN,ACK does not come back",
				 word_endpoint(&peer->local_addr, peer->local_port).s);
	if (rule_at_least(now, CPL_F_soft_error, 1))
		view_finding_say(f, "the last error message for it: %s",
				 strerror((int)now->soft_error));
	rule_say_drop(f, drop);
	if (f)
		snprintf(f->next, sizeof(f->next), "Ask for the reason: couplet doctor %.60s %u.",
			 word_addr(&now->remote_addr).s, now->remote_port);
	return true;
}
