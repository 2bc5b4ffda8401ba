/* SPDX-License-Identifier: MIT */
/* Ethernet and ARP: a known frame, short ones, ARP for other networks, group addresses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/ether.h"

/* 10.0.0.1 at 02:00:00:00:00:01 asks for 10.0.0.2 */
static const uint8_t request[ETHER_HLEN + ARP_LEN] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06,
	0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01,
	0x0a, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x02,
};

static void test_known(void **state)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t one[6] = { 2, 0, 0, 0, 0, 1 }, none[6];
	uint8_t frame[sizeof(request)];
	struct ether_hdr h;
	struct arp_pkt a;
	struct cpl_addr want;

	(void)state;
	assert_true(ether_parse(request, sizeof(request), &h));
	assert_memory_equal(h.dst, all, 6);
	assert_memory_equal(h.src, one, 6);
	assert_int_equal(h.type, ETHER_ARP);
	assert_true(ether_is_group(h.dst));
	assert_false(ether_is_group(h.src));

	assert_true(arp_parse(request + ETHER_HLEN, ARP_LEN, &a));
	assert_int_equal(a.op, ARP_REQUEST);
	assert_memory_equal(a.sha, one, 6);
	assert_memory_equal(a.tha, none, 6);
	want = cpl_addr4(10, 0, 0, 1);
	assert_true(cpl_addr_equal(&a.spa, &want));
	want = cpl_addr4(10, 0, 0, 2);
	assert_true(cpl_addr_equal(&a.tpa, &want));

	ether_build(frame, &h);
	arp_build(frame + ETHER_HLEN, &a);
	assert_memory_equal(frame, request, sizeof(request));
}

static void test_short(void **state)
{
	struct ether_hdr h;
	struct arp_pkt a;

	(void)state;
	for (uint32_t len = 0; len <= sizeof(request); len++) {
		uint8_t *copy = exact_copy(request, len, len % 3);

		assert_int_equal(ether_parse(copy, len, &h), len >= ETHER_HLEN);
		exact_free(copy, len % 3);
	}
	for (uint32_t len = 0; len <= ARP_LEN; len++) {
		uint8_t *copy = exact_copy(request + ETHER_HLEN, len, len % 3);

		assert_int_equal(arp_parse(copy, len, &a), len == ARP_LEN);
		exact_free(copy, len % 3);
	}
}

/* Only ARP for IPv4 over Ethernet, whatever its operation; padding follows. */
static void test_arp_fields(void **state)
{
	uint8_t padded[46] = { 0 };
	struct arp_pkt a;

	(void)state;
	memcpy(padded, request + ETHER_HLEN, ARP_LEN);
	assert_true(arp_parse(padded, sizeof(padded), &a));
	for (unsigned at = 0; at < ARP_LEN; at++) {
		padded[at] ^= 0x40;
		assert_int_equal(arp_parse(padded, sizeof(padded), &a), at >= 6);
		padded[at] ^= 0x40;
	}
	padded[7] = ARP_REPLY;
	assert_true(arp_parse(padded, sizeof(padded), &a));
	assert_int_equal(a.op, ARP_REPLY);
}

static void test_round_trip(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		uint8_t p[ARP_LEN], again[ARP_LEN];
		struct arp_pkt a;
		struct ether_hdr h;

		rnd_fill(&seed, p, sizeof(p));
		assert_true(ether_parse(p, sizeof(p), &h));
		ether_build(again, &h);
		assert_memory_equal(again, p, ETHER_HLEN);
		memcpy(p, request + ETHER_HLEN, 6);
		assert_true(arp_parse(p, sizeof(p), &a));
		arp_build(again, &a);
		assert_memory_equal(again, p, ARP_LEN);
	}
}

static void test_multicast(void **state)
{
	static const uint8_t want4[6] = { 0x01, 0x00, 0x5e, 0x01, 0x02, 0x03 };
	static const uint8_t want6[6] = { 0x33, 0x33, 0xff, 0x11, 0x22, 0x33 };
	struct cpl_addr group = cpl_addr4(239, 0x81, 2, 3);
	uint8_t mac[6];

	(void)state;
	ether_multicast(mac, &group); /* RFC 1112 6.4: the low 23 bits */
	assert_memory_equal(mac, want4, 6);
	group = (struct cpl_addr){ { 0xff, 2, [11] = 1, [12] = 0xff, 0x11, 0x22, 0x33 } };
	ether_multicast(mac, &group);
	assert_memory_equal(mac, want6, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),	   cmocka_unit_test(test_short),
		cmocka_unit_test(test_arp_fields), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_multicast),
	};

	return cmocka_run_group_tests_name("ethernet and arp", tests, NULL, NULL);
}
