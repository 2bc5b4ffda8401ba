/* SPDX-License-Identifier: MIT */
/* Keep-alives (RFC 9293 section 3.8.4). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "tests/util/tcp_bench.h"

static struct bench b;

static void set(cpl_handle h, enum cpl_option option, uint64_t value)
{
	assert_int_equal(cpl_set_option(b.stack, h, option, value, b.now), 0);
}

static uint64_t get(cpl_handle h, enum cpl_option option)
{
	uint64_t value = ~0ull;

	assert_int_equal(cpl_get_option(b.stack, h, option, &value, b.now), 0);
	return value;
}

/* 10 s of silence, then a probe each 3 s, 4 in all. */
static cpl_handle kept(void)
{
	cpl_handle h;

	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	set(h, CPL_OPT_KEEP_IDLE, 10 * CPL_SECOND);
	set(h, CPL_OPT_KEEP_INTERVAL, 3 * CPL_SECOND);
	set(h, CPL_OPT_KEEP_COUNT, 4);
	set(h, CPL_OPT_KEEPALIVE, 1);
	return h;
}

/* MUST-25: off unless the program asks; then nothing is ever sent. */
static void off_by_default(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	assert_int_equal(get(h, CPL_OPT_KEEPALIVE), 0);
	expect_nothing_for(&b, 7 * 24 * 3600 * CPL_SECOND);
	expect_state(&b, CPL_ESTABLISHED);
	bench_end(&b);
}

/* MAY-5: there are any. MUST-24: on and off for each connection; MUST-28: two hours by default. */
static void on_and_off(void **state)
{
	cpl_handle h;

	(void)state;
	bench_begin(&b);
	h = bench_passive(&b, "mss 1000");
	assert_int_equal(get(h, CPL_OPT_KEEP_IDLE), 7200 * CPL_SECOND);
	assert_int_equal(get(h, CPL_OPT_KEEP_INTERVAL), 75 * CPL_SECOND);
	assert_int_equal(get(h, CPL_OPT_KEEP_COUNT), 9);
	set(h, CPL_OPT_KEEPALIVE, 1);
	assert_int_equal(get(h, CPL_OPT_KEEPALIVE), 1);
	expect_after(&b, 7200 * CPL_SECOND, ". 0 ack 1");
	send(&b, ". 1 ack 1");
	expect_after(&b, 7200 * CPL_SECOND, ". 0 ack 1");
	send(&b, ". 1 ack 1");
	set(h, CPL_OPT_KEEPALIVE, 0);
	expect_nothing_for(&b, 24 * 3600 * CPL_SECOND);
	/* On again after a long silence: that counts. */
	set(h, CPL_OPT_KEEPALIVE, 1);
	bench_run(&b, CPL_MS);
	expect(&b, ". 0 ack 1");
	bench_end(&b);
}

/* Set before the connection is there, and inherited from a listener. */
static void set_early(void **state)
{
	struct cpl_endpoint to;
	cpl_handle h, listener;

	(void)state;
	bench_begin(&b);
	assert_int_equal(cpl_open(b.stack, NULL, &h, b.now), 0);
	set(h, CPL_OPT_KEEPALIVE, 1);
	set(h, CPL_OPT_KEEP_IDLE, 10 * CPL_SECOND);
	bench_flow(&b, 0, 80);
	to = b.flow.peer;
	assert_int_equal(cpl_open_active(b.stack, h, &to, b.now), 0);
	b.flow.us.port = bench_info(&b, h)->local_port;
	expect(&b, "S 0 <*>");
	send(&b, "S. 0 ack 1 <mss 1000>");
	expect(&b, ". 1 ack 1");
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 1");
	bench_end(&b);

	bench_begin(&b);
	listener = bench_listen(&b, 80);
	set(listener, CPL_OPT_KEEPALIVE, 1);
	set(listener, CPL_OPT_KEEP_IDLE, 10 * CPL_SECOND);
	send(&b, "S 0 <mss 1000>");
	expect(&b, "S. 0 ack 1 <*>");
	send(&b, ". 1 ack 1");
	bench_accepted(&b, listener);
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 1");
	bench_end(&b);
}

/* MUST-27; SHLD-12: no data; MUST-29: one unanswered probe is no death, nor are three. */
static void probes_and_death(void **state)
{
	cpl_handle h;

	(void)state;
	h = kept();
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 1");
	expect_after(&b, 3 * CPL_SECOND, ". 0 ack 1");
	expect_after(&b, 3 * CPL_SECOND, ". 0 ack 1");
	assert_int_equal(bench_info(&b, h)->probe_count, 3);
	expect_after(&b, 3 * CPL_SECOND, ". 0 ack 1");
	expect_state(&b, CPL_ESTABLISHED);
	expect_event(&b, h, 0, 0);
	/* As Linux: the peer is told, in case it lives. */
	expect_after(&b, 3 * CPL_SECOND, "R 1");
	expect_state(&b, CPL_CLOSED);
	expect_event(&b, h, CPL_EV_CLOSED, ETIMEDOUT);
	assert_int_equal(counter(&b, timeouts), 1);
	bench_end(&b);
}

/* Any answer starts all over, also one to the last probe, and data of the peer's. */
static void answers(void **state)
{
	cpl_handle h;

	(void)state;
	h = kept();
	for (unsigned i = 0; i < 4; i++)
		expect_after(&b, i ? 3 * CPL_SECOND : 10 * CPL_SECOND, ". 0 ack 1");
	send(&b, ". 1 ack 1");
	assert_int_equal(bench_info(&b, h)->probe_count, 0);
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 1");
	bench_run(&b, CPL_SECOND);
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 11");
	/* What is old, and answered, shows life as well. */
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 11");
	bench_end(&b);
}

/* MUST-26: not while data is outstanding, which is sent again by itself; nor after it was heard. */
static void only_when_idle(void **state)
{
	cpl_handle h;

	(void)state;
	h = kept();
	bench_run(&b, 9 * CPL_SECOND);
	send(&b, ". 1 ack 1"); /* heard of: the ten seconds start again */
	expect_nothing_for(&b, 9900 * CPL_MS);
	bench_write(&b, h, 10);
	expect(&b, "P. 1:11 ack 1");
	bench_run(&b, 100 * CPL_SECOND);
	while (bench_take(&b))
		assert_int_equal(b.last.p.tcp.len, 10); /* retransmissions, no probes */
	send(&b, ". 1 ack 11");
	expect_nothing_for(&b, 9900 * CPL_MS);
	bench_run(&b, 10200 * CPL_MS);
	expect(&b, ". 10 ack 1");
	bench_end(&b);
	/* Data that a zero window holds is probed for in another way. */
	h = kept();
	send(&b, ". 1 ack 1 win 0");
	bench_write(&b, h, 10);
	for (unsigned i = 0; i < 100; i++) {
		bench_run(&b, 3 * CPL_SECOND);
		while (bench_take(&b))
			send(&b, ". 1 ack 1 win 0");
	}
	expect_state(&b, CPL_ESTABLISHED);
	assert_true(bench_info(&b, h)->timer_persist != CPL_TIMER_OFF);
	bench_end(&b);
}

/* What the program has not read does not keep them away: the peer may be gone all the same. */
static void unread_data_is_nothing_outstanding(void **state)
{
	cpl_handle h;

	(void)state;
	h = kept();
	send(&b, "P. 1:11 ack 1");
	expect(&b, ". 1 ack 11");
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 11");
	assert_int_equal(bench_info(&b, h)->recv_queue, 10);
	bench_end(&b);
}

/* In every state in which the connection can be idle for ever. */
static void half_closed(void **state)
{
	cpl_handle h;

	(void)state;
	h = kept();
	assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
	expect(&b, "F. 1 ack 1");
	send(&b, ". 1 ack 2");
	expect_state(&b, CPL_FIN_WAIT_2);
	expect_after(&b, 10 * CPL_SECOND, ". 1 ack 1");
	send(&b, ". 1 ack 2");
	bench_end(&b);
	h = kept();
	send(&b, "F. 1 ack 1");
	expect(&b, ". 1 ack 2");
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 2");
	bench_end(&b);
}

/* The user time-out replaces the count, as in Linux. */
static void user_timeout(void **state)
{
	cpl_handle h;

	(void)state;
	h = kept();
	set(h, CPL_OPT_USER_TIMEOUT, 15 * CPL_SECOND);
	expect_after(&b, 10 * CPL_SECOND, ". 0 ack 1");
	expect_after(&b, 3 * CPL_SECOND, ". 0 ack 1");
	expect_after(&b, 3 * CPL_SECOND, "R 1"); /* 16 s after it was last heard of */
	expect_event(&b, h, CPL_EV_CLOSED, ETIMEDOUT);
	bench_end(&b);
	h = kept();
	set(h, CPL_OPT_USER_TIMEOUT, 100 * CPL_SECOND);
	bench_run(&b, 95 * CPL_SECOND);
	expect_state(&b, CPL_ESTABLISHED);
	bench_run(&b, 10 * CPL_SECOND);
	expect_state(&b, CPL_CLOSED);
	bench_end(&b);
}

/* MUST-27: ranges, and changes while it runs. */
static void configuration(void **state)
{
	cpl_handle h;

	(void)state;
	h = kept();
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_KEEP_IDLE, 0, b.now), -EINVAL);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_KEEP_COUNT, 0, b.now), -EINVAL);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_KEEP_COUNT, 128, b.now), -EINVAL);
	assert_int_equal(cpl_set_option(b.stack, h, CPL_OPT_KEEPALIVE, 2, b.now), -EINVAL);
	bench_run(&b, 5 * CPL_SECOND);
	set(h, CPL_OPT_KEEP_IDLE, 7 * CPL_SECOND); /* since it was last heard of */
	assert_int_equal(get(h, CPL_OPT_KEEP_IDLE), 7 * CPL_SECOND);
	expect_after(&b, 2 * CPL_SECOND, ". 0 ack 1");
	send(&b, ". 1 ack 1");
	set(h, CPL_OPT_KEEP_IDLE, 20 * CPL_SECOND);
	expect_after(&b, 20 * CPL_SECOND, ". 0 ack 1");
	bench_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_by_default),
		cmocka_unit_test(on_and_off),
		cmocka_unit_test(set_early),
		cmocka_unit_test(probes_and_death),
		cmocka_unit_test(answers),
		cmocka_unit_test(only_when_idle),
		cmocka_unit_test(unread_data_is_nothing_outstanding),
		cmocka_unit_test(half_closed),
		cmocka_unit_test(user_timeout),
		cmocka_unit_test(configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
