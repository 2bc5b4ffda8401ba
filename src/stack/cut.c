/* SPDX-License-Identifier: MIT */
/*
 * A super-segment on its way to a device that can't cut it is cut here, one packet a call: TCP
 * made one record and one header for many segments, and what is left to do for each is what differs
 * between them (RFC 9293 3.1: sequence number, flags, checksum; the IP header's length).
 */
#include "stack/stack.h"

#include "base/copy.h"
#include "wire/bytes.h"

#define TCP_CHECK 16u /* where the checksum stands in the header */

static void next_piece(struct cutting *c)
{
	const struct chunk_piece *p = &c->frame->pieces[++c->piece];

	c->data = p->data;
	c->here = p->len;
}

/* The next LEN bytes of payload, shared with F. */
static void share_payload(struct frame *f, struct cutting *c, uint32_t len)
{
	f->payload_len = len;
	while (len) {
		uint32_t n;

		if (!c->here)
			next_piece(c);
		n = c->here < len ? c->here : len;
		f->pieces[f->pieces_n] =
			(struct chunk_piece){ c->data, n, c->frame->pieces[c->piece].chunk };
		chunk_get(f->pieces[f->pieces_n++].chunk);
		c->data += n;
		c->here -= n;
		len -= n;
	}
}

static void cut_ip(const struct cutting *c, bool ipv6, uint8_t *ip, uint32_t payload)
{
	uint32_t len = c->hlen + payload;
	uint16_t field, check;

	if (ipv6) {
		put16(ip + 4, (uint16_t)len);
		return;
	}
	put16(ip + 2, (uint16_t)(len + c->tcp - c->ip));
	memcpy(&field, ip + 2, 2);
	check = sum_finish(c->ip_sum + field);
	memcpy(ip + 10, &check, 2);
}

/*
 * The headers of a packet of full size, but for sequence number, flags and TCP's checksum, if that
 * is ours to make, and the sums of all that is the same in each.
 */
static void prepare(struct cutting *c, struct frame *f, uint32_t link)
{
	uint8_t *ip = f->headers + f->off + link, *tcp;
	uint16_t field;

	c->ip = (uint16_t)link;
	c->tcp = (uint16_t)(link + (f->ipv6 ? IPV6_HLEN : 4u * (ip[0] & 15u)));
	c->hlen = f->len - c->tcp;
	tcp = f->headers + f->off + c->tcp;
	if (!f->ipv6) {
		put16(ip + 2, 0);
		put16(ip + 10, 0);
		c->ip_sum = sum_add(0, ip, c->tcp - c->ip);
	}
	c->seq = get32(tcp + 4);
	c->once = tcp[13] & (TCP_FIN | TCP_PSH);
	c->first = f->ecn ? tcp[13] & TCP_CWR : 0; /* RFC 3168 6.1.2: CWR on the first */
	tcp[13] &= (uint8_t) ~(c->once | c->first);
	/* It is the sum of the pseudo-header so far: with the true addresses, also where a route
	 * goes by another. */
	memcpy(&field, tcp + TCP_CHECK, 2);
	put16(tcp + TCP_CHECK, 0);
	c->pseudo =
		sum_join(field, (uint16_t)~sum_fold(__builtin_bswap32(c->hlen + f->payload_len)));
	put32(tcp + 4, 0);
	c->tcp_sum = sum_join(c->pseudo, sum_add(0, tcp, c->hlen));
	c->left = f->payload_len;
	c->data = f->pieces[0].data;
	c->here = f->pieces[0].len;
	cut_ip(c, f->ipv6, ip, f->gso_size);
	if (!c->offload)
		return;
	field = sum_fold(c->pseudo + __builtin_bswap32(c->hlen + f->gso_size));
	memcpy(tcp + TCP_CHECK, &field, 2);
}

bool cut_begin(struct iface *iface, struct frame *f)
{
	uint32_t can = f->ipv6 ? CPL_IFACE_GSO6 : CPL_IFACE_GSO4;

	if (!f->gso_size || iface->config.flags & can)
		return false;
	iface->cutting =
		(struct cutting){ .frame = f, .offload = iface->config.flags & CPL_IFACE_CSUM_OUT };
	prepare(&iface->cutting, f, iface->config.kind == CPL_IFACE_ETHER ? ETHER_HLEN : 0);
	return true;
}

struct frame *cut_stop(struct iface *iface)
{
	struct cutting *c = &iface->cutting;
	struct frame *f = c->frame;

	if (f)
		f->start += f->payload_len - c->left;
	*c = (struct cutting){ .frame = NULL };
	return f;
}

/*
 * HEAD, as prepare() made it, becomes that of the next packet, of LEN bytes of payload; SUM is that
 * of the payload, unless the checksum is left to the device.
 */
static void cut_headers(const struct cutting *c, uint8_t *head, uint32_t len, uint64_t sum)
{
	uint8_t *tcp = head + c->tcp, flags = 0;
	uint64_t size = __builtin_bswap32(c->hlen + len);
	uint16_t field;

	if (len != c->frame->gso_size)
		cut_ip(c, c->frame->ipv6, head + c->ip, len);
	if (len == c->left)
		flags |= c->once;
	flags |= c->first;
	put32(tcp + 4, c->seq);
	tcp[13] |= flags;
	/* The flags' octet is the odd one of its word. */
	if (c->offload)
		field = sum_fold(c->pseudo + size);
	else
		field = sum_finish(
			sum_join(sum, sum_join(c->tcp_sum, size + __builtin_bswap32(c->seq) +
								   ((uint64_t)flags << 8))));
	memcpy(tcp + TCP_CHECK, &field, 2);
}

/* The payload of the next packet. */
static uint32_t next_len(const struct cutting *c)
{
	return c->left < c->frame->gso_size ? c->left : c->frame->gso_size;
}

/* A packet of LEN bytes of payload has been cut: what is left. */
static void cut_done(struct cpl_stack *s, struct cutting *c, uint32_t len)
{
	c->left -= len;
	c->seq += len;
	c->first = 0;
	if (c->left) {
		c->plain = c->here < c->left ? c->here : c->left - 1;
		return;
	}
	frame_free(s, c->frame);
	c->frame = NULL;
	c->plain = 0;
}

struct frame *cut_next(struct cpl_stack *s, struct iface *iface)
{
	struct cutting *c = &iface->cutting;
	struct frame *p = c->frame, *f = frame_new(s);
	uint32_t len = next_len(c);

	if (!f)
		return NULL;
	f->off = p->off;
	f->len = p->len;
	memcpy(f->headers, p->headers, sizeof(f->headers)); /* of a size known here */
	f->ifindex = p->ifindex;
	f->ipv6 = p->ipv6;
	f->handle = p->handle;
	f->start = p->start + (p->payload_len - c->left);
	f->end = len == c->left ? p->end : f->start + len;
	if (c->offload) {
		f->csum_start = p->csum_start;
		f->csum_offset = p->csum_offset;
	}
	share_payload(f, c, len);
	cut_headers(c, f->headers + f->off, len, c->offload ? 0 : frame_sum(f, s->sum, 0, 0));
	cut_done(s, c, len);
	return f;
}

/* ---- by copy ---- */

/* N bytes, mostly 40 to 64: two copies of a size known here, which may overlap. */
static inline void copy_headers(uint8_t *to, const uint8_t *from, uint32_t n)
{
	if (n < 32 || n > 64) {
		memcpy(to, from, n);
		return;
	}
	memcpy(to, from, 32);
	memcpy(to + n - 32, from + n - 32, 32);
}

/* LEN bytes of payload to TO; their sum, unless that is left to the device. */
static uint64_t copy_payload(struct cutting *c, uint8_t *to, uint32_t len, sum_copy_fn copy)
{
	uint32_t done = 0, n;
	uint64_t sum = 0;

	for (; done < len; done += n, c->data += n, c->here -= n) {
		if (!c->here)
			next_piece(c);
		n = c->here < len - done ? c->here : len - done;
		if (c->offload)
			memcpy(to + done, c->data, n);
		else
			sum = sum_copy_at(copy, sum, to + done, c->data, n, done);
	}
	return sum;
}

static void describe(const struct cutting *c, const uint8_t *to, uint32_t len, struct cpl_out *what)
{
	output_describe(c->frame, to, len, what);
	what->gso_size = what->ecn = 0;
	if (!c->offload)
		what->csum_start = what->csum_offset = 0;
}

static __attribute__((noinline)) int copy_any(struct cpl_stack *s, struct cutting *c, uint8_t *to,
					      size_t size, struct cpl_out *what)
{
	uint32_t len = next_len(c), hlen = c->frame->len;
	uint64_t sum;

	if (what)
		describe(c, to, hlen + len, what);
	if (hlen + len > size)
		return -EMSGSIZE;
	copy_headers(to, c->frame->headers + c->frame->off, hlen);
	sum = copy_payload(c, to + hlen, len, s->sum_copy);
	cut_headers(c, to, len, sum);
	cut_done(s, c, len);
	return (int)(hlen + len);
}

/* A packet of full size was copied to TO. */
static inline int cut_full(struct cutting *c, const uint8_t *to, uint32_t hlen, uint32_t len,
			   struct cpl_out *what)
{
	if (what)
		describe(c, to, hlen + len, what);
	c->data += len;
	c->here -= len;
	c->plain -= len;
	c->left -= len;
	c->seq += len;
	return (int)(hlen + len);
}

/* Most packets differ from the one before in sequence number and text, if the device sums. */
static __attribute__((noinline)) int copy_unsummed(struct cpl_stack *s, struct cutting *c,
						   uint8_t *to, struct cpl_out *what)
{
	const struct frame *p = c->frame;
	uint32_t len = p->gso_size, hlen = p->len;

	copy_headers(to, p->headers + p->off, hlen);
	put32(to + c->tcp + 4, c->seq);
	copy_bytes(s->chunks.wide, to + hlen, c->data, len);
	return cut_full(c, to, hlen, len, what);
}

/* ... and else in the checksum. */
static __attribute__((noinline)) int copy_summed(struct cpl_stack *s, struct cutting *c,
						 uint8_t *to, struct cpl_out *what)
{
	const struct frame *p = c->frame;
	uint32_t len = p->gso_size, hlen = p->len, seq = __builtin_bswap32(c->seq);
	uint64_t sum = __builtin_bswap32(c->hlen + len);
	uint16_t field;

	copy_headers(to, p->headers + p->off, hlen);
	sum = sum_join(c->tcp_sum, sum + seq);
	field = sum_finish(s->sum_copy(sum, to + hlen, c->data, len));
	memcpy(to + c->tcp + 4, &seq, 4);
	memcpy(to + c->tcp + TCP_CHECK, &field, 2);
	return cut_full(c, to, hlen, len, what);
}

int cut_copy(struct cpl_stack *s, struct iface *iface, uint8_t *to, size_t size,
	     struct cpl_out *what)
{
	struct cutting *c = &iface->cutting;
	const struct frame *p = c->frame;

	if (c->plain < p->gso_size || (uint32_t)p->len + p->gso_size > size)
		return copy_any(s, c, to, size, what);
	return c->offload ? copy_unsummed(s, c, to, what) : copy_summed(s, c, to, what);
}
