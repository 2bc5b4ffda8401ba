/* SPDX-License-Identifier: MIT */
/*
 * couplet netstat: the connections of this machine, the kernel's and those of Couplet's stacks, as
 * the classic table.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/connections.h"
#include "source/names.h"
#include "view/netstat.h"

#define TCP 6
#define UDP 17

static const char help[] =
	"  -a, --all          listening sockets too (also when a FILTER is given)\n"
	"  -l, --listening    listening sockets only\n"
	"  -t, --tcp          TCP only (with -u: both, as without either)\n"
	"  -u, --udp          UDP only\n"
	"  -4, --ipv4         IPv4 only\n"
	"  -6, --ipv6         IPv6 only\n"
	"  -n, --numeric      numbers, no names of hosts and services\n"
	"  -p, --program      pid and program that hold each socket\n"
	"  -N, --number       number the rows: \"couplet show '#3'\" opens one\n"
	"      --source       whose connection it is: the kernel's or a Couplet stack's\n"
	"  -c, --continuous[=SECONDS]   again and again\n"
	"      --json         every field as JSON\n"
	"\n"
	"FILTER: :443  curl  pid:812  10.0.0.1:443  10.0.0.1:5000-10.0.0.2:443  #3\n"
	"        state established  'dport = :443 and not dst 10.0.0.0/8'  'send_queue > 0'\n";

struct netstat {
	bool all, listening, tcp, udp, only4, only6;
	bool numeric, program, number, source, json;
	bool repeat;
	unsigned interval_ms;
	struct select select;
	bool filtered;
	struct names *names;
};

enum {
	OPTION_SOURCE = 256,
	OPTION_JSON
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "listening", no_argument, NULL, 'l' },
	{ "tcp", no_argument, NULL, 't' },
	{ "udp", no_argument, NULL, 'u' },
	{ "ipv4", no_argument, NULL, '4' },
	{ "ipv6", no_argument, NULL, '6' },
	{ "numeric", no_argument, NULL, 'n' },
	{ "program", no_argument, NULL, 'p' },
	{ "programs", no_argument, NULL, 'p' },
	{ "number", no_argument, NULL, 'N' },
	{ "source", no_argument, NULL, OPTION_SOURCE },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "continuous", optional_argument, NULL, 'c' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* What another netstat shows with this option, or NULL. */
static const char *elsewhere(int option)
{
	switch (option) {
	case 'r':
		return "routes are not shown here; \"ip route\" does";
	case 'i':
		return "interfaces are not shown here; \"ip -s link\" does";
	case 's':
		return "statistics of protocols are not shown here; \"nstat\" does";
	case 'g':
		return "multicast groups are not shown here; \"ip maddress\" does";
	}
	return NULL;
}

/* -1: go on; else the exit status. */
static int options_read(struct netstat *n, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "+altu46npNc::h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'a':
			n->all = true;
			break;
		case 'l':
			n->listening = true;
			break;
		case 't':
			n->tcp = true;
			break;
		case 'u':
			n->udp = true;
			break;
		case '4':
			n->only4 = true;
			break;
		case '6':
			n->only6 = true;
			break;
		case 'n':
			n->numeric = true;
			break;
		case 'p':
			n->program = true;
			break;
		case 'N':
			n->number = true;
			break;
		case OPTION_SOURCE:
			n->source = true;
			break;
		case OPTION_JSON:
			n->json = true;
			break;
		case 'c':
			n->repeat = true;
			if (!connections_interval(optarg, &n->interval_ms))
				return CLI_USAGE;
			break;
		case 'h':
			return cli_help("netstat", help);
		default:
			if (elsewhere(optopt))
				return cli_fail(CLI_USAGE, "%s", elsewhere(optopt));
			return connections_bad_option(argv);
		}
	}
	n->filtered = optind < argc;
	if (connections_parse(&n->select, argc - optind, argv + optind) != CLI_OK)
		return CLI_USAGE;
	return -1;
}

/* What must be collected: all, when rows are numbered, else no more than is shown. */
static struct source_options options_collect(const struct netstat *n)
{
	struct source_options o = connections_everything(&n->select);

	o.owners = n->program || n->json || select_needs_owners(&n->select);
	o.brief = !n->json && !select_needs_details(&n->select);
	if (n->number || select_needs_rows(&n->select))
		return o;
	o.no_tcp = n->udp && !n->tcp;
	o.udp = n->udp || !n->tcp;
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

static bool is_shown(const struct netstat *n, const struct cpl_info *info)
{
	bool udp = info->protocol == UDP;
	bool listening = udp ? info->remote_port == 0 : info->state == CPL_LISTEN;

	if (udp ? n->tcp && !n->udp : n->udp && !n->tcp)
		return false;
	if (n->only4 != n->only6 && info->family != (n->only4 ? 4 : 6))
		return false;
	if (n->listening)
		return listening;
	return n->all || n->filtered || !listening;
}

static size_t keep_shown(const struct netstat *n, struct snapshot_set *set, size_t *numbers)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++) {
		if (!is_shown(n, &set->info[i]))
			continue;
		set->info[kept] = set->info[i];
		numbers[kept++] = numbers[i];
	}
	return set->n = kept;
}

/* "host:service" as far as both have names; NULL: the numbers do. */
static char *named(struct names *names, const struct cpl_info *info, bool local)
{
	const struct cpl_addr *addr = local ? &info->local_addr : &info->remote_addr;
	uint16_t port = local ? info->local_port : info->remote_port;
	const char *host = names_host(names, addr, info->ifindex);
	const char *service = names_service(names, port, info->protocol);
	struct view_word number;
	char *s, digits[8];
	size_t size;

	if (!host && !service)
		return NULL;
	number = word_endpoint(addr, 0);
	number.s[strlen(number.s) - 2] = 0; /* ":*" */
	snprintf(digits, sizeof(digits), port ? "%u" : "*", port);
	if (!host)
		host = number.s;
	if (!service)
		service = digits;
	size = strlen(host) + strlen(service) + 2;
	s = malloc(size);
	if (s)
		snprintf(s, size, "%s:%s", host, service);
	return s;
}

static void look_up(struct names *names, const struct snapshot_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		names_want(names, &set->info[i].local_addr, set->info[i].ifindex);
		names_want(names, &set->info[i].remote_addr, set->info[i].ifindex);
	}
	names_wait(names, NAMES_WAIT_MS);
}

static int print_table(struct netstat *n, const struct snapshot_set *set, const size_t *numbers)
{
	struct view_row *rows = calloc(set->n + 1, sizeof(*rows));
	unsigned flags = (n->number ? VIEW_NETSTAT_NUMBER : 0) |
			 (n->program ? VIEW_NETSTAT_PROGRAM : 0) |
			 (n->source ? VIEW_NETSTAT_SOURCE : 0);
	struct text t;
	int err;

	if (!rows)
		return cli_fail(CLI_CANNOT, "out of memory");
	if (n->names)
		look_up(n->names, set);
	for (size_t i = 0; i < set->n; i++) {
		rows[i].info = &set->info[i];
		rows[i].number = numbers[i];
		if (set->info[i].source == CPL_SOURCE_STACK)
			flags |= VIEW_NETSTAT_SOURCE;
		if (!n->names)
			continue;
		rows[i].local = named(n->names, &set->info[i], true);
		rows[i].foreign = named(n->names, &set->info[i], false);
	}
	text_init(&t);
	t.colour = cli_colour(stdout);
	t.width = (unsigned)cli_width(stdout);
	view_netstat(&t, rows, set->n, flags);
	err = text_flush(&t, stdout);
	text_free(&t);
	for (size_t i = 0; i < set->n; i++) {
		free((char *)rows[i].local);
		free((char *)rows[i].foreign);
	}
	free(rows);
	return err == -ENOMEM ? cli_fail(CLI_CANNOT, "out of memory") : CLI_OK;
}

static int once(struct netstat *n, struct snapshot_set *set)
{
	struct source_options options = options_collect(n);
	size_t *numbers = NULL;
	int status;

	snapshot_set_clear(set);
	status = connections_collect(set, &options);
	if (n->program || select_needs_owners(&n->select))
		connections_notes(&set->notes, true);
	if (status == CLI_OK)
		status = connections_select(set, &n->select, &numbers);
	if (status == CLI_OK) {
		keep_shown(n, set, numbers);
		status = n->json ? connections_json(set) : print_table(n, set, numbers);
	}
	free(numbers);
	return status;
}

int cmd_netstat(int argc, char **argv)
{
	struct netstat n = { 0 };
	struct snapshot_set set;
	int status = options_read(&n, argc, argv);

	if (status >= 0)
		return status;
	if (!n.numeric && !n.json)
		n.names = names_new(NULL, NULL);
	snapshot_set_init(&set);
	for (;;) {
		status = once(&n, &set);
		if (!n.repeat || status != CLI_OK || fflush(stdout) != 0)
			break;
		usleep(n.interval_ms * 1000u);
		if (!n.json)
			putchar('\n');
	}
	snapshot_set_free(&set);
	names_free(n.names);
	return status;
}
