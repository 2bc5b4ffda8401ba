/* SPDX-License-Identifier: MIT */
/*
 * For tests: two hosts joined by a wire in memory, 10.9.0.1 and 10.9.0.2 (fd09::1, fd09::2), each a
 * stack with its sockets, a server of programs and a thread of its own; and programs that run on
 * them with the library preloaded.
 */
#ifndef TESTS_UTIL_SHIM_RIG_H
#define TESTS_UTIL_SHIM_RIG_H

#include <pthread.h>
#include <sys/types.h>

#include "host/config.h"
#include "shim/server.h"

/* Programs run the stack themselves (shim/inline.h), one that is alone, or all. */
enum shim_rig_how {
	SHIM_RIG_SERVED,
	SHIM_RIG_ALONE,
	SHIM_RIG_ALL
};

struct shim_host {
	cpl_stack *stack;
	struct loop *loop;
	struct sockets *sockets;
	struct shim_server *server;
	pthread_t thread;
	struct cpl_config config;
	struct arena *arena; /* of a rig that is inline */
	int arena_fd, device;
	pthread_mutex_t lock;
	char said[512]; /* the last thing that shim_server_on_say() was told */
	unsigned said_n;
	/* asked for by another thread: see shim_rig_look() */
	_Atomic int look;
	unsigned conns, held, programs;
	bool broken; /* a program was killed while it ran the stack */
};

struct shim_rig {
	struct shim_host hosts[2];
	enum shim_rig_how how;
	bool narrow; /* the wire refuses frames now and then: thousands of RSTs do not pass it */
	char library[512];
};

/*
 * 0, or 1 with the reason why it cannot be, printed. Programs are run with the library of the
 * release build, and with what SHIM_PRELOAD names instead of it, if it is set: a sanitizer's
 * run-time library, which wants to be first, and the library built for it.
 */
int shim_rig_open(struct shim_rig *rig, enum shim_rig_how how);
void shim_rig_close(struct shim_rig *rig);
/* Start ARGV on host 0 or 1, its output where ours goes; its process, or -1. */
pid_t shim_rig_start(struct shim_rig *rig, int host, char *const argv[]);
/* Wait for it: its exit status, or 128 and its signal; -1 after SECONDS, when it is killed. */
int shim_rig_wait(pid_t pid, double seconds);
/* How often HOST's server had something to say, since asked last, and the last of it. */
unsigned shim_rig_said(struct shim_rig *rig, int host, char text[512]);
/* Bring conns (all control blocks but TIME-WAIT), held and programs of HOST up to date. */
void shim_rig_look(struct shim_rig *rig, int host);

#endif
