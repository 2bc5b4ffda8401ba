/* SPDX-License-Identifier: MIT */
/* Sockets made, named, joined, asked and closed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#include "packetdrill/drill.h"

static int do_socket(void *u, int domain, int type, int protocol)
{
	struct drill *d = u;
	sock_id id = 0;
	int r;

	drill_lock(d);
	r = socket_open(d->sockets, domain, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), protocol, &id,
			d->now);
	if (!r) {
		socket_set_nonblock(d->sockets, id, type & SOCK_NONBLOCK);
		r = drill_token(d, id, 0);
		if (r < 0)
			socket_close(d->sockets, id, d->now);
	}
	drill_unlock(d);
	return (int)drill_result(r);
}

/* A call on a socket by its descriptor, c->fd. */
static int call(struct drill *d, struct drill_call *c)
{
	long r = -ENOTSOCK;

	drill_lock(d);
	c->sock = drill_sock(d, c->fd);
	if (c->sock)
		r = drill_call(d, c);
	drill_unlock(d);
	return (int)drill_result(r);
}

static bool step_bind(struct drill *d, struct drill_call *c)
{
	c->result = socket_bind(d->sockets, c->sock, c->to, c->to_len, d->now);
	return true;
}

static int do_bind(void *u, int fd, drill_addr_in addr, socklen_t len)
{
	return call(u,
		    &(struct drill_call){ .step = step_bind, .fd = fd, .to = addr, .to_len = len });
}

static bool step_listen(struct drill *d, struct drill_call *c)
{
	c->result = socket_listen(d->sockets, c->sock, c->flags, d->now);
	return true;
}

static int do_listen(void *u, int fd, int backlog)
{
	return call(u, &(struct drill_call){ .step = step_listen, .fd = fd, .flags = backlog });
}

/* Would-block: is it to wait? False: RESULT is final. */
static bool waits(struct drill *d, struct drill_call *c, enum socket_op op)
{
	return !socket_nonblock(d->sockets, c->sock) &&
	       socket_wait(d->sockets, c->sock, op, c->flags, c->done, c->asked, c->began,
			   &c->events, &c->until, &c->result, d->now);
}

static bool step_accept(struct drill *d, struct drill_call *c)
{
	sock_id conn = 0;

	c->result = socket_accept(d->sockets, c->sock, &conn, c->from, c->from_len, d->now);
	if (c->result == -EAGAIN && waits(d, c, SOCKET_ACCEPT))
		return false;
	if (!c->result) {
		c->result = drill_token(d, conn, 0);
		if (c->result < 0)
			socket_close(d->sockets, conn, d->now);
	}
	return true;
}

static int do_accept(void *u, int fd, drill_addr addr, socklen_t *len)
{
	return call(u, &(struct drill_call){
			       .step = step_accept, .fd = fd, .from = addr, .from_len = len });
}

static bool step_connect(struct drill *d, struct drill_call *c)
{
	c->result = socket_connect(d->sockets, c->sock, c->to, c->to_len, d->now);
	if (c->result != -EINPROGRESS && (c->result != -EALREADY || !c->started))
		return true;
	c->started = true;
	return !waits(d, c, SOCKET_CONNECT);
}

static int do_connect(void *u, int fd, drill_addr_in addr, socklen_t len)
{
	return call(u, &(struct drill_call){
			       .step = step_connect, .fd = fd, .to = addr, .to_len = len });
}

static bool step_shutdown(struct drill *d, struct drill_call *c)
{
	c->result = socket_shutdown(d->sockets, c->sock, c->flags, d->now);
	return true;
}

static int do_shutdown(void *u, int fd, int how)
{
	return call(u, &(struct drill_call){ .step = step_shutdown, .fd = fd, .flags = how });
}

/* SO_LINGER. */
static bool step_close(struct drill *d, struct drill_call *c)
{
	if (!c->started) {
		c->started = true;
		c->result = socket_close(d->sockets, c->sock, d->now);
		if (c->result)
			return true;
	}
	if (waits(d, c, SOCKET_CLOSE))
		return false;
	c->result = 0;
	return true;
}

static int do_close(void *u, int fd)
{
	struct drill *d = u;
	struct drill_call c = { .step = step_close, .fd = fd };
	long r = 0;

	drill_lock(d);
	c.sock = drill_sock(d, fd);
	if (c.sock) {
		drill_forget(d, fd);
		r = drill_call(d, &c);
	} else if (drill_set(d, fd)) {
		socket_epoll_free(d->sockets, drill_set(d, fd));
		drill_forget(d, fd);
	} else {
		r = close(fd) ? -errno : 0;
	}
	drill_unlock(d);
	return (int)drill_result(r);
}

static int do_getsockopt(void *u, int fd, int level, int name, void *value, socklen_t *len)
{
	struct drill *d = u;
	int r;

	drill_lock(d);
	r = drill_sock(d, fd) ? socket_getsockopt(d->sockets, drill_sock(d, fd), level, name, value,
						  len, d->now)
			      : -ENOTSOCK;
	drill_unlock(d);
	return (int)drill_result(r);
}

static int do_setsockopt(void *u, int fd, int level, int name, const void *value, socklen_t len)
{
	struct drill *d = u;
	int r;

	drill_lock(d);
	r = drill_sock(d, fd) ? socket_setsockopt(d->sockets, drill_sock(d, fd), level, name, value,
						  len, d->now)
			      : -ENOTSOCK;
	drill_unlock(d);
	return (int)drill_result(r);
}

static int do_fcntl(void *u, int fd, int command, ...)
{
	struct drill *d = u;
	long arg, r;
	va_list ap;
	sock_id id;

	va_start(ap, command);
	arg = va_arg(ap, long);
	va_end(ap);
	drill_lock(d);
	id = drill_sock(d, fd);
	if (id && command == F_GETFL) {
		r = O_RDWR | (socket_nonblock(d->sockets, id) ? O_NONBLOCK : 0);
	} else if (id && command == F_SETFL) {
		socket_set_nonblock(d->sockets, id, arg & O_NONBLOCK);
		r = 0;
	} else {
		r = fcntl(fd, command, arg);
		r = r < 0 ? -errno : r;
	}
	drill_unlock(d);
	return (int)drill_result(r);
}

static int do_ioctl(void *u, int fd, unsigned long request, ...)
{
	struct drill *d = u;
	void *arg;
	va_list ap;
	long r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	drill_lock(d);
	if (drill_sock(d, fd)) {
		r = socket_ioctl(d->sockets, drill_sock(d, fd), request, arg, d->now);
	} else {
		r = ioctl(fd, request, arg);
		r = r < 0 ? -errno : r;
	}
	drill_unlock(d);
	return (int)drill_result(r);
}

void drill_names(struct packetdrill_interface *i)
{
	i->socket = do_socket;
	i->bind = do_bind;
	i->listen = do_listen;
	i->accept = do_accept;
	i->connect = do_connect;
	i->shutdown = do_shutdown;
	i->close = do_close;
	i->getsockopt = do_getsockopt;
	i->setsockopt = do_setsockopt;
	i->fcntl = do_fcntl;
	i->ioctl = do_ioctl;
}
