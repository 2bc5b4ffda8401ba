/* SPDX-License-Identifier: MIT */
/* See loopback.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/stat.h>

#include "tests/util/loopback.h"

union name loopback(int family, uint16_t port)
{
	union name a;

	memset(&a, 0, sizeof(a));
	a.any.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a.in.sin_port = htons(port);
	} else {
		a.in6.sin6_addr = in6addr_loopback;
		a.in6.sin6_port = htons(port);
	}
	return a;
}

socklen_t name_size(const union name *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
}

uint16_t port_of(int fd)
{
	union name a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, &a.any, &len), 0);
	return ntohs(a.any.sa_family == AF_INET ? a.in.sin_port : a.in6.sin6_port);
}

int bound(const union name *a, int type)
{
	int fd = socket(a->any.sa_family, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &a->any, name_size(a)), 0);
	return fd;
}

int listener_on(const union name *a, int backlog)
{
	int fd = bound(a, SOCK_STREAM);

	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

int listener(int family, int backlog)
{
	union name a = loopback(family, 0);

	return listener_on(&a, backlog);
}

int connected(int family, uint16_t port)
{
	union name a = loopback(family, port);
	int fd = socket(family, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &a.any, name_size(&a)), 0);
	return fd;
}

struct pair pair_open(int family)
{
	struct pair p = { .listener = listener(family, 4) };

	p.port = port_of(p.listener);
	p.client = connected(family, p.port);
	p.client_port = port_of(p.client);
	p.server = accept(p.listener, NULL, NULL);
	assert_true(p.server >= 0);
	return p;
}

void pair_close(struct pair *p)
{
	struct linger hard = { .l_onoff = 1 };

	setsockopt(p->client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(p->client);
	close(p->server);
	close(p->listener);
}

uint64_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}
