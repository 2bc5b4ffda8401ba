/* SPDX-License-Identifier: MIT */
/*
 * Buffers that grow with the path: the receiver's by dynamic right-sizing, the sender's with cwnd.
 * Neither may hold back what the path takes; a slow reader, or memory that others need, keeps them
 * small; and cwnd does not grow while the window is what limits (RFC 5681 3.1).
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

struct path {
	uint64_t rate_bps, rtt_ns;
	const char *cc;
	bool no_timestamps, large;
	uint32_t mtu;
	uint64_t memory;		 /* of the receiver's stack; 0: the default */
	uint32_t read_size, read_gap_ns; /* of its program; 0: all, at once */
};

static struct net *net;
static struct net_host *host[2];
static struct apps apps;
static struct talk *talk;

static void add_host(unsigned i, const struct path *p, struct net_link *link)
{
	struct cpl_iface_config iface = { .kind = CPL_IFACE_IP,
					  .mtu = p->mtu ? p->mtu : 1500,
					  .flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4,
					  .gso_max = 65000 };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(i + 1));
	struct cpl_config config;

	cpl_config_init(&config);
	config.conns_max = 16;
	config.timestamps = !p->no_timestamps;
	snprintf(config.cc_name, sizeof(config.cc_name), "%s", p->cc);
	if (p->large) { /* what tcp_rmem and tcp_wmem have on a host that is set up for such paths
			 */
		config.memory_max = 1u << 30;
		config.rcvbuf_max = 32u << 20;
		config.sndbuf_max = 64u << 20;
	}
	if (i && p->memory)
		config.memory_max = p->memory;
	host[i] = net_host_add(net, i ? "receiver" : "sender", &config);
	host[i]->verified = true;
	net_addr_add(net_iface_add(host[i], &iface), &addr, 24);
	net_link_join(link, &host[i]->ifaces[0]);
	assert_int_equal(net_host_start(host[i]), 0);
}

static struct cpl_info look(unsigned i)
{
	struct cpl_info info;
	uint64_t cursor = 0;

	while (cpl_info_walk(host[i]->stack, &cursor, &info, 1, net_clock(host[i])) == 1)
		if (info.state == CPL_ESTABLISHED)
			return info;
	fail_msg("there is no connection");
	return info;
}

/* One direction, as much as goes, for MS; both ends as they are then. */
static uint64_t transfer(const struct path *p, unsigned ms, struct cpl_info ends[2])
{
	struct app_plan source = { .style = APP_SOURCE, .send_bytes = UINT64_MAX / 2 };
	struct app_plan sink = { .style = APP_SINK,
				 .read_size = p->read_size,
				 .read_gap_ns = p->read_gap_ns };
	struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = 5001 };
	struct wire_params wire = { .delay_ns = p->rtt_ns / 2,
				    .rate_bps = p->rate_bps,
				    .frames_max = 1u << 20 };
	struct net_link *link;
	uint64_t octets;

	wire.queue_bytes = (uint32_t)(p->rate_bps / 8 * (p->rtt_ns / CPL_MS) / 1000);
	net = net_new(1);
	net->steps_max = 1u << 30;
	link = net_link_add(net, false, &wire);
	for (unsigned i = 0; i < 2; i++)
		add_host(i, p, link);
	apps_init(&apps, net);
	apps.blind = true; /* there are other tests for what arrives */
	talk = talk_add(&apps, host[0], &from, host[1], &to, &source, &sink, 0);
	net_until(net, ms * CPL_MS);
	for (unsigned i = 0; i < 2; i++)
		ends[i] = look(i);
	octets = talk->app[1].received;
	if (net->failed)
		fail_msg("%s", net->failure);
	return octets;
}

static void say(const char *what, const struct cpl_info ends[2], uint64_t octets)
{
	print_message("%s: %.1f MB; held by the peer's window %.0f ms, by the send buffer %.0f ms; "
		      "buffers %u and %u\n",
		      what, (double)octets / 1e6, (double)ends[0].why_time_rwnd / 1e6,
		      (double)ends[0].why_time_sndbuf / 1e6, ends[0].send_buffer,
		      ends[1].recv_buffer);
}

/* 12.5 MB in a round trip: never held back, from the first window on. */
static void gigabit_100_ms(void **state)
{
	struct path p = {
		.rate_bps = 1000000000, .rtt_ns = 100 * CPL_MS, .cc = "cubic", .large = true
	};
	struct cpl_info ends[2];
	uint64_t octets;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		p.no_timestamps = i;
		octets = transfer(&p, 1600, ends);
		say(i ? "without timestamps" : "1 Gbit/s, 100 ms", ends, octets);
		assert_int_equal(ends[0].why_time_rwnd, 0);
		assert_int_equal(ends[0].why_time_sndbuf, 0);
		/* Slow start takes most of a second; then the link is full. */
		assert_true(octets > 60000000);
		assert_true(ends[1].recv_buffer > 12500000);
		net_free(net);
	}
}

/* The defaults do for 2 MB in a round trip. */
static void defaults(void **state)
{
	static const char *const cc[] = { "cubic", "reno", "bbr" };
	struct cpl_info ends[2];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct path p = { .rate_bps = 160000000, .rtt_ns = 100 * CPL_MS, .cc = cc[i] };
		uint64_t octets = transfer(&p, 2000, ends);

		say(cc[i], ends, octets);
		assert_int_equal(ends[0].why_time_rwnd, 0);
		assert_true(octets > 15000000);
		net_free(net);
	}
}

/* A program that reads 10 Mbit/s needs no more than that; and cwnd, unused, does not grow. */
static void slow_reader(void **state)
{
	struct path p = {
		.rate_bps = 1000000000, .rtt_ns = 20 * CPL_MS, .cc = "cubic", .read_size = 1250
	};
	struct cpl_info ends[2];
	uint32_t cwnd;

	(void)state;
	p.read_gap_ns = CPL_MS;
	transfer(&p, 2000, ends);
	cwnd = ends[0].cwnd;
	net_until(net, 4000 * CPL_MS);
	ends[0] = look(0);
	ends[1] = look(1);
	say("a slow reader", ends, talk->app[1].received);
	assert_int_equal(ends[0].cwnd, cwnd);
	assert_true(ends[1].recv_buffer < 1u << 20);
	assert_true(ends[0].why_time_rwnd > 3 * CPL_SECOND);
	assert_true(talk->app[1].received > 4 * 1250000 - 100000);
	net_free(net);
}

/* Memory for less than the path takes: the windows fit it, nothing that came is thrown away. */
static void little_memory(void **state)
{
	struct path p = {
		.rate_bps = 200000000, .rtt_ns = 100 * CPL_MS, .cc = "cubic", .memory = 4u << 20
	};
	struct cpl_counters c = { .size = sizeof(c) };
	struct cpl_info ends[2];
	uint64_t octets;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		p.read_gap_ns = i ? 20 * CPL_MS : 0; /* 16 KiB each time: all fills up */
		octets = transfer(&p, 2000, ends);
		say(i ? "4 MiB of memory and a slow reader" : "4 MiB of memory", ends, octets);
		assert_true(ends[1].rcv_wnd <= 2u << 20);
		assert_int_equal(cpl_counters_get(host[1]->stack, &c), 0);
		assert_int_equal(c.drop_tcp_memory + c.drop_memory, 0);
		assert_true(octets > (i ? 1200000 : 10000000));
		net_free(net);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gigabit_100_ms),
		cmocka_unit_test(defaults),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(little_memory),
	};

	return cmocka_run_group_tests_name("sim/autotune", tests, NULL, NULL);
}
