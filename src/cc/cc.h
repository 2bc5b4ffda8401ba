/* SPDX-License-Identifier: MIT */
/*
 * Congestion control behind one table of operations. A controller sees events, samples and time,
 * never the connection: it reads and writes struct cc and its own few bytes of state inside it.
 */
#ifndef CC_CC_H
#define CC_CC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sample.h"
#include "cc/hystart.h"

#define CC_SSTHRESH_NONE UINT32_MAX
#define CC_STATE_BYTES	 384

struct cc_ops;

struct cc {
	uint32_t id;	     /* of the controller, for cc_ops() */
	uint32_t cwnd;	     /* bytes */
	uint32_t ssthresh;   /* bytes, CC_SSTHRESH_NONE at first */
	uint32_t mss;	     /* bytes */
	uint32_t initial;    /* segments of the initial window (RFC 6928) */
	uint32_t acked;	     /* bytes acknowledged towards the next increase (RFC 5681 3.1, ABC) */
	uint32_t prior_cwnd; /* before the last reduction, for its undo */
	uint32_t prior_ssthresh;
	uint64_t pacing_rate;  /* bytes/s; 0: not paced */
	uint32_t send_quantum; /* bytes that leave at once, where paced */
	bool marked;	       /* while congestion() runs: for an ECN mark, not for a loss */
	bool app_limited; /* set by ack(): rates until what is now in flight is acknowledged are
			   * the controller's own doing */
	struct hystart hystart;
	uint64_t state[CC_STATE_BYTES / 8];
};

/* What a controller knows beyond struct cc, for those who look at it; 0: it does not. */
struct cc_told {
	uint64_t bw;			 /* of the path, bytes/s */
	uint64_t min_rtt;		 /* ns */
	uint32_t pacing_gain, cwnd_gain; /* in 1/256 */
	uint32_t alpha;			 /* share of what was marked, in 1/1024 */
	uint64_t acked, marked;		 /* bytes since alpha was estimated last */
};

struct cc_ops {
	const char *name;
	bool paces;	    /* sets pacing_rate */
	bool owns_recovery; /* sets cwnd itself, also in recovery; implies every_ack */
	bool every_ack;	    /* ack() is called for each, not only for those that may grow cwnd */
	bool needs_ecn;	    /* asks for ECN, and wants each mark reported as it comes (RFC 8257) */
	uint16_t state_bytes; /* of cc.state are its own; the rest is not touched */
	/* cwnd, ssthresh and mss are set: prepare the rest, all of its state too. */
	void (*init)(struct cc *cc, uint64_t now);
	/* New data is about to be sent; NULL: does not matter. */
	void (*sent)(struct cc *cc, const struct send_event *ev);
	/* An ACK was processed. */
	void (*ack)(struct cc *cc, const struct ack_event *ev);
	/* All that ack() does when cwnd is not limited, outside of recovery; NULL: ask ack(). */
	void (*ack_unused)(struct cc *cc);
	/* Loss or ECN starts a reduction: set ssthresh; recovery brings cwnd down to it. */
	void (*congestion)(struct cc *cc, uint32_t in_flight, uint64_t now);
	/* A retransmission time-out (RFC 5681 3.1): set ssthresh; the caller sets cwnd. */
	void (*timeout)(struct cc *cc, uint32_t in_flight, uint64_t now);
	/* The last reduction was spurious. */
	void (*undo)(struct cc *cc, uint64_t now);
	/* Sending starts again after the connection was idle for IDLE_NS, longer than an RTO. */
	void (*restart)(struct cc *cc, uint64_t idle_ns, uint64_t now);
	/* Fill what is known of TOLD, all 0; NULL: there is nothing to tell. */
	void (*tell)(const struct cc *cc, struct cc_told *told);
};

extern const struct cc_ops cc_reno;
extern const struct cc_ops cc_cubic;
extern const struct cc_ops cc_bbr;
extern const struct cc_ops cc_dctcp;

/* By name; NULL if there is none. */
const struct cc_ops *cc_find(const char *name);
/* The I-th controller, or NULL past the last. */
const struct cc_ops *cc_at(unsigned i);
/*
 * The controller of CC. A number and no pointer is kept of it: a stack whose memory several
 * processes share has no addresses of any one's code in it.
 */
extern const struct cc_ops *const cc_controllers[];
static inline const struct cc_ops *cc_ops(const struct cc *cc)
{
	return cc_controllers[cc->id];
}

/* Initial window of RFC 6928: SEGMENTS of mss, bounded as its section 2 says for 10. */
uint32_t cc_initial_window(uint32_t mss, uint32_t segments);

void cc_init(struct cc *cc, const struct cc_ops *ops, uint32_t mss, uint32_t initial_window,
	     uint64_t now);
/* The MSS changed: windows keep their size in segments (RFC 9293 3.7.5, RFC 8201). */
void cc_set_mss(struct cc *cc, uint32_t mss);

/* ---- Shared by controllers ------------------------------------------------------------------ */

/*
 * The bytes of EV that may count towards growth: all that it acknowledged (RFC 3465 without a limit
 * L, as stretched ACKs need). After an RTO, where an ACK may cover what arrived long before (RFC
 * 3465 2.3), only as many as it took out of the network, but one segment at least.
 */
uint32_t cc_growth_bytes(const struct ack_event *ev);
/*
 * Slow start by ACKED_BYTES of EV, up to ssthresh; returns what is left for congestion avoidance.
 * The first one, without ssthresh, HyStart++ ends.
 */
uint32_t cc_slow_start(struct cc *cc, const struct ack_event *ev, uint32_t acked_bytes);
/* cwnd grows by one mss for each WINDOW bytes acknowledged. */
void cc_additive_increase(struct cc *cc, uint32_t acked_bytes, uint32_t window);
/* A reduction begins: remember cwnd and ssthresh; ssthresh = max(flight * NUM / DEN, 2 mss). */
void cc_reduce(struct cc *cc, uint32_t flight, uint32_t num, uint32_t den);
/* RFC 5681 4.1: cwnd back to the initial window, which ssthresh remembers in part. */
void cc_restart(struct cc *cc);

#endif
