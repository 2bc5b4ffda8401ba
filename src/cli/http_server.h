/* SPDX-License-Identifier: MIT */
/*
 * A small HTTP/1.1 server of files (RFC 9110, RFC 9112) on a Couplet stack: GET and HEAD,
 * keep-alive, pipelining, one byte range, directory listings. Requests are parsed by Debian's
 * libhttp-parser, answers come from http_answer.h; here are the connections.
 */
#ifndef CLI_HTTP_SERVER_H
#define CLI_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/couplet.h>

struct http_server;

struct http_server_config {
	const char *root; /* the directory */
	uint16_t port;
	uint64_t idle_ns; /* a connection on which nothing moves for so long is closed */

	/* What to tell of; each may be NULL. */
	void *arg;
	/* A connection was accepted. */
	void (*opened)(void *arg, cpl_handle handle);
	/* Half of a response's body has been handed to TCP: the transfer is under way. */
	void (*half)(void *arg, cpl_handle handle);
	/* A response is complete: the log line. */
	void (*served)(void *arg, const char *method, const char *target, int status,
		       uint64_t bytes);
};

/* Serve the files below CONFIG->root on STACK. 0 or a negative errno. */
int http_server_new(struct http_server **server, cpl_stack *stack,
		    const struct http_server_config *config, uint64_t now);
/* Every connection is closed. NULL is allowed. */
void http_server_free(struct http_server *server, uint64_t now);
/* An event of the stack. */
void http_server_event(struct http_server *server, const struct cpl_event *event, uint64_t now);
/* When http_server_advance() is to be called next, or CPL_NEVER. */
uint64_t http_server_deadline(const struct http_server *server);
/* Close what has been idle for too long. */
void http_server_advance(struct http_server *server, uint64_t now);
/* False: libhttp-parser was not there when couplet was built. */
bool http_server_built(void);

#endif
