/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum (RFC 1071, updates by RFC 1624), over any split of the data into pieces.
 * Sums are kept unfolded in 64 bits, in the machine's byte order.
 */
#ifndef WIRE_CHECKSUM_H
#define WIRE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <couplet/addr.h>

#include "wire/bytes.h"

/*
 * Add N bytes to SUM. A sum starts as 0; two sums are added by sum_join(). A piece may start at an
 * odd offset only through sum_add_at().
 */
uint64_t sum_add(uint64_t sum, const void *data, size_t n);
/* As sum_add(), for the processor at hand. sum_best() asks it, which takes long: once a stack. */
typedef uint64_t (*sum_fn)(uint64_t sum, const void *data, size_t n);
sum_fn sum_best(void);
/* As sum_add(), and the bytes are copied to TO, which must not overlap them, in the same pass. */
uint64_t sum_copy(uint64_t sum, void *to, const void *from, size_t n);
typedef uint64_t (*sum_copy_fn)(uint64_t sum, void *to, const void *from, size_t n);
sum_copy_fn sum_copy_best(void);
/* The pseudo-header of RFC 9293 3.1 and RFC 8200 8.1; LEN: transport header and payload. */
uint64_t sum_pseudo(const struct cpl_addr *src, const struct cpl_addr *dst, uint8_t protocol,
		    uint32_t len);
/* Add N words of four bytes, fewer than 2^16 of them, to SUM, which is below 2^63: for headers. */
static inline uint64_t sum_words(uint64_t sum, const uint8_t *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sum += load32(p + 4 * i);
	return sum;
}
/* Two sums as one: end-around carry, so that nothing is lost however much was added before. */
static inline uint64_t sum_join(uint64_t a, uint64_t b)
{
	uint64_t s = a + b;

	return s + (s < a);
}
/*
 * Of 20 octets: an IPv4 header without options, in the parts in which one is mostly stored: what
 * was just stored in others is slow to load.
 */
static inline uint64_t sum_20(const uint8_t *p)
{
	return sum_join(sum_join(load64(p), load64(p + 12)), load32(p + 8));
}
/* As sum_add(), of a few octets: headers, small segments. */
uint64_t sum_few(uint64_t sum, const uint8_t *p, size_t n);
/* As sum_copy(), of as few. */
uint64_t sum_copy_few(uint8_t *to, const uint8_t *from, size_t n);
#define SUM_FEW 128u
/* ADD, or that. */
static inline uint64_t sum_any(sum_fn add, uint64_t sum, const uint8_t *p, size_t n)
{
	return n <= SUM_FEW ? sum_few(sum, p, n) : add(sum, p, n);
}
/*
 * The checksum field CHECK (in memory order, as sum_finish() gives it) after one aligned 16-bit
 * word of the data went from OLD to NOW, both in memory order: RFC 1624, equation 3.
 */
uint16_t sum_update(uint16_t check, uint16_t old, uint16_t now);
/* Fold to 16 bits, in memory order: store with memcpy. Not complemented. */
static inline uint16_t sum_fold(uint64_t sum)
{
	uint32_t half;

	/* The upper half of a number plus itself with the halves swapped: the halves' sum, with the
	 * carry of the lower half come round. */
	sum += sum << 32 | sum >> 32;
	half = (uint32_t)(sum >> 32);
	half += half << 16 | half >> 16;
	return (uint16_t)(half >> 16);
}
/* Folded and complemented: the value for the checksum field, in memory order. */
static inline uint16_t sum_finish(uint64_t sum)
{
	return (uint16_t)~sum_fold(sum);
}

/* Add N bytes that start OFFSET bytes into the packet: an odd offset swaps them. */
static inline uint64_t sum_add_at(sum_fn add, uint64_t sum, const void *data, size_t n,
				  size_t offset)
{
	/* RFC 1071 2 (B): the sum of swapped bytes is the swapped sum. */
	if (offset & 1)
		return sum_join(sum, __builtin_bswap16(sum_fold(add(0, data, n))));
	return add(sum, data, n);
}

/* The same for sum_copy(). */
static inline uint64_t sum_copy_at(sum_copy_fn copy, uint64_t sum, void *to, const void *from,
				   size_t n, size_t offset)
{
	if (offset & 1)
		return sum_join(sum, __builtin_bswap16(sum_fold(copy(0, to, from, n))));
	return copy(sum, to, from, n);
}

#endif
