/* SPDX-License-Identifier: MIT */
/* Runs drawn networks: --seed N repeats one, --from N --count M looks for more. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/seed.h"

static int usage(void)
{
	fprintf(stderr,
		"usage: couplet-sim [--seed N | --from N --count M] [-v]\n"
		"Runs the simulated network of seed N, or of M seeds from N on. -v prints the\n"
		"scenario and every packet.\n");
	return 2;
}

static bool number(const char *s, uint64_t *n)
{
	char *end;

	*n = strtoull(s, &end, 0);
	return *s && !*end;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "from", required_argument, NULL, 'f' },
		{ "count", required_argument, NULL, 'c' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t from = 1, count = 1, bad = 0;
	struct seed_sum sum = { 0 };
	bool verbose = false, right = true;
	int c;

	while ((c = getopt_long(argc, argv, "v", options, NULL)) != -1) {
		if (c == 'v')
			verbose = true;
		else if (c == 's' || c == 'f')
			right &= number(optarg, &from);
		else if (c == 'c')
			right &= number(optarg, &count);
		else
			right = false;
	}
	if (!right || optind != argc)
		return usage();
	for (uint64_t seed = from; seed < from + count; seed++) {
		if (!sim_run_seed(seed, verbose, stdout, &sum))
			bad++;
		else if (count == 1)
			printf("seed %llu: nothing is wrong; hash %016llx\n",
			       (unsigned long long)seed, (unsigned long long)sum.hash);
		fflush(stdout);
	}
	printf("%llu seeds, %llu failed: %llu packets, %llu octets read, %llu pairs of ends "
	       "compared, %.0f s simulated\n",
	       (unsigned long long)count, (unsigned long long)bad, (unsigned long long)sum.packets,
	       (unsigned long long)sum.octets, (unsigned long long)sum.pairs,
	       (double)sum.time_ns / 1e9);
	return bad ? 1 : 0;
}
