/* SPDX-License-Identifier: MIT */
/*
 * From the addresses and ports of a segment to its connection, in O(1): a chained hash table, keyed
 * (SipHash) so that no peer can aim at one chain. It grows and shrinks by linear hashing (Litwin
 * 1980): one bucket is split, or a few are joined, at an insertion or removal, and memory comes in
 * pieces of one size, so that no step is larger than another. Links are references: kind and pool
 * index in 32 bits, so that TCBs, connections at rest, half-open connections and TIME-WAIT records
 * share one table. Also: handles.
 */
#include "tcp/fast.h"
#include "tcp/rest.h"
#include "tcp/timewait.h"
#include "wire/bytes.h"

#define DEMUX_MIN   64u
#define DEMUX_PIECE 8192u /* heads */
#define DEMUX_JOIN  8u	  /* buckets that one removal joins, at most */
#define REF_SHIFT   29
#define REF_INDEX   ((1u << REF_SHIFT) - 1)

uint32_t ref_make(enum conn_kind kind, uint32_t index)
{
	return (uint32_t)kind << REF_SHIFT | index;
}

enum conn_kind ref_kind(uint32_t ref)
{
	return ref >> REF_SHIFT;
}

uint32_t ref_index(uint32_t ref)
{
	return ref & REF_INDEX;
}

/* TCBs and half-open connections begin with their demux_node. */
static struct demux_node *ref_node(struct tcp *tcp, uint32_t ref)
{
	return pool_get(ref_kind(ref) == KIND_TCB ? &tcp->tcbs : &tcp->halves, ref_index(ref));
}

static struct tcb *ref_tcb(struct tcp *tcp, uint32_t ref)
{
	return pool_get(&tcp->tcbs, ref_index(ref));
}

static struct time_wait *ref_time_wait(struct tcp *tcp, uint32_t ref)
{
	return pool_get(&tcp->time_waits, ref_index(ref));
}

/* Where REF's link to the next of the chain is. */
static inline __attribute__((always_inline)) uint32_t *ref_next(struct tcp *tcp, uint32_t ref)
{
	switch (ref_kind(ref)) {
	case KIND_REST:
		return &rest_at(tcp, ref)->next;
	case KIND_TIME_WAIT:
		return &ref_time_wait(tcp, ref)->next;
	default:
		return &ref_node(tcp, ref)->next;
	}
}

static bool id_equal(const struct conn_id *a, const struct conn_id *b)
{
	/* In the ports they mostly differ. */
	return conn_id_ports(a) == conn_id_ports(b) &&
	       memcmp(a, b, offsetof(struct conn_id, lport)) == 0;
}

static uint32_t id_hash(struct demux *d, const struct conn_id *id)
{
	if (id_equal(&d->hashed, id))
		return d->hash;
	d->hashed = *id;
	d->hash = conn_id_hash(&d->bucket_key, id);
	return d->hash;
}

uint32_t demux_hash(struct tcp *tcp, const struct conn_id *id)
{
	return id_hash(&tcp->demux, id);
}

static uint32_t ref_hash(struct tcp *tcp, uint32_t ref)
{
	struct conn_id id;

	if (ref_kind(ref) == KIND_REST)
		return rest_at(tcp, ref)->hash;
	if (ref_kind(ref) == KIND_TIME_WAIT) {
		time_wait_id(tcp, ref_time_wait(tcp, ref), &id);
		return id_hash(&tcp->demux, &id);
	}
	return id_hash(&tcp->demux, &ref_node(tcp, ref)->id);
}

/* ---- The table ---- */

static size_t pieces_bytes(uint32_t n)
{
	return n * sizeof(uint32_t *);
}

/* Room for bucket B. False: no memory: chains get longer, nothing else. */
static bool piece_ready(struct tcp *tcp, uint32_t b)
{
	struct demux *d = &tcp->demux;
	uint32_t i = b / DEMUX_PIECE, max = d->pieces_max ? d->pieces_max * 2 : 8;

	if (i >= d->pieces_max) {
		uint32_t **pieces = mem_alloc(tcp->mem, pieces_bytes(max));

		if (!pieces)
			return false;
		memset(pieces, 0, pieces_bytes(max));
		if (d->pieces)
			memcpy(pieces, d->pieces, pieces_bytes(d->pieces_max));
		mem_release(tcp->mem, d->pieces, pieces_bytes(d->pieces_max));
		d->pieces = pieces;
		d->pieces_max = max;
	}
	if (d->pieces[i])
		return true;
	d->pieces[i] = mem_alloc(tcp->mem, DEMUX_PIECE * sizeof(uint32_t));
	if (d->pieces[i])
		memset(d->pieces[i], 0, DEMUX_PIECE * sizeof(uint32_t));
	return d->pieces[i] != NULL;
}

static void piece_release(struct tcp *tcp, uint32_t i)
{
	mem_release(tcp->mem, tcp->demux.pieces[i], DEMUX_PIECE * sizeof(uint32_t));
	tcp->demux.pieces[i] = NULL;
}

int demux_init(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;

	d->buckets = d->low = DEMUX_MIN;
	for (uint64_t i = 0; i < sizeof(d->bucket_key.k) / sizeof(d->bucket_key.k[0]); i++)
		d->bucket_key.k[i] = siphash24(&d->key, &i, sizeof(i));
	d->hash = conn_id_hash(&d->bucket_key, &d->hashed);
	return piece_ready(tcp, 0) ? 0 : -ENOMEM;
}

void demux_destroy(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;

	for (uint32_t i = 0; i < d->pieces_max; i++)
		if (d->pieces[i])
			piece_release(tcp, i);
	mem_release(tcp->mem, d->pieces, pieces_bytes(d->pieces_max));
	d->pieces = NULL;
	d->pieces_max = 0;
}

static inline uint32_t *bucket_head(struct demux *d, uint32_t b)
{
	return &d->pieces[b / DEMUX_PIECE][b % DEMUX_PIECE];
}

/* Where the chain for HASH begins: of buckets below LOW, some have been split already. */
static inline uint32_t *demux_head(struct demux *d, uint32_t hash)
{
	uint32_t b = hash & (2 * d->low - 1);

	return bucket_head(d, b < d->buckets ? b : b - d->low);
}

#define LINE 64u

/* To gcc 12 a function of nothing but prefetches does nothing, and calls of it go: but for asm. */
static inline void fetch(const void *p, unsigned lines)
{
	for (unsigned i = 0; i < lines; i++)
		__builtin_prefetch((const char *)p + i * LINE);
	__asm__ volatile("" : : "r"(p));
}

/*
 * What the next two splits will look at is fetched: by then it is mostly in no cache. Of the second
 * the first of its chain; of the next, whose first was fetched so, what comes after that.
 */
static void split_ahead(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;
	uint32_t b = d->buckets - d->low, ref = *bucket_head(d, b);

	if (ref && (ref = *ref_next(tcp, ref)) != 0)
		fetch(ref_next(tcp, ref), 1);
	ref = *bucket_head(d, (b + 1) & (d->low - 1));
	if (ref)
		fetch(ref_next(tcp, ref), 1);
}

/* One bucket more: what of the chain of its lower half belongs there goes there. */
static void demux_split(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;
	uint32_t *from, *to;

	if (d->buckets >= 1u << REF_SHIFT || !piece_ready(tcp, d->buckets))
		return;
	from = bucket_head(d, d->buckets - d->low);
	to = bucket_head(d, d->buckets);
	while (*from) {
		uint32_t ref = *from, *next = ref_next(tcp, ref);

		if (ref_hash(tcp, ref) & d->low) {
			*from = *next;
			*next = *to;
			*to = ref;
		} else {
			from = next;
		}
	}
	if (++d->buckets == 2 * d->low)
		d->low *= 2;
	split_ahead(tcp);
}

/* One bucket less: its chain is appended to that of its lower half. */
static void demux_join(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;
	uint32_t last = d->buckets - 1, *head, *link;

	if (d->buckets == d->low)
		d->low /= 2;
	head = bucket_head(d, last);
	link = bucket_head(d, last - d->low);
	while (*link)
		link = ref_next(tcp, *link);
	*link = *head;
	*head = 0;
	d->buckets = last;
	if (last % DEMUX_PIECE == 0)
		piece_release(tcp, last / DEMUX_PIECE);
}

/* The connection at rest at REF has ID. */
static bool rest_is(struct tcp *tcp, uint32_t ref, uint32_t hash, const struct conn_id *id)
{
	const struct tcb_rest *rest = rest_at(tcp, ref);
	struct conn_id own;

	if (rest->hash != hash)
		return false;
	tcb_unpack_id(&tcp->blank, rest->bytes, &own);
	return id_equal(&own, id);
}

void *demux_find(struct tcp *tcp, const struct conn_id *id, enum conn_kind *kind)
{
	struct demux *d = &tcp->demux;
	struct demux_node **recent = &d->recent[demux_recent(conn_id_ports(id))];
	uint32_t hash, ref;

	/* What comes is often of the connection that came last, or of one of the last. */
	if (d->met && id_equal(&d->met->id, id)) {
		*kind = (enum conn_kind)d->met_kind;
		return d->met;
	}
	if (*recent && id_equal(&(*recent)->id, id)) {
		d->met = *recent;
		*kind = d->met_kind = KIND_TCB;
		return d->met;
	}
	hash = id_hash(d, id);
	ref = *demux_head(d, hash);
	while (ref) {
		*kind = ref_kind(ref);
		if (*kind == KIND_REST) {
			if (rest_is(tcp, ref, hash, id))
				return NULL;
			ref = rest_at(tcp, ref)->next;
		} else if (*kind == KIND_TIME_WAIT) {
			struct time_wait *tw = ref_time_wait(tcp, ref);

			if (time_wait_is(tcp, tw, id))
				return tw;
			ref = tw->next;
		} else {
			struct demux_node *node = ref_node(tcp, ref);

			if (id_equal(&node->id, id)) {
				d->met = node;
				d->met_kind = (uint8_t)*kind;
				if (*kind == KIND_TCB)
					*recent = node;
				return node;
			}
			ref = node->next;
		}
	}
	*kind = KIND_NONE;
	return NULL;
}

/* ID is at rest. */
static __attribute__((noinline)) struct tcb *find_rest(struct tcp *tcp, const struct conn_id *id)
{
	uint32_t hash = id_hash(&tcp->demux, id), ref = *demux_head(&tcp->demux, hash);

	while (ref_kind(ref) != KIND_REST || !rest_is(tcp, ref, hash, id))
		ref = *ref_next(tcp, ref);
	return tcb_wake(tcp, ref);
}

void *demux_wake(struct tcp *tcp, const struct conn_id *id, enum conn_kind *kind)
{
	void *found = demux_find(tcp, id, kind);

	if (found || *kind != KIND_REST)
		return found;
	found = find_rest(tcp, id);
	if (found)
		*kind = KIND_TCB;
	return found;
}

/* TCB is new: it is soon looked for, and called before that. */
static void begins(struct tcp *tcp, struct tcb *tcb, bool named)
{
	struct demux *d = &tcp->demux;

	d->recent[demux_recent(conn_id_ports(&tcb->node.id))] = &tcb->node;
	d->met = &tcb->node;
	d->met_kind = KIND_TCB;
	port_hold(tcp, tcb->node.id.lport, !tcb_has(tcb, TCB_REUSEADDR), named);
}

void demux_add(struct tcp *tcp, const struct conn_id *id, uint32_t ref, bool named)
{
	struct demux *d = &tcp->demux;
	uint32_t *head;

	d->met = NULL;
	/* Two at most: to catch up where there was no memory. */
	for (int i = 0; i < 2 && d->count >= d->buckets; i++)
		demux_split(tcp);
	head = demux_head(d, id_hash(d, id));
	*ref_next(tcp, ref) = *head;
	*head = ref;
	d->count++;
	if (ref_kind(ref) == KIND_TCB)
		begins(tcp, ref_tcb(tcp, ref), named);
}

/* REF is to change. */
static void forget_met(struct tcp *tcp, uint32_t ref)
{
	struct demux *d = &tcp->demux;
	struct demux_node *node, **recent;

	d->met = NULL;
	if (ref_kind(ref) != KIND_TCB)
		return;
	node = &ref_tcb(tcp, ref)->node;
	recent = &d->recent[demux_recent(conn_id_ports(&node->id))];
	if (*recent == node)
		*recent = NULL;
}

/* The link in the chain of HASH that leads to REF, which is to change. */
static uint32_t *link_to(struct tcp *tcp, uint32_t hash, uint32_t ref)
{
	uint32_t *link = demux_head(&tcp->demux, hash);

	forget_met(tcp, ref);
	while (*link && *link != ref)
		link = ref_next(tcp, *link);
	ASSERT(*link == ref);
	return link;
}

void demux_replace(struct tcp *tcp, uint32_t hash, uint32_t from, uint32_t to)
{
	*link_to(tcp, hash, from) = to;
}

void demux_replace_first(struct tcp *tcp, uint32_t hash, uint32_t from, uint32_t to)
{
	uint32_t *link = link_to(tcp, hash, from), *head = demux_head(&tcp->demux, hash);
	uint32_t *next = ref_next(tcp, to);

	*link = *next;
	*next = *head;
	*head = to;
}

void demux_del(struct tcp *tcp, const struct conn_id *id, uint32_t ref)
{
	struct demux *d = &tcp->demux;

	*link_to(tcp, id_hash(d, id), ref) = *ref_next(tcp, ref);
	d->count--;
	if (ref_kind(ref) != KIND_HALF)
		port_leave(tcp, id->lport);
	for (unsigned i = 0; i < DEMUX_JOIN && d->buckets > DEMUX_MIN && d->count < d->buckets / 4;
	     i++)
		demux_join(tcp);
}

void demux_hand_over(struct tcp *tcp, const struct conn_id *id, uint32_t from, uint32_t to)
{
	uint32_t *link = link_to(tcp, id_hash(&tcp->demux, id), from);

	*ref_next(tcp, to) = *ref_next(tcp, from);
	*link = to;
	/* From a TCB to TIME-WAIT the port stays held as it is. */
	if (ref_kind(from) == KIND_HALF)
		begins(tcp, ref_tcb(tcp, to), true);
}

uint32_t demux_next(struct tcp *tcp, uint32_t *bucket, uint32_t ref)
{
	if (ref)
		ref = *ref_next(tcp, ref);
	while (!ref && *bucket < tcp->demux.buckets)
		ref = *bucket_head(&tcp->demux, (*bucket)++);
	return ref;
}

/* ---- Ahead of a burst ---- */

#define TCB_LINES 5u /* as tcb.h has them by role: all but what is seldom looked at */
#define IO_LINES  8u /* as many as helped */

const uint32_t *demux_chain_ahead(struct tcp *tcp, const uint8_t *ip, const uint8_t *ports)
{
	struct demux *d = &tcp->demux;
	uint32_t both = (uint32_t)get16(ports) << 16 | get16(ports + 2), *head, hash;
	uint64_t addrs[4], pair;

	if (ports - ip == IPV4_HLEN) {
		pair = load64(ip + 12); /* conn_id_addrs4(), but for the order */
		hash = product_hash_12(&d->bucket_key, pair << 32 | pair >> 32, both);
	} else {
		memcpy(addrs, ip + 24, 16);
		memcpy(addrs + 2, ip + 8, 16);
		hash = product_hash_36(&d->bucket_key, addrs, both);
	}
	head = demux_head(d, hash);
	fetch(head, 1);
	return head;
}

const struct tcb *demux_first_ahead(struct tcp *tcp, uint32_t ref)
{
	const struct tcb *tcb;

	if (ref_kind(ref) == KIND_REST)
		fetch(rest_at(tcp, ref), 2);
	if (ref_kind(ref) != KIND_TCB)
		return NULL;
	tcb = ref_tcb(tcp, ref);
	fetch(tcb, TCB_LINES);
	return tcb;
}

void demux_tcb_ahead(struct tcp *tcp, const struct tcb *tcb)
{
	if (tcb->io)
		fetch(tcb->io, IO_LINES);
	fetch(pool_get(&tcp->slots, tcb->slot), 1);
}

void demux_fire_ahead(struct tcp *tcp, const struct tcb *next, const struct tcb *after)
{
	if (next)
		fetch(demux_head(&tcp->demux, conn_id_hash(&tcp->demux.bucket_key, &next->node.id)),
		      1);
	if (after)
		fetch(after, TCB_LINES);
}

/* ---- Handles ---- */

cpl_handle handle_make(enum conn_kind kind, uint32_t index, uint32_t gen)
{
	return (uint64_t)gen << 32 | ref_make(kind, index);
}

enum conn_kind handle_kind(cpl_handle h)
{
	return ref_kind((uint32_t)h);
}

uint32_t handle_index(cpl_handle h)
{
	return ref_index((uint32_t)h);
}

struct conn_slot *tcp_slot(struct tcp *tcp, cpl_handle h)
{
	struct conn_slot *slot;

	if (handle_kind(h) != KIND_TCB)
		return NULL;
	slot = pool_at(&tcp->slots, handle_index(h));
	return slot && slot->gen == h >> 32 ? slot : NULL;
}

struct tcb *tcp_tcb(struct tcp *tcp, cpl_handle h)
{
	const struct conn_slot *slot = tcp_slot(tcp, h);
	struct tcb *tcb;

	if (!slot)
		return NULL;
	if (ref_kind(slot->ref) == KIND_REST)
		return tcb_wake(tcp, slot->ref);
	tcb = pool_get(&tcp->tcbs, ref_index(slot->ref));
	fast_meet(tcp, tcb);
	return tcb;
}

const struct tcb *tcp_look(struct tcp *tcp, cpl_handle h)
{
	const struct conn_slot *slot = tcp_slot(tcp, h);

	if (!slot || ref_kind(slot->ref) != KIND_REST)
		return tcp_tcb(tcp, h);
	tcb_peek(tcp, slot, &tcp->scratch);
	return &tcp->scratch;
}

int tcp_missing(struct tcp *tcp, cpl_handle h)
{
	const struct conn_slot *slot = tcp_slot(tcp, h);

	return slot && ref_kind(slot->ref) == KIND_REST ? -ENOBUFS : -EBADF;
}

struct half_open *tcp_half(struct tcp *tcp, cpl_handle h)
{
	struct half_open *half;

	if (handle_kind(h) != KIND_HALF)
		return NULL;
	half = pool_at(&tcp->halves, handle_index(h));
	return half && half->gen == h >> 32 && half_listener(tcp, half) ? half : NULL;
}

uint32_t tcb_ref(const struct tcp *tcp, const struct tcb *tcb)
{
	return ((struct conn_slot *)pool_get(&tcp->slots, tcb->slot))->ref;
}

cpl_handle tcb_handle(struct tcp *tcp, const struct tcb *tcb)
{
	(void)tcp;
	return handle_make(KIND_TCB, tcb->slot, tcb->gen);
}
