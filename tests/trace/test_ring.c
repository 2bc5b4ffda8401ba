/* SPDX-License-Identifier: MIT */
/* The event ring: what is kept, what is lost, cursors, and the schema's names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tests/util/heap.h"
#include "trace/ring.h"

static void test_off(void **state)
{
	struct trace_ring ring;
	struct cpl_trace record;
	uint64_t cursor = 0, lost = 9;
	struct heap heap;
	int evaluated = 0;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	assert_int_equal(trace_ring_init(&ring, &heap.mem, 0), 0);
	assert_int_equal(heap.slabs, 0);
	assert_false(trace_on(&ring));
	TRACE(&ring, 1, 2, state, (uint32_t)++evaluated, 4);
	assert_int_equal(evaluated, 0);
	assert_int_equal(trace_ring_read(&ring, &cursor, &record, 1, &lost), 0);
	assert_int_equal(lost, 0);
	trace_ring_destroy(&ring, &heap.mem);
}

static void test_record(void **state)
{
	struct trace_ring ring;
	struct cpl_trace got[3];
	uint64_t cursor = 0;
	struct heap heap;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	assert_int_equal(trace_ring_init(&ring, &heap.mem, 4), 0);
	TRACE(&ring, 100, 7, state, 1, 2);
	TRACE(&ring, 200, 8, seg_out, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
	assert_int_equal(trace_ring_read(&ring, &cursor, got, 3, NULL), 2);
	assert_int_equal(cursor, 2);
	assert_int_equal(got[0].time, 100);
	assert_int_equal(got[0].handle, 7);
	assert_int_equal(got[0].type, TRACE_state);
	assert_int_equal(got[0].arg[0], 1);
	assert_int_equal(got[0].arg[1], 2);
	assert_int_equal(got[0].arg[2], 0);
	assert_int_equal(got[1].type, TRACE_seg_out);
	assert_int_equal(got[1].arg[9], 10);

	/* A record that is used again is zero beyond its own arguments. */
	TRACE(&ring, 1, 1, state, 1, 2);
	TRACE(&ring, 1, 1, state, 1, 2);
	TRACE(&ring, 1, 1, state, 1, 2);
	TRACE(&ring, 1, 1, state, 3, 4);
	assert_int_equal(trace_ring_read(&ring, &cursor, got, 3, NULL), 3);
	assert_int_equal(trace_ring_read(&ring, &cursor, got, 3, NULL), 1);
	assert_int_equal(got[0].arg[1], 4);
	assert_int_equal(got[0].arg[9], 0);
	trace_ring_destroy(&ring, &heap.mem);
	assert_int_equal(heap.slabs, 0);
}

/* Through several slabs and many turns: each reader gets the last N in order, and a true count. */
static void turn(uint32_t count, uint32_t kept)
{
	static struct cpl_trace got[1000];
	uint64_t number, cursor = 0, late = 0, lost, expect = 0;
	struct trace_ring ring;
	struct heap heap;
	int n, i;

	heap_init(&heap, UINT64_MAX);
	assert_int_equal(trace_ring_init(&ring, &heap.mem, count), 0);
	assert_int_equal(ring.mask, kept - 1);
	assert_true(heap.largest <= 1 << 20);
	for (number = 0; number < 5ull * kept + 3; number++) {
		TRACE(&ring, number, ~number, lost, (uint32_t)number);
		if (number % 700)
			continue;
		while ((n = trace_ring_read(&ring, &cursor, got, 1000, &lost))) {
			/* What a small ring overwrote is missed, and counted. */
			expect += lost;
			for (i = 0; i < n; i++, expect++) {
				assert_int_equal(got[i].time, expect);
				assert_int_equal(got[i].handle, ~expect);
				assert_int_equal(got[i].arg[0], (uint32_t)expect);
			}
		}
		assert_int_equal(expect, number + 1);
	}
	n = trace_ring_read(&ring, &late, got, 1, &lost);
	assert_int_equal(n, 1);
	assert_int_equal(lost, number - kept);
	assert_int_equal(got[0].time, number - kept);
	assert_int_equal(late, number - kept + 1);

	/* A cursor from nowhere reads nothing. */
	late = UINT64_MAX;
	assert_int_equal(trace_ring_read(&ring, &late, got, 1, &lost), 0);
	assert_int_equal(lost, 0);
	trace_ring_destroy(&ring, &heap.mem);
	assert_int_equal(heap.slabs, 0);
	assert_int_equal(heap.mem.used, 0);
}

static void test_turns(void **state)
{
	(void)state;
	turn(1, 2);
	turn(2, 2);
	turn(3, 4);
	turn(100, 128);
	turn(8192, 8192);
	turn(8193, 16384);
	turn(40000, 65536);
}

static void test_no_memory(void **state)
{
	struct trace_ring ring;
	struct heap heap;
	unsigned left;

	(void)state;
	for (left = 0; left <= 4; left++) {
		heap_init(&heap, UINT64_MAX);
		heap.left = left;
		assert_int_equal(trace_ring_init(&ring, &heap.mem, 40000), -ENOMEM);
		assert_false(trace_on(&ring));
		assert_int_equal(heap.slabs, 0);
		trace_ring_destroy(&ring, &heap.mem);
	}
	assert_int_equal(trace_ring_init(&ring, &heap.mem, TRACE_MAX + 1), -EINVAL);
	assert_false(trace_on(&ring));
}

/* Every type has a name and a text, and its unused arguments come last. */
static void test_names(void **state)
{
	unsigned type, arg;

	(void)state;
	for (type = 0; type < TRACE_TYPES; type++) {
		assert_true(strlen(trace_type_name(type)) > 1);
		assert_true(strlen(trace_type_text(type)) > 1);
		for (arg = 1; arg < 10; arg++) {
			if (trace_arg_name(type, arg))
				assert_non_null(trace_arg_name(type, arg - 1));
		}
	}
	assert_string_equal(trace_type_name(TRACE_seg_in), "seg_in");
	assert_string_equal(trace_type_text(TRACE_state), "state changed");
	assert_string_equal(trace_arg_name(TRACE_state, 1), "to");
	assert_null(trace_arg_name(TRACE_state, 2));
	assert_null(trace_arg_name(TRACE_seg_in, 10));
	assert_null(trace_type_name(TRACE_TYPES));
	assert_null(trace_type_text((enum trace_type)UINT32_MAX));
	assert_null(trace_arg_name(TRACE_TYPES, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off),   cmocka_unit_test(test_record),
		cmocka_unit_test(test_turns), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("trace/ring", tests, NULL, NULL);
}
