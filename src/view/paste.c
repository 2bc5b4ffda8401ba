/* SPDX-License-Identifier: MIT */
/* What a pasted row means, in words: see paste.h. Reading it is paste_row.c's. */
#include "view/paste.h"

#include <stdarg.h>
#include <string.h>

#include "view/line.h"
#include "view/netstat.h"

#define UDP    17
#define INDENT 2

const char *view_dress_name(enum view_dress dress)
{
	static const char *const names[VIEW_DRESSES] = {
		"a netstat",  "Linux's netstat",  "macOS's or a BSD's netstat",
		"Linux's ss", "Windows' netstat", "couplet netstat",
	};

	return dress < VIEW_DRESSES ? names[dress] : names[0];
}

__attribute__((format(printf, 2, 3))) static void say(struct text *t, const char *format, ...)
{
	char sentence[700];
	va_list ap;

	va_start(ap, format);
	vsnprintf(sentence, sizeof(sentence), format, ap);
	va_end(ap);
	text_repeat(t, " ", INDENT);
	text_wrap(t, sentence, INDENT, t->width);
	text_puts(t, "\n");
}

static bool knows(const struct cpl_info *i, enum cpl_field f)
{
	return cpl_info_known(i, f);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* Which part of the address space it is of, as people call it. */
static const char *address_kind(const struct cpl_addr *a)
{
	const uint8_t *b = a->b;

	if (cpl_addr_is4(a)) {
		b += 12;
		if (b[0] == 127)
			return "this machine itself";
		if (b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
		    (b[0] == 192 && b[1] == 168))
			return "a private network"; /* RFC 1918 */
		if (b[0] == 100 && (b[1] & 0xc0) == 64)
			return "behind a provider's NAT"; /* RFC 6598 */
		if (b[0] == 169 && b[1] == 254)
			return "link-local: no DHCP server answered"; /* RFC 3927 */
		return b[0] >= 224 ? "multicast or broadcast" : "the Internet";
	}
	if ((b[0] & 0xfe) == 0xfc)
		return "a private network"; /* RFC 4193 */
	if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
		return "the local link";
	if (b[0] == 0xff)
		return "multicast";
	for (unsigned n = 0; n < 15; n++)
		if (b[n])
			return "the Internet";
	return b[15] == 1 ? "this machine itself" : "any";
}

static const char *service_name(const struct view_paste *p, uint16_t port, uint8_t protocol)
{
	return p->services.name && port ? p->services.name(p->services.arg, port, protocol) : NULL;
}

/* "20.189.173.17 (the Internet), port 443 (https)" */
static void end_text(const struct view_paste *p, const struct view_pasted *row, bool local, char *s,
		     size_t size)
{
	const struct view_pasted_end *end = local ? &row->local : &row->foreign;
	const struct cpl_info *i = &row->info;
	bool addressed = knows(i, local ? CPL_F_local_addr : CPL_F_remote_addr);
	const struct cpl_addr *addr = local ? &i->local_addr : &i->remote_addr;
	uint16_t port = local ? i->local_port : i->remote_port;
	const char *name = service_name(p, port, i->protocol);
	int n;

	if (strcmp(end->host, "*") == 0 || (addressed && word_endpoint(addr, 0).s[0] == '*'))
		n = snprintf(s, size, "any address");
	else
		n = snprintf(s, size, "%.100s%s%s%s%s", word_foreign(end->host).s,
			     addressed ? " (" : "", addressed ? address_kind(addr) : "",
			     addressed ? ")" : "",
			     end->cut	      ? " (cut short in the row)"
			     : end->maybe_cut ? " (perhaps cut short in the row)"
					      : "");
	if (n < 0 || (size_t)n >= size)
		return;
	if (port && name)
		snprintf(s + n, size - (size_t)n, ", port %u (%s)", port, word_foreign(name).s);
	else if (port)
		snprintf(s + n, size - (size_t)n, ", port %u", port);
	else if (end->service[0] && strcmp(end->service, "*") != 0)
		snprintf(s + n, size - (size_t)n, ", port %s", word_foreign(end->service).s);
	else if (!end->service[0])
		snprintf(s + n, size - (size_t)n, ", the port is not in the row");
}

/* What programs use a port for; a few that everybody meets. */
static const char *port_use(uint16_t port)
{
	static const struct {
		uint16_t port;
		const char *use;
	} uses[] = {
		{ 443, "the web, or anything else that speaks TLS to a server" },
		{ 80, "the web without encryption" },
		{ 22, "a login or a copy by SSH" },
		{ 53, "looking up names (DNS)" },
		{ 853, "looking up names (DNS over TLS)" },
		{ 993, "a mail program that waits for new mail (IMAP)" },
		{ 587, "sending mail" },
		{ 25, "mail between servers" },
		{ 5228, "notifications of Google's services" },
		{ 5223, "notifications of Apple's services" },
		{ 5353, "finding names on the local network (mDNS)" },
		{ 1900, "finding devices on the local network (SSDP)" },
		{ 123, "setting the clock (NTP)" },
		{ 67, "getting an address (DHCP)" },
		{ 68, "getting an address (DHCP)" },
		{ 631, "printing (IPP, CUPS)" },
		{ 445, "shared folders (SMB)" },
		{ 3389, "a remote desktop (RDP)" },
		{ 5900, "a remote screen (VNC)" },
		{ 3306, "a MySQL or MariaDB database" },
		{ 5432, "a PostgreSQL database" },
		{ 6379, "Redis" },
		{ 27017, "MongoDB" },
		{ 1433, "a Microsoft SQL Server" },
		{ 8080, "a web server or proxy beside the usual one" },
	};

	for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++)
		if (uses[i].port == port)
			return uses[i].use;
	return NULL;
}

/* The port of the side that was called; 0: it does not show. */
static uint16_t called_port(const struct view_paste *p, const struct cpl_info *i, bool *by_us)
{
	bool ours = service_name(p, i->local_port, i->protocol) || i->local_port < 1024;
	bool theirs = service_name(p, i->remote_port, i->protocol) || i->remote_port < 1024;

	*by_us = false;
	if (!knows(i, CPL_F_local_port) || !knows(i, CPL_F_remote_port) || !i->remote_port ||
	    !i->local_port)
		return 0;
	/* Ports that systems pick are above 32767 (Linux) or 49151 (RFC 6335). */
	if (ours == theirs) {
		ours = i->local_port < 32768;
		theirs = i->remote_port < 32768;
	}
	if (ours == theirs)
		return 0;
	*by_us = theirs;
	return theirs ? i->remote_port : i->local_port;
}

static void say_ends(struct text *t, const struct view_paste *p, const struct view_pasted *row)
{
	const struct cpl_info *i = &row->info;
	char here[300], there[300];
	uint16_t port;
	bool by_us;

	end_text(p, row, true, here, sizeof(here));
	end_text(p, row, false, there, sizeof(there));
	say(t, "%s%s, from %s. The first address is the one here: %s.",
	    i->protocol == UDP ? "UDP" : "TCP",
	    !knows(i, CPL_F_family) ? ""
	    : i->family == 6	    ? " over IPv6"
				    : " over IPv4",
	    view_dress_name(row->dress), here);
	if ((knows(i, CPL_F_state) && i->state == CPL_LISTEN) ||
	    (knows(i, CPL_F_remote_port) && !i->remote_port))
		return;
	say(t, "The other end: %s.", there);
	port = called_port(p, i, &by_us);
	if (!port)
		return;
	if (by_us)
		say(t,
		    "This machine called: its port is one that systems pick, %u is the "
		    "other's service%s%s.",
		    port, port_use(port) ? ": " : "", port_use(port) ?: "");
	else
		say(t, "The other end called: %u is this machine's service%s%s.", port,
		    port_use(port) ? ": " : "", port_use(port) ?: "");
}

/* ---- The state and what is going on ---------------------------------------------------------- */

static const char *state_text(const struct cpl_info *i)
{
	switch (i->state) {
	case CPL_ESTABLISHED:
		return "the handshake is done, both sides can send";
	case CPL_SYN_SENT:
		return "this side asked for a connection";
	case CPL_SYN_RECEIVED:
		return "the other side asked for a connection";
	case CPL_FIN_WAIT_1:
	case CPL_FIN_WAIT_2:
		return "this side has closed first";
	case CPL_CLOSE_WAIT:
		return "the other side has closed first";
	case CPL_TIME_WAIT:
		return "closed, and remembered for a while";
	case CPL_LISTEN:
		return "no connection, but a socket that waits for some";
	case CPL_CLOSED:
		return "no connection";
	}
	return "both sides have closed";
}

static bool is_host_here(const struct cpl_addr *a)
{
	return strcmp(address_kind(a), "this machine itself") == 0;
}

/* What to be told of beyond the row, or what is likely. */
static void say_likely(struct text *t, const struct view_pasted *row)
{
	const struct cpl_info *i = &row->info;

	if (knows(i, CPL_F_state) && i->state == CPL_LISTEN && i->protocol != UDP) {
		if (knows(i, CPL_F_local_port) && port_use(i->local_port))
			say(t, "That port is for %s.", port_use(i->local_port));
		if (row->dress == VIEW_DRESS_BSD && row->queues)
			say(t, "The queues of a listener say nothing here; netstat -L shows its "
			       "accept queue.");
		return;
	}
	if (i->protocol == UDP) {
		if (knows(i, CPL_F_local_port) && port_use(i->local_port))
			say(t, "That port is for %s.", port_use(i->local_port));
		return;
	}
	if (!row->queues)
		say(t, "This table has no queues: whether data waits does not show.");
	if (knows(i, CPL_F_state) && i->state == CPL_ESTABLISHED && row->queues && !i->send_queue &&
	    !i->recv_queue)
		say(t, "Most likely: idle, kept open for the next request. That is how a healthy "
		       "connection looks between two exchanges.");
	else if (knows(i, CPL_F_state) && i->state == CPL_ESTABLISHED && i->send_queue &&
		 !cpl_info_known(i, CPL_F_in_flight))
		say(t, "Most likely: a transfer under way. If it stays so when asked again, the "
		       "peer does not read or its ACKs do not come back.");
	if (knows(i, CPL_F_remote_addr) && is_host_here(&i->remote_addr))
		say(t, "Both ends are on this machine: there is a row of the other end, too.");
}

static void say_queues(struct text *t, const struct view_pasted *row)
{
	if (row->queues && row->info.protocol != UDP && row->info.family != 1 &&
	    !(knows(&row->info, CPL_F_state) &&
	      (row->info.state == CPL_LISTEN || row->info.state == CPL_TIME_WAIT ||
	       row->info.state == CPL_SYN_SENT || row->info.state == CPL_SYN_RECEIVED)))
		say(t, "Recv-Q and Send-Q are bytes: here and not read, written and not "
		       "acknowledged.");
}

/* A command for the machine that the row is from. */
static void say_deeper(struct text *t, const struct view_pasted *row)
{
	const struct cpl_info *i = &row->info;
	bool ended = knows(i, CPL_F_local_addr) && knows(i, CPL_F_remote_addr) && i->remote_port;
	const char *name = i->protocol == UDP ? "UDP" : "TCP";

	text_repeat(t, " ", INDENT);
	text_puts(t, "Look deeper, on that machine: ");
	if (row->dress == VIEW_DRESS_BSD && i->family == 1)
		text_styled(t, TEXT_BOLD, "lsof -U");
	else if (i->family == 1)
		text_styled(t, TEXT_BOLD,
			    knows(i, CPL_F_path) ? word_format("couplet netstat -xp '%.90s'",
							       word_foreign(i->path).s)
							   .s
						 : "couplet netstat -xp");
	else if (row->dress == VIEW_DRESS_BSD && knows(i, CPL_F_local_port))
		text_styled(t, TEXT_BOLD, word_format("lsof -nP -i%s:%u", name, i->local_port).s);
	else if (row->dress == VIEW_DRESS_BSD)
		text_styled(t, TEXT_BOLD, "lsof -nPi");
	else if (row->dress == VIEW_DRESS_WINDOWS && knows(i, CPL_F_pid))
		text_styled(t, TEXT_BOLD, word_format("tasklist /fi \"PID eq %u\"", i->pid).s);
	else if (row->dress == VIEW_DRESS_WINDOWS)
		text_styled(t, TEXT_BOLD, "netstat -ano");
	else if (ended)
		text_styled(t, TEXT_BOLD,
			    word_format("couplet show %.55s-%.55s",
					word_endpoint(&i->local_addr, i->local_port).s,
					word_endpoint(&i->remote_addr, i->remote_port).s)
				    .s);
	else if (knows(i, CPL_F_local_port) && i->local_port)
		text_styled(t, TEXT_BOLD,
			    word_format("couplet show 'sport = :%u'", i->local_port).s);
	else
		text_styled(t, TEXT_BOLD, "couplet netstat -anp --explain");
	text_puts(t, "\n");
}

static void say_cut(struct text *t, const struct view_pasted *row)
{
	const char *how = row->dress == VIEW_DRESS_BSD	   ? "netstat -anW"
			  : row->dress == VIEW_DRESS_LINUX ? "netstat -anW"
							   : "the same with -n";

	if (row->local.cut || row->foreign.cut || row->local.maybe_cut || row->foreign.maybe_cut)
		say(t, "An end %s cut short: \"%s\" shows it whole, in numbers.",
		    row->local.cut || row->foreign.cut ? "was" : "may have been", how);
}

static void explain_row(struct text *t, const struct view_paste *p, const struct view_pasted *row)
{
	const struct cpl_info *i = &row->info;
	struct view_line line = {
		.info = i,
		.pasted = true,
		.no_limit = !knows(i, CPL_F_backlog),
	};

	text_foreign(t, row->line);
	text_puts(t, "\n");
	if (i->family == 1) {
		say(t, "A UNIX socket: a connection of programs within one machine, no network.");
	} else {
		say_ends(t, p, row);
		say_cut(t, row);
		if (knows(i, CPL_F_state))
			say(t, "%s: %s.", view_state_rfc(i->state), state_text(i));
		say_queues(t, row);
	}
	view_line(t, &line, INDENT);
	if (i->family != 1)
		say_likely(t, row);
	say_deeper(t, row);
}

void view_paste_explain(struct text *t, const struct view_paste *p, const struct view_pasted *row)
{
	switch (row->kind) {
	case VIEW_PASTED_ROW:
		explain_row(t, p, row);
		break;
	case VIEW_PASTED_UNKNOWN:
		text_puts(t, "\"");
		text_foreign(t, row->line);
		text_puts(t, "\"\n");
		say(t, "Not understood: %s.", row->why);
		break;
	case VIEW_PASTED_BLANK:
	case VIEW_PASTED_DETAIL:
		break;
	}
}
