/* SPDX-License-Identifier: MIT */
/* couplet pair: both ends of a connection side by side, and whether they agree. */
#include "cli/pair.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
	"  -a, --all          every connection (that FILTER selects), one line each\n"
	"  -v, --verbose      every check and every field; with --all: remote ones too\n"
	"  -c, --continuous[=SECONDS]   again and again\n"
	"      --json         as JSON\n"
	"      --peer ssh:HOST          look at HOST as well\n"
	"      --peer-cmd COMMAND       the same, by COMMAND: 'docker exec -i web'\n"
	"      --peer-couplet PATH      what couplet is called there\n"
	"      --peer-timeout SECONDS   wait no longer for an answer (20)\n"
	"      --store FILE|URL   what hosts recorded (couplet record), joined\n"
	"      --at TIME      with --store, then: -5m, \"2026-11-22 18:30\", @SECONDS\n"
	"\n"
	"CONN: :443  curl  pid:812  10.0.0.1:5000-10.0.0.2:443  or any FILTER of couplet\n"
	"      netstat; '#3' is the third row of couplet netstat -aN.\n"
	"\n"
	"FILE: one or two of couplet snap, instead of this machine: couplet pair A.json\n"
	"      B.json\n"
	"\n"
	"Both ends are seen on one machine, in whatever namespace, in the kernel and in\n"
	"Couplet's stacks; on two with --peer or two files.\n"
	"Exit status: 0 nothing disagrees, 1 some do for good, or nothing gets through.\n";

enum {
	OPTION_JSON = 256,
	OPTION_PEER,
	OPTION_PEER_CMD,
	OPTION_PEER_COUPLET,
	OPTION_PEER_TIMEOUT,
	OPTION_STORE,
	OPTION_AT,
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "continuous", optional_argument, NULL, 'c' },
	{ "watch", optional_argument, NULL, 'c' },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "peer", required_argument, NULL, OPTION_PEER },
	{ "peer-cmd", required_argument, NULL, OPTION_PEER_CMD },
	{ "peer-couplet", required_argument, NULL, OPTION_PEER_COUPLET },
	{ "peer-timeout", required_argument, NULL, OPTION_PEER_TIMEOUT },
	{ "store", required_argument, NULL, OPTION_STORE },
	{ "at", required_argument, NULL, OPTION_AT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* A snapshot file, not a connection: ends in .json, or is a path. */
static bool is_file(const char *s)
{
	const char *dot = strrchr(s, '.');
	struct stat st;

	if (dot && strcmp(dot, ".json") == 0)
		return true;
	return strchr(s, '/') && stat(s, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* -1: go on; else the exit status. */
static int options_read(struct pair_options *o, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":avc::h", long_options, NULL)) >= 0) {
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
		case OPTION_STORE:
			o->store = optarg;
			break;
		case OPTION_AT:
			o->at = optarg;
			break;
		case 'c':
			o->repeat = true;
			if (!connections_interval(optarg, &o->interval_ms))
				return CLI_USAGE;
			break;
		case OPTION_PEER:
			o->peer = optarg;
			break;
		case OPTION_PEER_CMD:
			o->peer_command = optarg;
			break;
		case OPTION_PEER_COUPLET:
			o->peer_couplet = optarg;
			break;
		case OPTION_PEER_TIMEOUT:
			if (!connections_interval(optarg, &o->peer_timeout_ms))
				return CLI_USAGE;
			break;
		case 'h':
			return cli_help("pair", help);
		default:
			return cli_bad_option(c, argv);
		}
	}
	while (optind < argc && o->files < VIEW_HOSTS && is_file(argv[optind]))
		o->file[o->files++] = argv[optind++];
	if (o->files && (o->peer || o->peer_command))
		return cli_fail(CLI_USAGE, "either files or a peer");
	if (o->peer && o->peer_command)
		return cli_fail(CLI_USAGE, "either --peer or --peer-cmd");
	if (o->store && (o->files || o->peer || o->peer_command))
		return cli_fail(CLI_USAGE, "--store takes neither files nor a peer");
	if (o->at && !o->store)
		return cli_fail(CLI_USAGE, "--at goes with --store");
	if ((o->files || o->store) && optind == argc)
		o->all = true;
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
		status = o.store ? pair_store(&o) : once(&o);
		if (!o.repeat || status > CLI_TROUBLE || fflush(stdout) != 0)
			break;
		usleep(o.interval_ms * 1000u);
		if (!o.json)
			putchar('\n');
	}
	return status;
}
