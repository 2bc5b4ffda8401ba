/* SPDX-License-Identifier: MIT */
/* The configured limits of a stack: clean errors and counted drops, and all memory comes back. */
#include "tests/util/rig.h"
#include "tests/util/tcp_bench.h"

static struct rig r;
static struct bench b;
static int ip;

static void conns_max(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 80);
	cpl_handle h[5];

	(void)state;
	bench_init(&b);
	b.config.conns_max = 4;
	bench_start(&b);
	h[0] = bench_listen(&b, 80);
	send(&b, "S 0 <mss 1460>");
	expect(&b, "S. 0 ack 1 <*>");
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(cpl_connect(b.stack, NULL, &to, &h[i], b.now), 0);
	assert_int_equal(cpl_connect(b.stack, NULL, &to, &h[4], b.now), -ENOBUFS);
	assert_int_equal(cpl_listen(b.stack, &(struct cpl_endpoint){ .port = 81 }, 1, &h[4], b.now),
			 -ENOBUFS);
	assert_int_equal(cpl_open(b.stack, NULL, &h[4], b.now), -ENOBUFS);
	while (bench_take(&b))
		;
	/* The handshake cannot end yet. */
	send(&b, ". 1 ack 1");
	expect_state(&b, CPL_SYN_RECEIVED);
	expect_event(&b, h[0], 0, 0);
	assert_true(bench_drops(&b) > 0);
	assert_int_equal(cpl_abort(b.stack, h[3], b.now), 0);
	send(&b, ". 1 ack 1");
	expect_state(&b, CPL_ESTABLISHED);
	bench_end(&b);
}

static void half_open_max(void **state)
{
	static const uint8_t modes[] = { CPL_SYNCOOKIES_NEVER, CPL_SYNCOOKIES_WHEN_FULL };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		bench_init(&b);
		b.config.half_open_max = 3;
		b.config.syncookies = modes[i];
		bench_start(&b);
		bench_listen(&b, 80);
		for (uint16_t port = 0; port < 3; port++) {
			bench_flow(&b, 80, (uint16_t)(40000 + port));
			send(&b, "S 0 <mss 1460>");
			expect(&b, "S. 0 ack 1 <*>");
		}
		bench_flow(&b, 80, 41000);
		if (i) {
			send(&b, "S 0 <mss 1460>");
			expect(&b, "S. 0 ack 1 <*>");
			assert_int_equal(counter(&b, cookies_sent), 1);
			assert_int_equal(bench_drops(&b), 0);
			send(&b, ". 1 ack 1");
			expect_state(&b, CPL_ESTABLISHED);
		} else {
			expect_drop(&b, drop_syn_queue, "S 0 <mss 1460>");
		}
		bench_end(&b);
	}
}

/* Beyond the limit the oldest ends early. */
static void time_wait_max(void **state)
{
	struct cpl_info info;
	bool there[5] = { false };
	uint64_t cursor = 0;

	(void)state;
	bench_init(&b);
	b.config.time_wait_max = 3;
	bench_start(&b);
	for (uint16_t i = 0; i < 5; i++) {
		cpl_handle h = bench_open(&b, 0, (uint16_t)(80 + i));

		expect(&b, "S 0 <*>");
		send(&b, "S. 0 ack 1 <>");
		expect(&b, ". 1 ack 1");
		assert_int_equal(cpl_close(b.stack, h, b.now), 0);
		expect(&b, "F. 1 ack 1");
		send(&b, "F. 1 ack 2");
		expect(&b, ". 2 ack 2");
		expect_state(&b, CPL_TIME_WAIT);
		bench_run(&b, CPL_SECOND);
	}
	while (cpl_info_walk(b.stack, &cursor, &info, 1, b.now) == 1) {
		assert_int_equal(info.state, CPL_TIME_WAIT);
		assert_in_range(info.remote_port, 80, 84);
		there[info.remote_port - 80] = true;
	}
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(there[i], i >= 2);
	bench_end(&b);
}

/* Everything is tried until it says no; no is said cleanly, and what is there still works. */
static void memory_max(void **state)
{
	static const uint8_t data[4096];

	(void)state;
	for (uint64_t max = 1u << 20; max <= 8u << 20; max *= 2) {
		struct cpl_endpoint to = rig_at("10.0.0.2", 80);
		cpl_handle h = 0, u, first = 0;
		unsigned n = 0;
		int err;

		rig_init(&r);
		r.config.memory_max = max;
		r.config.trace_records = 64;
		err = cpl_stack_new(&r.stack, &r.config, r.now);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(r.heap.slabs, 0);
			continue;
		}
		ip = rig_iface(&r, CPL_IFACE_IP, 0);
		rig_addr_add(&r, ip, "10.0.0.1", 24);
		u = rig_udp(&r, "10.0.0.1", 5000);
		while ((err = cpl_connect(r.stack, NULL, &to, &h, r.now)) == 0) {
			first = first ? first : h;
			rig_clear(&r);
			assert_true(++n < 100000);
		}
		assert_true(err == -ENOBUFS || err == -EADDRNOTAVAIL);
		assert_true(r.heap.bytes <= max + (1u << 20)); /* the stack itself is apart */
		for (unsigned i = 0; i < 500; i++) {
			rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, data, 1400);
			rig_tcp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 81, TCP_SYN, i, 0);
			err = (int)cpl_udp_send(r.stack, u, NULL, &to, data, sizeof(data), r.now);
			assert_true(err == -ENOBUFS || err == (int)sizeof(data));
			rig_clear(&r);
		}
		/* What goes makes room. */
		assert_int_equal(cpl_abort(r.stack, first, r.now), 0);
		rig_run(&r, CPL_SECOND);
		rig_clear(&r);
		assert_int_equal(cpl_close(r.stack, u, r.now), 0);
		assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), 0);
		rig_end(&r);
	}
}

/* The allocator says no, once and for all, at each of its calls. */
static void allocation_fails(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 80), at = { .port = 80 };
	unsigned made = 0;

	(void)state;
	for (uint64_t left = 0; left < 60; left++) {
		struct cpl_iface_config c = { .size = sizeof(c),
					      .kind = CPL_IFACE_ETHER,
					      .mac = { 2, 0, 0, 0, 0, 1 },
					      .mtu = 1500 };
		struct cpl_addr own = rig_addr("10.0.0.1");
		cpl_handle h;

		rig_init(&r);
		r.heap.left = left;
		r.config.trace_records = 64;
		if (cpl_stack_new(&r.stack, &r.config, r.now)) {
			assert_int_equal(r.heap.slabs, 0);
			continue;
		}
		made++;
		ip = cpl_iface_add(r.stack, &c, r.now);
		assert_true(ip == 1 || ip == -ENOMEM);
		r.ifaces = 1;
		r.ether[1] = true;
		r.answer = true;
		if (ip == 1) {
			cpl_addr_add(r.stack, ip, &own, 24, r.now);
			cpl_listen(r.stack, &at, 4, &h, r.now);
			rig_tcp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 80, TCP_SYN, 1, 0);
			rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 53, "x", 1);
			if (!cpl_connect(r.stack, NULL, &to, &h, r.now))
				cpl_send(r.stack, h, "x", 1, 0, r.now);
			cpl_udp_open(r.stack, NULL, &h, r.now);
			cpl_udp_send(r.stack, h, NULL, &to, "x", 1, r.now);
			rig_run(&r, 5 * CPL_SECOND);
		}
		rig_end(&r);
	}
	assert_in_range(made, 10, 59); /* it failed, and it was made */
}

static void reassembly_memory(void **state)
{
	uint8_t p[1500] = { 0 };
	struct ip_hdr h = { .src = rig_addr("10.0.0.2"),
			    .dst = rig_addr("10.0.0.1"),
			    .version = 4,
			    .ttl = 64,
			    .protocol = IP_UDP,
			    .more_frags = true,
			    .len = 1500 - 12 };
	uint64_t full;

	(void)state;
	rig_init(&r);
	r.config.reassembly_memory = 64 * 1024;
	rig_start(&r);
	ip = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, ip, "10.0.0.1", 24);
	h.len = IPV4_HLEN + 1480;
	for (uint32_t i = 0; i < 2000; i++) {
		h.id = i;
		ip_build(p, &h);
		rig_in(&r, ip, p, h.len);
		if (i == 200)
			full = r.heap.bytes;
		else if (i > 200)
			assert_true(r.heap.bytes <= full);
	}
	assert_true(rig_counter(&r, drop_frag_memory) > 1900);
	rig_run(&r, 31 * CPL_SECOND);
	assert_int_equal(rig_counter(&r, drop_frag_memory) + rig_counter(&r, drop_frag_timeout),
			 2000);
	rig_end(&r);
}

static void interfaces(void **state)
{
	struct cpl_iface_config c = { .size = sizeof(c), .mtu = 1500 };

	(void)state;
	rig_init(&r);
	rig_start(&r);
	for (int i = 1; i <= 64; i++)
		assert_int_equal(cpl_iface_add(r.stack, &c, r.now), i);
	assert_int_equal(cpl_iface_add(r.stack, &c, r.now), -ENOSPC);
	c.mtu = 575;
	assert_int_equal(cpl_iface_add(r.stack, &c, r.now), -EINVAL);
	rig_end(&r);
}

/* RFC 8200 5: an address of IPv6 and a narrower link exclude each other, whichever comes first. */
static void ipv6_needs_1280(void **state)
{
	struct cpl_addr six = rig_addr("fd00::1"), four = rig_addr("10.0.0.1");

	(void)state;
	rig_init(&r);
	rig_start(&r);
	rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, rig_iface(&r, CPL_IFACE_IP, 0), "fd00::2", 64); /* another's */
	assert_int_equal(cpl_addr_add(r.stack, 1, &four, 24, r.now), 0);
	assert_int_equal(cpl_iface_set_mtu(r.stack, 1, 1279, r.now), 0);
	assert_int_equal(cpl_addr_add(r.stack, 1, &six, 64, r.now), -EINVAL);
	assert_int_equal(cpl_iface_set_mtu(r.stack, 1, 1280, r.now), 0);
	assert_int_equal(cpl_addr_add(r.stack, 1, &six, 64, r.now), 0);
	assert_int_equal(cpl_iface_set_mtu(r.stack, 1, 1279, r.now), -EINVAL);
	assert_int_equal(cpl_addr_del(r.stack, 1, &six, r.now), 0);
	assert_int_equal(cpl_iface_set_mtu(r.stack, 1, 576, r.now), 0);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conns_max),	    cmocka_unit_test(half_open_max),
		cmocka_unit_test(time_wait_max),    cmocka_unit_test(memory_max),
		cmocka_unit_test(allocation_fails), cmocka_unit_test(reassembly_memory),
		cmocka_unit_test(interfaces),	    cmocka_unit_test(ipv6_needs_1280),
	};

	return cmocka_run_group_tests_name("stack: limits", tests, NULL, NULL);
}
