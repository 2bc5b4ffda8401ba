/* SPDX-License-Identifier: MIT */
/*
 * Which records of several passes are of one connection's end, and which two of those are the two
 * ends of one connection: what pair and doctor stand on.
 *
 * A pass is one look at all connections of one host. The same end is found again in a later pass
 * by its source's own number for it (the kernel's cookie, a stack's handle), its network namespace
 * and its source: never by addresses, which another connection may have taken over. The ends are
 * then paired (see pair.h), over all passes and hosts at once.
 *
 * view_match() copies nothing: passes and what was made of them must live as long as it does.
 */
#ifndef VIEW_MATCH_H
#define VIEW_MATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <couplet/info.h>

#include "view/pair.h"

#define VIEW_PASSES 3
#define VIEW_HOSTS  2
#define VIEW_NONE   UINT32_MAX

/* One look at all connections. */
struct view_pass {
	const struct cpl_info *info;
	size_t n;
};

/* All that was looked at on one host. */
struct view_look {
	struct view_pass pass[VIEW_PASSES]; /* those not taken are empty */
	unsigned passes;		    /* how many were */
};

/* One end: a socket, listeners and UDP included. */
struct view_end {
	uint32_t at[VIEW_PASSES]; /* its place in each pass; VIEW_NONE: it was not there */
	uint32_t other; /* its connection's other end, as an index into end; VIEW_NONE: not seen.
			   A socket that is connected to itself is its own. */
	uint8_t host;	/* index into the looks */
	uint8_t by;	/* enum view_paired_by */
};

struct view_match {
	const struct view_look *look;
	unsigned hosts;
	struct view_end *end;
	size_t n;
	struct view_pair *pair; /* x and y are indices into end; y may be VIEW_ALONE */
	size_t pairs;		/* every connection that the last sandwich saw, once */
	uint32_t *end_of[VIEW_HOSTS][VIEW_PASSES]; /* the end of each record */
};

/*
 * LOOK[0..HOSTS): one for each host, 1 or 2. Returns 0 or -ENOMEM; in both cases view_match_free()
 * frees what it holds. O(n) but for ends that only sequence numbers can pair.
 */
int view_match(struct view_match *m, const struct view_look *look, unsigned hosts);
/* The ends alone, not paired. */
int view_match_ends(struct view_match *m, const struct view_look *look, unsigned hosts);
void view_match_free(struct view_match *m);

/* The record of END (an index into end, or VIEW_NONE) in PASS, from 0; NULL: it was not there. */
const struct cpl_info *view_match_info(const struct view_match *m, size_t end, unsigned pass);
/* The latest record of END that there is; never NULL for an index into end. */
const struct cpl_info *view_match_last(const struct view_match *m, size_t end);

/*
 * The checks of pair.h for one of m->pair, with passes 0 and 1 as the sandwich, or with the only
 * pass by view_compare_apart().
 * ENDS gives the names and what an absence means; its x and y are not looked at. WORDS false: of
 * many, no sentences are made. APART: the looks of two hosts are of different times.
 */
void view_match_compare(const struct view_match *m, const struct view_pair *pair,
			const struct view_ends *ends, bool words, bool apart,
			struct view_report *report);

#endif
