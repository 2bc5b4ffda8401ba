/* SPDX-License-Identifier: MIT */
/*
 * Bursts where connections are many (ahead.c): what is asked for is what the segments need, nothing
 * is read that did not come, and all of a burst arrives as if nothing had been asked for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "stack/stack.h"
#include "tcp/rest.h"
#include "tests/util/heap.h"

#define MANY  10000u /* of which half are INPUT_FAR, and more */
#define BURST 70u    /* twice what is asked for at once, and some */
#define FRAME 256

static struct heap heap;
static cpl_stack *stacks[2];
static cpl_handle client[MANY], server[MANY], listener;
static uint64_t now;
static bool ipv6, ether;

static struct cpl_addr addr_of(int i)
{
	struct cpl_addr a = cpl_addr4(10, 11, 12, (uint8_t)(i + 1));

	if (ipv6)
		a = (struct cpl_addr){ { 0xfd, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0x21, 0x43,
					 0x65, 0x87, 0xa9, 0xcb, 0xed, (uint8_t)(i + 1) } };
	return a;
}

static void open_end(int i)
{
	struct cpl_iface_config ic = { .size = sizeof(ic),
				       .name = "x",
				       .kind = ether ? CPL_IFACE_ETHER : CPL_IFACE_IP,
				       .mac = { 2, 0, 0, 0, 0, (uint8_t)(i + 1) },
				       .mtu = 1500 };
	struct cpl_addr addr = addr_of(i);
	struct cpl_config c;

	cpl_config_init(&c);
	c.alloc = heap_alloc;
	c.release = heap_release;
	c.alloc_ctx = &heap;
	c.memory_max = 1ull << 30;
	c.conns_max = 1 << 20;
	c.port_first = 1024;
	c.secret[0] = (uint8_t)(i + 1);
	assert_int_equal(cpl_stack_new(&stacks[i], &c, now), 0);
	assert_int_equal(cpl_iface_add(stacks[i], &ic, now), 1);
	assert_int_equal(cpl_addr_add(stacks[i], 1, &addr, ipv6 ? 64 : 24, now), 0);
}

/* Up to N frames of FROM's, each in memory of its own length. */
static unsigned pull(int from, struct cpl_frame *frames, unsigned n)
{
	uint8_t data[FRAME];
	unsigned got = 0;
	int len;

	while (got < n &&
	       (len = cpl_output_copy(stacks[from], 1, data, sizeof(data), NULL, now)) > 0) {
		void *own = malloc((size_t)len);

		memcpy(own, data, (size_t)len);
		frames[got++] = (struct cpl_frame){ .data = own, .len = (uint32_t)len };
	}
	return got;
}

static void let_go(const struct cpl_frame *frames, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free((void *)(uintptr_t)frames[i].data);
}

/* In bursts, until nobody has anything to send. */
static void exchange(void)
{
	struct cpl_frame frames[BURST];
	struct cpl_event ev;
	unsigned n, all;

	do {
		all = 0;
		for (int from = 0; from < 2; from++) {
			all += n = pull(from, frames, BURST);
			assert_int_equal(cpl_input(stacks[!from], 1, frames, n, now), n);
			let_go(frames, n);
		}
	} while (all);
	for (int i = 0; i < 2; i++)
		while (cpl_next_event(stacks[i], &ev))
			;
}

static void pass(uint64_t ns)
{
	for (uint64_t end = now + ns; now < end; now += 50 * CPL_MS) {
		for (int i = 0; i < 2; i++)
			while (cpl_deadline(stacks[i]) <= now)
				cpl_advance(stacks[i], now);
		exchange();
	}
}

static void begin(bool six, bool link)
{
	struct cpl_endpoint local = { .port = 80 }, to;

	ipv6 = six;
	ether = link;
	now = 12345 * CPL_SECOND + 6789;
	heap_init(&heap, UINT64_MAX);
	for (int i = 0; i < 2; i++)
		open_end(i);
	assert_int_equal(cpl_listen(stacks[1], &local, MANY, &listener, now), 0);
	to = (struct cpl_endpoint){ .addr = addr_of(1), .port = 80 };
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(cpl_connect(stacks[0], NULL, &to, &client[i], now), 0);
		if (i % BURST == 0 || i == MANY - 1)
			exchange();
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(cpl_accept(stacks[1], listener, &server[i], now), 0);
	exchange();
	assert_true(stacks[1]->tcp.tcbs.in_use >= INPUT_FAR);
}

static void end(void)
{
	for (int i = 0; i < 2; i++)
		cpl_stack_free(stacks[i]);
	assert_int_equal(heap.bytes, 0);
}

/* Of a segment of connection I, where its TCB is. */
static void asks_for(unsigned i)
{
	struct tcp *tcp = &stacks[1]->tcp;
	struct cpl_frame f;
	const uint8_t *ip;
	const struct tcb *tcb;

	assert_int_equal(cpl_send(stacks[0], client[i], "x", 1, 0, now), 1);
	assert_int_equal(pull(0, &f, 1), 1);
	ip = (const uint8_t *)f.data + (ether ? 14 : 0);
	assert_int_equal(cpl_input(stacks[1], 1, &f, 1, now), 1);
	exchange();
	/* It woke, or came to be, last: so it is the first of its chain. */
	tcb = demux_first_ahead(tcp, *demux_chain_ahead(tcp, ip, ip + (ipv6 ? 40 : 20)));
	assert_non_null(tcb);
	assert_int_equal(tcb->node.id.rport, ip[ipv6 ? 40 : 20] << 8 | ip[ipv6 ? 41 : 21]);
	let_go(&f, 1);
}

static void what_they_need(void **state)
{
	(void)state;
	for (int six = 0; six < 2; six++) {
		begin(six, false);
		pass(3 * CPL_SECOND);
		for (unsigned i = 0; i < 50; i++)
			asks_for(i * (MANY / 50));
		end();
	}
}

/* Of those that send at once some rest, some are awake, and some more follow one another. */
static void all_arrives(void **state)
{
	char got[8];

	(void)state;
	for (int how = 0; how < 3; how++) {
		begin(how == 1, how == 2);
		pass(3 * CPL_SECOND);
		for (unsigned i = 0; i < MANY; i += 2)
			assert_int_equal(cpl_send(stacks[1], server[i], "up", 2, 0, now), 2);
		exchange();
		for (int i = 0; i < 2; i++) {
			assert_true(stacks[i]->tcp.tcbs.in_use >= INPUT_FAR);
			assert_true(stacks[i]->tcp.tcbs.in_use < MANY);
		}
		for (unsigned i = 0; i < BURST; i++)
			assert_int_equal(cpl_send(stacks[0], client[i], "hello", 5, 0, now), 5);
		exchange();
		for (unsigned i = 0; i < BURST; i++)
			assert_int_equal(cpl_recv(stacks[1], server[i], got, 8, 0, now), 5);
		end();
	}
}

/* Cut at each length, and with each octet of the header another: under a sanitizer, no complaint.
 */
static void nothing_else_is_read(void **state)
{
	struct cpl_frame f = { .len = 0 }, cut[BURST];
	unsigned n;

	(void)state;
	for (int how = 0; how < 3; how++) {
		begin(how == 1, how == 2);
		assert_int_equal(cpl_send(stacks[0], client[0], "x", 1, 0, now), 1);
		assert_int_equal(pull(0, &f, 1), 1);
		for (n = 0; n < BURST && n <= f.len; n++) {
			uint8_t *own = malloc(n ? n : 1);

			memcpy(own, f.data, n);
			if (n)
				own[n - 1] ^= 0x0f;
			cut[n] = (struct cpl_frame){ .data = own, .len = n };
		}
		assert_int_equal(cpl_input(stacks[1], 1, cut, n, now), n);
		let_go(cut, n);
		let_go(&f, 1);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_they_need),
		cmocka_unit_test(all_arrives),
		cmocka_unit_test(nothing_else_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
