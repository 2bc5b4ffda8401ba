/* SPDX-License-Identifier: MIT */
/*
 * What a small HTTP/1.1 server says (RFC 9110): the answer to one request for a file or directory
 * below a root. Knows nothing of connections.
 */
#ifndef CLI_HTTP_ANSWER_H
#define CLI_HTTP_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_TARGET_MAX 4096 /* octets of a request target, a 0 behind it included */
#define HTTP_VALUE_MAX	256  /* the same of a header field that matters here */

/* What a request asked for. Strings end with 0; those of fields that were absent are empty. */
struct http_request {
	char target[HTTP_TARGET_MAX];
	char range[HTTP_VALUE_MAX];
	char if_range[HTTP_VALUE_MAX];
	char if_modified_since[HTTP_VALUE_MAX];
	bool head;	 /* HEAD, not GET */
	bool http10;	 /* of HTTP/1.0 */
	bool keep_alive; /* the connection can carry another request */
};

/* What to send: the head, then body_len octets of body, or of file from file_off on. */
struct http_answer {
	int status;
	char *head, *body;
	size_t head_len;
	uint64_t body_len;
	int file; /* -1: none */
	uint64_t file_off;
};

/* Nothing to send, and nothing held. */
void http_answer_init(struct http_answer *answer);
void http_answer_free(struct http_answer *answer);

/* A file or a listing below directory ROOT, or the error that there is instead of it. */
void http_answer_get(struct http_answer *answer, int root, const struct http_request *request);
/* Nothing but STATUS. */
void http_answer_status(struct http_answer *answer, const struct http_request *request, int status);

/* A descriptor of what PATH is below ROOT, or -1 with errno. */
int http_open_below(int root, const char *path);

#endif
