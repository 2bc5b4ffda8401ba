/* SPDX-License-Identifier: MIT */
/*
 * 300 drawn networks, in batches of 50: a process each, so that a crash tells its seed and spares
 * the other batches. SEEDS=FROM-TO in the environment runs others.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/seed.h"

#define BATCH 50

static char crash_note[120];

static void crashed(int signal)
{
	ssize_t n = write(STDOUT_FILENO, crash_note, strlen(crash_note));

	(void)n;
	_exit(128 + signal);
}

/* A sanitizer's finding ends in abort() too, so that the seed is told. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "abort_on_error=1:handle_abort=0";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

static int batch(unsigned long from, unsigned long to)
{
	int bad = 0;

	signal(SIGABRT, crashed);
	for (unsigned long seed = from; seed <= to; seed++) {
		snprintf(crash_note, sizeof(crash_note),
			 "# seed %lu crashed\n# repeat it: make seed SEED=%lu\n", seed, seed);
		bad += !sim_run_seed(seed, false, stdout, NULL);
		fflush(stdout);
	}
	return bad ? 1 : 0;
}

int main(void)
{
	unsigned long from = 1, to = 300;
	const char *seeds = getenv("SEEDS");
	unsigned n = 0;
	int status, failed = 0;

	if (seeds && sscanf(seeds, "%lu-%lu", &from, &to) != 2) {
		fprintf(stderr, "SEEDS=FROM-TO: \"%s\" is no range\n", seeds);
		return 2;
	}
	printf("1..%lu\n", (to - from) / BATCH + 1);
	for (; from <= to; from += BATCH) {
		unsigned long last = to - from < BATCH ? to : from + BATCH - 1;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0)
			_exit(batch(from, last));
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			status = -1;
		failed |= status;
		printf("%sok %u - seeds %lu to %lu\n", status ? "not " : "", ++n, from, last);
	}
	return failed ? 1 : 0;
}
