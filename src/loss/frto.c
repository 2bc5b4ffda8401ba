/* SPDX-License-Identifier: MIT */
/* F-RTO: RFC 5682 section 2.1 (without SACK) and 3.1 (with SACK, as Linux has it). */
#include "loss/frto.h"

static enum frto_verdict decide(struct frto *frto, enum frto_verdict verdict)
{
	*frto = (struct frto){ .step = FRTO_OFF };
	return verdict;
}

enum frto_verdict frto_ack(struct frto *frto, const struct frto_ack *ack)
{
	if (frto->step == FRTO_OFF)
		return FRTO_REAL;
	/*
	 * With SACK, what was not sent again arrives: it was never lost (3.1 step 3b). Without, the
	 * ACK of the retransmission may cover what came before the hole: only the second tells.
	 */
	if (ack->original && (ack->sack || frto->step == FRTO_SECOND))
		return decide(frto, FRTO_SPURIOUS);
	/* 2a, 3a: a duplicate, or news only of what was sent after: the old is lost. */
	if (ack->complete || (ack->duplicate && !ack->advanced))
		return decide(frto, FRTO_REAL);
	if (!ack->advanced)
		return FRTO_OPEN;
	if (frto->step == FRTO_SECOND)
		return decide(frto, ack->sent_new && !ack->sack ? FRTO_SPURIOUS : FRTO_REAL);
	frto->step = FRTO_SECOND; /* 2b */
	frto->send_new = true;
	return FRTO_OPEN;
}
