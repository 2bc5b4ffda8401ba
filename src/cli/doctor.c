/* SPDX-License-Identifier: MIT */
/*
 * couplet doctor: why two programs can't talk. What was asked for is told by its form: a URL, two
 * words HOST PORT, or HOST:PORT name a destination; all else names connections, as in every other
 * subcommand.
 */
#define _GNU_SOURCE
#include "cli/doctor.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <arpa/inet.h>
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
	"      --from=FILE    what couplet snap wrote, in place of this machine; once or twice\n"
	"      --json         as JSON\n"
	"\n"
	"HOST PORT, HOST:PORT or a URL: the steps that lead there, up to the first that fails.\n"
	"CONN: :443  curl  pid:812  10.0.0.1:5000-10.0.0.2:443  '#3' of couplet netstat -aN\n"
	"Exit status: 0 no trouble, 1 trouble found, 3 could not look.\n";

enum {
	OPTION_JSON = 256,
	OPTION_PEER,
	OPTION_PEER_COMMAND,
	OPTION_FROM,
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "for", required_argument, NULL, 'f' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "peer", required_argument, NULL, OPTION_PEER },
	{ "peer-cmd", required_argument, NULL, OPTION_PEER_COMMAND },
	{ "from", required_argument, NULL, OPTION_FROM },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool seconds_read(const char *s, uint64_t *ns)
{
	char *end;
	double seconds = strtod(s, &end);

	if (end == s || *end || !(seconds >= 0.1 && seconds <= 3600)) {
		cli_fail(CLI_USAGE, "\"%s\" is no time to watch: seconds, 0.1 to 3600", s);
		return false;
	}
	*ns = (uint64_t)(seconds * 1e9);
	return true;
}

/* -1: go on; else the exit status. */
static int options_read(struct doctor_options *o, bool *all, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+af:vh", long_options, NULL)) >= 0) {
		switch (c) {
		case 'a':
			*all = true;
			break;
		case 'f':
			if (!seconds_read(optarg, &o->watch_ns))
				return CLI_USAGE;
			break;
		case 'v':
			o->verbose = true;
			break;
		case OPTION_JSON:
			o->json = true;
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
			return connections_bad_option(argv);
		}
	}
	if (o->peer && o->files)
		return cli_fail(CLI_USAGE, "--peer asks a machine and --from reads files: choose");
	return -1;
}

/* ---- What was asked for ---------------------------------------------------------------------- */

static bool port_read(const char *s, uint16_t *port)
{
	const struct servent *service;
	unsigned long n;
	char *end;

	if (isdigit((unsigned char)*s)) {
		n = strtoul(s, &end, 10);
		*port = (uint16_t)n;
		return !*end && n >= 1 && n <= 65535;
	}
	service = *s ? getservbyname(s, "tcp") : NULL;
	if (service)
		*port = ntohs((uint16_t)service->s_port);
	return service;
}

static bool host_set(struct doctor_destination *to, const char *host, size_t n)
{
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (!n || n >= sizeof(to->host))
		return false;
	memcpy(to->host, host, n);
	to->host[n] = 0;
	return true;
}

/* HOST:PORT or [HOST]:PORT of N bytes. */
static bool endpoint_read(struct doctor_destination *to, const char *s, size_t n)
{
	char word[320];
	char *colon;

	if (n >= sizeof(word))
		return false;
	memcpy(word, s, n);
	word[n] = 0;
	colon = strrchr(word, ':');
	if (!colon || colon == word || !port_read(colon + 1, &to->port))
		return false;
	/* An IPv6 address without brackets has colons of its own. */
	if (word[0] != '[' && strchr(word, ':') != colon)
		return false;
	return host_set(to, word, (size_t)(colon - word));
}

/* scheme://[user@]host[:port][/...] */
static bool url_read(struct doctor_destination *to, const char *s)
{
	const char *host = strstr(s, "://"), *at;
	size_t n;

	if (!host || host == s || (size_t)(host - s) >= sizeof(to->scheme))
		return false;
	snprintf(to->scheme, sizeof(to->scheme), "%.*s", (int)(host - s), s);
	host += 3;
	n = strcspn(host, "/?#");
	at = memrchr(host, '@', n);
	if (at) {
		n -= (size_t)(at + 1 - host);
		host = at + 1;
	}
	if (endpoint_read(to, host, n))
		return true;
	return port_read(to->scheme, &to->port) && host_set(to, host, n);
}

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

/* True if the words name a destination; else they are for the grammar of connections. */
static bool destination_read(struct doctor_destination *to, int argc, char **argv)
{
	const char *s = argv[0];

	memset(to, 0, sizeof(*to));
	if (argc == 2 && !is_keyword(s, strlen(s)) && !strpbrk(s, "=<>!()") &&
	    strcmp(s, "tcp") != 0 && port_read(argv[1], &to->port))
		return host_set(to, s, strlen(s));
	if (argc != 1)
		return false;
	if (strstr(s, "://"))
		return url_read(to, s);
	return !is_keyword(s, strcspn(s, ":")) && !strpbrk(s, "=<>!()/#") &&
	       endpoint_read(to, s, strlen(s));
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

/* ---- The command ----------------------------------------------------------------------------- */

static int show(const struct view_diagnosis *d, const struct doctor_options *o)
{
	struct text t;
	int err = 0;

	text_init(&t);
	t.colour = cli_colour(stdout);
	t.ascii = !cli_utf8();
	t.width = (unsigned)cli_width(stdout);
	if (o->json)
		err = view_diagnosis_json(&t, d);
	else
		view_diagnosis_print(&t, d);
	if (!err)
		err = text_flush(&t, stdout);
	text_free(&t);
	if (err == -ENOSYS)
		return cli_fail(CLI_CANNOT, "couplet was built without JSON; install "
					    "libjansson-dev and build again");
	if (err == -ENOMEM)
		return cli_fail(CLI_CANNOT, "out of memory");
	return view_diagnosis_trouble(d) ? CLI_TROUBLE : CLI_OK;
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
	struct doctor_destination to;
	struct select select;
	int status;

	if (!argc)
		return doctor_connections(d, o, NULL);
	if (!o->files && destination_read(&to, argc, argv)) {
		snprintf(d->what, sizeof(d->what), "%.150s port %u", word_foreign(to.host).s,
			 to.port);
		status = doctor_stairs(d, o, &to);
		if (status == CLI_OK && select_destination(&select, &to))
			status = doctor_connections(d, o, &select);
		return status;
	}
	if (connections_parse(&select, argc, argv) != CLI_OK)
		return CLI_USAGE;
	snprintf(d->what, sizeof(d->what), "%.120s", word_foreign(argv[0]).s);
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
