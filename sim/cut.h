/* SPDX-License-Identifier: MIT */
/*
 * What a device does for a stack that leaves work to it: complete a TCP or UDP checksum, and cut a
 * TCP super-segment into the packets that really cross the link (RFC 9293 3.7.1 sizes, IPv4 and
 * IPv6).
 */
#ifndef SIM_CUT_H
#define SIM_CUT_H

#include <stdbool.h>
#include <stdint.h>

#define CUT_FRAME_MAX 70000 /* largest frame, in or out */

/* A frame as the stack handed it out (struct cpl_out), in one piece. */
struct cut_frame {
	const uint8_t *data;
	uint32_t len;
	uint32_t gso_size;    /* 0, or the payload of each segment */
	uint32_t csum_start;  /* sum from here ... */
	uint32_t csum_offset; /* ... and store there; both 0: it is complete */
	bool ether;
};

/*
 * Calls EMIT for each packet, in order, with all checksums complete. Of a super-segment: seq
 * advances, FIN and PSH stay on the last, CWR on the first (RFC 3168 6.1.2), IPv4's identification
 * counts up. Returns the number of packets, or -EINVAL when the frame is not what it says.
 */
int cut_frame(const struct cut_frame *frame,
	      void (*emit)(void *ctx, const uint8_t *packet, uint32_t len), void *ctx);

/* How many packets cut_frame() makes of a payload of LEN bytes. */
static inline uint32_t cut_count(uint32_t len, uint32_t gso_size)
{
	return gso_size && len > gso_size ? (len + gso_size - 1) / gso_size : 1;
}

#endif
