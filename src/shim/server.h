/* SPDX-License-Identifier: MIT */
/*
 * The stack's side of programs that run on Couplet: one process owns the stack and all its sockets;
 * every process that has libcouplet-shim.so preloaded asks it. How they talk is in protocol.h.
 *
 * A server belongs to the thread of its loop. What it reads from a program's memory it copies and
 * checks first: a program that dies, stops or writes rubbish harms itself alone. When the last
 * descriptor of a socket is gone, in whatever process, the server closes the socket.
 */
#ifndef SHIM_SERVER_H
#define SHIM_SERVER_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/loop.h"
#include "socket/socket.h"

/* The environment of a program: LD_PRELOAD=.../libcouplet-shim.so and SHIM_ENV=shim_server_path().
 */
#define SHIM_ENV     "COUPLET_RUN"
#define SHIM_LIBRARY "libcouplet-shim.so"

struct arena;
struct shim_server;

/*
 * A server for SOCKETS over the stack of LOOP, all of which stay the caller's and must outlive it.
 * The loop's events are the sockets' from now on. Raises RLIMIT_NOFILE to its hard limit: each
 * socket of a program takes one descriptor here, each process one. Errors: -EMFILE, -ENOMEM,
 * -EACCES and others, with a sentence.
 */
int shim_server_open(struct shim_server **server, struct loop *loop, struct sockets *sockets,
		     struct link_why *why);
/*
 * Where it listens: a unix socket in a directory of its own, whose name cannot be guessed and which
 * is reached from every network namespace and by every user who is told it.
 */
const char *shim_server_path(const struct shim_server *server);
/* Programs are cut off, their sockets closed (not yet: what is sent is sent). NULL is allowed. */
void shim_server_close(struct shim_server *server);

/*
 * Let programs run the stack themselves (shim/inline.h): before any of them is started. STACK and
 * the sockets are in ARENA, LINK (a TUN, a TAP, or a link_fd_open()) is the loop's, IFINDEX the
 * stack's. All stay the caller's, who calls the stack between shim_server_lock() and _unlock()
 * from here on; the lock is his when this returns.
 */
struct shim_inline {
	struct arena *arena;
	int arena_fd;
	cpl_stack *stack;
	const struct link *link;
	int ifindex;
	int lo;	  /* ifindex of the loopback; 0: there is none */
	bool all; /* of several processes each, and not only one that is alone */
};
int shim_server_inline(struct shim_server *server, const struct shim_inline *config);
/*
 * Does nothing without shim_server_inline(). Negative: a program was killed while it ran the stack,
 * which must not be called any more; shim_server_turn() fails likewise.
 */
int shim_server_lock(struct shim_server *server);
void shim_server_unlock(struct shim_server *server);
bool shim_server_broken(const struct shim_server *server);

/* One turn of the loop that serves programs as well: instead of loop_turn(). UNTIL as there. */
int shim_server_turn(struct shim_server *server, uint64_t until);
/* Instead of loop_run(): until loop_stop(). */
int shim_server_run(struct shim_server *server);

/* Processes that are attached, and sockets that have a descriptor. */
unsigned shim_server_programs(const struct shim_server *server);
unsigned shim_server_sockets(const struct shim_server *server);

/*
 * How names are found: called in a thread of the server's own, several at a time; the answer is
 * freed with freeaddrinfo(). Without one: getaddrinfo(3), in the network namespace that the thread
 * that called shim_server_open() was in then. Returns 0 or EAI_*.
 */
typedef int (*shim_name_fn)(void *arg, const char *node, const char *service,
			    const struct addrinfo *hints, struct addrinfo **answer);
void shim_server_on_name(struct shim_server *server, shim_name_fn fn, void *arg);

/* What getifaddrs(3) and if_nametoindex(3) tell programs. IFINDEX is the stack's. -ENOSPC. */
int shim_server_add_addr(struct shim_server *server, const char *ifname, unsigned ifindex,
			 const struct cpl_addr *addr, unsigned prefix_len);

/*
 * Things that the user should be told, each once: "curl (812): read(2) on descriptor 5 without the
 * C library: not seen". Without a handler they are not told.
 */
typedef void (*shim_say_fn)(void *arg, const char *text);
void shim_server_on_say(struct shim_server *server, shim_say_fn fn, void *arg);

#endif
