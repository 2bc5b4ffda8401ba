/* SPDX-License-Identifier: MIT */
/*
 * couplet watch: the connections of this machine on a full screen, by what matters. See watch.h for
 * its parts; here are the options, the loop and the signals.
 */
#define _GNU_SOURCE /* ppoll */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/connections.h"
#include "cli/watch.h"

static const char help[] =
	"  -i, --interval SECONDS   between two samples: 1 unless given, at least 0.05\n"
	"  -A, --namespaces   every network namespace of this machine, as far as we may\n"
	"  -l, --listening    listening sockets too\n"
	"  -s, --sort NAME    matter (trouble first) unless given; in, out, recv-q,\n"
	"                     send-q, rtt, cwnd, state, local, foreign, program\n"
	"\n"
	"Keys: arrows choose, Enter opens a connection, / filters, s sorts, Space pauses,\n"
	"      ? tells all of them, q quits.\n"
	"FILTER: :443  curl  pid:812  state established  'srtt > 10ms and not curl'\n"
	"        as in couplet netstat\n";

static const struct option long_options[] = {
	{ "interval", required_argument, NULL, 'i' }, { "namespaces", no_argument, NULL, 'A' },
	{ "listening", no_argument, NULL, 'l' },      { "sort", required_argument, NULL, 's' },
	{ "help", no_argument, NULL, 'h' },	      { NULL, 0, NULL, 0 },
};

struct program {
	struct watch w;
	struct watch_setup setup;
	struct watch_sampler *sampler;
	struct watch_sample *sample;
};

/* The signal that ends the program; 0: none came. */
static volatile sig_atomic_t ended_by;

static void on_signal(int number)
{
	ended_by = number;
}

/* ---- Options --------------------------------------------------------------------------------- */

static bool sort_find(const char *name, enum rank_sort *sort)
{
	static const char *const names[RANK_SORTS] = {
		"matter", "in",	   "out",   "recv-q",  "send-q",  "rtt",
		"cwnd",	  "state", "local", "foreign", "program",
	};

	for (unsigned i = 0; i < RANK_SORTS; i++) {
		if (strcmp(names[i], name) == 0) {
			*sort = (enum rank_sort)i;
			return true;
		}
	}
	return false;
}

static void keep_filter_text(struct watch *w, int argc, char **argv)
{
	size_t at = 0;

	for (int i = 0; i < argc && at < sizeof(w->filter); i++)
		at += (size_t)snprintf(w->filter + at, sizeof(w->filter) - at, "%s%s", i ? " " : "",
				       argv[i]);
	for (char *s = w->filter; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			*s = '?';
}

/* -1: go on; else the exit status. */
static int options_read(struct program *p, int argc, char **argv)
{
	struct watch *w = &p->w;
	int c;

	opterr = 0;
	p->setup.interval_ms = 1000;
	while ((c = getopt_long(argc, argv, ":i:Als:h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'i':
			if (!connections_interval(optarg, &p->setup.interval_ms))
				return CLI_USAGE;
			if (p->setup.interval_ms < 50)
				return cli_fail(CLI_USAGE,
						"\"%s\" is too short an interval: "
						"0.05 seconds are the least",
						optarg);
			break;
		case 'A':
			p->setup.namespaces = true;
			break;
		case 'l':
			w->listeners = true;
			break;
		case 's':
			if (!sort_find(optarg, &w->sort))
				return cli_fail(CLI_USAGE,
						"\"%s\" is nothing to sort by; --help "
						"lists what is",
						optarg);
			break;
		case 'h':
			return cli_help("watch", help);
		default:
			return cli_bad_option(c, argv);
		}
	}
	if (connections_parse(&p->setup.select, argc - optind, argv + optind) != CLI_OK)
		return CLI_USAGE;
	if (select_needs_rows(&p->setup.select))
		return cli_fail(CLI_USAGE, "rows have no numbers here: they move; name the "
					   "connection otherwise");
	w->select = p->setup.select;
	w->interval_ms = p->setup.interval_ms;
	keep_filter_text(w, argc - optind, argv + optind);
	return -1;
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void act(struct program *p, enum watch_act what)
{
	switch (what) {
	case WATCH_ACT_FILTER:
		watch_sampler_select(p->sampler, &p->w.select);
		break;
	case WATCH_ACT_PAUSE:
		watch_sampler_pause(p->sampler, p->w.paused);
		break;
	case WATCH_ACT_OPEN:
		watch_sampler_open(p->sampler, &p->w.open.key);
		break;
	case WATCH_ACT_CLOSE:
		watch_sampler_open(p->sampler, NULL);
		break;
	case WATCH_ACT_NONE:
	case WATCH_ACT_QUIT:
		break;
	}
}

static void take_samples(struct program *p)
{
	struct watch_sample *sample = watch_sampler_take(p->sampler);
	static struct watch_detail detail; /* large */

	if (sample) {
		watch_set_sample(&p->w, sample);
		watch_sample_release(p->sampler, p->sample);
		p->sample = sample;
	}
	if (watch_sampler_take_detail(p->sampler, &detail))
		watch_set_detail(&p->w, &detail);
}

static void draw(struct program *p)
{
	struct text t;

	watch_screen_size(&p->w.columns, &p->w.lines);
	text_init(&t);
	watch_draw(&p->w, &t);
	if (!t.failed)
		watch_screen_show(&t, &p->w);
	text_free(&t);
}

/* Until the user or a signal ends it, or the terminal is gone. SIGNALS are let in while waiting. */
static void loop(struct program *p, const sigset_t *signals)
{
	struct pollfd ready[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = watch_sampler_fd(p->sampler), .events = POLLIN },
	};

	draw(p);
	while (!ended_by) {
		bool resized = false;
		int key;

		if (ppoll(ready, 2, NULL, signals) < 0 && errno != EINTR)
			return;
		if (ready[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return;
		if (ready[1].revents & POLLIN)
			take_samples(p);
		do {
			enum watch_act what;

			key = watch_screen_key(&resized);
			what = watch_press(&p->w, key);
			if (what == WATCH_ACT_QUIT)
				return;
			act(p, what);
		} while (key != WATCH_KEY_NONE);
		draw(p);
	}
}

/* The signals that end the program come only while it waits: none is lost between two looks. */
static void signals_take(sigset_t *waiting)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t blocked;

	sigemptyset(&blocked);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		sigaction(numbers[i], &action, NULL);
		sigaddset(&blocked, numbers[i]);
	}
	sigaddset(&blocked, SIGWINCH);
	sigprocmask(SIG_BLOCK, &blocked, waiting);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigdelset(waiting, numbers[i]);
	sigdelset(waiting, SIGWINCH);
}

/* As if the signal had not been caught; ^C is a way to quit. */
static int end_by_signal(void)
{
	sigset_t one;

	if (!ended_by || ended_by == SIGINT)
		return CLI_OK;
	signal(ended_by, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, ended_by);
	raise(ended_by);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	return CLI_OK;
}

static int watch(struct program *p)
{
	const char *trouble;
	sigset_t waiting;

	signals_take(&waiting);
	trouble = watch_screen_begin(cli_colour(stdout));
	if (trouble)
		return cli_fail(CLI_CANNOT, "%s", trouble);
	p->sampler = watch_sampler_new(&p->setup);
	if (!p->sampler) {
		watch_screen_end();
		return cli_fail(CLI_CANNOT, "cannot begin to sample: %s", strerror(errno));
	}
	loop(p, &waiting);
	watch_screen_end();
	watch_sample_release(p->sampler, p->sample);
	watch_sampler_free(p->sampler);
	return end_by_signal();
}

int cmd_watch(int argc, char **argv)
{
	static struct program p; /* large */
	int status;

	watch_init(&p.w);
	status = options_read(&p, argc, argv);
	if (status >= 0)
		return status;
	if (watch_screen_missing())
		return cli_fail(CLI_CANNOT, "%s", watch_screen_missing());
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return cli_fail(CLI_CANNOT, "needs a terminal; couplet netstat --watch prints what "
					    "changes to anywhere");
	p.w.ascii = !cli_utf8();
	p.w.own_netns = source_own_netns();
	status = watch(&p);
	watch_free(&p.w);
	return status;
}
