/* SPDX-License-Identifier: MIT */
/*
 * A connection, or a listener, back to CLOSED under the same handle: what connect(2) with AF_UNSPEC
 * does, shutdown(2) of a listener, and any attempt to connect after one that failed.
 */
#include "tcp/tcp.h"

/* What the program has set, and stays set. */
static void keep_options(struct tcb *tcb, const struct tcb *old)
{
	const uint32_t flags = TCB_NODELAY | TCB_CORK | TCB_KEEPALIVE | TCB_OOB_INLINE |
			       TCB_SNDBUF_FIXED | TCB_RCVBUF_FIXED | TCB_NO_SOFT | TCB_REUSEADDR |
			       TCB_LINGER_DROP | TCB_V6ONLY;

	tcb->slot = old->slot;
	tcb->gen = old->gen;
	tcb->flags = old->flags & flags;
	if (tcb_has(tcb, TCB_SNDBUF_FIXED))
		tcb->sndbuf = old->sndbuf;
	if (tcb_has(tcb, TCB_RCVBUF_FIXED))
		tcb->rcvbuf = old->rcvbuf;
	tcb->reuseport = old->reuseport;
	tcb->tos = old->tos;
	tcb->ttl = old->ttl;
	tcb->cc_id = old->cc_id;
	tcb->user = old->user;
	tcb->cold = old->cold;
}

int tcp_disconnect(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *local, uint64_t now)
{
	struct tcb old;

	if (tcb->state == CPL_LISTEN) {
		listener_close(tcp, tcb, now);
	} else if (tcb->state != CPL_TIME_WAIT) { /* that one goes on as a record of its own */
		tcp_reset_peer(tcp, tcb);
		tcb_finish(tcp, tcb, ECONNRESET, now);
	}
	port_unbind(tcp, tcb);
	tcb_io_release(tcp, tcb, now);
	list_del(&tcb->event);
	list_del(&tcb->ready);
	wheel_stop(&tcp->wheel, &tcb->timer);
	old = *tcb;
	tcb_init(tcp, tcb, now);
	keep_options(tcb, &old);
	return local ? tcp_bind(tcp, tcb, local, now) : 0;
}
