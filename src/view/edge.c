/* SPDX-License-Identifier: MIT */
/*
 * The edges of the state diagram: RFC 9293 section 3.3.2, figure 5, with the edges that its notes
 * describe. Note 2: FIN-WAIT-1 to TIME-WAIT, when FIN and ACK come in one. Note 3: an RST leads
 * from every state to CLOSED, and so do ABORT and the user time-out.
 */
#include "view/edge.h"

#include <stddef.h>

const struct view_edge view_edges[] = {
	{ CPL_CLOSED, CPL_LISTEN, "passive OPEN" },
	{ CPL_CLOSED, CPL_SYN_SENT, "active OPEN / snd SYN" },
	{ CPL_LISTEN, CPL_SYN_RECEIVED, "rcv SYN / snd SYN,ACK" },
	{ CPL_LISTEN, CPL_SYN_SENT, "SEND / snd SYN" },
	{ CPL_LISTEN, CPL_CLOSED, "CLOSE" },
	{ CPL_SYN_SENT, CPL_SYN_RECEIVED, "rcv SYN / snd SYN,ACK" },
	{ CPL_SYN_SENT, CPL_ESTABLISHED, "rcv SYN,ACK / snd ACK" },
	{ CPL_SYN_SENT, CPL_CLOSED, "CLOSE" },
	{ CPL_SYN_RECEIVED, CPL_LISTEN, "rcv RST" },
	{ CPL_SYN_RECEIVED, CPL_ESTABLISHED, "rcv ACK of SYN" },
	{ CPL_SYN_RECEIVED, CPL_FIN_WAIT_1, "CLOSE / snd FIN" },
	{ CPL_ESTABLISHED, CPL_FIN_WAIT_1, "CLOSE / snd FIN" },
	{ CPL_ESTABLISHED, CPL_CLOSE_WAIT, "rcv FIN / snd ACK" },
	{ CPL_FIN_WAIT_1, CPL_FIN_WAIT_2, "rcv ACK of FIN" },
	{ CPL_FIN_WAIT_1, CPL_CLOSING, "rcv FIN / snd ACK" },
	{ CPL_FIN_WAIT_1, CPL_TIME_WAIT, "rcv FIN and ACK of FIN / snd ACK" },
	{ CPL_FIN_WAIT_2, CPL_TIME_WAIT, "rcv FIN / snd ACK" },
	{ CPL_CLOSE_WAIT, CPL_LAST_ACK, "CLOSE / snd FIN" },
	{ CPL_CLOSING, CPL_TIME_WAIT, "rcv ACK of FIN" },
	{ CPL_LAST_ACK, CPL_CLOSED, "rcv ACK of FIN" },
	{ CPL_TIME_WAIT, CPL_CLOSED, "2 MSL pass" },
	{ CPL_SYN_RECEIVED, CPL_CLOSE_WAIT, "rcv FIN and ACK of SYN / snd ACK" },
	{ CPL_SYN_RECEIVED, CPL_CLOSED, VIEW_EDGE_RESET },
	{ CPL_ESTABLISHED, CPL_CLOSED, VIEW_EDGE_RESET },
	{ CPL_FIN_WAIT_1, CPL_CLOSED, VIEW_EDGE_RESET },
	{ CPL_FIN_WAIT_2, CPL_CLOSED, VIEW_EDGE_RESET },
	{ CPL_CLOSE_WAIT, CPL_CLOSED, VIEW_EDGE_RESET },
	{ CPL_CLOSING, CPL_CLOSED, VIEW_EDGE_RESET },
};

const unsigned view_edges_n = sizeof(view_edges) / sizeof(*view_edges);

bool view_edge_legal(unsigned from, unsigned to)
{
	for (unsigned i = 0; i < view_edges_n; i++)
		if (view_edges[i].from == from && view_edges[i].to == to)
			return true;
	return false;
}
