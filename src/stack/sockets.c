/* SPDX-License-Identifier: MIT */
/* A connection as BSD sockets look at it: see sockets.h. */
#include "stack/sockets.h"

/* What the program may call: as in api.c. */
static struct tcb *called(struct cpl_stack *s, cpl_handle handle)
{
	struct tcb *tcb = tcp_tcb(&s->tcp, handle);

	if (!tcb || tcb_has(tcb, TCB_ORPHAN | TCB_HELD))
		return NULL;
	tcb->plain = false;
	return tcb;
}

/* The same, when nothing is to change. */
static const struct tcb *looked_at(struct cpl_stack *s, cpl_handle handle)
{
	const struct tcb *tcb = tcp_look(&s->tcp, handle);

	return tcb && !tcb_has(tcb, TCB_ORPHAN | TCB_HELD) ? tcb : NULL;
}

static void stream_status(const struct tcb *tcb, struct conn_status *st)
{
	const struct tcb_io *io = tcb->io;
	uint32_t sent = tcb->snd_nxt - tcb_has(tcb, TCB_FIN_SENT);
	uint32_t end = tcb_write_seq(tcb);

	st->unread = io ? (uint32_t)io->rcvq.bytes : 0;
	st->send_queue = io ? (uint32_t)io->sndq.bytes : 0;
	st->not_sent = tcb->state == CPL_CLOSED || !seq_gt(end, sent) ? 0 : end - sent;
	st->before_urgent = st->unread;
	if (!tcb_has(tcb, TCB_URG_IN))
		return;
	/* Announced it may be long before it comes. */
	st->before_urgent = tcb->rcv_up - 1 - tcb->read_seq;
	st->urgent = st->before_urgent < st->unread;
	st->urgent_read = !tcb_has(tcb, TCB_OOB_DUE);
}

bool conn_status(struct cpl_stack *s, cpl_handle handle, struct conn_status *st)
{
	const struct tcb *tcb = looked_at(s, handle);

	memset(st, 0, sizeof(*st));
	if (!tcb)
		return false;
	st->id = tcb->node.id;
	st->state = tcb->state;
	st->error = tcb->error;
	st->soft_error = tcb->soft_error;
	st->ifindex = tcb->ifindex;
	st->over = tcb->over;
	st->passive = tcb_has(tcb, TCB_PASSIVE);
	st->fin_received = tcb_has(tcb, TCB_FIN_RECEIVED);
	st->fin_queued = tcb_has(tcb, TCB_FIN_QUEUED);
	st->early = tcb->state == CPL_SYN_RECEIVED && (tcb->fastopen & FASTOPEN_CHILD);
	st->syn_deferred = tcb->state == CPL_SYN_SENT && (tcb->fastopen & FASTOPEN_DEFERRED);
	st->sndbuf = tcb->sndbuf;
	st->rcvbuf = tcb->rcvbuf;
	if (tcb->state == CPL_LISTEN)
		st->accept_n = tcb->listener->accept_n;
	else
		stream_status(tcb, st);
	return true;
}

const struct tcb *conn_tcb(struct cpl_stack *s, cpl_handle handle)
{
	return looked_at(s, handle);
}

void conn_congestion(struct cpl_stack *s, cpl_handle handle, char name[16])
{
	const struct tcb *tcb = looked_at(s, handle);
	const char *text = tcb ? cc_at(tcb->cc_id)->name : "";

	memcpy(name, text, strlen(text) + 1);
}

uint32_t conn_tsval(struct cpl_stack *s, cpl_handle handle, uint64_t now)
{
	const struct tcb *tcb = looked_at(s, handle);

	return tcb ? tcp_ts_clock(now) + tcb->ts_offset : 0;
}

uint32_t conn_fastopen_room(struct cpl_stack *s, cpl_handle handle)
{
	const struct tcb *tcb = looked_at(s, handle);

	if (!tcb || tcb->state != CPL_SYN_SENT || !(tcb->fastopen & FASTOPEN_WANTED))
		return 0;
	return fastopen_room(tcb);
}

void conn_syn_now(struct cpl_stack *s, cpl_handle handle)
{
	struct tcb *tcb = called(s, handle);

	if (!tcb || tcb->state != CPL_SYN_SENT)
		return;
	tcb->fastopen &= (uint16_t)~FASTOPEN_DEFERRED;
	tcb_ready(&s->tcp, tcb);
}

void stack_forget_peers(struct cpl_stack *s)
{
	fastopen_cache_destroy(&s->tcp.fastopen.cache);
}

size_t conn_peek(struct cpl_stack *s, cpl_handle handle, uint32_t off, void *data, size_t n)
{
	const struct tcb *tcb = looked_at(s, handle);
	struct conn_status st;

	if (!tcb || tcb->state == CPL_LISTEN || !tcb->io || !conn_status(s, handle, &st))
		return 0;
	/* As reading does: up to the urgent octet, or from behind it on. */
	if (tcb_has(tcb, TCB_URG_IN) && !tcb_has(tcb, TCB_OOB_INLINE)) {
		if (!st.before_urgent)
			off++;
		else if (off >= st.before_urgent)
			return 0;
		else if (n > st.before_urgent - off)
			n = st.before_urgent - off;
	}
	return off < st.unread ? chunkq_copy(&tcb->io->rcvq, off, data, n) : 0;
}

long conn_send(struct cpl_stack *s, cpl_handle handle, const void *data, size_t n, unsigned flags,
	       uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	long r = tcb ? tcp_send_whole(&s->tcp, tcb, data, n, flags, now)
		     : tcp_missing(&s->tcp, handle);

	TRACE(&s->trace, now, handle, call, TRACE_CALL_SEND, (uint32_t)n, (uint32_t)(n >> 32),
	      (uint32_t)r);
	return r;
}

int conn_chunk(struct cpl_stack *s, cpl_handle handle, size_t n, struct chunk **chunk, uint64_t now)
{
	struct tcb *tcb = called(s, handle);

	return tcb ? tcp_chunk(&s->tcp, tcb, n, chunk, now) : (int)tcp_missing(&s->tcp, handle);
}

long conn_send_chunk(struct cpl_stack *s, cpl_handle handle, struct chunk *chunk, uint32_t fill,
		     unsigned flags, uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	long r = 0;

	ASSERT(tcb && fill <= chunk->cap);
	chunk->fill = fill;
	if (fill) {
		r = tcp_send_chunk(&s->tcp, tcb, chunk, flags, now);
		TRACE(&s->trace, now, handle, call, TRACE_CALL_SEND, fill, 0, (uint32_t)r);
	}
	chunk_put(&s->chunks, chunk);
	return r;
}

int conn_disconnect(struct cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *local,
		    uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	int err = tcb ? tcp_disconnect(&s->tcp, tcb, local, now) : tcp_missing(&s->tcp, handle);

	output_run(s, now);
	return err;
}

int conn_bind(struct cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *local,
	      uint64_t now)
{
	struct tcb *tcb = called(s, handle);
	struct port_claim claim;

	if (!tcb)
		return tcp_missing(&s->tcp, handle);
	if (tcb->state != CPL_CLOSED || tcb->over || tcb_has(tcb, TCB_BOUND))
		return -EINVAL;
	claim = port_claim_of(tcb);
	claim.addr = local->addr;
	claim.port = local->port;
	if (claim.port && port_held_against(&s->tcp, &claim))
		return -EADDRINUSE;
	return port_bind(&s->tcp, tcb, local, now);
}

int conn_listen(struct cpl_stack *s, cpl_handle handle, uint32_t backlog, uint64_t now)
{
	struct tcb *tcb = called(s, handle);

	return tcb ? tcp_open_passive(&s->tcp, tcb, backlog, now) : tcp_missing(&s->tcp, handle);
}

int conn_set(struct cpl_stack *s, cpl_handle handle, enum conn_setting setting, int value)
{
	struct tcb *tcb = called(s, handle);
	struct tcb_cold *cold = tcb ? tcb_cold(&s->tcp, tcb) : NULL;

	if (!cold)
		return tcb ? -ENOBUFS : tcp_missing(&s->tcp, handle);
	switch (setting) {
	case CONN_SYN_RETRIES:
		cold->syn_retries = (uint8_t)value;
		return 0;
	case CONN_LINGER2:
		cold->linger2_ns = value * (int64_t)CPL_SECOND;
		return 0;
	case CONN_SAVE_SYN:
		cold->save_syn = value;
		return 0;
	default:
		cold->defer_accept = (uint8_t)value;
		return 0;
	}
}

int conn_saved_syn(struct cpl_stack *s, cpl_handle handle, void *data, size_t *n)
{
	struct tcb *tcb = called(s, handle);
	struct chunk *syn = tcb && tcb->cold ? tcb->cold->syn : NULL;
	size_t room = *n;

	*n = syn ? syn->fill : 0;
	if (!syn || room < *n)
		return syn ? -EINVAL : 0;
	memcpy(data, syn->data, *n);
	chunk_put(s->tcp.chunks, syn);
	tcb->cold->syn = NULL;
	return (int)*n;
}

void conn_set_device(struct cpl_stack *s, cpl_handle handle, uint32_t ifindex)
{
	struct tcb *tcb = called(s, handle);

	if (tcb && tcb->state <= CPL_LISTEN)
		tcb->ifindex = (uint8_t)ifindex;
}

void conn_set_reuseport(struct cpl_stack *s, cpl_handle handle, bool on)
{
	struct tcb *tcb = called(s, handle);

	if (tcb)
		tcb->reuseport = on;
}
