/* SPDX-License-Identifier: MIT */
/*
 * Segments of one connection that follow each other in a batch of frames go to TCP as one: a run.
 * The first is parsed and checked as any packet; another joins where its headers are the same, link
 * and options included, but for what must differ: lengths, IPv4's identification, sequence number,
 * PSH, and checksums, which are verified. So nothing is known less of it. A run ends with a segment
 * that is shorter, and with whatever does not join; TCP takes it in one piece only where it is
 * exactly what comes next, otherwise segment by segment (tcp/run.c).
 */
#include "stack/stack.h"

#include "wire/bytes.h"

#define NO_RUN (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG)

/* All but what may differ is the same. */
static bool same_headers(const struct run *run, const uint8_t *p)
{
	uint64_t diff = 0;

	for (unsigned i = 0; i < run->words; i++)
		diff |= (load64(p + 8 * i) ^ load64(run->head + 8 * i)) & run->mask[i];
	return !diff;
}

/* The packet's length as IP says it; 0: it is not right. */
static uint32_t ip_length(const struct run *run, const uint8_t *ip)
{
	uint16_t field[3];

	if (run->iphl == IPV6_HLEN)
		return IPV6_HLEN + get16(ip + 4);
	/* The rest of the header is the same as the first's. */
	memcpy(field, ip + 2, 4);
	memcpy(&field[2], ip + 10, 2);
	if (sum_finish((uint64_t)run->ip_sum + field[0] + field[1] + field[2]))
		return 0;
	return get16(ip + 2);
}

static bool sum_right(const struct run *run, sum_fn add, const uint8_t *tcp, uint32_t len)
{
	return !sum_finish(add((uint64_t)run->pseudo + __builtin_bswap32(len), tcp, len));
}

bool run_joins(struct cpl_stack *s, const struct cpl_frame *f)
{
	struct run *run = &s->run;
	const uint8_t *p = f->data, *tcp = p + run->link + run->iphl;
	struct chunk *lent = NULL;
	uint32_t len, payload;

	if (run->closed || run->n == RUN_MAX || f->len < 8 * run->words || f->gso_size ||
	    !same_headers(run, p) || get32(tcp + 4) != run->next)
		return false;
	len = ip_length(run, p + run->link);
	if (len + run->link > f->len || len + run->link <= run->hlen)
		return false;
	payload = len + run->link - run->hlen;
	if (payload > run->mss || run->total + payload > RUN_BYTES)
		return false;
	/* What is wrong is for those who count it. */
	if (!(f->flags & (CPL_FRAME_CSUM_OK | CPL_FRAME_CSUM_PARTIAL)) &&
	    !sum_right(run, s->sum, tcp, len - run->iphl))
		return false;
	if (f->flags & CPL_FRAME_LEND) {
		lent = chunk_lend(&s->chunks, f->data, f->len, f->token);
		if (!lent)
			return false;
	}
	s->counters.frames_in++;
	s->counters.bytes_in += f->len;
	run->pieces[run->n++] = (struct seg_piece){
		.data = p + run->hlen,
		.len = payload,
		.flags = tcp[13],
		.lent = lent,
		.lent_off = run->hlen,
	};
	run->total += payload;
	run->next += payload;
	run->closed = payload < run->mss;
	return true;
}

static void may_differ(struct run *run, uint32_t at, uint32_t n)
{
	memset((uint8_t *)run->mask + at, 0, n);
}

static void make_mask(struct run *run)
{
	uint32_t ip = run->link, tcp = ip + run->iphl;

	run->words = (run->hlen + 7) / 8;
	memset(run->mask, 0xff, run->hlen);
	may_differ(run, run->hlen, run->words * 8 - run->hlen);
	if (run->iphl == IPV6_HLEN) {
		may_differ(run, ip + 4, 2);
	} else {
		may_differ(run, ip + 2, 4); /* length, identification */
		may_differ(run, ip + 10, 2);
		run->ip_sum = sum_fold(
			sum_add(sum_add(sum_add(0, run->head + ip, 2), run->head + ip + 6, 4),
				run->head + ip + 12, 8));
	}
	may_differ(run, tcp + 4, 4);
	may_differ(run, tcp + 16, 2);
	((uint8_t *)run->mask)[tcp + 13] = (uint8_t)~TCP_PSH;
}

bool run_begins(struct cpl_stack *s, const struct packet *pkt, const struct seg_in *in)
{
	struct run *run = &s->run;
	const struct ip_hdr *ip = &pkt->ip;
	uint32_t iphl = (uint32_t)ip->hlen;

	/* Its memory must last: what was put together from fragments, or loops, does not. */
	if (!s->batch || !pkt->frame || in->gso_size || in->tcp.len < 8 || in->tcp.flags & NO_RUN ||
	    !(in->tcp.flags & TCP_ACK) || in->tcp.opts & ~(uint32_t)TCP_HAS_TS ||
	    iphl != (ip->version == 4 ? IPV4_HLEN : IPV6_HLEN))
		return false;
	run->in = *in;
	run->ip = *ip;
	run->in.ip = &run->ip;
	run->head = pkt->frame;
	run->link = (uint32_t)(pkt->p - pkt->frame);
	run->iphl = iphl;
	run->hlen = (uint32_t)(in->tcp.data - pkt->frame);
	run->mss = run->total = in->tcp.len;
	run->next = in->tcp.seq + in->tcp.len;
	run->pseudo = sum_fold(__builtin_bswap32(IP_TCP) + (ip->version == 4
								    ? sum_add(0, pkt->p + 12, 8)
								    : sum_add(0, pkt->p + 8, 32)));
	run->closed = false;
	run->n = 1;
	make_mask(run);
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
	run->n = 0; /* what TCP does may bring packets of its own */
	tcp_input_run(&s->tcp, &run->in, run->pieces, n, run->total, now);
	for (unsigned i = 0; i < n; i++)
		if (run->pieces[i].lent)
			chunk_put(&s->chunks, run->pieces[i].lent);
}
