/* SPDX-License-Identifier: MIT */
/* Neighbour Discovery: each check of RFC 4861 7.1.1 and 7.1.2, broken one at a time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/icmp.h"
#include "wire/ip.h"

static const struct cpl_addr any = { { 0 } };
static const struct cpl_addr host = { { 0xfe, 0x80, [15] = 1 } };
static const struct cpl_addr target = { { 0xfe, 0x80, [13] = 0xaa, 0xbb, 0xcc } };
static const struct cpl_addr group = { { 0xff, 2, [11] = 1, 0xff, 0xaa, 0xbb, 0xcc } };
static const struct cpl_addr all_nodes = { { 0xff, 2, [15] = 1 } };

struct nd_case {
	const char *name;
	uint8_t type, code, hop_limit;
	uint32_t rest;
	const struct cpl_addr *src, *dst, *target;
	uint8_t options_len;
	uint8_t options[24];
	bool ok, has_mac, has_nonce;
};

#define NS	 ICMP6_NS, 0, 255, 0
#define NA(rest) ICMP6_NA, 0, 255, rest
#define SOURCE	 1, 1, 2, 0, 0, 0, 0, 7
#define TARGET	 2, 1, 2, 0, 0, 0, 0, 7
#define NONCE	 14, 1, 2, 0, 0, 0, 0, 7

static const struct cpl_addr mapped = { { [10] = 0xff, 0xff, 10, 0, 0, 1 } };

/* clang-format off */
static const struct nd_case cases[] = {
	{ "NS", NS, &host, &group, &target, 8, { SOURCE }, true, true, false },
	{ "NS, unicast", NS, &host, &target, &target, 0, { 0 }, true, false, false },
	{ "NS, two options", NS, &host, &group, &target, 16, { NONCE, SOURCE }, true, true, true },
	{ "NS, unknown option", NS, &host, &group, &target, 24, { 99, 2, [16] = SOURCE }, true,
	  true, false },
	{ "NS, the other's option", NS, &host, &group, &target, 8, { TARGET }, true, false, false },
	{ "NS for DAD", NS, &any, &group, &target, 8, { NONCE }, true, false, true },
	/* 7.1.1 */
	{ "NS, hop limit", ICMP6_NS, 0, 254, 0, &host, &group, &target, 0, { 0 }, false, 0, 0 },
	{ "NS, code", ICMP6_NS, 1, 255, 0, &host, &group, &target, 0, { 0 }, false, 0, 0 },
	{ "NS, target multicast", NS, &host, &group, &group, 0, { 0 }, false, 0, 0 },
	{ "NS, target mapped", NS, &host, &group, &mapped, 0, { 0 }, false, 0, 0 },
	{ "NS, option of 0", NS, &host, &group, &target, 8, { 1, 0 }, false, 0, 0 },
	{ "NS, option past the end", NS, &host, &group, &target, 8, { 99, 2 }, false, 0, 0 },
	{ "NS, 4 bytes more", NS, &host, &group, &target, 4, { 99, 1 }, false, 0, 0 },
	{ "NS, 1 byte more", NS, &host, &group, &target, 9, { SOURCE, 1 }, false, 0, 0 },
	{ "NS, address of 16 bytes", NS, &host, &group, &target, 16, { 1, 2 }, false, 0, 0 },
	{ "DAD to all nodes", NS, &any, &all_nodes, &target, 0, { 0 }, false, 0, 0 },
	{ "DAD to unicast", NS, &any, &target, &target, 0, { 0 }, false, 0, 0 },
	{ "DAD with an address", NS, &any, &group, &target, 8, { SOURCE }, false, 0, 0 },
	/* 7.1.2 */
	{ "NA", NA(0x60000000), &target, &host, &target, 8, { TARGET }, true, true, false },
	{ "NA to all", NA(0x20000000), &target, &all_nodes, &target, 8, { TARGET }, true, true,
	  false },
	{ "NA, no option", NA(0x40000000), &target, &host, &target, 0, { 0 }, true, false, false },
	{ "NA, the other's", NA(0), &target, &host, &target, 8, { SOURCE }, true, false, false },
	{ "NA, nonce", NA(0), &target, &host, &target, 8, { NONCE }, true, false, false },
	{ "NA, hop limit", ICMP6_NA, 0, 64, 0, &target, &host, &target, 0, { 0 }, false, 0, 0 },
	{ "NA, code", ICMP6_NA, 9, 255, 0, &target, &host, &target, 0, { 0 }, false, 0, 0 },
	{ "NA, target multicast", NA(0), &target, &host, &group, 0, { 0 }, false, 0, 0 },
	{ "NA, solicited to all", NA(0x40000000), &target, &all_nodes, &target, 0, { 0 }, false, 0,
	  0 },
	{ "NA, option of 0", NA(0), &target, &host, &target, 8, { 2, 0 }, false, 0, 0 },
	{ "RS", ICMP6_RS, 0, 255, 0, &host, &group, &target, 0, { 0 }, false, 0, 0 },
	{ "redirect", ICMP6_REDIRECT, 0, 255, 0, &host, &group, &target, 0, { 0 }, false, 0, 0 },
};
/* clang-format on */

static void test_cases(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const struct nd_case *c = &cases[i];
		struct icmp_msg m = { .type = c->type, .code = c->code, .rest = c->rest };
		uint8_t body[40], *copy;
		struct nd_msg nd;
		bool ok;

		memcpy(body, c->target->b, 16);
		memcpy(body + 16, c->options, c->options_len);
		m.body_len = 16u + c->options_len;
		copy = exact_copy(body, m.body_len, i % 3);
		m.body = copy;
		ok = nd_parse(&m, c->hop_limit, c->src, c->dst, &nd);
		if (ok != c->ok ||
		    (ok && (nd.has_mac != c->has_mac || nd.has_nonce != c->has_nonce)))
			fail_msg("%s: %d", c->name, ok);
		if (ok) {
			assert_true(cpl_addr_equal(&nd.target, c->target));
			assert_false(nd.has_mac && memcmp(nd.mac, mac, 6));
			assert_false(nd.has_nonce && memcmp(nd.nonce, mac, 6));
		}
		exact_free(copy, i % 3);
	}
}

static void test_short(void **state)
{
	struct nd_msg nd;

	(void)state;
	for (uint32_t len = 0; len < 24; len++) {
		uint8_t body[24] = { [16] = 1, [17] = 1 };
		uint8_t *copy = exact_copy(body, len, 1);
		struct icmp_msg m = { .type = ICMP6_NS, .body = copy, .body_len = len };

		assert_int_equal(nd_parse(&m, 255, &host, &group, &nd), len == 16);
		exact_free(copy, 1);
	}
}

static void test_round_trip(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		bool advert = rnd(&seed, 2);
		struct nd_msg nd, back;
		uint8_t body[ND_LEN_MAX], p[ND_LEN_MAX + 8];
		struct icmp_msg m;
		uint32_t len;

		memset(&nd, 0, sizeof(nd));
		nd.target = target;
		nd.target.b[15] = (uint8_t)rnd64(&seed);
		nd.has_mac = rnd(&seed, 2);
		if (nd.has_mac)
			rnd_fill(&seed, nd.mac, 6);
		nd.has_nonce = !advert && rnd(&seed, 2);
		if (nd.has_nonce)
			rnd_fill(&seed, nd.nonce, 6);
		nd.router = advert && rnd(&seed, 2);
		nd.solicited = advert && rnd(&seed, 2);
		nd.override = advert && rnd(&seed, 2);
		nd_build(&m, body, advert ? ICMP6_NA : ICMP6_NS, &nd);
		assert_true(m.body_len <= sizeof(body));
		len = icmp6_build(p, &m, &host, &target);
		assert_true(icmp6_parse(p, len, &host, &target, &m));
		assert_true(nd_parse(&m, 255, &host, &target, &back));
		assert_memory_equal(&back, &nd, sizeof(nd));
	}
}

static void test_hostile(void **state)
{
	uint64_t seed = 2;

	(void)state;
	for (unsigned round = 0; round < 30000; round++) {
		uint8_t body[64], *copy;
		uint32_t len = rnd(&seed, sizeof(body));
		struct icmp_msg m = { .type = rnd(&seed, 2) ? ICMP6_NS : ICMP6_NA };
		struct nd_msg nd;

		rnd_fill(&seed, body, sizeof(body));
		body[0] = 0xfe;
		for (unsigned at = 16; at < sizeof(body); at += 8) {
			body[at] &= 15;
			body[at + 1] &= 3;
		}
		copy = exact_copy(body, len, 1);
		m.body = copy;
		m.body_len = len;
		if (nd_parse(&m, 255, &host, &target, &nd))
			assert_true(len >= 16 && len % 8 == 0);
		exact_free(copy, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests_name("neighbour discovery", tests, NULL, NULL);
}
