/* SPDX-License-Identifier: MIT */
/* How many connections each peer has; see peer.c. */
#ifndef TCP_PEER_H
#define TCP_PEER_H

#include "tcp/tcp.h"

int peers_init(struct tcp *tcp);
void peers_destroy(struct tcp *tcp);
/* ADDR may open no more connections. */
bool peer_full(struct tcp *tcp, const struct cpl_addr *addr);
/* It has opened one; one of those is over. */
void peer_add(struct tcp *tcp, const struct cpl_addr *addr);
void peer_del(struct tcp *tcp, const struct cpl_addr *addr);

#endif
