/* SPDX-License-Identifier: MIT */
/* What the subcommands that take CONN or a filter share: see connections.h. */
#include "cli/connections.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "view/json.h"
#include "view/text.h"

/* The words of the filter as one text; NULL: no memory. */
static char *join(int argc, char **argv)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < argc; i++)
		text_printf(&t, "%s%s", i ? " " : "", argv[i]);
	if (!t.data)
		text_puts(&t, "");
	if (t.failed) {
		text_free(&t);
		return NULL;
	}
	return t.data;
}

/* The text on stderr with the wrong part underlined. */
static void underline(const char *s, const struct select_error *error)
{
	fprintf(stderr, "    ");
	for (; *s; s++)
		fputc(*s >= 0x20 && *s < 0x7f ? *s : '?', stderr);
	fprintf(stderr, "\n    %*s", (int)error->at, "");
	for (size_t i = 0; i < error->len; i++)
		fputc('^', stderr);
	fputc('\n', stderr);
}

int connections_parse(struct select *select, int argc, char **argv)
{
	struct select_error error;
	char *s = join(argc, argv);
	int err;

	if (!s)
		return cli_fail(CLI_CANNOT, "out of memory");
	err = select_parse(select, s, &error);
	if (err) {
		fflush(stdout);
		fprintf(stderr, "couplet %s: %s\n", cli_current->name, error.text);
		underline(s, &error);
	}
	free(s);
	return err ? CLI_USAGE : CLI_OK;
}

void connections_notes(const struct source_notes *notes, bool owners)
{
	for (unsigned i = 0; i < notes->n; i++)
		if (owners == (notes->note[i].source == CPL_SOURCE_UNKNOWN))
			cli_fail(CLI_OK, "%s", notes->note[i].text);
	if (!owners && notes->dropped)
		cli_fail(CLI_OK, "and %u more things could not be looked at", notes->dropped);
}

int connections_collect(struct snapshot_set *set, const struct source_options *options)
{
	int err = source_collect(set, options);

	connections_notes(&set->notes, false);
	if (err == -EIO)
		return CLI_CANNOT; /* the notes said why */
	if (err)
		return cli_fail(CLI_CANNOT, "cannot list the connections: %s", strerror(-err));
	select_sort(set->info, set->n);
	return CLI_OK;
}

struct source_options connections_everything(const struct select *select)
{
	struct source_options options = {
		.udp = true,
		.states = SOURCE_USUAL_STATES | select_states(select),
	};

	return options;
}

bool connections_match(const struct snapshot_set *set, const struct select *select)
{
	for (size_t i = 0; i < set->n; i++)
		if (select_match(select, &set->info[i], i + 1))
			return true;
	return false;
}

int connections_select(struct snapshot_set *set, const struct select *select, size_t **numbers)
{
	size_t kept = 0;

	*numbers = malloc((set->n + 1) * sizeof(**numbers));
	if (!*numbers)
		return cli_fail(CLI_CANNOT, "out of memory");
	for (size_t i = 0; i < set->n; i++) {
		if (!select_match(select, &set->info[i], i + 1))
			continue;
		if (kept != i)
			set->info[kept] = set->info[i];
		(*numbers)[kept++] = i + 1;
	}
	set->n = kept;
	return CLI_OK;
}

int connections_rows(struct snapshot_set *rows, const struct select *select)
{
	struct source_options options = connections_everything(select);
	size_t kept = 0;

	options.owners = select_needs_owners(select);
	if (source_collect(rows, &options))
		return -EIO;
	select_sort(rows->info, rows->n);
	for (size_t i = 0; i < rows->n; i++)
		if (select_match(select, &rows->info[i], i + 1))
			rows->info[kept++] = rows->info[i];
	rows->n = kept;
	return 0;
}

bool connections_has(const struct snapshot_set *rows, const struct cpl_info *info)
{
	for (size_t i = 0; i < rows->n; i++)
		if (rows->info[i].id == info->id && rows->info[i].netns == info->netns &&
		    rows->info[i].local_port == info->local_port &&
		    rows->info[i].remote_port == info->remote_port)
			return true;
	return false;
}

void connections_text(struct text *t)
{
	text_init(t);
	t->colour = cli_colour(stdout);
	t->ascii = !cli_utf8();
	t->width = (unsigned)cli_width(stdout);
}

int connections_print(struct text *t, int err)
{
	if (!err)
		err = text_flush(t, stdout);
	text_free(t);
	if (err == -ENOSYS)
		return cli_fail(CLI_CANNOT, "couplet was built without JSON; install "
					    "libjansson-dev and build again");
	return err == -ENOMEM ? cli_fail(CLI_CANNOT, "out of memory") : CLI_OK;
}

int connections_json(const struct snapshot_set *set)
{
	struct text t;

	text_init(&t);
	return connections_print(&t, view_json_write(&t, set->info, set->n));
}

bool connections_interval(const char *s, unsigned *milliseconds)
{
	double seconds = 1;
	char *end;

	if (s) {
		seconds = strtod(s, &end);
		if (end == s || *end || !(seconds >= 0.01 && seconds <= 86400)) {
			cli_fail(CLI_USAGE, "\"%s\" is no interval: seconds, 0.01 to 86400", s);
			return false;
		}
	}
	*milliseconds = (unsigned)(seconds * 1000);
	return true;
}
