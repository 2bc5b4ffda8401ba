/* SPDX-License-Identifier: MIT */
/* What the BPF programs tell of one socket (bpf/record.h), as a snapshot. No system call, no BPF.
 */
#ifndef SOURCE_BPF_RECORD_TO_INFO_H
#define SOURCE_BPF_RECORD_TO_INFO_H

#include <stdbool.h>

#include <linux/types.h>

#include <couplet/info.h>

#include "source/bpf/record.h"

/*
 * Fills INFO from RECORD; HZ is the kernel's ticks in a second. What the socket holds is read, also
 * after a change of unit; see tcp_info.h for what is computed from counts of segments. Beyond that
 * are derived:
 *
 * - irs: rcv_nxt - 1 - bytes received. Linux counts each sequence number but the SYN's, the FIN's
 *   included, in 64 bits, so that this is exact however often the numbers wrapped.
 * - iss: snd_una - bytes acknowledged, which count the SYN of an opener and the FIN; one less for
 *   the passive end. Exact where it is known which end this is, else unknown. (Both are wrong for a
 *   connection restored by TCP_REPAIR, whose counters begin anew.)
 * - write_seq once the program has closed: Linux counts the FIN as written.
 * - rcv_up: Linux keeps the urgent octet, RFC 9293 3.8.5 the one that follows it.
 * - ooo_bytes, ooo_ranges: the ranges of the SACK options. The kernel keeps four: with more, they
 *   are unknown.
 *
 * Of TIME-WAIT and half-open connections the kernel has small records: the rest stays unknown.
 *
 * False: the record is of another layout, or makes no sense; INFO is then not to be used.
 */
bool bpf_record_info(struct cpl_info *info, const struct tcb_record *record, unsigned hz);

#endif
