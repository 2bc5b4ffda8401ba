/* SPDX-License-Identifier: MIT */
/* Playing a drawn network to its end: see seed.h. */
#include <stdlib.h>
#include <string.h>

#include "sim/packet.h"
#include "sim/seed.h"

#define TALK_TIME (6000 * CPL_SECOND) /* all talks are over by then */
#define REST_TIME (2500 * CPL_SECOND) /* R2, FIN-WAIT-2 and TIME-WAIT, and some */

static bool all_over(const struct seed_run *run)
{
	for (unsigned i = 0; i < run->apps.talks_n; i++)
		if (!talk_over(&run->apps.talks[i]))
			return false;
	return true;
}

/* What a program of a talk that must end well has to say at its end. */
static void check_strict(struct seed_run *run, const struct talk *talk)
{
	for (unsigned e = 0; e < 2; e++) {
		const struct app *app = &talk->app[e], *peer = &talk->app[!e];

		if (app->state == APP_IDLE)
			net_fail(run->net, "talk %u: %s was never connected", talk->index,
				 app->host->name);
		if (app->error)
			net_fail(run->net, "talk %u: %s ended with error %d", talk->index,
				 app->host->name, app->error);
		if (!app->fin_seen && app->plan.end != APP_END_CLOSE)
			net_fail(run->net, "talk %u: %s never saw the end of the data", talk->index,
				 app->host->name);
		if (app->plan.end != APP_END_CLOSE && app->received != peer->sent)
			net_fail(run->net, "talk %u: %s received %llu of %llu octets", talk->index,
				 app->host->name, (unsigned long long)app->received,
				 (unsigned long long)peer->sent);
		if (app->plan.style == APP_SOURCE && app->sent != app->plan.send_bytes)
			net_fail(run->net, "talk %u: %s sent %llu of %llu octets", talk->index,
				 app->host->name, (unsigned long long)app->sent,
				 (unsigned long long)app->plan.send_bytes);
	}
	if (talk->strays)
		net_fail(run->net, "talk %u: %u connections too many", talk->index, talk->strays);
}

/* The counters of each host that are not 0. */
static void print_counters(const struct net *net, FILE *file)
{
	struct cpl_counters c;

	for (unsigned i = 0; i < net->hosts_n; i++) {
		if (!net->hosts[i]->stack || cpl_counters_get(net->hosts[i]->stack, &c))
			continue;
		fprintf(file, "%s:", net->hosts[i]->name);
#define CPL_COUNTER(name, text)                                                                    \
	if (c.name)                                                                                \
		fprintf(file, " " #name " %llu", (unsigned long long)c.name);
#include <couplet/counters.def>
		fprintf(file, "\n");
	}
}

bool seed_play(struct seed_run *run)
{
	struct net *net = run->net;
	uint64_t limit = run->start + run->healed + TALK_TIME;

	while (!all_over(run) && net_step(net, limit))
		;
	if (!net->failed && all_over(run))
		net_until(net, net->now + REST_TIME);
	for (unsigned i = 0; i < run->apps.talks_n && !net->failed && all_over(run); i++)
		if (run->strict[i])
			check_strict(run, &run->apps.talks[i]);
	oracle_end(&run->oracle);
	if (run->verbose)
		print_counters(net, run->verbose);
	/* Freeing finds leaks, and fails the net for them. */
	for (unsigned i = 0; i < net->hosts_n; i++)
		net_host_stop(net->hosts[i]);
	return !net->failed;
}

void seed_free(struct seed_run *run)
{
	oracle_free(&run->oracle);
	net_free(run->net);
}

static void sum_add(struct seed_sum *sum, const struct seed_run *run)
{
	sum->hash = run->net->hash;
	sum->packets += run->net->packets;
	sum->pairs += run->oracle.checks;
	sum->time_ns += run->net->now;
	for (unsigned i = 0; i < run->apps.talks_n; i++)
		for (unsigned e = 0; e < 2; e++)
			sum->octets += run->apps.talks[i].app[e].received;
}

bool sim_run_seed(uint64_t seed, bool verbose, FILE *file, struct seed_sum *sum)
{
	struct seed_run run;
	bool right;

	if (seed_make(&run, seed) == 0 && verbose) {
		fprintf(file, "%s", run.text);
		seed_watch(run.net, file);
		run.verbose = file;
	}
	right = !run.net->failed && seed_play(&run);
	if (!right && file) {
		fprintf(file, "# seed %llu: ", (unsigned long long)seed);
		for (const char *s = run.net->failure; *s; s++)
			fprintf(file, *s == '\n' ? "\n# " : "%c", *s);
		fprintf(file, "\n# repeat it: make seed SEED=%llu\n", (unsigned long long)seed);
	}
	if (sum)
		sum_add(sum, &run);
	seed_free(&run);
	return right;
}

/* ---- For people ----------------------------------------------------------------------------- */

static void flags_text(uint8_t flags, char text[9])
{
	static const char letters[] = "FSRPAUEC";
	unsigned n = 0;

	for (unsigned i = 0; i < 8; i++)
		if (flags >> i & 1)
			text[n++] = letters[i];
	text[n] = 0;
}

static void watch(void *ctx, const struct net_sight *s)
{
	struct packet p;
	char flags[9];
	FILE *file = ctx;

	if (s->what == NET_RESTARTED)
		fprintf(file, "%12.6f %s restarts\n", (double)s->now / 1e9, s->host->name);
	if (s->what != NET_SENT && s->what != NET_LOST && s->what != NET_ARRIVED)
		return;
	fprintf(file, "%12.6f %s %s %s ", (double)s->now / 1e9, s->host->name,
		s->what == NET_ARRIVED ? "<-" : "->", s->peer->name);
	if (!packet_read(&p, s->frame, s->len, s->ether))
		fprintf(file, "%u bytes, no IP", s->len);
	else if (!p.tcp)
		fprintf(file, "IPv%u protocol %u, %u bytes%s", p.ip.version, p.ip.protocol,
			p.ip.len, p.ip.fragment ? ", fragment" : "");
	else {
		flags_text(p.flags, flags);
		fprintf(file, "%u > %u %-3s seq %u ack %u wnd %u len %u", p.sport, p.dport, flags,
			p.seq, p.ack, p.wnd, p.payload);
	}
	if (s->gso_size)
		fprintf(file, " gso %u", s->gso_size);
	if (s->what == NET_LOST)
		fprintf(file, "  *** %s", wire_fate_text(s->fate));
	fprintf(file, "\n");
}

void seed_watch(struct net *net, FILE *file)
{
	net_observe(net, watch, file);
}
