/* SPDX-License-Identifier: MIT */
/* The set of snapshots: what only the whole can tell. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "source/source.h"

static struct snapshot_set set;

static int setup(void **state)
{
	(void)state;
	snapshot_set_init(&set);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	snapshot_set_free(&set);
	return 0;
}

static struct cpl_info *add(enum cpl_source source, uint64_t id, enum cpl_state state,
			    const char *local, uint16_t port)
{
	struct cpl_info i;

	source_info_init(&i, source);
	CPL_INFO_READ(&i, protocol, 6);
	CPL_INFO_READ(&i, id, id);
	CPL_INFO_READ(&i, state, state);
	CPL_INFO_READ(&i, family, strchr(local, ':') ? 6 : 4);
	assert_int_equal(cpl_addr_parse(&i.local_addr, local), 0);
	cpl_info_mark_read(&i, CPL_F_local_addr);
	CPL_INFO_READ(&i, local_port, port);
	assert_int_equal(snapshot_set_add(&set, &i), 0);
	return &set.info[set.n - 1];
}

#define KERNEL CPL_SOURCE_SOCK_DIAG

static void a_record(void **state)
{
	struct cpl_info *i = add(KERNEL, 7, CPL_ESTABLISHED, "10.0.0.1", 80);

	(void)state;
	assert_int_equal(i->size, sizeof(*i));
	assert_int_equal(i->version, CPL_INFO_VERSION);
	assert_true(cpl_info_is_read(i, CPL_F_source) && i->source == KERNEL);
	assert_true(cpl_info_is_read(i, CPL_F_taken) && i->taken > 0);
	assert_false(cpl_info_known(i, CPL_F_snd_una));
}

/* Thousands, some twice: the later one stays, in the place of the first. */
static void twice(void **state)
{
	enum {
		N = 3000
	};

	(void)state;
	add(KERNEL, 5, CPL_SYN_SENT, "10.0.0.9", 9); /* before FROM: not touched */
	for (unsigned n = 1; n <= N; n++)
		add(KERNEL, n * 1000, CPL_SYN_RECEIVED, "10.0.0.1", 80);
	for (unsigned n = 2; n <= N; n += 2)
		add(KERNEL, n * 1000, CPL_ESTABLISHED, "10.0.0.1", 80);
	add(CPL_SOURCE_STACK, 2000, CPL_ESTABLISHED, "10.0.0.1", 80);
	add(CPL_SOURCE_STACK, 2000, CPL_ESTABLISHED, "10.0.0.1", 80);
	add(KERNEL, 5, CPL_ESTABLISHED, "10.0.0.9", 9);
	set.info[set.n - 1].netns = 1;
	add(KERNEL, 5, CPL_ESTABLISHED, "10.0.0.9", 9);
	assert_int_equal(snapshot_set_unite(&set, 1), 0);
	assert_int_equal(set.n, 1 + N + 4);
	for (unsigned n = 1; n <= N; n++) {
		assert_int_equal(set.info[n].id, n * 1000);
		assert_int_equal(set.info[n].state, n % 2 ? CPL_SYN_RECEIVED : CPL_ESTABLISHED);
	}
	assert_int_equal(set.info[0].state, CPL_SYN_SENT);
	snapshot_set_clear(&set);
	assert_int_equal(snapshot_set_unite(&set, 0), 0);
	assert_int_equal(set.n, 0);
}

/* Each half-open connection belongs to the listener that names its address best. */
static void half_open(void **state)
{
	enum {
		EXACT,
		ANY4,
		ANY6,
		ONLY6,
		OTHER,
		STACK,
		LISTENERS
	};

	(void)state;
	add(KERNEL, 1, CPL_LISTEN, "10.0.0.1", 80);
	add(KERNEL, 2, CPL_LISTEN, "0.0.0.0", 80);
	add(KERNEL, 3, CPL_LISTEN, "::", 80);
	add(KERNEL, 4, CPL_LISTEN, "::", 81);
	add(KERNEL, 5, CPL_LISTEN, "10.0.0.1", 8080);
	add(CPL_SOURCE_STACK, 6, CPL_LISTEN, "10.0.0.1", 80);
	CPL_INFO_READ(&set.info[STACK], syn_queue, 9); /* a stack counts itself */
	add(KERNEL, 10, CPL_SYN_RECEIVED, "10.0.0.1", 80);
	add(KERNEL, 11, CPL_SYN_RECEIVED, "10.0.0.2", 80);
	add(KERNEL, 12, CPL_SYN_RECEIVED, "10.0.0.2", 80);
	add(KERNEL, 13, CPL_SYN_RECEIVED, "fe80::1", 80);
	add(KERNEL, 14, CPL_SYN_RECEIVED, "10.0.0.3", 81);
	add(KERNEL, 15, CPL_SYN_RECEIVED, "10.0.0.3", 82); /* its listener is gone */
	add(CPL_SOURCE_STACK, 16, CPL_SYN_RECEIVED, "10.0.0.1", 80);
	add(KERNEL, 17, CPL_ESTABLISHED, "10.0.0.1", 8080);
	assert_int_equal(snapshot_set_half_open(&set, 0), 0);
	assert_int_equal(set.info[EXACT].syn_queue, 1);
	assert_int_equal(set.info[ANY4].syn_queue, 2);
	assert_int_equal(set.info[ANY6].syn_queue, 1);
	assert_int_equal(set.info[ONLY6].syn_queue, 1);
	assert_int_equal(set.info[OTHER].syn_queue, 0);
	assert_int_equal(set.info[STACK].syn_queue, 9);
	for (int i = 0; i < STACK; i++)
		assert_true(cpl_info_is_derived(&set.info[i], CPL_F_syn_queue));
	assert_false(cpl_info_is_derived(&set.info[STACK], CPL_F_syn_queue));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_record, setup, teardown),
		cmocka_unit_test_setup_teardown(twice, setup, teardown),
		cmocka_unit_test_setup_teardown(half_open, setup, teardown),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
