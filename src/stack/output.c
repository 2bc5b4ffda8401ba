/* SPDX-License-Identifier: MIT */
/*
 * Frames out: TCP segments become IP packets, packets find their interface and their neighbour, and
 * wait there until the device takes them. What goes to our own addresses comes straight back.
 */
#include "stack/stack.h"

#include "wire/bytes.h"

/* ---- frames ---- */

/* It will not go: a connection's data counts as never sent. */
static void frame_drop(struct cpl_stack *s, struct frame *f, uint64_t now)
{
	cpl_handle handle = f->handle;
	uint32_t start = f->start, end = f->end;

	frame_free(s, f);
	if (handle && start != end)
		tcp_stalled(&s->tcp, handle, start, end, now);
}

/* ---- to a device or a neighbour ---- */

static void queue_frame(struct cpl_stack *s, struct frame *f)
{
	struct iface *iface = &s->ifaces[f->ifindex];

	list_push_back(&iface->txq, &f->link);
	iface->txq_n++;
}

static void queue_first(struct cpl_stack *s, struct frame *f)
{
	struct iface *iface = &s->ifaces[f->ifindex];

	list_push_front(&iface->txq, &f->link);
	iface->txq_n++;
}

static void push_ether(struct cpl_stack *s, struct frame *f, const uint8_t mac[6])
{
	struct ether_hdr eth = { .type = f->ipv6 ? ETHER_IPV6 : ETHER_IPV4 };

	memcpy(eth.dst, mac, 6);
	memcpy(eth.src, s->ifaces[f->ifindex].config.mac, 6);
	ether_build(frame_push(f, ETHER_HLEN), &eth);
	if (f->csum_offset)
		f->csum_start += ETHER_HLEN;
}

static void output_ether(struct cpl_stack *s, struct frame *f, uint64_t now)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct list *dropped = NULL;
	struct neigh *n;
	uint8_t group[6];

	if (f->broadcast || addr_is_multicast(&f->next_hop)) {
		ether_multicast(group, &f->next_hop);
		push_ether(s, f, f->broadcast ? broadcast : group);
		queue_frame(s, f);
		return;
	}
	n = neigh_get(&s->neigh, f->ifindex, &f->next_hop, f->handle != 0, now);
	if (!n) {
		s->counters.drop_neigh_queue++;
		frame_drop(s, f, now);
		return;
	}
	if (neigh_use(&s->neigh, n, now)) {
		push_ether(s, f, n->mac);
		queue_frame(s, f);
		return;
	}
	neigh_wait(&s->neigh, n, &f->link, &dropped);
	if (dropped) {
		s->counters.drop_neigh_queue++;
		frame_drop(s, container_of(dropped, struct frame, link), now);
	}
}

void output_hop(struct cpl_stack *s, struct frame *f, uint8_t is, uint64_t now)
{
	struct iface *iface = &s->ifaces[f->ifindex];

	if (is & DST_OWN) {
		list_push_back(&s->loop, &f->link);
		return;
	}
	if (!iface->up) {
		s->counters.drop_iface_down++;
		frame_drop(s, f, now);
		return;
	}
	if (iface->txq_n >= TXQ_MAX) {
		s->counters.drop_tx_queue++;
		frame_drop(s, f, now);
		return;
	}
	f->broadcast = is & DST_BROADCAST;
	if (iface->config.kind == CPL_IFACE_ETHER)
		output_ether(s, f, now);
	else
		queue_frame(s, f);
}

void output_frame(struct cpl_stack *s, struct frame *f, uint64_t now)
{
	output_hop(s, f, dst_get(s, &f->next_hop)->is, now);
}

/* ---- IP ---- */

static uint32_t frame_total(const struct frame *f)
{
	return f->len + f->payload_len;
}

/* The same of the largest packet that F is cut into. */
static uint32_t frame_packet(const struct frame *f)
{
	uint32_t cut = f->gso_size && f->gso_size < f->payload_len ? f->gso_size : f->payload_len;

	return f->len + cut;
}

/* The bytes of F in one piece of memory. */
static uint32_t frame_flatten(const struct frame *f, uint8_t *to)
{
	uint32_t n = f->len;

	memcpy(to, f->headers + f->off, f->len);
	for (unsigned i = 0; i < f->pieces_n; i++) {
		memcpy(to + n, f->pieces[i].data, f->pieces[i].len);
		n += f->pieces[i].len;
	}
	return n;
}

bool frame_copy(struct cpl_stack *s, struct frame *f, const uint8_t *data, uint32_t n)
{
	while (n) {
		struct chunk *c = f->pieces_n < FRAME_PIECES ? chunk_new(&s->chunks, n) : NULL;
		uint32_t len;

		if (!c)
			return false;
		len = n < c->cap ? n : c->cap;
		memcpy(c->data, data, len);
		c->fill = len;
		f->pieces[f->pieces_n++] = (struct chunk_piece){ c->data, len, c };
		f->payload_len += len;
		data += len;
		n -= len;
	}
	return true;
}

/* One fragment: DATA of LEN bytes at OFF of the packet's payload. */
static int send_fragment(struct cpl_stack *s, const struct frame *proto, struct ip_hdr *h,
			 const uint8_t *data, uint32_t len, uint32_t off, bool more, uint64_t now)
{
	struct frame *f = frame_new(s);

	if (!f)
		return -ENOBUFS;
	if (!frame_copy(s, f, data, len)) {
		frame_free(s, f);
		return -ENOBUFS;
	}
	f->ifindex = proto->ifindex;
	f->next_hop = proto->next_hop;
	f->ipv6 = proto->ipv6;
	h->frag_off = off;
	h->more_frags = more;
	if (h->version == 6) {
		uint8_t protocol = h->protocol;

		ip6_frag_build(frame_push(f, IPV6_FRAG_HLEN), protocol, off, more, h->id);
		h->protocol = 44;
		h->len = IPV6_HLEN + IPV6_FRAG_HLEN + len;
		ip_build(frame_push(f, IPV6_HLEN), h);
		h->protocol = protocol;
	} else {
		h->len = IPV4_HLEN + len;
		ip_build(frame_push(f, IPV4_HLEN), h);
	}
	s->counters.fragmented++;
	output_frame(s, f, now);
	return 0;
}

/* RFC 791 3.2, RFC 8200 4.5 */
static int send_fragments(struct cpl_stack *s, struct frame *f, struct ip_hdr *h, uint32_t mtu,
			  uint64_t now)
{
	uint32_t total = frame_total(f), header, step;
	int err = 0;

	if (total > SCRATCH) {
		frame_free(s, f);
		return -EMSGSIZE;
	}
	frame_flatten(f, s->scratch);
	header = h->version == 4 ? IPV4_HLEN : IPV6_HLEN + IPV6_FRAG_HLEN;
	step = (mtu - header) & ~7u;
	h->id = (uint32_t)prng_u64(&s->prng); /* RFC 7739 */
	for (uint32_t off = 0; off < total && !err; off += step) {
		uint32_t len = total - off < step ? total - off : step;

		err = send_fragment(s, f, h, s->scratch + off, len, off, off + len < total, now);
	}
	frame_free(s, f);
	return err;
}

/* As output_ip(), by way of DST. */
static int output_by(struct cpl_stack *s, struct frame *f, struct ip_hdr *h, const struct dst *dst,
		     uint64_t now)
{
	uint32_t header, mtu = dst->mtu;

	h->version = cpl_addr_is4(&h->dst) ? 4 : 6;
	f->ifindex = (uint8_t)dst->route.ifindex;
	f->next_hop = dst->route.next_hop;
	f->ipv6 = h->version == 6;
	header = h->version == 6 ? IPV6_HLEN : IPV4_HLEN + h->options_len;
	h->len = header + frame_total(f);
	if (header + frame_packet(f) > mtu) {
		if (f->gso_size || (h->version == 4 && h->dont_frag)) {
			frame_free(s, f);
			return -EMSGSIZE;
		}
		return send_fragments(s, f, h, mtu, now);
	}
	if (h->version == 4 && !h->dont_frag)
		h->id = (uint32_t)prng_u64(&s->prng); /* a router may cut it (RFC 6864 4.3) */
	ip_build(frame_push(f, header), h);
	if (f->csum_offset)
		f->csum_start += (uint16_t)header;
	output_hop(s, f, dst->hop_is, now);
	return 0;
}

int output_ip(struct cpl_stack *s, struct frame *f, struct ip_hdr *h, int ifindex, uint64_t now)
{
	int err;
	const struct dst *dst = dst_path(s, &h->dst, &h->src, ifindex, &err, now);

	if (dst)
		return output_by(s, f, h, dst, now);
	s->counters.drop_no_route++;
	frame_free(s, f);
	return err;
}

/* ---- TCP ---- */

uint64_t frame_sum(const struct frame *f, sum_fn add, uint64_t sum, size_t at)
{
	for (unsigned i = 0; i < f->pieces_n; i++) {
		sum = sum_add_at(add, sum, f->pieces[i].data, f->pieces[i].len, at);
		at += f->pieces[i].len;
	}
	return sum;
}

/* MUST-2: always. By the device, if it can: then the field holds the pseudo-header's sum. */
static void tcp_checksum(struct frame *f, const struct conn_id *id, sum_fn add, bool offload)
{
	uint8_t *tcp = f->headers + f->off;
	uint64_t sum = sum_pseudo(&id->local, &id->remote, IP_TCP, frame_total(f));
	uint16_t field;

	if (offload) {
		field = sum_fold(sum);
		f->csum_start = 0;
		f->csum_offset = 16;
	} else {
		field = sum_finish(frame_sum(f, add, sum_add(sum, tcp, f->len), f->len));
	}
	memcpy(tcp + 16, &field, 2);
}

/*
 * The loose source route of RFC 791 3.1: what is left after the first hop, then the destination,
 * which H gives up for the first hop.
 */
static void use_route(struct ip_hdr *h, const struct source_route *route, uint8_t options[40])
{
	unsigned n = 3;

	options[0] = IPV4_LSRR;
	options[2] = 4;
	for (unsigned i = 1; i < route->n; i++, n += 4)
		memcpy(options + n, route->hops[i], 4);
	memcpy(options + n, h->dst.b + 12, 4);
	n += 4;
	options[1] = (uint8_t)n;
	while (n % 4)
		options[n++] = 0;
	h->options = options;
	h->options_len = (uint8_t)n;
	h->dst = cpl_addr4(route->hops[0][0], route->hops[0][1], route->hops[0][2],
			   route->hops[0][3]);
}

static void out_free(struct cpl_stack *s, struct tcp_out *out)
{
	for (unsigned i = 0; i < out->pieces_n; i++)
		chunk_put(&s->chunks, out->pieces[i].chunk);
}

void output_unsent(struct cpl_stack *s, struct tcp_out *out, bool at_once, uint64_t now)
{
	cpl_handle handle = tcb_handle(&s->tcp, out->tcb);

	out_free(s, out);
	if (at_once)
		tcp_refused(&s->tcp, handle, out->start, out->end, now);
	else
		tcp_stalled(&s->tcp, handle, out->start, out->end, now);
}

/* Another connection, or a route, has made what fits smaller. False: it is not, so why try again.
 */
static bool fits_less(struct cpl_stack *s, struct tcb *tcb, const struct cpl_addr *dst,
		      uint64_t now)
{
	uint32_t mss = tcb->snd_mss;

	tcb_set_pmtu(tcb, pmtu_get(&s->pmtu, dst, s->ifaces[tcb->ifindex].config.mtu, now));
	return tcb->snd_mss < mss;
}

const struct dst *output_way(struct cpl_stack *s, struct tcp_out *out, const struct cpl_addr *to,
			     uint64_t now)
{
	struct tcb *tcb = out->tcb;
	int err, ifindex;
	const struct dst *dst = dst_path(s, to, &tcb->node.id.local,
					 addr_is_link_local(to) ? tcb->ifindex : 0, &err, now);

	if (!dst) {
		s->counters.drop_no_route++;
		if (out->start == out->end) /* an ACK is lost, as on any link */
			out_free(s, out);
		else
			output_unsent(s, out, false, now);
		return NULL;
	}
	ifindex = dst->route.ifindex;
	if (ifindex == tcb->ifindex)
		return dst;
	output_unsent(s, out, !tcb_route(&s->tcp, tcb, now) && tcb->ifindex == ifindex, now);
	return NULL;
}

static void send_segment(struct cpl_stack *s, struct tcp_out *out, uint64_t now)
{
	struct tcb *tcb = out->tcb;
	struct ip_hdr h = { .src = tcb->node.id.local,
			    .dst = tcb->node.id.remote,
			    .tos = (uint8_t)(tcb->tos | out->ect), /* SHLD-22 */
			    .ttl = tcb->ttl,
			    .protocol = IP_TCP,
			    .dont_frag = true };
	cpl_handle handle = tcb_handle(&s->tcp, tcb);
	uint8_t header[TCP_HLEN_MAX], options[40];
	unsigned len = tcp_build(header, &out->seg);
	const struct dst *dst;
	struct frame *f;
	int err;

	if (tcb->cold && tcb->cold->route.n)
		use_route(&h, &tcb->cold->route, options);
	dst = output_way(s, out, &h.dst, now);
	if (!dst)
		return;
	f = frame_new(s);
	if (!f) {
		output_unsent(s, out, false, now);
		return;
	}
	memcpy(frame_push(f, len), header, len);
	memcpy(f->pieces, out->pieces, out->pieces_n * sizeof(out->pieces[0]));
	f->pieces_n = (uint8_t)out->pieces_n;
	f->payload_len = out->seg.len;
	f->gso_size = (uint16_t)out->gso_size;
	f->ecn = out->seg.flags & TCP_CWR && out->gso_size;
	f->handle = handle;
	f->start = out->start;
	f->end = out->end;
	/* What will be cut, here or by the device, is summed then. */
	tcp_checksum(f, &tcb->node.id, s->sum,
		     f->gso_size || s->ifaces[tcb->ifindex].config.flags & CPL_IFACE_CSUM_OUT);
	err = output_by(s, f, &h, dst, now);
	if (err == -EMSGSIZE && fits_less(s, tcb, &h.dst, now))
		tcp_refused(&s->tcp, handle, out->start, out->end, now);
	else if (err && out->start != out->end) /* an ACK is lost, as on any link */
		tcp_stalled(&s->tcp, handle, out->start, out->end, now);
}

static void send_reply(struct cpl_stack *s, const struct tcp_reply *r, uint64_t now)
{
	struct frame *f = frame_new(s);
	struct ip_hdr h = { .src = r->id.local,
			    .dst = r->id.remote,
			    .tos = r->tos,
			    .ttl = r->ttl,
			    .protocol = IP_TCP,
			    .dont_frag = true };
	uint8_t header[TCP_HLEN_MAX], options[40];
	unsigned len = tcp_build(header, &r->seg);

	if (f) {
		memcpy(frame_push(f, len), header, len);
		tcp_checksum(f, &r->id, s->sum, false);
		if (r->route.n)
			use_route(&h, &r->route, options);
		f->again = true;
		output_ip(s, f, &h, addr_is_link_local(&h.dst) ? r->ifindex : 0, now);
	}
}

/* ---- what is due ---- */

static void neighbour_actions(struct cpl_stack *s, uint64_t now)
{
	enum neigh_action action;
	struct neigh *n;
	struct list *l;

	while ((n = neigh_next_action(&s->neigh, &action)) != NULL) {
		if (action == NEIGH_SOLICIT_MULTICAST || action == NEIGH_SOLICIT_UNICAST) {
			bool unicast = action == NEIGH_SOLICIT_UNICAST;

			if (cpl_addr_is4(&n->addr))
				arp_solicit(s, n, unicast, now);
			else
				nd_solicit(s, n, unicast, now);
			continue;
		}
		while ((l = neigh_take_waiting(n)) != NULL) {
			struct frame *f = container_of(l, struct frame, link);

			if (action == NEIGH_FLUSH) {
				push_ether(s, f, n->mac);
				queue_frame(s, f);
				continue;
			}
			s->counters.drop_neigh_failed++;
			icmp_local_unreachable(s, f, now);
			frame_drop(s, f, now);
		}
	}
}

/* Our own words come back as if a device had brought them. */
static void run_loop(struct cpl_stack *s, uint64_t now)
{
	unsigned budget = 256;

	if (s->in_loop)
		return;
	s->in_loop = true;
	while (!list_empty(&s->loop) && budget--) {
		struct frame *f = list_first(&s->loop, struct frame, link);
		struct packet pkt = { .ifindex = f->ifindex,
				      .csum_ok = true,
				      .gso_size = f->gso_size,
				      .to_us_alone = true };
		uint8_t *copy = s->scratch + SCRATCH;
		uint32_t len = frame_flatten(f, copy);

		frame_free(s, f);
		input_ip(s, copy, len, &pkt, now);
	}
	s->in_loop = false;
}

/* The next of what TCP wants to say without a connection. False: there is none. */
static bool next_reply(struct cpl_stack *s, struct output_to *to, uint64_t now)
{
	struct tcp_reply *r = tcp_next_reply(&s->tcp, now);

	if (!r)
		return false;
	if (!reply_plain(s, r, to, now))
		send_reply(s, r, now);
	tcp_reply_free(&s->tcp, r);
	return true;
}

void output_run_all(struct cpl_stack *s, uint64_t now)
{
	run_loop(s, now);
	while (next_reply(s, NULL, now))
		;
	neighbour_actions(s, now);
}

void output_flush(struct cpl_stack *s, int ifindex, uint64_t now)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct frame *cut = cut_stop(iface);

	if (cut) {
		s->counters.drop_iface_down++;
		frame_drop(s, cut, now);
	}
	while (!list_empty(&iface->txq)) {
		struct frame *f = list_first(&iface->txq, struct frame, link);

		iface->txq_n--;
		s->counters.drop_iface_down++;
		frame_drop(s, f, now);
	}
}

/* F was refused: what nobody would make anew, an RST above all, is offered once more. */
bool output_again(struct cpl_stack *s, struct frame *f)
{
	struct iface *iface = &s->ifaces[f->ifindex];

	if (!f->again || !iface->up)
		return false;
	f->again = false;
	f->at_device = false;
	queue_first(s, f);
	return true;
}

/* The next frame is another connection's, if TCB is still ready. */
static inline void move_on(struct cpl_stack *s, struct tcb *tcb)
{
	if (!list_linked(&tcb->ready))
		return;
	list_del(&tcb->ready);
	list_push_back(&s->tcp.ifaces[tcb->ifindex].ready, &tcb->ready);
}

/*
 * The frame that is next in the queue, which is filled where it is empty. NULL: there is none; or
 * it went straight to TO, which may be NULL.
 */
static struct frame *take_frame(struct cpl_stack *s, int ifindex, struct output_to *to,
				uint64_t now)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct tcp_out out;
	struct tcb *tcb;
	struct frame *f;

	while (list_empty(&iface->txq)) {
		tcb = tcp_next_ready(&s->tcp, ifindex);
		if (!tcb)
			return NULL;
		if (!tcp_pull(&s->tcp, tcb, &out, now))
			continue;
		move_on(s, tcb);
		if (!output_plain(s, &out, to, now))
			send_segment(s, &out, now);
		if (to && to->len)
			return NULL;
		output_run(s, now);
	}
	f = list_first(&iface->txq, struct frame, link);
	list_del(&f->link);
	iface->txq_n--;
	return f;
}

struct frame *output_next(struct cpl_stack *s, int ifindex, uint64_t now)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct frame *f;

	if (!iface->cutting.frame) {
		f = take_frame(s, ifindex, NULL, now);
		if (!f || !cut_begin(iface, f))
			return f;
	}
	f = cut_next(s, iface);
	if (!f)
		frame_drop(s, cut_stop(iface), now);
	return f;
}

void output_describe(const struct frame *f, const void *data, uint32_t len, struct cpl_out *out)
{
	out->iov[0] = (struct cpl_iov){ data, len };
	out->iov_n = 1;
	out->len = len;
	out->gso_size = f->gso_size;
	out->csum_start = f->csum_offset ? f->csum_start : 0;
	out->csum_offset = f->csum_offset;
	out->header_len = f->len;
	out->ipv6 = f->ipv6;
	out->ecn = f->ecn;
	out->reserved = 0;
	out->token = 0;
}

/* Too long: it stays the first. */
static int copy_frame(struct cpl_stack *s, struct frame *f, const struct output_to *to)
{
	uint32_t len = frame_total(f);

	if (to->what)
		output_describe(f, to->data, len, to->what);
	if (len > to->size) {
		queue_first(s, f);
		return -EMSGSIZE;
	}
	frame_flatten(f, to->data);
	frame_free(s, f);
	return (int)len;
}

/* What leaves next goes by a frame, unless it is plain. */
static __attribute__((noinline)) int copy_any(struct cpl_stack *s, int ifindex,
					      struct output_to *to, uint64_t now)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct frame *f;

	if (!list_empty(&s->loop) || !list_empty(&s->neigh.actions))
		output_run_all(s, now);
	while (list_empty(&iface->txq) && next_reply(s, to, now))
		if (to->len)
			return (int)to->len;
	f = take_frame(s, ifindex, to, now);
	if (!f)
		return (int)to->len;
	if (!cut_begin(iface, f))
		return copy_frame(s, f, to);
	return cut_copy(s, iface, to->data, to->size, to->what);
}

/* TCB alone is ready. */
static __attribute__((noinline)) int copy_ready(struct cpl_stack *s, struct tcb *tcb, int ifindex,
						void *data, size_t size, struct cpl_out *what,
						uint64_t now)
{
	struct output_to to = { data, size, what, ifindex, 0 };

	if (!tcb || !output_whole(s, tcb, &to, now))
		return copy_any(s, ifindex, &to, now);
	move_on(s, tcb);
	return (int)to.len;
}

#define LINE 64u

/* Where the next frame will go was mostly long not touched: what a short one fills is fetched. */
static inline void fetch_place(const uint8_t *data, size_t size)
{
	__builtin_prefetch(data, 1);
	if (size <= 3 * LINE)
		return;
	__builtin_prefetch(data + LINE, 1);
	__builtin_prefetch(data + 2 * LINE, 1);
}

/* Mostly the next of many is cut from a frame; or there is nothing, or one connection is ready. */
int output_copy(struct cpl_stack *s, int ifindex, void *data, size_t size, struct cpl_out *what,
		uint64_t now)
{
	struct iface *iface = &s->ifaces[ifindex];
	struct tcb *tcb = NULL;

	if (iface->cutting.frame)
		return cut_copy(s, iface, data, size, what);
	if (list_empty(&iface->txq) && !output_waits(s)) {
		tcb = tcp_next_ready(&s->tcp, ifindex);
		if (!tcb) {
			fetch_place(data, size);
			return 0;
		}
	}
	return copy_ready(s, tcb, ifindex, data, size, what, now);
}
