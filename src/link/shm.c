/* SPDX-License-Identifier: MIT */
/*
 * A wire between two processes: for each direction a ring of octets in memory that both have
 * mapped, one writer, one reader.
 *
 * They meet at a UNIX socket. Who listens there makes the memory, sealed against shrinking, and two
 * eventfds, and passes them on; as long as the socket lives, so does the other side. What the other
 * side writes is not trusted: an index, a length or a flag that can't be right ends the connection,
 * and a frame is copied out before anybody looks at it. pipe.c, within one process, does neither.
 *
 * Waking: a reader that is about to sleep says so in the ring, and looks again; a writer that has
 * written looks for that word, and writes the eventfd only then. The same holds, the other way
 * round, for a writer that found no room. Each stores and then looks at what the other has
 * stored, in the one order that all sequentially consistent accesses have, so that one of the two
 * always sees the other.
 */
#define _GNU_SOURCE
#include "link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MTU_DEFAULT 65535u
#define ROOM	    (512u * 1024) /* octets in each direction: what a cache holds of both */
#define GSO_MAX	    (65535u - 14 - 40 - 60)
#define FRAME_LEAST 20u /* an IP header */
#define FRAME_MAX   (14u + 65535u)
#define ARENA_SIZE  (4 * 65536u + 1024)
#define WRAP	    UINT32_MAX
#define RETRY_NS    (100 * CPL_MS)
#define LOOK_EVERY  16 /* reads between two looks at the descriptors */
#define SEALS	    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Before each frame in a ring. */
struct record {
	uint32_t len; /* WRAP: the next record is at the start of the ring */
	uint32_t gso_size;
	uint32_t flags;
	uint32_t reserved;
};

/* In shared memory; the ring's octets follow. */
struct ring {
	_Alignas(64) _Atomic uint64_t tail; /* written up to here; only the writer stores */
	_Atomic uint32_t full;		    /* the writer waits for room */
	_Alignas(64) _Atomic uint64_t head; /* read up to here; only the reader stores */
	_Atomic uint32_t asleep;	    /* the reader waits for frames */
};

#define DATA_AT	    128u
#define RING_SIZE   (DATA_AT + ROOM)
#define MEMORY_SIZE (2 * (size_t)RING_SIZE)

/* What the listener sends with the descriptors: memory, its eventfd, the other's eventfd. */
struct hello {
	char magic[8];
	uint32_t room;
	uint32_t kind; /* enum cpl_iface_kind */
};

#define MAGIC "couplet"

enum {
	MEMORY,
	LISTENERS_WAKE,
	CONNECTORS_WAKE,
	HELLO_FDS
};

struct shm {
	struct link link; /* its fd is an epoll's: of wake, listener, socket */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int listener; /* -1: we connect */
	int socket;   /* to the other side; -1: nobody is there */
	int wake;     /* ours */
	int wake_them;
	bool was_up; /* somebody was there already */
	uint64_t next_try;
	uint8_t *memory; /* NULL: not (yet) up */
	struct ring *in, *out;
	uint64_t read, written, head_seen; /* our own word on in's head, out's tail; out's head */
	bool asleep;
	unsigned reads;
	uint8_t arena[ARENA_SIZE];
};

static struct shm *shm_of(struct link *link)
{
	return (struct shm *)link; /* its first member */
}

static uint8_t *data_of(struct ring *r)
{
	return (uint8_t *)r + DATA_AT;
}

static uint32_t record_size(uint32_t len)
{
	return (uint32_t)((sizeof(struct record) + len + 15) & ~15u);
}

static void wake_up(int fd)
{
	uint64_t one = 1;

	/* It fails only when 2^64 - 2 wake-ups are due already. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

/* ---- Meeting -------------------------------------------------------------------------------- */

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int watch(struct shm *s, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(s->link.fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/*
 * By name: a process forked meanwhile may hold it, too, and closed here alone it would go on to
 * report under a number that is another's by then.
 */
static void unwatch(struct shm *s, int *fd)
{
	if (*fd >= 0)
		epoll_ctl(s->link.fd, EPOLL_CTL_DEL, *fd, NULL);
	shut(fd);
}

/* The other side is gone, or talks nonsense. */
static void part(struct shm *s)
{
	if (s->memory)
		munmap(s->memory, MEMORY_SIZE);
	s->memory = NULL;
	s->in = s->out = NULL;
	unwatch(s, &s->socket);
	unwatch(s, &s->wake);
	shut(&s->wake_them);
}

static void nonsense(struct shm *s)
{
	s->link.bad_frames++;
	part(s);
}

/* FDS are ours from now on. */
static int come_up(struct shm *s, const int fds[HELLO_FDS])
{
	bool listens = s->listener >= 0;
	void *memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[MEMORY], 0);
	struct ring *first = memory, *second;
	int err = memory == MAP_FAILED ? -errno : 0;

	close(fds[MEMORY]);
	s->wake = fds[listens ? LISTENERS_WAKE : CONNECTORS_WAKE];
	s->wake_them = fds[listens ? CONNECTORS_WAKE : LISTENERS_WAKE];
	if (!err) {
		s->memory = memory;
		second = (struct ring *)(void *)(s->memory + RING_SIZE);
		s->in = listens ? first : second;
		s->out = listens ? second : first;
		s->read = s->written = s->head_seen = 0;
		s->asleep = false;
		err = watch(s, s->wake);
	}
	if (err)
		part(s);
	else
		s->was_up = true;
	return err;
}

static int send_hello(int socket, const struct hello *hello, const int fds[HELLO_FDS])
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(HELLO_FDS * sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)hello, sizeof(*hello) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(HELLO_FDS * sizeof(int));
	memcpy(CMSG_DATA(c), fds, HELLO_FDS * sizeof(int));
	return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* The listener's part: memory, and word of it. */
static void invite(struct shm *s)
{
	struct hello hello = { .magic = MAGIC, .room = ROOM, .kind = s->link.iface.kind };
	int fds[HELLO_FDS] = { memfd_create("couplet-link", MFD_CLOEXEC | MFD_ALLOW_SEALING),
			       eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
			       eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	bool ok = fds[MEMORY] >= 0 && fds[LISTENERS_WAKE] >= 0 && fds[CONNECTORS_WAKE] >= 0 &&
		  !ftruncate(fds[MEMORY], (off_t)MEMORY_SIZE) &&
		  !fcntl(fds[MEMORY], F_ADD_SEALS, SEALS) && !send_hello(s->socket, &hello, fds);

	if (ok) {
		come_up(s, fds);
		return;
	}
	for (unsigned i = 0; i < HELLO_FDS; i++)
		shut(&fds[i]);
	part(s);
}

/* One at a time: whoever comes meanwhile is sent away. */
static void welcome(struct shm *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (s->socket >= 0) {
		close(fd);
		return;
	}
	s->socket = fd;
	if (watch(s, fd))
		part(s);
	else
		invite(s);
}

/* Nothing else: a write to a pipe, for one, may end us. */
static bool is_eventfd(int fd)
{
	char path[32], name[32] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, name, sizeof(name) - 1) > 0 &&
	       !strcmp(name, "anon_inode:[eventfd]") && !fcntl(fd, F_SETFL, O_NONBLOCK);
}

/* Memory that can't shrink under our feet, of the size agreed upon. */
static bool is_sound(const struct shm *s, const struct hello *hello, const int fds[HELLO_FDS])
{
	int memory = fds[MEMORY];
	struct stat st;

	return !memcmp(hello->magic, MAGIC, sizeof(MAGIC)) && hello->room == ROOM &&
	       hello->kind == s->link.iface.kind && !fstat(memory, &st) &&
	       st.st_size == (off_t)MEMORY_SIZE && fcntl(memory, F_GET_SEALS) == SEALS &&
	       is_eventfd(fds[LISTENERS_WAKE]) && is_eventfd(fds[CONNECTORS_WAKE]);
}

/* The connector's part. */
static void hear_hello(struct shm *s)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(HELLO_FDS * sizeof(int))];
	} control;
	struct hello hello = { .room = 0 };
	struct iovec iov = { &hello, sizeof(hello) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(s->socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	int fds[HELLO_FDS];
	unsigned fds_n = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		fds_n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), fds_n * sizeof(int)); /* the kernel: no more than fit */
	}
	if (n == sizeof(hello) && fds_n == HELLO_FDS && is_sound(s, &hello, fds)) {
		come_up(s, fds);
		return;
	}
	for (unsigned i = 0; i < fds_n; i++)
		close(fds[i]);
	if (n > 0)
		nonsense(s);
	else
		part(s);
}

static void address(const struct shm *s, struct sockaddr_un *at)
{
	memset(at, 0, sizeof(*at));
	at->sun_family = AF_UNIX;
	strcpy(at->sun_path, s->path);
}

static int dial(struct shm *s)
{
	struct sockaddr_un at;
	int err = 0;

	address(s, &at);
	s->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->socket < 0 || connect(s->socket, (struct sockaddr *)&at, sizeof(at)))
		err = -errno;
	if (!err)
		err = watch(s, s->socket);
	if (err)
		shut(&s->socket);
	return err;
}

static void dial_again(struct shm *s)
{
	if (s->listener >= 0 || s->socket >= 0 || s->link.now < s->next_try)
		return;
	s->next_try = s->link.now + RETRY_NS;
	dial(s);
}

static void socket_ready(struct shm *s)
{
	char c;

	if (!s->memory)
		hear_hello(s);
	else if (recv(s->socket, &c, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN)
		part(s); /* its end; there is nothing to be said any more */
}

/* What the descriptors have to say. */
static void look(struct shm *s)
{
	struct epoll_event got[4];
	int n = epoll_wait(s->link.fd, got, 4, 0);
	uint64_t wakes;

	s->reads = 0;
	for (int i = 0; i < n; i++) {
		int fd = got[i].data.fd;

		if (fd == s->listener)
			welcome(s);
		else if (fd == s->socket)
			socket_ready(s);
		else if (fd == s->wake && read(fd, &wakes, sizeof(wakes)) < 0)
			continue;
	}
	dial_again(s);
}

/* ---- Frames --------------------------------------------------------------------------------- */

/* One record, into the arena from *USED on. 1: a frame; 0: none, go on; -1: nonsense. */
static int take_one(struct shm *s, uint64_t tail, uint32_t *used, struct cpl_frame *frame)
{
	uint32_t at = (uint32_t)s->read & (ROOM - 1), need;
	const uint8_t *p = data_of(s->in) + at;
	uint64_t left = tail - s->read;
	struct record r;

	/* Each word is read once: the other side may change it while we look. */
	r.len = __atomic_load_n((const uint32_t *)(const void *)p, __ATOMIC_RELAXED);
	if (r.len == WRAP) {
		s->read += ROOM - at;
		return ROOM - at <= left ? 0 : -1;
	}
	need = record_size(r.len);
	if (r.len < FRAME_LEAST || r.len > FRAME_MAX || need > left || need > ROOM - at)
		return -1;
	r.gso_size = __atomic_load_n((const uint32_t *)(const void *)(p + 4), __ATOMIC_RELAXED);
	r.flags = __atomic_load_n((const uint32_t *)(const void *)(p + 8), __ATOMIC_RELAXED);
	if (r.gso_size > 65535 || r.flags & ~CPL_FRAME_CSUM_PARTIAL)
		return -1;
	memcpy(s->arena + *used, p + sizeof(r), r.len);
	*frame = (struct cpl_frame){
		.data = s->arena + *used, .len = r.len, .flags = r.flags, .gso_size = r.gso_size
	};
	*used += (r.len + 63) & ~63u;
	s->read += need;
	return 1;
}

static unsigned take(struct shm *s, struct cpl_frame *frames, unsigned max)
{
	uint64_t tail = atomic_load_explicit(&s->in->tail, memory_order_acquire), before = s->read;
	uint32_t used = 0;
	unsigned n = 0;

	if (tail == s->read)
		return 0;
	if (tail - s->read > ROOM || tail & 15) {
		nonsense(s);
		return 0;
	}
	while (n < max && s->read != tail && used + FRAME_MAX <= ARENA_SIZE) {
		int got = take_one(s, tail, &used, &frames[n]);

		if (got < 0) {
			nonsense(s);
			return n;
		}
		n += (unsigned)got;
	}
	if (s->read == before)
		return n;
	atomic_store(&s->in->head, s->read);
	if (atomic_load(&s->in->full) && atomic_exchange(&s->in->full, 0))
		wake_up(s->wake_them);
	return n;
}

static int shm_read(struct link *link, struct cpl_frame *frames, unsigned max)
{
	struct shm *s = shm_of(link);
	unsigned n = 0;

	if (s->asleep && s->memory) {
		s->asleep = false;
		atomic_store_explicit(&s->in->asleep, 0, memory_order_relaxed);
		s->reads = LOOK_EVERY; /* the eventfd is to be cleared, it may be */
	}
	if (s->memory)
		n = take(s, frames, max);
	if (!s->memory || ++s->reads >= LOOK_EVERY)
		look(s);
	return (int)n;
}

static bool shm_ready(struct link *link, bool sleep)
{
	struct shm *s = shm_of(link);

	if (!s->memory)
		return false;
	if (atomic_load_explicit(&s->in->tail, memory_order_acquire) != s->read)
		return true;
	if (!sleep || s->asleep)
		return false;
	s->asleep = true;
	atomic_store(&s->in->asleep, 1);
	return atomic_load(&s->in->tail) != s->read;
}

static bool has_room(struct shm *s, uint32_t need)
{
	if (s->written + need - s->head_seen <= ROOM)
		return true;
	s->head_seen = atomic_load(&s->out->head);
	return s->written + need - s->head_seen <= ROOM;
}

/* Room for NEED octets in all; if there is none, word comes when there is. */
static bool reserve(struct shm *s, uint32_t need)
{
	if (has_room(s, need))
		return true;
	if (s->written - s->head_seen > ROOM) { /* it has read what was not written */
		nonsense(s);
		return false;
	}
	atomic_store(&s->out->full, 1);
	if (!has_room(s, need))
		return false;
	atomic_store_explicit(&s->out->full, 0, memory_order_relaxed);
	return true;
}

/* False: no room. */
static bool put(struct shm *s, const struct cpl_out *f)
{
	uint32_t at = (uint32_t)s->written & (ROOM - 1), need = record_size(f->len);
	uint32_t skip = need > ROOM - at ? ROOM - at : 0;
	struct record r = { .len = f->len, .gso_size = f->gso_size };
	uint8_t *p = data_of(s->out) + at;

	if (!reserve(s, skip + need))
		return false;
	if (skip) {
		memcpy(p, &(uint32_t){ WRAP }, sizeof(uint32_t));
		p = data_of(s->out);
	}
	if (f->csum_start || f->csum_offset)
		r.flags = CPL_FRAME_CSUM_PARTIAL;
	memcpy(p, &r, sizeof(r));
	p += sizeof(r);
	for (uint32_t i = 0; i < f->iov_n; i++) {
		memcpy(p, f->iov[i].base, f->iov[i].len);
		p += f->iov[i].len;
	}
	s->written += skip + need;
	return true;
}

static unsigned shm_write_some(struct link *link, const struct cpl_out *frames, unsigned n)
{
	struct shm *s = shm_of(link);
	uint64_t before = s->written;
	unsigned done = 0;

	dial_again(s);
	if (!s->memory && !s->was_up)
		return 0; /* not plugged in yet: it keeps */
	for (; done < n && s->memory; done++) {
		if (frames[done].len > FRAME_MAX || frames[done].len < FRAME_LEAST)
			link->lost_frames++;
		else if (!put(s, &frames[done]))
			break;
	}
	if (!s->memory) { /* nobody at the other end: lost, as on a wire */
		link->lost_frames += n - done;
		return n;
	}
	if (s->written == before)
		return done;
	atomic_store(&s->out->tail, s->written);
	if (atomic_load(&s->out->asleep) && atomic_exchange(&s->out->asleep, 0))
		wake_up(s->wake_them);
	return done;
}

static void shm_close(struct link *link)
{
	struct shm *s = shm_of(link);

	part(s);
	if (s->listener >= 0)
		unlink(s->path);
	shut(&s->listener);
	shut(&link->fd);
	free(s);
}

static const struct link_ops shm_ops = {
	.read = shm_read, .write_some = shm_write_some, .ready = shm_ready, .close = shm_close
};

/* ---- Opening -------------------------------------------------------------------------------- */

/* The path is ours if nobody listens there: what lies there is left over. */
static int listen_at(struct shm *s, int found, struct link_why *why)
{
	struct sockaddr_un at;
	int err = 0;
	mode_t mask;

	address(s, &at);
	if (found == -ECONNREFUSED)
		unlink(s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0077); /* for this user alone */
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(s->listener, 4))
		err = -errno;
	umask(mask);
	if (!err)
		err = watch(s, s->listener);
	if (!err)
		return 0;
	shut(&s->listener);
	return link_fail(why, err, "cannot wait for the other side at %s: %s", s->path,
			 strerror(-err));
}

static int meet(struct shm *s, struct link_why *why)
{
	int err = dial(s);

	if (!err)
		return 0;
	if (err == -ENOENT || err == -ECONNREFUSED)
		return listen_at(s, err, why);
	return link_fail(why, err, "cannot reach the other side at %s: %s", s->path,
			 strerror(-err));
}

int link_shm_open(struct link **link, const struct link_shm_config *config, struct link_why *why)
{
	struct shm *s;
	struct cpl_iface_config *iface;
	int err;

	if (strlen(config->path) >= sizeof(s->path))
		return link_fail(why, -EINVAL, "%s: longer than a socket's path can be",
				 config->path);
	s = calloc(1, sizeof(*s));
	if (!s)
		return link_fail(why, -ENOMEM, "no memory for a link");
	iface = &s->link.iface;
	s->link.ops = &shm_ops;
	s->listener = s->socket = s->wake = s->wake_them = -1;
	strcpy(s->path, config->path);
	iface->size = sizeof(*iface);
	iface->kind = CPL_IFACE_IP;
	iface->mtu = config->mtu ? config->mtu : MTU_DEFAULT;
	strcpy(iface->name, "shm");
	if (!config->no_offload) {
		iface->flags = CPL_IFACE_CSUM_OUT | CPL_IFACE_GSO4 | CPL_IFACE_GSO6;
		iface->gso_max = GSO_MAX;
	}
	s->link.fd = epoll_create1(EPOLL_CLOEXEC);
	err = s->link.fd < 0 ? link_fail(why, -errno, "no descriptor: %s", strerror(errno))
			     : meet(s, why);
	if (err) {
		shm_close(&s->link);
		return err;
	}
	*link = &s->link;
	return 0;
}
