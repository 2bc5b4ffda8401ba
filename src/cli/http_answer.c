/* SPDX-License-Identifier: MIT */
/* Answers to HTTP requests: see http_answer.h. */
#define _GNU_SOURCE
#include "cli/http_answer.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <couplet/couplet.h>

#define DATE_LEN 32

void http_answer_init(struct http_answer *a)
{
	memset(a, 0, sizeof(*a));
	a->file = -1;
}

void http_answer_free(struct http_answer *a)
{
	free(a->head);
	free(a->body);
	if (a->file >= 0)
		close(a->file);
	http_answer_init(a);
}

/* ---- The head ------------------------------------------------------------------------------- */

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 414, "URI Too Long" },
	{ 416, "Range Not Satisfiable" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Internal Server Error";
}

static const struct {
	const char *suffix, *type;
} content_types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".htm", "text/html; charset=utf-8" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ ".md", "text/plain; charset=utf-8" },
	{ ".c", "text/plain; charset=utf-8" },
	{ ".h", "text/plain; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".jpg", "image/jpeg" },
	{ ".gif", "image/gif" },
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

/* RFC 9110 5.6.7: always in English, whatever the locale. */
static void date_text(char text[DATE_LEN], time_t t)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = { 0 };

	gmtime_r(&t, &tm);
	snprintf(text, DATE_LEN, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
		 days + (size_t)tm.tm_wday * 3, tm.tm_mday, months + (size_t)tm.tm_mon * 3,
		 (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* The head for what body_len and STATUS say; EXTRA: header lines of its own, each with its end. */
static void finish(struct http_answer *a, const struct http_request *rq, int status,
		   const char *type, const char *extra)
{
	const char *connection = "";
	char date[DATE_LEN], length[128] = "";
	int n;

	if (!rq->keep_alive)
		connection = "Connection: close\r\n";
	else if (rq->http10)
		connection = "Connection: keep-alive\r\n";
	if (status != 304) /* which is about a body that is elsewhere: RFC 9110 15.4.5 */
		snprintf(length, sizeof(length), "Content-Length: %llu\r\nContent-Type: %s\r\n",
			 (unsigned long long)a->body_len, type);
	date_text(date, time(NULL));
	n = asprintf(&a->head, "HTTP/1.1 %d %s\r\nServer: couplet/%s\r\nDate: %s\r\n%s%s%s\r\n",
		     status, reason_of(status), CPL_VERSION, date, length, extra, connection);
	if (n < 0)
		a->head = NULL;
	a->head_len = n > 0 ? (size_t)n : 0;
	a->status = status;
	if (rq->head || status == 304)
		a->body_len = 0;
}

static void answer_error(struct http_answer *a, const struct http_request *rq, int status,
			 const char *extra)
{
	int n = asprintf(&a->body, "%d %s\n", status, reason_of(status));

	if (n < 0)
		a->body = NULL;
	a->body_len = n > 0 ? (uint64_t)n : 0;
	finish(a, rq, status, "text/plain; charset=utf-8", extra);
}

void http_answer_status(struct http_answer *a, const struct http_request *rq, int status)
{
	answer_error(a, rq, status, status == 405 ? "Allow: GET, HEAD\r\n" : "");
}

/* ---- The path ------------------------------------------------------------------------------- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The path of TARGET, in origin form or absolute form (RFC 9112 3.2), decoded; false: none. */
static bool decode_path(const char *target, char path[HTTP_TARGET_MAX])
{
	const char *p = target;
	size_t n = 0;

	if (!strncasecmp(p, "http://", 7)) {
		p += 7 + strcspn(p + 7, "/?#");
		if (*p != '/')
			path[n++] = '/';
	}
	for (; *p && *p != '?' && *p != '#'; p++) {
		int high, low;

		if (*p != '%') {
			path[n++] = *p;
			continue;
		}
		high = hex(p[1]);
		low = high < 0 ? -1 : hex(p[2]);
		if (low < 0 || (!high && !low))
			return false;
		path[n++] = (char)(high << 4 | low);
		p += 2;
	}
	path[n] = 0;
	return path[0] == '/';
}

/* Opened below the root and nowhere else, whatever "..", or a symbolic link, says. */
int http_open_below(int root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	while (*path == '/')
		path++;
	return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
}

static int status_of_errno(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
	case EXDEV:
	case ELOOP:
	case ENXIO:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN: /* openat2(2): a race with a rename */
		return 503;
	default:
		return 404;
	}
}

/* ---- Directories ---------------------------------------------------------------------------- */

static void put_escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (strchr("<>&\"'", *s))
			fprintf(f, "&#%d;", *s);
		else
			fputc(*s, f);
	}
}

static void put_encoded(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-._~/", *s))
			fputc(*s, f);
		else
			fprintf(f, "%%%02X", (unsigned char)*s);
	}
}

static bool is_directory(int dir, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return !fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static void put_listing(FILE *f, int dir, struct dirent **names, int n, const char *path)
{
	fputs("<!doctype html><meta charset=utf-8><title>", f);
	put_escaped(f, path);
	fputs("</title><h1>", f);
	put_escaped(f, path);
	fputs("</h1><ul>\n", f);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name,
			   *slash = is_directory(dir, names[i]) ? "/" : "";

		if (!strcmp(name, ".") || (!strcmp(name, "..") && !strcmp(path, "/")))
			continue;
		fputs("<li><a href=\"", f);
		put_encoded(f, name);
		fprintf(f, "%s\">", slash);
		put_escaped(f, name);
		fprintf(f, "%s</a>\n", slash);
	}
	fputs("</ul>\n", f);
}

static void answer_listing(struct http_answer *a, const struct http_request *rq, int dir,
			   const char *path)
{
	struct dirent **names = NULL;
	size_t size = 0;
	int n = scandirat(dir, ".", &names, NULL, alphasort);
	FILE *f = n < 0 ? NULL : open_memstream(&a->body, &size);

	if (f)
		put_listing(f, dir, names, n, path);
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
	if (!f || fclose(f)) {
		free(a->body);
		a->body = NULL;
		answer_error(a, rq, 503, "");
		return;
	}
	a->body_len = size;
	finish(a, rq, 200, "text/html; charset=utf-8", "");
}

/* The same with a slash behind, on this host whatever stands before. */
static void answer_moved(struct http_answer *a, const struct http_request *rq, const char *path)
{
	char *location = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&location, &size);

	if (f) {
		while (path[0] == '/' && path[1] == '/')
			path++;
		fputs("Location: ", f);
		put_encoded(f, path);
		fputs("/\r\n", f);
	}
	if (f && !fclose(f))
		answer_error(a, rq, 301, location);
	else
		answer_error(a, rq, 503, "");
	free(location);
}

/* ---- Files ---------------------------------------------------------------------------------- */

/* Digits and nothing else; what is larger than all files is the largest number. */
static bool parse_number(const char *s, size_t n, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*value = *value > UINT64_MAX / 10 - 1 ? UINT64_MAX : *value * 10 + (s[i] - '0');
	}
	return n > 0;
}

/*
 * "bytes=A-B", "bytes=A-" or "bytes=-N" (RFC 9110 14.1.2) of a file of SIZE octets, 1 or more.
 * False: none, or not one that is understood here, which is as if it were not there. FIRST is past
 * the end where it cannot be satisfied.
 */
static bool parse_range(const char *s, uint64_t size, uint64_t *first, uint64_t *last)
{
	const char *dash;
	uint64_t a, b = UINT64_MAX;

	if (strncasecmp(s, "bytes=", 6) != 0 || !(dash = strchr(s += 6, '-')))
		return false;
	if (dash[1] && !parse_number(dash + 1, strlen(dash + 1), &b))
		return false;
	if (dash == s) {
		if (!dash[1])
			return false;
		a = b == 0 ? size : b < size ? size - b : 0;
		b = size - 1;
	} else if (!parse_number(s, (size_t)(dash - s), &a) || b < a) {
		return false;
	}
	*first = a;
	*last = b < size ? b : size - 1;
	return true;
}

/* Takes FD over. */
static void answer_file(struct http_answer *a, const struct http_request *rq, int fd,
			const struct stat *st, const char *path)
{
	uint64_t size = (uint64_t)st->st_size, first = 0, last = size - 1;
	char modified[DATE_LEN], extra[256];
	int status = 200, n;

	date_text(modified, st->st_mtime);
	a->file = fd;
	n = snprintf(extra, sizeof(extra), "Accept-Ranges: bytes\r\nLast-Modified: %s\r\n",
		     modified);
	/* The date that we gave is compared as the text that it was (RFC 9110 13.1.3, 13.1.5). */
	if (!strcmp(rq->if_modified_since, modified)) {
		finish(a, rq, 304, "", extra);
		return;
	}
	if (size && (!rq->if_range[0] || !strcmp(rq->if_range, modified)) && !rq->head &&
	    parse_range(rq->range, size, &first, &last)) {
		if (first >= size) {
			snprintf(extra, sizeof(extra), "Content-Range: bytes */%llu\r\n",
				 (unsigned long long)size);
			close(fd);
			a->file = -1;
			answer_error(a, rq, 416, extra);
			return;
		}
		status = 206;
		snprintf(extra + n, sizeof(extra) - (size_t)n,
			 "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)first,
			 (unsigned long long)last, (unsigned long long)size);
		size = last - first + 1;
	}
	a->file_off = first;
	a->body_len = size;
	finish(a, rq, status, content_type(path), extra);
}

static void answer_directory(struct http_answer *a, const struct http_request *rq, int dir,
			     const char *path)
{
	struct stat st;
	int index;

	if (path[strlen(path) - 1] != '/') {
		answer_moved(a, rq, path);
		return;
	}
	index = openat(dir, "index.html", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (index >= 0 && !fstat(index, &st) && S_ISREG(st.st_mode)) {
		answer_file(a, rq, index, &st, "index.html");
		return;
	}
	if (index >= 0)
		close(index);
	answer_listing(a, rq, dir, path);
}

void http_answer_get(struct http_answer *a, int root, const struct http_request *rq)
{
	char path[HTTP_TARGET_MAX];
	struct stat st;
	int fd;

	if (!decode_path(rq->target, path)) {
		answer_error(a, rq, 400, "");
		return;
	}
	fd = http_open_below(root, path);
	if (fd < 0) {
		answer_error(a, rq, status_of_errno(errno), "");
	} else if (fstat(fd, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		close(fd);
		answer_error(a, rq, 403, "");
	} else if (S_ISREG(st.st_mode)) {
		answer_file(a, rq, fd, &st, path);
	} else {
		answer_directory(a, rq, fd, path);
		close(fd);
	}
}
