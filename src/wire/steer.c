/* SPDX-License-Identifier: MIT */
#include "wire/steer.h"

#include "wire/bytes.h"
#include "wire/ether.h"
#include "wire/icmp.h"
#include "wire/ip.h"

#define TABLE 128u

/* The hash of N octets that stand AT octets into the input. */
static uint32_t toeplitz(const uint8_t key[STEER_KEY_LEN], unsigned at, const uint8_t *p,
			 unsigned n)
{
	uint32_t hash = 0;

	for (unsigned i = 0; i < n; i++) {
		uint64_t window = (uint64_t)get32(key + at + i) << 8 | key[at + i + 4];

		for (unsigned bit = 0; bit < 8; bit++)
			hash ^= (uint32_t)(window >> (8 - bit)) & (0u - (p[i] >> (7 - bit) & 1u));
	}
	return hash;
}

uint32_t steer_hash2(const uint8_t key[STEER_KEY_LEN], const struct cpl_addr *src,
		     const struct cpl_addr *dst)
{
	unsigned skip = cpl_addr_is4(src) ? 12 : 0, n = 16 - skip;

	return toeplitz(key, 0, src->b + skip, n) ^ toeplitz(key, n, dst->b + skip, n);
}

uint32_t steer_hash_ports(const uint8_t key[STEER_KEY_LEN], bool ipv4, uint16_t sport,
			  uint16_t dport)
{
	uint8_t p[4];

	put16(p, sport);
	put16(p + 2, dport);
	return toeplitz(key, ipv4 ? 8 : 32, p, sizeof(p));
}

unsigned steer_core(uint32_t hash, unsigned cores)
{
	return hash % TABLE % cores;
}

/* What the message quotes was sent by us; false: it is no error. */
static bool quoted(const struct ip_hdr *h, const uint8_t *p, uint32_t len, struct icmp_quote *quote)
{
	bool four = h->version == 4;
	struct icmp_msg m;

	if (four ? !icmp4_parse(p, len, &m) : !icmp6_parse(p, len, &h->src, &h->dst, &m))
		return false;
	if (four ? m.type == ICMP4_ECHO || m.type == ICMP4_ECHO_REPLY : m.type >= ICMP6_ECHO)
		return false;
	return icmp_quote_parse(m.body, m.body_len, !four, quote) &&
	       (quote->protocol == IP_TCP || quote->protocol == IP_UDP);
}

static bool is_neighbour_discovery(const uint8_t *p, uint32_t len)
{
	return len && p[0] >= ICMP6_RS && p[0] <= ICMP6_REDIRECT;
}

/* P: what follows the headers of H. */
static uint32_t flow_hash(const uint8_t key[STEER_KEY_LEN], const struct ip_hdr *h,
			  const uint8_t *p, uint32_t len)
{
	bool four = h->version == 4;
	struct icmp_quote quote;

	if ((h->protocol == IP_TCP || h->protocol == IP_UDP) && len >= 4)
		return steer_hash2(key, &h->src, &h->dst) ^
		       steer_hash_ports(key, four, get16(p), get16(p + 2));
	if (h->protocol == (four ? IP_ICMP : IP_ICMP6) && quoted(h, p, len, &quote))
		return steer_hash2(key, &quote.dst, &quote.src) ^
		       steer_hash_ports(key, four, quote.dport, quote.sport);
	return steer_hash2(key, &h->src, &h->dst);
}

int steer_frame(const uint8_t key[STEER_KEY_LEN], unsigned cores, bool ether, const uint8_t *p,
		uint32_t len)
{
	struct ip_problem problem;
	struct ether_hdr eth;
	struct ip_hdr h;

	if (ether) {
		if (!ether_parse(p, len, &eth))
			return 0;
		if (eth.type == ETHER_ARP)
			return STEER_ALL;
		p += ETHER_HLEN;
		len -= ETHER_HLEN;
	}
	if (ip_parse(p, len, &h, &problem) != IP_OK)
		return 0;
	if (h.fragment ||
	    (h.protocol == IP_ICMP6 && is_neighbour_discovery(p + h.hlen, h.len - h.hlen)))
		return STEER_ALL;
	return (int)steer_core(flow_hash(key, &h, p + h.hlen, h.len - h.hlen), cores);
}
