/* SPDX-License-Identifier: MIT */
/*
 * Reads the two ends of one connection, one right after the other. It is made as a program that
 * looks at packets, as these may look up sockets, but it never sees one of the network's: bpf(2)
 * runs it (BPF_PROG_TEST_RUN), in the network namespace of whoever asks.
 *
 * Apart from tcb.bpf.c, since few need it and the kernel takes long to check it.
 */
#define TCB_FILL_PROBES
#include "tcb_fill.h"

char bpf_license[] SEC("license") = "Dual MIT/GPL";

struct pair_end pair_ends[2];
struct tcb_record pair_records[PAIR_READS];
__u64 pair_ended[PAIR_READS]; /* when the last word was read */
__u32 pair_at;		      /* which of them is next */

static __always_inline struct bpf_sock *look_up(struct __sk_buff *packet, struct pair_end *end)
{
	struct bpf_sock_tuple tuple = {};

	/* As a packet that comes in names them: it is from the remote end. */
	if (end->family == KERNEL_AF_INET) {
		tuple.ipv4.saddr = end->remote[0];
		tuple.ipv4.daddr = end->local[0];
		tuple.ipv4.sport = end->remote_port;
		tuple.ipv4.dport = end->local_port;
		return bpf_skc_lookup_tcp(packet, &tuple, sizeof(tuple.ipv4), CURRENT_NETNS, 0);
	}
	if (end->family != KERNEL_AF_INET6)
		return NULL;
	for (int i = 0; i < 4; i++) {
		tuple.ipv6.saddr[i] = end->remote[i];
		tuple.ipv6.daddr[i] = end->local[i];
	}
	tuple.ipv6.sport = end->remote_port;
	tuple.ipv6.dport = end->local_port;
	return bpf_skc_lookup_tcp(packet, &tuple, sizeof(tuple.ipv6), CURRENT_NETNS, 0);
}

/* Reads one end each time it runs; whoever runs it asks the kernel to repeat it. */
SEC("tc")
int pair_read(struct __sk_buff *packet)
{
	__u32 n = pair_at++ & (PAIR_READS - 1);
	struct bpf_sock *sk = look_up(packet, &pair_ends[n & 1]);

	if (!sk) {
		pair_records[n].kind = TCB_RECORD_NONE;
		return 0;
	}
	record_fill(&pair_records[n], (struct sock_common *)sk);
	pair_ended[n] = bpf_ktime_get_ns();
	bpf_sk_release(sk);
	return 0;
}
