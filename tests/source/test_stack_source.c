/* SPDX-License-Identifier: MIT */
/* Couplet's stacks as a source: real control sockets, behind them stacks that are only records. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "host/control.h"
#include "source/source.h"

/* ---- Stacks: they take the place of the library's functions that the server calls -------------
 */

struct cpl_stack {
	uint64_t conns;
	uint8_t net; /* third octet of its addresses */
	uint8_t bad; /* this handle says nonsense */
	uint64_t gone;
};

static void record(const struct cpl_stack *stack, uint64_t handle, struct cpl_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	CPL_INFO_READ(info, source, CPL_SOURCE_SOCK_DIAG); /* a lie */
	CPL_INFO_READ(info, id, handle);
	CPL_INFO_READ(info, family, 4);
	CPL_INFO_READ(info, protocol, handle == 4 ? 17 : 6);
	if (handle != 4)
		CPL_INFO_READ(info, state, handle == 1 ? CPL_LISTEN : CPL_ESTABLISHED);
	CPL_INFO_READ(info, local_addr, cpl_addr4(10, 0, stack->net, 1));
	CPL_INFO_READ(info, local_port, 80);
	CPL_INFO_READ(info, remote_addr, cpl_addr4(10, 0, stack->net, (uint8_t)handle));
	CPL_INFO_READ(info, remote_port, (uint16_t)(handle == 1 ? 0 : 1000 + handle));
	CPL_INFO_READ(info, snd_una, (uint32_t)handle * 7);
	if (handle == stack->bad)
		info->state = 200;
}

int cpl_info_walk(cpl_stack *stack, uint64_t *cursor, struct cpl_info *info, unsigned max,
		  uint64_t now)
{
	unsigned n = 0;

	(void)now;
	while (n < max && *cursor < stack->conns) {
		++*cursor;
		if (*cursor != stack->gone)
			record(stack, *cursor, &info[n++]);
	}
	return (int)n;
}

int cpl_info_get(cpl_stack *stack, cpl_handle handle, struct cpl_info *info, uint64_t now)
{
	(void)now;
	if (!handle || handle > stack->conns || handle == stack->gone)
		return -EBADF;
	record(stack, handle, info);
	return 0;
}

int cpl_counters_get(cpl_stack *stack, struct cpl_counters *counters)
{
	(void)stack, (void)counters;
	return -ENOSYS;
}

int cpl_trace_read(cpl_stack *stack, uint64_t *cursor, struct cpl_trace *records, unsigned max,
		   uint64_t *lost)
{
	(void)stack, (void)cursor, (void)records, (void)max, (void)lost;
	return 0;
}

/* ---- Two of them, served by one thread ---------------------------------------------------------
 */

static struct cpl_stack stacks[2];
static struct control *controls[2];
static char dir[64];
static pthread_t thread;
static atomic_bool stop;
static struct snapshot_set set;
static struct source_options options = { .sources = SOURCE_STACKS, .stack_dir = dir };

static void *serve(void *arg)
{
	while (!atomic_load(&stop)) {
		struct pollfd p[2] = { { .fd = control_fd(controls[0]), .events = POLLIN },
				       { .fd = control_fd(controls[1]), .events = POLLIN } };

		poll(p, 2, 20);
		for (int i = 0; i < 2; i++)
			control_serve(controls[i], 1);
	}
	return arg;
}

static int setup(void **state)
{
	static const char *const names[] = { "one", "two" };
	struct link_why why;

	(void)state;
	strcpy(dir, "/tmp/couplet-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	for (uint8_t i = 0; i < 2; i++) {
		stacks[i] = (struct cpl_stack){ .conns = 5, .net = i };
		if (control_open(&controls[i], &stacks[i], dir, names[i], &why))
			return -1;
	}
	options = (struct source_options){ .sources = SOURCE_STACKS, .stack_dir = dir };
	snapshot_set_init(&set);
	atomic_store(&stop, false);
	return pthread_create(&thread, NULL, serve, NULL);
}

static int teardown(void **state)
{
	(void)state;
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	for (int i = 0; i < 2; i++)
		control_close(controls[i]);
	snapshot_set_free(&set);
	return rmdir(dir);
}

static void collect(void)
{
	snapshot_set_clear(&set);
	assert_int_equal(source_collect(&set, &options), 0);
}

static struct cpl_info *find(uint8_t net, uint64_t handle)
{
	for (size_t i = 0; i < set.n; i++)
		if (set.info[i].local_addr.b[14] == net && set.info[i].id == handle)
			return &set.info[i];
	return NULL;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void both_stacks(void **state)
{
	(void)state;
	options.udp = true;
	collect();
	assert_int_equal(set.n, 10);
	assert_int_equal(set.notes.n, 0);
	for (uint8_t net = 0; net < 2; net++) {
		for (uint64_t handle = 1; handle <= 5; handle++) {
			struct cpl_info *i = find(net, handle);

			assert_non_null(i);
			assert_int_equal(i->source, CPL_SOURCE_STACK);
			assert_int_equal(i->snd_una, handle * 7);
			assert_true(cpl_info_is_read(i, CPL_F_snd_una));
			assert_int_equal(i->pid, getpid());
			assert_int_equal(i->netns, source_own_netns());
		}
	}
	/* Nobody is half-open: that was counted. */
	assert_int_equal(find(0, 1)->syn_queue, 0);
	assert_true(cpl_info_known(find(0, 1), CPL_F_syn_queue));
}

static void only_what_was_asked_for(void **state)
{
	(void)state;
	collect();
	assert_int_equal(set.n, 8); /* no UDP */
	options.states = SOURCE_STATE(CPL_LISTEN);
	collect();
	assert_int_equal(set.n, 2);
	options.states = 0;
	options.no_ip4 = true;
	collect();
	assert_int_equal(set.n, 0);
}

static void the_same_again(void **state)
{
	struct cpl_info seen, now;

	(void)state;
	collect();
	seen = *find(1, 3);
	memset(&now, 0xff, sizeof(now));
	assert_int_equal(source_again(&options, &seen, &now), 0);
	assert_int_equal(now.local_addr.b[14], 1); /* of the right stack: both have handle 3 */
	assert_int_equal(now.snd_una, 21);
	assert_int_equal(now.source, CPL_SOURCE_STACK);
	assert_int_equal(now.pid, getpid());
	/* The handle belongs to another connection now. */
	seen.remote_port++;
	assert_int_equal(source_again(&options, &seen, &now), -ENOENT);
	seen.remote_port--;
	stacks[1].gone = 3;
	assert_int_equal(source_again(&options, &seen, &now), -ENOENT);
}

/* What no state can be is passed over and said, and does not spoil the rest. */
static void nonsense(void **state)
{
	(void)state;
	stacks[0].bad = 2;
	collect();
	assert_int_equal(set.n, 7);
	assert_null(find(0, 2));
	assert_int_equal(set.notes.n, 1);
	assert_int_equal(set.notes.note[0].weight, SOURCE_PARTIAL);
	assert_non_null(strstr(set.notes.note[0].text, "make no sense"));
}

/* A socket that nobody serves, and one that says what it likes. */
static void one_that_does_not_answer(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/%d.dead.sock", dir, (int)getppid());
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	collect();
	assert_int_equal(set.n, 8);
	assert_int_equal(set.notes.n, 1);
	assert_non_null(strstr(set.notes.note[0].text, a.sun_path));
	unlink(a.sun_path);
	close(fd);
}

static int stop_at_once(void *arg, const struct cpl_info *info)
{
	(void)info;
	++*(int *)arg;
	return -42;
}

static void stopped(void **state)
{
	struct source_notes notes = { 0 };
	int calls = 0;

	(void)state;
	assert_int_equal(source_walk(&options, &notes, stop_at_once, &calls), -42);
	assert_int_equal(calls, 1);
	assert_int_equal(notes.n, 0);
}

static void nowhere(void **state)
{
	(void)state;
	options.stack_dir = "/nowhere";
	snapshot_set_clear(&set);
	assert_int_equal(source_collect(&set, &options), -EIO);
	assert_int_equal(set.notes.n, 1);
	assert_int_equal(set.notes.note[0].weight, SOURCE_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_stacks, setup, teardown),
		cmocka_unit_test_setup_teardown(only_what_was_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_again, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_does_not_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(nowhere, setup, teardown),
	};

	return cmocka_run_group_tests_name("stack_source", tests, NULL, NULL);
}
