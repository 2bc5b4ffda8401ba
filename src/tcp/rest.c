/* SPDX-License-Identifier: MIT */
/*
 * Connections at rest. Most connections of a host that has many do nothing most of the time. Once
 * one has been quiet for config.quiet_ns, its TCB is packed into a struct tcb_rest of a third of
 * the size and freed; a segment, a call or a timer wakes it, a look does not. That it lasts as long
 * before it rests again keeps one that is used now and then from going to and fro.
 *
 * The handle stays the same (struct conn_slot), and so does its place in the demultiplexing table.
 */
#include "tcp/rest.h"

#define CLASS_SHIFT 24
#define CLASS_INDEX ((1u << CLASS_SHIFT) - 1)

void rest_init(struct tcp *tcp, uint64_t now)
{
	struct tcb *blank = &tcp->blank;

	tcb_init(tcp, blank, 0);
	blank->state = CPL_ESTABLISHED;
	blank->node.id.local = cpl_addr4(0, 0, 0, 0);
	blank->node.id.remote = cpl_addr4(0, 0, 0, 0);
	blank->snd_mss = 1448;
	blank->peer_mss = blank->rcv_mss = 1460;
	blank->pmtu = 1500;
	blank->rcv_mss_est = 536;
	memset(&blank->event, 0, sizeof(blank->event));
	memset(&blank->ready, 0, sizeof(blank->ready));
	memset(&blank->timer, 0, sizeof(blank->timer));
	wheel_init(&tcp->rest_wheel, now);
}

struct tcb_rest *rest_at(struct tcp *tcp, uint32_t ref)
{
	uint32_t index = ref_index(ref);

	return pool_get(&tcp->rests[index >> CLASS_SHIFT], index & CLASS_INDEX);
}

bool tcb_may_rest(const struct tcb *tcb)
{
	/* What is bound has a struct tcb_bound that points to it. */
	const uint32_t busy = TCB_HELD | TCB_BOUND | TCB_ACK_NOW | TCB_DELACK | TCB_PROBE |
			      TCB_PERSIST | TCB_WANT_WRITE;

	return (tcb->state == CPL_ESTABLISHED || tcb->state == CPL_CLOSE_WAIT ||
		tcb->state == CPL_FIN_WAIT_2) &&
	       !tcb->io && tcb_has(tcb, TCB_HASHED) && !tcb_has(tcb, busy) && !tcb->events &&
	       !list_linked(&tcb->event) && !list_linked(&tcb->ready);
}

/* The timer of what goes to rest. False: no memory. */
static bool keep_timer(struct tcp *tcp, const struct tcb *tcb, uint32_t *index)
{
	struct rest_timer *timer;

	*index = POOL_NONE;
	if (tcb->t_slow == CPL_NEVER)
		return true;
	timer = pool_alloc(&tcp->rest_timers, index);
	if (!timer)
		return false;
	wheel_node_init(&timer->node);
	timer->slot = tcb->slot;
	wheel_start(&tcp->rest_wheel, &timer->node, tcb->t_slow);
	return true;
}

static void drop_timer(struct tcp *tcp, uint32_t index)
{
	struct rest_timer *timer;

	if (index == POOL_NONE)
		return;
	timer = pool_at(&tcp->rest_timers, index);
	wheel_stop(&tcp->rest_wheel, &timer->node);
	pool_free(&tcp->rest_timers, timer);
}

bool tcb_rest(struct tcp *tcp, struct tcb *tcb)
{
	struct conn_slot *slot = pool_get(&tcp->slots, tcb->slot);
	uint8_t bytes[TCB_PACKED_MAX];
	size_t n = tcb_pack(&tcp->blank, tcb, bytes);
	uint32_t class = (uint32_t)(sizeof(struct tcb_rest) + n - 1) / REST_STEP, index, timer;
	struct tcb_rest *rest;

	ASSERT(tcb_may_rest(tcb));
	if (class >= REST_CLASSES || !keep_timer(tcp, tcb, &timer))
		return false;
	rest = pool_alloc(&tcp->rests[class], &index);
	if (!rest) {
		drop_timer(tcp, timer);
		return false;
	}
	memcpy(rest->bytes, bytes, n);
	rest->hash = demux_hash(tcp, &tcb->node.id);
	rest->next = tcb->node.next;
	rest->slot = tcb->slot;
	rest->timer = timer;
	index = ref_make(KIND_REST, class << CLASS_SHIFT | index);
	demux_replace(tcp, rest->hash, slot->ref, index);
	slot->ref = index;
	wheel_stop(&tcp->wheel, &tcb->timer);
	pool_free(&tcp->tcbs, tcb);
	tcp->counters->rests++;
	return true;
}

/* What other pools keep in reserve may be what is missing. */
static struct tcb *tcb_alloc(struct tcp *tcp, uint32_t *index)
{
	struct tcb *tcb = pool_alloc(&tcp->tcbs, index);

	if (tcb)
		return tcb;
	pool_trim(&tcp->ios);
	pool_trim(&tcp->sents);
	pool_trim(&tcp->halves);
	pool_trim(&tcp->time_waits);
	return pool_alloc(&tcp->tcbs, index);
}

struct tcb *tcb_wake(struct tcp *tcp, uint32_t ref)
{
	struct tcb_rest *rest = rest_at(tcp, ref);
	struct conn_slot *slot = pool_get(&tcp->slots, rest->slot);
	uint32_t index;
	struct tcb *tcb = tcb_alloc(tcp, &index);

	if (!tcb)
		return NULL;
	tcb_unpack(&tcp->blank, rest->bytes, tcb);
	tcb->slot = rest->slot;
	tcb->gen = slot->gen;
	tcb->node.next = rest->next;
	slot->ref = ref_make(KIND_TCB, index);
	demux_replace_first(tcp, rest->hash, ref, slot->ref);
	drop_timer(tcp, rest->timer);
	pool_free(&tcp->rests[ref_index(ref) >> CLASS_SHIFT], rest);
	/* If nothing else comes of it, it rests again. */
	timer_quiet_start(tcp, tcb, tcp->wheel.tick << WHEEL_TICK_SHIFT, 0);
	timer_update(tcp, tcb);
	tcp->counters->wakes++;
	return tcb;
}

void tcb_peek(struct tcp *tcp, const struct conn_slot *slot, struct tcb *tcb)
{
	const struct tcb_rest *rest = rest_at(tcp, slot->ref);

	tcb_unpack(&tcp->blank, rest->bytes, tcb);
	tcb->slot = rest->slot;
	tcb->gen = slot->gen;
}
