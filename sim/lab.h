/* SPDX-License-Identifier: MIT */
/*
 * Two hosts, client and server, on one simulated link, and one connection between them over which
 * the client sends a file: the engine of `couplet lab`. It plays and records; what it shows is made
 * elsewhere, from snapshots and events alone.
 */
#ifndef SIM_LAB_H
#define SIM_LAB_H

#include <stdio.h>

#include "sim/net.h"
#include "sim/sha256.h"

#define LAB_SIZE_MAX (256ull << 20) /* of a file */
#define LAB_SIZE     (256u << 10)   /* of one that is made up */
#define LAB_PORT     5001
#define LAB_LISTED   8 /* snapshots of one host that are kept */
#define LAB_ERROR    240
#define LAB_CLIENT   0
#define LAB_SERVER   1
#define LAB_BUFFER   16384
#define LAB_LIMIT    (3600 * CPL_SECOND) /* a run that takes longer has failed */

struct lab_config {
	uint64_t seed;
	struct wire_params wire; /* both ways; the drop list counts the client's segments */
	uint32_t mtu;
	bool ipv6;
	bool no_sack, no_timestamps, no_window_scaling;
	char cc[16];	  /* "": the stack's own choice */
	const char *file; /* NULL: SIZE octets are made up from the seed */
	uint64_t size;
};

/* What a stack recorded. */
struct lab_records {
	struct cpl_trace *records;
	size_t n, cap;
	uint64_t cursor;
	uint64_t lost; /* overwritten before they were read */
};

/* One end: the host and the program on it. */
struct lab_end {
	struct lab *lab;
	unsigned side;
	struct net_host *host;
	cpl_handle handle, listener;
	bool opening, open, fin_seen, fin_sent, closed; /* closed: the handle is given back */
	bool acked;					/* all that was to be written */
	bool reads, closes; /* what the program does by itself; stories turn it off */
	uint64_t writes_to; /* up to this octet */
	int error;	    /* what ended the connection */
	uint64_t done;	    /* octets written, or read */
	struct sha256 sha;
	struct lab_records records;
};

/* One instant, at both ends. */
struct lab_moment {
	uint64_t at;
	bool has[2]; /* the host has a block of the connection */
	struct cpl_info end[2];
	struct cpl_info listed[2][LAB_LISTED]; /* all there is on each host */
	unsigned listed_n[2];
	uint64_t wire_segments[2], wire_bytes[2]; /* from the client, from the server */
};

struct lab {
	struct lab_config config;
	struct net *net;
	struct net_link *link;
	struct lab_end end[2];
	struct cpl_endpoint address[2];
	FILE *file; /* NULL: made up */
	uint64_t size;
	uint8_t ahead[LAB_BUFFER]; /* read from the file, not yet taken by the stack */
	size_t ahead_at, ahead_n;
	struct lab_moment middle; /* half of the file has arrived */
	bool has_middle, middle_found;
	uint64_t finished_at;	     /* the server has read to the end */
	uint64_t instants, compared; /* instants; those of them at which both ends were compared */
	uint64_t broken;	     /* at which they did not agree */
	char broken_what[120];
	char story_note[200]; /* what happened after the story's end: told with -v */
};

/* 0, or a negative errno and a sentence in ERROR. */
int lab_init(struct lab *lab, const struct lab_config *config, char error[LAB_ERROR]);
void lab_free(struct lab *lab);

/* The client calls; with BOTH the server does at the same instant. */
void lab_connect(struct lab *lab, bool both);
/* Run until UNTIL says true (NULL: never) or time LIMIT. True: it did. */
bool lab_run(struct lab *lab, bool (*until)(const struct lab *lab), uint64_t limit);
/* Let the programs look again, after what they may do was changed. */
void lab_kick(struct lab *lab);
/* The link from SIDE to the other is dead, or alive again. */
void lab_cut(struct lab *lab, unsigned side, bool dead);
/* One program aborts its connection. */
void lab_abort(struct lab *lab, unsigned side);

/* What is there now. */
void lab_look(struct lab *lab, struct lab_moment *moment);
/* SIDE's block of the connection. False: it has none. */
bool lab_info(struct lab *lab, unsigned side, struct cpl_info *info);

/* The file arrived whole, and no instant was broken. */
bool lab_is_right(const struct lab *lab);
bool lab_is_established(const struct lab *lab);
bool lab_is_over(const struct lab *lab); /* neither program has anything to do any more */

/* ---- Stories -------------------------------------------------------------------------------- */

struct lab_story {
	const char *name;
	const char *title; /* one line */
	const char *text;  /* what is played, in a few sentences */
	uint64_t size;	   /* of the file, unless one is given */
	unsigned looker;   /* which end is X of the comparison */
	bool heals;	   /* "behind, will heal"; else "disagree for good" */
	/* Plays up to the moment to look at. False: it did not come to that. */
	bool (*play)(struct lab *lab);
	/* Plays on; what comes of it goes to lab->story_note. */
	void (*after)(struct lab *lab);
};

extern const struct lab_story lab_stories[];
extern const unsigned lab_stories_n;

#endif
