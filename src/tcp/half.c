/* SPDX-License-Identifier: MIT */
/*
 * Half-open connections (RFC 9293 SYN-RECEIVED by passive OPEN) as records of 96 octets: where they
 * are, how long they wait, and how they go with their listener. They stand in rows, by indexes: one
 * for each number of retransmissions of the SYN,ACK, in order of deadlines, and two for those that
 * await the verdict of a catch-all's embedder. listen.c has what they do.
 *
 * A listener that is closed gives up what it had a part at a time, so that no call takes long: its
 * struct listener stays, without a TCB, until the last of its half-open connections is gone. Until
 * then whoever meets one takes it for gone.
 */
#include "tcp/tcp.h"

#define HALF_WORK    512u /* records that one half_advance() handles, at most */
#define UNACCEPT_MAX 64u  /* connections that it resets */

/* A link of half_link: an index, or the end of a row: */
#define ROW	    (1u << 31)
#define ROW_UNTOLD  SYNACK_LEVELS
#define ROW_PENDING (SYNACK_LEVELS + 1)

static struct half_open *at(const struct tcp *tcp, uint32_t index)
{
	return pool_get(&tcp->halves, index);
}

static struct half_link *link_at(struct tcp *tcp, uint32_t index)
{
	return index & ROW ? &tcp->half_rows[index & ~ROW] : &at(tcp, index)->link;
}

static bool row_empty(const struct tcp *tcp, unsigned row)
{
	return tcp->half_rows[row].next == (ROW | row);
}

static struct half_open *row_first(const struct tcp *tcp, unsigned row)
{
	return at(tcp, tcp->half_rows[row].next);
}

static void row_leave(struct tcp *tcp, const struct half_open *half)
{
	link_at(tcp, half->link.prev)->next = half->link.next;
	link_at(tcp, half->link.next)->prev = half->link.prev;
}

static void row_append(struct tcp *tcp, unsigned row, struct half_open *half, uint32_t index)
{
	uint32_t last = tcp->half_rows[row].prev;

	half->link = (struct half_link){ .next = ROW | row, .prev = last };
	link_at(tcp, last)->next = index;
	tcp->half_rows[row].prev = index;
}

void half_init(struct tcp *tcp)
{
	for (uint32_t i = 0; i < HALF_ROWS; i++)
		tcp->half_rows[i] = (struct half_link){ ROW | i, ROW | i };
	list_init(&tcp->unaccepted);
}

/* ---- What it belongs to ---- */

static struct listener *listener_of(const struct tcp *tcp, const struct half_open *half)
{
	return pool_get(&tcp->listeners, half->listener);
}

struct tcb *half_listener(const struct tcp *tcp, const struct half_open *half)
{
	return listener_of(tcp, half)->tcb;
}

struct tcb_cold *half_cold(const struct tcp *tcp, const struct half_open *half)
{
	return half->cold ? pool_get(&tcp->colds, half->cold - 1) : NULL;
}

cpl_handle half_handle(const struct tcp *tcp, const struct half_open *half)
{
	return half->gen ? handle_make(KIND_HALF, pool_index(&tcp->halves, half), half->gen) : 0;
}

void half_enter(struct tcp *tcp, struct half_open *half, uint32_t i, const struct half_open *from)
{
	*half = *from;
	half->link = (struct half_link){ i, i }; /* in no row */
	listener_of(tcp, half)->half_n++;
	demux_add(tcp, &half->node.id, ref_make(KIND_HALF, i), true);
}

/* HALF, which has left the table, leaves all others. */
static void half_gone(struct tcp *tcp, struct half_open *half, uint32_t index)
{
	struct listener *l = listener_of(tcp, half);

	row_leave(tcp, half);
	tcb_cold_free(tcp, half_cold(tcp, half));
	half->gen = 0;
	pool_free_at(&tcp->halves, index);
	if (--l->half_n || l->tcb)
		return;
	pool_free(&tcp->listeners, l);
	tcp->listeners_closed--;
}

void half_free(struct tcp *tcp, struct half_open *half)
{
	uint32_t index = pool_index(&tcp->halves, half);

	demux_del(tcp, &half->node.id, ref_make(KIND_HALF, index));
	half_gone(tcp, half, index);
}

void half_hand_over(struct tcp *tcp, struct half_open *half, struct tcb *tcb)
{
	uint32_t index = pool_index(&tcp->halves, half);

	demux_hand_over(tcp, &half->node.id, ref_make(KIND_HALF, index), tcb_ref(tcp, tcb));
	half_gone(tcp, half, index);
}

/* ---- How long it waits ---- */

/* It is new: half_enter() has linked it to itself. */
static bool in_no_row(const struct half_open *half)
{
	return half->link.next == half->link.prev && !(half->link.next & ROW);
}

/* Longer each time (RFC 6298 5.5). */
void half_wait(struct tcp *tcp, struct half_open *half, uint64_t now)
{
	uint32_t index = in_no_row(half) ? half->link.next : pool_index(&tcp->halves, half);
	uint64_t rto = tcp->config->rto_initial_ns << half->retries;

	if (rto > tcp->config->rto_max_ns)
		rto = tcp->config->rto_max_ns;
	half->flags &= (uint8_t)~HALF_PENDING;
	half->deadline_us = (uint32_t)((now + rto + 999) / 1000);
	if (!in_no_row(half))
		row_leave(tcp, half);
	row_append(tcp, half->retries, half, index);
}

void half_pend(struct tcp *tcp, struct half_open *half)
{
	half->flags |= HALF_PENDING;
	row_leave(tcp, half);
	row_append(tcp, ROW_UNTOLD, half, pool_index(&tcp->halves, half));
}

struct half_open *half_next_event(struct tcp *tcp)
{
	for (unsigned i = 0; i < HALF_WORK && !row_empty(tcp, ROW_UNTOLD); i++) {
		struct half_open *half = row_first(tcp, ROW_UNTOLD);

		if (!half_listener(tcp, half)) {
			half_free(tcp, half);
			continue;
		}
		row_leave(tcp, half);
		row_append(tcp, ROW_PENDING, half, pool_index(&tcp->halves, half));
		return half;
	}
	return NULL;
}

/* Microseconds until it is due, or since then: below 0. */
static int32_t us_left(const struct half_open *half, uint64_t now)
{
	return (int32_t)(half->deadline_us - (uint32_t)(now / 1000));
}

uint64_t half_left(const struct half_open *half, uint64_t now)
{
	int32_t us = us_left(half, now);

	if (half->flags & HALF_PENDING)
		return CPL_TIMER_OFF;
	return us > 0 ? (uint64_t)us * 1000 - now % 1000 : 0;
}

uint64_t half_deadline(const struct tcp *tcp)
{
	uint64_t then = tcp->wheel.tick << WHEEL_TICK_SHIFT; /* or a little later */
	uint64_t least = CPL_NEVER;

	if (tcp->listeners_closed || !list_empty(&tcp->unaccepted))
		return then; /* there is more to do */
	if (!tcp->halves.in_use)
		return least;
	for (unsigned i = 0; i < SYNACK_LEVELS; i++) {
		if (!row_empty(tcp, i)) {
			uint64_t t = then + half_left(row_first(tcp, i), then);

			least = t < least ? t : least;
		}
	}
	return least;
}

/* How many time-outs of its SYN,ACK a half-open connection lives through. */
static unsigned synack_retries(const struct tcp *tcp, const struct half_open *half,
			       const struct tcb_cold *cold)
{
	unsigned n = cold && cold->syn_retries ? cold->syn_retries : tcp->config->synack_retries;

	if (cold && (half->flags & HALF_ACKED) && cold->defer_accept > n)
		n = cold->defer_accept;
	return n < SYNACK_LEVELS - 1 ? n : SYNACK_LEVELS - 1;
}

/* As Linux: silent but for the last time, which gives the peer a last chance to send. */
static bool awaits_data(const struct half_open *half, const struct tcb_cold *cold)
{
	return cold && (half->flags & HALF_ACKED) && half->retries < cold->defer_accept;
}

/* The SYN,ACK was not acknowledged in time. */
static void half_timeout(struct tcp *tcp, struct half_open *half, uint64_t now)
{
	const struct tcb *listener = half_listener(tcp, half);

	if (!listener || half->retries >= synack_retries(tcp, half, listener->cold)) {
		half_free(tcp, half);
		return;
	}
	half->retries++;
	if (!awaits_data(half, listener->cold))
		half_send_synack(tcp, half, now);
	half_wait(tcp, half, now);
}

/* ---- Closing ---- */

/* Those of closed listeners among the next few go. */
static void sweep(struct tcp *tcp)
{
	struct half_open *half;

	for (unsigned i = 0; i < HALF_WORK && tcp->listeners_closed; i++) {
		half = pool_next(&tcp->halves, &tcp->half_sweep);
		if (!half) { /* again from the first: more were closed meanwhile */
			tcp->half_sweep = 0;
			continue;
		}
		tcp->half_sweep++;
		if (!half_listener(tcp, half))
			half_free(tcp, half);
	}
}

/* Connections that nobody will accept any more. */
static void unaccept(struct tcp *tcp, uint64_t now)
{
	for (unsigned i = 0; i < UNACCEPT_MAX && !list_empty(&tcp->unaccepted); i++) {
		struct tcb *held = list_first(&tcp->unaccepted, struct tcb, event);

		list_del(&held->event);
		held->flags &= ~TCB_HELD;
		tcp_abort(tcp, held, now);
	}
}

void listener_close(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	struct listener *l = tcb->listener;

	fastopen_listener_close(tcp, l);
	list_splice_back(&tcp->unaccepted, &l->accept_queue);
	for (unsigned i = 0; i <= IFACES_MAX; i++)
		if (tcp->catch_all[i] == tcb)
			tcp->catch_all[i] = NULL;
	l->tcb = NULL;
	tcb->listener = NULL;
	if (l->half_n)
		tcp->listeners_closed++;
	else
		pool_free(&tcp->listeners, l);
	tcb_set_state(tcp, tcb, CPL_CLOSED, now);
	unaccept(tcp, now);
	sweep(tcp);
}

void half_advance(struct tcp *tcp, uint64_t now)
{
	unsigned work = HALF_WORK;

	unaccept(tcp, now);
	sweep(tcp);
	for (unsigned i = SYNACK_LEVELS; i-- > 0;) {
		for (; work && !row_empty(tcp, i); work--) {
			struct half_open *half = row_first(tcp, i);

			if (us_left(half, now) > 0)
				break;
			half_timeout(tcp, half, now);
		}
	}
}
