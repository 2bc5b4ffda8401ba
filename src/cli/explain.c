/* SPDX-License-Identifier: MIT */
/*
 * couplet explain: what a word means (the texts are in src/view/explain.def), or what the rows of
 * some netstat mean that stand on standard input, in a file, or on the command line.
 */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "source/names.h"
#include "view/explain.h"
#include "view/paste.h"

#define SUGGESTIONS 5

static const char help[] =
	"Without a WORD it lists what it can explain, by theme.\n"
	"\n"
	"  netstat -an | couplet explain -    each row of a table: of the netstat of\n"
	"                     Linux, macOS, a BSD or Windows, of ss, or our own\n"
	"  couplet explain FILE               the same of a file\n"
	"  couplet explain 'tcp4 0 0 10.0.0.1.60596 10.0.0.2.https ESTABLISHED'\n";

/* ---- Rows ------------------------------------------------------------------------------------ */

static uint16_t port_of(void *arg, const char *name, uint8_t protocol)
{
	struct servent *entry = getservbyname(name, protocol == 17 ? "udp" : "tcp");

	(void)arg;
	if (!entry) /* macOS and Linux do not register the same names for both */
		entry = getservbyname(name, NULL);
	return entry ? ntohs((uint16_t)entry->s_port) : 0;
}

static const char *name_of(void *arg, uint16_t port, uint8_t protocol)
{
	return names_service(arg, port, protocol);
}

struct rows {
	struct view_paste paste;
	struct text text;
	size_t explained, unknown;
};

static int rows_begin(struct rows *r)
{
	struct names *names = names_new(NULL, NULL);

	memset(r, 0, sizeof(*r));
	if (!names)
		return cli_fail(CLI_CANNOT, "out of memory");
	r->paste.services = (struct view_services){ port_of, name_of, names };
	text_init(&r->text);
	r->text.colour = cli_colour(stdout);
	r->text.width = (unsigned)cli_width(stdout);
	return CLI_OK;
}

static int rows_end(struct rows *r, const char *what)
{
	names_free(r->paste.services.arg);
	text_free(&r->text);
	if (r->explained)
		return CLI_OK;
	return cli_fail(CLI_TROUBLE, "%s holds no row of netstat or ss", what);
}

static void row(struct rows *r, const char *line, size_t len)
{
	struct view_pasted row;

	view_paste_line(&r->paste, line, len, &row);
	if (row.kind != VIEW_PASTED_ROW && row.kind != VIEW_PASTED_UNKNOWN)
		return;
	if (r->explained + r->unknown)
		text_puts(&r->text, "\n");
	r->explained += row.kind == VIEW_PASTED_ROW;
	r->unknown += row.kind == VIEW_PASTED_UNKNOWN;
	view_paste_explain(&r->text, &r->paste, &row);
	text_flush(&r->text, stdout);
}

static int explain_file(FILE *file, const char *name)
{
	struct rows r;
	char *line = NULL;
	size_t room = 0;
	ssize_t len;

	if (rows_begin(&r) != CLI_OK)
		return CLI_CANNOT;
	while ((len = getline(&line, &room, file)) >= 0)
		row(&r, line, (size_t)len);
	free(line);
	if (ferror(file)) {
		rows_end(&r, name);
		return cli_fail(CLI_CANNOT, "cannot read %s: %s", name, strerror(errno));
	}
	return rows_end(&r, name);
}

static int explain_line(const char *line)
{
	struct rows r;

	if (rows_begin(&r) != CLI_OK)
		return CLI_CANNOT;
	row(&r, line, strlen(line));
	return rows_end(&r, "this line");
}

/* True if S begins as a row does, and is more than a word. */
static bool looks_like_row(const char *s)
{
	struct view_paste p = { 0 };
	struct view_pasted row;

	if (strspn(s + strcspn(s, " \t"), " \t") == 0)
		return false;
	view_paste_line(&p, s, strlen(s), &row);
	return row.kind == VIEW_PASTED_ROW ||
	       (row.kind == VIEW_PASTED_UNKNOWN && row.info.protocol);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static int unknown(const char *word)
{
	const char *near[SUGGESTIONS];
	unsigned n = view_explain_near(word, near, SUGGESTIONS);
	char list[256] = "";
	size_t at = 0;

	if (!n)
		return cli_fail(
			CLI_USAGE,
			"\"%s\" is not explained; \"couplet explain\" lists the words that are",
			word_foreign(word).s);
	for (unsigned i = 0; i < n && at < sizeof(list); i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s\"%s\"",
				       i == 0	    ? ""
				       : i == n - 1 ? " or "
						    : ", ",
				       near[i]);
	return cli_fail(CLI_USAGE, "\"%s\" is not explained; did you mean %s?",
			word_foreign(word).s, list);
}

static int explain_word(const char *word)
{
	struct text t;
	int status = CLI_OK;

	text_init(&t);
	t.colour = cli_colour(stdout);
	if (!*word)
		view_explain_list(&t);
	else if (view_explain(&t, word) < 0)
		status = -1;
	if (text_flush(&t, stdout) == -ENOMEM)
		status = cli_fail(CLI_CANNOT, "out of memory");
	text_free(&t);
	return status;
}

/* A file of rows, if there is a readable one of that name; -1: there is none. */
static int explain_named_file(const char *name)
{
	struct stat st;
	FILE *file;
	int status;

	if (stat(name, &st) < 0 || S_ISDIR(st.st_mode))
		return -1;
	file = fopen(name, "re");
	if (!file)
		return cli_fail(CLI_CANNOT, "cannot read %s: %s", word_foreign(name).s,
				strerror(errno));
	status = explain_file(file, word_foreign(name).s);
	fclose(file);
	return status;
}

/* The arguments as one text: "couplet explain syn cookie". NULL: no memory. */
static char *joined(int argc, char **argv)
{
	struct text t;

	text_init(&t);
	text_puts(&t, "");
	for (int i = 0; i < argc; i++)
		text_printf(&t, "%s%s", i ? " " : "", argv[i]);
	if (!t.failed)
		return t.data;
	text_free(&t);
	return NULL;
}

int cmd_explain(int argc, char **argv)
{
	char *words;
	int status;

	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return cli_help("explain", help);
	if (argc == 2 && strcmp(argv[1], "-") == 0)
		return explain_file(stdin, "standard input");
	if (argc > 1 && strcmp(argv[1], "--") == 0) {
		argc--;
		argv++;
	}
	words = joined(argc - 1, argv + 1);
	if (!words)
		return cli_fail(CLI_CANNOT, "out of memory");
	if (looks_like_row(words)) {
		status = explain_line(words);
	} else {
		status = explain_word(words);
		if (status < 0 && argc == 2)
			status = explain_named_file(argv[1]);
		if (status < 0 && strlen(words) > 80)
			status = cli_fail(CLI_USAGE,
					  "no word is as long as that; \"couplet explain\" lists "
					  "those that are explained");
		if (status < 0)
			status = unknown(words);
	}
	free(words);
	return status;
}
