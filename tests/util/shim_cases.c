/* SPDX-License-Identifier: MIT */
/*
 * Programs for tests/shim: they know nothing of Couplet. Each checks what it sees, and where it
 * stands when it saw something else is in the line that it prints.
 */
#define _GNU_SOURCE
#include "tests/util/shim_cases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/util/shim_case.h"

static struct sockaddr_in there(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, "10.9.0.1", &a.sin_addr);
	return a;
}

/* A connection to the echo. */
int case_dial(uint16_t port)
{
	struct sockaddr_in a = there(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	for (int tries = 0; connect(fd, (struct sockaddr *)&a, sizeof(a)); tries++) {
		CHECK(errno == ECONNREFUSED && tries < 300);
		close(fd);
		usleep(10000);
		fd = socket(AF_INET, SOCK_STREAM, 0);
		CHECK(fd >= 0);
	}
	return fd;
}

static int bound(uint16_t port, int type)
{
	struct sockaddr_in a = there(port);
	int fd = socket(AF_INET, type, 0), one = 1;

	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	CHECK(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

int case_listener(uint16_t port)
{
	int fd = bound(port, SOCK_STREAM);

	CHECK(listen(fd, 512) == 0);
	return fd;
}

uint8_t case_octet(size_t at)
{
	return (uint8_t)(at * 31 + (at >> 13));
}

/* Send WORD and expect it back. */
void case_say(int fd, const char *word)
{
	size_t n = strlen(word);
	char back[64];

	CHECK(write(fd, word, n) == (ssize_t)n);
	CHECK(recv(fd, back, n, MSG_WAITALL) == (ssize_t)n);
	CHECK(memcmp(back, word, n) == 0);
}

/* Until it is killed: connections, some of them in the middle of something. */
static int do_endless(void)
{
	for (;;) {
		static uint8_t data[60000]; /* never read back, and no more than the echo holds */
		int fd = case_dial(ECHO_PORT), other = case_dial(ECHO_PORT);

		case_say(fd, "endless");
		fcntl(other, F_SETFL, O_NONBLOCK);
		send(other, data, sizeof(data), MSG_NOSIGNAL);
		if (fork() == 0) {
			case_say(fd, "child");
			_exit(0);
		}
		wait(NULL);
		close(fd);
		close(other);
	}
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

static bool peer_closed(int fd, int wait_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, wait_ms) == 1;
}

/* There is room again before long. */
static bool peer_takes(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 20) == 1;
}

/* A pair of connected sockets of our own host is not to be had: LOCAL end and the echo's will do.
 */
static int do_dup(void)
{
	int fd = case_dial(ECHO_PORT), two, three, spare = socket(AF_INET, SOCK_STREAM, 0);
	struct stat st;

	CHECK(fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode));
	two = dup(fd);
	CHECK(two >= 0 && fcntl(two, F_GETFD) == 0);
	CHECK(close(fd) == 0);
	case_say(two, "one");
	CHECK(dup2(two, spare) == spare);
	close(two);
	case_say(spare, "two");
	three = fcntl(spare, F_DUPFD_CLOEXEC, 100);
	CHECK(three >= 100 && fcntl(three, F_GETFD) == FD_CLOEXEC);
	close(spare);
	case_say(three, "three");
	/* What is not blocking is so for all copies. */
	fd = dup(three);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(fcntl(three, F_GETFL) & O_NONBLOCK);
	CHECK(read(three, &st, 1) == -1 && errno == EAGAIN);
	CHECK(fcntl(three, F_SETFL, 0) == 0);
	CHECK(!peer_closed(fd, 0));
	close(fd);
	CHECK(write(fd, "", 1) == -1 && errno == EBADF);
	case_say(three, "four");
	/* The lowest number that is free, as ever. */
	close(0);
	CHECK(socket(AF_INET, SOCK_STREAM, 0) == 0);
	return 0;
}

/* The parent has no more to do with them as soon as there is a child. */
static void leave_to_child(void)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 77 }, got;
	int fd = case_dial(ECHO_PORT), set = epoll_create1(0), status;
	pid_t pid;

	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
	case_say(fd, "busy");
	pid = fork();
	if (pid == 0) {
		CHECK(write(fd, "x", 1) == 1);
		CHECK(epoll_wait(set, &got, 1, 2000) == 1 && got.data.u64 == 77);
		_exit(0);
	}
	close(fd);
	close(set);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static int do_fork(void)
{
	int fd = case_dial(ECHO_PORT), status, set = epoll_create1(0), tube[2];
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 77 }, got;
	pid_t pid;

	CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0);
	case_say(fd, "parent");
	pid = fork();
	if (pid == 0) {
		/* The child has all: the connection and the set. */
		case_say(fd, "child");
		CHECK(write(fd, "x", 1) == 1);
		CHECK(epoll_wait(set, &got, 1, 2000) == 1 && got.data.u64 == 77);
		CHECK(read(fd, &got, 1) == 1);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	case_say(fd, "parent again");
	/* And when the parent goes first. */
	pid = fork();
	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	case_say(fd, "still there");
	/* A fork that the C library makes by itself. */
	CHECK(pipe(tube) == 0);
	pid = fork();
	if (pid == 0) {
		CHECK(daemon(1, 1) == 0);
		case_say(fd, "daemon");
		CHECK(write(tube[1], "d", 1) == 1);
		_exit(0);
	}
	close(tube[1]);
	CHECK(read(tube[0], &got, 1) == 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	pid = fork();
	if (pid == 0) {
		usleep(20000);
		CHECK(write(fd, "y", 1) == 1);
		CHECK(epoll_wait(set, &got, 1, 2000) == 1 && got.data.u64 == 77);
		case_say(fd, ""); /* nothing */
		_exit(0);
	}
	close(fd);
	close(set);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	for (int i = 0; i < 40; i++)
		leave_to_child();
	return 0;
}

static int do_exec(char **argv, const char *self)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 77 }, got;
	char number[16], line[2];
	int fd, out, set, status;
	pid_t pid;

	if (argv[0] && argv[1]) {
		fd = atoi(argv[1]);
		case_say(fd, "after exec");
		/* What was to close on exec has. */
		CHECK(fcntl(fd + 1, F_GETFD) == -1 && errno == EBADF);
		/* So has a set that was to, and the other has what was in it. */
		CHECK(fcntl(fd + 21, F_GETFD) == -1);
		set = fd + 20;
		CHECK(epoll_wait(set, &got, 1, 0) == 0);
		CHECK(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == -1 && errno == EEXIST);
		CHECK(write(fd, "x", 1) == 1);
		CHECK(epoll_wait(set, &got, 1, 2000) == 1 && got.data.u64 == 77);
		CHECK(read(fd, line, 1) == 1);
		if (!strcmp(argv[0], "grandson"))
			return 0;
		/* Through another process, which knows nothing of it. */
		pid = fork();
		if (pid == 0) {
			execl(self, self, "exec", "grandson", argv[1], (char *)NULL);
			_exit(1);
		}
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(close(set) == 0);
		return 0;
	}
	fd = case_dial(ECHO_PORT);
	out = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
	CHECK(out == fd + 1);
	case_say(fd, "before exec");
	CHECK(dup2(epoll_create1(0), fd + 20) == fd + 20);
	CHECK(epoll_ctl(fd + 20, EPOLL_CTL_ADD, fd, &e) == 0);
	CHECK(dup3(epoll_create1(0), fd + 21, O_CLOEXEC) == fd + 21);
	CHECK(epoll_ctl(fd + 21, EPOLL_CTL_ADD, fd, &e) == 0);
	snprintf(number, sizeof(number), "%d", fd);
	execl(self, self, "exec", "heir", number, (char *)NULL);
	CHECK(false);
	return 1;
}

static void pass(int to, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .h = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { "f", 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	CHECK(sendmsg(to, &msg, 0) == 1);
}

static int passed(int from)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	char octet;
	struct iovec iov = { &octet, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	int fd;

	CHECK(recvmsg(from, &msg, 0) == 1);
	memcpy(&fd, CMSG_DATA(&control.h), sizeof(fd));
	return fd;
}

static int do_rights(void)
{
	int pair[2], fd, status;
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	pid = fork();
	if (pid == 0) {
		fd = passed(pair[1]);
		case_say(fd, "passed on");
		pass(pair[1], fd);
		_exit(0);
	}
	fd = case_dial(ECHO_PORT);
	pass(pair[0], fd);
	close(fd);
	fd = passed(pair[0]);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	case_say(fd, "and back");
	return 0;
}

static int do_closeall(void)
{
	int fd = case_dial(ECHO_PORT), high;

	case_say(fd, "before");
	high = fcntl(fd, F_DUPFD, 60);
	/* What daemons do. */
	for (int i = 3; i < 60; i++)
		close(i);
	case_say(high, "after");
	CHECK(close_range((unsigned)high + 1, ~0u, 0) == 0);
	case_say(high, "after that");
	closefrom(3);
	CHECK(write(high, "x", 1) == -1 && errno == EBADF);
	fd = case_dial(ECHO_PORT);
	CHECK(fd == 3);
	case_say(fd, "anew");
	return 0;
}

static int do_emfile(void)
{
	struct rlimit limit = { 16, 4096 };
	int l = case_listener(4000), fd, n = 0, last = -1;

	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(accept4(l, NULL, NULL, SOCK_CLOEXEC) >= 0); /* one for now */
	while ((fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0) {
		last = fd;
		n++;
	}
	CHECK(errno == EMFILE && n > 5);
	CHECK(accept(l, NULL, NULL) == -1 && errno == EMFILE);
	close(last);
	/* The connection was not lost. */
	CHECK(accept(l, NULL, NULL) == last);
	return 0;
}

/* ---- Threads and numbers -------------------------------------------------------------------- */

static void *thread_talk(void *arg)
{
	int fd = case_dial(ECHO_PORT);

	(void)arg;
	for (int i = 0; i < 200; i++)
		case_say(fd, "to and fro");
	close(fd);
	return NULL;
}

static int do_threads(void)
{
	pthread_t threads[8];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 8; i++)
			CHECK(pthread_create(&threads[i], NULL, thread_talk, NULL) == 0);
		for (int i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
	}
	return 0;
}

static int do_many(char **argv)
{
	int n = atoi(argv[0]), *all = calloc((size_t)n, sizeof(int));

	for (int i = 0; i < n; i++)
		all[i] = case_dial(ECHO_PORT);
	for (int i = 0; i < n; i++)
		CHECK(write(all[i], "many", 4) == 4);
	for (int i = 0; i < n; i++) {
		char back[4];

		CHECK(recv(all[i], back, 4, MSG_WAITALL) == 4);
	}
	free(all);
	return 0;
}

/* ---- The C library's own -------------------------------------------------------------------- */

static int do_libc(void)
{
	int fd = case_dial(ECHO_PORT);
	char line[32];
	void *volatile nothing = NULL;
	FILE *f;

	f = fdopen(dup(fd), "r+");
	CHECK(f && fileno(f) > fd);
	CHECK(fprintf(f, "a line\n") == 7 && fflush(f) == 0);
	CHECK(fgets(line, sizeof(line), f) && !strcmp(line, "a line\n"));
	CHECK(fclose(f) == 0);
	CHECK(dprintf(fd, "%d\n", 42) == 3 && read(fd, line, 3) == 3);
	CHECK(case_sendfile(fd) == 0);
	CHECK(lseek(fd, 0, SEEK_CUR) == -1 && errno == ESPIPE);
	CHECK(syscall(SYS_io_uring_setup, 8, line) == -1 && errno == ENOSYS);
	CHECK(read(fd, nothing, 5) == -1 && errno == EFAULT);
	return 0;
}

/* As inetd starts its services: the standard streams are the connection. */
static int do_inetd(char **argv)
{
	int fd, status;
	char line[32];
	pid_t pid;

	if (argv[0]) {
		/* Buffered until the end, which has to flush it. */
		printf("%s", fgets(line, sizeof(line), stdin) ? line : "nothing");
		return 0;
	}
	fd = case_dial(ECHO_PORT);
	pid = fork();
	if (pid == 0) {
		dup2(fd, 0);
		dup2(fd, 1);
		execl("/proc/self/exe", "service", "inetd", "service", (char *)NULL);
		_exit(1);
	}
	/* The echo brings it to the service, and what that says to us. */
	CHECK(write(fd, "a line\n", 7) == 7);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(recv(fd, line, 7, MSG_WAITALL) == 7 && memcmp(line, "a line\n", 7) == 0);
	return 0;
}

/* In a child: become another program that has FD and says so, in one of all the ways. */
static void become(unsigned way, const char *self, int fd)
{
	char number[16], command[512];
	char *argv[] = { "heir", "heir", number, NULL };
	int file = open(self, O_RDONLY | O_CLOEXEC);
	pid_t pid = -1;
	int status;

	snprintf(number, sizeof(number), "%d", fd);
	snprintf(command, sizeof(command), "exec %s heir %s", self, number);
	switch (way) {
	case 0:
		execv(self, argv);
		break;
	case 1:
		execve(self, argv, environ);
		break;
	case 2:
		execvp(self, argv);
		break;
	case 3:
		execvpe(self, argv, environ);
		break;
	case 4:
		execl(self, "heir", "heir", number, (char *)NULL);
		break;
	case 5:
		execlp(self, "heir", "heir", number, (char *)NULL);
		break;
	case 6:
		execle(self, "heir", "heir", number, (char *)NULL, environ);
		break;
	case 7:
		fexecve(file, argv, environ);
		break;
	case 8:
		execveat(file, "", argv, environ, AT_EMPTY_PATH);
		break;
	case 9:
		CHECK(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0);
		break;
	case 10:
		CHECK(posix_spawnp(&pid, self, NULL, NULL, argv, environ) == 0);
		break;
	case 11:
		_exit(system(command) != 0);
	default:
		_exit(pclose(popen(command, "w")) != 0);
	}
	_exit(pid < 0 || waitpid(pid, &status, 0) != pid || status);
}

static int do_heirs(char **argv)
{
	char self[256] = "";
	int fd, status;

	if (argv[0]) {
		case_say(atoi(argv[0]), "whoever I am");
		return 0;
	}
	CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	fd = case_dial(ECHO_PORT);
	/* It is the last of many. */
	for (unsigned i = 0; i < 300; i++)
		CHECK(open("/dev/null", O_RDONLY) >= 0);
	CHECK(dup2(fd, 900) == 900 && close(fd) == 0);
	fd = 900;
	for (unsigned way = 0; way < 13; way++) {
		pid_t pid = way % 3 ? fork() : way % 2 ? vfork() : _Fork();

		if (!pid)
			become(way, self, fd);
		status = -1;
		CHECK(waitpid(pid, &status, 0) == pid);
		if (status)
			printf("way %u\n", way);
		CHECK(status == 0);
		case_say(fd, "still mine");
	}
	return 0;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * SO_LINGER (socket(7)): close() waits until what was sent is acknowledged, for so long at most,
 * O_NONBLOCK or not; a peer that does not read never acknowledges all.
 */
static int do_linger(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct linger linger = { 1, 1 };
	socklen_t len = sizeof(a);
	static char big[65536];
	int l = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(listen(l, 8) == 0 && getsockname(l, (struct sockaddr *)&a, &len) == 0);
	inet_pton(AF_INET, "10.9.0.2", &a.sin_addr);
	/* Each takes a second. */
	for (int flags = getenv("SOAK") ? 0 : O_NONBLOCK; flags <= O_NONBLOCK;
	     flags += O_NONBLOCK) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		double took;

		CHECK(connect(fd, (struct sockaddr *)&a, len) == 0);
		CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		while (send(fd, big, sizeof(big), 0) > 0 || peer_takes(fd))
			;
		fcntl(fd, F_SETFL, flags);
		took = seconds();
		CHECK(close(fd) == 0);
		took = seconds() - took;
		CHECK(took > 0.95 && took < 3);
	}
	/* What is acknowledged is not waited for any longer. */
	l = case_dial(ECHO_PORT);
	linger.l_linger = 10;
	CHECK(setsockopt(l, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	CHECK(write(l, "x", 1) == 1 && recv(l, big, 1, MSG_WAITALL) == 1);
	CHECK(close(l) == 0);
	/* Nobody waits for what ends with its process. */
	l = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(l, (struct sockaddr *)&a, len) == 0);
	CHECK(setsockopt(l, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	fcntl(l, F_SETFL, O_NONBLOCK);
	while (send(l, big, sizeof(big), 0) > 0 || peer_takes(l))
		;
	signal(SIGALRM, SIG_DFL);
	ualarm(50000, 0);
	close(l);
	return 1;
}

/* The server ends: what waits ends as well, and nothing can be had any more. */
static int do_orphan(void)
{
	int fd = case_dial(ECHO_PORT);
	char c;

	CHECK(read(fd, &c, 1) == -1 && errno == ENETDOWN);
	CHECK(read(fd, &c, 1) == -1 && errno == ENETDOWN);
	CHECK(socket(AF_INET, SOCK_STREAM, 0) == -1 && errno == ENETDOWN);
	CHECK(close(fd) == 0);
	return 0;
}

/* A call that the C library does not see: the server is told of the octets. */
static int do_raw(void)
{
	int fd = case_dial(ECHO_PORT);
	long result;

#if defined(__x86_64__)
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_write), "D"(fd), "S"("raw"), "d"(3)
			 : "rcx", "r11", "memory");
#else
	result = 3;
#endif
	CHECK(result == 3);
	case_say(fd, "the usual way");
	return 0;
}

int shim_case(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(void);
	} plain[] = {
		{ "endless", do_endless }, { "dup", do_dup },		{ "fork", do_fork },
		{ "rights", do_rights },   { "closeall", do_closeall }, { "emfile", do_emfile },
		{ "mixed", case_mixed },   { "asleep", case_asleep },	{ "signals", case_signals },
		{ "threads", do_threads }, { "libc", do_libc },		{ "raw", do_raw },
		{ "orphan", do_orphan },   { "linger", do_linger },	{ "lost", case_lost },
		{ "burst", case_burst },   { "lone", case_lone },	{ "storm", case_storm },
		{ "limit", case_limit },   { "cancel", case_cancel },	{ "workers", case_workers },
		{ "beside", case_beside }, { "giver", case_giver },	{ "wakes", case_wakes },
	};

	if (argc >= 3 && !strcmp(argv[0], "echo"))
		return case_echo(argv + 1);
	if (argc >= 4 && !strcmp(argv[0], "stream"))
		return case_stream(argv + 1);
	if (argc >= 3 && !strcmp(argv[0], "crowd"))
		return case_crowd(argv + 1);
	if (argc >= 2 && !strcmp(argv[0], "many"))
		return do_many(argv + 1);
	if (argc >= 2 && !strcmp(argv[0], "shut-in"))
		return case_shut_in(argv + 1);
	if (!strcmp(argv[0], "inetd"))
		return do_inetd(argv + 1);
	if (!strcmp(argv[0], "heir") || !strcmp(argv[0], "heirs"))
		return do_heirs(argv + 1);
	if (!strcmp(argv[0], "exec"))
		return do_exec(argv + 1, "/proc/self/exe");
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (!strcmp(argv[0], plain[i].name))
			return plain[i].run();
	return 2;
}
