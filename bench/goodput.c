/* SPDX-License-Identifier: MIT */
/*
 * What congestion control and loss recovery make of 1,500 simulated paths, and of flows that share
 * one (sim/golden.h): goodput, what is sent again, gaps, queueing, fairness. In virtual time: the
 * figures are the same on every machine, and stand in tests/sim/golden.txt.
 */

#include <couplet/couplet.h>

#include "bench/options.h"
#include "sim/golden.h"

static const char usage[] =
	"goodput               a cut of the table, and plots\n"
	"goodput plots [dir=out/plots]\n"
	"                      only these: dir/NAME.svg, by gnuplot (bench/goodput.gp)\n"
	"goodput all           all of the table: five minutes of one core\n"
	"goodput check [all]   compute the cut, or all, and compare with\n"
	"                      tests/sim/golden.txt, in TAP: a row fails if it differs\n"
	"                      more than is tolerated (golden_differs()); one that only\n"
	"                      drifts is printed, too\n"
	"KEY=A,B...            only rows of these: kind=one,shared loss=0,0.1,bursts\n"
	"                      rtt= rate= queue= flows= cc= other=none,...\n"
	"shard=I/N             only every N-th row, from the I-th on (1 is the first)\n"
	"series=MS             the first row over time, a line each MS, no figures\n"
	"seconds=60            so much of it, and of what is plotted over time\n";

#define TABLE "tests/sim/golden.txt"
#define PLOTS "bench/goodput.gp"

static struct golden_row rows[GOLDEN_ROWS];

/* WORD is one of LIST, or there is no list. */
static bool listed(const char *list, const char *word)
{
	size_t n = strlen(word);

	if (!list)
		return true;
	for (; *list; list += strcspn(list, ","), list += *list == ',')
		if (!strncmp(list, word, n) && (!list[n] || list[n] == ','))
			return true;
	return false;
}

static bool number_listed(const char *list, double number)
{
	char word[32];

	snprintf(word, sizeof(word), "%g", number);
	return listed(list, word);
}

static bool chosen(int argc, char **argv, const struct golden_row *row)
{
	return listed(option(argc, argv, "kind", NULL),
		      row->kind == GOLDEN_ONE ? "one" : "shared") &&
	       (row->bursts ? listed(option(argc, argv, "loss", NULL), "bursts")
			    : number_listed(option(argc, argv, "loss", NULL), row->loss)) &&
	       number_listed(option(argc, argv, "rtt", NULL), row->rtt_ms) &&
	       number_listed(option(argc, argv, "rate", NULL), row->rate) &&
	       number_listed(option(argc, argv, "queue", NULL), row->queue) &&
	       number_listed(option(argc, argv, "flows", NULL), row->flows) &&
	       listed(option(argc, argv, "cc", NULL), row->cc) &&
	       listed(option(argc, argv, "other", NULL), row->other ? row->other : "none");
}

/* False: it differs more than is tolerated, or the table does not have it. */
static bool compare(FILE *table, const struct golden_row *row, const double is[GOLDEN_FIGURES])
{
	double was[GOLDEN_FIGURES];
	const char *what;

	if (!golden_find(table, row, was)) {
		printf("# the table has no such row\n");
		return false;
	}
	what = golden_differs(row, was, is);
	if (what || golden_drifts(row, was, is)) {
		printf("# was ");
		golden_print(stdout, row, was);
		printf("# is  ");
		golden_print(stdout, row, is);
	}
	if (what)
		printf("# too different: %s\n", what);
	return !what;
}

/* 0: the plots are made, or cannot be made here, which is said. */
static int draw(const char *self, const char *dir, const char *seconds)
{
	char command[1024];

	if (system("gnuplot --version >/dev/null 2>&1")) {
		fprintf(stderr, "goodput: no plots: there is no gnuplot (Debian: gnuplot-nox)\n");
		return 0;
	}
	snprintf(command, sizeof(command),
		 "mkdir -p '%s' && gnuplot -e \"goodput='%s'; dir='%s/'; seconds='%s'\" " PLOTS
		 " && ls '%s'/*.svg",
		 dir, self, dir, seconds, dir);
	fflush(stdout);
	return system(command) != 0;
}

int main(int argc, char **argv)
{
	bool all = false, check = false;
	unsigned n = golden_rows(rows), shard = 1, shards = 1, k = 0, bad = 0, done = 0;
	unsigned series = (unsigned)option_number(argc, argv, "series", 0);
	const char *seconds = option(argc, argv, "seconds", "60");
	const char *dir = option(argc, argv, "dir", "out/plots");
	FILE *table = NULL;

	options_check(argc, argv, usage);
	if (argc > 1 && !strcmp(argv[1], "plots"))
		return draw(argv[0], dir, seconds);
	for (int i = 1; i < argc; i++) {
		all |= !strcmp(argv[i], "all") || strchr(argv[i], '=');
		check |= !strcmp(argv[i], "check");
	}
	sscanf(option(argc, argv, "shard", "1/1"), "%u/%u", &shard, &shards);
	if (check && !(table = fopen(TABLE, "r"))) {
		fprintf(stderr, "goodput: %s cannot be read: run from the top directory\n", TABLE);
		return 1;
	}
	if (!check && !series)
		golden_print_head(stdout);
	for (unsigned i = 0; i < n; i++) {
		double figures[GOLDEN_FIGURES];

		if ((!all && !rows[i].cut) || !chosen(argc, argv, &rows[i]) ||
		    k++ % shards != shard - 1)
			continue;
		if (series) {
			golden_series(stdout, &rows[i], series * CPL_MS,
				      (unsigned)strtoul(seconds, NULL, 10));
			return 0;
		}
		golden_run(&rows[i], figures);
		if (!check) {
			golden_print(stdout, &rows[i], figures);
			continue;
		}
		if (!compare(table, &rows[i], figures)) {
			printf("not ");
			bad++;
		}
		printf("ok %u - %s\n", ++done, rows[i].key);
		fflush(stdout);
	}
	if (check) {
		printf("1..%u\n", done);
		fclose(table);
	}
	if (argc == 1)
		bad += (unsigned)draw(argv[0], dir, seconds);
	return bad != 0;
}
