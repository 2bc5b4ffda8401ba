/* SPDX-License-Identifier: MIT */
/* Of the programs of shim_cases.h: an echo in each way to wait, and what streams to it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/util/shim_case.h"

/* ---- The echo, in each way to wait ---------------------------------------------------------- */

/* Send back what there is. False: the peer has closed, or is gone. */
static bool echo_once(int fd)
{
	static __thread char data[65536];
	ssize_t n = read(fd, data, sizeof(data)), done = 0;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	while (done < n) {
		ssize_t k = send(fd, data + done, (size_t)(n - done), MSG_NOSIGNAL);
		struct pollfd p = { .fd = fd, .events = POLLOUT };

		if (k < 0 && errno == EAGAIN)
			poll(&p, 1, 1000);
		else if (k < 0)
			return false;
		else
			done += k;
	}
	return true;
}

static int echo_epoll(int l)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = l }, got[8];
	int set = epoll_create1(EPOLL_CLOEXEC);

	CHECK(set >= 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, l, &event) == 0);
	for (;;) {
		int n = epoll_wait(set, got, 8, -1);

		CHECK(n > 0 || errno == EINTR);
		for (int i = 0; i < n; i++) {
			int fd = got[i].data.fd;

			if (fd == l) {
				event.data.fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
				if (event.data.fd >= 0)
					CHECK(epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd,
							&event) == 0);
			} else if (!echo_once(fd)) {
				close(fd);
			}
		}
	}
}

static int echo_poll(int l)
{
	static struct pollfd set[1100];
	int n = 1;

	set[0] = (struct pollfd){ .fd = l, .events = POLLIN };
	for (;;) {
		CHECK(poll(set, (nfds_t)n, -1) > 0);
		for (int i = n - 1; i > 0; i--)
			if (set[i].revents && !echo_once(set[i].fd)) {
				close(set[i].fd);
				set[i] = set[--n];
			}
		if (set[0].revents) {
			int fd = accept(l, NULL, NULL);

			CHECK(fd >= 0);
			set[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
	}
}

static int echo_select(int l)
{
	fd_set all, in;

	FD_ZERO(&all);
	FD_SET(l, &all);
	for (;;) {
		in = all;
		CHECK(select(FD_SETSIZE, &in, NULL, NULL, NULL) > 0);
		for (int fd = 0; fd < FD_SETSIZE; fd++) {
			if (!FD_ISSET(fd, &in))
				continue;
			if (fd == l) {
				int conn = accept(l, NULL, NULL);

				CHECK(conn >= 0);
				FD_SET(conn, &all);
			} else if (!echo_once(fd)) {
				FD_CLR(fd, &all);
				close(fd);
			}
		}
	}
}

/* A child for each connection. */
static int echo_fork(int l)
{
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(l, NULL, NULL);

		CHECK(fd >= 0);
		if (fork() == 0) {
			close(l);
			while (echo_once(fd))
				;
			_exit(0);
		}
		close(fd);
	}
}

int case_echo(char **argv)
{
	int l = case_listener((uint16_t)atoi(argv[1]));

	if (!strcmp(argv[0], "epoll"))
		return echo_epoll(l);
	if (!strcmp(argv[0], "poll"))
		return echo_poll(l);
	if (!strcmp(argv[0], "select"))
		return echo_select(l);
	return echo_fork(l);
}

/* ---- What talks to it ----------------------------------------------------------------------- */

/* Wait until FD is ready for EVENTS, in the way that HOW says. */
static short ready(const char *how, int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct epoll_event e = { .events = (uint32_t)events }, got;
	fd_set in, out;
	int set;

	if (!strcmp(how, "poll")) {
		CHECK(poll(&p, 1, 10000) == 1);
		return p.revents;
	}
	if (!strcmp(how, "select")) {
		FD_ZERO(&in);
		FD_ZERO(&out);
		if (events & POLLIN)
			FD_SET(fd, &in);
		if (events & POLLOUT)
			FD_SET(fd, &out);
		CHECK(select(fd + 1, &in, &out, NULL, &(struct timeval){ 10, 0 }) > 0);
		return (short)((FD_ISSET(fd, &in) ? POLLIN : 0) |
			       (FD_ISSET(fd, &out) ? POLLOUT : 0));
	}
	set = epoll_create1(0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
	CHECK(epoll_wait(set, &got, 1, 10000) == 1);
	close(set);
	return (short)got.events;
}

/* Send LEN octets of the pattern and check what comes back, without ever blocking in a call. */
static void stream(const char *how, int fd, size_t len)
{
	static uint8_t out[200000], in[200000];
	size_t sent = 0, got = 0;
	bool block = !strcmp(how, "block");

	CHECK(fcntl(fd, F_SETFL, block ? 0 : O_NONBLOCK) == 0);
	while (got < len) {
		size_t room = len - sent < sizeof(out) ? len - sent : sizeof(out);
		short events = block ? 0 : ready(how, fd, sent < len ? POLLIN | POLLOUT : POLLIN);
		ssize_t n;

		/* The echo holds little: no more than it can take is in flight when we block. */
		if (room && (block ? sent - got < 65536 : events & POLLOUT)) {
			room = block && room > 30000 ? 30000 : room;
			for (size_t i = 0; i < room; i++)
				out[i] = case_octet(sent + i);
			n = write(fd, out, room);
			CHECK(n > 0 || (n < 0 && errno == EAGAIN && !block));
			sent += n > 0 ? (size_t)n : 0;
			CHECK(!block || n == (ssize_t)room);
		}
		if (block ? sent == len || sent - got >= 65536 : events & POLLIN) {
			n = read(fd, in, sizeof(in));
			CHECK(n > 0 || (n < 0 && errno == EAGAIN && !block));
			for (ssize_t i = 0; i < n; i++)
				CHECK(in[i] == case_octet(got + (size_t)i));
			got += n > 0 ? (size_t)n : 0;
		}
	}
	CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	CHECK(read(fd, in, 1) == 0);
	close(fd);
}

int case_stream(char **argv)
{
	stream(argv[0], case_dial((uint16_t)atoi(argv[1])), (size_t)atol(argv[2]));
	return 0;
}

/* ---- sendfile(2) --------------------------------------------------------------------------- */

/* One that does not block, then one that does and is asked for too much. */
int case_sendfile(int fd)
{
	static char big[300000], back[300000];
	char path[] = "/tmp/couplet-shim-XXXXXX";
	int file = mkstemp(path), status;
	off_t at = 0;
	size_t got = 0;
	pid_t pid;

	CHECK(file >= 0 && unlink(path) == 0);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)case_octet(i);
	CHECK(write(file, big, sizeof(big)) == (ssize_t)sizeof(big));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (got < sizeof(big)) {
		ssize_t n = at < (off_t)sizeof(big) ? sendfile(fd, file, &at, sizeof(big)) : 0;

		CHECK(n >= 0 || errno == EAGAIN);
		n = read(fd, back + got, sizeof(big) - got);
		CHECK(n > 0 || errno == EAGAIN);
		got += n > 0 ? (size_t)n : 0;
		if (n < 0)
			usleep(100);
	}
	CHECK(memcmp(big, back, sizeof(big)) == 0);
	fcntl(fd, F_SETFL, 0);
	CHECK(lseek(file, 70000, SEEK_SET) == 70000);
	pid = fork();
	if (!pid) {
		ssize_t n = recv(fd, back, sizeof(big) - 70000, MSG_WAITALL);

		_exit(n != (ssize_t)sizeof(big) - 70000 || memcmp(big + 70000, back, (size_t)n));
	}
	CHECK(sendfile(fd, file, NULL, sizeof(big)) == (ssize_t)sizeof(big) - 70000);
	CHECK(lseek(file, 0, SEEK_CUR) == (off_t)sizeof(big));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(close(file) == 0);
	return 0;
}
