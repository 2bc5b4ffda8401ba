/* SPDX-License-Identifier: MIT */
/*
 * Segments of one connection that follow each other in a batch of frames go to TCP as one: a run.
 * The first is parsed and checked as any packet; another joins where its headers are the same octet
 * for octet but for what must differ (lengths, IPv4's identification, sequence number, PSH,
 * checksums, which are verified), so that nothing is known less of it. A run ends with a segment
 * that is shorter, and with whatever does not join. TCP takes it in one piece only where it is
 * exactly what comes next; otherwise segment by segment (tcp/run.c).
 */
#include "stack/stack.h"

#include "wire/bytes.h"

#define PLAIN  (TCP_ACK | TCP_PSH)
#define NO_RUN (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG)

static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

/* The IPv4 header at P joins the one of RUN, but for the checksum; *LEN becomes the packet's. */
static bool ip4_joins(const uint8_t *first, const uint8_t *p, uint32_t *len)
{
	uint32_t total = get16(p + 2);

	/* version, length, TOS; flags and offset; TTL, protocol; addresses */
	if (total > *len || !same(p, first, 2) || !same(p + 6, first + 6, 4) ||
	    !same(p + 12, first + 12, 8))
		return false;
	*len = total;
	return sum_finish(sum_add(0, p, IPV4_HLEN)) == 0;
}

static bool ip6_joins(const uint8_t *first, const uint8_t *p, uint32_t *len)
{
	uint32_t total = IPV6_HLEN + get16(p + 4);

	if (total > *len || !same(p, first, 4) || !same(p + 6, first + 6, 34))
		return false;
	*len = total;
	return true;
}

static bool tcp_joins(const struct run *run, const uint8_t *first, const uint8_t *t)
{
	/* ports; the ACK; data offset and all flags but PSH; window; urgent pointer and options */
	return same(t, first, 4) && get32(t + 4) == run->next && same(t + 8, first + 8, 5) &&
	       !((t[13] ^ first[13]) & (uint8_t)~TCP_PSH) && same(t + 14, first + 14, 2) &&
	       same(t + 18, first + 18, run->hlen - run->iphl - 18);
}

bool run_joins(struct cpl_stack *s, const uint8_t *p, uint32_t len, const struct packet *pkt)
{
	struct run *run = &s->run;
	uint32_t payload;
	uint64_t sum;

	if (!run->n || run->closed || run->n == RUN_MAX || len <= run->hlen ||
	    pkt->ifindex != run->in.ifindex || pkt->gso_size ||
	    pkt->to_us_alone != run->to_us_alone)
		return false;
	if (!(run->iphl == IPV6_HLEN ? ip6_joins(run->head, p, &len)
				     : ip4_joins(run->head, p, &len)))
		return false;
	if (len <= run->hlen || !tcp_joins(run, run->head + run->iphl, p + run->iphl))
		return false;
	payload = len - run->hlen;
	if (payload > run->mss || run->total + payload > RUN_BYTES)
		return false;
	if (!pkt->csum_ok) {
		sum = run->addresses + __builtin_bswap32(len - run->iphl) +
		      __builtin_bswap32(IP_TCP);
		sum = sum_join(sum, s->sum(0, p + run->iphl, len - run->iphl));
		if (sum_finish(sum)) /* let it be parsed, and counted */
			return false;
	}
	if (pkt->lent)
		chunk_get(pkt->lent);
	run->pieces[run->n++] = (struct seg_piece){
		.data = p + run->hlen,
		.len = payload,
		.flags = p[run->iphl + 13],
		.lent = pkt->lent,
		.lent_off = (uint32_t)(p + run->hlen - pkt->lent_base),
	};
	run->total += payload;
	run->next += payload;
	run->closed = payload < run->mss;
	return true;
}

/* IN, the segment of PKT, has been parsed and checked. True: a run begins with it. */
bool run_begins(struct cpl_stack *s, const struct packet *pkt, const struct seg_in *in)
{
	struct run *run = &s->run;
	const struct ip_hdr *ip = &pkt->ip;
	uint32_t iphl = (uint32_t)ip->hlen;

	if (!s->batch || !in->tcp.len || in->gso_size || in->tcp.flags & NO_RUN ||
	    !(in->tcp.flags & TCP_ACK) || in->tcp.opts & ~TCP_HAS_TS ||
	    iphl != (ip->version == 4 ? IPV4_HLEN : IPV6_HLEN) || s->in_loop)
		return false;
	run->in = *in;
	run->ip = *ip;
	run->in.ip = &run->ip;
	run->head = pkt->p;
	run->iphl = iphl;
	run->hlen = (uint32_t)(in->tcp.data - pkt->p);
	run->to_us_alone = pkt->to_us_alone;
	run->mss = run->total = in->tcp.len;
	run->next = in->tcp.seq + in->tcp.len;
	run->addresses = ip->version == 4 ? sum_add(0, pkt->p + 12, 8) : sum_add(0, pkt->p + 8, 32);
	run->closed = false;
	run->n = 1;
	run->pieces[0] = (struct seg_piece){ in->tcp.data, in->tcp.len, in->lent_off,
					     (uint16_t)in->tcp.flags, in->lent };
	if (in->lent)
		chunk_get(in->lent);
	return true;
}

void run_ends(struct cpl_stack *s, uint64_t now)
{
	struct run *run = &s->run;
	unsigned n = run->n;

	if (!n)
		return;
	run->n = 0; /* what TCP does may bring frames of its own */
	tcp_input_run(&s->tcp, &run->in, run->pieces, n, run->total, now);
	for (unsigned i = 0; i < n; i++)
		if (run->pieces[i].lent)
			chunk_put(&s->chunks, run->pieces[i].lent);
}
