/* SPDX-License-Identifier: MIT */
/*
 * Devices: what carries frames between a stack and the outside. One small interface for all of
 * them: open, a descriptor to poll, read a batch, write a frame, close. A link knows nothing of the
 * stack; src/host/loop.c moves the frames.
 *
 * The calls do not block. They return negative errnos; those that open something say in a sentence
 * what was wrong and what to do.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <couplet/couplet.h>

/* One sentence for the user, without a final stop; set whenever a call that takes it fails. */
struct link_why {
	char text[320];
};

/* Set WHY and return ERROR (a negative errno). */
__attribute__((format(printf, 3, 4))) int link_fail(struct link_why *why, int error,
						    const char *format, ...);

struct link;
struct pcapng;

struct link_ops {
	int (*read)(struct link *link, struct cpl_frame *frames, unsigned max);
	int (*write)(struct link *link, const struct cpl_out *frame);
	void (*close)(struct link *link);
	/* NULL: write() for each */
	unsigned (*write_some)(struct link *link, const struct cpl_out *frames, unsigned n);
	bool (*ready)(struct link *link, bool sleep); /* NULL: fd says it all */
	/* NULL: no memory for what is to be written; see link_room() and link_put() */
	uint8_t *(*room)(struct link *link, size_t *size);
	void (*put)(struct link *link, const struct cpl_out *frame);
};

/* What all links have; each kind embeds it. */
struct link {
	const struct link_ops *ops;
	int fd; /* readable: link_read() has something, or has to be called; -1: none */
	/*
	 * After a frame was refused: fd turns writable when there is room again. If false, it turns
	 * readable then, and any link_read() may take that away: try again after each.
	 */
	bool poll_out;
	struct cpl_iface_config iface; /* for cpl_iface_add() */
	uint64_t bad_frames;	       /* read, and not understood */
	uint64_t lost_frames;	       /* written, and refused for good: as if lost on the way */
	uint64_t missed_frames;	       /* came, and the device had no room to keep them for us */
	struct pcapng *capture;
	uint32_t capture_iface;
	uint64_t now; /* for the capture's time stamps: the caller's, before read and write */
};

/*
 * Up to MAX frames that have come in; their memory is the link's and valid until the next
 * link_read(). Returns how many; 0: none now. -EIO or another errno: the device is gone.
 */
int link_read(struct link *link, struct cpl_frame *frames, unsigned max);
/*
 * One frame. Returns 1; 0: no room now (what cpl_output_done() calls not sent); a frame that the
 * device will never take counts as sent, and in lost_frames.
 */
int link_write(struct link *link, const struct cpl_out *frame);
/* The first of N frames for which there is room, in one go where the device can: how many. */
unsigned link_write_some(struct link *link, const struct cpl_out *frames, unsigned n);
/*
 * Of a device that has them (its .room is there): memory for one short frame, of *SIZE octets, and
 * what was put there is sent. What the device has no room for is lost, and in lost_frames.
 */
uint8_t *link_room(struct link *link, size_t *size);
void link_put(struct link *link, const struct cpl_out *frame);
/*
 * Whether link_read() has something, as far as that can be told without a system call. SLEEP: to be
 * called before waiting for fd: if there is nothing, fd says so when something comes.
 */
bool link_ready(struct link *link, bool sleep);
/* NULL is allowed. The capture stays open. */
void link_close(struct link *link);

/*
 * Write all that passes LINK to CAPTURE from now on; NULL: no more. CAPTURE must outlive that.
 * -ENOMEM or what pcapng_add_iface() says.
 */
int link_capture(struct link *link, struct pcapng *capture);

/* ---- TUN and TAP ---------------------------------------------------------------------------- */

struct link_tun_config {
	const char
		*name;	/* of the kernel's end, under 16 characters; NULL: the kernel chooses one */
	uint32_t mtu;	/* 0: 1500. Of our end: kernel_if_set_mtu() sets the kernel's */
	uint8_t mac[6]; /* TAP, of our end; all zero: one at random */
	bool no_offload; /* no super-segments, all checksums computed here */
	/* One of several queues: each open with the same name adds one, up to 256. Linux puts what
	 * comes into the queue from which the flow was last written to, else by a hash of its own
	 */
	bool multi_queue;
};

/*
 * A new interface of the kernel with its other end in our hands: IP packets (TUN), or Ethernet
 * frames (TAP). With virtio_net_hdr: super-segments of up to 64 KiB and unfinished checksums, both
 * ways. Its name is in (*link)->iface.name. Needs CAP_NET_ADMIN in the network namespace. -EPERM,
 * -EACCES, -ENOENT (no /dev/net/tun), -EBUSY, -EINVAL.
 */
int link_tun_open(struct link **link, const struct link_tun_config *config, struct link_why *why);
int link_tap_open(struct link **link, const struct link_tun_config *config, struct link_why *why);

/* ---- Packet sockets ------------------------------------------------------------------------- */

struct link_packet_config {
	const char *name; /* of an Ethernet interface that exists and is up */
	uint32_t mtu;	  /* 0: the interface's */
	uint8_t mac[6];	  /* ours; all zero: the interface's */
	bool no_offload;  /* send no super-segments, and every checksum computed here */
	/*
	 * Wait until the kernel has a block full or a millisecond has passed (TPACKET_V3): fewest
	 * wake-ups for much traffic, and a millisecond on each round trip. Else each frame is there
	 * when it comes (TPACKET_V2).
	 */
	bool blocks;
	/* Not 0: one of several links with this number, which share the interface's flows by hash.
	 */
	uint16_t fanout;
};

/*
 * The frames of an interface of the kernel's (packet(7)): those that come in are read from a ring
 * shared with the kernel. With virtio_net_hdr: super-segments and unfinished checksums both ways,
 * whatever the interface itself can do. The kernel goes on to see each frame as well: our addresses
 * must not be its own, or both answer. Needs CAP_NET_RAW. -EPERM, -ENODEV, -EINVAL (not Ethernet).
 */
int link_packet_open(struct link **link, const struct link_packet_config *config,
		     struct link_why *why);

/* ---- AF_XDP --------------------------------------------------------------------------------- */

struct link_xdp_config {
	const char
		*name; /* of an Ethernet interface that exists and is up, with an MTU up to 3,826 */
	unsigned queue; /* whose frames come to us; those of other queues stay the kernel's */
	uint32_t mtu;	/* 0: the interface's */
	bool copy;	/* do not ask for zero-copy, which the device may not have */
	bool generic;	/* the kernel's own XDP, not the device's */
};

/*
 * The frames of one queue of an interface, past the kernel's stack, which sees them no more,
 * through rings in shared memory. No offloads: all that is sent has the MTU's size and its
 * checksum. Zero-copy where the device has it (untested: veth, virtio and the like do not), else
 * the kernel copies. Needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and libxdp. -EPERM, -ENODEV, -EINVAL
 * (no such queue), -EBUSY, -ENOSYS (no libxdp).
 */
int link_xdp_open(struct link **link, const struct link_xdp_config *config, struct link_why *why);
/* Whether frames come and go without being copied. */
bool link_xdp_zero_copy(const struct link *link);

/* ---- A wire between two processes ----------------------------------------------------------- */

struct link_shm_config {
	const char *path; /* where the two meet: of a UNIX socket, under 108 octets */
	uint32_t mtu;	  /* 0: 65,535 */
	bool no_offload;  /* send no super-segments, and every checksum computed here */
};

/*
 * IP packets through memory that two processes share. Who comes first to PATH waits there, with
 * the rights of this user alone, and makes the memory; the other finds it. Until then nothing is
 * sent; when the other side has ended, or has written what can't be right, frames are lost as on a
 * wire that is not plugged in, until somebody comes again. -EACCES, -EINVAL, -ENOMEM.
 */
int link_shm_open(struct link **link, const struct link_shm_config *config, struct link_why *why);
/*
 * The same frames over FD, which another process opened, or which is no device at all but one end
 * of a pair of sockets that keep messages apart: IFACE says what is behind it. FD stays the
 * caller's. No memory of malloc()'s. -ENOMEM.
 */
int link_fd_open(struct link **link, int fd, const struct cpl_iface_config *iface);

/* ---- A wire in memory ----------------------------------------------------------------------- */

struct link_pipe_config {
	uint8_t kind;  /* enum cpl_iface_kind */
	uint32_t mtu;  /* 0: 1500 */
	uint32_t room; /* bytes that each direction holds; 0: 1 MiB; at least 128 KiB */
	bool offload;  /* both ends pass super-segments and unfinished checksums on as they are */
	bool wake;     /* make descriptors to poll: one thread, or one at each end */
};

/*
 * Two ends: what is written to one is read from the other, in order, without loss. A full direction
 * refuses. One thread may use one end while another uses the other.
 */
int link_pipe_open(struct link *ends[2], const struct link_pipe_config *config,
		   struct link_why *why);

/* ---- Several queues of one device ----------------------------------------------------------- */

/*
 * N stacks with the same addresses, each in a thread of its own, on the N queues of one device:
 * link I reads queue I, hands on in memory what cpl_steer() under KEY says is another's, and gives
 * out what is its own, whichever queue it came by. It does not matter then by what rule the device
 * deals frames out; the better it knows KEY, the less there is to hand on. What does not fit into
 * the memory between two of them (256 KiB) is lost, and counted in lost_frames.
 *
 * QUEUES[0..N) are taken over, also if this fails: 1 to 64, of the same kind, with descriptors.
 * LINKS[I] is closed by itself, in any order, when no thread reads from it any longer.
 */
int link_steer_open(struct link **links, struct link **queues, unsigned n, const uint8_t key[40],
		    struct link_why *why);
/* How many frames LINK has handed on to others. */
uint64_t link_steer_handed_on(const struct link *link);

/* ---- By name -------------------------------------------------------------------------------- */

enum link_kind {
	LINK_TUN,
	LINK_TAP,
	LINK_PACKET,
	LINK_PACKET3, /* with blocks, see link_packet_config */
	LINK_XDP,
	LINK_SHM
};

/* Which link, and how; all 0: a TUN device. */
struct link_spec {
	enum link_kind kind;
	char name[108]; /* of the interface; of shm, the path; "": the kernel chooses (tun, tap) */
	unsigned queue; /* xdp: the first */
	uint32_t mtu;	/* 0: as the kind has it */
	bool no_offload;
};

/*
 * "tun[=NAME]", "tap[=NAME]", "packet=INTERFACE", "packet3=INTERFACE", "xdp=INTERFACE[:QUEUE]",
 * "shm=PATH": kind, name and queue of SPEC. -EINVAL.
 */
int link_parse(struct link_spec *spec, const char *text, struct link_why *why);
/* Whether it makes an interface of the kernel, which is then to be brought up and addressed. */
bool link_has_kernel_end(const struct link_spec *spec);
/* The interface of packet, packet3 and xdp has to be up. Errors as those of its kind. */
int link_open(struct link **link, const struct link_spec *spec, struct link_why *why);
/*
 * N queues of it, for link_steer_open(): several of one TUN or TAP, a fanout of packet sockets,
 * AF_XDP on so many queues of the interface; shm has one. All or none.
 */
int link_open_queues(struct link **queues, unsigned n, const struct link_spec *spec,
		     struct link_why *why);

#endif
