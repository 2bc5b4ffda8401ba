/* SPDX-License-Identifier: MIT */
/* ip_parse() against any packet, and the transports' parsers against what it lets through. */
#include "tests/fuzz/fuzz.h"
#include "tests/util/packet.h"
#include "wire/bytes.h"

/* A packet of TCP or UDP, with IPv4 options or some IPv6 extension headers before it. */
static size_t fresh(uint8_t *data, size_t max, uint64_t *seed)
{
	static const uint8_t kinds[] = { 0, 43, 44, 60 };
	struct ip_hdr ip = { .src = cpl_addr4(10, 0, 0, 1), .dst = cpl_addr4(10, 0, 0, 2) };
	struct tcp_seg seg = { .flags = TCP_SYN, .opts = TCP_HAS_MSS, .mss = 1460 };
	struct udp_hdr udp = { .sport = 1, .dport = 2 };
	static const uint8_t options[] = { 1, 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0 };
	uint32_t len;

	if (max < 200)
		return 0;
	if (rnd(seed, 3)) {
		ip.src = (struct cpl_addr){ { 0xfd, [15] = 1 } };
		ip.dst = (struct cpl_addr){ { 0xfd, [15] = 2 } };
	} else if (rnd(seed, 2)) {
		ip.options = options;
		ip.options_len = sizeof(options);
	}
	len = rnd(seed, 2) ? packet_tcp(data, max, &ip, &seg)
			   : packet_udp(data, max, &ip, &udp, "hello", 5);
	for (unsigned n = data[0] >> 4 == 6 ? rnd(seed, 4) : 0; n; n--) {
		memmove(data + 48, data + 40, len - 40);
		memset(data + 40, 0, 8);
		data[40] = data[6];
		data[6] = kinds[rnd(seed, 4)];
		len += 8;
		put16(data + 4, (uint16_t)(len - 40));
	}
	return len;
}

static void fix(uint8_t *data, size_t size)
{
	packet_fix(data, (uint32_t)size);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return mutate(data, size, max, seed, fresh, fix);
}

static void check_header(const uint8_t *p, uint32_t len, const struct ip_hdr *h)
{
	CHECK(h->version == p[0] >> 4 && h->len <= len && h->hlen <= h->len);
	CHECK(h->frag_off % 8 == 0 && h->frag_off <= 65528);
	CHECK(h->fragment || (!h->more_frags && !h->frag_off));
	if (h->version == 4) {
		CHECK(h->hlen == (p[0] & 15) * 4u && h->options_len == h->hlen - 20);
		CHECK(!h->options_len || h->options == p + 20);
		CHECK(naive_sum(0, p, h->hlen) == 0xffff);
		CHECK(h->protocol == p[9] && !h->nh_off && !h->frag_hdr_off);
		return;
	}
	CHECK(!cpl_addr_is4(&h->src) && !cpl_addr_is4(&h->dst));
	CHECK(h->hlen >= 40 && h->hlen % 8 == 0 && !h->options && !h->dont_frag);
	CHECK(h->nh_off < h->hlen && p[h->nh_off] == h->protocol);
	CHECK(h->fragment == !!h->frag_hdr_off);
	if (h->fragment) {
		CHECK(p[h->frag_nh_off] == 44 && h->frag_nh_off < h->frag_hdr_off);
		CHECK(h->hlen == h->frag_hdr_off + IPV6_FRAG_HLEN && h->nh_off == h->frag_hdr_off);
	} else {
		CHECK(h->protocol != 44 && h->protocol != 43 && h->protocol != 60 && h->protocol);
	}
}

/* Octets from fields: those that were read, but for IPv4's reserved flag and the checksum with it.
 */
static void check_again(const uint8_t *p, const struct ip_hdr *h)
{
	uint8_t again[60], reference[60];
	unsigned hlen = ip_build(again, h);

	memcpy(reference, p, hlen);
	if (h->version == 4) {
		CHECK(hlen == h->hlen);
		reference[6] &= 0x7f;
		memcpy(reference + 10, again + 10, 2);
		CHECK(naive_sum(0, again, hlen) == 0xffff);
	} else {
		CHECK(hlen == IPV6_HLEN);
		reference[6] = h->protocol;
	}
	CHECK(!memcmp(again, reference, hlen));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ip_problem problem = { .pointer = UINT32_MAX };
	char text[PACKET_LINE];
	struct test_packet t;
	enum ip_verdict verdict;
	struct ip_hdr h;

	verdict = ip_parse(data, (uint32_t)size, &h, &problem);
	if (verdict == IP_OK) {
		check_header(data, (uint32_t)size, &h);
		check_again(data, &h);
	} else if (verdict == IP_BAD_OPTION || verdict == IP_UNKNOWN_OPTION) {
		CHECK(problem.pointer < size && problem.code <= 2);
		CHECK(verdict == IP_UNKNOWN_OPTION || !(problem.silent || problem.multicast_too));
		CHECK(verdict == IP_BAD_OPTION || h.version == 6);
	}
	packet_parse(&t, data, (uint32_t)size, false);
	CHECK((t.kind == PACKET_BAD) == !!t.why);
	if (t.kind != PACKET_BAD) {
		CHECK(verdict == IP_OK && t.payload >= data + h.hlen);
		CHECK(t.payload + t.payload_len <= data + h.len);
	}
	packet_text(text, &t, NULL);
	return 0;
}
