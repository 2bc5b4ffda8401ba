/* SPDX-License-Identifier: MIT */
/* UDP (RFC 768; RFC 8200 8.1: over IPv6 the checksum must be there). */
#ifndef WIRE_UDP_H
#define WIRE_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#define UDP_HLEN 8

struct udp_hdr {
	uint16_t sport, dport;
	uint16_t len; /* header and payload */
};

/* LEN: the IP payload. Verifies the checksum unless CSUM_OK. False: drop_udp_bad. */
bool udp_parse(const uint8_t *p, uint32_t len, const struct cpl_addr *src,
	       const struct cpl_addr *dst, bool csum_ok, struct udp_hdr *h);
/* Header with checksum over PAYLOAD, at most 65,527 bytes: h->len is not read. */
void udp_build(uint8_t p[UDP_HLEN], const struct udp_hdr *h, const struct cpl_addr *src,
	       const struct cpl_addr *dst, const uint8_t *payload, uint32_t payload_len);

#endif
