/* SPDX-License-Identifier: MIT */
/*
 * Snapshots and trace records of any content at all: what is printed of them keeps within its
 * columns and has no control characters, a snapshot that is read back from JSON is the same, and
 * no verdict calls healthy what has a broken check.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "view/drawing.h"
#include "view/json.h"
#include "view/ladder.h"
#include "view/line.h"
#include "view/match.h"
#include "view/netstat.h"
#include "view/pairs.h"
#include "view/sockets.h"
#include "view/svg.h"
#include "view/tcb.h"

static void check_text(struct text *t, unsigned width)
{
	CHECK(!t->failed);
	for (const char *s = t->data; s && *s; s = strchr(s, '\n') + 1) {
		size_t n = strcspn(s, "\n");

		CHECK(s[n] == '\n');
		if (width && view_cells_n(s, n) > width)
			fprintf(stderr, "too wide: %.*s\n", (int)n, s);
		CHECK(!width || view_cells_n(s, n) <= width);
		for (size_t i = 0; i < n; i++)
			CHECK((unsigned char)s[i] >= 0x20);
	}
	t->len = t->line = 0;
	if (t->data)
		*t->data = 0;
}

/* What every source keeps to: the size, and a state that is one. */
static void tame(struct cpl_info *i)
{
	i->size = sizeof(*i);
	i->version = CPL_INFO_VERSION;
	i->state %= CPL_STATES;
	for (unsigned f = CPL_FIELDS; f < 64 * CPL_INFO_WORDS; f++) {
		i->read[f / 64] &= ~((uint64_t)1 << (f % 64));
		i->derived[f / 64] &= ~((uint64_t)1 << (f % 64));
	}
}

static void check_json(const struct cpl_info *i)
{
	char error[VIEW_JSON_ERROR], error2[VIEW_JSON_ERROR];
	struct cpl_info *back = NULL, *again = NULL;
	struct text t, t2;
	size_t n;

	text_init(&t);
	text_init(&t2);
	if (view_json_write(&t, i, 1) == 0) {
		CHECK(view_json_read(t.data, t.len, &back, &n, error) == 0);
		CHECK(n == 1);
		CHECK(view_json_write(&t2, back, 1) == 0);
		CHECK(view_json_read(t2.data, t2.len, &again, &n, error2) == 0);
		CHECK(memcmp(back, again, sizeof(*back)) == 0);
	}
	text_free(&t);
	text_free(&t2);
	free(back);
	free(again);
}

static void check_report(struct text *t, const struct view_report *r)
{
	CHECK(r->n <= VIEW_CHECKS);
	for (unsigned i = 0; i < r->n; i++) {
		CHECK(r->verdict != VIEW_OK || r->checks[i].verdict == VIEW_OK ||
		      !r->checks[i].seen);
		CHECK(r->checks[i].seen || r->checks[i].verdict == VIEW_UNSEEN);
	}
	view_report_print(t, r);
	view_report_line(t, r);
	check_text(t, 80);
}

static void compare(struct text *t, const struct cpl_info *x, const struct cpl_info *y)
{
	struct view_ends ends = { "x", "y", x, y, VIEW_LOOKED };
	struct cpl_info both[2] = { *x, *y };
	struct view_report report;
	enum view_verdict verdict;
	struct view_pair *pairs = NULL;

	view_compare(&ends, &report);
	check_report(t, &report);
	view_compare_passes(&ends, y, x, &report);
	check_report(t, &report);
	verdict = report.verdict;
	view_compare_quick(&ends, y, x, &report);
	CHECK(report.verdict == verdict);
	view_compare_apart(&ends, &report);
	check_report(t, &report);
	ends.x = NULL;
	view_compare(&ends, &report);
	check_report(t, &report);
	CHECK(view_pairs(both, 2, &pairs) <= 2);
	free(pairs);
}

/* Two passes of two hosts, matched, paired and printed in both ways. */
static void pairs(struct text *t, const struct cpl_info *x, const struct cpl_info *y)
{
	struct cpl_info both[2] = { *x, *y }, again[2] = { *y, *x };
	struct view_look look[2] = { { .pass = { { both, 2 }, { again, 2 } }, .passes = 2 },
				     { .pass = { { again, 1 } }, .passes = 1 } };
	struct view_ends ends = { "x", "y", NULL, NULL, VIEW_LOOKED };
	struct view_pair_row row;
	struct view_report report;
	struct view_match m;

	CHECK(view_match(&m, look, 2) == 0);
	for (size_t i = 0; i < m.pairs; i++) {
		const struct view_pair *p = &m.pair[i];

		view_match_compare(&m, p, &ends, true, false, &report);
		check_report(t, &report);
		memset(&row, 0, sizeof(row));
		row.x = view_match_last(&m, p->x);
		row.y = p->y == VIEW_ALONE ? NULL : view_match_last(&m, p->y);
		row.x_name = "x";
		row.y_name = "y";
		row.by = p->by;
		view_pair_judge(&row, &report, true);
		view_pair_print(t, &row, 0);
		check_text(t, 0);
		view_pair_table(t, &row, 1, 0);
		check_text(t, 0);
		if (view_pair_json(t, &row, 1, NULL, 0) == 0)
			check_text(t, 0);
	}
	view_match_free(&m);
}

static void draw(struct text *t, const struct cpl_info *x, const struct cpl_info *y)
{
	struct view_scene scene = { .x_host = "x", .y_host = "y", .x = x, .y = y };

	view_drawing(t, &scene);
	check_text(t, 80);
	view_svg_drawing(t, &scene);
	check_text(t, 0);
	scene.y = NULL;
	view_drawing(t, &scene);
	check_text(t, 80);
}

static void list(struct text *t, const struct cpl_info *x, const struct cpl_info *y)
{
	struct view_row rows[2] = { { .info = x }, { .info = y } };
	struct view_descriptor d = { .inode = x->inode, .pid = 7, .fd = 3, .program = "x" };

	view_netstat(t, rows, 2, VIEW_NETSTAT_NUMBER | VIEW_NETSTAT_PROGRAM | VIEW_NETSTAT_SOURCE);
	check_text(t, 0);
	view_netstat(t, rows, 2, ~0u & ~VIEW_NETSTAT_BSD);
	check_text(t, 0);
	view_netstat(t, rows, 2, VIEW_NETSTAT_BSD | VIEW_NETSTAT_TIMER);
	check_text(t, 0);
	rows[0].peer = y;
	view_netstat_unix(t, rows, 2, VIEW_NETSTAT_PROGRAM | VIEW_NETSTAT_EXPLAIN);
	check_text(t, 0);
	view_line(t, &(struct view_line){ .info = x, .listener = y, .peer = y }, 6);
	view_line_why(t, &(struct view_line){ .info = x, .peer = y });
	check_text(t, 80);
	view_sockets(t, &(struct view_sockets){
				.info = x, .n = 1, .descriptor = &d, .descriptors = 1 });
	check_text(t, 0);
	view_diff_print(t, x, y, 2, VIEW_VERBOSE);
	check_text(t, 0);
}

/* One of the views for each input: all for each take too long. */
static void two_ends(struct text *t, unsigned pick, const struct cpl_info *x,
		     const struct cpl_info *y)
{
	switch (pick % 16) {
	case 0:
		view_tcbs(t, "x", x, "y", y, VIEW_VERBOSE);
		check_text(t, 80);
		break;
	case 1:
		view_tcb(t, x, VIEW_VERBOSE);
		check_text(t, 80);
		break;
	case 2:
		check_json(x);
		break;
	case 3:
	case 4:
		draw(t, x, y);
		break;
	case 5:
		list(t, x, y);
		break;
	case 8:
		pairs(t, x, y);
		break;
	case 6:
	case 7:
		view_tcbs(t, "x", x, "y", y, 0);
		check_text(t, 80);
		break;
	default:
		compare(t, x, y);
		break;
	}
}

/* The records split between two sides, each in order of time. */
static void a_ladder(struct text *t, const uint8_t *data, size_t size)
{
	static struct cpl_trace records[2][64];
	struct view_side side[2] = { { .name = "x", .records = records[0] },
				     { .name = "y", .records = records[1] } };
	struct view_ladder ladder;
	uint64_t now = 0;

	for (; size >= 16 && side[0].n < 64 && side[1].n < 64; data += 16, size -= 16) {
		unsigned which = data[0] & 1;
		struct cpl_trace *r = &records[which][side[which].n++];

		memset(r, 0, sizeof(*r));
		now += data[1];
		r->time = now;
		r->type = data[2] % 16;
		/* Few values, so that segments meet. */
		for (unsigned a = 0; a < 10; a++)
			r->arg[a] = data[3 + a] & 0x80 ? data[3 + a] * 0x1010101u : data[3 + a] % 8;
	}
	for (size_t most = 0; most < 40; most += 20) {
		CHECK(view_ladder_make(&ladder, &side[0], &side[1], now, most) == 0);
		view_ladder_print(t, &ladder);
		check_text(t, 80);
		view_svg_ladder(t, &ladder);
		check_text(t, 0);
		view_ladder_free(&ladder);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cpl_info x, y;
	struct text t;

	if (!size)
		return 0;
	text_init(&t);
	if (size & 1) {
		a_ladder(&t, data, size);
	} else {
		memset(&x, 0, sizeof(x));
		memcpy(&x, data, size < sizeof(x) ? size : sizeof(x));
		y = x;
		if (size > sizeof(x))
			memcpy(&y, data + sizeof(x),
			       size - sizeof(x) < sizeof(y) ? size - sizeof(x) : sizeof(y));
		tame(&x);
		tame(&y);
		two_ends(&t, data[0], &x, &y);
	}
	text_free(&t);
	return 0;
}

/* Mostly snapshots in which much is known, and numbers that lie near each other. */
static size_t fresh(uint8_t *data, size_t max, uint64_t *seed)
{
	size_t n = 2 * sizeof(struct cpl_info);

	if (max < n || !rnd(seed, 4)) { /* records */
		n = 16 * (1 + rnd(seed, 60)) + 1;
		n = n < max ? n : max;
		for (size_t i = 0; i < n; i++)
			data[i] = (uint8_t)rnd(seed, 256);
		return n;
	}
	for (size_t i = 0; i < n; i++)
		data[i] = (uint8_t)(rnd(seed, 3) ? rnd(seed, 4) : rnd(seed, 256));
	data[0] = (uint8_t)rnd(seed, 256);
	return n;
}

/* Noise finds nothing here: mostly a sound input, now and then with some bytes changed. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint64_t state = seed;

	if (!size || rnd(&state, 4))
		size = fresh(data, max, &state);
	return rnd(&state, 2) ? size : LLVMFuzzerMutate(data, size, max);
}
