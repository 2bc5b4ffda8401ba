/* SPDX-License-Identifier: MIT */
/* A TCP packet between two fixed hosts, for tests of what carries packets. */
#ifndef TESTS_UTIL_TCP_PACKET_H
#define TESTS_UTIL_TCP_PACKET_H

#include <stdint.h>

#define TCP_PACKET_ACK	 77
#define TCP_PACKET_TSVAL 5
#define TCP_PACKET_ID	 0xfffe

/* From 10.0.0.1 or fd00::1 to .2, with N octets that depend on SEQ, timestamps and right checksums.
 * Returns its length: N + 52 or N + 72. */
uint32_t tcp_packet(uint8_t *out, int version, uint32_t seq, uint16_t flags, uint32_t n);

#endif
