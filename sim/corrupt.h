/* SPDX-License-Identifier: MIT */
/* Changes in transit: bits, octets, bursts and cut-off ends. */
#ifndef SIM_CORRUPT_H
#define SIM_CORRUPT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Change the IP packet in FRAME of *LEN bytes, as RANDOM says; an Ethernet header stays as it is
 * (Ethernet has a CRC of its own), and so does all that is no IP. Unless UNSEEN, a change that the
 * 16-bit checksums cannot tell is redrawn. False: nothing was changed.
 */
bool corrupt_frame(uint8_t *frame, uint32_t *len, bool ether, bool unseen, uint64_t random);

#endif
