/* SPDX-License-Identifier: MIT */
/*
 * The AccECN option, RFC 9768 3.2.3: three byte counters of 24 bits, in either of two orders, as
 * many of them as have ever changed and find room. What comes is believed as far as it was tested
 * (3.2.3.2), what goes stops when nobody lets it through.
 */
#include "tcp/ecn.h"

#define FIELD_MASK 0xffffffu
#define BACKWARDS  (1u << 23) /* so far ahead is behind: a field goes at least every 2^22 bytes */
#define REPEAT	   (1u << 21) /* bytes after which a counter goes that only grows */
#define OPTIONS	   40u
#define TS_LEN	   12u

/* ---- What goes ---- */

struct dirty {
	bool e0b, ceb, e1b;
};

static struct dirty changed_since_told(const struct accecn *acc)
{
	return (struct dirty){ acc->r_e0b != acc->told_e0b, acc->r_ceb != acc->told_ceb,
			       acc->r_e1b != acc->told_e1b };
}

/* 3.2.3.3: with a counter that is new to the peer, with marks, and now and then. */
static bool due_sparingly(const struct accecn *acc)
{
	bool e1 = acc->flags & ACC_LAST_E1;

	if (acc->r_ceb != acc->told_ceb)
		return true;
	/* The other one changed when an option last went. */
	if (e1 != !!(acc->flags & ACC_TOLD_E1))
		return true;
	return acc->r_e0b - acc->told_e0b >= REPEAT || acc->r_e1b - acc->told_e1b >= REPEAT;
}

/* 3.2.3.2.1: the last segment of the handshake and the first data, to see whether it gets through.
 */
static bool is_test(const struct accecn *acc, bool data)
{
	return acc->flags & ACC_OPT_DUE || (data && acc->flags & ACC_OPT_DATA);
}

static bool due(const struct tcp *tcp, const struct accecn *acc, struct dirty dirty, bool data)
{
	if (acc->flags & ACC_OPT_OFF)
		return false;
	if (is_test(acc, data))
		return true;
	if (!dirty.e0b && !dirty.ceb && !dirty.e1b)
		return false;
	return tcp->config->ecn_option == CPL_ECN_OPTION_FULL || due_sparingly(acc);
}

/* The fields that have ever changed, in the order that makes them fewest (3.2.3.3). */
static void choose_fields(const struct accecn *acc, struct tcp_accecn *o)
{
	bool e0 = acc->flags & ACC_EVER_E0B, e1 = acc->flags & ACC_EVER_E1B;

	o->e1_first = e1 && (!e0 || (acc->flags & ACC_LAST_E1));
	if (e0 && e1)
		o->n = 3;
	else
		o->n = acc->flags & ACC_EVER_CEB ? 2 : 1;
}

/* Cut O to fit ROOM; false: what has changed would not go with it, so it may not go at all. */
static bool fit(struct tcp_accecn *o, struct dirty dirty, unsigned room)
{
	if (accecn_len(o->n) <= room)
		return true;
	if (dirty.e0b && dirty.e1b)
		return false;
	o->e1_first = dirty.e1b;
	o->n = dirty.ceb ? 2 : dirty.e0b || dirty.e1b ? 1 : 0;
	return accecn_len(o->n) <= room;
}

bool accecn_option(const struct tcp *tcp, const struct tcb *tcb, bool data, uint8_t *sack_n,
		   struct tcp_accecn *o)
{
	const struct accecn *acc = tcb->accecn;
	struct dirty dirty;
	unsigned room = OPTIONS - (tcb_has(tcb, TCB_TS) ? TS_LEN : 0), kept;

	if (!acc)
		return false;
	dirty = changed_since_told(acc);
	if (!due(tcp, acc, dirty, data))
		return false;
	/* Two SACK blocks come first, then this, then more of them. */
	kept = *sack_n < 2 ? *sack_n : 2;
	room -= kept ? 4 + 8 * kept : 0;
	if (is_test(acc, data))
		*o = (struct tcp_accecn){ .n = 3 };
	else
		choose_fields(acc, o);
	if (!fit(o, dirty, room))
		return false;
	room -= accecn_len(o->n);
	while (kept < *sack_n && room >= (kept ? 8u : 12u)) {
		room -= kept ? 8 : 12;
		kept++;
	}
	*sack_n = (uint8_t)kept;
	o->e0b = acc->r_e0b & FIELD_MASK;
	o->ceb = acc->r_ceb & FIELD_MASK;
	o->e1b = acc->r_e1b & FIELD_MASK;
	return true;
}

void accecn_option_begin(const struct tcp *tcp, struct tcp_seg *seg)
{
	if (tcp->config->ecn_option == CPL_ECN_OPTION_NEVER)
		return;
	seg->opts |= TCP_HAS_ACCECN;
	seg->accecn = (struct tcp_accecn){ .n = 3, .e0b = 1, .e1b = 1 };
}

void accecn_option_sent(struct accecn *acc, const struct tcp_accecn *o, bool data)
{
	acc->flags |= ACC_OPT_SENT;
	acc->flags &= ~ACC_OPT_DUE;
	if (data && !(acc->flags & ACC_OPT_TRIED))
		acc->flags |= ACC_OPT_TRIAL | ACC_OPT_TRIED;
	if (data)
		acc->flags &= ~ACC_OPT_DATA;
	if (acc->flags & ACC_LAST_E1)
		acc->flags |= ACC_TOLD_E1;
	else
		acc->flags &= ~ACC_TOLD_E1;
	if (accecn_has_e0b(o))
		acc->told_e0b = acc->r_e0b;
	if (accecn_has_ceb(o))
		acc->told_ceb = acc->r_ceb;
	if (accecn_has_e1b(o))
		acc->told_e1b = acc->r_e1b;
}

/* ---- What comes ---- */

void accecn_option_first(struct accecn *acc, const struct tcp_seg *seg)
{
	const struct tcp_accecn *o = &seg->accecn;

	if (!(seg->opts & TCP_HAS_ACCECN))
		return; /* 3.2.3.2.3: for the time being there are none */
	/* 3.2.3.2.4: they begin with 1 */
	if ((accecn_has_e0b(o) && !o->e0b) || (accecn_has_e1b(o) && !o->e1b)) {
		acc->flags |= ACC_OPT_IGNORE;
		return;
	}
	acc->flags |= ACC_OPT_SEEN;
}

/* Those before it were stripped: what this one adds did not happen just now (3.2.3.2.3). */
static void begin_late(struct accecn *acc, const struct tcp_accecn *o)
{
	if (accecn_has_e0b(o))
		acc->s_e0b = o->e0b;
	if (accecn_has_e1b(o))
		acc->s_e1b = o->e1b;
	if (accecn_has_ceb(o))
		acc->s_ceb = o->ceb;
	acc->flags |= ACC_OPT_SEEN;
}

/* How far FIELD is ahead of *COUNTER, which follows (A.1). False: it is behind, and stays there. */
static bool follow(uint32_t *counter, uint32_t field, uint32_t *ahead)
{
	*ahead = (field - *counter) & FIELD_MASK;
	if (*ahead >= BACKWARDS)
		return false;
	*counter += *ahead;
	return true;
}

bool accecn_option_read(struct accecn *acc, const struct tcp_seg *seg, uint32_t *ceb)
{
	const struct tcp_accecn *o = &seg->accecn;
	bool sound = true;
	uint32_t n;

	*ceb = 0;
	if (!(seg->opts & TCP_HAS_ACCECN) || (acc->flags & ACC_OPT_IGNORE))
		return false;
	if (!(acc->flags & ACC_OPT_SEEN)) {
		begin_late(acc, o);
		return false;
	}
	if (accecn_has_e0b(o))
		sound &= follow(&acc->s_e0b, o->e0b, &n);
	if (accecn_has_e1b(o))
		sound &= follow(&acc->s_e1b, o->e1b, &n);
	if (accecn_has_ceb(o) && !follow(&acc->s_ceb, o->ceb, ceb)) {
		*ceb = 0;
		sound = false;
	}
	return sound;
}
