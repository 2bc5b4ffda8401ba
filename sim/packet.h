/* SPDX-License-Identifier: MIT */
/*
 * What the simulated wire must know of a packet: where its parts are. Made for frames that a stack
 * built; nothing outside (p, len) is read whatever they hold.
 */
#ifndef SIM_PACKET_H
#define SIM_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/ip.h"

#define PACKET_ETHER 14 /* bytes of an Ethernet header */

struct packet {
	struct ip_hdr ip;
	const uint8_t *ip_start;
	const uint8_t *transport; /* ip.len - ip.hlen bytes */
	uint32_t transport_len;
	/* Of TCP, when protocol is 6 and it is no later fragment: */
	bool tcp;
	uint16_t sport, dport;
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t wnd;
	uint32_t payload;
};

/* False: no IP packet with a sound header. FRAME starts with an Ethernet header if ETHER. */
bool packet_read(struct packet *packet, const uint8_t *frame, uint32_t len, bool ether);

#endif
