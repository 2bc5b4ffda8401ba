/* SPDX-License-Identifier: MIT */
/*
 * Signals of sockets, and waits with a mask of signals or a limit of their own: SIGPIPE, SIGIO and
 * SIGURG to whom fcntl(2) says, ppoll, pselect, epoll_pwait, epoll_pwait2; select(2) by sets;
 * exclusive wake-ups; what the C library tells of names and interfaces. See calls.h.
 */
#include "tests/interop/calls.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/select.h>

static volatile sig_atomic_t io, urgent, alarms;

static void on_signal(int sig)
{
	if (sig == SIGIO)
		io++;
	else if (sig == SIGURG)
		urgent++;
	else
		alarms++;
}

/* Until *COUNT is not 0, or a moment has passed. */
static const char *came(volatile sig_atomic_t *count)
{
	struct timespec step = { .tv_nsec = 200000 };

	for (int i = 0; i < 1000 && !*count; i++)
		nanosleep(&step, NULL);
	return *count ? "came" : "none";
}

/* ---- SIGPIPE ----------------------------------------------------------------------------------
 */

static void pipes(char family)
{
	struct iovec v = { (void *)"abc", 3 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };
	int a, b;

	connected(family, &a, &b);
	shutdown(a, SHUT_WR);
	printf("%c SIGPIPE:", family);
	for (int i = 0; i < 8; i++) {
		int before = sigpipes;
		long r;

		errno = 0;
		r = i == 0   ? write(a, "abc", 3)
		    : i == 1 ? writev(a, &v, 1)
		    : i == 2 ? send(a, "abc", 3, 0)
		    : i == 3 ? sendto(a, "abc", 3, 0, NULL, 0)
		    : i == 4 ? sendmsg(a, &m.msg_hdr, 0)
		    : i == 5 ? sendmmsg(a, &m, 1, 0)
		    : i == 6 ? send(a, "abc", 3, MSG_NOSIGNAL)
			     : sendmmsg(a, &m, 1, MSG_NOSIGNAL);
		printf(" %s%s", answer(r), sigpipes != before ? "!" : "");
	}
	printf("\n");
	close(a);
	close(b);
}

/* ---- SIGIO, SIGURG ----------------------------------------------------------------------------
 */

static void owners(char family)
{
	int a, b, l = listener(family), c, none = 0, pid = getpid(), on = 1, got = -1;
	struct name n = name_of(loopback(family), port_of(l));
	char octet;

	connected(family, &a, &b);
	printf("%c owner: %d", family, fcntl(a, F_GETOWN));
	printf(" set %s", answer(fcntl(a, F_SETOWN, pid)));
	printf(" %s", fcntl(a, F_GETOWN) == pid ? "us" : "another");
	printf(" by ioctl %s", answer(ioctl(b, 0x8901 /* FIOSETOWN */, &pid)));
	printf(" %s", answer(ioctl(b, 0x8903 /* FIOGETOWN */, &got)));
	printf(" %s", got == pid ? "us" : "another");
	printf(" SIOCSPGRP %s", answer(ioctl(b, 0x8902, &none)));
	printf(" nobody %s", answer(fcntl(a, F_SETOWN, 0x3ffffff)));
	fcntl(a, F_SETOWN, pid);
	io = urgent = 0;
	send(b, "u", 1, MSG_OOB);
	printf("; urgent %s", came(&urgent));
	printf(" mark %d", ioctl(a, 0x8905, &got) ? -1 : got);
	printf(" at %s", answer(sockatmark(a)));
	printf(" %s", answer(recv(a, &octet, 1, MSG_OOB)));
	printf(" again %s", answer(recv(a, &octet, 1, MSG_OOB)));
	urgent = 0;
	setsockopt(a, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	send(b, "v", 1, MSG_OOB);
	printf("; inline %s %s", came(&urgent), answer(recv(a, &octet, 1, MSG_OOB)));
	await(a, POLLIN);
	printf(" %s", answer(recv(a, &octet, 1, 0)));
	printf("; async %s", answer(fcntl(a, F_SETFL, fcntl(a, F_GETFL) | O_ASYNC)));
	printf(" %d", !!(fcntl(a, F_GETFL) & O_ASYNC));
	io = 0;
	send(b, "x", 1, 0);
	printf(" data %s", came(&io));
	io = 0;
	await(a, POLLIN);
	recv(a, &octet, 1, 0);
	shutdown(b, SHUT_WR);
	printf(" end %s", came(&io));
	printf("; a listener %s", answer(ioctl(l, FIOASYNC, &on)));
	fcntl(l, F_SETOWN, pid);
	io = 0;
	c = socket(domain(family), SOCK_STREAM, 0);
	connect(c, (struct sockaddr *)&n.ss, n.len);
	printf(" %s", came(&io));
	printf(" off %s\n", answer(fcntl(a, F_SETFL, fcntl(a, F_GETFL) & ~O_ASYNC)));
	close(a);
	close(b);
	close(c);
	close(l);
}

/* ---- Waits ------------------------------------------------------------------------------------
 */

static void masks(char family)
{
	struct timespec soon = { 0, 30000000 }, zero = { 0, 0 }, bad = { 0, 1000000000 };
	struct timespec minus = { -1, 0 };
	struct pollfd p;
	struct epoll_event e = { .events = EPOLLIN };
	int a, b, ep = epoll_create1(0);
	sigset_t none, blocked;
	fd_set set;

	connected(family, &a, &b);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	epoll_ctl(ep, EPOLL_CTL_ADD, a, &e);
	p = (struct pollfd){ .fd = a, .events = POLLIN };
	printf("%c waits:", family);
	for (int i = 0; i < 4; i++) {
		long r;

		raise(SIGALRM); /* waits for a mask that lets it come */
		FD_ZERO(&set);
		FD_SET(a, &set);
		r = i == 0   ? ppoll(&p, 1, &soon, &none)
		    : i == 1 ? pselect(a + 1, &set, NULL, NULL, &soon, &none)
		    : i == 2 ? epoll_pwait(ep, &e, 1, 30, &none)
			     : epoll_pwait2(ep, &e, 1, &soon, &none);
		printf(" %s %d", answer(r), (int)alarms);
		FD_ZERO(&set);
		FD_SET(a, &set);
		r = i == 0   ? ppoll(&p, 1, &zero, &blocked)
		    : i == 1 ? pselect(a + 1, &set, NULL, NULL, &zero, &blocked)
		    : i == 2 ? epoll_pwait(ep, &e, 1, 0, &blocked)
			     : epoll_pwait2(ep, &e, 1, &zero, &blocked);
		printf(" %s", answer(r));
	}
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	printf(" bad limits %s", answer(ppoll(&p, 1, &bad, NULL)));
	printf(" %s", answer(ppoll(&p, 1, &minus, NULL)));
	printf(" %s", answer(pselect(a + 1, &set, NULL, NULL, &bad, NULL)));
	printf(" %s", answer(epoll_pwait2(ep, &e, 1, &bad, NULL)));
	send(b, "x", 1, 0);
	await(a, POLLIN);
	printf(" ready %s", answer(ppoll(&p, 1, NULL, &none)));
	FD_ZERO(&set);
	FD_SET(a, &set);
	printf(" %s", answer(pselect(a + 1, &set, NULL, NULL, NULL, &none)));
	printf(" %s", answer(epoll_pwait(ep, &e, 1, -1, &none)));
	printf(" %s\n", answer(epoll_pwait2(ep, &e, 1, NULL, &none)));
	close(ep);
	close(a);
	close(b);
}

static void by_sets(char family)
{
	struct timeval half = { 0, 20000 }, minus = { -1, 0 };
	fd_set r, w, x;
	int a, b, tube[2];

	connected(family, &a, &b);
	pipe(tube);
	send(b, "u", 1, MSG_OOB);
	await(a, POLLPRI);
	write(tube[1], "x", 1);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(a, &r);
	FD_SET(b, &r);
	FD_SET(tube[0], &r);
	FD_SET(a, &w);
	FD_SET(a, &x);
	FD_SET(b, &x);
	printf("%c select: %s", family, answer(select(64, &r, &w, &x, NULL)));
	printf(" read %d%d%d write %d urgent %d%d", !!FD_ISSET(a, &r), !!FD_ISSET(b, &r),
	       !!FD_ISSET(tube[0], &r), !!FD_ISSET(a, &w), !!FD_ISSET(a, &x), !!FD_ISSET(b, &x));
	FD_ZERO(&r);
	FD_SET(b, &r);
	printf(" none %s", answer(select(b + 1, &r, NULL, NULL, &half)));
	printf(" left %ld.%06ld %d", half.tv_sec, half.tv_usec, !!FD_ISSET(b, &r));
	printf(" minus %s", answer(select(b + 1, &r, NULL, NULL, &minus)));
	printf(" %s", answer(select(-1, NULL, NULL, NULL, &half)));
	FD_SET(b, &r);
	FD_SET(40, &r);
	printf(" closed one %s\n", answer(select(41, &r, NULL, NULL, &half)));
	close(a);
	close(b);
	close(tube[0]);
	close(tube[1]);
}

/* ---- EPOLLEXCLUSIVE: threads that sleep in sets of their own, one connection ------------------
 */

#define EXCLUSIVE_PATIENCE 20000 /* ms; nobody waits for so long */

static int sleeping_listener, enough;
static atomic_int slept, awake;

static void *sleeper(void *arg)
{
	struct epoll_event e = { .events = EPOLLIN | (arg ? EPOLLEXCLUSIVE : 0) };
	struct epoll_event over = { .events = EPOLLIN, .data.fd = enough };
	int ep = epoll_create1(0);

	e.data.fd = sleeping_listener;
	epoll_ctl(ep, EPOLL_CTL_ADD, sleeping_listener, &e);
	epoll_ctl(ep, EPOLL_CTL_ADD, enough, &over);
	slept++;
	if (epoll_wait(ep, &e, 1, EXCLUSIVE_PATIENCE) == 1 && e.data.fd == sleeping_listener)
		awake++;
	close(ep);
	return NULL;
}

static void exclusive(char family, bool yes)
{
	struct name n;
	pthread_t threads[4];
	struct timespec settle = { .tv_nsec = 60000000 }, tick = { .tv_nsec = 1000000 };
	int c;

	sleeping_listener = listener(family);
	enough = eventfd(0, 0);
	slept = awake = 0;
	n = name_of(loopback(family), port_of(sleeping_listener));
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, sleeper, yes ? &n : NULL);
	while (slept < 4)
		sched_yield();
	nanosleep(&settle, NULL);
	c = socket(domain(family), SOCK_STREAM, 0);
	connect(c, (struct sockaddr *)&n.ss, n.len);
	for (int i = 0; i < EXCLUSIVE_PATIENCE && awake < (yes ? 1 : 4); i++)
		nanosleep(&tick, NULL);
	if (yes) /* others would wake meanwhile */
		nanosleep(&settle, NULL);
	eventfd_write(enough, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("%c four threads, %s: %s\n", family, yes ? "exclusive" : "all",
	       awake == 4   ? "all woke"
	       : awake == 0 ? "nobody woke"
			    : "not all woke");
	close(c);
	close(enough);
	close(sleeping_listener);
}

/* ---- Names ------------------------------------------------------------------------------------
 */

static void names(void)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	struct ifaddrs *all = NULL;
	struct hostent *host;
	struct servent *service;
	struct name n = name_of("127.0.0.1", 80);
	char node[64], port[32];
	unsigned loopbacks = 0;
	int r;

	r = getaddrinfo(NULL, "80", &hints, &list);
	printf("names: passive %d", r);
	for (struct addrinfo *a = r ? NULL : list; a; a = a->ai_next)
		printf(" %d/%d/%d", a->ai_family, a->ai_socktype, a->ai_protocol);
	if (!r)
		freeaddrinfo(list);
	printf(" none %s", gai_strerror(getaddrinfo(NULL, NULL, NULL, &list)));
	printf(" no number %s", gai_strerror(getaddrinfo("host", "80", &hints, &list)));
	hints.ai_flags = 0;
	hints.ai_family = 99;
	printf(" family %s", gai_strerror(getaddrinfo("127.0.0.1", "80", &hints, &list)));
	hints.ai_family = AF_INET;
	printf(" service %s", gai_strerror(getaddrinfo("127.0.0.1", "nosuch", &hints, &list)));
	r = getaddrinfo("localhost", "http", &hints, &list);
	printf(" localhost %d %d", r,
	       r ? 0 : ntohs(((struct sockaddr_in *)list->ai_addr)->sin_port));
	if (!r)
		freeaddrinfo(list);
	host = gethostbyname("127.0.0.1");
	printf(" byname %s", host && host->h_length == 4 ? host->h_name : "none");
	service = getservbyname("http", "tcp");
	printf(" http %d", service ? ntohs((uint16_t)service->s_port) : -1);
	r = getnameinfo((struct sockaddr *)&n.ss, n.len, node, sizeof(node), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV);
	printf(" back %d %s %s", r, r ? "" : node, r ? "" : port);
	printf(" short %s", gai_strerror(getnameinfo((struct sockaddr *)&n.ss, n.len, node, 2, NULL,
						     0, NI_NUMERICHOST)));
	printf(" ifaddrs %s", answer(getifaddrs(&all)));
	for (struct ifaddrs *i = all; i; i = i->ifa_next)
		loopbacks += i->ifa_addr && i->ifa_addr->sa_family == AF_INET &&
			     ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr ==
				     htonl(INADDR_LOOPBACK);
	freeifaddrs(all);
	printf(" %u loopback, lo %s, none %u\n", loopbacks,
	       if_nametoindex("lo") ? "there" : "not there", if_nametoindex("nosuch0"));
}

int main(void)
{
	static const char families[] = "46m";
	struct sigaction act = { .sa_handler = on_signal };

	signal(SIGPIPE, count_sigpipe);
	sigaction(SIGIO, &act, NULL);
	sigaction(SIGURG, &act, NULL);
	sigaction(SIGALRM, &act, NULL);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	names();
	for (const char *f = families; *f; f++) {
		pipes(*f);
		owners(*f);
		masks(*f);
		by_sets(*f);
	}
	exclusive('4', true);
	exclusive('6', false);
	return 0;
}
