/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets of src/wire share. libFuzzer hands over a block of exactly the input's
 * size, so that a read past its end is seen. There is no corpus on disk: a target's mutator now and
 * then starts afresh from a sound packet, and mostly makes the checksums right again, which chance
 * never would.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/util/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* An oracle: what must hold whatever the input. */
#define CHECK(expr)                                                                                \
	do {                                                                                       \
		if (!(expr)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The sum of RFC 1071 with START, octet by octet, as a number. */
static inline uint16_t naive_sum(uint64_t start, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		start += i & 1 ? p[i] : (uint64_t)p[i] << 8;
	while (start >> 16)
		start = (start >> 16) + (start & 0xffff);
	return (uint16_t)start;
}

/* FRESH builds a sound input, FIX makes checksums right; both stay within their limits. */
static inline size_t mutate(uint8_t *data, size_t size, size_t max, unsigned seed,
			    size_t (*fresh)(uint8_t *data, size_t max, uint64_t *seed),
			    void (*fix)(uint8_t *data, size_t size))
{
	uint64_t state = seed;

	if (!size || !rnd(&state, 20))
		size = fresh(data, max, &state);
	size = LLVMFuzzerMutate(data, size, max);
	if (rnd(&state, 8))
		fix(data, size);
	return size;
}

#endif
