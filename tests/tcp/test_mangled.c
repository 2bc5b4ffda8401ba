/* SPDX-License-Identifier: MIT */
/*
 * Data segments that were damaged on the way, or whose options are strange: none does harm, each is
 * counted (RFC 9293 3.1, 3.2; MUST-3, MUST-6, MUST-7, MUST-64).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

/* [from, to) of the stream as an IP packet, with N octets of options. */
static uint32_t build(uint8_t packet[2000], uint32_t from, uint32_t to, const uint8_t *options,
		      unsigned n)
{
	static uint8_t data[2000];
	struct ip_hdr ip = { .src = b.flow.peer.addr, .dst = b.flow.us.addr };
	struct tcp_seg seg = { .sport = b.flow.peer.port,
			       .dport = b.flow.us.port,
			       .seq = b.flow.iss + from,
			       .ack = b.flow.our_iss + 1,
			       .flags = TCP_ACK | TCP_PSH,
			       .wnd = 65535,
			       .data = data,
			       .len = to - from };

	for (uint32_t i = 0; i < seg.len; i++)
		data[i] = bench_octet(from - 1 + i);
	return packet_tcp_raw(packet, 2000, &ip, &seg, options, n);
}

/* Any one bit, anywhere in the packet, over both families. */
static void one_bit(void **state)
{
	uint8_t packet[2000];
	cpl_handle h;
	uint32_t len;

	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		bench_init(&b);
		b.v6 = v6;
		b.iface.mtu = 1500;
		bench_start(&b);
		h = bench_passive(&b, "mss 1400");
		len = build(packet, 1, 42, (const uint8_t *)"", 0);
		for (unsigned bit = 0; bit < 8 * len; bit++) {
			uint64_t drops = bench_drops(&b);

			packet[bit / 8] ^= (uint8_t)(128 >> bit % 8);
			bench_inject(&b, packet, len);
			packet[bit / 8] ^= (uint8_t)(128 >> bit % 8);
			/* IPv6 protects neither the traffic class, the flow label nor the hop
			 * limit. */
			if (bench_info(&b, h)->recv_queue) {
				assert_true(v6 && (bit < 32 || bit / 8 == 7));
				bench_read(&b, h, 41);
				bench_end(&b);
				bench_init(&b);
				b.v6 = v6;
				bench_start(&b);
				h = bench_passive(&b, "mss 1400");
				len = build(packet, 1, 42, (const uint8_t *)"", 0);
				continue;
			}
			assert_true(bench_drops(&b) > drops);
			while (bench_take(&b)) /* an ICMP error, at most */
				assert_int_not_equal(b.last.p.kind, PACKET_TCP);
		}
		expect_state(&b, CPL_ESTABLISHED);
		bench_inject(&b, packet, len);
		bench_read(&b, h, 41);
		bench_end(&b);
	}
}

/* Cut short at any length. */
static void cut_short(void **state)
{
	uint8_t packet[2000];
	cpl_handle h;
	uint32_t len;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1400");
	len = build(packet, 1, 42, (const uint8_t *)"", 0);
	for (uint32_t n = 1; n < len; n++) {
		uint64_t drops = bench_drops(&b);

		bench_inject(&b, packet, n);
		assert_int_equal(bench_drops(&b), drops + 1);
	}
	assert_int_equal(bench_info(&b, h)->recv_queue, 0);
	expect_nothing(&b);
	bench_end(&b);
}

/* MUST-64: an option may start anywhere; MUST-6: one that is not known is skipped. */
static void options_anywhere(void **state)
{
	for (unsigned pad = 0; pad <= 3; pad++) {
		for (unsigned known = 0; known < 2; known++) {
			uint8_t options[40], packet[2000];
			unsigned n = 0;
			cpl_handle h;

			bench_init(&b);
			b.config.timestamps = 1;
			bench_start(&b);
			h = bench_passive(&b, "mss 1400,TS");
			while (n < pad)
				options[n++] = 1;
			if (!known) {
				options[n++] = 253; /* RFC 4727 */
				options[n++] = 5;
				memset(options + n, 0xab, 3);
				n += 3;
			}
			options[n++] = 8;
			options[n++] = 10;
			memcpy(options + n, (uint8_t[]){ 9, 9, 9, 9, 0, 0, 0, 0 }, 8);
			n += 8;
			while (n % 4)
				options[n++] = 0;
			bench_inject(&b, packet, build(packet, 1, 42, options, n));
			bench_read(&b, h, 41);
			assert_int_equal(bench_info(&b, h)->ts_recent, 0x09090909);
			bench_end(&b);
		}
	}
	(void)state;
}

/*
 * Any octets for options, the checksum right: the segment is taken as it is or dropped, and counted
 * then; never half.
 */
static void any_options(void **state)
{
	uint64_t seed = 5;
	uint32_t next = 1;
	unsigned taken = 0, dropped = 0;
	cpl_handle h;

	(void)state;
	bench_init(&b);
	b.config.sack = 1;
	bench_start(&b);
	h = bench_passive(&b, "mss 1400,sackOK");
	bench_write(&b, h, 1000);
	for (unsigned i = 0; i < 20000; i++) {
		static const uint8_t kinds[] = {
			0, 1, 2, 3, 4, 5, 8, 19, 28, 29, 34, 69, 253, 254
		};
		uint8_t options[40], packet[2000];
		unsigned n = 4 * (1 + rnd(&seed, 10)), at = 0;
		uint64_t drops = bench_drops(&b);

		rnd_fill(&seed, options, n);
		while (rnd(&seed, 4) && at < n) { /* half of them make some sense */
			options[at] = kinds[rnd(&seed, ARRAY_LEN(kinds))];
			if (options[at] < 2) {
				at++;
			} else if (at + 1 < n) {
				options[at + 1] = (uint8_t)rnd(&seed, 13);
				at += options[at + 1] ? options[at + 1] : 1;
			} else {
				break;
			}
		}
		bench_inject(&b, packet, build(packet, next, next + 7, options, n));
		if (bench_info(&b, h)->recv_queue) {
			bench_read(&b, h, 7);
			next += 7;
			taken++;
			assert_int_equal(bench_drops(&b), drops);
		} else {
			dropped++;
			assert_true(bench_drops(&b) > drops);
		}
		while (bench_take(&b))
			;
	}
	assert_true(taken > 1000 && dropped > 1000);
	/* None of it was believed where it makes no sense. */
	assert_int_equal(bench_info(&b, h)->bytes_acked, 0);
	assert_true(bench_info(&b, h)->sacked <= 1000);
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_bit),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(options_anywhere),
		cmocka_unit_test(any_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
