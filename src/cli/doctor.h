/* SPDX-License-Identifier: MIT */
/*
 * couplet doctor: why two programs can't talk. doctor.c reads the command line and decides what was
 * asked for, doctor_all.c looks at connections, doctor_stairs.c climbs the stairs to a destination.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <couplet/addr.h>

#include "source/select.h"
#include "source/stairs.h"
#include "view/finding.h"

#define DOCTOR_FILES	 2
#define DOCTOR_ADDRESSES STAIRS_ADDRESSES

struct doctor_options {
	uint64_t watch_ns; /* how long to watch; 0: as long as it takes, about a second */
	bool json, verbose;
	const char *peer; /* what --peer or --peer-cmd gave; NULL: nobody is asked */
	bool peer_is_command;
	const char *peer_couplet;	/* what couplet is called there; NULL: so */
	const char *from[DOCTOR_FILES]; /* snapshot files in place of this machine */
	unsigned files;
	/*
	 * Of a destination: -4, -6, --probe-data (STAIRS_GREET_HTTP), --timeout SECONDS,
	 * --environment PID. Its target is not used.
	 */
	struct stairs_options stairs;
};

/* What is to be reached. */
struct doctor_destination {
	char scheme[16]; /* "https" of a URL; "" */
	char host[256];	 /* a name or an address, without brackets */
	uint16_t port;
	/* The answer: the addresses that the host's name stands for. */
	struct cpl_addr addr[DOCTOR_ADDRESSES];
	unsigned addrs;
};

/*
 * Climbs the stairs to TO, as far as they hold: fills D's steps, adds what it finds, and TO's
 * addresses. Returns CLI_OK if it could look, whatever it found; else CLI_CANNOT or CLI_USAGE after
 * complaining. doctor_stairs.c
 */
int doctor_stairs(struct view_diagnosis *d, const struct doctor_options *options,
		  struct doctor_destination *to);

/*
 * Looks at the connections that WANTED (NULL: all) selects, and adds what it finds to D. Returns as
 * doctor_stairs(). doctor_all.c
 */
int doctor_connections(struct view_diagnosis *d, const struct doctor_options *options,
		       const struct select *wanted);

#endif
