/* SPDX-License-Identifier: MIT */
/*
 * The event ring of one stack: the last N records of all connections, keyed by handle. When it is
 * off (no records) TRACE() costs one predictable branch.
 */
#ifndef TRACE_RING_H
#define TRACE_RING_H

#include <couplet/couplet.h>

#include "base/mem.h"

enum trace_type {
#define TRACE_EVENT(name, ...) TRACE_##name,
#include "trace/events.def"
	TRACE_TYPES
};

/* The calls of TRACE_call. */
enum trace_call {
	TRACE_CALL_OPEN,
	TRACE_CALL_SEND,
	TRACE_CALL_RECEIVE,
	TRACE_CALL_SHUTDOWN,
	TRACE_CALL_CLOSE,
	TRACE_CALL_ABORT,
};

#define TRACE_SLAB_SHIFT 13 /* 8,192 records of 64 bytes in a slab */
#define TRACE_MAX	 (1u << 30)

struct trace_ring {
	struct cpl_trace **slabs;
	uint32_t mask; /* records - 1, or 0 when off */
	uint64_t next; /* number of the next record */
};

/*
 * COUNT is rounded up to a power of 2, at least 2; 0: off, and nothing is allocated. Returns 0,
 * -EINVAL (more than TRACE_MAX) or -ENOMEM.
 */
int trace_ring_init(struct trace_ring *ring, struct mem *mem, uint32_t count);
void trace_ring_destroy(struct trace_ring *ring, struct mem *mem);
/* The record to fill; its time, handle and type are set, its arguments are zero. */
struct cpl_trace *trace_ring_put(struct trace_ring *ring, uint64_t now, cpl_handle handle,
				 enum trace_type type);
/* As cpl_trace_read(). */
int trace_ring_read(const struct trace_ring *ring, uint64_t *cursor, struct cpl_trace *records,
		    unsigned max, uint64_t *lost);

/* Names for people; NULL for a type, or an argument, that does not exist. */
const char *trace_type_name(enum trace_type type);
const char *trace_type_text(enum trace_type type);
const char *trace_arg_name(enum trace_type type, unsigned arg);

#define trace_on(ring) __builtin_expect((ring)->mask != 0, 0)

/* TRACE(ring, now, handle, state, from, to): the arguments in events.def's order. */
#define TRACE(ring, now, handle, name, ...)                                                        \
	do {                                                                                       \
		if (trace_on(ring)) {                                                              \
			const uint32_t trace_args[] = { __VA_ARGS__ };                             \
			struct cpl_trace *trace_rec =                                              \
				trace_ring_put((ring), (now), (handle), TRACE_##name);             \
			memcpy(trace_rec->arg, trace_args, sizeof(trace_args));                    \
		}                                                                                  \
	} while (0)

#endif
