/* SPDX-License-Identifier: MIT */
/* See shim_client.h. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/util/shim_client.h"

void shim_client_greet(struct shim_client *c, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct shim_message m = { .magic = SHIM_MAGIC,
				  .version = SHIM_VERSION,
				  .type = SHIM_HELLO,
				  .program = "a test" };

	c->conn = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	strcpy(addr.sun_path, path);
	assert_int_equal(connect(c->conn, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(send(c->conn, &m, sizeof(m), 0), sizeof(m));
}

/* A message and the descriptors that came with it, at most two. */
static ssize_t take(int conn, void *data, size_t n, int flags, int fds[2])
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = { data, n };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(conn, &msg, flags | MSG_CMSG_CLOEXEC);

	fds[0] = fds[1] = -1;
	if (got >= 0 && msg.msg_controllen >= sizeof(struct cmsghdr))
		memcpy(fds, CMSG_DATA(&control.h), control.h.cmsg_len - CMSG_LEN(0));
	return got;
}

void shim_client_attach(struct shim_client *c)
{
	int fds[2];
	void *area, *board;

	assert_int_equal(take(c->conn, &c->hello, sizeof(c->hello), 0, fds), sizeof(c->hello));
	area = mmap(NULL, sizeof(*c->area), PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	assert_true(area != MAP_FAILED);
	c->area = area;
	/* It can neither cut the server's memory short nor write what all read. */
	assert_int_equal(ftruncate(fds[0], 0), -1);
	board = mmap(NULL, sizeof(struct shim_board), PROT_READ | PROT_WRITE, MAP_SHARED, fds[1],
		     0);
	assert_true(board == MAP_FAILED);
	close(fds[0]);
	close(fds[1]);
}

void shim_client_close(struct shim_client *c)
{
	munmap(c->area, sizeof(*c->area));
	close(c->conn);
}

struct shim_slot *shim_client_ask(struct shim_client *c, unsigned slot,
				  const struct shim_request *request)
{
	struct shim_message m = { .magic = SHIM_MAGIC, .version = SHIM_VERSION, .type = SHIM_RING };
	struct shim_slot *s = &c->area->slots[slot];

	s->request = *request;
	atomic_store(&s->cancel, 0);
	atomic_store(&s->parked, 0);
	atomic_store(&s->state, SHIM_ASKED);
	atomic_fetch_or(&c->area->asked[slot / 64], 1ull << (slot % 64));
	if (atomic_exchange(&c->area->asleep, 0))
		assert_int_equal(send(c->conn, &m, sizeof(m), 0), sizeof(m));
	return s;
}

bool shim_client_done(const struct shim_client *c, unsigned slot)
{
	return atomic_load(&c->area->slots[slot].state) == SHIM_DONE;
}

int shim_client_gift(struct shim_client *c)
{
	struct shim_message m;
	int fds[2];

	if (take(c->conn, &m, sizeof(m), MSG_DONTWAIT, fds) != (ssize_t)sizeof(m))
		return -1;
	assert_int_equal(m.type, SHIM_GIFT);
	return fds[0];
}
