/* SPDX-License-Identifier: MIT */
/*
 * The tables of a store: made, brought up to date, or refused.
 *
 * couplet_schema has one row: the version of the tables, and the last position given to a sample.
 * couplet_fields is the dictionary of couplet_ends' columns, made from <couplet/info.def>; the
 * number of a field is its own in each store, so that a new field gets a new one wherever it stands
 * in info.def. Times are nanoseconds, since 1970 or, of `monotonic`, since the host booted. 64-bit
 * numbers are stored as signed ones: a timer that is off is -1.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/store_backend.h"

/* @SERIAL, @INET and @KEY stand for the database's own types. */
static const char *const tables[] = {
	"CREATE TABLE couplet_schema (version integer NOT NULL, position bigint NOT NULL)",
	"CREATE TABLE couplet_fields (number integer PRIMARY KEY, name text NOT NULL UNIQUE, "
	"unit text NOT NULL, meaning text NOT NULL)",
	"CREATE TABLE couplet_hosts (id @SERIAL, name text NOT NULL, machine_id text NOT NULL, "
	"first_seen bigint NOT NULL, last_seen bigint NOT NULL, UNIQUE (name, machine_id))",
	"CREATE TABLE couplet_runs (id @SERIAL, "
	"host bigint NOT NULL REFERENCES couplet_hosts ON DELETE CASCADE, boot_id text NOT NULL, "
	"netns bigint NOT NULL, started bigint NOT NULL, every_ns bigint NOT NULL, "
	"filter text NOT NULL, namespaces smallint NOT NULL, forwards smallint NOT NULL)",
	"CREATE INDEX couplet_runs_host ON couplet_runs (host)",
	"CREATE TABLE couplet_addresses ("
	"run bigint NOT NULL REFERENCES couplet_runs ON DELETE CASCADE, address @INET NOT NULL, "
	"PRIMARY KEY (address, run))",
	"CREATE TABLE couplet_samples (id @SERIAL, "
	"run bigint NOT NULL REFERENCES couplet_runs ON DELETE CASCADE, "
	"position bigint NOT NULL, after bigint NOT NULL, since bigint NOT NULL, "
	"time bigint NOT NULL, monotonic bigint NOT NULL, duration bigint NOT NULL, "
	"seen bigint NOT NULL, written bigint NOT NULL, dropped bigint NOT NULL, "
	"hidden bigint NOT NULL, missed bigint NOT NULL, not_seen text NOT NULL)",
	"CREATE INDEX couplet_samples_run ON couplet_samples (run, id)",
	"CREATE TABLE couplet_ends (row_id @SERIAL, sample bigint NOT NULL, number bigint NOT "
	"NULL, "
	"gone smallint NOT NULL, endpoints @KEY, side smallint, sequence bigint, "
	"sequence_side smallint, derived_0 bigint, derived_1 bigint, derived_2 bigint, "
	"derived_3 bigint)",
	"CREATE INDEX couplet_ends_sample ON couplet_ends (sample)",
	"CREATE INDEX couplet_ends_number ON couplet_ends (number, sample)",
	"CREATE INDEX couplet_ends_endpoints ON couplet_ends (endpoints) "
	"WHERE endpoints IS NOT NULL",
	"CREATE INDEX couplet_ends_sequence ON couplet_ends (sequence) WHERE sequence IS NOT NULL",
};

static const char *type_name(const struct store *s, enum store_type type)
{
	switch (type) {
	case STORE_INT2:
		return "smallint";
	case STORE_INT4:
		return "integer";
	case STORE_INT8:
		return "bigint";
	case STORE_INET:
		return s->backend->inet;
	case STORE_WORDS:
		break;
	}
	return "text";
}

static void expand(const struct store *s, struct text *t, const char *sql)
{
	const char *const names[] = { "@SERIAL", "@INET", "@KEY" };
	const char *const types[] = { s->backend->serial, s->backend->inet, s->backend->key };

	while (*sql) {
		unsigned i = 0;

		while (i < 3 && strncmp(sql, names[i], strlen(names[i])) != 0)
			i++;
		text_printf(t, "%.*s", i < 3 ? 0 : 1, sql);
		if (i < 3)
			text_puts(t, types[i]);
		sql += i < 3 ? strlen(names[i]) : 1;
	}
}

/* ---- What is there --------------------------------------------------------------------------- */

struct fields {
	struct store *s;
	int64_t next; /* number for the next new field */
};

static int visit_field(void *arg, const struct store_value *v, unsigned n)
{
	struct fields *f = arg;
	char name[64];
	int field;

	if (n != 2 || v[0].kind != STORE_NUMBER || v[1].kind != STORE_TEXT || v[0].number < 0 ||
	    v[0].number >= STORE_DERIVED * STORE_DERIVED_BITS ||
	    !store_unescape(name, sizeof(name), v[1].text, v[1].len))
		return -EPROTO;
	if (v[0].number >= f->next)
		f->next = v[0].number + 1;
	field = view_field_find(name);
	if (field >= 0)
		f->s->number[field] = (int16_t)v[0].number;
	return 0;
}

static int read_fields(struct store *s, struct fields *f)
{
	f->s = s;
	f->next = 0;
	memset(s->number, 0xff, sizeof(s->number)); /* all -1 */
	return s->backend->query(s, "SELECT number, name FROM couplet_fields", NULL, 0, visit_field,
				 f);
}

/* ---- Making it ------------------------------------------------------------------------------- */

static int add_field(struct store *s, struct fields *f, enum cpl_field field)
{
	struct store_value v[4] = { store_number(f->next), store_text(view_fields[field].name),
				    store_text(view_fields[field].unit),
				    store_text(view_fields[field].text) };
	int err;

	if (f->next >= STORE_DERIVED * STORE_DERIVED_BITS)
		return store_fail(s, -EPROTO, "it has no room for another field");
	err = store_run(s, "ALTER TABLE couplet_ends ADD COLUMN \"%s\" %s", view_fields[field].name,
			type_name(s, store_columns[STORE_C_FIELDS + field].type));
	if (!err)
		err = s->backend->query(s,
					"INSERT INTO couplet_fields (number, name, unit, meaning) "
					"VALUES ($1, $2, $3, $4)",
					v, 4, NULL, NULL);
	if (!err)
		s->number[field] = (int16_t)f->next++;
	return err;
}

/* Wide columns first: PostgreSQL aligns each, and would fill the gaps between them. */
static int add_fields(struct store *s)
{
	static const enum store_type order[] = { STORE_INT8, STORE_INT4, STORE_INT2, STORE_INET,
						 STORE_WORDS };
	struct fields f;
	int err = read_fields(s, &f);

	for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++)
		for (int n = 0; n < CPL_FIELDS && !err; n++)
			if (s->number[n] < 0 && store_columns[STORE_C_FIELDS + n].type == order[i])
				err = add_field(s, &f, (enum cpl_field)n);
	return err;
}

/* From nothing to version 1. */
static int create(struct store *s)
{
	struct text t;
	int err = 0;

	text_init(&t);
	for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables) && !err; i++) {
		t.len = 0;
		expand(s, &t, tables[i]);
		err = t.failed ? store_fail(s, -ENOMEM, "out of memory")
			       : s->backend->query(s, t.data, NULL, 0, NULL, NULL);
	}
	text_free(&t);
	return err ? err
		   : store_run(s, "INSERT INTO couplet_schema (version, position) VALUES (0, 0)");
}

/* Step N brings a store of version N to N + 1. */
static int (*const steps[STORE_VERSION])(struct store *s) = { create };

static int migrate(struct store *s, int64_t version)
{
	int err = 0;

	for (int64_t v = version; v < STORE_VERSION && !err; v++)
		err = steps[v](s);
	if (!err && version < STORE_VERSION)
		err = store_run(s, "UPDATE couplet_schema SET version = %d", STORE_VERSION);
	return err ? err : add_fields(s);
}

/* 0: there is no store yet. */
static int read_version(struct store *s, int64_t *version)
{
	int64_t there = 0;
	int err = s->backend->query(s, s->backend->exists, NULL, 0, store_visit_id, &there);

	*version = 0;
	if (err || !there)
		return err;
	err = s->backend->query(s, "SELECT version FROM couplet_schema", NULL, 0, store_visit_id,
				version);
	if (!err && *version < 1)
		err = store_fail(s, -EPROTO, "its couplet_schema has no sensible version");
	return err;
}

static int check(struct store *s, int64_t version)
{
	struct fields f;

	if (version > STORE_VERSION)
		return store_fail(s, -EPROTO,
				  "a newer couplet made it (version %lld, this one knows %d); use "
				  "that one",
				  (long long)version, STORE_VERSION);
	if (!s->write && !version)
		return store_fail(s, -EPROTO,
				  "it holds no connections; \"couplet record\" puts some there");
	return s->write ? 0 : read_fields(s, &f);
}

/* True if every field has its column, so that nothing needs a lock. */
static bool complete(struct store *s, int64_t version)
{
	struct fields f;

	if (version != STORE_VERSION || read_fields(s, &f))
		return false;
	for (int n = 0; n < CPL_FIELDS; n++)
		if (s->number[n] < 0)
			return false;
	return true;
}

int store_schema_open(struct store *s)
{
	int64_t version;
	int err = read_version(s, &version);

	if (!err)
		err = check(s, version);
	if (err || !s->write || complete(s, version))
		return err;
	/* Another recorder may be doing the same: look again under the lock. */
	err = s->backend->begin(s);
	if (!err && s->backend->lock)
		err = store_run(s, "%s", s->backend->lock);
	if (!err)
		err = read_version(s, &version);
	if (!err)
		err = check(s, version);
	if (!err)
		err = migrate(s, version);
	if (err) {
		s->backend->rollback(s);
		return err;
	}
	return store_commit(s);
}
