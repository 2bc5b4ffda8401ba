/* SPDX-License-Identifier: MIT */
/* sendmsg(2) and recvmsg(2) on a connection. */
#include "socket/sock.h"

size_t iov_total(const struct msghdr *msg)
{
	size_t n = 0;

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		n += msg->msg_iov[i].iov_len;
	return n;
}

/* ---- send ---- */

/* What a call that sent nothing returns; the kernel's sk_stream_wait_connect() and sk_stream_error.
 */
static long send_error(const struct conn_status *st, struct sock *so)
{
	int error;

	if (st->state == CPL_SYN_SENT || st->state == CPL_SYN_RECEIVED)
		return so->error ? -sock_take_error(so) : -EAGAIN;
	error = sock_take_error(so);
	return error ? -error : -EPIPE;
}

static bool may_send(const struct sock *so, const struct conn_status *st)
{
	return (st->state == CPL_ESTABLISHED || st->state == CPL_CLOSE_WAIT || st->early) &&
	       !so->error && !(so->shutdown & SHUT_SND);
}

static unsigned send_flags(int flags, bool last)
{
	unsigned f = flags & MSG_MORE || !last ? CPL_MSG_MORE : 0;

	if (flags & MSG_OOB && last)
		f |= CPL_MSG_OOB;
	if (flags & MSG_EOR && last)
		f |= CPL_MSG_RECORD;
	return f;
}

long stream_send(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		 uint64_t now)
{
	size_t left = iov_total(msg);
	struct conn_status st;
	long sent = 0;

	sock_look(s, so, &st);
	if (fastopen_concerns(so, &st, flags))
		return fastopen_send(s, so, msg, flags, &st, now);
	if (!may_send(so, &st))
		return send_error(&st, so);
	for (size_t i = 0; i < msg->msg_iovlen; i++) {
		const struct iovec *v = &msg->msg_iov[i];
		long n;

		if (!v->iov_len)
			continue;
		left -= v->iov_len;
		n = conn_send(s->stack, so->handle, v->iov_base, v->iov_len,
			      send_flags(flags, !left), now);
		if (n < 0) {
			sock_look(s, so, &st);
			return sent ? sent : n == -EAGAIN ? n : send_error(&st, so);
		}
		sent += n;
		if ((size_t)n < v->iov_len)
			break;
	}
	return sent;
}

int socket_piece_new(struct sockets *s, sock_id id, size_t n, struct socket_piece *piece,
		     uint64_t now)
{
	struct sock *so = sock_get(s, id);
	struct conn_status st;
	int err;

	if (!so || so->closing || !sock_is_stream(so))
		return -ENOBUFS;
	sock_look(s, so, &st);
	if (!may_send(so, &st) || fastopen_concerns(so, &st, 0))
		return -ENOBUFS;
	err = conn_chunk(s->stack, so->handle, n, &piece->chunk, now);
	if (err)
		return err == -EAGAIN ? err : -ENOBUFS;
	piece->id = id;
	piece->data = piece->chunk->data;
	piece->n = n < piece->chunk->cap ? n : piece->chunk->cap;
	return 0;
}

long socket_piece_send(struct sockets *s, const struct socket_piece *piece, size_t n, int flags,
		       uint64_t now)
{
	return conn_send_chunk(s->stack, sock_get(s, piece->id)->handle, piece->chunk, (uint32_t)n,
			       send_flags(flags, true), now);
}

/* ---- receive ---- */

/* The urgent octet by itself: the kernel's tcp_recv_urg(). */
static long receive_urgent(struct sockets *s, struct sock *so, struct msghdr *msg, int flags,
			   const struct conn_status *st, uint64_t now)
{
	bool announced = st->before_urgent != st->unread || st->urgent;
	size_t room = iov_total(msg);
	uint8_t octet;
	long n;

	if (so->o.v[OPT_OOBINLINE] || !announced || st->urgent_read)
		return -EINVAL;
	if (!st->urgent)
		return so->shutdown & SHUT_RCV ? 0 : -EAGAIN;
	n = cpl_recv(s->stack, so->handle, &octet, 1,
		     CPL_MSG_OOB_IN | (flags & MSG_PEEK ? CPL_MSG_PEEK : 0), now);
	if (n < 0)
		return n;
	msg->msg_flags |= MSG_OOB;
	if (!room) {
		msg->msg_flags |= MSG_TRUNC;
		return 0;
	}
	for (size_t i = 0; i < msg->msg_iovlen && !(flags & MSG_TRUNC); i++)
		if (msg->msg_iov[i].iov_len) {
			memcpy(msg->msg_iov[i].iov_base, &octet, 1);
			break;
		}
	return 1;
}

static long receive_error(struct sock *so, const struct conn_status *st)
{
	if (st->fin_received)
		return 0;
	if (so->error)
		return -sock_take_error(so);
	if (so->shutdown & SHUT_RCV)
		return 0;
	return st->state == CPL_CLOSED ? -ENOTCONN : -EAGAIN;
}

/* Who blocks asks again, with the same MSG: only an end is told. */
static long receive_nothing(struct sock *so, const struct conn_status *st, struct msghdr *msg)
{
	long r = receive_error(so, st);

	if (!r)
		msg->msg_controllen = 0;
	return r;
}

/* Octets are thrown away, not copied: MSG_TRUNC of tcp(7). */
static long discard(struct sockets *s, struct sock *so, size_t n, uint64_t now)
{
	uint8_t waste[2048];
	size_t done = 0;

	while (done < n) {
		size_t want = n - done < sizeof(waste) ? n - done : sizeof(waste);
		long r = cpl_recv(s->stack, so->handle, waste, want, 0, now);

		if (r <= 0)
			break;
		done += (size_t)r;
	}
	return (long)done;
}

/* Into one piece of the program's memory; DONE octets have gone into those before. */
static long receive_piece(struct sockets *s, struct sock *so, const struct iovec *v, size_t limit,
			  size_t done, int flags, uint64_t now)
{
	size_t n = v->iov_len < limit - done ? v->iov_len : limit - done;

	if (flags & MSG_PEEK && flags & MSG_TRUNC) {
		struct conn_status st;

		conn_status(s->stack, so->handle, &st);
		return (long)(st.unread - done < n ? st.unread - done : n);
	}
	if (flags & MSG_PEEK)
		return (long)conn_peek(s->stack, so->handle, (uint32_t)done, v->iov_base, n);
	if (flags & MSG_TRUNC)
		return discard(s, so, n, now);
	return cpl_recv(s->stack, so->handle, v->iov_base, n, 0, now);
}

/* TCP_INQ: what is left to be read. */
static void put_inq(struct sockets *s, const struct sock *so, struct control *c)
{
	struct conn_status st;
	int left;

	conn_status(s->stack, so->handle, &st);
	left = (int)st.unread;
	if (!left && st.fin_received)
		left = 1; /* as the kernel: reading will not block */
	control_put(c, IPPROTO_TCP, 36 /* TCP_CM_INQ */, &left, sizeof(left));
}

/*
 * What is told with the octets. The time is when the last ones came, as the kernel tells it of what
 * it has put together in one buffer.
 */
static void put_control(struct sockets *s, const struct sock *so, struct msghdr *msg)
{
	const struct tcb *tcb = conn_tcb(s->stack, so->handle);
	struct control c;

	control_begin(&c, msg);
	if (tcb && tcb->last_data)
		control_timestamp(s, so, &c, tcb->last_data);
	if (so->o.v[OPT_INQ])
		put_inq(s, so, &c);
	control_end(&c, msg);
}

long stream_receive(struct sockets *s, struct sock *so, struct msghdr *msg, int flags, uint64_t now)
{
	size_t limit = SIZE_MAX, done = 0;
	struct conn_status st;

	msg->msg_namelen = 0;
	msg->msg_flags = 0;
	sock_look(s, so, &st);
	if (flags & MSG_ERRQUEUE)
		return errqueue_receive(s, so, msg);
	if (st.state == CPL_LISTEN)
		return -ENOTCONN;
	if (flags & MSG_OOB)
		return receive_urgent(s, so, msg, flags, &st, now);
	if (!st.unread)
		return receive_nothing(so, &st, msg);
	/* As the kernel, reading stops before the urgent octet, wherever that is to be had. */
	if (st.urgent && so->o.v[OPT_OOBINLINE] && st.before_urgent)
		limit = st.before_urgent;
	for (size_t i = 0; i < msg->msg_iovlen && done < limit; i++) {
		const struct iovec *v = &msg->msg_iov[i];
		long n;

		if (!v->iov_len)
			continue;
		n = receive_piece(s, so, v, limit, done, flags, now);
		if (n <= 0)
			break;
		done += (size_t)n;
		if ((size_t)n < v->iov_len)
			break;
	}
	if (done)
		put_control(s, so, msg);
	else if (!iov_total(msg))
		msg->msg_controllen = 0;
	if (done || !iov_total(msg))
		return (long)done;
	sock_look(s, so, &st);
	return receive_nothing(so, &st, msg);
}
