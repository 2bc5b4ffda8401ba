/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait. The thread that moves the time must not wait for others: where it makes such a
 * call itself, time goes on inside the call. Another thread sleeps until the first has finished its
 * call for it; then time stands still until it has read the clock (packetdrill checks when a
 * blocking call ended).
 */
#include <errno.h>
#include <time.h>

#include "packetdrill/drill.h"

#define LOOK_NS                                                                                    \
	(200 * 1000 * 1000) /* who does not look at the clock is not waited for, real time */

void drill_lock(struct drill *d)
{
	pthread_mutex_lock(&d->lock);
	drill_sysctl_read(d);
}

void drill_unlock(struct drill *d)
{
	drill_settle(d);
	pthread_mutex_unlock(&d->lock);
}

long drill_result(long r)
{
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

/* What it waits for has come, or its time. */
static bool worth(struct drill *d, const struct drill_call *c)
{
	return !c->events || d->now >= c->until ||
	       socket_readiness(d->sockets, c->sock) & c->events;
}

bool drill_calls_step(struct drill *d, bool with_syn)
{
	bool any = false;
	struct list *l;

	list_for_each (l, &d->calls) {
		struct drill_call *c = container_of(l, struct drill_call, link);

		if (c->over || (with_syn && !c->with_syn) || !worth(d, c) || !c->step(d, c))
			continue;
		c->over = any = true;
		pthread_cond_signal(&c->wake);
	}
	return any;
}

/* The owner of the time waits for itself. Nothing can happen any more: EDEADLK. */
static void call_alone(struct drill *d, struct drill_call *c)
{
	uint64_t limit = d->now + DRILL_LIMIT;

	while (!c->over) {
		uint64_t next = drill_next(d);

		if (next == CPL_NEVER || next > limit) {
			c->result = -EDEADLK;
			return;
		}
		drill_pass(d, next, false);
	}
}

static void call_wait(struct drill *d, struct drill_call *c)
{
	while (!c->over)
		pthread_cond_wait(&c->wake, &d->lock);
}

long drill_call(struct drill *d, struct drill_call *c)
{
	c->began = d->now;
	c->until = CPL_NEVER;
	c->over = c->step(d, c);
	if (c->over)
		return c->result;
	c->thread = pthread_self();
	pthread_cond_init(&c->wake, NULL);
	list_push_back(&d->calls, &c->link);
	drill_settle(d);
	if (pthread_equal(c->thread, d->owner)) {
		call_alone(d, c);
	} else {
		call_wait(d, c);
		d->returning = c->thread;
		d->returning_set = true;
	}
	list_del(&c->link);
	pthread_cond_destroy(&c->wake);
	return c->result;
}

bool drill_call_looked(struct drill *d)
{
	if (!d->returning_set || !pthread_equal(d->returning, pthread_self()))
		return false;
	d->returning_set = false;
	d->looked = true;
	pthread_cond_broadcast(&d->returned);
	return true;
}

/* Some call is over, and its thread has not left it yet. */
static bool any_over(const struct drill *d)
{
	const struct list *l;

	list_for_each (l, &d->calls) {
		const struct drill_call *c = container_of(l, struct drill_call, link);

		if (c->over && !pthread_equal(c->thread, pthread_self()))
			return true;
	}
	return false;
}

void drill_calls_return(struct drill *d)
{
	struct timespec until;

	if (d->returning_set && pthread_equal(d->returning, pthread_self()))
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += LOOK_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (any_over(d) || d->returning_set)
		if (pthread_cond_timedwait(&d->returned, &d->lock, &until)) {
			d->returning_set = false;
			return;
		}
}
