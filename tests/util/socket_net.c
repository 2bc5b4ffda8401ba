/* SPDX-License-Identifier: MIT */
#include "tests/util/socket_net.h"

#include <arpa/inet.h>
#include <stdio.h>

static void side_start(struct side *side, unsigned host, uint64_t now)
{
	/* Super-segments pass uncut: what left in one piece is one record, many segments long. */
	struct cpl_iface_config iface = { .size = sizeof(iface),
					  .name = "net0",
					  .mtu = 1500,
					  .flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 |
						   CPL_IFACE_GSO6,
					  .gso_max = 60000 };
	struct cpl_addr v4 = cpl_addr4(10, 0, 0, (uint8_t)host), v6, lo;
	struct sockets_config sc;
	struct cpl_config c;
	char text[32];

	heap_init(&side->heap, 64u << 20);
	cpl_config_init(&c);
	c.alloc = heap_alloc;
	c.release = heap_release;
	c.alloc_ctx = &side->heap;
	c.secret[0] = (uint8_t)host;
	assert_int_equal(cpl_stack_new(&side->stack, &c, now), 0);
	side->ifindex = cpl_iface_add(side->stack, &iface, now);
	assert_int_equal(side->ifindex, 1);
	snprintf(text, sizeof(text), "fd00::%u", host);
	cpl_addr_parse(&v6, text);
	assert_int_equal(cpl_addr_add(side->stack, 1, &v4, 24, now), 0);
	assert_int_equal(cpl_addr_add(side->stack, 1, &v6, 64, now), 0);
	lo = cpl_addr4(127, 0, 0, 1);
	cpl_addr_add(side->stack, 1, &lo, 8, now);
	cpl_addr_parse(&lo, "::1");
	cpl_addr_add(side->stack, 1, &lo, 128, now);
	sockets_config_init(&sc);
	assert_int_equal(sockets_new(&side->s, side->stack, &sc, now), 0);
}

void net_start(struct net *n)
{
	memset(n, 0, sizeof(*n));
	n->now = 1000 * CPL_SECOND;
	side_start(&n->a, 1, n->now);
	side_start(&n->b, 2, n->now);
}

static void side_end(struct side *side, uint64_t now)
{
	sockets_free(side->s, now);
	cpl_stack_free(side->stack);
	assert_int_equal(side->heap.slabs, 0);
}

void net_end(struct net *n)
{
	side_end(&n->a, n->now);
	side_end(&n->b, n->now);
}

/* What FROM has to send arrives at TO; false: nothing. */
static bool pass(struct net *n, struct side *from, struct side *to)
{
	static uint8_t data[70000];
	struct cpl_out out[16];
	int got = cpl_output(from->stack, from->ifindex, out, 16, n->now);

	assert_true(got >= 0);
	for (int i = 0; i < got; i++) {
		struct cpl_frame in = { .data = data,
					.gso_size = out[i].gso_size,
					.flags = out[i].csum_offset ? CPL_FRAME_CSUM_PARTIAL : 0 };

		for (uint32_t j = 0; j < out[i].iov_n; j++) {
			memcpy(data + in.len, out[i].iov[j].base, out[i].iov[j].len);
			in.len += (uint32_t)out[i].iov[j].len;
		}
		cpl_output_done(from->stack, out[i].token, 1, n->now);
		n->frames++;
		if (!n->cut)
			cpl_input(to->stack, to->ifindex, &in, 1, n->now);
	}
	return got > 0;
}

static void settle(struct net *n)
{
	bool more = true;

	while (more) {
		more = pass(n, &n->a, &n->b);
		more |= pass(n, &n->b, &n->a);
	}
	if (n->unseen)
		return;
	sockets_poll(n->a.s, n->now);
	sockets_poll(n->b.s, n->now);
}

void net_run(struct net *n, uint64_t ns)
{
	uint64_t end = n->now + ns;

	settle(n);
	for (;;) {
		uint64_t a = cpl_deadline(n->a.stack), b = cpl_deadline(n->b.stack);
		uint64_t t = a < b ? a : b;

		if (t > end)
			break;
		n->now = t > n->now ? t : n->now + 1;
		cpl_advance(n->a.stack, n->now);
		cpl_advance(n->b.stack, n->now);
		settle(n);
	}
	n->now = end > n->now ? end : n->now;
}

union name name4(const char *addr, uint16_t port)
{
	union name name = { .in = { .sin_family = AF_INET, .sin_port = htons(port) } };

	assert_int_equal(inet_pton(AF_INET, addr, &name.in.sin_addr), 1);
	return name;
}

union name name6(const char *addr, uint16_t port)
{
	union name name = { .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };

	assert_int_equal(inet_pton(AF_INET6, addr, &name.in6.sin6_addr), 1);
	return name;
}

socklen_t name_len(const union name *name)
{
	return name->any.sa_family == AF_INET ? sizeof(name->in) : sizeof(name->in6);
}

static union name name_of(const char *addr, uint16_t port)
{
	return strchr(addr, ':') ? name6(addr, port) : name4(addr, port);
}

sock_id net_socket(struct side *side, int domain, int type)
{
	sock_id id = 0;

	assert_int_equal(socket_open(side->s, domain, type, 0, &id, 0), 0);
	assert_true(id != 0);
	return id;
}

sock_id net_tcp(struct side *side)
{
	return net_socket(side, AF_INET, SOCK_STREAM);
}

sock_id net_udp(struct side *side)
{
	return net_socket(side, AF_INET, SOCK_DGRAM);
}

int net_bind(struct net *n, struct side *side, sock_id id, const char *addr, uint16_t port)
{
	union name name = name_of(addr, port);

	return socket_bind(side->s, id, &name.any, name_len(&name), n->now);
}

int net_connect(struct net *n, struct side *side, sock_id id, const char *addr, uint16_t port)
{
	union name name = name_of(addr, port);

	return socket_connect(side->s, id, &name.any, name_len(&name), n->now);
}

sock_id net_listen(struct net *n, struct side *side, uint16_t port)
{
	sock_id id = net_socket(side, AF_INET6, SOCK_STREAM);

	assert_int_equal(net_bind(n, side, id, "::", port), 0);
	assert_int_equal(socket_listen(side->s, id, 16, n->now), 0);
	return id;
}

sock_id net_accept(struct net *n, struct side *side, sock_id listener)
{
	sock_id id = 0;

	assert_int_equal(socket_accept(side->s, listener, &id, NULL, NULL, n->now), 0);
	return id;
}

void net_pair(struct net *n, sock_id listener, uint16_t port, sock_id *a, sock_id *b)
{
	*a = net_tcp(&n->a);
	assert_int_equal(net_connect(n, &n->a, *a, "10.0.0.2", port), -EINPROGRESS);
	net_run(n, 0);
	assert_int_equal(net_connect(n, &n->a, *a, "10.0.0.2", port), 0);
	*b = net_accept(n, &n->b, listener);
}

long net_send(struct net *n, struct side *side, sock_id id, const void *data, size_t len, int flags)
{
	struct iovec v = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1 };
	long r = socket_sendmsg(side->s, id, &msg, flags, n->now);

	net_run(n, 0);
	return r;
}

long net_recv(struct net *n, struct side *side, sock_id id, void *data, size_t len, int flags)
{
	struct iovec v = { data, len };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1 };
	long r = socket_recvmsg(side->s, id, &msg, flags, n->now);

	net_run(n, 0);
	return r;
}

int net_set(struct net *n, struct side *side, sock_id id, int level, int name, int v)
{
	return socket_setsockopt(side->s, id, level, name, &v, sizeof(v), n->now);
}

int net_get(struct net *n, struct side *side, sock_id id, int level, int name)
{
	int v = 0;
	socklen_t len = sizeof(v);
	int err = socket_getsockopt(side->s, id, level, name, &v, &len, n->now);

	return err ? err : v;
}

int net_error(struct net *n, struct side *side, sock_id id)
{
	return net_get(n, side, id, SOL_SOCKET, SO_ERROR);
}
