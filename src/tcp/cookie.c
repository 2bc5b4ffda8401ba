/* SPDX-License-Identifier: MIT */
/*
 * SYN cookies (RFC 4987 section 3.6, appendix A): when a SYN cannot be remembered, its essence goes
 * out as our ISS, and comes back in the ACK. ISS: 5 bits of a 64 s clock, 3 bits of MSS index, 24
 * bits of keyed hash. Window scale and SACK travel in the low 6 bits of the timestamp, if there is
 * one.
 */
#include "tcp/ecn.h"

#define COOKIE_PERIOD_NS (64 * CPL_SECOND)
#define COOKIE_PERIODS	 2 /* how long one is good */
#define TS_BITS		 6
#define TS_NO_WSCALE	 15u
#define TS_SACK		 16u

static const uint16_t cookie_mss[8] = { 216, 536, 1220, 1300, 1400, 1440, 1460, 8940 };

static uint32_t cookie_hash(const struct tcp *tcp, const struct conn_id *id, uint32_t irs,
			    uint32_t count, uint32_t mss_index)
{
	uint32_t text[3 + sizeof(*id) / 4] = { irs, count, mss_index };

	memcpy(text + 3, id, sizeof(*id));
	return (uint32_t)siphash24(&tcp->cookie_key[count & 1], text, sizeof(text)) & 0xffffff;
}

uint32_t cookie_make(struct tcp *tcp, struct half_open *half, uint64_t now)
{
	uint32_t count = (uint32_t)(now / COOKIE_PERIOD_NS);
	uint32_t index = 7, ts, low;

	while (index && cookie_mss[index] > half->peer_mss)
		index--;
	half->iss = (count & 31) << 27 | index << 24 |
		    cookie_hash(tcp, &half->node.id, half->irs, count, index);
	if (!(half->flags & HALF_TS)) {
		/* Nowhere to remember them: not agreed. */
		half->flags &= (uint8_t) ~(HALF_WSCALE | HALF_SACK);
		half->rcv_wscale = 0;
		return 0;
	}
	ts = tcp_ts_clock(now) + tcp_ts_offset(tcp, &half->node.id);
	low = ts & ~((1u << TS_BITS) - 1);
	low |= half->flags & HALF_WSCALE ? half->snd_wscale : TS_NO_WSCALE;
	low |= half->flags & HALF_SACK ? TS_SACK : 0;
	/* What cookie_check() will say, whatever becomes of the listener's buffer. */
	if (half->flags & HALF_WSCALE)
		half->rcv_wscale = window_scale(tcp, 0) & 15;
	return seq_gt(low, ts) ? low - (1u << TS_BITS) : low; /* never ahead of the clock */
}

static bool cookie_valid(const struct tcp *tcp, const struct conn_id *id, uint32_t iss,
			 uint32_t irs, uint64_t now)
{
	uint32_t count = (uint32_t)(now / COOKIE_PERIOD_NS);
	uint32_t age = (count - (iss >> 27)) & 31;

	if (age > COOKIE_PERIODS)
		return false;
	return cookie_hash(tcp, id, irs, count - age, iss >> 24 & 7) == (iss & 0xffffff);
}

static bool cookies_in_use(const struct tcp *tcp, uint64_t now)
{
	if (tcp->config->syncookies == CPL_SYNCOOKIES_ALWAYS)
		return true;
	return tcp->cookie_needed &&
	       now - tcp->cookie_needed < (COOKIE_PERIODS + 1) * COOKIE_PERIOD_NS;
}

/* The echo is the peer's to choose: what we did not offer was not agreed. */
static void cookie_options(const struct tcp *tcp, struct half_open *half, const struct tcp_seg *seg)
{
	half->flags |= HALF_TS;
	half->ts_recent = seg->tsval;
	if ((seg->tsecr & TS_SACK) && tcp->config->sack)
		half->flags |= HALF_SACK;
	if ((seg->tsecr & TS_NO_WSCALE) == TS_NO_WSCALE || !tcp->config->window_scaling)
		return;
	half->flags |= HALF_WSCALE;
	half->snd_wscale = seg->tsecr & 15;
	half->rcv_wscale = window_scale(tcp, 0) & 15;
}

bool cookie_check(struct tcp *tcp, struct half_open *half, struct tcb *listener,
		  const struct seg_in *in, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	struct conn_id id = { in->ip->dst, in->ip->src, seg->dport, seg->sport };
	uint32_t iss = seg->ack - 1, irs = seg->seq - 1;

	if (!cookies_in_use(tcp, now))
		return false;
	if (!cookie_valid(tcp, &id, iss, irs, now)) {
		tcp_drop(tcp, COUNTER_drop_cookie_bad);
		return false;
	}
	memset(half, 0, sizeof(*half));
	half->node.id = id;
	half->listener = listener->listener->index;
	half->made = us48_of(now);
	half->iss = iss;
	half->irs = irs;
	half->snd_wnd = (uint16_t)seg->wnd;
	half->rcv_wnd = (uint16_t)(listener->rcvbuf > 65535 ? 65535 : listener->rcvbuf);
	half->peer_mss = cookie_mss[iss >> 24 & 7];
	half->ifindex = (uint8_t)in->ifindex;
	half->rcv_mss = tcp_rcv_mss(&id.remote, tcp->ifaces[in->ifindex].mtu);
	half->retries = 1; /* not measured */
	if ((seg->opts & TCP_HAS_TS) && tcp->config->timestamps)
		cookie_options(tcp, half, seg);
	/* RFC 9768 4.1: a client that did not ask for it sends nothing else than 0 or 1. */
	if (tcp->config->ecn >= CPL_ECN_ACCURATE && accecn_ace(seg) > 1)
		half->flags |= HALF_ACCECN;
	return true;
}
