/* SPDX-License-Identifier: MIT */
/*
 * The kernel's TCP connections through BPF iterators (bpf/tcb.bpf.c): absolute sequence numbers,
 * windows, timers: the whole control block, of each connection as of one moment, since the kernel
 * holds the socket's lock while the program reads it.
 *
 * An iterator walks the network namespace in which it is made, whoever reads it then.
 */
#include "source/bpf_source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#ifndef HAVE_LIBBPF

int bpf_source_load(void)
{
	return -ENOSYS;
}

int bpf_source_walk(const struct netns *ns, const struct source_options *options,
		    struct source_notes *notes, source_visit visit, void *arg, int *result)
{
	(void)ns, (void)options, (void)notes, (void)visit, (void)arg, (void)result;
	return -ENOSYS;
}

int bpf_source_find(const struct netns *ns, uint64_t cookie, struct cpl_info *now)
{
	(void)ns, (void)cookie, (void)now;
	return -ENOSYS;
}

void bpf_source_forget(void)
{
}

bool bpf_source_loaded(void)
{
	return false;
}

int bpf_source_owners(struct owner_table *table)
{
	(void)table;
	return -ENOSYS;
}

#else

#include <stdlib.h>
#include <time.h>
#include <sys/syscall.h>
#include <linux/capability.h>
#include <linux/types.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "source/bpf_record.h"
#include "source/owner.h"
#include "source/tcp_info.h"
#include "tcb.skel.h"

/* The kernel hands out at most 32 KiB at a time. */
#define BUFFER (64 * 1024)

static struct {
	bool tried;
	int error;
	unsigned hz;
	struct tcb *skeleton;
	struct bpf_link *tcbs, *owners;
	bool busy; /* an iterator is being read: there is one filter */
} loaded;

/* ---- Loading --------------------------------------------------------------------------------- */

static int quiet(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level, (void)format, (void)ap;
	return 0;
}

/* To be told no costs much more by way of libbpf. */
static bool may_load(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	uint64_t has;

	if (syscall(SYS_capget, &header, data) < 0)
		return true;
	has = (uint64_t)data[1].effective << 32 | data[0].effective;
	return has >> CAP_SYS_ADMIN & 1 || (has >> CAP_BPF & 1 && has >> CAP_PERFMON & 1);
}

/* The kernel's ticks in a second: its coarse clock advances by one at a time. */
static unsigned ticks(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0 || tick.tv_sec || tick.tv_nsec <= 0)
		return 0;
	return (unsigned)((1000000000 + tick.tv_nsec / 2) / tick.tv_nsec);
}

int bpf_source_prepare(unsigned *hz)
{
	if (!may_load())
		return -EPERM;
	*hz = ticks();
	if (!*hz)
		return -EOPNOTSUPP;
	libbpf_set_print(quiet);
	return 0;
}

static int load(void)
{
	int err = bpf_source_prepare(&loaded.hz);

	if (err)
		return err;
	errno = 0;
	loaded.skeleton = tcb__open_and_load();
	if (!loaded.skeleton)
		return errno ? -errno : -EOPNOTSUPP;
	loaded.tcbs = bpf_program__attach_iter(loaded.skeleton->progs.tcb_dump, NULL);
	loaded.owners = bpf_program__attach_iter(loaded.skeleton->progs.owner_dump, NULL);
	if (!loaded.tcbs || !loaded.owners) {
		err = -errno;
		bpf_source_forget();
		return err ? err : -EOPNOTSUPP;
	}
	return 0;
}

int bpf_source_load(void)
{
	if (!loaded.tried) {
		loaded.error = load();
		loaded.tried = true;
	}
	return loaded.error;
}

void bpf_source_forget(void)
{
	bpf_link__destroy(loaded.tcbs);
	bpf_link__destroy(loaded.owners);
	tcb__destroy(loaded.skeleton);
	memset(&loaded, 0, sizeof(loaded));
}

bool bpf_source_loaded(void)
{
	return loaded.skeleton != NULL;
}

/* ---- Reading an iterator --------------------------------------------------------------------- */

static int create(void *arg)
{
	int fd = bpf_iter_create(bpf_link__fd(arg));

	/* A descriptor is no error: it goes below all of those. */
	return fd < 0 ? -errno : INT32_MIN + fd;
}

static int iterator(const struct netns *ns, struct bpf_link *link)
{
	int result = namespace_run(ns, create, link);

	return result < -4095 ? result - INT32_MIN : result;
}

/*
 * Reads FD to its end and hands on whole records of SIZE bytes. EACH returns 0 to go on; what else
 * it returns ends it and is returned in *RESULT.
 */
static int read_all(int fd, size_t size, int (*each)(void *arg, const void *record), void *arg,
		    int *result)
{
	char *buffer = malloc(BUFFER);
	size_t len = 0;
	int err = buffer ? 0 : -ENOMEM;

	*result = 0;
	while (!err && !*result) {
		ssize_t n = read(fd, buffer + len, BUFFER - len);
		size_t at = 0;

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue; /* it passed many, none of them wanted */
		if (n <= 0) {
			err = n < 0 ? -errno : len ? -EPROTO : 0;
			break;
		}
		len += (size_t)n;
		for (; !*result && len - at >= size; at += size)
			*result = each(arg, buffer + at);
		memmove(buffer, buffer + at, len - at);
		len -= at;
	}
	free(buffer);
	return err;
}

struct walk {
	source_visit visit;
	void *arg;
	int result;
	size_t visited;
	unsigned strange; /* records of another layout */
};

static int walk_record(void *arg, const void *data)
{
	struct walk *w = arg;
	struct tcb_record record;
	struct cpl_info info;

	memcpy(&record, data, sizeof(record));
	if (!bpf_record_info(&info, &record, loaded.hz)) {
		w->strange++;
		return 0;
	}
	w->visited++;
	return w->visit(w->arg, &info);
}

static int run(const struct netns *ns, const struct tcb_filter *filter, struct walk *w)
{
	int err = bpf_source_load(), fd;

	if (err)
		return err;
	if (loaded.busy)
		return -EBUSY;
	fd = iterator(ns, loaded.tcbs);
	if (fd < 0)
		return fd;
	loaded.busy = true;
	loaded.skeleton->bss->tcb_filter = *filter;
	err = read_all(fd, sizeof(struct tcb_record), walk_record, w, &w->result);
	loaded.busy = false;
	close(fd);
	return err;
}

int bpf_source_walk(const struct netns *ns, const struct source_options *options,
		    struct source_notes *notes, source_visit visit, void *arg, int *result)
{
	unsigned states = options->states ? options->states : SOURCE_USUAL_STATES;
	struct tcb_filter filter = { .no_ip4 = options->no_ip4, .no_ip6 = options->no_ip6 };
	struct walk w = { .visit = visit, .arg = arg };
	int err;

	/* TIME-WAIT is also the state of what is in FIN-WAIT-2 without a program. */
	if (states & SOURCE_STATE(CPL_FIN_WAIT_2))
		states |= SOURCE_STATE(CPL_TIME_WAIT);
	filter.without_states = ~linux_states_mask(states);
	err = run(ns, &filter, &w);
	*result = w.result;
	if (w.strange)
		source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, -EPROTO,
			    "%u of the kernel's connections were passed over: they make no sense",
			    w.strange);
	if (!err || !w.visited)
		return err;
	source_note(notes, CPL_SOURCE_BPF, SOURCE_PARTIAL, err,
		    "not all of the kernel's connections were looked at: BPF: %s", strerror(-err));
	return 0;
}

/* ---- Owners ---------------------------------------------------------------------------------- */

static int owner_record(void *arg, const void *data)
{
	struct owner_record record;
	struct owner owner;

	memcpy(&record, data, sizeof(record));
	if (record.magic != OWNER_RECORD_MAGIC)
		return -EPROTO;
	if (!record.inode)
		return 0;
	owner = (struct owner){
		.inode = record.inode,
		.pid = record.pid,
		.fd = record.fd,
		.netns = record.netns,
	};
	memcpy(owner.program, record.program, sizeof(owner.program));
	owner.program[sizeof(owner.program) - 1] = 0;
	return owner_add(arg, &owner);
}

int bpf_source_owners(struct owner_table *table)
{
	int err = bpf_source_load(), fd, result;

	if (err)
		return err;
	fd = iterator(NULL, loaded.owners);
	if (fd < 0)
		return fd;
	err = read_all(fd, sizeof(struct owner_record), owner_record, table, &result);
	close(fd);
	if (!err)
		err = result;
	if (err)
		owner_table_free(table);
	return err;
}

/* ---- The same one again ---------------------------------------------------------------------- */

static int find_visit(void *arg, const struct cpl_info *info)
{
	*(struct cpl_info *)arg = *info;
	return 1;
}

int bpf_source_find(const struct netns *ns, uint64_t cookie, struct cpl_info *now)
{
	struct tcb_filter filter = { .cookie = cookie };
	struct walk w = { .visit = find_visit, .arg = now };
	int err = run(ns, &filter, &w);

	return err ? err : w.result ? 0 : -ENOENT;
}

#endif

const char *bpf_source_why(int error)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return geteuid() ? "reading them needs root (CAP_BPF and CAP_PERFMON)"
				 : "reading them needs CAP_BPF and CAP_PERFMON, which this root "
				   "lacks";
	case -ENOSYS:
		return "couplet was built without libbpf; install libbpf-dev, clang and bpftool "
		       "and "
		       "build again";
	case -ENOENT:
	case -ESRCH:
		return "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)";
	default:
		return strerror(-error);
	}
}
