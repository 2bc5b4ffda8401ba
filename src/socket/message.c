/* SPDX-License-Identifier: MIT */
/* sendmsg(2), recvmsg(2) and ioctl(2), for streams and datagrams. */
#include "socket/sock.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

long socket_sendmsg(struct sockets *s, sock_id id, const struct msghdr *msg, int flags,
		    uint64_t now)
{
	struct sock *so = sock_get(s, id);

	if (!so)
		return -EBADF;
	return sock_is_stream(so) ? stream_send(s, so, msg, flags, now)
				  : datagram_send(s, so, msg, flags, now);
}

long socket_recvmsg(struct sockets *s, sock_id id, struct msghdr *msg, int flags, uint64_t now)
{
	struct sock *so = sock_get(s, id);

	if (!so)
		return -EBADF;
	return sock_is_stream(so) ? stream_receive(s, so, msg, flags, now)
				  : datagram_receive(s, so, msg, flags, now);
}

bool socket_urgent(struct sockets *s, sock_id id, uint32_t *at)
{
	struct sock *so = sock_get(s, id);
	struct conn_status st;
	const struct tcb *tcb;

	if (!so || !sock_is_stream(so))
		return false;
	conn_status(s->stack, so->handle, &st);
	tcb = st.urgent ? conn_tcb(s->stack, so->handle) : NULL;
	if (tcb)
		*at = tcb->rcv_up;
	return tcb != NULL;
}

/* ---- ioctl(2) ---- */

static int unread(const struct sock *so, const struct conn_status *st)
{
	if (st->state == CPL_SYN_SENT || st->state == CPL_SYN_RECEIVED)
		return 0;
	if (!so->o.v[OPT_OOBINLINE] && st->urgent)
		return (int)st->before_urgent;
	return (int)st->unread;
}

static int stream_ioctl(struct sockets *s, struct sock *so, unsigned long request, int *value)
{
	struct conn_status st;

	sock_look(s, so, &st);
	if (request != SIOCATMARK && st.state == CPL_LISTEN)
		return -EINVAL;
	switch (request) {
	case SIOCINQ:
		*value = unread(so, &st);
		return 0;
	case SIOCATMARK:
		*value = st.urgent && !st.before_urgent;
		return 0;
	case SIOCOUTQ:
		*value = st.state == CPL_SYN_SENT ? 0 : (int)st.send_queue;
		return 0;
	case SIOCOUTQNSD:
		*value = st.state == CPL_SYN_SENT ? 0 : (int)st.not_sent;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int datagram_ioctl(struct sockets *s, struct sock *so, unsigned long request, int *value)
{
	struct udp_socket *u = sock_udp(s, so);
	const struct udp_datagram *d = u ? udp_first(u) : NULL;

	switch (request) {
	case SIOCINQ:
		*value = d ? (int)d->data.bytes : 0;
		return 0;
	case SIOCOUTQ:
		*value = 0; /* what is sent has left */
		return 0;
	default:
		return -ENOTTY;
	}
}

int socket_ioctl(struct sockets *s, sock_id id, unsigned long request, int *value, uint64_t now)
{
	struct sock *so = sock_get(s, id);

	(void)now;
	if (!so)
		return -EBADF;
	if (request == FIONBIO) {
		so->nonblock = *value;
		return 0;
	}
	return sock_is_stream(so) ? stream_ioctl(s, so, request, value)
				  : datagram_ioctl(s, so, request, value);
}
