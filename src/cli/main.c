/* SPDX-License-Identifier: MIT */
/*
 * The command `couplet`: finds the subcommand and runs it. What each does stands in its own file;
 * the list of them in commands.def.
 */
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <couplet/couplet.h>

#include "cli/cli.h"
#include "view/text.h"

const struct cli_command cli_commands[] = {
#define COMMAND(group, name, arguments, line) { CLI_##group, #name, arguments, line, cmd_##name },
#define COMMAND_ALONE(function)
#include "cli/commands.def"
	{ CLI_LOOK, NULL, NULL, NULL, NULL },
};

static const char *const group_names[CLI_GROUPS] = { "Look", "Understand", "Repair", "Use" };

/* The subcommand that runs, for cli_fail(). */
static const struct cli_command *current;

static const struct cli_command *command_find(const char *name)
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
	fprintf(stderr, "couplet%s%s: ", current ? " " : "", current ? current->name : "");
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (status == CLI_USAGE && current)
		fprintf(stderr, "usage: couplet %s %s\n", current->name, current->arguments);
	return status;
}

int cli_help(const char *name, const char *options)
{
	const struct cli_command *c = command_find(name);

	if (!c)
		return cli_fail(CLI_USAGE, "there is no subcommand \"%s\"", name);
	printf("usage: couplet %s %s\n\n%c%s.\n", c->name, c->arguments,
	       c->line[0] >= 'a' && c->line[0] <= 'z' ? c->line[0] - 'a' + 'A' : c->line[0],
	       c->line + 1);
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

static int help(void)
{
	printf("usage: couplet [COMMAND [ARGUMENTS]]\n\n"
	       "A TCP connection is two records that never met: one in each host. couplet\n"
	       "shows both, side by side, and says what they mean.\n\n");
	cli_list(stdout);
	printf("\nAlone it lists this machine's connections. couplet COMMAND --help tells more,\n"
	       "couplet --version its version.\n"
	       "Exit status: 0 healthy or done, 1 trouble found or failed, 2 usage, 3 could not\n"
	       "look.\n");
	return CLI_OK;
}

static int alone(void)
{
	int status = CLI_OK;

#define COMMAND(group, name, arguments, line)
#define COMMAND_ALONE(function) status = function(), putchar('\n');
#include "cli/commands.def"
	cli_list(stdout);
	return status;
}

static int unknown(const char *word)
{
	const struct cli_command *best = NULL;
	unsigned least = 3;

	for (const struct cli_command *c = cli_commands; c->name; c++) {
		unsigned d = view_distance(word, c->name);

		if (d < least) {
			least = d;
			best = c;
		}
	}
	if (best)
		return cli_fail(CLI_USAGE, "there is no subcommand \"%s\"; did you mean \"%s\"?",
				word, best->name);
	return cli_fail(CLI_USAGE,
			"there is no subcommand \"%s\"; \"couplet --help\" lists those that exist",
			word);
}

static int dispatch(int argc, char **argv)
{
	static char help_option[] = "--help";

	if (argc < 2)
		return alone();
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("couplet " CPL_VERSION "\n");
		return CLI_OK;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help();
	if (strcmp(argv[1], "help") == 0) {
		if (argc < 3)
			return help();
		current = command_find(argv[2]);
		if (!current)
			return unknown(argv[2]);
		char *args[] = { argv[2], help_option, NULL };
		return current->run(2, args);
	}
	if (argv[1][0] == '-')
		return cli_fail(CLI_USAGE,
				"there is no option \"%s\"; \"couplet --help\" lists what there is",
				argv[1]);
	current = command_find(argv[1]);
	if (!current)
		return unknown(argv[1]);
	return current->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status;

	setlocale(LC_CTYPE, "");
	status = dispatch(argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "couplet: cannot write the output: %s\n", strerror(errno));
		return CLI_CANNOT;
	}
	return status;
}
