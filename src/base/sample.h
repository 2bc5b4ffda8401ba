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
};

/* One acknowledgment, after the send map was updated. */
struct ack_event {
	uint64_t now;
	uint64_t delivered;	   /* bytes delivered so far, this ACK included */
	uint32_t acked_bytes;	   /* cumulatively acknowledged by this ACK */
	uint32_t sacked_bytes;	   /* newly reported by SACK */
	uint32_t newly_lost_bytes; /* declared lost while this ACK was processed */
	uint32_t in_flight_before; /* pipe before this ACK */
	uint32_t in_flight;	   /* pipe after it */
	uint32_t mss;
	uint64_t srtt_ns;
	uint64_t min_rtt_ns;
	bool in_recovery;  /* fast recovery, or loss recovery after an RTO */
	bool cwnd_limited; /* the flight filled cwnd since the last ACK (RFC 9438, RFC 7661) */
	bool ece;	   /* ECN echo */
	uint32_t ce_bytes; /* bytes newly reported as marked (AccECN, DCTCP) */
	struct rate_sample rate;
};

#endif
