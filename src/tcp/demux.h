/* SPDX-License-Identifier: MIT */
/* From addresses and ports to connections, and what the links of that table name: see demux.c. */
#ifndef TCP_DEMUX_H
#define TCP_DEMUX_H

#include "base/hash.h"
#include "tcp/tcb.h"

struct tcp;

/* What a handle, or a link of the demultiplexing table, names. */
enum conn_kind {
	KIND_NONE,
	KIND_TCB,
	KIND_HALF,
	KIND_TIME_WAIT,
	KIND_UDP,
	KIND_REST, /* in links only: a handle goes by way of a conn_slot */
};

/* Connections found lately that are kept at hand: a power of 2. */
#define DEMUX_RECENT 64u

/* The table of connections: chains by keyed hash, grown and shrunk by one bucket at a time. */
struct demux {
	struct siphash_key key;
	struct product_key bucket_key; /* made from KEY */
	uint32_t **pieces;	       /* of DEMUX_PIECE heads of chains, which are references */
	uint32_t pieces_max;
	uint32_t buckets;
	uint32_t low; /* the largest power of 2 that is not above BUCKETS */
	uint32_t count;
	struct demux_node *met; /* found last, in the table still; NULL: none */
	struct conn_id hashed;	/* last, and ... */
	uint32_t hash; /* ... its hash: what is looked for is often added or taken out then */
	uint8_t met_kind;
	struct demux_node *recent[DEMUX_RECENT]; /* TCBs found lately, by ports; NULL: none */
};

/* Of IPv4, what is not the same in all: 12 octets of the 36, and as many rounds fewer. */
static inline bool conn_id_is4(const struct conn_id *id)
{
	return cpl_addr_is4(&id->local) && cpl_addr_is4(&id->remote);
}

static inline uint64_t conn_id_addrs4(const struct conn_id *id)
{
	uint32_t local, remote;

	memcpy(&local, id->local.b + 12, sizeof(local));
	memcpy(&remote, id->remote.b + 12, sizeof(remote));
	return (uint64_t)remote << 32 | local;
}

static inline uint32_t conn_id_ports(const struct conn_id *id)
{
	return (uint32_t)id->rport << 16 | id->lport;
}

/* Where in `recent`. */
static inline uint32_t demux_recent(uint32_t ports)
{
	return (ports ^ ports >> 16) % DEMUX_RECENT;
}

/* For the table. */
static inline uint32_t conn_id_hash(const struct product_key *key, const struct conn_id *id)
{
	uint64_t addrs[4];

	if (conn_id_is4(id))
		return product_hash_12(key, conn_id_addrs4(id), conn_id_ports(id));
	memcpy(addrs, id->local.b, 16);
	memcpy(addrs + 2, id->remote.b, 16);
	return product_hash_36(key, addrs, conn_id_ports(id));
}

/* SipHash of ID: 1-3 for what is costly to guess, 2-4 for what nobody may predict. */
static inline uint64_t conn_id_hash13(const struct siphash_key *key, const struct conn_id *id)
{
	return conn_id_is4(id) ? siphash13_12(key, conn_id_addrs4(id), conn_id_ports(id))
			       : siphash13(key, id, sizeof(*id));
}

static inline uint64_t conn_id_hash24(const struct siphash_key *key, const struct conn_id *id)
{
	return conn_id_is4(id) ? siphash24_12(key, conn_id_addrs4(id), conn_id_ports(id))
			       : siphash24(key, id, sizeof(*id));
}

int demux_init(struct tcp *tcp);
void demux_destroy(struct tcp *tcp);
/*
 * Who has ID: a struct tcb, half_open or time_wait; *KIND KIND_NONE: nobody. A connection at rest
 * is not woken: NULL, *KIND is KIND_REST.
 */
void *demux_find(struct tcp *tcp, const struct conn_id *id, enum conn_kind *kind);
/* The same for a segment: it is woken, and NULL with KIND_REST means that there is no memory. */
void *demux_wake(struct tcp *tcp, const struct conn_id *id, enum conn_kind *kind);
uint32_t demux_hash(struct tcp *tcp, const struct conn_id *id);
/* In the chain of HASH, TO takes the place of FROM. */
void demux_replace(struct tcp *tcp, uint32_t hash, uint32_t from, uint32_t to);
/* The same, and TO becomes the first: what is used is found without touching what is not. */
void demux_replace_first(struct tcp *tcp, uint32_t hash, uint32_t from, uint32_t to);
/* NAMED: as port_hold(). */
void demux_add(struct tcp *tcp, const struct conn_id *id, uint32_t ref, bool named);
void demux_del(struct tcp *tcp, const struct conn_id *id, uint32_t ref);
/* TO becomes what ID leads to, instead of FROM: a later state of the same connection. */
void demux_hand_over(struct tcp *tcp, const struct conn_id *id, uint32_t from, uint32_t to);

/*
 * Ahead of a burst, see stack/ahead.c: what is returned was asked for, and is to be looked at
 * after the others of the burst. The head of the chain of the TCP segment with the header at IP,
 * IPv4 without options or IPv6, and these PORTS behind it.
 */
const uint32_t *demux_chain_ahead(struct tcp *tcp, const uint8_t *ip, const uint8_t *ports);
/* What REF, the first of a chain, leads to; NULL: no TCB. */
const struct tcb *demux_first_ahead(struct tcp *tcp, uint32_t ref);
/* What TCB, of the table, leads to. */
void demux_tcb_ahead(struct tcp *tcp, const struct tcb *tcb);
/* Whose timers fire NEXT and AFTER that, which was NEXT's place the last time; NULL: nobody's. */
void demux_fire_ahead(struct tcp *tcp, const struct tcb *next, const struct tcb *after);

/* What comes after REF in the whole table, in no order; REF 0: the first, *BUCKET 0. 0: no more. */
uint32_t demux_next(struct tcp *tcp, uint32_t *bucket, uint32_t ref);

uint32_t tcb_ref(const struct tcp *tcp, const struct tcb *tcb);
uint32_t ref_make(enum conn_kind kind, uint32_t index);
enum conn_kind ref_kind(uint32_t ref);
uint32_t ref_index(uint32_t ref);

#endif
