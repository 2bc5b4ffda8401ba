/* SPDX-License-Identifier: MIT */
/* Copies of every length up to several rows of copy_wide(), to and from every alignment. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/copy.h"
#include "base/cpu.h"

static void every_length(void **state)
{
	static uint8_t from[8000], to[8100];
	bool wide = cpu_has_avx2();

	(void)state;
	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 7 + (i >> 8));
	for (size_t n = 0; n < 7900; n += n < 3400 ? 1 : 13) {
		/* Of its own memory, so that a sanitizer sees what is read beyond it. */
		uint8_t *exact = malloc(n + 1);
		size_t skew = n % 33;

		assert_non_null(exact);
		memcpy(exact + 1, from, n);
		memset(to, 0xa5, sizeof(to));
		copy_bytes(wide, to + skew + 1, exact + 1, n);
		assert_memory_equal(to + skew + 1, from, n);
		assert_int_equal(to[skew], 0xa5);
		assert_int_equal(to[skew + 1 + n], 0xa5);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(every_length) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
