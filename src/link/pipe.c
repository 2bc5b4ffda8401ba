/* SPDX-License-Identifier: MIT */
/*
 * A wire in memory: for each direction a ring of octets with one writer and one reader, who may be
 * two threads. Frames stay in one piece, and a reader sees them in place.
 *
 * Waking: the reader's eventfd is written when a frame enters an empty ring, and is cleared only
 * when the reader finds the ring empty. A writer that found no room leaves a mark; the reader that
 * makes room then writes the writer's own eventfd. Each side stores what it has done and then looks
 * at what the other has done, in the one order that all sequentially consistent accesses have, so
 * that one of the two always sees the other.
 */
#include "link/link.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MTU_DEFAULT  1500u
#define ROOM_DEFAULT (1u << 20)
#define ROOM_MIN     (1u << 17)
#define ROOM_MAX     (1u << 30)
#define GSO_MAX	     (65535u - 14 - 40 - 60)
#define WRAP	     UINT32_MAX

/* Before each frame in a ring; 16 octets. */
struct record {
	uint32_t len; /* WRAP: the next record is at the start of the ring */
	uint32_t gso_size;
	uint32_t flags;
	uint32_t reserved;
};

struct ring {
	uint8_t *data;
	uint32_t room;			    /* a power of 2 */
	int wake;			    /* eventfd of the reader; -1: none */
	_Alignas(64) _Atomic uint64_t tail; /* written up to here; only the writer stores */
	uint64_t head_seen;		    /* the writer's last look at head */
	atomic_bool full;		    /* the writer waits for room */
	_Alignas(64) _Atomic uint64_t head; /* given back up to here; only the reader stores */
	uint64_t next;			    /* the reader has handed out up to here */
};

struct wire {
	struct ring rings[2];
	atomic_int ends; /* that are open */
};

struct pipe_end {
	struct link link;
	struct wire *wire;
	struct ring *in, *out;
	bool wakes; /* the ends have descriptors, and may be two threads */
};

static struct pipe_end *end_of(struct link *link)
{
	return (struct pipe_end *)link; /* its first member */
}

static uint32_t record_size(uint32_t len)
{
	return (uint32_t)((sizeof(struct record) + len + 15) & ~15u);
}

static void wake_up(int fd)
{
	uint64_t one = 1;

	/* It fails only when 2^64 - 2 wake-ups are due already. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return;
}

/* An index, before a look at what the other side has done if there is one to be woken. */
static void publish(const struct pipe_end *e, _Atomic uint64_t *index, uint64_t value)
{
	if (e->wakes)
		atomic_store(index, value);
	else
		atomic_store_explicit(index, value, memory_order_release);
}

static bool has_room(struct ring *r, uint64_t tail, uint32_t need)
{
	if (tail + need - r->head_seen <= r->room)
		return true;
	r->head_seen = atomic_load(&r->head);
	return tail + need - r->head_seen <= r->room;
}

/* Where a frame of LEN octets goes; a WRAP record is put before the end of the ring. NULL: full. */
static struct record *reserve(struct pipe_end *e, uint32_t len, uint64_t *tail)
{
	struct ring *r = e->out;
	uint32_t at = (uint32_t)*tail & (r->room - 1), need = record_size(len);
	uint32_t skip = at + need > r->room ? r->room - at : 0;

	if (!has_room(r, *tail, skip + need)) {
		atomic_store(&r->full, true);
		if (!has_room(r, *tail, skip + need))
			return NULL;
		atomic_store(&r->full, false);
	}
	if (skip) {
		((struct record *)(void *)(r->data + at))->len = WRAP;
		*tail += skip;
		at = 0;
	}
	return (struct record *)(void *)(r->data + at);
}

static int pipe_write(struct link *link, const struct cpl_out *frame)
{
	struct pipe_end *e = end_of(link);
	struct ring *r = e->out;
	uint64_t before = atomic_load_explicit(&r->tail, memory_order_relaxed), tail = before;
	struct record *record;
	uint8_t *p;

	if (record_size(frame->len) > r->room / 2 ||
	    atomic_load_explicit(&e->wire->ends, memory_order_relaxed) < 2) {
		link->lost_frames++;
		return 1;
	}
	record = reserve(e, frame->len, &tail);
	if (!record)
		return 0;
	*record = (struct record){ .len = frame->len, .gso_size = frame->gso_size };
	if (frame->csum_start || frame->csum_offset)
		record->flags = CPL_FRAME_CSUM_PARTIAL;
	p = (uint8_t *)(record + 1);
	for (uint32_t i = 0; i < frame->iov_n; i++) {
		memcpy(p, frame->iov[i].base, frame->iov[i].len);
		p += frame->iov[i].len;
	}
	tail += record_size(frame->len);
	publish(e, &r->tail, tail);
	if (e->wakes && atomic_load(&r->head) == before)
		wake_up(r->wake);
	return 1;
}

/* What was handed out before is given back. */
static void give_back(struct pipe_end *e)
{
	struct ring *r = e->in;

	if (atomic_load_explicit(&r->head, memory_order_relaxed) == r->next)
		return;
	publish(e, &r->head, r->next);
	if (atomic_load(&r->full) && atomic_exchange(&r->full, false))
		wake_up(e->out->wake); /* what the writer reads from */
}

static unsigned take(struct ring *r, struct cpl_frame *frames, unsigned max)
{
	uint64_t tail = atomic_load(&r->tail);
	unsigned n = 0;

	while (n < max && r->next != tail) {
		uint32_t at = (uint32_t)r->next & (r->room - 1);
		const struct record *record = (const struct record *)(const void *)(r->data + at);

		if (record->len == WRAP) {
			r->next += r->room - at;
			continue;
		}
		frames[n++] = (struct cpl_frame){
			.data = record + 1,
			.len = record->len,
			.flags = record->flags,
			.gso_size = record->gso_size,
		};
		r->next += record_size(record->len);
	}
	return n;
}

static int pipe_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct pipe_end *e = end_of(link);
	uint64_t wakes;
	unsigned n;

	give_back(e);
	n = take(e->in, frames, max);
	if (n || link->fd < 0)
		return (int)n;
	/* Empty: clear the descriptor, then look again for who came in between. */
	if (read(link->fd, &wakes, sizeof(wakes)) < 0)
		return 0;
	n = take(e->in, frames, max);
	/* Somebody did. It is not empty until these are given back: nobody will wake us again. */
	if (n)
		wake_up(link->fd);
	return (int)n;
}

static void wire_free(struct wire *wire)
{
	for (unsigned i = 0; i < 2; i++) {
		if (wire->rings[i].wake >= 0)
			close(wire->rings[i].wake);
		free(wire->rings[i].data);
	}
	free(wire);
}

static void pipe_close(struct link *link)
{
	struct pipe_end *e = end_of(link);

	if (atomic_fetch_sub(&e->wire->ends, 1) == 1)
		wire_free(e->wire);
	free(e);
}

static const struct link_ops pipe_ops = { .read = pipe_read,
					  .write = pipe_write,
					  .close = pipe_close };

static struct wire *wire_new(uint32_t room, bool wake)
{
	struct wire *wire = aligned_alloc(64, sizeof(*wire));
	bool ok = true;

	if (!wire)
		return NULL;
	memset(wire, 0, sizeof(*wire));
	atomic_init(&wire->ends, 2);
	for (unsigned i = 0; i < 2; i++) {
		struct ring *r = &wire->rings[i];

		r->room = room;
		r->data = aligned_alloc(64, room);
		r->wake = wake ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
		ok &= r->data && (!wake || r->wake >= 0);
	}
	if (ok)
		return wire;
	wire_free(wire);
	return NULL;
}

static void end_init(struct pipe_end *e, struct wire *wire, unsigned side,
		     const struct link_pipe_config *config)
{
	struct cpl_iface_config *iface = &e->link.iface;

	memset(e, 0, sizeof(*e));
	e->wire = wire;
	e->in = &wire->rings[side];
	e->out = &wire->rings[!side];
	e->wakes = config->wake;
	e->link.ops = &pipe_ops;
	e->link.fd = e->in->wake;
	iface->size = sizeof(*iface);
	iface->kind = config->kind;
	iface->mtu = config->mtu ? config->mtu : MTU_DEFAULT;
	strcpy(iface->name, side ? "wire1" : "wire0");
	memcpy(iface->mac, (const uint8_t[6]){ 2, 0, 0, 0, 0, (uint8_t)(side + 1) }, 6);
	if (config->offload) {
		iface->flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6;
		iface->gso_max = GSO_MAX;
	}
}

int link_pipe_open(struct link *ends[2], const struct link_pipe_config *config,
		   struct link_why *why)
{
	uint32_t want = config->room ? config->room : ROOM_DEFAULT, room = ROOM_MIN;
	struct pipe_end *e[2];
	struct wire *wire;

	if (want > ROOM_MAX)
		return link_fail(why, -EINVAL, "a wire of more than 1 GiB");
	while (room < want)
		room *= 2;
	wire = wire_new(room, config->wake);
	e[0] = malloc(sizeof(*e[0]));
	e[1] = malloc(sizeof(*e[1]));
	if (!wire || !e[0] || !e[1]) {
		if (wire)
			wire_free(wire);
		free(e[0]);
		free(e[1]);
		return link_fail(why, -ENOMEM, "no memory or descriptor for a wire");
	}
	for (unsigned i = 0; i < 2; i++) {
		end_init(e[i], wire, i, config);
		ends[i] = &e[i]->link;
	}
	return 0;
}
