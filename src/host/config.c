/* SPDX-License-Identifier: MIT */
/*
 * Slabs come from regions (slabs.h), the smallest and the largest from the C library, and the last
 * that were released are kept for whoever asks next: else a send buffer that fills and drains would
 * have pages given back and cleared anew, for every octet sent. The C library would give back
 * nothing of a peak that is over: it keeps what is not at the end of its heap.
 */
#define _GNU_SOURCE
#include "host/config.h"

#include "host/slabs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define CACHE_LINE 64u

#define KEPT_MAX 16u /* slabs of each kind: of POOL_SLAB_MAX, 16 MiB */
#ifdef __SANITIZE_ADDRESS__
#define KEPT_LEAST SIZE_MAX /* none: it is to see who uses one that was released */
#else
#define KEPT_LEAST SLABS_LEAST
#endif

struct kept {
	unsigned n;
	struct kept_slab {
		void *slab;
		size_t size;
	} slabs[KEPT_MAX];
};

/* For all stacks of this process: large ones apart, lest the many push them out. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept large, small;
static struct slabs regions;

static struct kept *kept_for(size_t size)
{
	return size >= SLABS_MOST ? &large : &small;
}

/* One of exactly SIZE, the last released first: the cache may still have it. */
static void *kept_take(size_t size)
{
	struct kept *kept = kept_for(size);
	void *slab = NULL;

	pthread_mutex_lock(&lock);
	for (unsigned i = kept->n; i-- > 0 && !slab;) {
		if (kept->slabs[i].size != size)
			continue;
		slab = kept->slabs[i].slab;
		memmove(&kept->slabs[i], &kept->slabs[i + 1],
			(--kept->n - i) * sizeof(kept->slabs[0]));
	}
	pthread_mutex_unlock(&lock);
	return slab;
}

/* What has lain there the longest goes. */
static struct kept_slab kept_put(void *slab, size_t size)
{
	struct kept *kept = kept_for(size);
	struct kept_slab out = { NULL, 0 };

	pthread_mutex_lock(&lock);
	if (kept->n == KEPT_MAX) {
		out = kept->slabs[0];
		memmove(&kept->slabs[0], &kept->slabs[1], --kept->n * sizeof(kept->slabs[0]));
	}
	kept->slabs[kept->n++] = (struct kept_slab){ slab, size };
	pthread_mutex_unlock(&lock);
	return out;
}

static bool has_region(size_t size)
{
	return size >= KEPT_LEAST && size < SLABS_MOST;
}

static void *slab_alloc(void *ctx, size_t size)
{
	void *slab = size < KEPT_LEAST ? NULL : kept_take(size);

	(void)ctx;
	if (slab)
		return slab;
	if (!has_region(size))
		return aligned_alloc(CACHE_LINE,
				     (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1));
	pthread_mutex_lock(&lock);
	slab = slabs_take(&regions, size);
	pthread_mutex_unlock(&lock);
	return slab;
}

static void slab_release(void *ctx, void *slab, size_t size)
{
	struct kept_slab out = { slab, size };

	(void)ctx;
	if (size >= KEPT_LEAST)
		out = kept_put(slab, size);
	if (!out.slab)
		return;
	if (!has_region(out.size)) {
		free(out.slab);
		return;
	}
	pthread_mutex_lock(&lock);
	slabs_release(out.slab);
	pthread_mutex_unlock(&lock);
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
