/* SPDX-License-Identifier: MIT */
/*
 * The grid of grid.def: each state of a connection times each thing that can happen to it. Every
 * cell is a run of its own, from the making of a stack on, over each family.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/util/tcp_bench.h"

enum column {
	C_CLOSED,
	C_LISTEN,
	C_SYN_SENT,
	C_SR_P,
	C_SR_A,
	C_ESTABLISHED,
	C_FW_1,
	C_FW_2,
	C_CLOSE_WAIT,
	C_CLOSING,
	C_LAST_ACK,
	C_TIME_WAIT,
	COLUMNS
};

/* The state that a column begins in, and its name in a cell. */
static const struct {
	const char *name, *code;
	enum cpl_state state;
} columns[COLUMNS] = {
	[C_CLOSED] = { "CLOSED", "CL", CPL_CLOSED },
	[C_LISTEN] = { "LISTEN", "LI", CPL_LISTEN },
	[C_SYN_SENT] = { "SYN-SENT", "SS", CPL_SYN_SENT },
	[C_SR_P] = { "SYN-RECEIVED (passive)", "SR", CPL_SYN_RECEIVED },
	[C_SR_A] = { "SYN-RECEIVED (active)", "SR", CPL_SYN_RECEIVED },
	[C_ESTABLISHED] = { "ESTABLISHED", "ES", CPL_ESTABLISHED },
	[C_FW_1] = { "FIN-WAIT-1", "F1", CPL_FIN_WAIT_1 },
	[C_FW_2] = { "FIN-WAIT-2", "F2", CPL_FIN_WAIT_2 },
	[C_CLOSE_WAIT] = { "CLOSE-WAIT", "CW", CPL_CLOSE_WAIT },
	[C_CLOSING] = { "CLOSING", "CG", CPL_CLOSING },
	[C_LAST_ACK] = { "LAST-ACK", "LA", CPL_LAST_ACK },
	[C_TIME_WAIT] = { "TIME-WAIT", "TW", CPL_TIME_WAIT },
};

struct grid {
	struct bench b;
	enum column column;
	cpl_handle h;			    /* the connection, the listener, or a CLOSED block */
	uint32_t n, s, u;		    /* RCV.NXT, SND.NXT, SND.UNA, relative */
	long result;			    /* of a call */
	uint32_t seg_seq, seg_ack, seg_end; /* of the segment that the event sent */
};

static struct grid g;

/* ---- the states ---- */

static void shut(void)
{
	assert_int_equal(cpl_shutdown(g.b.stack, g.h, g.b.now), 0);
	expect(&g.b, "F. %u ack %u", g.s, g.n);
	g.s++;
}

static void peer_fin(void)
{
	send(&g.b, "F. %u ack %u", g.n, g.u);
	g.n++;
	expect(&g.b, ". %u ack %u", g.s, g.n);
}

static void ack_fin(void)
{
	g.u = g.s;
	send(&g.b, ". %u ack %u", g.n, g.u);
}

static void enter_handshake(void)
{
	struct bench *b = &g.b;

	switch (g.column) {
	case C_CLOSED:
		bench_flow(b, 80, 40000);
		assert_int_equal(cpl_open(b->stack, NULL, &g.h, b->now), 0);
		return;
	case C_LISTEN:
		g.h = bench_listen(b, 80);
		return;
	case C_SR_P:
		g.h = bench_listen(b, 80);
		send(b, "S 0 <mss 1460>");
		expect(b, "S. 0 ack 1 <mss>");
		return;
	case C_SYN_SENT:
		g.h = bench_open(b, 0, 80);
		expect(b, "S 0 <mss>");
		return;
	case C_SR_A:
		g.h = bench_open(b, 0, 80);
		expect(b, "S 0 <mss>");
		send(b, "S 0 <mss 1460>");
		expect(b, "S. 0 ack 1 <mss>");
		return;
	default:
		g.h = bench_active(b, "mss 1460");
		g.u = 1;
		return;
	}
}

static void enter_state(void)
{
	g.n = g.s = 1;
	g.u = 0;
	enter_handshake();
	switch (g.column) {
	case C_FW_1:
		shut();
		break;
	case C_FW_2:
		shut();
		ack_fin();
		break;
	case C_CLOSE_WAIT:
		peer_fin();
		break;
	case C_CLOSING:
		shut();
		peer_fin();
		break;
	case C_LAST_ACK:
		peer_fin();
		shut();
		break;
	case C_TIME_WAIT:
		shut();
		ack_fin();
		peer_fin();
		break;
	default:
		break;
	}
	expect_nothing(&g.b);
	bench_events(&g.b, g.h, NULL);
}

/* ---- the events ---- */

/* A segment of the peer, whose numbers the reply is judged by. */
static void in(const char *flags, uint32_t seq, uint32_t len, uint32_t ack, const char *more)
{
	char ack_text[32] = "";

	if (strchr(flags, '.'))
		snprintf(ack_text, sizeof(ack_text), "ack %u", ack);
	g.seg_seq = seq;
	g.seg_ack = ack;
	g.seg_end = seq + len + !!strchr(flags, 'S') + !!strchr(flags, 'F');
	send(&g.b, "%s %u:%u %s%s", flags, seq, seq + len, ack_text, more);
}

static struct cpl_endpoint remote(void)
{
	return g.b.flow.peer;
}

static void ev_open_active(void)
{
	struct cpl_endpoint to = remote();

	g.result = cpl_open_active(g.b.stack, g.h, &to, g.b.now);
	if (g.column == C_CLOSED)
		bench_flow(&g.b, bench_info(&g.b, g.h)->local_port, to.port);
}

static void ev_open_passive(void)
{
	g.result = cpl_open_passive(g.b.stack, g.h, 5, g.b.now);
}

static void ev_send(void)
{
	uint8_t data[100];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = bench_octet(i);
	g.result = cpl_send(g.b.stack, g.h, data, sizeof(data), 0, g.b.now);
	if (g.result == sizeof(data))
		g.result = 0;
}

static void ev_receive(void)
{
	uint8_t data[10];

	g.result = cpl_recv(g.b.stack, g.h, data, sizeof(data), 0, g.b.now);
}

static void ev_shutdown(void)
{
	g.result = cpl_shutdown(g.b.stack, g.h, g.b.now);
}

static void ev_close(void)
{
	g.result = cpl_close(g.b.stack, g.h, g.b.now);
	g.h = 0;
}

static void ev_abort(void)
{
	g.result = cpl_abort(g.b.stack, g.h, g.b.now);
	g.h = 0;
}

static void ev_status(void)
{
	struct cpl_info info;
	int state = g.column == C_TIME_WAIT ? CPL_CLOSED : (int)columns[g.column].state;

	g.result = cpl_info_get(g.b.stack, g.h, &info, g.b.now);
	assert_int_equal(info.state, state);
}

#define SEGMENT(name, flags, seq, len, ack, more)                                                  \
	static void ev_##name(void)                                                                \
	{                                                                                          \
		in(flags, seq, len, ack, more);                                                    \
	}

#define FAR 70000u /* more than any window here */

SEGMENT(rst_exact, "R", g.n, 0, 0, "")
SEGMENT(rst_ack, "R.", g.n, 0, g.s, "")
SEGMENT(rst_in_window, "R", g.n + 10, 0, 0, "")
SEGMENT(rst_before, "R", g.n - 1, 0, 0, "")
SEGMENT(rst_beyond, "R", g.n + FAR, 0, 0, "")
SEGMENT(rst_data, "R", g.n, 20, 0, "")
SEGMENT(rst_bad_ack, "R.", g.n, 0, g.s + 1, "")
SEGMENT(syn, "S", 0, 0, 0, "")
SEGMENT(syn_in_window, "S", g.n + 10, 0, 0, "")
SEGMENT(syn_beyond, "S", g.n + FAR, 0, 0, "")
SEGMENT(syn_fin, "SF", 0, 0, 0, "")
SEGMENT(synack, "S.", 0, 0, g.s, "")
SEGMENT(synack_new, "S.", 0, 0, g.s + 1, "")
SEGMENT(synack_old, "S.", 0, 0, 0, "")
SEGMENT(ack, ".", g.n, 0, g.s, "")
SEGMENT(ack_before, ".", g.n - 1, 0, g.s, "")
SEGMENT(ack_old, ".", g.n, 0, g.u, "")
SEGMENT(ack_ancient, ".", g.n, 0, g.u - 65536, "")
SEGMENT(ack_new, ".", g.n, 0, g.s + 1, "")
SEGMENT(data, "P.", g.n, 100, g.s, "")
SEGMENT(data_early, "P.", g.n + 100, 100, g.s, "")
SEGMENT(data_beyond, "P.", g.n + FAR, 100, g.s, "")
SEGMENT(data_no_ack, "P", g.n, 100, 0, "")
SEGMENT(data_new_ack, "P.", g.n, 100, g.s + 1, "")
SEGMENT(urgent, "U.", g.n, 100, g.s, " urg 100")
SEGMENT(fin, "F.", g.n, 0, g.s, "")
SEGMENT(fin_no_fin_ack, "F.", g.n, 0, g.u, "")
SEGMENT(fin_data, "FP.", g.n, 100, g.s, "")
SEGMENT(fin_early, "F.", g.n + 100, 0, g.s, "")
SEGMENT(fin_again, "F.", g.n - 1, 0, g.s, "")
SEGMENT(no_flags, "-", g.n, 0, 0, "")
SEGMENT(all_flags, "FSRPU.", g.n, 10, g.s, " urg 5")

static void ev_icmp_hard(void)
{
	if (g.b.v6)
		bench_send_icmp(&g.b, ICMP6_UNREACHABLE, 4, 0, g.u, 0);
	else
		bench_send_icmp(&g.b, ICMP4_UNREACHABLE, 3, 0, g.u, 0);
}

static void ev_icmp_soft(void)
{
	if (g.b.v6)
		bench_send_icmp(&g.b, ICMP6_UNREACHABLE, 3, 0, g.u, 0);
	else
		bench_send_icmp(&g.b, ICMP4_UNREACHABLE, 1, 0, g.u, 0);
}

/* Until something is said, 1.2 s at most: more than the first time-out of anything. */
static void ev_one_rto(void)
{
	for (unsigned i = 0; i < 12 && !g.b.n; i++)
		bench_run(&g.b, 100 * CPL_MS);
}

static void ev_an_hour(void)
{
	bench_run(&g.b, 3600 * CPL_SECOND);
}

struct row {
	const char *section, *event;
	void (*run)(void);
	const char *cells[COLUMNS];
};

#define ROW(section, event, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11)                      \
	{ section,                                                                                 \
	  #event,                                                                                  \
	  ev_##event,                                                                              \
	  { #c0, #c1, #c2, #c3, #c4, #c5, #c6, #c7, #c8, #c9, #c10, #c11 } },
static const struct row rows[] = {
#include "tests/tcp/grid.def"
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* ---- the judgement ---- */

static int current_state(void)
{
	struct cpl_info info;
	int state = bench_state(&g.b);

	if (state == CPL_CLOSED && (g.column == C_CLOSED || g.column == C_LISTEN) &&
	    !cpl_info_get(g.b.stack, g.h, &info, g.b.now))
		return info.state;
	return state;
}

static int error_of(const char *code)
{
	static const struct {
		const char *code;
		int error;
	} errors[] = { { "ISC", EISCONN },	{ "ALR", EALREADY },   { "INV", EINVAL },
		       { "NOT", ENOTCONN },	{ "PIP", EPIPE },      { "AGA", EAGAIN },
		       { "REF", ECONNREFUSED }, { "RES", ECONNRESET }, { "TIM", ETIMEDOUT } };

	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (!strcmp(code, errors[i].code))
			return errors[i].error;
	return -1;
}

static bool is_call(const struct row *row)
{
	return strcmp(row->section, "3.10.6") <= 0 && !strncmp(row->section, "3.10.", 5) &&
	       strlen(row->section) == 6;
}

static void expect_said(const char *file, int line, char c)
{
	struct bench *b = &g.b;

	switch (c) {
	case '*':
		while (bench_take(b))
			;
		return;
	case '-':
		break;
	case 'a':
		bench_expect(file, line, b, ". %u ack %u", g.s, g.n);
		break;
	case 'A':
		bench_expect(file, line, b, ". %u ack %u", g.s, g.seg_end);
		break;
	case 'r':
		bench_expect(file, line, b, "R %u win 0", g.seg_ack);
		break;
	case 'R':
		bench_expect(file, line, b, "R. %u ack %u win 0", 0 - b->flow.our_iss, g.seg_end);
		break;
	case 'x':
		bench_expect(file, line, b, "R. %u ack %u", g.s, g.n);
		break;
	case 't':
		if (g.column == C_SYN_SENT)
			bench_expect(file, line, b, "S 0 <mss 1460>");
		else if (g.column == C_SR_P || g.column == C_SR_A)
			bench_expect(file, line, b, "S. 0 ack 1 <mss 1460>");
		else
			bench_expect(file, line, b, "F. %u ack %u", g.s - 1, g.n);
		break;
	case 's':
		bench_expect(file, line, b, "S 0 <mss 1460>");
		break;
	case 'S':
		bench_expect(file, line, b, "S. 0 ack %u <mss 1460>", g.seg_seq + 1);
		break;
	case 'F':
		bench_expect(file, line, b, "F. %u ack %u", g.s, g.n);
		break;
	case 'D':
		bench_expect(file, line, b, "P. %u:%u ack %u", g.s, g.s + 100, g.n);
		break;
	default:
		bench_fail(file, line, b, "cell: what is '%c'?", c);
	}
	bench_expect_nothing(file, line, b, 0);
}

/* The cell's text in three parts. */
struct cell {
	bool dropped;
	char said;
	const char *next, *error;
	char text[32];
};

static void cell_parse(struct cell *c, const char *text)
{
	char *p;

	memset(c, 0, sizeof(*c));
	snprintf(c->text, sizeof(c->text), "%s", text);
	p = strchr(c->text, ':');
	if (p) {
		*p = '\0';
		c->error = p + 1;
	}
	p = strchr(c->text, '>');
	if (p) {
		*p = '\0';
		c->next = p + 1;
	}
	c->dropped = c->text[0] == 'd';
	c->said = c->text[c->dropped] ? c->text[c->dropped] : '-';
}

static const char *state_code(int state)
{
	for (unsigned i = 0; i < COLUMNS; i++)
		if ((int)columns[i].state == state)
			return columns[i].code;
	return "?";
}

struct cell_id {
	const struct row *row;
	enum column column;
	char name[80];
};

static void run_cell(const struct row *row, enum column column, bool v6)
{
	struct bench *b = &g.b;
	struct cell cell;
	uint64_t drops;
	int error = 0, want, state;

	assert_string_not_equal(row->cells[column], ""); /* a hole */
	cell_parse(&cell, row->cells[column]);
	if (cell.said == 'o')
		return;
	memset(&g, 0, sizeof(g));
	g.column = column;
	bench_init(b);
	b->v6 = v6;
	b->iface.mtu = v6 ? 1520 : 1500; /* the MSS is the same */
	bench_start(b);
	enter_state();
	drops = bench_drops(b);

	row->run();
	expect_said(__FILE__, __LINE__, cell.said);
	state = current_state();
	if (strcmp(state_code(state), cell.next ? cell.next : columns[column].code))
		bench_fail(__FILE__, __LINE__, b, "the state should be %s, and is %s",
			   cell.next ? cell.next : columns[column].code, state_code(state));
	if (bench_drops(b) != drops + cell.dropped)
		bench_fail(__FILE__, __LINE__, b, "%u drops should be counted, and %u are",
			   cell.dropped, (unsigned)(bench_drops(b) - drops));
	want = cell.error ? error_of(cell.error) : 0;
	if (is_call(row)) {
		error = (int)-g.result;
	} else if (g.h) {
		uint32_t what = bench_events(b, g.h, &error);
		bool over = cell.next && (!strcmp(cell.next, "CL") || !strcmp(cell.next, "TW"));

		if (!(what & CPL_EV_CLOSED))
			error = 0;
		if (over != !!(what & CPL_EV_CLOSED) && column != C_SR_P && column != C_TIME_WAIT)
			bench_fail(__FILE__, __LINE__, b, "the program is told %#x", what);
	}
	if (error != want)
		bench_fail(__FILE__, __LINE__, b, "the error should be %d, and is %d", want, error);
	bench_end(b);
}

static void one_cell(void **state)
{
	const struct cell_id *id = *state;

	run_cell(id->row, id->column, false);
	run_cell(id->row, id->column, true);
}

int main(void)
{
	static struct CMUnitTest tests[ROWS * COLUMNS];
	static struct cell_id ids[ROWS * COLUMNS];

	for (unsigned i = 0; i < ROWS * COLUMNS; i++) {
		struct cell_id *id = &ids[i];

		id->row = &rows[i / COLUMNS];
		id->column = i % COLUMNS;
		snprintf(id->name, sizeof(id->name), "%s %s in %s", id->row->section,
			 id->row->event, columns[id->column].name);
		tests[i] = (struct CMUnitTest){ id->name, one_cell, NULL, NULL, id };
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
