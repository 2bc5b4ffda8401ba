/* SPDX-License-Identifier: MIT */
/* Records of the BPF programs as snapshots: see bpf_record.h for what is read and what derived. */
#include "source/bpf_record.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/seq.h"
#include "source/source.h"
#include "source/tcp_info.h"

#define SECOND 1000000000ull

/* The kernel's numbers of what its retransmission timer is set for (icsk_pending). */
enum {
	PENDING_REXMT = 1,
	PENDING_PERSIST = 3,
	PENDING_LOSS_PROBE = 5,
	PENDING_REORDER = 6,
};

#define ACK_TIMER	 2 /* of icsk_ack.pending */
#define SHUTDOWN_RECEIVE 1
#define SHUTDOWN_SEND	 2
#define NAGLE_OFF	 1
#define ECN_CLASSIC	 1  /* of ecn_flags */
#define ECN_ACCURATE	 16 /* Linux 6.18 */
#define URGENT_READ	 0x400
#define SACK_RANGES	 4

#define S(state)  (1u << CPL_##state)
#define HANDSHAKE (S(SYN_SENT) | S(SYN_RECEIVED))
#define WE_CLOSED (S(FIN_WAIT_1) | S(FIN_WAIT_2) | S(CLOSING) | S(LAST_ACK) | S(TIME_WAIT))

static bool state_is(const struct cpl_info *i, unsigned mask)
{
	return mask >> i->state & 1;
}

static uint64_t jiffies_ns(uint64_t jiffies, unsigned hz)
{
	return jiffies * SECOND / hz;
}

static uint32_t jiffies_us(uint64_t jiffies, unsigned hz)
{
	uint64_t us = jiffies * 1000000u / hz;

	return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

/* How long ago a stamp of the kernel's was; one of just now may be ahead of the record's. */
static uint64_t ago(const struct tcb_record *r, uint32_t stamp)
{
	int32_t jiffies = (int32_t)(r->jiffies - stamp);

	return jiffies > 0 ? (uint64_t)jiffies : 0;
}

/* ---- Identity -------------------------------------------------------------------------------- */

static struct cpl_addr address(const struct tcb_record *r, const __u32 *words)
{
	struct cpl_addr a;

	if (r->family == AF_INET) {
		a = cpl_addr4(0, 0, 0, 0);
		memcpy(a.b + 12, words, 4);
	} else {
		memcpy(a.b, words, 16);
	}
	return a;
}

static void fill_identity(struct cpl_info *i, const struct tcb_record *r)
{
	bool ip4;

	CPL_INFO_READ(i, protocol, 6);
	CPL_INFO_READ(i, state, (uint8_t)linux_state_cpl(r->state));
	CPL_INFO_READ(i, taken, r->taken);
	CPL_INFO_READ(i, local_addr, address(r, r->local));
	CPL_INFO_READ(i, local_port, r->local_port);
	CPL_INFO_READ(i, remote_addr, address(r, r->remote));
	CPL_INFO_READ(i, remote_port, r->remote_port);
	/* An AF_INET6 socket that talks to an IPv4-mapped address sends IPv4. */
	ip4 = cpl_addr_is4(&i->remote_addr) || cpl_addr_is4(&i->local_addr);
	CPL_INFO_READ(i, family, ip4 ? 4 : 6);
	if (r->ifindex)
		CPL_INFO_READ(i, ifindex, r->ifindex);
	if (r->cookie)
		CPL_INFO_READ(i, id, r->cookie);
	if (r->netns)
		CPL_INFO_READ(i, netns, r->netns);
	if (r->inode) {
		CPL_INFO_READ(i, inode, r->inode);
		CPL_INFO_READ(i, uid, r->uid);
	}
	CPL_INFO_READ(i, attached, !!(r->flags & TCB_ATTACHED));
}

/* ---- What getsockopt(TCP_INFO) would tell ---------------------------------------------------- */

static void info_times(struct linux_tcp_info *t, const struct tcb_record *r, unsigned hz)
{
	uint64_t time[3];

	t->rto = jiffies_us(r->rto, hz);
	t->ato = jiffies_us(r->ato, hz);
	t->rtt = r->srtt_us >> 3;
	t->rttvar = r->mdev_us >> 2;
	t->min_rtt = r->rtt_min_us;
	t->last_data_sent = (uint32_t)(ago(r, r->lsndtime) * 1000 / hz);
	t->last_data_recv = (uint32_t)(ago(r, r->lrcvtime) * 1000 / hz);
	t->last_ack_recv = (uint32_t)(ago(r, r->rcv_tstamp) * 1000 / hz);
	for (unsigned n = 0; n < 3; n++) {
		time[n] = r->chrono_stat[n];
		if (r->chrono_type == n + 1)
			time[n] += ago(r, r->chrono_start);
		time[n] = time[n] * 1000000 / hz;
	}
	t->busy_time = time[0] + time[1] + time[2];
	t->rwnd_limited = time[1];
	t->sndbuf_limited = time[2];
}

static void info_congestion(struct linux_tcp_info *t, const struct tcb_record *r)
{
	t->ca_state = r->ca_state;
	t->retransmits = r->retransmits;
	t->probes = r->probes_out;
	t->backoff = r->backoff;
	t->unacked = r->packets_out;
	t->sacked = r->sacked_out;
	t->lost = r->lost_out;
	t->retrans = r->retrans_out;
	t->snd_ssthresh = r->snd_ssthresh;
	t->snd_cwnd = r->snd_cwnd;
	t->reordering = r->reordering;
	t->total_retrans = r->total_retrans;
	t->pacing_rate = r->pacing_rate;
	if (r->rate_delivered && r->rate_interval_us)
		t->delivery_rate =
			(uint64_t)r->rate_delivered * r->mss_cache * 1000000 / r->rate_interval_us;
}

static void info_options(struct linux_tcp_info *t, const struct tcb_record *r)
{
	t->options |= r->flags & TCB_TSTAMP ? LINUX_OPT_TIMESTAMPS : 0;
	t->options |= r->flags & TCB_SACK ? LINUX_OPT_SACK : 0;
	t->options |= r->ecn_flags & (ECN_CLASSIC | ECN_ACCURATE) ? LINUX_OPT_ECN : 0;
	t->options |= r->flags & TCB_SYN_DATA_ACKED ? LINUX_OPT_SYN_DATA : 0;
	if (!(r->flags & TCB_WSCALE))
		return;
	t->options |= LINUX_OPT_WSCALE;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	t->wscales = (uint8_t)(r->snd_wscale | r->rcv_wscale << 4);
#else
	t->wscales = (uint8_t)(r->rcv_wscale | r->snd_wscale << 4);
#endif
}

/* All that TCP_INFO tells is told from the same words by the same code: the sources agree. */
static void fill_tcp_info(struct cpl_info *i, const struct tcb_record *r, unsigned hz)
{
	struct linux_tcp_info t = {
		.snd_mss = r->mss_cache,
		.rcv_mss = r->rcv_mss,
		.advmss = r->advmss,
		.pmtu = r->pmtu,
		.bytes_acked = r->bytes_acked,
		.bytes_received = r->bytes_received,
		.bytes_sent = r->bytes_sent,
		.bytes_retrans = r->bytes_retrans,
		.segs_out = r->segs_out,
		.segs_in = r->segs_in,
		.data_segs_in = r->data_segs_in,
		.data_segs_out = r->data_segs_out,
		.notsent_bytes = seq_gt(r->write_seq, r->snd_nxt) ? r->write_seq - r->snd_nxt : 0,
		.dsack_dups = r->dsack_dups,
		.reord_seen = r->reord_seen,
		.delivered_ce = r->delivered_ce,
		.snd_wnd = r->snd_wnd,
		.rcv_wnd = r->rcv_wnd,
		.total_rto = (uint16_t)r->total_rto,
	};
	size_t len = r->flags & TCB_TOTAL_RTO ? offsetof(struct linux_tcp_info, received_ce)
					      : offsetof(struct linux_tcp_info, total_rto);

	info_times(&t, r, hz);
	info_congestion(&t, r);
	info_options(&t, r);
	t.app_bits = r->rate_app_limited ? LINUX_RATE_APP_LIMITED : 0;
	tcp_info_fill(i, &t, len);
	CPL_INFO_DERIVED(i, bytes_lost, (uint64_t)r->lost * r->mss_cache);
}

/* ---- What only a look into the socket tells -------------------------------------------------- */

static void fill_send(struct cpl_info *i, const struct tcb_record *r)
{
	CPL_INFO_READ(i, snd_una, r->snd_una);
	CPL_INFO_READ(i, snd_nxt, r->snd_nxt);
	if (state_is(i, WE_CLOSED))
		CPL_INFO_DERIVED(i, write_seq, r->write_seq - 1);
	else
		CPL_INFO_READ(i, write_seq, r->write_seq);
	/* Linux lets the pointer follow SND.UNA when there is nothing urgent. */
	if (seq_gt(r->snd_up, r->snd_una) && seq_leq(r->snd_up, r->write_seq))
		CPL_INFO_READ(i, snd_up, r->snd_up);
	if (state_is(i, HANDSHAKE))
		return; /* the peer has not said them */
	CPL_INFO_READ(i, snd_wnd_max, r->max_window);
	CPL_INFO_READ(i, snd_wl1, r->snd_wl1);
	if (r->mss_clamp && (!r->user_mss || r->mss_clamp < r->user_mss))
		CPL_INFO_READ(i, peer_mss, r->mss_clamp); /* else it may be our own limit */
}

static void fill_out_of_order(struct cpl_info *i, const struct tcb_record *r)
{
	if (!(r->flags & TCB_OOO)) {
		CPL_INFO_READ(i, ooo_bytes, 0);
		CPL_INFO_READ(i, ooo_ranges, 0);
	} else if (r->ranges && r->ranges < SACK_RANGES) {
		CPL_INFO_DERIVED(i, ooo_bytes, r->ooo_bytes);
		CPL_INFO_DERIVED(i, ooo_ranges, r->ranges);
	}
}

static void fill_receive(struct cpl_info *i, const struct tcb_record *r)
{
	uint32_t edge = r->rcv_wup + r->rcv_wnd;

	if (state_is(i, S(SYN_SENT)))
		return;
	CPL_INFO_READ(i, rcv_nxt, r->rcv_nxt);
	CPL_INFO_READ(i, read_seq, r->copied_seq);
	CPL_INFO_READ(i, rcv_edge, edge);
	CPL_INFO_READ(i, rcv_wnd, seq_gt(edge, r->rcv_nxt) ? edge - r->rcv_nxt : 0);
	i->derived[CPL_F_rcv_wnd / 64] &= ~(1ull << CPL_F_rcv_wnd % 64);
	CPL_INFO_READ(i, last_ack_sent, r->rcv_wup);
	if (r->urg_data && !(r->urg_data & URGENT_READ))
		CPL_INFO_DERIVED(i, rcv_up, r->urg_seq + 1);
	fill_out_of_order(i, r);
	CPL_INFO_DERIVED(i, irs, r->rcv_nxt - 1 - (uint32_t)r->bytes_received);
}

/*
 * Who opened. Sequence numbers used - payload sent once is 1, the SYN, for who did. Payload that
 * the local firewall refused is counted as sent and was not: then the sum is less, and only the
 * listener's limit, which an accepted socket inherits, tells the passive end.
 */
static void fill_passive(struct cpl_info *i, const struct tcb_record *r)
{
	uint64_t used = r->bytes_acked + (r->snd_nxt - r->snd_una);
	int64_t syn = (int64_t)(used - (r->bytes_sent - r->bytes_retrans));

	if (state_is(i, WE_CLOSED) && r->snd_nxt == r->write_seq)
		syn--; /* our FIN */
	i->passive = 0;
	i->derived[CPL_F_passive / 64] &= ~(1ull << CPL_F_passive % 64);
	i->read[CPL_F_passive / 64] &= ~(1ull << CPL_F_passive % 64);
	/* With data in the SYN the counters do not tell who opened, but the kernel's notes do. */
	if (r->flags & (TCB_FASTOPEN_ACTIVE | TCB_FASTOPEN_PASSIVE))
		CPL_INFO_DERIVED(i, passive, !!(r->flags & TCB_FASTOPEN_PASSIVE));
	else if (i->state == CPL_SYN_RECEIVED)
		CPL_INFO_DERIVED(i, passive, 0); /* a whole socket here: both opened at once */
	else if (i->state == CPL_SYN_SENT)
		CPL_INFO_READ(i, passive, 0);
	else if (syn == 1)
		CPL_INFO_DERIVED(i, passive, 0);
	else if (syn <= 0 && r->max_ack_backlog)
		CPL_INFO_DERIVED(i, passive, 1);
}

static void fill_iss(struct cpl_info *i, const struct tcb_record *r)
{
	if (cpl_info_known(i, CPL_F_passive))
		CPL_INFO_DERIVED(i, iss, r->snd_una - (uint32_t)r->bytes_acked - i->passive);
}

static void fill_options(struct cpl_info *i, const struct tcb_record *r)
{
	CPL_INFO_READ(i, nodelay, r->nonagle & NAGLE_OFF);
	CPL_INFO_READ(i, keepalive, !!(r->flags & TCB_KEEPOPEN));
	CPL_INFO_READ(i, tos, r->tos);
	if (r->ttl > 0 && r->ttl <= UINT8_MAX) /* -1: the namespace's, or the route's */
		CPL_INFO_READ(i, ttl, (uint8_t)r->ttl);
	if (state_is(i, HANDSHAKE | S(LISTEN) | S(CLOSED)) || !(r->flags & TCB_TSTAMP))
		return;
	CPL_INFO_READ(i, ts_recent, r->ts_recent);
	if (r->ts_recent_stamp) {
		uint32_t seconds = (uint32_t)(r->taken / SECOND) - r->ts_recent_stamp;

		if (seconds < UINT32_MAX / 2)
			CPL_INFO_DERIVED(i, ts_recent_age, seconds * SECOND);
	}
}

/* One timer of the kernel is four of ours: what it is set for says which of them runs. */
static void fill_timers(struct cpl_info *i, const struct tcb_record *r, unsigned hz)
{
	uint64_t left = jiffies_ns((uint32_t)r->rexmt_left, hz), off = CPL_TIMER_OFF;
	uint64_t keep = r->flags & TCB_KEEP_TIMER ? jiffies_ns((uint32_t)r->keep_left, hz) : off;
	bool orphan = i->state == CPL_FIN_WAIT_2 && !(r->flags & TCB_ATTACHED);

	CPL_INFO_READ(i, timer_keep, orphan ? off : keep);
	CPL_INFO_READ(i, timer_close, orphan ? keep : off);
	if (i->state == CPL_LISTEN)
		return;
	CPL_INFO_READ(i, timer_rexmt, r->pending == PENDING_REXMT ? left : off);
	CPL_INFO_READ(i, timer_persist, r->pending == PENDING_PERSIST ? left : off);
	CPL_INFO_READ(i, timer_probe, r->pending == PENDING_LOSS_PROBE ? left : off);
	CPL_INFO_READ(i, timer_reorder, r->pending == PENDING_REORDER ? left : off);
	CPL_INFO_READ(i, timer_delack,
		      r->ack_pending & ACK_TIMER ? jiffies_ns((uint32_t)r->delack_left, hz) : off);
	CPL_INFO_READ(i, timer_pace, r->flags & TCB_PACING_TIMER ? r->pace_left : off);
	/* It is no timer of its own: retransmissions and probes look at it. */
	if (!(r->flags & TCB_USER_TIMEOUT) || !r->pending)
		CPL_INFO_READ(i, timer_user, off);
}

static void fill_memory(struct cpl_info *i, const struct tcb_record *r)
{
	CPL_INFO_READ(i, recv_buffer, r->rcvbuf);
	CPL_INFO_READ(i, send_buffer, r->sndbuf);
	CPL_INFO_READ(i, drops, r->drops);
	if (i->state == CPL_LISTEN)
		return;
	CPL_INFO_READ(i, recv_memory, r->rmem);
	CPL_INFO_READ(i, send_memory, r->wmem);
	CPL_INFO_READ(i, snd_shutdown, !!(r->shutdown & SHUTDOWN_SEND));
	CPL_INFO_READ(i, rcv_shutdown, !!(r->shutdown & SHUTDOWN_RECEIVE));
	CPL_INFO_READ(i, soft_error, r->err_soft);
}

static void fill_congestion(struct cpl_info *i, const struct tcb_record *r)
{
	memcpy(i->cc_name, r->cc, sizeof(i->cc_name));
	i->cc_name[sizeof(i->cc_name) - 1] = 0;
	if (i->cc_name[0])
		cpl_info_mark_read(i, CPL_F_cc_name);
	if (r->ca_state == CPL_RECOVERY_FAST || r->ca_state == CPL_RECOVERY_RTO)
		CPL_INFO_READ(i, recovery_point, r->high_seq);
}

static void full_info(struct cpl_info *i, const struct tcb_record *r, unsigned hz)
{
	fill_memory(i, r);
	fill_timers(i, r, hz);
	fill_options(i, r);
	fill_congestion(i, r);
	if (i->state == CPL_LISTEN) {
		CPL_INFO_READ(i, accept_queue, r->ack_backlog);
		CPL_INFO_READ(i, backlog, r->max_ack_backlog);
		CPL_INFO_READ(i, syn_queue, r->qlen);
		return;
	}
	if (i->state == CPL_CLOSED)
		return;
	/* As sock_diag tells them: in sequence space, in which a SYN or FIN is 1. */
	CPL_INFO_READ(i, send_queue, r->write_seq - r->snd_una);
	CPL_INFO_READ(i, recv_queue,
		      i->state != CPL_SYN_SENT && seq_gt(r->rcv_nxt, r->copied_seq)
			      ? r->rcv_nxt - r->copied_seq
			      : 0);
	fill_tcp_info(i, r, hz);
	if (!state_is(i, HANDSHAKE))
		i->options |= r->ecn_flags & ECN_ACCURATE ? CPL_OPT_BIT_ACCECN : 0;
	fill_send(i, r);
	fill_receive(i, r);
	fill_passive(i, r);
	fill_iss(i, r);
}

/* ---- Small records --------------------------------------------------------------------------- */

/* All that was sent is acknowledged, or the block would not be in TIME-WAIT (or be an orphan). */
static void time_wait_info(struct cpl_info *i, const struct tcb_record *r, unsigned hz)
{
	CPL_INFO_READ(i, snd_nxt, r->snd_nxt);
	CPL_INFO_DERIVED(i, snd_una, r->snd_nxt);
	CPL_INFO_DERIVED(i, write_seq, r->snd_nxt - 1);
	CPL_INFO_READ(i, rcv_nxt, r->rcv_nxt);
	CPL_INFO_READ(i, rcv_wnd, r->rcv_wnd);
	CPL_INFO_DERIVED(i, rcv_edge, r->rcv_nxt + r->rcv_wnd);
	CPL_INFO_READ(i, rcv_wscale, r->rcv_wscale);
	CPL_INFO_READ(i, recv_queue, 0);
	CPL_INFO_READ(i, send_queue, 0);
	if (r->ts_recent)
		CPL_INFO_READ(i, ts_recent, r->ts_recent);
	CPL_INFO_READ(i, timer_close,
		      r->flags & TCB_KEEP_TIMER ? jiffies_ns((uint32_t)r->keep_left, hz)
						: CPL_TIMER_OFF);
}

/* A SYN came and ours was sent with its ACK. */
static void request_info(struct cpl_info *i, const struct tcb_record *r, unsigned hz)
{
	uint32_t bits = r->flags & TCB_TSTAMP ? CPL_OPT_BIT_TS : 0;

	bits |= r->flags & TCB_SACK ? CPL_OPT_BIT_SACK : 0;
	bits |= r->flags & TCB_ECN ? CPL_OPT_BIT_ECN : 0;
	if (r->flags & TCB_WSCALE) {
		bits |= CPL_OPT_BIT_WSCALE;
		CPL_INFO_READ(i, snd_wscale, r->snd_wscale);
		CPL_INFO_READ(i, rcv_wscale, r->rcv_wscale);
	}
	CPL_INFO_READ(i, options, bits);
	CPL_INFO_READ(i, passive, 1);
	CPL_INFO_READ(i, iss, r->snd_isn);
	CPL_INFO_READ(i, irs, r->rcv_isn);
	CPL_INFO_DERIVED(i, snd_una, r->snd_isn);
	CPL_INFO_DERIVED(i, snd_nxt, r->snd_isn + 1);
	CPL_INFO_DERIVED(i, write_seq, r->snd_isn + 1);
	CPL_INFO_READ(i, rcv_nxt, r->rcv_nxt);
	CPL_INFO_READ(i, rcv_wnd, r->rcv_wnd);
	CPL_INFO_DERIVED(i, rcv_edge, r->rcv_nxt + r->rcv_wnd);
	CPL_INFO_READ(i, recv_queue, 0);
	CPL_INFO_READ(i, send_queue, 0);
	if (r->mss_clamp)
		CPL_INFO_READ(i, peer_mss, r->mss_clamp);
	CPL_INFO_READ(i, timer_rexmt, jiffies_ns((uint32_t)r->rexmt_left, hz));
	CPL_INFO_READ(i, timer_persist, CPL_TIMER_OFF);
	CPL_INFO_READ(i, rexmt_count, r->retransmits);
	if (r->synack_us && r->taken > r->synack_us * 1000)
		CPL_INFO_DERIVED(i, age, r->taken - r->synack_us * 1000);
}

bool bpf_record_info(struct cpl_info *info, const struct tcb_record *record, unsigned hz)
{
	if (record->magic != TCB_RECORD_MAGIC ||
	    (record->family != AF_INET && record->family != AF_INET6) ||
	    linux_state_cpl(record->state) == CPL_STATES || !hz)
		return false;
	source_info_init(info, CPL_SOURCE_BPF);
	fill_identity(info, record);
	switch (record->kind) {
	case TCB_RECORD_FULL:
		full_info(info, record, hz);
		return true;
	case TCB_RECORD_TIME_WAIT:
		time_wait_info(info, record, hz);
		return true;
	case TCB_RECORD_REQUEST:
		request_info(info, record, hz);
		return true;
	default:
		return false;
	}
}
