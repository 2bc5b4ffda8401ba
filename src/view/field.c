/* SPDX-License-Identifier: MIT */
/* The fields of a snapshot as a table: see field.h. */
#include "view/field.h"

#include <string.h>

const struct view_field view_fields[CPL_FIELDS] = {
#define CPL_FIELD(group, type, name, unit, text)                                                   \
	{ #name,                                                                                   \
	  #group,                                                                                  \
	  unit,                                                                                    \
	  text,                                                                                    \
	  VIEW_TYPE_##type,                                                                        \
	  offsetof(struct cpl_info, name),                                                         \
	  sizeof(((struct cpl_info *)0)->name) },
#include <couplet/info.def>
};

int view_field_find(const char *name)
{
	for (int f = 0; f < CPL_FIELDS; f++)
		if (strcmp(view_fields[f].name, name) == 0)
			return f;
	return -1;
}

const char *view_group_title(const char *group)
{
	static const char *const titles[][2] = {
		{ "identity", "Identity" },
		{ "owner", "Owner" },
		{ "send", "Send sequence variables" },
		{ "receive", "Receive sequence variables" },
		{ "listener", "Listener" },
		{ "rtt", "Round-trip time" },
		{ "congestion", "Congestion control and loss recovery" },
		{ "timers", "Timers: time left" },
		{ "options", "Options agreed" },
		{ "counters", "Counters" },
		{ "why", "Why it is not sending" },
	};

	for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
		if (strcmp(titles[i][0], group) == 0)
			return titles[i][1];
	return group;
}

static bool any_of(enum cpl_field f, const enum cpl_field *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == f)
			return true;
	return false;
}

#define ANY_OF(f, list) any_of((f), (list), sizeof(list) / sizeof(*(list)))

bool view_field_applies(const struct cpl_info *info, enum cpl_field f)
{
	static const enum cpl_field of_unix[] = { CPL_F_socket_type, CPL_F_path, CPL_F_peer_inode };
	static const enum cpl_field of_ip[] = { CPL_F_local_addr,  CPL_F_local_port,
						CPL_F_remote_addr, CPL_F_remote_port,
						CPL_F_ifindex,	   CPL_F_passive };
	/* Of the groups that are TCP's, what every socket has. */
	static const enum cpl_field of_all[] = {
		CPL_F_send_queue, CPL_F_send_buffer, CPL_F_send_memory, CPL_F_snd_shutdown,
		CPL_F_recv_queue, CPL_F_recv_buffer, CPL_F_recv_memory, CPL_F_rcv_shutdown,
		CPL_F_drops,	  CPL_F_tos,	     CPL_F_ttl,		CPL_F_soft_error,
	};
	const char *group = view_fields[f].group;

	if (cpl_info_known(info, f))
		return true;
	if (ANY_OF(f, of_unix))
		return info->family == 1;
	if (ANY_OF(f, of_ip))
		return info->family != 1 && (f != CPL_F_passive || info->protocol == 6);
	if (f == CPL_F_state)
		return info->protocol != 17;
	if (info->protocol == 6 || strcmp(group, "identity") == 0 || strcmp(group, "owner") == 0)
		return true;
	if (strcmp(group, "listener") == 0)
		return info->family == 1 && info->state == CPL_LISTEN &&
		       (f == CPL_F_accept_queue || f == CPL_F_backlog);
	return ANY_OF(f, of_all) && !(info->family == 1 && (f == CPL_F_tos || f == CPL_F_ttl));
}

static const void *field_at(const struct cpl_info *info, enum cpl_field field)
{
	return (const char *)info + view_fields[field].offset;
}

bool view_get(const struct cpl_info *info, enum cpl_field field, uint64_t *value)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;

	*value = 0;
	if (!cpl_info_known(info, field))
		return false;
	switch (view_fields[field].type) {
	case VIEW_TYPE_u8:
		memcpy(&v8, field_at(info, field), sizeof(v8));
		*value = v8;
		return true;
	case VIEW_TYPE_u16:
		memcpy(&v16, field_at(info, field), sizeof(v16));
		*value = v16;
		return true;
	case VIEW_TYPE_u32:
	case VIEW_TYPE_seq:
		memcpy(&v32, field_at(info, field), sizeof(v32));
		*value = v32;
		return true;
	case VIEW_TYPE_u64:
	case VIEW_TYPE_ns:
		memcpy(value, field_at(info, field), sizeof(*value));
		return true;
	case VIEW_TYPE_ip:
	case VIEW_TYPE_name:
	case VIEW_TYPE_path:
		break;
	}
	return false;
}

bool view_set(struct cpl_info *info, enum cpl_field field, uint64_t value)
{
	char *at = (char *)info + view_fields[field].offset;
	uint8_t v8 = (uint8_t)value;
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;

	switch (view_fields[field].type) {
	case VIEW_TYPE_u8:
		memcpy(at, &v8, sizeof(v8));
		return value == v8;
	case VIEW_TYPE_u16:
		memcpy(at, &v16, sizeof(v16));
		return value == v16;
	case VIEW_TYPE_u32:
	case VIEW_TYPE_seq:
		memcpy(at, &v32, sizeof(v32));
		return value == v32;
	case VIEW_TYPE_u64:
	case VIEW_TYPE_ns:
		memcpy(at, &value, sizeof(value));
		return true;
	case VIEW_TYPE_ip:
	case VIEW_TYPE_name:
	case VIEW_TYPE_path:
		break;
	}
	return false;
}

/* A sequence number relative to the ISS or IRS that it counts from, if that is known. */
static struct view_word seq_word(const struct cpl_info *info, enum cpl_field field, uint32_t seq)
{
	/* Acknowledgments that come in count in our numbers, those that we send in the peer's. */
	bool of_peer = strcmp(view_fields[field].group, "receive") == 0 || field == CPL_F_snd_wl1 ||
		       field == CPL_F_last_ack_sent;
	enum cpl_field base = of_peer ? CPL_F_irs : CPL_F_iss;

	if (field == base || !cpl_info_known(info, base))
		return word_seq(seq);
	return of_peer ? word_seq_rel(seq, info->irs, "irs") : word_seq_rel(seq, info->iss, "iss");
}

/* The fields whose number is a name. */
static bool named_word(enum cpl_field field, uint64_t v, struct view_word *w)
{
	unsigned n = (unsigned)v;

	if (field == CPL_F_state)
		*w = word_format("%s", view_state_rfc(n));
	else if (field == CPL_F_why)
		*w = word_format("%s", view_why_name(n));
	else if (field == CPL_F_recovery)
		*w = word_format("%s", view_recovery_name(n));
	else if (field == CPL_F_source)
		*w = word_format("%s", view_source_name(n));
	else if (field == CPL_F_options)
		*w = word_options(n);
	else if (field == CPL_F_accecn_option)
		*w = word_accecn(n);
	else if (field == CPL_F_protocol && (n == 6 || n == 17))
		*w = word_format("%s", n == 6 ? "TCP" : "UDP");
	else if (field == CPL_F_protocol && n == 0)
		*w = word_format("%s", "none");
	else if (field == CPL_F_family && (n == 4 || n == 6 || n == 1))
		*w = word_format("%s", n == 4 ? "IPv4" : n == 6 ? "IPv6" : "UNIX");
	else if (field == CPL_F_socket_type && (n == 1 || n == 2 || n == 5))
		*w = word_format("%s", n == 1 ? "stream" : n == 2 ? "datagram" : "packets");
	else if (field == CPL_F_ssthresh && n == UINT32_MAX)
		*w = word_format("%s", "none yet");
	else if (field == CPL_F_soft_error && n)
		*w = word_format("%s", strerror((int)n));
	else if (strcmp(view_fields[field].unit, "flag") == 0 && n < 2)
		*w = word_format("%s", n ? "yes" : "no");
	else
		return false;
	return true;
}

/* Numbers that name something, and are not counted: no thousands separators. */
static bool is_label(enum cpl_field field)
{
	return field == CPL_F_id || field == CPL_F_inode || field == CPL_F_peer_inode ||
	       field == CPL_F_pid || field == CPL_F_fd || field == CPL_F_uid ||
	       field == CPL_F_netns || field == CPL_F_ifindex || field == CPL_F_ts_recent ||
	       strcmp(view_fields[field].unit, "port") == 0;
}

struct view_word view_field_word(const struct cpl_info *info, enum cpl_field field, unsigned flags)
{
	const struct view_field *f = &view_fields[field];
	struct view_word w;
	uint64_t v;

	if (!cpl_info_known(info, field))
		return word_format("%s", "-");
	if (f->type == VIEW_TYPE_ip) {
		struct cpl_addr addr;

		memcpy(&addr, field_at(info, field), sizeof(addr));
		return word_addr(&addr);
	}
	if (f->type == VIEW_TYPE_name || f->type == VIEW_TYPE_path) {
		char s[128];

		memcpy(s, field_at(info, field), f->size);
		s[f->size - 1] = 0;
		return word_foreign(s);
	}
	view_get(info, field, &v);
	if (named_word(field, v, &w))
		return w;
	if (f->type == VIEW_TYPE_ns)
		return word_ns(v);
	if (f->type == VIEW_TYPE_seq)
		return flags & VIEW_RELATIVE ? seq_word(info, field, (uint32_t)v)
					     : word_seq((uint32_t)v);
	if (strcmp(f->unit, "bytes/s") == 0)
		return word_rate(v);
	if (is_label(field)) {
		w = word_format("%llu", (unsigned long long)v);
		return w;
	}
	w = word_count(v);
	return w;
}

/* ---- Differences ----------------------------------------------------------------------------- */

/* Clocks that run by themselves: timers down, ages up. Setting them anew is all that may be told.
 */
#define SLACK_NS 1000000 /* sources that tell time in whole ms or jiffies round */

static bool is_age(enum cpl_field f)
{
	return f == CPL_F_age || f == CPL_F_ts_recent_age || f == CPL_F_last_sent ||
	       f == CPL_F_last_received || f == CPL_F_why_for;
}

static bool is_sum(enum cpl_field f)
{
	return strncmp(view_fields[f].name, "why_time_", 9) == 0;
}

static bool timer_differs(uint64_t old, uint64_t new, uint64_t passed, bool clock)
{
	uint64_t expected;

	if (old == CPL_TIMER_OFF || new == CPL_TIMER_OFF)
		return old != new;
	if (!clock)
		return new > old; /* without a clock only a longer time is sure to be a new one */
	expected = old > passed ? old - passed : 0;
	return new > expected ? new - expected > SLACK_NS : expected - new > SLACK_NS;
}

static bool field_differs(const struct cpl_info *old, const struct cpl_info *new, enum cpl_field f,
			  unsigned flags)
{
	bool known = cpl_info_known(old, f);
	bool clock = cpl_info_known(old, CPL_F_taken) && cpl_info_known(new, CPL_F_taken) &&
		     new->taken >= old->taken;
	uint64_t a, b;

	if (!(flags & VIEW_VERBOSE) && (f == CPL_F_taken || is_sum(f)))
		return false;
	if (known != cpl_info_known(new, f))
		return true;
	if (!known)
		return false;
	if (strcmp(view_fields[f].group, "timers") == 0 && view_fields[f].type == VIEW_TYPE_ns) {
		view_get(old, f, &a);
		view_get(new, f, &b);
		return timer_differs(a, b, clock ? new->taken - old->taken : 0, clock);
	}
	if (memcmp(field_at(old, f), field_at(new, f), view_fields[f].size) == 0)
		return false;
	if (view_fields[f].type == VIEW_TYPE_name || view_fields[f].type == VIEW_TYPE_path)
		return strncmp(field_at(old, f), field_at(new, f), view_fields[f].size) != 0;
	if (!view_get(old, f, &a) || !view_get(new, f, &b))
		return true; /* addresses */
	if (is_age(f))
		return b < a;
	return true;
}

unsigned view_diff(const struct cpl_info *old, const struct cpl_info *new,
		   enum cpl_field changed[CPL_FIELDS], unsigned flags)
{
	unsigned n = 0;

	for (int f = 0; f < CPL_FIELDS; f++)
		if (field_differs(old, new, (enum cpl_field)f, flags))
			changed[n++] = (enum cpl_field)f;
	return n;
}

unsigned view_diff_print(struct text *t, const struct cpl_info *old, const struct cpl_info *new,
			 unsigned indent, unsigned flags)
{
	enum cpl_field changed[CPL_FIELDS];
	unsigned n = view_diff(old, new, changed, flags);

	for (unsigned i = 0; i < n; i++) {
		text_repeat(t, " ", indent);
		text_printf(t, "%-16s %s -> ", view_fields[changed[i]].name,
			    view_field_word(old, changed[i], flags | VIEW_RELATIVE).s);
		text_styled(t, TEXT_BOLD,
			    view_field_word(new, changed[i], flags | VIEW_RELATIVE).s);
		text_puts(t, "\n");
	}
	return n;
}
