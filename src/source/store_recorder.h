/* SPDX-License-Identifier: MIT */
/* Between store_record.c, which writes passes, and store_prune.c, which deletes what is too old. */
#ifndef SOURCE_STORE_RECORDER_H
#define SOURCE_STORE_RECORDER_H

#include "base/hash.h"
#include "source/store_backend.h"

/* Which rows come first when there are more than may be written. */
enum reason {
	REASON_NONE,
	REASON_GONE,
	REASON_NEW,
	REASON_CHANGED,
	REASON_STILL, /* a heartbeat: nothing is lost if it comes later */
};

struct known_end {
	uint64_t identity[2];
	int64_t number;	    /* in the store */
	int64_t written;    /* sample of its latest row; 0: it has none */
	uint64_t at_pass;   /* number of the pass in which it was written */
	uint64_t seen_pass; /* in which it was seen last */
	uint32_t at;	    /* its place in the records of this pass */
	enum reason reason; /* of this pass */
	bool planned;	    /* has a row in this pass */
	bool sequenced;	    /* the next two are known */
	struct store_value sequence, sequence_side;
	struct store_print print; /* as written */
};

struct recorder {
	struct store *store;
	struct recorder_options options;
	struct recorder_totals totals;
	struct siphash_key key;
	char host_name[160];
	int64_t host, run; /* their numbers in the store; run 0: to be made */
	int64_t next_number;
	uint64_t pass;
	uint64_t missed; /* since the last one that was stored */
	uint64_t tokens; /* rows that may be written now, if there is a limit */
	uint64_t refilled_ns;
	int64_t last;  /* the last sample; 0: none is stored */
	int64_t since; /* of that */
	struct known_end *ends;
	size_t n, room;
	uint32_t *slot; /* 1 + index into ends, by identity; 0: empty */
	size_t slots;
	struct cpl_addr *addrs;
	size_t naddrs;
};

#endif
