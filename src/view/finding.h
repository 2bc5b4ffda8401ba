/* SPDX-License-Identifier: MIT */
/*
 * What doctor finds: the list of troubles (finding.def), one found trouble with its evidence, and
 * all that one look gave: stairs, findings, and what was not looked at.
 *
 * Filled by the rules (diagnose.h) and by the stairs to a destination (src/source/stairs.h);
 * printed as text or JSON by view_diagnosis_*. Nobody calls healthy what was not looked at: a step
 * or a rule that could not look leaves a line in `unseen`.
 */
#ifndef VIEW_FINDING_H
#define VIEW_FINDING_H

#include "view/pair.h"
#include "view/text.h"

enum view_finding_id {
#define FINDING(id, weight, subject, title, meaning, next) VIEW_FINDING_##id,
#include "view/finding.def"
	VIEW_FINDINGS /* their number */
};

enum view_weight {
	VIEW_TROUBLE,
	VIEW_WARNING,
	VIEW_REMARK,
};

enum view_subject {
	VIEW_OF_DESTINATION,
	VIEW_OF_CONNECTION,
	VIEW_OF_LISTENER,
	VIEW_OF_PROCESS,
	VIEW_OF_HOST,
};

struct view_finding_kind {
	const char *name; /* "no_listener" */
	enum view_weight weight;
	enum view_subject subject;
	const char *title, *meaning, *next;
};

extern const struct view_finding_kind view_finding_kinds[VIEW_FINDINGS];

#define VIEW_EVIDENCE 4

/* One found trouble. */
struct view_finding {
	enum view_finding_id id;
	enum view_certainty certainty;
	bool known_x, known_y; /* whether x and y stand for something */
	struct cpl_info x, y;  /* the connection's ends, or the listener, as last seen */
	uint32_t pid;	       /* of the program that is to blame; 0: not known */
	char program[16];      /* its name; "" likewise */
	uint32_t netns;	       /* where; 0: here */
	char space[32];	       /* its name or number, if the reader is in another; else "" */
	unsigned times; /* that many of the same kind and subject were folded into this one */
	unsigned evidences;
	char evidence[VIEW_EVIDENCE][200]; /* sentences with the numbers, without a final stop */
	char next[240];			   /* if more exact than the kind's own; else "" */
	char about[200]; /* in place of the connection's or listener's name: "10.0.0.0/8"; or "" */
};

/* The steps to a destination, in order. */
enum view_step_id {
	VIEW_STEP_NAME,
	VIEW_STEP_ADDRESS,
	VIEW_STEP_ROUTE,
	VIEW_STEP_NEIGHBOUR,
	VIEW_STEP_SYN,
	VIEW_STEP_HANDSHAKE,
	VIEW_STEP_DATA,
	VIEW_STEP_READS,
	VIEW_STEPS
};

enum view_step_result {
	VIEW_STEP_NOT_REACHED, /* an earlier one failed */
	VIEW_STEP_HOLDS,
	VIEW_STEP_FAILS,
	VIEW_STEP_NOT_SEEN, /* could not be looked at */
	VIEW_STEP_NEEDLESS, /* does not apply: no neighbour on loopback */
};

struct view_step {
	enum view_step_result result;
	char text[200]; /* the evidence, one clause */
};

struct view_diagnosis {
	char what[200]; /* what was asked for: "example.org port 443", "every connection" */
	bool stairs;	/* STEP is filled */
	struct view_step step[VIEW_STEPS];
	struct view_finding *finding; /* troubles first; to be freed by view_diagnosis_free() */
	size_t n, room;
	size_t folded;	/* findings [0, folded) stand in the table of what is alike */
	uint32_t *slot; /* open addressing: a finding's index + 1 */
	size_t slots;
	size_t connections, pairs, checks; /* looked at */
	unsigned unseen;		   /* lines of what was not looked at */
	char not_seen[12][200];		   /* a clause each: "drop reasons: needs root" */
	char again[160]; /* the command that would see it: "sudo couplet doctor ..."; or "" */
	bool failed;	 /* memory ran out */
};

void view_diagnosis_init(struct view_diagnosis *d);
void view_diagnosis_free(struct view_diagnosis *d);
/*
 * A new finding of this kind, cleared, to be filled in before the next is added, which moves it;
 * NULL: no memory (d->failed). What is alike folds as soon as the next comes, so that memory grows
 * with the number of causes, not of connections.
 */
struct view_finding *view_diagnosis_add(struct view_diagnosis *d, enum view_finding_id id,
					enum view_certainty certainty);
/* One more sentence of evidence; beyond VIEW_EVIDENCE they are dropped. */
__attribute__((format(printf, 2, 3))) void view_finding_say(struct view_finding *f,
							    const char *format, ...);
/* Blames the owner of END, if it is known. */
void view_finding_blame(struct view_finding *f, const struct cpl_info *end);
/* The connection's or listener's end(s), as last seen; either may be NULL. */
void view_finding_of(struct view_finding *f, const struct cpl_info *x, const struct cpl_info *y);
/* What could not be looked at; the same clause is not added twice. */
__attribute__((format(printf, 2, 3))) void view_diagnosis_unseen(struct view_diagnosis *d,
								 const char *format, ...);
__attribute__((format(printf, 4, 5))) void view_diagnosis_step(struct view_diagnosis *d,
							       enum view_step_id step,
							       enum view_step_result result,
							       const char *format, ...);
/* All that OTHER found and did not see, and how much it looked at, becomes D's too. */
void view_diagnosis_join(struct view_diagnosis *d, const struct view_diagnosis *other);
/* Sorts (troubles first, certain before likely) and folds the same trouble of many connections. */
void view_diagnosis_settle(struct view_diagnosis *d);
/* True if there is a TROUBLE: exit status 1. */
bool view_diagnosis_trouble(const struct view_diagnosis *d);

/* The kind by its name, with "-" or "_"; -1: there is none. */
int view_finding_find(const char *name);
/* Its name with hyphens, as people see it: "half-open". */
struct view_word view_finding_name(enum view_finding_id id);
/* The kind's title, meaning or next step with %p and %c replaced by what F tells of them. */
void view_finding_fill(char *out, size_t size, const char *text, const struct view_finding *f);
/* "10.0.0.1:5000 - 10.0.0.2:443, curl (pid 812, descriptor 3)": what F is about; may be "". */
void view_finding_about(struct text *t, const struct view_finding *f);

/* For people: stairs, findings with evidence, certainty and next step, what was not looked at. */
void view_diagnosis_print(struct text *t, const struct view_diagnosis *d);
const char *view_weight_name(enum view_weight weight);		/* "trouble" */
const char *view_subject_name(enum view_subject subject);	/* "connection" */
const char *view_certainty_name(enum view_certainty certainty); /* "certain" */
const char *view_step_name(enum view_step_id step);		/* "route" */
/* One JSON object. Returns 0, -ENOMEM, or -ENOSYS: built without jansson. */
int view_diagnosis_json(struct text *t, const struct view_diagnosis *d);

#endif
