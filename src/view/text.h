/* SPDX-License-Identifier: MIT */
/*
 * Text for people: a buffer that grows, and the formats of numbers, addresses and names that all
 * tables and drawings share.
 *
 * Functions that append to a buffer take it first. Functions that only format return a struct
 * view_word by value, so that they can be used inside a call: text_printf(t, "%s", word_ns(n).s).
 */
#ifndef VIEW_TEXT_H
#define VIEW_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <couplet/info.h>

/* ---- The buffer ------------------------------------------------------------------------------ */

struct text {
	char *data; /* terminated by a zero; NULL while empty */
	size_t len; /* bytes, without the zero */
	size_t size;
	size_t line;	/* where the current line starts */
	unsigned width; /* columns that the reader has; 80 unless set */
	bool colour;	/* escape sequences are wanted */
	bool ascii;	/* no line drawing characters */
	bool failed;	/* memory ran out; everything since is lost */
};

enum text_style {
	TEXT_PLAIN,
	TEXT_BOLD,
	TEXT_DIM,
	TEXT_RED,
	TEXT_GREEN,
	TEXT_YELLOW,
	TEXT_BLUE,
	TEXT_CYAN,
};

void text_init(struct text *t);
void text_free(struct text *t);
/* Writes all to FILE and empties the buffer. Returns 0, or -ENOMEM or -EIO. */
int text_flush(struct text *t, FILE *file);

__attribute__((format(printf, 2, 3))) void text_printf(struct text *t, const char *format, ...);
void text_puts(struct text *t, const char *s);
void text_write(struct text *t, const char *s, size_t n);
void text_repeat(struct text *t, const char *s, unsigned n);
/* Spaces up to display column COLUMN (0: the first) of the current line; at least AT_LEAST. */
void text_column(struct text *t, unsigned column, unsigned at_least);
/* Display column at which the next character will stand. */
unsigned text_at(const struct text *t);
/* S in a style, when the buffer has colour. */
void text_styled(struct text *t, enum text_style style, const char *s);
/* Text from outside, of any length: what is not printable ASCII becomes '?'. */
void text_foreign(struct text *t, const char *s);
/* S broken at spaces to lines that end before WIDTH; all but the first are indented by INDENT. */
void text_wrap(struct text *t, const char *s, unsigned indent, unsigned width);

/* Display columns of N bytes of UTF-8, escape sequences not counted. */
unsigned view_cells_n(const char *s, size_t n);
unsigned view_cells(const char *s);

/* ---- Numbers and names ----------------------------------------------------------------------- */

struct view_word {
	char s[128];
};

/* As printf; what does not fit is cut. */
__attribute__((format(printf, 1, 2))) struct view_word word_format(const char *format, ...);
/* S, cut if it is too long; N in plain digits: what tables are full of, without printf(). */
struct view_word word_text(const char *s);
struct view_word word_number(uint64_t n);

struct view_word word_count(uint64_t n);    /* 1,234,567 */
struct view_word word_bytes(uint64_t n);    /* 1,234,567 bytes; 1 byte */
struct view_word word_size(uint64_t n);	    /* short: 64 KiB, 1.2 MiB, 812 B */
struct view_word word_rate(uint64_t bytes); /* bytes a second as 20.0 Mbit/s */
struct view_word word_ns(uint64_t ns);	    /* 1.234 s, 40.2 ms, 12 us, 3 ns; 2 h 05 min; off */
struct view_word word_seq(uint32_t seq);    /* 4294967295 */
/* iss+1461, iss, iss-3: SEQ relative to BASE, which is called NAME. */
struct view_word word_seq_rel(uint32_t seq, uint32_t base, const char *name);
/* 10.0.0.1, fe80::1 */
struct view_word word_addr(const struct cpl_addr *addr);
/* 10.0.0.1:80, [fe80::1]:80; any address or port 0: "*". */
struct view_word word_endpoint(const struct cpl_addr *addr, uint16_t port);
/* CPL_OPT_BIT_*: "wscale ts sack", or "none". */
struct view_word word_options(uint32_t bits);
/* Who uses the option of accurate ECN: CPL_ACCECN_*. */
struct view_word word_accecn(uint32_t bits);
/* Flags octet of a segment: "SYN,ACK", "FIN,ACK", or "-". */
struct view_word word_flags(uint32_t flags);
/* The same as text_foreign(), of up to 127 bytes. */
struct view_word word_foreign(const char *s);

/* ESTABLISHED, FIN_WAIT_1: as netstat spells it. "?" for a number that is no state. */
const char *view_state_name(unsigned state);
/* ESTABLISHED, FIN-WAIT-1: as RFC 9293 spells it. */
const char *view_state_rfc(unsigned state);
/* The state with either spelling, any case, net-tools' and ss's too; -1: none. */
int view_state_find(const char *name);
const char *view_why_name(unsigned why);	   /* "cwnd", "rwnd" ... */
const char *view_why_text(unsigned why);	   /* one clause in plain words */
const char *view_recovery_name(unsigned recovery); /* open, disorder, cwr, recovery, loss */
const char *view_source_name(unsigned source);	   /* couplet, kernel, kernel/bpf, capture */

/* Edits (insert, delete, replace, swap neighbours; case ignored) that turn A into B; 255 at most.
 */
unsigned view_distance(const char *a, const char *b);

#endif
