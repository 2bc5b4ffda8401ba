/* SPDX-License-Identifier: MIT */
/* The stack of `couplet run` and what leads out of it. */
#ifndef CLI_RUN_LINK_H
#define CLI_RUN_LINK_H

#include <stdbool.h>

#include <couplet/couplet.h>

#include "cli/run_forward.h"
#include "host/arena.h"
#include "host/control.h"
#include "host/loop.h"
#include "link/link.h"
#include "link/pcapng.h"

/* None: nothing but its own loopback. */
enum run_link_kind {
	RUN_LINK_USER,
	RUN_LINK_DEVICE,
	RUN_LINK_NONE
};

struct run_link_options {
	enum run_link_kind kind;
	struct link_spec device; /* its mtu 0: 1500; 65,535 for the user link */
	const char *name;	 /* of the stack, for `couplet netstat` */
	/* All zero: none. The gateway of a TUN or TAP device is the kernel's end. */
	struct cpl_addr ours4, ours6, gateway4, gateway6;
	unsigned prefix4, prefix6;
	const char *capture; /* write all frames there, or NULL */
	bool share;	     /* the stack's memory, with programs: run_link.arena */
	struct forward_publish publish[FORWARD_PUBLISH_MAX];
	unsigned publish_n;
};

struct run_link {
	cpl_stack *stack;
	struct loop *loop;
	struct link *link;
	struct link *nowhere; /* the other end of our loopback's */
	struct forward *forward;
	struct control *control;
	struct pcapng *capture;
	struct arena *arena; /* what the stack is in, or NULL */
	int arena_fd;
	const struct link *shared; /* the link, the loop's */
	int ifindex;
	unsigned lo;	 /* ifindex of our loopback */
	bool has6;	 /* the way out has IPv6 */
	char device[16]; /* name of the interface */
};

/* Whether an address is given at all. */
bool run_link_has(const struct cpl_addr *addr);
/* 0, or a negative errno with a sentence; run_link_close() in either case. */
int run_link_open(struct run_link *l, const struct run_link_options *options, struct link_why *why);
void run_link_close(struct run_link *l);

#endif
