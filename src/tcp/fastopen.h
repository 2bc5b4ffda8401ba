/* SPDX-License-Identifier: MIT */
/*
 * What a stack keeps for TCP Fast Open (RFC 7413): the keys of its own cookies, the cookies of
 * other hosts, whether it has been switched off for a while, and the connections whose handshake is
 * not done. What is done with it stands in tcp.h.
 */
#ifndef TCP_FASTOPEN_H
#define TCP_FASTOPEN_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/pool.h"
#include "wire/tcp.h"

struct tcb;

/* What is known of a server, as seen from one of our addresses (4.1.3). */
struct fastopen_entry {
	struct cpl_addr local, remote;
	struct tcp_cookie cookie; /* len 0: none */
	uint16_t mss;		  /* that it announced; 0: not known */
	uint8_t try_exp;	  /* the standard's option brought none: 1: try the experiment's, */
				  /* 2: that did not either */
	uint8_t syn_losses;	  /* SYNs with data in a row that seem to have been lost */
	uint32_t used;		  /* larger is later; 0: no entry */
	uint64_t last_loss;
};

/* Sets of a few entries each, in memory that comes with the first. */
struct fastopen_cache {
	struct mem *mem;
	struct siphash_key key;
	struct fastopen_entry *entries;
	uint32_t entries_n; /* a power of 2 */
	uint32_t clock;
};

void fastopen_cache_init(struct fastopen_cache *c, struct mem *mem, const struct siphash_key *key,
			 uint32_t limit);
void fastopen_cache_destroy(struct fastopen_cache *c);
/* NULL: nothing is known. Valid until the next call. */
struct fastopen_entry *fastopen_cache_get(struct fastopen_cache *c, const struct cpl_addr *local,
					  const struct cpl_addr *remote);
/* The same, but made if there is none; NULL: no memory, or no cache at all. */
struct fastopen_entry *fastopen_cache_put(struct fastopen_cache *c, const struct cpl_addr *local,
					  const struct cpl_addr *remote);

/* A connection that was accepted at its SYN; or, for a minute, one that a RST ended (5.1). */
struct fastopen_pending {
	struct list link;     /* of its listener */
	struct tcb *listener; /* NULL: closed */
	struct tcb *child;    /* NULL: ended */
	uint64_t until;
};

struct fastopen {
	struct siphash_key key[2]; /* the second: for cookies made with the key before */
	unsigned keys_n;
	struct fastopen_cache cache;
	struct pool pending;
	uint64_t disabled_at; /* active Fast Open was switched off */
	uint32_t disabled_n;  /* so many times since it last worked */
};

void fastopen_set_key(struct siphash_key *key, const uint8_t octets[16]);
/* The cookie for a client (4.1.2): as Linux makes it. */
void fastopen_make_cookie(const struct siphash_key *key, const struct cpl_addr *client,
			  const struct cpl_addr *server, struct tcp_cookie *cookie);

#endif
