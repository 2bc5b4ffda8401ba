/* SPDX-License-Identifier: MIT */
/*
 * See send.h. A frame that is short is cheaper to copy than to describe, hold and give back: the
 * stack puts it where the link has room for it, if it has.
 */
#include "host/send.h"

/* Short ones, until there are no more, or a long one is the next: *LONG. */
static struct send_result send_short(cpl_stack *stack, int ifindex, struct link *link, unsigned max,
				     bool *is_long, uint64_t now)
{
	struct send_result result = { 0 };
	struct cpl_out what;
	size_t size;
	uint8_t *room = link_room(link, &size);

	while (result.frames < max) {
		int n = cpl_output_copy(stack, ifindex, room, size, &what, now);

		*is_long = n < 0;
		if (n <= 0)
			break;
		link_put(link, &what);
		result.frames++;
		result.octets += (uint32_t)n;
	}
	return result;
}

struct send_result send_frames(cpl_stack *stack, int ifindex, struct link *link,
			       struct cpl_out *outs, unsigned max, uint64_t now)
{
	struct send_result result = { 0 };
	bool is_long = true;
	unsigned sent = 0;
	int n;

	link->now = now;
	if (link->ops->room)
		result = send_short(stack, ifindex, link, max, &is_long, now);
	if (!is_long || result.frames == max)
		return result;
	n = cpl_output(stack, ifindex, outs, max - result.frames, now);
	if (n > 0)
		sent = link_write_some(link, outs, (unsigned)n);
	/* What comes after a refused frame is refused as well: order is kept. */
	for (int f = 0; f < n; f++) {
		result.octets += outs[f].len;
		cpl_output_done(stack, outs[f].token, f < (int)sent, now);
	}
	result.frames += n > 0 ? (unsigned)n : 0;
	result.refused = (int)sent < n;
	return result;
}
