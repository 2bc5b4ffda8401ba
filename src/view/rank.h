/* SPDX-License-Identifier: MIT */
/*
 * Which connections matter: small rows made from snapshots, what happened in each since the sample
 * before, and their order: trouble first, then traffic, then the idle.
 *
 * Pure functions. What is called trouble here is what one end shows of itself between two samples:
 * a hint to look closer, not a verdict (pair.h, diagnose.h).
 */
#ifndef VIEW_RANK_H
#define VIEW_RANK_H

#include "view/text.h"

/* In order of weight. */
enum rank_trouble {
	RANK_STUCK,	   /* sent again and again, or for long nothing was acknowledged */
	RANK_RESENDS,	   /* segments are being sent again */
	RANK_ZERO_WINDOW,  /* the peer has no room */
	RANK_UNREAD,	   /* this end's program does not read */
	RANK_ACCEPT_FULL,  /* a listener whose accept queue is full */
	RANK_NOT_ANSWERED, /* SYN-SENT */
	RANK_NOT_CLOSED,   /* CLOSE-WAIT */
	RANK_FINE,
	RANK_TROUBLES /* their number */
};

/* What changed since the sample before, as bits. */
#define RANK_STATE	1u
#define RANK_RECV_QUEUE 2u
#define RANK_SEND_QUEUE 4u
#define RANK_IN_RATE	8u
#define RANK_OUT_RATE	16u
#define RANK_RTT	32u
#define RANK_CWND	64u
#define RANK_NEW	128u /* was not there before */

/* For so long data may be unacknowledged, or unread, before it is called trouble. */
#define RANK_PATIENCE_NS 5000000000u

/* Unknown numbers are 0, and `known` has no bit for them. */
struct rank_row {
	uint64_t id;
	uint32_t netns;
	uint8_t source, family, state;
	bool shown; /* the caller's: passes the filter */
	uint16_t local_port, remote_port;
	struct cpl_addr local, remote;
	uint32_t ifindex;
	uint32_t pid;
	char program[16];
	uint64_t inode;

	uint64_t known[CPL_INFO_WORDS]; /* of the fields below, by enum cpl_field */
	uint64_t taken;
	uint32_t recv_queue, send_queue, accept_queue, backlog, not_sent, in_flight, snd_wnd, cwnd;
	uint64_t srtt, rto, timer_persist;
	uint64_t bytes_sent, bytes_retrans, bytes_acked, bytes_received;
	uint32_t retrans;
	uint8_t rexmt_count, probe_count, backoff;

	/* Made by rank_join(). */
	bool rated;		    /* the rates and retrans_now are known */
	uint64_t in_rate, out_rate; /* bytes a second */
	uint32_t retrans_now;	    /* segments sent again since the sample before */
	uint64_t waits_since;	    /* since when data is out and no ACK comes; 0: it is not so */
	uint64_t unread_since;	    /* since when the same bytes are not read; 0: likewise */
	uint32_t changed;	    /* RANK_ bits */
	enum rank_trouble trouble;
};

void rank_row_init(struct rank_row *row, const struct cpl_info *info);
bool rank_known(const struct rank_row *row, enum cpl_field field);
/* The same end of the same connection. */
bool rank_same(const struct rank_row *a, const struct rank_row *b);

/*
 * Rates, changes and trouble of NOW[0..N), against BEFORE (may be empty). Of rows that came twice
 * the later one is kept. Returns how many are left, or -ENOMEM.
 */
long rank_join(struct rank_row *now, size_t n, const struct rank_row *before, size_t before_n);

/* ---- Order ----------------------------------------------------------------------------------- */

enum rank_sort {
	RANK_BY_MATTER,
	RANK_BY_IN,
	RANK_BY_OUT,
	RANK_BY_RECV_QUEUE,
	RANK_BY_SEND_QUEUE,
	RANK_BY_RTT,
	RANK_BY_CWND,
	RANK_BY_STATE,
	RANK_BY_LOCAL,
	RANK_BY_FOREIGN,
	RANK_BY_PROGRAM,
	RANK_SORTS /* their number */
};

/* "what matters", "In/s" ... */
const char *rank_sort_name(enum rank_sort sort);

/*
 * Fills ORDER with the places of the N rows that are shown, best first, and returns how many. What
 * is equal stands in order of addresses, so that rows stay where they are. REVERSE turns the key
 * round; unknown values are last either way.
 */
size_t rank_order(uint32_t *order, const struct rank_row *rows, size_t n, enum rank_sort sort,
		  bool reverse);

/* ---- Words ----------------------------------------------------------------------------------- */

/* "stuck", "resends" ...; "" for RANK_FINE. */
const char *rank_trouble_name(enum rank_trouble trouble);
/* One sentence about what goes on in ROW, with its numbers. */
struct view_word rank_explain(const struct rank_row *row);
/* At most five columns: 812, 12.3K, 1.2M; powers of 1000. */
struct view_word rank_short(uint64_t n);
/* At most five columns: 40us, 1.2ms, 310ms, 12s. */
struct view_word rank_short_ns(uint64_t ns);

#endif
