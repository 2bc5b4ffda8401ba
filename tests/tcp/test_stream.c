/* SPDX-License-Identifier: MIT */
/*
 * Whole conversations with a peer that loses, repeats and reorders: both streams arrive, whatever
 * was agreed and wherever the sequence numbers stand, and both sides close.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/seq.h"
#include "tests/util/bytes.h"
#include "tests/util/tcp_bench.h"

#define STREAM 60000

static struct bench b;

struct talk {
	uint64_t seed;
	uint32_t iss, peer_iss; /* wanted */
	bool sack, ts, wscale, gso, lend, ours_first;
	unsigned loss; /* of 100 */
};

/* The peer. */
struct other {
	bool have[STREAM + 3];
	uint32_t rcv_nxt;
	uint32_t una, fin; /* its own stream ends before fin; relative */
	uint32_t edge;	   /* as we advertised */
	bool fin_seen;
};

static struct other peer;

/* A clock at which the stack's ISS for this connection is the one wanted. */
static void begin(const struct talk *t)
{
	uint32_t iss = 0;

	for (unsigned trial = 0; trial < 2; trial++) {
		uint64_t start;

		bench_init(&b);
		start = b.start + (uint64_t)(trial ? t->iss - iss : 0) * 64;
		b.start = b.now = start;
		b.config.sack = t->sack;
		b.config.timestamps = t->ts;
		b.config.window_scaling = t->wscale;
		if (t->gso) {
			b.iface.flags |= CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4;
			b.iface.gso_max = 20000;
		}
		bench_start(&b);
		if (trial)
			return;
		bench_listen(&b, 80);
		send(&b, "S 0 <mss 1460>");
		assert_true(bench_take(&b));
		iss = b.flow.our_iss;
		bench_end(&b);
	}
}

static cpl_handle handshake(const struct talk *t)
{
	cpl_handle listener, h;

	begin(t);
	listener = bench_listen(&b, 80);
	b.flow.iss = t->peer_iss;
	send(&b, "S 0 <mss 1000%s%s%s>", t->sack ? ",sackOK" : "", t->ts ? ",TS" : "",
	     t->wscale ? ",wscale 0" : "");
	expect(&b, "S. 0 ack 1 <*>");
	assert_int_equal(b.flow.our_iss, t->iss);
	send(&b, ". 1 ack 1");
	h = bench_accepted(&b, listener);
	memset(&peer, 0, sizeof(peer));
	peer.rcv_nxt = peer.una = 1;
	peer.fin = STREAM + 1;
	peer.edge = 65536;
	b.lend = t->lend;
	return h;
}

/* A frame of ours, perhaps. */
static void hear(struct talk *t, const struct tcp_seg *seg)
{
	uint32_t from = seg->seq - b.flow.our_iss, ack = seg->ack - b.flow.iss;
	uint32_t edge = ack + ((uint32_t)seg->wnd << (t->wscale ? 7 : 0));

	if (rnd(&t->seed, 100) < t->loss)
		return;
	if (from > STREAM + 2 || (seg->len && from + seg->len > STREAM + 1))
		bench_fail(__FILE__, __LINE__, &b, "from %u len %u", from, seg->len);
	if (ack > peer.una)
		peer.una = ack;
	peer.edge = edge > peer.edge ? edge : peer.edge;
	for (uint32_t i = 0; i < seg->len; i++)
		peer.have[from + i] = true;
	if (seg->flags & TCP_FIN) {
		assert_int_equal(from + seg->len, STREAM + 1);
		peer.have[STREAM + 1] = true;
	}
	while (peer.have[peer.rcv_nxt])
		peer.rcv_nxt++;
	peer.fin_seen |= peer.rcv_nxt == STREAM + 2;
}

/* What the peer reports by SACK: the first range above the hole. */
static void sack_text(char text[64], bool on)
{
	uint32_t from = peer.rcv_nxt, to;

	text[0] = '\0';
	while (from <= STREAM + 1 && !peer.have[from])
		from++;
	for (to = from; to <= STREAM + 1 && peer.have[to];)
		to++;
	if (on && from <= STREAM + 1)
		snprintf(text, 64, "sack %u:%u", from, to);
}

/* One segment of the peer's: data from somewhere near what is not acknowledged, or an ACK. */
static void speak(struct talk *t)
{
	uint32_t window = peer.edge > peer.una ? peer.edge - peer.una : 0;
	uint32_t from = peer.una + rnd(&t->seed, window < 8000 ? window + 1 : 8000), to;
	char sack[64], options[128];
	bool fin;

	if (!rnd(&t->seed, 3))
		from = peer.una;
	if (from > peer.fin)
		from = peer.una > peer.fin ? peer.una : peer.fin;
	to = from + rnd(&t->seed, 1200);
	to = to > peer.fin ? (from > peer.fin ? from : peer.fin) : to;
	to = to > peer.edge ? (from > peer.edge ? from : peer.edge) : to;
	fin = to == peer.fin && (t->ours_first ? peer.fin_seen : true);
	sack_text(sack, t->sack);
	snprintf(options, sizeof(options), "<%s%s%s>", t->ts ? "TS" : "",
		 t->ts && sack[0] ? "," : "", sack);
	send(&b, "%s %u:%u ack %u %s", fin ? "F." : ".", from, to, peer.rcv_nxt, options);
}

static void converse(struct talk t)
{
	uint32_t written = 0, rounds = 0, read = 0;
	bool closed = false;
	cpl_handle h = handshake(&t);

	while (peer.una <= peer.fin || !peer.fin_seen) {
		const struct cpl_info *info = bench_info(&b, h);
		uint32_t n = rnd(&t.seed, 6000), queue = info->recv_queue;
		bool came = false;

		if (++rounds > 60000)
			bench_fail(__FILE__, __LINE__, &b, "no end: una %u rcv_nxt %u", peer.una,
				   peer.rcv_nxt);
		n = n > STREAM - written ? STREAM - written : n;
		if (n && info->send_queue + n < 60000) {
			bench_write_flags(&b, h, n, rnd(&t.seed, 4) ? 0 : CPL_MSG_PUSH);
			written += n;
		}
		if (written == STREAM && !closed && (t.ours_first || rnd(&t.seed, 2))) {
			assert_int_equal(cpl_shutdown(b.stack, h, b.now), 0);
			closed = true;
		}
		if (queue && rnd(&t.seed, 2)) {
			n = 1 + rnd(&t.seed, queue);
			bench_read_some(&b, h, n);
			read += n;
		}
		bench_run(&b, rnd(&t.seed, 10) ? 10 * CPL_MS : 300 * CPL_MS);
		while (bench_take(&b)) {
			came = true;
			hear(&t, &b.last.p.tcp);
		}
		if (bench_state(&b) == CPL_TIME_WAIT || bench_state(&b) == CPL_CLOSED)
			break;
		if (came || !rnd(&t.seed, 3))
			speak(&t);
	}
	if (bench_state(&b) != CPL_CLOSED && bench_state(&b) != CPL_TIME_WAIT)
		send(&b, ". %u ack %u%s", peer.fin + 1, peer.rcv_nxt, t.ts ? "" : " <>");
	if (read < STREAM)
		bench_read(&b, h, STREAM - read);
	if (cpl_recv(b.stack, h, &(uint8_t){ 0 }, 1, 0, b.now))
		bench_fail(__FILE__, __LINE__, &b, "it did not end well");
	assert_true(peer.fin_seen);
	bench_collect(&b);
	assert_int_equal(b.lent, 0);
	assert_true(bench_events(&b, h, NULL) & CPL_EV_CLOSED);
	bench_end(&b);
}

static void conversations(void **state)
{
	/* In the middle of the streams numbers pass 2^32, 2^31, or neither. */
	static const uint32_t starts[] = { 0u - STREAM / 2, 0x80000000u - STREAM / 2, 0x12345678u,
					   0xffffffffu, 0u };

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct talk t = {
			.seed = 1000 + i,
			.iss = starts[i % 5],
			.peer_iss = starts[i / 5 % 5],
			.sack = i & 1,
			.ts = i & 2,
			.wscale = i & 4,
			.gso = i % 3 == 0,
			.lend = i & 8,
			.ours_first = i & 16,
			.loss = i % 7 * 5,
		};

		converse(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(conversations) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
