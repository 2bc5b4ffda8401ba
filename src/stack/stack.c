/* SPDX-License-Identifier: MIT */
/* A stack made and unmade; its interfaces, addresses and routes. */
#include "stack/sockets.h"
#include "stack/stack.h"

#define SLAB (64u * 1024)

void cpl_config_init(struct cpl_config *c)
{
	memset(c, 0, sizeof(*c));
	c->size = sizeof(*c);
	c->memory_max = 256ull << 20;
	c->conns_max = 1000000;
	c->half_open_max = 65536;
	c->time_wait_max = 262144;
	c->neighbours_max = 1024;
	c->neighbour_queue = 128;
	c->reassembly_memory = 4u << 20;
	c->icmp_rate = 1000;
	c->challenge_ack_rate = 1000;
	c->sndbuf = 87380;
	c->sndbuf_max = 4u << 20;
	c->rcvbuf = 131072;
	c->rcvbuf_max = 6u << 20;
	c->rto_initial_ns = CPL_SECOND;
	c->rto_min_ns = 200 * CPL_MS;
	c->rto_max_ns = 120 * CPL_SECOND;
	c->delack_ns = 40 * CPL_MS;	   /* MUST-40: below 0.5 s */
	c->time_wait_ns = 60 * CPL_SECOND; /* MUST-13 */
	c->fin_wait_2_ns = 60 * CPL_SECOND;
	c->r2_ns = 924 * CPL_SECOND;	 /* SHLD-11: at least 100 s */
	c->r2_syn_ns = 190 * CPL_SECOND; /* MUST-23: at least 180 s */
	c->r1_retries = 3;		 /* SHLD-10 */
	c->synack_retries = 5;
	c->keep_idle_ns = 7200 * CPL_SECOND; /* MUST-28 */
	c->keep_interval_ns = 75 * CPL_SECOND;
	c->keep_count = 9;
	c->port_first = 32768;
	c->port_last = 60999;
	c->syncookies = CPL_SYNCOOKIES_WHEN_FULL;
	c->ttl = 64;
	c->timestamps = 1;
	c->sack = 1;
	c->window_scaling = 1;
	c->initial_window = 10;
	memcpy(c->cc_name, "cubic", 6);
	c->ecn = CPL_ECN_PASSIVE;
	c->ecn_option = CPL_ECN_OPTION_FULL;
	c->burst_min = 2;
	c->slow_start_after_idle = 1;
	c->cores = 1;
	for (unsigned i = 0; i < sizeof(c->rss_key); i++)
		c->rss_key[i] = i & 1 ? 0x5a : 0x6d;
	c->quiet_ns = CPL_SECOND;
	c->fastopen = CPL_FASTOPEN_CLIENT;
	c->fastopen_cache = 1024;
	c->notsent_lowat = UINT32_MAX;
	c->fastopen_blackhole_ns = 3600 * CPL_SECOND;
}

static bool terminated(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!text[i])
			return true;
	return false;
}

#define TIME_WAIT_MAX (30 * 60 * CPL_SECOND) /* its records count in microseconds */

static bool config_ok(const struct cpl_config *c)
{
	return c->alloc && c->release && c->conns_max && c->conns_max < 1u << 28 &&
	       c->half_open_max < 1u << 28 && c->time_wait_max < 1u << 28 && c->neighbours_max &&
	       c->sndbuf >= 2048 && c->sndbuf <= c->sndbuf_max && c->sndbuf_max <= 1u << 30 &&
	       c->rcvbuf >= 2048 && c->rcvbuf <= c->rcvbuf_max && c->rcvbuf_max <= 1u << 30 &&
	       c->rto_initial_ns && c->rto_min_ns && c->rto_min_ns <= c->rto_max_ns &&
	       c->delack_ns < CPL_SECOND / 2 && c->port_first && c->port_first <= c->port_last &&
	       c->syncookies <= CPL_SYNCOOKIES_ALWAYS && c->ttl && c->initial_window &&
	       c->ecn <= CPL_ECN_ACCURATE_PASSIVE && c->ecn_option <= CPL_ECN_OPTION_FULL &&
	       c->notsent_lowat && c->fastopen_cache <= 8192 && c->fastopen_keys <= 2 &&
	       c->fastopen_blackhole_ns < UINT64_MAX >> 6 && c->synack_retries < 16 &&
	       c->time_wait_ns <= TIME_WAIT_MAX && c->quiet_ns && c->quiet_ns < UINT64_MAX / 4 &&
	       c->burst_min && c->burst_min < 65536 && c->keep_idle_ns && c->keep_interval_ns &&
	       c->keep_count && c->core < c->cores && terminated(c->cc_name, sizeof(c->cc_name)) &&
	       cc_find(c->cc_name);
}

/* Take what the caller knows of the struct; what is newer keeps its default. */
static int config_copy(struct cpl_config *to, const struct cpl_config *from)
{
	if (!from || from->size < offsetof(struct cpl_config, cc_name) + 16 ||
	    from->size > sizeof(*to))
		return -EINVAL;
	cpl_config_init(to);
	memcpy(to, from, from->size);
	to->size = sizeof(*to);
	return config_ok(to) ? 0 : -EINVAL;
}

static void seed_from_secret(struct cpl_stack *s)
{
	struct siphash_key root;
	uint8_t text[17];

	memcpy(&root, s->config.secret, sizeof(root));
	memcpy(text, s->config.secret + 16, 16);
	text[16] = 0xff;
	prng_seed(&s->prng, siphash24(&root, text, sizeof(text)));
	s->key.k[0] = prng_u64(&s->prng);
	s->key.k[1] = prng_u64(&s->prng);
}

static int parts_init(struct cpl_stack *s, uint64_t now)
{
	const struct cpl_config *c = &s->config;
	int err;

	chunk_mem_init(&s->chunks, &s->mem);
	route_init(&s->routes, &s->mem);
	pool_init(&s->frames, &s->mem, sizeof(struct frame), 8, 65536, SLAB);
	pool_init(&s->dads, &s->mem, sizeof(struct dad), 8, 1024, SLAB / 16);
	pool_init(&s->udp_sockets, &s->mem, sizeof(struct udp_socket), 8, 65536, SLAB / 8);
	pool_init(&s->udp_reports, &s->mem, sizeof(struct udp_report), 8, 4096, SLAB / 8);
	pool_init(&s->datagrams, &s->mem, sizeof(struct udp_datagram), 8, 1u << 20, SLAB / 8);
	for (unsigned i = 0; i < UDP_BUCKETS; i++)
		list_init(&s->udp_ports[i]);
	list_init(&s->udp_events);
	list_init(&s->loop);
	list_init(&s->dad_list);
	for (unsigned i = 0; i <= IFACES_MAX; i++)
		list_init(&s->ifaces[i].txq);
	s->tcp.config = c;
	s->tcp.counters = &s->counters;
	s->tcp.trace = &s->trace;
	s->tcp.mem = &s->mem;
	s->tcp.chunks = &s->chunks;
	s->tcp.routes = &s->routes;
	s->tcp.pmtu = &s->pmtu;
	s->tcp.neigh = &s->neigh;
	s->tcp.prng = &s->prng;
	err = trace_ring_init(&s->trace, &s->mem, c->trace_records);
	err = err ? err
		  : neigh_init(&s->neigh, &s->mem, &s->key, &s->prng, c->neighbours_max,
			       c->neighbour_queue);
	err = err ? err
		  : reasm_init(&s->reasm, &s->mem, &s->key, c->reassembly_memory,
			       c->reassembly_time_ns);
	err = err ? err : pmtu_init(&s->pmtu, &s->mem, &s->key, 4096);
	err = err ? err : tcp_init(&s->tcp, now);
	s->scratch = mem_alloc(&s->mem, 2 * SCRATCH);
	return err ? err : s->scratch ? 0 : -ENOMEM;
}

int cpl_stack_new(cpl_stack **stack, const struct cpl_config *config, uint64_t now)
{
	struct cpl_config c;
	struct cpl_stack *s;
	int err = config_copy(&c, config);

	if (err)
		return err;
	s = c.memory_max > sizeof(*s) ? c.alloc(c.alloc_ctx, sizeof(*s)) : NULL;
	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	s->config = c;
	s->mem = (struct mem){ c.alloc,	     c.release,	 c.alloc_ctx,
			       c.memory_max, sizeof(*s), c.memory_shared };
	s->sum = sum_best();
	s->sum_copy = sum_copy_best();
	seed_from_secret(s);
	err = parts_init(s, now);
	if (err) {
		cpl_stack_free(s);
		return err;
	}
	*stack = s;
	return 0;
}

void stack_set_code(struct cpl_stack *s, const struct stack_code *code)
{
	s->config.alloc = s->mem.alloc = code->alloc;
	s->config.release = s->mem.release = code->release;
	s->config.alloc_ctx = s->mem.ctx = code->ctx;
	s->sum = code->sum;
	s->sum_copy = code->sum_copy;
}

void cpl_stack_settings(cpl_stack *s, struct cpl_config *config)
{
	*config = s->config;
}

int cpl_stack_configure(cpl_stack *s, const struct cpl_config *config, uint64_t now)
{
	const struct cpl_config was = s->config;
	struct cpl_config c;
	int err = config_copy(&c, config);

	(void)now;
	if (err)
		return err;
	c.alloc = was.alloc;
	c.release = was.release;
	c.alloc_ctx = was.alloc_ctx;
	c.memory_shared = was.memory_shared;
	memcpy(c.secret, was.secret, sizeof(c.secret));
	c.memory_max = was.memory_max;
	c.conns_max = was.conns_max;
	c.half_open_max = was.half_open_max;
	c.time_wait_max = was.time_wait_max;
	c.peer_conns_max = was.peer_conns_max;
	c.neighbours_max = was.neighbours_max;
	c.neighbour_queue = was.neighbour_queue;
	c.reassembly_memory = was.reassembly_memory;
	c.reassembly_time_ns = was.reassembly_time_ns;
	c.trace_records = was.trace_records;
	c.core = was.core;
	c.cores = was.cores;
	memcpy(c.rss_key, was.rss_key, sizeof(c.rss_key));
	s->config = c;
	tcp_configure(&s->tcp);
	return 0;
}

void cpl_stack_free(cpl_stack *s)
{
	struct cpl_config c;

	if (!s)
		return;
	c = s->config;
	tcp_destroy(&s->tcp);
	pool_destroy(&s->frames);
	pool_destroy(&s->dads);
	pool_destroy(&s->udp_sockets);
	pool_destroy(&s->datagrams);
	pool_destroy(&s->udp_reports);
	neigh_destroy(&s->neigh);
	reasm_destroy(&s->reasm);
	pmtu_destroy(&s->pmtu);
	route_destroy(&s->routes);
	trace_ring_destroy(&s->trace, &s->mem);
	chunk_mem_destroy(&s->chunks);
	mem_release(&s->mem, s->scratch, 2 * SCRATCH);
	c.release(c.alloc_ctx, s, sizeof(*s));
}

/* ---- interfaces ---- */

static bool iface_ok(const struct cpl_iface_config *c)
{
	return c->kind <= CPL_IFACE_ETHER && c->mtu >= 576 && c->mtu <= 65535 &&
	       terminated(c->name, sizeof(c->name)) &&
	       (c->kind != CPL_IFACE_ETHER || !ether_is_group(c->mac)) &&
	       (!(c->flags & (CPL_IFACE_GSO4 | CPL_IFACE_GSO6)) || c->flags & CPL_IFACE_CSUM_OUT);
}

static void iface_to_tcp(struct cpl_stack *s, int i)
{
	const struct cpl_iface_config *c = &s->ifaces[i].config;
	struct tcp_iface *t = &s->tcp.ifaces[i];

	t->mtu = c->mtu;
	t->gso_max = c->gso_max > 65535 - 120 ? 65535 - 120 : c->gso_max;
	t->gso4 = c->flags & CPL_IFACE_GSO4;
	t->gso6 = c->flags & CPL_IFACE_GSO6;
	t->up = s->ifaces[i].up;
}

/* RFC 4291 appendix A: modified EUI-64. */
static struct cpl_addr link_local(const uint8_t mac[6])
{
	struct cpl_addr a = { { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff,
				0xfe, mac[3], mac[4], mac[5] } };

	return a;
}

int cpl_iface_add(cpl_stack *s, const struct cpl_iface_config *config, uint64_t now)
{
	struct cpl_addr own;
	int i = 1;

	if (!config || config->size != sizeof(*config) || !iface_ok(config))
		return -EINVAL;
	while (i <= IFACES_MAX && s->ifaces[i].used)
		i++;
	if (i > IFACES_MAX)
		return -ENOSPC;
	s->ifaces[i].config = *config;
	s->ifaces[i].used = true;
	s->ifaces[i].up = true;
	route_set_up(&s->routes, i, true);
	iface_to_tcp(s, i);
	if (config->kind == CPL_IFACE_ETHER && config->mtu >= IPV6_MTU_MIN) {
		own = link_local(config->mac);
		cpl_addr_add(s, i, &own, 64, now);
	}
	return i;
}

static struct iface *iface_get(struct cpl_stack *s, int i)
{
	return i >= 1 && i <= IFACES_MAX && s->ifaces[i].used ? &s->ifaces[i] : NULL;
}

static bool has_ipv6(const struct cpl_stack *s, int i)
{
	for (uint32_t n = 0; n < s->routes.addrs_n; n++)
		if (s->routes.addrs[n].ifindex == i && !cpl_addr_is4(&s->routes.addrs[n].addr))
			return true;
	return false;
}

int cpl_iface_set_mtu(cpl_stack *s, int i, uint32_t mtu, uint64_t now)
{
	struct iface *iface = iface_get(s, i);

	(void)now;
	if (!iface || mtu < 576 || mtu > 65535 || (mtu < IPV6_MTU_MIN && has_ipv6(s, i)))
		return -EINVAL;
	iface->config.mtu = mtu;
	iface_to_tcp(s, i);
	s->routes.generation++; /* what dst.c remembers of paths is over */
	return 0;
}

int cpl_iface_set_up(cpl_stack *s, int i, int up, uint64_t now)
{
	struct iface *iface = iface_get(s, i);

	if (!iface)
		return -EINVAL;
	iface->up = up;
	route_set_up(&s->routes, i, up);
	iface_to_tcp(s, i);
	if (!up) {
		neigh_flush_iface(&s->neigh, i);
		output_flush(s, i, now);
	}
	output_run(s, now);
	return 0;
}

int cpl_addr_add(cpl_stack *s, int i, const struct cpl_addr *addr, unsigned prefix_len,
		 uint64_t now)
{
	struct iface *iface = iface_get(s, i);
	bool detect;
	int err;

	if (!iface || !addr_is_source(addr) ||
	    (!cpl_addr_is4(addr) && iface->config.mtu < IPV6_MTU_MIN))
		return -EINVAL;
	detect = iface->config.kind == CPL_IFACE_ETHER && !cpl_addr_is4(addr) &&
		 !(iface->config.flags & CPL_IFACE_NO_DAD);
	err = route_addr_add(&s->routes, i, addr, prefix_len, detect);
	if (!err && detect && (err = dad_start(s, i, addr, now)) != 0)
		route_addr_del(&s->routes, i, addr);
	return err;
}

int cpl_addr_del(cpl_stack *s, int i, const struct cpl_addr *addr, uint64_t now)
{
	(void)now;
	if (!iface_get(s, i))
		return -EINVAL;
	dad_stop(s, i, addr);
	return route_addr_del(&s->routes, i, addr);
}

int cpl_route_add(cpl_stack *s, const struct cpl_addr *prefix, unsigned prefix_len,
		  const struct cpl_addr *gateway, int ifindex, uint32_t metric, uint64_t now)
{
	(void)now;
	if (!iface_get(s, ifindex))
		return -EINVAL;
	return route_add(&s->routes, prefix, prefix_len, gateway, ifindex, metric);
}

int cpl_route_del(cpl_stack *s, const struct cpl_addr *prefix, unsigned prefix_len,
		  const struct cpl_addr *gateway, int ifindex, uint64_t now)
{
	(void)now;
	return route_del(&s->routes, prefix, prefix_len, gateway, ifindex);
}
