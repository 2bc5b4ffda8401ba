/* SPDX-License-Identifier: MIT */
/*
 * For tests that read hostile bytes: a seeded source of numbers, and copies of exactly the size
 * asked for, so that the address sanitizer sees any step past their end.
 */
#ifndef TESTS_UTIL_BYTES_H
#define TESTS_UTIL_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* splitmix64; STATE starts as the seed. */
static inline uint64_t rnd64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* Below BOUND, which is not 0. */
static inline uint32_t rnd(uint64_t *state, uint32_t bound)
{
	return (uint32_t)((rnd64(state) >> 32) * bound >> 32);
}

static inline void rnd_fill(uint64_t *state, void *to, size_t n)
{
	uint8_t *p = to;

	while (n--)
		*p++ = (uint8_t)(rnd64(state) >> 56);
}

/* LEN bytes of P in a block of exactly that size, SKEW bytes off any alignment; exact_free() it. */
static inline uint8_t *exact_copy(const uint8_t *p, size_t len, unsigned skew)
{
	uint8_t *block = malloc(len + skew);

	if (!block)
		return NULL;
	if (len)
		memcpy(block + skew, p, len);
	return block + skew;
}

static inline void exact_free(uint8_t *copy, unsigned skew)
{
	free(copy - skew);
}

#endif
