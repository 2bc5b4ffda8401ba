/* SPDX-License-Identifier: MIT */
/* What one line of netstat means: each state, each reason, each kind of queue. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/line.h"

static struct cpl_info x, y;
static struct text t;

static int setup(void **state)
{
	(void)state;
	ends_init(&x, &y);
	text_init(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	return 0;
}

static const char *lines(struct view_line line)
{
	text_free(&t);
	text_init(&t);
	if (!line.info)
		line.info = &x;
	view_line(&t, &line, 0);
	for (char *c = t.data; c && *c; c++) /* as one line: where it wraps is another matter */
		*c = *c == '\n' ? ' ' : *c;
	return t.data ? t.data : "";
}

#define LINES(...) lines((struct view_line){ __VA_ARGS__ })

static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void has_not(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in:\n%s", part, text);
}

static void idle(void **state)
{
	(void)state;
	CPL_INFO_READ(&x, last_sent, 3000000000);
	CPL_INFO_READ(&x, last_received, 2000000000);
	has(LINES(0), "Both queues are empty");
	has(LINES(0), "last data 2.000 s ago");
	forget(&x, CPL_F_recv_queue); /* what is not known is not called empty */
	has_not(LINES(0), "empty");
}

static void send_queue(void **state)
{
	static const struct {
		enum cpl_why why;
		const char *says;
	} reasons[] = {
		{ CPL_WHY_CWND, "the congestion window (14,480 bytes) is full" },
		{ CPL_WHY_RWND, "the peer's window (65,536 bytes) is full" },
		{ CPL_WHY_ZERO_WND,
		  "window is zero: its program does not read; next probe in 1.5" },
		{ CPL_WHY_NAGLE, "less than a segment (1,448 bytes) waits" },
		{ CPL_WHY_PACING, "the pacer holds" },
	};

	(void)state;
	CPL_INFO_READ(&x, send_queue, 3000);
	CPL_INFO_READ(&x, in_flight, 2896);
	CPL_INFO_READ(&x, not_sent, 104);
	CPL_INFO_READ(&x, timer_persist, 1500000000);
	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
		CPL_INFO_DERIVED(&x, why, reasons[i].why);
		has(LINES(0), "Send-Q 3,000: 2,896 in flight, 104 not yet sent: ");
		has(LINES(0), reasons[i].says);
		has_not(LINES(.why_said = true), reasons[i].says);
	}
	/* Where the other end is here too, who should read is named. */
	CPL_INFO_DERIVED(&x, why, CPL_WHY_ZERO_WND);
	assert_ptr_equal(view_other_end(&y, 1, &x), &y);
	has(LINES(.peer = &y), "the peer's window is zero: nginx (pid 812) does not read; next");
	CPL_INFO_DERIVED(&x, why, CPL_WHY_RWND);
	has(LINES(.peer = &y), "is full: nginx (pid 812) does not read as fast");
	y.local_port++;
	assert_null(view_other_end(&y, 1, &x));
	forget(&x, CPL_F_why);
	has(LINES(0), "why is not told; congestion window 14480, peer's window 65536");
	CPL_INFO_READ(&x, not_sent, 0);
	CPL_INFO_READ(&x, in_flight, 3000);
	has(LINES(0), "Send-Q 3,000: all of it in flight");
	has(LINES(0), "a round trip takes 40.2 ms");
	CPL_INFO_READ(&x, rexmt_count, 4);
	CPL_INFO_READ(&x, timer_rexmt, 3200000000u);
	has(LINES(0), "sent 4 times more, no ACK came; next try in 3.200 s");
	forget(&x, CPL_F_in_flight);
	has(LINES(0), "Send-Q 3,000: written by curl (pid 4711) and not yet acknowledged");
	has(LINES(.pasted = true), "the row does not tell");
}

static void receive_queue(void **state)
{
	(void)state;
	CPL_INFO_READ(&x, recv_queue, 777);
	CPL_INFO_READ(&x, last_received, 3200000000u);
	has(LINES(0), "Recv-Q 777: here and acknowledged, unread by curl (pid 4711)");
	has(LINES(0), "the last of it came 3.200 s ago");
	has_not(LINES(0), "Its window is closed");
	CPL_INFO_READ(&x, rcv_wnd, 0);
	has(LINES(0), "Its window is closed");
	/* The peer's FIN counts as one, but only when it has come. */
	CPL_INFO_READ(&x, recv_queue, 1);
	has(LINES(0), "Recv-Q 1: here and acknowledged");
	CPL_INFO_READ(&x, state, CPL_CLOSE_WAIT);
	has(LINES(0), "Recv-Q 1 is the peer's FIN");
}

static void listeners(void **state)
{
	struct cpl_info l = y, waits = y;

	(void)state;
	CPL_INFO_READ(&l, state, CPL_LISTEN);
	CPL_INFO_READ(&l, accept_queue, 3);
	CPL_INFO_READ(&l, backlog, 128);
	l.remote_port = 0;
	has(LINES(.info = &l), "nginx (pid 812) waits for connections on this address only");
	has(LINES(.info = &l), "accept queue: 3 of at most 128 wait");
	has_not(LINES(.info = &l), "full");
	has(LINES(.info = &l, .no_limit = true), "Its limit is not in this table");
	CPL_INFO_READ(&l, accept_queue, 129);
	CPL_INFO_READ(&l, syn_queue, 2);
	has(LINES(.info = &l), "It is full: whoever connects now gets no answer until nginx");
	has(LINES(.info = &l), "2 more half-open");
	assert_int_equal(view_state_style(&l), TEXT_RED);
	l.local_addr = cpl_addr4(127, 0, 0, 1);
	has(LINES(.info = &l), "from this machine only");
	l.local_addr = cpl_addr4(0, 0, 0, 0);
	has(LINES(.info = &l), "on every IPv4 address");

	/* What waits there is found by port and address; any address answers for it. */
	forget(&waits, CPL_F_pid);
	waits.attached = 0;
	cpl_info_mark_read(&waits, CPL_F_attached);
	assert_true(view_detached(&waits));
	assert_false(view_detached(&y));
	assert_ptr_equal(view_listener(&l, 1, &waits), &l);
	has(LINES(.info = &waits, .listener = &l),
	    "nginx (pid 812) has not accepted it: it waits in the queue of *:80");
	l.local_port++;
	assert_null(view_listener(&l, 1, &waits));
	l.local_port--;
	l.local_addr = cpl_addr4(10, 0, 0, 9);
	assert_null(view_listener(&l, 1, &waits));
}

static void on_the_way(void **state)
{
	(void)state;
	CPL_INFO_READ(&x, state, CPL_SYN_SENT);
	CPL_INFO_READ(&x, timer_rexmt, 900000000);
	has(LINES(0), "its SYN went out once and nothing has answered yet; next try in 900.0 ms");
	has_not(LINES(0), "firewall");
	CPL_INFO_READ(&x, rexmt_count, 3);
	has(LINES(0), "its SYN went out 4 times");
	has(LINES(0), "A closed port would have refused at once");
	assert_int_equal(view_state_style(&x), TEXT_RED);
	CPL_INFO_READ(&x, state, CPL_SYN_RECEIVED);
	has(LINES(0), "Half-open: a SYN came and was answered 4 times");
}

static void closing(void **state)
{
	(void)state;
	CPL_INFO_READ(&x, state, CPL_CLOSE_WAIT);
	has(LINES(0), "The peer has closed; curl (pid 4711) has not");
	CPL_INFO_READ(&x, state, CPL_FIN_WAIT_2);
	has(LINES(0), "curl (pid 4711) has shut down its half only");
	has(LINES(.peer = &y), "acknowledged that, but nginx (pid 812) has not closed");
	forget(&x, CPL_F_pid);
	CPL_INFO_READ(&x, attached, 0);
	CPL_INFO_READ(&x, timer_close, 43000000000u);
	has(LINES(0), "No program holds it; the kernel forgets it in 43.000 s");
	CPL_INFO_READ(&x, state, CPL_TIME_WAIT);
	has(LINES(0), "stay reserved for 43.000 s");
	assert_int_equal(view_state_style(&x), TEXT_DIM);
	CPL_INFO_READ(&x, state, CPL_LAST_ACK);
	CPL_INFO_READ(&x, send_queue, 1);
	has(LINES(0), "Send-Q 1 is our FIN");
	CPL_INFO_READ(&x, state, CPL_CLOSED);
	has(LINES(0), "neither listens nor connects");
}

static void other_kinds(void **state)
{
	(void)state;
	x.protocol = 17;
	CPL_INFO_READ(&x, recv_queue, 512);
	CPL_INFO_READ(&x, drops, 7);
	has(LINES(0), "exchanges datagrams with this one peer");
	has(LINES(0), "Recv-Q 512: unread by curl (pid 4711)");
	has(LINES(0), "7 datagrams were dropped");
	x.remote_port = 0;
	has(LINES(0), "takes datagrams on this address only");
	x.protocol = 0;
	x.family = 1;
	CPL_INFO_READ(&x, state, CPL_ESTABLISHED);
	has(LINES(.peer = &y), "Connects curl (pid 4711) with nginx (pid 812)");
	has(LINES(0), "Nobody holds the other end");
	has_not(LINES(.pasted = true), "Nobody holds");
}

static void why(void **state)
{
	(void)state;
	CPL_INFO_DERIVED(&x, why, CPL_WHY_IDLE);
	CPL_INFO_READ(&x, why_for, 2000000000);
	assert_true(view_line_why(&t, &(struct view_line){ .info = &x }));
	assert_string_equal(t.data,
			    "Not sending for 2.000 s: the program gave it nothing to send.\n");
	forget(&x, CPL_F_why);
	assert_false(view_line_why(&t, &(struct view_line){ .info = &x }));
}

/* Names come from outside. */
static void harmless(void **state)
{
	(void)state;
	strcpy(x.program, "a\033[31mb");
	CPL_INFO_READ(&x, recv_queue, 7);
	has(LINES(0), "a?[31mb (pid 4711)");
	assert_null(strchr(t.data, 27));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(idle),    T(send_queue),  T(receive_queue), T(listeners), T(on_the_way),
		T(closing), T(other_kinds), T(why),	      T(harmless),
	};

	return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
