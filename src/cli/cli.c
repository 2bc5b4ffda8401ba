/* SPDX-License-Identifier: MIT */
/* What the subcommands share: see cli.h. */
#include "cli/cli.h"

#include <getopt.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const struct cli_command cli_commands[] = {
#define COMMAND(group, name, arguments, line) { CLI_##group, #name, arguments, line, cmd_##name },
#define COMMAND_ALONE(function)
#include "cli/commands.def"
	{ CLI_LOOK, NULL, NULL, NULL, NULL },
};

static const char *const group_names[CLI_GROUPS] = { "Look", "Understand", "Repair", "Use" };

const struct cli_command *cli_current;

const struct cli_command *cli_find(const char *name)
{
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

int cli_fail(enum cli_status status, const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "couplet%s%s: ", cli_current ? " " : "",
		cli_current ? cli_current->name : "");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (status == CLI_USAGE && cli_current)
		fprintf(stderr, "usage: couplet %s %s\n", cli_current->name,
			cli_current->arguments);
	return status;
}

int cli_bad_option(int c, char **argv)
{
	const char *word = argv[optind - 1];
	bool is_long = !strncmp(word, "--", 2);

	if (c == ':' && is_long)
		return cli_fail(CLI_USAGE, "option %s takes a value; --help says which", word);
	if (c == ':')
		return cli_fail(CLI_USAGE, "option -%c takes a value; --help says which", optopt);
	/* Of a short one that others follow in its word, WORD is the word before. */
	if (optopt && !(is_long && strchr(word, '=')))
		return cli_fail(CLI_USAGE, "there is no option -%c; --help lists those that exist",
				optopt);
	return cli_fail(CLI_USAGE, "option %s does not exist like this; --help lists what does",
			word);
}

int cli_help(const char *name, const char *options)
{
	const struct cli_command *c = cli_find(name);

	if (!c)
		return cli_fail(CLI_USAGE, "there is no subcommand \"%s\"", name);
	printf("usage: couplet %s %s\n\n%c%s%s\n", c->name, c->arguments,
	       c->line[0] >= 'a' && c->line[0] <= 'z' ? c->line[0] - 'a' + 'A' : c->line[0],
	       c->line + 1, c->line[strlen(c->line) - 1] == '?' ? "" : ".");
	if (options)
		printf("\n%s", options);
	printf("\nMore: man couplet-%s\n", c->name);
	return CLI_OK;
}

bool cli_colour(FILE *file)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (no && *no)
		return false;
	return isatty(fileno(file)) && term && strcmp(term, "dumb") != 0;
}

bool cli_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

int cli_width(FILE *file)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	int n = columns ? atoi(columns) : 0;

	if (n <= 0 && ioctl(fileno(file), TIOCGWINSZ, &size) == 0)
		n = size.ws_col;
	if (n <= 0)
		return 80;
	return n > 1000 ? 1000 : n;
}

void cli_list(FILE *file)
{
	for (int group = 0; group < CLI_GROUPS; group++) {
		const char *heading = group_names[group];

		for (const struct cli_command *c = cli_commands; c->name; c++) {
			if ((int)c->group != group)
				continue;
			fprintf(file, "%-11s couplet %-8s %s\n", heading, c->name, c->line);
			heading = "";
		}
	}
}
