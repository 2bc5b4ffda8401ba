/* SPDX-License-Identifier: MIT */
/*
 * Linux's struct tcp_info and its numbers of states: what getsockopt(TCP_INFO) and INET_DIAG_INFO
 * give. The layout is declared here because the kernel's own header on the machine that builds is
 * usually older than the kernel that runs. Couplet's own sockets fill it (tcp_info.c); what the
 * kernel filled is read by src/source.
 */
#ifndef SOCKET_LINUX_TCP_H
#define SOCKET_LINUX_TCP_H

#include <assert.h>
#include <stdint.h>

/* The kernel's numbers of states (its tcp_states.h); 12 and 13 never leave it but in requests. */
enum linux_state {
	LINUX_ESTABLISHED = 1,
	LINUX_SYN_SENT,
	LINUX_SYN_RECV,
	LINUX_FIN_WAIT1,
	LINUX_FIN_WAIT2,
	LINUX_TIME_WAIT,
	LINUX_CLOSE,
	LINUX_CLOSE_WAIT,
	LINUX_LAST_ACK,
	LINUX_LISTEN,
	LINUX_CLOSING,
	LINUX_NEW_SYN_RECV,   /* a request socket: half-open, not yet a socket */
	LINUX_BOUND_INACTIVE, /* bound, neither connected nor listening; Linux 6.8 */
	LINUX_STATES
};

/* As of Linux 6.18. Times in microseconds unless said otherwise; sizes in segments or bytes. */
struct linux_tcp_info {
	uint8_t state;
	uint8_t ca_state;
	uint8_t retransmits;
	uint8_t probes;
	uint8_t backoff;
	uint8_t options;
	uint8_t wscales;  /* low nibble (little endian): the peer's shift; high: ours */
	uint8_t app_bits; /* delivery_rate_app_limited, fastopen_client_fail */
	uint32_t rto;
	uint32_t ato;
	uint32_t snd_mss;
	uint32_t rcv_mss;
	uint32_t unacked; /* segments; of a listener: its accept queue */
	uint32_t sacked;  /* segments; of a listener: the limit of that queue */
	uint32_t lost;
	uint32_t retrans;
	uint32_t fackets;
	uint32_t last_data_sent; /* ms ago */
	uint32_t last_ack_sent;
	uint32_t last_data_recv; /* ms ago */
	uint32_t last_ack_recv;
	uint32_t pmtu;
	uint32_t rcv_ssthresh;
	uint32_t rtt;
	uint32_t rttvar;
	uint32_t snd_ssthresh; /* segments */
	uint32_t snd_cwnd;     /* segments */
	uint32_t advmss;
	uint32_t reordering;
	uint32_t rcv_rtt;
	uint32_t rcv_space;
	uint32_t total_retrans;
	uint64_t pacing_rate; /* bytes/s; all ones: none */
	uint64_t max_pacing_rate;
	uint64_t bytes_acked;	 /* 4.1; counts our SYN if we opened, and our FIN */
	uint64_t bytes_received; /* 4.1; counts the peer's FIN */
	uint32_t segs_out;	 /* 4.2 */
	uint32_t segs_in;
	uint32_t notsent_bytes; /* 4.6 */
	uint32_t min_rtt;	/* all ones: none */
	uint32_t data_segs_in;
	uint32_t data_segs_out;
	uint64_t delivery_rate; /* 4.9 */
	uint64_t busy_time;	/* 4.10; the two below included */
	uint64_t rwnd_limited;
	uint64_t sndbuf_limited;
	uint32_t delivered; /* 4.18 */
	uint32_t delivered_ce;
	uint64_t bytes_sent; /* 4.19 */
	uint64_t bytes_retrans;
	uint32_t dsack_dups;
	uint32_t reord_seen;
	uint32_t rcv_ooopack; /* 5.4 */
	uint32_t snd_wnd;
	uint32_t rcv_wnd; /* 6.2; as last advertised, not from RCV.NXT */
	uint32_t rehash;
	uint16_t total_rto; /* 6.7 */
	uint16_t total_rto_recoveries;
	uint32_t total_rto_time;
	uint32_t received_ce; /* 6.18: accurate ECN */
	uint32_t delivered_e1_bytes;
	uint32_t delivered_e0_bytes;
	uint32_t delivered_ce_bytes;
	uint32_t received_e1_bytes;
	uint32_t received_e0_bytes;
	uint32_t received_ce_bytes;
	uint16_t accecn_fail_mode;
	uint16_t accecn_opt_seen;
};

static_assert(sizeof(struct linux_tcp_info) == 280, "the layout is the kernel's");

/* TCP_CC_INFO: of BBR, and of DCTCP. Gains are in 1/256, alpha in 1/1024, the rest in bytes and us.
 */
struct linux_bbr_info {
	uint32_t bw_lo, bw_hi; /* bytes/s */
	uint32_t min_rtt;
	uint32_t pacing_gain, cwnd_gain;
};

struct linux_dctcp_info {
	uint16_t enabled;  /* 0: the connection has no ECN */
	uint16_t ce_state; /* what came last was marked */
	uint32_t alpha;
	uint32_t ab_ecn, ab_tot;
};

union linux_cc_info {
	struct linux_bbr_info bbr;
	struct linux_dctcp_info dctcp;
};

/* options */
#define LINUX_OPT_TIMESTAMPS 1u
#define LINUX_OPT_SACK	     2u
#define LINUX_OPT_WSCALE     4u
#define LINUX_OPT_ECN	     8u
#define LINUX_OPT_SYN_DATA   32u

/* accecn_fail_mode */
#define LINUX_ACE_FAIL_SEND 1u
#define LINUX_ACE_FAIL_RECV 2u
#define LINUX_ACC_FAIL_SEND 4u
#define LINUX_ACC_FAIL_RECV 8u

/* accecn_opt_seen */
#define LINUX_ACC_EMPTY_SEEN   1
#define LINUX_ACC_COUNTER_SEEN 2

/* app_bits; delivery_rate_app_limited : 1 is the first bit of it. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LINUX_RATE_APP_LIMITED 1u
#else
#define LINUX_RATE_APP_LIMITED 128u
#endif

#define LINUX_INFINITE_SSTHRESH 0x7fffffffu

#endif
