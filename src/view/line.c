/* SPDX-License-Identifier: MIT */
/* What one line of netstat means: see line.h. */
#include "view/line.h"

#include <stdarg.h>
#include <string.h>

#include "view/field.h"

#define TCP 6
#define UDP 17

struct teller {
	struct text *t;
	const struct view_line *line;
	const struct cpl_info *i;
	unsigned indent;
};

/* One sentence or two, wrapped, as lines of their own. */
__attribute__((format(printf, 2, 3))) static void say(const struct teller *s, const char *format,
						      ...)
{
	char sentence[600];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	text_repeat(s->t, " ", s->indent);
	text_wrap(s->t, sentence, s->indent, s->t->width);
	text_puts(s->t, "\n");
}

static bool knows(const struct cpl_info *i, enum cpl_field f)
{
	return i && cpl_info_known(i, f);
}

/* The number in a field; 0 where it is unknown. */
static uint64_t value(const struct cpl_info *i, enum cpl_field f)
{
	uint64_t v;

	return view_get(i, f, &v) ? v : 0;
}

static bool timer_runs(const struct cpl_info *i, enum cpl_field f)
{
	return knows(i, f) && value(i, f) != CPL_TIMER_OFF;
}

/* "curl (pid 812)", or what else can be said of who has the socket. */
static struct view_word who(const struct cpl_info *i)
{
	if (knows(i, CPL_F_program) && i->program[0] && knows(i, CPL_F_pid))
		return word_format("%s (pid %u)", view_field_word(i, CPL_F_program, 0).s, i->pid);
	if (knows(i, CPL_F_program) && i->program[0])
		return view_field_word(i, CPL_F_program, 0);
	if (knows(i, CPL_F_pid))
		return word_format("process %u", i->pid);
	return word_format("the program");
}

struct view_word view_line_who(const struct cpl_info *info)
{
	return who(info);
}

static struct view_word Who(const struct cpl_info *i)
{
	struct view_word w = who(i);

	if (strcmp(w.s, "the program") == 0)
		w.s[0] = 'T';
	return w;
}

bool view_detached(const struct cpl_info *i)
{
	bool full = i->protocol == TCP && i->state != CPL_SYN_SENT && i->state != CPL_LISTEN &&
		    i->state != CPL_CLOSED;

	if (!full || knows(i, CPL_F_pid))
		return false;
	if (knows(i, CPL_F_attached))
		return !i->attached;
	/* The kernel tells the inode of each socket that has a descriptor. */
	return knows(i, CPL_F_source) && i->source == CPL_SOURCE_SOCK_DIAG &&
	       !knows(i, CPL_F_inode);
}

/* ---- The place ------------------------------------------------------------------------------- */

static bool is_any(const struct cpl_addr *a)
{
	return word_endpoint(a, 0).s[0] == '*';
}

static bool is_loopback(const struct cpl_addr *a)
{
	static const struct cpl_addr one6 = { .b = { [15] = 1 } };

	return cpl_addr_is4(a) ? a->b[12] == 127 : cpl_addr_equal(a, &one6);
}

/* Where a listener or a UDP socket can be reached. */
static const char *reach(const struct cpl_info *i)
{
	if (!knows(i, CPL_F_local_addr))
		return "";
	if (is_any(&i->local_addr))
		return i->family == 6 ? " on every address, usually those of IPv4 as well"
				      : " on every IPv4 address of this machine";
	if (is_loopback(&i->local_addr))
		return " from this machine only (a loopback address)";
	return " on this address only";
}

/* How closely LISTENER answers for INFO: 0 not at all, 3 by address. */
static unsigned answers(const struct cpl_info *listener, const struct cpl_info *info)
{
	if (listener->protocol != info->protocol || listener->state != CPL_LISTEN ||
	    listener->local_port != info->local_port || listener->netns != info->netns ||
	    (listener->source == CPL_SOURCE_STACK) != (info->source == CPL_SOURCE_STACK))
		return 0;
	if (cpl_addr_equal(&listener->local_addr, &info->local_addr))
		return 3;
	if (!is_any(&listener->local_addr))
		return 0;
	if (cpl_addr_is4(&listener->local_addr))
		return info->family == 4 ? 2 : 0;
	return info->family == 6 ? 2 : 1;
}

const struct cpl_info *view_listener(const struct cpl_info *infos, size_t n,
				     const struct cpl_info *info)
{
	const struct cpl_info *best = NULL;
	unsigned most = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned closeness = answers(&infos[i], info);

		if (closeness > most) {
			most = closeness;
			best = &infos[i];
		}
	}
	return best;
}

bool view_mirrors(const struct cpl_info *a, const struct cpl_info *b)
{
	return a->protocol == b->protocol && a->protocol == TCP && a->remote_port &&
	       a->local_port == b->remote_port && a->remote_port == b->local_port &&
	       cpl_addr_equal(&a->local_addr, &b->remote_addr) &&
	       cpl_addr_equal(&a->remote_addr, &b->local_addr);
}

const struct cpl_info *view_other_end(const struct cpl_info *infos, size_t n,
				      const struct cpl_info *info)
{
	for (size_t i = 0; i < n; i++)
		if (&infos[i] != info && view_mirrors(&infos[i], info))
			return &infos[i];
	return NULL;
}

/* ---- Queues ---------------------------------------------------------------------------------- */

/* Who should read what this end sends, where that is known. */
static struct view_word reader(const struct view_line *line)
{
	return line->peer && knows(line->peer, CPL_F_pid) ? who(line->peer)
							  : word_format("its program");
}

/* Why the rest of the send queue has not left, as a clause. */
static struct view_word why_not(const struct view_line *line)
{
	const struct cpl_info *i = line->info;

	switch (knows(i, CPL_F_why) ? i->why : CPL_WHYS) {
	case CPL_WHY_CWND:
		return word_format("the congestion window (%s) is full",
				   word_bytes(value(i, CPL_F_cwnd)).s);
	case CPL_WHY_RWND:
		return word_format("the peer's window (%s) is full: %s does not read as fast",
				   word_bytes(value(i, CPL_F_snd_wnd)).s, reader(line).s);
	case CPL_WHY_ZERO_WND:
		if (timer_runs(i, CPL_F_timer_persist))
			return word_format("the peer's window is zero: %s does not read; next "
					   "probe in %s",
					   reader(line).s, word_ns(i->timer_persist).s);
		return word_format("the peer's window is zero: %s does not read", reader(line).s);
	case CPL_WHY_NAGLE:
		return word_format("less than a segment (%s) waits for the ACK of what is in "
				   "flight, Nagle's rule",
				   word_bytes(value(i, CPL_F_snd_mss)).s);
	case CPL_WHYS:
		break;
	default:
		return word_format("%s", view_why_text(i->why));
	}
	if (knows(i, CPL_F_cwnd) && knows(i, CPL_F_snd_wnd))
		return word_format("why is not told; congestion window %u, peer's window %u",
				   i->cwnd, i->snd_wnd);
	return word_format("why is not told");
}

static bool sent_fin(const struct cpl_info *i)
{
	return i->state == CPL_FIN_WAIT_1 || i->state == CPL_CLOSING || i->state == CPL_LAST_ACK;
}

static void say_send(const struct teller *s)
{
	const struct cpl_info *i = s->i;
	uint64_t queue = value(i, CPL_F_send_queue), again = value(i, CPL_F_rexmt_count);

	if (!queue)
		return;
	if (queue == 1 && sent_fin(i))
		say(s, "Send-Q 1 is our FIN: it counts as one.");
	else if (!knows(i, CPL_F_in_flight) || !knows(i, CPL_F_not_sent))
		say(s, "Send-Q %s: written by %s and not yet acknowledged by the peer%s.",
		    word_count(queue).s, who(i).s,
		    s->line->pasted ? "; how much of it is in flight, the row does not tell" : "");
	else if (!i->not_sent)
		say(s, "Send-Q %s: all of it in flight, sent and not yet acknowledged%s%s.",
		    word_count(queue).s, knows(i, CPL_F_srtt) ? "; a round trip takes " : "",
		    knows(i, CPL_F_srtt) ? word_ns(i->srtt).s : "");
	else
		say(s, "Send-Q %s: %s in flight, %s not yet sent%s%s.", word_count(queue).s,
		    word_count(i->in_flight).s, word_count(i->not_sent).s,
		    s->line->why_said ? "" : ": ", s->line->why_said ? "" : why_not(s->line).s);
	if (again)
		say(s, "The oldest segment was sent %s more, no ACK came%s%s.",
		    again == 1 ? "once" : word_format("%u times", (unsigned)again).s,
		    timer_runs(i, CPL_F_timer_rexmt) ? "; next try in " : "",
		    timer_runs(i, CPL_F_timer_rexmt) ? word_ns(i->timer_rexmt).s : "");
}

static bool got_fin(const struct cpl_info *i)
{
	return i->state == CPL_CLOSE_WAIT || i->state == CPL_LAST_ACK || i->state == CPL_CLOSING ||
	       i->state == CPL_TIME_WAIT;
}

static void say_receive(const struct teller *s)
{
	const struct cpl_info *i = s->i;
	uint64_t queue = value(i, CPL_F_recv_queue);
	bool since = knows(i, CPL_F_last_received) && i->last_received;

	if (!queue)
		return;
	if (queue == 1 && got_fin(i)) {
		say(s, "Recv-Q 1 is the peer's FIN, which counts as one: %s has not read that far.",
		    who(i).s);
		return;
	}
	say(s, "Recv-Q %s: here and acknowledged, unread by %s%s%s%s.", word_count(queue).s,
	    view_detached(i) ? "any program" : who(i).s, since ? "; the last of it came " : "",
	    since ? word_ns(i->last_received).s : "", since ? " ago" : "");
	if (knows(i, CPL_F_rcv_wnd) && !i->rcv_wnd)
		say(s, "Its window is closed: the peer must wait until that is read.");
}

/* When something last moved, of what is known. */
static uint64_t quiet_for(const struct cpl_info *i)
{
	uint64_t sent = knows(i, CPL_F_last_sent) ? i->last_sent : CPL_TIMER_OFF;
	uint64_t received = knows(i, CPL_F_last_received) ? i->last_received : CPL_TIMER_OFF;

	return sent < received ? sent : received;
}

static void say_idle(const struct teller *s)
{
	const struct cpl_info *i = s->i;
	bool age = quiet_for(i) != CPL_TIMER_OFF && quiet_for(i);

	if (!knows(i, CPL_F_send_queue) || !knows(i, CPL_F_recv_queue) || i->send_queue ||
	    i->recv_queue)
		return;
	say(s, "Both queues are empty: all sent is acknowledged, all received was read%s%s%s.",
	    age ? "; last data " : "", age ? word_ns(quiet_for(i)).s : "", age ? " ago" : "");
}

static void say_accept_queue(const struct teller *s)
{
	const struct cpl_info *i = s->i;
	uint32_t waiting = i->accept_queue;

	if (!knows(i, CPL_F_accept_queue))
		return;
	if (s->line->no_limit || !knows(i, CPL_F_backlog))
		say(s,
		    "Recv-Q is its accept queue: %s for accept(). Its limit is not in this table.",
		    waiting == 1 ? "1 connection waits"
		    : waiting	 ? word_format("%u connections wait", waiting).s
				 : "no connection waits");
	else
		say(s, "Recv-Q, Send-Q are its accept queue: %u of at most %u wait for accept().",
		    waiting, i->backlog);
	if (!s->line->no_limit && knows(i, CPL_F_backlog) && waiting > i->backlog)
		say(s, "It is full: whoever connects now gets no answer until %s accepts.",
		    who(i).s);
	if (value(i, CPL_F_syn_queue))
		say(s, "%u more half-open (SYN_RCVD): their handshakes are not done.",
		    i->syn_queue);
}

/* ---- States ---------------------------------------------------------------------------------- */

static void say_syn_sent(const struct teller *s)
{
	const struct cpl_info *i = s->i;
	unsigned again = (unsigned)value(i, CPL_F_rexmt_count);
	bool next = timer_runs(i, CPL_F_timer_rexmt);

	say(s, "%s is connecting: its SYN went out%s and nothing has answered yet%s%s.", Who(i).s,
	    again	      ? word_format(" %u times", again + 1).s
	    : s->line->pasted ? ""
			      : " once",
	    next ? "; next try in " : "", next ? word_ns(i->timer_rexmt).s : "");
	if (again || s->line->pasted)
		say(s, "A closed port would have refused at once. Silence is a firewall that "
		       "drops, a full accept queue, or nobody there.");
}

static void say_syn_received(const struct teller *s)
{
	const struct cpl_info *i = s->i;
	unsigned again = (unsigned)value(i, CPL_F_rexmt_count);
	bool next = timer_runs(i, CPL_F_timer_rexmt);

	say(s,
	    "Half-open: a SYN came and was answered%s; the ACK that ends the handshake is "
	    "missing%s%s.",
	    again ? word_format(" %u times", again + 1).s : "", next ? "; next try in " : "",
	    next ? word_ns(i->timer_rexmt).s : "");
}

static void say_not_accepted(const struct teller *s)
{
	const struct cpl_info *l = s->line->listener;

	if (l)
		say(s,
		    "The handshake is done, but %s has not accepted it: it waits in the queue "
		    "of %s.",
		    who(l).s, word_endpoint(&l->local_addr, l->local_port).s);
	else
		say(s, "The handshake is done, but no program has it: it waits to be accepted.");
}

static void say_fin_wait_2(const struct teller *s)
{
	const struct cpl_info *i = s->i;

	if (s->line->peer && knows(s->line->peer, CPL_F_pid))
		say(s,
		    "This end has closed; the other has acknowledged that, but %s has not closed.",
		    who(s->line->peer).s);
	else
		say(s,
		    "This end has closed and the peer has acknowledged it, but not closed itself.");
	if (view_detached(i) && timer_runs(i, CPL_F_timer_close))
		say(s, "No program holds it; the kernel forgets it in %s.",
		    word_ns(i->timer_close).s);
	else if (!view_detached(i) && !s->line->pasted)
		say(s, "%s has shut down its half only: it can still read.", Who(i).s);
}

static void say_time_wait(const struct teller *s)
{
	const struct cpl_info *i = s->i;

	say(s,
	    "Over: both have closed, this end first. Its ports stay reserved%s%s, lest old "
	    "segments reach a new connection. No program, no trouble.",
	    timer_runs(i, CPL_F_timer_close) ? " for " : " for a minute or so",
	    timer_runs(i, CPL_F_timer_close) ? word_ns(i->timer_close).s : "");
}

static void say_close_wait(const struct teller *s)
{
	const struct cpl_info *i = s->i;

	say(s, "The peer has closed; %s has not: this end stays until it calls close().",
	    view_detached(i) ? "here nobody has accepted it yet, and so nobody" : who(i).s);
	say_send(s);
	say_receive(s);
}

static void say_tcp(const struct teller *s)
{
	const struct cpl_info *i = s->i;

	if (!knows(i, CPL_F_state))
		return;
	switch (i->state) {
	case CPL_LISTEN:
		say(s, "%s waits for connections%s.", Who(i).s, reach(i));
		say_accept_queue(s);
		return;
	case CPL_SYN_SENT:
		say_syn_sent(s);
		return;
	case CPL_SYN_RECEIVED:
		say_syn_received(s);
		return;
	case CPL_CLOSE_WAIT:
		say_close_wait(s);
		return;
	case CPL_FIN_WAIT_2:
		say_fin_wait_2(s);
		say_receive(s);
		return;
	case CPL_TIME_WAIT:
		say_time_wait(s);
		return;
	case CPL_CLOSED:
		say(s, "%s has bound it to a port, and neither listens nor connects.", Who(i).s);
		return;
	case CPL_FIN_WAIT_1:
		say(s, "This end has closed; the peer has not acknowledged that yet.");
		break;
	case CPL_CLOSING:
		say(s, "Both closed at the same moment; the ACK of our FIN is awaited.");
		break;
	case CPL_LAST_ACK:
		say(s, "Both have closed; the ACK of our FIN is awaited, then it is gone.");
		break;
	default:
		if (view_detached(i))
			say_not_accepted(s);
		break;
	}
	say_send(s);
	say_receive(s);
	if (i->state == CPL_ESTABLISHED)
		say_idle(s);
}

static void say_udp(const struct teller *s)
{
	const struct cpl_info *i = s->i;

	if (value(i, CPL_F_remote_port))
		say(s,
		    "%s exchanges datagrams with this one peer. UDP has no connection: whether "
		    "the peer lives is not known.",
		    Who(i).s);
	else
		say(s, "%s takes datagrams%s. UDP has no connection and no state.", Who(i).s,
		    reach(i));
	if (value(i, CPL_F_recv_queue))
		say(s, "Recv-Q %s: unread by %s, the kernel's overhead included.",
		    word_count(i->recv_queue).s, who(i).s);
	if (value(i, CPL_F_send_queue))
		say(s, "Send-Q %s: not yet taken by the device.", word_count(i->send_queue).s);
	if (value(i, CPL_F_drops))
		say(s, "%s datagrams were dropped: they found the queue full.",
		    word_count(i->drops).s);
}

static void say_unix(const struct teller *s)
{
	const struct cpl_info *i = s->i, *peer = s->line->peer;

	if (knows(i, CPL_F_state) && i->state == CPL_LISTEN) {
		say(s, "%s waits for connections of programs on this machine.", Who(i).s);
		say_accept_queue(s);
		return;
	}
	if (peer)
		say(s, "Connects %s with %s, inside this machine.", who(i).s,
		    peer->pid == i->pid && knows(peer, CPL_F_pid) ? "itself" : who(peer).s);
	else if (knows(i, CPL_F_state) && i->state == CPL_ESTABLISHED && !s->line->pasted)
		say(s, "Nobody holds the other end: it waits to be accepted, or was closed.");
	else if (knows(i, CPL_F_state) && i->state == CPL_SYN_SENT)
		say(s, "%s waits in connect(): the listener's queue is full.", Who(i).s);
	else
		say(s, "%s talks through it to programs on this machine.", Who(i).s);
	if (value(i, CPL_F_recv_queue))
		say(s, "Recv-Q %s: unread by %s.", word_count(i->recv_queue).s, who(i).s);
	if (value(i, CPL_F_send_queue))
		say(s, "Send-Q %s: not yet read by the other end, overhead included.",
		    word_count(i->send_queue).s);
}

void view_line(struct text *t, const struct view_line *line, unsigned indent)
{
	struct teller s = { t, line, line->info, indent };

	if (s.i->family == 1)
		say_unix(&s);
	else if (s.i->protocol == UDP)
		say_udp(&s);
	else
		say_tcp(&s);
}

bool view_line_why(struct text *t, const struct view_line *line)
{
	const struct cpl_info *i = line->info;
	struct teller s = { t, line, i, 0 };
	bool since = knows(i, CPL_F_why_for) && i->why_for;

	if (i->protocol != TCP || !knows(i, CPL_F_why) || i->state == CPL_LISTEN ||
	    i->state == CPL_TIME_WAIT)
		return false;
	say(&s, "%s%s%s: %s.", i->why == CPL_WHY_SENDING ? "Sending" : "Not sending",
	    since ? " for " : "", since ? word_ns(i->why_for).s : "",
	    i->why == CPL_WHY_IDLE || i->why == CPL_WHY_CLOSED ? view_why_text(i->why)
							       : why_not(line).s);
	return true;
}

/* ---- Colour ---------------------------------------------------------------------------------- */

enum text_style view_state_style(const struct cpl_info *i)
{
	if (!knows(i, CPL_F_state))
		return TEXT_PLAIN;
	if (i->state == CPL_LISTEN)
		return value(i, CPL_F_accept_queue) > value(i, CPL_F_backlog) &&
				       knows(i, CPL_F_backlog)
			       ? TEXT_RED
			       : TEXT_CYAN;
	if (value(i, CPL_F_rexmt_count) >= 3 || value(i, CPL_F_probe_count) >= 3)
		return TEXT_RED; /* three tries without an answer are more than bad luck */
	if (i->state == CPL_ESTABLISHED)
		return TEXT_GREEN;
	return i->state == CPL_TIME_WAIT || i->state == CPL_CLOSED ? TEXT_DIM : TEXT_YELLOW;
}
