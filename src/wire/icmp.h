/* SPDX-License-Identifier: MIT */
/* ICMP (RFC 792, 1122 3.2.2), ICMPv6 (RFC 4443), messages of Neighbour Discovery (RFC 4861). */
#ifndef WIRE_ICMP_H
#define WIRE_ICMP_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#define ICMP_HLEN 8

/* Types and codes that the stack knows. */
#define ICMP4_ECHO_REPLY    0
#define ICMP4_UNREACHABLE   3
#define ICMP4_SOURCE_QUENCH 4
#define ICMP4_REDIRECT	    5
#define ICMP4_ECHO	    8
#define ICMP4_TIME_EXCEEDED 11
#define ICMP4_PARAMETER	    12
#define ICMP4_FRAG_NEEDED   4 /* code of unreachable */

#define ICMP6_UNREACHABLE   1
#define ICMP6_TOO_BIG	    2
#define ICMP6_TIME_EXCEEDED 3
#define ICMP6_PARAMETER	    4
#define ICMP6_ECHO	    128
#define ICMP6_ECHO_REPLY    129
#define ICMP6_RS	    133
#define ICMP6_RA	    134
#define ICMP6_NS	    135
#define ICMP6_NA	    136
#define ICMP6_REDIRECT	    137

struct icmp_msg {
	uint8_t type;
	uint8_t code;
	uint32_t rest;	     /* octets 4 to 7: id and sequence, MTU, pointer, ND flags */
	const uint8_t *body; /* after the first 8 octets */
	uint32_t body_len;
};

/* Verify the checksum (for ICMPv6 with the pseudo-header of SRC and DST) and split. */
bool icmp4_parse(const uint8_t *p, uint32_t len, struct icmp_msg *m);
bool icmp6_parse(const uint8_t *p, uint32_t len, const struct cpl_addr *src,
		 const struct cpl_addr *dst, struct icmp_msg *m);
/* Write header and body with the checksum; P has room for 8 + body_len. Returns the length. */
uint32_t icmp4_build(uint8_t *p, const struct icmp_msg *m);
uint32_t icmp6_build(uint8_t *p, const struct icmp_msg *m, const struct cpl_addr *src,
		     const struct cpl_addr *dst);
/* The header alone, with the checksum of it and of M's body, which goes elsewhere. */
void icmp4_header(uint8_t p[ICMP_HLEN], const struct icmp_msg *m);
void icmp6_header(uint8_t p[ICMP_HLEN], const struct icmp_msg *m, const struct cpl_addr *src,
		  const struct cpl_addr *dst);

/* What an error message quotes: the start of a packet of ours. Never read past the quote. */
struct icmp_quote {
	struct cpl_addr src, dst;
	uint8_t protocol;
	uint16_t sport, dport; /* of TCP or UDP */
	uint32_t seq;	       /* of TCP */
	uint32_t len;	       /* total length that the quoted IP header claims */
	uint32_t hlen;	       /* of the quoted IP headers */
};

/* False: the quote is too short or no packet. IPv6 extension headers are walked. */
bool icmp_quote_parse(const uint8_t *body, uint32_t len, bool ipv6, struct icmp_quote *q);

/* Neighbour solicitation or advertisement, from a parsed message. */
struct nd_msg {
	struct cpl_addr target;
	bool router, solicited, override; /* advertisement */
	bool has_mac;
	uint8_t mac[6]; /* source (NS) or target (NA) link-layer address option */
	bool has_nonce; /* RFC 7527, in a solicitation */
	uint8_t nonce[6];
};

/*
 * The checks of RFC 4861 7.1.1 and 7.1.2, all of them; HOP_LIMIT, SRC and DST of the packet.
 * False: discard (drop_nd_bad).
 */
bool nd_parse(const struct icmp_msg *m, uint8_t hop_limit, const struct cpl_addr *src,
	      const struct cpl_addr *dst, struct nd_msg *nd);
#define ND_LEN_MAX 32
/* The message body and rest for icmp6_build(): fills *M, whose body points to BODY. */
void nd_build(struct icmp_msg *m, uint8_t body[ND_LEN_MAX], uint8_t type, const struct nd_msg *nd);

#endif
