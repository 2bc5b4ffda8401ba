/* SPDX-License-Identifier: MIT */
/* The catch-all listener: each SYN is an event that the embedder judges; and the one of UDP. */
#include "tests/util/tcp_bench.h"

static struct bench b;

/* A catch-all, and a flow to an address and port that are nobody's. */
static cpl_handle begin(int any_iface, uint32_t pending)
{
	cpl_handle h = 0;

	bench_begin(&b);
	assert_int_equal(cpl_catch_all(b.stack, any_iface ? 0 : b.ifindex, pending, &h, b.now), 0);
	bench_flow(&b, 443, 40000);
	b.flow.us.addr = cpl_addr4(93, 184, 216, 34);
	return h;
}

static cpl_handle syn(void)
{
	cpl_handle h;

	send(&b, "S 0 win 1000 <mss 1400>");
	expect_nothing(&b);
	h = bench_syn(&b);
	assert_true(h);
	return h;
}

static void accept_syn(void **state)
{
	(void)state;
	for (int any = 0; any < 2; any++) {
		cpl_handle all = begin(any, 10), h, c;
		const struct cpl_info *i;

		h = syn();
		i = bench_info(&b, h);
		assert_int_equal(i->state, CPL_SYN_RECEIVED);
		assert_memory_equal(&i->local_addr, &b.flow.us.addr, 16);
		assert_memory_equal(&i->remote_addr, &b.flow.peer.addr, 16);
		assert_int_equal(i->local_port, 443);
		assert_int_equal(i->remote_port, 40000);
		expect_nothing_for(&b, 5 * CPL_SECOND);
		assert_int_equal(cpl_syn_accept(b.stack, h, b.now), 0);
		expect(&b, "S. 0 ack 1 win 65535 <mss 1460>");
		assert_int_equal(cpl_syn_accept(b.stack, h, b.now), -EALREADY);
		expect_after(&b, CPL_SECOND, "S. 0 ack 1 win 65535 <mss 1460>");
		send(&b, ". 1 ack 1");
		expect_event(&b, all, CPL_EV_ACCEPT, 0);
		assert_int_equal(cpl_syn_accept(b.stack, h, b.now), -EBADF);
		c = bench_accepted(&b, all);
		send(&b, "P. 1:101 ack 1");
		expect(&b, ". 1 ack 101");
		bench_read(&b, c, 100);
		bench_write(&b, c, 3000);
		expect(&b, ". 1:1401 ack 101");
		expect(&b, ". 1401:2801 ack 101");
		expect(&b, "P. 2801:3001 ack 101");
		send(&b, "F. 101 ack 3001");
		expect(&b, ". 3001 ack 102");
		assert_int_equal(cpl_shutdown(b.stack, c, b.now), 0);
		expect(&b, "F. 3001 ack 102");
		bench_end(&b);
	}
}

static void refuse_syn(void **state)
{
	cpl_handle h;

	(void)state;
	begin(0, 10);
	h = syn();
	assert_int_equal(cpl_syn_refuse(b.stack, h, b.now), 0);
	expect(&b, "R. 0 ack 1");
	expect_state(&b, CPL_CLOSED);
	assert_int_equal(cpl_syn_refuse(b.stack, h, b.now), -EBADF);
	/* The next one is judged anew. */
	h = syn();
	assert_int_equal(cpl_syn_accept(b.stack, h, b.now), 0);
	expect(&b, "S. 0 ack 1 <mss>");
	bench_end(&b);
}

static void drop_syn(void **state)
{
	cpl_handle h;

	(void)state;
	begin(0, 10);
	h = syn();
	assert_int_equal(cpl_syn_drop(b.stack, h, b.now), 0);
	expect_nothing_for(&b, 10 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	assert_int_equal(cpl_syn_drop(b.stack, h, b.now), -EBADF);
	bench_end(&b);
}

/* Pending: the SYN comes again and again, and nothing is said until the verdict. */
static void pending_syn(void **state)
{
	cpl_handle h;

	(void)state;
	begin(0, 10);
	h = syn();
	for (unsigned i = 0; i < 4; i++) {
		bench_run(&b, CPL_SECOND << i);
		send(&b, "S 0 win 1000 <mss 1400>");
		expect_nothing(&b);
		assert_int_equal(bench_syn(&b), 0); /* told once */
	}
	/* Nor is anything else answered: as far as the peer knows there is nobody. */
	send(&b, ". 1 ack 1");
	send(&b, "S 5000000 <mss 1400>");
	send(&b, "R 100");
	send(&b, "F. 5000000 ack 1");
	expect_nothing(&b);
	assert_int_equal(cpl_syn_accept(b.stack, h, b.now), 0);
	expect(&b, "S. 0 ack 1 <mss>");
	bench_end(&b);

	/* The peer gives up: the handle is gone. */
	begin(0, 10);
	h = syn();
	send(&b, "R 1");
	expect_nothing(&b);
	assert_int_equal(cpl_syn_accept(b.stack, h, b.now), -EBADF);
	expect_nothing(&b);
	/* The same before the program has heard of it: it never does. */
	send(&b, "S 0 <mss 1400>");
	send(&b, "R 1");
	assert_int_equal(bench_syn(&b), 0);
	bench_end(&b);
}

/* PENDING_MAX SYNs at most wait; beyond, they are dropped and counted, never cookies. */
static void pending_limit(void **state)
{
	cpl_handle first = 0;

	(void)state;
	begin(0, 3);
	for (uint16_t i = 0; i < 3; i++) {
		b.flow.peer.port = (uint16_t)(40000 + i);
		first = first ? (cpl_handle)(syn(), first) : syn();
	}
	b.flow.peer.port = 40003;
	expect_drop(&b, drop_syn_queue, "S 0 <mss 1400>");
	assert_int_equal(counter(&b, cookies_sent), 0);
	assert_int_equal(cpl_syn_drop(b.stack, first, b.now), 0);
	syn();
	bench_end(&b);
}

/* Cookies always: not for these, which wait for a verdict. */
static void cookies_always(void **state)
{
	cpl_handle all, h;

	(void)state;
	bench_init(&b);
	b.config.syncookies = CPL_SYNCOOKIES_ALWAYS;
	bench_start(&b);
	assert_int_equal(cpl_catch_all(b.stack, 0, 5, &all, b.now), 0);
	bench_flow(&b, 443, 40000);
	h = syn();
	assert_int_equal(cpl_syn_accept(b.stack, h, b.now), 0);
	expect(&b, "S. 0 ack 1 <mss>");
	send(&b, ". 1 ack 1");
	bench_accepted(&b, all);
	assert_int_equal(counter(&b, cookies_sent), 0);
	bench_end(&b);
}

/* A listener comes first; closing the catch-all forgets its SYNs; the next SYN gets a RST. */
static void beside_listener(void **state)
{
	struct cpl_addr theirs;
	cpl_handle all = begin(1, 10), other, h;

	(void)state;
	theirs = b.flow.us.addr;
	assert_int_equal(cpl_catch_all(b.stack, 0, 10, &other, b.now), -EADDRINUSE);
	bench_listen(&b, 443);
	send(&b, "S 0 <mss 1400>");
	expect(&b, "S. 0 ack 1 <mss>");
	bench_flow(&b, 444, 40000);
	syn();
	b.flow.us.addr = theirs;
	h = syn();
	assert_int_equal(cpl_close(b.stack, all, b.now), 0);
	assert_int_equal(cpl_syn_accept(b.stack, h, b.now), -EBADF);
	/* An address that is not ours is nobody's again. */
	expect_drop(&b, drop_ip_not_ours, "S 0 <mss 1400>");
	b.flow.us.addr = b.our_addr;
	send(&b, "S 0 <mss 1400>");
	expect(&b, "R. 0 ack 1");
	bench_end(&b);
}

/* What is no SYN is nobody's: RST, but never to a group or broadcast address (MUST-57). */
static void no_syn(void **state)
{
	(void)state;
	begin(0, 10);
	send(&b, ". 1 ack 100");
	expect(&b, "R 100");
	expect_drop(&b, drop_tcp_rst, "R 1");
	expect_drop(&b, drop_tcp_flags, "P 1:10");
	b.flow.us.addr = cpl_addr4(224, 0, 0, 1);
	expect_drop(&b, drop_tcp_address, "S 0");
	b.flow.us.addr = cpl_addr4(255, 255, 255, 255);
	expect_drop(&b, drop_tcp_address, "S 0");
	assert_int_equal(bench_syn(&b), 0);
	bench_end(&b);
}

/* After an active close by us, TIME-WAIT: a new SYN of the same peer is an event again. */
static void time_wait(void **state)
{
	(void)state;
	for (int any = 0; any < 2; any++) {
		cpl_handle all = begin(any, 10), h = syn(), c;

		assert_int_equal(cpl_syn_accept(b.stack, h, b.now), 0);
		expect(&b, "S. 0 ack 1 <mss>");
		send(&b, ". 1 ack 1");
		c = bench_accepted(&b, all);
		assert_int_equal(cpl_close(b.stack, c, b.now), 0);
		expect(&b, "F. 1 ack 1");
		send(&b, "F. 1 ack 2");
		expect(&b, ". 2 ack 2");
		expect_state(&b, CPL_TIME_WAIT);
		send(&b, "S 1000000 <mss 1400>");
		expect_nothing(&b);
		h = bench_syn(&b);
		assert_true(h);
		assert_int_equal(cpl_syn_accept(b.stack, h, b.now), 0);
		b.flow.our_iss_known = false;
		expect(&b, "S. 0 ack 1000001 <mss>");
		bench_end(&b);
	}
}

/* The same over IPv6 and Ethernet, for an address that the embedder only sees go by. */
static void other_kinds(void **state)
{
	cpl_handle all, h;

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		bench_init(&b);
		b.v6 = true;
		b.iface.kind = (uint8_t)kind;
		bench_start(&b);
		assert_int_equal(cpl_catch_all(b.stack, b.ifindex, 10, &all, b.now), 0);
		bench_flow(&b, 443, 40000);
		assert_int_equal(cpl_addr_parse(&b.flow.us.addr, "2001:db8::7"), 0);
		assert_int_equal(cpl_addr_parse(&b.flow.peer.addr, "2001:db8:1::8"), 0);
		h = syn();
		assert_int_equal(cpl_syn_accept(b.stack, h, b.now), 0);
		expect(&b, "S. 0 ack 1 <mss 1440>");
		send(&b, ". 1 ack 1");
		expect_event(&b, all, CPL_EV_ACCEPT, 0);
		bench_end(&b);
	}
}

/* ---- UDP ---- */

static void send_udp(struct cpl_addr to, uint16_t dport, const char *text)
{
	struct ip_hdr ip = { .src = b.peer_addr, .dst = to };
	struct udp_hdr udp = { .sport = 5353, .dport = dport };
	uint8_t packet[256];

	bench_inject(&b, packet,
		     packet_udp(packet, sizeof(packet), &ip, &udp, text, (uint32_t)strlen(text)));
}

static void udp(void **state)
{
	struct cpl_endpoint from, to;
	cpl_handle all, other, own;
	char text[16] = { 0 };

	(void)state;
	bench_begin(&b);
	send_udp(b.our_addr, 53, "nobody");
	expect_icmp(&b, ICMP4_UNREACHABLE, 3);
	assert_int_equal(cpl_udp_catch_all(b.stack, 0, &all, b.now), 0);
	assert_int_equal(cpl_udp_catch_all(b.stack, 0, &other, b.now), -EADDRINUSE);
	to = (struct cpl_endpoint){ .port = 53 };
	assert_int_equal(cpl_udp_open(b.stack, &to, &own, b.now), 0);

	/* A socket has its port, on our addresses and the others. */
	send_udp(b.our_addr, 53, "own");
	expect_event(&b, own, CPL_EV_READABLE, 0);
	expect_event(&b, all, 0, 0);
	send_udp(cpl_addr4(8, 8, 8, 8), 54, "query");
	expect_event(&b, all, CPL_EV_READABLE, 0);
	assert_int_equal(cpl_udp_recv(b.stack, all, &from, &to, text, sizeof(text), b.now), 5);
	assert_string_equal(text, "query");
	assert_int_equal(to.port, 54);
	assert_int_equal(to.addr.b[12], 8);
	/* The answer comes from the address that was asked. */
	assert_int_equal(cpl_udp_send(b.stack, all, &to, &from, "answer", 6, b.now), 6);
	assert_true(bench_take(&b));
	assert_int_equal(b.last.p.kind, PACKET_UDP);
	assert_memory_equal(&b.last.p.ip.src, &to.addr, 16);
	assert_int_equal(b.last.p.udp.sport, 54);
	assert_int_equal(b.last.p.udp.dport, 5353);
	assert_memory_equal(b.last.p.payload, "answer", 6);

	/* Refused: port unreachable, from that address, quoting what came. */
	assert_int_equal(cpl_udp_refuse(b.stack, all, &from, &to, b.now), 0);
	expect_icmp(&b, ICMP4_UNREACHABLE, 3);
	assert_memory_equal(&b.last.p.ip.src, &to.addr, 16);
	assert_int_equal(cpl_close(b.stack, all, b.now), 0);
	send_udp(cpl_addr4(8, 8, 8, 8), 54, "query");
	expect_nothing(&b);
	assert_int_equal(counter(&b, drop_ip_not_ours), 1);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accept_syn),
		cmocka_unit_test(refuse_syn),
		cmocka_unit_test(drop_syn),
		cmocka_unit_test(pending_syn),
		cmocka_unit_test(pending_limit),
		cmocka_unit_test(beside_listener),
		cmocka_unit_test(cookies_always),
		cmocka_unit_test(no_syn),
		cmocka_unit_test(time_wait),
		cmocka_unit_test(other_kinds),
		cmocka_unit_test(udp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
