/* SPDX-License-Identifier: MIT */
/* Several stacks with one address: what each of them keeps to, and which one answers. */
#include "tests/util/rig.h"

#define CORES 4

static int begin(struct rig *r, unsigned core, int kind)
{
	int i;

	rig_init(r);
	r->config.core = (uint16_t)core;
	r->config.cores = CORES;
	rig_start(r);
	i = rig_iface(r, kind, CPL_IFACE_NO_DAD);
	rig_addr_add(r, i, "10.0.0.1", 24);
	rig_addr_add(r, i, "fd00::1", 64);
	return i;
}

/* The core of the SYN,ACK that answers the SYN in F. */
static int core_of_answer(struct rig *r, const struct rig_frame *f)
{
	struct ip_hdr ip = { .src = f->p.ip.dst, .dst = f->p.ip.src };
	struct tcp_seg seg = { .sport = f->p.tcp.dport,
			       .dport = f->p.tcp.sport,
			       .flags = TCP_SYN | TCP_ACK };
	uint8_t packet[128];
	uint32_t len = packet_tcp(packet, sizeof(packet), &ip, &seg);

	return cpl_steer(r->config.rss_key, CORES, CPL_IFACE_IP, packet, len);
}

static void answers_come_back(unsigned core, const char *to)
{
	static struct rig r;
	int i = begin(&r, core, CPL_IFACE_IP);

	for (int n = 0; n < 300; n++) {
		struct cpl_endpoint remote = rig_at(to, (uint16_t)(80 + n % 3));
		struct rig_frame *f;
		cpl_handle h;

		assert_int_equal(cpl_connect(r.stack, NULL, &remote, &h, r.now), 0);
		f = rig_expect(&r, i, PACKET_TCP);
		assert_int_equal(core_of_answer(&r, f), core);
	}
	rig_end(&r);
}

static void test_answers_come_back(void **state)
{
	(void)state;
	for (unsigned core = 0; core < CORES; core++) {
		answers_come_back(core, "10.0.0.2");
		answers_come_back(core, "fd00::2");
	}
}

/* A quarter of the ports is ours: these can all be had, and then no more. */
static void test_ports_run_out(void **state)
{
	static struct rig r;
	struct cpl_endpoint remote = rig_at("10.0.0.2", 80);
	unsigned got = 0, ours = 0;
	cpl_handle h;

	(void)state;
	rig_init(&r);
	r.config.core = 1;
	r.config.cores = CORES;
	r.config.port_first = 40000;
	r.config.port_last = 40255;
	rig_start(&r);
	rig_addr_add(&r, rig_iface(&r, CPL_IFACE_IP, 0), "10.0.0.1", 24);
	while (!cpl_connect(r.stack, NULL, &remote, &h, r.now))
		got++;
	assert_int_equal(cpl_connect(r.stack, NULL, &remote, &h, r.now), -EADDRNOTAVAIL);
	for (uint16_t port = 40000; port < 40256; port++) {
		struct rig_frame f = { 0 };

		f.p.ip.dst = remote.addr;
		f.p.ip.src = rig_addr("10.0.0.1");
		f.p.tcp.sport = port;
		f.p.tcp.dport = 80;
		ours += core_of_answer(&r, &f) == 1;
	}
	assert_int_equal(got, ours);
	assert_in_range(ours, 32, 96);
	rig_end(&r);
}

/* A port that the program chose: only of some remote ends do the answers come here. */
static void test_bound_port(void **state)
{
	static struct rig r;
	unsigned here = 0;
	int i = begin(&r, 3, CPL_IFACE_IP);

	(void)state;
	for (uint16_t port = 1; port <= 200; port++) {
		struct cpl_endpoint local = rig_at("10.0.0.1", 5000);
		struct cpl_endpoint remote = rig_at("10.0.0.2", port);
		struct rig_frame *f;
		cpl_handle h;
		int err = cpl_open(r.stack, &local, &h, r.now);

		assert_int_equal(err, 0);
		err = cpl_open_active(r.stack, h, &remote, r.now);
		if (!err) {
			f = rig_expect(&r, i, PACKET_TCP);
			assert_int_equal(core_of_answer(&r, f), 3);
			here++;
		} else {
			assert_int_equal(err, -EADDRNOTAVAIL);
			rig_nothing(&r);
		}
		cpl_abort(r.stack, h, r.now);
		rig_clear(&r);
	}
	assert_in_range(here, 20, 90);
	rig_end(&r);
}

/* All hear who asks, and one answers. */
static void neighbours(unsigned core)
{
	static struct rig r;
	int i = begin(&r, core, CPL_IFACE_ETHER);
	uint8_t frame[ETHER_HLEN + ARP_LEN], mac[6];
	struct arp_pkt ask = { .op = ARP_REQUEST,
			       .spa = rig_addr("10.0.0.9"),
			       .tpa = rig_addr("10.0.0.1") };
	struct icmp_msg m = { .type = ICMP6_NS };
	struct nd_msg ns = { .target = rig_addr("fd00::1"), .has_mac = true };
	struct ip_hdr ip = { .src = rig_addr("fd00::9"), .dst = ns.target, .ttl = 255 };
	uint8_t body[ND_LEN_MAX], packet[128];
	struct ether_hdr eth = { .type = ETHER_ARP };

	rig_mac(i, mac);
	memcpy(ask.sha, rig_peer_mac, 6);
	memcpy(eth.src, rig_peer_mac, 6);
	memset(eth.dst, 0xff, 6);
	ether_build(frame, &eth);
	arp_build(frame + ETHER_HLEN, &ask);
	rig_frame_in(&r, i, frame, sizeof(frame));
	if (core)
		rig_nothing(&r);
	else
		assert_int_equal(rig_expect(&r, i, PACKET_ARP)->p.arp.op, ARP_REPLY);

	memcpy(ns.mac, rig_peer_mac, 6);
	nd_build(&m, body, ICMP6_NS, &ns);
	rig_in(&r, i, packet, packet_icmp(packet, sizeof(packet), &ip, &m));
	if (core)
		rig_nothing(&r);
	else
		rig_icmp(&r, i, ICMP6_NA, 0);

	/* Who asked is known now: no question before the answer to a segment of theirs. */
	rig_tcp_in(&r, i, "10.0.0.9", 1234, "10.0.0.1", 81, TCP_SYN, 1, 0);
	assert_int_equal(rig_expect(&r, i, PACKET_TCP)->p.tcp.flags & TCP_RST, TCP_RST);
	rig_end(&r);
}

static void test_neighbours(void **state)
{
	(void)state;
	for (unsigned core = 0; core < CORES; core++)
		neighbours(core);
}

/* A datagram in fragments comes to all stacks; the one that its ports choose takes it. */
static void test_fragments(void **state)
{
	static struct rig r;
	struct ip_hdr ip = { .src = rig_addr("10.0.0.9"), .dst = rig_addr("10.0.0.1") };
	struct udp_hdr udp = { .sport = 7, .dport = 9 };
	uint8_t whole[128], first[64], rest[64];
	uint32_t len = packet_udp(whole, sizeof(whole), &ip, &udp, "fragmented datagram", 19);

	(void)state;
	for (unsigned core = 0; core < CORES; core++) {
		int i = begin(&r, core, CPL_IFACE_IP), own;

		rig_udp(&r, "10.0.0.1", 9);
		own = cpl_steer(r.config.rss_key, CORES, CPL_IFACE_IP, whole, len) == (int)core;
		memcpy(first, whole, 20 + 16);
		memcpy(rest, whole, 20);
		memcpy(rest + 20, whole + 20 + 16, len - 36);
		first[2] = rest[2] = 0;
		first[3] = 36;
		rest[3] = (uint8_t)(len - 16);
		first[6] = 0x20; /* more */
		rest[7] = 2;
		packet_fix(first, 36);
		packet_fix(rest, len - 16);
		assert_int_equal(cpl_steer(r.config.rss_key, CORES, CPL_IFACE_IP, first, 36),
				 CPL_STEER_ALL);
		rig_in(&r, i, first, 36);
		rig_in(&r, i, rest, len - 16);
		assert_int_equal(rig_counter(&r, reassembled), 1);
		assert_int_equal(rig_counter(&r, drop_other_core), !own);
		assert_int_equal(rig_drops(&r), !own);
		rig_nothing(&r);
		rig_end(&r);
	}
}

static void test_refused(void **state)
{
	static struct rig r;

	(void)state;
	rig_init(&r);
	r.config.core = r.config.cores = 2;
	assert_int_equal(cpl_stack_new(&r.stack, &r.config, r.now), -EINVAL);
	r.config.core = r.config.cores = 0;
	assert_int_equal(cpl_stack_new(&r.stack, &r.config, r.now), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_come_back), cmocka_unit_test(test_ports_run_out),
		cmocka_unit_test(test_bound_port),	  cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_fragments),	  cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("cores", tests, NULL, NULL);
}
