/* SPDX-License-Identifier: MIT */
/* The bench itself: one short conversation over each kind of interface and both families. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/tcp_bench.h"

static struct bench b;

static void conversation(void)
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
	send(&b, ". 101 ack 3001");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 3001 ack 101");
	send(&b, "F. 101 ack 3002");
	expect(&b, ". 3002 ack 102");
	expect_state(&b, CPL_TIME_WAIT);
	bench_events(&b, h, NULL);
	assert_int_equal(cpl_close(b.stack, h, b.now), 0);
	bench_end(&b);
}

static void each_kind_of_interface(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		bench_init(&b);
		b.v6 = i & 1;
		b.iface.kind = i & 2 ? CPL_IFACE_ETHER : CPL_IFACE_IP;
		b.iface.mtu = b.v6 ? 1520 : 1500;
		conversation();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_kind_of_interface) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
