/* SPDX-License-Identifier: MIT */
/* Connections made and ended: listen, connect, accept, shutdown, as tcp(7) and the kernel do. */
#include "socket/sock.h"

/* *SO and *ST of stream ID. */
static int stream_of(struct sockets *s, sock_id id, struct sock **so, struct conn_status *st)
{
	*so = sock_get(s, id);
	if (!*so)
		return -EBADF;
	if (!sock_is_stream(*so))
		return -EOPNOTSUPP;
	conn_status(s->stack, (*so)->handle, st);
	return 0;
}

int socket_listen(struct sockets *s, sock_id id, int backlog, uint64_t now)
{
	struct conn_status st;
	struct sock *so;
	int err = stream_of(s, id, &so, &st);

	if (err)
		return err;
	if (so->stage != SOCK_UNCONNECTED || (st.state != CPL_CLOSED && st.state != CPL_LISTEN))
		return -EINVAL;
	if ((unsigned)backlog > s->somaxconn)
		backlog = (int)s->somaxconn;
	if (st.state == CPL_CLOSED) {
		err = st.over ? sock_disconnect(s, so, now) : 0;
		err = err ? err : sock_autobind(s, so, now);
		if (err)
			return err;
		so->shutdown = 0;
	}
	return conn_listen(s->stack, so->handle, (uint32_t)backlog, now);
}

/* ---- connect(2) ---- */

static int unspec(struct sockets *s, struct sock *so, uint64_t now)
{
	struct conn_status st;
	bool talking;
	int err;

	if (!sock_is_stream(so))
		return datagram_disconnect(s, so, now);
	conn_status(s->stack, so->handle, &st);
	talking = st.state == CPL_SYN_SENT || (st.state >= CPL_ESTABLISHED && !st.over);
	err = sock_disconnect(s, so, now);
	if (talking)
		so->error = ECONNRESET; /* as the kernel's tcp_disconnect() leaves it */
	return err;
}

/* A socket that was connected once: its connection begins anew. */
static int open_again(struct sockets *s, struct sock *so, const struct conn_status *st,
		      uint64_t now)
{
	uint8_t shutdown = so->shutdown;
	int err = st->over ? sock_disconnect(s, so, now) : 0;

	so->over = false;
	if (!st->over)
		so->shutdown = shutdown;
	return err;
}

static int open_active(struct sockets *s, struct sock *so, const struct cpl_endpoint *to,
		       bool fastopen, uint64_t now)
{
	if (!to->port) /* nobody's: the kernel asks on the wire */
		return -ECONNREFUSED;
	if (fastopen)
		return (int)cpl_open_active_data(s->stack, so->handle, to, NULL, 0, 0, now);
	return cpl_open_active(s->stack, so->handle, to, now);
}

int stream_begin(struct sockets *s, struct sock *so, const struct sockaddr *addr, socklen_t len,
		 bool fastopen, const struct conn_status *st, uint64_t now)
{
	struct cpl_endpoint to;
	int err = name_remote(s, so, addr, len, true, &to);

	if (err)
		return err;
	if (addr_is_multicast(&to.addr) || route_is_broadcast(&s->stack->routes, &to.addr))
		return -ENETUNREACH;
	err = open_again(s, so, st, now);
	if (err)
		return err;
	err = open_active(s, so, &to, fastopen, now);
	if (err && err != -EINPROGRESS)
		return err == -EADDRINUSE ? -EADDRNOTAVAIL : err;
	so->stage = SOCK_CONNECTING;
	return err;
}

int stream_failed(struct sockets *s, struct sock *so, uint64_t now)
{
	int error = sock_take_error(so);

	sock_disconnect(s, so, now);
	return error ? -error : -ECONNABORTED;
}

static int stream_connect(struct sockets *s, struct sock *so, const struct sockaddr *addr,
			  socklen_t len, uint64_t now)
{
	struct conn_status st;
	int err = -EALREADY;

	sock_look(s, so, &st);
	switch (so->stage) {
	case SOCK_CONNECTED:
		return -EISCONN;
	case SOCK_UNCONNECTED:
		if (st.state != CPL_CLOSED)
			return -EISCONN;
		err = stream_begin(s, so, addr, len, false, &st, now);
		if (err)
			return err;
		sockets_poll(s, now); /* a peer in this very stack may have answered */
		sock_look(s, so, &st);
		err = -EINPROGRESS;
		if (st.syn_deferred)
			return 0; /* TCP_FASTOPEN_CONNECT: send(2) will connect */
		break;
	default:
		if (st.syn_deferred)
			return -EISCONN;
		break;
	}
	if (st.state == CPL_SYN_SENT || st.state == CPL_SYN_RECEIVED)
		return err;
	if (st.state == CPL_CLOSED)
		return stream_failed(s, so, now);
	so->stage = SOCK_CONNECTED;
	return 0;
}

int socket_connect(struct sockets *s, sock_id id, const struct sockaddr *addr, socklen_t len,
		   uint64_t now)
{
	struct sock *so = sock_get(s, id);
	sa_family_t family;

	if (!so)
		return -EBADF;
	if (len < sizeof(family))
		return -EINVAL;
	memcpy(&family, addr, sizeof(family));
	if (family == AF_UNSPEC)
		return unspec(s, so, now);
	if (!sock_is_stream(so))
		return datagram_connect(s, so, addr, len, now);
	return stream_connect(s, so, addr, len, now);
}

/* ---- accept(2) ---- */

int socket_accept(struct sockets *s, sock_id id, sock_id *conn, struct sockaddr *addr,
		  socklen_t *len, uint64_t now)
{
	struct sock *so, *child;
	struct conn_status st;
	struct cpl_endpoint peer;
	int err = stream_of(s, id, &so, &st);

	if (err)
		return err;
	if (st.state != CPL_LISTEN || (addr && *len > INT32_MAX))
		return -EINVAL;
	if (!st.accept_n)
		return -EAGAIN;
	child = sock_new(s, so->domain, so->type);
	if (!child)
		return -ENFILE;
	err = cpl_accept(s->stack, so->handle, &child->handle, now);
	if (err) {
		sock_free(s, child);
		return err;
	}
	cpl_set_user(s->stack, child->handle, sock_id_of(s, child));
	child->o = so->o;
	child->o.v[OPT_FASTOPEN] = 0;
	child->stage = SOCK_CONNECTED;
	sock_look(s, child, &st);
	child->local = (struct cpl_endpoint){ st.id.local, st.id.lport, 0, st.ifindex };
	child->bound_addr = child->bound_port = child->has_port = true;
	peer = (struct cpl_endpoint){ st.id.remote, st.id.rport, 0, st.ifindex };
	name_out(child, &peer, addr, len);
	*conn = sock_id_of(s, child);
	return 0;
}

/* ---- shutdown(2) ---- */

static int stream_shutdown(struct sockets *s, struct sock *so, unsigned how, uint64_t now)
{
	struct conn_status st;
	int err = 0;

	sock_look(s, so, &st);
	switch (st.state) {
	case CPL_LISTEN:
		if (!(how & SHUT_RCV))
			return 0;
		return sock_disconnect(s, so, now);
	case CPL_SYN_SENT:
		err = sock_disconnect(s, so, now);
		so->error = ECONNRESET; /* as tcp_disconnect() leaves it */
		break;
	case CPL_CLOSED:
		err = -ENOTCONN; /* who polls is woken all the same */
		so->shutdown |= (uint8_t)how;
		break;
	default:
		so->shutdown |= (uint8_t)how;
		if (how & SHUT_SND)
			err = cpl_shutdown(s->stack, so->handle, now);
		break;
	}
	sock_wake(s, so, 0);
	return err;
}

int socket_shutdown(struct sockets *s, sock_id id, int how, uint64_t now)
{
	struct sock *so = sock_get(s, id);

	if (!so)
		return -EBADF;
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (sock_is_stream(so))
		return stream_shutdown(s, so, (unsigned)how + 1, now);
	so->shutdown |= (uint8_t)(how + 1);
	sock_wake(s, so, 0);
	return so->remote.port ? 0 : -ENOTCONN;
}
