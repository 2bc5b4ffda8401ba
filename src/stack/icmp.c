/* SPDX-License-Identifier: MIT */
/*
 * ICMP (RFC 792, RFC 1122 3.2.2) and ICMPv6 (RFC 4443): echo is answered, errors about our packets
 * go to the connection that caused them, errors of ours are sent at a limited rate.
 */
#include "stack/stack.h"

#include "wire/bytes.h"

bool icmp_allowed(struct cpl_stack *s, uint64_t now)
{
	uint64_t second = now / CPL_SECOND + 1;

	if (s->icmp_second != second) {
		s->icmp_second = second;
		s->icmp_left = s->config.icmp_rate;
	}
	if (!s->icmp_left) {
		s->counters.drop_icmp_limit++;
		return false;
	}
	s->icmp_left--;
	return true;
}

/* A message from SRC to DST; its body is copied. */
static void icmp_send(struct cpl_stack *s, const struct icmp_msg *m, const struct cpl_addr *src,
		      const struct cpl_addr *dst, int ifindex, uint64_t now)
{
	bool v4 = cpl_addr_is4(dst);
	struct ip_hdr h = {
		.src = *src, .dst = *dst, .ttl = s->config.ttl, .protocol = v4 ? IP_ICMP : IP_ICMP6
	};
	struct frame *f = frame_new(s);

	if (!f)
		return;
	if (!frame_copy(s, f, m->body, m->body_len)) {
		frame_free(s, f);
		s->counters.drop_memory++;
		return;
	}
	if (v4)
		icmp4_header(frame_push(f, ICMP_HLEN), m);
	else
		icmp6_header(frame_push(f, ICMP_HLEN), m, src, dst);
	s->counters.icmp_out++;
	output_ip(s, f, &h, addr_is_link_local(dst) ? ifindex : 0, now);
}

/* The address of ours that answers a packet which came to a group. */
static bool own_source(const struct cpl_stack *s, const struct packet *pkt, struct cpl_addr *src)
{
	const struct cpl_addr *to = &pkt->ip.src;
	struct route_result route;

	if (route_lookup(&s->routes, to, addr_is_link_local(to) ? pkt->ifindex : 0, NULL, &route))
		return false;
	*src = route.source;
	return true;
}

/* To all, IPv4's may be ignored (RFC 1122 3.2.2.6), and IPv6's should be answered (RFC 4443 4.2).
 */
static void echo(struct cpl_stack *s, const struct packet *pkt, const struct icmp_msg *m,
		 uint64_t now)
{
	struct cpl_addr src = pkt->ip.dst;
	struct icmp_msg reply = *m;

	if (!pkt->to_us_alone) {
		if (pkt->ip.version == 4 || !addr_is_source(&pkt->ip.src) ||
		    (addr_is_multicast(&src) && !own_source(s, pkt, &src)))
			return;
	}
	if (!icmp_allowed(s, now))
		return;
	reply.type = pkt->ip.version == 4 ? ICMP4_ECHO_REPLY : ICMP6_ECHO_REPLY;
	icmp_send(s, &reply, &src, &pkt->ip.src, pkt->ifindex, now);
}

/* ---- errors of ours ---- */

void icmp_error_quote(struct cpl_stack *s, const uint8_t *quote, uint32_t len, int ifindex,
		      enum icmp_error what, uint64_t now)
{
	struct packet pkt = { .p = quote, .ifindex = ifindex, .to_us_alone = true };
	struct ip_problem problem;
	uint16_t payload;

	/*
	 * The quote is cut short. Of IPv4 only the header is read, and that is whole; an IPv6
	 * packet gets a length that fits.
	 */
	if (len < IPV4_HLEN)
		return;
	if (quote[0] >> 4 == 6) {
		if (len < IPV6_HLEN)
			return;
		memcpy(s->scratch, quote, len);
		payload = (uint16_t)(len - IPV6_HLEN);
		put16(s->scratch + 4, payload);
		pkt.p = s->scratch;
	} else if (len < (quote[0] & 15) * 4u) {
		return;
	}
	if (ip_parse(pkt.p, quote[0] >> 4 == 6 ? len : 65535, &pkt.ip, &problem) != IP_OK ||
	    pkt.ip.hlen > len)
		return;
	pkt.ip.len = len;
	icmp_error(s, &pkt, what, 0, 0, now);
}

/* RFC 1122 3.2.2, RFC 4443 2.4 (e): never about an error, a group, a later fragment, or nobody. */
static bool error_allowed(struct cpl_stack *s, const struct packet *pkt, enum icmp_error what)
{
	const uint8_t *body = pkt->p + pkt->ip.hlen;
	bool group = dst_get(s, &pkt->ip.dst)->is & (DST_MULTICAST | DST_BROADCAST);

	if ((!pkt->to_us_alone || group) && what != ICMP_ERR_PROBLEM)
		return false;
	if (!addr_is_source(&pkt->ip.src) || pkt->ip.frag_off ||
	    route_is_broadcast(&s->routes, &pkt->ip.src))
		return false;
	if (pkt->ip.len <= pkt->ip.hlen)
		return what != ICMP_ERR_PORT;
	if (pkt->ip.protocol == IP_ICMP && pkt->ip.version == 4)
		return body[0] == ICMP4_ECHO;
	if (pkt->ip.protocol == IP_ICMP6 && pkt->ip.version == 6)
		return body[0] >= 128;
	return true;
}

void icmp_error(struct cpl_stack *s, const struct packet *pkt, enum icmp_error what, uint8_t code,
		uint32_t pointer, uint64_t now)
{
	bool v4 = pkt->ip.version == 4;
	uint32_t max = v4 ? 576 - 28 : IPV6_MTU_MIN - 48;
	struct icmp_msg m = { .body = pkt->p, .body_len = pkt->ip.len < max ? pkt->ip.len : max };
	struct cpl_addr src = pkt->ip.dst;

	if (!error_allowed(s, pkt, what) || !icmp_allowed(s, now))
		return;
	switch (what) {
	case ICMP_ERR_PORT:
		m.type = v4 ? ICMP4_UNREACHABLE : ICMP6_UNREACHABLE;
		m.code = v4 ? 3 : 4;
		break;
	case ICMP_ERR_PROTOCOL:
		m.type = v4 ? ICMP4_UNREACHABLE : ICMP6_PARAMETER;
		m.code = v4 ? 2 : 1;
		m.rest = v4 ? 0 : pointer;
		break;
	case ICMP_ERR_REASSEMBLY:
		m.type = v4 ? ICMP4_TIME_EXCEEDED : ICMP6_TIME_EXCEEDED;
		m.code = 1;
		break;
	case ICMP_ERR_PROBLEM:
		if (v4)
			return;
		m.type = ICMP6_PARAMETER;
		m.code = code;
		m.rest = pointer;
		break;
	}
	if (!route_our_addr(&s->routes, &src, 0) && !pkt->to_us_alone && !own_source(s, pkt, &src))
		return;
	icmp_send(s, &m, &src, &pkt->ip.src, pkt->ifindex, now);
}

/* ---- errors about us ---- */

/* What an unreachable code means to a program (RFC 1122 3.2.2.1, as Linux maps them). */
static int unreachable4(uint8_t code, bool *hard)
{
	static const uint8_t map[16] = { ENETUNREACH,  EHOSTUNREACH, ENOPROTOOPT,  ECONNREFUSED,
					 EMSGSIZE,     EOPNOTSUPP,   ENETUNREACH,  EHOSTDOWN,
					 ENETUNREACH,  ENETUNREACH,  EHOSTUNREACH, ENETUNREACH,
					 EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH, EHOSTUNREACH };

	*hard = code == 2 || code == 3; /* SHLD-26; code 4 is the path MTU's */
	return code < 16 ? map[code] : EHOSTUNREACH;
}

static int unreachable6(uint8_t code, bool *hard)
{
	static const uint8_t map[7] = { ENETUNREACH,  EACCES, EHOSTUNREACH, EHOSTUNREACH,
					ECONNREFUSED, EACCES, EACCES };

	*hard = code == 1 || code == 4;
	return code < 7 ? map[code] : EPROTO;
}

static int error_of(const struct packet *pkt, const struct icmp_msg *m, bool *hard)
{
	bool v4 = pkt->ip.version == 4;

	*hard = false;
	if (m->type == (v4 ? ICMP4_UNREACHABLE : ICMP6_UNREACHABLE))
		return v4 ? unreachable4(m->code, hard) : unreachable6(m->code, hard);
	if (m->type == (v4 ? ICMP4_TIME_EXCEEDED : ICMP6_TIME_EXCEEDED))
		return EHOSTUNREACH;
	return EPROTO; /* parameter problem */
}

static bool is_too_big(const struct packet *pkt, const struct icmp_msg *m)
{
	if (pkt->ip.version == 6)
		return m->type == ICMP6_TOO_BIG;
	return m->type == ICMP4_UNREACHABLE && m->code == ICMP4_FRAG_NEEDED;
}

/* MUST-54: to whoever sent what is quoted. */
static bool hand_up(struct cpl_stack *s, const struct icmp_quote *q, struct tcp_icmp *e,
		    uint64_t now)
{
	if (q->protocol != IP_TCP)
		return false;
	e->id = (struct conn_id){ q->src, q->dst, q->sport, q->dport };
	e->seq = q->seq;
	return tcp_icmp_error(&s->tcp, e, now);
}

/* The same of UDP, with all that the message says; M NULL: is it about one of ours at all? */
static bool hand_up_udp(struct cpl_stack *s, const struct packet *pkt, const struct icmp_quote *q,
			const struct tcp_icmp *e, const struct icmp_msg *m)
{
	uint32_t skip = q->hlen + UDP_HLEN;
	struct udp_icmp u = { .offender = pkt->ip.src, .ipv6 = pkt->ip.version == 6 };

	if (!m)
		return udp_icmp_error(s, q, &u);
	u.error = e->too_big ? EMSGSIZE : e->error;
	u.too_big = e->too_big;
	u.info = e->too_big ? e->mtu : 0;
	u.type = m->type;
	u.code = m->code;
	if (m->body_len > skip) {
		u.payload = m->body + skip;
		u.payload_len = m->body_len - skip;
	}
	return udp_icmp_error(s, q, &u);
}

static void icmp_error_in(struct cpl_stack *s, const struct packet *pkt, const struct icmp_msg *m,
			  uint64_t now)
{
	struct tcp_icmp e = { .type = m->type, .code = m->code };
	struct icmp_quote q;
	struct route_result route;
	uint32_t mtu = 65535;

	if (!icmp_quote_parse(m->body, m->body_len, pkt->ip.version == 6, &q)) {
		s->counters.drop_icmp_bad++;
		return;
	}
	e.error = error_of(pkt, m, &e.hard);
	if (is_too_big(pkt, m)) {
		if (!route_lookup(&s->routes, &q.dst, 0, NULL, &route))
			mtu = s->ifaces[route.ifindex].config.mtu;
		e.too_big = true;
		e.mtu = pkt->ip.version == 6 ? m->rest : m->rest & 0xffff;
		e.claimed = e.mtu;
		/* Nor is it too big what would fit; 0: longer than the header can say. Of
		 * TCP's the connection knows what it sent. */
		if (q.protocol == IP_UDP && q.len && q.len <= e.mtu) {
			s->counters.drop_icmp_unmatched++;
			return;
		}
		/* Only what a connection confirms may shrink the path (RFC 5927 7.2), or a socket.
		 */
		if (q.protocol == IP_UDP ? !hand_up_udp(s, pkt, &q, NULL, NULL)
					 : !hand_up(s, &q,
						    &(struct tcp_icmp){ .too_big = true,
									.mtu = UINT32_MAX,
									.claimed = e.claimed },
						    now)) {
			s->counters.drop_icmp_unmatched++;
			return;
		}
		e.mtu = pmtu_learn(&s->pmtu, &q.dst, e.mtu, q.len, mtu, now);
		if (!e.mtu)
			e.mtu = pmtu_get(&s->pmtu, &q.dst, mtu, now);
	}
	if (q.protocol == IP_UDP ? hand_up_udp(s, pkt, &q, &e, m) : hand_up(s, &q, &e, now))
		s->counters.icmp_in++;
	else
		s->counters.drop_icmp_unmatched++;
}

/* The neighbour does not answer: the connection or socket learns it at once, as Linux does it. */
void icmp_local_unreachable(struct cpl_stack *s, const struct frame *f, uint64_t now)
{
	struct tcb *tcb = f->handle ? tcp_tcb(&s->tcp, f->handle) : NULL;
	struct tcp_icmp e = { .error = EHOSTUNREACH, .hard = true };
	struct icmp_quote q;

	if (!f->handle) {
		if (icmp_quote_parse(f->headers + f->off, f->len, f->ipv6, &q) &&
		    q.protocol == IP_UDP)
			udp_icmp_error(s, &q,
				       &(struct udp_icmp){ .error = EHOSTUNREACH,
							   .ipv6 = f->ipv6,
							   .type = f->ipv6 ? ICMP6_UNREACHABLE
									   : ICMP4_UNREACHABLE,
							   .code = f->ipv6 ? 3 : 1,
							   .offender = q.src });
		return;
	}
	if (!tcb || f->start == f->end)
		return;
	e.id = tcb->node.id;
	e.seq = f->start;
	tcp_icmp_error(&s->tcp, &e, now);
}

static void icmp4_input(struct cpl_stack *s, const struct packet *pkt, const struct icmp_msg *m,
			uint64_t now)
{
	switch (m->type) {
	case ICMP4_ECHO:
		s->counters.icmp_in++;
		echo(s, pkt, m, now);
		return;
	case ICMP4_UNREACHABLE:
	case ICMP4_TIME_EXCEEDED:
	case ICMP4_PARAMETER:
		icmp_error_in(s, pkt, m, now);
		return;
	default: /* MUST-55: Source Quench among them; redirects are not for a host so small */
		s->counters.drop_icmp_unmatched++;
		return;
	}
}

static void icmp6_input(struct cpl_stack *s, const struct packet *pkt, const struct icmp_msg *m,
			uint64_t now)
{
	/* RFC 4862 5.4: to a tentative address, nothing but Neighbour Discovery */
	if (m->type != ICMP6_NS && m->type != ICMP6_NA &&
	    dst_get(s, &pkt->ip.dst)->is & DST_TENTATIVE) {
		s->counters.drop_ip_not_ours++;
		return;
	}
	switch (m->type) {
	case ICMP6_ECHO:
		s->counters.icmp_in++;
		echo(s, pkt, m, now);
		return;
	case ICMP6_UNREACHABLE:
	case ICMP6_TOO_BIG:
	case ICMP6_TIME_EXCEEDED:
	case ICMP6_PARAMETER:
		icmp_error_in(s, pkt, m, now);
		return;
	case ICMP6_NS:
	case ICMP6_NA:
		nd_input(s, pkt, m, now);
		return;
	default:
		s->counters.drop_icmp_unmatched++;
		return;
	}
}

void icmp_input(struct cpl_stack *s, const struct packet *pkt, uint64_t now)
{
	const uint8_t *p = pkt->p + pkt->ip.hlen;
	uint32_t len = pkt->ip.len - pkt->ip.hlen;
	struct icmp_msg m;

	if (pkt->ip.version == 4 ? !icmp4_parse(p, len, &m)
				 : !icmp6_parse(p, len, &pkt->ip.src, &pkt->ip.dst, &m)) {
		s->counters.drop_icmp_bad++;
		return;
	}
	if (pkt->ip.version == 4)
		icmp4_input(s, pkt, &m, now);
	else
		icmp6_input(s, pkt, &m, now);
}
