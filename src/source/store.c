/* SPDX-License-Identifier: MIT */
/* The store: opening, closing, and what went wrong. See store.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/store_backend.h"

int store_fail(struct store *s, int err, const char *format, ...)
{
	char text[STORE_ERROR / 2];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* What a database says of itself may hold anything. */
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = *c == '\n' || *c == '\t' ? ' ' : '?';
	snprintf(s->error, sizeof(s->error), "%.150s: %s", s->name, text);
	return err;
}

int store_run(struct store *s, const char *format, ...)
{
	char sql[512];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(sql, sizeof(sql), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(sql))
		return store_fail(s, -EINVAL, "a statement is too long");
	return s->backend->query(s, sql, NULL, 0, NULL, NULL);
}

int store_commit(struct store *s)
{
	int err = store_run(s, "COMMIT");

	if (err)
		s->backend->rollback(s);
	return err;
}

bool store_is_url(const char *where)
{
	return strncmp(where, "postgresql://", 13) == 0 || strncmp(where, "postgres://", 11) == 0;
}

/* "mysql", if WHERE is a URL of something. */
static bool foreign_scheme(const char *where, char *scheme, size_t size)
{
	const char *end = strstr(where, "://");

	if (!end || end == where)
		return false;
	for (const char *c = where; c < end; c++)
		if (*c == '/' || *c == '.')
			return false;
	snprintf(scheme, size, "%.*s", (int)(end - where), where);
	return true;
}

static int open_backend(struct store *s)
{
	int err = s->backend->open(s);

	if (!err) {
		err = store_schema_open(s);
		if (err)
			s->backend->close(s);
	}
	return err;
}

int store_open(struct store **store, const char *where, bool write, char error[STORE_ERROR])
{
	struct store *s = calloc(1, sizeof(*s));
	char scheme[16];
	int err;

	*store = NULL;
	if (s)
		s->where = strdup(where);
	if (!s || !s->where) {
		snprintf(error, STORE_ERROR, "out of memory");
		free(s);
		return -ENOMEM;
	}
	s->write = write;
	/* A backend that can tell the name of a server without its password replaces this. */
	store_escape(s->name, sizeof(s->name),
		     store_is_url(where) ? "the PostgreSQL store" : where);
	if (!*where) { /* to SQLite a file that is deleted when it is closed */
		snprintf(s->name, sizeof(s->name), "the store");
		err = store_fail(s, -EINVAL,
				 "it has no name; a store is a file or "
				 "postgresql://HOST/DATABASE");
	} else if (!store_is_url(where) && foreign_scheme(where, scheme, sizeof(scheme))) {
		snprintf(s->name, sizeof(s->name), "the store");
		err = store_fail(
			s, -EINVAL,
			"%s:// is not known; a store is a file or postgresql://HOST/DATABASE",
			scheme);
	} else {
		s->backend = store_is_url(where) ? &store_postgresql : &store_sqlite;
		err = open_backend(s);
	}
	if (!err) {
		*store = s;
		return 0;
	}
	snprintf(error, STORE_ERROR, "%s", s->error);
	store_close(s);
	return err;
}

int store_reopen(struct store *s)
{
	if (s->db)
		s->backend->close(s);
	return open_backend(s);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->db)
		s->backend->close(s);
	free(s->where);
	free(s);
}

const char *store_error(const struct store *s)
{
	return s->error;
}

const char *store_name(const struct store *s)
{
	return s->name;
}
