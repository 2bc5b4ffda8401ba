/* SPDX-License-Identifier: MIT */
/*
 * TCP Fast Open, the side that opens (RFC 7413 4.1.3, 4.2.1): a SYN that asks for a cookie, or
 * brings one and data; what its answer teaches; and switching all this off for a while where the
 * path swallows such SYNs, or what follows them (7.1). The decisions are Linux's where the RFC
 * leaves them open.
 */
#include "tcp/tcp.h"

#define OPTIONS_MAX    40u /* octets: left free for what middleboxes add */
#define LOSSES	       2u  /* SYNs with data lost in a row: then not for a while ... */
#define LOSS_REST_NS   (60 * CPL_SECOND) /* ... this long, doubled for each */
#define DISABLED_SHIFT 6u

void fastopen_set_key(struct siphash_key *key, const uint8_t octets[16])
{
	key->k[0] = key->k[1] = 0;
	for (unsigned i = 0; i < 16; i++)
		key->k[i / 8] |= (uint64_t)octets[i] << 8 * (i % 8);
}

void fastopen_make_cookie(const struct siphash_key *key, const struct cpl_addr *client,
			  const struct cpl_addr *server, struct tcp_cookie *cookie)
{
	unsigned at = cpl_addr_is4(client) ? 12 : 0, n = 16 - at;
	uint8_t text[32];
	uint64_t hash;

	memcpy(text, client->b + at, n);
	memcpy(text + n, server->b + at, n);
	hash = siphash24(key, text, 2 * n);
	memset(cookie, 0, sizeof(*cookie));
	cookie->len = 8;
	for (unsigned i = 0; i < 8; i++)
		cookie->octets[i] = (uint8_t)(hash >> 8 * i);
}

/* ---- Switched off for a while ---- */

static bool disabled(const struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	const struct fastopen *f = &tcp->fastopen;
	uint32_t shift = f->disabled_n > DISABLED_SHIFT ? DISABLED_SHIFT : f->disabled_n - 1;

	if (!tcp->config->fastopen_blackhole_ns || !f->disabled_n)
		return false;
	if (now - f->disabled_at < tcp->config->fastopen_blackhole_ns << shift)
		return true;
	tcb->fastopen |= FASTOPEN_CHECK;
	return false;
}

static void disable(struct tcp *tcp, uint64_t now)
{
	if (!tcp->config->fastopen_blackhole_ns)
		return;
	tcp->fastopen.disabled_at = now;
	tcp->fastopen.disabled_n++;
	tcp->counters->fastopen_blackholes++;
}

void fastopen_timeout(struct tcp *tcp, struct tcb *tcb, bool last, uint64_t now)
{
	if (!(tcb->fastopen & (FASTOPEN_SENT | FASTOPEN_DATA)) || tcb_has(tcb, TCB_PASSIVE))
		return;
	/* The third in a row, as Linux: one or two are anybody's. */
	if (tcb->rexmt_n == 2 || (tcb->rexmt_n < 2 && last))
		disable(tcp, now);
}

/* All that came was a FIN behind data that never did: somebody swallows what follows the SYN. */
static bool only_fin_came(const struct tcb *tcb)
{
	return tcb->state != CPL_LISTEN && tcb->io && tcb->io->ooo_n == 1 && !tcb->data_segs_in &&
	       container_of(tcb->io->ooo.next, struct ooo_range, link)->fin;
}

void fastopen_over(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	if (!(tcb->fastopen & FASTOPEN_SENT) || tcb_has(tcb, TCB_PASSIVE))
		return;
	if (only_fin_came(tcb))
		disable(tcp, now);
	else if ((tcb->fastopen & FASTOPEN_CHECK) && tcb->data_segs_in)
		tcp->fastopen.disabled_n = 0;
}

/* ---- The SYN ---- */

static bool no_cookie_needed(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcp->config->fastopen & CPL_FASTOPEN_CLIENT_NO_COOKIE ||
	       (tcb->cold && tcb->cold->fastopen_no_cookie);
}

static struct fastopen_entry *known(struct tcp *tcp, const struct tcb *tcb)
{
	return fastopen_cache_get(&tcp->fastopen.cache, &tcb->node.id.local, &tcb->node.id.remote);
}

static bool loses_syns(const struct fastopen_entry *e, uint64_t now)
{
	uint32_t shift = e->syn_losses > DISABLED_SHIFT ? DISABLED_SHIFT : e->syn_losses;

	return e->syn_losses >= LOSSES && now - e->last_loss < LOSS_REST_NS << shift;
}

bool fastopen_open(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	const struct fastopen_entry *e = known(tcp, tcb);

	/* Segments before the SYN,ACK are as large as the server last said it takes (4.2.1). */
	tcb->peer_mss = e && e->mss ? e->mss : tcb->rcv_mss;
	tcb_update_mss(tcb);
	if (disabled(tcp, tcb, now) || (e && loses_syns(e, now)))
		return false;
	tcb->fastopen |= FASTOPEN_WANTED;
	if (no_cookie_needed(tcp, tcb) || (e && e->cookie.len))
		return true;
	tcb->fastopen_fail = FASTOPEN_NO_COOKIE;
	return false;
}

void fastopen_option(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, uint64_t now)
{
	const struct fastopen_entry *e;

	(void)now;
	if (tcb->state == CPL_SYN_RECEIVED) {
		if (!(tcb->fastopen & FASTOPEN_RENEW) || tcb->rexmt_n)
			return;
		fastopen_make_cookie(&tcp->fastopen.key[0], &tcb->node.id.remote,
				     &tcb->node.id.local, &seg->cookie);
		seg->cookie.exp = tcb->fastopen & FASTOPEN_EXP;
		seg->opts |= TCP_HAS_FASTOPEN;
		return;
	}
	if (no_cookie_needed(tcp, tcb))
		return;
	e = known(tcp, tcb);
	if (e)
		seg->cookie = e->cookie;
	if (e && !e->cookie.len)
		seg->cookie.exp = e->try_exp == 1;
	seg->opts |= TCP_HAS_FASTOPEN;
	tcb->fastopen |= FASTOPEN_SENT | (seg->cookie.exp ? FASTOPEN_EXP : 0);
}

uint32_t fastopen_room(const struct tcb *tcb)
{
	uint32_t header = cpl_addr_is4(&tcb->node.id.remote) ? IPV4_HLEN : IPV6_HLEN;
	uint32_t mss = tcb->pmtu - header - TCP_HLEN;

	if (mss > tcb->peer_mss)
		mss = tcb->peer_mss;
	if (tcb->cold && tcb->cold->maxseg && mss > tcb->cold->maxseg)
		mss = tcb->cold->maxseg;
	return mss > OPTIONS_MAX ? mss - OPTIONS_MAX : 0;
}

/* ---- The answer ---- */

static void learn(struct tcp *tcp, const struct tcb *tcb, const struct tcp_seg *seg, bool again,
		  bool unacked, uint64_t now)
{
	bool cookie = (seg->opts & TCP_HAS_FASTOPEN) && (tcb->fastopen & FASTOPEN_SENT);
	struct fastopen_entry *e =
		fastopen_cache_put(&tcp->fastopen.cache, &tcb->node.id.local, &tcb->node.id.remote);
	uint8_t try_exp = 0;

	if (!e)
		return;
	/* Asked for, and not answered: the other form may be understood. */
	if ((tcb->fastopen & FASTOPEN_SENT) && !again && !cookie &&
	    !(tcb->fastopen & FASTOPEN_DATA))
		try_exp = tcb->fastopen & FASTOPEN_EXP ? 2 : 1;
	if (seg->opts & TCP_HAS_MSS)
		e->mss = seg->mss;
	if (cookie && seg->cookie.len)
		e->cookie = seg->cookie;
	else if (try_exp > e->try_exp && !e->cookie.len)
		e->try_exp = try_exp;
	/* Only what went again was heard: the SYN with data, or its answer, is lost. */
	if (again && !cookie && unacked) {
		e->last_loss = now;
		e->syn_losses += e->syn_losses < 255;
	} else {
		e->syn_losses = 0;
	}
}

void fastopen_synack(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, bool again,
		     uint64_t now)
{
	struct sendmap *map = &tcb->io->map;
	bool unacked = (tcb->fastopen & FASTOPEN_DATA) && !sendmap_empty(map);

	if (!(tcb->fastopen & (FASTOPEN_SENT | FASTOPEN_DATA)))
		return;
	learn(tcp, tcb, seg, again, unacked, now);
	if (!(tcb->fastopen & FASTOPEN_DATA))
		return;
	if (!unacked) {
		tcb->fastopen |= FASTOPEN_ACKED;
		tcp->counters->fastopen_active++;
		map->delivered_segs--; /* it was one with the SYN */
		return;
	}
	/* 4.2.1: it goes again at once, and that is no sign of congestion. */
	tcb->fastopen_fail = again ? FASTOPEN_SYN_AGAIN : FASTOPEN_NOT_ACKED;
	tcp->counters->fastopen_active_fail++;
	sendmap_mark_all_lost(map, false);
	map->loss = (struct loss_sample){ 0 };
	timer_rexmt_start(tcp, tcb, now);
}
