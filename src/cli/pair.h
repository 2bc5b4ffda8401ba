/* SPDX-License-Identifier: MIT */
/* What the files of couplet pair share: pair.c takes the options, pair_look.c looks, pair_show.c
 * says what was found. */
#ifndef CLI_PAIR_H
#define CLI_PAIR_H

#include "cli/connections.h"
#include "source/snapshot_file.h"
#include "view/pairs.h"

struct pair_options {
	bool all, verbose, json, repeat;
	unsigned interval_ms;
	const char *file[VIEW_HOSTS];
	unsigned files;
	const char *peer, *peer_command, *peer_couplet;
	unsigned peer_timeout_ms;
	const char *store, *at; /* what hosts recorded, and when; see pair_store.c */
	bool named;		/* a CONN or FILTER was given */
	struct select select;
	const char *name; /* as it was given */
};

/* All that was looked at. */
struct pair_world {
	struct snapshot host[VIEW_HOSTS];
	struct view_look look[VIEW_HOSTS];
	struct view_match match;
	unsigned hosts;
	bool apart;	   /* the hosts were not looked at in one sandwich */
	bool by_clocks;	   /* that they were rests on the clocks of both */
	uint64_t apart_ns; /* how far apart the two ends were read; 0: not known */
	char caution[200]; /* what makes the verdicts weaker, a sentence; "": nothing */
};

void pair_world_init(struct pair_world *w);
void pair_world_free(struct pair_world *w);

/* Look as the options say. Returns CLI_OK, or complains and returns another status. */
int pair_look(const struct pair_options *o, struct pair_world *w);
/* Look again, closely, at one connection of W alone; W is replaced if that works. */
int pair_look_closer(const struct pair_options *o, struct pair_world *w,
		     const struct view_pair *pair);

/* The connections of W that CONN names; *N of them, to be freed. NULL: no memory. */
struct view_pair *pair_pick(const struct pair_options *o, const struct pair_world *w, size_t *n);

/* The names of PAIR's ends and what its absence means. */
struct view_ends pair_ends(const struct pair_world *w, const struct view_pair *pair, bool *remote);

int pair_show_one(const struct pair_options *o, const struct pair_world *w,
		  const struct view_pair *pair);
int pair_show_all(const struct pair_options *o, const struct pair_world *w,
		  const struct view_pair *pairs, size_t n);

/* All of it for --store: see pair_store.h. */
int pair_store(const struct pair_options *o);

#endif
