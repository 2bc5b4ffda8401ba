/* SPDX-License-Identifier: MIT */
/*
 * F-RTO, RFC 5682: after a time-out only the oldest segment is sent again, then new data; whether
 * the next ACKs are of it or of what had been sent before tells if the time-out was needless.
 */
#ifndef LOSS_FRTO_H
#define LOSS_FRTO_H

#include <stdbool.h>
#include <stdint.h>

enum frto_step {
	FRTO_OFF,
	FRTO_FIRST,  /* step 2: the first ACK after the time-out is awaited */
	FRTO_SECOND, /* step 3: up to two new segments may go, and the next ACK decides */
};

struct frto {
	uint8_t step;
	bool send_new; /* new data goes before what is to be sent again */
};

enum frto_verdict {
	FRTO_OPEN,     /* not decided */
	FRTO_REAL,     /* retransmit as ever */
	FRTO_SPURIOUS, /* the time-out was needless */
};

/* What one ACK says. */
struct frto_ack {
	bool sack;	/* the peer does SACK */
	bool advanced;	/* una moved */
	bool duplicate; /* a duplicate ACK, or news in the scoreboard */
	bool original;	/* it delivered what was sent before the time-out and not again */
	bool complete;	/* all that was out at the time-out is acknowledged */
	bool sent_new;	/* new data left since the time-out */
};

static inline void frto_start(struct frto *frto)
{
	*frto = (struct frto){ .step = FRTO_FIRST };
}

enum frto_verdict frto_ack(struct frto *frto, const struct frto_ack *ack);

#endif
