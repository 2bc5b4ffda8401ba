/* SPDX-License-Identifier: MIT */
/* System calls that pass the shim by, refused by name: seccomp(2), seccomp_unotify(2). */
#ifndef CLI_RUN_REFUSE_H
#define CLI_RUN_REFUSE_H

/*
 * For the calling thread and all that it becomes and starts: a socket of IPv4 or IPv6 made by the
 * kernel, and io_uring_setup(2), are asked about. Returns a descriptor to hear of them by, or a
 * negative errno: then they go to the kernel, which has no network for them.
 */
int refuse_install(void);

/* Refuse what FD has to tell; TEXT: a sentence to be said, or empty. */
void refuse_next(int fd, char text[256]);

#endif
