/* SPDX-License-Identifier: MIT */
/*
 * How a program's process (the client) and the server of shim/server.h talk.
 *
 * A process connects to the server's unix socket (SOCK_SEQPACKET), says SHIM_HELLO and gets a
 * struct shim_hello with two descriptors: its own memory (struct shim_area, sealed, shared by these
 * two alone) and the server's board (struct shim_board, which clients can only read). The
 * connection also carries descriptors, rings the server when it sleeps, and tells each side that
 * the other is gone. A process that forks connects for its child beforehand, so that the child is
 * served also when it has given up the right to connect.
 *
 * A call is a slot of the area: each thread has one of its own. The client fills it, sets its state
 * to SHIM_ASKED, its bit in `asked`, and sends SHIM_RING if `asleep` is set. The server copies the
 * request, checks it, and answers at once or later (a call that blocks is parked there): it writes
 * the answer and sets the state to SHIM_DONE. Who sleeps until that has announced it with
 * SHIM_WAITED, and reads from the slot's waker: the server writes an octet to its other end, and
 * when it dies, however that comes about, the kernel says so there. Where there is no descriptor
 * left for a waker, it is the state that is slept on (FUTEX_WAIT). `cancel` asks for an end with
 * what there is, or -EINTR.
 *
 * Each descriptor of a socket is one end of a pair of unix sockets whose other end the server
 * holds: when the last copy closes, in whatever process, that end hangs up. No octet ever passes
 * there. An epoll descriptor that is to live on over execve() has such a pair beside it, made by
 * the client: who finds one end among its descriptors asks the server by its inode (SHIM_FIND) what
 * set that is, and knows the epoll descriptor by the KEY that the client gave its bell in it.
 */
#ifndef SHIM_PROTOCOL_H
#define SHIM_PROTOCOL_H

#include <stdatomic.h>
#include <stdint.h>

#define SHIM_MAGIC   0x4853504cu
#define SHIM_VERSION 2u
#define SHIM_SLOTS   512u	  /* of one process */
#define SHIM_DATA    (128u << 10) /* octets that one call carries */
#define SHIM_NAME    128u	  /* of an address */
#define SHIM_CONTROL 1024u	  /* of control data */
#define SHIM_EPOLLS  4096u

/*
 * A socket, as the server and who made it inline name it: not to be guessed. 0: none. The low half
 * is the engine's place.
 */
typedef uint64_t shim_token;

enum shim_state {
	SHIM_FREE,
	SHIM_ASKED,
	SHIM_WAITED, /* asked, and the client sleeps */
	SHIM_DONE,
};

/* The answer takes its time, and a time limit of the socket's may be the end of that. */
enum shim_parked {
	SHIM_PARKED = 1,
	SHIM_PARKED_LIMIT,
};

/* What a call is: arg[] and what else it takes and gives. Results are those of the system call. */
enum shim_op {
	SHIM_SOCKET = 1, /* domain, type (SOCK_NONBLOCK too), protocol; gives token; a descriptor */
	SHIM_CLOSED,	 /* a copy of the descriptor was closed: is it the last? */
	SHIM_BIND,	 /* name */
	SHIM_LISTEN,	 /* backlog */
	SHIM_CONNECT,	 /* name; 1: begun inline, to be waited for */
	SHIM_ACCEPT,	 /* flags; gives token, name; a descriptor */
	SHIM_SEND,	 /* flags; name, control, data */
	SHIM_RECV,	 /* flags, name wanted; gives name, control, data; arg[0]: flags */
	SHIM_SHUTDOWN,	 /* how */
	SHIM_SOCKNAME,	 /* gives name */
	SHIM_PEERNAME,
	SHIM_SETOPT,   /* level, name; data */
	SHIM_GETOPT,   /* level, name, room; gives data */
	SHIM_IOCTL,    /* request, value; gives arg[0] */
	SHIM_NONBLOCK, /* 0, 1 */
	SHIM_ASYNC,    /* 0, 1 */
	SHIM_OWNER,    /* of its signals: a process, or a group if negative */
	/* Data: shim_poll[arg[0]]. arg[1]: timeout in ns, -1: none; arg[2]: shim_poll_how */
	SHIM_POLL,
	SHIM_EPOLL_NEW,	 /* gives token, arg[0]: place on the board; a descriptor (its bell) */
	SHIM_EPOLL_CTL,	 /* token of the set; op, token of the socket, fd, events, data */
	SHIM_EPOLL_TAKE, /* token of the set; most events; gives data: shim_event[] */
	SHIM_EPOLL_FREE, /* token of the set: this process has it no more */
	/* inode of a descriptor; gives token, arg[0]: domain, arg[1]: type; of a set: -1, its place
	 * on the board, and its KEY as data */
	SHIM_FIND,
	/* data: shim_name_ask; gives data: shim_name_answer[]; of an address, what was asked with
	 * node and service */
	SHIM_NAMES,
	SHIM_ADDRS, /* gives data: shim_addr[] */
	SHIM_OPS
};

enum shim_poll_how {
	SHIM_POLL_WAIT,	  /* park the call */
	SHIM_POLL_ARM,	  /* if none is ready: return 0 and write to the thread's bell later */
	SHIM_POLL_DISARM, /* what is ready now; no more bell */
};

struct shim_poll {
	shim_token sock;
	int16_t events, revents;
	uint32_t reserved;
};

struct shim_event {
	uint32_t events, reserved;
	uint64_t data;
};

struct shim_addr {
	char ifname[16];
	uint8_t addr[16];
	uint32_t ifindex, prefix_len;
};

/* SHIM_NAMES: what is asked, and each address of the answer. */
struct shim_name_ask {
	int32_t flags, family, socktype, protocol;
	uint32_t has;	   /* 1: node, 2: service, 4: hints */
	uint32_t addr_len; /* not 0: the names of this address are asked for, with FLAGS NI_* */
	uint8_t addr[28];
	char node[256], service[64];
};

struct shim_name_answer {
	int32_t flags, family, socktype, protocol;
	uint32_t addr_len;
	uint8_t addr[28];
	char canon[256]; /* empty: none */
};

/* A result of SHIM_NAMES: less this, the magnitude of EAI_*. */
#define SHIM_EAI       (-4096)
#define SHIM_NAMES_MAX (SHIM_DATA / sizeof(struct shim_name_answer))

struct shim_request {
	uint32_t op;
	int32_t fd;    /* the program's descriptor, for those who look */
	int64_t flags; /* MSG_*, SOCK_* */
	shim_token sock;
	int64_t arg[6];
	uint32_t name_len, control_len, data_len;
	uint32_t data_room;
};

struct shim_answer {
	int64_t result; /* a count, or a negative errno */
	shim_token sock;
	int64_t arg[2];
	uint64_t id; /* the engine's, of what token names: for shim/inline.h */
	uint32_t name_len, control_len, data_len;
	uint32_t descriptors; /* that were sent to the connection with this slot's number */
};

struct shim_slot {
	_Atomic uint32_t state; /* enum shim_state; a futex */
	_Atomic uint32_t cancel;
	_Atomic uint32_t parked; /* enum shim_parked */
	_Atomic uint32_t wakers; /* that were sent for it so far */
	struct shim_request request;
	struct shim_answer answer;
	_Alignas(64) uint8_t name[SHIM_NAME];
	uint8_t control[SHIM_CONTROL];
	_Alignas(4096) uint8_t data[SHIM_DATA];
};

struct shim_area {
	_Atomic uint32_t asleep;			      /* ring for it */
	_Alignas(64) _Atomic uint64_t asked[SHIM_SLOTS / 64]; /* slots with a new request */
	_Alignas(4096) struct shim_slot slots[SHIM_SLOTS];
};

/* Written by the server, read by all. */
struct shim_board {
	_Atomic uint32_t epoll_ready[SHIM_EPOLLS];
};

enum shim_message_type {
	SHIM_HELLO = 1, /* client: who it is; server: struct shim_hello */
	SHIM_RING,	/* client: look at `asked` */
	SHIM_BELL,	/* client: the eventfd of SLOT's thread is attached */
	SHIM_WAKER,	/* client: the other end of SLOT's waker, a pair of its own, is attached */
	SHIM_HOLDER,	/* client: the set at place SLOT lives on over execve(): see below */
	SHIM_HEIR,	/* client: this connection is for a child of the process with KEY; server:
			 * that is known now */
	SHIM_GIFT,	/* server: the descriptor of SLOT's answer is attached */
	SHIM_SHUT_IN,	/* client: its filter of system calls lacks KEY, bits of SHIM_NEEDS() */
	SHIM_ADOPT,	/* client: `adopt` was made inline; the other end is attached */
};

/* The system calls that a program's calls make once all is there; to ring, write() will do. */
#define SHIM_NEEDS(X)                                                                              \
	X(read)                                                                                    \
	X(write)                                                                                   \
	X(ppoll)                                                                                   \
	X(close)

struct shim_adopt {
	shim_token token;
	uint64_t inode; /* of the descriptor */
	uint64_t id;	/* the engine's */
	int32_t fd;	/* the program's */
	uint16_t domain, type;
};

struct shim_message {
	uint32_t magic, type;
	uint32_t slot;
	uint32_t version;
	uint64_t key;
	uint64_t inode; /* SHIM_HOLDER */
	union {
		char program[16];
		struct shim_adopt adopt;
	};
};

struct shim_hello {
	uint32_t magic, type, version;
	uint32_t cpus;
	uint64_t key; /* of this client: to be shown with SHIM_HEIR */
	/* Where the arena of shim/inline.h is; then its descriptor, the device and an eventfd that
	 * says that the server did something follow. 0: none. */
	uint64_t arena;
};

#endif
