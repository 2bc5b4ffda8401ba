/* SPDX-License-Identifier: MIT */
/*
 * Round-trip time and retransmission time-out: RFC 6298, RFC 7323 section 4.2, and the bounds that
 * Linux uses. The caller owns struct rtt and heeds Karn's algorithm: no sample from data that was
 * sent more than once, unless timestamps tell the transmissions apart.
 */
#include "loss/rtt.h"

/* Alpha is 1/8 and beta 1/4 (RFC 6298 2.3), each divided by the samples expected per round trip. */
#define ALPHA_DIVISOR 8
#define BETA_DIVISOR  4

/* So that no sum below can overflow; RFC 9293's MSL is 2 minutes. */
#define SAMPLE_MAX_NS 600000000000ull

void rtt_init(struct rtt *rtt)
{
	*rtt = (struct rtt){ .min_us = UINT32_MAX };
}

uint32_t rtt_flight_samples(uint32_t flight_size, uint32_t mss)
{
	uint64_t two = 2ull * mss;

	if (!two || flight_size <= two)
		return 1;
	return (uint32_t)((flight_size + two - 1) / two);
}

/* AVERAGE moved towards SAMPLE by 1/DIVISOR of what is between them, rounded to the nearest. */
static inline uint64_t smooth(uint64_t average, uint64_t sample, uint64_t divisor)
{
	if (sample >= average)
		return average + (sample - average + divisor / 2) / divisor;
	return average - (average - sample + divisor / 2) / divisor;
}

/* MUST-18: RFC 6298 section 2. */
void rtt_sample(struct rtt *rtt, uint64_t sample_ns, uint32_t flight_samples)
{
	uint64_t sample_us, error;

	if (!sample_ns)
		sample_ns = 1;
	if (sample_ns > SAMPLE_MAX_NS)
		sample_ns = SAMPLE_MAX_NS;
	if (!flight_samples)
		flight_samples = 1;
	sample_us = sample_ns / 1000 ? sample_ns / 1000 : 1;
	if (sample_us < rtt->min_us)
		rtt->min_us = (uint32_t)sample_us;

	rtt->backoff = 0; /* RFC 6298 5.7: collapsed by the first measurement after it */
	if (!rtt->srtt_ns) {
		rtt->srtt_ns = sample_ns;
		rtt->rttvar_ns = sample_ns / 2;
		return;
	}
	error = sample_ns > rtt->srtt_ns ? sample_ns - rtt->srtt_ns : rtt->srtt_ns - sample_ns;
	/* RFC 6298 2.3: RTTVAR first, with the old SRTT. */
	if (flight_samples == 1) { /* mostly; and no division */
		rtt->rttvar_ns = smooth(rtt->rttvar_ns, error, BETA_DIVISOR);
		rtt->srtt_ns = smooth(rtt->srtt_ns, sample_ns, ALPHA_DIVISOR);
	} else {
		rtt->rttvar_ns =
			smooth(rtt->rttvar_ns, error, (uint64_t)BETA_DIVISOR * flight_samples);
		rtt->srtt_ns =
			smooth(rtt->srtt_ns, sample_ns, (uint64_t)ALPHA_DIVISOR * flight_samples);
	}
	if (!rtt->srtt_ns)
		rtt->srtt_ns = 1;
}

void rtt_syn_lost(struct rtt *rtt)
{
	if (rtt->srtt_ns)
		return;
	rtt->rttvar_ns = RTT_SYN_TIMEOUT_NS;
	rtt->backoff = 0;
}

uint64_t rtt_rto_base(const struct rtt *rtt, const struct rtt_limits *limits)
{
	uint64_t rto, term;

	if (!rtt->srtt_ns) {
		/* RFC 6298 2.1; and 5.7 after a SYN that was lost, where RTTVAR holds 3 s. */
		rto = limits->initial_ns;
		if (rto < rtt->rttvar_ns)
			rto = rtt->rttvar_ns;
	} else {
		/* RFC 6298 2.3 with K = 4. The minimum bounds the variance, not the sum: the RTO
		 * stays a minimum above the round trip however long that is. */
		term = 4 * rtt->rttvar_ns;
		if (term < limits->min_ns)
			term = limits->min_ns;
		rto = rtt->srtt_ns + term;
	}
	return rto < limits->max_ns ? rto : limits->max_ns;
}

uint64_t rtt_rto(const struct rtt *rtt, const struct rtt_limits *limits)
{
	uint64_t base = rtt_rto_base(rtt, limits);

	if (rtt->backoff >= 63 || base > limits->max_ns >> rtt->backoff)
		return limits->max_ns;
	return base << rtt->backoff;
}

/* MUST-19: exponential back-off. */
void rtt_back_off(struct rtt *rtt, const struct rtt_limits *limits)
{
	if (rtt_rto(rtt, limits) < limits->max_ns)
		rtt->backoff++;
}
