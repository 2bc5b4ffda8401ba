/* SPDX-License-Identifier: MIT */
/* The classic table: Proto Recv-Q Send-Q Local-Address Foreign-Address (state). */
#ifndef VIEW_NETSTAT_H
#define VIEW_NETSTAT_H

#include "view/field.h"

struct view_row {
	const struct cpl_info *info;
	const char *local;   /* "host:service" where names were looked up; NULL: in numbers */
	const char *foreign; /* likewise */
	size_t number;	     /* that "#" names it by; 0: its place among ROWS, from 1 */
};

#define VIEW_NETSTAT_NUMBER  1u /* rows are numbered: "#3" names the connection */
#define VIEW_NETSTAT_PROGRAM 2u /* pid and program */
#define VIEW_NETSTAT_SOURCE  4u /* whose connection it is: couplet or kernel */
#define VIEW_NETSTAT_BARE    8u /* no heading */

/*
 * Columns widen to what they hold; no address is cut. A listener's Recv-Q is its accept queue and
 * its Send-Q the backlog, as Linux shows them. The first row has number 1.
 */
void view_netstat(struct text *t, const struct view_row *rows, size_t n, unsigned flags);

#endif
