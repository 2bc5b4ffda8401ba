/* SPDX-License-Identifier: MIT */
/*
 * What /proc tells of hosts and programs beside their connections: view/facts.h filled. Counters
 * and limits of each network namespace are read inside it; of processes only those are looked at
 * that hold sockets.
 */
#ifndef SOURCE_FACTS_H
#define SOURCE_FACTS_H

#include "source/source.h"
#include "view/facts.h"

/*
 * Fills FACTS (which is cleared first) with our own namespace and, with NAMESPACES, all others that
 * may be entered; and with the processes PIDS[0..N), in any order, repeated or 0, that still exist.
 * What could not be looked at goes to NOTES. Returns 0 or -ENOMEM; facts_free() in both cases.
 */
int facts_take(struct view_facts *facts, bool namespaces, const uint32_t *pids, size_t n,
	       struct source_notes *notes);
/* Frees all, the events too. */
void facts_free(struct view_facts *facts);

/* ---- The files, parsed ----------------------------------------------------------------------- */

/* TEXT is what a file holds, or anything else: what does not parse leaves its facts unknown. */

/* /proc/net/netstat and /proc/net/snmp: a line of names, a line of numbers. */
void facts_parse_netstat(struct view_host *host, const char *text);
/* /proc/net/sockstat; PAGE is the size of a page. */
void facts_parse_sockstat(struct view_host *host, const char *text, uint64_t page);
/* /proc/net/stat/nf_conntrack: hexadecimal, a line for each processor. */
void facts_parse_conntrack(struct view_host *host, const char *text);
/* /proc/PID/stat. False if it is none. */
bool facts_parse_stat(struct view_process *process, const char *text);
/* /proc/PID/limits: how many descriptors it may have. False if that is not told. */
bool facts_parse_limits(struct view_process *process, const char *text);

#endif
