/* SPDX-License-Identifier: MIT */
/* tcp_parse() against any segment. The first octet chooses: 1 IPv6, 2 the checksum is taken as
 * right. */
#include "tests/fuzz/fuzz.h"
#include "wire/bytes.h"
#include "wire/checksum.h"
#include "wire/ip.h"
#include "wire/tcp.h"

static const struct cpl_addr src6 = { { 0xfd, [15] = 1 } }, dst6 = { { 0xfd, [15] = 2 } };

static void ends(uint8_t choice, struct cpl_addr *src, struct cpl_addr *dst)
{
	*src = choice & 1 ? src6 : cpl_addr4(10, 0, 0, 1);
	*dst = choice & 1 ? dst6 : cpl_addr4(10, 0, 0, 2);
}

static size_t fresh(uint8_t *data, size_t max, uint64_t *seed)
{
	struct tcp_seg seg = { .flags = (uint16_t)rnd(seed, 512),
			       .opts = (uint8_t)rnd(seed, 128),
			       .cookie = { .len = 8, .exp = rnd(seed, 2) },
			       .sack_n = (uint8_t)rnd(seed, 5),
			       .accecn = { (uint8_t)rnd(seed, 4), rnd(seed, 2), rnd(seed, 1u << 24),
					   7, 9 },
			       .mss = 1460,
			       .wscale = 7 };
	size_t len;

	if (max < 1 + TCP_HLEN_MAX + 8)
		return 0;
	memset(data, 0, 1 + TCP_HLEN_MAX + 8);
	data[0] = (uint8_t)rnd(seed, 4);
	len = tcp_build(data + 1, &seg);
	return 1 + len + rnd(seed, 8);
}

static void fix(uint8_t *data, size_t size)
{
	struct cpl_addr src, dst;
	uint32_t len = (uint32_t)size - 1;
	uint16_t check;

	if (size < 1 + TCP_HLEN)
		return;
	ends(data[0], &src, &dst);
	put16(data + 17, 0);
	check = sum_finish(sum_add(sum_pseudo(&src, &dst, IP_TCP, len), data + 1, len));
	memcpy(data + 17, &check, 2);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return mutate(data, size, max, seed, fresh, fix);
}

static void check_sums(const uint8_t *p, uint32_t len, const struct cpl_addr *src,
		       const struct cpl_addr *dst, bool good)
{
	uint32_t from = cpl_addr_is4(src) ? 12 : 0;
	uint64_t sum = (uint64_t)IP_TCP + len + naive_sum(0, src->b + from, 16 - from) +
		       naive_sum(0, dst->b + from, 16 - from);

	CHECK((naive_sum(sum, p, len) == 0xffff) == good);
}

/* What was read is built and read again: the same, but for SACK blocks and AccECN that padding
 * leaves no room for. */
static void check_again(const struct tcp_seg *seg)
{
	uint8_t p[TCP_HLEN_MAX];
	struct cpl_addr src, dst;
	struct tcp_seg back;
	unsigned hlen = tcp_build(p, seg);

	ends(0, &src, &dst);
	CHECK(hlen == tcp_header_len(seg) && hlen <= TCP_HLEN_MAX && hlen % 4 == 0);
	CHECK(tcp_parse(p, hlen, &src, &dst, true, &back) == TCP_OK);
	CHECK(back.hlen == hlen && back.len == 0);
	CHECK(back.sport == seg->sport && back.dport == seg->dport);
	CHECK(back.seq == seg->seq && back.ack == seg->ack && back.flags == seg->flags);
	CHECK(back.wnd == seg->wnd && back.up == seg->up);
	CHECK((back.opts | TCP_HAS_SACK | TCP_HAS_ACCECN) ==
	      (seg->opts | TCP_HAS_SACK | TCP_HAS_ACCECN));
	if (back.opts & TCP_HAS_ACCECN)
		CHECK(!memcmp(&back.accecn, &seg->accecn, sizeof(seg->accecn)));
	CHECK(back.mss == seg->mss && back.wscale == seg->wscale);
	CHECK(!memcmp(&back.cookie, &seg->cookie, sizeof(back.cookie)));
	CHECK(back.tsval == seg->tsval && back.tsecr == seg->tsecr);
	CHECK(back.sack_n <= seg->sack_n && back.sack_n + 1 >= seg->sack_n);
	CHECK(!memcmp(back.sack, seg->sack, back.sack_n * sizeof(back.sack[0])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cpl_addr src, dst;
	struct tcp_seg seg;
	enum tcp_verdict verdict;
	const uint8_t *p;
	uint32_t len;
	bool csum_ok;

	if (!size)
		return 0;
	p = data + 1;
	len = (uint32_t)size - 1;
	csum_ok = data[0] & 2;
	ends(data[0], &src, &dst);
	verdict = tcp_parse(p, len, &src, &dst, csum_ok, &seg);
	if (verdict == TCP_BAD_HEADER) {
		CHECK(len < TCP_HLEN || p[12] >> 4 < 5 || (p[12] >> 4) * 4u > len);
		return 0;
	}
	if (!csum_ok)
		check_sums(p, len, &src, &dst, verdict != TCP_BAD_CHECKSUM);
	if (verdict == TCP_BAD_CHECKSUM)
		return 0;
	CHECK(seg.hlen == (p[12] >> 4) * 4u);
	CHECK(seg.data == p + seg.hlen && seg.len == len - seg.hlen);
	CHECK(seg.wscale <= 14 && seg.sack_n <= TCP_SACK_MAX);
	CHECK(!!seg.sack_n == !!(seg.opts & TCP_HAS_SACK));
	CHECK(!!seg.mss == !!(seg.opts & TCP_HAS_MSS));
	if (!(seg.flags & TCP_SYN))
		CHECK(!(seg.opts &
			(TCP_HAS_MSS | TCP_HAS_WSCALE | TCP_HAS_SACK_OK | TCP_HAS_FASTOPEN)));
	CHECK(seg.cookie.len <= TCP_COOKIE_MAX && seg.cookie.len % 2 == 0);
	check_again(&seg);
	return 0;
}
