/* SPDX-License-Identifier: MIT */
/*
 * A catch-all forwarder: whatever the kernel routes into a TUN device, to any address and port, is
 * taken by one Couplet stack and carried on by ordinary sockets of this process: what a VPN client
 * or a sandbox needs first. A SYN is answered only when the dial beyond has succeeded, and refused
 * when that is refused.
 *
 *	cc -o forward forward.c $(pkg-config --cflags --libs couplet)
 *	forward TUN [ADDRESS]	dial ADDRESS (an IPv4 address) instead of the one that was meant
 */
#include <couplet/couplet.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 16384

enum kind {
	DEVICE,
	TCP,
	UDP
};

/* One connection, or one pair of UDP endpoints: our side and the socket beyond. */
struct flow {
	enum kind kind;
	int fd;
	cpl_handle syn;	 /* TCP: awaits our verdict; 0 afterwards */
	cpl_handle conn; /* TCP: of the stack, once accepted */
	struct cpl_endpoint client, meant;
	uint64_t used;
	int peer_fin, socket_eof;
	struct flow *next;
};

static cpl_stack *stack;
static cpl_handle tcp_all, udp_all;
static struct flow *flows;
static int tun, poller, ifindex;
static const char *instead;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * CPL_SECOND + (uint64_t)t.tv_nsec;
}

static void *slab(void *ctx, size_t n)
{
	(void)ctx;
	return malloc(n);
}

static void unslab(void *ctx, void *p, size_t n)
{
	(void)ctx;
	(void)n;
	free(p);
}

static void watch(struct flow *f, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = f };

	if (epoll_ctl(poller, EPOLL_CTL_MOD, f->fd, &ev))
		epoll_ctl(poller, EPOLL_CTL_ADD, f->fd, &ev);
}

/* A socket towards where F was meant to go. */
static int dial(struct flow *f, int type)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	socklen_t len = sizeof(*in);

	if (instead || cpl_addr_is4(&f->meant.addr)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(f->meant.port);
		memcpy(&in->sin_addr, f->meant.addr.b + 12, 4);
		if (instead)
			inet_pton(AF_INET, instead, &in->sin_addr);
	} else {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(f->meant.port);
		memcpy(&in6->sin6_addr, f->meant.addr.b, 16);
		len = sizeof(*in6);
	}
	f->fd = socket(ss.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0)
		return -1;
	if (connect(f->fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS)
		return -1;
	watch(f, type == SOCK_STREAM ? EPOLLOUT : EPOLLIN);
	return 0;
}

static struct flow *flow_new(enum kind kind)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->kind = kind;
	f->fd = -1;
	f->used = now_ns();
	f->next = flows;
	flows = f;
	return f;
}

static void flow_free(struct flow *f)
{
	struct flow **link = &flows;

	while (*link != f)
		link = &(*link)->next;
	*link = f->next;
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

/* ---- TCP ---- */

static void tcp_refuse(struct flow *f)
{
	if (f->syn)
		cpl_syn_refuse(stack, f->syn, now_ns());
	else
		cpl_abort(stack, f->conn, now_ns());
	flow_free(f);
}

/* From our side to the socket: what the socket does not take stays in TCP, whose window says so. */
static int to_socket(struct flow *f)
{
	char data[BLOCK];
	long n = 0;

	while (!f->peer_fin &&
	       (n = cpl_recv(stack, f->conn, data, BLOCK, CPL_MSG_PEEK, now_ns())) > 0) {
		ssize_t sent = send(f->fd, data, (size_t)n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			watch(f, EPOLLIN | EPOLLOUT);
			return 0;
		}
		if (sent < 0)
			return -1;
		cpl_recv(stack, f->conn, data, (size_t)sent, 0, now_ns());
	}
	if (!f->peer_fin && n == 0) {
		f->peer_fin = 1;
		shutdown(f->fd, SHUT_WR);
	}
	return n < 0 && n != -EAGAIN ? -1 : 0;
}

static int from_socket(struct flow *f)
{
	char data[BLOCK];
	ssize_t n;

	while (!f->socket_eof && (n = recv(f->fd, data, BLOCK, MSG_PEEK)) != -1) {
		long took = n ? cpl_send(stack, f->conn, data, (size_t)n, 0, now_ns()) : 0;

		if (!n) {
			f->socket_eof = 1;
			cpl_shutdown(stack, f->conn, now_ns());
			break;
		}
		if (took == -EAGAIN) {
			watch(f, 0); /* until CPL_EV_WRITABLE */
			return 0;
		}
		if (took < 0 || recv(f->fd, data, (size_t)took, 0) != took)
			return -1;
	}
	if (!f->socket_eof && errno != EAGAIN)
		return -1;
	watch(f, f->socket_eof ? 0 : EPOLLIN);
	return 0;
}

static void tcp_run(struct flow *f)
{
	if (from_socket(f) || to_socket(f)) {
		tcp_refuse(f);
	} else if (f->peer_fin && f->socket_eof) {
		cpl_close(stack, f->conn, now_ns());
		flow_free(f);
	}
}

/* The dial has come to its end: now the SYN gets its answer. */
static void tcp_dialled(struct flow *f)
{
	int err = 0;
	socklen_t len = sizeof(err);

	getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err || cpl_syn_accept(stack, f->syn, now_ns())) {
		tcp_refuse(f);
		return;
	}
	f->syn = 0;
	watch(f, 0);
}

static void tcp_syn(cpl_handle syn)
{
	struct cpl_info info;
	struct flow *f = flow_new(TCP);

	if (!f || cpl_info_get(stack, syn, &info, now_ns()))
		return;
	f->syn = syn;
	f->client.addr = info.remote_addr;
	f->client.port = info.remote_port;
	f->meant.addr = info.local_addr;
	f->meant.port = info.local_port;
	if (dial(f, SOCK_STREAM))
		tcp_refuse(f);
}

/* Which flow an accepted connection belongs to: its addresses say. */
static void tcp_accepted(cpl_handle h)
{
	struct cpl_info info;

	if (cpl_info_get(stack, h, &info, now_ns()))
		return;
	for (struct flow *f = flows; f; f = f->next) {
		if (f->kind == TCP && !f->syn && !f->conn && f->client.port == info.remote_port &&
		    f->meant.port == info.local_port &&
		    cpl_addr_equal(&f->client.addr, &info.remote_addr) &&
		    cpl_addr_equal(&f->meant.addr, &info.local_addr)) {
			f->conn = h;
			cpl_set_user(stack, h, (uint64_t)(uintptr_t)f);
			watch(f, EPOLLIN);
			tcp_run(f);
			return;
		}
	}
	cpl_abort(stack, h, now_ns());
}

/* ---- UDP ---- */

static void udp_in(void)
{
	struct cpl_endpoint from, to;
	char data[65536];
	struct flow *f;
	long n;

	while ((n = cpl_udp_recv(stack, udp_all, &from, &to, data, sizeof(data), now_ns())) >= 0) {
		for (f = flows; f; f = f->next)
			if (f->kind == UDP && f->client.port == from.port &&
			    f->meant.port == to.port &&
			    cpl_addr_equal(&f->client.addr, &from.addr) &&
			    cpl_addr_equal(&f->meant.addr, &to.addr))
				break;
		if (!f && (f = flow_new(UDP)) != NULL) {
			f->client = from;
			f->meant = to;
			if (dial(f, SOCK_DGRAM)) {
				cpl_udp_refuse(stack, udp_all, &from, &to, now_ns());
				flow_free(f);
				continue;
			}
		}
		if (!f)
			continue;
		f->used = now_ns();
		if (send(f->fd, data, (size_t)n, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
			cpl_udp_refuse(stack, udp_all, &from, &to, now_ns());
	}
}

static void udp_out(struct flow *f)
{
	char data[65536];
	ssize_t n;

	f->used = now_ns();
	while ((n = recv(f->fd, data, sizeof(data), 0)) >= 0)
		cpl_udp_send(stack, udp_all, &f->meant, &f->client, data, (size_t)n, now_ns());
	if (errno == ECONNREFUSED)
		cpl_udp_refuse(stack, udp_all, &f->client, &f->meant, now_ns());
}

/* A UDP flow ends when it has been silent for a minute. */
static void udp_age(void)
{
	struct flow *next;

	for (struct flow *f = flows; f; f = next) {
		next = f->next;
		if (f->kind == UDP && now_ns() - f->used > 60 * CPL_SECOND)
			flow_free(f);
	}
}

/* ---- the loop ---- */

static void events(void)
{
	struct cpl_event ev;
	cpl_handle h;

	while (cpl_next_event(stack, &ev)) {
		struct flow *f = (struct flow *)(uintptr_t)ev.user;

		if (ev.what & CPL_EV_SYN) {
			tcp_syn(ev.handle);
		} else if (ev.handle == tcp_all) {
			while (!cpl_accept(stack, tcp_all, &h, now_ns()))
				tcp_accepted(h);
		} else if (ev.handle == udp_all) {
			udp_in();
		} else if (f && ev.what & CPL_EV_CLOSED && ev.error) {
			tcp_refuse(f);
		} else if (f) {
			tcp_run(f);
		}
	}
}

static void device(void)
{
	static uint8_t packet[65536];
	struct cpl_out out;
	ssize_t n;

	while ((n = read(tun, packet, sizeof(packet))) > 0) {
		struct cpl_frame frame = { .data = packet, .len = (uint32_t)n };

		cpl_input(stack, ifindex, &frame, 1, now_ns());
	}
	cpl_advance(stack, now_ns());
	events();
	while (cpl_output(stack, ifindex, &out, 1, now_ns()) > 0) {
		n = writev(tun, (const struct iovec *)out.iov, (int)out.iov_n);
		cpl_output_done(stack, out.token, n > 0, now_ns());
	}
}

static int open_tun(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };

	tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	return tun < 0 || ioctl(tun, TUNSETIFF, &ifr) < 0 ? -1 : 0;
}

static int open_stack(void)
{
	struct cpl_iface_config iface = { .size = sizeof(iface),
					  .kind = CPL_IFACE_IP,
					  .mtu = 1500 };
	struct cpl_addr any4 = { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff } }, any6 = { { 0 } };
	struct cpl_config config;

	cpl_config_init(&config);
	config.alloc = slab;
	config.release = unslab;
	if (getrandom(config.secret, sizeof(config.secret), 0) != sizeof(config.secret) ||
	    cpl_stack_new(&stack, &config, now_ns()))
		return -1;
	ifindex = cpl_iface_add(stack, &iface, now_ns());
	return ifindex < 0 || cpl_route_add(stack, &any4, 0, NULL, ifindex, 0, now_ns()) ||
	       cpl_route_add(stack, &any6, 0, NULL, ifindex, 0, now_ns()) ||
	       cpl_catch_all(stack, ifindex, 1024, &tcp_all, now_ns()) ||
	       cpl_udp_catch_all(stack, ifindex, &udp_all, now_ns());
}

int main(int argc, char **argv)
{
	struct flow self = { .kind = DEVICE };

	if (argc < 2)
		return fprintf(stderr, "usage: forward TUN [ADDRESS]\n"), 2;
	instead = argc > 2 ? argv[2] : NULL;
	if (open_tun(argv[1]))
		return perror(argv[1]), 3;
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (open_stack())
		return fprintf(stderr, "forward: cannot set up the stack\n"), 3;
	self.fd = tun;
	watch(&self, EPOLLIN);
	for (;;) {
		uint64_t due, now;
		struct epoll_event ev[64];
		int n;

		device();
		udp_age();
		due = cpl_deadline(stack);
		now = now_ns();
		due = due < now + CPL_SECOND ? due : now + CPL_SECOND;
		n = epoll_wait(poller, ev, 64, due <= now ? 0 : (int)((due - now) / CPL_MS + 1));
		for (int i = 0; i < n; i++) {
			struct flow *f = ev[i].data.ptr;

			if (f->kind == UDP)
				udp_out(f);
			else if (f->kind == TCP && f->syn)
				tcp_dialled(f);
			else if (f->kind == TCP && f->conn)
				tcp_run(f);
		}
	}
}
