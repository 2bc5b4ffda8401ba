/* SPDX-License-Identifier: MIT */
/*
 * Rows that somebody pasted: of the netstat of Linux (net-tools), of the BSDs and macOS, of
 * Windows, of ss(8), or our own; read line by line, whole tables with headings, and explained.
 *
 * The text comes from anyone. What a row tells goes into a struct cpl_info, marked as read; what it
 * does not tell, or tells in part (a name that was cut), stays unknown.
 */
#ifndef VIEW_PASTE_H
#define VIEW_PASTE_H

#include "view/text.h"

#define VIEW_PASTE_LINE 1024 /* bytes of a line; none of these programs writes as many */

enum view_dress {
	VIEW_DRESS_UNSURE,
	VIEW_DRESS_LINUX, /* net-tools */
	VIEW_DRESS_BSD,	  /* and macOS */
	VIEW_DRESS_SS,
	VIEW_DRESS_WINDOWS,
	VIEW_DRESS_COUPLET,
	VIEW_DRESSES /* their number */
};

enum view_pasted_kind {
	VIEW_PASTED_BLANK,   /* nothing, or what stands above and between rows */
	VIEW_PASTED_DETAIL,  /* belongs to the row above: the second line of ss -i */
	VIEW_PASTED_ROW,     /* a connection, listener or socket */
	VIEW_PASTED_UNKNOWN, /* what it is could not be found out: `why` says */
};

/* One end as it stood there. */
struct view_pasted_end {
	char host[256];
	char service[64];
	bool cut;	/* certainly incomplete */
	bool maybe_cut; /* a name as wide as the column */
};

struct view_pasted {
	enum view_pasted_kind kind;
	enum view_dress dress;
	struct cpl_info info; /* what it tells, the queues of listeners in their own fields */
	bool queues;	      /* the row has Recv-Q and Send-Q */
	struct view_pasted_end local, foreign;
	char why[160]; /* VIEW_PASTED_UNKNOWN: a clause */
	char line[VIEW_PASTE_LINE];
};

/* Services by name and number; either may answer 0, or NULL: there is none. */
struct view_services {
	uint16_t (*port)(void *arg, const char *name, uint8_t protocol);
	const char *(*name)(void *arg, uint16_t port, uint8_t protocol);
	void *arg;
};

/* What earlier lines told: headings say whose table it is. All zero before the first. */
struct view_paste {
	enum view_dress dress;
	bool unix_sockets; /* below a heading of UNIX sockets */
	bool other;	   /* below one of what is no connection: kernel events, Bluetooth */
	bool after_row;
	struct view_services services;
};

/* Reads the line of LEN bytes at S, its end not included. */
void view_paste_line(struct view_paste *p, const char *s, size_t len, struct view_pasted *row);
/* A row and what it means; an unknown line is quoted and said to be so. Nothing of the others. */
void view_paste_explain(struct text *t, const struct view_paste *p, const struct view_pasted *row);
/* "macOS or BSD netstat" */
const char *view_dress_name(enum view_dress dress);

#endif
