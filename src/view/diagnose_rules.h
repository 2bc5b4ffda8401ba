/* SPDX-License-Identifier: MIT */
/* Between diagnose.c, which runs the rules of doctor, and diagnose_*.c, where they stand. */
#ifndef VIEW_DIAGNOSE_RULES_H
#define VIEW_DIAGNOSE_RULES_H

#include "view/diagnose.h"

#define RULE_MS	    1000000ull
#define RULE_SECOND 1000000000ull

/* What is the matter with a listener that callers hang on. */
struct rule_listener {
	uint32_t netns;
	struct cpl_addr addr; /* any: all of its namespace */
	uint16_t port;
	bool any;
	size_t callers; /* that hang on it */
};

/* Ends by a number of theirs, sorted; made when first asked for, so that no rule is quadratic. */
struct rule_index {
	bool made;
	struct rule_key {
		uint64_t key;
		size_t end;
	} * entry;
	size_t n;
};

/* One look, while the rules run. */
struct rule_look {
	struct view_diagnosis *d;
	const struct view_seen *seen;
	const struct view_match *m;
	bool *explained;		/* by end: a finding says what is wrong with it */
	bool translates;		/* an address translator may be at work */
	uint64_t wanted_ns;		/* see view_diagnose() */
	uint8_t ports[8192];		/* bits: a listener on this port is in trouble */
	struct rule_listener *listener; /* these, in order of port */
	size_t listeners, listeners_room;
	struct rule_index born;	 /* ends that only the last pass saw, by their ports */
	struct rule_index quiet; /* those that stand still in a state of closing, by program */
};

/* One connection, with what is known of its ends. */
struct rule_pair {
	struct rule_look *l;
	size_t end[2];			  /* indices into m->end; VIEW_ALONE: not seen */
	const struct cpl_info *before[2]; /* in the pass before the last; NULL: not there */
	const struct cpl_info *now[2];	  /* in the last pass; NULL: not seen, or gone */
	bool looked;	/* the end that is missing was looked for where it should be */
	bool elsewhere; /* or where it likely should be: in a namespace that has its address */
	bool nat;	/* an address translator may have hidden it */
};

/* ---- What ends tell (diagnose.c) ------------------------------------------------------------- */

static inline bool rule_known(const struct cpl_info *i, enum cpl_field f)
{
	return i && cpl_info_known(i, f);
}

/* The value of a number; 0 if it is unknown. */
uint64_t rule_value(const struct cpl_info *i, enum cpl_field f);
/* True if it is known and at least N. */
bool rule_at_least(const struct cpl_info *i, enum cpl_field f, uint64_t n);
bool rule_timer_runs(const struct cpl_info *i, enum cpl_field f);
bool rule_state_is(const struct cpl_info *i, unsigned states); /* bits: 1 << enum cpl_state */

#define RULE_STATE(s) (1u << CPL_##s)
#define RULE_SYNCHRONISED                                                                          \
	(RULE_STATE(ESTABLISHED) | RULE_STATE(FIN_WAIT_1) | RULE_STATE(FIN_WAIT_2) |               \
	 RULE_STATE(CLOSE_WAIT) | RULE_STATE(CLOSING) | RULE_STATE(LAST_ACK))

/* The end in the last pass, and in the one before; NULL: it was not there. */
const struct cpl_info *rule_now(const struct rule_look *l, size_t end);
const struct cpl_info *rule_before(const struct rule_look *l, size_t end);
/* False: known to have no program any more, or none yet. */
bool rule_attached(const struct cpl_info *i);
/* Whether F differs between the two: 1, 0, or -1 if it is not known, or they are the same pass. */
int rule_moved(const struct cpl_info *before, const struct cpl_info *now, enum cpl_field f);
/* Nothing that one of FIELDS (ending with CPL_FIELDS) counts is known to have moved. */
bool rule_still(const struct cpl_info *before, const struct cpl_info *now,
		const enum cpl_field *fields);
/* Its sending, receiving and reading stand still. */
bool rule_end_still(const struct cpl_info *before, const struct cpl_info *now);

/* Whether the program that holds END is stopped: 'T' or 't'; 0: not, or not known. */
char rule_stopped(const struct rule_look *l, const struct cpl_info *end);

/* A third pass so long after the second would tell more. */
static inline void rule_want(struct rule_look *l, uint64_t ns)
{
	if (ns > l->wanted_ns)
		l->wanted_ns = ns;
}

/* A finding about a connection with both ends as last seen, which are explained by it. */
struct view_finding *rule_find(struct rule_pair *p, enum view_finding_id id,
			       enum view_certainty certainty, unsigned x);
/* "curl (pid 812, descriptor 3)", "the program at 10.0.0.1:80" */
struct view_word rule_who(const struct cpl_info *i);
/* The same for an end that may not have been seen, from what its peer says. */
struct view_word rule_who_at(const struct rule_pair *p, unsigned end);

/* False: of a namespace that was not looked at. */
bool rule_event_here(const struct rule_look *l, const struct view_event *e);
/* What the kernel dropped of what X sent to its peer, of any reason that is not its peer's. */
const struct view_event *rule_drop(const struct rule_look *l, const struct cpl_info *x,
				   const char *reason);
/* The drop in plain words; adds it to the evidence. */
void rule_say_drop(struct view_finding *f, const struct view_event *e);

/*
 * Makes INDEX of all ends of which KEY tells one, unless it is made. The first entry of KEY, and
 * how many there are with it.
 */
void rule_index_make(struct rule_look *l, struct rule_index *index,
		     bool (*key)(const struct rule_look *l, size_t end, uint64_t *key));
const struct rule_key *rule_index_find(const struct rule_index *index, uint64_t key, size_t *n);

/* Callers of this listener hang; their ends are explained by rule_hangs() from now on. */
void rule_listener_add(struct rule_look *l, const struct cpl_info *listener);
void rule_listeners_sort(struct rule_look *l);
/* The troubled listener that this end called, or is of; NULL: none. */
struct rule_listener *rule_hangs(struct rule_look *l, const struct cpl_info *end);

/* ---- The rules ------------------------------------------------------------------------------- */

/* diagnose_host.c: of hosts and programs */
void rule_conntrack_full(struct rule_look *l);
void rule_ports_exhausted(struct rule_look *l);
void rule_fd_limit(struct rule_look *l);
void rule_process_stopped(struct rule_look *l);
void rule_rp_filter(struct rule_look *l);
/* diagnose_listener.c */
void rule_accept_queue_full(struct rule_look *l);
void rule_syn_queue_full(struct rule_look *l);

/* Of one connection; true if it was found to be the matter. diagnose_ends.c: the two disagree */
bool rule_disagree(struct rule_pair *p);
bool rule_half_open(struct rule_pair *p);
/* diagnose_flow.c: data do not flow */
bool rule_zero_window_stuck(struct rule_pair *p);
bool rule_not_acknowledged(struct rule_pair *p);
bool rule_syn_not_answered(struct rule_pair *p);
/* diagnose_close.c */
bool rule_close_wait_stuck(struct rule_pair *p);
bool rule_fin_wait_2_stuck(struct rule_pair *p);
/* diagnose_speed.c: it flows slowly */
bool rule_nagle_delayed_ack(struct rule_pair *p);
bool rule_limited(struct rule_pair *p);

#endif
