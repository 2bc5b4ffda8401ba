/* SPDX-License-Identifier: MIT */
/*
 * Chunks and queues of them.
 *
 * Who may append to a chunk: whoever holds a reference that ends where the chunk is filled up to.
 * Appending moves that mark, so that no other reference ends there any more, and bytes below the
 * mark do not change while it has more than one: queues, frames at the device and the program may
 * share a chunk.
 *
 * What a queue says it keeps in memory is the true size of each chunk it refers to, whatever part
 * of it is in use, counted once for references that stand next to each other, plus the references
 * themselves.
 */
#include <string.h>

#include "base/assert.h"
#include "base/chunk.h"
#include "base/copy.h"
#include "base/cpu.h"

#define CHUNK_LENT    CHUNK_CLASSES
#define SMALL_CLASSES 2 /* a few of these are kept at hand */
#define RELEASED_MIN  64u
#define RELEASED_MAX  (POOL_SLAB_MAX / (uint32_t)sizeof(uint64_t))
#define RECORDS_SLAB  16384u /* for references and for headers of lent chunks */

static const struct {
	uint32_t size; /* of the chunk with its header */
	uint32_t per_slab;
} classes[CHUNK_CLASSES] = { { CHUNK_SMALL, 32 }, { 2048, 16 }, { 16384, 8 }, { 65536, 4 } };

static inline uint32_t class_room(unsigned cls)
{
	return classes[cls].size - (uint32_t)sizeof(struct chunk);
}

/* What CHUNK keeps from other uses. */
static inline uint64_t chunk_memory(const struct chunk *chunk)
{
	if (chunk->cls == CHUNK_LENT)
		return sizeof(*chunk) + chunk->cap;
	return classes[chunk->cls].size;
}

void chunk_mem_init(struct chunk_mem *cm, struct mem *mem)
{
	unsigned i;

	memset(cm, 0, sizeof(*cm));
	cm->mem = mem;
	cm->wide = cpu_has_avx2();
	for (i = 0; i < CHUNK_CLASSES; i++)
		pool_init(&cm->classes[i], mem, classes[i].size, 64, UINT32_MAX - 1,
			  classes[i].size * classes[i].per_slab + 128);
	pool_init(&cm->refs, mem, sizeof(struct chunk_ref), 8, UINT32_MAX - 1, RECORDS_SLAB);
	pool_init(&cm->lent, mem, sizeof(struct chunk), 8, UINT32_MAX - 1, RECORDS_SLAB);
}

void chunk_mem_destroy(struct chunk_mem *cm)
{
	unsigned i;

	for (i = 0; i < CHUNK_CLASSES; i++)
		pool_destroy(&cm->classes[i]);
	pool_destroy(&cm->refs);
	pool_destroy(&cm->lent);
	mem_release(cm->mem, cm->released, cm->released_cap * sizeof(*cm->released));
	cm->released = NULL;
	cm->released_n = cm->released_cap = cm->released_head = 0;
}

/* An object of POOL, if need be in memory that another pool holds in reserve. */
static void *chunk_mem_find(struct chunk_mem *cm, struct pool *pool)
{
	void *object = pool_alloc(pool, NULL);
	uint32_t empty = cm->refs.empty + cm->refs.spare_n + cm->lent.empty;
	unsigned i;

	if (object)
		return object;
	for (i = 0; i < CHUNK_CLASSES; i++)
		empty += cm->classes[i].empty + cm->classes[i].spare_n;
	if (!empty)
		return NULL;
	for (i = 0; i < CHUNK_CLASSES; i++)
		pool_trim(&cm->classes[i]);
	pool_trim(&cm->refs);
	pool_trim(&cm->lent);
	return pool_alloc(pool, NULL);
}

static inline void *chunk_mem_alloc(struct chunk_mem *cm, struct pool *pool)
{
	return pool->spare_n ? pool_take(pool) : chunk_mem_find(cm, pool);
}

/* ---- Chunks --------------------------------------------------------------------------------- */

static inline void chunk_init(struct chunk *chunk, unsigned cls)
{
	chunk->data = (uint8_t *)(chunk + 1);
	chunk->cap = class_room(cls);
	chunk->fill = 0;
	chunk->refs = 1;
	chunk->cls = (uint8_t)cls;
}

static struct chunk *chunk_of_class(struct chunk_mem *cm, unsigned cls)
{
	struct chunk *chunk = chunk_mem_alloc(cm, &cm->classes[cls]);

	if (chunk)
		chunk_init(chunk, cls);
	return chunk;
}

struct chunk *chunk_new(struct chunk_mem *cm, uint32_t size)
{
	struct chunk *chunk = NULL;
	unsigned cls = 0;

	while (cls < CHUNK_CLASSES - 1 && class_room(cls) < size)
		cls++;
	for (; !chunk && cls < CHUNK_CLASSES; cls++)
		chunk = chunk_of_class(cm, cls);
	return chunk;
}

/* Room for one token more than all that are lent or wait to be given back. */
static bool released_reserve(struct chunk_mem *cm)
{
	uint32_t need = cm->released_n + cm->lent.in_use + 1;
	uint32_t cap = cm->released_cap ? cm->released_cap * 2 : RELEASED_MIN;
	uint64_t *ring;
	uint32_t i;

	if (need <= cm->released_cap)
		return true;
	if (cap > RELEASED_MAX)
		return false;
	ring = mem_alloc(cm->mem, cap * sizeof(*ring));
	if (!ring)
		return false;
	for (i = 0; i < cm->released_n; i++)
		ring[i] = cm->released[(cm->released_head + i) & (cm->released_cap - 1)];
	mem_release(cm->mem, cm->released, cm->released_cap * sizeof(*ring));
	cm->released = ring;
	cm->released_head = 0;
	cm->released_cap = cap;
	return true;
}

struct chunk *chunk_lend(struct chunk_mem *cm, const void *data, uint32_t len, uint64_t token)
{
	struct chunk *chunk;

	if (!released_reserve(cm))
		return NULL;
	chunk = chunk_mem_alloc(cm, &cm->lent);
	if (!chunk)
		return NULL;
	/* Nobody appends to a chunk that is full, so that the memory is only read. */
	chunk->data = (uint8_t *)(uintptr_t)data;
	chunk->cap = len;
	chunk->fill = len;
	chunk->refs = 1;
	chunk->cls = CHUNK_LENT;
	chunk->token = token;
	return chunk;
}

void chunk_free(struct chunk_mem *cm, struct chunk *chunk)
{
	uint32_t tail;

	if (chunk->cls < SMALL_CLASSES) {
		pool_give(&cm->classes[chunk->cls], chunk);
		return;
	}
	if (chunk->cls < CHUNK_CLASSES) {
		pool_free(&cm->classes[chunk->cls], chunk);
		return;
	}
	ASSERT(cm->released_n < cm->released_cap);
	tail = (cm->released_head + cm->released_n++) & (cm->released_cap - 1);
	cm->released[tail] = chunk->token;
	pool_free(&cm->lent, chunk);
}

void chunk_unlend(struct chunk_mem *cm, struct chunk *chunk)
{
	ASSERT(chunk->cls == CHUNK_LENT && chunk->refs == 1);
	chunk_put(cm, chunk);
	cm->released_n--; /* its token was the last to come */
}

bool chunk_mem_released(struct chunk_mem *cm, uint64_t *token)
{
	if (!cm->released_n)
		return false;
	*token = cm->released[cm->released_head];
	cm->released_head = (cm->released_head + 1) & (cm->released_cap - 1);
	cm->released_n--;
	return true;
}

/* ---- Queues --------------------------------------------------------------------------------- */

#define ref_of(node) container_of(node, struct chunk_ref, link)

void chunkq_init(struct chunkq *q)
{
	list_init(&q->refs);
	q->bytes = 0;
	q->memory = 0;
	q->hint = NULL;
	q->hint_off = 0;
}

static inline bool same_chunk(const struct chunkq *q, const struct list *node,
			      const struct chunk *chunk)
{
	return node != &q->refs && ref_of(node)->chunk == chunk;
}

/* A reference to nothing of CHUNK at the end of Q, which takes over the caller's count. */
static struct chunk_ref *chunkq_push(struct chunkq *q, struct chunk_mem *cm, struct chunk *chunk,
				     uint32_t off)
{
	struct chunk_ref *ref = chunk_mem_alloc(cm, &cm->refs);

	if (!ref)
		return NULL;
	if (!same_chunk(q, q->refs.prev, chunk))
		q->memory += chunk_memory(chunk);
	q->memory += sizeof(*ref);
	ref->chunk = chunk;
	ref->off = off;
	ref->len = 0;
	list_push_back(&q->refs, &ref->link);
	return ref;
}

/* Takes REF, at one end of Q, off it. Its bytes are subtracted already. */
static void chunkq_remove(struct chunkq *q, struct chunk_mem *cm, struct chunk_ref *ref)
{
	struct chunk *chunk = ref->chunk;

	if (!same_chunk(q, ref->link.next, chunk) && !same_chunk(q, ref->link.prev, chunk))
		q->memory -= chunk_memory(chunk);
	q->memory -= sizeof(*ref);
	if (q->hint == ref)
		q->hint = NULL;
	list_del(&ref->link);
	pool_give(&cm->refs, ref);
	chunk_put(cm, chunk);
}

void chunkq_clear(struct chunkq *q, struct chunk_mem *cm)
{
	struct list *node = q->refs.next, *next;

	for (; node != &q->refs; node = next) {
		struct chunk_ref *ref = ref_of(node);
		struct chunk *chunk = ref->chunk;

		next = node->next;
		pool_give(&cm->refs, ref);
		chunk_put(cm, chunk);
	}
	list_init(&q->refs);
	q->hint = NULL;
	q->bytes = q->memory = 0;
}

/*
 * A chunk to append N bytes to a queue that holds QUEUED already. The more there is, the larger
 * the chunk may be, so that many small writes make few chunks and yet no more than about a quarter
 * of the queue's memory is room for later. A smaller one is better than none.
 */
static struct chunk *chunk_to_append(struct chunk_mem *cm, size_t n, uint64_t queued)
{
	uint64_t want = n > queued / 4 ? n : queued / 4;
	struct chunk *chunk = NULL;
	unsigned first, cls;

	if (want <= class_room(0))
		first = 0;
	else if (want <= class_room(1))
		first = 1;
	else if (want < classes[2].size)
		first = 2;
	else
		first = 3;
	for (cls = first + 1; !chunk && cls--;)
		chunk = chunk_of_class(cm, cls);
	for (cls = first + 1; !chunk && cls < CHUNK_CLASSES; cls++)
		chunk = chunk_of_class(cm, cls);
	return chunk;
}

/* Appends what of N bytes fits behind REF in its chunk, if REF is where that chunk grows. */
static size_t chunkq_extend(struct chunkq *q, const struct chunk_mem *cm, struct chunk_ref *ref,
			    const uint8_t *data, size_t n)
{
	struct chunk *chunk = ref->chunk;

	if (ref->off + ref->len != chunk->fill)
		return 0;
	if (n > chunk->cap - chunk->fill)
		n = chunk->cap - chunk->fill;
	if (!n)
		return 0;
	copy_bytes(cm->wide, chunk->data + chunk->fill, data, n);
	chunk->fill += (uint32_t)n;
	ref->len += (uint32_t)n;
	q->bytes += n;
	return n;
}

size_t chunkq_append_part(struct chunkq *q, struct chunk_mem *cm, const void *data, size_t n,
			  size_t coming)
{
	const uint8_t *p = data;
	struct chunk_ref *ref;
	struct chunk *chunk;
	size_t taken = 0;

	if (!list_empty(&q->refs))
		taken = chunkq_extend(q, cm, list_last(&q->refs, struct chunk_ref, link), p, n);
	while (taken < n) {
		chunk = chunk_to_append(cm, coming - taken, q->bytes);
		if (!chunk)
			break;
		ref = chunkq_push(q, cm, chunk, 0);
		if (!ref) {
			chunk_put(cm, chunk);
			break;
		}
		taken += chunkq_extend(q, cm, ref, p + taken, n - taken);
	}
	return taken;
}

struct chunk *chunkq_room(struct chunkq *q, struct chunk_mem *cm, uint32_t n, size_t coming)
{
	struct chunk_ref *last;
	struct chunk *chunk;

	if (!list_empty(&q->refs)) {
		last = list_last(&q->refs, struct chunk_ref, link);
		chunk = last->chunk;
		if (last->off + last->len == chunk->fill && chunk->cap - chunk->fill >= n) {
			chunk_get(chunk);
			return chunk;
		}
	}
	chunk = chunk_to_append(cm, coming, q->bytes);
	if (chunk && chunk->cap < n) {
		chunk_put(cm, chunk);
		chunk = NULL;
	}
	return chunk;
}

bool chunkq_append_ref(struct chunkq *q, struct chunk_mem *cm, struct chunk *chunk, uint32_t off,
		       uint32_t len)
{
	struct chunk_ref *ref;

	ASSERT(off <= chunk->fill && len <= chunk->fill - off);
	if (!len)
		return true;
	if (same_chunk(q, q->refs.prev, chunk)) {
		ref = ref_of(q->refs.prev);
		if (ref->off + ref->len == off) {
			ref->len += len;
			q->bytes += len;
			return true;
		}
	}
	ref = chunkq_push(q, cm, chunk, off);
	if (!ref)
		return false;
	chunk_get(chunk);
	ref->len = len;
	q->bytes += len;
	return true;
}

void chunkq_splice(struct chunkq *dst, struct chunkq *src)
{
	struct list *first = src->refs.next, *last = src->refs.prev;

	if (list_empty(&src->refs))
		return;
	dst->bytes += src->bytes;
	dst->memory += src->memory;
	if (same_chunk(dst, dst->refs.prev, ref_of(first)->chunk))
		dst->memory -= chunk_memory(ref_of(first)->chunk);
	first->prev = dst->refs.prev;
	dst->refs.prev->next = first;
	last->next = &dst->refs;
	dst->refs.prev = last;
	chunkq_init(src);
}

void chunkq_drop(struct chunkq *q, struct chunk_mem *cm, uint64_t n)
{
	struct chunk_ref *ref;

	if (n >= q->bytes) { /* mostly all of it */
		q->hint_off = 0;
		chunkq_empty(q, cm);
		return;
	}
	q->bytes -= n;
	q->hint_off = q->hint_off > n ? q->hint_off - n : 0;
	while (n) {
		ref = list_first(&q->refs, struct chunk_ref, link);
		if (n < ref->len) {
			ref->off += (uint32_t)n;
			ref->len -= (uint32_t)n;
			return;
		}
		n -= ref->len;
		chunkq_remove(q, cm, ref);
	}
}

void chunkq_trim(struct chunkq *q, struct chunk_mem *cm, uint64_t n)
{
	struct chunk_ref *ref;

	if (n > q->bytes)
		n = q->bytes;
	q->bytes -= n;
	while (n) {
		ref = list_last(&q->refs, struct chunk_ref, link);
		if (n < ref->len) {
			ref->len -= (uint32_t)n;
			/* Nobody else can have seen what goes: it is room again. */
			if (ref->chunk->refs == 1 && ref->chunk->cls != CHUNK_LENT)
				ref->chunk->fill = ref->off + ref->len;
			return;
		}
		n -= ref->len;
		chunkq_remove(q, cm, ref);
	}
}

/*
 * The reference that holds byte OFF (less than q->bytes), found from the nearest of both ends and
 * the hint; *START is the offset of its first byte.
 */
static struct chunk_ref *chunkq_find(struct chunkq *q, uint64_t off, uint64_t *start)
{
	struct chunk_ref *ref = list_first(&q->refs, struct chunk_ref, link);
	uint64_t at = 0, distance = off;

	if (q->hint) {
		uint64_t from_hint = off > q->hint_off ? off - q->hint_off : q->hint_off - off;

		if (from_hint <= distance) {
			ref = q->hint;
			at = q->hint_off;
			distance = from_hint;
		}
	}
	if (q->bytes - off < distance) {
		ref = list_last(&q->refs, struct chunk_ref, link);
		at = q->bytes - ref->len;
	}
	while (off < at) {
		ref = ref_of(ref->link.prev);
		at -= ref->len;
	}
	while (off - at >= ref->len) {
		at += ref->len;
		ref = ref_of(ref->link.next);
	}
	q->hint = ref;
	q->hint_off = at;
	*start = at;
	return ref;
}

/* A walk over the parts of N bytes of a queue from OFF on. */
struct chunk_walk {
	struct chunk_ref *ref;
	uint64_t start; /* offset of the ref's first byte */
	uint64_t off;
	uint64_t left;
};

static void walk_begin(struct chunk_walk *walk, struct chunkq *q, uint64_t off, uint64_t n)
{
	walk->left = 0;
	if (off >= q->bytes)
		return;
	walk->off = off;
	walk->left = n < q->bytes - off ? n : q->bytes - off;
	walk->ref = chunkq_find(q, off, &walk->start);
}

/* The next part: its length, 0 at the end; *DATA is where it lies. */
static uint32_t walk_next(struct chunk_walk *walk, struct chunkq *q, const uint8_t **data,
			  struct chunk **chunk)
{
	uint32_t skip, len;

	if (!walk->left)
		return 0;
	if (walk->off - walk->start == walk->ref->len) {
		walk->start += walk->ref->len;
		walk->ref = ref_of(walk->ref->link.next);
		q->hint = walk->ref;
		q->hint_off = walk->start;
	}
	skip = (uint32_t)(walk->off - walk->start);
	len = walk->ref->len - skip;
	if (len > walk->left)
		len = (uint32_t)walk->left;
	*chunk = walk->ref->chunk;
	*data = walk->ref->chunk->data + walk->ref->off + skip;
	walk->off += len;
	walk->left -= len;
	return len;
}

size_t chunkq_copy(struct chunkq *q, uint64_t off, void *data, size_t n)
{
	struct chunk_walk walk;
	const uint8_t *from;
	struct chunk_piece piece;
	struct chunk *chunk;
	size_t done = 0;
	uint32_t len;

	if (!off && chunkq_single(q, &piece)) {
		n = n < piece.len ? n : piece.len;
		memcpy(data, piece.data, n);
		return n;
	}
	walk_begin(&walk, q, off, n);
	while ((len = walk_next(&walk, q, &from, &chunk))) {
		memcpy((uint8_t *)data + done, from, len);
		done += len;
	}
	return done;
}

unsigned chunkq_pieces(struct chunkq *q, uint64_t off, uint32_t len, struct chunk_piece *pieces,
		       unsigned max, uint32_t *covered)
{
	struct chunk_walk walk;
	unsigned n;

	*covered = 0;
	walk_begin(&walk, q, off, len);
	for (n = 0; n < max; n++) {
		pieces[n].len = walk_next(&walk, q, &pieces[n].data, &pieces[n].chunk);
		if (!pieces[n].len)
			break;
		chunk_get(pieces[n].chunk);
		*covered += pieces[n].len;
	}
	return n;
}

void chunkq_check(const struct chunkq *q)
{
	const struct chunk *before = NULL;
	const struct list *node;
	const struct chunk_ref *ref;
	uint64_t bytes = 0, memory = 0;
	bool hint = !q->hint;

	list_for_each (node, &q->refs) {
		ref = ref_of(node);
		ASSERT(node->next->prev == node);
		ASSERT(ref->len && ref->chunk->refs);
		ASSERT(ref->chunk->fill <= ref->chunk->cap);
		ASSERT(ref->off + ref->len <= ref->chunk->fill);
		if (ref == q->hint) {
			ASSERT(q->hint_off == bytes);
			hint = true;
		}
		bytes += ref->len;
		memory += sizeof(*ref) + (ref->chunk == before ? 0 : chunk_memory(ref->chunk));
		before = ref->chunk;
	}
	ASSERT(hint);
	ASSERT(bytes == q->bytes);
	ASSERT(memory == q->memory);
}
