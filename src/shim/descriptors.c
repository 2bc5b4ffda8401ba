/* SPDX-License-Identifier: MIT */
/*
 * What is done to descriptors whatever they are: close(2) and the like, dup(2), fcntl(2), ioctl(2),
 * fork(2). The kernel does it; here it is noted.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <linux/close_range.h>
#include <unistd.h>

#include "shim/epoll.h"
#include "shim/inliner.h"
#include "shim/shim.h"

/* ---- Closing -------------------------------------------------------------------------------- */

EXPORT int close(int fd)
{
	enum fd_kind kind = fd_kind(fd);
	shim_token token;
	bool alone;
	uint64_t id;
	int err;

	if (__builtin_expect(kind == FD_OTHER, 1))
		return REAL(close)(fd);
	if (kind == FD_OWN) {
		errno = EBADF;
		return -1;
	}
	token = fds[fd].token;
	id = fds[fd].id;
	alone = fd_get(fds[fd].alone) == fds_alone();
	fd_forget(fd);
	err = REAL(close)(fd);
	if (kind == FD_EPOLL) {
		epoll_left(token);
	} else if (!alone || !inline_close(id)) {
		/* Another thread may have a descriptor of that number by now: none is named. */
		int saved = errno;

		call_simple(SHIM_CLOSED, -1, token, 0, 0, 0);
		errno = saved;
	}
	return err;
}

/* From FIRST to LAST, without what is the library's own. */
static int range_real(unsigned first, unsigned last, int flags)
{
	unsigned from = first;

	for (unsigned fd = first; fd <= last && fd < FDS_MAX; fd++) {
		if (fd_kind((int)fd) != FD_OWN)
			continue;
		if (fd > from && REAL(close_range)(from, fd - 1, flags))
			return -1;
		from = fd + 1;
	}
	return from <= last ? REAL(close_range)(from, last, flags) : 0;
}

EXPORT int close_range(unsigned first, unsigned last, int flags)
{
	if (first > last || !process_served())
		return REAL(close_range)(first, last, flags);
	if (!(flags & (int)CLOSE_RANGE_CLOEXEC))
		for (unsigned fd = first; fd <= last && fd < FDS_MAX; fd++)
			if (fd_kind((int)fd) == FD_SOCKET || fd_kind((int)fd) == FD_EPOLL)
				close((int)fd);
	return range_real(first, last, flags);
}

EXPORT void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

/* ---- Copies --------------------------------------------------------------------------------- */

EXPORT int dup(int fd)
{
	int copy = REAL(dup)(fd);

	if (copy >= 0)
		fd_copy(fd, copy);
	return copy;
}

/* FD is about to be replaced: what it was is closed, as by close(). */
static shim_token replaced(int fd, enum fd_kind *kind)
{
	*kind = fd_kind(fd);
	if (*kind == FD_OTHER || *kind == FD_OWN)
		return 0;
	return fds[fd].token;
}

static void after_replaced(enum fd_kind kind, shim_token token)
{
	int saved = errno;

	if (kind == FD_SOCKET)
		call_simple(SHIM_CLOSED, -1, token, 0, 0, 0);
	else if (kind == FD_EPOLL)
		epoll_left(token);
	errno = saved;
}

static int dup_onto(int from, int to, int flags, bool three)
{
	enum fd_kind kind;
	shim_token token = replaced(to, &kind);
	int copy;

	if (kind == FD_OWN) {
		/* The library keeps its descriptors where programs do not look. */
		errno = EBADF;
		return -1;
	}
	copy = three ? REAL(dup3)(from, to, flags) : REAL(dup2)(from, to);
	if (copy < 0 || from == to)
		return copy;
	fd_copy(from, to);
	after_replaced(kind, token);
	return copy;
}

EXPORT int dup2(int from, int to)
{
	return dup_onto(from, to, 0, false);
}

EXPORT int dup3(int from, int to, int flags)
{
	return dup_onto(from, to, flags, true);
}

/* ---- fcntl(2), ioctl(2) --------------------------------------------------------------------- */

static void flags_set(int fd, const struct fd *f, long was, long is)
{
	call_simple(SHIM_NONBLOCK, fd, f->token, (is & O_NONBLOCK) != 0, 0, 0);
	if ((was ^ is) & O_ASYNC)
		call_simple(SHIM_ASYNC, fd, f->token, (is & O_ASYNC) != 0, 0, 0);
}

static int fcntl_any(int fd, int command, long arg)
{
	const struct fd *f = fd_socket(fd);
	long was = f && command == F_SETFL ? REAL(fcntl)(fd, F_GETFL) : 0;
	int result = REAL(fcntl)(fd, command, arg);

	if (result < 0)
		return result;
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		fd_copy(fd, result);
	else if (command == F_SETFL && f)
		flags_set(fd, f, was, arg);
	else if ((command == F_SETOWN || command == F_SETOWN_EX) && f)
		call_simple(SHIM_OWNER, fd, f->token, REAL(fcntl)(fd, F_GETOWN), 0, 0);
	else if (command == F_SETFD && fd_kind(fd) == FD_EPOLL && !(arg & FD_CLOEXEC))
		epoll_keep(fd);
	return result;
}

EXPORT int fcntl(int fd, int command, ...)
{
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	return fcntl_any(fd, command, arg);
}

EXPORT int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

/* What the kernel keeps of a descriptor, whatever it is of: told to the server as well. */
static int ioctl_kept(int fd, const struct fd *f, unsigned long request, int *value)
{
	if (REAL(ioctl)(fd, request, value))
		return -1;
	if (request == FIOASYNC)
		call_simple(SHIM_ASYNC, fd, f->token, *value != 0, 0, 0);
	else if (request == FIOSETOWN || request == SIOCSPGRP)
		call_simple(SHIM_OWNER, fd, f->token, *value, 0, 0);
	return 0;
}

static int ioctl_socket(int fd, const struct fd *f, unsigned long request, int *value)
{
	struct shim_slot *slot;
	int64_t result;

	if (request == FIOCLEX || request == FIONCLEX || request == FIOASYNC ||
	    request == FIOSETOWN || request == FIOGETOWN || request == SIOCSPGRP ||
	    request == SIOCGPGRP)
		return ioctl_kept(fd, f, request, value);
	if (bad_pointer(value, sizeof(*value))) {
		errno = EFAULT;
		return -1;
	}
	if (request == FIONBIO) {
		if (REAL(ioctl)(fd, request, value))
			return -1;
		return (int)call_simple(SHIM_NONBLOCK, fd, f->token, *value != 0, 0, 0);
	}
	slot = call_begin(SHIM_IOCTL, fd, f->token);
	if (!slot)
		return -1;
	slot->request.arg[0] = (int64_t)request;
	slot->request.arg[1] = *value;
	result = call_do(slot, false);
	if (result == 0)
		*value = (int)slot->answer.arg[0];
	call_end(slot);
	return (int)result_of(result);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	const struct fd *f = fd_socket(fd);
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	/* SIOCGIF... of interfaces: of the kernel's in this namespace. */
	if (!f || (request >= SIOCADDRT && request <= SIOCDEVPRIVATE && request != SIOCOUTQNSD))
		return REAL(ioctl)(fd, request, arg);
	return ioctl_socket(fd, f, request, arg);
}

EXPORT int sockatmark(int fd)
{
	int at;

	return ioctl(fd, SIOCATMARK, &at) ? -1 : at;
}
