/* SPDX-License-Identifier: MIT */
/*
 * The list of troubles as a table, and what one look found: see finding.h. The diagnosis owns all
 * its memory; a finding holds copies of what it is about.
 */
#include "view/finding.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TROUBLE	    VIEW_TROUBLE
#define WARNING	    VIEW_WARNING
#define REMARK	    VIEW_REMARK
#define DESTINATION VIEW_OF_DESTINATION
#define CONNECTION  VIEW_OF_CONNECTION
#define LISTENER    VIEW_OF_LISTENER
#define PROCESS	    VIEW_OF_PROCESS
#define HOST	    VIEW_OF_HOST

const struct view_finding_kind view_finding_kinds[VIEW_FINDINGS] = {
#define FINDING(id, weight, subject, title, meaning, next)                                         \
	[VIEW_FINDING_##id] = { #id, weight, subject, title, meaning, next },
#include "view/finding.def"
};

const char *view_weight_name(enum view_weight weight)
{
	static const char *const names[] = { "trouble", "warning", "remark" };

	return names[weight];
}

const char *view_subject_name(enum view_subject subject)
{
	static const char *const names[] = { "destination", "connection", "listener", "process",
					     "host" };

	return names[subject];
}

const char *view_certainty_name(enum view_certainty certainty)
{
	static const char *const names[] = { "certain", "derived", "likely" };

	return names[certainty];
}

int view_finding_find(const char *name)
{
	for (int id = 0; id < VIEW_FINDINGS; id++) {
		const char *a = view_finding_kinds[id].name, *b = name;

		while (*a && (*a == *b || (*a == '_' && *b == '-')))
			a++, b++;
		if (!*a && !*b)
			return id;
	}
	return -1;
}

struct view_word view_finding_name(enum view_finding_id id)
{
	struct view_word w = word_format("%s", view_finding_kinds[id].name);

	for (char *s = w.s; *s; s++)
		if (*s == '_')
			*s = '-';
	return w;
}

void view_diagnosis_init(struct view_diagnosis *d)
{
	memset(d, 0, sizeof(*d));
}

void view_diagnosis_free(struct view_diagnosis *d)
{
	free(d->finding);
	free(d->slot);
	view_diagnosis_init(d);
}

/* ---- Folding --------------------------------------------------------------------------------- */

/* The port that was called: of the end that did not open, or the lower, which it mostly is. */
static uint16_t service_port(const struct cpl_info *i)
{
	if (cpl_info_known(i, CPL_F_passive))
		return i->passive ? i->local_port : i->remote_port;
	if (!i->remote_port || (i->local_port && i->local_port < i->remote_port))
		return i->local_port;
	return i->remote_port;
}

/* What findings of one cause have in common. */
struct alike {
	uint32_t id, weight, netns, pid;
	char program[16];
	struct cpl_addr addr;
	uint32_t port, of_netns;
};

/* Where a path is to blame, not a program, its far end belongs to the cause. */
static bool of_a_path(enum view_finding_id id)
{
	switch (id) {
	case VIEW_FINDING_half_open:
	case VIEW_FINDING_black_hole:
	case VIEW_FINDING_mtu_black_hole:
	case VIEW_FINDING_ack_path_broken:
	case VIEW_FINDING_forged_bytes:
	case VIEW_FINDING_desynchronised:
	case VIEW_FINDING_syn_not_answered:
	case VIEW_FINDING_ports_exhausted:
	case VIEW_FINDING_rp_filter:
		return true;
	default:
		return false;
	}
}

static struct alike alike_of(const struct view_finding *f)
{
	enum view_subject subject = view_finding_kinds[f->id].subject;
	struct alike a;

	memset(&a, 0, sizeof(a));
	a.id = f->id;
	a.netns = f->netns;
	a.pid = f->pid;
	memcpy(a.program, f->program, sizeof(a.program));
	if (f->known_x && subject == VIEW_OF_LISTENER) {
		a.addr = f->x.local_addr;
		a.port = f->x.local_port;
		a.of_netns = f->x.netns;
	} else if (f->known_x && of_a_path(f->id)) {
		a.addr = f->x.remote_addr;
		a.port = service_port(&f->x);
		a.of_netns = f->x.netns;
	} else if (f->known_x && !f->pid) {
		a.port = service_port(&f->x);
		a.of_netns = f->x.netns;
	}
	return a;
}

static size_t alike_hash(const struct alike *a)
{
	const unsigned char *s = (const unsigned char *)a;
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: nobody gains from a collision here */

	for (size_t i = 0; i < sizeof(*a); i++)
		h = (h ^ s[i]) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

static void slot_put(struct view_diagnosis *d, size_t index)
{
	struct alike a = alike_of(&d->finding[index]);
	size_t at = alike_hash(&a) & (d->slots - 1);

	while (d->slot[at])
		at = (at + 1) & (d->slots - 1);
	d->slot[at] = (uint32_t)index + 1;
}

/* The finding that INDEX repeats, or SIZE_MAX. */
static size_t slot_find(const struct view_diagnosis *d, size_t index)
{
	struct alike a = alike_of(&d->finding[index]);

	for (size_t at = alike_hash(&a) & (d->slots - 1); d->slot[at];
	     at = (at + 1) & (d->slots - 1)) {
		struct alike b = alike_of(&d->finding[d->slot[at] - 1]);

		if (memcmp(&a, &b, sizeof(a)) == 0)
			return d->slot[at] - 1;
	}
	return SIZE_MAX;
}

static bool slots_grow(struct view_diagnosis *d)
{
	size_t slots = 64;
	uint32_t *slot;

	while (slots < d->n * 4)
		slots *= 2;
	slot = calloc(slots, sizeof(*slot));
	if (!slot) {
		d->failed = true;
		return false;
	}
	free(d->slot);
	d->slot = slot;
	d->slots = slots;
	for (size_t i = 0; i < d->folded; i++)
		slot_put(d, i);
	return true;
}

/* The last finding is complete: it stands for itself, or for one more of a kind that is there. */
static void fold_last(struct view_diagnosis *d)
{
	size_t same;

	if (d->folded == d->n || (d->n * 2 > d->slots && !slots_grow(d)))
		return;
	same = slot_find(d, d->n - 1);
	if (same == SIZE_MAX) {
		slot_put(d, d->n - 1);
		d->folded = d->n;
		return;
	}
	d->finding[same].times += d->finding[d->n - 1].times;
	/* One that is sure says more than one that is likely. */
	if (d->finding[d->n - 1].certainty < d->finding[same].certainty) {
		d->finding[d->n - 1].times = d->finding[same].times;
		d->finding[same] = d->finding[d->n - 1];
	}
	d->n--;
}

struct view_finding *view_diagnosis_add(struct view_diagnosis *d, enum view_finding_id id,
					enum view_certainty certainty)
{
	struct view_finding *f;

	fold_last(d);
	if (d->n == d->room) {
		size_t room = d->room ? d->room * 2 : 8;

		f = realloc(d->finding, room * sizeof(*f));
		if (!f) {
			d->failed = true;
			return NULL;
		}
		d->finding = f;
		d->room = room;
	}
	f = &d->finding[d->n++];
	memset(f, 0, sizeof(*f));
	f->id = id;
	f->certainty = certainty;
	f->times = 1;
	return f;
}

void view_diagnosis_join(struct view_diagnosis *d, const struct view_diagnosis *other)
{
	for (size_t i = 0; i < other->n; i++) {
		struct view_finding *f = view_diagnosis_add(d, other->finding[i].id, VIEW_CERTAIN);

		if (!f)
			return;
		*f = other->finding[i];
	}
	for (unsigned i = 0; i < other->unseen; i++)
		view_diagnosis_unseen(d, "%s", other->not_seen[i]);
	d->connections += other->connections;
	d->pairs += other->pairs;
	d->checks += other->checks;
	d->failed |= other->failed;
}

static int by_weight(const void *pa, const void *pb)
{
	const struct view_finding *a = pa, *b = pb;
	int wa = view_finding_kinds[a->id].weight, wb = view_finding_kinds[b->id].weight;

	if (wa != wb)
		return wa < wb ? -1 : 1;
	if (a->certainty != b->certainty)
		return a->certainty < b->certainty ? -1 : 1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->times != b->times)
		return a->times > b->times ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return (a->x.local_port > b->x.local_port) - (a->x.local_port < b->x.local_port);
}

void view_diagnosis_settle(struct view_diagnosis *d)
{
	fold_last(d);
	if (d->n)
		qsort(d->finding, d->n, sizeof(*d->finding), by_weight);
	/* What is added later begins a table of its own order. */
	free(d->slot);
	d->slot = NULL;
	d->slots = 0;
	d->folded = d->n;
	if (d->n)
		slots_grow(d);
}

bool view_diagnosis_trouble(const struct view_diagnosis *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (view_finding_kinds[d->finding[i].id].weight == VIEW_TROUBLE)
			return true;
	return false;
}

/* ---- Filling in ------------------------------------------------------------------------------ */

void view_finding_say(struct view_finding *f, const char *format, ...)
{
	va_list ap;

	if (!f || f->evidences == VIEW_EVIDENCE)
		return;
	va_start(ap, format);
	vsnprintf(f->evidence[f->evidences], sizeof(f->evidence[0]), format, ap);
	va_end(ap);
	f->evidences++;
}

void view_finding_blame(struct view_finding *f, const struct cpl_info *end)
{
	if (!f || !end)
		return;
	if (cpl_info_known(end, CPL_F_pid))
		f->pid = end->pid;
	if (cpl_info_known(end, CPL_F_program))
		snprintf(f->program, sizeof(f->program), "%.15s", word_foreign(end->program).s);
	if (cpl_info_known(end, CPL_F_netns))
		f->netns = end->netns;
}

void view_finding_of(struct view_finding *f, const struct cpl_info *x, const struct cpl_info *y)
{
	if (!f)
		return;
	f->known_x = x;
	f->known_y = y;
	if (x)
		f->x = *x;
	if (y)
		f->y = *y;
	if (x && cpl_info_known(x, CPL_F_netns))
		f->netns = x->netns;
}

void view_diagnosis_unseen(struct view_diagnosis *d, const char *format, ...)
{
	char clause[sizeof(d->not_seen[0])];
	va_list ap;

	va_start(ap, format);
	vsnprintf(clause, sizeof(clause), format, ap);
	va_end(ap);
	for (unsigned i = 0; i < d->unseen; i++)
		if (strcmp(d->not_seen[i], clause) == 0)
			return;
	if (d->unseen == sizeof(d->not_seen) / sizeof(d->not_seen[0])) {
		snprintf(d->not_seen[d->unseen - 1], sizeof(clause), "and more besides");
		return;
	}
	memcpy(d->not_seen[d->unseen++], clause, sizeof(clause));
}

void view_diagnosis_step(struct view_diagnosis *d, enum view_step_id step,
			 enum view_step_result result, const char *format, ...)
{
	struct view_step *s = &d->step[step];
	va_list ap;

	d->stairs = true;
	s->result = result;
	va_start(ap, format);
	vsnprintf(s->text, sizeof(s->text), format, ap);
	va_end(ap);
}
