/* SPDX-License-Identifier: MIT */
/*
 * Every call in every state of a TCP socket and of a UDP socket: what it answers, whether SIGPIPE
 * came, and what the socket is ready for afterwards. See calls.h.
 */
#include "tests/interop/calls.h"

struct subject {
	char family;
	int fd;	   /* the one that is called, non-blocking */
	int peer;  /* -1: none */
	int other; /* a listener that takes calls */
	struct name to;
};

/* ---- States --------------------------------------------------------------------------------- */

static void fresh(struct subject *s)
{
	s->fd = socket(domain(s->family), SOCK_STREAM, 0);
}

static void bound(struct subject *s)
{
	struct name n = name_of(loopback(s->family), 0);

	fresh(s);
	if (bind(s->fd, (struct sockaddr *)&n.ss, n.len))
		die("bind");
}

static void listening(struct subject *s)
{
	s->fd = listener(s->family);
}

static void listening_called(struct subject *s)
{
	struct name n;

	s->fd = listener(s->family);
	n = name_of(loopback(s->family), port_of(s->fd));
	s->peer = socket(domain(s->family), SOCK_STREAM, 0);
	if (connect(s->peer, (struct sockaddr *)&n.ss, n.len))
		die("connect");
	await(s->fd, POLLIN);
}

static void listener_shut(struct subject *s)
{
	s->fd = listener(s->family);
	if (shutdown(s->fd, SHUT_RD))
		die("shutdown of a listener");
}

static void refused(struct subject *s)
{
	/* A port that nobody has could be chosen for the caller, which would then call itself. */
	int l = port_taken(s->family);
	struct name n = name_of(loopback(s->family), port_of(l));

	fresh(s);
	nonblock(s->fd);
	if (connect(s->fd, (struct sockaddr *)&n.ss, n.len) == 0 ||
	    (errno != EINPROGRESS && errno != ECONNREFUSED))
		die("a call that is refused");
	if (errno == EINPROGRESS)
		await(s->fd, POLLERR);
	close(l);
}

static void caller(struct subject *s)
{
	connected(s->family, &s->fd, &s->peer);
}

static void called(struct subject *s)
{
	connected(s->family, &s->peer, &s->fd);
}

static void with_data(struct subject *s)
{
	caller(s);
	if (send(s->peer, "hello", 5, 0) != 5)
		die("send");
	await(s->fd, POLLIN);
}

static void with_urgent(struct subject *s)
{
	caller(s);
	if (send(s->peer, "abX", 3, MSG_OOB) != 3)
		die("send of urgent data");
	await(s->fd, POLLPRI);
}

static void urgent_inline(struct subject *s)
{
	int one = 1;

	caller(s);
	setsockopt(s->fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	if (send(s->peer, "abX", 3, MSG_OOB) != 3)
		die("send of urgent data");
	await(s->fd, POLLPRI);
}

static void peer_closed(struct subject *s)
{
	caller(s);
	shutdown(s->peer, SHUT_WR);
	await(s->fd, POLLRDHUP);
}

static void data_then_closed(struct subject *s)
{
	caller(s);
	if (send(s->peer, "hello", 5, 0) != 5)
		die("send");
	shutdown(s->peer, SHUT_WR);
	await(s->fd, POLLRDHUP);
}

static void peer_reset(struct subject *s)
{
	caller(s);
	reset_by(s->peer);
	s->peer = -1;
	await(s->fd, POLLHUP);
}

static void data_then_reset(struct subject *s)
{
	with_data(s);
	reset_by(s->peer);
	s->peer = -1;
	await(s->fd, POLLHUP);
}

static void closed_then_reset(struct subject *s)
{
	peer_closed(s);
	reset_by(s->peer);
	s->peer = -1;
	await(s->fd, POLLHUP);
}

static void shut_wr(struct subject *s)
{
	caller(s);
	shutdown(s->fd, SHUT_WR);
	await(s->peer, POLLRDHUP);
	await_fin(s->fd);
}

static void shut_rd(struct subject *s)
{
	caller(s);
	shutdown(s->fd, SHUT_RD);
}

static void shut_rd_then_data(struct subject *s)
{
	shut_rd(s);
	if (send(s->peer, "hello", 5, 0) != 5)
		die("send");
	await_sent(s->peer);
}

static void shut_rdwr(struct subject *s)
{
	caller(s);
	shutdown(s->fd, SHUT_RDWR);
	await(s->peer, POLLRDHUP);
	await_fin(s->fd);
}

static void both_closed(struct subject *s)
{
	shut_wr(s);
	shutdown(s->peer, SHUT_WR);
	await(s->fd, POLLHUP);
}

static void closed_by_both(struct subject *s)
{
	peer_closed(s);
	shutdown(s->fd, SHUT_WR);
	await(s->fd, POLLHUP);
	await_closed(s->fd);
}

static void udp_fresh(struct subject *s)
{
	s->fd = socket(domain(s->family), SOCK_DGRAM, 0);
}

static void udp_bound(struct subject *s)
{
	struct name n = name_of(loopback(s->family), 0);

	udp_fresh(s);
	if (bind(s->fd, (struct sockaddr *)&n.ss, n.len))
		die("bind");
}

static void udp_connected(struct subject *s)
{
	struct name n = name_of(loopback(s->family), 0);

	udp_fresh(s);
	s->peer = socket(domain(s->family), SOCK_DGRAM, 0);
	if (bind(s->peer, (struct sockaddr *)&n.ss, n.len))
		die("bind");
	n = name_of(loopback(s->family), port_of(s->peer));
	if (connect(s->fd, (struct sockaddr *)&n.ss, n.len))
		die("connect");
}

static void udp_with_data(struct subject *s)
{
	struct name n;

	udp_connected(s);
	n = name_of(loopback(s->family), port_of(s->fd));
	if (sendto(s->peer, "hello", 5, 0, (struct sockaddr *)&n.ss, n.len) != 5 ||
	    sendto(s->peer, "", 0, 0, (struct sockaddr *)&n.ss, n.len) != 0)
		die("sendto");
	await(s->fd, POLLIN);
}

static void udp_unreachable(struct subject *s)
{
	udp_connected(s);
	close(s->peer);
	s->peer = -1;
	if (send(s->fd, "hello", 5, 0) != 5)
		die("send");
	await(s->fd, POLLERR);
}

static void udp_shut(struct subject *s)
{
	udp_connected(s);
	shutdown(s->fd, SHUT_RDWR);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static long do_bind(struct subject *s)
{
	struct name n = name_of(loopback(s->family), 0);

	return bind(s->fd, (struct sockaddr *)&n.ss, n.len);
}

static long do_listen(struct subject *s)
{
	return listen(s->fd, 4);
}

/* Where it goes at once on one system and a moment later on the other, the outcome is asked. */
static long do_connect(struct subject *s)
{
	long r = connect(s->fd, (struct sockaddr *)&s->to.ss, s->to.len);
	int err = 0;
	socklen_t len = sizeof(err);

	if (r == 0 || errno != EINPROGRESS)
		return r;
	await(s->fd, POLLOUT);
	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	errno = err;
	return err ? -1 : 0;
}

static long do_connect_again(struct subject *s)
{
	long r;
	int err;

	do_connect(s);
	r = connect(s->fd, (struct sockaddr *)&s->to.ss, s->to.len);
	err = errno;
	if (r < 0 && err == EINPROGRESS)
		await(s->fd, POLLOUT);
	errno = err;
	return r;
}

static long do_disconnect(struct subject *s)
{
	struct sockaddr sa = { .sa_family = AF_UNSPEC };

	return connect(s->fd, &sa, sizeof(sa));
}

static long do_accept(struct subject *s)
{
	int fd = accept(s->fd, NULL, NULL);

	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static long do_getsockname(struct subject *s)
{
	struct name n = { .len = sizeof(n.ss) };
	long r = getsockname(s->fd, (struct sockaddr *)&n.ss, &n.len);

	if (!r)
		printf("%s: ", name_text(&n));
	return r;
}

static long do_getpeername(struct subject *s)
{
	struct name n = { .len = sizeof(n.ss) };
	long r = getpeername(s->fd, (struct sockaddr *)&n.ss, &n.len);

	if (!r)
		printf("%s: ", name_text(&n));
	return r;
}

static long do_send(struct subject *s)
{
	return send(s->fd, "abc", 3, 0);
}

static long do_send_nothing(struct subject *s)
{
	return send(s->fd, "", 0, 0);
}

static long do_send_nosignal(struct subject *s)
{
	return send(s->fd, "abc", 3, MSG_NOSIGNAL);
}

static long do_send_urgent(struct subject *s)
{
	return send(s->fd, "u", 1, MSG_OOB);
}

static long do_sendto(struct subject *s)
{
	return sendto(s->fd, "abc", 3, 0, (struct sockaddr *)&s->to.ss, s->to.len);
}

static long do_write(struct subject *s)
{
	return write(s->fd, "abc", 3);
}

static long do_writev(struct subject *s)
{
	struct iovec v[3] = { { (void *)"ab", 2 }, { NULL, 0 }, { (void *)"cde", 3 } };

	return writev(s->fd, v, 3);
}

static long do_recv(struct subject *s)
{
	char text[16];

	return recv(s->fd, text, sizeof(text), 0);
}

static long do_recv_twice(struct subject *s)
{
	char text[16];
	long r = recv(s->fd, text, sizeof(text), 0);

	printf("%s, then ", answer(r));
	return recv(s->fd, text, sizeof(text), 0);
}

static long do_recv_short(struct subject *s)
{
	char text[2];
	long r = recv(s->fd, text, 2, 0);

	printf("%s, then ", answer(r));
	return recv(s->fd, text, 2, 0);
}

static long do_recv_nothing(struct subject *s)
{
	char c;

	return recv(s->fd, &c, 0, 0);
}

static long do_peek(struct subject *s)
{
	char text[16];
	long r = recv(s->fd, text, sizeof(text), MSG_PEEK);

	printf("%s, then ", answer(r));
	return recv(s->fd, text, sizeof(text), 0);
}

static long do_recv_trunc(struct subject *s)
{
	char text[2] = "..";
	long r = recv(s->fd, text, 2, MSG_TRUNC);

	printf("%.2s: ", text);
	return r;
}

static long do_recv_urgent(struct subject *s)
{
	char text[4] = "...";
	long r = recv(s->fd, text, 3, MSG_OOB);

	printf("%s: ", text);
	return r;
}

static long do_recv_waitall(struct subject *s)
{
	char text[16];

	return recv(s->fd, text, sizeof(text), MSG_WAITALL | MSG_DONTWAIT);
}

static long do_recvmsg(struct subject *s)
{
	struct name n = { .len = 0 };
	char text[16];
	struct iovec v[2] = { { text, 1 }, { text + 1, 15 } };
	struct msghdr m = {
		.msg_iov = v, .msg_iovlen = 2, .msg_name = &n.ss, .msg_namelen = sizeof(n.ss)
	};
	long r = recvmsg(s->fd, &m, 0);

	if (r >= 0)
		printf("name of %u bytes, flags %x: ", m.msg_namelen, m.msg_flags);
	return r;
}

static long do_read(struct subject *s)
{
	char text[16];

	return read(s->fd, text, sizeof(text));
}

static long do_shutdown_rd(struct subject *s)
{
	return shutdown(s->fd, SHUT_RD);
}

static long do_shutdown_wr(struct subject *s)
{
	return shutdown(s->fd, SHUT_WR);
}

static long do_shutdown_rdwr(struct subject *s)
{
	return shutdown(s->fd, SHUT_RDWR);
}

static long do_shutdown_bad(struct subject *s)
{
	return shutdown(s->fd, 3);
}

static long get_int(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) ? -1 : value;
}

static long do_error(struct subject *s)
{
	long r = get_int(s->fd, SOL_SOCKET, SO_ERROR);

	printf("%s, then ", r > 0 ? strerrorname_np((int)r) : answer(r));
	return get_int(s->fd, SOL_SOCKET, SO_ERROR);
}

static long do_acceptconn(struct subject *s)
{
	return get_int(s->fd, SOL_SOCKET, SO_ACCEPTCONN);
}

static long do_state(struct subject *s)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? -1 : info.tcpi_state;
}

static long do_maxseg(struct subject *s)
{
	return get_int(s->fd, IPPROTO_TCP, TCP_MAXSEG) < 0 ? -1 : 0;
}

static long do_nodelay(struct subject *s)
{
	int one = 1;

	return setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static long do_v6only(struct subject *s)
{
	int one = 1;

	return setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
}

static long ask(int fd, unsigned long what)
{
	int value = -1;

	return ioctl(fd, what, &value) ? -1 : value;
}

static long do_fionread(struct subject *s)
{
	return ask(s->fd, FIONREAD);
}

static long do_outq(struct subject *s)
{
	return ask(s->fd, TIOCOUTQ);
}

static long do_atmark(struct subject *s)
{
	return ask(s->fd, 0x8905 /* SIOCATMARK */);
}

static long do_nothing(struct subject *s)
{
	(void)s;
	return 0;
}

static long do_epoll(struct subject *s)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP };
	int ep = epoll_create1(0);
	long n;

	epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
	e.events = 0;
	n = epoll_wait(ep, &e, 1, 0);
	printf("%s: ", bits((int)e.events));
	close(ep);
	return n;
}

static long do_select(struct subject *s)
{
	struct timeval zero = { 0, 0 };
	fd_set r, w, x;
	long n;

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&x);
	FD_SET(s->fd, &r);
	FD_SET(s->fd, &w);
	FD_SET(s->fd, &x);
	n = select(s->fd + 1, &r, &w, &x, &zero);
	printf("%s%s%s: ", FD_ISSET(s->fd, &r) ? "r" : "", FD_ISSET(s->fd, &w) ? "w" : "",
	       FD_ISSET(s->fd, &x) ? "x" : "");
	return n;
}

#define TABLE(name)                                                                                \
	{                                                                                          \
#name, name                                                                        \
	}

static const struct {
	const char *name;
	void (*make)(struct subject *s);
} tcp_states[] = {
	TABLE(fresh),		 TABLE(bound),	       TABLE(listening),
	TABLE(listening_called), TABLE(listener_shut), TABLE(refused),
	TABLE(caller),		 TABLE(called),	       TABLE(with_data),
	TABLE(with_urgent),	 TABLE(urgent_inline), TABLE(peer_closed),
	TABLE(data_then_closed), TABLE(peer_reset),    TABLE(data_then_reset),
	TABLE(closed_then_reset), TABLE(shut_wr),      TABLE(shut_rd),
	TABLE(shut_rd_then_data), TABLE(shut_rdwr),    TABLE(both_closed),
	TABLE(closed_by_both),	 { NULL, NULL },
}, udp_states[] = {
	TABLE(udp_fresh),     TABLE(udp_bound),	      TABLE(udp_connected),
	TABLE(udp_with_data), TABLE(udp_unreachable), TABLE(udp_shut),
	{ NULL, NULL },
};

static const struct {
	const char *name;
	long (*call)(struct subject *s);
} calls[] = {
	TABLE(do_nothing),     TABLE(do_bind),		TABLE(do_listen),
	TABLE(do_connect),     TABLE(do_connect_again), TABLE(do_disconnect),
	TABLE(do_accept),      TABLE(do_getsockname),	TABLE(do_getpeername),
	TABLE(do_send),	       TABLE(do_send_nothing),	TABLE(do_send_nosignal),
	TABLE(do_send_urgent), TABLE(do_sendto),	TABLE(do_write),
	TABLE(do_writev),      TABLE(do_recv),		TABLE(do_recv_twice),
	TABLE(do_recv_short),  TABLE(do_recv_nothing),	TABLE(do_peek),
	TABLE(do_recv_trunc),  TABLE(do_recv_urgent),	TABLE(do_recv_waitall),
	TABLE(do_recvmsg),     TABLE(do_read),		TABLE(do_shutdown_rd),
	TABLE(do_shutdown_wr), TABLE(do_shutdown_rdwr), TABLE(do_shutdown_bad),
	TABLE(do_error),       TABLE(do_acceptconn),	TABLE(do_state),
	TABLE(do_maxseg),      TABLE(do_nodelay),	TABLE(do_v6only),
	TABLE(do_fionread),    TABLE(do_outq),		TABLE(do_atmark),
	TABLE(do_epoll),       TABLE(do_select),
};

/* Data that the call sent on its way moves readiness a little later: await that it has arrived. */
static void one(char family, const char *state, void (*make)(struct subject *), unsigned c,
		bool udp)
{
	struct subject s = { .family = family, .fd = -1, .peer = -1, .other = -1 };
	int before = sigpipes;
	long r;

	if (udp) {
		struct name n = name_of(loopback(family), 0);

		s.other = socket(domain(family), SOCK_DGRAM, 0);
		if (bind(s.other, (struct sockaddr *)&n.ss, n.len))
			die("bind");
	} else {
		s.other = listener(family);
	}
	s.to = name_of(loopback(family), port_of(s.other));
	make(&s);
	nonblock(s.fd);
	printf("%c %s %s: ", family, state, calls[c].name + 3);
	r = calls[c].call(&s);
	printf("%s", answer(r));
	if (sigpipes != before)
		printf(" SIGPIPE");
	await_sent(s.fd);
	printf("; ready %s\n", bits(poll_now(s.fd)));
	close(s.fd);
	if (s.peer >= 0)
		close(s.peer);
	close(s.other);
}

int main(int argc, char **argv)
{
	const char *families = argc > 1 ? argv[1] : "46m";
	struct sigaction count = { .sa_handler = count_sigpipe };

	sigaction(SIGPIPE, &count, NULL);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (const char *f = families; *f; f++) {
		for (unsigned i = 0; tcp_states[i].name; i++)
			for (unsigned c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
				one(*f, tcp_states[i].name, tcp_states[i].make, c, false);
		for (unsigned i = 0; udp_states[i].name; i++)
			for (unsigned c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
				one(*f, udp_states[i].name, udp_states[i].make, c, true);
	}
	return 0;
}
