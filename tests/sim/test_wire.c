/* SPDX-License-Identifier: MIT */
/* The link model: shares, bursts, rate and queue to the ns, order, copies, partitions, corruption.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "sim/corrupt.h"
#include "sim/draw.h"
#include "sim/wire.h"
#include "tests/util/tcp_packet.h"
#include "wire/ip.h"
#include "wire/tcp.h"

#define MS 1000000ull

static void drain(struct wire *wire)
{
	struct wire_frame *f;

	while ((f = wire_take(wire, UINT64_MAX - 1)))
		free(f);
}

/* ---- Loss ----------------------------------------------------------------------------------- */

static uint64_t lost_of(const struct wire_params *p, uint64_t seed, uint64_t n)
{
	struct wire wire;
	uint64_t lost;

	wire_init(&wire, p, seed);
	for (uint64_t i = 0; i < n; i++) {
		wire_put(&wire, "x", 1, 0, 0, i, NULL);
		drain(&wire);
	}
	lost = n - wire.fates[WIRE_SENT];
	wire_destroy(&wire);
	return lost;
}

static void random_loss_has_its_share(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct wire_params p = { .loss = 0.03 };

		/* Five standard deviations of a binomial: sqrt(100000 * 0.03 * 0.97) = 54. */
		assert_in_range(lost_of(&p, seed, 100000), 3000 - 270, 3000 + 270);
	}
}

static void the_ends_of_the_scale(void **state)
{
	struct wire_params p = { 0 };

	(void)state;
	assert_int_equal(lost_of(&p, 1, 10000), 0);
	p.loss = 1;
	assert_int_equal(lost_of(&p, 1, 10000), 10000);
}

/* Stationary: bad for enter / (enter + leave) of the frames; a bad spell lasts 1 / leave frames. */
static void bursts_are_gilbert_elliott(void **state)
{
	struct wire_params p = { .burst_enter = 0.01, .burst_leave = 0.25, .burst_loss = 0.8 };
	double bad = 400000 * 0.01 / 0.26;
	uint64_t lost = 0, spells = 0;
	struct wire wire;
	bool was_bad = false;

	(void)state;
	wire_init(&wire, &p, 9);
	for (uint64_t i = 0; i < 400000; i++) {
		lost += wire_put(&wire, "x", 1, 0, 0, i, NULL) == WIRE_BURST;
		spells += wire.bad && !was_bad;
		was_bad = wire.bad;
		drain(&wire);
	}
	wire_destroy(&wire);
	assert_in_range(lost, (uint64_t)(0.95 * 0.8 * bad), (uint64_t)(1.05 * 0.8 * bad));
	assert_in_range(spells, (uint64_t)(0.95 * 0.25 * bad), (uint64_t)(1.05 * 0.25 * bad));
}

static void one_impairment_does_not_shift_another(void **state)
{
	struct wire_params a = { .loss = 0.1 };
	struct wire_params b = {
		.loss = 0.1, .duplicate = 0.5, .jitter_ns = 50, .reorder = 0.2, .reorder_ns = 10
	};
	struct wire wa, wb;

	(void)state;
	wire_init(&wa, &a, 3);
	wire_init(&wb, &b, 3);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(wire_put(&wa, "x", 1, 0, 0, i, NULL),
				 wire_put(&wb, "x", 1, 0, 0, i, NULL));
	wire_destroy(&wa);
	wire_destroy(&wb);
}

static void drop_list_counts_data_segments(void **state)
{
	struct wire_params p = { .drop_data = { 2, 4 }, .drop_data_n = 2 };
	uint8_t data[200], ack[200];
	uint32_t dn = tcp_packet(data, 4, 1, TCP_ACK, 10), an = tcp_packet(ack, 4, 1, TCP_ACK, 0);
	struct wire wire;

	(void)state;
	wire_init(&wire, &p, 1);
	for (unsigned nth = 1; nth <= 10; nth++) {
		assert_int_equal(wire_put(&wire, ack, an, 0, 0, nth, NULL), WIRE_SENT);
		assert_int_equal(wire_put(&wire, data, dn, 0, 0, nth, NULL),
				 nth == 2 || nth == 4 ? WIRE_LISTED : WIRE_SENT);
	}
	wire_destroy(&wire);
}

static void partition_is_dead_from_to(void **state)
{
	struct wire_params p = { .down = { { 100, 200 }, { 300, 301 } }, .down_n = 2 };
	static const uint64_t up[] = { 99, 200, 299, 301 }, down[] = { 100, 199, 300 };
	struct wire wire;

	(void)state;
	wire_init(&wire, &p, 1);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(wire_put(&wire, "x", 1, 0, 0, up[i], NULL), WIRE_SENT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(wire_put(&wire, "x", 1, 0, 0, down[i], NULL), WIRE_DOWN);
	wire_destroy(&wire);
}

/* ---- Rate, queue, delay --------------------------------------------------------------------- */

static void rate_and_queue_are_exact(void **state)
{
	/* 1,000 bytes at 3 Mbit/s take 2,666,666 2/3 ns: three of them 8 ms to the ns. */
	struct wire_params p = { .delay_ns = 5 * MS, .rate_bps = 3000000, .queue_bytes = 3500 };
	static const uint64_t at[3] = { 7666666, 10333333, 13000000 };
	uint8_t frame[1000] = { 0 };
	struct wire wire;
	uint64_t arrives;

	(void)state;
	wire_init(&wire, &p, 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(wire_put(&wire, frame, 1000, 0, 0, 0, &arrives), WIRE_SENT);
		assert_int_equal(arrives, at[i]);
	}
	/* 3,000 bytes are inside: 500 more fit, 501 do not. */
	assert_int_equal(wire_put(&wire, frame, 501, 0, 0, 0, NULL), WIRE_QUEUE);
	assert_int_equal(wire_put(&wire, frame, 500, 0, 0, 0, NULL), WIRE_SENT);
	/* All is sent at 9,333,333 1/3 ns; a frame that finds the link idle starts at once. */
	assert_int_equal(wire_put(&wire, frame, 1000, 0, 0, 10 * MS, &arrives), WIRE_SENT);
	assert_int_equal(arrives, 15 * MS + 2666666);
	wire_destroy(&wire);
}

static void a_long_run_keeps_the_rate(void **state)
{
	struct wire_params p = { .rate_bps = 7000001, .queue_bytes = 100000000 };
	uint8_t frame[1514] = { 0 };
	struct wire wire;
	uint64_t arrives = 0;

	(void)state;
	wire_init(&wire, &p, 1);
	for (unsigned i = 0; i < 10000; i++)
		wire_put(&wire, frame, sizeof(frame), 0, 0, 0, &arrives);
	assert_int_equal(arrives, 10000ull * 1514 * 8 * 1000000000 / 7000001);
	wire_destroy(&wire);
}

static void jitter_keeps_order(void **state)
{
	struct wire_params p = { .delay_ns = 10 * MS, .jitter_ns = 8 * MS };
	uint64_t last = 0, spread = 0, took;
	struct wire_frame *f;
	struct wire wire;

	(void)state;
	wire_init(&wire, &p, 4);
	for (uint64_t i = 0; i < 1000; i++)
		wire_put(&wire, "x", 1, 0, 0, i * MS, NULL);
	while ((f = wire_take(&wire, UINT64_MAX - 1))) {
		took = f->at - (f->number - 1) * MS;
		assert_true(f->number == last + 1);
		assert_in_range(took, 10 * MS, 18 * MS);
		spread += took > 12 * MS;
		last = f->number;
		free(f);
	}
	assert_int_equal(last, 1000);
	assert_true(spread > 500);
	wire_destroy(&wire);
}

static void reordering_breaks_order(void **state)
{
	struct wire_params p = { .delay_ns = 10 * MS, .reorder = 0.1, .reorder_ns = 5 * MS };
	uint64_t late = 0, most = 0;
	struct wire_frame *f;
	struct wire wire;

	(void)state;
	wire_init(&wire, &p, 4);
	for (uint64_t i = 0; i < 10000; i++)
		wire_put(&wire, "x", 1, 0, 0, i * MS, NULL);
	while ((f = wire_take(&wire, UINT64_MAX - 1))) {
		late += f->number < most;
		most = f->number > most ? f->number : most;
		free(f);
	}
	assert_in_range(late, wire.reordered - 3, wire.reordered);
	assert_in_range(late, 850, 1150);
	wire_destroy(&wire);
}

static void copies_arrive_twice(void **state)
{
	struct wire_params p = { .delay_ns = 10 * MS, .duplicate = 0.2 };
	uint8_t seen[5001] = { 0 };
	struct wire_frame *f;
	struct wire wire;
	unsigned twice = 0;

	(void)state;
	wire_init(&wire, &p, 5);
	for (uint64_t i = 0; i < 5000; i++)
		wire_put(&wire, "x", 1, 0, 0, i, NULL);
	while ((f = wire_take(&wire, UINT64_MAX - 1))) {
		seen[f->number]++;
		free(f);
	}
	for (unsigned i = 1; i <= 5000; i++) {
		assert_in_range(seen[i], 1, 2);
		twice += seen[i] == 2;
	}
	assert_int_equal(twice, wire.duplicated);
	assert_in_range(twice, 850, 1150);
	wire_destroy(&wire);
}

static void nothing_comes_out_early(void **state)
{
	struct wire_params p = { .delay_ns = 100 };
	struct wire_frame *f;
	struct wire wire;

	(void)state;
	wire_init(&wire, &p, 1);
	assert_true(wire_deadline(&wire) == UINT64_MAX);
	wire_put(&wire, "x", 1, 7, 2, 50, NULL);
	assert_int_equal(wire_deadline(&wire), 150);
	assert_null(wire_take(&wire, 149));
	f = wire_take(&wire, 150);
	assert_non_null(f);
	assert_int_equal(f->gso_size, 7);
	assert_int_equal(f->flags, 2);
	free(f);
	assert_null(wire_take(&wire, 1000));
	wire_destroy(&wire);
}

static void too_big_and_full(void **state)
{
	struct wire_params p = { .mtu = 100, .ether = true, .frames_max = 2 };
	uint8_t frame[200] = { 0 };
	struct wire wire;

	(void)state;
	wire_init(&wire, &p, 1);
	assert_int_equal(wire_put(&wire, frame, 115, 0, 0, 0, NULL), WIRE_TOO_BIG);
	assert_int_equal(wire_put(&wire, frame, 114, 0, 0, 0, NULL), WIRE_SENT);
	assert_int_equal(wire_put(&wire, frame, 114, 0, 0, 0, NULL), WIRE_SENT);
	assert_int_equal(wire_put(&wire, frame, 114, 0, 0, 0, NULL), WIRE_FULL);
	assert_string_equal(wire_fate_text(WIRE_FULL), "wire full");
	wire_destroy(&wire);
}

/* ---- Corruption ----------------------------------------------------------------------------- */

/* Whatever is changed, a receiver that verifies the checksums sees it. */
static void corruption_is_seen(void **state)
{
	unsigned changed = 0, shorter = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t was[600], is[600];
		uint32_t n = tcp_packet(was, i & 1 ? 4 : 6, i, TCP_ACK, i % 300), m = n;
		struct ip_problem problem;
		struct ip_hdr ip;
		struct tcp_seg seg;

		memcpy(is, was, n);
		if (!corrupt_frame(is, &m, false, false, draw_at(1, i, 0)))
			continue;
		changed++;
		shorter += m < n;
		assert_true(m < n || memcmp(was, is, n) != 0);
		if (ip_parse(is, m, &ip, &problem) != IP_OK || ip.protocol != IP_TCP || ip.fragment)
			continue;
		assert_int_not_equal(tcp_parse(is + ip.hlen, ip.len - ip.hlen, &ip.src, &ip.dst,
					       false, &seg),
				     TCP_OK);
	}
	assert_in_range(changed, 19900, 20000);
	assert_in_range(shorter, 4000, 6000);
}

/* A swap of 16-bit words is the classic change that the sum cannot see. */
static void sums_cannot_see_swapped_words(void **state)
{
	uint8_t p[200], word[2];
	uint32_t n = tcp_packet(p, 4, 1, TCP_ACK, 8);

	(void)state;
	assert_true(wire_sums_right(p, n));
	memcpy(word, p + n - 4, 2);
	memcpy(p + n - 4, p + n - 2, 2);
	memcpy(p + n - 2, word, 2);
	assert_true(wire_sums_right(p, n));
	p[n - 1] ^= 1;
	assert_false(wire_sums_right(p, n));
}

static void arp_is_left_alone(void **state)
{
	uint8_t frame[60] = { [12] = 0x08, [13] = 0x06 };
	uint32_t n = sizeof(frame);

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_false(corrupt_frame(frame, &n, true, true, i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_loss_has_its_share),
		cmocka_unit_test(the_ends_of_the_scale),
		cmocka_unit_test(bursts_are_gilbert_elliott),
		cmocka_unit_test(one_impairment_does_not_shift_another),
		cmocka_unit_test(drop_list_counts_data_segments),
		cmocka_unit_test(partition_is_dead_from_to),
		cmocka_unit_test(rate_and_queue_are_exact),
		cmocka_unit_test(a_long_run_keeps_the_rate),
		cmocka_unit_test(jitter_keeps_order),
		cmocka_unit_test(reordering_breaks_order),
		cmocka_unit_test(copies_arrive_twice),
		cmocka_unit_test(nothing_comes_out_early),
		cmocka_unit_test(too_big_and_full),
		cmocka_unit_test(corruption_is_seen),
		cmocka_unit_test(sums_cannot_see_swapped_words),
		cmocka_unit_test(arp_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
