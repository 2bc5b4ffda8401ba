/* SPDX-License-Identifier: MIT */
/*
 * The same calls by the names that programs built with _FORTIFY_SOURCE use, and under which older
 * ones know them. The checks of the sizes are theirs: __chk_fail().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
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

/*
 * syscall(2): what programs call so because older C libraries lack it goes the way of the others.
 * Rings of io_uring would pass us by: the kernel is said to be too old for them, which programs
 * that use them are prepared for.
 */
EXPORT long syscall(long number, ...)
{
	long a[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (process_served())
		switch (number) {
		case SYS_io_uring_setup:
		case SYS_io_uring_enter:
		case SYS_io_uring_register:
			errno = ENOSYS;
			return -1;
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
