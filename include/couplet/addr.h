/* SPDX-License-Identifier: MIT */
/*
 * Addresses and endpoints, as every part of Couplet and every program that embeds it names them.
 *
 * One form holds both families: an IPv4 address is the IPv4-mapped IPv6 address ::ffff:a.b.c.d
 * (RFC 4291 section 2.5.5.2), so that nothing above the wire format asks which family it has.
 */
#ifndef COUPLET_ADDR_H
#define COUPLET_ADDR_H

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An IPv6 address, or an IPv4 address in mapped form; network byte order. All zero: "any". */
struct cpl_addr {
	uint8_t b[16];
};

/* An address and a port. ifindex is the scope of a link-local address; 0 elsewhere. */
struct cpl_endpoint {
	struct cpl_addr addr;
	uint16_t port; /* host byte order; 0: any */
	uint16_t reserved;
	uint32_t ifindex; /* as cpl_iface_add() returned it; 0: any */
};

/* The IPv4 address a.b.c.d. */
static inline struct cpl_addr cpl_addr4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	struct cpl_addr r = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d } };

	return r;
}

/* True if ADDR is an IPv4 address. The IPv4 "any" is ::ffff:0.0.0.0; all zero is "any" of both. */
static inline int cpl_addr_is4(const struct cpl_addr *addr)
{
	static const uint8_t mapped[4] = { 0, 0, 0xff, 0xff };
	uint64_t zero;
	uint32_t then, prefix;

	memcpy(&zero, addr->b, sizeof(zero));
	memcpy(&then, addr->b + 8, sizeof(then));
	memcpy(&prefix, mapped, sizeof(prefix));
	return zero == 0 && then == prefix;
}

static inline int cpl_addr_equal(const struct cpl_addr *a, const struct cpl_addr *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a->b, sizeof(x));
	memcpy(y, b->b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

/* Room for any address in text, with its terminating zero. */
#define CPL_ADDR_TEXT 48

/*
 * Text to address and back: dotted IPv4, or IPv6 as RFC 5952 writes it. cpl_addr_parse() returns 0,
 * or -EINVAL and leaves *ADDR alone. cpl_addr_text() returns the length written, at most
 * CPL_ADDR_TEXT - 1.
 */
int cpl_addr_parse(struct cpl_addr *addr, const char *text);
int cpl_addr_text(const struct cpl_addr *addr, char text[CPL_ADDR_TEXT]);

#ifdef __cplusplus
}
#endif
#endif
