/* SPDX-License-Identifier: MIT */
/*
 * The rules of doctor: pure functions from what was seen (passes of snapshots, facts of the hosts)
 * to findings. Each rule is one function with the finding's name; the rules stand in diagnose_*.c
 * by subject, in one table.
 */
#ifndef VIEW_DIAGNOSE_H
#define VIEW_DIAGNOSE_H

#include "view/facts.h"
#include "view/finding.h"
#include "view/match.h"

/*
 * What was seen. Pass 1 and 2 follow each other at once (the sandwich of pair.h); pass 3 comes
 * `later_ns` after pass 2, so that what stands still is told from what moves. A pass may be missing
 * (n = 0): the rules that need it say in d->not_seen what they could not tell.
 */
struct view_seen {
	struct view_pass pass[3];
	uint64_t later_ns;
	const struct view_facts *facts;	 /* of pass 3's time, or NULL */
	const struct view_facts *before; /* counters of pass 1's time, or NULL */
	bool all_namespaces;		 /* every namespace of the machine was asked */
	bool owners;			 /* every owner could be found */
};

/* Applies every rule to every connection and host; adds to D, which view_diagnosis_settle() ends.
 */
void view_diagnose(struct view_diagnosis *d, const struct view_seen *seen);

#endif
