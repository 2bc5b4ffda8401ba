/* SPDX-License-Identifier: MIT */
/* What is to leave: a frame's memory, and room for headers at its front. See stack.h. */
#include "stack/stack.h"

struct frame *frame_new(struct cpl_stack *s)
{
	struct frame *f;
	uint32_t index;

	if (s->spare_n) {
		f = s->spare[--s->spare_n];
	} else {
		f = pool_alloc(&s->frames, &index);
		if (!f) {
			s->counters.drop_memory++;
			return NULL;
		}
		f->index = index;
	}
	memset(f, 0, offsetof(struct frame, index));
	list_init(&f->link);
	f->off = FRAME_HEADERS;
	return f;
}

void frame_free(struct cpl_stack *s, struct frame *f)
{
	for (unsigned i = 0; i < f->pieces_n; i++)
		chunk_put(&s->chunks, f->pieces[i].chunk);
	list_del(&f->link);
	f->at_device = false;
	if (s->spare_n < FRAMES_SPARE)
		s->spare[s->spare_n++] = f;
	else
		pool_free(&s->frames, f);
}

uint8_t *frame_push(struct frame *f, unsigned len)
{
	ASSERT(f->off >= len);
	f->off -= (uint16_t)len;
	f->len += (uint16_t)len;
	return f->headers + f->off;
}
