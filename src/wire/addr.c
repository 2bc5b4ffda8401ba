/* SPDX-License-Identifier: MIT */
/*
 * What an address is: RFC 1122 3.2.1.3 and RFC 6890 for IPv4, RFC 4291 2 for IPv6. Both families
 * come in the one form of <couplet/addr.h>.
 */
#include "wire/ip.h"

bool addr_is_any(const struct cpl_addr *a)
{
	static const struct cpl_addr any;

	if (cpl_addr_is4(a))
		return !memcmp(a->b + 12, any.b, 4);
	return cpl_addr_equal(a, &any);
}

bool addr_is_multicast(const struct cpl_addr *a)
{
	return cpl_addr_is4(a) ? a->b[12] >> 4 == 14 : a->b[0] == 0xff;
}

bool addr_is_loopback(const struct cpl_addr *a)
{
	static const struct cpl_addr one = { { [15] = 1 } };

	return cpl_addr_is4(a) ? a->b[12] == 127 : cpl_addr_equal(a, &one);
}

bool addr_is_link_local(const struct cpl_addr *a)
{
	if (cpl_addr_is4(a))
		return a->b[12] == 169 && a->b[13] == 254;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool addr_is_broadcast(const struct cpl_addr *a)
{
	struct cpl_addr all = cpl_addr4(255, 255, 255, 255);

	return cpl_addr_equal(a, &all);
}

/* As Linux's martians: class E is let through, 0.0.0.0/8 is not. MUST-63: in IP. */
bool addr_is_source(const struct cpl_addr *a)
{
	if (cpl_addr_is4(a) && !a->b[12])
		return false;
	return !addr_is_any(a) && !addr_is_multicast(a) && !addr_is_broadcast(a);
}

bool addr_in_prefix(const struct cpl_addr *a, const struct cpl_addr *prefix, unsigned len)
{
	unsigned max = 128, bytes, bits;

	if (cpl_addr_is4(prefix)) {
		if (!cpl_addr_is4(a))
			return false;
		max = 32;
	} else if (cpl_addr_is4(a)) {
		return false; /* ::/0 holds no IPv4 address */
	}
	if (len > max)
		len = max;
	len += 128 - max;
	bytes = len / 8;
	bits = len % 8;
	if (memcmp(a->b, prefix->b, bytes))
		return false;
	return !bits || !((a->b[bytes] ^ prefix->b[bytes]) >> (8 - bits));
}

struct cpl_addr addr_solicited_node(const struct cpl_addr *a)
{
	struct cpl_addr r = { { 0xff, 2, [11] = 1, [12] = 0xff } };

	memcpy(r.b + 13, a->b + 13, 3);
	return r;
}
