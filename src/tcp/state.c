/* SPDX-License-Identifier: MIT */
/*
 * The state machine's edges (RFC 9293 section 3.3.2, figure 5, and the text of 3.10): the one table
 * that tcb_set_state() asserts against and the diagrams are drawn from.
 */
#include "tcp/tcp.h"

#define EDGES(EDGE)                                                                                \
	EDGE(CPL_CLOSED, CPL_LISTEN, "passive OPEN")                                               \
	EDGE(CPL_CLOSED, CPL_SYN_SENT, "active OPEN, send SYN")                                    \
	EDGE(CPL_LISTEN, CPL_CLOSED, "CLOSE")                                                      \
	EDGE(CPL_LISTEN, CPL_SYN_RECEIVED, "receive SYN, send SYN,ACK")                            \
	EDGE(CPL_LISTEN, CPL_SYN_SENT, "SEND, send SYN")                                           \
	EDGE(CPL_SYN_SENT, CPL_ESTABLISHED, "receive SYN,ACK, send ACK")                           \
	EDGE(CPL_SYN_SENT, CPL_SYN_RECEIVED, "receive SYN, send SYN,ACK")                          \
	EDGE(CPL_SYN_SENT, CPL_CLOSED, "CLOSE, RST or time-out")                                   \
	EDGE(CPL_SYN_RECEIVED, CPL_ESTABLISHED, "receive ACK of SYN")                              \
	EDGE(CPL_SYN_RECEIVED, CPL_FIN_WAIT_1, "CLOSE, send FIN")                                  \
	EDGE(CPL_SYN_RECEIVED, CPL_CLOSE_WAIT, "receive FIN")                                      \
	EDGE(CPL_SYN_RECEIVED, CPL_LISTEN, "receive RST")                                          \
	EDGE(CPL_SYN_RECEIVED, CPL_CLOSED, "RST, ABORT or time-out")                               \
	EDGE(CPL_ESTABLISHED, CPL_FIN_WAIT_1, "CLOSE, send FIN")                                   \
	EDGE(CPL_ESTABLISHED, CPL_CLOSE_WAIT, "receive FIN, send ACK")                             \
	EDGE(CPL_ESTABLISHED, CPL_CLOSED, "RST, ABORT or time-out")                                \
	EDGE(CPL_FIN_WAIT_1, CPL_FIN_WAIT_2, "receive ACK of FIN")                                 \
	EDGE(CPL_FIN_WAIT_1, CPL_CLOSING, "receive FIN, send ACK")                                 \
	EDGE(CPL_FIN_WAIT_1, CPL_TIME_WAIT, "receive FIN with ACK of FIN, send ACK")               \
	EDGE(CPL_FIN_WAIT_1, CPL_CLOSED, "RST, ABORT or time-out")                                 \
	EDGE(CPL_FIN_WAIT_2, CPL_TIME_WAIT, "receive FIN, send ACK")                               \
	EDGE(CPL_FIN_WAIT_2, CPL_CLOSED, "RST, ABORT or time-out")                                 \
	EDGE(CPL_CLOSE_WAIT, CPL_LAST_ACK, "CLOSE, send FIN")                                      \
	EDGE(CPL_CLOSE_WAIT, CPL_CLOSED, "RST, ABORT or time-out")                                 \
	EDGE(CPL_CLOSING, CPL_TIME_WAIT, "receive ACK of FIN")                                     \
	EDGE(CPL_CLOSING, CPL_CLOSED, "RST, ABORT or time-out")                                    \
	EDGE(CPL_LAST_ACK, CPL_CLOSED, "receive ACK of FIN")                                       \
	EDGE(CPL_TIME_WAIT, CPL_CLOSED, "2 MSL have passed")

#define AS_EDGE(from, to, why) { from, to, why },
const struct tcp_edge tcp_edges[] = { EDGES(AS_EDGE) };

const unsigned tcp_edges_n = sizeof(tcp_edges) / sizeof(tcp_edges[0]);

#define IS_LEGAL(from, to, why) [from][to] = true,
static bool edge_legal(enum cpl_state from, enum cpl_state to)
{
	static const bool legal[CPL_STATES][CPL_STATES] = { EDGES(IS_LEGAL) };

	return from < CPL_STATES && to < CPL_STATES && legal[from][to];
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
	tcb->plain = false;
}
