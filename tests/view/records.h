/* SPDX-License-Identifier: MIT */
/* Trace records made by hand: a wire between two sides with a delay, for the tests of the ladder.
 */
#ifndef TESTS_VIEW_RECORDS_H
#define TESTS_VIEW_RECORDS_H

#include <assert.h>
#include <string.h>

#include "trace/ring.h"
#include "view/ladder.h"

#define RECORDS 20000
#define DELAY	(20 * CPL_MS)

struct tape {
	struct cpl_trace r[2][RECORDS];
	size_t n[2];
	uint64_t now;
	uint32_t iss[2];
};

static inline void tape_init(struct tape *t)
{
	memset(t, 0, sizeof(*t));
	t->now = 7 * CPL_SECOND;
	t->iss[0] = 4294967290u; /* wraps soon */
	t->iss[1] = 5000;
}

static inline void tape_put(struct tape *t, unsigned side, uint64_t time, enum trace_type type,
			    const uint32_t *arg, size_t n)
{
	struct cpl_trace *r = &t->r[side][t->n[side]++];

	assert(t->n[side] < RECORDS);
	/* Each side's records stay in order of time. */
	while (r > t->r[side] && r[-1].time > time) {
		r[0] = r[-1];
		r--;
	}
	memset(r, 0, sizeof(*r));
	r->time = time;
	r->type = (uint16_t)type;
	memcpy(r->arg, arg, n * sizeof(*arg));
}

#define PUT(t, side, time, name, ...)                                                              \
	tape_put((t), (side), (time), TRACE_##name, (const uint32_t[]){ __VA_ARGS__ },             \
		 sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static inline void tape_state(struct tape *t, unsigned side, uint64_t time, unsigned from,
			      unsigned to)
{
	PUT(t, side, time, state, from, to);
}

/* A segment leaves now, relative SEQ and ACK; it arrives a DELAY later. */
static inline void tape_out(struct tape *t, unsigned from, uint32_t seq, uint32_t ack, uint32_t len,
			    uint32_t flags, int again)
{
	PUT(t, from, t->now, seg_out, t->iss[from] + seq, flags & 16 ? t->iss[!from] + ack : 0, len,
	    flags, 65535, 0, 0, 0, 0, (uint32_t)again);
}

static inline void tape_in(struct tape *t, unsigned to, uint64_t time, uint32_t seq, uint32_t ack,
			   uint32_t len, uint32_t flags, uint32_t verdict)
{
	PUT(t, to, time, seg_in, t->iss[!to] + seq, flags & 16 ? t->iss[to] + ack : 0, len, flags,
	    65535, 0, 0, 0, 0, verdict);
}

static inline void tape_send(struct tape *t, unsigned from, uint32_t seq, uint32_t ack,
			     uint32_t len, uint32_t flags)
{
	tape_out(t, from, seq, ack, len, flags, 0);
	tape_in(t, !from, t->now + DELAY, seq, ack, len, flags, 0);
}

#define F_FIN 1u
#define F_SYN 2u
#define F_RST 4u
#define F_PSH 8u
#define F_ACK 16u

/* The handshake of RFC 9293 figure 6. */
static inline void tape_handshake(struct tape *t)
{
	tape_send(t, 0, 0, 0, 0, F_SYN);
	tape_state(t, 0, t->now, CPL_CLOSED, CPL_SYN_SENT);
	t->now += DELAY;
	tape_state(t, 1, t->now, CPL_LISTEN, CPL_SYN_RECEIVED);
	tape_send(t, 1, 0, 1, 0, F_SYN | F_ACK);
	t->now += DELAY;
	tape_state(t, 0, t->now, CPL_SYN_SENT, CPL_ESTABLISHED);
	tape_send(t, 0, 1, 1, 0, F_ACK);
	t->now += DELAY;
	tape_state(t, 1, t->now, CPL_SYN_RECEIVED, CPL_ESTABLISHED);
}

/* N data segments of 1000 bytes and their ACKs. Returns the sequence number after them. */
static inline uint32_t tape_bulk(struct tape *t, unsigned n)
{
	uint32_t seq = 1;

	for (unsigned i = 0; i < n; i++, seq += 1000) {
		tape_send(t, 0, seq, 1, 1000, F_ACK);
		t->now += DELAY;
		tape_send(t, 1, 1, seq + 1000, 0, F_ACK);
		t->now += DELAY;
	}
	return seq;
}

/* The close of RFC 9293 figure 12, by side 0. */
static inline void tape_close(struct tape *t, uint32_t seq)
{
	t->now += CPL_MS;
	PUT(t, 0, t->now, call, TRACE_CALL_CLOSE);
	tape_state(t, 0, t->now, CPL_ESTABLISHED, CPL_FIN_WAIT_1);
	tape_send(t, 0, seq, 1, 0, F_FIN | F_ACK);
	t->now += DELAY;
	tape_state(t, 1, t->now, CPL_ESTABLISHED, CPL_CLOSE_WAIT);
	tape_send(t, 1, 1, seq + 1, 0, F_ACK);
	t->now += DELAY;
	tape_state(t, 0, t->now, CPL_FIN_WAIT_1, CPL_FIN_WAIT_2);
	t->now += CPL_MS;
	PUT(t, 1, t->now, call, TRACE_CALL_CLOSE);
	tape_state(t, 1, t->now, CPL_CLOSE_WAIT, CPL_LAST_ACK);
	tape_send(t, 1, 1, seq + 1, 0, F_FIN | F_ACK);
	t->now += DELAY;
	tape_state(t, 0, t->now, CPL_FIN_WAIT_2, CPL_TIME_WAIT);
	tape_send(t, 0, seq + 1, 2, 0, F_ACK);
	t->now += DELAY;
	tape_state(t, 1, t->now, CPL_LAST_ACK, CPL_CLOSED);
	t->now += 60 * CPL_SECOND;
	tape_state(t, 0, t->now, CPL_TIME_WAIT, CPL_CLOSED);
}

static inline int tape_ladder(const struct tape *t, struct view_ladder *l, size_t most)
{
	struct view_side x = { .name = "client", .records = t->r[0], .n = t->n[0] };
	struct view_side y = { .name = "server", .records = t->r[1], .n = t->n[1] };

	return view_ladder_make(l, &x, &y, t->now, most);
}

#endif
