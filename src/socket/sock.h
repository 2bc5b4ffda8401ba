/* SPDX-License-Identifier: MIT */
/*
 * What the files of src/socket share: a socket, its options, the table of all. Who owns what: a
 * socket owns its handle of the stack from socket(2) on (TCP), or from when it is bound (UDP).
 */
#ifndef SOCKET_SOCK_H
#define SOCKET_SOCK_H

#include "socket/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "stack/sockets.h"

/* What the kernel calls socket->state. */
enum sock_stage {
	SOCK_UNCONNECTED,
	SOCK_CONNECTING,
	SOCK_CONNECTED,
};

#define SHUT_RCV  1u
#define SHUT_SND  2u
#define SHUT_BOTH 3u

/* Options that are a number to be kept; what more they do stands in option*.c. */
enum sock_opt {
	/* SOL_SOCKET */
	OPT_REUSEADDR,
	OPT_REUSEPORT,
	OPT_KEEPALIVE,
	OPT_BROADCAST,
	OPT_OOBINLINE,
	OPT_DONTROUTE,
	OPT_PRIORITY,
	OPT_MARK,
	OPT_RCVLOWAT,
	OPT_TIMESTAMP,
	OPT_TIMESTAMPNS,
	OPT_RXQ_OVFL,
	OPT_BUSY_POLL,
	OPT_INCOMING_CPU,
	OPT_NO_CHECK,
	OPT_PEEK_OFF,
	OPT_NOFCS,
	OPT_ZEROCOPY,
	OPT_BUF_LOCK,
	OPT_SELECT_ERR_QUEUE,
	OPT_PREFER_BUSY_POLL,
	OPT_PASSCRED,
	OPT_TXREHASH,
	OPT_RCVMARK,
	/* IPPROTO_TCP */
	OPT_NODELAY,
	OPT_CORK,
	OPT_SYNCNT,
	OPT_LINGER2,
	OPT_DEFER_ACCEPT,
	OPT_WINDOW_CLAMP,
	OPT_QUICKACK,
	OPT_THIN_LINEAR,
	OPT_USER_TIMEOUT,
	OPT_FASTOPEN,
	OPT_FASTOPEN_CONNECT,
	OPT_FASTOPEN_NO_COOKIE,
	OPT_TCP_TIMESTAMP,
	OPT_NOTSENT_LOWAT,
	OPT_SAVE_SYN,
	OPT_INQ,
	OPT_TX_DELAY,
	OPT_MAXSEG,
	/* IPPROTO_IP */
	OPT_TOS,
	OPT_TTL,
	OPT_MULTICAST_TTL,
	OPT_MULTICAST_LOOP,
	OPT_PKTINFO,
	OPT_RECVTTL,
	OPT_RECVTOS,
	OPT_RECVERR,
	OPT_RECVORIGDST,
	OPT_MTU_DISCOVER,
	OPT_FREEBIND,
	OPT_TRANSPARENT,
	OPT_MINTTL,
	OPT_BIND_NO_PORT,
	OPT_LOCAL_PORT_RANGE,
	/* IPPROTO_IPV6 */
	OPT_V6ONLY,
	OPT_HOPS,
	OPT_MULTICAST_HOPS,
	OPT_MULTICAST_LOOP6,
	OPT_TCLASS,
	OPT_RECVPKTINFO,
	OPT_RECVHOPLIMIT,
	OPT_RECVTCLASS,
	OPT_RECVERR6,
	OPT_MTU_DISCOVER6,
	OPT_DONTFRAG,
	OPT_AUTOFLOWLABEL,
	OPT_ADDR_PREFERENCES,
	OPT_FREEBIND6,
	OPT_MINHOPS,
	OPT_FLOWINFO_SEND,
	/* UDP */
	OPT_UDP_CORK,
	OPT_UDP_SEGMENT,
	OPT_UDP_GRO,
	OPTS
};

/* All that accept(2) copies from the listener. */
struct sock_options {
	int v[OPTS];
	uint32_t sndbuf, rcvbuf;     /* as set, doubled; 0: the stack's */
	uint64_t sndtimeo, rcvtimeo; /* ns; 0: for ever */
	uint64_t max_pacing_rate;
	uint32_t linger_s;
	bool linger;
	uint32_t ifindex; /* SO_BINDTODEVICE; 0: any */
};

struct sock {
	struct list woken;   /* sockets.woken */
	struct list watches; /* struct watch, by socket */
	cpl_handle handle;
	uint64_t cookie;
	uint64_t gen;
	uint16_t domain;
	uint8_t type;
	uint8_t protocol; /* as given: 0 has become TCP's or UDP's */
	uint8_t stage;	  /* enum sock_stage */
	uint8_t shutdown; /* SHUT_RCV, SHUT_SND */
	bool nonblock;
	bool bound_addr, bound_port; /* by bind(2): kept when the connection goes */
	bool over;		     /* the end of the connection has been seen */
	bool has_port;		     /* it holds local.port, which otherwise is a memory */
	bool resumed;		     /* a send that opens the connection has been waited for */
	uint32_t taken;		     /* ... and has sent so much already */
	bool closing;		     /* close(2) lingers */
	int error;		     /* SO_ERROR: to be told once */
	int soft_error;		     /* told by SO_ERROR alone */
	struct cpl_endpoint local;   /* as bound; TCP: the connection knows better */
	struct cpl_endpoint remote;  /* UDP: connected to; port 0: not */
	struct list errors;	     /* struct sock_error: MSG_ERRQUEUE */
	struct cork *cork;	     /* UDP: of a datagram that is not whole yet, or NULL */
	struct socket_owner owner;
	struct sock_options o;
};

#define REFUSED_MAX 32

struct sockets {
	cpl_stack *stack;
	struct mem *mem;
	struct sockets_config config;
	struct pool socks, epolls, watches, errors;
	struct list woken;	  /* sock.woken */
	struct list epolls_woken; /* epoll_set.woken */
	uint64_t wakes;		  /* so often was any of both woken */
	uint64_t gen;
	uint64_t cookies;
	int asked_level, asked_name;
	struct refused {
		int level, name;
	} refused[REFUSED_MAX]; /* options that are not there, each once */
	unsigned refused_n;
	uint8_t *scratch; /* a datagram, gathered; made on first use */
	uint32_t somaxconn;
	struct list kept; /* sysctl.c */
	uint8_t fastopen_key[32];
	uint8_t fastopen_key_len; /* 0: none was set */
	uint32_t rmem_max, wmem_max, rmem_default, wmem_default;
	uint32_t syn_retries, synack_retries, retries2; /* as sysctl has them */
};

#define SOCKETS_SCRATCH 65536u

/* ---- socket.c ---- */
struct sock *sock_get(struct sockets *s, sock_id id);
sock_id sock_id_of(struct sockets *s, const struct sock *so);
static inline bool sock_is_stream(const struct sock *so)
{
	return so->type == SOCK_STREAM;
}
/* The connection's status, and what it means to the socket: its error, what is shut down. */
void sock_look(struct sockets *s, struct sock *so, struct conn_status *st);
/* The error to be told, once; a positive errno or 0. */
int sock_take_error(struct sock *so);
/* Something happened: MASK of POLL* as the kernel's wake-ups have it; 0: anything may have. */
void sock_wake(struct sockets *s, struct sock *so, uint32_t mask);
/* The kernel's tcp_disconnect(): unconnected again, bound as bind(2) said. */
int sock_disconnect(struct sockets *s, struct sock *so, uint64_t now);
/* close(2) with SO_LINGER: the FIN is not acknowledged yet. */
bool sock_lingers(struct sockets *s, const struct sock *so);
struct sock *sock_new(struct sockets *s, int domain, int type);
void sock_free(struct sockets *s, struct sock *so);

/* ---- name.c ---- */
/* An address that a program gives, to be bound or to be connected to. 0 or -errno. */
int name_local(const struct sock *so, const struct sockaddr *addr, socklen_t len,
	       struct cpl_endpoint *at);
/* SCOPED: a link-local address must say by which interface. */
int name_remote(struct sockets *s, const struct sock *so, const struct sockaddr *addr,
		socklen_t len, bool scoped, struct cpl_endpoint *at);
/* Into ADDR, cut to *LEN; *LEN becomes the whole length. ADDR NULL: nothing. */
void name_out(const struct sock *so, const struct cpl_endpoint *at, struct sockaddr *addr,
	      socklen_t *len);
/* "Any" of the socket's family. */
struct cpl_addr name_any(const struct sock *so);
/* A port for a socket that has none yet. */
/* A multicast or broadcast address: nobody's own. */
bool name_is_group(struct sockets *s, const struct cpl_addr *addr);
bool sock_has_port(struct sockets *s, const struct sock *so);
int sock_autobind(struct sockets *s, struct sock *so, uint64_t now);

/* ---- stream.c, datagram.c ---- */
long stream_send(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		 uint64_t now);
long stream_receive(struct sockets *s, struct sock *so, struct msghdr *msg, int flags,
		    uint64_t now);
/* The first half of connect(2); FASTOPEN: the SYN awaits data. */
int stream_begin(struct sockets *s, struct sock *so, const struct sockaddr *addr, socklen_t len,
		 bool fastopen, const struct conn_status *st, uint64_t now);
/* The attempt has ended without a connection: the socket is as it was before. */
int stream_failed(struct sockets *s, struct sock *so, uint64_t now);
int datagram_connect(struct sockets *s, struct sock *so, const struct sockaddr *addr, socklen_t len,
		     uint64_t now);
int datagram_disconnect(struct sockets *s, struct sock *so, uint64_t now);
long datagram_send(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		   uint64_t now);
long datagram_receive(struct sockets *s, struct sock *so, struct msghdr *msg, int flags,
		      uint64_t now);
int datagram_bind(struct sockets *s, struct sock *so, const struct cpl_endpoint *at, uint64_t now);
/* Who holds it, once it is bound. */
void datagram_owner(struct sockets *s, const struct sock *so);
/* UDP_CORK, MSG_MORE: what was begun leaves, or is forgotten. */
int datagram_push(struct sockets *s, struct sock *so, uint64_t now);
void datagram_drop(struct sockets *s, struct sock *so);
struct udp_socket *sock_udp(struct sockets *s, const struct sock *so);
size_t iov_total(const struct msghdr *msg);

/* ---- fastopen.c ---- */
bool fastopen_concerns(const struct sock *so, const struct conn_status *st, int flags);
long fastopen_send(struct sockets *s, struct sock *so, const struct msghdr *msg, int flags,
		   struct conn_status *st, uint64_t now);
/* 16 octets, or 32 with the backup. */
int fastopen_set_keys(struct sockets *s, const uint8_t *key, socklen_t len);
/* As net.ipv4.tcp_fastopen_key. */
int fastopen_read_keys(struct sockets *s, const char *text);

/* ---- control.c ---- */
struct control {
	char *base;
	size_t room, used;
	bool cut;
};
void control_begin(struct control *c, const struct msghdr *msg);
void control_put(struct control *c, int level, int type, const void *data, size_t n);
void control_end(const struct control *c, struct msghdr *msg);
void control_timestamp(struct sockets *s, const struct sock *so, struct control *c, uint64_t time);
void control_received(struct sockets *s, const struct sock *so, const struct udp_datagram *d,
		      uint64_t drops, struct control *c);
/* *SEGMENT: of UDP_SEGMENT. -EINVAL. */
int control_send(const struct sock *so, const struct msghdr *msg, struct udp_how *how,
		 uint16_t *segment);

/* ---- errqueue.c: MSG_ERRQUEUE ---- */
long errqueue_receive(struct sockets *s, struct sock *so, struct msghdr *msg);
/* What this end itself refused to send to TO. */
void errqueue_local(struct sockets *s, struct sock *so, const struct cpl_endpoint *to, int error,
		    uint64_t now);
/* What ICMP said of datagrams; of a connection, of which less is known. */
void errqueue_take(struct sockets *s, struct sock *so);
void errqueue_soft(struct sockets *s, struct sock *so, const struct conn_status *st);
bool errqueue_wanted(const struct sock *so);
void errqueue_init(struct sockets *s);
void errqueue_clear(struct sockets *s, struct sock *so);

/* ---- option*.c ---- */

/* An option that is a number: how it is checked and kept. */
struct option_def {
	int name;
	enum sock_opt slot;
	int min, max; /* both 0: a switch, any value but 0 is 1 */
	int first;    /* as made */
	uint8_t only; /* SOCK_STREAM or SOCK_DGRAM; 0: both */
};
struct option_level {
	const struct option_def *defs;
	unsigned n;
};
extern const struct option_level options_socket, options_tcp, options_udp, options_ip, options_ip6;

void options_init(struct sock *so);
const struct option_def *option_find(const struct option_level *level, const struct sock *so,
				     int name);
/* Checked against DEF and kept. 0, -EINVAL. */
int option_keep(struct sock *so, const struct option_def *def, int v);
/* The number that a program gives. -EINVAL: too short for one. */
int option_number(const void *value, socklen_t len, int *v);
/* What is not had: counted, and ERR returned. */
int option_lacking(struct sockets *s, int err);
/* N bytes into VALUE, cut to *LEN. */
int option_out(void *value, socklen_t *len, const void *from, size_t n);
int option_int(void *value, socklen_t *len, int v);

int options_set_socket(struct sockets *s, struct sock *so, int name, const void *value,
		       socklen_t len, uint64_t now);
int options_get_socket(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		       uint64_t now);
int options_set_ip(struct sockets *s, struct sock *so, int name, const void *value, socklen_t len,
		   uint64_t now);
int options_get_ip(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		   uint64_t now);
int options_set_ip6(struct sockets *s, struct sock *so, int name, const void *value, socklen_t len,
		    uint64_t now);
int options_get_ip6(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		    uint64_t now);
int options_set_tcp(struct sockets *s, struct sock *so, int name, const void *value, socklen_t len,
		    uint64_t now);
int options_get_tcp(struct sockets *s, struct sock *so, int name, void *value, socklen_t *len,
		    uint64_t now);

/* ---- sysctl.c ---- */
void sysctl_destroy(struct sockets *s);
/* How long N retransmissions of a SYN take, and the wait for an answer to the last. */
uint64_t sysctl_syn_time(const struct cpl_config *c, uint32_t n);

/* ---- tcp_info.c ---- */
int tcp_info_out(struct sockets *s, struct sock *so, void *value, socklen_t *len, uint64_t now);
int tcp_cc_info_out(struct sockets *s, struct sock *so, void *value, socklen_t *len, uint64_t now);
int meminfo_out(struct sockets *s, struct sock *so, void *value, socklen_t *len);

/* ---- epoll.c ---- */
struct epoll_set;
void epoll_wake(struct sockets *s, struct sock *so, uint32_t mask);
void epoll_forget(struct sockets *s, struct sock *so);
void epoll_init(struct sockets *s);
void epoll_destroy(struct sockets *s);

#endif
