/* SPDX-License-Identifier: MIT */
/*
 * One transfer over a path that misbehaves: reordering, duplication and jitter cost little, and
 * what was taken for loss is given back; an MTU that shrinks without a word is found out within
 * seconds; a peer that knows none of the options is served all the same.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/app.h"

#define RTT	(50 * CPL_MS)
#define SECONDS 6u

static struct net *net;
static struct net_link *wire;
static struct net_host *host[2];
static struct apps apps;
static struct talk *talk;
static uint64_t seed = 1;
static bool bare;    /* no options */
static bool offload; /* the devices cut super-segments */

static void begin(const struct wire_params *params, const char *cc)
{
	struct app_plan source = { .style = APP_SOURCE, .send_bytes = UINT64_MAX / 2 };
	struct app_plan sink = { .style = APP_SINK };
	struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = 5001 };

	net = net_new(seed);
	wire = net_link_add(net, false, params);
	for (unsigned i = 0; i < 2; i++) {
		struct cpl_iface_config iface = { .kind = CPL_IFACE_IP, .mtu = 1500 };
		struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(i + 1));
		struct cpl_config config;

		if (offload) {
			iface.flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
			iface.gso_max = 65000;
		}
		cpl_config_init(&config);
		config.conns_max = 16;
		config.timestamps = config.sack = !bare;
		snprintf(config.cc_name, sizeof(config.cc_name), "%s", cc);
		host[i] = net_host_add(net, i ? "receiver" : "sender", &config);
		net_addr_add(net_iface_add(host[i], &iface), &addr, 24);
		net_link_join(wire, &host[i]->ifaces[0]);
		assert_int_equal(net_host_start(host[i]), 0);
	}
	apps_init(&apps, net);
	talk = talk_add(&apps, host[0], &from, host[1], &to, &source, &sink, 0);
}

static struct cpl_info sender(void)
{
	struct cpl_info info;
	uint64_t cursor = 0;

	while (cpl_info_walk(host[0]->stack, &cursor, &info, 1, net->now) == 1)
		if (info.state == CPL_ESTABLISHED)
			return info;
	fail_msg("there is no connection");
	return info;
}

static void end(void)
{
	if (net->failed)
		fail_msg("%s", net->failure);
	net_free(net);
}

static struct wire_params clean(uint64_t rate)
{
	return (struct wire_params){ .delay_ns = RTT / 2,
				     .rate_bps = rate,
				     .queue_bytes = (uint32_t)(rate / 8 / 20) };
}

/* Octets that arrive in SECONDS; the sender's last words in *INFO. */
static uint64_t transfer(const struct wire_params *params, const char *cc, struct cpl_info *info)
{
	uint64_t octets;

	begin(params, cc);
	net_until(net, SECONDS * CPL_SECOND);
	octets = talk->app[1].received;
	*info = sender();
	end();
	return octets;
}

static void misbehaves(void **state)
{
	static const char *const cc[] = { "cubic", "reno", "bbr" };
	static const char *const name[] = { "reordering", "duplication", "jitter" };
	struct wire_params params = clean(20000000), bad[3] = { params, params, params };
	struct cpl_info info;

	(void)state;
	bad[0].reorder = 0.05;
	bad[0].reorder_ns = 10 * CPL_MS;
	bad[1].duplicate = 0.05;
	bad[2].jitter_ns = 5 * CPL_MS;
	for (unsigned c = 0; c < 3; c++) {
		uint64_t best = transfer(&params, cc[c], &info), got;

		for (unsigned i = 0; i < 3; i++) {
			got = transfer(&bad[i], cc[c], &info);
			print_message("%s, %s: %llu of %llu; %u fast, %u undone, %u resent\n",
				      cc[c], name[i], (unsigned long long)got,
				      (unsigned long long)best, info.fast_recoveries, info.undone,
				      info.retrans);
			assert_true(got * 10 >= best * 9);
			if (i == 0)
				assert_true(info.reordering_seen);
			assert_int_equal(info.rto_count, info.rto_spurious);
		}
	}
}

/* From 1500 to 1280 without ICMP: seconds, not minutes, and the snapshot says so. */
static void mtu_shrinks(void **state)
{
	struct wire_params params = clean(2000000);
	struct cpl_info info;
	uint64_t before;

	(void)state;
	begin(&params, "cubic");
	net_until(net, 3 * CPL_SECOND);
	net_wire(wire, host[0], host[1])->params.mtu = 1280;
	net_until(net, 3 * CPL_SECOND + 500 * CPL_MS);
	before = talk->app[1].received;
	net_until(net, 6 * CPL_SECOND);
	info = sender();
	assert_int_equal(info.pmtu, 1280);
	assert_int_equal(info.blackholes, 1);
	assert_true(talk->app[1].received > before + 50000);
	/* The look after five seconds costs one segment. */
	before = talk->app[1].received;
	net_until(net, 20 * CPL_SECOND);
	info = sender();
	assert_in_range(info.pmtu, 1280, 1280);
	assert_int_equal(info.blackholes, 1);
	assert_true(talk->app[1].received > before + 14 * 150000);
	/* The path is wide again: found out when the next look is due. */
	net_wire(wire, host[0], host[1])->params.mtu = 0;
	net_until(net, 635 * CPL_SECOND);
	assert_int_equal(sender().pmtu, 1500);
	assert_int_equal(sender().blackholes, 1);
	end();
}

/* The path was only down: full segments again five seconds later. */
static void outage(void **state)
{
	struct wire_params params = clean(2000000);

	(void)state;
	params.down[0] = (struct wire_span){ 3 * CPL_SECOND, 5 * CPL_SECOND };
	params.down_n = 1;
	begin(&params, "cubic");
	net_until(net, 20 * CPL_SECOND);
	assert_int_equal(sender().blackholes, 1);
	assert_int_equal(sender().pmtu, 1500);
	assert_true(talk->app[1].received > 2500000);
	end();
}

/*
 * Neither SACK nor timestamps, a queue of three packets and losses of all kinds: much is lost at
 * once, and Karn's algorithm keeps the RTO backed off until new data is through. What a time-out
 * sends must get through then, or it takes minutes to the next.
 */
static void without_options(void **state)
{
	static const char *const cc[] = { "cubic", "reno", "bbr" };
	struct wire_params params = { .delay_ns = 4500000,
				      .rate_bps = 4000000,
				      .queue_bytes = 5459,
				      .loss = 0.034,
				      .duplicate = 0.073 };

	(void)state;
	bare = true;
	for (unsigned i = 0; i < 12; i++) {
		seed = i / 6 + 1;
		offload = i / 3 % 2;
		begin(&params, cc[i % 3]);
		net_until(net, 10 * CPL_SECOND);
		print_message("%s, seed %llu%s: %llu octets, %u time-outs\n", cc[i % 3],
			      (unsigned long long)seed, offload ? ", offload" : "",
			      (unsigned long long)talk->app[1].received, sender().rto_count);
		assert_true(talk->app[1].received > 1000000); /* a fifth of what it could be */
		end();
	}
	bare = offload = false;
	seed = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(misbehaves),
		cmocka_unit_test(mtu_shrinks),
		cmocka_unit_test(outage),
		cmocka_unit_test(without_options),
	};

	return cmocka_run_group_tests_name("sim/path", tests, NULL, NULL);
}
