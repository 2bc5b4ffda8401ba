/* SPDX-License-Identifier: MIT */
/* Tail loss probe: RFC 8985 sections 7.2 and 7.4. The caller owns struct tlp and the timer. */
#include "loss/tlp.h"

#include "base/seq.h"

uint64_t tlp_pto_ns(uint32_t flight, uint32_t mss, uint64_t srtt_ns)
{
	uint64_t pto = srtt_ns ? 2 * srtt_ns : TLP_UNMEASURED_NS;

	if (srtt_ns && flight <= mss)
		pto += TLP_MAX_ACK_DELAY_NS;
	return pto > TLP_MIN_NS ? pto : TLP_MIN_NS;
}

static enum tlp_verdict over(struct tlp *tlp, enum tlp_verdict verdict)
{
	tlp->out = false;
	return verdict;
}

enum tlp_verdict tlp_ack(struct tlp *tlp, uint32_t ack, const struct sack_block *dsack, bool pure)
{
	if (!tlp->out || seq_lt(ack, tlp->end_seq))
		return TLP_NOTHING;
	if (!tlp->retrans)
		return over(tlp, TLP_NOTHING); /* new data, delivered */
	if (dsack && dsack->end == tlp->end_seq)
		return over(tlp, TLP_NOTHING); /* both arrived */
	if (seq_gt(ack, tlp->end_seq))
		return over(tlp, TLP_REPAIRED);
	return pure ? over(tlp, TLP_NOTHING) : TLP_NOTHING; /* the probe's own duplicate ACK */
}
