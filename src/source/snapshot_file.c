/* SPDX-License-Identifier: MIT */
/* One host's passes, with its name and addresses, and their file: see snapshot_file.h. */
#include "source/snapshot_file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void snapshot_init(struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	passes_init(&s->passes);
}

void snapshot_free(struct snapshot *s)
{
	passes_free(&s->passes);
	free(s->address);
	free(s->used);
	snapshot_init(s);
}

/* ---- This host ------------------------------------------------------------------------------- */

static bool is_loopback(const struct cpl_addr *a)
{
	static const struct cpl_addr one = { { [15] = 1 } };

	return cpl_addr_is4(a) ? a->b[12] == 127 : cpl_addr_equal(a, &one);
}

static bool has(const struct snapshot *s, const struct cpl_addr *addr)
{
	for (size_t i = 0; i < s->addresses; i++)
		if (cpl_addr_equal(&s->address[i], addr))
			return true;
	return false;
}

static int add_address(struct snapshot *s, const struct cpl_addr *addr)
{
	struct cpl_addr *more;

	if (is_loopback(addr) || has(s, addr))
		return 0;
	more = reallocarray(s->address, s->addresses + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	s->address = more;
	s->address[s->addresses++] = *addr;
	return 0;
}

static bool from_sockaddr(const struct sockaddr *sa, struct cpl_addr *addr)
{
	if (sa && sa->sa_family == AF_INET) {
		*addr = cpl_addr4(0, 0, 0, 0);
		memcpy(addr->b + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa && sa->sa_family == AF_INET6) {
		memcpy(addr->b, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	} else {
		return false;
	}
	return true;
}

/* Those of this namespace. Without them an end that is missing is taken for a remote one. */
static int own_addresses(struct snapshot *s)
{
	struct ifaddrs *list, *i;
	struct cpl_addr addr;
	int err = 0;

	if (getifaddrs(&list) < 0)
		return 0;
	for (i = list; i && !err; i = i->ifa_next)
		if (from_sockaddr(i->ifa_addr, &addr))
			err = add_address(s, &addr);
	freeifaddrs(list);
	return err;
}

static void own_boot(struct snapshot *s)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!file)
		return;
	if (!fgets(s->boot, sizeof(s->boot), file))
		s->boot[0] = 0;
	s->boot[strcspn(s->boot, "\n")] = 0;
	fclose(file);
}

int snapshot_here(struct snapshot *s, const struct source_options *options)
{
	struct timespec now;

	s->here = true;
	s->all_namespaces = options->namespaces && geteuid() == 0;
	if (gethostname(s->host, sizeof(s->host) - 1) < 0)
		s->host[0] = 0;
	own_boot(s);
	clock_gettime(CLOCK_REALTIME, &now);
	s->when = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return own_addresses(s);
}

bool snapshot_owns(const struct snapshot *s, const struct cpl_addr *addr)
{
	return is_loopback(addr) || has(s, addr);
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cpl_addr));
}

int snapshot_learn(struct snapshot *s)
{
	const struct snapshot_set *set = &s->passes.set[0];
	size_t n = 0;

	free(s->used);
	s->used = malloc((set->n ? set->n : 1) * sizeof(*s->used));
	s->uses = 0;
	if (!s->used)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++)
		if (!n || !cpl_addr_equal(&s->used[n - 1], &set->info[i].local_addr))
			s->used[n++] = set->info[i].local_addr;
	qsort(s->used, n, sizeof(*s->used), by_address);
	for (size_t i = 0; i < n; i++)
		if (!s->uses || !cpl_addr_equal(&s->used[s->uses - 1], &s->used[i]))
			s->used[s->uses++] = s->used[i];
	return 0;
}

bool snapshot_uses(const struct snapshot *s, const struct cpl_addr *addr)
{
	return s->uses && bsearch(addr, s->used, s->uses, sizeof(*addr), by_address);
}
