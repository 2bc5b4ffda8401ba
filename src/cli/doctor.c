/* SPDX-License-Identifier: MIT */
/*
 * couplet doctor: why two programs can't talk. What was asked for is told by its form: a URL, two
 * words HOST PORT, or HOST:PORT name a destination; all else names connections, as in every other
 * subcommand.
 */
#define _GNU_SOURCE
#include "cli/doctor.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/connections.h"

static const char help[] =
	"  -a, --all          every connection of this machine (the default)\n"
	"  -f, --for=SECONDS  how long to watch; else 1, or longer where that tells more\n"
	"  -v, --verbose      what limits each connection, too\n"
	"      --peer=ssh:HOST      ask that machine for its ends as well\n"
	"      --peer-cmd=COMMAND   the same through a command that leads there\n"
	"      --peer-couplet=PATH  what couplet is called there\n"
	"      --from=FILE    what couplet snap wrote, not this machine; once or twice\n"
	"      --json         as JSON\n"
	"Of a destination:\n"
	"  -4, -6             by IPv4 only, by IPv6 only\n"
	"      --timeout=SECONDS    how long to wait for the answer to a call; else 3\n"
	"      --probe-data   send \"HEAD /\" to any port; else only where HTTP or TLS\n"
	"                     is expected (http://, https://, ports 80, 8080, 443, 8443)\n"
	"      --environment=PID    look for proxies in the environment of that process\n"
	"\n"
	"HOST PORT, HOST:PORT, URL: the steps that lead there, to the first that fails.\n"
	"CONN: :443  curl  pid:812  10.0.0.1:5000-10.0.0.2:443  '#3' of netstat -aN\n"
	"Exit status: 0 no trouble, 1 trouble found, 3 could not look.\n";

enum {
	OPTION_JSON = 256,
	OPTION_PEER,
	OPTION_PEER_COMMAND,
	OPTION_PEER_COUPLET,
	OPTION_FROM,
	OPTION_TIMEOUT,
	OPTION_PROBE_DATA,
	OPTION_ENVIRONMENT,
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "for", required_argument, NULL, 'f' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "peer", required_argument, NULL, OPTION_PEER },
	{ "peer-cmd", required_argument, NULL, OPTION_PEER_COMMAND },
	{ "peer-couplet", required_argument, NULL, OPTION_PEER_COUPLET },
	{ "from", required_argument, NULL, OPTION_FROM },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "probe-data", no_argument, NULL, OPTION_PROBE_DATA },
	{ "environment", required_argument, NULL, OPTION_ENVIRONMENT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool seconds_read(const char *s, const char *what, uint64_t *ns)
{
	char *end;
	double seconds = strtod(s, &end);

	if (end == s || *end || !(seconds >= 0.1 && seconds <= 3600)) {
		cli_fail(CLI_USAGE, "\"%s\" is no time to %s: seconds, 0.1 to 3600", s, what);
		return false;
	}
	*ns = (uint64_t)(seconds * 1e9);
	return true;
}

/* An option about a destination; false after complaining, or if it is none. */
static bool option_of_destination(struct stairs_options *o, int c, char **argv)
{
	uint64_t ns;
	char *end;

	switch (c) {
	case '4':
	case '6':
		o->no_ip4 = c == '6';
		o->no_ip6 = c == '4';
		return true;
	case OPTION_TIMEOUT:
		if (!seconds_read(optarg, "wait", &ns))
			return false;
		o->patience_ms = (unsigned)(ns / 1000000);
		return true;
	case OPTION_PROBE_DATA:
		o->greeting = STAIRS_GREET_HTTP;
		return true;
	case OPTION_ENVIRONMENT:
		o->pid = (uint32_t)strtoul(optarg, &end, 10);
		if (!*end && o->pid)
			return true;
		cli_fail(CLI_USAGE, "\"%s\" is no process: --environment=PID", optarg);
		return false;
	}
	cli_bad_option(c, argv);
	return false;
}

/* -1: go on; else the exit status. */
static int options_read(struct doctor_options *o, bool *all, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":af:vh46", long_options, NULL)) >= 0) {
		switch (c) {
		case 'a':
			*all = true;
			break;
		case 'f':
			if (!seconds_read(optarg, "watch", &o->watch_ns))
				return CLI_USAGE;
			break;
		case 'v':
			o->verbose = true;
			break;
		case OPTION_JSON:
			o->json = true;
			break;
		case OPTION_PEER_COUPLET:
			o->peer_couplet = optarg;
			break;
		case OPTION_PEER:
		case OPTION_PEER_COMMAND:
			o->peer = optarg;
			o->peer_is_command = c == OPTION_PEER_COMMAND;
			break;
		case OPTION_FROM:
			if (o->files == DOCTOR_FILES)
				return cli_fail(CLI_USAGE, "--from is for one file or two");
			o->from[o->files++] = optarg;
			break;
		case 'h':
			return cli_help("doctor", help);
		default:
			if (!option_of_destination(&o->stairs, c, argv))
				return CLI_USAGE;
		}
	}
	if (o->peer && o->files)
		return cli_fail(CLI_USAGE, "--peer asks a machine and --from reads files: choose");
	return -1;
}

/* ---- What was asked for ---------------------------------------------------------------------- */

/* Words of the grammar for connections that may stand before a colon or a port. */
static bool is_keyword(const char *s, size_t n)
{
	static const char *const words[] = { "pid",   "uid",   "inode", "id",	  "program",
					     "state", "sport", "dport", "src",	  "dst",
					     "not",   "and",   "or",	"exclude" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strlen(words[i]) == n && strncasecmp(words[i], s, n) == 0)
			return true;
	return n == 1 && *s == '*';
}

/* Digits, or the name of a service. */
static bool is_port(const char *s)
{
	return *s && (strspn(s, "0123456789") == strlen(s) || getservbyname(s, "tcp"));
}

/* Whether the words name a destination; else they are for the grammar of connections. */
static bool is_destination(int argc, char **argv)
{
	const char *s = argv[0], *colon = strrchr(s, ':');

	if (argc == 2)
		return !is_keyword(s, strlen(s)) && !strpbrk(s, "=<>!()") &&
		       strcmp(s, "tcp") != 0 && is_port(argv[1]);
	if (argc != 1)
		return false;
	if (strstr(s, "://"))
		return true;
	if (!colon || colon == s || is_keyword(s, strcspn(s, ":")) || strpbrk(s, "=<>!()/#"))
		return false;
	/* An IPv6 address without brackets has colons of its own. */
	return is_port(colon + 1) && (*s == '[' || strchr(s, ':') == colon);
}

/* Complains about what is wrong with it. */
static int destination_read(struct doctor_destination *to, int argc, char **argv)
{
	struct stairs_target target;
	char error[STAIRS_ERROR];

	memset(to, 0, sizeof(*to));
	if (stairs_target_parse(&target, argv[0], argc == 2 ? argv[1] : NULL, error))
		return cli_fail(CLI_USAGE, "%s", error);
	memcpy(to->host, target.host, sizeof(to->host));
	memcpy(to->scheme, target.scheme, sizeof(to->scheme));
	to->port = target.port;
	return CLI_OK;
}

/* The connections to it, for the findings that follow the stairs; false: they have no address. */
static bool select_destination(struct select *select, const struct doctor_destination *to)
{
	struct select_error error;
	struct text t;
	bool ok;

	if (!to->addrs)
		return false;
	text_init(&t);
	for (unsigned i = 0; i < to->addrs; i++)
		text_printf(&t, "%sdst %s", i ? " or " : "",
			    word_endpoint(&to->addr[i], to->port).s);
	ok = !t.failed && t.data && select_parse(select, t.data, &error) == 0;
	text_free(&t);
	return ok;
}

/* Whether there is one, beside those that our own call has left. */
static bool any_connection(const struct select *select)
{
	struct source_options options = { .brief = true };
	struct snapshot_set set;
	bool any = false;

	snapshot_set_init(&set);
	source_collect(&set, &options);
	for (size_t i = 0; i < set.n && !any; i++)
		any = set.info[i].state != CPL_TIME_WAIT && select_match(select, &set.info[i], 0);
	snapshot_set_free(&set);
	return any;
}

/* The stairs, and if they hold, what is wrong with the connections that are there. */
static int diagnose_destination(struct view_diagnosis *d, const struct doctor_options *o, int argc,
				char **argv)
{
	struct doctor_destination to;
	struct select select;
	int status = destination_read(&to, argc, argv);

	if (status == CLI_OK)
		status = doctor_stairs(d, o, &to);
	if (status == CLI_OK && !view_diagnosis_trouble(d) && select_destination(&select, &to) &&
	    any_connection(&select))
		status = doctor_connections(d, o, &select);
	return status;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int show(const struct view_diagnosis *d, const struct doctor_options *o)
{
	struct text t;
	int err = 0;

	connections_text(&t);
	if (o->json)
		err = view_diagnosis_json(&t, d);
	else
		view_diagnosis_print(&t, d);
	err = connections_print(&t, err);
	return err == CLI_OK && view_diagnosis_trouble(d) ? CLI_TROUBLE : err;
}

/* "sudo couplet doctor ..." as it was called, for those who are not root. */
static void say_again(struct view_diagnosis *d, int argc, char **argv)
{
	size_t n;

	if (geteuid() == 0)
		return;
	n = (size_t)snprintf(d->again, sizeof(d->again), "sudo couplet doctor");
	for (int i = 1; i < argc && n < sizeof(d->again); i++)
		n += (size_t)snprintf(d->again + n, sizeof(d->again) - n,
				      strpbrk(argv[i], " '\"$#*!();<>&|") ? " '%s'" : " %s",
				      word_foreign(argv[i]).s);
}

static int diagnose(struct view_diagnosis *d, const struct doctor_options *o, int argc, char **argv)
{
	struct select select;
	size_t n = 0;

	if (!argc)
		return doctor_connections(d, o, NULL);
	if (!o->files && is_destination(argc, argv))
		return diagnose_destination(d, o, argc, argv);
	if (connections_parse(&select, argc, argv) != CLI_OK)
		return CLI_USAGE;
	for (int i = 0; i < argc && n < sizeof(d->what); i++)
		n += (size_t)snprintf(d->what + n, sizeof(d->what) - n, "%s%.120s", i ? " " : "",
				      word_foreign(argv[i]).s);
	return doctor_connections(d, o, &select);
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor_options o = { 0 };
	struct view_diagnosis d;
	bool all = false;
	int status = options_read(&o, &all, argc, argv);

	if (status >= 0)
		return status;
	if (all && optind < argc)
		return cli_fail(CLI_USAGE, "--all is for every connection; name one, or none");
	view_diagnosis_init(&d);
	if (!all && optind == argc)
		all = true;
	if (all)
		snprintf(d.what, sizeof(d.what), "every connection");
	status = diagnose(&d, &o, argc - optind, argv + optind);
	if (status == CLI_OK) {
		view_diagnosis_settle(&d);
		say_again(&d, argc, argv);
		status = show(&d, &o);
	}
	view_diagnosis_free(&d);
	return status;
}
