/* SPDX-License-Identifier: MIT */
/* Ethernet II headers and ARP (RFC 826, RFC 894), group addresses (RFC 1112 6.4, RFC 2464 7). No
 * state. */
#include "wire/ether.h"

#include "wire/bytes.h"

#define ARP_ETHERNET 1

bool ether_parse(const uint8_t *p, uint32_t len, struct ether_hdr *h)
{
	if (len < ETHER_HLEN)
		return false;
	memcpy(h->dst, p, 6);
	memcpy(h->src, p + 6, 6);
	h->type = get16(p + 12);
	return true;
}

void ether_build(uint8_t p[ETHER_HLEN], const struct ether_hdr *h)
{
	memcpy(p, h->dst, 6);
	memcpy(p + 6, h->src, 6);
	put16(p + 12, h->type);
}

bool arp_parse(const uint8_t *p, uint32_t len, struct arp_pkt *a)
{
	if (len < ARP_LEN)
		return false;
	if (get16(p) != ARP_ETHERNET || get16(p + 2) != ETHER_IPV4 || p[4] != 6 || p[5] != 4)
		return false;
	a->op = get16(p + 6);
	memcpy(a->sha, p + 8, 6);
	a->spa = cpl_addr4(p[14], p[15], p[16], p[17]);
	memcpy(a->tha, p + 18, 6);
	a->tpa = cpl_addr4(p[24], p[25], p[26], p[27]);
	return true;
}

void arp_build(uint8_t p[ARP_LEN], const struct arp_pkt *a)
{
	put16(p, ARP_ETHERNET);
	put16(p + 2, ETHER_IPV4);
	p[4] = 6;
	p[5] = 4;
	put16(p + 6, a->op);
	memcpy(p + 8, a->sha, 6);
	memcpy(p + 14, a->spa.b + 12, 4);
	memcpy(p + 18, a->tha, 6);
	memcpy(p + 24, a->tpa.b + 12, 4);
}

void ether_multicast(uint8_t mac[6], const struct cpl_addr *group)
{
	const uint8_t *b = group->b;

	if (cpl_addr_is4(group)) {
		mac[0] = 0x01;
		mac[1] = 0x00;
		mac[2] = 0x5e;
		mac[3] = b[13] & 0x7f;
	} else {
		mac[0] = 0x33;
		mac[1] = 0x33;
		mac[2] = b[12];
		mac[3] = b[13];
	}
	mac[4] = b[14];
	mac[5] = b[15];
}
