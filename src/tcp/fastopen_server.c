/* SPDX-License-Identifier: MIT */
/*
 * TCP Fast Open, the side that listens (RFC 7413 4.1.2, 4.2.2): cookies, and connections that can
 * be accepted at their SYN, whose data is there before the handshake is done. So many of those as
 * the listener allows; one that a RST ended counts for a minute more, because that is what the
 * owner of a forged address answers (5.1).
 */
#include "tcp/tcp.h"

#define RESET_NS (60 * CPL_SECOND)

static void pending_free(struct tcp *tcp, struct fastopen_pending *p)
{
	list_del(&p->link);
	if (p->listener)
		p->listener->listener->fastopen_n--;
	pool_free(&tcp->fastopen.pending, p);
}

static bool has_room(struct tcp *tcp, struct listener *l, uint64_t now)
{
	struct fastopen_pending *oldest;

	if (!l->fastopen_max || l->catch_all)
		return false;
	if (l->fastopen_n < l->fastopen_max)
		return true;
	if (!list_empty(&l->fastopen_resets)) {
		oldest = list_first(&l->fastopen_resets, struct fastopen_pending, link);
		if (oldest->until <= now) {
			pending_free(tcp, oldest);
			return true;
		}
	}
	tcp->counters->fastopen_overflow++;
	return false;
}

/* 4.1.2: which of the keys made the cookie of SYN, from 1 on; 0: none. *COOKIE: the first's. */
static unsigned check_cookie(const struct tcp *tcp, const struct conn_id *id,
			     const struct tcp_cookie *from, struct tcp_cookie *cookie)
{
	struct tcp_cookie other;

	fastopen_make_cookie(&tcp->fastopen.key[0], &id->remote, &id->local, cookie);
	if (from->len == cookie->len && !memcmp(from->octets, cookie->octets, cookie->len))
		return 1;
	if (tcp->fastopen.keys_n < 2)
		return 0;
	fastopen_make_cookie(&tcp->fastopen.key[1], &id->remote, &id->local, &other);
	return from->len == other.len && !memcmp(from->octets, other.octets, other.len) ? 2 : 0;
}

/* ---- A connection of a SYN ---- */

/* A block in SYN-RECEIVED whose SYN,ACK is still to be sent. */
static struct tcb *child_new(struct tcp *tcp, struct tcb *listener, const struct half_open *half,
			     uint64_t now)
{
	struct fastopen_pending *p = pool_alloc(&tcp->fastopen.pending, NULL);
	struct tcb *tcb = p ? half_to_tcb(tcp, half, now) : NULL;

	if (tcb) {
		tcb->snd_una = tcb->snd_nxt = tcb->snd_up = tcb->snd_wl2 = half->iss;
		if (!tcb_io(tcp, tcb, now)) {
			tcb->flags |= TCB_ORPHAN;
			tcb_finish(tcp, tcb, 0, now);
			tcb_reap(tcp, tcb);
			tcb = NULL;
		}
	}
	if (!tcb) {
		if (p)
			pool_free(&tcp->fastopen.pending, p);
		return NULL;
	}
	*p = (struct fastopen_pending){ .listener = listener, .child = tcb };
	list_push_back(&listener->listener->fastopen, &p->link);
	listener->listener->fastopen_n++;
	tcb->io->fastopen = p;
	tcb->io->why = CPL_WHY_HANDSHAKE;
	tcb->fastopen = FASTOPEN_CHILD;
	return tcb;
}

/* 4.2.2: the data of the SYN is the program's; what does not fit is not acknowledged. */
static void take_data(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now)
{
	struct seg_in rest = *in;
	bool fin = false;

	if (!in->tcp.len)
		return;
	rest.tcp.flags &= (uint16_t) ~(TCP_SYN | TCP_CWR | TCP_ECE);
	rest.tcp.seq++;
	tcb->data_segs_in++;
	if (input_urgent(tcp, tcb, &rest, now) == V_CONTINUE &&
	    input_text(tcp, tcb, &rest, &fin, now) == V_CONTINUE)
		tcb->fastopen |= FASTOPEN_ACKED;
	/* The SYN,ACK acknowledges it, and goes at once. */
	tcb->flags &= ~(TCB_ACK_NOW | TCB_DELACK);
	tcb->io->t_delack = CPL_NEVER;
}

static bool accept_syn(struct tcp *tcp, struct tcb *listener, const struct half_open *half,
		       const struct seg_in *in, uint16_t flags, uint64_t now)
{
	struct tcb *tcb = child_new(tcp, listener, half, now);

	if (!tcb)
		return false;
	tcb->fastopen |= flags;
	tcb->segs_in = 1;
	demux_add(tcp, &tcb->node.id, tcb_ref(tcp, tcb), true);
	listener_queue(tcp, listener, tcb);
	TRACE(tcp->trace, now, tcb_handle(tcp, tcb), state, CPL_LISTEN, CPL_SYN_RECEIVED);
	take_data(tcp, tcb, in, now);
	trace_seg_in(tcp, tcb_handle(tcp, tcb), &in->tcp, false, now);
	tcp->counters->fastopen_passive++;
	tcb_ready(tcp, tcb);
	timer_update(tcp, tcb);
	return true;
}

static bool no_cookie_needed(const struct tcp *tcp, const struct tcb *listener)
{
	return tcp->config->fastopen & CPL_FASTOPEN_SERVER_NO_COOKIE ||
	       (listener->cold && listener->cold->fastopen_no_cookie);
}

bool fastopen_syn(struct tcp *tcp, struct tcb *listener, const struct half_open *half,
		  const struct seg_in *in, struct tcp_cookie *cookie, uint64_t now)
{
	const struct tcp_seg *seg = &in->tcp;
	bool option = seg->opts & TCP_HAS_FASTOPEN;
	uint16_t flags = seg->cookie.exp ? FASTOPEN_EXP : 0;
	struct tcp_cookie fresh = { 0 };
	unsigned key = 1;

	memset(cookie, 0, sizeof(*cookie));
	tcp->counters->fastopen_requests += option && !seg->cookie.len;
	if (!(tcp->config->fastopen & CPL_FASTOPEN_SERVER) || (!option && !seg->len) ||
	    !has_room(tcp, listener->listener, now))
		return false;
	if (!no_cookie_needed(tcp, listener)) {
		if (!option)
			return false;
		key = check_cookie(tcp, &half->node.id, &seg->cookie, &fresh);
		fresh.exp = seg->cookie.exp;
	}
	if (key == 2)
		flags |= FASTOPEN_RENEW;
	if (key && accept_syn(tcp, listener, half, in, flags, now))
		return true;
	tcp->counters->fastopen_passive_fail += key || seg->cookie.len;
	*cookie = fresh;
	return false;
}

/* ---- The rest of the handshake ---- */

void fastopen_settled(struct tcp *tcp, struct tcb *tcb, bool reset, uint64_t now)
{
	struct fastopen_pending *p = tcb->io ? tcb->io->fastopen : NULL;

	if (!p)
		return;
	tcb->io->fastopen = NULL;
	p->child = NULL;
	if (!reset || !p->listener) {
		pending_free(tcp, p);
		return;
	}
	p->until = now + RESET_NS;
	list_del(&p->link);
	list_push_back(&p->listener->listener->fastopen_resets, &p->link);
}

void fastopen_listener_close(struct tcp *tcp, struct listener *l)
{
	while (!list_empty(&l->fastopen_resets))
		pending_free(tcp, list_first(&l->fastopen_resets, struct fastopen_pending, link));
	while (!list_empty(&l->fastopen)) {
		struct fastopen_pending *p =
			list_first(&l->fastopen, struct fastopen_pending, link);

		p->child->io->fastopen = NULL;
		pending_free(tcp, p);
	}
}

enum verdict fastopen_syn_again(struct tcb *tcb, uint64_t now)
{
	struct sent *syn = sendmap_first(&tcb->io->map);

	/* Seldom: anybody can send a SYN. */
	if (!input_may_answer(tcb, now))
		return V_DROP;
	if (syn)
		sendmap_mark_lost(&tcb->io->map, syn);
	return V_CONTINUE;
}
