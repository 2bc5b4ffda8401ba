/* SPDX-License-Identifier: MIT */
/* Cutting super-segments and completing checksums: see cut.h. */
#include "sim/cut.h"

#include <errno.h>
#include <string.h>

#include "sim/packet.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/tcp.h"

/* Where the parts of the super-segment are, from the frame's start. */
struct parts {
	uint32_t ip, tcp, payload;
	uint8_t version;
	struct packet packet;
};

/* The field holds the pseudo-header's sum: it is summed along with the rest. */
static int complete(const struct cut_frame *frame, uint8_t *out)
{
	uint32_t at = frame->csum_start + frame->csum_offset;
	uint16_t sum;

	memcpy(out, frame->data, frame->len);
	if (!frame->csum_start && !frame->csum_offset)
		return 0;
	if (at + 2 > frame->len)
		return -EINVAL;
	sum = sum_finish(sum_add(0, out + frame->csum_start, frame->len - frame->csum_start));
	/* RFC 768: a sum of zero is sent as all ones; in TCP both mean the same. */
	if (sum == 0 && frame->csum_offset == 6)
		sum = 0xffff;
	memcpy(out + at, &sum, 2);
	return 0;
}

static int find_parts(const struct cut_frame *frame, struct parts *parts)
{
	struct packet *p = &parts->packet;

	if (!packet_read(p, frame->data, frame->len, frame->ether) || !p->tcp || p->ip.fragment)
		return -EINVAL;
	parts->ip = (uint32_t)(p->ip_start - frame->data);
	parts->tcp = (uint32_t)(p->transport - frame->data);
	parts->payload = parts->tcp + p->transport_len - p->payload;
	parts->version = p->ip.version;
	return 0;
}

/* The headers of the segment whose payload starts OFF bytes into the super-segment's. */
static void write_headers(uint8_t *out, const struct parts *parts, uint32_t index, uint32_t off,
			  uint32_t n)
{
	uint8_t *ip = out + parts->ip, *tcp = out + parts->tcp;
	uint32_t tcp_len = parts->payload - parts->tcp + n;
	uint16_t sum;

	put32(tcp + 4, parts->packet.seq + off);
	if (off + n < parts->packet.payload)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (index > 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
	if (parts->version == 4) {
		put16(ip + 2, (uint16_t)(parts->tcp - parts->ip + tcp_len));
		put16(ip + 4, (uint16_t)(get16(ip + 4) + index));
		put16(ip + 10, 0);
		sum = sum_finish(sum_add(0, ip, parts->tcp - parts->ip));
		memcpy(ip + 10, &sum, 2);
	} else {
		put16(ip + 4, (uint16_t)(parts->tcp - parts->ip - IPV6_HLEN + tcp_len));
	}
	put16(tcp + 16, 0);
	sum = sum_finish(
		sum_add(sum_pseudo(&parts->packet.ip.src, &parts->packet.ip.dst, IP_TCP, tcp_len),
			tcp, tcp_len));
	memcpy(tcp + 16, &sum, 2);
}

int cut_frame(const struct cut_frame *frame,
	      void (*emit)(void *ctx, const uint8_t *packet, uint32_t len), void *ctx)
{
	uint8_t out[CUT_FRAME_MAX];
	struct parts parts;
	uint32_t off = 0, n, index = 0;

	if (frame->len > sizeof(out))
		return -EINVAL;
	if (!frame->gso_size) {
		if (complete(frame, out))
			return -EINVAL;
		emit(ctx, out, frame->len);
		return 1;
	}
	if (find_parts(frame, &parts))
		return -EINVAL;
	do {
		n = parts.packet.payload - off;
		if (n > frame->gso_size)
			n = frame->gso_size;
		memcpy(out, frame->data, parts.payload);
		memcpy(out + parts.payload, frame->data + parts.payload + off, n);
		write_headers(out, &parts, index++, off, n);
		emit(ctx, out, parts.payload + n);
		off += n;
	} while (off < parts.packet.payload);
	return (int)index;
}
