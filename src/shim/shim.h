/* SPDX-License-Identifier: MIT */
/*
 * Inside libcouplet-shim.so, which is loaded into every program that runs on Couplet: the C
 * library's calls, of which those on sockets of Couplet go to the server (shim/protocol.h), all
 * others on to the C library.
 *
 * A descriptor that is not Couplet's costs one look at a table. What is kept here is what this
 * process knows of its descriptors; the kernel has the truth (each is a real one), the server has
 * the sockets.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "shim/protocol.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- The C library's own: real.c ------------------------------------------------------------ */

#define REAL_NAMES(X)                                                                              \
	X(accept4)                                                                                 \
	X(bind)                                                                                    \
	X(close)                                                                                   \
	X(close_range)                                                                             \
	X(closefrom)                                                                               \
	X(connect)                                                                                 \
	X(dup)                                                                                     \
	X(dup2)                                                                                    \
	X(dup3)                                                                                    \
	X(epoll_create1)                                                                           \
	X(epoll_ctl)                                                                               \
	X(epoll_pwait)                                                                             \
	X(epoll_pwait2)                                                                            \
	X(execv)                                                                                   \
	X(execve)                                                                                  \
	X(execvp)                                                                                  \
	X(execvpe)                                                                                 \
	X(fclose)                                                                                  \
	X(fcntl)                                                                                   \
	X(fdopen)                                                                                  \
	X(fexecve)                                                                                 \
	X(fileno)                                                                                  \
	X(freeifaddrs)                                                                             \
	X(getaddrinfo)                                                                             \
	X(getifaddrs)                                                                              \
	X(getnameinfo)                                                                             \
	X(getpeername)                                                                             \
	X(getsockname)                                                                             \
	X(getsockopt)                                                                              \
	X(if_indextoname)                                                                          \
	X(if_nametoindex)                                                                          \
	X(ioctl)                                                                                   \
	X(listen)                                                                                  \
	X(popen)                                                                                   \
	X(posix_spawn)                                                                             \
	X(posix_spawnp)                                                                            \
	X(ppoll)                                                                                   \
	X(prctl)                                                                                   \
	X(preadv2)                                                                                 \
	X(preadv64v2)                                                                              \
	X(pselect)                                                                                 \
	X(pwritev2)                                                                                \
	X(pwritev64v2)                                                                             \
	X(read)                                                                                    \
	X(readv)                                                                                   \
	X(recvfrom)                                                                                \
	X(recvmmsg)                                                                                \
	X(recvmsg)                                                                                 \
	X(select)                                                                                  \
	X(sendfile)                                                                                \
	X(sendmmsg)                                                                                \
	X(sendmsg)                                                                                 \
	X(sendto)                                                                                  \
	X(setrlimit)                                                                               \
	X(setsockopt)                                                                              \
	X(shutdown)                                                                                \
	X(sigaction)                                                                               \
	X(signal)                                                                                  \
	X(sigset)                                                                                  \
	X(socket)                                                                                  \
	X(splice)                                                                                  \
	X(syscall)                                                                                 \
	X(system)                                                                                  \
	X(sysv_signal)                                                                             \
	X(tee)                                                                                     \
	X(vdprintf)                                                                                \
	X(write)                                                                                   \
	X(writev)

enum real_name {
#define REAL_ENUM(name) REAL_##name,
	REAL_NAMES(REAL_ENUM)
#undef REAL_ENUM
	REAL_N
};

void *real_find(enum real_name name);
#define REAL(name) ((__typeof__(&name))real_find(REAL_##name))

/* ---- Descriptors: fds.c --------------------------------------------------------------------- */

#define FDS_MAX (1u << 18)

enum fd_kind {
	FD_OTHER,  /* the kernel's */
	FD_SOCKET, /* of Couplet */
	FD_EPOLL,  /* the kernel's, with a set of Couplet's in it */
	FD_OWN,	   /* of this library: not there, as far as the program is concerned */
};

struct fd {
	shim_token token; /* the first one: fd_is() */
	uint64_t cookie;  /* of a set: what its bell is known by */
	uint64_t id;	  /* the engine's, for shim/inliner.h */
	uint32_t place;	  /* of a set, on the board */
	uint8_t type;	  /* SOCK_* */
	uint8_t domain;
	bool epoll; /* it was made by epoll_create(2), as far as is known */
	/* What threads that use it at once may change; nothing else depends on their order. */
	_Atomic uint32_t watched; /* of a set: the attachment whose connection is in it; 0: none */
	_Atomic uint32_t alone;	  /* fds_alone() as it was made; 0: it has copies */
	_Atomic bool told;	  /* the server knows that this process has it under this number */
	_Atomic bool kernel;  /* of an epoll descriptor: the kernel's descriptors may be in it */
	_Atomic uint8_t turn; /* of a set: whose it is, with room for one event */
};

#define fd_get(field)	     atomic_load_explicit(&(field), memory_order_relaxed)
#define fd_put(field, value) atomic_store_explicit(&(field), value, memory_order_relaxed)

extern uint8_t fd_kinds[FDS_MAX];
extern struct fd fds[FDS_MAX];

static inline enum fd_kind fd_kind(int fd)
{
	if ((unsigned)fd >= FDS_MAX)
		return FD_OTHER;
	return (enum fd_kind)__atomic_load_n(&fd_kinds[fd], __ATOMIC_ACQUIRE);
}

/* The socket of Couplet that FD is, or NULL. */
static inline const struct fd *fd_socket(int fd)
{
	return __builtin_expect(fd_kind(fd) == FD_SOCKET, 0) ? &fds[fd] : NULL;
}

/*
 * The token of FD, whatever it is: of one that is not the caller's, and another thread may be about
 * to use for something else. It is one word: what is there, or what was there before.
 */
static inline shim_token fd_token(int fd)
{
	return __atomic_load_n(&fds[fd].token, __ATOMIC_RELAXED);
}

static inline void fd_set_token(int fd, shim_token token)
{
	__atomic_store_n(&fds[fd].token, token, __ATOMIC_RELAXED);
}

/* FD, below FDS_MAX, is KIND from now on, and F what is known of it. */
void fd_is(int fd, enum fd_kind kind, struct fd f);
void fd_set_socket(int fd, shim_token token, uint64_t id, int domain, int type);
void fd_copy(int from, int to);
void fd_forget(int fd);
/* Another process may have copies of all descriptors that there are now. */
void fds_shared(void);
/* Changes with each of those. */
uint32_t fds_alone(void);
/* What came from elsewhere: by execve(), SCM_RIGHTS. Asks the server if it may be Couplet's. */
void fd_arrived(int fd);
/* Move FD, which is ours, out of the program's way. Returns where it is, or -1. */
int fd_hide(int fd);
/* close(2), but not where a thread that is cancelled ends, with FD open. */
void fd_drop(int fd);
/* Close what is this process's alone, BUT one; holders of sets are its children's as well. */
void fds_own_close(int but);
/* Close the holder of the set TOKEN, if there is one. */
void fds_holder_close(shim_token token);

/* ---- Calls: process.c ----------------------------------------------------------------------- */

/* This process is to be served: the environment says so. */
bool process_served(void);
const struct shim_board *process_board(void);
/*
 * Keep other threads out, signals, and being cancelled; for a moment. A child of fork() finds it
 * unlocked, and what is kept so whole.
 */
void process_lock(sigset_t *before);
void process_unlock(const sigset_t *before);
/* The same, of another lock, for one who makes calls meanwhile. */
void process_making(sigset_t *before);
void process_made(const sigset_t *before);
/* Changes with each attachment. */
uint32_t process_generation(void);
/* The connection to the server: it hangs up when the server is gone. -1: none. */
int process_conn(void);
/* Give the server FD, which holds the set at PLACE and whose own end is INODE. -1: it can't. */
int process_give_holder(uint32_t place, uint64_t inode, uint64_t cookie, int fd);
/*
 * This process is about to have a filter of system calls that does not let LACKS through, bits by
 * the order of SHIM_NEEDS(): the server says so. SENDS, POLLS: sendto(2) and ppoll(2) are there.
 */
void process_shut_in(uint64_t lacks, bool sends, bool polls);
/* seccomp(2) by syscall(2), A its arguments: sandbox.c. */
void sandbox_by_number(const long a[6]);
/* A call was answered by nobody: the server is gone, and all its sockets with it. */
bool process_is_lost(void);
/* The calling thread's bell, an eventfd that the server rings; -1 with errno. */
int thread_bell(void);

/*
 * A call: begin, fill slot->request and what goes with it, do, read slot->answer, end. NULL: no
 * server; errno is set. EVER: a signal's handler always ends it, as signal(7) says of some calls.
 */
struct shim_slot *call_begin(enum shim_op op, int fd, shim_token token);
int64_t call_do(struct shim_slot *slot, bool ever);
void call_end(struct shim_slot *slot);
/* The descriptor that came with the answer: -1 with errno. */
int call_descriptor(struct shim_slot *slot, bool cloexec);
/* A call without anything to copy. Returns as a system call does: -1 with errno. */
int64_t call_simple(enum shim_op op, int fd, shim_token token, int64_t a, int64_t b, int64_t c);
/* A negative errno to what the C library returns. */
int64_t result_of(int64_t result);

static inline uint64_t time_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/* CLOCK_MONOTONIC. */
static inline uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return time_ns(&t);
}

/* What is left of the time from NOW to UNTIL. */
static inline struct timespec time_left(uint64_t until, uint64_t now)
{
	return (struct timespec){ (time_t)((until - now) / 1000000000u),
				  (long)((until - now) % 1000000000u) };
}

/* A time limit that makes no sense: EINVAL. NULL: there is none. */
static inline bool bad_limit(const struct timespec *t)
{
	return t && (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_nsec >= 1000000000);
}

/* True if a pointer cannot be one: EFAULT. */
static inline bool bad_pointer(const void *p, size_t n)
{
	return n && ((uintptr_t)p < 4096 || (uintptr_t)p >> 47);
}

/* What a program gives as the room for an answer, *LEN. Returns -1 with errno. */
static inline int bad_length(const socklen_t *len)
{
	if (!bad_pointer(len, sizeof(*len)) && (int)*len >= 0)
		return 0;
	errno = bad_pointer(len, sizeof(*len)) ? EFAULT : EINVAL;
	return -1;
}

#define LEN_MAX 0x7ffff000u /* of one call, as Linux cuts it */

/* What one call of the program's reads and writes: data.c. */
int64_t shim_send(int fd, const struct msghdr *msg, int flags);
int64_t shim_recv(int fd, struct msghdr *msg, int flags);

#endif
