/* SPDX-License-Identifier: MIT */
/* Neighbour solicitations and advertisements: RFC 4861 4.3, 4.4 and 7.1; the nonce of RFC 7527. No
 * state. */
#include "base/assert.h"
#include "wire/bytes.h"
#include "wire/icmp.h"
#include "wire/ip.h"

#define ND_HOP_LIMIT  255
#define ND_TARGET_LEN 16

#define ND_ROUTER    0x80000000u
#define ND_SOLICITED 0x40000000u
#define ND_OVERRIDE  0x20000000u

#define OPT_SOURCE_MAC 1
#define OPT_TARGET_MAC 2
#define OPT_NONCE      14
#define OPT_UNIT       8 /* option lengths count these */

/* The options at P, LEN bytes. False: one has a length of 0 or does not fit. */
static bool options_parse(const uint8_t *p, uint32_t len, bool advert, struct nd_msg *nd)
{
	uint8_t mac_type = advert ? OPT_TARGET_MAC : OPT_SOURCE_MAC;

	while (len) {
		uint32_t size;

		if (len < 2 || !p[1])
			return false;
		size = p[1] * (uint32_t)OPT_UNIT;
		if (size > len)
			return false;
		/* Of two the first counts; another length is another link's, and no address of
		 * ours. */
		if (p[0] == mac_type) {
			if (size != OPT_UNIT)
				return false;
			if (!nd->has_mac)
				memcpy(nd->mac, p + 2, 6);
			nd->has_mac = true;
		} else if (p[0] == OPT_NONCE && !advert && size == OPT_UNIT && !nd->has_nonce) {
			memcpy(nd->nonce, p + 2, 6);
			nd->has_nonce = true;
		}
		p += size;
		len -= size;
	}
	return true;
}

bool nd_parse(const struct icmp_msg *m, uint8_t hop_limit, const struct cpl_addr *src,
	      const struct cpl_addr *dst, struct nd_msg *nd)
{
	bool advert = m->type == ICMP6_NA;

	memset(nd, 0, sizeof(*nd));
	if (!advert && m->type != ICMP6_NS)
		return false;
	/* RFC 4861 7.1.1 and 7.1.2; the checksum is icmp6_parse()'s */
	if (hop_limit != ND_HOP_LIMIT || m->code || m->body_len < ND_TARGET_LEN)
		return false;
	memcpy(nd->target.b, m->body, ND_TARGET_LEN);
	/* The last would be taken for an IPv4 address */
	if (addr_is_multicast(&nd->target) || cpl_addr_is4(&nd->target))
		return false;
	if (!options_parse(m->body + ND_TARGET_LEN, m->body_len - ND_TARGET_LEN, advert, nd))
		return false;
	if (advert) {
		nd->router = m->rest & ND_ROUTER;
		nd->solicited = m->rest & ND_SOLICITED;
		nd->override = m->rest & ND_OVERRIDE;
		return !(nd->solicited && addr_is_multicast(dst));
	}
	if (addr_is_any(src)) {
		/* Duplicate address detection: any solicited-node address will do */
		struct cpl_addr node = addr_solicited_node(dst);

		return cpl_addr_equal(dst, &node) && !nd->has_mac;
	}
	return true;
}

void nd_build(struct icmp_msg *m, uint8_t body[ND_LEN_MAX], uint8_t type, const struct nd_msg *nd)
{
	bool advert = type == ICMP6_NA;
	uint32_t len = ND_TARGET_LEN;

	ASSERT(advert || type == ICMP6_NS);
	*m = (struct icmp_msg){ .type = type, .body = body };
	if (advert)
		m->rest = (nd->router ? ND_ROUTER : 0) | (nd->solicited ? ND_SOLICITED : 0) |
			  (nd->override ? ND_OVERRIDE : 0);
	memcpy(body, nd->target.b, ND_TARGET_LEN);
	if (nd->has_mac) {
		body[len] = advert ? OPT_TARGET_MAC : OPT_SOURCE_MAC;
		body[len + 1] = 1;
		memcpy(body + len + 2, nd->mac, 6);
		len += OPT_UNIT;
	}
	if (nd->has_nonce && !advert) {
		body[len] = OPT_NONCE;
		body[len + 1] = 1;
		memcpy(body + len + 2, nd->nonce, 6);
		len += OPT_UNIT;
	}
	m->body_len = len;
}
