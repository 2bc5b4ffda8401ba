/* SPDX-License-Identifier: MIT */
/*
 * Couplet against the kernel's TCP over a TAP or TUN device, in a network namespace of its own;
 * and, in turn with it, the kernel against itself over the loopback device, so that each row has
 * its ratio. Needs root, or a user that may make namespaces.
 *
 *   tap [MODE] [KEY=VALUE ...]   MODE: k2s (from the kernel), s2k (to the kernel), rr, churn; or
 * all mb=1024 n=20000 conc=8 reps=3 link=tap|tun offload=1 mtu=1500
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/config.h"
#include "host/loop.h"
#include "host/netns.h"
#include "link/kernel_if.h"

#define PORT  5001
#define BLOCK 65536
#define MSG   64

enum mode {
	K2S,
	S2K,
	RR,
	CHURN,
	MODES
};

static const char *const mode_names[] = { "k2s", "s2k", "rr", "churn" };

static uint8_t block[BLOCK];
static enum mode mode;
static uint64_t total_bytes;

static void die(const char *what)
{
	fprintf(stderr, "tap: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static const char *option(int argc, char **argv, const char *key, const char *fallback)
{
	size_t n = strlen(key);

	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], key, n) && argv[i][n] == '=')
			return argv[i] + n + 1;
	return fallback;
}

/* ---- the server, on Couplet ---- */

struct server {
	cpl_stack *stack;
	cpl_handle listener;
	uint64_t sent;
};

static void serve_source(struct server *s, cpl_handle h, uint64_t now)
{
	while (s->sent < total_bytes) {
		uint64_t left = total_bytes - s->sent;
		long n = cpl_send(s->stack, h, block, left < BLOCK ? (size_t)left : BLOCK, 0, now);

		if (n <= 0)
			return;
		s->sent += (uint64_t)n;
	}
	cpl_close(s->stack, h, now);
}

static void serve(struct server *s, cpl_handle h, uint64_t now)
{
	static uint8_t in[BLOCK];
	long n;

	if (mode == S2K) {
		serve_source(s, h, now);
		return;
	}
	while ((n = cpl_recv(s->stack, h, in, sizeof(in), 0, now)) > 0)
		if (mode != K2S)
			cpl_send(s->stack, h, in, (size_t)n, 0, now);
	if (n != -EAGAIN)
		cpl_close(s->stack, h, now);
}

static void on_event(void *arg, const struct cpl_event *ev, uint64_t now)
{
	struct server *s = arg;
	cpl_handle h;

	if (ev->handle != s->listener) {
		serve(s, ev->handle, now);
		return;
	}
	while (!cpl_accept(s->stack, s->listener, &h, now)) {
		cpl_set_option(s->stack, h, CPL_OPT_NODELAY, 1, now);
		s->sent = 0;
		serve(s, h, now);
	}
}

static void run_server(bool tap, bool offload, uint32_t mtu, int ready)
{
	struct link_tun_config link_config = { .mtu = mtu, .no_offload = !offload };
	struct cpl_addr kernel = cpl_addr4(10, 88, 0, 1), ours = cpl_addr4(10, 88, 0, 2);
	struct cpl_endpoint at = { .port = PORT };
	struct server s = { .sent = 0 };
	struct cpl_config config;
	struct link_why why;
	struct link *link;
	struct loop *loop;
	int ifindex;

	if (config_fill(&config, &why) ||
	    (tap ? link_tap_open(&link, &link_config, &why)
		 : link_tun_open(&link, &link_config, &why)) ||
	    kernel_if_set_mtu(link->iface.name, mtu, &why) ||
	    kernel_if_up(link->iface.name, &why) ||
	    kernel_if_addr_add(link->iface.name, &kernel, 24, &why) ||
	    cpl_stack_new(&s.stack, &config, loop_clock()) || loop_new(&loop, s.stack, &why)) {
		fprintf(stderr, "tap: %s\n", why.text);
		_exit(1);
	}
	ifindex = loop_add_link(loop, link, CPL_IFACE_NO_DAD, &why);
	if (ifindex < 0 || cpl_addr_add(s.stack, ifindex, &ours, 24, loop_clock()) ||
	    cpl_listen(s.stack, &at, 4096, &s.listener, loop_clock()))
		die("server");
	loop_on_event(loop, on_event, &s);
	if (write(ready, "", 1) != 1)
		die("pipe");
	loop_run(loop);
	_exit(0);
}

/* ---- the server, on the kernel ---- */

static void kernel_conn(int fd)
{
	static uint8_t in[BLOCK];
	int one = 1;
	ssize_t n;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (mode == S2K) {
		for (uint64_t left = total_bytes; left; left -= (uint64_t)n)
			if ((n = send(fd, block, left < BLOCK ? (size_t)left : BLOCK, 0)) <= 0)
				break;
	} else {
		while ((n = recv(fd, in, sizeof(in), 0)) > 0)
			if (mode != K2S && send(fd, in, (size_t)n, 0) != n)
				break;
	}
	close(fd);
}

/* One process that polls all of its connections, as Couplet's server does. */
static void run_kernel_server(int ready)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct pollfd fds[1024];
	int one = 1, n = 1, l = socket(AF_INET, SOCK_STREAM, 0);
	static uint8_t in[BLOCK];

	inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l, (struct sockaddr *)&at, sizeof(at)) || listen(l, 4096) ||
	    write(ready, "", 1) != 1)
		die("kernel server");
	fds[0] = (struct pollfd){ .fd = l, .events = POLLIN };
	while (mode == K2S || mode == S2K)
		kernel_conn(accept(l, NULL, NULL));
	for (;;) {
		poll(fds, (nfds_t)n, -1);
		for (int i = n - 1; i > 0; i--) {
			ssize_t got;

			if (!fds[i].revents)
				continue;
			got = recv(fds[i].fd, in, sizeof(in), 0);
			if (got > 0 && send(fds[i].fd, in, (size_t)got, 0) == got)
				continue;
			close(fds[i].fd);
			fds[i] = fds[--n];
		}
		if (fds[0].revents && n < 1024) {
			fds[n] = (struct pollfd){ .fd = accept(l, NULL, NULL), .events = POLLIN };
			setsockopt(fds[n++].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		}
	}
}

/* ---- the client, on the kernel ---- */

static int dial(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct linger hard = { 1, 0 };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (mode ==
	    CHURN) /* the server closed first: nothing is lost, and no port stays in TIME-WAIT */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	return fd;
}

static void one_message(int fd)
{
	uint8_t in[MSG];

	if (send(fd, block, MSG, 0) != MSG || recv(fd, in, MSG, MSG_WAITALL) != MSG)
		die("round trip");
}

static void client_bulk(int fd)
{
	uint64_t left = total_bytes;
	static uint8_t in[BLOCK];
	ssize_t n;

	while (left && mode == K2S) {
		n = send(fd, block, left < BLOCK ? (size_t)left : BLOCK, 0);
		if (n <= 0)
			die("send");
		left -= (uint64_t)n;
	}
	if (mode == K2S)
		shutdown(fd, SHUT_WR);
	while ((n = recv(fd, in, sizeof(in), 0)) > 0)
		left -= (uint64_t)n;
	if (left || n < 0)
		die("recv");
}

static void churn(const char *address, long n, long conc)
{
	for (long k = 0; k < conc; k++) {
		if (fork())
			continue;
		for (long i = 0; i < n / conc; i++) {
			int fd = dial(address);

			one_message(fd);
			close(fd);
		}
		_exit(0);
	}
	for (long k = 0; k < conc; k++)
		wait(NULL);
}

/* Seconds that the work took. */
static double client(const char *address, long n, long conc)
{
	uint64_t t = loop_clock();

	if (mode == CHURN) {
		churn(address, n, conc);
	} else {
		int fd = dial(address);

		if (mode == RR)
			for (long i = 0; i < n; i++)
				one_message(fd);
		else
			client_bulk(fd);
		close(fd);
	}
	return (double)(loop_clock() - t) / 1e9;
}

/* One measurement: Gbit/s, or a second. */
static double measure(int argc, char **argv, bool kernel)
{
	long n = atol(option(argc, argv, "n", "20000")),
	     conc = atol(option(argc, argv, "conc", "8"));
	int ready[2];
	char byte;
	pid_t pid;
	double t;

	if (pipe(ready))
		die("pipe");
	pid = fork();
	if (!pid) {
		if (kernel)
			run_kernel_server(ready[1]);
		run_server(!strcmp(option(argc, argv, "link", "tap"), "tap"),
			   atoi(option(argc, argv, "offload", "1")),
			   (uint32_t)atoi(option(argc, argv, "mtu", "1500")), ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		exit(1);
	close(ready[0]);
	t = client(kernel ? "127.0.0.1" : "10.88.0.2", n, conc);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return mode <= S2K ? (double)total_bytes * 8 / t / 1e9 : (double)n / t;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void row(int argc, char **argv)
{
	int reps = atoi(option(argc, argv, "reps", "3"));
	double ours[32], theirs[32], ratio[32];

	if (reps < 1 || reps > 32)
		reps = 3;
	for (int i = 0; i < reps; i++) {
		ours[i] = measure(argc, argv, false);
		theirs[i] = measure(argc, argv, true);
		ratio[i] = ours[i] / theirs[i];
	}
	qsort(ours, (size_t)reps, sizeof(double), compare);
	qsort(theirs, (size_t)reps, sizeof(double), compare);
	qsort(ratio, (size_t)reps, sizeof(double), compare);
	printf("%-5s couplet %8.5g %s, kernel over lo %8.5g, ratio %.2f (%.2f to %.2f)\n",
	       mode_names[mode], ours[reps / 2], mode <= S2K ? "Gbit/s" : "a second",
	       theirs[reps / 2], ratio[reps / 2], ratio[0], ratio[reps - 1]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *which = argc > 1 && !strchr(argv[1], '=') ? argv[1] : "all";
	struct link_why why;
	bool any = false;

	total_bytes = (uint64_t)atol(option(argc, argv, "mb", "1024")) << 20;
	if (netns_enter(argv, &why)) {
		fprintf(stderr, "tap: %s\n", why.text);
		return 3;
	}
	signal(SIGPIPE, SIG_IGN);
	for (int m = 0; m < MODES; m++) {
		if (strcmp(which, "all") && strcmp(which, mode_names[m]))
			continue;
		mode = m;
		row(argc, argv);
		any = true;
	}
	if (!any)
		fprintf(stderr, "tap: no mode %s\n", which);
	return any ? 0 : 2;
}
