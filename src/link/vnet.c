/* SPDX-License-Identifier: MIT */
/*
 * virtio_net_hdr, in little endian, as TUNSETVNETLE asks for. The numbers are VIRTIO 1.2's, section
 * 5.1.6.
 */
#include "link/vnet.h"

#include <string.h>

#define NEEDS_CSUM 1 /* flags */
#define DATA_VALID 2

#define GSO_NONE  0 /* gso_type */
#define GSO_TCPV4 1
#define GSO_TCPV6 4
#define GSO_ECN	  0x80

/* Offsets of the fields. */
#define FLAGS	    0
#define GSO_TYPE    1
#define HDR_LEN	    2
#define GSO_SIZE    4
#define CSUM_START  6
#define CSUM_OFFSET 8

static void put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static uint16_t get(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

void vnet_build(uint8_t p[VNET_HLEN], const struct cpl_out *frame)
{
	memset(p, 0, VNET_HLEN);
	if (frame->csum_start || frame->csum_offset) {
		p[FLAGS] = NEEDS_CSUM;
		put(p + CSUM_START, frame->csum_start);
		put(p + CSUM_OFFSET, frame->csum_offset);
	}
	put(p + HDR_LEN, frame->header_len);
	/* One segment that is no longer than gso_size need not be cut: Linux would refuse it. */
	if (!frame->gso_size || frame->len - frame->header_len <= frame->gso_size)
		return;
	p[GSO_TYPE] = frame->ipv6 ? GSO_TCPV6 : GSO_TCPV4;
	if (frame->ecn)
		p[GSO_TYPE] |= GSO_ECN;
	put(p + GSO_SIZE, frame->gso_size);
}

bool vnet_parse(const uint8_t p[VNET_HLEN], struct cpl_frame *frame)
{
	uint8_t gso_type = p[GSO_TYPE] & (uint8_t)~GSO_ECN;

	frame->gso_size = 0;
	if (p[FLAGS] & NEEDS_CSUM) {
		/* The field that is unfinished lies within the frame. */
		if (get(p + CSUM_START) + get(p + CSUM_OFFSET) + 2u > frame->len)
			return false;
		frame->flags |= CPL_FRAME_CSUM_PARTIAL;
	} else if (p[FLAGS] & DATA_VALID) {
		frame->flags |= CPL_FRAME_CSUM_OK;
	}
	if (gso_type == GSO_NONE)
		return true;
	if ((gso_type != GSO_TCPV4 && gso_type != GSO_TCPV6) || !get(p + GSO_SIZE))
		return false;
	frame->gso_size = get(p + GSO_SIZE);
	return true;
}
