/* SPDX-License-Identifier: MIT */
/* Flows through one wire: see flow.h. One loop serves the wire and Couplet's ends. */
#define _GNU_SOURCE
#include "tests/util/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/config.h"
#include "host/loop.h"
#include "host/netns.h"
#include "link/kernel_if.h"
#include "source/tcp_info.h"

#define PORT	   5001
#define BLOCK	   65536
#define SEGMENT	   1448u
#define FRAME_MAX  65600
#define SECOND	   1000000000ull
#define TRACE_NS   5000000u
#define SPIN_NS	   10000u /* a sleep that is shorter would end too late */
#define FLOW_SHIFT 16	  /* a frame's flow, in the flags that travel with it */
#define TUN_QUEUE  10000  /* frames: no drops but the wire's */

struct meter {
	uint64_t start, last; /* of a sender the first: when it could send */
	struct flow_result *r;
};

struct end {
	const struct flow_run *run;
	unsigned flow, side; /* side 0 sends, 1 receives */
	bool kernel, done;
	struct flow_result result;
	struct meter meter;
	uint64_t begun, start; /* all of it; this one is to */
	struct wire *out;
	FILE *trace, *drops;
	uint64_t traced;
	/* the kernel's */
	int fd, report;
	pid_t pid;
	/* Couplet's */
	cpl_stack *stack;
	int ifindex;
	cpl_handle handle, listener;
};

static uint8_t block[BLOCK];

static void die(const char *what)
{
	fprintf(stderr, "flow: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- What the receiver measures -------------------------------------------------------------- */

static unsigned gap_bucket(uint64_t ns)
{
	double us = (double)ns / 1000 + 1;
	unsigned i = (unsigned)(32 * log2(us));

	return i < GAP_BUCKETS ? i : GAP_BUCKETS - 1;
}

double flow_gap_ms(const uint32_t gaps[GAP_BUCKETS], double share)
{
	uint64_t all = 0, n = 0;
	unsigned i;

	for (i = 0; i < GAP_BUCKETS; i++)
		all += gaps[i];
	for (i = 0; i < GAP_BUCKETS; i++) {
		n += gaps[i];
		if ((double)n >= share * (double)all)
			break;
	}
	return exp2((i + 0.5) / 32) / 1000;
}

static void meter_start(struct end *e, uint64_t now)
{
	e->meter = (struct meter){ .start = now, .last = now, .r = &e->result };
}

/* N octets at once: the first segment of them was waited for, the others came with it. */
static void meter_take(struct end *e, size_t n, uint64_t now)
{
	struct meter *m = &e->meter;

	if (now >= m->start + e->run->skip_ns) {
		m->r->octets += n;
		m->r->gaps[gap_bucket(now - m->last)]++;
		m->r->gaps[0] += (uint32_t)((n - 1) / SEGMENT);
	}
	m->last = now;
}

/* NULL: no trace is wanted. */
static FILE *trace_file(const struct end *e, const char *what)
{
	char name[200];
	FILE *file;

	if (!e->run->trace)
		return NULL;
	snprintf(name, sizeof(name), "%s.%u.%c%s", e->run->trace, e->flow, e->kernel ? 'k' : 'c',
		 what);
	file = fopen(name, "w");
	if (!file)
		die(name);
	return file;
}

static void trace_open(struct end *e)
{
	e->trace = trace_file(e, "");
	if (e->trace)
		fprintf(e->trace, "# ms cwnd ssthresh (segments) srtt (ms) sent-again\n");
}

static void trace_line(struct end *e, uint64_t now, double cwnd, double ssthresh, double srtt_ms,
		       uint32_t retrans)
{
	e->traced = now;
	fprintf(e->trace, "%.1f %.2f %.2f %.2f %u\n", (double)(now - e->begun) / 1e6, cwnd,
		ssthresh > 1e6 ? 0 : ssthresh, srtt_ms, retrans);
}

/* ---- The kernel's end: a process in a namespace of its own -----------------------------------*/

static void send_fd(int to, int fd)
{
	char byte = 0, space[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = space,
			    .msg_controllen = sizeof(space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(to, &m, 0) != 1)
		die("sendmsg");
}

static int receive_fd(int from)
{
	char byte, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = space,
			    .msg_controllen = sizeof(space) };
	int fd;

	if (recvmsg(from, &m, 0) != 1 || !CMSG_FIRSTHDR(&m))
		exit(1); /* it said why */
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static int open_tun(unsigned side)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct cpl_addr addr = cpl_addr4(10, 9, 0, (uint8_t)(side + 1));
	struct link_why why;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK), off, any;

	strcpy(ifr.ifr_name, "w");
	off = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_WRONLY);
	if (off >= 0 && write(off, "1", 1) != 1)
		die("disable_ipv6");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		die("/dev/net/tun");
	any = socket(AF_INET, SOCK_DGRAM, 0);
	ifr.ifr_qlen = TUN_QUEUE;
	if (ioctl(any, SIOCSIFTXQLEN, &ifr) < 0)
		die("SIOCSIFTXQLEN");
	close(any);
	if (kernel_if_up("w", &why) || kernel_if_addr_add("w", &addr, 24, &why)) {
		fprintf(stderr, "flow: %s\n", why.text);
		exit(1);
	}
	return fd;
}

static void kernel_info(int fd, struct linux_tcp_info *info)
{
	socklen_t len = sizeof(*info);

	if (getsockopt(fd, IPPROTO_TCP, 11 /* TCP_INFO */, info, &len))
		die("TCP_INFO");
}

static void kernel_sends(struct end *e)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const char *cc = e->run->cc[e->flow];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct timeval patience = { 0, e->run->trace ? TRACE_NS / 1000 : 20000 };
	struct linux_tcp_info info = { 0 };
	uint64_t start, now;

	inet_pton(AF_INET, "10.9.0.2", &to.sin_addr);
	if (setsockopt(fd, IPPROTO_TCP, 13 /* TCP_CONGESTION */, cc, (socklen_t)strlen(cc)))
		die("TCP_CONGESTION");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	trace_open(e);
	start = loop_clock();
	while ((now = loop_clock()) < start + e->run->run_ns) {
		if (send(fd, block, BLOCK, 0) < 0 && errno != EAGAIN)
			die("send");
		if (!e->trace || now < e->traced + TRACE_NS)
			continue;
		kernel_info(fd, &info);
		trace_line(e, now, info.snd_cwnd, info.snd_ssthresh, info.rtt / 1e3,
			   info.total_retrans);
	}
	kernel_info(fd, &info);
	if (e->trace)
		fclose(e->trace);
	e->result.retrans = info.total_retrans;
	e->result.sent = info.data_segs_out;
}

static void kernel_receives(struct end *e, int listener)
{
	int fd = accept(listener, NULL, NULL);
	struct timeval patience = { 0, 20000 };

	if (fd < 0)
		die("accept");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	meter_start(e, loop_clock());
	while (loop_clock() < e->meter.start + e->run->run_ns) {
		ssize_t n = recv(fd, block, BLOCK, 0);

		if (n > 0)
			meter_take(e, (size_t)n, loop_clock());
		else if (n == 0 || errno != EAGAIN)
			break;
	}
}

static void kernel_process(struct end *e, int to_parent)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct link_why why;
	int listener = -1, tun;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (netns_enter(NULL, &why)) {
		fprintf(stderr, "flow: %s\n", why.text);
		exit(1);
	}
	tun = open_tun(e->side);
	if (e->side) {
		listener = socket(AF_INET, SOCK_STREAM, 0);
		if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 1))
			die("listen");
	}
	send_fd(to_parent, tun);
	close(tun);
	if (e->side) {
		kernel_receives(e, listener);
	} else { /* the other end is ready when the parent says so */
		if (read(to_parent, &byte, 1) != 1)
			exit(1);
		kernel_sends(e);
	}
	if (write(to_parent, &e->result, sizeof(e->result)) != sizeof(e->result))
		exit(1);
	pause();
}

static void kernel_open(struct end *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair))
		die("socketpair");
	e->pid = fork();
	if (!e->pid) {
		close(pair[0]);
		kernel_process(e, pair[1]);
		_exit(1);
	}
	close(pair[1]);
	e->fd = receive_fd(pair[0]);
	e->report = pair[0];
	fcntl(e->report, F_SETFL, O_NONBLOCK);
}

/* ---- Couplet's end: a stack in this process --------------------------------------------------*/

static void couplet_open(struct end *e, uint64_t now)
{
	struct cpl_iface_config iface = { .size = sizeof(iface),
					  .kind = CPL_IFACE_IP,
					  .mtu = 1500 };
	struct cpl_addr addr = cpl_addr4(10, 9, 0, (uint8_t)(e->side + 1));
	struct cpl_endpoint at = { .port = PORT };
	struct cpl_config config;
	struct link_why why;

	if (config_fill(&config, &why))
		die(why.text);
	snprintf(config.cc_name, sizeof(config.cc_name), "%s", e->run->cc[e->flow]);
	if (cpl_stack_new(&e->stack, &config, now))
		die("stack");
	e->ifindex = cpl_iface_add(e->stack, &iface, now);
	if (e->ifindex < 0 || cpl_addr_add(e->stack, e->ifindex, &addr, 24, now))
		die("interface");
	if (e->side && cpl_listen(e->stack, &at, 1, &e->listener, now))
		die("listen");
}

static void start(struct end *e, uint64_t now)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 9, 0, 2), .port = PORT };

	e->start = UINT64_MAX;
	if (e->kernel && write(e->report, "", 1) != 1)
		die("start");
	if (e->kernel)
		return;
	trace_open(e);
	if (cpl_connect(e->stack, NULL, &to, &e->handle, now))
		die("connect");
}

static void couplet_sends(struct end *e, uint64_t now)
{
	struct cpl_info info;

	if (cpl_info_get(e->stack, e->handle, &info, now) || info.state != CPL_ESTABLISHED)
		return;
	if (!e->meter.start)
		e->meter.start = now;
	if (e->trace && now >= e->traced + TRACE_NS)
		trace_line(e, now, (double)info.cwnd / SEGMENT, (double)info.ssthresh / SEGMENT,
			   (double)info.srtt / 1e6, info.retrans);
	e->result.retrans = info.retrans;
	e->result.sent = info.data_segs_out;
	e->done = now >= e->meter.start + e->run->run_ns;
	while (!e->done && cpl_send(e->stack, e->handle, block, BLOCK, 0, now) > 0)
		;
}

/* The program: sends, or receives, what it can; reports when the time is over. */
static void couplet_work(struct end *e, uint64_t now)
{
	struct cpl_event ev;
	long n;

	while (cpl_next_event(e->stack, &ev))
		if (e->side && !e->handle && !cpl_accept(e->stack, e->listener, &e->handle, now))
			meter_start(e, now);
	if (!e->handle || e->done)
		return;
	if (!e->side) {
		couplet_sends(e, now);
		return;
	}
	while ((n = cpl_recv(e->stack, e->handle, block, BLOCK, 0, now)) > 0)
		meter_take(e, (size_t)n, now);
	e->done = now >= e->meter.start + e->run->run_ns;
}

/* ---- The wire -------------------------------------------------------------------------------- */

static void put(struct end *e, const uint8_t *frame, uint32_t len, uint64_t now)
{
	enum wire_fate fate = wire_put(e->out, frame, len, 0, e->flow << FLOW_SHIFT, now, NULL);

	if (e->drops && !e->side)
		fprintf(e->drops, "%.3f %d %u\n", (double)(now - e->begun) / 1e6, (int)fate,
			e->out->backlog);
}

static void from_kernel(struct end *e, uint64_t now)
{
	static uint8_t frame[FRAME_MAX];
	ssize_t n;

	for (int i = 0; i < 64 && (n = read(e->fd, frame, sizeof(frame))) > 0; i++)
		put(e, frame, (uint32_t)n, now);
}

static void from_couplet(struct end *e, uint64_t now)
{
	static uint8_t frame[FRAME_MAX];
	struct cpl_out out[32];
	int n;

	while ((n = cpl_output(e->stack, e->ifindex, out, 32, now)) > 0) {
		for (int i = 0; i < n; i++) {
			uint32_t len = 0;

			for (unsigned k = 0; k < out[i].iov_n; k++) {
				memcpy(frame + len, out[i].iov[k].base, out[i].iov[k].len);
				len += (uint32_t)out[i].iov[k].len;
			}
			put(e, frame, len, now);
			cpl_output_done(e->stack, out[i].token, 1, now);
		}
	}
}

/* What is due on WIRE goes to the end of its flow; returns the most that one was late. */
static uint64_t deliver(struct end *ends, struct wire *wire, uint64_t now)
{
	struct wire_frame *f;
	uint64_t late = 0;

	while ((f = wire_take(wire, now))) {
		struct end *e = &ends[f->flags >> FLOW_SHIFT];

		if (now - f->at > late)
			late = now - f->at;
		if (e->kernel) {
			if (write(e->fd, f->data, f->len) < 0 && errno != EAGAIN)
				die("write");
		} else {
			struct cpl_frame in = { .data = f->data, .len = f->len };

			cpl_input(e->stack, e->ifindex, &in, 1, now);
		}
		free(f);
	}
	return late;
}

static void serve(struct end *e, uint64_t now)
{
	if (e->start <= now)
		start(e, now);
	if (e->kernel) {
		from_kernel(e, now);
		if (!e->done)
			e->done =
				read(e->report, &e->result, sizeof(e->result)) == sizeof(e->result);
		return;
	}
	if (cpl_deadline(e->stack) <= now)
		cpl_advance(e->stack, now);
	couplet_work(e, now);
	from_couplet(e, now);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void rest(struct end ends[2][FLOWS_MAX], unsigned n, const struct wire *wires, uint64_t now)
{
	struct pollfd fds[2 * FLOWS_MAX];
	uint64_t due = now + 5000000;
	struct timespec t = { 0, 0 };
	nfds_t fds_n = 0;

	for (unsigned i = 0; i <= n; i++)
		due = least(due, wire_deadline(&wires[i]));
	for (unsigned i = 0; i < 2 * n; i++) {
		const struct end *e = &ends[i & 1][i / 2];

		due = least(due, e->start);
		if (e->kernel)
			fds[fds_n++] = (struct pollfd){ .fd = e->fd, .events = POLLIN };
		else
			due = least(due, cpl_deadline(e->stack));
	}
	if (due < now + SPIN_NS)
		return;
	t.tv_nsec = (long)(due - now - SPIN_NS);
	ppoll(fds, fds_n, &t, NULL);
}

static void end_open(struct end *e, const struct flow_run *run, unsigned side, unsigned flow,
		     uint64_t begun)
{
	*e = (struct end){ .run = run, .side = side, .flow = flow, .fd = -1, .begun = begun };
	e->start = UINT64_MAX;
	if (!side)
		e->drops = trace_file(e, ".queue");
	e->kernel = run->who[flow][side] == 'k';
	if (e->kernel)
		kernel_open(e);
	else
		couplet_open(e, loop_clock());
}

static void end_close(struct end *e)
{
	if (e->drops)
		fclose(e->drops);
	if (!e->kernel) {
		cpl_stack_free(e->stack);
		if (e->trace)
			fclose(e->trace);
		return;
	}
	kill(e->pid, SIGKILL);
	waitpid(e->pid, NULL, 0);
	close(e->fd);
	close(e->report);
}

static bool all_done(struct end ends[2][FLOWS_MAX], unsigned n)
{
	for (unsigned i = 0; i < 2 * n; i++)
		if (!ends[i & 1][i / 2].done)
			return false;
	return true;
}

uint64_t flows_run(const struct flow_run *run, struct flow_result *result)
{
	static struct end ends[2][FLOWS_MAX];
	struct wire wires[1 + FLOWS_MAX]; /* data; the ACKs of each */
	uint64_t late = 0, begun = loop_clock(), give_up;

	prctl(PR_SET_TIMERSLACK, 1);
	wire_init(&wires[0], &run->wire[0], run->seed * 2);
	for (unsigned i = 0; i < run->n; i++) {
		struct wire_params back = run->wire[1];

		if (i == run->seed / 2 % run->n)
			back.delay_ns += run->later_ns;
		wire_init(&wires[1 + i], &back, run->seed * 2 + 1 + (i << 16));
		for (unsigned side = 2; side--;) {
			end_open(&ends[side][i], run, side, i, begun);
			ends[side][i].out = &wires[side ? 1 + i : 0];
		}
	}
	for (unsigned i = 0; i < run->n; i++)
		ends[0][(i + run->seed) % run->n].start = loop_clock() + i * run->apart_ns;
	give_up = loop_clock() + run->run_ns + 30 * SECOND;
	while (!all_done(ends, run->n) && loop_clock() < give_up) {
		uint64_t now = loop_clock(), l;

		for (unsigned i = 0; i <= run->n; i++) {
			l = deliver(ends[!i], &wires[i], now);
			late = l > late ? l : late;
		}
		for (unsigned i = 0; i < 2 * run->n; i++)
			serve(&ends[i & 1][i / 2], now);
		rest(ends, run->n, wires, now);
	}
	for (unsigned i = 0; i < run->n; i++) {
		result[i] = ends[1][i].result;
		result[i].retrans = ends[0][i].result.retrans;
		result[i].sent = ends[0][i].result.sent;
		end_close(&ends[0][i]);
		end_close(&ends[1][i]);
	}
	for (unsigned i = 0; i <= run->n; i++)
		wire_destroy(&wires[i]);
	return late;
}
