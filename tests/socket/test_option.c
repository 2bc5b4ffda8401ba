/* SPDX-License-Identifier: MIT */
/*
 * Options and settings: what is set is told, out of range it is refused, and it is obeyed;
 * struct tcp_info. What is expected was seen on Linux 6.18.
 */
#include "tests/util/socket_net.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/ip.h>
#include <sys/ioctl.h>

#include "socket/linux_tcp.h"

static struct net n;
static sock_id listener, a, b;

static int setup(void **state)
{
	(void)state;
	net_start(&n);
	listener = net_listen(&n, &n.b, 80);
	net_pair(&n, listener, 80, &a, &b);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	net_end(&n);
	return 0;
}

static struct linux_tcp_info info_of(struct side *side, sock_id id)
{
	struct linux_tcp_info ti;
	socklen_t len = sizeof(ti);

	assert_int_equal(socket_getsockopt(side->s, id, IPPROTO_TCP, TCP_INFO, &ti, &len, n.now),
			 0);
	assert_int_equal(len, sizeof(ti));
	return ti;
}

static void buffers(void **state)
{
	sock_id s = net_tcp(&n.a), u = net_udp(&n.a);

	(void)state;
	assert_int_equal(net_set(&n, &n.a, s, SOL_SOCKET, SO_SNDBUF, 50000), 0);
	assert_int_equal(net_get(&n, &n.a, s, SOL_SOCKET, SO_SNDBUF), 100000);
	assert_int_equal(net_set(&n, &n.a, s, SOL_SOCKET, SO_SNDBUF, 1), 0);
	assert_int_equal(net_get(&n, &n.a, s, SOL_SOCKET, SO_SNDBUF), 4608);
	assert_int_equal(net_set(&n, &n.a, s, SOL_SOCKET, SO_RCVBUF, 1), 0);
	assert_int_equal(net_get(&n, &n.a, s, SOL_SOCKET, SO_RCVBUF), 2304);
	assert_int_equal(net_set(&n, &n.a, s, SOL_SOCKET, SO_RCVBUF, 1 << 30), 0);
	assert_int_equal(net_get(&n, &n.a, s, SOL_SOCKET, SO_RCVBUF), 2 * 212992);
	assert_int_equal(net_set(&n, &n.a, s, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20), 0);
	assert_int_equal(net_get(&n, &n.a, s, SOL_SOCKET, SO_RCVBUF), 2 << 20);
	assert_int_equal(net_get(&n, &n.a, u, SOL_SOCKET, SO_RCVBUF), 212992);
	assert_int_equal(sockets_sysctl_set(n.a.s, "net.core.rmem_max", "4000", n.now), 0);
	assert_int_equal(net_set(&n, &n.a, u, SOL_SOCKET, SO_RCVBUF, 100000), 0);
	assert_int_equal(net_get(&n, &n.a, u, SOL_SOCKET, SO_RCVBUF), 8000);
}

static void levels(void **state)
{
	sock_id u = net_udp(&n.a), six = net_socket(&n.a, AF_INET6, SOCK_STREAM);
	uint8_t octet = 0x10;
	socklen_t len = 1;
	int v = 1, level, name;
	unsigned before = 0;

	(void)state;
	assert_int_equal(net_get(&n, &n.a, u, IPPROTO_TCP, TCP_NODELAY), -EOPNOTSUPP);
	assert_int_equal(net_set(&n, &n.a, u, IPPROTO_TCP, TCP_NODELAY, 1), -ENOPROTOOPT);
	assert_int_equal(net_get(&n, &n.a, a, SOL_SOCKET, 9999), -ENOPROTOOPT);
	assert_int_equal(net_set(&n, &n.a, a, SOL_SOCKET, SO_TYPE, 1), -ENOPROTOOPT);
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_IPV6, IPV6_V6ONLY, 1), -ENOPROTOOPT);
	assert_int_equal(net_set(&n, &n.a, six, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
	assert_int_equal(net_get(&n, &n.a, six, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	assert_int_equal(net_bind(&n, &n.a, six, "::ffff:10.0.0.1", 99), -EINVAL);
	assert_int_equal(net_connect(&n, &n.a, six, "::ffff:10.0.0.2", 80), -ENETUNREACH);
	/* An octet is a number of ip(7), and goes out as one to who has no more room. */
	assert_int_equal(socket_setsockopt(n.a.s, a, IPPROTO_IP, IP_TOS, &octet, 1, n.now), 0);
	assert_int_equal(socket_getsockopt(n.a.s, a, IPPROTO_IP, IP_TOS, &octet, &len, n.now), 0);
	assert_int_equal(len, 1);
	assert_int_equal(octet, 0x10);
	assert_int_equal(socket_setsockopt(n.a.s, a, IPPROTO_TCP, TCP_NODELAY, &v, 3, n.now),
			 -EINVAL);
	/* Multicast is refused, and that can be told, once. */
	while (sockets_refused(n.a.s, before, &level, &name))
		before++;
	assert_int_equal(net_set(&n, &n.a, u, IPPROTO_IP, IP_ADD_MEMBERSHIP, 0), -ENODEV);
	assert_int_equal(net_set(&n, &n.a, u, IPPROTO_IP, IP_ADD_MEMBERSHIP, 0), -ENODEV);
	assert_true(sockets_refused(n.a.s, before, &level, &name));
	assert_false(sockets_refused(n.a.s, before + 1, &level, &name));
	assert_true(sockets_refused(n.a.s, before, &level, &name));
	assert_int_equal(level, IPPROTO_IP);
	assert_int_equal(name, IP_ADD_MEMBERSHIP);
	assert_int_equal(net_set(&n, &n.a, a, IPPROTO_IP, IP_ADD_MEMBERSHIP, 0), -EPROTO);
}

static void device(void **state)
{
	sock_id s = net_udp(&n.a);
	char name[16];
	socklen_t len = sizeof(name);

	(void)state;
	assert_int_equal(socket_setsockopt(n.a.s, s, SOL_SOCKET, SO_BINDTODEVICE, "none", 4, n.now),
			 -ENODEV);
	assert_int_equal(socket_setsockopt(n.a.s, s, SOL_SOCKET, SO_BINDTODEVICE, "net0", 4, n.now),
			 0);
	assert_int_equal(socket_getsockopt(n.a.s, s, SOL_SOCKET, SO_BINDTODEVICE, name, &len,
					   n.now),
			 0);
	assert_int_equal(len, 5);
	assert_string_equal(name, "net0");
}

/* TCP_CC_INFO of CONTROLLER: how much, into INFO. */
static socklen_t cc_info(struct side *side, sock_id id, const char *controller,
			 union linux_cc_info *info)
{
	socklen_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	assert_int_equal(socket_setsockopt(side->s, id, IPPROTO_TCP, TCP_CONGESTION, controller,
					   (socklen_t)strlen(controller), n.now),
			 0);
	assert_int_equal(socket_getsockopt(side->s, id, IPPROTO_TCP, TCP_CC_INFO, info, &len,
					   n.now),
			 0);
	return len;
}

/* What BBR's model has; DCTCP's share of marks, where there is ECN; of others, nothing. */
static void controllers(void **state)
{
	sock_id l = net_listen(&n, &n.b, 81), fresh = net_tcp(&n.a), with, got;
	static const char data[20000];
	union linux_cc_info ci;

	(void)state;
	assert_int_equal(cc_info(&n.a, a, "reno", &ci), 0);
	assert_int_equal(cc_info(&n.a, a, "cubic", &ci), 0);
	assert_int_equal(cc_info(&n.a, fresh, "bbr", &ci), 20);
	assert_int_equal(ci.bbr.pacing_gain, 0);
	assert_int_equal(cc_info(&n.a, a, "bbr", &ci), 20);
	assert_int_equal(ci.bbr.bw_lo, 0);
	for (int i = 0; i < 40; i++) { /* a time comes when its ACKs take some */
		assert_int_equal(net_send(&n, &n.a, a, data, 1000, 0), 1000);
		net_run(&n, 100 * CPL_MS);
		while (net_recv(&n, &n.b, b, (char[4096]){ 0 }, 4096, 0) > 0)
			;
	}
	assert_int_equal(cc_info(&n.a, a, "bbr", &ci), 20);
	assert_in_range(ci.bbr.bw_lo, 24000, 25000); /* 1,000 octets in 40 ms */
	assert_int_equal(ci.bbr.bw_hi, 0);
	assert_in_range(ci.bbr.min_rtt, 1, 50000);
	assert_in_range(ci.bbr.cwnd_gain, 128, 600);
	/* No ECN: DCTCP is Reno. */
	assert_int_equal(cc_info(&n.a, a, "dctcp", &ci), 16);
	assert_int_equal(ci.dctcp.enabled, 0);
	assert_int_equal(ci.dctcp.alpha, 0);
	with = net_tcp(&n.a);
	assert_int_equal(cc_info(&n.a, with, "dctcp", &ci), 16);
	assert_int_equal(ci.dctcp.enabled, 1);
	assert_int_equal(ci.dctcp.alpha, 0);
	net_connect(&n, &n.a, with, "10.0.0.2", 81);
	net_run(&n, 0);
	got = net_accept(&n, &n.b, l);
	assert_int_equal(cc_info(&n.a, with, "dctcp", &ci), 16);
	assert_int_equal(ci.dctcp.enabled, 1);
	assert_int_equal(ci.dctcp.alpha, 1024); /* RFC 8257 3.3: it begins with the worst */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(net_send(&n, &n.a, with, data, 4000, 0), 4000);
		net_run(&n, 100 * CPL_MS);
		while (net_recv(&n, &n.b, got, (char[4096]){ 0 }, 4096, 0) > 0)
			;
		cc_info(&n.a, with, "dctcp", &ci);
	}
	assert_int_equal(ci.dctcp.ab_ecn, 0);
	assert_int_equal(ci.dctcp.ce_state, 0);
}

/* TCP_SAVE_SYN: read once, or never; nothing of it is left (net_end() looks). */
static void saved_syn(void **state)
{
	sock_id l = net_listen(&n, &n.b, 81), got;
	uint8_t syn[120] = { 0 };
	socklen_t len = sizeof(syn), small = 59;

	(void)state;
	assert_int_equal(net_set(&n, &n.b, l, IPPROTO_TCP, TCP_SAVE_SYN, 3), -EINVAL);
	assert_int_equal(net_set(&n, &n.b, l, IPPROTO_TCP, TCP_SAVE_SYN, 1), 0);
	for (int i = 0; i < 3; i++)
		net_connect(&n, &n.a, net_tcp(&n.a), "10.0.0.2", 81);
	net_run(&n, 0);
	got = net_accept(&n, &n.b, l);
	assert_int_equal(socket_getsockopt(n.b.s, got, IPPROTO_TCP, TCP_SAVED_SYN, syn, &small,
					   n.now),
			 -EINVAL);
	assert_int_equal(small, 60);
	assert_int_equal(socket_getsockopt(n.b.s, got, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len,
					   n.now),
			 0);
	assert_int_equal(len, 60);
	assert_int_equal(syn[0], 0x45);
	assert_int_equal(syn[33], 2);
	assert_int_equal(socket_getsockopt(n.b.s, got, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len,
					   n.now),
			 0);
	assert_int_equal(len, 0);
	socket_close(n.b.s, net_accept(&n, &n.b, l), n.now);
	assert_int_equal(info_of(&n.b, l).unacked, 1); /* nobody takes the third */
}

/* UDP_CORK: what is not whole when its socket is closed is gone. */
static void corked(void **state)
{
	sock_id u = net_udp(&n.a), v = net_udp(&n.b);
	char text[8];

	(void)state;
	assert_int_equal(net_bind(&n, &n.b, v, "10.0.0.2", 99), 0);
	assert_int_equal(net_connect(&n, &n.a, u, "10.0.0.2", 99), 0);
	assert_int_equal(net_set(&n, &n.a, u, IPPROTO_UDP, 1 /* UDP_CORK */, 1), 0);
	assert_int_equal(net_send(&n, &n.a, u, "ab", 2, 0), 2);
	assert_int_equal(net_send(&n, &n.a, u, "cd", 2, 0), 2);
	assert_int_equal(net_recv(&n, &n.b, v, text, 8, 0), -EAGAIN);
	assert_int_equal(net_set(&n, &n.a, u, IPPROTO_UDP, 1, 0), 0);
	net_run(&n, 0);
	assert_int_equal(net_recv(&n, &n.b, v, text, 8, 0), 4);
	assert_memory_equal(text, "abcd", 4);
	assert_int_equal(net_send(&n, &n.a, u, "lost", 4, MSG_MORE), 4);
	assert_int_equal(socket_close(n.a.s, u, n.now), 0);
	net_run(&n, 0);
	assert_int_equal(net_recv(&n, &n.b, v, text, 8, 0), -EAGAIN);
}

/* Segments that arrived, each of its own size, also when nothing is going on any more. */
static void tcp_info_delivered(void **state)
{
	char c[4];

	(void)state;
	assert_int_equal(info_of(&n.a, a).delivered, 1); /* the SYN */
	assert_int_equal(info_of(&n.b, b).delivered, 1); /* the SYN,ACK */
	net_set(&n, &n.a, a, IPPROTO_TCP, TCP_NODELAY, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(net_send(&n, &n.a, a, "a", 1, 0), 1);
		net_run(&n, CPL_SECOND);
	}
	assert_int_equal(info_of(&n.a, a).delivered, 4);
	assert_int_equal(net_recv(&n, &n.b, b, c, 3, 0), 3);
	assert_int_equal(net_send(&n, &n.b, b, "b", 1, 0), 1);
	net_run(&n, CPL_SECOND);
	assert_int_equal(info_of(&n.b, b).delivered, 2);
	net_run(&n, 600 * CPL_SECOND);
	assert_int_equal(info_of(&n.a, a).delivered, 4);
	assert_int_equal(info_of(&n.b, b).delivered, 2);
	assert_int_equal(net_send(&n, &n.a, a, "a", 1, 0), 1);
	net_run(&n, CPL_SECOND);
	assert_int_equal(info_of(&n.a, a).delivered, 5);
}

static void tcp_info(void **state)
{
	static char data[30000];
	struct linux_tcp_info ti = info_of(&n.a, a);
	sock_id fresh = net_tcp(&n.a);

	(void)state;
	assert_int_equal(ti.state, LINUX_ESTABLISHED);
	assert_int_equal(ti.snd_cwnd, 10);
	assert_int_equal(ti.snd_ssthresh, LINUX_INFINITE_SSTHRESH);
	assert_int_equal(ti.snd_mss, 1448);
	assert_int_equal(ti.advmss, 1448);
	assert_int_equal(ti.options, LINUX_OPT_TIMESTAMPS | LINUX_OPT_SACK | LINUX_OPT_WSCALE);
	assert_int_equal(ti.wscales, 0x77);
	assert_int_equal(ti.unacked, 0);
	assert_int_equal(ti.pmtu, 1500);
	assert_int_equal(ti.reordering, 3);
	assert_int_equal(ti.bytes_acked, 1); /* the SYN, as Linux counts */
	assert_int_equal(info_of(&n.b, b).bytes_acked, 0);
	assert_int_equal(info_of(&n.a, fresh).state, LINUX_CLOSE);
	/* What is in flight counts in segments. */
	n.cut = true;
	assert_int_equal(net_send(&n, &n.a, a, data, sizeof(data), 0), sizeof(data));
	ti = info_of(&n.a, a);
	assert_int_equal(ti.unacked, 10);
	assert_int_equal(ti.notsent_bytes, sizeof(data) - 10 * 1448);
	assert_int_equal(ti.data_segs_out, 10);
	assert_int_equal(ti.lost, 0);
	net_run(&n, 1500 * CPL_MS);
	ti = info_of(&n.a, a);
	assert_int_equal(ti.ca_state, 4);
	assert_true(ti.lost >= 10 && ti.retrans >= 1 && ti.total_retrans >= 1);
	assert_true(ti.retransmits >= 1 && ti.backoff >= 1);
	assert_in_range(ti.last_data_sent, 0, 1500);
	n.cut = false;
	for (int i = 0; i < 20; i++) {
		net_run(&n, CPL_SECOND);
		while (net_recv(&n, &n.b, b, data, sizeof(data), 0) > 0)
			;
	}
	ti = info_of(&n.a, a);
	assert_int_equal(ti.bytes_acked, sizeof(data) + 1);
	assert_int_equal(ti.unacked + ti.lost + ti.retrans, 0);
	assert_int_equal(info_of(&n.b, b).bytes_received, sizeof(data));
	/* A listener: its queue and the limit of it. */
	net_connect(&n, &n.a, fresh, "10.0.0.2", 80);
	net_run(&n, 0);
	ti = info_of(&n.b, listener);
	assert_int_equal(ti.state, LINUX_LISTEN);
	assert_int_equal(ti.unacked, 1);
	assert_int_equal(ti.sacked, 16);
}

static void ioctls(void **state)
{
	int v = -1;

	(void)state;
	assert_int_equal(socket_ioctl(n.b.s, listener, FIONREAD, &v, n.now), -EINVAL);
	assert_int_equal(socket_ioctl(n.b.s, b, 12345, &v, n.now), -ENOTTY);
	net_send(&n, &n.a, a, "hello", 5, 0);
	assert_int_equal(socket_ioctl(n.b.s, b, FIONREAD, &v, n.now), 0);
	assert_int_equal(v, 5);
	n.cut = true;
	net_send(&n, &n.a, a, "hello", 5, 0);
	assert_int_equal(socket_ioctl(n.a.s, a, SIOCOUTQ, &v, n.now), 0);
	assert_int_equal(v, 5);
	assert_int_equal(socket_ioctl(n.a.s, a, SIOCOUTQNSD, &v, n.now), 0);
	assert_int_equal(v, 0);
	v = 1;
	assert_int_equal(socket_ioctl(n.a.s, a, FIONBIO, &v, n.now), 0);
	assert_true(socket_nonblock(n.a.s, a));
}

static void urgent(void **state)
{
	char c[8];
	int v;

	(void)state;
	net_send(&n, &n.a, a, "abX", 3, MSG_OOB);
	assert_int_equal(socket_ioctl(n.b.s, b, SIOCATMARK, &v, n.now), 0);
	assert_int_equal(v, 0);
	assert_int_equal(socket_ioctl(n.b.s, b, FIONREAD, &v, n.now), 0);
	assert_int_equal(v, 2);
	assert_int_equal(net_recv(&n, &n.b, b, c, 8, 0), 2);
	assert_int_equal(socket_ioctl(n.b.s, b, SIOCATMARK, &v, n.now), 0);
	assert_int_equal(v, 1);
	assert_int_equal(net_recv(&n, &n.b, b, c, 8, MSG_OOB), 1);
	assert_int_equal(c[0], 'X');
	assert_int_equal(net_recv(&n, &n.b, b, c, 8, MSG_OOB), -EINVAL);
	/* Read past, it is gone: as the kernel. */
	net_send(&n, &n.a, a, "abX", 3, MSG_OOB);
	net_send(&n, &n.a, a, "cd", 2, 0);
	assert_int_equal(net_recv(&n, &n.b, b, c, 8, 0), 2);
	assert_int_equal(net_recv(&n, &n.b, b, c, 8, 0), 2);
	assert_memory_equal(c, "cd", 2);
	assert_int_equal(net_recv(&n, &n.b, b, c, 8, MSG_OOB), -EINVAL);
}

static int set(const char *name, const char *value)
{
	return sockets_sysctl_set(n.a.s, name, value, n.now);
}

static const char *get(const char *name)
{
	static char text[128];

	assert_int_equal(sockets_sysctl_get(n.a.s, name, text, sizeof(text)), 0);
	return text;
}

static void sysctls(void **state)
{
	struct cpl_config c;

	(void)state;
	assert_int_equal(set("net.ipv4.no_such_thing", "1"), -ENOENT);
	assert_int_equal(set("net.ipv4.tcp_sack", "2"), -EINVAL);
	assert_int_equal(set("net.ipv4.tcp_sack", "x"), -EINVAL);
	assert_int_equal(set("net.ipv4.tcp_sack", "0"), 0);
	assert_int_equal(set("/proc/sys/net/ipv4/tcp_timestamps", "0\n"), 0);
	assert_int_equal(set("net.ipv4.tcp_rmem", "4096 540000 15728640"), 0);
	assert_int_equal(set("net.ipv4.tcp_congestion_control", "reno"), 0);
	assert_int_equal(set("net.ipv4.tcp_congestion_control", "none"), -ENOENT);
	assert_int_equal(set("net.ipv4.tcp_ecn", "3"), 0);
	assert_int_equal(set("net.ipv4.tcp_keepalive_time", "100"), 0);
	assert_int_equal(set("net.ipv4.ip_local_port_range", "5000 5001"), 0);
	assert_int_equal(set("net.ipv4.tcp_min_tso_segs", "10"), 0); /* kept, and told */
	assert_int_equal(set("net.ipv4.tcp_fastopen_key", "a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4"),
			 0);
	assert_int_equal(set("net.ipv4.tcp_fastopen_key", "a1a1a1a1-b2b2b2b2"), -EINVAL);
	cpl_stack_settings(n.a.stack, &c);
	assert_int_equal(c.sack, 0);
	assert_int_equal(c.timestamps, 0);
	assert_int_equal(c.rcvbuf, 540000);
	assert_int_equal(c.rcvbuf_max, 15728640);
	assert_string_equal(c.cc_name, "reno");
	assert_int_equal(c.ecn, CPL_ECN_ACCURATE);
	assert_int_equal(c.keep_idle_ns, 100 * CPL_SECOND);
	assert_int_equal(c.port_last, 5001);
	assert_string_equal(get("net.ipv4.tcp_ecn"), "3");
	assert_string_equal(get("net.ipv4.tcp_rmem"), "4096\t540000\t15728640");
	assert_string_equal(get("net.ipv4.tcp_min_tso_segs"), "10");
	assert_string_equal(get("net.ipv4.tcp_syn_retries"), "6");
	assert_string_equal(get("net.ipv4.tcp_fin_timeout"), "60");
	/* New connections have it: no timestamps, no SACK. */
	a = net_tcp(&n.a);
	net_connect(&n, &n.a, a, "10.0.0.2", 80);
	net_run(&n, 0);
	assert_int_equal(info_of(&n.a, a).options, LINUX_OPT_WSCALE | LINUX_OPT_ECN);
	assert_int_equal(info_of(&n.a, a).snd_mss, 1460);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(levels, setup, teardown),
		cmocka_unit_test_setup_teardown(device, setup, teardown),
		cmocka_unit_test_setup_teardown(tcp_info, setup, teardown),
		cmocka_unit_test_setup_teardown(tcp_info_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(controllers, setup, teardown),
		cmocka_unit_test_setup_teardown(saved_syn, setup, teardown),
		cmocka_unit_test_setup_teardown(corked, setup, teardown),
		cmocka_unit_test_setup_teardown(ioctls, setup, teardown),
		cmocka_unit_test_setup_teardown(urgent, setup, teardown),
		cmocka_unit_test_setup_teardown(sysctls, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
