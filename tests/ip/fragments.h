/* SPDX-License-Identifier: MIT */
/*
 * For the tests of reassembly: fragments made from a few words, added as the stack would after
 * ip_parse(), and the packet that comes out.
 */
#ifndef TESTS_IP_FRAGMENTS_H
#define TESTS_IP_FRAGMENTS_H

#include <string.h>

#include "ip/reasm.h"
#include "tests/util/heap.h"
#include "wire/bytes.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SECOND	      1000000000ull
#define LIMIT	      (256u * 1024)

static struct heap heap;
static struct reasm r;
static uint64_t now;
static uint8_t pattern[70000];

static inline int setup(void **state)
{
	struct siphash_key key = { { 5, 6 } };

	(void)state;
	heap_init(&heap, 1 << 23);
	now = SECOND;
	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 256);
	return reasm_init(&r, &heap.mem, &key, LIMIT, 0);
}

static inline int teardown(void **state)
{
	(void)state;
	reasm_destroy(&r);
	return heap.slabs || heap.mem.used ? -1 : 0;
}

/* A fragment to be made. */
struct piece {
	bool ipv6;
	uint32_t id;
	uint32_t off, len;
	bool more;
	uint8_t tos;
	uint8_t protocol; /* 0: 253, experimental: no header is expected inside */
	uint8_t host;
	unsigned ext;	     /* IPv6: octets of destination options before the fragment header */
	const uint8_t *data; /* NULL: the pattern */
	unsigned options;    /* IPv4 */
};

static inline uint32_t piece_build(const struct piece *f, uint8_t *p)
{
	static const uint8_t nops[40] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
					  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
					  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
	const uint8_t *data = f->data ? f->data : pattern + f->off;
	uint8_t protocol = f->protocol ? f->protocol : 253;
	struct ip_hdr h = {
		.src = cpl_addr4(192, 0, 2, f->host),
		.dst = cpl_addr4(192, 0, 2, 200),
		.version = f->ipv6 ? 6 : 4,
		.tos = f->tos,
		.ttl = 64,
		.protocol = protocol,
		.id = f->id,
		.frag_off = f->off,
		.more_frags = f->more,
		.options = nops,
		.options_len = (uint8_t)f->options,
	};
	uint32_t at;

	if (!f->ipv6) {
		h.len = IPV4_HLEN + f->options + f->len;
		at = ip_build(p, &h);
		memcpy(p + at, data, f->len);
		return h.len;
	}
	h.src = (struct cpl_addr){ { 0x20, 1, 0xd, 0xb8, [15] = f->host } };
	h.dst = (struct cpl_addr){ { 0x20, 1, 0xd, 0xb8, [15] = 200 } };
	h.len = IPV6_HLEN + f->ext + IPV6_FRAG_HLEN + f->len;
	h.protocol = f->ext ? 60 : 44;
	at = ip_build(p, &h);
	if (f->ext) {
		memset(p + at, 0, f->ext); /* Pad1 options */
		p[at] = 44;
		p[at + 1] = (uint8_t)(f->ext / 8 - 1);
		at += f->ext;
	}
	ip6_frag_build(p + at, protocol, f->off, f->more, f->id);
	memcpy(p + at + IPV6_FRAG_HLEN, data, f->len);
	return h.len;
}

static const uint8_t *whole;
static uint32_t whole_len;
static struct reasm_packet *handle;
static uint8_t built[70000];

static inline enum reasm_verdict add(const struct piece *f)
{
	struct ip_problem problem;
	struct ip_hdr h;
	uint32_t len = piece_build(f, built);

	assert_int_equal(ip_parse(built, len, &h, &problem), IP_OK);
	assert_true(h.fragment);
	return reasm_add(&r, 1, built, &h, now, &whole, &whole_len, &handle);
}

/* What came out is a packet that carries DATA; it is given back. */
static inline struct ip_hdr check_whole(const uint8_t *data, uint32_t len)
{
	struct ip_problem problem;
	struct ip_hdr h;

	assert_int_equal(ip_parse(whole, whole_len, &h, &problem), IP_OK);
	assert_false(h.fragment);
	assert_int_equal(h.len, whole_len);
	assert_int_equal(h.len - h.hlen, len);
	assert_memory_equal(whole + h.hlen, data, len);
	reasm_release(&r, handle);
	return h;
}

static inline void all_free(void)
{
	assert_int_equal(r.bytes, 0);
	assert_int_equal(r.packets.in_use, 0);
	assert_int_equal(r.pages.in_use, 0);
	assert_int_equal(r.wholes.in_use, 0);
	assert_true(reasm_deadline(&r) == UINT64_MAX);
}

#endif
