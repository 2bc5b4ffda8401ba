/* SPDX-License-Identifier: MIT */
/*
 * An echo server that embeds Couplet: one stack on a TUN device, 10.77.0.2 port 7.
 *	cc -o echo echo.c $(pkg-config --cflags --libs couplet)
 *	sudo ip tuntap add dev tun7 mode tun && sudo ip address add 10.77.0.1/24 dev tun7
 *	sudo ip link set tun7 up && sudo ./echo tun7 &	socat - tcp:10.77.0.2:7
 */
/* clang-format off: it is to fit one screen */
#include <couplet/couplet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
static void *slab(void *ctx, size_t n) { return (void)ctx, malloc(n); }
static void unslab(void *ctx, void *p, size_t n) { (void)ctx, (void)n, free(p); }
static uint64_t ns(void)
{
	struct timespec t;
	return clock_gettime(CLOCK_MONOTONIC, &t), t.tv_sec * CPL_SECOND + t.tv_nsec;
}
/* Return what came in, from where it lies, as far as there is room for it to go out. */
static void echo(cpl_stack *s, cpl_handle h, uint64_t now)
{
	struct cpl_iov in;
	long n, sent;
	while ((n = cpl_recv_borrow(s, h, &in, 1, now)) > 0) {
		if ((sent = cpl_send(s, h, in.base, in.len, 0, now)) <= 0)
			return; /* the rest stays in its queue */
		cpl_recv_return(s, h, sent, now);
	}
	if (n != -EAGAIN)
		cpl_close(s, h, now);
}
int main(int argc, char **argv)
{
	struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	strncpy(ifr.ifr_name, argc > 1 ? argv[1] : "tun7", IFNAMSIZ - 1);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &ifr) < 0)
		return perror("tun"), 1;
	struct cpl_config config;
	cpl_config_init(&config);
	config.alloc = slab, config.release = unslab;
	cpl_stack *s; cpl_handle listener, h;
	struct cpl_iface_config iface = { sizeof(iface), "tun", .kind = CPL_IFACE_IP, .mtu = 1500 };
	struct cpl_addr addr = cpl_addr4(10, 77, 0, 2);
	struct cpl_endpoint at = { .port = 7 };
	if (getrandom(config.secret, 32, 0) != 32 || cpl_stack_new(&s, &config, ns()) ||
	    cpl_iface_add(s, &iface, ns()) != 1 || cpl_addr_add(s, 1, &addr, 24, ns()) ||
	    cpl_listen(s, &at, 128, &listener, ns()))
		return fputs("cannot set up the stack\n", stderr), 1;
	for (;;) {
		uint8_t packet[65536];
		struct cpl_frame in = { .data = packet };
		struct cpl_event ev; struct cpl_out out;
		for (ssize_t n; (n = read(tun, packet, sizeof(packet))) > 0;)
			in.len = n, cpl_input(s, 1, &in, 1, ns());
		cpl_advance(s, ns());
		while (cpl_next_event(s, &ev)) {
			while (ev.what & CPL_EV_ACCEPT && !cpl_accept(s, listener, &h, ns())) {}
			if (ev.handle != listener)
				echo(s, ev.handle, ns());
		}
		while (cpl_output(s, 1, &out, 1, ns()) > 0) {
			ssize_t n = writev(tun, (void *)out.iov, out.iov_n);
			cpl_output_done(s, out.token, n > 0, ns());
		}
		uint64_t due = cpl_deadline(s), now = ns();
		poll(&(struct pollfd){ .fd = tun, .events = POLLIN }, 1,
		     due == CPL_NEVER ? -1 : due <= now ? 0 : (int)((due - now) / CPL_MS + 1));
	}
}
