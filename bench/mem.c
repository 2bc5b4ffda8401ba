/* SPDX-License-Identifier: MIT */
/*
 * In memory, both ends on one core: what the stack itself costs, with nothing but memory between
 * its two ends. See USAGE; for instructions, bench/apart.h.
 */
#define _GNU_SOURCE
#include <couplet/couplet.h>

#include <errno.h>
#include <malloc.h>
#include <time.h>

#include "bench/apart.h"
#include "bench/at_once.h"
#include "bench/options.h"

static const char usage[] =
	"mem [MODE] [KEY=VALUE ...]\n"
	"Each mode prints a line; without a mode: all of them.\n"
	"  bulk   mb=512 gso=0       one connection, one way; MSS 1460, or super-segments\n"
	"                            of 64 KiB\n"
	"  copies mb=512 reps=5      what bulk with gso=1 copies, by memcpy() alone, and\n"
	"                            that, in turn\n"
	"  rr     n=300000           64-byte requests and answers on one connection\n"
	"  churn  n=100000 conc=16   connect, 64-byte request, answer, close; so many at\n"
	"                            a time\n"
	"  others n=20000 idle=100   rr, and a quarter of churn, beside IDLE others\n"
	"  idle   n=100000           resident memory of each end of idle connections\n"
	"  cores  n=2 reps=5 mb=512  bulk, rr and churn (600 for each MB) on one core and\n"
	"                            on N at once, in turn: N pairs of stacks with the\n"
	"                            same two addresses, each pair in a thread; and, as\n"
	"                            what the machine has to give, in a process\n";

#define BATCH	   32
#define FRAME_MAX  66000
#define GSO_BUFFER (128 << 10)
#define PORT	   80
#define PORTS	   8 /* of the server: TIME-WAIT leaves enough of the client's to each */

struct end {
	cpl_stack *stack;
	int ifindex;
};

/* Of each thread: nothing is shared. */
static _Thread_local struct end ends[2];
static _Thread_local cpl_handle listeners[PORTS];
static _Thread_local uint8_t wire_buf[BATCH][FRAME_MAX];
static _Thread_local uint8_t app_buf[65536];
static _Thread_local uint64_t frames_moved;
static _Thread_local uint64_t slabs;
static _Thread_local uint64_t skew; /* what was skipped: time never goes back */
static _Thread_local unsigned core, cores = 1;
static bool quiet;
static _Thread_local pthread_barrier_t *together; /* or NULL: alone */

/* What was done, in how long. */
struct result {
	double n;
	uint64_t ns;
};

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * CPL_SECOND + (uint64_t)t.tv_nsec + skew;
}

static void *slab_alloc(void *ctx, size_t n)
{
	(void)ctx;
	slabs += n;
	return malloc(n);
}

static void slab_release(void *ctx, void *p, size_t n)
{
	(void)ctx;
	slabs -= n;
	free(p);
}

/* A line of a run that is looked at by itself. */
#define say(...) (together || quiet ? 0 : printf(__VA_ARGS__))

static void die(const char *what, long err)
{
	fprintf(stderr, "mem: %s: error %ld\n", what, err);
	exit(1);
}

static void open_end(int i, bool gso, uint64_t now)
{
	struct cpl_config c;
	struct cpl_iface_config ic = {
		.size = sizeof(ic), .name = "mem", .kind = CPL_IFACE_IP, .mtu = 1500
	};
	struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(i + 1));
	int err;

	cpl_config_init(&c);
	c.alloc = slab_alloc;
	c.release = slab_release;
	c.memory_max = 16ull << 30;
	c.conns_max = 12000000;
	c.time_wait_ns = 100 * CPL_MS; /* a closed loop of connections reuses its ports */
	c.port_first = 1024;
	c.port_last = 65535;
	c.secret[0] = (uint8_t)(i + 1);
	c.secret[1] = (uint8_t)core;
	c.core = (uint16_t)core;
	c.cores = (uint16_t)cores;
	if (gso) /* else the window grows to what no cache holds */
		c.sndbuf = c.sndbuf_max = c.rcvbuf = c.rcvbuf_max = GSO_BUFFER;
	err = cpl_stack_new(&ends[i].stack, &c, now);
	if (err)
		die("stack", err);
	if (gso) {
		ic.gso_max = 65000;
		ic.flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	}
	ends[i].ifindex = cpl_iface_add(ends[i].stack, &ic, now);
	err = cpl_addr_add(ends[i].stack, ends[i].ifindex, &addr, 8, now);
	if (err)
		die("address", err);
}

/* Frames of one end to the other, a batch at a time, by one copy. */
static int carry(int from, uint64_t now)
{
	struct end *a = &ends[from], *b = &ends[!from];
	struct cpl_frame in[BATCH];
	struct cpl_out out;
	int n = 0, len;

	while (n < BATCH &&
	       (len = cpl_output_copy(a->stack, a->ifindex, wire_buf[n], FRAME_MAX, &out, now)) > 0)
		in[n++] =
			(struct cpl_frame){ .data = out.iov[0].base,
					    .len = (uint32_t)len,
					    .gso_size = out.gso_size,
					    .flags = out.csum_offset ? CPL_FRAME_CSUM_PARTIAL : 0 };
	if (n > 0)
		cpl_input(b->stack, b->ifindex, in, (unsigned)n, now);
	frames_moved += (uint64_t)n;
	return n;
}

static void expire(uint64_t now)
{
	for (int i = 0; i < 2; i++)
		if (cpl_deadline(ends[i].stack) <= now)
			cpl_advance(ends[i].stack, now);
}

static int turn(uint64_t now)
{
	int n = carry(0, now);

	n += carry(1, now);
	expire(now);
	return n;
}

static void start(bool gso)
{
	struct cpl_endpoint local = { .port = PORT };
	uint64_t now = clock_ns();

	for (int i = 0; i < 2; i++)
		open_end(i, gso, now);
	for (int i = 0; i < PORTS; i++, local.port++) {
		int err = cpl_listen(ends[1].stack, &local, 65536, &listeners[i], now);

		if (err)
			die("listen", err);
	}
}

static void stop(void)
{
	for (int i = 0; i < 2; i++)
		cpl_stack_free(ends[i].stack);
}

/* To the next port of the server's. 0: no port is free. */
static cpl_handle dial(uint64_t now)
{
	static _Thread_local unsigned n;
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2),
				   .port = (uint16_t)(PORT + n++ % PORTS) };
	cpl_handle h = 0;

	return cpl_connect(ends[0].stack, NULL, &to, &h, now) ? 0 : h;
}

static void drop_events(int i)
{
	struct cpl_event ev;

	while (cpl_next_event(ends[i].stack, &ev))
		;
}

static void establish(cpl_handle *client, cpl_handle *server)
{
	*client = dial(clock_ns());
	*server = 0;
	if (!*client)
		die("connect", 0);
	while (!*server) {
		turn(clock_ns());
		for (int i = 0; i < PORTS && !*server; i++)
			cpl_accept(ends[1].stack, listeners[i], server, clock_ns());
	}
	drop_events(0);
	drop_events(1);
}

/* The clock, when all threads are ready. */
static uint64_t begin(void)
{
	if (together)
		pthread_barrier_wait(together);
	return clock_ns();
}

/* ---- bulk ---- */

APART static uint64_t measured(uint64_t bytes, cpl_handle c, cpl_handle s)
{
	uint64_t sent = 0, got = 0, now = clock_ns();
	unsigned spin = 0;

	while (got < bytes) {
		long n;

		if (!(spin++ & 63))
			now = clock_ns();
		while (sent < bytes) {
			n = cpl_send(ends[0].stack, c, app_buf, sizeof(app_buf), 0, now);
			if (n <= 0)
				break;
			sent += (uint64_t)n;
		}
		turn(now);
		while ((n = cpl_recv(ends[1].stack, s, app_buf, sizeof(app_buf), 0, now)) > 0)
			got += (uint64_t)n;
		drop_events(0);
		drop_events(1);
	}
	return got;
}

static struct result bulk(int argc, char **argv, long gso)
{
	uint64_t bytes = (uint64_t)option_number(argc, argv, "mb", 512) << 20, t, moved;
	struct cpl_counters counters;
	cpl_handle c, s;

	start(gso);
	establish(&c, &s);
	measured(16 << 20, c, s); /* buffers and windows grow first */
	moved = frames_moved;
	t = begin();
	measured(bytes, c, s);
	t = clock_ns() - t;
	cpl_counters_get(ends[0].stack, &counters);
	say("bulk   gso=%ld: %.2f Gbit/s, %.0f ns a segment of 1460, %.2f frames a segment, "
	    "retransmitted %llu\n",
	    gso, (double)bytes * 8 / (double)t, (double)t / ((double)bytes / 1460),
	    (double)(frames_moved - moved) / ((double)bytes / 1460),
	    (unsigned long long)counters.segs_retrans);
	stop();
	return (struct result){ (double)bytes / 1460, t };
}

/* The same copies with no stack between them: written, sent, received, read. */
static uint64_t bare(uint64_t bytes)
{
	enum {
		SIZE = 65000
	};
	static uint8_t out[SIZE], in[SIZE], to[SIZE];
	uint64_t t = clock_ns();

	for (uint64_t done = 0; done < bytes; done += SIZE) {
		memcpy(out, app_buf, SIZE);
		memcpy(wire_buf[0], out, SIZE);
		memcpy(in, wire_buf[0], SIZE);
		memcpy(to, in, SIZE);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	return clock_ns() - t;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* In turn with super-segments between two stacks. */
static void copies(int argc, char **argv)
{
	uint64_t bytes = (uint64_t)option_number(argc, argv, "mb", 512) << 20;
	long reps = option_number(argc, argv, "reps", 5);
	double speed[99], ours[99], ratio[99];

	if (reps < 1 || reps > 99)
		die("reps is 1 to 99", -EINVAL);
	quiet = true;
	for (long i = 0; i < reps; i++) {
		struct result r;
		uint64_t t = bare(bytes);

		r = bulk(argc, argv, 1);
		speed[i] = (double)bytes * 8 / (double)t;
		ours[i] = r.n * 1460 * 8 / (double)r.ns;
		ratio[i] = speed[i] / ours[i];
	}
	quiet = false;
	qsort(speed, (size_t)reps, sizeof(speed[0]), by_value);
	qsort(ours, (size_t)reps, sizeof(ours[0]), by_value);
	qsort(ratio, (size_t)reps, sizeof(ratio[0]), by_value);
	printf("copies of 64 KiB, four of each octet: %.2f Gbit/s; bulk gso=1 does %.2f, and takes "
	       "%.2f times as long (%.2f, %.2f)\n",
	       speed[reps / 2], ours[reps / 2], ratio[reps / 2], ratio[0], ratio[reps - 1]);
}

/* ---- request, response ---- */

static void pingpong(cpl_handle c, cpl_handle s, long n)
{
	for (long i = 0; i < n; i++) {
		uint64_t now = clock_ns();

		cpl_send(ends[0].stack, c, app_buf, 64, 0, now);
		carry(0, now);
		while (cpl_recv(ends[1].stack, s, app_buf, 64, 0, now) != 64)
			turn(now = clock_ns());
		cpl_send(ends[1].stack, s, app_buf, 64, 0, now);
		carry(1, now);
		while (cpl_recv(ends[0].stack, c, app_buf, 64, 0, now) != 64)
			turn(now = clock_ns());
		drop_events(0);
		drop_events(1);
		expire(now);
	}
}

static struct result rr(int argc, char **argv)
{
	long n = option_number(argc, argv, "n", 300000);
	cpl_handle c, s;
	uint64_t t;

	start(false);
	establish(&c, &s);
	pingpong(c, s, 1000);
	t = begin();
	pingpong(c, s, n);
	t = clock_ns() - t;
	say("rr     64 bytes: %.0f a second, %.0f ns each\n", (double)n * 1e9 / (double)t,
	    (double)t / (double)n);
	stop();
	return (struct result){ (double)n, t };
}

/* ---- connections ---- */

static void churn_client(const struct cpl_event *ev, long *done, long *open, uint64_t now)
{
	long got;

	if (ev->what & CPL_EV_CONNECTED)
		cpl_send(ends[0].stack, ev->handle, app_buf, 64, 0, now);
	if (ev->what & CPL_EV_READABLE) {
		got = cpl_recv(ends[0].stack, ev->handle, app_buf, sizeof(app_buf), 0, now);
		if (got > 0) {
			cpl_close(ends[0].stack, ev->handle, now);
			(*done)++;
			(*open)--;
			return;
		}
	}
	if (ev->what & CPL_EV_CLOSED)
		die("connection lost", ev->error);
}

static void churn_server(const struct cpl_event *ev, uint64_t now)
{
	cpl_handle h;
	long got;

	if (ev->what & CPL_EV_ACCEPT)
		while (!cpl_accept(ends[1].stack, ev->handle, &h, now))
			;
	if (ev->what & CPL_EV_READABLE) {
		got = cpl_recv(ends[1].stack, ev->handle, app_buf, sizeof(app_buf), 0, now);
		if (got > 0)
			cpl_send(ends[1].stack, ev->handle, app_buf, 64, 0, now);
		else if (got == 0)
			cpl_close(ends[1].stack, ev->handle, now);
	}
}

/* N connections, CONC of them at a time. */
APART static void measured_churn(long n, long conc)
{
	long done = 0, open = 0;
	struct cpl_event ev;

	while (done < n) {
		uint64_t now = clock_ns();

		while (open < conc && dial(now))
			open++;
		/* As any program does: what came is answered before anything goes out. */
		carry(0, now);
		while (cpl_next_event(ends[1].stack, &ev))
			churn_server(&ev, now);
		carry(1, now);
		while (cpl_next_event(ends[0].stack, &ev))
			churn_client(&ev, &done, &open, now);
		expire(now);
	}
}

static struct result churn(int argc, char **argv)
{
	long n = option_number(argc, argv, "n", 100000),
	     conc = option_number(argc, argv, "conc", 16);
	uint64_t t;

	start(false);
	t = begin();
	measured_churn(n, conc);
	t = clock_ns() - t;
	say("churn  conc=%ld: %.0f connections a second, %.0f ns each\n", conc,
	    (double)n * 1e9 / (double)t, (double)t / (double)n);
	stop();
	return (struct result){ (double)n, t };
}

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size = 0, pages = 0;

	if (!f || fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* N established connections, from as many of the client's addresses as ports ask for. */
static void open_idle(long n)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = PORT },
			    from = { .port = 0 };
	long open = 0, accepted = 0;
	cpl_handle h;

	for (long i = 0; i < n; i += 60000) {
		from.addr = cpl_addr4(10, 1, (uint8_t)(i / 60000 / 250),
				      (uint8_t)(i / 60000 % 250 + 1));
		cpl_addr_add(ends[0].stack, ends[0].ifindex, &from.addr, 8, clock_ns());
	}
	while (accepted < n) {
		uint64_t now = clock_ns();

		for (int k = 0; k < BATCH && open < n; k++) {
			long i = open / 60000;
			int err;

			from.addr = cpl_addr4(10, 1, (uint8_t)(i / 250), (uint8_t)(i % 250 + 1));
			err = cpl_connect(ends[0].stack, &from, &to, &h, now);
			if (err)
				die("connect", err);
			open++;
		}
		turn(now);
		while (!cpl_accept(ends[1].stack, listeners[0], &h, now))
			accepted++;
		drop_events(0);
		drop_events(1);
	}
}

static bool something_due_within(uint64_t ns)
{
	uint64_t first = cpl_deadline(ends[0].stack), other = cpl_deadline(ends[1].stack);

	return (first < other ? first : other) < clock_ns() + ns;
}

/* What a handshake needed for a moment goes when the connections have been quiet for a while. */
static void settle(void)
{
	for (int i = 0; i < 80 || (i < 2000 && something_due_within(10 * CPL_SECOND)); i++) {
		uint64_t now;

		skew += 50 * CPL_MS;
		now = clock_ns();
		for (int k = 0; k < 2; k++)
			while (cpl_deadline(ends[k].stack) <= now)
				cpl_advance(ends[k].stack, now);
		while (turn(now))
			;
	}
	malloc_trim(0);
}

/* N more connections at rest; what each end of them takes, and how fast they were opened. */
static void at_rest(long n, double *bytes, double *in_slabs, double *a_second)
{
	uint64_t t, slabs_before = slabs;
	size_t before = resident();

	t = clock_ns();
	open_idle(n);
	t = clock_ns() - t;
	settle();
	*bytes = ((double)resident() - (double)before) / 2 / (double)n;
	*in_slabs = ((double)slabs - (double)slabs_before) / 2 / (double)n;
	*a_second = (double)n * 1e9 / (double)t;
}

static void idle(int argc, char **argv)
{
	long n = option_number(argc, argv, "n", 100000);
	double bytes, in_slabs, a_second;

	start(false);
	open_idle(100);
	settle();
	at_rest(n, &bytes, &in_slabs, &a_second);
	printf("idle   %ld connections, both ends: %.0f bytes of resident memory for each end "
	       "(%.0f in slabs), opened at %.0f a second\n",
	       n, bytes, in_slabs, a_second);
	stop();
}

APART static void measured_rr(cpl_handle c, cpl_handle s, long n)
{
	pingpong(c, s, n);
}

static void others(int argc, char **argv)
{
	long n = option_number(argc, argv, "n", 20000), conns = n / 4 + 1;
	long others = option_number(argc, argv, "idle", 100);
	double bytes, in_slabs, a_second;
	uint64_t began, between;
	cpl_handle c, s;

	start(false);
	at_rest(others, &bytes, &in_slabs, &a_second);
	establish(&c, &s);
	pingpong(c, s, 1000);
	measured_churn(100, 16);
	count_from_here();
	began = clock_ns();
	measured_rr(c, s, n);
	between = clock_ns();
	measured_churn(conns, 16);
	printf("others %ld: %.0f ns a round trip, %.0f ns a connection, %.0f bytes for each end, "
	       "opened at %.0f a second; %ld round trips, %ld connections\n",
	       others, (double)(between - began) / (double)n,
	       (double)(clock_ns() - between) / (double)conns, bytes, a_second, n, conns);
	stop();
}

/* ---- several cores ---- */

enum work {
	BULK,
	RR,
	CHURN
};

struct pair {
	enum work work;
	int argc;
	char **argv;
};

/* One of N pairs. */
static double pair_run(unsigned number, unsigned n, pthread_barrier_t *barrier, void *arg)
{
	const struct pair *p = arg;
	struct result r;

	core = number;
	cores = n;
	together = barrier;
	r = p->work == BULK ? bulk(p->argc, p->argv, 0)
	    : p->work == RR ? rr(p->argc, p->argv)
			    : churn(p->argc, p->argv);
	return r.n * 1e9 / (double)r.ns;
}

static void several_cores(int argc, char **argv)
{
	static const char *const names[] = { "bulk: segments", "rr: round trips",
					     "churn: connections" };
	long n = option_number(argc, argv, "n", 2), reps = option_number(argc, argv, "reps", 5);
	long mb = option_number(argc, argv, "mb", 512);
	char bulk_mb[32], rounds[32], *small[] = { argv[0], bulk_mb, rounds, NULL };

	if (n < 1 || n > AT_ONCE_MAX || reps < 1 || reps > 99)
		die("n is 1 to 64, reps 1 to 99", -EINVAL);
	snprintf(bulk_mb, sizeof(bulk_mb), "mb=%ld", mb);
	snprintf(rounds, sizeof(rounds), "n=%ld", mb * 600);
	for (enum work work = BULK; work <= CHURN; work++) {
		double ratios[99], apart[99], one = 0, all = 0;
		struct pair pair = { work, 3, small };

		for (long i = 0; i < reps; i++) {
			one = at_once(1, false, pair_run, &pair);
			all = at_once((unsigned)n, false, pair_run, &pair);
			ratios[i] = all / one;
			apart[i] = at_once((unsigned)n, true, pair_run, &pair) / one;
		}
		qsort(ratios, (size_t)reps, sizeof(ratios[0]), by_value);
		qsort(apart, (size_t)reps, sizeof(apart[0]), by_value);
		printf("cores  %s a second: %.0f on one, %.0f on %ld; ratio %.2f (%.2f, %.2f), of "
		       "processes %.2f (%.2f, %.2f)\n",
		       names[work], one, all, n, ratios[reps / 2], ratios[0], ratios[reps - 1],
		       apart[reps / 2], apart[0], apart[reps - 1]);
	}
}

static void run_bulk(int argc, char **argv)
{
	bulk(argc, argv, option_number(argc, argv, "gso", 0));
}

static void run_rr(int argc, char **argv)
{
	rr(argc, argv);
}

static void run_churn(int argc, char **argv)
{
	churn(argc, argv);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(int argc, char **argv);
	} modes[] = { { "bulk", run_bulk },	 { "copies", copies }, { "rr", run_rr },
		      { "churn", run_churn },	 { "others", others }, { "idle", idle },
		      { "cores", several_cores } };
	const char *mode = argc > 1 && !strchr(argv[1], '=') ? argv[1] : NULL;
	bool found = false;

	options_check(argc, argv, usage);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (mode && strcmp(mode, modes[i].name))
			continue;
		modes[i].run(argc, argv);
		found = true;
	}
	if (!found)
		fprintf(stderr, "mem: there is no mode '%s': mem --help lists them\n", mode);
	return found ? 0 : 2;
}
