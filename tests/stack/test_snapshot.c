/* SPDX-License-Identifier: MIT */
/* Snapshots of a whole stack: the walk while things come and go, what is known, counters, trace. */
#include "tests/util/rig.h"
#include "tests/util/tcp_bench.h"

static struct rig r;
static struct bench b;
static int ip;

static cpl_handle connect_to(uint16_t port)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", port);
	cpl_handle h = 0;

	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), 0);
	return h;
}

/* Of the peer's PORT: a SYN, and the ACK that makes it a connection. */
static uint32_t handshake(uint16_t port, bool finish)
{
	uint32_t seq;

	rig_tcp_in(&r, ip, "10.0.0.2", port, "10.0.0.1", 80, TCP_SYN, 100, 0);
	seq = rig_expect(&r, ip, PACKET_TCP)->p.tcp.seq;
	if (finish)
		rig_tcp_in(&r, ip, "10.0.0.2", port, "10.0.0.1", 80, TCP_ACK, 101, seq + 1);
	return seq;
}

#define KEEP 300

/* Each of ours exactly once, while the tables grow, shrink and change. */
static void walk_while_it_changes(void **state)
{
	static cpl_handle keep[KEEP], churn[4000];
	static unsigned seen[KEEP];
	struct cpl_endpoint at = { .port = 80 };
	unsigned sum, first = 0, last = 0, halves = 0, waits = 0;
	struct cpl_info info[7];
	uint64_t cursor = 0;
	cpl_handle listener, udp;
	int n;

	(void)state;
	memset(seen, 0, sizeof(seen));
	ip = rig_begin(&r, CPL_IFACE_IP);
	assert_int_equal(cpl_listen(r.stack, &at, 100, &listener, r.now), 0);
	udp = rig_udp(&r, "::", 5000);
	keep[0] = listener;
	keep[1] = udp;
	for (unsigned i = 2; i < KEEP; i++) {
		if (i % 5 == 0)
			churn[last++] = connect_to((uint16_t)(2000 + i));
		keep[i] = connect_to((uint16_t)(1000 + i));
		rig_clear(&r);
	}
	for (uint16_t i = 0; i < 10; i++)
		handshake((uint16_t)(9000 + i), false);
	for (uint16_t i = 0; i < 5; i++) { /* TIME-WAIT */
		uint32_t seq = handshake((uint16_t)(9100 + i), true);
		cpl_handle h;

		assert_int_equal(cpl_accept(r.stack, listener, &h, r.now), 0);
		assert_int_equal(cpl_close(r.stack, h, r.now), 0);
		rig_expect(&r, ip, PACKET_TCP);
		rig_tcp_in(&r, ip, "10.0.0.2", (uint16_t)(9100 + i), "10.0.0.1", 80,
			   TCP_ACK | TCP_FIN, 101, seq + 2);
		rig_clear(&r);
	}
	while ((n = cpl_info_walk(r.stack, &cursor, info, 7, r.now)) > 0) {
		assert_in_range(n, 1, 7);
		for (int i = 0; i < n; i++) {
			for (unsigned k = 0; k < KEEP; k++)
				seen[k] += info[i].id == keep[k];
			halves += info[i].state == CPL_SYN_RECEIVED && info[i].remote_port >= 9000;
			waits += info[i].state == CPL_TIME_WAIT;
		}
		for (unsigned k = 0; k < 40 && last < ARRAY_LEN(churn); k++, last++)
			churn[last] = connect_to((uint16_t)(10000 + last));
		for (unsigned k = 0; k < 10 && first < last; k++)
			assert_int_equal(cpl_abort(r.stack, churn[first++], r.now), 0);
		cpl_close(r.stack, rig_udp(&r, "::", 6000), r.now);
		rig_clear(&r);
	}
	assert_int_equal(n, 0);
	assert_true(last > 1000);
	for (unsigned k = 0; k < KEEP; k++)
		if (seen[k] != 1)
			fail_msg("number %u appears %u times", k, seen[k]);
	assert_int_equal(halves, 10);
	assert_int_equal(waits, 5);
	/* At its end it stays. */
	assert_int_equal(cpl_info_walk(r.stack, &cursor, info, 7, r.now), 0);
	for (sum = 0, cursor = 0; cpl_info_walk(r.stack, &cursor, info, 1, r.now); sum++)
		;
	assert_int_equal(sum, KEEP + (last - first) + 15);
	cursor = 0;
	assert_int_equal(cpl_info_walk(r.stack, &cursor, info, 0, r.now), 0);
	assert_int_equal(cpl_info_walk(r.stack, &cursor, info, 1, r.now), 1);
	rig_end(&r);
}

/* What becomes another record during the walk is not missed. */
static void walk_while_it_moves(void **state)
{
	struct cpl_endpoint at = { .port = 80 };
	struct cpl_info info;
	cpl_handle listener;

	(void)state;
	for (unsigned after = 0; after < 8; after++) {
		uint64_t cursor = 0;
		unsigned seen = 0, calls = 0;
		uint32_t seq;

		ip = rig_begin(&r, CPL_IFACE_IP);
		assert_int_equal(cpl_listen(r.stack, &at, 100, &listener, r.now), 0);
		connect_to(1);
		connect_to(2);
		rig_clear(&r);
		handshake(9000, false);
		seq = handshake(9001, false);
		handshake(9002, false);
		do {
			if (calls++ == after)
				rig_tcp_in(&r, ip, "10.0.0.2", 9001, "10.0.0.1", 80, TCP_ACK, 101,
					   seq + 1);
			memset(&info, 0, sizeof(info));
			if (cpl_info_walk(r.stack, &cursor, &info, 1, r.now) != 1)
				break;
			seen += info.remote_port == 9001;
		} while (calls < 100);
		assert_in_range(seen, 1, 2);
		rig_end(&r);
	}
}

#define known(h, field)	  cpl_info_known(bench_info(&b, h), CPL_F_##field)
#define is_read(h, field) cpl_info_is_read(bench_info(&b, h), CPL_F_##field)

static void unknown_is_not_zero(void **state)
{
	cpl_handle h, listener;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <*>");
	/* Nothing was heard: what the peer says is unknown. */
	assert_true(is_read(h, iss) && is_read(h, snd_una) && is_read(h, snd_nxt));
	assert_false(known(h, irs) || known(h, rcv_nxt) || known(h, snd_wnd));
	assert_false(known(h, srtt) || known(h, rttvar) || known(h, rtt_min));
	assert_true(is_read(h, rto));
	assert_false(known(h, pid) || known(h, program) || known(h, uid) || known(h, netns));
	assert_false(known(h, accept_queue) || known(h, backlog));
	assert_int_equal(bench_info(&b, h)->why, CPL_WHY_HANDSHAKE);
	assert_true(bench_info(&b, h)->timer_rexmt <= CPL_SECOND);
	bench_run(&b, 50 * CPL_MS);
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	assert_true(is_read(h, irs) && is_read(h, rcv_nxt) && is_read(h, snd_wnd));
	assert_true(is_read(h, srtt) && is_read(h, rtt_min));
	assert_int_equal(bench_info(&b, h)->srtt, 50 * CPL_MS);
	assert_int_equal(bench_info(&b, h)->peer_mss, 1000);
	assert_false(known(h, ts_recent_age)); /* the peer has none */
	assert_true(cpl_info_is_derived(bench_info(&b, h), CPL_F_in_flight));
	assert_int_equal(bench_info(&b, h)->timer_rexmt, CPL_TIMER_OFF);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_OWNER_PID, 77, b.now), 0);
	assert_int_equal(cpl_set_program(b.stack, h, "a-name-of-more-than-fifteen"), 0);
	assert_int_equal(bench_info(&b, h)->pid, 77);
	assert_string_equal(bench_info(&b, h)->program, "a-name-of-more-");
	listener = bench_listen(&b, 8080);
	assert_true(is_read(listener, backlog) && is_read(listener, accept_queue));
	assert_false(known(listener, iss) || known(listener, srtt) || known(listener, cwnd));
	assert_int_equal(bench_info(&b, listener)->backlog, 8);
	bench_end(&b);
}

/* A mark is only on what info.def names, and a field without one holds 0. */
static void no_mark_no_value(void **state)
{
	struct cpl_info info;
	uint64_t cursor = 0;
	unsigned n = 0;

	(void)state;
	bench_begin(&b);
	bench_passive(&b, "mss 1460");
	bench_flow(&b, 80, 40001);
	send(&b, "S 0 <mss 1460>");
	while (cpl_info_walk(b.stack, &cursor, &info, 1, b.now) == 1) {
		static const uint8_t zero[128];

		n++;
		assert_int_equal(info.size, sizeof(info));
		assert_int_equal(info.version, CPL_INFO_VERSION);
		assert_int_equal(info.source, CPL_SOURCE_STACK);
#define CPL_FIELD(group, type, name, unit, text)                                                   \
	if (!cpl_info_known(&info, CPL_F_##name))                                                  \
		assert_memory_equal(&info.name, zero, sizeof(info.name));                          \
	assert_false(cpl_info_is_read(&info, CPL_F_##name) &&                                      \
		     cpl_info_is_derived(&info, CPL_F_##name));
#include <couplet/info.def>
	}
	assert_int_equal(n, 3); /* listener, connection, half-open */
	bench_end(&b);
}

static void udp(void **state)
{
	struct cpl_info info;
	cpl_handle h;

	(void)state;
	ip = rig_begin(&r, CPL_IFACE_IP);
	h = rig_udp(&r, "10.0.0.1", 5000);
	rig_run(&r, CPL_SECOND);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, "abc", 3);
	assert_int_equal(cpl_info_get(r.stack, h, &info, r.now), 0);
	assert_int_equal(info.protocol, IP_UDP);
	assert_int_equal(info.family, 4);
	assert_int_equal(info.recv_queue, 3);
	assert_int_equal(info.age, CPL_SECOND);
	assert_int_equal(info.id, h);
	assert_false(cpl_info_known(&info, CPL_F_state));
	assert_false(cpl_info_known(&info, CPL_F_snd_nxt));
	cpl_close(r.stack, h, r.now);
	assert_int_equal(cpl_info_get(r.stack, h, &info, r.now), -EBADF);
	rig_end(&r);
}

/* What goes in and comes out is counted; the parts add up to the whole. */
static void counters_add_up(void **state)
{
	const struct cpl_info *i;
	struct cpl_counters c;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1000");
	bench_write(&b, h, 2500);
	expect(&b, ". 1:1001 ack 1");
	expect(&b, ". 1001:2001 ack 1");
	expect(&b, "P. 2001:2501 ack 1");
	send(&b, "P. 1:101 ack 2501");
	bench_run(&b, CPL_SECOND);
	expect(&b, ". 2501 ack 101");
	b.bad_checksum = true;
	send(&b, ". 101 ack 2501");
	cpl_counters_get(b.stack, &c);
	assert_int_equal(c.size, sizeof(c));
	assert_int_equal(c.frames_in, 3);
	assert_int_equal(c.frames_out, 6); /* SYN, ACK, three of data, ACK */
	assert_int_equal(c.bytes_in, 44 + 140 + 40);
	assert_int_equal(c.bytes_out, 44 + 40 + 2500 + 3 * 40 + 40);
	assert_int_equal(c.segs_out, 6);
	assert_int_equal(c.segs_in + c.drop_tcp_checksum, 3);
	assert_int_equal(c.active_opens, 1);
	assert_int_equal(c.established, 1);
	assert_int_equal(bench_drops(&b), 1);
	i = bench_info(&b, h);
	assert_int_equal(i->segs_out, 6);
	assert_int_equal(i->segs_in, 2);
	assert_int_equal(i->data_segs_out, 3);
	assert_int_equal(i->bytes_sent, 2500);
	assert_int_equal(i->bytes_acked, 2500);
	assert_int_equal(i->bytes_received, 100);
	assert_int_equal(i->write_seq - i->iss - 1, 2500);
	assert_int_equal(i->recv_queue, 100);
	/* Time for each reason is all of the time. */
	assert_int_equal(i->why_time_sending + i->why_time_idle + i->why_time_handshake +
				 i->why_time_cwnd + i->why_time_rwnd + i->why_time_zero_wnd +
				 i->why_time_nagle + i->why_time_pacing + i->why_time_device +
				 i->why_time_memory + i->why_time_sndbuf + i->why_time_recovery,
			 i->age);
	bench_end(&b);
}

static void trace_cursor(void **state)
{
	struct cpl_trace t[16];
	uint64_t cursor = 0, lost = 99, total = 0, last = 0;
	cpl_handle h;
	int n;

	(void)state;
	bench_init(&b);
	b.config.trace_records = 64;
	bench_start(&b);
	h = bench_active(&b, "mss 1000");
	while ((n = cpl_trace_read(b.stack, &cursor, t, 3, &lost)) > 0) {
		assert_int_equal(lost, 0);
		for (int i = 0; i < n; i++) {
			assert_true(t[i].time >= last);
			last = t[i].time;
			total++;
		}
	}
	assert_true(total > 3);
	assert_int_equal(cursor, total);
	assert_int_equal(cpl_trace_read(b.stack, &cursor, t, 16, &lost), 0);
	/* It goes on from there, and says what it has missed. */
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 1");
	n = cpl_trace_read(b.stack, &cursor, t, 16, NULL);
	assert_in_range(n, 1, 15);
	assert_int_equal(t[0].handle, h);
	for (unsigned i = 0; i < 200; i++) {
		char c;

		assert_int_equal(cpl_send(b.stack, h, &c, 0, 0, b.now), 0);
	}
	total = cursor;
	n = cpl_trace_read(b.stack, &cursor, t, 16, &lost);
	assert_int_equal(n, 16);
	assert_true(lost >= 200 - 64);
	assert_int_equal(cursor, total + lost + 16);
	bench_end(&b);
	/* Off. */
	bench_init(&b);
	b.config.trace_records = 0;
	bench_start(&b);
	bench_active(&b, "mss 1000");
	cursor = 0;
	assert_int_equal(cpl_trace_read(b.stack, &cursor, t, 16, &lost), 0);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_while_it_changes),
		cmocka_unit_test(walk_while_it_moves),
		cmocka_unit_test(unknown_is_not_zero),
		cmocka_unit_test(no_mark_no_value),
		cmocka_unit_test(udp),
		cmocka_unit_test(counters_add_up),
		cmocka_unit_test(trace_cursor),
	};

	return cmocka_run_group_tests_name("stack: snapshot", tests, NULL, NULL);
}
