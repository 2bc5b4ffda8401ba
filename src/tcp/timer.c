/* SPDX-License-Identifier: MIT */
/*
 * The timers of a connection. Each is a deadline in the TCB; the wheel holds one node for all of
 * them, at the earliest or before it: a deadline that only moves away is found again when the node
 * fires.
 */
#include "tcp/ecn.h"
#include "tcp/rest.h"
#include "tcp/timewait.h"

#define QUIET_MAX	(60 * CPL_SECOND)
/* What one call does, so that none takes long: nodes of a wheel moved; records freed. */
#define ADVANCE_WORK	4096u
#define ADVANCE_RECORDS 1024u
#define RETRY_NS	(50 * CPL_MS) /* memory or a route may be there again */
#define STALL_MAX_NS	(1000 * CPL_MS)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t tcb_deadline(const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->state == CPL_LISTEN ? NULL : tcb->io;
	uint64_t t = tcb->t_slow;

	if (io) {
		t = least(t, io->t_rexmt);
		t = least(t, io->t_delack);
		t = least(t, io->t_quiet);
		t = least(t, io->t_cork);
		t = least(t, io->t_pace);
		t = least(t, io->recovery.t_reorder);
		t = least(t, io->recovery.t_probe);
	}
	return t;
}

void timer_update(struct tcp *tcp, struct tcb *tcb)
{
	uint64_t t = tcb_deadline(tcb);

	if (t < tcb->timer.deadline)
		wheel_start(&tcp->wheel, &tcb->timer, t);
}

void timer_was_set(struct tcp *tcp, struct tcb *tcb, uint64_t t)
{
	if (t < tcb->timer.deadline)
		wheel_start(&tcp->wheel, &tcb->timer, t);
#ifdef CPL_DEBUG
	ASSERT(tcb->timer.deadline <= tcb_deadline(tcb));
#endif
}

/* N retransmissions of a SYN, and the wait for an answer to the last. */
static uint64_t syn_time(const struct cpl_config *cfg, unsigned n)
{
	uint64_t t = 0, rto = cfg->rto_initial_ns;

	for (unsigned i = 0; i <= n; i++) {
		t += rto;
		rto = least(2 * rto, cfg->rto_max_ns);
	}
	return t - cfg->rto_initial_ns / 2; /* that time-out itself, however early it comes */
}

uint64_t tcb_r2(const struct tcp *tcp, const struct tcb *tcb)
{
	if (tcb->cold && tcb->cold->user_timeout_ns)
		return tcb->cold->user_timeout_ns; /* MUST-21 */
	if (!tcb_synchronized(tcb) && tcb->cold && tcb->cold->syn_retries)
		return syn_time(tcp->config, tcb->cold->syn_retries);
	/* MUST-23: a SYN is tried for three minutes at least. */
	return tcb_synchronized(tcb) ? tcp->config->r2_ns : tcp->config->r2_syn_ns;
}

void timer_fin_wait_2(const struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	int64_t own = tcb->cold ? tcb->cold->linger2_ns : 0;

	tcb->t_slow = own < 0 ? now : now + (own ? (uint64_t)own : tcp->config->fin_wait_2_ns);
}

uint64_t tcb_keep_idle(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->cold ? tcb->cold->keep_idle_ns : tcp->config->keep_idle_ns;
}

uint64_t tcb_keep_interval(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->cold ? tcb->cold->keep_interval_ns : tcp->config->keep_interval_ns;
}

uint32_t tcb_keep_count(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->cold ? tcb->cold->keep_count : tcp->config->keep_count;
}

/* A user time-out ends the wait exactly, not at the next retransmission after it. */
static uint64_t not_after_r2(const struct tcb *tcb, uint64_t t)
{
	if (!tcb->cold || !tcb->cold->user_timeout_ns)
		return t;
	return least(t, tcb->io->progress + tcb->cold->user_timeout_ns);
}

void timer_retry(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	if (now + RETRY_NS < tcb->timer.deadline)
		wheel_start(&tcp->wheel, &tcb->timer, now + RETRY_NS);
}

/* What was tried in vain (no route, no neighbour) is tried again later and later. */
void timer_stalled(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint64_t since;

	if (!io) {
		timer_retry(tcp, tcb, now);
		return;
	}
	since = now - io->stalled_at;
	if (!io->stall_ns || since > 2 * io->stall_ns) {
		io->stall_ns = RETRY_NS;
		io->stalled_at = now;
	} else if (since >= io->stall_ns) {
		io->stall_ns = least(2 * io->stall_ns, STALL_MAX_NS);
		io->stalled_at = now;
	}
	if (io->stalled_at + io->stall_ns < tcb->timer.deadline)
		wheel_start(&tcp->wheel, &tcb->timer, io->stalled_at + io->stall_ns);
}

void timer_rexmt_start(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	tcb->flags &= ~TCB_PERSIST;
	tcb->io->t_rexmt = not_after_r2(tcb, now + rtt_rto(&tcb->rtt, &tcp->rto));
}

void timer_probe_schedule(struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	/* A window too small to send into is probed by other means. */
	if (!tcb_synchronized(tcb) || tcb_has(tcb, TCB_PERSIST) || !tcb->snd_wnd)
		io->recovery.t_probe = CPL_NEVER;
	else
		recovery_schedule_probe(&io->recovery, &io->map, tcb->snd_mss, tcb->rtt.srtt_ns,
					io->t_rexmt, now);
}

void timer_rexmt_stop(struct tcp *tcp, struct tcb *tcb)
{
	(void)tcp;
	tcb->flags &= ~TCB_PERSIST;
	tcb->io->t_rexmt = CPL_NEVER;
}

void timer_persist_start(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	if (!tcb_has(tcb, TCB_PERSIST)) {
		tcb->probes_n = 0;
		if (!tcb_has(tcb, TCB_ORPHAN))
			tcb->io->progress = now;
		tcb->rtt.backoff = 0; /* SHLD-29: the first probe after one RTO */
	}
	tcb->flags |= TCB_PERSIST;
	tcb->io->t_rexmt = not_after_r2(tcb, now + rtt_rto(&tcb->rtt, &tcp->rto));
}

uint64_t timer_quiet(const struct tcp *tcp, uint64_t now, uint64_t wait)
{
	uint64_t least_ns = tcp->config->quiet_ns, grain = WHEEL_TICK_NS;

	if (wait < least_ns)
		wait = least_ns;
	while (grain << WHEEL_BITS <= wait)
		grain <<= WHEEL_BITS;
	return (now + wait + grain - 1) & ~(grain - 1);
}

void timer_quiet_start(struct tcp *tcp, struct tcb *tcb, uint64_t now, uint64_t wait)
{
	uint64_t t = timer_quiet(tcp, now, wait);

	if (t < tcb->timer.deadline)
		wheel_start(&tcp->wheel, &tcb->timer, t);
}

void timer_keep_start(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	if (tcb_has(tcb, TCB_KEEPALIVE)) /* MUST-25: off by default */
		tcb->t_slow = now + tcb_keep_idle(tcp, tcb);
}

static void give_up(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	tcp->counters->timeouts++;
	tcb_finish(tcp, tcb, tcb->soft_error ? tcb->soft_error : ETIMEDOUT, now);
}

/* SHLD-9, SHLD-10: R1 is reached: tell the program, and look for another way (MUST-20). */
static void reach_r1(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct route_result route;

	if (!tcb->soft_error && !tcb_has(tcb, TCB_NO_SOFT))
		tcb_event(tcp, tcb, CPL_EV_SOFT);
	if (tcb_route(tcp, tcb, now) || !tcp->neigh)
		return;
	if (!route_lookup(tcp->routes, &tcb->node.id.remote, tcb->ifindex, NULL, &route))
		neigh_suspect(tcp->neigh, route.ifindex, &route.next_hop, now);
}

/*
 * The window is to be probed; if it is only too small for a segment, with what fits. The time to R2
 * runs from the first probe that gets no answer (MUST-37, SHLD-17); but if the program has left,
 * from the last octet that was taken: answers alone keep nothing alive for nobody (RFC 6429).
 */
static void probe(struct tcb *tcb, uint64_t now)
{
	if (!tcb->probes_n && !tcb_has(tcb, TCB_ORPHAN))
		tcb->io->progress = now;
	if (tcb->probes_n < 255)
		tcb->probes_n++;
	tcb->flags |= TCB_PROBE;
}

/* Accepted at its SYN, and nobody answers: as Linux one try more than without Fast Open. */
static bool synack_failed(const struct tcp *tcp, const struct tcb *tcb)
{
	return fastopen_is_child(tcb) && tcb->rexmt_n > tcp->config->synack_retries;
}

static void rexmt_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	struct recovery_ack path;

	if (sendmap_empty(&io->map)) {
		timer_rexmt_stop(tcp, tcb);
		return;
	}
	if (tcb_synchronized(tcb) && !tcb->snd_wnd)
		probe(tcb, now); /* MUST-35: it shrank to nothing under what was sent */
	/* MUST-20, MUST-22: R2 */
	if (now - io->progress >= tcb_r2(tcp, tcb) || synack_failed(tcp, tcb)) {
		fastopen_timeout(tcp, tcb, true, now);
		give_up(tcp, tcb, now);
		return;
	}
	fastopen_timeout(tcp, tcb, false, now);
	if (tcb->rexmt_n < 255)
		tcb->rexmt_n++;
	if (tcb->rexmt_n == tcp->config->r1_retries)
		reach_r1(tcp, tcb, now);
	tcb->rto_count++;
	TRACE(tcp->trace, now, tcb_handle(tcp, tcb), timer, 0, tcb->rtt.backoff);
	if (!(sendmap_first(&io->map)->flags & SENT_UNSENT)) /* else it never left the host */
		plpmtu_timeout(tcb, now);
	rtt_back_off(&tcb->rtt, &tcp->rto); /* RFC 6298 5.5 */
	path = tcb_recovery_path(tcb);
	recovery_on_timeout(&io->recovery, &io->map, &io->cc, tcb->rexmt_n == 1, &path, now);
	ecn_reduced(tcb);
	accecn_timeout(tcb);
	io->hold_over = false;
	timer_rexmt_start(tcp, tcb, now);
}

static void persist_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	probe(tcb, now);
	if (now - tcb->io->progress >= tcb_r2(tcp, tcb)) {
		give_up(tcp, tcb, now);
		return;
	}
	TRACE(tcp->trace, now, tcb_handle(tcp, tcb), timer, 1, tcb->rtt.backoff);
	rtt_back_off(&tcb->rtt, &tcp->rto); /* SHLD-30 */
	timer_persist_start(tcp, tcb, now);
}

/* MUST-29: no single probe decides. As Linux: a user time-out replaces the number of probes. */
static bool keep_failed(const struct tcp *tcp, const struct tcb *tcb, uint64_t now)
{
	uint64_t limit = tcb->cold ? tcb->cold->user_timeout_ns : 0;

	if (limit)
		return tcb->probes_n && now - tcb->last_received >= limit;
	return tcb->probes_n >= tcb_keep_count(tcp, tcb);
}

/* MAY-5 */
static void keep_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	uint64_t due = tcb->last_received + tcb_keep_idle(tcp, tcb);

	if (tcb->io && (!sendmap_empty(&tcb->io->map) || tcb->io->sndq.bytes)) {
		tcb->t_slow = now + tcb_keep_idle(tcp, tcb); /* MUST-26: nothing outstanding */
	} else if (!tcb->probes_n && due > now) {
		tcb->t_slow = due;
	} else if (keep_failed(tcp, tcb, now)) {
		struct tcp_seg last = { .flags = TCP_ACK, .ack = tcb->snd_nxt };

		reply_rst(tcp, &tcb->node.id, tcb->ifindex, &last);
		give_up(tcp, tcb, now);
	} else {
		tcb->flags |= TCB_PROBE;
		tcb->probes_n += tcb->probes_n < 255;
		tcb->t_slow = now + tcb_keep_interval(tcp, tcb);
		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), timer, 3, tcb->probes_n);
	}
}

static void slow_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	if (tcb->state == CPL_FIN_WAIT_2 && tcb_has(tcb, TCB_ORPHAN)) {
		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), timer, 4, 0);
		tcb_finish(tcp, tcb, 0, now);
		return;
	}
	keep_fire(tcp, tcb, now);
}

static void quiet_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	uint64_t quiet = tcp->config->quiet_ns, still;

	if (window_starved(tcb)) {
		window_after_read(tcp, tcb, now);
		io->t_quiet = timer_quiet(tcp, now, 0);
		return;
	}
	if (tcb_io_idle(tcb) && now - io->last_sent >= quiet && now - tcb->last_received >= quiet) {
		tcb_io_release(tcp, tcb, now);
		return;
	}
	/* As long as it has lasted, a minute at most: unread data may lie there for weeks. */
	still = now - (io->last_sent > tcb->last_received ? io->last_sent : tcb->last_received);
	io->t_quiet = timer_quiet(tcp, now, least(still, QUIET_MAX));
}

/* What has no io may rest, when it has been quiet for long enough. True: TCB is gone. */
static bool rest_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	uint64_t still = now - tcb->last_received;

	if (!tcb_synchronized(tcb) || tcb->io || tcb->state == CPL_TIME_WAIT ||
	    tcb_has(tcb, TCB_BOUND))
		return false;
	if (still >= tcp->config->quiet_ns && tcb_may_rest(tcb) && tcb_rest(tcp, tcb))
		return true;
	/* As above, where it is the program that lets it wait. */
	timer_quiet_start(tcp, tcb, now, list_linked(&tcb->event) ? least(still, QUIET_MAX) : 0);
	return false;
}

static void io_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (io->t_delack <= now) { /* MUST-40 */
		io->t_delack = CPL_NEVER;
		tcb->flags |= TCB_ACK_NOW;
		tcb->flags &= ~TCB_PINGPONG;
		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), timer, 2, 0);
	}
	if (io->t_pace <= now)
		io->t_pace = CPL_NEVER; /* the connection is looked at again below */
	if (io->t_cork <= now) {
		io->t_cork = CPL_NEVER;
		io->hold_over = true; /* MUST-60 */
	}
	if (io->recovery.t_reorder <= now) {
		struct recovery_ack path = tcb_recovery_path(tcb);

		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), timer, 6, 0);
		recovery_on_reorder_timer(&io->recovery, &io->map, &io->cc, &path, now);
		plpmtu_result(tcb, false, now);
	}
	if (io->recovery.t_probe <= now) {
		/* RFC 8985 7.3: whatever comes of the probe, the RTO runs anew. */
		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), timer, 7, 0);
		recovery_on_probe_timer(&io->recovery, &io->map);
		if (io->recovery.probe_due)
			timer_rexmt_start(tcp, tcb, now);
	}
	if (io->t_rexmt <= now) {
		if (tcb_has(tcb, TCB_PERSIST))
			persist_fire(tcp, tcb, now);
		else
			rexmt_fire(tcp, tcb, now);
		if (tcb->state == CPL_CLOSED)
			return;
	}
	if (io->t_quiet <= now)
		quiet_fire(tcp, tcb, now);
}

/* A send that found no memory, and no ACK to come that would tell of room: the program tries again.
 */
static void tell_starved(struct tcp *tcp, struct tcb *tcb)
{
	if (!tcb_has(tcb, TCB_WANT_WRITE) || (tcb->io && tcb->io->sndq.bytes))
		return;
	tcb->flags &= ~TCB_WANT_WRITE;
	tcb_event(tcp, tcb, CPL_EV_WRITABLE);
}

static void tcb_fire(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	tcb->plain = false;
	if (tcb->state != CPL_LISTEN && tcb->state != CPL_CLOSED)
		tell_starved(tcp, tcb);
	if (tcb->state != CPL_LISTEN && tcb->io)
		io_fire(tcp, tcb, now);
	if (tcb->state != CPL_CLOSED && tcb->t_slow <= now)
		slow_fire(tcp, tcb, now);
#ifdef CPL_DEBUG
	tcb_check(tcp, tcb);
#endif
	if (tcb->state != CPL_CLOSED) {
		timer_update(tcp, tcb);
		tcb_kick(tcp, tcb);
		if (rest_fire(tcp, tcb, now))
			return;
	}
	tcb_reap(tcp, tcb);
}

/* The slow timer of a connection at rest. */
static void rest_timer_fire(struct tcp *tcp, struct rest_timer *timer, uint64_t now)
{
	const struct conn_slot *slot = pool_at(&tcp->slots, timer->slot);
	struct tcb *tcb = tcb_wake(tcp, slot->ref);

	if (tcb)
		tcb_fire(tcp, tcb, now);
	else /* no memory now */
		wheel_start(&tcp->rest_wheel, &timer->node, now + RETRY_NS);
}

uint64_t tcp_deadline(const struct tcp *tcp)
{
	uint64_t t = least(wheel_deadline(&tcp->wheel), half_deadline(tcp));

	t = least(t, wheel_deadline(&tcp->rest_wheel));
	return least(t, time_wait_deadline(tcp));
}

/* The timers of many are due at once where many are quiet at once. */
static void fire_ahead(struct tcp *tcp)
{
	struct wheel_node *next, *after;

	wheel_ahead(&tcp->wheel, &next, &after);
	demux_fire_ahead(tcp, next ? container_of(next, struct tcb, timer) : NULL,
			 after ? container_of(after, struct tcb, timer) : NULL);
}

void tcp_advance(struct tcp *tcp, uint64_t now)
{
	unsigned work = ADVANCE_WORK, rest_work = ADVANCE_WORK;
	struct wheel_node *node;

	while ((node = wheel_expire_some(&tcp->wheel, now, &work)) != NULL) {
		fire_ahead(tcp);
		tcb_fire(tcp, container_of(node, struct tcb, timer), now);
	}
	while ((node = wheel_expire_some(&tcp->rest_wheel, now, &rest_work)) != NULL)
		rest_timer_fire(tcp, container_of(node, struct rest_timer, node), now);
	half_advance(tcp, now);
	time_wait_advance(tcp, ADVANCE_RECORDS, now);
}
