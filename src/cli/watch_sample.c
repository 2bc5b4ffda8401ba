/* SPDX-License-Identifier: MIT */
/*
 * The thread that takes the samples of couplet watch, so that keys are answered meanwhile. It works
 * either on the table or on one opened connection.
 *
 * A sample of the table is a walk with all details: traffic, by which rows are sorted, is told in
 * no brief listing. Its rows are small; no snapshot is kept. A walk that takes long is repeated
 * more rarely, so that it never takes more than a quarter of one processor; who holds the sockets
 * is looked up in /proc, which is read again when an unknown socket appears, at most a tenth of the
 * time.
 */
#define _GNU_SOURCE /* pthread_timedjoin_np */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/watch.h"
#include "source/owner.h"

#define WATCH_SHARE  4
#define OWNER_SHARE  10
/* An opened connection is looked at so many times in an interval: for the plot. */
#define DETAIL_SHARE 5

struct watch_sampler {
	struct watch_setup setup;
	int fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under the lock: what is asked for, and what is ready. */
	bool stop, kick, paused, opened;
	struct rank_row open_key;
	struct select select;
	struct watch_sample *ready; /* not yet taken */
	bool detail_ready;
	struct watch_detail detail;
	/* The thread's own. */
	struct watch_sample *before; /* the last one: rates are against it */
	struct owner_table owners;
	uint64_t owners_due; /* not read again before */
	unsigned ownerless;  /* sockets of the last walk that somebody holds whom we did not find */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- One sample of the table ----------------------------------------------------------------- */

struct walk {
	struct watch_sampler *sampler;
	const struct select *select;
	struct watch_sample *sample;
	size_t room;
};

static void fill_owner(struct watch_sampler *s, struct cpl_info *i)
{
	size_t cursor = 0;
	const struct owner *o;

	if (!cpl_info_known(i, CPL_F_inode) || !i->inode || cpl_info_known(i, CPL_F_pid))
		return;
	o = owner_next(&s->owners, i->inode, &cursor);
	if (!o) {
		s->ownerless++;
		return;
	}
	CPL_INFO_READ(i, pid, o->pid);
	CPL_INFO_READ(i, fd, o->fd);
	memcpy(i->program, o->program, sizeof(i->program));
	cpl_info_mark_read(i, CPL_F_program);
}

static int visit(void *arg, const struct cpl_info *info)
{
	struct walk *w = arg;
	struct watch_sample *sample = w->sample;
	struct cpl_info owned;

	if (info->protocol != 6)
		return 0;
	if (sample->n == w->room) {
		size_t room = w->room ? w->room * 2 : 256;
		struct rank_row *bigger = reallocarray(sample->row, room, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		sample->row = bigger;
		w->room = room;
	}
	owned = *info;
	fill_owner(w->sampler, &owned);
	rank_row_init(&sample->row[sample->n], &owned);
	sample->row[sample->n++].shown = select_match(w->select, &owned, 0);
	return 0;
}

static void read_owners(struct watch_sampler *s)
{
	uint64_t began = now_ns(), ended;

	if (began < s->owners_due)
		return;
	owner_table_free(&s->owners);
	owner_table_init(&s->owners);
	owner_scan(&s->owners); /* what it cannot see has no owner in the table */
	ended = now_ns();
	s->owners_due = ended + (ended - began) * OWNER_SHARE;
}

static void note_owners(const struct watch_sampler *s, struct source_notes *notes)
{
	if (s->ownerless && s->owners.denied)
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, -EACCES,
			    "who holds %u socket%s is not seen: other users' (root sees all)",
			    s->ownerless, s->ownerless == 1 ? "" : "s");
}

static void sample_drop(struct watch_sample *sample)
{
	if (sample && --sample->refs == 0) {
		free(sample->row);
		free(sample);
	}
}

/* Returns NULL only without memory. */
static struct watch_sample *take_table(struct watch_sampler *s, const struct select *select)
{
	struct source_options options = {
		.sources = SOURCE_STACKS | SOURCE_SOCK_DIAG, /* BPF costs more than it gives here */
		.namespaces = s->setup.namespaces,
	};
	struct watch_sample *sample = calloc(1, sizeof(*sample));
	struct walk w = { s, select, sample, 0 };
	uint64_t began = now_ns();
	long n;

	if (!sample)
		return NULL;
	if (s->ownerless || !s->owners_due)
		read_owners(s);
	s->ownerless = 0;
	sample->refs = 1;
	sample->error = source_walk(&options, &sample->notes, visit, &w);
	note_owners(s, &sample->notes);
	n = rank_join(sample->row, sample->n, s->before ? s->before->row : NULL,
		      s->before ? s->before->n : 0);
	if (n < 0) {
		sample_drop(sample);
		return NULL;
	}
	sample->n = (size_t)n;
	sample->cost_ns = now_ns() - began;
	return sample;
}

/* ---- The thread ------------------------------------------------------------------------------ */

static void ring(struct watch_sampler *s)
{
	uint64_t one = 1;

	if (write(s->fd, &one, sizeof(one)) < 0)
		return; /* it rings already */
}

/* Work of one turn; the lock is held, and given up meanwhile. Returns when the next is due. */
static uint64_t turn_table(struct watch_sampler *s)
{
	uint64_t began = now_ns(), interval = s->setup.interval_ms * 1000000ull;
	struct select select = s->select;
	struct watch_sample *sample;
	struct watch_sample *old;

	pthread_mutex_unlock(&s->lock);
	sample = take_table(s, &select);
	pthread_mutex_lock(&s->lock);
	if (!sample)
		return began + interval; /* no memory now: what is shown stays */
	old = s->ready;
	s->ready = sample;
	sample->refs++;
	sample_drop(old);
	sample_drop(s->before);
	s->before = sample;
	ring(s);
	if (interval < sample->cost_ns * WATCH_SHARE)
		interval = sample->cost_ns * WATCH_SHARE;
	return began + interval;
}

static uint64_t turn_open(struct watch_sampler *s, struct watch_detail *d, uint64_t *search_due)
{
	uint64_t began = now_ns(), interval = s->setup.interval_ms * 1000000ull / DETAIL_SHARE;
	struct rank_row key = s->open_key;

	pthread_mutex_unlock(&s->lock);
	/* The other end may come later, or be found only when it holds still. */
	if (!rank_same(&d->key, &key) ||
	    (d->have[0] && !d->have[1] && !d->gone[1] && began >= *search_due)) {
		struct watch_detail found = { .key = key };
		int err = watch_peer_find(&key, &found);

		if (!err || !rank_same(&d->key, &key))
			*d = found;
		*search_due = now_ns() + (now_ns() - began) * OWNER_SHARE + 1000000000u;
	}
	d->cost_ns = now_ns();
	watch_peer_again(d);
	d->cost_ns = now_ns() - d->cost_ns;
	if (interval < d->cost_ns * WATCH_SHARE)
		interval = d->cost_ns * WATCH_SHARE;
	pthread_mutex_lock(&s->lock);
	if (s->opened && rank_same(&s->open_key, &key)) {
		s->detail = *d;
		s->detail_ready = true;
		ring(s);
	}
	return began + interval;
}

static void *run(void *arg)
{
	struct watch_sampler *s = arg;
	struct watch_detail detail = { .key.id = 0 };
	uint64_t due = 0, search_due = 0;
	bool was_open = false;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		if (s->kick || (!s->paused && now_ns() >= due)) {
			s->kick = false;
			if (s->opened && !was_open)
				memset(&detail, 0, sizeof(detail));
			was_open = s->opened;
			due = s->opened ? turn_open(s, &detail, &search_due) : turn_table(s);
		} else if (s->paused) {
			pthread_cond_wait(&s->wake, &s->lock);
		} else {
			struct timespec until = { (time_t)(due / 1000000000u),
						  (long)(due % 1000000000u) };

			pthread_cond_timedwait(&s->wake, &s->lock, &until);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- For the thread of the screen ------------------------------------------------------------ */

struct watch_sampler *watch_sampler_new(const struct watch_setup *setup)
{
	struct watch_sampler *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	sigset_t all, old;
	int err;

	if (!s)
		return NULL;
	s->setup = *setup;
	s->select = setup->select;
	owner_table_init(&s->owners);
	s->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->fd < 0) {
		free(s);
		return NULL;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	/* Signals are the screen's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err) {
		close(s->fd);
		free(s);
		errno = err;
		return NULL;
	}
	return s;
}

void watch_sampler_free(struct watch_sampler *s)
{
	struct timespec until;

	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	if (pthread_timedjoin_np(s->thread, NULL, &until))
		return; /* it still uses all this */
	sample_drop(s->ready);
	sample_drop(s->before);
	owner_table_free(&s->owners);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	close(s->fd);
	free(s);
}

int watch_sampler_fd(const struct watch_sampler *s)
{
	return s->fd;
}

/* The next turn is now. */
static void kick(struct watch_sampler *s)
{
	s->kick = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void watch_sampler_select(struct watch_sampler *s, const struct select *select)
{
	pthread_mutex_lock(&s->lock);
	s->select = *select;
	kick(s);
}

void watch_sampler_pause(struct watch_sampler *s, bool pause)
{
	pthread_mutex_lock(&s->lock);
	s->paused = pause;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void watch_sampler_open(struct watch_sampler *s, const struct rank_row *row)
{
	pthread_mutex_lock(&s->lock);
	s->opened = row != NULL;
	if (row)
		s->open_key = *row;
	s->detail_ready = false;
	kick(s);
}

struct watch_sample *watch_sampler_take(struct watch_sampler *s)
{
	struct watch_sample *sample;
	uint64_t count;

	pthread_mutex_lock(&s->lock);
	if (read(s->fd, &count, sizeof(count)) < 0)
		count = 0; /* nothing rang */
	sample = s->ready;
	s->ready = NULL;
	pthread_mutex_unlock(&s->lock);
	return sample;
}

void watch_sample_release(struct watch_sampler *s, struct watch_sample *sample)
{
	pthread_mutex_lock(&s->lock);
	sample_drop(sample);
	pthread_mutex_unlock(&s->lock);
}

bool watch_sampler_take_detail(struct watch_sampler *s, struct watch_detail *detail)
{
	bool ready;

	pthread_mutex_lock(&s->lock);
	ready = s->detail_ready;
	if (ready)
		*detail = s->detail;
	s->detail_ready = false;
	pthread_mutex_unlock(&s->lock);
	return ready;
}
