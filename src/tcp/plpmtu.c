/* SPDX-License-Identifier: MIT */
/*
 * The path MTU without help from routers (RFC 4821, RFC 8899): when large segments vanish again and
 * again and nobody says why, the connection makes them smaller; minutes later, probes of a size
 * between what passes and what did not look whether more passes now. A lost probe is no congestion.
 */
#include "tcp/tcp.h"

#define BASE4	     1024u
#define FLOOR4	     576u
#define TIMEOUTS     2	  /* in a row of one segment: too many for chance */
#define FIRST_LOOK_S 5u	  /* perhaps the path was only down for a while */
#define NEXT_LOOK_S  600u /* RFC 4821 7.3, as Linux */
#define CLOSE_ENOUGH 16u  /* bytes between what passes and what does not */
#define MORE_BEHIND  5u	  /* segments that must wait behind a probe, so that its loss shows soon */
#define MORE_SACK    2u	  /* the same where RACK sees it: else a small window would never probe */

/* Bytes of headers before the payload of a full segment. */
static uint32_t overhead(const struct tcb *tcb)
{
	return (tcb_is4(tcb) ? 20u : 40u) + TCP_HLEN + (tcb_has(tcb, TCB_TS) ? 12u : 0u);
}

/* The next size to try, smaller by a tenth if there is one, or 0. */
static uint32_t step_down(const struct tcb *tcb)
{
	static const uint16_t steps[] = { IPV6_MTU_MIN, BASE4, FLOOR4 };
	uint32_t size = (uint32_t)tcb->snd_mss + overhead(tcb);
	unsigned last = tcb_is4(tcb) ? 2 : 0;

	for (unsigned i = 0; i <= last; i++)
		if (size - size / 10 >= steps[i])
			return steps[i];
	return size > steps[last] ? steps[last] : 0;
}

/* RFC 4821 7.7, RFC 8899 4.3 */
void plpmtu_timeout(struct tcb *tcb, uint64_t now)
{
	const struct sent *first = sendmap_first(&tcb->io->map);
	uint32_t mtu = step_down(tcb);

	if (!tcb_synchronized(tcb) || tcb->rexmt_n % TIMEOUTS || !mtu || !tcb->snd_wnd ||
	    first->end - first->start + overhead(tcb) <= mtu) /* as small already: it is not that */
		return;
	if (!tcb->mtu_cap)
		tcb->mtu_limit = tcb->pmtu;
	tcb->mtu_cap = (uint16_t)mtu;
	tcb->mtu_high = tcb->mtu_limit;
	tcb->mtu_at_s = tcp_seconds(now) + FIRST_LOOK_S;
	tcb->io->mtu_probe = 0;
	tcb->blackholes += tcb->rexmt_n == TIMEOUTS;
	tcb_set_pmtu(tcb, tcb->pmtu);
}

uint32_t plpmtu_probe(const struct tcb *tcb, uint32_t avail, uint32_t room, uint64_t now)
{
	uint32_t behind = (tcb_has(tcb, TCB_SACK) ? MORE_SACK : MORE_BEHIND) * tcb->snd_mss;
	const struct tcb_io *io = tcb->io;
	uint32_t size, len;

	if (!tcb->mtu_cap || io->mtu_probe || io->recovery.state != CPL_RECOVERY_OPEN ||
	    tcp_seconds(now) - tcb->mtu_at_s > UINT32_MAX / 2)
		return 0;
	/* The limit first: mostly the trouble is over, or was none of the size. */
	size = tcb->mtu_high == tcb->mtu_limit ? tcb->mtu_high : (tcb->pmtu + tcb->mtu_high) / 2u;
	len = size - overhead(tcb);
	if (len <= tcb->snd_mss || room < len || avail < len + behind || io->cc.cwnd < len + behind)
		return 0;
	return len;
}

void plpmtu_probed(struct tcb *tcb, uint32_t len)
{
	tcb->io->mtu_probe = (uint16_t)(len + overhead(tcb));
}

/* The search is over for now. */
static void rest(struct tcb *tcb, uint64_t now)
{
	tcb->mtu_high = tcb->mtu_limit;
	tcb->mtu_at_s = tcp_seconds(now) + NEXT_LOOK_S;
}

void plpmtu_result(struct tcb *tcb, bool acked, uint64_t now)
{
	struct tcb_io *io = tcb->io;
	bool lost = io->map.mtu_probe_lost;
	uint16_t size = io->mtu_probe;

	io->map.mtu_probe_lost = 0;
	if (!size || !(acked || lost))
		return;
	io->mtu_probe = 0;
	if (!acked) {
		tcb->mtu_high = (uint16_t)(size - 1);
		if (tcb->mtu_high < tcb->pmtu + CLOSE_ENOUGH)
			rest(tcb, now);
		return;
	}
	if (size <= tcb->pmtu)
		return;
	tcb->mtu_cap = size >= tcb->mtu_limit ? 0 : size;
	tcb->pmtu = size;
	tcb_set_pmtu(tcb, size);
	if (tcb->mtu_high < size + CLOSE_ENOUGH)
		rest(tcb, now);
}
