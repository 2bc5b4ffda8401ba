/* SPDX-License-Identifier: MIT */
/*
 * The store: samples of the connections of several hosts in one database, SQLite (a file) or
 * PostgreSQL, written by `couplet record` and read by `couplet pair --store`.
 *
 * A run is one recorder at work on one host; it takes samples, one after the other, each a pass
 * over all connections. A sample holds a row for each end that is new, changed or gone since its
 * last row; an end that stands still is written again now and then, so that the state at a sample
 * is the latest row of each end between its `since` and itself. Tables and columns: store_schema.c.
 *
 * What orders samples of different hosts is the store, not their clocks. Each sample has a
 * `position`, given under a lock as it is committed, and an `after`: the last position that its
 * recorder saw before it began to look. A.position <= B.after: A was over before B began.
 *
 * A store is one program's at a time; functions return 0 or a negative errno, and store_error()
 * says in one sentence what went wrong: -EBUSY locked by another program, -ECONNRESET the
 * connection is lost, or the file taken away, -ENOSPC no room, -ENOSYS a library is missing,
 * -EPROTO not a store that we can use, others as usual.
 */
#ifndef SOURCE_STORE_H
#define SOURCE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "source/source.h"

/* Version of the tables. A new field of <couplet/info.def> needs none: it becomes a column. */
#define STORE_VERSION 1
#define STORE_ERROR   320

struct store;

/* The URL begins with postgresql:// or postgres://; all else that has no :// is a file. */
bool store_is_url(const char *where);

/*
 * Opens FILE or URL. With WRITE it is made if it is not there, and brought up to STORE_VERSION. A
 * store that a newer version made is refused. On failure *STORE is NULL and ERROR is filled.
 */
int store_open(struct store **store, const char *where, bool write, char error[STORE_ERROR]);
void store_close(struct store *store);
/* The connection anew, after -ECONNRESET. */
int store_reopen(struct store *store);
/* What went wrong last, one sentence without a final stop. */
const char *store_error(const struct store *store);
/* Its name for messages: no password in it. */
const char *store_name(const struct store *store);

/* ---- Recording: store_record.c --------------------------------------------------------------- */

struct recorder;

struct recorder_options {
	const char *host; /* name */
	const char *machine_id, *boot_id;
	uint64_t every_ns;  /* between passes */
	uint64_t rate;	    /* rows a second at most; 0: no limit */
	const char *filter; /* what was asked for; "": everything */
	bool namespaces;    /* every namespace was asked */
	bool forwards;	    /* the host forwards packets: it may translate addresses */
	unsigned heartbeat; /* passes after which what stands still is written again; 0: by time */
};

/* One pass: when it was taken, and what it could not see. */
struct recorder_pass {
	int64_t time_ns;       /* since 1970, UTC */
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC when it began */
	uint64_t duration_ns;
	int64_t after;	      /* as recorder_position() gave it before the pass began */
	const char *not_seen; /* sentences, one a line; "": nothing was missed */
};

/* What has become of all passes so far. */
struct recorder_totals {
	uint64_t passes, missed; /* stored; not stored */
	uint64_t rows;		 /* written */
	uint64_t still;		 /* that needed no row: nothing had changed */
	uint64_t dropped;	 /* rows that the limit left out */
	uint64_t deleted;	 /* rows that were too old */
};

int recorder_begin(struct recorder **recorder, struct store *store,
		   const struct recorder_options *options);
void recorder_end(struct recorder *recorder);
/* The position of the last sample that is in the store. */
int recorder_position(struct recorder *recorder, int64_t *position);
/* An address of this host, for what others call it. One that is known already costs nothing. */
int recorder_address(struct recorder *recorder, const struct cpl_addr *addr);
/*
 * Stores one pass, wholly or not at all; after a failure the same pass can be tried again, or the
 * next one taken after recorder_missed().
 */
int recorder_store(struct recorder *recorder, const struct recorder_pass *pass,
		   const struct cpl_info *infos, size_t n);
void recorder_missed(struct recorder *recorder);
/*
 * After store_reopen(): if what was stored last is not there (a server that lost its last commits,
 * a file that was taken away) everything is written anew, as another run.
 */
int recorder_resume(struct recorder *recorder);
/*
 * Deletes what this host recorded before BEFORE_NS (as time_ns), in batches, for at most BUDGET_NS;
 * *MORE: there is more of it.
 */
int recorder_prune(struct recorder *recorder, int64_t before_ns, uint64_t budget_ns, bool *more);
const struct recorder_totals *recorder_totals(const struct recorder *recorder);

/* ---- Reading: store_look.c, store_join.c ----------------------------------------------------- */

/* One sample, with what is known of its run and host. */
struct store_sample {
	int64_t id, run, host, position, after, since, time_ns;
	uint64_t monotonic_ns, every_ns;
	int64_t seen, dropped, hidden, missed;
	uint32_t netns;
	bool namespaces, forwards, filtered;
	bool whole; /* every end of the host is in it */
	char boot_id[40];
};

struct store_host {
	int64_t id;
	char name[72]; /* as people may see it: printable */
	char machine_id[40];
	int64_t first_ns, last_ns; /* since 1970 */
	int64_t samples, rows;
	struct store_sample last; /* at the time asked for; id 0: none */
};

/*
 * The hosts, and the last sample of each that was taken at AT_NS or before; *HOSTS is to be freed.
 * COUNT: samples and rows are counted, too, which takes time.
 */
int store_hosts(struct store *store, int64_t at_ns, bool count, struct store_host **hosts,
		size_t *n);
/* Bytes that it takes on disk; 0: unknown. */
int store_size(struct store *store, uint64_t *bytes);
/* The last sample of RUN whose position is at most POSITION; id 0: there is none. */
int store_sample_before(struct store *store, int64_t run, int64_t position,
			struct store_sample *sample);

/* Two ends of one connection, or one that is alone: rows of the store. */
struct store_match {
	int64_t x, y; /* y 0: no other end was found */
	int64_t x_number, y_number;
	uint32_t x_host, y_host; /* places in the list of hosts */
	bool by_sequence;	 /* not by addresses */
	/* Of one that is alone. */
	bool contested;	   /* there is one, but it is another's; this may be a record of the same */
	bool sequenced;	   /* its initial sequence numbers are known */
	uint64_t endpoint; /* stands for its host and own endpoint: see store_endpoint() */
};

/* What reads between these sees one state of the store, whatever is recorded meanwhile. */
int store_read_begin(struct store *store);
void store_read_end(struct store *store);
/*
 * Joins the ends that the last samples of HOSTS show, in the database. Each end is in exactly one
 * match. *MATCHES is to be freed.
 */
int store_join(struct store *store, const struct store_host *hosts, size_t n,
	       struct store_match **matches, size_t *found);
/* The number that stands for an endpoint of the host at place HOST. */
uint64_t store_endpoint(uint32_t host, const struct cpl_addr *addr, uint16_t port);
/*
 * The rows IDS[0..N) in this order, and when each was written, by the clock of its host; a record
 * whose source is unknown stands for one that is not there, or makes no sense: the latter are
 * counted in *BAD.
 */
int store_rows(struct store *store, const int64_t *ids, size_t n, struct cpl_info *infos,
	       uint64_t *monotonic, size_t *bad);
/* INFO was written at WRITTEN, and was still like that at SAMPLE: clocks are moved on. */
void store_as_of(struct cpl_info *info, uint64_t written, const struct store_sample *sample);
/* The row that shows the end NUMBER at SAMPLE, for each of N; 0: it was not there. */
struct store_want {
	int64_t number, sample, since;
	int64_t row;
};
int store_rows_at(struct store *store, struct store_want *wants, size_t n);
/*
 * Was an end there at SAMPLE that could be the other one of X: of the same endpoints or initial
 * sequence numbers?
 */
int store_was_there(struct store *store, const struct cpl_info *x,
		    const struct store_sample *sample, bool *there);

/* What others call the hosts, each address once, in order; *LIST is to be freed. */
struct store_address {
	struct cpl_addr addr;
	size_t host; /* its place among the hosts; SIZE_MAX: several have it */
};
int store_addresses(struct store *store, const struct store_host *hosts, size_t n,
		    struct store_address **list, size_t *found);

#endif
