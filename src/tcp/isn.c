/* SPDX-License-Identifier: MIT */
/* Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 5.4): clock plus keyed hash.
 */
#include "tcp/tcp.h"

/* M, a clock that ticks every 64 ns as Linux's does, plus F(4-tuple, secret). */
uint32_t tcp_isn(const struct tcp *tcp, const struct conn_id *id, uint64_t now)
{
	uint32_t m = (uint32_t)(now >> 6);			  /* MUST-8 */
	uint32_t f = (uint32_t)conn_id_hash24(&tcp->isn_key, id); /* MUST-9 */

	return m + f; /* SHLD-1 */
}

/*
 * One offset for each pair of hosts, so that a peer sees one clock that never goes back from one
 * connection to the next (RFC 6191 relies on it), and nobody else learns our uptime.
 */
uint32_t tcp_ts_offset(const struct tcp *tcp, const struct conn_id *id)
{
	struct cpl_addr pair[2] = { id->local, id->remote };

	if (conn_id_is4(id))
		return (uint32_t)siphash24_12(&tcp->ts_key, conn_id_addrs4(id), 0);
	return (uint32_t)siphash24(&tcp->ts_key, pair, sizeof(pair));
}
