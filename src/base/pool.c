/* SPDX-License-Identifier: MIT */
/*
 * Pools of objects in slabs.
 *
 * A slab is a header, a bit for each object, and 2^slab_shift objects. The allocator aligns slabs
 * to no more than 16 bytes, so the slab of an object is looked up: the address space is cut
 * into windows at least as large as a slab, a slab touches at most two of them, and a
 * small open-addressed table leads from a window to the slabs that touch it. When it gets too
 * small, another is begun, and each new slab takes a few of the old ones along: no call moves many.
 *
 * Which slab to take the next object from is found through a bit for each slab with a free object
 * and a bit for each word of such bits: with 128 objects to a slab, a scan of one word for each
 * half million objects.
 */
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/pool.h"

#define SLABS_MIN	 8u
#define MOVE_MAX	 8u	       /* slabs that one new one takes along to the larger table */
#define SLAB_AIM	 (252u * 1024) /* larger ones do not come and go as pages do */
#define PIECE		 ((uint32_t)(POOL_SLAB_MAX / sizeof(uint32_t))) /* entries */
#define WINDOWS_PER_SLAB 4u /* two are used at most: the table is never more than half full */
/* An entry of the table: (slab number + 1) * 2, and 1 more if it is for the slab's end. */
#define WINDOW_LAST	 1u

struct pool_slab {
	uint32_t number;
	uint32_t used;
	uint32_t hint;	 /* no word of bits before it has a free object */
	uint32_t pad;	 /* bytes of its memory before it, so that the objects are aligned */
	uint64_t bits[]; /* 1: in use */
};

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#else
#define __asan_poison_memory_region(p, n)   ((void)(p), (void)(n))
#define __asan_unpoison_memory_region(p, n) ((void)(p), (void)(n))
#endif

static inline void pool_poison(const struct pool *pool, void *p, size_t n)
{
	if (!pool->mem->shared)
		__asan_poison_memory_region(p, n);
}

static inline void pool_unpoison(const struct pool *pool, void *p, size_t n)
{
	if (!pool->mem->shared)
		__asan_unpoison_memory_region(p, n);
}

static inline unsigned first_set(uint64_t word)
{
	return (unsigned)__builtin_ctzll(word);
}

static inline uint32_t words_for(uint32_t bits)
{
	return (bits + 63) / 64;
}

static inline uint32_t slab_objects(const struct pool *pool)
{
	return 1u << pool->slab_shift;
}

static inline void *slab_object(const struct pool *pool, const struct pool_slab *slab, uint32_t i)
{
	return (char *)slab + pool->first + (size_t)i * pool->object_size;
}

/* Bytes of a slab of 2^SHIFT objects before the first of them. */
static uint32_t header_bytes(uint32_t shift)
{
	size_t header = sizeof(struct pool_slab) + words_for(1u << shift) * sizeof(uint64_t);

	return (uint32_t)((header + MEM_ALIGN - 1) & ~(size_t)(MEM_ALIGN - 1));
}

/* The memory that it takes, wherever the allocator puts it. */
static size_t slab_bytes(const struct pool *pool, uint32_t shift)
{
	uint32_t pad = pool->align > MEM_ALIGN ? pool->align - MEM_ALIGN : 0;

	return pad + header_bytes(shift) + ((size_t)pool->object_size << shift);
}

static void *slab_memory(const struct pool_slab *slab)
{
	return (char *)(uintptr_t)slab - slab->pad;
}

void pool_init(struct pool *pool, struct mem *mem, uint32_t size, uint32_t align, uint32_t limit,
	       uint32_t slab_size)
{
	ASSERT(align && !(align & (align - 1)) && align <= 64);
	if (align < 8)
		align = 8;
	if (slab_size > POOL_SLAB_MAX)
		slab_size = POOL_SLAB_MAX;

	memset(pool, 0, sizeof(*pool));
	pool->mem = mem;
	pool->align = align;
	pool->limit = limit;
	ASSERT(size && size <= POOL_SLAB_MAX / 2);
	pool->object_size = (size + align - 1) & ~(align - 1);
	pool->object_reciprocal =
		(uint32_t)(((1ull << 32) + pool->object_size - 1) / pool->object_size);
	while (slab_bytes(pool, pool->slab_shift + 1) <= slab_size)
		pool->slab_shift++;
	pool->first = header_bytes(pool->slab_shift);
	pool->extent = pool->first + (pool->object_size << pool->slab_shift);
	pool->slab_size = (uint32_t)slab_bytes(pool, pool->slab_shift);
	pool->windows_shift = 64 - (uint32_t)__builtin_clzll(pool->extent - 1);
}

uint32_t pool_slab_size(uint32_t size, uint32_t limit, uint32_t slab_size)
{
	uint64_t needed = limit / (POOL_SLABS / 2) * (uint64_t)(size + 16); /* at least */

	return needed > SLAB_AIM ? SLAB_AIM : needed > slab_size ? (uint32_t)needed : slab_size;
}

/* ---- From an address to its slab ------------------------------------------------------------ */

static inline uint32_t *window_at(const struct pool_windows *w, uint32_t i)
{
	return &w->pieces[i / PIECE][i % PIECE];
}

static inline uint32_t window_next(const struct pool_windows *w, uint32_t i)
{
	return (i + 1) & (w->size - 1);
}

/* The place in the table where the window of ADDRESS belongs. */
static inline uint32_t window_home(const struct pool *pool, const struct pool_windows *w,
				   uintptr_t address)
{
	uint64_t window = (uint64_t)address >> pool->windows_shift;

	return (uint32_t)((window * 0x9e3779b97f4a7c15ull) >> 32) & (w->size - 1);
}

/* The same for an entry of the table. */
static uint32_t entry_home(const struct pool *pool, const struct pool_windows *w, uint32_t entry)
{
	uintptr_t address = (uintptr_t)pool->slabs[(entry >> 1) - 1];

	if (entry & WINDOW_LAST)
		address += pool->extent - 1;
	return window_home(pool, w, address);
}

static void window_put(struct pool *pool, struct pool_windows *w, uint32_t entry)
{
	uint32_t i = entry_home(pool, w, entry);

	while (*window_at(w, i))
		i = window_next(w, i);
	*window_at(w, i) = entry;
}

static void window_del(struct pool *pool, struct pool_windows *w, uint32_t entry)
{
	uint32_t mask = w->size - 1;
	uint32_t i = entry_home(pool, w, entry);
	uint32_t next, home;

	while (*window_at(w, i) != entry)
		i = window_next(w, i);
	/* Entries that the gap would cut off from their home move into it. */
	for (next = window_next(w, i); *window_at(w, next); next = window_next(w, next)) {
		home = entry_home(pool, w, *window_at(w, next));
		if (((next - home) & mask) < ((next - i) & mask))
			continue;
		*window_at(w, i) = *window_at(w, next);
		i = next;
	}
	*window_at(w, i) = 0;
}

/* Whether a slab touches one window or two. */
static bool slab_has_last(const struct pool *pool, const struct pool_slab *slab)
{
	uintptr_t first = (uintptr_t)slab, last = first + pool->extent - 1;

	return first >> pool->windows_shift != last >> pool->windows_shift;
}

static inline bool windows_moving(const struct pool *pool)
{
	return pool->old_first != pool->old_end;
}

/* The table that slab NUMBER is in, or is to be in. */
static struct pool_windows *windows_of(struct pool *pool, uint32_t number)
{
	return number >= pool->old_first && number < pool->old_end ? &pool->old : &pool->windows;
}

static void slab_enter(struct pool *pool, uint32_t number)
{
	struct pool_windows *w = windows_of(pool, number);
	uint32_t entry = (number + 1) << 1;

	window_put(pool, w, entry);
	if (slab_has_last(pool, pool->slabs[number]))
		window_put(pool, w, entry | WINDOW_LAST);
}

static void slab_leave(struct pool *pool, uint32_t number)
{
	struct pool_windows *w = windows_of(pool, number);
	uint32_t entry = (number + 1) << 1;

	window_del(pool, w, entry);
	if (slab_has_last(pool, pool->slabs[number]))
		window_del(pool, w, entry | WINDOW_LAST);
}

/* NULL: of none in that table. */
static struct pool_slab *window_find(const struct pool *pool, const struct pool_windows *w,
				     const void *object)
{
	struct pool_slab *slab;
	uint32_t i, entry;

	for (i = window_home(pool, w, (uintptr_t)object); (entry = *window_at(w, i)) != 0;
	     i = window_next(w, i)) {
		slab = pool->slabs[(entry >> 1) - 1];
		if ((uintptr_t)object - (uintptr_t)slab < pool->extent)
			return slab;
	}
	return NULL;
}

static struct pool_slab *slab_of(const struct pool *pool, const void *object)
{
	struct pool_slab *slab = pool->lowest;

	if (slab && (uintptr_t)object - (uintptr_t)slab < pool->extent)
		return slab;
	ASSERT(pool->slabs_cap);
	slab = window_find(pool, &pool->windows, object);
	if (!slab && windows_moving(pool))
		slab = window_find(pool, &pool->old, object);
	ASSERT(slab); /* else it is not of this pool */
	return slab;
}

/* The number of OBJECT in SLAB: a division by multiplication, exact for multiples below 2^20. */
static uint32_t slab_position(const struct pool *pool, const struct pool_slab *slab,
			      const void *object)
{
	uint32_t offset = (uint32_t)((uintptr_t)object - (uintptr_t)slab) - pool->first;
	uint32_t i = (uint32_t)(((uint64_t)offset * pool->object_reciprocal) >> 32);

	ASSERT(i * pool->object_size == offset && i < slab_objects(pool));
	return i;
}

/* ---- Slabs ---------------------------------------------------------------------------------- */

static inline void open_set(struct pool *pool, uint32_t number)
{
	uint32_t word = number / 64;

	pool->open[word] |= 1ull << (number % 64);
	pool->open_words[word / 64] |= 1ull << (word % 64);
}

static void open_clear(struct pool *pool, uint32_t number)
{
	uint32_t word = number / 64;

	pool->open[word] &= ~(1ull << (number % 64));
	if (!pool->open[word])
		pool->open_words[word / 64] &= ~(1ull << (word % 64));
}

static void windows_release(struct pool *pool, struct pool_windows *w)
{
	for (uint32_t i = 0; i * PIECE < w->size; i++)
		mem_release(pool->mem, w->pieces[i],
			    (w->size < PIECE ? w->size : PIECE) * sizeof(uint32_t));
	*w = (struct pool_windows){ .size = 0 };
}

/* False: no memory. */
static bool windows_make(struct pool *pool, struct pool_windows *w, uint32_t size)
{
	uint32_t bytes = (size < PIECE ? size : PIECE) * (uint32_t)sizeof(uint32_t);

	*w = (struct pool_windows){ .size = 0 };
	for (uint32_t i = 0; i * PIECE < size; i++) {
		w->pieces[i] = mem_alloc(pool->mem, bytes);
		if (!w->pieces[i]) {
			windows_release(pool, w);
			return false;
		}
		memset(w->pieces[i], 0, bytes);
		w->size += size < PIECE ? size : PIECE;
	}
	return true;
}

/* Some of the slabs in the table before change to the larger one. */
static void windows_move(struct pool *pool)
{
	for (unsigned i = 0; i < MOVE_MAX && windows_moving(pool); i++) {
		uint32_t number = pool->old_first;

		if (pool->slabs[number])
			slab_leave(pool, number);
		pool->old_first++;
		if (pool->slabs[number])
			slab_enter(pool, number);
		if (!windows_moving(pool))
			windows_release(pool, &pool->old);
	}
}

/* The directory and both levels of bits lie in two pieces of memory. */
static size_t bits_bytes(uint32_t cap)
{
	return (words_for(cap) + words_for(words_for(cap))) * sizeof(uint64_t);
}

static void directory_release(struct pool *pool)
{
	mem_release(pool->mem, pool->slabs, pool->slabs_cap * sizeof(*pool->slabs));
	mem_release(pool->mem, pool->open, bits_bytes(pool->slabs_cap));
}

static bool directory_grow(struct pool *pool)
{
	uint32_t was = pool->slabs_cap, cap = was ? was * 2 : SLABS_MIN;
	struct pool_windows windows;
	struct pool_slab **slabs;
	uint64_t *bits;

	/* More are moved for each new slab than are new: all have been. */
	ASSERT(!windows_moving(pool));
	if (cap > POOL_SLABS)
		return false;
	slabs = mem_alloc(pool->mem, cap * sizeof(*slabs));
	bits = mem_alloc(pool->mem, bits_bytes(cap));
	if (!slabs || !bits || !windows_make(pool, &windows, cap * WINDOWS_PER_SLAB)) {
		mem_release(pool->mem, slabs, cap * sizeof(*slabs));
		mem_release(pool->mem, bits, bits_bytes(cap));
		return false;
	}
	memset(slabs, 0, cap * sizeof(*slabs));
	memset(bits, 0, bits_bytes(cap));
	if (was) {
		memcpy(slabs, pool->slabs, was * sizeof(*slabs));
		memcpy(bits, pool->open, words_for(was) * sizeof(*bits));
		memcpy(bits + words_for(cap), pool->open_words,
		       words_for(words_for(was)) * sizeof(*bits));
	}
	directory_release(pool);
	pool->slabs = slabs;
	pool->slabs_cap = cap;
	pool->open = bits;
	pool->open_words = bits + words_for(cap);
	pool->old = pool->windows;
	pool->windows = windows;
	pool->old_first = 0;
	pool->old_end = was;
	return true;
}

static struct pool_slab *slab_new(struct pool *pool)
{
	uint32_t words = words_for(slab_objects(pool));
	struct pool_slab *slab;
	uintptr_t memory, objects;

	while (pool->hole < pool->slabs_n && pool->slabs[pool->hole])
		pool->hole++;
	windows_move(pool);
	if (pool->hole == pool->slabs_cap && !directory_grow(pool))
		return NULL;
	memory = (uintptr_t)mem_alloc(pool->mem, pool->slab_size);
	if (!memory)
		return NULL;

	objects = (memory + pool->first + pool->align - 1) & ~(uintptr_t)(pool->align - 1);
	slab = (struct pool_slab *)(objects - pool->first);
	slab->pad = (uint32_t)((uintptr_t)slab - memory);
	slab->number = pool->hole;
	slab->used = 0;
	slab->hint = 0;
	memset(slab->bits, 0, words * sizeof(uint64_t));
	pool_poison(pool, slab_object(pool, slab, 0),
		    (size_t)pool->object_size << pool->slab_shift);

	pool->slabs[slab->number] = slab;
	if (slab->number == pool->slabs_n)
		pool->slabs_n++;
	pool->hole++;
	pool->empty++;
	slab_enter(pool, slab->number);
	open_set(pool, slab->number);
	return slab;
}

/* Gives back a slab with nothing in use. */
static __attribute__((noinline)) void slab_release(struct pool *pool, struct pool_slab *slab)
{
	uint32_t number = slab->number;

	slab_leave(pool, number);
	open_clear(pool, number);
	pool->slabs[number] = NULL;
	if (pool->lowest == slab)
		pool->lowest = NULL;
	pool->empty--;
	if (number < pool->hole)
		pool->hole = number;
	while (pool->slabs_n && !pool->slabs[pool->slabs_n - 1])
		pool->slabs_n--;
	pool_unpoison(pool, slab, pool->extent);
	mem_release(pool->mem, slab_memory(slab), pool->slab_size);
}

/* Finds the lowest slab with a free object, or makes one. */
static __attribute__((noinline)) struct pool_slab *slab_find_lowest(struct pool *pool)
{
	uint32_t n = words_for(words_for(pool->slabs_n));
	uint32_t i, word;

	for (i = 0; i < n; i++) {
		if (!pool->open_words[i])
			continue;
		word = i * 64 + first_set(pool->open_words[i]);
		pool->lowest = pool->slabs[word * 64 + first_set(pool->open[word])];
		return pool->lowest;
	}
	pool->lowest = slab_new(pool);
	return pool->lowest;
}

void pool_destroy(struct pool *pool)
{
	uint32_t i;

	for (i = 0; i < pool->slabs_n; i++) {
		if (!pool->slabs[i])
			continue;
		pool_unpoison(pool, pool->slabs[i], pool->extent);
		mem_release(pool->mem, slab_memory(pool->slabs[i]), pool->slab_size);
	}
	directory_release(pool);
	windows_release(pool, &pool->windows);
	windows_release(pool, &pool->old);
	pool->old_first = pool->old_end = 0;
	pool->slabs = NULL;
	pool->open = NULL;
	pool->lowest = NULL;
	pool->slabs_n = pool->slabs_cap = pool->hole = pool->in_use = pool->empty = 0;
	pool->spare_n = 0;
}

void pool_trim(struct pool *pool)
{
	uint32_t i;

	while (pool->spare_n)
		pool_free(pool, pool->spare[--pool->spare_n]);
	for (i = pool->slabs_n; i-- && pool->empty;) {
		if (pool->slabs[i] && !pool->slabs[i]->used)
			slab_release(pool, pool->slabs[i]);
	}
}

/* ---- Objects -------------------------------------------------------------------------------- */

void *pool_alloc(struct pool *pool, uint32_t *index)
{
	struct pool_slab *slab;
	uint32_t word, i;
	void *object;

	if (pool->in_use >= pool->limit)
		return NULL;
	slab = pool->lowest;
	if (!slab && !(slab = slab_find_lowest(pool)))
		return NULL;

	for (word = slab->hint; slab->bits[word] == UINT64_MAX;)
		word++;
	slab->hint = word;
	i = word * 64 + first_set(~slab->bits[word]);
	slab->bits[word] |= 1ull << (i % 64);
	if (!slab->used++)
		pool->empty--;
	if (slab->used == slab_objects(pool)) {
		open_clear(pool, slab->number);
		pool->lowest = NULL;
	}
	pool->in_use++;
	if (index)
		*index = (slab->number << pool->slab_shift) + i;
	object = slab_object(pool, slab, i);
	pool_unpoison(pool, object, pool->object_size);
	return object;
}

static inline void free_in(struct pool *pool, struct pool_slab *slab, uint32_t i)
{
	uint32_t word = i / 64;

	ASSERT(slab->bits[word] & 1ull << (i % 64)); /* freed twice */
	slab->bits[word] &= ~(1ull << (i % 64));
	pool_poison(pool, slab_object(pool, slab, i), pool->object_size);
	if (word < slab->hint)
		slab->hint = word;
	if (slab->used == slab_objects(pool))
		open_set(pool, slab->number);
	if (pool->lowest && slab->number < pool->lowest->number)
		pool->lowest = slab;
	pool->in_use--;
	if (--slab->used)
		return;
	if (++pool->empty > 1)
		slab_release(pool, slab);
}

void pool_free(struct pool *pool, void *object)
{
	struct pool_slab *slab = slab_of(pool, object);

	free_in(pool, slab, slab_position(pool, slab, object));
}

void pool_free_at(struct pool *pool, uint32_t index)
{
	struct pool_slab *slab = pool->slabs[index >> pool->slab_shift];

	free_in(pool, slab, index & (slab_objects(pool) - 1));
}

void *pool_at(const struct pool *pool, uint32_t index)
{
	uint32_t number = index >> pool->slab_shift;
	uint32_t i = index & (slab_objects(pool) - 1);
	const struct pool_slab *slab;

	if (number >= pool->slabs_n)
		return NULL;
	slab = pool->slabs[number];
	if (!slab || !(slab->bits[i / 64] & 1ull << (i % 64)))
		return NULL;
	return slab_object(pool, slab, i);
}

uint32_t pool_index(const struct pool *pool, const void *object)
{
	const struct pool_slab *slab = slab_of(pool, object);

	return (slab->number << pool->slab_shift) + slab_position(pool, slab, object);
}

void *pool_next(const struct pool *pool, uint32_t *index)
{
	uint32_t number = *index >> pool->slab_shift;
	uint32_t i = *index & (slab_objects(pool) - 1);
	const struct pool_slab *slab;
	uint64_t bits;

	for (; number < pool->slabs_n; number++, i = 0) {
		slab = pool->slabs[number];
		if (!slab || !slab->used)
			continue;
		while (i < slab_objects(pool)) {
			bits = slab->bits[i / 64] >> (i % 64);
			if (bits)
				i += first_set(bits);
			else
				i = (i / 64 + 1) * 64;
			if (bits) {
				*index = (number << pool->slab_shift) + i;
				return slab_object(pool, slab, i);
			}
		}
	}
	return NULL;
}
