/* SPDX-License-Identifier: MIT */
/*
 * Two stacks with sockets, a and b, on one memory link, in virtual time. What is sent arrives at
 * once. The calls have short forms for tests, which return what the call does.
 */
#ifndef TESTS_UTIL_SOCKET_NET_H
#define TESTS_UTIL_SOCKET_NET_H

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "socket/socket.h"
#include "tests/util/heap.h"

struct side {
	cpl_stack *stack;
	struct sockets *s;
	struct heap heap;
	int ifindex;
};

struct net {
	struct side a, b;
	uint64_t now;
	bool cut;    /* nothing gets through */
	bool unseen; /* the sockets do not hear of what happens until they are asked */
	unsigned frames;
};

union name {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* 10.0.0.1, 10.0.0.2 and fd00::1, fd00::2; each has 127.0.0.1 and ::1 as well. */
void net_start(struct net *n);
/* Fails if a stack kept memory. */
void net_end(struct net *n);
/* All that can arrive does, and NS pass. */
void net_run(struct net *n, uint64_t ns);

union name name4(const char *addr, uint16_t port);
union name name6(const char *addr, uint16_t port);
socklen_t name_len(const union name *name);

sock_id net_tcp(struct side *side);
sock_id net_udp(struct side *side);
sock_id net_socket(struct side *side, int domain, int type);
int net_bind(struct net *n, struct side *side, sock_id id, const char *addr, uint16_t port);
int net_connect(struct net *n, struct side *side, sock_id id, const char *addr, uint16_t port);
/* A listener on PORT of all addresses. */
sock_id net_listen(struct net *n, struct side *side, uint16_t port);
/* The next connection; it must be there. */
sock_id net_accept(struct net *n, struct side *side, sock_id listener);
/* A connection from a to PORT of b, where LISTENER listens. */
void net_pair(struct net *n, sock_id listener, uint16_t port, sock_id *a, sock_id *b);

long net_send(struct net *n, struct side *side, sock_id id, const void *data, size_t len,
	      int flags);
long net_recv(struct net *n, struct side *side, sock_id id, void *data, size_t len, int flags);
int net_set(struct net *n, struct side *side, sock_id id, int level, int name, int v);
/* The number, or a negative errno. */
int net_get(struct net *n, struct side *side, sock_id id, int level, int name);
/* The error that SO_ERROR tells. */
int net_error(struct net *n, struct side *side, sock_id id);

#endif
