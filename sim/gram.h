/* SPDX-License-Identifier: MIT */
/*
 * Datagrams on the simulated network: a client that sends some, of many sizes, and a server that
 * sends each back. UDP may lose and repeat them; what arrives must be, whole and to the octet, one
 * that was sent: fragmentation and reassembly stand in between.
 */
#ifndef SIM_GRAM_H
#define SIM_GRAM_H

#include "sim/net.h"

#define GRAM_MAX 20000

struct gram {
	struct net *net;
	struct net_host *client, *server;
	struct cpl_endpoint from, to;
	cpl_handle handle[2];
	unsigned life[2]; /* of the hosts on which the handles are valid */
	uint64_t seed;
	uint32_t count, size_max;
	uint64_t gap_ns;
	uint32_t sent, echoed, answered, refused;
};

/* COUNT datagrams, one each GAP, from START on. FROM's port may be 0. */
void gram_start(struct gram *gram, uint64_t start);
/* An event of one of its sockets. */
void gram_event(struct gram *gram, struct net_host *host, const struct cpl_event *event);

#endif
