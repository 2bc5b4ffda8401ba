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

/*
 * One side: the records of its stack that concern the connection, in order of time. Those of handle
 * 0 (segments for which there was no connection, and the resets that answered them) belong to it.
 */
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
	VIEW_ROW_NOTE,	  /* a timer fired, or a soft error */
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
	uint64_t sent, arrived; /* ns from the first row; ARRIVED 0 unless it did */
	uint32_t seq, ack;	/* relative to the sender's and the receiver's ISS */
	uint32_t len, wnd;
	uint16_t flags;
	int8_t state_from[2], state_to[2]; /* of each end at this row; both -1: no change */
	uint64_t gap_segments, gap_lost;   /* of VIEW_ROW_GAP */
	uint64_t gap_bytes[2];		   /* payload that each side sent in it */
	char note[96];
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
/* Shortens a ladder to about MOST rows, as view_ladder_make() does. Returns 0 or -ENOMEM. */
int view_ladder_shorten(struct view_ladder *ladder, size_t most);
void view_ladder_free(struct view_ladder *ladder);

/* "PSH,ACK seq 1 len 1448 ack 1 again", shortened until it has at most WIDTH columns. */
struct view_word view_step_label(const struct view_step *step, unsigned width);
/* The state in which a side was before the first row that changes it; -1: none does. */
int view_ladder_first_state(const struct view_ladder *ladder, unsigned side);
/* "214 segments, 310,000 bytes, 3 lost": what a gap leaves out. */
struct view_word view_gap_text(const struct view_step *gap);
/* "dropped: old timestamp": why the receiver refused a segment, where that is known. */
struct view_word view_drop_text(const struct view_step *step);

/* 80 columns. */
void view_ladder_print(struct text *t, const struct view_ladder *ladder);

#endif
