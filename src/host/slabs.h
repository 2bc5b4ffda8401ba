/* SPDX-License-Identifier: MIT */
/*
 * Memory for slabs, in pieces of the address space that each hold slabs of one size side by side:
 * no size is rounded up to pages, and the pages of what is released go back to the kernel, whatever
 * is still in use around them. Not locked.
 */
#ifndef HOST_SLABS_H
#define HOST_SLABS_H

#include <stddef.h>
#include <stdint.h>

#define SLABS_LEAST (4u * 1024)	  /* what is smaller is the C library's business */
#define SLABS_MOST  (256u * 1024) /* and so is what is not */
#define SLABS_KINDS 64u		  /* sizes that have regions of their own */

struct slabs_region;

struct slabs {
	struct slabs_kind {
		uint32_t size;		   /* rounded up to cache lines; 0: none yet */
		struct slabs_region *open; /* those with room for another */
	} kinds[SLABS_KINDS];
};

/* SIZE octets, of SLABS_LEAST up to below SLABS_MOST, in a cache line of their own; or NULL. */
void *slabs_take(struct slabs *s, size_t size);
/* SLAB is from slabs_take(). */
void slabs_release(void *slab);

#endif
