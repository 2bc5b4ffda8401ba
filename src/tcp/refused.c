/* SPDX-License-Identifier: MIT */
/* What the device did not take after all: it counts as never transmitted. */
#include "tcp/tcp.h"

/* [start, end) did not leave, whatever has become of its record since. */
static void refuse_range(struct tcb_io *io, uint32_t start, uint32_t end)
{
	struct recovery *recovery = &io->recovery;
	struct sendmap *map = &io->map;

	while (seq_lt(start, end)) {
		struct sent *rec;

		start = seq_max(start, map->una);
		rec = sendmap_find(map, start);
		if (!rec || !seq_lt(start, end)) /* acknowledged meanwhile */
			return;
		if (!(rec->flags & SENT_SACKED)) {
			if (seq_lt(rec->start, start))
				rec = sendmap_split(map, rec, start);
			if (!rec || (seq_gt(rec->end, end) && !sendmap_split(map, rec, end)))
				return; /* no memory: the timer will see to it */
			start = rec->end;
			recovery_refused(recovery, rec->end - rec->start);
			sendmap_refused(map, rec);
		} else {
			start = rec->end;
		}
	}
}

static struct tcb *not_sent(struct tcp *tcp, cpl_handle handle, uint32_t start, uint32_t end,
			    uint64_t now)
{
	struct tcb *tcb = tcp_tcb(tcp, handle);

	if (!tcb || tcb->state == CPL_LISTEN || tcb->state == CPL_CLOSED)
		return NULL;
	tcb->plain = false;
	if (start == end) {
		tcb->flags |= TCB_ACK_NOW;
	} else if (tcb->io) {
		refuse_range(tcb->io, start, end);
		tcb_why(tcb, CPL_WHY_DEVICE, now);
	}
	return tcb;
}

void tcp_refused(struct tcp *tcp, cpl_handle handle, uint32_t start, uint32_t end, uint64_t now)
{
	struct tcb *tcb = not_sent(tcp, handle, start, end, now);

	if (tcb)
		tcb_kick(tcp, tcb);
}

void tcp_stalled(struct tcp *tcp, cpl_handle handle, uint32_t start, uint32_t end, uint64_t now)
{
	struct tcb *tcb = not_sent(tcp, handle, start, end, now);

	if (!tcb)
		return;
	list_del(&tcb->ready);
	timer_stalled(tcp, tcb, now);
}
