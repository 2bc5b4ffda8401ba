/* SPDX-License-Identifier: MIT */
/* The HTTP server of `couplet serve`: see http_server.h. */
#define _GNU_SOURCE
#include "cli/http_server.h"

#include <errno.h>

#ifndef HAVE_HTTP_PARSER

bool http_server_built(void)
{
	return false;
}

int http_server_new(struct http_server **server, cpl_stack *stack, const char *root, uint16_t port,
		    const struct http_hooks *hooks, uint64_t now)
{
	(void)server, (void)stack, (void)root, (void)port, (void)hooks, (void)now;
	return -ENOSYS;
}

void http_server_free(struct http_server *server, uint64_t now)
{
	(void)server, (void)now;
}

void http_server_event(struct http_server *server, const struct cpl_event *event, uint64_t now)
{
	(void)server, (void)event, (void)now;
}

#else

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <http_parser.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define URL_MAX	   4096
#define HEADER_MAX 256
#define BLOCK	   65536

struct http_server {
	cpl_stack *stack;
	cpl_handle listener;
	struct http_hooks hooks;
	int root;
	struct http_conn *conns;
};

struct http_conn {
	struct http_server *server;
	struct http_conn *next, **link;
	cpl_handle handle;
	http_parser parser;
	char url[URL_MAX];
	size_t url_len;
	char field[16], value[HEADER_MAX];
	size_t field_len, value_len;
	bool in_value;
	char range[HEADER_MAX];

	/* The answer that goes out: head, then body from memory or from a file. */
	char *head, *body;
	size_t head_len, head_sent;
	uint64_t body_len, body_sent;
	uint64_t file_off;
	int file;
	int status;
	bool answering, keep_alive, half_told, closing;
};

bool http_server_built(void)
{
	return true;
}

static const struct {
	const char *suffix, *type;
} content_types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".css", "text/css" },
	{ ".js", "text/javascript" },
	{ ".json", "application/json" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ ".md", "text/plain; charset=utf-8" },
	{ ".c", "text/plain; charset=utf-8" },
	{ ".h", "text/plain; charset=utf-8" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".jpg", "image/jpeg" },
	{ ".pdf", "application/pdf" },
};

static const char *content_type(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < sizeof(content_types) / sizeof(content_types[0]); i++)
		if (!strcasecmp(dot, content_types[i].suffix))
			return content_types[i].type;
	return "application/octet-stream";
}

/* ---- answers ---- */

static void body_clear(struct http_conn *c)
{
	free(c->head);
	free(c->body);
	c->head = c->body = NULL;
	if (c->file >= 0)
		close(c->file);
	c->file = -1;
	c->head_len = c->head_sent = 0;
	c->body_len = c->body_sent = c->file_off = 0;
}

static const char *reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 206:
		return "Partial Content";
	case 301:
		return "Moved Permanently";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 414:
		return "URI Too Long";
	case 416:
		return "Range Not Satisfiable";
	default:
		return "Internal Server Error";
	}
}

/* The head for what body_len and status say; EXTRA: header lines of its own, each with its end. */
static void answer(struct http_conn *c, int status, const char *type, const char *extra)
{
	int n;

	c->status = status;
	n = asprintf(&c->head,
		     "HTTP/1.1 %d %s\r\nServer: couplet/%s\r\nContent-Length: %llu\r\n"
		     "Content-Type: %s\r\n%s%s\r\n",
		     status, reason(status), CPL_VERSION, (unsigned long long)c->body_len, type,
		     extra, c->keep_alive ? "" : "Connection: close\r\n");
	c->head_len = n > 0 ? (size_t)n : 0;
	if (n < 0)
		c->head = NULL;
	if (c->parser.method == HTTP_HEAD)
		c->body_len = 0;
	c->answering = true;
}

static void answer_error(struct http_conn *c, int status, const char *extra)
{
	int n = asprintf(&c->body, "%d %s\n", status, reason(status));

	c->body_len = n > 0 ? (uint64_t)n : 0;
	answer(c, status, "text/plain; charset=utf-8", extra);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path of the URL, decoded, relative to the root; false: it is not one. */
static bool decode_path(const struct http_conn *c, char path[URL_MAX])
{
	struct http_parser_url u;
	const char *p;
	size_t n = 0, len;

	http_parser_url_init(&u);
	if (http_parser_parse_url(c->url, c->url_len, 0, &u) || !(u.field_set & (1 << UF_PATH)))
		return false;
	p = c->url + u.field_data[UF_PATH].off;
	len = u.field_data[UF_PATH].len;
	for (size_t i = 0; i < len; i++) {
		int high, low;

		if (p[i] != '%') {
			path[n++] = p[i];
			continue;
		}
		if (i + 2 >= len)
			return false;
		high = hex(p[i + 1]);
		low = hex(p[i + 2]);
		if (high < 0 || low < 0 || (!high && !low))
			return false;
		path[n++] = (char)(high << 4 | low);
		i += 2;
	}
	path[n] = 0;
	return n > 0 && path[0] == '/';
}

/* Opened below the root and nowhere else, whatever "..", or a symbolic link, says. */
static int open_below(int root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	while (*path == '/')
		path++;
	return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
}

static void escape(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (strchr("<>&\"'", *s))
			fprintf(f, "&#%d;", *s);
		else
			fputc(*s, f);
	}
}

static void answer_listing(struct http_conn *c, int dir, const char *path)
{
	struct dirent **names = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&c->body, &size);
	int n = scandirat(dir, ".", &names, NULL, alphasort);

	if (!f || n < 0) {
		if (f)
			fclose(f);
		free(c->body);
		c->body = NULL;
		answer_error(c, 403, "");
		return;
	}
	fputs("<!doctype html><meta charset=utf-8><title>", f);
	escape(f, path);
	fputs("</title><h1>", f);
	escape(f, path);
	fputs("</h1><ul>\n", f);
	for (int i = 0; i < n; i++) {
		bool is_dir = names[i]->d_type == DT_DIR;

		if (strcmp(names[i]->d_name, ".")) {
			fputs("<li><a href=\"", f);
			for (const char *s = names[i]->d_name; *s; s++) {
				if (isalnum((unsigned char)*s) || strchr("-._~", *s))
					fputc(*s, f);
				else
					fprintf(f, "%%%02X", (unsigned char)*s);
			}
			fputs(is_dir ? "/\">" : "\">", f);
			escape(f, names[i]->d_name);
			fputs(is_dir ? "/</a>\n" : "</a>\n", f);
		}
		free(names[i]);
	}
	free(names);
	fputs("</ul>\n", f);
	fclose(f);
	c->body_len = size;
	answer(c, 200, "text/html; charset=utf-8", "");
}

/* "bytes=A-B", "bytes=A-" or "bytes=-N" (RFC 9110 14.2): false: none, or not one that we know. */
static bool parse_range(const char *s, uint64_t size, uint64_t *first, uint64_t *last)
{
	unsigned long long a, b;
	char *end;

	if (strncmp(s, "bytes=", 6) || strchr(s, ','))
		return false;
	s += 6;
	if (*s == '-') {
		b = strtoull(s + 1, &end, 10);
		if (*end || !b)
			return false;
		*first = b < size ? size - b : 0;
		*last = size - 1;
		return true;
	}
	a = strtoull(s, &end, 10);
	if (end == s || *end != '-')
		return false;
	b = end[1] ? strtoull(end + 1, &end, 10) : size - 1;
	*first = a;
	*last = b < size ? b : size - 1;
	return a <= b;
}

static void answer_file(struct http_conn *c, int fd, const struct stat *st, const char *path)
{
	uint64_t size = (uint64_t)st->st_size, first = 0, last = size - 1;
	char extra[128] = "Accept-Ranges: bytes\r\n";
	int status = 200;

	if (c->range[0] && size && parse_range(c->range, size, &first, &last)) {
		if (first >= size) {
			snprintf(extra, sizeof(extra), "Content-Range: bytes */%llu\r\n",
				 (unsigned long long)size);
			close(fd);
			answer_error(c, 416, extra);
			return;
		}
		status = 206;
		snprintf(extra, sizeof(extra), "Content-Range: bytes %llu-%llu/%llu\r\n",
			 (unsigned long long)first, (unsigned long long)last,
			 (unsigned long long)size);
		size = last - first + 1;
	}
	c->file = fd;
	c->file_off = first;
	c->body_len = size;
	answer(c, status, content_type(path), extra);
}

static void answer_path(struct http_conn *c, const char *path)
{
	char with_slash[URL_MAX + 32];
	int fd = open_below(c->server->root, path), index;
	struct stat st;

	if (fd < 0) {
		answer_error(c, errno == EACCES || errno == EXDEV ? 403 : 404, "");
		return;
	}
	if (fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		close(fd);
		answer_error(c, 403, "");
		return;
	}
	if (S_ISREG(st.st_mode)) {
		answer_file(c, fd, &st, path);
		return;
	}
	if (path[strlen(path) - 1] != '/') {
		snprintf(with_slash, sizeof(with_slash), "Location: %.*s/\r\n", (int)c->url_len,
			 c->url);
		close(fd);
		answer_error(c, 301, with_slash);
		return;
	}
	index = openat(fd, "index.html", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (index >= 0 && !fstat(index, &st) && S_ISREG(st.st_mode)) {
		answer_file(c, index, &st, "index.html");
	} else {
		if (index >= 0)
			close(index);
		answer_listing(c, fd, path);
	}
	close(fd);
}

static void answer_request(struct http_conn *c)
{
	char path[URL_MAX];

	c->keep_alive = http_should_keep_alive(&c->parser);
	if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD)
		answer_error(c, 405, "Allow: GET, HEAD\r\n");
	else if (c->url_len >= URL_MAX)
		answer_error(c, 414, "");
	else if (!decode_path(c, path))
		answer_error(c, 400, "");
	else
		answer_path(c, path);
}

/* ---- requests ---- */

static int on_begin(http_parser *p)
{
	struct http_conn *c = p->data;

	c->url_len = c->field_len = c->value_len = 0;
	c->range[0] = 0;
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct http_conn *c = p->data;

	if (c->url_len + n >= URL_MAX) {
		c->url_len = URL_MAX;
		return 0;
	}
	memcpy(c->url + c->url_len, at, n);
	c->url_len += n;
	return 0;
}

static void header_done(struct http_conn *c)
{
	if (c->field_len == 5 && !strncasecmp(c->field, "range", 5)) {
		memcpy(c->range, c->value, c->value_len);
		c->range[c->value_len] = 0;
	}
	c->field_len = c->value_len = 0;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct http_conn *c = p->data;

	if (c->in_value)
		header_done(c);
	c->in_value = false;
	for (size_t i = 0; i < n; i++)
		if (c->field_len < sizeof(c->field))
			c->field[c->field_len++] = at[i];
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct http_conn *c = p->data;

	c->in_value = true;
	for (size_t i = 0; i < n; i++)
		if (c->value_len + 1 < sizeof(c->value))
			c->value[c->value_len++] = at[i];
	return 0;
}

static int on_headers(http_parser *p)
{
	struct http_conn *c = p->data;

	if (c->in_value)
		header_done(c);
	c->in_value = false;
	return 0;
}

/* One request at a time: the rest of the stream waits in TCP until this is answered. */
static int on_complete(http_parser *p)
{
	http_parser_pause(p, 1);
	answer_request(p->data);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_message_complete = on_complete,
};

/* ---- connections ---- */

static void conn_free(struct http_conn *c)
{
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	body_clear(c);
	free(c);
}

static void conn_close(struct http_conn *c, uint64_t now)
{
	cpl_close(c->server->stack, c->handle, now);
	conn_free(c);
}

/* Send what fits; true when the answer is out. */
static bool conn_send(struct http_conn *c, uint64_t now)
{
	cpl_stack *stack = c->server->stack;
	static char block[BLOCK];
	long n;

	while (c->head_sent < c->head_len) {
		n = cpl_send(stack, c->handle, c->head + c->head_sent, c->head_len - c->head_sent,
			     c->body_len ? CPL_MSG_MORE : 0, now);
		if (n <= 0)
			return false;
		c->head_sent += (size_t)n;
	}
	while (c->body_sent < c->body_len) {
		uint64_t left = c->body_len - c->body_sent;
		const char *p = c->body + c->body_sent;
		size_t want = left < BLOCK ? (size_t)left : BLOCK;

		if (c->file >= 0) {
			ssize_t got =
				pread(c->file, block, want, (off_t)(c->file_off + c->body_sent));

			if (got <= 0) { /* the file shrank: the length cannot be kept */
				c->closing = true;
				cpl_abort(stack, c->handle, now);
				return false;
			}
			p = block;
			want = (size_t)got;
		}
		n = cpl_send(stack, c->handle, p, want, 0, now);
		if (n <= 0)
			return false;
		c->body_sent += (uint64_t)n;
		if (!c->half_told && c->body_sent * 2 >= c->body_len) {
			c->half_told = true;
			if (c->server->hooks.half)
				c->server->hooks.half(c->server->hooks.arg, c->handle);
		}
	}
	return true;
}

static void answered(struct http_conn *c)
{
	const struct http_hooks *h = &c->server->hooks;

	if (h->served) {
		c->url[c->url_len < URL_MAX ? c->url_len : URL_MAX - 1] = 0;
		h->served(h->arg, http_method_str(c->parser.method), c->url, c->status,
			  c->body_sent);
	}
	body_clear(c);
	c->answering = false;
	c->half_told = false;
}

/* Only what belongs to this request is read: the next one stays in TCP until this is answered. */
static bool conn_read(struct http_conn *c, uint64_t now)
{
	char data[4096];
	size_t used;
	long n = cpl_recv(c->server->stack, c->handle, data, sizeof(data), CPL_MSG_PEEK, now);

	if (n <= 0)
		return n == -EAGAIN;
	if (HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED)
		http_parser_pause(&c->parser, 0);
	used = http_parser_execute(&c->parser, &settings, data, (size_t)n);
	if (HTTP_PARSER_ERRNO(&c->parser) != HPE_OK &&
	    HTTP_PARSER_ERRNO(&c->parser) != HPE_PAUSED) {
		used = (size_t)n;
		if (!c->answering) {
			c->keep_alive = false;
			answer_error(c, 400, "");
		}
	}
	cpl_recv(c->server->stack, c->handle, data, used, 0, now);
	return true;
}

static void conn_run(struct http_conn *c, bool fin, uint64_t now)
{
	for (;;) {
		if (c->answering) {
			if (!conn_send(c, now)) {
				if (c->closing)
					conn_free(c);
				return;
			}
			answered(c);
			if (!c->keep_alive) {
				conn_close(c, now);
				return;
			}
		}
		if (!conn_read(c, now)) {
			conn_close(c, now);
			return;
		}
		if (!c->answering)
			break;
	}
	if (fin)
		conn_close(c, now);
}

static void conn_accept(struct http_server *s, uint64_t now)
{
	cpl_handle h;

	while (!cpl_accept(s->stack, s->listener, &h, now)) {
		struct http_conn *c = calloc(1, sizeof(*c));

		if (!c) {
			cpl_abort(s->stack, h, now);
			continue;
		}
		c->server = s;
		c->handle = h;
		c->file = -1;
		http_parser_init(&c->parser, HTTP_REQUEST);
		c->parser.data = c;
		c->next = s->conns;
		c->link = &s->conns;
		if (s->conns)
			s->conns->link = &c->next;
		s->conns = c;
		cpl_set_user(s->stack, h, (uint64_t)(uintptr_t)c);
		if (s->hooks.opened)
			s->hooks.opened(s->hooks.arg, h);
	}
}

int http_server_new(struct http_server **server, cpl_stack *stack, const char *root, uint16_t port,
		    const struct http_hooks *hooks, uint64_t now)
{
	struct http_server *s = calloc(1, sizeof(*s));
	struct cpl_endpoint at = { .port = port };
	int err;

	if (!s)
		return -ENOMEM;
	s->stack = stack;
	s->hooks = *hooks;
	s->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0) {
		err = -errno;
		free(s);
		return err;
	}
	err = cpl_listen(stack, &at, 1024, &s->listener, now);
	if (err) {
		close(s->root);
		free(s);
		return err;
	}
	if (hooks->opened)
		hooks->opened(hooks->arg, s->listener);
	*server = s;
	return 0;
}

void http_server_free(struct http_server *s, uint64_t now)
{
	if (!s)
		return;
	while (s->conns)
		conn_close(s->conns, now);
	cpl_close(s->stack, s->listener, now);
	close(s->root);
	free(s);
}

void http_server_event(struct http_server *s, const struct cpl_event *ev, uint64_t now)
{
	struct http_conn *c = (struct http_conn *)(uintptr_t)ev->user;

	if (ev->handle == s->listener) {
		conn_accept(s, now);
		return;
	}
	if (!c)
		return;
	if (ev->what & CPL_EV_CLOSED) {
		cpl_close(s->stack, c->handle, now);
		conn_free(c);
		return;
	}
	if (ev->what & (CPL_EV_READABLE | CPL_EV_WRITABLE | CPL_EV_PEER_FIN))
		conn_run(c, ev->what & CPL_EV_PEER_FIN, now);
}

#endif
