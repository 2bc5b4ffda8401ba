/* SPDX-License-Identifier: MIT */
/* What call.c needs of the attached process. */
#ifndef SHIM_PROCESS_H
#define SHIM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/protocol.h"

/* Attaches if need be; NULL with errno. */
struct shim_area *process_area(void);
/* There is more than one processor: the server may be looking. */
bool process_spins(void);
/* -1: all are taken. */
int slot_new(void);
void slot_free(int slot);
/* False: the server is gone. */
bool process_ring(void);
bool process_alive(void);
int process_give_bell(int slot, int fd);
/*
 * A descriptor to sleep on until the call in SLOT is answered: it can be read then, and at its end
 * when the server is gone. -1: there is none to be had.
 */
int process_waker(unsigned slot);
/* This thread has something that is to be given back when it ends, however it does. */
void thread_known(void);
/* Have all that this thread's calls will need. */
void thread_prepare(void);
/* In a child of fork(): what this thread had is the parent's. */
void thread_forked(void);
/* A call found the server gone. */
void process_lost(void);
/* The descriptor that the server sent for SLOT; -1 with errno. */
int process_gift(unsigned slot, bool cloexec);

/* A socket made inline: END is the other end of its descriptor. */
int process_adopt(const struct shim_adopt *adopt, int end);
/* From the kernel: 0, or -1. */
int process_random(void *data, size_t n);

#endif
