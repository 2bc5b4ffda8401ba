/* SPDX-License-Identifier: MIT */
/* From checks to one verdict with its reason in plain words: see pair.h. */
#include <ctype.h>
#include <string.h>

#include "view/compare.h"

const char *view_verdict_text(enum view_verdict verdict)
{
	switch (verdict) {
	case VIEW_OK:
		return "OK";
	case VIEW_BEHIND:
		return "behind, will heal";
	case VIEW_STUCK:
		return "stuck";
	case VIEW_DISAGREE:
		return "disagree for good";
	case VIEW_UNSEEN:
		break;
	}
	return "not seen";
}

const char *view_verdict_name(enum view_verdict verdict)
{
	static const char *const names[] = {
		[VIEW_OK] = "ok",	  [VIEW_BEHIND] = "behind",
		[VIEW_STUCK] = "stuck",	  [VIEW_DISAGREE] = "disagree",
		[VIEW_UNSEEN] = "unseen",
	};

	return names[verdict];
}

const char *view_rule_name(enum view_rule rule)
{
	static const char *const names[VIEW_RULES] = {
		[VIEW_RULE_PEER] = "other_end",
		[VIEW_RULE_STATE] = "states",
		[VIEW_RULE_ISS] = "iss",
		[VIEW_RULE_ACKED] = "acked",
		[VIEW_RULE_RECEIVED] = "received",
		[VIEW_RULE_WINDOW] = "window",
		[VIEW_RULE_BYTES_ACKED] = "bytes_acked",
		[VIEW_RULE_BYTES_RECEIVED] = "bytes_received",
	};

	return names[rule];
}

/* The first check of this verdict; certain ones before guesses. */
static const struct view_check *find(const struct view_report *r, enum view_verdict verdict)
{
	const struct view_check *best = NULL;

	for (unsigned i = 0; i < r->n; i++) {
		const struct view_check *k = &r->checks[i];

		if (k->seen && k->verdict == verdict && (!best || k->certainty < best->certainty))
			best = k;
	}
	return best;
}

/*
 * Health needs to have been seen: the states, and for two ends that hold numbers what each has
 * of the other's. The rest (ISS, windows) may be missing; what is missing is told.
 */
static const struct view_check *missing_for_health(const struct view_report *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		const struct view_check *k = &r->checks[i];

		if (!k->seen && k->rule != VIEW_RULE_ISS && k->rule != VIEW_RULE_WINDOW)
			return k;
	}
	return NULL;
}

static void say_why(struct compare *c, const char *text)
{
	if (!c->wordless)
		snprintf(c->report->why, sizeof(c->report->why), "%s", text);
}

static void decide(struct compare *c)
{
	struct view_report *r = c->report;
	const struct view_check *k;

	for (unsigned i = 0; i < r->n; i++)
		r->unseen += !r->checks[i].seen;
	k = find(r, VIEW_DISAGREE);
	if (!k && c->doubt) {
		r->verdict = VIEW_UNSEEN;
		say_why(c, c->doubt->text);
		return;
	}
	if (!k)
		k = find(r, VIEW_STUCK);
	if (!k)
		k = find(r, VIEW_BEHIND);
	if (k) {
		r->verdict = k->verdict;
		r->certainty = k->certainty;
		say_why(c, k->text);
		return;
	}
	k = missing_for_health(r);
	if (k || !find(r, VIEW_OK)) {
		r->verdict = VIEW_UNSEEN;
		say_why(c, k ? k->text : "nothing could be compared");
		return;
	}
	r->verdict = VIEW_OK;
	for (unsigned i = 0; i < r->n; i++)
		if (r->checks[i].seen && r->checks[i].certainty > r->certainty)
			r->certainty = r->checks[i].certainty;
	if (r->n <= 2)
		say_why(c, find(r, VIEW_OK)->text);
	else if (!c->wordless)
		snprintf(r->why, sizeof(r->why),
			 "%s and %s each have all that the other sent, and know it", c->name[0],
			 c->name[1]);
}

static void start(struct compare *c, const struct view_ends *ends)
{
	c->name[0] = ends->x_name ? ends->x_name : "X";
	c->name[1] = ends->y_name ? ends->y_name : "Y";
	c->absent = ends->absent;
	c->info[0][0] = c->info[1][0] = ends->x;
	c->info[0][1] = c->info[1][1] = ends->y;
}

void view_compare(const struct view_ends *ends, struct view_report *report)
{
	struct compare c = { .report = report };

	start(&c, ends);
	compare_run(&c);
	decide(&c);
}

static void passes(struct compare *c, const struct view_ends *ends, const struct cpl_info *x2,
		   const struct cpl_info *y2)
{
	start(c, ends);
	c->info[1][0] = x2;
	c->info[1][1] = y2;
	compare_run(c);
	decide(c);
}

void view_compare_passes(const struct view_ends *ends, const struct cpl_info *x2,
			 const struct cpl_info *y2, struct view_report *report)
{
	struct compare c = { .report = report, .passes = true };

	passes(&c, ends, x2, y2);
}

void view_compare_quick(const struct view_ends *ends, const struct cpl_info *x2,
			const struct cpl_info *y2, struct view_report *report)
{
	struct compare c = { .report = report, .passes = true, .wordless = true };

	passes(&c, ends, x2, y2);
}

void view_compare_apart(const struct view_ends *ends, struct view_report *report)
{
	struct compare c = { .report = report, .apart = true };

	start(&c, ends);
	compare_run(&c);
	decide(&c);
	if (report->certainty < VIEW_GUESS && report->verdict <= VIEW_STUCK)
		report->certainty = VIEW_GUESS;
}

static enum text_style verdict_style(enum view_verdict verdict)
{
	return verdict == VIEW_OK ? TEXT_GREEN : view_is_trouble(verdict) ? TEXT_RED : TEXT_YELLOW;
}

static const char *certainty_text(enum view_certainty certainty)
{
	switch (certainty) {
	case VIEW_CERTAIN:
		break;
	case VIEW_DERIVED:
		return " (derived)";
	case VIEW_GUESS:
		return " (likely)";
	}
	return "";
}

void view_report_line(struct text *t, const struct view_report *report)
{
	char line[sizeof(report->why) + 128];
	const char *verdict = view_verdict_text(report->verdict);
	int n = snprintf(line, sizeof(line), ": %s%s.", report->why,
			 certainty_text(report->certainty));

	if (report->verdict == VIEW_OK && report->unseen)
		snprintf(line + n, sizeof(line) - (size_t)n, " %u of %u checks could not be made.",
			 report->unseen, report->n);
	text_styled(t, verdict_style(report->verdict), verdict);
	text_wrap(t, line, 0, t->width);
	text_puts(t, "\n");
}

void view_report_print(struct text *t, const struct view_report *report)
{
	static const char *const rules[VIEW_RULES] = {
		[VIEW_RULE_PEER] = "other end",
		[VIEW_RULE_STATE] = "states",
		[VIEW_RULE_ISS] = "iss = irs",
		[VIEW_RULE_ACKED] = "snd_una <= rcv_nxt",
		[VIEW_RULE_RECEIVED] = "rcv_nxt <= snd_nxt",
		[VIEW_RULE_WINDOW] = "window <= offer",
		[VIEW_RULE_BYTES_ACKED] = "acked <= received",
		[VIEW_RULE_BYTES_RECEIVED] = "received <= sent",
	};
	static const char *const marks[] = {
		[VIEW_OK] = "ok",	    [VIEW_BEHIND] = "behind", [VIEW_STUCK] = "STUCK",
		[VIEW_DISAGREE] = "BROKEN", [VIEW_UNSEEN] = "-",
	};

	for (unsigned i = 0; i < report->n; i++) {
		const struct view_check *k = &report->checks[i];

		text_styled(t, verdict_style(k->verdict), marks[k->verdict]);
		text_column(t, 8, 1);
		text_puts(t, rules[k->rule]);
		text_column(t, 28, 1);
		text_wrap(t, k->text, 28, t->width);
		text_puts(t, "\n");
	}
}
