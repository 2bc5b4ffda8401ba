/* SPDX-License-Identifier: MIT */
/*
 * A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987).
 *
 * Ticks are numbers in base 64, one level for each digit. A node that expires at tick T sits at the
 * level of the highest digit in which T differs from the present tick, in the slot of T's digit
 * there. So all that is at a level comes before all that is at higher ones, and slots count upwards
 * from the present digit: the first bit of the lowest level that has any is what comes next.
 *
 * The present tick may jump to anywhere before that without moving a node: T and the present still
 * differ first in the same digit. When it gets there, the slot's nodes move to lower levels,
 * or are due: a bounded number at a time, and time stands still meanwhile. No step looks at a slot
 * that is empty.
 */
#include <string.h>

#include "base/wheel.h"

#define DIGIT_MASK (WHEEL_SLOTS - 1)
#define TICK_LAST  (UINT64_MAX >> WHEEL_TICK_SHIFT)

#define node_of(pos) container_of(pos, struct wheel_node, link)

/* The tick at which DEADLINE has passed. */
static inline uint64_t tick_of(uint64_t deadline)
{
	return (deadline >> WHEEL_TICK_SHIFT) + !!(deadline & (WHEEL_TICK_NS - 1));
}

void wheel_init(struct wheel *wheel, uint64_t now)
{
	unsigned level, slot;

	wheel->tick = now >> WHEEL_TICK_SHIFT;
	wheel->running = 0;
	list_init(&wheel->due);
	list_init(&wheel->below);
	memset(wheel->occupied, 0, sizeof(wheel->occupied));
	wheel->levels = 0;
	for (level = 0; level < WHEEL_LEVELS; level++) {
		for (slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
	}
}

void wheel_node_init(struct wheel_node *node)
{
	list_init(&node->link);
	node->deadline = UINT64_MAX;
}

/* Puts NODE, which is on no list, where its deadline belongs. */
static void wheel_place(struct wheel *wheel, struct wheel_node *node)
{
	uint64_t tick = tick_of(node->deadline);
	unsigned level, slot;

	if (tick <= wheel->tick) {
		list_push_back(&wheel->due, &node->link);
		return;
	}
	level = (63 - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / WHEEL_BITS;
	slot = (tick >> (level * WHEEL_BITS)) & DIGIT_MASK;
	list_push_back(&wheel->slots[level][slot], &node->link);
	wheel->occupied[level] |= 1ull << slot;
	wheel->levels |= (uint8_t)(1u << level);
}

static inline void slot_empty(struct wheel *wheel, unsigned level, unsigned slot)
{
	wheel->occupied[level] &= ~(1ull << slot);
	if (!wheel->occupied[level])
		wheel->levels &= (uint8_t) ~(1u << level);
}

/* Takes NODE off its list. The last of a slot finds the slot: its only neighbour. */
static void wheel_unlink(struct wheel *wheel, struct wheel_node *node)
{
	struct list *neighbour = node->link.next;
	size_t slot;

	list_del(&node->link);
	if (!list_empty(neighbour) || neighbour == &wheel->due || neighbour == &wheel->below)
		return;
	slot = (size_t)(neighbour - &wheel->slots[0][0]);
	slot_empty(wheel, (unsigned)(slot / WHEEL_SLOTS), (unsigned)(slot % WHEEL_SLOTS));
}

void wheel_start(struct wheel *wheel, struct wheel_node *node, uint64_t deadline)
{
	if (tick_of(deadline) > TICK_LAST) {
		wheel_stop(wheel, node);
		return;
	}
	if (wheel_running(node))
		wheel_unlink(wheel, node);
	else
		wheel->running++;
	node->deadline = deadline;
	wheel_place(wheel, node);
}

void wheel_stop(struct wheel *wheel, struct wheel_node *node)
{
	if (!wheel_running(node))
		return;
	wheel_unlink(wheel, node);
	node->deadline = UINT64_MAX;
	wheel->running--;
}

/* The first tick of the slot that comes next, and where it is; false: all slots are empty. */
static bool wheel_next_slot(const struct wheel *wheel, unsigned *level, unsigned *slot,
			    uint64_t *tick)
{
	unsigned shift;

	if (!wheel->levels)
		return false;
	*level = (unsigned)__builtin_ctz(wheel->levels);
	*slot = (unsigned)__builtin_ctzll(wheel->occupied[*level]);
	shift = *level * WHEEL_BITS;
	/* The digits above from the present tick, this one from the slot, 0 below. */
	*tick = wheel->tick >> shift >> WHEEL_BITS << WHEEL_BITS;
	*tick = (*tick | *slot) << shift;
	return true;
}

/* Goes on to the next slot that has nodes, at TARGET at the latest: they are to move down. */
static void wheel_step(struct wheel *wheel, uint64_t target)
{
	unsigned level, slot;
	struct list *head;
	uint64_t tick;

	if (!wheel_next_slot(wheel, &level, &slot, &tick) || tick > target) {
		wheel->tick = target;
		return;
	}
	wheel->tick = tick;
	slot_empty(wheel, level, slot);
	head = &wheel->slots[level][slot];
	list_push_front(head, &wheel->below);
	list_del(head);
}

/* What is to move down does, as far as *WORK goes. */
static void wheel_lower(struct wheel *wheel, unsigned *work)
{
	for (; *work && !list_empty(&wheel->below); --*work) {
		struct wheel_node *node = node_of(wheel->below.next);

		list_del(&node->link);
		wheel_place(wheel, node);
	}
}

struct wheel_node *wheel_expire_some(struct wheel *wheel, uint64_t now, unsigned *work)
{
	uint64_t target = now >> WHEEL_TICK_SHIFT;
	struct wheel_node *node;

	wheel_lower(wheel, work);
	while (list_empty(&wheel->due)) {
		if (wheel->tick >= target || !list_empty(&wheel->below))
			return NULL;
		wheel_step(wheel, target);
		wheel_lower(wheel, work);
	}
	if (*work < WHEEL_HANDED)
		return NULL;
	*work -= WHEEL_HANDED;
	node = node_of(wheel->due.next);
	list_del(&node->link);
	node->deadline = UINT64_MAX;
	wheel->running--;
	return node;
}

void wheel_ahead(const struct wheel *wheel, struct wheel_node **next, struct wheel_node **after)
{
	struct list *first = wheel->due.next;

	*next = first != &wheel->due ? node_of(first) : NULL;
	*after = *next && first->next != &wheel->due ? node_of(first->next) : NULL;
}

uint64_t wheel_deadline(const struct wheel *wheel)
{
	unsigned level, slot;
	uint64_t tick;

	if (!wheel->running)
		return UINT64_MAX;
	if (!list_empty(&wheel->due) || !list_empty(&wheel->below))
		return wheel->tick << WHEEL_TICK_SHIFT;
	if (!wheel_next_slot(wheel, &level, &slot, &tick))
		return UINT64_MAX;
	return tick << WHEEL_TICK_SHIFT;
}
