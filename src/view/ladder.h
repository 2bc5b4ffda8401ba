/* SPDX-License-Identifier: MIT */
/*
 * The ladder: what two stacks recorded of one connection (src/trace/events.def), put together as a
 * message sequence chart. Every segment that one end sent is looked for among those that the other
 * received; what is not found was lost.
 */
#ifndef VIEW_LADDER_H
#define VIEW_LADDER_H

#include <couplet/couplet.h>

#include "view/text.h"

/* One side: the records of its stack that concern the connection, in order of time. */
struct view_side {
	const char *name; /* "client", "10.0.0.1" */
	const struct cpl_trace *records;
	size_t n;
	uint32_t iss; /* its own initial sequence number; without a SYN among the records, given */
	bool iss_known;
};

enum view_row_kind {
	VIEW_ROW_SEGMENT, /* from one side to the other */
	VIEW_ROW_STATE,	  /* one side changed its state with no segment at that moment */
	VIEW_ROW_NOTE,	  /* a timer, a call, a recovery step */
	VIEW_ROW_GAP,	  /* many segments left out */
};

enum view_fate {
	VIEW_FATE_ARRIVED,
	VIEW_FATE_LOST,
	VIEW_FATE_DROPPED,   /* arrived, refused by the receiver */
	VIEW_FATE_IN_FLIGHT, /* the records end before it could arrive */
	VIEW_FATE_DUPLICATE, /* arrived once more than it was sent: copied by the wire */
};

struct view_step {
	enum view_row_kind kind;
	enum view_fate fate;
	uint8_t from; /* 0: x sends (or acts), 1: y */
	bool retrans;
	uint64_t sent, arrived; /* ns from the first record; arrived 0 unless it did */
	uint32_t seq, ack;	/* relative to the sender's and the receiver's ISS */
	uint32_t len, wnd;
	uint16_t flags;
	/* State after this row, and -1 in front where it did not change. */
	int8_t state_from[2], state_to[2];
	uint64_t gap_segments, gap_bytes[2], gap_lost; /* of VIEW_ROW_GAP */
	char note[64];
};

struct view_ladder {
	struct view_step *steps;
	size_t n;
	char name[2][32];
	uint32_t iss[2];
};

/*
 * END: the time at which recording ended. MOST: about how many rows are wanted; handshake, close,
 * losses and state changes stay, and runs of plain data and ACKs between them become gaps (0: keep
 * all). Returns 0 or -ENOMEM.
 */
int view_ladder_make(struct view_ladder *ladder, const struct view_side *x,
		     const struct view_side *y, uint64_t end, size_t most);
void view_ladder_free(struct view_ladder *ladder);

/* 80 columns. */
void view_ladder_print(struct text *t, const struct view_ladder *ladder);

#endif
