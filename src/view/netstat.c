/* SPDX-License-Identifier: MIT */
/* The classic table of TCP and UDP: see netstat.h. */
#include "view/netstat.h"

#include <string.h>

#include "view/line.h"
#include "view/table.h"

enum column {
	COL_NUMBER,
	COL_PROTO,
	COL_RECVQ,
	COL_SENDQ,
	COL_LOCAL,
	COL_FOREIGN,
	COL_STATE,
	COL_USER,
	COL_INODE,
	COL_NAMESPACE,
	COL_SOURCE,
	COL_PROGRAM,
	COL_TIMER,
	COL_CHANGE,
	COLS
};

static const struct view_column columns[COLS] = {
	[COL_NUMBER] = { "#", 0, true },
	[COL_PROTO] = { "Proto", 0, false },
	[COL_RECVQ] = { "Recv-Q", 0, true },
	[COL_SENDQ] = { "Send-Q", 0, true },
	[COL_LOCAL] = { "Local-Address", 0, false },
	[COL_FOREIGN] = { "Foreign-Address", 0, false },
	[COL_STATE] = { "(state)", 0, false },
	[COL_USER] = { "User", 0, false },
	[COL_INODE] = { "Inode", 0, false },
	[COL_NAMESPACE] = { "Namespace", 0, false },
	[COL_SOURCE] = { "Source", 0, false },
	[COL_PROGRAM] = { "Program", 0, false },
	[COL_TIMER] = { "Timer", 0, false },
	[COL_CHANGE] = { "Change", 0, false },
};

/* What the other dresses write and how wide they are at least. */
static const struct view_column linux_columns[] = {
	[COL_LOCAL] = { "Local Address", 23, false },
	[COL_FOREIGN] = { "Foreign Address", 23, false },
	[COL_STATE] = { "State", 11, false },
	[COL_USER] = { "User", 10, false },
	[COL_INODE] = { "Inode", 10, false },
	[COL_PROGRAM] = { "PID/Program name", 19, false },
};
static const struct view_column bsd_columns[] = {
	[COL_LOCAL] = { "Local Address", 22, false },
	[COL_FOREIGN] = { "Foreign Address", 22, false },
	[COL_STATE] = { "(state)", 11, false },
};

struct rows {
	const struct view_row *row;
	unsigned flags;
};

static bool is_udp(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_protocol) && i->protocol == 17;
}

static bool is_listener(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_state) && i->state == CPL_LISTEN && !is_udp(i);
}

struct view_word view_netstat_queue(const struct cpl_info *i, bool send)
{
	enum cpl_field field = is_listener(i) ? (send ? CPL_F_backlog : CPL_F_accept_queue)
					      : (send ? CPL_F_send_queue : CPL_F_recv_queue);
	uint64_t n;

	if (!view_get(i, field, &n))
		return word_text("-");
	return word_number(n);
}

struct view_word view_netstat_program(const struct cpl_info *i)
{
	if (!cpl_info_known(i, CPL_F_pid))
		return word_text("-");
	return word_format("%u/%s", i->pid,
			   cpl_info_known(i, CPL_F_program) ? view_field_word(i, CPL_F_program, 0).s
							    : "-");
}

struct view_word view_netstat_endpoint(const struct cpl_addr *addr, uint16_t port, unsigned flags)
{
	struct view_word host;
	char service[8] = "*";

	if (!(flags & (VIEW_NETSTAT_LINUX | VIEW_NETSTAT_BSD)))
		return word_endpoint(addr, port);
	host = word_endpoint(addr, 0);
	if (host.s[0] != '*' || flags & VIEW_NETSTAT_LINUX)
		host = word_addr(addr);
	else
		host = word_format("*");
	if (port)
		snprintf(service, sizeof(service), "%u", port);
	return word_format("%.60s%c%s", host.s, flags & VIEW_NETSTAT_BSD ? '.' : ':', service);
}

const char *view_netstat_state(unsigned state, unsigned flags)
{
	if (flags & VIEW_NETSTAT_LINUX) {
		switch (state) {
		case CPL_CLOSED:
			return "CLOSE";
		case CPL_SYN_RECEIVED:
			return "SYN_RECV";
		case CPL_FIN_WAIT_1:
			return "FIN_WAIT1";
		case CPL_FIN_WAIT_2:
			return "FIN_WAIT2";
		}
	}
	return view_state_name(state);
}

static struct view_word proto_word(const struct cpl_info *i, unsigned flags)
{
	const char *name = is_udp(i) ? "udp" : "tcp";

	if (flags & VIEW_NETSTAT_BSD && cpl_info_known(i, CPL_F_family))
		return word_format("%s%u", name, i->family);
	if (cpl_info_known(i, CPL_F_family) && i->family == 6)
		return word_text(is_udp(i) ? "udp6" : "tcp6");
	return word_text(name);
}

static struct view_word state_word(const struct cpl_info *i, unsigned flags)
{
	if (is_udp(i))
		return word_text(flags & VIEW_NETSTAT_LINUX && i->remote_port ? "ESTABLISHED" : "");
	if (!cpl_info_known(i, CPL_F_state))
		return word_text("-");
	return word_text(view_netstat_state(i->state, flags));
}

/* The timer that fires next; of those that sources tell apart. */
static struct view_word timer_word(const struct cpl_info *i, unsigned flags)
{
	static const struct {
		enum cpl_field field, count;
		const char *name, *linux_name;
	} timers[] = {
		{ CPL_F_timer_rexmt, CPL_F_rexmt_count, "retransmit", "on" },
		{ CPL_F_timer_probe, CPL_F_rexmt_count, "loss-probe", "on" },
		{ CPL_F_timer_reorder, CPL_F_rexmt_count, "reordering", "on" },
		{ CPL_F_timer_persist, CPL_F_probe_count, "persist", "probe" },
		{ CPL_F_timer_close, CPL_FIELDS, "close", "timewait" },
		{ CPL_F_timer_keep, CPL_F_probe_count, "keep-alive", "keepalive" },
	};
	uint64_t least = CPL_TIMER_OFF, left, count = 0;
	const char *name = "off";
	bool net_tools = flags & VIEW_NETSTAT_LINUX;

	for (size_t n = 0; n < sizeof(timers) / sizeof(*timers); n++) {
		if (!view_get(i, timers[n].field, &left) || left >= least)
			continue;
		least = left;
		name = net_tools ? timers[n].linux_name : timers[n].name;
		count = 0;
		if (timers[n].count != CPL_FIELDS)
			view_get(i, timers[n].count, &count);
	}
	if (net_tools)
		return word_format("%s (%.2f/%llu/0)", name,
				   least == CPL_TIMER_OFF ? 0 : (double)(least / 10000000) / 100,
				   (unsigned long long)count);
	if (least == CPL_TIMER_OFF)
		return word_text("-");
	if (!count)
		return word_format("%s %s", name, word_ns(least).s);
	return word_format("%s %s, %llu so far", name, word_ns(least).s, (unsigned long long)count);
}

static struct view_word number_word(const struct cpl_info *i, enum cpl_field field)
{
	uint64_t n;

	if (!view_get(i, field, &n))
		return word_text("-");
	return word_number(n);
}

static enum text_style queue_style(const struct cpl_info *i, bool send)
{
	uint64_t n = 0;

	if (is_listener(i))
		return TEXT_PLAIN;
	view_get(i, send ? CPL_F_send_queue : CPL_F_recv_queue, &n);
	return n ? TEXT_YELLOW : TEXT_PLAIN;
}

static void address_cell(const struct view_row *row, bool local, unsigned flags,
			 struct view_cell *cell)
{
	const struct cpl_info *i = row->info;

	cell->text = local ? row->local : row->foreign;
	if (cell->text)
		return;
	if (!cpl_info_known(i, local ? CPL_F_local_addr : CPL_F_remote_addr))
		cell->word = word_text("-");
	else
		cell->word = view_netstat_endpoint(local ? &i->local_addr : &i->remote_addr,
						   local ? i->local_port : i->remote_port, flags);
}

static void text_or_number(struct view_cell *cell, const char *text, const struct cpl_info *i,
			   enum cpl_field field)
{
	cell->text = text;
	if (!text)
		cell->word = number_word(i, field);
}

static void netstat_cell(const void *arg, size_t at, unsigned column, struct view_cell *cell)
{
	const struct rows *rows = arg;
	const struct view_row *row = &rows->row[at];
	const struct cpl_info *i = row->info;

	switch ((enum column)column) {
	case COL_NUMBER:
		cell->word = word_format("#%zu", row->number ? row->number : at + 1);
		return;
	case COL_PROTO:
		cell->word = proto_word(i, rows->flags);
		return;
	case COL_RECVQ:
	case COL_SENDQ:
		cell->word = view_netstat_queue(i, column == COL_SENDQ);
		cell->style = queue_style(i, column == COL_SENDQ);
		return;
	case COL_LOCAL:
	case COL_FOREIGN:
		address_cell(row, column == COL_LOCAL, rows->flags, cell);
		return;
	case COL_STATE:
		cell->word = state_word(i, rows->flags);
		cell->style = is_udp(i) ? TEXT_PLAIN : view_state_style(i);
		return;
	case COL_USER:
		text_or_number(cell, row->user, i, CPL_F_uid);
		return;
	case COL_INODE:
		cell->word = number_word(i, CPL_F_inode);
		return;
	case COL_NAMESPACE:
		text_or_number(cell, row->namespace, i, CPL_F_netns);
		return;
	case COL_SOURCE:
		cell->word = word_format("%s", cpl_info_known(i, CPL_F_source)
						       ? view_source_name(i->source)
						       : "-");
		return;
	case COL_PROGRAM:
		cell->word = view_netstat_program(i);
		return;
	case COL_TIMER:
		cell->word = timer_word(i, rows->flags);
		return;
	case COL_CHANGE:
		cell->text = row->change ? row->change : "";
		cell->style = TEXT_BOLD;
		return;
	case COLS:
		break;
	}
	cell->word = word_text("-");
}

static void explained(const void *arg, size_t at, struct text *t)
{
	const struct rows *rows = arg;
	const struct view_row *row = &rows->row[at];
	struct view_line line = {
		.info = row->info,
		.listener = row->listener,
		.peer = row->peer,
	};

	view_line(t, &line, 6);
}

static uint32_t wanted_columns(unsigned flags)
{
	static const struct {
		unsigned flag;
		uint32_t columns;
	} optional[] = {
		{ VIEW_NETSTAT_NUMBER, 1u << COL_NUMBER },
		{ VIEW_NETSTAT_EXTEND, 1u << COL_USER | 1u << COL_INODE },
		{ VIEW_NETSTAT_NAMESPACE, 1u << COL_NAMESPACE },
		{ VIEW_NETSTAT_SOURCE, 1u << COL_SOURCE },
		{ VIEW_NETSTAT_PROGRAM, 1u << COL_PROGRAM },
		{ VIEW_NETSTAT_TIMER, 1u << COL_TIMER },
		{ VIEW_NETSTAT_CHANGE, 1u << COL_CHANGE },
	};
	uint32_t wanted = 1u << COL_PROTO | 1u << COL_RECVQ | 1u << COL_SENDQ | 1u << COL_LOCAL |
			  1u << COL_FOREIGN | 1u << COL_STATE;

	for (size_t i = 0; i < sizeof(optional) / sizeof(*optional); i++)
		if (flags & optional[i].flag)
			wanted |= optional[i].columns;
	return wanted;
}

void view_netstat(struct text *t, const struct view_row *rows, size_t n, unsigned flags)
{
	struct view_column dressed[COLS];
	struct rows r = { rows, flags };
	struct view_table table = {
		.columns = dressed,
		.n = COLS,
		.wanted = wanted_columns(flags),
		.bare = flags & VIEW_NETSTAT_BARE,
		.cell = netstat_cell,
		.below = flags & VIEW_NETSTAT_EXPLAIN ? explained : NULL,
		.arg = &r,
	};

	for (size_t c = 0; c < COLS; c++) {
		const struct view_column *own = &columns[c];

		if (flags & VIEW_NETSTAT_LINUX && c <= COL_PROGRAM && linux_columns[c].title)
			own = &linux_columns[c];
		if (flags & VIEW_NETSTAT_BSD && c <= COL_STATE && bsd_columns[c].title)
			own = &bsd_columns[c];
		dressed[c] = *own;
	}
	view_table(t, &table, n);
}
