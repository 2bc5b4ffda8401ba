/* SPDX-License-Identifier: MIT */
/*
 * The classic tables: Proto Recv-Q Send-Q Local-Address Foreign-Address (state), and that of UNIX
 * sockets, in our own dress or as the netstats of Linux and of the BSDs write them.
 */
#ifndef VIEW_NETSTAT_H
#define VIEW_NETSTAT_H

#include "view/field.h"

/* All but info may be NULL, or 0. */
struct view_row {
	const struct cpl_info *info;
	const char *local;     /* "host:service" where names were looked up; NULL: in numbers */
	const char *foreign;   /* likewise */
	size_t number;	       /* that "#" names it by; 0: its place among ROWS, from 1 */
	const char *user;      /* name of the uid */
	const char *namespace; /* name of the network namespace */
	const char *change;    /* what changed: "new", "gone", "was SYN_SENT" */
	const struct cpl_info *listener; /* at which it waits to be accepted */
	const struct cpl_info *peer;	 /* the UNIX socket at the other end */
};

#define VIEW_NETSTAT_NUMBER    1u    /* rows are numbered: "#3" names the connection */
#define VIEW_NETSTAT_PROGRAM   2u    /* pid and program */
#define VIEW_NETSTAT_SOURCE    4u    /* whose connection it is: couplet or kernel */
#define VIEW_NETSTAT_BARE      8u    /* no heading */
#define VIEW_NETSTAT_EXTEND    16u   /* user and inode */
#define VIEW_NETSTAT_TIMER     32u   /* the timer that runs */
#define VIEW_NETSTAT_NAMESPACE 64u   /* network namespace */
#define VIEW_NETSTAT_CHANGE    128u  /* what changed */
#define VIEW_NETSTAT_EXPLAIN   256u  /* below each row what it means (line.h) */
#define VIEW_NETSTAT_LINUX     512u  /* as Linux's net-tools write it */
#define VIEW_NETSTAT_BSD       1024u /* as the BSDs and macOS write it */

/*
 * Columns widen to what they hold; no address is cut. A listener's Recv-Q is its accept queue and
 * its Send-Q the backlog, as Linux shows them. The first row has number 1.
 */
void view_netstat(struct text *t, const struct view_row *rows, size_t n, unsigned flags);

/* The same of UNIX sockets. */
void view_netstat_unix(struct text *t, const struct view_row *rows, size_t n, unsigned flags);

/* "10.0.0.1:80" as the dress writes it: "0.0.0.0:80", "10.0.0.1.80". */
struct view_word view_netstat_endpoint(const struct cpl_addr *addr, uint16_t port, unsigned flags);
/* The state as the dress spells it. */
const char *view_netstat_state(unsigned state, unsigned flags);

/* ---- Between netstat.c and netstat_unix.c ---------------------------------------------------- */

/* A queue: a number, or "-". */
struct view_word view_netstat_queue(const struct cpl_info *info, bool send);
/* "812/curl", or "-". */
struct view_word view_netstat_program(const struct cpl_info *info);

#endif
