/* SPDX-License-Identifier: MIT */
/* UDP sockets. What is expected was seen on Linux 6.18. */
#define _GNU_SOURCE /* POLLRDHUP, struct in6_pktinfo */
#include "tests/util/socket_net.h"

#include <linux/errqueue.h>
#include <netinet/ip.h>
#include <poll.h>

static struct net n;

static int setup(void **state)
{
	(void)state;
	net_start(&n);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_end(&n);
	return 0;
}

#define READ  (POLLIN | POLLRDNORM)
#define WRITE (POLLOUT | POLLWRNORM | POLLWRBAND)

static int ready(struct side *side, sock_id id)
{
	return (uint16_t)socket_readiness(side->s, id);
}

static long send_to(struct side *side, sock_id id, const char *addr, uint16_t port,
		    const void *data, size_t len)
{
	union name to = strchr(addr, ':') ? name6(addr, port) : name4(addr, port);
	struct iovec v = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1 };
	long r;

	msg.msg_name = &to;
	msg.msg_namelen = name_len(&to);
	r = socket_sendmsg(side->s, id, &msg, 0, n.now);
	net_run(&n, 0);
	return r;
}

static void unconnected(void **state)
{
	sock_id a = net_udp(&n.a), b = net_udp(&n.b);
	char data[100];
	union name from;
	struct iovec v = { data, 3 };
	struct msghdr msg = { .msg_name = &from, .msg_iov = &v, .msg_iovlen = 1 };

	(void)state;
	assert_int_equal(ready(&n.a, a), WRITE);
	assert_int_equal(net_send(&n, &n.a, a, "x", 1, 0), -EDESTADDRREQ);
	assert_int_equal(net_recv(&n, &n.a, a, data, 1, 0), -EAGAIN);
	assert_int_equal(socket_listen(n.a.s, a, 1, n.now), -EOPNOTSUPP);
	assert_int_equal(socket_accept(n.a.s, a, &b, NULL, NULL, n.now), -EOPNOTSUPP);
	assert_int_equal(send_to(&n.a, a, "255.255.255.255", 9, "x", 1), -EACCES);
	assert_int_equal(send_to(&n.a, a, "10.0.0.2", 0, "x", 1), -EINVAL);
	assert_int_equal(net_bind(&n, &n.b, b, "0.0.0.0", 53), 0);
	assert_int_equal(send_to(&n.a, a, "10.0.0.2", 53, "hello", 5), 5);
	assert_int_equal(send_to(&n.a, a, "10.0.0.2", 53, "", 0), 0);
	assert_int_equal(ready(&n.b, b), READ | WRITE);
	msg.msg_namelen = sizeof(from);
	assert_int_equal(socket_recvmsg(n.b.s, b, &msg, MSG_PEEK | MSG_TRUNC, n.now), 5);
	msg.msg_namelen = sizeof(from);
	assert_int_equal(socket_recvmsg(n.b.s, b, &msg, 0, n.now), 3);
	assert_int_equal(msg.msg_flags, MSG_TRUNC);
	assert_int_equal(msg.msg_namelen, sizeof(from.in));
	assert_int_equal(from.in.sin_addr.s_addr, htonl(0x0a000001));
	assert_int_equal(net_recv(&n, &n.b, b, data, 100, 0), 0);
	assert_int_equal(net_recv(&n, &n.b, b, data, 100, 0), -EAGAIN);
}

static void connected(void **state)
{
	sock_id a = net_udp(&n.a), b = net_udp(&n.b), other = net_udp(&n.b);
	union name name;
	socklen_t len = sizeof(name);
	struct cpl_info info;
	char data[10];

	(void)state;
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 53), 0);
	assert_int_equal(socket_getsockname(n.a.s, a, &name.any, &len), 0);
	assert_int_equal(name.in.sin_addr.s_addr, htonl(0x0a000001));
	assert_int_equal(net_send(&n, &n.a, a, "x", 1, 0), 1);
	assert_int_equal(ready(&n.a, a), WRITE | POLLERR);
	assert_int_equal(net_send(&n, &n.a, a, "x", 1, 0), -ECONNREFUSED);
	assert_int_equal(ready(&n.a, a), WRITE);
	assert_int_equal(net_bind(&n, &n.b, b, "10.0.0.2", 53), 0);
	assert_int_equal(net_send(&n, &n.a, a, "x", 1, 0), 1);
	assert_int_equal(net_recv(&n, &n.b, b, data, 10, 0), 1);
	/* A snapshot says whose it is and to whom it speaks. */
	socket_set_owner(n.a.s, a, &(struct socket_owner){ .pid = 7, .fd = 3, .program = "dig" });
	assert_int_equal(cpl_info_get(n.a.stack, socket_handle(n.a.s, a), &info, n.now), 0);
	assert_int_equal(info.pid, 7);
	assert_string_equal(info.program, "dig");
	assert_int_equal(info.remote_port, 53);
	/* Only the one that it is connected to is heard. */
	assert_int_equal(net_bind(&n, &n.b, other, "10.0.0.2", 54), 0);
	assert_int_equal(send_to(&n.b, other, "10.0.0.1", ntohs(name.in.sin_port), "no", 2), 2);
	assert_int_equal(net_recv(&n, &n.a, a, data, 10, 0), -EAGAIN);
	assert_int_equal(send_to(&n.b, b, "10.0.0.1", ntohs(name.in.sin_port), "yes", 3), 3);
	assert_int_equal(net_recv(&n, &n.a, a, data, 10, 0), 3);
}

static void shared(void **state)
{
	sock_id b[3];
	unsigned got[2] = { 0 };
	char data[10];

	(void)state;
	for (int i = 0; i < 3; i++) {
		b[i] = net_udp(&n.b);
		if (i < 2)
			assert_int_equal(net_set(&n, &n.b, b[i], SOL_SOCKET, SO_REUSEPORT, 1), 0);
		assert_int_equal(net_bind(&n, &n.b, b[i], "0.0.0.0", 53), i < 2 ? 0 : -EADDRINUSE);
	}
	for (int i = 0; i < 64; i++) {
		sock_id a = net_udp(&n.a);

		assert_int_equal(send_to(&n.a, a, "10.0.0.2", 53, "x", 1), 1);
	}
	for (int i = 0; i < 2; i++)
		while (net_recv(&n, &n.b, b[i], data, 10, 0) == 1)
			got[i]++;
	assert_int_equal(got[0] + got[1], 64);
	assert_true(got[0] > 10 && got[1] > 10);
}

static void dual_stack(void **state)
{
	sock_id six = net_socket(&n.b, AF_INET6, SOCK_DGRAM), four = net_udp(&n.a);
	sock_id from6 = net_socket(&n.a, AF_INET6, SOCK_DGRAM);
	char data[10];
	union name from;
	struct iovec v = { data, 10 };
	struct msghdr msg = { .msg_name = &from, .msg_iov = &v, .msg_iovlen = 1 };

	(void)state;
	assert_int_equal(net_bind(&n, &n.b, six, "::", 53), 0);
	assert_int_equal(send_to(&n.a, four, "10.0.0.2", 53, "4", 1), 1);
	assert_int_equal(send_to(&n.a, from6, "fd00::2", 53, "6", 1), 1);
	assert_int_equal(send_to(&n.a, from6, "::ffff:10.0.0.2", 53, "m", 1), 1);
	for (int i = 0; i < 3; i++) {
		msg.msg_namelen = sizeof(from);
		assert_int_equal(socket_recvmsg(n.b.s, six, &msg, 0, n.now), 1);
		assert_int_equal(msg.msg_namelen, sizeof(from.in6));
		assert_int_equal(data[0], "46m"[i]);
		assert_int_equal(IN6_IS_ADDR_V4MAPPED(&from.in6.sin6_addr), i != 1);
	}
}

/* What IP_RECVERR keeps: which datagram, what ICMP said of it, and who. */
static void errors(void **state)
{
	static const char long_one[1473];
	sock_id a = net_udp(&n.a);
	char data[64], control[128];
	union name name;
	struct iovec v = { data, sizeof(data) };
	struct msghdr msg = { .msg_name = &name, .msg_iov = &v, .msg_iovlen = 1 };
	struct cmsghdr *c = (struct cmsghdr *)control;
	struct sock_extended_err ee;
	struct sockaddr_in offender;

	(void)state;
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_IP, IP_RECVERR, 1), 0);
	/* Unconnected sockets hear of it as well. */
	assert_int_equal(send_to(&n.a, a, "10.0.0.2", 9, "hello", 5), 5);
	assert_int_equal(ready(&n.a, a), WRITE | POLLERR);
	msg.msg_namelen = sizeof(name);
	msg.msg_control = control;
	msg.msg_controllen = sizeof(control);
	assert_int_equal(socket_recvmsg(n.a.s, a, &msg, MSG_ERRQUEUE, n.now), 5);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(msg.msg_flags, MSG_ERRQUEUE);
	assert_int_equal(name.in.sin_port, htons(9));
	assert_int_equal(name.in.sin_addr.s_addr, htonl(0x0a000002));
	assert_int_equal(c->cmsg_level, SOL_IP);
	assert_int_equal(c->cmsg_type, IP_RECVERR);
	memcpy(&ee, CMSG_DATA(c), sizeof(ee));
	assert_int_equal(ee.ee_errno, ECONNREFUSED);
	assert_int_equal(ee.ee_origin, SO_EE_ORIGIN_ICMP);
	assert_int_equal(ee.ee_type, 3);
	assert_int_equal(ee.ee_code, 3);
	memcpy(&offender, CMSG_DATA(c) + sizeof(ee), sizeof(offender));
	assert_int_equal(offender.sin_addr.s_addr, htonl(0x0a000002));
	assert_int_equal(socket_recvmsg(n.a.s, a, &msg, MSG_ERRQUEUE, n.now), -EAGAIN);
	assert_int_equal(ready(&n.a, a), WRITE);
	/* Too long for the path, and not to be cut. */
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO), 0);
	memset(control, 0, sizeof(control));
	assert_int_equal(send_to(&n.a, a, "10.0.0.2", 9, long_one, 1473), -EMSGSIZE);
	msg.msg_controllen = sizeof(control);
	assert_int_equal(socket_recvmsg(n.a.s, a, &msg, MSG_ERRQUEUE, n.now), 0);
	memcpy(&ee, CMSG_DATA(c), sizeof(ee));
	assert_int_equal(ee.ee_errno, EMSGSIZE);
	assert_int_equal(ee.ee_origin, SO_EE_ORIGIN_LOCAL);
	assert_int_equal(ee.ee_info, 1500);
	assert_int_equal(send_to(&n.a, a, "10.0.0.2", 9, long_one, 1472), 1472);
}

/* What came with a datagram, as control data; and what one is sent with. */
static void control(void **state)
{
	sock_id a = net_udp(&n.a), b = net_socket(&n.b, AF_INET6, SOCK_DGRAM);
	char data[8], room[256];
	struct iovec v = { data, sizeof(data) };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room };
	struct in6_pktinfo info = { .ipi6_ifindex = 0 };
	struct cmsghdr *c;
	int ttl = 0, tos = 0;

	(void)state;
	assert_int_equal(net_bind(&n, &n.b, b, "::", 53), 0);
	net_set(&n, &n.b, b, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	net_set(&n, &n.b, b, IPPROTO_IP, IP_RECVTTL, 1);
	net_set(&n, &n.b, b, IPPROTO_IP, IP_RECVTOS, 1);
	net_set(&n, &n.a, a, IPPROTO_IP, IP_TTL, 17);
	net_set(&n, &n.a, a, IPPROTO_IP, IP_TOS, 0x20);
	assert_int_equal(send_to(&n.a, a, "10.0.0.2", 53, "x", 1), 1);
	msg.msg_controllen = sizeof(room);
	assert_int_equal(socket_recvmsg(n.b.s, b, &msg, MSG_PEEK, n.now), 1);
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
			memcpy(&info, CMSG_DATA(c), sizeof(info));
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL)
			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
			tos = *CMSG_DATA(c);
	}
	assert_int_equal(ttl, 17);
	assert_int_equal(tos, 0x20);
	assert_int_equal(info.ipi6_ifindex, 1);
	assert_true(IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr));
	/* No room: what is lost is said. */
	msg.msg_controllen = CMSG_SPACE(sizeof(info));
	assert_int_equal(socket_recvmsg(n.b.s, b, &msg, 0, n.now), 1);
	assert_int_equal(msg.msg_flags, MSG_CTRUNC);
	assert_int_equal(msg.msg_controllen, CMSG_SPACE(sizeof(info)));
	/* An unknown message is refused, not ignored. */
	c = (struct cmsghdr *)room;
	*c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(4),
			       .cmsg_level = IPPROTO_IP,
			       .cmsg_type = 250 };
	msg.msg_controllen = CMSG_SPACE(4);
	assert_int_equal(net_connect(&n, &n.a, a, "10.0.0.2", 53), 0);
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, 0, n.now), -EINVAL);
	c->cmsg_type = IP_TTL;
	ttl = 3;
	memcpy(CMSG_DATA(c), &ttl, sizeof(ttl));
	assert_int_equal(socket_sendmsg(n.a.s, a, &msg, 0, n.now), sizeof(data));
	net_run(&n, 0);
	msg.msg_controllen = sizeof(room);
	assert_int_equal(socket_recvmsg(n.b.s, b, &msg, 0, n.now), sizeof(data));
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL)
			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
	assert_int_equal(ttl, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unconnected, setup, teardown),
		cmocka_unit_test_setup_teardown(connected, setup, teardown),
		cmocka_unit_test_setup_teardown(shared, setup, teardown),
		cmocka_unit_test_setup_teardown(dual_stack, setup, teardown),
		cmocka_unit_test_setup_teardown(errors, setup, teardown),
		cmocka_unit_test_setup_teardown(control, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
