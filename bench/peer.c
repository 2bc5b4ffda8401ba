/* SPDX-License-Identifier: MIT */
/*
 * Couplet as one of several stacks that a harness runs on the same work (bench/peer.h): fed with
 * Ethernet frames, used through the table PEER.
 *
 * Frames that come in are gathered and handed to the stack together when the harness polls, as a
 * device that is read in batches does: their memory is good until then. But where the last
 * polls found one frame each, the next one is handed over at once: so devices moderate interrupts.
 * CSUM=0 in the environment leaves checksums to a device that does not exist, CC names the
 * congestion control.
 */
#include <couplet/couplet.h>

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peer.h"

#define BATCH	  64
#define MODERATE  8
#define SLACK	  CPL_MS /* a timer may be so late: who is busy does not ask each time */
#define MTU	  1500
#define FRAME_MAX (14 + MTU)

struct conn {
	cpl_handle handle; /* 0: closed */
	void *user;
	struct conn *next;
	int error;
	bool reading, closing; /* a close while the harness reads waits for its end */
};

static const struct host_api *host;
static int own_id;
static cpl_stack *stack;
static int ifindex;
static struct conn *dead, *spare; /* by next */
static struct cpl_frame gathered[BATCH];
static unsigned gathered_n, came, alone; /* since the last poll; so many polls found but one */
static bool touched;	  /* the stack was used: look for events, frames and timers */
static uint64_t due, now; /* ns; NOW: when the harness last said anything but send() */

static void look_at_clock(void)
{
	now = host->now_us() * 1000;
}

static void *slab_alloc(void *ctx, size_t n)
{
	(void)ctx;
	return malloc(n);
}

static void slab_release(void *ctx, void *slab, size_t n)
{
	(void)ctx;
	(void)n;
	free(slab);
}

static int peer_init(const struct host_api *api, int id, uint32_t ip_be, const uint8_t mac[6])
{
	struct cpl_iface_config ic = { .size = sizeof(ic),
				       .name = "mem",
				       .kind = CPL_IFACE_ETHER,
				       .mtu = MTU,
				       .flags = CPL_IFACE_NO_DAD };
	const char *csum = getenv("CSUM"), *cc = getenv("CC");
	uint32_t ip = ntohl(ip_be);
	struct cpl_addr addr = cpl_addr4((uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
					 (uint8_t)(ip >> 8), (uint8_t)ip);
	struct cpl_config c;
	int err;

	host = api;
	look_at_clock();
	own_id = id;
	cpl_config_init(&c);
	c.alloc = slab_alloc;
	c.release = slab_release;
	c.memory_max = 16ull << 30;
	c.conns_max = 12000000;
	c.secret[0] = (uint8_t)(id + 1);
	c.port_first = 1024;
	c.port_last = 65535;
	c.timestamps = 0;	      /* as the others: MSS 1460 is what a segment carries */
	c.time_wait_ns = 10 * CPL_MS; /* churn comes round to its ports in no time */
	if (cc)
		snprintf(c.cc_name, sizeof(c.cc_name), "%s", cc);
	if (csum && !atoi(csum)) {
		ic.flags |= CPL_IFACE_CSUM_OUT;
		for (unsigned i = 0; i < BATCH; i++)
			gathered[i].flags = CPL_FRAME_CSUM_OK;
	}
	memcpy(ic.mac, mac, 6);
	err = cpl_stack_new(&stack, &c, now);
	if (err)
		return err;
	ifindex = cpl_iface_add(stack, &ic, now);
	if (ifindex < 0)
		return ifindex;
	return cpl_addr_add(stack, ifindex, &addr, 24, now);
}

/* ---- frames ---- */

static void feed(void)
{
	cpl_input(stack, ifindex, gathered, gathered_n, now);
	gathered_n = 0;
	touched = true;
}

/* False: the device is full, and there may be more for it. */
static bool drain(void)
{
	void *p;
	int n;

	while ((p = host->tx_begin(own_id, FRAME_MAX)) != NULL) {
		n = cpl_output_copy(stack, ifindex, p, FRAME_MAX, NULL, now);
		if (n <= 0)
			return true;
		host->tx_commit(own_id, (uint32_t)n);
	}
	return false;
}

/* ---- connections ---- */

static struct conn *conn_new(cpl_handle handle, void *user)
{
	struct conn *c = spare;

	if (c)
		spare = c->next;
	else if (!(c = malloc(sizeof(*c))))
		abort();
	*c = (struct conn){ .handle = handle, .user = user };
	cpl_set_user(stack, handle, (uint64_t)(uintptr_t)c);
	return c;
}

/* The harness hears of it at the end of a poll, when it no longer uses it. */
static void conn_over(struct conn *c, int error)
{
	if (!c->handle)
		return;
	if (c->reading) {
		c->closing = true;
		return;
	}
	cpl_close(stack, c->handle, now);
	touched = true;
	c->handle = 0;
	c->error = error;
	c->next = dead;
	dead = c;
}

static void accept_all(cpl_handle listener)
{
	cpl_handle handle;

	while (!cpl_accept(stack, listener, &handle, now)) {
		struct conn *c = conn_new(handle, NULL);

		c->user = host->on_accept(own_id, c);
	}
}

static void read_all(struct conn *c)
{
	struct cpl_iov iov[64];
	int n;

	while (!c->closing && (n = cpl_recv_borrow(stack, c->handle, iov, 64, now)) > 0) {
		size_t bytes = 0;

		c->reading = true;
		for (int i = 0; i < n; i++) {
			host->on_recv(own_id, c, c->user, iov[i].base, (uint32_t)iov[i].len, 0);
			bytes += iov[i].len;
		}
		c->reading = false;
		cpl_recv_return(stack, c->handle, bytes, now);
		if (n < 64) /* that was all */
			break;
	}
	if (c->closing)
		conn_over(c, 0);
}

static void on_event(const struct cpl_event *ev)
{
	struct conn *c = (struct conn *)(uintptr_t)ev->user;

	if (ev->what & CPL_EV_ACCEPT)
		accept_all(ev->handle);
	if (!c)
		return;
	if (ev->what & CPL_EV_CONNECTED)
		host->on_connected(own_id, c, c->user);
	if (ev->what & CPL_EV_READABLE && c->handle)
		read_all(c);
	if (ev->what & CPL_EV_WRITABLE && c->handle)
		host->on_sent(own_id, c, c->user);
	if (ev->what & CPL_EV_PEER_FIN && c->handle)
		host->on_eof(own_id, c, c->user);
	if (ev->what & CPL_EV_CLOSED)
		conn_over(c, ev->error);
}

/* What happened is told, and what that leads to goes. */
static void serve(void)
{
	struct cpl_event ev;

	while (cpl_next_event(stack, &ev))
		on_event(&ev);
	touched = !drain(); /* a device that is full is asked again */
	if (due > now + SLACK)
		due = now + SLACK;
}

static void peer_input(const void *frame, uint32_t len)
{
	struct cpl_frame *f = &gathered[gathered_n++];

	f->data = frame;
	f->len = len;
	if (++came == 1 && alone >= MODERATE) {
		look_at_clock();
		feed();
		serve();
	} else if (gathered_n == BATCH) {
		look_at_clock();
		feed();
	}
}

static void bury(void)
{
	while (dead) {
		struct conn *c = dead;

		dead = c->next;
		host->on_dead(own_id, c, c->user, c->error);
		c->next = spare;
		spare = c;
	}
}

static void peer_poll(void)
{
	look_at_clock();
	if (gathered_n)
		feed();
	if (came)
		alone = came == 1 ? alone + 1 : 0;
	came = 0;
	if (due <= now) {
		cpl_advance(stack, now);
		due = cpl_deadline(stack);
		touched = true;
	}
	if (touched)
		serve();
	bury();
}

static int peer_listen(uint16_t port)
{
	struct cpl_endpoint local = { .port = port };
	cpl_handle listener;

	look_at_clock();
	return cpl_listen(stack, &local, 65536, &listener, now);
}

static void *peer_connect(uint32_t ip_be, uint16_t port, void *user)
{
	uint32_t ip = ntohl(ip_be);
	struct cpl_endpoint to = { .addr = cpl_addr4((uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
						     (uint8_t)(ip >> 8), (uint8_t)ip),
				   .port = port };
	cpl_handle handle;

	touched = true;
	look_at_clock();
	return cpl_connect(stack, NULL, &to, &handle, now) ? NULL : conn_new(handle, user);
}

static uint32_t peer_send(void *conn, const void *buf, uint32_t len)
{
	struct conn *c = conn;
	long n = c->handle ? cpl_send(stack, c->handle, buf, len, 0, now) : 0;

	touched = true;

	return n > 0 ? (uint32_t)n : 0;
}

static void peer_flush(void *conn)
{
	(void)conn; /* what may go goes when the harness polls */
}

static void peer_close(void *conn)
{
	look_at_clock();
	conn_over(conn, 0);
}

static void peer_info(char *buf, size_t n)
{
	struct cpl_counters c;

	cpl_counters_get(stack, &c);
	snprintf(buf, n, "segments in %llu out %llu again %llu", (unsigned long long)c.segs_in,
		 (unsigned long long)c.segs_out, (unsigned long long)c.segs_retrans);
}

__attribute__((visibility("default"))) const struct peer_plugin peer = {
	.name = "couplet",
	.init = peer_init,
	.input = peer_input,
	.poll = peer_poll,
	.listen = peer_listen,
	.connect = peer_connect,
	.send = peer_send,
	.flush = peer_flush,
	.close = peer_close,
	.info = peer_info,
};
