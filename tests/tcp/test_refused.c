/* SPDX-License-Identifier: MIT */
/* What a device refuses counts as never transmitted, and goes again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/seq.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

static struct bench b;

static cpl_handle peer(bool sack, const char *options)
{
	bench_init(&b);
	b.config.sack = sack;
	bench_start(&b);
	return bench_passive(&b, options);
}

/* What the device refuses was never sent: no retransmission, no loss, no back-off. */
static void device_refuses(void **state)
{
	cpl_handle h;

	(void)state;
	h = peer(true, "mss 1000,sackOK");
	bench_write(&b, h, 3000);
	b.refuse = 1;
	expect(&b, ". 1001:2001 ack 1");
	expect(&b, "P. 2001:3001 ack 1");
	expect(&b, ". 1:1001 ack 1");
	assert_int_equal(bench_info(&b, h)->retrans, 0);
	assert_int_equal(counter(&b, frames_refused), 1);
	send(&b, ". 1 ack 3001");
	/* Refused many times over, time passes: the one time it goes it is new. */
	bench_write(&b, h, 1000);
	b.refuse = 3;
	expect(&b, "P. 3001:4001 ack 1");
	assert_int_equal(bench_info(&b, h)->retrans, 0);
	bench_run(&b, 30 * CPL_MS);
	send(&b, ". 1 ack 4001");
	assert_in_range(bench_info(&b, h)->srtt, 0, 31 * CPL_MS);
	assert_int_equal(bench_info(&b, h)->rto_count, 0);
	bench_end(&b);
}

/* An ACK, a FIN, a SYN, a retransmission, a probe that are refused are not forgotten. */
static void device_refuses_anything(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_open(&b, 0, 80);
	b.refuse = 2;
	expect(&b, "S 0 <mss 1460>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	b.refuse = 2;
	expect(&b, ". 1 ack 1");
	send(&b, "P. 1:101 ack 1");
	b.refuse = 2;
	expect(&b, ". 1 ack 101");
	bench_write(&b, h, 100);
	expect(&b, "P. 1:101 ack 101");
	bench_run(&b, 150 * CPL_MS);
	b.refuse = 2;
	bench_run(&b, 100 * CPL_MS);
	expect(&b, "P. 1:101 ack 101");
	assert_int_equal(bench_info(&b, h)->rexmt_count, 1);
	send(&b, ". 101 ack 101");
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	b.refuse = 2;
	expect(&b, "F. 101 ack 101");
	send(&b, ". 101 ack 102");
	expect_state(&b, CPL_FIN_WAIT_2);
	bench_end(&b);
}

/* Parts of what was refused are acknowledged, SACKed, split meanwhile: no octet goes astray. */
static void refusing_at_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		static bool have[40002];
		uint64_t r = seed * 77;
		uint32_t upto = 1;
		unsigned rounds = 0;
		bool came = true;
		cpl_handle h;

		memset(have, 0, sizeof(have));
		bench_init(&b);
		b.config.sack = seed & 1;
		if (seed & 2) {
			b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
			b.iface.gso_max = 10000;
		}
		bench_start(&b);
		h = bench_passive(&b, seed & 1 ? "mss 1000,sackOK" : "mss 1000");
		bench_write(&b, h, 40000);
		while (upto <= 40000) {
			uint32_t early = 0;

			assert_true(++rounds < 20000);
			b.refuse = rnd(&r, 4);
			bench_run(&b, came ? 20 * CPL_MS : CPL_SECOND);
			came = false;
			while (bench_take(&b)) {
				uint32_t seq = b.last.p.tcp.seq - b.flow.our_iss;

				came = true;
				if (!rnd(&r, 4))
					continue; /* lost */
				for (uint32_t i = 0; i < b.last.p.tcp.len; i++)
					have[seq + i] = true;
				if (seq > upto)
					early = seq;
			}
			while (upto <= 40000 && have[upto])
				upto++;
			if (!came)
				continue;
			if ((seed & 1) && early > upto)
				send(&b, ". 1 ack %u <sack %u:%u>", upto, early, early + 500);
			else
				send(&b, ". 1 ack %u", upto);
		}
		assert_true(counter(&b, frames_refused) > 0);
		bench_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_refuses),
		cmocka_unit_test(device_refuses_anything),
		cmocka_unit_test(refusing_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
