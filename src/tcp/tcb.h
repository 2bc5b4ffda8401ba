/* SPDX-License-Identifier: MIT */
/*
 * The transmission control block: one end of one connection (RFC 9293 section 3.3.1, in its order
 * and words), and its smaller forms: a connection at rest, a half-open connection, a TIME-WAIT
 * record, a listener.
 *
 * struct tcb holds what a connection needs from one segment to the next. What it needs only while
 * data moves (streams, send map, recovery, congestion state, fast timers) is struct tcb_io: it
 * comes with the first data and goes when the connection has been quiet for a while. Then the TCB
 * itself is packed into a struct tcb_rest (rest.c), until a segment, a call or a timer needs it
 * again.
 */
#ifndef TCP_TCB_H
#define TCP_TCB_H

#include <couplet/couplet.h>

#include "base/chunk.h"
#include "base/list.h"
#include "base/seq.h"
#include "base/wheel.h"
#include "cc/cc.h"
#include "loss/recovery.h"
#include "loss/rtt.h"
#include "loss/sendmap.h"
#include "wire/tcp.h"

/* Who talks to whom. */
struct conn_id {
	struct cpl_addr local, remote;
	uint16_t lport, rport;
};

/* First in each of tcb and half_open: a member of the demultiplexing table. */
struct demux_node {
	struct conn_id id;
	uint32_t next; /* reference to the next of the chain, see demux.c */
};

/* What the handle of a connection names, wherever the connection is now. */
struct conn_slot {
	uint32_t ref; /* to a TCB, or to what it was packed into */
	uint32_t gen; /* the other half of the handle */
};

/* A connection at rest. */
struct tcb_rest {
	uint32_t next; /* as demux_node.next */
	uint32_t hash; /* of its addresses and ports */
	uint32_t slot;
	uint32_t timer;	 /* index of its struct rest_timer, or POOL_NONE */
	uint8_t bytes[]; /* what tcb_pack() made */
};

/* Of a connection at rest: its keep-alive timer, or that of FIN-WAIT-2. */
struct rest_timer {
	struct wheel_node node;
	uint32_t slot;
};

/* Flags of a TCB. */
#define TCB_PASSIVE	 (1u << 0) /* MUST-11: opened by the peer */
#define TCB_WSCALE	 (1u << 1) /* options agreed */
#define TCB_TS		 (1u << 2)
#define TCB_SACK	 (1u << 3)
#define TCB_NODELAY	 (1u << 4)
#define TCB_CORK	 (1u << 5)
#define TCB_KEEPALIVE	 (1u << 6)
#define TCB_ORPHAN	 (1u << 7) /* the program has closed its handle */
#define TCB_FIN_QUEUED	 (1u << 8) /* the program has closed its side: FIN follows the data */
#define TCB_FIN_SENT	 (1u << 9)
#define TCB_FIN_RECEIVED (1u << 10) /* rcv_nxt is past the peer's FIN */
#define TCB_ACK_NOW	 (1u << 11)
#define TCB_DELACK	 (1u << 12) /* an ACK is owed, the timer runs */
#define TCB_PROBE	 (1u << 13) /* a window or keep-alive probe is to be sent */
#define TCB_PERSIST	 (1u << 14) /* io->t_rexmt is the persist timer */
#define TCB_URG_OUT	 (1u << 15) /* snd_up is ahead of snd_una */
#define TCB_URG_IN	 (1u << 16) /* rcv_up is ahead of what was read */
#define TCB_OOB_INLINE	 (1u << 17)
#define TCB_OOB_DUE	 (1u << 18) /* the program has not had the urgent octet by itself */
#define TCB_WANT_WRITE	 (1u << 19) /* a send fell short: say when there is room */
#define TCB_SNDBUF_FIXED (1u << 20)
#define TCB_RCVBUF_FIXED (1u << 21)
#define TCB_NO_SOFT	 (1u << 22) /* SHLD-20: no soft error events */
#define TCB_REUSEADDR	 (1u << 23)
#define TCB_LINGER_DROP	 (1u << 24)
#define TCB_V6ONLY	 (1u << 25)
#define TCB_HELD	 (1u << 26) /* in a listener's accept queue */
#define TCB_BOUND	 (1u << 27) /* in the table of bound ports */
#define TCB_HASHED	 (1u << 28) /* in the demultiplexing table */
#define TCB_PINGPONG	 (1u << 29) /* interactive: ACKs ride on answers */
#define TCB_MORE	 (1u << 30) /* the last send said that more follows */
#define TCB_SENT_ALL_DUE (1u << 31) /* CPL_EV_SENT_ALL is to come */

/* Bits of tcb->ecn (RFC 3168); none is set with accurate ECN. */
#define ECN_AGREED  1u
#define ECN_ECHO    2u /* ECE goes with each ACK */
#define ECN_CWR_DUE 4u /* CWR goes with the next new data */

/* Bits of tcb->fastopen (RFC 7413). */
#define FASTOPEN_WANTED	  1u   /* the SYN carries the option, or data without it */
#define FASTOPEN_SENT	  2u   /* the SYN carried the option */
#define FASTOPEN_EXP	  4u   /* as an experiment's */
#define FASTOPEN_DATA	  8u   /* it carried data */
#define FASTOPEN_ACKED	  16u  /* which the SYN,ACK acknowledged: sent by us or by the peer */
#define FASTOPEN_DEFERRED 32u  /* the SYN awaits the first data */
#define FASTOPEN_CHILD	  64u  /* opened by a SYN with a good cookie */
#define FASTOPEN_RENEW	  128u /* ... whose key is on its way out: the SYN,ACK brings another */
#define FASTOPEN_CHECK	  256u /* the first after a time without: is the path better? */

/* tcb->fastopen_fail, as Linux numbers it. */
enum fastopen_fail {
	FASTOPEN_NO_FAIL,
	FASTOPEN_NO_COOKIE,
	FASTOPEN_NOT_ACKED,
	FASTOPEN_SYN_AGAIN,
};

/* Flags of struct accecn. */
#define ACC_NO_ECT     1u   /* what we send is not ECN-capable: not to be trusted, or not allowed */
#define ACC_DEAF       2u   /* nor is feedback answered (3.2.2.1 note 1, 3.2.2.4) */
#define ACC_HANDSHAKE  4u   /* the next pure ACK has the handshake encoding of ACE */
#define ACC_AWAIT_ACK  8u   /* SYN-RECEIVED: what comes next may have it */
#define ACC_FIRST      16u  /* no ACE counter has come yet */
#define ACC_CE_LAST    32u  /* the packet that came last was marked */
#define ACC_OPT_DUE    64u  /* the path is to be tested: an option goes, whatever changed */
#define ACC_OPT_DATA   128u /* ... and once more on the first data of a client */
#define ACC_OPT_OFF    256u /* options do not get through to the peer: none is sent */
#define ACC_OPT_SEEN   512u /* the peer's options come */
#define ACC_OPT_IGNORE 1024u /* they were found zeroed: not believed (3.2.3.2.4) */
#define ACC_OPT_SENT   2048u /* the last ACK had one */
#define ACC_EVER_E0B   4096u /* counters of ours that have changed at some time */
#define ACC_EVER_CEB   8192u
#define ACC_EVER_E1B   16384u
#define ACC_LAST_E1    32768u	  /* of the two of ECT, E1B changed last */
#define ACC_OPT_TRIAL  (1u << 17) /* the first data with an option is on its way */
#define ACC_OPT_TRIED  (1u << 18) /* ... or has been */
#define ACC_TOLD_E1    65536u	  /* ... when an option went last */

/* Accurate ECN of one connection that agreed to it (RFC 9768); names are its section 3.2's. */
struct accecn {
	/* Data receiver: what came. Bytes are counted of data only. */
	uint32_t r_cep, r_ceb, r_e0b, r_e1b;
	/* Data sender: what the peer says that it received. */
	uint32_t s_cep, s_ceb, s_e0b, s_e1b;
	uint32_t told_ceb, told_e0b, told_e1b; /* r_* as the last option had them */
	uint32_t cep_at_option;		       /* s_cep when the peer's last option was read */
	uint32_t acked_since;		       /* packets acknowledged since then */
	uint32_t round_end;		       /* every packet marked? one round trip ends here */
	uint32_t round_acked, round_ce;	       /* bytes */
	uint32_t flags;			       /* ACC_* */
	uint16_t acked_avg; /* packets that an ACK acknowledges, on average, in 1/16 */
	uint8_t ce_pending; /* marks since the last ACK */
	uint8_t ce_rounds;  /* round trips in a row with nothing but marks */
	uint8_t synack_ecn; /* the ECN field of the SYN or SYN,ACK that came last */
	uint8_t dups;	    /* data that came again although ACKs with options went */
};

/* Received early: one range of the out-of-order queue. */
struct ooo_range {
	struct list link; /* by sequence number */
	struct list
		recent; /* what changed last comes first: the order of SACK blocks (RFC 2018 4) */
	uint32_t start, end;
	bool fin; /* the FIN is the last octet of [start, end) */
	struct chunkq data;
};

/* Microseconds, modulo 2^48: a sum of time that must last 8 years, or when something was. */
struct us48 {
	uint64_t us : 48;
} __attribute__((packed));

static inline struct us48 us48_of(uint64_t ns)
{
	return (struct us48){ ns / 1000 };
}

static inline uint64_t us48_ns(struct us48 t)
{
	return t.us * 1000;
}

/* The time ago that T was, NOW: any clock will do, and the years that it counts from. */
static inline uint64_t us48_ago(struct us48 t, uint64_t now)
{
	return (struct us48){ now / 1000 - t.us }.us * 1000;
}

#define STREAM_MARKS 16

/* In the stream that is not sent yet: a push or a record ends before SEQ. */
struct stream_mark {
	uint32_t seq;
	bool record;
};

/* What a connection needs while data moves. */
struct tcb_io {
	struct sendmap map;
	struct recovery recovery;

	/* From here on to cc all is 0 at first. */
	struct chunkq sndq;   /* from snd_base on: sent and not acknowledged, then not sent */
	uint32_t snd_base;    /* sequence number of sndq's first octet */
	uint32_t push_seq;    /* a push ends before this; valid while it is ahead of snd_una */
	uint32_t block_seq;   /* where the last block of what was written begins: stream.c */
	uint32_t forced_push; /* where the last push was, of the program or for a full block */
	uint8_t marks_n;
	bool no_push;	    /* the last send said that more follows */
	uint32_t small_end; /* end of the last short segment sent (Minshall's Nagle) */

	struct chunkq rcvq; /* in order, not read */
	struct list ooo;    /* struct ooo_range */
	struct list ooo_recent;
	struct ooo_range *ooo_fill; /* that was last extended below the highest; NULL: none */
	uint32_t ooo_n, ooo_bytes;
	struct tcp_sack dsack;	/* to be reported once; start == end: none (RFC 2883) */
	uint32_t dup_acks_owed; /* for a peer without SACK: one each (RFC 5681 3.2) */

	uint64_t t_rexmt; /* retransmission or persist timer; CPL_NEVER: off */
	uint64_t t_delack;
	uint64_t t_quiet; /* when this block may go */
	uint64_t t_cork;
	uint64_t t_pace;   /* when pacing lets more go; CPL_NEVER: nothing waits for that */
	uint64_t pace_at;  /* when the next may leave */
	uint64_t pace_max; /* bytes/s: CPL_OPT_PACING_MAX; 0: no limit */
	uint64_t progress; /* when the peer last acknowledged something new, or the flight began */
	uint64_t last_sent;
	uint64_t why_since;
	uint64_t why_ns[CPL_WHYS];
	uint64_t stalled_at; /* when it last had no route or no neighbour, and ... */
	uint64_t stall_ns;   /* ... how long after that it tries again */
	uint64_t busy_since; /* when the send queue filled; CPL_NEVER: it is empty */
	uint64_t busy_ns;
	struct rate_sample rate; /* the delivery rate that a snapshot tells */

	/* Receive buffer autotuning: what the program read within a round trip. */
	uint64_t drs_time;
	uint32_t drs_seq;
	uint32_t drs_most;   /* most that it ever read in one */
	uint32_t quick_left; /* octets to come that ask for an ACK at once: the window grows */
	uint32_t rcv_rtt_us;
	uint32_t rcv_rtt_seq;
	uint64_t rcv_rtt_time;
	uint32_t unacked_in;		   /* octets received since the last ACK was sent */
	uint16_t last_len;		   /* payload of the last segment that came */
	uint8_t why;			   /* enum cpl_why */
	uint16_t mtu_probe;		   /* size of the packet that probes the path, or 0 */
	struct fastopen_pending *fastopen; /* of a child whose handshake is not done, or NULL */
	uint8_t quick;			   /* ACKs to send at once before delaying starts */
	bool pushed; /* what the delayed ACK is for ends a push: it goes when that is read */
	/* What of cwnd is in use (RFC 7661), since usage_seq was sent: as Linux. */
	bool cwnd_limited;   /* all of it, at some time */
	uint32_t out_max;    /* else: most octets outstanding */
	uint32_t usage_seq;  /* looked at anew when this is acknowledged */
	uint8_t rexmt_times; /* the RTO counts from this transmission ... */
	uint32_t rexmt_seq;  /* ... of the first segment, if it starts here */
	bool hold_over;	     /* short segments have been held long enough: send */

	/* What is mostly not used comes last, and is not touched: of cc, its state. */
	struct cc cc;
	struct stream_mark marks[STREAM_MARKS]; /* marks_n of them, ahead of snd_nxt, in order */
};

#define SOURCE_ROUTE_MAX 9 /* as many as 40 octets of options hold */

/* An IPv4 loose source route (RFC 791 3.1): the hops before the destination, IPv4 addresses. */
struct source_route {
	uint8_t n;
	uint8_t hops[SOURCE_ROUTE_MAX][4];
};

/* What few connections set. */
struct tcb_cold {
	uint64_t keep_idle_ns, keep_interval_ns;
	uint64_t user_timeout_ns; /* 0: the stack's r2_ns */
	uint64_t pacing_max;	  /* bytes/s; 0: no limit */
	uint32_t keep_count;
	uint32_t window_clamp;
	uint32_t pid, fd;
	uint32_t fastopen;	/* CPL_OPT_FASTOPEN */
	uint32_t notsent_lowat; /* 0: the stack's */
	uint16_t maxseg;	/* 0: by MTU */
	/* As Linux's TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT; 0: as the stack, or not at all */
	uint8_t syn_retries;
	uint8_t defer_accept; /* time-outs of the SYN,ACK to await data for */
	int64_t linger2_ns;   /* below 0: no FIN-WAIT-2 */
	bool fastopen_connect, fastopen_no_cookie;
	bool save_syn;	   /* of a listener: its connections keep ... */
	struct chunk *syn; /* ... the headers of their SYN, until they are asked for; or NULL */
	bool route_chosen; /* by the program: none that arrives replaces it */
	char program[16];
	struct source_route route;
};

struct listener;

/*
 * Its cache lines, by role: what a segment is looked up by, what it changes when it arrives, what
 * when it leaves, what hands it on; what is counted in passing; then what is seldom looked at.
 */
struct tcb {
	struct demux_node node;
	uint32_t slot; /* index of its conn_slot */
	uint32_t gen;  /* of its handle */
	uint32_t flags;
	uint8_t state; /* enum cpl_state; only tcb_set_state() writes it */
	uint8_t ifindex;
	uint8_t snd_wscale : 4, rcv_wscale : 4;
	uint8_t ecn : 4; /* ECN_* */
	/* fast.c: nothing keeps it from the short ways but what they change themselves. Whoever
	 * else comes to it forgets that. */
	uint8_t plain : 1;
	union {
		struct tcb_io *io;	   /* NULL: quiet */
		struct listener *listener; /* in LISTEN */
	};

	/* Receive sequence variables (RFC 9293 3.3.1), and what else comes with a segment */
	uint32_t rcv_nxt;
	uint32_t rcv_edge; /* RCV.NXT + RCV.WND as last advertised */
	uint32_t rcv_up;
	uint32_t read_seq; /* next octet for the program */
	uint32_t last_ack_sent;
	uint32_t ts_recent;
	uint32_t ts_recent_s; /* when it was set: milliseconds would wrap in 50 days */
	uint32_t rcvbuf;
	uint64_t last_received;
	uint64_t last_data; /* when data last came, or ESTABLISHED; 0: neither */
	uint64_t bytes_received;
	uint32_t segs_in;
	uint16_t rcv_mss_est;
	uint8_t probes_n; /* probes unanswered */
	uint8_t rexmt_n;  /* retransmissions of the oldest segment */

	/* Send sequence variables */
	uint32_t snd_una;
	uint32_t snd_nxt;
	uint32_t snd_wnd; /* after scaling (REC-1) */
	uint32_t snd_up;
	uint32_t snd_wl1;
	uint32_t snd_wl2;
	uint32_t snd_wnd_max;
	uint32_t ts_offset;
	struct rtt rtt;
	uint16_t snd_mss; /* payload of a segment, options deducted (MUST-16: Eff.snd.MSS) */
	/* plpmtu.c: of the path MTU, whatever routes and routers say; 0: not limited */
	uint16_t mtu_cap;
	uint8_t tos, ttl;
	uint16_t pmtu;

	/* What hands it on: timer, output, events */
	struct wheel_node timer;
	struct list ready;     /* on an interface's list of those with something to send */
	struct accecn *accecn; /* NULL: not agreed */
	struct tcb_cold *cold; /* NULL: all defaults */
	uint64_t t_slow;       /* keep-alive, FIN-WAIT-2; CPL_NEVER: off */

	struct list event; /* on tcp->events, or in the accept queue while TCB_HELD */
	uint64_t user;
	uint64_t bytes_acked, bytes_sent;
	uint32_t data_segs_in, segs_out, data_segs_out;
	uint32_t events; /* CPL_EV_* not yet told */

	uint32_t sndbuf;
	uint32_t iss;
	uint32_t irs;
	uint32_t oow_ms;	      /* when an ACK last answered an unacceptable segment */
	uint32_t cwnd;		      /* while there is no io */
	uint32_t ssthresh;	      /* likewise */
	uint16_t peer_mss;	      /* as the peer said, or the default (MUST-15) */
	uint16_t rcv_mss;	      /* as we said */
	uint16_t mtu_limit, mtu_high; /* mtu_cap before; what did not pass, or the same */
	uint32_t mtu_at_s;	      /* when to look whether more passes */
	uint16_t blackholes;
	uint16_t fastopen; /* FASTOPEN_* */
	uint8_t cc_id;
	uint8_t oob_byte; /* the urgent octet, once it was read past */
	uint8_t soft_error;
	uint8_t error;		   /* what ended it */
	bool over : 1;		   /* it was a connection, and is none any more */
	bool reordering : 1;	   /* the path was seen to reorder (RFC 8985) */
	bool reuseport : 1;	   /* several listeners share its port */
	uint8_t fastopen_fail : 2; /* enum fastopen_fail */

	uint32_t delivered_segs;
	uint32_t loss_probes;
	uint64_t made;
	uint64_t bytes_retrans;
	uint32_t retrans, drops, dsack_dups, ce_in, ece_in;
	uint32_t fast_recoveries;
	uint16_t rto_count;
	/* What was counted and summed before io went the last time. */
	uint16_t rto_spurious, undone, reorderings;
	uint64_t bytes_lost;
	struct us48 why_sum[CPL_WHYS];
	struct us48 busy_sum;
};

#define TCB_LINE(field) (offsetof(struct tcb, field) / 64)
_Static_assert(TCB_LINE(node) == 0 && TCB_LINE(io) == 0, "to be found");
_Static_assert(TCB_LINE(rcv_nxt) == 1 && TCB_LINE(rexmt_n) == 1, "what arrives");
_Static_assert(TCB_LINE(snd_una) == 2 && TCB_LINE(pmtu) == 2, "what leaves");
_Static_assert(TCB_LINE(timer) == 3 && TCB_LINE(t_slow) == 3, "what hands it on");
_Static_assert(TCB_LINE(event) == 4 && TCB_LINE(sndbuf) == 4, "what is counted");
_Static_assert(sizeof(struct tcb) == (size_t)8 * 64, "no line is shared with another");

#define HALF_PENDING 1u /* a catch-all's SYN awaits its verdict */
#define HALF_WSCALE  2u
#define HALF_TS	     4u
#define HALF_SACK    8u
#define HALF_ACKED   16u /* the peer's ACK came while the accept queue was full */
#define HALF_AGAIN   32u /* the SYN,ACK went again for a SYN that did: no RTT sample (Karn) */
#define HALF_ECN     64u
#define HALF_ACCECN  128u

/* half_open.ecn beside the ECN field of the SYN that came last. */
#define HALF_ECN_FIELD 3u
#define HALF_NO_ECT    4u /* a SYN came, or a SYN,ACK went, that said nothing of ECN */

/* Half-open connections in a row, by their indexes; the ends of it by those of half.c. */
struct half_link {
	uint32_t next, prev;
};

/* SYN-RECEIVED by passive OPEN (RFC 4987: small). See half.c. */
struct half_open {
	struct demux_node node;
	uint32_t gen;
	struct half_link link; /* FIFO of those with as many retries, or the pending */
	uint32_t deadline_us;  /* modulo 2^32; none while it is pending */
	uint32_t listener;     /* index of the struct listener */
	uint32_t cold;	       /* index + 1 of a source route to go back by; 0: none */
	uint32_t iss, irs;
	uint32_t ts_recent;
	struct us48 made;
	uint16_t snd_wnd, rcv_wnd; /* no SYN's window is scaled (RFC 7323 2.2) */
	uint16_t peer_mss, rcv_mss;
	uint8_t flags;
	uint8_t snd_wscale : 4, rcv_wscale : 4;
	uint8_t retries;
	uint8_t ifindex;
	uint8_t tos;
	uint8_t ecn; /* HALF_ECN_FIELD, HALF_NO_ECT */
};
_Static_assert(sizeof(struct half_open) <= 96, "SYN-RECEIVED is small");

/* A local address of connections in TIME-WAIT, which many have in common. */
struct time_wait_addr {
	struct cpl_addr addr;
	uint32_t next; /* index of the next of its chain, or POOL_NONE */
	uint32_t used; /* records that have it */
	uint8_t ifindex;
};

/* TIME-WAIT (RFC 9293 3.6.1). */
struct time_wait {
	uint32_t next;	     /* as demux_node.next */
	uint32_t local : 30; /* index of its struct time_wait_addr */
	uint32_t reuseaddr : 1, reuseport : 1;
	struct cpl_addr remote;
	uint16_t lport, rport;
	uint32_t older, younger;    /* indexes, or POOL_NONE: all last equally long */
	uint32_t handle_index, gen; /* of the TCB that it was, for the event ring */
	uint32_t deadline_us;	    /* modulo 2^32 */
	uint32_t snd_nxt, rcv_nxt;
	uint32_t ts_recent;
	uint16_t wnd; /* RCV.WND, as it is sent */
	uint8_t rcv_wscale : 4;
	uint8_t ts : 1;	 /* timestamps were agreed */
	uint8_t ace : 3; /* of its ACKs, if accurate ECN was agreed */
	uint8_t tos;
};
_Static_assert(sizeof(struct time_wait) <= 64, "TIME-WAIT is small");

struct listener {
	struct tcb *tcb;	  /* NULL: closed, and here until the last half-open one is gone */
	struct list accept_queue; /* tcb.event */
	uint32_t accept_n;
	uint32_t backlog;
	uint32_t half_n;
	uint32_t index;	 /* its own */
	uint8_t ifindex; /* catch-all: of this interface; 0: any */
	bool catch_all;
	uint64_t overflows;
	uint64_t cookies;
	struct list fastopen;	     /* struct fastopen_pending */
	struct list fastopen_resets; /* those that a RST ended, oldest first */
	uint32_t fastopen_n;	     /* both */
	uint32_t fastopen_max;
};

/* What loss recovery is told of the path, beside an ACK. */
static inline struct recovery_ack tcb_recovery_path(const struct tcb *tcb)
{
	return (struct recovery_ack){
		.prior_pipe = sendmap_pipe(&tcb->io->map),
		.srtt_ns = tcb->rtt.srtt_ns,
		.min_rtt_ns = tcb->rtt.min_us == UINT32_MAX ? 0 : tcb->rtt.min_us * 1000ull,
	};
}

static inline bool tcb_has(const struct tcb *tcb, uint32_t flags)
{
	return (tcb->flags & flags) != 0;
}

static inline bool tcb_is4(const struct tcb *tcb)
{
	return cpl_addr_is4(&tcb->node.id.remote);
}

/* RCV.WND */
static inline uint32_t tcb_rcv_wnd(const struct tcb *tcb)
{
	return seq_gt(tcb->rcv_edge, tcb->rcv_nxt) ? tcb->rcv_edge - tcb->rcv_nxt : 0;
}

/* The handshake is done: both ends have sent and received a SYN. */
static inline bool tcb_synchronized(const struct tcb *tcb)
{
	return tcb->state >= CPL_ESTABLISHED;
}

/*
 * For a segment without text: SND.NXT; or the edge of a window that the peer has shrunk from beyond
 * it (MUST-34): what lies past the edge is not acceptable there, and would never be looked at.
 */
static inline uint32_t tcb_ack_seq(const struct tcb *tcb)
{
	if (!tcb_synchronized(tcb))
		return tcb->snd_nxt;
	return seq_min(tcb->snd_nxt, tcb->snd_una + tcb->snd_wnd);
}

/* End of what the program has written; the FIN, if any, comes after it. */
static inline uint32_t tcb_write_seq(const struct tcb *tcb)
{
	if (tcb->io)
		return tcb->io->snd_base + (uint32_t)tcb->io->sndq.bytes;
	return tcb->snd_nxt - tcb_has(tcb, TCB_FIN_SENT);
}

/* SND.UNA <- ACK, and N octets have left the send queue. */
static inline void tcb_acked(struct tcb *tcb, uint32_t ack, uint32_t n, uint64_t now)
{
	struct tcb_io *io = tcb->io;

	io->snd_base += n;
	tcb->bytes_acked += n;
	tcb->snd_una = ack;
	/* What is behind stays close behind: 2^31 octets on it would seem to lie ahead. */
	io->small_end = seq_max(io->small_end, ack);
	io->push_seq = seq_max(io->push_seq, ack);
	io->block_seq = seq_max(io->block_seq, ack);
	io->forced_push = seq_max(io->forced_push, ack);
	tcb->flags &= ~TCB_MORE; /* as Linux: more was to follow at once, not after a round trip */
	io->progress = now;
	tcb->rexmt_n = 0;
	tcb->soft_error = 0;
}

/* Octets written and not sent. */
static inline uint32_t tcb_unsent(const struct tcb *tcb)
{
	uint32_t from, end = tcb_write_seq(tcb);

	if (!tcb->io)
		return 0;
	from = seq_max(tcb->snd_nxt, tcb->io->snd_base); /* the SYN is none of them */
	return seq_gt(end, from) ? end - from : 0;
}

struct tcp;

uint32_t mss_with_sack(const struct tcb *tcb);
uint32_t mss_with_accecn(const struct tcp *tcp, const struct tcb *tcb);
/* Payload of one segment, now that SACK blocks may take their place in the header. */
static inline uint32_t mss_now(const struct tcb *tcb)
{
	const struct tcb_io *io = tcb->io;

	if (!io || (list_empty(&io->ooo_recent) && io->dsack.start == io->dsack.end))
		return tcb->snd_mss;
	return mss_with_sack(tcb);
}
/* The same for new data, which carries accurate ECN's option as well. */
static inline uint32_t mss_new(const struct tcp *tcp, const struct tcb *tcb)
{
	return tcb->accecn ? mss_with_accecn(tcp, tcb) : mss_now(tcb);
}

#endif
