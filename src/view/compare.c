/* SPDX-License-Identifier: MIT */
/*
 * Do two ends of one connection agree? The checks of pair.h, on one instant or on two passes.
 *
 * With two passes only monotone facts are used: snd_una, snd_nxt, rcv_nxt and the advertised edge
 * never go back, so that a value of the first pass bounds what the other end may have had at any
 * time later, and the order in which the ends were read within a pass does not matter. One instant
 * is the same with both passes equal.
 */
#include "view/compare.h"

#include <stdarg.h>
#include <string.h>

#include "base/seq.h"

/* A field of a snapshot that may be missing altogether. */
static bool known(const struct cpl_info *info, enum cpl_field field)
{
	return info && cpl_info_known(info, field);
}

static bool is_read(const struct cpl_info *info, enum cpl_field field)
{
	return info && cpl_info_is_read(info, field);
}

#define NO_STATE (-1)

static int state_of(const struct cpl_info *info)
{
	if (!info)
		return CPL_CLOSED;
	return known(info, CPL_F_state) && info->state < CPL_STATES ? info->state : NO_STATE;
}

/* It has sent a FIN, or will as soon as what is queued before it has left. */
static bool fin_sent(int state)
{
	return state == CPL_FIN_WAIT_1 || state == CPL_FIN_WAIT_2 || state == CPL_CLOSING ||
	       state == CPL_LAST_ACK || state == CPL_TIME_WAIT;
}

static bool fin_received(int state)
{
	return state == CPL_CLOSE_WAIT || state == CPL_CLOSING || state == CPL_LAST_ACK ||
	       state == CPL_TIME_WAIT;
}

static bool syn_outstanding(int state)
{
	return state == CPL_SYN_SENT || state == CPL_SYN_RECEIVED;
}

/* It has a receive sequence to speak of. */
static bool receives(int state)
{
	return state == NO_STATE || state >= CPL_SYN_RECEIVED;
}

static bool sends(int state)
{
	return state == NO_STATE || state >= CPL_SYN_SENT;
}

/* ---- The report ------------------------------------------------------------------------------ */

static struct view_check *check_add(struct compare *c, enum view_rule rule, unsigned from)
{
	struct view_check *k = &c->report->checks[c->report->n++];

	memset(k, 0, offsetof(struct view_check, text) + 1);
	k->wordless = c->wordless;
	k->rule = rule;
	k->y_to_x = (uint8_t)from;
	k->verdict = VIEW_UNSEEN;
	return k;
}

__attribute__((format(printf, 2, 3))) static void check_text(struct view_check *k,
							     const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(k->text, sizeof(k->text), format, ap);
	va_end(ap);
}

/* The words are put together only if they are wanted. */
#define check_say(k, is, ...)                                                                      \
	do {                                                                                       \
		(k)->seen = 1;                                                                     \
		(k)->verdict = (is);                                                               \
		if (!(k)->wordless)                                                                \
			check_text(k, __VA_ARGS__);                                                \
	} while (0)

/*
 * What two looks of different times seem to contradict may have been sent in between: it was not
 * seen. Initial numbers and missing ends are judged elsewhere.
 */
static void check_apart(struct compare *c, struct view_check *k)
{
	char was[160];

	if (!c->apart || !k->seen || (k->verdict != VIEW_DISAGREE && k->verdict != VIEW_STUCK))
		return;
	k->seen = 0;
	k->verdict = VIEW_UNSEEN;
	if (!c->doubt)
		c->doubt = k;
	if (k->wordless)
		return;
	snprintf(was, sizeof(was), "%.159s", k->text);
	snprintf(k->text, sizeof(k->text), "not told by two looks of different times: %s", was);
}

/* Not looked at: FIELD of the end NAME is unknown. */
static void check_unseen(struct view_check *k, const char *name, enum cpl_field field)
{
	if (!k->wordless)
		check_text(k, "not looked at: %s of %s is unknown", view_fields[field].name, name);
}

/* REASON with %x and %y replaced. */
static void fill_names(char *out, size_t size, const char *reason, const char *x, const char *y)
{
	size_t n = 0;

	for (; *reason && n + 1 < size; reason++) {
		const char *name = reason[0] == '%' && reason[1] == 'x'	  ? x
				   : reason[0] == '%' && reason[1] == 'y' ? y
									  : NULL;
		if (!name) {
			out[n++] = *reason;
			continue;
		}
		reason++;
		while (*name && n + 1 < size)
			out[n++] = *name++;
	}
	out[n] = 0;
}

/* ---- The other end, and the states ----------------------------------------------------------- */

static enum view_verdict reach_verdict(uint8_t reach)
{
	return reach == VIEW_REACH_STEADY   ? VIEW_OK
	       : reach == VIEW_REACH_MOVING ? VIEW_BEHIND
					    : VIEW_DISAGREE;
}

static void say_pair(struct compare *c, struct view_check *k, int a, int b)
{
	bool swapped;
	const struct view_state_pair *p = view_state_pair((unsigned)a, (unsigned)b, &swapped);
	char text[sizeof(k->text)] = "";

	if (!k->wordless)
		fill_names(text, sizeof(text), p->reason, c->name[swapped], c->name[!swapped]);
	check_say(k, reach_verdict(p->reach), "%s", text);
}

/* How an end whose peer is gone will come to know: "; it will not notice by itself ..." */
static struct view_word outlook(const struct cpl_info *i)
{
	struct view_word w = { "" };
	uint64_t left;

	if (view_get(i, CPL_F_timer_rexmt, &left) && left != CPL_TIMER_OFF)
		w = word_format("; what it sends again in %s will bring an RST", word_ns(left).s);
	else if (view_get(i, CPL_F_timer_close, &left) && left != CPL_TIMER_OFF)
		w = word_format("; it gives up in %s", word_ns(left).s);
	else if (view_get(i, CPL_F_timer_keep, &left) && left != CPL_TIMER_OFF)
		w = word_format("; its keep-alive will find out in %s", word_ns(left).s);
	else if (known(i, CPL_F_timer_rexmt) && known(i, CPL_F_timer_keep) &&
		 known(i, CPL_F_timer_close))
		w = word_format("; it has no timer that would find out: only sending does");
	return w;
}

/* One end was not found, in the pass that is looked at last. */
static void check_peer(struct compare *c, unsigned missing)
{
	struct view_check *k = check_add(c, VIEW_RULE_PEER, missing);
	unsigned there = !missing;
	int state = state_of(c->info[1][there]), other;

	if (c->absent == VIEW_SEVERAL) {
		check_text(k, "several ends could be that of %s, and nothing tells which",
			   c->name[missing]);
		return;
	}
	if (c->absent == VIEW_NOT_LOOKED) {
		check_text(k, "not looked at: %s was not asked", c->name[missing]);
		return;
	}
	if (state == NO_STATE) {
		check_unseen(k, c->name[there], CPL_F_state);
		return;
	}
	k->certainty = VIEW_DERIVED;
	if (c->info[0][missing]) {
		check_say(k, VIEW_BEHIND, "%s gave up its end while we looked", c->name[missing]);
		return;
	}
	other = c->absent == VIEW_LISTENS ? CPL_LISTEN : CPL_CLOSED;
	say_pair(c, k, there ? other : state, there ? state : other);
	if (k->verdict == VIEW_DISAGREE && c->absent == VIEW_LOOKED_PARTLY) {
		k->seen = 0;
		k->verdict = VIEW_UNSEEN;
		check_text(k,
			   "%s has no such connection that may be seen, and not all may be: a "
			   "container may have it",
			   c->name[missing]);
		return;
	}
	/* Between the passes the other end may have been born or have died: look again. */
	if (k->verdict == VIEW_DISAGREE && state_of(c->info[0][there]) != state)
		check_say(k, VIEW_BEHIND, "%s changed its state while we looked", c->name[there]);
	if (k->verdict == VIEW_DISAGREE && !k->wordless)
		strncat(k->text, outlook(c->info[1][there]).s,
			sizeof(k->text) - 1 - strlen(k->text));
	check_apart(c, k);
}

static void check_state(struct compare *c)
{
	struct view_check *k = check_add(c, VIEW_RULE_STATE, 0);
	int before[2] = { state_of(c->info[0][0]), state_of(c->info[0][1]) };
	int after[2] = { state_of(c->info[1][0]), state_of(c->info[1][1]) };

	for (unsigned end = 0; end < 2; end++) {
		if (after[end] == NO_STATE) {
			check_unseen(k, c->name[end], CPL_F_state);
			return;
		}
		if (!is_read(c->info[1][end], CPL_F_state))
			k->certainty = VIEW_DERIVED;
	}
	/*
	 * Both held these states when the second pass began only if they had them in the first,
	 * too. Else they are no pair of any instant, and accuse nobody.
	 */
	say_pair(c, k, after[0], after[1]);
	if ((before[0] != after[0] || before[1] != after[1]) && k->verdict == VIEW_DISAGREE)
		check_say(k, VIEW_BEHIND, "they changed their states while we looked");
	check_apart(c, k);
}

/* ---- Sequence numbers ------------------------------------------------------------------------ */

static void check_iss(struct compare *c, unsigned from)
{
	struct view_check *k = check_add(c, VIEW_RULE_ISS, from);
	const struct cpl_info *x = c->info[0][from], *y = c->info[1][!from];

	if (!known(x, CPL_F_iss)) {
		check_unseen(k, c->name[from], CPL_F_iss);
	} else if (!known(y, CPL_F_irs)) {
		check_unseen(k, c->name[!from], CPL_F_irs);
	} else {
		if (!is_read(x, CPL_F_iss) || !is_read(y, CPL_F_irs))
			k->certainty = VIEW_DERIVED;
		if (x->iss == y->irs)
			check_say(k, VIEW_OK, "%s counts %s's bytes from the ISS that %s chose",
				  c->name[!from], c->name[from], c->name[from]);
		else
			check_say(k, VIEW_DISAGREE,
				  "%s counts from ISS %u and %s expects it to have begun at %u: "
				  "they are ends of two different connections",
				  c->name[from], x->iss, c->name[!from], y->irs);
	}
}

/* One direction, unwrapped: everything relative to snd_una of the first pass. */
struct flow {
	int64_t una[2], nxt[2], rcv[2];
	int64_t slack; /* what the counters may be off by */
	bool derived;
	bool counted; /* by counters, not by sequence numbers */
};

/* The first field that is missing for the sequence numbers; CPL_FIELDS: none. */
static enum cpl_field flow_by_seq(const struct compare *c, unsigned from, struct flow *f,
				  unsigned *whose)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		const struct cpl_info *x = c->info[pass][from], *y = c->info[pass][!from];
		uint32_t base = c->info[0][from]->snd_una;
		bool una = known(x, CPL_F_snd_una), nxt = known(x, CPL_F_snd_nxt);

		*whose = una && nxt ? !from : from;
		if (!una || !nxt || !known(y, CPL_F_rcv_nxt))
			return !una ? CPL_F_snd_una : !nxt ? CPL_F_snd_nxt : CPL_F_rcv_nxt;
		f->una[pass] = (int32_t)(x->snd_una - base);
		f->nxt[pass] = (int32_t)(x->snd_nxt - base);
		f->rcv[pass] = (int32_t)(y->rcv_nxt - base);
		f->derived |= !is_read(x, CPL_F_snd_una) || !is_read(x, CPL_F_snd_nxt) ||
			      !is_read(y, CPL_F_rcv_nxt);
	}
	f->slack = 0;
	return CPL_FIELDS;
}

/* A counter, which a file may give any value: small enough for differences of differences. */
static int64_t count_of(uint64_t n)
{
	return n < INT64_MAX / 8 ? (int64_t)n : INT64_MAX / 8;
}

/*
 * Without sequence numbers the counters of bytes serve: what was sent but for repetitions, what was
 * acknowledged, what was received. Sources differ in whether SYN and FIN count.
 */
static bool flow_by_count(const struct compare *c, unsigned from, struct flow *f)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		const struct cpl_info *x = c->info[pass][from], *y = c->info[pass][!from];

		if (!known(x, CPL_F_bytes_acked) || !known(x, CPL_F_bytes_sent) ||
		    !known(x, CPL_F_bytes_retrans) || !known(y, CPL_F_bytes_received))
			return false;
		f->una[pass] = count_of(x->bytes_acked);
		f->nxt[pass] = count_of(x->bytes_sent) - count_of(x->bytes_retrans);
		f->rcv[pass] = count_of(y->bytes_received);
	}
	f->slack = 2;
	f->derived = f->counted = true;
	return true;
}

/* "1,460 bytes", "the FIN", "the SYN", "1,460 bytes and the FIN". */
static struct view_word amount(int64_t n, bool syn, bool fin)
{
	struct view_word w;

	if (n == 1 && (syn || fin)) {
		w = word_format("the %s", syn ? "SYN" : "FIN");
	} else if (fin && n > 1) {
		w = word_format("%s and the FIN", word_bytes((uint64_t)(n - 1)).s);
	} else {
		w = word_bytes((uint64_t)n);
	}
	return w;
}

/* Has the FIN of this end left, as far as can be told? */
static bool fin_left(const struct cpl_info *x)
{
	return fin_sent(state_of(x)) && !(known(x, CPL_F_not_sent) && x->not_sent > 0);
}

/* Sent so often without an answer, a segment is not just lost: nothing gets through. */
#define IN_VAIN 3

static bool in_vain(const struct cpl_info *x)
{
	return known(x, CPL_F_rexmt_count) && x->rexmt_count >= IN_VAIN;
}

static void check_acked(struct compare *c, unsigned from, const struct flow *f)
{
	struct view_check *k =
		check_add(c, f->counted ? VIEW_RULE_BYTES_ACKED : VIEW_RULE_ACKED, from);
	const char *x = c->name[from], *y = c->name[!from];
	int64_t over = f->una[0] - f->rcv[1];
	int64_t lag = f->rcv[1] - f->una[1];
	bool syn = syn_outstanding(state_of(c->info[1][from]));

	k->certainty = f->derived ? VIEW_DERIVED : VIEW_CERTAIN;
	if (over > f->slack)
		check_say(k, VIEW_DISAGREE, "%s holds %s as acknowledged that %s never had", x,
			  word_bytes((uint64_t)over).s, y);
	else if (lag > f->slack && in_vain(c->info[1][from]))
		check_say(k, VIEW_STUCK,
			  "%s has %s of %s, which has sent that %u times: the ACKs of %s do not "
			  "arrive",
			  y, amount(lag, syn, fin_received(state_of(c->info[1][!from]))).s, x,
			  c->info[1][from]->rexmt_count + 1u, y);
	else if (lag > f->slack)
		check_say(k, VIEW_BEHIND, "%s has %s of %s whose ACK has not come back", y,
			  amount(lag, syn, fin_received(state_of(c->info[1][!from]))).s, x);
	else
		check_say(k, VIEW_OK, "all that %s has of %s is known to be acknowledged", y, x);
	check_apart(c, k);
}

/* " (sent 3 times; again in 180 ms)": what will heal a lag, where that is known. */
static struct view_word prospect(const struct cpl_info *x)
{
	struct view_word w;
	char tries[32] = "";

	w.s[0] = 0;
	if (known(x, CPL_F_rexmt_count) && x->rexmt_count)
		snprintf(tries, sizeof(tries), "sent %u times; ", x->rexmt_count + 1u);
	if (known(x, CPL_F_timer_rexmt) && x->timer_rexmt != CPL_TIMER_OFF)
		w = word_format(" (%sagain in %s unless acknowledged)", tries,
				word_ns(x->timer_rexmt).s);
	else if (*tries)
		w = word_format(" (%.*s)", (int)strlen(tries) - 2, tries);
	return w;
}

/* "; again in 6.400 s", where that is known. */
static struct view_word again(const struct cpl_info *x)
{
	uint64_t left;

	if (view_get(x, CPL_F_timer_rexmt, &left) && left != CPL_TIMER_OFF)
		return word_format("; again in %s", word_ns(left).s);
	return word_format("%s", "");
}

/* Every timer that would send something again is known, and off. */
static bool no_timer(const struct cpl_info *x)
{
	static const enum cpl_field timers[] = { CPL_F_timer_rexmt, CPL_F_timer_probe,
						 CPL_F_timer_reorder, CPL_F_timer_persist };
	uint64_t left;

	for (size_t i = 0; i < sizeof(timers) / sizeof(*timers); i++)
		if (!x || !view_get(x, timers[i], &left) || left != CPL_TIMER_OFF)
			return false;
	return true;
}

static void check_received(struct compare *c, unsigned from, const struct flow *f)
{
	struct view_check *k =
		check_add(c, f->counted ? VIEW_RULE_BYTES_RECEIVED : VIEW_RULE_RECEIVED, from);
	const char *x = c->name[from], *y = c->name[!from];
	const struct cpl_info *xi = c->info[1][from];
	int64_t over = f->rcv[0] - f->nxt[1];
	int64_t lag = f->nxt[1] - f->rcv[1];
	bool fin = fin_left(xi) && !fin_received(state_of(c->info[1][!from]));

	k->certainty = f->derived ? VIEW_DERIVED : VIEW_CERTAIN;
	if (over > f->slack) {
		check_say(k, VIEW_DISAGREE, "%s has received %s that %s never sent", y,
			  word_bytes((uint64_t)over).s, x);
	} else if (lag <= f->slack) {
		check_say(k, VIEW_OK, "%s has all that %s sent", y, x);
	} else if (c->passes && f->una[0] == f->una[1] && f->nxt[0] == f->nxt[1] && no_timer(xi)) {
		k->certainty = VIEW_GUESS;
		check_say(k, VIEW_DISAGREE,
			  "%s lacks %s of %s, which has no timer to send it again", y,
			  amount(lag, syn_outstanding(state_of(xi)), fin).s, x);
	} else if (in_vain(xi)) {
		check_say(k, VIEW_STUCK, "%s of %s %s to %s, sent %u times%s",
			  amount(lag, syn_outstanding(state_of(xi)), fin).s, x,
			  lag == 1 ? "does not get through" : "do not get through", y,
			  xi->rexmt_count + 1u, again(xi).s);
	} else {
		check_say(k, VIEW_BEHIND, "%s of %s %s on the way to %s, or lost%s",
			  amount(lag, syn_outstanding(state_of(xi)), fin).s, x,
			  lag == 1 ? "is" : "are", y, prospect(xi).s);
	}
	check_apart(c, k);
}

static void check_numbers(struct compare *c, unsigned from)
{
	struct flow f = { .derived = false };
	unsigned whose = from;
	enum cpl_field missing = flow_by_seq(c, from, &f, &whose);

	if (missing != CPL_FIELDS && !flow_by_count(c, from, &f)) {
		check_unseen(check_add(c, VIEW_RULE_ACKED, from), c->name[whose], missing);
		check_unseen(check_add(c, VIEW_RULE_RECEIVED, from), c->name[whose], missing);
		return;
	}
	check_acked(c, from, &f);
	check_received(c, from, &f);
}

/* ---- Windows --------------------------------------------------------------------------------- */

/* A window smaller than a segment is left alone, and asked about as one of zero (RFC
 * 9293 3.8.6.2.1).
 */
static bool say_small_window(struct compare *c, struct view_check *k, unsigned from)
{
	const char *xn = c->name[from], *yn = c->name[!from];
	const struct cpl_info *x = c->info[1][from], *y = c->info[1][!from];

	if (!known(x, CPL_F_timer_persist) || x->timer_persist == CPL_TIMER_OFF ||
	    !known(y, CPL_F_recv_queue) || !y->recv_queue)
		return false;
	check_say(k, VIEW_BEHIND,
		  "the program of %s leaves %s unread, so that its window is down to %s, too small "
		  "for %s to send",
		  yn, word_bytes(y->recv_queue).s, word_bytes(x->snd_wnd).s, xn);
	return true;
}

/* X may not send, and has something to send. Returns false if that is not so. */
static bool say_zero_window(struct compare *c, struct view_check *k, unsigned from)
{
	const char *xn = c->name[from], *yn = c->name[!from];
	const struct cpl_info *x = c->info[1][from], *y = c->info[1][!from];
	struct view_word probe = { "" };

	if (!known(x, CPL_F_snd_wnd) || !known(x, CPL_F_not_sent) || !x->not_sent)
		return false;
	if (x->snd_wnd)
		return say_small_window(c, k, from);
	if (!k->wordless && known(x, CPL_F_timer_persist) && x->timer_persist != CPL_TIMER_OFF)
		probe = word_format("; it asks again in %s", word_ns(x->timer_persist).s);
	if (c->passes && no_timer(x) && known(y, CPL_F_rcv_wnd) && y->rcv_wnd) {
		k->certainty = VIEW_GUESS;
		check_say(k, VIEW_DISAGREE,
			  "%s has opened its window, %s has not heard of it, and no timer of %s "
			  "will ask",
			  yn, xn, xn);
	} else if (known(y, CPL_F_rcv_wnd) && y->rcv_wnd) {
		check_say(k, VIEW_BEHIND,
			  "%s has opened its window to %s, and %s has not heard of it%s", yn,
			  word_bytes(y->rcv_wnd).s, xn, probe.s);
	} else if (known(y, CPL_F_recv_queue) && y->recv_queue) {
		check_say(k, VIEW_BEHIND,
			  "the program of %s leaves %s unread, so that its window is zero and %s "
			  "may not send%s",
			  yn, word_bytes(y->recv_queue).s, xn, probe.s);
	} else {
		check_say(k, VIEW_BEHIND, "the window of %s is zero and %s may not send%s", yn, xn,
			  probe.s);
	}
	return true;
}

static void check_window(struct compare *c, unsigned from)
{
	struct view_check *k;
	const struct cpl_info *x = c->info[0][from], *y = c->info[1][!from];
	const char *xn = c->name[from], *yn = c->name[!from];
	char scales[64] = "";
	int32_t over;

	/* Who has sent its FIN needs no window any more. */
	if (fin_left(c->info[1][from]) || fin_received(state_of(y)))
		return;
	k = check_add(c, VIEW_RULE_WINDOW, from);
	if (!known(x, CPL_F_snd_una) || !known(x, CPL_F_snd_wnd)) {
		if (say_zero_window(c, k, from))
			return;
		check_unseen(k, xn, known(x, CPL_F_snd_una) ? CPL_F_snd_wnd : CPL_F_snd_una);
		return;
	}
	if (!known(y, CPL_F_rcv_edge)) {
		if (!say_zero_window(c, k, from))
			check_unseen(k, yn, CPL_F_rcv_edge);
		return;
	}
	if (!is_read(x, CPL_F_snd_una) || !is_read(x, CPL_F_snd_wnd) || !is_read(y, CPL_F_rcv_edge))
		k->certainty = VIEW_DERIVED;
	over = (int32_t)(x->snd_una + x->snd_wnd - y->rcv_edge);
	if (over > 0 && known(x, CPL_F_snd_wscale) && known(y, CPL_F_rcv_wscale) &&
	    x->snd_wscale != y->rcv_wscale)
		snprintf(scales, sizeof(scales), ": it scales windows by 2^%u, %.20s by 2^%u",
			 x->snd_wscale, yn, y->rcv_wscale);
	if (over > 0)
		check_say(k, VIEW_DISAGREE,
			  "%s believes that it may send %s more than %s offered%s", xn,
			  word_bytes((uint64_t)over).s, yn, scales);
	else if (say_zero_window(c, k, from))
		;
	else if (over < 0)
		check_say(k, VIEW_OK, "%s offers %s more than %s has heard of", yn,
			  word_bytes((uint64_t) - (int64_t)over).s, xn);
	else
		check_say(k, VIEW_OK, "%s may send exactly as far as %s offers", xn, yn);
	check_apart(c, k);
}

/* ---- All together ---------------------------------------------------------------------------- */

static void check_direction(struct compare *c, unsigned from)
{
	int x = state_of(c->info[1][from]), y = state_of(c->info[1][!from]);

	if (!sends(x) || !receives(y))
		return;
	check_iss(c, from);
	/* Before the handshake is done the numbers of an earlier life would be compared. */
	if (x == CPL_SYN_SENT && y != CPL_SYN_RECEIVED)
		return;
	check_numbers(c, from);
	if (x != CPL_SYN_SENT)
		check_window(c, from);
}

void compare_run(struct compare *c)
{
	c->report->n = c->report->unseen = 0;
	c->report->certainty = VIEW_CERTAIN;
	c->report->why[0] = 0;
	for (unsigned end = 0; end < 2; end++) {
		if (!c->info[1][end]) {
			check_peer(c, end);
			return;
		}
	}
	check_state(c);
	/* An end that was born between the passes has no past to compare. */
	if (!c->info[0][0] || !c->info[0][1])
		return;
	check_direction(c, 0);
	check_direction(c, 1);
}
