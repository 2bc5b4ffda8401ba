/* SPDX-License-Identifier: MIT */
/*
 * The rules of doctor: pure functions from what was seen (passes of snapshots, facts of the hosts)
 * to findings. Each rule is one function with the finding's name; the rules stand in diagnose_*.c
 * by subject.
 *
 * One finding for one cause: what a rule explains (the callers that hang on a full accept queue,
 * the sender that stands before a stopped reader) later rules leave alone. So the order of the
 * rules, in diagnose.c, goes from causes to their effects: host, program, listener, connection.
 */
#ifndef VIEW_DIAGNOSE_H
#define VIEW_DIAGNOSE_H

#include "view/facts.h"
#include "view/finding.h"
#include "view/match.h"

/*
 * What was seen. Pass 1 and 2 follow each other at once (the sandwich of pair.h); pass 3 comes
 * `later_ns` after pass 2, so that what stands still is told from what moves. With fewer passes the
 * rules go by what the ends themselves remember (retransmissions, times), and are less sure.
 */
struct view_seen {
	const struct view_match *match; /* one host, or two */
	uint64_t later_ns;
	const struct view_facts *facts;		/* of the first host, of pass 3's time, or NULL */
	const struct view_facts *before;	/* the same of pass 1's time, or NULL */
	const struct cpl_addr *own[VIEW_HOSTS]; /* each host's addresses, in order of memcmp() */
	size_t owns[VIEW_HOSTS];
	bool all_namespaces[VIEW_HOSTS]; /* every namespace of that host was asked */
	bool complete[VIEW_HOSTS];	 /* every connection that was asked for was given */
	bool told[VIEW_HOSTS]; /* it was told by others, whose cautions do not say of what they are
				*/
	bool remarks;	       /* what limits each connection is told, too */
	const bool *wanted;    /* by index of match->end: only of those findings; NULL: of all */
};

/*
 * Applies every rule to every connection and host; adds to D, which view_diagnosis_settle() ends.
 * Returns how long pass 3 should come after pass 2 to tell what could not be told now: more than
 * seen->later_ns if looking longer is worth it, else 0.
 */
uint64_t view_diagnose(struct view_diagnosis *d, const struct view_seen *seen);

#endif
