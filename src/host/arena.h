/* SPDX-License-Identifier: MIT */
/*
 * Memory that several processes have at the same address, with a lock: a stack in it may be run by
 * each of them in turn. Whoever has it can spoil it; it is for processes that trust each other.
 *
 * What lies in it must not point out of it: not to code, not to constants, not to the heap of one
 * process. The function pointers of a stack's memory are set anew by each process that uses it
 * after another: stack_set_code().
 */
#ifndef HOST_ARENA_H
#define HOST_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link/link.h"

#define ARENA_ROOT 1024u /* octets for whatever its users have to find first */

struct arena;

/*
 * A new one for SIZE octets of what arena_alloc() gives. *FD shares it: it is the caller's, as is
 * the mapping, which arena_unmap() ends. -ENOMEM, -EMFILE, and others.
 */
int arena_new(struct arena **arena, size_t size, int *fd, struct link_why *why);
/*
 * That of another process, at the ADDRESS where that has it. -EEXIST: something else is there;
 * -EPROTO: it is none. A child of fork() does not have it.
 */
int arena_map(struct arena **arena, void *address, int fd);
/* NULL is allowed. */
void arena_unmap(struct arena *arena);

/* As aligned_alloc(3) to a cache line; for cpl_config. Under the lock. */
void *arena_alloc(void *arena, size_t size);
void arena_release(void *arena, void *p, size_t size);

/* Octets of it, from its address on, in which there is anything. */
size_t arena_used(const struct arena *arena);

/* ARENA_ROOT octets, zero at first. */
void *arena_root(struct arena *arena);

/*
 * Returns 0; -EOWNERDEAD: a process was killed while it had
 * the lock, and what it was about is half done; from then on -ENOTRECOVERABLE, without the lock.
 */
int arena_lock(struct arena *arena);
/* As arena_lock(), or -EBUSY: somebody has it. */
int arena_trylock(struct arena *arena);
void arena_unlock(struct arena *arena);

#endif
