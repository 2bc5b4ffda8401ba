/* SPDX-License-Identifier: MIT */
/* The library that packetdrill loads, driven as packetdrill does it: every entry, by packets. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "packetdrill/interface.h"
#include "socket/linux_tcp.h"
#include "tests/util/packet.h"

/* <netinet/tcp.h> has names of wire/tcp.h. */
#define TCP_NODELAY 1
#define TCP_INFO    11

static char library[4096], tools[4096];
static void (*plug_in)(const char *, struct packetdrill_interface *);
static struct packetdrill_interface i;
static struct test_packet out;
static long long out_us;
static uint8_t out_bytes[65536];
static uint32_t nxt, iss; /* the peer's next, ours */

#define U i.userdata

/* ---- the peer, 192.0.2.1:8080 ---- */

static void inject(uint16_t sport, uint16_t dport, uint16_t flags, uint32_t ack, const char *text)
{
	uint8_t bytes[2000];
	struct ip_hdr ip = { .src = cpl_addr4(192, 0, 2, 1), .dst = cpl_addr4(192, 168, 0, 1) };
	struct tcp_seg seg = { .sport = sport,
			       .dport = dport,
			       .seq = nxt,
			       .ack = ack,
			       .flags = flags,
			       .wnd = 60000,
			       .data = (const uint8_t *)text,
			       .len = (uint32_t)strlen(text) };

	if (flags & TCP_SYN) {
		seg.opts = TCP_HAS_MSS;
		seg.mss = 1000;
	}
	nxt += seg.len + !!(flags & (TCP_SYN | TCP_FIN));
	assert_int_equal(i.netdev_send(U, bytes, packet_tcp(bytes, sizeof(bytes), &ip, &seg)), 0);
}

/* The next packet that leaves has FLAGS and LEN octets. */
static void take(uint16_t flags, uint32_t len)
{
	size_t n = sizeof(out_bytes);

	assert_int_equal(i.netdev_receive(U, out_bytes, &n, &out_us), 0);
	assert_int_equal(packet_parse(&out, out_bytes, (uint32_t)n, false), PACKET_TCP);
	assert_int_equal(out.tcp.flags, flags);
	assert_int_equal(out.tcp.len, len);
}

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, text, &a.sin_addr);
	return a;
}

static int listening(void)
{
	struct sockaddr_in any = address("0.0.0.0", 80);
	int fd = i.socket(U, AF_INET, SOCK_STREAM, 0), one = 1;

	assert_true(fd >= 0);
	assert_int_equal(i.setsockopt(U, fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(i.bind(U, fd, (void *)&any, sizeof(any)), 0);
	assert_int_equal(i.listen(U, fd, 1), 0);
	return fd;
}

static int accepted(int fd)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int conn;

	nxt = 1000;
	inject(8080, 80, TCP_SYN, 0, "");
	take(TCP_SYN | TCP_ACK, 0);
	iss = out.tcp.seq;
	inject(8080, 80, TCP_ACK, iss + 1, "");
	conn = i.accept(U, fd, (void *)&peer, &len);
	assert_true(conn >= 0);
	assert_int_equal(ntohs(peer.sin_port), 8080);
	return conn;
}

static int begin(void **state)
{
	(void)state;
	plug_in("local=192.168.0.1/16,mtu=1500", &i);
	return 0;
}

/* With the stand-ins of what scripts call. */
static int begin_tools(void **state)
{
	char flags[4200];

	(void)state;
	snprintf(flags, sizeof(flags), "local=192.168.0.1/16,mtu=1500,tools=%s", tools);
	plug_in(flags, &i);
	return 0;
}

static int end(void **state)
{
	(void)state;
	i.free(U);
	return 0;
}

/* ---- the tests ---- */

static void every_entry_is_there(void **state)
{
	void *entries[sizeof(i) / sizeof(void *)];

	(void)state;
	assert_int_equal(sizeof(i), 264);
	memcpy(entries, &i, sizeof(i));
	for (unsigned n = 0; n < sizeof(i) / sizeof(void *); n++)
		assert_non_null(entries[n]);
}

static long long now_us(void)
{
	struct timeval tv;

	assert_int_equal(i.gettimeofday(U, &tv, NULL), 0);
	return tv.tv_sec * 1000000ll + tv.tv_usec;
}

static void time_is_virtual(void **state)
{
	long long before = now_us();
	size_t n = 100;
	clock_t (*ticks)(void *) = (clock_t(*)(void *))dlsym(RTLD_DEFAULT, "times");

	(void)state;
	assert_non_null(ticks);
	assert_int_equal(now_us(), before + 1); /* who spins gets on */
	i.usleep(U, 76000000);
	assert_in_range(now_us() - before, 76000000, 76000003);
	/* Nothing will ever leave: a packet of no octets, not a wait for ever. */
	assert_int_equal(i.netdev_receive(U, out_bytes, &n, &out_us), 0);
	assert_int_equal(n, 0);
}

static void sends_in_every_way(void **state)
{
	struct iovec iov[2] = { { "ab", 2 }, { "cde", 3 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fd = listening(), conn = accepted(fd), one = 1, queued = 0;

	(void)state;
	i.setsockopt(U, conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	assert_int_equal(i.write(U, conn, "x", 1), 1);
	take(TCP_ACK | TCP_PSH, 1);
	assert_int_equal(i.writev(U, conn, iov, 2), 5);
	take(TCP_ACK | TCP_PSH, 5);
	assert_int_equal(i.send(U, conn, "yy", 2, 0), 2);
	take(TCP_ACK | TCP_PSH, 2);
	assert_int_equal(i.sendto(U, conn, "zzz", 3, 0, NULL, 0), 3);
	take(TCP_ACK | TCP_PSH, 3);
	assert_int_equal(i.sendmsg(U, conn, &msg, 0), 5);
	take(TCP_ACK | TCP_PSH, 5);
	assert_memory_equal(out.payload, "abcde", 5);
	assert_int_equal(i.ioctl(U, conn, TIOCOUTQ, &queued), 0);
	assert_int_equal(queued, 16);
	assert_int_equal(i.write(U, conn, NULL, 1), -1);
	assert_int_equal(errno, EFAULT);
	/* A burst is cut as a device cuts it: PSH is the last one's, sums are right. */
	inject(8080, 80, TCP_ACK, iss + 17, "");
	assert_int_equal(i.write(U, conn, out_bytes, 2500), 2500);
	take(TCP_ACK, 1000);
	take(TCP_ACK, 1000);
	assert_int_equal(out.tcp.seq, iss + 1017);
	take(TCP_ACK | TCP_PSH, 500);
	i.close(U, conn);
	i.close(U, fd);
}

static void receives_in_every_way(void **state)
{
	char text[16];
	struct iovec iov = { text, 2 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = listening(), conn = accepted(fd), unread = 0;

	(void)state;
	inject(8080, 80, TCP_ACK | TCP_PSH, iss + 1, "0123456789");
	assert_int_equal(i.ioctl(U, conn, FIONREAD, &unread), 0);
	assert_int_equal(unread, 10);
	assert_int_equal(i.read(U, conn, NULL, 4), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(i.recv(U, conn, text, 2, MSG_PEEK), 2);
	assert_int_equal(i.read(U, conn, text, 2), 2);
	assert_int_equal(i.readv(U, conn, &iov, 1), 2);
	assert_memory_equal(text, "23", 2);
	assert_int_equal(i.recv(U, conn, text, 2, 0), 2);
	assert_int_equal(i.recvfrom(U, conn, text, 2, 0, NULL, NULL), 2);
	assert_int_equal(i.recvmsg(U, conn, &msg, 0), 2);
	assert_memory_equal(text, "89", 2);
	/* O_NONBLOCK */
	assert_int_equal(i.fcntl(U, conn, F_GETFL), O_RDWR);
	assert_int_equal(i.fcntl(U, conn, F_SETFL, O_RDWR | O_NONBLOCK), 0);
	assert_int_equal(i.read(U, conn, text, 2), -1);
	assert_int_equal(errno, EAGAIN);
	i.close(U, conn);
	i.close(U, fd);
}

static void readiness_is_told(void **state)
{
	int fd = listening(), conn = accepted(fd), set = i.epoll_create(U, 1), ends[2];
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = 77 }, got = { 0 };
	struct pollfd p[2] = { { .fd = conn, .events = POLLIN | POLLOUT }, { .events = POLLIN } };
	long long before;
	char text[8];

	(void)state;
	assert_true(set >= 0);
	assert_int_equal(i.epoll_ctl(U, set, EPOLL_CTL_ADD, conn, &ev), 0);
	assert_int_equal(i.epoll_wait(U, set, &got, 1, 0), 0);
	/* Who owns the time waits in it. */
	before = now_us();
	assert_int_equal(i.epoll_wait(U, set, &got, 1, 250), 0);
	assert_in_range(now_us() - before, 250000, 250003);
	assert_int_equal(i.pipe(U, ends), 0);
	p[1].fd = ends[0];
	assert_int_equal(i.poll(U, p, 2, 0), 1);
	assert_int_equal(p[0].revents, POLLOUT);
	inject(8080, 80, TCP_ACK | TCP_PSH, iss + 1, "hello");
	assert_int_equal(i.epoll_wait(U, set, &got, 1, -1), 1);
	assert_int_equal(got.data.u32, 77);
	/* From the socket through a pipe, and back. */
	assert_int_equal(i.splice(U, conn, NULL, ends[1], NULL, 100, 0), 5);
	assert_int_equal(i.poll(U, p, 2, 0), 2);
	assert_int_equal(i.splice(U, ends[0], NULL, conn, NULL, 3, 0), 3);
	while (i.netdev_receive(U, out_bytes, &(size_t){ sizeof(out_bytes) }, &out_us) == 0 &&
	       packet_parse(&out, out_bytes, (uint32_t)((out_bytes[2] << 8) + out_bytes[3]),
			    false) == PACKET_TCP &&
	       !out.tcp.len)
		;
	assert_memory_equal(out.payload, "hel", 3);
	assert_int_equal(i.read(U, ends[0], text, sizeof(text)), 2);
	assert_memory_equal(text, "lo", 2);
	i.close(U, ends[0]);
	i.close(U, ends[1]);
	i.close(U, set);
	i.close(U, conn);
	i.close(U, fd);
}

struct blocked {
	int fd;
	long result;
	long long ended;
	char text[8];
};

static void *reader(void *arg)
{
	struct blocked *b = arg;

	b->result = i.read(U, b->fd, b->text, sizeof(b->text));
	b->ended = now_us();
	return NULL;
}

/* A second thread's call ends when its data comes, on the clock of the first. */
static void blocking_calls_end_in_time(void **state)
{
	int fd = listening(), conn = accepted(fd);
	struct blocked b = { .fd = conn };
	pthread_t thread;
	long long came;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, reader, &b), 0);
	usleep(20000); /* let it sleep: what follows is right either way */
	i.usleep(U, 100000);
	came = now_us();
	inject(8080, 80, TCP_ACK | TCP_PSH, iss + 1, "data");
	i.usleep(U, 100000);
	pthread_join(thread, NULL);
	assert_int_equal(b.result, 4);
	assert_in_range(b.ended - came, 0, 2);
	i.close(U, conn);
	i.close(U, fd);
}

/* connect, shutdown, close; TCP_INFO by the entry, and as the C library's. */
static void opens_and_ends(void **state)
{
	int (*preloaded)(int, int, int, void *, socklen_t *);
	struct sockaddr_in peer = address("192.0.2.1", 8080);
	int fd = i.socket(U, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct linux_tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	uint16_t port;

	(void)state;
	assert_int_equal(i.connect(U, fd, (void *)&peer, sizeof(peer)), -1);
	assert_int_equal(errno, EINPROGRESS);
	take(TCP_SYN, 0);
	port = out.tcp.sport;
	iss = out.tcp.seq;
	nxt = 5000;
	inject(8080, port, TCP_SYN | TCP_ACK, iss + 1, "");
	take(TCP_ACK, 0);
	assert_int_equal(i.connect(U, fd, (void *)&peer, sizeof(peer)), 0);
	assert_int_equal(i.getsockopt(U, fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(info.state, 1 /* TCP_ESTABLISHED */);
	memset(&info, 0, sizeof(info));
	preloaded =
		(int (*)(int, int, int, void *,
			 socklen_t *))dlsym(dlopen(library, RTLD_NOW | RTLD_NOLOAD), "getsockopt");
	assert_int_equal(preloaded(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(info.snd_mss, 1000);
	assert_int_equal(i.shutdown(U, fd, SHUT_WR), 0);
	take(TCP_FIN | TCP_ACK, 0);
	assert_int_equal(i.close(U, fd), 0);
	assert_int_equal(i.close(U, fd), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(i.listen(U, 0, 1), -1);
	assert_int_equal(errno, ENOTSOCK);
}

/* `ip tcp_metrics flush` of a script: what earlier connections learned is forgotten. */
static void metrics_are_flushed(void **state)
{
	struct sockaddr_in peer = address("192.0.2.1", 8080);

	(void)state;
	for (int n = 0; n < 3; n++) {
		int fd = i.socket(U, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		uint16_t port;

		i.sendto(U, fd, "x", 1, MSG_FASTOPEN, (void *)&peer, sizeof(peer));
		take(TCP_SYN, 0);
		port = out.tcp.sport;
		iss = out.tcp.seq;
		nxt = 5000;
		/* Asked for and not given, the option is tried in its other form. */
		assert_int_equal(out.tcp.cookie.exp, n == 1);
		inject(8080, port, TCP_SYN | TCP_ACK, iss + 1, "");
		take(TCP_ACK, 0);
		i.close(U, fd);
		take(TCP_FIN | TCP_ACK, 0);
		if (n == 1)
			assert_int_equal(system("ip tcp_metrics flush all"), 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_entry_is_there, begin, end),
		cmocka_unit_test_setup_teardown(time_is_virtual, begin, end),
		cmocka_unit_test_setup_teardown(sends_in_every_way, begin, end),
		cmocka_unit_test_setup_teardown(receives_in_every_way, begin, end),
		cmocka_unit_test_setup_teardown(readiness_is_told, begin, end),
		cmocka_unit_test_setup_teardown(blocking_calls_end_in_time, begin, end),
		cmocka_unit_test_setup_teardown(opens_and_ends, begin, end),
		cmocka_unit_test_setup_teardown(metrics_are_flushed, begin_tools, end),
	};
	char *slash = strrchr(argv[0], '/');
	void *handle;

	(void)argc;
	snprintf(library, sizeof(library), "%.*s/../../libcouplet-packetdrill.so",
		 slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	snprintf(tools, sizeof(tools), "%.*s/../../../../src/packetdrill/bin",
		 slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
	handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (handle)
		plug_in = (void (*)(const char *, struct packetdrill_interface *))
			dlsym(handle, "packetdrill_interface_init");
	if (!plug_in) {
		fprintf(stderr, "test_plugin: %s\n", dlerror());
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
