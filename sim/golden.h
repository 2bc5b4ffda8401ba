/* SPDX-License-Identifier: MIT */
/*
 * The golden table (tests/sim/golden.txt): what congestion control and loss recovery make of
 * simulated paths, the same on every machine, so that a change of behaviour shows as a change of
 * the committed text. Two kinds of rows: one flow, for loss x round trip x rate x queue x
 * controller; and flows that share a bottleneck.
 */
#ifndef SIM_GOLDEN_H
#define SIM_GOLDEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define GOLDEN_FIGURES 7
#define GOLDEN_KEY     96
#define GOLDEN_LINE    160
#define GOLDEN_ROWS    2400

enum golden_kind {
	GOLDEN_ONE, /* Mbit/s, % lost, % sent again, p99 gap ms, queue p50 ms, p95 ms, time-outs */
	GOLDEN_SHARED, /* Jain, % of flows 1, 3..., % used, % lost, % sent again, queue p50, p95 */
};

/* One row to be computed. */
struct golden_row {
	enum golden_kind kind;
	const char *cc, *other; /* OTHER: of the second half of the flows; NULL: as CC */
	unsigned flows;
	unsigned rtt_ms, other_rtt_ms; /* of every second flow */
	unsigned rate;		       /* Mbit/s */
	double queue;		       /* bandwidth-delay products of rtt_ms, the longer one */
	double loss;		       /* of data, per cent */
	bool bursts;		       /* instead: see golden.c */
	bool cut;		       /* one of the few that `make check` computes */
	char key[GOLDEN_KEY];
};

/* All rows, in the table's order; returns how many. */
unsigned golden_rows(struct golden_row rows[GOLDEN_ROWS]);
void golden_run(const struct golden_row *row, double figures[GOLDEN_FIGURES]);
/*
 * ROW over time, for people and plots: each STEP_NS a line of the time in seconds and, for each
 * flow, its cwnd in segments and the Mbit/s that it delivered since the line before. SECONDS long.
 */
void golden_series(FILE *file, const struct golden_row *row, uint64_t step_ns, unsigned seconds);
void golden_print_head(FILE *file);
void golden_print(FILE *file, const struct golden_row *row, const double figures[GOLDEN_FIGURES]);
/* Look ROW up in FILE, from its start. False: it is not there. */
bool golden_find(FILE *file, const struct golden_row *row, double figures[GOLDEN_FIGURES]);
/* True: they do not print as the same. */
bool golden_drifts(const struct golden_row *row, const double was[GOLDEN_FIGURES],
		   const double is[GOLDEN_FIGURES]);
/* What differs more than is tolerated, in words; NULL: nothing. */
const char *golden_differs(const struct golden_row *row, const double was[GOLDEN_FIGURES],
			   const double is[GOLDEN_FIGURES]);

#endif
