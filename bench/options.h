/* SPDX-License-Identifier: MIT */
/*
 * The command line of the benchmarks: words, and KEY=VALUE in any order. USAGE is what --help
 * prints, and the list of keys as well: a key is known if USAGE has it with a "=" behind it.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline bool option_known(const char *usage, const char *key, size_t n)
{
	for (const char *p = usage; (p = strchr(p, '=')); p++)
		if (p >= usage + n && !memcmp(p - n, key, n) &&
		    (p == usage + n || !isalnum((unsigned char)p[-n - 1])))
			return true;
	return false;
}

/* Answers --help, and ends with status 2 at a key that USAGE does not have. */
static inline void options_check(int argc, char **argv, const char *usage)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

	for (int i = 1; i < argc; i++) {
		const char *end = strchr(argv[i], '=');

		if (!strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			exit(0);
		}
		if (argv[i][0] != '-' &&
		    (!end || option_known(usage, argv[i], (size_t)(end - argv[i]))))
			continue;
		fprintf(stderr, "%s: there is no option '%s': %s --help lists them\n", name,
			argv[i], name);
		exit(2);
	}
}

static inline const char *option(int argc, char **argv, const char *key, const char *fallback)
{
	size_t n = strlen(key);

	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], key, n) && argv[i][n] == '=')
			return argv[i] + n + 1;
	return fallback;
}

static inline long option_number(int argc, char **argv, const char *key, long fallback)
{
	const char *value = option(argc, argv, key, NULL);
	char *end;
	long n = value ? strtol(value, &end, 0) : fallback;

	if (!value || (*value && !*end && n >= 0))
		return n;
	fprintf(stderr, "%s=%s: a whole number is wanted, from 0 on\n", key, value);
	exit(2);
}

#endif
