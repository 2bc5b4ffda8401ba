/* SPDX-License-Identifier: MIT */
/*
 * Memory of one stack: slabs from the embedder's allocator, counted against one limit. Only pools
 * call this, never the data path itself.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

#define MEM_ALIGN 16u /* what the embedder's allocator must keep, as malloc() does */

struct mem {
	void *(*alloc)(void *ctx, size_t size);
	void (*release)(void *ctx, void *slab, size_t size);
	void *ctx;
	uint64_t limit; /* bytes */
	uint64_t used;	/* bytes in slabs now */
	bool shared;	/* with other processes, whose sanitizers know nothing of ours */
};

/*
 * NULL at the limit, or when the embedder's allocator says no. Aligned to MEM_ALIGN bytes; contents
 * are undefined.
 */
static inline void *mem_alloc(struct mem *mem, size_t size)
{
	void *p;

	if (size > mem->limit - mem->used)
		return NULL;
	p = mem->alloc(mem->ctx, size);
	ASSERT(!((uintptr_t)p % MEM_ALIGN));
	if (p)
		mem->used += size;
	return p;
}

/*
 * N octets of 0, by the C library's vectors: of a size that it knows, gcc makes one "rep stos",
 * which takes as long to begin as others need for half a kilobyte.
 */
static inline void mem_zero(void *p, size_t n)
{
	__asm__("" : "+r"(n));
	memset(p, 0, n);
}

static inline void mem_release(struct mem *mem, void *p, size_t size)
{
	if (!p)
		return;
	mem->release(mem->ctx, p, size);
	mem->used -= size;
}

#endif
