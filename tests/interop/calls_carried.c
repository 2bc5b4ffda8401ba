/* SPDX-License-Identifier: MIT */
/*
 * What comes with data, and what is kept of a call: times of arrival, the SYN of a connection,
 * datagrams made of several calls; what splice(2) carries. See calls.h.
 */
#include "tests/interop/calls.h"

#include <netinet/udp.h>
#include <sys/time.h>

/* ---- SO_TIMESTAMP, SO_TIMESTAMPNS ---- */

/* The control data of what is next on FD, and whether its time is of now. */
static void control(int fd)
{
	char space[256], octets[64];
	struct iovec v = { octets, sizeof(octets) };
	struct msghdr msg = { .msg_iov = &v,
			      .msg_iovlen = 1,
			      .msg_control = space,
			      .msg_controllen = sizeof(space) };
	ssize_t n = recvmsg(fd, &msg, 0);

	printf(" %s", answer(n));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		long then;

		memcpy(&then, CMSG_DATA(c), sizeof(then));
		printf(", level %d type %d length %zu %s", c->cmsg_level, c->cmsg_type,
		       (size_t)c->cmsg_len, labs(time(NULL) - then) < 10 ? "now" : "not now");
	}
}

static void times(char family, int type)
{
	static const int names[] = { 0, SO_TIMESTAMP, SO_TIMESTAMPNS };
	int a, b, one = 1;

	for (unsigned i = 0; i < 3; i++) {
		printf("%c %s time of arrival %u:", family, type == SOCK_STREAM ? "tcp" : "udp", i);
		if (type == SOCK_STREAM) {
			connected(family, &a, &b);
		} else {
			struct name n = name_of(loopback(family), 0);

			a = socket(domain(family), SOCK_DGRAM, 0);
			b = socket(domain(family), SOCK_DGRAM, 0);
			bind(b, (struct sockaddr *)&n.ss, n.len);
			n = name_of(loopback(family), port_of(b));
			connect(a, (struct sockaddr *)&n.ss, n.len);
		}
		if (names[i])
			printf(" %s",
			       answer(setsockopt(b, SOL_SOCKET, names[i], &one, sizeof(one))));
		if (names[i]) /* the kernel begins to take times a little later */
			usleep(50000);
		send(a, "abc", 3, 0);
		await(b, POLLIN);
		control(b);
		if (type == SOCK_STREAM) {
			shutdown(a, SHUT_WR);
			await(b, POLLRDHUP);
			control(b);
		}
		puts("");
		close(a);
		close(b);
	}
}

/* ---- TCP_SAVE_SYN ---- */

static void saved_syn(char family, int value)
{
	int l = socket(domain(family), SOCK_STREAM, 0), a, b, one = 1;
	struct name n = name_of(loopback(family), 0);
	uint8_t syn[200] = { 0 };
	socklen_t len = sizeof(syn), small = 10;
	unsigned hlen;

	printf("%c saved SYN %d:", family, value);
	printf(" set %s", answer(setsockopt(l, IPPROTO_TCP, TCP_SAVE_SYN, &value, sizeof(value))));
	bind(l, (struct sockaddr *)&n.ss, n.len);
	listen(l, 5);
	n = name_of(loopback(family), port_of(l));
	a = socket(domain(family), SOCK_STREAM, 0);
	connect(a, (struct sockaddr *)&n.ss, n.len);
	b = accept(l, NULL, NULL);
	printf(" caller %s", answer(getsockopt(a, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len)));
	printf(" %u", len);
	len = sizeof(syn);
	printf(" short %s", answer(getsockopt(b, IPPROTO_TCP, TCP_SAVED_SYN, syn, &small)));
	printf(" %u", small);
	printf(" whole %s", answer(getsockopt(b, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len)));
	hlen = family == '6' ? 40 : 20;
	if (len)
		printf(" %u version %d flags %x from %s to %s options %d", len, syn[0] >> 4,
		       syn[hlen + 13],
		       (syn[hlen] << 8 | syn[hlen + 1]) == port_of(a) ? "it" : "another",
		       (syn[hlen + 2] << 8 | syn[hlen + 3]) == port_of(l) ? "us" : "another",
		       (syn[hlen + 12] >> 4) * 4 - 20);
	len = sizeof(syn);
	printf(" again %s", answer(getsockopt(b, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len)));
	printf(" %u", len);
	printf(" on a connection %s",
	       answer(setsockopt(b, IPPROTO_TCP, TCP_SAVE_SYN, &one, sizeof(one))));
	puts("");
	close(a);
	close(b);
	close(l);
}

/* ---- UDP_CORK, MSG_MORE ---- */

static void datagrams(int fd)
{
	char octets[70000];
	int n;

	for (int i = 0; i < 10; i++) {
		poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, i ? 0 : 20);
		n = (int)recv(fd, octets, sizeof(octets), MSG_DONTWAIT);
		if (n < 0)
			break;
		printf(" [%.*s%s]", n > 20 ? 3 : n, octets, n > 20 ? "..." : "");
	}
}

static void corked(char family)
{
	struct name n = name_of(loopback(family), 0), other;
	int a = socket(domain(family), SOCK_DGRAM, 0), b = socket(domain(family), SOCK_DGRAM, 0);
	int c = socket(domain(family), SOCK_DGRAM, 0), one = 1, zero = 0;
	static char big[40000];

	memset(big, 'x', sizeof(big));
	bind(b, (struct sockaddr *)&n.ss, n.len);
	bind(c, (struct sockaddr *)&n.ss, n.len);
	n = name_of(loopback(family), port_of(b));
	other = name_of(loopback(family), port_of(c));
	connect(a, (struct sockaddr *)&n.ss, n.len);
	printf("%c udp MSG_MORE: %s", family, answer(send(a, "one", 3, MSG_MORE)));
	datagrams(b);
	printf(" %s", answer(send(a, "two", 3, 0)));
	datagrams(b);
	printf("\n%c udp UDP_CORK: %s", family,
	       answer(setsockopt(a, IPPROTO_UDP, UDP_CORK, &one, sizeof(one))));
	printf(" %s", answer(send(a, "ab", 2, 0)));
	printf(" %s", answer(sendto(a, "cd", 2, 0, (struct sockaddr *)&other.ss, other.len)));
	printf(" %s", answer(send(a, "", 0, 0)));
	datagrams(b);
	printf(" off %s", answer(setsockopt(a, IPPROTO_UDP, UDP_CORK, &zero, sizeof(zero))));
	datagrams(b);
	printf(" other");
	datagrams(c);
	printf("\n%c udp cork nothing: %s", family, answer(send(a, "", 0, MSG_MORE)));
	printf(" %s", answer(send(a, "", 0, 0)));
	datagrams(b);
	printf("\n%c udp cork too much: %s", family, answer(send(a, big, sizeof(big), MSG_MORE)));
	printf(" %s", answer(send(a, big, sizeof(big), MSG_MORE)));
	printf(" %s", answer(send(a, "after", 5, 0)));
	datagrams(b);
	printf("\n%c udp cork shut down: %s", family, answer(send(a, "lost", 4, MSG_MORE)));
	shutdown(a, SHUT_WR);
	printf(" %s", answer(send(a, "more", 4, MSG_MORE | MSG_NOSIGNAL)));
	printf(" %s", answer(setsockopt(a, IPPROTO_UDP, UDP_CORK, &zero, sizeof(zero))));
	datagrams(b);
	puts("");
	close(a);
	close(b);
	close(c);
}

/* ---- splice(2) ---- */

static void spliced(const char *what, int in, int out, size_t n, unsigned flags)
{
	printf(" %s %s", what, answer(splice(in, NULL, out, NULL, n, flags)));
}

/* What is to be had from the pipe FD. */
static void piped(int fd)
{
	char octets[64];
	ssize_t n;

	while ((n = read(fd, octets, sizeof(octets))) > 0)
		printf(" [%.*s]", (int)n, octets);
}

static void splices_to(char family)
{
	int a, b, tube[2];
	char octets[64] = { 0 };

	connected(family, &a, &b);
	pipe(tube);
	printf("%c splice to a socket:", family);
	spliced("nothing there", tube[0], a, 100, SPLICE_F_NONBLOCK);
	spliced("nothing asked", tube[0], a, 0, 0);
	write(tube[1], "one two three", 13);
	spliced("some", tube[0], a, 4, 0);
	spliced("the rest", tube[0], a, 100, SPLICE_F_MOVE | SPLICE_F_MORE);
	printf(" comes %s %s", answer(recv(b, octets, 13, MSG_WAITALL)), octets);
	close(tube[1]);
	spliced("after the end", tube[0], a, 100, 0);
	close(tube[0]);
	pipe(tube);
	fcntl(tube[1], F_SETPIPE_SZ, 1 << 20);
	nonblock(a);
	for (int i = 0; i < 10000; i++) {
		write(tube[1], octets, sizeof(octets));
		if (splice(tube[0], NULL, a, NULL, 64, 0) < 0)
			break;
		if (i == 9999) /* whatever fits: until it is full */
			i = 0;
	}
	spliced("full", tube[0], a, 64, 0);
	printf(" left %s", answer(read(tube[0], octets, 64)));
	shutdown(a, SHUT_WR);
	write(tube[1], octets, sizeof(octets));
	spliced("shut down", tube[0], a, 64, 0);
	printf(" left %s\n", answer(read(tube[0], octets, 64)));
	close(a);
	close(b);
	close(tube[0]);
	close(tube[1]);
}

static void splices_from(char family)
{
	int a, b, tube[2], left;

	connected(family, &a, &b);
	pipe(tube);
	fcntl(tube[0], F_SETFL, O_NONBLOCK);
	printf("%c splice from a socket:", family);
	nonblock(a);
	spliced("nothing there", a, tube[1], 100, 0);
	send(b, "one two three", 13, 0);
	await(a, POLLIN);
	spliced("some", a, tube[1], 4, 0);
	piped(tube[0]);
	spliced("the rest", a, tube[1], 100, 0);
	piped(tube[0]);
	fcntl(tube[1], F_SETPIPE_SZ, 4096);
	write(tube[1], (char[4096]){ 0 }, 4096);
	send(b, "four", 4, 0);
	await(a, POLLIN);
	spliced("into a full one", a, tube[1], 100, SPLICE_F_NONBLOCK);
	ioctl(a, FIONREAD, &left);
	printf(" left %d", left);
	read(tube[0], (char[4096]){ 0 }, 4096);
	spliced("with room", a, tube[1], 100, 0);
	piped(tube[0]);
	shutdown(b, SHUT_WR);
	await(a, POLLRDHUP);
	spliced("at the end", a, tube[1], 100, 0);
	puts("");
	close(a);
	close(b);
	close(tube[0]);
	close(tube[1]);
}

static void splices_wrongly(char family)
{
	int a, b, c = socket(domain(family), SOCK_STREAM, 0), l = listener(family), tube[2];
	int file = open("/dev/null", O_RDWR);
	loff_t at = 0;

	connected(family, &a, &b);
	nonblock(a);
	nonblock(c);
	nonblock(l);
	pipe(tube);
	write(tube[1], "one", 3);
	printf("%c splice:", family);
	spliced("two sockets", a, b, 100, 0);
	spliced("a file to a socket", file, a, 100, 0);
	spliced("a socket to a file", a, file, 100, 0);
	spliced("to one that listens", tube[0], l, 100, 0);
	spliced("from one that listens", l, tube[1], 100, 0);
	spliced("to one without connection", tube[0], c, 100, 0);
	spliced("from one without connection", c, tube[1], 100, 0);
	spliced("flags that there are not", tube[0], a, 100, 0x1000);
	spliced("the wrong end", tube[1], a, 100, 0);
	spliced("no descriptor", 999, a, 100, 0);
	printf(" offsets %s", answer(splice(tube[0], &at, a, NULL, 3, 0)));
	printf(" %s", answer(splice(tube[0], NULL, a, &at, 3, 0)));
	printf(" %s", answer(splice(a, &at, tube[1], NULL, 3, SPLICE_F_NONBLOCK)));
	printf(" %s", answer(splice(a, NULL, tube[1], &at, 3, SPLICE_F_NONBLOCK)));
	printf(" left %s\n", answer(read(tube[0], (char[64]){ 0 }, 64)));
	close(a);
	close(b);
	close(c);
	close(l);
	close(file);
	close(tube[0]);
	close(tube[1]);
}

int main(void)
{
	static const char families[] = "46m";

	signal(SIGPIPE, SIG_IGN);
	for (const char *f = families; *f; f++) {
		times(*f, SOCK_STREAM);
		times(*f, SOCK_DGRAM);
		for (int value = 0; value < 3; value++)
			saved_syn(*f, value);
		corked(*f);
		splices_to(*f);
		splices_from(*f);
		splices_wrongly(*f);
	}
	return 0;
}
