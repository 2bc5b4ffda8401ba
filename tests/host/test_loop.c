/* SPDX-License-Identifier: MIT */
/*
 * The loop: descriptors, stops and waits; and two stacks in two threads, each in a loop of its own,
 * with a wire in memory between them over which a stream goes and comes back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host/control_client.h"
#include "link/pcapng.h"
#include "tests/util/looped.h"

#define TOTAL (8u << 20)

static struct link_why why;

static void ok(int err)
{
	if (err < 0)
		fail_msg("%s: %s", strerror(-err), why.text);
}

static int count_live(void *arg, const struct cpl_info *info)
{
	unsigned *n = arg;

	*n += info->state == CPL_ESTABLISHED || info->state == CPL_LISTEN;
	return 0;
}

/* The control socket of B tells of its listener and its connection, while its loop runs. */
static void look_at(struct control *control)
{
	struct control_client *client;
	unsigned seen = 0;

	ok(control_connect(&client, control_path(control), &why));
	ok(control_list(client, count_live, &seen));
	assert_int_equal(seen, 2);
	control_disconnect(client);
}

static void exchange(bool offload, uint8_t kind, uint32_t room)
{
	struct link_pipe_config config = {
		.kind = kind, .offload = offload, .wake = true, .room = room
	};
	struct cpl_addr addrs[2] = { cpl_addr4(10, 0, 0, 1), cpl_addr4(10, 0, 0, 2) };
	struct cpl_endpoint remote = { .addr = addrs[1], .port = 7 };
	char dir[] = "/tmp/couplet-test-XXXXXX", path[64];
	struct control *control;
	struct pcapng *capture;
	struct link *ends[2];
	struct looped a, b;

	ok(link_pipe_open(ends, &config, &why));
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.pcapng", dir);
	ok(pcapng_open(&capture, path, loop_epoch(), 100, &why));
	ok(link_capture(ends[0], capture));
	ok(looped_open(&a, ends[0], &why));
	ok(looped_open(&b, ends[1], &why));
	ok(looped_addr(&a, &addrs[0], 24));
	ok(looped_addr(&b, &addrs[1], 24));
	ok(looped_echo(&b, 7));
	ok(control_open(&control, b.stack, dir, "b", &why));
	ok(loop_set_control(b.loop, control));
	ok(looped_start(&b));
	ok(looped_send(&a, &remote, TOTAL));
	assert_int_equal(a.received, TOTAL);
	look_at(control);
	ok(looped_stop(&b));
	looped_close(&a);
	looped_close(&b);
	control_close(control);
	assert_int_equal(pcapng_close(capture), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_exchange(void **state)
{
	(void)state;
	exchange(false, CPL_IFACE_IP, 0);
	exchange(true, CPL_IFACE_ETHER, 0);
	/* two super-segments fill it: both ends wait for room most of the time */
	exchange(true, CPL_IFACE_IP, 1);
}

/* ---- Without a wire ------------------------------------------------------------------------- */

static unsigned calls;
static int last_fd;

static void on_fd(void *arg, int fd, uint32_t events, uint64_t now)
{
	char c;

	(void)now;
	calls++;
	last_fd = fd;
	assert_true(events & EPOLLIN);
	assert_int_equal(read(fd, &c, 1), 1);
	if (arg)
		loop_unwatch(arg, fd);
}

static void test_watches(void **state)
{
	struct cpl_config config;
	cpl_stack *stack;
	struct loop *loop;
	uint64_t before;
	int p[2], q[2];

	(void)state;
	ok(config_fill(&config, &why));
	ok(cpl_stack_new(&stack, &config, loop_clock()));
	ok(loop_new(&loop, stack, &why));
	assert_int_equal(pipe(p) | pipe(q), 0);
	ok(loop_watch(loop, p[0], EPOLLIN, on_fd, NULL));
	assert_int_equal(loop_watch(loop, p[0], EPOLLIN, on_fd, NULL), -EEXIST);
	ok(loop_watch(loop, q[0], EPOLLIN, on_fd, loop));
	ok(loop_turn(loop, 0));
	assert_int_equal(calls, 0);
	assert_int_equal(write(p[1], "abc", 3), 3);
	ok(loop_turn(loop, CPL_NEVER));
	assert_int_equal(calls, 1);
	assert_int_equal(last_fd, p[0]);
	ok(loop_rewatch(loop, p[0], 0));
	ok(loop_turn(loop, 0));
	assert_int_equal(calls, 1);
	assert_int_equal(write(q[1], "abc", 3), 3);
	ok(loop_turn(loop, 0));
	ok(loop_turn(loop, 0));
	assert_int_equal(calls, 2); /* it unwatched itself */
	assert_int_equal(loop_rewatch(loop, q[0], EPOLLIN), -ENOENT);
	loop_unwatch(loop, q[0]);
	/* a wait ends at its time, a wake-up ends it at once */
	before = loop_clock();
	ok(loop_turn(loop, before + 20 * CPL_MS));
	assert_true(loop_clock() >= before + 20 * CPL_MS);
	loop_wake(loop);
	ok(loop_turn(loop, CPL_NEVER));
	loop_stop(loop);
	ok(loop_run(loop));
	loop_free(loop);
	cpl_stack_free(stack);
	for (int i = 0; i < 2; i++) {
		close(p[i]);
		close(q[i]);
	}
}

static void test_no_descriptor(void **state)
{
	struct link_pipe_config pipe_config = { .kind = CPL_IFACE_IP };
	struct cpl_config config;
	struct link *ends[2];
	cpl_stack *stack;
	struct loop *loop;

	(void)state;
	ok(config_fill(&config, &why));
	ok(cpl_stack_new(&stack, &config, loop_clock()));
	ok(loop_new(&loop, stack, &why));
	ok(link_pipe_open(ends, &pipe_config, &why));
	assert_int_equal(loop_add_link(loop, ends[0], 0, &why), -EINVAL);
	assert_non_null(strstr(why.text, "wire0"));
	link_close(ends[1]);
	loop_free(loop);
	cpl_stack_free(stack);
}

/* ---- A link that refuses -------------------------------------------------------------------- */

/* Refuses one frame, and has room right after, which it tells once: by being readable. */
struct fussy {
	struct link link;
	unsigned writes; /* tried */
	unsigned refuse; /* the number of the one */
	unsigned frames; /* still to be read */
};

static int fussy_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct fussy *f = (struct fussy *)link;
	uint64_t count;

	(void)max;
	if (f->frames) {
		f->frames--;
		frames[0] = (struct cpl_frame){ .data = "no packet", .len = 9 };
		return 1;
	}
	if (read(link->fd, &count, sizeof(count)) < 0)
		return 0;
	return 0;
}

static int fussy_write(struct link *link, const struct cpl_out *frame)
{
	struct fussy *f = (struct fussy *)link;
	uint64_t one = 1;

	(void)frame;
	if (++f->writes != f->refuse)
		return 1;
	assert_int_equal(write(link->fd, &one, sizeof(one)), sizeof(one));
	return 0;
}

static void fussy_close(struct link *link)
{
	close(link->fd);
}

/*
 * What follows a refused frame is not tried, and output goes on although the word that there is
 * room was consumed by a read before the loop could see it.
 */
static void test_refused(void **state)
{
	static const struct link_ops ops = { .read = fussy_read,
					     .write = fussy_write,
					     .close = fussy_close };
	struct fussy f = { .link = { .ops = &ops }, .refuse = 2, .frames = 1 };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, 1);
	struct cpl_endpoint remote = { .addr = cpl_addr4(10, 0, 0, 2), .port = 9 };
	struct link_why what;
	struct looped h;
	cpl_handle udp;

	(void)state;
	f.link.fd = eventfd(1, EFD_NONBLOCK);
	f.link.iface = (struct cpl_iface_config){ .size = sizeof(f.link.iface),
						  .name = "fussy",
						  .mtu = 1500 };
	ok(looped_open(&h, &f.link, &what));
	ok(looped_addr(&h, &addr, 24));
	/* readable: the loop reads one frame, and will read again before it asks epoll */
	ok(loop_turn(h.loop, CPL_NEVER));
	assert_int_equal(f.frames, 0);
	ok(cpl_udp_open(h.stack, NULL, &udp, loop_clock()));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(cpl_udp_send(h.stack, udp, NULL, &remote, "x", 1, loop_clock()),
				 1);
	for (unsigned i = 0; i < 30; i++)
		ok(loop_turn(h.loop, 0));
	/* 1 and 2 were tried, 3 and 4 not; a later one goes */
	assert_int_equal(f.writes, 2);
	assert_int_equal(cpl_udp_send(h.stack, udp, NULL, &remote, "x", 1, loop_clock()), 1);
	ok(loop_turn(h.loop, 0));
	assert_int_equal(f.writes, 3);
	looped_close(&h);
}

/* ---- A link whose descriptor is silent unless it was told that somebody sleeps --------------- */

struct quiet {
	struct link link;
	unsigned frames; /* to be read */
	unsigned read;
	bool asleep;
};

static int quiet_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct quiet *q = (struct quiet *)link;
	uint64_t count;

	(void)max;
	if (q->asleep && read(link->fd, &count, sizeof(count)) < 0)
		assert_int_equal(errno, EAGAIN);
	q->asleep = false;
	if (!q->frames)
		return 0;
	q->frames--;
	q->read++;
	frames[0] = (struct cpl_frame){ .data = "no packet", .len = 9 };
	return 1;
}

static bool quiet_ready(struct link *link, bool sleep)
{
	struct quiet *q = (struct quiet *)link;

	q->asleep |= sleep;
	return q->frames != 0;
}

static void *quiet_sender(void *arg)
{
	struct quiet *q = arg;
	uint64_t one = 1;

	usleep(20000);
	if (!q->asleep)
		return arg;
	q->frames = 1;
	return write(q->link.fd, &one, sizeof(one)) == sizeof(one) ? NULL : arg;
}

static int discard(struct link *link, const struct cpl_out *frame)
{
	(void)link, (void)frame;
	return 1;
}

static void test_quiet(void **state)
{
	static const struct link_ops ops = {
		.read = quiet_read, .write = discard, .close = fussy_close, .ready = quiet_ready
	};
	struct quiet q = { .link = { .ops = &ops } };
	struct link_why what;
	struct looped h;
	pthread_t thread;
	void *failed;

	(void)state;
	q.link.fd = eventfd(0, EFD_NONBLOCK);
	q.link.iface = (struct cpl_iface_config){ .size = sizeof(q.link.iface),
						  .name = "quiet",
						  .mtu = 1500 };
	ok(looped_open(&h, &q.link, &what));
	/* without waiting: seen by asking the link, which is not told of any sleep */
	q.frames = 3;
	for (unsigned i = 0; i < 6; i++)
		ok(loop_turn(h.loop, 0));
	assert_int_equal(q.read, 3);
	assert_false(q.asleep);
	/* and what is there already is not slept over */
	q.frames = 1;
	ok(loop_turn(h.loop, loop_clock() + 100 * CPL_SECOND));
	assert_int_equal(q.read, 4);
	/* nothing there: the sleeper is woken */
	for (unsigned i = 0; i < 3; i++)
		ok(loop_turn(h.loop, 0));
	pthread_create(&thread, NULL, quiet_sender, &q);
	ok(loop_turn(h.loop, loop_clock() + 100 * CPL_SECOND));
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(q.read, 5);
	/* one that looks for a while first sees it without having slept */
	loop_set_spin(h.loop, 10 * CPL_SECOND);
	ok(loop_turn(h.loop, 0));
	ok(loop_turn(h.loop, 0));
	q.frames = 1;
	ok(loop_turn(h.loop, loop_clock() + 100 * CPL_SECOND));
	assert_int_equal(q.read, 6);
	looped_close(&h);
}

/* ---- Offering the core before sleeping ------------------------------------------------------- */

static atomic_uint yields;
static struct fussy *yield_to; /* gets a frame by each */
static uint64_t yield_takes;
static uint64_t own_time; /* not 0: nothing takes time but a yield, and a look at the clock */

#define LOOK_NS 100

/* These two in the place of the C library's, for the whole of this program. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
	if (!own_time || clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, t);
	own_time += LOOK_NS;
	t->tv_sec = (time_t)(own_time / CPL_SECOND);
	t->tv_nsec = (long)(own_time % CPL_SECOND);
	return 0;
}

int sched_yield(void)
{
	uint64_t until = loop_clock() + yield_takes;

	yields++;
	if (yield_to)
		yield_to->frames++;
	if (own_time)
		own_time = until;
	while (yield_takes && loop_clock() < until)
		;
	return 0;
}

static void on_ready(void *arg, int fd, uint32_t events, uint64_t now)
{
	(void)arg, (void)fd, (void)events, (void)now;
	calls++;
}

/* So many turns with somebody who keeps the core for TAKES, and sends FRAMES then or nothing. */
static unsigned yields_in(unsigned turns, uint64_t takes, bool frames)
{
	static const struct link_ops ops = { .read = fussy_read,
					     .write = fussy_write,
					     .close = fussy_close };
	struct fussy f = { .link = { .ops = &ops } };
	int ready = eventfd(1, EFD_NONBLOCK);
	struct link_why what;
	struct looped h;

	f.link.fd = eventfd(0, EFD_NONBLOCK);
	f.link.iface = (struct cpl_iface_config){ .size = sizeof(f.link.iface),
						  .name = "yields",
						  .mtu = 1500 };
	ok(looped_open(&h, &f.link, &what));
	for (unsigned i = 0; i < 4; i++)
		ok(loop_turn(h.loop, 0));
	ok(loop_watch(h.loop, ready, EPOLLIN, on_ready, NULL));
	yields = calls = 0;
	own_time = loop_clock();
	yield_takes = takes;
	yield_to = frames ? &f : NULL;
	for (unsigned i = 0; i < turns; i++)
		ok(loop_turn(h.loop, loop_clock() + 100 * CPL_SECOND));
	yield_to = NULL;
	own_time = 0;
	looped_close(&h);
	close(ready);
	return yields;
}

static void test_yield(void **state)
{
	unsigned n;

	(void)state;
	/* it helps: used for most waits, and other descriptors have their turn each half
	 * millisecond */
	n = yields_in(128, 50000, true);
	assert_in_range(n, 56, 72);
	assert_in_range(calls, 5, 8);
	/* nobody else wants the core, or those who do send nothing: tried less and less often */
	assert_in_range(yields_in(128, 0, false), 1, 7);
	assert_in_range(calls, 127, 128);
	assert_in_range(yields_in(128, 5000, false), 1, 7);
	/* whoever keeps it for long, keeps it once */
	assert_int_equal(yields_in(128, 2 * CPL_MS, true), 1);
}

#define LISTENERS 1024

static atomic_bool listed;

static void *list_all(void *arg)
{
	struct control_client *client;
	struct link_why what;
	unsigned seen = 0;

	if (control_connect(&client, control_path(arg), &what) ||
	    control_list(client, count_live, &seen))
		seen = 0;
	control_disconnect(client);
	listed = true;
	return seen == LISTENERS ? NULL : arg;
}

/* Whoever lists all connections gets a third of the time, also if frames come one by one. */
static void test_list_beside_traffic(void **state)
{
	static const struct link_ops ops = { .read = fussy_read,
					     .write = fussy_write,
					     .close = fussy_close };
	struct fussy f = { .link = { .ops = &ops } };
	char dir[] = "/tmp/couplet-test-XXXXXX";
	struct cpl_endpoint at = { .port = 1 };
	struct control *control;
	struct looped h;
	cpl_handle listener;
	pthread_t thread;
	void *failed;

	(void)state;
	f.link.fd = eventfd(0, EFD_NONBLOCK);
	f.link.iface = (struct cpl_iface_config){ .size = sizeof(f.link.iface),
						  .name = "listed",
						  .mtu = 1500 };
	ok(looped_open(&h, &f.link, &why));
	assert_non_null(mkdtemp(dir));
	ok(control_open(&control, h.stack, dir, "listed", &why));
	ok(loop_set_control(h.loop, control));
	for (; at.port <= LISTENERS; at.port++)
		ok(cpl_listen(h.stack, &at, 1, &listener, loop_clock()));
	yield_takes = 2000;
	yield_to = &f;
	yields = 0;
	pthread_create(&thread, NULL, list_all, control);
	while (!listed)
		ok(loop_turn(h.loop, loop_clock() + 2 * CPL_MS));
	yield_to = NULL;
	yield_takes = 0;
	pthread_join(thread, &failed);
	assert_null(failed);
	/* 32 are told at once, which takes many times what a frame does */
	assert_true(yields >= 3 * LISTENERS / 32);
	looped_close(&h);
	control_close(control);
	assert_int_equal(rmdir(dir), 0);
}

/* A deadline that comes nearer is heeded, one that moved away costs one turn at most. */
static void test_timer(void **state)
{
	struct link_pipe_config pipe_config = { .wake = true };
	struct link *ends[2];
	struct looped h;
	uint64_t t;

	(void)state;
	ok(link_pipe_open(ends, &pipe_config, &why));
	ok(looped_open(&h, ends[0], &why));
	for (unsigned i = 0; i < 4; i++)
		ok(loop_turn(h.loop, 0));
	for (unsigned ms = 40; ms >= 5; ms /= 2) {
		uint64_t until = loop_clock() + ms * CPL_MS;

		/* the timer is set for later, and the wait ends before */
		loop_wake(h.loop);
		ok(loop_turn(h.loop, loop_clock() + 3 * CPL_SECOND));
		while ((t = loop_clock()) < until)
			ok(loop_turn(h.loop, until));
		assert_true(t < until + 200 * CPL_MS);
	}
	looped_close(&h);
	link_close(ends[1]);
}

struct caller {
	cpl_stack *stack;
	struct cpl_endpoint to;
	unsigned turns;
	bool closed;
};

/* It connects after a turn's input, and takes what came of it. */
static bool call_oneself(void *arg, uint64_t now)
{
	struct caller *c = arg;
	struct cpl_event event;
	cpl_handle handle;
	bool any = false;

	for (; cpl_next_event(c->stack, &event); any = true)
		c->closed |= (event.what & CPL_EV_CLOSED) != 0;
	if (++c->turns == 2)
		ok(cpl_connect(c->stack, NULL, &c->to, &handle, now));
	return any;
}

/* What the stack says to itself: nothing leaves by a link, and yet something happened. */
static void test_own_address(void **state)
{
	struct link_pipe_config pipe_config = { .wake = true };
	struct caller c = { .to = { .addr = cpl_addr4(10, 0, 0, 1), .port = 9 } };
	struct link *ends[2];
	struct looped h;
	uint64_t began;

	(void)state;
	ok(link_pipe_open(ends, &pipe_config, &why));
	ok(looped_open(&h, ends[0], &why));
	ok(looped_addr(&h, &c.to.addr, 24));
	for (unsigned i = 0; i < 40; i++) /* then it does sleep */
		ok(loop_turn(h.loop, loop_clock() + CPL_MS));
	c.stack = h.stack;
	loop_on_take(h.loop, call_oneself, &c);
	ok(loop_turn(h.loop, 0));
	assert_int_equal(c.turns, 2);
	began = loop_clock();
	while (!c.closed)
		ok(loop_turn(h.loop, began + 20 * CPL_SECOND));
	assert_true(loop_clock() < began + 10 * CPL_SECOND);
	loop_on_take(h.loop, NULL, NULL);
	looped_close(&h);
	link_close(ends[1]);
}

/* Two configurations have two secrets. */
static void test_secret(void **state)
{
	struct cpl_config a, b;
	uint8_t zero[sizeof(a.secret)] = { 0 };

	(void)state;
	ok(config_fill(&a, &why));
	ok(config_fill(&b, &why));
	assert_memory_not_equal(a.secret, b.secret, sizeof(a.secret));
	assert_memory_not_equal(a.secret, zero, sizeof(a.secret));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watches),	 cmocka_unit_test(test_no_descriptor),
		cmocka_unit_test(test_secret),	 cmocka_unit_test(test_refused),
		cmocka_unit_test(test_exchange), cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_timer),	 cmocka_unit_test(test_own_address),
		cmocka_unit_test(test_yield),	 cmocka_unit_test(test_list_beside_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
