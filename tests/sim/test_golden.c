/* SPDX-License-Identifier: MIT */
/*
 * Goodput against the committed table: a cell may drift by a fifth, since any change to what is
 * sent when draws other losses; more is a change of behaviour, which belongs into the commit that
 * makes it: out/release/couplet-sim --golden >tests/sim/golden.txt
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/golden.h"

#define LINE	128
#define CELLS	4
#define SECONDS 4

/* "RTT ms CC a b c d": false for anything else. */
static int parse(const char *line, char name[32], double cell[CELLS])
{
	unsigned rtt;
	char cc[16];

	if (sscanf(line, "%u ms %15s %lf %lf %lf %lf", &rtt, cc, &cell[0], &cell[1], &cell[2],
		   &cell[3]) != 6)
		return 0;
	snprintf(name, 32, "%u ms %s", rtt, cc);
	return 1;
}

int main(void)
{
	FILE *golden = fopen("tests/sim/golden.txt", "r"), *now = tmpfile();
	char want[LINE], got[LINE], want_name[32], got_name[32];
	double a[CELLS], b[CELLS];
	unsigned n = 0, failed = 0;

	if (!golden || !now) {
		printf("1..1\nnot ok 1 - tests/sim/golden.txt can be read\n");
		return 1;
	}
	golden_print(now, SECONDS, 1);
	rewind(now);
	while (fgets(want, sizeof(want), golden) && fgets(got, sizeof(got), now)) {
		int bad;

		if (!parse(want, want_name, a) || !parse(got, got_name, b))
			continue;
		bad = strcmp(want_name, got_name) != 0;
		for (unsigned i = 0; i < CELLS; i++)
			bad |= fabs(b[i] - a[i]) > a[i] / 5 + 0.1;
		if (strcmp(want, got) != 0)
			printf("# was %s# is  %s", want, got);
		printf("%sok %u - goodput at %s\n", bad ? "not " : "", ++n, want_name);
		failed += (unsigned)bad;
	}
	printf("1..%u\n", n);
	fclose(golden);
	fclose(now);
	return failed || n != 9;
}
