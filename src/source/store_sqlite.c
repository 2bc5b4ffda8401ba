/* SPDX-License-Identifier: MIT */
/*
 * A store in a file: SQLite, with a write-ahead log, so that who reads and who writes do not wait
 * for each other, and what was not committed when a recorder is killed was never there.
 *
 * A file may come from anyone: what its schema could run is switched off, and each value says its
 * own type.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/store_backend.h"

#ifndef HAVE_SQLITE3

static int sqlite_open(struct store *s)
{
	return store_fail(
		s, -ENOSYS,
		"couplet was built without SQLite; install libsqlite3-dev and build again");
}

const struct store_backend store_sqlite = { .name = "SQLite", .open = sqlite_open };

#else

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a statement waits for another program that writes. */
#define BUSY_MS 2000

struct sqlite {
	sqlite3 *db;
	sqlite3_stmt *insert; /* of rows_begin(), kept */
	unsigned columns;
};

static int sqlite_errno(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return db && sqlite3_system_errno(db) ? -sqlite3_system_errno(db) : -ENOENT;
	case SQLITE_IOERR:
		return db && sqlite3_system_errno(db) == ENOSPC ? -ENOSPC : -EIO;
	default:
		return -EPROTO;
	}
}

static int fail(struct store *s, int rc)
{
	struct sqlite *l = s->db;
	int err = sqlite_errno(l->db, rc);

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return store_fail(s, err, "another program has locked it");
	case SQLITE_FULL:
		return store_fail(s, err,
				  "the disk is full, or the limit of a file's size reached");
	case SQLITE_NOTADB:
		return store_fail(s, err, "this file is no SQLite database");
	case SQLITE_CORRUPT:
		return store_fail(s, err, "the file is damaged: %s", sqlite3_errmsg(l->db));
	case SQLITE_CANTOPEN:
		return store_fail(s, err, "cannot be opened%s: %s", s->write ? " for writing" : "",
				  strerror(-err));
	case SQLITE_READONLY:
		return store_fail(s, err, "cannot be written to: it or its directory is read-only");
	case SQLITE_IOERR:
		return store_fail(s, err, "%s",
				  err == -ENOSPC ? "the disk is full" : sqlite3_errmsg(l->db));
	default:
		return store_fail(s, err, "%s", sqlite3_errmsg(l->db));
	}
}

static int execute(struct store *s, const char *sql)
{
	struct sqlite *l = s->db;
	int rc = sqlite3_exec(l->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : fail(s, rc);
}

static void sqlite_close(struct store *s)
{
	struct sqlite *l = s->db;

	sqlite3_finalize(l->insert);
	sqlite3_close(l->db);
	free(l);
	s->db = NULL;
}

static int set_up(struct store *s)
{
	struct sqlite *l = s->db;
	int err;

	sqlite3_extended_result_codes(l->db, 1);
	sqlite3_busy_timeout(l->db, BUSY_MS);
	sqlite3_db_config(l->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(l->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_limit(l->db, SQLITE_LIMIT_ATTACHED, 0);
	err = execute(s, "PRAGMA cell_size_check = 1; PRAGMA foreign_keys = 1; "
			 "PRAGMA cache_size = -65536; PRAGMA temp_store = 2");
	/* With a log, a crash of the machine can lose the last samples, and damages nothing. */
	if (!err && s->write)
		err = execute(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
	return err;
}

static int sqlite_open(struct store *s)
{
	struct sqlite *l = calloc(1, sizeof(*l));
	int flags = s->write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
	mode_t mask;
	int rc, err;

	if (!l)
		return store_fail(s, -ENOMEM, "out of memory");
	s->db = l;
	/* It holds what every user of the machine is connected to. */
	mask = umask(077);
	rc = sqlite3_open_v2(s->where, &l->db, flags, NULL);
	err = rc == SQLITE_OK ? set_up(s) : fail(s, rc);
	umask(mask);
	if (err)
		sqlite_close(s);
	return err;
}

/* ---- Statements ------------------------------------------------------------------------------ */

static int bind(sqlite3_stmt *stmt, int at, const struct store_value *v, char addr[CPL_ADDR_TEXT])
{
	switch (v->kind) {
	case STORE_NUMBER:
		return sqlite3_bind_int64(stmt, at, v->number);
	case STORE_TEXT:
		return sqlite3_bind_text(stmt, at, v->text, (int)v->len, SQLITE_STATIC);
	case STORE_ADDRESS:
		return sqlite3_bind_text(stmt, at, addr, cpl_addr_text(&v->addr, addr),
					 SQLITE_TRANSIENT);
	case STORE_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, at);
}

static void read_row(sqlite3_stmt *stmt, struct store_value *values, int n)
{
	for (int i = 0; i < n; i++) {
		struct store_value *v = &values[i];

		switch (sqlite3_column_type(stmt, i)) {
		case SQLITE_INTEGER:
			v->kind = STORE_NUMBER;
			v->number = sqlite3_column_int64(stmt, i);
			break;
		case SQLITE_NULL:
			v->kind = STORE_NULL;
			break;
		default: /* what should be a number, and is none, is seen by who reads it */
			v->kind = STORE_TEXT;
			v->text = (const char *)sqlite3_column_text(stmt, i) ?: "";
			v->len = (size_t)sqlite3_column_bytes(stmt, i);
		}
	}
}

static int step_all(struct store *s, sqlite3_stmt *stmt, store_visit visit, void *arg)
{
	struct store_value values[STORE_COLUMNS + 16];
	int n = sqlite3_column_count(stmt), rc;

	if (n > STORE_COLUMNS + 16)
		return store_fail(s, -EPROTO, "a statement gives too many columns");
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		int err;

		if (!visit)
			continue;
		read_row(stmt, values, n);
		err = visit(arg, values, (unsigned)n);
		if (err == -EPROTO)
			return store_fail(s, err, "its tables hold what couplet never writes");
		if (err)
			return err;
	}
	return rc == SQLITE_DONE ? 0 : fail(s, rc);
}

static int sqlite_query(struct store *s, const char *sql, const struct store_value *params,
			unsigned n, store_visit visit, void *arg)
{
	struct sqlite *l = s->db;
	char addr[CPL_ADDR_TEXT];
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(l->db, sql, -1, &stmt, NULL), err;

	for (unsigned i = 0; i < n && rc == SQLITE_OK; i++) {
		char name[16];
		int at;

		snprintf(name, sizeof(name), "$%u", i + 1);
		at = sqlite3_bind_parameter_index(stmt, name);
		if (at)
			rc = bind(stmt, at, &params[i], addr);
	}
	err = rc == SQLITE_OK ? step_all(s, stmt, visit, arg) : fail(s, rc);
	s->changes = (uint64_t)sqlite3_changes64(l->db);
	sqlite3_finalize(stmt);
	return err;
}

static int sqlite_begin(struct store *s)
{
	struct sqlite *l = s->db;
	int moved = 0;

	/* Else we would go on writing to a file that nobody sees any more. */
	if (s->write &&
	    sqlite3_file_control(l->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
	    moved)
		return store_fail(s, -ECONNRESET, "the file was moved or deleted");
	return execute(s, s->write ? "BEGIN IMMEDIATE" : "BEGIN");
}

static void sqlite_rollback(struct store *s)
{
	struct sqlite *l = s->db;

	if (l && !sqlite3_get_autocommit(l->db))
		sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- Many rows ------------------------------------------------------------------------------- */

static int sqlite_rows_begin(struct store *s, const char *table, const struct store_column *columns,
			     unsigned n)
{
	struct sqlite *l = s->db;
	struct text t;
	int rc;

	if (l->insert && l->columns == n) /* there is but one table that is written like this */
		return 0;
	text_init(&t);
	text_printf(&t, "INSERT INTO %s (", table);
	for (unsigned i = 0; i < n; i++)
		text_printf(&t, "%s\"%s\"", i ? ", " : "", columns[i].name);
	text_puts(&t, ") VALUES (?");
	text_repeat(&t, ", ?", n - 1);
	text_puts(&t, ")");
	if (t.failed)
		return store_fail(s, -ENOMEM, "out of memory");
	rc = sqlite3_prepare_v3(l->db, t.data, -1, SQLITE_PREPARE_PERSISTENT, &l->insert, NULL);
	text_free(&t);
	l->columns = n;
	return rc == SQLITE_OK ? 0 : fail(s, rc);
}

static int sqlite_row(struct store *s, const struct store_value *values)
{
	struct sqlite *l = s->db;
	char addr[CPL_ADDR_TEXT];
	int rc = SQLITE_OK;

	for (unsigned i = 0; i < l->columns && rc == SQLITE_OK; i++)
		rc = bind(l->insert, (int)i + 1, &values[i], addr);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(l->insert);
	if (rc == SQLITE_DONE)
		rc = sqlite3_reset(l->insert);
	if (rc == SQLITE_OK)
		return 0;
	rc = fail(s, rc);
	sqlite3_reset(l->insert);
	return rc;
}

static int sqlite_rows_end(struct store *s)
{
	(void)s;
	return 0;
}

const struct store_backend store_sqlite = {
	.name = "SQLite",
	/* AUTOINCREMENT: the number of what was deleted is not given again. */
	.serial = "INTEGER PRIMARY KEY AUTOINCREMENT",
	.inet = "text",
	.key = "text",
	.in_list = "IN (SELECT value FROM json_each($1))",
	.brackets = "[]",
	.size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
	.exists = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND "
		  "name = 'couplet_schema'",
	.lock = NULL, /* BEGIN IMMEDIATE is one */
	.open = sqlite_open,
	.close = sqlite_close,
	.query = sqlite_query,
	.begin = sqlite_begin,
	.rollback = sqlite_rollback,
	.rows_begin = sqlite_rows_begin,
	.row = sqlite_row,
	.rows_end = sqlite_rows_end,
};

#endif
