/* SPDX-License-Identifier: MIT */
/*
 * Of the programs of shim_cases.h: the server is killed while calls of every kind wait for it. Each
 * is to end, and to say what a call says when there is no network any more.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/util/shim_case.h"

static struct sockaddr_in at;
static int listener, quiet; /* a connection on which nothing is said */
static int tube[2];
static _Atomic int waiting;

static int connection(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	return fd;
}

static void *wait_read(void *arg)
{
	char c;

	waiting++;
	CHECK(read(quiet, &c, 1) == -1 && errno == ENETDOWN);
	return arg;
}

static void *wait_write(void *arg)
{
	static char big[1 << 20];
	int fd = connection();
	ssize_t n;

	waiting++;
	do
		n = send(fd, big, sizeof(big), MSG_NOSIGNAL);
	while (n > 0);
	CHECK(n == -1 && errno == ENETDOWN);
	return arg;
}

static void *wait_accept(void *arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int l = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(bind(l, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(l, 1) == 0);
	waiting++;
	CHECK(accept(l, NULL, NULL) == -1 && errno == ENETDOWN);
	return arg;
}

static void *wait_poll(void *arg)
{
	/* Of Couplet's alone, and with one of the kernel's. */
	struct pollfd p[2] = { { .fd = quiet, .events = POLLIN },
			       { .fd = arg ? tube[0] : -1, .events = POLLIN } };

	waiting++;
	CHECK(poll(p, 2, -1) == 1);
	CHECK(p[0].revents == (POLLIN | POLLERR | POLLHUP) && !p[1].revents);
	return arg;
}

static void *wait_select(void *arg)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(quiet, &in);
	FD_SET(tube[0], &in);
	waiting++;
	CHECK(select(FD_SETSIZE, &in, NULL, NULL, NULL) == 1 && FD_ISSET(quiet, &in));
	return arg;
}

static void *wait_epoll(void *arg)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 1 }, got[4];
	int set = epoll_create1(0), mine = connection(), other = connection();
	int gone = connection();

	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, mine, &e) == 0);
	e.data.u64 = 2;
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, tube[0], &e) == 0);
	e = (struct epoll_event){ .events = EPOLLRDHUP | EPOLLET, .data.u64 = 3 };
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, other, &e) == 0);
	e.data.u64 = 4;
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, gone, &e) == 0);
	close(gone);
	waiting++;
	CHECK(epoll_wait(set, got, 4, -1) == 2);
	CHECK(got[0].data.u64 + got[1].data.u64 == 4); /* 1 and 3 */
	CHECK(got[0].events & got[1].events & EPOLLHUP && got[1].events & EPOLLERR);
	/* An edge is told once, and the kernel's descriptors go on. */
	CHECK(epoll_wait(set, got, 4, 0) == 1 && got[0].data.u64 == 1);
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, mine, NULL) == -1 && errno == ENETDOWN);
	close(mine);
	CHECK(epoll_wait(set, got, 4, 10) == 0);
	return arg;
}

/* A child has a connection to the server of its own, and the same set. */
static pid_t child_epoll(void)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 7 }, got;
	int set = epoll_create1(0), fd = connection();
	pid_t pid;

	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
	pid = fork();
	if (pid)
		return pid;
	CHECK(epoll_wait(set, &got, 1, 10000) == 1);
	CHECK(got.data.u64 == 7 && got.events == (EPOLLIN | EPOLLERR | EPOLLHUP));
	_exit(0);
}

/* Our parent is the server. */
int case_lost(void)
{
	static void *(*const waits[])(void *) = { wait_read, wait_write,  wait_accept, wait_poll,
						  wait_poll, wait_select, wait_epoll };
	pthread_t threads[7];
	socklen_t len = sizeof(at);
	int status;
	pid_t child;

	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(listen(listener, 64) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&at, &len) == 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(pipe(tube) == 0);
	quiet = connection();
	child = child_epoll();
	for (int i = 0; i < 7; i++)
		CHECK(pthread_create(&threads[i], NULL, waits[i], i == 4 ? &at : NULL) == 0);
	while (waiting < 7)
		usleep(1000);
	usleep(50000); /* and in the call */
	CHECK(kill(getppid(), SIGKILL) == 0);
	for (int i = 0; i < 7; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == ENETDOWN);
	/* With what is not the network's it goes on. */
	CHECK(write(tube[1], "x", 1) == 1);
	printf("fine\n");
	return 0;
}
