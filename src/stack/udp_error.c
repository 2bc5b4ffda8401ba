/* SPDX-License-Identifier: MIT */
/*
 * ICMP errors about our datagrams (RFC 1122 4.1.3.3): told as an event; to BSD sockets only what
 * they hear of on Linux, and to those with IP_RECVERR with all that the message said.
 */
#include "stack/sockets.h"

#define REPORTS_MAX 16 /* a socket's that were not taken */

/* Linux's icmp_err_convert and tab_unreach: which end the use of an address for now. */
static bool is_hard(const struct udp_icmp *e)
{
	static const uint16_t hard4 =
		1 << 2 | 1 << 3 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 13 | 1 << 14;

	if (e->too_big)
		return true;
	if (e->ipv6)
		return e->type == ICMP6_PARAMETER ||
		       (e->type == ICMP6_UNREACHABLE && (e->code == 1 || e->code >= 4));
	if (e->type == ICMP4_PARAMETER)
		return true;
	return e->type == ICMP4_UNREACHABLE && (e->code >= 15 || hard4 >> e->code & 1);
}

static void report(struct cpl_stack *s, struct udp_socket *u, const struct icmp_quote *q,
		   const struct udp_icmp *e)
{
	struct udp_report *r =
		u->reports_n < REPORTS_MAX ? pool_alloc(&s->udp_reports, NULL) : NULL;

	if (!r)
		return;
	memset(r, 0, sizeof(*r));
	r->icmp = *e;
	r->icmp.payload = NULL;
	r->to = (struct cpl_endpoint){ q->dst, q->dport, 0, 0 };
	r->len = e->payload_len < sizeof(r->data) ? e->payload_len : (uint32_t)sizeof(r->data);
	if (r->len)
		memcpy(r->data, e->payload, r->len);
	list_push_back(&u->reports, &r->link);
	u->reports_n++;
}

bool udp_icmp_error(struct cpl_stack *s, const struct icmp_quote *q, const struct udp_icmp *e)
{
	struct udp_socket *u = udp_for(s, &(struct cpl_endpoint){ q->src, q->sport, 0, 0 },
				       &(struct cpl_endpoint){ q->dst, q->dport, 0, 0 });

	if (!u || u->catch_all || !e->error)
		return u;
	if (u->bsd && !u->recverr && (!u->remote.port || !is_hard(e)))
		return true;
	if (!u->bsd && e->too_big)
		return true;
	if (u->recverr)
		report(s, u, q, e);
	u->error = (uint8_t)e->error;
	if (!list_linked(&u->event))
		list_push_back(&s->udp_events, &u->event);
	return true;
}

struct udp_report *udp_first_report(struct udp_socket *u)
{
	return list_empty(&u->reports) ? NULL : list_first(&u->reports, struct udp_report, link);
}

void udp_drop_report(struct cpl_stack *s, struct udp_socket *u, struct udp_report *r)
{
	list_del(&r->link);
	u->reports_n--;
	pool_free(&s->udp_reports, r);
}
