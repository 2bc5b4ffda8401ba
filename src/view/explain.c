/* SPDX-License-Identifier: MIT */
/*
 * The texts of `couplet explain`: see explain.h. The words stand in explain.def; fields of a
 * snapshot and counters of a stack explain themselves from their own tables.
 */
#include "view/explain.h"

#include <errno.h>
#include <string.h>

#include "view/field.h"
#include "view/finding.h"

enum theme {
	THEME_THING,
	THEME_STATE,
	THEME_NETSTAT,
	THEME_NUMBER,
	THEME_LOSS,
	THEME_END,
	THEME_WHY,
	THEME_COUPLET,
	THEMES
};

static const char *const theme_titles[THEMES] = {
	"A connection",		 "States",	    "netstat",
	"What is counted",	 "Time and loss",   "Endings",
	"Why it is not sending", "Couplet's words",
};

struct entry {
	enum theme theme;
	const char *word;
	const char *aliases;
	const char *title;
	const char *source;
	const char *text;
};

static const struct entry entries[] = {
#define EXPLAIN(theme, word, aliases, title, source, text)                                         \
	{ THEME_##theme, word, aliases, title, source, text },
#include "view/explain.def"
};

#define ENTRIES (sizeof(entries) / sizeof(*entries))

struct counter {
	const char *name;
	const char *text;
};

static const struct counter counters[] = {
#define CPL_COUNTER(name, text) { #name, text },
#include <couplet/counters.def>
};

#define COUNTERS (sizeof(counters) / sizeof(*counters))

#define LABEL_WIDTH 10
#define COLUMNS	    80

/* ---- Finding --------------------------------------------------------------------------------- */

/* The next character that counts: case, "-", "_", " ", "(" and ")" do not. */
static char next_letter(const char **s, const char *end)
{
	while (*s < end && strchr("-_ ()", **s))
		(*s)++;
	if (*s == end)
		return 0;
	char c = *(*s)++;

	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_word(const char *a, size_t n, const char *b)
{
	const char *a_end = a + n, *b_end = b + strlen(b);
	char x, y;

	do {
		x = next_letter(&a, a_end);
		y = next_letter(&b, b_end);
	} while (x && x == y);
	return x == y;
}

/* WORD is one of the comma-separated aliases. */
static bool in_list(const char *list, const char *word)
{
	while (*list) {
		size_t n = strcspn(list, ",");

		if (same_word(list, n, word))
			return true;
		list += n + (list[n] == ',');
	}
	return false;
}

static const struct entry *find_entry(const char *word)
{
	for (size_t i = 0; i < ENTRIES; i++)
		if (same_word(word, strlen(word), entries[i].word))
			return &entries[i];
	for (size_t i = 0; i < ENTRIES; i++)
		if (in_list(entries[i].aliases, word))
			return &entries[i];
	return NULL;
}

static int find_field(const char *word)
{
	for (int f = 0; f < CPL_FIELDS; f++)
		if (same_word(word, strlen(word), view_fields[f].name))
			return f;
	return -1;
}

static const struct counter *find_counter(const char *word)
{
	for (size_t i = 0; i < COUNTERS; i++)
		if (same_word(word, strlen(word), counters[i].name))
			return &counters[i];
	return NULL;
}

/* ---- Printing -------------------------------------------------------------------------------- */

static void put_line(struct text *t, const char *label, const char *s)
{
	text_styled(t, TEXT_CYAN, label);
	text_column(t, LABEL_WIDTH, 1);
	text_wrap(t, s, LABEL_WIDTH, COLUMNS);
	text_puts(t, "\n");
}

static void put_title(struct text *t, const char *word, const char *title, const char *source)
{
	text_styled(t, TEXT_BOLD, word);
	text_printf(t, " - %s%s%s%s\n", title, *source ? " (" : "", source, *source ? ")" : "");
}

static struct view_word field_unit(const struct view_field *f)
{
	if (strcmp(f->unit, "seq") == 0)
		return word_format("%s", "a sequence number");
	if (strcmp(f->unit, "ns") == 0)
		return word_format("%s", "a time, kept in nanoseconds");
	if (strcmp(f->unit, "flag") == 0)
		return word_format("%s", "yes or no");
	if (strcmp(f->unit, "shift") == 0)
		return word_format("%s", "a shift: windows count in units of 2^this bytes");
	return word_format("%s", f->unit);
}

static void put_entry(struct text *t, const struct entry *e, int field)
{
	const char *s = e->text;

	put_title(t, e->word, e->title, e->source);
	if (field >= 0) {
		char line[160];

		snprintf(line, sizeof(line), "%s: %s", view_fields[field].name,
			 view_fields[field].text);
		put_line(t, "Field", line);
	}
	while (*s) {
		char label[LABEL_WIDTH + 1], line[1000];
		size_t n = strcspn(s, "\t"), m = strcspn(s + n + 1, "\n");

		snprintf(label, sizeof(label), "%.*s", (int)n, s);
		snprintf(line, sizeof(line), "%.*s", (int)m, s + n + 1);
		put_line(t, label, line);
		s += n + 1 + m;
		s += *s == '\n';
	}
}

static void put_field(struct text *t, const struct view_field *f)
{
	struct view_word where =
		word_format("couplet show CONN, under \"%s\"", view_group_title(f->group));

	put_title(t, f->name, "a field of the control block", "");
	put_line(t, "What", f->text);
	if (*f->unit && !strstr(f->text, "enum "))
		put_line(t, "Counted in", field_unit(f).s);
	put_line(t, "Printed by", where.s);
	put_line(t, "See", "tcb, snapshot, derived");
}

static void put_counter(struct text *t, const struct counter *c)
{
	bool drop = strncmp(c->name, "drop_", 5) == 0;

	put_title(t, c->name, drop ? "why a stack dropped packets" : "a counter of a stack", "");
	put_line(t, "What", c->text);
	if (drop)
		put_line(t, "Why",
			 "Every packet that a Couplet stack drops counts in exactly one of its "
			 "drop_ "
			 "counters: none vanishes without a reason.");
}

/* The number of the finding called WORD, or -1. */
static int find_finding(const char *word)
{
	for (int id = 0; id < VIEW_FINDINGS; id++)
		if (same_word(word, strlen(word), view_finding_kinds[id].name))
			return id;
	return -1;
}

static void put_finding(struct text *t, enum view_finding_id id)
{
	const struct view_finding_kind *k = &view_finding_kinds[id];
	struct view_finding nobody = { .id = id };
	struct view_word weight = word_format("a %s, of a %s", view_weight_name(k->weight),
					      view_subject_name(k->subject));
	char line[600];

	put_title(t, view_finding_name(id).s, k->title, "");
	view_finding_fill(line, sizeof(line), k->meaning, &nobody);
	put_line(t, "What", line);
	put_line(t, "Weight", weight.s);
	view_finding_fill(line, sizeof(line), k->next, &nobody);
	if (*line)
		put_line(t, "Next", line);
	put_line(t, "Found by", "couplet doctor; see couplet-doctor(1)");
}

int view_explain(struct text *t, const char *word)
{
	const struct entry *e = find_entry(word);
	int field = find_field(word);

	if (e)
		put_entry(t, e, field);
	else if (field >= 0)
		put_field(t, &view_fields[field]);
	else if (find_counter(word))
		put_counter(t, find_counter(word));
	else if (find_finding(word) >= 0)
		put_finding(t, (enum view_finding_id)find_finding(word));
	else
		return -ENOENT;
	return 0;
}

void view_explain_list(struct text *t)
{
	for (int theme = 0; theme < THEMES; theme++) {
		bool first = true;

		text_styled(t, TEXT_CYAN, theme_titles[theme]);
		text_column(t, 23, 1);
		for (size_t i = 0; i < ENTRIES; i++) {
			if ((int)entries[i].theme != theme)
				continue;
			if (!first)
				text_puts(t, ",");
			if (text_at(t) + 2 + strlen(entries[i].word) > COLUMNS - 1) {
				text_puts(t, "\n");
				text_column(t, 23, 0);
			} else if (!first) {
				text_puts(t, " ");
			}
			text_puts(t, entries[i].word);
			first = false;
		}
		text_puts(t, "\n");
	}
	text_wrap(t,
		  "Every field of \"couplet show\", every counter and every finding of \"couplet "
		  "doctor\" "
		  "explains itself, too: snd_wl1, drop_tcp_paws, black-hole.",
		  0, COLUMNS);
	text_puts(t, "\n");
}

/* ---- Suggestions ----------------------------------------------------------------------------- */

const char *view_explain_word(unsigned n)
{
	if (n < ENTRIES)
		return entries[n].word;
	n -= ENTRIES;
	if (n < COUNTERS)
		return counters[n].name;
	n -= COUNTERS;
	if (n < VIEW_FINDINGS)
		return view_finding_kinds[n].name;
	n -= VIEW_FINDINGS;
	return n < CPL_FIELDS ? view_fields[n].name : NULL;
}

struct near {
	const char *word;
	unsigned score;
};

/* Less is nearer; 255: not near. A word that holds the other is as near as one slip. */
static unsigned nearness(const char *word, const char *candidate)
{
	unsigned d = view_distance(word, candidate);
	size_t n = strlen(word);
	unsigned limit = n < 4 ? 1 : n < 7 ? 2 : 3;

	if (n >= 3 && strstr(candidate, word))
		return 1;
	return d <= limit ? d : 255;
}

static void offer(struct near *best, unsigned *n, unsigned max, const char *word, unsigned score)
{
	unsigned at;

	for (unsigned i = 0; i < *n; i++)
		if (strcmp(best[i].word, word) == 0)
			return;
	for (at = *n; at > 0 && best[at - 1].score > score; at--)
		if (at < max)
			best[at] = best[at - 1];
	if (at >= max)
		return;
	best[at] = (struct near){ word, score };
	if (*n < max)
		(*n)++;
}

/* The distance to an entry is the least of that to its word and those to its aliases. */
static unsigned entry_nearness(const struct entry *e, const char *word)
{
	unsigned least = nearness(word, e->word);
	const char *s = e->aliases;

	while (*s) {
		char alias[40];
		size_t n = strcspn(s, ",");
		unsigned score;

		snprintf(alias, sizeof(alias), "%.*s", (int)n, s);
		score = nearness(word, alias);
		least = score < least ? score : least;
		s += n + (s[n] == ',');
	}
	return least;
}

#define NEAR_MAX 8

unsigned view_explain_near(const char *word, const char **near, unsigned max)
{
	struct near best[NEAR_MAX];
	unsigned n = 0;

	max = max > NEAR_MAX ? NEAR_MAX : max;
	if (!max || !*word)
		return 0;
	for (size_t i = 0; i < ENTRIES; i++) {
		unsigned score = entry_nearness(&entries[i], word);

		if (score < 255)
			offer(best, &n, max, entries[i].word, score);
	}
	for (unsigned i = ENTRIES; view_explain_word(i); i++) {
		unsigned score = nearness(word, view_explain_word(i));

		if (score < 255)
			offer(best, &n, max, view_explain_word(i), score);
	}
	for (unsigned i = 0; i < n; i++)
		near[i] = best[i].word;
	return n;
}
