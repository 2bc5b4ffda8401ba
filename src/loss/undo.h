/* SPDX-License-Identifier: MIT */
/*
 * Was what was sent again needed? The receiver tells by DSACK that a retransmission came twice (RFC
 * 2883, RFC 3708), or by the timestamp it echoes that it had the original (Eifel, RFC 3522). If all
 * of an episode's retransmissions were needless, what it took from cwnd is given back (RFC 4015).
 */
#ifndef LOSS_UNDO_H
#define LOSS_UNDO_H

#include <stdbool.h>
#include <stdint.h>

#include "loss/sendmap.h"

struct undo {
	bool armed;	    /* a reduction can be taken back */
	bool resent_any;    /* something was sent again since */
	uint32_t marker;    /* una when it was made */
	uint32_t unproven;  /* bytes sent again, and not reported by DSACK yet */
	uint64_t resent_ns; /* when the first of them left */
};

/* A reduction was made. */
void undo_arm(struct undo *undo, uint32_t una);
static inline void undo_disarm(struct undo *undo)
{
	undo->armed = false;
}
/* BYTES were sent again. */
void undo_resent(struct undo *undo, uint32_t bytes, uint64_t now);
/* A DSACK block. */
void undo_dsack(struct undo *undo, const struct sack_block *block);
/* Every retransmission was reported as a duplicate. */
static inline bool undo_proven(const struct undo *undo)
{
	return undo->armed && undo->resent_any && !undo->unproven;
}
/*
 * An ACK that moved una was called forth by a segment that left at ECHO_NS at the latest (0: not
 * known), before anything was sent again: the originals were only late.
 */
static inline bool undo_eifel(const struct undo *undo, uint64_t echo_ns)
{
	return undo->armed && undo->resent_any && echo_ns && echo_ns < undo->resent_ns;
}

#endif
