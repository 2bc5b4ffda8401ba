/* SPDX-License-Identifier: MIT */
/* Linux's struct tcp_info and states, translated; see tcp_info.h for what is read and what derived.
 */
#include "source/tcp_info.h"

#include <stdbool.h>
#include <string.h>

static const uint8_t states[LINUX_STATES] = {
	[0] = CPL_STATES,
	[LINUX_ESTABLISHED] = CPL_ESTABLISHED,
	[LINUX_SYN_SENT] = CPL_SYN_SENT,
	[LINUX_SYN_RECV] = CPL_SYN_RECEIVED,
	[LINUX_FIN_WAIT1] = CPL_FIN_WAIT_1,
	[LINUX_FIN_WAIT2] = CPL_FIN_WAIT_2,
	[LINUX_TIME_WAIT] = CPL_TIME_WAIT,
	[LINUX_CLOSE] = CPL_CLOSED,
	[LINUX_CLOSE_WAIT] = CPL_CLOSE_WAIT,
	[LINUX_LAST_ACK] = CPL_LAST_ACK,
	[LINUX_LISTEN] = CPL_LISTEN,
	[LINUX_CLOSING] = CPL_CLOSING,
	[LINUX_NEW_SYN_RECV] = CPL_SYN_RECEIVED,
	[LINUX_BOUND_INACTIVE] = CPL_CLOSED,
};

enum cpl_state linux_state_cpl(unsigned state)
{
	return state < LINUX_STATES ? states[state] : CPL_STATES;
}

uint32_t linux_states_mask(unsigned wanted)
{
	uint32_t mask = 0;

	for (unsigned i = 1; i < LINUX_STATES; i++)
		if (wanted >> states[i] & 1)
			mask |= 1u << i;
	return mask;
}

#define US 1000ull
#define MS 1000000ull

/* What one call works on: a zero-padded copy, and how much of it the kernel gave. */
struct given {
	struct linux_tcp_info t;
	size_t len;
};

#define GIVEN(g, field) ((g)->len >= offsetof(struct linux_tcp_info, field) + sizeof((g)->t.field))

static uint16_t u16_cap(uint64_t n)
{
	return n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
}

static uint32_t u32_cap(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static bool state_is(const struct cpl_info *i, unsigned mask)
{
	return mask >> i->state & 1;
}

#define S(state)    (1u << CPL_##state)
#define HANDSHAKE   (S(SYN_SENT) | S(SYN_RECEIVED))
/* We have closed: a FIN is sent, or waits behind data. */
#define WE_CLOSED   (S(FIN_WAIT_1) | S(FIN_WAIT_2) | S(CLOSING) | S(LAST_ACK) | S(TIME_WAIT))
/* The peer's FIN came, in order. */
#define PEER_CLOSED (S(CLOSE_WAIT) | S(CLOSING) | S(LAST_ACK) | S(TIME_WAIT))

static void fill_sizes(struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;

	CPL_INFO_READ(i, snd_mss, u16_cap(t->snd_mss));
	CPL_INFO_READ(i, rcv_mss, u16_cap(t->advmss));
	if (t->rcv_mss)
		CPL_INFO_READ(i, rcv_mss_est, u16_cap(t->rcv_mss));
	if (t->pmtu > UINT16_MAX) /* the loopback's IPv6 MTU is 65536 */
		CPL_INFO_DERIVED(i, pmtu, UINT16_MAX);
	else if (t->pmtu)
		CPL_INFO_READ(i, pmtu, (uint16_t)t->pmtu);
	if (state_is(i, HANDSHAKE))
		return;
	if (GIVEN(g, snd_wnd))
		CPL_INFO_READ(i, snd_wnd, t->snd_wnd);
	if (GIVEN(g, rcv_wnd))
		CPL_INFO_DERIVED(i, rcv_wnd, t->rcv_wnd);
}

static void fill_options(struct cpl_info *i, const struct given *g)
{
	uint8_t o = g->t.options;
	uint32_t bits = 0;

	if (state_is(i, HANDSHAKE))
		return; /* nothing is agreed yet */
	if (o & LINUX_OPT_WSCALE)
		bits |= CPL_OPT_BIT_WSCALE;
	if (o & LINUX_OPT_TIMESTAMPS)
		bits |= CPL_OPT_BIT_TS;
	if (o & LINUX_OPT_SACK)
		bits |= CPL_OPT_BIT_SACK;
	if (o & LINUX_OPT_ECN)
		bits |= CPL_OPT_BIT_ECN;
	if (o & LINUX_OPT_SYN_DATA)
		bits |= CPL_OPT_BIT_TFO;
	CPL_INFO_READ(i, options, bits);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	CPL_INFO_READ(i, snd_wscale, g->t.wscales & 15);
	CPL_INFO_READ(i, rcv_wscale, g->t.wscales >> 4);
#else
	CPL_INFO_READ(i, snd_wscale, g->t.wscales >> 4);
	CPL_INFO_READ(i, rcv_wscale, g->t.wscales & 15);
#endif
}

static void fill_times(struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;

	CPL_INFO_READ(i, rto, t->rto * US);
	CPL_INFO_READ(i, backoff, t->backoff);
	CPL_INFO_READ(i, rexmt_count, t->retransmits);
	CPL_INFO_READ(i, probe_count, t->probes);
	if (t->rtt) { /* 0: not measured yet */
		CPL_INFO_READ(i, srtt, t->rtt * US);
		CPL_INFO_READ(i, rttvar, t->rttvar * US);
	}
	if (GIVEN(g, min_rtt) && t->min_rtt != UINT32_MAX)
		CPL_INFO_READ(i, rtt_min, t->min_rtt * US);
	if (!state_is(i, HANDSHAKE))
		CPL_INFO_READ(i, last_ack, t->last_ack_recv * MS);
	/* Before the first data these count from the handshake: nothing was sent then. */
	if (GIVEN(g, data_segs_out) && t->data_segs_out)
		CPL_INFO_READ(i, last_sent, t->last_data_sent * MS);
	if (GIVEN(g, data_segs_in) && t->data_segs_in)
		CPL_INFO_READ(i, last_received, t->last_data_recv * MS);
}

static void fill_counters(struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;

	CPL_INFO_READ(i, retrans, t->total_retrans);
	if (GIVEN(g, segs_in)) {
		CPL_INFO_READ(i, segs_out, t->segs_out);
		CPL_INFO_READ(i, segs_in, t->segs_in);
	}
	if (GIVEN(g, data_segs_out)) {
		CPL_INFO_READ(i, data_segs_out, t->data_segs_out);
		CPL_INFO_READ(i, data_segs_in, t->data_segs_in);
	}
	if (GIVEN(g, bytes_retrans)) {
		CPL_INFO_READ(i, bytes_sent, t->bytes_sent);
		CPL_INFO_READ(i, bytes_retrans, t->bytes_retrans);
	}
	if (GIVEN(g, dsack_dups))
		CPL_INFO_READ(i, dsack_dups, t->dsack_dups);
	if (GIVEN(g, total_rto))
		CPL_INFO_READ(i, rto_count, t->total_rto);
	if (GIVEN(g, pacing_rate) && t->pacing_rate && t->pacing_rate != UINT64_MAX)
		CPL_INFO_READ(i, pacing_rate, t->pacing_rate);
	if (GIVEN(g, delivery_rate) && t->delivery_rate) {
		CPL_INFO_READ(i, delivery_rate, t->delivery_rate);
		CPL_INFO_READ(i, delivery_app_limited, !!(t->app_bits & LINUX_RATE_APP_LIMITED));
	}
	if (GIVEN(g, reord_seen)) {
		CPL_INFO_READ(i, reorderings, t->reord_seen);
		CPL_INFO_READ(i, reordering_seen, t->reord_seen > 0);
	}
	if (GIVEN(g, delivered_ce) && t->options & LINUX_OPT_ECN)
		CPL_INFO_READ(i, delivered_ce, t->delivered_ce);
	/* Only accurate ECN counts them: 0 may be not counted. */
	if (GIVEN(g, received_ce) && t->received_ce)
		CPL_INFO_READ(i, ce_in, t->received_ce);
}

/*
 * Accurate ECN, from Linux 6.18 on. Nothing says that it was agreed but what it leaves: bytes that
 * were counted, an option that was seen, or a failure.
 */
static void fill_accecn(struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;
	unsigned option;

	if (!GIVEN(g, accecn_opt_seen) || !(t->options & LINUX_OPT_ECN) || state_is(i, HANDSHAKE))
		return;
	CPL_INFO_DERIVED(i, ecn_capable,
			 !(t->accecn_fail_mode & (LINUX_ACE_FAIL_SEND | LINUX_ACE_FAIL_RECV)));
	if (!t->accecn_opt_seen && !t->accecn_fail_mode && !t->received_ce_bytes &&
	    !t->received_e0_bytes && !t->received_e1_bytes)
		return;
	option = t->accecn_fail_mode & LINUX_ACC_FAIL_SEND ? CPL_ACCECN_BLOCKED : CPL_ACCECN_SENT;
	if (t->accecn_opt_seen == LINUX_ACC_EMPTY_SEEN ||
	    t->accecn_opt_seen == LINUX_ACC_COUNTER_SEEN)
		option |= CPL_ACCECN_SEEN;
	if (t->accecn_fail_mode & LINUX_ACC_FAIL_RECV)
		option |= CPL_ACCECN_ZEROED;
	CPL_INFO_DERIVED(i, accecn_option, (uint8_t)option);
	CPL_INFO_READ(i, options, i->options | CPL_OPT_BIT_ACCECN);
	CPL_INFO_READ(i, ce_in, t->received_ce);
	CPL_INFO_READ(i, received_ce_bytes, t->received_ce_bytes);
	CPL_INFO_READ(i, received_e0_bytes, t->received_e0_bytes);
	CPL_INFO_READ(i, received_e1_bytes, t->received_e1_bytes);
	if (!(option & CPL_ACCECN_SEEN))
		return;
	CPL_INFO_READ(i, delivered_ce_bytes, t->delivered_ce_bytes);
	CPL_INFO_READ(i, delivered_e0_bytes, t->delivered_e0_bytes);
	CPL_INFO_READ(i, delivered_e1_bytes, t->delivered_e1_bytes);
}

/* What the peer's FIN, our SYN and our FIN add to Linux's byte counters; who opened follows. */
static void fill_bytes(struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;
	uint64_t ours = 0, above;

	if (!GIVEN(g, bytes_received))
		return;
	if (state_is(i, PEER_CLOSED) && t->bytes_received)
		CPL_INFO_DERIVED(i, bytes_received, t->bytes_received - 1);
	else
		CPL_INFO_READ(i, bytes_received, t->bytes_received);
	if (state_is(i, HANDSHAKE)) {
		CPL_INFO_READ(i, passive, state_is(i, S(SYN_RECEIVED)));
		return;
	}
	if (state_is(i, S(FIN_WAIT_2) | S(TIME_WAIT)))
		ours = 1; /* our FIN was acknowledged */
	/*
	 * bytes_acked + in_flight is the sequence space used: payload sent once, our SYN if we
	 * opened, our FIN if it was sent. A SYN with data (RFC 7413) breaks that sum.
	 */
	if (GIVEN(g, bytes_retrans) && cpl_info_known(i, CPL_F_in_flight) &&
	    !(t->options & LINUX_OPT_SYN_DATA)) {
		above = t->bytes_acked + i->in_flight - (t->bytes_sent - t->bytes_retrans);
		if (state_is(i, WE_CLOSED) && !i->not_sent)
			above--;
		if (above <= 1) {
			CPL_INFO_DERIVED(i, passive, above == 0);
			ours += above;
		}
	}
	if (ours && t->bytes_acked >= ours)
		CPL_INFO_DERIVED(i, bytes_acked, t->bytes_acked - ours);
	else
		CPL_INFO_READ(i, bytes_acked, t->bytes_acked);
}

/* SEGMENTS in bytes, but never more than is in flight. */
static uint32_t flight_bytes(const struct cpl_info *i, const struct given *g, uint32_t segments)
{
	uint32_t bytes = u32_cap((uint64_t)segments * g->t.snd_mss);

	if (cpl_info_known(i, CPL_F_in_flight) && bytes > i->in_flight)
		bytes = i->in_flight;
	return bytes;
}

static uint32_t segments_in_network(const struct linux_tcp_info *t)
{
	uint64_t left = (uint64_t)t->sacked + t->lost;
	uint64_t sent = (uint64_t)t->unacked + t->retrans;

	return left < sent ? u32_cap(sent - left) : 0;
}

static void fill_queue(struct cpl_info *i, const struct given *g)
{
	if (!GIVEN(g, notsent_bytes))
		return;
	CPL_INFO_READ(i, not_sent, g->t.notsent_bytes);
	if (cpl_info_known(i, CPL_F_send_queue) && i->send_queue >= i->not_sent)
		CPL_INFO_DERIVED(i, in_flight, i->send_queue - i->not_sent);
}

static void fill_congestion(struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;

	if (t->ca_state <= CPL_RECOVERY_RTO)
		CPL_INFO_READ(i, recovery, t->ca_state); /* the numbers are Linux's */
	CPL_INFO_DERIVED(i, cwnd, u32_cap((uint64_t)t->snd_cwnd * t->snd_mss));
	if (t->snd_ssthresh >= LINUX_INFINITE_SSTHRESH)
		CPL_INFO_READ(i, ssthresh, UINT32_MAX);
	else
		CPL_INFO_DERIVED(i, ssthresh, u32_cap((uint64_t)t->snd_ssthresh * t->snd_mss));
	CPL_INFO_DERIVED(i, pipe, flight_bytes(i, g, segments_in_network(t)));
	CPL_INFO_DERIVED(i, lost, flight_bytes(i, g, t->lost));
	CPL_INFO_DERIVED(i, retrans_out, flight_bytes(i, g, t->retrans));
	CPL_INFO_READ(i, reordering, t->reordering);
	if (t->options & LINUX_OPT_SACK)
		CPL_INFO_DERIVED(i, sacked, flight_bytes(i, g, t->sacked));
	else
		CPL_INFO_DERIVED(i, dup_acks, t->sacked);
}

static void fill_why_times(struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;

	if (!GIVEN(g, sndbuf_limited))
		return;
	CPL_INFO_READ(i, why_time_rwnd, t->rwnd_limited * US);
	CPL_INFO_READ(i, why_time_sndbuf, t->sndbuf_limited * US);
	CPL_INFO_READ(i, why_time_busy, t->busy_time * US);
}

static bool timer_runs(const struct cpl_info *i, enum cpl_field f, uint64_t value)
{
	return cpl_info_known(i, f) && value != CPL_TIMER_OFF;
}

/* Why nothing is sent now, or CPL_WHYS: not proved by what is known. */
static enum cpl_why why_now(const struct cpl_info *i, const struct given *g)
{
	const struct linux_tcp_info *t = &g->t;
	bool waiting = cpl_info_known(i, CPL_F_not_sent) && i->not_sent > 0;

	if (state_is(i, HANDSHAKE))
		return CPL_WHY_HANDSHAKE;
	if (state_is(i, S(LISTEN) | S(CLOSED)) || !cpl_info_known(i, CPL_F_not_sent))
		return CPL_WHYS;
	if (!waiting)
		return state_is(i, WE_CLOSED) ? CPL_WHY_CLOSED : CPL_WHY_IDLE;
	if (GIVEN(g, snd_wnd) && t->snd_wnd == 0)
		return CPL_WHY_ZERO_WND;
	if (segments_in_network(t) >= t->snd_cwnd)
		return CPL_WHY_CWND;
	if (GIVEN(g, snd_wnd) && cpl_info_known(i, CPL_F_in_flight)) {
		uint32_t next = i->not_sent < t->snd_mss ? i->not_sent : t->snd_mss;

		if ((uint64_t)i->in_flight + next > t->snd_wnd)
			return CPL_WHY_RWND;
	}
	if (timer_runs(i, CPL_F_timer_persist, i->timer_persist))
		return CPL_WHY_RWND;
	/* Linux also holds a short segment while its own queue drains: then too it waits for more.
	 */
	if (i->not_sent < t->snd_mss && t->unacked && t->ca_state == CPL_RECOVERY_OPEN)
		return CPL_WHY_NAGLE;
	return CPL_WHYS;
}

void tcp_info_fill(struct cpl_info *info, const void *data, size_t len)
{
	struct given g = { .len = len < sizeof(g.t) ? len : sizeof(g.t) };
	enum cpl_why why;

	memcpy(&g.t, data, g.len);
	if (!GIVEN(&g, total_retrans) || state_is(info, S(LISTEN) | S(CLOSED)))
		return; /* of a listener nothing below is filled */
	fill_queue(info, &g);
	fill_sizes(info, &g);
	fill_options(info, &g);
	fill_times(info, &g);
	fill_counters(info, &g);
	fill_accecn(info, &g);
	fill_bytes(info, &g);
	fill_congestion(info, &g);
	fill_why_times(info, &g);
	why = why_now(info, &g);
	if (why != CPL_WHYS)
		CPL_INFO_DERIVED(info, why, why);
}
