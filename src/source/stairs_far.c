/* SPDX-License-Identifier: MIT */
/*
 * The other network namespaces of this machine: which of them has the destination's address, who
 * listens there, what its kernel counts as dropped, and its way back to us.
 *
 * A namespace is entered by a thread of its own (setns(2) moves only the thread that calls it),
 * which ends afterwards. Entering needs CAP_SYS_ADMIN; without it only our own is looked at.
 */
#define _GNU_SOURCE
#include "source/stairs_step.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/rtnetlink.h>

#include "source/owner.h"
#include "wire/ip.h"

/* ---- Finding them ---------------------------------------------------------------------------- */

/* Takes FD over. */
static void add_place(struct stairs_far *far, int fd, const char *name, bool ours)
{
	struct stat st;
	struct far_place *p = &far->place[far->places];

	if (fd < 0 || fstat(fd, &st) < 0 || far->places == STAIRS_PLACES) {
		if (fd >= 0)
			close(fd);
		far->denied++;
		return;
	}
	for (unsigned i = 0; i < far->places; i++)
		if (far->place[i].netns == (uint32_t)st.st_ino) {
			close(fd);
			return;
		}
	memset(p, 0, sizeof(*p));
	p->fd = fd;
	p->netns = (uint32_t)st.st_ino;
	p->ours = ours;
	snprintf(p->name, sizeof(p->name), "%s", name);
	far->places++;
}

struct far_place *far_add_place(struct stairs_far *far, const char *name)
{
	struct far_place *p = &far->place[far->places];

	if (far->places == STAIRS_PLACES)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->fd = -1;
	p->peer = true;
	snprintf(p->name, sizeof(p->name), "%.31s", name);
	far->places++;
	return p;
}

static void add_named(struct stairs_far *far)
{
	static const char *const dirs[] = { "/run/netns", "/run/docker/netns" };

	for (unsigned i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		DIR *dir = opendir(dirs[i]);
		struct dirent *entry;

		while (dir && (entry = readdir(dir)) != NULL)
			if (entry->d_name[0] != '.')
				add_place(far,
					  openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC),
					  entry->d_name, false);
		if (dir)
			closedir(dir);
	}
}

/* Namespaces without a name have processes in them. */
static void add_of_processes(struct stairs_far *far)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)) != NULL) {
		char path[40], name[32] = "";
		int fd;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "%.20s/ns/net", entry->d_name);
		fd = openat(dirfd(dir), path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 && (errno == ENOENT || errno == ESRCH))
			continue; /* it has just ended */
		snprintf(name, sizeof(name), "of pid %.10s", entry->d_name);
		add_place(far, fd, name, false);
	}
	if (dir)
		closedir(dir);
}

/* ---- Inside ---------------------------------------------------------------------------------- */

static void read_counters(uint64_t counter[FAR_COUNTERS])
{
	static const char *const names[FAR_COUNTERS] = {
		[FAR_RP_FILTER] = "IPReversePathFilter",
		[FAR_LISTEN_OVERFLOWS] = "ListenOverflows",
		[FAR_LISTEN_DROPS] = "ListenDrops",
		[FAR_SYN_QUEUE_FULL] = "TCPReqQFullDrop",
	};
	FILE *file = fopen("/proc/thread-self/net/netstat", "re");
	char head[8192], values[8192];

	memset(counter, 0, FAR_COUNTERS * sizeof(*counter));
	/* Pairs of lines: names, then numbers. */
	while (file && fgets(head, sizeof(head), file) && fgets(values, sizeof(values), file)) {
		char *h, *v, *name = strtok_r(head, " \n", &h);
		char *value = strtok_r(values, " \n", &v);

		for (; name && value;
		     name = strtok_r(NULL, " \n", &h), value = strtok_r(NULL, " \n", &v))
			for (unsigned i = 0; i < FAR_COUNTERS; i++)
				if (strcmp(name, names[i]) == 0)
					counter[i] = strtoull(value, NULL, 10);
	}
	if (file)
		fclose(file);
}

struct inside {
	struct stairs_far *far;
	unsigned place;
	const struct stairs_call *call; /* NULL: before the calls */
	const struct cpl_addr *to;	/* before: addresses that are called */
	unsigned n;
	uint16_t port;
};

static int own_address(void *arg, const struct rt_address *a)
{
	struct inside *in = arg;
	struct far_place *p = &in->far->place[in->place];

	if (a->scope == RT_SCOPE_UNIVERSE && !p->has_own) {
		p->has_own = true;
		p->own = a->addr;
	}
	for (unsigned i = 0; i < in->n; i++)
		if (cpl_addr_equal(&a->addr, &in->to[i]) && a->scope != RT_SCOPE_HOST)
			p->has_address = true;
	return 0;
}

static int own_link(void *arg, const struct rt_link *link)
{
	struct inside *in = arg;
	const struct stairs_call *c = in->call;

	if (c->has_neighbour && c->neighbour.mac_len == 6 && link->mac_len == 6 &&
	    memcmp(c->neighbour.mac, link->mac, 6) == 0)
		in->far->place[in->place].has_hop = true;
	return 0;
}

void far_add_socket(struct stairs_far *far, const struct far_place *place,
		    const struct cpl_info *info)
{
	struct far_socket *more;

	/* At 0, 1, 3, 7, ... there is room for one only: twice as much. */
	if (!(far->sockets & (far->sockets + 1))) {
		more = realloc(far->socket, (2 * far->sockets + 2) * sizeof(*more));
		if (!more) {
			far->failed = true;
			return;
		}
		far->socket = more;
	}
	more = &far->socket[far->sockets++];
	memset(more, 0, sizeof(*more));
	more->info = *info;
	more->place = (unsigned)(place - far->place);
	if (place->netns)
		CPL_INFO_READ(&more->info, netns, place->netns);
}

/* Keeps those on the port, and both ends of our connection. */
static int visit_socket(void *arg, const struct cpl_info *info)
{
	struct inside *in = arg;
	struct stairs_far *far = in->far;

	if (info->local_port != in->port &&
	    !(info->remote_port == in->port && info->local_port == in->call->local_port))
		return 0;
	/* Of what is neither listener nor ours, nothing but the number would count. */
	if (info->state != CPL_LISTEN && info->remote_port != in->call->local_port &&
	    info->local_port != in->call->local_port && info->state != CPL_SYN_RECEIVED)
		return 0;
	far_add_socket(far, &far->place[in->place], info);
	return 0;
}

static void look_inside(struct inside *in)
{
	struct far_place *p = &in->far->place[in->place];
	struct source_options options = {
		.sources = SOURCE_SOCK_DIAG,
		.states = SOURCE_USUAL_STATES,
		.brief = false,
	};
	struct source_notes notes = { 0 };

	if (!in->call) {
		read_counters(p->before);
		p->counted = true;
		rt_addresses(own_address, in);
		return;
	}
	read_counters(p->after);
	rt_links(own_link, in);
	p->asked_back = p->has_address && !p->ours && rt_route(&in->call->local, 0, &p->back) == 0;
	source_walk(&options, &notes, visit_socket, in);
}

static void *inside_thread(void *arg)
{
	struct inside *in = arg;
	struct far_place *p = &in->far->place[in->place];

	p->entered = p->ours || setns(p->fd, CLONE_NEWNET) == 0;
	if (p->entered)
		look_inside(in);
	return NULL;
}

/* One thread after the other: each ends in another namespace. */
static void look_everywhere(struct inside *in)
{
	for (in->place = 0; in->place < in->far->places; in->place++) {
		struct far_place *p = &in->far->place[in->place];
		pthread_t thread;

		if (p->peer || (!p->ours && in->call && !p->entered))
			continue; /* not last time, either */
		if (pthread_create(&thread, NULL, inside_thread, in))
			continue;
		pthread_join(thread, NULL);
		if (!p->entered)
			in->far->denied++;
	}
}

/* ---- Before and after ------------------------------------------------------------------------ */

void far_open(struct stairs_far *far, const struct cpl_addr *to, unsigned n)
{
	struct inside in = { .far = far, .to = to, .n = n };

	memset(far, 0, sizeof(*far));
	add_place(far, open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), "here", true);
	add_named(far);
	add_of_processes(far);
	look_everywhere(&in);
}

/* 'T' for a process that is stopped. */
static char process_state(uint32_t pid)
{
	char path[40], line[256];
	const char *end;
	FILE *file;
	char state = 0;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	file = fopen(path, "re");
	if (file && fgets(line, sizeof(line), file)) {
		end = strrchr(line, ')'); /* the name may hold anything */
		if (end && end[1] == ' ')
			state = end[2];
	}
	if (file)
		fclose(file);
	return state;
}

/* How many descriptors a process has, and how many it may. */
static void process_limit(struct far_socket *f)
{
	char path[48], line[128];
	unsigned n = 0, max = 0;
	struct dirent *entry;
	FILE *file;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", f->info.pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL)
		n += entry->d_name[0] != '.';
	closedir(dir);
	snprintf(path, sizeof(path), "/proc/%u/limits", f->info.pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Max open files %u", &max) == 1)
			break;
	if (file)
		fclose(file);
	f->known_limit = max > 0;
	f->descriptors = n;
	f->descriptors_max = max;
}

/* Owners of what was kept; /proc is read once, if there is anything. */
static void find_owners(struct stairs_far *far)
{
	struct owner_table owners;

	if (!far->sockets)
		return;
	owner_table_init(&owners);
	if (owner_scan(&owners) == 0)
		for (unsigned i = 0; i < far->sockets; i++) {
			struct far_socket *f = &far->socket[i];
			size_t cursor = 0;
			const struct owner *o = owner_next(&owners, f->info.inode, &cursor);

			if (!o)
				continue;
			CPL_INFO_READ(&f->info, pid, o->pid);
			CPL_INFO_READ(&f->info, fd, o->fd);
			memcpy(f->info.program, o->program, sizeof(f->info.program));
			cpl_info_mark_read(&f->info, CPL_F_program);
			f->process_state = process_state(o->pid);
			process_limit(f);
		}
	owner_table_free(&owners);
}

void far_look(struct stairs_far *far, const struct stairs_call *call, uint16_t port)
{
	struct inside in = { .far = far, .call = call, .port = port };

	far->sockets = 0;
	look_everywhere(&in);
	find_owners(far);
}

void far_close(struct stairs_far *far)
{
	for (unsigned i = 0; i < far->places; i++)
		if (far->place[i].fd >= 0)
			close(far->place[i].fd);
	far->places = 0;
	free(far->socket);
	far->socket = NULL;
}

/* ---- Questions ------------------------------------------------------------------------------- */

struct far_socket *far_end(struct stairs_far *far, const struct stairs_call *call, uint16_t port)
{
	for (unsigned i = 0; i < far->sockets; i++) {
		const struct cpl_info *f = &far->socket[i].info;

		if (f->state != CPL_LISTEN && f->local_port == port &&
		    f->remote_port == call->local_port &&
		    cpl_addr_equal(&f->remote_addr, &call->local) &&
		    (cpl_addr_equal(&f->local_addr, &call->addr) || addr_is_any(&call->addr)))
			return &far->socket[i];
	}
	return NULL;
}

/*
 * Addresses may be used again in namespaces that do not see each other: where several have it, the
 * end of our connection decides, then the link address of the next hop.
 */
struct far_place *far_place_of(struct stairs_far *far, const struct stairs_call *call)
{
	struct far_place *only = NULL;
	unsigned n = 0;

	if (call->routed && !call->route.error && call->route.type == RTN_LOCAL) {
		for (unsigned i = 0; i < far->places; i++)
			if (far->place[i].ours)
				return &far->place[i];
		return NULL;
	}
	for (unsigned i = 0; i < far->sockets; i++)
		if (far->place[far->socket[i].place].has_address &&
		    &far->socket[i] == far_end(far, call, far->socket[i].info.local_port))
			return &far->place[far->socket[i].place];
	for (unsigned i = 0; i < far->places; i++) {
		if (!far->place[i].has_address || far->place[i].ours)
			continue;
		if (far->place[i].has_hop && !call->route.has_gateway)
			return &far->place[i];
		if (far->place[i].peer)
			return &far->place[i]; /* it was named by who asks */
		only = &far->place[i];
		n++;
	}
	return n == 1 ? only : NULL;
}

uint64_t far_grown(const struct far_place *place, enum far_counter counter)
{
	return place->counted && place->after[counter] > place->before[counter]
		       ? place->after[counter] - place->before[counter]
		       : 0;
}

struct view_word far_where(const struct far_place *place)
{
	if (place->elsewhere)
		return word_format("in another network namespace of %s",
				   word_foreign(place->name).s);
	if (place->peer)
		return word_format("on %s", word_foreign(place->name).s);
	return place->ours ? word_format("on this machine")
			   : word_format("in network namespace %s", word_foreign(place->name).s);
}

struct view_word far_who(const struct cpl_info *info)
{
	if (cpl_info_known(info, CPL_F_pid))
		return word_format("%s (pid %u)", word_foreign(info->program).s, info->pid);
	return word_format("a program");
}
