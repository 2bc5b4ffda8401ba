/* SPDX-License-Identifier: MIT */
/*
 * Which of several stacks with one address a frame is for: receive-side scaling's Toeplitz hash of
 * addresses and ports, and its table of 128 entries filled in turn, as Linux fills it by default
 * (Microsoft, "RSS hashing types"; ethtool(8) -x). No state.
 */
#ifndef WIRE_STEER_H
#define WIRE_STEER_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/addr.h>

#define STEER_KEY_LEN 40
#define STEER_ALL     (-1)

/* Of a packet as it comes in: SRC is the remote end. Both of one family. */
uint32_t steer_hash2(const uint8_t key[STEER_KEY_LEN], const struct cpl_addr *src,
		     const struct cpl_addr *dst);
/* What the ports add to that by exclusive or, where the packet is TCP's or UDP's; IPV4: or IPv6. */
uint32_t steer_hash_ports(const uint8_t key[STEER_KEY_LEN], bool ipv4, uint16_t sport,
			  uint16_t dport);
unsigned steer_core(uint32_t hash, unsigned cores);

/*
 * The core of CORES for a frame, an Ethernet one or a bare packet. TCP and UDP go by addresses and
 * ports, an ICMP error by those of the packet that it quotes, other packets by their addresses.
 * STEER_ALL: ARP and Neighbour Discovery, from which each stack learns, and fragments, which do not
 * tell their ports: the stack that they are not for drops what it has put together. What cannot be
 * understood goes to core 0, to be counted.
 */
int steer_frame(const uint8_t key[STEER_KEY_LEN], unsigned cores, bool ether, const uint8_t *p,
		uint32_t len);

#endif
