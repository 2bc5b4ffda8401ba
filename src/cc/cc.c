/* SPDX-License-Identifier: MIT */
/*
 * What congestion controllers share: the list of them, the initial window (RFC 6928), slow start
 * and additive increase by bytes (RFC 5681 3.1, RFC 3465), restart after idleness (RFC 5681 4.1).
 */
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "cc/cc.h"

const struct cc_ops *const cc_controllers[] = { &cc_cubic, &cc_reno, &cc_bbr, &cc_dctcp };
#define CONTROLLERS (sizeof(cc_controllers) / sizeof(cc_controllers[0]))

const struct cc_ops *cc_at(unsigned i)
{
	return i < CONTROLLERS ? cc_controllers[i] : NULL;
}

static bool same(const char *a, const char *b)
{
	for (; *a == *b; a++, b++)
		if (!*a)
			return true;
	return false;
}

const struct cc_ops *cc_find(const char *name)
{
	const struct cc_ops *ops;
	unsigned i;

	for (i = 0; (ops = cc_at(i)); i++)
		if (same(ops->name, name))
			return ops;
	return NULL;
}

/* RFC 6928 section 2: min(10 * MSS, max(2 * MSS, 14600)), where 14600 is 10 segments on Ethernet.
 */
uint32_t cc_initial_window(uint32_t mss, uint32_t segments)
{
	uint64_t window = (uint64_t)segments * mss, bound = (uint64_t)segments * 1460;

	if (bound < 2ull * mss)
		bound = 2ull * mss;
	if (window > bound)
		window = bound;
	return window < UINT32_MAX ? (uint32_t)window : UINT32_MAX;
}

void cc_init(struct cc *cc, const struct cc_ops *ops, uint32_t mss, uint32_t initial_window,
	     uint64_t now)
{
	uint32_t id = 0;

	ASSERT(mss > 0);
	while (id < CONTROLLERS && cc_controllers[id] != ops)
		id++;
	ASSERT(id < CONTROLLERS);
	memset(cc, 0, offsetof(struct cc, state));
	cc->id = id;
	cc->cwnd = initial_window;
	cc->ssthresh = cc->prior_ssthresh = CC_SSTHRESH_NONE;
	cc->mss = mss;
	cc->initial = 10;
	hystart_init(&cc->hystart);
	ops->init(cc, now);
}

/* WINDOW in segments of MSS instead of OLD. */
static uint32_t rescale(uint32_t window, uint32_t old, uint32_t mss)
{
	uint64_t scaled = (uint64_t)window * mss / old;

	return scaled < UINT32_MAX ? (uint32_t)scaled : UINT32_MAX - 1;
}

void cc_set_mss(struct cc *cc, uint32_t mss)
{
	uint32_t old = cc->mss;

	ASSERT(mss > 0);
	if (mss == old)
		return;
	cc->mss = mss;
	cc->cwnd = rescale(cc->cwnd, old, mss);
	if (cc->cwnd < mss)
		cc->cwnd = mss;
	cc->prior_cwnd = rescale(cc->prior_cwnd, old, mss);
	cc->acked = 0;
	if (cc->ssthresh != CC_SSTHRESH_NONE)
		cc->ssthresh = rescale(cc->ssthresh, old, mss);
	if (cc->prior_ssthresh != CC_SSTHRESH_NONE)
		cc->prior_ssthresh = rescale(cc->prior_ssthresh, old, mss);
}

static void grow(struct cc *cc, uint64_t bytes)
{
	cc->cwnd = bytes < UINT32_MAX - cc->cwnd ? cc->cwnd + (uint32_t)bytes : UINT32_MAX - 1;
}

uint32_t cc_growth_bytes(const struct ack_event *ev)
{
	uint32_t left = 0;

	if (!ev->in_recovery)
		return ev->acked_bytes < ev->newly_acked ? ev->acked_bytes : ev->newly_acked;
	if (ev->in_flight_before > ev->in_flight)
		left = ev->in_flight_before - ev->in_flight;
	if (left < ev->mss)
		left = ev->mss;
	return ev->acked_bytes < left ? ev->acked_bytes : left;
}

/* MUST-19: slow start (RFC 5681 3.1). */
uint32_t cc_slow_start(struct cc *cc, const struct ack_event *ev, uint32_t acked_bytes)
{
	uint32_t room, bytes;

	if (cc->ssthresh == CC_SSTHRESH_NONE && hystart_ack(&cc->hystart, ev, &acked_bytes))
		cc->ssthresh = cc->cwnd;
	room = cc->ssthresh > cc->cwnd ? cc->ssthresh - cc->cwnd : 0;
	bytes = acked_bytes < room ? acked_bytes : room;

	grow(cc, bytes);
	return acked_bytes - bytes;
}

/* MUST-19: congestion avoidance (RFC 5681 3.1, RFC 3465 2.1). */
void cc_additive_increase(struct cc *cc, uint32_t acked_bytes, uint32_t window)
{
	uint64_t acked = cc->acked;
	uint32_t segments = 0;

	if (window < cc->mss)
		window = cc->mss;
	/* What was gathered towards a larger window than this counts for one segment. */
	if (acked >= window) {
		acked = 0;
		segments = 1;
	}
	acked += acked_bytes;
	segments += (uint32_t)(acked / window);
	cc->acked = (uint32_t)(acked % window);
	grow(cc, (uint64_t)segments * cc->mss);
}

void cc_reduce(struct cc *cc, uint32_t flight, uint32_t num, uint32_t den)
{
	uint64_t ssthresh = (uint64_t)flight * num / den;

	cc->prior_cwnd = cc->cwnd;
	cc->prior_ssthresh = cc->ssthresh;
	cc->acked = 0;
	/* Whole segments, as Linux: less than one would grow towards the next, and not be sent. */
	ssthresh -= ssthresh % cc->mss;
	if (ssthresh < 2ull * cc->mss)
		ssthresh = 2ull * cc->mss;
	cc->ssthresh = (uint32_t)ssthresh;
}

void cc_restart(struct cc *cc)
{
	uint32_t window = cc_initial_window(cc->mss, cc->initial), most = cc->cwnd / 4 * 3;

	if (cc->cwnd <= window)
		return;
	/* The path carried cwnd once: slow start may go most of the way back, as in Linux. */
	if (cc->ssthresh < most)
		cc->ssthresh = most;
	cc->cwnd = window;
	cc->acked = 0;
}
