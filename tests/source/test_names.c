/* SPDX-License-Identifier: MIT */
/* Names beside the table: with a resolver that is as slow and as wrong as real ones. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "source/names.h"

/* Counts what it is asked; sleeps the last octet in units of 10 ms; odd addresses have no name. */
struct slow {
	pthread_mutex_t lock;
	unsigned asked, answered, at_once, most_at_once;
};

static int slow_resolve(void *arg, const struct cpl_addr *addr, uint32_t ifindex, char *name,
			size_t size)
{
	struct slow *s = arg;

	pthread_mutex_lock(&s->lock);
	s->asked++;
	if (++s->at_once > s->most_at_once)
		s->most_at_once = s->at_once;
	pthread_mutex_unlock(&s->lock);
	usleep(addr->b[15] * 10000u);
	snprintf(name, size, "host-%u-%u-%u", addr->b[14], addr->b[15], ifindex);
	pthread_mutex_lock(&s->lock);
	s->at_once--;
	s->answered++;
	pthread_mutex_unlock(&s->lock);
	return addr->b[15] % 2;
}

static unsigned answered(struct slow *s)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->answered;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void quick_ones(void **state)
{
	static struct slow s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct names *n = names_new(slow_resolve, &s);
	struct cpl_addr a = cpl_addr4(10, 0, 7, 2), odd = cpl_addr4(10, 0, 7, 3);
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0), any6 = { 0 };
	const char *name;

	(void)state;
	assert_null(names_host(n, &a, 0));
	names_want(n, &a, 0);
	names_want(n, &a, 0);
	names_want(n, &a, 5); /* another scope is another host */
	names_want(n, &odd, 0);
	names_want(n, &any4, 0);
	names_want(n, &any6, 0);
	assert_int_equal(names_wait(n, 10000), 0);
	assert_int_equal(answered(&s), 3);
	name = names_host(n, &a, 0);
	assert_string_equal(name, "host-7-2-0");
	assert_string_equal(names_host(n, &a, 5), "host-7-2-5");
	assert_null(names_host(n, &odd, 0));
	assert_null(names_host(n, &any4, 0));
	/* Known: not asked again. */
	names_want(n, &a, 0);
	names_want(n, &odd, 0);
	assert_int_equal(names_wait(n, 10000), 0);
	assert_int_equal(answered(&s), 3);
	assert_ptr_equal(names_host(n, &a, 0), name);
	names_free(n);
}

/* Late ones do not hold up the table, and are there for the next one. */
static void late_ones(void **state)
{
	static struct slow s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct names *n = names_new(slow_resolve, &s);
	struct cpl_addr fast = cpl_addr4(10, 0, 0, 0), late = cpl_addr4(10, 0, 0, 50);
	uint64_t start = now_ms();

	(void)state;
	names_want(n, &late, 0);
	names_want(n, &fast, 0);
	assert_int_equal(names_wait(n, 100), 1);
	assert_true(now_ms() - start >= 95);
	assert_true(now_ms() - start < 450);
	assert_string_equal(names_host(n, &fast, 0), "host-0-0-0");
	assert_null(names_host(n, &late, 0));
	assert_int_equal(names_wait(n, 10000), 0);
	assert_string_equal(names_host(n, &late, 0), "host-0-50-0");
	names_free(n);
}

/* Freed while look-ups are under way: nobody waits, and what they need lives on. */
static void freed_early(void **state)
{
	static struct slow s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct names *n = names_new(slow_resolve, &s);
	uint64_t start = now_ms();

	(void)state;
	for (uint8_t i = 0; i < 100; i++) {
		struct cpl_addr a = cpl_addr4(10, 0, i, 20);

		names_want(n, &a, 0);
	}
	assert_int_equal(names_wait(n, 0), 100);
	usleep(50000);
	names_free(n);
	assert_true(now_ms() - start < 180);
	while (now_ms() - start < 10000) {
		usleep(10000);
		pthread_mutex_lock(&s.lock);
		unsigned busy = s.at_once;
		pthread_mutex_unlock(&s.lock);
		if (!busy)
			break;
	}
	/* Those under way ended, the others were never begun. */
	assert_true(s.asked <= NAMES_THREADS);
	assert_true(s.asked > 1);
	assert_int_equal(s.most_at_once, s.asked);
	usleep(20000);
}

static void services(void **state)
{
	struct names *n = names_new(NULL, NULL);
	const char *http = names_service(n, 80, 6);

	(void)state;
	if (!http) {
		print_message("# there is no services file here\n");
		names_free(n);
		skip();
	}
	assert_string_equal(http, "http");
	assert_ptr_equal(names_service(n, 80, 6), http);
	assert_string_equal(names_service(n, 53, 17), "domain");
	assert_null(names_service(n, 0, 6));
	assert_null(names_service(n, 65535, 17));
	names_free(n);
}

/* The real resolver, with what the hosts file says. */
static void localhost(void **state)
{
	struct names *n = names_new(NULL, NULL);
	struct cpl_addr lo = cpl_addr4(127, 0, 0, 1);

	(void)state;
	names_want(n, &lo, 0);
	if (names_wait(n, 3000) || !names_host(n, &lo, 0)) {
		print_message("# 127.0.0.1 has no name here\n");
		names_free(n);
		skip();
	}
	assert_non_null(strstr(names_host(n, &lo, 0), "local"));
	names_free(n);
	names_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quick_ones),  cmocka_unit_test(late_ones),
		cmocka_unit_test(freed_early), cmocka_unit_test(services),
		cmocka_unit_test(localhost),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
