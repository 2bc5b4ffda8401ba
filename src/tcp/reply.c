/* SPDX-License-Identifier: MIT */
/* Segments that no TCB sends: RST, SYN,ACK of a half-open connection, ACK of TIME-WAIT. */
#include "tcp/tcp.h"

struct tcp_reply *reply_new(struct tcp *tcp, const struct conn_id *id)
{
	struct tcp_reply *r = pool_take(&tcp->replies);

	if (!r) {
		tcp_drop(tcp, COUNTER_drop_tx_queue);
		return NULL;
	}
	/* What opts says is there is set by who says so. */
	memset(&r->seg, 0, offsetof(struct tcp_seg, sack));
	r->seg.accecn.n = 0;
	r->seg.len = 0;
	r->handle = 0;
	r->tos = r->ifindex = 0;
	r->route.n = 0;
	r->id = *id;
	r->seg.sport = id->lport;
	r->seg.dport = id->rport;
	r->ttl = tcp->config->ttl;
	list_push_back(&tcp->reply_queue, &r->link);
	return r;
}

struct tcp_reply *tcp_next_reply(struct tcp *tcp, uint64_t now)
{
	struct tcp_reply *r;

	if (list_empty(&tcp->reply_queue))
		return NULL;
	r = list_first(&tcp->reply_queue, struct tcp_reply, link);
	list_del(&r->link);
	tcp->counters->segs_out++;
	TRACE(tcp->trace, now, r->handle, seg_out, r->seg.seq, r->seg.ack, 0, r->seg.flags,
	      (uint32_t)r->seg.wnd, r->seg.opts,
	      (uint32_t)r->seg.mss << 16 | (r->seg.opts & TCP_HAS_WSCALE ? r->seg.wscale : 0),
	      r->seg.tsval, r->seg.tsecr, 0);
	return r;
}

void tcp_reply_free(struct tcp *tcp, struct tcp_reply *reply)
{
	pool_give(&tcp->replies, reply);
}

/* RFC 9293 3.5.2 and 3.10.7.1: acceptable to whoever sent the segment. */
void reply_rst(struct tcp *tcp, const struct conn_id *id, int ifindex, const struct tcp_seg *seg)
{
	struct tcp_reply *r;

	if (seg->flags & TCP_RST)
		return;
	r = reply_new(tcp, id);
	if (!r)
		return;
	tcp->counters->rst_out++;
	r->ifindex = (uint8_t)ifindex;
	if (seg->flags & TCP_ACK) {
		r->seg.seq = seg->ack;
		r->seg.flags = TCP_RST;
	} else {
		r->seg.ack = seg->seq + tcp_seg_len(seg);
		r->seg.flags = TCP_RST | TCP_ACK;
	}
}

/* RFC 5961 7: so many a second, of the whole stack; the exact number is not to be guessed. */
bool challenge_allowed(struct tcp *tcp, uint64_t now)
{
	uint64_t second = now / CPL_SECOND + 1;
	uint32_t rate = tcp->config->challenge_ack_rate;

	if (tcp->challenge_second != second) {
		tcp->challenge_second = second;
		tcp->challenge_left = rate / 2 + (uint32_t)prng_below(tcp->prng, rate + 1);
	}
	if (!tcp->challenge_left)
		return false;
	tcp->challenge_left--;
	return true;
}
