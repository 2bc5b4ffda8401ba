/* SPDX-License-Identifier: MIT */
/*
 * Sockets that have descriptors: each is one end of a pair of unix sockets whose other end is held
 * here. What hangs up has no descriptor left anywhere: the kernel has counted them, through dup(),
 * fork(), execve(), SCM_RIGHTS and SIGKILL.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/server_inside.h"

#define NONE	 UINT32_MAX
#define GRACE_NS (100 * 1000000ull) /* from the end of a descriptor to the call that ended it */

static uint32_t bucket(uint64_t key)
{
	return (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 52) & (HELD_HASH - 1);
}

shim_token token_new(struct shim_server *s, uint32_t place)
{
	uint64_t n = ++s->tokens;
	uint64_t high = siphash24(&s->keys, &n, sizeof(n)) << 32;

	return (high ? high : 1ull << 32) | place;
}

void server_say(struct shim_server *s, const char *format, ...)
{
	char text[256];
	va_list args;

	if (!s->say)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->say(s->say_arg, text);
}

/* ---- Finding -------------------------------------------------------------------------------- */

struct held *held_find(struct shim_server *s, shim_token token)
{
	uint32_t place = (uint32_t)token;

	if (!token || place >= s->held_n || !s->held[place] || s->held[place]->token != token)
		return NULL;
	return s->held[place];
}

struct held *held_by_id(struct shim_server *s, sock_id id)
{
	uint32_t place = SOCKET_PLACE(id);
	struct held *h = place < s->held_n ? s->held[place] : NULL;

	return h && h->token && h->id == id ? h : NULL;
}

struct held *held_told(struct shim_server *s, shim_token token)
{
	struct held *h = held_find(s, token);
	struct list *pos;

	if (h || !s->shared || !token)
		return h;
	list_for_each (pos, &s->clients)
		while (client_hear(container_of(pos, struct client, node)) > 0)
			;
	return held_find(s, token);
}

struct held *held_by_inode(struct shim_server *s, uint64_t inode)
{
	uint32_t i = s->by_ino[bucket(inode)];

	while (i != NONE && s->held[i]->inode != inode)
		i = s->held[i]->next_ino;
	return i == NONE ? NULL : s->held[i];
}

/* ---- Making --------------------------------------------------------------------------------- */

/* TABLE, of *N elements, with room for PLACE as well: what is new is zero. NULL: no memory. */
static void *grow(void *table, uint32_t *n, size_t size, uint32_t place)
{
	uint32_t room = *n ? *n : 256;
	char *more;

	while (room <= place)
		room *= 2;
	if (room == *n)
		return table;
	more = reallocarray(table, room, size);
	if (!more)
		return NULL;
	memset(more + *n * size, 0, (room - *n) * size);
	*n = room;
	return more;
}

static struct held *place_new(struct shim_server *s, sock_id id)
{
	uint32_t place = SOCKET_PLACE(id);
	struct held **table = grow(s->held, &s->held_n, sizeof(*table), place), *h;

	if (!table)
		return NULL;
	s->held = table;
	h = s->held[place] ? s->held[place] : malloc(sizeof(*h));
	if (!h)
		return NULL;
	s->held[place] = h;
	*h = (struct held){ .id = id, .token = token_new(s, place), .place = place, .end = -1 };
	list_init(&h->waits);
	wheel_node_init(&h->grace);
	s->held_live++;
	return h;
}

static void place_free(struct shim_server *s, struct held *h)
{
	h->token = 0;
	s->held_live--;
}

/* Octets arrived, where none ever should: a call that the library did not see. */
static void raw_octets(struct shim_server *s, struct held *h)
{
	char octets[4096];

	while (recv(h->end, octets, sizeof(octets), MSG_DONTWAIT) > 0)
		if (!h->told) {
			h->told = true;
			server_say(s,
				   "%s (%u) wrote to descriptor %d past the C library: those "
				   "octets are not sent",
				   h->owner, h->owner_pid, h->owner_fd);
		}
}

bool held_is_left(const struct held *h)
{
	struct pollfd p = { .fd = h->end };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

/* Which socket a descriptor of ours is the end of. */
static int end_note(struct shim_server *s, const struct held *h)
{
	shim_token *table = grow(s->ends, &s->ends_n, sizeof(*table), (uint32_t)h->end);

	if (!table)
		return -ENOMEM;
	s->ends = table;
	s->ends[h->end] = h->token;
	return 0;
}

static void end_ready(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct shim_server *s = arg;
	struct held *h = held_find(s, (unsigned)fd < s->ends_n ? s->ends[fd] : 0);

	s->now = now;
	if (!h)
		return;
	if (events & EPOLLIN)
		raw_octets(s, h);
	if (events & (EPOLLHUP | EPOLLERR) && held_leave(s, h) == -EAGAIN)
		wheel_start(&s->graces, &h->grace, now + GRACE_NS);
}

/* END is the other end of the descriptor with INODE. Closes it if that fails. */
static int held_add(struct shim_server *s, struct held *h, int end, uint64_t inode, int domain,
		    int type)
{
	int err;

	h->end = end;
	h->domain = domain;
	h->type = type;
	h->inode = inode;
	h->next_ino = s->by_ino[bucket(h->inode)];
	s->by_ino[bucket(h->inode)] = h->place;
	err = end_note(s, h);
	if (!err)
		err = loop_watch(s->loop, h->end, EPOLLIN, end_ready, s);
	if (err)
		held_drop(s, h);
	return err;
}

struct held *held_new(struct shim_server *s, sock_id id, int domain, int type, int *descriptor,
		      int *error)
{
	struct held *h = place_new(s, id);
	struct stat st;
	int pair[2];

	*error = -ENFILE;
	if (!h)
		return NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		place_free(s, h);
		return NULL;
	}
	/* A call that is not ours finds an end at once instead of waiting for ever. */
	shutdown(pair[0], SHUT_WR);
	fstat(pair[1], &st);
	*error = held_add(s, h, pair[0], st.st_ino, domain, type);
	if (*error) {
		close(pair[1]);
		return NULL;
	}
	*descriptor = pair[1];
	return h;
}

int held_adopt(struct client *c, const struct shim_adopt *adopt, int end)
{
	struct shim_server *s = c->server;
	struct held *h;

	if (!c->inlined || end < 0 || (uint32_t)adopt->token != SOCKET_PLACE(adopt->id) ||
	    adopt->token >> 32 == 0 || socket_readiness(s->sockets, adopt->id) == POLLNVAL)
		return -EPROTO;
	/* Closed inline, and nothing of it has been heard here yet. */
	h = SOCKET_PLACE(adopt->id) < s->held_n ? s->held[SOCKET_PLACE(adopt->id)] : NULL;
	if (h && h->token)
		held_drop(s, h);
	h = place_new(s, adopt->id);
	if (!h)
		return -ENOMEM;
	h->token = adopt->token;
	/* What fails has closed it. */
	if (held_add(s, h, end, adopt->inode, adopt->domain, adopt->type) == 0)
		held_owner(s, h, c, adopt->fd);
	return 0;
}

/* ---- Ending --------------------------------------------------------------------------------- */

static void chain_remove(struct shim_server *s, const struct held *h)
{
	uint32_t *at = &s->by_ino[bucket(h->inode)];

	while (*at != h->place)
		at = &s->held[*at]->next_ino;
	*at = h->next_ino;
}

void held_drop(struct shim_server *s, struct held *h)
{
	/* Whoever waited for it does so for nothing: Linux keeps a socket while a call is in it,
	 * but then its descriptor's table entry is shared, and so is ours. */
	while (list_linked(&h->waits)) {
		struct wait *w = list_first(&h->waits, struct wait, node);

		list_del(&w->node);
		if (w->call->parked && w == &w->call->one)
			call_finish(w->call, -EBADF);
	}
	chain_remove(s, h);
	signals_forget(s, h);
	wheel_stop(&s->graces, &h->grace);
	loop_unwatch(s->loop, h->end);
	close(h->end);
	place_free(s, h);
}

void held_close(struct shim_server *s, struct held *h)
{
	sock_id id = h->id;

	held_drop(s, h);
	s->touched = true;
	if (!s->broken && socket_close(s->sockets, id, s->now) == -EAGAIN)
		socket_close(s->sockets, id, s->now);
}

int held_leave(struct shim_server *s, struct held *h)
{
	sock_id id = h->id;

	if (h->lingers)
		return -EAGAIN;
	s->touched = true;
	h->lingers = socket_close(s->sockets, id, s->now) == -EAGAIN;
	if (!h->lingers)
		held_drop(s, h);
	else
		loop_unwatch(s->loop, h->end);
	return h->lingers ? -EAGAIN : 0;
}

void held_expire(struct shim_server *s)
{
	struct wheel_node *node;

	while ((node = wheel_expire(&s->graces, s->now)) != NULL) {
		struct held *h = container_of(node, struct held, grace);

		if (!list_linked(&h->waits))
			held_close(s, h);
	}
}

void held_owner(struct shim_server *s, struct held *h, const struct client *c, int32_t fd)
{
	struct socket_owner owner = { .pid = c->pid, .fd = (uint32_t)fd, .uid = c->uid };

	if (fd < 0 || (h->owner_pid == c->pid && h->owner_fd == fd))
		return;
	h->owner_pid = c->pid;
	h->owner_fd = fd;
	memcpy(h->owner, c->program, sizeof(h->owner));
	memcpy(owner.program, c->program, sizeof(owner.program));
	socket_set_owner(s->sockets, h->id, &owner);
}
