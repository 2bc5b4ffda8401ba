/* SPDX-License-Identifier: MIT */
/*
 * Why not faster: each reason is provoked in a simulated network, and the snapshot must put the
 * time where it went. At every look the reasons add up to the age of the connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "sim/app.h"

/* A sender and a receiver, and what lies between. */
struct scene {
	const char *cc;
	uint64_t rate_bps, rtt_ns;
	double loss;
	uint32_t queue_bytes; /* 0: one BDP */
	struct app_plan source, sink;
	double refuse; /* share of frames that the sender's device refuses */
	uint64_t seconds, first_look;
	void (*see)(uint64_t now); /* each 10 ms, too */
};

static struct cpl_info seen; /* the sender's end */

static uint64_t sum(const struct cpl_info *i)
{
	return i->why_time_sending + i->why_time_idle + i->why_time_handshake + i->why_time_cwnd +
	       i->why_time_rwnd + i->why_time_zero_wnd + i->why_time_nagle + i->why_time_pacing +
	       i->why_time_device + i->why_time_memory + i->why_time_sndbuf + i->why_time_recovery;
}

static struct net_host *make_host(struct net *net, struct net_link *link, unsigned n,
				  const struct scene *s)
{
	struct cpl_iface_config iface = { .kind = CPL_IFACE_IP, .mtu = 1500 };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(n + 1));
	struct cpl_config config;
	struct net_host *host;

	cpl_config_init(&config);
	config.conns_max = 16;
	snprintf(config.cc_name, sizeof(config.cc_name), "%s", s->cc);
	host = net_host_add(net, n ? "receiver" : "sender", &config);
	net_addr_add(net_iface_add(host, &iface), &addr, 24);
	net_link_join(link, &host->ifaces[0]);
	assert_int_equal(net_host_start(host), 0);
	return host;
}

static void look(struct net_host *host, cpl_handle handle)
{
	assert_int_equal(cpl_info_get(host->stack, handle, &seen, net_clock(host)), 0);
	assert_int_equal(sum(&seen), seen.age);
	assert_true(seen.why_time_busy <= seen.age);
}

/* Up to AT. */
static void pass(const struct scene *s, struct net_host *host, const struct talk *talk, uint64_t at)
{
	while (s->see && host->net->now < at) {
		net_until(host->net, host->net->now + 10 * CPL_MS);
		if (talk->app[0].state == APP_OPEN &&
		    !cpl_info_get(host->stack, talk->app[0].handle, &seen, net_clock(host)))
			s->see(host->net->now);
	}
	net_until(host->net, at);
}

static void play(const struct scene *s)
{
	struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = 5001 };
	uint64_t bdp = s->rate_bps / 8 * (s->rtt_ns / CPL_MS) / 1000;
	struct wire_params wire = { .delay_ns = s->rtt_ns / 2,
				    .rate_bps = s->rate_bps,
				    .queue_bytes =
					    s->queue_bytes ? s->queue_bytes : (uint32_t)bdp };
	struct net *net = net_new(1);
	struct net_link *link = net_link_add(net, false, &wire);
	struct net_host *host[2];
	struct talk *talk;
	struct apps apps;

	for (unsigned i = 0; i < 2; i++)
		host[i] = make_host(net, link, i, s);
	net_wire(link, host[0], host[1])->params.loss = s->loss;
	host[0]->ifaces[0].refuse = s->refuse;
	host[0]->ifaces[0].refuse_until = s->refuse ? UINT64_MAX : 0;
	apps_init(&apps, net);
	talk = talk_add(&apps, host[0], &from, host[1], &to, &s->source, &s->sink, 0);
	for (uint64_t at = s->first_look ? s->first_look : 1; at <= s->seconds; at++) {
		pass(s, host[0], talk, at * CPL_SECOND);
		if (net->failed)
			fail_msg("%s", net->failure);
		if (talk->app[0].state == APP_OPEN || talk->app[0].state == APP_OPENING)
			look(host[0], talk->app[0].handle);
	}
	net_free(net);
}

/* A FIELD of the last look has LEAST to MOST percent of the age. */
#define share(field, least, most) assert_in_range(seen.field * 100 / seen.age, least, most)

static const struct app_plan endless = { .style = APP_SOURCE, .send_bytes = UINT64_MAX / 2 };
static const struct app_plan sink = { .style = APP_SINK };

/*
 * The delivery rate of the last sample is the lower of the rate at which its round trip was sent
 * and that at which it was acknowledged (draft-ietf-ccwg-bbr 4.1.1.2): once slow start has filled
 * the queue what the link carries of payload, to 1 per cent; for a round trip after a reduction as
 * little as that reduction lets go, beta_cubic of it.
 */
static uint64_t reduced, rates_steady;

static void see_rate(uint64_t now)
{
	const uint64_t payload = 10000000 / 8 * 1448 / 1500;
	uint64_t least = payload * 99 / 100;

	if (now < 250 * CPL_MS || seen.recovery != CPL_RECOVERY_OPEN)
		reduced = now;
	if (now - reduced < 2 * seen.srtt)
		least = now < 250 * CPL_MS ? 0 : least * 7 / 10;
	else
		rates_steady++;
	assert_in_range(seen.delivery_rate, least, payload * 101 / 100);
}

static void bulk(void **state)
{
	(void)state;
	reduced = rates_steady = 0;
	play(&(struct scene){ .cc = "cubic",
			      .rate_bps = 10000000,
			      .rtt_ns = 40 * CPL_MS,
			      .source = endless,
			      .sink = sink,
			      .seconds = 8,
			      .see = see_rate });
	share(why_time_cwnd, 85, 100);
	share(why_time_busy, 99, 100);
	share(why_time_rwnd, 0, 0);
	assert_true(rates_steady > 600); /* of 800 */
	assert_int_equal(seen.delivery_app_limited, 0);
	assert_in_range(seen.rtt_min, 40 * CPL_MS, 42 * CPL_MS);
}

static void slow_reader(void **state)
{
	(void)state;
	play(&(struct scene){ .cc = "cubic",
			      .rate_bps = 50000000,
			      .rtt_ns = 20 * CPL_MS,
			      .source = endless,
			      .sink = { .style = APP_SINK,
					.read_size = 4096,
					.read_gap_ns = 20 * CPL_MS,
					.rcvbuf = 65536 },
			      .seconds = 8 });
	share(why_time_rwnd, 95, 100);
	share(why_time_cwnd, 0, 2);
	assert_int_equal(seen.bytes_lost, 0);
}

static void small_buffer(void **state)
{
	struct app_plan source = endless;

	(void)state;
	source.sndbuf = 16384;
	play(&(struct scene){ .cc = "cubic",
			      .rate_bps = 50000000,
			      .rtt_ns = 100 * CPL_MS,
			      .source = source,
			      .sink = sink,
			      .seconds = 8 });
	share(why_time_sndbuf, 95, 100);
	share(why_time_busy, 95, 100);
}

static void losses(void **state)
{
	(void)state;
	play(&(struct scene){ .cc = "reno",
			      .rate_bps = 50000000,
			      .rtt_ns = 50 * CPL_MS,
			      .loss = 0.01,
			      .source = endless,
			      .sink = sink,
			      .seconds = 8 });
	share(why_time_recovery, 8, 40);
	assert_in_range((seen.why_time_recovery + seen.why_time_cwnd) * 100 / seen.age, 95, 100);
	assert_true(seen.fast_recoveries >= 5);
	/* Nothing was lost twice over, or called lost that was not. */
	assert_in_range(seen.bytes_lost, seen.bytes_retrans, seen.bytes_retrans + 20 * 1460);
}

static void paced(void **state)
{
	(void)state;
	play(&(struct scene){ .cc = "bbr",
			      .rate_bps = 10000000,
			      .rtt_ns = 40 * CPL_MS,
			      .source = endless,
			      .sink = sink,
			      .seconds = 8 });
	share(why_time_pacing, 85, 100);
	assert_true(seen.pacing_rate > 0);
}

static void idle(void **state)
{
	struct app_plan source = endless;

	(void)state;
	source.write_size = 2000;
	source.write_gap_ns = 500 * CPL_MS;
	play(&(struct scene){ .cc = "cubic",
			      .rate_bps = 10000000,
			      .rtt_ns = 40 * CPL_MS,
			      .source = source,
			      .sink = sink,
			      .seconds = 8 });
	share(why_time_idle, 95, 100);
	share(why_time_busy, 8, 9); /* 16 round trips of 40 ms: what is read is acknowledged */
	assert_int_equal(seen.delivery_app_limited, 1);
}

/* Quiet for longer than the block that counts is kept. */
static void quiet(void **state)
{
	struct app_plan source = endless;

	(void)state;
	source.write_size = 2000;
	source.write_gap_ns = 3 * CPL_SECOND;
	play(&(struct scene){ .cc = "cubic",
			      .rate_bps = 10000000,
			      .rtt_ns = 200 * CPL_MS,
			      .source = source,
			      .sink = sink,
			      .seconds = 30 });
	assert_false(cpl_info_known(&seen, CPL_F_delivery_rate)); /* the block is gone */
	share(why_time_idle, 99, 100);
	assert_in_range(seen.why_time_busy, 10 * 200 * CPL_MS, 10 * 205 * CPL_MS);
	assert_in_range(seen.why_time_handshake, 200 * CPL_MS, 201 * CPL_MS);
}

static void nagle(void **state)
{
	struct app_plan source = endless;

	(void)state;
	source.write_size = 100;
	source.write_gap_ns = 5 * CPL_MS;
	play(&(struct scene){ .cc = "cubic",
			      .rate_bps = 10000000,
			      .rtt_ns = 100 * CPL_MS,
			      .source = source,
			      .sink = sink,
			      .seconds = 8 });
	share(why_time_nagle, 90, 100);
}

static void refused(void **state)
{
	(void)state;
	play(&(struct scene){ .cc = "cubic",
			      .rate_bps = 10000000,
			      .rtt_ns = 40 * CPL_MS,
			      .refuse = 0.9,
			      .source = endless,
			      .sink = sink,
			      .seconds = 8 });
	share(why_time_device, 70, 95);
}

#define DAYS (24 * 3600 * CPL_SECOND)

/* Two months at a closed window: the sum outlives 2^32 ms, and the block that counted it. */
static void two_months(void **state)
{
	(void)state;
	play(&(struct scene){
		.cc = "cubic",
		.rate_bps = 10000000,
		.rtt_ns = 40 * CPL_MS,
		.source = { .style = APP_SOURCE, .send_bytes = 200000, .end = APP_END_STAY },
		.sink = { .style = APP_SINK,
			  .read_from_ns = 60 * DAYS,
			  .rcvbuf = 65536,
			  .end = APP_END_STAY },
		.first_look = 60 * 24 * 3600 + 200,
		.seconds = 60 * 24 * 3600 + 210 });
	assert_int_equal(seen.bytes_acked, 200000);
	assert_false(cpl_info_known(&seen, CPL_F_delivery_rate)); /* the block is gone */
	assert_in_range(seen.why_time_zero_wnd + seen.why_time_rwnd, 60 * DAYS - CPL_SECOND,
			60 * DAYS + 130 * CPL_SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk),		cmocka_unit_test(slow_reader),
		cmocka_unit_test(small_buffer), cmocka_unit_test(losses),
		cmocka_unit_test(paced),	cmocka_unit_test(idle),
		cmocka_unit_test(quiet),	cmocka_unit_test(nagle),
		cmocka_unit_test(refused),	cmocka_unit_test(two_months),
	};

	return cmocka_run_group_tests_name("sim/whynot", tests, NULL, NULL);
}
