/* SPDX-License-Identifier: MIT */
/*
 * See arena.h. Blocks come in powers of two, from the end of what is used or from a list for each
 * size. A block that is given back keeps its memory as long as few are free (whoever shrinks and
 * grows again touches no new pages); the others go back to the system.
 */
#define _GNU_SOURCE
#include "host/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_MAGIC 0x616e6572612e6c70ull
#ifdef __SANITIZE_THREAD__
#define FIRST_AT 0x004000000000ull /* where the sanitizer lets a program have memory */
#else
#define FIRST_AT 0x200000000000ull /* far from where programs and sanitizers have theirs */
#endif
#define NEXT_AT	  0x001000000000ull
#define PLACES	  64u
#define SMALLEST  6u /* 64 octets: a cache line */
#define SIZES	  32u
#define PAGE	  4096u
#define KEEP_FREE (32u << 20)

/* One that is free. */
struct block {
	struct block *next;
	bool resident;
};

struct arena {
	uint64_t magic;
	size_t size, used;
	pthread_mutex_t lock;
	size_t free_resident;
	struct block *free[SIZES];
	_Alignas(64) uint8_t root[ARENA_ROOT];
};

static int lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t how;
	int err = pthread_mutexattr_init(&how);

	if (err)
		return -err;
	pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
	err = pthread_mutex_init(lock, &how);
	pthread_mutexattr_destroy(&how);
	return -err;
}

/* FD at ADDRESS, or nowhere. */
static void *map_at(uint64_t address, size_t size, int fd)
{
	void *at = (void *)(uintptr_t)address;
	void *p = mmap(at, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, fd, 0);

	if (p != MAP_FAILED && p != at) { /* a kernel before 4.17 takes it for a hint */
		munmap(p, size);
		errno = EEXIST;
		p = MAP_FAILED;
	}
	/* A child has it no more: what it does must not reach its parent's connections. */
	if (p != MAP_FAILED)
		madvise(p, size, MADV_DONTFORK);
	return p;
}

int arena_new(struct arena **arena, size_t size, int *fd, struct link_why *why)
{
	struct arena *a = MAP_FAILED;
	int err;

	size += sizeof(*a) + PAGE;
	*fd = memfd_create("couplet-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return link_fail(why, -errno, "cannot make memory to share: %s", strerror(errno));
	if (ftruncate(*fd, (off_t)size) ||
	    fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto failed;
	for (unsigned i = 0; i < PLACES && a == MAP_FAILED; i++)
		a = map_at(FIRST_AT + i * NEXT_AT, size, *fd);
	if (a == MAP_FAILED)
		goto failed;
	a->size = size;
	a->used = (sizeof(*a) + PAGE - 1) & ~(size_t)(PAGE - 1);
	err = lock_init(&a->lock);
	if (err) {
		munmap(a, size);
		errno = -err;
		goto failed;
	}
	a->magic = ARENA_MAGIC;
	*arena = a;
	return 0;
failed:
	err = -errno;
	close(*fd);
	*fd = -1;
	return link_fail(why, err, "cannot share %zu octets of memory: %s", size, strerror(-err));
}

int arena_map(struct arena **arena, void *address, int fd)
{
	struct arena *a;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((size_t)st.st_size < sizeof(*a))
		return -EPROTO;
	a = map_at((uintptr_t)address, (size_t)st.st_size, fd);
	if (a == MAP_FAILED)
		return -errno;
	if (a->magic != ARENA_MAGIC || a->size != (size_t)st.st_size) {
		munmap(a, (size_t)st.st_size);
		return -EPROTO;
	}
	*arena = a;
	return 0;
}

void arena_unmap(struct arena *a)
{
	if (a)
		munmap(a, a->size);
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}

void *arena_root(struct arena *a)
{
	return a->root;
}

/* ---- Blocks --------------------------------------------------------------------------------- */

static unsigned class_of(size_t size)
{
	unsigned n = SMALLEST;

	while (n < SIZES - 1 && (size_t)1 << n < size)
		n++;
	return n;
}

void *arena_alloc(void *arena, size_t size)
{
	struct arena *a = arena;
	unsigned class = class_of(size);
	size_t room = (size_t)1 << class;
	struct block *b = a->free[class];
	void *p;

	if (size > room)
		return NULL;
	if (b) {
		a->free[class] = b->next;
		a->free_resident -= b->resident ? room : 0;
		return b;
	}
	/* Larger ones begin at a page, so that their pages are theirs alone. */
	if (room >= PAGE)
		a->used = (a->used + PAGE - 1) & ~(size_t)(PAGE - 1);
	if (room > a->size - a->used)
		return NULL;
	p = (uint8_t *)a + a->used;
	a->used += room;
	return p;
}

void arena_release(void *arena, void *p, size_t size)
{
	struct arena *a = arena;
	unsigned class = class_of(size);
	size_t room = (size_t)1 << class;
	struct block *b = p;

	if (!p)
		return;
	b->resident = room <= PAGE || a->free_resident + room <= KEEP_FREE;
	/* All but the page with the list's pointer. */
	if (!b->resident)
		madvise((uint8_t *)p + PAGE, room - PAGE, MADV_REMOVE);
	else
		a->free_resident += room;
	b->next = a->free[class];
	a->free[class] = b;
}

/* ---- The lock ------------------------------------------------------------------------------- */

/* Never made consistent again: all others fail from here on. */
static int owned(struct arena *a, int err)
{
	if (err == EOWNERDEAD)
		pthread_mutex_unlock(&a->lock);
	return -err;
}

int arena_lock(struct arena *a)
{
	return owned(a, pthread_mutex_lock(&a->lock));
}

int arena_trylock(struct arena *a)
{
	return owned(a, pthread_mutex_trylock(&a->lock));
}

void arena_unlock(struct arena *a)
{
	pthread_mutex_unlock(&a->lock);
}
