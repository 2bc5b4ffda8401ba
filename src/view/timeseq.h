/* SPDX-License-Identifier: MIT */
/*
 * The time-sequence plot of one direction of a connection in text cells: how far the sender has
 * come (snd_nxt), what of it is acknowledged (snd_una), and how far it may go (the edge of the
 * window), over time, from samples.
 *
 * Sequence numbers are used where the snapshots have them, else byte counters, which tell the same
 * but for SYN and FIN. Both are unwrapped: two samples may be up to 2^31 bytes apart.
 */
#ifndef VIEW_TIMESEQ_H
#define VIEW_TIMESEQ_H

#include "view/text.h"

#define TIMESEQ_POINTS 600 /* the oldest are forgotten */

struct timeseq_point {
	uint64_t time;		/* ns */
	int64_t una, nxt, edge; /* bytes from the first sample's una */
	bool edge_known;
};

enum timeseq_kind {
	TIMESEQ_NONE,
	TIMESEQ_SENDER,	  /* snd_una, snd_nxt, snd_una + snd_wnd */
	TIMESEQ_COUNTERS, /* bytes_acked, bytes_sent - bytes_retrans, and the window */
	TIMESEQ_RECEIVER, /* the sender is not seen: rcv_nxt and rcv_edge of the other end */
	TIMESEQ_RECEIVED, /* bytes_received and rcv_wnd of the other end */
};

struct timeseq {
	enum timeseq_kind kind;
	uint32_t raw; /* una of the last sample, as it came */
	int64_t una;  /* the same, unwrapped */
	size_t first, n;
	struct timeseq_point point[TIMESEQ_POINTS];
};

void timeseq_clear(struct timeseq *s);
/*
 * One more sample of the direction that SENDER sends and RECEIVER receives; either may be NULL.
 * Another kind of number than before begins anew. Returns false if nothing of it is known.
 */
bool timeseq_add(struct timeseq *s, const struct cpl_info *sender, const struct cpl_info *receiver);
/* WIDTH columns, at least 60; HEIGHT lines, at least 6, axes and legend included. */
void timeseq_draw(struct text *t, const struct timeseq *s, unsigned width, unsigned height);

#endif
