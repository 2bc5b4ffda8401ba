/* SPDX-License-Identifier: MIT */
/*
 * A super-segment becomes segments, as a device cuts it (and Linux before its packet sockets see
 * one whose device cannot): sequence numbers go on, FIN and PSH are the last one's, CWR the
 * first's (RFC 3168 6.1.2), and all checksums are right.
 */
#include <stdlib.h>
#include <string.h>

#include "packetdrill/drill.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/tcp.h"

#define IP_PROTO_TCP 6
#define OFF_FLAGS    13 /* in the TCP header */
#define OFF_SUM	     16

static void set_sum(uint8_t *at, uint64_t sum)
{
	uint16_t check = sum_finish(sum);

	memcpy(at, &check, sizeof(check));
}

static void fix_ip4(uint8_t *p, size_t len, unsigned nth)
{
	put16(p + 2, (uint16_t)len);
	put16(p + 4, (uint16_t)(get16(p + 4) + nth));
	put16(p + 10, 0);
	set_sum(p + 10, sum_add(0, p, (p[0] & 15u) * 4u));
}

static void fix_tcp(uint8_t *p, size_t len, bool ipv6)
{
	unsigned ip = ipv6 ? 40 : (p[0] & 15u) * 4u, addrs = ipv6 ? 8 : 12, addr_n = ipv6 ? 32 : 8;
	uint8_t pseudo[4] = { 0, IP_PROTO_TCP, (uint8_t)((len - ip) >> 8), (uint8_t)(len - ip) };
	uint8_t *tcp = p + ip;
	uint64_t sum;

	put16(tcp + OFF_SUM, 0);
	sum = sum_add(0, p + addrs, addr_n);
	sum = sum_add(sum, pseudo, sizeof(pseudo));
	set_sum(tcp + OFF_SUM, sum_add(sum, tcp, len - ip));
}

/* Payload [from, from + n) of the frame WHOLE, whose headers are HEADERS octets. */
static struct drill_packet *segment(const struct cpl_out *out, const uint8_t *whole, uint32_t from,
				    uint32_t n, bool last)
{
	uint32_t headers = out->header_len, ip = out->ipv6 ? 40 : (whole[0] & 15u) * 4u;
	struct drill_packet *p = malloc(sizeof(*p) + headers + n);
	uint8_t *tcp;

	if (!p)
		abort(); /* a script would see a loss that nobody made */
	p->len = headers + n;
	memcpy(p->data, whole, headers);
	memcpy(p->data + headers, whole + headers + from, n);
	tcp = p->data + ip;
	put32(tcp + 4, get32(tcp + 4) + from);
	if (from)
		tcp[OFF_FLAGS] &= (uint8_t)~TCP_CWR;
	if (!last)
		tcp[OFF_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (out->ipv6)
		put16(p->data + 4, (uint16_t)(p->len - 40));
	else
		fix_ip4(p->data, p->len, out->gso_size ? from / out->gso_size : 0);
	fix_tcp(p->data, p->len, out->ipv6);
	return p;
}

static uint8_t *gather(const struct cpl_out *out)
{
	uint8_t *whole = malloc(out->len);
	size_t n = 0;

	if (!whole)
		abort();
	for (uint32_t i = 0; i < out->iov_n; i++) {
		memcpy(whole + n, out->iov[i].base, out->iov[i].len);
		n += out->iov[i].len;
	}
	return whole;
}

void drill_keep(struct drill *d, const struct cpl_out *out)
{
	uint8_t *whole = gather(out);
	uint32_t payload = out->len - out->header_len, from = 0;

	if (!out->csum_offset) { /* complete as it is */
		struct drill_packet *p = malloc(sizeof(*p) + out->len);

		if (!p)
			abort();
		p->len = out->len;
		memcpy(p->data, whole, out->len);
		p->time = d->now;
		list_push_back(&d->packets, &p->link);
		free(whole);
		return;
	}
	do {
		uint32_t cut = out->gso_size ? out->gso_size : payload;
		uint32_t n = payload - from < cut ? payload - from : cut;
		struct drill_packet *p = segment(out, whole, from, n, from + n == payload);

		p->time = d->now;
		list_push_back(&d->packets, &p->link);
		from += n;
	} while (from < payload);
	free(whole);
}
