/* SPDX-License-Identifier: MIT */
/*
 * The neighbour cache: the state machine of RFC 4861 7.3.2 and its appendix C, which ARP follows as
 * well (RFC 826; RFC 1122 2.3.2: the unicast poll, and no more than one request a second for an
 * address). As neigh.h says: it decides, and never sends.
 */
#include "ip/neigh.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "wire/ip.h"

#define BUCKETS_MAX 65536u
#define SLAB_SIZE   16384

/* ---- The table ------------------------------------------------------------------------------ */

int neigh_init(struct neigh_table *t, struct mem *mem, const struct siphash_key *key,
	       struct prng *prng, uint32_t limit, uint32_t queue_limit)
{
	uint32_t n = 1;

	memset(t, 0, sizeof(*t));
	t->mem = mem;
	t->key = *key;
	t->prng = prng;
	t->queue_limit = queue_limit;
	while (n < limit && n < BUCKETS_MAX)
		n *= 2;
	t->buckets = mem_alloc(mem, n * sizeof(*t->buckets));
	if (!t->buckets)
		return -ENOMEM;
	t->bucket_mask = n - 1;
	for (uint32_t i = 0; i < n; i++)
		list_init(&t->buckets[i]);
	list_init(&t->lru);
	t->incomplete_max = limit < 2 ? 1 : limit / 2;
	list_init(&t->retrans);
	list_init(&t->delays);
	list_init(&t->actions);
	pool_init(&t->pool, mem, sizeof(struct neigh), _Alignof(struct neigh), limit, SLAB_SIZE);
	return 0;
}

void neigh_destroy(struct neigh_table *t)
{
	if (!t->buckets)
		return;
	pool_destroy(&t->pool);
	mem_release(t->mem, t->buckets, (t->bucket_mask + 1) * sizeof(*t->buckets));
	t->buckets = NULL;
}

static struct list *bucket(const struct neigh_table *t, int ifindex, const struct cpl_addr *addr)
{
	uint8_t key[17];

	memcpy(key, addr->b, 16);
	key[16] = (uint8_t)ifindex;
	return &t->buckets[siphash13(&t->key, key, sizeof(key)) & t->bucket_mask];
}

struct neigh *neigh_find(struct neigh_table *t, int ifindex, const struct cpl_addr *addr)
{
	struct list *head, *pos;

	/* What leaves often goes where the last went. */
	if (t->met && t->met->ifindex == ifindex && cpl_addr_equal(&t->met->addr, addr))
		return t->met;
	head = bucket(t, ifindex, addr);
	list_for_each (pos, head) {
		struct neigh *n = container_of(pos, struct neigh, link);

		if (n->ifindex == ifindex && cpl_addr_equal(&n->addr, addr)) {
			t->met = n;
			return n;
		}
	}
	return NULL;
}

static void forget(struct neigh_table *t, struct neigh *n)
{
	ASSERT(list_empty(&n->waiting));
	if (t->met == n)
		t->met = NULL;
	t->incomplete_n -= n->state == NEIGH_INCOMPLETE;
	list_del(&n->link);
	list_del(&n->lru);
	list_del(&n->timer);
	list_del(&n->acting);
	pool_free(&t->pool, n);
}

/* Those that are being resolved or polled, and static ones, are not on the list. */
static bool evict(struct neigh_table *t, uint64_t now)
{
	struct list *pos;

	list_for_each (pos, &t->lru) {
		struct neigh *n = container_of(pos, struct neigh, lru);

		if (n->waiting_n)
			continue; /* its packets are about to be taken */
		if (n->asked && now - n->asked < NEIGH_RETRANS_NS)
			continue; /* a new entry would ask at once: RFC 1122 2.3.2.1 */
		forget(t, n);
		return true;
	}
	return false;
}

static struct neigh *entry_new(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
			       uint64_t now)
{
	struct neigh *n = pool_alloc(&t->pool, NULL);

	if (!n && evict(t, now))
		n = pool_alloc(&t->pool, NULL);
	if (!n)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->addr = *addr;
	n->ifindex = (uint8_t)ifindex;
	n->deadline = UINT64_MAX;
	n->state = NEIGH_FAILED; /* until it enters its first */
	list_init(&n->lru);
	list_init(&n->timer);
	list_init(&n->waiting);
	list_init(&n->acting);
	list_push_back(bucket(t, ifindex, addr), &n->link);
	return n;
}

/* ---- States --------------------------------------------------------------------------------- */

static bool has_mac(const struct neigh *n)
{
	return n->state != NEIGH_INCOMPLETE && n->state != NEIGH_FAILED;
}

static void act(struct neigh_table *t, struct neigh *n, enum neigh_action action)
{
	n->actions |= (uint8_t)(1u << action);
	if (!list_linked(&n->acting))
		list_push_back(&t->actions, &n->acting);
}

/* The one place where an entry changes state: its timer and its place among the evictable follow.
 */
static void enter(struct neigh_table *t, struct neigh *n, enum neigh_state state, uint64_t now)
{
	t->incomplete_n -= n->state == NEIGH_INCOMPLETE;
	n->state = (uint8_t)state;
	n->probes = 0;
	n->deadline = UINT64_MAX;
	list_del(&n->timer);
	list_del(&n->lru);
	switch (state) {
	case NEIGH_INCOMPLETE:
		t->incomplete_n++;
		/* fall through */
	case NEIGH_PROBE:
		n->deadline = now + NEIGH_RETRANS_NS;
		list_push_back(&t->retrans, &n->timer);
		return;
	case NEIGH_DELAY:
		n->deadline = now + NEIGH_DELAY_NS;
		list_push_back(&t->delays, &n->timer);
		break;
	case NEIGH_REACHABLE:
		/* RFC 4861 6.3.2: uniform from 0.5 to 1.5 times the base */
		n->deadline =
			now + NEIGH_REACHABLE_NS / 2 + prng_below(t->prng, NEIGH_REACHABLE_NS + 1);
		break;
	case NEIGH_STALE:
		break;
	case NEIGH_FAILED:
		list_push_front(&t->lru, &n->lru);
		return;
	}
	if (!n->is_static)
		list_push_back(&t->lru, &n->lru);
}

/* Send one more solicitation; the timer, which has just run out or started, runs on. */
static void solicit(struct neigh_table *t, struct neigh *n, uint64_t now)
{
	n->probes++;
	n->asked = now;
	act(t, n, n->state == NEIGH_PROBE ? NEIGH_SOLICIT_UNICAST : NEIGH_SOLICIT_MULTICAST);
}

static void resolve(struct neigh_table *t, struct neigh *n, uint64_t now)
{
	enter(t, n, NEIGH_INCOMPLETE, now);
	solicit(t, n, now);
}

static void fail(struct neigh_table *t, struct neigh *n, uint64_t now)
{
	enter(t, n, NEIGH_FAILED, now);
	n->actions = 0;
	list_del(&n->acting);
	if (n->waiting_n)
		act(t, n, NEIGH_FAIL);
}

/* MAC is N's address, as of now; STATE follows. */
static void learn(struct neigh_table *t, struct neigh *n, const uint8_t mac[6],
		  enum neigh_state state, uint64_t now)
{
	memcpy(n->mac, mac, 6);
	n->updated = now;
	enter(t, n, state, now);
	n->actions = 0;
	list_del(&n->acting);
	if (n->waiting_n)
		act(t, n, NEIGH_FLUSH);
}

static void confirmed(struct neigh_table *t, struct neigh *n, uint64_t now)
{
	enter(t, n, NEIGH_REACHABLE, now);
	n->actions &= (uint8_t) ~(1u << NEIGH_SOLICIT_UNICAST);
	if (!n->actions)
		list_del(&n->acting);
}

enum neigh_state neigh_state(const struct neigh *n, uint64_t now)
{
	if (n->state == NEIGH_REACHABLE && !n->is_static && now >= n->deadline)
		return NEIGH_STALE;
	return n->state;
}

/* ---- Use ------------------------------------------------------------------------------------ */

struct neigh *neigh_get(struct neigh_table *t, int ifindex, const struct cpl_addr *addr, bool ours,
			uint64_t now)
{
	struct neigh *n = neigh_find(t, ifindex, addr);

	if (n)
		return n;
	if (t->incomplete_n >= t->incomplete_max + (ours ? t->incomplete_max / 2 : 0))
		return NULL;
	n = entry_new(t, ifindex, addr, now);
	if (n)
		resolve(t, n, now);
	return n;
}

bool neigh_use(struct neigh_table *t, struct neigh *n, uint64_t now)
{
	switch (neigh_state(n, now)) {
	case NEIGH_INCOMPLETE:
		return false;
	case NEIGH_FAILED:
		resolve(t, n, now); /* a second after the last request at the earliest */
		return false;
	case NEIGH_STALE:
		enter(t, n, NEIGH_DELAY, now);
		return true;
	case NEIGH_REACHABLE:
	case NEIGH_DELAY:
		if (!n->is_static && t->lru.prev != &n->lru) {
			list_del(&n->lru);
			list_push_back(&t->lru, &n->lru);
		}
		return true;
	case NEIGH_PROBE:
		return true;
	}
	return false;
}

void neigh_wait(struct neigh_table *t, struct neigh *n, struct list *packet, struct list **dropped)
{
	*dropped = NULL;
	if (!t->queue_limit) {
		*dropped = packet;
		return;
	}
	if (n->waiting_n == t->queue_limit)
		*dropped = neigh_take_waiting(n);
	list_push_back(&n->waiting, packet);
	n->waiting_n++;
	if (has_mac(n))
		act(t, n, NEIGH_FLUSH);
}

struct list *neigh_take_waiting(struct neigh *n)
{
	struct list *packet = n->waiting.next;

	if (list_empty(&n->waiting))
		return NULL;
	list_del(packet);
	n->waiting_n--;
	return packet;
}

/* ---- What was heard ------------------------------------------------------------------------- */

/* Neither a group's nor nobody's. */
static bool mac_is_station(const uint8_t mac[6])
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, 6) != 0;
}

static bool mac_is(const struct neigh *n, const uint8_t mac[6])
{
	return memcmp(n->mac, mac, 6) == 0;
}

/* An entry for somebody who spoke first: RFC 4861 7.2.3, RFC 826. */
static void heard_new(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
		      const uint8_t mac[6], uint64_t now)
{
	struct neigh *n = addr_is_source(addr) ? entry_new(t, ifindex, addr, now) : NULL;

	if (n)
		learn(t, n, mac, NEIGH_STALE, now);
}

void neigh_heard_arp(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
		     const uint8_t mac[6], bool for_us, bool is_reply, uint64_t now)
{
	struct neigh *n = neigh_find(t, ifindex, addr);
	bool answers = for_us && is_reply;

	if (!mac_is_station(mac) || (n && n->is_static))
		return;
	if (!n) {
		if (for_us && !is_reply)
			heard_new(t, ifindex, addr, mac, now);
	} else if (!has_mac(n)) {
		learn(t, n, mac, answers ? NEIGH_REACHABLE : NEIGH_STALE, now);
	} else if (mac_is(n, mac)) {
		if (answers)
			confirmed(t, n, now);
	} else if (now - n->updated >= NEIGH_ARP_LOCK_NS) {
		learn(t, n, mac, answers ? NEIGH_REACHABLE : NEIGH_STALE, now);
	}
}

void neigh_heard_solicit(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
			 const uint8_t mac[6], uint64_t now)
{
	struct neigh *n = neigh_find(t, ifindex, addr);

	if (!mac_is_station(mac) || (n && n->is_static))
		return;
	if (!n)
		heard_new(t, ifindex, addr, mac, now);
	else if (!has_mac(n) || !mac_is(n, mac))
		learn(t, n, mac, NEIGH_STALE, now);
}

void neigh_heard_advert(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
			const uint8_t *mac, bool router, bool solicited, bool override,
			uint64_t now)
{
	struct neigh *n = neigh_find(t, ifindex, addr);
	bool other;

	/* No entry, or one that was given up: nothing to update (RFC 4861 7.2.5). */
	if (!n || n->is_static || n->state == NEIGH_FAILED || (mac && !mac_is_station(mac)))
		return;
	if (n->state == NEIGH_INCOMPLETE) {
		n->router = router;
		if (mac)
			learn(t, n, mac, solicited ? NEIGH_REACHABLE : NEIGH_STALE, now);
		return;
	}
	other = mac && !mac_is(n, mac);
	if (other && !override) {
		if (neigh_state(n, now) == NEIGH_REACHABLE)
			enter(t, n, NEIGH_STALE, now);
		return;
	}
	n->router = router;
	if (other)
		learn(t, n, mac, solicited ? NEIGH_REACHABLE : NEIGH_STALE, now);
	else if (solicited)
		confirmed(t, n, now);
}

void neigh_confirm(struct neigh_table *t, int ifindex, const struct cpl_addr *addr, uint64_t now)
{
	struct neigh *n = neigh_find(t, ifindex, addr);

	if (!n || !has_mac(n) || n->is_static)
		return;
	/* Called for each ACK: what stays within the range of a fresh draw is let alone. */
	if (n->state == NEIGH_REACHABLE && n->deadline >= now + NEIGH_REACHABLE_NS / 2)
		return;
	confirmed(t, n, now);
}

void neigh_suspect(struct neigh_table *t, int ifindex, const struct cpl_addr *addr, uint64_t now)
{
	struct neigh *n = neigh_find(t, ifindex, addr);

	if (n && !n->is_static && n->state == NEIGH_REACHABLE)
		enter(t, n, NEIGH_STALE, now);
}

int neigh_add_static(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
		     const uint8_t mac[6], uint64_t now)
{
	struct neigh *n;

	if (!mac_is_station(mac))
		return -EINVAL;
	n = neigh_find(t, ifindex, addr);
	if (!n)
		n = entry_new(t, ifindex, addr, now);
	if (!n)
		return -ENOMEM;
	n->is_static = true;
	learn(t, n, mac, NEIGH_REACHABLE, now);
	n->deadline = UINT64_MAX;
	return 0;
}

void neigh_flush_iface(struct neigh_table *t, int ifindex)
{
	for (uint32_t i = 0; i <= t->bucket_mask; i++) {
		struct list *pos, *next;

		list_for_each_safe (pos, next, &t->buckets[i]) {
			struct neigh *n = container_of(pos, struct neigh, link);

			if (n->ifindex != ifindex)
				continue;
			n->is_static = false;
			if (n->waiting_n)
				fail(t, n, 0);
			else
				forget(t, n);
		}
	}
}

/* ---- Time and actions ----------------------------------------------------------------------- */

static uint64_t first_deadline(const struct list *timers)
{
	return list_empty(timers) ? UINT64_MAX : list_first(timers, struct neigh, timer)->deadline;
}

uint64_t neigh_deadline(const struct neigh_table *t)
{
	uint64_t a = first_deadline(&t->retrans), b = first_deadline(&t->delays);

	return a < b ? a : b;
}

/* The retransmission timer ran out: RFC 4861 7.2.2 and 7.3.3. */
static void retransmit(struct neigh_table *t, struct neigh *n, uint64_t now)
{
	bool crowded = n->state == NEIGH_INCOMPLETE && t->incomplete_n >= t->incomplete_max;

	if (crowded || n->probes >= NEIGH_SOLICITS) {
		fail(t, n, now);
		return;
	}
	n->deadline = now + NEIGH_RETRANS_NS;
	list_del(&n->timer);
	list_push_back(&t->retrans, &n->timer);
	solicit(t, n, now);
}

void neigh_advance(struct neigh_table *t, uint64_t now)
{
	while (first_deadline(&t->delays) <= now) {
		struct neigh *n = list_first(&t->delays, struct neigh, timer);

		enter(t, n, NEIGH_PROBE, now);
		solicit(t, n, now);
	}
	while (first_deadline(&t->retrans) <= now)
		retransmit(t, list_first(&t->retrans, struct neigh, timer), now);
}

struct neigh *neigh_next_action(struct neigh_table *t, enum neigh_action *action)
{
	struct neigh *n;
	unsigned bit;

	*action = NEIGH_NOTHING;
	if (list_empty(&t->actions))
		return NULL;
	n = list_first(&t->actions, struct neigh, acting);
	ASSERT(n->actions);
	bit = (unsigned)__builtin_ctz(n->actions);
	n->actions &= (uint8_t) ~(1u << bit);
	if (!n->actions)
		list_del(&n->acting);
	*action = (enum neigh_action)bit;
	return n;
}

bool neigh_has_action(const struct neigh_table *t)
{
	return !list_empty(&t->actions);
}
