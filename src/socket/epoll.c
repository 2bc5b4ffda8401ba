/* SPDX-License-Identifier: MIT */
/*
 * epoll(7) for the sockets of one struct sockets: level, edge, one-shot, exclusive, in the kernel's
 * order. A wake-up puts a watch on its set's list of what may be ready; taking asks each whether it
 * is, and puts what is level-triggered back to the end.
 *
 * A listener that connections wait at is reported with few others, and before what had to stay: a
 * program that accepts one a turn, as nginx does, would otherwise accept the more seldom the more
 * clients it has, and their SYNs come again, later each time.
 */
#include "socket/sock.h"

#include <poll.h>
#include <sys/epoll.h>

#define SLAB	      (16u * 1024)
#define WITH_LISTENER 4u /* reported after a listener */
#define NO_EVENTS     (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)
#define WITH_EXCL                                                                                  \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)

struct epoll_set {
	struct list woken;   /* sockets.epolls_woken */
	struct list watches; /* struct watch, by set */
	struct list ready;
	uint64_t gen;
	uint32_t waiting; /* threads that sleep on it, as told by socket_epoll_waiting() */
	bool told;
};

/* One descriptor in one set. */
struct watch {
	struct list by_sock; /* sock.watches: exclusive ones last */
	struct list by_set;
	struct list ready; /* epoll_set.ready */
	struct epoll_set *set;
	struct sock *so;
	uint32_t events;
	uint64_t data;
	int token;
};

void epoll_init(struct sockets *s)
{
	pool_init(&s->epolls, s->mem, sizeof(struct epoll_set), 8, s->config.epolls_max, SLAB);
	pool_init(&s->watches, s->mem, sizeof(struct watch), 8, UINT32_MAX >> 3, SLAB);
	list_init(&s->epolls_woken);
}

void epoll_destroy(struct sockets *s)
{
	pool_destroy(&s->watches);
	pool_destroy(&s->epolls);
}

static struct epoll_set *set_get(struct sockets *s, epoll_id id)
{
	struct epoll_set *e = id ? pool_at(&s->epolls, SOCKET_PLACE(id)) : NULL;

	return e && e->gen == id >> SOCKET_PLACE_BITS ? e : NULL;
}

int socket_epoll_new(struct sockets *s, epoll_id *set)
{
	struct epoll_set *e = pool_alloc(&s->epolls, NULL);

	if (!e)
		return -EMFILE;
	memset(e, 0, sizeof(*e));
	list_init(&e->woken);
	list_init(&e->watches);
	list_init(&e->ready);
	e->gen = ++s->gen;
	*set = e->gen << SOCKET_PLACE_BITS | pool_index(&s->epolls, e);
	return 0;
}

/* What it has to report is not what it was. */
static void set_changed(struct sockets *s, struct epoll_set *e)
{
	s->wakes++;
	if (!list_linked(&e->woken))
		list_push_back(&s->epolls_woken, &e->woken);
}

static void watch_free(struct sockets *s, struct watch *w)
{
	if (list_linked(&w->ready))
		set_changed(s, w->set);
	list_del(&w->by_sock);
	list_del(&w->by_set);
	list_del(&w->ready);
	pool_free(&s->watches, w);
}

void socket_epoll_free(struct sockets *s, epoll_id set)
{
	struct epoll_set *e = set_get(s, set);

	if (!e)
		return;
	while (!list_empty(&e->watches))
		watch_free(s, list_first(&e->watches, struct watch, by_set));
	list_del(&e->woken);
	e->gen = 0;
	pool_free(&s->epolls, e);
}

void epoll_forget(struct sockets *s, struct sock *so)
{
	while (!list_empty(&so->watches))
		watch_free(s, list_first(&so->watches, struct watch, by_sock));
}

static void make_ready(struct sockets *s, struct watch *w)
{
	if (!list_linked(&w->ready))
		list_push_back(&w->set->ready, &w->ready);
	set_changed(s, w->set);
}

/* MASK of poll.h, whose bits are epoll's; 0: anything. Of the exclusive ones, the first that
 * sleeps.
 */
void epoll_wake(struct sockets *s, struct sock *so, uint32_t mask)
{
	struct list *pos;

	list_for_each (pos, &so->watches) {
		struct watch *w = container_of(pos, struct watch, by_sock);

		if (!(w->events & ~NO_EVENTS) || (mask && !(w->events & mask)))
			continue;
		make_ready(s, w);
		if (mask && w->events & EPOLLEXCLUSIVE && (w->set->waiting || !w->set->told))
			return;
	}
}

void socket_epoll_waiting(struct sockets *s, epoll_id set, int change)
{
	struct epoll_set *e = set_get(s, set);

	if (!e)
		return;
	e->told = true;
	e->waiting = change < 0 && !e->waiting ? 0 : e->waiting + (uint32_t)change;
}

unsigned sockets_epolls_woken(struct sockets *s, epoll_id *ids, unsigned max)
{
	unsigned n = 0;

	sockets_poll(s, 0);
	while (n < max && !list_empty(&s->epolls_woken)) {
		struct epoll_set *e = list_first(&s->epolls_woken, struct epoll_set, woken);

		list_del(&e->woken);
		ids[n++] = e->gen << SOCKET_PLACE_BITS | pool_index(&s->epolls, e);
	}
	return n;
}

void socket_epolls_touch(struct sockets *s, sock_id id)
{
	struct sock *so = sock_get(s, id);
	struct list *pos;

	if (!so)
		return;
	list_for_each (pos, &so->watches) {
		struct watch *w = container_of(pos, struct watch, by_sock);

		if (list_linked(&w->ready))
			set_changed(s, w->set);
	}
}

/* ---- epoll_ctl(2) ---- */

static uint32_t watch_ready(struct sockets *s, const struct watch *w)
{
	uint32_t mask = (uint16_t)socket_readiness(s, sock_id_of(s, w->so));

	return mask & w->events;
}

static struct watch *watch_find(const struct epoll_set *e, const struct sock *so, int token)
{
	struct list *pos;

	list_for_each (pos, &so->watches) {
		struct watch *w = container_of(pos, struct watch, by_sock);

		if (w->set == e && w->token == token)
			return w;
	}
	return NULL;
}

static int watch_add(struct sockets *s, struct epoll_set *e, struct sock *so, int token,
		     const struct socket_event *event)
{
	struct watch *w = pool_alloc(&s->watches, NULL);

	if (!w)
		return -ENOSPC;
	memset(w, 0, sizeof(*w));
	w->set = e;
	w->so = so;
	w->token = token;
	w->data = event->data;
	w->events = event->events | EPOLLERR | EPOLLHUP;
	list_init(&w->ready);
	list_push_back(&e->watches, &w->by_set);
	if (w->events & EPOLLEXCLUSIVE)
		list_push_back(&so->watches, &w->by_sock);
	else
		list_push_front(&so->watches, &w->by_sock);
	if (watch_ready(s, w))
		make_ready(s, w);
	return 0;
}

int socket_epoll_ctl(struct sockets *s, epoll_id set, int op, sock_id id, int token,
		     const struct socket_event *event)
{
	struct epoll_set *e = set_get(s, set);
	struct sock *so = sock_get(s, id);
	struct watch *w;

	if (!e || !so)
		return -EBADF;
	sockets_poll(s, 0); /* what has been is no news to a new watch */
	if (op != EPOLL_CTL_DEL && event->events & EPOLLEXCLUSIVE &&
	    (op == EPOLL_CTL_MOD || event->events & ~WITH_EXCL))
		return -EINVAL;
	w = watch_find(e, so, token);
	switch (op) {
	case EPOLL_CTL_ADD:
		return w ? -EEXIST : watch_add(s, e, so, token, event);
	case EPOLL_CTL_MOD:
		if (!w)
			return -ENOENT;
		if (w->events & EPOLLEXCLUSIVE)
			return -EINVAL;
		w->events = event->events | EPOLLERR | EPOLLHUP;
		w->data = event->data;
		if (watch_ready(s, w))
			make_ready(s, w);
		return 0;
	case EPOLL_CTL_DEL:
		if (!w)
			return -ENOENT;
		watch_free(s, w);
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- epoll_wait(2) ---- */

/* Connections wait at it, which has told EVENTS. */
static bool awaits_accept(struct sockets *s, const struct watch *w, uint32_t events)
{
	const struct tcb *tcb;

	if (!sock_is_stream(w->so) || (events & (EPOLLIN | EPOLLOUT)) != EPOLLIN)
		return false;
	tcb = conn_tcb(s->stack, w->so->handle);
	return tcb && tcb->state == CPL_LISTEN;
}

/* AGAIN, what was reported and is level-triggered, goes to the end; CUT: but listeners do not. */
static void put_back(struct sockets *s, struct epoll_set *e, struct list *again, bool cut)
{
	while (!list_empty(again)) {
		struct watch *w = list_first(again, struct watch, ready);

		list_del(&w->ready);
		if (cut && awaits_accept(s, w, watch_ready(s, w)))
			list_push_front(&e->ready, &w->ready);
		else
			list_push_back(&e->ready, &w->ready);
	}
}

unsigned socket_epoll_take(struct sockets *s, epoll_id set, struct socket_event *events,
			   unsigned max)
{
	struct epoll_set *e = set_get(s, set);
	struct list again;
	unsigned n = 0;
	bool cut = false;

	sockets_poll(s, 0);
	if (!e)
		return 0;
	list_init(&again);
	while (n < max && !list_empty(&e->ready)) {
		struct watch *w = list_first(&e->ready, struct watch, ready);
		uint32_t now = watch_ready(s, w);

		list_del(&w->ready);
		if (!now)
			continue;
		events[n++] = (struct socket_event){ .events = now, .data = w->data };
		if (max - n > WITH_LISTENER && awaits_accept(s, w, now)) {
			max = n + WITH_LISTENER;
			cut = true;
		}
		if (w->events & EPOLLONESHOT)
			w->events &= NO_EVENTS;
		else if (!(w->events & EPOLLET))
			list_push_back(&again, &w->ready);
	}
	put_back(s, e, &again, cut && !list_empty(&e->ready));
	return n;
}

bool socket_epoll_ready(struct sockets *s, epoll_id set)
{
	struct epoll_set *e = set_get(s, set);

	sockets_poll(s, 0);
	while (e && !list_empty(&e->ready)) {
		struct watch *w = list_first(&e->ready, struct watch, ready);

		if (watch_ready(s, w))
			return true;
		list_del(&w->ready);
	}
	return false;
}
