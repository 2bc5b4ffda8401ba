/* SPDX-License-Identifier: MIT */
/*
 * The event ring: records in slabs that are all allocated when it is made, so that recording
 * cannot fail; and what the numbers in a record are called.
 */
#include <errno.h>
#include <limits.h>

#include "base/assert.h"
#include "trace/ring.h"

#define SLAB_MASK ((1u << TRACE_SLAB_SHIFT) - 1)

static uint32_t ring_slabs(const struct trace_ring *ring)
{
	return (ring->mask >> TRACE_SLAB_SHIFT) + 1;
}

static size_t slab_bytes(const struct trace_ring *ring)
{
	uint32_t records = ring->mask < SLAB_MASK ? ring->mask : SLAB_MASK;

	return ((size_t)records + 1) * sizeof(struct cpl_trace);
}

int trace_ring_init(struct trace_ring *ring, struct mem *mem, uint32_t count)
{
	size_t directory;
	uint32_t i;

	ring->slabs = NULL;
	ring->mask = 0;
	ring->next = 0;
	if (!count)
		return 0;
	if (count > TRACE_MAX)
		return -EINVAL;
	ring->mask = count > 2 ? UINT32_MAX >> __builtin_clz(count - 1) : 1;

	directory = ring_slabs(ring) * sizeof(struct cpl_trace *);
	ring->slabs = mem_alloc(mem, directory);
	if (!ring->slabs) {
		ring->mask = 0;
		return -ENOMEM;
	}
	memset(ring->slabs, 0, directory);
	for (i = 0; i < ring_slabs(ring); i++) {
		ring->slabs[i] = mem_alloc(mem, slab_bytes(ring));
		if (!ring->slabs[i]) {
			trace_ring_destroy(ring, mem);
			return -ENOMEM;
		}
	}
	return 0;
}

void trace_ring_destroy(struct trace_ring *ring, struct mem *mem)
{
	uint32_t i;

	if (!ring->slabs)
		return;
	for (i = 0; i < ring_slabs(ring); i++)
		mem_release(mem, ring->slabs[i], slab_bytes(ring));
	mem_release(mem, ring->slabs, ring_slabs(ring) * sizeof(struct cpl_trace *));
	ring->slabs = NULL;
	ring->mask = 0;
	ring->next = 0;
}

static inline struct cpl_trace *ring_record(const struct trace_ring *ring, uint64_t number)
{
	uint32_t i = (uint32_t)number & ring->mask;

	return &ring->slabs[i >> TRACE_SLAB_SHIFT][i & SLAB_MASK];
}

struct cpl_trace *trace_ring_put(struct trace_ring *ring, uint64_t now, cpl_handle handle,
				 enum trace_type type)
{
	struct cpl_trace *record;

	ASSERT(trace_on(ring));
	record = ring_record(ring, ring->next++);
	memset(record, 0, sizeof(*record));
	record->time = now;
	record->handle = handle;
	record->type = (uint16_t)type;
	return record;
}

int trace_ring_read(const struct trace_ring *ring, uint64_t *cursor, struct cpl_trace *records,
		    unsigned max, uint64_t *lost)
{
	uint64_t kept = ring->mask ? (uint64_t)ring->mask + 1 : 0;
	uint64_t oldest = ring->next > kept ? ring->next - kept : 0;
	int n = 0;

	if (lost)
		*lost = *cursor < oldest ? oldest - *cursor : 0;
	if (*cursor < oldest)
		*cursor = oldest;
	for (; *cursor < ring->next && (unsigned)n < max && n < INT_MAX; n++)
		records[n] = *ring_record(ring, (*cursor)++);
	return n;
}

/* ---- Names ---------------------------------------------------------------------------------- */

static const char *const names[] = {
#define TRACE_EVENT(name, ...) #name,
#include "trace/events.def"
};

static const char *const texts[] = {
#define TRACE_EVENT(name, text, ...) text,
#include "trace/events.def"
};

#define TRACE_ARGS (sizeof(((struct cpl_trace *)0)->arg) / sizeof(uint32_t))

static const char *const args[][TRACE_ARGS] = {
#define TRACE_EVENT(name, text, ...) { __VA_ARGS__ },
#include "trace/events.def"
};

const char *trace_type_name(enum trace_type type)
{
	return (unsigned)type < TRACE_TYPES ? names[type] : NULL;
}

const char *trace_type_text(enum trace_type type)
{
	return (unsigned)type < TRACE_TYPES ? texts[type] : NULL;
}

const char *trace_arg_name(enum trace_type type, unsigned arg)
{
	if ((unsigned)type >= TRACE_TYPES || arg >= TRACE_ARGS || !args[type][arg][0])
		return NULL;
	return args[type][arg];
}
