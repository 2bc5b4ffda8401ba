/* SPDX-License-Identifier: MIT */
/* IPv4 (RFC 791, 1122 3.2) and IPv6 (RFC 8200) headers: bytes to struct ip_hdr and back. */
#ifndef WIRE_IP_H
#define WIRE_IP_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#define IP_ICMP	 1
#define IP_TCP	 6
#define IP_UDP	 17
#define IP_ICMP6 58

#define IPV4_HLEN      20
#define IPV4_DF	       0x4000u /* in the field of the fragment offset */
#define IPV6_HLEN      40
#define IPV6_FRAG_HLEN 8
#define IPV6_MTU_MIN   1280 /* RFC 8200 5: every link carries as much */
#define IPV4_SSRR      137
#define IPV4_LSRR      131

/* One packet's header, of either family. */
struct ip_hdr {
	struct cpl_addr src;
	struct cpl_addr dst;
	uint8_t version;   /* 4 or 6 */
	uint8_t tos;	   /* Diffserv and ECN */
	uint8_t ttl;	   /* or hop limit */
	uint8_t protocol;  /* of the payload, after all IPv6 extension headers */
	uint32_t flow;	   /* IPv6 flow label */
	uint32_t id;	   /* fragment identification */
	uint16_t hlen;	   /* all headers: the payload starts here */
	uint32_t len;	   /* whole packet, headers included */
	uint32_t frag_off; /* bytes */
	bool more_frags;
	bool dont_frag;		/* IPv4 DF */
	bool fragment;		/* more_frags or frag_off, or an IPv6 fragment header is there */
	uint16_t frag_hdr_off;	/* IPv6: offset of the fragment header, if there is one, else 0 */
	uint16_t frag_nh_off;	/* IPv6: offset of the octet that announces the fragment header */
	uint16_t nh_off;	/* IPv6: offset of the octet that names `protocol` */
	const uint8_t *options; /* IPv4 options inside the packet, or NULL */
	uint8_t options_len;
};

enum ip_verdict {
	IP_OK,
	IP_BAD_HEADER,	   /* version, header length, total length (drop_ip_header) */
	IP_BAD_CHECKSUM,   /* IPv4 header checksum */
	IP_BAD_OPTION,	   /* malformed option or extension header */
	IP_UNKNOWN_OPTION, /* an IPv6 option or header that asks for an answer: see problem */
};

struct ip_problem {
	uint8_t code;	    /* ICMPv6 parameter problem code: 0, 1, 2 (RFC 4443 3.4) */
	uint32_t pointer;   /* offset of the offending octet */
	bool multicast_too; /* answer even if the destination is multicast */
	bool silent;	    /* discard without an answer */
};

/*
 * LEN: bytes there are, which may exceed the packet (Ethernet padding). Walks IPv6 extension
 * headers (hop-by-hop, routing, destination options, fragment), at most 8. Unknown IPv4 options are
 * skipped (MUST-50).
 *
 * The walk ends at a fragment header, whichever fragment it is: then `protocol` and hlen are those
 * of what it carries, which may begin with more extension headers. The walk goes on when ip_parse()
 * sees the packet whole. An IPv6 header with an IPv4-mapped address is IP_BAD_HEADER: within the
 * stack it would pass for IPv4 (RFC 4942 2.2; Linux drops it too).
 *
 * *PROBLEM is written with IP_BAD_OPTION and IP_UNKNOWN_OPTION. Of IPv4, only the pointer counts
 * (RFC 1122 3.2.2.5). A next header that the stack does not speak is the caller's to answer: code
 * 1, nh_off.
 */
enum ip_verdict ip_parse(const uint8_t *p, uint32_t len, struct ip_hdr *h,
			 struct ip_problem *problem);
/*
 * Write an IPv4 header of 20 bytes plus h->options_len (a multiple of 4, copied from h->options),
 * or an IPv6 header of 40 (no extension headers); h->len is the whole packet. Returns the length.
 * IPv4: with its checksum; fragment fields are written from id, frag_off, more_frags, dont_frag.
 */
unsigned ip_build(uint8_t *p, const struct ip_hdr *h);
/* An IPv6 fragment header (RFC 8200 4.5). */
void ip6_frag_build(uint8_t p[IPV6_FRAG_HLEN], uint8_t next_header, uint32_t off, bool more,
		    uint32_t id);

/* IPv4: the loose or strict source route option, at its type, length and pointer; NULL: none. */
const uint8_t *ip_source_route(const struct ip_hdr *h);

/* What addresses are. */
bool addr_is_any(const struct cpl_addr *a); /* unspecified, of either family or both */
bool addr_is_multicast(const struct cpl_addr *a);
bool addr_is_loopback(const struct cpl_addr *a);
bool addr_is_link_local(const struct cpl_addr *a); /* IPv6 fe80::/10, IPv4 169.254/16 */
bool addr_is_broadcast(const struct cpl_addr *a);  /* 255.255.255.255 */
/* Can stand as the source of a packet that asks for an answer (RFC 1122 3.2.1.3, MUST-63). */
bool addr_is_source(const struct cpl_addr *a);
/* LEN in bits of the family: 0 to 32 for IPv4, 0 to 128. */
bool addr_in_prefix(const struct cpl_addr *a, const struct cpl_addr *prefix, unsigned len);
/* ff02::1:ffXX:XXXX (RFC 4291 2.7.1). */
struct cpl_addr addr_solicited_node(const struct cpl_addr *a);

#endif
