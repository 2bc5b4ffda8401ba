/* SPDX-License-Identifier: MIT */
/*
 * Recording: which ends of a pass get a row, and the pass as one transaction. See store.h.
 *
 * What the recorder knows of each end is what the store holds of it: it changes when a transaction
 * was committed, and only then, so that a pass that could not be stored leaves no gap in the rows
 * that follow, only in time.
 *
 * What `since` of a sample promises: of each end the latest row from there to the sample is what it
 * was at the sample. Ends whose latest row is older, or older than they are, are `hidden`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "source/store_recorder.h"

/* What stands still is written again after so many passes, or so long, whichever comes later. */
#define HEARTBEAT_PASSES 6
#define HEARTBEAT_NS	 300000000000u

static int no_memory(struct recorder *r)
{
	return store_fail(r->store, -ENOMEM, "out of memory");
}

/* ---- Run and host ---------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int host_begin(struct recorder *r, int64_t now)
{
	char machine[80];
	struct store_value v[3] = { store_text(r->host_name),
				    { .kind = STORE_NULL },
				    store_number(now) };

	store_escape(machine, sizeof(machine), r->options.machine_id);
	v[1] = store_text(machine);
	return r->store->backend->query(
		r->store,
		"INSERT INTO couplet_hosts (name, machine_id, first_seen, last_seen) "
		"VALUES ($1, $2, $3, $3) ON CONFLICT (name, machine_id) "
		"DO UPDATE SET last_seen = excluded.last_seen RETURNING id",
		v, 3, store_visit_id, &r->host);
}

static int run_begin(struct recorder *r, int64_t now)
{
	const struct recorder_options *o = &r->options;
	char boot[80], filter[400];
	struct store_value v[8] = {
		store_number(r->host),
		{ .kind = STORE_NULL },
		store_number(source_own_netns()),
		store_number(now),
		store_number((int64_t)o->every_ns),
		{ .kind = STORE_NULL },
		store_number(o->namespaces),
		store_number(o->forwards),
	};

	store_escape(boot, sizeof(boot), o->boot_id);
	store_escape(filter, sizeof(filter), o->filter);
	v[1] = store_text(boot);
	v[5] = store_text(filter);
	return r->store->backend->query(
		r->store,
		"INSERT INTO couplet_runs (host, boot_id, netns, started, every_ns, filter, "
		"namespaces, forwards) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
		v, 8, store_visit_id, &r->run);
}

/* A new run; nothing is known to be stored. */
static int begin(struct recorder *r)
{
	int64_t now = now_ns();
	struct store *s = r->store;
	int err = s->backend->begin(s);

	if (!err)
		err = host_begin(r, now);
	if (!err)
		err = run_begin(r, now);
	if (err) {
		s->backend->rollback(s);
		return err;
	}
	r->n = r->naddrs = 0;
	r->next_number = r->last = r->since = 0;
	return store_commit(s);
}

int recorder_begin(struct recorder **recorder, struct store *store,
		   const struct recorder_options *options)
{
	struct recorder *r = calloc(1, sizeof(*r));
	int err;

	*recorder = NULL;
	if (!r)
		return store_fail(store, -ENOMEM, "out of memory");
	r->store = store;
	r->options = *options;
	store_escape(r->host_name, sizeof(r->host_name), options->host);
	if (getrandom(&r->key, sizeof(r->key), 0) != sizeof(r->key))
		r->key.k[0] = (uint64_t)now_ns(); /* not predictable, at least not long before */
	err = begin(r);
	if (err) {
		recorder_end(r);
		return err;
	}
	*recorder = r;
	return 0;
}

int recorder_resume(struct recorder *r)
{
	struct store_value run = store_number(r->run);
	int64_t last = 0;
	int err = r->store->backend->query(
		r->store, "SELECT id FROM couplet_samples WHERE run = $1 ORDER BY id DESC LIMIT 1",
		&run, 1, store_visit_id, &last);

	return err || (last == r->last && last) ? err : begin(r);
}

void recorder_end(struct recorder *r)
{
	if (!r)
		return;
	free(r->ends);
	free(r->slot);
	free(r->addrs);
	free(r);
}

int recorder_position(struct recorder *r, int64_t *position)
{
	return r->store->backend->query(r->store, "SELECT position FROM couplet_schema", NULL, 0,
					store_visit_id, position);
}

int recorder_address(struct recorder *r, const struct cpl_addr *addr)
{
	struct store_value v[2] = { store_number(r->run),
				    { .kind = STORE_ADDRESS, .addr = *addr } };
	struct cpl_addr *more;
	int err;

	for (size_t i = 0; i < r->naddrs; i++)
		if (cpl_addr_equal(&r->addrs[i], addr))
			return 0;
	err = r->store->backend->query(r->store,
				       "INSERT INTO couplet_addresses (run, address) "
				       "VALUES ($1, $2) ON CONFLICT DO NOTHING",
				       v, 2, NULL, NULL);
	if (err)
		return err;
	more = reallocarray(r->addrs, r->naddrs + 1, sizeof(*more));
	if (!more)
		return no_memory(r);
	more[r->naddrs++] = *addr;
	r->addrs = more;
	return 0;
}

void recorder_missed(struct recorder *r)
{
	r->missed++;
	r->totals.missed++;
}

const struct recorder_totals *recorder_totals(const struct recorder *r)
{
	return &r->totals;
}

/* ---- The ends that are known ----------------------------------------------------------------- */

/*
 * Who a record is of. The source's own number names an end where it has one; a stack's numbers are
 * its own, and so are told apart by process and addresses.
 */
static void identify(const struct recorder *r, const struct cpl_info *i, uint64_t identity[2])
{
	struct {
		uint64_t id;
		uint32_t netns, pid;
		struct cpl_addr local, remote;
		uint16_t local_port, remote_port;
		uint8_t stack, protocol, family, zero;
	} key;
	struct siphash_key other = { { ~r->key.k[0], r->key.k[1] } };
	bool named = cpl_info_known(i, CPL_F_id);

	memset(&key, 0, sizeof(key));
	key.stack = i->source == CPL_SOURCE_STACK;
	key.protocol = i->protocol;
	key.netns = i->netns;
	if (named)
		key.id = i->id;
	if (key.stack)
		key.pid = i->pid;
	if (key.stack || !named) {
		key.family = i->family;
		key.local = i->local_addr;
		key.remote = i->remote_addr;
		key.local_port = i->local_port;
		key.remote_port = i->remote_port;
	}
	identity[0] = siphash13(&r->key, &key, sizeof(key));
	identity[1] = siphash13(&other, &key, sizeof(key));
}

static size_t place(const struct recorder *r, const uint64_t identity[2])
{
	size_t at = identity[0] & (r->slots - 1);

	while (r->slot[at]) {
		const struct known_end *e = &r->ends[r->slot[at] - 1];

		if (e->identity[0] == identity[0] && e->identity[1] == identity[1])
			break;
		at = (at + 1) & (r->slots - 1);
	}
	return at;
}

/* Room for MORE ends, and the places of those that there are. */
static int make_room(struct recorder *r, size_t more)
{
	size_t wanted = r->n + more, slots = 64;

	if (wanted > r->room) {
		size_t room = wanted + wanted / 2 + 64;
		struct known_end *bigger = reallocarray(r->ends, room, sizeof(*bigger));

		if (!bigger)
			return no_memory(r);
		r->ends = bigger;
		r->room = room;
	}
	while (slots < wanted * 2)
		slots *= 2;
	free(r->slot);
	r->slots = slots;
	r->slot = calloc(slots, sizeof(*r->slot));
	if (!r->slot)
		return no_memory(r);
	for (size_t i = 0; i < r->n; i++)
		r->slot[place(r, r->ends[i].identity)] = (uint32_t)i + 1;
	return 0;
}

static struct known_end *find(struct recorder *r, const struct cpl_info *info)
{
	struct known_end *e;
	uint64_t identity[2];
	size_t at;

	identify(r, info, identity);
	at = place(r, identity);
	if (r->slot[at])
		return &r->ends[r->slot[at] - 1];
	e = &r->ends[r->n++];
	memset(e, 0, sizeof(*e));
	memcpy(e->identity, identity, sizeof(identity));
	e->number = r->run << 32 | ++r->next_number;
	r->slot[at] = (uint32_t)r->n;
	return e;
}

/* ---- What is to be written ------------------------------------------------------------------- */

/* Spread by number, so that those that came together are not all due together. */
static bool heartbeat_due(const struct recorder *r, const struct known_end *e)
{
	uint64_t every = r->options.every_ns ? r->options.every_ns : 1;
	uint64_t most = r->options.heartbeat;

	if (!most) {
		most = HEARTBEAT_NS / every;
		if (most < HEARTBEAT_PASSES)
			most = HEARTBEAT_PASSES;
	}
	return r->pass - e->at_pass >= most - (uint64_t)e->number % (most / 2 + 1);
}

static enum reason reason_for(const struct recorder *r, const struct known_end *e,
			      const struct store_print *print)
{
	if (!e->written)
		return REASON_NEW;
	if (store_print_differs(&e->print, print))
		return REASON_CHANGED;
	return e->written < r->since || heartbeat_due(r, e) ? REASON_STILL : REASON_NONE;
}

/* Seen twice in one pass: the first record counts. */
static void look_at(struct recorder *r, const struct recorder_pass *pass,
		    const struct cpl_info *infos, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct known_end *e = find(r, &infos[i]);
		struct store_print print;

		if (e->seen_pass == r->pass)
			continue;
		store_print_take(&print, &infos[i], pass->monotonic_ns);
		e->seen_pass = r->pass;
		e->at = (uint32_t)i;
		e->reason = reason_for(r, e, &print);
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->ends[i].seen_pass != r->pass)
			r->ends[i].reason = r->ends[i].written ? REASON_GONE : REASON_NONE;
}

/* The most urgent first; of those, who has waited longest. */
static int by_urgency(const void *pa, const void *pb)
{
	const struct known_end *a = *(struct known_end *const *)pa;
	const struct known_end *b = *(struct known_end *const *)pb;

	if (a->reason != b->reason)
		return a->reason < b->reason ? -1 : 1;
	if (a->written != b->written)
		return a->written < b->written ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

static size_t allowance(struct recorder *r, uint64_t now)
{
	uint64_t rate = r->options.rate;
	uint64_t burst_ns = r->options.every_ns > 1000000000u ? r->options.every_ns : 1000000000u;
	uint64_t passed = r->refilled_ns ? now - r->refilled_ns : burst_ns;

	if (!rate)
		return SIZE_MAX;
	if (passed > burst_ns)
		passed = burst_ns;
	r->refilled_ns = now;
	r->tokens += (uint64_t)((double)rate * (double)passed / 1e9);
	if (r->tokens > (uint64_t)((double)rate * (double)burst_ns / 1e9))
		r->tokens = (uint64_t)((double)rate * (double)burst_ns / 1e9);
	return r->tokens;
}

struct plan {
	struct known_end **row;
	size_t n;
	int64_t since; /* INT64_MAX: this sample itself */
	uint64_t seen, dropped, hidden, still;
};

/* What SINCE can promise after this pass: see above. */
static void plan_since(const struct recorder *r, struct plan *p)
{
	int64_t wrong = 0; /* the latest row that is not what its end is now */

	p->since = INT64_MAX;
	for (size_t i = 0; i < r->n; i++) {
		const struct known_end *e = &r->ends[i];

		if (e->planned || !e->written)
			continue;
		if (e->reason == REASON_GONE || e->reason == REASON_CHANGED) {
			if (e->written > wrong)
				wrong = e->written;
		} else if (e->written < p->since) {
			p->since = e->written;
		}
	}
	if (p->since <= wrong)
		p->since = wrong + 1;
	for (size_t i = 0; i < r->n; i++) {
		const struct known_end *e = &r->ends[i];

		if (e->seen_pass != r->pass)
			continue;
		p->seen++;
		p->still += e->reason == REASON_NONE;
		if (!e->planned && (e->reason != REASON_NONE && e->reason != REASON_STILL))
			p->hidden++;
		else if (!e->planned && e->written < p->since)
			p->hidden++;
	}
}

static int plan_make(struct recorder *r, struct plan *p, uint64_t now)
{
	size_t most = allowance(r, now);

	memset(p, 0, sizeof(*p));
	p->row = malloc((r->n + 1) * sizeof(*p->row));
	if (!p->row)
		return no_memory(r);
	for (size_t i = 0; i < r->n; i++) {
		r->ends[i].planned = false;
		if (r->ends[i].reason != REASON_NONE)
			p->row[p->n++] = &r->ends[i];
	}
	if (p->n > most) {
		qsort(p->row, p->n, sizeof(*p->row), by_urgency);
		for (size_t i = most; i < p->n; i++)
			p->dropped += p->row[i]->reason != REASON_STILL;
		p->n = most;
	}
	for (size_t i = 0; i < p->n; i++)
		p->row[i]->planned = true;
	plan_since(r, p);
	return 0;
}

/*
 * A connection that is nearly over leaves a small record only, which has no initial numbers: they
 * are what they were.
 */
static void keep_sequence(struct known_end *e, struct store_row *row)
{
	struct store_value *v = &row->value[STORE_C_SEQUENCE];

	if (v->kind != STORE_NULL) {
		e->sequence = v[0];
		e->sequence_side = v[1];
		e->sequenced = true;
	} else if (e->sequenced && row->value[STORE_C_ENDPOINTS].kind != STORE_NULL) {
		v[0] = e->sequence;
		v[1] = e->sequence_side;
	}
}

/* ---- The transaction ------------------------------------------------------------------------- */

static int write_sample(struct recorder *r, const struct recorder_pass *pass, const struct plan *p,
			int64_t *sample)
{
	struct store_value v[13] = {
		store_number(r->run),
		store_number(pass->after),
		store_number(p->since),
		store_number(pass->time_ns),
		store_number((int64_t)pass->monotonic_ns),
		store_number((int64_t)pass->duration_ns),
		store_number((int64_t)p->seen),
		store_number((int64_t)p->n),
		store_number((int64_t)p->dropped),
		store_number((int64_t)p->hidden),
		store_number((int64_t)r->missed),
	};
	char *not_seen;
	size_t size = strlen(pass->not_seen) * 4 + 1;
	int err;

	not_seen = malloc(size);
	if (!not_seen)
		return no_memory(r);
	store_escape(not_seen, size, pass->not_seen);
	v[11] = store_text(not_seen);
	err = r->store->backend->query(
		r->store,
		"INSERT INTO couplet_samples (run, position, after, since, time, monotonic, "
		"duration, seen, written, dropped, hidden, missed, not_seen) "
		"VALUES ($1, 0, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id",
		v, 12, store_visit_id, sample);
	free(not_seen);
	return err;
}

static int write_rows(struct recorder *r, const struct cpl_info *infos, const struct plan *p,
		      int64_t sample)
{
	const struct store_backend *b = r->store->backend;
	struct store_row row;
	int err = 0;

	if (!p->n)
		return 0;
	err = b->rows_begin(r->store, "couplet_ends", store_columns, STORE_COLUMNS);
	for (size_t i = 0; i < p->n && !err; i++) {
		struct known_end *e = p->row[i];

		store_row_fill(r->store, &row, &infos[e->at], r->host, e->reason == REASON_GONE);
		keep_sequence(e, &row);
		row.value[STORE_C_SAMPLE] = store_number(sample);
		row.value[STORE_C_NUMBER] = store_number(e->number);
		err = b->row(r->store, row.value);
	}
	return err ? err : b->rows_end(r->store);
}

/*
 * The position comes last: the row of couplet_schema is locked from there to the commit, so that
 * positions are in the order of the commits, and who reads one sees all that come before it.
 */
static int write_position(struct recorder *r, int64_t time_ns, int64_t sample)
{
	struct store_value v[2] = { store_number(sample) };
	struct store_value seen[2] = { store_number(r->host), store_number(time_ns) };
	const struct store_backend *b = r->store->backend;
	int64_t position = 0;
	int err;

	err = b->query(r->store,
		       "UPDATE couplet_hosts SET last_seen = $2 WHERE id = $1 AND last_seen < $2",
		       seen, 2, NULL, NULL);
	if (!err)
		err = b->query(r->store,
			       "UPDATE couplet_schema SET position = position + 1 "
			       "RETURNING position",
			       NULL, 0, store_visit_id, &position);
	v[1] = store_number(position);
	return err ? err
		   : b->query(r->store, "UPDATE couplet_samples SET position = $2 WHERE id = $1", v,
			      2, NULL, NULL);
}

static int write_all(struct recorder *r, const struct recorder_pass *pass,
		     const struct cpl_info *infos, struct plan *p, int64_t *sample)
{
	struct store *s = r->store;
	int err = s->backend->begin(s);

	if (!err)
		err = write_sample(r, pass, p, sample);
	/* Its own number is known only now. */
	if (!err && p->since > *sample) {
		p->since = *sample;
		err = store_run(s, "UPDATE couplet_samples SET since = id WHERE id = %lld",
				(long long)*sample);
	}
	if (!err)
		err = write_rows(r, infos, p, *sample);
	if (!err)
		err = write_position(r, pass->time_ns, *sample);
	if (err) {
		s->backend->rollback(s);
		return err;
	}
	return store_commit(s);
}

/* The store holds the pass: what we know of it is what it holds. */
static void committed(struct recorder *r, const struct recorder_pass *pass,
		      const struct cpl_info *infos, const struct plan *p, int64_t sample)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct known_end *e = p->row[i];

		if (e->reason == REASON_GONE)
			continue;
		store_print_take(&e->print, &infos[e->at], pass->monotonic_ns);
		e->written = sample;
		e->at_pass = r->pass;
	}
	for (size_t i = 0; i < r->n; i++) {
		const struct known_end *e = &r->ends[i];

		/* Gone, and the store knows it or never knew it. */
		if (e->seen_pass != r->pass && (e->planned || !e->written))
			continue;
		if (kept != i)
			r->ends[kept] = r->ends[i];
		kept++;
	}
	r->n = kept;
	if (r->options.rate)
		r->tokens -= p->n;
	r->last = sample;
	r->since = p->since;
	r->missed = 0;
	r->totals.passes++;
	r->totals.rows += p->n;
	r->totals.still += p->still;
	r->totals.dropped += p->dropped;
}

int recorder_store(struct recorder *r, const struct recorder_pass *pass,
		   const struct cpl_info *infos, size_t n)
{
	struct plan plan;
	int64_t sample = 0;
	int err = make_room(r, n);

	if (err)
		return err;
	r->pass++;
	look_at(r, pass, infos, n);
	err = plan_make(r, &plan, pass->monotonic_ns);
	if (err)
		return err;
	err = write_all(r, pass, infos, &plan, &sample);
	if (!err)
		committed(r, pass, infos, &plan, sample);
	free(plan.row);
	return err;
}
