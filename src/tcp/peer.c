/* SPDX-License-Identifier: MIT */
/*
 * How many connections each peer has opened, where config.peer_conns_max limits that. A peer is an
 * IPv4 address, or the /64 of an IPv6 one: who has one address of it has them all (RFC 4291 2.5.4).
 * What counts has completed a handshake: nobody else can use up a peer's share by forged SYNs.
 * Without a limit there is no table.
 */
#include "tcp/peer.h"

#define HEADS_MAX (POOL_SLAB_MAX / 4u)
#define PER_HEAD  4u /* connections, of as many peers */

struct peer {
	struct cpl_addr addr;
	uint32_t next; /* index, or POOL_NONE */
	uint32_t conns;
};

int peers_init(struct tcp *tcp)
{
	const struct cpl_config *cfg = tcp->config;
	struct peers *p = &tcp->peers;
	uint32_t n = 64;

	pool_init(&p->pool, tcp->mem, sizeof(struct peer), 8, cfg->conns_max, 16384);
	if (!cfg->peer_conns_max)
		return 0;
	while (n < cfg->conns_max / PER_HEAD && n < HEADS_MAX)
		n *= 2;
	p->heads = mem_alloc(tcp->mem, n * sizeof(*p->heads));
	if (!p->heads)
		return -ENOMEM;
	memset(p->heads, 0xff, n * sizeof(*p->heads));
	p->mask = n - 1;
	return 0;
}

void peers_destroy(struct tcp *tcp)
{
	struct peers *p = &tcp->peers;

	if (p->heads)
		mem_release(tcp->mem, p->heads, (p->mask + 1) * sizeof(*p->heads));
	p->heads = NULL;
	pool_destroy(&p->pool);
}

static struct cpl_addr prefix_of(const struct cpl_addr *addr)
{
	struct cpl_addr a = *addr;

	if (!cpl_addr_is4(addr))
		memset(a.b + 8, 0, 8);
	return a;
}

/* The link to PREFIX's entry, or to the end of its chain. */
static uint32_t *peer_link(struct tcp *tcp, const struct cpl_addr *prefix)
{
	struct peers *p = &tcp->peers;
	uint32_t *link = &p->heads[siphash13(&tcp->demux.key, prefix, sizeof(*prefix)) & p->mask];

	while (*link != POOL_NONE) {
		struct peer *peer = pool_get(&p->pool, *link);

		if (cpl_addr_equal(&peer->addr, prefix))
			break;
		link = &peer->next;
	}
	return link;
}

bool peer_full(struct tcp *tcp, const struct cpl_addr *addr)
{
	struct cpl_addr prefix = prefix_of(addr);
	uint32_t i;

	if (!tcp->peers.heads)
		return false;
	i = *peer_link(tcp, &prefix);
	return i != POOL_NONE &&
	       ((struct peer *)pool_get(&tcp->peers.pool, i))->conns >= tcp->config->peer_conns_max;
}

void peer_add(struct tcp *tcp, const struct cpl_addr *addr)
{
	struct cpl_addr prefix = prefix_of(addr);
	struct peer *peer;
	uint32_t *link;

	if (!tcp->peers.heads)
		return;
	link = peer_link(tcp, &prefix);
	if (*link == POOL_NONE) {
		uint32_t i;

		peer = pool_alloc(&tcp->peers.pool, &i);
		if (!peer)
			return; /* it goes uncounted */
		*peer = (struct peer){ .addr = prefix, .next = POOL_NONE };
		*link = i;
	}
	peer = pool_get(&tcp->peers.pool, *link);
	peer->conns++;
}

void peer_del(struct tcp *tcp, const struct cpl_addr *addr)
{
	struct cpl_addr prefix = prefix_of(addr);
	struct peer *peer;
	uint32_t *link;

	if (!tcp->peers.heads)
		return;
	link = peer_link(tcp, &prefix);
	if (*link == POOL_NONE)
		return;
	peer = pool_get(&tcp->peers.pool, *link);
	if (--peer->conns)
		return;
	*link = peer->next;
	pool_free(&tcp->peers.pool, peer);
}
