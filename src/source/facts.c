/* SPDX-License-Identifier: MIT */
/* Reads the files that facts_parse.c understands, in each namespace: see facts.h. */
#define _GNU_SOURCE
#include "source/facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/namespaces.h"

/* The largest file that is read: netstat has some 6 KiB, conntrack 130 bytes a processor. */
#define FILE_MAX (256 * 1024)

/* The whole of PATH, to be freed, or NULL. */
static char *file_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0, room = 4096;
	char *text = fd < 0 ? NULL : malloc(room);

	while (text) {
		ssize_t got = read(fd, text + n, room - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
		if (n + 1 < room)
			continue;
		char *more = room < FILE_MAX ? realloc(text, room * 2) : NULL;

		if (!more)
			break;
		text = more;
		room *= 2;
	}
	if (text)
		text[n] = 0;
	if (fd >= 0)
		close(fd);
	return text;
}

/* ---- One namespace --------------------------------------------------------------------------- */

/* The numbers of a file, as many as FACTS has, go there; VIEW_FACTS: passed over. */
static void read_numbers(struct view_host *host, const char *path, const enum view_fact *facts,
			 size_t n, uint64_t unit)
{
	char *text = file_read(path), *s = text;

	for (size_t i = 0; s && i < n; i++) {
		char *end;
		uint64_t value = strtoull(s, &end, 10);

		if (end == s)
			break;
		s = end;
		if (facts[i] == VIEW_FACTS || value > UINT64_MAX / unit)
			continue;
		host->fact[facts[i]] = value * unit;
		host->known |= (uint64_t)1 << facts[i];
	}
	free(text);
}

static void read_sysctls(struct view_host *host)
{
	static const struct {
		const char *path;
		enum view_fact fact;
	} single[] = {
		{ "/proc/sys/net/ipv4/tcp_max_tw_buckets", VIEW_FACT_timewait_max },
		{ "/proc/sys/net/ipv4/tcp_max_orphans", VIEW_FACT_orphans_max },
		{ "/proc/sys/net/ipv4/tcp_syncookies", VIEW_FACT_syncookies },
		{ "/proc/sys/net/ipv4/tcp_mtu_probing", VIEW_FACT_mtu_probing },
		{ "/proc/sys/net/ipv4/tcp_tw_reuse", VIEW_FACT_tw_reuse },
		{ "/proc/sys/net/core/somaxconn", VIEW_FACT_somaxconn },
		{ "/proc/sys/net/netfilter/nf_conntrack_count", VIEW_FACT_conntrack_number },
		{ "/proc/sys/net/netfilter/nf_conntrack_max", VIEW_FACT_conntrack_max },
	};
	static const enum view_fact ports[] = { VIEW_FACT_port_low, VIEW_FACT_port_high };
	static const enum view_fact memory[] = { VIEW_FACTS, VIEW_FACTS, VIEW_FACT_tcp_memory_max };

	for (size_t i = 0; i < sizeof(single) / sizeof(*single); i++)
		read_numbers(host, single[i].path, &single[i].fact, 1, 1);
	read_numbers(host, "/proc/sys/net/ipv4/ip_local_port_range", ports, 2, 1);
	read_numbers(host, "/proc/sys/net/ipv4/tcp_mem", memory, 3,
		     (uint64_t)sysconf(_SC_PAGESIZE));
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cpl_addr));
}

static void read_addresses(struct view_host *host)
{
	struct ifaddrs *all, *i;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return;
	for (i = all; i; i = i->ifa_next)
		n++;
	host->addr = calloc(n ? n : 1, sizeof(*host->addr));
	for (i = all; host->addr && i; i = i->ifa_next) {
		struct cpl_addr a = cpl_addr4(0, 0, 0, 0);

		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			memcpy(a.b + 12, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, 4);
		else if (i->ifa_addr->sa_family == AF_INET6)
			memcpy(a.b, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, 16);
		else
			continue;
		host->addr[host->addrs++] = a;
	}
	freeifaddrs(all);
	if (host->addrs)
		qsort(host->addr, host->addrs, sizeof(*host->addr), by_address);
}

/* Runs inside the namespace: in a thread, so that /proc/self would be another one's. */
static int read_host(void *arg)
{
	struct view_host *host = arg;
	char *text;

	text = file_read("/proc/thread-self/net/netstat");
	if (text)
		facts_parse_netstat(host, text);
	free(text);
	text = file_read("/proc/thread-self/net/sockstat");
	if (text)
		facts_parse_sockstat(host, text, (uint64_t)sysconf(_SC_PAGESIZE));
	free(text);
	text = file_read("/proc/thread-self/net/stat/nf_conntrack");
	if (text)
		facts_parse_conntrack(host, text);
	free(text);
	read_sysctls(host);
	read_addresses(host);
	return 0;
}

/* ---- Processes ------------------------------------------------------------------------------- */

static uint32_t count_descriptors(const char *path)
{
	struct stat st;
	uint32_t n = 0;
	DIR *dir;

	/* Since Linux 6.2 the directory's size is the number. */
	if (stat(path, &st) == 0 && st.st_size > 0)
		return (uint32_t)st.st_size;
	dir = opendir(path);
	if (!dir)
		return UINT32_MAX;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

static bool read_process(struct view_process *p, uint32_t pid)
{
	char path[64], *text;
	struct stat st;

	memset(p, 0, sizeof(*p));
	p->pid = pid;
	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	text = file_read(path);
	if (!text || !facts_parse_stat(p, text)) {
		free(text);
		return false;
	}
	free(text);
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	if (stat(path, &st) == 0)
		p->netns = (uint32_t)st.st_ino;
	snprintf(path, sizeof(path), "/proc/%u/limits", pid);
	text = file_read(path);
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	if (text && facts_parse_limits(p, text)) {
		p->descriptors = count_descriptors(path);
		p->known_limit = p->descriptors != UINT32_MAX;
	}
	free(text);
	return true;
}

static int by_number(const void *pa, const void *pb)
{
	const uint32_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static int read_processes(struct view_facts *facts, const uint32_t *pids, size_t n)
{
	uint32_t *sorted = malloc((n ? n : 1) * sizeof(*sorted));

	facts->process = calloc(n ? n : 1, sizeof(*facts->process));
	if (!sorted || !facts->process) {
		free(sorted);
		return -ENOMEM;
	}
	memcpy(sorted, pids, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_number);
	for (size_t i = 0; i < n; i++)
		if (sorted[i] && (!i || sorted[i] != sorted[i - 1]) &&
		    read_process(&facts->process[facts->processes], sorted[i]))
			facts->processes++;
	free(sorted);
	return 0;
}

/* ---- All together ---------------------------------------------------------------------------- */

static void read_namespace(struct view_facts *facts, const struct netns *ns,
			   struct source_notes *notes)
{
	struct view_host *host = &facts->host[facts->hosts];
	int err;

	host->netns = ns->inode;
	host->ours = ns->ours;
	snprintf(host->name, sizeof(host->name), "%s", ns->name);
	err = namespace_run(ns, read_host, host);
	if (!err)
		facts->hosts++;
	else if (err != -ENOENT)
		source_note(notes, CPL_SOURCE_UNKNOWN, SOURCE_PARTIAL, err,
			    "limits and counters of other namespaces were not looked at: %s%s",
			    err == -EPERM ? "that " : "",
			    err == -EPERM ? source_denied() : strerror(-err));
}

int facts_take(struct view_facts *facts, bool namespaces, const uint32_t *pids, size_t n,
	       struct source_notes *notes)
{
	struct netns ours = { .inode = source_own_netns(), .ours = true, .socket_fd = -1 };
	struct netns_list found = { 0 }, list = { .ns = &ours, .n = 1 };

	memset(facts, 0, sizeof(*facts));
	if (namespaces && namespaces_find(&found, NULL) == 0)
		list = found;
	facts->host = calloc(list.n ? list.n : 1, sizeof(*facts->host));
	for (size_t i = 0; facts->host && i < list.n; i++)
		read_namespace(facts, &list.ns[i], notes);
	namespaces_free(&found);
	return facts->host ? read_processes(facts, pids, n) : -ENOMEM;
}

void facts_free(struct view_facts *facts)
{
	for (size_t i = 0; i < facts->hosts; i++)
		free(facts->host[i].addr);
	free(facts->host);
	free(facts->process);
	free(facts->event);
	memset(facts, 0, sizeof(*facts));
}
