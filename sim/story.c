/* SPDX-License-Identifier: MIT */
/*
 * The troubles that `couplet lab --story` plays: each makes two control blocks differ in its own
 * way, and shows whether anything will make them agree again.
 */
#include <stdio.h>
#include <string.h>

#include "sim/lab.h"

static bool quiet(const struct lab *lab)
{
	const struct net_link *link = lab->link;

	return link->wire[0][1].heap_n == 0 && link->wire[1][0].heap_n == 0;
}

/* The client has written what it may, and the server has read it; nothing is on its way. */
static bool delivered(const struct lab *lab)
{
	const struct lab_end *client = &lab->end[LAB_CLIENT];
	uint64_t end = client->writes_to < lab->size ? client->writes_to : lab->size;
	struct cpl_info info;

	return lab->end[LAB_SERVER].done == end && quiet(lab) &&
	       lab_info((struct lab *)lab, LAB_CLIENT, &info) && info.send_queue == 0 &&
	       info.timer_rexmt == CPL_TIMER_OFF;
}

/* A connection over which some has been sent, and that now rests. */
static bool play_talk(struct lab *lab)
{
	lab->end[LAB_CLIENT].closes = false;
	lab_connect(lab, false);
	return lab_run(lab, delivered, LAB_LIMIT);
}

static const char *state_at(struct lab *lab, unsigned side)
{
	static const char *const names[CPL_STATES] = {
		"CLOSED",     "LISTEN",	    "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
		"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",	"LAST-ACK",	"TIME-WAIT",
	};
	struct cpl_info info;

	return lab_info(lab, side, &info) && info.state < CPL_STATES ? names[info.state]
								     : "no block";
}

static void note_after(struct lab *lab, uint64_t since, const char *what)
{
	snprintf(lab->story_note, sizeof(lab->story_note), "%s %.1f s later: client %s, server %s",
		 what, (double)(lab->net->now - since) / 1e9, state_at(lab, LAB_CLIENT),
		 state_at(lab, LAB_SERVER));
}

/* To the end, and the last ACK's arrival. */
static void play_to_end(struct lab *lab)
{
	lab_run(lab, lab_is_over, LAB_LIMIT);
	lab_run(lab, NULL, lab->net->now + CPL_SECOND);
}

static void play_on(struct lab *lab, uint64_t for_ns, const char *what)
{
	uint64_t since = lab->net->now;

	lab_run(lab, NULL, since + for_ns);
	note_after(lab, since, what);
}

/* ---- in-flight ------------------------------------------------------------------------------ */

static bool has_middle(const struct lab *lab)
{
	return lab->middle_found;
}

static bool play_in_flight(struct lab *lab)
{
	lab_connect(lab, false);
	return lab_run(lab, has_middle, LAB_LIMIT);
}

static void after_in_flight(struct lab *lab)
{
	uint64_t since = lab->net->now;

	play_to_end(lab);
	note_after(lab, since,
		   lab_is_right(lab) ? "All has arrived, whole." : "It has NOT arrived whole.");
}

/* ---- half-open ------------------------------------------------------------------------------ */

static bool play_half_open(struct lab *lab)
{
	if (!play_talk(lab))
		return false;
	lab_cut(lab, LAB_CLIENT, true);
	lab_abort(lab, LAB_CLIENT);
	lab_run(lab, NULL, lab->net->now + CPL_SECOND);
	lab_cut(lab, LAB_CLIENT, false);
	lab_run(lab, NULL, lab->net->now + 60 * CPL_SECOND);
	return true;
}

static void after_half_open(struct lab *lab)
{
	play_on(lab, 3600 * CPL_SECOND, "Nothing has changed");
}

/* ---- lost-fin ------------------------------------------------------------------------------- */

static bool fin_sent(const struct lab *lab)
{
	return lab->end[LAB_CLIENT].fin_sent;
}

static bool play_lost_fin(struct lab *lab)
{
	if (!play_talk(lab))
		return false;
	lab_cut(lab, LAB_CLIENT, true);
	lab->end[LAB_CLIENT].closes = true;
	lab_kick(lab);
	/* Up to when the FIN would have arrived, before it is sent again. */
	lab_run(lab, NULL, lab->net->now + lab->config.wire.delay_ns + CPL_MS);
	lab_cut(lab, LAB_CLIENT, false);
	return fin_sent(lab);
}

static void after_lost_fin(struct lab *lab)
{
	uint64_t since = lab->net->now;

	play_to_end(lab);
	note_after(lab, since, "The FIN was sent again.");
}

/* ---- restart -------------------------------------------------------------------------------- */

static bool play_restart(struct lab *lab)
{
	lab->end[LAB_CLIENT].writes_to = lab->size / 2;
	if (!play_talk(lab))
		return false;
	net_host_restart(lab->end[LAB_SERVER].host);
	lab_run(lab, NULL, lab->net->now + CPL_SECOND);
	return true;
}

static void after_restart(struct lab *lab)
{
	uint64_t since = lab->net->now;

	/* The client writes the rest: the server answers with RST. */
	lab->end[LAB_CLIENT].writes_to = UINT64_MAX;
	lab_kick(lab);
	lab_run(lab, NULL, since + 10 * CPL_SECOND);
	note_after(lab, since,
		   lab->end[LAB_CLIENT].error
			   ? "The client wrote on, and the answer was RST: connection reset."
			   : "The client wrote on.");
}

/* ---- zero-window ---------------------------------------------------------------------------- */

static bool window_is_shut(const struct lab *lab)
{
	struct cpl_info info;

	return lab_info((struct lab *)lab, LAB_CLIENT, &info) && info.snd_wnd == 0 &&
	       info.timer_persist != CPL_TIMER_OFF && quiet(lab);
}

static bool play_zero_window(struct lab *lab)
{
	lab->end[LAB_SERVER].reads = false;
	lab_connect(lab, false);
	return lab_run(lab, window_is_shut, LAB_LIMIT);
}

static void after_zero_window(struct lab *lab)
{
	uint64_t since = lab->net->now;

	lab_run(lab, NULL, since + 20 * CPL_SECOND);
	lab->end[LAB_SERVER].reads = true;
	lab_kick(lab);
	play_to_end(lab);
	note_after(lab, since,
		   lab_is_right(lab) ? "The server read after 20 s, and all has arrived, whole."
				     : "It has NOT arrived whole.");
}

/* ---- simultaneous-open ---------------------------------------------------------------------- */

/* Both SYNs have crossed, and the answers to them are on their way. */
static bool crossed(const struct lab *lab)
{
	struct cpl_info a, b;
	struct lab *l = (struct lab *)lab;

	return lab_info(l, 0, &a) && lab_info(l, 1, &b) && a.state == CPL_SYN_RECEIVED &&
	       b.state == CPL_SYN_RECEIVED;
}

static bool play_simultaneous(struct lab *lab)
{
	lab->address[LAB_CLIENT].port = LAB_PORT + 1;
	lab_connect(lab, true);
	return lab_run(lab, crossed, LAB_LIMIT);
}

static void after_simultaneous(struct lab *lab)
{
	uint64_t since = lab->net->now;

	play_to_end(lab);
	note_after(lab, since,
		   lab_is_right(lab) ? "One connection, and the file has arrived, whole."
				     : "It has NOT arrived whole.");
}

const struct lab_story lab_stories[] = {
	{ "in-flight", "Data is on its way",
	  "The client sends; we look while segments are on the wire. The client has sent what the "
	  "server has not received, and the server has received what the client does not know of.",
	  LAB_SIZE, LAB_CLIENT, true, play_in_flight, after_in_flight },
	{ "half-open", "One end is gone, and the other does not know",
	  "All is delivered. Then the client aborts, and its RST is lost. The server has no data "
	  "to "
	  "send and no keep-alive: it will never ask.",
	  4000, LAB_SERVER, false, play_half_open, after_half_open },
	{ "lost-fin", "A close that has not arrived",
	  "All is delivered. The client closes its side, and the FIN is lost.", 4000, LAB_CLIENT,
	  true, play_lost_fin, after_lost_fin },
	{ "restart", "The server's host restarts",
	  "Half of the file is delivered. Then the server's host restarts: it listens again, and "
	  "knows nothing of the connection. The client holds its half, and waits.",
	  8000, LAB_CLIENT, false, play_restart, after_restart },
	{ "zero-window", "The receiving program does not read",
	  "The server's program does not read. Its receive buffer fills, the window closes, and "
	  "the "
	  "client may send nothing but probes.",
	  8u << 20, LAB_CLIENT, true, play_zero_window, after_zero_window },
	{ "simultaneous-open", "Both ends call at once",
	  "Client and server both open actively, at the same instant. The two SYNs cross: each "
	  "end "
	  "gets a SYN where it awaits a SYN,ACK (RFC 9293 figure 7).",
	  4000, LAB_CLIENT, true, play_simultaneous, after_simultaneous },
};

const unsigned lab_stories_n = sizeof(lab_stories) / sizeof(lab_stories[0]);
