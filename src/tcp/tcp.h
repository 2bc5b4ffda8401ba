/* SPDX-License-Identifier: MIT */
/*
 * TCP of one stack: the tables of its connections, what floor 4 hands in and takes out, and the
 * functions that the files of src/tcp share. Nothing here sends: what is to be sent is pulled
 * (tcp_pull() for connections, tcp_next_reply() for what has none).
 */
#ifndef TCP_TCP_H
#define TCP_TCP_H

#include <couplet/couplet.h>

#include <errno.h>

#include "base/assert.h"
#include "base/hash.h"
#include "ip/neigh.h"
#include "ip/pmtu.h"
#include "ip/route.h"
#include "tcp/demux.h"
#include "tcp/fastopen.h"
#include "tcp/tcb.h"
#include "trace/ring.h"
#include "wire/ip.h"

/* Sizes of what connections at rest are packed into: (class + 1) * 16 bytes. */
#define REST_STEP    16u
#define REST_CLASSES 24u
#define REST_MAX     (1u << 24) /* of one class: what a reference has room for */

#define SYNACK_LEVELS	 16 /* retries of a SYN,ACK, at most */
#define HALF_ROWS	 (SYNACK_LEVELS + 2)
#define PORT_TABLE	 64
#define TIME_WAIT_CHAINS 256
#define PORT_BUCKETS	 1024
#define HELD_PAGES	 256
#define CORK_NS		 (200 * CPL_MS) /* cork holds a short segment so long, as Linux */

/* The counters' numbers, in the order of counters.def. */
enum counter {
#define CPL_COUNTER(name, text) COUNTER_##name,
#include <couplet/counters.def>
	COUNTERS
};

/* What TCP must know of an interface. */
struct tcp_iface {
	struct list ready; /* tcb.ready */
	uint32_t mtu;
	uint32_t gso_max;
	bool gso4, gso6;
	bool up;
};

/* Who has how many connections; see peer.c. */
struct peers {
	struct pool pool;
	uint32_t *heads; /* NULL: there is no limit */
	uint32_t mask;
};

struct tcp {
	const struct cpl_config *config;
	struct cpl_counters *counters;
	struct trace_ring *trace;
	struct mem *mem;
	struct chunk_mem *chunks;
	struct route_table *routes;
	struct pmtu_cache *pmtu;
	struct neigh_table *neigh; /* NULL: no interface has any */
	struct prng *prng;
	struct tcp_iface ifaces[IFACES_MAX + 1];
	struct rtt_limits rto;
	uint8_t cc_id; /* of new connections */

	struct siphash_key isn_key, ts_key, port_key, cookie_key[2];
	struct conn_id port_hashed; /* last, with port_key, and ... */
	uint64_t port_hash;	    /* ... its hash; 0: none yet */
	struct route_memo path;
	uint32_t port_table[PORT_TABLE];

	struct pool slots, tcbs, ios, colds, accecns, listeners, halves, time_waits;
	struct pool rests[REST_CLASSES], rest_timers;
	struct tcb blank;   /* what a TCB is packed as its difference from */
	struct tcb scratch; /* tcp_look() */
	struct pool sents, oranges, replies;
	struct demux demux;
	struct peers peers;
	struct list bound[PORT_BUCKETS]; /* bound and listening TCBs, by port: tcb_bound */
	struct pool bounds;
	uint16_t *held[HELD_PAGES]; /* see held.c; NULL: none of these ports */
	struct tcb *catch_all[IFACES_MAX + 1];
	uint32_t gen;

	struct wheel wheel;
	struct wheel rest_wheel;
	struct half_link half_rows[HALF_ROWS]; /* half.c */
	uint32_t half_sweep;		       /* where the walk for closed listeners is */
	uint32_t listeners_closed;	       /* that have half-open connections yet */
	struct list unaccepted; /* tcb.event: in the queue of a listener that was closed */
	uint32_t time_wait_oldest, time_wait_youngest; /* indexes, or POOL_NONE */
	struct pool time_wait_addrs;
	uint32_t time_wait_local; /* that of them which was used last, or POOL_NONE */
	uint32_t time_wait_chains[TIME_WAIT_CHAINS];
	struct list events; /* tcb.event */
	struct list reply_queue;

	uint32_t dropped;    /* enum counter, why the segment at hand was dropped; 0: it was not */
	bool long_way;	     /* tests: fast.c does nothing */
	uint64_t short_ways; /* that it took; counted in debug builds */
	uint64_t challenge_second; /* RFC 5961 7 */
	uint32_t challenge_left;
	uint64_t cookie_needed; /* when a SYN queue last overflowed */
	struct fastopen fastopen;
};

/* A port that is taken: bound or listening. */
struct tcb_bound {
	struct list link;
	struct tcb *tcb;
	bool named; /* by the program: it stays bound when the connection is over */
};

/* The text of a segment of a run, or of several where it lies in a chunk already. */
struct seg_piece {
	const uint8_t *data;
	uint32_t len;
	uint32_t lent_off;
	uint16_t flags;
	struct chunk *lent;
};

/* A segment that arrives, and what IP knows of it. */
struct seg_in {
	struct tcp_seg tcp;
	const struct ip_hdr *ip;
	struct chunk *lent; /* the payload lies in this lent chunk, or NULL: copy it */
	uint32_t lent_off;  /* offset of tcp.data in the chunk */
	uint32_t gso_size;  /* 0: one segment */
	int ifindex;
	const struct seg_piece *pieces; /* of a run that is taken as one; NULL: tcp.data */
	unsigned pieces_n;
};

/* A segment without connection: RST, SYN,ACK, ACK of TIME-WAIT. */
struct tcp_reply {
	struct list link;
	struct conn_id id;
	struct tcp_seg seg;
	cpl_handle handle; /* of whoever it speaks for, for the event ring; 0: nobody */
	uint8_t tos, ttl;
	uint8_t ifindex;	   /* of a link-local peer */
	struct source_route route; /* IPv4: to go by */
};

#define TCP_PIECES 18

/* A segment, or super-segment, of a connection. */
struct tcp_out {
	struct tcb *tcb;
	struct tcp_seg seg; /* len set, data NULL */
	struct chunk_piece pieces[TCP_PIECES];
	unsigned pieces_n;
	uint32_t gso_size;
	uint32_t start, end; /* of the send map's record; equal: none */
	bool retransmission;
	uint8_t ect; /* ECN field of the IP header */
};

/* ---- floor 4 calls these ---- */

int tcp_init(struct tcp *tcp, uint64_t now);
/* The config is another: what is made of it is made again. */
void tcp_configure(struct tcp *tcp);
void tcp_destroy(struct tcp *tcp);
/* Takes a segment that passed tcp_parse() with its addresses checked. */
void tcp_input(struct tcp *tcp, const struct seg_in *in, uint64_t now);
/*
 * N segments of one connection that follow each other, TOTAL bytes of text in IN's pieces: IN is
 * the first, the others have its header, but for sequence number and PSH. All but the last are of
 * one length. TCB is from tcp_run_tcb(), if the text is where tcp_run_room() said; else it is NULL,
 * and each segment is a piece.
 */
void tcp_input_run(struct tcp *tcp, struct tcb *tcb, struct seg_in *in, unsigned n, uint32_t total,
		   uint64_t now);
/*
 * The connection of IN, if IN is what comes next there: NULL else. Text of no more than *WINDOW
 * octets, IN's included, is taken in one piece, if it comes before anything else happens.
 */
struct tcb *tcp_run_tcb(struct tcp *tcp, const struct seg_in *in, uint32_t *window);
/*
 * The chunk behind whose filled part that text is to be put, which fills it: with room for N octets
 * at least, of a class for COMING, and a reference for the caller. NULL: no memory.
 */
struct chunk *tcp_run_room(struct tcp *tcp, struct tcb *tcb, uint32_t n, uint32_t coming);
/* The next segment that TCB wants to send now; false: none, and TCB is off the ready list. */
bool tcp_pull(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now);
/* The device refused the segment of HANDLE with record [start, end). */
void tcp_refused(struct tcp *tcp, cpl_handle handle, uint32_t start, uint32_t end, uint64_t now);
/* The same for want of what nobody will announce (memory, a route): try again soon. */
void tcp_stalled(struct tcp *tcp, cpl_handle handle, uint32_t start, uint32_t end, uint64_t now);
/* TCB of an interface's ready list, or NULL. */
struct tcb *tcp_next_ready(struct tcp *tcp, int ifindex);
struct tcp_reply *tcp_next_reply(struct tcp *tcp, uint64_t now);
void tcp_reply_free(struct tcp *tcp, struct tcp_reply *reply);
uint64_t tcp_deadline(const struct tcp *tcp);
void tcp_advance(struct tcp *tcp, uint64_t now);
bool tcp_next_event(struct tcp *tcp, struct cpl_event *event);
/* There may be one. */
static inline bool tcp_has_event(const struct tcp *tcp)
{
	return !list_empty(&tcp->events) || tcp->halves.in_use;
}

/* An ICMP error about a segment of ours (RFC 9293 3.9.2.2). */
struct tcp_icmp {
	struct conn_id id;
	uint32_t seq;
	int error;    /* errno */
	bool hard;    /* unreachable codes 2 to 4 of ICMP, 1 and 4 of ICMPv6 */
	bool too_big; /* the path MTU is now mtu */
	uint32_t mtu;
	uint32_t claimed; /* ... of which the message says this; 0: nothing */
	uint8_t type, code;
};
/* False: about nothing of ours, or implausible (RFC 5927 4). */
bool tcp_icmp_error(struct tcp *tcp, const struct tcp_icmp *icmp, uint64_t now);

/* The segment at hand is dropped: counted, and remembered for the event ring. */
static inline void tcp_drop(struct tcp *tcp, enum counter why)
{
	(&tcp->counters->frames_in)[why]++;
	tcp->dropped = why;
}

/* Half of the next handle. Never 0, which a record without handle has. */
static inline uint32_t tcp_gen(struct tcp *tcp)
{
	tcp->gen += tcp->gen == UINT32_MAX ? 2 : 1;
	return tcp->gen;
}

/* ---- demux.c: handles ---- */

cpl_handle handle_make(enum conn_kind kind, uint32_t index, uint32_t gen);
enum conn_kind handle_kind(cpl_handle h);
uint32_t handle_index(cpl_handle h);
struct conn_slot *tcp_slot(struct tcp *tcp, cpl_handle h);
/* The connection of a handle, woken if it was at rest; NULL: see tcp_missing(). */
struct tcb *tcp_tcb(struct tcp *tcp, cpl_handle h);
/* Only to look: what is at rest stays so, and is unpacked into memory that the next look reuses. */
const struct tcb *tcp_look(struct tcp *tcp, cpl_handle h);
/* Why tcp_tcb() had none: -EBADF, or -ENOBUFS when there was no memory to wake it. */
int tcp_missing(struct tcp *tcp, cpl_handle h);
struct half_open *tcp_half(struct tcp *tcp, cpl_handle h);
cpl_handle tcb_handle(struct tcp *tcp, const struct tcb *tcb);

/* ---- tcb.c ---- */

struct tcb *tcb_new(struct tcp *tcp, uint64_t now);
/* TCB, which is in no table and has nothing, goes. */
void tcb_free(struct tcp *tcp, struct tcb *tcb);
/* CLOSED, with every default; all but its handle. */
void tcb_init(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* The struct for moving data; made when there is none. NULL: no memory. */
struct tcb_io *tcb_io_new(struct tcp *tcp, struct tcb *tcb, uint64_t now);
static inline struct tcb_io *tcb_io(struct tcp *tcp, struct tcb *tcb, uint64_t now)
{
	ASSERT(tcb->state != CPL_LISTEN);
	return tcb->io ? tcb->io : tcb_io_new(tcp, tcb, now);
}
void tcb_io_release(struct tcp *tcp, struct tcb *tcb, uint64_t now);
bool tcb_io_idle(const struct tcb *tcb);
struct tcb_cold *tcb_cold(struct tcp *tcp, struct tcb *tcb);
void tcb_cold_free(struct tcp *tcp, struct tcb_cold *cold);	  /* NULL is allowed */
void tcb_cold_init(const struct tcp *tcp, struct tcb_cold *cold); /* all defaults */
/* Everything a TCB must satisfy; asserts. */
void tcb_check(struct tcp *tcp, const struct tcb *tcb);
/*
 * The connection is over: ERROR 0 or a positive errno. It leaves all tables; an orphan's memory
 * goes with tcb_reap(), otherwise it stays CLOSED until the program lets go of the handle.
 */
void tcb_finish(struct tcp *tcp, struct tcb *tcb, int error, uint64_t now);
/* Free TCB if it is over and no program holds it. Every entry point ends with this. */
void tcb_reap(struct tcp *tcp, struct tcb *tcb);
/* Both in one, of an orphan; it may have left the table of connections already. */
void tcb_discard(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* REF takes TCB's place in the table of connections. */
void tcb_hand_over(struct tcp *tcp, struct tcb *tcb, uint32_t ref);
void tcb_event(struct tcp *tcp, struct tcb *tcb, uint32_t what);
/* Bytes that may be written and not sent: CPL_OPT_NOTSENT_LOWAT, or the stack's. */
uint32_t tcb_notsent_lowat(const struct tcp *tcp, const struct tcb *tcb);
/* A third of the buffer is free, and what is unsent is below the low-water mark. */
bool tcb_writable(const struct tcp *tcp, const struct tcb *tcb);
/* CPL_EV_WRITABLE, if a send fell short and there is room, and so that it is not told too often. */
void tcb_tell_room(struct tcp *tcp, struct tcb *tcb);
/* Put TCB on its interface's ready list. */
void tcb_ready(struct tcp *tcp, struct tcb *tcb);
void tcb_why(struct tcb *tcb, enum cpl_why why, uint64_t now);
/* Data waits to be acknowledged, or no longer. */
void tcb_busy(struct tcb *tcb, bool busy, uint64_t now);
/* Route, path MTU and the segment sizes that follow from them. 0 or negative errno. */
int tcb_route(struct tcp *tcp, struct tcb *tcb, uint64_t now);
void tcb_set_pmtu(struct tcb *tcb, uint32_t pmtu);
/* RFC 9293 3.7.1: MMS_S and options decide Eff.snd.MSS. */
void tcb_update_mss(struct tcb *tcb);
/* How many SACK blocks a header has room for. */
unsigned sack_room(const struct tcb *tcb);
uint16_t tcp_rcv_mss(const struct cpl_addr *remote, uint32_t mtu);
uint16_t tcp_default_mss(const struct cpl_addr *remote);

/* ---- state.c ---- */

struct tcp_edge {
	uint8_t from, to; /* enum cpl_state */
	const char *why;
};
extern const struct tcp_edge tcp_edges[];
extern const unsigned tcp_edges_n;
/* A TCB that takes over from a half-open record begins in SYN-RECEIVED. */
void tcb_from_half(struct tcb *tcb);
/* The one writer of tcb.state; asserts that the edge is legal. */
void tcb_set_state(struct tcp *tcp, struct tcb *tcb, enum cpl_state state, uint64_t now);

/* ---- isn.c, port.c ---- */

uint32_t tcp_isn(const struct tcp *tcp, const struct conn_id *id, uint64_t now);
uint32_t tcp_ts_offset(const struct tcp *tcp, const struct conn_id *id);
static inline uint32_t tcp_ts_clock(uint64_t now)
{
	return (uint32_t)(now / CPL_MS);
}
static inline uint32_t tcp_seconds(uint64_t now)
{
	return (uint32_t)(now / CPL_SECOND);
}
/* Nobody has ID, or only a TIME-WAIT, *TW, that gives way: else that is NULL. */
bool port_id_free(struct tcp *tcp, const struct conn_id *id, struct time_wait **tw, uint64_t now);
/* A local port for ID, which has none, so that it is free (RFC 6056 3.3.4), or 0. */
uint16_t port_choose(struct tcp *tcp, struct conn_id *id, struct time_wait **tw, uint64_t now);
/* What answers ID comes to this stack, of several: config->cores. */
bool port_is_here(const struct tcp *tcp, const struct conn_id *id);
/* What a socket wants, or has, and what it allows others. */
struct port_claim {
	struct cpl_addr addr; /* all zero: both families; ::ffff:0.0.0.0: all of IPv4 */
	uint16_t port;
	bool v6only, reuseaddr, reuseport;
};
struct port_claim port_claim_of(const struct tcb *tcb);
/* Their addresses overlap. */
bool port_claims_meet(const struct port_claim *a, const struct port_claim *b);
int port_bind(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *local, uint64_t now);
void port_unbind(struct tcp *tcp, struct tcb *tcb);
/* The same when the connection is over, but not of a port that the program has named, as Linux. */
void port_over(struct tcp *tcp, struct tcb *tcb);
/* TCB, which is bound, may listen: nobody else does there. */
bool port_may_listen(struct tcp *tcp, const struct tcb *tcb);
struct tcb *port_listener(struct tcp *tcp, const struct cpl_addr *addr, uint16_t port, int ifindex);
/* The listener that a call of ID goes to. */
struct tcb *port_listener_for(struct tcp *tcp, const struct conn_id *id, int ifindex);

/* ---- held.c ---- */

/* A connection has PORT; EXCLUSIVE: without SO_REUSEADDR; NAMED: by bind(2), or as accepted. */
void port_hold(struct tcp *tcp, uint16_t port, bool exclusive, bool named);
void port_leave(struct tcp *tcp, uint16_t port);
/* One that has it allows it to others no more. */
void port_hold_alone(struct tcp *tcp, uint16_t port);
void ports_destroy(struct tcp *tcp);
/* Connections have the port of which one was NAMED: as Linux, it is given to nobody who calls. */
bool port_named(const struct tcp *tcp, uint16_t port);
/* Connections have the port that do not all allow it to CLAIM, by whatever address. */
bool port_held(const struct tcp *tcp, const struct port_claim *claim);
/* One of them stands in the way of CLAIM. */
bool port_held_against(struct tcp *tcp, const struct port_claim *claim);

/* ---- input.c and its parts ---- */

/* What a check of RFC 9293 3.10.7 says; only the parent acts on it. */
enum verdict {
	V_CONTINUE,
	V_DROP,	     /* silently */
	V_ACK,	     /* answer with an ACK, then drop */
	V_CHALLENGE, /* answer with a rate-limited ACK (RFC 5961), then drop */
	V_RST,	     /* answer with a RST, then drop */
	V_REFUSED,   /* the connection ends with ECONNREFUSED */
	V_RESET,     /* the connection ends with ECONNRESET */
	V_OVER,	     /* the connection ends normally */
	V_TIME_WAIT, /* it goes to TIME-WAIT */
};

/* For the event ring: a segment came in. */
void trace_seg_in(struct tcp *tcp, cpl_handle handle, const struct tcp_seg *seg, bool dropped,
		  uint64_t now);
void segment_arrives(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now);
/* False: what is not acceptable, or comes again, was answered only just now. */
bool input_may_answer(struct tcb *tcb, uint64_t now);
enum verdict input_syn_sent(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in,
			    uint64_t now);
enum verdict input_ack(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now);
enum verdict input_urgent(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now);
/* *FIN becomes true when the peer's FIN is next in order. */
enum verdict input_text(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, bool *fin,
			uint64_t now);
enum verdict input_fin(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* What a SYN offers is noted (options of RFC 9293 3.2, 7323, 2018). */
void input_syn_options(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);
void tcb_established(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* SND.UNA <- ACK, which the send map knows of: octets leave the send queue. */
void input_advance(struct tcp *tcp, struct tcb *tcb, uint32_t ack, uint64_t now);
void input_window(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);

/* A sample of the round trip, of an ACK when FLIGHT octets were in flight. */
void input_rtt(struct tcp *tcp, struct tcb *tcb, uint64_t sample, uint32_t flight, uint64_t now);
/* The text of SEG is what comes next, all of it fits: keep it. False: no memory, nothing is kept.
 */
bool input_text_next(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg);
/* ... and what follows from it, when the rest of the segment was dealt with. */
void input_text_taken(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);

/* Lent memory is kept for a large part of it, else copied: a frame is held whole. */
static inline bool lend_worth(const struct seg_in *in, uint32_t len)
{
	return in->lent && len >= 1024 && len >= in->lent->cap / 4;
}

/* ---- ooo.c ---- */

/* Keep [seq, seq + len) early; returns false when it was not kept. */
bool ooo_add(struct tcp *tcp, struct tcb *tcb, uint32_t seq, const struct seg_in *in,
	     const uint8_t *data, uint32_t len, bool fin);
/* Move what has become in order to the receive queue; true if the FIN came with it. */
bool ooo_deliver(struct tcp *tcp, struct tcb *tcb);
/* Let go of what lies farthest from RCV.NXT (RFC 2018 8 allows it); false: there is nothing. */
bool ooo_prune(struct tcp *tcp, struct tcb_io *io);
/* [start, end) came again: what the next ACK reports, first come first (RFC 2883 4). */
void dsack_note(struct tcb *tcb, uint32_t start, uint32_t end);
unsigned ooo_sack_blocks(const struct tcb *tcb, struct tcp_sack blocks[TCP_SACK_MAX]);
void ooo_clear(struct tcp *tcp, struct tcb_io *io);

/* ---- route.c ---- */

/*
 * MUST-53: the way back of a completed source route that IN came by: the recorded hops in reverse
 * (RFC 1122 4.2.3.8). n 0: it came by none.
 */
void source_route_back(const struct seg_in *in, struct source_route *route);
/* A segment of what the peer opened was believed: another route overrides the first. */
void source_route_again(struct tcp *tcp, struct tcb *tcb, const struct seg_in *in, uint64_t now);

/* ---- half.c ---- */

void half_init(struct tcp *tcp);
/* Its listener; NULL: that is closed, and HALF is to go. */
struct tcb *half_listener(const struct tcp *tcp, const struct half_open *half);
/* What it has beside its listener, or NULL. */
struct tcb_cold *half_cold(const struct tcp *tcp, const struct half_open *half);
cpl_handle half_handle(const struct tcp *tcp, const struct half_open *half);
/* HALF, just allocated with index I, becomes FROM and enters the tables. */
void half_enter(struct tcp *tcp, struct half_open *half, uint32_t i, const struct half_open *from);
void half_free(struct tcp *tcp, struct half_open *half);
/* It goes, and TCB takes its place in the table of connections. */
void half_hand_over(struct tcp *tcp, struct half_open *half, struct tcb *tcb);
/* The SYN,ACK has gone: wait for its ACK. */
void half_wait(struct tcp *tcp, struct half_open *half, uint64_t now);
/* A verdict is awaited: see half_next_event(). */
void half_pend(struct tcp *tcp, struct half_open *half);
/* One that is pending, and nobody was told of; or NULL. */
struct half_open *half_next_event(struct tcp *tcp);
uint64_t half_left(const struct half_open *half, uint64_t now);
uint64_t half_deadline(const struct tcp *tcp);
void half_advance(struct tcp *tcp, uint64_t now);
/* TCB listens no more. What it has is given up a part at a time: here, and by half_advance(). */
void listener_close(struct tcp *tcp, struct tcb *tcb, uint64_t now);

/* ---- listen.c, cookie.c ---- */

void listen_segment(struct tcp *tcp, struct tcb *listener, const struct seg_in *in, uint64_t now);
/* A SYN for LISTENER, whose answer has at least ISS_FLOOR as its ISS (0: no floor). */
void listen_syn(struct tcp *tcp, struct tcb *listener, const struct seg_in *in, uint32_t iss_floor,
		uint64_t now);
void half_segment(struct tcp *tcp, struct half_open *half, const struct seg_in *in, uint64_t now);
void half_send_synack(struct tcp *tcp, struct half_open *half, uint64_t now);
/* A connection from a completed handshake. NULL: no memory. */
struct tcb *half_to_tcb(struct tcp *tcp, const struct half_open *half, uint64_t now);
/* TCB, which is in the table of connections, waits for cpl_accept(). */
void listener_queue(struct tcp *tcp, struct tcb *listener, struct tcb *tcb);
/* Verdicts of a catch-all's embedder. */
int half_accept(struct tcp *tcp, struct half_open *half, uint64_t now);
void half_refuse(struct tcp *tcp, struct half_open *half);
/* HALF's ISS becomes a cookie. Returns the timestamp that its SYN,ACK has to have. */
uint32_t cookie_make(struct tcp *tcp, struct half_open *half, uint64_t now);
/* HALF rebuilt from the ACK of a cookie. False: no valid cookie. */
bool cookie_check(struct tcp *tcp, struct half_open *half, struct tcb *listener,
		  const struct seg_in *in, uint64_t now);

/* ---- fastopen.c, fastopen_server.c ---- */

/* An OPEN that wants it: true if a cookie, or none, is needed and at hand: data may go now. */
bool fastopen_open(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* The option of TCB's first SYN, or of its SYN,ACK. */
void fastopen_option(struct tcp *tcp, struct tcb *tcb, struct tcp_seg *seg, uint64_t now);
/* How much data that SYN may carry. */
uint32_t fastopen_room(const struct tcb *tcb);
/* The SYN,ACK came, which acknowledged what was; AGAIN: the SYN had gone again. */
void fastopen_synack(struct tcp *tcp, struct tcb *tcb, const struct tcp_seg *seg, bool again,
		     uint64_t now);
/* A retransmission time-out; LAST: and the connection is given up. */
void fastopen_timeout(struct tcp *tcp, struct tcb *tcb, bool last, uint64_t now);
/* TCB is over: what does it tell of the path? */
void fastopen_over(struct tcp *tcp, struct tcb *tcb, uint64_t now);

/*
 * A SYN with data or option, for a listener that has room for it. True: a connection was made of
 * HALF, and waits to be accepted. Else *COOKIE goes with the SYN,ACK, unless its len is 0.
 */
bool fastopen_syn(struct tcp *tcp, struct tcb *listener, const struct half_open *half,
		  const struct seg_in *in, struct tcp_cookie *cookie, uint64_t now);
/* TCB's handshake is done, or TCB is over; RESET: by a RST. */
void fastopen_settled(struct tcp *tcp, struct tcb *tcb, bool reset, uint64_t now);
/* LISTENER ends. */
void fastopen_listener_close(struct tcp *tcp, struct listener *l);
/* The peer has not heard of our SYN,ACK, which goes again. */
enum verdict fastopen_syn_again(struct tcb *tcb, uint64_t now);
static inline bool fastopen_is_child(const struct tcb *tcb)
{
	return tcb->state == CPL_SYN_RECEIVED && (tcb->fastopen & FASTOPEN_CHILD);
}

/* ---- stream.c: what was written, and how it is cut ---- */

/*
 * Append N octets, or as many as memory allows. WHOLE: as a socket of Linux takes data: a block
 * that was begun is filled, and no other begun where SNDBUF or the mark of what is not sent is
 * reached: stream_full(). CHUNK, if it is not NULL, is what DATA lies in, which is then not copied.
 */
size_t stream_write(struct tcp *tcp, struct tcb *tcb, struct chunk *chunk, const uint8_t *data,
		    size_t n, bool whole);
bool stream_full(const struct tcp *tcp, const struct tcb *tcb);
/* What was appended was all of one send, or its end, with CPL_MSG_* FLAGS. */
void stream_written(struct tcb *tcb, unsigned flags);
/* Octets of [SEQ, SEQ + LEN) up to the end of the first record that ends before its end. */
uint32_t stream_record(const struct tcb_io *io, uint32_t seq, uint32_t len);
/* A push ends in [SEQ, SEQ + LEN). */
bool stream_pushed(const struct tcb_io *io, uint32_t seq, uint32_t len);
/* All before NXT is sent. */
void stream_sent(struct tcb_io *io, uint32_t nxt);
/* TCB's device takes super-segments as they are. */
bool stream_device_cuts(const struct tcp *tcp, const struct tcb *tcb);
/* Payload that may leave at once. */
uint32_t stream_burst(const struct tcp *tcp, const struct tcb *tcb, uint32_t mss);

/* ---- output.c, output_syn.c, window.c, reply.c ---- */

/* Everything but flags, sequence number and payload; the ACK and window go with it. */
void output_fill(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint32_t seq,
		 uint16_t flags, uint64_t now);
/* Payload [seq, seq + *LEN) of the send queue, or whole segments of it. False: not now. */
/* Octets that cwnd lets go beyond what is in the network. */
uint32_t output_cwnd_room(const struct tcb *tcb);
/* What was sent, or might have been: LIMITED: cwnd is all in use. */
void output_usage(struct tcb *tcb, bool limited);
void output_trace(struct tcp *tcp, const struct tcb *tcb, const struct tcp_seg *seg, bool again,
		  uint64_t now);
bool output_attach(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint32_t seq,
		   uint32_t *len, uint32_t mss);
void output_detach(struct tcp *tcp, struct tcp_out *out);
/* An ACK goes with this segment: nothing is owed any more. */
void output_ack_goes(struct tcp *tcp, struct tcb *tcb, bool alone, uint64_t now);
/* The SYN or SYN,ACK, if it is due. */
bool output_syn(struct tcp *tcp, struct tcb *tcb, struct tcp_out *out, uint64_t now);

/* Something changed that may let TCB send: put it on the ready list if so. */
void tcb_kick(struct tcp *tcp, struct tcb *tcb);
uint32_t window_to_offer(struct tcp *tcp, struct tcb *tcb);
/* The edge to advertise in a segment sent now (SHLD-14, MUST-39); stores it. */
uint16_t window_advertise(struct tcp *tcp, struct tcb *tcb);
/* The program has read: is a window update due? */
void window_after_read(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* It is closed for want of memory alone: nobody will say when there is some again. */
bool window_starved(const struct tcb *tcb);
/* For a connection with a buffer of RCVBUF, which may grow. */
uint8_t window_scale(const struct tcp *tcp, uint32_t rcvbuf);
void rcvbuf_autotune(struct tcp *tcp, struct tcb *tcb, uint64_t now);
void rcvbuf_measure(struct tcb *tcb, const struct tcp_seg *seg, uint64_t now);
void sndbuf_autotune(struct tcp *tcp, struct tcb *tcb);
struct tcp_reply *reply_new(struct tcp *tcp, const struct conn_id *id);
/* RST for a segment, of IFINDEX, without connection (RFC 9293 3.10.7.1). */
void reply_rst(struct tcp *tcp, const struct conn_id *id, int ifindex, const struct tcp_seg *seg);
/* Rate limit of RFC 5961 7: may a challenge ACK go now? */
bool challenge_allowed(struct tcp *tcp, uint64_t now);

/* ---- timer.c ---- */

/* The earliest of TCB's timers changed. */
void timer_update(struct tcp *tcp, struct tcb *tcb);
/* The same where only those that are not before T changed. */
void timer_was_set(struct tcp *tcp, struct tcb *tcb, uint64_t t);
/* Look at TCB again in a moment: it lacks what nobody will announce. */
void timer_retry(struct tcp *tcp, struct tcb *tcb, uint64_t now);
void timer_stalled(struct tcp *tcp, struct tcb *tcb, uint64_t now);
void timer_rexmt_start(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* New data was sent, or something was acknowledged: the loss probe (RFC 8985 7.2). */
void timer_probe_schedule(struct tcb *tcb, uint64_t now);
void timer_rexmt_stop(struct tcp *tcp, struct tcb *tcb);
void timer_persist_start(struct tcp *tcp, struct tcb *tcb, uint64_t now);
void timer_keep_start(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/*
 * When to see whether a connection is quiet: after WAIT, or config.quiet_ns if that is longer; and
 * a little later: at a moment which the wheel comes to in one step.
 */
uint64_t timer_quiet(const struct tcp *tcp, uint64_t now, uint64_t wait);
/* The same for what has no io. */
void timer_quiet_start(struct tcp *tcp, struct tcb *tcb, uint64_t now, uint64_t wait);
/* FIN-WAIT-2 without a program ends by itself. */
void timer_fin_wait_2(const struct tcp *tcp, struct tcb *tcb, uint64_t now);
uint64_t tcb_keep_idle(const struct tcp *tcp, const struct tcb *tcb);
uint64_t tcb_keep_interval(const struct tcp *tcp, const struct tcb *tcb);
uint32_t tcb_keep_count(const struct tcp *tcp, const struct tcb *tcb);
/* R2 of RFC 9293 3.8.3 in force. */
uint64_t tcb_r2(const struct tcp *tcp, const struct tcb *tcb);

/* ---- pace.c ---- */

/* New data is about to go; whether the pacer holds it; LEN bytes left. */
void pace_before(struct tcb *tcb, uint64_t now);
/* cwnd has ROOM for less than there is to send: it waits for more. */
bool pace_gathers(const struct tcb *tcb, uint32_t room, uint32_t mss, uint64_t now);
/* Bytes/s; 0: not paced. */
uint64_t pace_rate(const struct tcb_io *io);
bool pace_holds(struct tcb *tcb, uint64_t now);
void pace_sent(struct tcb_io *io, uint32_t len, uint64_t now);

/* ---- plpmtu.c ---- */

/* The retransmission timer fired: was it for the size of what was sent? */
void plpmtu_timeout(struct tcb *tcb, uint64_t now);
/*
 * Payload of a probe to be sent now, or 0. AVAIL: bytes that wait to be sent; ROOM: that the
 * windows allow.
 */
uint32_t plpmtu_probe(const struct tcb *tcb, uint32_t avail, uint32_t room, uint64_t now);
void plpmtu_probed(struct tcb *tcb, uint32_t len);
/* An ACK or a timer was dealt with: what became of the probe. ACKED: it was delivered. */
void plpmtu_result(struct tcb *tcb, bool acked, uint64_t now);

/* ---- user.c: RFC 9293 3.10.1 to 3.10.6 ---- */

int tcp_open(struct tcp *tcp, const struct cpl_endpoint *local, struct tcb **tcb, uint64_t now);
int tcp_bind(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *local, uint64_t now);
int tcp_open_active(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *remote,
		    uint64_t now);
long tcp_open_active_data(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *remote,
			  const void *data, size_t n, unsigned flags, uint64_t now);
int tcp_open_passive(struct tcp *tcp, struct tcb *tcb, uint32_t backlog, uint64_t now);
int tcp_catch_all(struct tcp *tcp, int ifindex, uint32_t pending_max, struct tcb **tcb,
		  uint64_t now);
int tcp_accept(struct tcp *tcp, struct tcb *listener, struct tcb **tcb, uint64_t now);
/* The same as a socket of Linux takes data, see stream_write(); tcp_send(): what sndbuf holds. */
long tcp_send_whole(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, unsigned flags,
		    uint64_t now);
/* The same, not copied, of what is put at once into a chunk for N octets at most; or -ENOBUFS. */
int tcp_chunk(struct tcp *tcp, struct tcb *tcb, size_t n, struct chunk **chunk, uint64_t now);
long tcp_send_chunk(struct tcp *tcp, struct tcb *tcb, struct chunk *chunk, unsigned flags,
		    uint64_t now);
/* The N octets that CHUNK holds, all or none of them, without copying. */
long tcp_send_lent(struct tcp *tcp, struct tcb *tcb, struct chunk *chunk, uint32_t n,
		   unsigned flags, uint64_t now);
/* Where what tcp_receive() would give lies: as many pieces as there are, at most MAX. */
int tcp_borrow(struct tcp *tcp, struct tcb *tcb, struct chunk_piece *pieces, unsigned max);
long tcp_send(struct tcp *tcp, struct tcb *tcb, const void *data, size_t n, unsigned flags,
	      uint64_t now);
/* As cpl_writable(). */
int tcp_writable(struct tcp *tcp, struct tcb *tcb);
long tcp_receive(struct tcp *tcp, struct tcb *tcb, void *data, size_t n, unsigned flags,
		 uint64_t now);
int tcp_shutdown(struct tcp *tcp, struct tcb *tcb, uint64_t now);
int tcp_close(struct tcp *tcp, struct tcb *tcb, uint64_t now);
int tcp_abort(struct tcp *tcp, struct tcb *tcb, uint64_t now);
/* A RST, if the state owes the peer one (3.10.5). */
void tcp_reset_peer(struct tcp *tcp, struct tcb *tcb);
/* disconnect.c: ABORT, but the handle stays, CLOSED with its options; bound to LOCAL, if not NULL.
 */
int tcp_disconnect(struct tcp *tcp, struct tcb *tcb, const struct cpl_endpoint *local,
		   uint64_t now);
int tcp_set_option(struct tcp *tcp, struct tcb *tcb, enum cpl_option option, uint64_t value,
		   uint64_t now);
int tcp_get_option(struct tcp *tcp, struct tcb *tcb, enum cpl_option option, uint64_t *value);

/* ---- info.c ---- */

void tcp_info_tcb(struct tcp *tcp, const struct tcb *tcb, struct cpl_info *info, uint64_t now);
void tcp_info_half(struct tcp *tcp, const struct half_open *half, struct cpl_info *info,
		   uint64_t now);
void tcp_info_time_wait(struct tcp *tcp, const struct time_wait *tw, struct cpl_info *info,
			uint64_t now);
/* As cpl_info_walk(). */
unsigned tcp_info_walk(struct tcp *tcp, uint64_t *cursor, struct cpl_info *info, unsigned max,
		       uint64_t now);

#endif
