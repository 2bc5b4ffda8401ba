/* SPDX-License-Identifier: MIT */
/*
 * Loss recovery, packet in and packet out: for each RFC on it one exchange at least that would go
 * otherwise without it. What each part of the code does in detail is tested beside it (tests/loss,
 * tests/tcp); the state x event grid of RFC 9293 is tests/tcp/grid.def.
 *
 * A step: "w N" the program writes N octets; "< SEGMENT" comes; "> SEGMENT" leaves, now;
 * "+N" N milliseconds pass; "." nothing leaves; "save", "echo": the timestamp that was seen last is
 * kept, and is what the next segment answers. Segments as in tests/util/tcp_bench.h.
 */
#include <stdlib.h>

#include "tests/util/tcp_bench.h"

static struct bench b;

struct exchange {
	unsigned rfc;
	const char *what;
	bool sack, timestamps;
	const char *steps[24];
};

static const struct exchange exchanges[] = {
	{ 5681,
	  "the third duplicate ACK sends the segment again",
	  false,
	  false,
	  { "w 4000", "> . 1:1001 ack 1", "> . 1001:2001 ack 1", "> . 2001:3001 ack 1",
	    "> P. 3001:4001 ack 1", "+20", "< . 1 ack 1", "< . 1 ack 1", ".", "< . 1 ack 1",
	    "> . 1:1001 ack 1", "." } },
	{ 6298,
	  "the time-out, a second at first, doubles",
	  false,
	  false,
	  { "w 100", "> P. 1:101 ack 1", "+990", ".", "+20", "> P. 1:101 ack 1", "+1970", ".",
	    "+40", "> P. 1:101 ack 1" } },
	{ 6582,
	  "a partial ACK sends the next hole at once",
	  false,
	  false,
	  { "w 5000", "> . 1:1001 ack 1", "> . 1001:2001 ack 1", "> . 2001:3001 ack 1",
	    "> . 3001:4001 ack 1", "> P. 4001:5001 ack 1", "+20", "< . 1 ack 1", "< . 1 ack 1",
	    "< . 1 ack 1", "> . 1:1001 ack 1", "+20", "< . 1 ack 2001", "> . 2001:3001 ack 1",
	    "." } },
	{ 6675,
	  "what SACK shows to have left makes room, holes go first",
	  true,
	  false,
	  { "w 6000", "> . 1:1001 ack 1", "> . 1001:2001 ack 1", "> . 2001:3001 ack 1",
	    "> . 3001:4001 ack 1", "> . 4001:5001 ack 1", "> P. 5001:6001 ack 1", "+20",
	    "< . 1 ack 1 <sack 1001:2001,sack 3001:6001>", "> . 1:1001 ack 1",
	    "< . 1 ack 1001 <sack 1001:2001,sack 3001:6001>" } },
	{ 8985,
	  "the reordering timer; the loss probe at the tail",
	  true,
	  false,
	  { "w 1000", "> P. 1:1001 ack 1", "+20", "< . 1 ack 1001", "w 2000", "> . 1001:2001 ack 1",
	    "> P. 2001:3001 ack 1", "+20", "< . 1 ack 1001 <sack 2001:3001>", ".", "+10",
	    "> . 1001:2001 ack 1", "+20", "< . 1 ack 3001", "w 2000", "> . 3001:4001 ack 1",
	    "> P. 4001:5001 ack 1", "+60", "> P. 4001:5001 ack 1" } },
	{ 9937,
	  "proportional rate reduction: up to ssthresh, then one for each delivered",
	  true,
	  false,
	  { "w 12000", "> . 1:1001 ack 1", "> . 1001:2001 ack 1", "> . 2001:3001 ack 1",
	    "> . 3001:4001 ack 1", "> . 4001:5001 ack 1", "> . 5001:6001 ack 1",
	    "> . 6001:7001 ack 1", "> . 7001:8001 ack 1", "> . 8001:9001 ack 1",
	    "> . 9001:10001 ack 1", "+20", "< . 1 ack 1 <sack 2001:5001>", "> . 1:1001 ack 1",
	    "> . 1001:2001 ack 1", ".", "< . 1 ack 1 <sack 2001:6001>", "> . 10001:11001 ack 1",
	    "." } },
	{ 5682,
	  "after a time-out new data tells that it was needless",
	  false,
	  false,
	  { "w 1000", "> P. 1:1001 ack 1", "+20", "< . 1 ack 1001", "w 2000", "> . 1001:2001 ack 1",
	    "> P. 2001:3001 ack 1", "+230", "> . 1001:2001 ack 1", "w 2000", "< . 1 ack 2001",
	    "> . 3001:4001 ack 1", "> P. 4001:5001 ack 1", "< . 1 ack 3001", "." } },
	{ 3522,
	  "an echo of the original: what follows is not sent again",
	  false,
	  true,
	  { "w 988", "> P. 1:989 ack 1 <TS>", "+20", "< . 1 ack 989", "w 1976",
	    "> . 989:1977 ack 1 <TS>", "> P. 1977:2965 ack 1 <TS>", "save", "+230",
	    "> . 989:1977 ack 1 <TS>", "echo", "< . 1 ack 1977", "." } },
	{ 2883,
	  "a duplicate is reported",
	  true,
	  false,
	  { "< P. 1:101 ack 1", "> . 1 ack 101", "< P. 1:101 ack 1",
	    "> . 1 ack 101 <sack 1:101>" } },
	{ 3042,
	  "new segments on the first two duplicate ACKs, beyond cwnd",
	  false,
	  false,
	  { "w 12000", "> . 1:1001 ack 1", "> . 1001:2001 ack 1", "> . 2001:3001 ack 1",
	    "> . 3001:4001 ack 1", "> . 4001:5001 ack 1", "> . 5001:6001 ack 1",
	    "> . 6001:7001 ack 1", "> . 7001:8001 ack 1", "> . 8001:9001 ack 1",
	    "> . 9001:10001 ack 1", ".", "+20", "< . 1 ack 1", "> . 10001:11001 ack 1", ".",
	    "< . 1 ack 1", "> P. 11001:12001 ack 1" } },
};

#define EXCHANGES (sizeof(exchanges) / sizeof(exchanges[0]))

static void play(const struct exchange *e)
{
	uint32_t tsval = 0;
	cpl_handle h;

	bench_init(&b);
	b.config.sack = e->sack;
	b.config.timestamps = e->timestamps;
	bench_start(&b);
	h = bench_passive(&b, e->timestamps ? "mss 1000,TS"
			      : e->sack	    ? "mss 1000,sackOK"
					    : "mss 1000");
	for (unsigned i = 0; i < 24 && e->steps[i]; i++) {
		const char *s = e->steps[i];

		if (*s == 'w')
			bench_write(&b, h, (unsigned)atoi(s + 2));
		else if (*s == '<')
			send(&b, "%s", s + 2);
		else if (*s == '>')
			expect(&b, "%s", s + 2);
		else if (*s == 's')
			tsval = b.flow.our_tsval;
		else if (*s == 'e')
			b.flow.our_tsval = tsval;
		else if (*s == '+')
			bench_run(&b, (uint64_t)atoi(s + 1) * CPL_MS);
		else
			expect_nothing(&b);
	}
	bench_end(&b);
}

static void each_exchange(void **state)
{
	(void)state;
	for (unsigned i = 0; i < EXCHANGES; i++) {
		print_message("RFC %u: %s\n", exchanges[i].rfc, exchanges[i].what);
		play(&exchanges[i]);
	}
}

/* A hole is visible: an RFC on loss recovery without an exchange. */
static void every_rfc_has_one(void **state)
{
	static const unsigned rfcs[] = {
		2883, 3042, 3522, 5681, 5682, 6298, 6582, 6675, 8985, 9937
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rfcs) / sizeof(rfcs[0]); i++) {
		unsigned n = 0;

		for (unsigned j = 0; j < EXCHANGES; j++)
			n += exchanges[j].rfc == rfcs[i];
		assert_true(n > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_exchange),
		cmocka_unit_test(every_rfc_has_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
