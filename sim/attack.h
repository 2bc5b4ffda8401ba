/* SPDX-License-Identifier: MIT */
/*
 * Somebody off the path who knows the addresses and ports of each connection but not its sequence
 * numbers (RFC 5961): forged segments, forged ICMP errors, fragments that overlap, and noise. What
 * he sends must change nothing.
 */
#ifndef SIM_ATTACK_H
#define SIM_ATTACK_H

#include "sim/net.h"

struct attack {
	struct net *net;
	uint64_t seed;
	uint64_t from, until, gap_ns; /* a packet each gap_ns */
	bool flood; /* half of it SYNs from other ports and hosts: the SYN queue fills */
	uint64_t sent;
	/* The connection that he knows of: the last that had data. */
	bool known;
	struct cpl_addr addr[2];
	uint16_t port[2];
	struct net_iface *iface[2];
};

/* Observes NET, and begins at attack->from. */
void attack_start(struct attack *attack);

#endif
