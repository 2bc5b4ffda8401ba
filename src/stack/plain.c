/* SPDX-License-Identifier: MIT */
/*
 * A short way through IP for what mostly comes and goes: segments over IPv4, without options of
 * IP's, between two addresses of which one was found ours and the other good a packet ago. What
 * comes is looked at where it lies; what tcp/fast.c does not take is parsed, and goes to TCP as by
 * the long way. What goes, of a connection or in its place, gets both headers in one piece. All
 * else, and all that is wrong, is left to the long way as if nothing had been done.
 */
#include "stack/stack.h"

#include "tcp/fast.h"
#include "wire/bytes.h"

/* The sum of the pseudo-header of a segment of LEN octets. */
static uint64_t plain_pseudo(const uint8_t *ip, uint32_t len)
{
	return sum_join(load64(ip + 12), (uint64_t)swap32(IP_TCP) + swap32(len));
}

/* ---- what comes ---- */

/* The IPv4 packet in F, for this host's link address; *LEN bytes are there. NULL: it is not. */
static const uint8_t *plain_packet(const struct iface *iface, const struct cpl_frame *f,
				   uint32_t *len)
{
	const uint8_t *p = f->data;

	*len = f->len;
	if (iface->config.kind == CPL_IFACE_ETHER) {
		if (f->len < ETHER_HLEN || load32(p) != load32(iface->config.mac) ||
		    get16(p + 4) != get16(iface->config.mac + 4) || get16(p + 12) != ETHER_IPV4)
			return NULL;
		p += ETHER_HLEN;
		*len -= ETHER_HLEN;
	}
	return *len >= IPV4_HLEN + TCP_HLEN ? p : NULL;
}

/* The header at IP is one of a whole TCP segment from this peer to us, and right. */
static bool plain_ip(const struct cpl_stack *s, const uint8_t *ip, uint32_t len)
{
	uint32_t total = get16(ip + 2);

	return ip[0] == 0x45 && ip[9] == IP_TCP && !(get16(ip + 6) & ~IPV4_DF) &&
	       load64(ip + 12) == s->pair && s->pair_generation == s->routes.generation &&
	       total <= len && total >= IPV4_HLEN + TCP_HLEN && !sum_finish(sum_20(ip));
}

/* Source and destination are the peer of TCB and we; IP's are looked at already. */
static bool is_for(const struct tcb *tcb, const uint8_t *ip, const uint8_t *tcp)
{
	const struct conn_id *id = &tcb->node.id;

	return tcb_is4(tcb) && load32(ip + 12) == load32(id->remote.b + 12) &&
	       load32(ip + 16) == load32(id->local.b + 12) && get16(tcp) == id->rport &&
	       get16(tcp + 2) == id->lport;
}

/* What tcp/fast.c looks at. False: it has other options than timestamps, or is cut. */
static inline bool plain_tcp(const uint8_t *p, uint32_t len, struct tcp_seg *seg)
{
	uint32_t hlen = (p[12] >> 4) * 4u;

	seg->opts = 0;
	if (hlen != TCP_HLEN) {
		if (hlen != TCP_HLEN + 12 || len < hlen || get32(p + TCP_HLEN) != TCP_OPTS_TS)
			return false;
		seg->opts = TCP_HAS_TS;
		seg->tsval = get32(p + TCP_HLEN + 4);
		seg->tsecr = get32(p + TCP_HLEN + 8);
	}
	seg->seq = get32(p + 4);
	seg->ack = get32(p + 8);
	seg->flags = get16(p + 12) & TCP_FLAGS;
	seg->wnd = get16(p + 14);
	seg->data = p + hlen;
	seg->len = len - hlen;
	return true;
}

/* The same as by tcp_parse(), but for the checksum. */
static bool plain_tcp_whole(const uint8_t *p, uint32_t len, struct tcp_seg *seg)
{
	seg->tsval = seg->tsecr = 0;
	if (!plain_tcp(p, len, seg))
		return false;
	seg->sport = get16(p);
	seg->dport = get16(p + 2);
	seg->up = get16(p + 18);
	seg->hlen = (uint8_t)(len - seg->len);
	seg->wscale = seg->sack_n = 0;
	seg->mss = 0;
	return true;
}

/* Of the connections met lately, that which has the ports of the segment at P. */
static struct tcb *plain_tcb(const struct demux *d, const uint8_t *p)
{
	struct demux_node *node = d->recent[demux_recent((uint32_t)get16(p) << 16 | get16(p + 2))];

	return node ? container_of(node, struct tcb, node) : NULL;
}

/* The header of the packet at IP, which plain_ip() found right: the last one's, but for this. */
static const struct ip_hdr *plain_header(struct cpl_stack *s, const uint8_t *ip)
{
	struct ip_hdr *h = &s->pair_ip;

	h->len = get16(ip + 2);
	h->tos = ip[1];
	h->id = get16(ip + 4);
	h->dont_frag = get16(ip + 6) != 0;
	h->ttl = ip[8];
	return h;
}

/* Any segment of LEN octets behind the header at IP. False: TCP's header is not right. */
static __attribute__((noinline)) bool input_parsed(struct cpl_stack *s, int ifindex,
						   const uint8_t *ip, uint32_t len, uint64_t now)
{
	const uint8_t *p = ip + IPV4_HLEN;
	struct seg_in in;

	in.ip = plain_header(s, ip);
	/* What a SYN has no option for, is looked for all the same. */
	if ((p[13] & TCP_SYN || !plain_tcp_whole(p, len, &in.tcp)) &&
	    tcp_parse(p, len, &in.ip->src, &in.ip->dst, true, &in.tcp) != TCP_OK)
		return false;
	in.lent = NULL;
	in.lent_off = in.gso_size = 0;
	in.ifindex = ifindex;
	in.pieces = NULL;
	in.pieces_n = 0;
	tcp_input(&s->tcp, &in, now);
	return true;
}

/* What tcp/fast.c takes: next in order, and it acknowledges all. */
static bool input_expected(struct cpl_stack *s, const uint8_t *ip, uint32_t len, uint64_t now)
{
	const uint8_t *p = ip + IPV4_HLEN;
	struct tcb *tcb = plain_tcb(&s->tcp.demux, p);
	struct tcp_seg seg;

	if (!tcb || get32(p + 4) != tcb->rcv_nxt || get32(p + 8) != tcb->snd_nxt ||
	    !is_for(tcb, ip, p) || !plain_tcp(p, len, &seg) || trace_on(&s->trace))
		return false;
	s->tcp.dropped = 0;
	s->tcp.demux.met = &tcb->node;
	s->tcp.demux.met_kind = KIND_TCB;
	if (!fast_input(&s->tcp, tcb, &seg, now))
		return false;
	s->counters.segs_in++;
	return true;
}

/* What the packet at IP in F seems to be goes on in the next frame. */
static bool begins_run(const struct cpl_stack *s, const struct cpl_frame *f, const uint8_t *ip)
{
	const uint8_t *p = ip + IPV4_HLEN;
	uint32_t hlen = IPV4_HLEN + (p[12] >> 4) * 4u, len = get16(ip + 2);

	return s->batch && len > hlen &&
	       run_may_follow(s, p, (uint32_t)(p - (const uint8_t *)f->data),
			      get32(p + 4) + len - hlen);
}

bool input_plain(struct cpl_stack *s, int ifindex, const struct cpl_frame *f, uint64_t now)
{
	const struct iface *iface = &s->ifaces[ifindex];
	const uint8_t *ip, *p;
	uint32_t len;

	if (f->gso_size || f->flags & CPL_FRAME_LEND || !iface->up || s->in_loop || s->tcp.long_way)
		return false;
	ip = plain_packet(iface, f, &len);
	if (!ip)
		return false;
	p = ip + IPV4_HLEN;
	if (begins_run(s, f, ip) || !plain_ip(s, ip, len))
		return false;
	len = get16(ip + 2) - IPV4_HLEN;
	if (!(f->flags & (CPL_FRAME_CSUM_OK | CPL_FRAME_CSUM_PARTIAL)) &&
	    sum_finish(sum_any(s->sum, plain_pseudo(ip, len), p, len)))
		return false;
	if (!input_expected(s, ip, len, now) && !input_parsed(s, ifindex, ip, len, now))
		return false;
	s->counters.frames_in++;
	s->counters.bytes_in += f->len;
	return true;
}

void input_plain_learn(struct cpl_stack *s, const struct packet *pkt)
{
	s->pair = load64(pkt->p + 12);
	s->pair_generation = s->routes.generation;
	s->pair_ip = (struct ip_hdr){ .src = pkt->ip.src,
				      .dst = pkt->ip.dst,
				      .version = 4,
				      .protocol = IP_TCP,
				      .hlen = IPV4_HLEN };
}

/* ---- what goes ---- */

/* TCP's options are timestamps or none. */
static bool is_bare(const struct tcp_seg *seg)
{
	return !(seg->opts & ~TCP_HAS_TS) && !(seg->flags & TCP_SYN);
}

/* What mostly goes: IPv4 without options; if TCP has but timestamps, text in one piece; or none. */
static bool is_plain(const struct cpl_stack *s, const struct tcp_out *out)
{
	return out->pieces_n <= is_bare(&out->seg) && !out->gso_size && tcb_is4(out->tcb) &&
	       !out->tcb->cold && !s->tcp.long_way;
}

static uint32_t plain_hlen(const struct tcp_seg *seg)
{
	return seg->opts ? TCP_HLEN + 12 : TCP_HLEN;
}

/* A SYN, with or without ACK, with the options of most, and timestamps or not. */
static bool is_usual_syn(const struct tcp_seg *seg)
{
	return seg->flags & TCP_SYN && (seg->opts & ~TCP_HAS_TS) == TCP_HAS_SYN;
}

/* Octets of the header of SEG; MADE, but for its checksum, is one that is neither of these two. */
static uint32_t made_hlen(const struct tcp_seg *seg, uint8_t made[TCP_HLEN_MAX])
{
	if (is_bare(seg))
		return plain_hlen(seg);
	if (is_usual_syn(seg))
		return TCP_HLEN + (seg->opts & TCP_HAS_TS ? 20 : 12);
	return tcp_build(made, seg);
}

/* The addresses of ID as they stand in a packet to its peer. */
static uint64_t pair_out(const struct conn_id *id)
{
	return load32(id->local.b + 12) | (uint64_t)load32(id->remote.b + 12) << 32;
}

/* As ip_build() makes it of a packet of LEN octets. */
static inline void plain_ip_header(uint8_t *ip, uint64_t pair, uint32_t tos, uint32_t ttl,
				   uint32_t len)
{
	uint64_t first =
		swap64(0x45ull << 56 | (uint64_t)tos << 48 | (uint64_t)len << 32 | IPV4_DF);
	uint32_t third = swap32(ttl << 24 | IP_TCP << 16);

	third |= (uint32_t)sum_finish(sum_join(sum_join(first, pair), third)) << 16;
	store64(ip, first);
	store32(ip + 8, third);
	store64(ip + 12, pair);
}

/*
 * TCP's header as tcp_build() makes it, with its checksum; SUM: of the text. Summed as it is made:
 * what was just stored in parts is slow to load as a whole.
 */
static inline void plain_tcp_header(uint8_t *tcp, const struct conn_id *id,
				    const struct tcp_seg *seg, uint64_t pair, uint64_t sum,
				    bool offload)
{
	uint32_t hlen = plain_hlen(seg), len = hlen + seg->len;
	uint64_t word[2], option = 0;
	uint32_t up = swap32(seg->up), tsecr = 0;

	word[0] = swap64((uint64_t)id->lport << 48 | (uint64_t)id->rport << 32 | seg->seq);
	word[1] = swap64((uint64_t)seg->ack << 32 | hlen << 26 | (uint32_t)seg->flags << 16 |
			 seg->wnd);
	if (seg->opts) {
		option = swap64((uint64_t)TCP_OPTS_TS << 32 | seg->tsval);
		tsecr = swap32(seg->tsecr);
		store64(tcp + 20, option);
		store32(tcp + 28, tsecr);
	}
	sum = sum_join(sum, sum_join(pair, (uint64_t)swap32(IP_TCP) + swap32(len)));
	if (offload) {
		up |= sum_fold(sum);
	} else {
		sum = sum_join(sum, sum_join(word[0], word[1]));
		up |= sum_finish(sum_join(sum, sum_join(option, (uint64_t)tsecr + up)));
	}
	store64(tcp, word[0]);
	store64(tcp + 8, word[1]);
	store32(tcp + 16, up);
}

/* The same of a usual SYN without text. */
static inline void syn_header(uint8_t *tcp, const struct conn_id *id, const struct tcp_seg *seg,
			      uint64_t pair, bool offload)
{
	bool ts = seg->opts & TCP_HAS_TS;
	uint32_t len = TCP_HLEN + (ts ? 20 : 12), up = swap32(seg->up);
	uint32_t scale = swap32((uint32_t)TCP_OPT_SCALE << 8 | seg->wscale);
	uint64_t word[3], times = 0;
	uint64_t sum = sum_join(pair, (uint64_t)swap32(IP_TCP) + swap32(len));

	word[0] = swap64((uint64_t)id->lport << 48 | (uint64_t)id->rport << 32 | seg->seq);
	word[1] = swap64((uint64_t)seg->ack << 32 | len << 26 | (uint32_t)seg->flags << 16 |
			 seg->wnd);
	word[2] = swap64((uint64_t)TCP_OPT_MSS << 48 | (uint64_t)seg->mss << 32 |
			 (ts ? TCP_OPTS_SACK_TS : TCP_OPTS_SACK));
	if (ts) {
		times = swap64((uint64_t)seg->tsval << 32 | seg->tsecr);
		store64(tcp + 28, times);
	}
	if (offload) {
		up |= sum_fold(sum);
	} else {
		sum = sum_join(sum, sum_join(word[0], word[1]));
		sum = sum_join(sum, sum_join(word[2], times));
		up |= sum_finish(sum_join(sum, (uint64_t)scale + up));
	}
	store64(tcp, word[0]);
	store64(tcp + 8, word[1]);
	store32(tcp + 16, up);
	store64(tcp + 20, word[2]);
	store32(tcp + len - 4, scale);
}

/* Both headers; SUM: of the text, 0 with OFFLOAD. */
static inline void plain_headers(uint8_t *ip, const struct tcb *tcb, const struct tcp_seg *seg,
				 uint32_t ect, uint64_t sum, bool offload)
{
	const struct conn_id *id = &tcb->node.id;
	uint64_t pair = pair_out(id);

	plain_ip_header(ip, pair, tcb->tos | ect, tcb->ttl, IPV4_HLEN + plain_hlen(seg) + seg->len);
	plain_tcp_header(ip + IPV4_HLEN, id, seg, pair, sum, offload);
}

/* A segment without text, with its header of LEN octets, in which its checksum is missing. */
static void sum_made(uint8_t *tcp, uint32_t len, uint64_t pair, bool offload)
{
	uint64_t sum = sum_join(pair, (uint64_t)swap32(IP_TCP) + swap32(len));

	store16(tcp + 16, offload ? sum_fold(sum) : sum_finish(sum_add(sum, tcp, len)));
}

/* The way of the last plain segment is that of PAIR, too. */
static inline bool is_way(const struct cpl_stack *s, const struct dst *way, uint64_t pair)
{
	return way && s->way_pair == pair && way->route_generation == s->routes.generation &&
	       way->pmtu_generation == s->pmtu.generation;
}

/* output_way(), if need be: it is looked up. */
static const struct dst *plain_way(struct cpl_stack *s, struct tcp_out *out, uint64_t now)
{
	const struct dst *way = s->way;
	const struct tcb *tcb = out->tcb;
	uint64_t pair = pair_out(&tcb->node.id);

	if (is_way(s, way, pair) && way->route.ifindex == tcb->ifindex)
		return way;
	way = output_way(s, out, &tcb->node.id.remote, now);
	s->way = way == &s->dst_once ? NULL : way;
	s->way_pair = pair;
	return way;
}

/* The link header of a packet by way of DST, at TO; returns where the packet itself begins. */
static inline uint8_t *put_link(const struct iface *iface, const struct neigh *n, uint8_t *to)
{
	if (!n)
		return to;
	store32(to, load32(n->mac));
	store16(to + 4, load16(n->mac + 4));
	store16(to + 6, load16(iface->config.mac));
	store32(to + 8, load32(iface->config.mac + 2));
	put16(to + 12, ETHER_IPV4);
	return to + ETHER_HLEN;
}

/* A device's memory has room for a packet of LEN octets by way of DST. */
static inline bool has_place(const struct iface *iface, const struct dst *dst, uint32_t len,
			     const struct output_to *to)
{
	if (!iface->up || dst->hop_is & (DST_OWN | DST_MULTICAST | DST_BROADCAST))
		return false;
	return len + (iface->config.kind == CPL_IFACE_ETHER ? ETHER_HLEN : 0) <= to->size;
}

/* The neighbour by way of DST, if it is the last one met, and nothing changes if it is used. */
static inline struct neigh *neigh_at_hand(const struct cpl_stack *s, const struct dst *dst,
					  uint64_t now)
{
	struct neigh *n = s->neigh.met;

	return n && n->ifindex == dst->route.ifindex && neigh_in_use(n, now) &&
			       cpl_addr_equal(&n->addr, &dst->route.next_hop)
		       ? n
		       : NULL;
}

/* Where a packet of LEN octets by way of DST may be written at once, behind its link header. */
static uint8_t *copy_place(struct cpl_stack *s, const struct dst *dst, uint32_t len,
			   const struct output_to *to, uint64_t now)
{
	const struct iface *iface = &s->ifaces[dst->route.ifindex];
	struct neigh *n = NULL;

	if (!has_place(iface, dst, len, to))
		return NULL;
	if (iface->config.kind == CPL_IFACE_ETHER) {
		n = neigh_at_hand(s, dst, now);
		if (!n)
			n = neigh_find(&s->neigh, dst->route.ifindex, &dst->route.next_hop);
		else if (s->neigh.lru.prev == &n->lru)
			return put_link(iface, n, to->data);
		if (!n || !neigh_use(&s->neigh, n, now))
			return NULL;
	}
	return put_link(iface, n, to->data);
}

/* As output_describe(). */
static void describe_plain(const struct output_to *to, uint16_t ip, uint16_t hlen, bool offload)
{
	struct cpl_out *what = to->what;

	what->iov[0] = (struct cpl_iov){ to->data, to->len };
	what->iov_n = 1;
	what->len = to->len;
	what->csum_start = offload ? ip + IPV4_HLEN : 0;
	what->csum_offset = offload ? 16 : 0;
	what->header_len = hlen;
	what->gso_size = 0;
	what->ipv6 = what->ecn = 0;
	what->reserved = 0;
	what->token = 0;
}

/* PIECE to TEXT. Returns its sum, 0 with OFFLOAD. */
static inline uint64_t copy_text(const struct cpl_stack *s, uint8_t *text,
				 const struct chunk_piece *piece, bool offload)
{
	if (offload) {
		memcpy(text, piece->data, piece->len);
		return 0;
	}
	return piece->len <= SUM_FEW ? sum_copy_few(text, piece->data, piece->len)
				     : s->sum_copy(0, text, piece->data, piece->len);
}

/* The packet at IP is complete, with HLEN octets of headers, and LEN in all. */
static inline void is_copied(const uint8_t *ip, uint32_t hlen, uint32_t len, bool offload,
			     struct output_to *to)
{
	uint32_t link = (uint32_t)(ip - to->data);

	to->len = link + len;
	if (to->what)
		describe_plain(to, (uint16_t)link, (uint16_t)(link + hlen), offload);
}

/* The header of SEG, which is not bare, at TCP: HLEN octets, and MADE, as made_hlen() says. */
static void put_made(uint8_t *tcp, const struct conn_id *id, const struct tcp_seg *seg,
		     uint32_t hlen, const uint8_t *made, uint64_t pair, bool offload)
{
	if (is_usual_syn(seg)) {
		syn_header(tcp, id, seg, pair, offload);
		return;
	}
	memcpy(tcp, made, hlen);
	sum_made(tcp, hlen, pair, offload);
}

/* HLEN and MADE: as made_hlen() says. */
static void put_headers(uint8_t *ip, const struct tcp_out *out, uint32_t hlen, const uint8_t *made,
			uint64_t sum, bool offload)
{
	const struct tcb *tcb = out->tcb;
	const struct conn_id *id = &tcb->node.id;
	uint64_t pair = pair_out(id);

	if (is_bare(&out->seg)) {
		plain_headers(ip, tcb, &out->seg, out->ect, sum, offload);
		return;
	}
	plain_ip_header(ip, pair, tcb->tos | out->ect, tcb->ttl, IPV4_HLEN + hlen);
	put_made(ip + IPV4_HLEN, id, &out->seg, hlen, made, pair, offload);
}

/* OUT, LEN octets with its IP header, at IP in TO's memory. */
static void copy_plain(struct cpl_stack *s, const struct tcp_out *out, const uint8_t *made,
		       uint32_t len, bool offload, uint8_t *ip, struct output_to *to)
{
	uint32_t hlen = len - out->seg.len;
	uint64_t sum = 0;

	if (out->pieces_n) {
		sum = copy_text(s, ip + hlen, &out->pieces[0], offload);
		chunk_put(&s->chunks, out->pieces[0].chunk);
	}
	put_headers(ip, out, hlen - IPV4_HLEN, made, sum, offload);
	is_copied(ip, hlen, len, offload, to);
}

bool output_whole(struct cpl_stack *s, struct tcb *tcb, struct output_to *to, uint64_t now)
{
	const struct iface *iface = &s->ifaces[tcb->ifindex];
	bool offload = iface->config.flags & CPL_IFACE_CSUM_OUT;
	const struct dst *dst = s->way;
	struct chunk_piece text;
	struct neigh *n = NULL;
	struct tcp_seg seg;
	uint32_t hlen;
	uint8_t *ip;

	if (tcb->snd_una != tcb->snd_nxt || tcb->cold || !tcb_is4(tcb) ||
	    !is_way(s, dst, pair_out(&tcb->node.id)) || dst->route.ifindex != tcb->ifindex)
		return false;
	hlen = IPV4_HLEN + (tcb_has(tcb, TCB_TS) ? TCP_HLEN + 12 : TCP_HLEN);
	if (hlen + tcb->snd_mss > dst->mtu || !has_place(iface, dst, hlen + tcb->snd_mss, to))
		return false;
	if (iface->config.kind == CPL_IFACE_ETHER && !(n = neigh_at_hand(s, dst, now)))
		return false;
	text.len = 0;
	if (!(tcb->state == CPL_ESTABLISHED ? fast_whole(&s->tcp, tcb, &seg, &text, now)
					    : fast_fin(&s->tcp, tcb, &seg, now)))
		return false;
	if (n && s->neigh.lru.prev != &n->lru)
		neigh_use(&s->neigh, n, now);
	ip = put_link(iface, n, to->data);
	plain_headers(ip, tcb, &seg, 0, text.len ? copy_text(s, ip + hlen, &text, offload) : 0,
		      offload);
	is_copied(ip, hlen, hlen + seg.len, offload, to);
	return true;
}

bool output_plain(struct cpl_stack *s, struct tcp_out *out, struct output_to *to, uint64_t now)
{
	struct tcb *tcb = out->tcb;
	bool offload = s->ifaces[tcb->ifindex].config.flags & CPL_IFACE_CSUM_OUT;
	uint8_t made[TCP_HLEN_MAX];
	const struct dst *dst;
	uint32_t hlen, len;
	struct frame *f;
	uint8_t *ip;

	if (!is_plain(s, out))
		return false;
	hlen = made_hlen(&out->seg, made);
	len = IPV4_HLEN + hlen + out->seg.len;
	dst = plain_way(s, out, now);
	if (!dst)
		return true;
	if (len > dst->mtu)
		return false;
	ip = to ? copy_place(s, dst, len, to, now) : NULL;
	if (ip) {
		copy_plain(s, out, made, len, offload, ip, to);
		return true;
	}
	f = frame_new(s);
	if (!f) {
		output_unsent(s, out, false, now);
		return true;
	}
	if (out->pieces_n)
		f->pieces[f->pieces_n++] = out->pieces[0];
	f->payload_len = out->seg.len;
	f->handle = tcb_handle(&s->tcp, tcb);
	f->start = out->start;
	f->end = out->end;
	f->ifindex = tcb->ifindex;
	f->next_hop = dst->route.next_hop;
	f->csum_start = offload ? IPV4_HLEN : 0;
	f->csum_offset = offload ? 16 : 0;
	put_headers(frame_push(f, IPV4_HLEN + hlen), out, hlen, made,
		    offload || !out->pieces_n
			    ? 0
			    : sum_any(s->sum, 0, out->pieces[0].data, out->pieces[0].len),
		    offload);
	output_hop(s, f, dst->hop_is, now);
	return true;
}

bool reply_plain(struct cpl_stack *s, const struct tcp_reply *r, struct output_to *to, uint64_t now)
{
	const struct dst *dst = s->way;
	uint8_t made[TCP_HLEN_MAX], *ip;
	struct frame *f = NULL;
	uint32_t hlen, len;
	uint64_t pair;

	if (!conn_id_is4(&r->id) || r->route.n || s->tcp.long_way)
		return false;
	pair = pair_out(&r->id);
	if (!is_way(s, dst, pair))
		return false;
	hlen = made_hlen(&r->seg, made);
	len = IPV4_HLEN + hlen;
	if (len > dst->mtu)
		return false;
	ip = to && dst->route.ifindex == to->ifindex ? copy_place(s, dst, len, to, now) : NULL;
	if (!ip) {
		f = frame_new(s);
		if (!f)
			return false;
		f->again = true;
		f->ifindex = (uint8_t)dst->route.ifindex;
		f->next_hop = dst->route.next_hop;
		ip = frame_push(f, len);
	}
	plain_ip_header(ip, pair, r->tos, r->ttl, len);
	if (is_bare(&r->seg))
		plain_tcp_header(ip + IPV4_HLEN, &r->id, &r->seg, pair, 0, false);
	else
		put_made(ip + IPV4_HLEN, &r->id, &r->seg, hlen, made, pair, false);
	if (f)
		output_hop(s, f, dst->hop_is, now);
	else
		is_copied(ip, len, len, false, to);
	return true;
}
