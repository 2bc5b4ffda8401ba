/* SPDX-License-Identifier: MIT */
/*
 * RFC 2018 section 8, end to end: several connections share a receiver whose memory is short; what
 * came early must give way to what is in order, though SACK has reported it. All octets arrive all
 * the same, and no sender waits for a time-out each time.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sim/app.h"

#define TALKS 12
#define BYTES 1000000

static struct net_host *host_add(struct net *net, struct net_link *link, unsigned i,
				 uint64_t memory)
{
	struct cpl_iface_config iface = { .kind = CPL_IFACE_IP, .mtu = 1500 };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(i + 1));
	struct cpl_config config;
	struct net_host *host;

	cpl_config_init(&config);
	config.conns_max = 64;
	config.memory_max = memory;
	host = net_host_add(net, i ? "receiver" : "sender", &config);
	net_addr_add(net_iface_add(host, &iface), &addr, 24);
	net_link_join(link, &host->ifaces[0]);
	assert_int_equal(net_host_start(host), 0);
	return host;
}

static void short_of_memory(void **state)
{
	struct wire_params wire = { .delay_ns = 50 * CPL_MS, .loss = 0.05, .rate_bps = 50000000 };
	struct app_plan source = { .style = APP_SOURCE, .send_bytes = BYTES };
	struct app_plan sink = { .style = APP_SINK };
	struct cpl_counters out = { .size = sizeof(out) }, in = { .size = sizeof(in) };
	struct net *net = net_new(1);
	struct net_link *link;
	struct net_host *host[2];
	struct apps apps;
	unsigned steps = 0;

	(void)state;
	wire.queue_bytes = 300000;
	net->steps_max = 1u << 30;
	link = net_link_add(net, false, &wire);
	host[0] = host_add(net, link, 0, 256u << 20);
	host[1] = host_add(net, link, 1, 64u << 20);
	apps_init(&apps, net);
	for (unsigned i = 0; i < TALKS; i++) {
		struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
		struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2),
					   .port = (uint16_t)(5001 + i) };

		talk_add(&apps, host[0], &from, host[1], &to, &source, &sink, 0);
	}
	/* What it has by then is all that it gets for a while. */
	net_until(net, 200 * CPL_MS);
	host[1]->alloc_fail = 1;
	host[1]->alloc_fail_until = 10 * CPL_SECOND;
	do {
		bool over = true;

		net_until(net, ++steps * CPL_SECOND);
		for (unsigned i = 0; i < TALKS; i++)
			over &= talk_over(&apps.talks[i]);
		if (over)
			break;
	} while (!net->failed && steps < 600);
	if (net->failed)
		fail_msg("%s", net->failure);
	cpl_counters_get(host[0]->stack, &out);
	cpl_counters_get(host[1]->stack, &in);
	print_message("%u s: %llu pruned, %llu renegings seen, %llu dropped for memory, %llu of "
		      "%llu sent again\n",
		      steps, (unsigned long long)in.drop_tcp_ooo_pruned,
		      (unsigned long long)out.sack_renegings,
		      (unsigned long long)in.drop_tcp_memory, (unsigned long long)out.segs_retrans,
		      (unsigned long long)out.segs_out);
	for (unsigned i = 0; i < TALKS; i++)
		assert_int_equal(apps.talks[i].app[1].received, BYTES);
	assert_true(in.drop_tcp_ooo_pruned > 0 && out.sack_renegings > 0);
	assert_true(steps < 60);
	net_free(net);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(short_of_memory) };

	return cmocka_run_group_tests_name("sim/renege", tests, NULL, NULL);
}
