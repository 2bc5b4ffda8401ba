/* SPDX-License-Identifier: MIT */
/*
 * What the programs for the kernel know of the kernel: only the fields that they read, declared
 * here. libbpf finds each by its name in the types of the kernel that runs (BTF) and puts the right
 * offset and size in (CO-RE), so that the order, the gaps and what is left out here do not matter,
 * and a build needs neither a kernel's headers nor a kernel with BTF.
 *
 * A name with three underscores is a flavour: libbpf cuts from them on and looks for the rest. It
 * is for a field that only some kernels have; whoever reads it asks bpf_core_field_exists() first.
 */
#ifndef SOURCE_BPF_KERNEL_H
#define SOURCE_BPF_KERNEL_H

/* ---- The types that libbpf's headers and the kernel's structures are written in -------------- */

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

enum {
	KERNEL_AF_UNIX = 1,
	KERNEL_AF_INET = 2,
	KERNEL_AF_INET6 = 10,
};

/* ---- What iterators are given: their arguments, in order, 8 bytes each ------------------------
 */

struct seq_file;
struct task_struct;
struct file;
struct sock_common;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
	__u64 uid;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u64 fd;
	struct file *file;
};

/* ---- What a packet's program is given, and may look up: fixed for all kernels ---------------- */

struct __sk_buff;

struct bpf_sock {
	__u32 bound_dev_if;
};

struct bpf_sock_tuple {
	union {
		struct {
			__be32 saddr, daddr;
			__be16 sport, dport;
		} ipv4;
		struct {
			__be32 saddr[4], daddr[4];
			__be16 sport, dport;
		} ipv6;
	};
};

#define CURRENT_NETNS (-1LL)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* ---- What everything is made of -------------------------------------------------------------- */

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

struct hlist_node {
	struct hlist_node **pprev; /* NULL: in no list */
};

struct rb_node;

struct rb_root {
	struct rb_node *rb_node;
};

struct timer_list {
	struct hlist_node entry; /* in a list: the timer runs */
	unsigned long expires;	 /* jiffies */
};

struct timerqueue_node {
	__s64 expires; /* CLOCK_MONOTONIC, nanoseconds */
};

struct hrtimer {
	struct timerqueue_node node;
	__u8 state; /* 0: does not run */
};

/* ---- Namespaces, processes, files ------------------------------------------------------------ */

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

typedef struct {
	unsigned int val;
} kuid_t;

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct task_struct {
	int tgid;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	char comm[16];
};

struct inode {
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
};

/* ---- Sockets --------------------------------------------------------------------------------- */

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags; /* 1 << enum sock_flags; only of full sockets */
	__u32 skc_rcv_wnd;	 /* only of requests */
	__u32 skc_tw_rcv_nxt;	 /* only in TIME-WAIT */
	__u32 skc_tw_snd_nxt;
};

enum sock_flags {
	SOCK_KEEPOPEN = 3,
};

struct sk_backlog {
	atomic_t rmem_alloc;
};

struct socket {
	struct sock *sk;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct sock {
	struct sock_common __sk_common;
	atomic_t sk_drops;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	int sk_rcvbuf;
	int sk_sndbuf;
	int sk_wmem_queued;
	int sk_err_soft;
	kuid_t sk_uid;
	__u8 sk_shutdown;
	struct socket *sk_socket;
	unsigned long sk_pacing_rate;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
};

/* Since 6.18 or so; before it is the inode's of sk_socket. */
struct sock___ino {
	unsigned long sk_ino;
};

/* The keep-alive timer, up to 6.18 or so; then it is inet_connection_sock___keepalive's. */
struct sock___timer {
	struct timer_list sk_timer;
};

/* The retransmission timer after 6.18. */
struct sock___retransmit {
	struct timer_list tcp_retransmit_timer;
};

struct ipv6_pinfo {
	__s16 hop_limit;
	__u8 tclass;
};

struct inet_sock {
	struct sock sk;
	struct ipv6_pinfo *pinet6;
	__s16 uc_ttl;
	__u8 tos;
};

struct request_sock_queue {
	atomic_t qlen;
};

struct tcp_congestion_ops {
	char name[16];
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
	__u32 icsk_rto;
	__u32 icsk_pmtu_cookie;
	const struct tcp_congestion_ops *icsk_ca_ops;
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
	__u8 icsk_probes_out;
	struct {
		__u8 pending;
		__u32 ato : 8;
		__u32 lrcvtime;
		__u16 rcv_mss;
	} icsk_ack;
	__u32 icsk_user_timeout;
};

/* Up to 6.17 or so: when the timers are due, which the timers themselves may be too early for. */
struct inet_connection_sock___timeout {
	unsigned long icsk_timeout;
	struct {
		unsigned long timeout;
	} icsk_ack;
};

/* Since then the timers are exact. */
struct inet_connection_sock___timers {
	struct timer_list icsk_retransmit_timer;
	struct timer_list icsk_delack_timer;
};

struct inet_connection_sock___keepalive {
	struct timer_list icsk_keepalive_timer;
};

/* ---- TCP ------------------------------------------------------------------------------------- */

struct minmax_sample {
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sack_block {
	__u32 start_seq;
	__u32 end_seq;
};

struct tcp_options_received {
	int ts_recent_stamp; /* seconds */
	__u32 ts_recent;
	__u16 tstamp_ok : 1, wscale_ok : 1, sack_ok : 3, snd_wscale : 4, rcv_wscale : 4;
	__u8 num_sacks;
	__u16 user_mss;
	__u16 mss_clamp;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 max_window;
	__u32 reordering;
	__u32 snd_wnd;
	__u32 mss_cache;
	__u32 snd_cwnd;
	__u32 lost_out;
	__u32 sacked_out;
	__u32 copied_seq;
	__u32 snd_wl1;
	__u32 retrans_out;
	__u16 advmss;
	__u16 urg_data;
	__u32 snd_ssthresh;
	struct minmax rtt_min;
	struct rb_root out_of_order_queue;
	__u32 segs_out;
	__u32 data_segs_out;
	__u64 bytes_sent;
	__u8 chrono_type : 2;
	__u32 chrono_start;
	__u32 chrono_stat[3];
	__u32 write_seq;
	__u32 lsndtime;
	__u32 mdev_us;
	__u8 ecn_flags;
	__u8 nonagle : 4;
	__u8 rate_app_limited : 1;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u32 srtt_us;
	__u32 packets_out;
	__u32 snd_up;
	__u32 rcv_wnd;
	__u32 rcv_tstamp;
	struct tcp_options_received rx_opt;
	__u64 bytes_received;
	__u32 segs_in;
	__u32 data_segs_in;
	__u32 rcv_wup;
	__u32 rate_delivered;
	__u32 rate_interval_us;
	__u64 bytes_acked;
	__u32 dsack_dups;
	__u32 reord_seen;
	__u32 delivered_ce;
	__u32 lost;
	__u8 syn_data : 1, syn_fastopen : 1, syn_data_acked : 1;
	struct hrtimer pacing_timer;
	struct tcp_sack_block selective_acks[4];
	__u32 high_seq;
	__u64 bytes_retrans;
	__u32 total_retrans;
	__u32 urg_seq;
};

struct tcp_sock___total_rto { /* since 6.7 */
	__u16 total_rto;
};

struct tcp_sock___fastopen_child { /* since 6.5 or so */
	__u8 syn_fastopen_child : 1;
};

/* Half-open: a request for a connection. */
struct request_sock {
	struct sock_common __req_common;
	__u16 mss;
	__u8 num_retrans;
	struct timer_list rsk_timer;
};

struct inet_request_sock {
	struct request_sock req;
	__u16 snd_wscale : 4, rcv_wscale : 4, tstamp_ok : 1, sack_ok : 1, wscale_ok : 1, ecn_ok : 1;
};

struct tcp_request_sock {
	struct inet_request_sock req;
	__u64 snt_synack; /* CLOCK_MONOTONIC, microseconds */
	__u32 rcv_isn;
	__u32 snt_isn;
	__u32 rcv_nxt;
};

/* TIME-WAIT, and FIN-WAIT-2 without a program. */
struct inet_timewait_sock {
	struct sock_common __tw_common;
	unsigned char tw_substate;
	unsigned char tw_rcv_wscale;
	struct timer_list tw_timer;
};

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
	__u32 tw_rcv_wnd;
	__u32 tw_ts_recent;
};

#pragma clang attribute pop

#endif
