/* SPDX-License-Identifier: MIT */
/* IP of a whole stack (RFC 791, RFC 1122 3.2, RFC 8200): what is taken, fragments, routes. */
#include "tests/util/rig.h"

#include "wire/bytes.h"

static struct rig r;
static int ip;

static const char *const us[2] = { "10.0.0.1", "fd00::1" }, *const peer[2] = { "10.0.0.2",
									       "fd00::2" };

static void begin(void)
{
	ip = rig_begin(&r, CPL_IFACE_IP);
}

/* An IPv4 or IPv6 UDP packet to port 53, for tests that spoil it. */
static uint32_t build(uint8_t *p, size_t room, const char *from, const char *to)
{
	struct ip_hdr h = { .src = rig_addr(from), .dst = rig_addr(to) };
	struct udp_hdr udp = { .sport = 1, .dport = 53 };

	return packet_udp(p, room, &h, &udp, "0123456789abcdef", 16);
}

static void send_udp(const char *from, const char *to)
{
	uint8_t p[128];

	rig_in(&r, ip, p, build(p, sizeof(p), from, to));
}

static void destinations(void **state)
{
	static const char *const not_ours[] = { "10.0.0.3",  "192.0.2.1", "127.0.0.1", "0.0.0.0",
						"224.0.0.5", "240.0.0.1", "10.0.1.255" };
	static const char *const not_ours6[] = { "fd00::3",	   "::1",	 "::", "ff02::5",
						 "ff02::1:ff00:3", "2001:db8::1" };

	(void)state;
	begin();
	for (unsigned i = 0; i < ARRAY_LEN(not_ours); i++)
		rig_dropped(&r, drop_ip_not_ours, send_udp(peer[0], not_ours[i]));
	for (unsigned i = 0; i < ARRAY_LEN(not_ours6); i++)
		rig_dropped(&r, drop_ip_not_ours, send_udp(peer[1], not_ours6[i]));
	/* For us, and for us among others: as far as UDP, which nobody hears. */
	rig_dropped(&r, drop_udp_no_port, send_udp(peer[0], "10.0.0.255"));
	rig_dropped(&r, drop_udp_no_port, send_udp(peer[0], "255.255.255.255"));
	rig_dropped(&r, drop_udp_no_port, send_udp(peer[0], "224.0.0.1"));
	rig_dropped(&r, drop_udp_no_port, send_udp(peer[1], "ff02::1"));
	rig_dropped(&r, drop_udp_no_port, send_udp(peer[1], "ff02::1:ff00:1"));
	/* MUST-57: TCP never from or to all. */
	rig_dropped(&r, drop_tcp_address,
		    rig_tcp_in(&r, ip, peer[0], 1, "10.0.0.255", 80, TCP_SYN, 1, 0));
	rig_end(&r);
}

/* MUST-63, RFC 1122 3.2.1.3 */
static void sources(void **state)
{
	static const char *const bad[] = { "127.0.0.1",	 "224.0.0.1", "255.255.255.255",
					   "10.0.0.255", "0.0.0.0",   "10.0.0.1" };
	static const char *const bad6[] = { "::1", "ff02::1", "::" };

	(void)state;
	begin();
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		rig_dropped(&r, drop_ip_source, send_udp(bad[i], us[0]));
	for (unsigned i = 0; i < ARRAY_LEN(bad6); i++)
		rig_dropped(&r, drop_ip_source, send_udp(bad6[i], us[1]));
	rig_end(&r);
}

static void bad_headers(void **state)
{
	uint8_t p[128], q[128];
	uint32_t len;

	(void)state;
	begin();
	len = build(p, sizeof(p), peer[0], us[0]);
	memcpy(q, p, len);
	q[10] ^= 1;
	rig_dropped(&r, drop_ip_checksum, rig_in(&r, ip, q, len));
	memcpy(q, p, len);
	q[0] = 0x44;
	rig_dropped(&r, drop_ip_header, rig_in(&r, ip, q, len));
	q[0] = 0x55;
	rig_dropped(&r, drop_ip_header, rig_in(&r, ip, q, len));
	memcpy(q, p, len);
	rig_dropped(&r, drop_ip_header, rig_in(&r, ip, q, len - 1));
	rig_dropped(&r, drop_ip_header, rig_in(&r, ip, q, 19));
	rig_dropped(&r, drop_short_frame, rig_in(&r, ip, q, 0));
	len = build(p, sizeof(p), peer[1], us[1]);
	rig_dropped(&r, drop_ip_header, rig_in(&r, ip, p, len - 1));
	rig_dropped(&r, drop_ip_header, rig_in(&r, ip, p, 39));
	rig_end(&r);
}

static void frames(void **state)
{
	static const uint8_t other[6] = { 2, 9, 9, 9, 9, 9 };
	uint8_t frame[200], p[128], mac[6];
	uint32_t len, n;

	(void)state;
	ip = rig_begin(&r, CPL_IFACE_ETHER);
	rig_mac(ip, mac);
	n = build(p, sizeof(p), peer[0], us[0]);
	rig_dropped(&r, drop_short_frame, rig_frame_in(&r, ip, mac, 6));
	len = packet_ether(frame, sizeof(frame), rig_peer_mac, other, p, n);
	rig_dropped(&r, drop_other_mac, rig_frame_in(&r, ip, frame, len));
	len = packet_ether(frame, sizeof(frame), rig_peer_mac, mac, p, n);
	frame[12] = 0x88;
	rig_dropped(&r, drop_ether_type, rig_frame_in(&r, ip, frame, len));
	frame[12] = 0x86; /* IPv4 that says it is IPv6 */
	frame[13] = 0xdd;
	rig_dropped(&r, drop_ether_type, rig_frame_in(&r, ip, frame, len));
	/* What goes to all on the link is no TCP, whatever IP says (RFC 1122 3.3.6). */
	memset(mac, 255, 6);
	len = packet_ether(frame, sizeof(frame), rig_peer_mac, mac, p, n);
	rig_dropped(&r, drop_udp_no_port, rig_frame_in(&r, ip, frame, len));
	rig_end(&r);
}

static void v4_with_options(const uint8_t *options, unsigned n)
{
	uint8_t p[128];
	struct ip_hdr h = { .src = rig_addr(peer[0]),
			    .dst = rig_addr(us[0]),
			    .options = options,
			    .options_len = (uint8_t)n };
	struct udp_hdr udp = { .sport = 1, .dport = 53 };

	rig_in(&r, ip, p, packet_udp(p, sizeof(p), &h, &udp, "x", 1));
}

/* RFC 7126 4.3: refused by default; MUST-50: what is unknown is skipped. */
static void options(void **state)
{
	static const uint8_t lsrr[8] = { IPV4_LSRR, 7, 8, 10, 0, 0, 9, 0 },
			     ssrr[8] = { 1, IPV4_SSRR, 7, 8, 10, 0, 0, 9 },
			     unknown[4] = { 30, 4, 1, 2 }, bad[4] = { 30, 9, 1, 2 },
			     short_[4] = { 30, 1, 0, 0 };
	cpl_handle h;
	char c;

	(void)state;
	for (int allowed = 0; allowed < 2; allowed++) {
		rig_init(&r);
		r.config.source_routes = (uint8_t)allowed;
		rig_start(&r);
		ip = rig_iface(&r, CPL_IFACE_IP, 0);
		rig_addr_add(&r, ip, us[0], 24);
		h = rig_udp(&r, us[0], 53);
		v4_with_options(unknown, 4);
		assert_int_equal(cpl_udp_recv(r.stack, h, NULL, NULL, &c, 1, r.now), 1);
		if (allowed) {
			v4_with_options(lsrr, 8);
			assert_int_equal(cpl_udp_recv(r.stack, h, NULL, NULL, &c, 1, r.now), 1);
		} else {
			rig_dropped(&r, drop_ip_option, v4_with_options(lsrr, 8));
			rig_dropped(&r, drop_ip_option, v4_with_options(ssrr, 8));
		}
		rig_dropped(&r, drop_ip_option, v4_with_options(bad, 4));
		rig_dropped(&r, drop_ip_option, v4_with_options(short_, 4));
		assert_int_equal(cpl_udp_recv(r.stack, h, NULL, NULL, &c, 1, r.now), -EAGAIN);
		rig_end(&r);
	}
}

/* ---- fragments in ---- */

/* One fragment of the packet P: OFF and LEN of what follows its header. */
static void fragment_in(const uint8_t *p, uint32_t off, uint32_t len, bool more, uint32_t id)
{
	uint8_t f[2000];
	struct ip_problem problem;
	struct ip_hdr h;

	assert_int_equal(ip_parse(p, 65535, &h, &problem), IP_OK);
	h.id = id;
	if (h.version == 4) {
		h.frag_off = off;
		h.more_frags = more;
		h.len = IPV4_HLEN + len;
		ip_build(f, &h);
		memcpy(f + IPV4_HLEN, p + IPV4_HLEN + (off < 64 ? off : 0), len);
	} else {
		ip6_frag_build(f + IPV6_HLEN, h.protocol, off, more, id);
		h.protocol = 44;
		h.len = IPV6_HLEN + IPV6_FRAG_HLEN + len;
		ip_build(f, &h);
		memcpy(f + IPV6_HLEN + IPV6_FRAG_HLEN, p + IPV6_HLEN + off, len);
	}
	rig_in(&r, ip, f, h.len);
}

static void reassembled(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t p[256];
		struct ip_hdr h = { .src = rig_addr(peer[v6]), .dst = rig_addr(us[v6]) };
		struct tcp_seg seg = { .sport = 1,
				       .dport = 80,
				       .flags = TCP_SYN,
				       .wnd = 1000,
				       .data = (const uint8_t *)"0123456789ab",
				       .len = 12 };
		struct cpl_endpoint at = rig_at(us[v6], 80);
		cpl_handle u, listener;
		char data[17];

		begin();
		u = rig_udp(&r, us[v6], 53);
		assert_int_equal(cpl_listen(r.stack, &at, 1, &listener, r.now), 0);
		build(p, sizeof(p), peer[v6], us[v6]); /* 24 octets */
		fragment_in(p, 16, 8, false, 7);       /* in any order */
		fragment_in(p, 0, 8, true, 7);
		fragment_in(p, 0, 8, true, 8); /* another packet */
		assert_int_equal(rig_counter(&r, reassembled), 0);
		fragment_in(p, 8, 8, true, 7);
		assert_int_equal(rig_counter(&r, reassembled), 1);
		assert_int_equal(cpl_udp_recv(r.stack, u, NULL, NULL, data, 17, r.now), 16);
		assert_memory_equal(data, "0123456789abcdef", 16);
		/* A SYN is a SYN. */
		packet_tcp(p, sizeof(p), &h, &seg);
		fragment_in(p, 0, 24, true, 9);
		rig_nothing(&r);
		fragment_in(p, 24, 8, false, 9);
		assert_int_equal(rig_expect(&r, ip, PACKET_TCP)->p.tcp.flags, TCP_SYN | TCP_ACK);
		assert_int_equal(rig_drops(&r), 0);
		rig_end(&r);
	}
}

static void overlap(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint8_t p[256];
		cpl_handle u;
		char data[17];

		begin();
		u = rig_udp(&r, us[v6], 53);
		build(p, sizeof(p), peer[v6], us[v6]);
		fragment_in(p, 0, 16, true, 7);
		rig_dropped(&r, drop_frag_overlap, fragment_in(p, 8, 16, false, 7));
		/* What comes later does not complete it. */
		fragment_in(p, 16, 8, false, 7);
		assert_int_equal(rig_counter(&r, reassembled), 0);
		assert_int_equal(cpl_udp_recv(r.stack, u, NULL, NULL, data, 17, r.now), -EAGAIN);
		rig_end(&r);
	}
}

/* RFC 792, RFC 8200 4.5: only with the first fragment, and not about what went to all. */
static void fragments_time_out(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		uint64_t ns = (v6 ? 60 : 30) * CPL_SECOND;
		struct rig_frame *f;
		uint8_t p[256];

		begin();
		build(p, sizeof(p), peer[v6], us[v6]);
		fragment_in(p, 0, 16, true, 7);
		fragment_in(p, 16, 8, false, 8);
		build(p, sizeof(p), peer[v6], v6 ? "ff02::1" : "10.0.0.255");
		fragment_in(p, 0, 16, true, 9);
		rig_run(&r, ns - 1);
		rig_nothing(&r);
		assert_int_equal(rig_drops(&r), 0);
		rig_run(&r, 1);
		f = rig_icmp(&r, ip, v6 ? ICMP6_TIME_EXCEEDED : ICMP4_TIME_EXCEEDED, 1);
		assert_true(f->p.icmp.body_len >= (v6 ? 48 : 28));
		rig_nothing(&r);
		assert_int_equal(rig_counter(&r, drop_frag_timeout), 3);
		assert_int_equal(rig_drops(&r), 3);
		rig_end(&r);
	}
}

static void bad_fragments(void **state)
{
	uint8_t p[256];

	(void)state;
	begin();
	build(p, sizeof(p), peer[0], us[0]);
	rig_dropped(&r, drop_frag_bad, fragment_in(p, 0, 12, true, 7)); /* no multiple of 8 */
	rig_dropped(&r, drop_frag_bad, fragment_in(p, 65528, 16, false, 8));
	build(p, sizeof(p), peer[1], us[1]);
	fragment_in(p, 0, 12, true, 7);
	assert_int_equal(rig_icmp(&r, ip, ICMP6_PARAMETER, 0)->p.icmp.rest, 4);
	assert_int_equal(rig_counter(&r, drop_frag_bad), 3);
	rig_end(&r);
}

/* ---- fragments out ---- */

static void cut(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		static uint8_t data[8192], back[8200];
		struct cpl_endpoint to = rig_at(peer[v6], 9);
		uint32_t total = 0, id = 0, ids[2];
		bool more = true;
		struct rig_frame *f;
		cpl_handle u;

		begin();
		for (unsigned i = 0; i < sizeof(data); i++)
			data[i] = (uint8_t)(i * 3 + i / 256);
		u = rig_udp(&r, us[v6], 5000);
		assert_int_equal(cpl_udp_send(r.stack, u, NULL, &to, data, 8192, r.now), 8192);
		while ((f = rig_take(&r)) != NULL) {
			uint32_t n = f->p.payload_len;

			assert_int_equal(f->p.kind, PACKET_FRAGMENT);
			assert_int_equal(f->p.ip.protocol, IP_UDP);
			assert_true(f->p.ip.len <= 1500 && more);
			assert_true(!total || f->p.ip.id == id);
			id = f->p.ip.id;
			assert_int_equal(f->p.ip.frag_off, total);
			memcpy(back + total, f->p.payload, n);
			total += n;
			more = f->p.ip.more_frags;
			assert_true(!more || n % 8 == 0);
		}
		assert_false(more);
		assert_int_equal(total, 8200);
		assert_memory_equal(back + UDP_HLEN, data, 8192);
		assert_int_equal(rig_counter(&r, fragmented), 6);
		/* RFC 6864 4.3: what a router may cut has an id of its own. */
		for (int i = 0; i < 2; i++) {
			cpl_udp_send(r.stack, u, NULL, &to, data, 10, r.now);
			ids[i] = rig_expect(&r, ip, PACKET_UDP)->p.ip.id;
		}
		assert_true(v6 || ids[0] != ids[1]);
		/* Smaller link, more of them. */
		assert_int_equal(cpl_iface_set_mtu(r.stack, ip, 1280, r.now), 0);
		assert_int_equal(cpl_udp_send(r.stack, u, NULL, &to, data, 8192, r.now), 8192);
		for (total = 0; (f = rig_take(&r)) != NULL; total++)
			assert_true(f->p.ip.len <= 1280);
		assert_int_equal(total, 7);
		rig_end(&r);
	}
}

/* ---- routes ---- */

static int udp_leaves_by(cpl_handle u, const char *to, uint8_t mac_last)
{
	struct cpl_endpoint at = rig_at(to, 9);
	struct rig_frame *f;
	int ifindex;

	if (cpl_udp_send(r.stack, u, NULL, &at, "x", 1, r.now) != 1)
		return 0;
	f = rig_take(&r);
	assert_non_null(f);
	ifindex = f->ifindex;
	if (f->p.kind == PACKET_ARP)
		assert_int_equal(f->p.arp.tpa.b[15], mac_last);
	else
		assert_int_equal(f->p.kind, PACKET_UDP);
	rig_run(&r, 4 * CPL_SECOND); /* the gateway does not answer, and is asked anew */
	rig_clear(&r);
	return ifindex;
}

static void routes(void **state)
{
	struct cpl_addr net = rig_addr("192.0.2.0"), any = rig_addr("0.0.0.0"),
			gw = rig_addr("10.0.0.254");
	cpl_handle u;
	int a, b2, c;

	(void)state;
	a = rig_begin(&r, CPL_IFACE_ETHER);
	b2 = rig_iface(&r, CPL_IFACE_IP, 0);
	c = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, b2, "10.1.0.1", 24);
	rig_addr_add(&r, c, "10.2.0.1", 24);
	u = rig_udp(&r, "0.0.0.0", 5000);
	assert_int_equal(udp_leaves_by(u, "192.0.2.1", 0), 0); /* no route */
	rig_route_add(&r, "0.0.0.0", 0, "10.0.0.254", a, 10);
	assert_int_equal(udp_leaves_by(u, "192.0.2.1", 254), a); /* asks for the gateway */
	rig_route_add(&r, "192.0.2.0", 24, NULL, b2, 10);
	assert_int_equal(udp_leaves_by(u, "192.0.2.1", 0), b2); /* longest prefix */
	rig_route_add(&r, "192.0.2.0", 24, NULL, c, 5);
	assert_int_equal(udp_leaves_by(u, "192.0.2.1", 0), c); /* lowest metric */
	rig_route_add(&r, "192.0.2.1", 32, NULL, b2, 50);
	assert_int_equal(udp_leaves_by(u, "192.0.2.1", 0), b2);
	assert_int_equal(udp_leaves_by(u, "192.0.2.2", 0), c);
	assert_int_equal(cpl_route_del(r.stack, &net, 24, NULL, c, r.now), 0);
	assert_int_equal(udp_leaves_by(u, "192.0.2.2", 0), b2);
	/* Down is no way; up again is. */
	assert_int_equal(cpl_iface_set_up(r.stack, b2, 0, r.now), 0);
	assert_int_equal(udp_leaves_by(u, "192.0.2.2", 254), a);
	assert_int_equal(cpl_iface_set_up(r.stack, b2, 1, r.now), 0);
	assert_int_equal(udp_leaves_by(u, "192.0.2.2", 0), b2);
	assert_int_equal(cpl_route_del(r.stack, &net, 24, NULL, b2, r.now), 0);
	assert_int_equal(cpl_route_del(r.stack, &any, 0, &gw, a, r.now), 0);
	assert_int_equal(cpl_route_del(r.stack, &any, 0, &gw, a, r.now), -ESRCH);
	assert_int_equal(udp_leaves_by(u, "192.0.2.2", 0), 0);
	rig_end(&r);
}

/* A connection follows its route to another interface; what it said goes on from there. */
static void connection_moves(void **state)
{
	struct cpl_addr net = rig_addr("192.0.2.0"), own = rig_addr("10.1.0.1");
	struct cpl_endpoint to = rig_at("192.0.2.1", 80);
	struct rig_frame *f;
	uint32_t iss;
	uint16_t port;
	cpl_handle h;
	int a, b2, error;

	(void)state;
	rig_init(&r);
	r.config.timestamps = 0;
	rig_start(&r);
	a = rig_iface(&r, CPL_IFACE_IP, 0);
	b2 = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, a, "10.1.0.1", 24);
	rig_addr_add(&r, b2, "10.2.0.1", 24);
	rig_route_add(&r, "192.0.2.0", 24, NULL, a, 1);
	rig_route_add(&r, "0.0.0.0", 0, NULL, b2, 1);
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), 0);
	f = rig_expect(&r, a, PACKET_TCP);
	iss = f->p.tcp.seq;
	port = f->p.tcp.sport;
	rig_tcp_in(&r, a, "192.0.2.1", 80, "10.1.0.1", port, TCP_SYN | TCP_ACK, 1000, iss + 1);
	rig_expect(&r, a, PACKET_TCP);
	assert_int_equal(cpl_route_del(r.stack, &net, 24, NULL, a, r.now), 0);
	assert_int_equal(cpl_iface_set_mtu(r.stack, b2, 1000, r.now), 0);
	assert_int_equal(cpl_send(r.stack, h, "hello", 5, 0, r.now), 5);
	f = rig_expect(&r, b2, PACKET_TCP);
	assert_memory_equal(&f->p.ip.src, &own, 16); /* the connection's, always */
	assert_int_equal(f->p.tcp.len, 5);
	/* Its answers are taken wherever they come. */
	rig_tcp_in(&r, b2, "192.0.2.1", 80, "10.1.0.1", port, TCP_ACK, 1001, iss + 6);
	rig_tcp_in(&r, a, "192.0.2.1", 80, "10.1.0.1", port, TCP_ACK | TCP_FIN, 1001, iss + 6);
	assert_int_equal(rig_expect(&r, b2, PACKET_TCP)->p.tcp.ack, 1002);
	rig_nothing(&r);
	/* Its address goes: what comes to it is not ours, and time ends the rest. */
	assert_int_equal(cpl_addr_del(r.stack, a, &own, r.now), 0);
	rig_dropped(&r, drop_ip_not_ours,
		    rig_tcp_in(&r, a, "192.0.2.1", 80, "10.1.0.1", port, TCP_ACK, 1002, iss + 6));
	assert_int_equal(cpl_send(r.stack, h, "hello", 5, 0, r.now), 5);
	rig_clear(&r);
	rig_run(&r, 2000 * CPL_SECOND);
	rig_clear(&r);
	assert_true(rig_events(&r, h, &error) & CPL_EV_CLOSED);
	assert_int_equal(error, ETIMEDOUT);
	rig_end(&r);
}

/* What was sent large goes again smaller when the link's MTU shrinks. */
static void mtu_change(void **state)
{
	static char data[1460];
	struct cpl_endpoint to = rig_at(peer[0], 80);
	struct rig_frame *f;
	uint32_t iss, end = 0;
	uint16_t port;
	cpl_handle h;

	(void)state;
	rig_init(&r);
	r.config.timestamps = 0;
	rig_start(&r);
	ip = rig_iface(&r, CPL_IFACE_IP, 0);
	rig_addr_add(&r, ip, us[0], 24);
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), 0);
	f = rig_expect(&r, ip, PACKET_TCP);
	iss = f->p.tcp.seq;
	port = f->p.tcp.sport;
	rig_tcp_in(&r, ip, peer[0], 80, us[0], port, TCP_SYN | TCP_ACK, 1000, iss + 1);
	rig_expect(&r, ip, PACKET_TCP);
	/* No MSS option: 536. Four segments, of which the link then takes none whole. */
	assert_int_equal(cpl_send(r.stack, h, data, sizeof(data), 0, r.now), 1460);
	for (unsigned i = 0; i < 3; i++)
		assert_true(rig_expect(&r, ip, PACKET_TCP)->p.ip.len <= 576);
	rig_nothing(&r);
	assert_int_equal(cpl_iface_set_mtu(r.stack, ip, 575, r.now), -EINVAL);
	assert_int_equal(cpl_iface_set_mtu(r.stack, ip, 576, r.now), 0);
	assert_int_equal(cpl_iface_set_mtu(r.stack, ip, 65536, r.now), -EINVAL);
	rig_run(&r, 3 * CPL_SECOND);
	while ((f = rig_take(&r)) != NULL) {
		assert_true(f->p.ip.len <= 576);
		end = f->p.tcp.seq + f->p.tcp.len - iss;
	}
	assert_true(end > 1);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destinations),	 cmocka_unit_test(sources),
		cmocka_unit_test(bad_headers),	 cmocka_unit_test(frames),
		cmocka_unit_test(options),	 cmocka_unit_test(reassembled),
		cmocka_unit_test(overlap),	 cmocka_unit_test(fragments_time_out),
		cmocka_unit_test(bad_fragments), cmocka_unit_test(cut),
		cmocka_unit_test(routes),	 cmocka_unit_test(connection_moves),
		cmocka_unit_test(mtu_change),
	};

	return cmocka_run_group_tests_name("stack: ip", tests, NULL, NULL);
}
