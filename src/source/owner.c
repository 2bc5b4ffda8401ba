/* SPDX-License-Identifier: MIT */
/* Which process holds a socket: one pass over /proc, into a hash table. See owner.h. */
#include "source/owner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void owner_table_init(struct owner_table *table)
{
	memset(table, 0, sizeof(*table));
}

void owner_table_free(struct owner_table *table)
{
	free(table->slot);
	owner_table_init(table);
}

/* Inodes of sockets are given in sequence by the kernel: a multiplication spreads them enough. */
static size_t home(const struct owner_table *table, uint64_t inode)
{
	return (size_t)((inode * 0x9e3779b97f4a7c15u) >> 32) & (table->size - 1);
}

static void place(struct owner_table *table, const struct owner *owner)
{
	size_t at = home(table, owner->inode);

	while (table->slot[at].inode)
		at = (at + 1) & (table->size - 1);
	table->slot[at] = *owner;
}

static int grow(struct owner_table *table)
{
	struct owner_table bigger = *table;

	bigger.size = table->size ? table->size * 2 : 256;
	bigger.slot = calloc(bigger.size, sizeof(*bigger.slot));
	if (!bigger.slot)
		return -ENOMEM;
	/* Start behind an empty slot, so that owners of one inode keep their order. */
	size_t start = 0;
	while (start < table->size && table->slot[start].inode)
		start++;
	for (size_t i = 0; i < table->size; i++) {
		const struct owner *o = &table->slot[(start + i) & (table->size - 1)];

		if (o->inode)
			place(&bigger, o);
	}
	free(table->slot);
	*table = bigger;
	return 0;
}

int owner_add(struct owner_table *table, const struct owner *owner)
{
	if (table->n * 4 >= table->size * 3) {
		int err = grow(table);

		if (err)
			return err;
	}
	place(table, owner);
	table->n++;
	return 0;
}

const struct owner *owner_next(const struct owner_table *table, uint64_t inode, size_t *cursor)
{
	if (!table->size || !inode)
		return NULL;
	/* The cursor counts probes from the home slot. */
	for (; *cursor < table->size; (*cursor)++) {
		const struct owner *o =
			&table->slot[(home(table, inode) + *cursor) & (table->size - 1)];

		if (!o->inode)
			return NULL;
		if (o->inode == inode) {
			(*cursor)++;
			return o;
		}
	}
	return NULL;
}

/* A name of digits only, as a number; false if it is none. */
static bool number(const char *name, uint32_t *n)
{
	char *end;
	unsigned long value;

	if (name[0] < '0' || name[0] > '9')
		return false;
	errno = 0;
	value = strtoul(name, &end, 10);
	if (*end || errno || value > UINT32_MAX)
		return false;
	*n = (uint32_t)value;
	return true;
}

/* The inode in "socket:[123]", or 0. */
static uint64_t socket_inode(int dir, const char *name)
{
	static const char prefix[] = "socket:[";
	char link[64];
	char *end;
	ssize_t len = readlinkat(dir, name, link, sizeof(link) - 1);
	uint64_t inode;

	if (len <= (ssize_t)sizeof(prefix) - 1 || memcmp(link, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	link[len] = 0;
	inode = strtoull(link + sizeof(prefix) - 1, &end, 10);
	return *end == ']' ? inode : 0;
}

static void program_name(int proc, uint32_t pid, char program[16])
{
	char path[32];
	int fd;
	ssize_t n = 0;

	snprintf(path, sizeof(path), "%u/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, program, 15);
		close(fd);
	}
	if (n > 0 && program[n - 1] == '\n')
		n--;
	program[n > 0 ? n : 0] = 0;
}

static int scan_process(struct owner_table *table, int proc, uint32_t pid)
{
	struct owner owner = { .pid = pid };
	char path[32];
	struct dirent *entry;
	DIR *dir;
	int err = 0, fd;

	snprintf(path, sizeof(path), "%u/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		if (errno == EACCES || errno == EPERM)
			table->denied++;
		return 0;
	}
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	table->processes++;
	errno = 0;
	while (!err && (entry = readdir(dir)) != NULL) {
		if (!number(entry->d_name, &owner.fd))
			continue;
		owner.inode = socket_inode(fd, entry->d_name);
		if (!owner.inode)
			continue;
		if (!owner.program[0])
			program_name(proc, pid, owner.program);
		err = owner_add(table, &owner);
		errno = 0;
	}
	if (errno == EACCES || errno == EPERM)
		table->denied++; /* some kernels let open, but not list */
	closedir(dir);
	return err;
}

int owner_scan(struct owner_table *table)
{
	struct dirent *entry;
	uint32_t pid;
	int err = 0;
	DIR *dir = opendir("/proc");

	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir)) != NULL)
		if (number(entry->d_name, &pid))
			err = scan_process(table, dirfd(dir), pid);
	closedir(dir);
	return err;
}
