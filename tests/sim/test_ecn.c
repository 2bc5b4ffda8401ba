/* SPDX-License-Identifier: MIT */
/*
 * A bottleneck that marks before it drops: every controller, with classic and with accurate ECN,
 * fills it without a loss, and with accurate ECN the two ends count alike.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "sim/app.h"

#define RATE_BPS 20000000ull
#define SECONDS	 5

static const struct app_plan endless = { .style = APP_SOURCE, .send_bytes = UINT64_MAX / 2 };
static const struct app_plan sink = { .style = APP_SINK };

static struct net_host *make_host(struct net *net, struct net_link *link, unsigned n,
				  const char *cc, uint8_t ecn, uint8_t option)
{
	struct cpl_iface_config iface = { .kind = CPL_IFACE_IP,
					  .mtu = 1500,
					  .flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4,
					  .gso_max = 65000 };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(n + 1));
	struct cpl_config config;
	struct net_host *host;

	cpl_config_init(&config);
	config.conns_max = 16;
	config.ecn = ecn;
	config.ecn_option = option;
	snprintf(config.cc_name, sizeof(config.cc_name), "%s", cc);
	host = net_host_add(net, n ? "receiver" : "sender", &config);
	net_addr_add(net_iface_add(host, &iface), &addr, 24);
	net_link_join(link, &host->ifaces[0]);
	assert_int_equal(net_host_start(host), 0);
	return host;
}

/* The two ends after a while. */
static void play(const char *cc, uint8_t ecn, uint8_t option, uint64_t ecn_bytes,
		 struct cpl_info end[2])
{
	struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = 5001 };
	struct wire_params wire = { .delay_ns = 10 * CPL_MS,
				    .rate_bps = RATE_BPS,
				    .queue_bytes = 400000,
				    .ecn_bytes = (uint32_t)ecn_bytes };
	struct net *net = net_new(1);
	struct net_link *link = net_link_add(net, false, &wire);
	struct net_host *host[2];
	struct talk *talk;
	struct apps apps;

	for (unsigned i = 0; i < 2; i++)
		host[i] = make_host(net, link, i, cc, ecn, option);
	apps_init(&apps, net);
	talk = talk_add(&apps, host[0], &from, host[1], &to, &endless, &sink, 0);
	net_until(net, SECONDS * CPL_SECOND);
	if (net->failed)
		fail_msg("%s", net->failure);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(cpl_info_get(host[i]->stack, talk->app[i].handle, &end[i],
					      net_clock(host[i])),
				 0);
	net_free(net);
}

static uint64_t percent_of_rate(const struct cpl_info *sender)
{
	return sender->bytes_acked * 8 * 100 / SECONDS / RATE_BPS;
}

static const char *const controllers[] = { "reno", "cubic", "dctcp", "bbr" };

static void without_loss(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned kind = 0; kind < 3; kind++) {
			uint8_t ecn = kind ? CPL_ECN_ACCURATE : CPL_ECN_ACTIVE;
			struct cpl_info end[2];

			play(controllers[i], ecn,
			     kind == 1 ? CPL_ECN_OPTION_FULL : CPL_ECN_OPTION_NEVER, 60000, end);
			if (end[0].retrans || percent_of_rate(&end[0]) < 80)
				fail_msg("%s, kind %u: %u sent again, %u%% of the rate",
					 controllers[i], kind, end[0].retrans,
					 (unsigned)percent_of_rate(&end[0]));
			assert_int_equal(end[0].ecn_capable, 1);
			assert_true(end[1].ce_in > 0);
		}
	}
}

/* What the receiver counted is what the sender believes, but for what is on its way. */
static void counted_alike(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		for (uint8_t option = 0; option <= CPL_ECN_OPTION_FULL; option++) {
			struct cpl_info end[2];

			play(controllers[i], CPL_ECN_ACCURATE, option, 20000, end);
			assert_in_range(end[1].ce_in - end[0].delivered_ce, 0, 100);
			assert_true(end[0].delivered_ce > 50);
			if (!option)
				continue;
			assert_int_equal(end[0].accecn_option, CPL_ACCECN_SENT | CPL_ACCECN_SEEN);
			assert_in_range(end[1].received_ce_bytes - end[0].delivered_ce_bytes, 0,
					150000);
			assert_int_equal(end[1].received_ce_bytes + end[1].received_e0_bytes,
					 (uint32_t)end[1].bytes_received);
		}
	}
}

/* DCTCP knows how much was marked: its queue stays at the threshold, its window does not halve. */
static void dctcp_is_gentle(void **state)
{
	struct cpl_info dctcp[2], reno[2];

	(void)state;
	play("dctcp", CPL_ECN_ACCURATE, CPL_ECN_OPTION_FULL, 15000, dctcp);
	play("reno", CPL_ECN_ACCURATE, CPL_ECN_OPTION_FULL, 15000, reno);
	assert_true(percent_of_rate(&dctcp[0]) >= 90);
	assert_true(percent_of_rate(&dctcp[0]) > percent_of_rate(&reno[0]));
	assert_true(dctcp[0].srtt < 30 * CPL_MS);
	assert_int_equal(dctcp[0].retrans, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_loss),
		cmocka_unit_test(counted_alike),
		cmocka_unit_test(dctcp_is_gentle),
	};

	return cmocka_run_group_tests_name("sim/ecn", tests, NULL, NULL);
}
