/* SPDX-License-Identifier: MIT */
/* Initial sequence numbers (RFC 9293 3.4.1, RFC 6528), timestamp offsets, ephemeral ports (6056).
 */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* The ISS and TSval of a SYN from our port 5555 to PORT of ADDR, sent now. */
static uint32_t iss_to(struct cpl_addr addr, uint16_t port, uint32_t *tsval)
{
	struct cpl_endpoint at = { .port = 5555 };
	cpl_handle h;

	bench_flow(&b, 5555, port);
	b.flow.peer.addr = addr;
	assert_int_equal(cpl_connect(b.stack, &at, &b.flow.peer, &h, b.now), 0);
	expect(&b, "S 0 <*>");
	if (tsval)
		*tsval = b.last.p.tcp.tsval;
	assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
	expect_nothing(&b);
	return b.flow.our_iss;
}

static uint32_t iss_of_listener(uint16_t peer_port)
{
	bench_flow(&b, 80, peer_port);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <*>");
	send(&b, "R 1");
	return b.flow.our_iss;
}

/* MUST-8, SHLD-1: ISN = M + F: M ticks every 64 ns, F stays. */
static void clock_driven(void **state)
{
	static const uint64_t steps[] = { 1000, CPL_MS, CPL_SECOND, 77 * CPL_SECOND };
	uint32_t before, after;

	(void)state;
	bench_begin(&b);
	bench_listen(&b, 80);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		before = iss_to(b.peer_addr, 80, NULL);
		bench_run(&b, steps[i]);
		after = iss_to(b.peer_addr, 80, NULL);
		assert_in_range(after - before, (uint32_t)(steps[i] / 64),
				(uint32_t)(steps[i] / 64 + 1));
		before = iss_of_listener(40000);
		bench_run(&b, steps[i]);
		after = iss_of_listener(40000);
		assert_in_range(after - before, (uint32_t)(steps[i] / 64),
				(uint32_t)(steps[i] / 64 + 1));
	}
	bench_end(&b);
}

/* SHLD-1: F depends on all four of addresses and ports; one tells nothing of another. */
static void keyed_by_connection(void **state)
{
	uint32_t iss[64];
	unsigned high[8] = { 0 };

	(void)state;
	bench_begin(&b);
	for (unsigned i = 0; i < 64; i++) {
		struct cpl_addr to = cpl_addr4(10, 0, 0, (uint8_t)(100 + i / 16));

		iss[i] = iss_to(to, (uint16_t)(80 + i % 16), NULL);
		high[iss[i] >> 29]++;
		for (unsigned j = 0; j < i; j++)
			assert_true(iss[i] - iss[j] > 1000 && iss[j] - iss[i] > 1000);
	}
	/* As from a die with eight sides: 8 of each on average. */
	for (unsigned i = 0; i < 8; i++)
		assert_in_range(high[i], 1, 20);
	bench_end(&b);
}

/* MUST-9: without the secret, every octet of which counts, nobody can compute it. */
static void keyed_by_secret(void **state)
{
	uint32_t iss[33], ports[33], tsval[33];

	(void)state;
	for (unsigned i = 0; i <= 32; i++) {
		cpl_handle h;

		bench_init(&b);
		b.config.timestamps = 1;
		if (i < 32)
			b.config.secret[i] ^= 1;
		bench_start(&b);
		iss[i] = iss_to(b.peer_addr, 80, &tsval[i]);
		h = bench_open(&b, 0, 80);
		ports[i] = bench_info(&b, h)->local_port;
		for (unsigned j = 0; j < i; j++) {
			assert_int_not_equal(iss[i], iss[j]);
			assert_int_not_equal(tsval[i], tsval[j]);
		}
		bench_end(&b);
	}
	for (unsigned i = 0, same = 0; i < 32; i++) {
		same += ports[i] == ports[32];
		assert_in_range(same, 0, 2);
	}
	/* The same secret gives the same: it is a function, not chance. */
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	assert_int_equal(iss_to(b.peer_addr, 80, NULL), iss[32]);
	bench_end(&b);
}

/* RFC 7323 5.4: one clock for each pair of hosts, in milliseconds, with an offset of its own. */
static void timestamp_clock(void **state)
{
	uint32_t one, two, other, later;

	(void)state;
	bench_init(&b);
	b.config.timestamps = 1;
	bench_start(&b);
	iss_to(b.peer_addr, 80, &one);
	iss_to(b.peer_addr, 81, &two);
	iss_to(cpl_addr4(10, 0, 0, 77), 80, &other);
	bench_run(&b, 12345 * CPL_MS);
	iss_to(b.peer_addr, 82, &later);
	assert_int_equal(one, two);
	assert_int_not_equal(one, other);
	assert_int_equal(later - one, 12345);
	assert_int_not_equal(one, (uint32_t)(b.start / CPL_MS));
	bench_end(&b);
}

/* ---- ephemeral ports ---- */

static uint16_t port_to(uint16_t remote)
{
	struct cpl_endpoint to = { .addr = b.peer_addr, .port = remote };
	cpl_handle h;

	if (cpl_connect(b.stack, NULL, &to, &h, b.now))
		return 0;
	return bench_info(&b, h)->local_port;
}

/* RFC 6056: in the range, none twice to one destination, and a destination does not tell of
 * another. */
static void ports_spread(void **state)
{
	uint16_t port[100];
	unsigned near = 0;

	(void)state;
	bench_begin(&b);
	for (unsigned i = 0; i < 100; i++) {
		port[i] = port_to(80);
		assert_in_range(port[i], 32768, 60999);
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(port[i], port[j]);
	}
	for (uint16_t i = 0; i < 100; i++) {
		port[i] = port_to((uint16_t)(2000 + i));
		for (unsigned j = 0; j < i; j++)
			near += (unsigned)(port[j] - port[i] + 10) <= 20;
	}
	assert_in_range(near, 0, 20); /* of 4,950 pairs, about 4 by chance */
	bench_end(&b);
}

/* All are taken: an error; another destination has all of its own. */
static void ports_exhausted(void **state)
{
	unsigned seen = 0;

	(void)state;
	bench_init(&b);
	b.config.port_first = 50000;
	b.config.port_last = 50009;
	bench_start(&b);
	for (unsigned i = 0; i < 10; i++) {
		uint16_t port = port_to(80);

		assert_in_range(port, 50000, 50009);
		assert_false(seen & 1u << (port - 50000));
		seen |= 1u << (port - 50000);
	}
	assert_int_equal(port_to(80), 0);
	assert_in_range(port_to(81), 50000, 50009);
	bench_end(&b);
}

/* A port that somebody listens on is left alone. */
static void port_of_listener(void **state)
{
	(void)state;
	bench_init(&b);
	b.config.port_first = 50000;
	b.config.port_last = 50001;
	bench_start(&b);
	bench_listen(&b, 50000);
	assert_int_equal(port_to(80), 50001);
	assert_int_equal(port_to(80), 0);
	bench_end(&b);
}

/* So is one that a connection was bound to, or accepted with, until that is over. */
static void port_of_bound(void **state)
{
	struct cpl_endpoint from = { .port = 50000 };
	cpl_handle h, listener;

	(void)state;
	for (int accepted = 0; accepted < 2; accepted++) {
		bench_init(&b);
		b.config.port_first = 50000;
		b.config.port_last = 50001;
		bench_start(&b);
		if (accepted) {
			listener = bench_listen(&b, 50000);
			send(&b, "S 0 <mss 1460>");
			expect(&b, "S. 0 ack 1 <*>");
			send(&b, ". 1 ack 1");
			h = bench_accepted(&b, listener);
			assert_int_equal(cpl_close(b.stack, listener, b.now), 0);
		} else {
			struct cpl_endpoint to = { .addr = b.peer_addr, .port = 80 };

			assert_int_equal(cpl_connect(b.stack, &from, &to, &h, b.now), 0);
		}
		for (uint16_t remote = 81; remote < 89; remote++)
			assert_int_equal(port_to(remote), 50001);
		assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
		assert_int_equal(port_to(81), 50000);
		bench_end(&b);
	}
}

/* TIME-WAIT does not block a port for a minute, if timestamps tell the incarnations apart. */
static void port_in_time_wait(void **state)
{
	(void)state;
	for (int ts = 0; ts < 2; ts++) {
		cpl_handle h;

		bench_init(&b);
		b.config.timestamps = (uint8_t)ts;
		b.config.port_first = b.config.port_last = 50000;
		bench_start(&b);
		h = bench_active(&b, ts ? "mss 1460,TS" : "mss 1460");
		assert_int_equal(port_to(80), 0);
		assert_int_equal(cpl_close(b.stack, h, b.now), 0);
		expect(&b, "F. 1 ack 1 <*>");
		send(&b, "F. 1 ack 2");
		expect(&b, ". 2 ack 2 <*>");
		assert_int_equal(port_to(80), 0);
		bench_run(&b, 1002 * CPL_MS);
		assert_int_equal(port_to(80), ts ? 50000 : 0);
		bench_run(&b, 60 * CPL_SECOND);
		if (!ts)
			assert_int_equal(port_to(80), 50000);
		bench_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clock_driven),	     cmocka_unit_test(keyed_by_connection),
		cmocka_unit_test(keyed_by_secret),   cmocka_unit_test(timestamp_clock),
		cmocka_unit_test(ports_spread),	     cmocka_unit_test(ports_exhausted),
		cmocka_unit_test(port_of_listener),  cmocka_unit_test(port_of_bound),
		cmocka_unit_test(port_in_time_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
