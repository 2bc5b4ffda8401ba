/* SPDX-License-Identifier: MIT */
/* See cores.h. */
#define _GNU_SOURCE
#include "host/cores.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct member {
	struct core core; /* first: what the program knows */
	struct cores *cores;
	pthread_t thread;
	bool running;
};

struct cores {
	unsigned n;
	cores_fn fn;
	void *arg;
	atomic_int error; /* the first one */
	struct member members[];
};

unsigned cores_n(const struct cores *c)
{
	return c->n;
}

struct core *cores_get(struct cores *c, unsigned number)
{
	return number < c->n ? &c->members[number].core : NULL;
}

/* ---- Making --------------------------------------------------------------------------------- */

/* A stack's secret decides its ports, sequence numbers and cookies: no two may go alike. */
static int own_secret(struct cpl_config *config, struct link_why *why)
{
	if (getrandom(config->secret, sizeof(config->secret), 0) != sizeof(config->secret))
		return link_fail(why, -EIO, "the kernel gives no random octets");
	return 0;
}

static int common_config(struct cpl_config *config, unsigned n, struct link_why *why)
{
	config->cores = (uint16_t)n;
	if (n == 1 || config->fastopen_keys)
		return 0;
	config->fastopen_keys = 1;
	if (getrandom(config->fastopen_key[0], 16, 0) != 16)
		return link_fail(why, -EIO, "the kernel gives no random octets");
	return 0;
}

static int core_new(struct core *core, struct cpl_config *config, struct link_why *why)
{
	int err = core->number ? own_secret(config, why) : 0;

	if (err)
		return err;
	config->core = (uint16_t)core->number;
	err = cpl_stack_new(&core->stack, config, loop_clock());
	if (err)
		return link_fail(why, err, "cannot make a stack: %s", strerror(-err));
	return loop_new(&core->loop, core->stack, why);
}

int cores_new(struct cores **cores, const struct cpl_config *config, struct link **queues,
	      unsigned n, uint32_t flags, struct link_why *why)
{
	struct cores *c = calloc(1, sizeof(*c) + n * sizeof(c->members[0]));
	struct link **links = calloc(n, sizeof(links[0]));
	struct cpl_config own = *config;
	unsigned taken = 0;
	int err = 0;

	if (!c || !links)
		err = link_fail(why, -ENOMEM, "no memory for %u stacks", n);
	err = err ? err : common_config(&own, n, why);
	if (err || n == 1) {
		if (links)
			memcpy(links, queues, n * sizeof(links[0]));
	} else {
		err = link_steer_open(links, queues, n, own.rss_key, why);
		taken = err ? n : 0;
	}
	for (unsigned i = 0; !err && i < n; i++) {
		struct core *core = &c->members[i].core;

		c->members[i].cores = c;
		core->number = i;
		c->n = i + 1;
		err = core_new(core, &own, why);
		if (err)
			break;
		taken = i + 1;
		core->ifindex = loop_add_link(core->loop, links[i], flags, why);
		err = core->ifindex < 0 ? core->ifindex : 0;
	}
	for (unsigned i = taken; err && i < n; i++)
		link_close(links ? links[i] : queues[i]);
	free(links);
	if (err)
		cores_free(c);
	else
		*cores = c;
	return err;
}

int cores_addr_add(struct cores *c, const struct cpl_addr *addr, unsigned prefix_len, uint64_t now)
{
	int err = 0;

	for (unsigned i = 0; !err && i < c->n; i++) {
		struct core *core = &c->members[i].core;

		err = cpl_addr_add(core->stack, core->ifindex, addr, prefix_len, now);
	}
	return err;
}

int cores_route_add(struct cores *c, const struct cpl_addr *prefix, unsigned prefix_len,
		    const struct cpl_addr *gateway, uint32_t metric, uint64_t now)
{
	int err = 0;

	for (unsigned i = 0; !err && i < c->n; i++) {
		struct core *core = &c->members[i].core;

		err = cpl_route_add(core->stack, prefix, prefix_len, gateway, core->ifindex, metric,
				    now);
	}
	return err;
}

int cores_offer(struct cores *c, const char *name, struct link_why *why)
{
	char own[64];
	int err = 0;

	for (unsigned i = 0; !err && i < c->n; i++) {
		struct core *core = &c->members[i].core;

		snprintf(own, sizeof(own), c->n > 1 ? "%s-%u" : "%s", name, i);
		err = control_open(&core->control, core->stack, NULL, own, why);
		if (!err)
			err = loop_set_control(core->loop, core->control);
	}
	return err;
}

/* ---- Running -------------------------------------------------------------------------------- */

static void stop_all(struct cores *c)
{
	for (unsigned i = 0; i < c->n; i++)
		if (c->members[i].core.loop)
			loop_stop(c->members[i].core.loop);
}

static void run(struct member *m)
{
	struct cores *c = m->cores;
	int none = 0, err = c->fn ? c->fn(c->arg, &m->core) : loop_run(m->core.loop);

	if (!err)
		return;
	atomic_compare_exchange_strong(&c->error, &none, err);
	stop_all(c);
}

static void *thread(void *arg)
{
	run(arg);
	return NULL;
}

/* The processor number I of those that this process may use; not if there are fewer than cores. */
static void bind_to(pthread_t t, unsigned i, unsigned n)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) || (unsigned)CPU_COUNT(&allowed) < n)
		return;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && i-- == 0)
			CPU_SET(cpu, &one);
	pthread_setaffinity_np(t, sizeof(one), &one);
}

int cores_start(struct cores *c, cores_fn fn, void *arg, struct link_why *why)
{
	sigset_t all, before;
	int err = 0;

	c->fn = fn;
	c->arg = arg;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 1; !err && i < c->n; i++) {
		struct member *m = &c->members[i];

		err = pthread_create(&m->thread, NULL, thread, m);
		m->running = !err;
		if (!err)
			bind_to(m->thread, i, c->n);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err ? link_fail(why, -err, "cannot start a thread: %s", strerror(err)) : 0;
}

static void join_all(struct cores *c)
{
	for (unsigned i = 1; i < c->n; i++) {
		if (c->members[i].running)
			pthread_join(c->members[i].thread, NULL);
		c->members[i].running = false;
	}
}

int cores_run(struct cores *c)
{
	run(&c->members[0]);
	stop_all(c);
	join_all(c);
	return atomic_load(&c->error);
}

void cores_free(struct cores *c)
{
	if (!c)
		return;
	stop_all(c);
	join_all(c);
	/* All links first: frames of one may still be on a wire to another. */
	for (unsigned i = 0; i < c->n; i++)
		loop_free(c->members[i].core.loop);
	for (unsigned i = 0; i < c->n; i++) {
		if (c->members[i].core.control)
			control_close(c->members[i].core.control);
		cpl_stack_free(c->members[i].core.stack);
	}
	free(c);
}
