/* SPDX-License-Identifier: MIT */
/*
 * sendfile(2) to a socket of Couplet: a file is read at the place where it is to be sent from, so
 * that what is not taken is not lost. Inline, what the system has in memory is read to where the
 * stack keeps it until it is acknowledged; else through the memory that a call carries.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "shim/inliner.h"
#include "shim/shim.h"

/* LEN octets of SLOT's data. */
static int64_t piece_out(struct shim_slot *slot, int out, size_t len)
{
	struct iovec iov = { slot->data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t done = 0;
	int64_t n = INLINE_NOT;

	if (inline_may())
		n = inline_send(out, &msg, (int)slot->request.flags, len, &done);
	if (n != INLINE_NOT)
		return n;
	if (done) /* the rest is sent again */
		return (int64_t)done;
	return call_do(slot, false);
}

/* A piece of the file, of LEN octets or less. */
static int64_t piece_carried(int out, int in, off_t at, size_t len)
{
	size_t piece = len < SHIM_DATA ? len : SHIM_DATA;
	struct shim_slot *slot = call_begin(SHIM_SEND, out, fds[out].token);
	int64_t n;

	if (!slot)
		return -errno;
	n = pread(in, slot->data, piece, at);
	if (n > 0) {
		slot->request.flags = (size_t)n < len ? MSG_MORE : 0;
		slot->request.data_len = (uint32_t)n;
		n = piece_out(slot, out, (size_t)n);
	} else if (n < 0) {
		n = -errno;
	}
	call_end(slot);
	if (n == -EPIPE && fds[out].type == SOCK_STREAM)
		raise(SIGPIPE);
	return n;
}

/* *ENDED: no other piece is to follow. */
static int64_t file_piece(int out, int in, off_t at, size_t len, bool *ended)
{
	size_t asked = len < SHIM_DATA ? len : SHIM_DATA;
	int64_t n = INLINE_NOT;

	*ended = false;
	if (fds[out].type == SOCK_STREAM && inline_may())
		n = inline_sendfile(out, in, at, len, ended);
	if (n != INLINE_NOT)
		return n;
	n = piece_carried(out, in, at, len);
	*ended = n < 0 || (size_t)n < asked;
	return n;
}

EXPORT ssize_t sendfile(int out, int in, off_t *offset, size_t count)
{
	size_t done = 0;
	bool ended = false;
	int64_t n = 0;
	off_t at = offset ? *offset : -1;

	if (!fd_socket(out) && !fd_socket(in))
		return REAL(sendfile)(out, in, offset, count);
	if (!offset || at < 0 || !fd_socket(out) || fd_socket(in)) {
		off_t place = lseek(in, 0, SEEK_CUR);

		if (place < 0 && errno == EBADF)
			return -1;
		if (!offset)
			at = place;
	}
	if (at < 0 || !fd_socket(out) || fd_socket(in))
		return (ssize_t)result_of(-EINVAL);
	if (count > LEN_MAX)
		count = LEN_MAX;
	while (done < count && !ended) {
		n = file_piece(out, in, at + (off_t)done, count - done, &ended);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (offset)
		*offset = at + (off_t)done;
	else if (done)
		lseek(in, at + (off_t)done, SEEK_SET);
	return done || n == 0 ? (ssize_t)done : (ssize_t)result_of(n);
}

EXPORT ssize_t sendfile64(int out, int in, off64_t *offset, size_t count)
{
	return sendfile(out, in, offset, count);
}
