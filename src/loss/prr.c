/* SPDX-License-Identifier: MIT */
/* Proportional rate reduction: RFC 9937 section 6.2. The caller owns struct prr. */
#include "loss/prr.h"

void prr_start(struct prr *prr, uint32_t outstanding, uint32_t sacked, uint32_t newly_sacked,
	       uint32_t acked)
{
	/* What was SACKed before recovery will not be counted as delivered in it. */
	uint64_t fs = (uint64_t)outstanding + newly_sacked + acked;

	*prr = (struct prr){ .recover_fs = fs > sacked ? (uint32_t)(fs - sacked) : 1 };
}

uint32_t prr_cwnd(struct prr *prr, uint32_t ssthresh, uint32_t pipe, uint32_t delivered,
		  uint32_t mss, bool safe)
{
	uint64_t send, most;

	prr->delivered += delivered;
	if (pipe > ssthresh) {
		uint64_t due = (prr->delivered * ssthresh + prr->recover_fs - 1) / prr->recover_fs;

		send = due > prr->out ? due - prr->out : 0;
	} else {
		send = prr->delivered > prr->out ? prr->delivered - prr->out : 0;
		if (send < delivered)
			send = delivered;
		if (safe)
			send += mss;
		most = ssthresh - pipe;
		if (send > most)
			send = most;
	}
	/* Section 6.2: the fast retransmit itself always goes. */
	if (!prr->out && send < mss)
		send = mss;
	send += pipe;
	return send < UINT32_MAX ? (uint32_t)send : UINT32_MAX;
}
