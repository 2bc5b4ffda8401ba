/* SPDX-License-Identifier: MIT */
/*
 * What the programs for the kernel hand out: one record for each socket, or for each descriptor of
 * one. Read by both sides: the programs include kernel.h before it, what loads them
 * <linux/types.h>. Numbers are the kernel's own, in its units; the translation into a snapshot is
 * bpf_record.c's.
 */
#ifndef SOURCE_BPF_RECORD_H
#define SOURCE_BPF_RECORD_H

/* Stands at the beginning of each record; another number is another layout. */
#define TCB_RECORD_MAGIC   (0x54430000u | sizeof(struct tcb_record))
#define OWNER_RECORD_MAGIC (0x4f570000u | sizeof(struct owner_record))

enum tcb_record_kind {
	TCB_RECORD_NONE, /* of a lookup: there is no such socket */
	TCB_RECORD_FULL,
	TCB_RECORD_TIME_WAIT,
	TCB_RECORD_REQUEST,
};

/* Bits of flags. */
#define TCB_ATTACHED	     (1u << 0) /* a struct socket leads to it */
#define TCB_KEEPOPEN	     (1u << 1)
#define TCB_KEEP_TIMER	     (1u << 2) /* the keep-alive timer runs; keep_left */
#define TCB_PACING_TIMER     (1u << 3) /* pace_left */
#define TCB_TSTAMP	     (1u << 4) /* options agreed */
#define TCB_WSCALE	     (1u << 5)
#define TCB_SACK	     (1u << 6)
#define TCB_ECN		     (1u << 7) /* of a request; else ecn_flags */
#define TCB_SYN_DATA_ACKED   (1u << 8)
#define TCB_FASTOPEN_ACTIVE  (1u << 9)	/* our SYN asked for, or carried data (RFC 7413) */
#define TCB_FASTOPEN_PASSIVE (1u << 10) /* the peer's did */
#define TCB_OOO		     (1u << 11) /* something waits out of order */
#define TCB_TOTAL_RTO	     (1u << 12) /* total_rto is known */
#define TCB_USER_TIMEOUT     (1u << 13)

/* Jiffies of a timer that can say no more. */
#define TCB_LEFT_MAX 0x7fffffff

/* Of a request or of TIME-WAIT only what bpf_record.c reads for its kind is filled. */
struct tcb_record {
	__u32 magic;
	__u32 flags;
	__u8 kind;
	__u8 family; /* AF_INET, AF_INET6 */
	__u8 state;  /* enum linux_state */
	__u8 ca_state;
	__u16 local_port; /* host order, both */
	__u16 remote_port;
	__u32 local[4]; /* network order; of AF_INET only the first word */
	__u32 remote[4];
	__u64 cookie;
	__u64 inode;
	__u64 taken; /* CLOCK_MONOTONIC, nanoseconds */
	__u32 jiffies;
	__u32 netns;
	__u32 uid;
	__u32 ifindex;

	__u32 snd_una, snd_nxt, write_seq, snd_wl1, snd_up, snd_wnd, max_window;
	__u32 rcv_nxt, copied_seq, rcv_wup, rcv_wnd, urg_seq;
	__u32 high_seq;
	__u32 snd_isn, rcv_isn; /* of a request */

	__u32 mss_cache, pmtu;
	__u16 advmss, rcv_mss, mss_clamp, user_mss;
	__u16 urg_data;
	__u8 retransmits, pending, backoff, probes_out;
	__u8 ack_pending, shutdown, ecn_flags, nonagle;
	__u8 snd_wscale, rcv_wscale, tos, ranges;
	__s16 ttl;
	__u8 chrono_type, rate_app_limited;

	__u32 srtt_us, mdev_us, rtt_min_us, rto, ato;
	__u32 snd_cwnd, snd_ssthresh, packets_out, sacked_out, lost_out, retrans_out, reordering;
	__u32 total_retrans, total_rto, dsack_dups, reord_seen, delivered_ce, lost;
	__u32 segs_in, segs_out, data_segs_in, data_segs_out;
	__u32 lsndtime, lrcvtime, rcv_tstamp, ts_recent, ts_recent_stamp;
	__u32 chrono_start, chrono_stat[3];
	__u32 rate_delivered, rate_interval_us;
	__u32 ack_backlog, max_ack_backlog, qlen;
	__u32 rmem, wmem, rcvbuf, sndbuf, drops, err_soft;
	__u32 ooo_bytes;
	__s32 rexmt_left, delack_left, keep_left; /* jiffies; of the timer that `pending` names */
	__u64 pace_left;			  /* nanoseconds */
	__u64 synack_us; /* of a request: when the first SYN-ACK was sent */
	__u64 pacing_rate;
	__u64 bytes_sent, bytes_acked, bytes_received, bytes_retrans;
	char cc[16];
};

/* A descriptor that points at a socket. */
struct owner_record {
	__u32 magic;
	__u32 pid; /* in the PID namespace of who reads */
	__u32 fd;
	__u32 netns;
	__u64 inode;
	char program[16];
};

/* What tcb_dump leaves out; all zero: nothing. */
struct tcb_filter {
	__u32 without_states; /* 1 << enum linux_state */
	__u8 no_ip4, no_ip6;
	__u8 reserved[2];
	__u64 cookie; /* not 0: only this one */
};

/* One of the two sockets that pair_read looks up: by its addresses, as it sees them itself. */
struct pair_end {
	__u32 family;		       /* 0: do not look */
	__u16 local_port, remote_port; /* network order, all */
	__u32 local[4], remote[4];
};

/* X, Y, and both once more: kind says whether it was found. A power of two. */
#define PAIR_READS 4

#endif
