/* SPDX-License-Identifier: MIT */
/* SipHash and the generator against their authors' vectors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/hash.h"

/* Key 00 01 .. 0f, message 00 01 .. : the vectors of the SipHash paper's appendix and code. */
static void test_siphash24(void **state)
{
	static const struct {
		size_t n;
		uint64_t want;
	} vectors[] = {
		{ 0, 0x726fdb47dd0e0e31 },  { 1, 0x74f839c593dc67fd },	{ 2, 0x0d6c8009d9a94f5a },
		{ 7, 0xab0200f58b01d137 },  { 8, 0x93f5f5799a932462 },	{ 9, 0x9e0082df0ba9e4b0 },
		{ 15, 0xa129ca6149be45e5 }, { 16, 0x3f2acc7f57c29bdb }, { 63, 0x958a324ceb064572 },
	};
	const struct siphash_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	uint8_t buffer[65], *message;
	unsigned i, align;

	(void)state;
	for (align = 0; align < 2; align++) {
		message = buffer + align;
		for (i = 0; i < 64; i++)
			message[i] = (uint8_t)i;
		for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
			assert_true(siphash24(&key, message, vectors[i].n) == vectors[i].want);
	}
}

static void test_siphash13(void **state)
{
	const struct siphash_key zero = { { 0, 0 } };
	const struct siphash_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	const uint8_t message[1] = { 0 };

	(void)state;
	assert_true(siphash13(&key, message, 0) == 0xabac0158050fc4dc);
	assert_true(siphash13(&zero, message, 0) == 0xd1fba762150c532c);
	assert_true(siphash13(&zero, message, 1) == 0x68a914128e01e473);
	assert_true(siphash13(&zero, "siphash", 7) == 0x8264ceeccb16bcbe);
}

static void test_12_octets(void **state)
{
	const struct siphash_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	const uint8_t message[12] = { 0x88, 1, 2, 3, 4, 5, 6, 0xf7, 8, 9, 10, 0xfb };

	(void)state;
	assert_true(siphash24_12(&key, 0xf706050403020188, 0xfb0a0908) ==
		    siphash24(&key, message, 12));
	assert_true(siphash13_12(&key, 0xf706050403020188, 0xfb0a0908) ==
		    siphash13(&key, message, 12));
}

/* The long way. */
static uint64_t folded(uint64_t a, uint64_t b)
{
	uint64_t low = 0, high = 0;

	for (int i = 63; i >= 0; i--) {
		high = high << 1 | low >> 63;
		low <<= 1;
		if (!(a >> i & 1))
			continue;
		low += b;
		high += low < b;
	}
	return low ^ high;
}

static void test_product(void **state)
{
	struct prng prng;

	(void)state;
	prng_seed(&prng, 7);
	assert_true(product_folded(UINT64_MAX, UINT64_MAX) == (1 ^ (UINT64_MAX - 1)));
	for (unsigned i = 0; i < 10000; i++) {
		uint64_t a = prng_u64(&prng), b = prng_u64(&prng);

		assert_true(product_folded(a, b) == folded(a, b));
	}
}

/*
 * Connections of a client that counts its ports, of one that counts servers, of a network of
 * clients: with whatever key, they spread over buckets as if thrown: the sum of squares of their
 * counts stays near what chance gives.
 */
static void test_product_spreads(void **state)
{
	enum {
		BUCKETS = 1024,
		ITEMS = 16 * BUCKETS
	};
	static unsigned counts[BUCKETS];
	struct product_key key;
	struct prng prng;

	(void)state;
	prng_seed(&prng, 8);
	for (unsigned round = 0; round < 60; round++) {
		double chi = 0;

		for (unsigned i = 0; i < 6; i++)
			key.k[i] = prng_u64(&prng);
		memset(counts, 0, sizeof(counts));
		for (uint64_t i = 0; i < ITEMS; i++) {
			uint64_t words[4] = { 0xfd, i << 56, 0xfd, 1 };
			uint32_t h;

			if (round % 4 == 0) /* remote << 32 | local; rport << 16 | lport */
				h = product_hash_12(&key, 0x0200000a0100000a,
						    80u << 16 | (uint32_t)i);
			else if (round % 4 == 1)
				h = product_hash_12(&key, i << 48 | 0x0a0100000a, 443);
			else if (round % 4 == 2)
				h = product_hash_36(&key, words, (uint32_t)i);
			else
				h = product_hash_36(&key, (uint64_t[4]){ 1, i, 1, ~i }, 7);
			counts[h % BUCKETS]++;
		}
		for (unsigned i = 0; i < BUCKETS; i++)
			chi += (counts[i] - 16.0) * (counts[i] - 16.0) / 16.0;
		/* 1,023 degrees of freedom: 99.99% of throws lie below 1,200. */
		assert_true(chi < 1200);
	}
}

static void test_prng(void **state)
{
	static const uint64_t want[] = {
		11520,
		0,
		1509978240,
		1215971899390074240,
		1216172134540287360,
		607988272756665600,
		16172922978634559625u,
		8476171486693032832,
		10595114339597558777u,
		2904607092377533576,
	};
	struct prng prng = { { 1, 2, 3, 4 } };
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_true(prng_u64(&prng) == want[i]);
	/* The state is splitmix64's first four outputs; these are of seed 1234567. */
	prng_seed(&prng, 1234567);
	assert_true(prng.s[0] == 6457827717110365317);
	assert_true(prng.s[1] == 3203168211198807973);
	assert_true(prng.s[2] == 9817491932198370423u);
	assert_true(prng.s[3] == 4593380528125082431);
}

static void test_below(void **state)
{
	static const uint64_t bounds[] = { 2, 3, 10, UINT32_MAX, 1ull << 32, 3ull << 62 };
	unsigned counts[10] = { 0 };
	struct prng prng;
	unsigned i, k, high = 0;

	(void)state;
	prng_seed(&prng, 1);
	assert_true(prng_below(&prng, 0) == 0);
	assert_true(prng_below(&prng, 1) == 0);
	for (k = 0; k < sizeof(bounds) / sizeof(bounds[0]); k++) {
		for (i = 0; i < 10000; i++)
			assert_true(prng_below(&prng, bounds[k]) < bounds[k]);
	}
	for (i = 0; i < 100000; i++)
		counts[prng_below(&prng, 10)]++;
	for (k = 0; k < 10; k++)
		assert_true(counts[k] > 9500 && counts[k] < 10500);
	/* Three quarters of 2^64: plain modulo would give values below 2^62 twice as often. */
	for (i = 0; i < 30000; i++)
		high += prng_below(&prng, 3ull << 62) >= 1ull << 62;
	assert_true(high > 19500 && high < 20500);
	/* Three quarters of 2^32: without rejection every third value would come up twice as often.
	 */
	for (i = 0, high = 0; i < 30000; i++)
		high += prng_below(&prng, 3u << 30) % 3 == 0;
	assert_true(high > 9500 && high < 10500);
}

static void test_unit(void **state)
{
	struct prng prng;
	double sum = 0, x;
	unsigned i;

	(void)state;
	prng_seed(&prng, 2);
	for (i = 0; i < 100000; i++) {
		x = prng_unit(&prng);
		assert_true(x >= 0 && x < 1);
		sum += x;
	}
	assert_true(sum > 49500 && sum < 50500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_siphash24),	cmocka_unit_test(test_siphash13),
		cmocka_unit_test(test_12_octets),	cmocka_unit_test(test_product),
		cmocka_unit_test(test_product_spreads), cmocka_unit_test(test_prng),
		cmocka_unit_test(test_below),		cmocka_unit_test(test_unit),
	};

	return cmocka_run_group_tests_name("base/hash", tests, NULL, NULL);
}
