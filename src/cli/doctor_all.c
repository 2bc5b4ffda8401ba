/* SPDX-License-Identifier: MIT */
/*
 * What couplet doctor looks at: two passes over all connections at once, a third a moment later,
 * what the kernel did to packets in between, limits and counters. From that the rules of
 * view/diagnose.h draw their findings. Where these say that looking longer would tell more, the
 * third pass is taken again, later.
 */
#include "cli/doctor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/connections.h"
#include "source/facts.h"
#include "source/peer.h"
#include "source/watcher.h"
#include "view/diagnose.h"

/* How much later the third pass comes, at first. */
#define LATER_NS 1000000000ull
/* Of connections that were named, so many are shown. */
#define SHOWN	 10

struct look {
	const struct doctor_options *o;
	const struct select *wanted; /* NULL: all */
	struct snapshot host[VIEW_HOSTS];
	struct view_look look[VIEW_HOSTS];
	unsigned hosts;
	bool here;	   /* the first is this machine, now */
	const char *name;  /* what was asked for */
	bool after_stairs; /* connections to a destination: there may be none */
	struct peer *peer;
	struct watcher *watcher;
	struct view_facts before, facts;
	struct source_notes notes;
	struct cpl_addr *own[VIEW_HOSTS];
};

static int no_memory(void)
{
	return cli_fail(CLI_CANNOT, "out of memory");
}

static void look_init(struct look *l, const struct doctor_options *o, const struct select *wanted)
{
	memset(l, 0, sizeof(*l));
	l->o = o;
	l->wanted = wanted;
	for (unsigned i = 0; i < VIEW_HOSTS; i++)
		snapshot_init(&l->host[i]);
}

static void look_free(struct look *l)
{
	watcher_stop(l->watcher);
	peer_close(l->peer);
	facts_free(&l->before);
	facts_free(&l->facts);
	for (unsigned i = 0; i < VIEW_HOSTS; i++) {
		snapshot_free(&l->host[i]);
		free(l->own[i]);
	}
}

static struct source_options options_here(void)
{
	struct source_options options = {
		.states = SOURCE_USUAL_STATES,
		.namespaces = true,
		.owners = true,
	};

	return options;
}

/* ---- Passes ---------------------------------------------------------------------------------- */

static int take_here(struct look *l)
{
	struct source_options options = options_here();
	struct snapshot *s = &l->host[0];
	int err = passes_take(&s->passes, &options);

	if (!err)
		return CLI_OK;
	if (err == -ENOMEM)
		return no_memory();
	connections_notes(&s->passes.set[s->passes.taken].notes, false);
	return CLI_CANNOT;
}

static int take_both(struct look *l)
{
	struct source_options options = options_here();
	struct peer_options to = { 0 };
	char error[PEER_ERROR];
	int err;

	if (l->o->peer_is_command)
		to.command = l->o->peer;
	else
		to.host = l->o->peer;
	to.couplet = l->o->peer_couplet;
	err = peer_open(&l->peer, &to, error);
	if (err || peer_sandwich(l->peer, &options, &l->host[0], &l->host[1], error))
		return cli_fail(err == -EINVAL ? CLI_USAGE : CLI_CANNOT, "%s", error);
	l->hosts = 2;
	return CLI_OK;
}

static int take_sandwich(struct look *l)
{
	struct source_options options = options_here();
	int status;

	l->here = true;
	l->hosts = 1;
	if (snapshot_here(&l->host[0], &options))
		return no_memory();
	if (l->o->peer)
		return take_both(l);
	status = take_here(l);
	return status == CLI_OK ? take_here(l) : status;
}

/* The third pass, in place of an earlier third one. */
static int take_later(struct look *l)
{
	char error[PEER_ERROR];

	for (unsigned i = 0; i < l->hosts; i++) {
		struct passes *p = &l->host[i].passes;

		if (p->taken == VIEW_PASSES) {
			snapshot_set_free(&p->set[VIEW_PASSES - 1]);
			snapshot_set_init(&p->set[VIEW_PASSES - 1]);
			p->taken--;
		}
	}
	if (l->peer &&
	    (peer_ask(l->peer, 1, true, error) || peer_answer(l->peer, &l->host[1], error)))
		return cli_fail(CLI_CANNOT, "%s", error);
	return take_here(l);
}

static int load_files(struct look *l)
{
	char error[VIEW_JSON_ERROR];

	l->hosts = l->o->files;
	for (unsigned i = 0; i < l->hosts; i++)
		if (snapshot_load(&l->host[i], l->o->from[i], error))
			return cli_fail(CLI_CANNOT, "%s: %s", l->o->from[i], error);
	return CLI_OK;
}

/* ---- Facts ----------------------------------------------------------------------------------- */

static int take_facts(struct look *l, struct view_facts *facts)
{
	const struct snapshot_set *set = &l->host[0].passes.set[0];
	uint32_t *pids = malloc((set->n ? set->n : 1) * sizeof(*pids));
	size_t n = 0;
	int err;

	if (!pids)
		return no_memory();
	for (size_t i = 0; i < set->n; i++)
		if (cpl_info_known(&set->info[i], CPL_F_pid))
			pids[n++] = set->info[i].pid;
	facts_free(facts);
	err = facts_take(facts, true, pids, n, &l->notes);
	free(pids);
	if (!err && facts == &l->facts && l->watcher)
		err = watcher_collect(l->watcher, facts, &l->notes);
	return err ? no_memory() : CLI_OK;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u),
			      .tv_nsec = (long)(ns % 1000000000u) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* ---- The rules ------------------------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct cpl_addr));
}

static int own_addresses(struct look *l, struct view_seen *seen)
{
	for (unsigned i = 0; i < l->hosts; i++) {
		const struct snapshot *s = &l->host[i];

		free(l->own[i]);
		l->own[i] = malloc((s->addresses ? s->addresses : 1) * sizeof(*l->own[i]));
		if (!l->own[i])
			return -ENOMEM;
		if (s->addresses) {
			memcpy(l->own[i], s->address, s->addresses * sizeof(*l->own[i]));
			qsort(l->own[i], s->addresses, sizeof(*l->own[i]), by_address);
		}
		seen->own[i] = l->own[i];
		seen->owns[i] = s->addresses;
	}
	return 0;
}

/* Which ends are wanted; NULL: no memory. *ANY: at least one is. */
static bool *select_ends(const struct look *l, const struct view_match *m, bool *any)
{
	bool *wanted = calloc(m->n ? m->n : 1, sizeof(*wanted));
	bool by_row = select_needs_rows(l->wanted);
	struct snapshot_set rows;

	snapshot_set_init(&rows);
	if (by_row && connections_rows(&rows, l->wanted) < 0)
		by_row = false;
	*any = false;
	for (size_t i = 0; wanted && i < m->n; i++) {
		const struct cpl_info *info = view_match_last(m, i);

		wanted[i] =
			by_row ? connections_has(&rows, info) : select_match(l->wanted, info, 0);
		*any |= wanted[i];
	}
	snapshot_set_free(&rows);
	return wanted;
}

static void show_end(struct text *t, const struct cpl_info *info, bool second)
{
	struct text line;

	text_init(&line);
	if (!info) {
		text_puts(&line, "the other end was not seen");
	} else {
		text_printf(&line, "%s - %s, %s",
			    word_endpoint(&info->local_addr, info->local_port).s,
			    word_endpoint(&info->remote_addr, info->remote_port).s,
			    view_state_rfc(info->state));
		if (cpl_info_known(info, CPL_F_pid))
			text_printf(&line, ", %s (pid %u)", word_foreign(info->program).s,
				    info->pid);
		if (cpl_info_known(info, CPL_F_send_queue))
			text_printf(&line, ", Send-Q %s", word_count(info->send_queue).s);
		if (cpl_info_known(info, CPL_F_recv_queue))
			text_printf(&line, ", Recv-Q %s", word_count(info->recv_queue).s);
	}
	if (second)
		text_puts(t, "  ");
	text_wrap(t, line.data ? line.data : "", 4, t->width);
	text_puts(t, "\n");
	text_free(&line);
}

/* A line for each end of the connections that were named. */
static void show_wanted(const struct view_match *m, const bool *wanted)
{
	unsigned shown = 0, more = 0;
	struct text t;

	text_init(&t);
	t.width = (unsigned)cli_width(stdout);
	for (size_t i = 0; i < m->pairs; i++) {
		size_t x = m->pair[i].x, y = m->pair[i].y;

		if (!wanted[x] && (y == VIEW_ALONE || !wanted[y]))
			continue;
		if (shown == SHOWN) {
			more++;
			continue;
		}
		shown++;
		show_end(&t, view_match_last(m, x), false);
		if (x != y)
			show_end(&t, y == VIEW_ALONE ? NULL : view_match_last(m, y), true);
	}
	if (more)
		text_printf(&t, "... and %u more\n", more);
	if (shown)
		text_puts(&t, "\n");
	text_flush(&t, stdout);
	text_free(&t);
}

/* LAST: nothing longer will follow: show it. Returns a status; *LONGER as view_diagnose(). */
static int apply(struct look *l, struct view_diagnosis *d, uint64_t later_ns, uint64_t *longer)
{
	struct view_seen seen = {
		.later_ns = later_ns,
		.facts = l->here ? &l->facts : NULL,
		.before = l->here ? &l->before : NULL,
		.remarks = l->o->verbose || l->wanted,
	};
	struct view_match m;
	bool *wanted = NULL, any = true;
	int status = CLI_OK;

	for (unsigned i = 0; i < l->hosts; i++) {
		passes_look(&l->host[i].passes, &l->look[i]);
		seen.all_namespaces[i] = l->host[i].all_namespaces;
		seen.told[i] = !l->host[i].here;
		seen.complete[i] = !passes_incomplete(&l->host[i].passes);
	}
	*longer = 0;
	if (own_addresses(l, &seen) || view_match(&m, l->look, l->hosts))
		return no_memory();
	if (l->wanted) {
		wanted = select_ends(l, &m, &any);
		if (!wanted)
			status = no_memory();
	}
	if (!any && !l->after_stairs) {
		status = cli_fail(CLI_TROUBLE,
				  "no connection is called \"%s\"; \"couplet netstat -an\" lists "
				  "all, \"couplet doctor HOST PORT\" tries to reach one",
				  l->name);
	} else if (status == CLI_OK) {
		seen.match = &m;
		seen.wanted = wanted;
		*longer = view_diagnose(d, &seen);
		if (wanted && !l->o->json && !*longer && !l->after_stairs)
			show_wanted(&m, wanted);
	}
	free(wanted);
	view_match_free(&m);
	return status;
}

static int look_on(struct look *l, struct view_diagnosis *d)
{
	uint64_t later = l->o->watch_ns ? l->o->watch_ns : LATER_NS, longer;
	uint64_t second = l->host[0].passes.ended[1];
	int status;

	for (;;) {
		sleep_until(second + later);
		status = take_later(l);
		if (status == CLI_OK)
			status = take_facts(l, &l->facts);
		if (status == CLI_OK)
			status = apply(l, d, l->host[0].passes.began[2] - second, &longer);
		if (status != CLI_OK || !longer || l->o->watch_ns || longer <= later)
			return status;
		later = longer;
		view_diagnosis_free(d);
	}
}

/* A note as a clause behind "Not looked at: ", of which it need not say the same again. */
static void say_note(struct view_diagnosis *d, const char *host, const char *text)
{
	static const char *const same[] = { " were not looked at", " was not looked at" };
	char clause[sizeof(((struct source_note *)0)->text)];

	snprintf(clause, sizeof(clause), "%s", text);
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		char *at = strstr(clause, same[i]);

		if (at)
			memmove(at, at + strlen(same[i]), strlen(at + strlen(same[i])) + 1);
	}
	view_diagnosis_unseen(d, "%s%s%s", host, *host ? ": " : "", clause);
}

static void say_notes(struct look *l, struct view_diagnosis *d)
{
	for (unsigned i = 0; i < l->hosts; i++) {
		const char *host = l->hosts > 1 ? l->host[i].host : "";
		bool told = false;
		struct source_notes notes;

		passes_notes(&l->host[i].passes, &notes);
		for (unsigned k = 0; k < notes.n; k++) {
			told |= strstr(notes.note[k].text, "namespace") != NULL;
			say_note(d, host, notes.note[k].text);
		}
		if (!told && l->host[i].passes.taken && !l->host[i].all_namespaces)
			say_note(d, host, "other network namespaces");
	}
	for (unsigned k = 0; k < l->notes.n; k++)
		say_note(d, "", l->notes.note[k].text);
}

/* The looking itself; D is empty. */
static int look_at_all(struct look *l, struct view_diagnosis *d)
{
	const struct passes *p = &l->host[0].passes;
	uint64_t longer;
	int status;

	if (l->o->files) {
		status = load_files(l);
		return status != CLI_OK
			       ? status
			       : apply(l, d, p->taken > 2 ? p->began[2] - p->ended[1] : 0, &longer);
	}
	l->watcher = watcher_start(&l->notes);
	status = take_sandwich(l);
	if (status == CLI_OK)
		status = take_facts(l, &l->before);
	return status == CLI_OK ? look_on(l, d) : status;
}

int doctor_connections(struct view_diagnosis *d, const struct doctor_options *options,
		       const struct select *wanted)
{
	struct view_diagnosis found;
	struct look l;
	int status;

	look_init(&l, options, wanted);
	l.name = d->what;
	l.after_stairs = d->stairs;
	view_diagnosis_init(&found);
	status = look_at_all(&l, &found);
	if (status == CLI_OK) {
		say_notes(&l, &found);
		view_diagnosis_join(d, &found);
	}
	view_diagnosis_free(&found);
	look_free(&l);
	return status;
}
