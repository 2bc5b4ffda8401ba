/* SPDX-License-Identifier: MIT */
/* The table of UNIX sockets: see netstat.h. */
#include <string.h>

#include "view/line.h"
#include "view/netstat.h"
#include "view/table.h"

enum column {
	COL_NUMBER,
	COL_PROTO,
	COL_RECVQ,
	COL_SENDQ,
	COL_REFCNT,
	COL_FLAGS,
	COL_TYPE,
	COL_STATE,
	COL_USER,
	COL_INODE,
	COL_PEER,
	COL_NAMESPACE,
	COL_PROGRAM,
	COL_PEER_PROGRAM,
	COL_CHANGE,
	COL_PATH,
	COLS
};

static const struct view_column columns[COLS] = {
	[COL_NUMBER] = { "#", 0, true },	 [COL_PROTO] = { "Proto", 0, false },
	[COL_RECVQ] = { "Recv-Q", 0, true },	 [COL_SENDQ] = { "Send-Q", 0, true },
	[COL_REFCNT] = { "RefCnt", 0, false },	 [COL_FLAGS] = { "Flags", 11, false },
	[COL_TYPE] = { "Type", 6, false },	 [COL_STATE] = { "(state)", 0, false },
	[COL_USER] = { "User", 0, false },	 [COL_INODE] = { "Inode", 0, false },
	[COL_PEER] = { "Peer", 0, false },	 [COL_NAMESPACE] = { "Namespace", 0, false },
	[COL_PROGRAM] = { "Program", 0, false }, [COL_PEER_PROGRAM] = { "Peer-Program", 0, false },
	[COL_CHANGE] = { "Change", 0, false },	 [COL_PATH] = { "Path", 0, false },
};

static const struct view_column linux_columns[COLS] = {
	[COL_TYPE] = { "Type", 10, false },
	[COL_STATE] = { "State", 13, false },
	[COL_INODE] = { "I-Node", 8, false },
	[COL_PROGRAM] = { "PID/Program name", 20, false },
};

struct rows {
	const struct view_row *row;
	unsigned flags;
};

static const char *type_name(const struct cpl_info *i, bool net_tools)
{
	switch (cpl_info_known(i, CPL_F_socket_type) ? i->socket_type : 0) {
	case 1:
		return net_tools ? "STREAM" : "stream";
	case 2:
		return net_tools ? "DGRAM" : "dgram";
	case 5:
		return net_tools ? "SEQPACKET" : "seqpac";
	}
	return "-";
}

/* Datagram sockets without a peer have no state; the words are net-tools'. */
static const char *state_name(const struct cpl_info *i)
{
	if (!cpl_info_known(i, CPL_F_state))
		return "-";
	switch (i->state) {
	case CPL_LISTEN:
		return "LISTENING";
	case CPL_ESTABLISHED:
		return "CONNECTED";
	case CPL_SYN_SENT:
		return "CONNECTING";
	}
	return "";
}

static struct view_word number_word(const struct cpl_info *i, enum cpl_field field)
{
	uint64_t n;

	if (!view_get(i, field, &n))
		return word_format("-");
	return word_format("%llu", (unsigned long long)n);
}

static void unix_cell(const void *arg, size_t at, unsigned column, struct view_cell *cell)
{
	const struct rows *rows = arg;
	const struct view_row *row = &rows->row[at];
	const struct cpl_info *i = row->info;
	bool net_tools = rows->flags & VIEW_NETSTAT_LINUX;

	switch ((enum column)column) {
	case COL_NUMBER:
		cell->word = word_format("#%zu", row->number ? row->number : at + 1);
		return;
	case COL_PROTO:
		cell->word = word_format("unix");
		return;
	case COL_RECVQ:
	case COL_SENDQ:
		cell->word = view_netstat_queue(i, column == COL_SENDQ);
		return;
	case COL_REFCNT:
		cell->word = number_word(i, CPL_F_descriptors);
		return;
	case COL_FLAGS:
		cell->word = word_format("%s", i->state == CPL_LISTEN ? "[ ACC ]" : "[ ]");
		return;
	case COL_TYPE:
		cell->word = word_format("%s", type_name(i, net_tools));
		return;
	case COL_STATE:
		cell->word = word_format("%s", state_name(i));
		cell->style = view_state_style(i);
		return;
	case COL_USER:
		cell->text = row->user;
		cell->word = number_word(i, CPL_F_uid);
		return;
	case COL_INODE:
		cell->word = number_word(i, CPL_F_inode);
		return;
	case COL_PEER:
		cell->word = number_word(i, CPL_F_peer_inode);
		return;
	case COL_NAMESPACE:
		cell->text = row->namespace;
		cell->word = number_word(i, CPL_F_netns);
		return;
	case COL_PROGRAM:
		cell->word = view_netstat_program(i);
		return;
	case COL_PEER_PROGRAM:
		cell->word = row->peer ? view_netstat_program(row->peer) : word_format("-");
		return;
	case COL_CHANGE:
		cell->text = row->change ? row->change : "";
		cell->style = TEXT_BOLD;
		return;
	case COL_PATH:
		cell->word = cpl_info_known(i, CPL_F_path) ? view_field_word(i, CPL_F_path, 0)
							   : word_format("%s", "");
		return;
	case COLS:
		break;
	}
	cell->word = word_format("-");
}

static void explained(const void *arg, size_t at, struct text *t)
{
	const struct rows *rows = arg;
	struct view_line line = { .info = rows->row[at].info, .peer = rows->row[at].peer };

	view_line(t, &line, 6);
}

static uint32_t wanted_columns(unsigned flags)
{
	static const struct {
		unsigned flag;
		uint32_t columns;
	} optional[] = {
		{ VIEW_NETSTAT_NUMBER, 1u << COL_NUMBER },
		{ VIEW_NETSTAT_EXTEND, 1u << COL_USER },
		{ VIEW_NETSTAT_NAMESPACE, 1u << COL_NAMESPACE },
		{ VIEW_NETSTAT_PROGRAM, 1u << COL_PROGRAM },
		{ VIEW_NETSTAT_CHANGE, 1u << COL_CHANGE },
	};
	uint32_t wanted = 1u << COL_PROTO | 1u << COL_TYPE | 1u << COL_STATE | 1u << COL_INODE |
			  1u << COL_PATH;

	if (flags & VIEW_NETSTAT_LINUX)
		wanted |= 1u << COL_REFCNT | 1u << COL_FLAGS;
	else
		wanted |= 1u << COL_RECVQ | 1u << COL_SENDQ | 1u << COL_PEER;
	if (!(flags & VIEW_NETSTAT_LINUX) && flags & VIEW_NETSTAT_PROGRAM)
		wanted |= 1u << COL_PEER_PROGRAM;
	for (size_t i = 0; i < sizeof(optional) / sizeof(*optional); i++)
		if (flags & optional[i].flag)
			wanted |= optional[i].columns;
	return wanted;
}

void view_netstat_unix(struct text *t, const struct view_row *rows, size_t n, unsigned flags)
{
	struct view_column dressed[COLS];
	struct rows r = { rows, flags };
	struct view_table table = {
		.columns = dressed,
		.n = COLS,
		.wanted = wanted_columns(flags),
		.bare = flags & VIEW_NETSTAT_BARE,
		.cell = unix_cell,
		.below = flags & VIEW_NETSTAT_EXPLAIN ? explained : NULL,
		.arg = &r,
	};

	for (size_t c = 0; c < COLS; c++)
		dressed[c] = flags & VIEW_NETSTAT_LINUX && linux_columns[c].title ? linux_columns[c]
										  : columns[c];
	view_table(t, &table, n);
}
