/* SPDX-License-Identifier: MIT */
/* ICMP of a whole stack (RFC 792, RFC 1122 3.2.2, RFC 4443): echo, errors sent, errors heard. */
#include "tests/util/tcp_bench.h"

#include "tests/util/rig.h"

static struct rig r;
static struct bench b;
static int ip;

static const char *const us[2] = { "10.0.0.1", "fd00::1" }, *const peer[2] = { "10.0.0.2",
									       "fd00::2" };

static void begin(void)
{
	ip = rig_begin(&r, CPL_IFACE_IP);
}

static void ping(int v6, const void *data, uint32_t n)
{
	struct icmp_msg m = { .type = v6 ? ICMP6_ECHO : ICMP4_ECHO,
			      .rest = 0x12340001,
			      .body = data,
			      .body_len = n };

	rig_icmp_in(&r, ip, peer[v6], us[v6], &m);
}

static void echo(void **state)
{
	static const uint8_t data[1400] = { 1, 2, 3 };

	(void)state;
	begin();
	for (int v6 = 0; v6 < 2; v6++) {
		struct cpl_addr a = rig_addr(us[v6]), p = rig_addr(peer[v6]);
		struct rig_frame *f;

		for (unsigned n = 0; n <= 1400; n += 700) {
			ping(v6, data, n);
			f = rig_icmp(&r, ip, v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY, 0);
			assert_memory_equal(&f->p.ip.src, &a, 16);
			assert_memory_equal(&f->p.ip.dst, &p, 16);
			assert_int_equal(f->p.icmp.rest, 0x12340001);
			assert_int_equal(f->p.icmp.body_len, n);
			assert_memory_equal(f->p.icmp.body, data, n);
		}
	}
	/* A reply that nobody has asked for. */
	rig_dropped(&r, drop_icmp_unmatched,
		    rig_icmp_in(&r, ip, peer[0], us[0],
				&(struct icmp_msg){ .type = ICMP4_ECHO_REPLY }));
	rig_end(&r);
}

/* The largest echo, which comes in fragments and goes in fragments. */
static void echo_in_fragments(void **state)
{
	static uint8_t data[65507], packet[65600], back[65600], part[1500];
	uint64_t seed = 9;

	(void)state;
	begin();
	rnd_fill(&seed, data, sizeof(data));
	for (unsigned n = 65507; n > 5; n = n > 9000 ? n / 8 : 0) {
		struct ip_hdr h = { .src = rig_addr(peer[0]), .dst = rig_addr(us[0]) };
		struct icmp_msg m = { .type = ICMP4_ECHO, .body = data, .body_len = n }, reply;
		uint32_t len = packet_icmp(packet, sizeof(packet), &h, &m) - IPV4_HLEN, total = 0;
		struct rig_frame *f;

		h.version = 4;
		h.ttl = 64;
		h.protocol = IP_ICMP;
		h.id = n & 0xffff;
		for (uint32_t off = 0; off < len; off += 1480) {
			uint32_t size = len - off < 1480 ? len - off : 1480;

			h.frag_off = off;
			h.more_frags = off + size < len;
			h.len = IPV4_HLEN + size;
			ip_build(part, &h);
			memcpy(part + IPV4_HLEN, packet + IPV4_HLEN + off, size);
			rig_in(&r, ip, part, h.len);
		}
		assert_int_equal(rig_drops(&r), 0);
		while ((f = rig_take(&r)) != NULL) {
			assert_int_equal(f->p.ip.frag_off, total);
			memcpy(back + total, f->p.payload - (n < 1473 ? ICMP_HLEN : 0),
			       f->p.payload_len);
			total += f->p.payload_len;
		}
		assert_int_equal(total, len);
		assert_true(icmp4_parse(back, total, &reply));
		assert_int_equal(reply.type, ICMP4_ECHO_REPLY);
		assert_memory_equal(reply.body, data, n);
	}
	rig_end(&r);
}

/* RFC 1122 3.2.2.6 lets us be silent, and RFC 4443 4.2 wants an answer from an address of ours. */
static void echo_to_all(void **state)
{
	struct icmp_msg m4 = { .type = ICMP4_ECHO }, m6 = { .type = ICMP6_ECHO };
	struct cpl_addr own = rig_addr(us[1]);

	(void)state;
	begin();
	rig_icmp_in(&r, ip, peer[0], "10.0.0.255", &m4);
	rig_icmp_in(&r, ip, peer[0], "224.0.0.1", &m4);
	rig_nothing(&r);
	rig_icmp_in(&r, ip, peer[1], "ff02::1", &m6);
	assert_memory_equal(&rig_icmp(&r, ip, ICMP6_ECHO_REPLY, 0)->p.ip.src, &own, 16);
	rig_dropped(&r, drop_ip_not_ours, rig_icmp_in(&r, ip, peer[1], "ff02::77", &m6));
	rig_end(&r);
}

static void rate_limit(void **state)
{
	unsigned n = 0;

	(void)state;
	rig_init(&r);
	r.config.icmp_rate = 10;
	rig_start(&r);
	ip = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, ip, us[0], 24);
	for (unsigned i = 0; i < 25; i++)
		if (i % 2)
			ping(0, NULL, 0);
		else
			rig_udp_in(&r, ip, peer[0], 1, us[0], 53, "x", 1);
	while (rig_take(&r))
		n++;
	assert_int_equal(n, 10);
	assert_int_equal(rig_counter(&r, drop_icmp_limit), 15);
	assert_int_equal(rig_counter(&r, icmp_out), 10);
	rig_run(&r, CPL_SECOND);
	ping(0, NULL, 0);
	rig_icmp(&r, ip, ICMP4_ECHO_REPLY, 0);
	rig_end(&r);
}

/* An IP packet of PROTOCOL, as raw octets. */
static void raw_in(int v6, const char *from, const char *to, uint8_t protocol, uint32_t frag_off,
		   const void *body, uint32_t n)
{
	uint8_t p[200];
	struct ip_hdr h = { .src = rig_addr(from),
			    .dst = rig_addr(to),
			    .ttl = 64,
			    .protocol = protocol,
			    .version = v6 ? 6 : 4,
			    .frag_off = frag_off };
	unsigned at = v6 ? IPV6_HLEN : IPV4_HLEN;

	h.len = at + n;
	ip_build(p, &h);
	memcpy(p + at, body, n);
	rig_in(&r, ip, p, h.len);
}

static void unknown_protocol(void **state)
{
	struct rig_frame *f;

	(void)state;
	begin();
	raw_in(0, peer[0], us[0], 132, 0, "12345678", 8);
	f = rig_icmp(&r, ip, ICMP4_UNREACHABLE, 2);
	assert_int_equal(f->p.icmp.body_len, 28);
	raw_in(1, peer[1], us[1], 132, 0, "12345678", 8);
	f = rig_icmp(&r, ip, ICMP6_PARAMETER, 1);
	assert_int_equal(f->p.icmp.rest, 6); /* the next header field */
	assert_int_equal(rig_counter(&r, drop_ip_protocol), 2);
	/* ICMP of the other family is none. */
	raw_in(0, peer[0], us[0], IP_ICMP6, 0, "12345678", 8);
	rig_icmp(&r, ip, ICMP4_UNREACHABLE, 2);
	/* "No next header" has nothing to say (RFC 8200 4.7). */
	rig_dropped(&r, drop_ip_protocol, raw_in(1, peer[1], us[1], 59, 0, "", 0));
	/* To all: no error. */
	rig_dropped(&r, drop_ip_protocol, raw_in(0, peer[0], "10.0.0.255", 132, 0, "12345678", 8));
	rig_dropped(&r, drop_ip_protocol, raw_in(1, peer[1], "ff02::1", 132, 0, "12345678", 8));
	rig_end(&r);
}

/* An error quotes as much as fits in 576 or 1280 bytes (RFC 1812 4.3.2.3, RFC 4443 2.4 (c)). */
static void quote_is_bounded(void **state)
{
	static const uint8_t data[1400];

	(void)state;
	begin();
	for (int v6 = 0; v6 < 2; v6++) {
		rig_udp_in(&r, ip, peer[v6], 1, us[v6], 53, data, sizeof(data));
		assert_int_equal(rig_expect(&r, ip, PACKET_ICMP)->p.ip.len, v6 ? 1280 : 576);
	}
	rig_end(&r);
}

/* Unknown options of a packet to a group are the exception: RFC 8200 4.2, type 10xxxxxx. */
static void problem_of_a_group(void **state)
{
	static const uint8_t options[8] = { 59, 0, 0x9e, 4 }, quiet[8] = { 59, 0, 0xde, 4 };
	struct rig_frame *f;
	struct cpl_addr own = rig_addr(us[1]);

	(void)state;
	begin();
	raw_in(1, peer[1], "ff02::1", 60, 0, options, 8);
	f = rig_icmp(&r, ip, ICMP6_PARAMETER, 2);
	assert_int_equal(f->p.icmp.rest, IPV6_HLEN + 2);
	assert_memory_equal(&f->p.ip.src, &own, 16);
	raw_in(1, peer[1], us[1], 60, 0, quiet, 8);
	rig_icmp(&r, ip, ICMP6_PARAMETER, 2);
	rig_dropped(&r, drop_ip_option, raw_in(1, peer[1], "ff02::1", 60, 0, quiet, 8));
	assert_int_equal(rig_counter(&r, drop_ip_option), 3);
	rig_end(&r);
}

/* ... and its source may be a link-local address, which more than one interface has. */
static void problem_of_the_link(void **state)
{
	static const uint8_t options[8] = { 59, 0, 0x9e, 4 };
	struct cpl_addr own = rig_addr("fe80::5");

	(void)state;
	begin();
	rig_addr_add(&r, ip, "fe80::5", 64);
	ip = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, ip, "fe80::6", 64);
	ip = 1;
	raw_in(1, "fe80::9", "ff02::1", 60, 0, options, 8);
	assert_memory_equal(&rig_icmp(&r, ip, ICMP6_PARAMETER, 2)->p.ip.src, &own, 16);
	rig_end(&r);
}

static void malformed(void **state)
{
	uint8_t p[64];
	struct ip_hdr h = { .src = rig_addr(peer[0]), .dst = rig_addr(us[0]) };
	struct icmp_msg m = { .type = ICMP4_ECHO };
	uint32_t len = packet_icmp(p, sizeof(p), &h, &m);

	(void)state;
	begin();
	p[IPV4_HLEN + 2] ^= 1;
	rig_dropped(&r, drop_icmp_bad, rig_in(&r, ip, p, len));
	rig_dropped(&r, drop_icmp_bad, raw_in(0, peer[0], us[0], IP_ICMP, 0, "1234", 4));
	p[9] = IP_UDP; /* without its ports */
	m = (struct icmp_msg){ .type = ICMP4_UNREACHABLE, .code = 3, .body = p, .body_len = 20 };
	rig_dropped(&r, drop_icmp_bad, rig_icmp_in(&r, ip, peer[0], us[0], &m));
	rig_end(&r);
}

/* ---- errors about a connection ---- */

static cpl_handle open_to_peer(bool v6)
{
	cpl_handle h;

	bench_init(&b);
	b.v6 = v6;
	bench_start(&b);
	h = bench_open(&b, 0, 80);
	expect(&b, "S 0 <*>");
	return h;
}

/* MUST-54, SHLD-26: hard while it is being opened. */
static void tcp_refused_by_icmp(void **state)
{
	static const struct {
		bool v6;
		uint8_t type, code;
		int error, event;
	} cases[] = {
		{ false, ICMP4_UNREACHABLE, 3, ECONNREFUSED, CPL_EV_CLOSED },
		{ false, ICMP4_UNREACHABLE, 2, ENOPROTOOPT, CPL_EV_CLOSED },
		{ false, ICMP4_UNREACHABLE, 0, ENETUNREACH, CPL_EV_SOFT },
		{ false, ICMP4_UNREACHABLE, 1, EHOSTUNREACH, CPL_EV_SOFT },
		{ false, ICMP4_TIME_EXCEEDED, 0, EHOSTUNREACH, CPL_EV_SOFT },
		{ false, ICMP4_PARAMETER, 0, EPROTO, CPL_EV_SOFT },
		{ true, ICMP6_UNREACHABLE, 4, ECONNREFUSED, CPL_EV_CLOSED },
		{ true, ICMP6_UNREACHABLE, 0, ENETUNREACH, CPL_EV_SOFT },
		{ true, ICMP6_TIME_EXCEEDED, 0, EHOSTUNREACH, CPL_EV_SOFT },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cpl_handle h = open_to_peer(cases[i].v6);

		/* Not in flight: nobody on the path can have seen it. */
		bench_send_icmp(&b, cases[i].type, cases[i].code, 0, 7777, 0);
		expect_event(&b, h, 0, 0);
		assert_int_equal(counter(&b, drop_icmp_unmatched), 1);
		bench_send_icmp(&b, cases[i].type, cases[i].code, 0, 0, 0);
		expect_event(&b, h, (uint32_t)cases[i].event, cases[i].error);
		assert_int_equal(counter(&b, icmp_in), 1);
		expect_nothing(&b);
		bench_end(&b);
	}
}

/* MUST-56: soft once it is established. */
static void tcp_soft(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	bench_send_icmp(&b, ICMP4_UNREACHABLE, 3, 0, 1, 10);
	expect_event(&b, h, CPL_EV_SOFT, ECONNREFUSED);
	expect_state(&b, CPL_ESTABLISHED);
	assert_int_equal(bench_info(&b, h)->soft_error, ECONNREFUSED);
	bench_end(&b);
}

/* MUST-55: Source Quench is ignored; redirects too. */
static void ignored(void **state)
{
	static const uint8_t types[] = { ICMP4_SOURCE_QUENCH, ICMP4_REDIRECT, 13, 17 };
	uint32_t cwnd;
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_active(&b, "mss 1460");
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	cwnd = bench_info(&b, h)->cwnd;
	for (unsigned i = 0; i < sizeof(types); i++) {
		bench_send_icmp(&b, types[i], 1, 0x0a000009, 1, 10);
		expect_nothing(&b);
		expect_event(&b, h, 0, 0);
		assert_int_equal(counter(&b, drop_icmp_unmatched), i + 1);
	}
	assert_int_equal(bench_info(&b, h)->cwnd, cwnd);
	assert_int_equal(bench_info(&b, h)->soft_error, 0);
	bench_end(&b);
}

/* Too big: RFC 1191, RFC 8201, and only if a connection of ours sent it (RFC 5927 7.2). */
static void too_big(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t mss = v6 ? 1440 : 1460, small = v6 ? 1280 - 60 : 1000 - 40;
		uint8_t type = v6 ? ICMP6_TOO_BIG : ICMP4_UNREACHABLE, code = v6 ? 0 : 4;
		cpl_handle h;

		bench_init(&b);
		b.v6 = v6;
		bench_start(&b);
		h = bench_active(&b, v6 ? "mss 1440" : "mss 1460");
		bench_write(&b, h, mss);
		expect(&b, "P. 1:%u ack 1", 1 + mss);
		bench_send_icmp(&b, type, code, v6 ? 1280 : 1000, 5000, mss);
		expect_nothing(&b);
		assert_int_equal(counter(&b, drop_icmp_unmatched), 1);
		assert_int_equal(bench_info(&b, h)->pmtu, 1500);
		bench_send_icmp(&b, type, code, v6 ? 1280 : 1000, 1, mss);
		assert_int_equal(bench_info(&b, h)->pmtu, v6 ? 1280 : 1000);
		expect(&b, ". 1:%u ack 1", 1 + small);
		expect(&b, "P. %u:%u ack 1", 1 + small, 1 + mss);
		expect_nothing(&b);
		bench_end(&b);
	}
}

/* A datagram of ours was too big: the next to there is cut. */
static void too_big_for_udp(void **state)
{
	static uint8_t data[1400];
	struct cpl_endpoint to = rig_at(peer[1], 9);
	struct icmp_msg m = { .type = ICMP6_TOO_BIG, .rest = 1280 };
	uint8_t quote[1300];
	struct rig_frame *f;
	cpl_handle h;

	(void)state;
	begin();
	h = rig_udp(&r, us[1], 5000);
	cpl_udp_send(r.stack, h, NULL, &to, data, sizeof(data), r.now);
	f = rig_expect(&r, ip, PACKET_UDP);
	memcpy(quote, f->data, 1232);
	m.body = quote;
	m.body_len = 1232;
	rig_icmp_in(&r, ip, "fd00::fe", us[1], &m);
	assert_int_equal(rig_events(&r, h, NULL), 0);
	cpl_udp_send(r.stack, h, NULL, &to, data, sizeof(data), r.now);
	assert_int_equal(rig_expect(&r, ip, PACKET_FRAGMENT)->p.ip.len, 1280);
	rig_expect(&r, ip, PACKET_FRAGMENT);
	rig_nothing(&r);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo),
		cmocka_unit_test(echo_in_fragments),
		cmocka_unit_test(echo_to_all),
		cmocka_unit_test(rate_limit),
		cmocka_unit_test(unknown_protocol),
		cmocka_unit_test(quote_is_bounded),
		cmocka_unit_test(problem_of_a_group),
		cmocka_unit_test(problem_of_the_link),
		cmocka_unit_test(malformed),
		cmocka_unit_test(tcp_refused_by_icmp),
		cmocka_unit_test(tcp_soft),
		cmocka_unit_test(ignored),
		cmocka_unit_test(too_big),
		cmocka_unit_test(too_big_for_udp),
	};

	return cmocka_run_group_tests_name("stack: icmp", tests, NULL, NULL);
}
