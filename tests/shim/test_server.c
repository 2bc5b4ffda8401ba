/* SPDX-License-Identifier: MIT */
/*
 * The server of programs alone, turn by turn, with a client that speaks its protocol: what a call
 * costs it does not grow with what else is there.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "cli/run_link.h"
#include "shim/server.h"
#include "tests/util/shim_client.h"

#define MANY	1000u
#define CLIENTS (MANY / 500 + 1)

struct world {
	struct run_link link;
	struct sockets *sockets;
	struct shim_server *server;
	struct shim_client clients[CLIENTS];
	int fds[3 * MANY + 8];
	unsigned fds_n;
};

static void world_open(struct world *w)
{
	struct run_link_options options = { .kind = RUN_LINK_NONE, .name = "test-server" };
	struct sockets_config config;
	struct link_why why = { "" };

	memset(w, 0, sizeof(*w));
	assert_int_equal(run_link_open(&w->link, &options, &why), 0);
	sockets_config_init(&config);
	assert_int_equal(sockets_new(&w->sockets, w->link.stack, &config, loop_clock()), 0);
	assert_int_equal(shim_server_open(&w->server, w->link.loop, w->sockets, &why), 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		shim_client_greet(&w->clients[i], shim_server_path(w->server));
		for (int turns = 0; turns < 4; turns++)
			shim_server_turn(w->server, 0);
		shim_client_attach(&w->clients[i]);
	}
}

static void world_close(struct world *w)
{
	for (unsigned i = 0; i < w->fds_n; i++)
		close(w->fds[i]);
	for (unsigned i = 0; i < CLIENTS; i++)
		shim_client_close(&w->clients[i]);
	shim_server_close(w->server);
	sockets_free(w->sockets, loop_clock());
	run_link_close(&w->link);
}

/* A call of client 0's last slot, which is answered: its result. */
static struct shim_slot *call(struct world *w, const struct shim_request *request)
{
	struct shim_slot *slot = shim_client_ask(&w->clients[0], SHIM_SLOTS - 1, request);

	for (int turns = 0; turns < 100 && !shim_client_done(&w->clients[0], SHIM_SLOTS - 1);
	     turns++)
		shim_server_turn(w->server, 0);
	assert_true(shim_client_done(&w->clients[0], SHIM_SLOTS - 1));
	return slot;
}

static void keep(struct world *w)
{
	int fd = shim_client_gift(&w->clients[0]);

	assert_true(fd >= 0);
	w->fds[w->fds_n++] = fd;
}

static shim_token udp(struct world *w)
{
	struct shim_request r = { .op = SHIM_SOCKET, .fd = -1, .arg = { AF_INET, SOCK_DGRAM } };
	struct shim_slot *slot = call(w, &r);

	assert_int_equal(slot->answer.result, 0);
	keep(w);
	return slot->answer.sock;
}

/* A set in which SOCK is waited for. */
static shim_token set_of(struct world *w, shim_token sock, uint32_t events)
{
	struct shim_request r = { .op = SHIM_EPOLL_NEW, .fd = -1 };
	struct shim_slot *slot = call(w, &r);
	shim_token set = slot->answer.sock;

	assert_int_equal(slot->answer.result, 0);
	keep(w);
	r = (struct shim_request){ .op = SHIM_EPOLL_CTL,
				   .sock = set,
				   .arg = { EPOLL_CTL_ADD, (int64_t)sock, 5, events, 6 } };
	assert_int_equal(call(w, &r)->answer.result, 0);
	return set;
}

/* What is there meanwhile: a call that waits until a time of its own, a set that is ready. */
static void bystander(struct world *w, unsigned i)
{
	shim_token sock = udp(w);
	struct timeval limit = { .tv_sec = 1000 + (i * 7919) % MANY };
	struct shim_request r = { .op = SHIM_SETOPT,
				  .sock = sock,
				  .arg = { SOL_SOCKET, SO_RCVTIMEO },
				  .data_len = sizeof(limit) };
	struct shim_client *c = &w->clients[1 + i / 500];

	memcpy(w->clients[0].area->slots[SHIM_SLOTS - 1].data, &limit, sizeof(limit));
	assert_int_equal(call(w, &r)->answer.result, 0);
	set_of(w, sock, EPOLLOUT);
	shim_client_ask(c, i % 500,
			&(struct shim_request){ .op = SHIM_RECV, .sock = sock, .data_room = 1 });
	shim_server_turn(w->server, 0);
	assert_false(shim_client_done(c, i % 500));
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A datagram to TO, which is in SET: sent, told of, read. */
static void round_trip(struct world *w, shim_token from, shim_token to, shim_token set)
{
	struct shim_request send = { .op = SHIM_SEND, .sock = from, .data_len = 1 };
	struct shim_request take = { .op = SHIM_EPOLL_TAKE, .sock = set, .arg = { 8 } };
	struct shim_request receive = { .op = SHIM_RECV, .sock = to, .data_room = 1 };

	assert_int_equal(call(w, &send)->answer.result, 1);
	assert_int_equal(call(w, &take)->answer.result, 1);
	assert_int_equal(call(w, &receive)->answer.result, 1);
	assert_int_equal(call(w, &take)->answer.result, 0);
}

static void connect_to(struct world *w, shim_token sock, enum shim_op op, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct shim_request r = { .op = op, .sock = sock, .name_len = sizeof(at) };

	memcpy(w->clients[0].area->slots[SHIM_SLOTS - 1].name, &at, sizeof(at));
	assert_int_equal(call(w, &r)->answer.result, 0);
}

/* Who sends to whom, by what set; beside WAITING others. */
struct flat {
	struct world w;
	shim_token from, to, set;
	uint64_t least; /* ns that 20 round trips took */
};

static void flat_open(struct flat *f, unsigned waiting)
{
	world_open(&f->w);
	f->from = udp(&f->w);
	f->to = udp(&f->w);
	connect_to(&f->w, f->to, SHIM_BIND, 9000);
	connect_to(&f->w, f->from, SHIM_CONNECT, 9000);
	f->set = set_of(&f->w, f->to, EPOLLIN);
	for (unsigned i = 0; i < waiting; i++)
		bystander(&f->w, i);
	f->least = UINT64_MAX;
}

static void flat_cost(struct flat *f)
{
	uint64_t began = cpu_ns(), took;

	for (int i = 0; i < 20; i++)
		round_trip(&f->w, f->from, f->to, f->set);
	took = cpu_ns() - began;
	if (took < f->least)
		f->least = took;
}

/*
 * "Cost stays flat": of waiting calls, of their limits in time, of sets that are ready. In turn,
 * and the least of many tries: whatever disturbs us only adds, and to both.
 */
static void test_flat(void **state)
{
	static struct flat few, many;

	(void)state;
	flat_open(&few, 10);
	flat_open(&many, MANY);
	for (int tries = 0; tries < 100; tries++) {
		flat_cost(&few);
		flat_cost(&many);
	}
	print_message("80 calls: %llu us beside 10 that wait, %llu us beside %u\n",
		      (unsigned long long)few.least / 1000, (unsigned long long)many.least / 1000,
		      MANY);
	assert_true(many.least < few.least * 3 / 2);
	world_close(&few.w);
	world_close(&many.w);
}

static void message_with(int conn, const struct shim_message *m, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { (void *)m, sizeof(*m) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control.room) };

	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	assert_int_equal(sendmsg(conn, &msg, 0), sizeof(*m));
}

/* Who sleeps is woken, however many rings its waker stands behind. */
static void test_waker(void **state)
{
	static struct world w;
	struct shim_request r = { .op = SHIM_SOCKET, .fd = -1, .arg = { AF_INET, SOCK_DGRAM } };
	struct shim_message ring = { .magic = SHIM_MAGIC, .version = SHIM_VERSION }, waker = {
		.magic = SHIM_MAGIC, .version = SHIM_VERSION, .type = SHIM_WAKER, .slot = 3
	};
	struct shim_slot *slot;
	int pair[2];
	char c;

	(void)state;
	world_open(&w);
	ring.type = SHIM_RING;
	for (int i = 0; i < 100; i++)
		assert_int_equal(send(w.clients[0].conn, &ring, sizeof(ring), 0), sizeof(ring));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	message_with(w.clients[0].conn, &waker, pair[1]);
	close(pair[1]);
	slot = shim_client_ask(&w.clients[0], 3, &r);
	atomic_store(&slot->wakers, 1);
	atomic_store(&slot->state, SHIM_WAITED);
	for (int turns = 0; turns < 100 && !shim_client_done(&w.clients[0], 3); turns++)
		shim_server_turn(w.server, 0);
	assert_true(shim_client_done(&w.clients[0], 3));
	assert_int_equal(recv(pair[0], &c, 1, MSG_DONTWAIT), 1);
	keep(&w);
	close(pair[0]);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waker),
		cmocka_unit_test(test_flat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
