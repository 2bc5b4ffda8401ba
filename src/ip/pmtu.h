/* SPDX-License-Identifier: MIT */
/*
 * The path MTU cache by destination (RFC 1191, RFC 8201): learned from ICMP, aged out after ten
 * minutes, bounded, the least recently used entry goes first.
 */
#ifndef IP_PMTU_H
#define IP_PMTU_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/pool.h"

#define PMTU_AGE_NS (600ull * 1000000000ull)

struct pmtu_cache {
	struct pool pool;
	struct mem *mem;
	struct siphash_key key;
	struct list *buckets;
	uint32_t bucket_mask;
	struct list lru;     /* last looked up last */
	struct list by_age;  /* last learned last */
	uint32_t generation; /* changes whenever an answer may have */
};

int pmtu_init(struct pmtu_cache *c, struct mem *mem, const struct siphash_key *key, uint32_t limit);
void pmtu_destroy(struct pmtu_cache *c);
/* The MTU to DST: at most LINK_MTU. */
uint32_t pmtu_get(struct pmtu_cache *c, const struct cpl_addr *dst, uint32_t link_mtu,
		  uint64_t now);
/*
 * A router says MTU. QUOTED_LEN: total length of the quoted packet, for an old router that says 0
 * (RFC 1191 5: the next plateau below it). Never below 552 for IPv4 (as Linux's min_pmtu); less
 * than 1280 is ignored for IPv6 (RFC 8201 4); never raised. Returns the MTU now in force, or 0 if
 * nothing changed: then the caller's own copy may still be older than the cache.
 */
uint32_t pmtu_learn(struct pmtu_cache *c, const struct cpl_addr *dst, uint32_t mtu,
		    uint32_t quoted_len, uint32_t link_mtu, uint64_t now);
/*
 * Forget what is ten minutes old (RFC 1191 6.3, RFC 8201 5.3), so that generation tells those who
 * keep an answer. pmtu_deadline(): when to call it next, or UINT64_MAX.
 */
uint64_t pmtu_deadline(const struct pmtu_cache *c);
void pmtu_advance(struct pmtu_cache *c, uint64_t now);

#endif
