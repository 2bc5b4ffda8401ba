/* SPDX-License-Identifier: MIT */
/*
 * Streams over sockets: the C library's read and write behind our back, so a stream over a socket
 * of Couplet is made with calls of ours (fopencookie(3)). And dprintf(3), for the same reason.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/shim.h"

/* The streams, for fileno(). */
struct stream {
	struct stream *next;
	FILE *file;
	int fd;
};

static struct stream *streams;
static _Atomic int streams_lock;

static void lock(void)
{
	int zero = 0;

	while (!atomic_compare_exchange_weak(&streams_lock, &zero, 1)) {
		zero = 0;
		usleep(1);
	}
}

static void unlock(void)
{
	atomic_store(&streams_lock, 0);
}

static ssize_t stream_read(void *arg, char *data, size_t n)
{
	return read(((struct stream *)arg)->fd, data, n);
}

static ssize_t stream_write(void *arg, const char *data, size_t n)
{
	size_t done = 0;

	/* All, or less upon an error: fopencookie(3) knows no other. */
	while (done < n) {
		ssize_t k = write(((struct stream *)arg)->fd, data + done, n - done);

		if (k < 0)
			break;
		done += (size_t)k;
	}
	return (ssize_t)done;
}

static int stream_close(void *arg)
{
	struct stream *s = arg, **at = &streams;
	int err;

	lock();
	while (*at && *at != s)
		at = &(*at)->next;
	if (*at)
		*at = s->next;
	unlock();
	err = close(s->fd);
	free(s);
	return err;
}

EXPORT FILE *fdopen(int fd, const char *mode)
{
	cookie_io_functions_t calls = { stream_read, stream_write, NULL, stream_close };
	struct stream *s;

	if (!fd_socket(fd))
		return REAL(fdopen)(fd, mode);
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->fd = fd;
	s->file = fopencookie(s, mode, calls);
	if (!s->file) {
		free(s);
		return NULL;
	}
	lock();
	s->next = streams;
	streams = s;
	unlock();
	return s->file;
}

EXPORT int fileno(FILE *file)
{
	int fd = -1;

	if (streams) {
		lock();
		for (const struct stream *s = streams; s && fd < 0; s = s->next)
			if (s->file == file)
				fd = s->fd;
		unlock();
	}
	return fd >= 0 ? fd : REAL(fileno)(file);
}

EXPORT int fileno_unlocked(FILE *file)
{
	return fileno(file);
}

/* A program that was started with sockets for its standard streams. */
__attribute__((constructor(110))) static void standard_streams(void)
{
	FILE *f;

	if (fd_socket(0) && (f = fdopen(0, "r")))
		stdin = f;
	if (fd_socket(1) && (f = fdopen(1, "w")))
		stdout = f;
	if (fd_socket(2) && (f = fdopen(2, "w"))) {
		setvbuf(f, NULL, _IONBF, 0);
		stderr = f;
	}
}

EXPORT int vdprintf(int fd, const char *format, va_list args)
{
	size_t done = 0;
	char *text;
	int n;

	if (!fd_socket(fd))
		return REAL(vdprintf)(fd, format, args);
	n = vasprintf(&text, format, args);
	if (n < 0)
		return n;
	while (done < (size_t)n) {
		ssize_t k = write(fd, text + done, (size_t)n - done);

		if (k < 0) {
			n = -1;
			break;
		}
		done += (size_t)k;
	}
	free(text);
	return n;
}

EXPORT int dprintf(int fd, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vdprintf(fd, format, args);
	va_end(args);
	return n;
}
