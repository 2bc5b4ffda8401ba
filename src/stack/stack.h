/* SPDX-License-Identifier: MIT */
/*
 * One stack: interfaces, what IP keeps, TCP, UDP, and the frames on their way out. The files of
 * src/stack share this header; the public calls stand in api.c.
 */
#ifndef STACK_STACK_H
#define STACK_STACK_H

#include <couplet/couplet.h>

#include "base/assert.h"
#include "base/chunk.h"
#include "base/hash.h"
#include "ip/neigh.h"
#include "ip/pmtu.h"
#include "ip/reasm.h"
#include "ip/route.h"
#include "tcp/tcp.h"
#include "trace/ring.h"
#include "wire/checksum.h"
#include "wire/ether.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/udp.h"

#define FRAME_HEADERS 144 /* Ethernet, IPv4 with options or IPv6 with fragment header, TCP */
#define FRAME_PIECES  TCP_PIECES
#define FRAMES_SPARE  64
#define REPLIES_WAIT  256  /* answers that wait for a device to ask for frames */
#define TXQ_MAX	      4096 /* frames that wait in one interface's queue */

/* A frame on its way out: in an interface's queue, with a neighbour, or at the device. */
struct frame {
	struct list link;
	struct cpl_addr next_hop;
	cpl_handle handle;   /* of a connection's segment, with ... */
	uint32_t start, end; /* ... its send map record */
	uint32_t payload_len;
	uint16_t off; /* headers stand in headers[off, off + len) */
	uint16_t len;
	uint16_t gso_size;
	uint16_t csum_start, csum_offset; /* from the IP header on */
	uint8_t ifindex;
	uint8_t pieces_n;
	bool ipv6;
	bool ecn; /* CWR must not be repeated in each segment that is cut */
	bool at_device;
	bool again; /* if the device refuses it, it is offered once more */
	bool broadcast;
	uint32_t index; /* in the pool; all before it starts as 0 */
	uint8_t headers[FRAME_HEADERS];
	struct chunk_piece pieces[FRAME_PIECES];
};

/* The super-segment that is being cut for a device, how far that is, and what all packets share. */
struct cutting {
	struct frame *frame; /* NULL: none */
	const uint8_t *data; /* the payload that is next, and ... */
	/* What changes with each packet stands apart: side by side, compilers make a vector of it.
	 */
	uint32_t here;	  /* ... how much more of its piece there is */
	uint32_t hlen;	  /* of TCP */
	uint32_t plain;	  /* of here, for packets of full size, neither first nor last */
	uint16_t ip, tcp; /* where the headers begin in the frame */
	uint32_t left;	  /* of the payload */
	uint8_t piece;
	uint8_t once, first; /* flags of the last packet, of the first */
	bool offload;	     /* the device makes TCP's checksum */
	uint32_t seq;	     /* of the next */
	uint64_t ip_sum;     /* of the IPv4 header, but its length */
	uint64_t pseudo;     /* of TCP's pseudo-header, but the length */
	uint64_t tcp_sum;    /* of that and the header, but the sequence number */
};

struct iface {
	struct cpl_iface_config config;
	struct cutting cutting;
	struct list txq; /* frames ready to go, link header included */
	uint32_t txq_n;
	uint64_t defend_next; /* no ARP announcement in defence before */
	bool used;
	bool up;
};

/* Duplicate address detection of one address (RFC 4862 5.4). */
struct dad {
	struct list link;
	struct cpl_addr addr;
	uint64_t deadline;
	uint8_t ifindex;
	uint8_t probes;
	uint8_t nonce[6]; /* of its solicitations (RFC 7527) */
	bool looped;	  /* the link brought the last one back */
};

struct udp_datagram {
	struct list link;
	struct cpl_endpoint from, to; /* to.ifindex: where it came in */
	uint64_t time;
	uint8_t tos, ttl;
	struct chunkq data;
};

/* What an ICMP error about a datagram says. */
struct udp_icmp {
	int error; /* errno */
	bool too_big, ipv6, local;
	uint8_t type, code;
	uint32_t info; /* the MTU, if too_big */
	struct cpl_addr offender;
	const uint8_t *payload; /* as quoted */
	uint32_t payload_len;
};

struct udp_report {
	struct list link;
	struct udp_icmp icmp;
	struct cpl_endpoint to; /* where the datagram was sent to */
	uint32_t len;
	uint8_t data[512];
};

struct udp_socket {
	struct list link;    /* chain by port */
	struct list event;   /* on stack->udp_events */
	struct list queue;   /* struct udp_datagram */
	struct list reports; /* struct udp_report, if recverr */
	struct cpl_endpoint local;
	struct cpl_endpoint remote; /* only what comes from there; port 0: from anyone */
	uint64_t user;
	uint64_t drops;
	uint64_t made;
	uint32_t gen;
	uint32_t queued; /* bytes of data */
	uint32_t memory; /* and what they take with all that keeps them */
	uint8_t ifindex; /* catch-all */
	uint8_t error;	 /* of the last ICMP error about it */
	bool catch_all;
	uint32_t pid, fd; /* for snapshots only */
	char program[16];
	bool v6only, reuseaddr, reuseport;
	bool bsd;     /* a BSD socket: it hears of errors as on Linux ... */
	bool recverr; /* ... and of all (IP_RECVERR) */
	uint8_t reports_n;
	uint32_t rcvbuf; /* limit of memory */
};

/* What an address is to us. */
#define DST_OWN	      1u
#define DST_TENTATIVE 2u /* ours, once duplicate address detection has passed */
#define DST_MULTICAST 4u
#define DST_BROADCAST 8u
#define DST_SOURCE    16u /* may be the source of a packet (MUST-63) */
#define DST_LOOPBACK  32u
#define DST_SLOTS     64

struct dst {
	struct cpl_addr addr;
	struct route_result route; /* while routed, from route.source */
	uint32_t mtu;
	uint32_t route_generation;
	uint32_t pmtu_generation;
	uint8_t is;	/* DST_* */
	uint8_t hop_is; /* the next hop of the route */
	bool used;
	bool routed;
};

/* Segments of one connection, one after the other: what TCP takes as one (gro.c). */
#define RUN_MAX	  48u
#define RUN_BYTES 65000u

/* Headers are compared by so much at once. */
typedef uint64_t run_word __attribute__((vector_size(16)));
#define RUN_WORDS 8u /* Ethernet, IPv6, TCP with options */
#define RUN_LEAST 4u /* a frame that joins is as long at least */

struct run {
	struct seg_in in; /* the first */
	struct ip_hdr ip;
	unsigned pieces_n;   /* 0: there is no run */
	uint32_t frame_len;  /* of the first */
	uint32_t mss;	     /* its text */
	uint32_t next;	     /* sequence number */
	uint32_t room;	     /* for text to join; 0: nothing joins any more */
	uint32_t hlen;	     /* of all headers */
	uint32_t link, iphl; /* of the link's; of IP's */
	uint32_t tcp;	     /* where TCP's begins */
	uint8_t *to, *end;   /* where its text lands; NULL: it stays where it is */
	struct tcb *tcb;     /* whose text lands */
	uint16_t tcp_sum;    /* of what is the same in all TCP headers and their pseudo-headers */
	uint16_t ip_sum;     /* ... in all IPv4 headers */
	uint16_t flags;	     /* of the last */
	unsigned words;	     /* of these: */
	run_word first[RUN_WORDS]; /* the headers */
	run_word like[RUN_WORDS];  /* what is the same in those that are as long ... */
	run_word mask[RUN_WORDS];  /* ... and in all */
	struct seg_piece pieces[RUN_MAX];
};

#define UDP_BUCKETS   1024
#define UDP_QUEUE_MAX 212992 /* bytes of memory, as Linux's rmem_default */

struct cpl_stack {
	struct cpl_config config;
	struct mem mem;
	struct cpl_counters counters;
	struct trace_ring trace;
	struct chunk_mem chunks;
	struct prng prng;
	struct siphash_key key; /* of the tables of IP */

	struct iface ifaces[IFACES_MAX + 1]; /* from 1 on */
	struct route_table routes;
	struct neigh_table neigh;
	struct reasm reasm;
	struct pmtu_cache pmtu;
	struct dst dsts[DST_SLOTS];
	struct dst dst_once; /* a way that is not remembered */
	struct tcp tcp;

	struct pool frames;
	struct list loop; /* frames to our own addresses */
	struct pool dads;
	struct list dad_list;

	struct pool udp_sockets, datagrams, udp_reports;
	struct list udp_ports[UDP_BUCKETS];
	struct udp_socket *udp_catch_all[IFACES_MAX + 1];
	struct list udp_events;

	uint64_t icmp_second;
	uint32_t icmp_left;
	bool in_loop;
	/* IPv4 source and destination of a segment that was let in, as they stand in it: see
	 * plain.c */
	uint64_t pair;
	uint32_t pair_generation; /* of the routes then */
	struct ip_hdr pair_ip;
	const struct dst *way; /* of the last plain segment, or NULL: its entry was changed ... */
	uint64_t way_pair;     /* ... and source and destination of that */
	sum_fn sum;	       /* sum_add() for this processor */
	sum_copy_fn sum_copy;  /* sum_copy() */
	struct frame *spare[FRAMES_SPARE]; /* as many are kept at hand */
	unsigned spare_n;
	unsigned batch;			   /* as many frames follow in this call, ... */
	const struct cpl_frame *following; /* ... the first of them here */
	struct run run;
	uint8_t *scratch; /* SCRATCH bytes for cutting a packet, as many for one that loops */
};

#define SCRATCH 65536u

/* A packet that came in. */
struct packet {
	const uint8_t *p; /* IP header */
	struct ip_hdr ip;
	int ifindex;
	bool csum_ok;
	bool to_us_alone; /* not by link or IP broadcast or multicast */
	uint32_t gso_size;
	struct chunk *lent;   /* the whole frame, or NULL */
	const uint8_t *frame; /* it came in, valid until all of the batch is done; or NULL */
	uint32_t frame_len;
};

/* ---- dst.c ---- */
/* What ADDR is; valid until the next call. */
const struct dst *dst_get(struct cpl_stack *s, const struct cpl_addr *addr);
/* As route_lookup(), and the path MTU; valid until the next call. NULL: *ERR says why. */
const struct dst *dst_path(struct cpl_stack *s, const struct cpl_addr *addr,
			   const struct cpl_addr *source, int ifindex, int *err, uint64_t now);

/* ---- input.c ---- */
/* False: F is lent, and no memory is left to remember that: it was not taken. */
bool input_frame(struct cpl_stack *s, int ifindex, const struct cpl_frame *f, uint64_t now);
/* An IP packet of LEN bytes at most; PKT's ifindex, csum_ok, to_us_alone, gso_size, lent are set.
 */
void input_ip(struct cpl_stack *s, const uint8_t *p, uint32_t len, struct packet *pkt,
	      uint64_t now);

/* ---- gro.c ---- */
/* There is a run, and F joins it: it was taken. */
bool run_joins(struct cpl_stack *s, const struct cpl_frame *f);
/*
 * The frame that follows looks as if it went on at SEQ where a segment ends whose ports are at TCP,
 * OFF octets into its frame: else a run of one would only cost.
 */
bool run_may_follow(const struct cpl_stack *s, const uint8_t *tcp, uint32_t off, uint32_t seq);
/* IN, the segment of PKT, has been parsed and checked. True: a run begins with it. */
bool run_begins(struct cpl_stack *s, const struct packet *pkt, const struct seg_in *in);
/* Hand the run, if there is one, to TCP. */
void run_ends(struct cpl_stack *s, uint64_t now);

/* ---- frame.c, output.c ---- */
struct frame *frame_new(struct cpl_stack *s);
void frame_free(struct cpl_stack *s, struct frame *f);
/* N bytes of payload more, copied. False: no memory. */
bool frame_copy(struct cpl_stack *s, struct frame *f, const uint8_t *data, uint32_t n);
/* Space for LEN more bytes of header in front. */
uint8_t *frame_push(struct frame *f, unsigned len);
/*
 * F holds an IP packet for next_hop on ifindex: to the interface's queue, or to the neighbour's. F
 * is taken in any case.
 */
void output_frame(struct cpl_stack *s, struct frame *f, uint64_t now);
/*
 * Send an IP packet whose transport header and payload are in F: route (IFINDEX 0: any), source if
 * H has none, IP header, fragments if it is too big and may be cut. F is taken. Returns 0 or a
 * negative errno.
 */
int output_ip(struct cpl_stack *s, struct frame *f, struct ip_hdr *h, int ifindex, uint64_t now);
/* What TCP wants to say without a connection, what waits on neighbours, what loops back. */
void output_run_all(struct cpl_stack *s, uint64_t now);
static inline bool output_waits(const struct cpl_stack *s)
{
	return !list_empty(&s->loop) || !list_empty(&s->tcp.reply_queue) ||
	       !list_empty(&s->neigh.actions);
}
/* What waits, or is there nothing, waits well until something leaves: then it needs no frame. */
static inline bool output_may_wait(const struct cpl_stack *s)
{
	return list_empty(&s->loop) && list_empty(&s->neigh.actions) &&
	       s->tcp.replies.in_use - s->tcp.replies.spare_n < REPLIES_WAIT;
}
static inline void output_run(struct cpl_stack *s, uint64_t now)
{
	if (output_waits(s))
		output_run_all(s, now);
}
/* F is to go to its next_hop, which IS so: DST_*. */
void output_hop(struct cpl_stack *s, struct frame *f, uint8_t is, uint64_t now);
/*
 * The way to TO from OUT's connection, if it still leads where that thinks: OUT was made for that
 * interface, its MTU and what it can cut and sum. Otherwise the connection follows the route, and
 * OUT is not sent: NULL.
 */
const struct dst *output_way(struct cpl_stack *s, struct tcp_out *out, const struct cpl_addr *to,
			     uint64_t now);
/* OUT does not leave now: at once again, or when a moment has passed. */
void output_unsent(struct cpl_stack *s, struct tcp_out *out, bool at_once, uint64_t now);
/* The interface went down: what waits for it will not go. */
void output_flush(struct cpl_stack *s, int ifindex, uint64_t now);
bool output_again(struct cpl_stack *s, struct frame *f);
/* The next frame for the device, or NULL. */
struct frame *output_next(struct cpl_stack *s, int ifindex, uint64_t now);
/* What the device is to know of F, of which LEN bytes lie at DATA. */
void output_describe(const struct frame *f, const void *data, uint32_t len, struct cpl_out *out);

/* SUM and that of F's payload, which begins AT bytes into what is summed. */
uint64_t frame_sum(const struct frame *f, sum_fn add, uint64_t sum, size_t at);

/* ---- ahead.c ---- */
#define INPUT_AHEAD 64u	  /* frames: what they need is still there when their turn comes */
#define INPUT_FAR   4096u /* TCBs awake: what fewer need lies in the caches */
/* What the first INPUT_AHEAD of the N frames at F need is asked for. */
void input_ahead(struct cpl_stack *s, int ifindex, const struct cpl_frame *f, unsigned n);

/* ---- plain.c ---- */
/* F is a segment that mostly comes: it was dealt with. False: nothing was done. */
bool input_plain(struct cpl_stack *s, int ifindex, const struct cpl_frame *f, uint64_t now);
/* The source and destination of the packet at IP, IPv4, are a peer and ours alone. */
void input_plain_learn(struct cpl_stack *s, const struct packet *pkt);
/* Where cpl_output_copy() is to put a frame. */
struct output_to {
	uint8_t *data;
	size_t size;
	struct cpl_out *what; /* or NULL */
	int ifindex;
	uint32_t len; /* of the frame that is there now; 0: none yet */
};
/*
 * OUT is a segment that mostly goes: it was sent, or could not be. False: nothing was done. With
 * TO, it may be there.
 */
bool output_plain(struct cpl_stack *s, struct tcp_out *out, struct output_to *to, uint64_t now);
/* R, if its peer is that of the last plain segment; TO as above. False: nothing was done. */
bool reply_plain(struct cpl_stack *s, const struct tcp_reply *r, struct output_to *to,
		 uint64_t now);
/*
 * TCB is ready, and before it nothing else: all that it has to send has left, in TO's memory, which
 * mostly is so. False: nothing was done.
 */
bool output_whole(struct cpl_stack *s, struct tcb *tcb, struct output_to *to, uint64_t now);
/* output.c: see cpl_output_copy(). */
int output_copy(struct cpl_stack *s, int ifindex, void *data, size_t size, struct cpl_out *what,
		uint64_t now);

/* ---- cut.c ---- */
/* Whether F has to be cut for the device of IFACE: then it is IFACE's, and cut_next() follows. */
bool cut_begin(struct iface *iface, struct frame *f);
/* The next packet of it; NULL: no memory. */
struct frame *cut_next(struct cpl_stack *s, struct iface *iface);
/* The next packet of it to TO, and what it is to WHAT, if that is not NULL: see cpl_output_copy().
 */
int cut_copy(struct cpl_stack *s, struct iface *iface, uint8_t *to, size_t size,
	     struct cpl_out *what);
/* What is left of it, as a frame that is the caller's; NULL: there is none. */
struct frame *cut_stop(struct iface *iface);

/* ---- arp.c, nd.c ---- */
void arp_input(struct cpl_stack *s, int ifindex, const uint8_t *p, uint32_t len, uint64_t now);
void arp_solicit(struct cpl_stack *s, const struct neigh *n, bool unicast, uint64_t now);
void nd_input(struct cpl_stack *s, const struct packet *pkt, const struct icmp_msg *m,
	      uint64_t now);
void nd_solicit(struct cpl_stack *s, const struct neigh *n, bool unicast, uint64_t now);
int dad_start(struct cpl_stack *s, int ifindex, const struct cpl_addr *addr, uint64_t now);
void dad_advance(struct cpl_stack *s, uint64_t now);
uint64_t dad_deadline(const struct cpl_stack *s);
void dad_stop(struct cpl_stack *s, int ifindex, const struct cpl_addr *addr);

/* ---- icmp.c ---- */
void icmp_input(struct cpl_stack *s, const struct packet *pkt, uint64_t now);
enum icmp_error {
	ICMP_ERR_PORT,	     /* destination unreachable: port */
	ICMP_ERR_PROTOCOL,   /* protocol, or parameter problem: next header */
	ICMP_ERR_REASSEMBLY, /* time exceeded in reassembly */
	ICMP_ERR_PROBLEM,    /* IPv6 parameter problem */
};
/* Answer PKT with an error, if RFC 1122 3.2.2 and RFC 4443 2.4 let us and the rate does. */
void icmp_error(struct cpl_stack *s, const struct packet *pkt, enum icmp_error what, uint8_t code,
		uint32_t pointer, uint64_t now);
/* The same about a packet of which only the start is left. */
void icmp_error_quote(struct cpl_stack *s, const uint8_t *quote, uint32_t len, int ifindex,
		      enum icmp_error what, uint64_t now);
bool icmp_allowed(struct cpl_stack *s, uint64_t now);
/* A packet of ours could not be delivered here: its sender is told as if ICMP had come. */
void icmp_local_unreachable(struct cpl_stack *s, const struct frame *f, uint64_t now);

/* ---- udp.c ---- */
void udp_input(struct cpl_stack *s, const struct packet *pkt, uint64_t now);
struct udp_socket *udp_find(struct cpl_stack *s, cpl_handle h);
/* False: no socket of ours can have sent it. Error 0: only ask. */
bool udp_icmp_error(struct cpl_stack *s, const struct icmp_quote *q, const struct udp_icmp *e);
/* Whose a datagram from FROM to TO is. */
struct udp_socket *udp_for(struct cpl_stack *s, const struct cpl_endpoint *to,
			   const struct cpl_endpoint *from);
void udp_info(struct cpl_stack *s, const struct udp_socket *u, struct cpl_info *info, uint64_t now);
int udp_close(struct cpl_stack *s, struct udp_socket *u);
bool udp_next_event(struct cpl_stack *s, struct cpl_event *event);

#endif
