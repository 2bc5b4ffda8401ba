/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071). A sum is kept modulo 2^64 - 1, which 65,535 divides: words of
 * any width can be added in the machine's byte order, and folding comes last. No state.
 *
 * sum_blocks() is the hot loop for every processor, sum_halves_avx2() for those with AVX2.
 */
#include "wire/checksum.h"

#include <stdbool.h>
#include <string.h>

#include "wire/bytes.h"

static uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* Fewer than 8 bytes, padded with zeros: RFC 1071 1, "if the total length is odd". */
static uint64_t load_tail(const uint8_t *p, size_t n)
{
	uint64_t last = 0;
	unsigned at = 0;

	if (n & 4) {
		last = load32(p);
		at = 4;
	}
	if (n & 2) {
		last |= (uint64_t)(p[at] | p[at + 1] << 8) << 8 * at;
		at += 2;
	}
	if (n & 1)
		last |= (uint64_t)p[at] << 8 * at;
	return last;
}

/* Four words side by side: the compilers' portable vectors, in as many registers as it takes. */
typedef uint64_t quad __attribute__((vector_size(32)));

#define BLOCK 64u

/*
 * BLOCKS of 64 bytes, fewer than 2^26. Words are summed modulo 2^64, and their upper halves apart,
 * which cannot overflow: the difference is the sum of the lower halves, carries and all.
 */
static uint64_t sum_blocks(const uint8_t *p, size_t blocks)
{
	quad all0 = { 0 }, all1 = { 0 }, upper0 = { 0 }, upper1 = { 0 }, a, b;
	uint64_t all, upper;

	for (; blocks; blocks--, p += BLOCK) {
		memcpy(&a, p, sizeof(a));
		memcpy(&b, p + sizeof(a), sizeof(b));
		all0 += a;
		all1 += b;
		upper0 += a >> 32;
		upper1 += b >> 32;
	}
	all0 += all1;
	upper0 += upper1;
	all = all0[0] + all0[1] + all0[2] + all0[3];
	upper = upper0[0] + upper0[1] + upper0[2] + upper0[3];
	return sum_join(all - (upper << 32), upper);
}

/* What is left after the blocks; RFC 1071 1, "if the total length is odd". */
static inline uint64_t add_rest(uint64_t sum, const uint8_t *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8)
		sum = sum_join(sum, load64(p));
	return n ? sum_join(sum, load_tail(p, n)) : sum;
}

uint64_t sum_add(uint64_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t whole = n & ~(size_t)(BLOCK - 1);

	if (whole)
		sum = sum_join(sum, sum_blocks(p, n / BLOCK));
	return add_rest(sum, p + whole, n - whole);
}

#ifdef __x86_64__
#include <immintrin.h>

#define BLOCKS_EXACT 2048u /* no lane overflows before */

/*
 * Sixteen words a step: less 32,768 they are signed, which is what the multiplication that adds
 * neighbours takes; what was subtracted is added at the end.
 */
#define ADD_BLOCK(to, i)                                                                           \
	(to = _mm256_add_epi32(                                                                    \
		 to,                                                                               \
		 _mm256_madd_epi16(_mm256_add_epi16(bias, _mm256_loadu_si256(                      \
								  (const void *)(p + 32 * (i)))),  \
				   ones)))

__attribute__((target("avx2"))) static uint64_t sum_halves_avx2(const uint8_t *p, size_t blocks)
{
	const __m256i bias = _mm256_set1_epi16(INT16_MIN), ones = _mm256_set1_epi16(1);
	uint64_t sum = 0;

	while (blocks) {
		size_t n = blocks < BLOCKS_EXACT ? blocks : BLOCKS_EXACT, left = n;
		__m256i even = _mm256_setzero_si256(), odd = even;
		__m128i half;

		for (; left >= 8; left -= 8, p += 256) {
			ADD_BLOCK(even, 0);
			ADD_BLOCK(odd, 1);
			ADD_BLOCK(even, 2);
			ADD_BLOCK(odd, 3);
			ADD_BLOCK(even, 4);
			ADD_BLOCK(odd, 5);
			ADD_BLOCK(even, 6);
			ADD_BLOCK(odd, 7);
		}
		if (left & 4) {
			ADD_BLOCK(even, 0);
			ADD_BLOCK(odd, 1);
			ADD_BLOCK(even, 2);
			ADD_BLOCK(odd, 3);
			p += 128;
		}
		for (left &= 3; left; left--, p += 32)
			ADD_BLOCK(even, 0);
		even = _mm256_add_epi32(even, odd);
		half = _mm_add_epi32(_mm256_castsi256_si128(even),
				     _mm256_extracti128_si256(even, 1));
		half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
		half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
		sum += (uint64_t)(n * 16 * 32768 + (int64_t)_mm_cvtsi128_si32(half));
		blocks -= n;
	}
	return sum;
}

static uint64_t add_avx2(uint64_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t whole = n & ~(size_t)31;

	if (whole)
		sum = sum_join(sum, sum_halves_avx2(p, n / 32));
	return add_rest(sum, p + whole, n - whole);
}

static void cpuid(uint32_t leaf, uint32_t r[4])
{
	__asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(0));
}

/* The processor has AVX2, and the operating system keeps its registers (Intel SDM 1, 14.3). */
static bool has_avx2(void)
{
	uint32_t r[4], low, high;

	cpuid(0, r);
	if (r[0] < 7)
		return false;
	cpuid(1, r);
	if (~r[2] & (1u << 27 | 1u << 28)) /* OSXSAVE, AVX */
		return false;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	cpuid(7, r);
	return (low & 6) == 6 && r[1] >> 5 & 1;
}
#endif

sum_fn sum_best(void)
{
#ifdef __x86_64__
	if (has_avx2())
		return add_avx2;
#endif
	return sum_add;
}

uint64_t sum_pseudo(const struct cpl_addr *src, const struct cpl_addr *dst, uint8_t protocol,
		    uint32_t len)
{
	/* Both forms end in the length and the protocol; zeros do not count. */
	uint64_t sum = (uint64_t)__builtin_bswap32(len) + __builtin_bswap32(protocol);

	if (cpl_addr_is4(src))
		return sum + load32(src->b + 12) + load32(dst->b + 12);
	sum = sum_join(sum, load64(src->b));
	sum = sum_join(sum, load64(src->b + 8));
	sum = sum_join(sum, load64(dst->b));
	return sum_join(sum, load64(dst->b + 8));
}

uint16_t sum_update(uint16_t check, uint16_t old, uint16_t now)
{
	/* RFC 1624 3: HC' = ~(~HC + ~m + m') */
	return sum_finish((uint64_t)(uint16_t)~check + (uint16_t)~old + now);
}
