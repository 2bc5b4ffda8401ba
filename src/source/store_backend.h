/* SPDX-License-Identifier: MIT */
/* Between the store (store.h) and the two databases under it; for src/source/store*.c only. */
#ifndef SOURCE_STORE_BACKEND_H
#define SOURCE_STORE_BACKEND_H

#include "source/store.h"
#include "view/field.h"

/* ---- Values ---------------------------------------------------------------------------------- */

enum store_kind {
	STORE_NULL,
	STORE_NUMBER,
	STORE_TEXT,
	STORE_ADDRESS,
};

struct store_value {
	enum store_kind kind;
	int64_t number;
	const char *text; /* printable ASCII, see store_escape() */
	size_t len;
	struct cpl_addr addr;
};

static inline struct store_value store_number(int64_t n)
{
	return (struct store_value){ .kind = STORE_NUMBER, .number = n };
}

/* S is escaped already, and lives as long as the value. */
struct store_value store_text(const char *s);

enum store_type {
	STORE_INT2,
	STORE_INT4,
	STORE_INT8,
	STORE_WORDS, /* text */
	STORE_INET,  /* an address */
};

struct store_column {
	const char *name;
	enum store_type type;
};

/* ---- Databases ------------------------------------------------------------------------------- */

/* One row of an answer; the values live until it returns. Nonzero ends the query and is returned.
 */
typedef int (*store_visit)(void *arg, const struct store_value *values, unsigned n);

struct store_backend {
	const char *name;
	/* SQL of types: a number that counts up by itself, an address, a text that is compared by
	 * its bytes, a list of numbers as parameter ("= ANY ($1)") and its brackets. */
	const char *serial, *inet, *key, *in_list, *brackets;
	const char *size;   /* query that tells the bytes on disk */
	const char *exists; /* query: 1 if there is a table couplet_schema, else 0 */
	const char *lock;   /* statement: no other transaction that says so goes on; may be NULL */
	const char *plan;   /* statement: joins are hashed from now on; NULL: they never are */
	int (*open)(struct store *s);
	void (*close)(struct store *s);
	/* One statement, with $1 ... $N for PARAMS. Where there are numbers in an answer that may
	 * not be ones, they come as text. VISIT may be NULL. */
	int (*query)(struct store *s, const char *sql, const struct store_value *params, unsigned n,
		     store_visit visit, void *arg);
	int (*begin)(struct store *s);	   /* a transaction, to read or to write */
	void (*rollback)(struct store *s); /* never fails: what is lost is rolled back by itself */
	/* Many rows at once, into TABLE. */
	int (*rows_begin)(struct store *s, const char *table, const struct store_column *columns,
			  unsigned n);
	int (*row)(struct store *s, const struct store_value *values);
	int (*rows_end)(struct store *s);
};

extern const struct store_backend store_sqlite;	    /* store_sqlite.c */
extern const struct store_backend store_postgresql; /* store_postgresql.c */

struct store {
	const struct store_backend *backend;
	void *db; /* the backend's; NULL: not open */
	char *where;
	bool write;
	uint64_t changes; /* rows that the last query changed */
	/* The number that a field has in this store, which says where its `derived` bit is; -1: it
	 * has no column. */
	int16_t number[CPL_FIELDS];
	char name[STORE_ERROR / 2];
	char error[STORE_ERROR];
};

/* A visit of one row with a number, for an int64_t *. */
int store_visit_id(void *arg, const struct store_value *v, unsigned n);

/* Fills store->error: "NAME: SENTENCE"; returns ERR. */
__attribute__((format(printf, 3, 4))) int store_fail(struct store *s, int err, const char *format,
						     ...);
/* The statement FORMAT, made with numbers and with names of ours only, never with data. */
__attribute__((format(printf, 2, 3))) int store_run(struct store *s, const char *format, ...);
int store_commit(struct store *s);

/* ---- Tables: store_schema.c ------------------------------------------------------------------ */

/* Creates or migrates, if the store is open for writing; refuses what is newer, or no store. */
int store_schema_open(struct store *s);

/* ---- Rows: store_row.c ----------------------------------------------------------------------- */

/* Bits of which fields of a row are derived: words of 63, so that none is negative. */
#define STORE_DERIVED	   4
#define STORE_DERIVED_BITS 63

/* Columns of couplet_ends that are no field; their numbers in a row. */
enum {
	STORE_C_SAMPLE,
	STORE_C_NUMBER,
	STORE_C_GONE,
	STORE_C_ENDPOINTS,
	STORE_C_SIDE,
	STORE_C_SEQUENCE,
	STORE_C_SEQUENCE_SIDE,
	STORE_C_DERIVED,
	STORE_C_FIELDS = STORE_C_DERIVED + STORE_DERIVED,
	STORE_COLUMNS = STORE_C_FIELDS + CPL_FIELDS
};

extern const struct store_column store_columns[STORE_COLUMNS];

/* What one row's values point to. */
struct store_row {
	struct store_value value[STORE_COLUMNS];
	char endpoints[2 * CPL_ADDR_TEXT + 64];
	char text[6][4 * 112 + 1]; /* escaped names and paths */
};

/* The keys of a row: columns STORE_C_ENDPOINTS to STORE_C_SEQUENCE_SIDE, NULL without a peer. */
void store_row_keys(struct store_row *row, const struct cpl_info *info, int64_t host);
/* All columns but sample and number. HOST scopes addresses that mean nothing elsewhere. */
void store_row_fill(const struct store *s, struct store_row *row, const struct cpl_info *info,
		    int64_t host, bool gone);
/*
 * The columns of a row that are read, as SQL: appended to T, each as PREFIX.name; and a row of them
 * as a record. Returns 0, or -EPROTO if it makes no sense.
 */
void store_row_columns(const struct store *s, struct text *t, const char *prefix);
int store_row_read(const struct store *s, const struct store_value *values, unsigned n,
		   struct cpl_info *info);

/*
 * Text of any bytes as printable ASCII, and back: a backslash or a byte that is none becomes \xNN.
 * What does not fit is cut. store_unescape() returns false for what store_escape() does not make.
 */
void store_escape(char *out, size_t size, const char *s);
bool store_unescape(char *out, size_t size, const char *s, size_t len);

/* ---- Clocks: store_clock.c ------------------------------------------------------------------- */

#define STORE_CLOCKS 24

/* What an end looked like when it was last written. */
struct store_print {
	uint64_t hash; /* of all that stands still */
	uint64_t taken;
	uint64_t clock[STORE_CLOCKS];
};

void store_print_take(struct store_print *print, const struct cpl_info *info, uint64_t taken);
/* False: nothing but clocks has moved, and these as they must. */
bool store_print_differs(const struct store_print *old, const struct store_print *now);
/* What stands in an older row, as it was PASSED ns later: clocks moved on. */
void store_advance(struct cpl_info *info, uint64_t passed);

#endif
