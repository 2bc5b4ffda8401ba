/* SPDX-License-Identifier: MIT */
/* Pools: indices, slabs that come and go, limits, and a random run against a plain array. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "base/pool.h"
#include "tests/util/heap.h"

#define OBJECTS 5000u
#define TABLES	3u /* of a pool's own: the directory, bits, windows */

static uint64_t seed = 1;

static uint32_t random_below(uint32_t bound)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 32) % bound);
}

static void check_balance(struct heap *heap)
{
	assert_int_equal(heap->slabs, 0);
	assert_int_equal(heap->bytes, 0);
	assert_int_equal(heap->mem.used, 0);
}

static void test_sizes(void **state)
{
	static const struct {
		uint32_t size, align, want;
	} cases[] = {
		{ 1, 1, 8 }, { 24, 8, 24 }, { 25, 8, 32 }, { 392, 8, 392 }, { 100, 64, 128 }
	};
	struct heap heap;
	struct pool pool;
	unsigned i;
	void *a, *b;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		heap_init(&heap, UINT64_MAX);
		pool_init(&pool, &heap.mem, cases[i].size, cases[i].align, 100, 65536);
		a = pool_alloc(&pool, NULL);
		b = pool_alloc(&pool, NULL);
		assert_int_equal((char *)b - (char *)a, cases[i].want);
		assert_int_equal((uintptr_t)a % cases[i].align, 0);
		pool_destroy(&pool);
		check_balance(&heap);
	}
}

/* What a million objects of 400 bytes cost beyond their own size: less than 2 bytes each. */
static void test_overhead(void **state)
{
	struct heap heap;
	struct pool pool;
	unsigned i, n = 131072;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, 400, 8, n, 65536);
	for (i = 0; i < n; i++)
		assert_non_null(pool_alloc(&pool, NULL));
	assert_true(heap.bytes < (uint64_t)n * 402);
	assert_true(heap.largest <= 65536);
	pool_destroy(&pool);
	check_balance(&heap);
}

static void test_lowest_first(void **state)
{
	struct heap heap;
	struct pool pool;
	void *objects[1000];
	uint32_t i, index, per;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, 64, 8, 1000, 4096);
	per = 1u << pool.slab_shift;
	assert_int_equal(per, 32);
	for (i = 0; i < 1000; i++) {
		objects[i] = pool_alloc(&pool, &index);
		assert_int_equal(index, i);
	}
	/* The limit is in objects. */
	assert_null(pool_alloc(&pool, &index));
	/* Free objects in several slabs: the lowest comes back first. */
	pool_free(&pool, objects[900]);
	pool_free(&pool, objects[33]);
	pool_free(&pool, objects[500]);
	assert_ptr_equal(pool_alloc(&pool, &index), objects[33]);
	assert_int_equal(index, 33);
	assert_ptr_equal(pool_alloc(&pool, &index), objects[500]);
	assert_ptr_equal(pool_alloc(&pool, &index), objects[900]);
	pool_destroy(&pool);
	check_balance(&heap);
}

static void test_at_and_next(void **state)
{
	struct heap heap;
	struct pool pool;
	void *objects[200];
	uint32_t i, index;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, 200, 8, 200, 1024);
	assert_int_equal(1u << pool.slab_shift, 4);
	index = 0;
	assert_null(pool_next(&pool, &index));
	assert_null(pool_at(&pool, 0));
	for (i = 0; i < 200; i++)
		objects[i] = pool_alloc(&pool, NULL);
	for (i = 0; i < 200; i++) {
		assert_ptr_equal(pool_at(&pool, i), objects[i]);
		assert_int_equal(pool_index(&pool, objects[i]), i);
	}
	assert_null(pool_at(&pool, 200));
	assert_null(pool_at(&pool, POOL_NONE));
	for (i = 0; i < 200; i++) {
		if (i % 50 != 7)
			pool_free(&pool, objects[i]);
	}
	assert_null(pool_at(&pool, 6));
	assert_ptr_equal(pool_at(&pool, 7), objects[7]);
	for (i = 7, index = 0; i < 200; i += 50, index++) {
		assert_ptr_equal(pool_next(&pool, &index), objects[i]);
		assert_int_equal(index, i);
	}
	assert_null(pool_next(&pool, &index));
	index = POOL_NONE;
	assert_null(pool_next(&pool, &index));
	pool_destroy(&pool);
	check_balance(&heap);
}

/* One empty slab stays, more go back; pool_trim() gives that one back as well. */
static void test_reserve(void **state)
{
	struct heap heap;
	struct pool pool;
	void *objects[64];
	uint64_t directory;
	unsigned i;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, 256, 64, 64, 4096);
	assert_int_equal(1u << pool.slab_shift, 8);
	for (i = 0; i < 64; i++)
		objects[i] = pool_alloc(&pool, NULL);
	assert_int_equal(heap.slabs, 8 + TABLES);
	directory = heap.bytes - 8 * (uint64_t)pool.slab_size;
	for (i = 0; i < 64; i++)
		pool_free(&pool, objects[i]);
	assert_int_equal(pool.in_use, 0);
	assert_int_equal(heap.slabs, 1 + TABLES);
	objects[0] = pool_alloc(&pool, NULL);
	assert_int_equal(heap.slabs, 1 + TABLES);
	pool_trim(&pool);
	assert_int_equal(heap.slabs, 1 + TABLES);
	pool_free(&pool, objects[0]);
	pool_trim(&pool);
	assert_int_equal(heap.bytes, directory);
	assert_non_null(pool_alloc(&pool, NULL));
	pool_destroy(&pool);
	check_balance(&heap);
}

/* What is given back is taken first, counts as in use, and is not lost on the way. */
static void test_spare(void **state)
{
	struct heap heap;
	struct pool pool;
	void *objects[64];
	unsigned i, n;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, 256, 64, 64, 4096);
	for (i = 0; i < 64; i++)
		objects[i] = pool_take(&pool);
	assert_null(pool_take(&pool));
	for (i = 0; i < 64; i++)
		pool_give(&pool, objects[i]);
	n = pool.in_use;
	assert_true(n <= POOL_SPARE);
	assert_int_equal(pool.spare_n, n);
	for (i = 0; i < n; i++)
		assert_ptr_equal(pool_take(&pool), objects[n - 1 - i]);
	for (; i < 64; i++)
		assert_non_null(objects[i] = pool_take(&pool));
	assert_null(pool_take(&pool));
	for (i = 0; i < 64; i++)
		pool_give(&pool, objects[i]);
	pool_trim(&pool);
	assert_int_equal(pool.in_use, 0);
	assert_int_equal(pool.spare_n, 0);
	pool_destroy(&pool);
	check_balance(&heap);
}

/* When nobody has any of many, nothing is kept at hand: each might keep a slab. */
static void test_peak(void **state)
{
	static void *objects[OBJECTS];
	struct heap heap;
	struct pool pool;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, 100, 4, OBJECTS, 8192);
	for (unsigned i = 0; i < OBJECTS; i++)
		objects[i] = pool_take(&pool);
	assert_true(heap.slabs > OBJECTS * 100 / 8192);
	/* those of different slabs one after the other */
	for (unsigned step = 0; step < 97; step++)
		for (unsigned i = step; i < OBJECTS; i += 97)
			pool_give(&pool, objects[i]);
	assert_in_range(heap.slabs, 0, TABLES);
	pool_destroy(&pool);
	check_balance(&heap);
}

static void test_no_memory(void **state)
{
	struct heap heap;
	struct pool pool;
	unsigned left, i;

	(void)state;
	for (left = 0; left < 6; left++) {
		heap_init(&heap, UINT64_MAX);
		pool_init(&pool, &heap.mem, 1000, 8, 100, 1);
		heap.left = left;
		for (i = 0; pool_alloc(&pool, NULL); i++)
			;
		assert_int_equal(i, left > TABLES ? left - TABLES : 0);
		heap.left = UINT64_MAX;
		assert_non_null(pool_alloc(&pool, NULL));
		pool_destroy(&pool);
		check_balance(&heap);
	}
	heap_init(&heap, 10000);
	pool_init(&pool, &heap.mem, 1000, 8, 100, 1);
	for (i = 0; pool_alloc(&pool, NULL); i++)
		;
	assert_true(i == 9);
	assert_true(heap.mem.used <= 10000);
	pool_destroy(&pool);
	check_balance(&heap);
}

/* One object to a slab, so that the tables grow again and again: a part at a time. */
static void test_growth(void **state)
{
	static void *objects[20000];
	struct heap heap;
	struct pool pool;
	unsigned moving = 0;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, 24, 8, 20000, 1);
	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t first = pool.old_first, cap = pool.slabs_cap, index;

		if (i >= 8 && i == cap) { /* it grows now: not without all that this takes */
			heap.left = random_below(TABLES + 1);
			assert_null(pool_alloc(&pool, NULL));
			heap.left = UINT64_MAX;
			first = pool.old_first;
			cap = pool.slabs_cap;
		}
		objects[i] = pool_alloc(&pool, &index);
		assert_int_equal(index, i);
		if (cap == pool.slabs_cap && first)
			assert_true(pool.old_first - first <= 8);
		moving += pool.old_first != pool.old_end;
		/* Wherever an object's slab is entered by now, it is found. */
		for (unsigned k = 0; k < 4; k++) {
			index = random_below(i + 1);
			assert_int_equal(pool_index(&pool, objects[index]), index);
		}
		if (i % 3 == 0) {
			index = random_below(i + 1);
			pool_free(&pool, objects[index]);
			objects[index] = pool_alloc(&pool, &index);
		}
	}
	assert_true(moving > 1000);
	pool_destroy(&pool);
	check_balance(&heap);

	/* Given up in the middle. */
	pool_init(&pool, &heap.mem, 24, 8, 20000, 1);
	for (uint32_t i = 0; i < 1026; i++)
		pool_alloc(&pool, NULL);
	assert_true(pool.old_first < pool.old_end);
	pool_destroy(&pool);
	check_balance(&heap);
}

/* As many objects as were asked for fit into as many slabs as there may be. */
static void test_slab_size(void **state)
{
	static const uint32_t sizes[] = { 24, 40, 96, 512, 1552 };
	struct heap heap;
	struct pool pool;

	(void)state;
	heap_init(&heap, UINT64_MAX);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (uint32_t limit = 1; limit <= 16000000; limit = limit * 7 / 4 + 1) {
			uint32_t slab = pool_slab_size(sizes[i], limit, 4096);

			assert_true(slab >= 4096 && slab <= 252 * 1024);
			pool_init(&pool, &heap.mem, sizes[i], 8, limit, slab);
			assert_true((uint64_t)POOL_SLABS << pool.slab_shift >= limit);
		}
	}
	assert_int_equal(pool_slab_size(512, 100000, 65536), 65536);
}

struct object {
	uint32_t index;
	uint32_t salt;
	char rest[];
};

static void fill(struct object *object, uint32_t size, uint32_t index, uint32_t salt)
{
	object->index = index;
	object->salt = salt;
	memset(object->rest, (int)salt, size - sizeof(*object));
}

static void check_all(struct pool *pool, struct object **model, uint32_t size, uint32_t in_use)
{
	uint32_t index, i, n = 0, k;
	struct object *object;

	for (index = 0; (object = pool_next(pool, &index)); index++, n++) {
		assert_ptr_equal(object, model[index]);
		assert_int_equal(object->index, index);
		for (k = 0; k < size - sizeof(*object); k++)
			assert_int_equal((uint8_t)object->rest[k], (uint8_t)object->salt);
	}
	assert_int_equal(n, in_use);
	assert_int_equal(pool->in_use, in_use);
	for (i = 0; i < OBJECTS; i++)
		assert_ptr_equal(pool_at(pool, i), model[i]);
}

/* Random allocations and frees, in waves, with a failing allocator at times. */
static void random_run(uint32_t size, uint32_t align, uint32_t slab_size)
{
	static struct object *model[OBJECTS + 1];
	struct heap heap;
	struct pool pool;
	struct object *object;
	uint32_t step, i, bias, in_use = 0;

	memset(model, 0, sizeof(model));
	heap_init(&heap, UINT64_MAX);
	pool_init(&pool, &heap.mem, size, align, OBJECTS, slab_size);
	for (step = 0; step < 60000; step++) {
		bias = step / 10000 % 2 ? 30 : 70;
		if (step % 1000 == 0)
			heap.left = random_below(4) ? UINT64_MAX : random_below(3);
		if (random_below(100) < bias) {
			object = pool_alloc(&pool, &i);
			if (!object) {
				assert_true(in_use == OBJECTS || heap.left == 0);
				continue;
			}
			assert_true(i < OBJECTS);
			assert_null(model[i]);
			assert_int_equal((uintptr_t)object % align, 0);
			assert_int_equal(pool_index(&pool, object), i);
			model[i] = object;
			fill(object, size, i, step);
			in_use++;
		} else {
			i = random_below(OBJECTS);
			object = pool_next(&pool, &i);
			if (!object)
				continue;
			model[i] = NULL;
			if (step % 2)
				pool_free(&pool, object);
			else
				pool_free_at(&pool, i);
			assert_null(pool_at(&pool, i));
			in_use--;
		}
		assert_true(pool.empty <= 1);
		if (step % 3000 == 0)
			check_all(&pool, model, size, in_use);
	}
	check_all(&pool, model, size, in_use);
	pool_destroy(&pool);
	check_balance(&heap);
}

static void test_random(void **state)
{
	(void)state;
	random_run(8, 8, 512);
	random_run(32, 8, 1024);
	random_run(72, 8, 1);
	random_run(96, 64, 65536);
	random_run(392, 8, 65536);
	random_run(1024, 16, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	     cmocka_unit_test(test_growth),
		cmocka_unit_test(test_slab_size),    cmocka_unit_test(test_overhead),
		cmocka_unit_test(test_lowest_first), cmocka_unit_test(test_at_and_next),
		cmocka_unit_test(test_reserve),	     cmocka_unit_test(test_spare),
		cmocka_unit_test(test_peak),	     cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("base/pool", tests, NULL, NULL);
}
