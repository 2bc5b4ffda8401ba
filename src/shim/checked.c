/* SPDX-License-Identifier: MIT */
/*
 * The same calls by the names that programs built with _FORTIFY_SOURCE use, and under which older
 * ones know them. The checks of the sizes are theirs: __chk_fail().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/shim.h"

extern void __chk_fail(void) __attribute__((noreturn));
extern int vdprintf(int fd, const char *format, va_list args);

EXPORT ssize_t __read_chk(int fd, void *data, size_t n, size_t room)
{
	if (n > room)
		__chk_fail();
	return read(fd, data, n);
}

EXPORT ssize_t __recv_chk(int fd, void *data, size_t n, size_t room, int flags)
{
	if (n > room)
		__chk_fail();
	return recv(fd, data, n, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *data, size_t n, size_t room, int flags,
			      struct sockaddr *addr, socklen_t *len)
{
	if (n > room)
		__chk_fail();
	return recvfrom(fd, data, n, flags, addr, len);
}

EXPORT int __poll_chk(struct pollfd *set, nfds_t n, int ms, size_t room)
{
	if (room / sizeof(*set) < n)
		__chk_fail();
	return poll(set, n, ms);
}

EXPORT int __ppoll_chk(struct pollfd *set, nfds_t n, const struct timespec *timeout,
		       const sigset_t *mask, size_t room)
{
	if (room / sizeof(*set) < n)
		__chk_fail();
	return ppoll(set, n, timeout, mask);
}

EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
	(void)flag;
	return vdprintf(fd, format, args);
}

EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list args;
	int n;

	(void)flag;
	va_start(args, format);
	n = vdprintf(fd, format, args);
	va_end(args);
	return n;
}

/* ---- Numbers instead of names --------------------------------------------------------------- */

/* Those that make, name and change sockets; false: another. */
static bool by_number(long number, const long a[6], long *result)
{
	int fd = (int)a[0];

	switch (number) {
	case SYS_connect:
		*result = connect(fd, (void *)a[1], (socklen_t)a[2]);
		return true;
	case SYS_bind:
		*result = bind(fd, (void *)a[1], (socklen_t)a[2]);
		return true;
	case SYS_listen:
		*result = listen(fd, (int)a[1]);
		return true;
	case SYS_accept:
		*result = accept(fd, (void *)a[1], (void *)a[2]);
		return true;
	case SYS_shutdown:
		*result = shutdown(fd, (int)a[1]);
		return true;
	case SYS_getsockname:
		*result = getsockname(fd, (void *)a[1], (void *)a[2]);
		return true;
	case SYS_getpeername:
		*result = getpeername(fd, (void *)a[1], (void *)a[2]);
		return true;
	case SYS_setsockopt:
		*result = setsockopt(fd, (int)a[1], (int)a[2], (void *)a[3], (socklen_t)a[4]);
		return true;
	case SYS_getsockopt:
		*result = getsockopt(fd, (int)a[1], (int)a[2], (void *)a[3], (void *)a[4]);
		return true;
	case SYS_dup:
		*result = dup(fd);
		return true;
	case SYS_dup3:
		*result = dup3(fd, (int)a[1], (int)a[2]);
		return true;
	case SYS_fcntl:
		*result = fcntl(fd, (int)a[1], a[2]);
		return true;
	case SYS_ioctl:
		*result = ioctl(fd, (unsigned long)a[1], a[2]);
		return true;
	case SYS_epoll_create1:
		*result = epoll_create1(fd);
		return true;
	case SYS_epoll_ctl:
		*result = epoll_ctl(fd, (int)a[1], (int)a[2], (void *)a[3]);
		return true;
	case SYS_epoll_pwait:
		*result = epoll_pwait(fd, (void *)a[1], (int)a[2], (int)a[3], (void *)a[4]);
		return true;
	default:
		return false;
	}
}

/* Those that carry data. */
static bool data_by_number(long number, const long a[6], long *result)
{
	int fd = (int)a[0];

	switch (number) {
	case SYS_sendto:
		*result = sendto(fd, (void *)a[1], (size_t)a[2], (int)a[3], (void *)a[4],
				 (socklen_t)a[5]);
		return true;
	case SYS_recvfrom:
		*result = recvfrom(fd, (void *)a[1], (size_t)a[2], (int)a[3], (void *)a[4],
				   (void *)a[5]);
		return true;
	case SYS_sendmsg:
		*result = sendmsg(fd, (void *)a[1], (int)a[2]);
		return true;
	case SYS_recvmsg:
		*result = recvmsg(fd, (void *)a[1], (int)a[2]);
		return true;
	case SYS_readv:
		*result = readv(fd, (void *)a[1], (int)a[2]);
		return true;
	case SYS_writev:
		*result = writev(fd, (void *)a[1], (int)a[2]);
		return true;
	case SYS_sendfile:
		*result = sendfile(fd, (int)a[1], (void *)a[2], (size_t)a[3]);
		return true;
	case SYS_splice:
		*result = splice(fd, (void *)a[1], (int)a[2], (void *)a[3], (size_t)a[4],
				 (unsigned)a[5]);
		return true;
	default:
		return false;
	}
}

/*
 * syscall(2): what programs call so, because older C libraries lack it or for other reasons, goes
 * the way of the others. Rings of io_uring would pass us by: the kernel is said to be too old for
 * them, which programs that use them are prepared for.
 */
EXPORT long syscall(long number, ...)
{
	long a[6], result;
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (process_served() &&
	    (by_number(number, a, &result) || data_by_number(number, a, &result)))
		return result;
	if (process_served())
		switch (number) {
		case SYS_io_uring_setup:
		case SYS_io_uring_enter:
		case SYS_io_uring_register:
			errno = ENOSYS;
			return -1;
		case SYS_seccomp:
			sandbox_by_number(a);
			break;
		case SYS_read:
			return read((int)a[0], (void *)a[1], (size_t)a[2]);
		case SYS_write:
			return write((int)a[0], (const void *)a[1], (size_t)a[2]);
		case SYS_close:
			return close((int)a[0]);
		case SYS_socket:
			return socket((int)a[0], (int)a[1], (int)a[2]);
		case SYS_accept4:
			return accept4((int)a[0], (void *)a[1], (void *)a[2], (int)a[3]);
		case SYS_sendmmsg:
			return sendmmsg((int)a[0], (void *)a[1], (unsigned)a[2], (int)a[3]);
		case SYS_recvmmsg:
			return recvmmsg((int)a[0], (void *)a[1], (unsigned)a[2], (int)a[3],
					(void *)a[4]);
#ifdef SYS_close_range
		case SYS_close_range:
			return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
#endif
		default:
			break;
		}
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
