/* SPDX-License-Identifier: MIT */
/* The UDP header (RFC 768, RFC 1122 4.1.3.4, RFC 8200 8.1). No state. */
#include "wire/udp.h"

#include "base/assert.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"

bool udp_parse(const uint8_t *p, uint32_t len, const struct cpl_addr *src,
	       const struct cpl_addr *dst, bool csum_ok, struct udp_hdr *h)
{
	if (len < UDP_HLEN)
		return false;
	h->sport = get16(p);
	h->dport = get16(p + 2);
	h->len = get16(p + 4);
	if (h->len < UDP_HLEN || h->len > len)
		return false;
	if (csum_ok)
		return true;
	/* RFC 768: 0 is "no checksum", which RFC 8200 8.1 forbids over IPv6 */
	if (!get16(p + 6))
		return cpl_addr_is4(src);
	return !sum_finish(sum_add(sum_pseudo(src, dst, IP_UDP, h->len), p, h->len));
}

void udp_build(uint8_t p[UDP_HLEN], const struct udp_hdr *h, const struct cpl_addr *src,
	       const struct cpl_addr *dst, const uint8_t *payload, uint32_t payload_len)
{
	uint32_t len = UDP_HLEN + payload_len;
	uint64_t sum = sum_pseudo(src, dst, IP_UDP, len);
	uint16_t check;

	ASSERT(payload_len <= UINT16_MAX - UDP_HLEN);
	put16(p, h->sport);
	put16(p + 2, h->dport);
	put16(p + 4, (uint16_t)len);
	put16(p + 6, 0);
	sum = sum_add(sum, p, UDP_HLEN);
	check = sum_finish(payload_len ? sum_add(sum, payload, payload_len) : sum);
	if (!check)
		check = 0xffff; /* RFC 768: 0 would say that there is none */
	memcpy(p + 6, &check, 2);
}
