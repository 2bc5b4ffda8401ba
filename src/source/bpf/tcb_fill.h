/* SPDX-License-Identifier: MIT */
/*
 * One socket of the kernel as a record (record.h), for every program that has one in its hand. All
 * fields are read from the socket itself, without its lock unless the caller holds it: a single
 * field is never torn, two of them may be of two moments.
 */
#ifndef SOURCE_BPF_TCB_FILL_H
#define SOURCE_BPF_TCB_FILL_H

#include "kernel.h"
#include "record.h"

/*
 * A pointer in a socket, and what it leads to: followed directly, which is quick; or by a call,
 * which is for programs of whose pointers the kernel has no proof: to look for one, it searches all
 * its types by name, for milliseconds each time.
 */
#ifdef TCB_FILL_PROBES
#define VALUE_OF(pointer, field)                                                                   \
	({                                                                                         \
		typeof((pointer)->field) value;                                                    \
		bpf_probe_read_kernel(&value, sizeof(value), &(pointer)->field);                   \
		value;                                                                             \
	})
#else
#define VALUE_OF(pointer, field) ((pointer)->field)
#endif

static __always_inline void fill_addresses(struct tcb_record *r, struct sock_common *c)
{
	struct net *net;

	r->family = (__u8)c->skc_family;
	r->local_port = c->skc_num;
	r->remote_port = bpf_ntohs(c->skc_dport);
	if (r->family == KERNEL_AF_INET6) {
		for (int i = 0; i < 4; i++) {
			r->local[i] = c->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			r->remote[i] = c->skc_v6_daddr.in6_u.u6_addr32[i];
		}
	} else {
		r->local[0] = c->skc_rcv_saddr;
		r->remote[0] = c->skc_daddr;
	}
	r->ifindex = (__u32)c->skc_bound_dev_if;
	net = VALUE_OF(c, skc_net.net);
	r->netns = VALUE_OF(net, ns.inum);
}

static __always_inline __u64 inode_of(struct sock *sk)
{
	struct sock___ino *new = (void *)sk;
	struct socket_alloc *made;

	if (bpf_core_field_exists(new->sk_ino))
		return new->sk_ino;
	made = (void *)VALUE_OF(sk, sk_socket);
	return made ? VALUE_OF(made, vfs_inode.i_ino) : 0;
}

/* How long a timer has to run, in jiffies; overdue is 0. */
static __always_inline __s32 jiffies_left(__u64 expires, __u64 now)
{
	__s64 left = (__s64)(expires - now);

	return left < 0 ? 0 : left > TCB_LEFT_MAX ? TCB_LEFT_MAX : (__s32)left;
}

static __always_inline void fill_timers(struct tcb_record *r, struct tcp_sock *tp,
					struct inet_connection_sock *ic, __u64 now)
{
	struct inet_connection_sock___timeout *timeout = (void *)ic;
	struct inet_connection_sock___timers *timers = (void *)ic;
	struct inet_connection_sock___keepalive *keepalive = (void *)ic;
	struct sock___retransmit *retransmit = (void *)ic;
	struct sock___timer *timer = (void *)ic;
	__u64 rexmt = 0, delack = 0;

	r->pending = ic->icsk_pending;
	r->ack_pending = ic->icsk_ack.pending;
	if (bpf_core_field_exists(timeout->icsk_timeout))
		rexmt = timeout->icsk_timeout;
	else if (bpf_core_field_exists(timers->icsk_retransmit_timer))
		rexmt = timers->icsk_retransmit_timer.expires;
	else if (bpf_core_field_exists(retransmit->tcp_retransmit_timer))
		rexmt = retransmit->tcp_retransmit_timer.expires;
	if (bpf_core_field_exists(timeout->icsk_ack.timeout))
		delack = timeout->icsk_ack.timeout;
	else if (bpf_core_field_exists(timers->icsk_delack_timer))
		delack = timers->icsk_delack_timer.expires;
	r->rexmt_left = jiffies_left(rexmt, now);
	r->delack_left = jiffies_left(delack, now);
	r->keep_left = 0;
	if (bpf_core_field_exists(keepalive->icsk_keepalive_timer)) {
		if (VALUE_OF(keepalive, icsk_keepalive_timer.entry.pprev)) {
			r->flags |= TCB_KEEP_TIMER;
			r->keep_left = jiffies_left(keepalive->icsk_keepalive_timer.expires, now);
		}
	} else if (bpf_core_field_exists(timer->sk_timer)) {
		if (VALUE_OF(timer, sk_timer.entry.pprev)) {
			r->flags |= TCB_KEEP_TIMER;
			r->keep_left = jiffies_left(timer->sk_timer.expires, now);
		}
	}
	r->pace_left = 0;
	if (tp->pacing_timer.state) {
		__s64 left = tp->pacing_timer.node.expires - (__s64)r->taken;

		r->flags |= TCB_PACING_TIMER;
		r->pace_left = left > 0 ? left : 0;
	}
	if (ic->icsk_user_timeout)
		r->flags |= TCB_USER_TIMEOUT;
}

/* Options agreed, what the program has set, and what RFC 7413 did to the handshake. */
static __always_inline void fill_options(struct tcb_record *r, struct tcp_sock *tp, struct sock *sk)
{
	struct tcp_sock___fastopen_child *child = (void *)tp;
	struct inet_sock *inet = (void *)sk;
	__u32 flags = 0;

	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok))
		flags |= TCB_TSTAMP;
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok))
		flags |= TCB_WSCALE;
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok))
		flags |= TCB_SACK;
	if (BPF_CORE_READ_BITFIELD(tp, syn_data_acked))
		flags |= TCB_SYN_DATA_ACKED;
	if (BPF_CORE_READ_BITFIELD(tp, syn_data) || BPF_CORE_READ_BITFIELD(tp, syn_fastopen))
		flags |= TCB_FASTOPEN_ACTIVE;
	else if (flags & TCB_SYN_DATA_ACKED)
		flags |= TCB_FASTOPEN_PASSIVE; /* data in a SYN, which was not ours */
	if (bpf_core_field_exists(child->syn_fastopen_child) &&
	    BPF_CORE_READ_BITFIELD(child, syn_fastopen_child))
		flags |= TCB_FASTOPEN_PASSIVE;
	if (sk->__sk_common.skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_KEEPOPEN) & 1)
		flags |= TCB_KEEPOPEN;
	if (VALUE_OF(sk, sk_socket))
		flags |= TCB_ATTACHED;
	r->flags |= flags;
	r->snd_wscale = (__u8)BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale);
	r->rcv_wscale = (__u8)BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale);
	r->mss_clamp = tp->rx_opt.mss_clamp;
	r->user_mss = tp->rx_opt.user_mss;
	r->ts_recent = tp->rx_opt.ts_recent;
	r->ts_recent_stamp = (__u32)tp->rx_opt.ts_recent_stamp;
	r->ecn_flags = tp->ecn_flags;
	r->nonagle = (__u8)BPF_CORE_READ_BITFIELD(tp, nonagle);
	r->tos = inet->tos;
	r->ttl = inet->uc_ttl;
	if (r->family == KERNEL_AF_INET6) {
		struct ipv6_pinfo *np = VALUE_OF(inet, pinet6);

		if (np) {
			r->tos = VALUE_OF(np, tclass);
			r->ttl = (__s16)BPF_CORE_READ_BITFIELD_PROBED(np, hop_limit);
		}
	}
}

/*
 * What waits out of order. The kernel keeps the newest four ranges for its SACK options; with fewer
 * they are all there is. Five or more, or none after the queue was pruned, cannot be told.
 */
static __always_inline void fill_out_of_order(struct tcb_record *r, struct tcp_sock *tp)
{
	__u32 bytes = 0;
	__u8 n;

	r->ooo_bytes = 0;
	r->ranges = 0;
	if (!VALUE_OF(tp, out_of_order_queue.rb_node))
		return;
	r->flags |= TCB_OOO;
	n = tp->rx_opt.num_sacks;
	for (int i = 0; i < 4; i++)
		if (i < n)
			bytes += tp->selective_acks[i].end_seq - tp->selective_acks[i].start_seq;
	r->ranges = n;
	r->ooo_bytes = bytes;
}

static __always_inline void fill_sequence(struct tcb_record *r, struct tcp_sock *tp)
{
	r->snd_una = tp->snd_una;
	r->snd_nxt = tp->snd_nxt;
	r->write_seq = tp->write_seq;
	r->snd_wl1 = tp->snd_wl1;
	r->snd_up = tp->snd_up;
	r->snd_wnd = tp->snd_wnd;
	r->max_window = tp->max_window;
	r->rcv_nxt = tp->rcv_nxt;
	r->copied_seq = tp->copied_seq;
	r->rcv_wup = tp->rcv_wup;
	r->rcv_wnd = tp->rcv_wnd;
	r->urg_seq = tp->urg_seq;
	r->urg_data = tp->urg_data;
	r->high_seq = tp->high_seq;
}

static __always_inline void fill_congestion(struct tcb_record *r, struct tcp_sock *tp,
					    struct inet_connection_sock *ic)
{
	const struct tcp_congestion_ops *ops = VALUE_OF(ic, icsk_ca_ops);

	r->ca_state = (__u8)BPF_CORE_READ_BITFIELD(ic, icsk_ca_state);
	r->retransmits = ic->icsk_retransmits;
	r->backoff = ic->icsk_backoff;
	r->probes_out = ic->icsk_probes_out;
	r->rto = ic->icsk_rto;
	r->ato = (__u32)BPF_CORE_READ_BITFIELD(ic, icsk_ack.ato);
	r->srtt_us = tp->srtt_us;
	r->mdev_us = tp->mdev_us;
	r->rtt_min_us = tp->rtt_min.s[0].v;
	r->snd_cwnd = tp->snd_cwnd;
	r->snd_ssthresh = tp->snd_ssthresh;
	r->packets_out = tp->packets_out;
	r->sacked_out = tp->sacked_out;
	r->lost_out = tp->lost_out;
	r->retrans_out = tp->retrans_out;
	r->reordering = tp->reordering;
	r->rate_delivered = tp->rate_delivered;
	r->rate_interval_us = tp->rate_interval_us;
	r->rate_app_limited = (__u8)BPF_CORE_READ_BITFIELD(tp, rate_app_limited);
	r->cc[0] = 0;
	if (ops)
		bpf_probe_read_kernel(r->cc, sizeof(r->cc), ops->name);
}

static __always_inline void fill_counters(struct tcb_record *r, struct tcp_sock *tp,
					  struct inet_connection_sock *ic)
{
	struct tcp_sock___total_rto *timeouts = (void *)tp;

	r->bytes_sent = tp->bytes_sent;
	r->bytes_acked = tp->bytes_acked;
	r->bytes_received = tp->bytes_received;
	r->bytes_retrans = tp->bytes_retrans;
	r->segs_in = tp->segs_in;
	r->segs_out = tp->segs_out;
	r->data_segs_in = tp->data_segs_in;
	r->data_segs_out = tp->data_segs_out;
	r->total_retrans = tp->total_retrans;
	r->dsack_dups = tp->dsack_dups;
	r->reord_seen = tp->reord_seen;
	r->delivered_ce = tp->delivered_ce;
	r->lost = tp->lost;
	r->lsndtime = tp->lsndtime;
	r->lrcvtime = ic->icsk_ack.lrcvtime;
	r->rcv_tstamp = tp->rcv_tstamp;
	r->chrono_type = (__u8)BPF_CORE_READ_BITFIELD(tp, chrono_type);
	r->chrono_start = tp->chrono_start;
	for (int i = 0; i < 3; i++)
		r->chrono_stat[i] = tp->chrono_stat[i];
	if (bpf_core_field_exists(timeouts->total_rto)) {
		r->flags |= TCB_TOTAL_RTO;
		r->total_rto = timeouts->total_rto;
	}
}

static __always_inline void fill_full(struct tcb_record *r, struct tcp_sock *tp, __u64 now)
{
	struct inet_connection_sock *ic = &tp->inet_conn;
	struct sock *sk = &ic->icsk_inet.sk;

	r->kind = TCB_RECORD_FULL;
	r->inode = inode_of(sk);
	fill_sequence(r, tp);
	fill_options(r, tp, sk);
	fill_out_of_order(r, tp);
	fill_congestion(r, tp, ic);
	fill_counters(r, tp, ic);
	fill_timers(r, tp, ic, now);
	r->mss_cache = tp->mss_cache;
	r->advmss = tp->advmss;
	r->rcv_mss = ic->icsk_ack.rcv_mss;
	r->pmtu = ic->icsk_pmtu_cookie;
	r->shutdown = sk->sk_shutdown;
	r->ack_backlog = sk->sk_ack_backlog;
	r->max_ack_backlog = sk->sk_max_ack_backlog;
	r->qlen = (__u32)ic->icsk_accept_queue.qlen.counter;
	r->uid = sk->sk_uid.val;
	r->rmem = (__u32)sk->sk_backlog.rmem_alloc.counter;
	r->wmem = (__u32)sk->sk_wmem_queued;
	r->rcvbuf = (__u32)sk->sk_rcvbuf;
	r->sndbuf = (__u32)sk->sk_sndbuf;
	r->drops = (__u32)sk->sk_drops.counter;
	r->err_soft = (__u32)sk->sk_err_soft;
	r->pacing_rate = sk->sk_pacing_rate;
}

static __always_inline void fill_time_wait(struct tcb_record *r, struct tcp_timewait_sock *tw,
					   __u64 now)
{
	struct inet_timewait_sock *small = &tw->tw_sk;

	r->kind = TCB_RECORD_TIME_WAIT;
	r->state = small->tw_substate;
	r->snd_nxt = small->__tw_common.skc_tw_snd_nxt;
	r->rcv_nxt = small->__tw_common.skc_tw_rcv_nxt;
	r->rcv_wnd = tw->tw_rcv_wnd;
	r->rcv_wscale = small->tw_rcv_wscale;
	r->ts_recent = tw->tw_ts_recent;
	r->keep_left = jiffies_left(small->tw_timer.expires, now);
	if (VALUE_OF(small, tw_timer.entry.pprev))
		r->flags |= TCB_KEEP_TIMER;
}

static __always_inline void fill_request(struct tcb_record *r, struct tcp_request_sock *tr,
					 __u64 now)
{
	struct inet_request_sock *ir = &tr->req;
	struct request_sock *req = &ir->req;

	r->kind = TCB_RECORD_REQUEST;
	r->snd_isn = tr->snt_isn;
	r->rcv_isn = tr->rcv_isn;
	r->rcv_nxt = tr->rcv_nxt;
	r->rcv_wnd = req->__req_common.skc_rcv_wnd;
	r->mss_clamp = req->mss;
	r->retransmits = req->num_retrans;
	r->synack_us = tr->snt_synack;
	r->rexmt_left = jiffies_left(req->rsk_timer.expires, now);
	if (BPF_CORE_READ_BITFIELD(ir, tstamp_ok))
		r->flags |= TCB_TSTAMP;
	if (BPF_CORE_READ_BITFIELD(ir, sack_ok))
		r->flags |= TCB_SACK;
	if (BPF_CORE_READ_BITFIELD(ir, ecn_ok))
		r->flags |= TCB_ECN;
	if (BPF_CORE_READ_BITFIELD(ir, wscale_ok))
		r->flags |= TCB_WSCALE;
	r->snd_wscale = (__u8)BPF_CORE_READ_BITFIELD(ir, snd_wscale);
	r->rcv_wscale = (__u8)BPF_CORE_READ_BITFIELD(ir, rcv_wscale);
}

/*
 * 0: it is no TCP socket. What a lookup found may be read only as what it was turned into here,
 * so that C itself is not. The cookie is 0 if nobody has asked for it yet.
 */
static __always_inline int record_fill(struct tcb_record *r, struct sock_common *c)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(c);
	struct tcp_timewait_sock *tw = NULL;
	struct tcp_request_sock *tr = NULL;
	__u64 now = bpf_jiffies64();

	r->magic = TCB_RECORD_MAGIC;
	r->flags = 0;
	r->kind = TCB_RECORD_NONE;
	r->inode = 0;
	r->taken = bpf_ktime_get_ns();
	r->jiffies = (__u32)now;
	if (tp)
		c = &tp->inet_conn.icsk_inet.sk.__sk_common;
	else if ((tw = bpf_skc_to_tcp_timewait_sock(c)) != NULL)
		c = &tw->tw_sk.__tw_common;
	else if ((tr = bpf_skc_to_tcp_request_sock(c)) != NULL)
		c = &tr->req.req.__req_common;
	else
		return 0;
	r->state = c->skc_state;
	r->cookie = (__u64)c->skc_cookie.counter;
	fill_addresses(r, c);
	if (tp)
		fill_full(r, tp, now);
	else if (tw)
		fill_time_wait(r, tw, now);
	else if (tr)
		fill_request(r, tr, now);
	return 1;
}

#endif
