/* SPDX-License-Identifier: MIT */
/*
 * What loss recovery tells congestion control: one event for each ACK that was processed, with the
 * rate sample of draft-ietf-ccwg-bbr section 4.1. Both are plain values; neither knows the
 * connection.
 */
#ifndef BASE_SAMPLE_H
#define BASE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

/* Taken from a sent record's delivery snapshot when the record is acknowledged. */
struct rate_sample {
	uint64_t prior_delivered; /* bytes delivered when the newest acknowledged record was sent */
	uint64_t delivered;	  /* bytes delivered between that and now */
	uint64_t interval_ns;	  /* the longer of send and ACK interval; 0: no sample */
	uint64_t rtt_ns;	  /* of this ACK; 0: none (Karn) */
	uint32_t lost;		  /* bytes declared lost in the interval */
	uint32_t tx_in_flight;	  /* bytes in flight when that record was sent */
	bool app_limited;
	bool has_data; /* something was delivered: prior_delivered and tx_in_flight are known */
};

/* Bytes a second; 0: no sample. */
static inline uint64_t rate_sample_rate(const struct rate_sample *rate)
{
	if (!rate->interval_ns)
		return 0;
	if (rate->delivered < UINT64_MAX / 1000000000u)
		return rate->delivered * 1000000000u / rate->interval_ns;
	return rate->delivered / (rate->interval_ns / 1000000000u + 1);
}

/* Whether A's rate is no less than B's, if it has one at all. */
static inline bool rate_sample_geq(const struct rate_sample *a, const struct rate_sample *b)
{
	__extension__ typedef unsigned __int128 product;

	return (product)a->delivered * b->interval_ns >= (product)b->delivered * a->interval_ns;
}

/*
 * The delivery rate that a snapshot tells, TOLD so far: the newest sample, unless the program gave
 * too little during it; then only if it says more (draft-ietf-ccwg-bbr 4.1, as Linux).
 */
static inline bool rate_sample_tells(const struct rate_sample *rate, const struct rate_sample *told)
{
	return rate->interval_ns && rate->delivered &&
	       (!rate->app_limited || rate_sample_geq(rate, told));
}

/* More than one in so many bytes lost since a record was sent: it was sent into too much. */
#define LOSS_HIGH_DEN 50

/* What was declared lost since the last ACK. */
struct loss_sample {
	uint32_t bytes;
	uint32_t events; /* ranges that do not touch */
	bool high;	 /* one met a loss rate above 1 in LOSS_HIGH_DEN; the first of these: */
	bool app_limited;
	uint32_t tx_in_flight; /* when it was sent */
	uint32_t lost;	       /* since then, its own bytes included */
	uint32_t size;
};

/* New data is about to be sent. */
struct send_event {
	uint64_t now;
	uint64_t delivered;
	uint64_t srtt_ns; /* 0: not known */
	uint32_t in_flight;
	bool app_limited; /* the program had nothing to send before */
};

/* One acknowledgment, after the send map was updated. */
struct ack_event {
	uint64_t now;
	uint64_t delivered;	   /* bytes delivered so far, this ACK included */
	uint32_t newly_acked;	   /* bytes that this ACK reported delivered, in either way */
	uint32_t acked_bytes;	   /* cumulatively acknowledged by this ACK */
	uint32_t sacked_bytes;	   /* newly reported by SACK */
	uint32_t newly_lost_bytes; /* declared lost while this ACK was processed */
	uint32_t in_flight_before; /* pipe before this ACK */
	uint32_t in_flight;	   /* pipe after it */
	uint32_t mss;
	uint64_t srtt_ns;
	uint64_t min_rtt_ns;
	bool in_reduction; /* cwnd is being moved by rate reduction: not to be grown */
	bool in_recovery;  /* fast recovery, or loss recovery after an RTO */
	bool cwnd_limited; /* the flight filled cwnd since the last ACK (RFC 9438, RFC 7661) */
	bool ece;	   /* ECN echo: something was marked */
	uint32_t ce_bytes; /* of newly_acked, those that were; classic ECN: all, if any was */
	struct rate_sample rate;
	struct loss_sample loss;
};

#endif
