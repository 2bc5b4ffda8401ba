/* SPDX-License-Identifier: MIT */
/* Reading rows of any netstat and of ss: see paste.h. */
#include <ctype.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "view/paste.h"

#define WORDS 32
#define UDP   17

struct words {
	char buffer[VIEW_PASTE_LINE];
	char *word[WORDS];
	unsigned n;
};

/* ---- Words ----------------------------------------------------------------------------------- */

static void split(struct words *w, const char *s)
{
	char *at = w->buffer;

	snprintf(w->buffer, sizeof(w->buffer), "%s", s);
	w->n = 0;
	while (w->n < WORDS) {
		at += strspn(at, " \t");
		if (!*at)
			return;
		w->word[w->n++] = at;
		at += strcspn(at, " \t");
		if (*at)
			*at++ = 0;
	}
}

/* The word, or "": a row may end anywhere. */
static const char *word(const struct words *w, unsigned n)
{
	return n < w->n ? w->word[n] : "";
}

/* A decimal number and nothing else, of at most MAX. */
static bool number(const char *s, uint64_t max, uint64_t *n)
{
	*n = 0;
	if (!*s)
		return false;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s) || *n > (max - (uint64_t)(*s - '0')) / 10)
			return false;
		*n = *n * 10 + (uint64_t)(*s - '0');
	}
	return true;
}

static bool is_number(const char *s)
{
	uint64_t n;

	return number(s, UINT32_MAX, &n);
}

__attribute__((format(printf, 2, 3))) static void unknown(struct view_pasted *row,
							  const char *format, ...)
{
	va_list ap;

	row->kind = VIEW_PASTED_UNKNOWN;
	va_start(ap, format);
	vsnprintf(row->why, sizeof(row->why), format, ap);
	va_end(ap);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* What can stand behind the separator: a number, a star, or the name of a service. */
static bool is_service(const char *s)
{
	if (!*s || strlen(s) >= sizeof(((struct view_pasted_end *)0)->service))
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_*+", *s))
			return false;
	return true;
}

/* An address without its scope ("%eth0"), or false. */
static bool address(const char *host, struct cpl_addr *addr)
{
	char plain[CPL_ADDR_TEXT + 8];
	size_t len = strcspn(host, "%");

	if (host[0] == '[' && len && host[strcspn(host, "]")] == ']') {
		host++;
		len = strcspn(host, "]%");
	}
	if (!len || len >= sizeof(plain))
		return false;
	memcpy(plain, host, len);
	plain[len] = 0;
	return cpl_addr_parse(addr, plain) == 0;
}

/* A host that can stand before SEPARATOR: an address, a star, or a name. */
static bool is_host(const char *host, char separator)
{
	struct cpl_addr addr;

	if (strcmp(host, "*") == 0 || address(host, &addr))
		return true;
	if (!*host || host[0] == '[')
		return false;
	/* Names hold no colon; what holds some is an address that was cut. */
	return separator == '.' || !strchr(host, ':') ||
	       !host[strspn(host, "0123456789abcdefABCDEF:")];
}

static bool split_at(const char *s, char separator, struct view_pasted_end *end)
{
	const char *at = strrchr(s, separator);

	if (!at || (size_t)(at - s) >= sizeof(end->host) || !is_service(at + 1))
		return false;
	memcpy(end->host, s, (size_t)(at - s));
	end->host[at - s] = 0;
	if (!is_host(end->host, separator))
		return false;
	strcpy(end->service, at + 1);
	return true;
}

/* "10.0.0.1:80", "[::1]:80", ":::22", "10.0.0.1.80", "fe80::1%lo0.631", "host.example.https". */
static bool read_end(struct view_paste *p, const char *s, struct view_pasted *row,
		     struct view_pasted_end *end)
{
	struct cpl_addr addr;

	memset(end, 0, sizeof(*end));
	if (split_at(s, ':', end)) {
		end->cut = strchr(end->host, ':') && !address(end->host, &addr);
		/* net-tools cut names at the width of their column. */
		end->maybe_cut = row->dress == VIEW_DRESS_LINUX && strlen(s) >= 23 &&
				 !address(end->host, &addr);
		return true;
	}
	if (split_at(s, '.', end)) {
		if (row->dress == VIEW_DRESS_UNSURE)
			row->dress = VIEW_DRESS_BSD;
		end->cut = strchr(end->host, ':') && !address(end->host, &addr);
		if (!is_number(end->service) && end->service[0] != '*' && p->services.port &&
		    !p->services.port(p->services.arg, end->service, row->info.protocol)) {
			end->cut =
				true; /* a name without its end: what follows the dot is no port */
			snprintf(end->host, sizeof(end->host), "%s", s);
			end->service[0] = 0;
		}
		return true;
	}
	if (strlen(s) >= sizeof(end->host))
		return false;
	for (const char *c = s; *c; c++)
		if (!isgraph((unsigned char)*c) || strchr("(){}\"'", *c))
			return false;
	strcpy(end->host, s);
	end->cut = true;
	return true;
}

static uint16_t port_of(const struct view_paste *p, const struct view_pasted_end *end,
			uint8_t protocol, bool *known)
{
	uint64_t n;

	*known = true;
	if (strcmp(end->service, "*") == 0 ||
	    (!end->service[0] && strcmp(end->host, "*") == 0 && !end->cut))
		return 0;
	if (number(end->service, 65535, &n))
		return (uint16_t)n;
	n = p->services.port && end->service[0]
		    ? p->services.port(p->services.arg, end->service, protocol)
		    : 0;
	*known = n != 0;
	return (uint16_t)n;
}

static void fill_end(const struct view_paste *p, struct view_pasted *row, bool local)
{
	const struct view_pasted_end *end = local ? &row->local : &row->foreign;
	struct cpl_info *i = &row->info;
	struct cpl_addr addr;
	bool known;
	uint16_t port = port_of(p, end, i->protocol, &known);

	if (known && local)
		CPL_INFO_READ(i, local_port, port);
	else if (known)
		CPL_INFO_READ(i, remote_port, port);
	if (strcmp(end->host, "*") == 0)
		addr = cpl_info_known(i, CPL_F_family) && i->family == 4 ? cpl_addr4(0, 0, 0, 0)
									 : (struct cpl_addr){ 0 };
	else if (end->cut || !address(end->host, &addr))
		return;
	else if (!cpl_info_known(i, CPL_F_family))
		CPL_INFO_READ(i, family, cpl_addr_is4(&addr) ? 4 : 6);
	if (local)
		CPL_INFO_READ(i, local_addr, addr);
	else
		CPL_INFO_READ(i, remote_addr, addr);
}

/* ---- What else stands in a row --------------------------------------------------------------- */

static void set_program(struct cpl_info *i, const char *s, size_t len)
{
	if (len > sizeof(i->program) - 1)
		len = sizeof(i->program) - 1;
	memcpy(i->program, s, len);
	i->program[len] = 0;
	if (len)
		cpl_info_mark_read(i, CPL_F_program);
}

/* "812/curl" of net-tools, users:(("curl",pid=812,fd=3)) of ss. */
static void read_owner(struct cpl_info *i, const char *s)
{
	const char *slash = strchr(s, '/'), *pid = strstr(s, ",pid=");
	char digits[12];
	uint64_t n;

	if (strncmp(s, "users:((\"", 9) == 0 && pid) {
		set_program(i, s + 9, strcspn(s + 9, "\""));
		s = pid + 5;
		slash = s + strspn(s, "0123456789");
	} else if (slash && slash > s && slash[1] && s + strspn(s, "0123456789") == slash) {
		set_program(i, slash + 1, strcspn(slash + 1, ":"));
	} else {
		return;
	}
	if ((size_t)(slash - s) >= sizeof(digits))
		return;
	memcpy(digits, s, (size_t)(slash - s));
	digits[slash - s] = 0;
	if (number(digits, UINT32_MAX, &n))
		CPL_INFO_READ(i, pid, (uint32_t)n);
}

/* "1.5", "200ms", "43sec", "119min" and "1min59sec" in ns; CPL_TIMER_OFF: it is no time. */
static uint64_t duration(const char *s)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ms", 1e6 }, { "sec", 1e9 }, { "min", 60e9 }, { "hour", 3600e9 } };
	double sum = 0;
	unsigned parts = 0;

	for (; isdigit((unsigned char)*s) && parts < 4; parts++) {
		double n = 0, scale = 1, unit = 1e9;

		for (; isdigit((unsigned char)*s); s++)
			n = n * 10 + (*s - '0');
		if (*s == '.')
			for (s++; isdigit((unsigned char)*s); s++)
				n += (*s - '0') * (scale /= 10);
		for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++) {
			size_t len = strlen(units[u].unit);

			if (strncmp(s, units[u].unit, len) == 0) {
				unit = units[u].ns;
				s += len;
				break;
			}
		}
		sum += n * unit;
	}
	return parts && sum < 1e18 ? (uint64_t)sum : CPL_TIMER_OFF;
}

/* NAME is on, keepalive, timewait, probe or persist; LEFT a time; COUNT how often in vain. */
static void set_timer(struct cpl_info *i, const char *name, const char *left, const char *count)
{
	uint64_t ns = duration(left), n = 0;

	if (ns == CPL_TIMER_OFF)
		return;
	for (; isdigit((unsigned char)*count) && n < 100; count++)
		n = n * 10 + (uint64_t)(*count - '0');
	n = n > 255 ? 255 : n;
	if (strcmp(name, "on") == 0) {
		CPL_INFO_READ(i, timer_rexmt, ns);
		CPL_INFO_READ(i, rexmt_count, (uint8_t)n);
	} else if (strcmp(name, "timewait") == 0) {
		CPL_INFO_READ(i, timer_close, ns);
	} else if (strcmp(name, "probe") == 0 || strcmp(name, "persist") == 0) {
		CPL_INFO_READ(i, timer_persist, ns);
		CPL_INFO_READ(i, probe_count, (uint8_t)n);
	} else if (strcmp(name, "keepalive") == 0) {
		CPL_INFO_READ(i, timer_keep, ns);
	}
}

/* "on (0.20/3/0)" of net-tools in two words, timer:(on,200ms,3) of ss in one. */
static void read_timer(struct cpl_info *i, const char *s, const char *next)
{
	char name[16], left[24];
	size_t n;

	if (strncmp(s, "timer:(", 7) == 0) {
		s += 7;
		n = strcspn(s, ",");
		snprintf(name, sizeof(name), "%.*s", (int)n, s);
		s += n + (s[n] == ',');
		n = strcspn(s, ",");
		snprintf(left, sizeof(left), "%.*s", (int)(n < 23 ? n : 23), s);
		set_timer(i, name, left, s + n + (s[n] == ','));
	} else if (next[0] == '(') {
		n = strcspn(next, "/");
		snprintf(left, sizeof(left), "%.*s", (int)(n < 23 ? n : 23), next + 1);
		set_timer(i, s, left, next[n] ? next + n + 1 : "");
	}
}

static void read_rest(const struct words *w, unsigned from, struct view_pasted *row)
{
	uint64_t pid;

	for (unsigned n = from; n < w->n; n++) {
		read_timer(&row->info, word(w, n), word(w, n + 1));
		if (!cpl_info_known(&row->info, CPL_F_pid))
			read_owner(&row->info, word(w, n));
	}
	if (row->dress == VIEW_DRESS_WINDOWS && number(word(w, w->n - 1), UINT32_MAX, &pid) &&
	    w->n > from)
		CPL_INFO_READ(&row->info, pid, (uint32_t)pid);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* In a listener's row they are its accept queue, where the program shows that at all. */
static void set_queues(struct view_pasted *row, const char *recv, const char *send)
{
	struct cpl_info *i = &row->info;
	uint64_t r = 0, s = 0;

	if (!number(recv, UINT32_MAX, &r) || !number(send, UINT32_MAX, &s))
		return;
	row->queues = true;
	if (!cpl_info_known(i, CPL_F_state) || i->state != CPL_LISTEN || i->protocol == UDP) {
		CPL_INFO_READ(i, recv_queue, (uint32_t)r);
		CPL_INFO_READ(i, send_queue, (uint32_t)s);
		return;
	}
	if (row->dress != VIEW_DRESS_BSD)
		CPL_INFO_READ(i, accept_queue, (uint32_t)r);
	/* net-tools read /proc/net/tcp, which has no limit: 0 there says nothing. */
	if (row->dress == VIEW_DRESS_SS || row->dress == VIEW_DRESS_COUPLET || s)
		CPL_INFO_READ(i, backlog, (uint32_t)s);
}

static bool set_state(struct view_pasted *row, const char *s)
{
	int state;

	if (strcasecmp(s, "UNCONN") == 0)
		return true; /* ss: of UDP; a socket that is not connected */
	state = view_state_find(s[0] == '(' ? "" : s);
	if (state < 0)
		return false;
	if (row->info.protocol != UDP)
		CPL_INFO_READ(&row->info, state, (uint8_t)state);
	return true;
}

/* tcp, tcp4, TCP6, udp46 ...; false if it is none. */
static bool set_protocol(struct view_pasted *row, const char *s)
{
	bool udp = strncasecmp(s, "udp", 3) == 0;
	const char *family = s + 3;

	if (!udp && strncasecmp(s, "tcp", 3) != 0)
		return false;
	if (strcmp(family, "4") == 0)
		row->dress = row->dress == VIEW_DRESS_UNSURE ? VIEW_DRESS_BSD : row->dress;
	else if (strcmp(family, "6") != 0 && strcmp(family, "46") != 0 &&
		 strcmp(family, "64") != 0 && *family)
		return false;
	CPL_INFO_READ(&row->info, protocol, udp ? UDP : 6);
	if (*family)
		CPL_INFO_READ(&row->info, family, *family == '4' && !family[1] ? 4 : 6);
	return true;
}

static void set_ends(struct view_paste *p, struct view_pasted *row, const char *local,
		     const char *foreign)
{
	if (!*local || !*foreign)
		unknown(row, "the row ends before both addresses were told");
	else if (!read_end(p, local, row, &row->local))
		unknown(row, "\"%.60s\" is no address with a port", word_foreign(local).s);
	else if (!read_end(p, foreign, row, &row->foreign))
		unknown(row, "\"%.60s\" is no address with a port", word_foreign(foreign).s);
	if (row->kind != VIEW_PASTED_ROW)
		return;
	fill_end(p, row, true);
	fill_end(p, row, false);
	/* "tcp" without a digit is IPv4 in net-tools. */
	if (!cpl_info_known(&row->info, CPL_F_family) && row->dress == VIEW_DRESS_LINUX)
		CPL_INFO_READ(&row->info, family, 4);
}

/* Behind the protocol: [state] recv-q send-q local foreign [state] ..., or local foreign state. */
static void read_inet(struct view_paste *p, const struct words *w, unsigned at,
		      struct view_pasted *row)
{
	const char *recv = "", *send = "";
	bool stated = false;

	if (!is_number(word(w, at)) && is_number(word(w, at + 1)) && is_number(word(w, at + 2))) {
		if (!set_state(row, word(w, at))) {
			unknown(row, "\"%.40s\" is no state", word_foreign(word(w, at)).s);
			return;
		}
		row->dress = VIEW_DRESS_SS;
		stated = true;
		at++;
	}
	if (is_number(word(w, at)) && is_number(word(w, at + 1))) {
		recv = word(w, at);
		send = word(w, at + 1);
		at += 2;
		if (row->dress == VIEW_DRESS_WINDOWS)
			row->dress = VIEW_DRESS_UNSURE;
	} else if (strchr(word(w, at), ':')) {
		row->dress = VIEW_DRESS_WINDOWS;
	} else if (strcmp(word(w, at), "-") == 0) {
		at += 2; /* our own: unknown */
	}
	if (row->dress == VIEW_DRESS_UNSURE && strchr(word(w, at), ':') &&
	    strrchr(word(w, at), ':') > (strrchr(word(w, at), '.') ?: word(w, at)))
		row->dress = VIEW_DRESS_LINUX;
	set_ends(p, row, word(w, at), word(w, at + 1));
	at += 2;
	if (row->kind != VIEW_PASTED_ROW)
		return;
	if (!stated && set_state(row, word(w, at)))
		at++;
	else if (!stated && row->info.protocol == 6) {
		unknown(row,
			*word(w, at) ? "\"%.40s\" is no state of TCP" : "the state is missing%s",
			*word(w, at) ? word_foreign(word(w, at)).s : "");
		return;
	}
	set_queues(row, recv, send);
	read_rest(w, at, row);
}

static uint8_t socket_type(const char *s)
{
	static const struct {
		const char *name;
		uint8_t type;
	} names[] = { { "stream", 1 }, { "u_str", 1 }, { "dgram", 2 },	  { "u_dgr", 2 },
		      { "seqpac", 5 }, { "u_seq", 5 }, { "seqpacket", 5 } };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcasecmp(s, names[i].name) == 0)
			return names[i].type;
	return 0;
}

/* UNIX sockets: the words that are known anywhere in the row, whoever wrote it. */
static void read_unix(const struct words *w, struct view_pasted *row)
{
	struct cpl_info *i = &row->info;
	const char *path = "";

	CPL_INFO_READ(i, family, 1);
	CPL_INFO_READ(i, protocol, 0);
	for (unsigned n = 0; n < w->n; n++) {
		const char *s = word(w, n);

		if (socket_type(s))
			CPL_INFO_READ(i, socket_type, socket_type(s));
		else if (strcasecmp(s, "LISTENING") == 0 || strcasecmp(s, "LISTEN") == 0)
			CPL_INFO_READ(i, state, CPL_LISTEN);
		else if (strcasecmp(s, "CONNECTED") == 0 || strcasecmp(s, "ESTAB") == 0)
			CPL_INFO_READ(i, state, CPL_ESTABLISHED);
		else if (strcasecmp(s, "CONNECTING") == 0)
			CPL_INFO_READ(i, state, CPL_SYN_SENT);
		else if ((*s == '/' || *s == '@') && !*path)
			path = s;
		else if (isdigit((unsigned char)*s) && strchr(s, '/'))
			read_owner(i, s);
		else if (strncmp(s, "users:", 6) == 0)
			read_owner(i, s);
	}
	if (*path) {
		snprintf(i->path, sizeof(i->path), "%s", path);
		cpl_info_mark_read(i, CPL_F_path);
	}
	/* ss: type, state, two queues. */
	if (strncmp(word(w, 0), "u_", 2) == 0)
		set_queues(row, word(w, 2), word(w, 3));
}

/* ---- Lines ----------------------------------------------------------------------------------- */

/* What stands above tables; it says whose they are. */
static bool heading(struct view_paste *p, const struct words *w, const char *line)
{
	const char *first = word(w, 0);

	if (strcasecmp(first, "Registered") == 0) {
		p->other = true;
		return true;
	}
	if (strcasecmp(first, "Active") == 0) {
		p->unix_sockets = strstr(line, "UNIX") || strstr(line, "LOCAL");
		p->other = strstr(line, "kernel") || strstr(line, "Bluetooth") ||
			   strstr(line, "Multipath");
		if (strcasecmp(word(w, 1), "Connections") == 0)
			p->dress = VIEW_DRESS_WINDOWS;
		else if (strstr(line, "including") || strstr(line, "LOCAL") ||
			 (w->n == 3 && !p->unix_sockets))
			p->dress = VIEW_DRESS_BSD;
		else
			p->dress = VIEW_DRESS_LINUX;
		return true;
	}
	if (strcasecmp(first, "Netid") == 0 ||
	    (strcasecmp(first, "State") == 0 && strcasecmp(word(w, 1), "Recv-Q") == 0)) {
		p->dress = VIEW_DRESS_SS;
		return true;
	}
	if (strcasecmp(first, "Proto") == 0 || strcmp(first, "#") == 0) {
		if (strstr(line, "Local-Address"))
			p->dress = VIEW_DRESS_COUPLET;
		else if (strstr(line, "(state)"))
			p->dress = VIEW_DRESS_BSD;
		else if (!strstr(line, "Recv-Q") && strstr(line, "Foreign Address"))
			p->dress = VIEW_DRESS_WINDOWS;
		return true;
	}
	return strcasecmp(first, "Address") == 0 || strcmp(first, "$") == 0 ||
	       strcmp(first, "%") == 0 || strcmp(first, "#") == 0 || strcmp(first, ">") == 0;
}

static bool is_hex(const char *s)
{
	size_t n = strspn(s, "0123456789abcdefABCDEFx");

	return n >= 6 && !s[n];
}

/* What else these tables list. */
static bool other_protocol(const char *s)
{
	static const char *const names[] = {
		"raw",	 "raw6",   "icmp",    "icmp6", "icm4",	"icm6",	 "sctp", "dccp",
		"mptcp", "nl",	   "p_raw",   "p_dgr", "v_str", "v_dgr", "tipc", "xdp",
		"vsock", "icmpv6", "udplite", "udpl",  "ti_rd", "ip4",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcasecmp(s, names[i]) == 0)
			return true;
	return false;
}

static void read_row(struct view_paste *p, const struct words *w, struct view_pasted *row)
{
	unsigned at = w->word[0][0] == '#' && is_number(w->word[0] + 1); /* "#3" */
	const char *first = word(w, at);

	row->kind = VIEW_PASTED_ROW;
	row->dress = p->dress;
	if (strcasecmp(first, "unix") == 0 || strncmp(first, "u_", 2) == 0 ||
	    (is_hex(first) && socket_type(word(w, at + 1)))) {
		if (strncmp(first, "u_", 2) == 0)
			row->dress = VIEW_DRESS_SS;
		else if (strcasecmp(first, "unix") != 0)
			row->dress = VIEW_DRESS_BSD;
		read_unix(w, row);
	} else if (set_protocol(row, first)) {
		read_inet(p, w, at + 1, row);
	} else if ((view_state_find(first) >= 0 || strcasecmp(first, "UNCONN") == 0) &&
		   is_number(word(w, at + 1)) && is_number(word(w, at + 2))) {
		CPL_INFO_READ(&row->info, protocol, strcasecmp(first, "UNCONN") == 0 ? UDP : 6);
		read_inet(p, w, at, row);
	} else if (other_protocol(first)) {
		unknown(row, "sockets of %s are not explained here: TCP, UDP and UNIX are", first);
	} else {
		unknown(row, "no row of netstat or ss begins like this");
	}
}

void view_paste_line(struct view_paste *p, const char *s, size_t len, struct view_pasted *row)
{
	struct words w;
	size_t n = 0;
	bool indented = len && (*s == ' ' || *s == '\t');

	memset(row, 0, sizeof(*row));
	row->info.size = sizeof(row->info);
	row->info.version = CPL_INFO_VERSION;
	for (size_t at = 0; at < len && n < sizeof(row->line) - 1; at++)
		if (s[at] && s[at] != '\r' && s[at] != '\n')
			row->line[n++] = s[at];
	while (n && (row->line[n - 1] == ' ' || row->line[n - 1] == '\t'))
		n--;
	row->line[n] = 0;
	split(&w, row->line);
	if (!w.n || heading(p, &w, row->line) || p->other) {
		p->after_row = false;
		return;
	}
	if (len >= sizeof(row->line))
		unknown(row, "a line of %zu bytes is no row of netstat", len);
	else
		read_row(p, &w, row);
	/* ss -i writes a second line. */
	if (row->kind == VIEW_PASTED_UNKNOWN && indented && p->after_row)
		row->kind = VIEW_PASTED_DETAIL;
	if (row->kind != VIEW_PASTED_DETAIL)
		p->after_row = row->kind == VIEW_PASTED_ROW;
	if (row->kind == VIEW_PASTED_ROW && p->dress == VIEW_DRESS_UNSURE)
		p->dress = row->dress;
}
