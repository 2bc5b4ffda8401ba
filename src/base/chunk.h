/* SPDX-License-Identifier: MIT */
/*
 * Byte queues made of refcounted chunks: the send and receive streams of a connection, and any
 * packet's payload. Data is copied in once and referred to from then on; a chunk lives until its
 * last reference goes. A chunk may also wrap memory lent by the embedder: its token comes up in the
 * chunk memory's list of releases when nothing refers to it any more.
 */
#ifndef BASE_CHUNK_H
#define BASE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/pool.h"

#define CHUNK_CLASSES 4 /* 512 B, 2 KiB, 16 KiB, 64 KiB of data, headers within */
#define CHUNK_SMALL   512u

struct chunk {
	uint8_t *data; /* start of the memory */
	uint32_t cap;  /* bytes of memory */
	uint32_t fill; /* bytes written, from data on: they stay as they are while refs > 1 */
	uint32_t refs;
	uint8_t cls;	/* CHUNK_CLASSES: lent */
	uint64_t token; /* lent: for the embedder */
};

/* A reference to part of a chunk. */
struct chunk_ref {
	struct list link;
	struct chunk *chunk;
	uint32_t off;
	uint32_t len;
};

/* What all chunks of a stack come from. */
struct chunk_mem {
	struct pool classes[CHUNK_CLASSES];
	struct pool refs;
	struct pool lent;   /* chunks without memory of their own */
	uint64_t *released; /* ring of tokens to give back, from mem, grown on demand */
	uint32_t released_head, released_n, released_cap;
	struct mem *mem;
	bool wide; /* cpu_has_avx2() */
};

void chunk_mem_init(struct chunk_mem *cm, struct mem *mem);
void chunk_mem_destroy(struct chunk_mem *cm);
/* The next token of lent memory that nothing refers to any more. */
bool chunk_mem_released(struct chunk_mem *cm, uint64_t *token);

/* A chunk for SIZE bytes (or the largest class, if that is less) with one reference; or NULL. */
struct chunk *chunk_new(struct chunk_mem *cm, uint32_t size);
/*
 * A chunk around lent memory, all of it filled, with one reference; or NULL. Room for its token
 * among the released ones is reserved now: it cannot get lost.
 */
struct chunk *chunk_lend(struct chunk_mem *cm, const void *data, uint32_t len, uint64_t token);
/* Give up a chunk that nobody else refers to, without a word of its token. */
void chunk_unlend(struct chunk_mem *cm, struct chunk *chunk);
static inline void chunk_get(struct chunk *chunk)
{
	chunk->refs++;
}
/* Nothing refers to CHUNK any more. */
void chunk_free(struct chunk_mem *cm, struct chunk *chunk);
static inline void chunk_put(struct chunk_mem *cm, struct chunk *chunk)
{
	ASSERT(chunk->refs);
	if (!--chunk->refs)
		chunk_free(cm, chunk);
}

/* A queue of bytes: refs in order. */
struct chunkq {
	struct list refs;
	uint64_t bytes;	 /* in the queue */
	uint64_t memory; /* true size of the chunks referred to, and of the references */
	/* Where the last look-up ended, so that a walk along the queue is O(1) a step. */
	struct chunk_ref *hint;
	uint64_t hint_off; /* offset in the queue of hint's first byte */
};

void chunkq_init(struct chunkq *q);
void chunkq_clear(struct chunkq *q, struct chunk_mem *cm);
/* The same of one that mostly has a single reference. */
static inline void chunkq_empty(struct chunkq *q, struct chunk_mem *cm)
{
	struct list *node = q->refs.next;
	struct chunk_ref *ref = container_of(node, struct chunk_ref, link);

	if (node == &q->refs || node->next != &q->refs) {
		chunkq_clear(q, cm);
		return;
	}
	list_init(&q->refs);
	q->hint = NULL;
	q->bytes = q->memory = 0;
	if (ref->chunk->refs == 1 && !ref->chunk->cls)
		pool_give(&cm->classes[0], ref->chunk);
	else
		chunk_put(cm, ref->chunk);
	pool_give(&cm->refs, ref);
}

/*
 * chunkq_append() to an empty queue, which is what most of them get, all or nothing: false if that
 * needs more than a small chunk, or what is not at hand.
 */
static inline bool chunkq_begin(struct chunkq *q, struct chunk_mem *cm, const void *data, size_t n)
{
	struct chunk_ref *ref;
	struct chunk *chunk;

	if (n - 1 >= CHUNK_SMALL - sizeof(*chunk) || !list_empty(&q->refs) ||
	    !cm->classes[0].spare_n || !cm->refs.spare_n)
		return false;
	chunk = pool_take(&cm->classes[0]);
	ref = pool_take(&cm->refs);
	chunk->data = (uint8_t *)(chunk + 1);
	chunk->cap = CHUNK_SMALL - (uint32_t)sizeof(*chunk);
	chunk->fill = (uint32_t)n;
	chunk->refs = 1;
	chunk->cls = 0;
	memcpy(chunk->data, data, n);
	ref->chunk = chunk;
	ref->off = 0;
	ref->len = (uint32_t)n;
	ref->link.next = ref->link.prev = &q->refs;
	q->refs.next = q->refs.prev = &ref->link;
	q->memory = sizeof(*ref) + CHUNK_SMALL;
	q->bytes = n;
	return true;
}
/* chunkq_append() where COMING bytes, N of them included, are to follow each other. */
size_t chunkq_append_part(struct chunkq *q, struct chunk_mem *cm, const void *data, size_t n,
			  size_t coming);
/*
 * Append a copy of N bytes: into the room left in the tail chunk if the queue ends where that is
 * filled up to, then into new chunks, of a class for what is appended and queued already. Returns
 * the bytes taken: fewer when memory is short.
 */
static inline size_t chunkq_append(struct chunkq *q, struct chunk_mem *cm, const void *data,
				   size_t n)
{
	return chunkq_begin(q, cm, data, n) ? n : chunkq_append_part(q, cm, data, n, n);
}
/*
 * The chunk that is to be filled with what Q goes on with, by the caller, who then appends it by
 * chunkq_append_ref(): the last one of Q, if Q ends where that is filled up to, or a new one, of a
 * class for COMING bytes. It has room for N bytes and a reference for the caller; NULL: no memory.
 */
struct chunk *chunkq_room(struct chunkq *q, struct chunk_mem *cm, uint32_t n, size_t coming);
/*
 * Append a reference to part of CHUNK, whose count it raises; one that continues the last is joined
 * with it. False: no memory.
 */
bool chunkq_append_ref(struct chunkq *q, struct chunk_mem *cm, struct chunk *chunk, uint32_t off,
		       uint32_t len);
/* Move all of SRC to the end of DST. SRC is empty afterwards. */
void chunkq_splice(struct chunkq *dst, struct chunkq *src);
/* Drop N bytes (at most all) from the front, or from the back. */
void chunkq_drop(struct chunkq *q, struct chunk_mem *cm, uint64_t n);
void chunkq_trim(struct chunkq *q, struct chunk_mem *cm, uint64_t n);
/* Copy out up to N bytes from offset OFF on; returns how many. */
size_t chunkq_copy(struct chunkq *q, uint64_t off, void *data, size_t n);

/* A piece of a queue's memory, with a reference held on its chunk. */
struct chunk_piece {
	const uint8_t *data;
	uint32_t len;
	struct chunk *chunk;
};

/*
 * Pieces that cover up to LEN bytes from offset OFF on, at most MAX of them, each holding a
 * reference (give back with chunk_put). Returns how many; *COVERED is the bytes they hold.
 */
unsigned chunkq_pieces(struct chunkq *q, uint64_t off, uint32_t len, struct chunk_piece *pieces,
		       unsigned max, uint32_t *covered);

/* All of Q as one piece, without a reference of its own; false: it is empty, or several. */
static inline bool chunkq_single(struct chunkq *q, struct chunk_piece *piece)
{
	struct list *node = q->refs.next;
	struct chunk_ref *ref = container_of(node, struct chunk_ref, link);

	if (node == &q->refs || node->next != &q->refs)
		return false;
	q->hint = ref;
	q->hint_off = 0;
	*piece = (struct chunk_piece){ ref->chunk->data + ref->off, ref->len, ref->chunk };
	return true;
}

/* All sums hold; asserts. For tests and checks of a whole connection. O(chunks). */
void chunkq_check(const struct chunkq *q);

#endif
