/* SPDX-License-Identifier: MIT */
/* couplet show: one connection's control block, every field with its unit and meaning. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/connections.h"
#include "view/limits.h"
#include "view/line.h"
#include "view/netstat.h"
#include "view/tcb.h"

/* More rows than this of a list that nobody asked for are only counted. */
#define LISTED 20

static const char help[] =
	"  -v, --verbose      unknown fields too\n"
	"  -a, --all          if several match, show them all\n"
	"  -c, --continuous[=SECONDS]   then what changes, again and again\n"
	"      --json         as JSON\n"
	"\n"
	"CONN: :443  curl  pid:812  10.0.0.1:443  10.0.0.1:5000-10.0.0.2:443  '#3'\n"
	"      or any FILTER of couplet netstat. '#3' is the third row of couplet\n"
	"      netstat -aN; of both ends, the one named first is shown if both are on\n"
	"      this machine.\n";

struct show {
	bool verbose, all, json, repeat;
	unsigned interval_ms;
	struct select select;
};

enum {
	OPTION_JSON = 256
};

static const struct option long_options[] = {
	{ "verbose", no_argument, NULL, 'v' },
	{ "all", no_argument, NULL, 'a' },
	{ "continuous", optional_argument, NULL, 'c' },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* -1: go on; else the exit status. */
static int options_read(struct show *s, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":vac::h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'v':
			s->verbose = true;
			break;
		case 'a':
			s->all = true;
			break;
		case OPTION_JSON:
			s->json = true;
			break;
		case 'c':
			s->repeat = true;
			if (!connections_interval(optarg, &s->interval_ms))
				return CLI_USAGE;
			break;
		case 'h':
			return cli_help("show", help);
		default:
			return cli_bad_option(c, argv);
		}
	}
	if (optind == argc)
		return cli_fail(CLI_USAGE, "which connection? :443, pid:812, a program's name, "
					   "'#3' of couplet netstat -aN");
	if (connections_parse(&s->select, argc - optind, argv + optind) != CLI_OK)
		return CLI_USAGE;
	return -1;
}

static void text_for(struct text *t, FILE *file)
{
	text_init(t);
	t->colour = cli_colour(file);
	t->width = (unsigned)cli_width(file);
}

static int text_end(struct text *t, FILE *file)
{
	int err = text_flush(t, file);

	text_free(t);
	return err == -ENOMEM ? cli_fail(CLI_CANNOT, "out of memory") : CLI_OK;
}

/* Rows of SET: those at AT, or the first N. NUMBERS may be NULL: row I has number I + 1. */
static void list(FILE *file, const struct snapshot_set *set, const size_t *at, size_t n,
		 const size_t *numbers)
{
	struct view_row rows[LISTED];
	struct text t;
	size_t shown = n < LISTED ? n : LISTED;

	memset(rows, 0, sizeof(rows));
	for (size_t i = 0; i < shown; i++) {
		size_t row = at ? at[i] : i;

		rows[i].info = &set->info[row];
		rows[i].number = numbers ? numbers[row] : row + 1;
	}
	text_for(&t, file);
	if (shown && rows[0].info->family == 1)
		view_netstat_unix(&t, rows, shown, VIEW_NETSTAT_NUMBER | VIEW_NETSTAT_PROGRAM);
	else
		view_netstat(&t, rows, shown, VIEW_NETSTAT_NUMBER | VIEW_NETSTAT_PROGRAM);
	if (n > shown)
		text_printf(&t, "... and %zu more\n", n - shown);
	text_end(&t, file);
}

static char *joined(int argc, char **argv)
{
	struct text t;

	text_init(&t);
	for (int i = 0; i < argc; i++) {
		text_puts(&t, i ? " " : "");
		text_foreign(&t, argv[i]);
	}
	return t.data;
}

static int not_found(const struct snapshot_set *set, const char *name)
{
	size_t near[3];
	size_t n = select_nearest(name, set->info, set->n, near, 3);

	connections_notes(&set->notes, true);
	cli_fail(CLI_TROUBLE,
		 n ? "no connection is called \"%s\"; the nearest:"
		   : "no connection is called \"%s\"; \"couplet netstat -aN\" lists all",
		 name);
	if (n)
		list(stderr, set, near, n, NULL);
	return CLI_TROUBLE;
}

/* Of both ends of one connection, the one that stands first in CONN. */
static void keep_first_end(const struct select *select, struct snapshot_set *set, size_t *numbers)
{
	size_t found = 0, n = 0;

	for (size_t i = 0; i < set->n; i++) {
		if (select_first_end(select, &set->info[i])) {
			found = i;
			n++;
		}
	}
	if (n != 1)
		return;
	set->info[0] = set->info[found];
	numbers[0] = numbers[found];
	set->n = 1;
}

/* "tcp 10.0.0.1:5000 - 10.0.0.2:443, ESTABLISHED, of curl (pid 812, descriptor 3)" */
static void title(struct text *t, const struct cpl_info *i)
{
	if (i->family == 1) {
		text_printf(t, "unix %s",
			    cpl_info_known(i, CPL_F_path) ? view_field_word(i, CPL_F_path, 0).s
							  : "without a name");
	} else {
		text_printf(t, "%s %s", i->protocol == 17 ? "udp" : "tcp",
			    word_endpoint(&i->local_addr, i->local_port).s);
		if (i->remote_port)
			text_printf(t, " - %s", word_endpoint(&i->remote_addr, i->remote_port).s);
	}
	if (cpl_info_known(i, CPL_F_state) && i->protocol == 6) {
		text_puts(t, ", ");
		text_styled(t, view_state_style(i), view_state_name(i->state));
	}
	if (cpl_info_known(i, CPL_F_pid))
		text_printf(t, ", of %s (pid %u, descriptor %u)",
			    view_field_word(i, CPL_F_program, 0).s, i->pid, i->fd);
	text_puts(t, "\n");
}

/* What that means, and why it is not sending: the sentences above the fields. */
static void summary(struct text *t, const struct snapshot_set *all, const struct cpl_info *i)
{
	struct view_line line = { .info = i };

	if (view_detached(i))
		line.listener = view_listener(all->info, all->n, i);
	for (size_t n = 0; n < all->n && cpl_info_known(i, CPL_F_peer_inode); n++)
		if (all->info[n].family == 1 && cpl_info_known(&all->info[n], CPL_F_inode) &&
		    all->info[n].inode == i->peer_inode)
			line.peer = &all->info[n];
	if (!line.peer)
		line.peer = view_other_end(all->info, all->n, i);
	line.why_said = view_line_why(t, &line);
	view_line(t, &line, 0);
	view_limits(t, i,
		    line.peer && cpl_info_known(line.peer, CPL_F_pid) ? view_line_who(line.peer).s
								      : NULL,
		    0);
	text_puts(t, "\n");
}

/* Why so much of it is unknown. */
static void limits(struct text *t, const struct cpl_info *i)
{
	bool diag = i->source == CPL_SOURCE_SOCK_DIAG;

	if ((!diag && i->source != CPL_SOURCE_BPF) || i->protocol != 6 || i->state == CPL_LISTEN)
		return;
	if (i->state != CPL_CLOSED && !cpl_info_known(i, CPL_F_snd_mss))
		text_puts(
			t,
			"\nOf a connection in this state the kernel keeps only a small record.\n");
	else if (diag)
		text_puts(t, "\nThe kernel tells no sequence numbers through sock_diag; root sees "
			     "them by BPF.\n");
}

static int print(const struct show *s, const struct snapshot_set *all,
		 const struct snapshot_set *set)
{
	struct text t;
	bool without_owner = false;

	text_for(&t, stdout);
	for (size_t i = 0; i < set->n; i++) {
		const struct cpl_info *info = &set->info[i];

		if (i)
			text_puts(&t, "\n");
		title(&t, info);
		summary(&t, all, info);
		view_tcb(&t, info, s->verbose ? VIEW_VERBOSE : 0);
		limits(&t, info);
		without_owner |=
			cpl_info_known(info, CPL_F_inode) && !cpl_info_known(info, CPL_F_pid);
	}
	if (without_owner)
		connections_notes(&set->notes, true);
	return text_end(&t, stdout);
}

/* What changes in each that is shown, until all are gone. */
static int follow(const struct show *s, struct snapshot_set *set)
{
	while (set->n) {
		size_t kept = 0;

		if (fflush(stdout))
			return CLI_CANNOT;
		usleep(s->interval_ms * 1000u);
		for (size_t i = 0; i < set->n; i++) {
			struct cpl_info now;
			struct text t;
			int err = source_again(NULL, &set->info[i], &now);

			text_for(&t, stdout);
			if (err) {
				title(&t, &set->info[i]);
				text_printf(&t, "  %s\n",
					    err == -ENOENT ? "is gone" : strerror(-err));
			} else {
				size_t empty;

				if (set->n > 1)
					title(&t, &now);
				empty = t.len;
				view_diff_print(&t, &set->info[i], &now, 2, 0);
				if (t.len == empty)
					t.len = 0;
				else
					text_puts(&t, "\n");
				set->info[kept++] = now;
			}
			if (text_end(&t, stdout) != CLI_OK)
				return CLI_CANNOT;
		}
		set->n = kept;
	}
	return CLI_OK;
}

/* The chosen ones of ALL in SET. */
static int chosen(const struct show *s, const struct snapshot_set *all, struct snapshot_set *set,
		  size_t **numbers)
{
	for (size_t i = 0; i < all->n; i++)
		if (snapshot_set_add(set, &all->info[i]))
			return cli_fail(CLI_CANNOT, "out of memory");
	set->notes = all->notes;
	return connections_select(set, &s->select, numbers);
}

static int show(const struct show *s, struct snapshot_set *all, struct snapshot_set *set,
		const char *name)
{
	struct source_options options = connections_everything(&s->select);
	size_t *numbers = NULL;
	int status;

	options.owners = true;
	/* Their rows are the last: the numbers of the others stay the same. */
	options.unix_sockets = select_names_unix(&s->select) || select_needs_rows(&s->select);
	status = connections_collect(all, &options);
	if (status != CLI_OK)
		return status;
	if (!connections_match(all, &s->select))
		return not_found(all, name);
	status = chosen(s, all, set, &numbers);
	if (status == CLI_OK && set->n > 1)
		keep_first_end(&s->select, set, numbers);
	if (status == CLI_OK && set->n > 1 && !s->all && !s->json) {
		status = cli_fail(CLI_TROUBLE,
				  "%zu connections are called \"%s\"; name one, for "
				  "example by its number, or use -a for all:",
				  set->n, name);
		list(stdout, set, NULL, set->n, numbers);
	} else if (status == CLI_OK) {
		status = s->json ? connections_json(set) : print(s, all, set);
		if (status == CLI_OK && s->repeat)
			status = follow(s, set);
	}
	free(numbers);
	return status;
}

int cmd_show(int argc, char **argv)
{
	struct show s = { 0 };
	struct snapshot_set all, set;
	char *name;
	int status = options_read(&s, argc, argv);

	if (status >= 0)
		return status;
	name = joined(argc - optind, argv + optind);
	snapshot_set_init(&all);
	snapshot_set_init(&set);
	status = show(&s, &all, &set, name ? name : "");
	snapshot_set_free(&all);
	snapshot_set_free(&set);
	free(name);
	return status;
}
