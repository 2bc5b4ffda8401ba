/* SPDX-License-Identifier: MIT */
/*
 * Unmodified programs on two hosts of Couplet, joined by a wire in memory: this program itself is
 * run with the library preloaded (tests/util/shim_cases.c), against an echo that waits with epoll.
 * After each, nothing may be left of it at the servers.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host/arena.h"
#include "stack/sockets.h"
#include "tests/util/shim_cases.h"
#include "tests/util/shim_client.h"
#include "tests/util/shim_rig.h"

#define RELEASE	 "out/release/tests/shim/test_shim"
#define KILLS	 (getenv("SOAK") ? 2000 : 24)
#define CROWD	 (getenv("SOAK") ? 4000 : 800)
#define CROWD_KB (getenv("SOAK") ? "100" : "4")

static struct shim_rig rig;
static char self[256] = RELEASE; /* with SHIM_PRELOAD, see shim_rig.h, the program that this is */
static pid_t echo;
static bool closed; /* the hosts */

static int start(int host, const char *a, const char *b, const char *c, const char *d)
{
	char *argv[] = { self, (char *)a, (char *)b, (char *)c, (char *)d, NULL };

	return shim_rig_start(&rig, host, argv);
}

static void expect_case(int host, const char *a, const char *b, const char *c, const char *d)
{
	int status = shim_rig_wait(start(host, a, b, c, d), 20);

	if (status)
		print_error("%s %s: status %d\n", a, b ? b : "", status);
	assert_int_equal(status, 0);
}

/* Wait until HOST has HELD sockets with descriptors, and no others that live. */
static void expect_held(int host, unsigned held)
{
	struct shim_host *h = &rig.hosts[host];

	for (int i = 0; i < 2000; i++) {
		shim_rig_look(&rig, host);
		if (h->held == held && h->conns <= held)
			return;
		usleep(1000);
	}
	print_error("host %d: %u sockets, %u connections, expected %u\n", host, h->held, h->conns,
		    held);
	assert_int_equal(h->held, held);
	assert_true(h->conns <= held);
}

static int echo_start(void **state)
{
	(void)state;
	echo = start(0, "echo", "epoll", "7", NULL);
	return echo < 0;
}

static int echo_stop(void **state)
{
	(void)state;
	expect_held(1, 0);
	expect_held(0, 1); /* the listener */
	kill(echo, SIGKILL);
	shim_rig_wait(echo, 5);
	expect_held(0, 0);
	return 0;
}

#define CASE(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		expect_case(1, #name, NULL, NULL, NULL);                                           \
	}

CASE(dup)
CASE(fork)
CASE(exec)
CASE(heirs)
CASE(rights)
CASE(closeall)
CASE(mixed)
CASE(burst)
CASE(lone)
CASE(wakes)
CASE(giver)
CASE(asleep)
CASE(signals)
CASE(storm)
CASE(cancel)
CASE(workers)
CASE(beside)
CASE(threads)
CASE(libc)
CASE(inetd)

/* It has the stack from its first call on only if the one before it is gone. */
static void test_limit(void **state)
{
	(void)state;
	for (int i = 0; i < 2000; i++) {
		shim_rig_look(&rig, 1);
		if (!rig.hosts[1].programs)
			break;
		usleep(1000);
	}
	expect_case(1, "limit", NULL, NULL, NULL);
}

/* Each way to serve with each way to ask. */
static void test_streams(void **state)
{
	static const char *const serve[] = { "fork", "poll", "select", "epoll" };
	static const char *const ask[] = { "block", "poll", "select", "epoll" };

	(void)state;
	for (int s = 0; s < 4; s++) {
		pid_t pid = start(0, "echo", serve[s], "1007", NULL);

		for (int a = 0; a < 4; a++)
			expect_case(1, "stream", ask[a], "1007", "1000000");
		kill(pid, SIGKILL);
		shim_rig_wait(pid, 5);
		expect_held(0, 1);
	}
}

static void test_linger(void **state)
{
	(void)state;
	assert_int_equal(shim_rig_wait(start(1, "linger", NULL, NULL, NULL), 10), 128 + SIGALRM);
}

/* Out of descriptors: accept() says so, and does not lose the connection. */
static void test_emfile(void **state)
{
	pid_t server = start(0, "emfile", NULL, NULL, NULL), peers[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		peers[i] = start(1, "stream", "block", "4000", "1");
	assert_int_equal(shim_rig_wait(server, 10), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(shim_rig_wait(peers[i], 5), 1); /* its peer is gone */
}

static void test_many(void **state)
{
	(void)state;
	expect_case(1, "many", "500", NULL, NULL);
}

/* Thousands of sockets in several threads; as many as the limit of descriptors allows. */
static void test_crowd(void **state)
{
	struct rlimit limit;
	char sockets[16];
	unsigned n = CROWD;

	(void)state;
	if (rig.narrow)
		skip();
	getrlimit(RLIMIT_NOFILE, &limit);
	if (n > limit.rlim_max / 4)
		n = (unsigned)limit.rlim_max / 4; /* two ends of each are in this process */
	if (rig.how != SHIM_RIG_SERVED && !getenv("SOAK"))
		n /= 8; /* it takes its time */
	snprintf(sockets, sizeof(sockets), "%u", n);
	assert_int_equal(shim_rig_wait(start(1, "crowd", sockets, CROWD_KB, NULL), 180), 0);
}

static void test_raw(void **state)
{
	char text[512];
	unsigned n = 0;

	(void)state;
	shim_rig_said(&rig, 1, text);
	expect_case(1, "raw", NULL, NULL, NULL);
	for (int i = 0; i < 2000 && !n; i++) { /* the case may end before the server has looked */
		usleep(1000);
		n = shim_rig_said(&rig, 1, text);
	}
	assert_int_equal(n, 1);
	assert_non_null(strstr(text, "test_shim"));
}

/* A program with a filter of its own goes on, or it is said what the filter lacks. */
static void test_shut_in(void **state)
{
	static const char *const ways[] = { "prctl", "seccomp" };
	char text[512];

	(void)state;
	for (int i = 0; i < 2; i++)
		expect_case(1, "shut-in", ways[i], NULL, NULL);
	shim_rig_said(&rig, 1, text);
	assert_int_equal(shim_rig_wait(start(1, "shut-in", "ppoll", NULL, NULL), 10), 128 + SIGSYS);
	assert_int_equal(shim_rig_said(&rig, 1, text), 1);
	assert_non_null(strstr(text, "test_shim"));
	assert_non_null(strstr(text, "without ppoll, which"));
}

/* Killed in the middle of whatever it does: all that it had is closed, and its peer is told. */
static void test_killed(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < KILLS; i++) {
		pid_t pid = start(1, "endless", NULL, NULL, NULL);

		usleep(4000 + (unsigned)rand_r(&seed) % 12000);
		kill(pid, SIGKILL);
		shim_rig_wait(pid, 5);
	}
	expect_held(1, 0);
	expect_held(0, 1);
	expect_case(1, "stream", "poll", "7", "100000");
}

/* Ended by a signal's default action: never in the middle of a call, as all that is closed shows.
 */
static void test_ended(void **state)
{
	static const int how[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2, SIGALRM };
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < KILLS / 2; i++) {
		int sig = how[i % (int)(sizeof(how) / sizeof(how[0]))];
		pid_t pid = start(1, "endless", NULL, NULL, NULL);

		usleep(12000 + (unsigned)rand_r(&seed) % 12000);
		kill(pid, sig);
		assert_int_equal(shim_rig_wait(pid, 5), 128 + sig);
		shim_rig_look(&rig, 1);
		assert_false(rig.hosts[1].broken);
	}
	expect_held(1, 0);
	expect_held(0, 1);
	expect_case(1, "stream", "poll", "7", "100000");
}

/* couplet run of one of our programs, its files in TMPDIR: how it ends; what it is to have SAID. */
static int run_in(const char *tmpdir, const char *name, const char *said)
{
	char text[256] = "";
	int tube[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(tube), 0);
	pid = fork();
	if (pid == 0) {
		setenv("TMPDIR", tmpdir, 1);
		dup2(tube[1], 1);
		close(tube[1]);
		execl("out/release/couplet", "couplet", "run", "--link", "none", "-q", "--",
		      RELEASE, name, (char *)NULL);
		_exit(127);
	}
	close(tube[1]);
	/* Until the program has ended, which may outlive couplet. */
	while ((got = read(tube[0], text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)got;
	close(tube[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_string_equal(text, said);
	return status;
}

/* One that is stopped holds nobody up. */
static void test_stopped(void **state)
{
	pid_t pid = start(1, "endless", NULL, NULL, NULL);

	(void)state;
	usleep(30000);
	kill(pid, SIGSTOP);
	expect_case(1, "stream", "epoll", "7", "300000");
	kill(pid, SIGCONT);
	kill(pid, SIGKILL);
	shim_rig_wait(pid, 5);
}

/* ---- A client that speaks the protocol, and means nothing by it ----------------------------- */

static void test_rubbish(void **state)
{
	uint64_t random = 88172645463325252ull;
	struct shim_client c;
	struct shim_area *area;
	int conn;

	(void)state;
	shim_client_greet(&c, shim_server_path(rig.hosts[1].server));
	shim_client_attach(&c);
	area = c.area;
	conn = c.conn;
	for (int i = 0; i < 20000; i++) {
		struct shim_slot *slot = &area->slots[i % 8];
		struct shim_message m = { .magic = SHIM_MAGIC, .type = SHIM_RING };
		uint32_t *words = (uint32_t *)(void *)&slot->request;
		char discard[256];

		for (size_t w = 0; w < sizeof(slot->request) / 4; w++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			words[w] = (uint32_t)(random >> (random % 33));
		}
		slot->request.op = (uint32_t)random % (SHIM_OPS + 1);
		if (i % 3)
			slot->request.data_len = slot->request.data_room = 64;
		atomic_store(&slot->cancel, i % 5 == 0);
		atomic_store(&slot->state, (uint32_t)random % 5);
		atomic_fetch_or(&area->asked[0], random | 0xff);
		if (send(conn, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && i % 100 == 0)
			usleep(1000);
		while (recv(conn, discard, sizeof(discard), MSG_DONTWAIT) > 0)
			;
	}
	expect_case(1, "stream", "epoll", "7", "100000");
	/* What is no message at all ends the connection. */
	assert_int_equal(send(conn, "rubbish", 7, MSG_NOSIGNAL), 7);
	while (recv(conn, &random, sizeof(random), 0) > 0)
		;
	shim_client_close(&c);
	expect_case(1, "dup", NULL, NULL, NULL);
}

/*
 * The server is killed: whoever waits for it is told so and goes on, and the next one clears away
 * what it left.
 */
static void test_lost(void **state)
{
	char top[] = "/tmp/couplet-test-XXXXXX";
	struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct dirent *e;
	unsigned left = 0;
	DIR *dir;

	(void)state;
	assert_non_null(mkdtemp(top));
	assert_int_equal(run_in(top, "lost", "fine\n"), SIGKILL);
	dir = opendir(top);
	for (; (e = readdir(dir)) != NULL; left += e->d_name[0] != '.')
		if (e->d_name[0] != '.')
			utimensat(dirfd(dir), e->d_name, old, 0);
	closedir(dir);
	assert_int_equal(left, 1);
	assert_int_equal(run_in(top, "none", ""), 2 << 8);
	assert_int_equal(rmdir(top), 0);
}

/* The last one: it closes the hosts. */
static void test_orphan(void **state)
{
	pid_t pid;

	echo_start(state);
	pid = start(1, "orphan", NULL, NULL, NULL);
	expect_held(1, 1);
	expect_held(0, 2); /* the echo has it, and its listener */
	usleep(100000);	   /* it goes on to read */
	shim_rig_close(&rig);
	closed = true;
	assert_int_equal(shim_rig_wait(pid, 5), 0);
	kill(echo, SIGKILL);
	shim_rig_wait(echo, 5);
}

/* Where this program and its libraries are. */
static unsigned code_map(uint64_t ranges[][2], unsigned max)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512], path[256];
	unsigned n = 0;

	while (f && n < max && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %255s", &ranges[n][0], &ranges[n][1],
			   path) == 3 &&
		    path[0] == '/' && !strstr(path, "memfd"))
			n++;
	if (f)
		fclose(f);
	return n;
}

/*
 * What lies in memory that processes share points to nobody's code and constants, but for what
 * stack_set_code() sets: of a stack that has been used by all the cases before.
 */
static void test_addresses(void **state)
{
	struct shim_host *h = &rig.hosts[0];
	const struct stack_code none = { 0 }, ours = { arena_alloc, arena_release, h->arena,
						       sum_best(), sum_copy_best() };
	uint64_t ranges[256][2];
	unsigned n = code_map(ranges, 256), found = 0;
	const uint64_t *words = (const uint64_t *)(const void *)h->arena;

	(void)state;
	assert_true(n > 3 && n < 256);
	assert_int_equal(shim_server_lock(h->server), 0);
	stack_set_code(h->stack, &none);
	for (size_t i = 0; i < arena_used(h->arena) / 8; i++)
		for (unsigned r = 0; r < n; r++)
			found += words[i] >= ranges[r][0] && words[i] < ranges[r][1];
	stack_set_code(h->stack, &ours);
	shim_server_unlock(h->server);
	assert_int_equal(found, 0);
}

/*
 * Killed while it runs the stack itself: if it was in the middle of something, that is the end of
 * this host, and is said; if not, all that it had is closed, as ever. Others are not hurt.
 */
static void test_killed_inside(void **state)
{
	struct shim_rig one;
	unsigned seed = 2, broken = 0;

	(void)state;
	if (rig.how != SHIM_RIG_ALONE)
		return;
	for (int i = 0; i < KILLS / 4; i++) {
		char *serve[] = { self, "echo", "epoll", "7", NULL },
		     *ask[] = { self, "endless", NULL };
		pid_t server, pid;

		assert_int_equal(shim_rig_open(&one, SHIM_RIG_ALONE), 0);
		server = shim_rig_start(&one, 0, serve);
		pid = shim_rig_start(&one, 1, ask);
		usleep(15000 + (unsigned)rand_r(&seed) % 12000);
		kill(pid, SIGKILL);
		shim_rig_wait(pid, 5);
		for (int tries = 0; tries < 2000; tries++) {
			shim_rig_look(&one, 1);
			if (one.hosts[1].broken || !(one.hosts[1].held + one.hosts[1].conns))
				break;
			usleep(1000);
		}
		broken += one.hosts[1].broken;
		assert_true(one.hosts[1].broken || !(one.hosts[1].held + one.hosts[1].conns));
		assert_false(one.hosts[0].broken);
		kill(server, SIGKILL);
		shim_rig_wait(server, 5);
		shim_rig_close(&one);
	}
	print_message("%u of %d were in the middle of a call\n", broken, KILLS / 4);
}

#define WITH_ECHO(name) cmocka_unit_test_setup_teardown(test_##name, echo_start, echo_stop)
/* The stack in the server's process, and in the program's. */
#define IN_BOTH                                                                                    \
	WITH_ECHO(dup), WITH_ECHO(fork), WITH_ECHO(exec), WITH_ECHO(heirs), WITH_ECHO(rights),     \
		WITH_ECHO(closeall), WITH_ECHO(mixed), WITH_ECHO(burst), WITH_ECHO(asleep),        \
		WITH_ECHO(wakes), WITH_ECHO(signals), WITH_ECHO(storm), WITH_ECHO(threads),        \
		WITH_ECHO(libc), WITH_ECHO(cancel), WITH_ECHO(workers), WITH_ECHO(beside),         \
		WITH_ECHO(streams), WITH_ECHO(many), WITH_ECHO(crowd), WITH_ECHO(raw),             \
		WITH_ECHO(inetd), WITH_ECHO(shut_in), WITH_ECHO(linger), WITH_ECHO(emfile)

static int reopen(enum shim_rig_how how)
{
	if (!closed) /* the last test was not to be run */
		shim_rig_close(&rig);
	closed = false;
	return shim_rig_open(&rig, how);
}

#ifdef __SANITIZE_THREAD__
/*
 * What threads do, by this program and the library of its build: signals are not in it, which the
 * sanitizer holds back until it sees fit. BUILD=tsan has this one.
 */
static int sanitized(void)
{
	const struct CMUnitTest threaded[] = {
		WITH_ECHO(fork),    WITH_ECHO(mixed),	WITH_ECHO(burst),
		WITH_ECHO(asleep),  WITH_ECHO(threads), WITH_ECHO(cancel),
		WITH_ECHO(workers), WITH_ECHO(beside),	WITH_ECHO(crowd),
	};
	static const char *const names[] = { "served", "inline, alone", "inline, all" };
	char library[sizeof(self) + 64];
	int failed = 0;

	snprintf(library, sizeof(library), "%.*s/../../" SHIM_LIBRARY,
		 (int)(strrchr(self, '/') - self), self);
	setenv("SHIM_PRELOAD", library, 1);
	/* It would set handlers and limits through the library, before either is ready. */
	setenv("TSAN_OPTIONS",
	       "handle_segv=0:handle_sigbus=0:handle_abort=0:handle_sigill=0:handle_sigfpe=0:"
	       "handle_sigtrap=0:disable_coredump=0",
	       1);
	for (int how = SHIM_RIG_SERVED; how <= SHIM_RIG_ALL; how++) {
		if (shim_rig_open(&rig, (enum shim_rig_how)how))
			return 1;
		failed += cmocka_run_group_tests_name(names[how], threaded, NULL, NULL);
		shim_rig_close(&rig);
	}
	return failed != 0;
}
#endif

int main(int argc, char **argv)
{
	const struct CMUnitTest served[] = {
		IN_BOTH,
		WITH_ECHO(killed),
		WITH_ECHO(stopped),
		WITH_ECHO(rubbish),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_orphan),
	};
	const struct CMUnitTest inlined[] = {
		IN_BOTH,
		WITH_ECHO(limit),
		WITH_ECHO(lone),
		WITH_ECHO(giver),
		WITH_ECHO(ended),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_killed_inside),
		cmocka_unit_test(test_orphan),
	};
	/* Where several have the stack in turn; the others under SOAK. */
	const struct CMUnitTest shared[] = {
		WITH_ECHO(fork),
		WITH_ECHO(beside),
		WITH_ECHO(exec),
		WITH_ECHO(rights),
		WITH_ECHO(threads),
		WITH_ECHO(streams),
		WITH_ECHO(storm),
		WITH_ECHO(ended),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_killed_inside),
		cmocka_unit_test(test_orphan),
	};
	bool soak = getenv("SOAK") != NULL;
	int failed;

	if (argc > 1)
		return shim_case(argc - 1, argv + 1);
#ifdef __SANITIZE_THREAD__
	cmocka_set_test_filter(getenv("TEST_FILTER"));
	return realpath(argv[0], self) ? sanitized() : 1;
#endif
	if (getenv("SHIM_PRELOAD") && !realpath(argv[0], self))
		return 1;
	if (shim_rig_open(&rig, SHIM_RIG_SERVED))
		return 77;
	cmocka_set_test_filter(getenv("TEST_FILTER"));
	failed = cmocka_run_group_tests(served, NULL, NULL);
	failed += reopen(SHIM_RIG_ALONE) ||
		  cmocka_run_group_tests_name("inline, alone", inlined, NULL, NULL);
	failed += reopen(SHIM_RIG_ALL);
	failed += soak ? cmocka_run_group_tests_name("inline, all", inlined, NULL, NULL)
		       : cmocka_run_group_tests_name("inline, all", shared, NULL, NULL);
	return failed != 0;
}
