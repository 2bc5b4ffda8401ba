/* SPDX-License-Identifier: MIT */
/* The kernel's sockets on the loopback, for tests. What fails here fails the test that called. */
#ifndef TESTS_UTIL_LOOPBACK_H
#define TESTS_UTIL_LOOPBACK_H

#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>

union name {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* 127.0.0.1 or ::1 with PORT. */
union name loopback(int family, uint16_t port);
socklen_t name_size(const union name *a);
/* The local port of a socket. */
uint16_t port_of(int fd);
/* The number that the kernel gave the socket. */
uint64_t inode_of(int fd);

/* A socket of TYPE that is bound to A; one that listens; one that listens on the loopback. */
int bound(const union name *a, int type);
int listener_on(const union name *a, int backlog);
int listener(int family, int backlog);
/* A TCP socket connected to PORT of the loopback. */
int connected(int family, uint16_t port);

struct pair {
	int listener, client, server;
	uint16_t port, client_port;
};

struct pair pair_open(int family);
/* By RST: leaves no TIME-WAIT behind for the tests that follow. */
void pair_close(struct pair *p);

#endif
