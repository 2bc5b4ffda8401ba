/* SPDX-License-Identifier: MIT */
/* The rules of doctor about listeners, programs and hosts. */
#include "tests/view/seen.h"

/* ---- Accept queues --------------------------------------------------------------------------- */

/* The server's end waits to be accepted. */
static size_t fill_queue(uint32_t waiting, uint32_t backlog)
{
	ALL(Y, attached, 0);
	UNKNOWN(Y, pid);
	return seen_listener(waiting, backlog);
}

static void accept_queue_full(void **state)
{
	const struct view_finding *f;
	size_t l;

	(void)state;
	l = fill_queue(1, 0);
	FACT_WAS(listen_overflows, 100);
	FACT_IS(listen_overflows, 103);
	f = found(VIEW_FINDING_accept_queue_full);
	assert_int_equal(f->certainty, VIEW_CERTAIN);
	assert_int_equal(f->pid, 812);
	assert_true(evidence(f, "1 connection waits in the accept queue, which takes 1"));
	assert_true(evidence(f, "not one was accepted in 3.000 s"));
	assert_true(evidence(f, "3 calls were turned away"));
	/* Those who waited before have been accepted: slow, and full all the same. */
	w.gone[0][Y] = w.gone[1][Y] = true;
	assert_int_equal(found(VIEW_FINDING_accept_queue_full)->certainty, VIEW_DERIVED);
	LATER(l, accept_queue, 0);
	nothing();
}

static void a_queue_with_room_is_not_full(void **state)
{
	(void)state;
	fill_queue(5, 5); /* Linux takes one more than the backlog */
	nothing();
}

static void an_idle_listener_without_backlog_is_healthy(void **state)
{
	(void)state;
	seen_listener(0, 0);
	nothing();
	w.process[0].state = w.process_before[0].state = 'T';
	nothing();
}

static void callers_of_a_full_queue_are_explained(void **state)
{
	struct cpl_info caller;

	(void)state;
	fill_queue(4, 3);
	end_init(&caller, 0);
	caller.state = CPL_SYN_SENT;
	CPL_INFO_READ(&caller, rexmt_count, 5);
	for (unsigned i = 0; i < 20; i++)
		seen_more(&caller, (uint16_t)(42000 + i));
	end_init(&caller, 0); /* the handshake is done for the caller only */
	seen_more(&caller, 43000);
	found(VIEW_FINDING_accept_queue_full);
	/* Another port's callers are not. */
	caller.state = CPL_SYN_SENT;
	CPL_INFO_READ(&caller, rexmt_count, 5);
	caller.remote_port = 81;
	seen_more(&caller, 44000);
	diagnose();
	assert_int_equal(w.d.n, 2);
	assert_true(w.d.finding[0].id == VIEW_FINDING_syn_not_answered ||
		    w.d.finding[1].id == VIEW_FINDING_syn_not_answered);
}

static void a_stopped_server_explains_its_queue(void **state)
{
	const struct view_finding *f;

	(void)state;
	fill_queue(4, 3);
	w.process[0].state = w.process_before[0].state = 'T';
	f = found(VIEW_FINDING_process_stopped);
	assert_true(evidence(f, "4 callers wait"));
}

static void a_server_without_descriptors_explains_its_queue(void **state)
{
	(void)state;
	fill_queue(4, 3);
	w.process[0].known_limit = true;
	w.process[0].descriptors = w.process[0].descriptors_max = 1024;
	found(VIEW_FINDING_fd_limit);
}

static void syn_queue_full(void **state)
{
	const struct view_finding *f;
	size_t l;

	(void)state;
	l = seen_listener(0, 128);
	ALL(l, syn_queue, 127);
	nothing();
	ALL(l, syn_queue, 128);
	FACT_IS(syncookies, 0);
	f = found(VIEW_FINDING_syn_queue_full);
	assert_true(evidence(f, "128 half-open connections"));
	assert_true(evidence(f, "tcp_syncookies is 0"));
	w.info[1][l].syn_queue = 10; /* for a moment */
	nothing();
	ALL(l, syn_queue, 1); /* a backlog of 0 is full of nothing */
	ALL(l, backlog, 0);
	nothing();
}

/* ---- Programs -------------------------------------------------------------------------------- */

static void fd_limit(void **state)
{
	const struct view_finding *f;

	(void)state;
	w.process[1].known_limit = true;
	w.process[1].descriptors = 1023;
	w.process[1].descriptors_max = 1024;
	nothing();
	w.process[1].descriptors = 1024;
	f = found(VIEW_FINDING_fd_limit);
	assert_int_equal(f->pid, 4711);
	assert_true(evidence(f, "1,024 descriptors, and 1,024 are allowed"));
	w.process[1].known_limit = false;
	nothing();
}

static void stopped_with_unread_data(void **state)
{
	(void)state;
	w.process[0].state = w.process_before[0].state = 'T';
	ALL(Y, recv_queue, 500);
	assert_int_equal(found(VIEW_FINDING_process_stopped)->pid, 812);
	w.process[0].state = 'S'; /* it was continued */
	nothing();
	w.process[0].state = 'T'; /* it was stopped only now */
	w.process_before[0].state = 'S';
	nothing();
}

/* ---- Hosts ----------------------------------------------------------------------------------- */

static void conntrack_full(void **state)
{
	(void)state;
	FACT_IS(conntrack_number, 65535);
	FACT_IS(conntrack_max, 65536);
	nothing();
	FACT_IS(conntrack_number, 65536);
	assert_true(evidence(found(VIEW_FINDING_conntrack_full), "65,536 entries"));
	/* Just below, while it drops. */
	FACT_IS(conntrack_number, 65530);
	FACT_WAS(conntrack_drops, 7);
	FACT_IS(conntrack_drops, 9);
	assert_true(evidence(found(VIEW_FINDING_conntrack_full), "2 packets dropped"));
	FACT_IS(conntrack_number, 1000);
	nothing();
	w.host[0].known = 0;
	nothing();
}

/* N calls to one port of another machine. */
static void call(unsigned n, enum cpl_state state, struct cpl_addr to)
{
	struct cpl_info x;

	end_init(&x, 0);
	x.state = (uint8_t)state;
	x.remote_addr = to;
	for (unsigned i = 0; i < n; i++)
		seen_more(&x, (uint16_t)(50000 + i));
}

static void ports_exhausted(void **state)
{
	const struct view_finding *f;

	(void)state;
	FACT_IS(port_low, 50000);
	FACT_IS(port_high, 50019);
	FACT_IS(tw_reuse, 2);
	call(19, CPL_ESTABLISHED, cpl_addr4(10, 0, 0, 9));
	nothing();
	call(20, CPL_ESTABLISHED, cpl_addr4(10, 0, 0, 8));
	f = found(VIEW_FINDING_ports_exhausted);
	assert_true(evidence(f, "20 of the 20 ports from 50000 to 50019"));
	assert_non_null(strstr(f->about, "10.0.0.8:80"));
}

static void ports_in_time_wait(void **state)
{
	(void)state;
	FACT_IS(port_low, 50000);
	FACT_IS(port_high, 50019);
	FACT_IS(tw_reuse, 1);
	call(20, CPL_TIME_WAIT, cpl_addr4(10, 0, 0, 9));
	nothing(); /* they are used again */
	FACT_IS(tw_reuse, 0);
	assert_true(evidence(found(VIEW_FINDING_ports_exhausted), "20 of them by TIME-WAIT"));
	FACT_IS(port_low, 40000);
	nothing();
}

static void rp_filter(void **state)
{
	(void)state;
	seen_drop(cpl_addr4(192, 0, 2, 9), 1234, w.own[1], 80, "IP_RPFILTER", 3);
	nothing(); /* of nobody's connection: the filter does what it is for */
	seen_drop(w.own[0], 40000, w.own[1], 80, "IP_RPFILTER", 3);
	assert_true(evidence(found(VIEW_FINDING_rp_filter), "3 packets from 10.0.0.1:40000"));
	w.event[1].netns = NETNS + 1; /* of a namespace that was not looked at */
	nothing();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SEEN(accept_queue_full),
		SEEN(a_queue_with_room_is_not_full),
		SEEN(an_idle_listener_without_backlog_is_healthy),
		SEEN(callers_of_a_full_queue_are_explained),
		SEEN(a_stopped_server_explains_its_queue),
		SEEN(a_server_without_descriptors_explains_its_queue),
		SEEN(syn_queue_full),
		SEEN(fd_limit),
		SEEN(stopped_with_unread_data),
		SEEN(conntrack_full),
		SEEN(ports_exhausted),
		SEEN(ports_in_time_wait),
		SEEN(rp_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
