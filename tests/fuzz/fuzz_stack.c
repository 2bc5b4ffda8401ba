/* SPDX-License-Identifier: MIT */
/*
 * The stateful core under a hostile peer and a restless program. The input is a script: each octet
 * chooses a step, the next ones its arguments: calls of the program, segments whose numbers lie
 * near what the connection expects, raw packets, ICMP errors, neighbours' words, datagrams, time, a
 * device that refuses, interfaces, addresses and routes that come and go, memory that ends.
 *
 * Oracles: tcb_check() after each event (CPL_DEBUG builds), the sanitizers, what the program reads
 * is what the peer put at that sequence number, deadlines are not asked for in vain, lent frames
 * come back once each, all memory comes back.
 */
#include "tests/fuzz/fuzz.h"

#include <couplet/couplet.h>

#include "tests/util/heap.h"
#include "tests/util/packet.h"

#define CONNS  4
#define LENT   64
#define DEVICE 8 /* frames at the device */
#define OUR_MAC                                                                                    \
	{                                                                                          \
		2, 0, 0, 0, 0, 1                                                                   \
	}
#define PEER_MAC                                                                                   \
	{                                                                                          \
		2, 0, 0, 0, 0, 2                                                                   \
	}
#define BROADCAST                                                                                  \
	{                                                                                          \
		255, 255, 255, 255, 255, 255                                                       \
	}

struct conn {
	cpl_handle handle;
	uint32_t irs; /* where the peer's octets begin */
	uint64_t read;
	bool urgent; /* octets may be missing: they were kept out of the stream */
};

struct script {
	const uint8_t *p, *end;
	struct heap heap;
	cpl_stack *stack;
	int ifindex, second; /* the second one carries bare IP */
	bool ether, lend, fastopen;
	uint64_t now;
	cpl_handle listener, catch_all, udp;
	struct conn conns[CONNS];
	uint8_t *lent[LENT];
	uint64_t at_device[DEVICE]; /* tokens */
	unsigned at_device_n;
};

static uint32_t take(struct script *s, unsigned n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | (s->p < s->end ? *s->p++ : 0);
	return v;
}

/* What the peer's octet at OFFSET of its stream is. */
static uint8_t octet(uint32_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8));
}

static struct cpl_addr peer_addr(bool v6)
{
	struct cpl_addr a = cpl_addr4(10, 0, 0, 1);

	if (v6)
		cpl_addr_parse(&a, "fd00::1");
	return a;
}

static struct cpl_addr our_addr(bool v6)
{
	struct cpl_addr a = cpl_addr4(10, 0, 0, 2);

	if (v6)
		cpl_addr_parse(&a, "fd00::2");
	return a;
}

static void take_back(struct script *s)
{
	uint64_t token;

	while (cpl_next_release(s->stack, &token)) {
		CHECK(token < LENT && s->lent[token]);
		free(s->lent[token]);
		s->lent[token] = NULL;
	}
}

/* A whole frame, lent or not. It is gone as soon as the stack may not look at it again. */
static void put_frame(struct script *s, const uint8_t *p, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct cpl_frame f = { .data = copy, .len = len };

	CHECK(copy);
	memcpy(copy, p, len);
	for (; s->lend && f.token < LENT; f.token++) {
		if (s->lent[f.token])
			continue;
		s->lent[f.token] = copy;
		f.flags = CPL_FRAME_LEND;
		if (cpl_input(s->stack, s->ifindex, &f, 1, s->now) == 0) {
			s->lent[f.token] = NULL;
			break;
		}
		take_back(s);
		return;
	}
	f.flags = 0;
	cpl_input(s->stack, s->ifindex, &f, 1, s->now);
	free(copy);
}

static void put(struct script *s, const uint8_t *p, uint32_t len)
{
	static const uint8_t our_mac[6] = OUR_MAC, peer_mac[6] = PEER_MAC;
	uint8_t frame[5000];

	if (!s->ether) {
		put_frame(s, p, len);
		return;
	}
	if (len)
		put_frame(s, frame, packet_ether(frame, sizeof(frame), peer_mac, our_mac, p, len));
}

/* ---- steps ---- */

static void step_connect(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];
	struct cpl_endpoint to = { .addr = peer_addr(take(s, 1) & 1), .port = 7 };

	if (c->handle)
		return;
	memset(c, 0, sizeof(*c));
	if (s->fastopen) {
		if (!cpl_open(s->stack, NULL, &c->handle, s->now) &&
		    cpl_open_active_data(s->stack, c->handle, &to, s->p, (size_t)(s->end - s->p), 0,
					 s->now) < 0)
			CHECK(cpl_close(s->stack, c->handle, s->now) == 0);
		else
			return;
		c->handle = 0;
	} else if (cpl_connect(s->stack, NULL, &to, &c->handle, s->now)) {
		c->handle = 0;
	}
}

static void step_accept(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];

	if (c->handle)
		return;
	memset(c, 0, sizeof(*c));
	if (cpl_accept(s->stack, s->listener, &c->handle, s->now))
		c->handle = 0;
}

/* A number near A or B, or anything. */
static uint32_t near(struct script *s, uint32_t a, uint32_t b)
{
	switch (take(s, 1) % 8) {
	case 0:
		return take(s, 4);
	case 1:
		return a + (uint32_t)(int8_t)take(s, 1);
	case 2:
		return a + take(s, 2);
	case 3:
		return b;
	case 4:
		return b + (uint32_t)(int8_t)take(s, 1);
	default:
		return a;
	}
}

static void near_sack(struct script *s, struct tcp_seg *seg, const struct cpl_info *info)
{
	seg->sack_n = (uint8_t)(1 + take(s, 1) % TCP_SACK_MAX);
	seg->opts |= TCP_HAS_SACK;
	for (unsigned i = 0; i < seg->sack_n; i++) {
		seg->sack[i].start = near(s, info->snd_una + 1000 * take(s, 1), info->snd_nxt);
		seg->sack[i].end = near(s, seg->sack[i].start + 1000, info->snd_nxt);
	}
}

/* Marks, ACE and the option of accurate ECN, as anybody may set them. */
static void any_ecn(struct script *s, struct tcp_seg *seg, struct ip_hdr *ip, uint8_t opts)
{
	uint8_t form;

	ip->tos = opts & 32 ? 3 : 2;
	seg->flags |= opts & 16 ? TCP_AE : 0;
	if (!(opts & 8))
		return;
	form = (uint8_t)take(s, 1);
	seg->opts |= TCP_HAS_ACCECN;
	seg->accecn = (struct tcp_accecn){ .n = form & 3, .e1_first = form & 4 };
	seg->accecn.e0b = form & 8 ? take(s, 3) : 1;
	seg->accecn.ceb = form & 16 ? take(s, 3) : take(s, 1);
	seg->accecn.e1b = form & 32 ? take(s, 3) : 1;
}

static void send_segment(struct script *s, const struct cpl_info *info, uint32_t irs, uint8_t flags)
{
	uint8_t packet[4096], data[2048];
	struct tcp_seg seg = { .sport = info->remote_port,
			       .dport = info->local_port,
			       .flags = flags };
	struct ip_hdr ip = { .src = info->remote_addr, .dst = info->local_addr };
	uint8_t opts = (uint8_t)take(s, 1);

	seg.seq = near(s, info->rcv_nxt, irs);
	if ((flags & TCP_SYN) && (info->state == CPL_SYN_SENT || info->state == CPL_CLOSED))
		irs = seg.seq; /* whatever it is: here the peer's octets begin */
	seg.ack = near(s, info->snd_nxt, info->snd_una);
	seg.wnd = (uint16_t)(opts & 64 ? take(s, 2) : 65535);
	seg.up = (uint16_t)(flags & TCP_URG ? take(s, 1) : 0);
	if (opts & 1) {
		seg.opts |= TCP_HAS_TS;
		seg.tsval = (uint32_t)(s->now / CPL_MS) + (opts & 2 ? take(s, 1) - 128 : 0);
		seg.tsecr = take(s, 1);
	}
	if (opts & 4)
		near_sack(s, &seg, info);
	if (flags & TCP_SYN) {
		seg.opts |= opts & 8 ? TCP_HAS_MSS : 0;
		seg.mss = (uint16_t)take(s, 2);
		seg.opts |= opts & 16 ? TCP_HAS_SACK_OK : 0;
		seg.opts |= opts & 32 ? TCP_HAS_WSCALE : 0;
		seg.wscale = (uint8_t)(take(s, 1) % 15);
		seg.flags |= opts & 2 ? TCP_AE : 0;
	} else {
		any_ecn(s, &seg, &ip, opts);
	}
	seg.len = opts & 128 ? take(s, 2) % 1400 : 0;
	for (uint32_t i = 0; i < seg.len; i++)
		data[i] = octet(seg.seq + (flags & TCP_SYN ? 1 : 0) - irs - 1 + i);
	seg.data = data;
	put(s, packet, packet_tcp(packet, sizeof(packet), &ip, &seg));
}

static void step_segment(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];
	uint8_t flags = (uint8_t)take(s, 1);
	struct cpl_info info;

	if (!c->handle || cpl_info_get(s->stack, c->handle, &info, s->now))
		return;
	/* Before the peer's SYN its numbers are its own choice. */
	if (info.state == CPL_SYN_SENT) {
		c->irs = 0x7fffff00;
		info.rcv_nxt = c->irs;
	} else {
		c->irs = info.irs;
	}
	c->urgent |= flags & TCP_URG;
	send_segment(s, &info, c->irs, flags);
}

/* The handshake of a peer that connects, and what else it may say to a listener. */
static void step_to_listener(struct script *s)
{
	bool v6 = take(s, 1) & 1;
	struct cpl_info info = { .rcv_nxt = 5000, .snd_nxt = take(s, 4) };
	uint8_t flags = (uint8_t)take(s, 1) & (uint8_t)~TCP_URG;
	uint64_t cursor = 0;

	info.local_addr = our_addr(v6);
	info.remote_addr = peer_addr(v6);
	info.local_port = 80;
	info.remote_port = (uint16_t)(1000 + take(s, 1) % 8);
	if (!(flags & TCP_SYN)) { /* the half-open record tells what ACK it waits for */
		struct cpl_info seen;

		while (cpl_info_walk(s->stack, &cursor, &seen, 1, s->now) == 1)
			if (seen.state == CPL_SYN_RECEIVED &&
			    seen.remote_port == info.remote_port) {
				info = seen;
				break;
			}
	}
	send_segment(s, &info, info.rcv_nxt - 1, flags);
}

static void step_raw(struct script *s)
{
	uint8_t packet[600];
	uint32_t n = take(s, 2) % sizeof(packet);

	for (uint32_t i = 0; i < n; i++)
		packet[i] = (uint8_t)take(s, 1);
	if (n > 40 && take(s, 1) & 1)
		packet_fix(packet, n);
	put(s, packet, n);
}

static void step_icmp(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];
	uint8_t quote[128], packet[512];
	struct icmp_msg m = { .type = (uint8_t)take(s, 1), .code = (uint8_t)(take(s, 1) % 8) };
	struct ip_hdr ip = { 0 }, inner = { 0 };
	struct tcp_seg seg = { 0 };
	struct cpl_info info;

	if (!c->handle || cpl_info_get(s->stack, c->handle, &info, s->now) || !info.remote_port)
		return;
	inner.src = info.local_addr;
	inner.dst = info.remote_addr;
	seg.sport = info.local_port;
	seg.dport = info.remote_port;
	seg.seq = near(s, info.snd_una, info.snd_nxt);
	m.rest = take(s, 2);
	m.body_len = packet_tcp(quote, sizeof(quote), &inner, &seg);
	m.body = quote;
	ip.src = info.remote_addr;
	ip.dst = info.local_addr;
	put(s, packet, packet_icmp(packet, sizeof(packet), &ip, &m));
}

static void step_send(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];
	static const uint8_t data[20000];

	if (c->handle)
		cpl_send(s->stack, c->handle, data, take(s, 2) % sizeof(data), take(s, 1) & 14,
			 s->now);
}

static void step_receive(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];
	static uint8_t data[4096];
	long n;

	if (!c->handle)
		return;
	n = cpl_recv(s->stack, c->handle, data, take(s, 2) % sizeof(data), 0, s->now);
	for (long i = 0; i < n && !c->urgent; i++)
		CHECK(data[i] == octet((uint32_t)(c->read + (uint64_t)i)));
	c->read += n > 0 ? (uint64_t)n : 0;
}

static void step_end(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];

	if (!c->handle)
		return;
	switch (take(s, 1) % 3) {
	case 0:
		cpl_shutdown(s->stack, c->handle, s->now);
		return;
	case 1:
		cpl_close(s->stack, c->handle, s->now);
		break;
	default:
		cpl_abort(s->stack, c->handle, s->now);
		break;
	}
	c->handle = 0;
}

/* All that is written is read, so that the sanitizers see frames whose memory is gone. */
static uint32_t look_at(const struct cpl_out *out)
{
	uint32_t sum = 0, n = 0;

	for (uint32_t i = 0; i < out->iov_n; i++) {
		const uint8_t *p = out->iov[i].base;

		for (size_t j = 0; j < out->iov[i].len; j++)
			sum += p[j];
		n += (uint32_t)out->iov[i].len;
	}
	CHECK(n == out->len);
	return sum;
}

static void device_is_done(struct script *s, uint8_t refused)
{
	for (unsigned i = 0; i < s->at_device_n; i++)
		CHECK(cpl_output_done(s->stack, s->at_device[i], !(refused >> i & 1), s->now) == 0);
	s->at_device_n = 0;
}

static void step_output(struct script *s)
{
	struct cpl_out out[DEVICE];
	uint8_t refused = (uint8_t)take(s, 1), how = (uint8_t)take(s, 1);
	int n;

	device_is_done(s, refused);
	n = cpl_output(s->stack, how & 1 ? s->second : s->ifindex, out, DEVICE, s->now);
	for (int i = 0; i < n; i++) {
		look_at(&out[i]);
		s->at_device[s->at_device_n++] = out[i].token;
	}
	if (how & 2) /* others stay at the device until next time, whatever happens */
		device_is_done(s, 0);
}

static void step_time(struct script *s)
{
	unsigned n = 0;

	s->now += (uint64_t)take(s, 1) << (take(s, 1) % 32);
	do {
		cpl_advance(s->stack, s->now);
		CHECK(n++ < 1000);
	} while (cpl_deadline(s->stack) <= s->now);
}

static void step_option(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];
	enum cpl_option option = take(s, 1) % (CPL_OPT_ERROR + 2);
	uint64_t value = take(s, 1) & 1 ? take(s, 1) & 1 : (uint64_t)take(s, 4);

	if (!c->handle)
		return;
	c->urgent |= option == CPL_OPT_OOB_INLINE;
	cpl_set_option(s->stack, c->handle, option, value, s->now);
	cpl_get_option(s->stack, c->handle, option, &value, s->now);
}

static void step_memory(struct script *s)
{
	uint32_t n = take(s, 1);

	s->heap.left = n < 128 ? n % 8 : UINT64_MAX;
}

static void step_events(struct script *s)
{
	uint8_t verdict = (uint8_t)take(s, 1);
	struct cpl_event ev;

	while (cpl_next_event(s->stack, &ev)) {
		CHECK(ev.what);
		if (!(ev.what & CPL_EV_SYN))
			continue;
		CHECK(ev.parent == s->catch_all);
		if (verdict % 4 == 0)
			CHECK(cpl_syn_accept(s->stack, ev.handle, s->now) == 0);
		else if (verdict % 4 == 1)
			CHECK(cpl_syn_refuse(s->stack, ev.handle, s->now) == 0);
		else if (verdict % 4 == 2)
			CHECK(cpl_syn_drop(s->stack, ev.handle, s->now) == 0);
	}
}

/* A listener for all; accepted from and closed like the other. */
static void step_catch_all(struct script *s)
{
	struct conn *c = &s->conns[take(s, 1) % CONNS];

	if (!s->catch_all) {
		if (cpl_catch_all(s->stack, take(s, 1) & 1 ? s->ifindex : 0, 3, &s->catch_all,
				  s->now))
			s->catch_all = 0;
	} else if (take(s, 1) % 4 == 0) {
		CHECK(cpl_close(s->stack, s->catch_all, s->now) == 0);
		s->catch_all = 0;
	} else if (!c->handle) {
		memset(c, 0, sizeof(*c));
		if (cpl_accept(s->stack, s->catch_all, &c->handle, s->now))
			c->handle = 0;
	}
}

/* Close the listener, with whatever waits at it, and listen again. */
static void step_listen(struct script *s)
{
	struct cpl_endpoint at = { .port = 80 };

	if (s->listener)
		CHECK(cpl_close(s->stack, s->listener, s->now) == 0);
	if (cpl_listen(s->stack, &at, 1 + take(s, 1) % 3, &s->listener, s->now))
		s->listener = 0;
}

static void step_udp(struct script *s)
{
	struct cpl_endpoint at = { .port = 53 }, from = { .port = 0 }, to = { .port = 0 };
	static uint8_t data[65507];
	uint8_t packet[2100];
	struct udp_hdr udp = { 1000, 53, 0 };
	uint8_t what = (uint8_t)take(s, 1);
	bool v6 = what & 128;
	struct ip_hdr ip = { .src = peer_addr(v6), .dst = our_addr(v6) };

	switch (what % 8) {
	case 0:
		if (!s->udp && (what & 64 ? cpl_udp_catch_all(s->stack, 0, &s->udp, s->now)
					  : cpl_udp_open(s->stack, &at, &s->udp, s->now)))
			s->udp = 0;
		return;
	case 1:
		if (s->udp)
			CHECK(cpl_close(s->stack, s->udp, s->now) == 0);
		s->udp = 0;
		return;
	case 2:
		to.addr = what & 64 ? our_addr(v6) : peer_addr(v6);
		to.port = 53;
		cpl_udp_send(s->stack, s->udp, NULL, &to, data, take(s, 2) % sizeof(data), s->now);
		return;
	case 3:
		if (cpl_udp_recv(s->stack, s->udp, &from, &to, data, sizeof(data), s->now) >= 0 &&
		    what & 64)
			cpl_udp_refuse(s->stack, s->udp, &from, &to, s->now);
		return;
	default:
		udp.dport = (uint16_t)(53 + (what & 16));
		put(s, packet, packet_udp(packet, sizeof(packet), &ip, &udp, data, take(s, 1) * 8));
		return;
	}
}

/* Neighbours: who has an address, and who says to have it. */
static void step_neighbour(struct script *s)
{
	struct ether_hdr eth = { .src = PEER_MAC, .dst = BROADCAST, .type = ETHER_ARP };
	uint8_t what = (uint8_t)take(s, 1), body[ND_LEN_MAX], p[200];
	bool ask = what & 1, ours = what & 2, nobody = what & 4, v6 = what & 8;
	struct arp_pkt a = { .op = ask ? ARP_REQUEST : ARP_REPLY, .sha = PEER_MAC };
	struct nd_msg nd = { .has_mac = what & 16, .mac = PEER_MAC, .solicited = what & 32 };
	struct ip_hdr ip = { .ttl = 255 };
	struct icmp_msg m;

	a.sha[5] = nd.mac[5] = (uint8_t)(2 + take(s, 1) % 4);
	nd.override = what & 64;
	nd.target = ours ? our_addr(true) : peer_addr(true);
	a.tpa = ours ? our_addr(false) : peer_addr(false);
	if (!nobody) {
		a.spa = peer_addr(false);
		a.spa.b[15] = (uint8_t)(1 + take(s, 1) % 4);
		ip.src = peer_addr(true);
		ip.src.b[15] = a.spa.b[15];
	} else {
		a.spa = cpl_addr4(0, 0, 0, 0);
	}
	if (v6) {
		nd_build(&m, body, ask ? ICMP6_NS : ICMP6_NA, &nd);
		ip.dst = what & 128 ? our_addr(true) : addr_solicited_node(&nd.target);
		put(s, p, packet_icmp(p, sizeof(p), &ip, &m));
		return;
	}
	ether_build(p, &eth);
	arp_build(p + ETHER_HLEN, &a);
	put_frame(s, p, ETHER_HLEN + ARP_LEN);
}

/* What the administrator does. */
static void step_network(struct script *s)
{
	uint8_t what = (uint8_t)take(s, 1);
	bool v6 = what & 16;
	struct cpl_addr peer = peer_addr(v6), ours = our_addr(v6);
	int i = what & 32 ? s->second : s->ifindex;

	switch (what % 8) {
	case 0:
	case 1:
		cpl_iface_set_up(s->stack, i, what & 64, s->now);
		return;
	case 2:
		cpl_iface_set_mtu(s->stack, i, 1280 + take(s, 1) * 4, s->now);
		return;
	case 3:
		cpl_addr_del(s->stack, i, &ours, s->now);
		return;
	case 4:
		cpl_addr_add(s->stack, i, &ours, v6 ? 64 : 24, s->now);
		return;
	case 5:
	case 6:
		cpl_route_add(s->stack, &peer, v6 ? 128 : 32, NULL, i, what >> 6, s->now);
		return;
	default:
		cpl_route_del(s->stack, &peer, v6 ? 128 : 32, NULL, i, s->now);
		return;
	}
}

/* All records, in portions; no more than can be there. */
static void step_walk(struct script *s)
{
	unsigned max = 1 + take(s, 1) % 3, calls = 0;
	struct cpl_info info[3];
	uint64_t cursor = 0;

	while (cpl_info_walk(s->stack, &cursor, info, max, s->now) > 0)
		CHECK(calls++ < 1000);
}

static void (*const steps[])(struct script *) = {
	step_connect,	step_accept, step_segment, step_segment,   step_segment, step_to_listener,
	step_raw,	step_icmp,   step_send,	   step_receive,   step_end,	 step_output,
	step_output,	step_time,   step_option,  step_memory,	   step_events,	 step_to_listener,
	step_catch_all, step_listen, step_udp,	   step_neighbour, step_network, step_walk,
};

static bool begin(struct script *s)
{
	struct cpl_iface_config ic = { .size = sizeof(ic), .mtu = 1500, .mac = OUR_MAC };
	struct cpl_addr other = cpl_addr4(10, 9, 0, 1);
	struct cpl_endpoint at = { .port = 80 };
	struct cpl_addr a4 = our_addr(false), a6 = our_addr(true);
	uint8_t choice = (uint8_t)take(s, 1), network = (uint8_t)take(s, 1);
	struct cpl_config c;

	heap_init(&s->heap, UINT64_MAX);
	s->now = CPL_SECOND;
	cpl_config_init(&c);
	c.alloc = heap_alloc;
	c.release = heap_release;
	c.alloc_ctx = &s->heap;
	c.memory_max = choice & 1 ? 4u << 20 : 64u << 20;
	c.timestamps = !(choice & 2);
	c.sack = !(choice & 4);
	c.window_scaling = !(choice & 8);
	c.syncookies = (choice >> 4) % 3;
	c.trace_records = 64;
	c.ecn = (network >> 5) % (CPL_ECN_ACCURATE_PASSIVE + 1);
	c.ecn_option = network & 16 ? CPL_ECN_OPTION_MINIMUM : CPL_ECN_OPTION_FULL;
	if (network & 8)
		c.fastopen = CPL_FASTOPEN_CLIENT | CPL_FASTOPEN_SERVER |
			     CPL_FASTOPEN_CLIENT_NO_COOKIE | CPL_FASTOPEN_SERVER_NO_COOKIE |
			     CPL_FASTOPEN_ALL_LISTENERS;
	s->fastopen = c.fastopen & CPL_FASTOPEN_SERVER;
	if (choice & 64)
		ic.flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6;
	ic.gso_max = 65000;
	s->ether = network & 1;
	s->lend = network & 2;
	ic.kind = s->ether ? CPL_IFACE_ETHER : CPL_IFACE_IP;
	ic.flags |= network & 4 ? CPL_IFACE_NO_DAD : 0;
	c.neighbour_queue = network & 8 ? 3 : 128;
	c.neighbours_max = network & 16 ? 2 : 1024;
	c.half_open_max = network & 32 ? 2 : 65536;
	c.conns_max = network & 64 ? 3 : 1000000;
	c.time_wait_max = network & 128 ? 2 : 262144;
	if (cpl_stack_new(&s->stack, &c, s->now))
		return false;
	s->ifindex = cpl_iface_add(s->stack, &ic, s->now);
	ic.kind = CPL_IFACE_IP;
	ic.mtu = 1300;
	ic.flags = 0;
	s->second = cpl_iface_add(s->stack, &ic, s->now);
	return s->ifindex > 0 && s->second > 0 &&
	       !cpl_addr_add(s->stack, s->second, &other, 24, s->now) &&
	       !cpl_addr_add(s->stack, s->ifindex, &a4, 24, s->now) &&
	       !cpl_addr_add(s->stack, s->ifindex, &a6, 64, s->now) &&
	       !cpl_listen(s->stack, &at, 2, &s->listener, s->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { .p = data, .end = data + size };

	if (begin(&s))
		while (s.p < s.end)
			steps[take(&s, 1) % (sizeof(steps) / sizeof(steps[0]))](&s);
	cpl_stack_free(s.stack);
	for (unsigned i = 0; i < LENT; i++)
		free(s.lent[i]);
	CHECK(s.heap.slabs == 0 && s.heap.bytes == 0);
	return 0;
}
