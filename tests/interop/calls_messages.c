/* SPDX-License-Identifier: MIT */
/*
 * Messages: each flag on each call that takes flags, vectors, several datagrams by one call and its
 * time limit, control data there and back, the queue of errors, what sendfile(2) carries. See
 * calls.h.
 */
#include "tests/interop/calls.h"

#include <linux/errqueue.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

static char zeros[65536];
/* What the compiler would rather not see. */
static volatile int minus_one = -1, many = 1025;
static void *volatile nowhere = (void *)16;

/* Two datagram sockets: *A is connected to *B. */
static void datagram_pair(char family, int *a, int *b)
{
	struct name n = name_of(loopback(family), 0);

	*a = socket(domain(family), SOCK_DGRAM, 0);
	*b = socket(domain(family), SOCK_DGRAM, 0);
	bind(*b, (struct sockaddr *)&n.ss, n.len);
	n = name_of(loopback(family), port_of(*b));
	connect(*a, (struct sockaddr *)&n.ss, n.len);
}

static void pair(char family, int type, int *a, int *b)
{
	if (type == SOCK_STREAM)
		connected(family, a, b);
	else
		datagram_pair(family, a, b);
}

static const char *type_text(int type)
{
	return type == SOCK_STREAM ? "tcp" : "udp";
}

/* ---- Flags ----------------------------------------------------------------------------------- */

#define FLAG(name)                                                                                 \
	{                                                                                          \
#name, name                                                                        \
	}

static const struct {
	const char *text;
	int flag;
} send_flags[] = {
	FLAG(MSG_DONTWAIT),    FLAG(MSG_MORE), FLAG(MSG_EOR), FLAG(MSG_DONTROUTE),
	FLAG(MSG_NOSIGNAL),    FLAG(MSG_OOB),  FLAG(MSG_PEEK), FLAG(MSG_TRUNC), FLAG(MSG_ERRQUEUE),
	FLAG(MSG_ZEROCOPY),    FLAG(MSG_WAITALL), FLAG(MSG_CTRUNC),
	FLAG(MSG_CONFIRM),
	{ NULL, 0 },
}, receive_flags[] = {
	FLAG(MSG_DONTWAIT),    FLAG(MSG_PEEK), FLAG(MSG_TRUNC), FLAG(MSG_WAITALL | MSG_DONTWAIT),
	FLAG(MSG_PEEK | MSG_TRUNC), FLAG(MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT), FLAG(MSG_OOB),
	FLAG(MSG_NOSIGNAL),    FLAG(MSG_CMSG_CLOEXEC), FLAG(MSG_ERRQUEUE), FLAG(MSG_CTRUNC),
	FLAG(MSG_WAITFORONE),  FLAG(MSG_EOR), FLAG(MSG_DONTROUTE), FLAG(MSG_MORE),
	{ NULL, 0 },
};

static long message_out(int fd, int how, int flags)
{
	struct iovec v[2] = { { (void *)"one ", 4 }, { (void *)"two", 3 } };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = v, .msg_iovlen = 2 } };

	switch (how) {
	case 0:
		return send(fd, "one two", 7, flags);
	case 1:
		return sendto(fd, "one two", 7, flags, NULL, 0);
	case 2:
		return sendmsg(fd, &m.msg_hdr, flags);
	default:
		return sendmmsg(fd, &m, 1, flags) == 1 ? (long)m.msg_len : -1;
	}
}

static long message_in(int fd, int how, int flags, char text[8], int *got_flags)
{
	struct iovec v[2] = { { text, 2 }, { text + 2, 3 } };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = v, .msg_iovlen = 2 } };
	long r;

	*got_flags = 0;
	switch (how) {
	case 0:
		return recv(fd, text, 5, flags);
	case 1:
		return recvfrom(fd, text, 5, flags, NULL, NULL);
	case 2:
		r = recvmsg(fd, &m.msg_hdr, flags);
		break;
	default:
		r = recvmmsg(fd, &m, 1, flags, NULL);
		r = r == 1 ? (long)m.msg_len : r;
	}
	*got_flags = m.msg_hdr.msg_flags;
	return r;
}

/* Each in each way to send; then, an ordinary one, all of which must arrive. */
static void sends(char family, int type)
{
	for (unsigned i = 0; send_flags[i].text; i++) {
		printf("%c %s send with %s:", family, type_text(type), send_flags[i].text);
		for (int how = 0; how < 4; how++) {
			char text[64] = { 0 };
			int a, b;
			long n, all = 0;

			pair(family, type, &a, &b);
			printf(" %s", answer(message_out(a, how, send_flags[i].flag)));
			n = send(a, "end", 3, 0);
			while (all < 32 && !strstr(text, "end")) {
				n = recv(b, text + all, 32, 0);
				if (n <= 0)
					break;
				all += n;
			}
			printf(" [%s]", text);
			close(a);
			close(b);
		}
		puts("");
	}
}

static void receives(char family, int type)
{
	for (unsigned i = 0; receive_flags[i].text; i++) {
		printf("%c %s receive with %s:", family, type_text(type), receive_flags[i].text);
		for (int how = 0; how < 4; how++) {
			char text[8] = "-------";
			int a, b, flags;

			pair(family, type, &a, &b);
			send(a, "one two", 7, 0);
			await(b, POLLIN);
			printf(" %s",
			       answer(message_in(b, how, receive_flags[i].flag, text, &flags)));
			printf(" [%.7s] %x", text, flags);
			memset(text, '-', 7);
			printf(" then %s", answer(message_in(b, 0, MSG_DONTWAIT, text, &flags)));
			printf(" [%.7s]", text);
			close(a);
			close(b);
		}
		puts("");
	}
}

/* SO_PEEK_OFF: peeking goes on where it was; taking moves it back. */
static void peeks_on(char family, int type)
{
	int a, b, at = 2;
	char text[8] = { 0 };
	socklen_t len = sizeof(at);

	pair(family, type, &a, &b);
	printf("%c %s SO_PEEK_OFF: %s", family, type_text(type),
	       answer(setsockopt(b, SOL_SOCKET, SO_PEEK_OFF, &at, len)));
	send(a, "0123456789", 10, 0);
	await(b, POLLIN);
	for (int i = 0; i < 3; i++) {
		memset(text, 0, sizeof(text));
		printf(" %s", answer(recv(b, text, 3, (i < 2 ? MSG_PEEK : 0) | MSG_DONTWAIT)));
		printf(" [%s]", text);
	}
	getsockopt(b, SOL_SOCKET, SO_PEEK_OFF, &at, &len);
	printf(" at %d\n", at);
	close(a);
	close(b);
}

/* ---- Vectors --------------------------------------------------------------------------------- */

static void vectors(char family, int type)
{
	char text[16] = { 0 };
	struct iovec in[3] = { { text, 2 }, { NULL, 0 }, { text + 2, 9 } };
	struct iovec out[2] = { { (void *)"abc", 3 }, { (void *)"defg", 4 } };
	struct iovec bad[1] = { { nowhere, 4 } };
	struct iovec minus[1] = { { text, (size_t)-1 } };
	int a, b;

	pair(family, type, &a, &b);
	printf("%c %s vectors: %s", family, type_text(type), answer(writev(a, out, 2)));
	printf(" %s", answer(readv(b, in, 3)));
	printf(" [%s] preadv %s", text, answer(preadv(b, in, 3, 0)));
	printf(" pwritev %s", answer(pwritev(a, out, 2, 0)));
	printf(" pwritev2 %s", answer(pwritev2(a, out, 2, -1, 0)));
	memset(text, 0, sizeof(text));
	await(b, POLLIN);
	printf(" preadv2 %s", answer(preadv2(b, in, 3, -1, 0)));
	printf(" [%s] at once %s", text, answer(preadv2(b, in, 3, -1, RWF_NOWAIT)));
	printf(" none %s", answer(writev(a, out, 0)));
	printf(" none %s", answer(readv(b, in, type == SOCK_STREAM ? 0 : minus_one)));
	printf(" minus %s", answer(writev(a, out, minus_one)));
	printf(" many %s", answer(writev(a, out, many)));
	printf(" bad %s", answer(writev(a, bad, 1)));
	printf(" bad length %s", answer(readv(b, minus, 1)));
	printf(" bad vector %s\n", answer(writev(a, nowhere, 1)));
	close(a);
	close(b);
}

/* ---- recvmmsg(2), sendmmsg(2) ---------------------------------------------------------------- */

static void several(char family)
{
	char text[4][8] = { { 0 } };
	struct iovec v[4],
		out[3] = { { (void *)"one", 3 }, { (void *)"two2", 4 }, { zeros, sizeof(zeros) } };
	struct mmsghdr in[4], m[3];
	struct timespec none = { 0, 0 }, some = { 0, 40000000 }, bad = { 0, 1000000000 };
	struct timespec minus = { -1, 0 }, *limits[] = { NULL, &none, &some, &bad, &minus };
	struct timespec before = none, after;
	int a, b;

	datagram_pair(family, &a, &b);
	memset(m, 0, sizeof(m));
	memset(in, 0, sizeof(in));
	for (int i = 0; i < 4; i++) {
		v[i] = (struct iovec){ text[i], 7 };
		in[i].msg_hdr.msg_iov = &v[i];
		in[i].msg_hdr.msg_iovlen = 1;
	}
	for (int i = 0; i < 3; i++) {
		m[i].msg_hdr.msg_iov = &out[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	printf("%c udp sendmmsg: %s", family, answer(sendmmsg(a, m, 3, 0)));
	printf(" %u %u then %s", m[0].msg_len, m[1].msg_len, answer(sendmmsg(a, m + 2, 1, 0)));
	printf(" none %s", answer(sendmmsg(a, m, 0, 0)));
	printf(" bad %s", answer(sendmmsg(a, nowhere, 1, 0)));
	printf("\n%c udp recvmmsg: ", family);
	await(b, POLLIN);
	printf("%s", answer(recvmmsg(b, in, 4, MSG_DONTWAIT, NULL)));
	printf(" %u [%s] %u [%s]", in[0].msg_len, text[0], in[1].msg_len, text[1]);
	printf(" empty %s", answer(recvmmsg(b, in, 4, MSG_DONTWAIT, NULL)));
	printf(" none %s", answer(recvmmsg(b, in, 0, MSG_DONTWAIT, NULL)));
	printf(" bad %s", answer(recvmmsg(b, nowhere, 1, MSG_DONTWAIT, NULL)));
	send(a, "x", 1, 0);
	printf(" for one %s", answer(recvmmsg(b, in, 4, MSG_WAITFORONE, NULL)));
	puts("");
	for (unsigned i = 0; i < 5; i++) {
		send(a, "x", 1, 0);
		send(a, "y", 1, 0);
		await(b, POLLIN);
		if (limits[i])
			before = *limits[i];
		printf("%c udp recvmmsg, limit %u: %s", family, i,
		       answer(recvmmsg(b, in, 2, 0, limits[i])));
		if (limits[i]) {
			after = *limits[i];
			printf(" left %s",
			       after.tv_sec == before.tv_sec && after.tv_nsec == before.tv_nsec
				       ? "as it was"
			       : after.tv_sec < 0 ? "minus"
						  : "less");
		}
		puts("");
		while (recv(b, text[0], 1, MSG_DONTWAIT) >= 0)
			;
	}
	close(a);
	close(b);
}

/* ---- Control data ---------------------------------------------------------------------------- */

static void set_int(int fd, int level, int name, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)))
		printf(" (set %d.%d: %s)", level, name, answer(-1));
}

static const char *interface_name(unsigned index)
{
	static char name[IF_NAMESIZE];

	return if_indextoname(index, name) ? name : "none";
}

/* What came with the next datagram, and in what room. */
static void controls(int fd, size_t room)
{
	char space[512], octets[64];
	struct iovec v = { octets, sizeof(octets) };
	struct msghdr m = {
		.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = room
	};
	long n;

	poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1000);
	n = recvmsg(fd, &m, MSG_DONTWAIT);
	printf(" %s flags %x in %zu", answer(n), m.msg_flags, (size_t)m.msg_controllen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c && n >= 0; c = CMSG_NXTHDR(&m, c)) {
		int number = 0;
		struct in_pktinfo i4;
		struct in6_pktinfo i6;
		char text[INET6_ADDRSTRLEN] = "?";

		memcpy(&number, CMSG_DATA(c),
		       c->cmsg_len - CMSG_LEN(0) < sizeof(int) ? 1 : sizeof(int));
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&i4, CMSG_DATA(c), sizeof(i4));
			printf(", to %s", inet_ntop(AF_INET, &i4.ipi_addr, text, sizeof(text)));
			printf(" at %s interface %s",
			       inet_ntop(AF_INET, &i4.ipi_spec_dst, text, sizeof(text)),
			       interface_name((unsigned)i4.ipi_ifindex));
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&i6, CMSG_DATA(c), sizeof(i6));
			printf(", to %s interface %s",
			       inet_ntop(AF_INET6, &i6.ipi6_addr, text, sizeof(text)),
			       interface_name(i6.ipi6_ifindex));
		} else {
			printf(", %d.%d length %zu is %d", c->cmsg_level, c->cmsg_type,
			       (size_t)c->cmsg_len, number);
		}
	}
}

static void asked(char family)
{
	int a, b, one = 1;

	datagram_pair(family, &a, &b);
	printf("%c udp control:", family);
	if (family != '6') {
		set_int(b, IPPROTO_IP, IP_PKTINFO, one);
		set_int(b, IPPROTO_IP, IP_RECVTTL, one);
		set_int(b, IPPROTO_IP, IP_RECVTOS, one);
		set_int(a, IPPROTO_IP, IP_TTL, 17);
		set_int(a, IPPROTO_IP, IP_TOS, 0x48);
	}
	if (family != '4') {
		set_int(b, IPPROTO_IPV6, IPV6_RECVPKTINFO, one);
		set_int(b, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, one);
		set_int(b, IPPROTO_IPV6, IPV6_RECVTCLASS, one);
		set_int(a, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 19);
		set_int(a, IPPROTO_IPV6, IPV6_TCLASS, 0x28);
	}
	for (unsigned i = 0; i < 4; i++)
		send(a, "abc", 3, 0);
	controls(b, 512);
	printf("; in 40:");
	controls(b, 40);
	printf("; in 20:");
	controls(b, 20);
	printf("; in none:");
	controls(b, 0);
	puts("");
	close(a);
	close(b);
}

/* Control data with what is sent: it overrides for this one; what makes no sense is refused. */
static void told(char family, const char *text, int level, int type, const void *data, size_t n)
{
	char space[128] = { 0 };
	struct iovec v = { (void *)"abc", 3 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = space,
			    .msg_controllen = CMSG_SPACE(n) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int a, b;
	long r;

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	if (n)
		memcpy(CMSG_DATA(c), data, n);
	datagram_pair(family, &a, &b);
	set_int(b, IPPROTO_IP, IP_RECVTTL, 1);
	set_int(b, IPPROTO_IP, IP_RECVTOS, 1);
	if (family != '4') {
		set_int(b, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
		set_int(b, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	}
	r = sendmsg(a, &m, 0);
	printf("%c udp sent with %s: %s", family, text, answer(r));
	if (r >= 0)
		controls(b, 512);
	puts("");
	close(a);
	close(b);
}

static void tells(char family)
{
	struct in_pktinfo i4 = { 0 };
	struct in6_pktinfo i6 = { 0 };
	int v = 33, zero = 0, most = 300;
	uint8_t octet = 0x20;

	inet_pton(AF_INET, "127.0.0.1", &i4.ipi_spec_dst);
	inet_pton(AF_INET6, family == '6' ? "::1" : "::ffff:127.0.0.1", &i6.ipi6_addr);
	told(family, "IP_TTL", IPPROTO_IP, IP_TTL, &v, sizeof(v));
	told(family, "IP_TTL 0", IPPROTO_IP, IP_TTL, &zero, sizeof(zero));
	told(family, "IP_TTL 300", IPPROTO_IP, IP_TTL, &most, sizeof(most));
	told(family, "IP_TTL, short", IPPROTO_IP, IP_TTL, &v, 2);
	told(family, "IP_TOS", IPPROTO_IP, IP_TOS, &v, sizeof(v));
	told(family, "IP_TOS, an octet", IPPROTO_IP, IP_TOS, &octet, 1);
	told(family, "IP_PKTINFO", IPPROTO_IP, IP_PKTINFO, &i4, sizeof(i4));
	told(family, "IP_PKTINFO, short", IPPROTO_IP, IP_PKTINFO, &i4, 4);
	inet_pton(AF_INET, "192.0.2.1", &i4.ipi_spec_dst);
	told(family, "IP_PKTINFO of another", IPPROTO_IP, IP_PKTINFO, &i4, sizeof(i4));
	told(family, "IPV6_HOPLIMIT", IPPROTO_IPV6, IPV6_HOPLIMIT, &v, sizeof(v));
	told(family, "IPV6_HOPLIMIT 300", IPPROTO_IPV6, IPV6_HOPLIMIT, &most, sizeof(most));
	told(family, "IPV6_TCLASS", IPPROTO_IPV6, IPV6_TCLASS, &v, sizeof(v));
	told(family, "IPV6_PKTINFO", IPPROTO_IPV6, IPV6_PKTINFO, &i6, sizeof(i6));
	told(family, "IPV6_PKTINFO, short", IPPROTO_IPV6, IPV6_PKTINFO, &i6, 8);
	inet_pton(AF_INET6, "2001:db8::1", &i6.ipi6_addr);
	told(family, "IPV6_PKTINFO of another", IPPROTO_IPV6, IPV6_PKTINFO, &i6, sizeof(i6));
	told(family, "an unknown one", IPPROTO_IP, 99, &v, sizeof(v));
	told(family, "one of SOL_SOCKET", SOL_SOCKET, 99, &v, sizeof(v));
	told(family, "one of an unknown level", 12345, 1, &v, sizeof(v));
	told(family, "SCM_RIGHTS", SOL_SOCKET, SCM_RIGHTS, &zero, sizeof(zero));
}

/* ---- IP_RECVERR ------------------------------------------------------------------------------ */

static void error_next(int fd)
{
	char space[512], text[16];
	struct name to = { .len = 0 };
	struct iovec v = { text, sizeof(text) };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = space,
			    .msg_controllen = sizeof(space),
			    .msg_name = &to.ss,
			    .msg_namelen = sizeof(to.ss) };
	long n = recvmsg(fd, &m, MSG_ERRQUEUE);

	to.len = m.msg_namelen;
	printf(" %s", answer(n));
	if (n < 0)
		return;
	printf(" [%.*s] flags %x of %s", (int)n, text, m.msg_flags, name_text(&to));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		struct {
			struct sock_extended_err e;
			struct sockaddr_storage from;
		} e = { .from = { 0 } };

		memcpy(&e, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
		printf(", %d.%d %s origin %d type %d code %d info %u data %u from family %d",
		       c->cmsg_level, c->cmsg_type, strerrorname_np((int)e.e.ee_errno),
		       e.e.ee_origin, e.e.ee_type, e.e.ee_code, e.e.ee_info, e.e.ee_data,
		       ((struct sockaddr *)SO_EE_OFFENDER(&e.e))->sa_family);
	}
}

static void errors(char family)
{
	struct name n = name_of(loopback(family), 9);
	int a = socket(domain(family), SOCK_DGRAM, 0);

	printf("%c udp queue of errors:", family);
	set_int(a, family == '6' ? IPPROTO_IPV6 : IPPROTO_IP,
		family == '6' ? IPV6_RECVERR : IP_RECVERR, 1);
	if (family == 'm')
		set_int(a, IPPROTO_IPV6, IPV6_RECVERR, 1);
	error_next(a);
	printf(" %s", answer(sendto(a, "lost", 4, 0, (struct sockaddr *)&n.ss, n.len)));
	await(a, POLLERR);
	printf(" %s recv %s", bits(poll_now(a)), answer(recv(a, zeros, 9, MSG_DONTWAIT)));
	printf(" %s", bits(poll_now(a)));
	error_next(a);
	printf(" %s", bits(poll_now(a)));
	error_next(a);
	printf(" too large %s",
	       answer(sendto(a, zeros, 65536, 0, (struct sockaddr *)&n.ss, n.len)));
	printf(" %s\n", bits(poll_now(a)));
	close(a);
}

/* ---- sendfile(2) ----------------------------------------------------------------------------- */

static int file_of(const char *text)
{
	int fd = memfd_create("calls", 0);

	if (write(fd, text, strlen(text)) < 0)
		die("a file");
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void files(char family, int type)
{
	int a, b, file = file_of("0123456789"), null = open("/dev/null", O_WRONLY);
	int zero = open("/dev/zero", O_RDONLY), tube[2];
	off_t at = 3, minus = -1;
	char text[64] = { 0 };
	int shut;

	pair(family, type, &a, &b);
	pipe(tube);
	write(tube[1], "tube", 4);
	printf("%c %s sendfile: %s", family, type_text(type), answer(sendfile(a, file, NULL, 4)));
	printf(" place %ld", (long)lseek(file, 0, SEEK_CUR));
	printf(" from 3 %s", answer(sendfile(a, file, &at, 4)));
	printf(" at %ld place %ld", (long)at, (long)lseek(file, 0, SEEK_CUR));
	printf(" rest %s", answer(sendfile(a, file, NULL, 100)));
	printf(" end %s", answer(sendfile(a, file, NULL, 100)));
	printf(" nothing %s", answer(sendfile(a, file, NULL, 0)));
	printf(" minus %s", answer(sendfile(a, file, &minus, 1)));
	printf(" write-only %s", answer(sendfile(a, null, NULL, 1)));
	printf(" zeros %s", answer(sendfile(a, zero, NULL, 5)));
	printf(" from a socket %s", answer(sendfile(a, b, NULL, 1)));
	printf(" into a file %s", answer(sendfile(file, b, NULL, 1)));
	printf(" no descriptor %s", answer(sendfile(a, 999, NULL, 1)));
	printf(" to none %s", answer(sendfile(999, file, NULL, 1)));
	if (type == SOCK_STREAM) {
		printf(" comes %s", answer(recv(b, text, 15, MSG_WAITALL)));
		printf(" [%s]", text);
	}
	shutdown(a, SHUT_WR);
	lseek(file, 0, SEEK_SET);
	shut = sigpipes;
	printf(" shut down %s", answer(sendfile(a, file, NULL, 4)));
	printf("%s place %ld\n", sigpipes != shut ? " SIGPIPE" : "",
	       (long)lseek(file, 0, SEEK_CUR));
	close(a);
	close(b);
	close(file);
	close(null);
	close(zero);
	close(tube[0]);
	close(tube[1]);
}

/* ---- SO_REUSEPORT: one of several, always the same for the same peer ------------------------- */

static int shared(char family, int type, uint16_t port)
{
	struct name n = name_of(loopback(family), port);
	int fd = socket(domain(family), type, 0);

	set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (bind(fd, (struct sockaddr *)&n.ss, n.len) || (type == SOCK_STREAM && listen(fd, 128)))
		die("a shared port");
	nonblock(fd);
	return fd;
}

static void shares(char family, int type)
{
	int fds[4], had[4] = { 0 }, got = 0, moved = 0;
	struct name n;

	fds[0] = shared(family, type, 0);
	for (int i = 1; i < 4; i++)
		fds[i] = shared(family, type, port_of(fds[0]));
	n = name_of(loopback(family), port_of(fds[0]));
	for (int i = 0; i < 64; i++) {
		int c = socket(domain(family), type, 0), last = -1;

		if (connect(c, (struct sockaddr *)&n.ss, n.len))
			die("connect");
		for (int turn = 0; turn < (type == SOCK_STREAM ? 1 : 2); turn++) {
			struct pollfd p[4];

			if (type == SOCK_DGRAM)
				send(c, "x", 1, 0);
			for (int j = 0; j < 4; j++)
				p[j] = (struct pollfd){ .fd = fds[j], .events = POLLIN };
			poll(p, 4, 2000);
			for (int j = 0; j < 4; j++) {
				int s;

				if (!p[j].revents)
					continue;
				s = type == SOCK_STREAM ? accept(fds[j], NULL, NULL)
							: (int)recv(fds[j], zeros, 1, 0);
				if (s < 0)
					continue;
				if (type == SOCK_STREAM)
					close(s);
				moved += last >= 0 && last != j;
				last = j;
				had[j]++;
				got++;
			}
		}
		close(c);
	}
	printf("%c %s SO_REUSEPORT: %d in all, %s, %d moved\n", family, type_text(type), got,
	       had[0] && had[1] && had[2] && had[3] ? "each had some" : "one had none", moved);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

int main(void)
{
	static const char families[] = "46m";

	signal(SIGPIPE, count_sigpipe);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (const char *f = families; *f; f++) {
		for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
			sends(*f, type);
			receives(*f, type);
			peeks_on(*f, type);
			vectors(*f, type);
			files(*f, type);
			shares(*f, type);
		}
		several(*f);
		asked(*f);
		tells(*f);
		errors(*f);
	}
	return 0;
}
