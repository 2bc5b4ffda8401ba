/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071). A sum is kept modulo 2^64 - 1, which 65,535 divides: words of
 * any width can be added in the machine's byte order, and folding comes last. No state.
 *
 * sum_words() is the hot loop, and all that a wider version has to replace.
 */
#include "wire/checksum.h"

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

/* Two words side by side: the compilers' portable vectors, which gcc -O2 would not find by itself.
 */
typedef uint64_t pair __attribute__((vector_size(16)));

static pair load_pair(const uint8_t *p)
{
	pair v;

	memcpy(&v, p, 16);
	return v;
}

/* BLOCKS of 32 bytes: halves of words into accumulators that cannot overflow below 2^32 blocks. */
static uint64_t sum_words(const uint8_t *p, size_t blocks)
{
	const pair mask = { UINT32_MAX, UINT32_MAX };
	pair low0 = { 0 }, low1 = { 0 }, high0 = { 0 }, high1 = { 0 };

	for (; blocks; blocks--, p += 32) {
		pair a = load_pair(p), b = load_pair(p + 16);

		low0 += a & mask;
		high0 += a >> 32;
		low1 += b & mask;
		high1 += b >> 32;
	}
	low0 += low1;
	high0 += high1;
	return sum_join(sum_join(low0[0], low0[1]), sum_join(high0[0], high0[1]));
}

uint64_t sum_add(uint64_t sum, const void *data, size_t n)
{
	const uint8_t *p = data;
	uint64_t last = 0;

	if (n >= 32) {
		sum = sum_join(sum, sum_words(p, n / 32));
		p += n & ~(size_t)31;
		n &= 31;
	}
	for (; n >= 8; p += 8, n -= 8)
		sum = sum_join(sum, load64(p));
	/* What is left is padded with zeros: RFC 1071 1, "if the total length is odd". */
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)p[i] << 8 * i;
	return sum_join(sum, last);
}

uint64_t sum_add_at(uint64_t sum, const void *data, size_t n, size_t offset)
{
	uint16_t piece;

	if (!(offset & 1))
		return sum_add(sum, data, n);
	/* RFC 1071 2 (B): the sum of swapped bytes is the swapped sum. */
	piece = sum_fold(sum_add(0, data, n));
	return sum_join(sum, __builtin_bswap16(piece));
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

uint16_t sum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 32) + (uint32_t)sum;
	sum = (sum >> 16) + (uint16_t)sum;
	sum = (sum >> 16) + (uint16_t)sum;
	return (uint16_t)sum;
}

uint16_t sum_update(uint16_t check, uint16_t old, uint16_t now)
{
	/* RFC 1624 3: HC' = ~(~HC + ~m + m') */
	return sum_finish((uint64_t)(uint16_t)~check + (uint16_t)~old + now);
}
