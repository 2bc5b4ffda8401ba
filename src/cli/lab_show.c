/* SPDX-License-Identifier: MIT */
/* What `couplet lab` shows of a run: put together from src/view, one function a section. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/lab.h"
#include "view/drawing.h"
#include "view/ladder.h"
#include "view/netstat.h"
#include "view/pair.h"
#include "view/svg.h"
#include "view/tcb.h"

static const char *const names[2] = { "client", "server" };

static void add_share(char *text, size_t size, double share, const char *what)
{
	size_t n = strlen(text);

	if (share > 0)
		snprintf(text + n, size - n, ", %.3g%% %s", share * 100, what);
}

void lab_wire_text(const struct wire_params *p, char *text, size_t size)
{
	size_t n;

	snprintf(text, size, "%s", p->delay_ns ? word_ns(p->delay_ns).s : "no delay");
	if (p->jitter_ns) {
		n = strlen(text);
		snprintf(text + n, size - n, " + 0 to %s", word_ns(p->jitter_ns).s);
	}
	if (p->rate_bps) {
		n = strlen(text);
		snprintf(text + n, size - n, ", %s", word_rate(p->rate_bps / 8).s);
	}
	add_share(text, size, p->loss, "loss");
	add_share(text, size, p->reorder, "reordered");
	add_share(text, size, p->duplicate, "duplicated");
	add_share(text, size, p->corrupt, "corrupted");
	if (p->drop_data_n) {
		n = strlen(text);
		snprintf(text + n, size - n, ", %u dropped", p->drop_data_n);
	}
}

static void make_scene(struct view_scene *scene, struct lab *lab, const struct lab_moment *m,
		       char *wire, size_t size)
{
	lab_wire_text(&lab->config.wire, wire, size);
	*scene = (struct view_scene){
		.x_host = names[0],
		.y_host = names[1],
		.x = m->has[0] ? &m->end[0] : NULL,
		.y = m->has[1] ? &m->end[1] : NULL,
		.wire = wire,
		.wire_segments = { m->wire_segments[0], m->wire_segments[1] },
		.wire_bytes = { m->wire_bytes[0], m->wire_bytes[1] },
		.wire_known = true,
	};
}

void lab_show_drawing(struct text *t, struct lab *lab, const struct lab_moment *m)
{
	struct view_scene scene;
	char wire[160];

	make_scene(&scene, lab, m, wire, sizeof(wire));
	view_drawing(t, &scene);
}

void lab_show_blocks(struct text *t, const struct lab_moment *m, bool verbose)
{
	unsigned x = m->has[0] ? 0 : 1;

	if (!m->has[x]) {
		text_puts(t, "Neither host has a block of this connection.\n");
		return;
	}
	view_tcbs(t, names[x], &m->end[x], names[!x], m->has[!x] ? &m->end[!x] : NULL,
		  VIEW_RELATIVE | (verbose ? VIEW_VERBOSE : 0));
}

void lab_verdict(const struct lab_moment *m, unsigned side, struct view_report *report)
{
	struct view_ends ends = {
		.x_name = names[side],
		.y_name = names[!side],
		.x = m->has[side] ? &m->end[side] : NULL,
		.y = m->has[!side] ? &m->end[!side] : NULL,
		.absent = VIEW_LOOKED,
	};

	view_compare(&ends, report);
}

void lab_show_agreement(struct text *t, struct lab *lab, const struct lab_moment *m, bool verbose)
{
	struct view_report report;

	lab_verdict(m, LAB_CLIENT, &report);
	if (verbose)
		view_report_print(t, &report);
	view_report_line(t, &report);
	text_printf(t, "Both ends were compared at %s instants of the run: ",
		    word_count(lab->compared).s);
	if (lab->broken)
		text_printf(t, "broken at %s, first: %s\n", word_count(lab->broken).s,
			    lab->broken_what);
	else
		text_puts(t, "the rules held at each.\n");
}

void lab_show_netstat(struct text *t, const struct lab_moment *m, bool verbose)
{
	struct view_row rows[LAB_LISTED];

	for (unsigned side = 0; side < 2; side++) {
		text_printf(t, "%s$ netstat -an\n", names[side]);
		memset(rows, 0, sizeof(rows));
		for (unsigned i = 0; i < m->listed_n[side]; i++)
			rows[i].info = &m->listed[side][i];
		view_netstat(t, rows, m->listed_n[side], verbose ? VIEW_NETSTAT_PROGRAM : 0);
	}
}

static int make_ladder(struct view_ladder *ladder, struct lab *lab, size_t most)
{
	struct view_side side[2];

	for (unsigned i = 0; i < 2; i++)
		side[i] = (struct view_side){ .name = names[i],
					      .records = lab->end[i].records.records,
					      .n = lab->end[i].records.n };
	return view_ladder_make(ladder, &side[0], &side[1], lab->net->now, most);
}

void lab_show_ladder(struct text *t, struct lab *lab, size_t most)
{
	struct view_ladder ladder;

	if (make_ladder(&ladder, lab, most) != 0) {
		t->failed = true;
		return;
	}
	view_ladder_print(t, &ladder);
	view_ladder_free(&ladder);
}

void lab_show_result(struct text *t, struct lab *lab)
{
	const struct lab_end *client = &lab->end[0], *server = &lab->end[1];
	char sent[SHA256_TEXT], got[SHA256_TEXT];
	double s = (double)lab->finished_at / 1e9;

	sha256_text(&client->sha, sent);
	sha256_text(&server->sha, got);
	text_printf(t, "SHA-256 sent    %s\nSHA-256 arrived %s\n", sent, got);
	text_printf(t, "%s of %s arrived, %s: ", word_count(server->done).s,
		    word_bytes(lab->size).s, strcmp(sent, got) == 0 ? "equal" : "NOT equal");
	text_printf(t, "%s, %s\n", word_ns(lab->finished_at).s,
		    s > 0 ? word_rate((uint64_t)((double)server->done / s)).s : "-");
	if (lab->net->failed)
		text_printf(t, "The run failed: %s\n", lab->net->failure);
}

/* ---- SVG ------------------------------------------------------------------------------------ */

static int write_picture(struct text *t, const char *stem, int stem_len, const char *what)
{
	char name[1024];
	FILE *file;
	bool right;

	snprintf(name, sizeof(name), "%.*s-%s.svg", stem_len, stem, what);
	file = fopen(name, "w");
	if (!file)
		return cli_fail(CLI_CANNOT, "cannot write \"%s\": %m", name);
	right = text_flush(t, file) == 0;
	if (fclose(file) != 0 || !right)
		return cli_fail(CLI_CANNOT, "cannot write \"%s\": %m", name);
	return CLI_OK;
}

int lab_write_svg(struct lab *lab, const struct lab_moment *m, const char *name)
{
	int len = (int)strlen(name), r;
	struct view_walk walk = { 0 };
	struct view_ladder ladder;
	struct view_scene scene;
	char wire[160];
	struct text t;

	if (len > 4 && strcmp(name + len - 4, ".svg") == 0)
		len -= 4;
	text_init(&t);
	make_scene(&scene, lab, m, wire, sizeof(wire));
	view_svg_drawing(&t, &scene);
	r = write_picture(&t, name, len, "drawing");
	if (r == CLI_OK && make_ladder(&ladder, lab, 30) == 0) {
		view_svg_ladder(&t, &ladder);
		view_ladder_free(&ladder);
		r = write_picture(&t, name, len, "ladder");
	}
	if (r == CLI_OK) {
		for (unsigned side = 0; side < 2; side++)
			view_walk_add(&walk, side, lab->end[side].records.records,
				      lab->end[side].records.n);
		view_svg_states(&t, &walk, names[0], names[1]);
		r = write_picture(&t, name, len, "states");
	}
	text_free(&t);
	return r;
}
