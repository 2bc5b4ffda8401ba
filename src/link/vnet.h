/* SPDX-License-Identifier: MIT */
/*
 * struct virtio_net_hdr (VIRTIO 1.2, 5.1.6), which precedes each frame of a TUN or TAP device: it
 * says which checksum is unfinished and how a super-segment is to be cut.
 */
#ifndef LINK_VNET_H
#define LINK_VNET_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/couplet.h>

#define VNET_HLEN 10

/* The header for a frame that goes out. */
void vnet_build(uint8_t p[VNET_HLEN], const struct cpl_out *frame);
/*
 * What the header of a frame of FRAME->len octets says, to *FRAME (flags, gso_size). False: it
 * contradicts the frame, or asks for something that was not offered.
 */
bool vnet_parse(const uint8_t p[VNET_HLEN], struct cpl_frame *frame);

#endif
