/* SPDX-License-Identifier: MIT */
/*
 * Segments of one connection that follow each other in a batch of frames go to TCP as one: a run.
 * The first is parsed and checked as any packet; another joins where its headers are the same, link
 * and options included, but for what must differ: lengths, IPv4's identification, sequence number,
 * PSH, and checksums, which are verified. So nothing is known less of it. A run ends with a segment
 * that is shorter, and with whatever does not join; TCP takes it in one piece only where it is
 * exactly what comes next, otherwise segment by segment (tcp/run.c).
 *
 * Where it is known to be what comes next when the second segment joins, it lands: its text is
 * copied to where the receive queue goes on, and summed in the same pass. The queue does not refer
 * to it before the run has ended and TCP has taken it.
 */
#include "stack/stack.h"

#include "base/copy.h"
#include "wire/bytes.h"

#define NO_RUN (TCP_SYN | TCP_FIN | TCP_RST | TCP_URG)

#define LAND_BYTES 16000u /* at a time: what a chunk of a middle class holds */

#define CSUM_KNOWN (CPL_FRAME_CSUM_OK | CPL_FRAME_CSUM_PARTIAL)

/* The headers at P are the first's in what MASK says. Of most no more than the first four count. */
static inline bool same_headers(const struct run *run, const run_word *mask, const uint8_t *p)
{
	run_word here[RUN_WORDS], diff;

	memcpy(here, p, RUN_LEAST * sizeof(here[0]));
	diff = ((here[0] ^ run->first[0]) & mask[0]) | ((here[1] ^ run->first[1]) & mask[1]) |
	       ((here[2] ^ run->first[2]) & mask[2]) | ((here[3] ^ run->first[3]) & mask[3]);
	for (unsigned i = RUN_LEAST; i < run->words; i++) {
		memcpy(&here[i], p + i * sizeof(here[0]), sizeof(here[0]));
		diff |= (here[i] ^ run->first[i]) & mask[i];
	}
	return !(diff[0] | diff[1]);
}

/* The packet's length as IP says it; 0: it is not right. */
static uint32_t ip_length(const struct run *run, const uint8_t *ip)
{
	if (run->iphl == IPV6_HLEN)
		return IPV6_HLEN + get16(ip + 4);
	/* The rest of the header is the same as the first's. */
	if (sum_finish((uint64_t)run->ip_sum + load32(ip + 2) + load16(ip + 10)))
		return 0;
	return get16(ip + 2);
}

/* Of the pseudo-header and the header of a segment that is LEN bytes long with it. */
static uint64_t header_sum(const struct run *run, const uint8_t *tcp, uint32_t len)
{
	return (uint64_t)run->tcp_sum + __builtin_bswap32(len) + load32(tcp + 4) +
	       load16(tcp + 16) + ((uint64_t)(tcp[13] & TCP_PSH) << 8);
}

/* ---- landing ---- */

static uint32_t land_bytes(const struct run *run, uint32_t coming)
{
	uint32_t most = 4 * run->mss > LAND_BYTES ? 4 * run->mss : LAND_BYTES;

	return coming < most ? coming : most;
}

static void land_on(struct run *run, struct chunk *c)
{
	run->to = c->data + c->fill;
	run->end = c->data + c->cap;
	run->pieces[run->pieces_n++] = (struct seg_piece){ run->to, 0, c->fill, 0, c };
}

/* What is in the last piece belongs to its chunk. */
static void land_filled(struct run *run)
{
	struct seg_piece *piece = &run->pieces[run->pieces_n - 1];

	piece->len = (uint32_t)(run->to - piece->data);
	piece->flags = run->flags;
	piece->lent->fill += piece->len;
}

/* There may be two segments: the first lands, if it is what its connection waits for. */
static void land_first(struct cpl_stack *s, struct run *run)
{
	uint32_t len = run->mss, window;
	struct chunk *c;

	run->tcb = tcp_run_tcb(&s->tcp, &run->in, &window);
	if (!run->tcb || window < 2 * len)
		return;
	c = tcp_run_room(&s->tcp, run->tcb, 2 * len, land_bytes(run, len + run->room));
	if (!c)
		return;
	if (run->room > window - len)
		run->room = window - len;
	run->pieces_n = 0;
	land_on(run, c);
	memcpy(run->to, run->in.tcp.data, len);
	run->to += len;
}

/* N bytes more are to land. False: no memory. */
static bool land_more(struct cpl_stack *s, struct run *run, uint32_t n)
{
	struct chunk *c;

	if ((size_t)(run->end - run->to) >= n)
		return true;
	c = chunk_new(&s->chunks, land_bytes(run, run->room));
	if (!c)
		return false;
	land_filled(run);
	land_on(run, c);
	return c->cap >= n;
}

/* ---- a run ---- */

/* The text of F, of N bytes, becomes a piece of its own. False: no memory. */
static bool take_piece(struct cpl_stack *s, struct run *run, const struct cpl_frame *f, uint32_t n)
{
	const uint8_t *p = f->data;
	struct chunk *lent = NULL;

	if (f->flags & CPL_FRAME_LEND) {
		lent = chunk_lend(&s->chunks, f->data, f->len, f->token);
		if (!lent)
			return false;
	}
	run->pieces[run->pieces_n++] =
		(struct seg_piece){ p + run->hlen, n, run->hlen, p[run->tcp + 13], lent };
	return true;
}

/*
 * The N bytes of text of F land, or are a piece, if the checksum is right: what is wrong is for
 * those who count it.
 */
static bool take_text(struct cpl_stack *s, struct run *run, const struct cpl_frame *f, uint32_t n)
{
	const uint8_t *p = f->data, *text = p + run->hlen;
	uint64_t sum = header_sum(run, p + run->tcp, run->hlen - run->tcp + n);

	if (!run->to) {
		if (!(f->flags & CSUM_KNOWN) && sum_finish(s->sum(sum, text, n)))
			return false;
		return take_piece(s, run, f, n);
	}
	if (!land_more(s, run, n))
		return false;
	if (f->flags & CSUM_KNOWN)
		copy_bytes(s->chunks.wide, run->to, text, n);
	else if (sum_finish(s->sum_copy(sum, run->to, text, n)))
		return false;
	run->to += n;
	return true;
}

/* F is not quite like the first, or there is no room for it yet. */
static bool joins_unlike(struct cpl_stack *s, struct run *run, const struct cpl_frame *f)
{
	const uint8_t *p = f->data;
	uint32_t len, n;

	if (f->len < run->words * sizeof(run_word) || f->gso_size ||
	    !same_headers(run, run->mask, p) || get32(p + run->tcp + 4) != run->next)
		return false;
	len = run->link + ip_length(run, p + run->link);
	if (len > f->len || len <= run->hlen)
		return false;
	n = len - run->hlen;
	if (n > run->mss || n > run->room)
		return false;
	/* What has landed is not mixed with what is lent. */
	if (run->to && f->flags & CPL_FRAME_LEND)
		return false;
	if (run->next == run->in.tcp.seq + run->mss && !run->in.lent &&
	    !(f->flags & CPL_FRAME_LEND) && !run->to)
		land_first(s, run);
	if (n > run->room || !take_text(s, run, f, n))
		return false;
	s->counters.bytes_in += (uint64_t)f->len - run->frame_len; /* run_ends() adds that */
	run->flags = p[run->tcp + 13];
	run->next += n;
	run->room = n < run->mss ? 0 : run->room - n;
	return true;
}

bool run_joins(struct cpl_stack *s, const struct cpl_frame *f)
{
	struct run *run = &s->run;
	const uint8_t *p = f->data;
	uint32_t n = run->mss;

	if (f->len != run->frame_len || f->gso_size || f->flags & CPL_FRAME_LEND || n > run->room ||
	    n > (size_t)(run->end - run->to) || !same_headers(run, run->like, p) ||
	    get32(p + run->tcp + 4) != run->next)
		return joins_unlike(s, run, f);
	if (f->flags & CSUM_KNOWN)
		copy_bytes(s->chunks.wide, run->to, p + run->hlen, n);
	else if (sum_finish(s->sum_copy(header_sum(run, p + run->tcp, run->hlen - run->tcp + n),
					run->to, p + run->hlen, n)))
		return false;
	run->to += n;
	run->next += n;
	run->room -= n;
	run->flags = p[run->tcp + 13];
	return true;
}

static void may_differ(run_word *mask, uint32_t at, uint32_t n)
{
	memset((uint8_t *)mask + at, 0, n);
}

/* What is the same in all headers, and the sums of that: the first's begins at FRAME. */
static void make_masks(struct run *run, const uint8_t *frame)
{
	uint32_t ip = run->link, tcp = run->tcp;
	uint8_t common[sizeof(run->first)];
	uint64_t sum;

	memset(run->like, 0xff, run->hlen);
	may_differ(run->like, run->hlen, (uint32_t)sizeof(run->like) - run->hlen);
	may_differ(run->like, tcp + 4, 4);
	may_differ(run->like, tcp + 16, 2);
	((uint8_t *)run->like)[tcp + 13] = (uint8_t)~TCP_PSH;
	memcpy(run->mask, run->like, sizeof(run->mask));
	if (run->iphl == IPV6_HLEN) {
		may_differ(run->mask, ip + 4, 2);
	} else {
		may_differ(run->mask, ip + 2, 4); /* length, identification */
		may_differ(run->mask, ip + 10, 2);
	}
	memcpy(run->first, frame, run->hlen);
	for (unsigned i = 0; i < run->hlen; i++)
		common[i] = frame[i] & ((uint8_t *)run->mask)[i];
	run->ip_sum = sum_fold(sum_add(0, common + ip, run->iphl));
	sum = sum_add(__builtin_bswap32(IP_TCP), common + tcp, run->hlen - tcp);
	run->tcp_sum = sum_fold(run->iphl == IPV6_HLEN ? sum_add(sum, common + ip + 8, 32)
						       : sum_add(sum, common + ip + 12, 8));
}

/* How much may join: of BATCH frames to come at most. */
static uint32_t run_room(const struct run *run, unsigned batch)
{
	uint32_t coming = (batch < RUN_MAX - 1 ? batch : RUN_MAX - 1) * run->mss;

	return coming < RUN_BYTES - run->mss ? coming : RUN_BYTES - run->mss;
}

bool run_may_follow(const struct cpl_stack *s, const uint8_t *tcp, uint32_t off, uint32_t seq)
{
	const struct cpl_frame *f = s->following;
	const uint8_t *p;

	if (!s->batch || f->len < off + TCP_HLEN)
		return false;
	p = (const uint8_t *)f->data + off;
	return get32(p + 4) == seq && load32(p) == load32(tcp);
}

bool run_begins(struct cpl_stack *s, const struct packet *pkt, const struct seg_in *in)
{
	struct run *run = &s->run;
	const struct ip_hdr *ip = &pkt->ip;
	uint32_t iphl = (uint32_t)ip->hlen, hlen = (uint32_t)(in->tcp.data - pkt->frame);
	uint32_t words = (hlen + (uint32_t)sizeof(run_word) - 1) / (uint32_t)sizeof(run_word);

	words = words < RUN_LEAST ? RUN_LEAST : words;
	/* Its memory must last: what was put together from fragments, or loops, does not. */
	if (!s->batch || !pkt->frame || in->gso_size || in->tcp.len < 8 ||
	    in->tcp.len > RUN_BYTES || in->tcp.flags & NO_RUN || !(in->tcp.flags & TCP_ACK) ||
	    in->tcp.opts & ~(uint32_t)TCP_HAS_TS ||
	    iphl != (ip->version == 4 ? IPV4_HLEN : IPV6_HLEN) ||
	    pkt->frame_len < words * sizeof(run_word) ||
	    !run_may_follow(s, pkt->p + iphl, (uint32_t)(pkt->p - pkt->frame) + iphl,
			    in->tcp.seq + in->tcp.len))
		return false;
	run->in = *in;
	run->ip = *ip;
	run->in.ip = &run->ip;
	run->link = (uint32_t)(pkt->p - pkt->frame);
	run->iphl = iphl;
	run->tcp = run->link + iphl;
	run->hlen = hlen;
	run->words = words;
	run->frame_len = pkt->frame_len;
	run->mss = in->tcp.len;
	run->next = in->tcp.seq + in->tcp.len;
	run->room = run_room(run, s->batch);
	run->to = run->end = NULL;
	run->tcb = NULL;
	run->pieces_n = 1;
	make_masks(run, pkt->frame);
	run->pieces[0] = (struct seg_piece){ in->tcp.data, in->tcp.len, in->lent_off,
					     (uint16_t)in->tcp.flags, in->lent };
	if (in->lent)
		chunk_get(in->lent);
	return true;
}

void run_ends(struct cpl_stack *s, uint64_t now)
{
	struct run *run = &s->run;
	uint32_t total = run->next - run->in.tcp.seq;
	unsigned n = run->pieces_n, pieces = n;

	if (!n)
		return;
	if (run->to) {
		n = (total + run->mss - 1) / run->mss;
		if (n > 1)
			land_filled(run);
	}
	s->counters.frames_in += n - 1;
	s->counters.bytes_in += (uint64_t)(n - 1) * run->frame_len;
	run->in.pieces = run->pieces;
	run->in.pieces_n = pieces;
	run->pieces_n = 0; /* what TCP does may bring packets of its own */
	tcp_input_run(&s->tcp, run->to ? run->tcb : NULL, &run->in, n, total, now);
	for (unsigned i = 0; i < pieces; i++)
		if (run->pieces[i].lent)
			chunk_put(&s->chunks, run->pieces[i].lent);
}
