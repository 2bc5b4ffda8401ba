/* SPDX-License-Identifier: MIT */
/*
 * Connections at rest: TCBs that were packed into less memory while nothing happens to them. See
 * rest.c for when, pack.c for how.
 */
#ifndef TCP_REST_H
#define TCP_REST_H

#include "tcp/tcp.h"

/* ---- pack.c ---- */

#define TCB_PACKED_MAX (sizeof(struct tcb) / 64 * 72 + 80) /* of which no byte is 0 */

/*
 * What TCB holds, as bytes; returns how many. Not what belongs to its place in memory: links, its
 * slot, its timer's node.
 */
size_t tcb_pack(const struct tcb *blank, const struct tcb *tcb, uint8_t out[TCB_PACKED_MAX]);
/* TCB as it was packed, on no list, without slot and timer. */
void tcb_unpack(const struct tcb *blank, const uint8_t *bytes, struct tcb *tcb);
/* Its addresses and ports alone. */
void tcb_unpack_id(const struct tcb *blank, const uint8_t *bytes, struct conn_id *id);

/* ---- rest.c ---- */

/* What every TCB is compared with. */
void rest_init(struct tcp *tcp, uint64_t now);
struct tcb_rest *rest_at(struct tcp *tcp, uint32_t ref);
/* Nothing is in flight, queued, owed or to be told; only a slow timer runs. */
bool tcb_may_rest(const struct tcb *tcb);
/* TCB is packed, and gone. False: no memory, or not worth it. */
bool tcb_rest(struct tcp *tcp, struct tcb *tcb);
/* The connection at REF is a TCB again. NULL: no memory. */
struct tcb *tcb_wake(struct tcp *tcp, uint32_t ref);
/* A copy of what is at rest in SLOT. */
void tcb_peek(struct tcp *tcp, const struct conn_slot *slot, struct tcb *tcb);

#endif
