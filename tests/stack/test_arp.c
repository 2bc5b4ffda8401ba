/* SPDX-License-Identifier: MIT */
/* ARP of a whole stack (RFC 826, RFC 1122 2.3.2, RFC 5227 2.4): asked, answered, in vain. */
#include "tests/util/rig.h"

static struct rig r;
static int eth;
static uint8_t our_mac[6];
static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

static void begin(void)
{
	eth = rig_begin(&r, CPL_IFACE_ETHER);
	rig_mac(eth, our_mac);
}

static void arp_in(const uint8_t dst[6], uint16_t op, const uint8_t sha[6], const char *spa,
		   const char *tpa)
{
	uint8_t frame[ETHER_HLEN + ARP_LEN];
	struct ether_hdr eh = { .type = ETHER_ARP };
	struct arp_pkt a = { .op = op, .spa = rig_addr(spa), .tpa = rig_addr(tpa) };

	memcpy(eh.dst, dst, 6);
	memcpy(eh.src, sha, 6);
	memcpy(a.sha, sha, 6);
	ether_build(frame, &eh);
	arp_build(frame + ETHER_HLEN, &a);
	rig_frame_in(&r, eth, frame, sizeof(frame));
}

static void expect_arp(uint16_t op, const uint8_t dst[6], const char *spa, const char *tpa)
{
	struct rig_frame *f = rig_expect(&r, eth, PACKET_ARP);
	struct cpl_addr s = rig_addr(spa), t = rig_addr(tpa);

	assert_int_equal(f->p.arp.op, op);
	assert_memory_equal(f->p.ether.dst, dst, 6);
	assert_memory_equal(f->p.ether.src, our_mac, 6);
	assert_memory_equal(f->p.arp.sha, our_mac, 6);
	assert_memory_equal(&f->p.arp.spa, &s, 16);
	assert_memory_equal(&f->p.arp.tpa, &t, 16);
}

static cpl_handle connect_to(const char *addr, uint16_t port)
{
	struct cpl_endpoint to = rig_at(addr, port);
	cpl_handle h = 0;

	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h, r.now), 0);
	return h;
}

static void who_has(void **state)
{
	(void)state;
	begin();
	arp_in(broadcast, ARP_REQUEST, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	expect_arp(ARP_REPLY, rig_peer_mac, "10.0.0.1", "10.0.0.2");
	/* A probe (RFC 5227 1.1) comes from nobody yet: it is told that the address is taken. */
	arp_in(broadcast, ARP_REQUEST, rig_peer_mac, "0.0.0.0", "10.0.0.1");
	expect_arp(ARP_REPLY, rig_peer_mac, "10.0.0.1", "0.0.0.0");
	/* Not ours. */
	arp_in(broadcast, ARP_REQUEST, rig_peer_mac, "10.0.0.2", "10.0.0.3");
	arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	rig_nothing(&r);
	/* Who asked us is known: RFC 826's merge. */
	connect_to("10.0.0.2", 80);
	assert_memory_equal(rig_expect(&r, eth, PACKET_TCP)->p.ether.dst, rig_peer_mac, 6);
	rig_end(&r);
}

static void malformed(void **state)
{
	uint8_t frame[ETHER_HLEN + ARP_LEN] = { 0 };
	struct ether_hdr eh = { .type = ETHER_ARP };

	(void)state;
	begin();
	memcpy(eh.dst, broadcast, 6);
	ether_build(frame, &eh);
	rig_dropped(&r, drop_arp_bad, rig_frame_in(&r, eth, frame, sizeof(frame)));
	rig_dropped(&r, drop_arp_bad, rig_frame_in(&r, eth, frame, ETHER_HLEN));
	/* From a group. */
	rig_dropped(&r, drop_arp_bad,
		    arp_in(broadcast, ARP_REQUEST, broadcast, "10.0.0.2", "10.0.0.1"));
	rig_end(&r);
}

/* RFC 5227 2.4 (b): we defend our address once in ten seconds, and keep it. */
static void claimed_by_another(void **state)
{
	(void)state;
	begin();
	arp_in(broadcast, ARP_REQUEST, rig_peer_mac, "10.0.0.1", "10.0.0.1");
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.1");
	assert_int_equal(rig_counter(&r, drop_arp_bad), 1);
	rig_dropped(&r, drop_arp_bad,
		    arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.1", "10.0.0.1"));
	rig_run(&r, 10 * CPL_SECOND);
	arp_in(broadcast, ARP_REPLY, rig_peer_mac, "10.0.0.1", "10.0.0.2");
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.1");
	/* Our own words, come back, are no claim. */
	arp_in(broadcast, ARP_REQUEST, our_mac, "10.0.0.1", "10.0.0.1");
	rig_nothing(&r);
	assert_int_equal(rig_counter(&r, drop_arp_bad), 3);
	rig_end(&r);
}

/* A neighbour that has moved says so; who is unknown makes no entry. */
static void gratuitous(void **state)
{
	static const uint8_t other[6] = { 2, 0, 0, 0, 1, 9 };

	(void)state;
	begin();
	arp_in(broadcast, ARP_REQUEST, other, "10.0.0.2", "10.0.0.2");
	connect_to("10.0.0.2", 80);
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
	arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	assert_memory_equal(rig_expect(&r, eth, PACKET_TCP)->p.ether.dst, rig_peer_mac, 6);
	rig_nothing(&r);
	rig_run(&r, CPL_SECOND);
	rig_clear(&r);
	arp_in(broadcast, ARP_REQUEST, other, "10.0.0.2", "10.0.0.2");
	connect_to("10.0.0.2", 81);
	assert_memory_equal(rig_expect(&r, eth, PACKET_TCP)->p.ether.dst, other, 6);
	rig_end(&r);
}

static void first_syns_wait(void **state)
{
	cpl_handle h[16];

	(void)state;
	begin();
	for (unsigned i = 0; i < 16; i++)
		h[i] = connect_to("10.0.0.2", (uint16_t)(8000 + i));
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
	rig_nothing(&r); /* one question for all */
	rig_run(&r, 300 * CPL_MS);
	rig_nothing(&r);
	arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	for (unsigned i = 0; i < 16; i++) {
		struct rig_frame *f = rig_expect(&r, eth, PACKET_TCP);

		assert_int_equal(f->p.tcp.flags & TCP_SYN, TCP_SYN);
		assert_int_equal(f->p.tcp.dport, 8000 + i);
		assert_memory_equal(f->p.ether.dst, rig_peer_mac, 6);
		assert_int_equal(f->time, r.now); /* not a second later */
	}
	rig_nothing(&r);
	assert_int_equal(rig_drops(&r), 0);
	assert_int_equal(rig_counter(&r, segs_retrans), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(cpl_abort(r.stack, h[i], r.now), 0);
	rig_end(&r);
}

static void queue_is_bounded(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 9);
	cpl_handle u;

	(void)state;
	rig_init(&r);
	r.config.neighbour_queue = 3;
	rig_start(&r);
	eth = rig_iface(&r, CPL_IFACE_ETHER, CPL_IFACE_NO_DAD);
	rig_mac(eth, our_mac);
	rig_addr_add(&r, eth, "10.0.0.1", 24);
	u = rig_udp(&r, "0.0.0.0", 0);
	for (uint8_t i = 0; i < 5; i++)
		assert_int_equal(cpl_udp_send(r.stack, u, NULL, &to, &i, 1, r.now), 1);
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
	assert_int_equal(rig_counter(&r, drop_neigh_queue), 2);
	arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	for (uint8_t i = 2; i < 5; i++) /* the oldest went (RFC 4861 7.2.2) */
		assert_int_equal(rig_expect(&r, eth, PACKET_UDP)->p.payload[0], i);
	rig_nothing(&r);
	rig_end(&r);
}

/* Three requests, a second apart; then whoever waits is told. */
static void nobody_answers(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 9);
	cpl_handle h, u;
	int error;

	(void)state;
	begin();
	u = rig_udp(&r, "10.0.0.1", 5000);
	h = connect_to("10.0.0.2", 80);
	assert_int_equal(cpl_udp_send(r.stack, u, NULL, &to, "x", 1, r.now), 1);
	for (unsigned i = 0; i < 3; i++) {
		expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
		rig_nothing(&r);
		assert_int_equal(rig_counter(&r, drop_neigh_failed), 0);
		rig_run(&r, CPL_SECOND);
	}
	rig_nothing(&r);
	assert_true(rig_counter(&r, drop_neigh_failed) >= 2);
	assert_int_equal(rig_events(&r, h, &error), CPL_EV_CLOSED);
	assert_int_equal(error, EHOSTUNREACH);
	assert_int_equal(cpl_udp_send(r.stack, u, NULL, &to, "x", 1, r.now), 1);
	rig_run(&r, 3 * CPL_SECOND);
	assert_int_equal(rig_events(&r, u, &error), CPL_EV_SOFT);
	assert_int_equal(error, EHOSTUNREACH);
	/* Asked again, it may be there again. */
	rig_clear(&r);
	h = connect_to("10.0.0.2", 80);
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
	arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	rig_expect(&r, eth, PACKET_TCP);
	rig_end(&r);
}

/* RFC 1122 2.3.2.1: what was confirmed long ago is asked again, by unicast, while it is used. */
static void refreshed(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 9);
	cpl_handle u;

	(void)state;
	begin();
	u = rig_udp(&r, "0.0.0.0", 0);
	cpl_udp_send(r.stack, u, NULL, &to, "x", 1, r.now);
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
	arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	rig_expect(&r, eth, PACKET_UDP);
	rig_run(&r, 60 * CPL_SECOND);
	rig_nothing(&r); /* nobody needs it */
	cpl_udp_send(r.stack, u, NULL, &to, "x", 1, r.now);
	rig_expect(&r, eth, PACKET_UDP);
	rig_run(&r, 5 * CPL_SECOND - 1);
	rig_nothing(&r);
	rig_run(&r, 1);
	expect_arp(ARP_REQUEST, rig_peer_mac, "10.0.0.1", "10.0.0.2");
	arp_in(our_mac, ARP_REPLY, rig_peer_mac, "10.0.0.2", "10.0.0.1");
	rig_run(&r, 10 * CPL_SECOND);
	rig_nothing(&r);
	rig_end(&r);
}

static void interface_down(void **state)
{
	struct cpl_endpoint to = rig_at("10.0.0.2", 80);
	cpl_handle h, h2;
	int error;

	(void)state;
	begin();
	h = connect_to("10.0.0.2", 80);
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
	assert_int_equal(cpl_iface_set_up(r.stack, eth, 0, r.now), 0);
	rig_nothing(&r);
	assert_int_equal(rig_counter(&r, drop_neigh_failed), 1);
	assert_int_equal(rig_events(&r, h, &error), CPL_EV_CLOSED);
	assert_int_equal(error, EHOSTUNREACH);
	assert_int_equal(cpl_connect(r.stack, NULL, &to, &h2, r.now), -ENETUNREACH);
	rig_dropped(&r, drop_iface_down,
		    arp_in(broadcast, ARP_REQUEST, rig_peer_mac, "10.0.0.2", "10.0.0.1"));
	rig_run(&r, 10 * CPL_SECOND);
	rig_nothing(&r);
	assert_int_equal(cpl_iface_set_up(r.stack, eth, 1, r.now), 0);
	h = connect_to("10.0.0.2", 80);
	expect_arp(ARP_REQUEST, broadcast, "10.0.0.1", "10.0.0.2");
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has),
		cmocka_unit_test(malformed),
		cmocka_unit_test(claimed_by_another),
		cmocka_unit_test(gratuitous),
		cmocka_unit_test(first_syns_wait),
		cmocka_unit_test(queue_is_bounded),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(refreshed),
		cmocka_unit_test(interface_down),
	};

	return cmocka_run_group_tests_name("stack: arp", tests, NULL, NULL);
}
