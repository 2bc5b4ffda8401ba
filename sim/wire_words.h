/* SPDX-License-Identifier: MIT */
/*
 * A link in words: "delay=20ms loss=1% rate=50mbit queue=1bdp ba.loss=0". Each word is KEY=VALUE
 * for both directions; with "ab." or "ba." in front for one. See wire_words_help for the keys.
 */
#ifndef SIM_WIRE_WORDS_H
#define SIM_WIRE_WORDS_H

#include <stddef.h>

#include "sim/wire.h"

/* The keys, one line each. */
extern const char wire_words_help[];

struct wire_words {
	struct wire_params params[2]; /* from a to b, and back */
	double bdp[2];		      /* the queue in bandwidth-delay products; 0: given in bytes */
	uint64_t seed;
};

void wire_words_init(struct wire_words *words);
/*
 * Reads one word. Returns 0, or -EINVAL with ERROR (of SIZE bytes) one sentence without a final
 * stop.
 */
int wire_words_read(struct wire_words *words, const char *word, char *error, size_t size);
/* After the last word: queues in BDPs become bytes, and what does not fit together is refused. */
int wire_words_settle(struct wire_words *words, char *error, size_t size);

#endif
