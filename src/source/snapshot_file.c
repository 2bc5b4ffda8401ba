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
	free(s->listener);
	snapshot_init(s);
}

/* ---- This host ------------------------------------------------------------------------------- */

bool snapshot_loopback(const struct cpl_addr *a)
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

	if (snapshot_loopback(addr) || has(s, addr))
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
	return snapshot_loopback(addr) || has(s, addr);
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cpl_addr));
}

static bool is_listener(const struct cpl_info *i)
{
	return i->protocol == 6 && cpl_info_known(i, CPL_F_state) && i->state == CPL_LISTEN;
}

static int learn_listeners(struct snapshot *s)
{
	const struct snapshot_set *set = &s->passes.set[0];
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		n += is_listener(&set->info[i]);
	free(s->listener);
	s->listener = malloc((n ? n : 1) * sizeof(*s->listener));
	s->listeners = 0;
	if (!s->listener)
		return -ENOMEM;
	for (size_t i = 0; i < set->n; i++)
		if (is_listener(&set->info[i]))
			s->listener[s->listeners++] = (uint32_t)i;
	return 0;
}

static bool is_any(const struct cpl_addr *a)
{
	static const struct cpl_addr any6;
	struct cpl_addr any4 = cpl_addr4(0, 0, 0, 0);

	return cpl_addr_equal(a, &any6) || cpl_addr_equal(a, &any4);
}

bool snapshot_listens(const struct snapshot *s, const struct cpl_info *x)
{
	for (size_t i = 0; i < s->listeners; i++) {
		const struct cpl_info *l = &s->passes.set[0].info[s->listener[i]];

		if (l->local_port != x->remote_port)
			continue;
		if (snapshot_loopback(&x->remote_addr) && l->netns != x->netns)
			continue;
		if (is_any(&l->local_addr) || cpl_addr_equal(&l->local_addr, &x->remote_addr))
			return true;
	}
	return false;
}

enum view_absent snapshot_absence(const struct snapshot *s, const struct cpl_info *x)
{
	bool loopback = snapshot_loopback(&x->remote_addr);
	bool all = s->all_namespaces && !passes_hide_namespaces(&s->passes);

	if (!snapshot_owns(s, &x->remote_addr) && !snapshot_uses(s, &x->remote_addr))
		return VIEW_NOT_LOOKED;
	/* Any other address than loopback's may be translated into another namespace. */
	if (passes_incomplete(&s->passes) || (!all && !loopback))
		return VIEW_LOOKED_PARTLY;
	return snapshot_listens(s, x) ? VIEW_LISTENS : VIEW_LOOKED;
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
	return learn_listeners(s);
}

bool snapshot_uses(const struct snapshot *s, const struct cpl_addr *addr)
{
	return s->uses && bsearch(addr, s->used, s->uses, sizeof(*addr), by_address);
}

/* What B's pass has in common with A's. */
static int subtract(struct snapshot_set *b, const struct snapshot_set *a)
{
	struct view_look look = { .pass = { { a->info, a->n }, { b->info, b->n } }, .passes = 2 };
	struct view_match m;
	int err = view_match_ends(&m, &look, 1);
	size_t kept = 0;

	for (size_t i = 0; !err && i < b->n; i++)
		if (!view_match_info(&m, m.end_of[0][1][i], 0))
			b->info[kept++] = b->info[i];
	if (!err)
		b->n = kept;
	view_match_free(&m);
	return err;
}

int snapshot_subtract(struct snapshot *b, const struct snapshot *a)
{
	int err = 0;

	for (unsigned i = 0; !err && i < b->passes.taken; i++)
		for (unsigned k = 0; !err && k < a->passes.taken; k++)
			err = subtract(&b->passes.set[i], &a->passes.set[k]);
	return err;
}

/* ---- The file -------------------------------------------------------------------------------- */

int snapshot_write(struct text *t, const struct snapshot *s)
{
	const struct passes *p = &s->passes;
	struct view_json_file file = { .when = s->when, .all_namespaces = s->all_namespaces };
	char note[SOURCE_NOTES][VIEW_JSON_NOTE];
	struct source_notes notes;

	passes_notes(p, &notes);
	for (unsigned i = 0; i < notes.n; i++)
		snprintf(note[i], sizeof(note[i]), "%s", notes.note[i].text);
	memcpy(file.host, s->host, sizeof(file.host));
	memcpy(file.boot, s->boot, sizeof(file.boot));
	file.address = s->address;
	file.addresses = s->addresses;
	file.note = note;
	file.notes = notes.n;
	file.passes = p->taken;
	for (unsigned i = 0; i < p->taken; i++) {
		file.began[i] = p->began[i] - p->began[0];
		file.ended[i] = p->ended[i] - p->began[0];
		file.info[i] = p->set[i].info;
		file.n[i] = p->set[i].n;
	}
	return view_json_write_file(t, &file);
}

/* Numbers that stand for something must be among those that do. */
static bool makes_sense(const struct cpl_info *i)
{
	return i->state < CPL_STATES && i->source <= CPL_SOURCE_CAPTURE &&
	       i->recovery <= CPL_RECOVERY_RTO && i->why < CPL_WHYS;
}

/* Takes over what FILE holds; what is left is to be freed. */
static int from_file(struct snapshot *s, struct view_json_file *file, char error[VIEW_JSON_ERROR])
{
	for (unsigned i = 0; i < file->passes; i++) {
		for (size_t k = 0; k < file->n[i]; k++) {
			if (makes_sense(&file->info[i][k]))
				continue;
			snprintf(error, VIEW_JSON_ERROR, "snapshot %zu makes no sense", k + 1);
			return -EINVAL;
		}
	}
	memcpy(s->host, file->host, sizeof(s->host));
	memcpy(s->boot, file->boot, sizeof(s->boot));
	s->when = file->when;
	s->all_namespaces = file->all_namespaces;
	s->address = file->address;
	s->addresses = file->addresses;
	file->address = NULL;
	for (unsigned i = 0; i < file->passes; i++) {
		struct snapshot_set *set = &s->passes.set[i];

		set->info = file->info[i];
		set->n = set->room = file->n[i];
		file->info[i] = NULL;
		s->passes.began[i] = file->began[i];
		s->passes.ended[i] = file->ended[i];
	}
	s->passes.taken = file->passes;
	for (size_t i = 0; i < file->notes; i++)
		source_note(&s->passes.set[0].notes, CPL_SOURCE_SOCK_DIAG, SOURCE_PARTIAL, 0, "%s",
			    file->note[i]);
	return 0;
}

int snapshot_read(struct snapshot *s, const char *data, size_t len, char error[VIEW_JSON_ERROR])
{
	struct view_json_file file;
	int err = view_json_read_file(data, len, &file, error);

	if (err)
		return err;
	snapshot_free(s);
	err = from_file(s, &file, error);
	view_json_file_free(&file);
	return err;
}

int snapshot_load(struct snapshot *s, const char *path, char error[VIEW_JSON_ERROR])
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *data = NULL, *more;
	size_t len = 0, room = 0, n = 1;
	int err = file ? 0 : -errno;

	while (!err && n) {
		if (len == room) {
			room = room ? room * 2 : 65536;
			more = room > SNAPSHOT_BYTES ? NULL : realloc(data, room);
			if (!more) {
				err = room > SNAPSHOT_BYTES ? -EFBIG : -ENOMEM;
				break;
			}
			data = more;
		}
		errno = 0;
		n = fread(data + len, 1, room - len, file);
		len += n;
		if (!n && ferror(file))
			err = errno ? -errno : -EIO;
	}
	if (file && file != stdin)
		fclose(file);
	if (err)
		snprintf(error, VIEW_JSON_ERROR, "%s", strerror(-err));
	else
		err = snapshot_read(s, data, len, error);
	free(data);
	return err;
}
