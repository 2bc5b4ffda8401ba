/* SPDX-License-Identifier: MIT */
/*
 * What a connection says to what it receives in order: when it acknowledges (RFC 9293 3.8.6.3,
 * 3.10.7.4; RFC 5681 4.2), which window it offers (3.8.6, 3.8.6.2.2), and what becomes of lent
 * memory and of a pool that is exhausted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/seq.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

static void set(cpl_handle h, enum cpl_option option, uint64_t value)
{
	assert_int_equal(cpl_set_option(b.stack, h, option, value, b.now), 0);
}

/* ---- when to acknowledge ---- */

/* SHLD-18: delayed ACKs, but not for the first segments, which open the peer's window. */
static void quick_at_first(void **state)
{
	unsigned seq = 1;

	(void)state;
	bench_begin(&b);
	bench_passive(&b, "mss 1460");
	for (unsigned i = 0; i < 16; i++, seq += 100) {
		send(&b, "P. %u:%u ack 1", seq, seq + 100);
		expect(&b, ". 1 ack %u", seq + 100);
	}
	send(&b, "P. %u:%u ack 1", seq, seq + 100);
	expect_after(&b, 40 * CPL_MS, ". 1 ack %u", seq + 100);
	expect_nothing_for(&b, CPL_SECOND);
	bench_end(&b);
}

/* MUST-40: less than half a second after it came, whatever comes meanwhile; not configurable. */
static void delayed_by_less_than_half_a_second(void **state)
{
	cpl_stack *stack;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.delack_ns = CPL_SECOND / 2 - 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_QUICKACK, 0);
	send(&b, "P. 1:11 ack 1");
	expect_nothing_for(&b, 300 * CPL_MS);
	send(&b, "P. 11:21 ack 1"); /* does not start it anew */
	expect_after(&b, CPL_SECOND / 2 - 1 - 300 * CPL_MS, ". 1 ack 21");
	bench_end(&b);
	bench_init(&b);
	b.config.delack_ns = CPL_SECOND / 2;
	b.config.alloc = heap_alloc;
	b.config.release = heap_release;
	heap_init(&b.heap, UINT64_MAX);
	b.config.alloc_ctx = &b.heap;
	assert_int_equal(cpl_stack_new(&stack, &b.config, b.now), -EINVAL);
}

/* SHLD-19: every second segment of full size at once, or so many octets in smaller ones. */
static void every_second_segment(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_QUICKACK, 0);
	for (unsigned seq = 1; seq < 20000; seq += 2920) {
		send(&b, ". %u:%u ack 1", seq, seq + 1460);
		expect_nothing(&b);
		send(&b, ". %u:%u ack 1", seq + 1460, seq + 2920);
		expect(&b, ". 1 ack %u", seq + 2920);
		bench_read(&b, h, 2920);
	}
	bench_end(&b);

	bench_begin(&b); /* the peer's segments are smaller than what we allow */
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_QUICKACK, 0);
	for (unsigned i = 0; i < 4; i++) {
		send(&b, ". %u:%u ack 1", 1 + 600 * i, 601 + 600 * i);
		if (i & 1)
			expect(&b, ". 1 ack %u", 601 + 600 * i);
		else
			expect_nothing(&b);
	}
	bench_end(&b);

	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_QUICKACK, 0);
	for (unsigned i = 0; i < 10; i++) {
		send(&b, "P. %u:%u ack 1", 1 + 100 * i, 101 + 100 * i);
		expect_nothing(&b);
	}
	send(&b, "P. 1001:1101 ack 1"); /* twice 536 have come */
	expect(&b, ". 1 ack 1101");
	bench_end(&b);
}

/* An ACK that is due rides on data that goes. */
static void acks_ride_on_data(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_QUICKACK, 0);
	send(&b, "P. 1:101 ack 1");
	bench_read(&b, h, 100);
	bench_write(&b, h, 50);
	expect(&b, "P. 1:51 ack 101");
	send(&b, ". 101 ack 51");
	expect_nothing_for(&b, CPL_SECOND);
	bench_end(&b);
	/* A conversation: once an answer has carried an ACK, ACKs wait for answers. */
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "P. 1:101 ack 1");
	bench_write(&b, h, 50);
	expect(&b, "P. 1:51 ack 101");
	send(&b, "P. 101:201 ack 51");
	expect_nothing(&b);
	bench_write(&b, h, 50);
	expect(&b, "P. 51:101 ack 201");
	/* Until one waits in vain. */
	send(&b, "P. 201:301 ack 101");
	expect_after(&b, 40 * CPL_MS, ". 101 ack 301");
	send(&b, "P. 301:401 ack 101");
	expect(&b, ". 101 ack 401");
	/* As Linux: an answer is one even if an ACK went first, as long as it comes soon. */
	bench_run(&b, 40 * CPL_MS);
	bench_write(&b, h, 50);
	expect(&b, "P. 101:151 ack 401");
	send(&b, "P. 401:501 ack 151");
	expect(&b, ". 151 ack 501");
	bench_run(&b, 40 * CPL_MS - 1);
	bench_write(&b, h, 50);
	expect(&b, "P. 151:201 ack 501");
	send(&b, "P. 501:601 ack 201");
	expect_nothing(&b);
	bench_end(&b);
}

/*
 * As Linux: what ends a push is acknowledged when it is read, unless an answer may carry the ACK. A
 * segment that is shorter than the others ends one whatever its flags say.
 */
static void pushed_and_read(void **state)
{
	uint8_t data[1459];
	uint32_t seq = 1;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	for (unsigned i = 0; i < 16; i++, seq += 1460) { /* past the quick ACKs of the start */
		send(&b, ". %u:%u ack 1", seq, seq + 1460);
		expect(&b, ". 1 ack %u", seq + 1460);
	}
	send(&b, ". %u:%u ack 1", seq, seq + 1460);
	bench_read(&b, h, 17 * 1460);
	expect_nothing(&b); /* no push */
	send(&b, "P. %u:%u ack 1", seq + 1460, seq + 2920);
	expect(&b, ". 1 ack %u", seq += 2920);
	bench_read(&b, h, 1460);
	expect_nothing(&b); /* nothing is due */
	send(&b, "P. %u:%u ack 1", seq, seq + 1460);
	assert_int_equal(cpl_recv(b.stack, h, data, 1459, 0, b.now), 1459);
	expect_nothing(&b); /* that is not all of it */
	bench_read(&b, h, 1);
	expect(&b, ". 1 ack %u", seq += 1460);
	send(&b, ". %u:%u ack 1", seq, seq + 100);
	bench_read(&b, h, 100);
	expect(&b, ". 1 ack %u", seq += 100);
	/* A conversation. */
	send(&b, "P. %u:%u ack 1", seq, seq + 100);
	bench_write(&b, h, 50);
	expect(&b, "P. 1:51 ack %u", seq += 100);
	send(&b, "P. %u:%u ack 51", seq, seq + 100);
	bench_read(&b, h, 200);
	expect_nothing(&b);
	expect_after(&b, 40 * CPL_MS, ". 51 ack %u", seq + 100);
	bench_end(&b);
}

/* As Linux: each at once, while the program reads more in each round trip, and three times as much.
 */
static void quick_while_the_window_grows(void **state)
{
	uint32_t seq = 1, n = 0;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000,TS");
	for (unsigned round = 0, of = 10; round < 5; round++, of *= 2) {
		for (unsigned i = 0; i < of; i++, seq += 1000) {
			send(&b, ". %u:%u ack 1", seq, seq + 1000);
			bench_read(&b, h, 1000);
			expect(&b, ". 1 ack %u <*>", seq + 1000);
		}
		bench_run(&b, 20 * CPL_MS);
	}
	/* 160 were the most; all that came after them in their round trip counts. */
	while (n < 1000) {
		send(&b, ". %u:%u ack 1", seq, seq + 1000);
		bench_read(&b, h, 1000);
		n++;
		seq += 1000;
		if (!bench_take(&b))
			break;
	}
	assert_in_range(n, 3 * 160, 3 * 160 + 20);
	for (unsigned i = 0; i < 10; i++, seq += 2000) {
		send(&b, ". %u:%u ack 1", seq, seq + 1000);
		expect(&b, ". 1 ack %u <*>", seq + 1000);
		send(&b, ". %u:%u ack 1", seq + 1000, seq + 2000);
		bench_read(&b, h, 2000);
		expect_nothing(&b);
	}
	bench_end(&b);
}

static void quickack_option(void **state)
{
	uint64_t value;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_QUICKACK, 0);
	send(&b, "P. 1:101 ack 1");
	expect_nothing(&b);
	set(h, CPL_OPT_QUICKACK, 1); /* what is due goes now */
	expect(&b, ". 1 ack 101");
	send(&b, "P. 101:201 ack 1");
	expect(&b, ". 1 ack 201");
	assert_int_equal(cpl_get_option(b.stack, h, CPL_OPT_QUICKACK, &value, b.now), 0);
	assert_int_equal(value, 1);
	bench_end(&b);
}

/* MUST-58: one ACK for all that has come; MUST-59: only when all that was queued is processed. */
static void one_ack_for_a_batch(void **state)
{
	static uint8_t packets[12][1600];
	struct cpl_frame frames[12];
	static uint8_t data[1460];
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	for (unsigned i = 0; i < 12; i++) {
		struct ip_hdr ip = { .src = b.flow.peer.addr, .dst = b.flow.us.addr };
		struct tcp_seg seg = { .sport = b.flow.peer.port,
				       .dport = b.flow.us.port,
				       .seq = b.flow.iss + 1 + 1460 * i,
				       .ack = b.flow.our_iss + 1,
				       .flags = TCP_ACK,
				       .wnd = 65535,
				       .data = data,
				       .len = 1460 };

		for (unsigned j = 0; j < 1460; j++)
			data[j] = bench_octet(1460 * i + j);
		/* The second half in reverse: what is early and late in a batch is neither. */
		frames[i < 6 ? i : 17 - i] = (struct cpl_frame){
			.data = packets[i],
			.len = packet_tcp(packets[i], sizeof(packets[i]), &ip, &seg),
		};
	}
	set(h, CPL_OPT_QUICKACK, 1);
	assert_int_equal(cpl_input(b.stack, b.ifindex, frames, 12, b.now), 12);
	expect(&b, ". 1 ack 17521");
	expect_nothing_for(&b, CPL_SECOND);
	bench_read(&b, h, 17520);
	bench_end(&b);
}

/* ---- the window ---- */

/* MUST-39: the edge moves by a segment or half the buffer, or not at all. */
static void silly_window_avoided(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.rcvbuf = 6000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, ". 1:1461 ack 1");
	expect(&b, ". 1 ack 1461 win 4540");
	send(&b, ". 1461:2921 ack 1");
	expect(&b, ". 1 ack 2921 win 3080");
	send(&b, ". 2921:6001 ack 1");
	expect(&b, ". 1 ack 6001 win 0");
	bench_read_some(&b, h, 1000);
	expect_nothing(&b);
	send(&b, ". 6000 ack 1"); /* a probe */
	expect(&b, ". 1 ack 6001 win 0");
	bench_read_some(&b, h, 459);
	expect_nothing(&b);
	bench_read_some(&b, h, 1541); /* half the buffer */
	expect(&b, ". 1 ack 6001 win 3000");
	bench_read(&b, h, 3000);
	expect(&b, ". 1 ack 6001 win 6000");
	bench_end(&b);

	bench_init(&b); /* a small buffer: half of it is less than a segment */
	b.config.rcvbuf = 2048;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, ". 1:1461 ack 1");
	expect(&b, ". 1 ack 1461 win 588");
	send(&b, ". 1461:2049 ack 1");
	expect(&b, ". 1 ack 2049 win 0");
	bench_read_some(&b, h, 1023);
	expect_nothing(&b);
	bench_read_some(&b, h, 1);
	expect(&b, ". 1 ack 2049 win 1024");
	bench_end(&b);
}

/* A window that is large enough needs no update of its own. */
static void updates_only_when_they_matter(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	set(h, CPL_OPT_QUICKACK, 0);
	for (unsigned i = 0; i < 10; i++) {
		send(&b, ". %u:%u ack 1", 1 + 1460 * i, 1461 + 1460 * i);
		if (i & 1)
			expect(&b, ". 1 ack %u", 1461 + 1460 * i);
		bench_read(&b, h, 1460);
		expect_nothing(&b);
	}
	bench_end(&b);
}

/* SHLD-14: the right edge never moves to the left; MUST-39; whatever is read and whatever comes. */
static void edge_of(uint64_t seed)
{
	uint32_t edge = 0, seq = 1, shift, rcvbuf = 3000 + rnd(&seed, 200000), cur;
	cpl_handle h;

	bench_init(&b);
	b.config.window_scaling = 1;
	b.config.rcvbuf = rcvbuf;
	b.config.rcvbuf_max = rcvbuf << rnd(&seed, 8);
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,wscale 0");
	set(h, CPL_OPT_RCVBUF, rcvbuf);
	shift = bench_info(&b, h)->rcv_wscale;
	cur = bench_info(&b, h)->rcv_edge - b.flow.iss;
	for (unsigned i = 0; i < 2000; i++) {
		uint32_t room = cur - seq, n = 1 + rnd(&seed, rnd(&seed, 2) ? 1460 : 200);
		const struct cpl_info *info;

		if (n > room)
			n = room;
		if (n && rnd(&seed, 3)) {
			send(&b, ". %u:%u ack 1", seq, seq + n);
			seq += n;
		}
		info = bench_info(&b, h);
		if (!rnd(&seed, 5) && info->recv_queue)
			bench_read_some(&b, h, 1 + rnd(&seed, info->recv_queue));
		if (!rnd(&seed, 4))
			bench_run(&b, 100 * CPL_MS);
		while (bench_take(&b)) {
			const struct tcp_seg *seg = &b.last.p.tcp;
			uint32_t now = seg->ack - b.flow.iss + ((uint32_t)seg->wnd << shift);

			/* Rounding to units may cost less than a unit, once. */
			if (now + (1u << shift) <= edge)
				bench_fail(__FILE__, __LINE__, &b, "edge %u after %u", now, edge);
			if (now > edge + (1u << shift) && edge)
				assert_true(now - edge >= 536 || now - edge >= rcvbuf / 2);
			edge = edge > now ? edge : now;
		}
		info = bench_info(&b, h);
		cur = info->rcv_edge - b.flow.iss;
		assert_true(info->recv_queue <= rcvbuf + (1u << shift));
	}
	bench_end(&b);
}

static void the_edge(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++)
		edge_of(seed);
}

/* Scaling rounds up, but not for ever: a program that reads nothing is sent no more than it said.
 */
static void rounding_does_not_creep(void **state)
{
	unsigned sent = 0;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.window_scaling = 1;
	b.config.rcvbuf = 100000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,wscale 0");
	set(h, CPL_OPT_RCVBUF, 100000);
	assert_int_equal(bench_info(&b, h)->rcv_wscale, 7);
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t room = bench_info(&b, h)->rcv_wnd;
		uint32_t n = room > 97 ? 97 : room;

		if (n)
			send(&b, ". %u:%u ack 1", 1 + sent, 1 + sent + n);
		sent += n;
		while (bench_take(&b))
			;
	}
	assert_true(sent >= 100000 && sent <= 100000 + 128);
	bench_run(&b, 50 * CPL_MS);
	while (bench_take(&b))
		;
	assert_int_equal(b.last.p.tcp.wnd, 0);
	bench_read(&b, h, sent);
	expect(&b, ". 1 ack %u win %u", sent + 1, (100000 + 127) / 128);
	bench_end(&b);
}

/* The scale follows the largest buffer that there may be, also one that the program asks for. */
static void scale_fits_the_buffer(void **state)
{
	static const struct {
		uint32_t max;
		unsigned scale;
	} rows[] = { { 65535, 0 }, { 65536, 1 }, { 6u << 20, 7 }, { 1u << 30, 14 } };
	cpl_handle h;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bench_init(&b);
		b.config.window_scaling = 1;
		b.config.rcvbuf_max = rows[i].max;
		bench_start(&b);
		h = bench_open(&b, 0, 80);
		expect(&b, "S 0 win 65535 <mss 1460,wscale %u>", rows[i].scale);
		cpl_abort(b.stack, h, b.now);
		bench_end(&b);
	}
	bench_init(&b);
	b.config.window_scaling = 1;
	bench_start(&b);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	set(h, CPL_OPT_RCVBUF, 64u << 20);
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	b.flow.us.port = bench_info(&b, h)->local_port;
	expect(&b, "S 0 win 65535 <mss 1460,wscale 11>");
	h = bench_listen(&b, 80);
	set(h, CPL_OPT_RCVBUF, 20u << 20);
	send(&b, "S 0 <mss 1460,wscale 0>");
	expect(&b, "S. 0 ack 1 win 65535 <mss 1460,wscale 9>");
	bench_end(&b);
}

/* ---- a zero window ---- */

static cpl_handle zero_window(void)
{
	cpl_handle h;

	bench_init(&b);
	b.config.rcvbuf = 2920;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	send(&b, ". 1:1461 ack 1");
	send(&b, ". 1461:2921 ack 1");
	expect(&b, ". 101 ack 2921 win 0");
	bench_events(&b, h, NULL);
	return h;
}

/* MUST-66: RST, URG and ACK count, though no octet is taken. */
static void zero_window_is_not_deaf(void **state)
{
	cpl_handle h;

	(void)state;
	h = zero_window();
	send(&b, ". 2921 ack 51");
	assert_int_equal(bench_info(&b, h)->bytes_acked, 50);
	send(&b, ". 2921:3021 ack 101 win 7000"); /* text that does not fit: its ACK counts */
	expect(&b, ". 101 ack 2921 win 0");
	assert_int_equal(bench_info(&b, h)->bytes_acked, 100);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 7000);
	assert_int_equal(bench_info(&b, h)->recv_queue, 2920);
	send(&b, "U. 2921:3021 ack 101 urg 100");
	expect(&b, ". 101 ack 2921 win 0");
	assert_true(bench_events(&b, h, NULL) & CPL_EV_URGENT);
	send(&b, "U. 2921 ack 101 urg 200");
	assert_true(bench_events(&b, h, NULL) & CPL_EV_URGENT);
	send(&b, "R 2921");
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	bench_end(&b);
}

/* What starts beyond RCV.NXT is not acceptable, and answered. */
static void zero_window_refuses(void **state)
{
	cpl_handle h;

	(void)state;
	h = zero_window();
	send(&b, ". 2922:2923 ack 101");
	expect(&b, ". 101 ack 2921 win 0");
	assert_int_equal(bench_info(&b, h)->bytes_acked, 0);
	send(&b, "R 2922");
	expect_nothing(&b);
	expect_state(&b, CPL_ESTABLISHED);
	/* Probes of both kinds: one old octet, and one that does not fit. */
	send(&b, ". 2920:2921 ack 1");
	expect(&b, ". 101 ack 2921 win 0");
	send(&b, ". 2921:2922 ack 1");
	expect(&b, ". 101 ack 2921 win 0");
	send(&b, "F. 2921 ack 101"); /* a bare FIN needs no room */
	expect(&b, ". 101 ack 2922 win 0");
	expect_state(&b, CPL_CLOSE_WAIT);
	bench_read(&b, h, 2920);
	bench_end(&b);
}

/* ---- lent frames ---- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quick_at_first),
		cmocka_unit_test(delayed_by_less_than_half_a_second),
		cmocka_unit_test(every_second_segment),
		cmocka_unit_test(acks_ride_on_data),
		cmocka_unit_test(quickack_option),
		cmocka_unit_test(pushed_and_read),
		cmocka_unit_test(quick_while_the_window_grows),
		cmocka_unit_test(one_ack_for_a_batch),
		cmocka_unit_test(silly_window_avoided),
		cmocka_unit_test(updates_only_when_they_matter),
		cmocka_unit_test(the_edge),
		cmocka_unit_test(rounding_does_not_creep),
		cmocka_unit_test(scale_fits_the_buffer),
		cmocka_unit_test(zero_window_is_not_deaf),
		cmocka_unit_test(zero_window_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
