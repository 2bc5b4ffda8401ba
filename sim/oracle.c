/* SPDX-License-Identifier: MIT */
/* What must hold: see oracle.h. Works from snapshots only, apart from what src/view makes of them.
 */
#include "sim/oracle.h"

#include <stdlib.h>
#include <string.h>

#include "base/seq.h"

#define known(info, field) cpl_info_known((info), CPL_F_##field)

static bool synchronized(const struct cpl_info *i)
{
	return i->protocol == 6 && i->state >= CPL_SYN_RECEIVED && i->state <= CPL_TIME_WAIT;
}

static bool same_pair(const struct cpl_info *x, const struct cpl_info *y)
{
	return x->local_port == y->remote_port && x->remote_port == y->local_port &&
	       cpl_addr_equal(&x->local_addr, &y->remote_addr) &&
	       cpl_addr_equal(&x->remote_addr, &y->local_addr);
}

const char *oracle_pair(const struct cpl_info *x, const struct cpl_info *y)
{
	if (known(x, snd_una) && known(y, rcv_nxt) && seq_gt(x->snd_una, y->rcv_nxt))
		return "snd_una beyond the peer's rcv_nxt";
	if (known(x, snd_nxt) && known(y, rcv_nxt) && seq_lt(x->snd_nxt, y->rcv_nxt))
		return "snd_nxt before the peer's rcv_nxt";
	/* Of X in SYN-RECEIVED the window in the SYN,ACK's answer is still to come. */
	if (x->state >= CPL_ESTABLISHED && x->state != CPL_TIME_WAIT && known(x, snd_wnd) &&
	    known(x, snd_una) && known(y, rcv_edge) && seq_gt(x->snd_una + x->snd_wnd, y->rcv_edge))
		return "snd_una + snd_wnd beyond the edge that the peer has advertised";
	return NULL;
}

static void compare(struct oracle *oracle, const struct net_host *a, const struct cpl_info *x,
		    const struct net_host *b, const struct cpl_info *y)
{
	const char *what;

	/* Of two connections with the same addresses only those of one handshake are a pair. */
	if (!known(x, iss) || !known(y, irs) || !known(x, irs) || !known(y, iss))
		return;
	if (x->iss != y->irs || y->iss != x->irs)
		return;
	oracle->checks++;
	if (oracle->apps->blind)
		return;
	what = oracle_pair(x, y);
	if (!what)
		what = oracle_pair(y, x);
	if (what)
		net_fail(
			oracle->net,
			"%s:%u and %s:%u disagree: %s\n"
			"  %s: state %u iss %u una +%u nxt +%u wnd %u, irs %u rcv_nxt +%u edge "
			"+%u\n"
			"  %s: state %u iss %u una +%u nxt +%u wnd %u, irs %u rcv_nxt +%u edge +%u",
			a->name, x->local_port, b->name, y->local_port, what, a->name, x->state,
			x->iss, x->snd_una - x->iss, x->snd_nxt - x->iss, x->snd_wnd, x->irs,
			x->rcv_nxt - x->irs, x->rcv_edge - x->irs, b->name, y->state, y->iss,
			y->snd_una - y->iss, y->snd_nxt - y->iss, y->snd_wnd, y->irs,
			y->rcv_nxt - y->irs, y->rcv_edge - y->irs);
}

/* One end against itself, earlier: what only ever grows. */
static void compare_past(struct oracle *oracle, const struct net_host *host,
			 const struct cpl_info *was, const struct cpl_info *is)
{
	const char *what = NULL;

	if (!synchronized(was) || !synchronized(is) || was->irs != is->irs || was->iss != is->iss)
		return;
	if (known(was, snd_una) && known(is, snd_una) && seq_lt(is->snd_una, was->snd_una))
		what = "snd_una went back";
	else if (known(was, rcv_nxt) && known(is, rcv_nxt) && seq_lt(is->rcv_nxt, was->rcv_nxt))
		what = "rcv_nxt went back";
	else if (known(was, rcv_edge) && known(is, rcv_edge) && seq_lt(is->rcv_edge, was->rcv_edge))
		what = "the right edge of the receive window went back (SHLD-14)";
	if (what)
		net_fail(oracle->net, "%s:%u: %s", host->name, is->local_port, what);
}

static struct oracle_end *end_find(struct oracle *oracle, unsigned host, uint64_t id)
{
	for (unsigned i = 0; i < oracle->ends_n[host]; i++)
		if (oracle->ends[host][i].id == id)
			return &oracle->ends[host][i];
	return NULL;
}

static void end_see(struct oracle *oracle, struct net_host *host, const struct cpl_info *info)
{
	unsigned h = host->index;
	struct oracle_end *end;

	if (info->protocol != 6 || info->state == CPL_LISTEN || info->state == CPL_CLOSED)
		return;
	end = end_find(oracle, h, info->id);
	if (end && end->kept)
		net_fail(oracle->net, "%s: the walk shows connection %llu twice", host->name,
			 (unsigned long long)info->id);
	if (end)
		compare_past(oracle, host, &end->info, info);
	else if (oracle->ends_n[h] < ORACLE_SEEN)
		end = &oracle->ends[h][oracle->ends_n[h]++];
	else
		return;
	end->id = info->id;
	end->kept = true;
	end->info = *info;
}

/* Read all snapshots of HOST. */
static void look(struct oracle *oracle, struct net_host *host)
{
	unsigned h = host->index, n = 0;
	struct cpl_info infos[4];
	uint64_t cursor = 0;
	int got;

	if (oracle->lives[h] != host->lives) {
		oracle->lives[h] = host->lives;
		oracle->ends_n[h] = 0;
	}
	for (unsigned i = 0; i < oracle->ends_n[h]; i++)
		oracle->ends[h][i].kept = false;
	while ((got = cpl_info_walk(host->stack, &cursor, infos, 4, net_clock(host))) > 0)
		for (int i = 0; i < got; i++)
			end_see(oracle, host, &infos[i]);
	if (got < 0)
		net_fail(oracle->net, "%s: cpl_info_walk() says %d", host->name, got);
	for (unsigned i = 0; i < oracle->ends_n[h]; i++)
		if (oracle->ends[h][i].kept)
			oracle->ends[h][n++] = oracle->ends[h][i];
	oracle->ends_n[h] = n;
	if (host->allocated > host->config.memory_max)
		net_fail(oracle->net, "%s: %llu bytes allocated, the bound is %llu", host->name,
			 (unsigned long long)host->allocated,
			 (unsigned long long)host->config.memory_max);
}

static void compare_all(struct oracle *oracle, unsigned a, unsigned b)
{
	struct net *net = oracle->net;

	for (unsigned i = 0; i < oracle->ends_n[a]; i++) {
		const struct cpl_info *x = &oracle->ends[a][i].info;

		for (unsigned j = 0; j < oracle->ends_n[b] && synchronized(x); j++) {
			const struct cpl_info *y = &oracle->ends[b][j].info;

			if (synchronized(y) && same_pair(x, y))
				compare(oracle, net->hosts[a], x, net->hosts[b], y);
		}
	}
}

static void settled(struct oracle *oracle)
{
	struct net *net = oracle->net;

	for (unsigned h = 0; h < net->hosts_n; h++)
		if (oracle->touched[h] && net->hosts[h]->stack)
			look(oracle, net->hosts[h]);
	for (unsigned a = 0; a < net->hosts_n; a++)
		for (unsigned b = a + 1; b < net->hosts_n; b++)
			if (oracle->touched[a] || oracle->touched[b])
				compare_all(oracle, a, b);
	memset(oracle->touched, 0, sizeof(oracle->touched));
}

static void see(void *ctx, const struct net_sight *sight)
{
	struct oracle *oracle = ctx;

	if (sight->what == NET_RESTARTED)
		oracle->base_in[sight->host->index] = sight->host->frames_in;
	if (sight->what == NET_SETTLED)
		settled(oracle);
	else
		oracle->touched[sight->host->index] = true;
}

void oracle_init(struct oracle *oracle, struct net *net, struct apps *apps)
{
	memset(oracle, 0, sizeof(*oracle));
	oracle->net = net;
	oracle->apps = apps;
	for (unsigned h = 0; h < NET_HOSTS; h++) {
		oracle->ends[h] = calloc(ORACLE_SEEN, sizeof(struct oracle_end));
		if (!oracle->ends[h])
			abort();
	}
	net_observe(net, see, oracle);
}

void oracle_free(struct oracle *oracle)
{
	for (unsigned h = 0; h < NET_HOSTS; h++)
		free(oracle->ends[h]);
}

/* ---- The end -------------------------------------------------------------------------------- */

static void check_talk(struct oracle *oracle, struct talk *talk)
{
	for (unsigned e = 0; e < 2; e++) {
		struct app *app = &talk->app[e];

		if (app->state == APP_OPEN || app->state == APP_OPENING)
			net_fail(oracle->net,
				 "talk %u never ends: %s has sent %llu and received %llu octets",
				 talk->index, app->host->name, (unsigned long long)app->sent,
				 (unsigned long long)app->received);
	}
}

static void check_counters(struct oracle *oracle, struct net_host *host)
{
	struct cpl_counters c = { .size = sizeof(c) };
	uint64_t in = host->frames_in - oracle->base_in[host->index];

	if (cpl_counters_get(host->stack, &c))
		net_fail(oracle->net, "%s: cpl_counters_get() fails", host->name);
	if (c.frames_in != in)
		net_fail(oracle->net, "%s: %llu frames counted in, %llu handed in", host->name,
			 (unsigned long long)c.frames_in, (unsigned long long)in);
}

void oracle_end(struct oracle *oracle)
{
	struct net *net = oracle->net;
	struct cpl_info info;

	for (unsigned i = 0; i < oracle->apps->talks_n; i++)
		check_talk(oracle, &oracle->apps->talks[i]);
	for (unsigned h = 0; h < net->hosts_n && !net->failed; h++) {
		struct net_host *host = net->hosts[h];
		uint64_t cursor = 0;

		check_counters(oracle, host);
		while (cpl_info_walk(host->stack, &cursor, &info, 1, net_clock(host)) > 0)
			if (info.protocol == 6 && info.state != CPL_LISTEN)
				net_fail(net, "%s: a connection of port %u is left in state %u",
					 host->name, info.local_port, info.state);
	}
}
