/* SPDX-License-Identifier: MIT */
/* Addresses to text and back: RFC 4291 2.2, RFC 5952, and against the C library's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <couplet/addr.h>

#include "base/hash.h"

static void test_text(void **state)
{
	/* What is read, and how it is written. */
	static const char *const cases[][2] = {
		{ "10.0.0.1", "10.0.0.1" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::FFFF:c000:0201", "192.0.2.1" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "1::", "1::" },
		{ "0:0:0:0:0:0:0:0", "::" },
		{ "2001:0db8::0001", "2001:db8::1" },		   /* RFC 5952 4.1 */
		{ "2001:db8:0:0:0:0:2:1", "2001:db8::2:1" },	   /* 4.2.1 */
		{ "2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1" }, /* 4.2.2 */
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },	   /* 4.2.3 */
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },   /* 4.2.3 */
		{ "2001:DB8:ABCD::EF", "2001:db8:abcd::ef" },	   /* 4.3 */
		{ "64:ff9b::192.0.2.33", "64:ff9b::c000:221" },
		{ "::1.2.3.4", "::102:304" },
		{ "1:2:3:4:5:6:7.8.9.10", "1:2:3:4:5:6:708:90a" },
		{ "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0" },
		{ "::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};
	char text[CPL_ADDR_TEXT];
	struct cpl_addr addr;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(cpl_addr_parse(&addr, cases[i][0]), 0);
		assert_int_equal(cpl_addr_text(&addr, text), strlen(cases[i][1]));
		assert_string_equal(text, cases[i][1]);
	}
	addr = cpl_addr4(1, 2, 3, 4);
	cpl_addr_text(&addr, text);
	assert_string_equal(text, "1.2.3.4");
	memset(&addr, 0, sizeof(addr));
	cpl_addr_text(&addr, text);
	assert_string_equal(text, "::");
}

static void test_refused(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"1",
		"1.2.3",
		"1.2.3.4.",
		"1.2.3.4.5",
		".1.2.3.4",
		"1..2.3",
		"256.1.1.1",
		"1.2.3.1000",
		"01.2.3.4",
		"1.2.3.04",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.-4",
		"0x1.2.3.4",
		"a.b.c.d",
		":",
		":::",
		"1:",
		":1",
		"1::2::3",
		"1:::2",
		"::1:",
		"12345::",
		"g::",
		"1:2:3:4:5:6:7",
		"::1%lo",
		"[::1]",
		"::1/64",
		"1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:8:",
		"1:2:3:4:5:6:7:8::",
		"::1:2:3:4:5:6:7:8",
		"1:2:3:4:5:6:7:1.2.3.4",
		"1.2.3.4::",
		"::1.2.3.4:5",
		"::1.2.3",
		"::.1.2.3",
		"::256.1.1.1",
		"::ffff:01.2.3.4",
		"1:2:3:4:5:6:1.2.3.4:7",
		"1::2:3:4:5:6:7:1.2.3.4",
		"::1.2.3.4::",
		"1::a.2.3.4",
	};
	struct cpl_addr addr, before;
	unsigned i;

	(void)state;
	memset(&before, 0x5a, sizeof(before));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		addr = before;
		if (cpl_addr_parse(&addr, cases[i]) != -EINVAL)
			fail_msg("\"%s\" was taken for an address", cases[i]);
		assert_memory_equal(&addr, &before, sizeof(addr));
	}
}

/* Random addresses, with many zero groups: written as the C library does, and read back. */
static void test_round_trip(void **state)
{
	char ours[CPL_ADDR_TEXT], theirs[INET6_ADDRSTRLEN];
	struct cpl_addr addr, back;
	struct prng prng;
	unsigned i, k;
	int n;

	(void)state;
	prng_seed(&prng, 1);
	for (i = 0; i < 20000; i++) {
		for (k = 0; k < 16; k++)
			addr.b[k] = prng_below(&prng, 3) ? 0 : (uint8_t)prng_u64(&prng);
		if (!(addr.b[0] | addr.b[1]))
			addr.b[0] = 0x20; /* it writes ::a.b.c.d, which RFC 5952 does not ask for */
		n = cpl_addr_text(&addr, ours);
		assert_int_equal(n, strlen(ours));
		assert_true(strlen(ours) < CPL_ADDR_TEXT);
		assert_non_null(inet_ntop(AF_INET6, addr.b, theirs, sizeof(theirs)));
		assert_string_equal(ours, theirs);
		assert_int_equal(cpl_addr_parse(&back, ours), 0);
		assert_true(cpl_addr_equal(&addr, &back));
	}
}

/* Random text from the alphabet of addresses: taken exactly when the C library takes it. */
static void test_random_text(void **state)
{
	static const char *const parts[] = { ":",     "::", ":",   ".",	  ".",	 "0",
					     "1",     "12", "255", "256", "00",	 "ffff",
					     "12345", "a",  ":1:", "1.2", "::1", "x" };
	struct cpl_addr addr;
	struct in6_addr six;
	struct in_addr four;
	struct prng prng;
	char text[128];
	unsigned i, k, n, taken = 0;
	int want;

	(void)state;
	prng_seed(&prng, 2);
	for (i = 0; i < 300000; i++) {
		text[0] = '\0';
		n = (unsigned)prng_below(&prng, 18);
		for (k = 0; k < n; k++)
			strcat(text, parts[prng_below(&prng, sizeof(parts) / sizeof(parts[0]))]);
		want = inet_pton(AF_INET, text, &four) == 1 || inet_pton(AF_INET6, text, &six) == 1;
		if ((cpl_addr_parse(&addr, text) == 0) != want)
			fail_msg("\"%s\": the C library says %d", text, want);
		taken += (unsigned)want;
		if (want && inet_pton(AF_INET6, text, &six) == 1)
			assert_memory_equal(&addr, &six, 16);
		if (want && inet_pton(AF_INET, text, &four) == 1)
			assert_memory_equal(addr.b + 12, &four, 4);
	}
	assert_true(taken > 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_random_text),
	};

	return cmocka_run_group_tests_name("base/addr", tests, NULL, NULL);
}
