/* SPDX-License-Identifier: MIT */
/*
 * The stairs to a destination: why this machine cannot, or can, talk to HOST PORT.
 *
 * Each step is looked at by itself, from what the kernel tells (rtnetlink, sock_diag, TCP_INFO, the
 * socket's error queue), from one connection attempt to each address, and, with rights, from the
 * packets themselves and from the other network namespaces of this machine:
 *
 *	NAME        what the name means, and who says so: hosts file or DNS
 *	ADDRESS     what kind of address it is, and whether this machine has one of that family
 *	ROUTE       which interface, next hop and source address the kernel takes
 *	NEIGHBOUR   whether the next hop answers on the link
 *	SYN         whether the call is answered, and if not, by whom it is refused or dropped
 *	HANDSHAKE   whether both ends hold an established connection
 *	DATA        whether bytes get through, and in the protocol that the caller expects
 *	READS       whether the program at the other end takes them
 *
 * It is harmless: for each address one connection that is closed at once, at most two ARP requests
 * or neighbour solicitations, and data only where the protocol is known to be HTTP or TLS (by URL
 * or by port), where the caller asks for it (STAIRS_GREET_...), or not at all.
 */
#ifndef SOURCE_STAIRS_H
#define SOURCE_STAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "view/finding.h"

#define STAIRS_ADDRESSES   8 /* of one name that are called */
#define STAIRS_ERROR	   200
/* The kernel sends a SYN at 0 and 1 s, and most kernels again at 2 or 3 s. */
#define STAIRS_PATIENCE_MS 3000

/* What is said once the connection stands. */
enum stairs_greeting {
	STAIRS_GREET_BY_PORT, /* HTTP or TLS where URL or port say so; else wait for a banner */
	STAIRS_GREET_NOBODY,  /* send nothing at all */
	STAIRS_GREET_HTTP,    /* "HEAD / HTTP/1.1" */
	STAIRS_GREET_TLS,     /* a ClientHello */
};

struct peer_options; /* peer.h */

/* Where to. */
struct stairs_target {
	char host[256]; /* name or address, with "%eth0" where it was given; no brackets */
	uint16_t port;
	char scheme[16]; /* of a URL, in small letters; "" without one */
};

struct stairs_options {
	struct stairs_target target;
	enum stairs_greeting greeting;
	bool no_ip4, no_ip6;
	unsigned patience_ms;		 /* for the answer to the SYN; 0: STAIRS_PATIENCE_MS */
	const struct peer_options *peer; /* how to ask the far host; NULL: not at all */
	uint32_t pid;			 /* whose environment is searched for proxies; 0: our own */
};

/*
 * HOST PORT, HOST:PORT, [V6]:PORT or a URL. SECOND is the port, or NULL. Ports are numbers or names
 * of services(5). Returns 0, or -EINVAL and in ERROR one sentence.
 */
int stairs_target_parse(struct stairs_target *target, const char *first, const char *second,
			char error[STAIRS_ERROR]);

/*
 * Climbs the stairs and fills D, which the caller has initialised: what, stairs, step, findings and
 * what was not seen; the caller settles it. ADDR and *ADDRS (NULL: not wanted) tell what the name
 * stands for. Blocks: some seconds where nothing answers. Returns 0, or -ENOMEM.
 */
int stairs_climb(struct view_diagnosis *d, const struct stairs_options *options,
		 struct cpl_addr addr[STAIRS_ADDRESSES], unsigned *addrs);

#endif
