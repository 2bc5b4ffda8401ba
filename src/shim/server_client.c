/* SPDX-License-Identifier: MIT */
/*
 * The processes that are attached: greeting them, the descriptors that pass, and where their
 * requests are looked for. All that they say is checked; what is wrong ends the connection.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/server_inside.h"

#define MESSAGES 16		  /* of one client in one go */
#define QUIET_NS (5 * 1000000ull) /* then a client has to ring */

/* ---- Listening ------------------------------------------------------------------------------ */

static void on_message(void *arg, int fd, uint32_t events, uint64_t now);

static void on_connect(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct shim_server *s = arg;
	struct client *c;
	int one = 1, conn;

	(void)events;
	s->now = now;
	while ((conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		c = calloc(1, sizeof(*c));
		if (!c || setsockopt(conn, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
		    loop_watch(s->loop, conn, EPOLLIN, on_message, c)) {
			free(c);
			close(conn);
			continue;
		}
		c->server = s;
		c->fd = conn;
		list_init(&c->active);
		list_push_back(&s->clients, &c->node);
		s->clients_n++;
		inline_lease(s);
	}
}

int clients_listen(struct shim_server *s, struct link_why *why)
{
	int err = place_open(s, why);

	if (!err)
		err = loop_watch(s->loop, s->listener, EPOLLIN, on_connect, s);
	return err && !why->text[0]
		       ? link_fail(why, err, "cannot wait for programs: %s", strerror(-err))
		       : err;
}

/* ---- Greeting ------------------------------------------------------------------------------- */

static int send_with(int conn, const void *data, size_t n, const int *fds, unsigned fds_n)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(5 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)data, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fds_n) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(fds_n * sizeof(int));
		control.h.cmsg_level = SOL_SOCKET;
		control.h.cmsg_type = SCM_RIGHTS;
		control.h.cmsg_len = CMSG_LEN(fds_n * sizeof(int));
		memcpy(CMSG_DATA(&control.h), fds, fds_n * sizeof(int));
	}
	return sendmsg(conn, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int client_gift(struct client *c, unsigned slot, int fd)
{
	struct shim_message m = { .magic = SHIM_MAGIC, .type = SHIM_GIFT, .slot = slot };
	int err = send_with(c->fd, &m, sizeof(m), &fd, 1);

	close(fd);
	return err == -EAGAIN ? -ENOBUFS : err;
}

/* Its memory: of a size that it cannot change under us. */
static int area_open(struct client *c)
{
	size_t size = sizeof(struct shim_area);
	int fd = memfd_create("couplet-area", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *area;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto failed;
	area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (area == MAP_FAILED)
		goto failed;
	c->area = area;
	atomic_store(&c->area->asleep, 1);
	return fd;
failed:
	close(fd);
	return -ENOMEM;
}

static int hello(struct client *c, const struct shim_message *m)
{
	struct shim_hello answer = { .magic = SHIM_MAGIC,
				     .type = SHIM_HELLO,
				     .version = SHIM_VERSION };
	int fds[5], err;
	unsigned n = 2;

	if (m->version != SHIM_VERSION || c->area)
		return -EPROTO;
	memcpy(c->program, m->program, sizeof(c->program) - 1);
	fds[0] = area_open(c);
	if (fds[0] < 0)
		return fds[0];
	fds[1] = c->server->board_fd;
	c->key = token_new(c->server, 0) | token_new(c->server, 0) >> 32;
	answer.key = c->key;
	answer.cpus = c->server->spins ? 2 : 1;
	n += inline_offer(c, &answer, fds + 2);
	inline_lease(c->server);
	err = send_with(c->fd, &answer, sizeof(answer), fds, n);
	close(fds[0]);
	return err;
}

/* The parent of a child that is to be: it has what the parent has. */
static int heir(struct client *c, const struct shim_message *m)
{
	struct shim_message known = { .magic = SHIM_MAGIC, .type = SHIM_HEIR };
	struct list *pos;

	list_for_each (pos, &c->server->clients) {
		const struct client *parent = container_of(pos, struct client, node);

		if (parent->area && parent->key == m->key && parent != c) {
			sets_inherit(c, parent);
			return send_with(c->fd, &known, sizeof(known), NULL, 0);
		}
	}
	return -EPROTO;
}

/* FD is what WHERE was, for good. */
static void keep(int *where, int *fd)
{
	if (*where >= 0)
		close(*where);
	*where = *fd;
	*fd = -1;
}

/* A pair of unix sockets that C has made itself: what is sent there, it alone gets. */
static bool is_own_pair(const struct client *c, int fd)
{
	struct ucred maker;
	socklen_t n = sizeof(maker);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &n) == 0 &&
	       (uint32_t)maker.pid == c->pid;
}

/* A descriptor for the thread of a slot. */
static int thread_fd(struct client *c, const struct shim_message *m, int *fd)
{
	struct call *call;

	if (!c->area || m->slot >= SHIM_SLOTS || *fd < 0)
		return -EPROTO;
	call = call_get(c, m->slot);
	if (!call)
		return -ENOMEM;
	if (m->type == SHIM_WAKER && !is_own_pair(c, *fd))
		return -EPROTO;
	/* It may be anything: a write to it must not hold us up. */
	fcntl(*fd, F_SETFL, O_NONBLOCK);
	call->wakers += m->type == SHIM_WAKER;
	keep(m->type == SHIM_WAKER ? &call->waker : &call->bell, fd);
	return 0;
}

static int message(struct client *c, const struct shim_message *m, int *fd)
{
	switch (m->type) {
	case SHIM_HELLO:
		return hello(c, m);
	case SHIM_HEIR:
		return heir(c, m);
	case SHIM_BELL:
	case SHIM_WAKER:
		return thread_fd(c, m, fd);
	case SHIM_HOLDER:
		return set_hold(c, m, fd);
	case SHIM_RING:
		return 0;
	case SHIM_SHUT_IN:
		shut_in_say(c, m->key);
		return 0;
	case SHIM_ADOPT:
		if (held_adopt(c, &m->adopt, *fd) == 0)
			*fd = -1;
		return 0;
	default:
		return -EPROTO;
	}
}

/* Who sent it, as the kernel says, and a descriptor. Others are closed. */
static void control_read(struct client *c, struct msghdr *msg, int *fd)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		if (h->cmsg_level != SOL_SOCKET)
			continue;
		if (h->cmsg_type == SCM_CREDENTIALS) {
			struct ucred who;

			memcpy(&who, CMSG_DATA(h), sizeof(who));
			c->pid = (uint32_t)who.pid;
			c->uid = who.uid;
		} else if (h->cmsg_type == SCM_RIGHTS) {
			size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			for (size_t i = 0; i < n; i++) {
				int got;

				memcpy(&got, CMSG_DATA(h) + i * sizeof(int), sizeof(got));
				if (*fd < 0)
					*fd = got;
				else
					close(got);
			}
		}
	}
}

/* 1: there was one; 0: none now; negative: the client is to go. */
static int message_read(struct client *c)
{
	struct shim_message m = { 0 };
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { &m, sizeof(m) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int fd = -1, err;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	control_read(c, &msg, &fd);
	if (n != (ssize_t)sizeof(m) || m.magic != SHIM_MAGIC)
		err = -EPROTO;
	else
		err = message(c, &m, &fd);
	if (fd >= 0)
		close(fd);
	return err ? err : 1;
}

/* It asked: look for more without a ring for a while. */
static void rung(struct client *c)
{
	struct shim_server *s = c->server;

	c->last = s->now;
	server_worked(s);
	if (!list_linked(&c->active)) {
		list_push_back(&s->active, &c->active);
		if (!s->resting)
			atomic_store(&c->area->asleep, 0);
	}
}

/* Whoever hears it, a ring may have been among what was said: it does not come again. */
int client_hear(struct client *c)
{
	int got = 1;

	for (unsigned i = 0; i < MESSAGES && got > 0; i++) {
		got = message_read(c);
		if (got > 0 && c->area)
			rung(c);
	}
	return got;
}

static void on_message(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct client *c = arg;
	struct shim_server *s = c->server;

	(void)fd, (void)events;
	s->now = now;
	if (client_hear(c) < 0)
		client_free(c);
}

/* ---- Requests ------------------------------------------------------------------------------- */

static bool serve(struct client *c)
{
	bool some = false;

	for (unsigned w = 0; w < SHIM_SLOTS / 64; w++) {
		uint64_t bits;

		if (!atomic_load_explicit(&c->area->asked[w], memory_order_relaxed))
			continue;
		bits = atomic_exchange(&c->area->asked[w], 0);
		for (; bits; bits &= bits - 1)
			call_take(c, w * 64 + (unsigned)__builtin_ctzll(bits));
		some = true;
	}
	return some;
}

bool clients_serve(struct shim_server *s)
{
	struct list *pos, *tmp;
	bool some = false;

	list_for_each_safe (pos, tmp, &s->active) {
		struct client *c = container_of(pos, struct client, active);

		if (serve(c)) {
			some = true;
			c->last = s->now;
		} else if (s->now - c->last > QUIET_NS) {
			atomic_store(&c->area->asleep, 1);
			if (!serve(c))
				list_del(&c->active);
		}
	}
	if (some)
		server_worked(s);
	return some;
}

bool clients_asked(struct shim_server *s)
{
	struct list *pos;

	list_for_each (pos, &s->active) {
		const struct client *c = container_of(pos, struct client, active);

		for (unsigned w = 0; w < SHIM_SLOTS / 64; w++)
			if (atomic_load(&c->area->asked[w]))
				return true;
	}
	return false;
}

void clients_sleep(struct shim_server *s, bool asleep)
{
	struct list *pos;

	list_for_each (pos, &s->active)
		atomic_store(&container_of(pos, struct client, active)->area->asleep, asleep);
}

/* ---- Ending --------------------------------------------------------------------------------- */

/* What was asked and not taken yet. */
static void requests_refuse(struct shim_area *area)
{
	for (unsigned n = 0; n < SHIM_SLOTS; n++) {
		struct shim_slot *slot = &area->slots[n];

		if (!(atomic_load(&area->asked[n / 64]) >> (n % 64) & 1))
			continue;
		slot->answer = (struct shim_answer){ .result = -ENETDOWN };
		slot_done(slot, NULL);
	}
}

void client_free(struct client *c)
{
	struct shim_server *s = c->server;

	for (unsigned i = 0; i < SHIM_SLOTS; i++)
		if (c->calls[i])
			call_free(c->calls[i]);
	for (uint32_t i = 0; i < SHIM_EPOLLS; i++)
		if (c->sets[i / 64] >> (i % 64) & 1)
			set_leave(c, i);
	list_del(&c->active);
	list_del(&c->node);
	s->clients_n--;
	inline_left(s, c);
	inline_lease(s);
	if (c->area) {
		/* It may live on: whoever rings learns that nobody is there, whoever has asked too.
		 */
		atomic_store(&c->area->asleep, 1);
		shutdown(c->fd, SHUT_RDWR);
		requests_refuse(c->area);
		munmap(c->area, sizeof(*c->area));
	}
	loop_unwatch(s->loop, c->fd);
	close(c->fd);
	free(c);
}
