/* SPDX-License-Identifier: MIT */
/*
 * Round-trip time and retransmission time-out (RFC 6298), as Linux bounds it: the variance term is
 * at least rto_min, and only samples of segments sent once, or timed by timestamps, count (Karn).
 */
#ifndef LOSS_RTT_H
#define LOSS_RTT_H

#include <stdint.h>

/* RFC 6298 5.7: a SYN that timed out leaves this RTO, until a round trip was measured. */
#define RTT_SYN_TIMEOUT_NS 3000000000ull

struct rtt {
	uint64_t srtt_ns; /* 0: no sample yet */
	uint64_t rttvar_ns;
	uint32_t min_us; /* least seen; UINT32_MAX: none */
	uint8_t backoff; /* doublings in force */
};

struct rtt_limits {
	uint64_t initial_ns;
	uint64_t min_ns;
	uint64_t max_ns;
};

void rtt_init(struct rtt *rtt);
/*
 * A sample, in ns; FLIGHT_SAMPLES: samples expected in a round trip (RFC 7323 4.2), at least 1.
 * Ends the back-off: that lasts until an RTT is measured again (Karn, RFC 6298 5.7).
 */
void rtt_sample(struct rtt *rtt, uint64_t sample_ns, uint32_t flight_samples);
/* RFC 7323 4.2: samples to expect in a round trip with FLIGHT_SIZE bytes out and delayed ACKs. */
uint32_t rtt_flight_samples(uint32_t flight_size, uint32_t mss);
/* The handshake is done, and its SYN had timed out: the RTO is RTT_SYN_TIMEOUT_NS at least until
 * there is a sample, without back-off. No effect once there is one. */
void rtt_syn_lost(struct rtt *rtt);
/* The time-out with back-off, in ns. */
uint64_t rtt_rto(const struct rtt *rtt, const struct rtt_limits *limits);
/* The same without back-off. */
uint64_t rtt_rto_base(const struct rtt *rtt, const struct rtt_limits *limits);
/* RFC 6298 5.5: double, up to the limit. */
void rtt_back_off(struct rtt *rtt, const struct rtt_limits *limits);

#endif
