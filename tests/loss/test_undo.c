/* SPDX-License-Identifier: MIT */
/* Proof that retransmissions were needless: DSACK (RFC 2883, 3708) and timestamps (RFC 3522). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "loss/undo.h"

static struct undo undo;

static void dsack(uint32_t start, uint32_t end)
{
	undo_dsack(&undo, &(struct sack_block){ start, end });
}

static void all_were_duplicates(void **state)
{
	(void)state;
	undo_arm(&undo, 1000);
	assert_false(undo_proven(&undo)); /* nothing was sent again: nothing is proven */
	undo_resent(&undo, 1000, 50);
	undo_resent(&undo, 2000, 60);
	dsack(1000, 2000);
	assert_false(undo_proven(&undo));
	dsack(500, 900); /* an earlier episode's */
	assert_false(undo_proven(&undo));
	dsack(3000, 5000);
	assert_true(undo_proven(&undo));
	undo_disarm(&undo);
	assert_false(undo_proven(&undo));
}

/* A network that duplicates may report more than was sent again; what follows is not proven. */
static void more_than_was_sent(void **state)
{
	(void)state;
	undo_arm(&undo, UINT32_MAX - 999);
	undo_resent(&undo, 1000, 50);
	dsack(UINT32_MAX - 999, 4000);
	assert_true(undo_proven(&undo));
	undo_resent(&undo, 1000, 70);
	assert_false(undo_proven(&undo));
	undo_resent(&undo, UINT32_MAX, 70);
	undo_resent(&undo, UINT32_MAX, 70);
	dsack(0, 4000);
	assert_false(undo_proven(&undo));
}

static void answered_before(void **state)
{
	(void)state;
	undo_resent(&undo, 1000, 10);
	undo_arm(&undo, 1000);
	assert_false(undo_eifel(&undo, 5)); /* nothing was sent again */
	undo_resent(&undo, 1000, 50);
	undo_resent(&undo, 1000, 90);
	assert_true(undo_eifel(&undo, 49));
	assert_false(undo_eifel(&undo, 50));
	assert_false(undo_eifel(&undo, 0)); /* no timestamps */
	undo_disarm(&undo);
	assert_false(undo_eifel(&undo, 49));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_were_duplicates),
		cmocka_unit_test(more_than_was_sent),
		cmocka_unit_test(answered_before),
	};

	return cmocka_run_group_tests_name("loss/undo", tests, NULL, NULL);
}
