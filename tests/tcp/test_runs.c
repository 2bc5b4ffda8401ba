/* SPDX-License-Identifier: MIT */
/*
 * Segments that come in by one call: what follows each other is one run and has one ACK; whatever
 * differs from segment to segment is seen of each, as if they had come one by one. And bursts that
 * are cut into segments on their way to a device that can't.
 */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* N segments of LEN octets from FROM on, the last with PSH. */
static void burst(uint32_t from, unsigned n, uint32_t len)
{
	for (unsigned i = 0; i < n; i++)
		send(&b, "%s %u:%u ack 1", i == n - 1 ? "P." : ".", from + i * len,
		     from + (i + 1) * len);
}

static cpl_handle begin(bool v6, uint8_t kind, const char *options)
{
	bench_init(&b);
	b.v6 = v6;
	b.iface.kind = kind;
	b.config.timestamps = b.config.sack = b.config.window_scaling = 1;
	bench_start(&b);
	return bench_passive(&b, options);
}

static void one_ack(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		const char *options = i & 4 ? "mss 1000,TS 1 0" : "mss 1000";
		cpl_handle h = begin(i & 1, i & 2 ? CPL_IFACE_ETHER : CPL_IFACE_IP, options);
		uint64_t in = counter(&b, segs_in);

		bench_hold(&b);
		burst(1, 30, 1000);
		bench_release(&b);
		expect(&b, ". 1 ack 30001 win * <*>");
		expect_nothing(&b);
		assert_int_equal(counter(&b, segs_in) - in, 30);
		assert_int_equal(bench_info(&b, h)->segs_in, 30 + 1);
		assert_int_equal(bench_info(&b, h)->data_segs_in, 30);
		bench_read(&b, h, 30000);
		bench_end(&b);
	}
}

/* The ACK that the last two carry, and theirs only. */
static void acks_within(void **state)
{
	cpl_handle h = begin(false, CPL_IFACE_IP, "mss 1000");

	(void)state;
	bench_write(&b, h, 3000);
	for (unsigned i = 0; i < 3; i++)
		expect(&b, "%s %u:%u ack 1 win *", i == 2 ? "P." : ".", 1 + 1000 * i,
		       1001 + 1000 * i);
	bench_hold(&b);
	send(&b, ". 1:1001 ack 1001");
	send(&b, ". 1001:2001 ack 1001");
	send(&b, ". 2001:3001 ack 3001");
	send(&b, "P. 3001:3501 ack 3001");
	assert_int_equal(bench_info(&b, h)->snd_una - bench_info(&b, h)->iss, 1);
	bench_release(&b);
	assert_int_equal(bench_info(&b, h)->snd_una - bench_info(&b, h)->iss, 3001);
	bench_read(&b, h, 3500);
	bench_end(&b);
}

/* One among them is broken: it is counted, and what follows is early. */
static void broken_in_the_middle(void **state)
{
	cpl_handle h = begin(false, CPL_IFACE_IP, "mss 1000,sackOK");

	(void)state;
	bench_hold(&b);
	burst(1, 5, 1000);
	b.bad_checksum = true;
	send(&b, ". 5001:6001 ack 1");
	burst(6001, 4, 1000);
	bench_release(&b);
	assert_int_equal(counter(&b, drop_tcp_checksum), 1);
	/* RFC 5681 4.2: what is early is told at once. */
	for (bool last = false; !last;) {
		assert_true(bench_take(&b));
		assert_int_equal(b.last.p.tcp.ack - b.flow.iss, 5001);
		last = b.last.p.tcp.sack_n && b.last.p.tcp.sack[0].end - b.flow.iss == 10001;
	}
	expect_nothing(&b);
	send(&b, ". 5001:6001 ack 1");
	expect(&b, ". 1 ack 10001 win *");
	bench_read(&b, h, 10000);
	bench_end(&b);
}

static void hole_and_reverse(void **state)
{
	cpl_handle h = begin(true, CPL_IFACE_IP, "mss 1000,sackOK");

	(void)state;
	bench_hold(&b);
	burst(1001, 3, 1000);
	burst(5001, 2, 1000);
	send(&b, ". 4001:5001 ack 1");
	send(&b, ". 1:1001 ack 1");
	send(&b, ". 1:1001 ack 1");
	bench_release(&b);
	while (bench_take(&b))
		;
	assert_int_equal(b.last.p.tcp.ack - b.flow.iss, 7001);
	bench_read(&b, h, 7000);
	bench_end(&b);
}

/* FIN, a window update, an urgent pointer, RST: each ends a run and is seen. */
static void others_between(void **state)
{
	cpl_handle h = begin(false, CPL_IFACE_IP, "mss 1000");

	(void)state;
	bench_hold(&b);
	burst(1, 3, 1000);
	send(&b, ". 3001 ack 1 win 5000");
	send(&b, ". 3001:4001 ack 1 win 4000");
	send(&b, ". 4001:5001 ack 1 win 3000");
	send(&b, "U. 5001:5011 ack 1 urg 10 win 2000");
	send(&b, "F. 5011:5021 ack 1 win 1000");
	bench_release(&b);
	assert_int_equal(bench_info(&b, h)->snd_wnd, 1000);
	assert_int_equal(bench_info(&b, h)->state, CPL_CLOSE_WAIT);
	while (bench_take(&b))
		;
	assert_int_equal(b.last.p.tcp.ack - b.flow.iss, 5022);
	assert_int_equal(counter(&b, drop_tcp_window), 0);
	bench_end(&b);
}

/* A congestion mark of one among them is told (RFC 3168 6.1.3). */
static void marks(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_listen(&b, 80);
	send(&b, "SEW 0 <mss 1000>");
	expect(&b, "S.E 0 ack 1 <*>");
	send(&b, ". 1 ack 1");
	cpl_accept(b.stack, h, &h, b.now);
	bench_hold(&b);
	send(&b, ". 1:1001 ack 1 tos 2");
	send(&b, ". 1001:2001 ack 1 tos 3");
	send(&b, ". 2001:3001 ack 1 tos 2");
	bench_release(&b);
	while (bench_take(&b))
		;
	assert_int_equal(b.last.p.tcp.ack - b.flow.iss, 3001);
	assert_true(b.last.p.tcp.flags & TCP_ECE);
	bench_read(&b, h, 3000);
	bench_end(&b);
}

/* More than the window takes: what is beyond it is refused, as one by one. */
static void beyond_the_window(void **state)
{
	cpl_handle h;
	uint32_t wnd;

	(void)state;
	bench_init(&b);
	b.config.rcvbuf = b.config.rcvbuf_max = 20000;
	bench_start(&b);
	h = bench_passive(&b, "mss 1000");
	wnd = bench_info(&b, h)->rcv_edge - bench_info(&b, h)->rcv_nxt;
	assert_in_range(wnd, 5000, 25000);
	bench_hold(&b);
	burst(1, 40, 1000);
	bench_release(&b);
	assert_in_range(bench_info(&b, h)->rcv_nxt - bench_info(&b, h)->irs, wnd - 1000, wnd + 1);
	bench_read(&b, h, bench_info(&b, h)->recv_queue);
	bench_end(&b);
}

/* A burst for a device that can't cut: each packet is whole and right (bench_take() sums them). */
static void cut(bool v6, uint8_t kind, uint32_t flags)
{
	cpl_handle h;
	unsigned frames = 0;

	bench_init(&b);
	b.v6 = v6;
	b.iface.kind = kind;
	b.iface.flags |= flags;
	b.config.initial_window = 40;
	bench_start(&b);
	h = bench_active(&b, "mss 1000");
	bench_write(&b, h, 30500);
	cpl_shutdown(b.stack, h, b.now);
	while (bench_take(&b)) {
		uint32_t at = 1 + 1000 * frames++;

		assert_int_equal(b.last.gso_size, 0);
		assert_int_equal(b.last.p.tcp.seq - b.flow.our_iss, at);
		assert_int_equal(b.last.p.tcp.len, at < 30000 ? 1000 : 500);
		assert_int_equal(b.last.p.tcp.flags,
				 at < 30000 ? TCP_ACK : TCP_ACK | TCP_PSH | TCP_FIN);
	}
	assert_int_equal(frames, 31);
	assert_int_equal(bench_info(&b, h)->segs_out, 31 + 2);
	bench_end(&b);
}

static void cuts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++)
		cut(i & 1, i & 2 ? CPL_IFACE_ETHER : CPL_IFACE_IP, i & 4 ? CPL_IFACE_CSUM_OUT : 0);
}

/* The device refuses one in the middle of a burst: all goes, once, in order. */
static void cut_and_refused(void **state)
{
	cpl_handle h;
	uint32_t next = 1;

	(void)state;
	bench_init(&b);
	b.config.initial_window = 40;
	bench_start(&b);
	h = bench_active(&b, "mss 1000");
	bench_write(&b, h, 20000);
	for (unsigned i = 0; next < 20001; i++) {
		if (i % 5 == 3)
			b.refuse = 2;
		assert_true(bench_take(&b) || b.refuse == 0);
		assert_int_equal(b.last.p.tcp.seq - b.flow.our_iss, next);
		next += b.last.p.tcp.len;
	}
	assert_int_equal(next, 20001);
	assert_int_equal(bench_info(&b, h)->retrans, 0);
	expect_nothing(&b);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_ack),
		cmocka_unit_test(acks_within),
		cmocka_unit_test(broken_in_the_middle),
		cmocka_unit_test(hole_and_reverse),
		cmocka_unit_test(others_between),
		cmocka_unit_test(marks),
		cmocka_unit_test(beyond_the_window),
		cmocka_unit_test(cuts),
		cmocka_unit_test(cut_and_refused),
	};

	return cmocka_run_group_tests_name("tcp: runs and bursts", tests, NULL, NULL);
}
