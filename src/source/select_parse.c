/* SPDX-License-Identifier: MIT */
/* The grammar of select.h: a scanner and a recursive descent, with errors that point at the place.
 */
#include "source/select_parser.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "view/field.h"

/* Parentheses and "not" may nest this deep. */
#define DEPTH 32

/* ---- Errors ---------------------------------------------------------------------------------- */

int select_fail(struct select_parser *p, const char *format, ...)
{
	va_list ap;

	if (p->error->text[0])
		return -1; /* the first one counts */
	p->error->at = p->start;
	p->error->len = p->at > p->start ? p->at - p->start : 1;
	va_start(ap, format);
	vsnprintf(p->error->text, sizeof(p->error->text), format, ap);
	va_end(ap);
	return -1;
}

/* ---- Scanner --------------------------------------------------------------------------------- */

static bool operator_sign(struct select_parser *p)
{
	static const struct {
		const char *sign;
		enum select_token token;
		enum select_op op;
	} signs[] = {
		{ "==", SELECT_T_OPERATOR, SELECT_EQ }, { "!=", SELECT_T_OPERATOR, SELECT_NE },
		{ "<=", SELECT_T_OPERATOR, SELECT_LE }, { ">=", SELECT_T_OPERATOR, SELECT_GE },
		{ "&&", SELECT_T_AND, SELECT_EQ },	{ "||", SELECT_T_OR, SELECT_EQ },
		{ "=", SELECT_T_OPERATOR, SELECT_EQ },	{ "<", SELECT_T_OPERATOR, SELECT_LT },
		{ ">", SELECT_T_OPERATOR, SELECT_GT },	{ "&", SELECT_T_AND, SELECT_EQ },
		{ "|", SELECT_T_OR, SELECT_EQ },	{ "!", SELECT_T_NOT, SELECT_EQ },
		{ "(", SELECT_T_OPEN, SELECT_EQ },	{ ")", SELECT_T_CLOSE, SELECT_EQ },
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
		size_t len = strlen(signs[i].sign);

		if (strncmp(p->text + p->at, signs[i].sign, len) != 0)
			continue;
		p->at += len;
		p->token = signs[i].token;
		p->op = signs[i].op;
		return true;
	}
	return false;
}

static bool operator_word(struct select_parser *p)
{
	static const struct {
		const char *word;
		enum select_token token;
		enum select_op op;
	} words[] = {
		{ "and", SELECT_T_AND, SELECT_EQ },	{ "or", SELECT_T_OR, SELECT_EQ },
		{ "not", SELECT_T_NOT, SELECT_EQ },	{ "eq", SELECT_T_OPERATOR, SELECT_EQ },
		{ "ne", SELECT_T_OPERATOR, SELECT_NE }, { "neq", SELECT_T_OPERATOR, SELECT_NE },
		{ "lt", SELECT_T_OPERATOR, SELECT_LT }, { "gt", SELECT_T_OPERATOR, SELECT_GT },
		{ "le", SELECT_T_OPERATOR, SELECT_LE }, { "leq", SELECT_T_OPERATOR, SELECT_LE },
		{ "ge", SELECT_T_OPERATOR, SELECT_GE }, { "geq", SELECT_T_OPERATOR, SELECT_GE },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcasecmp(p->word, words[i].word) == 0) {
			p->token = words[i].token;
			p->op = words[i].op;
			return true;
		}
	}
	return false;
}

/* The next token; -1 if there is none that can be read. */
static int next(struct select_parser *p)
{
	size_t len;

	while (isspace((unsigned char)p->text[p->at]))
		p->at++;
	p->start = p->at;
	if (!p->text[p->at]) {
		p->token = SELECT_T_END;
		return 0;
	}
	if (operator_sign(p))
		return 0;
	len = strcspn(p->text + p->at, " \t\r\n\v\f()=<>!&|");
	p->at += len;
	if (len >= SELECT_WORD)
		return select_fail(p, "this word is too long");
	memcpy(p->word, p->text + p->start, len);
	p->word[len] = 0;
	p->token = SELECT_T_NAME;
	operator_word(p);
	return 0;
}

int select_node(struct select_parser *p, enum select_kind kind)
{
	struct select_node *n;

	if (p->select->n == SELECT_NODES)
		return select_fail(p, "the filter is too long: at most %d parts", SELECT_NODES);
	n = &p->select->node[p->select->n];
	memset(n, 0, sizeof(*n));
	n->kind = kind;
	return p->select->n++;
}

int select_join(struct select_parser *p, enum select_kind kind, int left, int right)
{
	int at;

	if (left < 0 || right < 0)
		return -1;
	at = select_node(p, kind);
	if (at >= 0) {
		p->select->node[at].left = left;
		p->select->node[at].right = right;
	}
	return at;
}

/* ---- Comparisons ----------------------------------------------------------------------------- */

/* A number with the unit of the field: 12, 64k, 1.5s, 100ms. */
static int parse_value(struct select_parser *p, const struct view_field *field, uint64_t *value)
{
	static const struct {
		const char *unit;
		bool time;
		double factor;
	} units[] = {
		{ "ns", true, 1 },	    { "us", true, 1e3 },     { "ms", true, 1e6 },
		{ "s", true, 1e9 },	    { "min", true, 60e9 },   { "h", true, 3600e9 },
		{ "k", false, 1e3 },	    { "Ki", false, 1024.0 }, { "M", false, 1e6 },
		{ "Mi", false, 1048576.0 }, { "G", false, 1e9 },     { "Gi", false, 1073741824.0 },
	};
	bool time = field->type == VIEW_TYPE_ns;
	double factor = 0, n;
	char *end;

	if (select_number(p->word, UINT64_MAX, value) && (!time || *value == 0))
		return 0;
	n = isdigit((unsigned char)p->word[0]) ? strtod(p->word, &end) : -1;
	for (size_t i = 0; n >= 0 && i < sizeof(units) / sizeof(*units); i++)
		if (units[i].time == time && strcmp(end, units[i].unit) == 0)
			factor = units[i].factor;
	if (factor <= 0 || n * factor >= 1.8e19)
		return select_fail(p, "\"%s\" is no value for %s: write %s", p->word, field->name,
				   time ? "a time like 200ms, 3us or 1.5s"
					: "a number like 12 or 64k");
	*value = (uint64_t)(n * factor);
	return 0;
}

/* The operator, if one stands here, and then the word that must follow. */
static int operand(struct select_parser *p, const char *what, enum select_op *op)
{
	*op = SELECT_EQ;
	if (p->token == SELECT_T_OPERATOR) {
		*op = p->op;
		if (next(p))
			return -1;
	}
	if (p->token != SELECT_T_NAME)
		return select_fail(p, "here must come %s", what);
	return 0;
}

/* ss(8) lets the family stand before an address. */
static const char *without_family(const char *s)
{
	static const char *const families[] = { "inet:", "inet6:", "unix:" };

	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		if (strncmp(s, families[i], strlen(families[i])) == 0)
			return s + strlen(families[i]);
	return s;
}

static int compare_port(struct select_parser *p, enum select_side side)
{
	enum select_op op;
	struct select_node *n;
	const char *port;
	int at;

	if (operand(p, "a port, as in \":443\"", &op))
		return -1;
	at = select_node(p, SELECT_POINT);
	if (at < 0)
		return -1;
	n = &p->select->node[at];
	n->side = side;
	n->op = op;
	port = without_family(p->word);
	port += *port == ':';
	if (strchr(port, ':'))
		return select_fail(p, "\"%s\" is more than a port; addresses go with src and dst",
				   p->word);
	return select_port(p, port, &n->point[0]) ? -1 : at;
}

static int compare_host(struct select_parser *p, enum select_side side)
{
	enum select_op op;
	const char *host;
	int at;

	if (operand(p, "an address, as in \"10.0.0.1:443\"", &op))
		return -1;
	if (op != SELECT_EQ && op != SELECT_NE)
		return select_fail(p, "addresses can only be compared with = and !=");
	host = without_family(p->word);
	if (*host == '/' || *host == '@') {
		if (side == SELECT_REMOTE)
			return select_fail(p, "a UNIX socket knows only the path of its own end: "
					      "compare that, with src");
		return select_path(p, op, host);
	}
	at = select_node(p, SELECT_POINT);
	if (at < 0)
		return -1;
	p->select->node[at].side = side;
	if (select_point(p, host, &p->select->node[at].point[0]))
		return -1;
	return op == SELECT_NE ? select_join(p, SELECT_NOT, at, at) : at;
}

static int compare_field(struct select_parser *p, int field)
{
	const struct view_field *f = &view_fields[field];
	enum select_op op;
	uint64_t value;

	if (operand(p, "a value", &op))
		return -1;
	if (f->type == VIEW_TYPE_name || f->type == VIEW_TYPE_path || f->type == VIEW_TYPE_ip)
		return select_fail(p, "%s is no number", f->name);
	if (parse_value(p, f, &value))
		return -1;
	return select_field(p, (enum cpl_field)field, op, value);
}

/* A comparison, if WORD begins one and the next token fits. -2: it does not; -3: it would, with a
 * field that does not exist; -4: with what ss knows and we do not. */
static int comparison(struct select_parser *p, const char *word)
{
	enum select_op op;
	int field, at;

	if (strcmp(word, "sport") == 0)
		return compare_port(p, SELECT_LOCAL);
	if (strcmp(word, "dport") == 0)
		return compare_port(p, SELECT_REMOTE);
	if (strcmp(word, "src") == 0)
		return compare_host(p, SELECT_LOCAL);
	if (strcmp(word, "dst") == 0)
		return compare_host(p, SELECT_REMOTE);
	if (strcmp(word, "state") == 0 || strcmp(word, "exclude") == 0) {
		if (operand(p, "a state", &op))
			return -1;
		if (op != SELECT_EQ && op != SELECT_NE)
			return select_fail(p, "a state can only be compared with = and !=");
		at = select_state(p, p->word);
		if (at >= 0 && (op == SELECT_NE) != (*word == 'e')) {
			p->select->node[at].states =
				SOURCE_USUAL_STATES & ~p->select->node[at].states;
			p->select->node[at].excludes = true;
		}
		return at;
	}
	if (strcmp(word, "dev") == 0) {
		if (operand(p, "an interface", &op))
			return -1;
		return select_device(p, op, p->word);
	}
	if (strcmp(word, "fwmark") == 0 || strcmp(word, "cgroup") == 0)
		return -4;
	if (p->token != SELECT_T_OPERATOR)
		return -2;
	if (strcmp(word, "path") == 0) {
		if (operand(p, "a path", &op))
			return -1;
		return select_path(p, op, p->word);
	}
	if (strcmp(word, "program") == 0) {
		if (operand(p, "a program's name", &op))
			return -1;
		return select_program(p, op, p->word);
	}
	field = view_field_find(word);
	return field < 0 ? -3 : compare_field(p, field);
}

/* ---- Expressions ----------------------------------------------------------------------------- */

static int expression(struct select_parser *p);

static int term_of_word(struct select_parser *p)
{
	struct select_parser before = *p, after;
	int at;

	if (next(p))
		return -1;
	at = comparison(p, before.word);
	if (at >= 0)
		return next(p) ? -1 : at;
	if (at == -1)
		return -1;
	/* Errors point at the word, then parsing goes on behind it. */
	after = *p;
	p->start = before.start;
	p->at = before.at;
	if (at == -3)
		return select_fail(p,
				   "there is no field \"%s\" to compare: \"couplet explain\" "
				   "lists them",
				   before.word);
	if (at == -4)
		return select_fail(p,
				   "the %s of a socket is not known here; ss(8) tells it: ss '%s = "
				   "...'",
				   before.word, before.word);
	at = strcmp(before.word, "autobound") == 0 ? select_autobound(p)
						   : select_name(p, before.word);
	*p = after;
	return at;
}

static int term(struct select_parser *p)
{
	int at;

	switch (p->token) {
	case SELECT_T_NOT:
	case SELECT_T_OPEN:
		break;
	case SELECT_T_NAME:
		return term_of_word(p);
	case SELECT_T_END:
		return select_fail(p, "something must follow here");
	default:
		return select_fail(p, "this is not where a condition can begin");
	}
	if (++p->depth > DEPTH)
		return select_fail(p, "nested too deep");
	if (p->token == SELECT_T_NOT) {
		if (next(p))
			return -1;
		at = term(p);
		at = select_join(p, SELECT_NOT, at, at);
	} else {
		size_t start = p->start;

		if (next(p))
			return -1;
		at = expression(p);
		if (at >= 0 && p->token != SELECT_T_CLOSE) {
			p->start = start;
			p->at = start + 1;
			return select_fail(p, "\"(\" without \")\"");
		}
		if (at >= 0 && next(p))
			return -1;
	}
	p->depth--;
	return at;
}

/* "state a state b": any of the two. True if RIGHT was added to LEFT so. */
static bool states_unite(struct select_parser *p, int left, int right)
{
	struct select_node *a = &p->select->node[left], *b = &p->select->node[right];

	if (a->kind != SELECT_STATE || b->kind != SELECT_STATE || a->excludes || b->excludes)
		return false;
	a->states |= b->states;
	return true;
}

static int conjunction(struct select_parser *p)
{
	int left = term(p), last = left, right;

	while (left >= 0 && (p->token == SELECT_T_AND || p->token == SELECT_T_NAME ||
			     p->token == SELECT_T_NOT || p->token == SELECT_T_OPEN)) {
		bool said = p->token == SELECT_T_AND;

		if (said && next(p))
			return -1;
		right = term(p);
		if (right >= 0 && !said && states_unite(p, last, right))
			continue;
		left = select_join(p, SELECT_AND, left, right);
		last = right;
	}
	return left;
}

static int expression(struct select_parser *p)
{
	int left = conjunction(p);

	while (left >= 0 && p->token == SELECT_T_OR) {
		if (next(p))
			return -1;
		left = select_join(p, SELECT_OR, left, conjunction(p));
	}
	return left;
}

int select_parse(struct select *select, const char *text, struct select_error *error)
{
	struct select_parser p = { .select = select, .error = error, .text = text };

	memset(select, 0, sizeof(*select));
	memset(error, 0, sizeof(*error));
	select->root = -1;
	if (next(&p))
		return -EINVAL;
	if (p.token == SELECT_T_END)
		return 0;
	select->root = expression(&p);
	if (select->root >= 0 && p.token != SELECT_T_END)
		select_fail(&p, p.token == SELECT_T_CLOSE ? "\")\" without \"(\""
							  : "this is one too many");
	return error->text[0] ? -EINVAL : 0;
}
