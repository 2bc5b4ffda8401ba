/* SPDX-License-Identifier: MIT */
/*
 * IPv4 source routes (RFC 9293 3.9.2.1, RFC 1122 4.2.3.8): the return route of one that arrived.
 * What arrives with one is only taken where the stack's configuration allows it (RFC 7126 4.3).
 */
#include "tcp/tcp.h"

static const uint8_t *find_route(const struct ip_hdr *ip)
{
	const uint8_t *p = ip->options, *end = p + ip->options_len;

	while (p && p < end && *p) {
		if (*p == 1) { /* no operation */
			p++;
			continue;
		}
		if (end - p < 3 || p[1] < 3 || p[1] > end - p)
			return NULL;
		if (*p == IPV4_LSRR || *p == IPV4_SSRR)
			return p;
		p += p[1];
	}
	return NULL;
}

void source_route_back(const struct seg_in *in, struct source_route *route)
{
	const uint8_t *p = find_route(in->ip);
	unsigned n;

	route->n = 0;
	if (!p || p[2] <= p[1]) /* not completed: it is not at its end */
		return;
	n = (p[1] - 3u) / 4;
	if (n > 8)
		n = 8;
	route->n = (uint8_t)n;
	for (unsigned i = 0; i < n; i++)
		memcpy(route->hops[i], p + 3 + 4 * (n - 1 - i), 4);
}
