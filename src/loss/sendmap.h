/* SPDX-License-Identifier: MIT */
/*
 * The map of what was sent and is not acknowledged: one record for each transmission (RFC 9293 3.8,
 * RFC 6675 "scoreboard", RFC 8985 4). A record covers a range of sequence space that left in one
 * piece, perhaps many segments long; it is split when a SACK, a partial ACK or a smaller MSS asks.
 *
 * Two orders: `records` by sequence number, `by_time` by last transmission (for RACK). Counters
 * make RFC 6675's pipe O(1). Adjacent SACKed records become one, so that the SACKed ranges, on a
 * list of their own, are the scoreboard. Records come from a pool; a map without records holds no
 * memory.
 *
 * Nobody else keeps a pointer to a record: any call below that changes the map may split, join or
 * free it. What is at the device is found again by sequence number, with sendmap_find().
 */
#ifndef LOSS_SENDMAP_H
#define LOSS_SENDMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "base/sample.h"

#define SENT_SACKED	  1u /* reported by SACK */
#define SENT_LOST	  2u /* believed lost, awaiting retransmission unless SENT_RETRANS */
#define SENT_RETRANS	  4u /* sent again, and that transmission is in the network */
#define SENT_EVER_RETRANS 8u /* was ever sent again: no RTT sample (Karn) */
#define SENT_SYN	  16u
#define SENT_FIN	  32u
#define SENT_UNSENT	  64u /* the device refused it: not in the network, nor lost there */
#define SENT_URG	  128u
#define SENT_PSH	  256u /* the last octet ends a push */
#define SENT_APP_LIMITED  512u
#define SENT_MTU_PROBE	  1024u /* larger than what is known to pass (RFC 4821) */

struct sent {
	struct list by_seq;
	struct list by_time; /* in the network: on by_time; SACKed: on ranges; else on neither */
	uint32_t start;	     /* [start, end) in sequence space; SYN and FIN count one */
	uint32_t end;
	uint32_t flags; /* SENT_* */
	uint16_t mss;	/* payload of each of its segments */
	uint8_t transmissions;
	uint64_t time; /* ns, of the last transmission */
	/* Delivery snapshot at the last transmission, for rate samples. */
	uint64_t delivered;
	uint64_t delivered_time;
	uint64_t first_sent_time;
	uint32_t tx_in_flight;
	uint32_t lost_then; /* low 32 bits of the map's lost_total */
};

struct sack_block {
	uint32_t start, end;
};

#define SENDMAP_SEEN 4 /* SACK blocks that fit into one segment (RFC 2018 3) */

struct sendmap {
	struct pool *pool;   /* of struct sent */
	struct list records; /* by sequence number */
	struct list by_time; /* those in the network, oldest transmission first */
	struct list ranges;  /* the SACKed ones, by sequence number: no two touch */
	uint32_t una, nxt;   /* what the records cover: all of [una, nxt) */
	/* Bytes of sequence space in records: */
	uint32_t sacked;	/* SACKed */
	uint32_t lost;		/* LOST, not SACKed */
	uint32_t retrans;	/* RETRANS, not SACKed: in the network a second time */
	uint32_t unsent;	/* UNSENT: counted in none of the above */
	uint32_t pending;	/* to be sent again: UNSENT, or LOST and not RETRANS */
	uint32_t high_sacked;	/* end of the highest SACKed range; valid while sacked > 0 */
	struct sent *lost_hint; /* no pending record lies before it; NULL: the first */
	struct sent *sack_hint; /* where the last SACK block was found; NULL: nowhere */
	/* The blocks of the last segment with SACK: what lies in one of them brings nothing new. */
	struct sack_block seen[SENDMAP_SEEN];
	uint8_t seen_n;
	/* Rate sampling (draft-ietf-ccwg-bbr 4.1.2). */
	uint64_t delivered;
	uint32_t delivered_segs; /* as it left: an ACK of part of a segment counts one */
	uint64_t delivered_time;
	uint64_t first_sent_time;
	uint64_t app_limited_until; /* 0, or the value of delivered that ends it */
	uint64_t lost_total;
	uint32_t told;		 /* without SACK: see sendmap_duplicate(); counted in delivered */
	uint32_t mtu_probe_lost; /* bytes of a probe, since that was looked at: no congestion */
	struct loss_sample loss; /* for the controller: whoever takes it clears it */
};

/* What an ACK did to the map. The first two the caller sets before. */
struct sendmap_result {
	uint64_t min_rtt_ns;   /* what came back faster was not the retransmission; 0: not known */
	uint64_t echo_ns;      /* the ACK answers what left by then (timestamps); 0: not known */
	uint32_t acked;	       /* bytes of sequence space newly acknowledged cumulatively */
	uint32_t newly_sacked; /* bytes newly SACKed */
	uint32_t delivered;    /* bytes delivered by this ACK, however reported: counted once */
	uint64_t rtt_ns;     /* newest never-retransmitted record that this ACK reported; 0: none */
	uint64_t rtt_time;   /* when that one was sent */
	uint64_t acked_time; /* last transmission time of the newest record reported; 0: none */
	uint32_t acked_end;  /* and its end */
	bool acked_retrans;  /* the newest reported record had been retransmitted */
	bool any_retrans;    /* any of them had */
	bool mtu_probe;	     /* an MTU probe was delivered, the first time it was sent */
	bool syn, fin;	     /* the SYN, the FIN was acknowledged */
	bool reordered; /* a never-retransmitted record below a SACKed one was delivered late */
	/* A record that was never sent again was delivered; the lowest start of one. */
	bool original;
	uint32_t original_start;
	/* For RACK, RFC 8985 6.2 step 2: the newest that this ACK surely is about. */
	bool rack_sampled;
	uint64_t rack_time;
	uint32_t rack_end;
	uint64_t rack_last;	/* and the last looked at, cumulatively before selectively */
	bool rack_acked;	/* that one was acknowledged cumulatively */
	uint32_t reorder_bytes; /* of what came late: how far behind the highest SACKed */
	struct rate_sample rate;
	/* For sendmap_rate(), of the record that rate is taken from: */
	bool sampled; /* there is one */
	uint64_t prior_time;
	uint64_t send_elapsed;
	uint32_t lost_then;
};

void sendmap_init(struct sendmap *map, struct pool *pool, uint32_t iss, uint64_t now);
/* Free all records: una is nxt. */
void sendmap_clear(struct sendmap *map);
/* The same of a map that is not used any more: nothing else in it changes. */
void sendmap_destroy(struct sendmap *map);
static inline bool sendmap_empty(const struct sendmap *map)
{
	return map->una == map->nxt;
}

/* The estimate of RFC 6675: bytes believed to be in the network. O(1). */
static inline uint32_t sendmap_pipe(const struct sendmap *map)
{
	return map->nxt - map->una - map->sacked - map->lost - map->unsent + map->retrans;
}

/*
 * [nxt, end) was sent. FLAGS of SENT_SYN, SENT_FIN, SENT_URG, SENT_PSH, SENT_APP_LIMITED,
 * SENT_MTU_PROBE. Joins no records. NULL: no memory (then nothing changed, and it must not be
 * sent).
 */
struct sent *sendmap_sent(struct sendmap *map, uint32_t end, uint16_t mss, uint32_t flags,
			  uint64_t now);
/* The same of LEN octets where nothing is in flight, and nothing was told of without SACK. */
struct sent *sendmap_sent_only(struct sendmap *map, uint32_t len, uint16_t mss, uint32_t flags,
			       uint64_t now);
/* RECORD, which is not SACKed, was sent again; or, if it was UNSENT, for the first time. */
void sendmap_resent(struct sendmap *map, struct sent *record, uint64_t now);
/*
 * The device refused RECORD, or its retransmission: as if it had not left. A refused part of a
 * record is split off first. No effect on a SACKed record.
 */
void sendmap_refused(struct sendmap *map, struct sent *record);
/* The record that holds sequence number SEQ; NULL: none does. O(1) next to either end or a hint. */
struct sent *sendmap_find(const struct sendmap *map, uint32_t seq);

/* Split RECORD, not SACKed, at AT (start < AT < end); returns the second part, NULL without memory.
 */
struct sent *sendmap_split(struct sendmap *map, struct sent *record, uint32_t at);

/*
 * Cumulative ACK: una < ack <= nxt. What it did is added to *RES (zero it first). One that ends
 * inside a record shortens it at its start.
 */
void sendmap_ack(struct sendmap *map, uint32_t ack, uint64_t now, struct sendmap_result *res);
/*
 * The same where ACK is nxt and one record, sent once and neither lost nor SACKed, is all that is
 * in flight; and sendmap_rate(): TOLD becomes its sample, if that tells more.
 */
void sendmap_ack_only(struct sendmap *map, uint64_t min_rtt_ns, uint64_t now,
		      struct rate_sample *told);
/*
 * sendmap_ack() of all, if that is a SYN without data, sent once: returns its round trip. 0: it is
 * not, and nothing was done.
 */
uint64_t sendmap_ack_syn(struct sendmap *map, uint64_t now);
/*
 * SACK blocks, already checked to lie in (una, nxt] with start < end, without DSACK. A block that
 * ends inside a record splits it, at the segments that it was sent in: of a segment that a
 * block holds in part, nothing counts as received. So a peer cannot make more records than there
 * are segments.
 */
void sendmap_sack(struct sendmap *map, const struct sack_block *blocks, unsigned n, uint64_t now,
		  struct sendmap_result *res);
/*
 * Without SACK: a duplicate ACK tells that a segment of MSS beyond the first was delivered
 * (draft-ietf-ccwg-bbr 4.1.3.5.1, as Linux). It counts so at once, and not again when it is
 * acknowledged; and no more of them than are in flight.
 */
void sendmap_duplicate(struct sendmap *map, uint32_t mss, uint64_t now, struct sendmap_result *res);
/* There was room to send, and the program gave nothing: samples until then say little. */
static inline void sendmap_app_limited(struct sendmap *map)
{
	uint32_t pipe = sendmap_pipe(map);

	map->app_limited_until = map->delivered + (pipe > map->told ? pipe - map->told : 0);
	if (!map->app_limited_until)
		map->app_limited_until = 1;
}
/*
 * After sendmap_ack(), sendmap_sack() and the marking of losses for one segment: work out
 * res->rate. MIN_RTT_NS: a sample over less time than that is none; 0: not known.
 */
void sendmap_rate(struct sendmap *map, uint64_t min_rtt_ns, uint64_t now,
		  struct sendmap_result *res);

/*
 * Mark RECORD lost: its first transmission, and if it is LOST and RETRANS, that retransmission.
 * No effect if it is SACKed, UNSENT, or already awaits retransmission.
 */
void sendmap_mark_lost(struct sendmap *map, struct sent *record);
/* All that is not SACKed is lost (RFC 6675 5.1). FORGET_SACK: reneging, drop SACKs. */
void sendmap_mark_all_lost(struct sendmap *map, bool forget_sack);
/* Retransmissions were spurious: LOST marks that are not retransmitted go. */
void sendmap_unmark_lost(struct sendmap *map);
/*
 * The first record to send again: UNSENT, or LOST and not RETRANS; NULL: none. O(1) amortized. It
 * may be longer than what may be sent: split it.
 */
struct sent *sendmap_next_lost(struct sendmap *map);
/*
 * RECORD is to be sent again, in segments of MSS, and is what is left of one that was larger: what
 * was lost behind it becomes part of it, or each of the larger ones would leave in two. A push
 * stays the end of a segment.
 */
void sendmap_join_lost(struct sendmap *map, struct sent *record, uint32_t mss);
/* The first record; NULL if empty. */
struct sent *sendmap_first(const struct sendmap *map);
/* All sums and orders hold; asserts. For tests and tcb_check(). */
void sendmap_check(const struct sendmap *map);

#endif
