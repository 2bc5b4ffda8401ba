/* SPDX-License-Identifier: MIT */
/*
 * What packetdrill (https://github.com/google/packetdrill) asks of a stack that it loads by
 * --so_filename: a table of functions, filled in by packetdrill_interface_init(). The order of the
 * entries is the binary interface. Each takes first what was left in userdata; calls of sockets
 * return -1 and set errno, as the C library's.
 */
#ifndef PACKETDRILL_INTERFACE_H
#define PACKETDRILL_INTERFACE_H

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct sockaddr *drill_addr;
typedef const struct sockaddr *drill_addr_in;

struct packetdrill_interface {
	void *userdata;
	void (*free)(void *);
	int (*socket)(void *, int domain, int type, int protocol);
	int (*bind)(void *, int fd, drill_addr_in addr, socklen_t len);
	int (*listen)(void *, int fd, int backlog);
	int (*accept)(void *, int fd, drill_addr addr, socklen_t *len);
	int (*connect)(void *, int fd, drill_addr_in addr, socklen_t len);
	ssize_t (*read)(void *, int fd, void *data, size_t n);
	ssize_t (*readv)(void *, int fd, const struct iovec *iov, int iov_n);
	ssize_t (*recv)(void *, int fd, void *data, size_t n, int flags);
	ssize_t (*recvfrom)(void *, int fd, void *data, size_t n, int flags, drill_addr from,
			    socklen_t *len);
	ssize_t (*recvmsg)(void *, int fd, struct msghdr *msg, int flags);
	ssize_t (*write)(void *, int fd, const void *data, size_t n);
	ssize_t (*writev)(void *, int fd, const struct iovec *iov, int iov_n);
	ssize_t (*send)(void *, int fd, const void *data, size_t n, int flags);
	ssize_t (*sendto)(void *, int fd, const void *data, size_t n, int flags, drill_addr_in to,
			  socklen_t len);
	ssize_t (*sendmsg)(void *, int fd, const struct msghdr *msg, int flags);
	int (*fcntl)(void *, int fd, int command, ...);
	int (*ioctl)(void *, int fd, unsigned long request, ...);
	int (*close)(void *, int fd);
	int (*shutdown)(void *, int fd, int how);
	int (*getsockopt)(void *, int fd, int level, int name, void *value, socklen_t *len);
	int (*setsockopt)(void *, int fd, int level, int name, const void *value, socklen_t len);
	int (*poll)(void *, struct pollfd *fds, nfds_t n, int timeout_ms);
	/* One IP packet arrives. */
	int (*netdev_send)(void *, const void *packet, size_t n);
	/* The next IP packet that leaves: *N in: room, out: its length; *TIME_US: when it left. */
	int (*netdev_receive)(void *, void *packet, size_t *n, long long *time_us);
	int (*usleep)(void *, useconds_t us);
	int (*gettimeofday)(void *, struct timeval *tv, struct timezone *tz);
	int (*epoll_create)(void *, int size);
	int (*epoll_ctl)(void *, int set, int op, int fd, struct epoll_event *event);
	int (*epoll_wait)(void *, int set, struct epoll_event *events, int max, int timeout_ms);
	int (*pipe)(void *, int fds[2]);
	ssize_t (*splice)(void *, int in, loff_t *off_in, int out, loff_t *off_out, size_t n,
			  unsigned flags);
};

/* FLAGS: of --so_flags, see docs/packetdrill.md; may be NULL. */
void packetdrill_interface_init(const char *flags, struct packetdrill_interface *interface);

#endif
