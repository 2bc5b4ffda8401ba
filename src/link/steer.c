/* SPDX-License-Identifier: MIT */
/*
 * One queue of a device among several: see link.h. Between each two there is a wire of pipe.c, so
 * that nothing is shared but its rings; the descriptor is an epoll set of the queue and the wires.
 */
#include "link/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define QUEUES_MAX 64u
#define WIRE_ROOM  (256u << 10)

struct steer {
	struct link link;
	unsigned core, cores;
	uint8_t key[40];
	bool blocked;	 /* the queue refused a frame: its descriptor is watched for room */
	unsigned turn;	 /* whose frames come first in the next link_read() */
	uint64_t passed; /* on to others */
	/* By number of the core; at its own place the queue. */
	struct link *from[];
};

static struct steer *steer_of(struct link *link)
{
	return (struct steer *)link; /* its first member */
}

uint64_t link_steer_handed_on(const struct link *link)
{
	return ((const struct steer *)link)->passed;
}

static int watch_queue(struct steer *s, int op, uint32_t events)
{
	struct epoll_event event = { .events = events };

	return epoll_ctl(s->link.fd, op, s->from[s->core]->fd, &event) ? -errno : 0;
}

/* F as the frame that goes out to another. */
static void hand_on(struct steer *s, unsigned core, const struct cpl_frame *f)
{
	struct cpl_out out = { .iov = { { f->data, f->len } },
			       .iov_n = 1,
			       .len = f->len,
			       .gso_size = (uint16_t)f->gso_size,
			       /* a wire keeps no more of it than that it is not 0 */
			       .csum_start = (f->flags & CPL_FRAME_CSUM_PARTIAL) != 0 };

	s->passed++;
	if (!link_write(s->from[core], &out))
		s->link.lost_frames++;
}

/* Keep of FRAMES those for this core, and hand on the others. Returns how many stay. */
static unsigned sort(struct steer *s, struct cpl_frame *frames, unsigned n)
{
	unsigned own = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct cpl_frame *f = &frames[i];
		int core = cpl_steer(s->key, s->cores, s->link.iface.kind, f->data, f->len);

		if (core != CPL_STEER_ALL && core != (int)s->core) {
			hand_on(s, (unsigned)core, f);
			continue;
		}
		for (unsigned other = 0; core == CPL_STEER_ALL && other < s->cores; other++)
			if (other != s->core)
				hand_on(s, other, f);
		frames[own++] = *f;
	}
	return own;
}

static int steer_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct steer *s = steer_of(link);
	unsigned got = 0;

	if (s->blocked) {
		s->blocked = false;
		watch_queue(s, EPOLL_CTL_MOD, EPOLLIN);
	}
	for (unsigned i = 0; i < s->cores && got < max; i++) {
		unsigned at = (s->turn + i) % s->cores;
		int n = link_read(s->from[at], frames + got, max - got);

		if (n < 0)
			return n;
		got += at == s->core ? sort(s, frames + got, (unsigned)n) : (unsigned)n;
	}
	s->turn = (s->turn + 1) % s->cores;
	s->link.bad_frames = s->from[s->core]->bad_frames;
	/* 0, too, when all were for others: the descriptor says whether there is more. */
	return (int)got;
}

static int steer_write(struct link *link, const struct cpl_out *frame)
{
	struct steer *s = steer_of(link);
	struct link *queue = s->from[s->core];
	uint64_t lost = queue->lost_frames;
	int sent = link_write(queue, frame);

	s->link.lost_frames += queue->lost_frames - lost;
	if (!sent && !s->blocked) {
		s->blocked = true;
		if (queue->poll_out)
			watch_queue(s, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	}
	return sent;
}

static void steer_close(struct link *link)
{
	struct steer *s = steer_of(link);

	for (unsigned i = 0; i < s->cores; i++)
		link_close(s->from[i]);
	if (s->link.fd >= 0)
		close(s->link.fd);
	free(s);
}

static const struct link_ops steer_ops = { .read = steer_read,
					   .write = steer_write,
					   .close = steer_close };

static struct steer *steer_new(struct link *queue, unsigned core, unsigned cores,
			       const uint8_t key[40])
{
	struct steer *s = calloc(1, sizeof(*s) + cores * sizeof(s->from[0]));

	if (!s)
		return NULL;
	s->link.ops = &steer_ops;
	s->link.iface = queue->iface;
	s->core = core;
	s->cores = cores;
	memcpy(s->key, key, sizeof(s->key));
	s->link.fd = epoll_create1(EPOLL_CLOEXEC);
	return s;
}

/* Wires from core I to all before it. */
static int connect_all(struct link **links, unsigned i, struct link_why *why)
{
	struct link_pipe_config config = { .mtu = 65535, .room = WIRE_ROOM, .wake = true };
	struct steer *s = steer_of(links[i]);

	config.kind = s->link.iface.kind;
	for (unsigned j = 0; j < i; j++) {
		struct steer *other = steer_of(links[j]);
		struct epoll_event event = { .events = EPOLLIN };
		struct link *ends[2];
		int err = link_pipe_open(ends, &config, why);

		if (err)
			return err;
		s->from[j] = ends[0];
		other->from[i] = ends[1];
		if (epoll_ctl(s->link.fd, EPOLL_CTL_ADD, ends[0]->fd, &event) ||
		    epoll_ctl(other->link.fd, EPOLL_CTL_ADD, ends[1]->fd, &event))
			return link_fail(why, -errno, "cannot wait for a wire between cores: %s",
					 strerror(errno));
	}
	return 0;
}

static int check(struct link *const *queues, unsigned n, struct link_why *why)
{
	if (!n || n > QUEUES_MAX)
		return link_fail(why, -EINVAL, "a device has 1 to %u queues, not %u", QUEUES_MAX,
				 n);
	for (unsigned i = 0; i < n; i++)
		if (queues[i]->fd < 0 || queues[i]->iface.kind != queues[0]->iface.kind)
			return link_fail(why, -EINVAL,
					 "queue %u has no descriptor, or is of another kind", i);
	return 0;
}

int link_steer_open(struct link **links, struct link **queues, unsigned n, const uint8_t key[40],
		    struct link_why *why)
{
	int err = check(queues, n, why);
	unsigned made = 0;

	while (!err && made < n) {
		struct steer *s = steer_new(queues[made], made, n, key);

		if (!s) {
			err = link_fail(why, -ENOMEM, "no memory for %u queues", n);
			break;
		}
		s->from[made] = queues[made];
		links[made++] = &s->link;
		if (s->link.fd < 0 || watch_queue(s, EPOLL_CTL_ADD, EPOLLIN))
			err = link_fail(why, -errno, "cannot wait for queue %u: %s", made - 1,
					strerror(errno));
		else
			err = connect_all(links, made - 1, why);
	}
	if (!err)
		return 0;
	for (unsigned i = 0; i < n && n <= QUEUES_MAX; i++)
		link_close(i < made ? links[i] : queues[i]);
	return err;
}
