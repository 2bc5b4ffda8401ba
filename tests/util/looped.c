/* SPDX-License-Identifier: MIT */
/* The programs of looped.h. */
#include "tests/util/looped.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HELD 65536

/* One connection of the echo: what was received and is not sent back yet. */
struct echo {
	struct echo *next, **at; /* all of a host */
	size_t n, done;
	uint8_t data[HELD];
};

int looped_open(struct looped *h, struct link *link, struct link_why *why)
{
	struct cpl_config config;
	int err;

	memset(h, 0, sizeof(*h));
	err = config_fill(&config, why);
	if (!err)
		err = cpl_stack_new(&h->stack, &config, loop_clock());
	if (!err)
		err = loop_new(&h->loop, h->stack, why);
	if (err)
		return err;
	h->ifindex = loop_add_link(h->loop, link, CPL_IFACE_NO_DAD, why);
	return h->ifindex < 0 ? h->ifindex : 0;
}

int looped_addr(struct looped *h, const struct cpl_addr *addr, unsigned prefix_len)
{
	return cpl_addr_add(h->stack, h->ifindex, addr, prefix_len, loop_clock());
}

static void *run(void *arg)
{
	struct looped *h = arg;

	return (void *)(intptr_t)loop_run(h->loop);
}

int looped_start(struct looped *h)
{
	return -pthread_create(&h->thread, NULL, run, h);
}

int looped_stop(struct looped *h)
{
	void *result;

	loop_stop(h->loop);
	pthread_join(h->thread, &result);
	return (int)(intptr_t)result;
}

/* ---- Echo ----------------------------------------------------------------------------------- */

/* Send back what is held, then take more, as long as both go. False: all was sent back. */
static bool echo_on(struct looped *h, cpl_handle conn, struct echo *e, uint64_t now)
{
	for (;;) {
		long n;

		if (e->done == e->n) {
			n = cpl_recv(h->stack, conn, e->data, HELD, 0, now);
			if (n == 0)
				return false;
			if (n < 0)
				return n == -EAGAIN;
			e->n = (size_t)n;
			e->done = 0;
		}
		n = cpl_send(h->stack, conn, e->data + e->done, e->n - e->done, 0, now);
		if (n < 0)
			return n == -EAGAIN;
		e->done += (size_t)n;
	}
}

static void echo_free(struct echo *e)
{
	*e->at = e->next;
	if (e->next)
		e->next->at = e->at;
	free(e);
}

static void echo_accept(struct looped *h, uint64_t now)
{
	cpl_handle conn;

	while (cpl_accept(h->stack, h->listener, &conn, now) == 0) {
		struct echo *e = calloc(1, sizeof(*e));

		h->accepted++;
		e->next = h->echoes;
		e->at = &h->echoes;
		if (e->next)
			e->next->at = &e->next;
		h->echoes = e;
		cpl_set_user(h->stack, conn, (uint64_t)(uintptr_t)e);
		if (!echo_on(h, conn, e, now)) {
			echo_free(e);
			cpl_close(h->stack, conn, now);
		}
	}
}

static void echo_event(void *arg, const struct cpl_event *event, uint64_t now)
{
	struct looped *h = arg;
	struct echo *e = (struct echo *)(uintptr_t)event->user;

	if (event->handle == h->listener) {
		echo_accept(h, now);
		return;
	}
	if (!e)
		return;
	if (!(event->what & CPL_EV_CLOSED) && echo_on(h, event->handle, e, now))
		return;
	echo_free(e);
	cpl_set_user(h->stack, event->handle, 0);
	cpl_close(h->stack, event->handle, now);
}

void looped_forget(struct looped *h)
{
	while (h->echoes)
		echo_free(h->echoes);
}

void looped_close(struct looped *h)
{
	loop_free(h->loop);
	cpl_stack_free(h->stack);
	looped_forget(h);
}

int looped_echo(struct looped *h, uint16_t port)
{
	struct cpl_endpoint local = { .port = port };

	loop_on_event(h->loop, echo_event, h);
	return cpl_listen(h->stack, &local, 128, &h->listener, loop_clock());
}

/* ---- A stream ------------------------------------------------------------------------------- */

static void finish(struct looped *h, int error)
{
	if (!h->error)
		h->error = error;
	h->finished = true;
}

static void stream_write(struct looped *h, uint64_t now)
{
	uint8_t data[16384];

	while (h->sent < h->total) {
		uint64_t left = h->total - h->sent;
		size_t n = left < sizeof(data) ? (size_t)left : sizeof(data);
		long taken;

		for (size_t i = 0; i < n; i++)
			data[i] = looped_octet(h->sent + i);
		taken = cpl_send(h->stack, h->conn, data, n, 0, now);
		if (taken == -EAGAIN)
			return;
		if (taken < 0) {
			finish(h, (int)taken);
			return;
		}
		h->sent += (uint64_t)taken;
	}
}

static void stream_read(struct looped *h, uint64_t now)
{
	uint8_t data[16384];
	long n;

	while ((n = cpl_recv(h->stack, h->conn, data, sizeof(data), 0, now)) > 0)
		for (long i = 0; i < n; i++)
			if (data[i] != looped_octet(h->received++))
				h->error = -EILSEQ;
	if (h->received == h->total || h->error)
		finish(h, 0);
}

static void stream_event(void *arg, const struct cpl_event *event, uint64_t now)
{
	struct looped *h = arg;

	if (event->handle != h->conn)
		return;
	if (event->what & CPL_EV_CLOSED) {
		finish(h, event->error ? -event->error : -EPIPE);
		return;
	}
	if (event->what & (CPL_EV_CONNECTED | CPL_EV_WRITABLE))
		stream_write(h, now);
	if (event->what & CPL_EV_READABLE)
		stream_read(h, now);
}

int looped_send(struct looped *h, const struct cpl_endpoint *remote, uint64_t total)
{
	h->total = total;
	h->sent = h->received = 0;
	h->error = 0;
	h->finished = false;
	loop_on_event(h->loop, stream_event, h);
	h->error = cpl_connect(h->stack, NULL, remote, &h->conn, loop_clock());
	while (!h->error && !h->finished) {
		int err = loop_turn(h->loop, CPL_NEVER);

		if (err)
			h->error = err;
	}
	return h->error;
}
