/* SPDX-License-Identifier: MIT */
/* Linux's struct tcp_info as a snapshot: lengths of older kernels, and what is derived. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "source/tcp_info.h"

/* The client's end of a quiet connection that it opened: 5000 bytes sent once, all acknowledged. */
static struct linux_tcp_info quiet(void)
{
	struct linux_tcp_info t = {
		.state = LINUX_ESTABLISHED,
		.options = LINUX_OPT_TIMESTAMPS | LINUX_OPT_SACK | LINUX_OPT_WSCALE,
		.wscales = 7 | 9 << 4,
		.rto = 204000,
		.snd_mss = 1000,
		.rcv_mss = 536,
		.advmss = 1460,
		.pmtu = 1500,
		.rtt = 40000,
		.rttvar = 2000,
		.snd_ssthresh = LINUX_INFINITE_SSTHRESH,
		.snd_cwnd = 10,
		.bytes_acked = 5001, /* and the SYN */
		.bytes_sent = 5000,
		.bytes_received = 70,
		.data_segs_in = 1,
		.data_segs_out = 5,
		.min_rtt = UINT32_MAX,
		.pacing_rate = UINT64_MAX,
		.snd_wnd = 64000,
		.rcv_wnd = 65000,
		.last_data_sent = 12,
	};

	return t;
}

static struct cpl_info fill(const struct linux_tcp_info *t, size_t len, uint32_t send_queue)
{
	struct cpl_info i;

	memset(&i, 0, sizeof(i));
	CPL_INFO_READ(&i, state, linux_state_cpl(t->state));
	CPL_INFO_READ(&i, send_queue, send_queue);
	tcp_info_fill(&i, t, len);
	return i;
}

static struct cpl_info fill_all(const struct linux_tcp_info *t, uint32_t send_queue)
{
	return fill(t, sizeof(*t), send_queue);
}

static void units(void **state)
{
	struct linux_tcp_info t = quiet();
	struct cpl_info i = fill_all(&t, 0);

	(void)state;
	assert_int_equal(i.rto, 204000000);
	assert_int_equal(i.srtt, 40000000);
	assert_int_equal(i.rttvar, 2000000);
	assert_int_equal(i.cwnd, 10000);
	assert_true(cpl_info_is_derived(&i, CPL_F_cwnd));
	assert_false(cpl_info_is_read(&i, CPL_F_cwnd));
	assert_int_equal(i.ssthresh, UINT32_MAX);
	assert_true(cpl_info_is_read(&i, CPL_F_ssthresh));
	assert_int_equal(i.snd_wscale, 7);
	assert_int_equal(i.rcv_wscale, 9);
	assert_int_equal(i.rcv_mss, 1460);
	assert_int_equal(i.rcv_mss_est, 536);
	assert_int_equal(i.options, CPL_OPT_BIT_TS | CPL_OPT_BIT_SACK | CPL_OPT_BIT_WSCALE);
	assert_int_equal(i.last_sent, 12000000);
	assert_false(cpl_info_known(&i, CPL_F_rtt_min));     /* all ones */
	assert_false(cpl_info_known(&i, CPL_F_pacing_rate)); /* all ones */
	assert_false(cpl_info_known(&i, CPL_F_delivery_rate));
	assert_false(cpl_info_known(&i, CPL_F_snd_nxt));
	assert_false(cpl_info_known(&i, CPL_F_iss));
	t.snd_ssthresh = 7;
	i = fill_all(&t, 0);
	assert_int_equal(i.ssthresh, 7000);
	assert_false(cpl_info_is_read(&i, CPL_F_ssthresh));
}

/* Each kernel fills as much as it knows: 4.0, 4.9, 5.4, 6.1, and a later one than we know. */
static void lengths(void **state)
{
	static const struct {
		size_t len;
		enum cpl_field last, missing;
	} table[] = {
		{ 104, CPL_F_retrans, CPL_F_bytes_received },
		{ 136, CPL_F_bytes_received, CPL_F_segs_in },
		{ 144, CPL_F_segs_in, CPL_F_not_sent },
		{ 192, CPL_F_why_time_rwnd, CPL_F_bytes_sent },
		{ 232, CPL_F_snd_wnd, CPL_F_rcv_wnd },
		{ 240, CPL_F_rcv_wnd, CPL_F_rto_count },
		{ 248, CPL_F_rto_count, CPL_F_snd_una },
	};
	struct linux_tcp_info t = quiet();
	char longer[400] = { 0 };
	struct cpl_info i;

	(void)state;
	for (size_t n = 0; n < sizeof(table) / sizeof(*table); n++) {
		i = fill(&t, table[n].len, 0);
		assert_true(cpl_info_known(&i, table[n].last));
		assert_false(cpl_info_known(&i, table[n].missing));
		/* One byte less is not that field. */
		i = fill(&t, table[n].len - 9, 0);
		assert_false(cpl_info_known(&i, table[n].last));
	}
	memcpy(longer, &t, sizeof(t));
	memset(&i, 0, sizeof(i));
	CPL_INFO_READ(&i, state, CPL_ESTABLISHED);
	tcp_info_fill(&i, longer, sizeof(longer));
	assert_int_equal(i.snd_wnd, 64000);
	/* Nothing, or nonsense, fills nothing. */
	i = fill(&t, 0, 0);
	assert_false(cpl_info_known(&i, CPL_F_rto));
}

/* SYN and FIN are not payload; who sent the SYN shows in the sum. */
static void byte_counters(void **state)
{
	struct linux_tcp_info t = quiet();
	struct cpl_info i = fill_all(&t, 0);

	(void)state;
	assert_int_equal(i.bytes_acked, 5000);
	assert_true(cpl_info_is_derived(&i, CPL_F_bytes_acked));
	assert_true(cpl_info_is_derived(&i, CPL_F_passive));
	assert_int_equal(i.passive, 0);

	t.bytes_acked = 5000; /* the peer opened */
	i = fill_all(&t, 0);
	assert_int_equal(i.bytes_acked, 5000);
	assert_true(cpl_info_is_read(&i, CPL_F_bytes_acked));
	assert_int_equal(i.passive, 1);
	assert_true(cpl_info_known(&i, CPL_F_passive));

	/* 1000 of 5000 in flight, 300 not sent. */
	t.bytes_acked = 4001;
	t.notsent_bytes = 300;
	i = fill_all(&t, 1300);
	assert_int_equal(i.in_flight, 1000);
	assert_int_equal(i.bytes_acked, 4000);
	assert_int_equal(i.passive, 0);
	assert_true(cpl_info_known(&i, CPL_F_passive));

	/* 2000 were sent again. */
	t.bytes_sent = 7000;
	t.bytes_retrans = 2000;
	i = fill_all(&t, 1300);
	assert_int_equal(i.bytes_acked, 4000);
	assert_true(cpl_info_known(&i, CPL_F_passive));

	/* What does not add up is not guessed: the queue moved between two looks. */
	i = fill_all(&t, 1400);
	assert_false(cpl_info_known(&i, CPL_F_passive));
	assert_int_equal(i.bytes_acked, 4001);
}

static void fins(void **state)
{
	struct linux_tcp_info t = quiet();
	struct cpl_info i;

	(void)state;
	/* Our FIN is in flight behind all data. */
	t.state = LINUX_FIN_WAIT1;
	i = fill_all(&t, 1);
	assert_int_equal(i.bytes_acked, 5000);
	assert_int_equal(i.passive, 0);
	assert_true(cpl_info_known(&i, CPL_F_passive));
	/* It waits behind 300 bytes that are not sent. */
	t.notsent_bytes = 301;
	i = fill_all(&t, 301);
	assert_int_equal(i.bytes_acked, 5000);
	assert_true(cpl_info_known(&i, CPL_F_passive));
	/* It is acknowledged. */
	t.notsent_bytes = 0;
	t.state = LINUX_FIN_WAIT2;
	t.bytes_acked = 5002;
	i = fill_all(&t, 0);
	assert_int_equal(i.bytes_acked, 5000);
	assert_int_equal(i.passive, 0);
	assert_true(cpl_info_known(&i, CPL_F_passive));
	assert_int_equal(i.bytes_received, 70);
	/* The peer's came. */
	t.state = LINUX_CLOSE_WAIT;
	t.bytes_acked = 5001;
	t.bytes_received = 71;
	i = fill_all(&t, 0);
	assert_int_equal(i.bytes_received, 70);
	assert_true(cpl_info_is_derived(&i, CPL_F_bytes_received));
}

static void why(void **state)
{
	struct linux_tcp_info t = quiet();
	struct cpl_info i = fill_all(&t, 0);

	(void)state;
	assert_int_equal(i.why, CPL_WHY_IDLE);
	assert_true(cpl_info_is_derived(&i, CPL_F_why));

	t.notsent_bytes = 20000;
	t.unacked = 10;
	i = fill_all(&t, 30000);
	assert_int_equal(i.why, CPL_WHY_CWND);
	assert_int_equal(i.pipe, 10000);

	t.snd_wnd = 5500;
	t.unacked = 5;
	i = fill_all(&t, 25000);
	assert_int_equal(i.why, CPL_WHY_RWND);

	t.snd_wnd = 0;
	i = fill_all(&t, 20000);
	assert_int_equal(i.why, CPL_WHY_ZERO_WND);

	t.snd_wnd = 64000;
	t.notsent_bytes = 10;
	t.unacked = 1;
	i = fill_all(&t, 110);
	assert_int_equal(i.why, CPL_WHY_NAGLE);

	/* Room in both windows and much to send: not to be told from here. */
	t.notsent_bytes = 9000;
	i = fill_all(&t, 9100);
	assert_false(cpl_info_known(&i, CPL_F_why));

	t.busy_time = 900;
	t.rwnd_limited = 200;
	t.sndbuf_limited = 100;
	i = fill_all(&t, 0);
	assert_int_equal(i.why_time_rwnd, 200000);
	assert_int_equal(i.why_time_sndbuf, 100000);
	assert_int_equal(i.why_time_busy, 900000);
	assert_false(cpl_info_known(&i, CPL_F_why_time_sending)); /* not divided by Linux */
	assert_false(cpl_info_known(&i, CPL_F_why_time_memory));

	t.reord_seen = 3;
	t.delivered_ce = 5;
	t.delivery_rate = 125000;
	i = fill_all(&t, 0);
	assert_int_equal(i.reorderings, 3);
	assert_int_equal(i.reordering_seen, 1);
	assert_int_equal(i.delivery_rate, 125000);
	assert_int_equal(i.delivery_app_limited, 0);
	assert_false(cpl_info_known(&i, CPL_F_delivered_ce)); /* ECN was not agreed */
	assert_false(cpl_info_known(&i, CPL_F_ce_in));
	t.options |= LINUX_OPT_ECN;
	t.app_bits = LINUX_RATE_APP_LIMITED;
	t.received_ce = 2;
	i = fill_all(&t, 0);
	assert_int_equal(i.delivered_ce, 5);
	assert_int_equal(i.ce_in, 2);
	assert_int_equal(i.delivery_app_limited, 1);
}

static void loss(void **state)
{
	struct linux_tcp_info t = quiet();
	struct cpl_info i;

	(void)state;
	t.ca_state = 3;
	t.unacked = 10;
	t.sacked = 3;
	t.lost = 2;
	t.retrans = 1;
	i = fill_all(&t, 9500);
	assert_int_equal(i.recovery, CPL_RECOVERY_FAST);
	assert_int_equal(i.pipe, 6000);
	assert_int_equal(i.sacked, 3000);
	assert_int_equal(i.lost, 2000);
	assert_false(cpl_info_known(&i, CPL_F_dup_acks));
	t.sacked = 10; /* ten short segments: never more than is in flight */
	t.lost = 0;
	i = fill_all(&t, 800);
	assert_int_equal(i.sacked, 800);
	t.options = 0; /* without SACK Linux counts duplicate ACKs there */
	i = fill_all(&t, 800);
	assert_int_equal(i.dup_acks, 10);
	assert_false(cpl_info_known(&i, CPL_F_sacked));
	t.sacked = 99; /* nonsense does not wrap */
	i = fill_all(&t, 800);
	assert_int_equal(i.pipe, 0);
}

/* Accurate ECN: agreed if it left something; old kernels and classic ECN say nothing. */
static void accurate_ecn(void **state)
{
	struct linux_tcp_info t = quiet();
	struct cpl_info i;

	(void)state;
	i = fill_all(&t, 0);
	assert_false(cpl_info_known(&i, CPL_F_ecn_capable));
	t.options |= LINUX_OPT_ECN;
	i = fill_all(&t, 0);
	assert_int_equal(i.options & (CPL_OPT_BIT_ECN | CPL_OPT_BIT_ACCECN), CPL_OPT_BIT_ECN);
	assert_int_equal(i.ecn_capable, 1);
	assert_false(cpl_info_known(&i, CPL_F_accecn_option));
	t.received_e0_bytes = 70;
	t.received_ce_bytes = 30;
	t.received_ce = 2;
	t.delivered_ce_bytes = 4000;
	t.delivered_ce = 4;
	i = fill_all(&t, 0);
	assert_true(i.options & CPL_OPT_BIT_ACCECN);
	assert_int_equal(i.accecn_option, CPL_ACCECN_SENT);
	assert_int_equal(i.ce_in, 2);
	assert_int_equal(i.received_ce_bytes, 30);
	assert_int_equal(i.received_e0_bytes, 70);
	assert_int_equal(i.delivered_ce, 4);
	assert_false(cpl_info_known(&i, CPL_F_delivered_ce_bytes)); /* no option came */
	t.accecn_opt_seen = LINUX_ACC_COUNTER_SEEN;
	i = fill_all(&t, 0);
	assert_int_equal(i.accecn_option, CPL_ACCECN_SENT | CPL_ACCECN_SEEN);
	assert_int_equal(i.delivered_ce_bytes, 4000);
	t.accecn_fail_mode = LINUX_ACE_FAIL_RECV | LINUX_ACC_FAIL_SEND | LINUX_ACC_FAIL_RECV;
	i = fill_all(&t, 0);
	assert_int_equal(i.ecn_capable, 0);
	assert_int_equal(i.accecn_option, CPL_ACCECN_BLOCKED | CPL_ACCECN_SEEN | CPL_ACCECN_ZEROED);
	/* Linux 6.17 has none of it. */
	i = fill(&t, offsetof(struct linux_tcp_info, received_ce), 0);
	assert_false(i.options & CPL_OPT_BIT_ACCECN);
	assert_false(cpl_info_known(&i, CPL_F_ecn_capable));
}

static void states(void **state)
{
	(void)state;
	assert_int_equal(linux_state_cpl(LINUX_SYN_RECV), CPL_SYN_RECEIVED);
	assert_int_equal(linux_state_cpl(LINUX_NEW_SYN_RECV), CPL_SYN_RECEIVED);
	assert_int_equal(linux_state_cpl(LINUX_LAST_ACK), CPL_LAST_ACK);
	assert_int_equal(linux_state_cpl(0), CPL_STATES);
	assert_int_equal(linux_state_cpl(14), CPL_STATES);
	assert_int_equal(linux_state_cpl(255), CPL_STATES);
	assert_int_equal(linux_states_mask(1u << CPL_ESTABLISHED), 1u << 1);
	assert_int_equal(linux_states_mask(1u << CPL_SYN_RECEIVED), 1u << 3 | 1u << 12);
	assert_int_equal(linux_states_mask(1u << CPL_CLOSED), 1u << 7 | 1u << 13);
	assert_int_equal(linux_states_mask((1u << CPL_STATES) - 1), 0x3ffe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units),	 cmocka_unit_test(lengths),
		cmocka_unit_test(byte_counters), cmocka_unit_test(fins),
		cmocka_unit_test(why),		 cmocka_unit_test(loss),
		cmocka_unit_test(states),	 cmocka_unit_test(accurate_ecn),
	};

	return cmocka_run_group_tests_name("tcp_info", tests, NULL, NULL);
}
