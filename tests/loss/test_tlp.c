/* SPDX-License-Identifier: MIT */
/* The tail loss probe's time and what ACKs say of it: RFC 8985 sections 7.2 and 7.4. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "loss/tlp.h"

#define MS 1000000ull

static void probe_time(void **state)
{
	(void)state;
	assert_int_equal(tlp_pto_ns(3000, 1000, 50 * MS), 100 * MS);
	assert_int_equal(tlp_pto_ns(1000, 1000, 50 * MS), 300 * MS); /* its ACK may be delayed */
	assert_int_equal(tlp_pto_ns(1001, 1000, 50 * MS), 100 * MS);
	assert_int_equal(tlp_pto_ns(3000, 1000, 1), 10 * MS);
	assert_int_equal(tlp_pto_ns(3000, 1000, 0), 1000 * MS);
}

/* What an ACK of N says of a probe that ended at 5000. */
static enum tlp_verdict said(bool retrans, uint32_t n, uint32_t dsack_end, bool pure,
			     bool still_out)
{
	struct tlp tlp = { .out = true, .retrans = retrans, .end_seq = 5000 };
	struct sack_block dsack = { dsack_end - 1000, dsack_end };
	enum tlp_verdict v = tlp_ack(&tlp, n, dsack_end ? &dsack : NULL, pure);

	assert_int_equal(tlp.out, still_out);
	return v;
}

static void answers(void **state)
{
	struct tlp none = { 0 };

	(void)state;
	assert_int_equal(said(true, 4999, 0, false, true), TLP_NOTHING);
	/* New data was the probe: its ACK is all there is to know. */
	assert_int_equal(said(false, 5000, 0, false, false), TLP_NOTHING);
	/* The original and the probe both came. */
	assert_int_equal(said(true, 5000, 5000, false, false), TLP_NOTHING);
	/* Another segment's duplicate says nothing of it. */
	assert_int_equal(said(true, 6000, 4000, false, false), TLP_REPAIRED);
	/* Later data is acknowledged and no duplicate reported: the probe filled the hole. */
	assert_int_equal(said(true, 6000, 0, false, false), TLP_REPAIRED);
	/* Exactly the probe's end: it may have been the original; a second such ACK is the probe's.
	 */
	assert_int_equal(said(true, 5000, 0, false, true), TLP_NOTHING);
	assert_int_equal(said(true, 5000, 0, true, false), TLP_NOTHING);
	assert_int_equal(tlp_ack(&none, 9000, NULL, true), TLP_NOTHING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_time),
		cmocka_unit_test(answers),
	};

	return cmocka_run_group_tests_name("loss/tlp", tests, NULL, NULL);
}
