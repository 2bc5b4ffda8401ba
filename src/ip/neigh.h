/* SPDX-License-Identifier: MIT */
/*
 * The neighbour cache of a stack, for ARP (RFC 826, RFC 1122 2.3.2) and Neighbour Discovery (RFC
 * 4861 7.3): states, timers, a bounded queue of waiting packets. It decides; the stack sends what
 * neigh_next_action() says.
 */
#ifndef IP_NEIGH_H
#define IP_NEIGH_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/pool.h"

#define NEIGH_RETRANS_NS   (1ull * 1000000000ull) /* RFC 4861 10, RFC 1122 2.3.2.1 */
#define NEIGH_DELAY_NS	   (5ull * 1000000000ull)
#define NEIGH_REACHABLE_NS (30ull * 1000000000ull) /* times 0.5 to 1.5 */
#define NEIGH_ARP_LOCK_NS  (1ull * 1000000000ull)  /* as Linux: the first of two answers wins */
#define NEIGH_SOLICITS	   3			   /* multicast, then unicast */

enum neigh_state {
	NEIGH_INCOMPLETE,
	NEIGH_REACHABLE, /* until its deadline: then it is STALE, for neigh_state() and neigh_use()
			  */
	NEIGH_STALE,
	NEIGH_DELAY,
	NEIGH_PROBE,
	NEIGH_FAILED, /* asked in vain: answers -EHOSTUNREACH until it is asked again */
};

/*
 * One neighbour. Valid until the next call that may make an entry (neigh_get(), neigh_heard_*(),
 * neigh_add_static()) or neigh_flush_iface().
 */
struct neigh {
	struct list link;    /* hash chain */
	struct list lru;     /* only while it may be evicted */
	struct list timer;   /* on neigh_table.retrans or .delays */
	struct list waiting; /* packets, by their own struct list; the stack owns them */
	struct list acting;  /* on neigh_table.actions */
	struct cpl_addr addr;
	uint64_t deadline; /* ns; UINT64_MAX: none */
	uint64_t updated;  /* when mac was last set */
	uint64_t asked;	   /* when it was last asked for; 0: never */
	uint32_t waiting_n;
	uint8_t mac[6];
	uint8_t ifindex;
	uint8_t state;	 /* enum neigh_state */
	uint8_t probes;	 /* solicitations sent in this state */
	uint8_t actions; /* a bit for each enum neigh_action that waits to be carried out */
	bool router;
	bool is_static;
};

/* In the order in which neigh_next_action() tells them. */
enum neigh_action {
	NEIGH_NOTHING,
	NEIGH_FAIL,		 /* waiting packets must be dropped: unreachable */
	NEIGH_FLUSH,		 /* waiting packets can go: mac is known */
	NEIGH_SOLICIT_MULTICAST, /* broadcast ARP request, or NS to the solicited-node address */
	NEIGH_SOLICIT_UNICAST,
};

/*
 * The timers cost O(1): each runs for one of two constant times, so that two lists in the order of
 * starting are also in order of deadlines. That REACHABLE ends is seen when it is looked at.
 */
struct neigh_table {
	struct pool pool;
	struct siphash_key key;
	struct list *buckets;
	uint32_t bucket_mask;
	struct neigh *met;   /* found last; NULL: none */
	struct list lru;     /* least recently used first */
	struct list retrans; /* INCOMPLETE and PROBE */
	struct list delays;  /* DELAY */
	uint32_t incomplete_n, incomplete_max;
	struct list actions;
	uint32_t queue_limit;
	struct mem *mem;
	struct prng *prng;
};

/* LIMIT entries; QUEUE_LIMIT packets each. 0 or -ENOMEM. */
int neigh_init(struct neigh_table *t, struct mem *mem, const struct siphash_key *key,
	       struct prng *prng, uint32_t limit, uint32_t queue_limit);
void neigh_destroy(struct neigh_table *t);

/*
 * The entry for ADDR on IFINDEX, made (and asked for) if there is none: an entry that is not
 * being resolved, was not asked for within a second (so that a short cache does not break the limit
 * of one request a second) and has no packets waiting may be evicted for it, the least recently
 * used first. NULL: none can be had.
 *
 * Who is asked for in vain, forged addresses above all, must not keep out who answers (RFC 6583
 * 7.1): at most half of the entries are INCOMPLETE, those that failed go first, and while there are
 * as many as there may be each is asked for once, not three times. OURS: the packet is not an
 * answer to somebody who may not exist: for these there is a quarter more.
 */
struct neigh *neigh_get(struct neigh_table *t, int ifindex, const struct cpl_addr *addr, bool ours,
			uint64_t now);
struct neigh *neigh_find(struct neigh_table *t, int ifindex, const struct cpl_addr *addr);
/*
 * A packet is to be sent to N. Returns true if N's mac may be used now (it may start DELAY: RFC
 * 4861 7.3.3); false: the packet must wait, and the entry asks.
 */
bool neigh_use(struct neigh_table *t, struct neigh *n, uint64_t now);
/* It may, and nothing but the order of use changes. */
static inline bool neigh_in_use(const struct neigh *n, uint64_t now)
{
	if (n->state == NEIGH_REACHABLE)
		return n->is_static || now < n->deadline;
	return n->state == NEIGH_DELAY || n->state == NEIGH_PROBE;
}
/* The state at NOW. */
enum neigh_state neigh_state(const struct neigh *n, uint64_t now);
/*
 * Queue PACKET on N. When the queue is full the oldest packet comes back in *DROPPED (RFC
 * 4861 7.2.2), else NULL.
 */
void neigh_wait(struct neigh_table *t, struct neigh *n, struct list *packet, struct list **dropped);

/* What was heard. */
/*
 * ARP: a request or reply from ADDR. FOR_US: its target was an address of ours (RFC 826 merge
 * rule). What was not asked for makes no entry, unless it is a request to us. A mac that is no
 * station's is ignored, here and below.
 */
void neigh_heard_arp(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
		     const uint8_t mac[6], bool for_us, bool is_reply, uint64_t now);
/* NS with a source link-layer address (RFC 4861 7.2.3). */
void neigh_heard_solicit(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
			 const uint8_t mac[6], uint64_t now);
/* NA (RFC 4861 7.2.5). MAC NULL: without the option. */
void neigh_heard_advert(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
			const uint8_t *mac, bool router, bool solicited, bool override,
			uint64_t now);
/* Forward progress from above, e.g. new data was acknowledged (RFC 4861 7.3.1). */
void neigh_confirm(struct neigh_table *t, int ifindex, const struct cpl_addr *addr, uint64_t now);
/*
 * Backward progress: what was sent there is not acknowledged (RFC 1122 4.2.3.5 R1). What is
 * believed reachable is asked again before it is used much longer.
 */
void neigh_suspect(struct neigh_table *t, int ifindex, const struct cpl_addr *addr, uint64_t now);
/* 0, -EINVAL (mac is no station's) or -ENOMEM. */
int neigh_add_static(struct neigh_table *t, int ifindex, const struct cpl_addr *addr,
		     const uint8_t mac[6], uint64_t now);
/* Forget all of an interface: each entry with packets waiting gets NEIGH_FAIL. */
void neigh_flush_iface(struct neigh_table *t, int ifindex);

uint64_t neigh_deadline(const struct neigh_table *t);
void neigh_advance(struct neigh_table *t, uint64_t now);
/* The next entry with something to be done, what it is in *ACTION; NULL: none. */
struct neigh *neigh_next_action(struct neigh_table *t, enum neigh_action *action);
bool neigh_has_action(const struct neigh_table *t);
/* After NEIGH_FLUSH or NEIGH_FAIL, at once: take the waiting packets one by one, oldest first; or
 * NULL. */
struct list *neigh_take_waiting(struct neigh *n);

#endif
