/* SPDX-License-Identifier: MIT */
/*
 * Very many connections: both ends in one process, on one core, nothing but memory between them.
 * How fast they open, what memory they take when they rest, what a part of them loses by the others
 * when it is active, in turn with as many that are alone in stacks of their own, and by `couplet
 * netstat` listing all of them meanwhile; what comes back. And how long the longest single call
 * takes while they open, rest, close and leave TIME-WAIT.
 *
 * With 10,000 requests under way whatever takes the core away for a moment is in every one of them:
 * so percentiles are of the time in which the process had its core, and that of the wall beside it.
 */
#define _GNU_SOURCE
#include <couplet/couplet.h>

#include <errno.h>
#include <sched.h>
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
	"many [n=1000000] [ipv6=0] [active=1] [ms=300] [dump=1] [calls=0]\n"
	"\n"
	"ACTIVE percent have a 64-byte request under way at each moment; a request's time\n"
	"is from cpl_send() to the answer in cpl_recv(). As many are measured alone, in\n"
	"stacks of their own: fifteen turns of MS each. dump=0: no `couplet netstat` beside them.\n"
	"calls=1: nothing of this, but the longest single calls while all open and close.\n";

#define BATCH	 32
#define PORT	 1000
#define PER_PORT 30000 /* half of the ports there are: to find a free one is quick */
#define FRAME	 2048
#define SAMPLES	 (1u << 22)
#define ROUNDS	 15
#define LISTED	 200 /* turns that are kept */

struct end {
	cpl_stack *stack;
	int ifindex;
};

/* Connections with both ends here. */
struct world {
	struct end ends[2];
	cpl_handle *clients, *listeners;
	long n, listeners_n;
};

/* What the program has for each that asks, side by side: it is the stack that is measured. */
struct asker {
	cpl_handle handle;
	uint64_t sent_at; /* when its request left */
	uint64_t lost_at; /* what lost was then */
};

static struct world *here; /* the one that runs */
static struct asker *askers;
static long askers_n;
static struct control *control;
static uint64_t control_after;
static bool listing;
static bool ipv6;
static uint64_t skew; /* what was skipped: time never goes back */
static uint64_t lost; /* time in which somebody else had the core */
static uint64_t held; /* by the control socket, at the longest */
static uint32_t *samples, *samples_wall;
static uint32_t samples_n;

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

/* Touched, so that it is no growth of what is measured. */
static void *allocate(size_t n)
{
	void *p = malloc(n);

	if (!p)
		die("memory", ENOMEM);
	return memset(p, 1, n);
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

/* WORLD is to have N connections, and runs. */
static void start(struct world *world, long n)
{
	struct cpl_iface_config ic = {
		.size = sizeof(ic), .name = "mem", .kind = CPL_IFACE_IP, .mtu = 1500
	};
	uint64_t now = clock_ns();
	struct link_why why;

	here = world;
	here->n = n;
	here->clients = allocate((size_t)n * sizeof(*here->clients));
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
		if (cpl_stack_new(&here->ends[i].stack, &c, now))
			die("stack", 0);
		here->ends[i].ifindex = cpl_iface_add(here->ends[i].stack, &ic, now);
		if (cpl_addr_add(here->ends[i].stack, here->ends[i].ifindex, &addr, 8, now))
			die("address", 0);
	}
	here->listeners_n = (n + PER_PORT - 1) / PER_PORT;
	here->listeners = allocate((size_t)here->listeners_n * sizeof(*here->listeners));
	for (long i = 0; i < here->listeners_n; i++) {
		struct cpl_endpoint local = { .port = (uint16_t)(PORT + i) };

		if (cpl_listen(here->ends[1].stack, &local, 65536, &here->listeners[i], now))
			die("listen", i);
	}
}

static void stop(void)
{
	for (int i = 0; i < 2; i++)
		cpl_stack_free(here->ends[i].stack);
	free(here->clients);
	free(here->listeners);
}

static int carry(int from, uint64_t now)
{
	static uint8_t wire[BATCH][FRAME];
	struct end *a = &here->ends[from], *b = &here->ends[!from];
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

	if (!control || !listing || now < control_after)
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

	cpl_advance(here->ends[i].stack, now);
	took(ADVANCE, began);
}

static int turn(uint64_t now)
{
	int n = carry(0, now);

	n += carry(1, now);
	for (int i = 0; i < 2; i++)
		if (cpl_deadline(here->ends[i].stack) <= now)
			advance(i, now);
	serve();
	return n;
}

static void drop_events(void)
{
	struct cpl_event ev;

	for (int i = 0; i < 2; i++)
		while (cpl_next_event(here->ends[i].stack, &ev))
			if (ev.what & CPL_EV_CLOSED)
				cpl_close(here->ends[i].stack, ev.handle, clock_ns());
}

static void open_all(void)
{
	struct cpl_endpoint to = { .addr = addr_of(1) };
	long n = here->n, open = 0, accepted = 0;
	cpl_handle h;

	while (accepted < n) {
		uint64_t now = clock_ns();

		for (int k = 0; k < BATCH && open < n; k++, open++) {
			uint64_t began = spent_ns();
			int err;

			to.port = (uint16_t)(PORT + open / PER_PORT);
			err = cpl_connect(here->ends[0].stack, NULL, &to, &here->clients[open],
					  now);
			took(CONNECT, began);
			if (err)
				die("connect", err);
		}
		while (turn(clock_ns())) /* a SYN left behind is memory */
			;
		for (long i = 0; i < here->listeners_n; i++)
			while (!cpl_accept(here->ends[1].stack, here->listeners[i], &h, now))
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

			while (cpl_deadline(here->ends[k].stack) <= (now = clock_ns())) {
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

/* As many as there are askers, evenly spread among all here, are to ask. */
static void choose(void)
{
	for (long k = 0; k < askers_n; k++) {
		askers[k].handle = here->clients[here->n / askers_n * k];
		cpl_set_user(here->ends[0].stack, askers[k].handle, (uint64_t)k);
	}
}

static void request(struct asker *a, uint64_t now)
{
	if (cpl_send(here->ends[0].stack, a->handle, buf, sizeof(buf), 0, now) != sizeof(buf))
		die("send", a - askers);
	a->sent_at = clock_ns();
	a->lost_at = lost;
}

static uint64_t answers(bool more)
{
	struct cpl_event ev;
	uint64_t now = clock_ns(), n = 0, took, away;

	turn(now);
	while (cpl_next_event(here->ends[1].stack, &ev))
		if (cpl_recv(here->ends[1].stack, ev.handle, buf, sizeof(buf), 0, now) > 0)
			cpl_send(here->ends[1].stack, ev.handle, buf, sizeof(buf), 0, now);
	turn(now);
	while (cpl_next_event(here->ends[0].stack, &ev)) {
		struct asker *a = &askers[ev.user];

		if (cpl_recv(here->ends[0].stack, ev.handle, buf, sizeof(buf), 0, now) <= 0)
			continue;
		took = clock_ns() - a->sent_at;
		away = lost - a->lost_at;
		samples_wall[samples_n % SAMPLES] = (uint32_t)took;
		samples[samples_n++ % SAMPLES] = (uint32_t)(took > away ? took - away : 0);
		n++;
		if (more)
			request(a, now);
	}
	return n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct figures {
	double rate, p50_us, p99_us, wall_p99_us, away_ms, max_us;
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

/* All askers ask again and again, for FOR_NS. */
static struct figures activity(struct world *world, uint64_t for_ns)
{
	uint64_t began, ended, done = 0, wall, core, away;
	long waiting = askers_n;
	uint32_t have;

	here = world;
	choose();
	samples_n = 0;
	lost = 0;
	for (long k = 0; k < askers_n; k++)
		request(&askers[k], clock_ns());
	while (done < (uint64_t)askers_n)
		done += answers(true);
	done = samples_n = 0;
	began = wall = clock_ns();
	core = core_ns();
	do {
		done += answers(true);
		count_lost(&wall, &core);
	} while (clock_ns() - began < for_ns);
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
				 .wall_p99_us = samples_wall[have - have / 100 - 1] / 1e3,
				 .away_ms = (double)away / 1e6,
				 .max_us = samples[have - 1] / 1e3 };
}

static void print(const char *what, struct figures f)
{
	printf("%-26s %8.0f requests/s, p50 %6.0f us, p99 %6.0f, longest %6.0f (wall's p99 %6.0f; "
	       "core away %.0f ms)\n",
	       what, f.rate, f.p50_us, f.p99_us, f.max_us, f.wall_p99_us, f.away_ms);
	fflush(stdout);
}

/* Of N runs, the median of each figure; the longest is that of all. */
static struct figures middle(const struct figures *f, unsigned n)
{
	const size_t each = sizeof(double), all = sizeof(*f) / each;
	struct figures of = { 0 };
	double sorted[LISTED] = { 0 };

	for (size_t k = 0; n && k < all; k++) {
		for (unsigned i = 0; i < n; i++)
			memcpy(&sorted[i], (const char *)&f[i] + k * each, each);
		qsort(sorted, n, each, by_value);
		memcpy((char *)&of + k * each, &sorted[k < all - 1 ? n / 2 : n - 1], each);
	}
	return of;
}

/* ---- Dumps ---- */

static char dir[] = "/tmp/couplet-many-XXXXXX";

/* `couplet netstat` beside it, an ordinary process whatever this one is; its lines are counted into
 * a file. */
static pid_t look(const char *self)
{
	const struct sched_param ordinary = { 0 };
	char couplet[600], command[1400];
	cpu_set_t everywhere;
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
	if (pid) { /* it may have no processor to do that itself */
		memset(&everywhere, 255, sizeof(everywhere));
		sched_setaffinity(pid, sizeof(everywhere), &everywhere);
		sched_setscheduler(pid, SCHED_OTHER, &ordinary);
		return pid;
	}
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

/* In turn they ask while it lists some, and while it has to wait. */
static void dumps(const char *self, struct world *world, uint64_t for_ns)
{
	static struct figures calm[LISTED], listed[LISTED];
	double ratios[LISTED];
	unsigned n;
	struct link_why why;
	char sub[64], command[64];
	pid_t pid;

	if (!mkdtemp(dir))
		die("mkdtemp", errno);
	snprintf(sub, sizeof(sub), "%s/couplet", dir);
	mkdir(sub, 0700);
	if (control_open(&control, world->ends[0].stack, sub, "many", &why))
		die(why.text, 0);
	pid = look(self);
	for (n = 0; waitpid(pid, NULL, WNOHANG) != pid; n += n < LISTED - 1) {
		listing = false;
		calm[n] = activity(world, for_ns / 2);
		listing = true;
		listed[n] = activity(world, for_ns);
		ratios[n] = listed[n].p99_us / calm[n].p99_us;
	}
	/* The last pair: the list came to its end within. */
	n -= n > 1;
	qsort(ratios, n, sizeof(ratios[0]), by_value);
	print("active, not listed", middle(calm, n));
	print("active, netstat lists all", middle(listed, n));
	printf("listed / not: speed %.2f, p99 %.2f (%.2f to %.2f), %u turns\n",
	       middle(listed, n).rate / middle(calm, n).rate, ratios[n / 2], ratios[0],
	       ratios[n - 1], n);
	printf("longest that the control socket held the stack: %.0f us\n", (double)held / 1e3);
	fflush(stdout);
	tell_look();
	control_close(control);
	control = NULL;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	if (system(command))
		printf("%s stays\n", dir);
}

/* ---- Calls ---- */

/* Each end closes what the other has closed. */
static void close_all(void)
{
	struct cpl_event ev;
	long n = here->n;

	for (long i = 0; i < n; i++) {
		uint64_t began = spent_ns();

		cpl_close(here->ends[0].stack, here->clients[i], clock_ns());
		took(CLOSE, began);
		if (i % BATCH && i != n - 1)
			continue;
		while (turn(clock_ns()))
			while (cpl_next_event(here->ends[1].stack, &ev))
				if (ev.what & CPL_EV_PEER_FIN)
					cpl_close(here->ends[1].stack, ev.handle, clock_ns());
	}
}

static void longest_calls(long n)
{
	struct world world;

	timing = true;
	start(&world, n);
	open_all();
	print_calls("they open");
	settle();
	print_calls("they come to rest");
	close_all();
	print_calls("they close");
	skew += 60 * CPL_SECOND;
	settle();
	print_calls("TIME-WAIT ends");
	stop();
}

/* In turn. Both are awake before. */
static void compare(struct world *alone, struct world *all, uint64_t for_ns)
{
	struct figures one[ROUNDS], many[ROUNDS], by_itself, among;
	double ratios[ROUNDS];

	for (int i = -1; i < ROUNDS; i++) {
		int k = i < 0 ? 0 : i;

		one[k] = activity(alone, for_ns);
		many[k] = activity(all, for_ns);
		ratios[k] = many[k].rate / one[k].rate;
	}
	by_itself = middle(one, ROUNDS);
	among = middle(many, ROUNDS);
	qsort(ratios, ROUNDS, sizeof(ratios[0]), by_value);
	print("active, alone", by_itself);
	print("active, beside all others", among);
	printf("beside all others / alone: speed %.2f (%.2f to %.2f), p99 %.2f\n",
	       ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1], among.p99_us / by_itself.p99_us);
}

static void reset_all(void)
{
	for (long i = 0; i < here->n; i++) {
		cpl_abort(here->ends[0].stack, here->clients[i], clock_ns());
		if (i % BATCH == 0 || i == here->n - 1)
			while (turn(clock_ns()))
				drop_events();
	}
}

int main(int argc, char **argv)
{
	long n = option_number(argc, argv, "n", 1000000),
	     percent = option_number(argc, argv, "active", 1);
	uint64_t for_ns = (uint64_t)option_number(argc, argv, "ms", 300) * CPL_MS, t;
	struct world alone, all;
	double before, after;

	options_check(argc, argv, usage);
	ipv6 = option_number(argc, argv, "ipv6", 0);
	signal(SIGPIPE, SIG_IGN);
	if (option_number(argc, argv, "calls", 0)) {
		longest_calls(n);
		return 0;
	}
	askers_n = n * percent / 100 > 1 ? n * percent / 100 : 1;
	askers = allocate((size_t)askers_n * sizeof(*askers));
	samples = allocate(SAMPLES * sizeof(*samples));
	samples_wall = allocate(SAMPLES * sizeof(*samples));

	start(&all, n);
	before = resident_mb();
	t = clock_ns();
	open_all();
	t = clock_ns() - t;
	printf("%ld connections, IPv%d: opened in %.2f s, %.0f a second; %.0f MB then\n", n,
	       ipv6 ? 6 : 4, (double)t / 1e9, (double)n * 1e9 / (double)t, resident_mb() - before);
	t = settle();
	after = resident_mb();
	printf("at rest: %.0f bytes of resident memory for each end; longest call %.0f us\n",
	       (after - before) * 1e6 / 2 / (double)n, (double)t / 1e3);
	start(&alone, askers_n);
	open_all();
	compare(&alone, &all, for_ns);
	if (option_number(argc, argv, "dump", 1))
		dumps(argv[0], &all, for_ns);
	here = &alone;
	reset_all();
	stop();
	here = &all;
	reset_all();
	printf("after all were reset: %.1f MB more than before the first\n",
	       resident_mb() - before);
	stop();
	return 0;
}
