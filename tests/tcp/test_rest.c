/* SPDX-License-Identifier: MIT */
/*
 * Connections at rest (rest.c, pack.c): that packing is exact, what an idle connection takes, that
 * everything wakes it but a look, that the memory of a peak comes back, and that no step is long.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "stack/sockets.h"
#include "tcp/rest.h"
#include "tests/util/heap.h"

#define MS    CPL_MS
#define MANY  20000u
#define FRAME 2048

struct end {
	cpl_stack *stack;
	struct heap heap;
	int ifindex;
	cpl_handle listener;
};

static struct end ends[2];
static cpl_handle client[MANY], server[MANY];
static uint64_t now;
static uint64_t rtt; /* each way takes half of it */
static bool ipv6, keepalive;

/* ---- Two stacks, one wire ---- */

static struct cpl_addr addr_of(int i)
{
	struct cpl_addr a = cpl_addr4(10, 11, 12, (uint8_t)(i + 1));

	if (ipv6)
		a = (struct cpl_addr){ { 0xfd, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0x21, 0x43,
					 0x65, 0x87, 0xa9, 0xcb, 0xed, (uint8_t)(i + 1) } };
	return a;
}

static uint32_t peer_max;

static void open_end(int i)
{
	struct cpl_iface_config ic = {
		.size = sizeof(ic), .name = "x", .kind = CPL_IFACE_IP, .mtu = 1500
	};
	struct cpl_addr addr = addr_of(i);
	struct cpl_config c;

	heap_init(&ends[i].heap, UINT64_MAX);
	cpl_config_init(&c);
	c.alloc = heap_alloc;
	c.release = heap_release;
	c.alloc_ctx = &ends[i].heap;
	c.memory_max = 1ull << 30;
	c.conns_max = 1 << 20;
	c.time_wait_max = MANY;
	c.time_wait_ns = CPL_SECOND;
	c.port_first = 1024;
	c.peer_conns_max = peer_max;
	c.secret[0] = (uint8_t)(i + 1);
	assert_int_equal(cpl_stack_new(&ends[i].stack, &c, now), 0);
	ends[i].ifindex = cpl_iface_add(ends[i].stack, &ic, now);
	assert_true(ends[i].ifindex > 0);
	assert_int_equal(cpl_addr_add(ends[i].stack, ends[i].ifindex, &addr, ipv6 ? 64 : 24, now),
			 0);
}

static int carry(int from)
{
	struct end *a = &ends[from], *b = &ends[!from];
	struct cpl_out out;
	uint8_t data[FRAME];
	int n = 0;

	while (cpl_output(a->stack, a->ifindex, &out, 1, now) == 1) {
		struct cpl_frame in = { .data = data, .len = out.len };
		uint32_t at = 0;

		assert_true(out.len <= FRAME);
		for (uint32_t i = 0; i < out.iov_n; at += (uint32_t)out.iov[i++].len)
			memcpy(data + at, out.iov[i].base, out.iov[i].len);
		cpl_output_done(a->stack, out.token, 1, now);
		now += rtt / 2;
		cpl_input(b->stack, b->ifindex, &in, 1, now);
		n++;
	}
	return n;
}

static void drop_events(void)
{
	struct cpl_event ev;

	for (int i = 0; i < 2; i++)
		while (cpl_next_event(ends[i].stack, &ev))
			;
}

static void exchange(void)
{
	while (carry(0) + carry(1))
		;
	drop_events();
}

/* Time passes, in steps, and every timer fires. */
static void pass(uint64_t ns)
{
	for (uint64_t end = now + ns; now < end; now += 50 * MS) {
		for (int i = 0; i < 2; i++)
			while (cpl_deadline(ends[i].stack) <= now)
				cpl_advance(ends[i].stack, now);
		exchange();
	}
}

static void connect_one(unsigned i)
{
	struct cpl_endpoint to = { .addr = addr_of(1), .port = 80 };

	assert_int_equal(cpl_connect(ends[0].stack, NULL, &to, &client[i], now), 0);
	if (keepalive)
		assert_int_equal(cpl_set_option(ends[0].stack, client[i], CPL_OPT_KEEPALIVE, 1,
						now),
				 0);
	exchange();
	assert_int_equal(cpl_accept(ends[1].stack, ends[1].listener, &server[i], now), 0);
	drop_events();
}

static void begin(bool six)
{
	struct cpl_endpoint local = { .port = 80 };

	ipv6 = six;
	keepalive = false;
	now = 12345 * CPL_SECOND + 6789;
	rtt = 0;
	for (int i = 0; i < 2; i++)
		open_end(i);
	assert_int_equal(cpl_listen(ends[1].stack, &local, 4096, &ends[1].listener, now), 0);
}

static void end(void)
{
	for (int i = 0; i < 2; i++) {
		cpl_stack_free(ends[i].stack);
		assert_int_equal(ends[i].heap.bytes, 0);
	}
}

static struct tcp *tcp_of(int i)
{
	return &ends[i].stack->tcp;
}

static uint64_t rests(int i)
{
	uint64_t n = 0;

	for (unsigned c = 0; c < REST_CLASSES; c++)
		n += tcp_of(i)->rests[c].in_use;
	return n;
}

/* Data goes both ways on connection I. */
static void talk(unsigned i)
{
	static const char text[] = "what is said is not what is remembered";
	char got[64];

	assert_int_equal(cpl_send(ends[0].stack, client[i], text, sizeof(text), 0, now),
			 sizeof(text));
	exchange();
	assert_int_equal(cpl_recv(ends[1].stack, server[i], got, sizeof(got), 0, now),
			 sizeof(text));
	assert_memory_equal(got, text, sizeof(text));
	assert_int_equal(cpl_send(ends[1].stack, server[i], text, 20, 0, now), 20);
	exchange();
	assert_int_equal(cpl_recv(ends[0].stack, client[i], got, sizeof(got), 0, now), 20);
	exchange();
}

/* ---- Packing ---- */

/* Random bytes, of which all, some or almost none are 0. */
static void draw(struct prng *prng, struct tcb *tcb)
{
	uint8_t *p = (uint8_t *)tcb;
	uint32_t zeros = prng_below(prng, 101), same = prng_below(prng, 2);

	for (size_t i = 0; i < sizeof(*tcb); i++)
		p[i] = prng_below(prng, 100) < zeros ? 0 : (uint8_t)prng_u64(prng);
	if (same) /* near one another, as they are */
		tcb->snd_nxt = tcb->snd_una = tcb->iss + prng_below(prng, 3);
	tcb->node.next = tcb->slot = tcb->gen = 0;
	list_init(&tcb->event);
	list_init(&tcb->ready);
	wheel_node_init(&tcb->timer);
}

static void packing_is_exact(void **state)
{
	struct tcb blank, tcb, back, other;
	uint8_t bytes[TCB_PACKED_MAX + 8];
	struct prng prng;
	struct conn_id id;
	size_t most = 0;

	(void)state;
	prng_seed(&prng, 1);
	for (unsigned i = 0; i < 20000; i++) {
		size_t n;

		if (i % 100 == 0) {
			draw(&prng, &blank);
			memset(&blank.event, 0, sizeof(blank.event));
			memset(&blank.ready, 0, sizeof(blank.ready));
			memset(&blank.timer, 0, sizeof(blank.timer));
		}
		draw(&prng, &tcb);
		memset(bytes + TCB_PACKED_MAX, 0xa5, 8);
		n = tcb_pack(&blank, &tcb, bytes);
		assert_true(n <= TCB_PACKED_MAX && bytes[TCB_PACKED_MAX] == 0xa5);
		most = n > most ? n : most;
		tcb_unpack(&blank, bytes, &back);
		/* Lists point to themselves: compared apart, then made the same. */
		assert_false(list_linked(&back.event) || list_linked(&back.ready));
		assert_false(wheel_running(&back.timer));
		other = tcb;
		other.event = back.event;
		other.ready = back.ready;
		other.timer = back.timer;
		assert_memory_equal(&other, &back, sizeof(back));
		tcb_unpack_id(&blank, bytes, &id);
		assert_memory_equal(&id, &tcb.node.id, sizeof(id));
	}
	assert_true(most > sizeof(struct tcb) * 3 / 4); /* hard cases were among them */
}

/* ---- What an idle connection takes ---- */

/* Of all slabs of END, for each of N connections beyond what it had. */
static double bytes_each(int i, uint64_t before, unsigned n)
{
	return (double)(ends[i].heap.bytes - before) / n;
}

static void idle_connection(bool six, bool alive, bool used, double most)
{
	uint64_t before[2];

	begin(six);
	keepalive = alive;
	rtt = 2 * MS + 345;
	connect_one(0);
	pass(5 * CPL_SECOND);
	for (int i = 0; i < 2; i++)
		before[i] = ends[i].heap.bytes;
	for (unsigned i = 1; i < 4097; i++) {
		connect_one(i);
		if (used)
			talk(i);
	}
	pass(5 * CPL_SECOND);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rests(i), 4097);
		print_message("ipv%d keepalive %d used %d: %.1f bytes\n", six ? 6 : 4, alive, used,
			      bytes_each(i, before[i], 4096));
		assert_true(bytes_each(i, before[i], 4096) <= most);
	}
	talk(77); /* and it is alive */
	end();
}

static void idle_ipv4(void **state)
{
	(void)state;
	idle_connection(false, false, false, 160);
	idle_connection(false, true, true, 256);
}

static void idle_ipv6(void **state)
{
	(void)state;
	idle_connection(true, false, false, 192);
	idle_connection(true, true, true, 256);
}

/* ---- Rest and waking ---- */

/* Everything that a snapshot says but the time when it was taken. */
static void same_info(const struct cpl_info *a, const struct cpl_info *b)
{
	assert_memory_equal(a, b, sizeof(*a));
}

static void a_look_wakes_nobody(void **state)
{
	struct cpl_info awake, asleep, walked[4];
	struct cpl_counters c = { .size = sizeof(c) };
	uint64_t cursor = 0;
	int n;

	(void)state;
	begin(false);
	rtt = 3 * MS;
	connect_one(0);
	talk(0);
	pass(3 * CPL_SECOND);
	assert_int_equal(rests(0), 1);
	assert_int_equal(cpl_info_get(ends[0].stack, client[0], &asleep, now), 0);
	n = cpl_info_walk(ends[0].stack, &cursor, walked, 4, now);
	assert_int_equal(n, 1);
	same_info(&asleep, &walked[0]);
	cpl_counters_get(ends[0].stack, &c);
	assert_int_equal(c.rests, 1);
	assert_int_equal(c.wakes, 0);
	assert_int_equal(asleep.state, CPL_ESTABLISHED);
	assert_int_equal(asleep.id, client[0]);
	/* A call does, and nothing has changed. */
	assert_int_equal(cpl_set_user(ends[0].stack, client[0], 42), 0);
	assert_int_equal(rests(0), 0);
	assert_int_equal(cpl_info_get(ends[0].stack, client[0], &awake, now), 0);
	same_info(&asleep, &awake);
	/* Nothing came of it: it rests again. */
	pass(3 * CPL_SECOND);
	assert_int_equal(rests(0), 1);
	cpl_counters_get(ends[0].stack, &c);
	assert_int_equal(c.rests, 2);
	assert_int_equal(c.wakes, 1);
	end();
}

static void segments_wake(void **state)
{
	(void)state;
	for (int six = 0; six < 2; six++) {
		begin(six);
		for (unsigned i = 0; i < 500; i++)
			connect_one(i);
		pass(3 * CPL_SECOND);
		assert_int_equal(rests(0) + rests(1), 1000);
		for (unsigned i = 0; i < 500; i += 7)
			talk(i);
		assert_int_equal(rests(1), 500 - 72);
		/* In use all the time: no coming and going. */
		for (unsigned i = 0; i < 100; i++) {
			talk(0);
			pass(100 * MS);
		}
		assert_int_equal(rests(1), 499);
		assert_int_equal(tcp_of(1)->counters->wakes, 72);
		end();
	}
}

static void a_timer_wakes(void **state)
{
	struct cpl_info info;

	(void)state;
	begin(false);
	keepalive = true;
	connect_one(0);
	pass(3 * CPL_SECOND);
	assert_int_equal(rests(0), 1);
	assert_int_equal(tcp_of(0)->rest_timers.in_use, 1);
	assert_int_equal(cpl_info_get(ends[0].stack, client[0], &info, now), 0);
	assert_true(info.timer_keep > 7190 * CPL_SECOND && info.timer_keep <= 7200 * CPL_SECOND);
	now += info.timer_keep;
	pass(100 * MS);
	assert_int_equal(rests(0), 0);
	assert_int_equal(cpl_info_get(ends[0].stack, client[0], &info, now), 0);
	assert_true(info.last_received < CPL_SECOND); /* the probe was answered */
	pass(5 * CPL_SECOND);
	assert_int_equal(rests(0), 1);
	/* The peer is gone: the connection ends in its sleep, by its timer. */
	assert_int_equal(cpl_abort(ends[1].stack, server[0], now), 0);
	assert_int_equal(cpl_iface_set_up(ends[1].stack, ends[1].ifindex, 0, now), 0);
	for (unsigned i = 0; i < 9 * 75 + 7300; i++) {
		now += CPL_SECOND;
		cpl_advance(ends[0].stack, now);
		carry(0);
	}
	assert_int_equal(cpl_info_get(ends[0].stack, client[0], &info, now), 0);
	assert_int_equal(info.state, CPL_CLOSED);
	assert_int_equal(tcp_of(0)->rest_timers.in_use, 0);
	end();
}

/* A connection that has no program any more may rest in FIN-WAIT-2, and ends by its timer. */
static void fin_wait_2_ends(void **state)
{
	(void)state;
	begin(false);
	connect_one(0);
	assert_int_equal(cpl_close(ends[0].stack, client[0], now), 0);
	exchange();
	pass(3 * CPL_SECOND);
	assert_int_equal(rests(0), 1);
	assert_int_equal(rests(1), 1); /* CLOSE-WAIT */
	pass(70 * CPL_SECOND);
	assert_int_equal(rests(0), 0);
	assert_int_equal(tcp_of(0)->slots.in_use, 0);
	end();
}

/* No memory to wake it: a segment is dropped, a call says so, and nothing is lost. */
static void no_memory_to_wake(void **state)
{
	struct cpl_info info;
	uint64_t dropped;

	(void)state;
	begin(false);
	for (unsigned i = 0; i < 300; i++)
		connect_one(i);
	pass(3 * CPL_SECOND);
	pool_trim(&tcp_of(1)->tcbs);
	pool_trim(&tcp_of(1)->ios);
	pool_trim(&tcp_of(1)->sents);
	for (unsigned i = 0; tcp_of(1)->tcbs.slabs_n > 1; i++) /* the listener's slab, full */
		assert_true(i < 1);
	while (tcp_of(1)->tcbs.in_use < 1u << tcp_of(1)->tcbs.slab_shift)
		assert_non_null(pool_alloc(&tcp_of(1)->tcbs, NULL));
	ends[1].heap.left = 0;
	assert_int_equal(cpl_set_user(ends[1].stack, server[5], 1), -ENOBUFS);
	dropped = tcp_of(1)->counters->drop_memory;
	assert_int_equal(cpl_send(ends[0].stack, client[5], "x", 1, 0, now), 1);
	carry(0);
	assert_int_equal(tcp_of(1)->counters->drop_memory, dropped + 1);
	assert_int_equal(cpl_info_get(ends[1].stack, server[5], &info, now), 0);
	assert_int_equal(info.rcv_nxt, info.irs + 1);
	ends[1].heap.left = UINT64_MAX;
	pass(2 * CPL_SECOND); /* it comes again */
	assert_int_equal(cpl_info_get(ends[1].stack, server[5], &info, now), 0);
	assert_int_equal(info.rcv_nxt, info.irs + 2);
	end();
}

/* ---- Growing, shrinking ---- */

static void check_demux(const struct tcp *tcp)
{
	const struct demux *d = &tcp->demux;

	assert_true(d->low <= d->buckets && d->buckets < 2 * d->low);
	assert_true(d->buckets >= d->count || d->count <= 64);
}

static void memory_comes_back(void **state)
{
	uint64_t before[2], peak[2], buckets;

	(void)state;
	begin(false);
	connect_one(0);
	pass(3 * CPL_SECOND);
	for (int i = 0; i < 2; i++)
		before[i] = ends[i].heap.bytes;
	for (unsigned i = 1; i < MANY; i++) {
		buckets = tcp_of(0)->demux.buckets;
		connect_one(i);
		assert_true(tcp_of(0)->demux.buckets - buckets <= 2);
		check_demux(tcp_of(0));
		check_demux(tcp_of(1));
	}
	for (int i = 0; i < 2; i++)
		peak[i] = ends[i].heap.bytes;
	assert_true(tcp_of(1)->demux.buckets >= MANY);
	for (unsigned i = 1; i < MANY; i++) {
		buckets = tcp_of(1)->demux.buckets;
		assert_int_equal(cpl_abort(ends[0].stack, client[i], now), 0);
		exchange();
		assert_int_equal(cpl_close(ends[1].stack, server[i], now), 0);
		assert_true(buckets - tcp_of(1)->demux.buckets <= 8);
		check_demux(tcp_of(1));
	}
	pass(5 * CPL_SECOND);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tcp_of(i)->slots.in_use, (unsigned)i + 1);
		assert_true(tcp_of(i)->demux.buckets <= 64);
		/* What is in reserve: a slab of each pool. */
		print_message("before %llu peak %llu after %llu\n", (unsigned long long)before[i],
			      (unsigned long long)peak[i], (unsigned long long)ends[i].heap.bytes);
		assert_true(ends[i].heap.bytes < before[i] + peak[i] / 20 + 200000);
	}
	talk(0);
	end();
}

/* The timers of many at one moment: no call does much, and all are done. */
static void many_at_once(void **state)
{
	unsigned calls = 0;
	uint64_t most = 0;

	(void)state;
	begin(false);
	for (unsigned i = 0; i < MANY; i++)
		connect_one(i);
	now += 3 * CPL_SECOND;
	while (cpl_deadline(ends[1].stack) <= now) {
		uint64_t n = tcp_of(1)->counters->rests;

		cpl_advance(ends[1].stack, now);
		n = tcp_of(1)->counters->rests - n;
		most = n > most ? n : most;
		assert_true(++calls < 10000);
	}
	assert_int_equal(rests(1), MANY);
	assert_true(most <= 256);
	end();
}

/* ---- TIME-WAIT, and how many connections a peer may have ---- */

static void time_wait_is_small(void **state)
{
	uint64_t before;

	(void)state;
	for (int six = 0; six < 2; six++) {
		begin(six);
		assert_true(tcp_of(0)->time_waits.object_size <= 64);
		for (unsigned i = 0; i < 4096; i++)
			connect_one(i);
		pass(3 * CPL_SECOND);
		before = ends[0].heap.bytes;
		for (unsigned i = 0; i < 4096; i++) {
			assert_int_equal(cpl_close(ends[0].stack, client[i], now), 0);
			exchange();
			assert_int_equal(cpl_close(ends[1].stack, server[i], now), 0);
			exchange();
		}
		assert_int_equal(tcp_of(0)->time_waits.in_use, 4096);
		assert_int_equal(tcp_of(0)->slots.in_use, 0);
		assert_int_equal(tcp_of(0)->time_wait_addrs.in_use, 1); /* all have it */
		assert_true(ends[0].heap.bytes < before);
		pass(2 * CPL_SECOND);
		assert_int_equal(tcp_of(0)->time_waits.in_use, 0);
		assert_int_equal(tcp_of(0)->time_wait_addrs.in_use, 0);
		assert_int_equal(tcp_of(0)->demux.count, 0);
		end();
	}
}

static void peer_limit(void **state)
{
	struct cpl_endpoint to = { .port = 80 };
	struct cpl_info info;

	(void)state;
	for (int six = 0; six < 2; six++) {
		peer_max = 3;
		begin(six);
		to.addr = addr_of(1);
		for (unsigned i = 0; i < 3; i++)
			connect_one(i);
		pass(3 * CPL_SECOND); /* at rest they count as well */
		assert_int_equal(cpl_connect(ends[0].stack, NULL, &to, &client[3], now), 0);
		exchange();
		assert_int_equal(tcp_of(1)->counters->drop_peer_limit, 1);
		assert_int_equal(cpl_info_get(ends[0].stack, client[3], &info, now), 0);
		assert_int_equal(info.state, CPL_SYN_SENT);
		/* One goes: there is room for the SYN that comes again. */
		assert_int_equal(cpl_abort(ends[0].stack, client[1], now), 0);
		exchange();
		pass(4 * CPL_SECOND);
		assert_int_equal(cpl_info_get(ends[0].stack, client[3], &info, now), 0);
		assert_int_equal(info.state, CPL_ESTABLISHED);
		/* Its own calls are not the peer's. */
		assert_int_equal(tcp_of(1)->peers.pool.in_use, 1);
		assert_int_equal(tcp_of(0)->peers.pool.in_use, 0);
		for (unsigned i = 0; i < 4; i++)
			if (i != 1)
				assert_int_equal(cpl_abort(ends[0].stack, client[i], now), 0);
		exchange();
		assert_int_equal(tcp_of(1)->peers.pool.in_use, 0);
		end();
	}
	peer_max = 0;
}

/* What a bind of ADDR and port 80 by the server answers. */
static int binds(struct cpl_addr addr, bool reuseaddr)
{
	struct cpl_endpoint at = { .addr = addr, .port = 80 };
	cpl_handle h;
	int err;

	assert_int_equal(cpl_open(ends[1].stack, NULL, &h, now), 0);
	assert_int_equal(cpl_set_option(ends[1].stack, h, CPL_OPT_REUSEADDR, reuseaddr, now), 0);
	err = conn_bind(ends[1].stack, h, &at, now);
	cpl_close(ends[1].stack, h, now);
	return err;
}

/* To bind(2) a port that connections have is theirs: at rest, closing, in TIME-WAIT. */
static void ports_are_held(void **state)
{
	struct cpl_addr any = { { 0 } }, two = cpl_addr4(10, 11, 12, 77);

	(void)state;
	for (int reuse = 0; reuse < 2; reuse++) {
		begin(false);
		assert_int_equal(cpl_addr_add(ends[1].stack, ends[1].ifindex, &two, 24, now), 0);
		assert_int_equal(cpl_set_option(ends[1].stack, ends[1].listener, CPL_OPT_REUSEADDR,
						(uint64_t)reuse, now),
				 0);
		for (unsigned i = 0; i < 100; i++)
			connect_one(i);
		assert_int_equal(cpl_close(ends[1].stack, ends[1].listener, now), 0);
		for (int rest = 0; rest < 2; rest++) {
			assert_int_equal(rests(1), rest * 100);
			assert_int_equal(binds(any, false), -EADDRINUSE);
			assert_int_equal(binds(any, true), reuse ? 0 : -EADDRINUSE);
			assert_int_equal(binds(addr_of(1), false), -EADDRINUSE);
			assert_int_equal(binds(two, false), 0); /* they have another address */
			assert_int_equal(rests(1), rest * 100);
			pass(3 * CPL_SECOND);
		}
		for (unsigned i = 0; i < 100; i++) { /* the server first */
			assert_int_equal(cpl_close(ends[1].stack, server[i], now), 0);
			exchange();
			assert_int_equal(cpl_close(ends[0].stack, client[i], now), 0);
			exchange();
		}
		assert_int_equal(tcp_of(1)->time_waits.in_use, 100);
		assert_int_equal(binds(any, false), -EADDRINUSE);
		assert_int_equal(binds(any, true), reuse ? 0 : -EADDRINUSE);
		assert_int_equal(binds(two, false), 0);
		pass(2 * CPL_SECOND);
		assert_int_equal(tcp_of(1)->time_waits.in_use, 0);
		assert_int_equal(binds(any, false), 0);
		end();
	}
}

/* More than are counted: what is left of them is found by looking. */
static void many_hold_a_port(void **state)
{
	struct port_claim claim = { .port = 80 };

	(void)state;
	begin(false);
	connect_one(0);
	for (unsigned i = 0; i < 40000; i++)
		port_hold(tcp_of(1), 80, i == 39999, false);
	for (unsigned i = 0; i < 40000; i++)
		port_leave(tcp_of(1), 80);
	assert_true(port_held(tcp_of(1), &claim));
	assert_true(port_held_against(tcp_of(1), &claim));
	assert_int_equal(cpl_abort(ends[1].stack, server[0], now), 0);
	assert_true(port_held(tcp_of(1), &claim));
	assert_false(port_held_against(tcp_of(1), &claim));
	assert_false(port_held(tcp_of(1), &claim));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packing_is_exact),   cmocka_unit_test(idle_ipv4),
		cmocka_unit_test(idle_ipv6),	      cmocka_unit_test(a_look_wakes_nobody),
		cmocka_unit_test(segments_wake),      cmocka_unit_test(a_timer_wakes),
		cmocka_unit_test(fin_wait_2_ends),    cmocka_unit_test(no_memory_to_wake),
		cmocka_unit_test(memory_comes_back),  cmocka_unit_test(many_at_once),
		cmocka_unit_test(time_wait_is_small), cmocka_unit_test(peer_limit),
		cmocka_unit_test(ports_are_held),     cmocka_unit_test(many_hold_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
