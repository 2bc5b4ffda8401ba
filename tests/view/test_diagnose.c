/* SPDX-License-Identifier: MIT */
/* The rules of doctor about single connections: what each says, and of which neighbours nothing. */
#include "tests/view/seen.h"

/* ---- Healthy --------------------------------------------------------------------------------- */

static void a_healthy_pair_is_healthy(void **state)
{
	(void)state;
	nothing();
	assert_int_equal(w.d.connections, 2);
	assert_int_equal(w.d.pairs, 1);
	assert_true(w.d.checks >= 7);
	assert_int_equal(w.d.unseen, 0);
}

static void what_was_not_seen_is_told(void **state)
{
	(void)state;
	w.passes = 1;
	w.no_facts = true;
	nothing();
	assert_int_equal(w.d.unseen, 2);
}

/* ---- Half-open ------------------------------------------------------------------------------- */

static void half_open(void **state)
{
	const struct view_finding *f;

	(void)state;
	seen_gone(Y);
	f = found(VIEW_FINDING_half_open);
	assert_int_equal(f->certainty, VIEW_DERIVED);
	assert_int_equal(f->pid, 4711);
	assert_true(evidence(f, "10.0.0.2:80 was asked"));
	/* On the loopback too, without knowing any address. */
	w.owns = 0;
	ALL(X, local_addr, cpl_addr4(127, 0, 0, 1));
	ALL(X, remote_addr, cpl_addr4(127, 0, 0, 1));
	found(VIEW_FINDING_half_open);
}

static void not_half_open(void **state)
{
	static const uint8_t states[] = { CPL_TIME_WAIT, CPL_SYN_RECEIVED, CPL_LAST_ACK,
					  CPL_CLOSING };

	(void)state;
	seen_gone(Y);
	w.own[1] = cpl_addr4(10, 0, 0, 3); /* its host was not asked */
	nothing();
	w.own[1] = cpl_addr4(10, 0, 0, 2);

	w.complete = false;
	nothing();
	w.complete = true;
	for (size_t i = 0; i < sizeof(states); i++) {
		ALL(X, state, states[i]);
		nothing();
	}
	ALL(X, state, CPL_ESTABLISHED);
	LATER(X, segs_in, 7); /* somebody answers */
	w.info[1][X].segs_in = 6;
	cpl_info_mark_read(&w.info[1][X], CPL_F_segs_in);
	nothing();
	UNKNOWN(X, segs_in);
	found(VIEW_FINDING_half_open);
	w.gone[2][X] = true; /* it has ended */
	nothing();
	w.gone[2][X] = false;
	ALL(X, attached, 0); /* nobody holds it: the kernel ends it */
	nothing();
	ALL(X, attached, 1);
	ALL(X, state, CPL_FIN_WAIT_2);
	ALL(X, timer_close, 5 * SECOND);
	nothing();
}

static void another_namespace_counts_if_it_was_asked(void **state)
{
	(void)state;
	seen_gone(Y);
	w.all_namespaces = false;
	found(VIEW_FINDING_half_open); /* the address is of its own namespace */
	w.host[0].addrs = 1;
	nothing();
}

static void translated_ends_are_not_missed(void **state)
{
	(void)state;
	seen_gone(Y);
	FACT_IS(conntrack_number, 12);
	assert_int_equal(found(VIEW_FINDING_half_open)->certainty, VIEW_GUESS);
	UNKNOWN(X, snd_una);
	nothing();
}

/* ---- Disagreement ---------------------------------------------------------------------------- */

static void forged_bytes(void **state)
{
	const struct view_finding *f;

	(void)state;
	for (unsigned pass = 0; pass < 3; pass++)
		end_receives(&w.info[pass][Y], 10);
	f = found(VIEW_FINDING_forged_bytes);
	assert_int_equal(f->certainty, VIEW_CERTAIN);
	assert_true(evidence(f, "10 bytes"));
}

static void bytes_on_the_way_are_not_forged(void **state)
{
	(void)state;
	/* Y read after X had sent more: the second pass tells. */
	end_receives(&w.info[0][Y], 10);
	for (unsigned pass = 1; pass < 3; pass++) {
		end_receives(&w.info[pass][Y], 10);
		end_sends(&w.info[pass][X], 10);
		end_acked(&w.info[pass][X], 10);
	}
	nothing();
}

static void desynchronised(void **state)
{
	(void)state;
	for (unsigned pass = 0; pass < 3; pass++) {
		w.info[pass][X].snd_una += 100000;
		w.info[pass][X].snd_nxt += 100000;
		w.info[pass][X].iss += 100000;
	}
	found(VIEW_FINDING_desynchronised);
	/* In both directions: still not forged. */
	for (unsigned pass = 0; pass < 3; pass++)
		w.info[pass][X].rcv_nxt += 5000;
	found(VIEW_FINDING_desynchronised);
}

static void states_that_cannot_be(void **state)
{
	(void)state;
	ALL(X, state, CPL_FIN_WAIT_2);
	w.info[0][X].state = w.info[1][X].state = CPL_ESTABLISHED;
	nothing(); /* it has just become so */
}

/* ---- The window ------------------------------------------------------------------------------ */

static void close_window(void)
{
	ALL(X, snd_wnd, 0);
	ALL(X, not_sent, 50000);
	ALL(X, send_queue, 50000);
	ALL(X, write_seq, w.info[0][X].snd_nxt + 50000);
	ALL(X, timer_persist, SECOND);
	ALL(Y, rcv_wnd, 0);
	ALL(Y, rcv_edge, w.info[0][Y].rcv_nxt);
	ALL(Y, recv_queue, 65536);
}

static void zero_window_stuck(void **state)
{
	const struct view_finding *f;

	(void)state;
	close_window();
	f = found(VIEW_FINDING_zero_window_stuck);
	assert_int_equal(f->certainty, VIEW_CERTAIN);
	assert_int_equal(f->pid, 812);
	assert_string_equal(f->program, "nginx");
	assert_true(evidence(f, "65,536 bytes unread"));
	assert_true(evidence(f, "50,000 bytes back"));
}

static void slow_readers_are_given_time(void **state)
{
	(void)state;
	close_window();
	w.later_ns = SECOND;
	nothing();
	assert_int_equal(w.longer, 3 * SECOND);
	assert_int_equal(w.d.unseen, 1);
	w.later_ns = 3 * SECOND;
	LATER(Y, read_seq, w.info[1][Y].read_seq + 1); /* one byte was read */
	nothing();
	assert_int_equal(w.longer, 0);
}

static void unread_data_is_no_trouble_while_nobody_waits(void **state)
{
	(void)state;
	ALL(Y, recv_queue, 65536);
	nothing();
	close_window();
	ALL(X, not_sent, 0);
	ALL(X, send_queue, 0);
	ALL(X, timer_persist, CPL_TIMER_OFF);
	nothing();
}

static void a_closed_window_of_another_machine(void **state)
{
	const struct view_finding *f;

	(void)state;
	close_window();
	seen_gone(Y);
	w.owns = w.host[0].addrs = 1;
	nothing();
	ALL(X, last_sent, 20 * SECOND);
	f = found(VIEW_FINDING_zero_window_stuck);
	assert_int_equal(f->certainty, VIEW_DERIVED);
	assert_int_equal(f->pid, 0);
	LATER(X, snd_una, w.info[1][X].snd_una + 1); /* it moves */
	nothing();
}

static void a_stopped_reader_is_the_cause(void **state)
{
	const struct view_finding *f;

	(void)state;
	close_window();
	w.later_ns = SECOND;
	w.process[0].state = w.process_before[0].state = 'T';
	f = found(VIEW_FINDING_process_stopped);
	assert_int_equal(f->pid, 812);
	assert_true(evidence(f, "65,536 bytes lie unread"));
	assert_true(strstr(f->next, "kill -CONT 812"));
}

static void a_stopped_program_that_nothing_waits_for_is_none(void **state)
{
	(void)state;
	w.process[0].state = w.process_before[0].state = 'T';
	nothing();
	ALL(Y, recv_queue, 100);
	w.process_before[0].state = 'S'; /* it was running a moment ago */
	w.process[0].state = 't';
	nothing();
}

/* ---- No acknowledgment ----------------------------------------------------------------------- */

static void send_again(unsigned times)
{
	for (unsigned pass = 0; pass < 3; pass++)
		end_sends(&w.info[pass][X], 4000);
	ALL(X, rexmt_count, (uint8_t)times);
	ALL(X, retrans, times);
	ALL(X, pmtu, 1500);
}

static void black_hole(void **state)
{
	const struct view_finding *f;

	(void)state;
	for (unsigned pass = 0; pass < 3; pass++)
		w.info[pass][X].bytes_acked = 100000;
	send_again(4);
	f = found(VIEW_FINDING_black_hole);
	assert_int_equal(f->certainty, VIEW_DERIVED);
	assert_true(evidence(f, "the oldest 5 times"));
	seen_gone(Y);
	w.owns = w.host[0].addrs = 1;
	assert_int_equal(found(VIEW_FINDING_black_hole)->certainty, VIEW_GUESS);
	seen_drop(w.own[0], 40000, cpl_addr4(10, 0, 0, 2), 80, "NETFILTER_DROP", 2);
	f = found(VIEW_FINDING_black_hole);
	assert_int_equal(f->certainty, VIEW_CERTAIN);
	assert_true(evidence(f, "firewall rule"));
}

static void filtered_by_the_reverse_path(void **state)
{
	(void)state;
	ALL(X, bytes_acked, 100000);
	send_again(6);
	FACT_IS(rp_filter_drops, 5);
	found(VIEW_FINDING_black_hole);
	FACT_IS(rp_filter_drops, 6);
	assert_int_equal(found(VIEW_FINDING_rp_filter)->certainty, VIEW_GUESS);
	seen_drop(w.own[0], 40000, w.own[1], 80, "NETFILTER_DROP", 2);
	found(VIEW_FINDING_black_hole);
}

static void loss_is_no_black_hole(void **state)
{
	(void)state;
	send_again(3);
	nothing();
	send_again(4);
	for (unsigned pass = 0; pass < 2; pass++) /* it moved since */
		w.info[pass][X].snd_una -= 1448;
	nothing();
}

static void a_drop_that_is_due_is_waited_for(void **state)
{
	(void)state;
	send_again(4);
	w.facts.watched = true;
	w.later_ns = SECOND;
	ALL(X, timer_rexmt, 2 * SECOND);
	diagnose();
	assert_int_equal(w.longer, 3 * SECOND + SECOND / 5);
	ALL(X, timer_rexmt, 20 * SECOND); /* too late */
	diagnose();
	assert_int_equal(w.longer, 0);
	assert_int_equal(w.d.n, 1);
}

static void ack_path_broken(void **state)
{
	const struct view_finding *f;

	(void)state;
	send_again(4);
	for (unsigned pass = 0; pass < 3; pass++)
		end_receives(&w.info[pass][Y], 4000);
	f = found(VIEW_FINDING_ack_path_broken);
	assert_int_equal(f->certainty, VIEW_CERTAIN);
	assert_true(evidence(f, "4,000 bytes of these"));
	/* Only in the last pass: the ACK may be on its way. */
	for (unsigned pass = 0; pass < 2; pass++)
		end_receives(&w.info[pass][Y], (uint32_t)-4000);
	diagnose();
	assert_true(w.d.n == 0 || w.d.finding[0].id != VIEW_FINDING_ack_path_broken);
}

static void mtu_black_hole(void **state)
{
	const struct view_finding *f;

	(void)state;
	send_again(4);
	ALL(Y, ooo_bytes, 1104); /* the end of it, which is short, has arrived */
	f = found(VIEW_FINDING_mtu_black_hole);
	assert_int_equal(f->certainty, VIEW_DERIVED);
	assert_true(evidence(f, "1,104 bytes that came later"));
	/* Nothing arrived, and only short ones ever did. */
	ALL(Y, ooo_bytes, 0);
	ALL(X, bytes_acked, 300);
	assert_int_equal(found(VIEW_FINDING_mtu_black_hole)->certainty, VIEW_GUESS);
	/* Of another machine nothing was heard: who knows. */
	seen_gone(Y);
	w.owns = w.host[0].addrs = 1;
	found(VIEW_FINDING_black_hole);
	ALL(X, segs_in, 7);
	LATER(X, segs_in, 8);
	found(VIEW_FINDING_mtu_black_hole);
	memset(w.gone, 0, sizeof(w.gone));
	w.owns = w.host[0].addrs = 2;
	/* The kernel said so. */
	ALL(X, bytes_acked, 300000);
	seen_drop(w.own[0], 40000, w.own[1], 80, "PKT_TOO_BIG", 3);
	f = found(VIEW_FINDING_mtu_black_hole);
	assert_int_equal(f->certainty, VIEW_CERTAIN);
}

static void short_segments_that_vanish_are_no_mtu_trouble(void **state)
{
	(void)state;
	for (unsigned pass = 0; pass < 3; pass++)
		end_sends(&w.info[pass][X], 300);
	ALL(X, rexmt_count, 5);
	ALL(X, bytes_acked, 300);
	found(VIEW_FINDING_black_hole);
}

static void syn_not_answered(void **state)
{
	const struct view_finding *f;

	(void)state;
	seen_gone(Y);
	ALL(X, state, CPL_SYN_SENT);
	ALL(X, rexmt_count, 1);
	nothing();
	ALL(X, rexmt_count, 3);
	f = found(VIEW_FINDING_syn_not_answered);
	assert_true(evidence(f, "its SYN 4 times"));
	assert_string_equal(f->next, "Ask for the reason: couplet doctor 10.0.0.2 80.");
	ALL(X, soft_error, 113);
	assert_true(evidence(found(VIEW_FINDING_syn_not_answered), "No route to host"));
}

/* ---- Closing --------------------------------------------------------------------------------- */

static void leave_close_wait(void)
{
	ALL(Y, state, CPL_CLOSE_WAIT);
	ALL(X, state, CPL_FIN_WAIT_2);
	ALL(X, attached, 0);
	ALL(X, timer_close, 50 * SECOND);
	for (unsigned pass = 0; pass < 3; pass++) {
		w.info[pass][X].snd_una = ++w.info[pass][X].snd_nxt;
		w.info[pass][Y].rcv_nxt++;
		w.info[pass][Y].rcv_edge++;
	}
	ALL(Y, last_ack, SECOND / 2);
}

static void close_wait_stuck(void **state)
{
	const struct view_finding *f;

	(void)state;
	leave_close_wait();
	f = found(VIEW_FINDING_close_wait_stuck);
	assert_int_equal(f->pid, 812);
	assert_int_equal(f->certainty, VIEW_DERIVED);
	ALL(Y, last_ack, 70 * SECOND);
	assert_int_equal(found(VIEW_FINDING_close_wait_stuck)->certainty, VIEW_CERTAIN);
	seen_gone(X); /* its time is over */
	assert_true(evidence(found(VIEW_FINDING_close_wait_stuck), "does not exist any more"));
}

static void a_short_close_wait_is_healthy(void **state)
{
	(void)state;
	leave_close_wait();
	w.later_ns = SECOND;
	nothing();
	assert_int_equal(w.longer, 3 * SECOND);
	w.later_ns = 3 * SECOND;
	LATER(Y, write_seq, w.info[1][Y].write_seq + 100); /* it still writes */
	nothing();
	LATER(Y, write_seq, w.info[1][Y].write_seq);
	ALL(Y, send_queue, 100);
	nothing();
	ALL(Y, send_queue, 0);
	ALL(Y, attached, 0); /* not accepted yet */
	nothing();
}

static void the_open_half_may_be_in_use(void **state)
{
	(void)state;
	leave_close_wait();
	ALL(X, attached, 1); /* shutdown(): it waits for an answer */
	ALL(X, timer_close, CPL_TIMER_OFF);
	ALL(Y, last_ack, 60 * SECOND);
	nothing();
	ALL(Y, last_ack, 600 * SECOND);
	found(VIEW_FINDING_close_wait_stuck);
}

static void many_close_waits_are_one_finding(void **state)
{
	struct cpl_info y;

	(void)state;
	leave_close_wait();
	ALL(X, attached, 1);
	ALL(Y, last_ack, 2 * SECOND);
	y = w.info[0][Y];
	seen_gone(X);
	w.owns = w.host[0].addrs = 1; /* their peers are elsewhere */
	w.own[0] = w.own[1];
	for (unsigned i = 0; i < 8; i++)
		seen_more(&y, (uint16_t)(50000 + i));
	nothing();
	for (unsigned i = 8; i < 300; i++)
		seen_more(&y, (uint16_t)(50000 + i));
	assert_int_equal(found(VIEW_FINDING_close_wait_stuck)->times, 301);
}

static void fin_wait_2_stuck(void **state)
{
	(void)state;
	seen_gone(Y);
	w.owns = w.host[0].addrs = 1;
	ALL(X, state, CPL_FIN_WAIT_2);
	ALL(X, last_ack, SECOND);
	nothing();
	assert_int_equal(w.longer, 5 * SECOND);
	w.later_ns = 5 * SECOND;
	assert_int_equal(found(VIEW_FINDING_fin_wait_2_stuck)->certainty, VIEW_GUESS);
	LATER(X, rcv_nxt, w.info[1][X].rcv_nxt + 1000); /* the answer comes */
	nothing();
	LATER(X, rcv_nxt, w.info[1][X].rcv_nxt);
	ALL(X, timer_close, 30 * SECOND); /* nobody waits, the kernel ends it */
	nothing();
}

/* ---- Speed ----------------------------------------------------------------------------------- */

static void chat(void)
{
	w.later_ns = SECOND;
	for (unsigned pass = 0; pass < 3; pass++)
		end_sends(&w.info[pass][X], 100);
	ALL(X, not_sent, 100);
	ALL(X, send_queue, 200);
	ALL(X, nodelay, 0);
	ALL(X, rtt_min, 100000);
	ALL(X, why, CPL_WHY_NAGLE);
	ALL(X, data_segs_out, 1000);
	LATER(X, data_segs_out, 1048);
	w.info[2][X].bytes_acked += 4800;
	w.info[2][X].snd_una += 4800;
	w.info[2][X].snd_nxt += 4800;
	w.info[2][Y].rcv_nxt += 4800;
	w.info[2][Y].rcv_edge += 4800;
	ALL(Y, timer_delack, 30000000);
}

static void nagle_delayed_ack(void **state)
{
	const struct view_finding *f;

	(void)state;
	chat();
	f = found(VIEW_FINDING_nagle_delayed_ack);
	assert_int_equal(f->pid, 4711);
	assert_int_equal(f->certainty, VIEW_DERIVED);
}

static void not_nagle(void **state)
{
	(void)state;
	chat();
	ALL(X, nodelay, 1);
	nothing();
	chat();
	ALL(X, rtt_min, 80000000); /* the path is as long as that */
	nothing();
	ALL(X, rtt_min, 100000);
	LATER(X, data_segs_out, 5000); /* too fast for delayed ACKs */
	nothing();
	LATER(X, data_segs_out, 1048);
	w.info[1][X].not_sent = 0; /* seen once */
	nothing();
}

static void what_limits_is_told_only_if_wanted(void **state)
{
	(void)state;
	ALL(X, not_sent, 100000);
	w.info[2][X].bytes_acked += 1000000;
	nothing();
	w.remarks = true;
	assert_int_equal(found(VIEW_FINDING_limited_by_network)->pid, 4711);
	assert_false(view_diagnosis_trouble(&w.d));
	ALL(X, why_time_rwnd, 0);
	LATER(X, why_time_rwnd, 2 * SECOND);
	assert_int_equal(found(VIEW_FINDING_limited_by_receiver)->pid, 812);
	assert_false(view_diagnosis_trouble(&w.d));
	ALL(X, why_time_rwnd, 0);
	ALL(X, not_sent, 0);
	assert_int_equal(found(VIEW_FINDING_limited_by_sender)->pid, 4711);
	/* With the time that had data to send, the same words as "couplet show" has. */
	ALL(X, why_time_busy, 0);
	LATER(X, why_time_busy, 2 * SECOND);
	ALL(X, why_time_sndbuf, 0);
	LATER(X, why_time_sndbuf, 2 * SECOND);
	assert_int_equal(found(VIEW_FINDING_limited_by_buffer)->pid, 4711);
	assert_non_null(strstr(w.d.finding[0].evidence[1],
			       "for 100 % of 2.000 s with data to send the send buffer was full"));
}

/* ---- One that was named ---------------------------------------------------------------------- */

static void only_what_was_named_is_told(void **state)
{
	struct cpl_info y;

	(void)state;
	close_window();
	y = w.info[0][Y];
	y.remote_port = 41000;
	y.state = CPL_CLOSE_WAIT;
	y.recv_queue = 0;
	CPL_INFO_READ(&y, last_ack, 1000 * SECOND);
	seen_add(&y);
	diagnose();
	assert_int_equal(w.d.n, 2);
	w.by_name = true;
	w.wanted[X] = true;
	found(VIEW_FINDING_zero_window_stuck);
	w.wanted[X] = false;
	w.wanted[2] = true;
	found(VIEW_FINDING_close_wait_stuck);
	assert_int_equal(w.d.connections, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		SEEN(a_healthy_pair_is_healthy),
		SEEN(what_was_not_seen_is_told),
		SEEN(half_open),
		SEEN(not_half_open),
		SEEN(another_namespace_counts_if_it_was_asked),
		SEEN(translated_ends_are_not_missed),
		SEEN(forged_bytes),
		SEEN(bytes_on_the_way_are_not_forged),
		SEEN(desynchronised),
		SEEN(states_that_cannot_be),
		SEEN(zero_window_stuck),
		SEEN(slow_readers_are_given_time),
		SEEN(unread_data_is_no_trouble_while_nobody_waits),
		SEEN(a_closed_window_of_another_machine),
		SEEN(a_stopped_reader_is_the_cause),
		SEEN(a_stopped_program_that_nothing_waits_for_is_none),
		SEEN(black_hole),
		SEEN(filtered_by_the_reverse_path),
		SEEN(loss_is_no_black_hole),
		SEEN(a_drop_that_is_due_is_waited_for),
		SEEN(ack_path_broken),
		SEEN(mtu_black_hole),
		SEEN(short_segments_that_vanish_are_no_mtu_trouble),
		SEEN(syn_not_answered),
		SEEN(close_wait_stuck),
		SEEN(a_short_close_wait_is_healthy),
		SEEN(the_open_half_may_be_in_use),
		SEEN(many_close_waits_are_one_finding),
		SEEN(fin_wait_2_stuck),
		SEEN(nagle_delayed_ack),
		SEEN(not_nagle),
		SEEN(what_limits_is_told_only_if_wanted),
		SEEN(only_what_was_named_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
