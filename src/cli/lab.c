/* SPDX-License-Identifier: MIT */
/*
 * `couplet lab`: two hosts in one process, and one connection between them, with both of its
 * control blocks on the screen.
 */
#include "cli/lab.h"

#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "view/json.h"
#include "view/pair.h"

#define LADDER_ROWS 16

static void begin(struct text *t)
{
	text_init(t);
	t->colour = cli_colour(stdout);
	t->ascii = !cli_utf8();
	t->width = 80;
}

static int end(struct text *t)
{
	int r = text_flush(t, stdout);

	text_free(t);
	/* What could not be written main() tells. */
	return r == -ENOMEM ? cli_fail(CLI_CANNOT, "no memory for the output") : CLI_OK;
}

static void heading(struct text *t, const char *title)
{
	text_styled(t, TEXT_BOLD, title);
	text_puts(t, "\n");
}

static int print_json(const struct lab_moment *m)
{
	struct cpl_info infos[2];
	struct text t;
	size_t n = 0;
	int r;

	for (unsigned side = 0; side < 2; side++)
		if (m->has[side])
			infos[n++] = m->end[side];
	text_init(&t);
	r = view_json_write(&t, infos, n);
	if (r == 0)
		r = text_flush(&t, stdout);
	text_free(&t);
	if (r)
		return cli_fail(CLI_CANNOT, "cannot write JSON: %s", strerror(-r));
	return CLI_OK;
}

/* ---- A plain transfer ----------------------------------------------------------------------- */

static int show_transfer(struct lab *lab, const struct lab_options *o)
{
	const struct lab_moment *m = &lab->middle;
	struct text t;

	begin(&t);
	if (lab->has_middle) {
		heading(&t, "In mid-transfer");
		lab_show_drawing(&t, lab, m);
		heading(&t, "\nBoth control blocks at that instant");
		lab_show_blocks(&t, m, o->verbose);
		lab_show_agreement(&t, lab, m, o->verbose);
		heading(&t, "\nWhat netstat says there, on each host");
		lab_show_netstat(&t, m, o->verbose);
		text_puts(&t, "\n");
	}
	heading(&t, "The segments");
	lab_show_ladder(&t, lab, o->verbose ? 0 : LADDER_ROWS);
	heading(&t, "\nThe file");
	lab_show_result(&t, lab);
	return end(&t);
}

static int transfer(struct lab *lab, const struct lab_options *o)
{
	struct lab_step *step = NULL;
	struct text t;
	int r = CLI_OK;

	begin(&t);
	if (o->step)
		step = lab_step_start(lab, &t, o->verbose);
	lab_connect(lab, false);
	lab_run(lab, lab_is_over, LAB_LIMIT);
	lab_run(lab, NULL, lab->net->now + CPL_SECOND); /* the last ACK arrives */
	if (step) {
		lab_show_result(&t, lab);
		r = end(&t);
		lab_step_end(step);
	} else {
		text_free(&t);
		r = o->json ? print_json(&lab->middle) : show_transfer(lab, o);
	}
	if (r == CLI_OK && o->svg)
		r = lab_write_svg(lab, &lab->middle, o->svg);
	if (r == CLI_OK && !lab_is_right(lab))
		r = CLI_TROUBLE;
	return r;
}

/* ---- A story -------------------------------------------------------------------------------- */

static int show_story(struct lab *lab, const struct lab_options *o, const struct lab_moment *m)
{
	const struct lab_story *story = o->story;
	struct view_report report;
	struct text t;

	begin(&t);
	heading(&t, story->title);
	text_wrap(&t, story->text, 0, 80);
	text_puts(&t, "\n\n");
	if (o->verbose) {
		lab_show_ladder(&t, lab, 0);
		text_puts(&t, "\n");
	}
	lab_show_blocks(&t, m, o->verbose);
	lab_verdict(m, story->looker, &report);
	if (o->verbose) {
		view_report_print(&t, &report);
		story->after(lab);
		text_puts(&t, "What followed: ");
		text_wrap(&t, lab->story_note, 2, 80);
		text_puts(&t, "\n");
	}
	text_puts(&t, "\n");
	view_report_line(&t, &report);
	return end(&t);
}

static int tell(struct lab *lab, const struct lab_options *o)
{
	struct lab_step *step = NULL;
	struct lab_moment m;
	struct text t;
	int r;

	begin(&t);
	if (o->step)
		step = lab_step_start(lab, &t, o->verbose);
	if (!o->story->play(lab)) {
		text_free(&t);
		return cli_fail(CLI_TROUBLE, "the story did not come to its point: %s",
				lab->net->failed ? lab->net->failure
						 : "try it with less loss or another --seed");
	}
	lab_look(lab, &m);
	end(&t);
	if (step)
		lab_step_end(step);
	lab->net->observers_n -= step != NULL;
	r = o->json ? print_json(&m) : show_story(lab, o, &m);
	if (r == CLI_OK && o->svg)
		r = lab_write_svg(lab, &m, o->svg);
	return r;
}

static int play(struct lab *lab, const struct lab_options *o)
{
	struct pcapng *capture = NULL;
	int r = o->pcapng ? lab_capture_start(lab, o->pcapng, &capture) : CLI_OK, written;

	if (r)
		return r;
	r = o->story ? tell(lab, o) : transfer(lab, o);
	written = capture ? lab_capture_end(capture, o->pcapng) : CLI_OK;
	return r ? r : written;
}

int cmd_lab(int argc, char **argv)
{
	char error[LAB_ERROR] = "";
	struct lab_options o;
	static struct lab lab;
	int r = lab_options_read(&o, argc, argv);

	if (r)
		return r;
	if (o.help)
		return cli_help("lab", lab_options_help);
	r = lab_init(&lab, &o.config, error);
	r = r ? cli_fail(CLI_CANNOT, "%s", error) : play(&lab, &o);
	lab_free(&lab);
	return r;
}
