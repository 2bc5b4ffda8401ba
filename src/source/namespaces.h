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
	char path[256]; /* a file that stands for it; "" with socket_fd */
	uint32_t pid;	/* a process that is in it, or that holds a socket of it; 0: not known */
	int socket_fd;	/* that process's descriptor of such a socket; -1: there is a path */
};

struct netns_list {
	struct netns *ns; /* ours first */
	size_t n, room;
	unsigned denied; /* processes whose namespace we may not see */
};

struct owner_table;

/*
 * All network namespaces that can be found: those of processes in /proc, those that are mounted
 * somewhere (where ip-netns(8) and container engines keep them), and those of the sockets in OWNERS
 * (may be NULL), which may live on with neither. Those of single threads are not looked for.
 * Returns 0 or -ENOMEM, or a negative errno if /proc cannot be read.
 */
int namespaces_find(struct netns_list *list, const struct owner_table *owners);
void namespaces_free(struct netns_list *list);
/* NULL: not in the list. */
const struct netns *namespaces_get(const struct netns_list *list, uint32_t inode);

/* A descriptor of NS (NULL: ours), for setns(2), that the caller closes; or a negative errno. */
int namespace_open(const struct netns *ns);

/*
 * Runs CALL(ARG) inside NS, in a thread of its own; NULL or our own namespace: here and now. What
 * it opens (sockets, iterators) stays of that namespace. Returns what CALL returns, or a negative
 * errno: -EPERM without CAP_SYS_ADMIN, -ENOENT when the namespace is gone.
 */
int namespace_run(const struct netns *ns, int (*call)(void *arg), void *arg);

/*
 * Runs CALL(ARG) in a thread of its own, which may go from one namespace into another (setns(2))
 * and ends. Returns what CALL returns, or a negative errno.
 */
int namespace_run_apart(int (*call)(void *arg), void *arg);

/* Whether it can be entered: 0 or a negative errno, as namespace_run(). */
int namespace_try(const struct netns *ns);

#endif
