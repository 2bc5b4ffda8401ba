/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * couplet get URL [-- COMMAND]: fetch by HTTP/1.1 over Couplet's TCP, from a program of the
 * kernel's side. Only what the TUN leads to can be reached, and https is not spoken.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <strings.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/net.h"
#include "view/text.h"

#ifdef HAVE_HTTP_PARSER
#include <http_parser.h>

#define PATIENCE_NS (5 * CPL_SECOND) /* for COMMAND to begin to listen */
#define RETRY_NS    (100 * CPL_MS)
#define SILENCE_NS  (60 * CPL_SECOND)

struct get {
	struct net net;
	const char *url;
	char host[256], path[4096];
	struct cpl_endpoint server;
	http_parser parser;
	FILE *out;
	cpl_handle handle;
	char *request;
	size_t request_len, request_sent;
	uint64_t bytes, started, retry_at, heard;
	char location[512];
	bool in_location, both, head, done, failed, shown, command;
	int error;
};

/* ---- the answer ---- */

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct get *g = p->data;

	g->in_location = n == 8 && !strncasecmp(at, "location", 8);
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct get *g = p->data;

	if (g->in_location && n < sizeof(g->location)) {
		memcpy(g->location, at, n);
		g->location[n] = 0;
	}
	return 0;
}

static int on_headers(http_parser *p)
{
	const struct get *g = p->data;

	return g->head ? 1 : 0; /* 1: no body follows */
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct get *g = p->data;

	if (fwrite(at, 1, n, g->out) != n) {
		g->failed = true;
		g->error = errno;
		return 1;
	}
	g->bytes += n;
	if (g->both && !g->shown && p->content_length != ULLONG_MAX &&
	    g->bytes > p->content_length) {
		g->shown = true;
		fprintf(stderr, "\nHalf of it has arrived. The two control blocks now:\n\n");
		fflush(g->out);
		net_show_both(&g->net, g->handle, "couplet", "kernel");
	}
	return 0;
}

static int on_complete(http_parser *p)
{
	struct get *g = p->data;

	g->done = true;
	return 0;
}

static const http_parser_settings settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* ---- the connection ---- */

static void finish(struct get *g, int error)
{
	if (error && !g->failed) {
		g->failed = true;
		g->error = error;
	}
	loop_stop(g->net.loop);
}

static void send_request(struct get *g, uint64_t now)
{
	while (g->request_sent < g->request_len) {
		long n = cpl_send(g->net.stack, g->handle, g->request + g->request_sent,
				  g->request_len - g->request_sent, 0, now);

		if (n <= 0)
			return;
		g->request_sent += (size_t)n;
	}
}

static void read_answer(struct get *g, uint64_t now)
{
	static char data[65536];
	long n;

	g->heard = now;
	while (!g->done && !g->failed) {
		n = cpl_recv(g->net.stack, g->handle, data, sizeof(data), 0, now);
		if (n == -EAGAIN)
			return;
		if (n < 0) {
			finish(g, (int)-n);
			return;
		}
		http_parser_execute(&g->parser, &settings, data, (size_t)n);
		if (HTTP_PARSER_ERRNO(&g->parser) != HPE_OK && !g->done)
			finish(g, g->error ? g->error : EPROTO);
		else if (n == 0 && !g->done)
			finish(g, ECONNRESET); /* it ended before the answer did */
	}
	if (g->done)
		finish(g, 0);
}

static int dial(struct get *g, uint64_t now)
{
	int err = cpl_connect(g->net.stack, NULL, &g->server, &g->handle, now);

	g->retry_at = 0;
	g->heard = now;
	if (!err)
		net_own(&g->net, g->handle, "couplet get");
	return err;
}

static void on_event(void *arg, const struct cpl_event *ev, uint64_t now)
{
	struct get *g = arg;

	if (ev->handle != g->handle)
		return;
	if (ev->what & CPL_EV_CONNECTED || ev->what & CPL_EV_WRITABLE)
		send_request(g, now);
	if (ev->what & (CPL_EV_READABLE | CPL_EV_PEER_FIN))
		read_answer(g, now);
	if (!(ev->what & CPL_EV_CLOSED) || g->done || g->failed)
		return;
	if (ev->error == ECONNREFUSED && g->command && now - g->started < PATIENCE_NS &&
	    !g->net.child_ended) {
		cpl_close(g->net.stack, g->handle, now);
		g->handle = 0;
		g->retry_at = now + RETRY_NS;
		return;
	}
	finish(g, ev->error ? ev->error : ECONNRESET);
}

static int fetch(struct get *g)
{
	int err;

	loop_on_event(g->net.loop, on_event, g);
	g->started = loop_clock();
	err = dial(g, g->started);
	while (!err && !g->done && !g->failed && !(loop_stopped(g->net.loop) && !g->command)) {
		uint64_t until = g->retry_at ? g->retry_at : g->heard + SILENCE_NS;

		err = loop_turn(g->net.loop, until);
		if (!err && g->retry_at && loop_clock() >= g->retry_at)
			err = dial(g, loop_clock());
		else if (!g->retry_at && loop_clock() >= g->heard + SILENCE_NS)
			finish(g, ETIMEDOUT);
	}
	return err;
}

/* ---- the URL ---- */

static int resolve(struct get *g, const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *ai = NULL;
	int err;

	g->server.port = port;
	if (!cpl_addr_parse(&g->server.addr, host))
		return CLI_OK;
	err = getaddrinfo(host, NULL, &hints, &ai);
	if (err)
		return cli_fail(CLI_TROUBLE, "%s: %s", host, gai_strerror(err));
	if (ai->ai_family == AF_INET) {
		const uint8_t *b =
			(const void *)&((struct sockaddr_in *)(void *)ai->ai_addr)->sin_addr;

		g->server.addr = cpl_addr4(b[0], b[1], b[2], b[3]);
	} else {
		memcpy(g->server.addr.b, &((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_addr,
		       16);
	}
	freeaddrinfo(ai);
	return CLI_OK;
}

static int parse_url(struct get *g)
{
	struct http_parser_url u;
	const char *path = "/";
	int n;

	http_parser_url_init(&u);
	if (!strncasecmp(g->url, "https:", 6))
		return cli_fail(CLI_CANNOT,
				"%s: https is not spoken here: Couplet is a TCP, not a TLS",
				g->url);
	if (http_parser_parse_url(g->url, strlen(g->url), 0, &u) ||
	    !(u.field_set & (1 << UF_HOST)) || strncasecmp(g->url, "http:", 5))
		return cli_fail(CLI_USAGE, "%s: a URL looks like http://10.99.0.1:8000/file",
				g->url);
	if (u.field_data[UF_HOST].len >= sizeof(g->host))
		return cli_fail(CLI_USAGE, "%s: the host is too long", g->url);
	memcpy(g->host, g->url + u.field_data[UF_HOST].off, u.field_data[UF_HOST].len);
	if (u.field_set & (1 << UF_PATH))
		path = g->url + u.field_data[UF_PATH].off;
	n = asprintf(&g->request,
		     "%s %.*s HTTP/1.1\r\nHost: %s\r\nUser-Agent: couplet/%s\r\nAccept: */*\r\n"
		     "Connection: close\r\n\r\n",
		     g->head ? "HEAD" : "GET", (int)strcspn(path, "#"), path, g->host, CPL_VERSION);
	if (n < 0)
		return cli_fail(CLI_CANNOT, "out of memory");
	g->request_len = (size_t)n;
	return resolve(g, g->host, u.field_set & (1 << UF_PORT) ? u.port : 80);
}

/* ---- the command ---- */

static const char help[] =
	"  -o, --output FILE    write there, not to standard output\n"
	"  -I, --head           ask for the headers only\n"
	"  -b, --both           show both control blocks, ours and the kernel's, in mid-transfer\n"
	"      --tap            an Ethernet link (TAP), not bare IP (TUN)\n"
	"      --mtu N          largest packet of the link (1500)\n"
	"      --namespace      in a network namespace of its own, also when root\n"
	"      --pcapng FILE    write all packets to FILE\n"
	"\n"
	"What can be reached: programs that listen on 10.99.0.1 or fd99::1, the kernel's end of "
	"the\n"
	"link, or on all addresses: of COMMAND, which runs beside and is ended afterwards, or when "
	"root\n"
	"of this machine; further hosts only if the kernel forwards to them. https is not spoken.\n"
	"Example: couplet get http://10.99.0.1:8000/ -- python3 -m http.server 8000\n";

enum {
	OPT_TAP = 256,
	OPT_MTU,
	OPT_NAMESPACE,
	OPT_PCAPNG
};

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "head", no_argument, NULL, 'I' },
	{ "both", no_argument, NULL, 'b' },
	{ "tap", no_argument, NULL, OPT_TAP },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "namespace", no_argument, NULL, OPT_NAMESPACE },
	{ "pcapng", required_argument, NULL, OPT_PCAPNG },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse_options(int argc, char **argv, struct get *g, struct net_options *o,
			 const char **output)
{
	int c;

	while ((c = getopt_long(argc, argv, "+o:Ibh", options, NULL)) != -1) {
		switch (c) {
		case 'o':
			*output = optarg;
			break;
		case 'I':
			g->head = true;
			break;
		case 'b':
			g->both = true;
			break;
		case OPT_TAP:
			o->tap = true;
			break;
		case OPT_MTU:
			o->mtu = (uint32_t)atoi(optarg);
			if (o->mtu < 576 || o->mtu > 65535)
				return cli_fail(CLI_USAGE, "--mtu %s: 576 to 65535 bytes", optarg);
			break;
		case OPT_NAMESPACE:
			o->own_namespace = true;
			break;
		case OPT_PCAPNG:
			o->capture = optarg;
			break;
		case 'h':
			cli_help("get", help);
			return -1;
		default:
			return cli_fail(CLI_USAGE, "see couplet get --help");
		}
	}
	return CLI_OK;
}

static int report(struct get *g, int err)
{
	char from[CPL_ADDR_TEXT];

	if (err || g->failed) {
		cpl_addr_text(&g->server.addr, from);
		return cli_fail(CLI_TROUBLE,
				"%s: %s. What can be reached: what listens on 10.99.0.1 or fd99::1 "
				"(see couplet get --help)",
				g->url, strerror(err ? -err : g->error));
	}
	fprintf(stderr, "couplet get: %s: %d %s, %s in %s\n", g->url, g->parser.status_code,
		http_status_str((enum http_status)g->parser.status_code), word_bytes(g->bytes).s,
		word_ns(loop_clock() - g->started).s);
	if (g->location[0])
		fprintf(stderr, "couplet get: it sends you to %s, which is not followed\n",
			word_foreign(g->location).s);
	return g->parser.status_code < 400 ? CLI_OK : CLI_TROUBLE;
}

int cmd_get(int argc, char **argv)
{
	static struct get g;
	struct net_options o = { .name = "get", .argv = argv };
	const char *output = NULL;
	int status, err = 0;

	status = parse_options(argc, argv, &g, &o, &output);
	if (status)
		return status < 0 ? CLI_OK : status;
	if (optind >= argc)
		return cli_fail(CLI_USAGE, "which URL?");
	g.url = argv[optind];
	if (optind + 1 < argc && (strcmp(argv[optind + 1], "--") || optind + 2 >= argc))
		return cli_fail(CLI_USAGE, "%s: a command follows \"--\"", argv[optind + 1]);
	g.command = optind + 2 < argc;
	status = parse_url(&g);
	if (status)
		return status;
	g.out = output ? fopen(output, "w") : stdout;
	if (!g.out)
		return cli_fail(CLI_CANNOT, "cannot write %s: %s", output, strerror(errno));
	http_parser_init(&g.parser, HTTP_RESPONSE);
	g.parser.data = &g;
	status = net_open(&g.net, &o);
	if (!status && g.command)
		status = net_run(&g.net, argv + optind + 2, true);
	if (!status) {
		err = fetch(&g);
		status = report(&g, err);
	}
	if (g.handle)
		cpl_close(g.net.stack, g.handle, loop_clock());
	for (int i = 0; g.net.loop && i < 4; i++)
		loop_turn(g.net.loop, loop_clock() + 10 * CPL_MS); /* the FIN, and its ACK */
	net_close(&g.net);
	if (output && fclose(g.out))
		return cli_fail(CLI_CANNOT, "cannot write %s: %s", output, strerror(errno));
	free(g.request);
	return status;
}

#else

int cmd_get(int argc, char **argv)
{
	(void)argc, (void)argv;
	return cli_fail(CLI_CANNOT, "built without libhttp-parser: install libhttp-parser-dev and "
				    "build again");
}

#endif
