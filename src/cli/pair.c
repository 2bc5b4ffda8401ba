/* SPDX-License-Identifier: MIT */
/* couplet pair: both ends of a connection side by side, and whether they agree. */
#include "cli/pair.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
	"  -a, --all          every connection (that FILTER selects), one line each\n"
	"  -v, --verbose      every check and every field; with --all: remote ones too\n"
	"  -c, --continuous[=SECONDS]   again and again\n"
	"      --json         as JSON\n"
	"\n"
	"CONN: :443  curl  pid:812  10.0.0.1:5000-10.0.0.2:443  '#3' of couplet netstat -aN\n"
	"      or any FILTER of couplet netstat.\n"
	"\n"
	"Both ends are seen on one machine, in whatever namespace, in the kernel and in\n"
	"Couplet's stacks.\n"
	"Exit status: 0 nothing disagrees, 1 some do for good, or nothing gets through.\n";

enum {
	OPTION_JSON = 256
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "continuous", optional_argument, NULL, 'c' },
	{ "watch", optional_argument, NULL, 'c' },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* -1: go on; else the exit status. */
static int options_read(struct pair_options *o, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+avc::h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'a':
			o->all = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case OPTION_JSON:
			o->json = true;
			break;
		case 'c':
			o->repeat = true;
			if (!connections_interval(optarg, &o->interval_ms))
				return CLI_USAGE;
			break;
		case 'h':
			return cli_help("pair", help);
		default:
			return connections_bad_option(argv);
		}
	}
	if (optind == argc && !o->all)
		return cli_fail(CLI_USAGE,
				"which connection? :443, pid:812, a program's name, '#3' "
				"of couplet netstat -aN, or --all");
	o->named = optind < argc;
	o->name = o->named ? argv[optind] : "";
	if (connections_parse(&o->select, argc - optind, argv + optind) != CLI_OK)
		return CLI_USAGE;
	return -1;
}

static int none_or_several(const struct pair_options *o, const struct pair_world *w,
			   const struct view_pair *pairs, size_t n)
{
	if (!n)
		return cli_fail(CLI_TROUBLE,
				"no connection is called \"%s\"; \"couplet netstat -an\" lists all",
				word_foreign(o->name).s);
	cli_fail(CLI_TROUBLE, "%zu connections are called \"%s\"; name one, or use --all:", n,
		 word_foreign(o->name).s);
	pair_show_all(o, w, pairs, n);
	return CLI_TROUBLE;
}

/* One connection, looked at closely. */
static int one(const struct pair_options *o, struct pair_world *w, const struct view_pair *pair)
{
	struct view_pair *again;
	size_t n;
	int status = CLI_OK;

	if (w->host[0].here && w->hosts == 1 && w->host[0].passes.taken == 1)
		status = pair_look_closer(o, w, pair);
	if (status != CLI_OK)
		return status;
	again = pair_pick(o, w, &n);
	if (!again)
		return cli_fail(CLI_CANNOT, "out of memory");
	if (n)
		status = pair_show_one(o, w, &again[0]);
	else
		status = cli_fail(CLI_TROUBLE, "the connection ended while it was looked at");
	free(again);
	return status;
}

static int once(const struct pair_options *o)
{
	struct pair_world w;
	struct view_pair *pairs;
	size_t n;
	int status;

	pair_world_init(&w);
	status = pair_look(o, &w);
	if (status == CLI_OK) {
		pairs = pair_pick(o, &w, &n);
		if (!pairs)
			status = cli_fail(CLI_CANNOT, "out of memory");
		else if (o->all)
			status = pair_show_all(o, &w, pairs, n);
		else
			status = n == 1 ? one(o, &w, pairs) : none_or_several(o, &w, pairs, n);
		free(pairs);
	}
	pair_world_free(&w);
	return status;
}

int cmd_pair(int argc, char **argv)
{
	struct pair_options o = { 0 };
	int status = options_read(&o, argc, argv);

	if (status >= 0)
		return status;
	for (;;) {
		status = once(&o);
		if (!o.repeat || status > CLI_TROUBLE || fflush(stdout) != 0)
			break;
		usleep(o.interval_ms * 1000u);
		if (!o.json)
			putchar('\n');
	}
	return status;
}
