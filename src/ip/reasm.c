/* SPDX-License-Identifier: MIT */
/*
 * Reassembly (RFC 791 3.2, RFC 1122 3.3.2, RFC 8200 4.5, RFC 5722, RFC 6946, RFC 7112), as reasm.h
 * says.
 *
 * The data of an incomplete packet lies in pages, each where its offset puts it, with a bit for
 * each 8 octets that came. So a fragment costs what its own length costs, in whatever order the
 * fragments come and however small they are; overlap is a bit that is set already, and the packet
 * is complete when the lengths add up to its end.
 */
#include "ip/reasm.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "wire/bytes.h"
#include "wire/checksum.h"

#define DATA_MAX    65535u
#define PAGE_SIZE   1024u
#define PAGES	    64u /* DATA_MAX and one more */
#define BLOCK_UNITS 64u /* of 8 octets: one word of bits */
#define PAGE_BLOCKS (PAGE_SIZE / 8 / BLOCK_UNITS)
#define WHOLE_SIZE  (IPV6_HLEN + DATA_MAX + 1)
#define BUCKETS_MIN 16u
#define BUCKETS_MAX 4096u
#define SLAB_SIZE   16384

#define TIME4_NS (30ull * 1000000000ull)
#define TIME6_NS (60ull * 1000000000ull)

#define IP6_HOP_BY_HOP	0
#define IP6_ROUTING	43
#define IP6_DESTINATION 60
#define IP6_WALK_MAX	8

#define ECN_CE 3

struct page {
	uint64_t have[PAGE_BLOCKS]; /* a bit for each unit */
	uint8_t data[PAGE_SIZE];
};

struct reasm_packet {
	struct list link; /* hash chain */
	struct list age;
	struct cpl_addr src, dst;
	uint64_t deadline;
	uint64_t arrived;  /* the first that came */
	uint8_t *whole;	   /* once complete */
	struct page *head; /* of the first fragment: all before its data */
	uint32_t id;
	uint32_t got;	    /* octets of data */
	uint32_t reach;	    /* end of the farthest fragment */
	uint32_t end;	    /* of the data; 0: the last fragment has not come */
	uint32_t first_len; /* data of the first fragment */
	uint16_t head_len;
	uint16_t frag_hdr_off; /* IPv6, in the head */
	uint16_t frag_nh_off;
	uint8_t protocol; /* IPv4 */
	uint8_t ifindex;
	uint8_t ecn_seen; /* a bit for each ECN codepoint */
	bool ipv6;
	bool dead; /* fragments overlapped: what still comes is dropped too */
	struct page *pages[PAGES];
};

/* The fragment at hand. */
struct frag {
	const uint8_t *p;
	const struct ip_hdr *h;
	const uint8_t *data;
	uint32_t off, len, end;
	int ifindex;
};

/* ---- Memory --------------------------------------------------------------------------------- */

int reasm_init(struct reasm *r, struct mem *mem, const struct siphash_key *key,
	       uint64_t bytes_limit, uint64_t time_ns)
{
	uint64_t objects = bytes_limit / sizeof(struct reasm_packet) + 1;
	uint32_t limit = objects < UINT32_MAX ? (uint32_t)objects : UINT32_MAX;
	uint32_t n = BUCKETS_MIN;

	memset(r, 0, sizeof(*r));
	r->mem = mem;
	r->key = *key;
	r->bytes_limit = bytes_limit;
	r->time4_ns = time_ns ? time_ns : TIME4_NS;
	r->time6_ns = time_ns ? time_ns : TIME6_NS;
	while (n < limit && n < BUCKETS_MAX)
		n *= 2;
	r->buckets = mem_alloc(mem, n * sizeof(*r->buckets));
	if (!r->buckets)
		return -ENOMEM;
	r->bucket_mask = n - 1;
	for (uint32_t i = 0; i < n; i++)
		list_init(&r->buckets[i]);
	list_init(&r->by_age[0]);
	list_init(&r->by_age[1]);
	pool_init(&r->packets, mem, sizeof(struct reasm_packet), 8, limit, SLAB_SIZE);
	pool_init(&r->pages, mem, sizeof(struct page), 8, limit, SLAB_SIZE);
	pool_init(&r->wholes, mem, WHOLE_SIZE, 8, REASM_WHOLES, WHOLE_SIZE);
	return 0;
}

void reasm_destroy(struct reasm *r)
{
	if (!r->buckets)
		return;
	pool_destroy(&r->packets);
	pool_destroy(&r->pages);
	pool_destroy(&r->wholes);
	mem_release(r->mem, r->buckets, (r->bucket_mask + 1) * sizeof(*r->buckets));
	r->buckets = NULL;
}

static void page_free(struct reasm *r, struct page **page)
{
	if (!*page)
		return;
	pool_free(&r->pages, *page);
	r->bytes -= r->pages.object_size;
	*page = NULL;
}

static void pages_free(struct reasm *r, struct reasm_packet *k)
{
	page_free(r, &k->head);
	for (unsigned i = 0; i < PAGES; i++)
		page_free(r, &k->pages[i]);
}

/* No longer found, timed or counted. */
static void detach(struct reasm *r, struct reasm_packet *k)
{
	pages_free(r, k);
	list_del(&k->link);
	list_del(&k->age);
	r->bytes -= r->packets.object_size;
}

static void forget(struct reasm *r, struct reasm_packet *k)
{
	detach(r, k);
	pool_free(&r->packets, k);
}

static struct reasm_packet *oldest_but(struct list *by_age, const struct reasm_packet *keep)
{
	struct list *pos;

	list_for_each (pos, by_age) {
		struct reasm_packet *k = container_of(pos, struct reasm_packet, age);

		if (k != keep)
			return k;
	}
	return NULL;
}

static bool evict(struct reasm *r, const struct reasm_packet *keep)
{
	struct reasm_packet *a = oldest_but(&r->by_age[0], keep);
	struct reasm_packet *b = oldest_but(&r->by_age[1], keep);

	if (!a || (b && b->arrived < a->arrived))
		a = b;
	if (!a)
		return false;
	if (!a->dead)
		r->evicted++;
	forget(r, a);
	return true;
}

/* An object of POOL within the limit, for KEEP, at the expense of the oldest others. */
static void *take(struct reasm *r, struct pool *pool, const struct reasm_packet *keep)
{
	void *object = NULL;

	if (pool->object_size > r->bytes_limit)
		return NULL;
	do {
		if (r->bytes <= r->bytes_limit - pool->object_size)
			object = pool_alloc(pool, NULL);
	} while (!object && evict(r, keep));
	if (object)
		r->bytes += pool->object_size;
	return object;
}

/* ---- Records -------------------------------------------------------------------------------- */

/*
 * What names a packet: RFC 791 (with the protocol), RFC 8200 4.5 (without). Link-local addresses
 * mean something on their own link only.
 */
static struct list *bucket(const struct reasm *r, const struct frag *f)
{
	uint8_t key[39];
	const struct ip_hdr *h = f->h;

	memcpy(key, h->src.b, 16);
	memcpy(key + 16, h->dst.b, 16);
	put32(key + 32, h->id);
	key[36] = h->version;
	key[37] = h->version == 4 ? h->protocol : 0;
	key[38] = addr_is_link_local(&h->src) ? (uint8_t)f->ifindex : 0;
	return &r->buckets[siphash13(&r->key, key, sizeof(key)) & r->bucket_mask];
}

static bool is_of(const struct frag *f, const struct reasm_packet *k)
{
	const struct ip_hdr *h = f->h;

	return k->id == h->id && k->ipv6 == (h->version == 6) &&
	       (k->ipv6 || k->protocol == h->protocol) && cpl_addr_equal(&k->src, &h->src) &&
	       cpl_addr_equal(&k->dst, &h->dst) &&
	       (k->ifindex == f->ifindex || !addr_is_link_local(&h->src));
}

static struct reasm_packet *packet_find(const struct reasm *r, const struct frag *f)
{
	struct list *head = bucket(r, f), *pos;

	list_for_each (pos, head) {
		struct reasm_packet *k = container_of(pos, struct reasm_packet, link);

		if (is_of(f, k))
			return k;
	}
	return NULL;
}

static struct reasm_packet *packet_new(struct reasm *r, const struct frag *f, uint64_t now)
{
	const struct ip_hdr *h = f->h;
	struct reasm_packet *k = take(r, &r->packets, NULL);

	if (!k)
		return NULL;
	memset(k, 0, sizeof(*k));
	k->src = h->src;
	k->dst = h->dst;
	k->id = h->id;
	k->ipv6 = h->version == 6;
	k->protocol = h->protocol;
	k->ifindex = (uint8_t)f->ifindex;
	k->arrived = now;
	k->deadline = now + (k->ipv6 ? r->time6_ns : r->time4_ns);
	list_push_back(bucket(r, f), &k->link);
	list_push_back(&r->by_age[k->ipv6], &k->age);
	return k;
}

/* ---- A fragment by itself ------------------------------------------------------------------- */

static bool bad(struct reasm *r, uint8_t code, uint32_t pointer)
{
	r->problem = (struct ip_problem){ .code = code, .pointer = pointer };
	return false;
}

/*
 * RFC 7112 5, RFC 8200 4.5: the first fragment of IPv6 holds all headers up to and with the
 * upper-layer header, so that nobody on the way is deceived about what it is.
 */
static bool chain_complete(const uint8_t *p, const struct ip_hdr *h)
{
	uint8_t next = h->protocol;
	uint32_t at = h->hlen;

	for (unsigned n = 0; n < IP6_WALK_MAX; n++) {
		if (next == IP_TCP)
			return h->len - at >= 20;
		if (next == IP_UDP || next == IP_ICMP6)
			return h->len - at >= 8;
		if (next != IP6_HOP_BY_HOP && next != IP6_ROUTING && next != IP6_DESTINATION)
			return true;
		if (h->len - at < 8 || (p[at + 1] + 1u) * 8 > h->len - at)
			return false;
		next = p[at];
		at += (p[at + 1] + 1u) * 8;
	}
	return false;
}

static bool frag_ok(struct reasm *r, const struct frag *f)
{
	const struct ip_hdr *h = f->h;
	uint32_t before = h->hlen; /* what the payload, or total, length counts before the data */

	r->problem = (struct ip_problem){ .silent = true };
	if (h->version == 4)
		return f->len && !(h->more_frags && f->len % 8) && before + f->end <= DATA_MAX;
	before -= IPV6_HLEN + IPV6_FRAG_HLEN;
	if (!f->len || (h->more_frags && f->len % 8))
		return bad(r, 0, 4);
	if (before + f->end > DATA_MAX)
		return bad(r, 0, h->frag_hdr_off + 2u);
	if (!f->off && !chain_complete(f->p, h))
		return bad(r, 3, 0);
	/* A longer chain before the fragment header is no honest one. */
	return f->off || h->hlen <= PAGE_SIZE;
}

/* ---- Putting together ----------------------------------------------------------------------- */

/* The bits of block B that the units [FROM, TO) touch. */
static uint64_t block_mask(uint32_t b, uint32_t from, uint32_t to)
{
	uint32_t low = b * BLOCK_UNITS, high = low + BLOCK_UNITS;
	uint64_t mask = ~0ull;

	if (from > low)
		mask &= ~0ull << (from - low);
	if (to < high)
		mask &= ~0ull >> (high - to);
	return mask;
}

enum held {
	HELD_NOTHING,
	HELD_ALL,
	HELD_SOME
};

/* What of the fragment's range is there already. */
static enum held range_held(const struct reasm_packet *k, const struct frag *f)
{
	uint32_t from = f->off / 8, to = (f->end + 7) / 8;
	bool any = false, all = true;

	for (uint32_t b = from / BLOCK_UNITS; b <= (to - 1) / BLOCK_UNITS; b++) {
		const struct page *page = k->pages[b / PAGE_BLOCKS];
		uint64_t mask = block_mask(b, from, to);
		uint64_t have = page ? page->have[b % PAGE_BLOCKS] & mask : 0;

		any |= have != 0;
		all &= have == mask;
	}
	return !any ? HELD_NOTHING : all ? HELD_ALL : HELD_SOME;
}

/* The bytes that lie in one page from offset OFF on, of those up to END. */
static uint32_t in_page(uint32_t off, uint32_t end)
{
	uint32_t room = PAGE_SIZE - off % PAGE_SIZE;

	return end - off < room ? end - off : room;
}

static bool same_data(const struct reasm_packet *k, const struct frag *f)
{
	for (uint32_t at = f->off, n; at < f->end; at += n) {
		n = in_page(at, f->end);
		if (memcmp(k->pages[at / PAGE_SIZE]->data + at % PAGE_SIZE, f->data + (at - f->off),
			   n))
			return false;
	}
	return true;
}

/*
 * The packet's end, as F and what came before it have it: do they agree? Who says that more follows
 * says that the end is farther.
 */
static bool ends_agree(const struct reasm_packet *k, const struct frag *f)
{
	if (!f->h->more_frags)
		return k->end ? k->end == f->end : k->reach < f->end;
	return !k->end || f->end < k->end;
}

static struct page *page_new(struct reasm *r, const struct reasm_packet *k)
{
	struct page *page = take(r, &r->pages, k);

	if (page)
		memset(page->have, 0, sizeof(page->have));
	return page;
}

/* Keep the fragment's data, whose range is free, and its head if it is the first. */
static bool store(struct reasm *r, struct reasm_packet *k, const struct frag *f)
{
	uint32_t from = f->off / 8, to = (f->end + 7) / 8;

	for (uint32_t at = f->off, n; at < f->end; at += n) {
		struct page **page = &k->pages[at / PAGE_SIZE];

		n = in_page(at, f->end);
		if (!*page)
			*page = page_new(r, k);
		if (!*page)
			return false;
		memcpy((*page)->data + at % PAGE_SIZE, f->data + (at - f->off), n);
	}
	for (uint32_t b = from / BLOCK_UNITS; b <= (to - 1) / BLOCK_UNITS; b++)
		k->pages[b / PAGE_BLOCKS]->have[b % PAGE_BLOCKS] |= block_mask(b, from, to);
	if (!f->off) {
		k->head = page_new(r, k);
		if (!k->head)
			return false;
		memcpy(k->head->data, f->p, f->h->hlen);
		k->head_len = f->h->hlen;
		k->frag_hdr_off = f->h->frag_hdr_off;
		k->frag_nh_off = f->h->frag_nh_off;
		k->first_len = f->len;
	}
	k->got += f->len;
	if (f->end > k->reach)
		k->reach = f->end;
	if (!f->h->more_frags)
		k->end = f->end;
	k->ecn_seen |= (uint8_t)(1u << (f->h->tos & 3));
	return true;
}

/* RFC 3168 5.3: CE of any fragment is CE of the whole; what mixes with not-ECT is a forgery. */
static bool ecn_ok(const struct reasm_packet *k)
{
	return !(k->ecn_seen & 1) || k->ecn_seen == 1;
}

/* Header of the whole: HEAD's without its fragment fields. Returns its length. */
static uint32_t whole_header(const struct reasm_packet *k, const uint8_t *head, uint8_t *whole)
{
	bool ce = k->ecn_seen >> ECN_CE & 1;
	uint16_t check;

	if (k->ipv6) {
		memcpy(whole, head, k->frag_hdr_off);
		whole[k->frag_nh_off] = head[k->frag_hdr_off];
		put16(whole + 4, (uint16_t)(k->frag_hdr_off - IPV6_HLEN + k->end));
		if (ce)
			whole[1] |= ECN_CE << 4;
		return k->frag_hdr_off;
	}
	memcpy(whole, head, k->head_len);
	put16(whole + 2, (uint16_t)(k->head_len + k->end));
	put16(whole + 6, 0);
	put16(whole + 10, 0);
	if (ce)
		whole[1] |= ECN_CE;
	check = sum_finish(sum_add(0, whole, k->head_len));
	memcpy(whole + 10, &check, 2);
	return k->head_len;
}

static enum reasm_verdict complete(struct reasm *r, struct reasm_packet *k, const uint8_t **packet,
				   uint32_t *len, struct reasm_packet **handle)
{
	uint32_t before = k->ipv6 ? (uint32_t)k->frag_hdr_off - IPV6_HLEN : k->head_len;
	uint32_t at;

	r->problem = (struct ip_problem){ .silent = true };
	if (!ecn_ok(k) || before + k->end > DATA_MAX) {
		forget(r, k);
		return REASM_BAD;
	}
	k->whole = pool_alloc(&r->wholes, NULL);
	if (!k->whole) {
		forget(r, k);
		return REASM_NO_MEMORY;
	}
	at = whole_header(k, k->head->data, k->whole);
	for (uint32_t off = 0, n; off < k->end; off += n) {
		n = in_page(off, k->end);
		memcpy(k->whole + at + off, k->pages[off / PAGE_SIZE]->data, n);
	}
	*packet = k->whole;
	*len = at + k->end;
	*handle = k;
	detach(r, k);
	return REASM_COMPLETE;
}

/* A packet in one fragment has nothing to do with others of its name: RFC 6946. */
static enum reasm_verdict atomic(struct reasm *r, const struct frag *f, const uint8_t **packet,
				 uint32_t *len, struct reasm_packet **handle)
{
	struct reasm_packet *k = pool_alloc(&r->packets, NULL);
	uint32_t at;

	if (!k)
		return REASM_NO_MEMORY;
	memset(k, 0, sizeof(*k));
	k->whole = pool_alloc(&r->wholes, NULL);
	if (!k->whole) {
		pool_free(&r->packets, k);
		return REASM_NO_MEMORY;
	}
	k->ipv6 = true;
	k->end = f->len;
	k->frag_hdr_off = f->h->frag_hdr_off;
	k->frag_nh_off = f->h->frag_nh_off;
	at = whole_header(k, f->p, k->whole);
	memcpy(k->whole + at, f->data, f->len);
	*packet = k->whole;
	*len = at + f->len;
	*handle = k;
	return REASM_COMPLETE;
}

static enum reasm_verdict give_up(struct reasm *r, struct reasm_packet *k)
{
	pages_free(r, k);
	k->dead = true;
	return REASM_OVERLAP;
}

enum reasm_verdict reasm_add(struct reasm *r, int ifindex, const uint8_t *p, const struct ip_hdr *h,
			     uint64_t now, const uint8_t **packet, uint32_t *len,
			     struct reasm_packet **handle)
{
	struct frag f = {
		.p = p,
		.h = h,
		.data = p + h->hlen,
		.off = h->frag_off,
		.len = h->len - h->hlen,
		.end = h->frag_off + h->len - h->hlen,
		.ifindex = ifindex,
	};
	struct reasm_packet *k;
	enum held held;

	ASSERT(h->fragment && h->len >= h->hlen);
	if (h->version == 6 && !f.off && !h->more_frags)
		return atomic(r, &f, packet, len, handle);
	if (!frag_ok(r, &f))
		return REASM_BAD;
	k = packet_find(r, &f);
	if (!k)
		k = packet_new(r, &f, now);
	if (!k)
		return REASM_NO_MEMORY;
	if (k->dead)
		return REASM_OVERLAP;
	if (!ends_agree(k, &f))
		return give_up(r, k);
	held = range_held(k, &f);
	/* RFC 8200 4.5: networks duplicate; the same octets once more do no harm */
	if (held == HELD_ALL && same_data(k, &f))
		return REASM_KEPT;
	if (held != HELD_NOTHING)
		return give_up(r, k);
	if (!store(r, k, &f)) {
		forget(r, k);
		return REASM_NO_MEMORY;
	}
	if (!k->end || k->got != k->end)
		return REASM_KEPT;
	return complete(r, k, packet, len, handle);
}

void reasm_release(struct reasm *r, struct reasm_packet *handle)
{
	pool_free(&r->wholes, handle->whole);
	pool_free(&r->packets, handle);
}

/* ---- Time ----------------------------------------------------------------------------------- */

static uint64_t first_deadline(const struct list *by_age)
{
	if (list_empty(by_age))
		return UINT64_MAX;
	return list_first(by_age, struct reasm_packet, age)->deadline;
}

uint64_t reasm_deadline(const struct reasm *r)
{
	uint64_t a = first_deadline(&r->by_age[0]), b = first_deadline(&r->by_age[1]);

	return a < b ? a : b;
}

/* The start of the first fragment as it came, if it came. */
static void quote(const struct reasm_packet *k, struct reasm_expired *expired)
{
	uint32_t room = sizeof(expired->quote), n;

	memset(expired, 0, sizeof(*expired));
	expired->ipv6 = k->ipv6;
	expired->ifindex = k->ifindex;
	if (!k->head)
		return;
	n = k->head_len < room ? k->head_len : room;
	memcpy(expired->quote, k->head->data, n);
	room -= n;
	expired->quote_len = n;
	n = in_page(0, k->first_len);
	n = n < room ? n : room;
	memcpy(expired->quote + expired->quote_len, k->pages[0]->data, n);
	expired->quote_len += n;
}

bool reasm_expire(struct reasm *r, uint64_t now, struct reasm_expired *expired)
{
	for (unsigned i = 0; i < 2; i++) {
		while (first_deadline(&r->by_age[i]) <= now) {
			struct reasm_packet *k =
				list_first(&r->by_age[i], struct reasm_packet, age);
			bool dead = k->dead;

			if (!dead)
				quote(k, expired);
			forget(r, k);
			if (!dead)
				return true;
		}
	}
	return false;
}
