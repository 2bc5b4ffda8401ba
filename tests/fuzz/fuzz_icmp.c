/* SPDX-License-Identifier: MIT */
/*
 * ICMP and ICMPv6 messages, quotes and Neighbour Discovery. The first octet chooses: 1 ICMPv6, 2
 * the source is unspecified, 4 the destination is multicast, 8 the hop limit is not 255.
 */
#include "tests/fuzz/fuzz.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/icmp.h"
#include "wire/ip.h"

static const struct cpl_addr any, host = { { 0xfe, 0x80, [15] = 1 } };
static const struct cpl_addr target = { { 0xfe, 0x80, [15] = 2 } };

static void ends(uint8_t choice, struct cpl_addr *src, struct cpl_addr *dst)
{
	*src = choice & 2 ? any : host;
	*dst = choice & 4 ? addr_solicited_node(&target) : target;
}

static size_t fresh_error(uint8_t *p, bool v6, uint64_t *seed)
{
	uint8_t quote[80] = { 0 };
	struct ip_hdr ip = { .version = 4, .protocol = IP_TCP, .len = 60 };
	struct icmp_msg m = { .type = ICMP4_UNREACHABLE, .body = quote, .body_len = 48 };

	if (v6) {
		ip.version = 6;
		ip.protocol = rnd(seed, 2) ? IP_TCP : 60;
		ip.src = ip.dst = host;
		quote[40] = IP_TCP;
		m.type = ICMP6_TOO_BIG;
		m.body_len = 56;
	}
	ip_build(quote, &ip);
	return v6 ? icmp6_build(p, &m, &host, &target) : icmp4_build(p, &m);
}

static size_t fresh(uint8_t *data, size_t max, uint64_t *seed)
{
	struct nd_msg nd = { .target = target, .has_mac = true, .has_nonce = true };
	uint8_t body[ND_LEN_MAX];
	struct icmp_msg m;

	if (max < 128)
		return 0;
	data[0] = (uint8_t)rnd(seed, 8);
	if (!(data[0] & 1) || rnd(seed, 2))
		return 1 + fresh_error(data + 1, data[0] & 1, seed);
	nd_build(&m, body, rnd(seed, 2) ? ICMP6_NS : ICMP6_NA, &nd);
	return 1 + icmp6_build(data + 1, &m, &host, &target);
}

static void fix(uint8_t *data, size_t size)
{
	uint32_t len = (uint32_t)size - 1;
	struct cpl_addr src, dst;
	uint16_t check;

	if (size < 1 + ICMP_HLEN)
		return;
	ends(data[0], &src, &dst);
	put16(data + 3, 0);
	check = sum_finish(
		sum_add(data[0] & 1 ? sum_pseudo(&src, &dst, IP_ICMP6, len) : 0, data + 1, len));
	memcpy(data + 3, &check, 2);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return mutate(data, size, max, seed, fresh, fix);
}

static void check_nd(const struct icmp_msg *m, uint8_t choice)
{
	struct cpl_addr src, dst;
	uint8_t body[ND_LEN_MAX];
	struct nd_msg nd, back;
	struct icmp_msg again;

	ends(choice, &src, &dst);
	if (!nd_parse(m, choice & 8 ? 64 : 255, &src, &dst, &nd))
		return;
	CHECK(!(choice & 8) && !m->code && m->body_len % 8 == 0);
	CHECK(m->type == ICMP6_NS || m->type == ICMP6_NA);
	CHECK(!(m->type == ICMP6_NS && (choice & 2) && (nd.has_mac || !(choice & 4))));
	CHECK(!(m->type == ICMP6_NA && (choice & 4) && nd.solicited));
	nd_build(&again, body, m->type, &nd);
	CHECK(again.body == body && again.body_len <= sizeof(body));
	CHECK(nd_parse(&again, 255, &src, &dst, &back));
	CHECK(!memcmp(&back, &nd, sizeof(nd)));
}

static void check_quote(const uint8_t *body, uint32_t len, bool v6)
{
	struct icmp_quote q;

	if (!icmp_quote_parse(body, len, v6, &q))
		return;
	CHECK(len >= (v6 ? 40 : 20) && body[0] >> 4 == (v6 ? 6 : 4));
	CHECK(cpl_addr_is4(&q.src) == !v6 && cpl_addr_is4(&q.dst) == !v6);
	if (q.protocol == IP_TCP || q.protocol == IP_UDP)
		CHECK(len >= (v6 ? 48 : 28));
	else
		CHECK(!q.sport && !q.dport && !q.seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cpl_addr src, dst;
	struct icmp_msg m;
	uint8_t again[4096];
	const uint8_t *p;
	uint32_t len;
	bool v6;

	if (!size || size > sizeof(again))
		return 0;
	p = data + 1;
	len = (uint32_t)size - 1;
	v6 = data[0] & 1;
	/* A quote is read whatever the message around it. */
	check_quote(p, len, false);
	check_quote(p, len, true);
	ends(data[0], &src, &dst);
	if (!(v6 ? icmp6_parse(p, len, &src, &dst, &m) : icmp4_parse(p, len, &m)))
		return 0;
	CHECK(m.body == p + 8 && m.body_len == len - 8);
	CHECK((v6 ? icmp6_build(again, &m, &src, &dst) : icmp4_build(again, &m)) == len);
	CHECK(!memcmp(again, p, 2) && !memcmp(again + 4, p + 4, len - 4));
	CHECK(get16(again + 2) == get16(p + 2) || get16(again + 2) + get16(p + 2) == 0xffff);
	check_quote(m.body, m.body_len, v6);
	if (v6)
		check_nd(&m, data[0]);
	return 0;
}
