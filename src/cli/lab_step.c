/* SPDX-License-Identifier: MIT */
/*
 * `couplet lab --step`: each segment, timer and program's call with the fields that it changed, and
 * in which control block. What is shown is the difference of two snapshots, before and after.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/lab.h"
#include "sim/packet.h"
#include "view/field.h"

struct lab_step {
	struct lab *lab;
	struct text *t;
	unsigned flags;
	bool has[2];
	struct cpl_info last[2];
	uint32_t iss[2];
	bool iss_known[2];
	unsigned events;
};

static const char *const names[2] = { "client", "server" };

static void remember(struct lab_step *s, unsigned side)
{
	s->has[side] = lab_info(s->lab, side, &s->last[side]);
	if (s->has[side] && cpl_info_known(&s->last[side], CPL_F_iss)) {
		s->iss[side] = s->last[side].iss;
		s->iss_known[side] = true;
	}
}

/*
 * "  in the client's block:" and a line for each field. What was unknown before is listed behind,
 * in few lines, unless all is to be shown.
 */
static bool differences(const struct lab_step *s, unsigned side, const struct cpl_info *was,
			struct text *out)
{
	const struct cpl_info *is = &s->last[side];
	enum cpl_field changed[CPL_FIELDS];
	unsigned n = view_diff(was, is, changed, s->flags);
	struct text known;

	if (!n)
		return false;
	text_init(&known);
	text_printf(out, "  in the %s's block:\n", names[side]);
	for (unsigned i = 0; i < n; i++) {
		const char *name = view_fields[changed[i]].name;
		struct view_word value = view_field_word(is, changed[i], s->flags);

		if (!cpl_info_known(was, changed[i]) && !(s->flags & VIEW_VERBOSE))
			text_printf(&known, "%s %s=%s", known.data ? "," : "now known:", name,
				    value.s);
		else
			text_printf(out, "    %-16s %s -> %s\n", name,
				    view_field_word(was, changed[i], s->flags).s, value.s);
	}
	if (known.data) {
		text_puts(out, "    ");
		text_wrap(out, known.data, 6, 80);
		text_puts(out, "\n");
	}
	text_free(&known);
	return true;
}

/* "  in the client's block: ..." for what changed since the last look; true if anything did. */
static bool changes(struct lab_step *s, unsigned side, struct text *out)
{
	struct cpl_info was = s->last[side];
	bool had = s->has[side];

	remember(s, side);
	if (!had && !s->has[side])
		return false;
	if (had && s->has[side])
		return differences(s, side, &was, out);
	if (had)
		text_printf(out, "  the %s's block is gone (%s was its last state)\n", names[side],
			    view_state_rfc(was.state));
	else
		text_printf(out, "  the %s makes a control block: %s\n", names[side],
			    view_state_rfc(s->last[side].state));
	return true;
}

static void segment(struct lab_step *s, const struct net_sight *sight, const char *verb)
{
	unsigned from = sight->what == NET_ARRIVED ? sight->peer->index : sight->host->index;
	struct packet p;

	text_printf(s->t, "%10.6f s  ", (double)sight->now / 1e9);
	if (!packet_read(&p, sight->frame, sight->len, sight->ether) || !p.tcp) {
		text_printf(s->t, "%s %s a packet of %u bytes\n", names[sight->host->index], verb,
			    sight->len);
		return;
	}
	text_printf(s->t, "%s %s %s seq %u", names[sight->host->index], verb, word_flags(p.flags).s,
		    s->iss_known[from] ? p.seq - s->iss[from] : p.seq);
	if (p.flags & 16)
		text_printf(s->t, " ack %u", s->iss_known[!from] ? p.ack - s->iss[!from] : p.ack);
	if (p.payload)
		text_printf(s->t, " len %u", p.payload);
	text_printf(s->t, " wnd %u%s%s\n", p.wnd, sight->what == NET_LOST ? ": " : "",
		    sight->what == NET_LOST ? wire_fate_text(sight->fate) : "");
}

static void see(void *ctx, const struct net_sight *sight)
{
	struct lab_step *s = ctx;
	unsigned side = sight->host ? sight->host->index : 0;
	struct text out;

	text_init(&out);
	switch (sight->what) {
	case NET_SENT:
	case NET_LOST:
	case NET_ARRIVED:
		changes(s, side, &out);
		segment(s, sight, sight->what == NET_ARRIVED ? "receives" : "sends");
		if (out.data)
			text_puts(s->t, out.data);
		break;
	case NET_TIMED:
	case NET_PROGRAM:
	case NET_RESTARTED:
		if (changes(s, side, &out))
			text_printf(s->t, "%10.6f s  %s: %s\n%s", (double)sight->now / 1e9,
				    names[side],
				    sight->what == NET_TIMED	   ? "a timer fires"
				    : sight->what == NET_RESTARTED ? "the host restarts"
								   : "the program acts",
				    out.data);
		break;
	case NET_SETTLED:
		for (side = 0; side < 2; side++) {
			if (changes(s, side, &out))
				text_printf(s->t, "%10.6f s  %s comes to rest\n%s",
					    (double)sight->now / 1e9, names[side], out.data);
			text_free(&out);
			text_init(&out);
		}
		text_flush(s->t, stdout);
		break;
	default:
		break;
	}
	text_free(&out);
}

struct lab_step *lab_step_start(struct lab *lab, struct text *t, bool verbose)
{
	struct lab_step *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->lab = lab;
	s->t = t;
	s->flags = VIEW_RELATIVE | (verbose ? VIEW_VERBOSE : 0);
	net_observe(lab->net, see, s);
	return s;
}

void lab_step_end(struct lab_step *step)
{
	free(step);
}
