/* SPDX-License-Identifier: MIT */
/* Why it is not faster: see limits.h. */
#include "view/limits.h"

#include <string.h>

#include "view/field.h"

#define TCP	 6
#define WORTH_NS 1000000 /* less busy time than this tells nothing */
#define NOBODY	 (CPL_WHYS + 1)
#define SECOND	 15 /* percent: a second reason is named from here on */

static const struct {
	uint8_t why;
	enum cpl_field field;
} sums[] = {
	{ CPL_WHY_SENDING, CPL_F_why_time_sending }, { CPL_WHY_CWND, CPL_F_why_time_cwnd },
	{ CPL_WHY_RWND, CPL_F_why_time_rwnd },	     { CPL_WHY_ZERO_WND, CPL_F_why_time_zero_wnd },
	{ CPL_WHY_NAGLE, CPL_F_why_time_nagle },     { CPL_WHY_PACING, CPL_F_why_time_pacing },
	{ CPL_WHY_DEVICE, CPL_F_why_time_device },   { CPL_WHY_MEMORY, CPL_F_why_time_memory },
	{ CPL_WHY_SNDBUF, CPL_F_why_time_sndbuf },   { CPL_WHY_RECOVERY, CPL_F_why_time_recovery },
};

#define SUMS (sizeof(sums) / sizeof(*sums))

static uint64_t value(const struct cpl_info *i, enum cpl_field f)
{
	uint64_t v;

	return i && view_get(i, f, &v) ? v : 0;
}

static uint64_t since(const struct cpl_info *info, const struct cpl_info *before, enum cpl_field f)
{
	uint64_t now = value(info, f), then = value(before, f);

	return now > then ? now - then : 0;
}

static unsigned percent(uint64_t part, uint64_t whole)
{
	if (part >= whole)
		return whole ? 100 : 0;
	return (unsigned)((double)part * 100 / (double)whole + 0.5);
}

/* Zero windows are full ones, too: where there were both, what took more time stands for both. */
static uint64_t took(const struct view_limits *l, unsigned why)
{
	if (why == CPL_WHYS)
		return l->rest_ns;
	if (why == CPL_WHY_RWND && l->ns[CPL_WHY_RWND] >= l->ns[CPL_WHY_ZERO_WND])
		return l->ns[CPL_WHY_RWND] + l->ns[CPL_WHY_ZERO_WND];
	if (why == CPL_WHY_ZERO_WND)
		return l->ns[CPL_WHY_RWND] < l->ns[why] ? l->ns[CPL_WHY_RWND] + l->ns[why] : 0;
	if (why == CPL_WHY_RWND)
		return 0;
	return l->ns[why];
}

static unsigned largest(const struct view_limits *l, unsigned but)
{
	unsigned best = but == CPL_WHYS ? 0 : CPL_WHYS;

	for (unsigned why = 0; why <= CPL_WHYS; why++)
		if (why != but && took(l, why) > took(l, best))
			best = why;
	return best;
}

bool view_limits_get(struct view_limits *l, const struct cpl_info *info,
		     const struct cpl_info *before)
{
	uint64_t told = 0, left;

	memset(l, 0, sizeof(*l));
	if (info->protocol != TCP || !cpl_info_known(info, CPL_F_why_time_busy) ||
	    (before && !cpl_info_known(before, CPL_F_why_time_busy)))
		return false;
	l->life_ns = before ? since(info, before, CPL_F_taken) : value(info, CPL_F_age);
	l->busy_ns = since(info, before, CPL_F_why_time_busy);
	if (l->busy_ns < WORTH_NS)
		return false;
	for (unsigned n = 0; n < SUMS; n++) {
		l->ns[sums[n].why] = since(info, before, sums[n].field);
		told += l->ns[sums[n].why];
	}
	left = l->busy_ns > told ? l->busy_ns - told : 0;
	if (cpl_info_known(info, CPL_F_why_time_cwnd))
		l->ns[CPL_WHY_IDLE] = left;
	else
		l->rest_ns = left;
	l->most = largest(l, NOBODY);
	return true;
}

unsigned view_limits_percent(const struct view_limits *l)
{
	return percent(took(l, l->most), l->busy_ns);
}

/* The rest of a kernel's busy time, by what else it tells. */
static struct view_word undivided(const struct cpl_info *i)
{
	if (cpl_info_known(i, CPL_F_delivery_app_limited) && i->delivery_app_limited)
		return word_text(
			"the network took all that the program gave (delivery_app_limited)");
	if (cpl_info_known(i, CPL_F_cwnd))
		return word_format(
			"the network was the limit (cwnd %s), or the program gave no more",
			word_bytes(i->cwnd).s);
	return word_text("the network was the limit, or the program gave no more");
}

/* What WHY means, as a clause in the past tense. */
static void meaning(char *s, size_t size, unsigned why, const struct cpl_info *i,
		    const char *reader)
{
	const char *who = reader ? reader : "the program at the other end";

	switch (why) {
	case CPL_WHY_SENDING:
		snprintf(s, size, "the device took segments as fast as it could");
		return;
	case CPL_WHY_IDLE:
		snprintf(s, size,
			 "all that the program had written was on its way: it gave no more");
		return;
	case CPL_WHY_CWND:
		snprintf(s, size, "the congestion window was full: the path took no more");
		return;
	case CPL_WHY_RECOVERY:
		snprintf(s, size, "losses were being repaired (%s lost so far)",
			 word_bytes(value(i, CPL_F_bytes_lost)).s);
		return;
	case CPL_WHY_RWND:
		snprintf(s, size,
			 "the peer's window was full: %s reads too slowly, or its buffer is too "
			 "small for the path",
			 who);
		return;
	case CPL_WHY_ZERO_WND:
		snprintf(s, size, "the peer's window was zero: %s did not read", who);
		return;
	case CPL_WHY_NAGLE:
		snprintf(s, size, "a short segment waited for an ACK, or for more (Nagle, cork)");
		return;
	case CPL_WHY_PACING:
		snprintf(s, size,
			 "the pacer held the next burst: %s goes by its own estimate of the "
			 "path",
			 cpl_info_known(i, CPL_F_cc_name) ? i->cc_name : "congestion control");
		return;
	case CPL_WHY_SNDBUF:
		snprintf(s, size,
			 "the send buffer was full and all of it on its way: %s is too small for "
			 "the path",
			 cpl_info_known(i, CPL_F_send_buffer) ? word_bytes(i->send_buffer).s
							      : "it");
		return;
	case CPL_WHYS:
		snprintf(s, size, "%s", undivided(i).s);
		return;
	default:
		snprintf(s, size, "%s", view_why_text(why));
		return;
	}
}

void view_limits_clause(char *s, size_t size, const struct view_limits *l,
			const struct cpl_info *info, const char *reader)
{
	const char *field = "why_time_busy";
	char what[256];

	for (unsigned n = 0; n < SUMS; n++)
		if (sums[n].why == l->most)
			field = view_fields[sums[n].field].name;
	meaning(what, sizeof(what), l->most, info, reader);
	snprintf(s, size, "for %u %% of %s with data to send %s (%s)", view_limits_percent(l),
		 word_ns(l->busy_ns).s, what, field);
}

/* Sentences about the program's part: of its life, how long it had nothing to send. */
static void say_life(char *s, size_t size, const struct view_limits *l)
{
	if (l->life_ns <= l->busy_ns || percent(l->busy_ns, l->life_ns) > 50)
		return;
	snprintf(s, size,
		 "For %u %% of its %s it had nothing on its way: the program sets the pace. ",
		 100 - percent(l->busy_ns, l->life_ns), word_ns(l->life_ns).s);
}

static void put(struct text *t, const char *sentence, unsigned indent)
{
	text_repeat(t, " ", indent);
	text_wrap(t, sentence, indent, t->width);
	text_puts(t, "\n");
}

/* The numbers that belong to it: rates, least round trip, what went again. */
static void say_numbers(struct text *t, const struct cpl_info *i, unsigned indent)
{
	uint64_t again = value(i, CPL_F_bytes_retrans), sent = value(i, CPL_F_bytes_sent);
	char s[400];
	int n;

	if (!cpl_info_known(i, CPL_F_delivery_rate))
		return;
	n = snprintf(s, sizeof(s), "Delivery rate %s%s", word_rate(i->delivery_rate).s,
		     value(i, CPL_F_delivery_app_limited) ? " with what the program gave" : "");
	/* The kernel tells a rate of those too that it does not pace. */
	if (cpl_info_known(i, CPL_F_pacing_rate) && i->source == CPL_SOURCE_STACK)
		n += snprintf(s + n, sizeof(s) - (size_t)n, ", paced at %s",
			      word_rate(i->pacing_rate).s);
	if (cpl_info_known(i, CPL_F_rtt_min))
		n += snprintf(s + n, sizeof(s) - (size_t)n, ", least round trip %s",
			      word_ns(i->rtt_min).s);
	if (again && sent)
		n += snprintf(s + n, sizeof(s) - (size_t)n, ", %.*f %% sent again",
			      again * 100 < sent ? 2 : 1, (double)again * 100 / (double)sent);
	if (value(i, CPL_F_dsack_dups))
		n += snprintf(s + n, sizeof(s) - (size_t)n, ", %s segment%s of it needlessly",
			      word_count(i->dsack_dups).s, i->dsack_dups == 1 ? "" : "s");
	snprintf(s + n, sizeof(s) - (size_t)n, ".");
	put(t, s, indent);
}

bool view_limits(struct text *t, const struct cpl_info *info, const char *reader, unsigned indent)
{
	struct view_limits l;
	unsigned second;
	char s[800] = "", what[256];
	size_t n;

	if (info->state < CPL_ESTABLISHED || info->state == CPL_TIME_WAIT ||
	    !view_limits_get(&l, info, NULL))
		return false;
	say_life(s, sizeof(s), &l);
	n = strlen(s);
	view_limits_clause(s + n, sizeof(s) - n, &l, info, reader);
	s[n] = 'F';
	second = largest(&l, l.most);
	n = strlen(s);
	if (percent(took(&l, second), l.busy_ns) >= SECOND) {
		meaning(what, sizeof(what), second, info, reader);
		n += (size_t)snprintf(s + n, sizeof(s) - n, "; for %u %% %s",
				      percent(took(&l, second), l.busy_ns), what);
	}
	snprintf(s + n, sizeof(s) - n, ".");
	put(t, s, indent);
	say_numbers(t, info, indent);
	return true;
}
