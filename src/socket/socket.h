/* SPDX-License-Identifier: MIT */
/*
 * BSD sockets over one stack: what socket(2), tcp(7), udp(7), ip(7), ipv6(7) and epoll(7) say, as
 * Linux does it, down to the errno.
 *
 * This is the meaning of the calls alone. There are no file descriptors here, nothing blocks, no
 * clock is read and nothing is called back: a socket is a number, a call that would block returns
 * -EAGAIN (connect: -EINPROGRESS), and what became ready is asked for. Whoever has descriptors and
 * threads builds blocking on it: src/shim for programs that are run, src/packetdrill in virtual
 * time. Both ask socket_wait() what to wait for, so that SO_RCVTIMEO, SO_RCVLOWAT, MSG_WAITALL and
 * SO_LINGER mean the same everywhere.
 *
 * All memory comes from the stack's allocator; a struct sockets is as single-threaded as its stack.
 *
 * All calls return 0 or a count, or a negative errno. Addresses are the C library's struct
 * sockaddr_in and sockaddr_in6 with their lengths, checked as the kernel checks them. Buffers have
 * been checked by the caller (-EFAULT is its business).
 */
#ifndef SOCKET_SOCKET_H
#define SOCKET_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <couplet/couplet.h>

/*
 * A socket: its place, and the number of those made before it, which 2^44 sockets do not use up: no
 * number is ever used again. 0: none.
 */
typedef uint64_t sock_id;
/* A set of epoll_create(2), likewise. */
typedef uint64_t epoll_id;
/* The place of either, below sockets_max or epolls_max: for a table of the caller's. */
#define SOCKET_PLACE_BITS 20
#define SOCKET_PLACE(id)  ((uint32_t)((id) & ((1u << SOCKET_PLACE_BITS) - 1)))

struct sockets;
struct chunk;

struct sockets_config {
	uint32_t sockets_max; /* sockets at once [65,536] */
	uint32_t epolls_max;  /* epoll sets at once [4,096] */
	/* What makes the stack's time the wall's, for SO_TIMESTAMP [0] */
	uint64_t realtime_offset_ns;
};

void sockets_config_init(struct sockets_config *config);
/* STACK stays the caller's; its events are taken by sockets_poll() from now on. -ENOMEM. */
int sockets_new(struct sockets **sockets, cpl_stack *stack, const struct sockets_config *config,
		uint64_t now);
/* Forgets all sockets: connections are aborted. NULL is allowed. */
void sockets_free(struct sockets *sockets, uint64_t now);

/* To be called after cpl_input() and cpl_advance(): takes the stack's events. */
void sockets_poll(struct sockets *sockets, uint64_t now);
/*
 * Sockets whose readiness had a rising edge, and epoll sets that may have something to report, or
 * nothing any more, since they were last asked for; each once. Return how many were written.
 */
unsigned sockets_woken(struct sockets *sockets, sock_id *ids, unsigned max);
unsigned sockets_epolls_woken(struct sockets *sockets, epoll_id *ids, unsigned max);
/* How often any of them was, told already or not, up to what the stack has to tell now. */
uint64_t sockets_wakes(struct sockets *sockets);

/* Who holds a socket: for snapshots only (`couplet netstat`). */
struct socket_owner {
	uint32_t pid, fd, uid;
	char program[16];
};

/* ---- The calls ------------------------------------------------------------------------------ */

/*
 * DOMAIN AF_INET, AF_INET6; TYPE SOCK_STREAM, SOCK_DGRAM without flags; PROTOCOL 0, IPPROTO_TCP,
 * IPPROTO_UDP. -EAFNOSUPPORT, -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -EINVAL, -ENFILE, -ENOBUFS.
 */
int socket_open(struct sockets *s, int domain, int type, int protocol, sock_id *id, uint64_t now);
/*
 * The last descriptor is closed. -EAGAIN: SO_LINGER says to wait, as socket_wait(SOCKET_CLOSE)
 * says; the second call lets go of the socket, whatever has become of it.
 */
int socket_close(struct sockets *s, sock_id id, uint64_t now);
void socket_set_owner(struct sockets *s, sock_id id, const struct socket_owner *owner);
/* O_NONBLOCK: kept here, for all who share the socket; only Fast Open looks at it. */
void socket_set_nonblock(struct sockets *s, sock_id id, bool nonblock);
bool socket_nonblock(struct sockets *s, sock_id id);

int socket_bind(struct sockets *s, sock_id id, const struct sockaddr *addr, socklen_t len,
		uint64_t now);
int socket_listen(struct sockets *s, sock_id id, int backlog, uint64_t now);
/* -EINPROGRESS until it is done; then 0 once, -EISCONN, or what went wrong. */
int socket_connect(struct sockets *s, sock_id id, const struct sockaddr *addr, socklen_t len,
		   uint64_t now);
/* ADDR may be NULL. *LEN: in its room, out the true length. */
int socket_accept(struct sockets *s, sock_id id, sock_id *conn, struct sockaddr *addr,
		  socklen_t *len, uint64_t now);
int socket_getsockname(struct sockets *s, sock_id id, struct sockaddr *addr, socklen_t *len);
int socket_getpeername(struct sockets *s, sock_id id, struct sockaddr *addr, socklen_t *len);
int socket_shutdown(struct sockets *s, sock_id id, int how, uint64_t now);

/*
 * sendmsg(2) and recvmsg(2): name, iovec, control data and flags (in and out) as there. All other
 * calls of the two families are these. FLAGS are Linux's MSG_*; MSG_DONTWAIT and MSG_NOSIGNAL are
 * the caller's: nothing blocks, and SIGPIPE is raised by it on -EPIPE of a stream. Who blocks takes
 * -EINPROGRESS of a send that opens a connection (MSG_FASTOPEN, TCP_FASTOPEN_CONNECT) as -EAGAIN,
 * waits as socket_wait(SOCKET_SEND) says and calls again with the same data and flags. Whether it
 * blocks is asked of O_NONBLOCK here, and of MSG_DONTWAIT.
 */
long socket_sendmsg(struct sockets *s, sock_id id, const struct msghdr *msg, int flags,
		    uint64_t now);
long socket_recvmsg(struct sockets *s, sock_id id, struct msghdr *msg, int flags, uint64_t now);

/*
 * What a stream sends that is not in memory yet, as sendfile(2) does: it is read to where it stays.
 * PIECE has room for N octets at most; as many as have been put there are then sent by
 * socket_piece_send(), with MSG_MORE or without, before any other call. -EAGAIN; -ENOBUFS: not this
 * way, but perhaps by socket_sendmsg(), which also says what is wrong.
 */
struct socket_piece {
	sock_id id;
	struct chunk *chunk;
	uint8_t *data;
	size_t n;
};
int socket_piece_new(struct sockets *s, sock_id id, size_t n, struct socket_piece *piece,
		     uint64_t now);
/* N 0: it is given back. */
long socket_piece_send(struct sockets *s, const struct socket_piece *piece, size_t n, int flags,
		       uint64_t now);

int socket_setsockopt(struct sockets *s, sock_id id, int level, int name, const void *value,
		      socklen_t len, uint64_t now);
int socket_getsockopt(struct sockets *s, sock_id id, int level, int name, void *value,
		      socklen_t *len, uint64_t now);
/* Whether an urgent octet has been told of and is not read, and its sequence number. */
bool socket_urgent(struct sockets *s, sock_id id, uint32_t *at);
/* FIONREAD, SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK, FIONBIO; -ENOTTY. */
int socket_ioctl(struct sockets *s, sock_id id, unsigned long request, int *value, uint64_t now);

/*
 * Options and settings that were refused because there is no such thing here: the I-th of them,
 * each once, from 0 on; its level and name (-1, 0: a sysctl). False: there are no more. For whoever
 * logs it.
 */
bool sockets_refused(const struct sockets *s, unsigned i, int *level, int *name);

/* ---- Readiness ------------------------------------------------------------------------------ */

/* POLLIN, POLLOUT, POLLPRI, POLLERR, POLLHUP, POLLRDHUP, POLLRDNORM, ...: all that hold now. */
short socket_readiness(struct sockets *s, sock_id id);
/* Every connection's own number in the stack; 0: none. */
cpl_handle socket_handle(struct sockets *s, sock_id id);

enum socket_op {
	SOCKET_CONNECT,
	SOCKET_ACCEPT,
	SOCKET_SEND,
	SOCKET_RECV,
	SOCKET_CLOSE
};

/*
 * A call OP returned would-block, or fell short: DONE bytes of ASKED so far, with FLAGS, begun at
 * BEGAN. Is it to wait, and for what? Returns false: it is to return what it has, *RESULT (a count
 * or a negative errno, -EAGAIN after SO_RCVTIMEO). True: call again when one of *EVENTS holds, or
 * at *UNTIL (CPL_NEVER: only then).
 */
bool socket_wait(struct sockets *s, sock_id id, enum socket_op op, int flags, size_t done,
		 size_t asked, uint64_t began, short *events, uint64_t *until, long *result,
		 uint64_t now);

/* ---- epoll(7), for the sockets of one struct sockets ---------------------------------------- */

struct socket_event {
	uint32_t events; /* EPOLL* */
	uint64_t data;
};

int socket_epoll_new(struct sockets *s, epoll_id *set);
void socket_epoll_free(struct sockets *s, epoll_id set);
/*
 * EPOLL_CTL_ADD, MOD, DEL of TOKEN (the descriptor: one socket may be there under several) with
 * EPOLLIN, OUT, PRI, RDHUP, ERR, HUP, ET, ONESHOT, EXCLUSIVE. -EEXIST, -ENOENT, -EINVAL, -ENOSPC.
 * A socket that is closed leaves all sets.
 */
int socket_epoll_ctl(struct sockets *s, epoll_id set, int op, sock_id id, int token,
		     const struct socket_event *event);
/* What is ready, in turn (the one reported goes to the end), as epoll_wait(2). */
unsigned socket_epoll_take(struct sockets *s, epoll_id set, struct socket_event *events,
			   unsigned max);
/*
 * One thread more (1) or fewer (-1) sleeps on SET: EPOLLEXCLUSIVE wakes one set that is slept on.
 * Of sets of which this was never said, it wakes the first.
 */
void socket_epoll_waiting(struct sockets *s, epoll_id set, int change);
bool socket_epoll_ready(struct sockets *s, epoll_id set);
/* A call on ID may have taken what its sets had to report: they count as woken. */
void socket_epolls_touch(struct sockets *s, sock_id id);

/* ---- Linux's names for the settings of the stack -------------------------------------------- */

/*
 * "net.ipv4.tcp_sack=0" and the like, values as Linux writes them ("4096 131072 6291456"): of new
 * connections. -ENOENT: no such name, or nothing here that it could mean; -EINVAL: the value.
 */
int sockets_sysctl_set(struct sockets *s, const char *name, const char *value, uint64_t now);
/* Into TEXT, as Linux writes it. -ENOENT, -ENOSPC. */
int sockets_sysctl_get(struct sockets *s, const char *name, char *text, size_t size);

#endif
