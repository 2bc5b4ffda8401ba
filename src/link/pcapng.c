/* SPDX-License-Identifier: MIT */
/*
 * The pcapng writer: one section, a block for each interface and each frame, in the byte order of
 * this machine. Numbers of blocks and options are those of draft-ietf-opsawg-pcapng, sections 3.5
 * and 4.
 */
#include "link/pcapng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link/link.h"

#define BLOCK_SHB	 0x0a0d0d0au
#define BLOCK_IDB	 1u
#define BLOCK_EPB	 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

#define LINKTYPE_ETHERNET 1
#define LINKTYPE_RAW	  101

#define OPT_END	     0
#define SHB_USERAPPL 4
#define IF_NAME	     2
#define IF_TSRESOL   9
#define EPB_FLAGS    2
#define EPB_INBOUND  1u
#define EPB_OUTBOUND 2u

#define ROOM (1u << 20) /* more than any block */

struct pcapng {
	int fd;
	int error; /* the first there was: nothing is written after it */
	uint32_t ifaces;
	uint32_t snaplen;
	uint64_t epoch_ns;
	uint32_t fill;
	uint32_t block; /* where the block being written starts */
	uint8_t buf[ROOM];
};

static void write_out(struct pcapng *w)
{
	uint32_t done = 0;

	while (done < w->fill && !w->error) {
		ssize_t n = write(w->fd, w->buf + done, w->fill - done);

		if (n > 0)
			done += (uint32_t)n;
		else if (n < 0 && errno != EINTR)
			w->error = -errno;
	}
	w->fill = 0;
}

static void put(struct pcapng *w, const void *data, uint32_t n)
{
	memcpy(w->buf + w->fill, data, n);
	w->fill += n;
}

static void put32(struct pcapng *w, uint32_t v)
{
	put(w, &v, 4);
}

static void put16(struct pcapng *w, uint16_t v)
{
	put(w, &v, 2);
}

static void pad(struct pcapng *w)
{
	while (w->fill % 4)
		w->buf[w->fill++] = 0;
}

/* ROOM_FOR: the most that the block's body may take. */
static void block_begin(struct pcapng *w, uint32_t type, uint32_t room_for)
{
	if (w->fill + room_for + 64 > ROOM)
		write_out(w);
	w->block = w->fill;
	put32(w, type);
	put32(w, 0); /* its length: block_end() */
}

static void block_end(struct pcapng *w)
{
	uint32_t len = w->fill + 4 - w->block;

	put32(w, len);
	memcpy(w->buf + w->block + 4, &len, 4);
}

static void option(struct pcapng *w, uint16_t code, const void *value, uint16_t len)
{
	put16(w, code);
	put16(w, len);
	if (len)
		put(w, value, len);
	pad(w);
}

static void put_section(struct pcapng *w)
{
	static const char application[] = "Couplet " CPL_VERSION;
	uint64_t unknown = UINT64_MAX;

	block_begin(w, BLOCK_SHB, 128);
	put32(w, BYTE_ORDER_MAGIC);
	put16(w, 1);
	put16(w, 0);
	put(w, &unknown, 8);
	option(w, SHB_USERAPPL, application, sizeof(application) - 1);
	option(w, OPT_END, NULL, 0);
	block_end(w);
}

int pcapng_open(struct pcapng **capture, const char *path, uint64_t epoch_ns, uint32_t snaplen,
		struct link_why *why)
{
	struct pcapng *w = malloc(sizeof(*w));

	if (!w)
		return link_fail(why, -ENOMEM, "no memory for a capture");
	w->error = 0;
	w->ifaces = 0;
	w->fill = 0;
	w->epoch_ns = epoch_ns;
	w->snaplen = snaplen && snaplen < PCAPNG_SNAPLEN ? snaplen : PCAPNG_SNAPLEN;
	if (strcmp(path, "-") == 0)
		w->fd = dup(STDOUT_FILENO);
	else
		w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		int err = -errno;

		free(w);
		return link_fail(why, err, "cannot write the capture %s: %s", path, strerror(-err));
	}
	put_section(w);
	*capture = w;
	return 0;
}

int pcapng_add_iface(struct pcapng *w, const char *name, uint8_t kind)
{
	uint8_t nanoseconds = 9; /* 10^-9 s */

	block_begin(w, BLOCK_IDB, 128);
	put16(w, kind == CPL_IFACE_ETHER ? LINKTYPE_ETHERNET : LINKTYPE_RAW);
	put16(w, 0);
	put32(w, w->snaplen);
	if (*name)
		option(w, IF_NAME, name, (uint16_t)strnlen(name, 64));
	option(w, IF_TSRESOL, &nanoseconds, 1);
	option(w, OPT_END, NULL, 0);
	block_end(w);
	return (int)w->ifaces++;
}

/* Up to the data, which the caller puts: CAPTURED octets of LEN. */
static void packet_begin(struct pcapng *w, uint32_t iface, uint32_t captured, uint32_t len,
			 uint64_t now)
{
	uint64_t time = w->epoch_ns + now;

	block_begin(w, BLOCK_EPB, captured);
	put32(w, iface);
	put32(w, (uint32_t)(time >> 32));
	put32(w, (uint32_t)time);
	put32(w, captured);
	put32(w, len);
}

static void packet_end(struct pcapng *w, uint32_t direction)
{
	pad(w);
	option(w, EPB_FLAGS, &direction, 4);
	option(w, OPT_END, NULL, 0);
	block_end(w);
}

void pcapng_in(struct pcapng *w, uint32_t iface, const struct cpl_frame *frame, uint64_t now)
{
	uint32_t captured = frame->len < w->snaplen ? frame->len : w->snaplen;

	if (w->error)
		return;
	packet_begin(w, iface, captured, frame->len, now);
	put(w, frame->data, captured);
	packet_end(w, EPB_INBOUND);
}

void pcapng_out(struct pcapng *w, uint32_t iface, const struct cpl_out *frame, uint64_t now)
{
	uint32_t left = frame->len < w->snaplen ? frame->len : w->snaplen;

	if (w->error)
		return;
	packet_begin(w, iface, left, frame->len, now);
	for (uint32_t i = 0; i < frame->iov_n && left; i++) {
		uint32_t n = frame->iov[i].len < left ? (uint32_t)frame->iov[i].len : left;

		put(w, frame->iov[i].base, n);
		left -= n;
	}
	packet_end(w, EPB_OUTBOUND);
}

int pcapng_flush(struct pcapng *w)
{
	write_out(w);
	return w->error;
}

int pcapng_close(struct pcapng *w)
{
	int err;

	if (!w)
		return 0;
	err = pcapng_flush(w);
	if (close(w->fd) && !err)
		err = -errno;
	free(w);
	return err;
}
