/* SPDX-License-Identifier: MIT */
/*
 * Between pair.c, which pairs ends by addresses, pair_seq.c, which pairs what is left by sequence
 * numbers, and match.c, which brings the ends of two passes and two hosts.
 */
#ifndef VIEW_PAIRING_H
#define VIEW_PAIRING_H

#include "view/pair.h"

/* One end that can be paired. */
struct pairing_end {
	const struct cpl_info *first, *last; /* in the two passes; the same where there is one */
	uint8_t host;
	bool low;    /* its local endpoint is the lower of the two */
	bool paired; /* or known to have no other end but itself */
	uint32_t index;
};

struct pairing {
	struct pairing_end *end;
	size_t n;
	uint32_t *peer; /* by index of the caller's: the other end's index, or UINT32_MAX */
	uint8_t *by;	/* enum view_paired_by */
};

/* A number to sort by, and whose it is. */
struct pairing_key {
	uint32_t key;
	uint32_t at;
};

/* Sorts KEYS by key, stably; SPARE has room for as many. */
void pairing_sort(struct pairing_key *keys, struct pairing_key *spare, size_t n);

void pairing_join(struct pairing *p, struct pairing_end *a, struct pairing_end *b,
		  enum view_paired_by by);

/* Both ends' own addresses mean the same: one namespace of one host. */
bool pairing_same_place(const struct pairing_end *a, const struct pairing_end *b);

/* How two ends' numbers stand to each other. */
enum pairing_fit {
	PAIRING_BORN,	 /* the same initial sequence numbers */
	PAIRING_FITS,	 /* each has received within what the other has sent */
	PAIRING_COUNTS,	 /* the same by the counters of bytes, without sequence numbers */
	PAIRING_UNKNOWN, /* too little is known */
	PAIRING_FAR,	 /* of two different connections */
};

enum pairing_fit pairing_fit(const struct pairing_end *a, const struct pairing_end *b);

/*
 * The initial sequence numbers of both directions: read where the source has them, else computed
 * from the counters of bytes, in which a SYN or FIN may count: good to PAIRING_BIRTH. False: not
 * known.
 */
#define PAIRING_BIRTH 2u
bool pairing_birth(const struct pairing_end *e, uint32_t *sends, uint32_t *receives);

/*
 * Does what B has received lie within what A has sent? 1 yes, 0 no, -1 unknown. *FREEDOM is how
 * many values would have, for the odds of chance.
 */
int pairing_window(const struct pairing_end *a, const struct pairing_end *b, uint64_t *freedom);

/* True if one of the two endpoints has the same name at both ends. */
bool pairing_endpoint(const struct pairing_end *a, const struct pairing_end *b);

/* Pairs those that are left, by sequence numbers. 0 or -ENOMEM. */
int pairing_by_numbers(struct pairing *p);

/*
 * All of it. ENDS, whose index, first, last and host are set, may be reordered and loses those that
 * are no connections; PEER and BY have INDICES entries. 0 or -ENOMEM.
 */
int pairing_run(struct pairing_end *ends, size_t n, uint32_t *peer, uint8_t *by, size_t indices);

/*
 * The pairs of what pairing_run() found, each once, in the order of x. LAST(arg, index) is an end's
 * record, NULL: none. *PAIRS is to be freed. Returns their number, or -ENOMEM.
 */
long pairing_list(const uint32_t *peer, const uint8_t *by, size_t indices,
		  const struct cpl_info *(*last)(const void *arg, size_t index), const void *arg,
		  struct view_pair **pairs);

bool pairing_is_connection(const struct cpl_info *i);

#endif
