/* SPDX-License-Identifier: MIT */
/* pipe(2), the kernel's, and splice(2) between one and a socket of ours. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "packetdrill/drill.h"

#define SPLICE_MAX 65536

/* What waits for a pipe looks again after a while: nothing tells of it. */
#define LOOK_AGAIN_NS CPL_MS

static bool would_wait(struct drill *d, struct drill_call *c, enum socket_op op)
{
	if (c->splice_flags & SPLICE_F_NONBLOCK || socket_nonblock(d->sockets, c->sock))
		return false;
	return socket_wait(d->sockets, c->sock, op, 0, 0, c->asked, c->began, &c->events, &c->until,
			   &c->result, d->now);
}

static long receive(struct drill *d, struct drill_call *c, void *data, size_t n, int flags)
{
	struct iovec iov = { data, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return socket_recvmsg(d->sockets, c->sock, &msg, flags, d->now);
}

/* The socket's data stays there until the pipe has it. */
static bool step_to_pipe(struct drill *d, struct drill_call *c)
{
	size_t n = c->asked < SPLICE_MAX ? c->asked : SPLICE_MAX;
	int mode = fcntl(c->pipe, F_GETFL);
	char *data = malloc(n);
	long got;

	c->result = data ? receive(d, c, data, n, MSG_PEEK) : -ENOMEM;
	if (c->result > 0) {
		fcntl(c->pipe, F_SETFL, mode | O_NONBLOCK);
		got = write(c->pipe, data, (size_t)c->result);
		c->result = got < 0 ? -errno : receive(d, c, data, (size_t)got, 0);
		fcntl(c->pipe, F_SETFL, mode);
		if (c->result == -EAGAIN && !(c->splice_flags & SPLICE_F_NONBLOCK)) {
			c->until = d->now + LOOK_AGAIN_NS;
			free(data);
			return false;
		}
	}
	free(data);
	return c->result != -EAGAIN || !would_wait(d, c, SOCKET_RECV);
}

/* A copy of what is in the pipe, without taking it, through a second one. */
static long look_into(struct drill_call *c, void *data, size_t n)
{
	long got;

	if (pipe2(c->spare, O_NONBLOCK))
		return -errno;
	got = tee(c->pipe, c->spare[1], n, SPLICE_F_NONBLOCK);
	if (got > 0)
		got = read(c->spare[0], data, (size_t)got);
	got = got < 0 ? -errno : got;
	close(c->spare[0]);
	close(c->spare[1]);
	return got;
}

static bool step_from_pipe(struct drill *d, struct drill_call *c)
{
	size_t n = c->asked < SPLICE_MAX ? c->asked : SPLICE_MAX;
	char *data = malloc(n);
	struct iovec iov = { data, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	c->result = data ? look_into(c, data, n) : -ENOMEM;
	if (c->result == -EAGAIN && !(c->splice_flags & SPLICE_F_NONBLOCK)) {
		c->until = d->now + LOOK_AGAIN_NS;
		free(data);
		return false;
	}
	if (c->result > 0) {
		iov.iov_len = (size_t)c->result;
		c->result = socket_sendmsg(d->sockets, c->sock, &msg,
					   c->splice_flags & SPLICE_F_MORE ? MSG_MORE : 0, d->now);
		if (c->result > 0)
			c->result = read(c->pipe, data, (size_t)c->result);
	}
	free(data);
	return c->result != -EAGAIN || !would_wait(d, c, SOCKET_SEND);
}

static ssize_t do_splice(void *u, int in, loff_t *off_in, int out, loff_t *off_out, size_t n,
			 unsigned flags)
{
	struct drill *d = u;
	struct drill_call c = { .asked = n };
	long r = -EINVAL;

	drill_lock(d);
	c.splice_flags = flags;
	c.sock = drill_sock(d, in) ? drill_sock(d, in) : drill_sock(d, out);
	c.step = drill_sock(d, in) ? step_to_pipe : step_from_pipe;
	c.pipe = drill_sock(d, in) ? out : in;
	if (!c.sock) {
		r = splice(in, off_in, out, off_out, n, flags);
		r = r < 0 ? -errno : r;
	} else if (off_in || off_out) {
		r = -ESPIPE;
	} else if (!n) {
		r = 0;
	} else if (fcntl(c.pipe, F_GETPIPE_SZ) >= 0) {
		r = drill_call(d, &c);
	}
	drill_unlock(d);
	return drill_result(r);
}

static int do_pipe(void *u, int fds[2])
{
	(void)u;
	return pipe(fds);
}

void drill_pipes(struct packetdrill_interface *i)
{
	i->pipe = do_pipe;
	i->splice = do_splice;
}
