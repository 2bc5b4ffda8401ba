/* SPDX-License-Identifier: MIT */
/* The usual end of a failed assertion: say which on stderr, and abort. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

void cpl_assert_failed(const char *expr, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
	abort();
}
