/* SPDX-License-Identifier: MIT */
/*
 * Devices against the kernel's TCP in a network namespace of our own: a stream to the stack's echo
 * and back by the kernel's sockets, and one from the stack to an echo of the kernel's; IPv4 and
 * IPv6, with super-segments and without. TUN and TAP, and what sits on one end of a veth pair,
 * whose other end leaves checksums and cutting to it unless told otherwise. Skipped where
 * namespaces or /dev/net/tun are refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/netns.h"
#include "link/kernel_if.h"
#include "tests/util/looped.h"

#define TOTAL (2u << 20)
#define PORT  7

static struct link_why why;
static bool allowed;

static void ok(int err)
{
	if (err < 0)
		fail_msg("%s: %s", strerror(-err), why.text);
}

static struct cpl_addr addr(bool ipv6, unsigned host)
{
	struct cpl_addr six = { { 0xfd, 0, [15] = (uint8_t)host } };

	return ipv6 ? six : cpl_addr4(10, 99, 0, (uint8_t)host);
}

static struct sockaddr_storage sockaddr_of(const struct cpl_addr *a, socklen_t *len)
{
	struct sockaddr_storage s = { 0 };
	struct sockaddr_in *s4 = (struct sockaddr_in *)&s;
	struct sockaddr_in6 *s6 = (struct sockaddr_in6 *)&s;

	if (cpl_addr_is4(a)) {
		s4->sin_family = AF_INET;
		s4->sin_port = htons(PORT);
		memcpy(&s4->sin_addr, a->b + 12, 4);
		*len = sizeof(*s4);
	} else {
		s6->sin6_family = AF_INET6;
		s6->sin6_port = htons(PORT);
		memcpy(&s6->sin6_addr, a->b, 16);
		*len = sizeof(*s6);
	}
	return s;
}

static int kernel_socket(const struct cpl_addr *a)
{
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(cpl_addr_is4(a) ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Send TOTAL octets on FD, then shut down. */
static void *sender(void *arg)
{
	int fd = *(int *)arg;
	uint8_t data[65536];

	for (uint64_t at = 0; at < TOTAL; at += sizeof(data)) {
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = looped_octet(at + i);
		for (size_t done = 0; done < sizeof(data);) {
			ssize_t n = send(fd, data + done, sizeof(data) - done, MSG_NOSIGNAL);

			if (n <= 0)
				return arg;
			done += (size_t)n;
		}
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

/* The kernel opens, sends, and reads back until the stack has closed. */
static void kernel_to_stack(const struct cpl_addr *stack_addr)
{
	int fd = kernel_socket(stack_addr);
	socklen_t len;
	struct sockaddr_storage to = sockaddr_of(stack_addr, &len);
	uint8_t data[65536];
	uint64_t at = 0;
	pthread_t thread;
	void *failed;
	ssize_t n;

	if (connect(fd, (struct sockaddr *)&to, len))
		fail_msg("connect: %s", strerror(errno));
	pthread_create(&thread, NULL, sender, &fd);
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			if (data[i] != looped_octet(at))
				fail_msg("octet %llu is another", (unsigned long long)at);
	if (n < 0)
		fail_msg("recv after %llu: %s", (unsigned long long)at, strerror(errno));
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(at, TOTAL);
	close(fd);
}

/* Accept one connection and send back what comes. */
static void *kernel_echo(void *arg)
{
	int listener = *(int *)arg, fd = accept(listener, NULL, NULL);
	uint8_t data[65536];
	ssize_t n;

	if (fd < 0)
		return arg;
	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		if (send(fd, data, (size_t)n, MSG_NOSIGNAL | MSG_WAITALL) != n)
			break;
	close(fd);
	return NULL;
}

static void stack_to_kernel(struct looped *h, const struct cpl_addr *kernel_addr)
{
	struct cpl_endpoint remote = { .addr = *kernel_addr, .port = PORT };
	int listener = kernel_socket(kernel_addr), one = 1;
	socklen_t len;
	struct sockaddr_storage at = sockaddr_of(kernel_addr, &len);
	pthread_t thread;
	void *failed;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	pthread_create(&thread, NULL, kernel_echo, &listener);
	ok(looped_send(h, &remote, TOTAL));
	assert_int_equal(h->received, TOTAL);
	/* what was closed goes out, and the kernel's echo ends */
	ok(cpl_close(h->stack, h->conn, loop_clock()));
	for (unsigned i = 0; i < 20; i++)
		ok(loop_turn(h->loop, loop_clock() + 5 * CPL_MS));
	pthread_join(thread, &failed);
	assert_null(failed);
	close(listener);
}

enum device {
	TUN,
	TAP,
	PACKET,
	PACKET_BLOCKS,
	XDP,
	XDP_GENERIC
};

#define OURS   "cpl-ours"
#define THEIRS "cpl-theirs"

/* Name of the kernel's end. */
static const char *open_veth(struct link **link, enum device device, bool offload)
{
	struct link_packet_config config = { .name = OURS,
					     .no_offload = !offload,
					     .blocks = device == PACKET_BLOCKS };

	struct link_xdp_config xdp = { .name = OURS, .generic = device == XDP_GENERIC };

	assert_int_equal(system("ip link del " OURS " 2>/dev/null; "
				"ip link add " OURS " type veth peer name " THEIRS),
			 0);
	ok(kernel_if_up(OURS, &why));
	if (!offload)
		ok(kernel_if_set_offload(THEIRS, false, &why));
	ok(device >= XDP ? link_xdp_open(link, &xdp, &why) : link_packet_open(link, &config, &why));
	return THEIRS;
}

static const char *open_tun(struct link **link, enum device device, bool offload)
{
	struct link_tun_config config = { .no_offload = !offload };

	ok((device == TAP ? link_tap_open : link_tun_open)(link, &config, &why));
	return (*link)->iface.name;
}

static void device_open(struct looped *h, enum device device, bool offload)
{
	struct link *link = NULL;
	const char *name = device <= TAP ? open_tun(&link, device, offload)
					 : open_veth(&link, device, offload);

	ok(kernel_if_up(name, &why));
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct cpl_addr kernel = addr(ipv6, 1);

		ok(kernel_if_addr_add(name, &kernel, ipv6 ? 64 : 24, &why));
	}
	ok(looped_open(h, link, &why));
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct cpl_addr ours = addr(ipv6, 2);

		ok(looped_addr(h, &ours, ipv6 ? 64 : 24));
	}
}

static void need_device(void)
{
	if (allowed)
		return;
	print_message("# %s\n", why.text);
	skip();
}

static void exchange(enum device device, bool offload)
{
	struct looped h;

	need_device();
	device_open(&h, device, offload);
	ok(looped_echo(&h, PORT));
	ok(looped_start(&h));
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct cpl_addr ours = addr(ipv6, 2);

		kernel_to_stack(&ours);
	}
	ok(looped_stop(&h));
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct cpl_addr kernel = addr(ipv6, 1);

		stack_to_kernel(&h, &kernel);
	}
	assert_int_equal(h.accepted, 2);
	looped_close(&h);
}

static void test_tun(void **state)
{
	(void)state;
	exchange(TUN, true);
	exchange(TUN, false);
}

static void test_tap(void **state)
{
	(void)state;
	exchange(TAP, true);
	exchange(TAP, false);
}

static void test_packet(void **state)
{
	(void)state;
	exchange(PACKET, true);
	exchange(PACKET, false);
}

static void test_packet_blocks(void **state)
{
	(void)state;
	exchange(PACKET_BLOCKS, true);
}

/* Why there is no AF_XDP here, or NULL. */
static const char *no_xdp(void)
{
	struct link_xdp_config config = { .name = "no-such" };
	struct link *link;
	int err = link_xdp_open(&link, &config, &why);

	if (err == -ENOSYS)
		return why.text;
	assert_int_equal(err, -ENODEV);
	assert_non_null(strstr(why.text, "no-such"));
	config.name = "lo"; /* no Ethernet */
	assert_int_equal(link_xdp_open(&link, &config, &why), -EINVAL);
	return NULL;
}

static void test_xdp(void **state)
{
	(void)state;
	need_device();
	if (no_xdp()) {
		print_message("# %s\n", why.text);
		skip();
	}
	exchange(XDP, true);
	exchange(XDP, false);
	exchange(XDP_GENERIC, false); /* super-segments do not pass */
}

/* More than there are slots for: what is lost is counted, what is kept is whole and in order. */
static void test_packet_missed(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct cpl_addr kernel = addr(false, 1);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	struct cpl_frame frames[64];
	unsigned next = 0, last = 0, sent = 5000;
	struct link *link;
	const char *name;
	int n;

	(void)state;
	need_device();
	name = open_veth(&link, PACKET, true);
	ok(kernel_if_up(name, &why));
	ok(kernel_if_addr_add(name, &kernel, 24, &why));
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
	inet_pton(AF_INET, "10.99.0.255", &to.sin_addr);
	for (unsigned i = 0; i < sent; i++)
		assert_int_equal(sendto(fd, &i, 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	while ((n = link_read(link, frames, 64)) > 0)
		for (int i = 0; i < n; i++) {
			const uint8_t *p = frames[i].data;

			if (frames[i].len < 14 + 28 + 4 || p[12] != 8 || p[14 + 9] != 17)
				continue;
			memcpy(&last, p + 14 + 28, 4);
			assert_true(last >= next);
			next = last + 1;
		}
	assert_true(next > 500 && next < sent);
	/* and word of it comes with the next */
	assert_int_equal(sendto(fd, &sent, 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	for (unsigned i = 0; i < 100 && (n = link_read(link, frames, 64)) == 0; i++)
		usleep(1000);
	assert_true(n > 0);
	assert_true(link->missed_frames > 0 && link->missed_frames < sent);
	close(fd);
	link_close(link);
}

static void test_packet_errors(void **state)
{
	struct link_packet_config config = { .name = "no-such" };
	struct link *link;

	(void)state;
	need_device();
	assert_int_equal(link_packet_open(&link, &config, &why), -ENODEV);
	assert_non_null(strstr(why.text, "no-such"));
	config.name = "lo"; /* no Ethernet */
	assert_int_equal(link_packet_open(&link, &config, &why), -EINVAL);
	config.name = "an-interface-name-too-long";
	assert_int_equal(link_packet_open(&link, &config, &why), -EINVAL);
}

static void test_errors(void **state)
{
	struct link_tun_config config = { .name = "an-interface-name-too-long" };
	struct cpl_addr a = addr(false, 1);
	struct link *link, *again;

	(void)state;
	need_device();
	assert_int_equal(link_tap_open(&link, &config, &why), -EINVAL);
	config.name = "cpltest";
	ok(link_tap_open(&link, &config, &why));
	assert_string_equal(link->iface.name, "cpltest");
	assert_int_equal(link->iface.mac[0] & 3, 2); /* of nobody's, and of one station */
	assert_int_equal(link_tap_open(&again, &config, &why), -EBUSY);
	assert_non_null(strstr(why.text, "cpltest"));
	assert_int_equal(kernel_if_up("no-such", &why), -ENODEV);
	assert_int_equal(kernel_if_addr_add("cpltest", &a, 33, &why), -EINVAL);
	assert_non_null(strstr(why.text, "10.99.0.1/33"));
	assert_int_equal(kernel_if_set_mtu("cpltest", 1, &why), -EINVAL);
	ok(kernel_if_set_mtu("cpltest", 9000, &why));
	/* once more is no error */
	ok(kernel_if_addr_add("cpltest", &a, 24, &why));
	ok(kernel_if_addr_add("cpltest", &a, 24, &why));
	/* an interface that is down takes no frame: as if lost */
	struct cpl_out frame = { .iov = { { "0123456789abcdef", 16 } }, .iov_n = 1, .len = 16 };
	assert_int_equal(link_write(link, &frame), 1);
	assert_int_equal(link->lost_frames, 1);
	link_close(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),	      cmocka_unit_test(test_tun),
		cmocka_unit_test(test_tap),	      cmocka_unit_test(test_packet),
		cmocka_unit_test(test_packet_blocks), cmocka_unit_test(test_packet_errors),
		cmocka_unit_test(test_packet_missed), cmocka_unit_test(test_xdp),
	};
	struct link_tun_config config = { 0 };
	struct link *link;

	allowed = netns_enter(NULL, &why) == 0 && link_tun_open(&link, &config, &why) == 0;
	if (allowed)
		link_close(link);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
