/* SPDX-License-Identifier: MIT */
/*
 * What BSD sockets (src/socket) ask of a stack beyond its public interface: the state of a
 * connection at a glance, options that only they have, UDP sockets that are connected, share ports
 * and see all that came with a datagram.
 */
#ifndef STACK_SOCKETS_H
#define STACK_SOCKETS_H

#include "stack/stack.h"

/* A connection or listener now; cheap enough to be asked at each call. */
struct conn_status {
	struct conn_id id;
	uint8_t state; /* enum cpl_state */
	uint8_t error; /* what ended it */
	uint8_t soft_error;
	uint8_t ifindex;
	bool over;		/* it was a connection, and is none any more */
	bool passive;		/* it was opened by the peer */
	bool fin_received;	/* all that the peer sends has come */
	bool fin_queued;	/* the program has closed its side */
	bool early;		/* SYN-RECEIVED, but accepted at its SYN (RFC 7413) */
	bool syn_deferred;	/* the SYN awaits the first data (RFC 7413) */
	bool urgent;		/* an urgent octet has come, and was not read past */
	bool urgent_read;	/* ... but it has been received by itself */
	uint32_t before_urgent; /* octets to be read before it */
	uint32_t unread;	/* octets in order, the urgent one among them */
	uint32_t sndbuf, send_queue, not_sent;
	uint32_t rcvbuf;
	uint32_t accept_n;
};

/*
 * All addresses of code that a stack keeps. Those of the calling process are to be set where a
 * stack lies in memory of several (host/arena.h), whose code is at different addresses: the
 * functions for its memory share what the ones before gave; SUM is sum_best(),
 * SUM_COPY sum_copy_best().
 */
struct stack_code {
	void *(*alloc)(void *ctx, size_t size);
	void (*release)(void *ctx, void *slab, size_t size);
	void *ctx;
	sum_fn sum;
	sum_copy_fn sum_copy;
};
void stack_set_code(struct cpl_stack *s, const struct stack_code *code);

/* False: no such handle. */
bool conn_status(struct cpl_stack *s, cpl_handle handle, struct conn_status *st);
/* Its control block, to be read; NULL: no such handle. */
const struct tcb *conn_tcb(struct cpl_stack *s, cpl_handle handle);
/* Name of its congestion control, with room for 16. */
void conn_congestion(struct cpl_stack *s, cpl_handle handle, char name[16]);
/* The timestamp that it would send now. */
uint32_t conn_tsval(struct cpl_stack *s, cpl_handle handle, uint64_t now);
/* Octets that its SYN can carry, which has not left; 0: none (RFC 7413). */
uint32_t conn_fastopen_room(struct cpl_stack *s, cpl_handle handle);
/* A SYN that awaited its first data leaves without. */
void conn_syn_now(struct cpl_stack *s, cpl_handle handle);
/* What is known of other hosts from earlier connections is forgotten: cookies (RFC 7413 4.1.3). */
void stack_forget_peers(struct cpl_stack *s);
/* Octets from OFF on of what can be read, left there: for MSG_PEEK. */
size_t conn_peek(struct cpl_stack *s, cpl_handle handle, uint32_t off, void *data, size_t n);
/* cpl_send() as a socket of Linux takes data: see tcp_send_whole(). */
long conn_send(struct cpl_stack *s, cpl_handle handle, const void *data, size_t n, unsigned flags,
	       uint64_t now);
/*
 * The same without copying: memory of the stack, for N octets or fewer, that the caller fills from
 * CHUNK->data on and gives back at once. FILL octets are sent; 0: none. See tcp_chunk().
 */
int conn_chunk(struct cpl_stack *s, cpl_handle handle, size_t n, struct chunk **chunk,
	       uint64_t now);
long conn_send_chunk(struct cpl_stack *s, cpl_handle handle, struct chunk *chunk, uint32_t fill,
		     unsigned flags, uint64_t now);
/* See tcp_disconnect(). */
int conn_disconnect(struct cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *local,
		    uint64_t now);
/* As cpl_bind(), but a port is chosen now, and none is had that connections hold: tcp/held.c. */
int conn_bind(struct cpl_stack *s, cpl_handle handle, const struct cpl_endpoint *local,
	      uint64_t now);
/* As cpl_open_passive(), with a backlog of 0 as well. */
int conn_listen(struct cpl_stack *s, cpl_handle handle, uint32_t backlog, uint64_t now);
enum conn_setting {
	CONN_SYN_RETRIES,  /* 0: the stack's */
	CONN_LINGER2,	   /* seconds in FIN-WAIT-2; 0: the stack's, below: none */
	CONN_DEFER_ACCEPT, /* time-outs of the SYN,ACK to await data for */
	CONN_SAVE_SYN,	   /* 0, 1: see conn_saved_syn() */
};
int conn_set(struct cpl_stack *s, cpl_handle handle, enum conn_setting setting, int value);
/*
 * IP and TCP header of the SYN that asked for a connection, if the listener was told to keep it;
 * forgotten when they have been read. Returns their length, 0: there are none, or -EINVAL: *N is
 * less (it becomes their length).
 */
int conn_saved_syn(struct cpl_stack *s, cpl_handle handle, void *data, size_t *n);
/* SO_BINDTODEVICE; 0: any. */
void conn_set_device(struct cpl_stack *s, cpl_handle handle, uint32_t ifindex);
void conn_set_reuseport(struct cpl_stack *s, cpl_handle handle, bool on);

/* ---- UDP ---- */

struct udp_flags {
	bool reuseaddr, reuseport, v6only;
};

/* As cpl_udp_open(); if *HANDLE is a socket already, which has no port, that one. */
int udp_bind(struct cpl_stack *s, const struct cpl_endpoint *local, struct udp_flags flags,
	     cpl_handle *handle, uint64_t now);
/* Only what comes from REMOTE to LOCAL is taken from now on; REMOTE NULL: from anyone. */
void udp_connect(struct udp_socket *u, const struct cpl_endpoint *local,
		 const struct cpl_endpoint *remote);
/* Its port is free again; what it has received stays. */
void udp_unbind(struct udp_socket *u);
/* The datagram that is next, or NULL; and done with it. */
struct udp_datagram *udp_first(struct udp_socket *u);
void udp_drop_first(struct cpl_stack *s, struct udp_socket *u);

/* What an ICMP error said, for who has IP_RECVERR; the first, or NULL; and done with it. */
struct udp_report *udp_first_report(struct udp_socket *u);
void udp_drop_report(struct cpl_stack *s, struct udp_socket *u, struct udp_report *report);

/* What a datagram is sent with. */
struct udp_how {
	struct cpl_endpoint from; /* address unspecified: chosen */
	struct cpl_endpoint to;	  /* its ifindex: to leave by; 0: any */
	uint8_t tos;
	uint8_t ttl;	/* 0: the stack's */
	bool dont_frag; /* -EMSGSIZE, if it is longer than the path MTU */
};
int udp_send(struct cpl_stack *s, struct udp_socket *u, const struct udp_how *how, const void *data,
	     size_t n, uint64_t now);

#endif
