/* SPDX-License-Identifier: MIT */
/* Two snapshots of a healthy connection, for the tests of src/view to spoil. */
#ifndef TESTS_VIEW_ENDS_H
#define TESTS_VIEW_ENDS_H

#include <string.h>

#include <couplet/info.h>

/* client 10.0.0.1:40000 calls server 10.0.0.2:80; 1000 bytes went up, 5000 came down, all acked. */
static inline void end_init(struct cpl_info *i, int server)
{
	struct cpl_addr client_addr = cpl_addr4(10, 0, 0, 1);
	struct cpl_addr server_addr = cpl_addr4(10, 0, 0, 2);
	uint32_t sent = server ? 5000 : 1000, received = server ? 1000 : 5000;

	memset(i, 0, sizeof(*i));
	i->size = sizeof(*i);
	i->version = CPL_INFO_VERSION;
	CPL_INFO_READ(i, source, CPL_SOURCE_STACK);
	CPL_INFO_READ(i, family, 4);
	CPL_INFO_READ(i, protocol, 6);
	CPL_INFO_READ(i, state, CPL_ESTABLISHED);
	CPL_INFO_READ(i, local_addr, server ? server_addr : client_addr);
	CPL_INFO_READ(i, remote_addr, server ? client_addr : server_addr);
	CPL_INFO_READ(i, local_port, server ? 80 : 40000);
	CPL_INFO_READ(i, remote_port, server ? 40000 : 80);
	CPL_INFO_READ(i, passive, (uint8_t)server);
	CPL_INFO_READ(i, taken, 5000000000u);
	CPL_INFO_READ(i, pid, server ? 812 : 4711);
	CPL_INFO_READ(i, fd, server ? 7 : 5);
	strcpy(i->program, server ? "nginx" : "curl");
	cpl_info_mark_read(i, CPL_F_program);
	CPL_INFO_READ(i, iss, server ? 4294967000u : 1000000u);
	CPL_INFO_READ(i, irs, server ? 1000000u : 4294967000u);
	CPL_INFO_READ(i, snd_una, i->iss + 1 + sent);
	CPL_INFO_READ(i, snd_nxt, i->iss + 1 + sent);
	CPL_INFO_READ(i, write_seq, i->iss + 1 + sent);
	CPL_INFO_READ(i, rcv_nxt, i->irs + 1 + received);
	CPL_INFO_READ(i, read_seq, i->irs + 1 + received);
	CPL_INFO_READ(i, snd_wnd, 65536);
	CPL_INFO_READ(i, rcv_wnd, 65536);
	CPL_INFO_READ(i, rcv_edge, i->rcv_nxt + 65536);
	CPL_INFO_READ(i, snd_wscale, 7);
	CPL_INFO_READ(i, rcv_wscale, 7);
	CPL_INFO_READ(i, in_flight, 0);
	CPL_INFO_READ(i, not_sent, 0);
	CPL_INFO_READ(i, send_queue, 0);
	CPL_INFO_READ(i, recv_queue, 0);
	CPL_INFO_READ(i, snd_mss, 1448);
	CPL_INFO_READ(i, cwnd, 14480);
	CPL_INFO_READ(i, ssthresh, UINT32_MAX);
	CPL_INFO_READ(i, srtt, 40200000);
	CPL_INFO_READ(i, rto, 240000000);
	strcpy(i->cc_name, "cubic");
	cpl_info_mark_read(i, CPL_F_cc_name);
	CPL_INFO_READ(i, timer_rexmt, CPL_TIMER_OFF);
	CPL_INFO_READ(i, timer_probe, CPL_TIMER_OFF);
	CPL_INFO_READ(i, timer_reorder, CPL_TIMER_OFF);
	CPL_INFO_READ(i, timer_persist, CPL_TIMER_OFF);
	CPL_INFO_READ(i, timer_keep, CPL_TIMER_OFF);
	CPL_INFO_READ(i, timer_close, CPL_TIMER_OFF);
	CPL_INFO_READ(i, options, CPL_OPT_BIT_WSCALE | CPL_OPT_BIT_TS | CPL_OPT_BIT_SACK);
	CPL_INFO_READ(i, bytes_sent, sent);
	CPL_INFO_READ(i, bytes_retrans, 0);
	CPL_INFO_READ(i, bytes_acked, sent);
	CPL_INFO_READ(i, bytes_received, received);
	CPL_INFO_READ(i, why, CPL_WHY_IDLE);
}

static inline void ends_init(struct cpl_info *x, struct cpl_info *y)
{
	end_init(x, 0);
	end_init(y, 1);
}

/* N more bytes leave END and are still under way. */
static inline void end_sends(struct cpl_info *i, uint32_t n)
{
	i->snd_nxt += n;
	i->write_seq += n;
	i->in_flight += n;
	i->send_queue += n;
	i->bytes_sent += n;
	i->timer_rexmt = 180000000;
}

static inline void end_receives(struct cpl_info *i, uint32_t n)
{
	i->rcv_nxt += n;
	i->rcv_edge += n;
	i->bytes_received += n;
}

static inline void end_acked(struct cpl_info *i, uint32_t n)
{
	i->snd_una += n;
	i->in_flight -= n;
	i->send_queue -= n;
	i->bytes_acked += n;
	if (i->snd_una == i->snd_nxt)
		i->timer_rexmt = CPL_TIMER_OFF;
}

static inline void forget(struct cpl_info *i, enum cpl_field f)
{
	i->read[f / 64] &= ~((uint64_t)1 << (f % 64));
	i->derived[f / 64] &= ~((uint64_t)1 << (f % 64));
}

#endif
