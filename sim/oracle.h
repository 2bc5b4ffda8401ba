/* SPDX-License-Identifier: MIT */
/*
 * What must hold in every run, whatever the network does. (That the octets arrive equal and in
 * order is checked by the programs themselves: app.h.)
 *
 * At each instant, from snapshots alone: the two ends of a connection agree as far as two ends can
 * (RFC 9293 3.4): iss(X) = irs(Y); snd_una(X) <= rcv_nxt(Y) <= snd_nxt(X); the window that X may
 * use ends where Y has advertised, or before. What an end has advertised it never takes back
 * (SHLD-14). Memory stays within the bound of the configuration. At the end: every connection is
 * gone, every frame is counted.
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "sim/app.h"

#define ORACLE_SEEN 64 /* connections of one host that are followed at once */

/* What an end looked like when it was seen last. */
struct oracle_end {
	uint64_t id;
	bool kept; /* seen at this instant */
	struct cpl_info info;
};

struct oracle {
	struct net *net;
	struct apps *apps;
	struct oracle_end *ends[NET_HOSTS]; /* ORACLE_SEEN each */
	unsigned ends_n[NET_HOSTS];
	unsigned lives[NET_HOSTS];
	bool touched[NET_HOSTS];
	uint64_t base_in[NET_HOSTS]; /* host's frames_in when its stack was made */
	uint64_t checks;	     /* pairs compared */
};

/*
 * What of X, which sends, contradicts Y, which receives, if both are of one instant; NULL: nothing
 * that is known.
 */
const char *oracle_pair(const struct cpl_info *x, const struct cpl_info *y);

/* Observes the network from now on. */
void oracle_init(struct oracle *oracle, struct net *net, struct apps *apps);
void oracle_free(struct oracle *oracle);
/* The programs are through and time enough has passed: nothing may be left. */
void oracle_end(struct oracle *oracle);

#endif
