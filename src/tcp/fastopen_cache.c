/* SPDX-License-Identifier: MIT */
/* The cookies of other hosts (RFC 7413 4.1.3), as fastopen.h says. */
#include "tcp/fastopen.h"

#include <string.h>

#define WAYS 4u

void fastopen_cache_init(struct fastopen_cache *c, struct mem *mem, const struct siphash_key *key,
			 uint32_t limit)
{
	memset(c, 0, sizeof(*c));
	c->mem = mem;
	c->key = *key;
	if (!limit)
		return;
	c->entries_n = WAYS;
	while (c->entries_n < limit)
		c->entries_n *= 2;
}

void fastopen_cache_destroy(struct fastopen_cache *c)
{
	if (c->entries)
		mem_release(c->mem, c->entries, c->entries_n * sizeof(*c->entries));
	c->entries = NULL;
}

static struct fastopen_entry *set_of(const struct fastopen_cache *c, const struct cpl_addr *local,
				     const struct cpl_addr *remote)
{
	struct cpl_addr both[2] = { *local, *remote };
	uint32_t hash = (uint32_t)siphash13(&c->key, both, sizeof(both));

	return &c->entries[hash & (c->entries_n - 1) & ~(WAYS - 1)];
}

struct fastopen_entry *fastopen_cache_get(struct fastopen_cache *c, const struct cpl_addr *local,
					  const struct cpl_addr *remote)
{
	struct fastopen_entry *set;

	if (!c->entries)
		return NULL;
	set = set_of(c, local, remote);
	for (unsigned i = 0; i < WAYS; i++) {
		if (!set[i].used || !cpl_addr_equal(&set[i].local, local) ||
		    !cpl_addr_equal(&set[i].remote, remote))
			continue;
		set[i].used = ++c->clock;
		return &set[i];
	}
	return NULL;
}

struct fastopen_entry *fastopen_cache_put(struct fastopen_cache *c, const struct cpl_addr *local,
					  const struct cpl_addr *remote)
{
	struct fastopen_entry *e = fastopen_cache_get(c, local, remote), *set;

	if (e || !c->entries_n)
		return e;
	if (!c->entries) {
		c->entries = mem_alloc(c->mem, c->entries_n * sizeof(*c->entries));
		if (!c->entries)
			return NULL;
		memset(c->entries, 0, c->entries_n * sizeof(*c->entries));
	}
	set = set_of(c, local, remote);
	e = set;
	for (unsigned i = 1; i < WAYS; i++)
		if (set[i].used < e->used)
			e = &set[i];
	*e = (struct fastopen_entry){ .local = *local, .remote = *remote, .used = ++c->clock };
	return e;
}
