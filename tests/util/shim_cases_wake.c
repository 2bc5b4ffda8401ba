/* SPDX-License-Identifier: MIT */
/* Of the programs of shim_cases.h: a thread that waits, and another that does something. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/util/shim_case.h"

static uint64_t clock_now(void)
{
	struct timespec t;

	CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct doer {
	void (*what)(struct doer *d);
	int fd, set;
	uint64_t did;
	atomic_bool enough;
};

static void *doer(void *arg)
{
	struct doer *d = arg;

	usleep(30000); /* the other sleeps */
	d->did = clock_now();
	d->what(d);
	return NULL;
}

static void do_say(struct doer *d)
{
	CHECK(write(d->fd, "x", 1) == 1);
}

static void do_watch(struct doer *d)
{
	struct epoll_event e = { .events = EPOLLOUT };

	CHECK(epoll_ctl(d->set, EPOLL_CTL_ADD, d->fd, &e) == 0);
}

/* It leaves when a timer says so. */
static void do_cork(struct doer *d)
{
	int on = 1;

	CHECK(setsockopt(d->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)) == 0);
	do_say(d);
}

static void do_look(struct doer *d)
{
	char c;

	while (!atomic_load(&d->enough))
		CHECK(recv(d->fd, &c, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

/* How long after WHAT is done to FD a wait for SET ends. */
static uint64_t woken_after(void (*what)(struct doer *d), int fd, int set)
{
	struct doer d = { .what = what, .fd = fd, .set = set };
	struct epoll_event got;
	pthread_t thread;
	uint64_t at;

	CHECK(pthread_create(&thread, NULL, doer, &d) == 0);
	CHECK(epoll_wait(set, &got, 1, 5000) == 1);
	at = clock_now();
	CHECK(pthread_join(thread, NULL) == 0);
	return at - d.did;
}

/* Two ends of a connection within this host. */
static void dial_self(int ends[2], int fd)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in own, bound;
	socklen_t len = sizeof(own);

	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(listen(listener, 5) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&own, &len) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&bound, &len) == 0);
	own.sin_port = bound.sin_port;
	CHECK(connect(ends[0], (struct sockaddr *)&own, len) == 0);
	ends[1] = accept(listener, NULL, NULL);
	CHECK(ends[1] >= 0 && close(listener) == 0);
}

/* A thread that waits is woken by what another does that does not wait. */
int case_wakes(void)
{
	int fd = case_dial(ECHO_PORT), other = case_dial(ECHO_PORT), set = epoll_create1(0);
	struct doer look = { .what = do_look, .fd = other };
	struct epoll_event e = { .events = EPOLLIN };
	unsigned soon[2] = { 0 };
	uint64_t took;
	pthread_t thread;
	int ends[2];
	char c;

	dial_self(ends, fd);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[1], &e) == 0);
	for (int i = 0; i < 4; i++) {
		usleep(100000);
		took = woken_after(do_say, ends[0], set);
		CHECK(read(ends[1], &c, 1) == 1);
		soon[0] += took < 20000000;
		took = woken_after(do_watch, fd, set);
		CHECK(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) == 0);
		soon[1] += took < 20000000;
	}
	CHECK(soon[0] > 1 && soon[1] > 1); /* the others were held up */
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
	usleep(300000);
	CHECK(woken_after(do_cork, fd, set) < 400000000);
	fd = case_dial(ECHO_PORT);
	CHECK(pthread_create(&thread, NULL, doer, &look) == 0);
	for (int i = 0; i < 1000; i++)
		case_say(fd, "x");
	atomic_store(&look.enough, true);
	CHECK(pthread_join(thread, NULL) == 0);
	return 0;
}
