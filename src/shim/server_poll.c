/* SPDX-License-Identifier: MIT */
/*
 * Readiness for programs: poll(2) of several sockets, and the sets of epoll(7).
 *
 * A set has a bell, an eventfd that is readable exactly while the set has something to report. The
 * program's real epoll descriptor holds it beside the kernel's own descriptors. The board tells the
 * same without a call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shim/server_inside.h"

#define POLLS_MAX (SHIM_DATA / sizeof(struct shim_poll))
#define TAKE_MAX  512u /* what nginx asks for */
_Static_assert(TAKE_MAX * sizeof(struct shim_event) <= SHIM_DATA, "no room for events");

static void bell_ring(int bell)
{
	uint64_t one = 1;

	/* It fails only when it has been rung 2^64 - 2 times already. */
	if (write(bell, &one, sizeof(one)) < 0)
		return;
}

/* ---- poll(2) -------------------------------------------------------------------------------- */

/* How many are ready, and which: into the program's memory. */
static int64_t look(struct call *call)
{
	struct shim_server *s = call->client->server;
	struct shim_poll *shared = (struct shim_poll *)(void *)call_slot(call)->data;
	int64_t n = 0;

	for (unsigned i = 0; i < call->polls_n; i++) {
		const struct shim_poll *p = &call->polls[i];
		const struct held *h = held_told(s, p->sock);
		short all = POLLERR | POLLHUP, got = POLLNVAL;

		if (h)
			got = socket_readiness(s->sockets, h->id) & (short)(p->events | all);
		shared[i].revents = got;
		n += got != 0;
	}
	return n;
}

static int wait_for_all(struct call *call)
{
	struct shim_server *s = call->client->server;
	struct wait *waits = reallocarray(call->waits, call->polls_n + 1, sizeof(*waits));

	if (!waits)
		return -ENOMEM;
	call->waits = waits;
	call->waits_n = call->polls_n;
	for (unsigned i = 0; i < call->polls_n; i++) {
		struct held *h = held_told(s, call->polls[i].sock);

		waits[i] = (struct wait){ .call = call };
		waits[i].events = (short)(call->polls[i].events | POLLERR | POLLHUP);
		list_init(&waits[i].node);
		if (h)
			list_push_back(&h->waits, &waits[i].node);
	}
	return 0;
}

void poll_ask(struct call *call)
{
	uint64_t n = (uint64_t)call->ask.arg[0];
	int64_t timeout = call->ask.arg[1], ready;
	struct shim_poll *polls;
	int err;

	if (n > POLLS_MAX) {
		call_finish(call, -EINVAL);
		return;
	}
	if (n > call->polls_n || !call->polls) {
		polls = reallocarray(call->polls, n + 1, sizeof(*polls));
		if (!polls) {
			call_finish(call, -ENOMEM);
			return;
		}
		call->polls = polls;
	}
	call->polls_n = (unsigned)n;
	memcpy(call->polls, call_slot(call)->data, n * sizeof(*polls));
	ready = look(call);
	if (ready || timeout == 0 || call->ask.arg[2] == SHIM_POLL_DISARM) {
		call_finish(call, ready);
		return;
	}
	/* A signal that came before it was taken: it is asked for once. */
	if (atomic_load(&call_slot(call)->cancel)) {
		call_finish(call, -EINTR);
		return;
	}
	/* The bell may be on its way still. */
	if (call->ask.arg[2] == SHIM_POLL_ARM && call->bell < 0)
		client_hear(call->client);
	err = wait_for_all(call);
	if (err || (call->ask.arg[2] == SHIM_POLL_ARM && call->bell < 0)) {
		call_finish(call, err ? err : -EINVAL);
		return;
	}
	if (call->ask.arg[2] == SHIM_POLL_ARM) {
		unsigned waits = call->waits_n;

		/* The call is over; what it waits for is not. */
		call->waits_n = 0;
		call_finish(call, 0);
		call->waits_n = waits;
		call->armed = true;
		return;
	}
	if (timeout > 0)
		call->until = call->began + (uint64_t)timeout;
	call_hold(call);
}

void poll_try(struct call *call)
{
	struct shim_server *s = call->client->server;
	int64_t ready;

	if (call->armed) {
		call_unpark(call);
		bell_ring(call->bell);
		return;
	}
	ready = look(call);
	if (ready || call->until <= s->now)
		call_finish(call, ready);
	else if (atomic_load(&call_slot(call)->cancel))
		call_finish(call, -EINTR);
}

/* ---- Sets of epoll(7) ----------------------------------------------------------------------- */

static struct set *set_find(const struct call *call, uint32_t *place)
{
	struct shim_server *s = call->client->server;
	uint32_t i = (uint32_t)call->ask.sock;

	*place = i;
	if (i >= SHIM_EPOLLS || s->sets[i].token != call->ask.sock || !call->ask.sock ||
	    !(call->client->sets[i / 64] >> (i % 64) & 1))
		return NULL;
	return &s->sets[i];
}

/* Bring its bell to what the engine says. */
static void set_look(struct shim_server *s, struct set *set)
{
	uint32_t place = (uint32_t)(set - s->sets);
	bool ready = socket_epoll_ready(s->sockets, set->id);
	uint64_t count;

	if (ready == set->ready)
		return;
	set->ready = ready;
	atomic_store(&s->board->epoll_ready[place], ready);
	if (ready)
		bell_ring(set->bell);
	else if (read(set->bell, &count, sizeof(count)) < 0)
		return;
}

int64_t set_new(struct call *call, struct shim_answer *answer)
{
	struct shim_server *s = call->client->server;
	uint32_t place;
	struct set *set;
	int bell = -1, copy = -1, err;
	epoll_id id;

	err = socket_epoll_new(s->sockets, &id);
	if (err)
		return err;
	place = SOCKET_PLACE(id);
	if (place < SHIM_EPOLLS)
		bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (bell >= 0)
		copy = fcntl(bell, F_DUPFD_CLOEXEC, 0);
	err = copy < 0 ? -ENFILE : client_gift(call->client, call->slot, copy);
	if (err) {
		if (bell >= 0)
			close(bell);
		socket_epoll_free(s->sockets, id);
		return err;
	}
	set = &s->sets[place];
	*set = (struct set){ .id = id, .token = token_new(s, place), .bell = bell, .refs = 1 };
	set->holder = -1;
	atomic_store(&s->board->epoll_ready[place], 0);
	call->client->sets[place / 64] |= 1ull << (place % 64);
	answer->sock = set->token;
	answer->id = id;
	answer->arg[0] = place;
	answer->descriptors = 1;
	return 0;
}

int64_t set_ctl(struct call *call)
{
	struct shim_server *s = call->client->server;
	struct socket_event event = { .events = (uint32_t)call->ask.arg[3],
				      .data = (uint64_t)call->ask.arg[4] };
	struct held *h = held_told(s, (shim_token)call->ask.arg[1]);
	uint32_t place;
	struct set *set = set_find(call, &place);
	int err;

	if (!h || !set)
		return -EBADF;
	held_owner(s, h, call->client, (int32_t)call->ask.arg[2]);
	err = socket_epoll_ctl(s->sockets, set->id, (int)call->ask.arg[0], h->id,
			       (int)call->ask.arg[2], &event);
	set_look(s, set);
	return err;
}

int64_t set_take(struct call *call, struct shim_answer *answer)
{
	struct shim_server *s = call->client->server;
	struct shim_event *out = (struct shim_event *)(void *)call_slot(call)->data;
	uint64_t max = (uint64_t)call->ask.arg[0], done = 0;
	struct socket_event events[TAKE_MAX];
	uint32_t place;
	struct set *set = set_find(call, &place);

	if (!set)
		return -EBADF;
	if (max > TAKE_MAX)
		max = TAKE_MAX; /* all at once: a level-triggered one would come twice */
	max = socket_epoll_take(s->sockets, set->id, events, (unsigned)max);
	for (; done < max; done++)
		out[done] = (struct shim_event){ .events = events[done].events,
						 .data = events[done].data };
	set_look(s, set);
	answer->data_len = (uint32_t)(done * sizeof(*out));
	return (int64_t)done;
}

static bool has_set(const struct client *c, uint32_t place)
{
	return place < SHIM_EPOLLS && c->sets[place / 64] >> (place % 64) & 1;
}

/* Nobody has it any more. */
static void set_free(struct shim_server *s, struct set *set)
{
	if (set->refs || set->holder >= 0)
		return;
	if (!s->broken)
		socket_epoll_free(s->sockets, set->id);
	close(set->bell);
	set->token = 0;
}

void set_leave(struct client *c, uint32_t place)
{
	struct set *set = &c->server->sets[place % SHIM_EPOLLS];

	if (!has_set(c, place))
		return;
	c->sets[place / 64] &= ~(1ull << (place % 64));
	set->refs--;
	set_free(c->server, set);
}

static void holder_drop(struct shim_server *s, struct set *set)
{
	if (set->holder < 0)
		return;
	loop_unwatch(s->loop, set->holder);
	close(set->holder);
	set->holder = -1;
}

void set_close(struct shim_server *s, struct set *set)
{
	set->refs = 0;
	holder_drop(s, set);
	set_free(s, set);
}

static void holder_ready(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct shim_server *s = arg;

	(void)events;
	s->now = now;
	for (uint32_t i = 0; i < SHIM_EPOLLS; i++)
		if (s->sets[i].token && s->sets[i].holder == fd) {
			holder_drop(s, &s->sets[i]);
			set_free(s, &s->sets[i]);
		}
}

int set_hold(struct client *c, const struct shim_message *m, int *fd)
{
	struct set *set = &c->server->sets[m->slot % SHIM_EPOLLS];

	if (*fd < 0)
		return -EPROTO;
	/* It may have been freed meanwhile: calls go another way than messages. */
	if (!has_set(c, m->slot))
		return 0;
	holder_drop(c->server, set);
	if (loop_watch(c->server->loop, *fd, EPOLLHUP, holder_ready, c->server))
		return -EPROTO;
	set->holder = *fd;
	set->inode = m->inode;
	set->key = m->key;
	*fd = -1;
	return 0;
}

int64_t set_find_held(struct call *call, struct shim_answer *answer)
{
	struct client *c = call->client;

	for (uint32_t i = 0; i < SHIM_EPOLLS; i++) {
		struct set *set = &c->server->sets[i];

		if (!set->token || set->holder < 0 || set->inode != (uint64_t)call->ask.arg[0])
			continue;
		set->refs += !has_set(c, i);
		c->sets[i / 64] |= 1ull << (i % 64);
		answer->sock = set->token;
		answer->arg[0] = -1;
		answer->arg[1] = i;
		answer->data_len = sizeof(set->key);
		memcpy(call_slot(call)->data, &set->key, sizeof(set->key));
		return 0;
	}
	return -ENOENT;
}

void sets_inherit(struct client *child, const struct client *c)
{
	for (uint32_t i = 0; i < SHIM_EPOLLS; i++)
		if ((c->sets[i / 64] & ~child->sets[i / 64]) >> (i % 64) & 1) {
			child->sets[i / 64] |= 1ull << (i % 64);
			c->server->sets[i].refs++;
		}
}

void sets_woken(struct shim_server *s)
{
	epoll_id ids[64];
	unsigned n;

	if (s->broken || inline_nobody_waits(s))
		return;
	do {
		n = sockets_epolls_woken(s->sockets, ids, 64);
		s->touched |= n > 0;
		for (unsigned i = 0; i < n; i++) {
			struct set *set = &s->sets[SOCKET_PLACE(ids[i]) % SHIM_EPOLLS];

			if (set->token && set->id == ids[i])
				set_look(s, set);
		}
	} while (n == 64);
}
