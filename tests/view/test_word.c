/* SPDX-License-Identifier: MIT */
/* The text buffer, and the formats of numbers, addresses and names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <couplet/couplet.h>

#include "view/text.h"

static void counts(void **state)
{
	(void)state;
	assert_string_equal(word_count(0).s, "0");
	assert_string_equal(word_count(999).s, "999");
	assert_string_equal(word_count(1000).s, "1,000");
	assert_string_equal(word_count(1234567).s, "1,234,567");
	assert_string_equal(word_count(UINT64_MAX).s, "18,446,744,073,709,551,615");
	assert_string_equal(word_bytes(1).s, "1 byte");
	assert_string_equal(word_bytes(65536).s, "65,536 bytes");
	assert_string_equal(word_size(812).s, "812 B");
	assert_string_equal(word_size(65536).s, "64 KiB");
	assert_string_equal(word_size(1258291).s, "1.20 MiB");
	assert_string_equal(word_size(UINT64_MAX).s, "16.0 EiB");
	assert_string_equal(word_rate(2500000).s, "20.0 Mbit/s");
	assert_string_equal(word_rate(100).s, "800 bit/s");
}

static void times(void **state)
{
	(void)state;
	assert_string_equal(word_ns(0).s, "0 s");
	assert_string_equal(word_ns(3).s, "3 ns");
	assert_string_equal(word_ns(12345).s, "12 us");
	assert_string_equal(word_ns(40200000).s, "40.2 ms");
	assert_string_equal(word_ns(1234567890).s, "1.234 s");
	assert_string_equal(word_ns(125 * CPL_SECOND).s, "2 min 05 s");
	assert_string_equal(word_ns(7500 * CPL_SECOND).s, "2 h 05 min");
	assert_string_equal(word_ns(200000 * CPL_SECOND).s, "2 days 07 h");
	assert_string_equal(word_ns(CPL_TIMER_OFF).s, "off");
}

static void sequence_numbers(void **state)
{
	(void)state;
	assert_string_equal(word_seq(4294967295u).s, "4294967295");
	assert_string_equal(word_seq_rel(1461, 0, "iss").s, "iss+1461");
	assert_string_equal(word_seq_rel(7, 7, "irs").s, "irs");
	assert_string_equal(word_seq_rel(5, 4294967290u, "iss").s, "iss+11");
	assert_string_equal(word_seq_rel(4294967293u, 0, "iss").s, "iss-3");
	/* Far above the ISS is still above: a connection that sent 3 GB. */
	assert_string_equal(word_seq_rel(3000000000u, 0, "iss").s, "iss+3000000000");
}

static void endpoints(void **state)
{
	struct cpl_addr a = cpl_addr4(10, 0, 0, 1), any4 = cpl_addr4(0, 0, 0, 0);
	struct cpl_addr any = { { 0 } }, six = { { 0xfe, 0x80, [15] = 1 } };

	(void)state;
	assert_string_equal(word_endpoint(&a, 80).s, "10.0.0.1:80");
	assert_string_equal(word_endpoint(&six, 80).s, "[fe80::1]:80");
	assert_string_equal(word_endpoint(&any, 22).s, "*:22");
	assert_string_equal(word_endpoint(&any4, 0).s, "*:*");
	assert_string_equal(word_addr(&six).s, "fe80::1");
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(word_options(CPL_OPT_BIT_WSCALE | CPL_OPT_BIT_TS | CPL_OPT_BIT_SACK).s,
			    "wscale ts sack");
	assert_string_equal(word_options(0).s, "none");
	assert_string_equal(word_flags(0x12).s, "SYN,ACK");
	assert_string_equal(word_flags(0x11).s, "FIN,ACK");
	assert_string_equal(word_flags(0x18).s, "PSH,ACK");
	assert_string_equal(word_flags(0x04).s, "RST");
	assert_string_equal(word_flags(0xff).s, "SYN,FIN,RST,PSH,URG,ECE,CWR,ACK");
	assert_string_equal(word_flags(0).s, "-");
	assert_string_equal(word_foreign("a\033[31mb\n\xc3\xa4").s, "a?[31mb???");
	assert_string_equal(view_state_name(CPL_FIN_WAIT_1), "FIN_WAIT_1");
	assert_string_equal(view_state_rfc(CPL_SYN_RECEIVED), "SYN-RECEIVED");
	assert_string_equal(view_state_name(CPL_STATES), "?");
	for (unsigned s = 0; s < CPL_STATES; s++) {
		assert_int_equal(view_state_find(view_state_name(s)), s);
		assert_int_equal(view_state_find(view_state_rfc(s)), s);
	}
	assert_int_equal(view_state_find("ESTAB"), CPL_ESTABLISHED);
	assert_int_equal(view_state_find("fin-wait-2"), CPL_FIN_WAIT_2);
	assert_int_equal(view_state_find("TIMEWAIT"), CPL_TIME_WAIT);
	assert_int_equal(view_state_find("nonsense"), -1);
	assert_int_equal(view_state_find(""), -1);
}

static void distances(void **state)
{
	(void)state;
	assert_int_equal(view_distance("netstat", "netstat"), 0);
	assert_int_equal(view_distance("nestat", "netstat"), 1);
	assert_int_equal(view_distance("netsatt", "NETSTAT"), 1);
	assert_int_equal(view_distance("explian", "explain"), 1);
	assert_int_equal(view_distance("", "abc"), 3);
	assert_int_equal(view_distance("saturday", "sunday"), 3);
}

static void buffer(void **state)
{
	struct text t;

	(void)state;
	text_init(&t);
	text_puts(&t, "x\n");
	text_puts(&t, "\xe2\x94\x82\xe2\x94\x82"); /* two box characters */
	assert_int_equal(text_at(&t), 2);
	text_column(&t, 5, 1);
	assert_int_equal(text_at(&t), 5);
	text_column(&t, 2, 1);
	assert_int_equal(text_at(&t), 6);
	t.colour = true;
	text_styled(&t, TEXT_RED, "ab");
	assert_int_equal(text_at(&t), 8);
	t.colour = false;
	text_styled(&t, TEXT_RED, "c");
	assert_string_equal(t.data + t.len - 1, "c");
	text_puts(&t, "\n");
	for (int i = 0; i < 10000; i++)
		text_printf(&t, "%d\n", i);
	text_printf(&t, "%400s|", "long");
	assert_int_equal(text_at(&t), 401);
	assert_false(t.failed);
	assert_int_equal(strlen(t.data), t.len);
	text_free(&t);
}

static void wrapped(void **state)
{
	struct text t;

	(void)state;
	text_init(&t);
	text_puts(&t, "key: ");
	text_wrap(&t, "one two three four", 5, 14);
	assert_string_equal(t.data, "key: one two\n     three\n     four");
	text_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),    cmocka_unit_test(times),
		cmocka_unit_test(endpoints), cmocka_unit_test(sequence_numbers),
		cmocka_unit_test(names),     cmocka_unit_test(distances),
		cmocka_unit_test(buffer),    cmocka_unit_test(wrapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
