/* SPDX-License-Identifier: MIT */
/*
 * The plug-in of packetdrill: one stack in virtual time, and what the files of src/packetdrill
 * share. There is no logic of TCP here.
 *
 * Time stands still but when packetdrill looks at the clock (1 us a look: it spins), sleeps, or
 * waits for a packet. Its blocking calls come from a second thread: they wait in a futex, and
 * whoever moves the time finishes them (call.c), so that what happens does not depend on the
 * machine's scheduler. Everything is under one lock.
 */
#ifndef PACKETDRILL_DRILL_H
#define PACKETDRILL_DRILL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <couplet/couplet.h>

#include "base/list.h"
#include "packetdrill/interface.h"
#include "socket/socket.h"

#define DRILL_FDS    4096			/* descriptors that can be ours */
#define DRILL_PACKET 65536			/* the largest IP packet */
#define DRILL_LIMIT  (3ull * 3600 * CPL_SECOND) /* netdev_receive gives up */

#define DRILL_EXPORT __attribute__((visibility("default")))

/* A descriptor of ours: a real one, of /dev/null, that packetdrill may close behind our back. */
struct drill_fd {
	sock_id sock;
	epoll_id set;
};

/* A packet that left the stack. */
struct drill_packet {
	struct list link;
	uint64_t time;
	size_t len;
	uint8_t data[];
};

struct drill {
	pthread_mutex_t lock;
	pthread_t owner;     /* whose calls must not wait for others */
	pthread_t returning; /* the thread whose call is over and that is to look at the clock */
	bool returning_set;
	bool looked;		 /* a thread came back from a call, and has things to do */
	pthread_cond_t returned; /* it has */
	cpl_stack *stack;
	struct sockets *sockets;
	int ifindex;
	bool verbose;
	uint64_t now;
	struct list packets; /* struct drill_packet */
	struct list calls;   /* struct drill_call that wait */
	struct drill_fd fds[DRILL_FDS];
	int sysctl_fd; /* of the file that the stand-in of sysctl(8) writes; -1: none */
	off_t sysctl_read;
	char sysctl_path[64];
};

/* A call that may wait. */
struct drill_call {
	struct list link;
	/* Go on; true when it is over, with RESULT; false: UNTIL says when to look again. */
	bool (*step)(struct drill *d, struct drill_call *c);
	int fd;
	sock_id sock;
	int flags;
	uint64_t began, until;
	short events; /* POLL*: of the socket, for which it waits; 0: anything may matter */
	size_t asked, done;
	long result; /* or -errno */
	bool started, over;
	bool with_syn; /* Fast Open: more is to go with the ACK of the SYN,ACK */
	pthread_t thread;
	pthread_cond_t wake;
	union {
		struct msghdr msg;
		struct {
			const struct sockaddr *to;
			socklen_t to_len;
		};
		struct {
			struct sockaddr *from;
			socklen_t *from_len;
		};
		struct {
			struct pollfd *polled;
			nfds_t polled_n;
		};
		struct {
			epoll_id set;
			struct epoll_event *reported;
			int max;
		};
		struct {
			int pipe, spare[2];
			unsigned splice_flags;
		};
	};
};

/* The stack of this process, for the calls that packetdrill makes of the C library; or NULL. */
extern struct drill *drill_here;

/* ---- flags.c ---- */
struct drill_flags {
	struct cpl_addr local[4];
	unsigned prefix[4], local_n;
	uint32_t mtu;
	uint64_t seed;
	bool verbose;
	char tools[4096]; /* directory of the stand-ins; "": none */
};
/* False: *WRONG is the word that is not understood. */
bool drill_flags_parse(const char *text, struct drill_flags *flags, const char **wrong);

/* ---- cut.c ---- */
/* A frame leaves: it becomes one packet, or several. */
void drill_keep(struct drill *d, const struct cpl_out *out);

/* ---- clock.c ---- */
/* What the stack has to say: events are taken, packets collected, waiting calls go on. */
void drill_settle(struct drill *d);
/* Time goes on until T, event after event. Stops early, returning false, once a packet is there
 * and STOP. */
bool drill_pass(struct drill *d, uint64_t t, bool stop);
/* When something happens by itself next, or CPL_NEVER. */
uint64_t drill_next(const struct drill *d);
void drill_packets_free(struct drill *d);

/* ---- call.c ---- */
void drill_lock(struct drill *d);
void drill_unlock(struct drill *d);
/* Under the lock: C runs to its end; returns its result, or -1 with errno. */
long drill_call(struct drill *d, struct drill_call *c);
/* All that wait have another look. True: one of them went on. */
bool drill_calls_step(struct drill *d, bool with_syn);
/* Calls that are over and have not looked at the clock yet do so first. */
void drill_calls_return(struct drill *d);
/* The calling thread looks at the clock. True: for the first time since its call was over. */
bool drill_call_looked(struct drill *d);
/* Returns R, or sets errno to -R and returns -1. */
long drill_result(long r);

/* ---- token.c ---- */
/* A new descriptor, or -errno. */
int drill_token(struct drill *d, sock_id sock, epoll_id set);
/* 0: not a socket or set of ours. */
sock_id drill_sock(const struct drill *d, int fd);
epoll_id drill_set(const struct drill *d, int fd);
void drill_forget(struct drill *d, int fd);

/* ---- the entries, by file ---- */
void drill_names(struct packetdrill_interface *i); /* name.c: sockets, their options and ends */
void drill_data(struct packetdrill_interface *i);  /* data.c: what is sent and received */
void drill_ready(struct packetdrill_interface *i); /* ready.c: poll and epoll */
void drill_pipes(struct packetdrill_interface *i); /* splice.c */

/* ---- sysctl.c ---- */
void drill_sysctl_open(struct drill *d, const char *tools);
void drill_sysctl_read(struct drill *d);
void drill_sysctl_close(struct drill *d);

#endif
