/* SPDX-License-Identifier: MIT */
/* For the tests of the neighbour cache: one small cache, hosts by number, short names for what is
 * heard. */
#ifndef TESTS_IP_NEIGHBOURS_H
#define TESTS_IP_NEIGHBOURS_H

#include "ip/neigh.h"
#include "tests/util/heap.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SECOND	      1000000000ull
#define LIMIT	      8
#define QUEUE	      3

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0xa };
static const uint8_t mac_b[6] = { 2, 0, 0, 0, 0, 0xb };

struct fix {
	struct heap heap;
	struct neigh_table t;
	struct prng prng;
	uint64_t now;
};

static struct fix f;

static inline int setup(void **state)
{
	struct siphash_key key = { { 1, 2 } };

	(void)state;
	heap_init(&f.heap, 1 << 22);
	prng_seed(&f.prng, 42);
	f.now = 1000 * SECOND;
	return neigh_init(&f.t, &f.heap.mem, &key, &f.prng, LIMIT, QUEUE);
}

static inline int teardown(void **state)
{
	(void)state;
	neigh_destroy(&f.t);
	return f.heap.slabs || f.heap.mem.used ? -1 : 0;
}

static inline struct cpl_addr host(unsigned n)
{
	return (struct cpl_addr){ { 0xfe, 0x80, [14] = (uint8_t)(n >> 8), (uint8_t)n } };
}

static inline struct neigh *find(unsigned n)
{
	struct cpl_addr a = host(n);

	return neigh_find(&f.t, 1, &a);
}

static inline struct neigh *get(unsigned n)
{
	struct cpl_addr a = host(n);

	return neigh_get(&f.t, 1, &a, false, f.now);
}

static inline void solicit(unsigned n, const uint8_t *mac)
{
	struct cpl_addr a = host(n);

	neigh_heard_solicit(&f.t, 1, &a, mac, f.now);
}

static inline void advert(unsigned n, const uint8_t *mac, bool solicited, bool override)
{
	struct cpl_addr a = host(n);

	neigh_heard_advert(&f.t, 1, &a, mac, false, solicited, override, f.now);
}

static inline void arp(unsigned n, const uint8_t *mac, bool for_us, bool is_reply)
{
	struct cpl_addr a = host(n);

	neigh_heard_arp(&f.t, 1, &a, mac, for_us, is_reply, f.now);
}

static inline void confirm(unsigned n)
{
	struct cpl_addr a = host(n);

	neigh_confirm(&f.t, 1, &a, f.now);
}

static inline void until(uint64_t now)
{
	f.now = now;
	neigh_advance(&f.t, now);
}

#endif
