/* SPDX-License-Identifier: MIT */
/*
 * An allocator for tests: counts what is out, checks that each slab comes back with the size it was
 * asked for, aligns to 16 bytes and no better, and fails when told to.
 */
#ifndef TESTS_UTIL_HEAP_H
#define TESTS_UTIL_HEAP_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

struct heap {
	struct mem mem;
	uint64_t slabs;	  /* out now */
	uint64_t bytes;	  /* in them */
	uint64_t largest; /* ever asked for */
	uint64_t left;	  /* allocations until they fail; UINT64_MAX: never */
};

static inline void *heap_alloc(void *ctx, size_t size)
{
	struct heap *heap = ctx;
	char *p;

	if (!heap->left)
		return NULL;
	if (heap->left != UINT64_MAX)
		heap->left--;
	if (size > heap->largest)
		heap->largest = size;
	if (posix_memalign((void **)&p, 128, size + 16))
		return NULL;
	*(size_t *)(void *)p = size;
	heap->slabs++;
	heap->bytes += size;
	return p + 16;
}

static inline void heap_release(void *ctx, void *slab, size_t size)
{
	struct heap *heap = ctx;
	char *p = (char *)slab - 16;

	assert(*(size_t *)(void *)p == size);
	heap->slabs--;
	heap->bytes -= size;
	free(p);
}

static inline void heap_init(struct heap *heap, uint64_t limit)
{
	*heap = (struct heap){ .left = UINT64_MAX };
	heap->mem = (struct mem){ heap_alloc, heap_release, heap, limit, 0, false };
}

#endif
