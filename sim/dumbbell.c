/* SPDX-License-Identifier: MIT */
/* Flows that share one bottleneck: see dumbbell.h. */
#include "sim/dumbbell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/draw.h"

#define SENDER_PORT 40001
#define BATCH	    16
#define BLOCK	    65536
#define FRAME_MAX   2048
#define MTU	    1500
#define BUFFER_MIN  (8u << 20)
#define BUFFER_MAX  (512u << 20)
#define RECEIVER    256u /* in the user word: the receiving end of the flow, or its listener */

/* ---- Spreads -------------------------------------------------------------------------------- */

/* Each octave has 32 buckets, the first 64 values one each. */
void spread_add(struct spread *s, uint64_t value)
{
	unsigned shift = value < 64 ? 0 : 58 - (unsigned)__builtin_clzll(value);

	s->buckets[32 * shift + (value >> shift)]++;
	s->n++;
}

uint64_t spread_at(const struct spread *s, double share)
{
	uint64_t left = (uint64_t)((double)s->n * share);
	unsigned i = 0, shift;

	if (!s->n)
		return 0;
	if (left >= s->n)
		left = s->n - 1;
	for (; s->buckets[i] <= left; i++)
		left -= s->buckets[i];
	shift = i < 64 ? 0 : i / 32 - 1;
	return (uint64_t)(i - 32 * shift) << shift;
}

/* ---- Making --------------------------------------------------------------------------------- */

static void must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "couplet: dumbbell: %s\n", what);
	abort();
}

static void *slab_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return malloc(size);
}

static void slab_release(void *ctx, void *slab, size_t size)
{
	(void)ctx;
	(void)size;
	free(slab);
}

/* All that can be in the network, and as much again that is not acknowledged yet. */
static uint32_t buffer_size(const struct dumbbell *d, const struct wire_params *params)
{
	uint64_t rtt = 0, most;

	for (unsigned i = 0; i < d->flows_n; i++)
		if (d->flows[i].rtt_ns > rtt)
			rtt = d->flows[i].rtt_ns;
	most = 3 * (params->rate_bps / 8000 * (rtt / 1000) / 1000 + params->queue_bytes);
	return most < BUFFER_MIN ? BUFFER_MIN : most > BUFFER_MAX ? BUFFER_MAX : (uint32_t)most;
}

static int make_stack(struct dumbbell *d, cpl_stack **stack, uint8_t host, uint64_t seed)
{
	struct cpl_iface_config iface = { .size = sizeof(iface),
					  .name = "sim0",
					  .kind = CPL_IFACE_IP,
					  .mtu = MTU,
					  .flags = CPL_IFACE_CSUM_OUT };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, host);
	int ifindex;

	for (unsigned i = 0; i < sizeof(d->config.secret); i += 8) {
		uint64_t word = draw_at(seed, host, i);

		memcpy(d->config.secret + i, &word, 8);
	}
	must(!cpl_stack_new(stack, &d->config, 0), "no stack");
	ifindex = cpl_iface_add(*stack, &iface, 0);
	must(ifindex > 0, "no interface");
	must(!cpl_addr_add(*stack, ifindex, &addr, 24, 0), "no address");
	return ifindex;
}

static void make_listener(struct dumbbell *d, unsigned i)
{
	struct dumbbell_flow *flow = &d->flows[i];
	struct cpl_endpoint at = { .addr = cpl_addr4(10, 0, 0, 2),
				   .port = (uint16_t)(DUMBBELL_PORT + i) };

	must(!cpl_listen(d->receiver, &at, 1, &flow->listener, 0), "no listener");
	cpl_set_user(d->receiver, flow->listener, RECEIVER + i);
	/* DCTCP's receiver acknowledges in a way of its own (RFC 8257 3.2). */
	must(!cpl_set_congestion(d->receiver, flow->listener, flow->cc, 0), "no controller");
}

void dumbbell_init(struct dumbbell *d, const struct wire_params *params,
		   struct dumbbell_flow *flows, unsigned flows_n, uint64_t seed)
{
	struct wire_params there = *params, back = { .frames_max = UINT32_MAX };
	uint64_t rtt = UINT64_MAX;

	memset(d, 0, sizeof(*d));
	must(flows_n && flows_n <= DUMBBELL_FLOWS, "too many flows");
	d->flows = flows;
	d->flows_n = flows_n;
	cpl_config_init(&d->config);
	d->config.alloc = slab_alloc;
	d->config.release = slab_release;
	d->config.conns_max = 64;
	d->config.sndbuf_max = d->config.rcvbuf_max = buffer_size(d, params);
	d->config.memory_max = 8ull * d->config.sndbuf_max;
	d->sender_if = make_stack(d, &d->sender, 1, seed);
	d->receiver_if = make_stack(d, &d->receiver, 2, seed);
	for (unsigned i = 0; i < flows_n; i++)
		rtt = flows[i].rtt_ns < rtt ? flows[i].rtt_ns : rtt;
	there.delay_ns = rtt / 2;
	there.frames_max = UINT32_MAX;
	wire_init(&d->there, &there, draw_at(seed, 0, 1));
	for (unsigned i = 0; i < flows_n; i++) {
		back.delay_ns = flows[i].rtt_ns - there.delay_ns;
		wire_init(&d->back[i], &back, draw_at(seed, i + 1, 1));
		make_listener(d, i);
	}
}

void dumbbell_free(struct dumbbell *d)
{
	cpl_stack_free(d->sender);
	cpl_stack_free(d->receiver);
	wire_destroy(&d->there);
	for (unsigned i = 0; i < d->flows_n; i++)
		wire_destroy(&d->back[i]);
}

bool dumbbell_info(struct dumbbell *d, const struct dumbbell_flow *flow, struct cpl_info *info)
{
	return flow->sender && !cpl_info_get(d->sender, flow->sender, info, d->now);
}

/* ---- The programs --------------------------------------------------------------------------- */

static uint8_t block[BLOCK]; /* what is sent does not matter */

static void open_flow(struct dumbbell *d, unsigned i)
{
	struct dumbbell_flow *flow = &d->flows[i];
	struct cpl_endpoint from = { .addr = cpl_addr4(10, 0, 0, 1),
				     .port = (uint16_t)(SENDER_PORT + i) };
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2),
				   .port = (uint16_t)(DUMBBELL_PORT + i) };

	must(!cpl_open(d->sender, &from, &flow->sender, d->now), "no connection");
	cpl_set_user(d->sender, flow->sender, i);
	must(!cpl_set_congestion(d->sender, flow->sender, flow->cc, d->now), "no controller");
	must(!cpl_open_active(d->sender, flow->sender, &to, d->now), "no connection");
}

static void read_all(struct dumbbell *d, struct dumbbell_flow *flow)
{
	static uint8_t data[BLOCK];
	long n, sum = 0;

	while ((n = cpl_recv(d->receiver, flow->receiver, data, sizeof(data), 0, d->now)) > 0)
		sum += n;
	if (!sum)
		return;
	flow->received += (uint64_t)sum;
	if (flow->last_read)
		spread_add(&flow->gaps, d->now - flow->last_read);
	flow->last_read = d->now;
}

static void take_events(struct dumbbell *d, cpl_stack *stack)
{
	struct cpl_event ev;

	while (cpl_next_event(stack, &ev)) {
		struct dumbbell_flow *flow = &d->flows[ev.user % RECEIVER];

		if (ev.what & CPL_EV_ACCEPT) {
			must(!cpl_accept(stack, ev.handle, &flow->receiver, d->now), "no accept");
			cpl_set_user(stack, flow->receiver, ev.user);
			read_all(d, flow);
		} else if (ev.user < RECEIVER) {
			while (cpl_send(stack, flow->sender, block, BLOCK, 0, d->now) == BLOCK)
				;
		} else if (ev.handle == flow->receiver) {
			read_all(d, flow);
		}
	}
}

/* ---- The network ---------------------------------------------------------------------------- */

static void put(struct dumbbell *d, const uint8_t *frame, uint32_t len, uint32_t flags)
{
	/* IPv4 without options: the ports follow it. */
	unsigned port = (unsigned)frame[22] << 8 | frame[23];

	if (port >= SENDER_PORT) {
		wire_put(&d->back[port - SENDER_PORT], frame, len, 0, flags, d->now, NULL);
		return;
	}
	if (wire_put(&d->there, frame, len, 0, flags, d->now, NULL) != WIRE_SENT)
		return;
	d->packets++;
	spread_add(&d->queueing, d->there.params.rate_bps ? d->there.backlog * 8000000000ull /
								    d->there.params.rate_bps
							  : 0);
}

/* What the stack has to say goes onto the wires. True: there was something. */
static bool transmit(struct dumbbell *d, cpl_stack *stack, int ifindex)
{
	struct cpl_out outs[BATCH];
	uint8_t frame[FRAME_MAX];
	int n = cpl_output(stack, ifindex, outs, BATCH, d->now);

	for (int i = 0; i < n; i++) {
		uint32_t len = 0;

		for (unsigned v = 0; v < outs[i].iov_n; v++) {
			must(len + outs[i].iov[v].len <= FRAME_MAX, "a frame too long");
			memcpy(frame + len, outs[i].iov[v].base, outs[i].iov[v].len);
			len += (uint32_t)outs[i].iov[v].len;
		}
		put(d, frame, len, outs[i].csum_start ? CPL_FRAME_CSUM_PARTIAL : 0);
		cpl_output_done(stack, outs[i].token, 1, d->now);
	}
	return n > 0;
}

static void serve(struct dumbbell *d, cpl_stack *stack, int ifindex)
{
	do
		take_events(d, stack);
	while (transmit(d, stack, ifindex));
}

/* True: something arrived. */
static bool deliver(struct dumbbell *d, struct wire *wire, cpl_stack *stack, int ifindex)
{
	struct wire_frame *frame;
	bool any = false;

	while ((frame = wire_take(wire, d->now))) {
		struct cpl_frame in = { .data = frame->data,
					.len = frame->len,
					.flags = frame->flags };

		cpl_input(stack, ifindex, &in, 1, d->now);
		free(frame);
		any = true;
	}
	return any;
}

static bool advance(struct dumbbell *d, cpl_stack *stack)
{
	if (cpl_deadline(stack) > d->now)
		return false;
	cpl_advance(stack, d->now);
	return true;
}

static uint64_t next_instant(const struct dumbbell *d)
{
	uint64_t t = wire_deadline(&d->there), other;

	for (unsigned i = 0; i < d->flows_n; i++) {
		other = wire_deadline(&d->back[i]);
		t = other < t ? other : t;
		if (!d->flows[i].sender && d->flows[i].start_ns < t)
			t = d->flows[i].start_ns;
	}
	other = cpl_deadline(d->sender);
	t = other < t ? other : t;
	other = cpl_deadline(d->receiver);
	t = other < t ? other : t;
	return t < d->now ? d->now : t;
}

void dumbbell_run(struct dumbbell *d, uint64_t until)
{
	uint64_t t;

	while ((t = next_instant(d)) <= until) {
		bool sender = false, receiver;

		d->now = t;
		for (unsigned i = 0; i < d->flows_n; i++) {
			if (!d->flows[i].sender && d->flows[i].start_ns <= t) {
				open_flow(d, i);
				sender = true;
			}
			sender |= deliver(d, &d->back[i], d->sender, d->sender_if);
		}
		receiver = deliver(d, &d->there, d->receiver, d->receiver_if);
		sender |= advance(d, d->sender);
		receiver |= advance(d, d->receiver);
		if (receiver)
			serve(d, d->receiver, d->receiver_if);
		if (sender)
			serve(d, d->sender, d->sender_if);
	}
	d->now = until;
}
