/* SPDX-License-Identifier: MIT */
/*
 * Tail loss probe, RFC 8985 section 7: when the last segments of a flight are lost, no later one
 * tells of it. After about two round trips without an ACK one segment is sent, new or the last one
 * again, so that its ACK or SACK tells what is missing, long before the time-out.
 */
#ifndef LOSS_TLP_H
#define LOSS_TLP_H

#include <stdbool.h>
#include <stdint.h>

#include "loss/sendmap.h"

/* At least so long: what answers at once may still be scheduled late. */
#define TLP_MIN_NS	     10000000ull
/* Section 7.2: how long a lone segment's ACK may be delayed by the peer. */
#define TLP_MAX_ACK_DELAY_NS 200000000ull
/* And what is waited for where no round trip was measured yet. */
#define TLP_UNMEASURED_NS    1000000000ull

struct tlp {
	bool out;	  /* a probe is in the network: TLP.end_seq is not None */
	bool retrans;	  /* TLP.is_retrans: it was sent a second time */
	uint32_t end_seq; /* TLP.end_seq */
};

/* TLP_calc_PTO(), from the last transmission or ACK. FLIGHT: bytes; SRTT_NS 0: not known. */
uint64_t tlp_pto_ns(uint32_t flight, uint32_t mss, uint64_t srtt_ns);

enum tlp_verdict {
	TLP_NOTHING,
	TLP_REPAIRED, /* the probe filled a hole: that loss asks for a congestion response */
};

/*
 * TLP_process_ack(): ACK is SEG.ACK; DSACK: the block that it reports as a duplicate, or NULL;
 * PURE: it moved nothing and carries no SACK block.
 */
enum tlp_verdict tlp_ack(struct tlp *tlp, uint32_t ack, const struct sack_block *dsack, bool pure);

#endif
