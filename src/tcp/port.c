/* SPDX-License-Identifier: MIT */
/*
 * Local ports: binding and finding listeners (RFC 9293 3.9.1.1), and choosing ephemeral ports by
 * the double-hash algorithm of RFC 6056 section 3.3.4.
 */
#include "tcp/timewait.h"

#include "wire/steer.h"

static struct list *port_bucket(struct tcp *tcp, uint16_t port)
{
	return &tcp->bound[port % PORT_BUCKETS];
}

/* Do two bindings of one port overlap? All zero: both families; ::ffff:0.0.0.0: all IPv4. */
static bool covers(const struct cpl_addr *own, bool v6only, const struct cpl_addr *addr)
{
	if (cpl_addr_equal(own, addr))
		return true;
	if (!addr_is_any(own))
		return false;
	if (cpl_addr_is4(own))
		return cpl_addr_is4(addr);
	return !cpl_addr_is4(addr) || !v6only;
}

static bool binding_covers(const struct tcb *tcb, const struct cpl_addr *addr)
{
	return covers(&tcb->node.id.local, tcb_has(tcb, TCB_V6ONLY), addr);
}

struct port_claim port_claim_of(const struct tcb *tcb)
{
	return (struct port_claim){ tcb->node.id.local, tcb->node.id.lport,
				    tcb_has(tcb, TCB_V6ONLY), tcb_has(tcb, TCB_REUSEADDR),
				    tcb->reuseport };
}

bool port_claims_meet(const struct port_claim *a, const struct port_claim *b)
{
	return covers(&a->addr, a->v6only, &b->addr) || covers(&b->addr, b->v6only, &a->addr);
}

/* Does another binding than SELF's stand in the way of CLAIM? */
static bool binding_conflicts(struct tcp *tcp, const struct tcb *self,
			      const struct port_claim *claim)
{
	struct list *pos;

	list_for_each (pos, port_bucket(tcp, claim->port)) {
		const struct tcb *other = container_of(pos, struct tcb_bound, link)->tcb;
		struct port_claim has = port_claim_of(other);

		if (other == self || has.port != claim->port || !port_claims_meet(claim, &has))
			continue;
		if (claim->reuseport && has.reuseport)
			continue;
		/* MUST-42: as Linux, REUSEADDR on both lets them share, unless one listens. */
		if (claim->reuseaddr && has.reuseaddr && other->state != CPL_LISTEN)
			continue;
		return true;
	}
	return false;
}

bool port_id_free(struct tcp *tcp, const struct conn_id *id, struct time_wait **tw, uint64_t now)
{
	enum conn_kind kind;
	void *found = demux_find(tcp, id, &kind);

	*tw = NULL;
	if (!found)
		return kind == KIND_NONE;
	if (kind != KIND_TIME_WAIT)
		return false;
	*tw = found;
	return time_wait_may_take(tcp, found, now);
}

/* Of the hash of what answers ID: the part that does not depend on our port. */
static uint32_t answer_hash(const struct tcp *tcp, const struct conn_id *id)
{
	return tcp->config->cores > 1 ? steer_hash2(tcp->config->rss_key, &id->remote, &id->local)
				      : 0;
}

static bool answered_here(const struct tcp *tcp, const struct conn_id *id, uint32_t hash)
{
	const struct cpl_config *c = tcp->config;

	if (c->cores == 1)
		return true;
	hash ^= steer_hash_ports(c->rss_key, cpl_addr_is4(&id->remote), id->rport, id->lport);
	return steer_core(hash, c->cores) == c->core;
}

bool port_is_here(const struct tcp *tcp, const struct conn_id *id)
{
	return answered_here(tcp, id, answer_hash(tcp, id));
}

/*
 * May ID have its port? CLAIM: to be bound; as a last RESORT one that connections have. NULL: a
 * TIME-WAIT, *TW, may have it.
 */
static bool port_fits(struct tcp *tcp, const struct conn_id *id, uint32_t answers,
		      struct port_claim *claim, bool resort, struct time_wait **tw, uint64_t now)
{
	if (!claim)
		return answered_here(tcp, id, answers) && !port_named(tcp, id->lport) &&
		       port_id_free(tcp, id, tw, now) &&
		       !port_listener(tcp, &id->local, id->lport, 0);
	claim->port = id->lport;
	return (resort || !port_held(tcp, claim)) && !binding_conflicts(tcp, NULL, claim);
}

/* Of ID without our port: of many connections to one place, all have the same. */
static uint64_t port_hash(struct tcp *tcp, const struct conn_id *id)
{
	if (memcmp(&tcp->port_hashed, id, sizeof(*id)) != 0 || !tcp->port_hash) {
		tcp->port_hashed = *id;
		tcp->port_hash = conn_id_hash24(&tcp->port_key, id);
	}
	return tcp->port_hash;
}

/* CLAIM: of who is to be bound; NULL: ID is complete but for the port. */
static uint16_t choose(struct tcp *tcp, struct conn_id *id, struct port_claim *claim,
		       struct time_wait **tw, uint64_t now)
{
	uint32_t answers = answer_hash(tcp, id);
	uint32_t first = tcp->config->port_first;
	uint32_t n = tcp->config->port_last - first + 1u;
	uint64_t hash;
	uint32_t offset, *count;

	id->lport = 0;
	hash = port_hash(tcp, id);
	offset = (uint32_t)(hash >> 32);
	count = &tcp->port_table[hash % PORT_TABLE];
	for (uint32_t i = 0; i < (claim ? 2 * n : n); i++) {
		id->lport = (uint16_t)(first + (offset + *count) % n);
		(*count)++;
		if (port_fits(tcp, id, answers, claim, i >= n, tw, now))
			return id->lport;
	}
	id->lport = 0;
	return 0;
}

uint16_t port_choose(struct tcp *tcp, struct conn_id *id, struct time_wait **tw, uint64_t now)
{
	return choose(tcp, id, NULL, tw, now);
}

int port_bind(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *local, uint64_t now)
{
	struct tcb_bound *bound;
	uint16_t port = local->port;
	struct port_claim claim = port_claim_of(tcb);

	claim.addr = local->addr;
	claim.port = port;
	/* MUST-43: an OPEN may name its local address. */
	if (!addr_is_any(&local->addr) && !route_our_addr(tcp->routes, &local->addr, 0))
		return -EADDRNOTAVAIL;
	if (!port) {
		struct conn_id id = { .local = local->addr };

		claim.reuseaddr = claim.reuseport = false; /* one of its own, as Linux */
		port = choose(tcp, &id, &claim, NULL, now);
		if (!port)
			return -EADDRINUSE;
	} else if (binding_conflicts(tcp, tcb, &claim)) { /* MUST-41 */
		return -EADDRINUSE;
	}
	bound = pool_alloc(&tcp->bounds, NULL);
	if (!bound)
		return -ENOBUFS;
	bound->tcb = tcb;
	bound->named = local->port;
	list_push_back(port_bucket(tcp, port), &bound->link);
	tcb->node.id.local = local->addr;
	tcb->node.id.lport = port;
	if (local->ifindex && local->ifindex <= IFACES_MAX)
		tcb->ifindex = (uint8_t)local->ifindex;
	tcb->flags |= TCB_BOUND;
	return 0;
}

bool port_may_listen(struct tcp *tcp, const struct tcb *tcb)
{
	struct list *pos;

	list_for_each (pos, port_bucket(tcp, tcb->node.id.lport)) {
		const struct tcb *other = container_of(pos, struct tcb_bound, link)->tcb;

		if (other != tcb && other->state == CPL_LISTEN &&
		    !(tcb->reuseport && other->reuseport) &&
		    other->node.id.lport == tcb->node.id.lport &&
		    (binding_covers(other, &tcb->node.id.local) ||
		     binding_covers(tcb, &other->node.id.local)))
			return false;
	}
	return true;
}

static void unbind(struct tcp *tcp, struct tcb *tcb, bool named)
{
	struct list *pos, *tmp;

	if (!tcb_has(tcb, TCB_BOUND))
		return;
	list_for_each_safe (pos, tmp, port_bucket(tcp, tcb->node.id.lport)) {
		struct tcb_bound *bound = container_of(pos, struct tcb_bound, link);

		if (bound->tcb != tcb)
			continue;
		if (bound->named && !named)
			return;
		list_del(pos);
		pool_free(&tcp->bounds, bound);
	}
	tcb->flags &= ~TCB_BOUND;
}

void port_unbind(struct tcp *tcp, struct tcb *tcb)
{
	unbind(tcp, tcb, true);
}

void port_over(struct tcp *tcp, struct tcb *tcb)
{
	unbind(tcp, tcb, false);
}

/* A bound address wins over "any" of one family, that over "any"; 0: TCB does not listen there. */
static int listener_rank(const struct tcb *tcb, const struct cpl_addr *addr, uint16_t port,
			 int ifindex)
{
	if (tcb->state != CPL_LISTEN || tcb->node.id.lport != port)
		return 0;
	if (tcb->ifindex && ifindex && tcb->ifindex != ifindex)
		return 0;
	if (!binding_covers(tcb, addr))
		return 0;
	if (!addr_is_any(&tcb->node.id.local))
		return 3;
	return cpl_addr_is4(&tcb->node.id.local) ? 2 : 1;
}

/* The listener for ADDR and PORT: of several with the port in common, the first. */
struct tcb *port_listener(struct tcp *tcp, const struct cpl_addr *addr, uint16_t port, int ifindex)
{
	struct tcb *best = NULL;
	int best_rank = 0;
	struct list *pos;

	list_for_each (pos, port_bucket(tcp, port)) {
		struct tcb *tcb = container_of(pos, struct tcb_bound, link)->tcb;
		int rank = listener_rank(tcb, addr, port, ifindex);

		if (rank > best_rank) {
			best = tcb;
			best_rank = rank;
		}
	}
	return best;
}

/*
 * SO_REUSEPORT: the calls for one port are dealt out by a keyed hash of who calls, so that the same
 * caller finds the same listener for as long as none comes or goes.
 */
struct tcb *port_listener_for(struct tcp *tcp, const struct conn_id *id, int ifindex)
{
	struct tcb *best = port_listener(tcp, &id->local, id->lport, ifindex), *share = NULL;
	uint32_t n = 0, hash = 0;
	struct list *pos;
	int rank;

	if (!best || !best->reuseport)
		return best;
	rank = listener_rank(best, &id->local, id->lport, ifindex);
	for (int pass = 0; pass < 2; pass++) {
		uint32_t i = 0;

		list_for_each (pos, port_bucket(tcp, id->lport)) {
			struct tcb *tcb = container_of(pos, struct tcb_bound, link)->tcb;

			if (!tcb->reuseport ||
			    listener_rank(tcb, &id->local, id->lport, ifindex) != rank)
				continue;
			if (pass && i == hash)
				share = tcb;
			i++;
		}
		n = i;
		hash = pass ? hash : (uint32_t)(conn_id_hash13(&tcp->port_key, id) % n);
	}
	return share;
}
