/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts and services for tables that must not wait for them.
 *
 * Reverse look-ups run in a few threads. Whoever prints says what it wants, waits for all of them
 * together at most so long, prints what has come and numbers for the rest; what comes later serves
 * the next table.
 */
#ifndef SOURCE_NAMES_H
#define SOURCE_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include <couplet/addr.h>

/* How many look-ups are under way at one time. */
#define NAMES_THREADS 8
/* A wait that a reader of a table does not notice much. */
#define NAMES_WAIT_MS 200

struct names;

/*
 * Looks up the name of ADDR; writes it, terminated, to NAME of SIZE bytes and returns 0, or returns
 * nonzero if it has none. Is called from several threads.
 */
typedef int (*names_resolver)(void *arg, const struct cpl_addr *addr, uint32_t ifindex, char *name,
			      size_t size);

/* RESOLVER NULL: getnameinfo(3). Returns NULL if memory ran out. */
struct names *names_new(names_resolver resolver, void *arg);

/*
 * No more look-ups are begun. Those under way may last as long as they like: what they need lives
 * until they return, so that nobody waits for them.
 */
void names_free(struct names *names);

/* This address will be asked for. "Any" is never looked up; an address once wanted is not begun
 * again. */
void names_want(struct names *names, const struct cpl_addr *addr, uint32_t ifindex);

/* Waits until all are there, at most MS milliseconds. Returns how many are not there yet. */
size_t names_wait(struct names *names, unsigned ms);

/* The name, or NULL: none, not wanted, or not there yet. Lives until names_free(). */
const char *names_host(struct names *names, const struct cpl_addr *addr, uint32_t ifindex);

/* The name in services(5) of PORT of PROTOCOL (6 or 17), or NULL. Lives until names_free(). */
const char *names_service(struct names *names, uint16_t port, uint8_t protocol);

#endif
