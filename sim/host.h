/* SPDX-License-Identifier: MIT */
/* Inside the simulator: what net.c, host.c and link.c have of each other. */
#ifndef SIM_HOST_H
#define SIM_HOST_H

#include "sim/net.h"

/* Call the observers; now is filled in. */
void net_show(struct net *net, struct net_sight *sight);
void net_hash(struct net *net, uint64_t tag, const uint8_t *p, uint32_t len);

/* When its stack or a device wants something, on the network's clock. */
uint64_t host_deadline(const struct net_host *host);
void host_advance(struct net_host *host);
/* Events to the programs, output to the links. True: there was something. */
bool host_serve(struct net_host *host);
/* Hand in a frame that came out of a wire; takes it over. */
#define NET_BATCH 64
/* Up to NET_BATCH FRAMES, which are the host's from now on, in one call of cpl_input(). */
void host_input(struct net_iface *iface, struct net_host *peer, struct wire_frame **frames,
		unsigned n);

uint64_t link_deadline(const struct net_link *link);
void link_deliver(struct net_link *link);
/* A frame of IFACE, in one piece. */
void link_send(struct net_iface *iface, const struct cpl_out *out, const uint8_t *data);

#endif
