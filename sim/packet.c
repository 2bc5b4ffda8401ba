/* SPDX-License-Identifier: MIT */
/* Where the parts of a packet are (packet.h), and whether all its checksums are right (wire.h). */
#include "sim/packet.h"

#include <string.h>

#include "sim/wire.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/tcp.h"

bool packet_read(struct packet *packet, const uint8_t *frame, uint32_t len, bool ether)
{
	struct ip_problem problem;
	const uint8_t *t;
	uint32_t hlen;

	memset(packet, 0, sizeof(*packet));
	if (ether) {
		if (len < PACKET_ETHER)
			return false;
		if (get16(frame + 12) != 0x0800 && get16(frame + 12) != 0x86dd)
			return false;
		frame += PACKET_ETHER;
		len -= PACKET_ETHER;
	}
	if (ip_parse(frame, len, &packet->ip, &problem) != IP_OK)
		return false;
	packet->ip_start = frame;
	packet->transport = t = frame + packet->ip.hlen;
	packet->transport_len = packet->ip.len - packet->ip.hlen;
	if (packet->ip.protocol != IP_TCP || packet->ip.frag_off ||
	    packet->transport_len < TCP_HLEN)
		return true;
	hlen = (uint32_t)(t[12] >> 4) * 4;
	if (hlen < TCP_HLEN || hlen > packet->transport_len)
		return true;
	packet->tcp = true;
	packet->sport = get16(t);
	packet->dport = get16(t + 2);
	packet->seq = get32(t + 4);
	packet->ack = get32(t + 8);
	packet->flags = t[13];
	packet->wnd = get16(t + 14);
	packet->payload = packet->transport_len - hlen;
	return true;
}

bool wire_is_data(const uint8_t *frame, uint32_t len, bool ether)
{
	struct packet packet;

	return packet_read(&packet, frame, len, ether) && packet.tcp && packet.payload > 0;
}

bool wire_sums_right(const uint8_t *p, uint32_t len)
{
	struct packet packet;
	const struct ip_hdr *ip = &packet.ip;
	uint64_t sum;

	/* ip_parse() has verified IPv4's header checksum. */
	if (!packet_read(&packet, p, len, false))
		return false;
	if (ip->fragment)
		return true; /* only the whole packet has a sum */
	switch (ip->protocol) {
	case IP_ICMP:
		sum = 0;
		break;
	case IP_UDP:
		if (packet.transport_len >= 8 && get16(packet.transport + 6) == 0)
			return true;
		/* fall through */
	case IP_TCP:
	case IP_ICMP6:
		sum = sum_pseudo(&ip->src, &ip->dst, ip->protocol, packet.transport_len);
		break;
	default:
		return false; /* nobody speaks it */
	}
	return sum_fold(sum_add(sum, packet.transport, packet.transport_len)) == 0xffff;
}
