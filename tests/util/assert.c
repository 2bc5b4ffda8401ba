/* SPDX-License-Identifier: MIT */
/*
 * The assert hook of tests that link no host: it prints and aborts. Weak: src/host's, or a test's
 * own, takes its place.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

__attribute__((weak)) void cpl_assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
	abort();
}
