/* SPDX-License-Identifier: MIT */
/* The store: rows and records, its version, and what a recorder writes and leaves out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "tests/source/stores_model.h"

/* ---- Rows ------------------------------------------------------------------------------------ */

static void random_field(struct cpl_info *info, enum cpl_field f, uint64_t *rng)
{
	char *at = (char *)info + view_fields[f].offset;
	size_t size = view_fields[f].size, len;
	uint64_t value = rnd64(rng) >> rnd(rng, 64);

	switch (view_fields[f].type) {
	case VIEW_TYPE_ip:
		if (rnd(rng, 2))
			*(struct cpl_addr *)(void *)at = cpl_addr4(10, 0, (uint8_t)value, 1);
		else
			rnd_fill(rng, at, size);
		return;
	case VIEW_TYPE_name:
	case VIEW_TYPE_path:
		len = rnd(rng, (uint32_t)size);
		for (size_t i = 0; i < len; i++)
			at[i] = (char)(1 + rnd(rng, 255));
		return;
	case VIEW_TYPE_u8:
		value = (uint8_t)value;
		break;
	case VIEW_TYPE_u16:
		value = (uint16_t)value;
		break;
	case VIEW_TYPE_u32:
	case VIEW_TYPE_seq:
		value = rnd(rng, 2) ? (uint32_t)value : UINT32_MAX - rnd(rng, 3);
		break;
	default:
		value = rnd(rng, 2) ? value : UINT64_MAX - rnd(rng, 3);
	}
	if (f == CPL_F_state || f == CPL_F_source || f == CPL_F_recovery || f == CPL_F_why)
		value = 1 + value % 4;
	assert_true(view_set(info, f, value));
}

/* Each field known with ODDS in 100, of those one in three derived. */
static void random_info(struct cpl_info *info, uint64_t *rng, unsigned odds)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	for (int f = 0; f < CPL_FIELDS; f++) {
		if (f != CPL_F_source && rnd(rng, 100) >= odds)
			continue;
		random_field(info, (enum cpl_field)f, rng);
		if (rnd(rng, 3))
			cpl_info_mark_read(info, (enum cpl_field)f);
		else
			cpl_info_mark_derived(info, (enum cpl_field)f);
	}
}

#define ROWS 60

static void every_field_comes_back(void **state)
{
	struct cpl_info in[ROWS], out[ROWS];
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", NULL);
	uint64_t rng = 1, monotonic[ROWS];
	int64_t ids[ROWS];
	size_t bad = 0;

	(void)state;
	for (unsigned i = 0; i < ROWS; i++) {
		random_info(&in[i], &rng, i == 0 ? 100 : i == 1 ? 0 : i * 100 / ROWS);
		in[i].derived[CPL_F_id / 64] &= ~((uint64_t)1 << (CPL_F_id % 64));
		CPL_INFO_READ(&in[i], id, i); /* or some would be the same end */
	}
	assert_int_equal(stores_pass(r, 1, in, ROWS), 0);
	recorder_end(r);
	for (unsigned i = 0; i < ROWS; i++)
		ids[i] = i + 1;
	assert_int_equal(store_rows(s, ids, ROWS, out, monotonic, &bad), 0);
	assert_int_equal(bad, 0);
	for (unsigned i = 0; i < ROWS; i++)
		assert_same(&in[i], &out[i]);
	assert_int_equal(monotonic[7], 1000000000);
	store_close(s);
}

static void unknown_is_null(void **state)
{
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", NULL);
	struct cpl_info info;
	char sql[128];

	(void)state;
	stores_end(&info, 1, false);
	assert_int_equal(stores_pass(r, 1, &info, 1), 0);
	for (int f = 0; f < CPL_FIELDS; f++) {
		snprintf(sql, sizeof(sql), "SELECT count(\"%s\") FROM couplet_ends",
			 view_fields[f].name);
		assert_int_equal(stores_ask(s, sql), cpl_info_known(&info, f));
	}
	/* A timer that is off is no NULL. */
	assert_int_equal(stores_ask(s, "SELECT timer_rexmt FROM couplet_ends"), -1);
	/* The dictionary names every column. */
	assert_int_equal(stores_ask(s, "SELECT count(*) FROM couplet_fields WHERE meaning <> ''"),
			 CPL_FIELDS);
	recorder_end(r);
	store_close(s);
}

/* Nothing of a name is ever SQL, nor ends a line of COPY; it comes back byte by byte. */
static void hostile_names(void **state)
{
	static const char *const names[] = { "'; DROP TABLE",	     "\\.\n\\N\t", "$1 $2 \"x\"",
					     "\xff\xfe\x80\xc3\x28", "\\x41\\xzz", "%s%n%n%s" };
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "x'); DROP TABLE couplet_ends; --\n\x1b[2J", NULL);
	struct store_host *hosts;
	size_t n;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		struct cpl_info in, out;
		uint64_t monotonic;
		int64_t id = i + 1;
		size_t bad = 0;

		stores_end(&in, i, false);
		memset(in.program, 0, sizeof(in.program));
		memcpy(in.program, names[i], strlen(names[i]));
		memcpy(in.path, names[i], strlen(names[i]));
		cpl_info_mark_read(&in, CPL_F_path);
		/* The one before is gone: a row of its own. */
		assert_int_equal(stores_pass(r, i, &in, 1), 0);
		id = stores_ask(s, "SELECT max(row_id) FROM couplet_ends WHERE gone = 0");
		assert_int_equal(store_rows(s, &id, 1, &out, &monotonic, &bad), 0);
		assert_same(&in, &out);
	}
	assert_int_equal(store_hosts(s, INT64_MAX, true, &hosts, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(hosts[0].name, "x'); DROP TABLE couplet_ends; --\\x0a\\x1b[2J");
	assert_int_equal(hosts[0].samples, ARRAY_LEN(names));
	free(hosts);
	recorder_end(r);
	store_close(s);
}

static void escapes(void **state)
{
	char text[32], back[32];

	(void)state;
	store_escape(text, 9, "ab\ncdefgh");
	assert_string_equal(text, "ab\\x0acd");
	/* What is cut is cut between characters. */
	store_escape(text, 6, "ab\ncd");
	assert_string_equal(text, "ab");
	assert_true(store_unescape(back, sizeof(back), "a\\x0ab", 6));
	assert_string_equal(back, "a\nb");
	assert_false(store_unescape(back, sizeof(back), "a\\x0", 4));
	assert_false(store_unescape(back, sizeof(back), "a\\n", 3));
	assert_false(store_unescape(back, sizeof(back), "\\x00", 4));
	assert_false(store_unescape(back, 3, "abc", 3));
	assert_false(store_unescape(back, sizeof(back), "\xc3\xa4", 2));
}

/* Whoever has made the store: a value that no end can have is counted, not believed. */
static void rows_from_anyone(void **state)
{
	static const char *const spoilt[] = {
		"state = 99",	    "cwnd = -1", "rcv_nxt = 4294967296",	 "source = NULL",
		"program = 'a\\q'", "why = 99",	 "program = 'seventeen letters'"
	};
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", NULL);
	struct cpl_info in[ARRAY_LEN(spoilt) + 1], out;
	size_t bad = 0;

	(void)state;
	for (unsigned i = 0; i <= ARRAY_LEN(spoilt); i++)
		stores_end(&in[i], i, false);
	assert_int_equal(stores_pass(r, 1, in, ARRAY_LEN(in)), 0);
	for (unsigned i = 0; i < ARRAY_LEN(spoilt); i++) {
		int64_t id = i + 1;
		uint64_t monotonic;

		assert_int_equal(store_run(s, "UPDATE couplet_ends SET %s WHERE row_id = %u",
					   spoilt[i], i + 1),
				 0);
		assert_int_equal(store_rows(s, &id, 1, &out, &monotonic, &bad), 0);
		assert_int_equal(bad, i + 1);
		assert_int_equal(out.source, CPL_SOURCE_UNKNOWN);
	}
	recorder_end(r);
	store_close(s);
}

/* ---- Versions -------------------------------------------------------------------------------- */

static void newer_is_refused(void **state)
{
	struct store *s = stores_fresh(), *again;
	char error[STORE_ERROR];

	(void)state;
	assert_int_equal(store_run(s, "UPDATE couplet_schema SET version = %d", STORE_VERSION + 1),
			 0);
	for (int write = 0; write < 2; write++) {
		assert_int_equal(store_open(&again, stores_where, write, error), -EPROTO);
		assert_null(again);
		assert_non_null(strstr(error, "a newer couplet made it (version 2, this one knows "
					      "1)"));
	}
	assert_int_equal(store_run(s, "UPDATE couplet_schema SET version = %d", STORE_VERSION), 0);
	store_close(s);
}

/* A store of an older couplet: fields that it did not know become columns, and rows stay. */
static void older_is_migrated(void **state)
{
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", NULL);
	struct cpl_info in, out;
	uint64_t monotonic;
	size_t bad = 0;
	int64_t id = 1;

	(void)state;
	stores_end(&in, 1, false);
	assert_int_equal(stores_pass(r, 1, &in, 1), 0);
	recorder_end(r);
	assert_int_equal(store_run(s, "ALTER TABLE couplet_ends DROP COLUMN rcv_edge"), 0);
	assert_int_equal(store_run(s, "ALTER TABLE couplet_ends DROP COLUMN program"), 0);
	assert_int_equal(store_run(s, "DELETE FROM couplet_fields WHERE name IN ('rcv_edge', "
				      "'program')"),
			 0);
	/* A field that this couplet does not know. */
	assert_int_equal(store_run(s, "ALTER TABLE couplet_ends ADD COLUMN future bigint"), 0);
	assert_int_equal(store_run(s, "INSERT INTO couplet_fields (number, name, unit, meaning) "
				      "VALUES (200, 'future', '', '')"),
			 0);
	store_close(s);

	/* To read needs no right to write: what is not there is unknown. */
	s = stores_open(false);
	assert_int_equal(store_rows(s, &id, 1, &out, &monotonic, &bad), 0);
	assert_int_equal(bad, 0);
	assert_false(cpl_info_known(&out, CPL_F_rcv_edge));
	assert_int_equal(out.snd_una, in.snd_una);
	store_close(s);

	s = stores_open(true);
	r = stores_record(s, "host", NULL);
	assert_int_equal(stores_pass(r, 2, &in, 1), 0);
	recorder_end(r);
	id = 2;
	assert_int_equal(store_rows(s, &id, 1, &out, &monotonic, &bad), 0);
	assert_same(&in, &out);
	id = 1;
	assert_int_equal(store_rows(s, &id, 1, &out, &monotonic, &bad), 0);
	assert_false(cpl_info_known(&out, CPL_F_program));
	assert_true(cpl_info_is_derived(&out, CPL_F_iss));
	store_close(s);
}

static void no_store(void **state)
{
	char error[STORE_ERROR];
	struct store *s;
	FILE *file;

	(void)state;
	assert_int_equal(store_open(&s, stores_file("none.db"), false, error), -ENOENT);
	file = fopen(stores_file("text"), "w");
	for (int i = 0; i < 500; i++)
		fputs("this is no database\n", file);
	fclose(file);
	for (int write = 0; write < 2; write++) {
		assert_int_equal(store_open(&s, stores_file("text"), write, error), -EPROTO);
		assert_non_null(strstr(error, "no SQLite database"));
	}
	/* An empty file is an empty database, of which a recorder makes a store. */
	file = fopen(stores_file("empty"), "w");
	fclose(file);
	assert_int_equal(store_open(&s, stores_file("empty"), false, error), -EPROTO);
	assert_non_null(strstr(error, "it holds no connections"));
	assert_int_equal(store_open(&s, stores_file("empty"), true, error), 0);
	store_close(s);
	assert_int_equal(store_open(&s, "mysql://me:secret@host/db", true, error), -EINVAL);
	assert_null(strstr(error, "secret"));
	assert_non_null(strstr(error, "mysql://"));
	assert_int_equal(store_open(&s, "postgresql://me:secret%zz@host/db", true, error), -EINVAL);
	assert_null(strstr(error, "secret"));
}

/* ---- What is written ------------------------------------------------------------------------- */

static void clocks_run_on(void **state)
{
	struct cpl_info a, b;
	struct store_print before, after;

	(void)state;
	stores_end(&a, 1, false);
	CPL_INFO_READ(&a, age, 10);
	CPL_INFO_READ(&a, ts_recent_age, 1000000000);
	CPL_INFO_READ(&a, why_time_idle, 10);
	store_print_take(&before, &a, 0);
	b = a;
	stores_later(&b, 7000000000);
	assert_int_equal(b.taken, 12000000000);
	assert_int_equal(b.last_sent, 8000000000);
	assert_int_equal(b.timer_keep, 3593000000000);
	assert_true(b.timer_rexmt == CPL_TIMER_OFF);
	store_print_take(&after, &b, 0);
	assert_false(store_print_differs(&before, &after));
	b.why_time_idle = 7000000010; /* a sum */
	b.timer_keep += 40000000;     /* jiffies */
	b.ts_recent_age += 990000000; /* whole seconds */
	store_print_take(&after, &b, 0);
	assert_false(store_print_differs(&before, &after));
	b.ts_recent_age += 200000000;
	store_print_take(&after, &b, 0);
	assert_true(store_print_differs(&before, &after));
	b.ts_recent_age = 8000000000;
	/* Set anew, begun again, off, known no more: all of it is news. */
	b.timer_keep += 40000000;
	store_print_take(&after, &b, 0);
	assert_true(store_print_differs(&before, &after));
	b.timer_keep = 3593000000000;
	b.last_sent = 7900000000;
	store_print_take(&after, &b, 0);
	assert_true(store_print_differs(&before, &after));
	b.last_sent = 8000000000;
	b.timer_rexmt = 1;
	store_print_take(&after, &b, 0);
	assert_true(store_print_differs(&before, &after));
	b.timer_rexmt = CPL_TIMER_OFF;
	memset(b.program + 8, 7, 4); /* behind the end of the name: nothing */
	store_print_take(&after, &b, 0);
	assert_false(store_print_differs(&before, &after));
	b.read[CPL_F_snd_wnd / 64] &= ~((uint64_t)1 << (CPL_F_snd_wnd % 64));
	store_print_take(&after, &b, 0);
	assert_true(store_print_differs(&before, &after));
}

static void only_what_changed(void **state)
{
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", NULL);
	const struct recorder_totals *t = recorder_totals(r);
	struct cpl_info in[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		stores_end(&in[i], i, false);
	assert_int_equal(stores_pass(r, 1, in, 3), 0);
	assert_int_equal(t->rows, 3);
	for (unsigned i = 0; i < 3; i++)
		stores_later(&in[i], 1000000000);
	assert_int_equal(stores_pass(r, 2, in, 3), 0);
	assert_int_equal(t->rows, 3);
	assert_int_equal(t->still, 3);
	in[1].snd_nxt++;
	assert_int_equal(stores_pass(r, 3, in, 3), 0);
	assert_int_equal(t->rows, 4);
	assert_int_equal(stores_ask(s, "SELECT number & 255 FROM couplet_ends WHERE row_id = 4"),
			 2);
	/* One ends, one begins. */
	stores_end(&in[2], 7, false);
	assert_int_equal(stores_pass(r, 4, in, 3), 0);
	assert_int_equal(stores_ask(s, "SELECT count(*) FROM couplet_ends WHERE gone = 1 AND "
				       "number & 255 = 3 AND state IS NULL"),
			 1);
	assert_int_equal(stores_ask(s, "SELECT count(*) FROM couplet_ends"), 6);
	assert_int_equal(stores_ask(s, "SELECT since FROM couplet_samples WHERE id = 4"), 1);
	recorder_end(r);
	store_close(s);
}

/* ---- What `since` promises ------------------------------------------------------------------- */

static void promise(uint64_t rate, unsigned heartbeat, unsigned passes)
{
	struct recorder_options o = { .rate = rate, .heartbeat = heartbeat };
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", &o);
	struct model m = { .rng = rate + heartbeat };
	static struct model then[64];

	for (unsigned i = 0; i < passes; i++) {
		model_step(&m);
		assert_int_equal(stores_pass(r, m.time, m.list, m.n), 0);
		then[i] = m;
		check_sample(s, &m, i + 1);
	}
	if (rate)
		assert_true(recorder_totals(r)->dropped > 0);
	else
		assert_int_equal(
			stores_ask(s, "SELECT CAST(sum(hidden) AS bigint) FROM couplet_samples"),
			0);
	assert_int_equal(stores_ask(s, "SELECT CAST(sum(dropped) AS bigint) FROM couplet_samples"),
			 recorder_totals(r)->dropped);
	/* Whatever is deleted, the samples that stay say what they said. */
	for (unsigned keep = passes / 2; keep < passes; keep += passes / 4) {
		bool more = true;

		while (more)
			assert_int_equal(recorder_prune(r,
							1700000000000000000 +
								(int64_t)keep * 1000000000,
							1, &more),
					 0);
		for (unsigned i = keep; i < passes; i++)
			check_sample(s, &then[i], i + 1);
		assert_true(stores_ask(s, "SELECT min(id) FROM couplet_samples") > 1);
		assert_int_equal(stores_ask(s,
					    "SELECT count(*) FROM couplet_ends WHERE sample NOT IN "
					    "(SELECT id FROM couplet_samples)"),
				 0);
	}
	assert_true(recorder_totals(r)->deleted > 0);
	/* Even if all of it is too old, what the next rows build on stays. */
	for (bool more = true; more;)
		assert_int_equal(recorder_prune(r, INT64_MAX, 1, &more), 0);
	check_sample(s, &m, passes);
	recorder_end(r);
	store_close(s);
}

static void samples_say_what_was(void **state)
{
	(void)state;
	promise(0, 4, 24);
}

static void samples_under_a_limit(void **state)
{
	(void)state;
	for (unsigned rate = 3; rate <= 13; rate += 5)
		promise(rate, 5, 24);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_comes_back), cmocka_unit_test(unknown_is_null),
		cmocka_unit_test(hostile_names),	  cmocka_unit_test(escapes),
		cmocka_unit_test(rows_from_anyone),	  cmocka_unit_test(newer_is_refused),
		cmocka_unit_test(older_is_migrated),	  cmocka_unit_test(no_store),
		cmocka_unit_test(clocks_run_on),	  cmocka_unit_test(only_what_changed),
		cmocka_unit_test(samples_say_what_was),	  cmocka_unit_test(samples_under_a_limit),
	};

	return cmocka_run_group_tests(tests, stores_setup, stores_teardown);
}
