/* SPDX-License-Identifier: MIT */
/*
 * Super-segments cut on their way to a device that can't (stack/cut.c), and segments put together
 * from the frames of a batch (stack/gro.c): whatever the frames' fate and the batches' sizes, the
 * stream arrives as it was, each packet is right by itself, and each segment is counted as one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <couplet/couplet.h>

#include "tests/util/bytes.h"
#include "wire/bytes.h"
#include "wire/checksum.h"

#define QUEUE 256
#define PORT  80
#define HEAD  14

struct net {
	cpl_stack *stack[2];
	int ifindex[2];
	cpl_handle listener, handle[2];
	bool ether, ipv6;
	unsigned lend; /* per cent of frames */
	bool pad;      /* frames may be longer than what they hold */
	uint32_t iface_flags;
	/* What is on its way to each. */
	uint8_t *frame[2][QUEUE];
	uint32_t len[2][QUEUE];
	unsigned queued[2];
	uint64_t now, seed;
	uint32_t packets[2]; /* with payload, that left for each */
	uint32_t most;	     /* payload of the largest */
	unsigned trouble;    /* per cent of packets that something happens to */
	unsigned batch;	     /* 0: any size */
};

static unsigned alloc_fails; /* per cent of times */
static unsigned alloc_failed;

static void *slab_alloc(void *ctx, size_t n)
{
	static uint64_t seed = 1;

	(void)ctx;
	if (rnd(&seed, 100) < alloc_fails) {
		alloc_failed++;
		return NULL;
	}
	return malloc(n);
}

static void slab_release(void *ctx, void *p, size_t n)
{
	(void)ctx;
	(void)n;
	free(p);
}

static struct cpl_addr addr_of(const struct net *n, unsigned i)
{
	if (n->ipv6)
		return (struct cpl_addr){ { 0xfd, [15] = (uint8_t)(i + 1) } };
	return cpl_addr4(10, 0, 0, (uint8_t)(i + 1));
}

static void net_open(struct net *n, bool timestamps)
{
	n->now = CPL_SECOND;
	for (unsigned i = 0; i < 2; i++) {
		struct cpl_iface_config ic = { .size = sizeof(ic),
					       .name = "t",
					       .mtu = 1500,
					       .mac = { 2, 0, 0, 0, 0, (uint8_t)(i + 1) },
					       .flags = n->iface_flags | CPL_IFACE_NO_DAD };
		struct cpl_addr a = addr_of(n, i);
		struct cpl_config c;

		ic.kind = n->ether ? CPL_IFACE_ETHER : CPL_IFACE_IP;
		cpl_config_init(&c);
		c.alloc = slab_alloc;
		c.release = slab_release;
		c.secret[0] = (uint8_t)(i + 1);
		c.timestamps = timestamps;
		assert_int_equal(cpl_stack_new(&n->stack[i], &c, n->now), 0);
		n->ifindex[i] = cpl_iface_add(n->stack[i], &ic, n->now);
		assert_true(n->ifindex[i] > 0);
		assert_int_equal(cpl_addr_add(n->stack[i], n->ifindex[i], &a, n->ipv6 ? 64 : 24,
					      n->now),
				 0);
	}
}

/* Frames that were lent are given back when the stack says so. */
static void take_back(struct net *n, unsigned i)
{
	uint64_t token;

	while (cpl_next_release(n->stack[i], &token))
		free((void *)(uintptr_t)token);
}

static void net_close(struct net *n)
{
	for (unsigned i = 0; i < 2; i++) {
		cpl_abort(n->stack[i], n->handle[i], n->now);
		take_back(n, i);
		cpl_stack_free(n->stack[i]);
		while (n->queued[i])
			free(n->frame[i][--n->queued[i]]);
	}
}

/* The packet says of itself what is true, and its checksums are right. */
static void check_packet(struct net *n, unsigned to, const uint8_t *p, uint32_t len)
{
	struct cpl_addr src = addr_of(n, !to), dst = addr_of(n, to);
	uint32_t ip = n->ether ? HEAD : 0, iphl = n->ipv6 ? 40 : 20, payload;
	const uint8_t *tcp = p + ip + iphl;

	if (n->ether && p[12] == 8 && p[13] == 6)
		return;
	if (p[ip + (n->ipv6 ? 6 : 9)] != 6)
		return; /* Neighbour Discovery */
	if (n->ipv6) {
		assert_int_equal(get16(p + ip + 4), len - ip - 40);
	} else {
		assert_int_equal(get16(p + ip + 2), len - ip);
		assert_int_equal(sum_finish(sum_add(0, p + ip, 20)), 0);
	}
	payload = len - ip - iphl - 4 * (tcp[12] >> 4u);
	assert_true(len - ip <= 1500);
	n->most = payload > n->most ? payload : n->most;
	n->packets[to] += payload > 0;
	if (!(n->iface_flags & CPL_IFACE_CSUM_OUT))
		assert_int_equal(sum_finish(sum_add(sum_pseudo(&src, &dst, 6, len - ip - iphl), tcp,
						    len - ip - iphl)),
				 0);
}

static void net_queue(struct net *n, unsigned to, const uint8_t *p, uint32_t len)
{
	if (n->queued[to] == QUEUE)
		return;
	n->len[to][n->queued[to]] = len + (n->pad ? rnd(&n->seed, 2) * rnd(&n->seed, 60) : 0);
	n->frame[to][n->queued[to]] = calloc(1, n->len[to][n->queued[to]]);
	memcpy(n->frame[to][n->queued[to]++], p, len);
}

/* Loss, damage, and what comes twice or late. */
static void net_send(struct net *n, unsigned to, uint8_t *p, uint32_t len)
{
	unsigned last;

	if (rnd(&n->seed, 100) >= n->trouble) {
		net_queue(n, to, p, len);
		return;
	}
	switch (rnd(&n->seed, 4)) {
	case 0:
		return;
	case 1:
		/* One bit: no sum of 16 bits takes that for right. */
		p[n->ether ? HEAD + rnd(&n->seed, len - HEAD) : rnd(&n->seed, len)] ^=
			(uint8_t)(1u << rnd(&n->seed, 8));
		break;
	case 2:
		net_queue(n, to, p, len);
		break;
	default:
		net_queue(n, to, p, len);
		last = n->queued[to] - 1;
		if (last) {
			unsigned other = rnd(&n->seed, last);
			uint8_t *frame = n->frame[to][other];
			uint32_t was = n->len[to][other];

			n->frame[to][other] = n->frame[to][last];
			n->len[to][other] = n->len[to][last];
			n->frame[to][last] = frame;
			n->len[to][last] = was;
		}
		return;
	}
	net_queue(n, to, p, len);
}

static void net_output(struct net *n, unsigned from)
{
	uint32_t max = 1 + rnd(&n->seed, 40);
	struct cpl_out out[40];
	uint8_t buf[2048];
	int got;

	while ((got = cpl_output(n->stack[from], n->ifindex[from], out, max, n->now)) > 0) {
		for (int i = 0; i < got; i++) {
			bool taken = rnd(&n->seed, 200) >= n->trouble;
			uint32_t len = 0;

			assert_int_equal(out[i].gso_size, 0);
			for (unsigned j = 0; j < out[i].iov_n; j++) {
				memcpy(buf + len, out[i].iov[j].base, out[i].iov[j].len);
				len += (uint32_t)out[i].iov[j].len;
			}
			assert_int_equal(len, out[i].len);
			if (taken) {
				check_packet(n, !from, buf, len);
				net_send(n, !from, buf, len);
			}
			cpl_output_done(n->stack[from], out[i].token, taken, n->now);
		}
	}
}

static void net_input(struct net *n, unsigned to)
{
	struct cpl_frame in[QUEUE];
	bool lent[QUEUE];
	unsigned done = 0, k;

	while (done < n->queued[to]) {
		unsigned size = n->batch ? n->batch : 1 + rnd(&n->seed, 60);

		for (k = 0; k < size && done + k < n->queued[to]; k++) {
			uint8_t *frame = n->frame[to][done + k];

			in[k] = (struct cpl_frame){ .data = frame, .len = n->len[to][done + k] };
			if (n->iface_flags & CPL_IFACE_CSUM_OUT)
				in[k].flags = CPL_FRAME_CSUM_OK;
			lent[k] = rnd(&n->seed, 100) < n->lend;
			if (lent[k]) {
				in[k].flags |= CPL_FRAME_LEND;
				in[k].token = (uintptr_t)frame;
			}
		}
		assert_int_equal(cpl_input(n->stack[to], n->ifindex[to], in, k, n->now), k);
		take_back(n, to);
		for (unsigned i = 0; i < k; i++)
			if (!lent[i])
				free(n->frame[to][done + i]);
		done += k;
	}
	n->queued[to] = 0;
}

static void net_turn(struct net *n)
{
	struct cpl_event ev;

	for (unsigned i = 0; i < 2; i++) {
		net_output(n, i);
		net_input(n, !i);
		if (cpl_deadline(n->stack[i]) <= n->now)
			cpl_advance(n->stack[i], n->now);
		while (cpl_next_event(n->stack[i], &ev))
			if (ev.what & CPL_EV_ACCEPT)
				cpl_accept(n->stack[1], n->listener, &n->handle[1], n->now);
	}
	n->now += 300000 + (n->trouble ? rnd(&n->seed, 20) * CPL_MS : 0);
}

static void net_connect(struct net *n)
{
	struct cpl_endpoint local = { .port = PORT }, to = { .addr = addr_of(n, 1), .port = PORT };
	struct cpl_info info = { 0 };

	assert_int_equal(cpl_listen(n->stack[1], &local, 8, &n->listener, n->now), 0);
	assert_int_equal(cpl_connect(n->stack[0], NULL, &to, &n->handle[0], n->now), 0);
	for (unsigned i = 0; i < 100000 && info.state != CPL_ESTABLISHED; i++) {
		net_turn(n);
		if (n->handle[1])
			cpl_info_get(n->stack[1], n->handle[1], &info, n->now);
	}
	assert_int_equal(info.state, CPL_ESTABLISHED);
}

static uint8_t octet(uint64_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

/* BYTES from 0 to 1, in writes of any size up to MOST. */
static void net_stream(struct net *n, uint64_t bytes, uint32_t most)
{
	static uint8_t buf[70000];
	uint64_t sent = 0, got = 0;

	for (unsigned turns = 0; got < bytes; turns++) {
		long r;

		assert_true(turns < 1000000);
		for (unsigned writes = 0; sent < bytes && writes < 4; writes++) {
			uint32_t len = 1 + rnd(&n->seed, most);

			len = len < bytes - sent ? len : (uint32_t)(bytes - sent);
			for (uint32_t i = 0; i < len; i++)
				buf[i] = octet(sent + i);
			r = cpl_send(n->stack[0], n->handle[0], buf, len, 0, n->now);
			if (r <= 0)
				break;
			sent += (uint64_t)r;
		}
		net_turn(n);
		while ((r = cpl_recv(n->stack[1], n->handle[1], buf, sizeof(buf), 0, n->now)) > 0)
			for (long i = 0; i < r; i++)
				assert_int_equal(buf[i], octet(got++));
		assert_true(r == -EAGAIN);
	}
}

static struct cpl_counters counters_of(const struct net *n, unsigned i)
{
	struct cpl_counters c;

	cpl_counters_get(n->stack[i], &c);
	return c;
}

/* ---- cases ---- */

static void test_stream_through_any_trouble(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 48; round++) {
		struct net n = { .seed = round + 1, .trouble = 3 };

		n.ether = round & 1;
		n.ipv6 = round & 2;
		n.lend = round & 4 ? round & 16 ? 100 : 30 : 0;
		n.pad = round & 32;
		net_open(&n, round & 8);
		net_connect(&n);
		net_stream(&n, 400000, round % 3 ? 60000 : 3000);
		net_close(&n);
	}
}

static void test_what_is_cut_is_as_if_sent_one_by_one(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		struct net n = { .seed = 7, .batch = 1 };
		struct cpl_counters a, b;
		struct cpl_info info;

		n.ether = round & 1;
		n.ipv6 = round & 2;
		n.iface_flags = round & 4 ? CPL_IFACE_CSUM_OUT : 0;
		net_open(&n, true);
		net_connect(&n);
		net_stream(&n, 1000000, 60000);
		a = counters_of(&n, 0);
		b = counters_of(&n, 1);
		assert_int_equal(a.segs_out, b.segs_in);
		assert_int_equal(a.frames_out, b.frames_in);
		assert_int_equal(a.segs_retrans, 0);
		assert_int_equal(n.most, n.ipv6 ? 1428 : 1448);
		cpl_info_get(n.stack[0], n.handle[0], &info, n.now);
		assert_int_equal(info.data_segs_out, n.packets[1]);
		net_close(&n);
	}
}

static void test_a_run_is_answered_once_and_counted_in_segments(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		struct net n = { .seed = 9, .batch = 32 };
		struct cpl_counters a, b;
		struct cpl_info info;

		n.ether = round & 1;
		n.ipv6 = round & 2;
		n.lend = round & 4 ? 100 : 0;
		net_open(&n, true);
		net_connect(&n);
		net_stream(&n, 3000000, 60000);
		a = counters_of(&n, 0);
		b = counters_of(&n, 1);
		assert_int_equal(a.segs_out, b.segs_in);
		assert_int_equal(a.frames_out, b.frames_in);
		assert_int_equal(a.bytes_out, b.bytes_in);
		cpl_info_get(n.stack[1], n.handle[1], &info, n.now);
		assert_int_equal(info.data_segs_in, n.packets[1]);
		assert_true(b.segs_out < b.segs_in / 8); /* not one for two */
		net_close(&n);
	}
}

/* The shortest that may join, less than the headers that are compared at once, padded or not. */
static void test_short_segments(void **state)
{
	uint8_t text[64], got[64];

	(void)state;
	for (unsigned round = 0; round < 12; round++) {
		struct net n = { .seed = round, .batch = 64, .pad = round & 1 };
		uint64_t sent = 0, read = 0;
		uint32_t size = 8 + round * 2;
		long r;

		n.ether = round & 4;
		n.ipv6 = round & 2;
		net_open(&n, false);
		net_connect(&n);
		cpl_set_option(n.stack[0], n.handle[0], CPL_OPT_NODELAY, 1, n.now);
		for (unsigned turn = 0; turn < 60; turn++) {
			for (unsigned writes = 0; writes < 12; writes++) {
				for (unsigned i = 0; i < size; i++)
					text[i] = octet(sent++);
				assert_int_equal(cpl_send(n.stack[0], n.handle[0], text, size, 0,
							  n.now),
						 size);
				net_output(&n, 0);
			}
			net_turn(&n);
			while ((r = cpl_recv(n.stack[1], n.handle[1], got, sizeof(got), 0, n.now)) >
			       0)
				for (long i = 0; i < r; i++)
					assert_int_equal(got[i], octet(read++));
		}
		assert_int_equal(read, sent);
		assert_true(n.packets[1] > 60 * 4);
		assert_int_equal(counters_of(&n, 0).segs_out, counters_of(&n, 1).segs_in);
		net_close(&n);
	}
}

/* What lands is as if it had come alone, if memory fails at any time. */
static void test_memory_fails(void **state)
{
	unsigned failed = 0;

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		struct net n = { .seed = round + 1 };

		net_open(&n, true);
		net_connect(&n);
		alloc_failed = 0;
		alloc_fails = 10;
		net_stream(&n, 1000000, 60000);
		alloc_fails = 0;
		failed += alloc_failed;
		net_close(&n);
	}
	assert_true(failed > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream_through_any_trouble),
		cmocka_unit_test(test_what_is_cut_is_as_if_sent_one_by_one),
		cmocka_unit_test(test_a_run_is_answered_once_and_counted_in_segments),
		cmocka_unit_test(test_short_segments),
		cmocka_unit_test(test_memory_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
