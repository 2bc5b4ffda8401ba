/* SPDX-License-Identifier: MIT */
/* Snapshots as JSON and back: see json.h. What is read may come from anyone. */
#include "view/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "view/field.h"

__attribute__((format(printf, 2, 3))) static int fail(char error[VIEW_JSON_ERROR],
						      const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, VIEW_JSON_ERROR, format, ap);
	va_end(ap);
	return -EINVAL;
}

#ifndef HAVE_JANSSON

int view_json_write(struct text *t, const struct cpl_info *infos, size_t n)
{
	(void)t;
	(void)infos;
	(void)n;
	return -ENOSYS;
}

int view_json_read(const char *data, size_t len, struct cpl_info **infos, size_t *n,
		   char error[VIEW_JSON_ERROR])
{
	(void)data;
	(void)len;
	(void)infos;
	(void)n;
	fail(error, "built without jansson: install libjansson-dev and build again");
	return -ENOSYS;
}

#else

#include <jansson.h>

/* Bounds of what is read: a file is a list of connections of a machine, not a bomb. */
#define BYTES_MAX     ((size_t)1 << 30)
#define SNAPSHOTS_MAX ((size_t)1 << 22)

/* A field whose number is a name: JSON has the name. */
enum naming {
	NAMING_NONE,
	NAMING_STATE,
	NAMING_WHY,
	NAMING_RECOVERY,
	NAMING_SOURCE,
};

static enum naming naming_of(enum cpl_field f)
{
	switch (f) {
	case CPL_F_state:
		return NAMING_STATE;
	case CPL_F_why:
		return NAMING_WHY;
	case CPL_F_recovery:
		return NAMING_RECOVERY;
	case CPL_F_source:
		return NAMING_SOURCE;
	default:
		return NAMING_NONE;
	}
}

static const char *name_of(enum naming naming, unsigned value)
{
	switch (naming) {
	case NAMING_STATE:
		return view_state_rfc(value);
	case NAMING_WHY:
		return view_why_name(value);
	case NAMING_RECOVERY:
		return view_recovery_name(value);
	case NAMING_SOURCE:
		return view_source_name(value);
	case NAMING_NONE:
		break;
	}
	return "?";
}

static bool is_timer(enum cpl_field f)
{
	return strncmp(view_fields[f].name, "timer_", 6) == 0;
}

/* JSON's integers are signed 64 bit: what is larger is written as text of digits. */
static json_t *number(uint64_t v)
{
	char digits[24];

	if (v <= INT64_MAX)
		return json_integer((json_int_t)v);
	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
	return json_string(digits);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static json_t *field_json(const struct cpl_info *info, enum cpl_field f)
{
	const char *at = (const char *)info + view_fields[f].offset;
	char text[65];
	uint64_t v;

	if (view_fields[f].type == VIEW_TYPE_ip) {
		struct cpl_addr addr;

		memcpy(&addr, at, sizeof(addr));
		return json_string(word_addr(&addr).s);
	}
	if (view_fields[f].type == VIEW_TYPE_name || view_fields[f].type == VIEW_TYPE_path) {
		snprintf(text, sizeof(text), "%.*s", (int)view_fields[f].size - 1, at);
		/* Names of programs may hold any bytes; JSON holds UTF-8. */
		return json_string(text) ?: json_string(word_foreign(text).s);
	}
	view_get(info, f, &v);
	if (is_timer(f) && v == CPL_TIMER_OFF)
		return json_null();
	if (naming_of(f) != NAMING_NONE && strcmp(name_of(naming_of(f), (unsigned)v), "?") != 0)
		return json_string(name_of(naming_of(f), (unsigned)v));
	return number(v);
}

static json_t *info_json(const struct cpl_info *info)
{
	json_t *object = json_object(), *derived = json_array();
	bool bad = !object || !derived;

	for (int n = 0; !bad && n < CPL_FIELDS; n++) {
		enum cpl_field f = (enum cpl_field)n;

		if (!cpl_info_known(info, f))
			continue;
		bad |= json_object_set_new(object, view_fields[f].name, field_json(info, f)) < 0;
		if (!cpl_info_is_read(info, f))
			bad |= json_array_append_new(derived, json_string(view_fields[f].name)) < 0;
	}
	if (!bad && json_array_size(derived) > 0)
		bad |= json_object_set(object, "derived", derived) < 0;
	json_decref(derived);
	if (!bad)
		return object;
	json_decref(object);
	return NULL;
}

static int dump(const char *buffer, size_t size, void *t)
{
	text_printf(t, "%.*s", (int)size, buffer);
	return ((struct text *)t)->failed ? -1 : 0;
}

/*
 * The document is made line by line, one snapshot each: it can be read with line tools, and no tree
 * of a million connections is held in memory.
 */
int view_json_write(struct text *t, const struct cpl_info *infos, size_t n)
{
	text_printf(t, "{\"couplet\": %d, \"snapshots\": [", CPL_INFO_VERSION);
	for (size_t i = 0; i < n; i++) {
		json_t *object = info_json(&infos[i]);
		int r;

		text_puts(t, i ? ",\n" : "\n");
		if (!object)
			return -ENOMEM;
		r = json_dump_callback(object, dump, t, JSON_PRESERVE_ORDER);
		json_decref(object);
		if (r < 0)
			return -ENOMEM;
	}
	text_puts(t, n ? "\n]}\n" : "]}\n");
	return t->failed ? -ENOMEM : 0;
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Where we are, for the message. */
struct reader {
	char *error;
	size_t index; /* of the snapshot */
};

static int bad_field(const struct reader *r, enum cpl_field f, const char *what)
{
	return fail(r->error, "snapshot %zu: \"%s\" %s", r->index + 1, view_fields[f].name, what);
}

/* Digits only, and no more than 64 bits hold. */
static bool digits(const char *s, uint64_t *v)
{
	*v = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || *v > (UINT64_MAX - (uint64_t)(*s - '0')) / 10)
			return false;
		*v = *v * 10 + (uint64_t)(*s - '0');
	}
	return true;
}

static bool find_name(enum naming naming, const char *s, uint64_t *v)
{
	for (unsigned i = 0; strcmp(name_of(naming, i), "?") != 0; i++) {
		if (strcmp(name_of(naming, i), s) == 0) {
			*v = i;
			return true;
		}
	}
	return false;
}

/* jansson lets no string pass that holds a zero character. */
static int read_string(const struct reader *r, enum cpl_field f, const char *s,
		       struct cpl_info *info)
{
	char *at = (char *)info + view_fields[f].offset;
	struct cpl_addr addr;
	uint64_t v;

	switch (view_fields[f].type) {
	case VIEW_TYPE_ip:
		if (cpl_addr_parse(&addr, s) < 0)
			return bad_field(r, f, "is no IP address");
		memcpy(at, &addr, sizeof(addr));
		return 0;
	case VIEW_TYPE_name:
	case VIEW_TYPE_path:
		if (strlen(s) >= view_fields[f].size)
			return bad_field(r, f, "is too long");
		strcpy(at, s);
		return 0;
	default:
		break;
	}
	if (naming_of(f) != NAMING_NONE) {
		if (!find_name(naming_of(f), s, &v))
			return bad_field(r, f, "has an unknown name for its value");
	} else if (!digits(s, &v) || v <= INT64_MAX) {
		return bad_field(r, f, "should be a number");
	}
	return view_set(info, f, v) ? 0 : bad_field(r, f, "is out of range");
}

static int read_field(const struct reader *r, enum cpl_field f, const json_t *value,
		      struct cpl_info *info)
{
	json_int_t v;

	if (json_is_string(value))
		return read_string(r, f, json_string_value(value), info);
	if (json_is_null(value) && is_timer(f) && view_fields[f].type == VIEW_TYPE_ns)
		return view_set(info, f, CPL_TIMER_OFF) ? 0 : -EINVAL;
	if (!json_is_integer(value) || view_fields[f].type >= VIEW_TYPE_ip)
		return bad_field(r, f, "has a value of the wrong type");
	if (f == CPL_F_state) /* everything indexes by it */
		return bad_field(r, f, "should be the name of a state");
	v = json_integer_value(value);
	if (v < 0 || !view_set(info, f, (uint64_t)v))
		return bad_field(r, f, "is out of range");
	return 0;
}

/* Every name must be a field that the object has. Moves its mark from read to derived. */
static int read_derived(const struct reader *r, const json_t *list, struct cpl_info *info)
{
	if (!json_is_array(list))
		return fail(r->error, "snapshot %zu: \"derived\" should be a list", r->index + 1);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));
		int f = name ? view_field_find(name) : -1;

		if (f < 0 || !cpl_info_is_read(info, (enum cpl_field)f))
			return fail(r->error,
				    "snapshot %zu: \"derived\" names what is no field of it",
				    r->index + 1);
		info->read[f / 64] &= ~((uint64_t)1 << (f % 64));
		cpl_info_mark_derived(info, (enum cpl_field)f);
	}
	return 0;
}

static int read_info(const struct reader *r, json_t *object, struct cpl_info *info)
{
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return fail(r->error, "snapshot %zu is no object", r->index + 1);
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	json_object_foreach(object, key, value)
	{
		int f = view_field_find(key);

		if (strcmp(key, "derived") == 0)
			continue;
		if (f < 0)
			return fail(r->error, "snapshot %zu: \"%.32s\" is no field", r->index + 1,
				    word_foreign(key).s);
		if (read_field(r, (enum cpl_field)f, value, info) < 0)
			return -EINVAL;
		cpl_info_mark_read(info, (enum cpl_field)f);
	}
	value = json_object_get(object, "derived");
	return value ? read_derived(r, value, info) : 0;
}

static int read_all(json_t *root, struct cpl_info **infos, size_t *n, char *error)
{
	json_t *version = json_object_get(root, "couplet");
	json_t *list = json_object_get(root, "snapshots");
	struct reader r = { error, 0 };
	size_t count = json_array_size(list);
	struct cpl_info *out;

	if (!json_is_object(root) || !json_is_integer(version) || !json_is_array(list))
		return fail(error, "this is no snapshot file of couplet");
	if (json_integer_value(version) < 1 || json_integer_value(version) > CPL_INFO_VERSION)
		return fail(error, "snapshots of version %lld, this couplet reads up to version %d",
			    (long long)json_integer_value(version), CPL_INFO_VERSION);
	if (count > SNAPSHOTS_MAX)
		return fail(error, "more than %zu snapshots", SNAPSHOTS_MAX);
	out = calloc(count ? count : 1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	for (; r.index < count; r.index++) {
		if (read_info(&r, json_array_get(list, r.index), &out[r.index]) < 0) {
			free(out);
			return -EINVAL;
		}
	}
	*infos = out;
	*n = count;
	return 0;
}

int view_json_read(const char *data, size_t len, struct cpl_info **infos, size_t *n,
		   char error[VIEW_JSON_ERROR])
{
	json_error_t e;
	json_t *root;
	int r;

	if (len > BYTES_MAX)
		return fail(error, "the file is larger than %zu bytes", BYTES_MAX);
	root = json_loadb(data, len, JSON_REJECT_DUPLICATES, &e);
	if (!root)
		return fail(error, "line %d, column %d: %.100s", e.line, e.column,
			    word_foreign(e.text).s);
	r = read_all(root, infos, n, error);
	if (r == -ENOMEM)
		fail(error, "out of memory");
	json_decref(root);
	return r;
}

#endif
