/* SPDX-License-Identifier: MIT */
/* Looking up facts: see facts.h. */
#include "view/facts.h"

#include <stdlib.h>
#include <string.h>

const struct view_host *view_facts_host(const struct view_facts *facts, uint32_t netns)
{
	for (size_t i = 0; facts && i < facts->hosts; i++)
		if (facts->host[i].netns == netns || (!netns && facts->host[i].ours))
			return &facts->host[i];
	return NULL;
}

static int by_pid(const void *key, const void *element)
{
	uint32_t pid = *(const uint32_t *)key;
	const struct view_process *p = element;

	return (pid > p->pid) - (pid < p->pid);
}

const struct view_process *view_facts_process(const struct view_facts *facts, uint32_t pid)
{
	if (!facts || !facts->processes)
		return NULL;
	return bsearch(&pid, facts->process, facts->processes, sizeof(*facts->process), by_pid);
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cpl_addr));
}

bool view_host_has(const struct view_host *host, const struct cpl_addr *addr)
{
	return host && host->addrs &&
	       bsearch(addr, host->addr, host->addrs, sizeof(*host->addr), by_bytes);
}

bool view_fact_get(const struct view_host *host, enum view_fact fact, uint64_t *value)
{
	bool known = host && (host->known >> fact & 1);

	*value = known ? host->fact[fact] : 0;
	return known;
}
