/* SPDX-License-Identifier: MIT */
/*
 * A pool of objects of one size, grown by slabs, each object with a small index that finds it in
 * O(1). An object carries nothing of the pool's: its index follows from its address, and a bit in
 * its slab says whether it is in use. A slab none of whose objects is in use goes back to the
 * embedder's allocator, except one kept in reserve.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/mem.h"

#define POOL_NONE     UINT32_MAX
#define POOL_SLAB_MAX (1u << 20) /* no slab, nor a table of the pool's own, is larger */
#define POOL_SLABS    (POOL_SLAB_MAX / sizeof(void *)) /* in one pool, at most */

/* Under AddressSanitizer an object that is free is out of bounds, where it knows all that happens.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN
#endif

/* As many objects pool_give() keeps at hand; few in a pool of many slabs: each may keep one. */
#define POOL_SPARE     32
#define POOL_SPARE_FEW 4

struct pool_slab;

/* Which slabs touch an aligned piece of the address space. */
struct pool_windows {
	uint32_t *pieces[2]; /* of one open-addressed table */
	uint32_t size;	     /* entries; a power of 2, or 0 */
};

struct pool {
	struct mem *mem;
	struct pool_slab **slabs; /* directory, by index >> slab_shift; holes are NULL */
	struct pool_slab *lowest; /* with a free object; NULL: to be found */
	uint64_t *open;		  /* a bit for each slab with a free object ... */
	uint64_t *open_words;	  /* ... and one for each word of those that is not 0 */
	struct pool_windows windows;
	struct pool_windows old; /* the smaller table before, while there are ... */
	uint32_t old_first;	 /* ... slabs in it: from this number on ... */
	uint32_t old_end;	 /* ... to before this; equal: none */
	uint32_t slabs_n;	 /* entries of the directory in use */
	uint32_t slabs_cap;
	uint32_t hole; /* no hole of the directory lies before it */
	uint32_t windows_shift;
	uint32_t object_size; /* rounded up to the alignment */
	uint32_t object_reciprocal;
	uint32_t align;
	uint32_t slab_size;  /* of its memory */
	uint32_t extent;     /* of it, with its header and objects */
	uint32_t first;	     /* offset of a slab's first object */
	uint32_t slab_shift; /* 2^slab_shift objects in each slab */
	uint32_t in_use;
	uint32_t limit; /* objects */
	uint32_t empty; /* slabs with nothing in use */
	uint32_t spare_n;
	void *spare[POOL_SPARE]; /* given back by pool_give(): in use, as far as slabs know */
};

/*
 * SIZE of an object, ALIGN a power of 2 up to 64, LIMIT objects at most, SLAB_SIZE the bytes to aim
 * at for a slab (at least one object is in each): 2^n objects and a header of 16 bytes and a bit
 * for each object make a slab of at most that.
 */
void pool_init(struct pool *pool, struct mem *mem, uint32_t size, uint32_t align, uint32_t limit,
	       uint32_t slab_size);
/*
 * The slab size to aim at, SLAB_SIZE or more, with which LIMIT objects of SIZE find room: a pool
 * has POOL_SLABS slabs at most. Of 252 KiB at most: enough for 16 million objects of 1,552 octets.
 */
uint32_t pool_slab_size(uint32_t size, uint32_t limit, uint32_t slab_size);
/* Gives all slabs back, whatever is still in use. */
void pool_destroy(struct pool *pool);
/* Gives what is kept at hand back as well: for when another pool is short of memory. */
void pool_trim(struct pool *pool);

/*
 * An object with undefined contents, or NULL; *INDEX (may be NULL) is its index. The lowest free
 * one in the slabs at hand comes first, so that the high slabs empty and go back.
 */
void *pool_alloc(struct pool *pool, uint32_t *index);
void pool_free(struct pool *pool, void *object);
/* The same by its index. */
void pool_free_at(struct pool *pool, uint32_t index);

/*
 * The same for objects that come and go all the time and are known by their address alone: a few
 * of those given are taken again before any other. pool_trim() frees them.
 */
static inline void *pool_take(struct pool *pool)
{
	return pool->spare_n ? pool->spare[--pool->spare_n] : pool_alloc(pool, NULL);
}

static inline void pool_give(struct pool *pool, void *object)
{
#ifndef POOL_ASAN
	if (pool->spare_n < (pool->slabs_n > POOL_SPARE_FEW ? POOL_SPARE_FEW : POOL_SPARE))
		pool->spare[pool->spare_n++] = object;
	else
#endif
		pool_free(pool, object);
	/* After a peak, what is at hand keeps slabs of which nobody uses anything. */
	if (pool->slabs_n > POOL_SPARE_FEW && pool->in_use == pool->spare_n)
		pool_trim(pool);
}

/* The object at INDEX, or NULL if INDEX is out of range or free. */
void *pool_at(const struct pool *pool, uint32_t index);
/* The same for an index that is known to be in use: nothing but the object is touched. */
static inline void *pool_get(const struct pool *pool, uint32_t index)
{
	char *slab = (char *)pool->slabs[index >> pool->slab_shift];
	uint32_t i = index & ((1u << pool->slab_shift) - 1);

	return slab + pool->first + (size_t)i * pool->object_size;
}
uint32_t pool_index(const struct pool *pool, const void *object);

/* The first object in use at INDEX or after it; *INDEX becomes its index. NULL: no more. */
void *pool_next(const struct pool *pool, uint32_t *index);

#endif
