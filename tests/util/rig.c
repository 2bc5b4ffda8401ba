/* SPDX-License-Identifier: MIT */
/* See rig.h. */
#include "tests/util/rig.h"

#include <stdlib.h>

const uint8_t rig_peer_mac[6] = { 2, 0, 0, 0, 1, 1 };

void rig_init(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	cpl_config_init(&r->config);
	for (unsigned i = 0; i < sizeof(r->config.secret); i++)
		r->config.secret[i] = (uint8_t)(29 * i + 5);
	r->now = 1000 * CPL_SECOND;
	heap_init(&r->heap, UINT64_MAX);
	r->config.alloc = heap_alloc;
	r->config.release = heap_release;
	r->config.alloc_ctx = &r->heap;
}

void rig_start(struct rig *r)
{
	assert_int_equal(cpl_stack_new(&r->stack, &r->config, r->now), 0);
}

int rig_begin(struct rig *r, int kind)
{
	int i;

	rig_init(r);
	rig_start(r);
	i = rig_iface(r, kind, CPL_IFACE_NO_DAD);
	rig_addr_add(r, i, "10.0.0.1", 24);
	rig_addr_add(r, i, "fd00::1", 64);
	return i;
}

void rig_end(struct rig *r)
{
	rig_clear(r);
	free(r->last.data);
	cpl_stack_free(r->stack);
	assert_int_equal(r->heap.slabs, 0);
}

void rig_mac(int ifindex, uint8_t mac[6])
{
	memset(mac, 0, 6);
	mac[0] = 2;
	mac[5] = (uint8_t)ifindex;
}

int rig_iface(struct rig *r, int kind, uint32_t flags)
{
	struct cpl_iface_config c = {
		.size = sizeof(c), .name = "rig", .kind = (uint8_t)kind, .mtu = 1500, .flags = flags
	};
	int i;

	rig_mac(r->ifaces + 1, c.mac);
	i = cpl_iface_add(r->stack, &c, r->now);
	assert_int_equal(i, r->ifaces + 1);
	r->ifaces = i;
	r->ether[i] = kind == CPL_IFACE_ETHER;
	return i;
}

struct cpl_addr rig_addr(const char *text)
{
	struct cpl_addr a;

	assert_int_equal(cpl_addr_parse(&a, text), 0);
	return a;
}

struct cpl_endpoint rig_at(const char *text, uint16_t port)
{
	return (struct cpl_endpoint){ .addr = rig_addr(text), .port = port };
}

void rig_addr_add(struct rig *r, int ifindex, const char *addr, unsigned prefix_len)
{
	struct cpl_addr a = rig_addr(addr);

	assert_int_equal(cpl_addr_add(r->stack, ifindex, &a, prefix_len, r->now), 0);
}

void rig_route_add(struct rig *r, const char *prefix, unsigned prefix_len, const char *gateway,
		   int ifindex, uint32_t metric)
{
	struct cpl_addr p = rig_addr(prefix), g = { { 0 } };

	if (gateway)
		g = rig_addr(gateway);
	assert_int_equal(cpl_route_add(r->stack, &p, prefix_len, gateway ? &g : NULL, ifindex,
				       metric, r->now),
			 0);
}

cpl_handle rig_udp(struct rig *r, const char *addr, uint16_t port)
{
	struct cpl_endpoint at = rig_at(addr, port);
	cpl_handle h = 0;

	assert_int_equal(cpl_udp_open(r->stack, &at, &h, r->now), 0);
	return h;
}

/* ---- in ---- */

void rig_frame_in(struct rig *r, int ifindex, const uint8_t *frame, uint32_t len)
{
	uint8_t *copy = exact_copy(frame, len, 2);
	struct cpl_frame f = { .data = copy, .len = len };

	assert_int_equal(cpl_input(r->stack, ifindex, &f, 1, r->now), 1);
	exact_free(copy, 2);
}

void rig_in(struct rig *r, int ifindex, const uint8_t *packet, uint32_t len)
{
	uint8_t *frame = malloc(len + ETHER_HLEN), mac[6];

	rig_mac(ifindex, mac);
	if (!r->ether[ifindex])
		rig_frame_in(r, ifindex, packet, len);
	else
		rig_frame_in(r, ifindex, frame,
			     packet_ether(frame, len + ETHER_HLEN, rig_peer_mac, mac, packet, len));
	free(frame);
}

void rig_udp_in(struct rig *r, int ifindex, const char *from, uint16_t sport, const char *to,
		uint16_t dport, const void *data, uint32_t n)
{
	static uint8_t p[65600];
	struct ip_hdr ip = { .src = rig_addr(from), .dst = rig_addr(to) };
	struct udp_hdr udp = { .sport = sport, .dport = dport };

	rig_in(r, ifindex, p, packet_udp(p, sizeof(p), &ip, &udp, data, n));
}

void rig_icmp_in(struct rig *r, int ifindex, const char *from, const char *to,
		 const struct icmp_msg *m)
{
	static uint8_t p[65600];
	struct ip_hdr ip = { .src = rig_addr(from), .dst = rig_addr(to), .ttl = 255 };

	rig_in(r, ifindex, p, packet_icmp(p, sizeof(p), &ip, m));
}

void rig_tcp_in(struct rig *r, int ifindex, const char *from, uint16_t sport, const char *to,
		uint16_t dport, uint16_t flags, uint32_t seq, uint32_t ack)
{
	uint8_t p[128];
	struct ip_hdr ip = { .src = rig_addr(from), .dst = rig_addr(to) };
	struct tcp_seg seg = {
		.sport = sport, .dport = dport, .flags = flags, .seq = seq, .ack = ack, .wnd = 65535
	};

	rig_in(r, ifindex, p, packet_tcp(p, sizeof(p), &ip, &seg));
}

/* ---- out ---- */

static bool answered(struct rig *r, int ifindex, const struct test_packet *p)
{
	uint8_t frame[128], body[ND_LEN_MAX], packet[128];
	struct nd_msg ns, na = { .solicited = true, .override = true, .has_mac = true };
	struct ether_hdr eth = { .type = ETHER_ARP };
	struct arp_pkt a = { .op = ARP_REPLY, .spa = p->arp.tpa, .tpa = p->arp.spa };
	struct ip_hdr ip = { .ttl = 255 };
	struct icmp_msg m;

	if (p->kind == PACKET_ARP && p->arp.op == ARP_REQUEST) {
		memcpy(eth.dst, p->arp.sha, 6);
		memcpy(eth.src, rig_peer_mac, 6);
		memcpy(a.sha, rig_peer_mac, 6);
		memcpy(a.tha, p->arp.sha, 6);
		ether_build(frame, &eth);
		arp_build(frame + ETHER_HLEN, &a);
		rig_frame_in(r, ifindex, frame, ETHER_HLEN + ARP_LEN);
		return true;
	}
	if (p->kind != PACKET_ICMP || p->ip.version != 6 || p->icmp.type != ICMP6_NS ||
	    !nd_parse(&p->icmp, p->ip.ttl, &p->ip.src, &p->ip.dst, &ns) || addr_is_any(&p->ip.src))
		return false;
	na.target = ns.target;
	memcpy(na.mac, rig_peer_mac, 6);
	nd_build(&m, body, ICMP6_NA, &na);
	ip.src = ns.target;
	ip.dst = p->ip.src;
	rig_in(r, ifindex, packet, packet_icmp(packet, sizeof(packet), &ip, &m));
	return true;
}

static void capture(struct rig *r, int ifindex)
{
	static uint8_t buffer[70000];
	struct cpl_out out;
	unsigned left = 100000;

	while (cpl_output(r->stack, ifindex, &out, 1, r->now) == 1) {
		struct rig_frame f = { .ifindex = ifindex, .time = r->now };

		f.len = packet_gather(buffer, sizeof(buffer), &out);
		assert_int_equal(f.len, out.len);
		assert_int_equal(cpl_output_done(r->stack, out.token, 1, r->now), 0);
		assert_true(left--);
		f.data = malloc(f.len);
		memcpy(f.data, buffer, f.len);
		packet_parse(&f.p, f.data, f.len, r->ether[ifindex]);
		if (f.p.kind == PACKET_BAD)
			fail_msg("the stack sent a bad packet: %s", f.p.why);
		if (r->answer && r->ether[ifindex] && answered(r, ifindex, &f.p)) {
			free(f.data);
			continue;
		}
		assert_true(r->n < RIG_QUEUE);
		r->queue[(r->first + r->n++) % RIG_QUEUE] = f;
	}
}

static void capture_all(struct rig *r)
{
	for (int i = 1; i <= r->ifaces; i++)
		capture(r, i);
	for (int i = 1; r->answer && i <= r->ifaces; i++)
		capture(r, i);
}

void rig_run(struct rig *r, uint64_t ns)
{
	uint64_t end = r->now + ns;
	unsigned idle = 0;

	capture_all(r);
	for (;;) {
		uint64_t next = cpl_deadline(r->stack);

		if (next > end)
			break;
		idle = next > r->now ? 0 : idle + 1;
		assert_true(idle < 100); /* a deadline that is past, again and again */
		r->now = next > r->now ? next : r->now;
		cpl_advance(r->stack, r->now);
		capture_all(r);
	}
	r->now = end;
	cpl_advance(r->stack, r->now);
	capture_all(r);
}

struct rig_frame *rig_take(struct rig *r)
{
	if (!r->n)
		capture_all(r);
	if (!r->n)
		return NULL;
	free(r->last.data);
	r->last = r->queue[r->first++ % RIG_QUEUE];
	r->n--;
	return &r->last;
}

void rig_clear(struct rig *r)
{
	while (rig_take(r))
		;
}

struct rig_frame *rig_expect_at(const char *file, int line, struct rig *r, int ifindex,
				enum packet_kind kind)
{
	char text[PACKET_LINE];
	struct rig_frame *f = rig_take(r);

	if (!f) {
		print_error("expected a packet of kind %d, but nothing came\n", kind);
		_fail(file, line);
	} else if (f->p.kind != kind || f->ifindex != ifindex) {
		print_error("expected kind %d on interface %d, but came on %d: %s\n", kind, ifindex,
			    f->ifindex, packet_text(text, &f->p, NULL));
		_fail(file, line);
	}
	return f;
}

struct rig_frame *rig_icmp_at(const char *file, int line, struct rig *r, int ifindex, int type,
			      int code)
{
	struct rig_frame *f = rig_expect_at(file, line, r, ifindex, PACKET_ICMP);

	if (f->p.icmp.type != type || f->p.icmp.code != code) {
		print_error("expected ICMP type %d code %d, but it is %d, %d\n", type, code,
			    f->p.icmp.type, f->p.icmp.code);
		_fail(file, line);
	}
	return f;
}

void rig_nothing_at(const char *file, int line, struct rig *r)
{
	char text[PACKET_LINE];
	struct rig_frame *f = rig_take(r);

	if (!f)
		return;
	print_error("expected nothing, but came: %s\n", packet_text(text, &f->p, NULL));
	_fail(file, line);
}

uint32_t rig_events(struct rig *r, cpl_handle handle, int *error)
{
	struct cpl_event e;
	uint32_t what = 0;

	if (error)
		*error = 0;
	while (cpl_next_event(r->stack, &e)) {
		if (e.handle != handle)
			continue;
		what |= e.what;
		if (error && e.error)
			*error = e.error;
	}
	return what;
}

uint64_t rig_drops(struct rig *r)
{
	struct cpl_counters c;
	uint64_t sum = 0;

	cpl_counters_get(r->stack, &c);
#define CPL_COUNTER(n, text)                                                                       \
	if (!strncmp(#n, "drop_", 5))                                                              \
		sum += c.n;
#include <couplet/counters.def>
	return sum;
}
