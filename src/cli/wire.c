/* SPDX-License-Identifier: MIT */
/* couplet wire: a link with delay, loss, a bottleneck, between two devices of the kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/connections.h"
#include "link/kernel_if.h"
#include "sim/relay.h"
#include "sim/wire_words.h"
#include "source/namespaces.h"
#include "view/text.h"

static const char help[] =
	"      --for SECONDS   end after so long\n"
	"      --spin          never sleep: exact to a microsecond, at the cost of a core\n"
	"      --quiet         no summary at the end\n"
	"\n"
	"END: tap:NAME or tun:NAME, a device to be made; @NAMESPACE after it: there (a\n"
	"name of ip netns, a path, or a process); then addresses:\n"
	"tap:x0@left,10.0.0.1/24,fd00::1/64\n"
	"\n"
	"KEY=VALUE, for both directions; ab.KEY or ba.KEY for one:\n";

struct end {
	char name[IFNAMSIZ];
	char space[200]; /* "": ours */
	const char *addresses;
	bool tap;
	int fd;
	struct link_why why;
};

struct options {
	struct end end[2];
	struct wire_words words;
	uint64_t seconds; /* 0: until it is told to stop */
	bool spin, quiet;
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* ---- The command line ------------------------------------------------------------------------ */

static int end_read(struct end *e, char *word)
{
	char *at = strchr(word, '@'), *comma = strchr(word, ',');
	const char *name = word + 4;

	e->fd = -1;
	e->tap = !strncmp(word, "tap:", 4);
	if (!e->tap && strncmp(word, "tun:", 4) != 0)
		return cli_fail(CLI_USAGE, "\"%s\" is no end: tap:NAME or tun:NAME", word);
	if (comma) {
		*comma = '\0';
		e->addresses = comma + 1;
		if (at > comma)
			at = NULL;
	}
	if (at) {
		*at = '\0';
		if (!at[1] || strlen(at + 1) >= sizeof(e->space))
			return cli_fail(CLI_USAGE, "\"%s\" is no namespace", at + 1);
		strcpy(e->space, at + 1);
	}
	if (!*name || strlen(name) >= sizeof(e->name))
		return cli_fail(CLI_USAGE, "\"%s\" is no name of a device: 1 to %zu letters", name,
				sizeof(e->name) - 1);
	strcpy(e->name, name);
	return CLI_OK;
}

static const struct option long_options[] = {
	{ "for", required_argument, NULL, 'f' },
	{ "spin", no_argument, NULL, 's' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* With the keys, which sim/wire_words.c knows. */
static const char *help_whole(void)
{
	static char whole[4096];

	snprintf(whole, sizeof(whole), "%s%s", help, wire_words_help);
	return whole;
}

/* -1: go on; else the exit status. */
static int options_read(struct options *o, int argc, char **argv)
{
	char error[200], *end;
	int c, err = 0;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", long_options, NULL)) >= 0) {
		switch (c) {
		case 'f':
			o->seconds = strtoull(optarg, &end, 10);
			if (*end || !o->seconds || o->seconds > 1000000)
				return cli_fail(CLI_USAGE, "--for %s: whole seconds", optarg);
			break;
		case 's':
			o->spin = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			return cli_help("wire", help_whole());
		default:
			return cli_bad_option(c, argv);
		}
	}
	if (argc - optind < 2)
		return cli_fail(CLI_USAGE, "between which two ends? couplet wire tap:x0@left "
					   "tap:x1@right delay=20ms loss=1%%");
	for (unsigned i = 0; i < 2; i++)
		if (end_read(&o->end[i], argv[optind++]) != CLI_OK)
			return CLI_USAGE;
	if (o->end[0].tap != o->end[1].tap)
		return cli_fail(CLI_USAGE,
				"a tap carries Ethernet frames, a tun IP packets: two of "
				"one kind");
	wire_words_init(&o->words);
	while (optind < argc && !err)
		err = wire_words_read(&o->words, argv[optind++], error, sizeof(error));
	if (!err)
		err = wire_words_settle(&o->words, error, sizeof(error));
	if (err)
		return cli_fail(CLI_USAGE, "%s; --help lists the keys", error);
	o->words.params[0].ether = o->words.params[1].ether = o->end[0].tap;
	return -1;
}

/* ---- The devices ----------------------------------------------------------------------------- */

static int give_addresses(struct end *e)
{
	char word[64];

	for (const char *s = e->addresses; s && *s;) {
		size_t n = strcspn(s, ",");
		struct cpl_addr addr;
		unsigned len;
		char *slash, *end;

		if (n >= sizeof(word))
			return link_fail(&e->why, -EINVAL, "\"%.40s\" is no address", s);
		memcpy(word, s, n);
		word[n] = '\0';
		s += n + (s[n] == ',');
		slash = strchr(word, '/');
		len = slash ? (unsigned)strtoul(slash + 1, &end, 10) : 0;
		if (!slash || !slash[1] || *end)
			return link_fail(&e->why, -EINVAL, "\"%s\" is no ADDRESS/LENGTH", word);
		*slash = '\0';
		if (cpl_addr_parse(&addr, word) < 0 || len > (cpl_addr_is4(&addr) ? 32 : 128))
			return link_fail(&e->why, -EINVAL, "\"%s/%u\" is no ADDRESS/LENGTH", word,
					 len);
		if (kernel_if_addr_add(e->name, &addr, len, &e->why))
			return -EINVAL;
	}
	return 0;
}

/* Inside the namespace. */
static int end_open(void *arg)
{
	struct end *e = arg;
	struct ifreq ifr = { .ifr_flags = 0 };

	ifr.ifr_flags = (short)((e->tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI);
	memcpy(ifr.ifr_name, e->name, sizeof(ifr.ifr_name));
	e->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (e->fd < 0)
		return link_fail(&e->why, -errno, "cannot open /dev/net/tun: %s%s", strerror(errno),
				 errno == EACCES ? "; as root: sudo couplet wire ..." : "");
	if (ioctl(e->fd, TUNSETIFF, &ifr) < 0)
		return link_fail(&e->why, -errno, "cannot make %s: %s%s", e->name, strerror(errno),
				 errno == EPERM ? "; as root: sudo couplet wire ..." : "");
	if (kernel_if_up(e->name, &e->why))
		return -EIO;
	return give_addresses(e);
}

/* The namespace that the user calls NAME: of ip netns, a path, a process. */
static int find_space(const char *name, struct netns *ns)
{
	struct netns_list list;
	int err;

	memset(ns, 0, sizeof(*ns));
	ns->socket_fd = -1;
	if (strchr(name, '/')) {
		snprintf(ns->path, sizeof(ns->path), "%s", name);
		return 0;
	}
	if (name[strspn(name, "0123456789")] == '\0') {
		snprintf(ns->path, sizeof(ns->path), "/proc/%s/ns/net", name);
		return 0;
	}
	err = namespaces_find(&list, NULL);
	if (err)
		return err;
	err = -ENOENT;
	for (size_t i = 0; i < list.n && err; i++) {
		if (strcmp(list.ns[i].name, name) != 0)
			continue;
		*ns = list.ns[i];
		err = 0;
	}
	namespaces_free(&list);
	return err;
}

static int ends_open(struct options *o)
{
	for (unsigned i = 0; i < 2; i++) {
		struct end *e = &o->end[i];
		struct netns ns;
		int err = *e->space ? find_space(e->space, &ns) : 0;

		if (err == -ENOENT)
			return cli_fail(CLI_CANNOT,
					"there is no network namespace \"%s\"; "
					"ip netns add %s makes it",
					e->space, e->space);
		if (!err)
			err = namespace_run(*e->space ? &ns : NULL, end_open, e);
		if (err)
			return cli_fail(CLI_CANNOT, "%s",
					*e->why.text ? e->why.text : strerror(-err));
	}
	return CLI_OK;
}

/* ---- The summary ----------------------------------------------------------------------------- */

static void summary(struct text *t, const struct options *o, const struct relay *r)
{
	for (unsigned d = 0; d < 2; d++) {
		const struct wire *w = &r->wire[d];

		text_printf(t, "%s to %s: %s packet%s, %s", o->end[d].name, o->end[!d].name,
			    word_count(w->frames).s, w->frames == 1 ? "" : "s",
			    word_size(r->bytes[d]).s);
		for (unsigned f = WIRE_SENT + 1; f < WIRE_FATES; f++)
			if (w->fates[f])
				text_printf(t, "; %s: %s", wire_fate_text((enum wire_fate)f),
					    word_count(w->fates[f]).s);
		if (w->marked)
			text_printf(t, "; marked: %s", word_count(w->marked).s);
		if (r->refused[d])
			text_printf(t, "; not taken by %s: %s", o->end[!d].name,
				    word_count(r->refused[d]).s);
		if (r->left[d])
			text_printf(t, "; late by %s, %s at most",
				    word_ns(r->late_ns[d] / r->left[d]).s,
				    word_ns(r->late_max_ns[d]).s);
		text_puts(t, "\n");
	}
}

static int run(const struct options *o)
{
	struct sigaction action = { .sa_handler = stop };
	uint64_t until = o->seconds ? relay_clock() + o->seconds * 1000000000u : UINT64_MAX;
	struct relay *relay = calloc(1, sizeof(*relay));
	struct text t;
	int err;

	if (!relay)
		return cli_fail(CLI_CANNOT, "out of memory");
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	relay_init(relay, o->end[0].fd, o->end[1].fd, o->words.params, o->words.seed);
	relay->spin = o->spin;
	printf("%s and %s are joined.\n", o->end[0].name, o->end[1].name);
	fflush(stdout);
	err = relay_run(relay, until, &stopped);
	text_init(&t);
	if (!o->quiet)
		summary(&t, o, relay);
	text_flush(&t, stdout);
	text_free(&t);
	relay_destroy(relay);
	free(relay);
	return err ? cli_fail(CLI_TROUBLE, "a device is gone: %s", strerror(-err)) : CLI_OK;
}

int cmd_wire(int argc, char **argv)
{
	struct options o = { .seconds = 0 };
	int status = options_read(&o, argc, argv);

	if (status >= 0)
		return status;
	status = ends_open(&o);
	if (status == CLI_OK)
		status = run(&o);
	for (unsigned i = 0; i < 2; i++)
		if (o.end[i].fd >= 0)
			close(o.end[i].fd);
	return status;
}
