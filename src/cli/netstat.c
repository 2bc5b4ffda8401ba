/* SPDX-License-Identifier: MIT */
/*
 * couplet netstat: the connections of this machine, the kernel's and those of Couplet's stacks, as
 * the classic table. Here are the options; netstat_table.c makes the table, netstat_watch.c what
 * changes in it, netstat_sockets.c the descriptors and sockets behind it.
 */
#include "cli/netstat.h"

#include <ctype.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UDP 17

static const char help[] =
	"  -a, --all          listening sockets too (also when a FILTER is given)\n"
	"  -l, --listening    listening sockets only\n"
	"  -t, --tcp  -u, --udp  -x, --unix   only these, together or alone\n"
	"  -4, --ipv4  -6, --ipv6  -f FAMILY  only this family: inet, inet6, unix\n"
	"  -n, --numeric      numbers, no names of hosts, services and users\n"
	"  -p, --program      pid and program that hold each socket\n"
	"  -e, --extend       user and inode\n"
	"  -o, --timers       the timer that runs, and how often it fired in vain\n"
	"  -A, --namespaces   those of every network namespace, as far as we may\n"
	"  -N, --number       number the rows: \"couplet show '#3'\" opens one\n"
	"      --explain      below each row what it means: the queues, what is awaited\n"
	"      --sockets      descriptor, socket, connection of each process\n"
	"      --dress DRESS  columns and words of linux, bsd, or couplet's own\n"
	"      --source       whose connection it is: the kernel's or a Couplet stack's\n"
	"  -c, --continuous[=SECONDS]   again and again\n"
	"      --watch[=SECONDS]        in place, with what changed; on a pipe that alone\n"
	"      --json         every field as JSON\n"
	"\n"
	"FILTER: :443  curl  pid:812  10.0.0.1:443  10.0.0.1:5000-10.0.0.2:443  #3\n"
	"        state established  'dport = :443 and not dst 10/8'  'send_queue > 0'\n"
	"        /run/*  'src @name'   (UNIX sockets)\n";

enum {
	OPTION_SOURCE = 256,
	OPTION_JSON,
	OPTION_EXPLAIN,
	OPTION_SOCKETS,
	OPTION_DRESS,
	OPTION_WATCH,
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "listening", no_argument, NULL, 'l' },
	{ "tcp", no_argument, NULL, 't' },
	{ "udp", no_argument, NULL, 'u' },
	{ "unix", no_argument, NULL, 'x' },
	{ "ipv4", no_argument, NULL, '4' },
	{ "inet", no_argument, NULL, '4' },
	{ "ipv6", no_argument, NULL, '6' },
	{ "inet6", no_argument, NULL, '6' },
	{ "family", required_argument, NULL, 'f' },
	{ "numeric", no_argument, NULL, 'n' },
	{ "numeric-hosts", no_argument, NULL, 'n' },
	{ "numeric-ports", no_argument, NULL, 'n' },
	{ "numeric-users", no_argument, NULL, 'n' },
	{ "program", no_argument, NULL, 'p' },
	{ "programs", no_argument, NULL, 'p' },
	{ "processes", no_argument, NULL, 'p' },
	{ "extend", no_argument, NULL, 'e' },
	{ "timers", no_argument, NULL, 'o' },
	{ "options", no_argument, NULL, 'o' },
	{ "wide", no_argument, NULL, 'W' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "namespaces", no_argument, NULL, 'A' },
	{ "number", no_argument, NULL, 'N' },
	{ "explain", no_argument, NULL, OPTION_EXPLAIN },
	{ "sockets", no_argument, NULL, OPTION_SOCKETS },
	{ "dress", required_argument, NULL, OPTION_DRESS },
	{ "source", no_argument, NULL, OPTION_SOURCE },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "continuous", optional_argument, NULL, 'c' },
	{ "watch", optional_argument, NULL, OPTION_WATCH },
	{ "route", no_argument, NULL, 'r' },
	{ "interfaces", no_argument, NULL, 'i' },
	{ "statistics", no_argument, NULL, 's' },
	{ "groups", no_argument, NULL, 'g' },
	{ "masquerade", no_argument, NULL, 'M' },
	{ "raw", no_argument, NULL, 'w' },
	{ "sctp", no_argument, NULL, 'S' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* What another netstat, or ss, shows with this option, or NULL. */
static const char *elsewhere(int option)
{
	switch (option) {
	case 'r':
		return "routes are not shown here; \"ip route\" does";
	case 'i':
	case 'I':
		return "interfaces are not shown here; \"ip -s link\" does";
	case 's':
		return "statistics of protocols are not shown here; \"nstat\" does";
	case 'g':
		return "multicast groups are not shown here; \"ip maddress\" does";
	case 'M':
		return "masqueraded connections are not shown here; \"conntrack -L\" does";
	case 'w':
		return "raw sockets are not shown here; \"ss -w\" does";
	case 'S':
		return "SCTP is not shown here; \"ss -S\" does";
	case 'C':
		return "the route cache is not shown here; \"ip route show cache\" does";
	case 'm':
		return "memory is not shown here; \"couplet show CONN\" does, and \"ss -m\"";
	case 'Z':
		return "security contexts are not shown here; \"ss -Z\" does";
	case 'b':
		return "the program of each socket is shown by -p";
	case 'L':
		return "the accept queues of listeners are Recv-Q and Send-Q of -l";
	}
	return NULL;
}

static int option_family(struct netstat *n, const char *family)
{
	if (strcmp(family, "inet") == 0)
		n->only4 = true;
	else if (strcmp(family, "inet6") == 0)
		n->only6 = true;
	else if (strcmp(family, "unix") == 0 || strcmp(family, "local") == 0)
		n->unix_sockets = true;
	else
		return cli_fail(CLI_USAGE,
				"there is no family \"%s\" here: inet, inet6 and unix are shown",
				word_foreign(family).s);
	return -1;
}

static int option_dress(struct netstat *n, const char *dress)
{
	if (strcmp(dress, "linux") == 0)
		n->dress = VIEW_NETSTAT_LINUX;
	else if (strcmp(dress, "bsd") == 0 || strcmp(dress, "macos") == 0)
		n->dress = VIEW_NETSTAT_BSD;
	else if (strcmp(dress, "couplet") == 0)
		n->dress = 0;
	else
		return cli_fail(CLI_USAGE, "there is no dress \"%s\": linux, bsd or couplet",
				word_foreign(dress).s);
	return -1;
}

static int option_apply(struct netstat *n, int c, char **argv);

/*
 * "-ct" is two options, "-c2" one with a number: letters behind c were no interval to anybody yet.
 */
static int option_continuous(struct netstat *n, char **argv)
{
	const char *s = optarg;

	n->repeat = true;
	if (s && isalpha((unsigned char)*s) && argv[optind - 1][1] != '-') {
		for (; *s; s++) {
			int status;

			optopt = *s;
			if (*s == 'c' || *s == 'f' || !strchr("altux46npeoANWv", *s))
				status = option_apply(n, '?', argv);
			else
				status = option_apply(n, *s, argv);
			if (status >= 0)
				return status;
		}
		return -1;
	}
	return connections_interval(s, &n->interval_ms) ? -1 : CLI_USAGE;
}

/* Options without a value are flags; NULL: it is none of these. */
static bool *option_flag(struct netstat *n, int c)
{
	switch (c) {
	case 'a':
		return &n->all;
	case 'l':
		return &n->listening;
	case 't':
		return &n->tcp;
	case 'u':
		return &n->udp;
	case 'x':
		return &n->unix_sockets;
	case '4':
		return &n->only4;
	case '6':
		return &n->only6;
	case 'n':
		return &n->numeric;
	case 'p':
		return &n->program;
	case 'e':
		return &n->extend;
	case 'o':
		return &n->timer;
	case 'A':
		return &n->namespaces;
	case 'N':
		return &n->number;
	case OPTION_SOURCE:
		return &n->source;
	case OPTION_JSON:
		return &n->json;
	case OPTION_EXPLAIN:
		return &n->explain;
	case OPTION_SOCKETS:
		return &n->sockets;
	}
	return NULL;
}

/* -1: go on; else the exit status. */
static int option_apply(struct netstat *n, int c, char **argv)
{
	bool *flag = option_flag(n, c);

	if (flag) {
		*flag = true;
		return -1;
	}
	switch (c) {
	case 'f':
		return option_family(n, optarg);
	case OPTION_DRESS:
		return option_dress(n, optarg);
	case 'W': /* no name is cut anyway */
	case 'v':
		return -1;
	case 'c':
		return option_continuous(n, argv);
	case OPTION_WATCH:
		n->watch = true;
		return connections_interval(optarg, &n->interval_ms) ? -1 : CLI_USAGE;
	case 'h':
		return cli_help("netstat", help);
	default:
		if (elsewhere(c == '?' ? optopt : c))
			return cli_fail(CLI_USAGE, "%s", elsewhere(c == '?' ? optopt : c));
		return cli_bad_option(c, argv);
	}
}

/* -1: go on; else the exit status. */
static int options_check(struct netstat *n)
{
	if (n->watch && (n->json || n->sockets || n->repeat))
		return cli_fail(CLI_USAGE, "--watch goes neither with --json nor with --sockets "
					   "nor with -c");
	if (n->sockets && (n->json || n->explain))
		return cli_fail(CLI_USAGE,
				"--sockets is a picture of its own: not with --json or --explain");
	return -1;
}

static int options_read(struct netstat *n, int argc, char **argv)
{
	int c, status, last = argc;

	n->interval_ms = 1000;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":altux46npeoANWvf:c::h", long_options, NULL)) >= 0) {
		status = option_apply(n, c, argv);
		if (status >= 0)
			return status;
	}
	/* "-c 5", as net-tools have it: a number alone is no filter. */
	if ((n->repeat || n->watch) && optind < argc &&
	    !argv[argc - 1][strspn(argv[argc - 1], "0123456789.")] && isdigit(*argv[argc - 1])) {
		last = argc - 1;
		if (!connections_interval(argv[last], &n->interval_ms))
			return CLI_USAGE;
	}
	n->filtered = optind < last;
	if (connections_parse(&n->select, last - optind, argv + optind) != CLI_OK)
		return CLI_USAGE;
	return options_check(n);
}

/* ---- What is collected and shown ------------------------------------------------------------- */

/* net-tools and the BSDs show UNIX sockets unless told otherwise, and so do their dresses. */
static bool wants_unix(const struct netstat *n)
{
	return n->unix_sockets || select_names_unix(&n->select) ||
	       (n->dress && !n->tcp && !n->udp && !n->only4 && !n->only6 && !n->filtered);
}

static bool wants_tcp(const struct netstat *n)
{
	return n->tcp || (!n->udp && !n->unix_sockets && !select_names_unix(&n->select));
}

static bool wants_udp(const struct netstat *n)
{
	return n->udp || (!n->tcp && !n->unix_sockets && !select_names_unix(&n->select));
}

unsigned netstat_flags(const struct netstat *n)
{
	return (n->number ? VIEW_NETSTAT_NUMBER : 0) | (n->program ? VIEW_NETSTAT_PROGRAM : 0) |
	       (n->source ? VIEW_NETSTAT_SOURCE : 0) | (n->extend ? VIEW_NETSTAT_EXTEND : 0) |
	       (n->timer ? VIEW_NETSTAT_TIMER : 0) | (n->namespaces ? VIEW_NETSTAT_NAMESPACE : 0) |
	       (n->explain ? VIEW_NETSTAT_EXPLAIN : 0) | n->dress;
}

/* All, when rows are numbered or explained, else no more than is shown. */
struct source_options netstat_options(const struct netstat *n)
{
	struct source_options o = connections_everything(&n->select);

	o.owners = n->program || n->json || n->explain || select_needs_owners(&n->select);
	o.brief = !n->json && !n->explain && !select_needs_details(&n->select);
	o.unix_sockets = wants_unix(n);
	o.namespaces = n->namespaces;
	/* No row shows what only BPF tells, and loading that takes longer than the table. */
	if (!n->json && !n->namespaces && !select_needs_block(&n->select))
		o.sources = SOURCE_STACKS | SOURCE_SOCK_DIAG;
	if (n->number || n->explain || select_needs_rows(&n->select))
		return o;
	o.no_tcp = !wants_tcp(n);
	o.udp = wants_udp(n);
	o.no_ip4 = n->only6 && !n->only4;
	o.no_ip6 = n->only4 && !n->only6;
	o.states = select_states(&n->select);
	if (n->listening)
		o.states &= SOURCE_STATE(CPL_LISTEN);
	else if (!n->all && !n->filtered)
		o.states &= ~SOURCE_STATE(CPL_LISTEN);
	if (!o.states) {
		/* 0 would mean all: no TCP then. */
		o.states = SOURCE_STATE(CPL_CLOSED);
		o.no_tcp = true;
	}
	return o;
}

bool netstat_shows(const struct netstat *n, const struct cpl_info *info, size_t number)
{
	bool udp = info->protocol == UDP;
	bool listening = udp ? info->remote_port == 0 : info->state == CPL_LISTEN;

	if (!select_match(&n->select, info, number))
		return false;
	if (info->family == 1) {
		if (!wants_unix(n))
			return false;
	} else {
		if (udp ? !wants_udp(n) : !wants_tcp(n))
			return false;
		if (n->only4 != n->only6 && info->family != (n->only4 ? 4 : 6))
			return false;
	}
	if (n->listening)
		return listening;
	return n->all || n->filtered || !listening;
}

/* The chosen ones of SET as JSON; the others are forgotten. */
static int print_json(const struct netstat *n, struct snapshot_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++) {
		if (!netstat_shows(n, &set->info[i], i + 1))
			continue;
		if (kept != i)
			set->info[kept] = set->info[i];
		kept++;
	}
	set->n = kept;
	return connections_json(set);
}

static int print_table(struct netstat *n, const struct snapshot_set *set)
{
	struct netstat_rows rows;
	struct text t;
	int status = netstat_rows_make(n, set, &rows);

	if (status == CLI_OK) {
		text_init(&t);
		t.colour = cli_colour(stdout);
		t.width = (unsigned)cli_width(stdout);
		netstat_tables(n, &t, &rows, netstat_flags(n));
		if (text_flush(&t, stdout) < 0 && t.failed)
			status = cli_fail(CLI_CANNOT, "out of memory");
		text_free(&t);
	}
	netstat_rows_free(&rows);
	return status;
}

static int once(struct netstat *n, struct snapshot_set *set)
{
	struct source_options options = netstat_options(n);
	int status;

	snapshot_set_clear(set);
	status = connections_collect(set, &options);
	if (n->program || n->explain || n->namespaces || select_needs_owners(&n->select))
		connections_notes(&set->notes, true);
	if (status != CLI_OK)
		return status;
	return n->json ? print_json(n, set) : print_table(n, set);
}

static int again_and_again(struct netstat *n)
{
	struct snapshot_set set;
	int status;

	snapshot_set_init(&set);
	for (;;) {
		status = once(n, &set);
		if (!n->repeat || status != CLI_OK || fflush(stdout) != 0)
			break;
		usleep(n->interval_ms * 1000u);
		if (!n->json)
			putchar('\n');
	}
	snapshot_set_free(&set);
	return status;
}

int cmd_netstat(int argc, char **argv)
{
	struct netstat n = { 0 };
	int status = options_read(&n, argc, argv);

	if (status >= 0)
		return status;
	if (!n.numeric && !n.json)
		n.names = names_new(NULL, NULL);
	if (n.watch)
		status = netstat_watch(&n);
	else
		status = n.sockets ? netstat_sockets(&n) : again_and_again(&n);
	names_free(n.names);
	return status;
}
