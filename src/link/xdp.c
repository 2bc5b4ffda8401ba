/* SPDX-License-Identifier: MIT */
/*
 * AF_XDP (Documentation/networking/af_xdp.rst of Linux): frames of one queue of an interface in
 * memory shared with the kernel. libxdp loads the program that redirects them and makes the rings;
 * it is loaded when the first of these links is opened, so that nobody who has none needs it.
 *
 * The memory is two halves: frames that the kernel may fill, and frames of ours on their way out.
 */
#define _GNU_SOURCE
#include "link/link.h"

#include <errno.h>
#include <string.h>

#ifdef HAVE_LIBXDP

#include <bpf/libbpf.h>
#include <dlfcn.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/libxdp.h>
#include <xdp/xsk.h>

#include "wire/checksum.h"

#define FRAMES	    1024u /* of each half */
#define FRAME_SIZE  2048u
#define FRAME_LARGE 4096u
#define HEADROOM    256u /* of XDP's, in each frame that comes in */
#define ETHER_LEN   14u
#define BUSY_TRIES  50
#define BUSY_US	    10000
#define KICK_FRAMES 32 /* that the kernel sends in one call, in copy mode */
#define READ_MAX    64u

struct xdp {
	struct link link;
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons comp, rx;
	uint8_t *memory;
	size_t memory_size;
	uint32_t frame_size;
	bool zero_copy;
	uint64_t given[READ_MAX]; /* frames that were handed out */
	unsigned given_n;
	uint64_t free[FRAMES]; /* frames of ours */
	unsigned free_n;
};

/* libxdp, as far as it is not inline. */
static struct {
	void *handle;
	__typeof__(&xsk_umem__create) umem_create;
	__typeof__(&xsk_umem__delete) umem_delete;
	__typeof__(&xsk_socket__create) socket_create;
	__typeof__(&xsk_socket__delete) socket_delete;
	__typeof__(&xsk_socket__fd) socket_fd;
	__typeof__(&libxdp_set_print) set_print;
	__typeof__(&libbpf_set_print) bpf_set_print;
} lib;

static struct xdp *xdp_of(struct link *link)
{
	return (struct xdp *)link; /* its first member */
}

/* ---- In ------------------------------------------------------------------------------------- */

/*
 * Between interfaces of one machine a checksum stays unfinished until the frame leaves it: the
 * field holds the sum of the pseudo-header. XDP does not tell. In copy mode such a field is taken
 * for what it almost certainly is; zero-copy frames come from a wire, and are not.
 */
static bool is_unfinished(const uint8_t *p, uint32_t len)
{
	struct cpl_addr from, to;
	uint32_t header, transport;
	uint16_t field, sum;
	uint8_t protocol;

	if (len < ETHER_LEN + 20)
		return false;
	p += ETHER_LEN;
	len -= ETHER_LEN;
	if (p[-2] == 0x08 && p[-1] == 0x00 && p[0] >> 4 == 4) {
		header = (p[0] & 15u) * 4;
		transport = (uint32_t)(p[2] << 8 | p[3]) - header;
		protocol = p[9];
		from = cpl_addr4(p[12], p[13], p[14], p[15]);
		to = cpl_addr4(p[16], p[17], p[18], p[19]);
	} else if (p[-2] == 0x86 && p[-1] == 0xdd && len >= 40) {
		header = 40;
		transport = (uint32_t)(p[4] << 8 | p[5]);
		protocol = p[6];
		memcpy(from.b, p + 8, 16);
		memcpy(to.b, p + 24, 16);
	} else {
		return false;
	}
	if ((protocol != 6 && protocol != 17) || transport > len || header + 18 > len ||
	    header > len - transport)
		return false;
	memcpy(&field, p + header + (protocol == 6 ? 16 : 6), 2);
	sum = sum_fold(sum_pseudo(&from, &to, protocol, transport));
	return field == sum;
}

/* Frames that were read go back to the kernel. */
static void give_back(struct xdp *x)
{
	uint32_t at;

	if (!x->given_n || xsk_ring_prod__reserve(&x->fill, x->given_n, &at) != x->given_n)
		return; /* they have room there: there are no more frames than places */
	for (unsigned i = 0; i < x->given_n; i++)
		*xsk_ring_prod__fill_addr(&x->fill, at + i) = x->given[i];
	xsk_ring_prod__submit(&x->fill, x->given_n);
	x->given_n = 0;
	if (xsk_ring_prod__needs_wakeup(&x->fill))
		recvfrom(x->link.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

static int xdp_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct xdp *x = xdp_of(link);
	uint32_t at, got;
	unsigned n = 0;

	give_back(x);
	got = xsk_ring_cons__peek(&x->rx, max < READ_MAX ? max : READ_MAX, &at);
	for (uint32_t i = 0; i < got; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&x->rx, at + i);
		struct cpl_frame *f = &frames[n];

		x->given[x->given_n++] = d->addr & ~(uint64_t)(x->frame_size - 1);
		if (d->addr >= x->memory_size || d->len > x->memory_size - d->addr) {
			link->bad_frames++;
			continue;
		}
		*f = (struct cpl_frame){ .data = x->memory + d->addr, .len = d->len };
		if (!x->zero_copy && is_unfinished(f->data, f->len))
			f->flags = CPL_FRAME_CSUM_PARTIAL;
		n++;
	}
	if (got)
		xsk_ring_cons__release(&x->rx, got);
	return (int)n;
}

/* ---- Out ------------------------------------------------------------------------------------ */

/* Frames that have left are ours again. */
static void reclaim(struct xdp *x)
{
	uint32_t at, n = xsk_ring_cons__peek(&x->comp, FRAMES - x->free_n, &at);

	for (uint32_t i = 0; i < n; i++)
		x->free[x->free_n++] = *xsk_ring_cons__comp_addr(&x->comp, at + i);
	if (n)
		xsk_ring_cons__release(&x->comp, n);
}

/* Have the kernel send what lies in the ring. */
static void kick(struct xdp *x)
{
	for (unsigned i = 0; i < FRAMES / KICK_FRAMES && xsk_ring_prod__needs_wakeup(&x->tx); i++) {
		uint32_t before = *x->tx.consumer;

		if (sendto(x->link.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN)
			break; /* EBUSY, ENOBUFS: later; ENETDOWN: there is nothing to be done */
		if (__atomic_load_n(x->tx.consumer, __ATOMIC_ACQUIRE) == x->tx.cached_prod ||
		    *x->tx.consumer == before)
			break;
	}
}

static uint32_t copy_out(uint8_t *to, const struct cpl_out *f)
{
	uint32_t len = 0;

	for (uint32_t i = 0; i < f->iov_n; i++) {
		memcpy(to + len, f->iov[i].base, f->iov[i].len);
		len += (uint32_t)f->iov[i].len;
	}
	return len;
}

static unsigned xdp_write_some(struct link *link, const struct cpl_out *frames, unsigned n)
{
	struct xdp *x = xdp_of(link);
	unsigned done = 0, queued = 0;
	uint32_t at;

	reclaim(x);
	if (x->free_n < n) {
		kick(x);
		reclaim(x);
	}
	for (; done < n && x->free_n; done++) {
		struct xdp_desc *d;

		if (frames[done].len > x->frame_size) {
			link->lost_frames++;
			continue;
		}
		if (xsk_ring_prod__reserve(&x->tx, 1, &at) != 1)
			break;
		d = xsk_ring_prod__tx_desc(&x->tx, at);
		*d = (struct xdp_desc){ .addr = x->free[--x->free_n] };
		d->len = copy_out(x->memory + d->addr, &frames[done]);
		queued++;
	}
	if (queued) {
		xsk_ring_prod__submit(&x->tx, queued);
		kick(x);
	}
	return done;
}

static void xdp_close(struct link *link)
{
	struct xdp *x = xdp_of(link);

	if (x->socket)
		lib.socket_delete(x->socket);
	if (x->umem)
		lib.umem_delete(x->umem);
	if (x->memory)
		munmap(x->memory, x->memory_size);
	free(x);
}

static const struct link_ops xdp_ops = { .read = xdp_read,
					 .write_some = xdp_write_some,
					 .close = xdp_close };

/* ---- Opening -------------------------------------------------------------------------------- */

static int no_words(enum libxdp_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static int no_bpf_words(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static int load_library(struct link_why *why)
{
	void *l = lib.handle;

	if (l)
		return 0;
	l = dlopen("libxdp.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!l)
		return link_fail(why, -ENOSYS, "libxdp.so.1 cannot be loaded: install libxdp1 (%s)",
				 dlerror());
	lib.umem_create = (__typeof__(lib.umem_create))dlsym(l, "xsk_umem__create");
	lib.umem_delete = (__typeof__(lib.umem_delete))dlsym(l, "xsk_umem__delete");
	lib.socket_create = (__typeof__(lib.socket_create))dlsym(l, "xsk_socket__create");
	lib.socket_delete = (__typeof__(lib.socket_delete))dlsym(l, "xsk_socket__delete");
	lib.socket_fd = (__typeof__(lib.socket_fd))dlsym(l, "xsk_socket__fd");
	lib.set_print = (__typeof__(lib.set_print))dlsym(l, "libxdp_set_print");
	lib.bpf_set_print = (__typeof__(lib.bpf_set_print))dlsym(l, "libbpf_set_print");
	if (!lib.bpf_set_print || !lib.umem_create || !lib.umem_delete || !lib.socket_create ||
	    !lib.socket_delete || !lib.socket_fd || !lib.set_print) {
		dlclose(l);
		return link_fail(why, -ENOSYS, "libxdp.so.1 is not the one that was built for");
	}
	lib.set_print(no_words);
	lib.handle = l;
	return 0;
}

/* Its address and MTU, to the link. */
static int look_at(struct link *link, const struct link_xdp_config *config, struct link_why *why)
{
	struct cpl_iface_config *iface = &link->iface;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq mtu = { 0 }, mac = { 0 };

	if (fd < 0)
		return link_fail(why, -errno, "no socket: %s", strerror(errno));
	strcpy(mtu.ifr_name, config->name);
	strcpy(mac.ifr_name, config->name);
	if (ioctl(fd, SIOCGIFMTU, &mtu) || ioctl(fd, SIOCGIFHWADDR, &mac)) {
		int err = -errno;

		close(fd);
		return link_fail(why, err, "cannot find interface %s: %s", config->name,
				 strerror(-err));
	}
	close(fd);
	if (mac.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return link_fail(why, -EINVAL, "%s is no Ethernet interface", config->name);
	iface->size = sizeof(*iface);
	iface->kind = CPL_IFACE_ETHER;
	strcpy(iface->name, config->name);
	memcpy(iface->mac, mac.ifr_hwaddr.sa_data, 6);
	iface->mtu = (uint32_t)mtu.ifr_mtu;
	if (config->mtu && config->mtu < iface->mtu)
		iface->mtu = config->mtu;
	if (iface->mtu > FRAME_LARGE - HEADROOM - ETHER_LEN)
		return link_fail(why, -EINVAL,
				 "%s has an MTU of %u, and AF_XDP takes %u at most: set another",
				 config->name, iface->mtu, FRAME_LARGE - HEADROOM - ETHER_LEN);
	return 0;
}

static int make_memory(struct xdp *x, struct link_why *why)
{
	struct xsk_umem_config config = { .fill_size = FRAMES, .comp_size = FRAMES };
	int err;

	x->frame_size =
		x->link.iface.mtu + ETHER_LEN + HEADROOM <= FRAME_SIZE ? FRAME_SIZE : FRAME_LARGE;
	x->memory_size = (size_t)2 * FRAMES * x->frame_size;
	x->memory = mmap(NULL, x->memory_size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (x->memory == MAP_FAILED) {
		x->memory = NULL;
		return link_fail(why, -ENOMEM, "no memory for the frames of %s",
				 x->link.iface.name);
	}
	config.frame_size = x->frame_size;
	err = lib.umem_create(&x->umem, x->memory, x->memory_size, &x->fill, &x->comp, &config);
	if (!err)
		return 0;
	return link_fail(why, err, "cannot share memory with the kernel for %s: %s%s",
			 x->link.iface.name, strerror(-err),
			 err == -EPERM ? " (it takes CAP_NET_RAW, and RLIMIT_MEMLOCK)" : "");
}

/* The kernel tries without a copy first, where nothing is said. */
static int make_socket(struct xdp *x, const struct link_xdp_config *config, struct link_why *why)
{
	struct xsk_socket_config c = { .rx_size = FRAMES,
				       .tx_size = FRAMES,
				       .bind_flags = XDP_USE_NEED_WAKEUP };
	struct xdp_options options = { 0 };
	socklen_t len = sizeof(options);
	libbpf_print_fn_t words;
	uint32_t at;
	int err = -EBUSY;

	c.bind_flags |= config->copy ? XDP_COPY : 0;
	c.xdp_flags = config->generic ? XDP_FLAGS_SKB_MODE : 0;
	words = lib.bpf_set_print(no_bpf_words);
	/* The kernel lets go of a queue a little after its last user has closed it. */
	for (unsigned tries = 0; tries < BUSY_TRIES; tries++) {
		err = lib.socket_create(&x->socket, config->name, config->queue, x->umem, &x->rx,
					&x->tx, &c);
		if (err != -EBUSY)
			break;
		usleep(BUSY_US);
	}
	lib.bpf_set_print(words);
	if (err) {
		x->socket = NULL;
		return link_fail(why, err, "cannot take queue %u of %s by AF_XDP: %s%s",
				 config->queue, config->name, strerror(-err),
				 err == -EPERM
					 ? " (it takes CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF)"
				 : err == -EBUSY  ? " (another program has it)"
				 : err == -EINVAL ? " (no such queue?)"
						  : "");
	}
	x->link.fd = lib.socket_fd(x->socket);
	if (!getsockopt(x->link.fd, SOL_XDP, XDP_OPTIONS, &options, &len))
		x->zero_copy = options.flags & XDP_OPTIONS_ZEROCOPY;
	if (xsk_ring_prod__reserve(&x->fill, FRAMES, &at) != FRAMES)
		return link_fail(why, -EIO, "no room for the frames of %s", config->name);
	for (uint32_t i = 0; i < FRAMES; i++) {
		*xsk_ring_prod__fill_addr(&x->fill, at + i) = (uint64_t)i * x->frame_size;
		x->free[i] = (uint64_t)(FRAMES + i) * x->frame_size;
	}
	x->free_n = FRAMES;
	xsk_ring_prod__submit(&x->fill, FRAMES);
	return 0;
}

int link_xdp_open(struct link **link, const struct link_xdp_config *config, struct link_why *why)
{
	struct xdp *x;
	int err;

	if (strlen(config->name) >= IFNAMSIZ)
		return link_fail(why, -EINVAL, "interface name %s is longer than 15 characters",
				 config->name);
	err = load_library(why);
	if (err)
		return err;
	x = calloc(1, sizeof(*x));
	if (!x)
		return link_fail(why, -ENOMEM, "no memory for an AF_XDP socket");
	x->link.ops = &xdp_ops;
	x->link.fd = -1;
	x->link.poll_out = true;
	err = look_at(&x->link, config, why);
	if (!err)
		err = make_memory(x, why);
	if (!err)
		err = make_socket(x, config, why);
	if (err) {
		xdp_close(&x->link);
		return err;
	}
	*link = &x->link;
	return 0;
}

bool link_xdp_zero_copy(const struct link *link)
{
	return ((const struct xdp *)link)->zero_copy;
}

#else

int link_xdp_open(struct link **link, const struct link_xdp_config *config, struct link_why *why)
{
	(void)link;
	return link_fail(why, -ENOSYS,
			 "cannot take %s by AF_XDP: built without libxdp: install libxdp-dev and "
			 "build again",
			 config->name);
}

bool link_xdp_zero_copy(const struct link *link)
{
	(void)link;
	return false;
}

#endif
