/* SPDX-License-Identifier: MIT */
/* Proof that retransmissions were needless: RFC 2883, RFC 3708 2, RFC 3522. See undo.h. */
#include "loss/undo.h"

#include "base/seq.h"

void undo_arm(struct undo *undo, uint32_t una)
{
	*undo = (struct undo){ .armed = true, .marker = una };
}

void undo_resent(struct undo *undo, uint32_t bytes, uint64_t now)
{
	if (!undo->armed)
		return;
	if (!undo->resent_any)
		undo->resent_ns = now;
	undo->resent_any = true;
	undo->unproven = bytes < UINT32_MAX - undo->unproven ? undo->unproven + bytes : UINT32_MAX;
}

void undo_dsack(struct undo *undo, const struct sack_block *block)
{
	uint32_t len = block->end - block->start;

	/* Of this episode only: an older one's duplicates prove nothing about it. */
	if (!undo->armed || seq_lt(block->start, undo->marker))
		return;
	undo->unproven -= len < undo->unproven ? len : undo->unproven;
}
