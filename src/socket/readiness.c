/* SPDX-License-Identifier: MIT */
/*
 * What poll(2) says of a socket: the kernel's tcp_poll() and datagram_poll(). As there, being found
 * without room to write is what makes an edge of the next room.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "socket/sock.h"

#include <poll.h>

#define READ_BITS  (POLLIN | POLLRDNORM)
#define WRITE_BITS (POLLOUT | POLLWRNORM)

static bool can_read(const struct sock *so, const struct conn_status *st)
{
	uint32_t target = (uint32_t)so->o.v[OPT_RCVLOWAT];

	if (!so->o.v[OPT_OOBINLINE] && st->urgent && !st->before_urgent)
		target++;
	/* More than the buffer takes never comes. */
	if (target > st->rcvbuf / 2 && st->unread >= st->rcvbuf / 2)
		return st->unread > 0;
	return st->unread >= target;
}

static short stream_readiness(struct sockets *s, struct sock *so)
{
	struct conn_status st;
	short mask = 0;

	sock_look(s, so, &st);
	if (st.state == CPL_LISTEN)
		return st.accept_n ? READ_BITS : 0;
	if (so->shutdown == SHUT_BOTH || st.state == CPL_CLOSED)
		mask |= POLLHUP;
	if (so->shutdown & SHUT_RCV)
		mask |= READ_BITS | POLLRDHUP;
	if ((st.state != CPL_SYN_SENT && st.state != CPL_SYN_RECEIVED) || st.early) {
		if (can_read(so, &st))
			mask |= READ_BITS;
		if (so->shutdown & SHUT_SND || cpl_writable(s->stack, so->handle) > 0)
			mask |= WRITE_BITS;
		if (st.urgent && !st.urgent_read)
			mask |= POLLPRI;
	}
	if (st.syn_deferred)
		mask |= WRITE_BITS;
	if (so->error || !list_empty(&so->errors))
		mask |= POLLERR;
	return mask;
}

static short datagram_readiness(struct sockets *s, struct sock *so)
{
	struct udp_socket *u = sock_udp(s, so);
	short mask = WRITE_BITS | POLLWRBAND;

	if (so->error || !list_empty(&so->errors))
		mask |= POLLERR | (so->o.v[OPT_SELECT_ERR_QUEUE] ? POLLPRI : 0);
	if (so->shutdown & SHUT_RCV)
		mask |= READ_BITS | POLLRDHUP;
	if (so->shutdown == SHUT_BOTH)
		mask |= POLLHUP;
	if (u && udp_first(u))
		mask |= READ_BITS;
	return mask;
}

short socket_readiness(struct sockets *s, sock_id id)
{
	struct sock *so = sock_get(s, id);

	if (!so)
		return POLLNVAL;
	if (!so->closing)
		return sock_is_stream(so) ? stream_readiness(s, so) : datagram_readiness(s, so);
	return sock_lingers(s, so) ? 0 : POLLHUP;
}
