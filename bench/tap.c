/* SPDX-License-Identifier: MIT */
/*
 * A server of Couplet's for a client of the kernel's, over a link, in a network namespace of its
 * own; in turn with it the same client and the loop without a protocol on the same link
 * (noproto.h), which is that link's limit, and the kernel against itself over the loopback device:
 * each row has both ratios. Needs root, or a user that may make namespaces.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/config.h"
#include "host/loop.h"
#include "host/netns.h"
#include "bench/noproto.h"
#include "bench/options.h"
#include "link/kernel_if.h"

static const char usage[] =
	"tap [MODE] [KEY=VALUE ...]\n"
	"MODE: k2s (from the kernel), s2k (to the kernel), rr, churn, or all\n"
	"mb=1024             of the bulk rows\n"
	"n=20000 conc=8      round trips or connections; so many connections at a time\n"
	"reps=3              each of the three servers in turn, so often\n"
	"mtu=1500 offload=1\n"
	"sndbuf=BYTES        of Couplet (0: as large as it grows by itself)\n"
	"link=tap|tun        a device of the kernel's\n"
	"link=packet|packet3|xdp   one end of a veth pair; packet3: blocks of packets\n"
	"link=shm            memory shared with the client's process, which has Couplet\n"
	"spin=US             servers, and Couplet's client, look so long before they\n"
	"                    sleep (0)\n";

#define PORT	 5001
#define BLOCK	 65536
#define MSG	 64
#define LOOK_NS	 200 /* what a look in vain takes, about */
#define SHM_PATH "/tmp/couplet-bench-wire"

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
static uint64_t sndbuf;
static uint64_t spin_ns;

static void die(const char *what)
{
	fprintf(stderr, "tap: %s: %s\n", what, strerror(errno));
	_exit(1);
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

/* ENDS: also look for the end. Else a read that left room took all there was, as in the others. */
static void serve(struct server *s, cpl_handle h, bool ends, uint64_t now)
{
	static uint8_t in[BLOCK];
	long n;

	if (mode == S2K) {
		serve_source(s, h, now);
		return;
	}
	do {
		n = cpl_recv(s->stack, h, in, sizeof(in), 0, now);
		if (n > 0 && mode != K2S)
			cpl_send(s->stack, h, in, (size_t)n, 0, now);
	} while (n == sizeof(in) || (n > 0 && ends));
	if (n <= 0 && n != -EAGAIN)
		cpl_close(s->stack, h, now);
}

static void on_event(void *arg, const struct cpl_event *ev, uint64_t now)
{
	struct server *s = arg;
	cpl_handle h;

	if (ev->handle != s->listener) {
		serve(s, ev->handle, ev->what & (CPL_EV_PEER_FIN | CPL_EV_CLOSED), now);
		return;
	}
	while (!cpl_accept(s->stack, s->listener, &h, now)) {
		cpl_set_option(s->stack, h, CPL_OPT_NODELAY, 1, now);
		if (sndbuf)
			cpl_set_option(s->stack, h, CPL_OPT_SNDBUF, sndbuf, now);
		s->sent = 0;
		serve(s, h, true, now);
	}
}

static int open_tun(struct link **link, bool tap, uint32_t mtu, bool offload, struct link_why *why)
{
	struct link_tun_config config = { .mtu = mtu, .no_offload = !offload };
	int err = tap ? link_tap_open(link, &config, why) : link_tun_open(link, &config, why);

	if (!err)
		err = kernel_if_set_mtu((*link)->iface.name, mtu, why);
	return err;
}

/* One end of a veth pair is ours, the other the kernel's. */
static int open_veth(struct link **link, const char *kind, uint32_t mtu, bool offload,
		     struct link_why *why)
{
	struct link_packet_config packet = { .name = "ours",
					     .no_offload = !offload,
					     .blocks = !strcmp(kind, "packet3") };
	struct link_xdp_config xdp = { .name = "ours" };
	char command[256];

	snprintf(command, sizeof(command),
		 "ip link del ours 2>/dev/null; ip link add ours mtu %u type veth peer name theirs "
		 "mtu %u && ip link set ours up && ip link set theirs up",
		 mtu, mtu);
	if (system(command))
		return link_fail(why, -EIO, "cannot make a veth pair");
	if (!offload && kernel_if_set_offload("theirs", false, why))
		return -EIO;
	return strcmp(kind, "xdp") ? link_packet_open(link, &packet, why)
				   : link_xdp_open(link, &xdp, why);
}

/* The link with the kernel's TCP at its other end, 10.88.0.1. */
static struct link *open_device(int argc, char **argv)
{
	uint32_t mtu = (uint32_t)option_number(argc, argv, "mtu", 1500);
	bool offload = option_number(argc, argv, "offload", 1);
	const char *kind = option(argc, argv, "link", "tap"), *theirs = "theirs";
	struct cpl_addr kernel = cpl_addr4(10, 88, 0, 1);
	bool tap = !strcmp(kind, "tap"), tun = !strcmp(kind, "tun");
	struct link *link = NULL;
	struct link_why why;
	struct link_shm_config shm = { .path = SHM_PATH, .mtu = mtu, .no_offload = !offload };
	int err = !strcmp(kind, "shm") ? link_shm_open(&link, &shm, &why)
		  : tap || tun	       ? open_tun(&link, tap, mtu, offload, &why)
				       : open_veth(&link, kind, mtu, offload, &why);

	if (!err && (tap || tun))
		theirs = link->iface.name;
	if (!err && !strcmp(kind, "shm"))
		return link;
	if (err || kernel_if_up(theirs, &why) || kernel_if_addr_add(theirs, &kernel, 24, &why)) {
		fprintf(stderr, "tap: %s\n", why.text);
		_exit(1);
	}
	return link;
}

static void run_noproto(struct link *link, int ready)
{
	enum noproto_work work = mode == S2K   ? NOPROTO_SOURCE
				 : mode == K2S ? NOPROTO_SINK
					       : NOPROTO_ECHO;

	if (write(ready, "", 1) != 1)
		die("pipe");
	noproto_run(link, work, total_bytes, 0x0a580002, 0x0a580001, PORT, mode == RR,
		    (unsigned)(spin_ns / LOOK_NS));
}

static void run_server(struct link *link, int ready)
{
	struct cpl_addr ours = cpl_addr4(10, 88, 0, 2);
	struct cpl_endpoint at = { .port = PORT };
	struct server s = { .sent = 0 };
	struct cpl_config config;
	struct link_why why;
	struct loop *loop;
	int ifindex;

	if (config_fill(&config, &why) || cpl_stack_new(&s.stack, &config, loop_clock()) ||
	    loop_new(&loop, s.stack, &why)) {
		fprintf(stderr, "tap: %s\n", why.text);
		_exit(1);
	}
	ifindex = loop_add_link(loop, link, CPL_IFACE_NO_DAD, &why);
	if (ifindex < 0 || cpl_addr_add(s.stack, ifindex, &ours, 24, loop_clock()) ||
	    cpl_listen(s.stack, &at, 4096, &s.listener, loop_clock()))
		die("server");
	loop_on_event(loop, on_event, &s);
	loop_set_spin(loop, spin_ns);
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
	struct timeval limit = { .tv_sec = 20 }; /* who has no protocol sends nothing again */
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
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

enum who {
	COUPLET,
	NOPROTO,
	KERNEL,
	WHOS
};

static const char *const who_names[] = { "couplet", "no-protocol", "kernel" };

/* Seconds that the work took; of round trips, the 99th percentile. */
struct took {
	double seconds, p99_us;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double round_trips(int fd, long n)
{
	double *each = malloc((size_t)n * sizeof(*each)), p99;

	for (long i = 0; i < n; i++) {
		uint64_t t = loop_clock();

		one_message(fd);
		each[i] = (double)(loop_clock() - t) / 1e3;
	}
	qsort(each, (size_t)n, sizeof(*each), compare);
	p99 = each[n * 99 / 100];
	free(each);
	return p99;
}

/* ---- the client, on Couplet, over shared memory ---- */

struct dialler {
	cpl_stack *stack;
	struct loop *loop;
	long n, opened, done; /* connections, or round trips */
	uint64_t octets, since;
	double *each;
};

static void dial_stack(struct dialler *d, uint64_t now)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 88, 0, 2), .port = PORT };
	cpl_handle h;

	if (cpl_connect(d->stack, NULL, &to, &h, now))
		die("connect");
	cpl_set_option(d->stack, h, CPL_OPT_NODELAY, 1, now);
	d->opened++;
}

static void say_one(struct dialler *d, cpl_handle h, uint64_t now)
{
	d->since = loop_clock();
	if (cpl_send(d->stack, h, block, MSG, 0, now) != MSG)
		die("send");
}

static void hear_one(struct dialler *d, cpl_handle h, uint64_t now)
{
	uint8_t in[MSG];

	if (cpl_recv(d->stack, h, in, sizeof(in), 0, now) != MSG)
		return;
	if (mode == RR)
		d->each[d->done] = (double)(loop_clock() - d->since) / 1e3;
	if (++d->done == d->n)
		loop_stop(d->loop);
	else if (mode == RR)
		say_one(d, h, now);
	if (mode == RR)
		return;
	cpl_abort(d->stack, h, now);
	if (d->opened < d->n)
		dial_stack(d, now);
}

static void move_bulk(struct dialler *d, cpl_handle h, uint64_t now)
{
	static uint8_t in[BLOCK];
	long n = 1;

	while (mode == K2S && n > 0 && d->octets < total_bytes) {
		uint64_t left = total_bytes - d->octets;

		n = cpl_send(d->stack, h, block, left < BLOCK ? (size_t)left : BLOCK, 0, now);
		d->octets += n > 0 ? (uint64_t)n : 0;
		if (d->octets == total_bytes)
			cpl_shutdown(d->stack, h, now);
	}
	while ((n = cpl_recv(d->stack, h, in, sizeof(in), 0, now)) > 0)
		d->octets += (uint64_t)n;
	if (n == -EAGAIN || n == -ENOTCONN)
		return;
	if (d->octets != total_bytes)
		die("bulk");
	loop_stop(d->loop);
}

static void dialler_event(void *arg, const struct cpl_event *ev, uint64_t now)
{
	struct dialler *d = arg;

	if (ev->what & CPL_EV_CONNECTED && sndbuf)
		cpl_set_option(d->stack, ev->handle, CPL_OPT_SNDBUF, sndbuf, now);
	if (mode <= S2K)
		move_bulk(d, ev->handle, now);
	else if (ev->what & CPL_EV_CONNECTED)
		say_one(d, ev->handle, now);
	else if (ev->what & CPL_EV_READABLE)
		hear_one(d, ev->handle, now);
}

static struct took client_on_stack(int argc, char **argv, long n, long conc)
{
	struct dialler d = { .n = n, .each = malloc((size_t)n * sizeof(double)) };
	struct link *link = open_device(argc, argv);
	struct cpl_addr ours = cpl_addr4(10, 88, 0, 1);
	struct cpl_config config;
	struct took took = { 0 };
	struct link_why why;
	uint64_t t = loop_clock();
	int ifindex;

	if (config_fill(&config, &why) || cpl_stack_new(&d.stack, &config, t) ||
	    loop_new(&d.loop, d.stack, &why))
		die(why.text);
	ifindex = loop_add_link(d.loop, link, 0, &why);
	if (ifindex < 0 || cpl_addr_add(d.stack, ifindex, &ours, 24, t))
		die(why.text);
	loop_on_event(d.loop, dialler_event, &d);
	loop_set_spin(d.loop, spin_ns);
	for (long i = 0; i < (mode == CHURN ? conc : 1); i++)
		dial_stack(&d, t);
	loop_run(d.loop);
	took.seconds = (double)(loop_clock() - t) / 1e9;
	if (mode == RR) {
		qsort(d.each, (size_t)n, sizeof(*d.each), compare);
		took.p99_us = d.each[n * 99 / 100];
	}
	loop_free(d.loop);
	cpl_stack_free(d.stack);
	free(d.each);
	return took;
}

/* ---- a row ---- */

static struct took client(const char *address, long n, long conc)
{
	uint64_t t = loop_clock();
	struct took took = { 0 };

	if (mode == CHURN) {
		churn(address, n, conc);
	} else {
		int fd = dial(address);

		if (mode == RR)
			took.p99_us = round_trips(fd, n);
		else
			client_bulk(fd);
		close(fd);
	}
	took.seconds = (double)(loop_clock() - t) / 1e9;
	return took;
}

/* One measurement: Gbit/s, or a second. */
static double measure(int argc, char **argv, enum who who, double *p99_us)
{
	long n = option_number(argc, argv, "n", 20000), conc = option_number(argc, argv, "conc", 8);
	struct took took;
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready))
		die("pipe");
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, who_names[who]);
		if (who == KERNEL)
			run_kernel_server(ready[1]);
		if (who == NOPROTO)
			run_noproto(open_device(argc, argv), ready[1]);
		run_server(open_device(argc, argv), ready[1]);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		exit(1);
	close(ready[0]);
	took = who != KERNEL && !strcmp(option(argc, argv, "link", "tap"), "shm")
		       ? client_on_stack(argc, argv, n, conc)
		       : client(who == KERNEL ? "127.0.0.1" : "10.88.0.2", n, conc);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	*p99_us = took.p99_us;
	return mode <= S2K ? (double)total_bytes * 8 / took.seconds / 1e9
			   : (double)n / took.seconds;
}

#define REPS_MAX 32

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), compare);
	return values[n / 2];
}

static void say_ratio(const char *to, const double *a, const double *b, int n)
{
	double ratio[REPS_MAX];

	for (int i = 0; i < n; i++)
		ratio[i] = a[i] / b[i];
	median(ratio, n);
	printf(" %s %.2f (%.2f to %.2f)", to, ratio[n / 2], ratio[0], ratio[n - 1]);
}

static void row(int argc, char **argv)
{
	double got[WHOS][REPS_MAX], p99[WHOS][REPS_MAX];
	int reps = (int)option_number(argc, argv, "reps", 3);

	if (reps < 1 || reps > REPS_MAX)
		reps = 3;
	for (int i = 0; i < reps; i++)
		for (enum who who = 0; who < WHOS; who++)
			got[who][i] = measure(argc, argv, who, &p99[who][i]);
	printf("%-5s ratio to", mode_names[mode]);
	say_ratio("no protocol", got[COUPLET], got[NOPROTO], reps);
	say_ratio("kernel over lo", got[COUPLET], got[KERNEL], reps);
	if (mode == RR)
		say_ratio("p99 to no protocol", p99[COUPLET], p99[NOPROTO], reps);
	printf("\n      couplet %.5g, no protocol %.5g, kernel %.5g %s", median(got[COUPLET], reps),
	       median(got[NOPROTO], reps), median(got[KERNEL], reps),
	       mode <= S2K ? "Gbit/s" : "a second");
	if (mode == RR)
		printf("; p99 %.1f, %.1f, %.1f us", median(p99[COUPLET], reps),
		       median(p99[NOPROTO], reps), median(p99[KERNEL], reps));
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *which = argc > 1 && !strchr(argv[1], '=') ? argv[1] : "all";
	struct link_why why;
	bool any = false;

	options_check(argc, argv, usage);
	total_bytes = (uint64_t)option_number(argc, argv, "mb", 1024) << 20;
	sndbuf = (uint64_t)option_number(argc, argv, "sndbuf", 0);
	spin_ns = (uint64_t)option_number(argc, argv, "spin", 0) * 1000;
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
