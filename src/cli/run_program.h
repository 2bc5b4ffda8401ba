/* SPDX-License-Identifier: MIT */
/* The program that `couplet run` starts: what it is, where it lives, how it ends. */
#ifndef CLI_RUN_PROGRAM_H
#define CLI_RUN_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "link/link.h"

/*
 * Find NAME as execvp(3) does, into PATH. Returns 0, or a negative errno with a sentence: it is not
 * there (-ENOENT), or the shim can't get into it (-ENOEXEC): statically linked, or set-user-ID and
 * started by somebody else, whom the loader denies LD_PRELOAD.
 */
int program_find(const char *name, char path[PATH_MAX], struct link_why *why);

/*
 * A network namespace in which the kernel has no interface that is up: for the calling process,
 * which has one thread. Who may not make one gets a user namespace around it, and stays the user it
 * is. 0, or a negative errno with a sentence.
 */
int program_leave_network(struct link_why *why);

struct program_config {
	const char *path;
	char *const *argv;
	const char *shim;   /* libcouplet-shim.so, for LD_PRELOAD */
	const char *server; /* for COUPLET_RUN */
};

/*
 * Start it. Returns the process, or a negative errno with a sentence; what goes wrong in the new
 * process before the program itself runs is told here as well. *REFUSALS: for refuse_next(), or -1.
 */
pid_t program_start(const struct program_config *config, int *refusals, struct link_why *why);

/*
 * The calling thread answers programs that sleep until then: it asks for short slices, which come
 * the sooner where others want the core, and are no larger share of it (sched_setattr(2), since
 * Linux 6.12; earlier ones pay no heed).
 */
void program_answer_soon(void);

/* Where libcouplet-shim.so is: beside this program, or installed in ../lib/couplet. */
int program_shim(char path[PATH_MAX], struct link_why *why);

#endif
