/* SPDX-License-Identifier: MIT */
/*
 * The path MTU cache (RFC 1191, RFC 8201), as pmtu.h says.
 */
#include "ip/pmtu.h"

#include <errno.h>
#include <string.h>

#include "wire/ip.h"

#define MTU4_MIN    552 /* Linux: net.ipv4.route.min_pmtu */
#define BUCKETS_MAX 32768u
#define SLAB_SIZE   8192

struct pmtu {
	struct list link; /* hash chain */
	struct list lru;
	struct list age;
	struct cpl_addr dst;
	uint64_t learned; /* ns */
	uint32_t mtu;
};

int pmtu_init(struct pmtu_cache *c, struct mem *mem, const struct siphash_key *key, uint32_t limit)
{
	uint32_t n = 1;

	memset(c, 0, sizeof(*c));
	c->mem = mem;
	c->key = *key;
	while (n < limit && n < BUCKETS_MAX)
		n *= 2;
	c->buckets = mem_alloc(mem, n * sizeof(*c->buckets));
	if (!c->buckets)
		return -ENOMEM;
	c->bucket_mask = n - 1;
	for (uint32_t i = 0; i < n; i++)
		list_init(&c->buckets[i]);
	list_init(&c->lru);
	list_init(&c->by_age);
	pool_init(&c->pool, mem, sizeof(struct pmtu), _Alignof(struct pmtu), limit, SLAB_SIZE);
	return 0;
}

void pmtu_destroy(struct pmtu_cache *c)
{
	if (!c->buckets)
		return;
	pool_destroy(&c->pool);
	mem_release(c->mem, c->buckets, (c->bucket_mask + 1) * sizeof(*c->buckets));
	c->buckets = NULL;
}

static struct list *bucket(const struct pmtu_cache *c, const struct cpl_addr *dst)
{
	return &c->buckets[siphash13(&c->key, dst->b, sizeof(dst->b)) & c->bucket_mask];
}

static struct pmtu *find(const struct pmtu_cache *c, const struct cpl_addr *dst)
{
	struct list *head = bucket(c, dst), *pos;

	list_for_each (pos, head) {
		struct pmtu *e = container_of(pos, struct pmtu, link);

		if (cpl_addr_equal(&e->dst, dst))
			return e;
	}
	return NULL;
}

static void forget(struct pmtu_cache *c, struct pmtu *e)
{
	list_del(&e->link);
	list_del(&e->lru);
	list_del(&e->age);
	pool_free(&c->pool, e);
	c->generation++;
}

static void used(struct pmtu_cache *c, struct pmtu *e)
{
	list_del(&e->lru);
	list_push_back(&c->lru, &e->lru);
}

static void learned(struct pmtu_cache *c, struct pmtu *e, uint64_t now)
{
	e->learned = now;
	list_del(&e->age);
	list_push_back(&c->by_age, &e->age);
}

uint32_t pmtu_get(struct pmtu_cache *c, const struct cpl_addr *dst, uint32_t link_mtu, uint64_t now)
{
	struct pmtu *e;

	pmtu_advance(c, now);
	if (list_empty(&c->lru))
		return link_mtu;
	e = find(c, dst);
	if (!e)
		return link_mtu;
	used(c, e);
	return e->mtu < link_mtu ? e->mtu : link_mtu;
}

/*
 * RFC 1191 5 and 7.1: the next lower of the MTUs that links have, for a router that does not say.
 * Where the quoted length is no less than what we believed, the router is one of those that add the
 * header's length to it.
 */
static uint32_t plateau_below(uint32_t quoted_len, uint32_t believed)
{
	static const uint16_t plateaus[] = { 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508 };

	if (quoted_len > believed)
		quoted_len = quoted_len - 20 < believed ? quoted_len - 20 : believed;
	for (unsigned i = 0; i < sizeof(plateaus) / sizeof(plateaus[0]); i++)
		if (plateaus[i] < quoted_len)
			return plateaus[i];
	return MTU4_MIN;
}

static struct pmtu *entry_new(struct pmtu_cache *c, const struct cpl_addr *dst)
{
	struct pmtu *e = pool_alloc(&c->pool, NULL);

	if (!e && !list_empty(&c->lru)) {
		forget(c, list_first(&c->lru, struct pmtu, lru));
		e = pool_alloc(&c->pool, NULL);
	}
	if (!e)
		return NULL;
	e->dst = *dst;
	list_push_back(bucket(c, dst), &e->link);
	list_push_back(&c->lru, &e->lru);
	list_init(&e->age);
	return e;
}

uint32_t pmtu_learn(struct pmtu_cache *c, const struct cpl_addr *dst, uint32_t mtu,
		    uint32_t quoted_len, uint32_t link_mtu, uint64_t now)
{
	uint32_t believed = pmtu_get(c, dst, link_mtu, now);
	struct pmtu *e = find(c, dst);

	if (cpl_addr_is4(dst)) {
		if (!mtu)
			mtu = plateau_below(quoted_len, believed);
		if (mtu < MTU4_MIN)
			mtu = MTU4_MIN;
	} else if (mtu < IPV6_MTU_MIN) {
		return 0; /* RFC 8201 4: "it must discard it" */
	}
	if (e && mtu == e->mtu)
		learned(c, e, now); /* no attempt at more for as long again: RFC 8201 5.4 */
	if (mtu >= believed)
		return 0; /* RFC 1191 3, RFC 8201 4: never increased by a message */
	if (!e)
		e = entry_new(c, dst);
	if (!e)
		return 0;
	e->mtu = mtu;
	learned(c, e, now);
	c->generation++;
	return mtu;
}

uint64_t pmtu_deadline(const struct pmtu_cache *c)
{
	if (list_empty(&c->by_age))
		return UINT64_MAX;
	return list_first(&c->by_age, struct pmtu, age)->learned + PMTU_AGE_NS;
}

void pmtu_advance(struct pmtu_cache *c, uint64_t now)
{
	while (pmtu_deadline(c) <= now)
		forget(c, list_first(&c->by_age, struct pmtu, age));
}
