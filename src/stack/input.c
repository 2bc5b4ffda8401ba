/* SPDX-License-Identifier: MIT */
/*
 * Frames in: Ethernet, IPv4 and IPv6, reassembly, and on to TCP, UDP, ICMP. What is dropped is
 * counted by reason (RFC 1122 3.2.1, RFC 8200).
 */
#include "stack/stack.h"

#include "wire/steer.h"

static void count_ip(struct cpl_stack *s, enum ip_verdict v)
{
	if (v == IP_BAD_HEADER)
		s->counters.drop_ip_header++;
	else if (v == IP_BAD_CHECKSUM)
		s->counters.drop_ip_checksum++;
	else
		s->counters.drop_ip_option++;
}

static bool catch_all_takes(const struct cpl_stack *s, const struct packet *pkt, uint8_t is)
{
	int i = pkt->ifindex;

	/* Only what another host can have: RFC 1122 3.2.1.3 (a), (g). */
	if (!(is & DST_SOURCE) || is & DST_LOOPBACK)
		return false;
	if (pkt->ip.protocol == IP_TCP)
		return s->tcp.catch_all[i] || s->tcp.catch_all[0];
	if (pkt->ip.protocol == IP_UDP)
		return s->udp_catch_all[i] || s->udp_catch_all[0];
	return false;
}

/* A group that this interface has joined: all nodes, and the solicited-node groups of its
 * addresses. */
static bool group_is_ours(const struct cpl_stack *s, const struct cpl_addr *group, int ifindex)
{
	static const struct cpl_addr all_nodes = { { 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
						     1 } };

	if (cpl_addr_is4(group))
		return group->b[12] == 224 && !group->b[13] && !group->b[14] && group->b[15] == 1;
	if (cpl_addr_equal(group, &all_nodes))
		return true;
	for (uint32_t i = 0; i < s->routes.addrs_n; i++) {
		struct cpl_addr sn = addr_solicited_node(&s->routes.addrs[i].addr);

		if (s->routes.addrs[i].ifindex == ifindex && cpl_addr_equal(&sn, group))
			return true;
	}
	return false;
}

/* For us? Sets pkt->to_us_alone; false: counted and done with. */
static bool destination_ok(struct cpl_stack *s, struct packet *pkt)
{
	const struct cpl_addr *dst = &pkt->ip.dst;
	uint8_t is = dst_get(s, dst)->is;

	if (is & (DST_MULTICAST | DST_BROADCAST)) {
		pkt->to_us_alone = false;
		if (!(is & DST_MULTICAST) || group_is_ours(s, dst, pkt->ifindex))
			return true;
	} else {
		if (is & DST_OWN || (is & DST_TENTATIVE && pkt->ip.protocol == IP_ICMP6)) {
			if (is & DST_OWN && pkt->ip.version == 4 && !s->in_loop)
				input_plain_learn(s, pkt);
			return true;
		}
		if (!(is & DST_TENTATIVE) && pkt->to_us_alone && catch_all_takes(s, pkt, is))
			return true;
	}
	s->counters.drop_ip_not_ours++;
	return false;
}

/*
 * RFC 1122 3.2.1.3. Only Neighbour Discovery may come from nowhere, and what has our own address
 * comes from ourselves or from a forger.
 */
static bool source_ok(struct cpl_stack *s, const struct packet *pkt)
{
	uint8_t is = dst_get(s, &pkt->ip.src)->is;
	uint8_t not = DST_BROADCAST | (s->in_loop ? 0 : DST_LOOPBACK | DST_OWN);

	if (is & DST_SOURCE && !(is & not )) /* MUST-63 */
		return true;
	if (pkt->ip.protocol == IP_ICMP6 && addr_is_any(&pkt->ip.src))
		return true;
	s->counters.drop_ip_source++;
	return false;
}

/* MUST-3. tcp_parse() sums again what is found wrong here, and says what it was. */
static bool checksum_ok(const struct cpl_stack *s, const struct packet *pkt, const uint8_t *p,
			uint32_t len)
{
	uint64_t sum = sum_pseudo(&pkt->ip.src, &pkt->ip.dst, IP_TCP, len);

	return pkt->csum_ok || !sum_finish(sum_any(s->sum, sum, p, len));
}

static void tcp_deliver(struct cpl_stack *s, const struct packet *pkt, uint64_t now)
{
	const uint8_t *p = pkt->p + pkt->ip.hlen;
	uint32_t len = pkt->ip.len - pkt->ip.hlen;
	struct seg_in in = { .ip = &pkt->ip, .ifindex = pkt->ifindex, .lent = pkt->lent };

	if (!pkt->to_us_alone) { /* MUST-57 */
		s->counters.drop_tcp_address++;
		return;
	}
	switch (tcp_parse(p, len, &pkt->ip.src, &pkt->ip.dst, checksum_ok(s, pkt, p, len),
			  &in.tcp)) {
	case TCP_OK:
		break;
	case TCP_BAD_HEADER:
		s->counters.drop_tcp_header++;
		return;
	case TCP_BAD_CHECKSUM: /* MUST-3 */
		s->counters.drop_tcp_checksum++;
		return;
	case TCP_BAD_OPTION: /* MUST-7 */
		s->counters.drop_tcp_options++;
		return;
	}
	if (in.lent)
		in.lent_off = (uint32_t)(in.tcp.data - pkt->frame);
	in.gso_size = pkt->gso_size;
	if (!run_begins(s, pkt, &in))
		tcp_input(&s->tcp, &in, now);
}

/* Fragments come to each of several stacks: the whole packet is for one of them. */
static bool is_here(const struct cpl_stack *s, const uint8_t *p, uint32_t len)
{
	int core;

	if (s->config.cores == 1)
		return true;
	core = steer_frame(s->config.rss_key, s->config.cores, false, p, len);
	return core == STEER_ALL || core == s->config.core;
}

static void reassemble(struct cpl_stack *s, const struct packet *pkt, uint64_t now)
{
	struct packet whole = { .ifindex = pkt->ifindex, .to_us_alone = pkt->to_us_alone };
	struct reasm_packet *handle = NULL;
	enum reasm_verdict verdict;
	const uint8_t *p = NULL;
	uint32_t len = 0;

	verdict = reasm_add(&s->reasm, pkt->ifindex, pkt->p, &pkt->ip, now, &p, &len, &handle);
	s->counters.drop_frag_memory += s->reasm.evicted; /* older ones that made room */
	s->reasm.evicted = 0;
	switch (verdict) {
	case REASM_KEPT:
		return;
	case REASM_COMPLETE:
		s->counters.reassembled++;
		if (is_here(s, p, len))
			input_ip(s, p, len, &whole, now);
		else
			s->counters.drop_other_core++;
		reasm_release(&s->reasm, handle);
		return;
	case REASM_BAD:
		s->counters.drop_frag_bad++;
		if (pkt->ip.version == 6 && !s->reasm.problem.silent)
			icmp_error(s, pkt, ICMP_ERR_PROBLEM, s->reasm.problem.code,
				   s->reasm.problem.pointer, now);
		return;
	case REASM_OVERLAP:
		s->counters.drop_frag_overlap++;
		return;
	case REASM_NO_MEMORY:
		s->counters.drop_frag_memory++;
		return;
	}
}

static void deliver(struct cpl_stack *s, const struct packet *pkt, uint64_t now)
{
	switch (pkt->ip.protocol) {
	case IP_TCP:
		tcp_deliver(s, pkt, now);
		return;
	case IP_UDP:
		udp_input(s, pkt, now);
		return;
	case IP_ICMP:
	case IP_ICMP6:
		if ((pkt->ip.protocol == IP_ICMP) == (pkt->ip.version == 4)) {
			icmp_input(s, pkt, now);
			return;
		}
		break;
	default:
		break;
	}
	s->counters.drop_ip_protocol++;
	if (pkt->ip.version == 6 && pkt->ip.protocol == 59)
		return; /* no next header (RFC 8200 4.7) */
	icmp_error(s, pkt, ICMP_ERR_PROTOCOL, 0, pkt->ip.nh_off, now);
}

/*
 * Who sends by source route can pose as anybody: only where it was allowed (RFC 7126 4.3, as
 * Linux), and only at its end: we forward nothing (RFC 1122 3.3.5).
 */
static bool source_route_ok(const struct cpl_stack *s, const struct ip_hdr *ip)
{
	const uint8_t *p = ip_source_route(ip);

	return !p || (s->config.source_routes && p[2] > p[1]);
}

void input_ip(struct cpl_stack *s, const uint8_t *p, uint32_t len, struct packet *pkt, uint64_t now)
{
	struct ip_problem problem = { 0 };
	enum ip_verdict v = ip_parse(p, len, &pkt->ip, &problem);

	pkt->p = p;
	if (v != IP_OK && v != IP_UNKNOWN_OPTION) {
		count_ip(s, v);
		return;
	}
	if (!source_ok(s, pkt) || !destination_ok(s, pkt))
		return;
	if (!source_route_ok(s, &pkt->ip)) {
		s->counters.drop_ip_option++;
		return;
	}
	if (v == IP_UNKNOWN_OPTION) {
		s->counters.drop_ip_option++;
		if (!problem.silent && (pkt->to_us_alone || problem.multicast_too))
			icmp_error(s, pkt, ICMP_ERR_PROBLEM, problem.code, problem.pointer, now);
		return;
	}
	if (pkt->ip.fragment)
		reassemble(s, pkt, now);
	else
		deliver(s, pkt, now);
}

/* ---- frames ---- */

static bool mac_is(const uint8_t a[6], const uint8_t b[6])
{
	return memcmp(a, b, 6) == 0;
}

static void input_ether(struct cpl_stack *s, const uint8_t *p, uint32_t len, struct packet *pkt,
			uint64_t now)
{
	const struct iface *iface = &s->ifaces[pkt->ifindex];
	struct ether_hdr eth;

	if (!ether_parse(p, len, &eth)) {
		s->counters.drop_short_frame++;
		return;
	}
	pkt->to_us_alone = !ether_is_group(eth.dst);
	if (pkt->to_us_alone && !mac_is(eth.dst, iface->config.mac)) {
		s->counters.drop_other_mac++;
		return;
	}
	p += ETHER_HLEN;
	len -= ETHER_HLEN;
	if (eth.type == ETHER_ARP) {
		arp_input(s, pkt->ifindex, p, len, now);
	} else if (len && ((eth.type == ETHER_IPV4 && p[0] >> 4 == 4) ||
			   (eth.type == ETHER_IPV6 && p[0] >> 4 == 6))) {
		input_ip(s, p, len, pkt, now);
	} else {
		s->counters.drop_ether_type++;
	}
}

bool input_frame(struct cpl_stack *s, int ifindex, const struct cpl_frame *f, uint64_t now)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct packet pkt = { .ifindex = ifindex,
			      .gso_size = f->gso_size,
			      .csum_ok = f->flags & (CPL_FRAME_CSUM_OK | CPL_FRAME_CSUM_PARTIAL),
			      .to_us_alone = true,
			      .frame = f->data,
			      .frame_len = f->len };

	if (f->flags & CPL_FRAME_LEND) {
		pkt.lent = chunk_lend(&s->chunks, f->data, f->len, f->token);
		if (!pkt.lent)
			return false;
	}
	s->counters.frames_in++;
	s->counters.bytes_in += f->len;
	if (!iface->up)
		s->counters.drop_iface_down++;
	else if (iface->config.kind == CPL_IFACE_ETHER)
		input_ether(s, f->data, f->len, &pkt, now);
	else if (f->len)
		input_ip(s, f->data, f->len, &pkt, now);
	else
		s->counters.drop_short_frame++;
	if (pkt.lent)
		chunk_put(&s->chunks, pkt.lent);
	return true;
}
