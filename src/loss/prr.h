/* SPDX-License-Identifier: MIT */
/*
 * Proportional rate reduction, RFC 9937: in recovery the flight goes from where it was to ssthresh
 * by sending in proportion to what arrives, and neither stops nor bursts on the way.
 */
#ifndef LOSS_PRR_H
#define LOSS_PRR_H

#include <stdbool.h>
#include <stdint.h>

struct prr {
	uint64_t delivered;  /* prr_delivered: bytes in this recovery */
	uint64_t out;	     /* prr_out: bytes sent in it */
	uint32_t recover_fs; /* RecoverFS: what was in flight when it began */
};

/*
 * Recovery begins. OUTSTANDING: snd_nxt - snd_una, and of this ACK: SACKED bytes in the scoreboard,
 * NEWLY_SACKED of them, ACKED cumulatively.
 */
void prr_start(struct prr *prr, uint32_t outstanding, uint32_t sacked, uint32_t newly_sacked,
	       uint32_t acked);
/*
 * One ACK in recovery that DELIVERED bytes left PIPE in flight: the cwnd until the next one. SAFE:
 * it moved una and showed no further loss.
 */
uint32_t prr_cwnd(struct prr *prr, uint32_t ssthresh, uint32_t pipe, uint32_t delivered,
		  uint32_t mss, bool safe);
/* Bytes were sent, or (negative) not taken by the device after all. */
static inline void prr_sent(struct prr *prr, int64_t bytes)
{
	prr->out = bytes < 0 && prr->out < (uint64_t)-bytes ? 0 : prr->out + (uint64_t)bytes;
}

#endif
