/* SPDX-License-Identifier: MIT */
/* Snapshots: a TCB, a half-open connection or a TIME-WAIT record as struct cpl_info; and the walk.
 */
#include "tcp/rest.h"
#include "tcp/timewait.h"

static void info_begin(struct cpl_info *info, uint64_t now)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	CPL_INFO_READ(info, source, CPL_SOURCE_STACK);
	CPL_INFO_READ(info, protocol, IP_TCP);
	CPL_INFO_READ(info, taken, now);
}

static void info_id(struct cpl_info *info, const struct conn_id *id)
{
	const struct cpl_addr *a = addr_is_any(&id->remote) ? &id->local : &id->remote;

	CPL_INFO_READ(info, family, cpl_addr_is4(a) ? 4 : 6);
	CPL_INFO_READ(info, local_addr, id->local);
	CPL_INFO_READ(info, local_port, id->lport);
	CPL_INFO_READ(info, remote_addr, id->remote);
	CPL_INFO_READ(info, remote_port, id->rport);
}

static uint64_t left(uint64_t deadline, uint64_t now)
{
	if (deadline == CPL_NEVER)
		return CPL_TIMER_OFF;
	return deadline > now ? deadline - now : 0;
}

static void info_owner(const struct tcb *tcb, struct cpl_info *info)
{
	const struct tcb_cold *cold = tcb->cold;

	if (!cold || tcb_has(tcb, TCB_ORPHAN))
		return;
	if (cold->pid)
		CPL_INFO_READ(info, pid, cold->pid);
	if (cold->pid)
		CPL_INFO_READ(info, fd, cold->fd);
	if (cold->program[0]) {
		memcpy(info->program, cold->program, sizeof(info->program));
		cpl_info_mark_read(info, CPL_F_program);
	}
}

static void info_send(const struct tcb *tcb, struct cpl_info *info)
{
	uint32_t write_seq = tcb_write_seq(tcb);
	uint32_t sent = tcb->snd_nxt - tcb_has(tcb, TCB_FIN_SENT);

	CPL_INFO_READ(info, iss, tcb->iss);
	CPL_INFO_READ(info, snd_una, tcb->snd_una);
	CPL_INFO_READ(info, snd_nxt, tcb->snd_nxt);
	CPL_INFO_READ(info, write_seq, write_seq);
	if (tcb->state != CPL_SYN_SENT) { /* the peer has not said them */
		CPL_INFO_READ(info, snd_wnd, tcb->snd_wnd);
		CPL_INFO_READ(info, snd_wnd_max, tcb->snd_wnd_max);
		CPL_INFO_READ(info, snd_wl1, tcb->snd_wl1);
		CPL_INFO_READ(info, snd_wl2, tcb->snd_wl2);
		CPL_INFO_READ(info, snd_wscale, tcb->snd_wscale);
		CPL_INFO_READ(info, peer_mss, tcb->peer_mss);
	}
	if (tcb_has(tcb, TCB_URG_OUT))
		CPL_INFO_READ(info, snd_up, tcb->snd_up);
	CPL_INFO_READ(info, snd_mss, tcb->snd_mss);
	CPL_INFO_READ(info, pmtu, tcb->pmtu);
	CPL_INFO_READ(info, send_queue, tcb->io ? (uint32_t)tcb->io->sndq.bytes : 0);
	CPL_INFO_DERIVED(info, in_flight, tcb->snd_nxt - tcb->snd_una);
	CPL_INFO_DERIVED(info, not_sent, seq_gt(write_seq, sent) ? write_seq - sent : 0);
	CPL_INFO_READ(info, send_buffer, tcb->sndbuf);
}

static void info_receive(const struct tcb *tcb, struct cpl_info *info)
{
	const struct tcb_io *io = tcb->io;

	CPL_INFO_READ(info, irs, tcb->irs);
	CPL_INFO_READ(info, rcv_nxt, tcb->rcv_nxt);
	CPL_INFO_READ(info, read_seq, tcb->read_seq);
	CPL_INFO_READ(info, rcv_wnd, tcb_rcv_wnd(tcb));
	CPL_INFO_READ(info, rcv_edge, tcb->rcv_edge);
	if (tcb_has(tcb, TCB_URG_IN))
		CPL_INFO_READ(info, rcv_up, tcb->rcv_up);
	CPL_INFO_READ(info, rcv_wscale, tcb->rcv_wscale);
	CPL_INFO_READ(info, rcv_mss, tcb->rcv_mss);
	CPL_INFO_READ(info, rcv_mss_est, tcb->rcv_mss_est);
	CPL_INFO_READ(info, recv_queue, io ? (uint32_t)io->rcvq.bytes : 0);
	CPL_INFO_READ(info, ooo_bytes, io ? io->ooo_bytes : 0);
	CPL_INFO_READ(info, ooo_ranges, io ? io->ooo_n : 0);
	CPL_INFO_READ(info, recv_buffer, tcb->rcvbuf);
	CPL_INFO_READ(info, ts_recent, tcb->ts_recent);
	CPL_INFO_READ(info, last_ack_sent, tcb->last_ack_sent);
}

static void info_rtt(const struct tcp *tcp, const struct tcb *tcb, struct cpl_info *info)
{
	CPL_INFO_READ(info, rto, rtt_rto(&tcb->rtt, &tcp->rto));
	CPL_INFO_READ(info, backoff, tcb->rtt.backoff);
	if (!tcb->rtt.srtt_ns)
		return; /* no sample yet: unknown, not 0 */
	CPL_INFO_READ(info, srtt, tcb->rtt.srtt_ns);
	CPL_INFO_READ(info, rttvar, tcb->rtt.rttvar_ns);
	CPL_INFO_READ(info, rtt_min, tcb->rtt.min_us * 1000ull);
}

static void info_congestion(const struct tcb *tcb, struct cpl_info *info)
{
	const struct tcb_io *io = tcb->io;
	const char *name = cc_at(tcb->cc_id)->name;

	memcpy(info->cc_name, name, strlen(name) + 1);
	cpl_info_mark_read(info, CPL_F_cc_name);
	CPL_INFO_READ(info, cwnd, io ? io->cc.cwnd : tcb->cwnd);
	if (!io && !tcb->cwnd) { /* quiet since it began: comes with the first data */
		info->read[CPL_F_cwnd / 64] &= ~(1ull << CPL_F_cwnd % 64);
	}
	CPL_INFO_READ(info, ssthresh, io ? io->cc.ssthresh : tcb->ssthresh);
	CPL_INFO_READ(info, recovery, io ? io->recovery.state : CPL_RECOVERY_OPEN);
	if (io && io->recovery.state >= CPL_RECOVERY_FAST)
		CPL_INFO_READ(info, recovery_point, io->recovery.point);
	CPL_INFO_READ(info, pipe, io ? sendmap_pipe(&io->map) : 0);
	CPL_INFO_READ(info, sacked, io ? io->map.sacked : 0);
	CPL_INFO_READ(info, lost, io ? io->map.lost : 0);
	CPL_INFO_READ(info, retrans_out, io ? io->map.retrans : 0);
	CPL_INFO_READ(info, reordering_seen,
		      tcb->reordering || (io && io->recovery.rack.reordering_seen));
	if (io && io->recovery.rack.sampled)
		CPL_INFO_READ(info, reordering_wnd, io->recovery.rack.reo_wnd_ns);
	if (io)
		CPL_INFO_READ(info, reordering, io->recovery.reordering);
	CPL_INFO_READ(info, dup_acks, io ? io->recovery.dup_acks : 0);
	if (io && pace_rate(io))
		CPL_INFO_READ(info, pacing_rate, pace_rate(io));
	if (io && io->rate.interval_ns) {
		CPL_INFO_READ(info, delivery_rate, rate_sample_rate(&io->rate));
		CPL_INFO_READ(info, delivery_app_limited, io->rate.app_limited);
	}
}

static void info_timers(const struct tcb *tcb, struct cpl_info *info, uint64_t now)
{
	const struct tcb_io *io = tcb->io;
	uint64_t t = io ? left(io->t_rexmt, now) : CPL_TIMER_OFF;
	bool persist = tcb_has(tcb, TCB_PERSIST), closing = tcb->state == CPL_FIN_WAIT_2;

	CPL_INFO_READ(info, timer_rexmt, persist ? CPL_TIMER_OFF : t);
	CPL_INFO_READ(info, timer_persist, persist ? t : CPL_TIMER_OFF);
	CPL_INFO_READ(info, timer_delack, io ? left(io->t_delack, now) : CPL_TIMER_OFF);
	CPL_INFO_READ(info, timer_keep, closing ? CPL_TIMER_OFF : left(tcb->t_slow, now));
	CPL_INFO_READ(info, timer_close, closing ? left(tcb->t_slow, now) : CPL_TIMER_OFF);
	if (tcb->cold && tcb->cold->user_timeout_ns && io && t != CPL_TIMER_OFF)
		CPL_INFO_READ(info, timer_user,
			      left(io->progress + tcb->cold->user_timeout_ns, now));
	else
		CPL_INFO_READ(info, timer_user, CPL_TIMER_OFF);
	CPL_INFO_READ(info, timer_reorder, io ? left(io->recovery.t_reorder, now) : CPL_TIMER_OFF);
	CPL_INFO_READ(info, timer_probe, io ? left(io->recovery.t_probe, now) : CPL_TIMER_OFF);
	CPL_INFO_READ(info, timer_pace, io ? left(io->t_pace, now) : CPL_TIMER_OFF);
	CPL_INFO_READ(info, rexmt_count, tcb->rexmt_n);
	CPL_INFO_READ(info, probe_count, tcb->probes_n);
}

/* Accurate ECN: the counters begin with 5, 0, 1 and 1 (RFC 9768 3.2.1). */
static void info_accecn(const struct accecn *acc, struct cpl_info *info)
{
	bool off = acc->flags & ACC_OPT_OFF;
	uint8_t option = 0;

	option |= off ? 0 : CPL_ACCECN_SENT;
	option |= acc->flags & ACC_OPT_SEEN ? CPL_ACCECN_SEEN : 0;
	option |= off && (acc->flags & ACC_OPT_TRIED) ? CPL_ACCECN_BLOCKED : 0;
	option |= acc->flags & ACC_OPT_IGNORE ? CPL_ACCECN_ZEROED : 0;
	CPL_INFO_READ(info, accecn_option, option);
	CPL_INFO_READ(info, delivered_ce, acc->s_cep - 5);
	CPL_INFO_READ(info, received_ce_bytes, acc->r_ceb);
	CPL_INFO_READ(info, received_e0_bytes, acc->r_e0b - 1);
	CPL_INFO_READ(info, received_e1_bytes, acc->r_e1b - 1);
	if (!(acc->flags & ACC_OPT_SEEN))
		return;
	CPL_INFO_READ(info, delivered_ce_bytes, acc->s_ceb);
	CPL_INFO_READ(info, delivered_e0_bytes, acc->s_e0b - 1);
	CPL_INFO_READ(info, delivered_e1_bytes, acc->s_e1b - 1);
}

static void info_options(const struct tcb *tcb, struct cpl_info *info, uint64_t now)
{
	uint32_t bits = 0;

	bits |= tcb_has(tcb, TCB_WSCALE) ? CPL_OPT_BIT_WSCALE : 0;
	bits |= tcb_has(tcb, TCB_TS) ? CPL_OPT_BIT_TS : 0;
	bits |= tcb_has(tcb, TCB_SACK) ? CPL_OPT_BIT_SACK : 0;
	bits |= tcb->ecn & ECN_AGREED ? CPL_OPT_BIT_ECN : 0;
	bits |= tcb->accecn ? CPL_OPT_BIT_ECN | CPL_OPT_BIT_ACCECN : 0;
	bits |= tcb->fastopen & FASTOPEN_ACKED ? CPL_OPT_BIT_TFO : 0;
	CPL_INFO_READ(info, options, bits);
	CPL_INFO_READ(info, fastopen_fail, tcb->fastopen_fail);
	CPL_INFO_READ(info, ecn_capable,
		      tcb->accecn ? !(tcb->accecn->flags & ACC_NO_ECT) : tcb->ecn & ECN_AGREED);
	if (tcb->accecn)
		info_accecn(tcb->accecn, info);
	if (tcb_has(tcb, TCB_TS))
		CPL_INFO_READ(info, ts_recent_age,
			      (uint32_t)(tcp_seconds(now) - tcb->ts_recent_s) * CPL_SECOND);
	CPL_INFO_READ(info, nodelay, tcb_has(tcb, TCB_NODELAY));
	CPL_INFO_READ(info, keepalive, tcb_has(tcb, TCB_KEEPALIVE));
	CPL_INFO_READ(info, tos, tcb->tos);
	CPL_INFO_READ(info, ttl, tcb->ttl);
}

static void info_recovery(const struct tcb *tcb, struct cpl_info *info)
{
	const struct recovery *rec = tcb->io ? &tcb->io->recovery : NULL;

	CPL_INFO_READ(info, rto_spurious, tcb->rto_spurious + (rec ? rec->spurious_rto : 0));
	CPL_INFO_READ(info, undone, tcb->undone + (rec ? rec->undone : 0));
	CPL_INFO_READ(info, loss_probes, tcb->loss_probes + (rec ? rec->probes : 0));
	CPL_INFO_READ(info, reorderings, tcb->reorderings + (rec ? rec->reorderings : 0));
	CPL_INFO_READ(info, bytes_lost, tcb->bytes_lost + (rec ? tcb->io->map.lost_total : 0));
}

static void info_counters(const struct tcb *tcb, struct cpl_info *info, uint64_t now)
{
	CPL_INFO_READ(info, bytes_sent, tcb->bytes_sent);
	CPL_INFO_READ(info, bytes_retrans, tcb->bytes_retrans);
	CPL_INFO_READ(info, bytes_acked, tcb->bytes_acked);
	CPL_INFO_READ(info, bytes_received, tcb->bytes_received);
	CPL_INFO_READ(info, segs_out, tcb->segs_out);
	CPL_INFO_READ(info, segs_in, tcb->segs_in);
	CPL_INFO_READ(info, data_segs_out, tcb->data_segs_out);
	CPL_INFO_READ(info, data_segs_in, tcb->data_segs_in);
	CPL_INFO_READ(info, retrans, tcb->retrans);
	CPL_INFO_READ(info, rto_count, tcb->rto_count);
	CPL_INFO_READ(info, blackholes, tcb->blackholes);
	CPL_INFO_READ(info, ce_in, tcb->ce_in);
	CPL_INFO_READ(info, ece_in, tcb->ece_in);
	CPL_INFO_READ(info, fast_recoveries, tcb->fast_recoveries);
	info_recovery(tcb, info);
	CPL_INFO_READ(info, dsack_dups, tcb->dsack_dups);
	CPL_INFO_READ(info, drops, tcb->drops);
	if (tcb->io && tcb->bytes_sent)
		CPL_INFO_READ(info, last_sent, now - tcb->io->last_sent);
	CPL_INFO_READ(info, last_received, now - tcb->last_received);
}

/* Time by reason: what is summed for each but idleness, which is the rest of the age. */
static void info_why(const struct tcb *tcb, struct cpl_info *info, uint64_t now)
{
	const struct tcb_io *io = tcb->io;
	uint64_t ns[CPL_WHYS] = { 0 }, known = 0, age = now - tcb->made;

	uint64_t busy = tcb->busy_sum.us * 1000ull + (io ? io->busy_ns : 0);

	for (unsigned i = 0; i < CPL_WHYS; i++) {
		if (i == CPL_WHY_IDLE || i == CPL_WHY_CLOSED)
			continue;
		ns[i] = tcb->why_sum[i].us * 1000ull + (io ? io->why_ns[i] : 0);
		if (io && io->why == i)
			ns[i] += now - io->why_since;
		known += ns[i];
	}
	if (io && io->busy_since != CPL_NEVER)
		busy += now - io->busy_since;
	CPL_INFO_READ(info, why, io ? io->why : CPL_WHY_IDLE);
	if (io)
		CPL_INFO_READ(info, why_for, now - io->why_since);
	CPL_INFO_READ(info, why_time_sending, ns[CPL_WHY_SENDING]);
	CPL_INFO_DERIVED(info, why_time_idle, age > known ? age - known : 0);
	CPL_INFO_READ(info, why_time_handshake, ns[CPL_WHY_HANDSHAKE]);
	CPL_INFO_READ(info, why_time_cwnd, ns[CPL_WHY_CWND]);
	CPL_INFO_READ(info, why_time_rwnd, ns[CPL_WHY_RWND]);
	CPL_INFO_READ(info, why_time_zero_wnd, ns[CPL_WHY_ZERO_WND]);
	CPL_INFO_READ(info, why_time_nagle, ns[CPL_WHY_NAGLE]);
	CPL_INFO_READ(info, why_time_pacing, ns[CPL_WHY_PACING]);
	CPL_INFO_READ(info, why_time_device, ns[CPL_WHY_DEVICE]);
	CPL_INFO_READ(info, why_time_memory, ns[CPL_WHY_MEMORY]);
	CPL_INFO_READ(info, why_time_sndbuf, ns[CPL_WHY_SNDBUF]);
	CPL_INFO_READ(info, why_time_recovery, ns[CPL_WHY_RECOVERY]);
	CPL_INFO_READ(info, why_time_busy, busy);
	CPL_INFO_READ(info, soft_error, tcb->soft_error);
}

static void info_listener(const struct tcb *tcb, struct cpl_info *info)
{
	const struct listener *l = tcb->listener;

	CPL_INFO_READ(info, accept_queue, l->accept_n);
	CPL_INFO_READ(info, syn_queue, l->half_n);
	CPL_INFO_READ(info, backlog, l->backlog);
	CPL_INFO_READ(info, listen_overflows, l->overflows);
	CPL_INFO_READ(info, syncookies_sent, l->cookies);
}

void tcp_info_tcb(struct tcp *tcp, const struct tcb *tcb, struct cpl_info *info, uint64_t now)
{
	info_begin(info, now);
	info_id(info, &tcb->node.id);
	CPL_INFO_READ(info, state, tcb->state);
	CPL_INFO_READ(info, id, tcb_handle(tcp, tcb));
	CPL_INFO_READ(info, age, now - tcb->made);
	if (tcb->ifindex)
		CPL_INFO_READ(info, ifindex, tcb->ifindex);
	info_owner(tcb, info);
	if (tcb->state == CPL_LISTEN) {
		info_listener(tcb, info);
		return;
	}
	CPL_INFO_READ(info, passive, tcb_has(tcb, TCB_PASSIVE));
	info_send(tcb, info);
	if (tcb->rcv_nxt || tcb->irs || tcb_synchronized(tcb))
		info_receive(tcb, info);
	info_rtt(tcp, tcb, info);
	info_congestion(tcb, info);
	info_timers(tcb, info, now);
	info_options(tcb, info, now);
	info_counters(tcb, info, now);
	info_why(tcb, info, now);
}

void tcp_info_half(struct tcp *tcp, const struct half_open *half, struct cpl_info *info,
		   uint64_t now)
{
	info_begin(info, now);
	info_id(info, &half->node.id);
	CPL_INFO_READ(info, state, CPL_SYN_RECEIVED);
	CPL_INFO_READ(info, id, half_handle(tcp, half));
	CPL_INFO_READ(info, passive, 1);
	CPL_INFO_READ(info, age, us48_ago(half->made, now));
	CPL_INFO_READ(info, ifindex, half->ifindex);
	CPL_INFO_READ(info, iss, half->iss);
	CPL_INFO_READ(info, irs, half->irs);
	CPL_INFO_READ(info, snd_una, half->iss);
	CPL_INFO_READ(info, snd_nxt, half->iss + !(half->flags & HALF_PENDING));
	CPL_INFO_READ(info, rcv_nxt, half->irs + 1);
	CPL_INFO_READ(info, snd_wnd, half->snd_wnd);
	CPL_INFO_READ(info, rcv_wnd, half->rcv_wnd);
	CPL_INFO_DERIVED(info, rcv_edge, half->irs + 1 + half->rcv_wnd);
	CPL_INFO_DERIVED(info, in_flight, !(half->flags & HALF_PENDING)); /* the SYN,ACK */
	CPL_INFO_DERIVED(info, ooo_bytes, 0);
	CPL_INFO_READ(info, peer_mss, half->peer_mss);
	CPL_INFO_READ(info, rcv_mss, half->rcv_mss);
	CPL_INFO_READ(info, snd_wscale, half->snd_wscale);
	CPL_INFO_READ(info, rcv_wscale, half->rcv_wscale);
	CPL_INFO_READ(info, send_queue, 0);
	CPL_INFO_READ(info, recv_queue, 0);
	CPL_INFO_READ(info, timer_rexmt, half_left(half, now));
	CPL_INFO_READ(info, rexmt_count, half->retries);
	CPL_INFO_READ(info, why, CPL_WHY_HANDSHAKE);
}

void tcp_info_time_wait(struct tcp *tcp, const struct time_wait *tw, struct cpl_info *info,
			uint64_t now)
{
	struct conn_id id;

	time_wait_id(tcp, tw, &id);
	info_begin(info, now);
	info_id(info, &id);
	CPL_INFO_READ(info, state, CPL_TIME_WAIT);
	CPL_INFO_READ(info, id, time_wait_handle(tw));
	CPL_INFO_READ(info, ifindex, time_wait_ifindex(tcp, tw));
	CPL_INFO_READ(info, snd_una, tw->snd_nxt);
	CPL_INFO_READ(info, snd_nxt, tw->snd_nxt);
	CPL_INFO_READ(info, rcv_nxt, tw->rcv_nxt);
	CPL_INFO_READ(info, rcv_wnd, (uint32_t)tw->wnd << tw->rcv_wscale);
	CPL_INFO_READ(info, rcv_wscale, tw->rcv_wscale);
	CPL_INFO_READ(info, send_queue, 0);
	CPL_INFO_READ(info, recv_queue, 0);
	CPL_INFO_READ(info, timer_close, time_wait_left(tw, now));
	CPL_INFO_READ(info, why, CPL_WHY_CLOSED);
}

static const struct tcb *slot_tcb(struct tcp *tcp, const struct conn_slot *slot)
{
	if (ref_kind(slot->ref) != KIND_REST)
		return pool_at(&tcp->tcbs, ref_index(slot->ref));
	tcb_peek(tcp, slot, &tcp->scratch);
	return &tcp->scratch;
}

/*
 * The cursor is a step and the pool index of the next record to look at. The steps are in the order
 * of a connection's life: what moves to another pool during the walk is met there, not missed.
 */
unsigned tcp_info_walk(struct tcp *tcp, uint64_t *cursor, struct cpl_info *info, unsigned max,
		       uint64_t now)
{
	struct pool *steps[] = { &tcp->halves, &tcp->slots, &tcp->time_waits };
	uint32_t step = (uint32_t)(*cursor >> 32), index = (uint32_t)*cursor;
	unsigned n = 0;

	while (step < 3 && n < max) {
		const void *p = pool_next(steps[step], &index);

		if (!p) {
			step++;
			index = 0;
			continue;
		}
		index++;
		if (steps[step] == &tcp->halves) {
			if (half_listener(tcp, p)) /* else it is about to go */
				tcp_info_half(tcp, p, &info[n++], now);
		} else if (steps[step] == &tcp->time_waits) {
			tcp_info_time_wait(tcp, p, &info[n++], now);
		} else {
			const struct tcb *tcb = slot_tcb(tcp, p);

			/* What only waits for its program to let go is no connection. */
			if (tcb->state != CPL_CLOSED && tcb->state != CPL_TIME_WAIT)
				tcp_info_tcb(tcp, tcb, &info[n++], now);
		}
	}
	*cursor = (uint64_t)step << 32 | index;
	return n;
}
