/* SPDX-License-Identifier: MIT */
/* What rows say: see rank.h. */
#include "view/rank.h"

const char *rank_trouble_name(enum rank_trouble trouble)
{
	static const char *const names[RANK_TROUBLES] = {
		[RANK_STUCK] = "stuck",		  [RANK_RESENDS] = "resends",
		[RANK_ZERO_WINDOW] = "no room",	  [RANK_UNREAD] = "unread",
		[RANK_ACCEPT_FULL] = "full",	  [RANK_NOT_ANSWERED] = "no answer",
		[RANK_NOT_CLOSED] = "not closed", [RANK_FINE] = "",
	};

	return trouble < RANK_TROUBLES ? names[trouble] : "?";
}

struct view_word rank_short(uint64_t n)
{
	static const char units[] = " KMGTPE";
	double v = (double)n;
	unsigned u = 0;

	if (n < 10000)
		return word_format("%u", (unsigned)n);
	while (v >= 999.5 && u < 6) {
		v /= 1000;
		u++;
	}
	return v < 99.95 ? word_format("%.1f%c", v, units[u]) : word_format("%.0f%c", v, units[u]);
}

struct view_word rank_short_ns(uint64_t ns)
{
	double v = (double)ns;

	if (ns == CPL_TIMER_OFF)
		return word_format("off");
	if (v < 999.5e3)
		return word_format("%.0fus", v / 1e3);
	if (v < 9.95e6)
		return word_format("%.1fms", v / 1e6);
	if (v < 999.5e6)
		return word_format("%.0fms", v / 1e6);
	if (v < 9.95e9)
		return word_format("%.1fs", v / 1e9);
	if (v < 999.5e9)
		return word_format("%.0fs", v / 1e9);
	return word_format("%.0fmin", v / 60e9);
}

static unsigned seconds(const struct rank_row *r, uint64_t since)
{
	return (unsigned)((r->taken - since) / 1000000000u);
}

static struct view_word explain_stuck(const struct rank_row *r)
{
	if (r->rexmt_count)
		return word_format("stuck: the oldest segment was sent again %u time%s; %s wait",
				   r->rexmt_count, r->rexmt_count == 1 ? "" : "s",
				   word_bytes(r->send_queue).s);
	return word_format("stuck: %s bytes are out and for %u s no ACK has come",
			   word_count(r->send_queue).s, seconds(r, r->waits_since));
}

static struct view_word explain_fine(const struct rank_row *r)
{
	switch (r->state) {
	case CPL_LISTEN:
		return word_format("listens: %u to be accepted, of at most %u", r->accept_queue,
				   r->backlog);
	case CPL_SYN_RECEIVED:
		return word_format("half-open: the caller's ACK has not come yet");
	case CPL_TIME_WAIT:
		return word_format("over: these ports rest until late segments are gone");
	case CPL_FIN_WAIT_2:
		return word_format("this end has closed, the other has not yet");
	default:
		break;
	}
	if (!r->rated)
		return word_format("no rates yet: they need two samples");
	if (r->in_rate || r->out_rate)
		return word_format("moving: %s in, %s out%s", word_rate(r->in_rate).s,
				   word_rate(r->out_rate).s,
				   r->recv_queue ? "; bytes wait to be read" : "");
	if (r->recv_queue)
		return word_format("%s wait to be read by the program",
				   word_bytes(r->recv_queue).s);
	return word_format("idle: nothing was sent or received since the last sample");
}

struct view_word rank_explain(const struct rank_row *r)
{
	switch (r->trouble) {
	case RANK_STUCK:
		return explain_stuck(r);
	case RANK_RESENDS:
		if (r->retrans_now)
			return word_format("resends: %u segment%s sent again since the last sample",
					   r->retrans_now, r->retrans_now == 1 ? "" : "s");
		return word_format("resends: the oldest segment was sent again %u time%s",
				   r->rexmt_count, r->rexmt_count == 1 ? "" : "s");
	case RANK_ZERO_WINDOW:
		return word_format("no room: the other end's window is zero, %s wait for it",
				   word_bytes(r->send_queue).s);
	case RANK_UNREAD:
		return word_format("unread: for %u s this program has not read %s that wait",
				   seconds(r, r->unread_since), word_bytes(r->recv_queue).s);
	case RANK_ACCEPT_FULL:
		return word_format("full: %u wait%s to be accepted, and the limit is %u",
				   r->accept_queue, r->accept_queue == 1 ? "s" : "", r->backlog);
	case RANK_NOT_ANSWERED:
		if (r->rexmt_count)
			return word_format("no answer: the SYN was sent again %u time%s",
					   r->rexmt_count, r->rexmt_count == 1 ? "" : "s");
		return word_format("no answer yet to the SYN");
	case RANK_NOT_CLOSED:
		return word_format("not closed: the other end has closed, this program has not");
	case RANK_FINE:
	case RANK_TROUBLES:
		break;
	}
	return explain_fine(r);
}
