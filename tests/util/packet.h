/* SPDX-License-Identifier: MIT */
/*
 * Whole packets for tests that put packets in and look at what comes out: built from the structs of
 * src/wire with all checksums right, taken apart again, and said in one line for a failure's
 * message.
 */
#ifndef TESTS_UTIL_PACKET_H
#define TESTS_UTIL_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <couplet/couplet.h>

#include "wire/ether.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/tcp.h"
#include "wire/udp.h"

/*
 * Build one IP packet at P, which has ROOM bytes (less than are needed: abort). Of *IP only what a
 * test cares about has to be there: version follows from src, ttl 0 is 64, protocol and lengths are
 * set here. Returns the packet's length.
 */
/* The payload is SEG's data and len. */
uint32_t packet_tcp(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct tcp_seg *seg);
/* The same with OPTIONS, N bytes (a multiple of 4, up to 40) of anything, instead of SEG's. */
uint32_t packet_tcp_raw(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct tcp_seg *seg,
			const uint8_t *options, unsigned n);
uint32_t packet_udp(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct udp_hdr *udp,
		    const void *payload, uint32_t len);
/* ICMP or ICMPv6, by the family of IP's source. */
uint32_t packet_icmp(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct icmp_msg *m);
/* An Ethernet frame around the packet P of LEN bytes, which may already stand at FRAME + 14. */
uint32_t packet_ether(uint8_t *frame, size_t room, const uint8_t src[6], const uint8_t dst[6],
		      const uint8_t *p, uint32_t len);

/* A test has changed octets of the IP packet P: make its checksums right again. */
void packet_fix(uint8_t *p, uint32_t len);

/* A frame of cpl_output() in one piece, its checksum completed. Not cut: gso_size is the caller's.
 */
uint32_t packet_gather(uint8_t *p, size_t room, const struct cpl_out *out);

/* What a frame turned out to be. */
enum packet_kind {
	PACKET_BAD, /* see `why` */
	PACKET_ARP,
	PACKET_TCP,
	PACKET_UDP,
	PACKET_ICMP,
	PACKET_FRAGMENT, /* only `ip` and the payload are looked at */
	PACKET_OTHER,	 /* another protocol over IP, or over Ethernet */
};

struct test_packet {
	enum packet_kind kind;
	const char *why; /* of PACKET_BAD: one sentence */
	bool has_ether;
	struct ether_hdr ether;
	struct arp_pkt arp;
	struct ip_hdr ip;
	struct cpl_addr final; /* ip.dst, or the last address of a source route that goes on */
	struct tcp_seg tcp;    /* its data and len are the payload */
	struct udp_hdr udp;
	struct icmp_msg icmp;
	const uint8_t
		*payload; /* what follows the transport header; of a fragment, the IP header */
	uint32_t payload_len;
};

/* Take a frame apart, into the frame. Returns what kind it is: PACKET_BAD if any checksum is wrong.
 */
enum packet_kind packet_parse(struct test_packet *t, const uint8_t *frame, uint32_t len,
			      bool ether);

/* One end of a connection: with it sequence numbers are relative to each end's first. */
struct packet_base {
	struct cpl_addr addr;
	uint16_t port;
	uint32_t iss; /* of this end */
	uint32_t irs; /* of the other */
};

#define PACKET_LINE 512

/* *T in one line, in the manner of tcpdump. BASE may be NULL. Returns TEXT. */
char *packet_text(char text[PACKET_LINE], const struct test_packet *t,
		  const struct packet_base *base);
/* Both steps, in static memory, which the fourth call after it overwrites. */
const char *packet_line(const uint8_t *frame, uint32_t len, bool ether,
			const struct packet_base *base);

#endif
