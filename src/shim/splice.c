/* SPDX-License-Identifier: MIT */
/*
 * splice(2) between a pipe and a socket of Couplet. Octets are copied here; what is kept is what a
 * program relies on: nothing leaves one side that the other has not taken, for which a pipe of our
 * own holds what is on its way.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/shim.h"

#define AT_ONCE 65536u /* what a pipe holds */

struct transit {
	int pipe[2];
	uint8_t *data; /* of AT_ONCE octets */
};

static int transit_begin(struct transit *t)
{
	t->data = malloc(AT_ONCE);
	if (!t->data)
		return -ENOMEM;
	if (pipe2(t->pipe, O_CLOEXEC)) {
		free(t->data);
		return -errno;
	}
	return 0;
}

/* Also of a thread that is cancelled on the way. */
static void transit_end(void *arg)
{
	struct transit *t = arg;

	REAL(close)(t->pipe[0]);
	REAL(close)(t->pipe[1]);
	free(t->data);
}

static struct msghdr message(struct iovec *iov, void *data, size_t n)
{
	*iov = (struct iovec){ data, n };
	return (struct msghdr){ .msg_iov = iov, .msg_iovlen = 1 };
}

/* N octets that are there leave the pipe IN. */
static void pipe_drop(struct transit *t, int in, size_t n)
{
	while (n) {
		ssize_t got = REAL(read)(in, t->data, n < AT_ONCE ? n : AT_ONCE);

		if (got <= 0)
			return;
		n -= (size_t)got;
	}
}

static int64_t from_pipe(struct transit *t, int in, int out, size_t n, unsigned flags)
{
	struct msghdr msg;
	struct iovec iov;
	int64_t sent;
	ssize_t got = REAL(tee)(in, t->pipe[1], n, flags & SPLICE_F_NONBLOCK);

	if (got <= 0)
		return got ? -errno : 0;
	got = REAL(read)(t->pipe[0], t->data, (size_t)got);
	if (got < 0)
		return -errno;
	msg = message(&iov, t->data, (size_t)got);
	sent = shim_send(out, &msg, flags & SPLICE_F_MORE ? MSG_MORE : 0);
	if (sent > 0)
		pipe_drop(t, in, (size_t)sent);
	return sent;
}

static int64_t to_pipe(struct transit *t, int in, int out, size_t n, unsigned flags)
{
	struct iovec iov;
	struct msghdr msg = message(&iov, t->data, n);
	int64_t got = shim_recv(in, &msg, MSG_PEEK); /* SPLICE_F_NONBLOCK is of the pipe */
	ssize_t moved;

	if (got <= 0)
		return got;
	moved = REAL(write)(t->pipe[1], t->data, (size_t)got);
	if (moved > 0)
		moved = REAL(splice)(t->pipe[0], NULL, out, NULL, (size_t)moved,
				     flags & SPLICE_F_NONBLOCK);
	if (moved < 0)
		return -errno;
	msg = message(&iov, t->data, (size_t)moved);
	return shim_recv(in, &msg, MSG_DONTWAIT);
}

/* OTHER is a pipe, and offsets make sense to neither: 0 or a negative errno. */
static int checked(int other, bool from, const off64_t *in_at, const off64_t *out_at,
		   unsigned flags)
{
	struct stat st;

	if (flags & ~(unsigned)(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT))
		return -EINVAL;
	if (fstat(other, &st))
		return -errno;
	if (fd_socket(other) || !S_ISFIFO(st.st_mode))
		return -EINVAL;
	if (from ? in_at != NULL : out_at != NULL)
		return -ESPIPE;
	return in_at || out_at ? -EINVAL : 0;
}

typedef int64_t transit_way(struct transit *t, int in, int out, size_t n, unsigned flags);

static int64_t transit_do(transit_way *way, struct transit *t, int in, int out, size_t n,
			  unsigned flags)
{
	int64_t result;

	pthread_cleanup_push(transit_end, t);
	result = way(t, in, out, n, flags);
	pthread_cleanup_pop(1);
	return result;
}

EXPORT ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
	bool to = fd_socket(in) != NULL, from = fd_socket(out) != NULL;
	struct transit t;
	int64_t result;

	if (!to && !from)
		return REAL(splice)(in, in_at, out, out_at, n, flags);
	if (!n)
		return 0;
	result = checked(from ? in : out, from, in_at, out_at, flags);
	if (!result)
		result = transit_begin(&t);
	if (result)
		return (ssize_t)result_of(result);
	if (n > AT_ONCE)
		n = AT_ONCE;
	result = transit_do(from ? from_pipe : to_pipe, &t, in, out, n, flags);
	return (ssize_t)result_of(result);
}
