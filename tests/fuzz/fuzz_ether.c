/* SPDX-License-Identifier: MIT */
/* Ethernet frames and what is in them, ARP above all; the checksum over any split of any bytes. */
#include "tests/fuzz/fuzz.h"
#include "tests/util/packet.h"
#include "wire/bytes.h"
#include "wire/checksum.h"

static size_t fresh(uint8_t *data, size_t max, uint64_t *seed)
{
	struct arp_pkt a = { .op = ARP_REQUEST, .spa = cpl_addr4(10, 0, 0, 1) };
	struct ether_hdr h = { .type = ETHER_ARP };
	struct ip_hdr ip = { .src = cpl_addr4(10, 0, 0, 1), .dst = cpl_addr4(10, 0, 0, 2) };
	struct icmp_msg m = { .type = ICMP4_ECHO };
	uint8_t mac[6] = { 2 };
	uint32_t len;

	if (max < 100)
		return 0;
	a.tpa = ip.dst;
	if (rnd(seed, 2)) {
		ether_build(data, &h);
		arp_build(data + ETHER_HLEN, &a);
		return ETHER_HLEN + ARP_LEN;
	}
	len = packet_icmp(data + ETHER_HLEN, max - ETHER_HLEN, &ip, &m);
	return packet_ether(data, max, mac, mac, data + ETHER_HLEN, len);
}

static void fix(uint8_t *data, size_t size)
{
	if (size > ETHER_HLEN)
		packet_fix(data + ETHER_HLEN, (uint32_t)size - ETHER_HLEN);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return mutate(data, size, max, seed, fresh, fix);
}

/* The first two octets say where to cut. */
static void check_sum(const uint8_t *p, size_t n)
{
	size_t a, b;
	uint64_t sum;
	uint16_t got;
	uint8_t octets[2];

	if (n < 2)
		return;
	a = p[0] % (n + 1);
	b = a + p[1] % (n + 1 - a);
	sum = sum_add_at(sum_best(), 0, p, a, 0);
	sum = sum_join(sum_add_at(sum_best(), 0, p + b, n - b, b), sum);
	got = sum_fold(sum_add_at(sum_best(), sum, p + a, b - a, a));
	memcpy(octets, &got, 2);
	CHECK(get16(octets) == naive_sum(0, p, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t len = (uint32_t)size;
	uint8_t again[ARP_LEN];
	char text[PACKET_LINE];
	struct test_packet t;
	struct ether_hdr h;
	struct arp_pkt a;

	check_sum(data, size);
	if (!ether_parse(data, len, &h)) {
		CHECK(len < ETHER_HLEN);
		return 0;
	}
	ether_build(again, &h);
	CHECK(!memcmp(again, data, ETHER_HLEN));
	if (arp_parse(data + ETHER_HLEN, len - ETHER_HLEN, &a)) {
		arp_build(again, &a);
		CHECK(!memcmp(again, data + ETHER_HLEN, ARP_LEN));
		CHECK(cpl_addr_is4(&a.spa) && cpl_addr_is4(&a.tpa));
	}
	packet_parse(&t, data, len, true);
	packet_text(text, &t, NULL);
	CHECK(strlen(text) < PACKET_LINE && text[0]);
	return 0;
}
