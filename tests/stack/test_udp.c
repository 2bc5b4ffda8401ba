/* SPDX-License-Identifier: MIT */
/* UDP sockets of a whole stack (RFC 768, RFC 1122 4.1, RFC 6056), packet in and packet out. */
#include "tests/util/rig.h"

static struct rig r;
static int ip;

static void begin(void)
{
	ip = rig_begin(&r, CPL_IFACE_IP);
	rig_route_add(&r, "0.0.0.0", 0, NULL, ip, 10);
	rig_route_add(&r, "::", 0, NULL, ip, 10);
}

static void expect_end(const struct cpl_endpoint *e, const char *addr, uint16_t port)
{
	struct cpl_addr a = rig_addr(addr);

	assert_memory_equal(&e->addr, &a, 16);
	assert_int_equal(e->port, port);
}

static long receive(cpl_handle h, struct cpl_endpoint *from, struct cpl_endpoint *to, void *data,
		    size_t n)
{
	return cpl_udp_recv(r.stack, h, from, to, data, n, r.now);
}

static void both_ways(void **state)
{
	static const char *const ends[2][2] = { { "10.0.0.1", "10.0.0.2" },
						{ "fd00::1", "fd00::2" } };

	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		const char *us = ends[v6][0], *peer = ends[v6][1];
		struct cpl_endpoint to = rig_at(peer, 7000), from, at;
		struct rig_frame *f;
		cpl_handle any, own;
		char data[16];

		begin();
		any = rig_udp(&r, "::", 5000);
		own = rig_udp(&r, us, 5001);
		assert_int_equal(cpl_udp_send(r.stack, any, NULL, &to, "hello", 5, r.now), 5);
		f = rig_expect(&r, ip, PACKET_UDP);
		expect_end(&(struct cpl_endpoint){ .addr = f->p.ip.src, .port = f->p.udp.sport },
			   us, 5000);
		expect_end(&(struct cpl_endpoint){ .addr = f->p.ip.dst, .port = f->p.udp.dport },
			   peer, 7000);
		assert_int_equal(f->p.payload_len, 5);
		assert_memory_equal(f->p.payload, "hello", 5);
		assert_int_equal(f->p.ip.ttl, 64);
		rig_udp_in(&r, ip, peer, 7000, us, 5000, "answer", 6);
		rig_udp_in(&r, ip, peer, 7001, us, 5001, NULL, 0);
		assert_int_equal(rig_events(&r, any, NULL), CPL_EV_READABLE);
		assert_int_equal(receive(any, &from, &at, data, sizeof(data)), 6);
		assert_memory_equal(data, "answer", 6);
		expect_end(&from, peer, 7000);
		expect_end(&at, us, 5000);
		assert_int_equal(receive(any, &from, &at, data, sizeof(data)), -EAGAIN);
		assert_int_equal(receive(own, &from, &at, data, sizeof(data)), 0); /* empty */
		expect_end(&from, peer, 7001);
		assert_int_equal(receive(own, &from, &at, data, sizeof(data)), -EAGAIN);
		assert_int_equal(cpl_close(r.stack, any, r.now), 0);
		assert_int_equal(receive(any, &from, &at, data, sizeof(data)), -EBADF);
		assert_int_equal(rig_counter(&r, datagrams_in), 2);
		assert_int_equal(rig_counter(&r, datagrams_out), 1);
		assert_int_equal(rig_drops(&r), 0);
		rig_end(&r);
	}
}

static void one_that_fits_best(void **state)
{
	cpl_handle any, own;
	char c;

	(void)state;
	begin();
	rig_addr_add(&r, ip, "10.0.0.9", 24);
	assert_int_equal(cpl_udp_open(r.stack, &(struct cpl_endpoint){ .port = 0 }, &any, r.now),
			 0);
	cpl_close(r.stack, any, r.now);
	own = rig_udp(&r, "10.0.0.1", 5000);
	assert_int_equal(cpl_udp_open(r.stack,
				      &(struct cpl_endpoint){ .addr = rig_addr("10.0.0.9"),
							      .port = 5000 },
				      &any, r.now),
			 0);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, "a", 1);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.9", 5000, "b", 1);
	assert_int_equal(receive(own, NULL, NULL, &c, 1), 1);
	assert_int_equal(c, 'a');
	assert_int_equal(receive(own, NULL, NULL, &c, 1), -EAGAIN);
	assert_int_equal(receive(any, NULL, NULL, &c, 1), 1);
	assert_int_equal(c, 'b');
	rig_end(&r);
}

static void conflicts(void **state)
{
	static const struct {
		const char *first, *second;
		int err;
	} cases[] = {
		{ "10.0.0.1", "10.0.0.1", -EADDRINUSE },
		{ "10.0.0.1", "0.0.0.0", -EADDRINUSE },
		{ "0.0.0.0", "10.0.0.1", -EADDRINUSE },
		{ "::", "10.0.0.1", -EADDRINUSE },
		{ "10.0.0.1", "::", -EADDRINUSE },
		{ "::", "0.0.0.0", -EADDRINUSE },
		{ "0.0.0.0", "::", -EADDRINUSE },
		{ "fd00::1", "10.0.0.1", 0 },
		{ "fd00::1", "0.0.0.0", 0 },
		{ "fd00::1", "::", -EADDRINUSE },
		{ "10.0.0.1", "10.0.0.3", -EADDRNOTAVAIL },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct cpl_endpoint at = rig_at(cases[i].second, 5000);
		cpl_handle h, first;

		begin();
		first = rig_udp(&r, cases[i].first, 5000);
		assert_int_equal(cpl_udp_open(r.stack, &at, &h, r.now), cases[i].err);
		cpl_close(r.stack, first, r.now);
		if (cases[i].err == -EADDRINUSE)
			assert_int_equal(cpl_udp_open(r.stack, &at, &h, r.now), 0);
		rig_end(&r);
	}
}

/* RFC 6056: any of them, each once, and then none. */
static void ephemeral_ports(void **state)
{
	bool seen[16] = { false };
	unsigned in_order = 0, last = 0;
	cpl_handle h;

	(void)state;
	rig_init(&r);
	r.config.port_first = 40000;
	r.config.port_last = 40015;
	rig_start(&r);
	ip = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, ip, "10.0.0.1", 24);
	for (unsigned i = 0; i < 16; i++) {
		struct cpl_info info;

		assert_int_equal(cpl_udp_open(r.stack, NULL, &h, r.now), 0);
		assert_int_equal(cpl_info_get(r.stack, h, &info, r.now), 0);
		assert_in_range(info.local_port, 40000, 40015);
		assert_false(seen[info.local_port - 40000]);
		seen[info.local_port - 40000] = true;
		in_order += info.local_port == last + 1;
		last = info.local_port;
	}
	assert_true(in_order < 14); /* not predictable */
	assert_int_equal(cpl_udp_open(r.stack, NULL, &h, r.now), -EADDRINUSE);
	rig_end(&r);
}

static void sends_refused(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 9), to6 = rig_at("fd00::2", 9),
			    far = rig_at("192.0.2.1", 9), nobody = rig_at("0.0.0.0", 9),
			    no_port = rig_at("10.0.0.2", 0), other = rig_at("10.0.0.77", 9);
	static char big[65508];
	cpl_handle h;

	(void)state;
	ip = rig_begin(&r, CPL_IFACE_IP);
	h = rig_udp(&r, "10.0.0.1", 5000);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &to, big, 65508, r.now), -EMSGSIZE);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &far, "x", 1, r.now), -ENETUNREACH);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &nobody, "x", 1, r.now), -EINVAL);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &no_port, "x", 1, r.now), -EINVAL);
	assert_int_equal(cpl_udp_send(r.stack, h, &other, &to, "x", 1, r.now), -EADDRNOTAVAIL);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &to6, "x", 1, r.now), -EADDRNOTAVAIL);
	h = rig_udp(&r, "0.0.0.0", 5001); /* IPv4 only */
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &to6, "x", 1, r.now), -EADDRNOTAVAIL);
	assert_int_equal(cpl_udp_send(r.stack, h + 1, NULL, &to, "x", 1, r.now), -EBADF);
	rig_nothing(&r);
	assert_int_equal(rig_counter(&r, datagrams_out), 0);
	rig_end(&r);
}

/* The largest: 65,507 octets, in fragments that make the same again. */
static void largest(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 9);
	static uint8_t data[65507], back[65507];
	uint64_t seed = 4;
	uint32_t total = 0;
	struct rig_frame *f;
	cpl_handle h;

	(void)state;
	begin();
	rnd_fill(&seed, data, sizeof(data));
	h = rig_udp(&r, "10.0.0.1", 5000);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &to, data, sizeof(data), r.now), 65507);
	while ((f = rig_take(&r)) != NULL) {
		assert_int_equal(f->p.kind, PACKET_FRAGMENT);
		assert_int_equal(f->p.ip.frag_off, total);
		assert_true(f->p.ip.len <= 1500);
		for (uint32_t i = 0; i < f->p.payload_len; i++)
			if (total + i >= UDP_HLEN)
				assert_int_equal(f->p.payload[i], data[total + i - UDP_HLEN]);
		total += f->p.payload_len;
	}
	assert_int_equal(total, 65507 + UDP_HLEN);
	/* And to ourselves. */
	to = rig_at("10.0.0.1", 5000);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &to, data, sizeof(data), r.now), 65507);
	assert_int_equal(receive(h, NULL, NULL, back, sizeof(back)), 65507);
	assert_memory_equal(back, data, sizeof(data));
	rig_end(&r);
}

static void truncated(void **state)
{
	char data[8] = "........";
	cpl_handle h;

	(void)state;
	begin();
	h = rig_udp(&r, "10.0.0.1", 5000);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, "abcdefgh", 8);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, "next", 4);
	assert_int_equal(receive(h, NULL, NULL, data, 3), 8); /* its whole length */
	assert_memory_equal(data, "abc.....", 8);
	assert_int_equal(receive(h, NULL, NULL, data, 8), 4); /* the rest is gone */
	assert_memory_equal(data, "next", 4);
	rig_end(&r);
}

static void queue_full(void **state)
{
	static const char data[1000];
	struct cpl_info info;
	unsigned n = 0;
	char c;
	cpl_handle h;

	(void)state;
	begin();
	h = rig_udp(&r, "10.0.0.1", 5000);
	while (!rig_counter(&r, drop_udp_full)) {
		rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, data, sizeof(data));
		assert_true(++n < 1000);
	}
	rig_nothing(&r); /* no ICMP for it */
	cpl_info_get(r.stack, h, &info, r.now);
	assert_int_equal(info.drops, 1);
	assert_int_equal(info.recv_queue, (n - 1) * sizeof(data));
	assert_in_range(info.recv_queue, 50000, 212992);
	assert_int_equal(receive(h, NULL, NULL, &c, 1), 1000);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, data, sizeof(data));
	assert_int_equal(rig_counter(&r, drop_udp_full), 1);
	assert_int_equal(rig_drops(&r), 1);
	rig_end(&r);
}

static void closed_port(void **state)
{
	struct cpl_addr us = rig_addr("10.0.0.1"), peer = rig_addr("10.0.0.2");
	struct icmp_quote q;
	struct rig_frame *f;

	(void)state;
	begin();
	rig_udp_in(&r, ip, "10.0.0.2", 1234, "10.0.0.1", 53, "query", 5);
	f = rig_icmp(&r, ip, ICMP4_UNREACHABLE, 3);
	assert_memory_equal(&f->p.ip.src, &us, 16);
	assert_memory_equal(&f->p.ip.dst, &peer, 16);
	assert_true(icmp_quote_parse(f->p.icmp.body, f->p.icmp.body_len, false, &q));
	assert_memory_equal(&q.src, &peer, 16);
	assert_int_equal(q.sport, 1234);
	assert_int_equal(q.dport, 53);
	rig_udp_in(&r, ip, "fd00::2", 1234, "fd00::1", 53, "query", 5);
	f = rig_icmp(&r, ip, ICMP6_UNREACHABLE, 4);
	assert_true(icmp_quote_parse(f->p.icmp.body, f->p.icmp.body_len, true, &q));
	assert_int_equal(q.dport, 53);
	/* To all: nobody says that they don't listen (RFC 1122 3.2.2). */
	rig_dropped(&r, drop_udp_no_port,
		    rig_udp_in(&r, ip, "10.0.0.2", 1234, "10.0.0.255", 53, "q", 1));
	rig_dropped(&r, drop_udp_no_port,
		    rig_udp_in(&r, ip, "10.0.0.2", 1234, "255.255.255.255", 53, "q", 1));
	assert_int_equal(rig_counter(&r, drop_udp_no_port), 4);
	rig_end(&r);
}

static void bad_datagrams(void **state)
{
	uint8_t p[64];
	struct ip_hdr h4 = { .src = rig_addr("10.0.0.2"), .dst = rig_addr("10.0.0.1") },
		      h6 = { .src = rig_addr("fd00::2"), .dst = rig_addr("fd00::1") };
	struct udp_hdr udp = { .sport = 1, .dport = 5000 };
	cpl_handle h;
	uint32_t len;
	char c;

	(void)state;
	begin();
	h = rig_udp(&r, "::", 5000);
	/* Checksum 0: none was made, which IPv4 allows and IPv6 does not (RFC 8200 8.1). */
	len = packet_udp(p, sizeof(p), &h4, &udp, "x", 1);
	p[26] = p[27] = 0;
	rig_in(&r, ip, p, len);
	assert_int_equal(receive(h, NULL, NULL, &c, 1), 1);
	len = packet_udp(p, sizeof(p), &h6, &udp, "x", 1);
	p[46] = p[47] = 0;
	rig_dropped(&r, drop_udp_bad, rig_in(&r, ip, p, len));
	len = packet_udp(p, sizeof(p), &h4, &udp, "x", 1);
	p[26] ^= 1;
	rig_dropped(&r, drop_udp_bad, rig_in(&r, ip, p, len));
	/* A length beyond the packet, and one below the header. */
	len = packet_udp(p, sizeof(p), &h4, &udp, "x", 1);
	p[25] = 10;
	rig_dropped(&r, drop_udp_bad, rig_in(&r, ip, p, len));
	p[25] = 7;
	rig_dropped(&r, drop_udp_bad, rig_in(&r, ip, p, len));
	assert_int_equal(receive(h, NULL, NULL, &c, 1), -EAGAIN);
	rig_end(&r);
}

/* A datagram to a broadcast address or to a group of ours is a socket's like another. */
static void to_all(void **state)
{
	struct cpl_endpoint from, at, to = rig_at("10.0.0.255", 68);
	struct rig_frame *f;
	cpl_handle h;
	char c;

	(void)state;
	begin();
	h = rig_udp(&r, "0.0.0.0", 67);
	rig_udp_in(&r, ip, "10.0.0.2", 68, "10.0.0.255", 67, "x", 1);
	assert_int_equal(receive(h, &from, &at, &c, 1), 1);
	expect_end(&at, "10.0.0.255", 67);
	rig_udp_in(&r, ip, "10.0.0.2", 68, "255.255.255.255", 67, "x", 1);
	assert_int_equal(receive(h, &from, &at, &c, 1), 1);
	assert_int_equal(cpl_udp_send(r.stack, h, NULL, &to, "x", 1, r.now), 1);
	f = rig_expect(&r, ip, PACKET_UDP);
	assert_memory_equal(&f->p.ip.dst, &to.addr, 16);
	rig_end(&r);
}

/* RFC 1122 4.1.3.3 */
static void told_of_errors(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 9);
	struct rig_frame *f;
	struct icmp_msg m = { .type = ICMP4_UNREACHABLE, .code = 3 };
	uint8_t quote[64];
	cpl_handle h;
	int error;

	(void)state;
	begin();
	h = rig_udp(&r, "10.0.0.1", 5000);
	assert_int_equal(cpl_set_user(r.stack, h, 99), 0);
	cpl_udp_send(r.stack, h, NULL, &to, "x", 1, r.now);
	f = rig_expect(&r, ip, PACKET_UDP);
	m.body = quote;
	m.body_len = f->len;
	memcpy(quote, f->data, f->len);
	rig_icmp_in(&r, ip, "10.0.0.2", "10.0.0.1", &m);
	assert_int_equal(rig_events(&r, h, &error), CPL_EV_SOFT);
	assert_int_equal(error, ECONNREFUSED);
	assert_int_equal(rig_events(&r, h, NULL), 0); /* once */
	m.code = 1;
	rig_icmp_in(&r, ip, "10.0.0.2", "10.0.0.1", &m);
	rig_events(&r, h, &error);
	assert_int_equal(error, EHOSTUNREACH);
	/* About a port that nobody has. */
	cpl_close(r.stack, h, r.now);
	rig_dropped(&r, drop_icmp_unmatched, rig_icmp_in(&r, ip, "10.0.0.2", "10.0.0.1", &m));
	rig_end(&r);
}

static void catch_all(void **state)
{
	struct cpl_endpoint from, at;
	struct cpl_addr far = rig_addr("192.0.2.7");
	struct icmp_quote q;
	struct rig_frame *f;
	cpl_handle all, own, second;
	char c;

	(void)state;
	begin();
	assert_int_equal(cpl_udp_catch_all(r.stack, 0, &all, r.now), 0);
	assert_int_equal(cpl_udp_catch_all(r.stack, 0, &second, r.now), -EADDRINUSE);
	assert_int_equal(cpl_udp_catch_all(r.stack, 65, &second, r.now), -EINVAL);
	own = rig_udp(&r, "10.0.0.1", 5000);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.1", 5000, "a", 1);
	rig_udp_in(&r, ip, "10.0.0.2", 1, "192.0.2.7", 53, "b", 1);
	rig_udp_in(&r, ip, "fd00::2", 1, "2001:db8::7", 53, "c", 1);
	assert_int_equal(receive(own, NULL, NULL, &c, 1), 1);
	assert_int_equal(c, 'a');
	assert_int_equal(receive(all, &from, &at, &c, 1), 1);
	assert_int_equal(c, 'b');
	expect_end(&at, "192.0.2.7", 53);
	/* It answers from that address, or refuses in its name. */
	assert_int_equal(cpl_udp_send(r.stack, all, &at, &from, "d", 1, r.now), 1);
	f = rig_expect(&r, ip, PACKET_UDP);
	assert_memory_equal(&f->p.ip.src, &far, 16);
	assert_int_equal(f->p.udp.sport, 53);
	assert_int_equal(f->p.udp.dport, 1);
	assert_int_equal(cpl_udp_refuse(r.stack, all, &from, &at, r.now), 0);
	f = rig_icmp(&r, ip, ICMP4_UNREACHABLE, 3);
	assert_memory_equal(&f->p.ip.src, &far, 16);
	assert_true(icmp_quote_parse(f->p.icmp.body, f->p.icmp.body_len, false, &q));
	assert_memory_equal(&q.dst, &far, 16);
	assert_int_equal(q.dport, 53);
	assert_int_equal(receive(all, &from, &at, &c, 1), 1);
	assert_int_equal(cpl_udp_refuse(r.stack, all, &from, &at, r.now), 0);
	rig_icmp(&r, ip, ICMP6_UNREACHABLE, 4);
	/* What went to all is not refused. */
	rig_udp_in(&r, ip, "10.0.0.2", 1, "10.0.0.255", 53, "e", 1);
	assert_int_equal(receive(all, &from, &at, &c, 1), 1);
	assert_int_equal(cpl_udp_refuse(r.stack, all, &from, &at, r.now), 0);
	rig_nothing(&r);
	/* Nor is it for every destination: these are nobody's. */
	rig_dropped(&r, drop_ip_not_ours,
		    rig_udp_in(&r, ip, "10.0.0.2", 1, "127.0.0.1", 53, "f", 1));
	rig_dropped(&r, drop_ip_not_ours, rig_udp_in(&r, ip, "10.0.0.2", 1, "0.0.0.0", 53, "f", 1));
	assert_int_equal(cpl_close(r.stack, all, r.now), 0);
	rig_dropped(&r, drop_ip_not_ours,
		    rig_udp_in(&r, ip, "10.0.0.2", 1, "192.0.2.7", 53, "b", 1));
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),	 cmocka_unit_test(one_that_fits_best),
		cmocka_unit_test(conflicts),	 cmocka_unit_test(ephemeral_ports),
		cmocka_unit_test(sends_refused), cmocka_unit_test(largest),
		cmocka_unit_test(truncated),	 cmocka_unit_test(queue_full),
		cmocka_unit_test(closed_port),	 cmocka_unit_test(bad_datagrams),
		cmocka_unit_test(to_all),	 cmocka_unit_test(told_of_errors),
		cmocka_unit_test(catch_all),
	};

	return cmocka_run_group_tests_name("stack: udp", tests, NULL, NULL);
}
