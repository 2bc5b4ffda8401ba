/* SPDX-License-Identifier: MIT */
/*
 * Captures in the pcapng format (draft-ietf-opsawg-pcapng), with times in nanoseconds and the
 * direction of each frame. A super-segment is written as it is: one frame. Its checksum may be
 * unfinished, as with any capture on a host that leaves checksums to its device.
 */
#ifndef LINK_PCAPNG_H
#define LINK_PCAPNG_H

#include <stdint.h>

#include <couplet/couplet.h>

#define PCAPNG_SNAPLEN 262144u /* what Wireshark takes at most */

struct pcapng;
struct link_why;

/*
 * A new file PATH (mode 0600: it holds what was said), or standard output if PATH is "-". EPOCH_NS:
 * the time since 1970 at which the caller's clock was 0. SNAPLEN: octets kept of each frame; 0:
 * PCAPNG_SNAPLEN, which is also the most. A negative errno.
 */
int pcapng_open(struct pcapng **capture, const char *path, uint64_t epoch_ns, uint32_t snaplen,
		struct link_why *why);
/* One more interface: its number. KIND is an enum cpl_iface_kind. */
int pcapng_add_iface(struct pcapng *capture, const char *name, uint8_t kind);
/*
 * A frame that came in, or went out, at NOW. What cannot be written is not: pcapng_flush() tells.
 */
void pcapng_in(struct pcapng *capture, uint32_t iface, const struct cpl_frame *frame, uint64_t now);
void pcapng_out(struct pcapng *capture, uint32_t iface, const struct cpl_out *frame, uint64_t now);
/* Write out what is buffered. 0, or the first error that there was since the file was opened. */
int pcapng_flush(struct pcapng *capture);
/* Flush and close. NULL is allowed. */
int pcapng_close(struct pcapng *capture);

#endif
