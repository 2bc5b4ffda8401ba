/* SPDX-License-Identifier: MIT */
/*
 * The table of state pairs against a model: two ends that only follow RFC 9293, and a wire that
 * loses, repeats and reorders at will (a segment once sent may arrive at any later time, or never).
 * Every pair of states that the model reaches must not be called STUCK, and every pair that the
 * table calls reachable among connected ends must be reached.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "view/pair.h"

/* A segment of the model: what it carries. Sequence numbers: SYN 0, FIN 1; an ACK counts both. */
#define SEG_SYN	    1u
#define SEG_FIN	    2u
#define SEG_ACK	    4u /* acknowledges the SYN */
#define SEG_ACK_FIN 8u /* and the FIN */
#define SEGS	    16u

struct end {
	uint8_t state;
	uint16_t sent; /* bit s: the segment s was sent at least once, and may arrive at any time */
};

struct world {
	struct end end[2];
};

#define WORLDS (1u << 20)
static struct world seen[WORLDS];
static unsigned seen_n;
static uint8_t reached[CPL_STATES][CPL_STATES];

static void add(const struct world *w)
{
	for (unsigned i = 0; i < seen_n; i++)
		if (memcmp(&seen[i], w, sizeof(*w)) == 0)
			return;
	assert_true(seen_n < WORLDS);
	seen[seen_n++] = *w;
	reached[w->end[0].state][w->end[1].state] = 1;
	reached[w->end[1].state][w->end[0].state] = 1;
}

/* The segment that an end sends in this state, again and again. */
static unsigned speaks(unsigned state)
{
	switch (state) {
	case CPL_SYN_SENT:
		return SEG_SYN;
	case CPL_SYN_RECEIVED:
		return SEG_SYN | SEG_ACK;
	case CPL_ESTABLISHED:
	case CPL_FIN_WAIT_2:
		return SEG_ACK;
	case CPL_FIN_WAIT_1:
		return SEG_FIN | SEG_ACK;
	case CPL_CLOSE_WAIT:
	case CPL_TIME_WAIT:
		return SEG_ACK | SEG_ACK_FIN;
	case CPL_LAST_ACK:
		return SEG_FIN | SEG_ACK | SEG_ACK_FIN;
	case CPL_CLOSING:
		return SEG_FIN | SEG_ACK | SEG_ACK_FIN;
	default:
		return 0;
	}
}

static void become(struct end *e, unsigned state)
{
	e->state = (uint8_t)state;
	if (speaks(state))
		e->sent |= (uint16_t)(1u << speaks(state));
	if (state == CPL_CLOSING) /* it answers with an ACK first, and repeats the FIN later */
		e->sent |= (uint16_t)(1u << (SEG_ACK | SEG_ACK_FIN));
}

/* RFC 9293 3.10.7, without data: the state after SEG. */
static unsigned arrives(unsigned state, unsigned seg)
{
	bool syn = seg & SEG_SYN, fin = seg & SEG_FIN;
	bool ack = seg & SEG_ACK, ack_fin = seg & SEG_ACK_FIN;

	switch (state) {
	case CPL_LISTEN:
		return syn && !ack ? CPL_SYN_RECEIVED : state;
	case CPL_SYN_SENT:
		if (syn)
			return ack ? CPL_ESTABLISHED : CPL_SYN_RECEIVED;
		return state;
	case CPL_SYN_RECEIVED:
		if (!ack)
			return state;
		return fin ? CPL_CLOSE_WAIT : CPL_ESTABLISHED;
	case CPL_ESTABLISHED:
		return fin ? CPL_CLOSE_WAIT : state;
	case CPL_FIN_WAIT_1:
		if (fin)
			return ack_fin ? CPL_TIME_WAIT : CPL_CLOSING;
		return ack_fin ? CPL_FIN_WAIT_2 : state;
	case CPL_FIN_WAIT_2:
		return fin ? CPL_TIME_WAIT : state;
	case CPL_CLOSING:
		return ack_fin ? CPL_TIME_WAIT : state;
	case CPL_LAST_ACK:
		return ack_fin ? CPL_CLOSED : state;
	default:
		return state;
	}
}

/* What the program, or a timer, may do in this state; CPL_STATES: nothing. */
static unsigned acts(unsigned state)
{
	switch (state) {
	case CPL_SYN_RECEIVED:
	case CPL_ESTABLISHED:
		return CPL_FIN_WAIT_1;
	case CPL_CLOSE_WAIT:
		return CPL_LAST_ACK;
	case CPL_TIME_WAIT: /* 2 MSL */
		return CPL_CLOSED;
	default:
		return CPL_STATES;
	}
}

static void explore(unsigned x, unsigned y)
{
	struct world w;

	seen_n = 0;
	memset(&w, 0, sizeof(w));
	become(&w.end[0], x);
	become(&w.end[1], y);
	add(&w);
	for (unsigned i = 0; i < seen_n; i++) {
		for (unsigned me = 0; me < 2; me++) {
			for (unsigned seg = 1; seg < SEGS; seg++) {
				if (!(seen[i].end[!me].sent >> seg & 1))
					continue;
				w = seen[i];
				become(&w.end[me], arrives(w.end[me].state, seg));
				add(&w);
			}
			if (acts(seen[i].end[me].state) != CPL_STATES) {
				w = seen[i];
				become(&w.end[me], acts(w.end[me].state));
				add(&w);
			}
		}
	}
}

static void table_agrees_with_model(void **state)
{
	(void)state;
	explore(CPL_SYN_SENT, CPL_LISTEN);
	explore(CPL_SYN_SENT, CPL_SYN_SENT);
	assert_true(seen_n > 20);
	for (unsigned a = CPL_SYN_SENT; a < CPL_STATES; a++) {
		for (unsigned b = a; b < CPL_STATES; b++) {
			const struct view_state_pair *p = view_state_pair(a, b, NULL);
			bool stuck;

			assert_non_null(p);
			stuck = p->reach == VIEW_REACH_STUCK;
			/* Two incarnations, which the model does not have. */
			if (b == CPL_TIME_WAIT && (a == CPL_SYN_SENT || a == CPL_SYN_RECEIVED))
				continue;
			if (stuck == (bool)reached[a][b])
				fail_msg("%s, %s: the table says %s, the model %s",
					 view_state_rfc(a), view_state_rfc(b),
					 stuck ? "stuck" : "reachable",
					 reached[a][b] ? "reaches it" : "never does");
		}
	}
	/* What the model reaches with an end that is gone is no trouble either. */
	for (unsigned b = CPL_CLOSED; b < CPL_STATES; b++)
		if (reached[CPL_CLOSED][b])
			assert_int_not_equal(view_state_pair(CPL_CLOSED, b, NULL)->reach,
					     VIEW_REACH_STUCK);
}

static void table_is_whole(void **state)
{
	bool swapped;

	(void)state;
	for (unsigned a = 0; a < CPL_STATES; a++) {
		for (unsigned b = 0; b < CPL_STATES; b++) {
			const struct view_state_pair *p = view_state_pair(a, b, &swapped);

			assert_non_null(p);
			assert_int_equal(swapped, a > b);
			assert_int_equal(p->x, a < b ? a : b);
			assert_int_equal(p->y, a < b ? b : a);
			assert_true(strlen(p->reason) > 10);
		}
	}
	assert_null(view_state_pair(CPL_STATES, 0, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_whole),
		cmocka_unit_test(table_agrees_with_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
