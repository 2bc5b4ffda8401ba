/* SPDX-License-Identifier: MIT */
/* Processes that are made, become others, or end: what has to be known before. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/shim.h"

/* A copy of a descriptor that the other process is given. */
#define WITH_COPIES(call)                                                                          \
	do {                                                                                       \
		fds_shared();                                                                      \
		return call;                                                                       \
	} while (0)

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	WITH_COPIES(REAL(posix_spawn)(pid, path, actions, attr, argv, env));
}

EXPORT int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
	WITH_COPIES(REAL(posix_spawnp)(pid, path, actions, attr, argv, env));
}

EXPORT FILE *popen(const char *command, const char *how)
{
	WITH_COPIES(REAL(popen)(command, how));
}

EXPORT int system(const char *command)
{
	WITH_COPIES(REAL(system)(command));
}

/* No other thread is to be in the stack when all but the calling one end. */
#define INSTEAD(call)                                                                              \
	do {                                                                                       \
		inliner_stop();                                                                    \
		call;                                                                              \
		inliner_go_on();                                                                   \
		return -1;                                                                         \
	} while (0)

EXPORT int execve(const char *path, char *const argv[], char *const env[])
{
	INSTEAD(REAL(execve)(path, argv, env));
}

EXPORT int execv(const char *path, char *const argv[])
{
	INSTEAD(REAL(execv)(path, argv));
}

EXPORT int execvp(const char *file, char *const argv[])
{
	INSTEAD(REAL(execvp)(file, argv));
}

EXPORT int execvpe(const char *file, char *const argv[], char *const env[])
{
	INSTEAD(REAL(execvpe)(file, argv, env));
}

EXPORT int fexecve(int fd, char *const argv[], char *const env[])
{
	INSTEAD(REAL(fexecve)(fd, argv, env));
}

EXPORT void _exit(int status)
{
	inliner_stop();
	REAL(syscall)(SYS_exit_group, status);
	__builtin_unreachable();
}

EXPORT void _Exit(int status)
{
	_exit(status);
}

/* A child of the real one would write into its parent's tables. */
EXPORT pid_t vfork(void)
{
	return fork();
}
