/* SPDX-License-Identifier: MIT */
/*
 * Between the connection and the device: frames that were taken and not yet given back, while the
 * connection goes on, ends or is forgotten; frames that come in larger than a segment.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/seq.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

/* The frame is whole and right: the memory behind it is there. */
static void still_right(const struct cpl_out *out, uint32_t seq, uint32_t len)
{
	static uint8_t buffer[BENCH_FRAME];
	struct test_packet p;

	assert_int_equal(packet_gather(buffer, sizeof(buffer), out), out->len);
	assert_int_equal(packet_parse(&p, buffer, out->len, false), PACKET_TCP);
	assert_int_equal(p.tcp.seq - b.flow.our_iss, seq);
	assert_int_equal(p.tcp.len, len);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(p.tcp.data[i], bench_octet(seq - 1 + i));
}

static int take(struct cpl_out *out, unsigned max)
{
	return cpl_output(b.stack, b.ifindex, out, max, b.now);
}

static void give_back(const struct cpl_out *out, int n, int sent)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(cpl_output_done(b.stack, out[i].token, sent, b.now), 0);
}

/* What the device holds stays valid, whatever becomes of the connection meanwhile. */
static void frames_outlive_the_connection(void **state)
{
	struct cpl_out out[8];
	cpl_handle h;
	int n;

	(void)state;
	for (unsigned how = 0; how < 5; how++) {
		for (int sent = 0; sent < 2; sent++) {
			bench_begin(&b);
			h = bench_passive(&b, "mss 1000");
			bench_write(&b, h, 3000);
			n = take(out, 8);
			assert_int_equal(n, 3);
			switch (how) {
			case 0:
				cpl_abort(b.stack, h, b.now);
				break;
			case 1:
				send(&b, "R 1");
				cpl_close(b.stack, h, b.now);
				break;
			case 2:
				send(&b, ". 1 ack 3001");
				break;
			case 3:
				send(&b, ". 1 ack 1501");
				break;
			default:
				bench_run(&b, 1500 * CPL_MS); /* sent again meanwhile */
				assert_true(bench_take(&b));
				break;
			}
			/* Memory that was free is used again. */
			for (unsigned i = 0; i < 20; i++)
				send(&b, "P. %u:%u ack 1", 1 + 100 * i, 101 + 100 * i);
			for (int i = 0; i < 3; i++)
				still_right(&out[i], 1 + 1000 * (uint32_t)i, 1000);
			give_back(out, n, sent);
			assert_int_equal(cpl_output_done(b.stack, out[0].token, 1, b.now), -EINVAL);
			bench_run(&b, 20 * CPL_SECOND);
			bench_end(&b);
		}
	}
}

/* Refused after it was acknowledged or SACKed: nothing to send again. */
static void refused_too_late(void **state)
{
	struct cpl_out out[8];
	cpl_handle h;
	int n;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000,sackOK");
	bench_write(&b, h, 4000);
	n = take(out, 8);
	assert_int_equal(n, 4);
	send(&b, ". 1 ack 1001 <sack 2001:3001>");
	give_back(out, n, 0);
	expect(&b, ". 1001:2001 ack 1");
	expect(&b, "P. 3001:4001 ack 1");
	expect_nothing(&b);
	assert_int_equal(bench_info(&b, h)->retrans, 0);
	bench_end(&b);
}

/* In the middle of a super-segment that was refused an ACK has landed. */
static void refused_in_part(void **state)
{
	struct cpl_out out[8];
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	b.iface.gso_max = 60000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 8000);
	assert_int_equal(take(out, 8), 2); /* half of cwnd at most in each */
	send(&b, ". 1 ack 2501");
	give_back(out, 2, 0);
	expect(&b, "P. 2501:5001 ack 1");
	expect(&b, "P. 5001:8001 ack 1");
	assert_int_equal(bench_info(&b, h)->bytes_acked, 2500);
	bench_end(&b);
}

/* One frame at a time or many, taken and given back in turns: the same stream. */
static void one_at_a_time(void **state)
{
	struct cpl_out out[3];
	uint32_t seq = 1;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	bench_write(&b, h, 9000);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(take(&out[0], 1), 1);
		assert_int_equal(take(&out[1], 2), 2);
		for (unsigned j = 0; j < 3; j++, seq += 1000)
			still_right(&out[j], seq, 1000);
		give_back(out, 3, 1);
	}
	assert_int_equal(take(out, 3), 0);
	assert_int_equal(cpl_output_pending(b.stack, b.ifindex), 0);
	bench_end(&b);
}

/* Connections take turns at the device, a burst each: what leaves within a millisecond. */
static void connections_take_turns(void **state)
{
	struct bench_flow first;
	cpl_handle h[2];

	(void)state;
	bench_begin(&b);
	h[0] = bench_passive(&b, "mss 1000");
	first = b.flow;
	h[1] = bench_active(&b, "mss 1000");
	bench_write(&b, h[1], 5000);
	bench_write(&b, h[0], 5000);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(bench_take(&b));
		assert_int_equal(b.last.p.tcp.sport == first.us.port, i >= 5);
	}
	bench_end(&b);
}

/* Many small pieces of memory: a super-segment has no more of them than a frame can hold. */
static void super_segment_of_small_pieces(void **state)
{
	uint32_t seq = 1;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
	b.iface.gso_max = 64000;
	b.config.initial_window = 64;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	cpl_set_option(b.stack, h, CPL_OPT_CORK, 1, b.now);
	/* The head of the queue leaves again and again: small chunks gather behind it. */
	for (unsigned i = 0; i < 600; i++) {
		bench_write(&b, h, 99);
		if (i % 10 == 9) {
			bench_run(&b, CPL_MS);
			while (bench_take(&b)) {
				assert_int_equal(b.last.p.tcp.seq - b.flow.our_iss, seq);
				seq += b.last.p.tcp.len;
			}
			if (i % 200 == 199)
				send(&b, ". 1 ack %u", seq);
		}
	}
	bench_run(&b, 300 * CPL_MS);
	while (bench_take(&b))
		;
	assert_int_equal(bench_info(&b, h)->not_sent, 0);
	/* All again, as one. */
	bench_run(&b, 2 * CPL_SECOND);
	while (bench_take(&b))
		if (b.last.gso_size)
			assert_int_equal(b.last.p.tcp.len % 1000, 0);
	send(&b, ". 1 ack 59401");
	assert_int_equal(bench_info(&b, h)->send_queue, 0);
	bench_end(&b);
}

/* ---- frames that come in larger than a segment ---- */

/* A device that joins segments: each counts, and so does each for acknowledgments (SHLD-19). */
static void joined_segments(void **state)
{
	static uint8_t packet[BENCH_FRAME], data[BENCH_FRAME];
	struct ip_hdr ip = { 0 };
	struct tcp_seg seg = { .flags = TCP_ACK, .wnd = 65535, .data = data };
	struct cpl_frame f = { .data = packet, .gso_size = 1000 };
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	cpl_set_option(b.stack, h, CPL_OPT_QUICKACK, 0, b.now);
	ip.src = b.flow.peer.addr;
	ip.dst = b.flow.us.addr;
	seg.sport = b.flow.peer.port;
	seg.dport = b.flow.us.port;
	seg.ack = b.flow.our_iss + 1;
	for (uint32_t at = 0, len = 20000; len > 2000; at += len, len /= 2) {
		seg.seq = b.flow.iss + 1 + at;
		seg.len = len;
		for (uint32_t i = 0; i < len; i++)
			data[i] = bench_octet(at + i);
		f.len = packet_tcp(packet, sizeof(packet), &ip, &seg);
		assert_int_equal(cpl_input(b.stack, b.ifindex, &f, 1, b.now), 1);
		expect(&b, ". 1 ack %u", 1 + at + len);
		assert_int_equal(bench_info(&b, h)->rcv_mss_est, 1000);
	}
	assert_int_equal(bench_info(&b, h)->data_segs_in, 20 + 10 + 5 + 3);
	bench_read(&b, h, 37500);
	bench_end(&b);
}

/* ---- after a quiet time ---- */

/* What moves data is let go when nothing has moved for a while; all that counts survives. */
static void after_a_quiet_time(void **state)
{
	uint64_t srtt;
	uint32_t cwnd;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000,sackOK");
	for (unsigned i = 0; i < 4; i++) {
		bench_write(&b, h, 10000);
		bench_run(&b, 20 * CPL_MS);
		while (bench_take(&b))
			;
		send(&b, "P. %u:%u ack %u win 40000", 1 + 10 * i, 11 + 10 * i, 1 + 10000 * (i + 1));
		bench_read(&b, h, 10);
		while (bench_take(&b))
			;
	}
	srtt = bench_info(&b, h)->srtt;
	cwnd = bench_info(&b, h)->cwnd;
	assert_true(cwnd > 10000);
	expect_after(&b, 40 * CPL_MS, ". 40001 ack 41"); /* no answer that carries it */
	bench_run(&b, 10 * CPL_SECOND);
	assert_int_equal(bench_info(&b, h)->srtt, srtt);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 40000);
	assert_int_equal(bench_info(&b, h)->bytes_acked, 40000);
	assert_int_equal(bench_info(&b, h)->bytes_received, 40);
	/* RFC 5681 4.1: the window starts again, from no more than its initial size. */
	bench_write(&b, h, 30000);
	for (unsigned i = 0; i < 10; i++)
		expect(&b, ". %u:%u ack 41", 40001 + 1000 * i, 41001 + 1000 * i);
	expect_nothing(&b);
	send(&b, ". 41 ack 50001 win 40000");
	bench_run(&b, 10 * CPL_MS);
	while (bench_take(&b))
		;
	send(&b, ". 41 ack 70001");
	bench_run(&b, 10 * CPL_SECOND);
	/* Data comes first this time, early, twice, in order. */
	send(&b, "P. 51:61 ack 70001");
	expect(&b, ". 70001 ack 41 <sack 51:61>");
	send(&b, "P. 31:41 ack 70001");
	expect(&b, ". 70001 ack 41 <sack 31:41,sack 51:61>");
	send(&b, "P. 41:51 ack 70001");
	expect(&b, ". 70001 ack 61");
	bench_read(&b, h, 20);
	bench_end(&b);
}

/* A window that the program does not fill does not grow (RFC 7661, as Linux). */
static void unused_window_does_not_grow(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	for (unsigned i = 0; i < 100; i++) {
		bench_write(&b, h, 1000);
		expect(&b, "P. %u:%u ack 1", 1 + 1000 * i, 1001 + 1000 * i);
		bench_run(&b, 10 * CPL_MS);
		send(&b, ". 1 ack %u", 1001 + 1000 * i);
	}
	assert_int_equal(bench_info(&b, h)->cwnd, 10000);
	bench_end(&b);
}

/* As above, with another initial window: nor when the program was idle for long. */
static void configured_window_after_idleness(void **state)
{
	uint32_t at = 1;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.initial_window = 4;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	for (unsigned i = 0; i < 8; i++) {
		for (unsigned k = 0; k < 32; k++, at += 1000)
			bench_write(&b, h, 1000);
		bench_run(&b, 10 * CPL_MS);
		for (uint32_t acked = at - 32000; acked != at; bench_run(&b, 10 * CPL_MS)) {
			while (bench_take(&b))
				acked += b.last.p.tcp.len;
			send(&b, ". 1 ack %u", acked);
		}
	}
	assert_in_range(bench_info(&b, h)->cwnd, 16000, 64000);
	for (unsigned i = 0; i < 2; i++) { /* the block kept, and gone */
		bench_run(&b, i ? 10 * CPL_SECOND : 900 * CPL_MS);
		bench_write(&b, h, 1000);
		expect(&b, "P. %u:%u ack 1", at, at + 1000);
		assert_int_equal(bench_info(&b, h)->cwnd, 4000);
		at += 1000;
		send(&b, ". 1 ack %u", at);
	}
	bench_end(&b);
}

/* Nobody makes an RST anew: the device that refused it gets it once more. */
static void refused_reset(void **state)
{
	(void)state;
	bench_begin(&b);
	bench_flow(&b, 81, 1000);
	b.refuse = 1;
	send(&b, "S 0");
	expect(&b, "R. 0 ack 1");
	assert_int_equal(counter(&b, frames_refused), 1);
	/* But not for ever. */
	b.refuse = 2;
	send(&b, "S 0");
	expect_nothing(&b);
	assert_int_equal(counter(&b, frames_refused), 3);
	bench_end(&b);
}

/* Without a way out data is tried at 20 Hz no longer than it takes to see that this is no moment.
 */
static void no_route(void **state)
{
	struct cpl_addr any = cpl_addr4(0, 0, 0, 0);
	uint64_t before;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	b.peer_addr = cpl_addr4(192, 0, 2, 7);
	h = bench_passive(&b, "mss 1000");
	assert_int_equal(cpl_route_del(b.stack, &any, 0, &b.gateway, b.ifindex, b.now), 0);
	bench_write(&b, h, 1000);
	before = counter(&b, drop_no_route);
	expect_nothing_for(&b, 10 * CPL_SECOND);
	assert_in_range(counter(&b, drop_no_route) - before, 8, 30);
	/* As soon as it is there again: within a second. */
	assert_int_equal(cpl_route_add(b.stack, &any, 0, &b.gateway, b.ifindex, 10, b.now), 0);
	bench_run(&b, CPL_SECOND);
	expect(&b, "P. 1:1001 ack 1");
	send(&b, ". 1 ack 1001");
	bench_end(&b);
}

/* The shortest payload that is sent while nothing is acknowledged. */
static uint32_t least_sent(uint64_t ns)
{
	uint32_t least = UINT32_MAX;

	for (uint64_t end = b.now + ns; b.now < end; bench_run(&b, 10 * CPL_MS))
		while (bench_take(&b))
			if (b.last.p.tcp.len && b.last.p.tcp.len < least)
				least = b.last.p.tcp.len;
	return least;
}

/* An MTU of 1400 over IPv6: 1280 is less than a tenth smaller, and must be tried all the same. */
static void black_hole_near_the_minimum(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.v6 = true;
	b.iface.mtu = 1400;
	bench_start(&b);
	h = bench_passive(&b, "mss 1440");
	bench_write(&b, h, 4 * 1340);
	assert_int_equal(least_sent(4 * CPL_SECOND), 1220);
	assert_int_equal(bench_info(&b, h)->blackholes, 1);
	bench_end(&b);
}

/* What was sent with options in its header is not as long as the MSS, and as much too large. */
static void black_hole_beside_options(void **state)
{
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460,sackOK");
	send(&b, "P. 101:201 ack 1"); /* a hole: SACK goes with all that is sent */
	expect(&b, ". 1 ack 1 <sack 101:201>");
	bench_write(&b, h, 4 * 1448);
	assert_int_equal(least_sent(8 * CPL_SECOND), 1240 - 12); /* and no ends of what is cut */
	assert_int_equal(bench_info(&b, h)->blackholes, 1);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_outlive_the_connection),
		cmocka_unit_test(refused_too_late),
		cmocka_unit_test(refused_in_part),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(connections_take_turns),
		cmocka_unit_test(super_segment_of_small_pieces),
		cmocka_unit_test(joined_segments),
		cmocka_unit_test(after_a_quiet_time),
		cmocka_unit_test(unused_window_does_not_grow),
		cmocka_unit_test(configured_window_after_idleness),
		cmocka_unit_test(refused_reset),
		cmocka_unit_test(no_route),
		cmocka_unit_test(black_hole_near_the_minimum),
		cmocka_unit_test(black_hole_beside_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
