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
	char host[256];
	struct cpl_endpoint server;
	http_parser parser;
	FILE *out;
	cpl_handle handle;
	char *request;
	size_t request_len, request_sent;
	uint64_t bytes, announced, started, retry_at, heard;
	char field[16], location[512];
	size_t field_len, location_len;
	bool in_value, both, head, done, failed, shown, command, unwritten;
	int error;	  /* positive errno of what failed */
	const char *what; /* in words, where the errno does not say it */
};

static void finish(struct get *g, int error, const char *what)
{
	if (error && !g->failed) {
		g->failed = true;
		g->error = error;
		g->what = what;
	}
	loop_stop(g->net.loop);
}

/* ---- The answer ----------------------------------------------------------------------------- */

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct get *g = p->data;

	if (g->in_value)
		g->field_len = 0;
	g->in_value = false;
	for (size_t i = 0; i < n; i++, g->field_len++)
		if (g->field_len < sizeof(g->field))
			g->field[g->field_len] = at[i];
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct get *g = p->data;

	g->in_value = true;
	if (g->field_len != 8 || strncasecmp(g->field, "location", 8) != 0)
		return 0;
	for (size_t i = 0; i < n && g->location_len + 1 < sizeof(g->location); i++)
		g->location[g->location_len++] = at[i];
	return 0;
}

static bool is_interim(const http_parser *p)
{
	return p->status_code / 100 == 1;
}

static int on_headers(http_parser *p)
{
	struct get *g = p->data;

	g->announced = p->content_length;
	return g->head || is_interim(p) ? 1 : 0; /* 1: no body follows */
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct get *g = p->data;

	if (fwrite(at, 1, n, g->out) != n) {
		g->unwritten = true;
		finish(g, errno, NULL);
		return 1;
	}
	g->bytes += n;
	if (g->both && !g->shown && p->content_length != ULLONG_MAX &&
	    g->bytes > p->content_length) {
		g->shown = true;
		fflush(g->out);
		if (g->out == stdout)
			putchar('\n');
		printf("Half of it has arrived. The two control blocks of this connection "
		       "now:\n\n");
		net_show_both(&g->net, g->handle, "couplet", "kernel");
	}
	return 0;
}

/* 100 Continue and its like: the answer is yet to come (RFC 9110 15.2). */
static int on_complete(http_parser *p)
{
	struct get *g = p->data;

	g->done = !is_interim(p);
	return 0;
}

static const http_parser_settings settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

/* ---- The connection ------------------------------------------------------------------------- */

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
			finish(g, (int)-n, NULL);
			return;
		}
		http_parser_execute(&g->parser, &settings, data, (size_t)n);
		if (HTTP_PARSER_ERRNO(&g->parser) != HPE_OK && !g->done && n)
			finish(g, EPROTO, "the answer is not HTTP");
		else if (n == 0 && !g->done)
			finish(g, EPIPE,
			       "the connection was closed before the answer was complete");
	}
	if (g->done)
		finish(g, 0, NULL);
}

static int dial(struct get *g, uint64_t now)
{
	int err = cpl_connect(g->net.stack, NULL, &g->server, &g->handle, now);

	g->retry_at = 0;
	g->heard = now;
	if (!err)
		net_own(g->net.stack, g->handle, "couplet get");
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
	finish(g, ev->error ? ev->error : ECONNRESET, NULL);
}

static int fetch(struct get *g)
{
	int err;

	loop_on_event(g->net.loop, on_event, g);
	g->started = loop_clock();
	err = dial(g, g->started);
	while (!err && !g->done && !g->failed) {
		uint64_t until = g->retry_at ? g->retry_at : g->heard + SILENCE_NS;

		err = loop_turn(g->net.loop, until);
		if (!err && g->retry_at && loop_clock() >= g->retry_at)
			err = dial(g, loop_clock());
		else if (!g->retry_at && loop_clock() >= g->heard + SILENCE_NS)
			finish(g, ETIMEDOUT, "nothing was heard for 60 seconds");
	}
	return err;
}

/* ---- The URL -------------------------------------------------------------------------------- */

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

/* What the request line asks for: path and query, "/" if there is none (RFC 9112 3.2.1). */
static void origin_form(const struct get *g, const struct http_parser_url *u, const char **slash,
			const char **at, int *n)
{
	const char *end;

	*slash = u->field_set & (1 << UF_PATH) ? "" : "/";
	*at = "";
	*n = 0;
	if (u->field_set & (1 << UF_PATH))
		*at = g->url + u->field_data[UF_PATH].off;
	else if (u->field_set & (1 << UF_QUERY))
		*at = g->url + u->field_data[UF_QUERY].off - 1;
	end = *at + strcspn(*at, "#");
	*n = (int)(end - *at);
}

static int parse_url(struct get *g)
{
	struct http_parser_url u;
	const char *slash, *target, *open = "", *close = "";
	char port[8] = "";
	int n, target_len;

	http_parser_url_init(&u);
	if (!strncasecmp(g->url, "https:", 6))
		return cli_fail(CLI_CANNOT,
				"%s: https is not spoken here: Couplet is a TCP, not a TLS",
				g->url);
	if (http_parser_parse_url(g->url, strlen(g->url), 0, &u) ||
	    !(u.field_set & (1 << UF_HOST)) || strncasecmp(g->url, "http:", 5) != 0 ||
	    u.field_data[UF_HOST].len >= sizeof(g->host) ||
	    (u.field_set & (1 << UF_PORT) && !u.port))
		return cli_fail(CLI_USAGE, "%s: a URL looks like http://10.99.0.1:8000/file",
				g->url);
	memcpy(g->host, g->url + u.field_data[UF_HOST].off, u.field_data[UF_HOST].len);
	if (strchr(g->host, ':')) {
		open = "[";
		close = "]";
	}
	if (u.field_set & (1 << UF_PORT))
		snprintf(port, sizeof(port), ":%u", u.port);
	origin_form(g, &u, &slash, &target, &target_len);
	n = asprintf(&g->request,
		     "%s %s%.*s HTTP/1.1\r\nHost: %s%s%s%s\r\nUser-Agent: couplet/%s\r\n"
		     "Accept: */*\r\nConnection: close\r\n\r\n",
		     g->head ? "HEAD" : "GET", slash, target_len, target, open, g->host, close,
		     port, CPL_VERSION);
	if (n < 0)
		return cli_fail(CLI_CANNOT, "out of memory");
	g->request_len = (size_t)n;
	return resolve(g, g->host, u.field_set & (1 << UF_PORT) ? u.port : 80);
}

/* ---- The command ---------------------------------------------------------------------------- */

static const char help[] =
	"  -o, --output FILE    write there, not to standard output\n"
	"  -I, --head           ask for the headers only\n"
	"  -b, --both           show both control blocks, ours and the kernel's, "
	"half-way\n" NET_HELP "\n"
	"What can be reached: programs that listen on 10.99.0.1 or fd99::1, the kernel's\n"
	"end of the link, or on all addresses: those of COMMAND, which runs beside and is\n"
	"ended afterwards; when root, those of this machine. Other hosts only if the\n"
	"kernel forwards to them. https is not spoken.\n"
	"Example: couplet get http://10.99.0.1:8000/ -- python3 -m http.server 8000\n";

static const struct option options[] = {
	NET_OPTIONS,
	{ "output", required_argument, NULL, 'o' },
	{ "head", no_argument, NULL, 'I' },
	{ "both", no_argument, NULL, 'b' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int parse_options(int argc, char **argv, struct get *g, struct net_options *o,
			 const char **output)
{
	int c, status = CLI_OK;

	opterr = 0;
	while (!status && (c = getopt_long(argc, argv, "+:o:Ibh", options, NULL)) != -1) {
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
		case 'h':
			cli_help("get", help);
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

/* Why nothing came, as far as it can be told. */
static int report_failure(const struct get *g, int err)
{
	char at[CPL_ADDR_TEXT], ended[64] = "";
	int error = err ? -err : g->error;
	const char *what = g->what && !err ? g->what : strerror(error);

	cpl_addr_text(&g->server.addr, at);
	if (error == EPIPE && g->announced && g->announced != ULLONG_MAX)
		return cli_fail(CLI_TROUBLE, "%s: the connection was closed after %s of %s", g->url,
				word_bytes(g->bytes).s, word_bytes(g->announced).s);
	if (g->unwritten)
		return cli_fail(CLI_CANNOT, "cannot write the output: %s", strerror(error));
	if (error != ECONNREFUSED)
		return cli_fail(CLI_TROUBLE, "%s: %s", g->url, what);
	if (g->net.child_ended)
		snprintf(ended, sizeof(ended), ", and the command has ended with status %d",
			 net_child_status(&g->net));
	return cli_fail(CLI_TROUBLE, "%s: nothing listens on port %u of %s%s", g->url,
			g->server.port, at, ended);
}

static int report(const struct get *g, int err)
{
	if (err || g->failed)
		return report_failure(g, err);
	fprintf(stderr, "couplet get: %s: %d %s, %s in %s\n", g->url, g->parser.status_code,
		http_status_str((enum http_status)g->parser.status_code), word_bytes(g->bytes).s,
		word_ns(loop_clock() - g->started).s);
	if (g->location[0])
		fprintf(stderr, "couplet get: it sends you to %s, which is not followed\n",
			word_foreign(g->location).s);
	return g->parser.status_code < 400 ? CLI_OK : CLI_TROUBLE;
}

static int run(struct get *g, char *const *command)
{
	struct link_why why;
	int status, err;

	if (!net_reaches(&g->net, &g->server.addr, &why))
		return cli_fail(CLI_CANNOT, "%s: %s", g->url, why.text);
	status = command ? net_run(&g->net, command, STDERR_FILENO) : CLI_OK;
	if (status)
		return status;
	err = fetch(g);
	status = report(g, err);
	if (g->handle)
		cpl_close(g->net.stack, g->handle, loop_clock());
	for (int i = 0; i < 4; i++) /* the FIN, and its ACK */
		loop_turn(g->net.loop, loop_clock() + 10 * CPL_MS);
	return status;
}

int cmd_get(int argc, char **argv)
{
	static struct get g;
	struct net_options o = { .name = "get", .argv = argv, .opens = true };
	const char *output = NULL;
	char *const *command;
	int status;

	status = parse_options(argc, argv, &g, &o, &output);
	if (status)
		return status < 0 ? CLI_OK : status;
	if (optind >= argc || !strcmp(argv[optind - 1], "--"))
		return cli_fail(CLI_USAGE, "which URL?");
	g.url = argv[optind];
	g.command = optind + 2 < argc;
	status = net_command(argc, argv, optind, &command);
	if (!status)
		status = parse_url(&g);
	if (status)
		return status;
	g.out = output ? fopen(output, "w") : stdout;
	if (!g.out)
		return cli_fail(CLI_CANNOT, "cannot write %s: %s", output, strerror(errno));
	http_parser_init(&g.parser, HTTP_RESPONSE);
	g.parser.data = &g;
	status = net_open(&g.net, &o);
	if (!status)
		status = run(&g, command);
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
