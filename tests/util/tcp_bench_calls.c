/* SPDX-License-Identifier: MIT */
/* See tcp_bench.h: calls, snapshots, counters and events. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <string.h>

#include "tests/util/tcp_bench.h"

#define HERE __FILE__, __LINE__

/* ---- snapshots, counters, events ---- */

const struct cpl_info *bench_info(struct bench *b, cpl_handle handle)
{
	static struct cpl_info info;

	if (cpl_info_get(b->stack, handle, &info, b->now))
		bench_fail(HERE, b, "handle %#" PRIx64 " is not valid", handle);
	return &info;
}

const struct cpl_info *bench_flow_info(struct bench *b)
{
	const struct bench_flow *flow = &b->flow;
	static struct cpl_info info;
	uint64_t cursor = 0;

	while (cpl_info_walk(b->stack, &cursor, &info, 1, b->now) == 1)
		if (info.protocol == IP_TCP && info.local_port == flow->us.port &&
		    info.remote_port == flow->peer.port &&
		    cpl_addr_equal(&info.remote_addr, &flow->peer.addr))
			return &info;
	return NULL;
}

int bench_state(struct bench *b)
{
	const struct cpl_info *info = bench_flow_info(b);

	return info ? info->state : CPL_CLOSED;
}

void bench_expect_state(const char *file, int line, struct bench *b, int state)
{
	static const char *const names[] = { "CLOSED",	     "LISTEN",	    "SYN-SENT",
					     "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
					     "FIN-WAIT-2",   "CLOSE-WAIT",  "CLOSING",
					     "LAST-ACK",     "TIME-WAIT" };
	int got = bench_state(b);

	if (got != state)
		bench_fail(file, line, b, "expected %s\nbut it is %s", names[state], names[got]);
}

uint64_t bench_counter(struct bench *b, const char *name)
{
	struct cpl_counters c;

	cpl_counters_get(b->stack, &c);
#define CPL_COUNTER(n, text)                                                                       \
	if (!strcmp(name, #n))                                                                     \
		return c.n;
#include <couplet/counters.def>
	bench_fail(HERE, b, "no counter %s", name);
}

uint64_t bench_drops(struct bench *b)
{
	struct cpl_counters c;
	uint64_t sum = 0;

	cpl_counters_get(b->stack, &c);
#define CPL_COUNTER(n, text)                                                                       \
	if (!strncmp(#n, "drop_", 5))                                                              \
		sum += c.n;
#include <couplet/counters.def>
	return sum;
}

static void gather_events(struct bench *b)
{
	struct cpl_event e;

	while (cpl_next_event(b->stack, &e)) {
		assert_true(b->events_n < BENCH_EVENTS);
		b->events[b->events_n].handle = e.handle;
		b->events[b->events_n].parent = e.parent;
		b->events[b->events_n].what = e.what;
		b->events[b->events_n].user = e.user;
		b->events[b->events_n++].error = e.error;
	}
}

uint32_t bench_events(struct bench *b, cpl_handle handle, int *error)
{
	uint32_t what = 0;
	unsigned kept = 0;

	gather_events(b);
	if (error)
		*error = 0;
	for (unsigned i = 0; i < b->events_n; i++) {
		if (b->events[i].handle != handle) {
			b->events[kept++] = b->events[i];
			continue;
		}
		what |= b->events[i].what;
		if (error && b->events[i].error)
			*error = b->events[i].error;
	}
	b->events_n = kept;
	return what;
}

void bench_expect_event(const char *file, int line, struct bench *b, cpl_handle handle,
			uint32_t what, int error)
{
	int got_error;
	uint32_t got = bench_events(b, handle, &got_error);

	if (got != what || got_error != error)
		bench_fail(file, line, b, "expected event %u (error %d)\nbut it is %u (error %d)",
			   what, error, got, got_error);
}

cpl_handle bench_syn(struct bench *b)
{
	gather_events(b);
	for (unsigned i = 0; i < b->events_n; i++) {
		cpl_handle h = b->events[i].handle;

		if (!(b->events[i].what & CPL_EV_SYN))
			continue;
		memmove(&b->events[i], &b->events[i + 1],
			(--b->events_n - i) * sizeof(b->events[0]));
		return h;
	}
	return 0;
}

/* ---- calls ---- */

cpl_handle bench_listen(struct bench *b, uint16_t port)
{
	struct cpl_endpoint at = { .port = port };
	cpl_handle h = 0;

	assert_int_equal(cpl_listen(b->stack, &at, 8, &h, b->now), 0);
	bench_flow(b, port, 40000);
	return h;
}

cpl_handle bench_open(struct bench *b, uint16_t local_port, uint16_t port)
{
	struct cpl_endpoint at = { .port = local_port };
	cpl_handle h = 0;

	bench_flow(b, local_port, port);
	assert_int_equal(cpl_connect(b->stack, &at, &b->flow.peer, &h, b->now), 0);
	b->flow.us.port = bench_info(b, h)->local_port;
	return h;
}

cpl_handle bench_accepted(struct bench *b, cpl_handle listener)
{
	cpl_handle h = 0;

	assert_int_equal(cpl_accept(b->stack, listener, &h, b->now), 0);
	return h;
}

void bench_write_flags(struct bench *b, cpl_handle h, uint32_t n, unsigned flags)
{
	const struct cpl_info *info = bench_info(b, h);
	uint32_t from = info->write_seq - info->iss - 1;
	uint8_t *data = malloc(n ? n : 1);

	for (uint32_t i = 0; i < n; i++)
		data[i] = bench_octet(from + i);
	assert_int_equal(cpl_send(b->stack, h, data, n, flags, b->now), n);
	free(data);
}

void bench_write(struct bench *b, cpl_handle h, uint32_t n)
{
	bench_write_flags(b, h, n, 0);
}

static void read_up_to(struct bench *b, cpl_handle h, uint32_t from, uint32_t n, uint32_t room)
{
	uint8_t *data = malloc(room ? room : 1);

	assert_int_equal(cpl_recv(b->stack, h, data, room, 0, b->now), n);
	for (uint32_t i = 0; i < n; i++)
		if (data[i] != bench_octet(from + i))
			bench_fail(HERE, b, "octet %" PRIu32 " that was read is wrong",
				   from + i + 1);
	free(data);
}

static uint32_t next_octet(struct bench *b, cpl_handle h)
{
	const struct cpl_info *info = bench_info(b, h);

	return info->read_seq - info->irs - 1;
}

void bench_read(struct bench *b, cpl_handle h, uint32_t n)
{
	read_up_to(b, h, next_octet(b, h), n, n + 1);
}

void bench_read_at(struct bench *b, cpl_handle h, uint32_t from, uint32_t n)
{
	read_up_to(b, h, from, n, n + 1);
}

void bench_read_some(struct bench *b, cpl_handle h, uint32_t n)
{
	read_up_to(b, h, next_octet(b, h), n, n);
}

cpl_handle bench_active(struct bench *b, const char *options)
{
	cpl_handle h = bench_open(b, 0, 80);

	expect(b, "S 0 <*>");
	send(b, "S. 0 ack 1 <%s>", options);
	expect(b, ". 1 ack 1 <*>");
	expect_nothing(b);
	expect_event(b, h, CPL_EV_CONNECTED | CPL_EV_WRITABLE, 0);
	return h;
}

cpl_handle bench_passive(struct bench *b, const char *options)
{
	cpl_handle listener = bench_listen(b, 80), h;

	send(b, "S 0 <%s>", options);
	expect(b, "S. 0 ack 1 <*>");
	send(b, ". 1 ack 1");
	expect_nothing(b);
	expect_event(b, listener, CPL_EV_ACCEPT, 0);
	h = bench_accepted(b, listener);
	bench_events(b, h, NULL);
	return h;
}
