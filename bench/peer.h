/* SPDX-License-Identifier: MIT */
/*
 * What a stack and a program that runs several stacks on the same work (bench/stacks.c) have to do
 * with each other. A shared object is one stack, all of its state in its own variables; it exports
 * PEER. Who runs two loads it twice, under two names.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>

/* What the program offers to stack ID; USER is the program's own pointer, C the stack's. */
struct host_api {
	void (*tx)(int id, const void *frame, uint32_t len);
	void *(*tx_begin)(int id, uint32_t len); /* where the frame goes; NULL: no room */
	void (*tx_commit)(int id, uint32_t len);
	uint64_t (*now_us)(void);
	void *(*on_accept)(int id, void *c); /* returns USER */
	void (*on_connected)(int id, void *c, void *user);
	void (*on_recv)(int id, void *c, void *user, const void *data, uint32_t n, int copied);
	void (*on_sent)(int id, void *c, void *user); /* there is room */
	void (*on_eof)(int id, void *c, void *user);
	void (*on_dead)(int id, void *c, void *user, int err); /* C is gone */
};

/* What a stack offers. */
struct peer_plugin {
	const char *name;
	int (*init)(const struct host_api *host, int id, uint32_t ip_be, const uint8_t mac[6]);
	void (*input)(const void *frame, uint32_t len); /* good until the next poll() has ended */
	void (*poll)(void);				/* timers, and what was put off */
	int (*listen)(uint16_t port);
	void *(*connect)(uint32_t ip_be, uint16_t port, void *user);
	uint32_t (*send)(void *c, const void *buf, uint32_t len); /* copies; bytes taken */
	void (*flush)(void *c);
	void (*close)(void *c);
	void (*info)(char *buf, size_t n);
};

extern const struct peer_plugin peer;

#endif
