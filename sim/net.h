/* SPDX-License-Identifier: MIT */
/*
 * The deterministic network: hosts (each a stack with its interfaces, allocator and clock), links
 * between them, one virtual clock, one seed. The same seed and the same program give the same run,
 * to the bit: net->hash tells two runs apart.
 *
 * net_step() goes to the next instant at which anything happens: scheduled calls, frames that
 * arrive, timers, then the programs' events and what the stacks send in answer, until all is quiet.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include <couplet/couplet.h>

#include "sim/wire.h"

#define NET_HOSTS  4
#define NET_IFACES 3 /* of one host */
#define NET_LINKS  4
#define NET_PORTS  NET_HOSTS /* of one link */
#define NET_ADDRS  4	     /* of one interface */
#define NET_HELD   64	     /* frames whose memory a device holds */

struct net;
struct net_host;
struct net_link;

/* A frame that a device has taken and not yet given back: its memory must not change till then. */
struct net_held {
	struct cpl_out out;
	uint64_t until;
	uint64_t sum; /* of its octets when it was taken */
	bool sent;
};

/* A device: the interface of one host on one link. */
struct net_iface {
	struct net_host *host;
	struct cpl_iface_config config;
	int ifindex;
	struct cpl_addr addrs[NET_ADDRS];
	unsigned prefix_len[NET_ADDRS];
	unsigned addrs_n;
	struct net_link *link;
	unsigned port;
	bool uncut;		/* super-segments cross the link whole, as between two TAPs */
	double refuse;		/* share of frames that the device refuses ... */
	uint64_t refuse_until;	/* ... up to this time */
	unsigned batch;		/* frames that it asks for at once; 0: 16 */
	uint64_t hold_ns;	/* keeps a frame's memory up to so long */
	uint64_t blocked_until; /* after a refusal nothing is asked for a while */
	struct net_held held[NET_HELD];
	unsigned held_first, held_n;
	uint64_t taken; /* frames so far */
};

struct net_host {
	struct net *net;
	unsigned index;
	char name[16];
	struct cpl_config config; /* for restarts too */
	cpl_stack *stack;
	uint64_t clock; /* what its clock is ahead of the network's */
	unsigned lives; /* stacks made */
	struct net_iface ifaces[NET_IFACES];
	unsigned ifaces_n;
	/* Allocator. */
	uint64_t allocated, allocated_most, allocations;
	double alloc_fail;	   /* share of calls that fail ... */
	uint64_t alloc_fail_until; /* ... up to this time */
	uint64_t alloc_failed;
	/* How the device hands frames in. */
	double lend;		 /* share handed in as CPL_FRAME_LEND */
	uint64_t gather_ns;	 /* waits so long after a frame, for those that follow it */
	bool verified;		 /* says CPL_FRAME_CSUM_OK of frames that came unchanged */
	uint64_t timer_slack_ns; /* cpl_advance() comes up to so late */
	struct net_lent *lent;
	uint64_t frozen_until; /* the process sleeps: nothing is handed in, no timer fires */
	bool touched;	       /* something happened: look for events and output */
	uint64_t frames_in;
};

/* Two or more ports; a frame goes to the port whose MAC it names, or to all others. */
struct net_link {
	struct net *net;
	unsigned index;
	bool ether;
	bool mtu_answer; /* what is too big for a wire is answered by ICMP, as a router would */
	struct net_iface *port[NET_PORTS];
	unsigned ports;
	struct wire wire[NET_PORTS][NET_PORTS]; /* [from][to] */
	struct wire_params params;		/* of ports that join */
};

/* What an observer sees. */
enum net_what {
	NET_SENT,      /* a packet left host for peer and is on the wire, to arrive at `arrives` */
	NET_LOST,      /* a packet left host for peer and was lost: `fate` */
	NET_ARRIVING,  /* a frame is about to be handed to host, from peer */
	NET_ARRIVED,   /* it was */
	NET_TIMING,    /* cpl_advance() is about to be called on host */
	NET_TIMED,     /* it was */
	NET_PROGRAM,   /* the programs on host have had their events */
	NET_RESTARTED, /* host has a new stack */
	NET_SETTLED,   /* nothing more happens at this instant */
};

struct net_sight {
	enum net_what what;
	uint64_t now;
	struct net_host *host, *peer;
	struct net_iface *iface;
	const uint8_t *frame;
	uint32_t len;
	uint32_t gso_size;
	bool ether;
	enum wire_fate fate;
	uint64_t arrives;
};

#define NET_OBSERVERS 4

struct net_observer {
	void (*see)(void *ctx, const struct net_sight *sight);
	void *ctx;
};

/* What runs on the hosts. */
struct net_program {
	void *ctx;
	void (*event)(void *ctx, struct net_host *host, const struct cpl_event *event);
	void (*restarted)(void *ctx, struct net_host *host);
};

struct net_call {
	uint64_t at, order;
	void (*call)(void *ctx, uint64_t arg);
	void *ctx;
	uint64_t arg;
};

struct net {
	uint64_t seed;
	uint64_t now;
	uint64_t draws; /* numbers drawn so far by net_draw() */
	uint64_t hash;	/* of all that crossed the links, and when */
	uint64_t steps, packets;
	uint64_t steps_max; /* more is a failure; 0: no limit */
	struct net_host *hosts[NET_HOSTS];
	unsigned hosts_n;
	struct net_link *links[NET_LINKS];
	unsigned links_n;
	struct net_observer observers[NET_OBSERVERS];
	unsigned observers_n;
	struct net_program program;
	struct net_call *calls; /* heap by (at, order) */
	uint32_t calls_n, calls_cap;
	uint64_t calls_order;
	bool failed;
	char failure[400]; /* the first one */
};

struct net *net_new(uint64_t seed);
void net_free(struct net *net);

/*
 * A host, without a stack until net_host_start(). CONFIG's allocator and secret are set here.
 * Aborts when there are too many: that is a mistake of the caller.
 */
struct net_host *net_host_add(struct net *net, const char *name, const struct cpl_config *config);
/* CONFIG's name and MAC are set here. */
struct net_iface *net_iface_add(struct net_host *host, const struct cpl_iface_config *config);
void net_addr_add(struct net_iface *iface, const struct cpl_addr *addr, unsigned prefix_len);
struct net_link *net_link_add(struct net *net, bool ether, const struct wire_params *params);
void net_link_join(struct net_link *link, struct net_iface *iface);
/* The wire of LINK from host A to host B. */
struct wire *net_wire(struct net_link *link, const struct net_host *a, const struct net_host *b);
/* Make the stack. Returns 0 or what cpl_stack_new() said. */
int net_host_start(struct net_host *host);
/* The host is gone, without a word to anybody. What its stack leaks is a failure. */
void net_host_stop(struct net_host *host);
/* The host loses all it knew, its clock included, and starts anew. */
void net_host_restart(struct net_host *host);
/* The process sleeps until then: frames wait, timers are late. */
void net_host_freeze(struct net_host *host, uint64_t until);

void net_observe(struct net *net, void (*see)(void *ctx, const struct net_sight *sight), void *ctx);
/* CALL(ctx, arg) at time AT, or now if that has passed. */
void net_at(struct net *net, uint64_t at, void (*call)(void *ctx, uint64_t arg), void *ctx,
	    uint64_t arg);

/* The next instant, if it is not after LIMIT. False: nothing is left till then, or a failure. */
bool net_step(struct net *net, uint64_t limit);
/* All up to LIMIT; the clock stands at LIMIT then, unless something failed. */
void net_until(struct net *net, uint64_t limit);

/* HOST's own clock. */
static inline uint64_t net_clock(const struct net_host *host)
{
	return host->net->now + host->clock;
}

/* The program used the stack: look for what follows. */
static inline void net_touch(struct net_host *host)
{
	host->touched = true;
}

/* The next number of the network's own sequence. */
uint64_t net_draw(struct net *net);
/* The first failure is kept and ends the run. */
__attribute__((format(printf, 2, 3))) void net_fail(struct net *net, const char *format, ...);

/* ICMP "packet too big" about PACKET, for a link of MTU: in OUT (at most 1280 bytes), its length;
 * 0: none is due. FROM: the router's address. */
uint32_t net_too_big(uint8_t *out, const uint8_t *packet, uint32_t len, uint32_t mtu);

#endif
