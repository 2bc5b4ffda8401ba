/* SPDX-License-Identifier: MIT */
/* Which connections are meant: matching, order of the table, and what is near. See select.h. */
#define _GNU_SOURCE /* FNM_CASEFOLD */
#include "source/select.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view/field.h"
#include "wire/ip.h"

#define UDP 17

/* ---- Matching -------------------------------------------------------------------------------- */

static bool compare(enum select_op op, uint64_t a, uint64_t b)
{
	switch (op) {
	case SELECT_EQ:
		return a == b;
	case SELECT_NE:
		return a != b;
	case SELECT_LT:
		return a < b;
	case SELECT_GT:
		return a > b;
	case SELECT_LE:
		return a <= b;
	case SELECT_GE:
		return a >= b;
	}
	return false;
}

static bool point_match(const struct select_point *p, enum select_op op,
			const struct cpl_info *info, bool local)
{
	enum cpl_field addr_field = local ? CPL_F_local_addr : CPL_F_remote_addr;
	enum cpl_field port_field = local ? CPL_F_local_port : CPL_F_remote_port;
	const struct cpl_addr *addr = local ? &info->local_addr : &info->remote_addr;
	uint16_t port = local ? info->local_port : info->remote_port;
	bool found = p->addrs == 0;

	if (p->has_port && (!cpl_info_known(info, port_field) || !compare(op, port, p->port)))
		return false;
	if (p->ifindex && info->ifindex != p->ifindex)
		return false;
	if (!found && !cpl_info_known(info, addr_field))
		return false;
	for (unsigned i = 0; i < p->addrs && !found; i++)
		found = addr_in_prefix(addr, &p->addr[i], p->prefix);
	return found;
}

static bool side_match(const struct select_node *n, const struct cpl_info *info)
{
	return (n->side != SELECT_REMOTE && point_match(&n->point[0], n->op, info, true)) ||
	       (n->side != SELECT_LOCAL && point_match(&n->point[0], n->op, info, false));
}

static bool pair_match(const struct select_node *n, const struct cpl_info *info)
{
	for (int first = 0; first < 2; first++)
		if (point_match(&n->point[first], SELECT_EQ, info, true) &&
		    point_match(&n->point[!first], SELECT_EQ, info, false))
			return true;
	return false;
}

static bool state_match(unsigned states, const struct cpl_info *info)
{
	unsigned state = info->state;

	if (info->protocol == UDP)
		state = info->remote_port ? CPL_ESTABLISHED : CPL_CLOSED;
	else if (!cpl_info_known(info, CPL_F_state))
		return false;
	return states >> state & 1;
}

static bool program_match(const struct select_node *n, const struct cpl_info *info)
{
	char pattern[sizeof(n->name)];

	if (!cpl_info_known(info, CPL_F_program))
		return false;
	memcpy(pattern, n->name, sizeof(pattern));
	/* The kernel keeps 15 bytes of a program's name. */
	if (!strpbrk(pattern, "*?") && strlen(pattern) >= sizeof(info->program))
		pattern[sizeof(info->program) - 1] = 0;
	return (fnmatch(pattern, info->program, 0) == 0) == (n->op == SELECT_EQ);
}

/* The case of letters does not matter, as in ss(8). */
static bool path_match(const struct select_node *n, const struct cpl_info *info)
{
	if (!cpl_info_known(info, CPL_F_path))
		return false;
	return (fnmatch(n->name, info->path, FNM_CASEFOLD) == 0) == (n->op == SELECT_EQ);
}

static bool node_match(const struct select *s, int at, const struct cpl_info *info, size_t row)
{
	const struct select_node *n = &s->node[at];
	uint64_t value;

	switch (n->kind) {
	case SELECT_ALL:
		return true;
	case SELECT_AND:
		return node_match(s, n->left, info, row) && node_match(s, n->right, info, row);
	case SELECT_OR:
		return node_match(s, n->left, info, row) || node_match(s, n->right, info, row);
	case SELECT_NOT:
		return !node_match(s, n->left, info, row);
	case SELECT_STATE:
		return state_match(n->states, info);
	case SELECT_POINT:
		return side_match(n, info);
	case SELECT_PAIR:
		return pair_match(n, info);
	case SELECT_PROGRAM:
		return program_match(n, info);
	case SELECT_PATH:
		return path_match(n, info);
	case SELECT_FIELD:
		return view_get(info, n->field, &value) && compare(n->op, value, n->value);
	case SELECT_ROW:
		return row == n->value;
	}
	return false;
}

bool select_match(const struct select *select, const struct cpl_info *info, size_t row)
{
	return select->root < 0 || node_match(select, select->root, info, row);
}

bool select_first_end(const struct select *select, const struct cpl_info *info)
{
	const struct select_node *n = &select->node[0];

	return select->root == 0 && n->kind == SELECT_PAIR &&
	       point_match(&n->point[0], SELECT_EQ, info, true) &&
	       point_match(&n->point[1], SELECT_EQ, info, false);
}

/* ---- What a match needs ---------------------------------------------------------------------- */

static unsigned node_states(const struct select *s, int at)
{
	const struct select_node *n = &s->node[at];

	switch (n->kind) {
	case SELECT_AND:
		return node_states(s, n->left) & node_states(s, n->right);
	case SELECT_OR:
		return node_states(s, n->left) | node_states(s, n->right);
	case SELECT_NOT:
		if (s->node[n->left].kind == SELECT_STATE)
			return ~s->node[n->left].states & SOURCE_USUAL_STATES;
		return SOURCE_USUAL_STATES;
	case SELECT_STATE:
		return n->states;
	default:
		return SOURCE_USUAL_STATES;
	}
}

unsigned select_states(const struct select *select)
{
	return select->root < 0 ? SOURCE_USUAL_STATES : node_states(select, select->root);
}

bool select_needs_owners(const struct select *select)
{
	for (int i = 0; i < select->n; i++) {
		const struct select_node *n = &select->node[i];

		if (n->kind == SELECT_PROGRAM)
			return true;
		if (n->kind == SELECT_FIELD && (n->field == CPL_F_pid || n->field == CPL_F_fd))
			return true;
	}
	return false;
}

/* What sock_diag does not tell of a TCP connection. */
static bool block_field(enum cpl_field f)
{
	static const enum cpl_field fields[] = {
		CPL_F_attached,	   CPL_F_descriptors,  CPL_F_snd_wnd_max,  CPL_F_peer_mss,
		CPL_F_send_memory, CPL_F_snd_shutdown, CPL_F_ooo_bytes,	   CPL_F_ooo_ranges,
		CPL_F_recv_memory, CPL_F_rcv_shutdown, CPL_F_timer_delack, CPL_F_timer_reorder,
		CPL_F_timer_probe, CPL_F_timer_pace,   CPL_F_ts_recent,	   CPL_F_ts_recent_age,
		CPL_F_nodelay,	   CPL_F_keepalive,    CPL_F_soft_error,
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (fields[i] == f)
			return true;
	return view_fields[f].type == VIEW_TYPE_seq;
}

/* What comes with every record, however brief. */
static bool is_brief(enum cpl_field f)
{
	const char *group = view_fields[f].group;

	return f == CPL_F_send_queue || f == CPL_F_recv_queue || f == CPL_F_accept_queue ||
	       f == CPL_F_backlog || f == CPL_F_syn_queue || strcmp(group, "identity") == 0 ||
	       (strcmp(group, "owner") == 0 && !block_field(f)) || f == CPL_F_timer_rexmt ||
	       f == CPL_F_timer_persist || f == CPL_F_timer_keep || f == CPL_F_timer_close ||
	       f == CPL_F_rexmt_count || f == CPL_F_probe_count;
}

bool select_needs_details(const struct select *select)
{
	for (int i = 0; i < select->n; i++)
		if (select->node[i].kind == SELECT_FIELD && !is_brief(select->node[i].field))
			return true;
	return false;
}

bool select_needs_block(const struct select *select)
{
	for (int i = 0; i < select->n; i++)
		if (select->node[i].kind == SELECT_FIELD && block_field(select->node[i].field))
			return true;
	return false;
}

static bool node_names_unix(const struct select *s, int at)
{
	const struct select_node *n = &s->node[at];

	switch (n->kind) {
	case SELECT_AND:
		return node_names_unix(s, n->left) || node_names_unix(s, n->right);
	case SELECT_OR:
		return node_names_unix(s, n->left) && node_names_unix(s, n->right);
	case SELECT_PATH:
		return true;
	case SELECT_FIELD:
		return (n->field == CPL_F_family && n->op == SELECT_EQ && n->value == 1) ||
		       n->field == CPL_F_peer_inode || n->field == CPL_F_socket_type;
	default:
		return false;
	}
}

bool select_names_unix(const struct select *select)
{
	return select->root >= 0 && node_names_unix(select, select->root);
}

bool select_needs_rows(const struct select *select)
{
	for (int i = 0; i < select->n; i++)
		if (select->node[i].kind == SELECT_ROW)
			return true;
	return false;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static int order_number(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* TCP, UDP, UNIX; listeners first, then by the local end, then by the remote one. */
int select_order(const struct cpl_info *a, const struct cpl_info *b)
{
	int d = order_number(a->family == 1, b->family == 1);

	if (!d)
		d = order_number(a->protocol, b->protocol);

	if (!d)
		d = order_number(a->state != CPL_LISTEN, b->state != CPL_LISTEN);
	if (!d)
		d = a->family == 1 ? strcmp(a->path, b->path) : 0;
	if (!d)
		d = order_number(a->local_port, b->local_port);
	if (!d)
		d = memcmp(&a->local_addr, &b->local_addr, sizeof(a->local_addr));
	if (!d)
		d = memcmp(&a->remote_addr, &b->remote_addr, sizeof(a->remote_addr));
	if (!d)
		d = order_number(a->remote_port, b->remote_port);
	if (!d)
		d = order_number(a->source, b->source);
	return d ? d : order_number(a->id, b->id);
}

static int order_records(const void *left, const void *right)
{
	return select_order(left, right);
}

/* What select_order() looks at first, and for most is all, without going to the record. */
struct place {
	uint64_t key;
	const struct cpl_info *info;
};

static uint64_t key_of(const struct cpl_info *i)
{
	uint64_t key = (uint64_t)(i->family == 1) << 40 | (uint64_t)i->protocol << 32 |
		       (uint64_t)(i->state != CPL_LISTEN) << 24;

	return i->family == 1 ? key : key | i->local_port; /* UNIX sockets: then comes the path */
}

static int order_places(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	return a->key != b->key ? order_number(a->key, b->key) : select_order(a->info, b->info);
}

/* Moves each record to where it belongs, one ring of them after another. */
static void move(struct cpl_info *infos, struct place *place, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i, from = (size_t)(place[i].info - infos);
		struct cpl_info first;

		if (from == i)
			continue;
		first = infos[i];
		while (from != i) {
			infos[at] = infos[from];
			place[at].info = &infos[at];
			at = from;
			from = (size_t)(place[at].info - infos);
		}
		infos[at] = first;
		place[at].info = &infos[at];
	}
}

/* Records are large: their places are sorted, then each is moved once. */
void select_sort(struct cpl_info *infos, size_t n)
{
	struct place *place = calloc(n + 1, sizeof(*place));

	if (!place) {
		qsort(infos, n, sizeof(*infos), order_records);
		return;
	}
	for (size_t i = 0; i < n; i++)
		place[i] = (struct place){ key_of(&infos[i]), &infos[i] };
	qsort(place, n, sizeof(*place), order_places);
	move(infos, place, n);
	free(place);
}

/* ---- What is near ---------------------------------------------------------------------------- */

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edits from TEXT to the nearest of the names of this connection. */
static unsigned distance(const char *text, const struct cpl_info *info)
{
	struct view_word local = word_endpoint(&info->local_addr, info->local_port);
	struct view_word remote = word_endpoint(&info->remote_addr, info->remote_port);
	char word[2 * sizeof(local.s) + 2];
	unsigned d = least(view_distance(text, local.s), view_distance(text, remote.s));

	snprintf(word, sizeof(word), ":%u", info->local_port);
	d = least(d, view_distance(text, word));
	snprintf(word, sizeof(word), ":%u", info->remote_port);
	d = least(d, view_distance(text, word));
	snprintf(word, sizeof(word), "%s-%s", local.s, remote.s);
	d = least(d, view_distance(text, word));
	if (cpl_info_known(info, CPL_F_program))
		d = least(d, view_distance(text, info->program));
	if (cpl_info_known(info, CPL_F_pid)) {
		snprintf(word, sizeof(word), "pid:%u", info->pid);
		d = least(d, view_distance(text, word));
	}
	return d;
}

size_t select_nearest(const char *text, const struct cpl_info *infos, size_t n, size_t *nearest,
		      size_t max)
{
	/* More than a third of it different: no longer the same thing mistyped. */
	unsigned limit = (unsigned)(strlen(text) + 2) / 3;
	unsigned away[SELECT_NEAREST];
	size_t count = 0;

	if (max > SELECT_NEAREST)
		max = SELECT_NEAREST;
	for (size_t i = 0; i < n; i++) {
		unsigned d = distance(text, &infos[i]);
		size_t at = count;

		if (d > limit)
			continue;
		while (at > 0 && away[at - 1] > d)
			at--;
		if (at == max)
			continue;
		if (count < max)
			count++;
		memmove(away + at + 1, away + at, (count - 1 - at) * sizeof(*away));
		memmove(nearest + at + 1, nearest + at, (count - 1 - at) * sizeof(*nearest));
		away[at] = d;
		nearest[at] = i;
	}
	return count;
}
