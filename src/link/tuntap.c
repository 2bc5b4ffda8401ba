/* SPDX-License-Identifier: MIT */
/*
 * TUN and TAP (Documentation/networking/tuntap.rst of Linux), with a virtio_net_hdr before each
 * frame.
 *
 * One read or write moves one frame, which may be a super-segment of 64 KiB: that, with plain
 * system calls and without IFF_NAPI, is the cheapest way to the kernel there is.
 */
#include "link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "link/vnet.h"

#define MTU_DEFAULT 1500u
#define FRAME_MAX   (VNET_HLEN + 14 + 65535 + 1)
#define SHORT_MAX   2048u	 /* of frames that are copied: an Ethernet's */
#define ARENA_SIZE  (4 * 65536u) /* of what one batch reads: stays in the L2 cache */
/* 65,535 less the headers of IPv6 and TCP at their longest, and of Ethernet. */
#define GSO_MAX	    (65535u - 14 - 40 - 60)

struct tuntap {
	struct link link;
	uint8_t arena[ARENA_SIZE];
	uint8_t out[VNET_HLEN + SHORT_MAX]; /* one that leaves */
};

static struct tuntap *tuntap_of(struct link *link)
{
	return (struct tuntap *)link; /* its first member */
}

/* An error that the next call may not meet again. */
static bool is_passing(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == EINTR;
}

static int tuntap_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct tuntap *t = tuntap_of(link);
	uint32_t at = 0;
	unsigned n = 0;

	while (n < max && at + FRAME_MAX <= ARENA_SIZE) {
		ssize_t got = read(link->fd, t->arena + at, FRAME_MAX);

		if (got < 0) {
			if (n || is_passing(errno))
				break;
			return -errno;
		}
		frames[n] = (struct cpl_frame){ .data = t->arena + at + VNET_HLEN };
		if (got >= VNET_HLEN)
			frames[n].len = (uint32_t)got - VNET_HLEN;
		if (got < VNET_HLEN || !vnet_parse(t->arena + at, &frames[n])) {
			link->bad_frames++;
			continue;
		}
		/* Aligned, so that the headers after it are too */
		at += ((uint32_t)got + 63) & ~63u;
		n++;
	}
	return (int)n;
}

static int tuntap_write(struct link *link, const struct cpl_out *frame)
{
	struct iovec iov[1 + CPL_OUT_IOV];
	uint8_t vnet[VNET_HLEN];

	vnet_build(vnet, frame);
	iov[0] = (struct iovec){ vnet, sizeof(vnet) };
	for (uint32_t i = 0; i < frame->iov_n; i++)
		iov[1 + i] =
			(struct iovec){ (void *)(uintptr_t)frame->iov[i].base, frame->iov[i].len };
	if (writev(link->fd, iov, (int)frame->iov_n + 1) >= 0)
		return 1;
	if (is_passing(errno))
		return 0;
	link->lost_frames++; /* the interface is down, or the frame is one that it does not take */
	return 1;
}

static uint8_t *tuntap_room(struct link *link, size_t *size)
{
	*size = SHORT_MAX;
	return tuntap_of(link)->out + VNET_HLEN;
}

/* It and its header stand together: one piece of memory costs the kernel less than some. */
static void tuntap_put(struct link *link, const struct cpl_out *frame)
{
	uint8_t *out = tuntap_of(link)->out;

	vnet_build(out, frame);
	if (write(link->fd, out, VNET_HLEN + frame->len) < 0)
		link->lost_frames++;
}

static void tuntap_close(struct link *link)
{
	close(link->fd);
	free(tuntap_of(link));
}

static const struct link_ops tuntap_ops = { .read = tuntap_read,
					    .write = tuntap_write,
					    .room = tuntap_room,
					    .put = tuntap_put,
					    .close = tuntap_close };

/* ---- A descriptor that is open -------------------------------------------------------------- */

static void fd_close(struct link *link)
{
	munmap(tuntap_of(link), sizeof(struct tuntap));
}

static const struct link_ops fd_ops = { .read = tuntap_read,
					.write = tuntap_write,
					.room = tuntap_room,
					.put = tuntap_put,
					.close = fd_close };
/* What it has no room for is to be sent again, which is no loss. */
static const struct link_ops pair_ops = { .read = tuntap_read,
					  .write = tuntap_write,
					  .close = fd_close };

int link_fd_open(struct link **link, int fd, const struct cpl_iface_config *iface)
{
	struct tuntap *t =
		mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stat st;

	if (t == MAP_FAILED)
		return -ENOMEM;
	t->link.ops = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) ? &fd_ops : &pair_ops;
	t->link.poll_out = true;
	t->link.fd = fd;
	t->link.iface = *iface;
	*link = &t->link;
	return 0;
}

/* ---- A new device --------------------------------------------------------------------------- */

static int explain(struct link_why *why, const char *what, const char *name)
{
	int err = errno;
	const char *hint = "";

	if (err == ENOENT)
		hint = ": load the kernel module tun, or make the device node";
	else if (err == EACCES)
		hint = ": run as root, or let this user open it";
	else if (err == EPERM)
		hint = ": it takes CAP_NET_ADMIN in this network namespace";
	else if (err == EBUSY)
		hint = ": another program has that interface";
	return link_fail(why, -err, "cannot %s %s: %s%s", what, name, strerror(err), hint);
}

/* Make the interface; its name comes back in IFR. */
static int attach(int fd, struct ifreq *ifr, bool tap, const struct link_tun_config *config,
		  struct link_why *why)
{
	const char *shown = config->name ? config->name : tap ? "a TAP device" : "a TUN device";
	unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int header = VNET_HLEN, little_endian = 1;

	if (config->name && strlen(config->name) >= IFNAMSIZ)
		return link_fail(why, -EINVAL, "interface name %s is longer than 15 characters",
				 config->name);
	ifr->ifr_flags = (short)((tap ? IFF_TAP : IFF_TUN) | IFF_NO_PI | IFF_VNET_HDR |
				 (config->multi_queue ? IFF_MULTI_QUEUE : 0));
	strcpy(ifr->ifr_name, config->name ? config->name : tap ? "cpltap%d" : "cpltun%d");
	if (ioctl(fd, TUNSETIFF, ifr))
		return explain(why, "make", shown);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) || ioctl(fd, TUNSETVNETLE, &little_endian) ||
	    ioctl(fd, TUNSETOFFLOAD, config->no_offload ? 0ul : (unsigned long)offloads))
		return explain(why, "set the offloads of", ifr->ifr_name);
	return 0;
}

/* A unicast address of nobody's, RFC 7042 2.1: locally administered. */
static int random_mac(uint8_t mac[6])
{
	if (getrandom(mac, 6, 0) != 6)
		return -errno;
	mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
	return 0;
}

static int tuntap_open(struct link **link, const struct link_tun_config *config, bool tap,
		       struct link_why *why)
{
	static const uint8_t no_mac[6];
	struct ifreq ifr = { 0 };
	struct cpl_iface_config *iface;
	struct tuntap *t;
	int err;

	t = malloc(sizeof(*t));
	if (!t)
		return link_fail(why, -ENOMEM, "no memory for a network device");
	memset(&t->link, 0, sizeof(t->link));
	t->link.ops = &tuntap_ops;
	t->link.poll_out = true;
	t->link.fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->link.fd < 0) {
		err = explain(why, "open", "/dev/net/tun");
		free(t);
		return err;
	}
	err = attach(t->link.fd, &ifr, tap, config, why);
	iface = &t->link.iface;
	iface->size = sizeof(*iface);
	iface->kind = tap ? CPL_IFACE_ETHER : CPL_IFACE_IP;
	iface->mtu = config->mtu ? config->mtu : MTU_DEFAULT;
	memcpy(iface->name, ifr.ifr_name, sizeof(iface->name));
	memcpy(iface->mac, config->mac, 6);
	if (!config->no_offload) {
		iface->flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6;
		iface->gso_max = GSO_MAX;
	}
	if (!err && tap && memcmp(iface->mac, no_mac, 6) == 0) {
		err = random_mac(iface->mac);
		if (err)
			link_fail(why, err, "no random octets: %s", strerror(-err));
	}
	if (err) {
		tuntap_close(&t->link);
		return err;
	}
	*link = &t->link;
	return 0;
}

int link_tun_open(struct link **link, const struct link_tun_config *config, struct link_why *why)
{
	return tuntap_open(link, config, false, why);
}

int link_tap_open(struct link **link, const struct link_tun_config *config, struct link_why *why)
{
	return tuntap_open(link, config, true, why);
}
