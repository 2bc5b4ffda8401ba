/* SPDX-License-Identifier: MIT */
/*
 * A hierarchical timing wheel (Varghese and Lauck): start, move and stop are O(1). A node fires at
 * its deadline or after it, never before, in order of deadlines to within WHEEL_TICK_NS; the
 * next deadline is known exactly enough to sleep until it.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define WHEEL_TICK_SHIFT 16 /* one tick is 2^16 ns: 65.5 us */
#define WHEEL_TICK_NS	 (1ull << WHEEL_TICK_SHIFT)
#define WHEEL_BITS	 6
#define WHEEL_SLOTS	 (1u << WHEEL_BITS)
#define WHEEL_HANDED	 16u
#define WHEEL_LEVELS	 8 /* 2^48 ticks: all of 64-bit nanoseconds */

struct wheel_node {
	struct list link;
	uint64_t deadline; /* ns; UINT64_MAX: stopped */
};

struct wheel {
	uint64_t tick;			 /* ticks that have been handled */
	uint64_t occupied[WHEEL_LEVELS]; /* a bit for each slot */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
	struct list due;   /* taken from the slots, not yet handed out */
	struct list below; /* taken from a slot, not yet placed at a lower level */
	uint32_t running;
	uint8_t levels; /* a bit for each level with a slot that has any */
};

void wheel_init(struct wheel *wheel, uint64_t now);
void wheel_node_init(struct wheel_node *node);
/*
 * Start NODE, or move it, to fire at DEADLINE (ns); one in the past fires at the next
 * wheel_expire(). UINT64_MAX, and any other deadline in the last tick before it, never comes: NODE
 * is stopped.
 */
void wheel_start(struct wheel *wheel, struct wheel_node *node, uint64_t deadline);
void wheel_stop(struct wheel *wheel, struct wheel_node *node);
static inline bool wheel_running(const struct wheel_node *node)
{
	return node->deadline != UINT64_MAX;
}
/*
 * The next node whose deadline, rounded up to a tick, is <= NOW, stopped; NULL when there is none
 * left. Call it until then: nodes may be started and stopped between calls. Time does not go back.
 *
 * *WORK is what may still be done: 1 for each node moved to a lower level, WHEEL_HANDED for each
 * that is handed out. NULL with less than that left: there may be more, and wheel_deadline() says
 * so.
 */
struct wheel_node *wheel_expire_some(struct wheel *wheel, uint64_t now, unsigned *work);
/* What it will hand out then, and what AFTER that, as far as that is known; NULL: not. */
void wheel_ahead(const struct wheel *wheel, struct wheel_node **next, struct wheel_node **after);
/* The same without a limit. */
static inline struct wheel_node *wheel_expire(struct wheel *wheel, uint64_t now)
{
	unsigned work = UINT32_MAX;

	return wheel_expire_some(wheel, now, &work);
}
/*
 * When wheel_expire() should be called next: no later than the earliest deadline rounded up to a
 * tick, possibly earlier (then nothing fires, and the next answer is closer); UINT64_MAX if
 * nothing runs.
 */
uint64_t wheel_deadline(const struct wheel *wheel);

#endif
