/* SPDX-License-Identifier: MIT */
/*
 * couplet serve DIR [-- COMMAND]: the files of DIR by HTTP/1.1 over Couplet's TCP, for the programs
 * of the kernel's side: COMMAND, or a shell, runs where the address is reachable.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/http_server.h"
#include "cli/net.h"
#include "view/text.h"

struct serve {
	struct net net;
	struct http_server *server;
	cpl_handle show; /* half of it was handed to TCP: to be shown when the next event comes */
	bool both, quiet, shown;
};

static void opened(void *arg, cpl_handle handle)
{
	struct serve *s = arg;

	net_own(&s->net, handle, "couplet serve");
}

static void half(void *arg, cpl_handle handle)
{
	struct serve *s = arg;

	if (s->both && !s->shown)
		s->show = handle;
}

/* Not from within a call of send, but with segments on their way. */
static void show_both(struct serve *s)
{
	printf("\nHalf of it is handed to TCP. The two control blocks of this connection now:\n\n");
	net_show_both(&s->net, s->show, "couplet", "kernel");
	printf("\n");
	s->show = 0;
	s->shown = true;
}

static void served(void *arg, const char *method, const char *path, int status, uint64_t bytes)
{
	struct serve *s = arg;

	if (s->quiet)
		return;
	fprintf(stderr, "couplet serve: %s %s: %d, %s\n", method, word_foreign(path).s, status,
		word_bytes(bytes).s);
}

static void on_event(void *arg, const struct cpl_event *event, uint64_t now)
{
	struct serve *s = arg;

	if (s->show && event->handle == s->show && event->what & CPL_EV_WRITABLE)
		show_both(s);
	http_server_event(s->server, event, now);
}

static struct loop *interrupted;

static void on_signal(int sig)
{
	(void)sig;
	if (interrupted)
		loop_stop(interrupted);
}

static void introduce(const struct serve *s, const char *dir, uint16_t port)
{
	char port_text[16] = "", a4[CPL_ADDR_TEXT], a6[CPL_ADDR_TEXT];

	if (port != 80)
		snprintf(port_text, sizeof(port_text), ":%u", port);
	cpl_addr_text(&s->net.ours4, a4);
	cpl_addr_text(&s->net.ours6, a6);
	fprintf(stderr, "couplet serve: %s is at http://%s%s/", dir, a4, port_text);
	if (s->net.kernel6.b[0])
		fprintf(stderr, " and http://[%s]%s/", a6, port_text);
	fprintf(stderr, ", over Couplet's TCP on %s\n", s->net.link->iface.name);
}

static const char help[] =
	"  -p, --port PORT      listen on PORT (80)\n"
	"  -b, --both           show both control blocks, ours and the kernel's, in mid-transfer\n"
	"      --tap            an Ethernet link (TAP), not bare IP (TUN)\n"
	"      --mtu N          largest packet of the link (1500)\n"
	"      --no-offload     no super-segments, every checksum computed here\n"
	"      --namespace      in a network namespace of its own, also when root\n"
	"      --pcapng FILE    write all packets to FILE\n"
	"  -q, --quiet          no line for each request\n"
	"\n"
	"COMMAND (default: a shell) runs where the address is reachable; serve ends with it.\n"
	"Example: couplet serve . -- curl -s http://10.99.0.2/README.md\n";

enum {
	OPT_TAP = 256,
	OPT_MTU,
	OPT_NO_OFFLOAD,
	OPT_NAMESPACE,
	OPT_PCAPNG
};

static const struct option options[] = {
	{ "port", required_argument, NULL, 'p' },
	{ "both", no_argument, NULL, 'b' },
	{ "tap", no_argument, NULL, OPT_TAP },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "no-offload", no_argument, NULL, OPT_NO_OFFLOAD },
	{ "namespace", no_argument, NULL, OPT_NAMESPACE },
	{ "pcapng", required_argument, NULL, OPT_PCAPNG },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static bool number(const char *text, unsigned long low, unsigned long high, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return !errno && end != text && !*end && *value >= low && *value <= high;
}

static int parse(int argc, char **argv, struct serve *s, struct net_options *o, uint16_t *port)
{
	unsigned long n;
	int c;

	while ((c = getopt_long(argc, argv, "+p:bqh", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			if (!number(optarg, 1, 65535, &n))
				return cli_fail(CLI_USAGE, "--port %s: a port is 1 to 65535",
						optarg);
			*port = (uint16_t)n;
			break;
		case 'b':
			s->both = true;
			break;
		case 'q':
			s->quiet = true;
			break;
		case OPT_TAP:
			o->tap = true;
			break;
		case OPT_MTU:
			if (!number(optarg, 576, 65535, &n))
				return cli_fail(CLI_USAGE, "--mtu %s: 576 to 65535 bytes", optarg);
			o->mtu = (uint32_t)n;
			break;
		case OPT_NO_OFFLOAD:
			o->no_offload = true;
			break;
		case OPT_NAMESPACE:
			o->own_namespace = true;
			break;
		case OPT_PCAPNG:
			o->capture = optarg;
			break;
		case 'h':
			cli_help("serve", help);
			return -1;
		default:
			return cli_fail(CLI_USAGE, "see couplet serve --help");
		}
	}
	return CLI_OK;
}

static int run(struct serve *s, const char *dir, uint16_t port, char *const *command)
{
	struct http_hooks hooks = { s, opened, half, served };
	int err, status;

	err = http_server_new(&s->server, s->net.stack, dir, port, &hooks, loop_clock());
	if (err)
		return cli_fail(CLI_CANNOT, "cannot serve %s: %s", dir, strerror(-err));
	loop_on_event(s->net.loop, on_event, s);
	introduce(s, dir, port);
	status = net_run(&s->net, command, true);
	if (status)
		return status;
	interrupted = s->net.loop;
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	signal(SIGINT, SIG_IGN); /* the command's to answer: it ends, and we with it */
	err = loop_run(s->net.loop);
	interrupted = NULL;
	net_end_child(&s->net);
	http_server_free(s->server, loop_clock());
	if (err)
		return cli_fail(CLI_TROUBLE, "the link is gone: %s", strerror(-err));
	return net_child_status(&s->net);
}

int cmd_serve(int argc, char **argv)
{
	const char *shell_name = getenv("SHELL");
	char *shell[] = { (char *)(shell_name ? shell_name : "/bin/sh"), NULL };
	struct net_options o = { .name = "serve", .argv = argv };
	struct serve s = { .both = false };
	char *const *command = shell;
	uint16_t port = 80;
	int status;

	status = parse(argc, argv, &s, &o, &port);
	if (status)
		return status < 0 ? CLI_OK : status;
	if (optind >= argc || !strcmp(argv[optind - 1], "--"))
		return cli_fail(CLI_USAGE, "which directory?");
	if (optind + 1 < argc) {
		if (strcmp(argv[optind + 1], "--") || optind + 2 >= argc)
			return cli_fail(CLI_USAGE, "%s: a command follows \"--\"",
					argv[optind + 1]);
		command = argv + optind + 2;
	}
	if (!http_server_built())
		return cli_fail(CLI_CANNOT, "built without libhttp-parser: install "
					    "libhttp-parser-dev and build again");
	if (access(argv[optind], R_OK | X_OK))
		return cli_fail(CLI_CANNOT, "cannot read directory %s: %s", argv[optind],
				strerror(errno));
	status = net_open(&s.net, &o);
	if (!status)
		status = run(&s, argv[optind], port, command);
	net_close(&s.net);
	return status;
}
