/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces (network_namespaces(7)): which there are, and work done inside one. The
 * process itself never changes its own: what must be done inside is done by a thread that enters it
 * and ends.
 */
#ifndef SOURCE_NAMESPACES_H
#define SOURCE_NAMESPACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netns {
	uint32_t inode;
	bool ours;	/* the one of this process */
	char name[32];	/* as ip-netns(8) names it; "" if it has none */
	char path[272]; /* a file that stands for it; "" with socket_fd */
	uint32_t pid;	/* a process that is in it, or that holds a socket of it; 0: not known */
	int socket_fd;	/* that process's descriptor of such a socket; -1: there is a path */
};

/*
 * Runs CALL(ARG) inside NS, in a thread of its own; NULL or our own namespace: here and now. What
 * it opens (sockets, iterators) stays of that namespace. Returns what CALL returns, which is not to
 * be positive, or a negative errno: -EPERM without CAP_SYS_ADMIN, -ENOENT when the namespace is
 * gone.
 */
int namespace_run(const struct netns *ns, int (*call)(void *arg), void *arg);

/* A descriptor of NS, for setns(2), that the caller closes; or a negative errno. */
int namespace_open(const struct netns *ns);

#endif
