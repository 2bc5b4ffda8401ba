/* SPDX-License-Identifier: MIT */
/* A stack's configuration for a real process: memory from the C library, secrets from the kernel.
 */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include <couplet/couplet.h>

#include "link/link.h"

/*
 * All defaults, the allocator, and 32 unpredictable octets (getrandom(2)). Returns 0 or a negative
 * errno with a sentence in WHY.
 */
int config_fill(struct cpl_config *config, struct link_why *why);

#endif
