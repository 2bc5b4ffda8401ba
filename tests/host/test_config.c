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

/* So does that of small slabs, whatever lies between them. */
static void test_small_ones_go_back(void **state)
{
	enum {
		N = 1024,
		SIZE = 57424
	};
	static void *slabs[N];
	size_t before, peak;

	(void)state;
	before = resident();
	for (unsigned i = 0; i < N; i++) {
		slabs[i] = config.alloc(config.alloc_ctx, SIZE);
		assert_non_null(slabs[i]);
		memset(slabs[i], 1, SIZE);
	}
	peak = resident();
	for (unsigned i = 0; i < N; i++)
		if (i % 16)
			config.release(config.alloc_ctx, slabs[i], SIZE);
#ifndef __SANITIZE_ADDRESS__
	assert_true(peak - before >= (size_t)N * SIZE);
	assert_true(resident() - before <= (size_t)N * SIZE / 8);
#else
	(void)before;
	(void)peak;
#endif
	for (unsigned i = 0; i < N; i += 16)
		config.release(config.alloc_ctx, slabs[i], SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_released_slab_is_used_again),
		cmocka_unit_test(test_few_are_kept),
		cmocka_unit_test(test_small_ones_go_back),
	};
	struct link_why why;

	if (config_fill(&config, &why))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
