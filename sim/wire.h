/* SPDX-License-Identifier: MIT */
/*
 * One direction of a simulated link: frames and the time go in, frames come out later, changed or
 * not at all. Pure: no clock and no I/O, so that the same model runs in virtual time and in real
 * time.
 *
 * Stages, in order: partition, drop list, MTU, random loss, burst loss (Gilbert-Elliott),
 * bottleneck (rate with a bounded queue), then for the frame and for each copy: corruption, delay,
 * jitter, reordering.
 *
 * Every random decision is a function of (seed, number of the frame, purpose) alone: turning one
 * impairment on does not shift the others, and the k-th frame meets the same fate in every run.
 */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#define WIRE_SPANS 8
#define WIRE_DROPS 16

/* From..to in ns: the link is dead. */
struct wire_span {
	uint64_t from, to;
};

/* All zero: a perfect link without delay. Shares are in [0, 1]. */
struct wire_params {
	uint64_t delay_ns;
	uint64_t jitter_ns; /* 0 to this is added to the delay; does not reorder */
	double loss;	    /* share of frames lost at random */
	double burst_enter; /* Gilbert-Elliott: good to bad, for each frame */
	double burst_leave; /* bad to good */
	double burst_loss;  /* loss while bad */
	double reorder;	    /* share held back by reorder_ns, so that later frames overtake */
	uint64_t reorder_ns;
	double duplicate;     /* share that arrives twice */
	double corrupt;	      /* share in which octets change */
	bool corrupt_unseen;  /* also where no checksum can tell; else such a change is redrawn */
	bool ether;	      /* frames start with an Ethernet header; else with IP */
	uint64_t rate_bps;    /* bits a second; 0: no limit */
	uint32_t queue_bytes; /* bytes that may wait for it, what is being sent included */
	uint32_t ecn_bytes;  /* ECN-capable packets that find as many waiting are marked; 0: none */
	uint32_t mtu;	     /* larger IP packets are too big; 0: no limit */
	uint32_t frames_max; /* frames inside at once; 0: 65,536 */
	uint32_t
		drop_data[WIRE_DROPS]; /* the n-th TCP segments with payload are lost; 1 is first */
	unsigned drop_data_n;
	struct wire_span down[WIRE_SPANS];
	unsigned down_n;
};

enum wire_fate {
	WIRE_SENT,
	WIRE_LOST,  /* at random */
	WIRE_BURST, /* in a bad spell */
	WIRE_LISTED,
	WIRE_QUEUE, /* the bottleneck's queue is full */
	WIRE_DOWN,
	WIRE_TOO_BIG,
	WIRE_FULL, /* frames_max */
	WIRE_FATES
};

/* A frame inside, or one that came out: whoever takes it frees it. */
struct wire_frame {
	uint64_t at;	 /* when it arrives */
	uint64_t order;	 /* of two at once the lower goes first */
	uint64_t number; /* of the frame that went in; 1 is first */
	uint32_t len;
	uint32_t gso_size; /* as it was put in */
	uint32_t flags;	   /* CPL_FRAME_*, as it was put in */
	bool corrupt, copy;
	uint8_t data[];
};

struct wire {
	struct wire_params params;
	uint64_t seed;
	struct wire_frame **heap; /* by (at, order) */
	uint32_t heap_n, heap_cap;
	uint64_t frames;      /* put in so far */
	uint64_t data_frames; /* of them TCP with payload */
	uint64_t order;
	uint64_t busy_until; /* when the bottleneck has sent all it holds ... */
	uint64_t busy_part;  /* ... and the part of a ns beyond, in 1/rate */
	uint64_t last_at;    /* latest arrival so far: jitter does not go below it */
	uint64_t burst_at;   /* when the state of the next one was last looked at */
	uint32_t backlog;    /* bytes that the last frame found waiting */
	uint64_t marked;     /* with CE */
	bool bad;	     /* Gilbert-Elliott's state */
	uint64_t fates[WIRE_FATES];
	uint64_t corrupted, duplicated, reordered;
};

void wire_init(struct wire *wire, const struct wire_params *params, uint64_t seed);
void wire_destroy(struct wire *wire);

/*
 * Offer a frame at NOW, which never goes back. FLAGS and GSO_SIZE only travel with it. A frame with
 * gso_size or CPL_FRAME_CSUM_PARTIAL is never corrupted: cut it first (sim/cut.h) where that
 * matters. *AT (may be NULL) tells when it will arrive, if it is sent.
 */
enum wire_fate wire_put(struct wire *wire, const void *data, uint32_t len, uint32_t gso_size,
			uint32_t flags, uint64_t now, uint64_t *at);
/* When the next frame comes out; UINT64_MAX: none is inside. */
uint64_t wire_deadline(const struct wire *wire);
/* The next frame that is due at NOW, or NULL. */
struct wire_frame *wire_take(struct wire *wire, uint64_t now);

/* "lost", "queue full", ... */
const char *wire_fate_text(enum wire_fate fate);

/* True if FRAME carries a TCP segment with payload. */
bool wire_is_data(const uint8_t *frame, uint32_t len, bool ether);
/* True if no checksum of the packet tells that it was changed: all of them are right. */
bool wire_sums_right(const uint8_t *packet, uint32_t len);

#endif
