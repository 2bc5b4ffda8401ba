/* SPDX-License-Identifier: MIT */
/* Cutting super-segments and completing checksums, seen by the parsers of a strict receiver. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "sim/cut.h"
#include "tests/util/tcp_packet.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/tcp.h"

struct cuts {
	unsigned n;
	uint32_t seq[64], len[64];
	uint8_t flags[64];
	uint16_t id[64];
	uint8_t data[4000];
	uint32_t bytes;
};

/* Whole, with every checksum right, and with all that the cut must leave alone. */
static void collect(void *ctx, const uint8_t *frame, uint32_t len)
{
	struct cuts *c = ctx;
	struct ip_problem problem;
	struct ip_hdr ip;
	struct tcp_seg seg;

	assert_int_equal(ip_parse(frame, len, &ip, &problem), IP_OK);
	assert_int_equal(ip.len, len);
	assert_int_equal(tcp_parse(frame + ip.hlen, ip.len - ip.hlen, &ip.src, &ip.dst, false,
				   &seg),
			 TCP_OK);
	assert_int_equal(seg.ack, TCP_PACKET_ACK);
	assert_int_equal(seg.tsval, TCP_PACKET_TSVAL);
	c->seq[c->n] = seg.seq;
	c->len[c->n] = seg.len;
	c->flags[c->n] = (uint8_t)seg.flags;
	c->id[c->n++] = (uint16_t)ip.id;
	memcpy(c->data + c->bytes, seg.data, seg.len);
	c->bytes += seg.len;
}

static void cut_as_a_device_does(int version)
{
	uint16_t flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR;
	uint32_t ihl = version == 4 ? 20 : 40;
	uint8_t frame[4100];
	uint32_t n = tcp_packet(frame, version, 0xfffffc00, flags, 3500);
	struct cut_frame in = {
		.data = frame, .len = n, .gso_size = 1000, .csum_start = ihl, .csum_offset = 16
	};
	struct cuts c = { 0 };

	frame[ihl + 16] ^= 0x5a; /* what the field holds does not matter to the cut */
	assert_int_equal(cut_frame(&in, collect, &c), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(c.seq[i], 0xfffffc00 + i * 1000);
		assert_int_equal(c.len[i], i < 3 ? 1000 : 500);
		assert_int_equal(c.flags[i], TCP_ACK | (i == 3 ? TCP_PSH | TCP_FIN : 0) |
						     (i == 0 ? TCP_CWR : 0));
		if (version == 4)
			assert_int_equal(c.id[i], (uint16_t)(TCP_PACKET_ID + i));
	}
	assert_memory_equal(c.data, frame + n - 3500, 3500);
	assert_int_equal(cut_count(3500, 1000), 4);
	assert_int_equal(cut_count(3000, 1000), 3);
	assert_int_equal(cut_count(0, 1000), 1);
}

static void cut4(void **state)
{
	(void)state;
	cut_as_a_device_does(4);
}

static void cut6(void **state)
{
	(void)state;
	cut_as_a_device_does(6);
}

static void partial_checksum_is_completed(void **state)
{
	uint8_t frame[300];
	uint32_t n = tcp_packet(frame, 4, 1, TCP_ACK, 101);
	struct cut_frame in = { .data = frame, .len = n, .csum_start = 20, .csum_offset = 16 };
	struct cpl_addr src = cpl_addr4(10, 0, 0, 1), dst = cpl_addr4(10, 0, 0, 2);
	uint16_t sum = sum_fold(sum_pseudo(&src, &dst, IP_TCP, n - 20));
	struct cuts c = { 0 };

	(void)state;
	memcpy(frame + 36, &sum, 2);
	assert_int_equal(cut_frame(&in, collect, &c), 1);
	assert_int_equal(c.len[0], 101);
}

static void ignore(void *ctx, const uint8_t *frame, uint32_t len)
{
	(void)ctx;
	(void)frame;
	(void)len;
}

static void nonsense_is_not_cut(void **state)
{
	uint8_t frame[300];
	uint32_t n = tcp_packet(frame, 4, 1, TCP_ACK, 101);
	struct cut_frame in = { .data = frame, .gso_size = 10 };

	(void)state;
	for (uint32_t len = 0; len < n; len++) {
		in.len = len;
		assert_int_equal(cut_frame(&in, ignore, NULL), -EINVAL);
	}
	in.gso_size = 0;
	in.len = 100;
	in.csum_start = 99;
	in.csum_offset = 16;
	assert_int_equal(cut_frame(&in, ignore, NULL), -EINVAL);
	in.csum_start = in.csum_offset = 0;
	assert_int_equal(cut_frame(&in, ignore, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut4),
		cmocka_unit_test(cut6),
		cmocka_unit_test(partial_checksum_is_completed),
		cmocka_unit_test(nonsense_is_not_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
