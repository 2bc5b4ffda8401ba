/* SPDX-License-Identifier: MIT */
/* Passive OPEN: the SYN queue, the accept queue, what a listener passes on, who gets which SYN. */
#include "stack/stack.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

static cpl_handle listen_on(uint16_t port, uint32_t backlog)
{
	struct cpl_endpoint at = { .port = port };
	cpl_handle h = 0;

	assert_int_equal(cpl_listen(b.stack, &at, backlog, &h, b.now), 0);
	return h;
}

/* The peer's port I begins, and ends, a handshake with port 80. */
static void syn(uint16_t i)
{
	bench_flow(&b, 80, (uint16_t)(40000 + i));
	send(&b, "S 0 <mss 1460>");
}

static struct bench_flow synack(uint16_t i)
{
	syn(i);
	expect(&b, "S. 0 ack 1 <mss 1460>");
	return b.flow;
}

static void handshake(uint16_t i)
{
	synack(i);
	send(&b, ". 1 ack 1");
	expect_nothing(&b);
}

static void accept_queue(void **state)
{
	cpl_handle l, h = 1;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 5);
	assert_int_equal(cpl_accept(b.stack, l, &h, b.now), -EAGAIN);
	for (uint16_t i = 0; i < 3; i++)
		handshake(i);
	expect_event(&b, l, CPL_EV_ACCEPT, 0);
	assert_int_equal(bench_info(&b, l)->accept_queue, 3);
	assert_int_equal(bench_info(&b, l)->backlog, 5);
	for (uint16_t i = 0; i < 3; i++) { /* oldest first */
		h = bench_accepted(&b, l);
		assert_int_equal(bench_info(&b, h)->remote_port, 40000 + i);
		assert_int_equal(bench_info(&b, h)->passive, 1);
	}
	assert_int_equal(cpl_accept(b.stack, l, &h, b.now), -EAGAIN);
	assert_int_equal(bench_info(&b, l)->accept_queue, 0);
	assert_int_equal(cpl_accept(b.stack, h, &h, b.now), -EINVAL);
	bench_end(&b);
}

/* As Linux: one more than the backlog; then SYNs are dropped until there is room. */
static void accept_queue_full(void **state)
{
	cpl_handle l;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 2);
	for (uint16_t i = 0; i < 3; i++)
		handshake(i);
	bench_flow(&b, 80, 40003);
	expect_drop(&b, drop_accept_queue, "S 0 <mss 1460>");
	assert_int_equal(bench_info(&b, l)->listen_overflows, 1);
	bench_accepted(&b, l);
	handshake(3);
	bench_end(&b);
}

/* The third segment finds the queue full: the peer's is not lost, the SYN,ACK goes again. */
static void accept_queue_full_at_ack(void **state)
{
	struct bench_flow late;
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 1);
	late = synack(9);
	handshake(0);
	handshake(1);
	b.flow = late;
	expect_drop(&b, drop_accept_queue, ". 1 ack 1");
	expect_state(&b, CPL_SYN_RECEIVED);
	expect_drop(&b, drop_accept_queue, "P. 1:11 ack 1");
	expect_after(&b, CPL_SECOND, "S. 0 ack 1 <mss 1460>");
	bench_accepted(&b, l);
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	bench_accepted(&b, l);
	h = bench_accepted(&b, l);
	assert_int_equal(bench_info(&b, h)->remote_port, 40009);
	bench_read(&b, h, 10);
	bench_end(&b);
}

static void syn_queue_full(void **state)
{
	cpl_handle l;

	(void)state;
	bench_init(&b);
	b.config.syncookies = CPL_SYNCOOKIES_NEVER;
	bench_start(&b);
	l = listen_on(80, 10);
	for (uint16_t i = 0; i < 10; i++)
		synack(i);
	assert_int_equal(bench_info(&b, l)->syn_queue, 10);
	bench_flow(&b, 80, 40010);
	expect_drop(&b, drop_syn_queue, "S 0 <mss 1460>");
	/* Another listener has a queue of its own. */
	listen_on(81, 10);
	bench_flow(&b, 81, 40000);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_end(&b);

	/* The whole stack's limit. */
	bench_init(&b);
	b.config.syncookies = CPL_SYNCOOKIES_NEVER;
	b.config.half_open_max = 4;
	bench_start(&b);
	listen_on(80, 10);
	for (uint16_t i = 0; i < 4; i++)
		synack(i);
	bench_flow(&b, 80, 40010);
	expect_drop(&b, drop_syn_queue, "S 0 <mss 1460>");
	bench_run(&b, 64 * CPL_SECOND);
	while (bench_take(&b))
		;
	synack(5);
	bench_end(&b);
}

/* What happens before the program accepts is told once it has. */
static void early_events(void **state)
{
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 5);
	handshake(0);
	send(&b, "FP. 1:11 ack 1");
	expect(&b, ". 1 ack 12");
	expect_event(&b, l, CPL_EV_ACCEPT, 0);
	assert_int_equal(b.events_n, 0);
	h = bench_accepted(&b, l);
	expect_event(&b, h, CPL_EV_READABLE | CPL_EV_PEER_FIN, 0);
	bench_read(&b, h, 10);
	bench_read(&b, h, 0);

	/* It was reset meanwhile: it can still be accepted, and says so. */
	handshake(1);
	send(&b, "R 1");
	expect_nothing(&b);
	h = bench_accepted(&b, l);
	expect_event(&b, h, CPL_EV_CLOSED, ECONNRESET);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	bench_end(&b);
}

/* CLOSE of a listener: what was not accepted is reset, what was half-open is forgotten. */
static void closed_listener(void **state)
{
	struct bench_flow half, held;
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 5);
	handshake(0);
	h = bench_accepted(&b, l);
	half = synack(1);
	handshake(2);
	held = b.flow;
	assert_int_equal(cpl_close(b.stack, l, b.now), 0);
	assert_int_equal(cpl_accept(b.stack, l, &l, b.now), -EBADF);
	expect(&b, "R. 1 ack 1");
	expect_state(&b, CPL_CLOSED);
	b.flow = half;
	expect_state(&b, CPL_CLOSED);
	send(&b, ". 1 ack 1");
	expect(&b, "R 1");
	/* The accepted one lives on. */
	assert_int_equal(bench_info(&b, h)->state, CPL_ESTABLISHED);
	b.flow = held;
	syn(5);
	expect(&b, "R. %u ack 1", 0 - b.flow.our_iss);
	expect_nothing_for(&b, 60 * CPL_SECOND);
	bench_end(&b);
}

static uint32_t left_of_listeners(void)
{
	return b.stack->tcp.halves.in_use + b.stack->tcp.tcbs.in_use;
}

/* However much a listener has: it is closed a part at a time, and no call takes long. */
static void closed_by_parts(void **state)
{
	enum {
		HALVES = 3000,
		HELD = 300,
		PART = 600
	};
	unsigned calls = 0, resets = 0;
	uint32_t left;
	cpl_handle l;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, HALVES);
	for (uint16_t i = 0; i < HELD; i++)
		handshake(i);
	for (uint16_t i = 0; i < HALVES; i++)
		synack((uint16_t)(1000 + i));
	assert_int_equal(left_of_listeners(), HALVES + HELD + 1);
	assert_int_equal(cpl_close(b.stack, l, b.now), 0);
	left = left_of_listeners();
	assert_in_range(HALVES + HELD + 1 - left, 1, PART);

	for (; left_of_listeners(); calls++) {
		left = left_of_listeners();
		assert_true(cpl_deadline(b.stack) <= b.now);
		cpl_advance(b.stack, b.now);
		assert_in_range(left - left_of_listeners(), 1, PART);
	}
	assert_in_range(calls, 4, 20);
	assert_int_equal(b.stack->tcp.listeners.in_use, 0);
	while (bench_take(&b)) /* each that was held was reset */
		resets++;
	assert_int_equal(resets, HELD);
	bench_end(&b);
}

/* What is still there then is as good as gone, to its peer and to another listener. */
static void closed_and_not_gone(void **state)
{
	struct bench_flow last[2];
	cpl_handle l;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 3000);
	for (uint16_t i = 0; i < 2000; i++) {
		last[0] = last[1];
		last[1] = synack(i);
	}
	assert_int_equal(cpl_close(b.stack, l, b.now), 0);
	assert_true(left_of_listeners() > 2);
	b.flow = last[0];
	expect_state(&b, CPL_CLOSED);
	send(&b, ". 1 ack 1");
	expect(&b, "R 1");
	listen_on(80, 5);
	bench_flow(&b, 80, last[1].peer.port);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <mss 1460>");
	bench_run(&b, CPL_SECOND / 2);
	expect_state(&b, CPL_SYN_RECEIVED);
	assert_int_equal(b.stack->tcp.halves.in_use, 1);
	bench_end(&b);
}

/* A listener's options pass to its connections. */
static void inherited(void **state)
{
	uint64_t value;
	cpl_handle l, h;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 5);
	cpl_set_user(b.stack, l, 77);
	cpl_set_option(b.stack, l, CPL_OPT_TOS, 0x28, b.now);
	cpl_set_option(b.stack, l, CPL_OPT_TTL, 9, b.now);
	cpl_set_option(b.stack, l, CPL_OPT_NODELAY, 1, b.now);
	cpl_set_option(b.stack, l, CPL_OPT_KEEP_IDLE, 10 * CPL_SECOND, b.now);
	cpl_set_option(b.stack, l, CPL_OPT_MAXSEG, 500, b.now);
	assert_int_equal(cpl_set_congestion(b.stack, l, "reno", b.now), 0);
	syn(0);
	expect(&b, "S. 0 ack 1 tos 0x28 ttl 9 <mss 500>");
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, l);
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1 tos 0x28 ttl 9");
	cpl_get_option(b.stack, h, CPL_OPT_NODELAY, &value, b.now);
	assert_int_equal(value, 1);
	cpl_get_option(b.stack, h, CPL_OPT_KEEP_IDLE, &value, b.now);
	assert_int_equal(value, 10 * CPL_SECOND);
	assert_int_equal(bench_info(&b, h)->snd_mss, 500);
	assert_string_equal(bench_info(&b, h)->cc_name, "reno");
	send(&b, "P. 1:11 ack 11");
	bench_events(&b, l, NULL);
	assert_true(bench_events(&b, h, NULL) & CPL_EV_READABLE);
	bench_end(&b);
}

/* ---- who gets the SYN ---- */

static const struct cpl_addr any, any4 = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff } };

/* An open block with OPTION set, bound to ADDR and PORT; or the error. */
static int bind_to(struct cpl_addr addr, uint16_t port, int option, cpl_handle *h)
{
	struct cpl_endpoint at = { .addr = addr, .port = port };
	int err;

	assert_int_equal(cpl_open(b.stack, NULL, h, b.now), 0);
	if (option >= 0)
		assert_int_equal(cpl_set_option(b.stack, *h, (enum cpl_option)option, 1, b.now), 0);
	err = cpl_bind(b.stack, *h, &at, b.now);
	if (err)
		cpl_close(b.stack, *h, b.now);
	return err;
}

/* The listener that gets the flow's SYN, of these; 0: it is refused. */
static cpl_handle who_gets(const cpl_handle *l, unsigned n)
{
	cpl_handle h;

	send(&b, "S 0 <mss 1000>");
	assert_true(bench_take(&b));
	if (b.last.p.tcp.flags & TCP_RST)
		return 0;
	send(&b, ". 1 ack 1");
	for (unsigned i = 0; i < n; i++) {
		if (!cpl_accept(b.stack, l[i], &h, b.now))
			return l[i];
	}
	return 0;
}

/* MUST-43: a listener on one address gets what comes to that address only. */
static void one_address(void **state)
{
	struct cpl_addr second = cpl_addr4(10, 0, 0, 9);
	cpl_handle l[2], h;

	(void)state;
	bench_begin(&b);
	assert_int_equal(cpl_addr_add(b.stack, b.ifindex, &second, 24, b.now), 0);
	assert_int_equal(bind_to(cpl_addr4(10, 0, 0, 7), 80, -1, &h), -EADDRNOTAVAIL);
	assert_int_equal(bind_to(b.our_addr, 80, -1, &l[0]), 0);
	assert_int_equal(cpl_open_passive(b.stack, l[0], 5, b.now), 0);
	bench_flow(&b, 80, 40000);
	assert_true(who_gets(l, 1) == l[0]);
	bench_flow(&b, 80, 40001);
	b.flow.us.addr = second;
	assert_true(who_gets(l, 1) == 0);
	/* The other address is free for another. */
	assert_int_equal(bind_to(second, 80, -1, &l[1]), 0);
	assert_int_equal(cpl_open_passive(b.stack, l[1], 5, b.now), 0);
	bench_flow(&b, 80, 40002);
	b.flow.us.addr = second;
	assert_true(who_gets(l, 2) == l[1]);
	bench_flow(&b, 80, 40003);
	assert_true(who_gets(l, 2) == l[0]);
	bench_end(&b);
}

/* "Any" takes both families, unless it is one family's, or says that it takes IPv6 only. */
static void families(void **state)
{
	cpl_handle l[2], h;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		bench_init(&b);
		b.v6 = v6;
		bench_start(&b);
		assert_int_equal(bind_to(any, 80, -1, &l[0]), 0);
		assert_int_equal(cpl_open_passive(b.stack, l[0], 5, b.now), 0);
		assert_int_equal(bind_to(any4, 80, -1, &h), -EADDRINUSE);
		assert_int_equal(bind_to(b.our_addr, 80, -1, &h), -EADDRINUSE);
		bench_flow(&b, 80, 40000);
		assert_true(who_gets(l, 1) == l[0]);
		bench_end(&b);

		bench_start(&b);
		assert_int_equal(bind_to(any, 80, CPL_OPT_V6ONLY, &l[0]), 0);
		assert_int_equal(cpl_open_passive(b.stack, l[0], 5, b.now), 0);
		bench_flow(&b, 80, 40000);
		assert_true(who_gets(l, 1) == (v6 ? l[0] : 0));
		assert_int_equal(bind_to(any4, 80, -1, &l[1]), 0);
		assert_int_equal(cpl_open_passive(b.stack, l[1], 5, b.now), 0);
		bench_flow(&b, 80, 40001);
		assert_true(who_gets(l, 2) == l[!v6]);
		bench_end(&b);
	}
}

/* MUST-41: a passive OPEN makes a block of its own or fails; it touches no other. */
static void passive_open_apart(void **state)
{
	struct cpl_info before[3], after[3];
	struct bench_flow half, open;
	cpl_handle l, h, other;

	(void)state;
	bench_begin(&b);
	l = listen_on(80, 5);
	handshake(0);
	h = bench_accepted(&b, l);
	open = b.flow;
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	half = synack(1);
	bench_events(&b, l, NULL);
	before[0] = *bench_info(&b, h);
	before[1] = *bench_info(&b, l);
	before[2] = *bench_flow_info(&b);
	/* Once more the same, by one call and by two; then others. */
	assert_int_equal(cpl_listen(b.stack, &b.flow.us, 5, &other, b.now), -EADDRINUSE);
	assert_int_equal(bind_to(any, 80, CPL_OPT_REUSEADDR, &other), -EADDRINUSE);
	listen_on(81, 5);
	listen_on(40000, 5);
	after[0] = *bench_info(&b, h);
	after[1] = *bench_info(&b, l);
	after[2] = *bench_flow_info(&b);
	assert_memory_equal(before, after, sizeof(before));
	b.flow = open;
	send(&b, ". 1 ack 11");
	b.flow = half;
	send(&b, ". 1 ack 1");
	expect_event(&b, l, CPL_EV_ACCEPT, 0);
	bench_accepted(&b, l);
	bench_end(&b);
}

/* MUST-42: LISTEN on a port whose block is in SYN-SENT or SYN-RECEIVED. */
static void listen_beside_handshake(void **state)
{
	struct cpl_endpoint at = { .port = 5000 };
	cpl_handle c, l, h;

	(void)state;
	for (int received = 0; received < 2; received++) {
		/* The port was named: both must say that they share it. */
		bench_begin(&b);
		assert_int_equal(bind_to(any, 5000, CPL_OPT_REUSEADDR, &c), 0);
		bench_flow(&b, 5000, 80);
		assert_int_equal(cpl_open_active(b.stack, c, &b.flow.peer, b.now), 0);
		expect(&b, "S 0 <mss>");
		if (received) {
			send(&b, "S 0 <mss 1000>");
			expect(&b, "S. 0 ack 1 <mss>");
		}
		assert_int_equal(cpl_listen(b.stack, &at, 5, &l, b.now), -EADDRINUSE);
		assert_int_equal(bind_to(any, 5000, CPL_OPT_REUSEADDR, &l), 0);
		assert_int_equal(cpl_open_passive(b.stack, l, 5, b.now), 0);
		/* Each gets its own. */
		send(&b, "S. 0 ack 1 <mss 1000>");
		expect(&b, ". 1 ack 1");
		expect_event(&b, c, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
		bench_flow(&b, 5000, 81);
		send(&b, "S 0 <mss 1000>");
		expect(&b, "S. 0 ack 1 <mss>");
		send(&b, ". 1 ack 1");
		h = bench_accepted(&b, l);
		assert_int_equal(bench_info(&b, h)->remote_port, 81);
		bench_end(&b);
	}

	/* It was chosen: nobody else has to share it. */
	bench_begin(&b);
	c = bench_open(&b, 0, 80);
	at.port = b.flow.us.port;
	expect(&b, "S 0 <mss>");
	assert_int_equal(cpl_listen(b.stack, &at, 5, &l, b.now), 0);
	bench_end(&b);
}

/* Two may be bound to one port, and share it for active OPENs; only one of them can listen. */
static void one_listens(void **state)
{
	cpl_handle a, c;

	(void)state;
	bench_begin(&b);
	assert_int_equal(bind_to(any, 80, CPL_OPT_REUSEADDR, &a), 0);
	assert_int_equal(bind_to(b.our_addr, 80, CPL_OPT_REUSEADDR, &c), 0);
	assert_int_equal(cpl_bind(b.stack, c, &(struct cpl_endpoint){ .port = 81 }, b.now),
			 -EINVAL);
	assert_int_equal(cpl_open_passive(b.stack, a, 5, b.now), 0);
	assert_int_equal(cpl_open_passive(b.stack, c, 5, b.now), -EADDRINUSE);
	assert_int_equal(cpl_close(b.stack, a, b.now), 0);
	assert_int_equal(cpl_open_passive(b.stack, c, 5, b.now), 0);
	bench_end(&b);
}

/* Port 0: one is chosen, which nobody else has. */
static void chosen_port(void **state)
{
	uint16_t ports[50];
	cpl_handle l;

	(void)state;
	bench_begin(&b);
	for (unsigned i = 0; i < 50; i++) {
		l = listen_on(0, 5);
		ports[i] = bench_info(&b, l)->local_port;
		assert_in_range(ports[i], 32768, 60999);
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(ports[i], ports[j]);
	}
	bench_flow(&b, ports[17], 40000);
	send(&b, "S 0 <mss 1000>");
	expect(&b, "S. 0 ack 1 <mss>");
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accept_queue),
		cmocka_unit_test(accept_queue_full),
		cmocka_unit_test(accept_queue_full_at_ack),
		cmocka_unit_test(syn_queue_full),
		cmocka_unit_test(early_events),
		cmocka_unit_test(closed_listener),
		cmocka_unit_test(closed_by_parts),
		cmocka_unit_test(closed_and_not_gone),
		cmocka_unit_test(inherited),
		cmocka_unit_test(one_address),
		cmocka_unit_test(families),
		cmocka_unit_test(passive_open_apart),
		cmocka_unit_test(listen_beside_handshake),
		cmocka_unit_test(one_listens),
		cmocka_unit_test(chosen_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
