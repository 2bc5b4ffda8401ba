/* SPDX-License-Identifier: MIT */
/*
 * Packet in, packet out, in virtual time: one stack, one interface, and a peer that says what the
 * script says. The stack is reached through its public calls only.
 *
 *	bench_start(&b);
 *	h = bench_listen(&b, 80);
 *	send(&b, "S 0 win 1000 <mss 1460,sackOK>");
 *	expect(&b, "S. 0 ack 1 <mss 1460,sackOK>");
 *	send(&b, ". 1 ack 1");
 *	send(&b, "P. 1:101 ack 1");
 *	expect(&b, ". 1 ack 101 win *");
 *	expect_nothing(&b);
 *
 * A segment in words: FLAGS SEQ[:END] [ack N] [win N] [urg N] [ttl N] [tos N] [<options>]. FLAGS
 * are letters of FSRP.UEWA, or "-". Numbers are relative to each end's first, may be negative, and
 * END counts octets of payload only. Options: mss N, sackOK, wscale N, TS [VAL ECR], sack A:B,
 * FO [HEX|*], FOEXP [HEX|*] (the cookie; none: it is asked for; *: any), acc0 or acc1 with up to
 * three counters. Octet N of either stream is bench_octet(N - 1): both sides check what they
 * receive.
 *
 * What comes must have exactly the flags, seq, length and kinds of options that expect() names, and
 * an ack number if it has the flag; of the rest what is named. "<*>": any options; an option
 *without its number: any number. What goes in has 65,535 for a window, and once both SYNs had
 *timestamps a right one of its own, unless options are named; "<>": none.
 */
#ifndef TESTS_UTIL_TCP_BENCH_H
#define TESTS_UTIL_TCP_BENCH_H

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <couplet/couplet.h>

#include "tests/util/heap.h"
#include "tests/util/packet.h"

#define BENCH_QUEUE  512 /* frames captured and not yet expected */
#define BENCH_LOG    64
#define BENCH_FRAME  66000
#define BENCH_EVENTS 256
#define BENCH_HELD   64

/* One connection as the peer sees it. A script with several keeps some of these. */
struct bench_flow {
	struct cpl_endpoint us, peer; /* "us" is the stack under test */
	uint32_t iss;		      /* the peer's */
	uint32_t our_iss;	      /* the stack's: learned from its SYN */
	bool our_iss_known;
	bool peer_ts, our_ts; /* whose SYN had timestamps */
	uint32_t our_tsval;   /* last seen */
};

/* A frame that the stack sent. */
struct bench_frame {
	uint64_t time;
	uint8_t *data;
	uint32_t len;
	uint16_t gso_size;
	struct test_packet p;
};

struct bench {
	/* Set by bench_init(), to be changed before bench_start(). */
	struct cpl_config config;
	struct cpl_iface_config iface;
	bool v6;
	bool mute_neighbours; /* the peer answers no ARP and no neighbour solicitation */
	bool show_neighbours; /* ... and these are frames to be expected */

	cpl_stack *stack;
	struct heap heap;
	int ifindex;
	uint64_t now, start;
	struct cpl_addr our_addr, peer_addr, gateway;
	struct bench_flow flow;
	unsigned refuse; /* so many frames the device refuses */
	bool any_octets; /* what the stack sends is not compared with bench_octet() */
	bool lend;	 /* frames go in lent, not copied */
	unsigned lent;	 /* those that have not come back */
	struct bench_lent *lent_frames;

	struct bench_frame queue[BENCH_QUEUE];
	unsigned first, n;
	struct bench_frame last; /* what expect() saw last; data is valid until the next one */

	struct {
		cpl_handle handle, parent;
		uint32_t what;
		int error;
		uint64_t user;
	} events[BENCH_EVENTS];
	unsigned events_n;

	/* What is sent between bench_hold() and bench_release() goes in by one call. */
	bool hold;
	struct cpl_frame held[BENCH_HELD];
	unsigned held_n;

	/* For the next segment sent only: options in raw octets, IPv4 options, a wrong checksum. */
	const uint8_t *raw_options;
	unsigned raw_options_n;
	const uint8_t *ip_options;
	unsigned ip_options_n;
	bool bad_checksum;

	char log[BENCH_LOG][PACKET_LINE + 32];
	unsigned log_n;
};

void bench_hold(struct bench *b);
void bench_release(struct bench *b);
/* Defaults: IPv4, bare IP packets, MTU 1500, no timestamps, window scaling or SACK disabled. */
void bench_init(struct bench *b);
/* The stack at 10.0.0.1/24 or fd00::1/64, the peer at .2, a default route by .254 or ::fe. */
void bench_start(struct bench *b);
/* Frees the stack; fails if it kept memory. */
void bench_end(struct bench *b);
/* Both of the first. */
void bench_begin(struct bench *b);

/* The default peer again, with PORT; a new connection, whose SYN the stack has not sent yet. */
void bench_flow(struct bench *b, uint16_t our_port, uint16_t peer_port);

uint8_t bench_octet(uint32_t stream_offset);

#define send(b, ...)		      bench_send(b, __VA_ARGS__)
#define expect(b, ...)		      bench_expect(__FILE__, __LINE__, b, __VA_ARGS__)
#define expect_after(b, ns, ...)      bench_expect_after(__FILE__, __LINE__, b, ns, __VA_ARGS__)
#define expect_nothing(b)	      bench_expect_nothing(__FILE__, __LINE__, b, 0)
#define expect_nothing_for(b, ns)     bench_expect_nothing(__FILE__, __LINE__, b, ns)
#define expect_icmp(b, type, code)    bench_expect_icmp(__FILE__, __LINE__, b, type, code)
#define expect_drop(b, why, ...)      bench_expect_drop(__FILE__, __LINE__, b, #why, __VA_ARGS__)
#define expect_state(b, state)	      bench_expect_state(__FILE__, __LINE__, b, state)
#define expect_event(b, h, what, err) bench_expect_event(__FILE__, __LINE__, b, h, what, err)

__attribute__((format(printf, 2, 3))) void bench_send(struct bench *b, const char *format, ...);
__attribute__((format(printf, 4, 5))) void bench_expect(const char *file, int line, struct bench *b,
							const char *format, ...);
/* Time passes: nothing comes before NS from now, then this (within two ticks of the wheel). */
__attribute__((format(printf, 5, 6))) void bench_expect_after(const char *file, int line,
							      struct bench *b, uint64_t ns,
							      const char *format, ...);
void bench_expect_nothing(const char *file, int line, struct bench *b, uint64_t ns);
/* An ICMP or ICMPv6 message; it is b->last.p. */
void bench_expect_icmp(const char *file, int line, struct bench *b, int type, int code);
/* The segment is dropped: COUNTER goes up by one, and nothing is said. */
__attribute__((format(printf, 5, 6))) void bench_expect_drop(const char *file, int line,
							     struct bench *b, const char *counter,
							     const char *format, ...);
/* The state of the flow's connection, whatever record holds it; CPL_CLOSED: there is none. */
int bench_state(struct bench *b);
void bench_expect_state(const char *file, int line, struct bench *b, int state);

/* Frames of any kind in, at once. */
void bench_inject(struct bench *b, const uint8_t *ip_packet, uint32_t len);
/* Lent frames that the stack is done with come back; so they do by themselves while time passes. */
void bench_collect(struct bench *b);
/* The next frame that came, now, as b->last; false: none. */
bool bench_take(struct bench *b);
/* An ICMP error about a segment of the flow with SEQ, from its first octet on LEN octets long. */
void bench_send_icmp(struct bench *b, uint8_t type, uint8_t code, uint32_t rest, uint32_t seq,
		     uint32_t len);

/* Fail, with what went in and came out. */
__attribute__((noreturn, format(printf, 4, 5))) void
bench_fail(const char *file, int line, struct bench *b, const char *format, ...);

/* Let time pass; what the stack sends is kept for expect(). */
void bench_run(struct bench *b, uint64_t ns);

/* All that happened to HANDLE since the last call; the error is left in *ERROR, if not NULL. */
uint32_t bench_events(struct bench *b, cpl_handle handle, int *error);
/* Exactly WHAT, and with CPL_EV_CLOSED or CPL_EV_SOFT this error. */
void bench_expect_event(const char *file, int line, struct bench *b, cpl_handle handle,
			uint32_t what, int error);
/* A half-open connection that awaits a verdict, or 0. */
cpl_handle bench_syn(struct bench *b);

/* Snapshot of a handle, in static memory; it must be valid. */
const struct cpl_info *bench_info(struct bench *b, cpl_handle handle);
/* The same of whatever record holds the flow; NULL: none. */
const struct cpl_info *bench_flow_info(struct bench *b);
uint64_t bench_counter(struct bench *b, const char *name);
#define counter(b, name) bench_counter(b, #name)
/* The sum of all drop counters. */
uint64_t bench_drops(struct bench *b);

/* The calls, which must succeed. The script's flow becomes that of the connection. */
cpl_handle bench_listen(struct bench *b, uint16_t port);
cpl_handle bench_open(struct bench *b, uint16_t local_port, uint16_t port);
cpl_handle bench_accepted(struct bench *b, cpl_handle listener);
/* Write N octets of the stream; fails unless all are taken. */
void bench_write(struct bench *b, cpl_handle h, uint32_t n);
void bench_write_flags(struct bench *b, cpl_handle h, uint32_t n, unsigned flags); /* CPL_MSG_* */
/* Read N octets of the stream, no more and no fewer, and check them. */
void bench_read(struct bench *b, cpl_handle h, uint32_t n);
/* The same, when the first one is the stream's octet FROM: an urgent octet was left out. */
void bench_read_at(struct bench *b, cpl_handle h, uint32_t from, uint32_t n);
/* Read N octets of what there is. */
void bench_read_some(struct bench *b, cpl_handle h, uint32_t n);

/* A connection in ESTABLISHED, opened by the stack or by the peer with OPTIONS in its SYN. */
cpl_handle bench_active(struct bench *b, const char *options);
cpl_handle bench_passive(struct bench *b, const char *options);

#endif
