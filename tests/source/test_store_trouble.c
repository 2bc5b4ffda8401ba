/* SPDX-License-Identifier: MIT */
/* Stores that are locked, full, or have lost what was stored, and recorders that are killed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/source/stores_model.h"

/* Another program holds the lock: the pass is not stored, nothing of it; then it is, or the next.
 */
static void locked(void **state)
{
	struct store *s = stores_fresh(), *other;
	struct recorder *r = stores_record(s, "host", NULL);
	struct model m = { .rng = 3 };

	(void)state;
	if (stores_remote) {
		say("PostgreSQL's writers do not lock each other out");
		recorder_end(r);
		store_close(s);
		skip();
	}
	other = stores_open(true);
	for (unsigned i = 0; i < 3; i++) {
		model_step(&m);
		assert_int_equal(stores_pass(r, m.time, m.list, m.n), 0);
	}
	assert_int_equal(other->backend->begin(other), 0);
	assert_int_equal(store_run(s, "PRAGMA busy_timeout = 100"), 0); /* not two seconds */
	model_step(&m);
	assert_int_equal(stores_pass(r, m.time, m.list, m.n), -EBUSY);
	assert_non_null(strstr(store_error(s), "another program has locked it"));
	recorder_missed(r);
	other->backend->rollback(other);
	store_close(other);
	model_step(&m);
	assert_int_equal(stores_pass(r, m.time, m.list, m.n), 0);
	check_sample(s, &m, 4);
	assert_int_equal(stores_ask(s, "SELECT missed FROM couplet_samples WHERE id = 4"), 1);
	assert_int_equal(recorder_totals(r)->missed, 1);
	assert_int_equal(recorder_totals(r)->passes, 4);
	recorder_end(r);
	store_close(s);
}

/* No more pages than there are: as a full disk. */
static void full(void **state)
{
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", NULL);
	struct cpl_info *many = calloc(3000, sizeof(*many));
	struct model m = { .rng = 5 };

	(void)state;
	if (stores_remote) {
		free(many);
		recorder_end(r);
		store_close(s);
		say("only of a file");
		skip();
	}
	model_step(&m);
	assert_int_equal(stores_pass(r, m.time, m.list, m.n), 0);
	assert_int_equal(store_run(s, "PRAGMA max_page_count = 80"), 0);
	for (unsigned i = 0; i < 3000; i++)
		stores_end(&many[i], 1000 + i, false);
	assert_int_equal(stores_pass(r, m.time + 1, many, 3000), -ENOSPC);
	assert_non_null(strstr(store_error(s), "the disk is full"));
	recorder_missed(r);
	assert_int_equal(stores_ask(s, "SELECT count(*) FROM couplet_samples"), 1);
	model_step(&m);
	assert_int_equal(stores_pass(r, m.time, m.list, m.n), 0);
	check_sample(s, &m, stores_ask(s, "SELECT max(id) FROM couplet_samples"));
	free(many);
	recorder_end(r);
	store_close(s);
}

/* A server that was restored without its last commits: everything is written anew. */
static void forgotten(void **state)
{
	struct store *s = stores_fresh();
	struct recorder *r = stores_record(s, "host", NULL);
	struct model m = { .rng = 13 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		model_step(&m);
		assert_int_equal(stores_pass(r, m.time, m.list, m.n), 0);
	}
	assert_int_equal(recorder_resume(r), 0);
	assert_int_equal(stores_ask(s, "SELECT count(*) FROM couplet_runs"), 1);
	assert_int_equal(store_run(s, "DELETE FROM couplet_ends WHERE sample = 3"), 0);
	assert_int_equal(store_run(s, "DELETE FROM couplet_samples WHERE id = 3"), 0);
	assert_int_equal(recorder_resume(r), 0);
	assert_int_equal(stores_ask(s, "SELECT count(*) FROM couplet_runs"), 2);
	model_step(&m);
	assert_int_equal(stores_pass(r, m.time, m.list, m.n), 0);
	check_sample(s, &m, stores_ask(s, "SELECT max(id) FROM couplet_samples"));
	assert_int_equal(stores_ask(s, "SELECT hidden FROM couplet_samples ORDER BY id DESC "
				       "LIMIT 1"),
			 0);
	recorder_end(r);
	store_close(s);
}

/* Killed while it writes: what was committed is there, of the rest nothing. */
static void killed(void **state)
{
	struct store *s = stores_fresh();
	int status;
	pid_t pid;

	(void)state;
	store_close(s);
	pid = fork();
	if (pid == 0) {
		struct recorder *r;
		struct model m = { .rng = 11 };

		s = stores_open(true);
		r = stores_record(s, "host", NULL);
		for (;;) {
			model_step(&m);
			if (stores_pass(r, m.time, m.list, m.n))
				_exit(1);
		}
	}
	assert_true(pid > 0);
	s = stores_open(false);
	for (unsigned i = 0; i < 1000 && stores_ask(s, "SELECT count(*) FROM couplet_samples") < 3;
	     i++)
		usleep(20000);
	store_close(s);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	s = stores_open(true);
	{
		struct model m = { .rng = 11 };
		int64_t last = stores_ask(s, "SELECT max(id) FROM couplet_samples");

		assert_true(last > 1);
		for (int64_t i = 0; i < last; i++)
			model_step(&m);
		check_sample(s, &m, last);
		assert_int_equal(stores_ask(s, "SELECT count(*) FROM couplet_ends WHERE sample > "
					       "(SELECT max(id) FROM couplet_samples)"),
				 0);
	}
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locked),
		cmocka_unit_test(full),
		cmocka_unit_test(forgotten),
		cmocka_unit_test(killed),
	};

	return cmocka_run_group_tests(tests, stores_setup, stores_teardown);
}
