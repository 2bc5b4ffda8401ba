/* SPDX-License-Identifier: MIT */
/*
 * N stacks with the same addresses, each with its loop and its queue of one device in a thread of
 * its own: they share nothing but what queues hand on to each other (link_steer_open()). A
 * connection lives and dies on one core; a program that listens, listens on each.
 *
 * One thread makes, starts and frees them; while they run, a core's stack and loop are its own
 * thread's, but for loop_stop() and loop_wake(). Core 0 has no thread: it is the maker's.
 */
#ifndef HOST_CORES_H
#define HOST_CORES_H

#include <couplet/couplet.h>

#include "host/loop.h"

struct cores;

struct core {
	unsigned number;
	cpl_stack *stack;
	struct loop *loop;
	int ifindex;
	struct control *control; /* NULL until cores_offer() */
	void *user;		 /* the program's */
};

/*
 * QUEUES[0..N) are taken over, also if this fails; with N 1 there is no steering. CONFIG is what
 * all stacks are made with, but for core and cores, a secret that differs for each, and, if it
 * gives no Fast Open key, one for all: the next connection may come to another core. FLAGS as in
 * loop_add_link(). 0 or a negative errno.
 */
int cores_new(struct cores **cores, const struct cpl_config *config, struct link **queues,
	      unsigned n, uint32_t flags, struct link_why *why);
/* Stops them if they run. Links, loops, control sockets and stacks go. NULL is allowed. */
void cores_free(struct cores *cores);

unsigned cores_n(const struct cores *cores);
struct core *cores_get(struct cores *cores, unsigned number);

/* The same for all; the first error. */
int cores_addr_add(struct cores *cores, const struct cpl_addr *addr, unsigned prefix_len,
		   uint64_t now);
int cores_route_add(struct cores *cores, const struct cpl_addr *prefix, unsigned prefix_len,
		    const struct cpl_addr *gateway, uint32_t metric, uint64_t now);
/* Offer each one's control socket, as NAME, or NAME-0, NAME-1, ... if they are several. */
int cores_offer(struct cores *cores, const char *name, struct link_why *why);

/* What a core's thread does, until loop_stopped(); 0 or a negative errno, which stops all cores. */
typedef int (*cores_fn)(void *arg, struct core *core);
/*
 * Start the threads of core 1 and up, which call FN, NULL: loop_run(). As many as there are
 * processors allowed are bound to one each. Signals are left to the other threads.
 */
int cores_start(struct cores *cores, cores_fn fn, void *arg, struct link_why *why);
/* Core 0's turn of the same, in this thread; when it is over all are stopped and waited for.
 * Returns the first error of any. */
int cores_run(struct cores *cores);

#endif
