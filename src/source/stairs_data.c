/* SPDX-License-Identifier: MIT */
/*
 * The steps HANDSHAKE, DATA and READS: whether both ends hold the connection, whether bytes get
 * through in the protocol that is expected, and whether the program takes them.
 */
#include "source/stairs_step.h"

#include <string.h>
#include <linux/rtnetlink.h>

#include "wire/ip.h"

/* ---- The connection's two ends --------------------------------------------------------------- */

/* Our own end as a snapshot; NULL: not seen. */
static const struct far_socket *own_end(const struct stairs *s)
{
	const struct stairs_call *c = s->best;

	for (unsigned i = 0; i < s->far.sockets; i++) {
		const struct cpl_info *f = &s->far.socket[i].info;

		if (s->far.place[s->far.socket[i].place].ours && f->local_port == c->local_port &&
		    f->remote_port == s->o->target.port && f->state != CPL_LISTEN &&
		    cpl_addr_equal(&f->local_addr, &c->local) &&
		    (cpl_addr_equal(&f->remote_addr, &c->addr) || addr_is_any(&c->addr)))
			return &s->far.socket[i];
	}
	return NULL;
}

/* A finding about our connection, with both ends as far as they are known. */
static struct view_finding *of_connection(struct stairs *s, enum view_finding_id id,
					  enum view_certainty certainty)
{
	const struct far_socket *x = own_end(s);
	const struct far_socket *y = far_end(&s->far, s->best, s->o->target.port);
	struct view_finding *f = stairs_find(s, id, certainty);

	if (x) {
		f->known_x = true;
		f->x = x->info;
	}
	if (y) {
		f->known_y = true;
		f->y = y->info;
	}
	return f;
}

/* The program at the other end. */
static void to_blame(struct view_finding *f, const struct far_socket *end)
{
	f->pid = end->info.pid;
	memcpy(f->program, end->info.program, sizeof(f->program));
}

static const struct far_socket *listener_of(const struct stairs *s, const struct far_socket *end)
{
	for (unsigned i = 0; i < s->far.sockets; i++) {
		const struct far_socket *f = &s->far.socket[i];

		if (f->place == end->place && f->info.state == CPL_LISTEN &&
		    f->info.local_port == s->o->target.port)
			return f;
	}
	return NULL;
}

/* No program holds it yet: it waits in the accept queue. */
static bool waits_for_accept(const struct far_socket *end)
{
	return end->info.state == CPL_ESTABLISHED && !cpl_info_known(&end->info, CPL_F_inode);
}

/* ---- HANDSHAKE ------------------------------------------------------------------------------- */

/* The other end sends its SYN,ACK again: it does not know that we have it. */
static bool answer_comes_again(const struct stairs_talk *t)
{
	return t->info.segs_in > 1 && !t->info.data_segs_in && !t->acked && !t->eof && !t->error;
}

static bool not_completed(struct stairs *s, const struct far_socket *end)
{
	const struct far_socket *l = end ? listener_of(s, end) : NULL;
	bool full = l && l->info.accept_queue > l->info.backlog;
	struct view_finding *f;

	if (full || !end) {
		f = stairs_find(s, VIEW_FINDING_accept_queue_full,
				full ? VIEW_CERTAIN : VIEW_GUESS);
		if (l)
			stairs_of(f, l, &s->far.place[l->place]);
		if (full)
			view_finding_say(f, "%u connection%s for %s, as many as may",
					 l->info.accept_queue,
					 l->info.accept_queue == 1 ? " waits" : "s wait",
					 far_who(&l->info).s);
		else
			view_finding_say(f, "its SYN,ACK came %u times: it does not take our ACK",
					 s->talk.info.segs_in);
	} else {
		f = of_connection(s, VIEW_FINDING_black_hole, VIEW_CERTAIN);
		view_finding_say(f,
				 "the other end is in SYN-RECEIVED and sent its SYN,ACK %u times: "
				 "our ACK does not arrive",
				 s->talk.info.segs_in);
		snprintf(f->next, sizeof(f->next),
			 "A firewall between here and there passes SYNs and drops what follows: "
			 "look at its rules (nft list ruleset), there and on the way.");
	}
	view_diagnosis_step(s->d, VIEW_STEP_HANDSHAKE, VIEW_STEP_FAILS,
			    "established here only: the other end still waits for our ACK");
	if (full)
		stairs_blame_process(s, l, &s->far.place[l->place]);
	return false;
}

/* Both control blocks side by side; false: they contradict each other. */
static bool ends_agree(struct stairs *s, const struct far_socket *end)
{
	const struct far_socket *own = own_end(s);
	struct view_ends ends = { .x_name = "this end", .y_name = "the other end" };
	struct view_report report = { 0 };
	struct cpl_info first[2], second[2];
	struct view_finding *f;

	if (!own)
		return true;
	ends.x = &own->info;
	ends.y = &end->info;
	view_compare(&ends, &report);
	if (report.verdict != VIEW_DISAGREE)
		return true;
	/* Those were not read at one instant: only what two readings of both say counts. */
	if (source_again(NULL, &own->info, &first[0]) ||
	    source_again(NULL, &end->info, &first[1]) ||
	    source_again(NULL, &own->info, &second[0]) ||
	    source_again(NULL, &end->info, &second[1]))
		return true;
	ends.x = &first[0];
	ends.y = &first[1];
	view_compare_passes(&ends, &second[0], &second[1], &report);
	if (report.verdict != VIEW_DISAGREE || report.certainty == VIEW_GUESS || s->talk.eof ||
	    s->talk.error)
		return true;
	f = of_connection(s, VIEW_FINDING_desynchronised, report.certainty);
	view_finding_say(f, "%s", report.why);
	view_diagnosis_step(s->d, VIEW_STEP_HANDSHAKE, VIEW_STEP_FAILS, "the two ends disagree");
	return false;
}

bool stairs_handshake(struct stairs *s)
{
	const struct far_socket *end = far_end(&s->far, s->best, s->o->target.port);

	if (end && end->info.state == CPL_SYN_RECEIVED && answer_comes_again(&s->talk))
		return not_completed(s, end);
	if (!end && !far_place_of(&s->far, s->best) && answer_comes_again(&s->talk) &&
	    s->talk.took_ns >= STAIRS_BANNER_MS * 1000000ull)
		return not_completed(s, NULL);
	if (end && !ends_agree(s, end))
		return false;
	if (end && end->info.state == CPL_SYN_RECEIVED)
		view_diagnosis_step(s->d, VIEW_STEP_HANDSHAKE, VIEW_STEP_HOLDS,
				    "from port %u; there it waits for data (TCP_DEFER_ACCEPT)",
				    s->best->local_port);
	else if (end && waits_for_accept(end))
		view_diagnosis_step(s->d, VIEW_STEP_HANDSHAKE, VIEW_STEP_HOLDS,
				    "from port %u; there it waits to be accepted",
				    s->best->local_port);
	else if (end && cpl_info_known(&end->info, CPL_F_inode))
		view_diagnosis_step(s->d, VIEW_STEP_HANDSHAKE, VIEW_STEP_HOLDS,
				    "from port %u; %s has the other end", s->best->local_port,
				    far_who(&end->info).s);
	else
		view_diagnosis_step(s->d, VIEW_STEP_HANDSHAKE, VIEW_STEP_HOLDS,
				    "established here, from port %u", s->best->local_port);
	return true;
}

/* ---- DATA ------------------------------------------------------------------------------------ */

static const char *greeting_name(enum stairs_greeting greeting)
{
	return greeting == STAIRS_GREET_HTTP ? "HEAD /" : "ClientHello";
}

static bool data_fails(struct stairs *s, const char *text)
{
	view_diagnosis_step(s->d, VIEW_STEP_DATA, VIEW_STEP_FAILS, "%s", text);
	return false;
}

/* The other end has no room for more: its program does not read. */
static bool window_is_shut(const struct stairs_talk *t)
{
	return t->request && !t->acked && !t->answer_n && !t->info.snd_wnd && t->info.notsent_bytes;
}

/* What was sent is not acknowledged. */
static bool vanishes(struct stairs *s)
{
	const struct stairs_talk *t = &s->talk;
	const struct far_socket *end = far_end(&s->far, s->best, s->o->target.port);
	const struct view_event *drop = stairs_drop(s);
	struct stairs_talk small;
	struct view_finding *f;
	char text[200];

	snprintf(text, sizeof(text), "%zu bytes sent %u times, not acknowledged", t->request,
		 t->info.total_retrans + 1);
	if (end && cpl_info_known(&end->info, CPL_F_bytes_received) &&
	    end->info.bytes_received >= t->request) {
		f = of_connection(s, VIEW_FINDING_ack_path_broken, VIEW_CERTAIN);
		view_finding_say(f, "the other end has %llu bytes, its ACKs do not arrive here",
				 (unsigned long long)end->info.bytes_received);
	} else if (t->large && talk_again(s, &small, t->greeting) &&
		   (small.acked || small.answer_n)) {
		f = of_connection(s, VIEW_FINDING_mtu_black_hole, VIEW_CERTAIN);
		view_finding_say(f,
				 "%zu bytes are acknowledged at once; %zu, in segments of %u, "
				 "were sent %u times and are not",
				 small.request, t->request, t->mss, t->info.total_retrans + 1);
		snprintf(text, sizeof(text), "%zu bytes get through, segments of %u do not",
			 small.request, t->mss);
	} else {
		f = of_connection(s, VIEW_FINDING_black_hole, VIEW_CERTAIN);
		view_finding_say(f, "%s", text);
	}
	if (drop)
		view_finding_say(f, "the kernel dropped it: %s", stairs_reason(drop).s);
	else if (!s->watcher)
		view_diagnosis_unseen(s->d, "the kernel's reasons for drops: that %s",
				      source_denied());
	return data_fails(s, text);
}

/* Acknowledged, and the first full segments of the answer are missing. */
static bool answer_vanishes(struct stairs *s)
{
	struct view_finding *f = of_connection(s, VIEW_FINDING_mtu_black_hole, VIEW_DERIVED);

	view_finding_say(f,
			 "the request arrived; of the answer came the end (%u segments out of "
			 "order) and not the beginning: its full segments are lost",
			 s->talk.info.rcv_ooopack);
	return data_fails(s, "the answer's large segments do not arrive, small ones do");
}

/* Whether the other greeting is understood, if this one is not. */
static bool other_protocol(struct stairs *s, enum greet_answer answer)
{
	struct stairs_talk *t = &s->talk, other;
	bool http = t->greeting == STAIRS_GREET_HTTP;
	bool bad_request =
		answer == GREET_HTTP && t->answer_n > 12 && memcmp(t->answer + 8, " 400", 4) == 0;
	struct view_word line = greet_line(t->answer, t->answer_n);
	enum greet_answer second = GREET_NOTHING;
	bool certain;

	if (http ? answer == GREET_HTTP && !bad_request
		 : answer == GREET_TLS || answer == GREET_TLS_ALERT)
		return false;
	certain = http ? answer == GREET_HTTP_WANTS_TLS || answer == GREET_TLS_ALERT
		       : answer == GREET_HTTP || answer == GREET_HTTP_WANTS_TLS;
	/* A program that waits silently for more of an HTTP request does not speak TLS. */
	if (!certain && !(http && answer == GREET_NOTHING && !t->eof && !t->error) &&
	    talk_again(s, &other, http ? STAIRS_GREET_TLS : STAIRS_GREET_HTTP))
		second = greet_judge(other.answer, other.answer_n);
	certain |= http ? second == GREET_TLS || second == GREET_TLS_ALERT : second == GREET_HTTP;
	if (!certain)
		return false;

	struct view_finding *f = of_connection(s, VIEW_FINDING_tls_on_plain_port, VIEW_CERTAIN);
	const char *host = s->o->target.host;

	if (answer == GREET_NOTHING)
		view_finding_say(f, "it %s our %s", t->eof || t->error ? "closes on" : "ignores",
				 greeting_name(t->greeting));
	else
		view_finding_say(f, "it answers our %s with \"%s\"", greeting_name(t->greeting),
				 answer == GREET_TLS_ALERT ? "a TLS alert" : line.s);
	if (second != GREET_NOTHING)
		view_finding_say(f, "and our %s with %s", http ? "ClientHello" : "HEAD /",
				 http ? "a TLS record"
				      : greet_line(other.answer, other.answer_n).s);
	snprintf(f->next, sizeof(f->next), "Call it %s: http%s://%s%.100s%s:%u/",
		 http ? "with TLS" : "without TLS", http ? "s" : "", strchr(host, ':') ? "[" : "",
		 word_foreign(host).s, strchr(host, ':') ? "]" : "", s->o->target.port);
	data_fails(s, http ? "the port speaks TLS, plain HTTP was sent"
			   : "the port speaks plain HTTP, TLS was sent");
	return true;
}

static bool closed(struct stairs *s)
{
	struct stairs_talk *t = &s->talk;
	struct view_finding *f = of_connection(s, VIEW_FINDING_closed_at_once, VIEW_DERIVED);

	view_finding_say(f, "it %s the connection %s after %s%s",
			 t->error ? "aborts (RST)" : "closes (FIN)",
			 t->request ? "without an answer" : "without a word", word_ns(t->took_ns).s,
			 t->request ? " although it had a request" : "");
	return data_fails(s, t->error ? "the other end aborts at once (RST)"
				      : "the other end closes at once");
}

bool stairs_data(struct stairs *s)
{
	struct stairs_talk *t = &s->talk;
	enum greet_answer answer = greet_judge(t->answer, t->answer_n);

	if (t->greeting == STAIRS_GREET_NOBODY) {
		if (t->answer_n) {
			view_diagnosis_step(s->d, VIEW_STEP_DATA, VIEW_STEP_HOLDS,
					    "it spoke first, after %s: \"%s\"",
					    word_ns(t->answered_ns).s,
					    greet_line(t->answer, t->answer_n).s);
			return true;
		}
		if (t->eof || t->error)
			return closed(s);
		view_diagnosis_step(s->d, VIEW_STEP_DATA, VIEW_STEP_NOT_SEEN,
				    "nothing was said: the protocol is not known");
		view_diagnosis_unseen(s->d, "whether data passes: nothing was sent to a program of "
					    "unknown protocol (--probe-data)");
		return true;
	}
	if (window_is_shut(t)) {
		view_diagnosis_step(s->d, VIEW_STEP_DATA, VIEW_STEP_HOLDS,
				    "%u of %zu bytes acknowledged, then its window is zero",
				    (unsigned)t->request - t->info.notsent_bytes, t->request);
		return true;
	}
	if (!t->acked && !t->answer_n && !t->eof && !t->error)
		return vanishes(s);
	if (!t->answer_n && !t->eof && !t->error && t->info.rcv_ooopack)
		return answer_vanishes(s);
	if (other_protocol(s, answer))
		return false;
	if (!t->answer_n && (t->eof || t->error))
		return closed(s);
	view_diagnosis_step(s->d, VIEW_STEP_DATA, VIEW_STEP_HOLDS,
			    "%s (%zu bytes%s) acknowledged after %s", greeting_name(t->greeting),
			    t->request, t->large ? ", full segments" : "",
			    word_ns(t->acked ? t->acked_ns : t->answered_ns).s);
	return true;
}

/* ---- READS ----------------------------------------------------------------------------------- */

static bool reads_fails(struct stairs *s, const char *text)
{
	view_diagnosis_step(s->d, VIEW_STEP_READS, VIEW_STEP_FAILS, "%s", text);
	return false;
}

/* The program at the other end is on this machine and does nothing. */
static bool idle_program(struct stairs *s, const struct far_socket *end)
{
	const struct far_socket *l = listener_of(s, end);
	const struct far_socket *who = cpl_info_known(&end->info, CPL_F_pid) ? end : l;
	const struct far_place *place = &s->far.place[end->place];
	char text[200];

	if (who && (who->process_state == 'T' || who->process_state == 't')) {
		stairs_blame_process(s, who, place);
		snprintf(text, sizeof(text), "%.80s is stopped (state %c)", far_who(&who->info).s,
			 who->process_state);
		return reads_fails(s, text);
	}
	if (waits_for_accept(end) && l) {
		struct view_finding *f =
			stairs_find(s, VIEW_FINDING_accept_queue_full, VIEW_DERIVED);

		stairs_of(f, l, place);
		view_finding_say(f,
				 "the connection waits in the accept queue of %s since %s (%u of "
				 "%u are there)",
				 far_who(&l->info).s, word_ns(s->talk.took_ns).s,
				 l->info.accept_queue, l->info.backlog + 1);
		reads_fails(s, "the program does not accept() the connection");
		stairs_blame_process(s, l, place);
		return false;
	}
	return true;
}

static bool no_answer(struct stairs *s, const struct far_socket *end)
{
	struct stairs_talk *t = &s->talk;
	struct view_finding *f = of_connection(s, VIEW_FINDING_no_answer, VIEW_DERIVED);
	struct view_word who = word_format("the program there");
	char text[200];

	if (end) {
		who = far_who(&end->info);
		to_blame(f, end);
	}
	view_finding_say(f, "%zu bytes (%s) were acknowledged after %s; no answer within %s",
			 t->request, greeting_name(t->greeting), word_ns(t->acked_ns).s,
			 word_ns(t->took_ns).s);
	if (end && end->info.recv_queue)
		view_finding_say(f, "%u of them wait in its Recv-Q: %s has not read them",
				 end->info.recv_queue, who.s);
	else if (end)
		view_finding_say(f, "%s has read them all", who.s);
	else
		view_diagnosis_unseen(s->d, "whether the program there has read it: needs the far "
					    "host");
	snprintf(text, sizeof(text), "no answer from %.80s within %.40s", who.s,
		 word_ns(t->took_ns).s);
	return reads_fails(s, text);
}

static bool shut(struct stairs *s, const struct far_socket *end)
{
	struct view_finding *f = of_connection(s, VIEW_FINDING_zero_window_stuck, VIEW_CERTAIN);
	char text[200];

	if (end)
		to_blame(f, end);
	view_finding_say(f, "its window is zero, %u bytes wait here to be sent",
			 s->talk.info.notsent_bytes);
	if (end && end->info.recv_queue)
		view_finding_say(f, "%u bytes wait in its Recv-Q for %s to read them",
				 end->info.recv_queue, far_who(&end->info).s);
	snprintf(text, sizeof(text), "%.80s does not read: the window is zero",
		 end ? far_who(&end->info).s : "the program there");
	return reads_fails(s, text);
}

bool stairs_reads(struct stairs *s)
{
	struct stairs_talk *t = &s->talk;
	const struct far_socket *end = far_end(&s->far, s->best, s->o->target.port);
	bool tls = greet_judge(t->answer, t->answer_n) == GREET_TLS;
	bool alert = greet_judge(t->answer, t->answer_n) == GREET_TLS_ALERT;

	if (t->answer_n && t->greeting == STAIRS_GREET_NOBODY) {
		view_diagnosis_step(s->d, VIEW_STEP_READS, VIEW_STEP_HOLDS, "the program speaks");
		return true;
	}
	if (t->answer_n) {
		view_diagnosis_step(s->d, VIEW_STEP_READS, VIEW_STEP_HOLDS,
				    "it answered after %s: %s", word_ns(t->answered_ns).s,
				    tls	    ? "TLS"
				    : alert ? "TLS, with an alert"
					    : greet_line(t->answer, t->answer_n).s);
		return true;
	}
	if (end && !idle_program(s, end))
		return false;
	if (window_is_shut(t))
		return shut(s, end);
	if (t->greeting != STAIRS_GREET_NOBODY)
		return no_answer(s, end);
	if (end && end->info.state == CPL_SYN_RECEIVED) {
		view_diagnosis_step(s->d, VIEW_STEP_READS, VIEW_STEP_NOT_SEEN,
				    "the program is told of the connection when data comes");
		return true;
	}
	if (end) {
		view_diagnosis_step(s->d, VIEW_STEP_READS, VIEW_STEP_NEEDLESS,
				    "nothing to read; %s has accepted the connection",
				    far_who(&end->info).s);
		return true;
	}
	view_diagnosis_step(s->d, VIEW_STEP_READS, VIEW_STEP_NOT_SEEN,
			    "the program there was not seen");
	view_diagnosis_unseen(s->d, "whether the program there reads: %s",
			      s->best->routed ? "it is another machine"
					      : "couplet was built without libmnl");
	return true;
}
