/* SPDX-License-Identifier: MIT */
/*
 * What packets.bpf.c counts and watcher.c reads out: one entry for each kind of thing that happened
 * to the packets of one flow. Laid out without holes, since the whole key is hashed.
 */
#ifndef SOURCE_BPF_PACKETS_H
#define SOURCE_BPF_PACKETS_H

/* As many different entries are kept: the oldest ones make room for new ones. */
#define PACKETS_ROOM	16384
/* Reasons below this number can be left out by a bit. */
#define PACKETS_REASONS 256

/* The same numbers as enum view_event_kind; watcher.c asserts it. */
enum packets_kind {
	PACKETS_DROP,
	PACKETS_RETRANSMIT,
	PACKETS_RST_SENT,
	PACKETS_RST_RECEIVED,
	PACKETS_ERROR,
};

struct packets_key {
	unsigned char from[16], to[16]; /* IPv4 as ::ffff:a.b.c.d */
	unsigned int netns;
	unsigned int reason;		   /* of a drop; errno of an error */
	unsigned short from_port, to_port; /* ICMP: type, code */
	unsigned char kind;		   /* enum packets_kind */
	unsigned char protocol;
	unsigned char tcp_flags;
	unsigned char zero;
};

struct packets_value {
	unsigned long long first_ns; /* CLOCK_MONOTONIC */
	unsigned long long times;
	unsigned long long length; /* of the longest, in bytes */
};

#endif
