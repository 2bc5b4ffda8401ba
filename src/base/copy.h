/* SPDX-License-Identifier: MIT */
/*
 * Copies of what is about as long as a segment, which is all that bulk data costs in the end: with
 * AVX2 in fewer instructions than memcpy(), which must suit every length.
 */
#ifndef BASE_COPY_H
#define BASE_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define COPY_WIDE_MIN 256u /* fewer are memcpy()'s */

/* For a processor with AVX2: N of 32 bytes or more. They must not overlap. */
void copy_wide(void *to, const void *from, size_t n);
/* As memcpy(); WIDE: cpu_has_avx2(). */
static inline void copy_bytes(bool wide, void *to, const void *from, size_t n)
{
	if (wide && n >= COPY_WIDE_MIN)
		copy_wide(to, from, n);
	else
		memcpy(to, from, n);
}

#endif
