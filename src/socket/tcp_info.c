/* SPDX-License-Identifier: MIT */
/*
 * TCP_INFO, TCP_CC_INFO and SO_MEMINFO in Linux's layout, filled from the control block. What Linux
 * counts in segments is counted here from the records of what was sent: a record of N octets that
 * left in segments of MSS octets is N / MSS of them, rounded up.
 */
#include "socket/sock.h"

#include "socket/linux_tcp.h"

static uint8_t linux_state(uint8_t state)
{
	static const uint8_t map[CPL_STATES] = {
		[CPL_CLOSED] = LINUX_CLOSE,
		[CPL_LISTEN] = LINUX_LISTEN,
		[CPL_SYN_SENT] = LINUX_SYN_SENT,
		[CPL_SYN_RECEIVED] = LINUX_SYN_RECV,
		[CPL_ESTABLISHED] = LINUX_ESTABLISHED,
		[CPL_FIN_WAIT_1] = LINUX_FIN_WAIT1,
		[CPL_FIN_WAIT_2] = LINUX_FIN_WAIT2,
		[CPL_CLOSE_WAIT] = LINUX_CLOSE_WAIT,
		[CPL_CLOSING] = LINUX_CLOSING,
		[CPL_LAST_ACK] = LINUX_LAST_ACK,
		[CPL_TIME_WAIT] = LINUX_TIME_WAIT,
	};

	return map[state];
}

static uint32_t us(uint64_t ns)
{
	return (uint32_t)(ns / 1000);
}

static uint32_t segments(uint64_t octets, uint32_t mss)
{
	return (uint32_t)((octets + mss - 1) / mss);
}

/* What is in flight, in segments. */
static void count_segments(const struct tcb_io *io, struct linux_tcp_info *ti)
{
	const struct list *pos;

	list_for_each (pos, &io->map.records) {
		const struct sent *rec = container_of(pos, struct sent, by_seq);
		uint32_t n;

		if (rec->flags & SENT_UNSENT)
			continue;
		n = segments(rec->end - rec->start, rec->mss ? rec->mss : 1);
		ti->unacked += n;
		if (rec->flags & SENT_SACKED) {
			ti->sacked += n;
			continue;
		}
		ti->lost += rec->flags & SENT_LOST ? n : 0;
		ti->retrans += rec->flags & SENT_RETRANS ? n : 0;
	}
	/* Without SACK each duplicate ACK stands for a segment that has left the network. */
	if (!io->recovery.sack && ti->unacked) {
		uint32_t most = ti->unacked - 1 - (ti->lost < ti->unacked ? ti->lost : 0);

		ti->sacked = io->recovery.dup_acks < most ? io->recovery.dup_acks : most;
	}
}

static uint32_t since_ms(uint64_t then, uint64_t now)
{
	return (uint32_t)((now - then) / CPL_MS);
}

static void fill_options(const struct tcb *tcb, struct linux_tcp_info *ti)
{
	ti->options = (uint8_t)((tcb_has(tcb, TCB_TS) ? LINUX_OPT_TIMESTAMPS : 0) |
				(tcb_has(tcb, TCB_SACK) ? LINUX_OPT_SACK : 0) |
				(tcb_has(tcb, TCB_WSCALE) ? LINUX_OPT_WSCALE : 0) |
				(tcb->ecn & ECN_AGREED || tcb->accecn ? LINUX_OPT_ECN : 0) |
				((tcb->fastopen & (FASTOPEN_DATA | FASTOPEN_CHILD)) &&
						 (tcb->fastopen & FASTOPEN_ACKED)
					 ? LINUX_OPT_SYN_DATA
					 : 0));
	ti->wscales = (uint8_t)(tcb->snd_wscale | tcb->rcv_wscale << 4);
}

static void fill_path(const struct cpl_info *info, const struct tcb *tcb, struct linux_tcp_info *ti)
{
	ti->rto = us(info->rto);
	ti->rtt = us(info->srtt);
	ti->rttvar = us(info->rttvar ? info->rttvar : CPL_SECOND / 4);
	ti->min_rtt = info->srtt ? us(info->rtt_min) : UINT32_MAX;
	ti->pmtu = tcb->pmtu;
	ti->snd_mss = tcb->snd_mss;
	ti->rcv_mss = tcb->rcv_mss_est;
	ti->advmss = tcb->rcv_mss;
	if (tcb_has(tcb, TCB_TS) && ti->advmss > 12 && tcb->state != CPL_SYN_SENT)
		ti->advmss -= 12;
}

static void fill_congestion(const struct cpl_info *info, const struct tcb *tcb, uint32_t mss,
			    uint32_t initial_window, struct linux_tcp_info *ti)
{
	const struct tcb_io *io = tcb->io;
	uint32_t cwnd = io ? io->cc.cwnd : tcb->cwnd;

	ti->ca_state = info->recovery;
	ti->retransmits = tcb->rexmt_n;
	ti->probes = tcb->probes_n;
	ti->backoff = tcb->rtt.backoff;
	ti->snd_cwnd = cwnd ? cwnd / mss : initial_window;
	ti->snd_ssthresh =
		info->ssthresh == CC_SSTHRESH_NONE ? LINUX_INFINITE_SSTHRESH : info->ssthresh / mss;
	ti->reordering = info->reordering ? info->reordering : 3;
	ti->pacing_rate = cpl_info_known(info, CPL_F_pacing_rate) ? info->pacing_rate : UINT64_MAX;
	ti->delivery_rate = info->delivery_rate;
	if (!io)
		return;
	count_segments(io, ti);
	ti->app_bits = io->map.app_limited_until != 0;
	ti->reord_seen = io->recovery.reorderings;
	ti->rcv_rtt = io->rcv_rtt_us;
}

/* Linux counts a SYN of ours, and both FINs, as octets. */
static void fill_counters(const struct cpl_info *info, const struct tcb *tcb,
			  struct linux_tcp_info *ti)
{
	bool fin_acked = tcb_has(tcb, TCB_FIN_SENT) && tcb->snd_una == tcb->snd_nxt;

	ti->bytes_acked = tcb->bytes_acked + fin_acked +
			  (!tcb_has(tcb, TCB_PASSIVE) && tcb_synchronized(tcb));
	ti->bytes_received = tcb->bytes_received + tcb_has(tcb, TCB_FIN_RECEIVED);
	ti->bytes_sent = tcb->bytes_sent;
	ti->bytes_retrans = tcb->bytes_retrans;
	ti->segs_out = tcb->segs_out;
	ti->segs_in = tcb->segs_in;
	ti->data_segs_out = tcb->data_segs_out;
	ti->data_segs_in = tcb->data_segs_in;
	ti->total_retrans = tcb->retrans;
	ti->notsent_bytes = info->not_sent;
	ti->dsack_dups = tcb->dsack_dups;
	ti->snd_wnd = tcb->snd_wnd;
	ti->rcv_wnd = info->rcv_wnd;
	ti->rcv_ssthresh = tcb->rcvbuf;
	ti->rcv_space = tcb->rcvbuf;
	ti->received_ce = tcb->ce_in;
	ti->delivered_ce = tcb->ece_in;
	ti->total_rto = tcb->rto_count;
	ti->delivered = tcb->delivered_segs + (tcb->io ? tcb->io->map.delivered_segs : 0);
	/* The SYN,ACK of a half-open connection had no record. */
	if (tcb_has(tcb, TCB_PASSIVE) && tcb_synchronized(tcb) && !(tcb->fastopen & FASTOPEN_CHILD))
		ti->delivered++;
}

/* RFC 9768: counters that both ends begin at other numbers than 0. */
static void fill_accecn(const struct cpl_info *info, const struct accecn *acc,
			struct linux_tcp_info *ti)
{
	if (!acc)
		return;
	ti->received_ce = acc->r_cep - 5;
	ti->delivered_ce = (uint32_t)info->delivered_ce;
	ti->received_ce_bytes = (uint32_t)info->received_ce_bytes;
	ti->received_e0_bytes = (uint32_t)info->received_e0_bytes;
	ti->received_e1_bytes = (uint32_t)info->received_e1_bytes;
	ti->delivered_ce_bytes = (uint32_t)info->delivered_ce_bytes;
	ti->delivered_e0_bytes = (uint32_t)info->delivered_e0_bytes;
	ti->delivered_e1_bytes = (uint32_t)info->delivered_e1_bytes;
	ti->accecn_opt_seen = acc->flags & ACC_OPT_SEEN ? 1 : 0;
}

static void fill_times(const struct cpl_info *info, const struct tcb *tcb, uint64_t delack_ns,
		       struct linux_tcp_info *ti, uint64_t now)
{
	uint64_t rwnd = info->why_time_rwnd + info->why_time_zero_wnd;

	ti->ato = tcb->data_segs_in ? us(delack_ns) : 0;
	ti->last_data_sent = tcb->io && tcb->bytes_sent ? since_ms(tcb->io->last_sent, now)
							: since_ms(tcb->made, now);
	ti->last_data_recv = since_ms(tcb->last_data ? tcb->last_data : tcb->made, now);
	ti->last_ack_recv = since_ms(tcb->last_received, now);
	ti->busy_time = info->why_time_busy / 1000;
	ti->rwnd_limited = rwnd / 1000;
	ti->sndbuf_limited = info->why_time_sndbuf / 1000;
}

static void fill(struct sockets *s, const struct sock *so, const struct tcb *tcb,
		 struct linux_tcp_info *ti, uint64_t now)
{
	const struct cpl_config *cfg = &s->stack->config;
	struct cpl_info info;
	uint32_t mss = tcb->snd_mss ? tcb->snd_mss : 536;

	ti->state = linux_state(tcb->state);
	ti->max_pacing_rate = so->o.max_pacing_rate;
	if (tcb->state == CPL_LISTEN) {
		ti->unacked = tcb->listener->accept_n;
		ti->sacked = tcb->listener->backlog;
		return;
	}
	tcp_info_tcb(&s->stack->tcp, tcb, &info, now);
	fill_options(tcb, ti);
	fill_path(&info, tcb, ti);
	fill_congestion(&info, tcb, mss, cfg->initial_window, ti);
	fill_counters(&info, tcb, ti);
	fill_accecn(&info, tcb->accecn, ti);
	fill_times(&info, tcb, cfg->delack_ns, ti, now);
}

int tcp_info_out(struct sockets *s, struct sock *so, void *value, socklen_t *len, uint64_t now)
{
	const struct tcb *tcb = conn_tcb(s->stack, so->handle);
	struct linux_tcp_info ti;

	memset(&ti, 0, sizeof(ti));
	if (tcb)
		fill(s, so, tcb, &ti, now);
	return option_out(value, len, &ti, sizeof(ti));
}

/* What the controller of TCB tells: of one without data in flight, what it begins with. */
static struct cc_told told_by(const struct tcb *tcb, const struct cc_ops *ops, uint32_t segments,
			      uint64_t now)
{
	struct cc_told told = { 0 };
	struct cc fresh;

	if (tcb->io) {
		ops->tell(&tcb->io->cc, &told);
	} else {
		cc_init(&fresh, ops, tcb->snd_mss ? tcb->snd_mss : 536, segments, now);
		ops->tell(&fresh, &told);
	}
	if (!told.min_rtt && tcb->rtt.min_us != UINT32_MAX)
		told.min_rtt = (uint64_t)tcb->rtt.min_us * 1000;
	return told;
}

static bool opened(const struct tcb *tcb)
{
	return tcb->state != CPL_CLOSED && tcb->state != CPL_LISTEN;
}

/* As Linux's controllers of these names fill it; nothing of those that tell nothing. */
int tcp_cc_info_out(struct sockets *s, struct sock *so, void *value, socklen_t *len, uint64_t now)
{
	const struct tcb *tcb = conn_tcb(s->stack, so->handle);
	const struct cc_ops *ops = tcb ? cc_at(tcb->cc_id) : NULL;
	union linux_cc_info ci = { 0 };
	struct cc_told told = { 0 };

	if (!ops || !ops->tell)
		return option_out(value, len, &ci, 0);
	if (opened(tcb))
		told = told_by(tcb, ops, s->stack->config.initial_window, now);
	if (ops == &cc_bbr) {
		ci.bbr = (struct linux_bbr_info){ .bw_lo = (uint32_t)told.bw,
						  .bw_hi = (uint32_t)(told.bw >> 32),
						  .min_rtt = us(told.min_rtt + 999),
						  .pacing_gain = told.pacing_gain,
						  .cwnd_gain = told.cwnd_gain };
		return option_out(value, len, &ci, sizeof(ci.bbr));
	}
	/* Without ECN it is Reno by another name, and says so. */
	if (!opened(tcb) || tcb->ecn & ECN_AGREED || tcb->accecn)
		ci.dctcp = (struct linux_dctcp_info){ .enabled = 1,
						      .ce_state = !!(tcb->ecn & ECN_ECHO),
						      .alpha = told.alpha,
						      .ab_ecn = (uint32_t)told.marked,
						      .ab_tot = (uint32_t)told.acked };
	return option_out(value, len, &ci, sizeof(ci.dctcp));
}

/* SK_MEMINFO_*: rmem_alloc, rcvbuf, wmem_alloc, sndbuf, fwd_alloc, wmem_queued, optmem, backlog,
 * drops. */
int meminfo_out(struct sockets *s, struct sock *so, void *value, socklen_t *len)
{
	const struct tcb *tcb = conn_tcb(s->stack, so->handle);
	const struct udp_socket *u = sock_udp(s, so);
	uint32_t v[9] = { 0, so->o.rcvbuf, 0, so->o.sndbuf, 0, 0, 0, 0, 0 };

	if (u) {
		v[0] = u->memory;
		v[1] = u->rcvbuf;
		v[8] = (uint32_t)u->drops;
	} else if (!tcb) {
		v[1] = so->o.rcvbuf ? so->o.rcvbuf : s->rmem_default;
	}
	if (!sock_is_stream(so) && !so->o.sndbuf)
		v[3] = s->wmem_default;
	if (tcb) {
		v[1] = so->o.rcvbuf ? so->o.rcvbuf : tcb->rcvbuf;
		v[3] = so->o.sndbuf ? so->o.sndbuf : tcb->sndbuf;
		v[8] = tcb->drops;
	}
	if (tcb && tcb->state != CPL_LISTEN && tcb->io) {
		v[0] = (uint32_t)tcb->io->rcvq.memory;
		v[5] = (uint32_t)tcb->io->sndq.memory;
	}
	return option_out(value, len, v, sizeof(v));
}
