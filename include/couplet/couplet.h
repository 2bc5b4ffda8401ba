/* SPDX-License-Identifier: MIT */
/*
 * libcouplet: a TCP/IP stack in user space.
 *
 * A stack does no I/O, reads no clock and calls nothing back. You hand it frames
 * (cpl_input), take frames from it (cpl_output, cpl_output_done), tell it the time (cpl_advance, by
 * cpl_deadline at the latest) and ask what happened (cpl_next_event). Time is nanoseconds of any
 * monotonic clock, the same for all calls on one stack; it is always the last argument.
 *
 * A stack is single-threaded. Stacks share nothing: any number live in one process.
 *
 * Calls return 0 or a count, or a negative errno. Connections are named by handles, never by
 * pointers: a handle of a connection that is gone gives -EBADF, and is not used again.
 */
#ifndef COUPLET_H
#define COUPLET_H

#include <stddef.h>
#include <stdint.h>

#include <couplet/addr.h>
#include <couplet/info.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPL_VERSION "0.1.0"
#define CPL_NEVER   UINT64_MAX /* a deadline that does not come */
#define CPL_SECOND  1000000000ull
#define CPL_MS	    1000000ull

typedef struct cpl_stack cpl_stack;

/* A connection, a listener, a half-open connection awaiting a verdict, or a UDP socket. 0: none. */
typedef uint64_t cpl_handle;

/* ---- A stack -------------------------------------------------------------------------------- */

/*
 * Explicit congestion notification: classic, RFC 3168, or accurate, RFC 9768, which falls back to
 * classic with a peer that knows no other. Linux's net.ipv4.tcp_ecn is the number in brackets.
 */
enum cpl_ecn {
	CPL_ECN_NEVER,		      /* neither ask for it nor agree to it [0] */
	CPL_ECN_PASSIVE,	      /* agree to classic when asked, as Linux by default [2] */
	CPL_ECN_ACTIVE,		      /* ask for classic as well [1] */
	CPL_ECN_ACCURATE,	      /* agree to accurate and ask for it [3] */
	CPL_ECN_ACCURATE_ASK_CLASSIC, /* agree to accurate, ask for classic [4] */
	CPL_ECN_ACCURATE_PASSIVE,     /* agree to accurate, ask for nothing [5] */
};

/* When ACKs carry the AccECN option, RFC 9768 3.2.3.3: as Linux's net.ipv4.tcp_ecn_option. */
enum cpl_ecn_option {
	CPL_ECN_OPTION_NEVER,
	CPL_ECN_OPTION_MINIMUM, /* when marks come, or the kind of marks changes */
	CPL_ECN_OPTION_FULL,	/* whenever a counter has changed and there is room */
};

enum cpl_syncookies {
	CPL_SYNCOOKIES_NEVER,
	CPL_SYNCOOKIES_WHEN_FULL, /* when the SYN queue is full, as Linux does by default */
	CPL_SYNCOOKIES_ALWAYS,
};

/*
 * What a stack is made with. Call cpl_config_init() first: it sets size and every default, which
 * stand here in brackets. Times are in nanoseconds, sizes in bytes.
 */
struct cpl_config {
	size_t size; /* sizeof(struct cpl_config) of the caller */

	/* Memory comes in slabs of at most 1 MiB, aligned to 16 bytes as by malloc(); alloc may
	 * return NULL. Required. */
	void *(*alloc)(void *ctx, size_t size);
	void (*release)(void *ctx, void *slab, size_t size);
	void *alloc_ctx;

	/* The slabs are mapped by other processes, too, which run the stack in turn: then a build
	 * with AddressSanitizer does not watch what is free in them [0] */
	uint8_t memory_shared;

	/* Unpredictable bytes, as getrandom(2) gives them: all keys and seeds derive from them. */
	uint8_t secret[32];

	uint64_t memory_max;	    /* all buffers and records together [256 MiB] */
	uint32_t conns_max;	    /* connections [1,000,000] */
	uint32_t half_open_max;	    /* half-open connections of the whole stack [65,536] */
	uint32_t time_wait_max;	    /* TIME-WAIT records; beyond, the oldest ends early [262,144] */
	uint32_t neighbours_max;    /* neighbour cache entries [1,024] */
	uint32_t neighbour_queue;   /* packets waiting for one neighbour's address [128] */
	uint32_t reassembly_memory; /* all fragments together [4 MiB] */
	uint64_t reassembly_time_ns; /* RFC 8200 4.5 [30 s for IPv4, 60 s for IPv6: 0] */
	uint32_t icmp_rate;	     /* ICMP errors and echo replies a second [1,000] */
	uint32_t challenge_ack_rate; /* challenge ACKs a second, RFC 5961 7 [1,000] */
	uint32_t trace_records;	     /* event ring, rounded up to a power of 2; 0: off [0] */

	uint32_t sndbuf;     /* send buffer of a new connection [87,380; grows to sndbuf_max] */
	uint32_t sndbuf_max; /* [4 MiB] */
	uint32_t rcvbuf;     /* receive buffer of a new connection [131,072; grows to rcvbuf_max] */
	uint32_t rcvbuf_max; /* [6 MiB] */

	uint64_t rto_initial_ns;   /* RFC 6298 2.1 [1 s] */
	uint64_t rto_min_ns;	   /* [200 ms, as Linux] */
	uint64_t rto_max_ns;	   /* [120 s] */
	uint64_t delack_ns;	   /* delayed ACK, RFC 9293 3.8.6.3: below 500 ms [40 ms] */
	uint64_t time_wait_ns;	   /* 2 MSL, RFC 9293 3.6.1, 30 min at most [60 s] */
	uint64_t fin_wait_2_ns;	   /* how long a closed FIN-WAIT-2 awaits the peer's FIN [60 s] */
	uint64_t r2_ns;		   /* give up retransmitting after this, RFC 9293 3.8.3 [924 s] */
	uint64_t r2_syn_ns;	   /* the same for a SYN [190 s] */
	uint32_t r1_retries;	   /* report after so many retransmissions [3] */
	uint32_t synack_retries;   /* retransmissions of a SYN,ACK [5] */
	uint64_t keep_idle_ns;	   /* RFC 9293 3.8.4 [2 h] */
	uint64_t keep_interval_ns; /* [75 s] */
	uint32_t keep_count;	   /* [9] */
	uint16_t port_first;	   /* ephemeral ports, RFC 6056 [32,768] */
	uint16_t port_last;	   /* [60,999] */
	uint8_t syncookies;	   /* enum cpl_syncookies [when full] */
	uint8_t ttl;		   /* [64] */
	uint8_t timestamps;	   /* offer RFC 7323 timestamps [1] */
	uint8_t sack;		   /* offer SACK [1] */
	uint8_t window_scaling;	   /* offer window scaling [1] */
	uint8_t source_routes;	   /* take IPv4 packets with a source route, RFC 7126 4.3 [0] */
	uint32_t initial_window;   /* segments, RFC 6928 [10] */
	char cc_name[16];	   /* congestion control of new connections ["cubic"] */
	uint8_t ecn;		   /* enum cpl_ecn [passive] */
	uint8_t ecn_option;	   /* enum cpl_ecn_option [full] */

	/* TCP Fast Open, RFC 7413. */
	uint32_t fastopen;		/* CPL_FASTOPEN_* [client] */
	uint32_t fastopen_cache;	/* servers whose cookies are kept, at most 8,192 [1,024] */
	uint64_t fastopen_blackhole_ns; /* no active Fast Open for so long after trouble, longer
					   each time; 0: never mind [1 h] */
	/* How many of fastopen_key[] are given; 0: one that derives from secret [0] */
	uint32_t fastopen_keys;
	/* The first makes cookies, both are good: 16 octets in the order in which Linux takes them
	 * from its socket option; its sysctl prints them as four little-endian numbers. */
	uint8_t fastopen_key[2][16];

	/* See CPL_OPT_NOTSENT_LOWAT [2^32 - 1: no limit] */
	uint32_t notsent_lowat;
	uint32_t burst_min; /* segments that the device is given at once, however slow [2] */
	/* cwnd begins anew after an idle time longer than an RTO, RFC 5681 4.1 [1] */
	uint8_t slow_start_after_idle;

	/*
	 * This stack is number CORE of CORES with the same addresses, each in a thread of its own:
	 * see cpl_steer(). Its own connections get ports whose answers come to it; to connect from
	 * another port is -EADDRNOTAVAIL. [0 of 1]
	 */
	uint16_t core;
	uint16_t cores;
	/* The key of RSS by which frames are dealt out [0x6d5a repeated: both directions of a
	 * connection have the same hash] */
	uint8_t rss_key[40];

	/* A connection that has been quiet for so long gives back the memory that moving data
	 * takes, and is packed into less; whatever happens to it next undoes that [1 s] */
	uint64_t quiet_ns;
	/* Connections that one peer, an IPv4 address or an IPv6 /64, may have opened at a time;
	 * beyond, its SYNs are dropped [0: no limit] */
	uint32_t peer_conns_max;
};

/* Linux's net.ipv4.tcp_fastopen. */
#define CPL_FASTOPEN_CLIENT	      1u
#define CPL_FASTOPEN_SERVER	      2u     /* for listeners with CPL_OPT_FASTOPEN */
#define CPL_FASTOPEN_CLIENT_NO_COOKIE 4u     /* data in the SYN without a cookie */
#define CPL_FASTOPEN_SERVER_NO_COOKIE 0x200u /* and taken without one */
#define CPL_FASTOPEN_ALL_LISTENERS    0x400u /* as if each had asked for its backlog */

void cpl_config_init(struct cpl_config *config);

/*
 * Make a stack. Errors: -EINVAL (a value out of range, alloc missing), -ENOMEM.
 * The stack keeps no pointer into *CONFIG. cpl_stack_free() forgets all without a word to any peer.
 */
int cpl_stack_new(cpl_stack **stack, const struct cpl_config *config, uint64_t now);
void cpl_stack_free(cpl_stack *stack);
/*
 * What the stack is made with now, and other settings for what is opened or sent from now on. The
 * allocator, the secret, all limits of memory and of numbers of things (..._max, reassembly_memory,
 * neighbours_max, neighbour_queue, trace_records), core, cores and rss_key stay as they were, but
 * sndbuf_max and rcvbuf_max. -EINVAL: a value out of range; then nothing has changed.
 */
void cpl_stack_settings(cpl_stack *stack, struct cpl_config *config);
int cpl_stack_configure(cpl_stack *stack, const struct cpl_config *config, uint64_t now);

/* ---- Interfaces, addresses, routes ---------------------------------------------------------- */

enum cpl_iface_kind {
	CPL_IFACE_IP,	 /* bare IP packets: TUN */
	CPL_IFACE_ETHER, /* Ethernet frames: TAP, packet sockets */
};

#define CPL_IFACE_CSUM_OUT 1u /* the device completes TCP and UDP checksums */
#define CPL_IFACE_GSO4	   2u /* the device cuts TCP super-segments over IPv4; needs CSUM_OUT */
#define CPL_IFACE_GSO6	   4u /* and over IPv6 */
#define CPL_IFACE_NO_DAD   8u /* skip duplicate address detection (RFC 4862 5.4) */

struct cpl_iface_config {
	size_t size; /* sizeof(struct cpl_iface_config) of the caller */
	char name[16];
	uint8_t kind; /* enum cpl_iface_kind */
	uint8_t mac[6];
	uint8_t reserved;
	uint32_t mtu;	  /* largest IP packet: 576 to 65535; IPv6 needs 1280 */
	uint32_t flags;	  /* CPL_IFACE_* */
	uint32_t gso_max; /* largest payload of a super-segment, up to 65,535 less headers */
};

/* Returns the interface's number, 1 or more; -EINVAL, -ENOSPC (at most 64 interfaces), -ENOMEM. */
int cpl_iface_add(cpl_stack *stack, const struct cpl_iface_config *config, uint64_t now);
/* -EINVAL also below 1280, where the interface has an IPv6 address (RFC 8200 5). */
int cpl_iface_set_mtu(cpl_stack *stack, int ifindex, uint32_t mtu, uint64_t now);
/* Down: nothing is sent or accepted. Interfaces start up. */
int cpl_iface_set_up(cpl_stack *stack, int ifindex, int up, uint64_t now);

/*
 * Add an address with the length of its on-link prefix (0 to 32, or 0 to 128), and the route to
 * that prefix. An Ethernet interface makes its own IPv6 link-local address (RFC 4291, modified
 * EUI-64) when it is added.
 */
int cpl_addr_add(cpl_stack *stack, int ifindex, const struct cpl_addr *addr, unsigned prefix_len,
		 uint64_t now);
int cpl_addr_del(cpl_stack *stack, int ifindex, const struct cpl_addr *addr, uint64_t now);

/* GATEWAY all zero or NULL: on link. The longest prefix wins, then the lowest metric. */
int cpl_route_add(cpl_stack *stack, const struct cpl_addr *prefix, unsigned prefix_len,
		  const struct cpl_addr *gateway, int ifindex, uint32_t metric, uint64_t now);
int cpl_route_del(cpl_stack *stack, const struct cpl_addr *prefix, unsigned prefix_len,
		  const struct cpl_addr *gateway, int ifindex, uint64_t now);

/* ---- Frames --------------------------------------------------------------------------------- */

#define CPL_FRAME_LEND	       1u /* DATA stays valid until the release token comes back */
#define CPL_FRAME_CSUM_OK      2u /* the device has verified the transport checksum */
#define CPL_FRAME_CSUM_PARTIAL 4u /* it holds only the pseudo-header sum: local, trusted */

/* A frame that comes in. */
struct cpl_frame {
	const void *data;
	uint32_t len;
	uint32_t flags;	   /* CPL_FRAME_* */
	uint32_t gso_size; /* 0, or the payload of each segment of a TCP super-segment */
	uint32_t reserved;
	uint64_t token; /* with CPL_FRAME_LEND: given back by cpl_next_release() */
};

/*
 * Frames arrive on IFINDEX, in this order. Without CPL_FRAME_LEND what must be kept is copied.
 * Returns how many were taken: N, or fewer when memory to remember lent frames is short (the rest
 * is still the caller's); -EINVAL for an unknown interface. Bad frames are counted by reason
 * (cpl_counters) and dropped.
 */
int cpl_input(cpl_stack *stack, int ifindex, const struct cpl_frame *frames, unsigned n,
	      uint64_t now);

/*
 * Which of the CORES stacks with the same addresses a frame is for, by the hash of receive-side
 * scaling under KEY and a table of 128 entries, filled in turn: what a network card with this key
 * does by itself. KIND: enum cpl_iface_kind. Returns 0 to CORES - 1; CPL_STEER_ALL: each is to have
 * it (ARP, Neighbour Discovery, fragments). Of these the stack of core 0 answers. Pure.
 */
#define CPL_STEER_ALL (-1)
int cpl_steer(const uint8_t key[40], unsigned cores, int kind, const void *frame, uint32_t len);

/* The next lent frame that the stack is done with. Returns 1, or 0 when there is none. */
int cpl_next_release(cpl_stack *stack, uint64_t *token);

#define CPL_OUT_IOV 20

struct cpl_iov {
	const void *base;
	size_t len;
};

/* A frame that goes out; the device sees iov[0..iov_n) as one frame. */
struct cpl_out {
	struct cpl_iov iov[CPL_OUT_IOV];
	uint32_t iov_n;
	uint32_t len;	      /* bytes in all */
	uint16_t gso_size;    /* 0, or cut the TCP payload into segments of this size */
	uint16_t csum_start;  /* with CPL_IFACE_CSUM_OUT: sum from here ... */
	uint16_t csum_offset; /* ... and store at csum_start + csum_offset; both 0: complete */
	uint16_t header_len;  /* all headers: where the payload starts */
	uint8_t ipv6;	      /* 1: an IPv6 packet */
	uint8_t ecn;	      /* 1: CWR (RFC 3168) may not be repeated in each cut segment */
	uint16_t reserved;
	uint64_t token;
};

/*
 * Take up to MAX frames to send on IFINDEX. Their memory stays valid until cpl_output_done() is
 * called for each, in the order in which they were taken. Returns how many; 0: nothing to send now.
 */
int cpl_output(cpl_stack *stack, int ifindex, struct cpl_out *frames, unsigned max, uint64_t now);

/* SENT 0: the device refused it: it counts as never transmitted, and TCP offers it again. */
int cpl_output_done(cpl_stack *stack, uint64_t token, int sent, uint64_t now);

/*
 * The next frame for IFINDEX is copied whole to TO, which has room for SIZE bytes, and counts as
 * sent: for devices whose memory is at hand (rings, shared memory), and cheaper there than
 * cpl_output(), since each byte is touched once, for copy and checksum together. *WHAT, if not
 * NULL, is what the frame is, iov[0] the copy; there is no token, and no cpl_output_done(). Returns
 * its length; 0: nothing to send now; -EMSGSIZE: it is longer (what->len), and stays the next one;
 * -EINVAL: no such interface.
 */
int cpl_output_copy(cpl_stack *stack, int ifindex, void *to, size_t size, struct cpl_out *what,
		    uint64_t now);

/* True if cpl_output() may have a frame for IFINDEX now. What leaves may bring events: of room. */
int cpl_output_pending(cpl_stack *stack, int ifindex);

/* When cpl_advance() must be called next, or CPL_NEVER. */
uint64_t cpl_deadline(cpl_stack *stack);
/* Timers due at NOW fire. Call cpl_output() afterwards. */
void cpl_advance(cpl_stack *stack, uint64_t now);

/* ---- Events --------------------------------------------------------------------------------- */

/* Bits of cpl_event.what. A handle comes up once with all that happened since it last did. */
#define CPL_EV_CONNECTED 1u   /* an active OPEN is ESTABLISHED */
#define CPL_EV_ACCEPT	 2u   /* a listener has a connection to accept */
#define CPL_EV_READABLE	 4u   /* data arrived */
#define CPL_EV_WRITABLE	 8u   /* room in the send buffer, after a send fell short */
#define CPL_EV_PEER_FIN	 16u  /* the peer closed its side: normal end of data (MUST-12) */
#define CPL_EV_CLOSED	 32u  /* the connection is gone; error says why, 0: normal (MUST-12) */
#define CPL_EV_URGENT	 64u  /* urgent data announced or the pointer advanced (MUST-32) */
#define CPL_EV_SOFT	 128u /* a soft error: ICMP, or R1 reached (MUST-47, SHLD-9) */
#define CPL_EV_SYN	 256u /* a catch-all listener has a half-open connection to judge */
#define CPL_EV_SENT_ALL	 512u /* everything written, FIN included, is acknowledged */

struct cpl_event {
	cpl_handle handle;
	uint64_t user;	   /* as set by cpl_set_user() */
	cpl_handle parent; /* the listener, for CPL_EV_SYN */
	uint32_t what;	   /* CPL_EV_* */
	int32_t error;	   /* positive errno: of CPL_EV_CLOSED, else of CPL_EV_SOFT */
};

/* The next event. Returns 1, or 0 when there is none. */
int cpl_next_event(cpl_stack *stack, struct cpl_event *event);

/* ---- TCP: the user calls of RFC 9293 section 3.9.1 ------------------------------------------ */

/*
 * Active OPEN. LOCAL may be NULL, or leave address or port open: they are chosen by route and by
 * RFC 6056. Errors: -EINVAL (no, broadcast or multicast remote address, MUST-46), -ENETUNREACH,
 * -EADDRNOTAVAIL (not an address of ours, no port left), -EADDRINUSE, -ENOBUFS.
 */
int cpl_connect(cpl_stack *stack, const struct cpl_endpoint *local,
		const struct cpl_endpoint *remote, cpl_handle *handle, uint64_t now);

/*
 * The two steps of the above apart, for options that must be set before the SYN: cpl_open() makes
 * a CLOSED connection bound to LOCAL (NULL: to nothing yet), which the calls below finish.
 */
int cpl_open(cpl_stack *stack, const struct cpl_endpoint *local, cpl_handle *handle, uint64_t now);
/*
 * Bind what cpl_open() left unbound: after the options that bear on it, CPL_OPT_REUSEADDR and
 * CPL_OPT_V6ONLY. Errors: -EINVAL (bound, or not CLOSED), -EADDRNOTAVAIL, -EADDRINUSE, -ENOBUFS.
 */
int cpl_bind(cpl_stack *stack, cpl_handle handle, const struct cpl_endpoint *local, uint64_t now);
int cpl_open_active(cpl_stack *stack, cpl_handle handle, const struct cpl_endpoint *remote,
		    uint64_t now);
int cpl_open_passive(cpl_stack *stack, cpl_handle handle, uint32_t backlog, uint64_t now);
/*
 * The second step and cpl_send() in one: with a cookie of REMOTE's at hand the SYN carries the
 * first of the data (RFC 7413). Returns the bytes taken, which go with the SYN or after it;
 * -EINPROGRESS: there is no cookie: the SYN asks for one, nothing was taken. What is sent twice by
 * the network may arrive twice: only for requests that do no harm then (RFC 7413 2.1). Other
 * errors: -EOPNOTSUPP (config.fastopen without CPL_FASTOPEN_CLIENT), those of both.
 */
long cpl_open_active_data(cpl_stack *stack, cpl_handle handle, const struct cpl_endpoint *remote,
			  const void *data, size_t n, unsigned flags, uint64_t now);
/* Other keys for Fast Open cookies from now on; BACKUP may be NULL. See config.fastopen_key. */
int cpl_set_fastopen_key(cpl_stack *stack, const uint8_t key[16], const uint8_t *backup);

/*
 * Passive OPEN: listen on LOCAL (an unspecified address: on all; of one family if it is
 * ::ffff:0.0.0.0). BACKLOG: connections that wait to be accepted, at least 1. A listener's options
 * pass to its connections. Errors: -EADDRINUSE, -EADDRNOTAVAIL, -ENOBUFS.
 */
int cpl_listen(cpl_stack *stack, const struct cpl_endpoint *local, uint32_t backlog,
	       cpl_handle *handle, uint64_t now);
/* Take the oldest established connection. -EAGAIN: none waits. */
int cpl_accept(cpl_stack *stack, cpl_handle listener, cpl_handle *handle, uint64_t now);

/*
 * A listener for every address and port that arrives on IFINDEX (0: on any) and that no other
 * listener has: each SYN is an event CPL_EV_SYN whose handle awaits a verdict; its SYN is not
 * answered until then. cpl_info_get() of the handle tells both addresses.
 */
int cpl_catch_all(cpl_stack *stack, int ifindex, uint32_t pending_max, cpl_handle *handle,
		  uint64_t now);
int cpl_syn_accept(cpl_stack *stack, cpl_handle syn,
		   uint64_t now); /* SYN,ACK; then CPL_EV_ACCEPT */
int cpl_syn_refuse(cpl_stack *stack, cpl_handle syn, uint64_t now); /* RST */
int cpl_syn_drop(cpl_stack *stack, cpl_handle syn, uint64_t now);   /* silence */

#define CPL_MSG_PEEK   1u  /* receive: leave the data in place */
#define CPL_MSG_OOB    2u  /* send: the last octet is urgent (RFC 9293 3.8.5) */
#define CPL_MSG_MORE   4u  /* send: more follows: hold a short segment */
#define CPL_MSG_PUSH   8u  /* send: PUSH (MAY-15) */
#define CPL_MSG_RECORD 32u /* send: what follows shares no segment with this (MSG_EOR) */
#define CPL_MSG_OOB_IN 16u /* receive: only the urgent octet, which was kept out of the stream */

/*
 * SEND. Returns the bytes taken, up to N. Errors: -EAGAIN (no room; CPL_EV_WRITABLE follows),
 * -ENOTCONN, -EPIPE (this side is closed), or what ended the connection: -ECONNRESET, -ETIMEDOUT...
 */
long cpl_send(cpl_stack *stack, cpl_handle handle, const void *data, size_t n, unsigned flags,
	      uint64_t now);
/*
 * Is it time to send? 1: a third of the send buffer is free, and less than CPL_OPT_NOTSENT_LOWAT is
 * unsent (as Linux's poll() says), or cpl_send() would fail; 0: not yet: CPL_EV_WRITABLE follows.
 * Errors: -EBADF.
 */
int cpl_writable(cpl_stack *stack, cpl_handle handle);
/* RECEIVE. Returns the bytes copied; 0: the peer has closed its side; -EAGAIN: nothing yet. */
long cpl_recv(cpl_stack *stack, cpl_handle handle, void *data, size_t n, unsigned flags,
	      uint64_t now);

/*
 * RECEIVE without copying: where what cpl_recv() would give next lies, in up to MAX pieces (64 at
 * most). Returns how many; 0: the peer has closed its side; -EAGAIN: nothing yet. They stay valid,
 * and unread, until the next cpl_recv(), cpl_recv_return() or close of this connection.
 */
int cpl_recv_borrow(cpl_stack *stack, cpl_handle handle, struct cpl_iov *iov, unsigned max,
		    uint64_t now);
/* The first N bytes of them are read: the window opens for as much. As cpl_recv(). */
long cpl_recv_return(cpl_stack *stack, cpl_handle handle, size_t n, uint64_t now);

#define CPL_CHUNK_MAX (1u << 20)
/*
 * SEND without copying: all of the N bytes (up to CPL_CHUNK_MAX) or none. They must stay as they
 * are until TOKEN comes back by cpl_next_release(), which is when they are acknowledged, or the
 * connection is gone. Returns N; else they are the caller's still and TOKEN does not come: -EAGAIN
 * (no room for all of them; CPL_EV_WRITABLE follows), -EMSGSIZE, -ENOBUFS, or as cpl_send().
 */
long cpl_send_chunk(cpl_stack *stack, cpl_handle handle, const void *data, uint32_t n,
		    uint64_t token, unsigned flags, uint64_t now);

/* Close one's own side: a FIN follows the data. The connection can still receive. */
int cpl_shutdown(cpl_stack *stack, cpl_handle handle, uint64_t now);
/*
 * CLOSE and forget the handle: the connection ends by itself. Unread data, or data that comes
 * later, is answered by RST (SHLD-3). On a listener: stop listening, reset what was not accepted.
 */
int cpl_close(cpl_stack *stack, cpl_handle handle, uint64_t now);
/* ABORT: RST, and forget the handle. */
int cpl_abort(cpl_stack *stack, cpl_handle handle, uint64_t now);

int cpl_set_user(cpl_stack *stack, cpl_handle handle, uint64_t user);

enum cpl_option {	       /* value */
	CPL_OPT_NODELAY,       /* 0, 1: Nagle's algorithm off (MUST-17) */
	CPL_OPT_CORK,	       /* 0, 1: hold short segments, up to 200 ms */
	CPL_OPT_KEEPALIVE,     /* 0, 1 (MUST-24) */
	CPL_OPT_KEEP_IDLE,     /* ns (MUST-27) */
	CPL_OPT_KEEP_INTERVAL, /* ns */
	CPL_OPT_KEEP_COUNT,    /* 1 to 127 */
	CPL_OPT_USER_TIMEOUT,  /* ns; 0: as the stack's r2_ns (MUST-21, RFC 5482) */
	CPL_OPT_SNDBUF,	       /* bytes; switches autotuning off */
	CPL_OPT_RCVBUF,	       /* bytes; switches autotuning off */
	CPL_OPT_MAXSEG,	       /* bytes: 88 to 65,495, before the SYN */
	CPL_OPT_TOS,	       /* 0 to 255 (MUST-48, SHLD-21) */
	CPL_OPT_TTL,	       /* 1 to 255 (MUST-49) */
	CPL_OPT_OOB_INLINE,    /* 0, 1: leave the urgent octet in the stream */
	CPL_OPT_QUICKACK,      /* 0, 1: no delayed ACKs for now */
	CPL_OPT_SOFT_ERRORS,   /* 0, 1: report them as events [1] (SHLD-20) */
	CPL_OPT_REUSEADDR,     /* 0, 1: share a port with others that do, unless one listens */
	CPL_OPT_WINDOW_CLAMP,  /* bytes; 0: none */
	CPL_OPT_LINGER_DROP,   /* 0, 1: cpl_close() aborts */
	CPL_OPT_OWNER_PID,     /* for snapshots only */
	CPL_OPT_OWNER_FD,      /* for snapshots only */
	CPL_OPT_V6ONLY,	       /* 0, 1: a listener on "any" takes no IPv4 */
	CPL_OPT_URGENT_LEFT,   /* read only: octets up to the urgent pointer (MUST-33) */
	CPL_OPT_ERROR,	       /* read only: what ended it, or 0 */
	/*
	 * RFC 7413. On a listener, or before: so many connections at once may hand over data before
	 * their handshake is done; 0: none. cpl_accept() gives them at their SYN.
	 */
	CPL_OPT_FASTOPEN,
	/* 0, 1: cpl_open_active() with a cookie at hand sends nothing yet: cpl_send() does */
	CPL_OPT_FASTOPEN_CONNECT,
	CPL_OPT_FASTOPEN_NO_COOKIE, /* 0, 1: neither ask for cookies nor for one */
	/*
	 * bytes, 0: as config.notsent_lowat. With as many written and not sent, no more are taken;
	 * CPL_EV_WRITABLE comes when it is less than half of that. What a program has not handed
	 * over it may still change its mind about.
	 */
	CPL_OPT_NOTSENT_LOWAT,
	/* bytes/s; 0: no limit. A listener's is that of its connections. */
	CPL_OPT_PACING_MAX,
	CPL_OPTIONS /* their number */
};

int cpl_set_option(cpl_stack *stack, cpl_handle handle, enum cpl_option option, uint64_t value,
		   uint64_t now);
int cpl_get_option(cpl_stack *stack, cpl_handle handle, enum cpl_option option, uint64_t *value,
		   uint64_t now);
/* "cubic", "reno", "bbr" or "dctcp". -ENOENT: no such algorithm. */
int cpl_set_congestion(cpl_stack *stack, cpl_handle handle, const char *name, uint64_t now);
/* Name of the program that owns it, for snapshots only. */
int cpl_set_program(cpl_stack *stack, cpl_handle handle, const char *name);
/*
 * A loose source route by up to 9 hops for an active OPEN over IPv4 (MUST-51), or for all
 * connections of a listener, whatever route they came by (MUST-52). N 0: none. Errors: -EINVAL.
 */
int cpl_set_source_route(cpl_stack *stack, cpl_handle handle, const struct cpl_addr *hops,
			 unsigned n);

/* ---- UDP ------------------------------------------------------------------------------------ */

/* LOCAL NULL or port 0: a port is chosen. */
int cpl_udp_open(cpl_stack *stack, const struct cpl_endpoint *local, cpl_handle *handle,
		 uint64_t now);
/* Every datagram of IFINDEX (0: any) that no socket has. */
int cpl_udp_catch_all(cpl_stack *stack, int ifindex, cpl_handle *handle, uint64_t now);
/*
 * FROM NULL: the socket's address, or one by route; a catch-all gives the one to answer from.
 * Errors: -EMSGSIZE (over 65,507 bytes), -ENETUNREACH, -EADDRNOTAVAIL, -ENOBUFS.
 */
long cpl_udp_send(cpl_stack *stack, cpl_handle handle, const struct cpl_endpoint *from,
		  const struct cpl_endpoint *to, const void *data, size_t n, uint64_t now);
/* One datagram; what does not fit in N is cut off. Returns its whole length. -EAGAIN: none. */
long cpl_udp_recv(cpl_stack *stack, cpl_handle handle, struct cpl_endpoint *from,
		  struct cpl_endpoint *to, void *data, size_t n, uint64_t now);
/* Refuse what was received last from FROM to TO: ICMP port unreachable. */
int cpl_udp_refuse(cpl_stack *stack, cpl_handle handle, const struct cpl_endpoint *from,
		   const struct cpl_endpoint *to, uint64_t now);

/* ---- Snapshots ------------------------------------------------------------------------------ */

/* One connection, listener, half-open connection or socket. -EBADF. */
int cpl_info_get(cpl_stack *stack, cpl_handle handle, struct cpl_info *info, uint64_t now);

/*
 * All of them, a bounded number a call: start with *CURSOR 0; returns how many were written, 0 when
 * all have been. Whatever lives through the whole walk appears exactly once; a half-open connection
 * that is established meanwhile, or one that enters TIME-WAIT, is another record then: it appears
 * at least once.
 */
int cpl_info_walk(cpl_stack *stack, uint64_t *cursor, struct cpl_info *info, unsigned max,
		  uint64_t now);

/* Counters of the stack, for drops by reason; see <couplet/counters.def>. */
struct cpl_counters {
	uint32_t size;
	uint32_t reserved;
#define CPL_COUNTER(name, text) uint64_t name;
#include <couplet/counters.def>
};

int cpl_counters_get(cpl_stack *stack, struct cpl_counters *counters);

/* ---- The event ring (config.trace_records) -------------------------------------------------- */

/* One record; what the arguments are stands in src/trace/events.def. */
struct cpl_trace {
	uint64_t time; /* ns */
	cpl_handle handle;
	uint16_t type;
	uint16_t reserved[3];
	uint32_t arg[10];
};

/*
 * Records in order, from number *CURSOR (0: the oldest kept) on; *CURSOR moves past what was read.
 * Returns how many were written. *LOST (may be NULL) tells how many were overwritten unread.
 */
int cpl_trace_read(cpl_stack *stack, uint64_t *cursor, struct cpl_trace *records, unsigned max,
		   uint64_t *lost);

#ifdef __cplusplus
}
#endif
#endif
