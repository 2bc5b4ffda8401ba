/* SPDX-License-Identifier: MIT */
/* The classic table: see netstat.h. */
#include "view/netstat.h"

#include <string.h>

/* The columns that widen; the last ones printed need no width. */
enum column {
	COL_NUMBER,
	COL_PROTO,
	COL_RECVQ,
	COL_SENDQ,
	COL_LOCAL,
	COL_FOREIGN,
	COL_STATE,
	COL_SOURCE,
	COL_PROGRAM,
	COLS
};

static const char *const titles[COLS] = {
	"#",	   "Proto",  "Recv-Q",	"Send-Q", "Local-Address", "Foreign-Address",
	"(state)", "Source", "Program",
};

static bool is_udp(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_protocol) && i->protocol == 17;
}

static bool is_listener(const struct cpl_info *i)
{
	return cpl_info_known(i, CPL_F_state) && i->state == CPL_LISTEN && !is_udp(i);
}

static struct view_word queue_word(const struct cpl_info *i, enum cpl_field field)
{
	uint64_t n;

	if (!view_get(i, field, &n))
		return word_format("-");
	return word_format("%llu", (unsigned long long)n);
}

static struct view_word endpoint_word(const struct cpl_info *i, enum cpl_field addr_field,
				      const struct cpl_addr *addr, uint16_t port)
{
	return cpl_info_known(i, addr_field) ? word_endpoint(addr, port) : word_format("-");
}

/* What stands in a column, but for names that were looked up. */
static struct view_word cell(const struct view_row *row, size_t place, enum column col)
{
	const struct cpl_info *i = row->info;

	switch (col) {
	case COL_NUMBER:
		return word_format("#%zu", row->number ? row->number : place);
	case COL_PROTO:
		return word_format("%s%s", is_udp(i) ? "udp" : "tcp",
				   cpl_info_known(i, CPL_F_family) && i->family == 6 ? "6" : "");
	case COL_RECVQ:
		return queue_word(i, is_listener(i) ? CPL_F_accept_queue : CPL_F_recv_queue);
	case COL_SENDQ:
		return queue_word(i, is_listener(i) ? CPL_F_backlog : CPL_F_send_queue);
	case COL_LOCAL:
		return endpoint_word(i, CPL_F_local_addr, &i->local_addr, i->local_port);
	case COL_FOREIGN:
		return endpoint_word(i, CPL_F_remote_addr, &i->remote_addr, i->remote_port);
	case COL_STATE:
		if (!cpl_info_known(i, CPL_F_state) || is_udp(i))
			return word_format("%s", is_udp(i) ? "" : "-");
		return word_format("%s", view_state_name(i->state));
	case COL_SOURCE:
		return word_format("%s", cpl_info_known(i, CPL_F_source)
						 ? view_source_name(i->source)
						 : "-");
	case COL_PROGRAM:
		if (!cpl_info_known(i, CPL_F_pid))
			return word_format("-");
		return word_format("%u/%s", i->pid,
				   cpl_info_known(i, CPL_F_program)
					   ? view_field_word(i, CPL_F_program, 0).s
					   : "-");
	case COLS:
		break;
	}
	return word_format("-");
}

/* The looked-up name of a column, or NULL. */
static const char *looked_up(const struct view_row *row, enum column col)
{
	return col == COL_LOCAL ? row->local : col == COL_FOREIGN ? row->foreign : NULL;
}

static bool wanted(enum column col, unsigned flags)
{
	switch (col) {
	case COL_NUMBER:
		return flags & VIEW_NETSTAT_NUMBER;
	case COL_SOURCE:
		return flags & VIEW_NETSTAT_SOURCE;
	case COL_PROGRAM:
		return flags & VIEW_NETSTAT_PROGRAM;
	default:
		return true;
	}
}

static bool is_right(enum column col)
{
	return col == COL_RECVQ || col == COL_SENDQ || col == COL_NUMBER;
}

static void put(struct text *t, const char *s, enum column col, unsigned width, bool last)
{
	unsigned cells = (unsigned)strlen(s); /* text_foreign() prints one column for each byte */

	if (is_right(col) && cells < width)
		text_repeat(t, " ", width - cells);
	text_foreign(t, s);
	if (last)
		return;
	if (!is_right(col) && cells < width)
		text_repeat(t, " ", width - cells);
	text_puts(t, " ");
}

static enum column last_column(unsigned flags)
{
	return flags & VIEW_NETSTAT_PROGRAM  ? COL_PROGRAM
	       : flags & VIEW_NETSTAT_SOURCE ? COL_SOURCE
					     : COL_STATE;
}

void view_netstat(struct text *t, const struct view_row *rows, size_t n, unsigned flags)
{
	unsigned width[COLS];
	enum column last = last_column(flags);

	for (int col = 0; col < COLS; col++)
		width[col] = (unsigned)strlen(titles[col]);
	for (size_t r = 0; r < n; r++) {
		for (int col = 0; col < COLS; col++) {
			const char *name = looked_up(&rows[r], (enum column)col);
			struct view_word w = cell(&rows[r], r + 1, (enum column)col);
			unsigned cells = (unsigned)strlen(name ? name : w.s);

			if (cells > width[col])
				width[col] = cells;
		}
	}
	if (!(flags & VIEW_NETSTAT_BARE)) {
		for (int col = 0; col < COLS; col++)
			if (wanted((enum column)col, flags))
				put(t, titles[col], (enum column)col, width[col],
				    (enum column)col == last);
		text_puts(t, "\n");
	}
	for (size_t r = 0; r < n; r++) {
		for (int col = 0; col < COLS; col++) {
			const char *name = looked_up(&rows[r], (enum column)col);
			struct view_word w = cell(&rows[r], r + 1, (enum column)col);

			if (wanted((enum column)col, flags))
				put(t, name ? name : w.s, (enum column)col, width[col],
				    (enum column)col == last);
		}
		while (t->len && t->data[t->len - 1] == ' ') /* UDP has no state */
			t->data[--t->len] = 0;
		text_puts(t, "\n");
	}
}
