/* SPDX-License-Identifier: MIT */
/*
 * Two hosts of several cores each, on the queues of two devices that know nothing of RSS: what lies
 * between them deals frames out by a rule of its own. Every connection works, and stays on one
 * core.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/cores.h"
#include "tests/util/looped.h"

#define CORES  3
#define CONNS  40 /* that each core of the client opens */
#define OCTETS 5000

static struct link_why why;

static void ok(int err)
{
	if (err < 0)
		fail_msg("%s: %s", strerror(-err), why.text);
}

struct rig {
	struct link *far[2][CORES]; /* the devices' other ends, the client's and the server's */
	struct cores *host[2];
	struct looped server[CORES];
	pthread_t network, serving;
	atomic_bool over;
	atomic_uint done, broken;
};

/* ---- The network ---------------------------------------------------------------------------- */

/* From one side to the other, by a queue that has nothing to do with where it came from. */
static bool carry(struct rig *r, unsigned side, unsigned queue)
{
	struct cpl_frame frames[16];
	int n = link_read(r->far[side][queue], frames, 16);

	for (int i = 0; i < n; i++) {
		const uint8_t *p = frames[i].data;
		struct cpl_out out = { .iov = { { p, frames[i].len } },
				       .iov_n = 1,
				       .len = frames[i].len };
		unsigned to = (p[21] + p[23]) % CORES; /* the ports: of a flow always the same */

		while (!link_write(r->far[!side][to], &out) && !atomic_load(&r->over))
			sched_yield();
	}
	return n > 0;
}

static void *network(void *arg)
{
	struct rig *r = arg;

	while (!atomic_load(&r->over)) {
		struct pollfd p[2 * CORES];
		bool any = false;

		for (unsigned i = 0; i < 2 * CORES; i++) {
			p[i] = (struct pollfd){ r->far[i / CORES][i % CORES]->fd, POLLIN, 0 };
			any |= carry(r, i / CORES, i % CORES);
		}
		if (!any)
			poll(p, 2 * CORES, 10);
	}
	return NULL;
}

/* ---- The client ----------------------------------------------------------------------------- */

struct dialog {
	unsigned sent, received;
};

struct client {
	struct rig *r;
	struct core *core;
	struct dialog dialogs[CONNS];
	unsigned done;
};

static void talk(struct client *c, struct dialog *d, cpl_handle h, uint64_t now)
{
	uint8_t data[OCTETS];
	long n;

	for (unsigned i = 0; i < OCTETS; i++)
		data[i] = looped_octet(i);
	if (d->sent < OCTETS) {
		n = cpl_send(c->core->stack, h, data + d->sent, OCTETS - d->sent, 0, now);
		d->sent += n > 0 ? (unsigned)n : 0;
	}
	while ((n = cpl_recv(c->core->stack, h, data, sizeof(data), 0, now)) > 0)
		for (long i = 0; i < n; i++)
			if (data[i] != looped_octet(d->received++))
				atomic_fetch_add(&c->r->broken, 1);
	if (d->received < OCTETS)
		return;
	cpl_set_user(c->core->stack, h, 0);
	cpl_close(c->core->stack, h, now);
	c->done++;
	atomic_fetch_add(&c->r->done, 1);
}

static void client_event(void *arg, const struct cpl_event *ev, uint64_t now)
{
	struct client *c = arg;
	struct dialog *d = (struct dialog *)(uintptr_t)ev->user;

	if (!d)
		return;
	if (ev->what & CPL_EV_CLOSED)
		atomic_fetch_add(&c->r->broken, 1);
	else
		talk(c, d, ev->handle, now);
	if (atomic_load(&c->r->done) == CORES * CONNS || atomic_load(&c->r->broken))
		loop_stop(cores_get(c->r->host[0], 0)->loop);
}

static void client_open(struct client *c, struct rig *r, struct core *core)
{
	struct cpl_endpoint to = { .addr = cpl_addr4(10, 0, 0, 2), .port = 7 };
	uint64_t now = loop_clock();

	c->r = r;
	c->core = core;
	for (unsigned i = 0; i < CONNS; i++) {
		cpl_handle h;

		ok(cpl_connect(core->stack, NULL, &to, &h, now));
		cpl_set_user(core->stack, h, (uint64_t)(uintptr_t)&c->dialogs[i]);
	}
	loop_on_event(core->loop, client_event, c);
}

/* ---- Both ----------------------------------------------------------------------------------- */

static void open_host(struct rig *r, unsigned side, unsigned n)
{
	struct link_pipe_config wire = { .kind = CPL_IFACE_IP, .wake = true };
	struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(side + 1));
	struct link *ends[2], *queues[CORES];
	struct cpl_config config;

	ok(config_fill(&config, &why));
	for (unsigned i = 0; i < n; i++) {
		ok(link_pipe_open(ends, &wire, &why));
		queues[i] = ends[0];
		r->far[side][i] = ends[1];
	}
	ok(cores_new(&r->host[side], &config, queues, n, 0, &why));
	assert_int_equal(cores_n(r->host[side]), n);
	assert_null(cores_get(r->host[side], n));
	ok(cores_addr_add(r->host[side], &addr, 24, loop_clock()));
}

static void *serve(void *arg)
{
	return (void *)(intptr_t)cores_run(arg);
}

static uint64_t sum(struct cores *host, size_t offset)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < cores_n(host); i++) {
		struct cpl_counters counters;

		cpl_counters_get(cores_get(host, i)->stack, &counters);
		n += *(uint64_t *)(void *)((char *)&counters + offset);
	}
	return n;
}

static void test_connections(void **state)
{
	static struct client clients[CORES];
	static struct rig r;
	unsigned accepted = 0;
	void *result;

	(void)state;
	for (unsigned side = 0; side < 2; side++)
		open_host(&r, side, CORES);
	for (unsigned i = 0; i < CORES; i++) {
		r.server[i].stack = cores_get(r.host[1], i)->stack;
		r.server[i].loop = cores_get(r.host[1], i)->loop;
		ok(looped_echo(&r.server[i], 7));
		client_open(&clients[i], &r, cores_get(r.host[0], i));
	}
	assert_int_equal(pthread_create(&r.network, NULL, network, &r), 0);
	ok(cores_start(r.host[1], NULL, NULL, &why));
	ok(cores_start(r.host[0], NULL, NULL, &why));
	assert_int_equal(pthread_create(&r.serving, NULL, serve, r.host[1]), 0);
	ok(cores_run(r.host[0]));
	loop_stop(cores_get(r.host[1], 0)->loop);
	pthread_join(r.serving, &result);
	assert_null(result);
	atomic_store(&r.over, true);
	pthread_join(r.network, NULL);

	assert_int_equal(r.broken, 0);
	for (unsigned i = 0; i < CORES; i++) {
		assert_int_equal(clients[i].done, CONNS);
		assert_true(r.server[i].accepted > CONNS / 4);
		accepted += r.server[i].accepted;
	}
	assert_int_equal(accepted, CORES * CONNS);
	for (unsigned side = 0; side < 2; side++) {
		assert_int_equal(sum(r.host[side], offsetof(struct cpl_counters, drop_tcp_no_conn)),
				 0);
		assert_int_equal(sum(r.host[side], offsetof(struct cpl_counters, drop_syn_queue)),
				 0);
	}
	for (unsigned i = 0; i < CORES; i++)
		looped_forget(&r.server[i]);
	for (unsigned side = 0; side < 2; side++) {
		cores_free(r.host[side]);
		for (unsigned i = 0; i < CORES; i++)
			link_close(r.far[side][i]);
	}
}

/* One core's trouble is everybody's end. */
static int fail_on_two(void *arg, struct core *core)
{
	(void)arg;
	return core->number == 2 ? -EIO : loop_run(core->loop);
}

static void test_error_stops_all(void **state)
{
	static struct rig r;

	(void)state;
	open_host(&r, 0, CORES);
	ok(cores_start(r.host[0], fail_on_two, NULL, &why));
	assert_int_equal(cores_run(r.host[0]), -EIO);
	cores_free(r.host[0]);
	for (unsigned i = 0; i < CORES; i++)
		link_close(r.far[0][i]);
}

/* Started and never run: the threads end with it. */
static void test_freed_while_running(void **state)
{
	static struct rig r;

	(void)state;
	open_host(&r, 0, 2);
	ok(cores_start(r.host[0], NULL, NULL, &why));
	cores_free(r.host[0]);
	for (unsigned i = 0; i < 2; i++)
		link_close(r.far[0][i]);
}

static void test_control_sockets(void **state)
{
	char dir[] = "/tmp/couplet-test-XXXXXX", path[64];

	(void)state;
	assert_non_null(mkdtemp(dir));
	setenv("XDG_RUNTIME_DIR", dir, 1);
	for (unsigned n = 1; n <= 2; n++) {
		static struct rig r;

		open_host(&r, 0, n);
		ok(cores_offer(r.host[0], "two", &why));
		assert_non_null(strstr(control_path(cores_get(r.host[0], n - 1)->control),
				       n == 1 ? ".two.sock" : ".two-1.sock"));
		cores_free(r.host[0]);
		for (unsigned i = 0; i < n; i++)
			link_close(r.far[0][i]);
	}
	unsetenv("XDG_RUNTIME_DIR");
	snprintf(path, sizeof(path), "%s/couplet", dir);
	assert_int_equal(rmdir(path), 0); /* nothing is left in it */
	assert_int_equal(rmdir(dir), 0);
}

static void test_bad_config(void **state)
{
	struct link_pipe_config wire = { .kind = CPL_IFACE_IP, .wake = true };
	struct link *a[2], *b[2], *queues[2];
	struct cpl_config config;
	struct cores *cores;

	(void)state;
	ok(config_fill(&config, &why));
	config.ttl = 0;
	ok(link_pipe_open(a, &wire, &why));
	ok(link_pipe_open(b, &wire, &why));
	queues[0] = a[0];
	queues[1] = b[0];
	assert_int_equal(cores_new(&cores, &config, queues, 2, 0, &why), -EINVAL);
	link_close(a[1]);
	link_close(b[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connections),	    cmocka_unit_test(test_error_stops_all),
		cmocka_unit_test(test_freed_while_running), cmocka_unit_test(test_control_sockets),
		cmocka_unit_test(test_bad_config),
	};

	return cmocka_run_group_tests_name("cores", tests, NULL, NULL);
}
