/* SPDX-License-Identifier: MIT */
/*
 * Passes of another machine: see peer.h; the protocol is in cli/snap.c.
 *
 * The order of the passes, and why no clocks are needed. The checks of view/pair.h need, for X
 * here and Y there,
 *
 *	snd_una(X, 1) <= rcv_nxt(Y, 2)		X's first pass before Y's second
 *	rcv_nxt(Y, 1) <= snd_nxt(X, 2)		Y's first pass before X's second
 *
 * and the same with X and Y exchanged, which is the same two conditions. The order here is
 *
 *	here 1		ended before the request is sent,
 *	there 1		begun after the request has come,
 *	there 2		begun after there 1 has ended, ended before its answer is sent,
 *	here 2		begun after that answer has come.
 *
 * Sending comes before receiving on any clock, so that both conditions hold, however long the way
 * takes. What an end that was found nowhere there means: an end here that was in the same state in
 * both of our passes was in it all the while that the far end looked. What the far end had sent
 * before (an RST, the ACK that makes a connection) went the way of the answer and before it; it is
 * most likely here before our second pass, which sees it.
 */
#define _GNU_SOURCE
#include "source/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GREETING      "couplet-snap 1"
/* Somebody who trickles is not listened to for ever. */
#define LONGEST_MS    600000u
#define LINE_MAX_     256
/* How long it may take to end when it is told to. */
#define LAST_WORDS_MS 1000

struct peer {
	pid_t pid;   /* 0: it has ended */
	pid_t group; /* of processes, of which it is the first */
	bool failed; /* it hangs, or talks nonsense: no use in waiting for it */
	int to, from;
	unsigned timeout_ms;
	bool greeted;
	char *data; /* what has come and was not used yet */
	size_t at, len, room;
};

__attribute__((format(printf, 3, 4))) static int fail(char *error, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, PEER_ERROR, format, ap);
	va_end(ap);
	return err;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* ---- Starting and ending --------------------------------------------------------------------- */

/* S as one word of a shell. */
static char *quoted(const char *s)
{
	struct text t;

	text_init(&t);
	text_puts(&t, "'");
	for (; *s; s++) {
		if (*s == '\'')
			text_puts(&t, "'\\''");
		else
			text_printf(&t, "%c", *s);
	}
	text_puts(&t, "'");
	return t.data;
}

/* What the shell there, or ours, is to run. */
static char *command_line(const struct peer_options *o)
{
	char *couplet = quoted(o->couplet ? o->couplet : "couplet");
	struct text t;

	text_init(&t);
	if (couplet)
		text_printf(&t, "%s%s%s snap --serve", o->command ? o->command : "",
			    o->command ? " " : "", couplet);
	free(couplet);
	return t.data;
}

static void child(const struct peer_options *o, char *line, int in, int out)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0); /* so that what a shell starts ends with it */
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		_exit(126);
	if (o->command)
		execlp("sh", "sh", "-c", line, NULL);
	else
		execlp("ssh", "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "--",
		       o->host + 4, line, NULL);
	_exit(127);
}

static int start(struct peer *p, const struct peer_options *o, char error[PEER_ERROR])
{
	int down[2] = { -1, -1 }, up[2] = { -1, -1 };
	char *line = command_line(o);
	int err = 0;

	if (!line)
		return fail(error, -ENOMEM, "out of memory");
	if (pipe2(down, O_CLOEXEC) < 0 || pipe2(up, O_CLOEXEC) < 0)
		err = fail(error, -errno, "no pipe to the far end: %s", strerror(errno));
	if (!err) {
		p->pid = fork();
		if (p->pid == 0)
			child(o, line, down[0], up[1]);
		if (p->pid < 0)
			err = fail(error, -errno, "cannot start a process: %s", strerror(errno));
	}
	p->group = p->pid;
	free(line);
	p->to = err ? -1 : down[1];
	p->from = err ? -1 : up[0];
	for (unsigned i = 0; i < 2; i++) {
		if (down[i] >= 0 && (err || i == 0))
			close(down[i]);
		if (up[i] >= 0 && (err || i == 1))
			close(up[i]);
	}
	return err;
}

int peer_open(struct peer **peer, const struct peer_options *options, char error[PEER_ERROR])
{
	struct peer *p;
	int err;

	*peer = NULL;
	if (!options->command &&
	    (!options->host || strncmp(options->host, "ssh:", 4) != 0 || !options->host[4]))
		return fail(error, -EINVAL,
			    "\"%.80s\" names no peer: ssh:HOST, or a command with --peer-cmd",
			    word_foreign(options->host ? options->host : "").s);
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(error, -ENOMEM, "out of memory");
	p->timeout_ms = options->timeout_ms ? options->timeout_ms : PEER_PATIENCE_MS;
	err = start(p, options, error);
	if (err)
		free(p);
	else
		*peer = p;
	return err;
}

/* True if it has ended by itself; *STATUS as waitpid(2) has it. */
static bool reap(struct peer *p, unsigned ms, int *status)
{
	uint64_t until = now_ms() + ms;

	while (p->pid > 0) {
		pid_t got = waitpid(p->pid, status, WNOHANG);

		if (got == p->pid || (got < 0 && errno != EINTR)) {
			p->pid = 0;
			return got > 0;
		}
		if (now_ms() >= until)
			return false;
		poll(NULL, 0, 5);
	}
	return false;
}

void peer_close(struct peer *peer)
{
	int status;

	if (!peer)
		return;
	close(peer->to);
	close(peer->from);
	if (!reap(peer, peer->failed ? 0 : LAST_WORDS_MS, &status) && peer->pid > 0) {
		kill(-peer->group, SIGKILL);
		kill(peer->pid, SIGKILL);
		reap(peer, LAST_WORDS_MS, &status);
	}
	free(peer->data);
	free(peer);
}

/* It has closed its output, or does not take our input: why? */
static int ended(struct peer *p, char error[PEER_ERROR])
{
	int status = 0;

	if (!reap(p, LAST_WORDS_MS, &status))
		return fail(error, -EPIPE, "the far end stopped answering");
	if (WIFSIGNALED(status))
		return fail(error, -EPIPE, "the far end was killed (%s) before it answered",
			    strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) == 127)
		return fail(error, -ENOENT,
			    "the far end has no such command: is couplet installed there? "
			    "(--peer-couplet PATH says where)");
	return fail(error, -EPIPE, "the far end ended (exit status %d) before it answered",
		    WEXITSTATUS(status));
}

/* ---- Reading and writing --------------------------------------------------------------------- */

/* SIGPIPE would end us; a broken pipe is told by the error. */
static ssize_t write_quietly(int fd, const char *data, size_t len)
{
	struct timespec now = { 0 };
	sigset_t pipe_only, before, pending;
	ssize_t n;
	int err;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	sigprocmask(SIG_BLOCK, &pipe_only, &before);
	n = write(fd, data, len);
	err = errno;
	if (n < 0 && err == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe_only, NULL, &now);
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = err;
	return n;
}

int peer_ask(struct peer *peer, unsigned n, bool owners, char error[PEER_ERROR])
{
	const char *request = owners ? "pass owners\n" : "pass\n";

	for (unsigned i = 0; i < n; i++) {
		/* If it has ended, its last words say more than that: peer_answer() reads them. */
		if (write_quietly(peer->to, request, strlen(request)) < 0 && errno != EPIPE)
			return fail(error, -errno, "writing to the far end: %s", strerror(errno));
	}
	return 0;
}

/* More of what it says; 0, or a negative errno. */
static int read_more(struct peer *p, uint64_t until, char error[PEER_ERROR])
{
	struct pollfd fd = { .fd = p->from, .events = POLLIN };
	ssize_t n;
	int ready;

	if (p->len == p->room) {
		size_t room = p->room ? p->room * 2 : 65536;
		char *more = room > SNAPSHOT_BYTES ? NULL : realloc(p->data, room);

		if (!more)
			return fail(error, -ENOMEM, "the far end's answer is too long");
		p->data = more;
		p->room = room;
	}
	do {
		uint64_t now = now_ms();
		unsigned wait = p->timeout_ms;

		if (now >= until)
			return fail(error, -ETIMEDOUT,
				    "the far end took longer than %u s to answer",
				    LONGEST_MS / 1000);
		if (until - now < wait)
			wait = (unsigned)(until - now);
		ready = poll(&fd, 1, (int)wait);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0)
		return fail(error, -ETIMEDOUT, "the far end has said nothing for %s",
			    word_ns(p->timeout_ms * 1000000ull).s);
	n = read(p->from, p->data + p->len, p->room - p->len);
	if (n < 0)
		return fail(error, -errno, "reading from the far end: %s", strerror(errno));
	if (n == 0)
		return ended(p, error);
	p->len += (size_t)n;
	return 0;
}

/* One line, without its end; of what is longer the rest is taken for nonsense. */
static int read_line(struct peer *p, uint64_t until, char line[LINE_MAX_], char error[PEER_ERROR])
{
	size_t n = 0;
	int err = 0;

	while (!err) {
		char *end = p->len > p->at ? memchr(p->data + p->at, '\n', p->len - p->at) : NULL;

		n = end ? (size_t)(end - (p->data + p->at)) : p->len - p->at;
		if (end || n >= LINE_MAX_)
			break;
		err = read_more(p, until, error);
	}
	if (err && !n)
		return err;
	if (n >= LINE_MAX_)
		n = LINE_MAX_ - 1;
	memcpy(line, p->data + p->at, n);
	line[n] = 0;
	p->at += err ? n : n + 1;
	if (p->at > p->len)
		p->at = p->len;
	/* Its last words may say more than how it ended. */
	return 0;
}

static int nonsense(const char *line, const char *where, char error[PEER_ERROR])
{
	return fail(error, -EPROTO,
		    "the far end said \"%.60s\" where couplet %s: is that couplet of the same "
		    "version?",
		    word_foreign(line).s, where);
}

static int read_greeting(struct peer *p, uint64_t until, char error[PEER_ERROR])
{
	char line[LINE_MAX_];
	int err;

	if (p->greeted)
		return 0;
	err = read_line(p, until, line, error);
	if (err)
		return err;
	if (strcmp(line, GREETING) != 0)
		return nonsense(line, "would greet", error);
	p->greeted = true;
	return 0;
}

/* "snapshot 1234": the length. */
static int read_length(struct peer *p, uint64_t until, size_t *length, char error[PEER_ERROR])
{
	char line[LINE_MAX_], *end;
	unsigned long long n;
	int err = read_line(p, until, line, error);

	if (err)
		return err;
	if (strncmp(line, "error ", 6) == 0)
		return fail(error, -EREMOTEIO, "the far end could not look: %.180s",
			    word_foreign(line + 6).s);
	if (strncmp(line, "snapshot ", 9) != 0 || line[9] < '0' || line[9] > '9')
		return nonsense(line, "would announce a snapshot", error);
	errno = 0;
	n = strtoull(line + 9, &end, 10);
	if (*end || errno || n > SNAPSHOT_BYTES / 2)
		return nonsense(line, "would announce a snapshot of less than 512 MiB", error);
	*length = (size_t)n;
	return 0;
}

/* One pass of the far end becomes the next of S, which takes the header of the first. */
static int take_pass(struct snapshot *s, struct snapshot *pass, char error[PEER_ERROR])
{
	struct passes *p = &s->passes;

	if (pass->passes.taken != 1)
		return fail(error, -EPROTO, "the far end sent %u passes for one",
			    pass->passes.taken);
	if (p->taken == VIEW_PASSES)
		return fail(error, -ENOSPC, "too many passes");
	if (!p->taken) {
		struct snapshot empty = *s;

		*s = *pass;
		*pass = empty;
		return 0;
	}
	if (strcmp(s->boot, pass->boot) != 0 || strcmp(s->host, pass->host) != 0)
		return fail(error, -EPROTO,
			    "the far end became another machine between two passes");
	p->set[p->taken] = pass->passes.set[0];
	snapshot_set_init(&pass->passes.set[0]);
	p->began[p->taken] = p->ended[p->taken] = p->ended[p->taken - 1];
	p->taken++;
	return 0;
}

static int answer(struct peer *peer, struct snapshot *s, char error[PEER_ERROR])
{
	uint64_t until = now_ms() + LONGEST_MS;
	char refused[VIEW_JSON_ERROR];
	struct snapshot pass;
	size_t length = 0;
	int err = read_greeting(peer, until, error);

	err = err ?: read_length(peer, until, &length, error);
	while (!err && peer->len - peer->at < length)
		err = read_more(peer, until, error);
	if (err)
		return err;
	snapshot_init(&pass);
	err = snapshot_read(&pass, peer->data + peer->at, length, refused);
	if (err)
		fail(error, err, "the far end's snapshot is refused: %s", refused);
	else
		err = take_pass(s, &pass, error);
	snapshot_free(&pass);
	peer->len -= peer->at + length;
	memmove(peer->data, peer->data + peer->at + length, peer->len);
	peer->at = 0;
	return err;
}

int peer_answer(struct peer *peer, struct snapshot *s, char error[PEER_ERROR])
{
	int err = answer(peer, s, error);

	peer->failed |= err != 0;
	return err;
}

int peer_sandwich(struct peer *peer, const struct source_options *options, struct snapshot *here,
		  struct snapshot *there, char error[PEER_ERROR])
{
	int err = passes_take(&here->passes, options);

	if (err)
		return fail(error, err, "this machine's connections could not be looked at: %s",
			    strerror(-err));
	err = peer_ask(peer, 2, options->owners, error);
	err = err ?: peer_answer(peer, there, error);
	err = err ?: peer_answer(peer, there, error);
	if (err)
		return err;
	err = passes_take(&here->passes, options);
	if (err)
		return fail(error, err, "this machine's connections could not be looked at: %s",
			    strerror(-err));
	return 0;
}
