/* SPDX-License-Identifier: MIT */
/*
 * Local ports that connections hold, those in TIME-WAIT too. RFC 9293 lets others have them
 * (MUST-42: the 4-tuples differ); Linux's bind(2) does not unless both sides allow it (socket(7)),
 * and so do sockets here. How many hold each port is counted, in a few octets a port, so that
 * nearly every question is answered without a look at any connection; where it is not, all are
 * looked at: a port that is held, but perhaps by another address.
 */
#include "tcp/rest.h"
#include "tcp/timewait.h"

#define PAGE	  (65536u / HELD_PAGES) /* ports */
#define MANY	  0x3fffu		/* as many or more: nobody counts them any more */
#define NAMED	  0x4000u		/* one of them did not get it by chance */
#define EXCLUSIVE 0x8000u		/* one of them came without SO_REUSEADDR */

static uint16_t *entry_of(const struct tcp *tcp, uint16_t port)
{
	uint16_t *page = tcp->held[port / PAGE];

	return page ? &page[port % PAGE] : NULL;
}

void port_hold(struct tcp *tcp, uint16_t port, bool exclusive, bool named)
{
	uint16_t **page = &tcp->held[port / PAGE], *entry;

	if (!*page) {
		*page = mem_alloc(tcp->mem, PAGE * sizeof(**page));
		if (!*page) /* it is not known to be held: the 4-tuples differ all the same */
			return;
		memset(*page, 0, PAGE * sizeof(**page));
	}
	entry = entry_of(tcp, port);
	if ((*entry & MANY) != MANY)
		(*entry)++;
	*entry |= (uint16_t)((exclusive ? EXCLUSIVE : 0) | (named ? NAMED : 0));
}

void port_leave(struct tcp *tcp, uint16_t port)
{
	uint16_t *entry = entry_of(tcp, port);

	if (!entry || !(*entry & MANY) || (*entry & MANY) == MANY)
		return;
	if (!(--*entry & MANY))
		*entry = 0;
}

void port_hold_alone(struct tcp *tcp, uint16_t port)
{
	uint16_t *entry = entry_of(tcp, port);

	if (entry && *entry)
		*entry |= EXCLUSIVE;
}

void ports_destroy(struct tcp *tcp)
{
	for (unsigned i = 0; i < HELD_PAGES; i++)
		mem_release(tcp->mem, tcp->held[i], PAGE * sizeof(*tcp->held[i]));
	memset(tcp->held, 0, sizeof(tcp->held));
}

bool port_named(const struct tcp *tcp, uint16_t port)
{
	const uint16_t *entry = entry_of(tcp, port);

	return entry && *entry & NAMED;
}

bool port_held(const struct tcp *tcp, const struct port_claim *claim)
{
	const uint16_t *entry = entry_of(tcp, claim->port);

	return entry && *entry && !(claim->reuseaddr && !(*entry & EXCLUSIVE));
}

/* The local address of what REF names, and what it allows. False: it does not hold CLAIM's port. */
static bool look(struct tcp *tcp, uint32_t ref, const struct port_claim *claim,
		 struct port_claim *other)
{
	const struct tcb *tcb;
	struct conn_id id;

	switch (ref_kind(ref)) {
	case KIND_TIME_WAIT: {
		const struct time_wait *tw = pool_get(&tcp->time_waits, ref_index(ref));

		time_wait_id(tcp, tw, &id);
		*other = (struct port_claim){ id.local, id.lport, false, tw->reuseaddr,
					      tw->reuseport };
		return id.lport == claim->port;
	}
	case KIND_REST:
		tcb_unpack_id(&tcp->blank, rest_at(tcp, ref)->bytes, &id);
		if (id.lport != claim->port)
			return false;
		tcb_unpack(&tcp->blank, rest_at(tcp, ref)->bytes, &tcp->scratch);
		tcb = &tcp->scratch;
		break;
	case KIND_TCB:
		tcb = pool_get(&tcp->tcbs, ref_index(ref));
		break;
	default:
		return false; /* half open: as Linux, it holds nothing */
	}
	*other = port_claim_of(tcb);
	return other->port == claim->port;
}

bool port_held_against(struct tcp *tcp, const struct port_claim *claim)
{
	uint32_t bucket = 0, ref = 0, seen = 0;
	struct port_claim other;

	if (!port_held(tcp, claim))
		return false;
	while ((ref = demux_next(tcp, &bucket, ref)) != 0) {
		if (!look(tcp, ref, claim, &other))
			continue;
		seen++;
		if (port_claims_meet(claim, &other) && !(claim->reuseaddr && other.reuseaddr) &&
		    !(claim->reuseport && other.reuseport))
			return true;
	}
	if (!seen)
		*entry_of(tcp, claim->port) = 0; /* they were MANY once */
	return false;
}
