/* SPDX-License-Identifier: MIT */
/*
 * HyStart++, RFC 9406: the first slow start ends when the round trip grows, before the queue of the
 * bottleneck overflows; by way of a few rounds of slower growth, in case it was only jitter. Beside
 * it the other detector of the first HyStart (Ha and Rhee, "Taming the elephants", 2011), the
 * length of an ACK train, for a controller that asks for it.
 */
#ifndef CC_HYSTART_H
#define CC_HYSTART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sample.h"

struct hystart {
	uint64_t
		round_end; /* the round ends when what was sent after so much was delivered comes */
	uint32_t last_min_us;	 /* lastRoundMinRTT; UINT32_MAX: none */
	uint32_t current_min_us; /* currentRoundMinRTT */
	uint32_t baseline_us;	 /* cssBaselineMinRtt */
	uint8_t samples;	 /* rttSampleCount, as far as it matters */
	uint8_t css_rounds;	 /* of conservative slow start so far */
	bool css;
	bool begun;
	uint64_t train_end;		 /* the round of the train, as round_end */
	uint64_t train_from, train_last; /* its first ACK, and the last that came close behind */
};

void hystart_init(struct hystart *h);
/*
 * One ACK in the first slow start that acknowledges *BYTES: makes them fewer where growth is to be
 * slower. True: slow start is over; ssthresh = cwnd.
 */
bool hystart_ack(struct hystart *h, const struct ack_event *ev, uint32_t *bytes);
/*
 * The same ACK, with cwnd at CWND: true if those of this round have come one close behind the other
 * for half of the least round trip: what is in flight fills the path. Nothing slows down before.
 */
bool hystart_train(struct hystart *h, const struct ack_event *ev, uint32_t cwnd);

#endif
