/* SPDX-License-Identifier: MIT */
/*
 * Our addresses and routes (RFC 1122 3.3.1, RFC 6724), as route.h says.
 */
#include "ip/route.h"

#include <errno.h>
#include <string.h>

#include "wire/ip.h"

#define TABLE_BYTES_MAX (1u << 20) /* one slab, see cpl_config.alloc */
#define MAPPED_BITS	96

enum scope { /* RFC 4291 2.7, RFC 6724 3.1 and 3.2 */
	SCOPE_LINK = 2,
	SCOPE_SITE = 5,
	SCOPE_GLOBAL = 14,
};

void route_init(struct route_table *t, struct mem *mem)
{
	memset(t, 0, sizeof(*t));
	t->mem = mem;
}

void route_destroy(struct route_table *t)
{
	mem_release(t->mem, t->addrs, t->addrs_cap * sizeof(*t->addrs));
	mem_release(t->mem, t->routes, t->routes_cap * sizeof(*t->routes));
	memset(t, 0, sizeof(*t));
}

/* Room for one more element of SIZE bytes in *ARRAY. */
static int grow(struct mem *mem, void **array, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t new_cap = *cap ? *cap * 2 : 8;
	void *p;

	if (n < *cap)
		return 0;
	if (new_cap * size > TABLE_BYTES_MAX)
		return -ENOMEM;
	p = mem_alloc(mem, new_cap * size);
	if (!p)
		return -ENOMEM;
	if (n)
		memcpy(p, *array, n * size);
	mem_release(mem, *array, *cap * size);
	*array = p;
	*cap = new_cap;
	return 0;
}

static bool ifindex_ok(int ifindex)
{
	return ifindex >= 1 && ifindex <= IFACES_MAX;
}

static bool is_up(const struct route_table *t, int ifindex)
{
	return t->up >> (ifindex - 1) & 1;
}

static unsigned family_bits(const struct cpl_addr *addr)
{
	return cpl_addr_is4(addr) ? 32 : 128;
}

/* A prefix length of the family as one of the mapped form. */
static unsigned mapped_len(const struct cpl_addr *prefix, unsigned prefix_len)
{
	return cpl_addr_is4(prefix) ? MAPPED_BITS + prefix_len : prefix_len;
}

/* Eight octets of an address, the first of them the highest. */
static uint64_t half(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static unsigned common_bits(const struct cpl_addr *a, const struct cpl_addr *b)
{
	uint64_t high = half(a->b) ^ half(b->b), low = half(a->b + 8) ^ half(b->b + 8);

	if (high)
		return (unsigned)__builtin_clzll(high);
	return low ? 64 + (unsigned)__builtin_clzll(low) : 128;
}

static struct cpl_addr masked(const struct cpl_addr *addr, unsigned bits)
{
	struct cpl_addr r = *addr;

	for (unsigned i = 0; i < 16; i++) {
		if (bits >= i * 8 + 8)
			continue;
		r.b[i] &= bits > i * 8 ? (uint8_t)(0xff00u >> (bits - i * 8)) : 0;
	}
	return r;
}

/* The directed broadcast address of an IPv4 subnet; subnets of 31 bits and more have none (RFC
 * 3021). */
static bool subnet_broadcast(const struct cpl_addr *addr, unsigned prefix_len, struct cpl_addr *out)
{
	if (!cpl_addr_is4(addr) || prefix_len > 30)
		return false;
	*out = masked(addr, MAPPED_BITS + prefix_len);
	for (unsigned bit = prefix_len; bit < 32; bit++)
		out->b[12 + bit / 8] |= (uint8_t)(0x80u >> bit % 8);
	return true;
}

/* ---- Addresses ------------------------------------------------------------------------------ */

static bool addr_may_be_ours(const struct cpl_addr *addr, unsigned prefix_len)
{
	struct cpl_addr broadcast;

	if (addr_is_any(addr) || addr_is_multicast(addr) || addr_is_broadcast(addr))
		return false;
	return !subnet_broadcast(addr, prefix_len, &broadcast) || !cpl_addr_equal(addr, &broadcast);
}

static bool same_subnet(const struct ip_address *a, const struct ip_address *b)
{
	unsigned bits = mapped_len(&a->addr, a->prefix_len);

	return a->ifindex == b->ifindex && a->prefix_len == b->prefix_len &&
	       family_bits(&a->addr) == family_bits(&b->addr) &&
	       common_bits(&a->addr, &b->addr) >= bits;
}

static struct ip_route *route_find(const struct route_table *t, const struct ip_route *like)
{
	for (uint32_t i = 0; i < t->routes_n; i++) {
		struct ip_route *r = &t->routes[i];

		if (r->prefix_len == like->prefix_len && r->ifindex == like->ifindex &&
		    cpl_addr_equal(&r->prefix, &like->prefix) &&
		    cpl_addr_equal(&r->gateway, &like->gateway))
			return r;
	}
	return NULL;
}

static int route_insert(struct route_table *t, const struct ip_route *route)
{
	uint32_t at = 0;
	void *array = t->routes;
	int err;

	if (route_find(t, route))
		return -EEXIST;
	err = grow(t->mem, &array, t->routes_n, &t->routes_cap, sizeof(*t->routes));
	if (err)
		return err;
	t->routes = array;
	while (at < t->routes_n && (t->routes[at].prefix_len > route->prefix_len ||
				    (t->routes[at].prefix_len == route->prefix_len &&
				     t->routes[at].metric <= route->metric)))
		at++;
	memmove(t->routes + at + 1, t->routes + at, (t->routes_n - at) * sizeof(*t->routes));
	t->routes[at] = *route;
	t->routes_n++;
	t->generation++;
	return 0;
}

static void route_remove(struct route_table *t, struct ip_route *route)
{
	uint32_t at = (uint32_t)(route - t->routes);

	t->routes_n--;
	memmove(route, route + 1, (t->routes_n - at) * sizeof(*route));
	t->generation++;
}

static struct ip_route connected_route(const struct ip_address *a)
{
	unsigned bits = mapped_len(&a->addr, a->prefix_len);

	return (struct ip_route){
		.prefix = masked(&a->addr, bits),
		.prefix_len = (uint8_t)bits,
		.ifindex = a->ifindex,
		.connected = true,
	};
}

/* The entry of exactly ADDR. */
static struct ip_address *own_addr(const struct route_table *t, const struct cpl_addr *addr,
				   int ifindex)
{
	for (uint32_t n = 0; n < t->addrs_n; n++) {
		struct ip_address *a = &t->addrs[n];

		if ((!ifindex || a->ifindex == ifindex) && cpl_addr_equal(&a->addr, addr))
			return a;
	}
	return NULL;
}

int route_addr_add(struct route_table *t, int ifindex, const struct cpl_addr *addr,
		   unsigned prefix_len, bool tentative)
{
	struct ip_address a = { .addr = *addr, .tentative = tentative };
	struct ip_route connected;
	void *array = t->addrs;
	int err;

	if (!ifindex_ok(ifindex) || prefix_len > family_bits(addr) ||
	    !addr_may_be_ours(addr, prefix_len))
		return -EINVAL;
	if (own_addr(t, addr, ifindex))
		return -EEXIST;
	a.prefix_len = (uint8_t)prefix_len;
	a.ifindex = (uint8_t)ifindex;
	a.broadcasts = subnet_broadcast(addr, prefix_len, &a.broadcast);
	err = grow(t->mem, &array, t->addrs_n, &t->addrs_cap, sizeof(*t->addrs));
	if (err)
		return err;
	t->addrs = array;
	connected = connected_route(&a);
	err = route_insert(t, &connected);
	if (err && err != -EEXIST)
		return err;
	t->addrs[t->addrs_n++] = a;
	t->generation++;
	return 0;
}

int route_addr_del(struct route_table *t, int ifindex, const struct cpl_addr *addr)
{
	struct ip_address *a = ifindex_ok(ifindex) ? own_addr(t, addr, ifindex) : NULL;
	struct ip_route connected, *r;
	struct ip_address gone;
	uint32_t at;

	if (!a)
		return -ESRCH;
	gone = *a;
	at = (uint32_t)(a - t->addrs);
	t->addrs_n--;
	/* In order: the first address of an interface is its primary one. */
	memmove(a, a + 1, (t->addrs_n - at) * sizeof(*a));
	t->generation++;
	for (uint32_t i = 0; i < t->addrs_n; i++)
		if (same_subnet(&t->addrs[i], &gone))
			return 0;
	connected = connected_route(&gone);
	r = route_find(t, &connected);
	if (r && r->connected)
		route_remove(t, r);
	return 0;
}

void route_addr_ready(struct route_table *t, struct ip_address *a)
{
	a->tentative = false;
	t->generation++;
}

/* RFC 1122 3.2.1.3 (g): all of 127/8 is this host, where any of it is. */
static bool covers(const struct ip_address *ours, const struct cpl_addr *addr)
{
	return cpl_addr_is4(addr) && addr_is_loopback(addr) &&
	       addr_in_prefix(addr, &ours->addr, ours->prefix_len);
}

struct ip_address *route_our_addr(const struct route_table *t, const struct cpl_addr *addr,
				  int ifindex)
{
	struct ip_address *found = own_addr(t, addr, ifindex);

	for (uint32_t i = 0; !found && i < t->addrs_n; i++) {
		struct ip_address *a = &t->addrs[i];

		if ((!ifindex || a->ifindex == ifindex) && covers(a, addr))
			found = a;
	}
	return found;
}

bool route_is_broadcast(const struct route_table *t, const struct cpl_addr *addr)
{
	if (!cpl_addr_is4(addr))
		return false;
	if (addr_is_broadcast(addr))
		return true;
	for (uint32_t i = 0; i < t->addrs_n; i++)
		if (t->addrs[i].broadcasts && cpl_addr_equal(&t->addrs[i].broadcast, addr))
			return true;
	return false;
}

/* ---- Routes --------------------------------------------------------------------------------- */

static int route_make(struct ip_route *route, const struct cpl_addr *prefix, unsigned prefix_len,
		      const struct cpl_addr *gateway, int ifindex)
{
	unsigned bits = mapped_len(prefix, prefix_len);

	if (!ifindex_ok(ifindex) || prefix_len > family_bits(prefix))
		return -EINVAL;
	*route = (struct ip_route){
		.prefix = masked(prefix, bits),
		.prefix_len = (uint8_t)bits,
		.ifindex = (uint8_t)ifindex,
	};
	if (!gateway || addr_is_any(gateway))
		return 0;
	if (cpl_addr_is4(gateway) != cpl_addr_is4(prefix) || addr_is_multicast(gateway) ||
	    addr_is_broadcast(gateway))
		return -EINVAL;
	route->gateway = *gateway;
	return 0;
}

int route_add(struct route_table *t, const struct cpl_addr *prefix, unsigned prefix_len,
	      const struct cpl_addr *gateway, int ifindex, uint32_t metric)
{
	struct ip_route route;
	int err = route_make(&route, prefix, prefix_len, gateway, ifindex);

	if (err)
		return err;
	route.metric = metric;
	return route_insert(t, &route);
}

int route_del(struct route_table *t, const struct cpl_addr *prefix, unsigned prefix_len,
	      const struct cpl_addr *gateway, int ifindex)
{
	struct ip_route like, *r;
	int err = route_make(&like, prefix, prefix_len, gateway, ifindex);

	if (err)
		return err;
	r = route_find(t, &like);
	if (!r)
		return -ESRCH;
	route_remove(t, r);
	return 0;
}

void route_set_up(struct route_table *t, int ifindex, bool up)
{
	uint64_t bit;

	if (!ifindex_ok(ifindex))
		return;
	bit = 1ull << (ifindex - 1);
	t->up = up ? t->up | bit : t->up & ~bit;
	t->generation++;
}

static bool route_matches(const struct route_table *t, const struct ip_route *r,
			  const struct cpl_addr *dst, int ifindex)
{
	if (ifindex ? r->ifindex != ifindex : !is_up(t, r->ifindex))
		return false;
	/* ::/0 is no route for IPv4, whose prefixes are all mapped ones of 96 bits and more. */
	if (cpl_addr_is4(dst) && r->prefix_len < MAPPED_BITS)
		return false;
	return common_bits(&r->prefix, dst) >= r->prefix_len;
}

static const struct ip_route *route_match(const struct route_table *t, const struct cpl_addr *dst,
					  int ifindex)
{
	for (uint32_t i = 0; i < t->routes_n; i++)
		if (route_matches(t, &t->routes[i], dst, ifindex))
			return &t->routes[i];
	return NULL;
}

/* ---- Source address selection, RFC 6724 ----------------------------------------------------- */

/* Site-local unicast addresses are deprecated (RFC 3879) but keep their scope (RFC 6724 3.1). */
static unsigned addr_scope(const struct cpl_addr *a)
{
	if (!cpl_addr_is4(a) && a->b[0] == 0xff)
		return a->b[1] & 15;
	if (addr_is_link_local(a) || addr_is_loopback(a))
		return SCOPE_LINK;
	if (!cpl_addr_is4(a) && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0xc0)
		return SCOPE_SITE;
	return SCOPE_GLOBAL;
}

/* The default policy table, RFC 6724 2.1, longest prefix first. */
static unsigned addr_label(const struct cpl_addr *a)
{
	static const struct {
		uint8_t prefix[16];
		uint8_t bits;
		uint8_t label;
	} policy[] = {
		{ { [15] = 1 }, 128, 0 },   { { [10] = 0xff, [11] = 0xff }, 96, 4 },
		{ { 0 }, 96, 3 },	    { { 0x20, 0x01 }, 32, 5 },
		{ { 0x20, 0x02 }, 16, 2 },  { { 0x3f, 0xfe }, 16, 12 },
		{ { 0xfe, 0xc0 }, 10, 11 }, { { 0xfc }, 7, 13 },
	};
	struct cpl_addr prefix;

	for (unsigned i = 0; i < sizeof(policy) / sizeof(policy[0]); i++) {
		memcpy(prefix.b, policy[i].prefix, 16);
		if (common_bits(&prefix, a) >= policy[i].bits)
			return policy[i].label;
	}
	return 1;
}

/* What the choice is made for. */
struct choice {
	const struct cpl_addr *dst;
	const struct cpl_addr *next_hop;
	int ifindex;
	unsigned dst_scope;
	unsigned dst_label;
};

/* CommonPrefixLen(S, D), RFC 6724 2.2: no longer than S's prefix. */
static unsigned common_prefix(const struct ip_address *s, const struct cpl_addr *d)
{
	unsigned bits = common_bits(&s->addr, d);
	unsigned limit = mapped_len(&s->addr, s->prefix_len);

	return bits < limit ? bits : limit;
}

static bool covers_next_hop(const struct ip_address *s, const struct cpl_addr *next_hop)
{
	return common_bits(&s->addr, next_hop) >= mapped_len(&s->addr, s->prefix_len);
}

/*
 * True if A is a better source than B (RFC 6724 5). No static address is deprecated, temporary or a
 * home address, so rules 3, 4 and 7 have nothing to say.
 */
static bool source_better(const struct ip_address *a, const struct ip_address *b,
			  const struct choice *c)
{
	unsigned sa = addr_scope(&a->addr), sb = addr_scope(&b->addr);
	bool x, y;

	/* Rule 1: prefer the same address */
	if (cpl_addr_equal(&a->addr, c->dst) || cpl_addr_equal(&b->addr, c->dst))
		return !cpl_addr_equal(&b->addr, c->dst);
	/* Rule 2: prefer the appropriate scope */
	if (sa != sb)
		return sa < sb ? sa >= c->dst_scope : sb < c->dst_scope;
	/* Rule 5: prefer the outgoing interface */
	x = a->ifindex == c->ifindex, y = b->ifindex == c->ifindex;
	if (x != y)
		return x;
	/* Rule 5.5, for IPv4 as Linux does: prefer the subnet that the next hop is in */
	if (cpl_addr_is4(c->dst)) {
		x = covers_next_hop(a, c->next_hop), y = covers_next_hop(b, c->next_hop);
		if (x != y)
			return x;
	}
	/* Rule 6: prefer the matching label */
	x = addr_label(&a->addr) == c->dst_label, y = addr_label(&b->addr) == c->dst_label;
	if (x != y)
		return x;
	/* Rule 8: use the longest matching prefix */
	return common_prefix(a, c->dst) > common_prefix(b, c->dst);
}

/*
 * RFC 6724 4: for multicast and link-local destinations, only addresses of the outgoing interface;
 * a link-local address serves no other interface than its own.
 */
static bool source_candidate(const struct ip_address *a, const struct choice *c)
{
	if (a->tentative || cpl_addr_is4(&a->addr) != cpl_addr_is4(c->dst))
		return false;
	if (addr_is_loopback(&a->addr) && !addr_is_loopback(c->dst))
		return false;
	if (a->ifindex == c->ifindex)
		return true;
	return !addr_is_multicast(c->dst) && c->dst_scope > SCOPE_LINK &&
	       addr_scope(&a->addr) > SCOPE_LINK;
}

static int source_select(const struct route_table *t, const struct cpl_addr *dst,
			 struct route_result *res)
{
	const struct ip_address *best = NULL;
	struct choice c = {
		.dst = dst,
		.next_hop = &res->next_hop,
		.ifindex = res->ifindex,
		.dst_scope = addr_scope(dst),
		.dst_label = addr_label(dst),
	};

	for (uint32_t i = 0; i < t->addrs_n; i++) {
		const struct ip_address *a = &t->addrs[i];

		if (source_candidate(a, &c) && (!best || source_better(a, best, &c)))
			best = a;
	}
	if (!best)
		return -EADDRNOTAVAIL;
	res->source = best->addr;
	return 0;
}

/* ---- Lookup --------------------------------------------------------------------------------- */

/*
 * The interface for a multicast or broadcast destination that names none: the one of the source
 * address, or of the table's route, or the first that has an address of the family.
 */
static int group_iface(const struct route_table *t, const struct cpl_addr *dst,
		       const struct cpl_addr *source)
{
	const struct ip_address *a = source ? route_our_addr(t, source, 0) : NULL;
	const struct ip_route *r;

	if (a && is_up(t, a->ifindex))
		return a->ifindex;
	r = route_match(t, dst, 0);
	if (r)
		return r->ifindex;
	for (uint32_t i = 0; i < t->addrs_n; i++) {
		a = &t->addrs[i];
		if (is_up(t, a->ifindex) && !a->tentative &&
		    cpl_addr_is4(&a->addr) == cpl_addr_is4(dst))
			return a->ifindex;
	}
	return 0;
}

/* Two links have the same link-local prefix: without an interface, the destination is ambiguous. */
static bool link_local_ambiguous(const struct route_table *t, const struct cpl_addr *dst,
				 const struct ip_route *found)
{
	for (const struct ip_route *r = found + 1; r < t->routes + t->routes_n; r++)
		if (r->prefix_len == found->prefix_len && r->ifindex != found->ifindex &&
		    route_matches(t, r, dst, 0))
			return true;
	return false;
}

/* Fill interface and next hop. */
static int path_find(const struct route_table *t, const struct cpl_addr *dst, int ifindex,
		     const struct cpl_addr *source, struct route_result *res)
{
	const struct ip_address *ours = route_our_addr(t, dst, ifindex);
	const struct ip_route *r;

	res->next_hop = *dst;
	if (ours && !ours->tentative && is_up(t, ours->ifindex)) {
		res->ifindex = ours->ifindex;
		return 0;
	}
	if (addr_is_multicast(dst) || route_is_broadcast(t, dst)) {
		res->ifindex = ifindex ? ifindex : group_iface(t, dst, source);
		return res->ifindex ? 0 : -ENETUNREACH;
	}
	r = route_match(t, dst, ifindex);
	if (!r || (!ifindex && addr_is_link_local(dst) && !cpl_addr_is4(dst) &&
		   link_local_ambiguous(t, dst, r)))
		return -ENETUNREACH;
	res->ifindex = r->ifindex;
	if (!addr_is_any(&r->gateway))
		res->next_hop = r->gateway;
	return 0;
}

int route_lookup(const struct route_table *t, const struct cpl_addr *dst, int ifindex,
		 const struct cpl_addr *source, struct route_result *res)
{
	int err;

	if (source && addr_is_any(source))
		source = NULL;
	if (source && cpl_addr_is4(source) != cpl_addr_is4(dst))
		return -EADDRNOTAVAIL;
	if (!ifindex && source && addr_is_link_local(source) && !cpl_addr_is4(source)) {
		const struct ip_address *a = route_our_addr(t, source, 0);

		ifindex = a ? a->ifindex : 0;
	}
	if (addr_is_any(dst) || (ifindex && (!ifindex_ok(ifindex) || !is_up(t, ifindex))))
		return -ENETUNREACH;
	err = path_find(t, dst, ifindex, source, res);
	if (err)
		return err;
	if (source) {
		res->source = *source;
		return 0;
	}
	return source_select(t, dst, res);
}

int route_recall(const struct route_table *t, struct route_memo *memo, const struct cpl_addr *dst,
		 int ifindex, const struct cpl_addr *source)
{
	int err;

	if (memo->route.ifindex && memo->generation == t->generation && memo->ifindex == ifindex &&
	    cpl_addr_equal(&memo->dst, dst) && cpl_addr_equal(&memo->source, source))
		return 0;
	memo->generation = t->generation;
	memo->ifindex = ifindex;
	memo->dst = *dst;
	memo->source = *source;
	err = route_lookup(t, dst, ifindex, source, &memo->route);
	if (err)
		memo->route.ifindex = 0;
	return err;
}
