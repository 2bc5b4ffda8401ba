/* SPDX-License-Identifier: MIT */
/*
 * A store on a server: PostgreSQL 12 and later. Rows go in by COPY in its binary form, where
 * nothing that they hold can be taken for SQL; all else goes by parameters.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/store_backend.h"

#ifndef HAVE_LIBPQ

static int postgresql_open(struct store *s)
{
	return store_fail(
		s, -ENOSYS,
		"couplet was built without PostgreSQL; install libpq-dev and build again");
}

const struct store_backend store_postgresql = { .name = "PostgreSQL", .open = postgresql_open };

#else

#include <arpa/inet.h>
#include <dlfcn.h>
#include <endian.h>

#include "source/store_libpq.h"

/* Types of values, as the server numbers them. */
#define OID_INT8       20
#define OID_INT2       21
#define OID_INT4       23
#define OID_TEXT       25
#define OID_INET       869

/* Its own numbers of address families, in the binary form of inet. */
#define PGSQL_AF_INET  2
#define PGSQL_AF_INET6 3

#define COPY_CHUNK 65536

struct postgresql {
	struct libpq pq;
	PGconn *conn;
	const struct store_column *columns; /* of the COPY that is under way */
	unsigned n;
	char *buffer;
	size_t len, size;
};

static int load(struct store *s, struct libpq *pq)
{
	static void *library; /* never closed: it may have left handlers behind */

	if (!library)
		library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return store_fail(s, -ENOSYS,
				  "libpq.so.5 is not there; install the package libpq5");
#define LIBPQ(member, function)                                                                    \
	if (!(pq->member = (__typeof__(pq->member))dlsym(library, #function)))                     \
		return store_fail(s, -ENOSYS, "libpq.so.5 has no %s; install a newer libpq5",      \
				  #function);
	LIBPQ_FUNCTIONS
#undef LIBPQ
	return 0;
}

/* ---- What went wrong ------------------------------------------------------------------------- */

/* By SQLSTATE: five characters, the first two its class. */
static int state_errno(const char *state)
{
	static const struct {
		const char *state;
		int err;
	} known[] = {
		{ "08", -ECONNRESET }, { "57P", -ECONNRESET }, { "53100", -ENOSPC },
		{ "53200", -ENOMEM },  { "53300", -EBUSY },    { "40", -EBUSY },
		{ "55P03", -EBUSY },   { "25006", -EACCES },   { "42501", -EACCES },
		{ "28", -EACCES },
	};

	for (unsigned i = 0; state && i < sizeof(known) / sizeof(*known); i++)
		if (strncmp(state, known[i].state, strlen(known[i].state)) == 0)
			return known[i].err;
	return -EPROTO;
}

/* The first line of what libpq says, without the place that it names: that is in our name. */
static int fail_connection(struct store *s, const char *what)
{
	struct postgresql *p = s->db;
	const char *text = p->conn ? p->pq.error_message(p->conn) : "out of memory";
	const char *reason = strstr(text, "failed: ");

	reason = reason ? reason + 8 : text;
	if (strncmp(reason, "FATAL:  ", 8) == 0)
		reason += 8;
	return store_fail(s, -ECONNRESET, "%s: %.*s", what, (int)strcspn(reason, "\n"), reason);
}

static int fail_result(struct store *s, PGresult *r)
{
	struct postgresql *p = s->db;
	const char *state = r ? p->pq.result_error_field(r, PG_DIAG_SQLSTATE) : NULL;
	const char *text = r ? p->pq.result_error_field(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	int err = state_errno(state);

	if (p->pq.status(p->conn) != CONNECTION_OK || !text) {
		err = fail_connection(s, "the connection is lost");
	} else if (err == -ECONNRESET) {
		store_fail(s, err, "the server ended the connection: %s", text);
	} else if (err == -ENOSPC) {
		store_fail(s, err, "the server's disk is full: %s", text);
	} else {
		store_fail(s, err, "the server says: %s", text);
	}
	p->pq.clear(r);
	return err;
}

/* Takes what is left of the answers, so that the next query can be sent. */
static void drain(struct postgresql *p)
{
	PGresult *r;

	while ((r = p->pq.get_result(p->conn)) != NULL)
		p->pq.clear(r);
}

/* ---- The connection -------------------------------------------------------------------------- */

static void quiet(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

static const char *option(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val;
	return NULL;
}

/* "postgresql://user@host:port/database": all that tells one store from another but the password.
 */
static int name_store(struct store *s, struct libpq *pq)
{
	char *complaint = NULL;
	PQconninfoOption *options = pq->conninfo_parse(s->where, &complaint);
	const char *user, *host, *port, *database;
	char name[sizeof(s->name)];

	if (!options) {
		/* It may quote the URL, password and all. */
		pq->freemem(complaint);
		return store_fail(
			s, -EINVAL,
			"the URL is not understood; it reads "
			"postgresql://USER@HOST:PORT/DATABASE, special characters as %%XX");
	}
	user = option(options, "user");
	host = option(options, "host");
	port = option(options, "port");
	database = option(options, "dbname");
	snprintf(name, sizeof(name), "postgresql://%.40s%s%.60s%s%.10s/%.40s", user ? user : "",
		 user ? "@" : "", host ? host : "", port ? ":" : "", port ? port : "",
		 database ? database : "");
	store_escape(s->name, sizeof(s->name), name);
	pq->conninfo_free(options);
	return 0;
}

static void postgresql_close(struct store *s)
{
	struct postgresql *p = s->db;

	if (p->conn)
		p->pq.finish(p->conn);
	free(p->buffer);
	free(p);
	s->db = NULL;
}

static int connect_now(struct store *s)
{
	/* What stands before dbname are defaults that the URL may change; what is behind stays. */
	const char *const keys[] = { "application_name",
				     "connect_timeout",
				     "tcp_user_timeout",
				     "keepalives_idle",
				     "dbname",
				     "client_encoding",
				     NULL };
	const char *const values[] = {
		"couplet", "10", "30000", "15", s->where, "SQL_ASCII", NULL
	};
	struct postgresql *p = s->db;
	int err;

	p->conn = p->pq.connect(keys, values, 1);
	if (p->pq.status(p->conn) != CONNECTION_OK)
		return fail_connection(s, "no connection");
	p->pq.set_notice_processor(p->conn, quiet, NULL);
	err = store_run(s, "SET standard_conforming_strings = on");
	if (!err)
		err = store_run(s, "SET default_transaction_isolation = '%s'",
				s->write ? "read committed" : "repeatable read");
	if (!err && !s->write)
		err = store_run(s, "SET default_transaction_read_only = on");
	return err;
}

static int postgresql_open(struct store *s)
{
	struct postgresql *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return store_fail(s, -ENOMEM, "out of memory");
	s->db = p;
	err = load(s, &p->pq);
	if (!err)
		err = name_store(s, &p->pq);
	if (!err)
		err = connect_now(s);
	if (err)
		postgresql_close(s);
	return err;
}

/* ---- Statements ------------------------------------------------------------------------------ */

/* The parameters as text, each in BUFFER of its own. */
struct params {
	Oid type[16];
	const char *text[16];
	char buffer[16][CPL_ADDR_TEXT];
};

static void set_params(struct params *a, const struct store_value *params, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		a->text[i] = a->buffer[i];
		switch (params[i].kind) {
		case STORE_NUMBER:
			a->type[i] = OID_INT8;
			snprintf(a->buffer[i], sizeof(a->buffer[i]), "%lld",
				 (long long)params[i].number);
			break;
		case STORE_ADDRESS:
			a->type[i] = OID_INET;
			cpl_addr_text(&params[i].addr, a->buffer[i]);
			break;
		case STORE_TEXT:
			a->type[i] = 0; /* the server sees from where it stands */
			a->text[i] = params[i].text;
			break;
		case STORE_NULL:
			a->type[i] = 0;
			a->text[i] = NULL;
			break;
		}
	}
}

/* Values come in binary form; their length is checked, for a server may be anyone's. */
static void read_value(const struct libpq *pq, const PGresult *r, int row, int column,
		       struct store_value *v)
{
	const char *at = pq->getvalue(r, row, column);
	int len = pq->getlength(r, row, column);
	uint64_t n8;
	uint32_t n4;
	uint16_t n2;

	if (pq->getisnull(r, row, column)) {
		v->kind = STORE_NULL;
		return;
	}
	*v = (struct store_value){ .kind = STORE_NUMBER };
	switch (pq->ftype(r, column)) {
	case OID_INT8:
		memcpy(&n8, at, sizeof(n8));
		v->number = (int64_t)be64toh(n8);
		len -= 8;
		break;
	case OID_INT4:
		memcpy(&n4, at, sizeof(n4));
		v->number = (int32_t)ntohl(n4);
		len -= 4;
		break;
	case OID_INT2:
		memcpy(&n2, at, sizeof(n2));
		v->number = (int16_t)ntohs(n2);
		len -= 2;
		break;
	case OID_INET: /* family, bits, is it a network, number of octets, octets */
		v->kind = STORE_ADDRESS;
		if (len == 8 && at[0] == PGSQL_AF_INET)
			v->addr = cpl_addr4((uint8_t)at[4], (uint8_t)at[5], (uint8_t)at[6],
					    (uint8_t)at[7]);
		else if (len == 20 && at[0] == PGSQL_AF_INET6)
			memcpy(v->addr.b, at + 4, sizeof(v->addr.b));
		else
			break;
		return;
	default:
		len = 0;
		v->kind = STORE_TEXT;
		v->text = at;
		v->len = (size_t)pq->getlength(r, row, column);
	}
	if (len) /* of the wrong length */
		*v = (struct store_value){ .kind = STORE_TEXT, .text = "" };
}

static int visit_rows(struct store *s, const PGresult *r, store_visit visit, void *arg)
{
	struct postgresql *p = s->db;
	struct store_value values[STORE_COLUMNS + 16];
	int n = p->pq.nfields(r);

	if (n > STORE_COLUMNS + 16)
		return store_fail(s, -EPROTO, "a statement gives too many columns");
	for (int row = 0; visit && row < p->pq.ntuples(r); row++) {
		int err;

		for (int i = 0; i < n; i++)
			read_value(&p->pq, r, row, i, &values[i]);
		err = visit(arg, values, (unsigned)n);
		if (err == -EPROTO)
			return store_fail(s, err, "its tables hold what couplet never writes");
		if (err)
			return err;
	}
	return 0;
}

static int postgresql_query(struct store *s, const char *sql, const struct store_value *params,
			    unsigned n, store_visit visit, void *arg)
{
	struct postgresql *p = s->db;
	struct params a;
	PGresult *r;
	int err = 0;

	if (n > 16)
		return store_fail(s, -EINVAL, "too many parameters");
	set_params(&a, params, n);
	if (!p->pq.send_query_params(p->conn, sql, (int)n, a.type, a.text, NULL, NULL, 1))
		return fail_connection(s, "the connection is lost");
	if (visit)
		p->pq.set_single_row_mode(p->conn);
	while (!err && (r = p->pq.get_result(p->conn)) != NULL) {
		switch (p->pq.result_status(r)) {
		case PGRES_SINGLE_TUPLE:
		case PGRES_TUPLES_OK:
			err = visit_rows(s, r, visit, arg);
			p->pq.clear(r);
			break;
		case PGRES_COMMAND_OK:
			s->changes = strtoull(p->pq.cmd_tuples(r), NULL, 10);
			p->pq.clear(r);
			break;
		default:
			err = fail_result(s, r);
		}
	}
	drain(p);
	return err;
}

static int postgresql_begin(struct store *s)
{
	return store_run(s, "BEGIN");
}

static void postgresql_rollback(struct store *s)
{
	struct postgresql *p = s->db;

	if (!p || p->pq.status(p->conn) != CONNECTION_OK)
		return;
	if (p->columns) {
		p->pq.put_copy_end(p->conn, "the recorder gave up");
		p->columns = NULL;
	}
	drain(p);
	if (p->pq.transaction_status(p->conn) != PQTRANS_IDLE)
		p->pq.clear(p->pq.exec(p->conn, "ROLLBACK"));
}

/* ---- COPY ------------------------------------------------------------------------------------ */

static int put(struct store *s, const void *data, size_t len)
{
	struct postgresql *p = s->db;

	if (p->len + len > p->size) {
		size_t size = (p->len + len) * 2 + COPY_CHUNK;
		char *bigger = realloc(p->buffer, size);

		if (!bigger)
			return store_fail(s, -ENOMEM, "out of memory");
		p->buffer = bigger;
		p->size = size;
	}
	memcpy(p->buffer + p->len, data, len);
	p->len += len;
	return 0;
}

static int put_number(struct store *s, uint64_t n, unsigned octets)
{
	uint64_t big = htobe64(n);

	return put(s, (const char *)&big + 8 - octets, octets);
}

static int flush(struct store *s)
{
	struct postgresql *p = s->db;
	int ok = p->pq.put_copy_data(p->conn, p->buffer, (int)p->len);

	p->len = 0;
	return ok == 1 ? 0 : fail_connection(s, "the connection is lost");
}

static int postgresql_rows_begin(struct store *s, const char *table,
				 const struct store_column *columns, unsigned n)
{
	static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
	struct postgresql *p = s->db;
	struct text t;
	PGresult *r;

	text_init(&t);
	text_printf(&t, "COPY %s (", table);
	for (unsigned i = 0; i < n; i++)
		text_printf(&t, "%s\"%s\"", i ? ", " : "", columns[i].name);
	text_puts(&t, ") FROM STDIN (FORMAT binary)");
	if (t.failed)
		return store_fail(s, -ENOMEM, "out of memory");
	r = p->pq.exec(p->conn, t.data);
	text_free(&t);
	if (p->pq.result_status(r) != PGRES_COPY_IN)
		return fail_result(s, r);
	p->pq.clear(r);
	p->columns = columns;
	p->n = n;
	p->len = 0;
	return put(s, header, sizeof(header));
}

static int put_value(struct store *s, enum store_type type, const struct store_value *v)
{
	unsigned octets = type == STORE_INT2 ? 2 : type == STORE_INT4 ? 4 : 8;
	int is4, err;

	switch (v->kind) {
	case STORE_NUMBER:
		err = put_number(s, octets, 4);
		return err ? err : put_number(s, (uint64_t)v->number, octets);
	case STORE_TEXT:
		err = put_number(s, v->len, 4);
		return err ? err : put(s, v->text, v->len);
	case STORE_ADDRESS:
		is4 = cpl_addr_is4(&v->addr);
		err = put_number(s, is4 ? 8 : 20, 4);
		if (!err)
			err = put_number(s, is4 ? 0x02200004 : 0x03800010, 4);
		return err ? err : put(s, v->addr.b + (is4 ? 12 : 0), is4 ? 4 : 16);
	case STORE_NULL:
		break;
	}
	return put_number(s, UINT32_MAX, 4);
}

static int postgresql_row(struct store *s, const struct store_value *values)
{
	struct postgresql *p = s->db;
	int err = put_number(s, p->n, 2);

	for (unsigned i = 0; i < p->n && !err; i++)
		err = put_value(s, p->columns[i].type, &values[i]);
	if (!err && p->len >= COPY_CHUNK)
		err = flush(s);
	return err;
}

static int postgresql_rows_end(struct store *s)
{
	struct postgresql *p = s->db;
	PGresult *r;
	int err = put_number(s, UINT16_MAX, 2);

	if (!err)
		err = flush(s);
	if (err)
		return err;
	p->columns = NULL;
	if (p->pq.put_copy_end(p->conn, NULL) != 1)
		return fail_connection(s, "the connection is lost");
	r = p->pq.get_result(p->conn);
	if (p->pq.result_status(r) != PGRES_COMMAND_OK) {
		err = fail_result(s, r);
		drain(p);
		return err;
	}
	p->pq.clear(r);
	drain(p);
	return 0;
}

const struct store_backend store_postgresql = {
	.name = "PostgreSQL",
	.serial = "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
	.inet = "inet",
	.key = "text COLLATE \"C\"",
	.in_list = "= ANY ($1::bigint[])",
	.brackets = "{}",
	.size = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class "
		"WHERE relkind = 'r' AND relname LIKE 'couplet\\_%'",
	/* Not to_regclass(), which may remember that there was none. */
	.exists = "SELECT count(*) FROM pg_class WHERE relname = 'couplet_schema' AND "
		  "pg_table_is_visible(oid)",
	.lock = "SELECT pg_advisory_xact_lock(7164779915402634612)",
	.plan = "SELECT set_config('enable_nestloop', 'off', false), "
		"set_config('work_mem', '256MB', false), set_config('jit', 'off', false)",
	.open = postgresql_open,
	.close = postgresql_close,
	.query = postgresql_query,
	.begin = postgresql_begin,
	.rollback = postgresql_rollback,
	.rows_begin = postgresql_rows_begin,
	.row = postgresql_row,
	.rows_end = postgresql_rows_end,
};

#endif
