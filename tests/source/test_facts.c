/* SPDX-License-Identifier: MIT */
/* The files of /proc that hold facts, as they are, cut off, and as nobody writes them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "source/facts.h"

static const char netstat[] =
	"TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed ListenOverflows ListenDrops "
	"TCPReqQFullDrop TCPTimeWaitOverflow IPReversePathFilter\n"
	"TcpExt: 11 22 33 44 55 66 77 88\n"
	"IpExt: InNoRoutes ListenOverflows\n"
	"IpExt: 1 999\n";

static const char sockstat[] = "sockets: used 250\n"
			       "TCP: inuse 16 orphan 3 tw 12 alloc 20 mem 5\n"
			       "UDP: inuse 4 mem 2\n";

static const char conntrack[] =
	"entries  clashres found new invalid ignore delete chainlength insert insert_failed drop "
	"early_drop icmp_error  expect_new expect_create expect_delete search_restart\n"
	"00000010  00000000 00000000 00000000 0000003b 00000000 00000000 00000004 00000000 "
	"00000000 "
	"0000001f 00000000 00000000  00000000 00000000 00000000 00000000\n"
	"00000010  00000000 00000000 00000000 0000003b 00000000 00000000 00000004 00000000 "
	"00000000 "
	"00000001 00000000 00000000  00000000 00000000 00000000 00000000\n";

static const char limits[] =
	"Limit                     Soft Limit           Hard Limit           Units     \n"
	"Max cpu time              unlimited            unlimited            seconds   \n"
	"Max open files            1024                 524288               files     \n"
	"Max locked memory         67108864             67108864             bytes     \n";

static uint64_t fact(const struct view_host *host, enum view_fact fact)
{
	uint64_t value;

	assert_true(view_fact_get(host, fact, &value));
	return value;
}

static void counters_by_name(void **state)
{
	struct view_host host = { 0 };
	uint64_t value;

	(void)state;
	facts_parse_netstat(&host, netstat);
	assert_int_equal(fact(&host, VIEW_FACT_syncookies_sent), 11);
	assert_int_equal(fact(&host, VIEW_FACT_syncookies_failed), 33);
	assert_int_equal(fact(&host, VIEW_FACT_listen_overflows), 44); /* not IpExt's */
	assert_int_equal(fact(&host, VIEW_FACT_listen_drops), 55);
	assert_int_equal(fact(&host, VIEW_FACT_reqq_full_drop), 66);
	assert_int_equal(fact(&host, VIEW_FACT_tw_overflow), 77);
	assert_int_equal(fact(&host, VIEW_FACT_rp_filter_drops), 88);
	assert_false(view_fact_get(&host, VIEW_FACT_orphans, &value));
	assert_int_equal(value, 0);
}

static void sockets_and_memory(void **state)
{
	struct view_host host = { 0 };

	(void)state;
	facts_parse_sockstat(&host, sockstat, 4096);
	assert_int_equal(fact(&host, VIEW_FACT_orphans), 3);
	assert_int_equal(fact(&host, VIEW_FACT_timewait_number), 12);
	assert_int_equal(fact(&host, VIEW_FACT_tcp_memory), 5 * 4096);
}

static void conntrack_of_all_processors(void **state)
{
	struct view_host host = { 0 };

	(void)state;
	facts_parse_conntrack(&host, conntrack);
	assert_int_equal(fact(&host, VIEW_FACT_conntrack_drops), 0x20);
}

static void what_is_missing_stays_unknown(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"\n\n\n",
		"TcpExt:",
		"TcpExt:\nTcpExt:\n",
		"TcpExt: ListenOverflows\n",
		"TcpExt: ListenOverflows\nTcpExt:\n",
		"TcpExt: ListenOverflows\nTcpExt: \n",
		"TcpExt: ListenOverflows\nTcpExt: x\n",
		"TcpExt: ListenOverflows\nTcpExt: -5\n",
		"TcpExt: ListenOverflows\nIpExt: 5\n",
		"TcpExt: a ListenOverflows\nTcpExt: 5\n",
		"TcpExt ListenOverflows\nTcpExt 5\n",
		"TCP:\n",
		"TCP: orphan\n",
		"TCP: orphan mem\n",
		"drop\n",
		"drop\nzz\n",
		"a drop\n5\n",
	};
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct view_host host = { 0 };

		facts_parse_netstat(&host, texts[i]);
		facts_parse_sockstat(&host, texts[i], 4096);
		facts_parse_conntrack(&host, texts[i]);
		assert_false(view_fact_get(&host, VIEW_FACT_listen_overflows, &value));
		if (host.known)
			fail_msg("%s", texts[i]);
	}
}

/* A file may end anywhere: what is read of it is true or missing. */
static void every_beginning_of_a_file(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(netstat); n++) {
		char *text = strndup(netstat, n); /* of its own size, for the sanitizer */
		struct view_host host = { 0 };
		uint64_t value;

		facts_parse_netstat(&host, text);
		if (view_fact_get(&host, VIEW_FACT_listen_drops, &value))
			assert_true(value == 55 || value == 5);
		free(text);
	}
	for (size_t n = 0; n < sizeof(conntrack); n++) {
		char *text = strndup(conntrack, n);
		struct view_host host = { 0 };

		facts_parse_conntrack(&host, text);
		facts_parse_sockstat(&host, text, 4096);
		free(text);
	}
	for (size_t n = 0; n < sizeof(limits); n++) {
		char *text = strndup(limits, n);
		struct view_process p = { 0 };

		if (facts_parse_limits(&p, text))
			assert_true(p.descriptors_max >= 1 && p.descriptors_max <= 1024);
		free(text);
	}
}

static void processes(void **state)
{
	struct view_process p = { 0 };

	(void)state;
	assert_true(facts_parse_stat(&p, "812 (nginx) S 1 812 812 0 -1"));
	assert_string_equal(p.program, "nginx");
	assert_int_equal(p.state, 'S');
	/* A program may call itself anything. */
	assert_true(facts_parse_stat(&p, "7 (a) T (b) R) T 1 2 3"));
	assert_string_equal(p.program, "a) T (b) R");
	assert_int_equal(p.state, 'T');
	assert_true(facts_parse_stat(&p, "7 (longer than fifteen letters) Z 1"));
	assert_string_equal(p.program, "longer than fif");
	assert_false(facts_parse_stat(&p, ""));
	assert_false(facts_parse_stat(&p, "7 nginx S 1"));
	assert_false(facts_parse_stat(&p, "7 )nginx( S 1"));
	assert_false(facts_parse_stat(&p, "7 (nginx)"));
	assert_false(facts_parse_stat(&p, "7 (nginx) "));
	assert_true(facts_parse_limits(&p, limits));
	assert_int_equal(p.descriptors_max, 1024);
	assert_true(facts_parse_limits(&p, "Max open files unlimited unlimited files\n"));
	assert_int_equal(p.descriptors_max, UINT32_MAX);
	assert_true(facts_parse_limits(&p, "Max open files 99999999999 1 files\n"));
	assert_int_equal(p.descriptors_max, UINT32_MAX);
	assert_false(facts_parse_limits(&p, "Max open files\n"));
	assert_false(facts_parse_limits(&p, "Max open files many files\n"));
	assert_false(facts_parse_limits(&p, "Max cpu time 5 5 seconds\n"));
}

static void this_machine(void **state)
{
	uint32_t me = (uint32_t)getpid();
	uint32_t pids[] = { 1, me, 0, me, UINT32_MAX, 1 };
	struct cpl_addr loopback = cpl_addr4(127, 0, 0, 1);
	const struct view_process *p;
	const struct view_host *host;
	struct source_notes notes = { 0 };
	struct view_facts facts;

	(void)state;
	assert_int_equal(facts_take(&facts, false, pids, sizeof(pids) / sizeof(*pids), &notes), 0);
	assert_int_equal(facts.hosts, 1);
	host = view_facts_host(&facts, 0);
	assert_non_null(host);
	assert_true(host->ours);
	assert_ptr_equal(view_facts_host(&facts, host->netns), host);
	assert_true(fact(host, VIEW_FACT_port_low) <= fact(host, VIEW_FACT_port_high));
	fact(host, VIEW_FACT_listen_overflows);
	fact(host, VIEW_FACT_tw_reuse);
	if (host->addrs) /* unless the loopback is down */
		assert_true(view_host_has(host, &loopback));
	p = view_facts_process(&facts, me);
	assert_non_null(p);
	assert_int_equal(p->state, 'R');
	assert_true(p->known_limit);
	assert_true(p->descriptors >= 3 && p->descriptors <= p->descriptors_max);
	assert_null(view_facts_process(&facts, UINT32_MAX));
	assert_null(view_facts_process(&facts, 0));
	facts_free(&facts);
	assert_null(view_facts_host(&facts, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_by_name),
		cmocka_unit_test(sockets_and_memory),
		cmocka_unit_test(conntrack_of_all_processors),
		cmocka_unit_test(what_is_missing_stays_unknown),
		cmocka_unit_test(every_beginning_of_a_file),
		cmocka_unit_test(processes),
		cmocka_unit_test(this_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
