/* SPDX-License-Identifier: MIT */
/*
 * Packet sockets: packet(7), and Documentation/networking/packet_mmap.rst of Linux.
 *
 * What comes in lies in a ring that the kernel fills. Its slots hold a frame of the usual size; a
 * super-segment that is longer comes through the socket's queue, and its slot says so: the ring
 * stays small enough for a cache, and the order is that of the slots. What goes out is written with
 * sendmmsg(2), each frame behind its virtio_net_hdr.
 */
#define _GNU_SOURCE
#include "link/link.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link/vnet.h"

#define ETHER_LEN 14u
#define FRAME_MAX (VNET_HLEN + ETHER_LEN + 65535 + 1)
#define GSO_MAX	  (65535u - ETHER_LEN - 40 - 60)
#define SNDBUF	  (4u << 20) /* what the device may hold of ours */
#define RCVBUF	  (8u << 20) /* super-segments that wait to be read */
#define SEND_MAX  64u

/* A ring of slots, of which each holds an Ethernet frame: large ones where the MTU is. */
#define SLOT_SIZE  2048u
#define SLOT_LARGE 16384u
#define SLOTS	   1024u
#define ARENA_SIZE (4 * 65536u) /* for what does not fit a slot, of one batch */

/* A ring of blocks. */
#define BLOCK_SIZE (256u * 1024)
#define BLOCKS	   16u
#define RETIRE_MS  1

struct packet {
	struct link link;
	uint8_t *ring;
	size_t ring_size;
	bool blocks;
	uint32_t unit; /* octets of a slot or a block */
	uint32_t units_n;
	uint32_t at;	 /* the next slot, or the block at hand */
	uint32_t out;	 /* slots handed out, from at - out on, or 1: that block */
	uint32_t left;	 /* frames of that block still to come ... */
	uint32_t offset; /* ... from here on */
	uint8_t arena[ARENA_SIZE];
};

static struct packet *packet_of(struct link *link)
{
	return (struct packet *)link; /* its first member */
}

/* ---- In ------------------------------------------------------------------------------------- */

/*
 * The frame of LEN octets at DATA with its virtio_net_hdr before it. A tag that was taken off makes
 * it one of a VLAN that we are not in.
 */
static bool understood(struct packet *p, const uint8_t *data, uint32_t len, uint32_t status,
		       struct cpl_frame *frame)
{
	*frame = (struct cpl_frame){ .data = data, .len = len };
	if (!(status & TP_STATUS_VLAN_VALID) && vnet_parse(data - VNET_HLEN, frame))
		return true;
	p->link.bad_frames++;
	return false;
}

/* The kernel had no slot or no memory for some: how many. */
static void count_missed(struct packet *p)
{
	struct tpacket_stats_v3 stats; /* of which that of version 2 is the beginning */
	socklen_t len = sizeof(stats);

	if (!getsockopt(p->link.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		p->link.missed_frames += stats.tp_drops;
}

/* The whole of a frame that did not fit its slot, into the arena from *USED on. */
static bool read_whole(struct packet *p, uint32_t status, uint32_t *used, struct cpl_frame *frame)
{
	ssize_t n = recv(p->link.fd, p->arena + *used, FRAME_MAX, MSG_DONTWAIT);
	uint8_t *data = p->arena + *used + VNET_HLEN;

	if (n <= VNET_HLEN) {
		p->link.bad_frames++;
		return false;
	}
	*used += ((uint32_t)n + 63) & ~63u;
	return understood(p, data, (uint32_t)n - VNET_HLEN, status, frame);
}

static uint32_t *slot_status(struct packet *p, uint32_t at)
{
	return &((struct tpacket2_hdr *)(void *)(p->ring + (size_t)at * p->unit))->tp_status;
}

/* One slot. False: no frame that is of use. */
static bool take_slot(struct packet *p, uint32_t status, uint32_t *used, struct cpl_frame *frame)
{
	const struct tpacket2_hdr *h =
		(const struct tpacket2_hdr *)(const void *)(p->ring + (size_t)p->at * p->unit);

	if (status & TP_STATUS_COPY)
		return read_whole(p, status, used, frame);
	if (h->tp_snaplen < h->tp_len || h->tp_mac < VNET_HLEN + sizeof(*h) ||
	    h->tp_mac + h->tp_snaplen > p->unit) {
		p->link.bad_frames++; /* longer than a slot, and no memory for it elsewhere */
		return false;
	}
	return understood(p, (const uint8_t *)h + h->tp_mac, h->tp_snaplen, status, frame);
}

static int read_slots(struct packet *p, struct cpl_frame *frames, unsigned max)
{
	uint32_t used = 0;
	unsigned n = 0;

	for (; p->out; p->out--)
		__atomic_store_n(slot_status(p, (p->at - p->out) % p->units_n), TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
	while (n < max && p->out < p->units_n && used + FRAME_MAX <= ARENA_SIZE) {
		uint32_t status = __atomic_load_n(slot_status(p, p->at), __ATOMIC_ACQUIRE);

		if (!(status & TP_STATUS_USER))
			break;
		if (status & TP_STATUS_LOSING)
			count_missed(p);
		n += take_slot(p, status, &used, &frames[n]);
		p->at = (p->at + 1) % p->units_n;
		p->out++;
	}
	return (int)n;
}

static struct tpacket_block_desc *block_at(struct packet *p)
{
	return (struct tpacket_block_desc *)(void *)(p->ring + (size_t)p->at * p->unit);
}

/* The next frame of the block at hand. False: it is of no use. */
static bool take_from_block(struct packet *p, struct cpl_frame *frame)
{
	uint8_t *start = p->ring + (size_t)p->at * p->unit;
	const struct tpacket3_hdr *h =
		(const struct tpacket3_hdr *)(const void *)(start + p->offset);
	bool fits = p->offset + sizeof(*h) <= p->unit && h->tp_mac >= VNET_HLEN + sizeof(*h) &&
		    p->offset + h->tp_mac + h->tp_snaplen <= p->unit;

	p->left--;
	if (!fits || h->tp_snaplen < h->tp_len) {
		p->left = fits ? p->left : 0;
		p->offset += fits ? h->tp_next_offset : 0;
		p->link.bad_frames++;
		return false;
	}
	p->offset += h->tp_next_offset;
	return understood(p, (const uint8_t *)h + h->tp_mac, h->tp_snaplen, h->tp_status, frame);
}

static int read_blocks(struct packet *p, struct cpl_frame *frames, unsigned max)
{
	unsigned n = 0;

	while (!n) {
		if (!p->left && p->out) { /* all of it was handed out, and read */
			__atomic_store_n(&block_at(p)->hdr.bh1.block_status, TP_STATUS_KERNEL,
					 __ATOMIC_RELEASE);
			p->at = (p->at + 1) % p->units_n;
			p->out = 0;
		}
		if (!p->out) {
			struct tpacket_hdr_v1 *h = &block_at(p)->hdr.bh1;

			if (!(__atomic_load_n(&h->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
				break;
			if (h->block_status & TP_STATUS_LOSING)
				count_missed(p);
			p->left = h->num_pkts;
			p->offset = h->offset_to_first_pkt;
			p->out = 1;
		}
		while (n < max && p->left)
			n += take_from_block(p, &frames[n]);
	}
	return (int)n;
}

/* The device's own word, when there is nothing else: that it is gone, for one. */
static int trouble(struct packet *p)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(p->link.fd, SOL_SOCKET, SO_ERROR, &err, &len) || !err || err == ENETDOWN)
		return 0; /* what is down comes up again */
	return -err;
}

static int packet_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct packet *p = packet_of(link);
	int n = p->blocks ? read_blocks(p, frames, max) : read_slots(p, frames, max);

	return n || p->out ? n : trouble(p);
}

/* ---- Out ------------------------------------------------------------------------------------ */

static unsigned send_batch(struct packet *p, const struct cpl_out *frames, unsigned n)
{
	struct iovec iov[SEND_MAX][1 + CPL_OUT_IOV];
	uint8_t vnet[SEND_MAX][VNET_HLEN];
	struct mmsghdr messages[SEND_MAX];
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct cpl_out *f = &frames[i];

		vnet_build(vnet[i], f);
		iov[i][0] = (struct iovec){ vnet[i], VNET_HLEN };
		for (uint32_t k = 0; k < f->iov_n; k++)
			iov[i][1 + k] =
				(struct iovec){ (void *)(uintptr_t)f->iov[k].base, f->iov[k].len };
		messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = iov[i],
							     .msg_iovlen = f->iov_n + 1 } };
	}
	while (done < n) {
		int sent = sendmmsg(p->link.fd, messages + done, n - done, MSG_DONTWAIT);

		if (sent > 0) {
			done += (unsigned)sent;
			continue;
		}
		if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR)
			break;
		p->link.lost_frames++; /* the interface is down, or it does not take this one */
		done++;
	}
	return done;
}

static unsigned packet_write_some(struct link *link, const struct cpl_out *frames, unsigned n)
{
	unsigned done = 0;

	while (done < n) {
		unsigned some = n - done < SEND_MAX ? n - done : SEND_MAX;
		unsigned sent = send_batch(packet_of(link), frames + done, some);

		done += sent;
		if (sent < some)
			break;
	}
	return done;
}

static void packet_close(struct link *link)
{
	struct packet *p = packet_of(link);

	if (p->ring)
		munmap(p->ring, p->ring_size);
	if (link->fd >= 0)
		close(link->fd);
	free(p);
}

static const struct link_ops packet_ops = { .read = packet_read,
					    .write_some = packet_write_some,
					    .close = packet_close };

/* ---- Opening -------------------------------------------------------------------------------- */

static int explain(struct link_why *why, const char *what, const char *name)
{
	int err = errno;

	return link_fail(why, -err, "cannot %s %s: %s%s", what, name, strerror(err),
			 err == EPERM ? " (it takes CAP_NET_RAW in this network namespace)" : "");
}

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value));
}

/* Its number, address and MTU, to the link. */
static int look_at(struct link *link, const struct link_packet_config *config, int *index,
		   struct link_why *why)
{
	static const uint8_t no_mac[6];
	struct cpl_iface_config *iface = &link->iface;
	struct ifreq ifr = { 0 };

	if (strlen(config->name) >= IFNAMSIZ)
		return link_fail(why, -EINVAL, "interface name %s is longer than 15 characters",
				 config->name);
	strcpy(ifr.ifr_name, config->name);
	if (ioctl(link->fd, SIOCGIFINDEX, &ifr))
		return explain(why, "find interface", config->name);
	*index = ifr.ifr_ifindex;
	if (ioctl(link->fd, SIOCGIFHWADDR, &ifr))
		return explain(why, "ask for the address of", config->name);
	if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return link_fail(why, -EINVAL, "%s is no Ethernet interface", config->name);
	iface->size = sizeof(*iface);
	iface->kind = CPL_IFACE_ETHER;
	strcpy(iface->name, config->name);
	memcpy(iface->mac,
	       memcmp(config->mac, no_mac, 6) ? config->mac : (uint8_t *)ifr.ifr_hwaddr.sa_data, 6);
	if (ioctl(link->fd, SIOCGIFMTU, &ifr))
		return explain(why, "ask for the MTU of", config->name);
	iface->mtu = (uint32_t)ifr.ifr_mtu;
	if (config->mtu && config->mtu < iface->mtu)
		iface->mtu = config->mtu;
	if (!config->no_offload) {
		iface->flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6;
		iface->gso_max = GSO_MAX;
	}
	return 0;
}

static int make_ring(struct packet *p)
{
	struct tpacket_req3 q = { 0 };
	int version = p->blocks ? TPACKET_V3 : TPACKET_V2;

	if (p->blocks) {
		p->unit = BLOCK_SIZE;
		p->units_n = BLOCKS;
		q.tp_retire_blk_tov = RETIRE_MS;
	} else {
		p->unit = p->link.iface.mtu > 1900 ? SLOT_LARGE : SLOT_SIZE;
		p->units_n = SLOTS;
	}
	p->ring_size = (size_t)p->unit * p->units_n;
	q.tp_block_size = p->blocks ? p->unit : 65536;
	q.tp_block_nr = (unsigned)(p->ring_size / q.tp_block_size);
	q.tp_frame_size = p->blocks ? SLOT_SIZE : p->unit;
	q.tp_frame_nr = (unsigned)(p->ring_size / q.tp_frame_size);
	if (set(p->link.fd, PACKET_VERSION, version) || set(p->link.fd, PACKET_COPY_THRESH, 1) ||
	    setsockopt(p->link.fd, SOL_PACKET, PACKET_RX_RING, &q,
		       p->blocks ? sizeof(q) : sizeof(struct tpacket_req)))
		return -1;
	p->ring = mmap(NULL, p->ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->link.fd, 0);
	if (p->ring != MAP_FAILED)
		return 0;
	p->ring = NULL;
	return -1;
}

/* Multicast for Neighbour Discovery, and frames to an address that is not the interface's. */
static int join(int fd, int index, const uint8_t mac[6])
{
	struct packet_mreq all = { .mr_ifindex = index, .mr_type = PACKET_MR_ALLMULTI };
	struct packet_mreq one = { .mr_ifindex = index,
				   .mr_type = PACKET_MR_UNICAST,
				   .mr_alen = 6 };

	memcpy(one.mr_address, mac, 6);
	return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) ||
	       setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &one, sizeof(one));
}

static void set_buffers(int fd)
{
	int out = SNDBUF, in = RCVBUF;

	/* Without the right to do so: as much as net.core.[rw]mem_max allows. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &out, sizeof(out)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &out, sizeof(out));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &in, sizeof(in)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &in, sizeof(in));
}

static int set_up(struct packet *p, const struct link_packet_config *config, struct link_why *why)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = p->link.fd, index = 0, err = look_at(&p->link, config, &index, why);

	if (err)
		return err;
	at.sll_ifindex = index;
	set_buffers(fd);
	if (set(fd, PACKET_VNET_HDR, 1))
		return explain(why, "pass offloads through", config->name);
	if (make_ring(p))
		return explain(why, "make a ring of packets for", config->name);
	/* Before Linux 4.20 our own frames come back: their source is ours, the stack drops them.
	 */
	set(fd, PACKET_IGNORE_OUTGOING, 1);
	if (join(fd, index, p->link.iface.mac))
		return explain(why, "receive our frames on", config->name);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return explain(why, "listen to", config->name);
	if (config->fanout && set(fd, PACKET_FANOUT, PACKET_FANOUT_HASH << 16 | config->fanout))
		return explain(why, "share the packets of", config->name);
	return 0;
}

int link_packet_open(struct link **link, const struct link_packet_config *config,
		     struct link_why *why)
{
	struct packet *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return link_fail(why, -ENOMEM, "no memory for a packet socket");
	p->link.ops = &packet_ops;
	p->link.poll_out = true;
	p->blocks = config->blocks;
	/* Protocol 0: nothing comes before all is set. */
	p->link.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = p->link.fd < 0 ? explain(why, "open a packet socket for", config->name)
			     : set_up(p, config, why);
	if (err) {
		packet_close(&p->link);
		return err;
	}
	*link = &p->link;
	return 0;
}
