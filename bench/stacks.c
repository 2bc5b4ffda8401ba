/* SPDX-License-Identifier: MIT */
/*
 * Any stack that is made as bench/peer.h says, with itself or with another, on a wire in memory:
 * both ends in this process, on one core. See USAGE. What arrives is compared with what was sent
 * before the measurement begins; in it, what is lent is copied once, as a program reads it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

#include "bench/apart.h"
#include "bench/options.h"
#include "bench/peer.h"

static const char usage[] =
	"stacks A.so [B.so] [MODE] [KEY=VALUE ...]\n"
	"A calls, B (a copy of A unless given) listens.\n"
	"  bulk   mb=512             from A to B, on one connection\n"
	"  rr     n=300000           64-byte round trips on one connection\n"
	"  churn  n=100000 conc=16   connect, 64-byte request, answer, close; so many at\n"
	"                            a time\n"
	"  all                       these three (the default)\n"
	"  idle   n=100000           resident memory of each end of idle connections\n"
	"others=N         so many connections are open besides, idle\n"
	"batch=32         so many frames are handed over at a time\n"
	"virtual=1        each turn takes 10 us, whatever the clock says: for callgrind\n"
	"limit=30         seconds after which rr and churn tell what they have reached\n"
	"In the environment, for bench/peer.c: CSUM=0 leaves checksums out, CC names the\n"
	"congestion control.\n";

#define SLOT	  2048u
#define SLOTS	  8192u
#define HUGE_PAGE (2u << 20)
#define PORT	  5001
#define PER_PORT  30000
#define MSG	  64u
#define MSS	  1460
#define PATTERN	  65521u /* a prime: what is shifted shows */

enum role {
	SINK,
	ECHO,
	SENDER,
	ASKER,
	CALLER,
	IDLER
};

struct conn {
	void *c;
	enum role role;
	bool closed;
	uint64_t got;
};

/* Frames that one end has sent: TAIL to HEAD are on their way. */
struct wire {
	uint8_t *slots;
	uint32_t len[SLOTS], head, tail;
};

static struct {
	const struct peer_plugin *stack[2];
	struct wire wire[2];
	uint64_t now_us, skipped_us;
	unsigned batch;
	bool virtual, comparing;
	enum role server_role;
	uint64_t to_send, sent, received; /* of bulk */
	uint64_t rounds, rounds_wanted;
	uint64_t opened, accepted, calls, failed, dead;
} h;
static uint8_t pattern[PATTERN], in[65536];
static in_addr_t addr[2];

static void die(const char *what)
{
	fprintf(stderr, "stacks: %s\n", what);
	exit(1);
}

static uint64_t real_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the wire ---- */

static uint64_t host_now_us(void)
{
	return h.now_us;
}

static void *host_tx_begin(int id, uint32_t len)
{
	struct wire *w = &h.wire[id];

	return len > SLOT || w->head - w->tail == SLOTS ? NULL : w->slots + w->head % SLOTS * SLOT;
}

static void host_tx_commit(int id, uint32_t len)
{
	struct wire *w = &h.wire[id];

	w->len[w->head++ % SLOTS] = len;
}

static void host_tx(int id, const void *frame, uint32_t len)
{
	void *slot = host_tx_begin(id, len);

	if (!slot)
		return;
	memcpy(slot, frame, len);
	host_tx_commit(id, len);
}

static unsigned carry(int from)
{
	struct wire *w = &h.wire[from];
	unsigned n = 0;

	for (; n < h.batch && w->tail != w->head; n++, w->tail++)
		h.stack[!from]->input(w->slots + w->tail % SLOTS * SLOT, w->len[w->tail % SLOTS]);
	return n;
}

/* One turn of both ends. Returns how many frames arrived. */
static unsigned turn(void)
{
	unsigned n = carry(0);

	n += carry(1);
	h.now_us = h.virtual ? h.now_us + 10 : real_us() + h.skipped_us;
	h.stack[0]->poll();
	h.stack[1]->poll();
	return n;
}

static bool too_late(uint64_t *turns, uint64_t since, uint64_t limit_us)
{
	return !(++*turns & 1023) && real_us() - since > limit_us;
}

/* ---- the program at each end ---- */

static struct conn *spare; /* linked by c: what malloc() costs is no stack's */

static struct conn *conn_new(void *c, enum role role)
{
	struct conn *k = spare;

	if (k)
		spare = k->c;
	else if (!(k = malloc(sizeof(*k))))
		die("no memory");
	*k = (struct conn){ .c = c, .role = role };
	return k;
}

static void conn_free(struct conn *k)
{
	if (!k)
		return;
	k->c = spare;
	spare = k;
}

static void pump(int id, struct conn *k)
{
	while (h.sent < h.to_send) {
		uint64_t at = h.sent % PATTERN, left = h.to_send - h.sent, n = PATTERN - at;
		uint32_t taken;

		n = n < left ? n : left;
		taken = h.stack[id]->send(k->c, pattern + at, (uint32_t)n);
		h.sent += taken;
		if (taken < n)
			break;
	}
	h.stack[id]->flush(k->c);
}

static void say(int id, struct conn *k, const void *data, uint32_t n)
{
	if (h.stack[id]->send(k->c, data, n) != n)
		die("a stack did not take an answer of 64 bytes");
	h.stack[id]->flush(k->c);
}

static void hang_up(int id, struct conn *k)
{
	if (k->closed)
		return;
	k->closed = true;
	h.stack[id]->close(k->c);
}

static void *on_accept(int id, void *c)
{
	(void)id;
	h.accepted++;
	return conn_new(c, h.server_role);
}

static void on_connected(int id, void *c, void *user)
{
	struct conn *k = user;

	k->c = c;
	h.opened++;
	if (k->role == SENDER)
		pump(id, k);
	else if (k->role == ASKER || k->role == CALLER)
		say(id, k, pattern, MSG);
}

static void compare(const uint8_t *data, uint32_t n)
{
	uint64_t at = h.received;

	for (uint32_t i = 0; i < n; i++, at++)
		if (data[i] != pattern[at % PATTERN])
			die("what arrived is not what was sent");
}

static void answered(int id, struct conn *k)
{
	if (k->got < MSG || k->closed)
		return;
	k->got -= MSG;
	h.rounds++;
	if (k->role == CALLER)
		hang_up(id, k);
	else if (h.rounds < h.rounds_wanted)
		say(id, k, pattern, MSG);
}

static void on_recv(int id, void *c, void *user, const void *data, uint32_t n, int copied)
{
	struct conn *k = user;

	(void)c;
	if (!copied)
		for (uint32_t at = 0, part; at < n; at += part) {
			part = n - at < sizeof(in) ? n - at : sizeof(in);
			memcpy(in, (const uint8_t *)data + at, part);
		}
	if (h.comparing)
		compare(data, n);
	if (id)
		h.received += n;
	if (!k)
		return;
	k->got += n;
	if (k->role == ECHO)
		say(id, k, data, n);
	else if (k->role == ASKER || k->role == CALLER)
		answered(id, k);
}

static void on_sent(int id, void *c, void *user)
{
	struct conn *k = user;

	(void)c;
	if (k && k->role == SENDER && !k->closed)
		pump(id, k);
}

static void on_eof(int id, void *c, void *user)
{
	(void)c;
	if (user)
		hang_up(id, user);
}

static void on_dead(int id, void *c, void *user, int err)
{
	(void)c;
	h.dead++;
	if (!id && err)
		h.failed++;
	conn_free(user);
}

static struct conn *call(enum role role, uint16_t port)
{
	struct conn *k = conn_new(NULL, role);

	k->c = h.stack[0]->connect(addr[1], port, k);
	if (k->c)
		return k;
	conn_free(k);
	return NULL;
}

static struct conn *call_and_wait(enum role role)
{
	uint64_t since = real_us(), turns = 0, before = h.opened;
	struct conn *k = call(role, PORT);

	if (!k)
		die("a stack refused to connect");
	while (h.opened == before)
		if (turn(), too_late(&turns, since, 10000000))
			die("no connection after 10 s");
	return k;
}

/* ---- the work ---- */

static void transfer(struct conn *k, uint64_t bytes)
{
	uint64_t since = real_us(), turns = 0;

	h.sent = h.received = 0;
	h.to_send = bytes;
	pump(0, k);
	while (h.received < bytes) {
		/* Not every stack says that it has room again. */
		if (!turn())
			pump(0, k);
		if (too_late(&turns, since, 120000000))
			die("bulk: not all arrived within 120 s");
	}
}

APART static void measured_bulk(struct conn *k, uint64_t bytes)
{
	transfer(k, bytes);
}

static void bulk(int argc, char **argv)
{
	uint64_t bytes = (uint64_t)option_number(argc, argv, "mb", 512) << 20, t;
	struct conn *k;

	h.server_role = SINK;
	h.to_send = h.sent = 0;
	k = call_and_wait(SENDER);
	h.comparing = true;
	transfer(k, 4 << 20); /* buffers and windows grow first, too */
	h.comparing = false;
	count_from_here();
	t = real_us();
	measured_bulk(k, bytes);
	t = real_us() - t;
	hang_up(0, k);
	printf("bulk %.2f Gbit/s, %llu segments\n", (double)bytes * 8e-3 / (double)t,
	       (unsigned long long)(bytes / MSS));
}

static void rounds(uint64_t n, uint64_t limit_us)
{
	uint64_t since = real_us(), turns = 0;

	h.rounds_wanted = h.rounds + n;
	while (h.rounds < h.rounds_wanted && !too_late(&turns, since, limit_us))
		turn();
}

APART static void measured_rr(struct conn *k, uint64_t n, uint64_t limit_us)
{
	say(0, k, pattern, MSG);
	rounds(n, limit_us);
}

static void rr(int argc, char **argv)
{
	uint64_t n = (uint64_t)option_number(argc, argv, "n", 300000), t;
	uint64_t limit = (uint64_t)option_number(argc, argv, "limit", 30) * 1000000;
	struct conn *k;

	h.server_role = ECHO;
	h.rounds = 0;
	h.rounds_wanted = 1000;
	k = call_and_wait(ASKER);
	rounds(h.rounds_wanted - h.rounds, limit);
	h.rounds = 0;
	count_from_here();
	t = real_us();
	measured_rr(k, n, limit);
	t = real_us() - t;
	hang_up(0, k);
	printf("rr %.0f a second, %llu round trips\n", (double)h.rounds * 1e6 / (double)t,
	       (unsigned long long)h.rounds);
}

/* N connections, CONC of them at a time. One that was lost is not counted. */
APART static void measured_churn(uint64_t n, uint64_t conc, uint64_t limit_us)
{
	uint64_t since = real_us(), turns = 0;

	while (h.rounds < n && !too_late(&turns, since, limit_us)) {
		while (h.calls - h.rounds - h.failed < conc && call(CALLER, PORT))
			h.calls++;
		turn();
	}
}

static void churn(int argc, char **argv)
{
	uint64_t n = (uint64_t)option_number(argc, argv, "n", 100000), t;
	uint64_t conc = (uint64_t)option_number(argc, argv, "conc", 16);
	uint64_t limit = (uint64_t)option_number(argc, argv, "limit", 30) * 1000000;

	h.server_role = ECHO;
	h.rounds = h.calls = h.failed = 0;
	measured_churn(2 * conc, conc, limit);
	h.rounds = h.calls = h.failed = 0;
	count_from_here();
	t = real_us();
	measured_churn(n, conc, limit);
	t = real_us() - t;
	printf("churn %.0f a second, %llu connections, %llu lost\n",
	       (double)h.rounds * 1e6 / (double)t, (unsigned long long)h.rounds,
	       (unsigned long long)h.failed);
}

/* Connections that do nothing, at most 32 of them half open. */
static void open_idle(uint64_t n, uint64_t limit_us)
{
	uint64_t since = real_us(), turns = 0, wanted = h.opened + n, before = h.dead;
	uint64_t called = h.opened;

	for (uint64_t i = 1; i <= n / PER_PORT; i++)
		if (h.stack[1]->listen((uint16_t)(PORT + i)))
			die("a stack does not listen on one more port");
	while (h.opened < wanted && !too_late(&turns, since, limit_us)) {
		for (uint64_t i; called < wanted && called - h.opened < 32; called++) {
			i = n - (wanted - called);
			if (!call(IDLER, (uint16_t)(PORT + i / PER_PORT)))
				break;
		}
		turn();
	}
	if (h.opened < wanted || h.dead != before)
		die("not all of the idle connections could be opened");
	/* Five seconds pass in no time, a few timers a turn: what handshakes needed goes. */
	for (int i = 0; i < 100; i++) {
		h.skipped_us += 50000;
		h.now_us += h.virtual ? 50000 : 0;
		for (uint64_t turns = 0; turn() || turns < n / 64; turns++)
			;
	}
}

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size, pages = 0;

	malloc_trim(0);
	if (f && fscanf(f, "%lu %lu", &size, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void idle(int argc, char **argv)
{
	uint64_t n = (uint64_t)option_number(argc, argv, "n", 100000), t;
	uint64_t limit = (uint64_t)option_number(argc, argv, "limit", 30) * 1000000;
	size_t before = resident();

	t = real_us();
	open_idle(n, limit);
	t = real_us() - t;
	/* The harness's own record of each is no part of it. */
	printf("idle %.0f bytes for each end, %.0f opened a second\n",
	       (double)(resident() - before) / 2 / (double)n - (double)(sizeof(struct conn) + 16),
	       (double)n * 1e6 / (double)t);
}

/* ---- loading ---- */

static const struct host_api host = {
	host_tx,      host_tx_begin, host_tx_commit, host_now_us, on_accept,
	on_connected, on_recv,	     on_sent,	     on_eof,	  on_dead,
};

/* A copy under a name of its own has variables of its own. */
static const struct peer_plugin *load(const char *path)
{
	char copy[] = "/tmp/couplet-stack-XXXXXX";
	int from = open(path, O_RDONLY | O_CLOEXEC), to = mkstemp(copy);
	const struct peer_plugin *stack;
	void *object;
	ssize_t n;

	if (from < 0 || to < 0) {
		fprintf(stderr, "stacks: %s cannot be read\n", path);
		unlink(copy);
		exit(2);
	}
	while ((n = sendfile(to, from, NULL, 1 << 30)) > 0)
		;
	close(from);
	close(to);
	object = n < 0 ? NULL : dlopen(copy, RTLD_NOW | RTLD_LOCAL);
	unlink(copy);
	stack = object ? dlsym(object, "peer") : NULL;
	if (stack)
		return stack;
	fprintf(stderr, "stacks: %s is no stack as bench/peer.h wants one: %s\n", path, dlerror());
	exit(2);
}

/* As a device's: in huge pages, where there are some. */
static uint8_t *ring_new(void)
{
	uint8_t *ring = aligned_alloc(HUGE_PAGE, SLOTS * SLOT);

	if (!ring)
		die("no memory");
	madvise(ring, SLOTS * SLOT, MADV_HUGEPAGE);
	memset(ring, 1, SLOTS * SLOT);
	return ring;
}

static void start(char **paths)
{
	static const uint8_t mac[2][6] = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };
	static const char *const ip[2] = { "10.77.0.1", "10.77.0.2" };

	for (uint32_t i = 0; i < PATTERN; i++)
		pattern[i] = (uint8_t)(i * 7 + i / 251);
	h.now_us = h.virtual ? 1000000 : real_us();
	for (int i = 0; i < 2; i++) {
		h.wire[i].slots = ring_new();
		h.stack[i] = load(paths[i]);
		addr[i] = inet_addr(ip[i]);
		if (h.stack[i]->init(&host, i, addr[i], mac[i]))
			die("a stack would not start");
	}
	if (h.stack[1]->listen(PORT))
		die("a stack would not listen");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(int argc, char **argv);
	} modes[] = { { "bulk", bulk }, { "rr", rr }, { "churn", churn }, { "idle", idle } };
	const char *mode = "all";
	char *paths[2] = { NULL, NULL };
	uint64_t others;
	unsigned found = 0;

	options_check(argc, argv, usage);
	for (int i = 1; i < argc; i++)
		if (strstr(argv[i], ".so") && !strchr(argv[i], '='))
			paths[paths[0] ? 1 : 0] = argv[i];
		else if (!strchr(argv[i], '='))
			mode = argv[i];
	if (!paths[0]) {
		fputs("stacks: no stack: stacks --help says how they are given\n", stderr);
		return 2;
	}
	paths[1] = paths[1] ? paths[1] : paths[0];
	h.virtual = option_number(argc, argv, "virtual", 0);
	h.batch = (unsigned)option_number(argc, argv, "batch", 32);
	others = (uint64_t)option_number(argc, argv, "others", 0);
	start(paths);
	if (others)
		open_idle(others, 60000000);
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(mode, modes[i].name) || (i < 3 && !strcmp(mode, "all"))) {
			modes[i].run(argc, argv);
			found++;
		}
	if (!found)
		fprintf(stderr, "stacks: there is no mode '%s': stacks --help lists them\n", mode);
	fflush(stdout);
	_exit(found ? 0 : 2); /* what a stack does at exit is not asked for */
}
