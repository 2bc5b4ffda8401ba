/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/util/tcp_bench.h"
static struct bench b;
static void run_it(void)
{
	cpl_handle h;
	bench_start(&b);
	h = bench_passive(&b, "mss 1460");
	send(&b, "P. 1:101 ack 1");
	expect(&b, ". 1 ack 101");
	expect_state(&b, CPL_ESTABLISHED);
	bench_read(&b, h, 100);
	bench_write(&b, h, 3000);
	expect(&b, ". 1:1461 ack 101");
	expect(&b, ". 1461:2921 ack 101");
	expect(&b, "P. 2921:3001 ack 101");
	expect_nothing(&b);
	send(&b, ". 101 ack 2921");
	expect_after(&b, 200 * CPL_MS, "P. 2921:3001 ack 101");
	bench_end(&b);
}
static void t(void **s)
{
	(void)s;
	for (int i = 0; i < 4; i++) {
		bench_init(&b);
		b.v6 = i & 1;
		if (i & 1)
			b.iface.mtu = 1520;
		b.iface.kind = i >> 1;
		run_it();
	}
}
int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(t) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
