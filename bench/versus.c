/* SPDX-License-Identifier: MIT */
/*
 * Couplet and the kernel through the same impairment wire (sim/wire.h in real time), each run with
 * the same drops as its partner: how much one flow delivers, how often it sends again, how long the
 * longest waits of its receiver are; as ratios with 95% intervals. Needs root, or a user that may
 * make namespaces.
 *
 *   versus [KEY=VALUE ...]
 *     who=cc,kk      pairs to run in turn: sender and receiver, c Couplet, k the kernel
 *     cc=cubic       congestion control of the sender; several with commas
 *     loss=0,0.01 rtt=10,50 (ms) rate=50 (Mbit/s) queue=1 (BDP) seconds=5 reps=3 seed=1
 * The whole table: cc=cubic,reno,bbr loss=0,0.001,0.01,0.03 rtt=10,50,100 rate=50,200 reps=10
 *
 * Loss is that of the data's direction alone. Run it while nothing else runs: late packets count.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
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
#include "sim/wire.h"
#include "source/tcp_info.h"

#define PORT	  5001
#define BLOCK	  65536
#define GAPS	  65536
#define REPS_MAX  64
#define FRAME_MAX 65600
#define SECOND	  1000000000ull
#define SPIN_NS	  60000u

/* What an end reports. */
struct result {
	uint64_t octets;
	uint64_t gap_p99_ns;
	uint64_t retrans, sent; /* segments */
	uint64_t late_ns;	/* of the wire, most */
};

struct meter {
	uint64_t start, last;
	uint64_t octets;
	uint32_t gaps_n;
	uint32_t gaps_us[GAPS];
};

struct end {
	unsigned side; /* 0 sends, 1 receives */
	bool kernel;
	/* the kernel's */
	int fd, report;
	pid_t pid;
	/* Couplet's */
	cpl_stack *stack;
	int ifindex;
	cpl_handle handle, listener;
	struct result result;
	bool done;
};

static struct meter meter;
static uint8_t block[BLOCK];
static uint64_t run_ns;

static void die(const char *what)
{
	fprintf(stderr, "versus: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *option(int argc, char **argv, const char *key, const char *fallback)
{
	size_t n = strlen(key);

	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], key, n) && argv[i][n] == '=')
			return argv[i] + n + 1;
	return fallback;
}

/* ---- What the receiver measures -------------------------------------------------------------- */

static void meter_start(struct meter *m, uint64_t now)
{
	m->start = m->last = now;
	m->octets = 0;
	m->gaps_n = 0;
}

static void meter_take(struct meter *m, size_t n, uint64_t now)
{
	m->octets += n;
	if (m->gaps_n < GAPS)
		m->gaps_us[m->gaps_n++] = (uint32_t)((now - m->last) / 1000);
	m->last = now;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void meter_end(struct meter *m, struct result *r)
{
	qsort(m->gaps_us, m->gaps_n, sizeof(*m->gaps_us), compare_u32);
	r->octets = m->octets;
	r->gap_p99_ns = m->gaps_n ? m->gaps_us[(uint64_t)m->gaps_n * 99 / 100] * 1000ull : 0;
}

/* ---- The kernel's end: a process in a namespace of its own ------------------------------------
 */

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
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK), off;

	strcpy(ifr.ifr_name, "w");
	off = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_WRONLY);
	if (off >= 0 && write(off, "1", 1) != 1)
		die("disable_ipv6");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		die("/dev/net/tun");
	if (kernel_if_up("w", &why) || kernel_if_addr_add("w", &addr, 24, &why)) {
		fprintf(stderr, "versus: %s\n", why.text);
		exit(1);
	}
	return fd;
}

static void kernel_sends(const char *cc, struct result *r)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct linux_tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	struct timeval patience = { 0, 20000 };
	uint64_t end;

	inet_pton(AF_INET, "10.9.0.2", &to.sin_addr);
	if (setsockopt(fd, IPPROTO_TCP, 13 /* TCP_CONGESTION */, cc, (socklen_t)strlen(cc)))
		die("TCP_CONGESTION");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	end = loop_clock() + run_ns;
	while (loop_clock() < end)
		if (send(fd, block, BLOCK, 0) < 0 && errno != EAGAIN)
			die("send");
	if (getsockopt(fd, IPPROTO_TCP, 11 /* TCP_INFO */, &info, &len))
		die("TCP_INFO");
	r->retrans = info.total_retrans;
	r->sent = info.data_segs_out;
}

static void kernel_receives(int listener, struct result *r)
{
	int fd = accept(listener, NULL, NULL);
	struct timeval patience = { 0, 20000 };

	if (fd < 0)
		die("accept");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	meter_start(&meter, loop_clock());
	while (loop_clock() < meter.start + run_ns) {
		ssize_t n = recv(fd, block, BLOCK, 0);

		if (n > 0)
			meter_take(&meter, (size_t)n, loop_clock());
		else if (n == 0 || errno != EAGAIN)
			break;
	}
	meter_end(&meter, r);
}

static void kernel_process(struct end *e, const char *cc, int to_parent)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct link_why why;
	int listener = -1, tun;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (netns_enter(NULL, &why)) {
		fprintf(stderr, "versus: %s\n", why.text);
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
	if (!e->side) { /* the other end is ready when the parent says so */
		char byte;

		if (read(to_parent, &byte, 1) != 1)
			exit(1);
		kernel_sends(cc, &e->result);
	} else {
		kernel_receives(listener, &e->result);
	}
	if (write(to_parent, &e->result, sizeof(e->result)) != sizeof(e->result))
		exit(1);
	pause();
}

static void kernel_open(struct end *e, const char *cc)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	e->pid = fork();
	if (!e->pid) {
		close(pair[0]);
		kernel_process(e, cc, pair[1]);
		_exit(1);
	}
	close(pair[1]);
	e->fd = receive_fd(pair[0]);
	e->report = pair[0];
	fcntl(e->report, F_SETFL, O_NONBLOCK);
}

/* ---- Couplet's end: a stack in this process ---------------------------------------------------
 */

static void couplet_open(struct end *e, const char *cc, uint64_t now)
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
	snprintf(config.cc_name, sizeof(config.cc_name), "%s", cc);
	if (cpl_stack_new(&e->stack, &config, now))
		die("stack");
	e->ifindex = cpl_iface_add(e->stack, &iface, now);
	if (e->ifindex < 0 || cpl_addr_add(e->stack, e->ifindex, &addr, 24, now))
		die("interface");
	if (e->side && cpl_listen(e->stack, &at, 1, &e->listener, now))
		die("listen");
}

static void couplet_start(struct end *e, uint64_t now)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 9, 0, 2), .port = PORT };

	if (cpl_connect(e->stack, NULL, &to, &e->handle, now))
		die("connect");
}

/* The program: sends, or receives, what it can; reports when the time is over. */
static void couplet_work(struct end *e, uint64_t now)
{
	struct cpl_event ev;
	struct cpl_info info;
	long n;

	while (cpl_next_event(e->stack, &ev))
		if (e->side && !e->handle && !cpl_accept(e->stack, e->listener, &e->handle, now))
			meter_start(&meter, now);
	if (!e->handle || e->done)
		return;
	if (!e->side) {
		if (cpl_info_get(e->stack, e->handle, &info, now) == 0 &&
		    info.state == CPL_ESTABLISHED && info.age >= run_ns) {
			e->result.retrans = info.retrans;
			e->result.sent = info.data_segs_out;
			e->done = true;
			return;
		}
		while (cpl_send(e->stack, e->handle, block, BLOCK, 0, now) > 0)
			;
		return;
	}
	while ((n = cpl_recv(e->stack, e->handle, block, BLOCK, 0, now)) > 0)
		meter_take(&meter, (size_t)n, now);
	if (now >= meter.start + run_ns) {
		meter_end(&meter, &e->result);
		e->done = true;
	}
}

/* ---- The wire -------------------------------------------------------------------------------- */

static void from_kernel(struct end *e, struct wire *wire, uint64_t now)
{
	static uint8_t frame[FRAME_MAX];
	ssize_t n;

	for (int i = 0; i < 64 && (n = read(e->fd, frame, sizeof(frame))) > 0; i++)
		wire_put(wire, frame, (uint32_t)n, 0, 0, now, NULL);
}

static void from_couplet(struct end *e, struct wire *wire, uint64_t now)
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
			wire_put(wire, frame, len, 0, 0, now, NULL);
			cpl_output_done(e->stack, out[i].token, 1, now);
		}
	}
}

static void deliver(struct end *e, struct wire *wire, uint64_t now, uint64_t *late)
{
	struct wire_frame *f;

	while ((f = wire_take(wire, now))) {
		if (now - f->at > *late)
			*late = now - f->at;
		if (e->kernel) {
			if (write(e->fd, f->data, f->len) < 0 && errno != EAGAIN)
				die("write");
		} else {
			struct cpl_frame in = { .data = f->data, .len = f->len };

			cpl_input(e->stack, e->ifindex, &in, 1, now);
		}
		free(f);
	}
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void serve(struct end *e, struct wire *out, uint64_t now)
{
	if (e->kernel) {
		from_kernel(e, out, now);
		if (!e->done)
			e->done =
				read(e->report, &e->result, sizeof(e->result)) == sizeof(e->result);
		return;
	}
	if (cpl_deadline(e->stack) <= now)
		cpl_advance(e->stack, now);
	couplet_work(e, now);
	from_couplet(e, out, now);
}

static void rest(const struct end *ends, const struct wire *wires, uint64_t now)
{
	struct pollfd fds[2];
	uint64_t due = least(wire_deadline(&wires[0]), wire_deadline(&wires[1]));
	struct timespec t = { 0, 0 };
	nfds_t n = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (ends[i].kernel)
			fds[n++] = (struct pollfd){ .fd = ends[i].fd, .events = POLLIN };
		else
			due = least(due, cpl_deadline(ends[i].stack));
	}
	due = least(due, now + 5000000);
	if (due < now + SPIN_NS)
		return;
	t.tv_nsec = (long)(due - now - SPIN_NS);
	ppoll(fds, n, &t, NULL);
}

/* One run of WHO ("ck": Couplet sends, the kernel receives). */
static struct result run(const char *who, const char *cc, const struct wire_params params[2],
			 uint64_t seed)
{
	struct end ends[2] = { { .side = 0, .fd = -1 }, { .side = 1, .fd = -1 } };
	struct wire wires[2];
	struct result r;
	uint64_t late = 0, end;

	for (int i = 1; i >= 0; i--) {
		wire_init(&wires[i], &params[i], seed * 2 + (unsigned)i);
		ends[i].kernel = who[i] == 'k';
		if (ends[i].kernel)
			kernel_open(&ends[i], cc);
		else
			couplet_open(&ends[i], cc, loop_clock());
	}
	if (!ends[0].kernel)
		couplet_start(&ends[0], loop_clock());
	else if (write(ends[0].report, "", 1) != 1)
		die("start");
	end = loop_clock() + run_ns + 30 * SECOND;
	while ((!ends[0].done || !ends[1].done) && loop_clock() < end) {
		uint64_t now = loop_clock();

		for (unsigned i = 0; i < 2; i++)
			deliver(&ends[!i], &wires[i], now, &late);
		for (unsigned i = 0; i < 2; i++)
			serve(&ends[i], &wires[i], now);
		rest(ends, wires, now);
	}
	r = ends[1].result;
	r.retrans = ends[0].result.retrans;
	r.sent = ends[0].result.sent;
	r.late_ns = late;
	for (unsigned i = 0; i < 2; i++) {
		if (ends[i].kernel) {
			kill(ends[i].pid, SIGKILL);
			waitpid(ends[i].pid, NULL, 0);
			close(ends[i].fd);
			close(ends[i].report);
		} else {
			cpl_stack_free(ends[i].stack);
		}
		wire_destroy(&wires[i]);
	}
	return r;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Geometric mean of N ratios, and half of its 95% interval as a factor (Student's t). */
static void interval(const double *ratio, int n, double *mean, double *factor)
{
	static const double t[] = { 0,	  12.7, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36,
				    2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13 };
	double sum = 0, squares = 0;

	for (int i = 0; i < n; i++)
		sum += log(ratio[i]);
	for (int i = 0; i < n; i++)
		squares += pow(log(ratio[i]) - sum / n, 2);
	*mean = exp(sum / n);
	*factor =
		n < 2 ? INFINITY : exp((n - 1 < 16 ? t[n - 1] : 2.0) * sqrt(squares / (n - 1) / n));
}

static double mbit(const struct result *r)
{
	return (double)r->octets * 8 / ((double)run_ns / 1e9) / 1e6;
}

static double resent(const struct result *r)
{
	return r->sent ? (double)r->retrans / (double)r->sent : 0;
}

static void cell(int argc, char **argv, const char *cc, double loss, double rtt_ms, double rate)
{
	const char *who = option(argc, argv, "who", "cc,kk");
	int reps = atoi(option(argc, argv, "reps", "3"));
	uint64_t seed = strtoull(option(argc, argv, "seed", "1"), NULL, 10);
	double bdp = rate * 1e6 / 8 * rtt_ms / 1e3 * atof(option(argc, argv, "queue", "1"));
	struct wire_params params[2] = { { .delay_ns = (uint64_t)(rtt_ms * 5e5),
					   .rate_bps = (uint64_t)(rate * 1e6),
					   .queue_bytes = bdp < 3000 ? 3000 : (uint32_t)bdp,
					   .loss = loss },
					 { .delay_ns = (uint64_t)(rtt_ms * 5e5) } };
	double ratio[REPS_MAX], mean, factor, sum[2][3] = { { 0 } }, late = 0;

	reps = reps < 1 ? 1 : reps > REPS_MAX ? REPS_MAX : reps;
	for (int i = 0; i < reps; i++) {
		for (int k = 0; k < 2; k++) {
			struct result r = run(who + 3 * k, cc, params, seed + (uint64_t)i);

			ratio[i] = k ? ratio[i] / (mbit(&r) + 0.001) : mbit(&r) + 0.001;
			sum[k][0] += mbit(&r) / reps;
			sum[k][1] += 100 * resent(&r) / reps;
			sum[k][2] += (double)r.gap_p99_ns / 1e6 / reps;
			late = r.late_ns > late ? (double)r.late_ns : late;
		}
	}
	interval(ratio, reps, &mean, &factor);
	printf("%-6s %4.0f %4.0f %5.1f  %7.2f %7.2f  %5.2f (%.2f, %.2f)  %5.2f %5.2f  %6.1f %6.1f  "
	       "%5.1f\n",
	       cc, rate, rtt_ms, loss * 100, sum[0][0], sum[1][0], mean, mean / factor,
	       mean * factor, sum[0][1], sum[1][1], sum[0][2], sum[1][2], late / 1e6);
	fflush(stdout);
}

/* The words of LIST, separated by commas, as numbers. */
static int numbers(const char *list, double *value, int max)
{
	int n = 0;

	for (char *end; n < max && *list; list = *end ? end + 1 : end)
		value[n++] = strtod(list, &end);
	return n;
}

int main(int argc, char **argv)
{
	const char *who = option(argc, argv, "who", "cc,kk");
	char names[100], *save, *cc;
	double loss[8], rtt[8], rate[8];
	int n_loss = numbers(option(argc, argv, "loss", "0,0.01"), loss, 8);
	int n_rtt = numbers(option(argc, argv, "rtt", "10,50"), rtt, 8);
	int n_rate = numbers(option(argc, argv, "rate", "50"), rate, 8);

	run_ns = strtoull(option(argc, argv, "seconds", "5"), NULL, 10) * SECOND;
	prctl(PR_SET_TIMERSLACK, 1);
	snprintf(names, sizeof(names), "%s", option(argc, argv, "cc", "cubic"));
	printf("%.2s against %.2s      Mbit/s each       ratio (95%%)      resent %%   p99 gap ms  "
	       "  late\n"
	       "cc     rate  RTT  loss\n",
	       who, who + 3);
	for (cc = strtok_r(names, ",", &save); cc; cc = strtok_r(NULL, ",", &save))
		for (int a = 0; a < n_rate; a++)
			for (int b = 0; b < n_rtt; b++)
				for (int c = 0; c < n_loss; c++)
					cell(argc, argv, cc, loss[c], rtt[b], rate[a]);
	return 0;
}
