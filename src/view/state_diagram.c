/* SPDX-License-Identifier: MIT */
/*
 * The state diagram in text: see state_diagram.h. The picture is a template; the names of states
 * in it are found by looking for them, so that it can be redrawn without counting columns. Edges
 * that are rarely gone are left out: RST, ABORT and time-out, which lead to CLOSED from everywhere;
 * CLOSE in LISTEN, SYN-SENT and SYN-RECEIVED; a FIN that comes with the ACK of the SYN.
 */
#include "view/state_diagram.h"

#include <string.h>

static const char *const picture[STATE_DIAGRAM_LINES] = {
	"                   ┌───────────── CLOSED ─────────────┐",
	"      passive OPEN │                                  │ active OPEN / SYN",
	"                   ▼           SEND / SYN             ▼",
	"                 LISTEN ────────────────────────► SYN-SENT",
	"     SYN / SYN,ACK │                                  │",
	"                   ▼         SYN / SYN,ACK            │",
	"              SYN-RECEIVED ◄──────────────────────────┤",
	"        ACK of SYN │                                  │ SYN,ACK / ACK",
	"                   └─────────► ESTABLISHED ◄──────────┘",
	"         CLOSE / FIN              │   │              FIN / ACK",
	"                   ┌──────────────┘   └───────────────┐",
	"                   ▼                                  ▼",
	"        ┌───── FIN-WAIT-1 ──────┐                 CLOSE-WAIT",
	"        │          │            │ FIN / ACK           │ CLOSE / FIN",
	"        │ACK       │            ▼                     ▼",
	"        ▼          │FIN,     CLOSING              LAST-ACK",
	"   FIN-WAIT-2      │ACK         │ ACK                 │ ACK",
	"        │          ▼            │                     ▼",
	"        └────► TIME-WAIT ◄──────┘                  CLOSED",
	"          FIN      │              2 MSL pass          ▲",
	"                   └──────────────────────────────────┘",
};

/* The same in ASCII. */
static const struct {
	const char *drawn, *plain;
} plain[] = {
	{ "─", "-" }, { "│", "|" }, { "┌", "+" }, { "┐", "+" }, { "└", "+" }, { "┘", "+" },
	{ "├", "+" }, { "┤", "+" }, { "▼", "v" }, { "▲", "^" }, { "►", ">" }, { "◄", "<" },
};

/* A line of the picture in cells: up to 4 bytes of UTF-8 each. */
struct canvas {
	struct {
		const char *s;
		size_t size;
		enum text_style style;
	} cell[STATE_DIAGRAM_WIDTH];
	unsigned n;
};

static size_t cell_size(const char *s)
{
	size_t n = 1;

	while ((s[n] & 0xc0) == 0x80)
		n++;
	return n;
}

/* S at column AT, over what is there. */
static void lay(struct canvas *c, unsigned at, const char *s, enum text_style style)
{
	for (; *s && at < STATE_DIAGRAM_WIDTH; s += cell_size(s), at++) {
		for (; c->n <= at; c->n++) {
			c->cell[c->n].s = " ";
			c->cell[c->n].size = 1;
			c->cell[c->n].style = TEXT_PLAIN;
		}
		c->cell[at].s = s;
		c->cell[at].size = cell_size(s);
		c->cell[at].style = style;
	}
}

/* The state whose name stands at S, as a word of the line that begins at START; -1: none. */
static int state_at(const char *s, const char *start)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-12");

	if (s > start && s[-1] != ' ')
		return -1;
	for (unsigned state = 0; state < CPL_STATES; state++) {
		const char *name = view_state_rfc(state);

		if (strlen(name) == n && strncmp(name, s, n) == 0)
			return (int)state;
	}
	return -1;
}

/* CLOSED is there twice: where a connection begins, and where it ends. */
static bool stands_here(const struct state_marks *m, unsigned end, int state, unsigned line)
{
	bool ended = m->visited[end] & ~(1u << CPL_CLOSED);

	return m->now[end] == state && (state != CPL_CLOSED || (line > 0) == ended);
}

static void line_make(struct canvas *c, const struct state_marks *m, unsigned number, bool ascii)
{
	const char *line = picture[number];
	unsigned at = 0;

	c->n = 0;
	lay(c, 0, line, TEXT_PLAIN);
	for (const char *s = line; *s; s += cell_size(s), at++) {
		int state = state_at(s, line);
		const char *name = state < 0 ? "" : view_state_rfc((unsigned)state);

		if (state < 0)
			continue;
		if ((m->visited[0] | m->visited[1]) >> state & 1)
			lay(c, at, name, TEXT_BOLD);
		if (at >= 3 && stands_here(m, 0, state, number))
			lay(c, at - 3, ascii ? "A> " : "A► ", TEXT_YELLOW);
		if (stands_here(m, 1, state, number))
			lay(c, at + (unsigned)strlen(name), ascii ? " <B" : " ◄B", TEXT_YELLOW);
	}
}

static void put_cell(struct text *t, const char *s, size_t size, enum text_style style)
{
	char cell[8] = "";

	memcpy(cell, s, size);
	for (unsigned i = 0; t->ascii && size > 1 && i < sizeof(plain) / sizeof(*plain); i++)
		if (strcmp(plain[i].drawn, cell) == 0)
			strcpy(cell, plain[i].plain);
	text_styled(t, style, cell);
}

void state_diagram(struct text *t, const struct state_marks *marks)
{
	for (unsigned number = 0; number < STATE_DIAGRAM_LINES; number++) {
		struct canvas c;

		line_make(&c, marks, number, t->ascii);
		for (unsigned i = 0; i < c.n; i++)
			put_cell(t, c.cell[i].s, c.cell[i].size, c.cell[i].style);
		text_puts(t, "\n");
	}
}
