/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of another machine, now: couplet snap --serve is started there (by ssh, or by any
 * command that leads there) and asked for passes. There is no daemon, and clocks need not agree.
 *
 * What comes from there may be anyone's: it is read with bounds and time-outs, and refused with one
 * sentence.
 */
#ifndef SOURCE_PEER_H
#define SOURCE_PEER_H

#include "source/snapshot_file.h"

#define PEER_ERROR	 256
/* Nothing has come for so long: it hangs. */
#define PEER_PATIENCE_MS 20000u

struct peer_options {
	const char *host;    /* "ssh:HOST"; or */
	const char *command; /* what a shell is to run, with "couplet snap --serve" behind it */
	const char *couplet; /* its name there; NULL: "couplet" */
	unsigned timeout_ms; /* 0: PEER_PATIENCE_MS */
};

struct peer;

/*
 * Starts it. Returns 0, or a negative errno with ERROR one sentence (-EINVAL: OPTIONS make no
 * sense). What the far end says on standard error goes to ours.
 */
int peer_open(struct peer **peer, const struct peer_options *options, char error[PEER_ERROR]);
void peer_close(struct peer *peer);

/* Asks for N passes, one behind the other. 0, or a negative errno with ERROR. */
int peer_ask(struct peer *peer, unsigned n, bool owners, char error[PEER_ERROR]);
/* The next pass that was asked for, as S's next. 0, or a negative errno with ERROR. */
int peer_answer(struct peer *peer, struct snapshot *s, char error[PEER_ERROR]);

/*
 * Both in one sandwich: two passes each into HERE->passes and THERE, which were initialized and
 * HERE filled by snapshot_here(). In which order, and why that is enough, is in peer.c.
 */
int peer_sandwich(struct peer *peer, const struct source_options *options, struct snapshot *here,
		  struct snapshot *there, char error[PEER_ERROR]);

#endif
