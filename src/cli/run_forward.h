/* SPDX-License-Identifier: MIT */
/*
 * The way out of `couplet run --link user`: a second stack takes whatever the program's stack
 * sends, to any address and port, and ordinary sockets of this process carry it on. No rights are
 * needed, and no interface, route or rule of the machine changes. A connection through it is two:
 * the program's ends here, another one goes on.
 */
#ifndef CLI_RUN_FORWARD_H
#define CLI_RUN_FORWARD_H

#include <couplet/couplet.h>

#include "link/link.h"

#define FORWARD_PUBLISH_MAX 32

/* A port of this machine that leads to one of the program's. */
struct forward_publish {
	struct cpl_endpoint at; /* of the kernel; address all zero: any */
	uint16_t port;		/* of the program */
};

struct forward_config {
	struct cpl_addr gateway4,
		gateway6; /* stand for this machine's loopback, and are our source */
	struct cpl_addr program4, program6; /* where published ports lead */
	uint32_t flows_max;
	struct forward_publish publish[FORWARD_PUBLISH_MAX];
	unsigned publish_n;
};

struct forward;

/*
 * Start it on LINK, the far end of the program's link, which is its own from now on also if this
 * fails; it runs in a thread of its own. 0 or a negative errno with a sentence.
 */
int forward_start(struct forward **forward, struct link *link, const struct forward_config *config,
		  struct link_why *why);
/* Ends the thread and all it carries. NULL is allowed. */
void forward_stop(struct forward *forward);

#endif
