/* SPDX-License-Identifier: MIT */
/* Processes that are made, become others, or end: what has to be known before. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdarg.h>
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

EXPORT int execveat(int dir, const char *path, char *const argv[], char *const env[], int flags)
{
	INSTEAD(REAL(syscall)(SYS_execveat, dir, path, argv, env, flags));
}

/* How many arguments there are from FIRST on; the C library does not ask us for its own calls. */
static size_t args_count(const char *first, va_list args)
{
	va_list copy;
	size_t n = 0;

	va_copy(copy, args);
	for (const char *arg = first; arg; n++)
		arg = va_arg(copy, const char *);
	va_end(copy);
	return n;
}

/* ARGV: room for all of them and the NULL. ENV: what stands after that, or NULL. */
static void args_take(const char *first, va_list args, char **argv, char *const **env)
{
	*argv = (char *)first;
	while (*argv)
		*++argv = va_arg(args, char *);
	if (env)
		*env = va_arg(args, char *const *);
}

/* On the stack: a handler of a signal may call these, and a child of fork() with other threads. */
#define WITH_ARGS(first, env, call)                                                                \
	do {                                                                                       \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, first);                                                             \
		{                                                                                  \
			char *argv[args_count(first, args) + 1];                                   \
                                                                                                   \
			args_take(first, args, argv, env);                                         \
			va_end(args);                                                              \
			return call;                                                               \
		}                                                                                  \
	} while (0)

EXPORT int execl(const char *path, const char *arg, ...)
{
	WITH_ARGS(arg, NULL, execv(path, argv));
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	WITH_ARGS(arg, NULL, execvp(file, argv));
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	char *const *env;

	WITH_ARGS(arg, &env, execve(path, argv, env));
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

/* That of the C library asks nobody: here its child must be told apart, too. */
EXPORT pid_t _Fork(void)
{
	return fork();
}
