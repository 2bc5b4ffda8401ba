/* SPDX-License-Identifier: MIT */
/*
 * What a connection sends when nothing is lost: the size of segments, PSH, Nagle, cork
 * (RFC 9293 sections 3.7.4, 3.8.6.2.1 and 3.9.1.2).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "tests/util/tcp_bench.h"

static struct bench b;

static void set(cpl_handle h, enum cpl_option option, uint64_t value)
{
	assert_int_equal(cpl_set_option(b.stack, h, option, value, b.now), 0);
}

/* MUST-2: what leaves without offload has its checksum, whatever its pieces (the bench looks). */
static void checksums_over_odd_pieces(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	bench_write(&b, h, 1);
	expect(&b, "P. 1:2 ack 1");
	bench_write(&b, h, 3);
	bench_write(&b, h, 301);
	bench_write(&b, h, 1009);
	bench_write(&b, h, 2048);
	bench_write(&b, h, 777);
	send(&b, ". 1 ack 2");
	expect(&b, ". 2:1462 ack 1");
	expect(&b, ". 1462:2922 ack 1");
	expect(&b, "P. 2922:4140 ack 1");
	assert_int_equal(b.last.p.kind, PACKET_TCP);
	/* The same by hand: the sum over pseudo-header and segment is 0. */
	b.last.data[40] ^= 1;
	assert_int_equal(packet_parse(&b.last.p, b.last.data, b.last.len, false), PACKET_BAD);
	bench_end(&b);
}

/* SHLD-28: full segments first, and PSH on the last octet written (MUST-61). */
static void full_segments_first(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 2500);
	expect(&b, ". 1:1001 ack 1");
	expect(&b, ". 1001:2001 ack 1");
	expect(&b, "P. 2001:2501 ack 1");
	expect_nothing(&b);
	/* Many small writes are one segment when they leave together. */
	send(&b, ". 1 ack 2501");
	for (int i = 0; i < 10; i++)
		bench_write(&b, h, 100);
	expect(&b, "P. 2501:3501 ack 1");
	bench_end(&b);
}

/* The segment is the smallest of what peer, path and program allow, options deducted. */
static void size_follows_options(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_active(&b, "mss 1460,TS");
	bench_write(&b, h, 3000);
	expect(&b, ". 1:1449 ack 1 <TS>");
	expect(&b, ". 1449:2897 ack 1 <TS>");
	expect(&b, "P. 2897:3001 ack 1 <TS>");
	bench_end(&b);

	bench_begin(&b);
	h = bench_active(&b, "mss 9000"); /* the path allows 1500 */
	bench_write(&b, h, 1461);
	expect(&b, ". 1:1461 ack 1");
	expect(&b, "P. 1461:1462 ack 1");
	set(h, CPL_OPT_MAXSEG, 500);
	send(&b, ". 1 ack 1462");
	bench_write(&b, h, 501);
	expect(&b, ". 1462:1962 ack 1");
	expect(&b, "P. 1962:1963 ack 1");
	bench_end(&b);
}

/* SACK blocks take their place from the payload. */
static void sack_blocks_shorten_segments(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,sackOK");
	send(&b, ". 101:201 ack 1 <>");
	expect(&b, ". 1 ack 1 <sack 101:201>");
	bench_write(&b, h, 1460);
	expect(&b, ". 1:1449 ack 1 <sack 101:201>");
	expect(&b, "P. 1449:1461 ack 1 <sack 101:201>");
	send(&b, ". 1:101 ack 1461 <>");
	expect(&b, ". 1461 ack 201");
	bench_write(&b, h, 1460);
	expect(&b, "P. 1461:2921 ack 201");
	bench_end(&b);
}

/* A device that cuts gets as much as it may cut, in whole segments; the tail goes along. */
static void super_segments(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	b.iface.gso_max = 5000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 7300);
	expect(&b, "P. 1:5001 ack 1"); /* a burst ends with PSH */
	assert_int_equal(b.last.gso_size, 1000);
	expect(&b, "P. 5001:7301 ack 1");
	assert_int_equal(b.last.gso_size, 1000);
	assert_int_equal(bench_info(&b, h)->data_segs_out, 8);
	/* What is one segment needs no cutting. */
	send(&b, ". 1 ack 7301");
	bench_write(&b, h, 1000);
	expect(&b, "P. 7301:8301 ack 1");
	assert_int_equal(b.last.gso_size, 0);
	/* cwnd and window cut at whole segments. */
	send(&b, ". 1 ack 8301 win 4500");
	bench_write(&b, h, 6000);
	expect(&b, "P. 8301:12301 ack 1");
	assert_int_equal(b.last.gso_size, 1000);
	expect_nothing(&b);
	bench_end(&b);
}

/* A device that cuts IPv4 only is given IPv6 in single segments. */
static void super_segments_by_family(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.v6 = true;
	b.iface.mtu = 1520;
	b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	b.iface.gso_max = 60000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	bench_write(&b, h, 2920);
	expect(&b, ". 1:1461 ack 1");
	assert_int_equal(b.last.gso_size, 0);
	expect(&b, "P. 1461:2921 ack 1");
	bench_end(&b);
}

/* ---- PSH ---- */

/* MAY-15: a PUSH in the middle of what is written; SHLD-27: successive ones become one. */
static void pushes(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	set(h, CPL_OPT_CORK, 1);
	bench_write_flags(&b, h, 100, CPL_MSG_PUSH);
	bench_write_flags(&b, h, 100, CPL_MSG_PUSH);
	bench_write_flags(&b, h, 1900, 0);
	/* The first segment holds the end of both pushes: one bit. */
	expect(&b, "P. 1:1001 ack 1");
	/* No push ends in the second, and more follows it. */
	expect(&b, ". 1001:2001 ack 1");
	expect_nothing(&b);
	set(h, CPL_OPT_CORK, 0);
	expect(&b, "P. 2001:2101 ack 1");
	bench_end(&b);
}

/* ---- Nagle ---- */

/* SHLD-7, in Minshall's form: one short segment in flight holds the next; full ones do not. */
static void nagle(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	bench_write(&b, h, 10);
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->why, CPL_WHY_NAGLE);
	bench_write(&b, h, 20);
	expect_nothing(&b);
	/* A full segment goes at once; its tail waits. */
	bench_write(&b, h, 1000);
	expect(&b, ". 11:1011 ack 1");
	expect_nothing(&b);
	send(&b, ". 1 ack 11");
	expect(&b, "P. 1011:1041 ack 1");
	/* Full segments in flight hold nothing. */
	send(&b, ". 1 ack 1041");
	bench_write(&b, h, 1000);
	expect(&b, "P. 1041:2041 ack 1");
	bench_write(&b, h, 7);
	expect(&b, "P. 2041:2048 ack 1");
	bench_write(&b, h, 7);
	expect_nothing(&b);
	send(&b, ". 1 ack 2041");
	expect_nothing(&b);
	send(&b, ". 1 ack 2048");
	expect(&b, "P. 2048:2055 ack 1");
	bench_end(&b);
}

/* MUST-17 */
static void nagle_off(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	set(h, CPL_OPT_NODELAY, 1);
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	bench_write(&b, h, 10);
	expect(&b, "P. 11:21 ack 1");
	bench_write(&b, h, 1010);
	expect(&b, ". 21:1021 ack 1");
	expect(&b, "P. 1021:1031 ack 1");
	/* Switched off while something waits: it goes. */
	set(h, CPL_OPT_NODELAY, 0);
	bench_write(&b, h, 5);
	expect_nothing(&b);
	set(h, CPL_OPT_NODELAY, 1);
	expect(&b, "P. 1031:1036 ack 1");
	/* It is remembered under a cork, and pushes what the cork holds. */
	send(&b, ". 1 ack 1036");
	set(h, CPL_OPT_CORK, 1);
	bench_write(&b, h, 5);
	expect_nothing(&b);
	set(h, CPL_OPT_NODELAY, 1);
	expect(&b, "P. 1036:1041 ack 1");
	bench_write(&b, h, 5);
	expect_nothing(&b);
	bench_end(&b);
}

/* The end of data does not wait for Nagle: a short segment with FIN goes at once. */
static void fin_overrides_nagle(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	bench_write(&b, h, 10);
	expect_nothing(&b);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "FP. 11:21 ack 1");
	bench_end(&b);
}

/* ---- cork and MSG_MORE ---- */

/* MUST-60, MAY-16: held, but not for ever: 200 ms from when it began to wait. */
static void cork(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	set(h, CPL_OPT_CORK, 1);
	bench_write(&b, h, 300);
	expect_nothing_for(&b, 100 * CPL_MS);
	bench_write(&b, h, 300);
	expect_after(&b, 100 * CPL_MS, "P. 1:601 ack 1");
	send(&b, ". 1 ack 601");
	/* The next one waits again, its own 200 ms. */
	bench_run(&b, CPL_SECOND);
	bench_write(&b, h, 300);
	expect_after(&b, 200 * CPL_MS, "P. 601:901 ack 1");
	send(&b, ". 1 ack 901");
	/* Full segments go through; the tail when the cork is pulled. */
	bench_write(&b, h, 2100);
	expect(&b, ". 901:1901 ack 1");
	expect(&b, ". 1901:2901 ack 1");
	expect_nothing_for(&b, 10 * CPL_MS);
	set(h, CPL_OPT_CORK, 0);
	expect(&b, "P. 2901:3001 ack 1");
	bench_end(&b);
}

/* Pulling the cork lets Nagle decide again: it is no leave for the next short segment. */
static void cork_off_is_no_nodelay(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	set(h, CPL_OPT_CORK, 1);
	set(h, CPL_OPT_CORK, 0);
	bench_write(&b, h, 10);
	expect_nothing(&b);
	send(&b, ". 1 ack 11");
	expect(&b, "P. 11:21 ack 1");
	bench_end(&b);
}

static void more(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write_flags(&b, h, 300, CPL_MSG_MORE);
	expect_nothing_for(&b, 50 * CPL_MS);
	bench_write_flags(&b, h, 300, CPL_MSG_MORE);
	expect_nothing_for(&b, 50 * CPL_MS);
	bench_write(&b, h, 100);
	expect(&b, "P. 1:701 ack 1");
	send(&b, ". 1 ack 701");
	bench_write_flags(&b, h, 300, CPL_MSG_MORE);
	expect_after(&b, 200 * CPL_MS, "P. 701:1001 ack 1");
	send(&b, ". 1 ack 1001");
	/* A full segment does not wait, its tail does. */
	bench_write_flags(&b, h, 1300, CPL_MSG_MORE);
	expect(&b, ". 1001:2001 ack 1");
	expect_nothing_for(&b, 50 * CPL_MS);
	/* An ACK says that a round trip has passed: more was to follow sooner. It is no push. */
	send(&b, ". 1 ack 2001");
	expect(&b, ". 2001:2301 ack 1");
	/* The end of the data needs no last send. */
	send(&b, ". 1 ack 2301");
	bench_write_flags(&b, h, 300, CPL_MSG_MORE);
	expect_nothing(&b);
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "FP. 2301:2601 ack 1");
	bench_end(&b);
}

/* ---- before ESTABLISHED ---- */

/* RFC 9293 3.9.1.2: data written in SYN-SENT goes when the connection is there. */
static void written_early(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	bench_write(&b, h, 1500);
	expect(&b, "S 0 <mss 1460>");
	expect_nothing(&b);
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1:1001 ack 1");
	expect(&b, "P. 1001:1501 ack 1");
	send(&b, ". 1 ack 1501");
	expect_event(&b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE | CPL_EV_SENT_ALL, 0);
	bench_end(&b);
}

/* The send buffer is the limit; room is announced once a third of it is free. */
static void send_buffer(void **state)
{
	uint8_t *data = calloc(1, 20000);
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	set(h, CPL_OPT_SNDBUF, 9000);
	for (uint32_t i = 0; i < 20000; i++)
		data[i] = bench_octet(i);
	assert_int_equal(cpl_send(b.stack, h, data, 20000, 0, b.now), 9000);
	assert_int_equal(cpl_send(b.stack, h, data, 1, 0, b.now), -11);
	for (int i = 0; i < 9; i++)
		expect(&b, "%s %d:%d ack 1", i == 8 ? "P." : ".", 1000 * i + 1, 1000 * i + 1001);
	send(&b, ". 1 ack 3001");
	expect_event(&b, h, 0, 0);
	send(&b, ". 1 ack 4001");
	expect_event(&b, h, CPL_EV_WRITABLE, 0);
	assert_int_equal(cpl_send(b.stack, h, data + 9000, 11000, 0, b.now), 4000);
	free(data);
	bench_end(&b);
}

/* CPL_OPT_NOTSENT_LOWAT: what is not sent yet stays with the program; as Linux tells of room. */
static void notsent_lowat(void **state)
{
	uint8_t data[20000];
	cpl_handle h;
	uint64_t v;

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = bench_octet(i);
	bench_init(&b);
	b.config.initial_window = 2;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	assert_int_equal(cpl_get_option(b.stack, h, CPL_OPT_NOTSENT_LOWAT, &v, b.now), 0);
	assert_int_equal(v, UINT32_MAX);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_NOTSENT_LOWAT, 4000, b.now), 0);
	assert_int_equal(cpl_writable(b.stack, h), 1);
	assert_int_equal(cpl_send(b.stack, h, data, sizeof(data), 0, b.now), 4000);
	assert_int_equal(cpl_writable(b.stack, h), 0);
	assert_int_equal(cpl_send(b.stack, h, data + 4000, 10000, 0, b.now), -EAGAIN);
	expect(&b, ". 1:1001 ack 1");
	expect(&b, ". 1001:2001 ack 1");
	/* 2,000 are unsent: it takes more, but nobody is woken for that. */
	expect_event(&b, h, 0, 0);
	assert_int_equal(cpl_writable(b.stack, h), 1);
	send(&b, ". 1 ack 1001");
	expect(&b, ". 2001:3001 ack 1");
	expect(&b, "P. 3001:4001 ack 1"); /* slow start: two for one */
	expect_event(&b, h, CPL_EV_WRITABLE, 0);
	assert_int_equal(cpl_send(b.stack, h, data + 4000, 16000, 0, b.now), 4000);
	/* One octet: a segment at a time all the same. */
	cpl_set_option(b.stack, h, CPL_OPT_NOTSENT_LOWAT, 1, b.now);
	assert_int_equal(cpl_writable(b.stack, h), 0);
	send(&b, ". 1 ack 4001");
	for (unsigned i = 4; i < 8; i++)
		expect(&b, "%s. %u:%u ack 1", i < 7 ? "" : "P", 1 + 1000 * i, 1001 + 1000 * i);
	expect_event(&b, h, CPL_EV_WRITABLE, 0);
	assert_int_equal(cpl_send(b.stack, h, data + 8000, 12000, 0, b.now), 1000);
	bench_end(&b);
}

/* Asked and found full, without a send that fell short: told all the same. */
static void writable_asked(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.initial_window = 2;
	b.config.notsent_lowat = 1000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 1000);
	expect(&b, "P. 1:1001 ack 1");
	bench_write(&b, h, 1000);
	expect(&b, "P. 1001:2001 ack 1");
	bench_write(&b, h, 1000);
	assert_int_equal(cpl_writable(b.stack, h), 0);
	expect_event(&b, h, 0, 0);
	send(&b, ". 1 ack 1001");
	expect(&b, "P. 2001:3001 ack 1");
	expect_event(&b, h, CPL_EV_WRITABLE, 0);
	assert_int_equal(cpl_writable(b.stack, h), 1);
	cpl_shutdown(b.stack, h, b.now);
	assert_int_equal(cpl_writable(b.stack, h), 1); /* a send would fail at once */
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksums_over_odd_pieces),
		cmocka_unit_test(full_segments_first),
		cmocka_unit_test(size_follows_options),
		cmocka_unit_test(sack_blocks_shorten_segments),
		cmocka_unit_test(super_segments),
		cmocka_unit_test(super_segments_by_family),
		cmocka_unit_test(pushes),
		cmocka_unit_test(nagle),
		cmocka_unit_test(nagle_off),
		cmocka_unit_test(fin_overrides_nagle),
		cmocka_unit_test(cork),
		cmocka_unit_test(cork_off_is_no_nodelay),
		cmocka_unit_test(more),
		cmocka_unit_test(written_early),
		cmocka_unit_test(send_buffer),
		cmocka_unit_test(notsent_lowat),
		cmocka_unit_test(writable_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
