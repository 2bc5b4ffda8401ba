/* SPDX-License-Identifier: MIT */
/* What TCP asks of IP: TTL, Diffserv, options, source routes (RFC 9293 3.9.1.9, 3.9.2). */
#include "tests/util/tcp_bench.h"

static struct bench b;

static void set(cpl_handle h, enum cpl_option option, uint64_t value)
{
	assert_int_equal(cpl_set_option(b.stack, h, option, value, b.now), 0);
}

/* MUST-49: of the stack, and of each connection; in the handshake and in a RST as well. */
static void ttl(void **state)
{
	cpl_handle h;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		bench_init(&b);
		b.v6 = v6;
		b.config.ttl = 33;
		bench_start(&b);
		bench_flow(&b, 0, 80);
		assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
		assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
		expect(&b, "S 0 ttl 33 <mss>");
		send(&b, "S. 0 ack 1 <mss 1000>");
		expect(&b, ". 1 ack 1 ttl 33");
		set(h, CPL_OPT_TTL, 7);
		assert_int_equal(bench_info(&b, h)->ttl, 7);
		bench_write(&b, h, 10);
		expect(&b, "P. 1:11 ack 1 ttl 7");
		send(&b, "P. 1:101 ack 11");
		expect(&b, ". 11 ack 101 ttl 7");
		assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
		expect(&b, "R. 11 ack 101 ttl 7");
		bench_end(&b);
	}
	bench_begin(&b);
	h = bench_active(&b, "mss 1000");
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_TTL, 0, b.now), -EINVAL);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_TTL, 256, b.now), -EINVAL);
	bench_end(&b);
}

/* MUST-48, SHLD-21, SHLD-22: the six bits, from the SYN on, and changed at any time; the two of ECN
 * are the stack's (RFC 3168 5, as Linux). */
static void diffserv(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		cpl_handle h;

		bench_init(&b);
		b.v6 = v6;
		bench_start(&b);
		bench_flow(&b, 0, 80);
		assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
		set(h, CPL_OPT_TOS, 0xb8);
		assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
		expect(&b, "S 0 tos 0xb8 <mss>");
		send(&b, "S. 0 ack 1 tos 0x10 <mss 1000>");
		expect(&b, ". 1 ack 1 tos 0xb8");
		for (unsigned tos = 0; tos < 256; tos += 51) {
			uint32_t seq = 1 + 10 * (tos / 51);

			set(h, CPL_OPT_TOS, tos);
			bench_write(&b, h, 10);
			expect(&b, "P. %u:%u ack 1 tos %u", seq, seq + 10, tos & 0xfc);
			send(&b, ". 1 ack %u", seq + 10);
		}
		assert_int_equal(bench_info(&b, h)->tos, 252);
		set(h, CPL_OPT_TOS, 0x20);
		assert_int_equal(cpl_close(b.stack, h, b.now), 0);
		expect(&b, "F. 61 ack 1 tos 0x20");
		send(&b, "F. 1 ack 62");
		expect(&b, ". 62 ack 2 tos 0x20"); /* from TIME-WAIT, too */
		bench_end(&b);
	}
}

/* MUST-50: options that we do not know, record route and timestamps are passed over. */
static void unknown_options(void **state)
{
	static const uint8_t options[] = { 1, 7, 7,  4, 0, 0, 0,   0, 68, 8, 5, 0, 0, 0,
					   0, 0, 94, 4, 1, 2, 148, 4, 0,  0, 0, 0, 0, 0 };
	cpl_handle l;

	(void)state;
	bench_begin(&b);
	l = bench_listen(&b, 80);
	b.ip_options = options;
	b.ip_options_n = sizeof(options);
	send(&b, "S 0 <mss 1000>");
	expect(&b, "S. 0 ack 1 <mss>");
	assert_int_equal(b.last.p.ip.options_len, 0);
	b.ip_options = options;
	b.ip_options_n = sizeof(options);
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	bench_accepted(&b, l);
	assert_int_equal(bench_drops(&b), 0);
	bench_end(&b);
}

/* ---- source routes ---- */

/* A loose (131) or strict (137) source route that has come by A and B, and is at its end. */
static const uint8_t by_two[] = { 1, 131, 11, 12, 192, 168, 1, 1, 192, 168, 2, 2 };
static const uint8_t by_one[] = { 1, 137, 7, 8, 192, 168, 9, 9 };
static const uint8_t unfinished[] = { 1, 131, 11, 8, 192, 168, 1, 1, 192, 168, 2, 2 };

static void with_route(const uint8_t *options, unsigned n)
{
	b.ip_options = options;
	b.ip_options_n = n;
}
#define WITH(options) with_route(options, sizeof(options))

/* The frame that expect() saw last goes to FIRST with this option; FIRST NULL: with none. */
static void expect_route(const char *first, const uint8_t *option, unsigned n)
{
	const struct ip_hdr *ip = &b.last.p.ip;
	struct cpl_addr dst;

	assert_int_equal(cpl_addr_parse(&dst, first), 0);
	assert_memory_equal(&ip->dst, &dst, 16);
	assert_int_equal(ip->options_len, n);
	if (n)
		assert_memory_equal(ip->options, option, n);
}

static void begin(void)
{
	bench_init(&b);
	b.config.source_routes = 1;
	bench_start(&b);
}

/* MUST-51: for an active OPEN; all that is sent goes by it, and it costs room in each segment. */
static void chosen_route(void **state)
{
	static const uint8_t option[] = { 131, 11, 4, 192, 168, 2, 2, 10, 0, 0, 2, 0 };
	struct cpl_addr hops[10];
	cpl_handle h;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		hops[i] = cpl_addr4(192, 168, (uint8_t)(i + 1), (uint8_t)(i + 1));
	bench_begin(&b); /* what the program asks for needs no configuration */
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	assert_int_equal(cpl_set_source_route(b.stack, h, hops, 10), -EINVAL);
	assert_int_equal(cpl_set_source_route(b.stack, h, &b.our_addr, 1), 0);
	assert_int_equal(cpl_set_source_route(b.stack, h, hops, 2), 0);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	expect(&b, "S 0 <mss>");
	expect_route("192.168.1.1", option, sizeof(option));
	assert_int_equal(cpl_set_source_route(b.stack, h, hops, 1), -EINVAL); /* too late */
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	expect_route("192.168.1.1", option, sizeof(option));
	assert_int_equal(bench_info(&b, h)->snd_mss, 1460 - 12); /* MUST-16 */
	bench_write(&b, h, 1500);
	expect(&b, ". 1:1449 ack 1");
	expect_route("192.168.1.1", option, sizeof(option));
	expect(&b, "P. 1449:1501 ack 1");
	assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
	expect(&b, "R. 1501 ack 1");
	expect_route("192.168.1.1", option, sizeof(option));
	bench_end(&b);

	/* As many as fit. */
	bench_begin(&b);
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	assert_int_equal(cpl_set_source_route(b.stack, h, hops, 9), 0);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	expect(&b, "S 0 <mss>");
	assert_int_equal(b.last.p.ip.options_len, 40);
	bench_end(&b);

	/* IPv6 has none (RFC 5095). */
	bench_init(&b);
	b.v6 = true;
	bench_start(&b);
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	assert_int_equal(cpl_set_source_route(b.stack, h, &b.peer_addr, 1), -EINVAL);
	assert_int_equal(cpl_set_source_route(b.stack, h, hops, 1), 0);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), -EINVAL);
	bench_end(&b);
}

/* MUST-53: the way that the SYN came, back, for every segment from the SYN,ACK on. */
static void route_back(void **state)
{
	static const uint8_t option[] = { 131, 11, 4, 192, 168, 1, 1, 10, 0, 0, 2, 0 };
	cpl_handle l, h;

	(void)state;
	begin();
	l = bench_listen(&b, 80);
	WITH(by_two);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss>");
	expect_route("192.168.2.2", option, sizeof(option));
	expect_after(&b, CPL_SECOND, "S. 0 ack 1 <mss>");
	expect_route("192.168.2.2", option, sizeof(option));
	WITH(by_two);
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, l);
	bench_write(&b, h, 1500);
	expect(&b, ". 1:1449 ack 1");
	expect_route("192.168.2.2", option, sizeof(option));
	expect(&b, "P. 1449:1501 ack 1");
	send(&b, ". 1 ack 1501"); /* one that comes without a route says nothing about it */
	send(&b, "P. 1:11 ack 1501");
	expect(&b, ". 1501 ack 11");
	expect_route("192.168.2.2", option, sizeof(option));
	bench_end(&b);
}

/* SHLD-24: a later segment came another way: that is the way back from then on. */
static void another_route_back(void **state)
{
	static const uint8_t option[] = { 131, 7, 4, 10, 0, 0, 2, 0 };
	cpl_handle l, h;

	(void)state;
	begin();
	l = bench_listen(&b, 80);
	WITH(by_two);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss>");
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, l);
	/* Not by one that is not believed. */
	WITH(by_one);
	send(&b, "P. 100000:100010 ack 1");
	expect(&b, ". 1 ack 1");
	assert_int_equal(b.last.p.ip.options_len, 12);
	WITH(by_one);
	send(&b, "P. 1:11 ack 5");
	expect(&b, ". 1 ack 1");
	assert_int_equal(b.last.p.ip.options_len, 12);
	WITH(by_one);
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	expect_route("192.168.9.9", option, sizeof(option));
	assert_int_equal(bench_info(&b, h)->snd_mss, 1460 - 8);
	bench_end(&b);

	/* Also when the first came without any. */
	begin();
	bench_passive(&b, "mss 1460");
	WITH(by_one);
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	expect_route("192.168.9.9", option, sizeof(option));
	bench_end(&b);

	/* Who opened actively without a route wants none. */
	begin();
	bench_active(&b, "mss 1460");
	WITH(by_one);
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	expect_route("10.0.0.2", NULL, 0);
	bench_end(&b);
}

/* MUST-52: the program's route is not overridden by any that arrives. */
static void chosen_over_received(void **state)
{
	static const uint8_t option[] = { 131, 7, 4, 10, 0, 0, 2, 0 };
	struct cpl_addr hop = cpl_addr4(192, 168, 77, 7);
	cpl_handle h, l;

	(void)state;
	begin();
	bench_flow(&b, 0, 80);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	assert_int_equal(cpl_set_source_route(b.stack, h, &hop, 1), 0);
	assert_int_equal(cpl_open_active(b.stack, h, &b.flow.peer, b.now), 0);
	expect(&b, "S 0 <mss>");
	WITH(by_two);
	send(&b, "S. 0 ack 1 <mss 1460>");
	expect(&b, ". 1 ack 1");
	expect_route("192.168.77.7", option, sizeof(option));
	bench_end(&b);

	begin();
	assert_int_equal(cpl_open(b.stack, NULL, &l, b.now), 0);
	assert_int_equal(cpl_set_source_route(b.stack, l, &hop, 1), 0);
	assert_int_equal(cpl_bind(b.stack, l, &(struct cpl_endpoint){ .port = 80 }, b.now), 0);
	assert_int_equal(cpl_open_passive(b.stack, l, 5, b.now), 0);
	bench_flow(&b, 80, 40000);
	WITH(by_two);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss>");
	expect_route("192.168.77.7", option, sizeof(option));
	WITH(by_two);
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	expect_route("192.168.77.7", option, sizeof(option));
	bench_end(&b);
}

/* A listener for both families: IPv6 goes its own way. */
static void route_of_one_family(void **state)
{
	struct cpl_addr hop = cpl_addr4(192, 168, 77, 7);
	cpl_handle l;

	(void)state;
	bench_init(&b);
	b.v6 = true;
	bench_start(&b);
	assert_int_equal(cpl_open(b.stack, NULL, &l, b.now), 0);
	assert_int_equal(cpl_set_source_route(b.stack, l, &hop, 1), 0);
	assert_int_equal(cpl_bind(b.stack, l, &(struct cpl_endpoint){ .port = 80 }, b.now), 0);
	assert_int_equal(cpl_open_passive(b.stack, l, 5, b.now), 0);
	bench_flow(&b, 80, 40000);
	send(&b, "S 0 <mss 1440>");
	expect(&b, "S. 0 ack 1 <mss>");
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	assert_int_equal(bench_info(&b, bench_accepted(&b, l))->snd_mss, 1440);
	bench_end(&b);
}

/* Off by default; never if the route is not at its end: that is for somebody else. */
static void refused_routes(void **state)
{
	(void)state;
	bench_begin(&b);
	bench_listen(&b, 80);
	WITH(by_two);
	expect_drop(&b, drop_ip_option, "S 0 <mss 1460>");
	WITH(by_one);
	expect_drop(&b, drop_ip_option, "S 0 <mss 1460>");
	bench_end(&b);

	begin();
	bench_listen(&b, 80);
	WITH(unfinished);
	expect_drop(&b, drop_ip_option, "S 0 <mss 1460>");
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ttl),
		cmocka_unit_test(diffserv),
		cmocka_unit_test(unknown_options),
		cmocka_unit_test(chosen_route),
		cmocka_unit_test(route_back),
		cmocka_unit_test(another_route_back),
		cmocka_unit_test(chosen_over_received),
		cmocka_unit_test(refused_routes),
		cmocka_unit_test(route_of_one_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
