/* SPDX-License-Identifier: MIT */
/* What all links share: the calls of link.h, the capture beside them, and error sentences. */
#include "link/link.h"

#include <stdarg.h>
#include <stdio.h>

#include "link/pcapng.h"

int link_fail(struct link_why *why, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return error;
}

int link_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	int n = link->ops->read(link, frames, max);

	if (link->capture)
		for (int i = 0; i < n; i++)
			pcapng_in(link->capture, link->capture_iface, &frames[i], link->now);
	return n;
}

int link_write(struct link *link, const struct cpl_out *frame)
{
	int sent = link->ops->write ? link->ops->write(link, frame)
				    : (int)link->ops->write_some(link, frame, 1);

	if (link->capture && sent > 0)
		pcapng_out(link->capture, link->capture_iface, frame, link->now);
	return sent;
}

unsigned link_write_some(struct link *link, const struct cpl_out *frames, unsigned n)
{
	unsigned sent = 0;

	if (!link->ops->write_some) {
		while (sent < n && link_write(link, &frames[sent]) > 0)
			sent++;
		return sent;
	}
	sent = link->ops->write_some(link, frames, n);
	if (link->capture)
		for (unsigned i = 0; i < sent; i++)
			pcapng_out(link->capture, link->capture_iface, &frames[i], link->now);
	return sent;
}

uint8_t *link_room(struct link *link, size_t *size)
{
	return link->ops->room(link, size);
}

void link_put(struct link *link, const struct cpl_out *frame)
{
	link->ops->put(link, frame);
	if (link->capture)
		pcapng_out(link->capture, link->capture_iface, frame, link->now);
}

bool link_ready(struct link *link, bool sleep)
{
	return link->ops->ready && link->ops->ready(link, sleep);
}

void link_close(struct link *link)
{
	if (link)
		link->ops->close(link);
}

int link_capture(struct link *link, struct pcapng *capture)
{
	int id;

	link->capture = NULL;
	if (!capture)
		return 0;
	id = pcapng_add_iface(capture, link->iface.name, link->iface.kind);
	if (id < 0)
		return id;
	link->capture = capture;
	link->capture_iface = (uint32_t)id;
	return 0;
}
