/* SPDX-License-Identifier: MIT */
/*
 * Readiness as it changes: epoll level, edge, once; the order of what is reported; our descriptors
 * among the kernel's own; descriptors that are copied, inherited and passed; calls that block, with
 * time limits and signals. See calls.h.
 */
#include "tests/interop/calls.h"

#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>

static int ep;

static void ctl(int op, int fd, uint32_t events, int data)
{
	struct epoll_event e = { .events = events, .data.u64 = (uint64_t)data };

	printf(" %s", answer(epoll_ctl(ep, op, fd, &e)));
}

/* What epoll has to say, in its order, within MS. */
static void look(int ms)
{
	struct epoll_event e[8];
	int n = epoll_wait(ep, e, 8, ms);

	printf(" [%s", n < 0 ? answer(n) : "");
	for (int i = 0; i < n; i++)
		printf("%s%d:%s", i ? " " : "", (int)e[i].data.u64, bits((int)e[i].events));
	printf("]");
}

static void put(int fd, const char *text)
{
	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		printf(" (send: %s)", answer(-1));
}

static void take(int fd, size_t n)
{
	char text[64];

	printf(" %s", answer(recv(fd, text, n, MSG_DONTWAIT)));
}

static void begin(const char *title)
{
	printf("%s:", title);
	ep = epoll_create1(EPOLL_CLOEXEC);
}

static void end(void)
{
	printf("\n");
	close(ep);
}

#define ADD EPOLL_CTL_ADD

/* ---- epoll ---------------------------------------------------------------------------------- */

static void level(void)
{
	int a, b;

	begin("level-triggered: again until it is read");
	connected('4', &a, &b);
	ctl(ADD, a, EPOLLIN, 1);
	look(0);
	put(b, "hello");
	look(1000);
	look(1000);
	take(a, 2);
	look(1000);
	take(a, 9);
	look(0);
	close(b);
	look(1000);
	take(a, 9);
	look(0);
	close(a);
	look(0);
	end();
}

static void edge(void)
{
	int a, b;

	begin("edge-triggered: once for each arrival");
	connected('4', &a, &b);
	ctl(ADD, a, EPOLLIN | EPOLLET, 1);
	look(0);
	put(b, "hello");
	look(1000);
	look(0);
	take(a, 2);
	look(0);
	put(b, "more");
	look(1000);
	look(0);
	take(a, 64);
	look(0);
	shutdown(b, SHUT_WR);
	look(1000);
	look(0);
	close(a);
	close(b);
	end();
	begin("edge-triggered: writable once when added, and after it was full");
	connected('4', &a, &b);
	ctl(ADD, a, EPOLLOUT | EPOLLET, 1);
	look(1000);
	look(0);
	ctl(EPOLL_CTL_MOD, a, EPOLLOUT | EPOLLET, 2);
	look(1000);
	look(0);
	close(a);
	close(b);
	end();
	begin("edge-triggered: modifying arms again");
	connected('4', &a, &b);
	put(b, "hello");
	await(a, POLLIN);
	ctl(ADD, a, EPOLLIN | EPOLLET, 1);
	look(0);
	look(0);
	ctl(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLOUT | EPOLLET, 3);
	look(0);
	look(0);
	close(a);
	close(b);
	end();
}

static void oneshot(void)
{
	int a, b;

	begin("one shot: silent until it is armed again");
	connected('4', &a, &b);
	put(b, "hello");
	await(a, POLLIN);
	ctl(ADD, a, EPOLLIN | EPOLLONESHOT, 1);
	look(0);
	look(0);
	put(b, "more");
	look(0);
	ctl(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLONESHOT, 2);
	look(0);
	look(0);
	shutdown(b, SHUT_WR);
	await(a, POLLRDHUP);
	look(0);
	ctl(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, 3);
	look(0);
	close(a);
	close(b);
	end();
}

static void wrong(void)
{
	volatile int minus = -1;
	int a, b, fd = open("/dev/null", O_RDONLY);

	begin("epoll_ctl, wrongly");
	connected('4', &a, &b);
	ctl(EPOLL_CTL_MOD, a, EPOLLIN, 1);
	ctl(EPOLL_CTL_DEL, a, 0, 1);
	ctl(ADD, a, EPOLLIN, 1);
	ctl(ADD, a, EPOLLIN, 1);
	ctl(99, a, EPOLLIN, 1);
	ctl(ADD, ep, EPOLLIN, 1);
	ctl(ADD, fd, EPOLLIN, 1);
	ctl(ADD, 12345, EPOLLIN, 1);
	ctl(EPOLL_CTL_DEL, a, 0, 1);
	ctl(EPOLL_CTL_DEL, a, 0, 1);
	ctl(ADD, a, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 1);
	ctl(ADD, a, EPOLLIN | EPOLLEXCLUSIVE, 1);
	ctl(EPOLL_CTL_MOD, a, EPOLLIN, 1);
	printf(" %s", answer(epoll_wait(ep, (struct epoll_event[1]){ 0 }, 0, 0)));
	printf(" %s", answer(epoll_wait(ep, (struct epoll_event[1]){ 0 }, minus, 0)));
	printf(" %s", answer(epoll_wait(a, (struct epoll_event[1]){ 0 }, 1, 0)));
	close(a);
	close(b);
	close(fd);
	end();
}

/* Three sockets that are ready, one event at a time: each has its turn. */
static void turns(void)
{
	int a[3], b[3];

	begin("one at a time: each has its turn");
	for (int i = 0; i < 3; i++) {
		connected('4', &a[i], &b[i]);
		ctl(ADD, a[i], EPOLLIN, i);
	}
	for (int i = 2; i >= 0; i--) {
		put(b[i], "x");
		await(a[i], POLLIN);
	}
	for (int i = 0; i < 7; i++) {
		struct epoll_event e;

		printf(" %d", epoll_wait(ep, &e, 1, 1000) == 1 ? (int)e.data.u64 : -1);
	}
	look(0);
	for (int i = 0; i < 3; i++) {
		close(a[i]);
		close(b[i]);
	}
	end();
}

static void mixed(void)
{
	int a, b, p[2], ev = eventfd(0, EFD_NONBLOCK), tm = timerfd_create(CLOCK_MONOTONIC, 0),
			outer;
	struct itimerspec soon = { .it_value = { 0, 20000000 } };
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 9 };
	struct pollfd pf[3];
	uint64_t one = 1;

	begin("among the kernel's own descriptors");
	connected('4', &a, &b);
	if (pipe(p))
		die("pipe");
	ctl(ADD, p[0], EPOLLIN, 1);
	ctl(ADD, a, EPOLLIN, 2);
	ctl(ADD, ev, EPOLLIN, 3);
	ctl(ADD, tm, EPOLLIN, 4);
	look(0);
	if (write(p[1], "x", 1) != 1)
		die("write");
	look(1000);
	put(b, "hello");
	await(a, POLLIN);
	look(1000);
	take(a, 9);
	if (read(p[0], &one, 1) != 1)
		die("read");
	look(0);
	timerfd_settime(tm, 0, &soon, NULL);
	look(2000);
	if (read(tm, &one, 8) != 8)
		die("read");
	outer = epoll_create1(0);
	printf(" %s", answer(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &e)));
	put(b, "again");
	printf(" outer %d", epoll_wait(outer, &e, 1, 1000));
	pf[0] = (struct pollfd){ .fd = ep, .events = POLLIN };
	pf[1] = (struct pollfd){ .fd = a, .events = POLLIN };
	pf[2] = (struct pollfd){ .fd = p[0], .events = POLLIN };
	printf(" poll %d", poll(pf, 3, 1000));
	printf(" %s %s %s", bits(pf[0].revents), bits(pf[1].revents), bits(pf[2].revents));
	take(a, 9);
	printf(" poll %d", poll(pf, 3, 0));
	close(outer);
	close(a);
	close(b);
	close(p[0]);
	close(p[1]);
	close(ev);
	close(tm);
	end();
}

static void listening(void)
{
	int l = listener('4'), c, s;
	struct name n = name_of("127.0.0.1", port_of(l));

	begin("a listener");
	ctl(ADD, l, EPOLLIN, 1);
	look(0);
	c = socket(AF_INET, SOCK_STREAM, 0);
	connect(c, (struct sockaddr *)&n.ss, n.len);
	look(1000);
	s = accept(l, NULL, NULL);
	look(0);
	ctl(ADD, s, EPOLLIN | EPOLLOUT, 2);
	look(1000);
	close(c);
	await(s, POLLIN);
	look(1000);
	close(s);
	close(l);
	look(0);
	end();
}

/* ---- Copies --------------------------------------------------------------------------------- */

static void copies(void)
{
	int a, b, d, e2;

	begin("a copy keeps it alive, also in epoll");
	connected('4', &a, &b);
	d = dup(a);
	ctl(ADD, a, EPOLLIN, 1);
	ctl(ADD, d, EPOLLIN, 2);
	put(b, "x");
	await(a, POLLIN);
	look(0);
	close(a);
	look(0);
	e2 = dup2(d, 100);
	printf(" %s", answer(e2 == 100 ? 0 : -1));
	close(d);
	take(100, 9);
	printf(" %s", answer(send(100, "y", 1, 0)));
	close(100);
	await(b, POLLRDHUP);
	take(b, 9);
	take(b, 9);
	close(b);
	end();
	begin("closed, it is no descriptor");
	connected('4', &a, &b);
	close(a);
	printf(" %s", answer(send(a, "x", 1, 0)));
	printf(" %s", answer(recv(a, (char[1]){ 0 }, 1, 0)));
	printf(" %s", answer(shutdown(a, SHUT_WR)));
	printf(" %s", answer(close(a)));
	ctl(ADD, a, EPOLLIN, 1);
	printf(" %s", answer(listen(0x7fff, 1)));
	printf(" %s", answer(bind(-1, NULL, 0)));
	close(b);
	end();
}

static void flags(void)
{
	int a, b, d, on = 1;

	begin("flags belong to the socket, close-on-exec to the descriptor");
	connected('4', &a, &b);
	d = fcntl(a, F_DUPFD_CLOEXEC, 50);
	printf(" %d %d %d", d >= 50, fcntl(d, F_GETFD) & FD_CLOEXEC,
	       fcntl(a, F_GETFD) & FD_CLOEXEC);
	nonblock(a);
	printf(" %d", !!(fcntl(d, F_GETFL) & O_NONBLOCK));
	printf(" %s", answer(recv(d, &on, 1, 0)));
	on = 0;
	printf(" %s", answer(ioctl(d, FIONBIO, &on)));
	printf(" %d", !!(fcntl(a, F_GETFL) & O_NONBLOCK));
	printf(" %x", fcntl(a, F_GETFL) & O_ACCMODE);
	printf(" %s", answer(lseek(a, 0, SEEK_SET)));
	printf(" %s", answer(ftruncate(a, 0)));
	printf(" %s", answer(pread(a, &on, 1, 0)));
	close(a);
	close(b);
	close(d);
	end();
}

static void inherited(void)
{
	int a, b, status = 0;
	char text[8];
	pid_t child;

	begin("a child has it too");
	connected('4', &a, &b);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		long n = recv(a, text, sizeof(text), 0);

		n = n > 0 ? send(a, text, (size_t)n, 0) : 0;
		_exit(n == 5 ? 7 : 1);
	}
	close(a);
	put(b, "hello");
	printf(" %s", answer(recv(b, text, 5, MSG_WAITALL)));
	waitpid(child, &status, 0);
	printf(" child %d", WEXITSTATUS(status));
	await(b, POLLRDHUP);
	take(b, 9);
	close(b);
	end();
	begin("and a program that it becomes");
	connected('4', &a, &b);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		dup2(a, 0);
		dup2(a, 1);
		execlp("sh", "sh", "-c", "read x; echo \"got $x\"", NULL);
		_exit(1);
	}
	close(a);
	put(b, "word\n");
	printf(" %s", answer(recv(b, text, 8, MSG_WAITALL)));
	waitpid(child, &status, 0);
	printf(" child %d", WEXITSTATUS(status));
	await(b, POLLRDHUP);
	close(b);
	end();
}

static void passed(void)
{
	int a, b, pair[2], got = -1;
	char c = 'x', control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec v = { &c, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	begin("passed through a UNIX socket");
	connected('4', &a, &b);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &a, sizeof(int));
	printf(" %s", answer(sendmsg(pair[0], &m, 0)));
	close(a);
	printf(" %s", answer(recvmsg(pair[1], &m, 0)));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	put(b, "hello");
	await(got, POLLIN);
	take(got, 9);
	printf(" %s", answer(send(got, "ok", 2, 0)));
	close(got);
	await(b, POLLRDHUP);
	take(b, 9);
	take(b, 9);
	close(b);
	close(pair[0]);
	close(pair[1]);
	end();
}

#define LIMIT_MS 10000 /* of what does not come to it */

/* ---- Blocking ------------------------------------------------------------------------------- */

static long ms_since(const struct timespec *t0)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (t.tv_sec - t0->tv_sec) * 1000 + (t.tv_nsec - t0->tv_nsec) / 1000000;
}

static void waited(const struct timespec *t0, long least)
{
	long ms = ms_since(t0);

	printf(" %s", ms < least - 5 ? "too early" : ms > least + 1500 ? "too late" : "in time");
}

static void limits(void)
{
	struct timeval tv = { 0, 50000 };
	struct timespec t0;
	int a, b;
	char c;

	begin("time limits");
	connected('4', &a, &b);
	setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	clock_gettime(CLOCK_MONOTONIC, &t0);
	printf(" %s", answer(recv(a, &c, 1, 0)));
	waited(&t0, 50);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	printf(" %s", answer(poll(&(struct pollfd){ .fd = a, .events = POLLIN }, 1, 30)));
	waited(&t0, 30);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	look(30);
	waited(&t0, 30);
	put(b, "abc");
	clock_gettime(CLOCK_MONOTONIC, &t0);
	printf(" %s", answer(recv(a, (char[8]){ 0 }, 8, MSG_WAITALL)));
	waited(&t0, 50);
	close(a);
	close(b);
	a = listener('4');
	setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	clock_gettime(CLOCK_MONOTONIC, &t0);
	printf(" %s", answer(accept(a, NULL, NULL)));
	waited(&t0, 50);
	close(a);
	end();
}

static int alarm_tube = -1;

static void on_alarm(int sig)
{
	(void)sig;
	if (alarm_tube >= 0 && write(alarm_tube, "", 1) != 1)
		die("a pipe");
}

/*
 * Signals come every 20 ms, so that it does not matter if the first one comes before the call; the
 * call would wait for so long that one ends it, however busy the machine is.
 */
static void interrupted(int flags_, const char *title, int fd, int how)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = flags_ };
	struct itimerval soon = { { 0, 20000 }, { 0, 20000 } };
	struct timespec until = { LIMIT_MS / 1000, 0 };
	struct timeval limit = { LIMIT_MS / 1000, 0 };
	fd_set set;
	char c;
	long n;

	begin(title);
	sigaction(SIGALRM, &sa, NULL);
	FD_ZERO(&set);
	FD_SET(fd, &set);
	setitimer(ITIMER_REAL, &soon, NULL);
	if (how == 0)
		printf(" %s", answer(recv(fd, &c, 1, 0)));
	else if (how == 1)
		printf(" %s",
		       answer(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, LIMIT_MS)));
	else if (how == 2)
		printf(" %s", answer(select(fd + 1, &set, NULL, NULL, &limit)));
	else if (how == 3)
		printf(" %s", answer(pselect(fd + 1, &set, NULL, NULL, &until, NULL)));
	else if (how == 4) {
		ctl(ADD, fd, EPOLLIN, 1);
		look(LIMIT_MS);
	} else if (how == 5) {
		printf(" %s", answer(accept(fd, NULL, NULL)));
	} else {
		/* What has gone out before the signal is told first. */
		while ((n = send(fd, (char[65536]){ 0 }, 65536, 0)) > 0)
			;
		printf(" %s", answer(n));
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	end();
}

static void signals(void)
{
	struct timeval tv = { LIMIT_MS / 1000, 0 };
	int a, b, l = listener('4');

	connected('4', &a, &b);
	interrupted(0, "a signal ends recv", a, 0);
	interrupted(0, "a signal ends poll", a, 1);
	interrupted(SA_RESTART, "a signal ends poll, restart or not", a, 1);
	interrupted(0, "a signal ends select", a, 2);
	interrupted(SA_RESTART, "a signal ends pselect, restart or not", a, 3);
	interrupted(SA_RESTART, "a signal ends epoll_wait, restart or not", a, 4);
	interrupted(0, "a signal ends accept", l, 5);
	for (int i = 0; i < 2; i++) {
		setsockopt(a, SOL_SOCKET, i ? SO_SNDTIMEO : SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(l, SOL_SOCKET, i ? SO_SNDTIMEO : SO_RCVTIMEO, &tv, sizeof(tv));
	}
	interrupted(SA_RESTART, "with a time limit recv is not restarted", a, 0);
	interrupted(SA_RESTART, "with a time limit accept is not restarted", l, 5);
	interrupted(SA_RESTART, "with a time limit send is not restarted", a, 6);
	close(a);
	close(b);
	close(l);
}

/* A child writes once the signal has come: the blocked call goes on over it with SA_RESTART. */
static void restarted(void)
{
	struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval soon = { .it_value = { 0, 20000 } };
	int a, b, tube[2];
	char c;
	pid_t child;

	begin("a restarted recv gets what comes later");
	connected('4', &a, &b);
	pipe(tube);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		read(tube[0], &c, 1);
		put(b, "z");
		_exit(0);
	}
	alarm_tube = tube[1];
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	printf(" %s", answer(recv(a, &c, 1, 0)));
	waitpid(child, NULL, 0);
	alarm_tube = -1;
	close(tube[0]);
	close(tube[1]);
	close(a);
	close(b);
	end();
}

/* ---- Full buffers --------------------------------------------------------------------------- */

/* Until what A has sent to B moves no more. */
static void await_rest(int a, int b)
{
	struct timespec step = { .tv_nsec = 50000000 };
	int sent, was_sent, come = -1, was_come;

	ioctl(a, TIOCOUTQ, &sent);
	do {
		was_sent = sent;
		was_come = come;
		nanosleep(&step, NULL);
		ioctl(a, TIOCOUTQ, &sent);
		ioctl(b, FIONREAD, &come);
	} while (sent != was_sent || come != was_come);
}

static void full(void)
{
	static char block[65536], got[65536];
	size_t in = 0, out = 0;
	int a, b, why;
	long n;

	begin("a full connection, and one that is emptied");
	connected('4', &a, &b);
	nonblock(a);
	nonblock(b);
	do { /* what arrives meanwhile makes room */
		while ((n = send(a, block, sizeof(block), 0)) > 0)
			in += (size_t)n;
		why = errno;
		await_rest(a, b);
	} while (poll_now(a) & POLLOUT);
	errno = why;
	printf(" %s, %s", answer(n), bits(poll_now(a)));
	ctl(ADD, a, EPOLLOUT | EPOLLET, 1);
	look(0);
	while (out < in) {
		await(b, POLLIN);
		n = recv(b, got, sizeof(got), 0);
		if (n <= 0)
			break;
		out += (size_t)n;
	}
	printf(" %s", out == in ? "all came" : "some is missing");
	look(1000);
	printf(" %s", answer(send(a, block, 100, 0)));
	close(a);
	close(b);
	end();
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	level();
	edge();
	oneshot();
	wrong();
	turns();
	mixed();
	listening();
	copies();
	flags();
	inherited();
	passed();
	limits();
	signals();
	restarted();
	full();
	return 0;
}
