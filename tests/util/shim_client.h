/* SPDX-License-Identifier: MIT */
/*
 * For tests of the server of programs: a client that speaks its protocol (shim/protocol.h) by
 * itself, without the library. What fails here fails the test that called.
 */
#ifndef TESTS_UTIL_SHIM_CLIENT_H
#define TESTS_UTIL_SHIM_CLIENT_H

#include <stdbool.h>

#include "shim/protocol.h"

struct shim_client {
	int conn;
	struct shim_area *area;
	struct shim_hello hello;
};

/* Connect to the server at PATH and say hello. */
void shim_client_greet(struct shim_client *c, const char *path);
/* Take its answer, which is waited for. */
void shim_client_attach(struct shim_client *c);
void shim_client_close(struct shim_client *c);

/* Ask in SLOT; the octets and the name that go with it are there. */
struct shim_slot *shim_client_ask(struct shim_client *c, unsigned slot,
				  const struct shim_request *request);
/* Is it answered? */
bool shim_client_done(const struct shim_client *c, unsigned slot);
/* The descriptor that was sent last; -1: none. */
int shim_client_gift(struct shim_client *c);

#endif
