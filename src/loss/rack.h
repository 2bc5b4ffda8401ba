/* SPDX-License-Identifier: MIT */
/*
 * RACK, RFC 8985 section 6: a segment is lost when one that was sent sufficiently later has been
 * delivered. Sufficiently is the reordering window, which adapts to reordering that was seen and to
 * retransmissions that DSACK showed to be needless. Reads the send map in order of transmission and
 * marks in it; knows neither the connection nor congestion control.
 */
#ifndef LOSS_RACK_H
#define LOSS_RACK_H

#include <stdbool.h>
#include <stdint.h>

#include "loss/sendmap.h"

#define RACK_DUP_THRESH	     3
#define RACK_REO_WND_PERSIST 16 /* recoveries after which the window is small again */

struct rack {
	uint64_t xmit_ns; /* RACK.xmit_ts: last transmission of the newest segment delivered */
	uint64_t rtt_ns;  /* RACK.rtt: of the last segment that step 2 looked at */
	uint64_t reo_wnd_ns;
	uint32_t end_seq;     /* RACK.end_seq */
	uint32_t dsack_round; /* the round trip whose DSACKs count once ends here */
	bool in_dsack_round;
	bool sampled; /* something was delivered: xmit_ns, rtt_ns and end_seq say what */
	bool reordering_seen;
	uint8_t reo_wnd_mult;
	uint8_t reo_wnd_persist;
};

/* What the reordering window depends on. */
struct rack_path {
	uint64_t srtt_ns;
	uint64_t min_rtt_ns; /* 0: not known */
	bool in_recovery;    /* fast recovery, or after a time-out */
	uint32_t dup_acks;   /* in a row that brought news: as many segments at least were SACKed */
};

void rack_init(struct rack *rack, bool reordering_seen);
/* Sections 6.2 step 2 and 3: what one ACK delivered. Returns true if it shows reordering. */
bool rack_update(struct rack *rack, const struct sendmap_result *res, uint64_t now);
/* The same of an ACK that delivered one record, up to END, sent once, at SENT, and no other. */
void rack_delivered(struct rack *rack, uint64_t sent, uint32_t end, uint64_t now);
/* Step 4: DSACK says that what was sent again had arrived; at most once a round trip. */
void rack_dsack(struct rack *rack, uint32_t una, uint32_t nxt);
/* Step 4: a recovery has ended. */
void rack_recovered(struct rack *rack);
/*
 * Steps 4 and 5: marks lost what was sent before the newest delivered segment by more than the
 * reordering window. *WAIT_NS: time until another look may find more; 0: none needed. Returns the
 * bytes marked. Cost: what it marks, and one record.
 */
uint32_t rack_detect(struct rack *rack, struct sendmap *map, const struct rack_path *path,
		     uint64_t now, uint64_t *wait_ns);
/* The same after rack_delivered() where nothing is in flight, outside of recovery: none is lost. */
void rack_quiet(struct rack *rack, const struct rack_path *path);
/*
 * Section 6.3: the retransmission timer fired. Lost are the oldest segment, of MSS bytes, and all
 * that is older than an RTT and the reordering window. Returns the bytes marked.
 */
uint32_t rack_timeout(struct rack *rack, struct sendmap *map, uint32_t mss,
		      const struct rack_path *path, uint64_t now);

#endif
