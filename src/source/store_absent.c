/* SPDX-License-Identifier: MIT */
/*
 * Before an end is called missing: whose address it should have, and whether it was there when its
 * host was looked at. See store.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/store_backend.h"

/* ---- Whose address --------------------------------------------------------------------------- */

struct addresses {
	const struct store_host *hosts;
	size_t n;
	struct store_address *list;
	size_t found, room;
};

static int visit_address(void *arg, const struct store_value *v, unsigned n)
{
	struct addresses *a = arg;
	struct store_address *one;
	char text[CPL_ADDR_TEXT];

	if (n != 2 || v[0].kind != STORE_NUMBER)
		return -EPROTO;
	if (a->found == a->room) {
		size_t room = a->room ? a->room * 2 : 64;

		one = reallocarray(a->list, room, sizeof(*one));
		if (!one)
			return -ENOMEM;
		a->list = one;
		a->room = room;
	}
	one = &a->list[a->found];
	one->addr = v[1].addr;
	if (v[1].kind == STORE_TEXT && v[1].len < sizeof(text)) {
		memcpy(text, v[1].text, v[1].len);
		text[v[1].len] = 0;
		if (cpl_addr_parse(&one->addr, text))
			return -EPROTO;
	} else if (v[1].kind != STORE_ADDRESS) {
		return -EPROTO;
	}
	for (size_t i = 0; i < a->n; i++) {
		if (a->hosts[i].last.id && a->hosts[i].last.run == v[0].number) {
			one->host = i;
			a->found++;
			break;
		}
	}
	return 0;
}

static int by_address(const void *pa, const void *pb)
{
	const struct store_address *a = pa, *b = pb;

	return memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
}

int store_addresses(struct store *s, const struct store_host *hosts, size_t n,
		    struct store_address **list, size_t *found)
{
	struct addresses a = { .hosts = hosts, .n = n };
	size_t kept = 0;
	int err = s->backend->query(s, "SELECT run, address FROM couplet_addresses", NULL, 0,
				    visit_address, &a);

	if (err) {
		free(a.list);
		return err == -ENOMEM ? store_fail(s, err, "out of memory") : err;
	}
	if (a.found)
		qsort(a.list, a.found, sizeof(*a.list), by_address);
	for (size_t i = 0; i < a.found; i++) {
		if (kept && cpl_addr_equal(&a.list[kept - 1].addr, &a.list[i].addr))
			a.list[kept - 1].host = SIZE_MAX;
		else
			a.list[kept++] = a.list[i];
	}
	*list = a.list;
	*found = kept;
	return 0;
}

/* ---- Was it there ---------------------------------------------------------------------------- */

#define CANDIDATES 64

struct candidates {
	struct store_want want[CANDIDATES];
	size_t n;
	bool more;
	const struct store_sample *sample;
};

static int visit_candidate(void *arg, const struct store_value *v, unsigned n)
{
	struct candidates *c = arg;

	if (n != 1 || v[0].kind != STORE_NUMBER)
		return -EPROTO;
	if (c->n == CANDIDATES)
		c->more = true;
	else
		c->want[c->n++] =
			(struct store_want){ v[0].number, c->sample->id, c->sample->since, 0 };
	return 0;
}

int store_was_there(struct store *s, const struct cpl_info *x, const struct store_sample *sample,
		    bool *there)
{
	struct candidates c = { .sample = sample };
	struct store_row row;
	struct store_value v[7];
	int err;

	store_row_keys(&row, x, sample->host);
	v[0] = row.value[STORE_C_ENDPOINTS];
	v[1] = store_number(!row.value[STORE_C_SIDE].number);
	v[2] = row.value[STORE_C_SEQUENCE];
	v[3] = store_number(!row.value[STORE_C_SEQUENCE_SIDE].number);
	if (v[2].kind == STORE_NULL) {
		v[2] = store_number(0);
		v[3] = store_number(2); /* none has that */
	}
	v[4] = store_number(sample->run << 32);
	v[5] = store_number((sample->run + 1) << 32);
	v[6] = store_number(sample->id);
	err = s->backend->query(s,
				"SELECT DISTINCT number FROM couplet_ends WHERE "
				"((endpoints = $1 AND side = $2) OR "
				"(sequence = $3 AND sequence_side = $4)) "
				"AND number >= $5 AND number < $6 AND sample <= $7",
				v, 7, visit_candidate, &c);
	*there = c.more;
	if (err || !c.n)
		return err;
	err = store_rows_at(s, c.want, c.n);
	for (size_t i = 0; i < c.n; i++)
		*there |= c.want[i].row != 0;
	return err;
}
