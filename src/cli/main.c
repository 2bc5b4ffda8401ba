/* SPDX-License-Identifier: MIT */
/*
 * The command `couplet`: finds the subcommand and runs it. What each does stands in its own file;
 * the list of them in commands.def.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include <couplet/couplet.h>

#include "cli/cli.h"
#include "view/text.h"

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
		cli_current = cli_find(argv[2]);
		if (!cli_current)
			return unknown(argv[2]);
		char *args[] = { argv[2], help_option, NULL };
		return cli_current->run(2, args);
	}
	if (argv[1][0] == '-')
		return cli_fail(CLI_USAGE,
				"there is no option \"%s\"; \"couplet --help\" lists what there is",
				argv[1]);
	cli_current = cli_find(argv[1]);
	if (!cli_current)
		return unknown(argv[1]);
	return cli_current->run(argc - 1, argv + 1);
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
