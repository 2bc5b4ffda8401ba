/* SPDX-License-Identifier: MIT */
/* `couplet netstat`: what its files share. */
#ifndef CLI_NETSTAT_H
#define CLI_NETSTAT_H

#include "cli/connections.h"
#include "source/names.h"
#include "view/netstat.h"

struct netstat {
	bool all, listening, tcp, udp, unix_sockets, only4, only6;
	bool numeric, program, extend, timer, number, source, namespaces;
	bool json, explain, sockets, watch, repeat;
	unsigned dress; /* 0, VIEW_NETSTAT_LINUX or VIEW_NETSTAT_BSD */
	unsigned interval_ms;
	struct select select;
	bool filtered;
	struct names *names; /* NULL: numbers */
};

/* The flags of view_netstat() that the options ask for. */
unsigned netstat_flags(const struct netstat *n);

/* The rows of a table: pointers into the set that they were made from. */
struct netstat_rows {
	struct view_row *row;
	size_t n, room;
	struct netstat_texts *texts; /* what the rows point to beside the set */
};

/*
 * Rows of all in SET that the options choose, TCP and UDP before UNIX. The set must hold everything
 * that was collected, so that listeners and other ends are found. Returns CLI_OK, or CLI_CANNOT
 * after complaining; netstat_rows_free() in either case.
 */
int netstat_rows_make(struct netstat *n, const struct snapshot_set *set, struct netstat_rows *rows);
void netstat_rows_free(struct netstat_rows *rows);
/* True if the row of this connection, which has this number, is to be shown. */
bool netstat_shows(const struct netstat *n, const struct cpl_info *info, size_t number);
/* Appends the tables with their headings. */
void netstat_tables(const struct netstat *n, struct text *t, const struct netstat_rows *rows,
		    unsigned flags);

/* What must be collected for the table. */
struct source_options netstat_options(const struct netstat *n);
/* Again and again, with what changed; ends with an exit status. */
int netstat_watch(struct netstat *n);
/* Descriptor, socket, connection of each process. */
int netstat_sockets(struct netstat *n);

#endif
