/* SPDX-License-Identifier: MIT */
/* See tcp_bench.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/wheel.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"
#include "tests/util/tcp_script.h"

#define HERE __FILE__, __LINE__

/*
 * A clock that counts from 1970, as some programs have: nothing may depend on where it begins. In
 * milliseconds, modulo 2^32, it is a small number, for the timestamps that scripts name.
 */
#define CLOCK_START ((416ull << 32) * CPL_MS + 1000 * CPL_SECOND)

static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 2 };

/* ---- what happened, for a failure's message ---- */

static void note(struct bench *b, const char *mark, const char *text)
{
	snprintf(b->log[b->log_n++ % BENCH_LOG], sizeof(b->log[0]), "%+13.6f %s %s",
		 (double)(b->now - b->start) / 1e9, mark, text);
}

static struct packet_base base_of(const struct bench *b)
{
	return (struct packet_base){ b->flow.us.addr, b->flow.us.port, b->flow.our_iss,
				     b->flow.iss };
}

void bench_fail(const char *file, int line, struct bench *b, const char *format, ...)
{
	unsigned first = b->log_n > BENCH_LOG ? b->log_n - BENCH_LOG : 0;
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	print_error("what went in (<) and came out (>), numbers relative:\n");
	for (unsigned i = first; i < b->log_n; i++)
		print_error("  %s\n", b->log[i % BENCH_LOG]);
	print_error("%s\n", text);
	_fail(file, line);
	abort();
}

/* ---- making and ending ---- */

static struct cpl_addr fd00(uint8_t last)
{
	struct cpl_addr a = { { 0xfd } };

	a.b[15] = last;
	return a;
}

void bench_init(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	cpl_config_init(&b->config);
	b->config.timestamps = 0;
	b->config.sack = 0;
	b->config.window_scaling = 0;
	b->config.rcvbuf = 65535;
	b->config.trace_records = 256;
	for (unsigned i = 0; i < sizeof(b->config.secret); i++)
		b->config.secret[i] = (uint8_t)(17 * i + 3);
	b->iface = (struct cpl_iface_config){ .size = sizeof(b->iface),
					      .name = "bench0",
					      .kind = CPL_IFACE_IP,
					      .mac = { 2, 0, 0, 0, 0, 1 },
					      .mtu = 1500,
					      .flags = CPL_IFACE_NO_DAD };
	b->start = b->now = CLOCK_START;
}

void bench_start(struct bench *b)
{
	heap_init(&b->heap, UINT64_MAX);
	b->config.alloc = heap_alloc;
	b->config.release = heap_release;
	b->config.alloc_ctx = &b->heap;
	assert_int_equal(cpl_stack_new(&b->stack, &b->config, b->now), 0);
	b->ifindex = cpl_iface_add(b->stack, &b->iface, b->now);
	assert_true(b->ifindex > 0);
	b->our_addr = b->v6 ? fd00(1) : cpl_addr4(10, 0, 0, 1);
	b->peer_addr = b->v6 ? fd00(2) : cpl_addr4(10, 0, 0, 2);
	b->gateway = b->v6 ? fd00(0xfe) : cpl_addr4(10, 0, 0, 254);
	assert_int_equal(cpl_addr_add(b->stack, b->ifindex, &b->our_addr, b->v6 ? 64 : 24, b->now),
			 0);
	struct cpl_addr any = b->v6 ? (struct cpl_addr){ { 0 } } : cpl_addr4(0, 0, 0, 0);
	assert_int_equal(cpl_route_add(b->stack, &any, 0, &b->gateway, b->ifindex, 10, b->now), 0);
	bench_flow(b, 0, 80);
}

void bench_begin(struct bench *b)
{
	bench_init(b);
	bench_start(b);
}

/* A frame that the stack has on loan. */
struct bench_lent {
	struct bench_lent *next, *prev;
	uint8_t data[];
};

static struct bench_lent *lend(struct bench *b, const uint8_t *data, uint32_t len)
{
	struct bench_lent *l = malloc(sizeof(*l) + len);

	memcpy(l->data, data, len);
	l->prev = NULL;
	l->next = b->lent_frames;
	if (l->next)
		l->next->prev = l;
	b->lent_frames = l;
	b->lent++;
	return l;
}

static void free_lent(struct bench *b, struct bench_lent *l)
{
	if (l->next)
		l->next->prev = l->prev;
	if (l->prev)
		l->prev->next = l->next;
	else
		b->lent_frames = l->next;
	b->lent--;
	free(l);
}

static void drop_first(struct bench *b)
{
	free(b->last.data);
	b->last = b->queue[b->first++ % BENCH_QUEUE];
	b->n--;
}

void bench_end(struct bench *b)
{
	while (b->n)
		drop_first(b);
	free(b->last.data);
	b->last.data = NULL;
	bench_collect(b);
	cpl_stack_free(b->stack);
	while (b->lent_frames)
		free_lent(b, b->lent_frames);
	assert_int_equal(b->heap.slabs, 0);
}

void bench_flow(struct bench *b, uint16_t our_port, uint16_t peer_port)
{
	b->flow = (struct bench_flow){ .us = { .addr = b->our_addr, .port = our_port },
				       .peer = { .addr = b->peer_addr, .port = peer_port },
				       .iss = 0x10000000u + peer_port * 0x10001u };
}

uint8_t bench_octet(uint32_t stream_offset)
{
	return (uint8_t)(stream_offset * 7 + (stream_offset >> 8) * 13);
}

/* ---- frames out ---- */

/* Another host's address is asked for: it is the peer's MAC, whoever it is. */
static bool answer_neighbours(struct bench *b, const struct test_packet *p)
{
	uint8_t frame[128], body[ND_LEN_MAX], ip[128];
	struct cpl_frame in = { .data = frame };
	struct nd_msg nd, reply = { .solicited = true, .override = true, .has_mac = true };
	struct ip_hdr h;
	struct icmp_msg m;

	if (p->kind == PACKET_ARP && p->arp.op == ARP_REQUEST) {
		struct ether_hdr eth = { .type = ETHER_ARP };
		struct arp_pkt a = { .op = ARP_REPLY, .spa = p->arp.tpa, .tpa = p->arp.spa };

		memcpy(eth.dst, b->iface.mac, 6);
		memcpy(eth.src, peer_mac, 6);
		memcpy(a.sha, peer_mac, 6);
		memcpy(a.tha, b->iface.mac, 6);
		ether_build(frame, &eth);
		arp_build(frame + ETHER_HLEN, &a);
		in.len = ETHER_HLEN + ARP_LEN;
	} else if (p->kind == PACKET_ICMP && p->ip.version == 6 && p->icmp.type == ICMP6_NS &&
		   nd_parse(&p->icmp, p->ip.ttl, &p->ip.src, &p->ip.dst, &nd)) {
		reply.target = nd.target;
		memcpy(reply.mac, peer_mac, 6);
		nd_build(&m, body, ICMP6_NA, &reply);
		h = (struct ip_hdr){ .src = nd.target, .dst = p->ip.src, .ttl = 255 };
		in.len = packet_icmp(ip, sizeof(ip), &h, &m);
		in.len = packet_ether(frame, sizeof(frame), peer_mac, b->iface.mac, ip, in.len);
	} else {
		return p->kind == PACKET_ARP;
	}
	if (!b->mute_neighbours)
		assert_int_equal(cpl_input(b->stack, b->ifindex, &in, 1, b->now), 1);
	return true;
}

/* What is learned from a segment of the flow that goes out; its payload must be the stream's. */
static void watch(struct bench *b, const struct bench_frame *f)
{
	const struct tcp_seg *seg = &f->p.tcp;
	struct bench_flow *flow = &b->flow;
	uint32_t at;

	if (f->p.kind != PACKET_TCP || seg->dport != flow->peer.port ||
	    !cpl_addr_equal(&f->p.final, &flow->peer.addr) ||
	    (flow->us.port && seg->sport != flow->us.port))
		return;
	if ((seg->flags & TCP_SYN) && !(flow->our_iss_known && seg->seq == flow->our_iss)) {
		flow->our_iss = seg->seq;
		flow->our_iss_known = true;
		flow->us.port = seg->sport;
		flow->our_ts = seg->opts & TCP_HAS_TS;
	}
	if (seg->opts & TCP_HAS_TS)
		flow->our_tsval = seg->tsval;
	at = seg->seq - flow->our_iss - !(seg->flags & TCP_SYN);
	for (uint32_t i = 0; i < seg->len && !b->any_octets; i++)
		if (seg->data[i] != bench_octet(at + i))
			bench_fail(HERE, b, "octet %" PRIu32 " of the stream is wrong", at + 1 + i);
}

static void capture_one(struct bench *b, const struct cpl_out *out)
{
	static uint8_t buffer[BENCH_FRAME];
	struct bench_frame f = { .time = b->now, .gso_size = out->gso_size };
	bool ether = b->iface.kind == CPL_IFACE_ETHER;
	struct packet_base base;
	char text[PACKET_LINE];

	f.len = packet_gather(buffer, sizeof(buffer), out);
	assert_int_equal(f.len, out->len);
	packet_parse(&f.p, buffer, f.len, ether);
	if (ether && answer_neighbours(b, &f.p) && !b->show_neighbours)
		return;
	f.data = malloc(f.len ? f.len : 1);
	memcpy(f.data, buffer, f.len);
	packet_parse(&f.p, f.data, f.len, ether);
	watch(b, &f);
	base = base_of(b);
	note(b, ">", packet_text(text, &f.p, &base));
	if (f.p.kind == PACKET_BAD)
		bench_fail(HERE, b, "the stack sent a bad packet: %s", f.p.why);
	if (b->n == BENCH_QUEUE)
		bench_fail(HERE, b, "%u frames came, and nobody expects them", b->n);
	b->queue[(b->first + b->n++) % BENCH_QUEUE] = f;
}

/* All that the stack wants to send now. */
static void capture(struct bench *b)
{
	struct cpl_out out[8];
	unsigned left = 4 * BENCH_QUEUE;
	int n;

	while ((n = cpl_output(b->stack, b->ifindex, out, 8, b->now)) > 0) {
		for (int i = 0; i < n; i++) {
			bool refused = b->refuse > 0;

			if (refused)
				b->refuse--;
			else
				capture_one(b, &out[i]);
			assert_int_equal(cpl_output_done(b->stack, out[i].token, !refused, b->now),
					 0);
			if (!left--)
				bench_fail(HERE, b, "the stack does not stop sending");
		}
	}
	assert_int_equal(n, 0);
}

void bench_collect(struct bench *b)
{
	uint64_t token;

	while (cpl_next_release(b->stack, &token))
		free_lent(b, (struct bench_lent *)(uintptr_t)token);
}

/* Until END; or, if FIRST, until a frame comes. */
static void pass(struct bench *b, uint64_t end, bool first)
{
	unsigned idle = 0;

	capture(b);
	bench_collect(b);
	while (!(first && b->n)) {
		uint64_t next = cpl_deadline(b->stack);

		if (next > end) {
			if (end > b->now)
				b->now = end;
			cpl_advance(b->stack, b->now);
			capture(b);
			return;
		}
		idle = next > b->now ? 0 : idle + 1;
		if (idle > 100)
			bench_fail(HERE, b,
				   "cpl_deadline() asks for a time that is past, and again");
		b->now = next > b->now ? next : b->now;
		cpl_advance(b->stack, b->now);
		capture(b);
	}
}

void bench_run(struct bench *b, uint64_t ns)
{
	pass(b, b->now + ns, false);
}

bool bench_take(struct bench *b)
{
	if (!b->n)
		capture(b);
	if (!b->n)
		return false;
	drop_first(b);
	return true;
}

/* ---- frames in ---- */

void bench_inject(struct bench *b, const uint8_t *ip_packet, uint32_t len)
{
	static uint8_t buffer[BENCH_FRAME];
	struct packet_base base = base_of(b);
	struct cpl_frame f = { .data = buffer, .len = len };
	struct test_packet p;
	char text[PACKET_LINE];

	if (b->iface.kind == CPL_IFACE_ETHER)
		f.len = packet_ether(buffer, sizeof(buffer), peer_mac, b->iface.mac, ip_packet,
				     len);
	else
		memcpy(buffer, ip_packet, len);
	packet_parse(&p, ip_packet, len, false);
	note(b, "<", packet_text(text, &p, &base));
	if (b->hold) {
		assert_true(b->held_n < BENCH_HELD);
		b->held[b->held_n++] =
			(struct cpl_frame){ .data = exact_copy(buffer, f.len, 2), .len = f.len };
	} else if (b->lend) {
		struct bench_lent *l = lend(b, buffer, f.len);

		f.data = l->data;
		f.flags = CPL_FRAME_LEND;
		f.token = (uintptr_t)l;
		if (cpl_input(b->stack, b->ifindex, &f, 1, b->now) != 1)
			free_lent(b, l); /* no memory to remember it: it is still ours */
		bench_collect(b);
	} else {
		assert_int_equal(cpl_input(b->stack, b->ifindex, &f, 1, b->now), 1);
	}
	memset(buffer, 0xee, f.len); /* the stack may not look at it again */
}

void bench_hold(struct bench *b)
{
	b->hold = true;
	b->held_n = 0;
}

void bench_release(struct bench *b)
{
	b->hold = false;
	assert_int_equal(cpl_input(b->stack, b->ifindex, b->held, b->held_n, b->now), b->held_n);
	for (unsigned i = 0; i < b->held_n; i++) {
		uint8_t *copy = (uint8_t *)(uintptr_t)b->held[i].data;

		memset(copy, 0xee, b->held[i].len); /* the stack may not look at it again */
		exact_free(copy, 2);
	}
}

/* What the script leaves out. */
static void complete(struct bench *b, struct script *s)
{
	struct bench_flow *flow = &b->flow;
	struct tcp_seg *seg = &s->seg;

	seg->sport = flow->peer.port;
	seg->dport = flow->us.port;
	seg->seq += flow->iss;
	if (s->has_ack || (seg->flags & TCP_ACK))
		seg->ack += flow->our_iss;
	if (!s->has_wnd)
		seg->wnd = 65535;
	for (unsigned i = 0; i < seg->sack_n; i++) {
		seg->sack[i].start += flow->our_iss;
		seg->sack[i].end += flow->our_iss;
	}
	if (!s->has_options && flow->peer_ts && flow->our_ts)
		seg->opts |= TCP_HAS_TS;
	if ((seg->opts & TCP_HAS_TS) && !s->has_tsval) {
		seg->tsval = (uint32_t)(b->now / CPL_MS) + 0x7000000;
		seg->tsecr = seg->flags & TCP_ACK ? flow->our_tsval : 0;
	}
	if (seg->flags & TCP_SYN)
		flow->peer_ts = seg->opts & TCP_HAS_TS;
}

static void send_text(struct bench *b, const char *text)
{
	static uint8_t data[BENCH_FRAME], packet[BENCH_FRAME];
	struct ip_hdr ip = { .src = b->flow.peer.addr, .dst = b->flow.us.addr };
	const char *why;
	struct script s;
	uint32_t len;

	if ((why = script_parse(&s, text)) != NULL)
		bench_fail(HERE, b, "send \"%s\": %s", text, why);
	for (uint32_t i = 0; i < s.seg.len; i++)
		data[i] = bench_octet(s.seg.seq - !(s.seg.flags & TCP_SYN) + i);
	s.seg.data = data;
	complete(b, &s);
	ip.tos = s.tos;
	ip.ttl = s.has_ttl ? s.ttl : 64;
	ip.options = b->ip_options;
	ip.options_len = (uint8_t)b->ip_options_n;
	if (b->raw_options)
		len = packet_tcp_raw(packet, sizeof(packet), &ip, &s.seg, b->raw_options,
				     b->raw_options_n);
	else
		len = packet_tcp(packet, sizeof(packet), &ip, &s.seg);
	if (b->bad_checksum)
		packet[len - s.seg.len - 1] ^= 0xff;
	b->raw_options = b->ip_options = NULL;
	b->raw_options_n = b->ip_options_n = 0;
	b->bad_checksum = false;
	bench_inject(b, packet, len);
}

#define FORMAT(text, format)                                                                       \
	char text[256];                                                                            \
	va_list ap;                                                                                \
	va_start(ap, format);                                                                      \
	vsnprintf(text, sizeof(text), format, ap);                                                 \
	va_end(ap)

void bench_send(struct bench *b, const char *format, ...)
{
	FORMAT(text, format);
	send_text(b, text);
}

void bench_send_icmp(struct bench *b, uint8_t type, uint8_t code, uint32_t rest, uint32_t seq,
		     uint32_t len)
{
	static uint8_t data[BENCH_FRAME], quote[BENCH_FRAME], packet[BENCH_FRAME];
	struct ip_hdr ip = { .src = b->flow.us.addr, .dst = b->flow.peer.addr };
	struct tcp_seg seg = { .sport = b->flow.us.port,
			       .dport = b->flow.peer.port,
			       .seq = b->flow.our_iss + seq,
			       .ack = b->flow.iss + 1,
			       .flags = TCP_ACK,
			       .data = data,
			       .len = len };
	struct icmp_msg m = { .type = type, .code = code, .rest = rest, .body = quote };

	m.body_len = packet_tcp(quote, sizeof(quote), &ip, &seg);
	if (m.body_len > 548)
		m.body_len = 548;
	ip.dst = b->flow.us.addr;
	ip.src = b->gateway;
	bench_inject(b, packet, packet_icmp(packet, sizeof(packet), &ip, &m));
}

/* ---- what must come ---- */

static const char *option_mismatch(const struct bench *b, const struct script *want,
				   const struct tcp_seg *got)
{
	const struct tcp_seg *seg = &want->seg;

	if (want->any_options)
		return NULL;
	if (seg->opts != got->opts)
		return "kinds of options";
	if (want->has_mss && seg->mss != got->mss)
		return "mss";
	if (want->has_wscale && seg->wscale != got->wscale)
		return "wscale";
	if (want->has_tsval && (seg->tsval != got->tsval || seg->tsecr != got->tsecr))
		return "TS";
	if (seg->cookie.exp != got->cookie.exp)
		return "kind of Fast Open option";
	if (!want->any_cookie && memcmp(&seg->cookie, &got->cookie, sizeof(got->cookie)) != 0)
		return "cookie";
	if (memcmp(&seg->accecn, &got->accecn, sizeof(seg->accecn)))
		return "AccECN";
	if (seg->sack_n != got->sack_n)
		return "number of SACK blocks";
	for (unsigned i = 0; i < seg->sack_n; i++)
		if (seg->sack[i].start != got->sack[i].start - b->flow.iss ||
		    seg->sack[i].end != got->sack[i].end - b->flow.iss)
			return "SACK block";
	return NULL;
}

/* What differs, or NULL. */
static const char *mismatch(const struct bench *b, const struct script *want,
			    const struct test_packet *p)
{
	const struct bench_flow *flow = &b->flow;
	const struct tcp_seg *seg = &want->seg, *got = &p->tcp;

	if (p->kind != PACKET_TCP)
		return "kind of packet";
	if (!cpl_addr_equal(&p->ip.src, &flow->us.addr) ||
	    !cpl_addr_equal(&p->final, &flow->peer.addr) || got->sport != flow->us.port ||
	    got->dport != flow->peer.port)
		return "addresses or ports";
	if (seg->flags != got->flags)
		return "flags";
	if (seg->seq != got->seq - flow->our_iss)
		return "sequence number";
	if (seg->len != got->len)
		return "length";
	if ((got->flags & TCP_ACK) && (!want->has_ack || seg->ack != got->ack - flow->iss))
		return "acknowledgment number";
	if (!(got->flags & TCP_ACK) && got->ack)
		return "acknowledgment number, which should be 0 without ACK";
	if (want->has_wnd && seg->wnd != got->wnd)
		return "window";
	if (want->has_up && seg->up != got->up)
		return "urgent pointer";
	if (!(got->flags & TCP_URG) && got->up)
		return "urgent pointer, which should be 0 without URG";
	if (want->has_ttl && want->ttl != p->ip.ttl)
		return "TTL";
	if (want->has_tos && want->tos != p->ip.tos)
		return "TOS";
	return option_mismatch(b, want, got);
}

static void expect_text(const char *file, int line, struct bench *b, const char *text)
{
	struct packet_base base;
	char got[PACKET_LINE];
	struct script s;
	const char *why = script_parse(&s, text);

	if (why)
		bench_fail(file, line, b, "expect \"%s\": %s", text, why);
	if (!bench_take(b))
		bench_fail(file, line, b, "expected: %s\nbut nothing came", text);
	why = mismatch(b, &s, &b->last.p);
	if (!why)
		return;
	base = base_of(b);
	bench_fail(file, line, b, "expected: %s\nbut came: %s\nother: %s", text,
		   packet_text(got, &b->last.p, &base), why);
}

void bench_expect(const char *file, int line, struct bench *b, const char *format, ...)
{
	FORMAT(text, format);
	expect_text(file, line, b, text);
}

void bench_expect_nothing(const char *file, int line, struct bench *b, uint64_t ns)
{
	struct packet_base base;
	char got[PACKET_LINE];

	if (!b->n)
		pass(b, b->now + ns, true);
	if (!b->n)
		return;
	bench_take(b);
	base = base_of(b);
	bench_fail(file, line, b, "expected nothing\nbut came: %s",
		   packet_text(got, &b->last.p, &base));
}

void bench_expect_after(const char *file, int line, struct bench *b, uint64_t ns,
			const char *format, ...)
{
	uint64_t due = b->now + ns;
	FORMAT(text, format);

	if (!b->n)
		pass(b, due + 2 * WHEEL_TICK_NS, true);
	if (b->n && b->queue[b->first % BENCH_QUEUE].time < due)
		bench_fail(file, line, b,
			   "expected %s\n%.6f s from now, but something came earlier", text,
			   (double)ns / 1e9);
	if (!b->n)
		bench_fail(file, line, b, "expected %s\n%.6f s from now, but nothing came", text,
			   (double)ns / 1e9);
	expect_text(file, line, b, text);
}

void bench_expect_icmp(const char *file, int line, struct bench *b, int type, int code)
{
	struct packet_base base = base_of(b);
	char got[PACKET_LINE];

	if (!bench_take(b))
		bench_fail(file, line, b, "expected ICMP type %d code %d\nbut nothing came", type,
			   code);
	if (b->last.p.kind != PACKET_ICMP || b->last.p.icmp.type != type ||
	    b->last.p.icmp.code != code)
		bench_fail(file, line, b, "expected ICMP type %d code %d\nbut came: %s", type, code,
			   packet_text(got, &b->last.p, &base));
}

void bench_expect_drop(const char *file, int line, struct bench *b, const char *name,
		       const char *format, ...)
{
	uint64_t before = bench_counter(b, name), drops = bench_drops(b);
	FORMAT(text, format);

	bench_expect_nothing(file, line, b, 0);
	send_text(b, text);
	bench_expect_nothing(file, line, b, 0);
	if (bench_counter(b, name) != before + 1)
		bench_fail(file, line, b, "%s: not counted as %s", text, name);
	if (bench_drops(b) != drops + 1)
		bench_fail(file, line, b, "%s: counted %" PRIu64 " times", text,
			   bench_drops(b) - drops);
}
