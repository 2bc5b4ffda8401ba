/* SPDX-License-Identifier: MIT */
/*
 * Very many connections: both ends in one process, on one core, nothing but memory between them.
 * How fast they open, what memory they take when they rest, what a part of them loses by the others
 * when it is active, and by `couplet netstat` listing all of them meanwhile; what comes back. And
 * how long the longest single call takes while they open, rest, close and leave TIME-WAIT.
 *
 * With 10,000 requests under way whatever takes the core away for a moment is in every one of them:
 * so percentiles are of the time in which the process had its core, and that of the wall beside it.
 */
#include <couplet/couplet.h>

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/options.h"
#include "host/config.h"
#include "host/control.h"

static const char usage[] =
	"many [n=1000000] [ipv6=0] [active=1] [seconds=2] [dump=1] [calls=0]\n"
	"\n"
	"ACTIVE percent have a 64-byte request under way at each moment; a request's time\n"
	"is from cpl_send() to the answer in cpl_recv(). They are measured alone first,\n"
	"in stacks of their own. dump=0: no `couplet netstat` beside them.\n"
	"calls=1: nothing of this, but the longest single calls while all open and close.\n";

#define BATCH	 32
#define PORT	 1000
#define PER_PORT 30000 /* half of the ports there are: to find a free one is quick */
#define FRAME	 2048
#define SAMPLES	 (1u << 22)

struct end {
	cpl_stack *stack;
	int ifindex;
};

static struct end ends[2];
static struct control *control;
static uint64_t control_after;
static bool ipv6;
static uint64_t skew; /* what was skipped: time never goes back */
static cpl_handle *clients, *listeners;
static uint64_t *sent_at; /* by client, when its request left */
static uint64_t *lost_at; /* ... and what lost was then */
static uint64_t lost;	  /* time in which somebody else had the core */
static uint64_t held;	  /* by the control socket, at the longest */
static uint32_t *samples, *samples_wall;
static uint32_t samples_n;
static long listeners_n;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * CPL_SECOND + (uint64_t)t.tv_nsec + skew;
}

static uint64_t core_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * CPL_SECOND + (uint64_t)t.tv_nsec;
}

static void die(const char *what, long err)
{
	fprintf(stderr, "many: %s: error %ld\n", what, err);
	exit(1);
}

static double resident_mb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size, pages = 0;

	if (f && fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* ---- How long a call takes ---- */

enum call {
	CONNECT,
	INPUT,
	OUTPUT,
	ADVANCE,
	CLOSE,
	CALLS
};

static bool timing;
static struct {
	uint64_t n, longest, over_100_us, over_1_ms;
} calls[CALLS];

/* Of this thread's processor: what others do meanwhile does not count, page faults do. */
static uint64_t spent_ns(void)
{
	return timing ? core_ns() : 0;
}

static void took(enum call call, uint64_t began)
{
	uint64_t ns = spent_ns() - began;

	calls[call].n++;
	calls[call].over_100_us += ns > CPL_MS / 10;
	calls[call].over_1_ms += ns > CPL_MS;
	if (ns > calls[call].longest)
		calls[call].longest = ns;
}

static void print_calls(const char *when)
{
	static const char *const names[] = { "connect", "input", "output", "advance", "close" };

	printf("%s\n", when);
	for (int i = 0; i < CALLS; i++)
		if (calls[i].n)
			printf("  %-8s %9llu calls, longest %6.0f us, %llu over 100 us, %llu over "
			       "1 ms\n",
			       names[i], (unsigned long long)calls[i].n,
			       (double)calls[i].longest / 1e3,
			       (unsigned long long)calls[i].over_100_us,
			       (unsigned long long)calls[i].over_1_ms);
	fflush(stdout);
	memset(calls, 0, sizeof(calls));
}

/* ---- Two stacks ---- */

static struct cpl_addr addr_of(int i)
{
	struct cpl_addr a = cpl_addr4(10, 0, 0, (uint8_t)(i + 1));

	if (ipv6)
		a = (struct cpl_addr){ { 0xfd, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0x21, 0x43,
					 0x65, 0x87, 0xa9, 0xcb, 0xed, (uint8_t)(i + 1) } };
	return a;
}

static void start(long n)
{
	struct cpl_iface_config ic = {
		.size = sizeof(ic), .name = "mem", .kind = CPL_IFACE_IP, .mtu = 1500
	};
	uint64_t now = clock_ns();
	struct link_why why;

	for (int i = 0; i < 2; i++) {
		struct cpl_addr addr = addr_of(i);
		struct cpl_config c;

		if (config_fill(&c, &why))
			die(why.text, 0);
		c.memory_max = 32ull << 30;
		c.conns_max = 20000000;
		c.half_open_max = 1000000;
		c.time_wait_max = 20000000;
		c.port_first = 1024;
		c.port_last = 65535;
		if (cpl_stack_new(&ends[i].stack, &c, now))
			die("stack", 0);
		ends[i].ifindex = cpl_iface_add(ends[i].stack, &ic, now);
		if (cpl_addr_add(ends[i].stack, ends[i].ifindex, &addr, 8, now))
			die("address", 0);
	}
	listeners_n = (n + PER_PORT - 1) / PER_PORT;
	listeners = calloc((size_t)listeners_n, sizeof(*listeners));
	for (long i = 0; i < listeners_n; i++) {
		struct cpl_endpoint local = { .port = (uint16_t)(PORT + i) };

		if (cpl_listen(ends[1].stack, &local, 65536, &listeners[i], now))
			die("listen", i);
	}
}

static void stop(void)
{
	for (int i = 0; i < 2; i++)
		cpl_stack_free(ends[i].stack);
	free(listeners);
}

static int carry(int from, uint64_t now)
{
	static uint8_t wire[BATCH][FRAME];
	struct end *a = &ends[from], *b = &ends[!from];
	struct cpl_frame in[BATCH];
	struct cpl_out out[BATCH];
	uint64_t began = spent_ns();
	int n = cpl_output(a->stack, a->ifindex, out, BATCH, now);

	took(OUTPUT, began);
	for (int i = 0; i < n; i++) {
		uint8_t *p = wire[i];

		for (unsigned j = 0; j < out[i].iov_n; j++) {
			memcpy(p, out[i].iov[j].base, out[i].iov[j].len);
			p += out[i].iov[j].len;
		}
		in[i] = (struct cpl_frame){ .data = wire[i], .len = out[i].len };
		cpl_output_done(a->stack, out[i].token, 1, now);
	}
	if (n <= 0)
		return n;
	began = spent_ns();
	cpl_input(b->stack, b->ifindex, in, (unsigned)n, now);
	took(INPUT, began);
	return n;
}

/* As src/host/loop.c: whoever looks gets a third of the time, while there is traffic. */
static void serve(void)
{
	uint64_t now = clock_ns(), done, core;

	if (!control || now < control_after)
		return;
	core = core_ns();
	control_serve(control, now);
	core = core_ns() - core;
	held = core > held ? core : held;
	done = clock_ns();
	control_after = done + 2 * (done - now);
}

static void advance(int i, uint64_t now)
{
	uint64_t began = spent_ns();

	cpl_advance(ends[i].stack, now);
	took(ADVANCE, began);
}

static int turn(uint64_t now)
{
	int n = carry(0, now);

	n += carry(1, now);
	for (int i = 0; i < 2; i++)
		if (cpl_deadline(ends[i].stack) <= now)
			advance(i, now);
	serve();
	return n;
}

static void drop_events(void)
{
	struct cpl_event ev;

	for (int i = 0; i < 2; i++)
		while (cpl_next_event(ends[i].stack, &ev))
			if (ev.what & CPL_EV_CLOSED)
				cpl_close(ends[i].stack, ev.handle, clock_ns());
}

static void open_all(long n)
{
	struct cpl_endpoint to = { .addr = addr_of(1) };
	long open = 0, accepted = 0;
	cpl_handle h;

	while (accepted < n) {
		uint64_t now = clock_ns();

		for (int k = 0; k < BATCH && open < n; k++, open++) {
			uint64_t began = spent_ns();
			int err;

			to.port = (uint16_t)(PORT + open / PER_PORT);
			err = cpl_connect(ends[0].stack, NULL, &to, &clients[open], now);
			took(CONNECT, began);
			if (err)
				die("connect", err);
			cpl_set_user(ends[0].stack, clients[open], (uint64_t)open);
		}
		while (turn(clock_ns())) /* a SYN left behind is memory */
			;
		for (long i = 0; i < listeners_n; i++)
			while (!cpl_accept(ends[1].stack, listeners[i], &h, now))
				accepted++;
		drop_events();
	}
	while (turn(clock_ns()))
		;
	drop_events();
}

/* Four seconds pass in no time, and all timers fire. Returns the longest that one call took. */
static uint64_t settle(void)
{
	uint64_t longest = 0;

	for (int i = 0; i < 80; i++) {
		skew += 50 * CPL_MS;
		for (int k = 0; k < 2; k++) {
			uint64_t now;

			while (cpl_deadline(ends[k].stack) <= (now = clock_ns())) {
				advance(k, now);
				now = clock_ns() - now;
				longest = now > longest ? now : longest;
			}
		}
		while (turn(clock_ns()))
			;
	}
	return longest;
}

/* ---- Activity ---- */

static uint8_t buf[64];

static void request(long i, uint64_t now)
{
	if (cpl_send(ends[0].stack, clients[i], buf, sizeof(buf), 0, now) != sizeof(buf))
		die("send", i);
	sent_at[i] = clock_ns();
	lost_at[i] = lost;
}

static uint64_t answers(bool more)
{
	struct cpl_event ev;
	uint64_t now = clock_ns(), n = 0, took, away;

	turn(now);
	while (cpl_next_event(ends[1].stack, &ev))
		if (cpl_recv(ends[1].stack, ev.handle, buf, sizeof(buf), 0, now) > 0)
			cpl_send(ends[1].stack, ev.handle, buf, sizeof(buf), 0, now);
	turn(now);
	while (cpl_next_event(ends[0].stack, &ev)) {
		long i = (long)ev.user;

		if (cpl_recv(ends[0].stack, ev.handle, buf, sizeof(buf), 0, now) <= 0)
			continue;
		took = clock_ns() - sent_at[i];
		away = lost - lost_at[i];
		samples_wall[samples_n % SAMPLES] = (uint32_t)took;
		samples[samples_n++ % SAMPLES] = (uint32_t)(took > away ? took - away : 0);
		n++;
		if (more)
			request(i, now);
	}
	return n;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct figures {
	double rate, p50_us, p99_us, max_us, wall_p99_us, away_ms;
};

/* The wall's time since *WALL less the core's since *CORE is lost. */
static void count_lost(uint64_t *wall, uint64_t *core)
{
	uint64_t w = clock_ns(), c = core_ns();

	if (w - *wall > c - *core)
		lost += w - *wall - (c - *core);
	*wall = w;
	*core = c;
}

/* Every EVERYth of N asks again and again, until TIME, or until child PID has ended. */
static struct figures activity(long n, long every, uint64_t for_ns, pid_t pid)
{
	uint64_t began = clock_ns(), ended, done = 0, wall = began, core = core_ns(), away;
	long waiting = 0;
	uint32_t have;

	samples_n = 0;
	lost = 0;
	for (long i = 0; i < n; i += every, waiting++)
		request(i, clock_ns());
	for (unsigned k = 0;; k++) {
		done += answers(true);
		count_lost(&wall, &core);
		if (pid && !(k & 15) && waitpid(pid, NULL, WNOHANG) == pid)
			break;
		if (!pid && clock_ns() - began >= for_ns)
			break;
	}
	ended = clock_ns();
	away = lost;
	while (waiting > 0)
		waiting -= (long)answers(false);
	have = samples_n < SAMPLES ? samples_n : SAMPLES;
	qsort(samples, have, sizeof(*samples), by_size);
	qsort(samples_wall, have, sizeof(*samples), by_size);
	return (struct figures){ .rate = (double)done * 1e9 / (double)(ended - began - away),
				 .p50_us = samples[have / 2] / 1e3,
				 .p99_us = samples[have - have / 100 - 1] / 1e3,
				 .max_us = samples[have - 1] / 1e3,
				 .wall_p99_us = samples_wall[have - have / 100 - 1] / 1e3,
				 .away_ms = (double)away / 1e6 };
}

static void print(const char *what, struct figures f)
{
	printf("%-26s %8.0f requests/s, p50 %6.0f us, p99 %6.0f, longest %6.0f (wall's p99 %6.0f; "
	       "core away %.0f ms)\n",
	       what, f.rate, f.p50_us, f.p99_us, f.max_us, f.wall_p99_us, f.away_ms);
	fflush(stdout);
}

/* ---- Dumps ---- */

static char dir[] = "/tmp/couplet-many-XXXXXX";

/* `couplet netstat` beside it, an ordinary process; its lines are counted into a file. */
static pid_t look(const char *self)
{
	char couplet[600], command[1400];
	const char *slash = strrchr(self, '/');
	pid_t pid;

	snprintf(couplet, sizeof(couplet), "%.*s/../couplet", slash ? (int)(slash - self) : 1,
		 slash ? self : ".");
	snprintf(command, sizeof(command),
		 "/usr/bin/time -f '%%e s, %%M KB' -o %s/time %s netstat -nt "
		 "> %s/out; wc -l < %s/out > %s/lines",
		 dir, couplet, dir, dir, dir);
	setenv("XDG_RUNTIME_DIR", dir, 1);
	pid = fork();
	if (pid)
		return pid;
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(127);
}

static void tell_look(void)
{
	char command[200];

	snprintf(command, sizeof(command), "echo netstat: $(cat %s/lines) lines, $(cat %s/time)",
		 dir, dir);
	if (system(command))
		printf("netstat: no output\n");
}

static struct figures dumps(const char *self, long n, long every)
{
	struct figures f;
	struct link_why why;
	char sub[64], command[64];
	pid_t pid;

	if (!mkdtemp(dir))
		die("mkdtemp", errno);
	snprintf(sub, sizeof(sub), "%s/couplet", dir);
	mkdir(sub, 0700);
	if (control_open(&control, ends[0].stack, sub, "many", &why))
		die(why.text, 0);
	pid = look(self);
	f = activity(n, every, 0, pid);
	print("active, netstat lists all", f);
	printf("longest that the control socket held the stack: %.0f us\n", (double)held / 1e3);
	fflush(stdout);
	tell_look();
	control_close(control);
	control = NULL;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		printf("%s stays\n", dir);
	return f;
}

/* ---- Calls ---- */

/* Each end closes what the other has closed. */
static void close_all(long n)
{
	struct cpl_event ev;

	for (long i = 0; i < n; i++) {
		uint64_t began = spent_ns();

		cpl_close(ends[0].stack, clients[i], clock_ns());
		took(CLOSE, began);
		if (i % BATCH && i != n - 1)
			continue;
		while (turn(clock_ns()))
			while (cpl_next_event(ends[1].stack, &ev))
				if (ev.what & CPL_EV_PEER_FIN)
					cpl_close(ends[1].stack, ev.handle, clock_ns());
	}
}

static void longest_calls(long n)
{
	timing = true;
	start(n);
	open_all(n);
	print_calls("they open");
	settle();
	print_calls("they come to rest");
	close_all(n);
	print_calls("they close");
	skew += 60 * CPL_SECOND;
	settle();
	print_calls("TIME-WAIT ends");
	stop();
}

int main(int argc, char **argv)
{
	long n = option_number(argc, argv, "n", 1000000),
	     percent = option_number(argc, argv, "active", 1);
	uint64_t for_ns = (uint64_t)option_number(argc, argv, "seconds", 2) * CPL_SECOND, t;
	long active = n * percent / 100, every;
	struct figures alone, among, listed;
	double before, after;

	options_check(argc, argv, usage);
	ipv6 = option_number(argc, argv, "ipv6", 0);
	active = active < 1 ? 1 : active;
	every = n / active;
	clients = calloc((size_t)n, sizeof(*clients));
	sent_at = calloc((size_t)n, sizeof(*sent_at));
	lost_at = calloc((size_t)n, sizeof(*lost_at));
	samples = calloc(SAMPLES, sizeof(*samples));
	samples_wall = calloc(SAMPLES, sizeof(*samples));
	if (!clients || !sent_at || !lost_at || !samples || !samples_wall)
		die("memory", ENOMEM);
	memset(clients, 1, (size_t)n * sizeof(*clients)); /* theirs is no growth */
	memset(sent_at, 1, (size_t)n * sizeof(*sent_at));
	memset(lost_at, 1, (size_t)n * sizeof(*lost_at));
	memset(samples, 1, SAMPLES * sizeof(*samples));
	memset(samples_wall, 1, SAMPLES * sizeof(*samples));
	signal(SIGPIPE, SIG_IGN);
	if (option_number(argc, argv, "calls", 0)) {
		longest_calls(n);
		return 0;
	}

	start(active);
	open_all(active);
	settle();
	activity(active, 1, for_ns / 2, 0);
	alone = activity(active, 1, for_ns, 0);
	print("active, alone", alone);
	stop();

	start(n);
	before = resident_mb();
	t = clock_ns();
	open_all(n);
	t = clock_ns() - t;
	printf("%ld connections, IPv%d: opened in %.2f s, %.0f a second; %.0f MB then\n", n,
	       ipv6 ? 6 : 4, (double)t / 1e9, (double)n * 1e9 / (double)t, resident_mb() - before);
	t = settle();
	after = resident_mb();
	printf("at rest: %.0f bytes of resident memory for each end; longest call %.0f us\n",
	       (after - before) * 1e6 / 2 / (double)n, (double)t / 1e3);
	print("active, the first time", activity(n, every, 0, 0));
	activity(n, every, for_ns / 2, 0);
	among = activity(n, every, for_ns, 0);
	print("active, beside all others", among);
	if (option_number(argc, argv, "dump", 1)) {
		listed = dumps(argv[0], n, every);
		printf("while listed / not: speed %.2f, p99 %.2f\n", listed.rate / among.rate,
		       listed.p99_us / among.p99_us);
	}
	printf("beside all others / alone: speed %.2f, p99 %.2f\n", among.rate / alone.rate,
	       among.p99_us / alone.p99_us);
	for (long i = 0; i < n; i++) {
		cpl_abort(ends[0].stack, clients[i], clock_ns());
		if (i % BATCH == 0 || i == n - 1)
			while (turn(clock_ns()))
				drop_events();
	}
	printf("after all were reset: %.1f MB more than before the first\n",
	       resident_mb() - before);
	stop();
	return 0;
}
