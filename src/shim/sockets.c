/* SPDX-License-Identifier: MIT */
/* socket(2), bind(2), listen(2), connect(2), accept(2) and what else is said of a socket by name:
 * addresses and options. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/shim.h"

/* ---- Making --------------------------------------------------------------------------------- */

/* Datagrams of ICMP are not Couplet's, nor are raw sockets: there the kernel says so itself. */
static bool ours(int domain, int type, int protocol)
{
	type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (domain != AF_INET && domain != AF_INET6)
		return false;
	return (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) ||
	       (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP));
}

static int made(struct shim_slot *slot, int domain, int type, bool cloexec, bool nonblock)
{
	int fd = call_descriptor(slot, cloexec);

	if (fd < 0) {
		errno = EMFILE;
		return -1;
	}
	if ((unsigned)fd >= FDS_MAX) {
		REAL(close)(fd);
		errno = EMFILE;
		return -1;
	}
	/* So that fcntl(F_GETFL) tells it, here and in whoever inherits it. */
	if (nonblock)
		REAL(fcntl)(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	fd_set_socket(fd, slot->answer.sock, slot->answer.id, domain, type);
	return fd;
}

EXPORT int socket(int domain, int type, int protocol)
{
	struct shim_slot *slot;
	int64_t result;
	int fd = -1;

	if (!ours(domain, type, protocol) || !process_served())
		return REAL(socket)(domain, type, protocol);
	fd = inline_socket(domain, type, protocol);
	if (fd != INLINE_ASK)
		return fd;
	fd = -1;
	slot = call_begin(SHIM_SOCKET, -1, 0);
	if (!slot)
		return -1;
	slot->request.arg[0] = domain;
	slot->request.arg[1] = type;
	slot->request.arg[2] = protocol;
	result = call_do(slot, false);
	if (result == 0)
		fd = made(slot, domain, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), type & SOCK_CLOEXEC,
			  type & SOCK_NONBLOCK);
	else
		errno = (int)-result;
	call_end(slot);
	return fd;
}

static int name_out(const void *name, socklen_t n, struct sockaddr *addr, socklen_t *len)
{
	if (!addr)
		return 0;
	if (bad_pointer(len, sizeof(*len)) || bad_pointer(addr, *len)) {
		errno = EFAULT;
		return -1;
	}
	if ((int)*len < 0) {
		errno = EINVAL;
		return -1;
	}
	memcpy(addr, name, n < *len ? n : *len);
	*len = n;
	return 0;
}

/* Is there room for a descriptor? The kernel asks before it takes the connection. */
static bool room_for_descriptor(int fd)
{
	int copy = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, 0);

	if (copy < 0)
		return false;
	fd_drop(copy);
	return true;
}

/* Its peer's name, if the program wants it. */
static int accepted(int conn, const struct sockaddr_storage *name, socklen_t n,
		    struct sockaddr *addr, socklen_t *len)
{
	int err;

	if (!name_out(name, n, addr, len))
		return conn;
	err = errno;
	close(conn);
	errno = err;
	return -1;
}

EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	const struct fd *f = fd_socket(fd);
	struct shim_slot *slot;
	struct sockaddr_storage name;
	socklen_t name_len;
	int64_t result;
	int conn;

	if (!f)
		return REAL(accept4)(fd, addr, len, flags);
	if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) {
		errno = EINVAL;
		return -1;
	}
	pthread_testcancel();
	conn = inline_accept(fd, &name, &name_len, flags);
	if (conn != INLINE_ASK)
		return conn < 0 ? -1 : accepted(conn, &name, name_len, addr, len);
	if (!room_for_descriptor(fd))
		return -1;
	slot = call_begin(SHIM_ACCEPT, fd, f->token);
	if (!slot)
		return -1;
	slot->request.flags = flags & SOCK_NONBLOCK;
	result = call_do(slot, false);
	conn = -1;
	if (result == 0)
		conn = made(slot, f->domain, f->type, flags & SOCK_CLOEXEC, flags & SOCK_NONBLOCK);
	else
		errno = (int)-result;
	memcpy(&name, slot->name, sizeof(name));
	name_len = slot->answer.name_len;
	call_end(slot);
	return conn < 0 ? -1 : accepted(conn, &name, name_len, addr, len);
}

EXPORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	return accept4(fd, addr, len, 0);
}

/* ---- Names ---------------------------------------------------------------------------------- */

static int with_name(enum shim_op op, int fd, const struct fd *f, const struct sockaddr *addr,
		     socklen_t len)
{
	struct shim_slot *slot;
	int64_t result;

	if (len > SHIM_NAME) {
		errno = EINVAL;
		return -1;
	}
	if (bad_pointer(addr, len)) {
		errno = EFAULT;
		return -1;
	}
	slot = call_begin(op, fd, f->token);
	if (!slot)
		return -1;
	slot->request.name_len = len;
	memcpy(slot->name, addr, len);
	result = call_do(slot, false);
	call_end(slot);
	return (int)result_of(result);
}

EXPORT int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	const struct fd *f = fd_socket(fd);

	return f ? with_name(SHIM_BIND, fd, f, addr, len) : REAL(bind)(fd, addr, len);
}

EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	const struct fd *f = fd_socket(fd);

	if (!f)
		return REAL(connect)(fd, addr, len);
	pthread_testcancel();
	return with_name(SHIM_CONNECT, fd, f, addr, len);
}

EXPORT int listen(int fd, int backlog)
{
	const struct fd *f = fd_socket(fd);

	return f ? (int)call_simple(SHIM_LISTEN, fd, f->token, backlog, 0, 0)
		 : REAL(listen)(fd, backlog);
}

EXPORT int shutdown(int fd, int how)
{
	const struct fd *f = fd_socket(fd);

	return f ? (int)call_simple(SHIM_SHUTDOWN, fd, f->token, how, 0, 0)
		 : REAL(shutdown)(fd, how);
}

static int get_name(enum shim_op op, int fd, const struct fd *f, struct sockaddr *addr,
		    socklen_t *len)
{
	struct shim_slot *slot;
	int64_t result;
	int err = -1;

	if (bad_pointer(len, sizeof(*len))) {
		errno = EFAULT;
		return -1;
	}
	slot = call_begin(op, fd, f->token);
	if (!slot)
		return -1;
	result = call_do(slot, false);
	if (result < 0)
		errno = (int)-result;
	else if (!addr && *len)
		errno = EFAULT;
	else
		err = name_out(slot->name, slot->answer.name_len, addr, len);
	call_end(slot);
	return err;
}

EXPORT int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
	const struct fd *f = fd_socket(fd);

	return f ? get_name(SHIM_SOCKNAME, fd, f, addr, len) : REAL(getsockname)(fd, addr, len);
}

EXPORT int getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
	const struct fd *f = fd_socket(fd);

	return f ? get_name(SHIM_PEERNAME, fd, f, addr, len) : REAL(getpeername)(fd, addr, len);
}

/* ---- Options -------------------------------------------------------------------------------- */

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	const struct fd *f = fd_socket(fd);
	struct shim_slot *slot;
	int64_t result;

	if (!f)
		return REAL(setsockopt)(fd, level, name, value, len);
	if ((int)len < 0) {
		errno = EINVAL;
		return -1;
	}
	if (bad_pointer(value, len)) {
		errno = EFAULT;
		return -1;
	}
	slot = call_begin(SHIM_SETOPT, fd, f->token);
	if (!slot)
		return -1;
	slot->request.arg[0] = level;
	slot->request.arg[1] = name;
	slot->request.data_len = len < SHIM_DATA ? len : SHIM_DATA;
	if (len)
		memcpy(slot->data, value, slot->request.data_len);
	result = call_do(slot, false);
	call_end(slot);
	return (int)result_of(result);
}

EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	const struct fd *f = fd_socket(fd);
	struct shim_slot *slot;
	int64_t result;

	if (!f)
		return REAL(getsockopt)(fd, level, name, value, len);
	if (bad_length(len))
		return -1;
	if (bad_pointer(value, *len)) {
		errno = EFAULT;
		return -1;
	}
	slot = call_begin(SHIM_GETOPT, fd, f->token);
	if (!slot)
		return -1;
	slot->request.arg[0] = level;
	slot->request.arg[1] = name;
	slot->request.data_room = *len < SHIM_DATA ? *len : SHIM_DATA;
	if (*len)
		memcpy(slot->data, value, slot->request.data_room);
	result = call_do(slot, false);
	if (result == 0) {
		socklen_t n = slot->answer.data_len;

		if (n && *len)
			memcpy(value, slot->data, n < *len ? n : *len);
		*len = n;
	} else if (result == -EINVAL && *len < slot->answer.data_len) {
		*len = slot->answer.data_len; /* it is too short */
	}
	call_end(slot);
	return (int)result_of(result);
}
