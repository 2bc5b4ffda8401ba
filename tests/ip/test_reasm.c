/* SPDX-License-Identifier: MIT */
/* Reassembly: RFC cases, hostile fragments, time and memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ip/fragments.h"

/* ---- What should be put together ------------------------------------------------------------ */

static void test_orders(void **state)
{
	static const uint8_t orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					     { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
		const uint8_t *order = orders[i / 2];
		struct piece pieces[3] = { { .off = 0, .len = 1480, .more = true },
					   { .off = 1480, .len = 1480, .more = true },
					   { .off = 2960, .len = 41 } };
		struct ip_hdr h;

		for (unsigned k = 0; k < 3; k++) {
			struct piece *f = &pieces[order[k]];

			f->ipv6 = i % 2;
			f->id = 0xbeef;
			f->protocol = IP_UDP;
			assert_int_equal(add(f), k < 2 ? REASM_KEPT : REASM_COMPLETE);
		}
		h = check_whole(pattern, 3001);
		assert_int_equal(h.protocol, IP_UDP);
		assert_int_equal(h.version, i % 2 ? 6 : 4);
		all_free();
	}
}

/* The largest packets there are, in the smallest pieces, from the back. */
static void test_largest(void **state)
{
	const uint32_t len4 = 65535 - 60, len6 = 65535 - 16;

	(void)state;
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		uint32_t len = ipv6 ? len6 : len4, off = len & ~7u;
		struct piece f = { .ipv6 = ipv6, .ext = 16, .options = 40 };
		enum reasm_verdict verdict;

		do {
			f.off = off;
			f.len = len - off < 8 ? len - off : 8;
			f.more = off + f.len < len;
			verdict = add(&f);
			assert_int_equal(verdict, off ? REASM_KEPT : REASM_COMPLETE);
			off -= 8;
		} while (verdict == REASM_KEPT);
		check_whole(pattern, len);
		all_free();
	}
}

static void test_ipv6_headers(void **state)
{
	struct piece f = { .ipv6 = true, .ext = 24, .len = 64, .more = true, .protocol = IP_TCP };
	struct ip_hdr h;

	(void)state;
	assert_int_equal(add(&f), REASM_KEPT);
	/* only the first fragment's headers count (RFC 8200 4.5) */
	f = (struct piece){ .ipv6 = true, .off = 64, .len = 9, .protocol = IP_UDP };
	assert_int_equal(add(&f), REASM_COMPLETE);
	h = check_whole(pattern, 73);
	assert_int_equal(h.protocol, IP_TCP);
	assert_int_equal(h.hlen, 64);
}

/* RFC 6946: by itself, whatever else there is of its name. */
static void test_atomic(void **state)
{
	struct piece part = { .ipv6 = true, .id = 7, .off = 0, .len = 64, .more = true };
	struct piece rest = { .ipv6 = true, .id = 7, .off = 64, .len = 8 };
	struct piece atomic = { .ipv6 = true, .id = 7, .len = 31, .ext = 8, .protocol = IP_UDP };
	struct ip_hdr h;

	(void)state;
	assert_int_equal(add(&part), REASM_KEPT);
	assert_int_equal(add(&atomic), REASM_COMPLETE);
	h = check_whole(pattern, 31);
	assert_int_equal(h.protocol, IP_UDP);
	assert_int_equal(add(&rest), REASM_COMPLETE);
	check_whole(pattern, 72);
	all_free();
}

/* A whole that carries one more fragment header goes in again before it is released. */
static void test_nested(void **state)
{
	uint8_t inner[8 + 100];
	struct piece f = { .ipv6 = true, .len = 48, .more = true, .protocol = 44, .data = inner };
	struct reasm_packet *outer;
	struct ip_problem problem;
	struct ip_hdr h;

	(void)state;
	ip6_frag_build(inner, IP_UDP, 0, false, 9);
	memcpy(inner + 8, pattern, 100);
	assert_int_equal(add(&f), REASM_KEPT);
	f.off = 48;
	f.len = 60;
	f.more = false;
	f.data = inner + 48;
	assert_int_equal(add(&f), REASM_COMPLETE);
	outer = handle;
	assert_int_equal(ip_parse(whole, whole_len, &h, &problem), IP_OK);
	assert_true(h.fragment);
	assert_int_equal(reasm_add(&r, 1, whole, &h, now, &whole, &whole_len, &handle),
			 REASM_COMPLETE);
	check_whole(pattern, 100);
	reasm_release(&r, outer);
	all_free();
}

static void test_ecn(void **state)
{
	static const struct {
		uint8_t a, b;
		int want; /* -1: dropped */
	} cases[] = {
		{ 0, 0, 0 }, { 2, 2, 2 },  { 1, 1, 1 },	 { 3, 3, 3 },  { 2, 3, 3 },  { 3, 2, 3 },
		{ 1, 3, 3 }, { 0, 3, -1 }, { 3, 0, -1 }, { 0, 2, -1 }, { 1, 0, -1 },
	};

	(void)state;
	/* RFC 3168 5.3 */
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		uint8_t a = cases[i / 2].a, b = cases[i / 2].b;
		struct piece f = { .ipv6 = i % 2, .len = 64, .more = true, .tos = 0xb8 | a };

		assert_int_equal(add(&f), REASM_KEPT);
		f = (struct piece){ .ipv6 = i % 2, .off = 64, .len = 8, .tos = 0xb8 | b };
		if (cases[i / 2].want < 0)
			assert_int_equal(add(&f), REASM_BAD);
		else {
			assert_int_equal(add(&f), REASM_COMPLETE);
			assert_int_equal(check_whole(pattern, 72).tos, 0xb8 | cases[i / 2].want);
		}
		all_free();
	}
}

/* Equal in all but one thing that names a packet. */
static void test_names(void **state)
{
	struct piece base = { .id = 5, .len = 64, .more = true, .protocol = 253 };
	struct piece other = base, last = { .id = 5, .off = 64, .len = 8, .protocol = 253 };

	(void)state;
	assert_int_equal(add(&base), REASM_KEPT);
	other.id = 6;
	assert_int_equal(add(&other), REASM_KEPT);
	other = base;
	other.protocol = 254;
	assert_int_equal(add(&other), REASM_KEPT);
	other = base;
	other.host = 1;
	assert_int_equal(add(&other), REASM_KEPT);
	other = base;
	other.ipv6 = true;
	assert_int_equal(add(&other), REASM_KEPT);
	assert_int_equal(r.packets.in_use, 5);
	assert_int_equal(add(&last), REASM_COMPLETE);
	check_whole(pattern, 72);
	assert_int_equal(r.packets.in_use, 4);
	/* enough for some to share a hash bucket */
	for (unsigned i = 0; i < 120; i++) {
		struct piece f = i < 60 ? base : last;

		f.host = (uint8_t)(2 + i % 60);
		assert_int_equal(add(&f), i < 60 ? REASM_KEPT : REASM_COMPLETE);
		if (i >= 60)
			check_whole(pattern, 72);
	}
}

/* ---- What should not ------------------------------------------------------------------------ */

static void test_overlaps(void **state)
{
	static const uint8_t other[256] = { 0xee };
	static const struct {
		struct piece f[3];
		enum reasm_verdict third;
	} cases[] = {
		/* the same once more: networks duplicate */
		{ { { .len = 64, .more = true }, { .len = 64, .more = true } }, REASM_KEPT },
		{ { { .off = 64, .len = 13 }, { .off = 64, .len = 13 } }, REASM_KEPT },
		{ { { .len = 64, .more = true }, { .off = 8, .len = 16, .more = true } },
		  REASM_KEPT },
		/* the same range, other octets */
		{ { { .len = 64, .more = true }, { .len = 64, .more = true, .data = other } },
		  REASM_OVERLAP },
		/* front, back, around */
		{ { { .len = 64, .more = true }, { .off = 56, .len = 16, .more = true } },
		  REASM_OVERLAP },
		{ { { .off = 64, .len = 64, .more = true }, { .len = 72, .more = true } },
		  REASM_OVERLAP },
		{ { { .off = 64, .len = 64, .more = true }, { .len = 256, .more = true } },
		  REASM_OVERLAP },
		{ { { .off = 2048, .len = 8, .more = true }, { .len = 8000, .more = true } },
		  REASM_OVERLAP },
		/* two ends */
		{ { { .off = 64, .len = 13 }, { .off = 64, .len = 12 } }, REASM_OVERLAP },
		{ { { .off = 64, .len = 13 }, { .off = 128, .len = 13 } }, REASM_OVERLAP },
		{ { { .off = 128, .len = 13 }, { .off = 64, .len = 13 } }, REASM_OVERLAP },
		{ { { .off = 64, .len = 64, .more = true }, { .off = 64, .len = 8 } },
		  REASM_OVERLAP },
		{ { { .off = 64, .len = 8, .more = true }, { .off = 64, .len = 8 } },
		  REASM_OVERLAP },
		{ { { .off = 64, .len = 8 }, { .off = 64, .len = 8, .more = true } },
		  REASM_OVERLAP },
		/* more behind the end */
		{ { { .off = 64, .len = 13 }, { .off = 64, .len = 16, .more = true } },
		  REASM_OVERLAP },
		{ { { .off = 64, .len = 13 }, { .off = 80, .len = 16, .more = true } },
		  REASM_OVERLAP },
	};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		struct piece a = cases[i / 2].f[0], b = cases[i / 2].f[1];
		struct piece next = { .off = 40000, .len = 8, .more = true };
		struct reasm_expired expired;
		enum reasm_verdict want = cases[i / 2].third;

		a.ipv6 = b.ipv6 = next.ipv6 = i % 2;
		assert_int_equal(add(&a), REASM_KEPT);
		if (add(&b) != want)
			fail_msg("case %u", i / 2);
		/* RFC 5722 4: and what still comes of it */
		if (want == REASM_OVERLAP) {
			assert_int_equal(add(&next), REASM_OVERLAP);
			assert_int_equal(add(&a), REASM_OVERLAP);
			assert_int_equal(r.pages.in_use, 0);
			now += 61 * SECOND;
			/* no ICMP error either */
			assert_false(reasm_expire(&r, now, &expired));
		}
		teardown(state);
		setup(state);
	}
}

static void test_malformed(void **state)
{
	static const struct {
		struct piece f;
		int code; /* of the ICMPv6 parameter problem; -1: silence */
		uint32_t pointer;
	} cases[] = {
		{ { .len = 65, .more = true }, -1, 0 },
		{ { .off = 8, .len = 0, .more = true }, -1, 0 },
		{ { .off = 8, .len = 0 }, -1, 0 },
		{ { .off = 65528, .len = 8 }, -1, 0 },
		{ { .off = 65504, .len = 12 }, -1, 0 },
		{ { .off = 65504, .len = 8, .options = 4 }, -1, 0 },
		{ { .ipv6 = true, .len = 65, .more = true }, 0, 4 },
		{ { .ipv6 = true, .off = 8, .len = 0 }, 0, 4 },
		{ { .ipv6 = true, .off = 65528, .len = 8 }, 0, 42 },
		{ { .ipv6 = true, .off = 65520, .len = 8, .ext = 8 }, 0, 50 },
		/* RFC 7112: the transport header is not in the first fragment */
		{ { .ipv6 = true, .len = 16, .more = true, .protocol = IP_TCP }, 3, 0 },
		{ { .ipv6 = true, .len = 8, .more = true, .protocol = 60 }, 3, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		if (add(&cases[i].f) != REASM_BAD)
			fail_msg("case %u", i);
		assert_int_equal(r.problem.silent, cases[i].code < 0);
		if (cases[i].code >= 0) {
			assert_int_equal(r.problem.code, cases[i].code);
			assert_int_equal(r.problem.pointer, cases[i].pointer);
		}
		all_free();
	}
}

/* Each piece fits, the sum with the first one's headers does not. */
static void test_sum_too_long(void **state)
{
	struct piece f = { .off = 65504, .len = 11 };

	(void)state;
	assert_int_equal(add(&f), REASM_KEPT);
	for (uint32_t off = 0; off < 65504; off += 4096) {
		f = (struct piece){ .off = off, .len = 65504 - off, .more = true };
		if (f.len > 4096)
			f.len = 4096;
		f.options = off ? 0 : 40;
		assert_int_equal(add(&f), off + f.len < 65504 ? REASM_KEPT : REASM_BAD);
	}
	all_free();
}

/* ---- Time and memory ------------------------------------------------------------------------ */

static void test_timeout(void **state)
{
	struct piece first = { .id = 1, .len = 64, .more = true };
	struct piece later = { .id = 2, .off = 64, .len = 64, .more = true };
	struct piece six = { .id = 3, .len = 64, .more = true, .ipv6 = true };
	struct reasm_expired expired;
	uint64_t start = now;
	uint32_t len;

	(void)state;
	assert_int_equal(add(&six), REASM_KEPT);
	assert_int_equal(add(&first), REASM_KEPT);
	now += SECOND;
	assert_int_equal(add(&later), REASM_KEPT);
	/* from the first that arrived, not from the last */
	later.id = 1;
	assert_int_equal(add(&later), REASM_KEPT);
	assert_int_equal(reasm_deadline(&r), start + 30 * SECOND);
	assert_false(reasm_expire(&r, start + 30 * SECOND - 1, &expired));
	assert_true(reasm_expire(&r, start + 31 * SECOND, &expired));
	len = piece_build(&first, built);
	assert_int_equal(expired.quote_len, len);
	assert_memory_equal(expired.quote, built, len);
	assert_false(expired.ipv6);
	assert_int_equal(expired.ifindex, 1);
	assert_true(reasm_expire(&r, start + 31 * SECOND, &expired));
	assert_int_equal(expired.quote_len, 0); /* the first never came: say nothing */
	assert_false(reasm_expire(&r, start + 31 * SECOND, &expired));
	assert_int_equal(reasm_deadline(&r), start + 60 * SECOND);
	assert_true(reasm_expire(&r, start + 60 * SECOND, &expired));
	assert_true(expired.ipv6);
	len = piece_build(&six, built);
	assert_int_equal(expired.quote_len, len);
	assert_memory_equal(expired.quote, built, len);
	all_free();
	six.len = 2000;
	six.off = 0;
	add(&six);
	assert_true(reasm_expire(&r, now + 60 * SECOND, &expired));
	assert_int_equal(expired.quote_len, sizeof(expired.quote));
	assert_memory_equal(expired.quote, built, sizeof(expired.quote));
}

static void test_memory_bound(void **state)
{
	struct piece f = { .len = 8, .more = true }, last;
	uint64_t slabs_max = 0;

	(void)state;
	srand(5);
	for (unsigned i = 0; i < 20000; i++) {
		f.id = i;
		f.ipv6 = i % 2;
		f.off = 8 * ((unsigned)rand() % 8000);
		f.len = 8 * (1 + (unsigned)rand() % 100);
		if (f.off + f.len > 65000)
			continue;
		add(&f);
		assert_true(r.bytes <= LIMIT);
		assert_int_equal(r.bytes, (uint64_t)r.packets.in_use * r.packets.object_size +
						  (uint64_t)r.pages.in_use * r.pages.object_size);
		slabs_max = heap.bytes > slabs_max ? heap.bytes : slabs_max;
	}
	assert_true(r.evicted > 1000);
	/* slabs are not full all the time, but not twice as large as what they hold either */
	assert_true(slabs_max <= 2 * LIMIT);
	/* the oldest went, the newest can still be completed */
	last = (struct piece){ .id = 99999, .len = 64, .more = true };
	assert_int_equal(add(&last), REASM_KEPT);
	last = (struct piece){ .id = 99999, .off = 64, .len = 64 };
	assert_int_equal(add(&last), REASM_COMPLETE);
	check_whole(pattern, 128);
}

/* One packet that needs more than there is. */
static void test_too_small(void **state)
{
	struct siphash_key key = { { 0 } };
	struct piece f = { .len = 8192, .more = true };

	(void)state;
	reasm_destroy(&r);
	assert_int_equal(reasm_init(&r, &heap.mem, &key, 4096, 0), 0);
	assert_int_equal(add(&f), REASM_NO_MEMORY);
	all_free();
	reasm_destroy(&r);
	assert_int_equal(reasm_init(&r, &heap.mem, &key, 0, 0), 0);
	assert_int_equal(add(&f), REASM_NO_MEMORY);
	all_free();
	reasm_destroy(&r);
	heap.left = 0;
	assert_int_equal(reasm_init(&r, &heap.mem, &key, LIMIT, 0), -ENOMEM);
	heap.left = UINT64_MAX;
	assert_int_equal(reasm_init(&r, &heap.mem, &key, LIMIT, 7 * SECOND), 0);
	/* the allocator fails at each of its steps in turn: nothing leaks, nothing breaks */
	for (unsigned left = 0; left < 12; left++) {
		heap.left = left;
		f = (struct piece){ .id = left, .len = 4096, .more = true };
		add(&f);
		f = (struct piece){ .id = left, .off = 4096, .len = 4096 };
		if (add(&f) == REASM_COMPLETE)
			check_whole(pattern, 8192);
	}
	assert_int_equal(reasm_deadline(&r) > now + 7 * SECOND, reasm_deadline(&r) == UINT64_MAX);
	heap.left = UINT64_MAX;
	f = (struct piece){ .id = 100, .len = 4096, .more = true };
	assert_int_equal(add(&f), REASM_KEPT);
	f = (struct piece){ .id = 100, .off = 4096, .len = 4096 };
	assert_int_equal(add(&f), REASM_COMPLETE);
	check_whole(pattern, 8192);
}

static void test_wholes_bound(void **state)
{
	struct piece f = { .ipv6 = true, .len = 100 };
	struct reasm_packet *handles[REASM_WHOLES];

	(void)state;
	for (unsigned i = 0; i < REASM_WHOLES; i++) {
		assert_int_equal(add(&f), REASM_COMPLETE);
		handles[i] = handle;
	}
	assert_int_equal(add(&f), REASM_NO_MEMORY);
	reasm_release(&r, handles[0]);
	assert_int_equal(add(&f), REASM_COMPLETE);
	reasm_release(&r, handle);
	for (unsigned i = 1; i < REASM_WHOLES; i++)
		reasm_release(&r, handles[i]);
	all_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_orders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_largest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ipv6_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_atomic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ecn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlaps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sum_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_small, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wholes_bound, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
