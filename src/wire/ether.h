/* SPDX-License-Identifier: MIT */
/* Ethernet II frames and ARP for IPv4 over Ethernet (RFC 826). */
#ifndef WIRE_ETHER_H
#define WIRE_ETHER_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#define ETHER_HLEN  14
#define ETHER_IPV4  0x0800
#define ETHER_ARP   0x0806
#define ETHER_IPV6  0x86dd
#define ARP_LEN	    28
#define ARP_REQUEST 1
#define ARP_REPLY   2

struct ether_hdr {
	uint8_t dst[6];
	uint8_t src[6];
	uint16_t type;
};

struct arp_pkt {
	uint16_t op;
	uint8_t sha[6];
	struct cpl_addr spa; /* IPv4 */
	uint8_t tha[6];
	struct cpl_addr tpa; /* IPv4 */
};

/* False: shorter than a header. */
bool ether_parse(const uint8_t *p, uint32_t len, struct ether_hdr *h);
void ether_build(uint8_t p[ETHER_HLEN], const struct ether_hdr *h);
/* P: what follows the Ethernet header. False: not ARP for IPv4 over Ethernet, or too short. */
bool arp_parse(const uint8_t *p, uint32_t len, struct arp_pkt *a);
void arp_build(uint8_t p[ARP_LEN], const struct arp_pkt *a);
/* The group address that a multicast IP address maps to (RFC 1112 6.4, RFC 2464 7). */
void ether_multicast(uint8_t mac[6], const struct cpl_addr *group);

static inline bool ether_is_group(const uint8_t mac[6])
{
	return mac[0] & 1;
}

#endif
