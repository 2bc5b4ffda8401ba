/* SPDX-License-Identifier: MIT */
/*
 * The life of a TCB: made, given its struct tcb_io while data moves, finished, freed; its route and
 * the segment sizes that follow from it (RFC 9293 3.7.1); its invariants.
 */
#include "tcp/ecn.h"
#include "tcp/fast.h"
#include "tcp/peer.h"

/* As Linux: a peer that asks for less would have us keep a record for each few octets. */
#define SND_MSS_MIN 48u

struct tcb *tcb_new(struct tcp *tcp, uint64_t now)
{
	uint32_t slot_index, index;
	struct conn_slot *slot = pool_alloc(&tcp->slots, &slot_index);
	struct tcb *tcb = slot ? pool_alloc(&tcp->tcbs, &index) : NULL;

	if (!tcb) {
		if (slot)
			pool_free(&tcp->slots, slot);
		return NULL;
	}
	tcb_init(tcp, tcb, now);
	*slot = (struct conn_slot){ ref_make(KIND_TCB, index), tcp_gen(tcp) };
	tcb->slot = slot_index;
	tcb->gen = slot->gen;
	return tcb;
}

void tcb_free(struct tcp *tcp, struct tcb *tcb)
{
	uint32_t ref = tcb_ref(tcp, tcb);

	pool_free_at(&tcp->slots, tcb->slot);
	tcb->gen = 0;
	pool_free_at(&tcp->tcbs, ref_index(ref));
}

void tcb_init(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	const struct cpl_config *cfg = tcp->config;

	mem_zero(tcb, sizeof(*tcb));
	tcb->state = CPL_CLOSED;
	tcb->sndbuf = cfg->sndbuf;
	tcb->rcvbuf = cfg->rcvbuf;
	tcb->ttl = cfg->ttl;
	tcb->ssthresh = CC_SSTHRESH_NONE;
	tcb->made = now;
	tcb->last_received = now;
	tcb->t_slow = CPL_NEVER;
	tcb->cc_id = tcp->cc_id;
	rtt_init(&tcb->rtt);
	list_init(&tcb->event);
	list_init(&tcb->ready);
	wheel_node_init(&tcb->timer);
}

static void io_init(struct tcp *tcp, struct tcb *tcb, struct tcb_io *io, uint64_t now)
{
	uint32_t mss = tcb->snd_mss ? tcb->snd_mss : tcp_default_mss(&tcb->node.id.remote);
	uint32_t initial = cc_initial_window(mss, tcp->config->initial_window);

	mem_zero(&io->sndq, offsetof(struct tcb_io, cc) - offsetof(struct tcb_io, sndq));
	sendmap_init(&io->map, &tcp->sents, tcb->snd_nxt, now);
	recovery_init(&io->recovery, tcb_has(tcb, TCB_SACK), tcb->snd_nxt, tcb->reordering);
	cc_init(&io->cc, cc_at(tcb->cc_id), mss, tcb->cwnd ? tcb->cwnd : initial, now);
	io->cc.initial = tcp->config->initial_window;
	io->cc.ssthresh = tcb->ssthresh;
	if (tcb->cwnd > initial && cc_ops(&io->cc)->restart && tcp->config->slow_start_after_idle)
		cc_ops(&io->cc)->restart(&io->cc, tcp->config->quiet_ns, now);
	chunkq_init(&io->sndq);
	chunkq_init(&io->rcvq);
	list_init(&io->ooo);
	list_init(&io->ooo_recent);
	if (tcb_synchronized(tcb))
		io->snd_base = tcb->snd_nxt - tcb_has(tcb, TCB_FIN_SENT);
	else
		io->snd_base = tcb->snd_nxt + (tcb->snd_nxt == tcb->iss);
	io->push_seq = io->small_end = tcb->snd_una;
	io->block_seq = io->forced_push = io->usage_seq = tcb->snd_una;
	io->t_rexmt = io->t_delack = io->t_cork = io->t_pace = CPL_NEVER;
	io->t_quiet = tcb_synchronized(tcb) ? timer_quiet(tcp, now, 0) : CPL_NEVER;
	io->progress = io->last_sent = io->why_since = now;
	io->busy_since = CPL_NEVER;
	io->why = CPL_WHY_IDLE;
	io->drs_seq = tcb->read_seq;
	io->drs_time = now;
	io->rcv_rtt_time = now;
	io->rcv_rtt_seq = tcb->rcv_nxt + tcb_rcv_wnd(tcb);
	io->quick = 16;
	io->pace_max = tcb->cold ? tcb->cold->pacing_max : 0;
}

struct tcb_io *tcb_io_new(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = pool_take(&tcp->ios);

	if (!io)
		return NULL;
	io_init(tcp, tcb, io, now);
	tcb->io = io;
	tcb->plain = false;
	timer_was_set(tcp, tcb, io->t_quiet); /* it has no other yet; or none at all */
	return io;
}

bool tcb_io_idle(const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;

	return io && tcb_synchronized(tcb) && sendmap_empty(&io->map) && !io->sndq.bytes &&
	       !io->rcvq.bytes && list_empty(&io->ooo) && tcb->snd_una == tcb->snd_nxt &&
	       !tcb_has(tcb, TCB_ACK_NOW | TCB_DELACK | TCB_PROBE | TCB_PERSIST | TCB_WANT_WRITE) &&
	       (!tcb_has(tcb, TCB_FIN_QUEUED) || tcb_has(tcb, TCB_FIN_SENT));
}

void tcb_why(struct tcb *tcb, enum cpl_why why, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (!io || io->why == why)
		return;
	io->why_ns[io->why] += now - io->why_since;
	io->why = (uint8_t)why;
	io->why_since = now;
}

void tcb_busy(struct tcb *tcb, bool busy, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (!io || busy == (io->busy_since != CPL_NEVER))
		return;
	if (!busy)
		io->busy_ns += now - io->busy_since;
	io->busy_since = busy ? now : CPL_NEVER;
}

static void sum_add(struct us48 *sum, uint64_t ns)
{
	sum->us = (sum->us + ns / 1000) & ((1ull << 48) - 1);
}

/* Idle time is what is left of the age. */
static void keep_sums(struct tcb *tcb, const struct tcb_io *io)
{
	for (unsigned i = 0; i < CPL_WHYS; i++)
		if (i != CPL_WHY_IDLE && i != CPL_WHY_CLOSED)
			sum_add(&tcb->why_sum[i], io->why_ns[i]);
	sum_add(&tcb->busy_sum, io->busy_ns);
	tcb->rto_spurious += (uint16_t)io->recovery.spurious_rto;
	tcb->undone += (uint16_t)io->recovery.undone;
	tcb->reorderings += (uint16_t)io->recovery.reorderings;
	tcb->loss_probes += io->recovery.probes;
	tcb->bytes_lost += io->map.lost_total;
	tcb->delivered_segs += io->map.delivered_segs;
}

/* Mostly there is nothing in it. */
static void queue_clear(struct tcp *tcp, struct chunkq *q)
{
	if (!list_empty(&q->refs))
		chunkq_clear(q, tcp->chunks);
}

static void io_free(struct tcp *tcp, struct tcb *tcb)
{
	struct tcb_io *io = tcb->io;

	sendmap_destroy(&io->map);
	queue_clear(tcp, &io->sndq);
	queue_clear(tcp, &io->rcvq);
	ooo_clear(tcp, io);
	pool_give(&tcp->ios, io);
	tcb->io = NULL;
	tcb->plain = false;
}

void tcb_io_release(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	if (tcb->state == CPL_LISTEN || !io)
		return;
	io->why_ns[io->why] += now - io->why_since;
	tcb_busy(tcb, false, now);
	keep_sums(tcb, io);
	tcb->cwnd = io->cc.cwnd;
	tcb->ssthresh = io->cc.ssthresh;
	tcb->reordering |= io->recovery.rack.reordering_seen;
	io_free(tcp, tcb);
}

void tcb_cold_init(const struct tcp *tcp, struct tcb_cold *cold)
{
	memset(cold, 0, sizeof(*cold));
	cold->keep_idle_ns = tcp->config->keep_idle_ns;
	cold->keep_interval_ns = tcp->config->keep_interval_ns;
	cold->keep_count = tcp->config->keep_count;
}

void tcb_cold_free(struct tcp *tcp, struct tcb_cold *cold)
{
	if (!cold)
		return;
	if (cold->syn)
		chunk_put(tcp->chunks, cold->syn);
	pool_free(&tcp->colds, cold);
}

struct tcb_cold *tcb_cold(struct tcp *tcp, struct tcb *tcb)
{
	if (tcb->cold)
		return tcb->cold;
	tcb->plain = false;
	tcb->cold = pool_alloc(&tcp->colds, NULL);
	if (tcb->cold)
		tcb_cold_init(tcp, tcb->cold);
	return tcb->cold;
}

void tcb_event(struct tcp *tcp, struct tcb *tcb, uint32_t what)
{
	if (tcb_has(tcb, TCB_ORPHAN))
		return;
	tcb->events |= what;
	/* What waits to be accepted tells its events when it has been. */
	if (!tcb_has(tcb, TCB_HELD) && !list_linked(&tcb->event))
		list_push_back(&tcp->events, &tcb->event);
}

uint32_t tcb_notsent_lowat(const struct tcp *tcp, const struct tcb *tcb)
{
	uint32_t own = tcb->cold ? tcb->cold->notsent_lowat : 0;

	return own ? own : tcp->config->notsent_lowat;
}

static bool has_room(const struct tcp *tcp, const struct tcb *tcb, unsigned shift)
{
	return tcb->io->sndq.bytes < tcb->sndbuf / 3 * 2 &&
	       (uint64_t)tcb_unsent(tcb) << shift < tcb_notsent_lowat(tcp, tcb);
}

bool tcb_writable(const struct tcp *tcp, const struct tcb *tcb)
{
	return !tcb->io || has_room(tcp, tcb, 0);
}

void tcb_tell_room(struct tcp *tcp, struct tcb *tcb)
{
	/* As Linux: half of the mark, lest each segment wakes the program. */
	if (!tcb_has(tcb, TCB_WANT_WRITE) || !tcb->io || !has_room(tcp, tcb, 1))
		return;
	tcb->flags &= ~TCB_WANT_WRITE;
	tcb_event(tcp, tcb, CPL_EV_WRITABLE);
}

void tcb_ready(struct tcp *tcp, struct tcb *tcb)
{
	if (!list_linked(&tcb->ready))
		list_push_back(&tcp->ifaces[tcb->ifindex].ready, &tcb->ready);
}

static void unhashed(struct tcp *tcp, struct tcb *tcb)
{
	tcb->flags &= ~TCB_HASHED;
	if (tcb_has(tcb, TCB_PASSIVE))
		peer_del(tcp, &tcb->node.id.remote);
}

static void tcb_unhash(struct tcp *tcp, struct tcb *tcb)
{
	if (!tcb_has(tcb, TCB_HASHED))
		return;
	demux_del(tcp, &tcb->node.id, tcb_ref(tcp, tcb));
	unhashed(tcp, tcb);
}

void tcb_hand_over(struct tcp *tcp, struct tcb *tcb, uint32_t ref)
{
	ASSERT(tcb_has(tcb, TCB_HASHED));
	demux_hand_over(tcp, &tcb->node.id, tcb_ref(tcp, tcb), ref);
	unhashed(tcp, tcb);
}

/* Leave all tables and timers, keep what the program can still read. */
static void tcb_detach(struct tcp *tcp, struct tcb *tcb)
{
	struct tcb_io *io = tcb->io;

	tcb_unhash(tcp, tcb);
	port_over(tcp, tcb);
	list_del(&tcb->ready);
	wheel_stop(&tcp->wheel, &tcb->timer);
	tcb->t_slow = CPL_NEVER;
	tcb->flags &= ~(TCB_ACK_NOW | TCB_DELACK | TCB_PROBE | TCB_PERSIST | TCB_URG_OUT);
	if (!io)
		return;
	fastopen_settled(tcp, tcb, false, 0);
	io->t_rexmt = io->t_delack = io->t_quiet = io->t_cork = CPL_NEVER;
	sendmap_clear(&io->map);
	queue_clear(tcp, &io->sndq);
	ooo_clear(tcp, io);
}

void tcb_finish(struct tcp *tcp, struct tcb *tcb, int error, uint64_t now)
{
	if (tcb->state == CPL_CLOSED && (tcb->over || !tcb_has(tcb, TCB_HASHED | TCB_BOUND)))
		return;
	ASSERT(tcb->state != CPL_LISTEN);
	tcb_why(tcb, CPL_WHY_CLOSED, now);
	tcb_busy(tcb, false, now);
	fastopen_over(tcp, tcb, now);
	tcb_detach(tcp, tcb);
	if (tcb->state != CPL_CLOSED)
		tcb_set_state(tcp, tcb, CPL_CLOSED, now);
	tcb->error = (uint8_t)error;
	tcb->over = true;
	tcb_event(tcp, tcb, CPL_EV_CLOSED);
}

/* TCB is in no table: it goes, with all that it has. */
static void tcb_release(struct tcp *tcp, struct tcb *tcb)
{
	port_unbind(tcp, tcb);
	list_del(&tcb->ready);
	wheel_stop(&tcp->wheel, &tcb->timer);
	list_del(&tcb->event);
	if (tcb->io) /* nobody will ask any more what its sums were */
		io_free(tcp, tcb);
	tcb_cold_free(tcp, tcb->cold);
	if (tcb->accecn)
		pool_free(&tcp->accecns, tcb->accecn);
	tcb_free(tcp, tcb);
}

void tcb_discard(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	ASSERT(tcb_has(tcb, TCB_ORPHAN));
	fastopen_over(tcp, tcb, now);
	fastopen_settled(tcp, tcb, false, 0);
	tcb_unhash(tcp, tcb);
	tcb_release(tcp, tcb);
}

void tcb_reap(struct tcp *tcp, struct tcb *tcb)
{
	if (tcb->state != CPL_CLOSED && tcb->state != CPL_TIME_WAIT)
		return;
	if (!tcb_has(tcb, TCB_ORPHAN))
		return;
	if (!tcb->over) /* else it has left the tables */
		tcb_detach(tcp, tcb);
	tcb_release(tcp, tcb);
}

/* ---- route and segment sizes ---- */

static uint32_t ip_header_len(const struct cpl_addr *addr)
{
	return cpl_addr_is4(addr) ? IPV4_HLEN : IPV6_HLEN;
}

/* What to send when the peer said nothing. */
uint16_t tcp_default_mss(const struct cpl_addr *remote)
{
	return cpl_addr_is4(remote) ? 536 : 1220; /* MUST-15 */
}

/* At most MMS_R - 20; we reassemble, so the link's MTU is the smaller bound. */
uint16_t tcp_rcv_mss(const struct cpl_addr *remote, uint32_t mtu)
{
	uint32_t mss = mtu - ip_header_len(remote) - TCP_HLEN; /* MUST-67, SHLD-6 */

	return (uint16_t)(mss > 65495 ? 65495 : mss);
}

/* IPv4 loose source route: type, length, pointer, the hops after the first and the destination. */
static uint32_t source_route_len(const struct tcb *tcb)
{
	return tcb->cold && tcb->cold->route.n ? (3u + 4u * tcb->cold->route.n + 3u) & ~3u : 0;
}

/*
 * Eff.snd.MSS = min(SendMSS + 20, MMS_S) - TCP header size - IP option size. Options that
 * come and go (SACK blocks) are deducted where a segment is built.
 */
void tcb_update_mss(struct tcb *tcb)
{
	uint32_t mms_s = tcb->pmtu - ip_header_len(&tcb->node.id.remote);
	uint32_t mss = tcb->peer_mss + 20u < mms_s ? tcb->peer_mss + 20u : mms_s;
	uint32_t header = TCP_HLEN + (tcb_has(tcb, TCB_TS) ? 12u : 0u) + source_route_len(tcb);

	if (tcb->cold && tcb->cold->maxseg && mss > tcb->cold->maxseg + 20u)
		mss = tcb->cold->maxseg + 20u;
	mss = mss > header + SND_MSS_MIN ? mss - header : SND_MSS_MIN; /* MUST-16 */
	if (tcb->snd_mss == mss)
		return;
	tcb->snd_mss = (uint16_t)mss;
	if (tcb->io)
		cc_set_mss(&tcb->io->cc, mss);
}

unsigned sack_room(const struct tcb *tcb)
{
	return tcb_has(tcb, TCB_TS) ? 3 : 4;
}

static uint32_t mss_less(const struct tcb *tcb, uint32_t options)
{
	return tcb->snd_mss > options + 8 ? tcb->snd_mss - options : tcb->snd_mss;
}

uint32_t mss_with_sack(const struct tcb *tcb)
{
	struct tcp_sack blocks[TCP_SACK_MAX];
	unsigned n = ooo_sack_blocks(tcb, blocks);

	if (n > sack_room(tcb))
		n = sack_room(tcb);
	return mss_less(tcb, n ? 4 + 8 * n : 0);
}

uint32_t mss_with_accecn(const struct tcp *tcp, const struct tcb *tcb)
{
	struct tcp_sack blocks[TCP_SACK_MAX];
	unsigned n = ooo_sack_blocks(tcb, blocks);
	uint8_t sack_n = (uint8_t)(n > sack_room(tcb) ? sack_room(tcb) : n);
	struct tcp_accecn option;

	if (!accecn_option(tcp, tcb, true, &sack_n, &option))
		return mss_now(tcb);
	return mss_less(tcb, (sack_n ? 4u + 8u * sack_n : 0) + accecn_len(option.n));
}

void tcb_set_pmtu(struct tcb *tcb, uint32_t pmtu)
{
	if (tcb->mtu_cap && pmtu > tcb->mtu_cap)
		pmtu = tcb->mtu_cap;
	tcb->pmtu = (uint16_t)(pmtu > 65535 ? 65535 : pmtu);
	tcb_update_mss(tcb);
}

int tcb_route(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct conn_id *id = &tcb->node.id;
	const struct cpl_addr *dst = &id->remote;
	const struct route_result *route = &tcp->path.route;
	struct cpl_addr first_hop;
	uint32_t mtu;
	int err;

	if (tcb->cold && tcb->cold->route.n) {
		const uint8_t *h = tcb->cold->route.hops[0];

		first_hop = cpl_addr4(h[0], h[1], h[2], h[3]);
		dst = &first_hop;
	}
	err = route_recall(tcp->routes, &tcp->path, dst, addr_is_link_local(dst) ? tcb->ifindex : 0,
			   &id->local);
	if (err)
		return err;
	if (route->ifindex != tcb->ifindex) {
		bool ready = list_linked(&tcb->ready);

		list_del(&tcb->ready);
		tcb->ifindex = (uint8_t)route->ifindex;
		if (ready)
			tcb_ready(tcp, tcb);
	}
	if (addr_is_any(&id->local))
		id->local = route->source; /* MUST-44; MUST-45: never changed afterwards */
	mtu = tcp->ifaces[route->ifindex].mtu;
	tcb->rcv_mss = tcp_rcv_mss(&id->remote, mtu);
	if (tcb->cold && tcb->cold->maxseg && tcb->rcv_mss > tcb->cold->maxseg)
		tcb->rcv_mss = tcb->cold->maxseg;
	if (!tcb->peer_mss)
		tcb->peer_mss = tcp_default_mss(&id->remote);
	tcb_set_pmtu(tcb, pmtu_get(tcp->pmtu, &id->remote, mtu, now));
	return 0;
}

/* ---- invariants ---- */

static void check_io(const struct tcb *tcb, const struct tcb_io *io)
{
	uint32_t end = tcb_write_seq(tcb) + tcb_has(tcb, TCB_FIN_SENT);

	sendmap_check(&io->map);
	ASSERT(io->map.una == tcb->snd_una);
	ASSERT(io->map.nxt == tcb->snd_nxt);
	ASSERT(seq_leq(tcb->snd_nxt, end) || tcb->state == CPL_SYN_SENT);
	ASSERT(io->ooo_n == 0 || io->ooo_bytes > 0);
	ASSERT(io->cc.cwnd > 0);
	if (tcb_synchronized(tcb))
		ASSERT(tcb->snd_una == io->snd_base || tcb->snd_una == io->snd_base + 1);
	/* Something in flight always has a timer that will see to it. */
	if (!sendmap_empty(&io->map) && tcb->state != CPL_CLOSED)
		ASSERT(io->t_rexmt != CPL_NEVER);
}

void tcb_check(struct tcp *tcp, const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->state == CPL_LISTEN ? NULL : tcb->io;
	uint32_t unread, fin = tcb_has(tcb, TCB_FIN_RECEIVED);

	ASSERT(tcb->gen != 0);
	if (tcb->state == CPL_CLOSED || tcb->state == CPL_LISTEN || tcb->state == CPL_TIME_WAIT)
		return;
	ASSERT(tcb_has(tcb, TCB_HASHED));
	ASSERT(seq_leq(tcb->snd_una, tcb->snd_nxt));
	ASSERT(seq_leq(tcb->iss, tcb->snd_una) || tcb->bytes_acked > 1u << 30);
	ASSERT(!tcb_has(tcb, TCB_FIN_SENT) || tcb_has(tcb, TCB_FIN_QUEUED));
	ASSERT(tcb->ifindex <= IFACES_MAX);
	if (!tcb_synchronized(tcb))
		return;
	ASSERT(tcb->snd_mss >= 8);
	ASSERT(fin == (tcb->state == CPL_CLOSE_WAIT || tcb->state == CPL_LAST_ACK ||
		       tcb->state == CPL_CLOSING));
	ASSERT((tcb->state == CPL_ESTABLISHED || tcb->state == CPL_CLOSE_WAIT) ==
	       !tcb_has(tcb, TCB_FIN_QUEUED));
	unread = tcb->rcv_nxt - fin - tcb->read_seq;
	ASSERT(unread == (io ? io->rcvq.bytes : 0));
	if (io)
		check_io(tcb, io);
	else
		ASSERT(tcb->snd_una == tcb->snd_nxt);
	ASSERT(!tcb->plain || fast_is_plain(tcp, tcb));
}
