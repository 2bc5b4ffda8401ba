/* SPDX-License-Identifier: MIT */
/*
 * A host of the simulated network: its stack, allocator, clock and devices. The devices misbehave
 * within what the interface allows: they refuse frames, keep the memory of others for a while (and
 * check that it stays as it was), lend received frames and take them back.
 */
#include "sim/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/cut.h"
#include "sim/draw.h"

#define BATCH	   16
#define BLOCKED_NS 200000 /* how long a device that refused a frame is left alone */

/* A frame that was lent to the stack. */
struct net_lent {
	struct net_lent *next;
	uint64_t token;
	struct wire_frame *frame;
};

/* ---- Allocator ------------------------------------------------------------------------------ */

static void *host_alloc(void *ctx, size_t size)
{
	struct net_host *host = ctx;
	struct net *net = host->net;
	void *p;

	host->allocations++;
	if (net->now < host->alloc_fail_until && host->alloc_fail > 0 &&
	    draw_unit(net_draw(net)) < host->alloc_fail) {
		host->alloc_failed++;
		return NULL;
	}
	p = malloc(size);
	if (!p)
		return NULL;
	/* Contents are undefined: make sure that nothing relies on zero. */
	memset(p, 0xa5, size < 65536 ? size : 65536);
	host->allocated += size;
	if (host->allocated > host->allocated_most)
		host->allocated_most = host->allocated;
	return p;
}

static void host_release(void *ctx, void *slab, size_t size)
{
	struct net_host *host = ctx;

	if (host->allocated < size)
		net_fail(host->net, "%s: more memory released than allocated", host->name);
	host->allocated -= size;
	free(slab);
}

/* ---- Making and ending ---------------------------------------------------------------------- */

struct net_host *net_host_add(struct net *net, const char *name, const struct cpl_config *config)
{
	struct net_host *host = calloc(1, sizeof(*host));

	if (!host || net->hosts_n == NET_HOSTS)
		abort();
	host->net = net;
	host->index = net->hosts_n;
	snprintf(host->name, sizeof(host->name), "%s", name);
	host->config = *config;
	host->config.alloc = host_alloc;
	host->config.release = host_release;
	host->config.alloc_ctx = host;
	net->hosts[net->hosts_n++] = host;
	return host;
}

struct net_iface *net_iface_add(struct net_host *host, const struct cpl_iface_config *config)
{
	struct net_iface *iface = &host->ifaces[host->ifaces_n];
	struct cpl_iface_config *c = &iface->config;

	if (host->ifaces_n == NET_IFACES)
		abort();
	*c = *config;
	c->size = sizeof(*c);
	snprintf(c->name, sizeof(c->name), "sim%u", host->ifaces_n);
	memcpy(c->mac,
	       (uint8_t[6]){ 2, 0, 0, 0, (uint8_t)(host->index + 1),
			     (uint8_t)(host->ifaces_n + 1) },
	       6);
	iface->host = host;
	host->ifaces_n++;
	return iface;
}

void net_addr_add(struct net_iface *iface, const struct cpl_addr *addr, unsigned prefix_len)
{
	if (iface->addrs_n == NET_ADDRS)
		abort();
	iface->addrs[iface->addrs_n] = *addr;
	iface->prefix_len[iface->addrs_n++] = prefix_len;
}

int net_host_start(struct net_host *host)
{
	uint64_t word, now = net_clock(host);
	int r;

	for (unsigned i = 0; i < sizeof(host->config.secret); i += 8) {
		word = net_draw(host->net);
		memcpy(host->config.secret + i, &word, 8);
	}
	r = cpl_stack_new(&host->stack, &host->config, now);
	if (r) {
		host->stack = NULL;
		return r;
	}
	host->lives++;
	for (unsigned i = 0; i < host->ifaces_n; i++) {
		struct net_iface *iface = &host->ifaces[i];

		iface->ifindex = cpl_iface_add(host->stack, &iface->config, now);
		if (iface->ifindex < 0)
			return iface->ifindex;
		for (unsigned a = 0; a < iface->addrs_n; a++) {
			r = cpl_addr_add(host->stack, iface->ifindex, &iface->addrs[a],
					 iface->prefix_len[a], now);
			if (r)
				return r;
		}
	}
	net_touch(host);
	return 0;
}

void net_host_stop(struct net_host *host)
{
	struct net_lent *lent;

	if (host->stack)
		cpl_stack_free(host->stack);
	host->stack = NULL;
	if (host->allocated)
		net_fail(host->net, "%s: %llu bytes leaked by cpl_stack_free()", host->name,
			 (unsigned long long)host->allocated);
	while ((lent = host->lent)) {
		host->lent = lent->next;
		free(lent->frame);
		free(lent);
	}
	for (unsigned i = 0; i < host->ifaces_n; i++)
		host->ifaces[i].held_n = 0;
}

void net_host_restart(struct net_host *host)
{
	struct net_sight sight = { .what = NET_RESTARTED, .host = host };
	double fail = host->alloc_fail;
	int r;

	net_host_stop(host);
	/* A monotonic clock begins near zero at boot: it may go back. */
	host->clock = draw_below(net_draw(host->net), CPL_SECOND);
	host->alloc_fail = 0;
	r = net_host_start(host);
	host->alloc_fail = fail;
	if (r) {
		net_fail(host->net, "%s: cannot restart: %d", host->name, r);
		return;
	}
	net_show(host->net, &sight);
	if (host->net->program.restarted)
		host->net->program.restarted(host->net->program.ctx, host);
}

static void thaw(void *ctx, uint64_t arg)
{
	(void)arg;
	net_touch(ctx);
}

void net_host_freeze(struct net_host *host, uint64_t until)
{
	host->frozen_until = until;
	net_at(host->net, until, thaw, host, 0);
}

/* ---- Time ----------------------------------------------------------------------------------- */

static uint64_t stack_deadline(const struct net_host *host)
{
	uint64_t d;

	if (!host->stack)
		return UINT64_MAX;
	d = cpl_deadline(host->stack);
	if (d == CPL_NEVER)
		return UINT64_MAX;
	d = d < host->clock ? 0 : d - host->clock;
	/* How late depends on the deadline alone: it must not move while it is waited for. */
	if (host->timer_slack_ns)
		d += draw_below(draw_at(host->net->seed, d, 4), host->timer_slack_ns + 1);
	return d;
}

uint64_t host_deadline(const struct net_host *host)
{
	uint64_t d = stack_deadline(host);

	for (unsigned i = 0; i < host->ifaces_n; i++) {
		const struct net_iface *iface = &host->ifaces[i];

		if (iface->held_n && iface->held[iface->held_first].until < d)
			d = iface->held[iface->held_first].until;
		if (iface->blocked_until > host->net->now && iface->blocked_until < d)
			d = iface->blocked_until;
	}
	return d < host->frozen_until ? host->frozen_until : d;
}

void host_advance(struct net_host *host)
{
	struct net_sight sight = { .what = NET_TIMING, .host = host };
	struct net *net = host->net;

	if (!host->stack || net->now < host->frozen_until)
		return;
	for (unsigned i = 0; i < host->ifaces_n; i++) {
		struct net_iface *iface = &host->ifaces[i];

		if ((iface->held_n && iface->held[iface->held_first].until <= net->now) ||
		    iface->blocked_until == net->now)
			net_touch(host);
	}
	if (stack_deadline(host) > net->now)
		return;
	net_show(net, &sight);
	cpl_advance(host->stack, net_clock(host));
	net_touch(host);
	if (cpl_deadline(host->stack) <= net_clock(host) && !cpl_deadline(host->stack))
		net_fail(net, "%s: the deadline is 0", host->name);
	sight.what = NET_TIMED;
	net_show(net, &sight);
}

/* ---- Output --------------------------------------------------------------------------------- */

static uint64_t out_sum(const struct cpl_out *out)
{
	uint64_t h = out->len, w;

	for (unsigned i = 0; i < out->iov_n; i++) {
		const uint8_t *p = out->iov[i].base;
		size_t n = out->iov[i].len;

		for (; n >= 8; p += 8, n -= 8) {
			memcpy(&w, p, 8);
			h = (h ^ w) * 0x9fb21c651e98df25u;
			h ^= h >> 31;
		}
		w = n;
		memcpy(&w, p, n);
		h = draw_mix(h ^ w);
	}
	return h;
}

/* Give back what the device is done with. */
static bool give_back(struct net_iface *iface)
{
	struct net_host *host = iface->host;
	bool any = false;

	while (iface->held_n) {
		struct net_held *held = &iface->held[iface->held_first];
		int r;

		if (held->until > host->net->now)
			break;
		if (out_sum(&held->out) != held->sum)
			net_fail(host->net, "%s: a frame's memory changed before output_done",
				 host->name);
		r = cpl_output_done(host->stack, held->out.token, held->sent, net_clock(host));
		if (r)
			net_fail(host->net, "%s: cpl_output_done() says %d", host->name, r);
		iface->held_first = (iface->held_first + 1) % NET_HELD;
		iface->held_n--;
		any = true;
	}
	return any;
}

/* Copy OUT into one piece; false: it contradicts itself. */
static bool gather(const struct cpl_out *out, uint8_t data[CUT_FRAME_MAX])
{
	uint32_t n = 0;

	if (out->len > CUT_FRAME_MAX || out->iov_n > CPL_OUT_IOV)
		return false;
	for (unsigned i = 0; i < out->iov_n; i++) {
		if (out->iov[i].len > out->len - n)
			return false;
		memcpy(data + n, out->iov[i].base, out->iov[i].len);
		n += (uint32_t)out->iov[i].len;
	}
	return n == out->len;
}

static void take(struct net_iface *iface, const struct cpl_out *out)
{
	struct net_host *host = iface->host;
	struct net *net = host->net;
	struct net_held *held = &iface->held[(iface->held_first + iface->held_n) % NET_HELD];
	uint64_t last = net->now, random = net_draw(net);
	uint8_t data[CUT_FRAME_MAX];

	if (iface->held_n)
		last = iface->held[(iface->held_first + iface->held_n - 1) % NET_HELD].until;
	*held = (struct net_held){ .out = *out, .until = net->now, .sum = out_sum(out) };
	held->sent = net->now >= iface->refuse_until ||
		     draw_unit(draw_at(random, 0, 0)) >= iface->refuse;
	if (iface->hold_ns)
		held->until += draw_below(draw_at(random, 1, 0), iface->hold_ns + 1);
	if (held->until < last)
		held->until = last;
	iface->held_n++;
	iface->taken++;
	if (!held->sent) {
		iface->blocked_until = net->now + BLOCKED_NS;
		return;
	}
	if (!gather(out, data)) {
		net_fail(net, "%s: a frame whose pieces do not add up to its length", host->name);
		return;
	}
	link_send(iface, out, data);
}

static bool transmit(struct net_iface *iface)
{
	struct net_host *host = iface->host;
	struct cpl_out outs[BATCH];
	unsigned room = NET_HELD - iface->held_n, batch = iface->batch ? iface->batch : BATCH;
	int n;

	if (!iface->link || host->net->now < iface->blocked_until || room == 0)
		return false;
	n = cpl_output(host->stack, iface->ifindex, outs, room < batch ? room : batch,
		       net_clock(host));
	if (n < 0)
		net_fail(host->net, "%s: cpl_output() says %d", host->name, n);
	for (int i = 0; i < n; i++)
		take(iface, &outs[i]);
	return n > 0;
}

static bool take_back_lent(struct net_host *host)
{
	uint64_t token;
	bool any = false;

	while (cpl_next_release(host->stack, &token)) {
		struct net_lent **at = &host->lent, *lent;

		while (*at && (*at)->token != token)
			at = &(*at)->next;
		lent = *at;
		if (!lent) {
			net_fail(host->net, "%s: released token %llu, which was not lent",
				 host->name, (unsigned long long)token);
			return false;
		}
		*at = lent->next;
		free(lent->frame);
		free(lent);
		any = true;
	}
	return any;
}

bool host_serve(struct net_host *host)
{
	struct net *net = host->net;
	struct net_sight sight = { .what = NET_PROGRAM, .host = host };
	struct cpl_event event;
	bool any = false;

	host->touched = false;
	if (!host->stack || net->now < host->frozen_until)
		return false;
	while (!net->failed && cpl_next_event(host->stack, &event)) {
		any = true;
		if (net->program.event)
			net->program.event(net->program.ctx, host, &event);
		if (!host->stack)
			return true;
	}
	if (any)
		net_show(net, &sight);
	for (unsigned i = 0; i < host->ifaces_n && !net->failed; i++) {
		any |= give_back(&host->ifaces[i]);
		any |= transmit(&host->ifaces[i]);
		any |= give_back(&host->ifaces[i]);
	}
	any |= take_back_lent(host);
	if (any)
		net_touch(host);
	return any;
}

/* ---- Input ---------------------------------------------------------------------------------- */

static void show_arrival(struct net_iface *iface, struct net_host *peer,
			 const struct wire_frame *frame, enum net_what what)
{
	struct net_sight sight = {
		.what = what,
		.host = iface->host,
		.peer = peer,
		.iface = iface,
		.frame = frame->data,
		.len = frame->len,
		.gso_size = frame->gso_size,
		.ether = iface->link->ether,
	};

	net_show(iface->host->net, &sight);
}

/* FRAME as it is handed in; *LENT: it stays ours, or NULL. */
static struct cpl_frame prepare(struct net_iface *iface, struct wire_frame *frame,
				struct net_lent **lent)
{
	struct net_host *host = iface->host;
	struct cpl_frame in = { .data = frame->data,
				.len = frame->len,
				.flags = frame->flags,
				.gso_size = frame->gso_size };
	uint64_t random = net_draw(host->net);

	if (host->verified && (!frame->corrupt || iface->link->params.corrupt_unseen))
		in.flags |= CPL_FRAME_CSUM_OK;
	*lent = host->lend > 0 && draw_unit(random) < host->lend ? malloc(sizeof(**lent)) : NULL;
	if (*lent) {
		**lent = (struct net_lent){ NULL, random | 1, frame };
		in.flags |= CPL_FRAME_LEND;
		in.token = (*lent)->token;
	}
	return in;
}

/* N frames at once. Of those with LENT one may be lost for want of memory: then FRAMES has NULL. */
static void hand_in(struct net_iface *iface, const struct cpl_frame *in, struct net_lent **lent,
		    struct wire_frame **frames, unsigned n)
{
	struct net_host *host = iface->host;
	unsigned i = 0;

	for (unsigned k = 0; k < n; k++) {
		if (!lent[k])
			continue;
		lent[k]->next = host->lent;
		host->lent = lent[k];
	}
	while (i < n) {
		int r = cpl_input(host->stack, iface->ifindex, in + i, n - i, net_clock(host));
		struct net_lent **at = &host->lent;

		if (r < 0 || (unsigned)r > n - i) {
			net_fail(host->net, "%s: cpl_input() says %d", host->name, r);
			return;
		}
		i += (unsigned)r;
		host->frames_in += (unsigned)r;
		if (i == n)
			return;
		if (!lent[i]) {
			net_fail(host->net, "%s: cpl_input() left a frame", host->name);
			return;
		}
		/* No memory to remember the loan: the frame is lost. */
		while (*at != lent[i])
			at = &(*at)->next;
		*at = lent[i]->next;
		free(lent[i]);
		free(frames[i]);
		frames[i++] = NULL;
	}
}

void host_input(struct net_iface *iface, struct net_host *peer, struct wire_frame **frames,
		unsigned n)
{
	struct net_host *host = iface->host;
	struct net_lent *lent[NET_BATCH];
	struct cpl_frame in[NET_BATCH];

	for (unsigned i = 0; i < n && host->stack; i++) {
		in[i] = prepare(iface, frames[i], &lent[i]);
		net_hash(host->net, host->index + 1, frames[i]->data, frames[i]->len);
		show_arrival(iface, peer, frames[i], NET_ARRIVING);
	}
	if (host->stack)
		hand_in(iface, in, lent, frames, n);
	for (unsigned i = 0; i < n; i++) {
		if (frames[i] && host->stack)
			show_arrival(iface, peer, frames[i], NET_ARRIVED);
		if (!host->stack || !lent[i])
			free(frames[i]);
	}
	if (host->stack)
		net_touch(host);
}
