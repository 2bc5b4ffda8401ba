/* SPDX-License-Identifier: MIT */
/*
 * copy_wide(): 32 bytes at a time, with one jump into a row of such steps, which is as long as the
 * largest segment of an Ethernet. No state.
 */
#include "base/copy.h"

#ifdef __x86_64__
#include <immintrin.h>
#include <stdint.h>

#define STEP 32u
#define ROW  48u /* steps */

#define COPY(i)                                                                                    \
	case (i):                                                                                  \
		_mm256_storeu_si256((void *)(to + (i)*STEP),                                       \
				    _mm256_loadu_si256((const void *)(from + (i)*STEP)));          \
		__attribute__((fallthrough))
#define COPIES(i)                                                                                  \
	COPY(8 * (i));                                                                             \
	COPY(8 * (i) + 1);                                                                         \
	COPY(8 * (i) + 2);                                                                         \
	COPY(8 * (i) + 3);                                                                         \
	COPY(8 * (i) + 4);                                                                         \
	COPY(8 * (i) + 5);                                                                         \
	COPY(8 * (i) + 6);                                                                         \
	COPY(8 * (i) + 7)

/* The last steps of a row, from FIRST on, ROW at most; upwards, which is how memory is fetched
 * ahead. */
static inline __attribute__((target("avx2"), always_inline)) void
copy_row(unsigned char *to, const unsigned char *from, size_t first)
{
	switch (first) {
		COPIES(0);
		COPIES(1);
		COPIES(2);
		COPIES(3);
		COPIES(4);
		COPIES(5);
	case ROW:
		break;
	default:
		__builtin_unreachable();
	}
}

__attribute__((target("avx2"))) void copy_wide(void *dst, const void *src, size_t n)
{
	uintptr_t to = (uintptr_t)dst, from = (uintptr_t)src;
	size_t first = STEP - to % STEP;

	/* What is stored across two cache lines takes twice as long. */
	_mm256_storeu_si256((void *)to, _mm256_loadu_si256((const void *)from));
	to += first;
	from += first;
	n -= first;
	for (; n > ROW * STEP; n -= ROW * STEP, to += ROW * STEP, from += ROW * STEP)
		copy_row((unsigned char *)to, (const unsigned char *)from, 0);
	/* As if the row began so much earlier that it ends with the last whole step. */
	first = ROW - n / STEP;
	copy_row((unsigned char *)(to - first * STEP), (const unsigned char *)(from - first * STEP),
		 first);
	_mm256_storeu_si256((void *)(to + n - STEP),
			    _mm256_loadu_si256((const void *)(from + n - STEP)));
}
#else
void copy_wide(void *to, const void *from, size_t n)
{
	memcpy(to, from, n);
}
#endif
