/* SPDX-License-Identifier: MIT */
/*
 * LISTEN (RFC 9293 section 3.10.7.2) and SYN-RECEIVED by passive OPEN: half-open connections as
 * small records, the accept queue, the catch-all listener, SYN,ACK retransmission.
 */
#include "tcp/ecn.h"
#include "tcp/fast.h"
#include "tcp/peer.h"

static uint32_t listener_rcv_wnd(const struct tcb *listener)
{
	return listener->rcvbuf > 65535 ? 65535 : listener->rcvbuf;
}

static void accept_mss(struct tcp *tcp, struct half_open *half, const struct tcb *listener,
		       const struct seg_in *in)
{
	int ifindex = in->ifindex;

	if (!route_recall(tcp->routes, &tcp->path, &in->ip->src,
			  addr_is_link_local(&in->ip->src) ? ifindex : 0, &in->ip->dst))
		ifindex = tcp->path.route.ifindex;
	half->ifindex = (uint8_t)ifindex;
	half->rcv_mss = tcp_rcv_mss(&in->ip->src, tcp->ifaces[ifindex].mtu);
	if (listener->cold && listener->cold->maxseg && half->rcv_mss > listener->cold->maxseg)
		half->rcv_mss = listener->cold->maxseg;
}

static void half_from_syn(struct tcp *tcp, struct half_open *half, struct tcb *listener,
			  const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	const struct cpl_config *cfg = tcp->config;

	memset(half, 0, sizeof(*half));
	half->node.id = (struct conn_id){ in->ip->dst, in->ip->src, seg->dport, seg->sport };
	half->gen = tcp_gen(tcp);
	half->made = us48_of(now);
	half->listener = listener->listener->index;
	half->irs = seg->seq;
	half->iss = tcp_isn(tcp, &half->node.id, now);
	half->snd_wnd = (uint16_t)seg->wnd;
	half->rcv_wnd = (uint16_t)listener_rcv_wnd(listener);
	half->peer_mss = seg->opts & TCP_HAS_MSS ? seg->mss : tcp_default_mss(&in->ip->src);
	half->tos = listener->tos;
	accept_mss(tcp, half, listener, in);
	if ((seg->opts & TCP_HAS_WSCALE) && cfg->window_scaling) {
		half->flags |= HALF_WSCALE;
		half->snd_wscale = seg->wscale & 15;
		half->rcv_wscale = window_scale(tcp, listener->rcvbuf) & 15;
	}
	if ((seg->opts & TCP_HAS_SACK_OK) && cfg->sack)
		half->flags |= HALF_SACK;
	ecn_syn(tcp, half, in, false);
	if ((seg->opts & TCP_HAS_TS) && cfg->timestamps) {
		half->flags |= HALF_TS;
		half->ts_recent = seg->tsval;
	}
}

/* What HALF has of its own beside what LISTENER has. NULL: no memory. */
static struct tcb_cold *half_cold_new(struct tcp *tcp, struct half_open *half,
				      const struct tcb *listener)
{
	struct tcb_cold *cold;
	uint32_t index;

	if (half->cold)
		return half_cold(tcp, half);
	cold = pool_alloc(&tcp->colds, &index);
	if (!cold)
		return NULL;
	half->cold = index + 1;
	if (listener->cold)
		*cold = *listener->cold;
	else
		tcb_cold_init(tcp, cold);
	return cold;
}

/* IP and TCP header of the SYN (Linux's TCP_SAVE_SYN): they stand before its data. */
static void save_syn(struct tcp *tcp, struct half_open *half, const struct tcb *listener,
		     const struct seg_in *in)
{
	uint32_t n = in->ip->hlen + in->tcp.hlen;
	struct tcb_cold *cold;
	struct chunk *chunk;

	if (!listener->cold || !listener->cold->save_syn)
		return;
	cold = half_cold_new(tcp, half, listener);
	if (!cold)
		return;
	chunk = chunk_new(tcp->chunks, n);
	if (!chunk || chunk->cap < n) {
		if (chunk)
			chunk_put(tcp->chunks, chunk);
		return;
	}
	memcpy(chunk->data, in->tcp.data - n, n);
	chunk->fill = n;
	cold->syn = chunk;
}

/* A SYN that came by a source route is answered, and all that follows, by the way back. */
static void save_route(struct tcp *tcp, struct half_open *half, const struct tcb *listener,
		       const struct seg_in *in)
{
	const struct tcb_cold *own = listener->cold;
	struct source_route route;
	struct tcb_cold *cold;

	if (!in->ip->options_len || (own && own->route_chosen)) /* MUST-52 */
		return;
	source_route_back(in, &route);
	if (!route.n)
		return;
	cold = half_cold_new(tcp, half, listener);
	if (cold)
		cold->route = route; /* MUST-53 */
}

/* The timestamp of what goes to HALF's peer. */
static uint32_t half_tsval(struct tcp *tcp, const struct half_open *half, uint64_t now)
{
	return half->flags & HALF_TS ? tcp_ts_clock(now) + tcp_ts_offset(tcp, &half->node.id) : 0;
}

static struct tcp_reply *half_reply(struct tcp *tcp, struct half_open *half, cpl_handle handle,
				    uint16_t flags, uint32_t seq, uint32_t tsval)
{
	const struct tcb *listener = half_listener(tcp, half);
	const struct tcb_cold *cold = half->cold ? half_cold(tcp, half) : listener->cold;
	struct tcp_reply *r = reply_new(tcp, &half->node.id);

	if (!r)
		return NULL;
	r->tos = half->tos;
	r->ttl = listener->ttl;
	r->ifindex = half->ifindex;
	r->handle = handle;
	if (cold && cpl_addr_is4(&half->node.id.remote))
		r->route = cold->route;
	r->seg.seq = seq;
	r->seg.ack = half->irs + 1;
	r->seg.flags = flags;
	r->seg.wnd =
		(uint16_t)(flags & TCP_SYN ? half->rcv_wnd : half->rcv_wnd >> half->rcv_wscale);
	if (half->flags & HALF_TS) {
		r->seg.opts |= TCP_HAS_TS;
		r->seg.tsval = tsval;
		r->seg.tsecr = half->ts_recent;
	}
	if (!(flags & TCP_SYN)) {
		r->seg.flags |= half->flags & HALF_ACCECN ? ACE_INITIAL : 0;
		return r;
	}
	r->seg.flags |= ecn_synack_flags(half);
	/* RFC 9768 3.2.3.2.2: not in what goes again */
	if (half->flags & HALF_ACCECN && !half->retries && !(half->flags & HALF_AGAIN))
		accecn_option_begin(tcp, &r->seg);
	r->seg.opts |= TCP_HAS_MSS; /* SHLD-5, MAY-3 */
	r->seg.mss = half->rcv_mss;
	if (half->flags & HALF_SACK)
		r->seg.opts |= TCP_HAS_SACK_OK;
	if (half->flags & HALF_WSCALE) {
		r->seg.opts |= TCP_HAS_WSCALE;
		r->seg.wscale = half->rcv_wscale;
	}
	return r;
}

static void send_synack(struct tcp *tcp, struct half_open *half, const struct tcp_cookie *cookie,
			uint64_t now)
{
	struct tcp_reply *r = half_reply(tcp, half, half_handle(tcp, half), TCP_SYN | TCP_ACK,
					 half->iss, half_tsval(tcp, half, now));

	if (!r || !cookie->len)
		return;
	r->seg.opts |= TCP_HAS_FASTOPEN;
	r->seg.cookie = *cookie;
}

/* As Linux without a cookie: what goes again may be going again because of it. */
void half_send_synack(struct tcp *tcp, struct half_open *half, uint64_t now)
{
	const struct tcp_cookie none = { 0 };

	send_synack(tcp, half, &none, now);
}

static bool syn_queue_full(const struct tcp *tcp, const struct listener *l)
{
	return l->half_n >= (l->backlog > 8 || l->catch_all ? l->backlog : 8) ||
	       tcp->halves.in_use >= tcp->config->half_open_max;
}

/* As Linux: one more than the backlog. */
static bool accept_queue_full(const struct listener *l)
{
	return l->accept_n > l->backlog;
}

/* Room for one more of PEER's in the queue; else the segment at hand is dropped. */
static bool has_room(struct tcp *tcp, struct listener *l, const struct cpl_addr *peer)
{
	if (accept_queue_full(l)) {
		l->overflows++;
		tcp_drop(tcp, COUNTER_drop_accept_queue);
		return false;
	}
	if (peer_full(tcp, peer)) {
		tcp_drop(tcp, COUNTER_drop_peer_limit);
		return false;
	}
	return true;
}

/*
 * A catch-all's SYN waits for a verdict, so it must be remembered; and a cookie cannot be larger
 * than what the incarnation in TIME-WAIT used.
 */
static bool may_cookie(const struct tcp *tcp, const struct listener *l, uint32_t iss_floor)
{
	return tcp->config->syncookies != CPL_SYNCOOKIES_NEVER && !l->catch_all && !iss_floor;
}

/* Room to remember a SYN; after TIME-WAIT even if the queue is full, as Linux. */
static struct half_open *half_alloc(struct tcp *tcp, const struct listener *l, uint32_t iss_floor,
				    uint32_t *index)
{
	if (syn_queue_full(tcp, l) && !(iss_floor && !l->catch_all))
		return NULL;
	if (may_cookie(tcp, l, iss_floor) && tcp->config->syncookies == CPL_SYNCOOKIES_ALWAYS)
		return NULL;
	return pool_alloc(&tcp->halves, index);
}

/* No room to remember the SYN: answer with a cookie (RFC 4987 3.6). */
static void send_cookie(struct tcp *tcp, struct tcb *listener, struct half_open *half, uint64_t now)
{
	uint32_t tsval = cookie_make(tcp, half, now);

	half->flags &= (uint8_t)~HALF_ECN; /* nothing would remember it */
	listener->listener->cookies++;
	tcp->counters->cookies_sent++;
	tcp->cookie_needed = now;
	half_reply(tcp, half, 0, TCP_SYN | TCP_ACK, half->iss, tsval);
}

void listen_syn(struct tcp *tcp, struct tcb *listener, const struct seg_in *in, uint32_t iss_floor,
		uint64_t now)
{
	struct listener *l = listener->listener;
	struct half_open probe, *half;
	struct tcp_cookie cookie;
	uint32_t index;

	if (!has_room(tcp, l, &in->ip->src))
		return;
	half_from_syn(tcp, &probe, listener, in, now);
	if (iss_floor && !seq_gt(probe.iss, iss_floor))
		probe.iss = iss_floor; /* MAY-2: larger than what the old incarnation used */
	half = half_alloc(tcp, l, iss_floor, &index);
	if (!half) {
		if (may_cookie(tcp, l, iss_floor))
			send_cookie(tcp, listener, &probe, now);
		else
			tcp_drop(tcp, COUNTER_drop_syn_queue);
		return;
	}
	save_syn(tcp, &probe, listener, in);
	if (fastopen_syn(tcp, listener, &probe, in, &cookie, now)) {
		tcb_cold_free(tcp, half_cold(tcp, &probe));
		pool_free_at(&tcp->halves, index);
		return;
	}
	half_enter(tcp, half, index, &probe);
	save_route(tcp, half, listener, in);
	if (trace_on(tcp->trace))
		trace_seg_in(tcp, half_handle(tcp, half), &in->tcp, false, now);
	TRACE(tcp->trace, now, half_handle(tcp, half), state, CPL_LISTEN, CPL_SYN_RECEIVED);
	if (l->catch_all) {
		half_pend(tcp, half);
		return;
	}
	send_synack(tcp, half, &cookie, now);
	half_wait(tcp, half, now);
}

int half_accept(struct tcp *tcp, struct half_open *half, uint64_t now)
{
	if (!(half->flags & HALF_PENDING))
		return -EALREADY;
	half->made = us48_of(now); /* how long the verdict took is no round trip */
	half_send_synack(tcp, half, now);
	half_wait(tcp, half, now);
	return 0;
}

void half_refuse(struct tcp *tcp, struct half_open *half)
{
	struct tcp_seg syn = { .seq = half->irs, .flags = TCP_SYN };

	reply_rst(tcp, &half->node.id, half->ifindex, &syn);
	half_free(tcp, half);
}

/* ---- the third segment of the handshake ---- */

static void inherit(struct tcp *tcp, struct tcb *tcb, const struct half_open *half)
{
	const struct tcb *listener = half_listener(tcp, half);
	const struct tcb_cold *cold = half_cold(tcp, half);
	const uint32_t flags = TCB_NODELAY | TCB_CORK | TCB_KEEPALIVE | TCB_OOB_INLINE |
			       TCB_SNDBUF_FIXED | TCB_RCVBUF_FIXED | TCB_NO_SOFT | TCB_LINGER_DROP |
			       TCB_REUSEADDR;

	tcb->flags |= listener->flags & flags;
	tcb->reuseport = listener->reuseport;
	tcb->sndbuf = listener->sndbuf;
	tcb->rcvbuf = listener->rcvbuf;
	tcb->tos = listener->tos;
	tcb->ttl = listener->ttl;
	tcb->cc_id = listener->cc_id;
	tcb->user = listener->user;
	if (cold && tcb_cold(tcp, tcb)) {
		*tcb->cold = *cold;
		if (tcb->cold->syn)
			chunk_get(tcb->cold->syn);
	}
	if (!tcb->cold && listener->cold && tcb_cold(tcp, tcb))
		*tcb->cold = *listener->cold;
	if (tcb->cold && !cpl_addr_is4(&half->node.id.remote))
		tcb->cold->route.n = 0; /* a dual-stack listener's is of IPv4 alone */
}

struct tcb *half_to_tcb(struct tcp *tcp, const struct half_open *half, uint64_t now)
{
	struct tcb *tcb = tcb_new(tcp, now);
	uint64_t made = now - us48_ago(half->made, now);

	if (!tcb)
		return NULL;
	if (!ecn_from_half(tcp, tcb, half)) {
		tcb_free(tcp, tcb);
		return NULL;
	}
	inherit(tcp, tcb, half);
	tcb_from_half(tcb);
	tcb->node.id = half->node.id;
	tcb->flags |= TCB_PASSIVE;
	tcb->flags |= half->flags & HALF_WSCALE ? TCB_WSCALE : 0;
	tcb->flags |= half->flags & HALF_TS ? TCB_TS : 0;
	tcb->flags |= half->flags & HALF_SACK ? TCB_SACK : 0;
	tcb->made = made;
	tcb->iss = half->iss;
	tcb->snd_una = tcb->snd_nxt = tcb->snd_up = half->iss + 1;
	tcb->irs = tcb->rcv_up = half->irs;
	tcb->rcv_nxt = tcb->read_seq = tcb->last_ack_sent = half->irs + 1;
	tcb->rcv_edge = tcb->rcv_nxt + half->rcv_wnd;
	tcb->snd_wscale = half->snd_wscale;
	tcb->rcv_wscale = half->rcv_wscale;
	tcb->snd_wnd = tcb->snd_wnd_max = half->snd_wnd;
	tcb->snd_wl1 = half->irs;
	tcb->snd_wl2 = half->iss + 1;
	tcb->ts_recent = half->ts_recent;
	tcb->ts_recent_s = tcp_seconds(now);
	if (half->flags & HALF_TS)
		tcb->ts_offset = tcp_ts_offset(tcp, &tcb->node.id);
	tcb->peer_mss = half->peer_mss;
	tcb->rcv_mss = half->rcv_mss;
	tcb->rcv_mss_est = tcp_default_mss(&half->node.id.remote);
	tcb->ifindex = half->ifindex;
	tcb_set_pmtu(tcb, pmtu_get(tcp->pmtu, &half->node.id.remote, tcp->ifaces[half->ifindex].mtu,
				   now));
	/* RFC 6298 2.2: the handshake measured a round trip, if its SYN,ACK went once. */
	if (!half->retries && !(half->flags & (HALF_AGAIN | HALF_ACKED)) && now > made)
		rtt_sample(&tcb->rtt, now - made, 1);
	return tcb;
}

void listener_queue(struct tcp *tcp, struct tcb *listener, struct tcb *tcb)
{
	struct listener *l = listener->listener;

	tcb->flags |= TCB_HASHED | TCB_HELD;
	peer_add(tcp, &tcb->node.id.remote);
	list_push_back(&l->accept_queue, &tcb->event);
	l->accept_n++;
	tcp->counters->passive_opens++;
	tcb_event(tcp, listener, CPL_EV_ACCEPT);
}

/* A new connection waits to be accepted. */
static void promote(struct tcp *tcp, struct tcb *listener, struct tcb *tcb, uint64_t now)
{
	listener_queue(tcp, listener, tcb);
	tcb_established(tcp, tcb, now);
	tcb->events = 0;
}

/* The program wants to hear of it when its first data is there (Linux's TCP_DEFER_ACCEPT). */
static bool deferred(const struct tcb *listener, const struct half_open *half,
		     const struct tcp_seg *seg)
{
	const struct tcb_cold *cold = listener->cold;

	return cold && half->retries < cold->defer_accept && !seg->len && !(seg->flags & TCP_FIN);
}

/* The new block is its own; the listener and all others stay as they are. */
static void half_acked(struct tcp *tcp, struct half_open *half, const struct seg_in *in,
		       uint64_t now)
{
	struct tcb *listener = half_listener(tcp, half), *tcb;

	if (deferred(listener, half, &in->tcp)) {
		half->flags |= HALF_ACKED;
		return;
	}
	if (!has_room(tcp, listener->listener, &half->node.id.remote)) {
		half->flags |= HALF_ACKED;
		return;
	}
	tcb = half_to_tcb(tcp, half, now);
	if (!tcb) { /* the next ACK may find memory */
		tcp_drop(tcp, COUNTER_drop_memory);
		return;
	}
	half_hand_over(tcp, half, tcb);
	promote(tcp, listener, tcb, now);
	if (in->gso_size || in->lent || in->ip->options_len || !fast_first(tcp, tcb, &in->tcp, now))
		segment_arrives(tcp, tcb, in, now);
}

/* Where we are, in answer to what does not fit; a pending SYN has not been answered at all. */
static void half_challenge(struct tcp *tcp, struct half_open *half, uint64_t now)
{
	if ((half->flags & HALF_PENDING) || !challenge_allowed(tcp, now))
		return;
	tcp->counters->challenge_acks++;
	half_reply(tcp, half, half_handle(tcp, half), TCP_ACK, half->iss + 1,
		   half_tsval(tcp, half, now));
}

/* The checks of 3.10.7.4 as far as a half-open connection needs them. */
void half_segment(struct tcp *tcp, struct half_open *half, const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	uint32_t nxt = half->irs + 1;

	if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && seg->seq == half->irs) {
		if (half->flags & HALF_PENDING)
			return;
		if (!ecn_syn(tcp, half, in, true)) {
			tcp_drop(tcp, COUNTER_drop_tcp_syn);
			reply_rst(tcp, &half->node.id, half->ifindex, seg);
			half_free(tcp, half);
			return;
		}
		half->flags |= HALF_AGAIN;
		half_send_synack(tcp, half, now);
		return;
	}
	if (!(seg->flags & TCP_RST) && (half->flags & HALF_TS) && (seg->opts & TCP_HAS_TS) &&
	    seq_lt(seg->tsval, half->ts_recent)) {
		tcp_drop(tcp, COUNTER_drop_tcp_paws);
		return;
	}
	if (!seq_in(seg->seq, nxt, half->rcv_wnd ? half->rcv_wnd : 1)) {
		tcp_drop(tcp, COUNTER_drop_tcp_window);
		if (!(seg->flags & TCP_RST))
			half_challenge(tcp, half, now);
		return;
	}
	if (seg->flags & TCP_RST) {
		if (seg->seq == nxt) { /* MUST-11: back to LISTEN, nobody is told */
			half_free(tcp, half);
			return;
		}
		tcp_drop(tcp, COUNTER_drop_tcp_rst);
		half_challenge(tcp, half, now); /* RFC 5961 3.2 */
		return;
	}
	if (seg->flags & TCP_SYN) { /* MUST-11: back to LISTEN as well */
		tcp_drop(tcp, COUNTER_drop_tcp_syn);
		half_free(tcp, half);
		return;
	}
	if (!(seg->flags & TCP_ACK) || (half->flags & HALF_PENDING)) {
		tcp_drop(tcp, COUNTER_drop_tcp_flags);
		return;
	}
	if (seg->ack != half->iss + 1) {
		tcp_drop(tcp, COUNTER_drop_tcp_ack);
		reply_rst(tcp, &half->node.id, half->ifindex, seg);
		return;
	}
	half_acked(tcp, half, in, now);
}

/* ---- 3.10.7.2: LISTEN ---- */

void listen_segment(struct tcp *tcp, struct tcb *listener, const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	struct conn_id id = { in->ip->dst, in->ip->src, seg->dport, seg->sport };
	struct half_open half;
	struct tcb *tcb;

	if (seg->flags & TCP_RST) { /* first */
		tcp_drop(tcp, COUNTER_drop_tcp_rst);
		return;
	}
	if (seg->flags & TCP_ACK) { /* second */
		if (!(seg->flags & TCP_SYN) && cookie_check(tcp, &half, listener, in, now)) {
			if (!has_room(tcp, listener->listener, &half.node.id.remote))
				return;
			tcb = half_to_tcb(tcp, &half, now);
			if (!tcb) {
				tcp_drop(tcp, COUNTER_drop_memory);
				return;
			}
			tcp->counters->cookies_ok++;
			demux_add(tcp, &tcb->node.id, tcb_ref(tcp, tcb), true);
			promote(tcp, listener, tcb, now);
			segment_arrives(tcp, tcb, in, now);
			return;
		}
		tcp_drop(tcp, COUNTER_drop_tcp_no_conn);
		reply_rst(tcp, &id, in->ifindex, seg);
		return;
	}
	if (!(seg->flags & TCP_SYN) || (seg->flags & TCP_FIN)) { /* fourth */
		tcp_drop(tcp, COUNTER_drop_tcp_flags);
		return;
	}
	listen_syn(tcp, listener, in, 0, now); /* third */
}
