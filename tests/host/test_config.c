/* SPDX-License-Identifier: MIT */
/* The configuration of a stack in a process: its slabs, of which some are kept for reuse. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "base/pool.h"
#include "host/config.h"

#define MANY 64

static struct cpl_config config;

static void test_released_slab_is_used_again(void **state)
{
	void *a, *b;

	(void)state;
	a = config.alloc(config.alloc_ctx, POOL_SLAB_MAX);
	assert_non_null(a);
	assert_int_equal((uintptr_t)a % 16, 0);
	config.release(config.alloc_ctx, a, POOL_SLAB_MAX);
	/* one of another size is not it */
	b = config.alloc(config.alloc_ctx, POOL_SLAB_MAX / 2);
	assert_non_null(b);
	memset(b, 1, POOL_SLAB_MAX / 2);
#ifndef __SANITIZE_ADDRESS__
	assert_ptr_equal(config.alloc(config.alloc_ctx, POOL_SLAB_MAX), a);
#else
	a = config.alloc(config.alloc_ctx, POOL_SLAB_MAX);
#endif
	config.release(config.alloc_ctx, a, POOL_SLAB_MAX);
	config.release(config.alloc_ctx, b, POOL_SLAB_MAX / 2);
}

/* Memory goes back after a peak, but 16 MiB. */
static void test_few_are_kept(void **state)
{
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
	void *slabs[MANY];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		slabs[i] = config.alloc(config.alloc_ctx, POOL_SLAB_MAX);
		assert_non_null(slabs[i]);
	}
	for (unsigned i = 0; i < MANY; i++)
		config.release(config.alloc_ctx, slabs[i], POOL_SLAB_MAX);
	assert_true(mallinfo2().uordblks + mallinfo2().hblkhd <= before + (17u << 20));
}

static size_t resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &pages), 2);
	fclose(f);
	return pages * 4096;
}

/* So does that of small slabs, of each size that there is, whatever lies between them. */
static void test_small_ones_go_back(void **state)
{
	enum {
		N = 256
	};
	static const size_t sizes[] = { 4096, 4160, 8240, 16464, 33296, 57424, 131168, 258112 };
	static uint8_t *slabs[N];

	(void)state;
	for (unsigned k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		size_t size = sizes[k], before = resident(), peak;

		for (unsigned i = 0; i < N; i++) {
			slabs[i] = config.alloc(config.alloc_ctx, size);
			assert_non_null(slabs[i]);
			assert_int_equal((uintptr_t)slabs[i] % 64, 0);
			memset(slabs[i], (int)(i % 251 + 1), size);
		}
		peak = resident();
		for (unsigned i = 0; i < N; i++) /* neighbours, and single ones */
			if (i % 16 > 2 && i % 16 != 9)
				config.release(config.alloc_ctx, slabs[i], size);
#ifndef __SANITIZE_ADDRESS__
		/* Nothing is lost to rounding but a little at the end of each MiB. */
		assert_true(peak - before >= N * (size - 4096));
		assert_true(peak - before <= N * size / 100 * 101 + (1 << 20));
		/* A quarter, pages shared with it, and what is kept at hand. */
		assert_true(resident() <= before + N / 4 * (size + 8192) + 16 * size + (1 << 20));
#else
		(void)before;
		(void)peak;
#endif
		for (unsigned i = 0; i < N; i++) {
			if (i % 16 > 2 && i % 16 != 9)
				continue;
			for (size_t at = 0; at < size; at++)
				assert_true(slabs[i][at] == i % 251 + 1);
			config.release(config.alloc_ctx, slabs[i], size);
		}
#ifndef __SANITIZE_ADDRESS__
		assert_true(resident() <= before + 16 * size + (1 << 20));
#endif
	}
}

/* Of any number of sizes, what is in use is nobody else's. */
static void test_many_sizes(void **state)
{
	enum {
		N = 200,
		STEP = 1216
	};
	static uint32_t *slabs[N];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < N; i++) {
			slabs[i] = config.alloc(config.alloc_ctx, 4096 + i * STEP);
			assert_non_null(slabs[i]);
			for (size_t at = 0; at < (4096 + i * STEP) / 4; at++)
				slabs[i][at] = i;
		}
		for (unsigned i = 0; i < N; i++) {
			for (size_t at = 0; at < (4096 + i * STEP) / 4; at++)
				assert_true(slabs[i][at] == i);
			config.release(config.alloc_ctx, slabs[i], 4096 + i * STEP);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_released_slab_is_used_again),
		cmocka_unit_test(test_few_are_kept),
		cmocka_unit_test(test_small_ones_go_back),
		cmocka_unit_test(test_many_sizes),
	};
	struct link_why why;

	if (config_fill(&config, &why))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
