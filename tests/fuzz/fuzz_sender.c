/* SPDX-License-Identifier: MIT */
/*
 * A sender with data in flight, and a receiver that lies: acknowledgments, SACK and DSACK blocks of
 * any form (below SND.UNA, beyond SND.NXT, inverted, overlapping, reneged), echoes of timestamps
 * from any time, ECN flags and AccECN options, windows that shrink, path MTUs, a device that
 * refuses. Under each controller, with and without SACK, timestamps, offload and ECN; time goes to
 * the next timer, so that recovery is met in each of its states.
 *
 * Oracles: tcb_check() after each event (CPL_DEBUG builds), the sanitizers, what a snapshot says
 * adds up, and life: once the receiver is honest again, all that was written is sent to the end.
 */
#include "tests/fuzz/fuzz.h"

#include <couplet/couplet.h>

#include "base/seq.h"
#include "tests/util/heap.h"
#include "tests/util/packet.h"

#define FRAMES 8
#define PORT   7
#define LENGTH 600 /* of a script: what it takes to get into any state, and out of it */

struct script {
	const uint8_t *p, *end;
	struct heap heap;
	cpl_stack *stack;
	int ifindex;
	uint64_t now;
	cpl_handle h;
	uint16_t port; /* ours */
	bool ts, ts_agreed;
	uint32_t tsval[2]; /* last seen, and an earlier one */
	uint32_t seq;	   /* the peer's SND.NXT */
	uint64_t written;
	struct cpl_info info;
};

static uint32_t take(struct script *s, unsigned n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | (s->p < s->end ? *s->p++ : 0);
	return v;
}

/* What TCB says of itself now; false: it is gone. */
static bool look(struct script *s)
{
	struct cpl_info *i = &s->info;

	if (cpl_info_get(s->stack, s->h, i, s->now) || i->state == CPL_CLOSED)
		return false;
	CHECK(i->why_time_sending + i->why_time_idle + i->why_time_handshake + i->why_time_cwnd +
		      i->why_time_rwnd + i->why_time_zero_wnd + i->why_time_nagle +
		      i->why_time_pacing + i->why_time_device + i->why_time_memory +
		      i->why_time_sndbuf + i->why_time_recovery ==
	      i->age);
	CHECK(i->why_time_busy <= i->age);
	CHECK(i->sacked + i->lost <= i->in_flight && i->pipe <= 2 * i->in_flight);
	CHECK(!cpl_info_known(i, CPL_F_cwnd) || i->cwnd > 0);
	CHECK(i->bytes_retrans <= i->bytes_sent);
	return true;
}

/* ---- Segments from the peer -------------------------------------------------------------- */

struct options {
	uint8_t b[40];
	unsigned n;
};

static void put32(struct options *o, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		o->b[o->n++] = (uint8_t)(v >> shift);
}

static void add_kind(struct options *o, uint8_t kind, uint8_t len)
{
	o->b[o->n++] = kind;
	o->b[o->n++] = len;
}

/* A number of the stream, near something. */
static uint32_t near(struct script *s)
{
	uint32_t una = s->info.snd_una, flight = s->info.snd_nxt - una;
	uint32_t mss = s->info.snd_mss ? s->info.snd_mss : 1;
	uint8_t what = (uint8_t)take(s, 1);

	switch (what % 8) {
	case 0:
		return take(s, 4);
	case 1:
		return una - take(s, 2);
	case 2:
		return s->info.snd_nxt + (uint32_t)(int8_t)take(s, 1);
	case 3:
		return una + (uint32_t)(int8_t)take(s, 1);
	case 4:
		return una + (flight ? take(s, 4) % (flight + 1) : 0);
	default: /* a segment's edge */
		return una + mss * (flight ? take(s, 1) % (flight / mss + 1) : 0);
	}
}

static void add_sack(struct script *s, struct options *o)
{
	unsigned n = 1 + take(s, 1) % 4, room = (40 - o->n - 4) / 8;
	uint32_t start = s->info.snd_una, end = start;

	n = n < room ? n : room;
	add_kind(o, 1, 1);
	add_kind(o, 5, (uint8_t)(2 + 8 * n));
	while (n--) {
		uint8_t form = (uint8_t)take(s, 1);

		if (form % 4 != 3) { /* 3: the last one again, or inside it */
			start = near(s);
			end = form & 4 ? near(s) : start + s->info.snd_mss * (1 + form / 32u);
		} else if (end - start > 2) {
			start++;
			end -= form / 128;
		}
		put32(o, start);
		put32(o, end);
	}
}

static void add_timestamp(struct script *s, struct options *o)
{
	uint8_t what = (uint8_t)take(s, 1);
	uint32_t echo = s->tsval[0];

	switch (what % 8) {
	case 0:
		echo = take(s, 4);
		break;
	case 1:
		echo += (uint32_t)(int8_t)take(s, 1);
		break;
	case 2:
		echo = s->tsval[1];
		break;
	default:
		break;
	}
	add_kind(o, 1, 1);
	add_kind(o, 8, 10);
	put32(o, (uint32_t)(s->now / CPL_MS) + (what & 8 ? (uint32_t)(int8_t)take(s, 1) : 0));
	put32(o, echo);
}

/* AccECN options of either order and any length (RFC 9768 3.2.3). */
static void add_accecn(struct script *s, struct options *o)
{
	uint8_t what = (uint8_t)take(s, 1), len = (uint8_t)(what >> 2 & 15);

	if (o->n + 2u + len > 40)
		return;
	add_kind(o, what & 1 ? 172 : 174, (uint8_t)(2 + len));
	while (len--)
		o->b[o->n++] = (uint8_t)take(s, 1);
}

static void put(struct script *s, uint16_t flags, uint32_t ack, uint16_t wnd,
		const struct options *given)
{
	struct options o = *given;
	struct ip_hdr ip = { .src = cpl_addr4(10, 0, 0, 1), .dst = cpl_addr4(10, 0, 0, 2) };
	struct tcp_seg seg = { .sport = PORT,
			       .dport = s->port,
			       .seq = s->seq,
			       .ack = ack,
			       .flags = flags,
			       .wnd = wnd };
	struct cpl_frame f = { 0 };
	uint8_t packet[200];

	while (o.n % 4)
		o.b[o.n++] = 0;
	f.data = packet;
	f.len = packet_tcp_raw(packet, sizeof(packet), &ip, &seg, o.b, o.n);
	cpl_input(s->stack, s->ifindex, &f, 1, s->now);
}

/* ---- Steps ------------------------------------------------------------------------------- */

static void step_write(struct script *s)
{
	static const uint8_t data[30000];
	long n = cpl_send(s->stack, s->h, data, 1 + take(s, 2) % sizeof(data), 0, s->now);

	s->written += n > 0 ? (uint64_t)n : 0;
}

/* The device takes some, and refuses some. */
static void output(struct script *s, uint8_t refused)
{
	static uint8_t packet[66000];
	struct cpl_out out[FRAMES];
	int n = cpl_output(s->stack, s->ifindex, out, FRAMES, s->now);
	struct test_packet t;

	for (int i = 0; i < n; i++) {
		if (packet_parse(&t, packet, packet_gather(packet, sizeof(packet), &out[i]),
				 false) == PACKET_TCP) {
			s->port = t.tcp.sport;
			if (t.tcp.opts & TCP_HAS_TS && t.tcp.tsval != s->tsval[0]) {
				s->tsval[1] = s->tsval[0];
				s->tsval[0] = t.tcp.tsval;
			}
		}
		CHECK(cpl_output_done(s->stack, out[i].token, !(refused >> i & 1), s->now) == 0);
	}
}

static void step_output(struct script *s)
{
	uint8_t how = (uint8_t)take(s, 1);

	output(s, how % 4 ? 0 : (uint8_t)take(s, 1));
}

static void acknowledge(struct script *s, uint32_t ack, unsigned what)
{
	uint16_t flags = TCP_ACK, wnd = what & 64 ? (uint16_t)take(s, 2) : 65535;
	struct options o = { .n = 0 };

	if (what & 32) /* ECE, CWR, AE */
		flags |= (uint16_t)((take(s, 1) & 7) << 6);
	if (s->ts_agreed && !(what & 128))
		add_timestamp(s, &o);
	if (what & 8)
		add_accecn(s, &o);
	if (what & 16 && o.n < 28)
		add_sack(s, &o);
	put(s, flags, ack, wnd, &o);
}

/* Anything. */
static void step_lie(struct script *s)
{
	unsigned what = take(s, 1);

	acknowledge(s, what & 4 ? near(s) : s->info.snd_una, what);
}

/* Honest: some segments more. */
static void step_ack(struct script *s)
{
	unsigned what = take(s, 1);
	uint32_t ack = s->info.snd_una + s->info.snd_mss * (1 + what % 8);

	acknowledge(s, seq_min(ack, s->info.snd_nxt), what & 0x28);
}

/* A hole: what follows the first one, two ... segments has come. */
static void step_hole(struct script *s)
{
	unsigned what = take(s, 1);
	uint32_t mss = s->info.snd_mss, start = s->info.snd_una + mss * (1 + what % 4);
	struct options o = { .n = 0 };

	if (s->ts_agreed)
		add_timestamp(s, &o);
	if (seq_lt(start, s->info.snd_nxt)) {
		add_kind(&o, 1, 1);
		add_kind(&o, 5, 10);
		put32(&o, start);
		put32(&o, seq_min(start + mss * (1 + what / 4 % 16), s->info.snd_nxt));
	}
	put(s, TCP_ACK, s->info.snd_una, 65535, &o);
}

/* DSACK: the last segments below SND.UNA came twice, as after a needless retransmission. */
static void step_twice(struct script *s)
{
	unsigned what = take(s, 1);
	uint32_t end = s->info.snd_una - s->info.snd_mss * (what & 3);
	struct options o = { .n = 0 };

	if (what & 4) /* or those above it: the ACK follows */
		end = seq_min(s->info.snd_una + 2 * s->info.snd_mss, s->info.snd_nxt);
	if (s->ts_agreed)
		add_timestamp(s, &o);
	add_kind(&o, 1, 1);
	add_kind(&o, 5, 10);
	put32(&o, end - s->info.snd_mss * (1 + what / 8 % 4));
	put32(&o, end);
	put(s, TCP_ACK, what & 4 ? end : s->info.snd_una, 65535, &o);
}

static void step_time(struct script *s)
{
	uint8_t how = (uint8_t)take(s, 1);
	uint64_t next = cpl_deadline(s->stack);
	unsigned n = 0;

	if (how & 1 && next != CPL_NEVER && next > s->now)
		s->now = next;
	else if (how & 2) /* to the time-out: all that was in flight, or a probe of it, is lost */
		s->now += s->info.rto;
	else
		s->now += (uint64_t)take(s, 1) << how / 2 % 24;
	do {
		cpl_advance(s->stack, s->now);
		CHECK(n++ < 1000);
	} while (cpl_deadline(s->stack) <= s->now);
}

static void step_too_big(struct script *s)
{
	struct ip_hdr inner = { .src = cpl_addr4(10, 0, 0, 2), .dst = cpl_addr4(10, 0, 0, 1) };
	struct ip_hdr ip = { .src = inner.dst, .dst = inner.src };
	struct tcp_seg seg = { .sport = s->port, .dport = PORT, .seq = near(s) };
	struct icmp_msg m = { .type = 3, .code = 4, .rest = take(s, 2) };
	uint8_t quote[128], packet[256];
	struct cpl_frame f = { .data = packet };

	m.body_len = packet_tcp(quote, sizeof(quote), &inner, &seg);
	m.body = quote;
	f.len = packet_icmp(packet, sizeof(packet), &ip, &m);
	cpl_input(s->stack, s->ifindex, &f, 1, s->now);
}

static void step_memory(struct script *s)
{
	uint32_t n = take(s, 1);

	s->heap.left = n < 64 ? n % 8 : UINT64_MAX;
}

static void (*const steps[])(struct script *) = {
	step_write,   step_output, step_lie,  step_lie,	  step_lie,  step_ack,
	step_hole,    step_hole,   step_hole, step_time,  step_time, step_time,
	step_too_big, step_memory, step_ack,  step_twice,
};

/* ---- From the SYN to the end ------------------------------------------------------------- */

static bool start_stack(struct script *s, struct cpl_config *c)
{
	struct cpl_addr ours = cpl_addr4(10, 0, 0, 2);
	struct cpl_iface_config ic = { .size = sizeof(ic), .kind = CPL_IFACE_IP, .mtu = 1500 };

	if (take(s, 1) & 1) {
		ic.flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
		ic.gso_max = 65000;
	}
	if (cpl_stack_new(&s->stack, c, s->now))
		return false;
	s->ifindex = cpl_iface_add(s->stack, &ic, s->now);
	CHECK(s->ifindex > 0);
	CHECK(cpl_addr_add(s->stack, s->ifindex, &ours, 24, s->now) == 0);
	return true;
}

/* The controllers by name, and what there is of ECN. */
static bool begin(struct script *s)
{
	static const char *const cc[] = { "cubic", "reno", "bbr", "dctcp" };
	uint8_t choice = (uint8_t)take(s, 1), more = (uint8_t)take(s, 1);
	struct cpl_config c;

	heap_init(&s->heap, UINT64_MAX);
	s->now = CPL_SECOND;
	cpl_config_init(&c);
	c.alloc = heap_alloc;
	c.release = heap_release;
	c.alloc_ctx = &s->heap;
	c.memory_max = 8u << 20;
	c.conns_max = c.half_open_max = c.time_wait_max = c.neighbours_max = 16;
	c.fastopen_cache = 16;
	snprintf(c.cc_name, sizeof(c.cc_name), "%s", cc[choice % 4]);
	c.sack = !(choice & 4);
	c.timestamps = s->ts = !(choice & 8);
	c.initial_window = more & 1 ? 10 : 2;
	c.sndbuf = 60000;
	c.ecn = choice >> 4 & 7;
	if (start_stack(s, &c))
		return true;
	c.ecn = CPL_ECN_ACTIVE;
	return start_stack(s, &c);
}

static bool handshake(struct script *s)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 1), .port = PORT };
	uint16_t flags = TCP_SYN | TCP_ACK;
	uint8_t what = (uint8_t)take(s, 1);
	struct options o = { .n = 0 };

	if (cpl_connect(s->stack, NULL, &to, &s->h, s->now))
		return false;
	output(s, 0);
	if (!look(s))
		return false;
	flags |= (uint16_t)((what & 7) << 6);
	add_kind(&o, 2, 4);
	o.b[o.n++] = what & 8 ? 5 : 1;
	o.b[o.n++] = 0xb4;
	add_kind(&o, 4, 2);
	if (s->ts) {
		s->ts_agreed = true;
		add_kind(&o, 8, 10);
		put32(&o, (uint32_t)(s->now / CPL_MS));
		put32(&o, s->tsval[0]);
	}
	add_kind(&o, 3, 3);
	o.b[o.n++] = what >> 4;
	if (what & 128)
		add_accecn(s, &o);
	s->now += 20 * CPL_MS;
	s->seq = 5000;
	put(s, flags, s->info.iss + 1, 65535, &o);
	s->seq++;
	output(s, 0);
	return look(s) && s->info.state == CPL_ESTABLISHED;
}

/* Every segment is acknowledged from now on: what is left must go, and not take for ever. */
static void end_honestly(struct script *s)
{
	unsigned rounds = 0;

	s->heap.left = UINT64_MAX;
	while (look(s) && s->info.send_queue) {
		struct options o = { .n = 0 };

		CHECK(rounds++ < 3000);
		output(s, 0);
		if (!look(s))
			return;
		s->now += 10 * CPL_MS;
		if (s->ts_agreed) {
			add_kind(&o, 8, 10);
			put32(&o, (uint32_t)(s->now / CPL_MS) + 1000);
			put32(&o, s->tsval[0]);
		}
		if (s->info.in_flight)
			put(s, TCP_ACK, s->info.snd_nxt, 65535, &o);
		else if (!s->info.snd_wnd || rounds % 16 == 0)
			put(s, TCP_ACK, s->info.snd_una, 65535, &o);
		cpl_advance(s->stack, s->now);
		if (rounds % 8 == 0 && cpl_deadline(s->stack) != CPL_NEVER &&
		    cpl_deadline(s->stack) > s->now)
			s->now = cpl_deadline(s->stack);
		cpl_advance(s->stack, s->now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { .p = data, .end = data + (size < LENGTH ? size : LENGTH) };
	struct cpl_event ev;

	if (!begin(&s))
		return 0;
	if (handshake(&s)) {
		step_write(&s);
		while (s.p < s.end && look(&s)) {
			unsigned step = take(&s, 1);

			steps[step % (sizeof(steps) / sizeof(*steps))](&s);
			for (unsigned i = 0; i < step / 64; i++) /* the device is mostly prompt */
				output(&s, 0);
			while (cpl_next_event(s.stack, &ev))
				;
		}
		end_honestly(&s);
	}
	s.heap.left = UINT64_MAX;
	cpl_stack_free(s.stack);
	CHECK(s.heap.slabs == 0);
	return 0;
}
