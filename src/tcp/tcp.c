/* SPDX-License-Identifier: MIT */
/* The tables of one stack's TCP, made and unmade; its events. */
#include "tcp/fast.h"
#include "tcp/peer.h"
#include "tcp/rest.h"

#define SLAB (64u * 1024)

/*
 * Keys are SipHash outputs of the embedder's secret: knowing one, or what the generator says
 * elsewhere, tells nothing of the others.
 */
static void keys_init(struct tcp *tcp)
{
	const uint8_t *secret = tcp->config->secret;
	struct siphash_key root;
	struct siphash_key *keys[] = { &tcp->isn_key,	     &tcp->ts_key,	  &tcp->port_key,
				       &tcp->cookie_key[0],  &tcp->cookie_key[1], &tcp->demux.key,
				       &tcp->fastopen.key[0] };

	memcpy(&root, secret, sizeof(root));
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint8_t text[18];

		memcpy(text, secret + 16, 16);
		text[16] = (uint8_t)i;
		for (unsigned j = 0; j < 2; j++) {
			text[17] = (uint8_t)j;
			keys[i]->k[j] = siphash24(&root, text, sizeof(text));
		}
	}
}

static void fastopen_init(struct tcp *tcp)
{
	const struct cpl_config *cfg = tcp->config;
	struct fastopen *f = &tcp->fastopen;

	for (unsigned i = 0; i < cfg->fastopen_keys; i++)
		fastopen_set_key(&f->key[i], cfg->fastopen_key[i]);
	f->keys_n = cfg->fastopen_keys ? cfg->fastopen_keys : 1;
	fastopen_cache_init(&f->cache, tcp->mem, &tcp->demux.key, cfg->fastopen_cache);
	pool_init(&f->pending, tcp->mem, sizeof(struct fastopen_pending), 8, 65536, SLAB / 16);
}

/*
 * Of as many objects as the config says: where they are millions, in larger slabs. What fills whole
 * cache lines has them for itself.
 */
static void conns_pool(struct tcp *tcp, struct pool *pool, uint32_t size, uint32_t limit,
		       uint32_t slab_size)
{
	pool_init(pool, tcp->mem, size, size % 64 ? 8 : 64, limit,
		  pool_slab_size(size, limit, slab_size));
}

void tcp_configure(struct tcp *tcp)
{
	const struct cpl_config *cfg = tcp->config;
	const struct cc_ops *cc = cc_find(cfg->cc_name);
	unsigned i = 0;

	tcp->rto = (struct rtt_limits){ cfg->rto_initial_ns, cfg->rto_min_ns, cfg->rto_max_ns };
	while (cc_at(i) && cc_at(i) != cc)
		i++;
	tcp->cc_id = (uint8_t)i;
}

int tcp_init(struct tcp *tcp, uint64_t now)
{
	const struct cpl_config *cfg = tcp->config;
	struct mem *mem = tcp->mem;

	keys_init(tcp);
	tcp_configure(tcp);
	for (unsigned i = 0; i < PORT_TABLE; i++)
		tcp->port_table[i] = (uint32_t)prng_u64(tcp->prng);
	conns_pool(tcp, &tcp->slots, sizeof(struct conn_slot), cfg->conns_max, SLAB);
	conns_pool(tcp, &tcp->tcbs, sizeof(struct tcb), cfg->conns_max, SLAB);
	for (uint32_t i = 0; i < REST_CLASSES; i++)
		conns_pool(tcp, &tcp->rests[i], (i + 1) * REST_STEP,
			   cfg->conns_max < REST_MAX ? cfg->conns_max : REST_MAX, SLAB);
	conns_pool(tcp, &tcp->rest_timers, sizeof(struct rest_timer), cfg->conns_max, SLAB / 4);
	conns_pool(tcp, &tcp->ios, sizeof(struct tcb_io), cfg->conns_max, SLAB);
	conns_pool(tcp, &tcp->colds, sizeof(struct tcb_cold), cfg->conns_max, SLAB / 4);
	conns_pool(tcp, &tcp->accecns, sizeof(struct accecn), cfg->conns_max, SLAB / 4);
	conns_pool(tcp, &tcp->halves, sizeof(struct half_open), cfg->half_open_max, SLAB);
	conns_pool(tcp, &tcp->time_waits, sizeof(struct time_wait), cfg->time_wait_max, SLAB);
	pool_init(&tcp->listeners, mem, sizeof(struct listener), 8, 65536, SLAB / 8);
	pool_init(&tcp->time_wait_addrs, mem, sizeof(struct time_wait_addr), 8, cfg->time_wait_max,
		  SLAB / 16);
	pool_init(&tcp->sents, mem, sizeof(struct sent), 8, UINT32_MAX >> 3, SLAB);
	pool_init(&tcp->oranges, mem, sizeof(struct ooo_range), 8, UINT32_MAX >> 3, SLAB / 4);
	pool_init(&tcp->replies, mem, sizeof(struct tcp_reply), 8, 65536, SLAB / 4);
	pool_init(&tcp->bounds, mem, sizeof(struct tcb_bound), 8, 65536 * 4, SLAB / 16);
	for (unsigned i = 0; i < PORT_BUCKETS; i++)
		list_init(&tcp->bound[i]);
	for (unsigned i = 0; i <= IFACES_MAX; i++)
		list_init(&tcp->ifaces[i].ready);
	half_init(tcp);
	tcp->time_wait_oldest = tcp->time_wait_youngest = POOL_NONE;
	tcp->time_wait_local = POOL_NONE;
	for (unsigned i = 0; i < TIME_WAIT_CHAINS; i++)
		tcp->time_wait_chains[i] = POOL_NONE;
	list_init(&tcp->events);
	list_init(&tcp->reply_queue);
	wheel_init(&tcp->wheel, now);
	rest_init(tcp, now);
	fastopen_init(tcp);
	return demux_init(tcp) || peers_init(tcp) ? -ENOMEM : 0;
}

void tcp_destroy(struct tcp *tcp)
{
	struct pool *pools[] = { &tcp->slots,		&tcp->tcbs,
				 &tcp->rest_timers,	&tcp->ios,
				 &tcp->colds,		&tcp->listeners,
				 &tcp->halves,		&tcp->sents,
				 &tcp->oranges,		&tcp->time_waits,
				 &tcp->time_wait_addrs, &tcp->replies,
				 &tcp->bounds,		&tcp->fastopen.pending,
				 &tcp->accecns };

	demux_destroy(tcp);
	ports_destroy(tcp);
	peers_destroy(tcp);
	fastopen_cache_destroy(&tcp->fastopen.cache);
	for (unsigned i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
		pool_destroy(pools[i]);
	for (unsigned i = 0; i < REST_CLASSES; i++)
		pool_destroy(&tcp->rests[i]);
}

static void event_of_half(struct tcp *tcp, const struct half_open *half, struct cpl_event *event)
{
	const struct tcb *listener = half_listener(tcp, half);

	memset(event, 0, sizeof(*event));
	event->handle = half_handle(tcp, half);
	event->what = CPL_EV_SYN;
	event->parent = tcb_handle(tcp, listener);
	event->user = listener->user;
}

bool tcp_next_event(struct tcp *tcp, struct cpl_event *event)
{
	const struct half_open *half = half_next_event(tcp);
	struct tcb *tcb;

	if (half) {
		event_of_half(tcp, half, event);
		return true;
	}
	if (list_empty(&tcp->events))
		return false;
	tcb = list_first(&tcp->events, struct tcb, event);
	list_del(&tcb->event);
	fast_meet(tcp, tcb); /* it will be called for what it tells */
	memset(event, 0, sizeof(*event));
	event->handle = tcb_handle(tcp, tcb);
	event->user = tcb->user;
	event->what = tcb->events;
	if (tcb->events & CPL_EV_CLOSED)
		event->error = tcb->error;
	else if (tcb->events & CPL_EV_SOFT)
		event->error = tcb->soft_error ? tcb->soft_error : ETIMEDOUT; /* R1 */
	tcb->events = 0;
	return true;
}

struct tcb *tcp_next_ready(struct tcp *tcp, int ifindex)
{
	struct list *ready = &tcp->ifaces[ifindex].ready;

	return list_empty(ready) ? NULL : list_first(ready, struct tcb, ready);
}
