/* SPDX-License-Identifier: MIT */
/*
 * The one snapshot record: everything that can be known of one end of one connection, whatever the
 * source: a Couplet stack, the kernel through sock_diag or BPF, a file, a capture, a store.
 *
 * The fields, their types, units and meanings stand in <couplet/info.def>, once; the struct below,
 * the tables of `couplet show`, the JSON and the manual are all made from it. A source marks each
 * field that it fills as READ (the end holds this value) or DERIVED (computed from what was read);
 * a field with neither mark is unknown, holds 0, and is shown as "-", never as 0.
 */
#ifndef COUPLET_INFO_H
#define COUPLET_INFO_H

#include <couplet/addr.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CPL_INFO_VERSION 4

/* A timer that does not run has this much time left. */
#define CPL_TIMER_OFF UINT64_MAX

/* The states of RFC 9293 section 3.3.2; the numbers are Couplet's own. */
enum cpl_state {
	CPL_CLOSED,
	CPL_LISTEN,
	CPL_SYN_SENT,
	CPL_SYN_RECEIVED,
	CPL_ESTABLISHED,
	CPL_FIN_WAIT_1,
	CPL_FIN_WAIT_2,
	CPL_CLOSE_WAIT,
	CPL_CLOSING,
	CPL_LAST_ACK,
	CPL_TIME_WAIT,
	CPL_STATES /* their number */
};

/* Whose snapshot it is. */
enum cpl_source {
	CPL_SOURCE_UNKNOWN,
	CPL_SOURCE_STACK,     /* a Couplet stack */
	CPL_SOURCE_SOCK_DIAG, /* the kernel, NETLINK_SOCK_DIAG */
	CPL_SOURCE_BPF,	      /* the kernel, a BPF iterator */
	CPL_SOURCE_CAPTURE,   /* inferred from packets */
};

/* What a sender does about loss (RFC 5681, 6675; the names are Linux's). */
enum cpl_recovery {
	CPL_RECOVERY_OPEN,     /* nothing is wrong */
	CPL_RECOVERY_DISORDER, /* duplicate ACKs or SACKs, not yet called loss */
	CPL_RECOVERY_CWR,      /* the window was reduced for a local or ECN reason */
	CPL_RECOVERY_FAST,     /* fast recovery */
	CPL_RECOVERY_RTO,      /* after a retransmission time-out */
};

/*
 * Why a connection is not sending right now; time is summed for each (why_time_*). Exactly one
 * holds at any time, so that the sums add up to the age: of CPL_WHY_IDLE and CPL_WHY_CLOSED in one.
 * Only why_time_busy lies across them.
 */
enum cpl_why {
	CPL_WHY_SENDING,   /* it is: segments leave as fast as the device takes them */
	CPL_WHY_IDLE,	   /* the program gave nothing to send */
	CPL_WHY_HANDSHAKE, /* the handshake is not done */
	CPL_WHY_CWND,	   /* the congestion window is full */
	CPL_WHY_RWND,	   /* the peer's window is full */
	CPL_WHY_ZERO_WND,  /* the peer's window is zero: probing */
	CPL_WHY_NAGLE,	  /* a short segment waits for an ACK (RFC 9293 3.7.4) or for more (cork) */
	CPL_WHY_PACING,	  /* the pacer holds the next burst */
	CPL_WHY_DEVICE,	  /* the device or the neighbour's address is awaited */
	CPL_WHY_MEMORY,	  /* the pool has no record or chunk */
	CPL_WHY_CLOSED,	  /* this side has sent its FIN or the connection is gone */
	CPL_WHY_SNDBUF,	  /* all of a full send buffer is in flight, and the program has more */
	CPL_WHY_RECOVERY, /* what was lost is being repaired: cwnd is down, or awaits that ACK */
	CPL_WHYS	  /* their number */
};

/* Options agreed in the handshake. */
#define CPL_OPT_BIT_WSCALE 1u
#define CPL_OPT_BIT_TS	   2u
#define CPL_OPT_BIT_SACK   4u
#define CPL_OPT_BIT_ECN	   8u
#define CPL_OPT_BIT_TFO	   16u
#define CPL_OPT_BIT_ACCECN 32u

/* Accurate ECN's option (RFC 9768 3.2.3): the bits of accecn_option. */
#define CPL_ACCECN_SENT	   1u /* our ACKs carry it */
#define CPL_ACCECN_SEEN	   2u /* the peer's do */
#define CPL_ACCECN_BLOCKED 4u /* not sent any more: what carried it was lost */
#define CPL_ACCECN_ZEROED  8u /* the peer's is not believed: somebody clears it */

/* Field numbers: CPL_F_snd_una and so on. */
enum cpl_field {
#define CPL_FIELD(group, type, name, unit, text) CPL_F_##name,
#include <couplet/info.def>
	CPL_FIELDS /* their number */
};

#define CPL_INFO_WORDS ((CPL_FIELDS + 63) / 64)

/* The types that info.def uses. */
typedef uint64_t cpl_u64;
typedef uint32_t cpl_u32;
typedef uint16_t cpl_u16;
typedef uint8_t cpl_u8;
typedef uint32_t cpl_seq; /* a sequence number, modulo 2^32 */
typedef uint64_t cpl_ns;  /* nanoseconds; for a timer, left to run, or CPL_TIMER_OFF */
typedef struct cpl_addr cpl_ip;
typedef char cpl_name[16];  /* text, always terminated */
typedef char cpl_path[112]; /* text, always terminated */

struct cpl_info {
	uint32_t size;	  /* sizeof(struct cpl_info) of whoever filled it */
	uint32_t version; /* CPL_INFO_VERSION of whoever filled it */
	uint64_t read[CPL_INFO_WORDS];
	uint64_t derived[CPL_INFO_WORDS];
#define CPL_FIELD(group, type, name, unit, text) cpl_##type name;
#include <couplet/info.def>
};

static inline int cpl_info_is_read(const struct cpl_info *i, enum cpl_field f)
{
	return (int)(i->read[(unsigned)f / 64] >> ((unsigned)f % 64) & 1);
}

static inline int cpl_info_is_derived(const struct cpl_info *i, enum cpl_field f)
{
	return (int)(i->derived[(unsigned)f / 64] >> ((unsigned)f % 64) & 1);
}

/* True if the field holds a value. */
static inline int cpl_info_known(const struct cpl_info *i, enum cpl_field f)
{
	return cpl_info_is_read(i, f) || cpl_info_is_derived(i, f);
}

static inline void cpl_info_mark_read(struct cpl_info *i, enum cpl_field f)
{
	i->read[(unsigned)f / 64] |= (uint64_t)1 << ((unsigned)f % 64);
}

static inline void cpl_info_mark_derived(struct cpl_info *i, enum cpl_field f)
{
	i->derived[(unsigned)f / 64] |= (uint64_t)1 << ((unsigned)f % 64);
}

/* Set a scalar field and mark it as read, or as derived. */
#define CPL_INFO_READ(i, field, value)                                                             \
	((i)->field = (value), cpl_info_mark_read((i), CPL_F_##field))
#define CPL_INFO_DERIVED(i, field, value)                                                          \
	((i)->field = (value), cpl_info_mark_derived((i), CPL_F_##field))

#ifdef __cplusplus
}
#endif
#endif
