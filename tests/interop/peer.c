/* SPDX-License-Identifier: MIT */
/*
 * The other end of the interop tests, on Couplet's stack:
 *
 *	peer [OPTIONS] echo PORT		TCP and UDP: what comes goes back, until SIGTERM
 *	peer [OPTIONS] listen PORT		one connection: standard input to it, it to standard
 *						output; the end of input is a half-close
 *	peer [OPTIONS] connect ADDRESS PORT	the same, opened by us
 *
 * Options: those of couplet serve for its link, --counters (print them at the end), --keepalive
 * (after one second of silence, three times), --mss N, --fastopen (take data in SYNs; connect: once
 * for the cookie, then with data), --ecn N (as Linux's tcp_ecn), --cc NAME.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/net.h"

#define BLOCK 65536

struct peer {
	struct net net;
	struct net_options options;
	bool counters, keepalive, fastopen;
	struct cpl_endpoint to;
	cpl_handle first; /* brings the cookie */
	uint64_t mss;
	cpl_handle listener, handle, udp;

	/* listen, connect */
	char in[BLOCK];
	size_t in_at, in_len;
	bool in_eof, out_eof, sent_all;
	int error;
};

static struct loop *running;

static void on_signal(int sig)
{
	(void)sig;
	loop_stop(running);
}

static void prepare(struct peer *p, cpl_handle h, uint64_t now)
{
	cpl_stack *s = p->net.stack;

	net_own(p->net.stack, h, "peer");
	if (p->keepalive) {
		cpl_set_option(s, h, CPL_OPT_KEEP_IDLE, CPL_SECOND, now);
		cpl_set_option(s, h, CPL_OPT_KEEP_INTERVAL, CPL_SECOND / 4, now);
		cpl_set_option(s, h, CPL_OPT_KEEP_COUNT, 3, now);
		cpl_set_option(s, h, CPL_OPT_KEEPALIVE, 1, now);
	}
}

/* ---- echo ----------------------------------------------------------------------------------- */

static void echo_tcp(struct peer *p, cpl_handle h, uint64_t now)
{
	static char data[BLOCK];
	long n, sent;

	while ((n = cpl_recv(p->net.stack, h, data, sizeof(data), CPL_MSG_PEEK, now)) > 0) {
		sent = cpl_send(p->net.stack, h, data, (size_t)n, 0, now);
		if (sent <= 0)
			return;
		cpl_recv(p->net.stack, h, data, (size_t)sent, 0, now);
	}
	if (n != -EAGAIN)
		cpl_close(p->net.stack, h, now);
}

static void echo_udp(struct peer *p, uint64_t now)
{
	static char data[BLOCK];
	struct cpl_endpoint from, to;
	long n;

	while ((n = cpl_udp_recv(p->net.stack, p->udp, &from, &to, data, sizeof(data), now)) >= 0)
		cpl_udp_send(p->net.stack, p->udp, &to, &from, data, (size_t)n, now);
}

static void echo_event(void *arg, const struct cpl_event *ev, uint64_t now)
{
	struct peer *p = arg;
	cpl_handle h;

	if (ev->handle == p->udp) {
		echo_udp(p, now);
	} else if (ev->handle == p->listener) {
		while (!cpl_accept(p->net.stack, p->listener, &h, now))
			prepare(p, h, now);
	} else if (ev->what & CPL_EV_CLOSED) {
		cpl_close(p->net.stack, ev->handle, now);
	} else {
		echo_tcp(p, ev->handle, now);
	}
}

/* ---- listen, connect ------------------------------------------------------------------------ */

static void maybe_done(struct peer *p)
{
	if (p->error || (p->in_eof && p->out_eof && p->sent_all))
		loop_stop(p->net.loop);
}

static void fail_with(struct peer *p, int error)
{
	if (!p->error)
		p->error = error;
	maybe_done(p);
}

/* From standard input to the connection. */
static void pump_in(struct peer *p, uint64_t now)
{
	while (p->handle && !p->in_eof) {
		long n;

		if (p->in_at == p->in_len) {
			n = read(STDIN_FILENO, p->in, sizeof(p->in));
			if (n < 0)
				return;
			p->in_at = 0;
			p->in_len = (size_t)n;
		}
		if (!p->in_len) {
			p->in_eof = true;
			loop_unwatch(p->net.loop, STDIN_FILENO);
			cpl_shutdown(p->net.stack, p->handle, now);
			return;
		}
		n = cpl_send(p->net.stack, p->handle, p->in + p->in_at, p->in_len - p->in_at, 0,
			     now);
		if (n < 0 && n != -EAGAIN)
			fail_with(p, (int)-n);
		if (n > 0)
			p->in_at += (size_t)n;
		loop_rewatch(p->net.loop, STDIN_FILENO, p->in_at < p->in_len ? 0 : EPOLLIN);
		if (p->in_at < p->in_len)
			return;
	}
}

static void stdout_ready(void *arg, int fd, uint32_t events, uint64_t now);

/* From the connection to standard output; what that does not take closes TCP's window. */
static void pump_out(struct peer *p, uint64_t now)
{
	static char data[BLOCK];

	while (p->handle && !p->out_eof) {
		long n = cpl_recv(p->net.stack, p->handle, data, sizeof(data), CPL_MSG_PEEK, now);
		ssize_t put;

		if (n < 0) {
			if (n != -EAGAIN)
				fail_with(p, (int)-n);
			return;
		}
		if (n == 0) {
			p->out_eof = true;
			close(STDOUT_FILENO);
			maybe_done(p);
			return;
		}
		put = write(STDOUT_FILENO, data, (size_t)n);
		if (put < 0 && errno == EAGAIN) {
			loop_watch(p->net.loop, STDOUT_FILENO, EPOLLOUT, stdout_ready, p);
			return;
		}
		if (put < 0) {
			fail_with(p, errno);
			return;
		}
		cpl_recv(p->net.stack, p->handle, data, (size_t)put, 0, now);
	}
}

static void stdin_ready(void *arg, int fd, uint32_t events, uint64_t now)
{
	(void)fd, (void)events;
	pump_in(arg, now);
}

static void stdout_ready(void *arg, int fd, uint32_t events, uint64_t now)
{
	struct peer *p = arg;

	(void)events;
	loop_unwatch(p->net.loop, fd);
	pump_out(p, now);
}

static int open_to(struct peer *p, cpl_handle *h, uint64_t now)
{
	int err = cpl_open(p->net.stack, NULL, h, now);

	if (!err)
		prepare(p, *h, now);
	if (!err && p->mss)
		err = cpl_set_option(p->net.stack, *h, CPL_OPT_MAXSEG, p->mss, now);
	if (!err && p->fastopen)
		err = cpl_set_option(p->net.stack, *h, CPL_OPT_FASTOPEN_CONNECT, 1, now);
	return err ? err : cpl_open_active(p->net.stack, *h, &p->to, now);
}

static void cat_event(void *arg, const struct cpl_event *ev, uint64_t now)
{
	struct peer *p = arg;

	if (p->first && ev->handle == p->first) {
		if (!(ev->what & CPL_EV_CONNECTED))
			return;
		cpl_close(p->net.stack, p->first, now);
		p->first = 0;
		open_to(p, &p->handle, now);
		return;
	}
	if (ev->handle == p->listener) {
		if (!p->handle && !cpl_accept(p->net.stack, p->listener, &p->handle, now)) {
			prepare(p, p->handle, now);
			pump_in(p, now);
		}
		return;
	}
	if (ev->handle != p->handle)
		return;
	if (ev->what & (CPL_EV_CONNECTED | CPL_EV_WRITABLE))
		pump_in(p, now);
	if (ev->what & (CPL_EV_READABLE | CPL_EV_PEER_FIN))
		pump_out(p, now);
	if (ev->what & CPL_EV_SENT_ALL && p->in_eof)
		p->sent_all = true;
	if (ev->what & CPL_EV_SOFT)
		fprintf(stderr, "peer: soft error: %s\n", strerror(ev->error));
	if (ev->what & CPL_EV_CLOSED) {
		pump_out(p, now);
		p->sent_all = !ev->error;
		if (ev->error || !p->in_eof)
			fail_with(p, ev->error ? ev->error : EPIPE);
	}
	maybe_done(p);
}

/* ---- The frame ------------------------------------------------------------------------------ */

static int start_listening(struct peer *p, uint16_t port, bool udp)
{
	struct cpl_endpoint at = { .port = port };
	uint64_t now = loop_clock();
	int err = cpl_listen(p->net.stack, &at, 1024, &p->listener, now);

	if (!err && p->mss)
		err = cpl_set_option(p->net.stack, p->listener, CPL_OPT_MAXSEG, p->mss, now);
	if (!err && p->fastopen)
		err = cpl_set_option(p->net.stack, p->listener, CPL_OPT_FASTOPEN, 16, now);
	if (!err && udp)
		err = cpl_udp_open(p->net.stack, &at, &p->udp, now);
	return err;
}

static int start_connecting(struct peer *p, const char *host, uint16_t port)
{
	p->to.port = port;
	if (cpl_addr_parse(&p->to.addr, host))
		return -EINVAL;
	return open_to(p, p->fastopen ? &p->first : &p->handle, loop_clock());
}

static int start(struct peer *p, char **argv, int argc)
{
	bool echo = argc == 2 && !strcmp(argv[0], "echo");
	int err = -EINVAL;

	loop_on_event(p->net.loop, echo ? echo_event : cat_event, p);
	if (!echo) {
		fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
		fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
		err = loop_watch(p->net.loop, STDIN_FILENO, EPOLLIN, stdin_ready, p);
		if (err)
			return err;
	}
	if (echo || (argc == 2 && !strcmp(argv[0], "listen")))
		err = start_listening(p, (uint16_t)atoi(argv[1]), echo);
	else if (argc == 3 && !strcmp(argv[0], "connect"))
		err = start_connecting(p, argv[1], (uint16_t)atoi(argv[2]));
	return err;
}

static void print_counters(struct peer *p)
{
	struct cpl_counters c;

	if (!p->counters || cpl_counters_get(p->net.stack, &c))
		return;
#define CPL_COUNTER(name, text)                                                                    \
	if (c.name)                                                                                \
		fprintf(stderr, "%s %llu\n", #name, (unsigned long long)c.name);
#include <couplet/counters.def>
}

static int ecn_of_linux(const char *tcp_ecn)
{
	static const enum cpl_ecn kinds[] = { CPL_ECN_NEVER,
					      CPL_ECN_ACTIVE,
					      CPL_ECN_PASSIVE,
					      CPL_ECN_ACCURATE,
					      CPL_ECN_ACCURATE_ASK_CLASSIC,
					      CPL_ECN_ACCURATE_PASSIVE };

	return (int)kinds[atoi(tcp_ecn) % 6];
}

static int parse(int argc, char **argv, struct peer *p)
{
	static const struct option options[] = {
		NET_OPTIONS,
		{ "counters", no_argument, NULL, 'c' },
		{ "keepalive", no_argument, NULL, 'k' },
		{ "mss", required_argument, NULL, 'm' },
		{ "fastopen", no_argument, NULL, 'f' },
		{ "ecn", required_argument, NULL, 'e' },
		{ "cc", required_argument, NULL, 'C' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			p->counters = true;
			break;
		case 'k':
			p->keepalive = true;
			break;
		case 'f':
			p->fastopen = true;
			p->options.fastopen = CPL_FASTOPEN_CLIENT | CPL_FASTOPEN_SERVER;
			break;
		case 'e':
			p->options.ecn = 1 + ecn_of_linux(optarg);
			break;
		case 'C':
			p->options.cc = optarg;
			break;
		case 'm':
			p->mss = strtoull(optarg, NULL, 10);
			break;
		case '?':
			return -1;
		default:
			if (net_option(&p->options, c, optarg))
				return -1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct peer p;
	uint64_t end;
	int err;

	p.options = (struct net_options){ .name = "peer", .argv = argv };
	if (parse(argc, argv, &p) || net_open(&p.net, &p.options))
		return 2;
	err = start(&p, argv + optind, argc - optind);
	if (err) {
		fprintf(stderr, "peer: %s\n", strerror(-err));
		return 2;
	}
	running = p.net.loop;
	signal(SIGTERM, on_signal);
	fprintf(stderr, "peer: ready\n");
	err = loop_run(p.net.loop);
	/* The last ACK, and what it has to say if that is lost. */
	end = loop_clock() + 20 * CPL_MS;
	while (!err && loop_clock() < end)
		err = loop_turn(p.net.loop, end);
	print_counters(&p);
	if (p.error || err)
		fprintf(stderr, "peer: %s\n", strerror(p.error ? p.error : -err));
	net_close(&p.net);
	return p.error || err ? 1 : 0;
}
