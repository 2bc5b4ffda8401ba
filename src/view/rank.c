/* SPDX-License-Identifier: MIT */
/* Rows, what happened in them, and their order: see rank.h. */
#include "view/rank.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rows ------------------------------------------------------------------------------------ */

bool rank_known(const struct rank_row *row, enum cpl_field field)
{
	return row->known[field / 64] >> (field % 64) & 1;
}

void rank_row_init(struct rank_row *row, const struct cpl_info *info)
{
	memset(row, 0, sizeof(*row));
	row->id = info->id;
	row->netns = info->netns;
	row->source = info->source;
	row->family = info->family;
	row->state = info->state;
	row->shown = true;
	row->local = info->local_addr;
	row->remote = info->remote_addr;
	row->local_port = info->local_port;
	row->remote_port = info->remote_port;
	row->ifindex = info->ifindex;
	row->pid = info->pid;
	memcpy(row->program, info->program, sizeof(row->program));
	row->inode = info->inode;
	for (unsigned w = 0; w < CPL_INFO_WORDS; w++)
		row->known[w] = info->read[w] | info->derived[w];
	row->taken = info->taken;
	row->recv_queue = info->recv_queue;
	row->send_queue = info->send_queue;
	row->accept_queue = info->accept_queue;
	row->backlog = info->backlog;
	row->not_sent = info->not_sent;
	row->in_flight = info->in_flight;
	row->snd_wnd = info->snd_wnd;
	row->cwnd = info->cwnd;
	row->srtt = info->srtt;
	row->rto = info->rto;
	row->timer_persist = info->timer_persist;
	row->bytes_sent = info->bytes_sent;
	row->bytes_retrans = info->bytes_retrans;
	row->bytes_acked = info->bytes_acked;
	row->bytes_received = info->bytes_received;
	row->retrans = info->retrans;
	row->rexmt_count = info->rexmt_count;
	row->probe_count = info->probe_count;
	row->backoff = info->backoff;
	row->trouble = RANK_FINE;
}

static int place_order(const struct rank_row *a, const struct rank_row *b)
{
	int r = memcmp(a->local.b, b->local.b, sizeof(a->local.b));

	if (!r)
		r = (a->local_port > b->local_port) - (a->local_port < b->local_port);
	if (!r)
		r = memcmp(a->remote.b, b->remote.b, sizeof(a->remote.b));
	if (!r)
		r = (a->remote_port > b->remote_port) - (a->remote_port < b->remote_port);
	return r ? r : (a->id > b->id) - (a->id < b->id);
}

bool rank_same(const struct rank_row *a, const struct rank_row *b)
{
	if (a->source != b->source || a->netns != b->netns || a->id != b->id)
		return false;
	return rank_known(a, CPL_F_id) && rank_known(b, CPL_F_id) ? true : place_order(a, b) == 0;
}

/* ---- From one sample to the next ------------------------------------------------------------- */

/* 1 + place in an array of rows; 0 is empty. */
struct table {
	uint32_t *slot;
	size_t mask;
};

static int table_init(struct table *t, size_t n)
{
	size_t size = 64;

	while (size < n * 2)
		size *= 2;
	t->slot = calloc(size, sizeof(*t->slot));
	t->mask = size - 1;
	return t->slot ? 0 : -ENOMEM;
}

/* The slot of ROW among ROWS, or the empty one where it belongs. */
static uint32_t *table_slot(const struct table *t, const struct rank_row *rows,
			    const struct rank_row *row)
{
	uint64_t key =
		row->id ^ ((uint64_t)row->local_port << 48) ^ ((uint64_t)row->remote_port << 32);
	size_t at = (size_t)((key * 0x9e3779b97f4a7c15u) >> 32) & t->mask;

	while (t->slot[at] && !rank_same(&rows[t->slot[at] - 1], row))
		at = (at + 1) & t->mask;
	return &t->slot[at];
}

static bool both_know(const struct rank_row *a, const struct rank_row *b, enum cpl_field f)
{
	return rank_known(a, f) && rank_known(b, f);
}

static uint64_t per_second(uint64_t more, uint64_t ns)
{
	return (uint64_t)((double)more * 1e9 / (double)ns + 0.5);
}

/* Payload that left for the first time. */
static uint64_t sent_once(const struct rank_row *r)
{
	return r->bytes_sent > r->bytes_retrans ? r->bytes_sent - r->bytes_retrans : 0;
}

static void rates(struct rank_row *r, const struct rank_row *old)
{
	uint64_t ns = r->taken - old->taken;
	enum cpl_field out =
		both_know(r, old, CPL_F_bytes_sent) ? CPL_F_bytes_sent : CPL_F_bytes_acked;
	uint64_t was = out == CPL_F_bytes_sent ? sent_once(old) : old->bytes_acked;
	uint64_t is = out == CPL_F_bytes_sent ? sent_once(r) : r->bytes_acked;

	if (r->taken <= old->taken || !both_know(r, old, CPL_F_bytes_received) ||
	    !both_know(r, old, out))
		return;
	r->rated = true;
	r->out_rate = is > was ? per_second(is - was, ns) : 0;
	if (r->bytes_received > old->bytes_received)
		r->in_rate = per_second(r->bytes_received - old->bytes_received, ns);
	if (both_know(r, old, CPL_F_retrans) && r->retrans > old->retrans)
		r->retrans_now = r->retrans - old->retrans;
}

static bool listens(const struct rank_row *r)
{
	return r->state == CPL_LISTEN;
}

static void waits(struct rank_row *r, const struct rank_row *old)
{
	bool out = rank_known(r, CPL_F_in_flight) ? r->in_flight > 0 : r->send_queue > 0;

	if (out && !listens(r)) {
		bool same = old && old->waits_since && old->bytes_acked == r->bytes_acked &&
			    both_know(r, old, CPL_F_bytes_acked);

		r->waits_since = same ? old->waits_since : r->taken;
	}
	if (r->recv_queue > 0 && !listens(r)) {
		/* What was received less what still waits is what was read. */
		bool same =
			old && old->unread_since && both_know(r, old, CPL_F_bytes_received) &&
			old->bytes_received - old->recv_queue == r->bytes_received - r->recv_queue;

		r->unread_since = same ? old->unread_since : r->taken;
	}
}

static void changes(struct rank_row *r, const struct rank_row *old)
{
	r->changed |= r->state != old->state ? RANK_STATE : 0;
	r->changed |= r->recv_queue != old->recv_queue ? RANK_RECV_QUEUE : 0;
	r->changed |= r->accept_queue != old->accept_queue ? RANK_RECV_QUEUE : 0;
	r->changed |= r->send_queue != old->send_queue ? RANK_SEND_QUEUE : 0;
	r->changed |= r->in_rate != old->in_rate ? RANK_IN_RATE : 0;
	r->changed |= r->out_rate != old->out_rate ? RANK_OUT_RATE : 0;
	r->changed |= r->srtt != old->srtt ? RANK_RTT : 0;
	r->changed |= r->cwnd != old->cwnd ? RANK_CWND : 0;
}

static bool is_late(const struct rank_row *r, uint64_t since)
{
	return since && r->taken - since >= RANK_PATIENCE_NS;
}

static bool zero_window(const struct rank_row *r)
{
	if (rank_known(r, CPL_F_timer_persist) && r->timer_persist != CPL_TIMER_OFF)
		return true;
	return rank_known(r, CPL_F_snd_wnd) && r->snd_wnd == 0 && r->not_sent > 0;
}

static enum rank_trouble judge(const struct rank_row *r)
{
	if (listens(r))
		return rank_known(r, CPL_F_backlog) && r->accept_queue > 0 &&
				       r->accept_queue >= r->backlog
			       ? RANK_ACCEPT_FULL
			       : RANK_FINE;
	if (r->state == CPL_SYN_SENT)
		return RANK_NOT_ANSWERED;
	if (r->state == CPL_TIME_WAIT || r->state == CPL_SYN_RECEIVED)
		return RANK_FINE;
	if (zero_window(r))
		return RANK_ZERO_WINDOW;
	if (r->rexmt_count >= 3 || is_late(r, r->waits_since))
		return RANK_STUCK;
	if (r->rexmt_count > 0 || r->retrans_now > 0)
		return RANK_RESENDS;
	/* The peer's FIN counts as one byte unread. */
	if (r->state == CPL_CLOSE_WAIT && r->recv_queue <= 1)
		return RANK_NOT_CLOSED;
	if (is_late(r, r->unread_since))
		return RANK_UNREAD;
	return r->state == CPL_CLOSE_WAIT ? RANK_NOT_CLOSED : RANK_FINE;
}

static void follow(struct rank_row *r, const struct rank_row *old)
{
	if (old)
		rates(r, old);
	waits(r, old);
	if (old)
		changes(r, old);
	r->trouble = judge(r);
}

long rank_join(struct rank_row *now, size_t n, const struct rank_row *before, size_t before_n)
{
	struct table t;
	size_t kept = 0;

	if (table_init(&t, n > before_n ? n : before_n))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint32_t *slot = table_slot(&t, now, &now[i]);
		size_t to = *slot ? *slot - 1 : kept++;

		if (to != i)
			now[to] = now[i];
		*slot = (uint32_t)to + 1;
	}
	memset(t.slot, 0, (t.mask + 1) * sizeof(*t.slot));
	for (size_t i = 0; i < before_n; i++)
		*table_slot(&t, before, &before[i]) = (uint32_t)i + 1;
	for (size_t i = 0; i < kept; i++) {
		uint32_t at = before_n ? *table_slot(&t, before, &now[i]) : 0;

		follow(&now[i], at ? &before[at - 1] : NULL);
		if (before_n && !at)
			now[i].changed |= RANK_NEW;
	}
	free(t.slot);
	return (long)kept;
}

/* ---- Order ----------------------------------------------------------------------------------- */

const char *rank_sort_name(enum rank_sort sort)
{
	static const char *const names[RANK_SORTS] = {
		"what matters", "In/s",	 "Out/s", "Recv-Q",  "Send-Q",	"RTT",
		"cwnd",		"State", "Local", "Foreign", "Program",
	};

	return sort < RANK_SORTS ? names[sort] : "?";
}

/* What a row is sorted by: the larger the key, the earlier; unknown keys are last. */
struct item {
	uint64_t key;
	uint32_t at;
	bool unknown;
	const struct rank_row *row;
};

/* Trouble, then what moved, then what has something queued, then states; 0 is the least. */
static uint64_t matter(const struct rank_row *r)
{
	uint64_t traffic = r->in_rate + r->out_rate;
	uint64_t weight = (uint64_t)(RANK_FINE - r->trouble) << 56;

	if (traffic >= (uint64_t)1 << 50)
		traffic = ((uint64_t)1 << 50) - 1;
	if (r->state == CPL_TIME_WAIT)
		return weight;
	if (listens(r))
		return weight + (r->accept_queue ? 2 : 1);
	return weight + (traffic << 3) + (r->recv_queue || r->send_queue ? 4 : 3);
}

static struct item item_of(const struct rank_row *r, uint32_t at, enum rank_sort sort)
{
	struct item item = { 0, at, false, r };

	switch (sort) {
	case RANK_BY_MATTER:
		item.key = matter(r);
		break;
	case RANK_BY_IN:
		item.key = r->in_rate;
		item.unknown = !r->rated;
		break;
	case RANK_BY_OUT:
		item.key = r->out_rate;
		item.unknown = !r->rated;
		break;
	case RANK_BY_RECV_QUEUE:
		item.key = listens(r) ? r->accept_queue : r->recv_queue;
		break;
	case RANK_BY_SEND_QUEUE:
		item.key = listens(r) ? 0 : r->send_queue;
		break;
	case RANK_BY_RTT:
		item.key = r->srtt;
		item.unknown = !rank_known(r, CPL_F_srtt);
		break;
	case RANK_BY_CWND:
		item.key = r->cwnd;
		item.unknown = !rank_known(r, CPL_F_cwnd);
		break;
	case RANK_BY_STATE:
		item.key = CPL_STATES - (uint64_t)r->state;
		break;
	case RANK_BY_PROGRAM:
		item.unknown = !rank_known(r, CPL_F_program);
		break;
	case RANK_BY_LOCAL:
	case RANK_BY_FOREIGN:
	case RANK_SORTS:
		break;
	}
	return item;
}

static int item_order(const struct item *x, const struct item *y, bool reverse)
{
	if (x->unknown != y->unknown)
		return x->unknown ? 1 : -1;
	if (x->key != y->key)
		return (x->key < y->key) != reverse ? 1 : -1;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	int r = item_order(a, b, false);

	return r ? r : place_order(((const struct item *)a)->row, ((const struct item *)b)->row);
}

static int by_key_reverse(const void *a, const void *b)
{
	int r = item_order(a, b, true);

	return r ? r : place_order(((const struct item *)a)->row, ((const struct item *)b)->row);
}

static int foreign_order(const struct rank_row *a, const struct rank_row *b)
{
	int r = memcmp(a->remote.b, b->remote.b, sizeof(a->remote.b));

	if (!r)
		r = (a->remote_port > b->remote_port) - (a->remote_port < b->remote_port);
	return r ? r : place_order(a, b);
}

static int by_local(const void *a, const void *b)
{
	return place_order(((const struct item *)a)->row, ((const struct item *)b)->row);
}

static int by_local_reverse(const void *a, const void *b)
{
	return by_local(b, a);
}

static int by_foreign(const void *a, const void *b)
{
	return foreign_order(((const struct item *)a)->row, ((const struct item *)b)->row);
}

static int by_foreign_reverse(const void *a, const void *b)
{
	return by_foreign(b, a);
}

static int by_program(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int r = item_order(x, y, false);

	if (!r)
		r = strncmp(x->row->program, y->row->program, sizeof(x->row->program));
	return r ? r : place_order(x->row, y->row);
}

static int by_program_reverse(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int r = item_order(x, y, false);

	if (!r)
		r = strncmp(y->row->program, x->row->program, sizeof(x->row->program));
	return r ? r : place_order(x->row, y->row);
}

size_t rank_order(uint32_t *order, const struct rank_row *rows, size_t n, enum rank_sort sort,
		  bool reverse)
{
	int (*compare)(const void *, const void *) = reverse ? by_key_reverse : by_key;
	struct item *items = malloc((n + 1) * sizeof(*items));
	size_t kept = 0;

	if (sort == RANK_BY_LOCAL)
		compare = reverse ? by_local_reverse : by_local;
	else if (sort == RANK_BY_FOREIGN)
		compare = reverse ? by_foreign_reverse : by_foreign;
	else if (sort == RANK_BY_PROGRAM)
		compare = reverse ? by_program_reverse : by_program;
	for (size_t i = 0; i < n; i++) {
		if (!rows[i].shown)
			continue;
		order[kept] = (uint32_t)i;
		if (items)
			items[kept] = item_of(&rows[i], (uint32_t)i, sort);
		kept++;
	}
	if (!items)
		return kept; /* unsorted is better than nothing */
	qsort(items, kept, sizeof(*items), compare);
	for (size_t i = 0; i < kept; i++)
		order[i] = items[i].at;
	free(items);
	return kept;
}
