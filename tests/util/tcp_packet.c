/* SPDX-License-Identifier: MIT */
/* See tcp_packet.h. */
#include "tests/util/tcp_packet.h"

#include <string.h>

#include "sim/draw.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/tcp.h"

uint32_t tcp_packet(uint8_t *out, int version, uint32_t seq, uint16_t flags, uint32_t n)
{
	struct tcp_seg seg = { .sport = 1000,
			       .dport = 2000,
			       .seq = seq,
			       .ack = TCP_PACKET_ACK,
			       .flags = flags,
			       .wnd = 512,
			       .opts = TCP_HAS_TS,
			       .tsval = TCP_PACKET_TSVAL };
	struct ip_hdr ip = { .version = (uint8_t)version,
			     .ttl = 64,
			     .protocol = IP_TCP,
			     .id = TCP_PACKET_ID,
			     .dont_frag = true };
	uint8_t tcp[TCP_HLEN_MAX];
	unsigned ihl, thl = tcp_build(tcp, &seg);
	uint16_t sum;

	if (version == 4) {
		ip.src = cpl_addr4(10, 0, 0, 1);
		ip.dst = cpl_addr4(10, 0, 0, 2);
	} else {
		ip.src.b[0] = ip.dst.b[0] = 0xfd;
		ip.src.b[15] = 1;
		ip.dst.b[15] = 2;
	}
	ip.len = (version == 4 ? IPV4_HLEN : IPV6_HLEN) + thl + n;
	ihl = ip_build(out, &ip);
	memcpy(out + ihl, tcp, thl);
	for (uint32_t i = 0; i < n; i++)
		out[ihl + thl + i] = (uint8_t)draw_at(seq, i, 0);
	sum = sum_finish(
		sum_add(sum_pseudo(&ip.src, &ip.dst, IP_TCP, thl + n), out + ihl, thl + n));
	memcpy(out + ihl + 16, &sum, 2);
	return ip.len;
}
