/* SPDX-License-Identifier: MIT */
/*
 * The network's clock and its making: see net.h. What a host does with its stack stands in host.c,
 * what a link does with frames in link.c.
 */
#include "sim/net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/draw.h"
#include "sim/host.h"

#define ROUNDS_MAX 100000 /* of one instant: more is a livelock */

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "couplet: the simulator is out of memory\n");
		abort();
	}
	return p;
}

struct net *net_new(uint64_t seed)
{
	struct net *net = must(calloc(1, sizeof(*net)));

	net->seed = seed;
	net->hash = draw_mix(seed);
	return net;
}

void net_free(struct net *net)
{
	for (unsigned i = 0; i < net->hosts_n; i++) {
		net_host_stop(net->hosts[i]);
		free(net->hosts[i]);
	}
	for (unsigned i = 0; i < net->links_n; i++) {
		struct net_link *link = net->links[i];

		for (unsigned a = 0; a < link->ports; a++)
			for (unsigned b = 0; b < link->ports; b++)
				wire_destroy(&link->wire[a][b]);
		free(link);
	}
	free(net->calls);
	free(net);
}

uint64_t net_draw(struct net *net)
{
	return draw_at(net->seed, ++net->draws, 1);
}

void net_fail(struct net *net, const char *format, ...)
{
	va_list ap;
	int n;

	if (net->failed)
		return;
	net->failed = true;
	n = snprintf(net->failure, sizeof(net->failure), "at %.9f s: ", (double)net->now / 1e9);
	va_start(ap, format);
	vsnprintf(net->failure + n, sizeof(net->failure) - (size_t)n, format, ap);
	va_end(ap);
}

struct net_link *net_link_add(struct net *net, bool ether, const struct wire_params *params)
{
	struct net_link *link = must(calloc(1, sizeof(*link)));

	if (net->links_n == NET_LINKS)
		abort();
	link->net = net;
	link->index = net->links_n;
	link->ether = ether;
	link->params = *params;
	link->params.ether = ether;
	net->links[net->links_n++] = link;
	return link;
}

void net_link_join(struct net_link *link, struct net_iface *iface)
{
	struct net *net = link->net;
	unsigned port = link->ports;

	if (port == NET_PORTS)
		abort();
	link->port[port] = iface;
	link->ports++;
	iface->link = link;
	iface->port = port;
	for (unsigned i = 0; i < link->ports; i++) {
		uint64_t pair = (uint64_t)(link->index + 1) << 16 | port << 8 | i;

		wire_init(&link->wire[port][i], &link->params, draw_at(net->seed, pair, 2));
		wire_init(&link->wire[i][port], &link->params, draw_at(net->seed, pair, 3));
	}
}

struct wire *net_wire(struct net_link *link, const struct net_host *a, const struct net_host *b)
{
	unsigned from = 0, to = 0;

	for (unsigned i = 0; i < link->ports; i++) {
		if (link->port[i]->host == a)
			from = i;
		if (link->port[i]->host == b)
			to = i;
	}
	return &link->wire[from][to];
}

void net_observe(struct net *net, void (*see)(void *ctx, const struct net_sight *sight), void *ctx)
{
	if (net->observers_n == NET_OBSERVERS)
		abort();
	net->observers[net->observers_n++] = (struct net_observer){ see, ctx };
}

void net_show(struct net *net, struct net_sight *sight)
{
	sight->now = net->now;
	for (unsigned i = 0; i < net->observers_n; i++)
		net->observers[i].see(net->observers[i].ctx, sight);
}

void net_hash(struct net *net, uint64_t tag, const uint8_t *p, uint32_t len)
{
	uint64_t h = draw_mix(net->hash ^ draw_mix(net->now) ^ tag), w;

	while (len >= 8) {
		memcpy(&w, p, 8);
		h = (h ^ w) * 0x9fb21c651e98df25u;
		h ^= h >> 29;
		p += 8;
		len -= 8;
	}
	w = len;
	memcpy(&w, p, len);
	net->hash = draw_mix(h ^ w);
}

/* ---- Scheduled calls ------------------------------------------------------------------------ */

static bool before(const struct net_call *a, const struct net_call *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void net_at(struct net *net, uint64_t at, void (*call)(void *ctx, uint64_t arg), void *ctx,
	    uint64_t arg)
{
	struct net_call c = { at < net->now ? net->now : at, net->calls_order++, call, ctx, arg };
	uint32_t i = net->calls_n++;

	if (i == net->calls_cap) {
		net->calls_cap = i ? 2 * i : 32;
		net->calls = must(realloc(net->calls, net->calls_cap * sizeof(c)));
	}
	for (; i > 0 && before(&c, &net->calls[(i - 1) / 2]); i = (i - 1) / 2)
		net->calls[i] = net->calls[(i - 1) / 2];
	net->calls[i] = c;
}

static struct net_call call_pop(struct net *net)
{
	struct net_call top = net->calls[0], last = net->calls[--net->calls_n];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < net->calls_n) {
		if (child + 1 < net->calls_n && before(&net->calls[child + 1], &net->calls[child]))
			child++;
		if (!before(&net->calls[child], &last))
			break;
		net->calls[i] = net->calls[child];
		i = child;
	}
	net->calls[i] = last;
	return top;
}

/* ---- The clock ------------------------------------------------------------------------------ */

static uint64_t next_instant(const struct net *net)
{
	uint64_t t = net->calls_n ? net->calls[0].at : UINT64_MAX, d;

	for (unsigned i = 0; i < net->links_n; i++) {
		d = link_deadline(net->links[i]);
		t = d < t ? d : t;
	}
	for (unsigned i = 0; i < net->hosts_n; i++) {
		if (net->hosts[i]->touched && net->now >= net->hosts[i]->frozen_until)
			return net->now;
		d = host_deadline(net->hosts[i]);
		t = d < t ? d : t;
	}
	return t < net->now ? net->now : t;
}

/* Events and output of all hosts until none has any. */
static void settle(struct net *net)
{
	struct net_sight sight = { .what = NET_SETTLED };
	unsigned rounds = 0;
	bool busy = true;

	while (busy && !net->failed) {
		busy = false;
		for (unsigned i = 0; i < net->hosts_n; i++)
			if (net->hosts[i]->touched)
				busy |= host_serve(net->hosts[i]);
		if (++rounds > ROUNDS_MAX)
			net_fail(net, "livelock: events and output without end");
	}
	net_show(net, &sight);
}

bool net_step(struct net *net, uint64_t limit)
{
	uint64_t t = next_instant(net);

	if (t > limit || t == UINT64_MAX || net->failed)
		return false;
	net->now = t;
	net->steps++;
	if (net->steps_max && net->steps > net->steps_max)
		net_fail(net, "more than %llu steps", (unsigned long long)net->steps_max);
	while (net->calls_n && net->calls[0].at <= t) {
		struct net_call c = call_pop(net);

		c.call(c.ctx, c.arg);
	}
	for (unsigned i = 0; i < net->links_n; i++)
		link_deliver(net->links[i]);
	for (unsigned i = 0; i < net->hosts_n; i++)
		host_advance(net->hosts[i]);
	settle(net);
	return !net->failed;
}

void net_until(struct net *net, uint64_t limit)
{
	while (net_step(net, limit))
		;
	if (!net->failed && net->now < limit)
		net->now = limit;
}
