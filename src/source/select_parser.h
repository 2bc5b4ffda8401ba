/* SPDX-License-Identifier: MIT */
/* What the two halves of the parser of select.h share: expressions (select_parse.c) and words. */
#ifndef SOURCE_SELECT_PARSER_H
#define SOURCE_SELECT_PARSER_H

#include "source/select.h"

#define SELECT_WORD 128

enum select_token {
	SELECT_T_END,
	SELECT_T_OPEN,
	SELECT_T_CLOSE,
	SELECT_T_AND,
	SELECT_T_OR,
	SELECT_T_NOT,
	SELECT_T_OPERATOR,
	SELECT_T_NAME,
};

struct select_parser {
	struct select *select;
	struct select_error *error;
	const char *text;
	size_t start; /* of the current token */
	size_t at;    /* behind it */
	enum select_token token;
	enum select_op op;	/* of an operator */
	char word[SELECT_WORD]; /* of a name */
	int depth;
};

/* Functions that return int give the number of a node, or 0 where they give none; -1: an error is
 * set. */

/* Sets the error, which points at the current token; the first one counts. Returns -1. */
__attribute__((format(printf, 2, 3))) int select_fail(struct select_parser *p, const char *format,
						      ...);
/* A new node, cleared. */
int select_node(struct select_parser *p, enum select_kind kind);
/* "and", "or", and "not" with the same twice; -1 if one of them is. */
int select_join(struct select_parser *p, enum select_kind kind, int left, int right);

/* One word that names connections by itself. */
int select_name(struct select_parser *p, const char *s);
/* A state, or one of ss's groups of states. */
int select_state(struct select_parser *p, const char *s);
int select_program(struct select_parser *p, enum select_op op, const char *name);
int select_path(struct select_parser *p, enum select_op op, const char *path);
int select_device(struct select_parser *p, enum select_op op, const char *name);
/* The ports of net.ipv4.ip_local_port_range. */
int select_autobound(struct select_parser *p);
int select_field(struct select_parser *p, enum cpl_field field, enum select_op op, uint64_t value);

/* A whole decimal number of at most MAX. */
bool select_number(const char *s, uint64_t max, uint64_t *value);
/* A port by number or, as services(5) has it, by name. "*": any. */
int select_port(struct select_parser *p, const char *s, struct select_point *point);
/* An address, prefix, endpoint or port; a name is looked up. */
int select_point(struct select_parser *p, const char *s, struct select_point *point);

#endif
