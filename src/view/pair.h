/* SPDX-License-Identifier: MIT */
/*
 * Which two snapshots are the two ends of one connection, and whether they agree.
 *
 * For each direction X -> Y of a connection (RFC 9293 section 3.4):
 *   iss(X) = irs(Y)                              both were fixed by the handshake
 *   snd_una(X) <= rcv_nxt(Y) <= snd_nxt(X)       Y acknowledges what it has, and has what X sent
 *   snd_una(X) + snd_wnd(X) <= rcv_edge(Y)       Y never takes back what it offered (SHLD-14)
 *   (state(X), state(Y)) can be reached          see view_state_pair()
 *
 * Snapshots of one instant (the simulator's) are compared as they stand. Live ones never are of one
 * instant: they are compared as a sandwich of two passes, in which only what no order of reading
 * can excuse counts as broken.
 */
#ifndef VIEW_PAIR_H
#define VIEW_PAIR_H

#include "view/text.h"

/* ---- Pairing --------------------------------------------------------------------------------- */

#define VIEW_ALONE SIZE_MAX

enum view_paired_by {
	VIEW_BY_NONE,
	VIEW_BY_ADDRESS,  /* the 4-tuple, mirrored */
	VIEW_BY_SEQUENCE, /* sequence numbers: an address translator stands between */
	VIEW_BY_SEVERAL, /* not paired: several ends could be its other end, and nothing tells which
			  */
};

struct view_pair {
	size_t x;
	size_t y; /* VIEW_ALONE: its other end is not in the set */
	enum view_paired_by by;
};

/*
 * Pairs the ends among INFOS[0..N); listeners and UDP sockets are left out, all else appears
 * exactly once, in the order of x, which is the end that opened actively where that is known.
 * *PAIRS is to be freed by the caller. Returns their number, or -ENOMEM.
 */
long view_pairs(const struct cpl_info *infos, size_t n, struct view_pair **pairs);

/* ---- Agreement ------------------------------------------------------------------------------- */

enum view_verdict {
	VIEW_OK,       /* every check that could be made holds, nothing is outstanding */
	VIEW_BEHIND,   /* they differ as ends on a network must: behind, will heal */
	VIEW_STUCK,    /* behind, and sending again has not helped: nothing gets through */
	VIEW_DISAGREE, /* disagree for good: no exchange that TCP does by itself mends it */
	VIEW_UNSEEN,   /* too little was seen to say */
};

enum view_certainty {
	VIEW_CERTAIN, /* values were read on both sides */
	VIEW_DERIVED, /* a derived value, or an end that was looked for and not found, decides */
	VIEW_GUESS,   /* likely: the other explanations are rarer */
};

enum view_rule {
	VIEW_RULE_PEER,	    /* the other end exists */
	VIEW_RULE_STATE,    /* the pair of states can be reached */
	VIEW_RULE_ISS,	    /* iss = irs */
	VIEW_RULE_ACKED,    /* snd_una <= rcv_nxt */
	VIEW_RULE_RECEIVED, /* rcv_nxt <= snd_nxt */
	VIEW_RULE_WINDOW,   /* snd_una + snd_wnd <= rcv_edge */
	/* The same without sequence numbers, by counters; SYN and FIN may count, or not. */
	VIEW_RULE_BYTES_ACKED,	  /* bytes_acked <= bytes_received */
	VIEW_RULE_BYTES_RECEIVED, /* bytes_received <= bytes_sent - bytes_retrans */
	VIEW_RULES
};

struct view_check {
	enum view_rule rule;
	uint8_t y_to_x; /* 0: what X sends and Y receives, 1: the other way */
	uint8_t seen;	/* 0: not looked at: a value is unknown */
	enum view_verdict verdict;
	enum view_certainty certainty;
	uint8_t wordless; /* text was not made */
	char text[256];	  /* a clause with the numbers */
};

#define VIEW_CHECKS (2 * VIEW_RULES)

struct view_report {
	enum view_verdict verdict;
	enum view_certainty certainty;
	char why[320]; /* one plain sentence: what makes it so */
	unsigned n;
	unsigned unseen; /* how many of them were not looked at */
	struct view_check checks[VIEW_CHECKS];
};

/* How much is known of an end that was not found. Its absence counts only if somebody looked. */
enum view_absent {
	VIEW_NOT_LOOKED,    /* its host was not asked */
	VIEW_LOOKED,	    /* its host was asked: it has no such connection */
	VIEW_LOOKED_PARTLY, /* its host was asked, and could not look everywhere: proves nothing */
	VIEW_LISTENS, /* its host was asked: it listens on that port, and has no such connection */
	VIEW_SEVERAL, /* several ends there could be it, and nothing tells which */
};

struct view_ends {
	const char *x_name, *y_name;  /* of the ends, for the sentences: "client", "server" */
	const struct cpl_info *x, *y; /* either, not both, may be NULL */
	enum view_absent absent;      /* why it is NULL */
};

/* Both of one instant; segments may be in flight. */
void view_compare(const struct view_ends *ends, struct view_report *report);

/*
 * Two passes: ENDS is of the first, X2 and Y2 of the second, which began when the first had ended.
 * Within a pass the order does not matter.
 */
void view_compare_passes(const struct view_ends *ends, const struct cpl_info *x2,
			 const struct cpl_info *y2, struct view_report *report);

/* The same of many: no sentences are made (text and why stay empty), which take most of the time.
 */
void view_compare_quick(const struct view_ends *ends, const struct cpl_info *x2,
			const struct cpl_info *y2, struct view_report *report);

/*
 * One look at each, at two times of which nothing is known: only what no time can excuse (the
 * initial sequence numbers) counts as broken, all else that does not fit counts as not seen.
 */
void view_compare_apart(const struct view_ends *ends, struct view_report *report);

/* True for what makes the exit status 1: they disagree for good, or nothing gets through. */
static inline bool view_is_trouble(enum view_verdict verdict)
{
	return verdict == VIEW_DISAGREE || verdict == VIEW_STUCK;
}

/* "OK", "behind, will heal", "stuck", "disagree for good", "not seen" */
const char *view_verdict_text(enum view_verdict verdict);
/* As JSON has them: "ok", "behind", "stuck", "disagree", "unseen"; "states". */
const char *view_verdict_name(enum view_verdict verdict);
const char *view_rule_name(enum view_rule rule);

/* The one sentence of `couplet lab --story`, wrapped: "Verdict: why (certainty)." */
void view_report_line(struct text *t, const struct view_report *report);
/* All checks, one line each, those not looked at included. */
void view_report_print(struct text *t, const struct view_report *report);

/* What a pair of states means. */
enum view_reach {
	VIEW_REACH_STEADY, /* both can rest here */
	VIEW_REACH_MOVING, /* a segment on its way, or its retransmission, changes it */
	VIEW_REACH_STUCK, /* reached only by a crash or lost state: nothing on its way changes it */
};

struct view_state_pair {
	uint8_t x, y; /* enum cpl_state, x <= y */
	uint8_t reach;
	const char *reason; /* a clause; %x and %y stand for the names of the two */
};

/*
 * What is known of two states, in either order; a missing block is CLOSED. *SWAPPED (may be NULL)
 * tells that %x of the reason is the second argument. NULL only for numbers that are no states.
 */
const struct view_state_pair *view_state_pair(unsigned a, unsigned b, bool *swapped);

#endif
