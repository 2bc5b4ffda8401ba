/* SPDX-License-Identifier: MIT */
/* The option of accurate ECN (RFC 9768 3.2.3): as it is built, and what anybody may have sent. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "wire/tcp.h"

#define TS_REST 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88
#define BLOCK	1, 0, 0, 0, 2, 0, 0, 0

static enum tcp_verdict parse(const uint8_t *p, uint32_t len, struct tcp_seg *seg)
{
	struct cpl_addr src = cpl_addr4(10, 0, 0, 1), dst = cpl_addr4(10, 0, 0, 2);

	return tcp_parse(p, len, &src, &dst, true, seg);
}

/* RFC 9768 3.2.3: the two orders, the four lengths, the room that SACK leaves. */
static const struct {
	uint16_t flags;
	uint8_t opts, sack_n;
	struct tcp_accecn accecn;
	uint8_t len;
	uint8_t want[40];
} accecn_layouts[] = {
	{ TCP_ACK, 0, 0, { 0 }, 4, { 1, 1, 172, 2 } },
	{ TCP_ACK, 0, 0, { .n = 1, .e0b = 0x10203 }, 8, { 1, 1, 1, 172, 5, 1, 2, 3 } },
	{ TCP_ACK,
	  0,
	  0,
	  { .n = 2, .e0b = 0x10203, .ceb = 0x40506 },
	  8,
	  { 172, 8, 1, 2, 3, 4, 5, 6 } },
	{ TCP_ACK,
	  0,
	  0,
	  { .n = 3, .e0b = 0x10203, .ceb = 0x40506, .e1b = 0x70809 },
	  12,
	  { 1, 172, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9 } },
	{ TCP_ACK,
	  0,
	  0,
	  { .n = 3, .e1_first = true, .e0b = 0x10203, .ceb = 0x40506, .e1b = 0x70809 },
	  12,
	  { 1, 174, 11, 7, 8, 9, 4, 5, 6, 1, 2, 3 } },
	{ TCP_ACK,
	  0,
	  0,
	  { .n = 2, .e1_first = true, .ceb = 0xffffff, .e1b = 0x70809 },
	  8,
	  { 174, 8, 7, 8, 9, 255, 255, 255 } },
	{ TCP_ACK, TCP_HAS_TS, 0, { 0 }, 16, { 1, 1, 8, 10, TS_REST, 1, 1, 172, 2 } },
	{ TCP_SYN | TCP_ACK, 0, 0, { 0 }, 4, { 1, 1, 172, 2 } },
	{ TCP_ACK,
	  TCP_HAS_TS | TCP_HAS_SACK,
	  2,
	  { .n = 2 },
	  40,
	  { 1, 1, 8, 10, TS_REST, 1, 1, 5, 18, BLOCK, BLOCK, 172, 8, 0, 0, 0, 0, 0, 0 } },
	/* no room; not on a SYN */
	{ TCP_ACK,
	  TCP_HAS_TS | TCP_HAS_SACK,
	  2,
	  { .n = 3 },
	  32,
	  { 1, 1, 8, 10, TS_REST, 1, 1, 5, 18, BLOCK, BLOCK } },
	{ TCP_SYN, 0, 0, { 0 }, 0, { 0 } },
};

static void layouts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(accecn_layouts); i++) {
		struct tcp_seg seg = { .tsval = 0x11223344, .tsecr = 0x55667788 }, back;
		uint8_t p[TCP_HLEN_MAX];
		unsigned len;

		seg.flags = accecn_layouts[i].flags;
		seg.opts = accecn_layouts[i].opts | TCP_HAS_ACCECN;
		seg.accecn = accecn_layouts[i].accecn;
		seg.sack_n = accecn_layouts[i].sack_n;
		for (unsigned j = 0; j < seg.sack_n; j++)
			seg.sack[j] = (struct tcp_sack){ 0x01000000, 0x02000000 };
		len = tcp_build(p, &seg);
		assert_int_equal(len, tcp_header_len(&seg));
		assert_int_equal(len, 20 + accecn_layouts[i].len);
		assert_memory_equal(p + 20, accecn_layouts[i].want, accecn_layouts[i].len);
		assert_int_equal(parse(p, len, &back), TCP_OK);
		if (back.opts & TCP_HAS_ACCECN)
			assert_memory_equal(&back.accecn, &seg.accecn, sizeof(seg.accecn));
	}
}

/* What anybody may have sent: any length, whole fields count (3.2.3); none on a SYN (3.2.3.2.1). */
static const struct {
	uint16_t flags;
	uint8_t len, bytes[24];
	enum tcp_verdict verdict;
	bool there;
	struct tcp_accecn want;
} accecn_cases[] = {
	{ TCP_ACK, 4, { 172, 3, 9, 1 }, TCP_OK, true, { 0 } },
	{ TCP_ACK, 4, { 172, 4, 9, 9 }, TCP_OK, true, { 0 } },
	{ TCP_ACK, 8, { 172, 7, 1, 2, 3, 9, 9, 1 }, TCP_OK, true, { .n = 1, .e0b = 0x10203 } },
	{ TCP_ACK,
	  16,
	  { 174, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 1 },
	  TCP_OK,
	  true,
	  { .n = 3, .e1_first = true, .e1b = 0x10203, .ceb = 0x40506, .e0b = 0x70809 } },
	/* of two the last counts */
	{ TCP_ACK,
	  16,
	  { 172, 5, 1, 2, 3, 174, 5, 4, 5, 6, 1, 1, 1, 1, 1, 1 },
	  TCP_OK,
	  true,
	  { .n = 1, .e1_first = true, .e1b = 0x40506 } },
	{ TCP_ACK, 4, { 172, 1, 9, 9 }, TCP_BAD_OPTION, false, { 0 } },
	{ TCP_ACK, 4, { 172, 11, 9, 9 }, TCP_BAD_OPTION, false, { 0 } },
	{ TCP_ACK, 4, { 1, 1, 1, 174 }, TCP_BAD_OPTION, false, { 0 } },
	{ TCP_SYN, 8, { 172, 8, 1, 2, 3, 4, 5, 6 }, TCP_OK, false, { 0 } },
	{ TCP_SYN | TCP_ACK,
	  8,
	  { 172, 8, 1, 2, 3, 4, 5, 6 },
	  TCP_OK,
	  true,
	  { .n = 2, .e0b = 0x10203, .ceb = 0x40506 } },
	{ TCP_ACK, 4, { 173, 2, 1, 1 }, TCP_OK, false, { 0 } },
};

static void options(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(accecn_cases); i++) {
		uint8_t p[64] = { 0 }, *copy;
		uint32_t len = 20u + accecn_cases[i].len;
		struct tcp_seg seg;

		p[12] = (uint8_t)(len / 4 << 4);
		p[13] = (uint8_t)accecn_cases[i].flags;
		memcpy(p + 20, accecn_cases[i].bytes, accecn_cases[i].len);
		copy = exact_copy(p, len, i % 4);
		assert_int_equal(parse(copy, len, &seg), accecn_cases[i].verdict);
		assert_int_equal(seg.opts, accecn_cases[i].there ? TCP_HAS_ACCECN : 0);
		assert_memory_equal(&seg.accecn, &accecn_cases[i].want, sizeof(seg.accecn));
		exact_free(copy, i % 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts),
		cmocka_unit_test(options),
	};

	return cmocka_run_group_tests_name("tcp header: AccECN", tests, NULL, NULL);
}
