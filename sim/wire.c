/* SPDX-License-Identifier: MIT */
/* The link model: see wire.h. Frames inside stand in a binary heap, by the time of arrival. */
#include "sim/wire.h"

#include <stdlib.h>
#include <string.h>

#include <couplet/couplet.h>

#include "sim/corrupt.h"
#include "sim/draw.h"
#include "sim/packet.h"

/* Frames advance the state, but when none comes for so long a bad spell is over, too. */
#define BURST_ENDS_NS 1000000000u

/* What a random number is drawn for. */
enum purpose {
	FOR_LOSS,
	FOR_BURST_STATE,
	FOR_BURST_LOSS,
	FOR_DUPLICATE,
	FOR_JITTER,
	FOR_REORDER,
	FOR_CORRUPT,
	FOR_COPY_DELAY,
	FOR_COPY = 16, /* the same again, for the copy */
};

static uint64_t draw(const struct wire *wire, enum purpose purpose, unsigned copy)
{
	return draw_at(wire->seed, wire->frames, (uint64_t)purpose + FOR_COPY * copy);
}

static bool chance(const struct wire *wire, enum purpose purpose, unsigned copy, double share)
{
	return share > 0 && draw_unit(draw(wire, purpose, copy)) < share;
}

void wire_init(struct wire *wire, const struct wire_params *params, uint64_t seed)
{
	memset(wire, 0, sizeof(*wire));
	wire->params = *params;
	if (wire->params.frames_max == 0)
		wire->params.frames_max = 65536;
	wire->seed = seed;
}

void wire_destroy(struct wire *wire)
{
	for (uint32_t i = 0; i < wire->heap_n; i++)
		free(wire->heap[i]);
	free(wire->heap);
	wire->heap = NULL;
	wire->heap_n = wire->heap_cap = 0;
}

static bool before(const struct wire_frame *a, const struct wire_frame *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static bool heap_push(struct wire *wire, struct wire_frame *frame)
{
	uint32_t i = wire->heap_n;

	if (i == wire->heap_cap) {
		uint32_t cap = i ? 2 * i : 64;
		void *heap = realloc(wire->heap, cap * sizeof(struct wire_frame *));

		if (!heap)
			return false;
		wire->heap = heap;
		wire->heap_cap = cap;
	}
	wire->heap_n++;
	for (; i > 0 && before(frame, wire->heap[(i - 1) / 2]); i = (i - 1) / 2)
		wire->heap[i] = wire->heap[(i - 1) / 2];
	wire->heap[i] = frame;
	return true;
}

static struct wire_frame *heap_pop(struct wire *wire)
{
	struct wire_frame *top = wire->heap[0];
	struct wire_frame *last = wire->heap[--wire->heap_n];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < wire->heap_n) {
		if (child + 1 < wire->heap_n && before(wire->heap[child + 1], wire->heap[child]))
			child++;
		if (!before(wire->heap[child], last))
			break;
		wire->heap[i] = wire->heap[child];
		i = child;
	}
	wire->heap[i] = last;
	return top;
}

uint64_t wire_deadline(const struct wire *wire)
{
	return wire->heap_n ? wire->heap[0]->at : UINT64_MAX;
}

struct wire_frame *wire_take(struct wire *wire, uint64_t now)
{
	if (wire_deadline(wire) > now || !wire->heap_n)
		return NULL;
	return heap_pop(wire);
}

static bool is_down(const struct wire_params *p, uint64_t now)
{
	for (unsigned i = 0; i < p->down_n; i++)
		if (now >= p->down[i].from && now < p->down[i].to)
			return true;
	return false;
}

static bool is_listed(const struct wire_params *p, uint64_t number)
{
	for (unsigned i = 0; i < p->drop_data_n; i++)
		if (p->drop_data[i] == number)
			return true;
	return false;
}

/* Gilbert-Elliott: the state moves once for each frame, then decides. */
static bool burst_takes(struct wire *wire, uint64_t now)
{
	const struct wire_params *p = &wire->params;

	if (p->burst_enter <= 0)
		return false;
	if (now - wire->burst_at > BURST_ENDS_NS)
		wire->bad = false;
	wire->burst_at = now;
	if (chance(wire, FOR_BURST_STATE, 0, wire->bad ? p->burst_leave : p->burst_enter))
		wire->bad = !wire->bad;
	return wire->bad && chance(wire, FOR_BURST_LOSS, 0, p->burst_loss);
}

/*
 * The bottleneck. *LEAVES: when the frame's last bit is sent. The time that a frame takes is exact:
 * what a ns cannot hold is carried along. False: the queue has no room; a frame that finds it idle
 * always has.
 */
static bool bottleneck_takes(struct wire *wire, uint32_t len, uint64_t now, uint64_t *leaves)
{
	const struct wire_params *p = &wire->params;
	unsigned __int128 bits;

	*leaves = now;
	if (p->rate_bps == 0)
		return true;
	if (wire->busy_until < now) {
		wire->busy_until = now;
		wire->busy_part = 0;
	}
	wire->backlog = 0;
	if (wire->busy_until > now) {
		bits = (unsigned __int128)(wire->busy_until - now) * p->rate_bps + wire->busy_part;
		wire->backlog = (uint32_t)((bits + 7999999999u) / 8000000000u);
		if ((uint64_t)wire->backlog + len > p->queue_bytes)
			return false;
	}
	bits = (unsigned __int128)len * 8 * 1000000000u + wire->busy_part;
	wire->busy_until += (uint64_t)(bits / p->rate_bps);
	wire->busy_part = (uint64_t)(bits % p->rate_bps);
	*leaves = wire->busy_until;
	return true;
}

/* RFC 3168 section 5: the mark, if both ends of it can do that. True: it was made. */
static bool mark_ce(uint8_t *p, uint32_t len)
{
	uint32_t sum, old;

	if (len >= 20 && p[0] >> 4 == 4 && (p[1] & 3) && (p[1] & 3) != 3) {
		old = (uint32_t)p[0] << 8 | p[1];
		p[1] |= 3;
		/* RFC 1624, equation 3 */
		sum = (uint16_t) ~((uint32_t)p[10] << 8 | p[11]);
		sum += (uint16_t)~old + ((uint32_t)p[0] << 8 | p[1]);
		sum = (sum & 0xffff) + (sum >> 16);
		sum = ~((sum & 0xffff) + (sum >> 16));
		p[10] = (uint8_t)(sum >> 8);
		p[11] = (uint8_t)sum;
		return true;
	}
	if (len >= 40 && p[0] >> 4 == 6 && (p[1] & 0x30) && (p[1] & 0x30) != 0x30) {
		p[1] |= 0x30;
		return true;
	}
	return false;
}

/* The frame, or its second copy, on its way: corruption and the time of arrival. */
static bool put_copy(struct wire *wire, const void *data, uint32_t len, uint32_t gso_size,
		     uint32_t flags, uint64_t leaves, unsigned copy, uint64_t *at)
{
	const struct wire_params *p = &wire->params;
	struct wire_frame *f = malloc(sizeof(*f) + len);

	if (!f)
		return false;
	*f = (struct wire_frame){ .at = leaves + p->delay_ns,
				  .order = wire->order++,
				  .number = wire->frames,
				  .len = len,
				  .gso_size = gso_size,
				  .flags = flags,
				  .copy = copy };
	memcpy(f->data, data, len);
	if (p->ecn_bytes && p->rate_bps && wire->backlog >= p->ecn_bytes) {
		uint32_t link = p->ether ? PACKET_ETHER : 0;

		wire->marked += len > link && mark_ce(f->data + link, len - link) && !copy;
	}
	if (!gso_size && !(flags & CPL_FRAME_CSUM_PARTIAL) &&
	    chance(wire, FOR_CORRUPT, copy, p->corrupt)) {
		f->corrupt = corrupt_frame(f->data, &f->len, p->ether, p->corrupt_unseen,
					   draw(wire, FOR_CORRUPT, copy + 2));
		wire->corrupted += f->corrupt;
	}
	if (p->jitter_ns)
		f->at += draw_below(draw(wire, FOR_JITTER, copy), p->jitter_ns + 1);
	if (copy) {
		f->at += draw_below(draw(wire, FOR_COPY_DELAY, 0), p->delay_ns / 2 + 1);
	} else if (chance(wire, FOR_REORDER, 0, p->reorder)) {
		f->at += p->reorder_ns;
		wire->reordered++;
	} else {
		if (f->at < wire->last_at)
			f->at = wire->last_at;
		wire->last_at = f->at;
	}
	if (at)
		*at = f->at;
	if (!heap_push(wire, f)) {
		free(f);
		return false;
	}
	return true;
}

static enum wire_fate fate_of(struct wire *wire, const uint8_t *data, uint32_t len,
			      uint32_t gso_size, uint64_t now, uint64_t *leaves)
{
	const struct wire_params *p = &wire->params;
	uint32_t link = p->ether ? PACKET_ETHER : 0;
	bool burst;

	wire->frames++;
	if (wire_is_data(data, len, p->ether))
		wire->data_frames++;
	burst = burst_takes(wire, now);
	if (is_down(p, now))
		return WIRE_DOWN;
	if (p->drop_data_n && wire_is_data(data, len, p->ether) && is_listed(p, wire->data_frames))
		return WIRE_LISTED;
	if (p->mtu && !gso_size && len > link && len - link > p->mtu)
		return WIRE_TOO_BIG;
	if (chance(wire, FOR_LOSS, 0, p->loss))
		return WIRE_LOST;
	if (burst)
		return WIRE_BURST;
	if (wire->heap_n >= p->frames_max)
		return WIRE_FULL;
	if (!bottleneck_takes(wire, len, now, leaves))
		return WIRE_QUEUE;
	return WIRE_SENT;
}

enum wire_fate wire_put(struct wire *wire, const void *data, uint32_t len, uint32_t gso_size,
			uint32_t flags, uint64_t now, uint64_t *at)
{
	uint64_t leaves;
	enum wire_fate fate = fate_of(wire, data, len, gso_size, now, &leaves);

	if (fate == WIRE_SENT && !put_copy(wire, data, len, gso_size, flags, leaves, 0, at))
		fate = WIRE_FULL;
	wire->fates[fate]++;
	if (fate == WIRE_SENT && chance(wire, FOR_DUPLICATE, 0, wire->params.duplicate) &&
	    put_copy(wire, data, len, gso_size, flags, leaves, 1, NULL))
		wire->duplicated++;
	return fate;
}

const char *wire_fate_text(enum wire_fate fate)
{
	static const char *const text[WIRE_FATES] = {
		[WIRE_SENT] = "sent",
		[WIRE_LOST] = "lost",
		[WIRE_BURST] = "lost in a burst",
		[WIRE_LISTED] = "dropped on request",
		[WIRE_QUEUE] = "queue full",
		[WIRE_DOWN] = "link down",
		[WIRE_TOO_BIG] = "too big",
		[WIRE_FULL] = "wire full",
	};

	return (unsigned)fate < WIRE_FATES ? text[fate] : "?";
}
