/* SPDX-License-Identifier: MIT */
/* Neighbour Discovery of a whole stack (RFC 4861 7), duplicate address detection (RFC 4862 5.4). */
#include "tests/util/rig.h"

static struct rig r;
static int eth;
static uint8_t our_mac[6];
static const char link_local[] = "fe80::ff:fe00:1"; /* of 02:00:00:00:00:01 */

static void begin(void)
{
	eth = rig_begin(&r, CPL_IFACE_ETHER);
	rig_mac(eth, our_mac);
}

/* NS or NA from FROM to TO with hop limit TTL, in a frame for the MAC that it would have. */
static void nd_in(uint8_t type, const char *from, const char *to, const struct nd_msg *nd,
		  uint8_t ttl)
{
	uint8_t body[ND_LEN_MAX], frame[256], packet[200], mac[6];
	struct ip_hdr ip = { .src = rig_addr(from), .dst = rig_addr(to), .ttl = ttl };
	struct icmp_msg m = { 0 };
	uint32_t len;

	nd_build(&m, body, type, nd);
	len = packet_icmp(packet, sizeof(packet), &ip, &m);
	memcpy(mac, our_mac, 6);
	if (addr_is_multicast(&ip.dst))
		ether_multicast(mac, &ip.dst);
	len = packet_ether(frame, sizeof(frame), rig_peer_mac, mac, packet, len);
	rig_frame_in(&r, eth, frame, len);
}

static void ns_in(const char *from, const char *to, const char *target)
{
	struct nd_msg nd = { .target = rig_addr(target) };

	nd.has_mac = strcmp(from, "::") != 0;
	memcpy(nd.mac, rig_peer_mac, 6);
	nd_in(ICMP6_NS, from, to, &nd, 255);
}

static void na_in(const char *from, const char *to, const char *target, bool solicited)
{
	struct nd_msg nd = { .target = rig_addr(target),
			     .solicited = solicited,
			     .override = true,
			     .has_mac = true };

	memcpy(nd.mac, rig_peer_mac, 6);
	nd_in(ICMP6_NA, from, to, &nd, 255);
}

static void expect_nd(uint8_t type, const char *src, const char *dst, const char *target,
		      struct nd_msg *nd)
{
	struct rig_frame *f = rig_icmp(&r, eth, type, 0);
	struct cpl_addr s = rig_addr(src), d = rig_addr(dst), t = rig_addr(target);
	uint8_t mac[6];

	assert_true(nd_parse(&f->p.icmp, f->p.ip.ttl, &f->p.ip.src, &f->p.ip.dst, nd));
	assert_int_equal(f->p.ip.ttl, 255);
	assert_memory_equal(&f->p.ip.src, &s, 16);
	assert_memory_equal(&f->p.ip.dst, &d, 16);
	assert_memory_equal(&nd->target, &t, 16);
	memcpy(mac, rig_peer_mac, 6);
	if (addr_is_multicast(&d))
		ether_multicast(mac, &d);
	assert_memory_equal(f->p.ether.dst, mac, 6);
	if (nd->has_mac)
		assert_memory_equal(nd->mac, our_mac, 6);
}

static cpl_handle connect_to(const char *addr, int ifindex)
{
	struct cpl_endpoint to = rig_at(addr, 80);
	cpl_handle h = 0;

	to.ifindex = (uint32_t)ifindex;
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), 0);
	return h;
}

static void solicited(void **state)
{
	struct nd_msg nd;

	(void)state;
	begin();
	ns_in("fd00::2", "ff02::1:ff00:1", "fd00::1");
	expect_nd(ICMP6_NA, "fd00::1", "fd00::2", "fd00::1", &nd);
	assert_true(nd.solicited && nd.override && nd.has_mac && !nd.router);
	/* Is it still there? By unicast. */
	ns_in("fd00::2", "fd00::1", "fd00::1");
	expect_nd(ICMP6_NA, "fd00::1", "fd00::2", "fd00::1", &nd);
	/* Who detects duplicates hears it with all nodes (RFC 4861 7.2.4). */
	ns_in("::", "ff02::1:ff00:1", "fd00::1");
	expect_nd(ICMP6_NA, "fd00::1", "ff02::1", "fd00::1", &nd);
	assert_false(nd.solicited);
	/* Another's address of the same group. */
	ns_in("fd00::2", "ff02::1:ff00:1", "fd00:1::1");
	rig_nothing(&r);
	assert_int_equal(rig_drops(&r), 0);
	/* Groups that are not ours. */
	rig_dropped(&r, drop_ip_not_ours, ns_in("fd00::2", "ff02::1:ff00:77", "fd00::77"));
	rig_end(&r);
}

static void solicits(void **state)
{
	struct nd_msg nd;
	int error;
	cpl_handle h;

	(void)state;
	begin();
	h = connect_to("fd00::2", 0);
	expect_nd(ICMP6_NS, "fd00::1", "ff02::1:ff00:2", "fd00::2", &nd);
	assert_true(nd.has_mac);
	rig_nothing(&r);
	na_in("fd00::2", "fd00::1", "fd00::2", true);
	assert_memory_equal(rig_expect(&r, eth, PACKET_TCP)->p.ether.dst, rig_peer_mac, 6);
	cpl_abort(r.stack, h, r.now);
	rig_clear(&r);
	/* In vain. */
	h = connect_to("fd00::3", 0);
	for (unsigned i = 0; i < 3; i++) {
		expect_nd(ICMP6_NS, "fd00::1", "ff02::1:ff00:3", "fd00::3", &nd);
		rig_nothing(&r);
		rig_run(&r, CPL_SECOND);
	}
	assert_int_equal(rig_events(&r, h, &error), CPL_EV_CLOSED);
	assert_int_equal(error, EHOSTUNREACH);
	assert_true(rig_counter(&r, drop_neigh_failed) >= 1); /* and the SYN's retransmissions */
	rig_end(&r);
}

/* RFC 4861 7.1: what may come from beyond the link is not believed. */
static void forged(void **state)
{
	struct nd_msg nd = { .target = rig_addr("fd00::1"), .has_mac = true };

	(void)state;
	begin();
	memcpy(nd.mac, rig_peer_mac, 6);
	rig_dropped(&r, drop_nd_bad, nd_in(ICMP6_NS, "fd00::2", "fd00::1", &nd, 254));
	nd.target = rig_addr("fd00::2");
	connect_to("fd00::2", 0);
	rig_clear(&r);
	rig_dropped(&r, drop_nd_bad, nd_in(ICMP6_NA, "fd00::2", "fd00::1", &nd, 254));
	nd.solicited = true; /* to a group: 7.1.2 */
	rig_dropped(&r, drop_nd_bad, nd_in(ICMP6_NA, "fd00::2", "ff02::1", &nd, 255));
	/* A group has no MAC of its own. */
	nd.mac[0] |= 1;
	nd_in(ICMP6_NA, "fd00::2", "fd00::1", &nd, 255);
	rig_nothing(&r);
	rig_end(&r);
}

static void begin_dad(void)
{
	rig_init(&r);
	rig_start(&r);
	eth = rig_iface(&r, CPL_IFACE_ETHER, 0);
	rig_mac(eth, our_mac);
}

static void ping(const char *from, const char *to)
{
	struct icmp_msg m = { .type = ICMP6_ECHO, .rest = 77 };

	rig_icmp_in(&r, eth, from, to, &m);
}

static void dad_passes(void **state)
{
	struct cpl_endpoint to = rig_at("fd00::2", 80);
	struct nd_msg nd;
	cpl_handle h;

	(void)state;
	begin_dad();
	expect_nd(ICMP6_NS, "::", "ff02::1:ff00:1", link_local, &nd);
	assert_false(nd.has_mac);
	rig_addr_add(&r, eth, "fd00::1", 64);
	expect_nd(ICMP6_NS, "::", "ff02::1:ff00:1", "fd00::1", &nd);
	/* Not ours yet: no source, no answer. */
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), -EADDRNOTAVAIL);
	ns_in("fd00::2", "ff02::1:ff00:1", "fd00::1");
	ping("fd00::2", "fd00::1");
	rig_tcp_in(&r, eth, "fd00::2", 4000, "fd00::1", 80, TCP_SYN, 1, 0);
	rig_run(&r, CPL_SECOND - 1);
	rig_nothing(&r);
	assert_int_equal(rig_counter(&r, drop_ip_not_ours), 2); /* echo and SYN */
	rig_run(&r, 1);
	rig_nothing(&r);
	ns_in("fd00::2", "ff02::1:ff00:1", "fd00::1");
	expect_nd(ICMP6_NA, "fd00::1", "fd00::2", "fd00::1", &nd);
	ping("fd00::2", "fd00::1");
	rig_icmp(&r, eth, ICMP6_ECHO_REPLY, 0);
	connect_to("fd00::2", 0);
	rig_expect(&r, eth, PACKET_TCP);
	rig_end(&r);
}

/* By an advertisement, or by another who is detecting at the same time. */
static void dad_conflict(void **state)
{
	(void)state;
	for (int other = 0; other < 2; other++) {
		struct cpl_endpoint at = rig_at("fd00::1", 80);
		struct cpl_addr own = rig_addr("fd00::1");
		cpl_handle h;

		begin_dad();
		rig_addr_add(&r, eth, "fd00::1", 64);
		rig_clear(&r);
		rig_run(&r, CPL_SECOND / 2);
		if (other)
			ns_in("::", "ff02::1:ff00:1", "fd00::1");
		else
			na_in("fd00::1", "ff02::1", "fd00::1", false);
		rig_run(&r, 5 * CPL_SECOND);
		rig_nothing(&r);
		ns_in("fe80::2", "ff02::1:ff00:1", "fd00::1");
		rig_nothing(&r);
		assert_int_equal(cpl_listen(r.stack, &at, 1, &h, r.now), -EADDRNOTAVAIL);
		assert_int_equal(cpl_addr_del(r.stack, eth, &own, r.now), -ESRCH);
		/* The other address went its own way. */
		ns_in("fe80::2", "ff02::1:ff00:1", link_local);
		rig_icmp(&r, eth, ICMP6_NA, 0);
		rig_end(&r);
	}
}

/* RFC 7527: a link that brings our own solicitation back is no conflict. */
static void dad_looped_back(void **state)
{
	struct nd_msg nd;
	struct rig_frame *f;

	(void)state;
	begin_dad();
	f = rig_icmp(&r, eth, ICMP6_NS, 0);
	assert_true(nd_parse(&f->p.icmp, 255, &f->p.ip.src, &f->p.ip.dst, &nd));
	assert_true(nd.has_nonce);
	rig_frame_in(&r, eth, f->data, f->len);
	rig_run(&r, CPL_SECOND);
	expect_nd(ICMP6_NS, "::", "ff02::1:ff00:1", link_local, &nd);
	rig_run(&r, CPL_SECOND);
	rig_nothing(&r);
	ns_in("fe80::2", "ff02::1:ff00:1", link_local);
	rig_icmp(&r, eth, ICMP6_NA, 0);
	rig_end(&r);
}

static void address_deleted_while_detecting(void **state)
{
	struct cpl_addr own = rig_addr("fd00::1");

	(void)state;
	begin_dad();
	rig_addr_add(&r, eth, "fd00::1", 64);
	assert_int_equal(cpl_addr_del(r.stack, eth, &own, r.now), 0);
	rig_clear(&r);
	rig_run(&r, 2 * CPL_SECOND);
	rig_nothing(&r);
	rig_dropped(&r, drop_ip_not_ours, ping("fe80::2", "fd00::1"));
	rig_end(&r);
}

static void link_local_connect(void **state)
{
	struct cpl_endpoint to = rig_at("fe80::2", 80);
	struct cpl_addr src = rig_addr(link_local), src2;
	struct rig_frame *f;
	int eth2;
	cpl_handle h;

	(void)state;
	begin();
	rig_run(&r, CPL_SECOND);
	r.answer = true;
	eth2 = rig_iface(&r, CPL_IFACE_ETHER, CPL_IFACE_NO_DAD);
	/* On two links, which one? */
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), -ENETUNREACH);
	h = connect_to("fe80::2", eth);
	f = rig_expect(&r, eth, PACKET_TCP);
	assert_memory_equal(&f->p.ip.src, &src, 16);
	src2 = src;
	src2.b[15] = 2; /* of 02:00:00:00:00:02 */
	connect_to("fe80::2", eth2);
	f = rig_expect(&r, eth2, PACKET_TCP);
	assert_memory_equal(&f->p.ip.src, &src2, 16);
	/* The SYN is answered on the link where it came. */
	rig_tcp_in(&r, eth2, "fe80::9", 4000, "fe80::ff:fe00:2", 81, TCP_SYN, 1, 0);
	f = rig_expect(&r, eth2, PACKET_TCP);
	assert_int_equal(f->p.tcp.flags, TCP_RST | TCP_ACK);
	ping("fe80::9", link_local);
	rig_icmp(&r, eth, ICMP6_ECHO_REPLY, 0);
	cpl_abort(r.stack, h, r.now);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(solicited),
		cmocka_unit_test(solicits),
		cmocka_unit_test(forged),
		cmocka_unit_test(dad_passes),
		cmocka_unit_test(dad_conflict),
		cmocka_unit_test(dad_looped_back),
		cmocka_unit_test(address_deleted_while_detecting),
		cmocka_unit_test(link_local_connect),
	};

	return cmocka_run_group_tests_name("stack: nd", tests, NULL, NULL);
}
