/* SPDX-License-Identifier: MIT */
/*
 * The loop. One turn: output that is due, wait, input from the links that have some, timers,
 * events, output again. While frames come, a turn tries the links directly instead of asking epoll
 * first; it still asks now and then, for the sake of the other descriptors.
 */
#define _GNU_SOURCE
#include "host/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "host/send.h"
#include "host/watches.h"
#include "link/pcapng.h"

#define LINKS_MAX      64
#define POLL_EVENTS    64
#define HOT_NS	       (CPL_MS / 2) /* without asking epoll */
/*
 * What one link sends in one turn: then what came in has its turn. Little enough that what is sent
 * still lies in the cache when it is copied out, and when its memory is used again after the ACK.
 */
#define OUT_OCTETS     (128u * 1024)
#define OUT_BATCHES    16
/* After so much without a word from anybody: whoever is to answer may want this core. */
#define UNHEARD_OCTETS (2 * OUT_OCTETS)
/*
 * Where frames come one by one, as from a peer that awaits each answer, the reads that find no more
 * cost as much as all else: after so many in vain, so many frames are read without, as long as they
 * have to be waited for. A wait that ends sooner than this did not sleep: there was something.
 */
#define LONE_SEEN      4
#define LONE_TRUSTED   250
#define NO_WAIT_NS     1000
#define OUT_LEAST      2
/*
 * Before it sleeps, the loop offers the core to whoever is to send the next frame: to be called
 * again afterwards costs less than to fall asleep and to be woken. It does so less and less often
 * as long as that is in vain, and hardly ever when somebody kept the core for so long.
 */
#define YIELD_LONG_NS  (CPL_MS / 2)
#define YIELD_NEAR_NS  (CPL_MS / 10) /* not with something to do so soon */
#define YIELD_REST_MAX 4095
/*
 * A wait that is shorter is given to epoll; for a longer one the timer is set, and then left alone
 * while the deadline moves away from it: setting a timer costs more than a look at a link.
 */
#define SHORT_WAIT     CPL_MS

struct loop_link {
	struct link *link;
	int ifindex;
	bool hot;	/* may have frames: read it without asking epoll */
	bool one;	/* the last read gave one frame ... */
	unsigned lone;	/* ... and so often the read after it none */
	bool blocked;	/* refused a frame: no output until its descriptor says so */
	unsigned batch; /* frames at once: about OUT_OCTETS; few, until that is known */
};

struct loop {
	cpl_stack *stack;
	int epoll;
	struct watches watches;
	int wake;
	int timer;	   /* wakes the loop at timer_at, which may be too early */
	uint64_t timer_at; /* CPL_NEVER: not set */
	uint64_t spin_ns;
	bool waited;	     /* for what came last */
	bool yielded;	     /* for what has not come yet */
	unsigned yield_last; /* this link had a frame last */
	unsigned yield_rest; /* so many waits go without */
	unsigned yield_vain; /* ... of so many, after the last in vain */
	uint32_t unheard;    /* octets sent since something came in */
	atomic_bool stop;
	uint64_t asked; /* when epoll was asked last */
	bool no_pwait2; /* the kernel is older than 5.11 */
	loop_event_fn on_event;
	void *on_event_arg;
	loop_take_fn on_take;
	void *on_take_arg;
	loop_wait_fn on_wait;
	void *on_wait_arg;
	bool paused;
	struct control *control;
	bool control_ready;
	bool heard;		/* this turn had a frame */
	uint64_t control_after; /* while there is traffic, clients get a third of the time */
	struct loop_link links[LINKS_MAX];
	unsigned links_n;
	struct cpl_frame frames[LOOP_BATCH];
	struct cpl_out outs[LOOP_BATCH];
};

/* What epoll gives back: a kind and a number; of a watch, its generation as well. */
enum source {
	SOURCE_WAKE,
	SOURCE_TIMER,
	SOURCE_CONTROL,
	SOURCE_LINK,
	SOURCE_WATCH
};

static uint64_t source_of(enum source kind, unsigned number)
{
	return (uint64_t)kind << 56 | number;
}

static int poll_ctl(struct loop *l, int op, int fd, uint32_t events, uint64_t source)
{
	struct epoll_event event = { .events = events, .data.u64 = source };

	return epoll_ctl(l->epoll, op, fd, &event) ? -errno : 0;
}

uint64_t loop_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * CPL_SECOND + (uint64_t)t.tv_nsec;
}

uint64_t loop_epoch(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * CPL_SECOND + (uint64_t)t.tv_nsec - loop_clock();
}

/* ---- Making --------------------------------------------------------------------------------- */

int loop_new(struct loop **loop, cpl_stack *stack, struct link_why *why)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return link_fail(why, -ENOMEM, "no memory for a loop");
	l->stack = stack;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	watches_init(&l->watches, l->epoll, source_of(SOURCE_WATCH, 0));
	l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	l->timer_at = CPL_NEVER;
	if (l->epoll < 0 || l->wake < 0 || l->timer < 0 ||
	    poll_ctl(l, EPOLL_CTL_ADD, l->wake, EPOLLIN, source_of(SOURCE_WAKE, 0)) ||
	    poll_ctl(l, EPOLL_CTL_ADD, l->timer, EPOLLIN, source_of(SOURCE_TIMER, 0))) {
		int err = -errno;

		loop_free(l);
		return link_fail(why, err, "no descriptors for a loop: %s", strerror(-err));
	}
	/* Timers of TCP are told in microseconds: do not gather wake-ups. */
	prctl(PR_SET_TIMERSLACK, 1);
	*loop = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < l->links_n; i++)
		link_close(l->links[i].link);
	if (l->wake >= 0)
		close(l->wake);
	if (l->timer >= 0)
		close(l->timer);
	if (l->epoll >= 0)
		close(l->epoll);
	watches_free(&l->watches);
	free(l);
}

int loop_add_link(struct loop *l, struct link *link, uint32_t flags, struct link_why *why)
{
	struct cpl_iface_config config = link->iface;
	int ifindex = 0, err = 0;

	config.flags |= flags;
	if (link->fd < 0)
		err = link_fail(why, -EINVAL, "link %s has no descriptor to wait for", config.name);
	else if (l->links_n == LINKS_MAX)
		err = link_fail(why, -ENOSPC, "a loop has at most %d links", LINKS_MAX);
	if (!err) {
		ifindex = cpl_iface_add(l->stack, &config, loop_clock());
		if (ifindex < 0)
			err = link_fail(why, ifindex, "the stack refuses interface %s: %s",
					config.name, strerror(-ifindex));
	}
	if (!err) {
		err = poll_ctl(l, EPOLL_CTL_ADD, link->fd, EPOLLIN,
			       source_of(SOURCE_LINK, l->links_n));
		if (err)
			link_fail(why, err, "cannot wait for link %s: %s", config.name,
				  strerror(-err));
	}
	if (err) {
		link_close(link);
		return err;
	}
	l->links[l->links_n++] =
		(struct loop_link){ .link = link, .ifindex = ifindex, .batch = 2 * OUT_LEAST };
	return ifindex;
}

int loop_set_control(struct loop *l, struct control *control)
{
	if (l->control)
		poll_ctl(l, EPOLL_CTL_DEL, control_fd(l->control), 0, 0);
	l->control = control;
	if (!control)
		return 0;
	return poll_ctl(l, EPOLL_CTL_ADD, control_fd(control), EPOLLIN,
			source_of(SOURCE_CONTROL, 0));
}

void loop_set_spin(struct loop *l, uint64_t spin_ns)
{
	l->spin_ns = spin_ns;
}

int loop_fd(const struct loop *l)
{
	return l->epoll;
}

void loop_on_event(struct loop *l, loop_event_fn fn, void *arg)
{
	l->on_event = fn;
	l->on_event_arg = arg;
}

void loop_on_take(struct loop *l, loop_take_fn fn, void *arg)
{
	l->on_take = fn;
	l->on_take_arg = arg;
}

void loop_on_wait(struct loop *l, loop_wait_fn fn, void *arg)
{
	l->on_wait = fn;
	l->on_wait_arg = arg;
}

/* What link I's descriptor is asked for now. */
static void link_rewatch(struct loop *l, unsigned i)
{
	const struct loop_link *k = &l->links[i];
	uint32_t events = l->paused ? 0 : EPOLLIN;

	if (k->blocked && k->link->poll_out)
		events |= EPOLLOUT;
	poll_ctl(l, EPOLL_CTL_MOD, k->link->fd, events, source_of(SOURCE_LINK, i));
}

void loop_pause(struct loop *l, bool paused)
{
	if (l->paused == paused)
		return;
	l->paused = paused;
	for (unsigned i = 0; i < l->links_n; i++) {
		l->links[i].hot = !paused;
		link_rewatch(l, i);
	}
}

/* ---- Descriptors of the program ------------------------------------------------------------- */

int loop_watch(struct loop *l, int fd, uint32_t events, loop_fd_fn fn, void *arg)
{
	return watches_add(&l->watches, fd, events, fn, arg);
}

int loop_rewatch(struct loop *l, int fd, uint32_t events)
{
	return watches_change(&l->watches, fd, events);
}

void loop_unwatch(struct loop *l, int fd)
{
	watches_remove(&l->watches, fd);
}

/* ---- A turn --------------------------------------------------------------------------------- */

static void block(struct loop *l, unsigned i)
{
	l->links[i].blocked = true;
	if (l->links[i].link->poll_out)
		link_rewatch(l, i);
}

static void unblock(struct loop *l, unsigned i)
{
	l->links[i].blocked = false;
	if (l->links[i].link->poll_out)
		link_rewatch(l, i);
}

/* One batch. Returns the octets that the stack had. */
static uint32_t output_some(struct loop *l, unsigned i, uint64_t now)
{
	struct loop_link *k = &l->links[i];
	struct send_result sent =
		send_frames(l->stack, k->ifindex, k->link, l->outs, k->batch, now);

	if (sent.refused)
		block(l, i);
	if (sent.octets > OUT_OCTETS && k->batch > OUT_LEAST)
		k->batch /= 2;
	else if (sent.frames == k->batch && sent.octets <= OUT_OCTETS / 2 && k->batch < LOOP_BATCH)
		k->batch *= 2;
	return sent.octets;
}

/* True: there is more to send, and a device that takes it. *SENT is set if something was. */
static bool output(struct loop *l, uint64_t now, bool *sent)
{
	bool more = false;

	for (unsigned i = 0; i < l->links_n; i++) {
		struct loop_link *k = &l->links[i];
		uint32_t octets = 0;
		unsigned batches = 0;

		while (batches < OUT_BATCHES && octets < OUT_OCTETS && !k->blocked &&
		       cpl_output_pending(l->stack, k->ifindex)) {
			uint32_t some = output_some(l, i, now);

			/* What the stack said to itself happened as well, and nothing left. */
			*sent = true;
			if (!some)
				break;
			octets += some;
			batches++;
		}
		more |= batches == OUT_BATCHES || octets >= OUT_OCTETS;
		l->unheard += octets;
	}
	if (l->unheard >= UNHEARD_OCTETS) {
		l->unheard = 0;
		sched_yield();
	}
	return more;
}

/* How many frames came; they are in l->frames. */
static int input_some(struct loop *l, struct loop_link *k)
{
	/* Elsewhere a read in vain is what clears the descriptor. */
	bool trust = k->link->poll_out && k->lone >= LONE_SEEN && l->waited;
	int n = link_read(k->link, l->frames, trust ? 1 : LOOP_BATCH);

	k->hot = n > 0 && !trust;
	if (k->lone >= LONE_SEEN && !l->waited)
		k->lone = 0;
	else if (trust)
		k->lone = k->lone < LONE_SEEN + LONE_TRUSTED ? k->lone + 1 : LONE_SEEN - 1;
	else if (n > 1 || (n && k->one))
		k->lone = 0;
	else if (!n && k->one)
		k->lone++;
	k->one = n == 1 && !trust;
	return n;
}

/* In vain: not for AT_LEAST waits, and for twice as many as after the last in vain. */
static void yield_rest(struct loop *l, unsigned at_least)
{
	unsigned more = 2 * l->yield_vain + 1;

	more = more > at_least ? more : at_least;
	l->yield_vain = l->yield_rest = more < YIELD_REST_MAX ? more : YIELD_REST_MAX;
}

static int input(struct loop *l, uint64_t now)
{
	for (unsigned i = 0; i < l->links_n; i++) {
		struct loop_link *k = &l->links[i];
		int n;

		if (!k->hot)
			continue;
		k->link->now = now;
		n = input_some(l, k);
		if (n < 0)
			return n;
		/* It may have consumed the word that there is room. */
		if (k->blocked && !k->link->poll_out)
			unblock(l, i);
		if (!n)
			continue;
		l->unheard = 0;
		l->heard = true;
		l->yield_last = i;
		if (l->yielded)
			l->yield_vain = 0;
		l->yielded = false;
		cpl_input(l->stack, k->ifindex, l->frames, (unsigned)n, now);
	}
	return 0;
}

/* True if there was any. */
static bool events(struct loop *l, uint64_t now)
{
	struct cpl_event event;
	bool any = false;

	if (l->on_take)
		return l->on_take(l->on_take_arg, now);
	for (; cpl_next_event(l->stack, &event); any = true)
		if (l->on_event)
			l->on_event(l->on_event_arg, &event, now);
	return any;
}

static bool any_hot(const struct loop *l)
{
	for (unsigned i = 0; i < l->links_n; i++)
		if (l->links[i].hot)
			return true;
	return false;
}

/* epoll with a limit in nanoseconds; WAIT_NS may be CPL_NEVER. */
static int poll_wait(struct loop *l, struct epoll_event *got, uint64_t wait_ns)
{
	struct timespec t = { (time_t)(wait_ns / CPL_SECOND), (long)(wait_ns % CPL_SECOND) };
	uint64_t ms = wait_ns / CPL_MS + (wait_ns % CPL_MS != 0);
	int n;

	if (!l->no_pwait2) {
		n = epoll_pwait2(l->epoll, got, POLL_EVENTS, wait_ns == CPL_NEVER ? NULL : &t,
				 NULL);
		if (n >= 0 || errno != ENOSYS)
			return n;
		l->no_pwait2 = true;
	}
	return epoll_wait(l->epoll, got, POLL_EVENTS, ms > INT32_MAX ? -1 : (int)ms);
}

/* CPL_NEVER: never; what has expired is forgotten in either case. */
static void set_timer(struct loop *l, uint64_t at)
{
	struct itimerspec spec = { .it_value = { 0 } };

	if (at != CPL_NEVER)
		spec.it_value =
			(struct timespec){ (time_t)(at / CPL_SECOND), (long)(at % CPL_SECOND) };
	l->timer_at = at;
	timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void link_woken(struct loop *l, unsigned i, uint32_t events)
{
	struct loop_link *k = &l->links[i];

	k->hot |= (events & (l->paused ? EPOLLERR | EPOLLHUP : ~(uint32_t)EPOLLOUT)) != 0;
	if (k->blocked && (!k->link->poll_out || events & EPOLLOUT))
		unblock(l, i);
}

static void dispatch(struct loop *l, const struct epoll_event *event, uint64_t now)
{
	unsigned number = (unsigned)event->data.u64;
	uint64_t count;

	switch ((enum source)(event->data.u64 >> 56)) {
	case SOURCE_WAKE:
		/* It was readable, and nobody else reads it. */
		if (read(l->wake, &count, sizeof(count)) < 0)
			break;
		break;
	case SOURCE_TIMER:
		set_timer(l, CPL_NEVER);
		break;
	case SOURCE_CONTROL:
		l->control_ready = true;
		break;
	case SOURCE_LINK:
		link_woken(l, number, event->events);
		break;
	case SOURCE_WATCH:
		watches_ready(&l->watches, event, now);
		break;
	}
}

static void flush_captures(struct loop *l)
{
	for (unsigned i = 0; i < l->links_n; i++)
		if (l->links[i].link->capture)
			pcapng_flush(l->links[i].link->capture);
}

/* Links that know without a system call whether they have something. SLEEP: they are waited for. */
static bool look_at_links(struct loop *l, bool sleep)
{
	bool any = false;

	for (unsigned i = 0; i < l->links_n && !l->paused; i++)
		if (link_ready(l->links[i].link, sleep))
			any = l->links[i].hot = true;
	return any;
}

/* True: something came, before it was worth the while to sleep. */
static bool spin(struct loop *l, uint64_t until, uint64_t now)
{
	struct pollfd p = { .fd = l->epoll, .events = POLLIN };

	for (uint64_t end = now + l->spin_ns; now < end && now < until; now = loop_clock())
		if (look_at_links(l, false) || poll(&p, 1, 0))
			return true;
	return false;
}

/* True: others ran on this core; the link that had a frame last is read without asking epoll. */
static bool yield(struct loop *l, uint64_t *now)
{
	uint64_t before = *now;

	if (!l->links_n || l->paused || l->on_wait || *now - l->asked >= HOT_NS)
		return false;
	if (l->yield_rest) {
		l->yield_rest--;
		return false;
	}
	sched_yield();
	*now = loop_clock();
	if (*now - before < NO_WAIT_NS || *now - before > YIELD_LONG_NS) {
		yield_rest(l, *now - before < NO_WAIT_NS ? 0 : YIELD_REST_MAX);
		return false;
	}
	l->waited = true;
	if (!look_at_links(l, false))
		l->links[l->yield_last].hot = true;
	return true;
}

/*
 * Wait for what there is to do, until UNTIL at most, and note or do what can be done. *ERROR: see
 * loop_on_wait(). Returns the time.
 */
static uint64_t wait_for(struct loop *l, uint64_t until, uint64_t now, int *error)
{
	struct epoll_event got[POLL_EVENTS];
	uint64_t wait_ns = until == CPL_NEVER ? CPL_NEVER : until > now ? until - now : 0;
	uint64_t after;
	int n;

	if (wait_ns)
		flush_captures(l);
	if (l->yielded)
		yield_rest(l, 0);
	l->yielded = wait_ns >= YIELD_NEAR_NS && !l->spin_ns && yield(l, &now);
	if (l->yielded)
		return now;
	if (wait_ns && l->spin_ns && spin(l, until, now))
		wait_ns = 0;
	if (look_at_links(l, wait_ns != 0))
		wait_ns = 0;
	if (wait_ns >= SHORT_WAIT) {
		if (until < l->timer_at)
			set_timer(l, until);
		wait_ns = CPL_NEVER;
	}
	if (l->on_wait && l->on_wait(l->on_wait_arg, true) > 0)
		wait_ns = 0;
	n = poll_wait(l, got, wait_ns);
	if (l->on_wait)
		*error = l->on_wait(l->on_wait_arg, false);
	if (*error)
		return now;
	after = loop_clock();
	l->waited = after - now > NO_WAIT_NS;
	l->asked = now = after;
	for (int i = 0; i < n; i++)
		dispatch(l, &got[i], now);
	return now;
}

static void serve_control(struct loop *l)
{
	uint64_t began = loop_clock(), done;

	l->control_ready = false;
	control_serve(l->control, began);
	done = loop_clock();
	l->control_after = done + 2 * (done - began);
}

int loop_turn(struct loop *l, uint64_t until)
{
	uint64_t now = loop_clock(), deadline;
	bool any = events(l, now), sent = false, hot;
	int err;

	l->heard = false;
	if (output(l, now, &sent))
		until = 0;
	/* What left may have made room for more. */
	if ((any || sent) && events(l, now))
		until = 0;
	/* Input may make it earlier, but not due by now. */
	deadline = l->paused ? CPL_NEVER : cpl_deadline(l->stack);
	until = until < deadline ? until : deadline;
	hot = any_hot(l);
	if (hot && now - l->asked < HOT_NS) {
		now = loop_clock();
		err = input(l, now);
	} else {
		until = hot ? 0 : until;
		do {
			err = 0;
			now = wait_for(l, until, now, &err);
			if (err)
				return err;
			err = input(l, now);
		} while (!err && l->yielded);
	}
	if (deadline <= now)
		cpl_advance(l->stack, now);
	events(l, now);
	output(l, now, &sent);
	if (l->control_ready && ((!any_hot(l) && !l->heard) || now >= l->control_after))
		serve_control(l);
	return err;
}

int loop_run(struct loop *l)
{
	int err = 0;

	while (!err && !loop_stopped(l))
		err = loop_turn(l, CPL_NEVER);
	flush_captures(l);
	return err;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop, true);
	loop_wake(l);
}

bool loop_stopped(const struct loop *l)
{
	return atomic_load(&l->stop);
}

void loop_wake(struct loop *l)
{
	uint64_t one = 1;

	/* It fails only when it has been woken 2^64 - 2 times already. */
	if (write(l->wake, &one, sizeof(one)) < 0)
		return;
}
