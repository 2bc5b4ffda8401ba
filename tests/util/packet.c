/* SPDX-License-Identifier: MIT */
/* See packet.h. */
#include "tests/util/packet.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/checksum.h"

static void need(size_t room, size_t size)
{
	if (size <= room)
		return;
	fprintf(stderr, "packet of %zu bytes into %zu\n", size, room);
	abort();
}

/* The IP header of a packet with a payload of LEN. */
static unsigned build_ip(uint8_t *p, size_t room, const struct ip_hdr *ip, uint8_t protocol,
			 uint32_t len)
{
	struct ip_hdr h = *ip;

	h.version = cpl_addr_is4(&ip->src) ? 4 : 6;
	h.ttl = ip->ttl ? ip->ttl : 64;
	h.protocol = protocol;
	h.len = (h.version == 4 ? (uint32_t)IPV4_HLEN + h.options_len : IPV6_HLEN) + len;
	need(room, h.len);
	return ip_build(p, &h);
}

static uint32_t finish_tcp(uint8_t *p, size_t room, const struct ip_hdr *ip,
			   const struct tcp_seg *seg, uint8_t tcp[TCP_HLEN_MAX], unsigned hlen)
{
	uint32_t len = hlen + seg->len;
	unsigned at = build_ip(p, room, ip, IP_TCP, len);
	uint16_t check;

	memcpy(p + at, tcp, hlen);
	if (seg->len)
		memmove(p + at + hlen, seg->data, seg->len);
	check = sum_finish(sum_add(sum_pseudo(&ip->src, &ip->dst, IP_TCP, len), p + at, len));
	memcpy(p + at + 16, &check, 2);
	return at + len;
}

uint32_t packet_tcp(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct tcp_seg *seg)
{
	uint8_t tcp[TCP_HLEN_MAX];

	return finish_tcp(p, room, ip, seg, tcp, tcp_build(tcp, seg));
}

uint32_t packet_tcp_raw(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct tcp_seg *seg,
			const uint8_t *options, unsigned n)
{
	struct tcp_seg bare = *seg;
	uint8_t tcp[TCP_HLEN_MAX];
	unsigned hlen;

	need(TCP_HLEN_MAX - TCP_HLEN, n);
	bare.opts = 0;
	hlen = tcp_build(tcp, &bare) + n;
	memcpy(tcp + TCP_HLEN, options, n);
	tcp[12] = (uint8_t)(hlen / 4 << 4 | (tcp[12] & 15));
	return finish_tcp(p, room, ip, seg, tcp, hlen);
}

uint32_t packet_udp(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct udp_hdr *udp,
		    const void *payload, uint32_t len)
{
	unsigned at = build_ip(p, room, ip, IP_UDP, UDP_HLEN + len);

	if (len)
		memmove(p + at + UDP_HLEN, payload, len);
	udp_build(p + at, udp, &ip->src, &ip->dst, p + at + UDP_HLEN, len);
	return at + UDP_HLEN + len;
}

uint32_t packet_icmp(uint8_t *p, size_t room, const struct ip_hdr *ip, const struct icmp_msg *m)
{
	bool v4 = cpl_addr_is4(&ip->src);
	unsigned at =
		build_ip(p, room, ip, v4 ? IP_ICMP : IP_ICMP6, (uint32_t)ICMP_HLEN + m->body_len);

	return at + (v4 ? icmp4_build(p + at, m) : icmp6_build(p + at, m, &ip->src, &ip->dst));
}

uint32_t packet_ether(uint8_t *frame, size_t room, const uint8_t src[6], const uint8_t dst[6],
		      const uint8_t *p, uint32_t len)
{
	struct ether_hdr h = { .type = p[0] >> 4 == 4 ? ETHER_IPV4 : ETHER_IPV6 };

	need(room, (size_t)ETHER_HLEN + len);
	memcpy(h.src, src, 6);
	memcpy(h.dst, dst, 6);
	memmove(frame + ETHER_HLEN, p, len);
	ether_build(frame, &h);
	return ETHER_HLEN + len;
}

/* Where the checksum of PROTOCOL stands in its header, and how much of it must be there. */
static unsigned checksum_at(uint8_t protocol)
{
	switch (protocol) {
	case IP_TCP:
		return 16;
	case IP_UDP:
		return 6;
	case IP_ICMP:
	case IP_ICMP6:
		return 2;
	default:
		return 0;
	}
}

void packet_fix(uint8_t *p, uint32_t len)
{
	struct ip_problem problem;
	struct ip_hdr h;
	uint64_t sum = 0;
	uint16_t check;
	unsigned at;

	if (len >= IPV4_HLEN && p[0] >> 4 == 4 && (p[0] & 15) * 4u <= len) {
		put16(p + 10, 0);
		check = sum_finish(sum_add(0, p, (p[0] & 15) * 4u));
		memcpy(p + 10, &check, 2);
	}
	if (ip_parse(p, len, &h, &problem) != IP_OK || h.fragment)
		return;
	at = checksum_at(h.protocol);
	if (!at || h.len < h.hlen + at + 2)
		return;
	if (h.protocol != IP_ICMP)
		sum = sum_pseudo(&h.src, &h.dst, h.protocol, h.len - h.hlen);
	put16(p + h.hlen + at, 0);
	check = sum_finish(sum_add(sum, p + h.hlen, h.len - h.hlen));
	memcpy(p + h.hlen + at, &check, 2);
}

uint32_t packet_gather(uint8_t *p, size_t room, const struct cpl_out *out)
{
	uint32_t len = 0;
	uint16_t check;

	for (uint32_t i = 0; i < out->iov_n; i++) {
		need(room, len + out->iov[i].len);
		if (out->iov[i].len)
			memcpy(p + len, out->iov[i].base, out->iov[i].len);
		len += (uint32_t)out->iov[i].len;
	}
	if (out->csum_start || out->csum_offset) {
		uint32_t at = (uint32_t)out->csum_start + out->csum_offset;

		need(len, at + 2);
		/* The field holds the pseudo-header's sum. */
		check = sum_finish(sum_add(0, p + out->csum_start, len - out->csum_start));
		if (!check && out->csum_offset == checksum_at(IP_UDP))
			check = 0xffff; /* RFC 768 */
		memcpy(p + at, &check, 2);
	}
	return len;
}

static enum packet_kind bad(struct test_packet *t, const char *why)
{
	t->why = why;
	return t->kind = PACKET_BAD;
}

/* RFC 791 3.1; checksums are over the final destination (RFC 1122 4.1.3.4 has it for UDP). */
static struct cpl_addr final_destination(const struct ip_hdr *ip)
{
	const uint8_t *route = ip->version == 4 ? ip_source_route(ip) : NULL;

	if (!route || route[2] > route[1] || route[1] < 7)
		return ip->dst;
	route += route[1] - 4;
	return cpl_addr4(route[0], route[1], route[2], route[3]);
}

static enum packet_kind parse_transport(struct test_packet *t, const uint8_t *p)
{
	static const char *const tcp_why[] = { "", "bad TCP header", "bad TCP checksum",
					       "bad TCP option" };
	const struct ip_hdr *ip = &t->ip;
	uint32_t len = ip->len - ip->hlen;
	enum tcp_verdict verdict;
	bool ok;

	p += ip->hlen;
	t->final = final_destination(ip);
	t->payload = p;
	t->payload_len = len;
	if (ip->fragment)
		return t->kind = PACKET_FRAGMENT;
	switch (ip->protocol) {
	case IP_TCP:
		verdict = tcp_parse(p, len, &ip->src, &t->final, false, &t->tcp);
		if (verdict != TCP_OK)
			return bad(t, tcp_why[verdict]);
		t->payload = t->tcp.data;
		t->payload_len = t->tcp.len;
		return t->kind = PACKET_TCP;
	case IP_UDP:
		if (!udp_parse(p, len, &ip->src, &ip->dst, false, &t->udp))
			return bad(t, "bad UDP header or checksum");
		t->payload = p + UDP_HLEN;
		t->payload_len = t->udp.len - (uint32_t)UDP_HLEN;
		return t->kind = PACKET_UDP;
	case IP_ICMP:
	case IP_ICMP6:
		if ((ip->protocol == IP_ICMP) != (ip->version == 4))
			return t->kind = PACKET_OTHER;
		ok = ip->version == 4 ? icmp4_parse(p, len, &t->icmp)
				      : icmp6_parse(p, len, &ip->src, &ip->dst, &t->icmp);
		if (!ok)
			return bad(t, "bad ICMP length or checksum");
		t->payload = t->icmp.body;
		t->payload_len = t->icmp.body_len;
		return t->kind = PACKET_ICMP;
	default:
		return t->kind = PACKET_OTHER;
	}
}

enum packet_kind packet_parse(struct test_packet *t, const uint8_t *frame, uint32_t len, bool ether)
{
	static const char *const ip_why[] = { "", "bad IP header", "bad IP checksum",
					      "bad IP option", "unknown IP option" };
	struct ip_problem problem;
	enum ip_verdict verdict;

	memset(t, 0, sizeof(*t));
	if (ether) {
		t->has_ether = true;
		if (!ether_parse(frame, len, &t->ether))
			return bad(t, "short Ethernet frame");
		frame += ETHER_HLEN;
		len -= ETHER_HLEN;
		if (t->ether.type == ETHER_ARP)
			return arp_parse(frame, len, &t->arp) ? t->kind = PACKET_ARP
							      : bad(t, "bad ARP packet");
		if (t->ether.type != ETHER_IPV4 && t->ether.type != ETHER_IPV6)
			return t->kind = PACKET_OTHER;
	}
	verdict = ip_parse(frame, len, &t->ip, &problem);
	if (verdict != IP_OK)
		return bad(t, ip_why[verdict]);
	if (ether && (t->ether.type == ETHER_IPV4) != (t->ip.version == 4))
		return bad(t, "IP version and Ethernet type disagree");
	return parse_transport(t, frame);
}

/* A line that grows; what does not fit is cut off. */
struct line {
	char *text;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void say(struct line *l, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(l->text + l->n, PACKET_LINE - l->n, format, ap);
	va_end(ap);
	if (n > 0)
		l->n += (size_t)n < PACKET_LINE - l->n ? (size_t)n : PACKET_LINE - l->n - 1;
}

static void say_end(struct line *l, const struct cpl_addr *addr, int port)
{
	char text[CPL_ADDR_TEXT];
	bool brackets = port >= 0 && !cpl_addr_is4(addr);

	cpl_addr_text(addr, text);
	say(l, brackets ? "[%s]" : "%s", text);
	if (port >= 0)
		say(l, ":%d", port);
}

static void say_ends(struct line *l, const struct ip_hdr *ip, int sport, int dport)
{
	say_end(l, &ip->src, sport);
	say(l, " > ");
	say_end(l, &ip->dst, dport);
}

static void say_options(struct line *l, const struct tcp_seg *seg, uint32_t zero)
{
	if (!seg->opts)
		return;
	say(l, " <");
	if (seg->opts & TCP_HAS_MSS)
		say(l, "mss %u,", seg->mss);
	if (seg->opts & TCP_HAS_SACK_OK)
		say(l, "sackOK,");
	if (seg->opts & TCP_HAS_TS)
		say(l, "TS %" PRIu32 " %" PRIu32 ",", seg->tsval, seg->tsecr);
	if (seg->opts & TCP_HAS_WSCALE)
		say(l, "wscale %u,", seg->wscale);
	if (seg->opts & TCP_HAS_FASTOPEN)
		say(l, seg->cookie.exp ? "FOEXP " : "FO ");
	for (unsigned i = 0; i < seg->cookie.len; i++)
		say(l, "%02x", seg->cookie.octets[i]);
	if (seg->opts & TCP_HAS_FASTOPEN)
		say(l, ",");
	for (unsigned i = 0; i < seg->sack_n; i++)
		say(l, "sack %" PRIu32 ":%" PRIu32 ",", seg->sack[i].start - zero,
		    seg->sack[i].end - zero);
	if (seg->opts & TCP_HAS_ACCECN)
		say(l, "acc%d %u: e0 %" PRIu32 " ce %" PRIu32 " e1 %" PRIu32 ",",
		    seg->accecn.e1_first, seg->accecn.n, seg->accecn.e0b, seg->accecn.ceb,
		    seg->accecn.e1b);
	l->n--; /* the last comma */
	say(l, ">");
}

static void say_tcp(struct line *l, const struct test_packet *t, const struct packet_base *base)
{
	static const char names[] = "FSRP.UEWA";
	const struct tcp_seg *seg = &t->tcp;
	uint32_t seq_zero = 0, ack_zero = 0, seq;

	if (base && base->port == seg->sport && cpl_addr_equal(&base->addr, &t->ip.src)) {
		seq_zero = base->iss;
		ack_zero = base->irs;
	} else if (base && base->port == seg->dport && cpl_addr_equal(&base->addr, &t->ip.dst)) {
		seq_zero = base->irs;
		ack_zero = base->iss;
	}
	say_ends(l, &t->ip, seg->sport, seg->dport);
	say(l, " [");
	for (unsigned i = 0; i < sizeof(names) - 1; i++) {
		if (seg->flags & 1u << i)
			say(l, "%c", names[i]);
	}
	seq = seg->seq - seq_zero;
	say(l, "] seq %" PRIu32, seq);
	if (seg->len)
		say(l, ":%" PRIu32, seq + seg->len);
	if (seg->flags & TCP_ACK)
		say(l, " ack %" PRIu32, seg->ack - ack_zero);
	say(l, " win %u", seg->wnd);
	if (seg->flags & TCP_URG)
		say(l, " urg %u", seg->up);
	say(l, " len %" PRIu32, seg->len);
	say_options(l, seg, ack_zero);
}

static void say_icmp(struct line *l, const struct test_packet *t)
{
	bool v6 = t->ip.version == 6;
	const struct icmp_msg *m = &t->icmp;
	struct icmp_quote q;
	struct nd_msg nd;

	say_ends(l, &t->ip, -1, -1);
	say(l, " ICMP%s type %u code %u rest %#" PRIx32 " len %" PRIu32, v6 ? "v6" : "", m->type,
	    m->code, m->rest, m->body_len);
	if (v6 && nd_parse(m, t->ip.ttl, &t->ip.src, &t->ip.dst, &nd)) {
		say(l, " target ");
		say_end(l, &nd.target, -1);
	} else if (v6 ? m->type < 128
		      : m->type == ICMP4_UNREACHABLE || m->type == ICMP4_TIME_EXCEEDED ||
				   m->type == ICMP4_PARAMETER) {
		struct ip_hdr ends = { 0 };

		if (!icmp_quote_parse(m->body, m->body_len, v6, &q)) {
			say(l, " (no quote)");
			return;
		}
		ends.src = q.src;
		ends.dst = q.dst;
		say(l, " (protocol %u, ", q.protocol);
		say_ends(l, &ends, q.sport, q.dport);
		say(l, ")");
	}
}

char *packet_text(char text[PACKET_LINE], const struct test_packet *t,
		  const struct packet_base *base)
{
	struct line l = { .text = text };

	text[0] = '\0';
	switch (t->kind) {
	case PACKET_BAD:
		say(&l, "%s", t->why);
		break;
	case PACKET_ARP:
		say(&l, "ARP op %u ", t->arp.op);
		say_end(&l, &t->arp.spa, -1);
		say(&l, " > ");
		say_end(&l, &t->arp.tpa, -1);
		break;
	case PACKET_TCP:
		say_tcp(&l, t, base);
		break;
	case PACKET_UDP:
		say_ends(&l, &t->ip, t->udp.sport, t->udp.dport);
		say(&l, " UDP len %" PRIu32, t->payload_len);
		break;
	case PACKET_ICMP:
		say_icmp(&l, t);
		break;
	case PACKET_FRAGMENT:
		say_ends(&l, &t->ip, -1, -1);
		say(&l, " protocol %u fragment id %#" PRIx32 " %" PRIu32 ":%" PRIu32 "%s",
		    t->ip.protocol, t->ip.id, t->ip.frag_off, t->ip.frag_off + t->payload_len,
		    t->ip.more_frags ? "+" : "");
		break;
	case PACKET_OTHER:
		if (t->has_ether && !t->ip.version) {
			say(&l, "Ethernet type %#x", t->ether.type);
			break;
		}
		say_ends(&l, &t->ip, -1, -1);
		say(&l, " protocol %u len %" PRIu32, t->ip.protocol, t->payload_len);
		break;
	}
	return text;
}

const char *packet_line(const uint8_t *frame, uint32_t len, bool ether,
			const struct packet_base *base)
{
	static char lines[4][PACKET_LINE];
	static unsigned next;
	struct test_packet t;

	packet_parse(&t, frame, len, ether);
	return packet_text(lines[next++ % 4], &t, base);
}
