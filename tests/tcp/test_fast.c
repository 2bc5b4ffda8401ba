/* SPDX-License-Identifier: MIT */
/*
 * The short ways of fast.c change nothing: the same random traffic goes between two stacks that
 * take them and between two that do not, and every frame, result, event, deadline, counter and
 * snapshot is the same.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stack/stack.h"
#include "tests/util/heap.h"

#define WIRE  512
#define FRAME 2048
#define PORT  80

struct wire {
	uint64_t due;
	uint32_t len, csum;
	int to;
	uint8_t data[FRAME];
};

struct world {
	struct heap heap;
	cpl_stack *s[2];
	cpl_handle listener, h[2];
	struct cpl_addr addr[2];
	struct cpl_endpoint to;
	bool away; /* addr[1] is not there */
	int ifindex;
	uint64_t now, rng;
	unsigned loss, jitter; /* of 256 */
	struct wire wire[WIRE];
	unsigned wire_n;
	uint8_t *log;
	size_t log_n, log_cap;
	uint64_t short_ways;
};

static uint8_t text[32768];

static uint32_t pick(struct world *w, uint32_t below)
{
	w->rng = w->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->rng >> 33) % below;
}

static void put(struct world *w, const void *data, size_t n)
{
	if (w->log_n + n > w->log_cap) {
		w->log_cap = 2 * (w->log_n + n);
		w->log = realloc(w->log, w->log_cap);
		assert_non_null(w->log);
	}
	memcpy(w->log + w->log_n, data, n);
	w->log_n += n;
}

static void put_number(struct world *w, int64_t v)
{
	put(w, &v, sizeof(v));
}

#define PUT(w, s, from, to)                                                                        \
	put(w, (const char *)(s) + offsetof(__typeof__(*(s)), from),                               \
	    offsetof(__typeof__(*(s)), to) - offsetof(__typeof__(*(s)), from))

static void put_rate(struct world *w, const struct rate_sample *rate)
{
	put_number(w, (int64_t)rate->prior_delivered);
	put_number(w, (int64_t)rate->delivered);
	put_number(w, (int64_t)rate->interval_ns);
	put_number(w, (int64_t)rate->rtt_ns);
	put_number(w, (int64_t)rate->lost << 32 | rate->tx_in_flight);
	put_number(w, rate->app_limited << 1 | rate->has_data);
}

/* All of the TCB but where things lie in memory, and what is only for the short ways. */
static void put_tcb(struct world *w, int i)
{
	const struct tcb *tcb = w->h[i] ? tcp_look(&w->s[i]->tcp, w->h[i]) : NULL;
	const struct tcb_io *io = tcb && tcb->state != CPL_CLOSED ? tcb->io : NULL;

	if (!tcb)
		return;
	put_number(w, tcb->flags);
	put_number(w, tcb->state << 24 | tcb->ifindex << 16 | tcb->snd_wscale << 12 |
			      tcb->rcv_wscale << 8 | tcb->ecn);
	PUT(w, tcb, rcv_nxt, timer);
	put_number(w, (int64_t)tcb->timer.deadline);
	PUT(w, tcb, t_slow, event);
	put(w, &tcb->user, sizeof(*tcb) - offsetof(struct tcb, user));
	if (!io)
		return;
	PUT(w, &io->map, una, lost_hint);
	PUT(w, &io->map, delivered, loss);
	PUT(w, io, recovery, sndq);
	PUT(w, &io->cc, id, state);
	put(w, io->cc.state, cc_ops(&io->cc)->state_bytes);
	PUT(w, io, snd_base, rcvq);
	for (unsigned j = 0; j < io->marks_n; j++)
		put_number(w, (int64_t)io->marks[j].seq << 1 | io->marks[j].record);
	PUT(w, io, ooo_n, rate);
	PUT(w, io, drs_time, fastopen);
	put_rate(w, &io->rate);
	put_number(w, io->cwnd_limited << 8 | io->quick);
	put_number(w, io->out_max);
	put_number(w, io->usage_seq);
	put_number(w, io->pushed << 1 | io->hold_over);
	put_number(w, (int64_t)io->sndq.bytes << 32 | (int64_t)io->rcvq.bytes);
	put_number(w, (int64_t)io->sndq.memory << 32 | (int64_t)io->rcvq.memory);
}

static void put_snapshot(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		struct cpl_info info = { .size = sizeof(info) };
		struct cpl_counters c = { .size = sizeof(c) };

		if (w->h[i])
			put_number(w, cpl_info_get(w->s[i], w->h[i], &info, w->now));
		put(w, &info, sizeof(info));
		cpl_counters_get(w->s[i], &c);
		put(w, &c, sizeof(c));
		put_number(w, (int64_t)cpl_deadline(w->s[i]));
		put_tcb(w, i);
	}
}

static void make(struct world *w, bool long_way, uint64_t seed)
{
	static const char *const controllers[] = { "cubic", "cubic", "cubic", "cubic",
						   "reno",  "reno",  "bbr",   "dctcp" };
	struct cpl_endpoint to = { .port = PORT };
	bool v6 = pick(w, 4) == 0, csum = pick(w, 4) == 0, ether = pick(w, 4) == 0;
	const char *cc = controllers[pick(w, 8)];
	uint32_t ts = pick(w, 4) > 0, sack = pick(w, 8) > 0, trace = pick(w, 3) == 0;
	uint32_t ecn = pick(w, 12), lowat = pick(w, 6) == 0, mtu = pick(w, 3) ? 1500 : 1300;

	for (int i = 0; i < 2; i++) {
		struct cpl_iface_config ic = { .size = sizeof(ic), .name = "mem", .mtu = mtu };
		struct cpl_addr addr = cpl_addr4(10, 0, 0, (uint8_t)(i + 1));
		struct cpl_config c;

		if (v6) {
			memset(&addr, 0, sizeof(addr));
			addr.b[0] = 0xfd;
			addr.b[15] = (uint8_t)(i + 1);
		}
		cpl_config_init(&c);
		c.alloc = heap_alloc;
		c.release = heap_release;
		c.alloc_ctx = &w->heap;
		c.secret[0] = (uint8_t)i;
		c.secret[1] = (uint8_t)seed;
		c.timestamps = (uint8_t)ts;
		c.sack = (uint8_t)sack;
		c.trace_records = trace ? 4096 : 0;
		c.ecn = ecn < 10 ? CPL_ECN_PASSIVE : ecn == 10 ? CPL_ECN_ACTIVE : CPL_ECN_ACCURATE;
		c.notsent_lowat = lowat ? 4000 : UINT32_MAX;
		memset(c.cc_name, 0, sizeof(c.cc_name));
		memcpy(c.cc_name, cc, strlen(cc));
		assert_int_equal(cpl_stack_new(&w->s[i], &c, w->now), 0);
		w->s[i]->tcp.long_way = long_way;
		ic.kind = ether ? CPL_IFACE_ETHER : CPL_IFACE_IP;
		ic.mac[0] = 2;
		ic.mac[5] = (uint8_t)(i + 1);
		ic.flags = csum ? CPL_IFACE_CSUM_OUT : 0;
		w->ifindex = cpl_iface_add(w->s[i], &ic, w->now);
		assert_int_equal(cpl_addr_add(w->s[i], w->ifindex, &addr, v6 ? 64 : 24, w->now), 0);
		to.addr = w->addr[i] = addr;
	}
	w->now += 3 * CPL_SECOND; /* duplicate address detection is over */
	for (int i = 0; i < 2; i++)
		cpl_advance(w->s[i], w->now);
	assert_int_equal(cpl_listen(w->s[1], &(struct cpl_endpoint){ .port = PORT }, 8,
				    &w->listener, w->now),
			 0);
	assert_int_equal(cpl_connect(w->s[0], NULL, &to, &w->h[0], w->now), 0);
	w->to = to;
}

/* A frame that FROM has sent goes on the wire, if SENT, or is lost. */
static void on_wire(struct world *w, int from, struct wire *wire, bool csum, bool sent)
{
	put(w, wire->data, wire->len);
	if (w->loss && !pick(w, 64))
		wire->data[pick(w, wire->len)] ^= (uint8_t)(1u << pick(w, 8));
	wire->csum = csum ? CPL_FRAME_CSUM_PARTIAL : 0;
	wire->to = !from;
	wire->due = w->now + 50000 + (pick(w, 256) < w->jitter ? pick(w, 5000000) : 0);
	if (sent && w->wire_n < WIRE - 1 && pick(w, 256) >= w->loss)
		w->wire_n++;
}

/* The device takes frames, or refuses some. */
static void leave(struct world *w, int from)
{
	struct cpl_out out[8];
	int n = cpl_output(w->s[from], w->ifindex, out, 1 + pick(w, 8), w->now);

	put_number(w, n);
	for (int i = 0; i < n; i++) {
		int sent = !(w->loss && pick(w, 256) < w->loss / 2);
		struct wire *wire = &w->wire[w->wire_n];

		wire->len = 0;
		for (unsigned j = 0; j < out[i].iov_n; j++) {
			memcpy(wire->data + wire->len, out[i].iov[j].base, out[i].iov[j].len);
			wire->len += out[i].iov[j].len;
		}
		on_wire(w, from, wire, out[i].csum_offset, sent);
		put_number(w, cpl_output_done(w->s[from], out[i].token, sent, w->now));
	}
}

/* The same into its memory, which has room for most of them. */
static void leave_copied(struct world *w, int from)
{
	size_t size = pick(w, 8) ? FRAME : 40 + pick(w, 80);

	for (uint32_t left = 1 + pick(w, 8); left; left--) {
		struct wire *wire = &w->wire[w->wire_n];
		struct cpl_out out;
		int n = cpl_output_copy(w->s[from], w->ifindex, wire->data, size, &out, w->now);

		put_number(w, n);
		if (n <= 0)
			return;
		wire->len = (uint32_t)n;
		put_number(w, out.len);
		put_number(w, out.header_len << 16 | out.csum_start);
		put_number(w, out.csum_offset << 16 | out.gso_size);
		assert_ptr_equal(out.iov[0].base, wire->data);
		assert_int_equal(out.iov[0].len, out.len);
		on_wire(w, from, wire, out.csum_offset, true);
	}
}

static void arrive(struct world *w, int to)
{
	struct cpl_frame in[8];
	struct wire *took = malloc(8 * sizeof(*took));
	unsigned n = 0, most = 1 + pick(w, 8);

	assert_non_null(took);
	for (unsigned i = 0; i < w->wire_n && n < most;) {
		if (w->wire[i].to != to || w->wire[i].due > w->now) {
			i++;
			continue;
		}
		took[n] = w->wire[i];
		memmove(&w->wire[i], &w->wire[i + 1], (--w->wire_n - i) * sizeof(w->wire[0]));
		in[n] = (struct cpl_frame){ .data = took[n].data,
					    .len = took[n].len,
					    .flags = took[n].csum };
		n++;
	}
	if (n)
		put_number(w, cpl_input(w->s[to], w->ifindex, in, n, w->now));
	free(took);
}

static void tell(struct world *w, int i)
{
	struct cpl_event ev;

	while (cpl_next_event(w->s[i], &ev)) {
		put_number(w, ev.what);
		put_number(w, ev.error);
		if (ev.what & CPL_EV_ACCEPT && !w->h[1])
			put_number(w, cpl_accept(w->s[1], w->listener, &w->h[1], w->now));
	}
}

static void pass(struct world *w, uint64_t ns)
{
	w->now += ns;
	for (int i = 0; i < 2; i++)
		if (cpl_deadline(w->s[i]) <= w->now)
			cpl_advance(w->s[i], w->now);
}

static void exchange(struct world *w, uint64_t ns)
{
	for (int i = 0; i < 2; i++) {
		pick(w, 2) ? leave(w, i) : leave_copied(w, i);
		arrive(w, !i);
		tell(w, i);
	}
	pass(w, ns);
}

static void write_some(struct world *w, int i)
{
	static const uint32_t sizes[] = { 1, 64, 64, 64, 200, 512, 1448, 1460, 3000, 20000 };
	static const unsigned flags[] = { CPL_MSG_PUSH, CPL_MSG_MORE, CPL_MSG_RECORD, CPL_MSG_OOB };
	uint32_t n = sizes[pick(w, 10)];
	unsigned f = pick(w, 12) ? 0 : flags[pick(w, 4)];

	put_number(w, cpl_send(w->s[i], w->h[i], text + pick(w, 1000), n, f, w->now));
}

static void read_some(struct world *w, int i)
{
	static uint8_t got[sizeof(text)];
	long n = cpl_recv(w->s[i], w->h[i], got, pick(w, 3) ? sizeof(got) : 1 + pick(w, 300), 0,
			  w->now);

	put_number(w, n);
	if (n > 0)
		put(w, got, (size_t)n);
}

/* What goes to an address that is not there any more is not ours. */
static void move_away(struct world *w)
{
	w->away = !w->away;
	if (w->away)
		put_number(w, cpl_addr_del(w->s[1], w->ifindex, &w->addr[1], w->now));
	else
		put_number(w, cpl_addr_add(w->s[1], w->ifindex, &w->addr[1],
					   cpl_addr_is4(&w->addr[1]) ? 24 : 64, w->now));
}

static void wish(struct world *w, int i)
{
	static const enum cpl_option options[] = { CPL_OPT_NODELAY, CPL_OPT_CORK, CPL_OPT_QUICKACK,
						   CPL_OPT_KEEPALIVE };

	put_number(w, cpl_set_option(w->s[i], w->h[i], options[pick(w, 4)], pick(w, 2), w->now));
	if (!pick(w, 20))
		cpl_set_option(w->s[i], w->h[i], CPL_OPT_PACING_MAX, 1000000, w->now);
	if (!pick(w, 20))
		cpl_set_option(w->s[i], w->h[i], CPL_OPT_WINDOW_CLAMP, 3000, w->now);
	if (!pick(w, 20) || w->away)
		move_away(w);
}

/* The program ends its end of the connection: its direction alone, all, or at once. */
static void end(struct world *w, int i)
{
	uint32_t how = pick(w, 16);

	if (!how)
		put_number(w, cpl_abort(w->s[i], w->h[i], w->now));
	else if (how < 6)
		put_number(w, cpl_shutdown(w->s[i], w->h[i], w->now));
	else
		put_number(w, cpl_close(w->s[i], w->h[i], w->now));
	if (!how || how >= 6)
		w->h[i] = 0;
}

/*
 * The connection ends, or both ends forget it, and another is made, which may end in turn as soon
 * as an answer to what it asks is there.
 */
static void another(struct world *w)
{
	int first = (int)pick(w, 2);

	for (int i = 0; i < 2; i++) {
		if (w->h[first ^ i])
			end(w, first ^ i);
		for (uint32_t n = pick(w, 4); n; n--) {
			exchange(w, 60000);
			put_snapshot(w);
			if (!pick(w, 3))
				write_some(w, 1 - (first ^ i));
		}
	}
	for (int i = 0; i < 2; i++) {
		if (w->h[i])
			put_number(w, cpl_close(w->s[i], w->h[i], w->now));
		w->h[i] = 0;
	}
	put_number(w, cpl_connect(w->s[0], NULL, &w->to, &w->h[0], w->now));
	for (int i = 0; i < 40 && !w->h[1]; i++) {
		exchange(w, i < 8 ? 60000 : 300 * CPL_MS);
		if (!w->h[1] && cpl_accept(w->s[1], w->listener, &w->h[1], w->now))
			w->h[1] = 0;
		if (pick(w, 2))
			put_number(w, cpl_send(w->s[0], w->h[0], text, 64, 0, w->now));
	}
}

/* A request and its answer. */
static void round_trip(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		put_number(w, cpl_send(w->s[i], w->h[i], text, 64, 0, w->now));
		pick(w, 2) ? leave(w, i) : leave_copied(w, i);
		pass(w, 60000);
		arrive(w, !i);
		read_some(w, !i);
		tell(w, 0);
		tell(w, 1);
	}
}

static void step(struct world *w)
{
	static const uint64_t waits[] = { 0, 10000, 60000, 60000, 1000000, 50000000 };
	int i = (int)pick(w, 2);
	uint32_t what = pick(w, 100);

	if (what < 27)
		round_trip(w);
	else if (what < 30)
		another(w);
	else if (what < 50)
		write_some(w, i);
	else if (what < 70)
		read_some(w, i);
	else if (what < 96)
		exchange(w, waits[pick(w, 6)]);
	else if (what < 97)
		wish(w, i);
	else if (what < 98)
		pass(w, pick(w, 4) ? 300 * CPL_MS : 3 * CPL_SECOND);
	else if (what < 99)
		put_snapshot(w);
	else
		w->loss = pick(w, 3) ? 0 : pick(w, 40), w->jitter = pick(w, 3) ? 0 : pick(w, 100);
}

static void run(struct world *w, bool long_way, uint64_t seed, unsigned steps)
{
	memset(w, 0, sizeof(*w));
	heap_init(&w->heap, UINT64_MAX);
	w->now = 1000 * CPL_SECOND;
	w->rng = seed * 0x9e3779b97f4a7c15ull + 1;
	make(w, long_way, seed);
	for (int i = 0; i < 100 && !w->h[1]; i++)
		exchange(w, 100000);
	assert_true(w->h[1]);
	while (steps--) {
		step(w);
		put_snapshot(w);
	}
	w->loss = w->jitter = 0;
	if (w->away)
		move_away(w);
	for (int i = 0; i < 2; i++)
		put_number(w, cpl_shutdown(w->s[i], w->h[i], w->now));
	for (int i = 0; i < 200; i++) {
		exchange(w, i % 20 ? 100000 : 300 * CPL_MS);
		read_some(w, 0);
		read_some(w, 1);
	}
	put_snapshot(w);
	for (int i = 0; i < 2; i++) {
		w->short_ways += w->s[i]->tcp.short_ways;
		cpl_stack_free(w->s[i]);
	}
	assert_int_equal(w->heap.slabs, 0);
}

static void the_same(void **state)
{
	struct world *fast = malloc(sizeof(*fast)), *slow = malloc(sizeof(*slow));
	unsigned seeds = getenv("SOAK") ? 3000 : 80;
	uint64_t taken = 0;

	(void)state;
	assert_non_null(fast);
	assert_non_null(slow);
	for (uint32_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 7 + (i >> 8));
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		run(fast, false, seed, 400);
		run(slow, true, seed, 400);
		if (fast->log_n != slow->log_n || memcmp(fast->log, slow->log, slow->log_n))
			fail_msg("seed %llu: the short way differs", (unsigned long long)seed);
		assert_int_equal(slow->short_ways, 0);
		taken += fast->short_ways;
		free(fast->log);
		free(slow->log);
	}
	printf("# %llu short ways\n", (unsigned long long)taken);
#ifdef CPL_DEBUG
	assert_true(taken > 50ull * seeds);
#endif
	free(fast);
	free(slow);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(the_same) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
