/* SPDX-License-Identifier: MIT */
/* A link in words: every key, its units and directions, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "sim/wire_words.h"

static struct wire_words w;
static char error[200];

static bool reads(const char *word)
{
	return wire_words_read(&w, word, error, sizeof(error)) == 0;
}

static int start(void **state)
{
	(void)state;
	wire_words_init(&w);
	return 0;
}

static void every_key(void **state)
{
	static const char *const words[] = {
		"delay=20ms",	  "jitter=500us",	"loss=1.5%",	"duplicate=2%",
		"corrupt=0.1",	  "reorder=5%,10ms",	"burst=1%,30%", "drop=5,9,12-14",
		"rate=50mbit",	  "queue=100k",		"ecn=30000",	"mtu=1400",
		"down=10s,12.5s", "down=20s,20000.5ms", "seed=42",
	};
	const struct wire_params *p = w.params;

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!reads(words[i]))
			fail_msg("%s: %s", words[i], error);
	for (unsigned d = 0; d < 2; d++, p++) {
		assert_int_equal(p->delay_ns, 20000000);
		assert_int_equal(p->jitter_ns, 500000);
		assert_true(p->loss > 0.0149 && p->loss < 0.0151);
		assert_true(p->duplicate > 0.0199 && p->duplicate < 0.0201);
		assert_true(p->corrupt > 0.0999 && p->corrupt < 0.1001);
		assert_true(p->reorder > 0.0499 && p->reorder < 0.0501);
		assert_int_equal(p->reorder_ns, 10000000);
		assert_true(p->burst_enter < 0.0101 && p->burst_leave > 0.299 &&
			    p->burst_loss == 1);
		assert_int_equal(p->drop_data_n, 5);
		assert_int_equal(p->drop_data[4], 14);
		assert_int_equal(p->rate_bps, 50000000);
		assert_int_equal(p->queue_bytes, 102400);
		assert_int_equal(p->ecn_bytes, 30000);
		assert_int_equal(p->mtu, 1400);
		assert_int_equal(p->down_n, 2);
		assert_int_equal(p->down[0].to, 12500000000);
		assert_int_equal(p->down[1].to, 20000500000);
	}
	assert_int_equal(w.seed, 42);
}

static void one_direction(void **state)
{
	(void)state;
	assert_true(reads("loss=1%") && reads("ab.loss=2%") && reads("ba.delay=3s"));
	assert_true(w.params[0].loss > 0.0199 && w.params[1].loss < 0.0101);
	assert_int_equal(w.params[0].delay_ns, 0);
	assert_int_equal(w.params[1].delay_ns, 3000000000);
}

static void queues_in_round_trips(void **state)
{
	(void)state;
	assert_true(reads("rate=50mbit") && reads("delay=20ms") && reads("queue=1bdp") &&
		    reads("ba.queue=0.001bdp"));
	assert_int_equal(wire_words_settle(&w, error, sizeof(error)), 0);
	assert_int_equal(w.params[0].queue_bytes, 250000);
	assert_int_equal(w.params[1].queue_bytes, 3000); /* two packets at least */
	assert_true(reads("queue=5000"));
	assert_int_equal(wire_words_settle(&w, error, sizeof(error)), 0);
	assert_int_equal(w.params[0].queue_bytes, 5000);
	assert_true(reads("rate=0bit") && reads("queue=1bdp"));
	assert_int_not_equal(wire_words_settle(&w, error, sizeof(error)), 0);
	assert_true(reads("rate=1000gbit") && reads("delay=3600s") && reads("queue=1000bdp"));
	assert_int_not_equal(wire_words_settle(&w, error, sizeof(error)), 0);
}

static void refused(void **state)
{
	static const char *const words[] = {
		"",
		"=",
		"delay",
		"delay=",
		"delay=20",
		"delay=-1ms",
		"delay=2h",
		"delay=1e9s",
		"delay=nan",
		"loss=101%",
		"loss=-1%",
		"loss=1%%",
		"burst=1%",
		"burst=1%,2%,",
		"reorder=5%",
		"drop=",
		"drop=0",
		"drop=3-1",
		"drop=1-99",
		"drop=1,,2",
		"rate=50",
		"rate=mbit",
		"queue=1bpd",
		"queue=0bdp",
		"mtu=10",
		"down=2s,1s",
		"down=1s",
		"seed=",
		"seed=x",
		"ab.seed=1",
		"xy.loss=1%",
		"Loss=1%",
		"delay=1ms,2ms",
		"unknown=1",
		"ab.=1",
		"a-very-long-key-that-nobody-has=1",
		"delay=99999999999999999999999999s",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		error[0] = '\0';
		if (reads(words[i]))
			fail_msg("\"%s\" was read", words[i]);
		if (!error[0] || error[strlen(error) - 1] == '.')
			fail_msg("\"%s\": \"%s\"", words[i], error);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_true(reads("down=1s,2s"));
	assert_false(reads("down=1s,2s"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_key, start),
		cmocka_unit_test_setup(one_direction, start),
		cmocka_unit_test_setup(queues_in_round_trips, start),
		cmocka_unit_test_setup(refused, start),
	};

	return cmocka_run_group_tests_name("sim/wire_words", tests, NULL, NULL);
}
