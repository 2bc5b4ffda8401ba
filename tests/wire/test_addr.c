/* SPDX-License-Identifier: MIT */
/* Classes of addresses, prefixes, solicited-node groups: by table. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/ip.h"

/* clang-format off */
#define V4(a, b, c, d) { { [10] = 0xff, 0xff, a, b, c, d } }
/* clang-format on */

#define ANY	  1u
#define MULTICAST 2u
#define LOOPBACK  4u
#define LINK	  8u
#define BROADCAST 16u
#define SOURCE	  32u /* MUST-63 */

static const struct {
	struct cpl_addr addr;
	unsigned is;
} classes[] = {
	{ { { 0 } }, ANY },
	{ V4(0, 0, 0, 0), ANY },
	{ V4(0, 0, 0, 1), 0 }, /* RFC 1122 3.2.1.3 (b): a host on this network */
	{ V4(0, 255, 255, 255), 0 },
	{ V4(1, 0, 0, 0), SOURCE },
	{ V4(10, 0, 0, 1), SOURCE },
	{ V4(127, 0, 0, 1), LOOPBACK | SOURCE },
	{ V4(127, 255, 255, 255), LOOPBACK | SOURCE },
	{ V4(128, 0, 0, 1), SOURCE },
	{ V4(169, 254, 0, 1), LINK | SOURCE },
	{ V4(169, 253, 0, 1), SOURCE },
	{ V4(223, 255, 255, 255), SOURCE },
	{ V4(224, 0, 0, 0), MULTICAST },
	{ V4(239, 255, 255, 255), MULTICAST },
	{ V4(240, 0, 0, 1), SOURCE },
	{ V4(255, 255, 255, 254), SOURCE },
	{ V4(255, 255, 255, 255), BROADCAST },
	{ { { [15] = 1 } }, LOOPBACK | SOURCE },
	{ { { [15] = 2 } }, SOURCE },
	{ { { [0] = 1, [15] = 1 } }, SOURCE },
	{ { { 0x20, 1, 0x0d, 0xb8, [15] = 1 } }, SOURCE },
	{ { { 0xfe, 0x80, [15] = 1 } }, LINK | SOURCE },
	{ { { 0xfe, 0xbf, [15] = 1 } }, LINK | SOURCE },
	{ { { 0xfe, 0xc0, [15] = 1 } }, SOURCE },
	{ { { 0xfe, 0x7f, [15] = 1 } }, SOURCE },
	{ { { 0xff, 2, [15] = 1 } }, MULTICAST },
	{ { { 0xff } }, MULTICAST },
};

static void test_classes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(classes); i++) {
		const struct cpl_addr *a = &classes[i].addr;
		unsigned is =
			(addr_is_any(a) ? ANY : 0) | (addr_is_multicast(a) ? MULTICAST : 0) |
			(addr_is_loopback(a) ? LOOPBACK : 0) | (addr_is_link_local(a) ? LINK : 0) |
			(addr_is_broadcast(a) ? BROADCAST : 0) | (addr_is_source(a) ? SOURCE : 0);

		if (is != classes[i].is)
			fail_msg("address %u: %#x", i, is);
	}
}

/* Every prefix length, against bit by bit. */
static bool in_prefix_naive(const uint8_t *a, const uint8_t *p, unsigned len)
{
	for (unsigned i = 0; i < len; i++) {
		if ((a[i / 8] ^ p[i / 8]) >> (7 - i % 8) & 1)
			return false;
	}
	return true;
}

static void test_prefix(void **state)
{
	struct cpl_addr p6 = { { 0x20, 1, 0x0d, 0xb8, 0xaa, 0x55, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } };
	struct cpl_addr p4 = cpl_addr4(192, 168, 0xaa, 0x55);

	(void)state;
	for (unsigned bit = 0; bit < 128; bit++) {
		struct cpl_addr a = p6;

		a.b[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		for (unsigned len = 0; len <= 128; len++) {
			assert_int_equal(addr_in_prefix(&a, &p6, len), len <= bit);
			assert_int_equal(addr_in_prefix(&a, &p6, len),
					 in_prefix_naive(a.b, p6.b, len));
		}
		assert_true(addr_in_prefix(&p6, &p6, bit));
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		struct cpl_addr a = p4;

		a.b[12 + bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		for (unsigned len = 0; len <= 32; len++)
			assert_int_equal(addr_in_prefix(&a, &p4, len), len <= bit);
		/* More than all bits is all bits. */
		assert_false(addr_in_prefix(&a, &p4, 33));
		assert_true(addr_in_prefix(&p4, &p4, 1000));
	}
}

/* A prefix of one family holds no address of the other, however short it is. */
static void test_prefix_family(void **state)
{
	struct cpl_addr any6 = { { 0 } }, any4 = cpl_addr4(0, 0, 0, 0);
	struct cpl_addr a4 = cpl_addr4(10, 0, 0, 1), a6 = { { 0x20, [15] = 1 } };

	(void)state;
	assert_true(addr_in_prefix(&a4, &any4, 0));
	assert_true(addr_in_prefix(&a6, &any6, 0));
	assert_false(addr_in_prefix(&a4, &any6, 0));
	assert_false(addr_in_prefix(&a6, &any4, 0));
}

static void test_solicited_node(void **state)
{
	/* RFC 4291 2.7.1's own example */
	struct cpl_addr a = { { 0x40, 0x37, [8] = 1, 0x08, 0, 0x20, 0x0e, 0x0e, 0x8c, 0x6c } };
	struct cpl_addr want = { { 0xff, 2, [11] = 1, 0xff, 0x0e, 0x8c, 0x6c } };
	struct cpl_addr got = addr_solicited_node(&a);

	(void)state;
	assert_memory_equal(got.b, want.b, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_prefix_family),
		cmocka_unit_test(test_solicited_node),
	};

	return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
