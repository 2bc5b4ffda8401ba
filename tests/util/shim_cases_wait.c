/* SPDX-License-Identifier: MIT */
/* Of the programs of shim_cases.h: waiting for several things, asleep, and signals meanwhile. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/util/shim_case.h"

/* ---- Waiting -------------------------------------------------------------------------------- */

int case_mixed(void)
{
	int fd = case_dial(ECHO_PORT), tube[2], set = epoll_create1(0), outer = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = 1 }, got[4];
	struct pollfd p[3];
	bool seen[3] = { false };

	CHECK(pipe(tube) == 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, tube[0], &e) == 0);
	e.data.u32 = 2;
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == -1 && errno == EEXIST);
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, set, &e) == -1 && errno == EINVAL);
	e.data.u32 = 3;
	CHECK(epoll_ctl(outer, EPOLL_CTL_ADD, set, &e) == 0);
	CHECK(epoll_wait(set, got, 4, 0) == 0);
	CHECK(epoll_wait(outer, got, 4, 10) == 0);
	CHECK(write(fd, "x", 1) == 1);
	CHECK(epoll_wait(outer, got, 4, 2000) == 1 && got[0].data.u32 == 3);
	CHECK(epoll_wait(set, got, 4, 2000) == 1 && got[0].data.u32 == 2);
	/* Level: it goes on until it is read. */
	CHECK(epoll_wait(set, got, 4, 2000) == 1 && got[0].data.u32 == 2);
	CHECK(write(tube[1], "y", 1) == 1);
	CHECK(epoll_wait(set, got, 4, 2000) == 2);
	CHECK(got[0].data.u32 + got[1].data.u32 == 3);
	/* With room for one, each has its turn. */
	for (int i = 0; i < 4; i++) {
		CHECK(epoll_wait(set, got, 1, 2000) == 1);
		seen[got[0].data.u32] = true;
	}
	CHECK(seen[1] && seen[2]);
	p[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = tube[0], .events = POLLIN };
	p[2] = (struct pollfd){ .fd = -1, .events = POLLIN };
	CHECK(poll(p, 3, 0) == 2 && p[0].revents == POLLIN && p[1].revents == POLLIN);
	CHECK(read(fd, got, 1) == 1 && read(tube[0], got, 1) == 1);
	CHECK(poll(p, 3, 20) == 0 && !p[0].revents && !p[1].revents);
	CHECK(write(fd, "x", 1) == 1);
	CHECK(poll(p, 3, 2000) == 1 && p[0].revents == POLLIN && !p[1].revents);
	CHECK(read(fd, got, 1) == 1);
	CHECK(epoll_wait(outer, got, 4, 10) == 0);
	/* Edges: once for what came. */
	e = (struct epoll_event){ .events = EPOLLIN | EPOLLET, .data.u32 = 2 };
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == 0);
	CHECK(write(fd, "z", 1) == 1);
	CHECK(epoll_wait(set, got, 4, 2000) == 1);
	CHECK(epoll_wait(set, got, 4, 10) == 0);
	e.events = EPOLLIN | EPOLLONESHOT;
	CHECK(epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) == 0);
	CHECK(epoll_wait(set, got, 4, 2000) == 1);
	CHECK(epoll_wait(set, got, 4, 10) == 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) == 0);
	CHECK(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL) == -1 && errno == ENOENT);
	return 0;
}

static void say_all(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		CHECK(write(fds[i], "x", 1) == 1);
}

/*
 * One that is quick with all that is ready: its answers may wait for each other, but leave when it
 * does something else, even if it makes no call any more.
 */
int case_burst(void)
{
	struct timespec quiet = { 0, 300000000 };
	struct epoll_event e = { .events = EPOLLIN }, got[4];
	int set = epoll_create1(0), fds[4];
	char c;

	for (int i = 0; i < 4; i++) {
		fds[i] = case_dial(ECHO_PORT);
		CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &e) == 0);
	}
	for (int round = 0; round < 100; round++) {
		int ready = 0;

		say_all(fds, 4);
		if (round % 50 == 49) /* the answer comes while nobody looks */
			nanosleep(&quiet, NULL);
		for (int i = 0; round % 50 == 49 && i < 4; i++)
			CHECK(recv(fds[i], &c, 1, MSG_DONTWAIT | MSG_PEEK) == 1);
		while (ready < 4) {
			ready = epoll_wait(set, got, 4, 2000);
			CHECK(ready > 0);
		}
		for (int i = 0; i < 4; i++)
			CHECK(read(fds[i], &c, 1) == 1 && c == 'x');
	}
	return 0;
}

/* As a program that computes. */
static void pause_ns(uint64_t ns)
{
	struct timespec t;
	uint64_t until = 0, now;

	do {
		CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
		now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
		until = until ? until : now + ns;
	} while (now < until);
}

/* For so long calls that do not look for packets keep everybody else from looking, too. */
static void look_away(int fd)
{
	struct sockaddr_storage name;

	for (int i = 0; i < 8; i++) {
		socklen_t len = sizeof(name);

		CHECK(getsockname(fd, (struct sockaddr *)&name, &len) == 0);
		pause_ns(40000);
	}
}

/* Is there something of FD's now, in one of three ways to ask? */
static bool has_come(int way, int fd, int set)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct epoll_event got;
	char c;

	if (way == 0)
		return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
	return (way == 1 ? poll(&p, 1, 0) : epoll_wait(set, &got, 1, 0)) == 1;
}

/*
 * Where frames came one by one, what is looked for is found behind what is not: at the first look,
 * not at the second, unless it came between the two.
 */
int case_lone(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int a = case_dial(ECHO_PORT), b = case_dial(ECHO_PORT), set = epoll_create1(0), second = 0;
	char c;

	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, a, &e) == 0);
	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 8; i++)
			case_say(a, "x");
		CHECK(write(b, "y", 1) == 1);
		look_away(b);
		CHECK(write(a, "z", 1) == 1);
		look_away(a);
		second += !has_come(round % 3, a, set) && has_come(round % 3, a, set);
		CHECK(read(a, &c, 1) == 1 && c == 'z');
		CHECK(read(b, &c, 1) == 1 && c == 'y');
	}
	CHECK(second < 6);
	return 0;
}

/*
 * One that only sends, a little at a time, and never waits: what acknowledges that is seen, and
 * lets more leave.
 */
int case_giver(void)
{
	static const char piece[100];
	int fd = case_dial(ECHO_PORT), room = 1 << 20, queued = 0;

	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	case_say(fd, "x");
	for (int i = 0; i < 500; i++) {
		CHECK(send(fd, piece, sizeof(piece), MSG_DONTWAIT) == sizeof(piece));
		pause_ns(400000);
	}
	CHECK(ioctl(fd, SIOCOUTQ, &queued) == 0);
	CHECK(queued < 20000);
	return 0;
}

static void *wake_later(void *arg)
{
	usleep(30000);
	CHECK(write(*(int *)arg, "wake", 4) == 4);
	return NULL;
}

/* Asleep in each call when it becomes ready, through either kind of descriptor. */
int case_asleep(void)
{
	int fd = case_dial(ECHO_PORT), tube[2], set = epoll_create1(0), *who[2] = { &fd, &tube[1] };
	struct epoll_event e = { .events = EPOLLIN }, got;
	char back[4];

	CHECK(pipe(tube) == 0);
	e.data.fd = fd;
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
	e.data.fd = tube[0];
	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, tube[0], &e) == 0);
	for (int i = 0; i < 6; i++) {
		int from = i % 2 ? tube[0] : fd;
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN },
				       { .fd = tube[0], .events = POLLIN } };
		pthread_t thread;
		fd_set in;

		CHECK(pthread_create(&thread, NULL, wake_later, who[i % 2]) == 0);
		FD_ZERO(&in);
		FD_SET(fd, &in);
		FD_SET(tube[0], &in);
		if (i / 2 == 0)
			CHECK(epoll_wait(set, &got, 1, 5000) == 1 && got.data.fd == from);
		else if (i / 2 == 1)
			CHECK(poll(p, 2, 5000) == 1 && p[i % 2].revents == POLLIN);
		else
			CHECK(select(1000, &in, NULL, NULL, NULL) == 1 && FD_ISSET(from, &in));
		CHECK(read(from, back, 4) == 4 && memcmp(back, "wake", 4) == 0);
		pthread_join(thread, NULL);
	}
	return 0;
}

static volatile sig_atomic_t alarms;
static int alarm_fd = -1;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
	/* A call of ours within a call of ours. */
	if (alarm_fd >= 0 && write(alarm_fd, "a", 1) != 1)
		alarms = 100;
}

static void alarm_in(int ms, int flags)
{
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = flags };
	struct itimerval t = { .it_value = { 0, ms * 1000 } };

	CHECK(sigaction(SIGALRM, &act, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

int case_signals(void)
{
	int fd = case_dial(ECHO_PORT), other = case_dial(ECHO_PORT), tube[2];
	struct timeval tv = { 0, 50000 };
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN } };
	char c;

	alarm_in(20, 0);
	CHECK(read(fd, &c, 1) == -1 && errno == EINTR && alarms == 1);
	case_say(fd, "goes on");
	/* What the handler sends ends the call that it interrupted. */
	alarm_fd = fd;
	alarm_in(20, SA_RESTART);
	CHECK(read(fd, &c, 1) == 1 && c == 'a' && alarms == 2);
	alarm_fd = other;
	alarm_in(20, SA_RESTART);
	CHECK(poll(p, 1, 5000) == -1 && errno == EINTR && alarms == 3);
	CHECK(pipe(tube) == 0);
	p[1] = (struct pollfd){ .fd = tube[0], .events = POLLIN };
	alarm_in(20, SA_RESTART);
	CHECK(poll(p, 2, 5000) == -1 && errno == EINTR && alarms == 4);
	alarm_fd = -1;
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
	CHECK(read(fd, &c, 1) == -1 && errno == EAGAIN);
	signal(SIGPIPE, SIG_IGN);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK(write(fd, "x", 1) == -1 && errno == EPIPE);
	signal(SIGPIPE, on_alarm);
	alarms = 0;
	CHECK(write(fd, "x", 1) == -1 && errno == EPIPE && alarms == 1);
	CHECK(send(fd, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE && alarms == 1);
	return 0;
}

/* ---- At the end of a time limit -------------------------------------------------------------- */

static int looks; /* at the clock, until the signal comes; less than 0: since then */
static bool looks_count;

#ifndef __SANITIZE_THREAD__ /* whose own is called before anything can be looked up */
/* This program's and, as it stands in the C library's place, that of the library it is run with. */
__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*_Atomic real)(clockid_t, struct timespec *);

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	if (looks_count && !--looks)
		raise(SIGALRM);
	return real(id, t);
}
#endif

/*
 * Inline: a signal that comes in a call, at whatever moment, ends it with EINTR, also if its time
 * is over by then, as in the kernel's do_poll(). The first look is before the call begins to count;
 * with a limit that is waited for, the last one may be after it was decided.
 */
int case_limit(void)
{
	struct sigaction act = { .sa_handler = on_alarm };
	struct pollfd p = { .fd = case_dial(ECHO_PORT), .events = POLLIN };
	int came[2] = { 0 };

	CHECK(sigaction(SIGALRM, &act, NULL) == 0);
	for (int at = 2; at < 40; at++)
		for (int ms = 0; ms < 2; ms++) {
			int r;

			alarms = 0;
			looks = at;
			looks_count = true;
			r = poll(&p, 1, ms);
			looks_count = false;
			if (alarms && (!ms || looks < 0))
				CHECK(r == -1 && errno == EINTR);
			else
				CHECK(r == 0 || (alarms && errno == EINTR));
			came[ms] += alarms;
		}
	CHECK(came[0] > 1 && came[1] > 5);
	return 0;
}

/* ---- Threads that are cancelled -------------------------------------------------------------- */

enum victim_how {
	IN_RECV,
	IN_POLL,
	IN_POLL_MIXED,
	IN_SELECT,
	IN_EPOLL,
	IN_ACCEPT,
	IN_SEND,
	IN_SPLICE,
	WITHOUT_SLEEP,
	VICTIMS
};

struct victim {
	enum victim_how how;
	int fd, listener, set, tube[2];
};

static void *victim(void *arg)
{
	const struct victim *v = arg;
	struct pollfd p[2] = { { .fd = v->fd, .events = POLLIN },
			       { .fd = v->tube[0], .events = POLLIN } };
	struct epoll_event e;
	char some[4096] = { 0 };
	fd_set in;

	for (;;) {
		switch (v->how) {
		case IN_RECV:
			recv(v->fd, some, 1, 0);
			break;
		case IN_POLL:
		case IN_POLL_MIXED:
			poll(p, v->how == IN_POLL ? 1 : 2, -1);
			break;
		case IN_SPLICE:
			splice(v->fd, NULL, v->tube[1], NULL, 1, 0);
			break;
		case IN_SELECT:
			FD_ZERO(&in);
			FD_SET(v->fd, &in);
			select(v->fd + 1, &in, NULL, NULL, NULL);
			break;
		case IN_EPOLL:
			epoll_wait(v->set, &e, 1, -1);
			break;
		case IN_ACCEPT:
			accept(v->listener, NULL, NULL);
			break;
		case IN_SEND:
			send(v->fd, some, sizeof(some), 0);
			break;
		default:
			recv(v->fd, some, 1, MSG_DONTWAIT);
		}
	}
	return NULL;
}

static void *say_so(void *arg)
{
	for (int i = 0; i < 20; i++)
		case_say(*(int *)arg, "others go on");
	return NULL;
}

/* How many descriptors this process has; the one that looks is among them. */
static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	CHECK(closedir(dir) == 0);
	return n;
}

/*
 * Wherever it was: no call of another thread suffers from it, no octet goes with it, and no
 * descriptor stays.
 */
int case_cancel(void)
{
	struct epoll_event e = { .events = EPOLLIN };
	int others[3], tube[2], set = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
	unsigned held = 0;

	CHECK(pipe(tube) == 0 && listen(listener, 5) == 0);
	for (int i = 0; i < 3; i++)
		others[i] = case_dial(ECHO_PORT);
	for (int round = 0; round < 8 * VICTIMS; round++) {
		struct victim v = { (enum victim_how)(round % VICTIMS),
				    case_dial(ECHO_PORT),
				    listener,
				    set,
				    { tube[0], tube[1] } };
		pthread_t thread, threads[3];
		void *result;

		CHECK(epoll_ctl(set, EPOLL_CTL_ADD, v.fd, &e) == 0);
		CHECK(pthread_create(&thread, NULL, victim, &v) == 0);
		usleep((unsigned)(round / VICTIMS % 4) * 1000);
		CHECK(pthread_cancel(thread) == 0);
		CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
		if (v.how == IN_SEND) /* the echo is full of it */
			CHECK(close(v.fd) == 0);
		for (int i = 0; i < 3; i++)
			CHECK(pthread_create(&threads[i], NULL, say_so, &others[i]) == 0);
		if (v.how != IN_SEND)
			case_say(v.fd, "nothing is lost");
		for (int i = 0; i < 3; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		if (v.how != IN_SEND)
			CHECK(close(v.fd) == 0);
		if (round == VICTIMS - 1) /* what is made once is made */
			held = descriptors();
	}
	CHECK(descriptors() == held);
	return 0;
}

/* ---- Threads and one set --------------------------------------------------------------------- */

static int crowded_set;

static void *join_set(void *arg)
{
	struct epoll_event e = { .events = EPOLLIN, .data.fd = *(int *)arg };

	CHECK(epoll_ctl(crowded_set, EPOLL_CTL_ADD, e.data.fd, &e) == 0);
	return NULL;
}

/* Takes what comes from whatever of them, until it is told that it is enough. */
static void *take_some(void *arg)
{
	unsigned *taken = arg;
	struct epoll_event e;
	char c;

	while (epoll_wait(crowded_set, &e, 1, 5000) == 1) {
		ssize_t n = recv(e.data.fd, &c, 1, MSG_DONTWAIT);

		CHECK(n == 1 || (n < 0 && errno == EAGAIN));
		if (n == 1 && c == '.')
			return NULL;
		*taken += n == 1;
	}
	return arg;
}

/* Put into it by several threads at once, waited for by several. */
int case_workers(void)
{
	pthread_t threads[4];
	unsigned taken[4] = { 0 };
	int fds[4];

	for (int i = 0; i < 4; i++)
		fds[i] = case_dial(ECHO_PORT);
	for (int round = 0; round < 20; round++) {
		unsigned all = 0;

		crowded_set = epoll_create1(0);
		for (int i = 0; i < 4; i++)
			CHECK(pthread_create(&threads[i], NULL, join_set, &fds[i]) == 0);
		for (int i = 0; i < 4; i++)
			CHECK(pthread_join(threads[i], NULL) == 0);
		memset(taken, 0, sizeof(taken));
		for (int i = 0; i < 4; i++)
			CHECK(pthread_create(&threads[i], NULL, take_some, &taken[i]) == 0);
		for (int i = 0; i < 40; i++)
			CHECK(write(fds[i % 4], "x", 1) == 1);
		for (int i = 0; i < 4; i++) /* behind all the others of each */
			CHECK(write(fds[i], ".", 1) == 1);
		for (int i = 0; i < 4; i++) {
			void *late;

			CHECK(pthread_join(threads[i], &late) == 0 && !late);
			all += taken[i];
		}
		CHECK(all == 40);
		CHECK(close(crowded_set) == 0);
	}
	return 0;
}

/* One process waits, and reads the device if it is inline; the other waits for a pipe as well. */
int case_beside(void)
{
	int fd = case_dial(ECHO_PORT), tube[2], status;
	struct timespec began, end;
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .events = POLLIN } };
	pid_t pid;
	char c;

	CHECK(pipe(tube) == 0);
	p[1].fd = tube[0];
	pid = fork();
	if (pid == 0) {
		struct pollfd quiet = { .fd = case_dial(ECHO_PORT), .events = POLLIN };

		CHECK(write(tube[1], "r", 1) == 1);
		poll(&quiet, 1, -1);
		_exit(1);
	}
	CHECK(read(tube[0], &c, 1) == 1);
	usleep(20000); /* let it sleep: what follows is right either way */
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (int i = 0; i < 50; i++) {
		CHECK(write(fd, "x", 1) == 1);
		CHECK(poll(p, 2, 5000) == 1 && p[0].revents == POLLIN);
		CHECK(read(fd, &c, 1) == 1 && c == 'x');
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	CHECK(kill(pid, SIGTERM) == 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status));
	CHECK(end.tv_sec - began.tv_sec < 5); /* nobody is found by chance after a while */
	return 0;
}

/* ---- At bad times --------------------------------------------------------------------------- */

#define STORM 2000

static volatile sig_atomic_t storm_n, storm_wrong;

/* Each comes once, in order, as it was sent, and finds calls to work. */
static void on_storm(int sig, siginfo_t *info, void *context)
{
	int before = errno;
	char c;

	(void)sig, (void)context;
	storm_wrong += info->si_code != SI_QUEUE || info->si_pid == getpid() ||
		       info->si_value.sival_int != storm_n++;
	if (alarm_fd >= 0) {
		storm_wrong += write(alarm_fd, "s", 1) != 1;
		storm_wrong += recv(alarm_fd, &c, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN;
	}
	errno = before;
}

static void storm(pid_t on)
{
	for (int i = 0; i < STORM; i++) {
		union sigval v = { .sival_int = i };

		while (sigqueue(on, SIGRTMIN, v) && errno == EAGAIN)
			usleep(100);
		usleep(i % 64);
	}
}

/* What the program set is what it is told, whatever stands in its place. */
static void seen_as_set(void)
{
	struct sigaction act = { .sa_handler = on_alarm, .sa_flags = SA_RESETHAND | SA_RESTART },
			 old;

	CHECK(sigaction(SIGTERM, NULL, &old) == 0 && old.sa_handler == SIG_DFL && !old.sa_flags);
	CHECK(sigaction(SIGUSR1, &act, &old) == 0 && old.sa_handler == SIG_DFL);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == on_alarm);
	CHECK((old.sa_flags & (SA_RESETHAND | SA_RESTART | SA_SIGINFO)) ==
	      (SA_RESETHAND | SA_RESTART));
	alarms = 0;
	CHECK(raise(SIGUSR1) == 0 && alarms == 1);
	CHECK(signal(SIGUSR1, on_alarm) == SIG_DFL);
	CHECK(raise(SIGUSR1) == 0 && raise(SIGUSR1) == 0 && alarms == 3);
	CHECK(signal(SIGUSR1, SIG_IGN) == on_alarm && raise(SIGUSR1) == 0 && alarms == 3);
	CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
	CHECK(sigaction(SIGKILL, &act, NULL) == -1 && errno == EINVAL);
	CHECK(sigaction(0, &act, NULL) == -1 && errno == EINVAL);
}

/* Signals while this one does nothing but calls. */
int case_storm(void)
{
	struct sigaction act = { .sa_sigaction = on_storm, .sa_flags = SA_SIGINFO | SA_RESTART };
	int fd = case_dial(ECHO_PORT), status;
	pid_t self = getpid(), pid;

	seen_as_set();
	alarm_fd = case_dial(ECHO_PORT);
	CHECK(sigaction(SIGRTMIN, &act, NULL) == 0);
	pid = fork();
	if (pid == 0) {
		/* A child's are its own. */
		signal(SIGRTMIN, SIG_DFL);
		signal(SIGTERM, SIG_IGN);
		storm(self);
		raise(SIGRTMIN);
		_exit(1);
	}
	while (storm_n < STORM)
		case_say(fd, "busy");
	while (waitpid(pid, &status, 0) < 0)
		CHECK(errno == EINTR);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGRTMIN);
	CHECK(storm_n == STORM && !storm_wrong);
	CHECK(sigaction(SIGTERM, NULL, &act) == 0 && act.sa_handler == SIG_DFL);
	return 0;
}
