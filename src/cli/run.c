/* SPDX-License-Identifier: MIT */
/*
 * couplet run [OPTIONS] -- COMMAND: COMMAND's sockets are Couplet's. The stack lives here; the
 * program, in a network namespace where the kernel has nothing to offer, reaches it through
 * libcouplet-shim.so (src/shim). We end when the command has ended, nobody of its descendants is
 * attached, and what they sent is acknowledged.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/net.h"
#include "cli/run_link.h"
#include "cli/run_program.h"
#include "cli/run_refuse.h"
#include "shim/server.h"
#include "socket/socket.h"

#define DRAIN_NS     (10 * CPL_SECOND) /* how long what was sent may wait for its ACK */
#define DRAIN_FIN_NS CPL_SECOND	       /* and for the other side's FIN, which may never come */
#define DRAIN_LOOK   (5 * CPL_MS)
#define SETTINGS_MAX 32

struct run {
	struct run_link_options options;
	const char *settings[SETTINGS_MAX];
	unsigned settings_n;
	const char *cc;		     /* NULL: the stack's own choice */
	bool quiet, verbose, placed; /* placed: the user has said where */
	enum {
		INLINE_NEVER,
		INLINE_ALONE,
		INLINE_ALL
	} inlined;
	char path[PATH_MAX], shim[PATH_MAX];
	struct run_link link;
	struct sockets *sockets;
	struct shim_server *server;
	pid_t child;
	int child_fd, refusals, status;
	bool ended;
};

/* ---- The command line ----------------------------------------------------------------------- */

enum {
	OPT_LINK = 256,
	OPT_ADDRESS,
	OPT_GATEWAY,
	OPT_PUBLISH,
	OPT_MTU,
	OPT_NO_OFFLOAD,
	OPT_PCAPNG,
	OPT_CC,
	OPT_SET,
	OPT_NAME,
	OPT_INLINE,
};

static const struct option options[] = {
	{ "link", required_argument, NULL, OPT_LINK },
	{ "address", required_argument, NULL, OPT_ADDRESS },
	{ "gateway", required_argument, NULL, OPT_GATEWAY },
	{ "publish", required_argument, NULL, OPT_PUBLISH },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "no-offload", no_argument, NULL, OPT_NO_OFFLOAD },
	{ "pcapng", required_argument, NULL, OPT_PCAPNG },
	{ "cc", required_argument, NULL, OPT_CC },
	{ "set", required_argument, NULL, OPT_SET },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "inline", required_argument, NULL, OPT_INLINE },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"      --link LINK       the way out: user (a forwarder in this process: the\n"
	"                        default), tun[=NAME] or tap[=NAME] (a new interface of\n"
	"                        the kernel), packet=IF or xdp=IF[:QUEUE] (an interface\n"
	"                        that is there), shm=PATH (another couplet), or none (its\n"
	"                        own loopback)\n"
	"      --address A/LEN   the program's address (10.99.0.2/24 and fd99::2/64)\n"
	"      --gateway A       what is behind the link (10.99.0.1 and fd99::1);\n"
	"                        through the user link: this machine's own loopback\n"
	"      --publish [A:]PORT[:PORT]\n"
	"                        a port of this machine that leads to one of the\n"
	"                        program's\n"
	"      --cc NAME         congestion control: cubic, reno, bbr or dctcp\n"
	"      --set NAME=VALUE  a setting under Linux's name: net.ipv4.tcp_sack=0\n"
	"      --mtu N           largest packet of the link\n"
	"      --no-offload      no super-segments, every checksum computed here\n"
	"      --pcapng FILE     write all packets to FILE\n"
	"      --inline WHO      who runs the stack in its own threads: never (a server\n"
	"                        does), alone (a process as long as it is the only one),\n"
	"                        all\n"
	"      --name NAME       of the stack, for couplet netstat (the command's)\n"
	"  -v, --verbose         say where the program is and how it gets out\n"
	"  -q, --quiet           say nothing but what makes it impossible\n"
	"\n"
	"Example: couplet run -- curl -s http://example.org/\n";

static int set_link(struct run *r, const char *arg)
{
	struct link_why why = { "" };

	if (!strcmp(arg, "user") || !strcmp(arg, "none")) {
		r->options.kind = arg[0] == 'u' ? RUN_LINK_USER : RUN_LINK_NONE;
		return CLI_OK;
	}
	r->options.kind = RUN_LINK_DEVICE;
	return link_parse(&r->options.device, arg, &why)
		       ? cli_fail(CLI_USAGE, "--link: %s; or user, or none", why.text)
		       : CLI_OK;
}

static int set_inline(struct run *r, const char *arg)
{
	static const char *const names[] = { "never", "alone", "all" };

	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(arg, names[i])) {
			r->inlined = i;
			return CLI_OK;
		}
	return cli_fail(CLI_USAGE, "--inline %s: never, alone or all", arg);
}

static int set_address(struct run *r, const char *arg)
{
	struct cpl_addr addr;
	unsigned len = 0;
	int status = net_address(arg, &addr, &len);

	if (status)
		return status;
	*(cpl_addr_is4(&addr) ? &r->options.ours4 : &r->options.ours6) = addr;
	if (len) /* else that of a host's usual network */
		*(cpl_addr_is4(&addr) ? &r->options.prefix4 : &r->options.prefix6) = len;
	return CLI_OK;
}

static int set_gateway(struct run *r, const char *arg)
{
	struct cpl_addr addr;

	if (cpl_addr_parse(&addr, arg))
		return cli_fail(CLI_USAGE, "--gateway %s: no IP address", arg);
	*(cpl_addr_is4(&addr) ? &r->options.gateway4 : &r->options.gateway6) = addr;
	return CLI_OK;
}

/* "80", "8080:80", "127.0.0.1:8080:80", "[::1]:8080:80": ours, then the program's. */
static int set_publish(struct run *r, const char *arg)
{
	struct forward_publish *p = &r->options.publish[r->options.publish_n];
	char text[96], *last, *before;
	unsigned long at, to;

	if (r->options.publish_n == FORWARD_PUBLISH_MAX)
		return cli_fail(CLI_USAGE, "--publish: no more than %d ports", FORWARD_PUBLISH_MAX);
	if (strlen(arg) >= sizeof(text))
		return cli_fail(CLI_USAGE, "--publish %s: [ADDRESS:]PORT[:PORT]", arg);
	strcpy(text, arg);
	last = strrchr(text, ':');
	if (last && strchr(last, ']'))
		last = NULL;
	if (!net_number(last ? last + 1 : text, 1, 65535, &to))
		return cli_fail(CLI_USAGE, "--publish %s: a port is a number of 1 to 65535", arg);
	at = to;
	p->at.addr = cpl_addr4(0, 0, 0, 0);
	if (last) {
		*last = 0;
		before = strrchr(text, ':');
		if (!net_number(before ? before + 1 : text, 1, 65535, &at))
			return cli_fail(CLI_USAGE, "--publish %s: [ADDRESS:]PORT[:PORT]", arg);
		if (before) {
			char *addr = text;

			*before = 0;
			if (addr[0] == '[' && addr[strlen(addr) - 1] == ']') {
				addr[strlen(addr) - 1] = 0;
				addr++;
			}
			if (cpl_addr_parse(&p->at.addr, addr))
				return cli_fail(CLI_USAGE, "--publish %s: %s is no IP address", arg,
						addr);
		}
	}
	p->at.port = (uint16_t)at;
	p->port = (uint16_t)to;
	r->options.publish_n++;
	return CLI_OK;
}

static int option(struct run *r, int c, const char *arg)
{
	unsigned long n;

	switch (c) {
	case OPT_LINK:
		return set_link(r, arg);
	case OPT_ADDRESS:
		return set_address(r, arg);
	case OPT_GATEWAY:
		return set_gateway(r, arg);
	case OPT_PUBLISH:
		return set_publish(r, arg);
	case OPT_MTU:
		if (!net_number(arg, 576, 65535, &n))
			return cli_fail(CLI_USAGE, "--mtu %s: 576 to 65535 bytes", arg);
		r->options.device.mtu = (uint32_t)n;
		return CLI_OK;
	case OPT_NO_OFFLOAD:
		r->options.device.no_offload = true;
		return CLI_OK;
	case OPT_PCAPNG:
		r->options.capture = arg;
		return CLI_OK;
	case OPT_CC:
		r->cc = arg;
		return CLI_OK;
	case OPT_SET:
		if (!strchr(arg, '=') || r->settings_n == SETTINGS_MAX)
			return cli_fail(CLI_USAGE, "--set %s: NAME=VALUE, %d of them at most", arg,
					SETTINGS_MAX);
		r->settings[r->settings_n++] = arg;
		return CLI_OK;
	case OPT_INLINE:
		return set_inline(r, arg);
	case OPT_NAME:
		r->options.name = arg;
		return CLI_OK;
	case 'q':
		r->quiet = true;
		return CLI_OK;
	case 'v':
		r->verbose = true;
		return CLI_OK;
	default:
		return CLI_USAGE;
	}
}

/* ---- The stack and its sockets -------------------------------------------------------------- */

static void say(void *arg, const char *text)
{
	const struct run *r = arg;

	if (!r->quiet)
		fprintf(stderr, "couplet run: %s\n", text);
}

static int settings(struct run *r)
{
	if (r->cc &&
	    sockets_sysctl_set(r->sockets, "net.ipv4.tcp_congestion_control", r->cc, loop_clock()))
		return cli_fail(CLI_USAGE, "--cc %s: no such congestion control", r->cc);
	for (unsigned i = 0; i < r->settings_n; i++) {
		char name[128];
		size_t n = strcspn(r->settings[i], "=");
		int err;

		snprintf(name, sizeof(name), "%.*s", (int)n, r->settings[i]);
		err = sockets_sysctl_set(r->sockets, name, r->settings[i] + n + 1, loop_clock());
		if (err)
			return cli_fail(CLI_USAGE, "--set %s: %s", r->settings[i],
					err == -ENOENT
						? "no such setting, or none that this stack has"
						: "not a value that it can have");
	}
	return CLI_OK;
}

static int add_addresses(struct run *r)
{
	const struct run_link_options *o = &r->options;
	struct cpl_addr lo4 = cpl_addr4(127, 0, 0, 1), lo6 = { { [15] = 1 } };
	const char *name = o->kind != RUN_LINK_DEVICE || o->device.kind == LINK_TUN ? "tun0"
			   : o->device.kind == LINK_TAP				    ? "tap0"
										    : "eth0";
	int err = shim_server_add_addr(r->server, "lo", r->link.lo, &lo4, 8);

	if (!err)
		err = shim_server_add_addr(r->server, "lo", r->link.lo, &lo6, 128);
	if (!err && r->link.ifindex && run_link_has(&o->ours4))
		err = shim_server_add_addr(r->server, name, (unsigned)r->link.ifindex, &o->ours4,
					   o->prefix4);
	if (!err && r->link.has6)
		err = shim_server_add_addr(r->server, name, (unsigned)r->link.ifindex, &o->ours6,
					   o->prefix6);
	return err;
}

/* The stack is made: let programs run it. */
static int share(struct run *r)
{
	struct shim_inline config = { .arena = r->link.arena,
				      .arena_fd = r->link.arena_fd,
				      .stack = r->link.stack,
				      .link = r->link.shared,
				      .ifindex = r->link.ifindex,
				      .lo = (int)r->link.lo,
				      .all = r->inlined == INLINE_ALL };
	int err = config.arena ? shim_server_inline(r->server, &config) : 0;

	if (err)
		return cli_fail(CLI_CANNOT, "cannot share the stack: %s", strerror(-err));
	shim_server_unlock(r->server);
	return CLI_OK;
}

/* The other links are memory of this process, and a capture is written by one. */
static bool may_inline(const struct run_link_options *o)
{
	return !o->capture && o->kind == RUN_LINK_DEVICE &&
	       (o->device.kind == LINK_TUN || o->device.kind == LINK_TAP);
}

static int open_all(struct run *r)
{
	struct sockets_config config;
	struct link_why why = { "" };
	int err;

	r->options.share = r->inlined != INLINE_NEVER;
	err = run_link_open(&r->link, &r->options, &why);

	if (!err) {
		sockets_config_init(&config);
		config.realtime_offset_ns = loop_epoch();
		err = sockets_new(&r->sockets, r->link.stack, &config, loop_clock());
		if (err)
			link_fail(&why, err, "cannot make sockets: %s", strerror(-err));
	}
	if (!err)
		err = shim_server_open(&r->server, r->link.loop, r->sockets, &why);
	if (err)
		return cli_fail(CLI_CANNOT, "%s", why.text);
	shim_server_on_say(r->server, say, r);
	if (add_addresses(r))
		return cli_fail(CLI_CANNOT, "too many addresses");
	err = settings(r);
	return err ? err : share(r);
}

static void close_all(struct run *r)
{
	bool broken = shim_server_broken(r->server);

	shim_server_close(r->server);
	if (broken)
		return;
	sockets_free(r->sockets, loop_clock());
	run_link_close(&r->link);
	if (r->child_fd >= 0)
		close(r->child_fd);
	if (r->refusals >= 0)
		close(r->refusals);
}

/* ---- The program ---------------------------------------------------------------------------- */

static struct run *signalled;

/* A terminal tells the program itself; what others tell us is passed on. */
static void on_signal(int sig)
{
	struct run *r = signalled;

	if (!r)
		return;
	if (!r->ended && r->child > 0) {
		if (sig != SIGINT && sig != SIGQUIT)
			kill(r->child, sig);
	} else {
		loop_stop(r->link.loop);
	}
}

static void catch_signals(struct run *r)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };

	signalled = r;
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void child_gone(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct run *r = arg;

	(void)events;
	(void)now;
	if (waitpid(r->child, &r->status, WNOHANG) != r->child)
		return;
	r->ended = true;
	loop_unwatch(r->link.loop, fd);
	loop_wake(r->link.loop);
}

static void refuse(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct run *r = arg;
	char text[256];

	(void)now;
	if (!(events & EPOLLIN)) { /* all that it concerned have ended */
		loop_unwatch(r->link.loop, fd);
		return;
	}
	refuse_next(fd, text);
	if (text[0])
		say(r, text);
}

static int start(struct run *r, char *const *argv)
{
	struct program_config config = { .path = r->path,
					 .argv = argv,
					 .shim = r->shim,
					 .server = shim_server_path(r->server) };
	struct link_why why = { "" };
	int err = 0;

	prctl(PR_SET_CHILD_SUBREAPER, 1); /* daemons stay ours to wait for */
	r->child = program_start(&config, &r->refusals, &why);
	if (r->child < 0)
		return cli_fail(CLI_CANNOT, "%s", why.text);
	r->child_fd = (int)syscall(SYS_pidfd_open, r->child, 0);
	err = r->child_fd < 0 ? -errno
			      : loop_watch(r->link.loop, r->child_fd, EPOLLIN, child_gone, r);
	if (!err && r->refusals >= 0)
		err = loop_watch(r->link.loop, r->refusals, EPOLLIN, refuse, r);
	if (err)
		return cli_fail(CLI_CANNOT, "cannot wait for %s: %s", argv[0], strerror(-err));
	return CLI_OK;
}

/* Connections on which something is still to be said or heard. */
static unsigned unfinished(struct run *r, bool fin)
{
	struct cpl_info info[16];
	uint64_t cursor = 0, now = loop_clock();
	unsigned found = 0;
	int n;

	if (shim_server_lock(r->server))
		return 0;
	while ((n = cpl_info_walk(r->link.stack, &cursor, info, 16, now)) > 0)
		for (int i = 0; i < n; i++)
			found += info[i].protocol == 6 && info[i].state != CPL_LISTEN &&
				 info[i].state != CPL_TIME_WAIT && info[i].state != CPL_CLOSED &&
				 (fin || info[i].state != CPL_FIN_WAIT_2);
	shim_server_unlock(r->server);
	return found;
}

/* Until nobody is attached; then until what they left has been said. */
static void serve(struct run *r)
{
	struct loop *loop = r->link.loop;
	uint64_t left = 0;

	program_answer_soon();
	while (!loop_stopped(loop)) {
		uint64_t now = loop_clock();
		bool attached = shim_server_programs(r->server) || shim_server_sockets(r->server);

		if (!r->ended || attached)
			left = 0;
		else if (!left)
			left = now;
		if (left && (now - left > DRAIN_NS || !unfinished(r, now - left < DRAIN_FIN_NS)))
			return;
		while (r->ended && waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (shim_server_turn(r->server, left	   ? now + DRAIN_LOOK
						: r->ended ? now + 100 * CPL_MS
							   : CPL_NEVER))
			return;
	}
}

static void introduce(const struct run *r)
{
	char a4[CPL_ADDR_TEXT], a6[CPL_ADDR_TEXT], g[CPL_ADDR_TEXT];
	bool four;

	if (r->options.kind == RUN_LINK_NONE) {
		fprintf(stderr, "couplet run: %s has nothing but its own loopback\n", r->path);
		return;
	}
	four = run_link_has(&r->options.ours4);
	cpl_addr_text(&r->options.ours4, a4);
	cpl_addr_text(&r->options.ours6, a6);
	cpl_addr_text(&r->options.gateway4, g);
	fprintf(stderr, "couplet run: %s is at %s%s%s; ", r->path, four ? a4 : "",
		four && r->link.has6 ? " and " : "", r->link.has6 ? a6 : "");
	if (r->options.kind == RUN_LINK_USER)
		fprintf(stderr, "a forwarder in process %d takes it out, and %s is this machine\n",
			(int)getpid(), g);
	else if (link_has_kernel_end(&r->options.device))
		fprintf(stderr, "the kernel is behind %s, as %s\n", r->link.device, g);
	else
		fprintf(stderr, "it gets out by %s\n", r->link.device);
}

static void defaults(struct run *r)
{
	memset(r, 0, sizeof(*r));
	r->child_fd = r->refusals = -1;
	r->options.prefix4 = 24;
	r->options.prefix6 = 64;
}

/* Of the network of OURS: its first address, or the second if the first is OURS. */
static struct cpl_addr neighbour(struct cpl_addr ours, unsigned prefix_len)
{
	struct cpl_addr a = ours;
	unsigned bit = prefix_len + (cpl_addr_is4(&ours) ? 96 : 0);

	for (; bit < 128; bit++)
		a.b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	a.b[15] |= 1;
	if (cpl_addr_equal(&a, &ours))
		a.b[15] ^= 3;
	return a;
}

/* The usual addresses, in the first network that the kernel has not, of these 256. */
static void choose_usual(struct cpl_addr *ours, struct cpl_addr *gateway, bool four, bool kernel)
{
	char name[IF_NAMESIZE];

	for (unsigned n = 0; n < 256; n++) {
		if (four) {
			*gateway = cpl_addr4(10, 99, (uint8_t)n, 1);
		} else {
			memset(gateway, 0, sizeof(*gateway));
			gateway->b[0] = 0xfd;
			gateway->b[1] = 0x99;
			gateway->b[7] = (uint8_t)n;
			gateway->b[15] = 1;
		}
		if (!kernel || !net_kernel_has(gateway, name))
			break;
	}
	*ours = *gateway;
	ours->b[15] = 2;
}

static int choose_family(struct run_link_options *o, bool four, bool kernel)
{
	struct cpl_addr *ours = four ? &o->ours4 : &o->ours6;
	struct cpl_addr *gateway = four ? &o->gateway4 : &o->gateway6;
	char name[IF_NAMESIZE], text[CPL_ADDR_TEXT];

	if (!run_link_has(ours) && !run_link_has(gateway)) {
		choose_usual(ours, gateway, four, kernel);
		return CLI_OK;
	}
	if (!run_link_has(ours))
		*ours = neighbour(*gateway, four ? o->prefix4 : o->prefix6);
	if (!run_link_has(gateway))
		*gateway = neighbour(*ours, four ? o->prefix4 : o->prefix6);
	if (!kernel || !net_kernel_has(gateway, name))
		return CLI_OK;
	cpl_addr_text(gateway, text);
	return cli_fail(
		CLI_CANNOT,
		"%s is to be the kernel's end of the link, but its %s has it: give --address "
		"and --gateway of another network",
		text, name);
}

/* On an interface that is there they are the user's to give; else there are usual ones. */
static int choose_addresses(struct run_link_options *o)
{
	bool device = o->kind == RUN_LINK_DEVICE,
	     kernel = device && link_has_kernel_end(&o->device);
	int status;

	if (device && o->device.kind != LINK_SHM && !kernel)
		return run_link_has(&o->ours4) || run_link_has(&o->ours6)
			       ? CLI_OK
			       : cli_fail(CLI_USAGE,
					  "--link on %s: which address is the program's? "
					  "--address A/LEN",
					  o->device.name);
	status = choose_family(o, true, kernel);
	return status ? status : choose_family(o, false, kernel);
}

/* It is not where it usually is, and the user has not asked for that. */
static bool moved(const struct run *r)
{
	struct cpl_addr usual = cpl_addr4(10, 99, 0, 2);

	return !r->placed && !r->quiet && !cpl_addr_equal(&r->options.ours4, &usual);
}

static int exit_status(const struct run *r)
{
	if (!r->ended)
		return CLI_TROUBLE;
	return WIFSIGNALED(r->status) ? 128 + WTERMSIG(r->status) : WEXITSTATUS(r->status);
}

int cmd_run(int argc, char **argv)
{
	static char name[32];
	struct link_why why = { "" };
	struct run *r = calloc(1, sizeof(*r));
	int c, status = CLI_OK;

	if (!r)
		return cli_fail(CLI_CANNOT, "out of memory");
	defaults(r);
	opterr = 0;
	while (status == CLI_OK && (c = getopt_long(argc, argv, "+:qvh", options, NULL)) != -1) {
		if (c == 'h') {
			free(r);
			return cli_help("run", help);
		}
		status = c == '?' || c == ':' ? cli_bad_option(c, argv) : option(r, c, optarg);
	}
	if (status == CLI_OK && optind >= argc)
		status = cli_fail(CLI_USAGE, "which command?");
	if (status == CLI_OK && r->options.publish_n && r->options.kind != RUN_LINK_USER)
		status = cli_fail(CLI_USAGE, "--publish is for --link user");
	if (status == CLI_OK && r->inlined != INLINE_NEVER && !may_inline(&r->options))
		status =
			cli_fail(CLI_USAGE, "--inline is for --link tun and tap, without --pcapng");
	r->placed = run_link_has(&r->options.ours4) || run_link_has(&r->options.gateway4) ||
		    run_link_has(&r->options.ours6) || run_link_has(&r->options.gateway6);
	if (status == CLI_OK)
		status = choose_addresses(&r->options);
	if (status == CLI_OK &&
	    (program_find(argv[optind], r->path, &why) || program_shim(r->shim, &why)))
		status = cli_fail(CLI_CANNOT, "%s", why.text);
	if (status != CLI_OK) {
		free(r);
		return status;
	}
	if (!r->options.name) {
		const char *slash = strrchr(argv[optind], '/');

		snprintf(name, sizeof(name), "%.31s", slash ? slash + 1 : argv[optind]);
		for (char *p = name; *p; p++)
			if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-_",
				    *p))
				*p = '-';
		r->options.name = name;
	}
	catch_signals(r);
	status = open_all(r);
	if (status == CLI_OK)
		status = start(r, argv + optind);
	if (status == CLI_OK) {
		if (r->verbose || moved(r))
			introduce(r);
		serve(r);
		/* Whoever was killed in the middle of a call may be the program itself. */
		if (shim_server_broken(r->server) &&
		    waitpid(r->child, &r->status, WNOHANG) == r->child)
			r->ended = true;
		status = exit_status(r);
	}
	signalled = NULL;
	close_all(r);
	free(r);
	return status;
}
