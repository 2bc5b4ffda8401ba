/* SPDX-License-Identifier: MIT */
/*
 * Addresses given to bind, connect and sendto, right and wrong; who may share a port with whom;
 * what getsockname, getpeername, accept and recvfrom give back in much room and in little. See
 * calls.h.
 */
#include "tests/interop/calls.h"

struct bad {
	const char *text, *addr; /* NULL: none */
	uint16_t port;
	int len;    /* -1: as it should be */
	int family; /* -1: as it is */
};

static const struct bad addresses[] = {
	{ "loopback", "127.0.0.1", 5000, -1, -1 },
	{ "loopback, port 0", "127.0.0.1", 0, -1, -1 },
	{ "another of 127/8", "127.1.2.3", 5000, -1, -1 },
	{ "any", "0.0.0.0", 5000, -1, -1 },
	{ "not ours", "192.0.2.1", 5000, -1, -1 },
	{ "broadcast", "255.255.255.255", 5000, -1, -1 },
	{ "multicast", "224.0.0.1", 5000, -1, -1 },
	{ "a short address", "127.0.0.1", 5000, 8, -1 },
	{ "an address of 15 bytes", "127.0.0.1", 5000, 15, -1 },
	{ "an address of 0 bytes", "127.0.0.1", 5000, 0, -1 },
	{ "an address of 128 bytes", "127.0.0.1", 5000, 128, -1 },
	{ "an address of 129 bytes", "127.0.0.1", 5000, 129, -1 },
	{ "family 0, loopback", "127.0.0.1", 5000, -1, 0 },
	{ "family 0, any", "0.0.0.0", 5000, -1, 0 },
	{ "family AF_UNIX", "127.0.0.1", 5000, -1, AF_UNIX },
	{ "family 99", "127.0.0.1", 5000, -1, 99 },
	{ "IPv6 loopback", "::1", 5000, -1, -1 },
	{ "IPv6 any", "::", 5000, -1, -1 },
	{ "IPv4-mapped loopback", "::ffff:127.0.0.1", 5000, -1, -1 },
	{ "IPv4-mapped any", "::ffff:0.0.0.0", 5000, -1, -1 },
	{ "IPv4-mapped, not ours", "::ffff:192.0.2.1", 5000, -1, -1 },
	{ "IPv6, not ours", "2001:db8::1", 5000, -1, -1 },
	{ "IPv6 multicast", "ff02::1", 5000, -1, -1 },
	{ "IPv6 link-local without scope", "fe80::1", 5000, -1, -1 },
	{ "IPv6 of 24 bytes", "::1", 5000, 24, -1 },
	{ "IPv6 of 27 bytes", "::1", 5000, 27, -1 },
	{ "IPv6 of 23 bytes", "::1", 5000, 23, -1 },
};

#define N(a) (sizeof(a) / sizeof((a)[0]))

static struct name make(const struct bad *b)
{
	struct name n = name_of(b->addr, b->port);

	if (b->len >= 0)
		n.len = (socklen_t)b->len;
	if (b->family >= 0)
		n.ss.ss_family = (sa_family_t)b->family;
	return n;
}

static void show_name(int fd)
{
	struct name n = { .len = sizeof(n.ss) };

	if (getsockname(fd, (struct sockaddr *)&n.ss, &n.len) == 0)
		printf("; name %s", name_text(&n));
}

static void bind_one(char family, int type, bool v6only, const struct bad *b)
{
	struct name n = make(b);
	int fd = socket(domain(family), type, 0), one = 1;

	if (v6only)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	printf("%c %s%s bind to %s: ", family, type == SOCK_STREAM ? "tcp" : "udp",
	       v6only ? " v6only" : "", b->text);
	printf("%s", answer(bind(fd, (struct sockaddr *)&n.ss, n.len)));
	show_name(fd);
	printf("\n");
	close(fd);
}

/* To nobody's port: TCP is refused, UDP connects. */
static void connect_one(char family, int type, bool v6only, const struct bad *b)
{
	struct name n = make(b);
	int fd = socket(domain(family), type, 0), one = 1;
	long r;

	if (v6only)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	printf("%c %s%s connect to %s: ", family, type == SOCK_STREAM ? "tcp" : "udp",
	       v6only ? " v6only" : "", b->text);
	r = connect(fd, (struct sockaddr *)&n.ss, n.len);
	printf("%s", answer(r));
	if (type == SOCK_DGRAM) {
		struct name p = { .len = sizeof(p.ss) };

		show_name(fd);
		r = getpeername(fd, (struct sockaddr *)&p.ss, &p.len);
		printf("; peer %s", r ? answer(r) : name_text(&p));
	}
	printf("\n");
	close(fd);
}

static void send_one(char family, const struct bad *b)
{
	struct name n = make(b);
	int fd = socket(domain(family), SOCK_DGRAM, 0);

	printf("%c udp sendto %s: ", family, b->text);
	printf("%s\n", answer(sendto(fd, "x", 1, 0, (struct sockaddr *)&n.ss, n.len)));
	close(fd);
}

/* ---- Sharing a port -------------------------------------------------------------------------- */

struct sharer {
	char family;
	const char *addr;
	bool reuse, port, v6only, listens;
};

static int share(const struct sharer *s, int type, uint16_t port, long *result)
{
	struct name n = name_of(s->addr, port);
	int fd = socket(domain(s->family), type, 0), one = 1;

	if (s->reuse)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (s->v6only)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	*result = bind(fd, (struct sockaddr *)&n.ss, n.len);
	if (!*result && s->listens && type == SOCK_STREAM)
		*result = listen(fd, 1);
	return fd;
}

static const char *sharer_text(const struct sharer *s)
{
	static char text[4][80];
	static unsigned turn;
	char *t = text[turn++ % 4];

	snprintf(t, 80, "%s%s%s%s%s", s->addr, s->reuse ? " reuseaddr" : "",
		 s->port ? " reuseport" : "", s->v6only ? " v6only" : "",
		 s->listens ? " listening" : "");
	return t;
}

static void share_two(const struct sharer *a, const struct sharer *b, int type)
{
	static uint16_t port = 6000;
	long ra, rb;
	int x = share(a, type, ++port, &ra), y = share(b, type, port, &rb);

	printf("%s: %s, then ", type == SOCK_STREAM ? "tcp" : "udp", sharer_text(a));
	printf("%s: %s\n", sharer_text(b), rb ? answer(rb) : "both");
	if (ra)
		printf("(the first was refused)\n");
	close(x);
	close(y);
}

static void sharing(int type)
{
	static const struct sharer all[] = {
		{ '4', "127.0.0.1", 0, 0, 0, 0 },
		{ '4', "127.0.0.1", 1, 0, 0, 0 },
		{ '4', "127.0.0.1", 0, 1, 0, 0 },
		{ '4', "127.0.0.1", 1, 0, 0, 1 },
		{ '4', "127.0.0.1", 0, 1, 0, 1 },
		{ '4', "0.0.0.0", 0, 0, 0, 0 },
		{ '4', "0.0.0.0", 1, 0, 0, 0 },
		{ '4', "0.0.0.0", 1, 0, 0, 1 },
		{ '4', "0.0.0.0", 0, 1, 0, 1 },
		{ '6', "::1", 0, 0, 0, 0 },
		{ '6', "::", 0, 0, 0, 0 },
		{ '6', "::", 1, 0, 0, 0 },
		{ '6', "::", 1, 0, 1, 1 },
		{ '6', "::", 1, 0, 0, 1 },
		{ '6', "::ffff:127.0.0.1", 1, 0, 0, 0 },
	};

	for (unsigned i = 0; i < N(all); i++)
		for (unsigned j = 0; j < N(all); j++)
			share_two(&all[i], &all[j], type);
}

/* ---- What comes back, in little room --------------------------------------------------------- */

static void rooms(char family)
{
	static const socklen_t room[] = { 0, 1, 2, 8, 16, 28, 128 };
	int a, b;

	connected(family, &a, &b);
	for (unsigned i = 0; i < N(room); i++) {
		struct name n = { .len = room[i] };

		printf("%c getsockname in %u bytes: ", family, room[i]);
		printf("%s, ", answer(getsockname(a, (struct sockaddr *)&n.ss, &n.len)));
		printf("%u\n", n.len);
		n.len = room[i];
		printf("%c getpeername in %u bytes: ", family, room[i]);
		printf("%s, ", answer(getpeername(a, (struct sockaddr *)&n.ss, &n.len)));
		printf("%u\n", n.len);
	}
	printf("%c getsockname in -1 bytes: ", family);
	printf("%s\n", answer(getsockname(a, (struct sockaddr *)&(struct name){ .len = 0 }.ss,
					  &(socklen_t){ (socklen_t)-1 })));
	close(a);
	close(b);
}

static void accepted_names(char family, const char *from)
{
	struct name n, got = { .len = sizeof(got.ss) };
	int l = socket(domain(family), SOCK_STREAM, 0), c, fd;

	n = name_of(any(family), 0);
	bind(l, (struct sockaddr *)&n.ss, n.len);
	listen(l, 4);
	n = name_of(from, port_of(l));
	c = socket(n.ss.ss_family, SOCK_STREAM, 0);
	printf("listener on %s called at %s: ", any(family), from);
	printf("%s", answer(connect(c, (struct sockaddr *)&n.ss, n.len)));
	await(l, POLLIN);
	fd = accept4(l, (struct sockaddr *)&got.ss, &got.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	printf("; accepted from %s", name_text(&got));
	show_name(fd);
	printf("; flags %d %d\n", !!(fcntl(fd, F_GETFL) & O_NONBLOCK),
	       !!(fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
	close(c);
	close(l);
}

static void datagram_names(char family, const char *to)
{
	struct name n, got = { .len = sizeof(got.ss) };
	int r = socket(domain(family), SOCK_DGRAM, 0), s;
	char text[8];

	n = name_of(any(family), 0);
	bind(r, (struct sockaddr *)&n.ss, n.len);
	n = name_of(to, port_of(r));
	s = socket(n.ss.ss_family, SOCK_DGRAM, 0);
	printf("datagram for %s to %s: ", any(family), to);
	printf("%s", answer(sendto(s, "hello", 5, 0, (struct sockaddr *)&n.ss, n.len)));
	await(r, POLLIN);
	printf("; %s",
	       answer(recvfrom(r, text, 2, MSG_TRUNC, (struct sockaddr *)&got.ss, &got.len)));
	printf(" from %s\n", name_text(&got));
	close(r);
	close(s);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (unsigned i = 0; i < N(addresses); i++) {
		for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
			bind_one('4', type, false, &addresses[i]);
			bind_one('6', type, false, &addresses[i]);
			bind_one('6', type, true, &addresses[i]);
			connect_one('4', type, false, &addresses[i]);
			connect_one('6', type, false, &addresses[i]);
			connect_one('6', type, true, &addresses[i]);
		}
		send_one('4', &addresses[i]);
		send_one('6', &addresses[i]);
	}
	sharing(SOCK_STREAM);
	sharing(SOCK_DGRAM);
	rooms('4');
	rooms('6');
	accepted_names('4', "127.0.0.1");
	accepted_names('6', "127.0.0.1");
	accepted_names('6', "::1");
	accepted_names('6', "::ffff:127.0.0.1");
	accepted_names('4', "0.0.0.0");
	accepted_names('6', "::");
	datagram_names('4', "127.0.0.1");
	datagram_names('6', "127.0.0.1");
	datagram_names('6', "::1");
	return 0;
}
