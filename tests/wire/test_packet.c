/* SPDX-License-Identifier: MIT */
/* Whole packets: what the tests' helpers build is sound, comes apart again and reads well. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/util/bytes.h"
#include "tests/util/packet.h"
#include "wire/bytes.h"
#include "wire/checksum.h"

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 1 }, mac_b[6] = { 2, 0, 0, 0, 0, 2 };

static struct ip_hdr ends(bool v6)
{
	struct ip_hdr ip = { .src = cpl_addr4(10, 0, 0, 1), .dst = cpl_addr4(10, 0, 0, 2) };

	if (v6) {
		ip.src = (struct cpl_addr){ { 0xfd, [15] = 1 } };
		ip.dst = (struct cpl_addr){ { 0xfd, [15] = 2 } };
	}
	return ip;
}

/* Each kind, of both families, bare and in Ethernet: all checksums right, any flip of a bit seen.
 */
static void test_kinds(void **state)
{
	static const enum packet_kind kinds[] = { PACKET_TCP, PACKET_UDP, PACKET_ICMP };
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		bool v6 = i & 1, ether = i & 2;
		enum packet_kind kind = kinds[i / 4];
		struct ip_hdr ip = ends(v6);
		struct tcp_seg seg = { .sport = 1, .dport = 2, .flags = TCP_ACK };
		struct udp_hdr udp = { .sport = 3, .dport = 4 };
		struct icmp_msg m = { .type = 200 };
		struct test_packet t;
		uint8_t p[200];
		uint32_t len;

		seg.data = m.body = (const uint8_t *)"hello";
		seg.len = m.body_len = 5;
		len = kind == PACKET_TCP   ? packet_tcp(p, sizeof(p), &ip, &seg)
		      : kind == PACKET_UDP ? packet_udp(p, sizeof(p), &ip, &udp, "hello", 5)
					   : packet_icmp(p, sizeof(p), &ip, &m);
		if (ether)
			len = packet_ether(p, sizeof(p), mac_a, mac_b, p, len);
		assert_int_equal(packet_parse(&t, p, len, ether), kind);
		assert_int_equal(t.payload_len, 5);
		assert_memory_equal(t.payload, "hello", 5);
		assert_int_equal(t.ip.ttl, 64);
		for (unsigned round = 0; round < 100; round++) {
			unsigned start = len - t.ip.len + t.ip.hlen;
			unsigned bit = 8 * start + rnd(&seed, 8 * (len - start));

			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(packet_parse(&t, p, len, ether), PACKET_BAD);
			assert_non_null(t.why);
			p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_equal(packet_parse(&t, p, len, ether), kind);
		}
	}
}

static void test_fix(void **state)
{
	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct ip_hdr ip = ends(v6);
		struct tcp_seg seg = { .sport = 1, .dport = 2, .flags = TCP_ACK };
		struct test_packet t;
		uint8_t p[200];
		uint32_t len = packet_tcp(p, sizeof(p), &ip, &seg);

		p[v6 ? 7 : 8] = 9;	 /* hop limit or TTL */
		p[v6 ? 40 : 20] ^= 0xff; /* a port */
		packet_fix(p, len);
		assert_int_equal(packet_parse(&t, p, len, false), PACKET_TCP);
		assert_int_equal(t.ip.ttl, 9);
		assert_int_equal(t.tcp.sport, 0xff01);
	}
}

static void test_raw_options(void **state)
{
	static const uint8_t options[] = { 99, 0, 0, 0 };
	struct ip_hdr ip = ends(false);
	struct tcp_seg seg = { .sport = 1, .flags = TCP_SYN, .opts = TCP_HAS_MSS, .mss = 9 };
	struct test_packet t;
	uint8_t p[100];
	uint32_t len = packet_tcp_raw(p, sizeof(p), &ip, &seg, options, sizeof(options));

	(void)state;
	assert_int_equal(len, 44);
	assert_int_equal(packet_parse(&t, p, len, false), PACKET_BAD);
	assert_string_equal(t.why, "bad TCP option");
}

/* As cpl_output() may hand it out: in pieces, the field holding the pseudo-header's sum. */
static void test_gather(void **state)
{
	struct ip_hdr ip = ends(false);
	struct tcp_seg seg = { .sport = 1, .data = (const uint8_t *)"hello", .len = 5 };
	uint8_t p[100], flat[100];
	uint32_t len = packet_tcp(p, sizeof(p), &ip, &seg);
	struct cpl_out out = { .iov_n = 3 };
	uint16_t sum;

	(void)state;
	out.iov[0] = (struct cpl_iov){ p, 40 };
	out.iov[1] = (struct cpl_iov){ p + 40, 0 };
	out.iov[2] = (struct cpl_iov){ p + 40, 5 };
	assert_int_equal(packet_gather(flat, sizeof(flat), &out), len);
	assert_memory_equal(flat, p, len);
	sum = sum_fold(sum_pseudo(&ip.src, &ip.dst, IP_TCP, 25));
	memcpy(p + 36, &sum, 2);
	out.csum_start = 20;
	out.csum_offset = 16;
	assert_int_equal(packet_gather(flat, sizeof(flat), &out), len);
	assert_string_equal(packet_line(flat, len, false, NULL),
			    "10.0.0.1:1 > 10.0.0.2:0 [] seq 0:5 win 0 len 5");
}

static void check_line(const struct test_packet *t, const struct packet_base *base,
		       const char *want)
{
	char text[PACKET_LINE];

	assert_string_equal(packet_text(text, t, base), want);
}

static void test_text_tcp(void **state)
{
	struct test_packet t = { .kind = PACKET_TCP, .ip = ends(false) };
	struct packet_base base = { .addr = t.ip.src, .port = 40000, .iss = 1000, .irs = 5000 };
	struct cpl_addr src = t.ip.src;

	(void)state;
	t.tcp = (struct tcp_seg){ .sport = 40000, .dport = 443, .seq = 1000, .wnd = 64240 };
	t.tcp.flags = TCP_SYN;
	t.tcp.opts = TCP_HAS_MSS | TCP_HAS_SACK_OK | TCP_HAS_TS | TCP_HAS_WSCALE;
	t.tcp.mss = 1460;
	t.tcp.wscale = 7;
	t.tcp.tsval = 5;
	check_line(&t, &base,
		   "10.0.0.1:40000 > 10.0.0.2:443 [S] seq 0 win 64240 len 0 "
		   "<mss 1460,sackOK,TS 5 0,wscale 7>");

	/* The other way, where the zeros change places. */
	t.ip.src = t.ip.dst;
	t.ip.dst = src;
	t.tcp = (struct tcp_seg){ .sport = 443, .dport = 40000, .seq = 5001, .ack = 1001 };
	t.tcp.flags = TCP_ACK | TCP_PSH | TCP_FIN;
	t.tcp.len = 10;
	t.tcp.opts = TCP_HAS_SACK;
	t.tcp.sack_n = 2;
	t.tcp.sack[0] = (struct tcp_sack){ 2000, 3000 };
	t.tcp.sack[1] = (struct tcp_sack){ 4000, 5000 };
	check_line(&t, &base,
		   "10.0.0.2:443 > 10.0.0.1:40000 [FP.] seq 1:11 ack 1 win 0 len 10 "
		   "<sack 1000:2000,sack 3000:4000>");
	t.tcp.opts = 0;
	check_line(&t, NULL,
		   "10.0.0.2:443 > 10.0.0.1:40000 [FP.] seq 5001:5011 ack 1001 win 0 len 10");
	t.ip = ends(true);
	t.tcp = (struct tcp_seg){ .sport = 1, .dport = 2, .flags = TCP_URG | TCP_RST, .up = 7 };
	check_line(&t, &base, "[fd00::1]:1 > [fd00::2]:2 [RU] seq 0 win 0 urg 7 len 0");
}

static void test_text_others(void **state)
{
	struct test_packet t = { .kind = PACKET_UDP, .ip = ends(false), .payload_len = 9 };
	struct ip_hdr ip = ends(false), quoted = ip;
	struct tcp_seg seg = { .sport = 40000, .dport = 443 };
	struct icmp_msg m = { .type = ICMP4_UNREACHABLE, .code = ICMP4_FRAG_NEEDED, .rest = 1400 };
	uint8_t p[200], quote[100];
	uint32_t len;

	(void)state;
	t.udp.sport = 53;
	check_line(&t, NULL, "10.0.0.1:53 > 10.0.0.2:0 UDP len 9");
	t.kind = PACKET_FRAGMENT;
	t.ip.protocol = IP_UDP;
	t.ip.id = 255;
	t.ip.frag_off = 8;
	t.ip.more_frags = true;
	check_line(&t, NULL, "10.0.0.1 > 10.0.0.2 protocol 17 fragment id 0xff 8:17+");

	len = packet_tcp(quote, sizeof(quote), &quoted, &seg);
	m.body = quote;
	m.body_len = 28;
	len = packet_icmp(p, sizeof(p), &ip, &m);
	assert_string_equal(packet_line(p, len, false, NULL),
			    "10.0.0.1 > 10.0.0.2 ICMP type 3 code 4 rest 0x578 len 28 "
			    "(protocol 6, 10.0.0.1:40000 > 10.0.0.2:443)");
	assert_string_equal(packet_line(p, 19, false, NULL), "bad IP header");
	assert_string_equal(packet_line(p, len, true, NULL), "Ethernet type 0xa00");
	arp_build(p, &(struct arp_pkt){ .op = 1, .spa = ip.src, .tpa = ip.dst });
	memmove(p + ETHER_HLEN, p, ARP_LEN);
	ether_build(p, &(struct ether_hdr){ .type = ETHER_ARP });
	assert_string_equal(packet_line(p, ETHER_HLEN + ARP_LEN, true, NULL),
			    "ARP op 1 10.0.0.1 > 10.0.0.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),	    cmocka_unit_test(test_fix),
		cmocka_unit_test(test_raw_options), cmocka_unit_test(test_gather),
		cmocka_unit_test(test_text_tcp),    cmocka_unit_test(test_text_others),
	};

	return cmocka_run_group_tests_name("whole packets", tests, NULL, NULL);
}
