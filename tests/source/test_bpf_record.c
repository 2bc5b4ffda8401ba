/* SPDX-License-Identifier: MIT */
/* Records of the BPF programs as snapshots: units, what is derived, small records, nonsense. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "source/bpf_record.h"
#include "source/tcp_info.h"

#define MS 1000000ull

#define assert_unknown(info, field) assert_false(cpl_info_known(info, CPL_F_##field))
#define assert_read(info, field)    assert_true(cpl_info_is_read(info, CPL_F_##field))
#define assert_derived(info, field)                                                                \
	assert_true(cpl_info_is_derived(info, CPL_F_##field) &&                                    \
		    !cpl_info_is_read(info, CPL_F_##field))

/* An opener's end: iss 1000, irs 5000, 300 bytes sent of which 200 are acknowledged, 50 received.
 */
static struct tcb_record opener(void)
{
	struct tcb_record r = {
		.magic = TCB_RECORD_MAGIC,
		.kind = TCB_RECORD_FULL,
		.family = AF_INET,
		.state = LINUX_ESTABLISHED,
		.flags = TCB_ATTACHED | TCB_SACK | TCB_WSCALE | TCB_TOTAL_RTO,
		.local_port = 4000,
		.remote_port = 80,
		.local = { 0x0100000a },
		.remote = { 0x0200000a },
		.cookie = 77,
		.inode = 88,
		.uid = 5,
		.netns = 9,
		.taken = 1000000 * MS,
		.jiffies = 3000000000u,
		.snd_una = 1201,
		.snd_nxt = 1301,
		.write_seq = 1401,
		.snd_up = 1201,
		.snd_wnd = 500,
		.max_window = 700,
		.rcv_nxt = 5051,
		.copied_seq = 5041,
		.rcv_wup = 5031,
		.rcv_wnd = 400,
		.mss_cache = 100,
		.snd_wscale = 7,
		.rcv_wscale = 9,
		.snd_cwnd = 10,
		.snd_ssthresh = 0x7fffffff,
		.packets_out = 1,
		.srtt_us = 8 * 1500,
		.mdev_us = 4 * 300,
		.rtt_min_us = 1200,
		.rto = 201,
		.bytes_sent = 320,
		.bytes_retrans = 20,
		.bytes_acked = 201,
		.bytes_received = 50,
		.pacing_rate = UINT64_MAX,
		.cc = "cubic",
	};

	return r;
}

static struct cpl_info fill(const struct tcb_record *r, unsigned hz)
{
	struct cpl_info i;

	assert_true(bpf_record_info(&i, r, hz));
	assert_int_equal(i.source, CPL_SOURCE_BPF);
	assert_int_equal(i.size, sizeof(i));
	return i;
}

static void sequence_space(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i = fill(&r, 1000);

	(void)state;
	assert_int_equal(i.iss, 1000);
	assert_int_equal(i.irs, 5000);
	assert_int_equal(i.passive, 0);
	assert_derived(&i, iss);
	assert_derived(&i, irs);
	assert_int_equal(i.send_queue, 200);
	assert_int_equal(i.in_flight, 100);
	assert_int_equal(i.not_sent, 100);
	assert_int_equal(i.recv_queue, 10);
	assert_int_equal(i.rcv_edge, 5431);
	assert_int_equal(i.rcv_wnd, 380);
	assert_read(&i, rcv_wnd);
	assert_int_equal(i.last_ack_sent, 5031);
	assert_int_equal(i.bytes_acked, 200);
	assert_int_equal(i.snd_wnd_max, 700);
	assert_unknown(&i, snd_up); /* nothing urgent */
	assert_unknown(&i, snd_wl2);
	assert_unknown(&i, age);
	assert_int_equal(i.id, 77);
	assert_int_equal(i.netns, 9);
}

/* Beyond 4 GiB the counters go on while the sequence numbers begin again. */
static void beyond_four_gigabytes(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i;

	(void)state;
	r.bytes_acked += 3ull << 32;
	r.bytes_sent += 3ull << 32;
	r.bytes_received += (1ull << 32) + 10000;
	r.rcv_nxt += 10000; /* 2^32 + 10000 more */
	r.copied_seq += 10000;
	i = fill(&r, 1000);
	assert_int_equal(i.iss, 1000);
	assert_int_equal(i.irs, 5000);
	assert_int_equal(i.bytes_acked, (3ull << 32) + 200);
	/* And the numbers themselves may be around zero. */
	r = opener();
	for (uint32_t *seq = &r.snd_una; seq <= &r.snd_wl1; seq++)
		*seq -= 1250;
	r.snd_up = r.snd_una;
	i = fill(&r, 1000);
	assert_int_equal(i.iss, (uint32_t)-250);
	assert_int_equal(i.in_flight, 100);
	assert_int_equal(i.send_queue, 200);
}

/* Who opened: by the SYN in the counters, by the inherited backlog, or it is not said. */
static void who_opened(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i;

	(void)state;
	r.bytes_acked = 200; /* no SYN among them */
	r.max_ack_backlog = 5;
	i = fill(&r, 1000);
	assert_int_equal(i.passive, 1);
	assert_int_equal(i.iss, 1000);
	assert_int_equal(i.bytes_acked, 200);
	r.max_ack_backlog = 0; /* of listen(0)? or a refused byte of an opener's */
	i = fill(&r, 1000);
	assert_unknown(&i, passive);
	assert_unknown(&i, iss);
	r = opener();
	r.bytes_sent += 5000; /* refused by the local firewall */
	i = fill(&r, 1000);
	assert_unknown(&i, iss);
	/* Data in the SYN (RFC 7413). */
	r = opener();
	r.bytes_sent += 7;
	r.flags |= TCB_FASTOPEN_ACTIVE;
	i = fill(&r, 1000);
	assert_int_equal(i.passive, 0);
	assert_int_equal(i.iss, 1000);
}

static void a_fin(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i;

	(void)state;
	r.state = LINUX_FIN_WAIT2;
	r.write_seq = r.snd_nxt = r.snd_una = 1302; /* 300 bytes and the FIN, all acknowledged */
	r.snd_up = r.snd_una;
	r.bytes_acked = 302;
	i = fill(&r, 1000);
	assert_int_equal(i.iss, 1000);
	assert_int_equal(i.bytes_acked, 300);
	assert_int_equal(i.write_seq, 1301);
	assert_derived(&i, write_seq);
	assert_int_equal(i.send_queue, 0);
	/* The peer's FIN is a number, but no byte. */
	r = opener();
	r.state = LINUX_CLOSE_WAIT;
	r.rcv_nxt++;
	r.bytes_received++;
	i = fill(&r, 1000);
	assert_int_equal(i.irs, 5000);
	assert_int_equal(i.bytes_received, 50);
}

/* Jiffies are of any length: 100, 250, 300 or 1,000 a second. */
static void ticks(void **state)
{
	static const unsigned hz[] = { 100, 250, 300, 1000 };

	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		struct tcb_record r = opener();
		struct cpl_info i;

		r.rto = hz[n] / 5; /* 200 ms */
		r.pending = 1;
		r.rexmt_left = (int)hz[n] / 10;
		r.ack_pending = 2;
		r.delack_left = (int)hz[n] / 25;
		r.flags |= TCB_KEEP_TIMER;
		r.keep_left = (int)hz[n] * 7200;
		r.lsndtime = r.jiffies - hz[n] / 2;
		r.data_segs_out = 3;
		r.chrono_type = 2; /* the peer's window */
		r.chrono_start = r.jiffies - hz[n];
		r.chrono_stat[1] = hz[n] * 2;
		r.chrono_stat[0] = hz[n];
		i = fill(&r, hz[n]);
		assert_int_equal(i.rto, 200 * MS);
		assert_int_equal(i.timer_rexmt, 100 * MS);
		assert_int_equal(i.timer_delack, 40 * MS);
		assert_int_equal(i.timer_keep, 7200 * 1000 * MS);
		assert_int_equal(i.timer_persist, CPL_TIMER_OFF);
		assert_int_equal(i.timer_probe, CPL_TIMER_OFF);
		assert_int_equal(i.last_sent, 500 * MS);
		assert_int_equal(i.why_time_rwnd, 3000 * MS);
		assert_int_equal(i.why_time_busy, 4000 * MS);
		assert_int_equal(i.srtt, 1500000);
		assert_int_equal(i.rttvar, 300000);
	}
}

/* One timer of the kernel's, four of ours. */
static void one_timer(void **state)
{
	static const struct {
		uint8_t pending;
		enum cpl_field runs;
	} cases[] = {
		{ 0, CPL_FIELDS },	  { 1, CPL_F_timer_rexmt },   { 3, CPL_F_timer_persist },
		{ 5, CPL_F_timer_probe }, { 6, CPL_F_timer_reorder },
	};

	(void)state;
	for (unsigned n = 0; n < sizeof(cases) / sizeof(*cases); n++) {
		struct tcb_record r = opener();
		struct cpl_info i;

		r.pending = cases[n].pending;
		r.rexmt_left = 7;
		i = fill(&r, 1000);
		assert_int_equal(i.timer_rexmt != CPL_TIMER_OFF,
				 cases[n].runs == CPL_F_timer_rexmt);
		assert_int_equal(i.timer_persist != CPL_TIMER_OFF,
				 cases[n].runs == CPL_F_timer_persist);
		assert_int_equal(i.timer_probe != CPL_TIMER_OFF,
				 cases[n].runs == CPL_F_timer_probe);
		assert_int_equal(i.timer_reorder != CPL_TIMER_OFF,
				 cases[n].runs == CPL_F_timer_reorder);
	}
}

static void urgent_and_early(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i;

	(void)state;
	r.snd_up = 1250;
	r.urg_data = 0x100 | 'u';
	r.urg_seq = 5045;
	r.flags |= TCB_OOO;
	r.ranges = 2;
	r.ooo_bytes = 1234;
	i = fill(&r, 1000);
	assert_int_equal(i.snd_up, 1250);
	assert_int_equal(i.rcv_up, 5046); /* what follows it: RFC 9293 3.8.5 */
	assert_int_equal(i.ooo_bytes, 1234);
	assert_int_equal(i.ooo_ranges, 2);
	assert_derived(&i, ooo_bytes);
	r.urg_data |= 0x400; /* read */
	r.ranges = 4;	     /* or more */
	i = fill(&r, 1000);
	assert_unknown(&i, rcv_up);
	assert_unknown(&i, ooo_bytes);
	assert_unknown(&i, ooo_ranges);
}

static void small_records(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i;

	(void)state;
	r.kind = TCB_RECORD_TIME_WAIT;
	r.state = LINUX_TIME_WAIT;
	r.flags = TCB_KEEP_TIMER;
	r.keep_left = 30000;
	r.inode = 0;
	i = fill(&r, 1000);
	assert_read(&i, snd_nxt);
	assert_derived(&i, snd_una);
	assert_int_equal(i.timer_close, 30000 * MS);
	assert_unknown(&i, iss);
	assert_unknown(&i, snd_wnd);
	assert_unknown(&i, bytes_sent);
	assert_unknown(&i, inode);
	assert_int_equal(i.attached, 0);
	r.kind = TCB_RECORD_REQUEST;
	r.state = LINUX_NEW_SYN_RECV;
	r.snd_isn = 111;
	r.rcv_isn = 222;
	r.rcv_nxt = 223;
	r.synack_us = (r.taken - 2500 * MS) / 1000;
	i = fill(&r, 1000);
	assert_int_equal(i.state, CPL_SYN_RECEIVED);
	assert_int_equal(i.iss, 111);
	assert_int_equal(i.irs, 222);
	assert_int_equal(i.snd_nxt, 112);
	assert_int_equal(i.age, 2500 * MS);
	assert_read(&i, iss);
	assert_unknown(&i, srtt);
}

static void a_listener(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i;

	(void)state;
	r.state = LINUX_LISTEN;
	r.ack_backlog = 3;
	r.max_ack_backlog = 128;
	r.qlen = 4;
	i = fill(&r, 1000);
	assert_int_equal(i.accept_queue, 3);
	assert_int_equal(i.backlog, 128);
	assert_int_equal(i.syn_queue, 4);
	assert_unknown(&i, iss);
	assert_unknown(&i, rcv_nxt);
	assert_unknown(&i, recv_queue);
	assert_unknown(&i, srtt);
}

/* Another layout, and whatever else the bytes may be. */
static void nonsense(void **state)
{
	struct tcb_record r = opener();
	struct cpl_info i;

	(void)state;
	r.magic++;
	assert_false(bpf_record_info(&i, &r, 1000));
	r = opener();
	r.family = AF_UNIX;
	assert_false(bpf_record_info(&i, &r, 1000));
	r = opener();
	r.state = 0;
	assert_false(bpf_record_info(&i, &r, 1000));
	r.state = LINUX_STATES;
	assert_false(bpf_record_info(&i, &r, 1000));
	r = opener();
	r.kind = TCB_RECORD_NONE;
	assert_false(bpf_record_info(&i, &r, 1000));
	srandom(1);
	for (int n = 0; n < 20000; n++) {
		unsigned char *byte = (unsigned char *)&r;

		for (size_t at = 0; at < sizeof(r); at++)
			byte[at] = (unsigned char)random();
		r.magic = TCB_RECORD_MAGIC;
		r.family = n % 2 ? AF_INET : AF_INET6;
		r.state = (uint8_t)(1 + random() % 13);
		r.kind = (uint8_t)(1 + random() % 3);
		if (!bpf_record_info(&i, &r, 250))
			continue;
		assert_true(i.state < CPL_STATES && i.recovery <= CPL_RECOVERY_RTO);
		assert_true(i.why < CPL_WHYS && (i.family == 4 || i.family == 6));
		assert_int_equal(i.cc_name[sizeof(i.cc_name) - 1], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequence_space),
		cmocka_unit_test(beyond_four_gigabytes),
		cmocka_unit_test(who_opened),
		cmocka_unit_test(a_fin),
		cmocka_unit_test(ticks),
		cmocka_unit_test(one_timer),
		cmocka_unit_test(urgent_and_early),
		cmocka_unit_test(small_records),
		cmocka_unit_test(a_listener),
		cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests_name("bpf_record", tests, NULL, NULL);
}
