/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071). A sum is kept modulo 2^64 - 1, which 65,535 divides: words of
 * any width can be added in the machine's byte order, and folding comes last. No state.
 *
 * sum_blocks() is the hot loop for every processor, sum_even_avx2() for those with AVX2; both copy
 * what they sum, if they are told where to.
 */
#include "wire/checksum.h"

#include <stdbool.h>
#include <string.h>

#include "base/cpu.h"
#include "wire/bytes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

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

#define BLOCK  64u
#define ALWAYS inline __attribute__((always_inline))

/* 32 bytes of P. COPY, known where this is inlined: to TO as well. */
static ALWAYS void block_half(quad *q, bool copy, uint8_t *to, const uint8_t *p, size_t at)
{
	memcpy(q, p + at, sizeof(*q));
	if (copy)
		memcpy(to + at, q, sizeof(*q));
}

/*
 * BLOCKS of 64 bytes, fewer than 2^26. Words are summed modulo 2^64, and their upper halves apart,
 * which cannot overflow: the difference is the sum of the lower halves, carries and all.
 */
static ALWAYS uint64_t sum_blocks(bool copy, uint8_t *to, const uint8_t *p, size_t blocks)
{
	quad all0 = { 0 }, all1 = { 0 }, upper0 = { 0 }, upper1 = { 0 }, a, b;
	uint64_t all, upper;

	for (; blocks; blocks--, p += BLOCK, to = copy ? to + BLOCK : to) {
		block_half(&a, copy, to, p, 0);
		block_half(&b, copy, to, p, sizeof(a));
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
		sum = sum_join(sum, sum_blocks(false, NULL, p, n / BLOCK));
	return add_rest(sum, p + whole, n - whole);
}

uint64_t sum_copy(uint64_t sum, void *to, const void *from, size_t n)
{
	const uint8_t *p = from;
	size_t whole = n & ~(size_t)(BLOCK - 1);

	if (whole)
		sum = sum_join(sum, sum_blocks(true, to, p, n / BLOCK));
	memcpy((uint8_t *)to + whole, p + whole, n - whole);
	return add_rest(sum, p + whole, n - whole);
}

/* As sum_join() of four words, where the processor hands the carry on by itself. */
static inline uint64_t sum_four(uint64_t sum, const uint64_t w[4])
{
#ifdef __x86_64__
	unsigned long long s = sum;
	unsigned char carry = _addcarry_u64(0, s, w[0], &s);

	carry = _addcarry_u64(carry, s, w[1], &s);
	carry = _addcarry_u64(carry, s, w[2], &s);
	carry = _addcarry_u64(carry, s, w[3], &s);
	_addcarry_u64(carry, s, 0, &s);
	return s;
#else
	return sum_join(sum_join(sum_join(sum_join(sum, w[0]), w[1]), w[2]), w[3]);
#endif
}

uint64_t sum_few(uint64_t sum, const uint8_t *p, size_t n)
{
	for (; n >= 32; p += 32, n -= 32) {
		const uint64_t w[4] = { load64(p), load64(p + 8), load64(p + 16), load64(p + 24) };

		sum = sum_four(sum, w);
	}
	return add_rest(sum, p, n);
}

uint64_t sum_copy_few(uint8_t *to, const uint8_t *from, size_t n)
{
	uint64_t sum = 0;

	for (; n >= 32; from += 32, to += 32, n -= 32) {
		const uint64_t w[4] = { load64(from), load64(from + 8), load64(from + 16),
					load64(from + 24) };

		store64(to, w[0]);
		store64(to + 8, w[1]);
		store64(to + 16, w[2]);
		store64(to + 24, w[3]);
		sum = sum_four(sum, w);
	}
	if (!n)
		return sum;
	memcpy(to, from, n);
	return add_rest(sum, from, n);
}

#ifdef __x86_64__
#define AVX2	     __attribute__((target("avx2")))
#define BYTES_EXACT  65536u /* no lane overflows before */
#define WORDS_BIASED 16u    /* in a register */

/* Kept in registers, which a compiler that knows the values does not. */
struct bias {
	__m256i bias, ones;
};

static AVX2 ALWAYS struct bias bias_make(void)
{
	struct bias b = { _mm256_set1_epi16(INT16_MIN), _mm256_set1_epi16(1) };

	__asm__("" : "+x"(b.bias), "+x"(b.ones));
	return b;
}

/*
 * Sixteen words: less 32,768 they are signed, which is what the multiplication that adds neighbours
 * takes; what was subtracted is added at the end.
 */
static AVX2 ALWAYS __m256i add_words(__m256i sums, __m256i words, struct bias b)
{
	return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_add_epi16(b.bias, words), b.ones));
}

static AVX2 ALWAYS __m256i take(__m256i sums, struct bias b, bool copy, uint8_t *to,
				const uint8_t *p, size_t at)
{
	__m256i words = _mm256_loadu_si256((const void *)(p + at));

	if (copy)
		_mm256_storeu_si256((void *)(to + at), words);
	return add_words(sums, words, b);
}

/* The last N of 32 bytes, an even number. */
static AVX2 ALWAYS __m256i take_last(__m256i sums, struct bias b, bool copy, uint8_t *to,
				     const uint8_t *p, size_t n)
{
	static const uint8_t mask[64] = { [32 ... 63] = 0xff };
	__m256i words = _mm256_loadu_si256((const void *)p);

	if (copy)
		_mm256_storeu_si256((void *)to, words);
	words = _mm256_and_si256(words, _mm256_loadu_si256((const void *)(mask + n)));
	return add_words(sums, words, b);
}

/* An even number N of bytes, from 32 to BYTES_EXACT. */
static AVX2 ALWAYS uint64_t sum_even_avx2(bool copy, uint8_t *to, const uint8_t *p, size_t n)
{
	__m256i even = _mm256_setzero_si256(), odd = even;
	const struct bias b = bias_make();
	const uint8_t *end = p + n;
	__m128i half;

	for (const uint8_t *last = p + (n & ~(size_t)255); p != last; p += 256) {
		even = take(even, b, copy, to, p, 0);
		odd = take(odd, b, copy, to, p, 32);
		even = take(even, b, copy, to, p, 64);
		odd = take(odd, b, copy, to, p, 96);
		even = take(even, b, copy, to, p, 128);
		odd = take(odd, b, copy, to, p, 160);
		even = take(even, b, copy, to, p, 192);
		odd = take(odd, b, copy, to, p, 224);
		to = copy ? to + 256 : to;
	}
	if (n & 128) {
		even = take(even, b, copy, to, p, 0);
		odd = take(odd, b, copy, to, p, 32);
		even = take(even, b, copy, to, p, 64);
		odd = take(odd, b, copy, to, p, 96);
		p += 128;
		to = copy ? to + 128 : to;
	}
	if (n & 64) {
		even = take(even, b, copy, to, p, 0);
		odd = take(odd, b, copy, to, p, 32);
		p += 64;
		to = copy ? to + 64 : to;
	}
	if (n & 32) {
		even = take(even, b, copy, to, p, 0);
		p += 32;
		to = copy ? to + 32 : to;
	}
	if (n & 31)
		odd = take_last(odd, b, copy, copy ? to + (n & 31) - 32 : NULL, end - 32, n & 31);
	even = _mm256_add_epi32(even, odd);
	half = _mm_add_epi32(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
	half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
	return (uint64_t)((n + 31) / 32 * WORDS_BIASED * 32768 + (int64_t)_mm_cvtsi128_si32(half));
}

/* As many as sum_even_avx2() takes, and one more if N is odd. */
static AVX2 ALWAYS uint64_t sum_any_avx2(uint64_t sum, bool copy, uint8_t *to, const uint8_t *p,
					 size_t n)
{
	sum = sum_join(sum, sum_even_avx2(copy, to, p, n & ~(size_t)1));
	if (!(n & 1))
		return sum;
	if (copy)
		to[n - 1] = p[n - 1];
	return sum_join(sum, load_tail(p + n - 1, 1));
}

static uint64_t add_avx2(uint64_t sum, const void *data, size_t n);
static uint64_t copy_avx2(uint64_t sum, void *to, const void *from, size_t n);

#define APART __attribute__((noinline))

/* What is not from 32 to BYTES_EXACT long. */
static APART uint64_t add_parts(uint64_t sum, const uint8_t *p, size_t n)
{
	if (n < 32)
		return add_rest(sum, p, n);
	return add_avx2(add_avx2(sum, p, BYTES_EXACT), p + BYTES_EXACT, n - BYTES_EXACT);
}

static APART uint64_t copy_parts(uint64_t sum, uint8_t *to, const uint8_t *p, size_t n)
{
	if (n < 32) {
		memcpy(to, p, n);
		return add_rest(sum, p, n);
	}
	sum = copy_avx2(sum, to, p, BYTES_EXACT);
	return copy_avx2(sum, to + BYTES_EXACT, p + BYTES_EXACT, n - BYTES_EXACT);
}

static AVX2 uint64_t add_avx2(uint64_t sum, const void *data, size_t n)
{
	if (n - 32 > BYTES_EXACT - 32)
		return add_parts(sum, data, n);
	return sum_any_avx2(sum, false, NULL, data, n);
}

static AVX2 uint64_t copy_avx2(uint64_t sum, void *to, const void *from, size_t n)
{
	if (n - 32 > BYTES_EXACT - 32)
		return copy_parts(sum, to, from, n);
	return sum_any_avx2(sum, true, to, from, n);
}
#endif

sum_fn sum_best(void)
{
#ifdef __x86_64__
	if (cpu_has_avx2())
		return add_avx2;
#endif
	return sum_add;
}

sum_copy_fn sum_copy_best(void)
{
#ifdef __x86_64__
	if (cpu_has_avx2())
		return copy_avx2;
#endif
	return sum_copy;
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
