/* SPDX-License-Identifier: MIT */
/*
 * From the addresses and ports of a segment to its connection, in O(1): a chained hash table, keyed
 * (SipHash) so that no peer can aim at one chain. It grows and shrinks a few buckets at each
 * insertion and removal, never all at once. Links are references: kind and pool index in 32 bits,
 * so that TCBs, half-open connections and TIME-WAIT records share one table. Also: handles.
 */
#include "tcp/tcp.h"

#define DEMUX_MIN  64u
#define DEMUX_MAX  (POOL_SLAB_MAX / 4u) /* as large as a slab may be: beyond, chains get longer */
#define DEMUX_STEP 8u
#define REF_SHIFT  29
#define REF_INDEX  ((1u << REF_SHIFT) - 1)

static uint32_t ref_make(enum conn_kind kind, uint32_t index)
{
	return (uint32_t)kind << REF_SHIFT | index;
}

static struct pool *kind_pool(struct tcp *tcp, enum conn_kind kind)
{
	switch (kind) {
	case KIND_TCB:
		return &tcp->tcbs;
	case KIND_HALF:
		return &tcp->halves;
	default:
		return &tcp->time_waits;
	}
}

/* All three records begin with their demux_node. */
static struct demux_node *ref_node(struct tcp *tcp, uint32_t ref)
{
	return pool_at(kind_pool(tcp, ref >> REF_SHIFT), ref & REF_INDEX);
}

static uint32_t id_hash(const struct demux *d, const struct conn_id *id)
{
	return (uint32_t)siphash13(&d->key, id, sizeof(*id));
}

static bool id_equal(const struct conn_id *a, const struct conn_id *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static uint32_t *heads_new(struct tcp *tcp, uint32_t n)
{
	uint32_t *heads = mem_alloc(tcp->mem, n * sizeof(*heads));

	if (heads)
		memset(heads, 0, n * sizeof(*heads));
	return heads;
}

int demux_init(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;

	d->heads = heads_new(tcp, DEMUX_MIN);
	d->mask = DEMUX_MIN - 1;
	return d->heads ? 0 : -ENOMEM;
}

void demux_destroy(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;

	if (d->old_heads)
		mem_release(tcp->mem, d->old_heads, (d->old_mask + 1) * sizeof(*d->old_heads));
	if (d->heads)
		mem_release(tcp->mem, d->heads, (d->mask + 1) * sizeof(*d->heads));
	d->heads = NULL;
	d->old_heads = NULL;
}

/* Where the chain for HASH begins: in the old table if its bucket has not moved yet. */
static uint32_t *demux_head(struct demux *d, uint32_t hash)
{
	if (d->old_heads && (hash & d->old_mask) >= d->moved)
		return &d->old_heads[hash & d->old_mask];
	return &d->heads[hash & d->mask];
}

static void move_bucket(struct tcp *tcp, struct demux *d, uint32_t bucket)
{
	uint32_t ref = d->old_heads[bucket];

	while (ref) {
		struct demux_node *node = ref_node(tcp, ref);
		uint32_t next = node->next;
		uint32_t *head = &d->heads[id_hash(d, &node->id) & d->mask];

		node->next = *head;
		*head = ref;
		ref = next;
	}
	d->old_heads[bucket] = 0;
}

/* A few more buckets of a table that is being rehashed; start that when the load asks for it. */
static void demux_step(struct tcp *tcp)
{
	struct demux *d = &tcp->demux;
	uint32_t size = d->mask + 1, *heads;

	if (d->old_heads) {
		for (unsigned i = 0; i < DEMUX_STEP && d->moved <= d->old_mask; i++)
			move_bucket(tcp, d, d->moved++);
		if (d->moved > d->old_mask) {
			mem_release(tcp->mem, d->old_heads,
				    (d->old_mask + 1) * sizeof(*d->old_heads));
			d->old_heads = NULL;
		}
		return;
	}
	if (d->count > size && size < DEMUX_MAX)
		size *= 2;
	else if (d->count < size / 8 && size > DEMUX_MIN)
		size /= 2;
	else
		return;
	heads = heads_new(tcp, size);
	if (!heads)
		return; /* chains get longer, nothing else */
	d->old_heads = d->heads;
	d->old_mask = d->mask;
	d->heads = heads;
	d->mask = size - 1;
	d->moved = 0;
}

struct demux_node *demux_find(struct tcp *tcp, const struct conn_id *id, enum conn_kind *kind)
{
	uint32_t ref = *demux_head(&tcp->demux, id_hash(&tcp->demux, id));

	while (ref) {
		struct demux_node *node = ref_node(tcp, ref);

		if (id_equal(&node->id, id)) {
			*kind = ref >> REF_SHIFT;
			return node;
		}
		ref = node->next;
	}
	return NULL;
}

void demux_add(struct tcp *tcp, struct demux_node *node, enum conn_kind kind)
{
	uint32_t *head;

	demux_step(tcp);
	head = demux_head(&tcp->demux, id_hash(&tcp->demux, &node->id));
	node->next = *head;
	*head = ref_make(kind, pool_index(kind_pool(tcp, kind), node));
	tcp->demux.count++;
}

void demux_del(struct tcp *tcp, struct demux_node *node, enum conn_kind kind)
{
	uint32_t self = ref_make(kind, pool_index(kind_pool(tcp, kind), node));
	uint32_t *link = demux_head(&tcp->demux, id_hash(&tcp->demux, &node->id));

	while (*link && *link != self)
		link = &ref_node(tcp, *link)->next;
	ASSERT(*link == self);
	*link = node->next;
	node->next = 0;
	tcp->demux.count--;
	demux_step(tcp);
}

cpl_handle handle_make(enum conn_kind kind, uint32_t index, uint32_t gen)
{
	return (uint64_t)gen << 32 | ref_make(kind, index);
}

enum conn_kind handle_kind(cpl_handle h)
{
	return (uint32_t)h >> REF_SHIFT;
}

uint32_t handle_index(cpl_handle h)
{
	return (uint32_t)h & REF_INDEX;
}

struct tcb *tcp_tcb(struct tcp *tcp, cpl_handle h)
{
	struct tcb *tcb;

	if (handle_kind(h) != KIND_TCB)
		return NULL;
	tcb = pool_at(&tcp->tcbs, handle_index(h));
	return tcb && tcb->gen == h >> 32 ? tcb : NULL;
}

struct half_open *tcp_half(struct tcp *tcp, cpl_handle h)
{
	struct half_open *half;

	if (handle_kind(h) != KIND_HALF)
		return NULL;
	half = pool_at(&tcp->halves, handle_index(h));
	return half && half->gen == h >> 32 ? half : NULL;
}

cpl_handle tcb_handle(struct tcp *tcp, const struct tcb *tcb)
{
	return handle_make(KIND_TCB, pool_index(&tcp->tcbs, tcb), tcb->gen);
}
