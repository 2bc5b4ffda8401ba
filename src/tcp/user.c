/* SPDX-License-Identifier: MIT */
/* The user calls: OPEN, SEND, RECEIVE, CLOSE, ABORT (RFC 9293 sections 3.9.1 and 3.10.1 to 3.10.5).
 */
#include "tcp/fast.h"
#include "tcp/timewait.h"

/* ---- OPEN ---- */

int tcp_open(struct tcp *tcp, const struct cpl_endpoint *local, struct tcb **tcb, uint64_t now)
{
	struct tcb *t = tcb_new(tcp, now);
	int err;

	if (!t)
		return -ENOBUFS;
	err = local ? tcp_bind(tcp, t, local, now) : 0;
	if (err) {
		t->flags |= TCB_ORPHAN;
		tcb_reap(tcp, t);
		return err;
	}
	*tcb = t;
	return 0;
}

/* Without a port: that is chosen with the remote one, or with the first passive OPEN. */
int tcp_bind(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *local, uint64_t now)
{
	if (tcb->state != CPL_CLOSED || tcb->over || tcb_has(tcb, TCB_BOUND))
		return -EINVAL;
	if (local->port)
		return port_bind(tcp, tcb, local, now);
	if (!addr_is_any(&local->addr) && !route_our_addr(tcp->routes, &local->addr, 0))
		return -EADDRNOTAVAIL;
	tcb->node.id.local = local->addr; /* MUST-43 */
	return 0;
}

static bool remote_ok(struct tcp *tcp, const struct cpl_endpoint *remote)
{
	/* MUST-46 */
	return remote->port && !addr_is_any(&remote->addr) && !addr_is_multicast(&remote->addr) &&
	       !addr_is_broadcast(&remote->addr) && !route_is_broadcast(tcp->routes, &remote->addr);
}

/* The 4-tuple: a port if there is none, and nobody else may have it but a TIME-WAIT, *TW. */
static int claim_id(struct tcp *tcp, struct tcb *tcb, struct time_wait **tw, uint64_t now)
{
	struct conn_id *id = &tcb->node.id;

	if (!id->lport) {
		if (!port_choose(tcp, id, tw, now))
			return -EADDRNOTAVAIL;
	} else {
		if (!port_is_here(tcp, id))
			return -EADDRNOTAVAIL;
		if (!port_id_free(tcp, id, tw, now))
			return -EADDRINUSE;
	}
	/* The new incarnation starts beyond the old one (RFC 9293 3.4.3). */
	tcb->iss = *tw ? (*tw)->snd_nxt + 65535 + 2 : tcp_isn(tcp, id, now);
	return 0;
}

static int settle_id(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *remote,
		     struct time_wait **tw, uint64_t now)
{
	struct conn_id *id = &tcb->node.id;
	int err;

	id->remote = remote->addr;
	id->rport = remote->port;
	if (remote->ifindex)
		tcb->ifindex = (uint8_t)remote->ifindex;
	if (addr_is_any(&id->local)) /* "any" of one family is not yet an address */
		memset(&id->local, 0, sizeof(id->local));
	err = tcb_route(tcp, tcb, now);
	return err ? err : claim_id(tcp, tcb, tw, now);
}

/* A block for the handshake: SYN-SENT is next. */
static int prepare_syn(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	tcb->snd_una = tcb->snd_nxt = tcb->snd_up = tcb->iss;
	tcb->flags |= tcp->config->sack ? TCB_SACK : 0;
	tcb->flags |= tcp->config->timestamps ? TCB_TS : 0;
	if (tcp->config->timestamps)
		tcb->ts_offset = tcp_ts_offset(tcp, &tcb->node.id);
	tcb->rcv_wscale = window_scale(tcp, tcb->rcvbuf) & 15;
	if (!tcb_io(tcp, tcb, now))
		return -ENOBUFS;
	tcb->io->why = CPL_WHY_HANDSHAKE;
	return 0;
}

/* SYN-SENT, but the SYN is not on its way yet. */
static int open_active(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *remote,
		       uint64_t now)
{
	struct conn_id before = tcb->node.id;
	uint8_t ifindex = tcb->ifindex;
	struct time_wait *tw = NULL;
	int err;

	if (tcb->state == CPL_LISTEN)
		return -EISCONN;
	if (tcb->state != CPL_CLOSED)
		return tcb->state == CPL_SYN_SENT ? -EALREADY : -EISCONN;
	if (tcb->over)
		return -EISCONN;
	if (!remote_ok(tcp, remote))
		return -EINVAL;
	if (tcb->cold && tcb->cold->route.n && !cpl_addr_is4(&remote->addr))
		return -EINVAL;
	err = settle_id(tcp, tcb, remote, &tw, now);
	err = err ? err : prepare_syn(tcp, tcb, now);
	if (err) { /* as if it had not been called: another attempt may go another way */
		tcb->node.id = before;
		tcb->ifindex = ifindex;
		return err;
	}
	if (tw)
		time_wait_free(tcp, tw, now);
	demux_add(tcp, &tcb->node.id, tcb_ref(tcp, tcb), tcb_has(tcb, TCB_BOUND));
	tcb->flags |= TCB_HASHED;
	tcb->made = now;
	tcb_set_state(tcp, tcb, CPL_SYN_SENT, now);
	tcp->counters->active_opens++;
	return 0;
}

int tcp_open_active(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *remote,
		    uint64_t now)
{
	int err = open_active(tcp, tcb, remote, now);

	if (err)
		return err;
	/* With a cookie at hand, the SYN awaits the data; without one it asks for one. */
	if (tcb->cold && tcb->cold->fastopen_connect && fastopen_open(tcp, tcb, now)) {
		tcb->fastopen |= FASTOPEN_DEFERRED;
		tcb_event(tcp, tcb, CPL_EV_WRITABLE);
		return 0;
	}
	tcb_ready(tcp, tcb);
	return 0;
}

long tcp_open_active_data(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *remote,
			  const void *data, size_t n, unsigned flags, uint64_t now)
{
	long took = 0;
	int err;

	if (!(tcp->config->fastopen & CPL_FASTOPEN_CLIENT))
		return -EOPNOTSUPP;
	err = open_active(tcp, tcb, remote, now);
	if (err)
		return err;
	tcb_ready(tcp, tcb);
	if (!fastopen_open(tcp, tcb, now))
		return -EINPROGRESS;
	took = tcp_send(tcp, tcb, data, n, flags, now);
	return took == -EAGAIN ? -EINPROGRESS : took;
}

static int listener_new(struct tcp *tcp, struct tcb *tcb, uint32_t backlog, uint64_t now)
{
	uint32_t index;
	struct listener *l = pool_alloc(&tcp->listeners, &index);

	if (!l)
		return -ENOBUFS;
	memset(l, 0, sizeof(*l));
	l->index = index;
	list_init(&l->accept_queue);
	list_init(&l->fastopen);
	list_init(&l->fastopen_resets);
	l->fastopen_max = tcb->cold ? tcb->cold->fastopen : 0;
	if (!l->fastopen_max && (tcp->config->fastopen & CPL_FASTOPEN_ALL_LISTENERS))
		l->fastopen_max = backlog;
	l->backlog = backlog;
	l->tcb = tcb;
	tcb->listener = l;
	tcb_set_state(tcp, tcb, CPL_LISTEN, now);
	return 0;
}

int tcp_open_passive(struct tcp *tcp, struct tcb *tcb, uint32_t backlog, uint64_t now)
{
	struct cpl_endpoint any = { .port = 0 };
	int err;

	if (tcb->state == CPL_LISTEN) {
		tcb->listener->backlog = backlog;
		return 0;
	}
	if (tcb->state != CPL_CLOSED || tcb->over)
		return -EINVAL;
	any.addr = tcb->node.id.local;
	if (!tcb_has(tcb, TCB_BOUND) && (err = port_bind(tcp, tcb, &any, now)) != 0)
		return err;
	if (!port_may_listen(tcp, tcb)) /* several may have been bound with REUSEADDR */
		return -EADDRINUSE;
	return listener_new(tcp, tcb, backlog, now);
}

int tcp_catch_all(struct tcp *tcp, int ifindex, uint32_t pending_max, struct tcb **tcb,
		  uint64_t now)
{
	struct tcb *t;
	int err;

	if (ifindex < 0 || ifindex > IFACES_MAX)
		return -EINVAL;
	if (tcp->catch_all[ifindex])
		return -EADDRINUSE;
	t = tcb_new(tcp, now);
	if (!t)
		return -ENOBUFS;
	err = listener_new(tcp, t, pending_max, now);
	if (err) {
		t->flags |= TCB_ORPHAN;
		tcb_reap(tcp, t);
		return err;
	}
	t->listener->catch_all = true;
	t->listener->ifindex = (uint8_t)ifindex;
	tcp->catch_all[ifindex] = t;
	*tcb = t;
	return 0;
}

int tcp_accept(struct tcp *tcp, struct tcb *listener, struct tcb **tcb, uint64_t now)
{
	struct listener *l;
	struct tcb *t;

	(void)now;
	if (listener->state != CPL_LISTEN)
		return -EINVAL;
	l = listener->listener;
	if (list_empty(&l->accept_queue))
		return -EAGAIN;
	t = list_first(&l->accept_queue, struct tcb, event);
	list_del(&t->event);
	l->accept_n--;
	t->flags &= ~TCB_HELD;
	fast_meet(tcp, t);
	if (t->events)
		tcb_event(tcp, t, t->events);
	*tcb = t;
	return 0;
}

/* ---- SEND ---- */

static bool may_write(const struct tcb *tcb)
{
	return tcb->state == CPL_ESTABLISHED || tcb->state == CPL_CLOSE_WAIT ||
	       tcb->state == CPL_SYN_SENT || tcb->state == CPL_SYN_RECEIVED;
}

static long write_error(const struct tcb *tcb)
{
	if (tcb->state == CPL_LISTEN)
		return -ENOTCONN;
	if (tcb->state == CPL_CLOSED)
		return tcb->error ? -(long)tcb->error : tcb->over ? -EPIPE : -ENOTCONN;
	return -EPIPE;
}

static bool memory_short(const struct tcp *tcp)
{
	return tcp->mem->used > tcp->mem->limit - tcp->mem->limit / 16;
}

/* What the send queue takes: its buffer's room, less where memory or what is unsent limits it. */
static size_t send_room(const struct tcp *tcp, const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;
	size_t room = tcb->sndbuf > io->sndq.bytes ? tcb->sndbuf - io->sndq.bytes : 0;
	uint32_t lowat = tcb_notsent_lowat(tcp, tcb), unsent = tcb_unsent(tcb);
	uint32_t least = tcb->snd_mss;

	if (memory_short(tcp))
		room = room < 2048 ? room : 2048;
	if (lowat == UINT32_MAX)
		return room;
	if (unsent >= lowat)
		return 0;
	/* A segment's worth in any case, so that a mark of one octet makes no small segments. */
	lowat = lowat - unsent > least ? lowat - unsent : least;
	return room < lowat ? room : lowat;
}

/* TOOK octets of the N of a call are in the send queue. */
static void written(struct tcp *tcp, struct tcb *tcb, size_t took, size_t n, unsigned flags,
		    uint64_t now)
{
	struct tcb_io *io = tcb->io;

	tcb->flags |= TCB_SENT_ALL_DUE;
	tcb_busy(tcb, true, now);
	tcb->fastopen &= (uint16_t)~FASTOPEN_DEFERRED;
	if (took == n && (flags & CPL_MSG_OOB)) {
		tcb->snd_up = tcb_write_seq(tcb); /* MUST-62 */
		tcb->flags |= TCB_URG_OUT;
		/* What the window holds back is announced all the same. */
		if (tcb_synchronized(tcb) && !seq_gt(tcb->snd_una + tcb->snd_wnd, tcb->snd_nxt))
			tcb->flags |= TCB_ACK_NOW;
	}
	if (took == n && (flags & CPL_MSG_MORE))
		tcb->flags |= TCB_MORE;
	else
		tcb->flags &= ~TCB_MORE;
	stream_written(tcb, took == n ? flags : flags & ~(CPL_MSG_PUSH | CPL_MSG_RECORD));
	if (tcb_has(tcb, TCB_MORE | TCB_CORK) && io->t_cork == CPL_NEVER) {
		io->t_cork = now + CORK_NS; /* MUST-60: not for ever */
		timer_update(tcp, tcb);
	}
	if (tcb->ifindex)
		tcb_kick(tcp, tcb);
}

/* A send cannot take anything for want of memory: it is tried again. */
static long send_retry(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	tcb->flags |= TCB_WANT_WRITE;
	timer_retry(tcp, tcb, now);
	return -EAGAIN;
}

/* TOOK of N octets are in the send queue: what the send returns. */
static long send_end(struct tcp *tcp, struct tcb *tcb, size_t took, size_t n, unsigned flags,
		     uint64_t now)
{
	if (took < n)
		tcb->flags |= TCB_WANT_WRITE;
	if (!took) {
		if (!tcb->io->sndq.bytes)
			timer_retry(tcp, tcb, now);
		return -EAGAIN;
	}
	written(tcp, tcb, took, n, flags, now);
	return (long)took;
}

static long send_data(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, unsigned flags,
		      bool whole, uint64_t now)
{
	size_t room = SIZE_MAX, took;

	if (!flags && fast_send(tcp, tcb, data, n, now))
		return (long)n;
	if (!may_write(tcb) || tcb_has(tcb, TCB_FIN_QUEUED))
		return write_error(tcb);
	if (!n)
		return 0;
	if (!tcb_io(tcp, tcb, now))
		return send_retry(tcp, tcb, now);
	if (!whole)
		room = send_room(tcp, tcb);
	else if (memory_short(tcp))
		room = 2048;
	took = stream_write(tcp, tcb, NULL, data, n < room ? n : room, whole);
	return send_end(tcp, tcb, took, n, flags, now);
}

long tcp_send(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, unsigned flags,
	      uint64_t now)
{
	return send_data(tcp, tcb, data, n, flags, false, now);
}

long tcp_send_whole(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, unsigned flags,
		    uint64_t now)
{
	return send_data(tcp, tcb, data, n, flags, true, now);
}

int tcp_chunk(struct tcp *tcp, struct tcb *tcb, size_t n, struct chunk **chunk, uint64_t now)
{
	if (!may_write(tcb) || tcb_has(tcb, TCB_FIN_QUEUED))
		return (int)write_error(tcb);
	if (!tcb_io(tcp, tcb, now))
		return (int)send_retry(tcp, tcb, now);
	if (stream_full(tcp, tcb)) {
		tcb->flags |= TCB_WANT_WRITE;
		return -EAGAIN;
	}
	if (memory_short(tcp)) /* copies take less of it */
		return -ENOBUFS;
	*chunk = chunk_new(tcp->chunks, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX);
	return *chunk ? 0 : -ENOBUFS;
}

long tcp_send_chunk(struct tcp *tcp, struct tcb *tcb, struct chunk *chunk, unsigned flags,
		    uint64_t now)
{
	size_t took = stream_write(tcp, tcb, chunk, chunk->data, chunk->fill, true);

	return send_end(tcp, tcb, took, chunk->fill, flags, now);
}

long tcp_send_lent(struct tcp *tcp, struct tcb *tcb, struct chunk *chunk, uint32_t n,
		   unsigned flags, uint64_t now)
{
	struct tcb_io *io;

	if (!may_write(tcb) || tcb_has(tcb, TCB_FIN_QUEUED))
		return write_error(tcb);
	io = tcb_io(tcp, tcb, now);
	if (!io || send_room(tcp, tcb) < n ||
	    !chunkq_append_ref(&io->sndq, tcp->chunks, chunk, 0, n)) {
		tcb->flags |= TCB_WANT_WRITE;
		if (!io || !io->sndq.bytes)
			timer_retry(tcp, tcb, now);
		return -EAGAIN;
	}
	written(tcp, tcb, n, n, flags, now);
	return (long)n;
}

int tcp_writable(struct tcp *tcp, struct tcb *tcb)
{
	if (tcb->state == CPL_SYN_SENT && !(tcb->fastopen & FASTOPEN_DEFERRED))
		return 0; /* CPL_EV_WRITABLE comes with the connection */
	if (!may_write(tcb) || tcb_has(tcb, TCB_FIN_QUEUED) || tcb_writable(tcp, tcb))
		return 1;
	tcb->flags |= TCB_WANT_WRITE;
	return 0;
}

/* ---- RECEIVE ---- */

/* Octets before the urgent one, if it lies ahead and is kept out of the stream. */
static bool urgent_ahead(const struct tcb *tcb, uint32_t *before)
{
	if (!tcb_has(tcb, TCB_URG_IN) || tcb_has(tcb, TCB_OOB_INLINE))
		return false;
	*before = tcb->rcv_up - 1 - tcb->read_seq;
	return true;
}

/* The program has read up to READ_SEQ. */
static void after_urgent(struct tcb *tcb)
{
	if (!tcb_has(tcb, TCB_URG_IN) || seq_lt(tcb->read_seq, tcb->rcv_up))
		return;
	tcb->flags &= ~TCB_URG_IN;
	if (tcb_has(tcb, TCB_OOB_INLINE)) /* it was in what was read */
		tcb->flags &= ~TCB_OOB_DUE;
}

/* The urgent octet can be had once, before or after reading has passed it. */
static long receive_urgent(struct tcb *tcb, uint8_t *data, size_t n, unsigned flags)
{
	uint32_t off = tcb->rcv_up - 1 - tcb->read_seq;

	if (tcb_has(tcb, TCB_OOB_INLINE) || !tcb_has(tcb, TCB_OOB_DUE) || !n)
		return -EINVAL;
	if (!tcb_has(tcb, TCB_URG_IN))
		*data = tcb->oob_byte;
	else if (!tcb->io || chunkq_copy(&tcb->io->rcvq, off, data, 1) != 1)
		return -EAGAIN;
	if (!(flags & CPL_MSG_PEEK))
		tcb->flags &= ~TCB_OOB_DUE;
	return 1;
}

/* Reading stops before the urgent octet once, then goes on behind it; *SKIP: it is next. */
static uint32_t readable(const struct tcb *tcb, size_t n, bool *skip)
{
	uint32_t before, avail = (uint32_t)tcb->io->rcvq.bytes;

	*skip = false;
	if (urgent_ahead(tcb, &before) && before < avail) {
		*skip = !before && n;
		avail = before ? before : avail - 1;
	}
	return n < avail ? (uint32_t)n : avail;
}

static long nothing_to_read(const struct tcb *tcb)
{
	if (tcb->error)
		return -(long)tcb->error;
	if (tcb_has(tcb, TCB_FIN_RECEIVED))
		return 0;
	switch (tcb->state) {
	case CPL_LISTEN:
		return -ENOTCONN;
	case CPL_CLOSED:
		return tcb->over ? 0 : -ENOTCONN;
	case CPL_TIME_WAIT:
		return 0;
	default:
		return -EAGAIN;
	}
}

long tcp_receive(struct tcp *tcp, struct tcb *tcb, void *data, size_t n, unsigned flags,
		 uint64_t now)
{
	struct tcb_io *io = tcb->state == CPL_LISTEN ? NULL : tcb->io;
	uint32_t take;
	bool skip;

	if (flags & CPL_MSG_OOB_IN)
		return receive_urgent(tcb, data, n, flags);
	if (!io || !io->rcvq.bytes)
		return nothing_to_read(tcb);
	take = readable(tcb, n, &skip);
	if (!n)
		return 0;
	if (data) /* else it was borrowed */
		chunkq_copy(&io->rcvq, skip, data, take);
	if (!(flags & CPL_MSG_PEEK)) {
		if (skip)
			chunkq_copy(&io->rcvq, 0, &tcb->oob_byte, 1);
		chunkq_drop(&io->rcvq, tcp->chunks, skip + take);
		tcb->read_seq += skip + take;
		after_urgent(tcb);
		window_after_read(tcp, tcb, now);
	}
	return take ? (long)take : nothing_to_read(tcb);
}

int tcp_borrow(struct tcp *tcp, struct tcb *tcb, struct chunk_piece *pieces, unsigned max)
{
	struct tcb_io *io = tcb->state == CPL_LISTEN ? NULL : tcb->io;
	uint32_t take, covered;
	unsigned n;
	bool skip;

	if (!io || !io->rcvq.bytes)
		return (int)nothing_to_read(tcb);
	take = readable(tcb, SIZE_MAX, &skip);
	if (!take)
		return (int)nothing_to_read(tcb);
	n = chunkq_pieces(&io->rcvq, skip, take, pieces, max, &covered);
	/* The queue holds them until they are read. */
	for (unsigned i = 0; i < n; i++)
		chunk_put(tcp->chunks, pieces[i].chunk);
	return (int)n;
}

/* ---- CLOSE and ABORT ---- */

/* 3.10.4: the FIN follows what was sent. */
int tcp_shutdown(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	switch (tcb->state) {
	case CPL_CLOSED:
	case CPL_LISTEN:
		return -ENOTCONN;
	case CPL_SYN_SENT:
		tcb_finish(tcp, tcb, 0, now);
		return 0;
	case CPL_SYN_RECEIVED:
		tcb->flags |= TCB_FIN_QUEUED; /* tcb_established() goes on */
		return 0;
	case CPL_ESTABLISHED:
	case CPL_CLOSE_WAIT:
		break;
	default:
		return tcb->state == CPL_TIME_WAIT ? -ENOTCONN : 0;
	}
	if (!tcb_io(tcp, tcb, now))
		return -ENOBUFS;
	tcb->flags |= TCB_FIN_QUEUED | TCB_SENT_ALL_DUE;
	tcb->flags &= ~TCB_MORE;
	tcb_set_state(tcp, tcb, tcb->state == CPL_ESTABLISHED ? CPL_FIN_WAIT_1 : CPL_LAST_ACK, now);
	tcb_kick(tcp, tcb);
	return 0;
}

static void send_rst(struct tcp *tcp, struct tcb *tcb)
{
	struct tcp_reply *r = reply_new(tcp, &tcb->node.id);

	if (!r)
		return;
	tcp->counters->rst_out++;
	r->seg.seq = tcb_ack_seq(tcb);
	r->seg.ack = tcb->rcv_nxt;
	r->seg.flags = TCP_RST | TCP_ACK;
	r->tos = tcb->tos;
	r->ttl = tcb->ttl;
	r->ifindex = tcb->ifindex;
	if (tcb->cold)
		r->route = tcb->cold->route;
}

/* 3.10.5: which states owe the peer a RST. */
static bool owes_rst(const struct tcb *tcb)
{
	switch (tcb->state) {
	case CPL_SYN_RECEIVED:
	case CPL_ESTABLISHED:
	case CPL_FIN_WAIT_1:
	case CPL_FIN_WAIT_2:
	case CPL_CLOSE_WAIT:
		return true;
	default:
		return false;
	}
}

void tcp_reset_peer(struct tcp *tcp, struct tcb *tcb)
{
	if (owes_rst(tcb))
		send_rst(tcp, tcb);
}

int tcp_abort(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	if (tcb->state == CPL_LISTEN)
		return tcp_close(tcp, tcb, now);
	tcb->flags |= TCB_ORPHAN;
	tcp_reset_peer(tcp, tcb);
	tcb_finish(tcp, tcb, ECONNABORTED, now);
	tcb_reap(tcp, tcb);
	return 0;
}

int tcp_close(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	if (tcb->state == CPL_LISTEN) {
		tcb->flags |= TCB_ORPHAN;
		listener_close(tcp, tcb, now);
		tcb_reap(tcp, tcb);
		return 0;
	}
	/* SHLD-3: what was not read will never be. */
	if (tcb_has(tcb, TCB_LINGER_DROP) || (tcb->io && tcb->io->rcvq.bytes))
		return tcp_abort(tcp, tcb, now);
	if (tcb->state == CPL_ESTABLISHED || tcb->state == CPL_CLOSE_WAIT ||
	    tcb->state == CPL_SYN_RECEIVED || tcb->state == CPL_SYN_SENT) {
		int err = tcp_shutdown(tcp, tcb, now);

		if (err == -ENOBUFS)
			return tcp_abort(tcp, tcb, now);
	}
	tcb->flags |= TCB_ORPHAN;
	tcb->events = 0;
	list_del(&tcb->event);
	if (tcb->io && sendmap_empty(&tcb->io->map))
		tcb->io->progress = now;
	if (tcb->state == CPL_FIN_WAIT_2) {
		timer_fin_wait_2(tcp, tcb, now);
		timer_update(tcp, tcb);
	}
	tcb_reap(tcp, tcb);
	return 0;
}
