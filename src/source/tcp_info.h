/* SPDX-License-Identifier: MIT */
/*
 * Linux's struct tcp_info as a source of snapshots: what the kernel tells of one of its TCP sockets
 * through getsockopt(TCP_INFO) and through INET_DIAG_INFO.
 * A kernel fills the beginning of its layout (socket/linux_tcp.h), as far as it knows it: the
 * length decides which fields are known.
 */
#ifndef SOURCE_TCP_INFO_H
#define SOURCE_TCP_INFO_H

#include <stddef.h>

#include <couplet/info.h>

#include "socket/linux_tcp.h"

/* The state that Linux calls STATE; CPL_STATES if it is none. */
enum cpl_state linux_state_cpl(unsigned state);
/* STATES, 1 << enum cpl_state each, as the kernel's 1 << enum linux_state. */
uint32_t linux_states_mask(unsigned states);

/*
 * Fills INFO from LEN bytes that the kernel gave at DATA. INFO's state, and for the derived fields
 * its send_queue, should be set before. What is exact is marked as read, also after a change of
 * unit:
 *
 * - snd_mss, pmtu, srtt, rttvar, rtt_min, rto, backoff, ssthresh "none yet", counters, snd_wnd,
 * options.
 *
 * What is computed is marked as derived:
 *
 * - cwnd, ssthresh, pipe, sacked, lost: Linux counts segments; here times snd_mss, so that short
 *   segments make them too large, never more than what is in flight.
 * - in_flight: send_queue - not_sent, exact but of two moments.
 * - bytes_acked, bytes_received: payload only, when Linux's counters hold a SYN or FIN as well.
 * - passive: Linux counts the SYN of the opener as acknowledged payload.
 * - rcv_wnd: as advertised in the last segment, less only if data came since.
 * - dup_acks: without SACK, Linux counts them as SACKed segments.
 * - why: only where these fields prove it.
 *
 * Of time Linux tells why_time_busy (data not yet acknowledged), and of that why_time_rwnd, zero
 * windows included, and why_time_sndbuf; the rest it does not divide: sending, cwnd, recovery,
 * pacing, or all sent and the program wrote no more. Its age, and so its idle time, it does not
 * tell either.
 */
void tcp_info_fill(struct cpl_info *info, const void *data, size_t len);

#endif
