/* SPDX-License-Identifier: MIT */
/* Virtual time: what happens by itself, in order, while packetdrill sleeps or waits. */
#include <stdlib.h>

#include "packetdrill/drill.h"

static bool collect(struct drill *d)
{
	struct cpl_out out;
	bool any = false;

	while (cpl_output(d->stack, d->ifindex, &out, 1, d->now) == 1) {
		drill_keep(d, &out);
		cpl_output_done(d->stack, out.token, 1, d->now);
		any = true;
	}
	return any;
}

static void take_woken(struct drill *d)
{
	sock_id socks[64];
	epoll_id sets[64];

	/* Whoever waits looks at every change: who was woken is of no interest. */
	while (sockets_woken(d->sockets, socks, 64) == 64)
		;
	while (sockets_epolls_woken(d->sockets, sets, 64) == 64)
		;
}

void drill_settle(struct drill *d)
{
	/* A send that waits for its handshake goes on before the ACK leaves, as in the kernel. */
	sockets_poll(d->sockets, d->now);
	drill_calls_step(d, true);
	do {
		collect(d);
		sockets_poll(d->sockets, d->now);
		take_woken(d);
	} while (drill_calls_step(d, false) || collect(d));
}

uint64_t drill_next(const struct drill *d)
{
	uint64_t next = cpl_deadline(d->stack);
	const struct list *l;

	list_for_each (l, &d->calls) {
		const struct drill_call *c = container_of(l, struct drill_call, link);

		if (!c->over && c->until < next)
			next = c->until;
	}
	return next;
}

bool drill_pass(struct drill *d, uint64_t t, bool stop)
{
	for (;;) {
		uint64_t next = drill_next(d);

		drill_calls_return(d);
		if (stop && !list_empty(&d->packets))
			return false;
		if (next > t)
			break;
		if (next > d->now)
			d->now = next;
		cpl_advance(d->stack, d->now);
		drill_settle(d);
	}
	if (t > d->now)
		d->now = t;
	return true;
}

void drill_packets_free(struct drill *d)
{
	while (!list_empty(&d->packets)) {
		struct drill_packet *p = list_first(&d->packets, struct drill_packet, link);

		list_del(&p->link);
		free(p);
	}
}
