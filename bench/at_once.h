/* SPDX-License-Identifier: MIT */
/*
 * The same work on several processors at once: by threads, or, to see what the machine has to give,
 * by processes that share not even an address space. Each is bound to a processor.
 */
#ifndef BENCH_AT_ONCE_H
#define BENCH_AT_ONCE_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE_MAX 64u

struct at_once;

/* What the one with NUMBER of N did a second; it waits at TOGETHER before it begins. */
typedef double (*at_once_fn)(unsigned number, unsigned n, pthread_barrier_t *together, void *arg);

struct at_once_member {
	struct at_once *all;
	unsigned number;
	pthread_t thread;
	pid_t process;
	double rate;
};

struct at_once {
	at_once_fn run;
	void *arg;
	unsigned n;
	pthread_barrier_t together;
	struct at_once_member members[AT_ONCE_MAX];
};

static void *at_once_member(void *arg)
{
	struct at_once_member *m = arg;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(m->number, &one);
	sched_setaffinity(0, sizeof(one), &one);
	m->rate = m->all->run(m->number, m->all->n, &m->all->together, m->all->arg);
	return NULL;
}

/* False: it cannot be started. */
static bool at_once_start(struct at_once_member *m, bool processes)
{
	pid_t pid;

	if (!processes)
		return !pthread_create(&m->thread, NULL, at_once_member, m);
	pid = fork();
	if (!pid) {
		at_once_member(m);
		_exit(0);
	}
	m->process = pid;
	return pid > 0;
}

/* What N did a second, all together; below 0: they could not be started. */
static double at_once(unsigned n, bool processes, at_once_fn run, void *arg)
{
	struct at_once *all =
		mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t shared;
	double sum = 0;

	if (all == MAP_FAILED)
		return -1;
	all->run = run;
	all->arg = arg;
	all->n = n;
	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&all->together, &shared, n);
	for (unsigned i = 0; i < n; i++) {
		all->members[i].all = all;
		all->members[i].number = i;
		if (!at_once_start(&all->members[i], processes))
			return -1;
	}
	for (unsigned i = 0; i < n; i++) {
		if (processes)
			waitpid(all->members[i].process, NULL, 0);
		else
			pthread_join(all->members[i].thread, NULL);
		sum += all->members[i].rate;
	}
	munmap(all, sizeof(*all));
	return sum;
}

#endif
