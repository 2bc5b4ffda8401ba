/* SPDX-License-Identifier: MIT */
/*
 * A whole network from one number: hosts, links, options, programs, faults; run to its end under
 * all oracles.
 */
#ifndef SIM_SEED_H
#define SIM_SEED_H

#include <stdio.h>

#include "sim/app.h"
#include "sim/attack.h"
#include "sim/gram.h"
#include "sim/oracle.h"

#define SEED_TEXT 1600

struct seed_run {
	uint64_t seed;
	struct net *net;
	struct apps apps;
	struct oracle oracle;
	struct attack attack;
	struct gram gram;
	uint64_t draws;
	uint64_t start;	 /* the programs begin */
	uint64_t healed; /* no fault is after this */
	bool forgiving;	 /* a fault may end connections: only what may never happen is checked */
	bool strict[APP_TALKS]; /* this talk must end well at both ends */
	char text[SEED_TEXT];	/* what was drawn, for people */
	FILE *verbose;		/* tell all here */
};

/* Draw the network of SEED. 0, or -1 when even that fails: net->failure says why. */
int seed_make(struct seed_run *run, uint64_t seed);
/* Run it to its end and ask the oracles. True: nothing is wrong. */
bool seed_play(struct seed_run *run);
void seed_free(struct seed_run *run);

/* What a run was: the hash tells two runs apart, the rest adds up over runs. */
struct seed_sum {
	uint64_t hash;
	uint64_t packets, octets; /* on the links; read by programs */
	uint64_t pairs;		  /* of ends, compared */
	uint64_t time_ns;	  /* simulated */
};

/*
 * All of it. On failure FILE (may be NULL) is told what, in lines that begin with "# ", and the
 * command that repeats it. VERBOSE: the scenario and every packet too. SUM may be NULL.
 */
bool sim_run_seed(uint64_t seed, bool verbose, FILE *file, struct seed_sum *sum);

/* Print every packet on FILE, a line each: for people who look for a bug. */
void seed_watch(struct net *net, FILE *file);

#endif
