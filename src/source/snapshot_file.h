/* SPDX-License-Identifier: MIT */
/*
 * One host's passes with what must be known to compare them with another host's: its name, its
 * addresses, when it looked, and whether it could see all. Taken here, or read from a file or from
 * a peer (peer.h) who may be anyone.
 */
#ifndef SOURCE_SNAPSHOT_FILE_H
#define SOURCE_SNAPSHOT_FILE_H

#include "source/passes.h"
#include "view/json.h"

/* A document that is longer is refused: a million connections are as long. */
#define SNAPSHOT_BYTES ((size_t)1 << 30)

struct snapshot {
	char host[65]; /* "": not told */
	char boot[40]; /* boot_id of its kernel; "": not told */
	uint64_t when; /* when the first pass began: nanoseconds since 1970 by its clock; 0: not
			  told */
	bool all_namespaces;	  /* every namespace of the host was asked */
	bool here;		  /* it is this host, now */
	struct cpl_addr *address; /* its own, in whatever namespace; without loopback */
	size_t addresses;
	struct cpl_addr *used; /* see snapshot_learn() */
	size_t uses;
	uint32_t *listener; /* likewise: indices into the first pass */
	size_t listeners;
	struct passes passes;
};

void snapshot_init(struct snapshot *s);
void snapshot_free(struct snapshot *s);

/*
 * Forgets what B saw that A saw as well: two looks at one machine, from two of its namespaces. 0
 * or -ENOMEM.
 */
int snapshot_subtract(struct snapshot *b, const struct snapshot *a);

/* This host: all but the passes, which passes_take(&s->passes, ...) takes. 0 or -ENOMEM. */
int snapshot_here(struct snapshot *s, const struct source_options *options);

bool snapshot_loopback(const struct cpl_addr *addr);
/* True if ADDR is one of the host's own, loopback included. */
bool snapshot_owns(const struct snapshot *s, const struct cpl_addr *addr);
/* Learns which addresses the records of the first pass have as their own, and who listens. 0 or
 * -ENOMEM. */
int snapshot_learn(struct snapshot *s);
/* True if one does: some namespace of the host has this address. */
bool snapshot_uses(const struct snapshot *s, const struct cpl_addr *addr);
/* What it means, as far as S can tell, that X's other end was not found there. */
enum view_absent snapshot_absence(const struct snapshot *s, const struct cpl_info *x);
/* True if one listens where X's other end should be. O(listeners). */
bool snapshot_listens(const struct snapshot *s, const struct cpl_info *x);

/* The document of view/json.h. Returns 0, -ENOMEM, or -ENOSYS: built without jansson. */
int snapshot_write(struct text *t, const struct snapshot *s);

/*
 * From a document of anyone. S was initialized. Returns 0, or a negative errno with ERROR one
 * sentence.
 */
int snapshot_read(struct snapshot *s, const char *data, size_t len, char error[VIEW_JSON_ERROR]);
/* From the file PATH, "-" for standard input. */
int snapshot_load(struct snapshot *s, const char *path, char error[VIEW_JSON_ERROR]);

#endif
