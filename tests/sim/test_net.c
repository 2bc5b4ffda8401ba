/* SPDX-License-Identifier: MIT */
/* The network: the same seed gives the same run, another seed another; scheduled calls keep order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sim/app.h"
#include "sim/draw.h"
#include "sim/seed.h"

static void same_seed_same_run(void **state)
{
	struct seed_sum first, second;

	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		sim_run_seed(seed, false, NULL, &first);
		sim_run_seed(seed, false, NULL, &second);
		assert_true(first.hash == second.hash);
	}
}

static void another_seed_another_run(void **state)
{
	struct seed_sum sum[12];

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		sim_run_seed(i + 1, false, NULL, &sum[i]);
		for (unsigned k = 0; k < i; k++)
			assert_true(sum[k].hash != sum[i].hash);
	}
}

/* ---- Scheduled calls ------------------------------------------------------------------------ */

static uint64_t calls[64];
static unsigned calls_n;

static void note(void *ctx, uint64_t arg)
{
	struct net *net = ctx;

	assert_true(net->now == arg >> 8);
	calls[calls_n++] = arg;
}

static void calls_come_in_order(void **state)
{
	static const uint64_t at[] = { 50, 10, 30, 10, 70, 0, 30, 30, 20, 60 };
	struct net *net = net_new(1);

	(void)state;
	calls_n = 0;
	for (unsigned i = 0; i < 10; i++)
		net_at(net, at[i], note, net, at[i] << 8 | i);
	net_until(net, 40);
	assert_int_equal(calls_n, 7);
	assert_true(net->now == 40);
	net_until(net, 100);
	assert_int_equal(calls_n, 10);
	/* By time; of one instant, as they were asked for. */
	for (unsigned i = 1; i < calls_n; i++)
		assert_true(calls[i] > calls[i - 1]);
	assert_false(net_step(net, UINT64_MAX));
	net_free(net);
}

static void the_first_failure_is_kept(void **state)
{
	struct net *net = net_new(1);

	(void)state;
	net_fail(net, "one %d", 1);
	net_fail(net, "two");
	assert_string_equal(net->failure, "at 0.000000000 s: one 1");
	assert_false(net_step(net, UINT64_MAX));
	net_free(net);
}

/* ---- Two hosts ------------------------------------------------------------------------------ */

struct pair {
	struct net *net;
	struct net_host *host[2];
	struct net_link *link;
	struct apps apps;
	struct oracle oracle;
};

static void pair_make(struct pair *p, const struct wire_params *wire, bool ether)
{
	struct cpl_iface_config iface = { .kind = ether ? CPL_IFACE_ETHER : CPL_IFACE_IP,
					  .mtu = 1500,
					  .flags = CPL_IFACE_NO_DAD };
	struct cpl_config config;

	p->net = net_new(7);
	apps_init(&p->apps, p->net);
	oracle_init(&p->oracle, p->net, &p->apps);
	p->link = net_link_add(p->net, ether, wire);
	for (unsigned i = 0; i < 2; i++) {
		struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(i + 1));

		cpl_config_init(&config);
		config.conns_max = 64;
		config.time_wait_ns = CPL_SECOND;
		p->host[i] = net_host_add(p->net, i ? "b" : "a", &config);
		net_addr_add(net_iface_add(p->host[i], &iface), &addr, 24);
		net_link_join(p->link, &p->host[i]->ifaces[0]);
		assert_int_equal(net_host_start(p->host[i]), 0);
	}
}

static struct talk *pair_talk(struct pair *p, const struct app_plan *client,
			      const struct app_plan *server)
{
	struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = 80 };

	return talk_add(&p->apps, p->host[0], &from, p->host[1], &to, client, server, 0);
}

static void pair_end(struct pair *p)
{
	net_until(p->net, 600 * CPL_SECOND);
	oracle_end(&p->oracle);
	for (unsigned i = 0; i < 2; i++)
		net_host_stop(p->host[i]);
	if (p->net->failed)
		fail_msg("%s", p->net->failure);
	oracle_free(&p->oracle);
	net_free(p->net);
}

static void all_octets_arrive(void **state)
{
	struct wire_params wire = { .delay_ns = 5 * CPL_MS,
				    .rate_bps = 10000000,
				    .queue_bytes = 100000 };
	struct app_plan client = { .style = APP_SOURCE, .send_bytes = 300000 };
	struct app_plan server = { .style = APP_SOURCE, .send_bytes = 70001 };
	struct talk *talk;
	struct pair p;

	(void)state;
	for (int ether = 0; ether < 2; ether++) {
		pair_make(&p, &wire, ether);
		talk = pair_talk(&p, &client, &server);
		net_until(p.net, 100 * CPL_SECOND);
		assert_true(talk_over(talk));
		assert_int_equal(talk->app[1].received, 300000);
		assert_int_equal(talk->app[0].received, 70001);
		assert_true(talk->app[0].fin_seen && talk->app[1].fin_seen);
		assert_true(p.oracle.checks > 200);
		pair_end(&p);
	}
}

static void an_echo_comes_back(void **state)
{
	struct wire_params wire = { .delay_ns = CPL_MS, .loss = 0.03 };
	struct app_plan client = { .style = APP_SOURCE, .send_bytes = 50000 };
	struct app_plan server = { .style = APP_ECHO };
	struct talk *talk;
	struct pair p;

	(void)state;
	pair_make(&p, &wire, false);
	talk = pair_talk(&p, &client, &server);
	net_until(p.net, 100 * CPL_SECOND);
	assert_true(talk_over(talk));
	assert_int_equal(talk->app[0].received, 50000);
	pair_end(&p);
}

/* The oracle is worth something: octets that are not those that were written are found. */
static void a_wrong_octet_is_found(void **state)
{
	struct wire_params wire = { .delay_ns = CPL_MS };
	struct app_plan client = { .style = APP_SOURCE,
				   .send_bytes = 100000,
				   .write_size = 1000,
				   .write_gap_ns = CPL_MS };
	struct app_plan server = { .style = APP_SINK };
	struct talk *talk;
	struct pair p;

	(void)state;
	pair_make(&p, &wire, false);
	talk = pair_talk(&p, &client, &server);
	net_until(p.net, 20 * CPL_MS);
	assert_false(p.net->failed);
	/* What is under way was written under the old seed, and is compared with the new. */
	talk->app[0].seed++;
	net_until(p.net, 30 * CPL_MS);
	assert_true(p.net->failed);
	assert_non_null(strstr(p.net->failure, "of talk 0 is 0x"));
	oracle_free(&p.oracle);
	net_free(p.net);
}

static void a_restart_leaves_half_a_connection(void **state)
{
	struct wire_params wire = { .delay_ns = CPL_MS };
	struct app_plan client = { .style = APP_SOURCE, .send_bytes = 1000, .end = APP_END_STAY };
	struct app_plan server = { .style = APP_SINK, .end = APP_END_STAY };
	struct cpl_info info;
	uint64_t cursor = 0;
	struct talk *talk;
	struct pair p;

	(void)state;
	pair_make(&p, &wire, false);
	talk = pair_talk(&p, &client, &server);
	net_until(p.net, 10 * CPL_SECOND);
	assert_int_equal(talk->app[1].received, 1000);
	net_host_restart(p.host[1]);
	net_until(p.net, 20 * CPL_SECOND);
	assert_int_equal(p.host[1]->lives, 2);
	assert_int_equal(talk->app[1].state, APP_DONE);
	assert_int_equal(talk->app[0].state, APP_OPEN);
	while (cpl_info_walk(p.host[1]->stack, &cursor, &info, 1, net_clock(p.host[1])) == 1)
		assert_int_equal(info.state, CPL_LISTEN);
	/* It writes: the answer is RST. */
	talk->app[0].plan.send_bytes = 2000;
	app_kick(&talk->app[0]);
	net_until(p.net, 30 * CPL_SECOND);
	assert_int_equal(talk->app[0].state, APP_DONE);
	assert_int_equal(talk->app[0].error, 104); /* ECONNRESET */
	pair_end(&p);
}

/* Changes that no checksum can tell: the octets are lost, the stacks must hold. */
static void unseen_corruption_breaks_nothing(void **state)
{
	struct wire_params wire = { .delay_ns = CPL_MS, .corrupt = 0.3, .corrupt_unseen = true };
	struct app_plan client = { .style = APP_SOURCE,
				   .send_bytes = 20000,
				   .keep_idle_ns = 2 * CPL_SECOND };
	struct app_plan server = client;
	struct pair p;

	(void)state;
	pair_make(&p, &wire, true);
	p.apps.blind = true;
	/* The devices say that every checksum is right: all that was changed comes in. */
	p.host[0]->verified = p.host[1]->verified = true;
	for (unsigned i = 0; i < 8; i++) {
		struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
		struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2),
					   .port = (uint16_t)(80 + i) };

		talk_add(&p.apps, p.host[0], &from, p.host[1], &to, &client, &server,
			 i * CPL_SECOND);
	}
	net_until(p.net, 100 * CPL_SECOND);
	for (unsigned i = 0; i < 2; i++)
		net_host_stop(p.host[i]);
	if (p.net->failed)
		fail_msg("%s", p.net->failure);
	oracle_free(&p.oracle);
	net_free(p.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_come_in_order),
		cmocka_unit_test(the_first_failure_is_kept),
		cmocka_unit_test(all_octets_arrive),
		cmocka_unit_test(an_echo_comes_back),
		cmocka_unit_test(a_wrong_octet_is_found),
		cmocka_unit_test(a_restart_leaves_half_a_connection),
		cmocka_unit_test(unseen_corruption_breaks_nothing),
		cmocka_unit_test(same_seed_same_run),
		cmocka_unit_test(another_seed_another_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
