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

int view_json_info(struct text *t, const struct cpl_info *info)
{
	(void)t;
	(void)info;
	return -ENOSYS;
}

int view_json_string(struct text *t, const char *s)
{
	(void)t;
	(void)s;
	return -ENOSYS;
}

int view_json_write_file(struct text *t, const struct view_json_file *file)
{
	(void)t;
	(void)file;
	return -ENOSYS;
}

int view_json_read_file(const char *data, size_t len, struct view_json_file *file,
			char error[VIEW_JSON_ERROR])
{
	(void)data;
	(void)len;
	memset(file, 0, sizeof(*file));
	fail(error, "couplet was built without JSON: install libjansson-dev and build again");
	return -ENOSYS;
}

#else

#include <jansson.h>

/* Bounds of what is read: a file is a list of connections of a machine, not a bomb. */
#define BYTES_MAX     ((size_t)1 << 30)
#define SNAPSHOTS_MAX ((size_t)1 << 22)
#define ADDRESSES_MAX 65536
#define NOTES_MAX     64

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

/* ---- Writing --------------------------------------------------------------------------------- */

static int dump(const char *buffer, size_t size, void *t)
{
	text_write(t, buffer, size);
	return ((struct text *)t)->failed ? -1 : 0;
}

static int dump_json(struct text *t, json_t *json)
{
	int r = json ? json_dump_callback(json, dump, t, JSON_PRESERVE_ORDER | JSON_ENCODE_ANY)
		     : -1;

	json_decref(json);
	return r < 0 ? -ENOMEM : 0;
}

int view_json_string(struct text *t, const char *s)
{
	return dump_json(t, json_string(s) ?: json_string(word_foreign(s).s));
}

/* JSON's integers are signed 64 bit: what is larger is written as text of digits. */
static void put_number(struct text *t, uint64_t v)
{
	text_printf(t, v <= INT64_MAX ? "%llu" : "\"%llu\"", (unsigned long long)v);
}

static int put_field(struct text *t, const struct cpl_info *info, enum cpl_field f)
{
	const char *at = (const char *)info + view_fields[f].offset;
	char text[sizeof(info->path)];
	uint64_t v;

	if (view_fields[f].type == VIEW_TYPE_ip) {
		struct cpl_addr addr;

		memcpy(&addr, at, sizeof(addr));
		text_printf(t, "\"%s\"", word_addr(&addr).s);
		return 0;
	}
	if (view_fields[f].type == VIEW_TYPE_name || view_fields[f].type == VIEW_TYPE_path) {
		snprintf(text, sizeof(text), "%.*s", (int)view_fields[f].size - 1, at);
		return view_json_string(t, text); /* may hold any bytes */
	}
	view_get(info, f, &v);
	if (is_timer(f) && v == CPL_TIMER_OFF)
		text_puts(t, "null");
	else if (naming_of(f) != NAMING_NONE && strcmp(name_of(naming_of(f), (unsigned)v), "?"))
		text_printf(t, "\"%s\"", name_of(naming_of(f), (unsigned)v));
	else
		put_number(t, v);
	return 0;
}

/* Written by hand: a tree of each would take ten times as long. */
int view_json_info(struct text *t, const struct cpl_info *info)
{
	unsigned fields = 0, derived = 0;

	text_puts(t, "{");
	for (int n = 0; n < CPL_FIELDS; n++) {
		enum cpl_field f = (enum cpl_field)n;

		if (!cpl_info_known(info, f))
			continue;
		text_printf(t, "%s\"%s\": ", fields++ ? ", " : "", view_fields[f].name);
		if (put_field(t, info, f) < 0)
			return -ENOMEM;
	}
	for (int n = 0; n < CPL_FIELDS; n++) {
		enum cpl_field f = (enum cpl_field)n;

		if (!cpl_info_known(info, f) || cpl_info_is_read(info, f))
			continue;
		text_printf(t, "%s\"%s\"",
			    derived++ ? ", "
			    : fields  ? ", \"derived\": ["
				      : "\"derived\": [",
			    view_fields[f].name);
	}
	text_puts(t, derived ? "]}" : "}");
	return t->failed ? -ENOMEM : 0;
}

/*
 * The document is made line by line, one snapshot each: it can be read with line tools, and no tree
 * of a million connections is held in memory.
 */
static int write_list(struct text *t, const char *name, const struct cpl_info *infos, size_t n)
{
	text_printf(t, "\"%s\": [", name);
	for (size_t i = 0; i < n; i++) {
		text_puts(t, i ? ",\n" : "\n");
		if (view_json_info(t, &infos[i]) < 0)
			return -ENOMEM;
	}
	text_puts(t, n ? "\n]" : "]");
	return t->failed ? -ENOMEM : 0;
}

int view_json_write(struct text *t, const struct cpl_info *infos, size_t n)
{
	int err;

	text_printf(t, "{\"couplet\": %d, ", CPL_INFO_VERSION);
	err = write_list(t, "snapshots", infos, n);
	text_puts(t, "}\n");
	return t->failed ? -ENOMEM : err;
}

static const char *const list_names[VIEW_JSON_PASSES] = { "snapshots", "again", "later" };

static int write_head(struct text *t, const struct view_json_file *file)
{
	int err = 0;

	text_printf(t, "{\"couplet\": %d, \"host\": ", CPL_INFO_VERSION);
	err |= view_json_string(t, file->host);
	text_puts(t, ", \"boot\": ");
	err |= view_json_string(t, file->boot);
	text_printf(t, ", \"when\": %llu, \"all_namespaces\": %s,\n\"addresses\": [",
		    (unsigned long long)(file->when <= INT64_MAX ? file->when : 0),
		    file->all_namespaces ? "true" : "false");
	for (size_t i = 0; i < file->addresses; i++) {
		text_puts(t, i ? ", " : "");
		err |= view_json_string(t, word_addr(&file->address[i]).s);
	}
	text_puts(t, "],\n\"notes\": [");
	for (size_t i = 0; i < file->notes; i++) {
		text_puts(t, i ? ", " : "");
		err |= view_json_string(t, file->note[i]);
	}
	text_puts(t, "],\n\"passes\": [");
	for (unsigned i = 0; i < file->passes; i++)
		text_printf(t, "%s{\"began\": %llu, \"ended\": %llu}", i ? ", " : "",
			    (unsigned long long)file->began[i], (unsigned long long)file->ended[i]);
	text_puts(t, "],\n");
	return err ? -ENOMEM : 0;
}

int view_json_write_file(struct text *t, const struct view_json_file *file)
{
	int err = write_head(t, file);

	for (unsigned i = 0; !err && i < file->passes; i++) {
		text_puts(t, i ? ",\n" : "");
		err = write_list(t, list_names[i], file->info[i], file->n[i]);
	}
	text_puts(t, "}\n");
	return t->failed ? -ENOMEM : err;
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

static int read_list(const char *name, const json_t *list, struct cpl_info **infos, size_t *n,
		     char *error)
{
	struct reader r = { error, 0 };
	size_t count = json_array_size(list);
	struct cpl_info *out;

	if (!json_is_array(list))
		return fail(error, "\"%s\" should be a list of snapshots", name);
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

static int read_version(const json_t *root, char *error)
{
	json_t *version = json_object_get(root, "couplet");

	if (!json_is_object(root) || !json_is_integer(version) ||
	    !json_is_array(json_object_get(root, list_names[0])))
		return fail(error, "this is no snapshot file of couplet");
	if (json_integer_value(version) < 1 || json_integer_value(version) > CPL_INFO_VERSION)
		return fail(error, "snapshots of version %lld, this couplet reads up to version %d",
			    (long long)json_integer_value(version), CPL_INFO_VERSION);
	return 0;
}

static int parse(json_t **root, const char *data, size_t len, char error[VIEW_JSON_ERROR])
{
	json_error_t e;

	if (len > BYTES_MAX)
		return fail(error, "the file is larger than %zu bytes", BYTES_MAX);
	*root = json_loadb(data, len, JSON_REJECT_DUPLICATES, &e);
	if (!*root)
		return fail(error, "line %d, column %d: %.100s", e.line, e.column,
			    word_foreign(e.text).s);
	return read_version(*root, error);
}

int view_json_read(const char *data, size_t len, struct cpl_info **infos, size_t *n,
		   char error[VIEW_JSON_ERROR])
{
	json_t *root = NULL;
	int r = parse(&root, data, len, error);

	if (!r)
		r = read_list(list_names[0], json_object_get(root, list_names[0]), infos, n, error);
	if (r == -ENOMEM)
		fail(error, "out of memory");
	json_decref(root);
	return r;
}

/* ---- The header ------------------------------------------------------------------------------ */

/* What somebody calls his host is printed: printable ASCII, and not too long. */
static int read_text(const json_t *root, const char *name, char *out, size_t size, char *error)
{
	const json_t *value = json_object_get(root, name);
	const char *s = json_string_value(value);

	if (!value)
		return 0;
	if (!s || strlen(s) >= size)
		return fail(error, "\"%s\" should be a text of less than %zu bytes", name, size);
	snprintf(out, size, "%.*s", (int)size - 1, word_foreign(s).s);
	return 0;
}

static int read_number(const json_t *object, const char *name, uint64_t *out, char *error)
{
	const json_t *value = json_object_get(object, name);

	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return fail(error, "\"%s\" should be a number of nanoseconds", name);
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_addresses(const json_t *root, struct view_json_file *file, char *error)
{
	const json_t *list = json_object_get(root, "addresses");
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > ADDRESSES_MAX)
		return fail(error, "\"addresses\" should be a list of at most %d", ADDRESSES_MAX);
	file->address = calloc(n ? n : 1, sizeof(*file->address));
	if (!file->address)
		return -ENOMEM;
	for (; file->addresses < n; file->addresses++) {
		const char *s = json_string_value(json_array_get(list, file->addresses));

		if (!s || cpl_addr_parse(&file->address[file->addresses], s) < 0)
			return fail(error, "\"addresses\" holds what is no IP address");
	}
	return 0;
}

static int read_notes(const json_t *root, struct view_json_file *file, char *error)
{
	const json_t *list = json_object_get(root, "notes");
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > NOTES_MAX)
		return fail(error, "\"notes\" should be a list of at most %d", NOTES_MAX);
	file->note = calloc(n ? n : 1, sizeof(*file->note));
	if (!file->note)
		return -ENOMEM;
	for (; file->notes < n; file->notes++) {
		const char *s = json_string_value(json_array_get(list, file->notes));

		if (!s)
			return fail(error, "\"notes\" holds what is no text");
		snprintf(file->note[file->notes], VIEW_JSON_NOTE, "%s", word_foreign(s).s);
	}
	return 0;
}

static int read_passes(const json_t *root, struct view_json_file *file, char *error)
{
	const json_t *passes = json_object_get(root, "passes");
	int err = 0;

	for (unsigned i = 0; !err && i < VIEW_JSON_PASSES; i++) {
		const json_t *list = json_object_get(root, list_names[i]);
		const json_t *times = json_array_get(passes, i);

		if (!list)
			break;
		err = read_list(list_names[i], list, &file->info[i], &file->n[i], error);
		if (!err)
			file->passes = i + 1;
		err = err ?: read_number(times, "began", &file->began[i], error);
		err = err ?: read_number(times, "ended", &file->ended[i], error);
		if (!err &&
		    (file->ended[i] < file->began[i] || (i && file->began[i] < file->ended[i - 1])))
			err = fail(error, "\"passes\" should be one after the other");
	}
	return err;
}

static int read_head(const json_t *root, struct view_json_file *file, char *error)
{
	int err = read_text(root, "host", file->host, sizeof(file->host), error);

	err = err ?: read_text(root, "boot", file->boot, sizeof(file->boot), error);
	err = err ?: read_number(root, "when", &file->when, error);
	file->all_namespaces = json_is_true(json_object_get(root, "all_namespaces"));
	err = err ?: read_addresses(root, file, error);
	err = err ?: read_notes(root, file, error);
	return err ?: read_passes(root, file, error);
}

int view_json_read_file(const char *data, size_t len, struct view_json_file *file,
			char error[VIEW_JSON_ERROR])
{
	json_t *root = NULL;
	int err;

	memset(file, 0, sizeof(*file));
	err = parse(&root, data, len, error);
	if (!err)
		err = read_head(root, file, error);
	if (err == -ENOMEM)
		fail(error, "out of memory");
	json_decref(root);
	if (err)
		view_json_file_free(file);
	return err;
}

#endif

void view_json_file_free(struct view_json_file *file)
{
	for (unsigned i = 0; i < VIEW_JSON_PASSES; i++)
		free(file->info[i]);
	free(file->address);
	free(file->note);
	memset(file, 0, sizeof(*file));
}
