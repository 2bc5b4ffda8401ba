/* SPDX-License-Identifier: MIT */
/*
 * The other side of control.h: find the control sockets of stacks and ask them. Whatever a server
 * answers is checked; one that is slow is given up after CONTROL_PATIENCE_S. Records of another
 * CPL_INFO_VERSION are translated, field by field.
 */
#ifndef HOST_CONTROL_CLIENT_H
#define HOST_CONTROL_CLIENT_H

#include "host/control.h"

#define CONTROL_PATIENCE_S 2

/* A directory entry that looks like a control socket. */
struct control_entry {
	char path[256];
	uint32_t pid;
	char name[32];
};

/*
 * Every control socket in DIR, or with NULL in the usual places of this user (of all users for
 * root). VISIT returns 0 to go on; anything else ends the walk, which returns it. A socket whose
 * process is gone is removed and not visited. Returns 0, or -EACCES or another errno if DIR was
 * given and cannot be read.
 */
int control_each(const char *dir, int (*visit)(void *arg, const struct control_entry *entry),
		 void *arg);

struct control_client;

/*
 * Connect and greet. -ECONNREFUSED, -EACCES, -ETIMEDOUT, -EPROTO (no server of ours),
 * -EPROTONOSUPPORT (one that speaks another version), -EAGAIN (it has too many clients), with a
 * sentence.
 */
int control_connect(struct control_client **client, const char *path, struct link_why *why);
void control_disconnect(struct control_client *client);
/* What the server said of itself. */
const struct control_hello *control_server(const struct control_client *client);

/*
 * Each answers 0, the server's negative errno, -EPROTO, -ETIMEDOUT, -ECONNRESET, or what VISIT
 * returned to end it. After an error of the connection, or of VISIT, only control_disconnect() is
 * left.
 */
int control_list(struct control_client *client,
		 int (*visit)(void *arg, const struct cpl_info *info), void *arg);
int control_get(struct control_client *client, cpl_handle handle, struct cpl_info *info);
int control_counters(struct control_client *client,
		     int (*visit)(void *arg, const char *name, uint64_t value), void *arg);
/* From *CURSOR on, which moves. *LOST: records that were overwritten unread. */
int control_trace(struct control_client *client, uint64_t *cursor, uint64_t *lost,
		  int (*visit)(void *arg, const struct cpl_trace *record), void *arg);

#endif
