/* SPDX-License-Identifier: MIT */
/*
 * Slabs come from aligned_alloc(3), and the last that were released are kept for whoever asks next:
 * else a send buffer that fills and drains would have the C library give pages back and the kernel
 * clear them anew, for every octet sent.
 */
#include "host/config.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CACHE_LINE 64u

#define KEPT_MAX 16u /* slabs: of POOL_SLAB_MAX, 16 MiB */
#ifdef __SANITIZE_ADDRESS__
#define KEPT_LEAST SIZE_MAX /* none: it is to see who uses one that was released */
#else
#define KEPT_LEAST (256u * 1024) /* what is smaller is the C library's business */
#endif

/* For all stacks of this process. */
static struct {
	pthread_mutex_t lock;
	unsigned n;
	struct kept {
		void *slab;
		size_t size;
	} slabs[KEPT_MAX];
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* One of exactly SIZE, the last released first: the cache may still have it. */
static void *kept_take(size_t size)
{
	void *slab = NULL;

	pthread_mutex_lock(&kept.lock);
	for (unsigned i = kept.n; i-- > 0 && !slab;) {
		if (kept.slabs[i].size != size)
			continue;
		slab = kept.slabs[i].slab;
		memmove(&kept.slabs[i], &kept.slabs[i + 1], (--kept.n - i) * sizeof(kept.slabs[0]));
	}
	pthread_mutex_unlock(&kept.lock);
	return slab;
}

/* What has lain there the longest goes. */
static void *kept_put(void *slab, size_t size)
{
	void *out = NULL;

	pthread_mutex_lock(&kept.lock);
	if (kept.n == KEPT_MAX) {
		out = kept.slabs[0].slab;
		memmove(&kept.slabs[0], &kept.slabs[1], --kept.n * sizeof(kept.slabs[0]));
	}
	kept.slabs[kept.n++] = (struct kept){ slab, size };
	pthread_mutex_unlock(&kept.lock);
	return out;
}

static void *slab_alloc(void *ctx, size_t size)
{
	void *slab = size < KEPT_LEAST ? NULL : kept_take(size);

	(void)ctx;
	if (slab)
		return slab;
	return aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
}

static void slab_release(void *ctx, void *slab, size_t size)
{
	(void)ctx;
	free(size < KEPT_LEAST ? slab : kept_put(slab, size));
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
