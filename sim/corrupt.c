/* SPDX-License-Identifier: MIT */
/*
 * Corruption: see corrupt.h. What the checksums cover is all of an IPv4 packet; in IPv6, all but
 * the traffic class, flow label and hop limit. A fragment has no sum of its own: there, a change
 * counts as seen when it is in the payload and the payload's sum changes, since the whole packet's
 * then does.
 */
#include "sim/corrupt.h"

#include <string.h>

#include "sim/draw.h"
#include "sim/packet.h"
#include "sim/wire.h"
#include "wire/checksum.h"

#define TRIES	  32
#define MAX_LEN	  65600
#define KINDS	  4
#define BURST_MAX 16

/* One change to p[from..len); returns the new length. */
static uint32_t change(uint8_t *p, uint32_t from, uint32_t len, uint64_t random)
{
	uint32_t at = from + (uint32_t)draw_below(draw_at(random, 1, 0), len - from);
	uint32_t n;

	switch (draw_below(draw_at(random, 0, 0), KINDS)) {
	case 0: /* one bit */
		p[at] ^= (uint8_t)(1u << draw_below(draw_at(random, 2, 0), 8));
		return len;
	case 1: /* one octet */
		p[at] = (uint8_t)draw_at(random, 2, 0);
		return len;
	case 2: /* a burst */
		n = 2 + (uint32_t)draw_below(draw_at(random, 2, 0), BURST_MAX - 1);
		for (uint32_t i = at; i < at + n && i < len; i++)
			p[i] = (uint8_t)draw_at(random, 3, i);
		return len;
	default: /* the end is missing */
		return at;
	}
}

static bool seen(const uint8_t *was, const uint8_t *is, uint32_t was_len, uint32_t is_len,
		 uint32_t covered, bool fragment)
{
	if (is_len < was_len)
		return true;
	if (fragment)
		return sum_fold(sum_add(0, was + covered, was_len - covered)) !=
		       sum_fold(sum_add(0, is + covered, is_len - covered));
	return !wire_sums_right(is, is_len);
}

bool corrupt_frame(uint8_t *frame, uint32_t *len, bool ether, bool unseen, uint64_t random)
{
	uint32_t link = ether ? PACKET_ETHER : 0, from = 0, n, is;
	struct packet packet;
	uint8_t was[MAX_LEN];
	uint8_t *p = frame + link;

	if (!packet_read(&packet, frame, *len, ether) || packet.ip.len > MAX_LEN)
		return false;
	n = packet.ip.len; /* Ethernet's padding goes */
	if (packet.ip.fragment)
		from = packet.ip.hlen;
	else if (packet.ip.version == 6)
		from = 8;
	/* Changes in two fragments of one packet may cancel out in its sum: only the first changes.
	 */
	if (from >= n || (packet.ip.frag_off && !unseen))
		return false;
	memcpy(was, p, n);
	for (unsigned i = 0; i < TRIES; i++) {
		is = change(p, from, n, draw_at(random, i, 1));
		if ((is < n || memcmp(was, p, n) != 0) &&
		    (unseen || seen(was, p, n, is, from, packet.ip.fragment))) {
			*len = link + is;
			return true;
		}
		memcpy(p, was, n);
	}
	return false;
}
