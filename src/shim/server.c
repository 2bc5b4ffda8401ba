/* SPDX-License-Identifier: MIT */
/*
 * The server as a whole: opening, closing, and its turn.
 *
 * Crossing to a sleeping thread costs far more than a call is worth (65 us against 1 here), so the
 * server goes on looking for a while after it had work, before it sleeps, where there are
 * processors enough; who asks it when it sleeps has to ring. Requests are served where the loop
 * takes the stack's events: between input and output, so that what a program sends leaves in the
 * same turn.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/server_inside.h"

#define SPIN_NS	    (150 * 1000ull) /* about twice what a sleep and a wake-up cost */
#define SPIN_SHORT  (20 * 1000ull)  /* from one call of a program to its next */
#define SPIN_MISSES 8
#define WOKEN_BATCH 64
#define TAKE_ROUNDS 4 /* of serving, before what was made is sent */

/* ---- Opening and closing -------------------------------------------------------------------- */

static void limit_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Write by us alone from now on: who gets the descriptor can only read. */
static int board_open(struct shim_server *s)
{
	size_t size = sizeof(struct shim_board);

	s->board_fd = memfd_create("couplet-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->board_fd < 0 || ftruncate(s->board_fd, (off_t)size))
		return -errno;
	s->board = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->board_fd, 0);
	if (s->board == MAP_FAILED) {
		s->board = NULL;
		return -errno;
	}
	if (fcntl(s->board_fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL))
		return -errno;
	return 0;
}

static void tables_init(struct shim_server *s)
{
	memset(s->by_ino, 0xff, sizeof(s->by_ino));
	list_init(&s->clients);
	list_init(&s->active);
	list_init(&s->parked);
	wheel_init(&s->limits, s->now);
	wheel_init(&s->graces, s->now);
	s->listener = s->board_fd = -1;
}

/* Try the calls that wait for socket ID, each once; a call may wait anew, or take what was there.
 */
static void wake(struct shim_server *s, sock_id id)
{
	uint32_t round = ++s->round;
	struct held *told = NULL;

	for (;;) {
		struct held *h = held_by_id(s, id);
		struct wait *w;
		short ready;

		if (h && h != told && (h->async || h->signals_to))
			signals_tell(s, h);
		told = h;
		if (!h || !list_linked(&h->waits))
			return;
		w = list_first(&h->waits, struct wait, node);
		ready = socket_readiness(s->sockets, id);
		/* What there was is taken: of many that wait for one thing, few are looked at. */
		if (w->round == round || !ready)
			return;
		w->round = round;
		list_del(&w->node);
		list_push_back(&h->waits, &w->node);
		if (ready & w->events)
			call_try(w->call);
	}
}

static bool woken(struct shim_server *s)
{
	sock_id ids[WOKEN_BATCH];
	bool some = false;
	unsigned n;

	if (inline_nobody_waits(s))
		return false;
	do {
		n = sockets_woken(s->sockets, ids, WOKEN_BATCH);
		for (unsigned i = 0; i < n; i++)
			wake(s, ids[i]);
		some |= n > 0;
	} while (n == WOKEN_BATCH);
	sets_woken(s);
	/* A program that waits for it itself may have been too late to read it. */
	s->touched |= some;
	return some;
}

static void expire(struct shim_server *s)
{
	struct wheel_node *node;

	while ((node = wheel_expire(&s->limits, s->now)) != NULL)
		call_try(container_of(node, struct call, limit));
	held_expire(s);
}

static uint64_t next_deadline(const struct shim_server *s)
{
	uint64_t limit = wheel_deadline(&s->limits), grace = wheel_deadline(&s->graces);

	return limit < grace ? limit : grace;
}

/* ---- A turn --------------------------------------------------------------------------------- */

void server_worked(struct shim_server *s)
{
	uint64_t gap = s->now - s->last_work;

	s->last_work = s->now;
	if (gap >= SPIN_NS)
		s->misses += s->misses < SPIN_MISSES;
	else if (gap > SPIN_SHORT)
		s->misses = 0;
	if (s->spins)
		s->busy_until = s->now + (s->misses < SPIN_MISSES ? SPIN_NS : SPIN_SHORT);
}

/* Between the loop's input and output. */
static bool take(void *arg, uint64_t now)
{
	struct shim_server *s = arg;
	unsigned rounds = 0;
	bool some = false, served;

	s->now = now;
	do {
		sockets_poll(s->sockets, now);
		some |= woken(s);
		served = !s->resting && clients_serve(s);
		some |= served;
	} while (served && ++rounds < TAKE_ROUNDS);
	names_answered(s);
	refused_say(s, NULL); /* a program that runs the stack has asked */
	if (next_deadline(s) <= now)
		expire(s);
	return some;
}

static int turn(struct shim_server *s, uint64_t until)
{
	uint64_t deadline;
	int err;

	s->now = loop_clock();
	if (!inline_driven(s) && s->now < s->busy_until) {
		err = loop_turn(s->loop, 0);
		s->now = loop_clock();
		return err;
	}
	clients_sleep(s, true);
	deadline = next_deadline(s);
	until = until < deadline ? until : deadline;
	if (clients_asked(s))
		until = 0;
	s->resting = true;
	s->rest_until = until;
	err = loop_turn(s->loop, until);
	s->resting = false;
	s->now = loop_clock();
	clients_sleep(s, false);
	/* What they send leaves in the turn that follows. */
	if (!err)
		clients_serve(s);
	return err;
}

int shim_server_turn(struct shim_server *s, uint64_t until)
{
	int err = shim_server_lock(s);

	if (err)
		return err;
	err = turn(s, until);
	inline_tell(s);
	if (!s->broken)
		shim_server_unlock(s);
	return err;
}

int shim_server_run(struct shim_server *s)
{
	int err = 0;

	while (!err && !loop_stopped(s->loop))
		err = shim_server_turn(s, CPL_NEVER);
	return err;
}

int shim_server_open(struct shim_server **server, struct loop *loop, struct sockets *sockets,
		     struct link_why *why)
{
	struct shim_server *s = calloc(1, sizeof(*s));
	cpu_set_t cpus;
	int err;

	if (!s)
		return link_fail(why, -ENOMEM, "no memory for a server of programs");
	s->loop = loop;
	s->sockets = sockets;
	s->now = loop_clock();
	tables_init(s);
	limit_raise();
	if (getrandom(&s->keys, sizeof(s->keys), 0) != (ssize_t)sizeof(s->keys))
		err = link_fail(why, -EIO, "the kernel gives no random octets");
	else
		err = board_open(s);
	if (err)
		link_fail(why, err, "cannot share memory with programs: %s", strerror(-err));
	if (!err)
		err = names_open(s, why);
	if (!err)
		err = clients_listen(s, why);
	if (err) {
		shim_server_close(s);
		return err;
	}
	/* One processor alone: looking for work would only keep others from making it. */
	s->spins = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) > 1;
	loop_on_take(loop, take, s);
	*server = s;
	return 0;
}

void shim_server_close(struct shim_server *s)
{
	if (!s)
		return;
	s->now = loop_clock();
	if (shim_server_lock(s))
		server_say(s,
			   "a program was killed while it ran the stack: its connections are lost");
	inline_end(s);
	while (list_linked(&s->parked))
		call_finish(list_first(&s->parked, struct call, node), -ENETDOWN);
	while (list_linked(&s->clients))
		client_free(list_first(&s->clients, struct client, node));
	for (uint32_t i = 0; i < s->held_n; i++) {
		if (s->held[i] && s->held[i]->token)
			held_close(s, s->held[i]);
		free(s->held[i]);
	}
	for (uint32_t i = 0; i < SHIM_EPOLLS; i++)
		if (s->sets[i].token)
			set_close(s, &s->sets[i]);
	free(s->held);
	free(s->ends);
	names_close(s);
	loop_unwatch(s->loop, s->listener);
	place_close(s);
	if (s->board)
		munmap(s->board, sizeof(*s->board));
	if (s->board_fd >= 0)
		close(s->board_fd);
	loop_on_take(s->loop, NULL, NULL);
	loop_on_wait(s->loop, NULL, NULL);
	if (s->nudge > 0)
		close(s->nudge);
	if (!s->broken)
		shim_server_unlock(s);
	free(s);
}

/* ---- What others may ask -------------------------------------------------------------------- */

const char *shim_server_path(const struct shim_server *s)
{
	return s->path;
}

unsigned shim_server_programs(const struct shim_server *s)
{
	return s->clients_n;
}

unsigned shim_server_sockets(const struct shim_server *s)
{
	return s->held_live;
}

void shim_server_on_name(struct shim_server *s, shim_name_fn fn, void *arg)
{
	s->name_fn = fn;
	s->name_arg = arg;
}

void shim_server_on_say(struct shim_server *s, shim_say_fn fn, void *arg)
{
	s->say = fn;
	s->say_arg = arg;
}

int shim_server_add_addr(struct shim_server *s, const char *ifname, unsigned ifindex,
			 const struct cpl_addr *addr, unsigned prefix_len)
{
	struct shim_addr *a = &s->addrs[s->addrs_n];

	if (s->addrs_n == sizeof(s->addrs) / sizeof(s->addrs[0]))
		return -ENOSPC;
	snprintf(a->ifname, sizeof(a->ifname), "%s", ifname);
	memcpy(a->addr, addr->b, sizeof(a->addr));
	a->ifindex = ifindex;
	a->prefix_len = prefix_len;
	s->addrs_n++;
	return 0;
}
