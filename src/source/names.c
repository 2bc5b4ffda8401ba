/* SPDX-License-Identifier: MIT */
/* Names of hosts and services, looked up beside the table that wants them. See names.h. */
#include "source/names.h"

#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define BUCKETS 1024

struct host {
	struct host *next;  /* in its bucket */
	struct host *queue; /* the next one to look up */
	struct cpl_addr addr;
	uint32_t ifindex;
	bool done;
	char *name; /* NULL: none, or not done */
};

struct service {
	struct service *next;
	uint16_t port;
	uint8_t protocol;
	char *name; /* NULL: none */
};

struct names {
	names_resolver resolver;
	void *arg;
	struct service *services[BUCKETS]; /* the owner's alone */
	bool services_known;

	pthread_mutex_t lock; /* for all that follows */
	pthread_cond_t work;  /* the queue is not empty, or closing */
	pthread_cond_t idle;  /* pending came to 0 */
	struct host *hosts[BUCKETS];
	struct host *first, **last; /* the queue */
	size_t pending;		    /* wanted and not done */
	unsigned threads;
	unsigned waiting; /* threads with nothing to do */
	unsigned users;	  /* threads, and the owner */
	bool closing;
};

static int resolve(void *arg, const struct cpl_addr *addr, uint32_t ifindex, char *name,
		   size_t size)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_scope_id = ifindex };
	struct sockaddr_in four = { .sin_family = AF_INET };

	(void)arg;
	if (cpl_addr_is4(addr)) {
		memcpy(&four.sin_addr, addr->b + 12, 4);
		return getnameinfo((struct sockaddr *)&four, sizeof(four), name, (socklen_t)size,
				   NULL, 0, NI_NAMEREQD);
	}
	memcpy(&six.sin6_addr, addr->b, 16);
	return getnameinfo((struct sockaddr *)&six, sizeof(six), name, (socklen_t)size, NULL, 0,
			   NI_NAMEREQD);
}

struct names *names_new(names_resolver resolver, void *arg)
{
	struct names *n = calloc(1, sizeof(*n));
	pthread_condattr_t attr;

	if (!n)
		return NULL;
	n->resolver = resolver ? resolver : resolve;
	n->arg = arg;
	n->last = &n->first;
	n->users = 1;
	pthread_mutex_init(&n->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&n->work, NULL);
	pthread_cond_init(&n->idle, &attr);
	pthread_condattr_destroy(&attr);
	return n;
}

static void destroy(struct names *n)
{
	for (unsigned b = 0; b < BUCKETS; b++) {
		for (struct host *h = n->hosts[b], *next; h; h = next) {
			next = h->next;
			free(h->name);
			free(h);
		}
		for (struct service *s = n->services[b], *next; s; s = next) {
			next = s->next;
			free(s->name);
			free(s);
		}
	}
	pthread_cond_destroy(&n->work);
	pthread_cond_destroy(&n->idle);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

/* With the lock held, which is released; the last user frees all. */
static void leave(struct names *n)
{
	bool last = --n->users == 0;

	pthread_mutex_unlock(&n->lock);
	if (last)
		destroy(n);
}

void names_free(struct names *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->closing = true;
	pthread_cond_broadcast(&n->work);
	leave(n);
}

/* ---- The threads ----------------------------------------------------------------------------- */

static void look_up(struct names *n, struct host *h)
{
	char name[NI_MAXHOST];
	char *copy = NULL;

	pthread_mutex_unlock(&n->lock);
	if (n->resolver(n->arg, &h->addr, h->ifindex, name, sizeof(name)) == 0 && name[0])
		copy = strdup(name);
	pthread_mutex_lock(&n->lock);
	h->name = copy;
	h->done = true;
	if (--n->pending == 0)
		pthread_cond_broadcast(&n->idle);
}

static void *worker(void *arg)
{
	struct names *n = arg;

	pthread_mutex_lock(&n->lock);
	while (!n->closing) {
		struct host *h = n->first;

		if (!h) {
			n->waiting++;
			pthread_cond_wait(&n->work, &n->lock);
			n->waiting--;
			continue;
		}
		n->first = h->queue;
		if (!n->first)
			n->last = &n->first;
		look_up(n, h);
	}
	leave(n);
	return NULL;
}

/* One more thread, if all are busy; with the lock held. */
static void hire(struct names *n)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (n->waiting || n->threads == NAMES_THREADS)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, worker, n) == 0) {
		n->threads++;
		n->users++;
	}
	pthread_attr_destroy(&attr);
}

/* ---- Hosts ----------------------------------------------------------------------------------- */

static struct host **bucket(struct names *n, const struct cpl_addr *addr)
{
	uint32_t word, sum = 0;

	for (int i = 0; i < 16; i += 4) {
		memcpy(&word, addr->b + i, 4);
		sum = (sum ^ word) * 0x9e3779b1u;
	}
	return &n->hosts[sum >> 22];
}

static struct host *find(struct names *n, const struct cpl_addr *addr, uint32_t ifindex)
{
	for (struct host *h = *bucket(n, addr); h; h = h->next)
		if (h->ifindex == ifindex && cpl_addr_equal(&h->addr, addr))
			return h;
	return NULL;
}

static bool is_any(const struct cpl_addr *addr)
{
	static const struct cpl_addr any6;
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0);

	return cpl_addr_equal(addr, &any6) || cpl_addr_equal(addr, &any4);
}

void names_want(struct names *n, const struct cpl_addr *addr, uint32_t ifindex)
{
	struct host *h;

	if (is_any(addr))
		return;
	pthread_mutex_lock(&n->lock);
	if (!find(n, addr, ifindex) && (h = calloc(1, sizeof(*h))) != NULL) {
		h->addr = *addr;
		h->ifindex = ifindex;
		h->next = *bucket(n, addr);
		*bucket(n, addr) = h;
		*n->last = h;
		n->last = &h->queue;
		n->pending++;
		hire(n);
		pthread_cond_signal(&n->work);
	}
	pthread_mutex_unlock(&n->lock);
}

size_t names_wait(struct names *n, unsigned ms)
{
	struct timespec until;
	size_t left;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000l;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_nsec -= 1000000000l;
		until.tv_sec++;
	}
	pthread_mutex_lock(&n->lock);
	while (n->pending && n->threads && !err)
		err = pthread_cond_timedwait(&n->idle, &n->lock, &until);
	left = n->pending;
	pthread_mutex_unlock(&n->lock);
	return left;
}

const char *names_host(struct names *n, const struct cpl_addr *addr, uint32_t ifindex)
{
	const struct host *h;
	const char *name;

	pthread_mutex_lock(&n->lock);
	h = find(n, addr, ifindex);
	name = h ? h->name : NULL; /* once set, it stays */
	pthread_mutex_unlock(&n->lock);
	return name;
}

/* ---- Services -------------------------------------------------------------------------------- */

static struct service **service_find(struct names *n, uint16_t port, uint8_t protocol)
{
	struct service **at = &n->services[port % BUCKETS];

	while (*at && ((*at)->port != port || (*at)->protocol != protocol))
		at = &(*at)->next;
	return at;
}

/* All of them at once: to ask for each port would read the file again for each. */
static void services_read(struct names *n)
{
	struct servent *entry;

	setservent(1);
	while ((entry = getservent()) != NULL) {
		uint8_t protocol = strcmp(entry->s_proto, "tcp") == 0	? IPPROTO_TCP
				   : strcmp(entry->s_proto, "udp") == 0 ? IPPROTO_UDP
									: 0;
		uint16_t port = ntohs((uint16_t)entry->s_port);
		struct service **at = service_find(n, port, protocol), *s;

		if (!protocol || *at || (s = calloc(1, sizeof(*s))) == NULL)
			continue; /* the first name is the one */
		s->port = port;
		s->protocol = protocol;
		s->name = strdup(entry->s_name);
		*at = s;
	}
	endservent();
}

const char *names_service(struct names *n, uint16_t port, uint8_t protocol)
{
	const struct service *s;

	if (!n->services_known)
		services_read(n);
	n->services_known = true;
	s = *service_find(n, port, protocol);
	return s ? s->name : NULL;
}
