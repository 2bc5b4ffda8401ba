/* SPDX-License-Identifier: MIT */
/* The HTTP server of `couplet serve`: see http_server.h. */
#include "cli/http_server.h"

#include <errno.h>

#ifndef HAVE_HTTP_PARSER

bool http_server_built(void)
{
	return false;
}

int http_server_new(struct http_server **server, cpl_stack *stack,
		    const struct http_server_config *config, uint64_t now)
{
	(void)server, (void)stack, (void)config, (void)now;
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

uint64_t http_server_deadline(const struct http_server *server)
{
	(void)server;
	return CPL_NEVER;
}

void http_server_advance(struct http_server *server, uint64_t now)
{
	(void)server, (void)now;
}

#else

#include <fcntl.h>
#include <http_parser.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/list.h"
#include "cli/http_answer.h"

#define BLOCK	  65536
#define LINGER_NS (5 * CPL_SECOND) /* for a client to read a last answer, and to close */
#define BACKLOG	  1024

struct http_server {
	cpl_stack *stack;
	cpl_handle listener;
	struct http_server_config config;
	int root;
	/* Both in the order of their deadlines, which are all equally far from the last move. */
	struct list active, lingering;
	char block[BLOCK]; /* of who is in a call: what goes between TCP and a file */
};

struct http_conn {
	struct http_server *server;
	struct list node; /* of active or lingering */
	cpl_handle handle;
	uint64_t deadline;
	uint64_t acked; /* bytes, when it last seemed idle */

	/* The request that comes in. */
	http_parser parser;
	struct http_request request;
	size_t target_len, field_len, value_len;
	char field[32];
	char *value; /* where the field's value goes, or NULL */
	unsigned hosts;
	bool in_value;

	/* The answer that goes out. */
	struct http_answer answer;
	size_t head_sent;
	uint64_t body_sent;
	bool answering, half_told;
	bool last;    /* of this connection */
	bool lingers; /* what still comes in is read and thrown away */
};

/* ---- Requests ------------------------------------------------------------------------------- */

static int on_begin(http_parser *p)
{
	struct http_conn *c = p->data;

	memset(&c->request, 0, sizeof(c->request));
	c->target_len = c->field_len = c->value_len = 0;
	c->value = NULL;
	c->in_value = false;
	c->hosts = 0;
	return 0;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
	struct http_conn *c = p->data;
	size_t room = HTTP_TARGET_MAX - 1 - c->target_len;

	memcpy(c->request.target + c->target_len, at, n < room ? n : room);
	c->target_len += n < room ? n : room;
	return 0;
}

static bool field_is(const struct http_conn *c, const char *name)
{
	return c->field_len == strlen(name) && !strncasecmp(c->field, name, c->field_len);
}

static void field_done(struct http_conn *c)
{
	c->value = NULL;
	c->value_len = 0;
	if (field_is(c, "Host"))
		c->hosts++;
	else if (field_is(c, "Range"))
		c->value = c->request.range;
	else if (field_is(c, "If-Range"))
		c->value = c->request.if_range;
	else if (field_is(c, "If-Modified-Since"))
		c->value = c->request.if_modified_since;
}

static int on_field(http_parser *p, const char *at, size_t n)
{
	struct http_conn *c = p->data;

	if (c->in_value)
		c->field_len = 0;
	c->in_value = false;
	for (size_t i = 0; i < n; i++, c->field_len++)
		if (c->field_len < sizeof(c->field))
			c->field[c->field_len] = at[i];
	return 0;
}

/* A value that is too long is none: nothing that matters here is as long. */
static int on_value(http_parser *p, const char *at, size_t n)
{
	struct http_conn *c = p->data;

	if (!c->in_value)
		field_done(c);
	c->in_value = true;
	if (!c->value)
		return 0;
	if (c->value_len + n >= HTTP_VALUE_MAX) {
		c->value[0] = 0;
		c->value = NULL;
		return 0;
	}
	memcpy(c->value + c->value_len, at, n);
	c->value_len += n;
	c->value[c->value_len] = 0;
	return 0;
}

/* The status of a request that is refused for its head, or 0. */
static int refusal(const struct http_conn *c)
{
	const http_parser *p = &c->parser;

	if (p->http_major != 1)
		return 505;
	if (p->http_minor > 0 && c->hosts != 1) /* RFC 9112 3.2 */
		return 400;
	if (p->http_minor == 0 && c->hosts > 1)
		return 400;
	if (p->method != HTTP_GET && p->method != HTTP_HEAD)
		return 405;
	return c->target_len == HTTP_TARGET_MAX - 1 ? 414 : 0;
}

static int on_headers(http_parser *p)
{
	struct http_conn *c = p->data;
	int status = refusal(c);

	c->request.head = p->method == HTTP_HEAD;
	c->request.http10 = p->http_major == 1 && p->http_minor == 0;
	c->request.keep_alive = http_should_keep_alive(p);
	if (!status)
		return 0;
	/* The body is not waited for, so that where it ends is not known. */
	if (status != 405 || p->flags & F_CHUNKED ||
	    (p->content_length && p->content_length != ULLONG_MAX))
		c->request.keep_alive = false;
	c->answering = true;
	http_answer_status(&c->answer, &c->request, status);
	return c->request.keep_alive ? 0 : -1;
}

/* One request at a time: the rest of the stream waits in TCP until this is answered. */
static int on_complete(http_parser *p)
{
	struct http_conn *c = p->data;

	http_parser_pause(p, 1);
	if (!c->answering)
		http_answer_get(&c->answer, c->server->root, &c->request);
	c->answering = true;
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

/* ---- Connections ---------------------------------------------------------------------------- */

static void conn_free(struct http_conn *c)
{
	list_del(&c->node);
	http_answer_free(&c->answer);
	free(c);
}

static void conn_close(struct http_conn *c, uint64_t now)
{
	cpl_close(c->server->stack, c->handle, now);
	conn_free(c);
}

static void conn_abort(struct http_conn *c, uint64_t now)
{
	cpl_abort(c->server->stack, c->handle, now);
	conn_free(c);
}

/* Something has moved. */
static void conn_moved(struct http_conn *c, uint64_t now)
{
	if (c->lingers)
		return;
	c->deadline = now + c->server->config.idle_ns;
	list_del(&c->node);
	list_push_back(&c->server->active, &c->node);
}

/* Send what fits of N octets at P, and count it in *SENT. True: all. */
static bool send_some(struct http_conn *c, const char *p, size_t n, unsigned flags, uint64_t *sent,
		      uint64_t now)
{
	long took = cpl_send(c->server->stack, c->handle, p, n, flags, now);

	if (took <= 0)
		return false;
	*sent += (uint64_t)took;
	conn_moved(c, now);
	return (size_t)took == n;
}

enum sent {
	SENT_ALL,
	SENT_SOME, /* CPL_EV_WRITABLE follows, or the end of the connection */
	SENT_SHORT /* the file has shrunk: its length cannot be kept */
};

static enum sent send_body(struct http_conn *c, uint64_t now)
{
	const struct http_answer *a = &c->answer;
	char *block = c->server->block;

	while (c->body_sent < a->body_len) {
		uint64_t left = a->body_len - c->body_sent;
		size_t n = left < BLOCK ? (size_t)left : BLOCK;
		const char *p = block;
		bool all;

		if (a->file >= 0) {
			ssize_t got = pread(a->file, block, n, (off_t)(a->file_off + c->body_sent));

			if (got <= 0)
				return SENT_SHORT;
			n = (size_t)got;
		} else {
			p = a->body + c->body_sent;
		}
		all = send_some(c, p, n, 0, &c->body_sent, now);
		if (!c->half_told && c->body_sent * 2 >= a->body_len) {
			c->half_told = true;
			if (c->server->config.half)
				c->server->config.half(c->server->config.arg, c->handle);
		}
		if (!all)
			return SENT_SOME;
	}
	return SENT_ALL;
}

static enum sent send_answer(struct http_conn *c, uint64_t now)
{
	const struct http_answer *a = &c->answer;
	uint64_t sent = c->head_sent;
	bool all;

	if (!a->head)
		return SENT_SHORT; /* there was no memory for it */
	while (sent < a->head_len) {
		all = send_some(c, a->head + sent, a->head_len - sent,
				a->body_len ? CPL_MSG_MORE : 0, &sent, now);
		c->head_sent = sent;
		if (!all)
			return SENT_SOME;
	}
	return send_body(c, now);
}

static void answered(struct http_conn *c)
{
	const struct http_server_config *config = &c->server->config;

	if (config->served && c->request.target[0])
		config->served(config->arg, http_method_str(c->parser.method), c->request.target,
			       c->answer.status, c->body_sent);
	else if (config->served)
		config->served(config->arg, "what is no request", "", c->answer.status,
			       c->body_sent);
	c->last = !c->request.keep_alive;
	http_answer_free(&c->answer);
	c->answering = c->half_told = false;
	c->head_sent = 0;
	c->body_sent = 0;
}

/* Requests that are none: the head that the parser left unread does not say where the next is. */
static void not_http(struct http_conn *c)
{
	if (c->answering)
		return;
	c->request.keep_alive = false;
	c->request.target[0] = 0;
	c->answering = true;
	http_answer_status(&c->answer, &c->request,
			   HTTP_PARSER_ERRNO(&c->parser) == HPE_HEADER_OVERFLOW ? 431 : 400);
}

/*
 * Read requests until one is complete, and no further: the next one stays in TCP until this is
 * answered. Returns 1; 0: wait for more; or what ended the connection, -EPIPE for the peer's FIN.
 */
static int read_request(struct http_conn *c, uint64_t now)
{
	cpl_stack *stack = c->server->stack;
	char *data = c->server->block;
	enum http_errno error;
	size_t used;
	long n;

	while (!c->answering) {
		n = cpl_recv(stack, c->handle, data, BLOCK, CPL_MSG_PEEK, now);
		if (n <= 0)
			return n == -EAGAIN ? 0 : n ? (int)n : -EPIPE;
		if (HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED)
			http_parser_pause(&c->parser, 0);
		used = http_parser_execute(&c->parser, &settings, data, (size_t)n);
		error = HTTP_PARSER_ERRNO(&c->parser);
		if (error != HPE_OK && error != HPE_PAUSED) {
			used = (size_t)n;
			not_http(c);
		}
		cpl_recv(stack, c->handle, data, used, 0, now);
	}
	conn_moved(c, now);
	return 1;
}

/*
 * The last answer is out: our FIN follows it, and what the client still sends is read, for a while:
 * data that nobody reads makes a RST, which would take the answer away from it (RFC 9112 9.6).
 */
static void linger(struct http_conn *c, uint64_t now)
{
	if (c->lingers)
		return;
	c->lingers = true;
	c->deadline = now + LINGER_NS;
	list_del(&c->node);
	list_push_back(&c->server->lingering, &c->node);
	cpl_shutdown(c->server->stack, c->handle, now);
}

static void drain(struct http_conn *c, uint64_t now)
{
	char *data = c->server->block;
	long n;

	while ((n = cpl_recv(c->server->stack, c->handle, data, BLOCK, 0, now)) > 0)
		;
	if (n != -EAGAIN)
		conn_close(c, now);
}

/* Go on as far as the connection lets us. */
static void conn_run(struct http_conn *c, uint64_t now)
{
	int got;

	while (!c->last) {
		got = read_request(c, now);
		if (got < 0)
			conn_close(c, now);
		if (got <= 0)
			return;
		switch (send_answer(c, now)) {
		case SENT_ALL:
			answered(c);
			break;
		case SENT_SOME:
			return;
		case SENT_SHORT:
			conn_abort(c, now);
			return;
		}
	}
	linger(c, now);
	drain(c, now);
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
		http_answer_init(&c->answer);
		http_parser_init(&c->parser, HTTP_REQUEST);
		c->parser.data = c;
		list_init(&c->node);
		conn_moved(c, now);
		cpl_set_user(s->stack, h, (uint64_t)(uintptr_t)c);
		if (s->config.opened)
			s->config.opened(s->config.arg, h);
	}
}

/* ---- The server ----------------------------------------------------------------------------- */

bool http_server_built(void)
{
	return true;
}

int http_server_new(struct http_server **server, cpl_stack *stack,
		    const struct http_server_config *config, uint64_t now)
{
	struct http_server *s = calloc(1, sizeof(*s));
	struct cpl_endpoint at = { .port = config->port };
	int err = 0, probe = -1;

	if (!s)
		return -ENOMEM;
	s->stack = stack;
	s->config = *config;
	list_init(&s->active);
	list_init(&s->lingering);
	s->root = open(config->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root >= 0)
		probe = http_open_below(s->root, ".");
	if (probe < 0)
		err = -errno;
	else
		close(probe);
	if (!err)
		err = cpl_listen(stack, &at, BACKLOG, &s->listener, now);
	if (err) {
		if (s->root >= 0)
			close(s->root);
		free(s);
		return err;
	}
	if (config->opened)
		config->opened(config->arg, s->listener);
	*server = s;
	return 0;
}

void http_server_free(struct http_server *s, uint64_t now)
{
	if (!s)
		return;
	while (!list_empty(&s->active))
		conn_close(list_first(&s->active, struct http_conn, node), now);
	while (!list_empty(&s->lingering))
		conn_close(list_first(&s->lingering, struct http_conn, node), now);
	cpl_close(s->stack, s->listener, now);
	close(s->root);
	free(s);
}

void http_server_event(struct http_server *s, const struct cpl_event *ev, uint64_t now)
{
	struct http_conn *c = (struct http_conn *)(uintptr_t)ev->user;

	if (ev->handle == s->listener)
		conn_accept(s, now);
	else if (c && ev->what & CPL_EV_CLOSED)
		conn_close(c, now);
	else if (c && ev->what & (CPL_EV_READABLE | CPL_EV_WRITABLE | CPL_EV_PEER_FIN))
		conn_run(c, now);
}

uint64_t http_server_deadline(const struct http_server *s)
{
	uint64_t deadline = CPL_NEVER;
	const struct list *lists[] = { &s->active, &s->lingering };

	for (unsigned i = 0; i < 2; i++) {
		if (!list_empty(lists[i])) {
			const struct http_conn *c = list_first(lists[i], struct http_conn, node);

			deadline = c->deadline < deadline ? c->deadline : deadline;
		}
	}
	return deadline;
}

/* A slow reader is none that is idle: what it acknowledges moves. */
static bool has_moved(struct http_conn *c, uint64_t now)
{
	struct cpl_info info;

	if (cpl_info_get(c->server->stack, c->handle, &info, now) || info.bytes_acked == c->acked)
		return false;
	c->acked = info.bytes_acked;
	return true;
}

void http_server_advance(struct http_server *s, uint64_t now)
{
	struct http_conn *c;

	while (!list_empty(&s->active)) {
		c = list_first(&s->active, struct http_conn, node);
		if (c->deadline > now)
			break;
		if (c->answering && has_moved(c, now))
			conn_moved(c, now);
		else if (c->answering)
			conn_abort(c, now);
		else
			conn_close(c, now);
	}
	while (!list_empty(&s->lingering)) {
		c = list_first(&s->lingering, struct http_conn, node);
		if (c->deadline > now)
			break;
		conn_close(c, now);
	}
}

#endif
