/* SPDX-License-Identifier: MIT */
/*
 * What doctor found, for people (80 columns, or as wide as the reader has it) and as JSON: see
 * finding.h.
 */
#include "view/finding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

#define LABEL_WIDTH 8  /* of "Seen", "Next" and so on, behind an indent of two */
#define STEP_WIDTH  15 /* of the steps' names, behind the mark */
#define WIDEST	    100

const char *view_step_name(enum view_step_id step)
{
	static const char *const names[VIEW_STEPS] = {
		[VIEW_STEP_NAME] = "name",   [VIEW_STEP_ADDRESS] = "address",
		[VIEW_STEP_ROUTE] = "route", [VIEW_STEP_NEIGHBOUR] = "neighbour",
		[VIEW_STEP_SYN] = "SYN",     [VIEW_STEP_HANDSHAKE] = "handshake",
		[VIEW_STEP_DATA] = "data",   [VIEW_STEP_READS] = "program reads",
	};

	return names[step];
}

/* ---- Words of a finding ---------------------------------------------------------------------- */

/* "curl (pid 812)" the first time, then "curl". */
static struct view_word program_word(const struct view_finding *f, bool first)
{
	if (!*f->program)
		return f->pid ? word_format("process %u", f->pid) : word_format("the program");
	if (!first || !f->pid)
		return word_format("%s", f->program);
	return word_format("%s (pid %u)", f->program, f->pid);
}

static struct view_word connection_word(const struct cpl_info *i)
{
	struct view_word a = word_endpoint(&i->local_addr, i->local_port);
	struct view_word b = word_endpoint(&i->remote_addr, i->remote_port);

	return i->remote_port ? word_format("%.60s-%.60s", a.s, b.s) : a;
}

void view_finding_fill(char *out, size_t size, const char *text, const struct view_finding *f)
{
	size_t n = 0;
	bool first = true;

	for (; *text && n + 1 < size; text++) {
		struct view_word w;

		if (text[0] == '%' && text[1] == 'p') {
			w = program_word(f, first);
			if (n == 0 && !*f->program) /* a sentence begins with it */
				w.s[0] = f->pid ? 'P' : 'T';
			first = false;
		} else if (text[0] == '%' && text[1] == 'c') {
			w = f->known_x ? connection_word(&f->x) : word_format("CONN");
		} else {
			out[n++] = *text;
			continue;
		}
		text++;
		for (const char *s = w.s; *s && n + 1 < size; s++)
			out[n++] = *s;
	}
	out[n] = 0;
}

/* ", curl (pid 812, descriptor 3)" */
static struct view_word owner_word(const struct cpl_info *i)
{
	if (!cpl_info_known(i, CPL_F_pid))
		return word_format("%s", "");
	if (!cpl_info_known(i, CPL_F_fd))
		return word_format(", %.40s (pid %u)", word_foreign(i->program).s, i->pid);
	return word_format(", %.40s (pid %u, descriptor %u)", word_foreign(i->program).s, i->pid,
			   i->fd);
}

static void put_end(struct text *t, const struct cpl_info *i)
{
	text_puts(t, word_endpoint(&i->local_addr, i->local_port).s);
	if (i->remote_port)
		text_printf(t, " - %s", word_endpoint(&i->remote_addr, i->remote_port).s);
	if (cpl_info_known(i, CPL_F_state))
		text_printf(t, ", %s", view_state_rfc(i->state));
	text_puts(t, owner_word(i).s);
}

void view_finding_about(struct text *t, const struct view_finding *f)
{
	enum view_subject subject = view_finding_kinds[f->id].subject;

	if (*f->about)
		text_puts(t, f->about);
	else if (f->known_x && subject != VIEW_OF_PROCESS)
		put_end(t, &f->x);
	else if (f->pid || *f->program)
		text_puts(t, program_word(f, true).s);
}

/* ---- For people ------------------------------------------------------------------------------ */

static unsigned columns(const struct text *t)
{
	return t->width < 40 ? 40 : t->width > WIDEST ? WIDEST : t->width;
}

static void put_line(struct text *t, const char *label, const char *s)
{
	if (!*s)
		return;
	text_puts(t, "  ");
	text_styled(t, TEXT_CYAN, label);
	text_column(t, LABEL_WIDTH + 2, 1);
	text_wrap(t, s, LABEL_WIDTH + 2, columns(t));
	text_puts(t, "\n");
}

static enum text_style weight_style(enum view_weight weight)
{
	return weight == VIEW_TROUBLE ? TEXT_RED : weight == VIEW_WARNING ? TEXT_YELLOW : TEXT_CYAN;
}

static const char *weight_mark(const struct text *t, enum view_weight weight)
{
	if (weight == VIEW_REMARK)
		return t->ascii ? "-" : "·";
	if (weight == VIEW_WARNING)
		return "!";
	return t->ascii ? "X" : "✗";
}

static void put_heading(struct text *t, const struct view_finding *f)
{
	const struct view_finding_kind *kind = &view_finding_kinds[f->id];
	struct text plain;
	char title[400];
	int n;

	text_init(&plain);
	view_finding_fill(title, sizeof(title), kind->title, f);
	n = (int)strlen(title);
	n += snprintf(title + n, sizeof(title) - (size_t)n, " (%s)", view_finding_name(f->id).s);
	if (f->times > 1)
		snprintf(title + n, sizeof(title) - (size_t)n, " x%s", word_count(f->times).s);
	text_wrap(&plain, title, 2, columns(t) - 2);
	text_styled(t, weight_style(kind->weight), weight_mark(t, kind->weight));
	text_puts(t, " ");
	text_styled(t, TEXT_BOLD, plain.data ? plain.data : title);
	text_puts(t, "\n");
	text_free(&plain);
}

static void put_about(struct text *t, const struct view_finding *f)
{
	struct text about;

	text_init(&about);
	view_finding_about(&about, f);
	if (*f->space && about.len)
		text_printf(&about, ", in namespace %s", word_foreign(f->space).s);
	if (f->times > 1 && about.len && !*f->about && f->known_x)
		text_printf(&about, ", and %s more like it", word_count(f->times - 1).s);
	if (about.data && about.len)
		put_line(t, "Where", about.data);
	if (f->known_y) {
		about.len = 0;
		put_end(&about, &f->y);
		put_line(t, "Peer", about.data ? about.data : "");
	}
	t->failed |= about.failed;
	text_free(&about);
}

static const char *certainty_line(enum view_certainty certainty)
{
	switch (certainty) {
	case VIEW_CERTAIN:
		break;
	case VIEW_DERIVED:
		return "derived: it follows from what was read, but was not itself read";
	case VIEW_GUESS:
		return "likely: other explanations are rarer";
	}
	return "certain: the values that show it were read";
}

static void put_finding(struct text *t, const struct view_finding *f)
{
	const struct view_finding_kind *kind = &view_finding_kinds[f->id];
	char line[600];

	put_heading(t, f);
	put_about(t, f);
	view_finding_fill(line, sizeof(line), kind->meaning, f);
	put_line(t, "Why", line);
	for (unsigned i = 0; i < f->evidences; i++)
		put_line(t, i ? "" : "Seen", f->evidence[i]);
	put_line(t, "Sure", certainty_line(f->certainty));
	view_finding_fill(line, sizeof(line), *f->next ? f->next : kind->next, f);
	put_line(t, "Next", line);
	text_puts(t, "\n");
}

static void put_step(struct text *t, enum view_step_id id, const struct view_step *s)
{
	static const struct {
		const char *mark, *ascii, *text;
		enum text_style style;
	} results[] = {
		[VIEW_STEP_NOT_REACHED] = { "·", ".", "not reached", TEXT_DIM },
		[VIEW_STEP_HOLDS] = { "✓", "+", "", TEXT_GREEN },
		[VIEW_STEP_FAILS] = { "✗", "X", "", TEXT_RED },
		[VIEW_STEP_NOT_SEEN] = { "?", "?", "not looked at", TEXT_YELLOW },
		[VIEW_STEP_NEEDLESS] = { "·", ".", "not needed", TEXT_DIM },
	};

	text_puts(t, "  ");
	text_styled(t, results[s->result].style,
		    t->ascii ? results[s->result].ascii : results[s->result].mark);
	text_printf(t, " %s", view_step_name(id));
	text_column(t, STEP_WIDTH + 4, 1);
	text_wrap(t, *s->text ? s->text : results[s->result].text, STEP_WIDTH + 4, columns(t));
	text_puts(t, "\n");
}

/* Whether every step that was needed holds. */
static bool all_hold(const struct view_diagnosis *d)
{
	for (int i = 0; i < VIEW_STEPS; i++)
		if (d->step[i].result != VIEW_STEP_HOLDS && d->step[i].result != VIEW_STEP_NEEDLESS)
			return false;
	return true;
}

static void put_stairs(struct text *t, const struct view_diagnosis *d)
{
	for (int i = 0; i < VIEW_STEPS; i++)
		put_step(t, (enum view_step_id)i, &d->step[i]);
	text_puts(t, "\n");
	if (!all_hold(d) || d->n)
		return;
	text_wrap(t,
		  "Every step holds: the network is fine; if it still does not work, look at the "
		  "program.",
		  0, columns(t));
	text_puts(t, "\n");
}

static void put_count(struct text *t, size_t n, const char *one, bool *first)
{
	if (!n)
		return;
	text_printf(t, "%s%s %s%s", *first ? "" : ", ", word_count(n).s, one, n == 1 ? "" : "s");
	*first = false;
}

/* "2 troubles, 1 warning: " or "No trouble found: " */
static void put_sum(struct text *t, const struct view_diagnosis *d)
{
	size_t n[3] = { 0 };
	bool first = true;

	for (size_t i = 0; i < d->n; i++)
		n[view_finding_kinds[d->finding[i].id].weight]++;
	if (!n[VIEW_TROUBLE])
		text_puts(t, d->unseen ? "no trouble found in what was looked at"
				       : "no trouble found");
	first = n[VIEW_TROUBLE];
	put_count(t, n[VIEW_TROUBLE], "trouble", &first);
	put_count(t, n[VIEW_WARNING], "warning", &first);
	put_count(t, n[VIEW_REMARK], "remark", &first);
}

static void put_looked_at(struct text *t, const struct view_diagnosis *d)
{
	struct text line;
	bool nothing = !d->connections && !d->pairs && !d->checks;

	if (d->stairs && nothing)
		return;
	text_init(&line);
	text_puts(&line, "Looked at ");
	text_printf(&line, "%s connection%s", word_count(d->connections).s,
		    d->connections == 1 ? "" : "s");
	if (d->pairs)
		text_printf(&line, ", %s of them from both ends", word_count(d->pairs * 2).s);
	if (d->checks)
		text_printf(&line, "; %s check%s", word_count(d->checks).s,
			    d->checks == 1 ? "" : "s");
	text_puts(&line, ": ");
	put_sum(&line, d);
	text_puts(&line, ".");
	if (line.data)
		text_wrap(t, line.data, 0, columns(t));
	text_puts(t, "\n");
	t->failed |= line.failed;
	text_free(&line);
}

static void put_unseen(struct text *t, const struct view_diagnosis *d)
{
	struct text line;

	if (!d->unseen)
		return;
	text_init(&line);
	text_puts(&line, "Not looked at: ");
	for (unsigned i = 0; i < d->unseen; i++)
		text_printf(&line, "%s%s", i ? "; " : "", d->not_seen[i]);
	text_puts(&line, ".");
	if (*d->again)
		text_printf(&line, " (%s)", d->again);
	if (line.data)
		text_wrap(t, line.data, 0, columns(t));
	text_puts(t, "\n");
	t->failed |= line.failed;
	text_free(&line);
}

void view_diagnosis_print(struct text *t, const struct view_diagnosis *d)
{
	if (*d->what && d->stairs) {
		text_styled(t, TEXT_BOLD, d->what);
		text_puts(t, "\n");
	}
	if (d->stairs)
		put_stairs(t, d);
	for (size_t i = 0; i < d->n; i++)
		put_finding(t, &d->finding[i]);
	put_looked_at(t, d);
	put_unseen(t, d);
	t->failed |= d->failed;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

#ifndef HAVE_JANSSON

int view_diagnosis_json(struct text *t, const struct view_diagnosis *d)
{
	(void)t;
	(void)d;
	return -ENOSYS;
}

#else

/* What identifies an end; all of its fields are couplet show's to tell. */
static json_t *end_json(const struct cpl_info *i)
{
	json_t *o = json_object();

	json_object_set_new(o, "local",
			    json_string(word_endpoint(&i->local_addr, i->local_port).s));
	if (i->remote_port)
		json_object_set_new(o, "remote",
				    json_string(word_endpoint(&i->remote_addr, i->remote_port).s));
	if (cpl_info_known(i, CPL_F_state))
		json_object_set_new(o, "state", json_string(view_state_rfc(i->state)));
	if (cpl_info_known(i, CPL_F_id))
		json_object_set_new(o, "id",
				    json_string(word_format("%llu", (unsigned long long)i->id).s));
	if (cpl_info_known(i, CPL_F_netns))
		json_object_set_new(o, "netns", json_integer(i->netns));
	if (cpl_info_known(i, CPL_F_pid))
		json_object_set_new(o, "pid", json_integer(i->pid));
	if (cpl_info_known(i, CPL_F_fd))
		json_object_set_new(o, "fd", json_integer(i->fd));
	if (cpl_info_known(i, CPL_F_program))
		json_object_set_new(o, "program", json_string(word_foreign(i->program).s));
	return o;
}

static json_t *finding_json(const struct view_finding *f)
{
	const struct view_finding_kind *kind = &view_finding_kinds[f->id];
	json_t *o = json_object(), *evidence = json_array();
	char line[600];

	json_object_set_new(o, "id", json_string(kind->name));
	json_object_set_new(o, "weight", json_string(view_weight_name(kind->weight)));
	json_object_set_new(o, "subject", json_string(view_subject_name(kind->subject)));
	json_object_set_new(o, "certainty", json_string(view_certainty_name(f->certainty)));
	view_finding_fill(line, sizeof(line), kind->title, f);
	json_object_set_new(o, "title", json_string(line));
	view_finding_fill(line, sizeof(line), kind->meaning, f);
	json_object_set_new(o, "meaning", json_string(line));
	for (unsigned i = 0; i < f->evidences; i++)
		json_array_append_new(evidence, json_string(f->evidence[i]));
	json_object_set_new(o, "evidence", evidence);
	view_finding_fill(line, sizeof(line), *f->next ? f->next : kind->next, f);
	json_object_set_new(o, "next", json_string(line));
	json_object_set_new(o, "times", json_integer(f->times));
	if (f->pid)
		json_object_set_new(o, "pid", json_integer(f->pid));
	if (*f->program)
		json_object_set_new(o, "program", json_string(f->program));
	if (f->netns)
		json_object_set_new(o, "netns", json_integer(f->netns));
	if (*f->space)
		json_object_set_new(o, "namespace", json_string(f->space));
	if (*f->about)
		json_object_set_new(o, "about", json_string(f->about));
	if (f->known_x)
		json_object_set_new(o, "x", end_json(&f->x));
	if (f->known_y)
		json_object_set_new(o, "y", end_json(&f->y));
	return o;
}

static json_t *stairs_json(const struct view_diagnosis *d)
{
	static const char *const results[] = {
		[VIEW_STEP_NOT_REACHED] = "not reached",
		[VIEW_STEP_HOLDS] = "holds",
		[VIEW_STEP_FAILS] = "fails",
		[VIEW_STEP_NOT_SEEN] = "not seen",
		[VIEW_STEP_NEEDLESS] = "not needed",
	};
	json_t *array = json_array();

	for (int i = 0; i < VIEW_STEPS; i++) {
		json_t *o = json_object();

		json_object_set_new(o, "step", json_string(view_step_name((enum view_step_id)i)));
		json_object_set_new(o, "result", json_string(results[d->step[i].result]));
		if (*d->step[i].text)
			json_object_set_new(o, "text", json_string(d->step[i].text));
		json_array_append_new(array, o);
	}
	return array;
}

int view_diagnosis_json(struct text *t, const struct view_diagnosis *d)
{
	json_t *o = json_object(), *findings = json_array(), *unseen = json_array();
	char *dump;

	json_object_set_new(o, "couplet", json_integer(1));
	json_object_set_new(o, "what", json_string(d->what));
	json_object_set_new(o, "trouble", json_boolean(view_diagnosis_trouble(d)));
	if (d->stairs)
		json_object_set_new(o, "stairs", stairs_json(d));
	for (size_t i = 0; i < d->n; i++)
		json_array_append_new(findings, finding_json(&d->finding[i]));
	json_object_set_new(o, "findings", findings);
	json_object_set_new(o, "connections", json_integer((json_int_t)d->connections));
	json_object_set_new(o, "pairs", json_integer((json_int_t)d->pairs));
	json_object_set_new(o, "checks", json_integer((json_int_t)d->checks));
	for (unsigned i = 0; i < d->unseen; i++)
		json_array_append_new(unseen, json_string(d->not_seen[i]));
	json_object_set_new(o, "not_looked_at", unseen);
	if (*d->again)
		json_object_set_new(o, "again", json_string(d->again));
	dump = json_dumps(o, JSON_INDENT(2));
	json_decref(o);
	if (!dump)
		return -ENOMEM;
	text_puts(t, dump);
	text_puts(t, "\n");
	free(dump);
	return t->failed || d->failed ? -ENOMEM : 0;
}

#endif
