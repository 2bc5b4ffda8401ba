/* SPDX-License-Identifier: MIT */
/* From a stack to a link: what both who run one have in common. */
#ifndef HOST_SEND_H
#define HOST_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/couplet.h>

#include "link/link.h"

struct send_result {
	unsigned frames; /* taken from the stack */
	uint32_t octets; /* of those */
	bool refused;	 /* the link has no room for more: the last of them were not sent */
};

/* Up to MAX frames for IFINDEX to LINK; OUTS has room for as many. */
struct send_result send_frames(cpl_stack *stack, int ifindex, struct link *link,
			       struct cpl_out *outs, unsigned max, uint64_t now);

#endif
