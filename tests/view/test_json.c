/* SPDX-License-Identifier: MIT */
/* Snapshots to JSON and back; and JSON from hostile hands. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>
#include <cmocka.h>

#include "tests/view/ends.h"
#include "view/field.h"
#include "view/json.h"

static struct text t;
static struct cpl_info *infos;
static size_t n;
static char error[VIEW_JSON_ERROR];

static int setup(void **state)
{
	(void)state;
	text_init(&t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	text_free(&t);
	free(infos);
	infos = NULL;
	return 0;
}

static int read_text(const char *s)
{
	free(infos);
	infos = NULL;
	*error = 0;
	return view_json_read(s, strlen(s), &infos, &n, error);
}

#ifdef HAVE_JANSSON

static uint64_t seed = 1;

static uint64_t draw(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 11 ^ seed << 53;
}

/* Every field known or not, read or derived, with a value that its type can hold. */
static void random_info(struct cpl_info *i)
{
	memset(i, 0, sizeof(*i));
	i->size = sizeof(*i);
	i->version = CPL_INFO_VERSION;
	for (int f = 0; f < CPL_FIELDS; f++) {
		const struct view_field *field = &view_fields[f];
		char *at = (char *)i + field->offset;
		uint64_t v = draw() >> draw() % 64;

		if (draw() % 3 == 0)
			continue;
		if (draw() % 4)
			cpl_info_mark_read(i, (enum cpl_field)f);
		else
			cpl_info_mark_derived(i, (enum cpl_field)f);
		if (f == CPL_F_state)
			v = draw() % CPL_STATES;
		if (strncmp(field->name, "timer_", 6) == 0 && draw() % 2)
			v = CPL_TIMER_OFF;
		if (field->type == VIEW_TYPE_ip) {
			for (unsigned b = 0; b < 16; b++)
				at[b] = (char)draw();
			if (draw() % 2)
				memcpy(at, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
		} else if (field->type >= VIEW_TYPE_name) {
			for (unsigned b = 0; b < draw() % field->size; b++)
				at[b] = (char)(' ' + draw() % 95);
		} else {
			view_set(i, (enum cpl_field)f, v); /* truncates */
		}
	}
}

static void round_trip(void **state)
{
	struct cpl_info set[50];

	(void)state;
	for (int round = 0; round < 20; round++) {
		for (size_t i = 0; i < 50; i++)
			random_info(&set[i]);
		text_free(&t);
		assert_int_equal(view_json_write(&t, set, 50), 0);
		if (read_text(t.data) < 0)
			fail_msg("%s", error);
		assert_int_equal(n, 50);
		for (size_t i = 0; i < 50; i++)
			assert_memory_equal(&infos[i], &set[i], sizeof(set[i]));
	}
}

static void form(void **state)
{
	const char *start = "{\"couplet\": 4, \"snapshots\": [\n{\"source\": \"couplet\", ";
	struct cpl_info x;

	(void)state;
	end_init(&x, 0);
	forget(&x, CPL_F_irs);
	cpl_info_mark_derived(&x, CPL_F_irs);
	assert_int_equal(view_json_write(&t, &x, 1), 0);
	assert_true(strstr(t.data, start) == t.data);
	assert_non_null(strstr(t.data, "\"state\": \"ESTABLISHED\""));
	assert_non_null(strstr(t.data, "\"local_addr\": \"10.0.0.1\""));
	assert_non_null(strstr(t.data, "\"snd_una\": 1001001"));
	assert_non_null(strstr(t.data, "\"timer_keep\": null"));
	assert_non_null(strstr(t.data, "\"derived\": [\"irs\"]"));
	assert_null(strstr(t.data, "pmtu")); /* unknown */
	text_free(&t);
	assert_int_equal(view_json_write(&t, NULL, 0), 0);
	assert_string_equal(t.data, "{\"couplet\": 4, \"snapshots\": []}\n");
	assert_int_equal(read_text(t.data), 0);
	assert_int_equal(n, 0);
}

static void names_of_any_bytes(void **state)
{
	struct cpl_info x;

	(void)state;
	end_init(&x, 0);
	memcpy(x.program, "\xff\xfe\x01\"\\", 6);
	assert_int_equal(view_json_write(&t, &x, 1), 0);
	assert_int_equal(read_text(t.data), 0);
	assert_string_equal(infos[0].program, "???\"\\");
}

static void hostile(void **state)
{
	static const struct {
		const char *snapshot, *complaint;
	} rows[] = {
		{ "7", "is no object" },
		{ "{\"sta\": 1}", "\"sta\" is no field" },
		{ "{\"state\": \"OPEN\"}", "unknown name" },
		{ "{\"state\": 200}", "name of a state" },
		{ "{\"why\": \"?\"}", "unknown name" },
		{ "{\"local_port\": 65536}", "out of range" },
		{ "{\"local_port\": -1}", "out of range" },
		{ "{\"local_port\": 1.5}", "wrong type" },
		{ "{\"local_port\": null}", "wrong type" },
		{ "{\"local_port\": \"80\"}", "should be a number" },
		{ "{\"local_port\": \"18446744073709551615\"}", "out of range" },
		{ "{\"id\": \"18446744073709551616\"}", "should be a number" },
		{ "{\"id\": \"36893488147419103231\"}", "should be a number" },
		{ "{\"id\": \"-18446744073709551615\"}", "should be a number" },
		{ "{\"local_addr\": \"10.0.0.256\"}", "no IP address" },
		{ "{\"local_addr\": 1}", "wrong type" },
		{ "{\"program\": \"a name that is too long\"}", "too long" },
		{ "{\"program\": \"a\\u0000b\"}", "column" },
		{ "{\"program\": [1]}", "wrong type" },
		{ "{\"timer_keep\": false}", "wrong type" },
		{ "{\"rexmt_count\": null}", "wrong type" },
		{ "{\"derived\": 1}", "should be a list" },
		{ "{\"derived\": [\"irs\"]}", "no field of it" },
		{ "{\"irs\": 1, \"derived\": [7]}", "no field of it" },
		{ "{\"irs\": 1, \"derived\": [\"irs\", \"irs\"]}", "no field of it" },
		{ "{\"irs\": 1, \"irs\": 2}", "duplicate" },
		{ "{\"irs\": 1", "column" },
		{ "{\"\\u001b[31m\": 1}", "\"?[31m\" is no field" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		text_free(&t);
		text_printf(&t, "{\"couplet\": 1, \"snapshots\": [{}, %s]}", rows[i].snapshot);
		assert_int_equal(read_text(t.data), -EINVAL);
		if (!strstr(error, rows[i].complaint))
			fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].snapshot, error,
				 rows[i].complaint);
		assert_null(infos);
	}
	assert_int_equal(read_text(""), -EINVAL);
	assert_int_equal(read_text("[]"), -EINVAL);
	assert_int_equal(read_text("{\"couplet\": 1}"), -EINVAL);
	assert_int_equal(read_text("{\"couplet\": 99, \"snapshots\": []}"), -EINVAL);
	assert_non_null(strstr(error, "version 4"));
}

/* Nesting without end must not exhaust the stack. */
static void deep(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++)
		text_puts(&t, "[");
	assert_int_equal(read_text(t.data), -EINVAL);
}

#else

static void says_what_to_install(void **state)
{
	(void)state;
	assert_int_equal(view_json_write(&t, NULL, 0), -ENOSYS);
	assert_int_equal(read_text("{}"), -ENOSYS);
	assert_non_null(strstr(error, "libjansson-dev"));
}

#endif

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
#ifdef HAVE_JANSSON
		T(round_trip), T(form), T(names_of_any_bytes), T(hostile), T(deep),
#else
		T(says_what_to_install),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
