/* SPDX-License-Identifier: MIT */
/* See watches.h. */
#include "host/watches.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A descriptor, in the place of its number. */
struct watch {
	loop_fd_fn fn; /* NULL: not watched */
	void *arg;
	uint32_t generation; /* tells events of an earlier descriptor of the same number */
};

#define GENERATION_BITS 0xffffffu

void watches_init(struct watches *w, int epoll, uint64_t source)
{
	*w = (struct watches){ .epoll = epoll, .source = source };
}

void watches_free(struct watches *w)
{
	free(w->at);
}

static struct watch *find(const struct watches *w, int fd)
{
	if (fd < 0 || (unsigned)fd >= w->n || !w->at[fd].fn)
		return NULL;
	return &w->at[fd];
}

static uint64_t source_of(const struct watches *w, int fd)
{
	return w->source | (uint64_t)(w->at[fd].generation & GENERATION_BITS) << 32 | (unsigned)fd;
}

static int ctl(struct watches *w, int op, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = source_of(w, fd) };

	return epoll_ctl(w->epoll, op, fd, &event) ? -errno : 0;
}

/* Make a place for descriptor FD. */
static int grow(struct watches *w, int fd)
{
	unsigned n = w->n ? w->n : 64;
	struct watch *more;

	if ((unsigned)fd < w->n)
		return 0;
	while (n <= (unsigned)fd)
		n *= 2;
	more = reallocarray(w->at, n, sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more + w->n, 0, (n - w->n) * sizeof(*more));
	w->at = more;
	w->n = n;
	return 0;
}

int watches_add(struct watches *w, int fd, uint32_t events, loop_fd_fn fn, void *arg)
{
	int err;

	if (fd < 0)
		return -EBADF;
	if (find(w, fd))
		return -EEXIST;
	err = grow(w, fd);
	if (err)
		return err;
	w->at[fd].generation++;
	err = ctl(w, EPOLL_CTL_ADD, fd, events);
	if (err)
		return err;
	w->at[fd].fn = fn;
	w->at[fd].arg = arg;
	return 0;
}

int watches_change(struct watches *w, int fd, uint32_t events)
{
	return find(w, fd) ? ctl(w, EPOLL_CTL_MOD, fd, events) : -ENOENT;
}

void watches_remove(struct watches *w, int fd)
{
	struct watch *f = find(w, fd);

	if (!f)
		return;
	ctl(w, EPOLL_CTL_DEL, fd, 0);
	f->fn = NULL;
}

void watches_ready(struct watches *w, const struct epoll_event *event, uint64_t now)
{
	int fd = (int)(uint32_t)event->data.u64;
	struct watch *f = find(w, fd);

	/* An earlier handler of this turn may have unwatched it, or watched another of its number.
	 */
	if (f && source_of(w, fd) == event->data.u64)
		f->fn(f->arg, fd, event->events, now);
}
