/* SPDX-License-Identifier: MIT */
/* The table of goodput: see golden.h. */
#include "sim/golden.h"

#include <stdlib.h>
#include <string.h>

#include "sim/app.h"

static struct net_host *make_host(struct net *net, struct net_link *link, unsigned n,
				  const char *cc)
{
	struct cpl_iface_config iface = { .kind = CPL_IFACE_IP, .mtu = 1500 };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(n + 1));
	struct cpl_config config;
	struct net_host *host;

	cpl_config_init(&config);
	config.conns_max = 16;
	snprintf(config.cc_name, sizeof(config.cc_name), "%s", cc);
	host = net_host_add(net, n ? "receiver" : "sender", &config);
	net_addr_add(net_iface_add(host, &iface), &addr, 24);
	net_link_join(link, &host->ifaces[0]);
	if (net_host_start(host))
		abort();
	return host;
}

uint64_t golden_goodput(const struct golden_cell *cell)
{
	struct app_plan source = { .style = APP_SOURCE, .send_bytes = UINT64_MAX / 2 };
	struct app_plan sink = { .style = APP_SINK };
	struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1) };
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = 5001 };
	uint64_t bdp = cell->rate_bps / 8 * (cell->rtt_ns / CPL_MS) / 1000;
	struct wire_params wire = { .delay_ns = cell->rtt_ns / 2,
				    .rate_bps = cell->rate_bps,
				    .queue_bytes = (uint32_t)bdp };
	struct net *net = net_new(cell->seed);
	struct net_link *link = net_link_add(net, false, &wire);
	struct net_host *host[2];
	struct talk *talk;
	struct apps apps;
	uint64_t octets;

	for (unsigned i = 0; i < 2; i++)
		host[i] = make_host(net, link, i, cell->cc);
	net_wire(link, host[0], host[1])->params.loss = cell->loss;
	apps_init(&apps, net);
	talk = talk_add(&apps, host[0], &from, host[1], &to, &source, &sink, 0);
	net_until(net, cell->seconds * CPL_SECOND);
	if (net->failed)
		fprintf(stderr, "golden: %s\n", net->failure);
	octets = talk->app[1].received;
	net_free(net);
	return octets * 8 / cell->seconds;
}

void golden_print(FILE *file, unsigned seconds, unsigned runs)
{
	static const char *const cc[] = { "cubic", "reno", "bbr" };
	static const unsigned rtt_ms[] = { 10, 50, 100 };
	static const double loss[] = { 0, 0.001, 0.01, 0.03 };

	fprintf(file,
		"# Mbit/s over 50 Mbit/s, %u s from the start, mean of %u; loss of data only\n"
		"# RTT   cc         0%%    0.1%%      1%%      3%%\n",
		seconds, runs);
	for (unsigned r = 0; r < 3; r++) {
		for (unsigned c = 0; c < 3; c++) {
			fprintf(file, "%4u ms %-5s", rtt_ms[r], cc[c]);
			for (unsigned l = 0; l < 4; l++) {
				uint64_t sum = 0;

				for (unsigned s = 1; s <= runs; s++)
					sum += golden_goodput(&(struct golden_cell){
						cc[c], 50000000, rtt_ms[r] * CPL_MS, loss[l],
						seconds, s });
				fprintf(file, " %7.2f", (double)sum / runs / 1e6);
				fflush(file);
			}
			fprintf(file, "\n");
		}
	}
}
