/* SPDX-License-Identifier: MIT */
/*
 * TIME-WAIT (RFC 9293 section 3.6.1, RFC 6191): records of 64 octets in one list by age, since all
 * last 2 MSL. What they can do without is not there: the local address is kept once for the many
 * that have it, and the timestamp's offset follows from the addresses.
 */
#include "tcp/ecn.h"
#include "tcp/timewait.h"

#define CHAIN_MAX 8 /* of addresses: beyond, one that is there may be kept again */

static struct time_wait *at(const struct tcp *tcp, uint32_t index)
{
	return pool_get(&tcp->time_waits, index);
}

/* ---- Local addresses ---- */

static const struct time_wait_addr *local_of(const struct tcp *tcp, const struct time_wait *tw)
{
	return pool_get(&tcp->time_wait_addrs, tw->local);
}

static uint32_t *chain_of(struct tcp *tcp, const struct cpl_addr *addr)
{
	uint64_t hash = siphash13(&tcp->demux.key, addr, sizeof(*addr));

	return &tcp->time_wait_chains[hash % TIME_WAIT_CHAINS];
}

/* The index of an entry for ADDR, or POOL_NONE. */
static uint32_t addr_get(struct tcp *tcp, const struct cpl_addr *addr, uint8_t ifindex)
{
	uint32_t *head, i = tcp->time_wait_local;
	struct time_wait_addr *a = i == POOL_NONE ? NULL : pool_get(&tcp->time_wait_addrs, i);

	if (a && a->ifindex == ifindex && cpl_addr_equal(&a->addr, addr)) {
		a->used++;
		return i;
	}
	head = chain_of(tcp, addr);
	i = *head;
	for (unsigned n = 0; n < CHAIN_MAX && i != POOL_NONE; n++, i = a->next) {
		a = pool_get(&tcp->time_wait_addrs, i);
		if (a->ifindex == ifindex && cpl_addr_equal(&a->addr, addr)) {
			a->used++;
			tcp->time_wait_local = i;
			return i;
		}
	}
	a = pool_alloc(&tcp->time_wait_addrs, &i);
	if (!a)
		return POOL_NONE;
	*a = (struct time_wait_addr){ .addr = *addr, .next = *head, .used = 1, .ifindex = ifindex };
	*head = i;
	tcp->time_wait_local = i;
	return i;
}

static void addr_put(struct tcp *tcp, uint32_t i)
{
	struct time_wait_addr *a = pool_get(&tcp->time_wait_addrs, i);
	uint32_t *link;

	if (--a->used)
		return;
	if (tcp->time_wait_local == i)
		tcp->time_wait_local = POOL_NONE;
	link = chain_of(tcp, &a->addr);
	while (*link != i)
		link = &((struct time_wait_addr *)pool_get(&tcp->time_wait_addrs, *link))->next;
	*link = a->next;
	pool_free(&tcp->time_wait_addrs, a);
}

void time_wait_id(const struct tcp *tcp, const struct time_wait *tw, struct conn_id *id)
{
	*id = (struct conn_id){ local_of(tcp, tw)->addr, tw->remote, tw->lport, tw->rport };
}

bool time_wait_is(const struct tcp *tcp, const struct time_wait *tw, const struct conn_id *id)
{
	return tw->rport == id->rport && tw->lport == id->lport &&
	       cpl_addr_equal(&tw->remote, &id->remote) &&
	       cpl_addr_equal(&local_of(tcp, tw)->addr, &id->local);
}

uint8_t time_wait_ifindex(const struct tcp *tcp, const struct time_wait *tw)
{
	return local_of(tcp, tw)->ifindex;
}

cpl_handle time_wait_handle(const struct time_wait *tw)
{
	return handle_make(KIND_TCB, tw->handle_index, tw->gen);
}

/* ---- Age ---- */

/* Microseconds until TW ends, or since then: below 0. */
static int32_t us_left(const struct time_wait *tw, uint64_t now)
{
	return (int32_t)(tw->deadline_us - (uint32_t)(now / 1000));
}

uint64_t time_wait_left(const struct time_wait *tw, uint64_t now)
{
	int32_t us = us_left(tw, now);

	return us > 0 ? (uint64_t)us * 1000 - now % 1000 : 0;
}

uint64_t time_wait_deadline(const struct tcp *tcp)
{
	uint64_t then = tcp->wheel.tick << WHEEL_TICK_SHIFT; /* or a little later */

	if (tcp->time_wait_oldest == POOL_NONE)
		return CPL_NEVER;
	return then + time_wait_left(at(tcp, tcp->time_wait_oldest), then);
}

void time_wait_advance(struct tcp *tcp, unsigned records, uint64_t now)
{
	for (; records && tcp->time_wait_oldest != POOL_NONE; records--) {
		struct time_wait *tw = at(tcp, tcp->time_wait_oldest);

		if (us_left(tw, now) > 0)
			break;
		time_wait_free(tcp, tw, now);
	}
}

static void age_unlink(struct tcp *tcp, struct time_wait *tw)
{
	if (tw->older != POOL_NONE)
		at(tcp, tw->older)->younger = tw->younger;
	else
		tcp->time_wait_oldest = tw->younger;
	if (tw->younger != POOL_NONE)
		at(tcp, tw->younger)->older = tw->older;
	else
		tcp->time_wait_youngest = tw->older;
}

static void time_wait_start(struct tcp *tcp, struct time_wait *tw, uint32_t index, uint64_t now)
{
	tw->deadline_us = (uint32_t)((now + tcp->config->time_wait_ns + 999) / 1000); /* MUST-13 */
	tw->older = tcp->time_wait_youngest;
	tw->younger = POOL_NONE;
	if (tw->older != POOL_NONE)
		at(tcp, tw->older)->younger = index;
	else
		tcp->time_wait_oldest = index;
	tcp->time_wait_youngest = index;
}

static void time_wait_restart(struct tcp *tcp, struct time_wait *tw, uint64_t now)
{
	age_unlink(tcp, tw);
	time_wait_start(tcp, tw, pool_index(&tcp->time_waits, tw), now);
}

void time_wait_free(struct tcp *tcp, struct time_wait *tw, uint64_t now)
{
	uint32_t index = pool_index(&tcp->time_waits, tw);
	struct conn_id id;

	time_wait_id(tcp, tw, &id);
	TRACE(tcp->trace, now, time_wait_handle(tw), state, CPL_TIME_WAIT, CPL_CLOSED);
	age_unlink(tcp, tw);
	demux_del(tcp, &id, ref_make(KIND_TIME_WAIT, index));
	addr_put(tcp, tw->local);
	pool_free_at(&tcp->time_waits, index);
}

/* ---- What it does ---- */

static void time_wait_ack(struct tcp *tcp, const struct time_wait *tw, uint64_t now)
{
	struct tcp_reply *r;
	struct conn_id id;

	time_wait_id(tcp, tw, &id);
	r = reply_new(tcp, &id);
	if (!r)
		return;
	r->handle = time_wait_handle(tw);
	r->seg.seq = tw->snd_nxt;
	r->seg.ack = tw->rcv_nxt;
	r->seg.flags = (uint16_t)(TCP_ACK | tw->ace << ACE_SHIFT);
	r->seg.wnd = tw->wnd;
	r->tos = tw->tos;
	r->ifindex = time_wait_ifindex(tcp, tw);
	if (tw->ts) {
		r->seg.opts = TCP_HAS_TS;
		r->seg.tsval = tcp_ts_clock(now) + tcp_ts_offset(tcp, &id);
		r->seg.tsecr = tw->ts_recent;
	}
}

static struct time_wait *time_wait_new(struct tcp *tcp, uint32_t *index, uint64_t now)
{
	struct time_wait *tw = pool_alloc(&tcp->time_waits, index);

	if (tw || tcp->time_wait_oldest == POOL_NONE)
		return tw;
	/* At the limit the oldest has waited longest. */
	time_wait_free(tcp, at(tcp, tcp->time_wait_oldest), now);
	return pool_alloc(&tcp->time_waits, index);
}

/* The record of TCB. NULL: no memory. */
static struct time_wait *time_wait_of(struct tcp *tcp, const struct tcb *tcb, uint32_t *index,
				      uint64_t now)
{
	const struct conn_id *id = &tcb->node.id;
	struct time_wait *tw = time_wait_new(tcp, index, now);
	uint32_t wnd = tcb_rcv_wnd(tcb) >> tcb->rcv_wscale;
	uint32_t local = tw ? addr_get(tcp, &id->local, tcb->ifindex) : POOL_NONE;

	if (local == POOL_NONE) {
		if (tw)
			pool_free(&tcp->time_waits, tw);
		return NULL;
	}
	*tw = (struct time_wait){
		.local = local,
		.reuseaddr = tcb_has(tcb, TCB_REUSEADDR),
		.reuseport = tcb->reuseport,
		.remote = id->remote,
		.lport = id->lport,
		.rport = id->rport,
		.handle_index = tcb->slot,
		.gen = tcb->gen,
		.snd_nxt = tcb->snd_nxt,
		.rcv_nxt = tcb->rcv_nxt,
		.ts_recent = tcb->ts_recent,
		.wnd = (uint16_t)(wnd < 65535 ? wnd : 65535),
		.rcv_wscale = tcb->rcv_wscale,
		.ts = tcb_has(tcb, TCB_TS),
		.ace = tcb->accecn ? tcb->accecn->r_cep & 7 : 0,
		.tos = tcb->tos,
	};
	return tw;
}

void time_wait_enter(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	uint32_t index;
	struct time_wait *tw = time_wait_of(tcp, tcb, &index, now);
	bool ack = tcb_has(tcb, TCB_ACK_NOW | TCB_DELACK);

	tcb_set_state(tcp, tcb, CPL_TIME_WAIT, now);
	if (tw)
		tcb_hand_over(tcp, tcb, ref_make(KIND_TIME_WAIT, index));
	tcb_finish(tcp, tcb, 0, now);
	if (!tw)
		return;
	time_wait_start(tcp, tw, index, now);
	if (ack)
		time_wait_ack(tcp, tw, now);
}

void time_wait_replace(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	uint32_t index;
	struct time_wait *tw = time_wait_of(tcp, tcb, &index, now);

	if (tw)
		tcb_hand_over(tcp, tcb, ref_make(KIND_TIME_WAIT, index));
	tcb_discard(tcp, tcb, now);
	if (!tw)
		return;
	time_wait_start(tcp, tw, index, now);
	time_wait_ack(tcp, tw, now);
}

/* A SYN that cannot be an old duplicate: later in sequence or in time (RFC 6191 2). */
static bool may_reopen(const struct tcp *tcp, const struct time_wait *tw, const struct tcp_seg *seg)
{
	bool ts = (seg->opts & TCP_HAS_TS) && tcp->config->timestamps;

	if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return false;
	/* SHLD-4: by timestamps; the new connection's PAWS refuses what has none. */
	if (ts && (!tw->ts || seg->tsval != tw->ts_recent))
		return !tw->ts || seq_gt(seg->tsval, tw->ts_recent);
	return seq_gt(seg->seq, tw->rcv_nxt); /* MAY-2 */
}

bool time_wait_may_take(const struct tcp *tcp, const struct time_wait *tw, uint64_t now)
{
	return tw->ts && time_wait_left(tw, now) + CPL_SECOND < tcp->config->time_wait_ns;
}

/* RFC 5961 3.2; RFC 1337: nothing but the one right sequence number ends TIME-WAIT early. */
static void time_wait_rst(struct tcp *tcp, struct time_wait *tw, const struct tcp_seg *seg,
			  bool fits, uint64_t now)
{
	if (fits && seg->seq == tw->rcv_nxt) {
		time_wait_free(tcp, tw, now);
		return;
	}
	tcp_drop(tcp, COUNTER_drop_tcp_rst);
	if (!fits || !challenge_allowed(tcp, now))
		return;
	tcp->counters->challenge_acks++;
	time_wait_ack(tcp, tw, now);
}

bool time_wait_segment(struct tcp *tcp, struct time_wait *tw, const struct seg_in *in,
		       uint32_t *iss_floor, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	bool old = tw->ts && (seg->opts & TCP_HAS_TS) && seq_lt(seg->tsval, tw->ts_recent);
	uint32_t wnd = (uint32_t)tw->wnd << tw->rcv_wscale;
	bool fits = seq_in(seg->seq, tw->rcv_nxt, wnd ? wnd : 1);

	if (seg->flags & TCP_RST) {
		time_wait_rst(tcp, tw, seg, !old && fits, now);
		return false;
	}
	if (iss_floor && may_reopen(tcp, tw, seg)) {
		*iss_floor = tw->snd_nxt + 65535 + 2;
		time_wait_free(tcp, tw, now);
		return true;
	}
	if (fits && !(seg->flags & (TCP_ACK | TCP_SYN))) {
		tcp_drop(tcp, COUNTER_drop_tcp_flags);
		return false;
	}
	if (!tcp_seg_len(seg) && seg->seq == tw->rcv_nxt)
		return false; /* the peer's bare ACK: nothing to add */
	/* A FIN again: our ACK was lost. Anything else is from the past. */
	if (!old && (seg->flags & TCP_FIN))
		time_wait_restart(tcp, tw, now);
	if (old)
		tcp_drop(tcp, COUNTER_drop_tcp_paws);
	else if (seg->flags & TCP_SYN)
		tcp_drop(tcp, COUNTER_drop_tcp_syn);
	else
		tcp_drop(tcp, COUNTER_drop_tcp_window);
	if ((seg->flags & TCP_FIN) || challenge_allowed(tcp, now))
		time_wait_ack(tcp, tw, now);
	return false;
}
