/* SPDX-License-Identifier: MIT */
/*
 * What the kernel does to packets while somebody watches: throws them away and why, sends segments
 * again, sends and receives RSTs, reports errors to sockets. Five tracepoints with BTF types; they
 * only read and count. Identical events are one entry of a bounded hash table, so that a busy host
 * pays a look-up and an addition for each.
 *
 * Kernels 6.1 to 6.18, by CO-RE: the types below declare only the fields that are read. What
 * changed in between: kfree_skb has a fourth argument, the receiving socket, since 6.11 (has_rx_sk,
 * set by the loader); tcp_skb_cb.tcp_flags has 16 bits since 6.16.
 *
 * Everything is read by bpf_probe_read_kernel(), which survives any pointer: an skb that is thrown
 * away may be half taken apart. What is read is checked before it is believed.
 */
#include <stdbool.h>
#include <stddef.h>

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

enum bpf_map_type {
	BPF_MAP_TYPE_LRU_HASH = 9,
};

#define BPF_NOEXIST 1

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "source/bpf/packets.h"

#define AF_INET	       2
#define AF_INET6       10
#define ETH_P_IP       0x0800
#define ETH_P_IPV6     0x86dd
#define IPPROTO_ICMP   1
#define IPPROTO_TCP    6
#define IPPROTO_UDP    17
#define IPPROTO_ICMPV6 58
#define TCP_RST	       0x04
#define TCP_SYN	       0x02

#define OWN __attribute__((preserve_access_index))

struct ns_common {
	__u32 inum;
} OWN;

struct net_device;

struct net {
	struct ns_common ns;
	struct net_device *loopback_dev;
} OWN;

typedef struct {
	struct net *net;
} OWN possible_net_t;

struct net_device {
	possible_net_t nd_net;
} OWN;

struct in6_addr {
	__u8 bytes[16]; /* the union in it begins at 0 */
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
} OWN;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	int sk_err;
} OWN;

struct inet_sock {
	__be16 inet_sport;
} OWN;

struct tcp_sock {
	__u16 tcp_header_len;
} OWN;

struct dst_entry {
	struct net_device *dev;
} OWN;

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	char cb[48];
	unsigned long _skb_refdst;
	unsigned int len;
	__be16 protocol;
	__u16 network_header;
	unsigned int tail; /* an offset from head, on kernels of 64 bits */
	unsigned char *head;
} OWN;

struct tcp_skb_cb {
	__u8 tcp_flags; /* the field's size is asked for */
} OWN;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PACKETS_ROOM);
	__type(key, struct packets_key);
	__type(value, struct packets_value);
} events SEC(".maps");

/* How many entries were made; those that are not there any more had to go. */
__u64 made;
/* The fourth argument of kfree_skb exists. */
const volatile bool has_rx_sk;
/* Drops for these reasons are not counted: of any packet, of ICMP. Set by the loader. */
const volatile __u64 harmless[PACKETS_REASONS / 64], harmless_icmp[PACKETS_REASONS / 64];

/* ---- Counting -------------------------------------------------------------------------------- */

static void count(const struct packets_key *key, __u32 length)
{
	struct packets_value *value = bpf_map_lookup_elem(&events, key);

	if (!value) {
		struct packets_value first = { .first_ns = bpf_ktime_get_ns() };

		if (!bpf_map_update_elem(&events, key, &first, BPF_NOEXIST))
			__sync_fetch_and_add(&made, 1);
		value = bpf_map_lookup_elem(&events, key);
		if (!value)
			return;
	}
	__sync_fetch_and_add(&value->times, 1);
	if (value->length < length)
		value->length = length; /* two at once: one of both lengths stays */
}

/* ---- Where ----------------------------------------------------------------------------------- */

static __u32 net_inum(struct net *net)
{
	return net ? BPF_CORE_READ(net, ns.inum) : 0;
}

static __u32 sock_netns(struct sock *sk)
{
	return sk ? net_inum(BPF_CORE_READ(sk, __sk_common.skc_net.net)) : 0;
}

/*
 * In a queue, skb->dev is the place of something else (rbnode, dev_scratch). It is a device if its
 * namespace's loopback device is of that same namespace.
 */
static __u32 device_netns(struct net_device *dev)
{
	struct net *net = dev ? BPF_CORE_READ(dev, nd_net.net) : NULL;
	struct net_device *lo = net ? BPF_CORE_READ(net, loopback_dev) : NULL;

	return lo && BPF_CORE_READ(lo, nd_net.net) == net ? net_inum(net) : 0;
}

static __u32 skb_netns(struct sk_buff *skb, struct sock *rx_sk)
{
	__u32 netns = device_netns(BPF_CORE_READ(skb, dev));
	struct dst_entry *dst;

	if (!netns)
		netns = sock_netns(rx_sk);
	if (!netns)
		netns = sock_netns(BPF_CORE_READ(skb, sk));
	if (!netns) {
		dst = (struct dst_entry *)(BPF_CORE_READ(skb, _skb_refdst) & ~1ul); /* a flag */
		netns = dst ? device_netns(BPF_CORE_READ(dst, dev)) : 0;
	}
	return netns;
}

/* ---- Packets --------------------------------------------------------------------------------- */

/* The bytes of an skb that lie in one piece: OFFSET..LIMIT of HEAD. */
struct linear {
	unsigned char *head;
	__u32 offset, limit;
};

static bool linear_read(const struct linear *l, __u32 offset, void *to, __u32 n)
{
	return offset <= l->limit && n <= l->limit - offset &&
	       !bpf_probe_read_kernel(to, n, l->head + offset);
}

static void put_ip4(unsigned char *to, __be32 address)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, 4);
}

static bool is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* What stands behind the IP header. */
static void parse_transport(struct packets_key *key, const struct linear *l, __u32 offset)
{
	__u8 b[14];

	if (is_icmp(key->protocol)) {
		if (linear_read(l, offset, b, 2)) {
			key->from_port = b[0];
			key->to_port = b[1];
		}
		return;
	}
	if (linear_read(l, offset, b, 4)) {
		key->from_port = b[0] << 8 | b[1];
		key->to_port = b[2] << 8 | b[3];
	}
	if (key->protocol == IPPROTO_TCP && linear_read(l, offset, b, 14))
		key->tcp_flags = b[13];
}

static bool wanted(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || is_icmp(protocol);
}

/* Returns the packet's length, 0: none of ours. */
static __u32 parse_ip4(struct packets_key *key, const struct linear *l)
{
	__u8 h[20];
	__be32 address;
	__u32 length;

	if (!linear_read(l, l->offset, h, sizeof(h)) || h[0] < 0x45 || h[0] > 0x4f || !wanted(h[9]))
		return 0;
	key->protocol = h[9];
	__builtin_memcpy(&address, h + 12, 4);
	put_ip4(key->from, address);
	__builtin_memcpy(&address, h + 16, 4);
	put_ip4(key->to, address);
	if (!((h[6] & 0x1f) | h[7])) /* the first fragment, or all */
		parse_transport(key, l, l->offset + (h[0] & 15) * 4);
	length = h[2] << 8 | h[3];
	return length ? length : 65536; /* BIG TCP: longer than the field can say */
}

/* Extension headers that may stand before what we look for (RFC 8200 section 4.1). */
#define EXTENSIONS 6

static __u32 parse_ip6(struct packets_key *key, const struct linear *l)
{
	__u32 offset = l->offset + 40, length;
	__u8 h[40], b[8], next;
	bool first = true;

	if (!linear_read(l, l->offset, h, sizeof(h)) || h[0] >> 4 != 6)
		return 0;
	next = h[6];
	for (int i = 0; i < EXTENSIONS && !wanted(next) && first; i++) {
		/* hop-by-hop options, routing, destination options; fragment */
		if ((next != 0 && next != 43 && next != 60 && next != 44) ||
		    !linear_read(l, offset, b, sizeof(b)))
			return 0;
		if (next == 44)
			first = !(b[2] | (b[3] & 0xf8));
		offset += next == 44 ? 8 : (b[1] + 1) * 8;
		next = b[0];
	}
	if (!wanted(next))
		return 0;
	key->protocol = next;
	__builtin_memcpy(key->from, h + 8, 16);
	__builtin_memcpy(key->to, h + 24, 16);
	if (first)
		parse_transport(key, l, offset);
	length = h[4] << 8 | h[5];
	return length ? length + 40 : 65536;
}

/*
 * Addresses, ports and flags of a packet. Returns its length by its IP header (of several segments
 * that travel as one, their sum); 0: there is no header of TCP, UDP or ICMP over IP to be read.
 */
static __u32 parse(struct packets_key *key, struct sk_buff *skb)
{
	struct linear l = {
		.head = BPF_CORE_READ(skb, head),
		.offset = BPF_CORE_READ(skb, network_header),
		.limit = BPF_CORE_READ(skb, tail),
	};

	/* 0 and ~0 mean: not set, as in the queues of a socket, whose data has no header yet. */
	if (!l.head || !l.offset || l.offset == 0xffff)
		return 0;
	switch (BPF_CORE_READ(skb, protocol)) {
	case bpf_htons(ETH_P_IP):
		return parse_ip4(key, &l);
	case bpf_htons(ETH_P_IPV6):
		return parse_ip6(key, &l);
	}
	return 0;
}

/* ---- Sockets --------------------------------------------------------------------------------- */

/* The ends of a TCP or UDP socket: OURS is its own address. False: it has none. */
static bool socket_ends(struct sock *sk, struct packets_key *key, bool from_us)
{
	unsigned char *ours = from_us ? key->from : key->to;
	unsigned char *theirs = from_us ? key->to : key->from;
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u16 port = BPF_CORE_READ(sk, __sk_common.skc_num);
	__u16 their_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));

	if (family == AF_INET) {
		put_ip4(ours, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		put_ip4(theirs, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO((struct in6_addr *)ours, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO((struct in6_addr *)theirs, sk, __sk_common.skc_v6_daddr);
	} else {
		return false;
	}
	if (!port) /* it has given its port back; this still tells which it was */
		port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	key->from_port = from_us ? port : their_port;
	key->to_port = from_us ? their_port : port;
	key->netns = sock_netns(sk);
	return true;
}

/* ---- Tracepoints ----------------------------------------------------------------------------- */

static bool bit_of(const volatile __u64 *bits, __u32 number)
{
	return number < PACKETS_REASONS && bits[number / 64] >> number % 64 & 1;
}

/* (skb, location, reason, rx_sk) */
SEC("tp_btf/kfree_skb")
int watch_drop(__u64 *ctx)
{
	struct packets_key key = { .kind = PACKETS_DROP, .reason = (__u32)ctx[2] };
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct sock *rx_sk = NULL;
	__u32 length;

	if (has_rx_sk)
		rx_sk = (struct sock *)ctx[3];
	if (bit_of(harmless, key.reason))
		return 0;
	length = parse(&key, skb);
	if (!length || (is_icmp(key.protocol) && bit_of(harmless_icmp, key.reason)))
		return 0;
	key.netns = skb_netns(skb, rx_sk);
	count(&key, length);
	return 0;
}

static __u8 segment_flags(struct sk_buff *skb)
{
	struct tcp_skb_cb *cb = (void *)__builtin_preserve_access_index(&skb->cb);
	__u16 two = 0;
	__u8 one = 0;

	if (bpf_core_field_size(cb->tcp_flags) == 2)
		bpf_probe_read_kernel(&two, 2, __builtin_preserve_access_index(&cb->tcp_flags));
	else
		bpf_probe_read_kernel(&one, 1, __builtin_preserve_access_index(&cb->tcp_flags));
	return one | (__u8)two;
}

/* (sk, skb, ...): the segment has no header yet */
SEC("tp_btf/tcp_retransmit_skb")
int watch_retransmit(__u64 *ctx)
{
	struct packets_key key = { .kind = PACKETS_RETRANSMIT, .protocol = IPPROTO_TCP };
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	__u32 length;

	if (!socket_ends(sk, &key, true))
		return 0;
	key.tcp_flags = segment_flags(skb);
	length = BPF_CORE_READ(skb, len) + BPF_CORE_READ((struct tcp_sock *)sk, tcp_header_len) +
		 (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET ? 20 : 40);
	/* A SYN's options have a length of their own. */
	count(&key, key.tcp_flags & TCP_SYN ? 0 : length);
	return 0;
}

static void swap_ends(struct packets_key *key)
{
	unsigned char address[16];
	__u16 port = key->from_port;

	__builtin_memcpy(address, key->from, 16);
	__builtin_memcpy(key->from, key->to, 16);
	__builtin_memcpy(key->to, address, 16);
	key->from_port = key->to_port;
	key->to_port = port;
}

/* (sk, skb, ...): skb is the packet that is answered so, or NULL; then sk is the socket */
SEC("tp_btf/tcp_send_reset")
int watch_rst_sent(__u64 *ctx)
{
	struct packets_key key = { .kind = PACKETS_RST_SENT };
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];

	if (skb) {
		if (!parse(&key, skb) || key.protocol != IPPROTO_TCP)
			return 0;
		swap_ends(&key);
		key.netns = skb_netns(skb, sk);
	} else if (!sk || !socket_ends(sk, &key, true)) {
		return 0;
	}
	key.protocol = IPPROTO_TCP;
	key.tcp_flags = TCP_RST;
	count(&key, 0);
	return 0;
}

/* (sk) */
SEC("tp_btf/tcp_receive_reset")
int watch_rst_received(__u64 *ctx)
{
	struct packets_key key = {
		.kind = PACKETS_RST_RECEIVED,
		.protocol = IPPROTO_TCP,
		.tcp_flags = TCP_RST,
	};

	if (socket_ends((struct sock *)ctx[0], &key, false))
		count(&key, 0);
	return 0;
}

/* (sk) */
SEC("tp_btf/inet_sk_error_report")
int watch_error(__u64 *ctx)
{
	struct packets_key key = { .kind = PACKETS_ERROR };
	struct sock *sk = (struct sock *)ctx[0];

	key.protocol = (__u8)BPF_CORE_READ(sk, sk_protocol);
	key.reason = (__u32)BPF_CORE_READ(sk, sk_err);
	/* Nothing of the network: what was to be sent waits, or was copied (MSG_ERRQUEUE). */
	if (!key.reason || !wanted(key.protocol))
		return 0;
	if (socket_ends(sk, &key, false))
		count(&key, 0);
	return 0;
}

char licence[] SEC("license") = "Dual MIT/GPL";
