/* SPDX-License-Identifier: MIT */
/*
 * A ladder of thousands of segments, shortened: what is alike becomes gaps that say how much they
 * leave out. See view_ladder_make().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "view/ladder.h"

#define FLAG_FIN 1u
#define FLAG_SYN 2u
#define FLAG_RST 4u

enum weight {
	WEIGHT_PLAIN,	 /* data and ACKs that arrived */
	WEIGHT_EXAMPLE,	 /* the first and the last of these */
	WEIGHT_TROUBLE,	 /* lost, repeated, refused, notes */
	WEIGHT_LANDMARK, /* handshake, close, changes of state */
};

static enum weight weight_of(const struct view_step *s)
{
	if (s->state_to[0] >= 0 || s->state_to[1] >= 0 || s->kind == VIEW_ROW_STATE ||
	    s->flags & (FLAG_SYN | FLAG_FIN | FLAG_RST))
		return WEIGHT_LANDMARK;
	if (s->kind == VIEW_ROW_NOTE || s->retrans || s->fate != VIEW_FATE_ARRIVED || *s->note)
		return WEIGHT_TROUBLE;
	return WEIGHT_PLAIN;
}

#define EXAMPLES 4

/* The first and the last plain rows show what the others are like. */
static void weigh(const struct view_step *steps, uint8_t *weight, size_t n)
{
	unsigned seen = 0;

	for (size_t i = 0; i < n; i++)
		weight[i] = (uint8_t)weight_of(&steps[i]);
	for (size_t i = 0; i < n && seen < EXAMPLES; i++)
		if (weight[i] == WEIGHT_PLAIN) {
			weight[i] = WEIGHT_EXAMPLE;
			seen++;
		}
	seen = 0;
	for (size_t i = n; i-- > 0 && seen < EXAMPLES;)
		if (weight[i] == WEIGHT_PLAIN) {
			weight[i] = WEIGHT_EXAMPLE;
			seen++;
		}
}

/* Rows that remain if only those of at least LEAST, of TROUBLE the first FEW, are kept. */
static size_t rows_left(const uint8_t *weight, size_t n, enum weight least, size_t few)
{
	size_t rows = 0, troubles = 0;
	bool gap = false;

	for (size_t i = 0; i < n; i++) {
		bool keep = weight[i] >= least && (weight[i] != WEIGHT_TROUBLE || troubles++ < few);

		if (keep || !gap)
			rows++;
		gap = !keep;
	}
	return rows;
}

static void gap_count(struct view_step *gap, const struct view_step *s)
{
	if (s->kind != VIEW_ROW_SEGMENT)
		return;
	gap->gap_segments++;
	gap->gap_bytes[s->from] += s->len;
	gap->gap_lost += s->fate == VIEW_FATE_LOST;
}

static void compact(struct view_ladder *l, const uint8_t *weight, enum weight least, size_t few)
{
	size_t out = 0, troubles = 0;
	struct view_step *gap = NULL;

	for (size_t i = 0; i < l->n; i++) {
		struct view_step step = l->steps[i];

		if (weight[i] >= least && (weight[i] != WEIGHT_TROUBLE || troubles++ < few)) {
			l->steps[out++] = step;
			gap = NULL;
			continue;
		}
		if (!gap) {
			gap = &l->steps[out++];
			memset(gap, 0, sizeof(*gap));
			gap->kind = VIEW_ROW_GAP;
			gap->sent = step.sent;
			memset(gap->state_from, -1, sizeof(gap->state_from));
			memset(gap->state_to, -1, sizeof(gap->state_to));
		}
		gap_count(gap, &step);
	}
	l->n = out;
}

int view_ladder_shorten(struct view_ladder *l, size_t most)
{
	static const enum weight leasts[] = { WEIGHT_EXAMPLE, WEIGHT_TROUBLE, WEIGHT_LANDMARK };
	uint8_t *weight;
	enum weight least = WEIGHT_PLAIN;
	size_t few = SIZE_MAX;

	if (!most || l->n <= most)
		return 0;
	weight = malloc(l->n);
	if (!weight)
		return -ENOMEM;
	weigh(l->steps, weight, l->n);
	/* First leave out plain rows, then all but some troubles, then all but landmarks. */
	least = leasts[0];
	for (few = 64; few >= 4 && rows_left(weight, l->n, least, few) > most; few /= 2)
		;
	for (unsigned i = 1; i < 3 && rows_left(weight, l->n, least, few) > most; i++)
		least = leasts[i];
	compact(l, weight, least, few);
	free(weight);
	return 0;
}
