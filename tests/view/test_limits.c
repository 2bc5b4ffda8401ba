/* SPDX-License-Identifier: MIT */
/* What limits a connection, in words: each reason, zero windows, what the kernel does not divide.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/limits.h"

#define S 1000000000ull

static struct cpl_info x, y;
static struct text t;

/* A connection of Couplet's, 10 s old, that was busy all the time. */
static void fresh(void)
{
	ends_init(&x, &y);
	CPL_INFO_READ(&x, source, CPL_SOURCE_STACK);
	CPL_INFO_READ(&x, age, 10 * S);
	CPL_INFO_READ(&x, why_time_busy, 10 * S);
	for (int f = CPL_F_why_time_sending; f < CPL_F_why_time_busy; f++)
		cpl_info_mark_read(&x, (enum cpl_field)f);
}

static const char *said(const char *reader)
{
	text_free(&t);
	text_init(&t);
	assert_true(view_limits(&t, &x, reader, 0));
	for (char *c = t.data; *c; c++)
		*c = *c == '\n' ? ' ' : *c;
	return t.data;
}

static void has(const char *part)
{
	if (!strstr(t.data, part))
		fail_msg("\"%s\" is not in:\n%s", part, t.data);
}

static void each_reason(void **state)
{
	struct {
		uint64_t *ns;
		const char *says;
	} reasons[] = {
		{ &x.why_time_sending, "the device took segments as fast as it could" },
		{ &x.why_time_cwnd, "the congestion window was full" },
		{ &x.why_time_rwnd, "the peer's window was full: curl (pid 7) reads too slowly" },
		{ &x.why_time_zero_wnd, "the peer's window was zero: curl (pid 7) did not read" },
		{ &x.why_time_nagle, "a short segment waited for an ACK" },
		{ &x.why_time_pacing, "the pacer held the next burst: cubic goes by its own" },
		{ &x.why_time_device, "it awaits the device" },
		{ &x.why_time_memory, "no memory" },
		{ &x.why_time_sndbuf, "the send buffer was full and all of it on its way" },
		{ &x.why_time_recovery, "losses were being repaired" },
	};

	(void)state;
	for (size_t n = 0; n < sizeof(reasons) / sizeof(*reasons); n++) {
		fresh();
		*reasons[n].ns = 87 * S / 10;
		said("curl (pid 7)");
		has("For 87 % of 10.000 s with data to send ");
		has(reasons[n].says);
		has("(why_time_");
	}
	/* None of them: the program. */
	fresh();
	said(NULL);
	has("For 100 % of 10.000 s with data to send all that the program had written was on its "
	    "way: it gave no more (why_time_busy).");
}

static void a_second_reason(void **state)
{
	(void)state;
	fresh();
	x.why_time_cwnd = 6 * S;
	x.why_time_recovery = 3 * S;
	CPL_INFO_READ(&x, bytes_lost, 14480);
	said(NULL);
	has("For 60 % of 10.000 s with data to send the congestion window was full");
	has("(why_time_cwnd); for 30 % losses were being repaired (14,480 bytes lost so far).");
	x.why_time_cwnd = 9 * S;
	x.why_time_recovery = 1 * S;
	assert_null(strstr(said(NULL), "losses"));
}

/* Both are the receiver's doing: neither hides behind the other. */
static void windows_count_together(void **state)
{
	(void)state;
	fresh();
	x.why_time_rwnd = 25 * S / 10;
	x.why_time_zero_wnd = 3 * S;
	x.why_time_cwnd = 4 * S;
	said(NULL);
	has("For 55 % of 10.000 s with data to send the peer's window was zero: the program at the "
	    "other end did not read (why_time_zero_wnd); for 40 % the congestion");
}

static void an_idle_program(void **state)
{
	(void)state;
	fresh();
	x.age = 100 * S;
	x.why_time_cwnd = 9 * S;
	said(NULL);
	has("For 90 % of its 100.000 s it had nothing on its way: the program sets the pace. For "
	    "90 % of 10.000 s with data to send the congestion");
}

/* busy, rwnd and sndbuf are all that it tells. */
static void of_the_kernel(void **state)
{
	(void)state;
	ends_init(&x, &y);
	CPL_INFO_READ(&x, source, CPL_SOURCE_SOCK_DIAG);
	CPL_INFO_READ(&x, why_time_busy, 10 * S);
	CPL_INFO_READ(&x, why_time_rwnd, 2 * S);
	CPL_INFO_READ(&x, why_time_sndbuf, 0);
	said(NULL);
	has("For 80 % of 10.000 s with data to send the network was the limit (cwnd 14,480 bytes), "
	    "or "
	    "the program gave no more (why_time_busy); for 20 % the peer's window");
	CPL_INFO_READ(&x, delivery_rate, 125000);
	CPL_INFO_READ(&x, delivery_app_limited, 1);
	CPL_INFO_READ(&x, rtt_min, 40 * 1000000);
	CPL_INFO_READ(&x, pacing_rate, 12345);
	said(NULL);
	has("the network took all that the program gave (delivery_app_limited)");
	has("Delivery rate 1.00 Mbit/s with what the program gave, least round trip 40.0 ms.");
}

static void between_two_looks(void **state)
{
	struct cpl_info before;
	struct view_limits l;

	(void)state;
	fresh();
	x.why_time_rwnd = 8 * S;
	before = x;
	x.taken += 4 * S;
	x.why_time_busy += 2 * S;
	x.why_time_cwnd += 2 * S;
	assert_true(view_limits_get(&l, &x, &before));
	assert_int_equal(l.most, CPL_WHY_CWND);
	assert_int_equal(view_limits_percent(&l), 100);
	assert_int_equal(l.life_ns, 4 * S);
	/* Nothing was sent between them; or the second is of before the first. */
	assert_false(view_limits_get(&l, &before, &before));
	assert_false(view_limits_get(&l, &before, &x));
}

static void nothing_to_say(void **state)
{
	(void)state;
	fresh();
	x.why_time_busy = 0;
	text_init(&t);
	assert_false(view_limits(&t, &x, NULL, 0));
	fresh();
	forget(&x, CPL_F_why_time_busy);
	assert_false(view_limits(&t, &x, NULL, 0));
	fresh();
	x.state = CPL_SYN_SENT;
	assert_false(view_limits(&t, &x, NULL, 0));
	assert_int_equal(t.len, 0);
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_reason),     TEST(a_second_reason), TEST(windows_count_together),
		TEST(an_idle_program), TEST(of_the_kernel),   TEST(between_two_looks),
		TEST(nothing_to_say),
	};

	return cmocka_run_group_tests_name("view/limits", tests, NULL, NULL);
}
