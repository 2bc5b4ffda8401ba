/* SPDX-License-Identifier: MIT */
/* The ladder, from records made by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/view/records.h"

static struct tape tape;
static struct view_ladder l;
static struct text text;

static int setup(void **state)
{
	(void)state;
	tape_init(&tape);
	text_init(&text);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	view_ladder_free(&l);
	text_free(&text);
	return 0;
}

static void make(size_t most)
{
	view_ladder_free(&l);
	text_free(&text);
	text_init(&text);
	assert_int_equal(tape_ladder(&tape, &l, most), 0);
	view_ladder_print(&text, &l);
	for (const char *s = text.data; s && *s; s = strchr(s, '\n') + 1)
		if (view_cells_n(s, strcspn(s, "\n")) > 80)
			fail_msg("too wide: %.100s", s);
}

#define has(part)                                                                                  \
	do {                                                                                       \
		if (!strstr(text.data, part))                                                      \
			fail_msg("\"%s\" is not in:\n%s", part, text.data);                        \
	} while (0)

/* The n-th segment of a kind of fate. */
static const struct view_step *fate(enum view_fate f)
{
	for (size_t i = 0; i < l.n; i++)
		if (l.steps[i].kind == VIEW_ROW_SEGMENT && l.steps[i].fate == f)
			return &l.steps[i];
	return NULL;
}

static void whole_life(void **state)
{
	uint32_t seq;

	(void)state;
	tape_handshake(&tape);
	seq = tape_bulk(&tape, 2);
	tape_close(&tape, seq);
	text.ascii = true;
	make(0);
	assert_int_equal(l.iss[0], tape.iss[0]);
	assert_int_equal(l.n, 3 + 4 + 4 + 1);
	assert_string_equal(
		text.data,
		"           client                                                   server\n"
		"           CLOSED       │                                         │ LISTEN\n"
		"       0 s SYN-SENT     │── SYN seq 0 ───────────────────────────►│ SYN-RECEIVED\n"
		"   20.0 ms ESTABLISHED  │◄───────────────── SYN,ACK seq 0 ack 1 ──│\n"
		"   40.0 ms              │── ACK ack 1 ───────────────────────────►│ ESTABLISHED\n"
		"   60.0 ms              │── ACK seq 1 len 1000 ack 1 ────────────►│\n"
		"   80.0 ms              │◄──────────────────────── ACK ack 1001 ──│\n"
		"  100.0 ms              │── ACK seq 1001 len 1000 ack 1 ─────────►│\n"
		"  120.0 ms              │◄──────────────────────── ACK ack 2001 ──│\n"
		"  141.0 ms FIN-WAIT-1   │── FIN,ACK seq 2001 ack 1 ──────────────►│ CLOSE-WAIT\n"
		"  161.0 ms FIN-WAIT-2   │◄──────────────────────── ACK ack 2002 ──│\n"
		"  182.0 ms TIME-WAIT    │◄────────────── FIN,ACK seq 1 ack 2002 ──│ LAST-ACK\n"
		"  202.0 ms              │── ACK ack 2 ───────────────────────────►│ CLOSED\n"
		"  60.222 s CLOSED       │                                         │\n");
	assert_int_equal(view_ladder_first_state(&l, 0), CPL_CLOSED);
	assert_int_equal(view_ladder_first_state(&l, 1), CPL_LISTEN);
}

static void ascii(void **state)
{
	(void)state;
	tape_handshake(&tape);
	make(0);
	text_free(&text);
	text_init(&text);
	text.ascii = true;
	view_ladder_print(&text, &l);
	for (const char *s = text.data; *s; s++)
		assert_true((unsigned char)*s < 0x80);
	has("|-- SYN seq 0 --------------------------->| SYN-RECEIVED");
}

static void loss_and_repetition(void **state)
{
	(void)state;
	tape_handshake(&tape);
	tape_out(&tape, 0, 1, 1, 1000, F_PSH | F_ACK, 0); /* never arrives */
	tape.now += 200 * CPL_MS;
	PUT(&tape, 0, tape.now, timer, 0, 1);
	tape_out(&tape, 0, 1, 1, 1000, F_PSH | F_ACK, 1);
	tape_in(&tape, 1, tape.now + DELAY, 1, 1, 1000, F_PSH | F_ACK, 0);
	tape.now += CPL_SECOND;
	make(0);
	/* The arrival is that of the repetition, though both are equal. */
	assert_non_null(fate(VIEW_FATE_LOST));
	assert_false(fate(VIEW_FATE_LOST)->retrans);
	assert_int_equal(fate(VIEW_FATE_LOST)->seq, 1);
	assert_true(l.steps[l.n - 1].retrans);
	assert_int_equal(l.steps[l.n - 1].fate, VIEW_FATE_ARRIVED);
	assert_int_equal(l.steps[l.n - 1].arrived - l.steps[l.n - 1].sent, DELAY);
	has("╳ lost│");
	has("│ retransmission timer fires ");
	has("PSH,ACK seq 1 len 1000 ack 1 again ──►│");
}

/* The repetition had just left when the original came late: it cannot have arrived yet. */
static void needless_repetition(void **state)
{
	uint64_t sent;

	(void)state;
	tape_handshake(&tape);
	sent = tape.now;
	tape_out(&tape, 0, 1, 1, 1000, F_ACK, 0);
	tape.now += 5 * DELAY;
	tape_out(&tape, 0, 1, 1, 1000, F_ACK, 1);
	tape_in(&tape, 1, sent + 5 * DELAY + DELAY / 2, 1, 1, 1000, F_ACK, 0);
	tape_in(&tape, 1, sent + 6 * DELAY, 1, 1, 1000, F_ACK, 0);
	tape.now += CPL_SECOND;
	make(0);
	assert_int_equal(l.n, 5);
	assert_null(fate(VIEW_FATE_DUPLICATE));
	assert_int_equal(l.steps[3].arrived - l.steps[3].sent, 5 * DELAY + DELAY / 2);
	assert_int_equal(l.steps[4].arrived - l.steps[4].sent, DELAY);
}

static void first_syn_lost(void **state)
{
	(void)state;
	tape_out(&tape, 0, 0, 0, 0, F_SYN, 0);
	tape.now += CPL_SECOND;
	tape_out(&tape, 0, 0, 0, 0, F_SYN, 1);
	tape_in(&tape, 1, tape.now + DELAY, 0, 0, 0, F_SYN, 0);
	tape.now += CPL_SECOND;
	make(0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.steps[0].fate, VIEW_FATE_LOST);
	assert_int_equal(l.steps[1].fate, VIEW_FATE_ARRIVED);
}

static void still_in_flight(void **state)
{
	(void)state;
	tape_handshake(&tape);
	tape.now += CPL_SECOND;
	tape_out(&tape, 0, 1, 1, 1000, F_ACK, 0);
	tape_out(&tape, 1, 1, 1, 500, F_ACK, 0);
	tape.now += DELAY / 2;
	make(0);
	assert_non_null(fate(VIEW_FATE_IN_FLIGHT));
	assert_null(fate(VIEW_FATE_LOST));
	has("► on its way│");
	has("│on its way ◄");
}

static void copies_and_refusals(void **state)
{
	(void)state;
	tape_handshake(&tape);
	tape_send(&tape, 0, 1, 1, 10, F_ACK);
	tape_in(&tape, 1, tape.now + DELAY + 99, 1, 1, 10, F_ACK, 0);
	tape_out(&tape, 0, 11, 1, 10, F_ACK, 0);
	tape_in(&tape, 1, tape.now + DELAY + 199, 11, 1, 10, F_ACK, 1);
	tape_out(&tape, 0, 21, 1, 10, F_ACK, 0);
	/* Dropped before there was a record of its arrival: a bad checksum. */
	PUT(&tape, 1, tape.now + DELAY + 299, drop, 2, tape.iss[0] + 21, 10, F_ACK);
	tape.now += CPL_SECOND;
	make(0);
	assert_non_null(fate(VIEW_FATE_DUPLICATE));
	assert_int_equal(fate(VIEW_FATE_DUPLICATE)->seq, 1);
	assert_non_null(fate(VIEW_FATE_DROPPED));
	assert_int_equal(fate(VIEW_FATE_DROPPED)->seq, 11);
	has("a copy made on the way │");
	has("dropped │");
	has("dropped: frames that a device refused │"); /* counter number 2 */
	assert_null(fate(VIEW_FATE_LOST));
}

static void super_segments(void **state)
{
	(void)state;
	tape_handshake(&tape);
	tape_out(&tape, 0, 1, 1, 4000, F_ACK, 0); /* one record, four segments on the wire */
	for (uint32_t i = 0; i < 4; i++)
		tape_in(&tape, 1, tape.now + DELAY + i, 1 + i * 1000, 1, 1000, F_ACK, 0);
	tape_out(&tape, 0, 4001, 1, 4000, F_ACK, 0);
	for (uint32_t i = 0; i < 4; i++)
		if (i != 2)
			tape_in(&tape, 1, tape.now + DELAY + 9 + i, 4001 + i * 1000, 1, 1000, F_ACK,
				0);
	tape.now += CPL_SECOND;
	make(0);
	assert_int_equal(l.n, 5);
	assert_null(fate(VIEW_FATE_LOST));
	assert_string_equal(l.steps[3].note, "");
	assert_string_equal(l.steps[4].note, "1000 octets of it lost");
}

static void long_transfers_are_compacted(void **state)
{
	uint32_t seq;
	uint64_t segments = 0, bytes = 0;

	(void)state;
	tape_handshake(&tape);
	seq = tape_bulk(&tape, 4000);
	tape_close(&tape, seq);
	make(30);
	assert_in_range(l.n, 10, 30);
	for (size_t i = 0; i < l.n; i++) {
		if (l.steps[i].kind == VIEW_ROW_GAP) {
			segments += l.steps[i].gap_segments;
			bytes += l.steps[i].gap_bytes[0] + l.steps[i].gap_bytes[1];
		} else if (l.steps[i].kind == VIEW_ROW_SEGMENT) {
			segments++;
			bytes += l.steps[i].len;
		}
	}
	/* Nothing is left out uncounted. */
	assert_int_equal(segments, 3 + 8000 + 4);
	assert_int_equal(bytes, 4000 * 1000);
	has("⋯ 7,992 segments, 3,996,000 bytes ⋯");
	has("SYN-SENT");
	has("LAST-ACK");
}

static void losses_are_limited_too(void **state)
{
	uint32_t seq;

	(void)state;
	tape_handshake(&tape);
	for (unsigned i = 0; i < 500; i++) {
		tape_out(&tape, 0, 1 + i * 10, 1, 10, F_ACK, 0);
		tape.now += 3 * DELAY;
	}
	seq = tape_bulk(&tape, 100);
	tape_close(&tape, seq);
	make(40);
	assert_in_range(l.n, 10, 45);
	has(" lost ⋯");
}

static void shut_down_at_once(void **state)
{
	(void)state;
	/* The program closes at the very moment at which the handshake ends. */
	tape_handshake(&tape);
	tape.now -= DELAY;
	PUT(&tape, 0, tape.now, call, TRACE_CALL_CLOSE);
	tape_state(&tape, 0, tape.now, CPL_ESTABLISHED, CPL_FIN_WAIT_1);
	tape_out(&tape, 0, 1, 1, 0, F_FIN | F_ACK, 0);
	tape.now += DELAY;
	make(0);
	has("ESTABLISHED  │◄");
	has("FIN-WAIT-1   │── FIN,ACK");
}

/* The stack records what a segment did before the segment itself. */
static void effects_before_arrivals(void **state)
{
	(void)state;
	tape_out(&tape, 0, 1, 1, 1000, F_ACK, 0);
	tape_out(&tape, 0, 1001, 1, 500, F_FIN | F_ACK, 0);
	tape.now += DELAY;
	tape_in(&tape, 1, tape.now, 1, 1, 1000, F_ACK, 0);
	tape_state(&tape, 1, tape.now, CPL_ESTABLISHED, CPL_CLOSE_WAIT);
	tape_in(&tape, 1, tape.now, 1001, 1, 500, F_FIN | F_ACK, 0);
	tape_send(&tape, 1, 1, 1502, 0, F_ACK);
	tape_send(&tape, 1, 1, 1502, 0, F_FIN | F_ACK);
	tape.now += DELAY;
	/* TIME-WAIT moves to a small record: the block's end is none of the connection's. */
	tape_state(&tape, 0, tape.now, CPL_FIN_WAIT_2, CPL_TIME_WAIT);
	tape_state(&tape, 0, tape.now, CPL_TIME_WAIT, CPL_CLOSED);
	tape.now += CPL_SECOND;
	make(0);
	assert_int_equal(l.n, 4);
	assert_int_equal(l.steps[0].state_to[1], -1);
	assert_int_equal(l.steps[1].state_to[1], CPL_CLOSE_WAIT); /* it brought the FIN */
	assert_int_equal(l.steps[2].state_to[0], -1);
	assert_int_equal(l.steps[3].state_to[0], CPL_TIME_WAIT);
}

static void a_listeners_life_is_left_out(void **state)
{
	(void)state;
	tape_state(&tape, 1, tape.now, CPL_CLOSED, CPL_LISTEN);
	tape_handshake(&tape);
	tape_state(&tape, 1, tape.now, CPL_LISTEN, CPL_CLOSED);
	make(0);
	assert_int_equal(l.n, 3);
}

static void nothing_at_all(void **state)
{
	(void)state;
	make(10);
	assert_int_equal(l.n, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(whole_life),
		T(ascii),
		T(loss_and_repetition),
		T(needless_repetition),
		T(first_syn_lost),
		T(still_in_flight),
		T(copies_and_refusals),
		T(super_segments),
		T(long_transfers_are_compacted),
		T(losses_are_limited_too),
		T(shut_down_at_once),
		T(effects_before_arrivals),
		T(a_listeners_life_is_left_out),
		T(nothing_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
