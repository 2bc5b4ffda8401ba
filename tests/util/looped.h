/* SPDX-License-Identifier: MIT */
/*
 * For tests: a stack in a loop, with a program that either sends a known stream and checks what
 * comes back, or sends back what it receives.
 */
#ifndef TESTS_UTIL_LOOPED_H
#define TESTS_UTIL_LOOPED_H

#include <pthread.h>

#include "host/config.h"
#include "host/loop.h"

struct looped {
	cpl_stack *stack;
	struct loop *loop;
	int ifindex;
	cpl_handle listener;
	pthread_t thread;
	/* of who sends */
	cpl_handle conn;
	uint64_t total, sent, received;
	int error;
	bool finished; /* TOTAL octets are back, or ERROR says why not */
	/* of the echo */
	struct echo *echoes;
	unsigned accepted;
};

/* Octet number AT of the stream. */
static inline uint8_t looped_octet(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 13));
}

/* All return 0 or a negative errno. LINK is the host's from now on. */
int looped_open(struct looped *h, struct link *link, struct link_why *why);
void looped_close(struct looped *h);
/* Of an echo on a stack and loop that are another's: what it holds. */
void looped_forget(struct looped *h);
int looped_addr(struct looped *h, const struct cpl_addr *addr, unsigned prefix_len);
/* Echo on PORT, any number of connections; each is closed when the peer closes it. */
int looped_echo(struct looped *h, uint16_t port);
/* Send TOTAL octets there and expect them back, by turns of the loop until it is finished. */
int looped_send(struct looped *h, const struct cpl_endpoint *remote, uint64_t total);
/* Run the loop in a thread of its own, and end that. */
int looped_start(struct looped *h);
int looped_stop(struct looped *h);

#endif
