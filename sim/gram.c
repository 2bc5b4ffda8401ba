/* SPDX-License-Identifier: MIT */
/* Datagrams there and back: see gram.h. */
#include "sim/gram.h"

#include <errno.h>
#include <string.h>

#include "sim/app.h"
#include "sim/draw.h"

static uint32_t size_of(const struct gram *g, uint32_t index)
{
	return 4 + (uint32_t)draw_below(draw_at(g->seed, index, 0), g->size_max - 3);
}

/* The INDEX-th datagram: its number, then octets that follow from it. Returns its size. */
static uint32_t make(const struct gram *g, uint32_t index, uint8_t *p)
{
	uint32_t n = size_of(g, index);

	memcpy(p, &index, 4);
	app_fill(p + 4, draw_at(g->seed, index, 1), 0, n - 4);
	return n;
}

static void check(struct gram *g, const struct net_host *host, const uint8_t *p, long n)
{
	uint8_t want[GRAM_MAX];
	uint32_t index = 0, at = 0;

	if (n >= 4)
		memcpy(&index, p, 4);
	if (n < 4 || index >= g->sent) {
		net_fail(g->net, "%s: a datagram of %ld octets that nobody sent", host->name, n);
		return;
	}
	if (n != (long)make(g, index, want)) {
		net_fail(g->net, "%s: datagram %u has %ld octets, must have %u", host->name, index,
			 n, size_of(g, index));
		return;
	}
	while (at < n && p[at] == want[at])
		at++;
	if (at < n)
		net_fail(g->net, "%s: octet %u of datagram %u (%ld octets) is 0x%02x, not 0x%02x",
			 host->name, at, index, n, p[at], want[at]);
}

static bool open_side(struct gram *g, unsigned side)
{
	struct net_host *host = side ? g->server : g->client;
	const struct cpl_endpoint *local = side ? &g->to : &g->from;
	int r;

	if (g->handle[side] && g->life[side] == host->lives)
		return true;
	r = cpl_udp_open(host->stack, local, &g->handle[side], net_clock(host));
	if (r) {
		g->handle[side] = 0;
		g->refused++;
		return false;
	}
	g->life[side] = host->lives;
	/* The low bit tells it from a struct app. */
	cpl_set_user(host->stack, g->handle[side], (uintptr_t)g | 1);
	return true;
}

static void send_one(void *ctx, uint64_t arg)
{
	struct gram *g = ctx;
	struct net_host *host = g->client;
	uint8_t data[GRAM_MAX];
	uint32_t n;
	long r;

	(void)arg;
	if (g->sent == g->count)
		return;
	if (host->net->now >= host->frozen_until && open_side(g, 1) && open_side(g, 0)) {
		n = make(g, g->sent, data);
		g->sent++;
		r = cpl_udp_send(host->stack, g->handle[0], NULL, &g->to, data, n, net_clock(host));
		if (r < 0 && r != -ENOBUFS && r != -ENOMEM && r != -EMSGSIZE && r != -ENETUNREACH &&
		    r != -EHOSTUNREACH)
			net_fail(g->net, "%s: cpl_udp_send() says %ld", host->name, r);
		g->refused += r < 0;
		net_touch(host);
	}
	net_at(g->net, g->net->now + g->gap_ns, send_one, g, 0);
}

void gram_start(struct gram *g, uint64_t start)
{
	net_at(g->net, start, send_one, g, 0);
}

void gram_event(struct gram *g, struct net_host *host, const struct cpl_event *event)
{
	unsigned side = host == g->server;
	struct cpl_endpoint from, to;
	uint8_t data[GRAM_MAX];
	long n;

	if (event->handle != g->handle[side] || g->life[side] != host->lives ||
	    !(event->what & CPL_EV_READABLE))
		return;
	while (!g->net->failed && (n = cpl_udp_recv(host->stack, event->handle, &from, &to, data,
						    sizeof(data), net_clock(host))) >= 0) {
		net_touch(host);
		check(g, host, data, n);
		if (!side) {
			g->answered++;
			continue;
		}
		g->echoed++;
		n = cpl_udp_send(host->stack, event->handle, &to, &from, data, (size_t)n,
				 net_clock(host));
		g->refused += n < 0;
	}
}
