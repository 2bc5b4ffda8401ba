/* SPDX-License-Identifier: MIT */
/* poll(2) over descriptors of ours and others', and epoll(7) over ours. */
#include <errno.h>

#include "packetdrill/drill.h"

static uint64_t deadline(const struct drill *d, int timeout_ms)
{
	return timeout_ms < 0 ? CPL_NEVER : d->now + (uint64_t)timeout_ms * CPL_MS;
}

static short readiness(struct drill *d, const struct pollfd *p)
{
	struct pollfd other = *p;

	if (p->fd < 0)
		return 0;
	if (drill_sock(d, p->fd))
		return socket_readiness(d->sockets, drill_sock(d, p->fd)) &
		       (p->events | POLLERR | POLLHUP);
	if (drill_set(d, p->fd))
		return socket_epoll_ready(d->sockets, drill_set(d, p->fd)) ? p->events & POLLIN : 0;
	other.revents = 0;
	poll(&other, 1, 0);
	return other.revents;
}

static bool step_poll(struct drill *d, struct drill_call *c)
{
	c->result = 0;
	for (nfds_t i = 0; i < c->polled_n; i++) {
		c->polled[i].revents = readiness(d, &c->polled[i]);
		c->result += !!c->polled[i].revents;
	}
	if (!c->started) {
		c->started = true;
		c->until = deadline(d, c->flags);
	}
	return c->result || d->now >= c->until;
}

static int do_poll(void *u, struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct drill *d = u;
	struct drill_call c = { .step = step_poll, .flags = timeout_ms };
	long r;

	c.polled = fds;
	c.polled_n = n;
	drill_lock(d);
	r = drill_call(d, &c);
	drill_unlock(d);
	return (int)drill_result(r);
}

static int do_epoll_create(void *u, int size)
{
	struct drill *d = u;
	epoll_id set = 0;
	int r = -EINVAL;

	drill_lock(d);
	if (size > 0)
		r = socket_epoll_new(d->sockets, &set);
	if (!r) {
		r = drill_token(d, 0, set);
		if (r < 0)
			socket_epoll_free(d->sockets, set);
	}
	drill_unlock(d);
	return (int)drill_result(r);
}

static int do_epoll_ctl(void *u, int set, int op, int fd, struct epoll_event *event)
{
	struct drill *d = u;
	struct socket_event ev = { 0 };
	int r = -EINVAL;

	if (event)
		ev = (struct socket_event){ event->events, event->data.u64 };
	drill_lock(d);
	if (!event && op != EPOLL_CTL_DEL)
		r = -EFAULT;
	else if (drill_set(d, set))
		r = drill_sock(d, fd) ? socket_epoll_ctl(d->sockets, drill_set(d, set), op,
							 drill_sock(d, fd), fd, &ev)
				      : -EPERM;
	drill_unlock(d);
	return (int)drill_result(r);
}

static bool step_epoll(struct drill *d, struct drill_call *c)
{
	struct socket_event ev[64];
	unsigned n = c->max < 64 ? (unsigned)c->max : 64;

	n = socket_epoll_take(d->sockets, c->set, ev, n);
	for (unsigned i = 0; i < n; i++) {
		c->reported[i].events = ev[i].events;
		c->reported[i].data.u64 = ev[i].data;
	}
	if (!c->started) {
		c->started = true;
		c->until = deadline(d, c->flags);
	}
	c->result = n;
	return n || d->now >= c->until;
}

static int do_epoll_wait(void *u, int set, struct epoll_event *events, int max, int timeout_ms)
{
	struct drill *d = u;
	struct drill_call c = { .step = step_epoll, .flags = timeout_ms };
	long r = -EINVAL;

	drill_lock(d);
	c.set = drill_set(d, set);
	c.reported = events;
	c.max = max;
	if (c.set && max > 0)
		r = drill_call(d, &c);
	drill_unlock(d);
	return (int)drill_result(r);
}

void drill_ready(struct packetdrill_interface *i)
{
	i->poll = do_poll;
	i->epoll_create = do_epoll_create;
	i->epoll_ctl = do_epoll_ctl;
	i->epoll_wait = do_epoll_wait;
}
