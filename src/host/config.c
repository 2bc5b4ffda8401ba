/* SPDX-License-Identifier: MIT */
/*
 * Slabs come from aligned_alloc(3). The pools above keep a slab in reserve each, and the C library
 * stops unmapping large blocks once some were freed: a stack at work touches no new pages.
 */
#include "host/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CACHE_LINE 64u

static void *slab_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
}

static void slab_release(void *ctx, void *slab, size_t size)
{
	(void)ctx, (void)size;
	free(slab);
}

int config_fill(struct cpl_config *config, struct link_why *why)
{
	ssize_t n;

	cpl_config_init(config);
	config->alloc = slab_alloc;
	config->release = slab_release;
	do
		n = getrandom(config->secret, sizeof(config->secret), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(config->secret))
		return link_fail(why, n < 0 ? -errno : -EIO,
				 "the kernel gives no random octets: %s",
				 n < 0 ? strerror(errno) : "too few");
	return 0;
}
