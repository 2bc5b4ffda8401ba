/* SPDX-License-Identifier: MIT */
/* The server's part of shim/inline.h: the lock, the lease, and when to leave the device alone. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "host/arena.h"
#include "shim/inline.h"
#include "shim/server_inside.h"

#define SERVER_ID UINT64_MAX /* no client's key: those are never INLINE_ANY */
#define IDLE_NS	  (10 * CPL_MS)
/*
 * So long does the server leave alone who has been at it all the time: each look takes a core from
 * the program or from its peer, and two that were driven onto one core stay there for a while.
 */
#define STEADY_NS (4 * INLINE_TAKE_NS)

int shim_server_lock(struct shim_server *s)
{
	int err = s->arena ? arena_lock(s->arena) : 0;

	s->broken |= err < 0;
	if (err || !s->arena || s->shared->bound == SERVER_ID)
		return err;
	s->shared->bound = SERVER_ID;
	stack_set_code(s->shared->stack, &s->code);
	return 0;
}

void shim_server_unlock(struct shim_server *s)
{
	if (s->arena)
		arena_unlock(s->arena);
}

/*
 * A program reads the device, or did a moment ago. One that was stopped does so no more: while
 * others wait it is not relied on, and both read.
 */
static bool driven(const struct shim_server *s)
{
	const struct inline_state *sh = s->shared;

	return sh && atomic_load(&sh->lease) &&
	       (s->now < atomic_load(&sh->drove) + INLINE_TAKE_NS ||
		(atomic_load(&sh->driver) && !atomic_load(&sh->waits)));
}

/* After so long, to which the last look at DROVE adds. */
static uint64_t patience(struct shim_server *s, uint64_t drove)
{
	uint64_t more = drove != s->drove_seen ? 2 * s->patience : 0;

	s->drove_seen = drove;
	if (atomic_load(&s->shared->waits) || more < INLINE_TAKE_NS)
		more = INLINE_TAKE_NS;
	s->patience = more < STEADY_NS ? more : STEADY_NS;
	return s->patience;
}

/* When to look again whether it still does. */
static uint64_t look_at(struct shim_server *s)
{
	uint64_t drove = atomic_load(&s->shared->drove), more = patience(s, drove);

	if (!atomic_load(&s->shared->driver) || atomic_load(&s->shared->waits))
		return drove + more;
	if (s->now < drove + IDLE_NS)
		return s->now + more;
	/* It waits and nothing happens: it will ring when it stops. */
	atomic_store(&s->shared->ring, 1);
	return atomic_load(&s->shared->driver) ? CPL_NEVER : s->now;
}

/*
 * Asleep until there is something to do, or nobody drives any more. Whoever drives is not held up
 * by that: the lock is not taken.
 */
static void rest(struct shim_server *s)
{
	struct pollfd p = { .fd = loop_fd(s->loop), .events = POLLIN };
	int ready = 0;

	s->now = loop_clock();
	while (!ready && driven(s)) {
		uint64_t until = look_at(s), wait_ns;
		struct timespec t;

		until = until < s->rest_until ? until : s->rest_until;
		if (until <= s->now)
			return;
		wait_ns = until - s->now;
		t = (struct timespec){ (time_t)(wait_ns / CPL_SECOND),
				       (long)(wait_ns % CPL_SECOND) };
		ready = ppoll(&p, 1, until == CPL_NEVER ? NULL : &t, NULL);
		s->now = loop_clock();
	}
}

/* As loop_on_wait() wants it. */
static int on_wait(void *arg, bool waits)
{
	struct shim_server *s = arg;

	if (!waits)
		return shim_server_lock(s);
	shim_server_unlock(s);
	if (!s->driven || !s->resting)
		return 0;
	rest(s);
	return 1;
}

int shim_server_inline(struct shim_server *s, const struct shim_inline *config)
{
	struct inline_state *shared = arena_root(config->arena);

	s->nudge = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->nudge < 0)
		return -errno;
	s->arena = config->arena;
	s->code = (struct stack_code){ arena_alloc, arena_release, s->arena, sum_best(),
				       sum_copy_best() };
	s->arena_fd = config->arena_fd;
	s->device = config->link->fd;
	s->inline_all = config->all;
	shared->stack = config->stack;
	shared->sockets = s->sockets;
	shared->ifindex = config->ifindex;
	shared->lo = config->lo;
	shared->iface = config->link->iface;
	s->shared = shared;
	loop_on_wait(s->loop, on_wait, s);
	return shim_server_lock(s);
}

bool shim_server_broken(const struct shim_server *s)
{
	return s && s->broken;
}

/* ---- Who may -------------------------------------------------------------------------------- */

static void nudge(struct shim_server *s)
{
	uint64_t one = 1;

	/* It fails only when it was written 2^64 - 2 times already. */
	if (write(s->nudge, &one, sizeof(one)) < 0)
		return;
}

void inline_lease(struct shim_server *s)
{
	uint64_t lease = 0;

	if (!s->shared)
		return;
	if (s->inline_all) {
		lease = INLINE_ANY;
	} else if (s->clients_n == 1) {
		const struct client *c = list_first(&s->clients, struct client, node);

		lease = c->inlined ? c->key : 0;
	}
	if (atomic_exchange(&s->shared->lease, lease) != lease && atomic_load(&s->shared->driver))
		nudge(s);
}

void inline_end(struct shim_server *s)
{
	if (!s->shared)
		return;
	atomic_store(&s->shared->lease, 0);
	nudge(s);
	s->shared = NULL;
	s->driven = false;
}

void inline_left(struct shim_server *s, const struct client *c)
{
	uint64_t key = c->key;

	if (s->shared && c->inlined)
		atomic_compare_exchange_strong(&s->shared->driver, &key, 0);
	if (s->shared && c->counted)
		atomic_fetch_sub(&s->shared->waits, 1);
}

unsigned inline_offer(struct client *c, struct shim_hello *hello, int fds[3])
{
	struct shim_server *s = c->server;

	/* It can spoil the memory: whoever runs as another user is not asked to be trusted. */
	if (s->shared && c->uid != geteuid()) {
		/* Nor can it say when it waits: as if it always did. */
		c->counted = true;
		atomic_fetch_add(&s->shared->waits, 1);
	}
	if (!s->shared || c->counted)
		return 0;
	c->inlined = true;
	hello->arena = (uintptr_t)s->arena;
	fds[0] = s->arena_fd;
	fds[1] = s->device;
	fds[2] = s->nudge;
	return 3;
}

/* ---- Who does ------------------------------------------------------------------------------- */

bool inline_driven(struct shim_server *s)
{
	s->driven = driven(s);
	loop_pause(s->loop, s->driven);
	return s->driven;
}

bool inline_nobody_waits(const struct shim_server *s)
{
	return s->driven && !atomic_load(&s->shared->waits);
}

/* What was done here may be what it waits for. */
void inline_tell(struct shim_server *s)
{
	if (s->touched && s->shared && atomic_load(&s->shared->driver))
		nudge(s);
	s->touched = false;
}
