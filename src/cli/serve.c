/* SPDX-License-Identifier: MIT */
/*
 * couplet serve DIR [-- COMMAND]: the files of DIR by HTTP/1.1 over Couplet's TCP, for the programs
 * of the kernel's side: COMMAND, or a shell, runs where the address is reachable.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/http_server.h"
#include "cli/net.h"
#include "view/text.h"

#define IDLE_NS (60 * CPL_SECOND)

/* A server for each core: all listen on the same port. */
struct worker {
	struct serve *serve;
	struct core *core;
	struct http_server *server;
};

struct serve {
	struct net net;
	struct http_server_config http;
	struct worker workers[NET_CORES_MAX];
	cpl_handle show; /* half of it was handed to TCP: to be shown when the next event comes */
	bool both, quiet, shown;
};

static void opened(void *arg, cpl_handle handle)
{
	struct worker *w = arg;

	net_own(w->core->stack, handle, "couplet serve");
}

/* Not from within a call of send, but with segments on their way. */
static void show_both(struct serve *s)
{
	printf("\nHalf of it is handed to TCP. The two control blocks of this connection now:\n\n");
	net_show_both(&s->net, s->show, "couplet", "kernel");
	printf("\n");
	s->show = 0;
}

/* Once a turn until it is done: the picture says most while segments are on their way. */
static void look(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct serve *s = arg;
	struct cpl_info info;

	(void)events;
	if (cpl_info_get(s->net.stack, s->show, &info, now) == 0 && !info.in_flight &&
	    info.send_queue)
		return;
	show_both(s);
	loop_unwatch(s->net.loop, fd);
	close(fd);
}

static void half(void *arg, cpl_handle handle)
{
	struct serve *s = ((struct worker *)arg)->serve;
	int fd;

	if (!s->both || s->shown)
		return;
	fd = eventfd(1, EFD_CLOEXEC); /* readable from now on: wakes every turn */
	if (fd < 0 || loop_watch(s->net.loop, fd, EPOLLIN, look, s))
		return;
	s->show = handle;
	s->shown = true;
}

static void served(void *arg, const char *method, const char *target, int status, uint64_t bytes)
{
	struct worker *w = arg;

	if (w->serve->quiet)
		return;
	fprintf(stderr, "couplet serve: %s%s%s: %d, %s\n", method, target[0] ? " " : "",
		word_foreign(target).s, status, word_bytes(bytes).s);
}

static void on_event(void *arg, const struct cpl_event *event, uint64_t now)
{
	struct worker *w = arg;

	http_server_event(w->server, event, now);
}

static struct loop *interrupted;

static void on_signal(int sig)
{
	(void)sig;
	if (interrupted)
		loop_stop(interrupted);
}

static void introduce(const struct serve *s, bool shell)
{
	const struct cpl_addr *at[] = { &s->net.ours4, &s->net.ours6 };
	char port_text[16] = "", text[CPL_ADDR_TEXT];
	const char *before = " is at ";

	if (s->http.port != 80)
		snprintf(port_text, sizeof(port_text), ":%u", s->http.port);
	fprintf(stderr, "couplet serve: %s", s->http.root);
	for (unsigned i = 0; i < 2; i++) {
		if (cpl_addr_equal(at[i], &(struct cpl_addr){ { 0 } }))
			continue;
		cpl_addr_text(at[i], text);
		fprintf(stderr, i ? "%shttp://[%s]%s/" : "%shttp://%s%s/", before, text, port_text);
		before = " and ";
	}
	fprintf(stderr, ", over Couplet's TCP on %s\n", s->net.ifname);
	if (shell)
		fprintf(stderr,
			"couplet serve: it is reachable in this shell, until you leave it\n");
}

static const char help[] =
	"  -p, --port PORT      listen on PORT (80)\n"
	"  -c, --cores N        N stacks with the same addresses, a thread each (1)\n"
	"  -b, --both           show both control blocks, ours and the kernel's, "
	"half-way\n" NET_HELP
	"      --idle SECONDS   close a connection on which nothing moves so long (60)\n"
	"  -q, --quiet          no line for each request\n"
	"\n"
	"COMMAND (or a shell) runs where the address is reachable; serve ends with it.\n"
	"Example: couplet serve . -- curl -s http://10.99.0.2/README.md\n";

#define OPT_IDLE 256

static const struct option options[] = {
	NET_OPTIONS,
	{ "port", required_argument, NULL, 'p' },
	{ "cores", required_argument, NULL, 'c' },
	{ "both", no_argument, NULL, 'b' },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse(int argc, char **argv, struct serve *s, struct net_options *o)
{
	unsigned long n;
	int c, status = CLI_OK;

	opterr = 0;
	while (!status && (c = getopt_long(argc, argv, "+:p:c:bqh", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			if (!net_number(optarg, 1, 65535, &n))
				return cli_fail(CLI_USAGE, "--port %s: a port is 1 to 65535",
						optarg);
			s->http.port = (uint16_t)n;
			break;
		case 'c':
			if (!net_number(optarg, 1, NET_CORES_MAX, &n))
				return cli_fail(CLI_USAGE, "--cores %s: 1 to %u", optarg,
						NET_CORES_MAX);
			o->cores = (unsigned)n;
			break;
		case 'b':
			s->both = true;
			break;
		case 'q':
			s->quiet = true;
			break;
		case OPT_IDLE:
			if (!net_number(optarg, 1, 86400, &n))
				return cli_fail(CLI_USAGE, "--idle %s: 1 to 86400 seconds", optarg);
			s->http.idle_ns = n * CPL_SECOND;
			break;
		case 'h':
			cli_help("serve", help);
			return -1;
		case '?':
		case ':':
			return cli_bad_option(c, argv);
		default:
			status = net_option(o, c, optarg);
		}
	}
	return status;
}

/* Each download holds a descriptor. Not for COMMAND, which may be of the kind that calls select().
 */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int work(void *arg, struct core *core)
{
	struct worker *w = &((struct serve *)arg)->workers[core->number];
	int err = 0;

	while (!err && !loop_stopped(core->loop)) {
		err = loop_turn(core->loop, http_server_deadline(w->server));
		http_server_advance(w->server, loop_clock());
	}
	return err;
}

static int loop(struct serve *s, struct link_why *why)
{
	int err;

	interrupted = s->net.loop;
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGINT, SIG_IGN); /* the command's to answer: it ends, and we with it */
	err = cores_start(s->net.cores, work, s, why);
	if (!err) {
		err = cores_run(s->net.cores);
		if (err)
			link_fail(why, err, "the link is gone: %s", strerror(-err));
	}
	interrupted = NULL;
	return err;
}

/* 0 or a negative errno. */
static int open_workers(struct serve *s)
{
	int err = 0;

	for (unsigned i = 0; !err && i < cores_n(s->net.cores); i++) {
		struct worker *w = &s->workers[i];

		w->serve = s;
		w->core = cores_get(s->net.cores, i);
		s->http.arg = w;
		err = http_server_new(&w->server, w->core->stack, &s->http, loop_clock());
		loop_on_event(w->core->loop, on_event, w);
	}
	return err;
}

static void close_workers(struct serve *s)
{
	for (unsigned i = 0; i < NET_CORES_MAX; i++)
		http_server_free(s->workers[i].server, loop_clock());
}

static int run(struct serve *s, char *const *command)
{
	const char *shell_name = getenv("SHELL");
	char *shell[] = { (char *)(shell_name ? shell_name : "/bin/sh"), NULL };
	struct link_why why;
	int err, status;

	err = open_workers(s);
	if (err == -ENOSYS)
		status = cli_fail(CLI_CANNOT, "this kernel has no openat2(2): it takes Linux 5.6");
	else if (err)
		status = cli_fail(CLI_CANNOT, "cannot serve %s: %s", s->http.root, strerror(-err));
	else {
		introduce(s, !command);
		status = net_run(&s->net, command ? command : shell, STDOUT_FILENO);
	}
	if (!status) {
		allow_descriptors();
		err = loop(s, &why);
		if (err)
			status = cli_fail(CLI_TROUBLE, "%s", why.text);
	}
	net_end_child(&s->net);
	close_workers(s);
	return status ? status : net_child_status(&s->net);
}

/* 0, or what cli_fail() returned. Before anything is set up: it is the likeliest mistake. */
static int can_serve(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOTDIR)
		return cli_fail(CLI_CANNOT, "%s is not a directory: give the one it is in", dir);
	if (fd < 0)
		return cli_fail(CLI_CANNOT, "cannot read directory %s: %s", dir, strerror(errno));
	close(fd);
	return CLI_OK;
}

int cmd_serve(int argc, char **argv)
{
	struct net_options o = { .name = "serve", .argv = argv };
	static struct serve s = { .http = { .port = 80, .idle_ns = IDLE_NS } };
	char *const *command;
	int status;

	status = parse(argc, argv, &s, &o);
	if (status)
		return status < 0 ? CLI_OK : status;
	if (optind >= argc || !strcmp(argv[optind - 1], "--"))
		return cli_fail(CLI_USAGE, "which directory? \".\" is this one");
	if (o.cores > 1 && (s.both || o.capture))
		return cli_fail(CLI_USAGE,
				"--both and --pcapng look at one stack: not with --cores");
	s.http.root = argv[optind];
	status = net_command(argc, argv, optind, &command);
	if (status)
		return status;
	if (!http_server_built())
		return cli_fail(CLI_CANNOT, "built without libhttp-parser: install "
					    "libhttp-parser-dev and build again");
	status = can_serve(s.http.root);
	if (status)
		return status;
	s.http.opened = opened;
	s.http.half = half;
	s.http.served = served;
	status = net_open(&s.net, &o);
	if (!status)
		status = run(&s, command);
	net_close(&s.net);
	return status;
}
