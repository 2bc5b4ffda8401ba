/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the store: a store of their own, and ends to put into it. STORE_URL in the
 * environment names a PostgreSQL store that they may do with as they like, STORE_FILE a file of
 * SQLite; without either they use one in a directory of their own.
 */
#ifndef TESTS_SOURCE_STORES_H
#define TESTS_SOURCE_STORES_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source/store_backend.h"
#include "tests/util/bytes.h"

static char stores_dir[64], stores_where[256];
static bool stores_remote;

static inline const char *stores_file(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", stores_dir, name);
	return path;
}

static int stores_setup(void **state)
{
	const char *url = getenv("STORE_URL");

	(void)state;
	strcpy(stores_dir, "/tmp/test_store.XXXXXX");
	if (!mkdtemp(stores_dir))
		return -1;
	stores_remote = url != NULL;
	if (!url)
		url = getenv("STORE_FILE");
	snprintf(stores_where, sizeof(stores_where), "%s", url ? url : stores_file("store.db"));
	return 0;
}

static int stores_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", stores_dir);
	return system(command);
}

static inline struct store *stores_open(bool write)
{
	char error[STORE_ERROR] = "";
	struct store *s;
	int err = store_open(&s, stores_where, write, error);

	if (err)
		fail_msg("%s", error);
	return s;
}

/* An empty store, open for writing. */
static inline struct store *stores_fresh(void)
{
	static const char *const tables[] = { "ends",  "samples", "addresses", "runs",
					      "hosts", "fields",  "schema" };

	if (stores_remote) {
		struct store *s = stores_open(true);

		for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
			assert_int_equal(store_run(s, "DROP TABLE couplet_%s", tables[i]), 0);
		store_close(s);
	} else {
		static const char *const ends[] = { "", "-wal", "-shm" };
		char path[300];

		for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
			snprintf(path, sizeof(path), "%s%s", stores_where, ends[i]);
			unlink(path);
		}
	}
	return stores_open(true);
}

static int stores_number(void *arg, const struct store_value *v, unsigned n)
{
	(void)n;
	*(int64_t *)arg = v[0].kind == STORE_NUMBER ? v[0].number : INT64_MIN;
	return 0;
}

/* The number that the query SQL gives; INT64_MIN: NULL. */
static inline int64_t stores_ask(struct store *s, const char *sql)
{
	int64_t n = INT64_MIN + 1;

	assert_int_equal(s->backend->query(s, sql, NULL, 0, stores_number, &n), 0);
	return n;
}

static inline void say(const char *sentence)
{
	print_message("# %s\n", sentence);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* Host A is 10.9.0.1, host B 10.9.0.2; end N of each is one connection. */
static inline void stores_end(struct cpl_info *i, unsigned n, bool b)
{
	memset(i, 0, sizeof(*i));
	i->size = sizeof(*i);
	i->version = CPL_INFO_VERSION;
	CPL_INFO_READ(i, source, CPL_SOURCE_BPF);
	CPL_INFO_READ(i, family, 4);
	CPL_INFO_READ(i, protocol, 6);
	CPL_INFO_READ(i, state, CPL_ESTABLISHED);
	CPL_INFO_READ(i, local_addr, cpl_addr4(10, 9, (uint8_t)(n >> 14), b ? 2 : 1));
	CPL_INFO_READ(i, remote_addr, cpl_addr4(10, 9, (uint8_t)(n >> 14), b ? 1 : 2));
	CPL_INFO_READ(i, local_port, b ? 443 : (uint16_t)(10000 + n % 16384));
	CPL_INFO_READ(i, remote_port, b ? (uint16_t)(10000 + n % 16384) : 443);
	CPL_INFO_READ(i, id, 1 + n + (b ? 1u << 30 : 0));
	CPL_INFO_READ(i, netns, b ? 4026531002 : 4026531001);
	CPL_INFO_READ(i, passive, b);
	CPL_INFO_READ(i, taken, 5000000000u);
	CPL_INFO_READ(i, last_sent, 1000000000);
	CPL_INFO_READ(i, timer_keep, 3600000000000);
	CPL_INFO_READ(i, timer_rexmt, CPL_TIMER_OFF);
	CPL_INFO_DERIVED(i, iss, (b ? 900000u : 100u) + n * 7919u);
	CPL_INFO_DERIVED(i, irs, (b ? 100u : 900000u) + n * 7919u);
	CPL_INFO_READ(i, snd_una, i->iss + 1001);
	CPL_INFO_READ(i, snd_nxt, i->iss + 1001);
	CPL_INFO_READ(i, rcv_nxt, i->irs + 1001);
	CPL_INFO_READ(i, snd_wnd, 65536);
	CPL_INFO_READ(i, rcv_wnd, 65536);
	CPL_INFO_READ(i, rcv_edge, i->rcv_nxt + 65536);
	CPL_INFO_READ(i, not_sent, 0);
	CPL_INFO_READ(i, bytes_sent, 1000);
	CPL_INFO_READ(i, bytes_acked, 1000);
	CPL_INFO_READ(i, bytes_received, 1000);
	strcpy(i->program, b ? "server" : "client");
	cpl_info_mark_read(i, CPL_F_program);
}

/* TIME ns later, and nothing has happened. */
static inline void stores_later(struct cpl_info *i, uint64_t time)
{
	store_advance(i, time);
}

static inline struct recorder *stores_record(struct store *s, const char *host,
					     const struct recorder_options *more)
{
	struct recorder_options o = { 0 };
	struct recorder *r;

	if (more)
		o = *more;
	o.host = host;
	o.machine_id = "00112233445566778899aabbccddeeff";
	o.boot_id = "01234567-89ab-cdef-0123-456789abcdef";
	if (!o.filter)
		o.filter = "";
	if (!o.every_ns)
		o.every_ns = 1000000000;
	if (recorder_begin(&r, s, &o))
		fail_msg("%s", store_error(s));
	return r;
}

/* A pass at second TIME of the host's clock. */
static inline int stores_pass(struct recorder *r, unsigned time, const struct cpl_info *infos,
			      size_t n)
{
	struct recorder_pass pass = {
		.time_ns = 1700000000000000000 + time * 1000000000ll,
		.monotonic_ns = time * 1000000000ull,
		.not_seen = "",
	};

	assert_int_equal(recorder_position(r, &pass.after), 0);
	return recorder_store(r, &pass, infos, n);
}

#endif
