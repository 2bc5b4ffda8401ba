/* SPDX-License-Identifier: MIT */
/*
 * IPv4 source routes (RFC 9293 3.9.2.1, RFC 1122 4.2.3.8): the return route of one that arrived.
 * What arrives with one is only taken where the stack's configuration allows it (RFC 7126 4.3).
 */
#include "tcp/tcp.h"

void source_route_back(const struct seg_in *in, struct source_route *route)
{
	const uint8_t *p = ip_source_route(in->ip);
	unsigned n;

	route->n = 0;
	if (!p || p[2] <= p[1]) /* not completed: it is not at its end */
		return;
	n = (p[1] - 3u) / 4;
	if (n > SOURCE_ROUTE_MAX)
		n = SOURCE_ROUTE_MAX;
	route->n = (uint8_t)n;
	for (unsigned i = 0; i < n; i++)
		memcpy(route->hops[i], p + 3 + 4 * (n - 1 - i), 4);
}

static bool route_equal(const struct source_route *a, const struct source_route *b)
{
	return a->n == b->n && memcmp(a->hops, b->hops, 4u * a->n) == 0;
}

void source_route_again(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	struct source_route route;

	if (!in->ip->options_len || !tcb_has(tcb, TCB_PASSIVE) ||
	    (tcb->cold && tcb->cold->route_chosen)) /* MUST-52 */
		return;
	source_route_back(in, &route);
	if (!route.n || (tcb->cold && route_equal(&tcb->cold->route, &route)) ||
	    !tcb_cold(tcp, tcb))
		return;
	tcb->cold->route = route; /* SHLD-24 */
	tcb_route(tcp, tcb, now);
}
