/* SPDX-License-Identifier: MIT */
/*
 * Names: the C library's resolver has no network here and asks without our calls; the server asks
 * in its own network namespace instead. Text to address and back is the C library's own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "shim/shim.h"

/* ---- getaddrinfo(3) ------------------------------------------------------------------------- */

/* One piece of memory for each address, its socket address and its canonical name. */
struct answer {
	struct addrinfo info;
	struct sockaddr_storage addr;
	char canon[];
};

static struct addrinfo *answer_new(const struct shim_name_answer *from)
{
	size_t canon = strnlen(from->canon, sizeof(from->canon) - 1);
	struct answer *a = calloc(1, sizeof(*a) + canon + 1);

	if (!a)
		return NULL;
	a->info.ai_flags = from->flags;
	a->info.ai_family = from->family;
	a->info.ai_socktype = from->socktype;
	a->info.ai_protocol = from->protocol;
	a->info.ai_addrlen = from->addr_len;
	a->info.ai_addr = (struct sockaddr *)&a->addr;
	memcpy(&a->addr, from->addr, sizeof(from->addr));
	memcpy(a->canon, from->canon, canon);
	if (canon)
		a->info.ai_canonname = a->canon;
	return &a->info;
}

EXPORT void freeaddrinfo(struct addrinfo *list)
{
	struct addrinfo *next;

	for (; list; list = next) {
		next = list->ai_next;
		free(list);
	}
}

static int answers_read(const struct shim_slot *slot, int64_t n, struct addrinfo **list)
{
	const struct shim_name_answer *from =
		(const struct shim_name_answer *)(const void *)slot->data;

	*list = NULL;
	for (; n > 0 && (uint64_t)n <= SHIM_NAMES_MAX; from++, n--) {
		*list = answer_new(from);
		if (!*list)
			return EAI_MEMORY;
		list = &(*list)->ai_next;
	}
	return 0;
}

/* A result of SHIM_NAMES that says what was wrong: EAI_*. */
static int eai_of(int64_t result)
{
	if (result < SHIM_EAI)
		return (int)(result - SHIM_EAI); /* EAI_* are negative */
	errno = (int)-result;
	return EAI_SYSTEM;
}

EXPORT int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		       struct addrinfo **list)
{
	struct shim_name_ask *ask;
	struct shim_slot *slot;
	int64_t result;
	int err;

	if ((node && strlen(node) >= sizeof(ask->node)) ||
	    (service && strlen(service) >= sizeof(ask->service)))
		return EAI_NONAME;
	slot = process_served() ? call_begin(SHIM_NAMES, -1, 0) : NULL;
	if (!slot)
		return process_served() ? EAI_SYSTEM
					: REAL(getaddrinfo)(node, service, hints, list);
	ask = (struct shim_name_ask *)(void *)slot->data;
	memset(ask, 0, sizeof(*ask));
	ask->has = (node ? 1 : 0) | (service ? 2 : 0) | (hints ? 4 : 0);
	strcpy(ask->node, node ? node : "");
	strcpy(ask->service, service ? service : "");
	if (hints) {
		ask->flags = hints->ai_flags;
		ask->family = hints->ai_family;
		ask->socktype = hints->ai_socktype;
		ask->protocol = hints->ai_protocol;
	}
	slot->request.data_len = sizeof(*ask);
	result = call_do(slot, true);
	if (result >= 0) {
		err = answers_read(slot, result, list);
		if (err)
			freeaddrinfo(*list);
	} else {
		err = eai_of(result);
	}
	call_end(slot);
	return err;
}

/* ---- getnameinfo(3) ------------------------------------------------------------------------- */

static int name_copy(char *to, socklen_t room, const char *from)
{
	if (!to || !room)
		return 0;
	if (strlen(from) >= room)
		return EAI_OVERFLOW;
	strcpy(to, from);
	return 0;
}

EXPORT int getnameinfo(const struct sockaddr *addr, socklen_t len, char *host, socklen_t host_len,
		       char *service, socklen_t service_len, int flags)
{
	bool wants = host && host_len && addr &&
		     (addr->sa_family == AF_INET || addr->sa_family == AF_INET6);
	struct shim_name_ask *ask;
	struct shim_slot *slot;
	int64_t result;
	int err;

	/* Numbers, and the names of services, need no network. */
	if (!process_served() || !wants || flags & NI_NUMERICHOST || len > sizeof(ask->addr))
		return REAL(getnameinfo)(addr, len, host, host_len, service, service_len, flags);
	slot = call_begin(SHIM_NAMES, -1, 0);
	if (!slot)
		return EAI_SYSTEM;
	ask = (struct shim_name_ask *)(void *)slot->data;
	memset(ask, 0, sizeof(*ask));
	ask->flags = flags;
	ask->has = 1 | (service && service_len ? 2 : 0);
	ask->addr_len = len;
	memcpy(ask->addr, addr, len);
	slot->request.data_len = sizeof(*ask);
	result = call_do(slot, true);
	err = result < 0 ? eai_of(result) : name_copy(host, host_len, ask->node);
	if (!err)
		err = name_copy(service, service_len, ask->service);
	call_end(slot);
	return err;
}

/* ---- gethostbyname(3) and its like ---------------------------------------------------------- */

/* What a struct hostent points to, in the caller's buffer. */
struct host_room {
	char *addrs[36];
	char *aliases[1];
	uint8_t octets[35][16];
	char name[256];
};

static int host_error(int eai)
{
	switch (eai) {
	case EAI_AGAIN:
		return TRY_AGAIN;
	case EAI_FAIL:
		return NO_RECOVERY;
	case EAI_NONAME:
		return HOST_NOT_FOUND;
	default:
		return eai == EAI_NODATA ? NO_DATA : NETDB_INTERNAL;
	}
}

static void host_fill(struct hostent *host, struct host_room *room, const struct addrinfo *list,
		      int family, const char *name)
{
	unsigned n = 0;

	for (const struct addrinfo *a = list; a && n < 35; a = a->ai_next) {
		if (a->ai_family != family)
			continue;
		if (family == AF_INET)
			memcpy(room->octets[n],
			       &((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr, 4);
		else
			memcpy(room->octets[n],
			       &((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr, 16);
		room->addrs[n] = (char *)room->octets[n];
		n++;
	}
	room->addrs[n] = NULL;
	room->aliases[0] = NULL;
	snprintf(room->name, sizeof(room->name), "%s",
		 list && list->ai_canonname ? list->ai_canonname : name);
	host->h_name = room->name;
	host->h_aliases = room->aliases;
	host->h_addrtype = family;
	host->h_length = family == AF_INET ? 4 : 16;
	host->h_addr_list = room->addrs;
}

/* The LEN octets at ADDR of at->ss_family. False: it has no such addresses. */
static bool host_address(struct sockaddr_storage *at, const void *addr, socklen_t len)
{
	if (at->ss_family == AF_INET && len == 4)
		memcpy(&((struct sockaddr_in *)(void *)at)->sin_addr, addr, 4);
	else if (at->ss_family == AF_INET6 && len == 16)
		memcpy(&((struct sockaddr_in6 *)(void *)at)->sin6_addr, addr, 16);
	else
		return false;
	return true;
}

EXPORT int gethostbyname2_r(const char *name, int family, struct hostent *host, char *buffer,
			    size_t size, struct hostent **result, int *error)
{
	struct addrinfo hints = { .ai_family = family,
				  .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_CANONNAME };
	size_t skip = -(uintptr_t)buffer & (sizeof(char *) - 1);
	struct addrinfo *list = NULL;
	int err;

	*result = NULL;
	if (size < skip + sizeof(struct host_room)) {
		*error = NETDB_INTERNAL;
		return ERANGE;
	}
	err = getaddrinfo(name, NULL, &hints, &list);
	if (err) {
		*error = host_error(err);
		return *error == TRY_AGAIN ? EAGAIN : 0;
	}
	host_fill(host, (struct host_room *)(void *)(buffer + skip), list, family, name);
	freeaddrinfo(list);
	*result = host;
	return 0;
}

EXPORT int gethostbyname_r(const char *name, struct hostent *host, char *buffer, size_t size,
			   struct hostent **result, int *error)
{
	return gethostbyname2_r(name, AF_INET, host, buffer, size, result, error);
}

/* Not for several threads, as it always was. */
EXPORT struct hostent *gethostbyname2(const char *name, int family)
{
	static struct host_room room;
	static struct hostent host;
	struct hostent *result = NULL;
	int error = 0;

	gethostbyname2_r(name, family, &host, (char *)&room, sizeof(room), &result, &error);
	if (!result)
		h_errno = error;
	return result;
}

EXPORT struct hostent *gethostbyname(const char *name)
{
	return gethostbyname2(name, AF_INET);
}

EXPORT int gethostbyaddr_r(const void *addr, socklen_t len, int family, struct hostent *host,
			   char *buffer, size_t size, struct hostent **result, int *error)
{
	struct sockaddr_storage at = { .ss_family = (sa_family_t)family };
	struct addrinfo one = { .ai_family = family, .ai_addr = (struct sockaddr *)&at };
	size_t skip = -(uintptr_t)buffer & (sizeof(char *) - 1);
	char name[256];
	int err;

	*result = NULL;
	if (size < skip + sizeof(struct host_room) || !host_address(&at, addr, len)) {
		*error = NETDB_INTERNAL;
		return size < skip + sizeof(struct host_room) ? ERANGE : EINVAL;
	}
	err = getnameinfo(one.ai_addr,
			  family == AF_INET ? sizeof(struct sockaddr_in)
					    : sizeof(struct sockaddr_in6),
			  name, sizeof(name), NULL, 0, NI_NAMEREQD);
	if (err) {
		*error = host_error(err);
		return *error == TRY_AGAIN ? EAGAIN : 0;
	}
	host_fill(host, (struct host_room *)(void *)(buffer + skip), &one, family, name);
	*result = host;
	return 0;
}

EXPORT struct hostent *gethostbyaddr(const void *addr, socklen_t len, int family)
{
	static struct host_room room;
	static struct hostent host;
	struct hostent *result = NULL;
	int error = 0;

	gethostbyaddr_r(addr, len, family, &host, (char *)&room, sizeof(room), &result, &error);
	if (!result)
		h_errno = error;
	return result;
}

/* ---- Interfaces ----------------------------------------------------------------------------- */

struct iface {
	struct ifaddrs list;
	struct sockaddr_storage addr, mask;
	char name[16];
};

static void mask_fill(uint8_t *octets, unsigned bits)
{
	for (; bits >= 8; bits -= 8)
		*octets++ = 0xff;
	if (bits)
		*octets = (uint8_t)(0xff00 >> bits);
}

static void iface_fill(struct iface *i, const struct shim_addr *from)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(i->name, from->ifname, sizeof(i->name) - 1);
	i->list.ifa_name = i->name;
	i->list.ifa_flags = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
	if (!strcmp(i->name, "lo"))
		i->list.ifa_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
	i->list.ifa_addr = (struct sockaddr *)&i->addr;
	i->list.ifa_netmask = (struct sockaddr *)&i->mask;
	if (!memcmp(from->addr, mapped, sizeof(mapped))) {
		struct sockaddr_in *a = (void *)&i->addr, *m = (void *)&i->mask;

		a->sin_family = m->sin_family = AF_INET;
		memcpy(&a->sin_addr, from->addr + 12, 4);
		mask_fill((uint8_t *)&m->sin_addr,
			  from->prefix_len > 32 ? from->prefix_len - 96 : from->prefix_len);
	} else {
		struct sockaddr_in6 *a = (void *)&i->addr, *m = (void *)&i->mask;

		a->sin6_family = m->sin6_family = AF_INET6;
		memcpy(&a->sin6_addr, from->addr, 16);
		if (IN6_IS_ADDR_LINKLOCAL(&a->sin6_addr))
			a->sin6_scope_id = from->ifindex;
		mask_fill((uint8_t *)&m->sin6_addr, from->prefix_len);
	}
}

/* The stack's addresses, in ROOM. Returns how many. */
static int addrs_read(struct shim_addr *room, unsigned max)
{
	struct shim_slot *slot = call_begin(SHIM_ADDRS, -1, 0);
	int64_t n;

	if (!slot)
		return -1;
	n = call_do(slot, false);
	if (n > (int64_t)max)
		n = (int64_t)max;
	if (n > 0)
		memcpy(room, slot->data, (size_t)n * sizeof(*room));
	call_end(slot);
	return (int)result_of(n);
}

EXPORT void freeifaddrs(struct ifaddrs *list)
{
	struct ifaddrs *next;

	if (!process_served()) {
		REAL(freeifaddrs)(list);
		return;
	}
	for (; list; list = next) {
		next = list->ifa_next;
		free(list);
	}
}

EXPORT int getifaddrs(struct ifaddrs **list)
{
	struct shim_addr addrs[64];
	int n;

	if (!process_served())
		return REAL(getifaddrs)(list);
	n = addrs_read(addrs, 64);
	if (n < 0)
		return -1;
	*list = NULL;
	for (int k = n; k-- > 0;) {
		struct iface *i = calloc(1, sizeof(*i));

		if (!i) {
			freeifaddrs(*list);
			errno = ENOMEM;
			return -1;
		}
		iface_fill(i, &addrs[k]);
		i->list.ifa_next = *list;
		*list = &i->list;
	}
	return 0;
}

EXPORT unsigned if_nametoindex(const char *name)
{
	struct shim_addr addrs[64];
	int n;

	if (!process_served())
		return REAL(if_nametoindex)(name);
	n = addrs_read(addrs, 64);
	for (int k = 0; k < n; k++)
		if (!strncmp(addrs[k].ifname, name, sizeof(addrs[k].ifname)))
			return addrs[k].ifindex;
	errno = ENODEV;
	return 0;
}

EXPORT char *if_indextoname(unsigned ifindex, char name[IF_NAMESIZE])
{
	struct shim_addr addrs[64];
	int n;

	if (!process_served())
		return REAL(if_indextoname)(ifindex, name);
	n = addrs_read(addrs, 64);
	for (int k = 0; k < n; k++)
		if (addrs[k].ifindex == ifindex) {
			memcpy(name, addrs[k].ifname, IF_NAMESIZE);
			return name;
		}
	errno = ENXIO;
	return NULL;
}
