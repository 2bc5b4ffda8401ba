/* SPDX-License-Identifier: MIT */
/*
 * What is known of a host beside its connections: limits, counters, processes, and what the kernel
 * was seen to drop. Filled by src/source/facts.c (from /proc) and src/source/watcher.c (from
 * tracepoints), read by the rules of doctor.
 *
 * As in a snapshot, each number is known or not; one that is not is 0 and proves nothing.
 */
#ifndef VIEW_FACTS_H
#define VIEW_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <couplet/addr.h>

/* Numbers of one network namespace: FACT(name, text). */
#define VIEW_FACTS_LIST                                                                            \
	FACT(listen_overflows, "connections refused for want of room in an accept queue")          \
	FACT(listen_drops, "connections dropped at a listener")                                    \
	FACT(syncookies_sent, "SYN cookies sent")                                                  \
	FACT(syncookies_failed, "ACKs with a cookie that was none")                                \
	FACT(reqq_full_drop, "SYNs dropped because the queue of half-open ones was full")          \
	FACT(rp_filter_drops, "packets dropped by reverse-path filtering")                         \
	FACT(tw_overflow, "TIME-WAIT records that found no room")                                  \
	FACT(timewait_number, "connections in TIME-WAIT")                                          \
	FACT(timewait_max, "as many may be")                                                       \
	FACT(orphans, "connections without a program")                                             \
	FACT(orphans_max, "as many may be")                                                        \
	FACT(tcp_memory, "bytes of memory that TCP holds")                                         \
	FACT(tcp_memory_max, "as many may be")                                                     \
	FACT(port_low, "lowest port chosen for outgoing connections")                              \
	FACT(port_high, "highest port chosen for outgoing connections")                            \
	FACT(conntrack_number, "connections that the firewall tracks")                             \
	FACT(conntrack_max, "as many may be")                                                      \
	FACT(conntrack_drops, "packets dropped because that table was full")                       \
	FACT(somaxconn, "longest accept queue")                                                    \
	FACT(syncookies, "whether SYN cookies are sent: 0 never, 1 at need, 2 always")             \
	FACT(mtu_probing,                                                                          \
	     "whether the path MTU is probed: 0 never, 1 after a black hole, 2 always")            \
	FACT(tw_reuse, "whether ports in TIME-WAIT are used again")

enum view_fact {
#define FACT(name, text) VIEW_FACT_##name,
	VIEW_FACTS_LIST
#undef FACT
		VIEW_FACTS /* their number */
};

/* One network namespace. */
struct view_host {
	uint32_t netns;
	char name[32];	/* as ip netns names it; "" if it has none */
	bool ours;	/* the namespace of this process */
	uint64_t known; /* bits: 1 << enum view_fact */
	uint64_t fact[VIEW_FACTS];
	struct cpl_addr *addr; /* its own addresses, in order of memcmp(); NULL: not known */
	size_t addrs;
};

/* One process that holds sockets. */
struct view_process {
	uint32_t pid;
	char program[16];
	char state;	  /* as in /proc/PID/stat: R S D T t Z; 0: not known */
	uint32_t netns;	  /* 0: not known */
	bool known_limit; /* the next two are known */
	uint32_t descriptors, descriptors_max;
};

/* What happened to packets, as the kernel's tracepoints told while somebody watched. */
enum view_event_kind {
	VIEW_EVENT_DROP,       /* the kernel threw a packet away (kfree_skb) */
	VIEW_EVENT_RETRANSMIT, /* sent a segment again */
	VIEW_EVENT_RST_SENT,
	VIEW_EVENT_RST_RECEIVED,
	VIEW_EVENT_ICMP, /* a connection was told of an error (inet_sk_error_report): its peer to it
			  */
};

struct view_event {
	enum view_event_kind kind;
	uint32_t netns;
	uint8_t protocol;	     /* 6, 17, 1, 58; 0: not known */
	uint8_t tcp_flags;	     /* of the segment; 0: not known */
	struct cpl_addr from, to;    /* of the packet, not of a socket */
	uint16_t from_port, to_port; /* of ICMP: its type and its code */
	uint32_t length;	     /* of the packet, in bytes; 0: not known */
	uint32_t reason;      /* VIEW_EVENT_DROP: the kernel's number; VIEW_EVENT_ICMP: errno */
	char reason_name[32]; /* "NETFILTER_DROP", from the kernel's own list; "" if unknown */
	uint64_t times;	      /* the same again and again is counted */
};

struct view_facts {
	struct view_host *host;
	size_t hosts;
	struct view_process *process; /* in order of pid */
	size_t processes;
	struct view_event *event; /* in the order in which each was first seen */
	size_t events;
	bool watched; /* tracepoints were on: the absence of an event means something */
	uint64_t watched_ns;
};

/* NULL: nothing is known of that namespace, process. */
const struct view_host *view_facts_host(const struct view_facts *facts, uint32_t netns);
const struct view_process *view_facts_process(const struct view_facts *facts, uint32_t pid);
/* True if that namespace is known to have this address. */
bool view_host_has(const struct view_host *host, const struct cpl_addr *addr);
/* False, and *VALUE 0, if it is not known. */
bool view_fact_get(const struct view_host *host, enum view_fact fact, uint64_t *value);

#endif
