/* SPDX-License-Identifier: MIT */
/*
 * Saying something over a connection that stands, and what becomes of it: whether it is
 * acknowledged (TCP_INFO of tcp(7)), and whether an answer comes. stairs_data.c judges.
 */
#include "source/stairs_step.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define REQUEST	      8192
/* A segment of Ethernet's MTU and some; servers take 8 KiB of headers at least. */
#define REQUEST_USUAL 1560
#define REQUEST_MAX   7600
#define STEP_MS	      20
#define GOODBYE_MS    100
#define LINE_MS	      200

void talk_info(const struct stairs_call *c, struct stairs_talk *t)
{
	socklen_t len = sizeof(t->info);

	memset(&t->info, 0, sizeof(t->info));
	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &t->info, &len) < 0)
		return;
	/* bytes_acked counts our SYN. */
	if (t->request && !t->acked && t->info.bytes_acked > t->request) {
		t->acked = true;
		t->acked_ns = stairs_now() - t->began;
	}
}

/* Reads what is there; false: the connection has ended. */
static bool take(const struct stairs_call *c, struct stairs_talk *t)
{
	while (t->answer_n < sizeof(t->answer)) {
		ssize_t n = recv(c->fd, t->answer + t->answer_n, sizeof(t->answer) - t->answer_n,
				 MSG_DONTWAIT);

		if (n > 0) {
			if (!t->answer_n)
				t->answered_ns = stairs_now() - t->began;
			t->answer_n += (size_t)n;
			continue;
		}
		if (n == 0)
			t->eof = true;
		else if (errno == EINTR)
			continue;
		else if (errno != EAGAIN)
			t->error = errno;
		return !t->eof && !t->error;
	}
	return false;
}

static void say(const struct stairs_call *c, struct stairs_talk *t,
		const struct stairs_target *target, bool large)
{
	uint8_t request[REQUEST];
	size_t to_length = 0, n;

	/* One segment as large as they may be: it shows whether the path takes it. */
	if (large && t->info.snd_mss < REQUEST_MAX)
		to_length = t->info.snd_mss + 100u;
	if (to_length && to_length < REQUEST_USUAL)
		to_length = REQUEST_USUAL;
	if (to_length > REQUEST_MAX)
		to_length = REQUEST_MAX;
	n = t->greeting == STAIRS_GREET_HTTP
		    ? greet_http((char *)request, sizeof(request), target, to_length)
		    : greet_tls(request, sizeof(request), target, to_length);
	t->large = to_length && n >= to_length;
	t->request = n;
	if (n && send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		t->error = errno;
}

/* Nothing is to be expected any more. */
static bool hopeless(const struct stairs_talk *t, uint64_t ms)
{
	return t->request && !t->acked && ms >= STAIRS_STILL_MS && t->info.total_retrans >= 2;
}

/* A greeting may come in pieces: its first line is wanted, within reason. */
static void wait_for_line(const struct stairs_call *c, struct stairs_talk *t)
{
	uint64_t end = stairs_now() + LINE_MS * 1000000ull;

	while (t->answer_n && !t->eof && !t->error && !memchr(t->answer, '\n', t->answer_n) &&
	       t->answer_n < sizeof(t->answer) && stairs_now() < end) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };

		if (poll(&p, 1, STEP_MS) > 0)
			take(c, t);
	}
}

void talk_run(struct stairs *s, const struct stairs_call *c, struct stairs_talk *t,
	      enum stairs_greeting greeting, bool large)
{
	unsigned patience = greeting == STAIRS_GREET_NOBODY ? STAIRS_BANNER_MS : STAIRS_ANSWER_MS;
	uint64_t ms;

	memset(t, 0, sizeof(*t));
	t->greeting = greeting;
	t->began = stairs_now();
	talk_info(c, t);
	t->mss = t->info.snd_mss;
	if (greeting != STAIRS_GREET_NOBODY)
		say(c, t, &s->o->target, large);
	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		bool open = true;

		if (!t->error && poll(&p, 1, STEP_MS) > 0)
			open = take(c, t);
		talk_info(c, t);
		ms = (stairs_now() - t->began) / 1000000;
		if (!open || t->error || t->answer_n || ms >= patience || hopeless(t, ms))
			break;
		if (t->request && !t->acked && ms > STAIRS_WATCH_MS)
			stairs_watch(s);
	}
	wait_for_line(c, t);
	/* An answer shows that the request was taken; when it was, our last look may tell too late.
	 */
	if (t->answer_n && t->acked_ns > t->answered_ns)
		t->acked_ns = t->answered_ns;
	t->took_ns = stairs_now() - t->began;
}

void talk_end(int fd)
{
	static const struct linger abort = { .l_onoff = 1 };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t rest[STAIRS_ANSWER];
	uint64_t end = stairs_now() + GOODBYE_MS * 1000000ull;
	ssize_t n = 1;

	if (shutdown(fd, SHUT_WR) == 0)
		while (n > 0 && stairs_now() < end && poll(&p, 1, GOODBYE_MS) > 0)
			n = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
	/* A program that does not read would keep its end for ever. */
	if (n > 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	close(fd);
}

bool talk_again(struct stairs *s, struct stairs_talk *t, enum stairs_greeting greeting)
{
	struct stairs_call c = { .addr = s->best->addr, .scope = s->best->scope, .fd = -1 };

	memset(t, 0, sizeof(*t));
	stairs_hang_up(s); /* some programs serve one caller at a time */
	if (call_alone(&c, s->o->target.port, STAIRS_OTHERS_MS))
		talk_run(s, &c, t, greeting, false);
	if (c.fd >= 0)
		talk_end(c.fd);
	return c.outcome == STAIRS_OPEN;
}
