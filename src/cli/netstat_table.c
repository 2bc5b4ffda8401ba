/* SPDX-License-Identifier: MIT */
/* couplet netstat: the rows of the table, with the names that go with them. */
#define _GNU_SOURCE /* asprintf */
#include "cli/netstat.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <net/if.h>

#include "source/namespaces.h"
#include "view/line.h"

#define UDP 17

/* Texts that live as long as the rows that point to them. */
struct netstat_texts {
	char **text;
	size_t n, room;
	/* The last user and the last namespace that were asked for. */
	uint32_t uid, netns;
	const char *user, *namespace;
	bool user_known, namespace_known;
	/* UNIX sockets by inode. */
	const struct cpl_info **by_inode;
	size_t inodes;
	const struct cpl_info **by_ports; /* connections of TCP */
	size_t ports;
};

static const char *keep(struct netstat_texts *x, char *s)
{
	if (s && x->n == x->room) {
		size_t room = x->room ? x->room * 2 : 256;
		char **bigger = reallocarray(x->text, room, sizeof(*bigger));

		if (!bigger) {
			free(s);
			return NULL;
		}
		x->text = bigger;
		x->room = room;
	}
	if (s)
		x->text[x->n++] = s;
	return s;
}

/* ---- Names ----------------------------------------------------------------------------------- */

/* "%eth0" behind a link-local address, which means nothing without it. */
static struct view_word scope(const struct cpl_addr *addr, uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	if (!ifindex || addr->b[0] != 0xfe || (addr->b[1] & 0xc0) != 0x80)
		return word_format("%s", "");
	if (!if_indextoname(ifindex, name))
		return word_format("%%%u", ifindex);
	return word_format("%%%s", name);
}

/* "host:service" as far as both have names; NULL: the numbers do. */
static char *named(const struct netstat *n, const struct cpl_info *info, bool local)
{
	const struct cpl_addr *addr = local ? &info->local_addr : &info->remote_addr;
	uint16_t port = local ? info->local_port : info->remote_port;
	const char *host = n->names ? names_host(n->names, addr, info->ifindex) : NULL;
	const char *service = n->names ? names_service(n->names, port, info->protocol) : NULL;
	struct view_word number, zone = scope(addr, info->ifindex);
	char digits[8];
	char *s;

	if ((!host && !service && !zone.s[0]) ||
	    !cpl_info_known(info, local ? CPL_F_local_addr : CPL_F_remote_addr))
		return NULL;
	number = view_netstat_endpoint(addr, 0, n->dress);
	number.s[strlen(number.s) - 2] = 0; /* ":*" */
	if (!host && zone.s[0]) {
		bool bracket = number.s[0] == '[';
		size_t len = strlen(number.s) - bracket;

		snprintf(number.s + len, sizeof(number.s) - len, "%s%s", zone.s,
			 bracket ? "]" : "");
	}
	snprintf(digits, sizeof(digits), port ? "%u" : "*", port);
	if (asprintf(&s, "%s%c%s", host ? host : number.s, n->dress & VIEW_NETSTAT_BSD ? '.' : ':',
		     service ? service : digits) < 0)
		return NULL;
	return s;
}

static void look_up(struct netstat *n, const struct netstat_rows *rows)
{
	if (!n->names)
		return;
	for (size_t i = 0; i < rows->n; i++) {
		const struct cpl_info *info = rows->row[i].info;

		if (info->family == 1)
			continue;
		names_want(n->names, &info->local_addr, info->ifindex);
		names_want(n->names, &info->remote_addr, info->ifindex);
	}
	names_wait(n->names, NAMES_WAIT_MS);
}

static const char *user_name(struct netstat_texts *x, uint32_t uid)
{
	const struct passwd *entry;

	if (x->user_known && x->uid == uid)
		return x->user;
	entry = getpwuid(uid);
	x->user = entry ? keep(x, strdup(entry->pw_name)) : NULL;
	x->uid = uid;
	x->user_known = true;
	return x->user;
}

/* As ip-netns(8) calls it, or who is in it; NULL: its inode is all there is. */
static const char *namespace_name(struct netstat_texts *x, uint32_t netns)
{
	const struct netns *ns;
	char *name = NULL;

	if (x->namespace_known && x->netns == netns)
		return x->namespace;
	ns = source_namespace(netns);
	if (ns && ns->name[0])
		name = strdup(ns->name);
	else if (ns && ns->ours)
		name = strdup("(this)");
	else if (ns && ns->pid && asprintf(&name, "of pid %u", ns->pid) < 0)
		name = NULL;
	x->namespace = keep(x, name);
	x->netns = netns;
	x->namespace_known = true;
	return x->namespace;
}

/* ---- UNIX sockets ---------------------------------------------------------------------------- */

static int by_inode(const void *left, const void *right)
{
	const struct cpl_info *const *a = left, *const *b = right;

	return ((*a)->inode > (*b)->inode) - ((*a)->inode < (*b)->inode);
}

static void index_inodes(struct netstat_texts *x, const struct snapshot_set *set)
{
	x->by_inode = calloc(set->n + 1, sizeof(*x->by_inode));
	if (!x->by_inode)
		return;
	for (size_t i = 0; i < set->n; i++)
		if (set->info[i].family == 1 && cpl_info_known(&set->info[i], CPL_F_inode))
			x->by_inode[x->inodes++] = &set->info[i];
	qsort(x->by_inode, x->inodes, sizeof(*x->by_inode), by_inode);
}

static const struct cpl_info *other_end(const struct netstat_texts *x, const struct cpl_info *info)
{
	struct cpl_info wanted = { .inode = info->peer_inode };
	const struct cpl_info *key = &wanted, **found;

	if (!x->by_inode || !cpl_info_known(info, CPL_F_peer_inode))
		return NULL;
	found = bsearch(&key, x->by_inode, x->inodes, sizeof(*x->by_inode), by_inode);
	return found ? *found : NULL;
}

/* ---- The other end, where it is here too ---------------------------------------------------- */

/* Both ends of a connection have the same place in this order. */
static int by_ports(const void *left, const void *right)
{
	const struct cpl_info *const *a = left, *const *b = right;
	uint32_t sum_a = (uint32_t)(*a)->local_port * (*a)->remote_port;
	uint32_t sum_b = (uint32_t)(*b)->local_port * (*b)->remote_port;

	return (sum_a > sum_b) - (sum_a < sum_b);
}

static void index_ports(struct netstat_texts *x, const struct snapshot_set *set)
{
	x->by_ports = calloc(set->n + 1, sizeof(*x->by_ports));
	if (!x->by_ports)
		return;
	for (size_t i = 0; i < set->n; i++)
		if (set->info[i].protocol == 6 && set->info[i].remote_port)
			x->by_ports[x->ports++] = &set->info[i];
	qsort(x->by_ports, x->ports, sizeof(*x->by_ports), by_ports);
}

static const struct cpl_info *tcp_end(const struct netstat_texts *x, const struct cpl_info *info)
{
	const struct cpl_info **found;
	size_t at;

	if (!x->by_ports || info->protocol != 6 || !info->remote_port)
		return NULL;
	found = bsearch(&info, x->by_ports, x->ports, sizeof(*x->by_ports), by_ports);
	if (!found)
		return NULL;
	for (at = (size_t)(found - x->by_ports); at && !by_ports(&x->by_ports[at - 1], &info);)
		at--;
	for (; at < x->ports && !by_ports(&x->by_ports[at], &info); at++)
		if (x->by_ports[at] != info && view_mirrors(x->by_ports[at], info))
			return x->by_ports[at];
	return NULL;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static bool add(struct netstat_rows *rows, const struct cpl_info *info, size_t number)
{
	if (rows->n == rows->room) {
		size_t room = rows->room ? rows->room * 2 : 64;
		struct view_row *bigger = reallocarray(rows->row, room, sizeof(*bigger));

		if (!bigger)
			return false;
		rows->row = bigger;
		rows->room = room;
	}
	rows->row[rows->n++] = (struct view_row){ .info = info, .number = number };
	return true;
}

static void fill(struct netstat *n, const struct snapshot_set *set, struct netstat_texts *x,
		 struct view_row *row)
{
	const struct cpl_info *i = row->info;

	if (i->family == 1) {
		row->peer = other_end(x, i);
	} else {
		row->local = keep(x, named(n, i, true));
		row->foreign = keep(x, named(n, i, false));
	}
	if (n->explain && i->family != 1)
		row->peer = tcp_end(x, i);
	if (n->explain && view_detached(i))
		row->listener = view_listener(set->info, set->n, i);
	if (n->extend && !n->numeric && cpl_info_known(i, CPL_F_uid))
		row->user = user_name(x, i->uid);
	if (n->namespaces && cpl_info_known(i, CPL_F_netns))
		row->namespace = namespace_name(x, i->netns);
}

int netstat_rows_make(struct netstat *n, const struct snapshot_set *set, struct netstat_rows *rows)
{
	bool unix_sockets = false;

	memset(rows, 0, sizeof(*rows));
	rows->texts = calloc(1, sizeof(*rows->texts));
	if (!rows->texts)
		return cli_fail(CLI_CANNOT, "out of memory");
	for (size_t i = 0; i < set->n; i++) {
		unix_sockets |= set->info[i].family == 1;
		if (netstat_shows(n, &set->info[i], i + 1) && !add(rows, &set->info[i], i + 1))
			return cli_fail(CLI_CANNOT, "out of memory");
	}
	look_up(n, rows);
	if (unix_sockets)
		index_inodes(rows->texts, set);
	if (n->explain)
		index_ports(rows->texts, set);
	for (size_t i = 0; i < rows->n; i++)
		fill(n, set, rows->texts, &rows->row[i]);
	return CLI_OK;
}

void netstat_rows_free(struct netstat_rows *rows)
{
	struct netstat_texts *x = rows->texts;

	for (size_t i = 0; x && i < x->n; i++)
		free(x->text[i]);
	if (x) {
		free(x->text);
		free(x->by_inode);
		free(x->by_ports);
	}
	free(x);
	free(rows->row);
	memset(rows, 0, sizeof(*rows));
}

/* ---- Tables ---------------------------------------------------------------------------------- */

/* The line that the other netstats write above a table. */
static void put_heading(const struct netstat *n, struct text *t, bool unix_sockets)
{
	if (n->dress & VIEW_NETSTAT_BSD)
		text_printf(t, "Active %s%s\n",
			    unix_sockets ? "LOCAL (UNIX) domain sockets" : "Internet connections",
			    n->all && !unix_sockets ? " (including servers)" : "");
	else if (n->dress & VIEW_NETSTAT_LINUX)
		text_printf(t, "Active %s (%s)\n",
			    unix_sockets ? "UNIX domain sockets" : "Internet connections",
			    n->listening ? "only servers"
			    : n->all	 ? "servers and established"
					 : "w/o servers");
}

void netstat_tables(const struct netstat *n, struct text *t, const struct netstat_rows *rows,
		    unsigned flags)
{
	size_t inet = 0;
	bool unix_alone = (n->unix_sockets || select_names_unix(&n->select)) && !n->tcp && !n->udp;

	/* The order of the table has UNIX sockets last. */
	while (inet < rows->n && rows->row[inet].info->family != 1)
		inet++;
	for (size_t i = 0; i < inet; i++)
		if (rows->row[i].info->source == CPL_SOURCE_STACK)
			flags |= VIEW_NETSTAT_SOURCE;
	if (!unix_alone) {
		put_heading(n, t, false);
		view_netstat(t, rows->row, inet, flags);
	}
	if (inet == rows->n && !unix_alone)
		return;
	if (!unix_alone && !n->dress)
		text_puts(t, "\n");
	put_heading(n, t, true);
	view_netstat_unix(t, rows->row + inet, rows->n - inet, flags);
}
