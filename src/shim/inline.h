/* SPDX-License-Identifier: MIT */
/*
 * The stack inline: a program's process runs it itself, in the thread that calls, instead of asking
 * the server.
 *
 * The stack and its sockets lie in memory that the server shares with the program (host/arena.h),
 * under one lock. Whoever has the lock may call them. The server stays what it is: it holds the
 * other ends of the descriptors, and serves all that is not done inline. What is divided is who
 * reads the device: a program that waits for its sockets (it "drives") or did so a moment ago does;
 * else the server. So a call and its answer cross no core, and nothing has to be handed over when
 * the program forks, becomes another or ends: its child does not have the memory and asks the
 * server, as all programs without the lease do.
 *
 * A process that is killed while it has the lock leaves the stack half way: that is the end of it,
 * and of all its connections. Hence the lease: of the server's choice, to one process alone, or to
 * all of them if the user says so.
 */
#ifndef SHIM_INLINE_H
#define SHIM_INLINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <couplet/couplet.h>

#include "socket/socket.h"

#define INLINE_ANY     UINT64_MAX
/* Nobody drove: the server takes the device; four times as late from who did all the time. */
#define INLINE_TAKE_NS CPL_MS

/* At the arena's root. */
struct inline_state {
	cpl_stack *stack;
	struct sockets *sockets;
	uint64_t bound;	     /* key of the process whose functions the stack's memory comes from */
	int32_t ifindex, lo; /* of the device, of the loopback; 0: there is none */
	struct cpl_iface_config iface;
	/* With the lock: the timer, and sockets_wakes(), that who drives knew of when it slept. */
	uint64_t deadline, wakes;
	/* Key of the process that may, INLINE_ANY, or 0. */
	_Alignas(64) _Atomic uint64_t lease;
	/* Key of the process one of whose threads waits and reads the device; 0: none does. */
	_Alignas(64) _Atomic uint64_t driver;
	_Atomic uint64_t drove; /* when anyone had the lock for a call of its own last */
	_Atomic uint32_t ring;	/* the server does not look at the time: tell it when you stop */
	/* Threads that wait, or may come to, for what the server has to tell them. */
	_Alignas(64) _Atomic uint32_t waits;
};

#endif
