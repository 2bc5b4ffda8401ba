/* SPDX-License-Identifier: MIT */
/*
 * A record as a row of the store, and back. What comes back may come from anyone: every number is
 * checked against the range of its field.
 */
#include <errno.h>
#include <string.h>

#include "source/store_backend.h"

#define TYPE_u8	  STORE_INT2
#define TYPE_u16  STORE_INT4
#define TYPE_u32  STORE_INT8
#define TYPE_u64  STORE_INT8
#define TYPE_seq  STORE_INT8
#define TYPE_ns	  STORE_INT8
#define TYPE_ip	  STORE_INET
#define TYPE_name STORE_WORDS
#define TYPE_path STORE_WORDS

const struct store_column store_columns[STORE_COLUMNS] = {
	[STORE_C_SAMPLE] = { "sample", STORE_INT8 },
	[STORE_C_NUMBER] = { "number", STORE_INT8 },
	[STORE_C_GONE] = { "gone", STORE_INT2 },
	[STORE_C_ENDPOINTS] = { "endpoints", STORE_WORDS },
	[STORE_C_SIDE] = { "side", STORE_INT2 },
	[STORE_C_SEQUENCE] = { "sequence", STORE_INT8 },
	[STORE_C_SEQUENCE_SIDE] = { "sequence_side", STORE_INT2 },
	[STORE_C_DERIVED] = { "derived_0", STORE_INT8 },
	[STORE_C_DERIVED + 1] = { "derived_1", STORE_INT8 },
	[STORE_C_DERIVED + 2] = { "derived_2", STORE_INT8 },
	[STORE_C_DERIVED + 3] = { "derived_3", STORE_INT8 },
#define CPL_FIELD(group, type, name, unit, text)                                                   \
	[STORE_C_FIELDS + CPL_F_##name] = { #name, TYPE_##type },
#include <couplet/info.def>
};

_Static_assert(STORE_DERIVED == 4, "a column for each word of derived marks");
_Static_assert(CPL_FIELDS <= STORE_DERIVED * STORE_DERIVED_BITS, "a bit for each field");

struct store_value store_text(const char *s)
{
	return (struct store_value){ .kind = STORE_TEXT, .text = s, .len = strlen(s) };
}

void store_escape(char *out, size_t size, const char *s)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		bool plain = c >= 0x20 && c < 0x7f && c != '\\';

		if (n + (plain ? 1 : 4) >= size)
			break;
		if (plain) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool store_unescape(char *out, size_t size, const char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)s[i];

		if (c == '\\') {
			if (len - i < 4 || s[i + 1] != 'x' || hex_digit(s[i + 2]) < 0 ||
			    hex_digit(s[i + 3]) < 0)
				return false;
			c = hex_digit(s[i + 2]) << 4 | hex_digit(s[i + 3]);
			i += 3;
		} else if (c < 0x20 || c > 0x7e) {
			return false;
		}
		if (!c || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = 0;
	return true;
}

int store_visit_id(void *arg, const struct store_value *v, unsigned n)
{
	if (n < 1 || v[0].kind != STORE_NUMBER)
		return -EPROTO;
	*(int64_t *)arg = v[0].number;
	return 0;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* Only connections have two ends to be joined. */
static bool has_peer(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_protocol) && i->protocol == 6 &&
	       cpl_info_known(i, CPL_F_local_addr) && cpl_info_known(i, CPL_F_local_port) &&
	       cpl_info_known(i, CPL_F_remote_addr) && cpl_info_known(i, CPL_F_remote_port) &&
	       cpl_info_known(i, CPL_F_state) && i->state != CPL_LISTEN && i->state != CPL_CLOSED;
}

/* An address of 127.0.0.0/8 or ::1, which is another one in each namespace. */
static bool is_loopback(const struct cpl_addr *a)
{
	static const struct cpl_addr one = { { [15] = 1 } };

	return cpl_addr_is4(a) ? a->b[12] == 127 : cpl_addr_equal(a, &one);
}

/*
 * Both endpoints, the lower one first, as the grammar of CONN writes them: both ends of a
 * connection share the key, and `side` tells them apart.
 */
static void fill_endpoints(struct store_row *row, const struct cpl_info *i, int64_t host)
{
	int order = memcmp(i->local_addr.b, i->remote_addr.b, sizeof(i->local_addr.b));
	bool high = order ? order > 0 : i->local_port > i->remote_port;
	struct view_word local = word_endpoint(&i->local_addr, i->local_port);
	struct view_word remote = word_endpoint(&i->remote_addr, i->remote_port);
	int n = snprintf(row->endpoints, sizeof(row->endpoints), "%s-%s", high ? remote.s : local.s,
			 high ? local.s : remote.s);

	if (is_loopback(&i->local_addr) || is_loopback(&i->remote_addr))
		snprintf(row->endpoints + n, sizeof(row->endpoints) - (size_t)n, " in %lld/%u",
			 (long long)host, i->netns);
	row->value[STORE_C_ENDPOINTS] = store_text(row->endpoints);
	row->value[STORE_C_SIDE] = store_number(high);
}

/* Both initial sequence numbers, the lower one above: no translator of addresses changes them. */
static void fill_sequence(struct store_row *row, const struct cpl_info *i)
{
	bool high = i->iss > i->irs;
	uint32_t low = high ? i->irs : i->iss;

	if (!cpl_info_known(i, CPL_F_iss) || !cpl_info_known(i, CPL_F_irs) || i->iss == i->irs ||
	    i->state == CPL_SYN_SENT)
		return;
	row->value[STORE_C_SEQUENCE] =
		store_number((int64_t)((uint64_t)low << 32 | (high ? i->iss : i->irs)));
	row->value[STORE_C_SEQUENCE_SIDE] = store_number(high);
}

void store_row_keys(struct store_row *row, const struct cpl_info *info, int64_t host)
{
	for (unsigned c = STORE_C_ENDPOINTS; c <= STORE_C_SEQUENCE_SIDE; c++)
		row->value[c].kind = STORE_NULL;
	if (!has_peer(info))
		return;
	fill_endpoints(row, info, host);
	fill_sequence(row, info);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void fill_field(struct store_row *row, const struct cpl_info *info, enum cpl_field f,
		       unsigned *texts)
{
	struct store_value *v = &row->value[STORE_C_FIELDS + f];
	const char *at = (const char *)info + view_fields[f].offset;
	char s[sizeof(cpl_path)];
	uint64_t number;

	switch (view_fields[f].type) {
	case VIEW_TYPE_ip:
		v->kind = STORE_ADDRESS;
		memcpy(&v->addr, at, sizeof(v->addr));
		break;
	case VIEW_TYPE_name:
	case VIEW_TYPE_path:
		if (*texts >= sizeof(row->text) / sizeof(*row->text))
			break;
		memcpy(s, at, view_fields[f].size);
		s[view_fields[f].size - 1] = 0;
		store_escape(row->text[*texts], sizeof(row->text[0]), s);
		*v = store_text(row->text[(*texts)++]);
		break;
	default:
		view_get(info, f, &number);
		*v = store_number((int64_t)number);
	}
}

void store_row_fill(const struct store *s, struct store_row *row, const struct cpl_info *info,
		    int64_t host, bool gone)
{
	uint64_t derived[STORE_DERIVED] = { 0 };
	unsigned texts = 0;

	for (unsigned c = STORE_C_GONE; c < STORE_COLUMNS; c++)
		row->value[c].kind = STORE_NULL;
	row->value[STORE_C_GONE] = store_number(gone);
	if (gone)
		return;
	store_row_keys(row, info, host);
	for (int n = 0; n < CPL_FIELDS; n++) {
		enum cpl_field f = (enum cpl_field)n;

		if (!cpl_info_known(info, f) || s->number[f] < 0)
			continue;
		fill_field(row, info, f, &texts);
		if (!cpl_info_is_read(info, f))
			derived[s->number[f] / STORE_DERIVED_BITS] |=
				(uint64_t)1 << (s->number[f] % STORE_DERIVED_BITS);
	}
	for (unsigned d = 0; d < STORE_DERIVED; d++)
		if (derived[d])
			row->value[STORE_C_DERIVED + d] = store_number((int64_t)derived[d]);
}

/* ---- Reading --------------------------------------------------------------------------------- */

void store_row_columns(const struct store *s, struct text *t, const char *prefix)
{
	for (unsigned d = 0; d < STORE_DERIVED; d++)
		text_printf(t, "%s%s.derived_%u", d ? ", " : "", prefix, d);
	for (int f = 0; f < CPL_FIELDS; f++)
		if (s->number[f] >= 0)
			text_printf(t, ", %s.\"%s\"", prefix, view_fields[f].name);
}

static bool read_field(struct cpl_info *info, enum cpl_field f, const struct store_value *v)
{
	char *at = (char *)info + view_fields[f].offset;

	switch (view_fields[f].type) {
	case VIEW_TYPE_ip:
		if (v->kind != STORE_ADDRESS) {
			char text[CPL_ADDR_TEXT];

			if (v->kind != STORE_TEXT || v->len >= sizeof(text))
				return false;
			memcpy(text, v->text, v->len);
			text[v->len] = 0;
			return cpl_addr_parse((struct cpl_addr *)(void *)at, text) == 0;
		}
		memcpy(at, &v->addr, sizeof(v->addr));
		return true;
	case VIEW_TYPE_name:
	case VIEW_TYPE_path:
		return v->kind == STORE_TEXT &&
		       store_unescape(at, view_fields[f].size, v->text, v->len);
	default:
		return v->kind == STORE_NUMBER && view_set(info, f, (uint64_t)v->number);
	}
}

/* Numbers that stand for something must be among those that do. */
static bool makes_sense(const struct cpl_info *i)
{
	return i->state < CPL_STATES && i->source > CPL_SOURCE_UNKNOWN &&
	       i->source <= CPL_SOURCE_CAPTURE && i->recovery <= CPL_RECOVERY_RTO &&
	       i->why < CPL_WHYS;
}

int store_row_read(const struct store *s, const struct store_value *values, unsigned n,
		   struct cpl_info *info)
{
	unsigned at = STORE_DERIVED;

	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	info->version = CPL_INFO_VERSION;
	for (int number = 0; number < CPL_FIELDS; number++) {
		enum cpl_field f = (enum cpl_field)number;
		const struct store_value *mark;

		if (s->number[f] < 0)
			continue;
		if (at >= n)
			return -EPROTO;
		if (values[at++].kind == STORE_NULL)
			continue;
		if (!read_field(info, f, &values[at - 1]))
			return -EPROTO;
		mark = &values[s->number[f] / STORE_DERIVED_BITS];
		if (mark->kind == STORE_NUMBER &&
		    (uint64_t)mark->number >> (s->number[f] % STORE_DERIVED_BITS) & 1)
			cpl_info_mark_derived(info, f);
		else
			cpl_info_mark_read(info, f);
	}
	return makes_sense(info) ? 0 : -EPROTO;
}
