/* SPDX-License-Identifier: MIT */
/*
 * Names: the program's own resolver has no network, so getaddrinfo(3) and getnameinfo(3) are done
 * here, in threads, in the network namespace that the server was opened in.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/server_inside.h"

#define THREADS_MAX 8

struct name_job {
	struct name_job *next;
	/* Whose it is: the client may be gone when it is done. */
	uint64_t key;
	unsigned slot;
	uint32_t turn;
	struct shim_name_ask ask;
	shim_name_fn fn;
	void *fn_arg;
	int result;
	unsigned n;
	struct shim_name_answer *answers;
};

struct names {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct name_job *todo, **todo_end;
	struct name_job *done;
	unsigned threads, idle;
	bool ending; /* the server is gone, or will be */
	struct shim_server *server;
	int netns;
};

/* ---- In a thread ---------------------------------------------------------------------------- */

static void answers_fill(struct name_job *job, const struct addrinfo *list)
{
	unsigned n = 0;

	for (const struct addrinfo *a = list; a; a = a->ai_next)
		n++;
	if (n > SHIM_NAMES_MAX)
		n = SHIM_NAMES_MAX;
	job->answers = calloc(n ? n : 1, sizeof(*job->answers));
	if (!job->answers) {
		job->result = EAI_MEMORY;
		return;
	}
	for (const struct addrinfo *a = list; a && job->n < n; a = a->ai_next) {
		struct shim_name_answer *to = &job->answers[job->n];

		if (a->ai_addrlen > sizeof(to->addr))
			continue;
		to->flags = a->ai_flags;
		to->family = a->ai_family;
		to->socktype = a->ai_socktype;
		to->protocol = a->ai_protocol;
		to->addr_len = a->ai_addrlen;
		memcpy(to->addr, a->ai_addr, a->ai_addrlen);
		if (a->ai_canonname)
			strncpy(to->canon, a->ai_canonname, sizeof(to->canon) - 1);
		job->n++;
	}
}

static void look_back(struct name_job *job)
{
	struct shim_name_ask *ask = &job->ask;
	struct sockaddr_storage addr = { 0 };

	if (ask->addr_len > sizeof(ask->addr)) {
		job->result = EAI_FAMILY;
		return;
	}
	memcpy(&addr, ask->addr, ask->addr_len);
	job->result = getnameinfo((struct sockaddr *)&addr, ask->addr_len, ask->node,
				  ask->has & 1 ? sizeof(ask->node) : 0, ask->service,
				  ask->has & 2 ? sizeof(ask->service) : 0, ask->flags);
}

static void look_up(struct name_job *job)
{
	const struct shim_name_ask *ask = &job->ask;
	struct addrinfo hints = { .ai_flags = ask->flags,
				  .ai_family = ask->family,
				  .ai_socktype = ask->socktype,
				  .ai_protocol = ask->protocol };
	const struct addrinfo *h = ask->has & 4 ? &hints : NULL;
	const char *node = ask->has & 1 ? ask->node : NULL;
	const char *service = ask->has & 2 ? ask->service : NULL;
	struct addrinfo *list = NULL;

	if (job->fn)
		job->result = job->fn(job->fn_arg, node, service, h, &list);
	else
		job->result = getaddrinfo(node, service, h, &list);
	if (job->result == 0)
		answers_fill(job, list);
	if (list)
		freeaddrinfo(list);
}

static void *thread(void *arg)
{
	struct names *n = arg;
	bool here = setns(n->netns, CLONE_NEWNET) == 0;

	(void)here; /* without the right to: it is where it was opened in all likelihood */
	pthread_mutex_lock(&n->lock);
	for (;;) {
		struct name_job *job;

		n->idle++;
		while (!n->todo && !n->ending)
			pthread_cond_wait(&n->changed, &n->lock);
		n->idle--;
		if (n->ending)
			break;
		job = n->todo;
		n->todo = job->next;
		if (!n->todo)
			n->todo_end = &n->todo;
		pthread_mutex_unlock(&n->lock);
		if (job->ask.addr_len)
			look_back(job);
		else
			look_up(job);
		pthread_mutex_lock(&n->lock);
		job->next = n->done;
		n->done = job;
		if (!n->ending)
			loop_wake(n->server->loop);
	}
	n->threads--;
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

/* ---- In the server's ------------------------------------------------------------------------ */

int names_open(struct shim_server *s, struct link_why *why)
{
	struct names *n = calloc(1, sizeof(*n));

	if (!n)
		return link_fail(why, -ENOMEM, "no memory for a resolver");
	n->server = s;
	n->todo_end = &n->todo;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->changed, NULL);
	n->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	s->names = n;
	return 0;
}

static void job_free(struct name_job *job)
{
	free(job->answers);
	free(job);
}

void names_close(struct shim_server *s)
{
	struct names *n = s->names;
	struct timespec until;
	bool late = false;

	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->ending = true;
	pthread_cond_broadcast(&n->changed);
	/* One that is in the middle of a question to a silent server is left to itself. */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	while (n->threads && !late)
		late = pthread_cond_timedwait(&n->changed, &n->lock, &until) != 0;
	s->names = NULL;
	pthread_mutex_unlock(&n->lock);
	if (late)
		return;
	while (n->todo || n->done) {
		struct name_job **list = n->todo ? &n->todo : &n->done, *job = *list;

		*list = job->next;
		job_free(job);
	}
	close(n->netns);
	free(n);
}

/* One more, unless one is free or there are enough. The lock is held. */
static int thread_start(struct names *n)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t id;
	int err;

	if (n->idle || n->threads == THREADS_MAX)
		return 0;
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&id, &attr, thread, n);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (!err)
		n->threads++;
	return n->threads ? 0 : -err;
}

void names_ask(struct call *call)
{
	struct names *n = call->client->server->names;
	struct name_job *job = calloc(1, sizeof(*job));
	int err = -ENOMEM;

	if (job) {
		job->key = call->client->key;
		job->slot = call->slot;
		job->turn = call->turn;
		job->fn = call->client->server->name_fn;
		job->fn_arg = call->client->server->name_arg;
		memcpy(&job->ask, call_slot(call)->data, sizeof(job->ask));
		job->ask.node[sizeof(job->ask.node) - 1] = '\0';
		job->ask.service[sizeof(job->ask.service) - 1] = '\0';
		pthread_mutex_lock(&n->lock);
		err = thread_start(n);
		if (!err) {
			*n->todo_end = job;
			n->todo_end = &job->next;
			pthread_cond_signal(&n->changed);
		}
		pthread_mutex_unlock(&n->lock);
	}
	if (err) {
		free(job);
		call_finish(call, err);
		return;
	}
	call_hold(call);
}

/* NULL: nobody waits for it any more. */
static struct call *job_call(struct shim_server *s, const struct name_job *job)
{
	struct list *pos;

	list_for_each (pos, &s->clients) {
		struct client *c = container_of(pos, struct client, node);
		struct call *call = c->area && c->key == job->key ? c->calls[job->slot] : NULL;

		if (call && call->parked && call->turn == job->turn)
			return call;
	}
	return NULL;
}

void names_answered(struct shim_server *s)
{
	struct names *n = s->names;
	struct name_job *done, *next;

	if (!__atomic_load_n(&n->done, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&n->lock);
	done = n->done;
	n->done = NULL;
	pthread_mutex_unlock(&n->lock);
	for (; done; done = next) {
		struct call *call = job_call(s, done);

		next = done->next;
		if (call) {
			if (done->ask.addr_len)
				memcpy(call_slot(call)->data, &done->ask, sizeof(done->ask));
			else if (done->n)
				memcpy(call_slot(call)->data, done->answers,
				       done->n * sizeof(*done->answers));
			/* Names fail with numbers of their own: beside the errnos. */
			call_finish(call,
				    done->result ? SHIM_EAI - abs(done->result) : (int64_t)done->n);
		}
		job_free(done);
	}
}
