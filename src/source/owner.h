/* SPDX-License-Identifier: MIT */
/*
 * Which process holds a socket. The kernel numbers each socket by an inode; /proc/PID/fd tells
 * which descriptors of which process point at it, and so does a BPF iterator (bpf_source.h), in a
 * third of the time. One pass builds a table from inode to owners, of all network namespaces.
 */
#ifndef SOURCE_OWNER_H
#define SOURCE_OWNER_H

#include <stddef.h>
#include <stdint.h>

struct owner {
	uint64_t inode;
	uint32_t pid;
	uint32_t fd;
	uint32_t netns; /* inode of the socket's network namespace; 0: not known */
	char program[16];
};

struct owner_table {
	struct owner *slot; /* open addressing by inode; inode 0: empty */
	size_t size;	    /* a power of two, or 0 */
	size_t n;
	unsigned processes; /* looked at */
	unsigned denied;    /* whose descriptors we may not see */
};

void owner_table_init(struct owner_table *table);
void owner_table_free(struct owner_table *table);

/*
 * Reads all of /proc. Processes that go away meanwhile are passed over, those that we may not look
 * at are counted in denied. Returns 0, -ENOMEM, or the negative errno with which /proc could not be
 * opened.
 */
int owner_scan(struct owner_table *table);

/* Adds one. Returns 0 or -ENOMEM. */
int owner_add(struct owner_table *table, const struct owner *owner);

/*
 * The owners of INODE: one for each descriptor that points at it, in the order of the scan. Start
 * with *CURSOR = 0. NULL: no more.
 */
const struct owner *owner_next(const struct owner_table *table, uint64_t inode, size_t *cursor);

#endif
