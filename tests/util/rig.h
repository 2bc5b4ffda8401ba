/* SPDX-License-Identifier: MIT */
/*
 * A stack with several interfaces for tests of src/stack: packets go in on one, and what the stack
 * sends on any of them is taken in order. Neighbours are silent unless told to answer; TCP's own
 * tests use tcp_bench.h.
 */
#ifndef TESTS_UTIL_RIG_H
#define TESTS_UTIL_RIG_H

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <couplet/couplet.h>

#include "tests/util/bytes.h"
#include "tests/util/heap.h"
#include "tests/util/packet.h"

#define RIG_QUEUE 2048

struct rig_frame {
	int ifindex;
	uint64_t time;
	uint8_t *data;
	uint32_t len;
	struct test_packet p;
};

struct rig {
	struct cpl_config config; /* to be changed between rig_init() and rig_start() */
	cpl_stack *stack;
	struct heap heap;
	uint64_t now;
	int ifaces;
	bool ether[65];
	bool answer; /* who is asked for answers, by rig_peer_mac */
	struct rig_frame queue[RIG_QUEUE];
	unsigned first, n;
	struct rig_frame last; /* what rig_take() gave; valid until the next time */
};

extern const uint8_t rig_peer_mac[6];

void rig_init(struct rig *r);
void rig_start(struct rig *r);
/* Frees the stack; fails if it kept memory. */
void rig_end(struct rig *r);
/* An interface with MAC 02:00:00:00:00:NN and MTU 1500. */
int rig_iface(struct rig *r, int kind, uint32_t flags);
void rig_mac(int ifindex, uint8_t mac[6]);
/* The calls, which must succeed; addresses as text. */
struct cpl_addr rig_addr(const char *text);
struct cpl_endpoint rig_at(const char *text, uint16_t port);
void rig_addr_add(struct rig *r, int ifindex, const char *addr, unsigned prefix_len);
void rig_route_add(struct rig *r, const char *prefix, unsigned prefix_len, const char *gateway,
		   int ifindex, uint32_t metric);
cpl_handle rig_udp(struct rig *r, const char *addr, uint16_t port);
/* An Ethernet interface with 10.0.0.1/24 and fd00::1/64, usable at once. */
int rig_begin(struct rig *r, int kind);

/* An IP packet comes in, on Ethernet from rig_peer_mac to us; or a whole frame. */
void rig_in(struct rig *r, int ifindex, const uint8_t *packet, uint32_t len);
void rig_frame_in(struct rig *r, int ifindex, const uint8_t *frame, uint32_t len);
void rig_udp_in(struct rig *r, int ifindex, const char *from, uint16_t sport, const char *to,
		uint16_t dport, const void *data, uint32_t n);
void rig_icmp_in(struct rig *r, int ifindex, const char *from, const char *to,
		 const struct icmp_msg *m);
/* A bare SYN, or any other segment without data. */
void rig_tcp_in(struct rig *r, int ifindex, const char *from, uint16_t sport, const char *to,
		uint16_t dport, uint16_t flags, uint32_t seq, uint32_t ack);
/* Time passes. */
void rig_run(struct rig *r, uint64_t ns);
/* What the stack sent, oldest first; NULL: nothing more. */
struct rig_frame *rig_take(struct rig *r);
/* The same, which must be of KIND and on IFINDEX. */
#define rig_expect(r, ifindex, kind) rig_expect_at(__FILE__, __LINE__, r, ifindex, kind)
struct rig_frame *rig_expect_at(const char *file, int line, struct rig *r, int ifindex,
				enum packet_kind kind);
/* ... and an ICMP message of TYPE and CODE. */
#define rig_icmp(r, ifindex, type, code) rig_icmp_at(__FILE__, __LINE__, r, ifindex, type, code)
struct rig_frame *rig_icmp_at(const char *file, int line, struct rig *r, int ifindex, int type,
			      int code);
#define rig_nothing(r) rig_nothing_at(__FILE__, __LINE__, r)
void rig_nothing_at(const char *file, int line, struct rig *r);
/* Forget what was sent so far. */
void rig_clear(struct rig *r);
/* All that happened to HANDLE since it was last asked; others' events are forgotten. */
uint32_t rig_events(struct rig *r, cpl_handle handle, int *error);

#define rig_counter(r, name)                                                                       \
	({                                                                                         \
		struct cpl_counters counters_;                                                     \
		cpl_counters_get((r)->stack, &counters_);                                          \
		counters_.name;                                                                    \
	})
/* Sum of all drop counters. */
uint64_t rig_drops(struct rig *r);
/* STATEMENT drops exactly one packet, counted as NAME, and nothing is said. */
#define rig_dropped(r, name, statement)                                                            \
	do {                                                                                       \
		uint64_t was_ = rig_counter(r, name), all_ = rig_drops(r);                         \
		statement;                                                                         \
		rig_nothing(r);                                                                    \
		assert_int_equal(rig_counter(r, name), was_ + 1);                                  \
		assert_int_equal(rig_drops(r), all_ + 1);                                          \
	} while (0)

#endif
