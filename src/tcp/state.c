/* SPDX-License-Identifier: MIT */
/*
 * The state machine's edges (RFC 9293 section 3.3.2, figure 5, and the text of 3.10): the one table
 * that tcb_set_state() asserts against and the diagrams are drawn from.
 */
#include "tcp/tcp.h"

const struct tcp_edge tcp_edges[] = {
	{ CPL_CLOSED, CPL_LISTEN, "passive OPEN" },
	{ CPL_CLOSED, CPL_SYN_SENT, "active OPEN, send SYN" },
	{ CPL_LISTEN, CPL_CLOSED, "CLOSE" },
	{ CPL_LISTEN, CPL_SYN_RECEIVED, "receive SYN, send SYN,ACK" },
	{ CPL_LISTEN, CPL_SYN_SENT, "SEND, send SYN" },
	{ CPL_SYN_SENT, CPL_ESTABLISHED, "receive SYN,ACK, send ACK" },
	{ CPL_SYN_SENT, CPL_SYN_RECEIVED, "receive SYN, send SYN,ACK" },
	{ CPL_SYN_SENT, CPL_CLOSED, "CLOSE, RST or time-out" },
	{ CPL_SYN_RECEIVED, CPL_ESTABLISHED, "receive ACK of SYN" },
	{ CPL_SYN_RECEIVED, CPL_FIN_WAIT_1, "CLOSE, send FIN" },
	{ CPL_SYN_RECEIVED, CPL_CLOSE_WAIT, "receive FIN" },
	{ CPL_SYN_RECEIVED, CPL_LISTEN, "receive RST" },
	{ CPL_SYN_RECEIVED, CPL_CLOSED, "RST, ABORT or time-out" },
	{ CPL_ESTABLISHED, CPL_FIN_WAIT_1, "CLOSE, send FIN" },
	{ CPL_ESTABLISHED, CPL_CLOSE_WAIT, "receive FIN, send ACK" },
	{ CPL_ESTABLISHED, CPL_CLOSED, "RST, ABORT or time-out" },
	{ CPL_FIN_WAIT_1, CPL_FIN_WAIT_2, "receive ACK of FIN" },
	{ CPL_FIN_WAIT_1, CPL_CLOSING, "receive FIN, send ACK" },
	{ CPL_FIN_WAIT_1, CPL_TIME_WAIT, "receive FIN with ACK of FIN, send ACK" },
	{ CPL_FIN_WAIT_1, CPL_CLOSED, "RST, ABORT or time-out" },
	{ CPL_FIN_WAIT_2, CPL_TIME_WAIT, "receive FIN, send ACK" },
	{ CPL_FIN_WAIT_2, CPL_CLOSED, "RST, ABORT or time-out" },
	{ CPL_CLOSE_WAIT, CPL_LAST_ACK, "CLOSE, send FIN" },
	{ CPL_CLOSE_WAIT, CPL_CLOSED, "RST, ABORT or time-out" },
	{ CPL_CLOSING, CPL_TIME_WAIT, "receive ACK of FIN" },
	{ CPL_CLOSING, CPL_CLOSED, "RST, ABORT or time-out" },
	{ CPL_LAST_ACK, CPL_CLOSED, "receive ACK of FIN" },
	{ CPL_TIME_WAIT, CPL_CLOSED, "2 MSL have passed" },
};

const unsigned tcp_edges_n = sizeof(tcp_edges) / sizeof(tcp_edges[0]);

static bool edge_legal(enum cpl_state from, enum cpl_state to)
{
	for (unsigned i = 0; i < tcp_edges_n; i++)
		if (tcp_edges[i].from == from && tcp_edges[i].to == to)
			return true;
	return false;
}

void tcb_from_half(struct tcb *tcb)
{
	ASSERT(tcb->state == CPL_CLOSED);
	tcb->state = CPL_SYN_RECEIVED;
}

void tcb_set_state(struct tcp *tcp, struct tcb *tcb, enum cpl_state state, uint64_t now)
{
	ASSERT(edge_legal(tcb->state, state));
	/* TIME-WAIT goes on as a record, which tells its own end. */
	if (tcb->state != CPL_TIME_WAIT)
		TRACE(tcp->trace, now, tcb_handle(tcp, tcb), state, tcb->state, state);
	tcb->state = (uint8_t)state;
}
