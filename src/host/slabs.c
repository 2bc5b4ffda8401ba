/* SPDX-License-Identifier: MIT */
/*
 * See slabs.h. A region is aligned to its own size, so that a slab's address leads to the header in
 * front of its first slab: a bit for each slab, and the list of those that have room. What is
 * asked for next comes from the region in which room was made last. A region in which nothing is
 * left goes; in the others the pages that no slab in use touches do.
 */
#define _GNU_SOURCE
#include "host/slabs.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE	    64u
#define PAGE	    4096u
#define REGION	    (1u << 20)
#define REGION_MASK (~(uintptr_t)(REGION - 1))
#define WORDS	    (REGION / SLABS_LEAST / 64)

struct slabs_region {
	struct slabs_kind *kind;
	struct slabs_region *next, *prev; /* of those with room */
	uint32_t n, used;
	uint64_t free[WORDS];
};

#define HEADER ((sizeof(struct slabs_region) + LINE - 1) / LINE * LINE)

/* ---- Regions -------------------------------------------------------------------------------- */

static uintptr_t slot_at(const struct slabs_region *r, uint32_t i)
{
	return (uintptr_t)r + HEADER + (uintptr_t)i * r->kind->size;
}

static void list_in(struct slabs_region *r)
{
	r->prev = NULL;
	r->next = r->kind->open;
	if (r->next)
		r->next->prev = r;
	r->kind->open = r;
}

static void list_out(struct slabs_region *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		r->kind->open = r->next;
	if (r->next)
		r->next->prev = r->prev;
}

/* REGION octets of address space at a multiple of that, or 0. */
static uintptr_t region_map(void)
{
	void *p = mmap(NULL, 2 * REGION, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uintptr_t from = (uintptr_t)p, at = (from + REGION - 1) & REGION_MASK;

	if (p == MAP_FAILED)
		return 0;
	if (at > from)
		munmap(p, at - from);
	if (from + REGION > at)
		munmap((void *)(at + REGION), from + REGION - at);
	return at;
}

static struct slabs_region *region_new(struct slabs_kind *kind)
{
	struct slabs_region *r = (struct slabs_region *)region_map();

	if (!r)
		return NULL;
	r->kind = kind;
	r->n = (uint32_t)((REGION - HEADER) / kind->size);
	for (uint32_t i = 0; i < r->n; i++)
		r->free[i / 64] |= 1ull << i % 64;
	list_in(r);
	return r;
}

/* ---- Slabs ---------------------------------------------------------------------------------- */

/* More kinds than there is room for share the one of the largest. */
static struct slabs_kind *kind_of(struct slabs *s, uint32_t size)
{
	for (unsigned i = 1; i < SLABS_KINDS; i++) {
		if (!s->kinds[i].size)
			s->kinds[i].size = size;
		if (s->kinds[i].size == size)
			return &s->kinds[i];
	}
	s->kinds[0].size = SLABS_MOST;
	return &s->kinds[0];
}

void *slabs_take(struct slabs *s, size_t size)
{
	struct slabs_kind *kind = kind_of(s, (uint32_t)((size + LINE - 1) / LINE * LINE));
	struct slabs_region *r = kind->open ? kind->open : region_new(kind);
	unsigned word = 0, bit;

	if (!r)
		return NULL;
	while (!r->free[word])
		word++;
	bit = (unsigned)__builtin_ctzll(r->free[word]);
	r->free[word] &= r->free[word] - 1;
	if (++r->used == r->n)
		list_out(r);
	return (void *)slot_at(r, word * 64 + bit);
}

static bool is_free(const struct slabs_region *r, uint32_t i)
{
	return r->free[i / 64] >> i % 64 & 1;
}

/* The pages of slab I, which is free: what it shares with another goes if that is free, too. */
static void give_pages(const struct slabs_region *r, uint32_t i)
{
	uintptr_t from = slot_at(r, i), to = slot_at(r, i + 1);

	if (sysconf(_SC_PAGESIZE) != PAGE)
		return; /* of larger ones more than two slabs may share one */
	if (i == 0 || !is_free(r, i - 1))
		from += PAGE - 1;
	if (i + 1 == r->n || is_free(r, i + 1))
		to += PAGE - 1;
	from -= from % PAGE;
	to -= to % PAGE;
	if (to > from)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

void slabs_release(void *slab)
{
	struct slabs_region *r = (struct slabs_region *)((uintptr_t)slab & REGION_MASK);
	uint32_t i = (uint32_t)(((uintptr_t)slab - slot_at(r, 0)) / r->kind->size);

	r->free[i / 64] |= 1ull << i % 64;
	if (r->used-- == r->n)
		list_in(r);
	if (r->used) {
		give_pages(r, i);
		return;
	}
	list_out(r);
	munmap(r, REGION);
}
