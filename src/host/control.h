/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a stack: how other programs of the same user look at its control blocks.
 *
 * A unix stream socket of mode 0600, DIR/PID.NAME.sock. DIR is $XDG_RUNTIME_DIR/couplet, else
 * /run/couplet for root, else /run/user/UID/couplet, else /tmp/couplet-UID; it belongs to the user
 *and is of mode 0700. A socket whose process is gone is removed by whoever finds it.
 *
 * The protocol, version 1. Both sides are on one machine: numbers are in its byte order. Every
 * message, both ways, is a struct control_msg and len octets after it. A request has none; its
 *answer is any number of messages of the type that stands beside it, then one CONTROL_END, whose
 *status is 0 or a negative errno. One request at a time on a connection; the server closes it upon
 *what is no request, and when it is idle for long while others wait.
 *
 *	request		arg	answer
 *	CONTROL_HELLO	-	CONTROL_HELLO: one struct control_hello
 *	CONTROL_FIELDS	-	CONTROL_FIELDS: struct control_field, one for each field of struct
 *cpl_info CONTROL_LIST	-	CONTROL_INFO: struct cpl_info, as many as len holds, by
 *cpl_info_walk() CONTROL_GET	handle	CONTROL_INFO: one; status -EBADF if it is gone
 *	CONTROL_COUNTERS -	CONTROL_COUNTERS: struct control_counter
 *	CONTROL_TRACE	cursor	CONTROL_TRACE: struct cpl_trace, and how many were lost in arg;
 *				arg of CONTROL_END is the cursor to go on from
 *
 * What is in a struct cpl_info changes with CPL_INFO_VERSION. A reader of another version asks for
 * CONTROL_FIELDS and takes each field by its name, from its offset: control_client.h does.
 */
#ifndef HOST_CONTROL_H
#define HOST_CONTROL_H

#include <stdint.h>

#include <couplet/couplet.h>

#include "link/link.h"

#define CONTROL_MAGIC	0x4c504343u /* "CCPL" */
#define CONTROL_VERSION 1
#define CONTROL_SUFFIX	".sock"
/* No message is longer; a reader need not take more. */
#define CONTROL_LEN_MAX 65536u

enum control_type {
	CONTROL_HELLO = 1,
	CONTROL_FIELDS,
	CONTROL_LIST,
	CONTROL_GET,
	CONTROL_INFO,
	CONTROL_COUNTERS,
	CONTROL_TRACE,
	CONTROL_END,
};

struct control_msg {
	uint32_t magic;	  /* CONTROL_MAGIC */
	uint16_t version; /* CONTROL_VERSION of who sent it */
	uint16_t type;	  /* enum control_type */
	uint32_t len;	  /* octets that follow */
	int32_t status;	  /* of CONTROL_END: 0 or a negative errno */
	uint64_t arg;
};

struct control_hello {
	uint32_t pid;
	uint32_t uid;
	uint32_t info_size;    /* sizeof(struct cpl_info) */
	uint32_t info_version; /* CPL_INFO_VERSION */
	uint32_t info_words;   /* of read[] and of derived[], which follow size and version */
	uint32_t netns;	       /* inode of the network namespace */
	uint64_t now;	       /* on the stack's clock */
	char program[16];
	char name[32];	  /* of the stack */
	char couplet[16]; /* CPL_VERSION */
};

struct control_field {
	char name[32];
	uint32_t number; /* its bit in read[] and derived[] */
	uint32_t offset;
	uint32_t size;
	uint32_t reserved;
};

struct control_counter {
	char name[32];
	uint64_t value;
};

/* ---- The server, run by the loop of the stack ----------------------------------------------- */

struct control;

/*
 * Offer STACK's control socket in DIR (NULL: the usual one), as NAME: 1 to 31 letters, digits, '-'
 * and
 * '_'. -EINVAL, -EADDRINUSE (this process has one of that name), -EACCES and others, with a
 * sentence.
 */
int control_open(struct control **control, cpl_stack *stack, const char *dir, const char *name,
		 struct link_why *why);
/* Readable when control_serve() has something to do. */
int control_fd(const struct control *control);
/* Where it is. */
const char *control_path(const struct control *control);
/*
 * Serve those who ask: a bounded number of records a call, so that the stack goes on meanwhile.
 * Never blocks.
 */
void control_serve(struct control *control, uint64_t now);
/* Remove the socket. NULL is allowed. */
void control_close(struct control *control);

/* The directory where sockets of this user are; not made yet perhaps. */
void control_dir(char *dir, size_t size);

#endif
