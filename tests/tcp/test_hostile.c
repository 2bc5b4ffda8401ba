/* SPDX-License-Identifier: MIT */
/*
 * Hostile input: damaged, cut, blindly forged and senseless segments. What a connection does not
 * take changes nothing in it but counters, and each is counted once.
 */
#include "tests/util/tcp_bench.h"

#include "base/hash.h"

static struct bench b;
static struct prng prng;

static uint32_t draw(uint32_t n)
{
	return (uint32_t)prng_below(&prng, n);
}

/* Everything about a connection that a segment which is not taken may not change. */
static struct cpl_info image(cpl_handle h)
{
	struct cpl_info i = *bench_info(&b, h);

	i.segs_in = i.data_segs_in = i.drops = i.segs_out = 0;
	i.taken = i.age = i.why_for = i.why_time_idle = i.ts_recent_age = i.last_received = 0;
	i.last_sent = 0;
	return i;
}

static void unchanged(const struct cpl_info *before, cpl_handle h)
{
	struct cpl_info after = image(h);

	assert_memory_equal(before, &after, sizeof(after));
}

/* It still works, both ways. */
static void still_works(cpl_handle h, const struct bench_flow *flow)
{
	const struct cpl_info *i;
	uint32_t in, out;

	while (bench_take(&b))
		;
	b.flow = *flow;
	bench_run(&b, CPL_SECOND);
	while (bench_take(&b))
		;
	i = bench_info(&b, h);
	in = i->rcv_nxt - i->irs;
	out = i->snd_nxt - i->iss;
	send(&b, "P. %u:%u ack %u", in, in + 100, out);
	bench_run(&b, 50 * CPL_MS);
	expect(&b, ". %u ack %u <*>", out, in + 100);
	bench_read(&b, h, 100);
	bench_write(&b, h, 100);
	expect(&b, "P. %u:%u ack %u <*>", out, out + 100, in + 100);
}

/* ---- damage ---- */

static uint8_t packet[2048];

/* A good data segment of the flow, as bytes. */
static uint32_t good_packet(void)
{
	static uint8_t data[64];
	struct ip_hdr ip = { .src = b.flow.peer.addr, .dst = b.flow.us.addr };
	struct tcp_seg seg = { .sport = b.flow.peer.port,
			       .dport = b.flow.us.port,
			       .seq = b.flow.iss + 1,
			       .ack = b.flow.our_iss + 1,
			       .flags = TCP_ACK | TCP_PSH,
			       .wnd = 1000,
			       .opts = TCP_HAS_TS,
			       .tsval = 1u << 30,
			       .data = data,
			       .len = sizeof(data) };

	return packet_tcp(packet, sizeof(packet), &ip, &seg);
}

/* Octets of an IPv6 header that no checksum covers: traffic class, flow label, hop limit. */
static bool uncovered(uint32_t bit)
{
	return b.v6 && ((bit >= 4 && bit < 32) || bit / 8 == 7);
}

/* MUST-3: a bit of it is wrong. */
static void one_bit_wrong(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		struct cpl_info before;
		cpl_handle h;
		uint32_t len;

		bench_init(&b);
		b.v6 = v6;
		bench_start(&b);
		h = bench_passive(&b, "mss 1460");
		before = image(h);
		len = good_packet();
		for (uint32_t bit = 0; bit < 8 * len; bit++) {
			uint64_t drops = bench_drops(&b);

			if (uncovered(bit))
				continue;
			packet[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
			bench_inject(&b, packet, len);
			packet[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
			/* IPv6: what was made of it may be the beginning of a fragment. */
			if (bench_drops(&b) == drops && !(v6 && bit / 8 == 6))
				bench_fail(__FILE__, __LINE__, &b, "bit %u: not counted", bit);
			assert_in_range(bench_drops(&b) - drops, 0, 1);
			while (bench_take(&b)) /* ICMPv6 may say that it was not understood */
				assert_int_equal(b.last.p.kind, PACKET_ICMP);
			unchanged(&before, h);
		}
		bench_inject(&b, packet, len); /* it was a good one */
		assert_int_equal(bench_info(&b, h)->recv_queue, 64);
		while (bench_take(&b))
			;
		bench_end(&b);
	}
}

/* It is cut off somewhere, its lengths say so or not. */
static void cut_off(void **state)
{
	(void)state;
	for (int honest = 0; honest < 2; honest++) {
		struct cpl_info before;
		cpl_handle h;
		uint32_t len;

		bench_begin(&b);
		h = bench_passive(&b, "mss 1460");
		before = image(h);
		len = good_packet();
		for (uint32_t n = 0; n < len - 64; n++) {
			uint64_t drops = bench_drops(&b);
			uint8_t cut[2048];

			memcpy(cut, packet, len);
			if (honest && n >= 20) {
				cut[2] = (uint8_t)(n >> 8);
				cut[3] = (uint8_t)n;
				packet_fix(cut, n);
			}
			bench_inject(&b, cut, n);
			assert_int_equal(bench_drops(&b), drops + 1);
			unchanged(&before, h);
		}
		expect_nothing(&b);
		bench_end(&b);
	}
}

/* Every data offset, over every length of options that begins a good one. */
static void header_lengths(void **state)
{
	(void)state;
	for (unsigned off = 0; off < 16; off++) {
		struct ip_hdr ip;
		struct tcp_seg seg;
		cpl_handle h;
		uint32_t len;

		bench_begin(&b);
		h = bench_passive(&b, "mss 1460");
		ip = (struct ip_hdr){ .src = b.peer_addr, .dst = b.our_addr };
		seg = (struct tcp_seg){ .sport = b.flow.peer.port,
					.dport = 80,
					.seq = b.flow.iss + 1,
					.ack = b.flow.our_iss + 1,
					.flags = TCP_ACK };
		len = packet_tcp(packet, sizeof(packet), &ip, &seg);
		packet[20 + 12] = (uint8_t)(off << 4);
		packet_fix(packet, len);
		bench_inject(&b, packet, len);
		assert_int_equal(counter(&b, drop_tcp_header), off != 5);
		expect_nothing(&b);
		assert_int_equal(bench_info(&b, h)->state, CPL_ESTABLISHED);
		bench_end(&b);
	}
}

/* ---- forgery ---- */

/* A segment of the flow, all of whose fields are drawn; SEQ is relative. */
static void random_segment(uint32_t seq, uint32_t ack, uint16_t flags)
{
	static uint8_t data[1460];
	uint8_t options[40];
	struct ip_hdr ip = { .src = b.flow.peer.addr,
			     .dst = b.flow.us.addr,
			     .tos = (uint8_t)draw(256),
			     .ttl = (uint8_t)(1 + draw(255)) };
	struct tcp_seg seg = { .sport = b.flow.peer.port,
			       .dport = b.flow.us.port,
			       .seq = b.flow.iss + seq,
			       .ack = b.flow.our_iss + ack,
			       .flags = flags,
			       .wnd = (uint16_t)draw(65536),
			       .up = (uint16_t)draw(65536),
			       .data = data,
			       .len = draw(3) ? 0 : draw(1200) };
	unsigned n = draw(2) ? 0 : 4 * draw(11);

	for (uint32_t i = 0; i < seg.len; i++)
		data[i] = (uint8_t)draw(256);
	for (unsigned i = 0; i < n; i++)
		options[i] = (uint8_t)(draw(2) ? draw(12) : draw(256));
	if (n && !draw(4)) /* well-formed ones, too */
		memcpy(options, (uint8_t[4]){ 2, 4, (uint8_t)draw(256), (uint8_t)draw(256) }, 4);
	bench_inject(&b, packet,
		     n ? packet_tcp_raw(packet, sizeof(packet), &ip, &seg, options, n)
		       : packet_tcp(packet, sizeof(packet), &ip, &seg));
}

/*
 * A blind attacker, who knows addresses and ports, but neither sequence number (RFC 5961): whatever
 * lies beyond the window is counted, and at most answered by an ACK. The window is 2^16 octets of
 * 2^32; here no shot hits it.
 */
static void blind(void **state)
{
	(void)state;
	prng_seed(&prng, 5961);
	for (unsigned run = 0; run < 16; run++) {
		struct bench_flow flow;
		struct cpl_info before;
		cpl_handle h;

		bench_init(&b);
		b.v6 = run & 1;
		b.config.timestamps = run & 1;
		b.config.sack = run >> 1 & 1;
		b.config.window_scaling = run >> 2 & 1;
		bench_start(&b);
		h = run & 8 ? bench_active(&b, "mss 1460,TS,sackOK,wscale 7")
			    : bench_passive(&b, "mss 1460,TS,sackOK,wscale 7");
		flow = b.flow;
		still_works(h, &flow);
		send(&b, ". 101 ack 101");
		before = image(h);
		for (unsigned i = 0; i < 1000; i++) {
			uint64_t drops = bench_drops(&b), rst = counter(&b, rst_out);
			uint32_t seq = 100000 + draw(UINT32_MAX - 200000);

			random_segment(seq, draw(UINT32_MAX), (uint16_t)draw(512));
			if (bench_drops(&b) != drops + 1)
				bench_fail(__FILE__, __LINE__, &b, "counted %d times",
					   (int)(bench_drops(&b) - drops));
			assert_int_equal(counter(&b, rst_out), rst);
			while (bench_take(&b)) {
				assert_int_equal(b.last.p.tcp.flags, TCP_ACK);
				assert_int_equal(b.last.p.tcp.ack, before.rcv_nxt);
				assert_int_equal(b.last.p.tcp.len, 0);
			}
			unchanged(&before, h);
		}
		still_works(h, &flow);
		bench_end(&b);
	}
}

/* The right sequence number, but no acknowledgment that fits: data is not injected. */
static void half_blind(void **state)
{
	struct bench_flow flow;
	struct cpl_info before;
	cpl_handle h;

	(void)state;
	prng_seed(&prng, 5962);
	bench_begin(&b);
	h = bench_passive(&b, "mss 1460");
	flow = b.flow;
	before = image(h);
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t drops = bench_drops(&b);
		uint16_t flags = (uint16_t)(draw(512) & ~(TCP_RST | TCP_SYN));

		random_segment(1 + draw(60000), 100000 + draw(UINT32_MAX - 200000), flags);
		if (bench_drops(&b) != drops + 1)
			bench_fail(__FILE__, __LINE__, &b, "counted %d times",
				   (int)(bench_drops(&b) - drops));
		while (bench_take(&b))
			assert_int_equal(b.last.p.tcp.flags, TCP_ACK);
		unchanged(&before, h);
	}
	still_works(h, &flow);
	bench_end(&b);
}

/* ---- nonsense ---- */

static uint32_t near(uint32_t n)
{
	switch (draw(4)) {
	case 0:
		return n;
	case 1:
		return n + draw(8) - 4;
	case 2:
		return n + draw(4000) - 2000;
	default:
		return n + draw(200000) - 100000;
	}
}

static void random_call(cpl_handle l, cpl_handle *h, unsigned n)
{
	cpl_handle *one = &h[draw(n)];
	uint8_t data[3000] = { 0 };

	switch (draw(8)) {
	case 0:
		if (!*one)
			cpl_accept(b.stack, l, one, b.now);
		break;
	case 1:
		cpl_send(b.stack, *one, data, draw(sizeof(data)), draw(16) & ~1u, b.now);
		break;
	case 2:
	case 3:
		cpl_recv(b.stack, *one, data, draw(sizeof(data)), draw(32), b.now);
		break;
	case 4:
		if (!draw(4))
			cpl_shutdown(b.stack, *one, b.now);
		break;
	case 5:
		if (draw(8))
			break;
		if (draw(2))
			cpl_close(b.stack, *one, b.now);
		else
			cpl_abort(b.stack, *one, b.now);
		*one = 0;
		break;
	case 6:
		if (!*one) {
			struct cpl_endpoint to = { .addr = b.peer_addr,
						   .port = (uint16_t)(40000 + draw(3)) };

			cpl_connect(b.stack, NULL, &to, one, b.now);
		}
		break;
	default:
		bench_run(&b, draw(10) ? draw(300) * CPL_MS : draw(300) * CPL_SECOND);
		break;
	}
	b.events_n = 0;
	bench_events(&b, 0, NULL);
	b.events_n = 0;
}

/* Flags that make sense more often than not. */
static uint16_t some_flags(void)
{
	static const uint16_t usual[] = { TCP_SYN,	     TCP_SYN | TCP_ACK, TCP_ACK,
					  TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_RST,
					  TCP_ACK | TCP_URG };

	return draw(8) ? usual[draw(7)] : (uint16_t)draw(512);
}

/*
 * A peer that is mad: near the right numbers, in any order, while the program does what it likes.
 * The oracles are tcb_check(), after every segment, the checks of the bench on what comes out, and
 * the memory.
 */
static void mad_peer(void **state)
{
	(void)state;
	for (uint32_t seed = 0; seed < 60; seed++) {
		cpl_handle h[4] = { 0 }, l;

		prng_seed(&prng, seed);
		bench_init(&b);
		b.config.timestamps = seed & 1;
		b.config.sack = seed >> 1 & 1;
		b.config.window_scaling = seed >> 2 & 1;
		b.config.rcvbuf = seed & 8 ? 2048 : 65535;
		b.config.syncookies = (uint8_t)(seed % 3);
		b.config.time_wait_max = 2;
		b.config.conns_max = 6;
		b.config.half_open_max = 3;
		b.any_octets = true;
		b.config.memory_max = seed & 16 ? 4u << 20 : 64u << 20;
		bench_start(&b);
		l = bench_listen(&b, 80);
		for (unsigned i = 0; i < 600; i++) {
			const struct cpl_info *info;
			uint32_t seq, ack;
			uint16_t flags;

			b.flow = (struct bench_flow){ .us = { .addr = b.our_addr, .port = 80 },
						      .peer = { .addr = b.peer_addr } };
			b.flow.peer.port = (uint16_t)(40000 + draw(3));
			if (draw(2) && h[0] &&
			    !cpl_info_get(b.stack, h[0], &(struct cpl_info){ 0 }, b.now))
				b.flow.us.port = bench_info(&b, h[0])->local_port;
			info = bench_flow_info(&b);
			seq = info ? info->rcv_nxt : draw(UINT32_MAX);
			ack = info ? info->snd_nxt : draw(UINT32_MAX);
			flags = some_flags();
			random_segment(near(seq), near(ack), flags);
			if (!draw(3))
				random_call(l, h, 4);
			b.flow.peer.port = 1;
			while (bench_take(&b))
				;
		}
		bench_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_bit_wrong),  cmocka_unit_test(cut_off),
		cmocka_unit_test(header_lengths), cmocka_unit_test(blind),
		cmocka_unit_test(half_blind),	  cmocka_unit_test(mad_peer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
