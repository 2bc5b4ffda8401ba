/* SPDX-License-Identifier: MIT */
/* F-RTO, RFC 5682: which ACKs after a time-out prove it needless, with SACK and without. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "loss/frto.h"

static struct frto frto;

static int start(void **state)
{
	(void)state;
	frto_start(&frto);
	return 0;
}

#define ack(...) frto_ack(&frto, &(struct frto_ack){ __VA_ARGS__ })

/* 3.1 step 3b: what was not sent again arrives. */
static void sack_original(void **state)
{
	(void)state;
	assert_int_equal(ack(.sack = true, .duplicate = true, .original = true), FRTO_SPURIOUS);
	assert_int_equal(frto.step, FRTO_OFF);
}

/* Step 2: the retransmission alone was acknowledged; then news only of what is newer: a loss. */
static void sack_loss(void **state)
{
	(void)state;
	assert_int_equal(ack(.sack = true, .advanced = true), FRTO_OPEN);
	assert_true(frto.send_new);
	assert_int_equal(ack(.sack = true, .duplicate = true, .sent_new = true), FRTO_REAL);
	assert_false(frto.send_new);
}

/* And if the second ACK is of the original flight after all. */
static void sack_second(void **state)
{
	(void)state;
	assert_int_equal(ack(.sack = true, .advanced = true), FRTO_OPEN);
	assert_int_equal(ack(.sack = true, .advanced = true, .original = true, .sent_new = true),
			 FRTO_SPURIOUS);
}

/* Without SACK the first ACK may cover what came before the hole was filled: it proves nothing. */
static void plain(void **state)
{
	(void)state;
	assert_int_equal(ack(.advanced = true, .original = true), FRTO_OPEN);
	assert_true(frto.send_new);
	assert_int_equal(ack(.advanced = true, .original = true, .sent_new = true), FRTO_SPURIOUS);
}

static void plain_loss(void **state)
{
	(void)state;
	assert_int_equal(ack(.duplicate = true), FRTO_REAL);
	assert_int_equal(ack(.advanced = true, .original = true), FRTO_REAL); /* it is decided */
	frto_start(&frto);
	assert_int_equal(ack(.advanced = true), FRTO_OPEN);
	assert_int_equal(ack(.duplicate = true, .sent_new = true), FRTO_REAL);
}

/* All is acknowledged at once: the usual way. An ACK that says nothing decides nothing. */
static void undecided(void **state)
{
	(void)state;
	assert_int_equal(ack(.duplicate = false), FRTO_OPEN);
	assert_int_equal(ack(.advanced = true, .complete = true), FRTO_REAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(sack_original, start),
		cmocka_unit_test_setup(sack_loss, start),
		cmocka_unit_test_setup(sack_second, start),
		cmocka_unit_test_setup(plain, start),
		cmocka_unit_test_setup(plain_loss, start),
		cmocka_unit_test_setup(undecided, start),
	};

	return cmocka_run_group_tests_name("loss/frto", tests, NULL, NULL);
}
