/* SPDX-License-Identifier: MIT */
/*
 * Reassembly of fragments (RFC 791 3.2, RFC 8200 4.5): bounded memory, a packet with overlapping
 * fragments is dropped whole (RFC 5722, RFC 8200), and tiny or atomic fragments are taken as RFC
 * 6946 says. The oldest incomplete packet makes room when memory is short.
 */
#ifndef IP_REASM_H
#define IP_REASM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/pool.h"
#include "wire/ip.h"

enum reasm_verdict {
	REASM_KEPT,	 /* waits for more */
	REASM_COMPLETE,	 /* *PACKET holds the whole, until reasm_release() */
	REASM_BAD,	 /* malformed (not a multiple of 8, past 65,535): dropped */
	REASM_OVERLAP,	 /* all of this packet was dropped, and what still comes will be */
	REASM_NO_MEMORY, /* this fragment was dropped, and all of its packet */
};

#define REASM_WHOLES 4

struct reasm_packet;

struct reasm {
	struct mem *mem;
	struct siphash_key key;
	struct pool packets;
	struct pool pages;  /* pieces of the data of incomplete packets */
	struct pool wholes; /* complete packets, not yet released */
	struct list *buckets;
	uint32_t bucket_mask;
	struct list by_age[2];	     /* incomplete packets, oldest first: IPv4, IPv6 */
	uint64_t bytes, bytes_limit; /* incomplete packets, at the true size of their memory */
	uint64_t time4_ns, time6_ns;
	uint64_t evicted; /* incomplete packets dropped to make room; the caller may zero it */
	/*
	 * Why the last verdict was REASM_BAD. An IPv6 source is told, by ICMPv6 parameter problem
	 * (RFC 8200 4.5; code 3: RFC 7112 5), unless silent.
	 */
	struct ip_problem problem;
};

/* What timed out, for an ICMP time exceeded (code 1): only if the first fragment had come. */
struct reasm_expired {
	uint8_t quote[128]; /* start of the first fragment, IP header included */
	uint32_t quote_len;
	bool ipv6;
	uint8_t ifindex;
};

/* TIME_NS 0: 30 s for IPv4 (as Linux), 60 s for IPv6 (RFC 8200 4.5). 0 or -ENOMEM. */
int reasm_init(struct reasm *r, struct mem *mem, const struct siphash_key *key,
	       uint64_t bytes_limit, uint64_t time_ns);
void reasm_destroy(struct reasm *r);
/*
 * A fragment: P is the whole packet, H its parsed header (h->fragment). On REASM_COMPLETE *PACKET
 * and *LEN are a packet with one IP header, no fragment fields, ready for ip_parse(); at most
 * REASM_WHOLES of them exist at a time. P may be such a packet itself (RFC 8200: nested fragment
 * headers).
 */
enum reasm_verdict reasm_add(struct reasm *r, int ifindex, const uint8_t *p, const struct ip_hdr *h,
			     uint64_t now, const uint8_t **packet, uint32_t *len,
			     struct reasm_packet **handle);
void reasm_release(struct reasm *r, struct reasm_packet *handle);
uint64_t reasm_deadline(const struct reasm *r);
/* Drop one packet that is overdue at NOW. False: none. EXPIRED->quote_len 0: say nothing. */
bool reasm_expire(struct reasm *r, uint64_t now, struct reasm_expired *expired);

#endif
