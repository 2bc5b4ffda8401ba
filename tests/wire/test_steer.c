/* SPDX-License-Identifier: MIT */
/*
 * Steering: the Toeplitz hash with the values that Microsoft gives to verify it ("Verifying the RSS
 * Hash Calculation"), and which core each kind of frame goes to.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "tests/util/packet.h"
#include "wire/steer.h"

#define CORES 4

static const uint8_t key[STEER_KEY_LEN] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static struct cpl_addr addr(const char *text)
{
	struct cpl_addr a;

	assert_int_equal(cpl_addr_parse(&a, text), 0);
	return a;
}

static void test_verification_suite(void **state)
{
	static const struct {
		const char *src, *dst;
		uint16_t sport, dport;
		uint32_t addresses, all;
	} known[] = {
		{ "66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178 },
		{ "199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea },
		{ "24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a },
		{ "38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f },
		{ "153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2 },
		{ "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5,
		  0x40207d3d },
		{ "3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c,
		  0xdde51bbf },
		{ "3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024,
		  0x4b61e985, 0x02d1feef },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct cpl_addr src = addr(known[i].src), dst = addr(known[i].dst);
		uint32_t hash = steer_hash2(key, &src, &dst);

		assert_int_equal(hash, known[i].addresses);
		hash ^= steer_hash_ports(key, cpl_addr_is4(&src), known[i].sport, known[i].dport);
		assert_int_equal(hash, known[i].all);
	}
}

static void test_table(void **state)
{
	(void)state;
	assert_int_equal(steer_core(127, 3), 1);
	assert_int_equal(steer_core(128, 3), 0); /* entry 0 */
	assert_int_equal(steer_core(0xffffff82, 128), 2);
}

/* What comes from SRC's SPORT to DST's DPORT. */
static int core_of(const struct ip_hdr *ip, uint16_t sport, uint16_t dport)
{
	uint32_t hash = steer_hash2(key, &ip->src, &ip->dst) ^
			steer_hash_ports(key, cpl_addr_is4(&ip->src), sport, dport);

	return (int)steer_core(hash, CORES);
}

static int bare(const uint8_t *p, uint32_t len)
{
	uint8_t *copy = exact_copy(p, len, 3);
	int core = steer_frame(key, CORES, false, copy, len);

	exact_free(copy, 3);
	return core;
}

/* A segment, and the answer's ICMP error about one of ours in the same connection, go alike. */
static void flow(const char *remote, const char *local)
{
	struct ip_hdr in = { .src = addr(remote), .dst = addr(local) };
	struct ip_hdr out = { .src = in.dst, .dst = in.src };
	bool four = cpl_addr_is4(&in.src);
	uint8_t packet[128], sent[128], error[256], frame[256];
	unsigned seen[CORES] = { 0 };

	for (uint16_t port = 1000; port < 1200; port++) {
		struct tcp_seg seg = { .sport = 80, .dport = port, .flags = TCP_ACK };
		struct tcp_seg ours = { .sport = port, .dport = 80, .flags = TCP_ACK };
		struct udp_hdr udp = { .sport = 80, .dport = port };
		struct icmp_msg m = { .body = sent };
		uint32_t len = packet_tcp(packet, sizeof(packet), &in, &seg);
		int core = core_of(&in, 80, port);

		seen[core]++;
		assert_int_equal(bare(packet, len), core);
		len = packet_ether(frame, sizeof(frame), frame, frame, packet, len);
		assert_int_equal(steer_frame(key, CORES, true, frame, len), core);
		len = packet_udp(packet, sizeof(packet), &in, &udp, "x", 1);
		assert_int_equal(bare(packet, len), core);

		m.body_len = packet_tcp(sent, sizeof(sent), &out, &ours);
		m.type = four ? ICMP4_UNREACHABLE : ICMP6_TOO_BIG;
		len = packet_icmp(error, sizeof(error), &in, &m);
		assert_int_equal(bare(error, len), core);
	}
	for (unsigned i = 0; i < CORES; i++)
		assert_true(seen[i] > 20);
}

static void test_flows(void **state)
{
	(void)state;
	flow("10.1.2.3", "10.0.0.2");
	flow("fd00::1:2", "fd00::2");
}

static void test_others(void **state)
{
	struct ip_hdr ip4 = { .src = addr("10.0.0.1"), .dst = addr("10.0.0.2") };
	struct ip_hdr ip6 = { .src = addr("fd00::1"), .dst = addr("fd00::2"), .ttl = 255 };
	struct ip_hdr part = ip4;
	struct icmp_msg echo = { .type = ICMP4_ECHO, .body = (const uint8_t *)"ping", 4 };
	struct icmp_msg solicit = { .type = ICMP6_NS, .body = ip6.dst.b, .body_len = 16 };
	struct udp_hdr udp = { .sport = 1, .dport = 2 };
	uint8_t packet[128], arp[ETHER_HLEN + ARP_LEN] = { [12] = 8, [13] = 6 };
	uint32_t len;

	(void)state;
	echo.body_len = 4;
	len = packet_icmp(packet, sizeof(packet), &ip4, &echo);
	assert_int_equal(bare(packet, len),
			 steer_core(steer_hash2(key, &ip4.src, &ip4.dst), CORES));
	len = packet_icmp(packet, sizeof(packet), &ip6, &solicit);
	assert_int_equal(bare(packet, len), STEER_ALL);
	assert_int_equal(steer_frame(key, CORES, true, arp, sizeof(arp)), STEER_ALL);
	part.more_frags = true;
	len = packet_udp(packet, sizeof(packet), &part, &udp, "12345678", 8);
	assert_int_equal(bare(packet, len), STEER_ALL);
	part.more_frags = false;
	part.frag_off = 8;
	len = packet_udp(packet, sizeof(packet), &part, &udp, "12345678", 8);
	assert_int_equal(bare(packet, len), STEER_ALL);
}

/* Nothing beyond the frame's end is read, and what makes no sense is core 0's. */
static void test_bad(void **state)
{
	struct ip_hdr ip = { .src = addr("10.0.0.1"), .dst = addr("10.0.0.2") };
	struct tcp_seg seg = { .sport = 80, .dport = 7, .flags = TCP_SYN };
	uint8_t packet[128];
	uint32_t len;

	(void)state;
	len = packet_tcp(packet, sizeof(packet), &ip, &seg);
	for (uint32_t n = 0; n < len; n++) {
		uint8_t *copy = exact_copy(packet, n, 1);

		assert_int_equal(steer_frame(key, CORES, false, copy, n), 0);
		assert_in_range(steer_frame(key, CORES, true, copy, n), 0, CORES - 1);
		exact_free(copy, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verification_suite),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_flows),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests_name("steer", tests, NULL, NULL);
}
