/* SPDX-License-Identifier: MIT */
/* Addresses: which may be opened to, which is chosen, which segments are believed. */
#include "tests/util/tcp_bench.h"

static struct bench b;

static struct cpl_addr addr(const char *text)
{
	struct cpl_addr a;

	assert_int_equal(cpl_addr_parse(&a, text), 0);
	return a;
}

static int connect_to(const char *local, const char *remote, uint16_t port, cpl_handle *h)
{
	struct cpl_endpoint at = { .port = 0 }, to = { .addr = addr(remote), .port = port };

	if (local)
		at.addr = addr(local);
	return cpl_connect(b.stack, local ? &at : NULL, &to, h, b.now);
}

/* MUST-46: broadcast, multicast or no address at all, or no port. */
static void invalid_remote(void **state)
{
	static const char *const bad[] = { "0.0.0.0",	"255.255.255.255", "10.0.0.255",
					   "224.0.0.1", "239.1.2.3",	   "::",
					   "ff02::1",	"ff0e::5" };
	cpl_handle h;

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		bench_init(&b);
		b.v6 = v6;
		bench_start(&b);
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			if (v6 && !strcmp(bad[i], "10.0.0.255"))
				continue;
			assert_int_equal(connect_to(NULL, bad[i], 80, &h), -EINVAL);
		}
		assert_int_equal(connect_to(NULL, v6 ? "fd00::2" : "10.0.0.2", 0, &h), -EINVAL);
		expect_nothing(&b);
		assert_int_equal(connect_to(NULL, v6 ? "fd00::2" : "10.0.0.2", 80, &h), 0);
		bench_end(&b);
	}
}

/* MUST-43: the one that was asked for; one that is not ours is refused, another family too. */
static void chosen_local(void **state)
{
	struct cpl_addr second = addr("10.0.0.77");
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	assert_int_equal(cpl_addr_add(b.stack, b.ifindex, &second, 24, b.now), 0);
	assert_int_equal(connect_to("10.0.0.78", "10.0.0.2", 80, &h), -EADDRNOTAVAIL);
	assert_int_equal(connect_to("10.0.0.77", "fd00::2", 80, &h), -EADDRNOTAVAIL);
	assert_int_equal(connect_to("10.0.0.77", "10.0.0.2", 80, &h), 0);
	b.flow.us.addr = second;
	expect(&b, "S 0 <mss>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	assert_memory_equal(&bench_info(&b, h)->local_addr, &second, 16);
	bench_end(&b);
}

/* A second interface, which routes nothing but 192.168.0.0/16. */
static int second_iface(void)
{
	struct cpl_iface_config config = b.iface;
	struct cpl_addr own = addr("192.168.0.1");
	int i = cpl_iface_add(b.stack, &config, b.now);

	assert_int_equal(cpl_addr_add(b.stack, i, &own, 16, b.now), 0);
	return i;
}

/* MUST-44: by the route that the SYN takes. */
static void routed_local(void **state)
{
	struct cpl_addr far = addr("10.0.0.1"), near = addr("192.168.0.1");
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	second_iface();
	assert_int_equal(connect_to(NULL, "8.8.8.8", 80, &h), 0);
	assert_memory_equal(&bench_info(&b, h)->local_addr, &far, 16);
	assert_int_equal(connect_to(NULL, "192.168.3.4", 80, &h), 0);
	assert_memory_equal(&bench_info(&b, h)->local_addr, &near, 16);
	/* "Any" of one family is no address either. */
	assert_int_equal(connect_to("0.0.0.0", "192.168.3.4", 80, &h), 0);
	assert_memory_equal(&bench_info(&b, h)->local_addr, &near, 16);
	bench_end(&b);

	bench_begin(&b);
	assert_int_equal(cpl_route_del(b.stack, &(struct cpl_addr){ { [10] = 0xff, [11] = 0xff } },
				       0, &b.gateway, b.ifindex, b.now),
			 0);
	assert_int_equal(connect_to(NULL, "8.8.8.8", 80, &h), -ENETUNREACH);
	bench_end(&b);
}

/* An OPEN that failed left nothing behind: the next may go another way, from another address. */
static void failed_open(void **state)
{
	struct cpl_endpoint nowhere = { .addr = addr("8.8.8.8"), .port = 80 },
			    at = { .port = 7000 };
	struct cpl_addr near = addr("192.168.0.1");
	cpl_handle h, other;

	(void)state;
	bench_begin(&b);
	second_iface();
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	/* Taken: the same port to the same peer. */
	assert_int_equal(cpl_connect(b.stack, &at, &nowhere, &other, b.now), 0);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_REUSEADDR, 1, b.now), 0);
	assert_int_equal(cpl_set_option(b.stack, other, CPL_OPT_REUSEADDR, 1, b.now), 0);
	assert_int_equal(cpl_bind(b.stack, h, &at, b.now), 0);
	assert_int_equal(cpl_open_active(b.stack, h, &nowhere, b.now), -EADDRINUSE);
	assert_int_equal(bench_info(&b, h)->state, CPL_CLOSED);
	nowhere.addr = addr("192.168.3.4");
	assert_int_equal(cpl_open_active(b.stack, h, &nowhere, b.now), 0);
	assert_memory_equal(&bench_info(&b, h)->local_addr, &near, 16);
	assert_int_equal(bench_info(&b, h)->local_port, 7000);
	bench_end(&b);
}

/* MUST-45: a route may change, the address does not. */
static void lasting_local(void **state)
{
	struct cpl_addr peer;
	cpl_handle h;
	int second;

	(void)state;
	bench_begin(&b);
	second = second_iface();
	h = bench_active(&b, "mss 1460");
	peer = b.peer_addr;
	assert_int_equal(cpl_route_add(b.stack, &peer, 32, NULL, second, 0, b.now), 0);
	bench_write(&b, h, 100);
	/* At R1 the route is looked up again. Frames leave by the other interface then. */
	bench_run(&b, 100 * CPL_MS);
	b.ifindex = second;
	bench_run(&b, 20 * CPL_SECOND);
	assert_true(bench_take(&b));
	do {
		assert_memory_equal(&b.last.p.ip.src, &b.our_addr, 16);
	} while (bench_take(&b));
	assert_memory_equal(&bench_info(&b, h)->local_addr, &b.our_addr, 16);
	assert_int_equal(bench_info(&b, h)->ifindex, second);
	send(&b, ". 1 ack 101");
	assert_int_equal(bench_info(&b, h)->send_queue, 0);
	bench_end(&b);
}

/* MUST-57: a SYN to a broadcast or multicast address is dropped without a word. */
static void syn_to_group(void **state)
{
	static const char *const groups[] = { "255.255.255.255", "10.0.0.255", "224.0.0.1" };

	(void)state;
	bench_begin(&b);
	bench_listen(&b, 80);
	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		b.flow.us.addr = addr(groups[i]);
		expect_drop(&b, drop_tcp_address, "S 0");
		expect_drop(&b, drop_tcp_address, ". 1 ack 1");
		b.flow.us.port = 81; /* where nobody listens: no RST either */
		expect_drop(&b, drop_tcp_address, "S 0");
		b.flow.us.port = 80;
	}
	b.flow.us.addr = addr("239.1.1.1"); /* a group that we have not joined */
	expect_drop(&b, drop_ip_not_ours, "S 0");
	bench_end(&b);

	bench_init(&b);
	b.v6 = true;
	bench_start(&b);
	bench_listen(&b, 80);
	b.flow.us.addr = addr("ff02::1");
	expect_drop(&b, drop_tcp_address, "S 0");
	bench_end(&b);
}

/* MUST-57: our address, but a link-layer broadcast: nobody sends that in good faith. */
static void syn_by_broadcast(void **state)
{
	static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 },
			     mac[6] = { 2, 0, 0, 0, 0, 9 };
	uint8_t packet[256], frame[256];
	struct cpl_frame f = { .data = frame };
	struct tcp_seg seg = { .sport = 40000, .dport = 80, .seq = 1, .flags = TCP_SYN };
	struct ip_hdr ip;

	(void)state;
	bench_init(&b);
	b.iface.kind = CPL_IFACE_ETHER;
	bench_start(&b);
	bench_listen(&b, 80);
	ip = (struct ip_hdr){ .src = b.peer_addr, .dst = b.our_addr };
	f.len = packet_ether(frame, sizeof(frame), mac, all, packet,
			     packet_tcp(packet, sizeof(packet), &ip, &seg));
	assert_int_equal(cpl_input(b.stack, b.ifindex, &f, 1, b.now), 1);
	expect_nothing(&b);
	assert_int_equal(counter(&b, drop_tcp_address), 1);
	bench_end(&b);
}

/* MUST-63: a source that may not be one: in every case silence. */
static void syn_from_nobody(void **state)
{
	static const char *const bad4[] = { "0.0.0.0",	 "255.255.255.255", "10.0.0.255",
					    "224.0.0.1", "127.0.0.1",	    "10.0.0.1" };
	static const char *const bad6[] = { "::", "::1", "ff02::1", "fd00::1" };

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		const char *const *bad = v6 ? bad6 : bad4;
		unsigned n = v6 ? sizeof(bad6) / sizeof(*bad6) : sizeof(bad4) / sizeof(*bad4);

		bench_init(&b);
		b.v6 = v6;
		bench_start(&b);
		bench_listen(&b, 80);
		for (unsigned i = 0; i < n; i++) {
			b.flow.peer.addr = addr(bad[i]);
			expect_drop(&b, drop_ip_source, "S 0");
		}
		/* Ports count as well. */
		b.flow.peer.addr = b.peer_addr;
		b.flow.peer.port = 0;
		expect_drop(&b, drop_tcp_address, "S 0");
		b.flow.peer.port = 40000;
		b.flow.us.port = 0;
		expect_drop(&b, drop_tcp_address, "S 0");
		b.flow.us.port = 80;
		send(&b, "S 0");
		expect(&b, "S. 0 ack 1 <mss>");
		bench_end(&b);
	}
}

/* Our own address as the source, from outside, port to the same port ("LAND"). */
static void syn_from_ourselves(void **state)
{
	cpl_handle l, c, h;

	(void)state;
	bench_begin(&b);
	l = bench_listen(&b, 80);
	b.flow.peer = b.flow.us;
	expect_drop(&b, drop_ip_source, "S 0");
	/* Within the stack we do talk to ourselves. */
	assert_int_equal(connect_to(NULL, "10.0.0.1", 80, &c), 0);
	bench_run(&b, CPL_MS);
	expect_nothing(&b);
	h = bench_accepted(&b, l);
	bench_write(&b, c, 10);
	bench_run(&b, CPL_MS);
	bench_read(&b, h, 10);
	bench_end(&b);
}

/* Link-local: the interface is part of the address, and what is said goes out by it. */
static void link_local(void **state)
{
	struct cpl_endpoint to = { .port = 80 };
	struct cpl_addr mine = addr("fe80::ff:fe00:1");
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.v6 = true;
	b.iface.kind = CPL_IFACE_ETHER;
	bench_start(&b);
	bench_flow(&b, 0, 80);
	b.flow.us.addr = mine;
	b.flow.peer.addr = to.addr = addr("fe80::2");
	to.ifindex = (uint32_t)b.ifindex;
	assert_int_equal(cpl_connect(b.stack, NULL, &to, &h, b.now), 0);
	expect(&b, "S 0 <mss>");
	send(&b, "S. 0 ack 1 <mss 1220>");
	expect(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->ifindex, b.ifindex);
	assert_int_equal(cpl_abort(b.stack, h, b.now), 0);
	expect(&b, "R. 1 ack 1");
	send(&b, ". 1 ack 77");
	expect(&b, "R 77");
	/* From a global address of ours to a link-local peer. */
	b.flow.us.addr = b.our_addr;
	send(&b, "S 0");
	expect(&b, "R. %u ack 1", 0 - b.flow.our_iss);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invalid_remote),     cmocka_unit_test(chosen_local),
		cmocka_unit_test(routed_local),	      cmocka_unit_test(lasting_local),
		cmocka_unit_test(failed_open),	      cmocka_unit_test(syn_to_group),
		cmocka_unit_test(syn_by_broadcast),   cmocka_unit_test(syn_from_nobody),
		cmocka_unit_test(syn_from_ourselves), cmocka_unit_test(link_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
