/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands of couplet share. Each lives in one file, src/cli/NAME.c, and has its line
 * in commands.def; main.c only dispatches.
 *
 * A subcommand gets argv[0] = its own name, so that getopt_long() works as in a program of its own;
 * `--help` and `-h` are its own to answer, with cli_help(). It returns one of enum cli_status,
 * writes results to stdout and complaints to stderr, and need not flush: main() does, and turns
 * output that could not be written into CLI_CANNOT.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

/* The exit status. */
enum cli_status {
	CLI_OK = 0,	 /* healthy, or done */
	CLI_TROUBLE = 1, /* trouble found, or failed */
	CLI_USAGE = 2,	 /* the command line makes no sense */
	CLI_CANNOT = 3,	 /* could not look: missing rights, file, kernel feature or library */
};

/* The subcommands' groups, in the order in which they are listed. */
enum cli_group {
	CLI_LOOK,
	CLI_UNDERSTAND,
	CLI_REPAIR,
	CLI_USE,
	CLI_GROUPS /* their number */
};

struct cli_command {
	enum cli_group group;
	const char *name;
	const char *arguments;
	const char *line;
	int (*run)(int argc, char **argv);
};

/* The table made from commands.def; ends with a NULL name. */
extern const struct cli_command cli_commands[];
/* The one that runs, for cli_fail(); NULL before it is known. */
extern const struct cli_command *cli_current;
/* NULL: there is none of that name. */
const struct cli_command *cli_find(const char *name);

#define COMMAND(group, name, arguments, line) int cmd_##name(int argc, char **argv);
#define COMMAND_ALONE(function)		      int function(void);
#include "cli/commands.def"

/*
 * "couplet NAME: SENTENCE" on stderr; returns STATUS, so that a subcommand can
 * `return cli_fail(CLI_CANNOT, "cannot read %s: %s", file, strerror(errno))`. The sentence says
 * what was wrong with which input and what to do. With CLI_USAGE the usage line follows.
 */
__attribute__((format(printf, 2, 3))) int cli_fail(enum cli_status status, const char *format, ...);

/*
 * The complaint about the option for which getopt_long() has just returned C, '?' or ':'; returns
 * CLI_USAGE. The caller has set opterr to 0, and its short options begin with ':'; with "+:" where
 * the command of another may follow, since elsewhere options and words come in any order.
 */
int cli_bad_option(int c, char **argv);

/*
 * The answer to --help on stdout: usage line and one-line description from commands.def, then
 * OPTIONS (one line each, "  -n, --numeric   ...\n"; may be NULL). Returns CLI_OK.
 */
int cli_help(const char *name, const char *options);

/* True if colour is wanted on FILE: a terminal, NO_COLOR unset, TERM not "dumb". */
bool cli_colour(FILE *file);
/* True if the locale's character set is UTF-8: line drawing may be used. */
bool cli_utf8(void);
/* Columns of the terminal behind FILE; $COLUMNS, or 80, where it is none. */
int cli_width(FILE *file);

/* The groups and commands on FILE, as `couplet` and `couplet --help` print them. */
void cli_list(FILE *file);

#endif
