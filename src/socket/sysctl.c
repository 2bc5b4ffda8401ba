/* SPDX-License-Identifier: MIT */
/*
 * Linux's names for what a stack can be set to: "net.ipv4.tcp_sack" is config.sack, and so on. What
 * is set counts for new connections. Names of the kernel that mean nothing here, because there is
 * no such mechanism or no choice about it, are accepted, kept and told again, so that scripts which
 * set them run: the table says which (KEPT).
 */
#include "socket/sock.h"

#include <stdio.h>
#include <stdlib.h>

enum kind {
	KEPT, /* without meaning: a number that is kept */
	TEXT, /* the same, any text */
	U8,
	U16,
	U32,
	NS,	/* of the config, in units of `unit` ns */
	SOCKET, /* a uint32_t of struct sockets */
	RMEM,
	WMEM,
	CC,
	KEY, /* text that is obeyed */
	PORTS,
	SYN_RETRIES,
	RETRIES2,
	SYNACK_RETRIES,
	ECN,
	READ_ONLY,
};

struct setting {
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min, max, unit;
	const char *first; /* of what is kept: the kernel's default */
};

#define CONFIG(field)  offsetof(struct cpl_config, field)
#define SOCKETS(field) offsetof(struct sockets, field)
#define IPV4(name)     "net.ipv4." name
#define CORE(name)     "net.core." name

static const struct setting settings[] = {
	{ IPV4("tcp_sack"), U8, CONFIG(sack), 0, 1, 1, NULL },
	{ IPV4("tcp_timestamps"), U8, CONFIG(timestamps), 0, 2, 1, NULL },
	{ IPV4("tcp_window_scaling"), U8, CONFIG(window_scaling), 0, 1, 1, NULL },
	{ IPV4("tcp_ecn"), ECN, 0, 0, 5, 1, NULL },
	{ IPV4("tcp_ecn_option"), U8, CONFIG(ecn_option), 0, 2, 1, NULL },
	{ IPV4("tcp_rmem"), RMEM, 0, 0, 0, 1, NULL },
	{ IPV4("tcp_wmem"), WMEM, 0, 0, 0, 1, NULL },
	{ IPV4("tcp_congestion_control"), CC, 0, 0, 0, 1, NULL },
	{ IPV4("tcp_fin_timeout"), NS, CONFIG(fin_wait_2_ns), 0, 120, CPL_SECOND, NULL },
	{ IPV4("tcp_syn_retries"), SYN_RETRIES, 0, 1, 127, 1, NULL },
	{ IPV4("tcp_synack_retries"), SYNACK_RETRIES, 0, 0, 15, 1, NULL },
	{ IPV4("tcp_retries1"), U32, CONFIG(r1_retries), 0, 255, 1, NULL },
	{ IPV4("tcp_retries2"), RETRIES2, 0, 0, 255, 1, NULL },
	{ IPV4("tcp_keepalive_time"), NS, CONFIG(keep_idle_ns), 1, 32767, CPL_SECOND, NULL },
	{ IPV4("tcp_keepalive_intvl"), NS, CONFIG(keep_interval_ns), 1, 32767, CPL_SECOND, NULL },
	{ IPV4("tcp_keepalive_probes"), U32, CONFIG(keep_count), 1, 127, 1, NULL },
	{ IPV4("tcp_min_tso_segs"), U32, CONFIG(burst_min), 1, 255, 1, NULL },
	{ IPV4("tcp_slow_start_after_idle"), U8, CONFIG(slow_start_after_idle), 0, 1, 1, NULL },
	{ IPV4("tcp_syncookies"), U8, CONFIG(syncookies), 0, 2, 1, NULL },
	{ IPV4("tcp_rto_min_us"), NS, CONFIG(rto_min_ns), 1, 1000000, 1000, NULL },
	{ IPV4("tcp_rto_max_ms"), NS, CONFIG(rto_max_ns), 1000, 120000, CPL_MS, NULL },
	{ IPV4("ip_default_ttl"), U8, CONFIG(ttl), 1, 255, 1, NULL },
	{ IPV4("ip_local_port_range"), PORTS, 0, 1, 65535, 1, NULL },
	{ IPV4("icmp_msgs_per_sec"), U32, CONFIG(icmp_rate), 0, INT32_MAX, 1, NULL },
	{ IPV4("tcp_challenge_ack_limit"), U32, CONFIG(challenge_ack_rate), 0, INT32_MAX, 1, NULL },
	{ IPV4("tcp_notsent_lowat"), U32, CONFIG(notsent_lowat), 0, UINT32_MAX, 1, NULL },
	{ CORE("somaxconn"), SOCKET, SOCKETS(somaxconn), 0, INT32_MAX, 1, NULL },
	{ CORE("rmem_default"), SOCKET, SOCKETS(rmem_default), 2304, INT32_MAX, 1, NULL },
	{ CORE("rmem_max"), SOCKET, SOCKETS(rmem_max), 2304, INT32_MAX, 1, NULL },
	{ CORE("wmem_default"), SOCKET, SOCKETS(wmem_default), 4608, INT32_MAX, 1, NULL },
	{ CORE("wmem_max"), SOCKET, SOCKETS(wmem_max), 4608, INT32_MAX, 1, NULL },
	{ IPV4("tcp_slow_start_after_idle"), U8, CONFIG(slow_start_after_idle), 0, 1, 1, NULL },
	{ IPV4("tcp_fastopen"), U32, CONFIG(fastopen), 0, UINT32_MAX, 1, NULL },
	{ IPV4("tcp_fastopen_key"), KEY, 0, 0, 0, 1, "00000000-00000000-00000000-00000000" },
	{ IPV4("tcp_fastopen_blackhole_timeout_sec"), NS, CONFIG(fastopen_blackhole_ns), 0,
	  INT32_MAX, CPL_SECOND, NULL },
	{ IPV4("tcp_available_congestion_control"), READ_ONLY, 0, 0, 0, 1, NULL },

	/* There is no choice about these, or nothing that they could be about. */
	{ IPV4("tcp_early_retrans"), KEPT, 0, 0, 4, 1, "3" },
	{ IPV4("tcp_recovery"), KEPT, 0, 0, 255, 1, "1" },
	{ IPV4("tcp_reordering"), KEPT, 0, 1, 300, 1, "3" },
	{ IPV4("tcp_max_reordering"), KEPT, 0, 1, INT32_MAX, 1, "300" },
	{ IPV4("tcp_dsack"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_fack"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_frto"), KEPT, 0, 0, 2, 1, "2" },
	{ IPV4("tcp_ecn_option_beacon"), KEPT, 0, 0, 3, 1, "3" },
	{ IPV4("tcp_ecn_fallback"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_tso_win_divisor"), KEPT, 0, 0, 255, 1, "3" },
	{ IPV4("tcp_tso_rtt_log"), KEPT, 0, 0, 255, 1, "9" },
	{ IPV4("tcp_pacing_ss_ratio"), KEPT, 0, 0, 1000, 1, "200" },
	{ IPV4("tcp_pacing_ca_ratio"), KEPT, 0, 0, 1000, 1, "120" },
	{ IPV4("tcp_mtu_probing"), KEPT, 0, 0, 2, 1, "0" },
	{ IPV4("tcp_base_mss"), KEPT, 0, 48, 65535, 1, "1024" },
	{ IPV4("tcp_mtu_probe_floor"), KEPT, 0, 48, 65535, 1, "48" },
	{ IPV4("tcp_probe_threshold"), KEPT, 0, 0, 65535, 1, "8" },
	{ IPV4("tcp_probe_interval"), KEPT, 0, 0, UINT32_MAX, 1, "600" },
	{ IPV4("tcp_min_snd_mss"), KEPT, 0, 48, 65535, 1, "48" },
	{ IPV4("tcp_min_rtt_wlen"), KEPT, 0, 0, 86400, 1, "300" },
	{ IPV4("tcp_max_syn_backlog"), KEPT, 0, 0, INT32_MAX, 1, "4096" },
	{ IPV4("tcp_max_tw_buckets"), KEPT, 0, 0, INT32_MAX, 1, "262144" },
	{ IPV4("tcp_max_orphans"), KEPT, 0, 0, INT32_MAX, 1, "131072" },
	{ IPV4("tcp_orphan_retries"), KEPT, 0, 0, 255, 1, "0" },
	{ IPV4("tcp_tw_reuse"), KEPT, 0, 0, 2, 1, "2" },
	{ IPV4("tcp_tw_reuse_delay"), KEPT, 0, 1, 60000, 1, "1000" },
	{ IPV4("tcp_syn_linear_timeouts"), KEPT, 0, 0, 127, 1, "0" },
	{ IPV4("tcp_no_metrics_save"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_no_ssthresh_metrics_save"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_autocorking"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_moderate_rcvbuf"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_adv_win_scale"), KEPT, 0, 0, 255, 1, "1" },
	{ IPV4("tcp_app_win"), KEPT, 0, 0, 31, 1, "31" },
	{ IPV4("tcp_limit_output_bytes"), KEPT, 0, 0, UINT32_MAX, 1, "4194304" },
	{ IPV4("tcp_low_latency"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_retrans_collapse"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_rfc1337"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_stdurg"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_thin_linear_timeouts"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_workaround_signed_windows"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_abort_on_overflow"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_invalid_ratelimit"), KEPT, 0, 0, INT32_MAX, 1, "500" },
	{ IPV4("tcp_comp_sack_delay_ns"), KEPT, 0, 0, INT32_MAX, 1, "0" },
	{ IPV4("tcp_comp_sack_nr"), KEPT, 0, 0, 255, 1, "0" },
	{ IPV4("tcp_comp_sack_slack_ns"), KEPT, 0, 0, INT32_MAX, 1, "0" },
	{ IPV4("tcp_backlog_ack_defer"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_pingpong_thresh"), KEPT, 0, 1, 255, 1, "1" },
	{ IPV4("tcp_reflect_tos"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_shrink_window"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_migrate_req"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_early_demux"), KEPT, 0, 0, 1, 1, "1" },
	{ IPV4("tcp_plb_enabled"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("tcp_allowed_congestion_control"), TEXT, 0, 0, 0, 1, "reno cubic bbr dctcp" },
	{ IPV4("tcp_mem"), TEXT, 0, 0, 0, 1, "65536\t65536\t65536" },
	{ IPV4("ip_no_pmtu_disc"), KEPT, 0, 0, 3, 1, "0" },
	{ IPV4("ip_nonlocal_bind"), KEPT, 0, 0, 1, 1, "0" },
	{ IPV4("route.min_adv_mss"), KEPT, 0, 0, 65535, 1, "256" },
	{ IPV4("route.flush"), KEPT, 0, 0, INT32_MAX, 1, "0" },
	{ "net.ipv6.bindv6only", KEPT, 0, 0, 1, 1, "0" },
	{ "net.ipv6.ip_nonlocal_bind", KEPT, 0, 0, 1, 1, "0" },
	{ "net.ipv6.conf.all.hop_limit", U8, CONFIG(ttl), 1, 255, 1, NULL },
	{ CORE("optmem_max"), KEPT, 0, 0, INT32_MAX, 1, "131072" },
	{ CORE("busy_poll"), KEPT, 0, 0, INT32_MAX, 1, "0" },
	{ CORE("busy_read"), KEPT, 0, 0, INT32_MAX, 1, "0" },
	{ CORE("netdev_max_backlog"), KEPT, 0, 0, INT32_MAX, 1, "1000" },
	{ CORE("default_qdisc"), TEXT, 0, 0, 0, 1, "pfifo" },
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* As sysctl(8): with dots or slashes, and as a file of /proc/sys. */
static const struct setting *find(const char *name)
{
	static const char proc[] = "/proc/sys/";

	if (!strncmp(name, proc, sizeof(proc) - 1))
		name += sizeof(proc) - 1;
	for (unsigned i = 0; i < SETTINGS; i++) {
		const char *a = settings[i].name, *b = name;

		while (*a && (*a == *b || (*a == '.' && *b == '/'))) {
			a++;
			b++;
		}
		if (!*a && !*b)
			return &settings[i];
	}
	return NULL;
}

/* Up to MAX numbers, between which there is white space; how many. */
static unsigned numbers(const char *text, uint64_t *v, unsigned max)
{
	unsigned n = 0;

	while (*text) {
		char *end;

		while (*text == ' ' || *text == '\t' || *text == '\n')
			text++;
		if (!*text)
			break;
		if (n == max)
			return max + 1;
		v[n] = strtoull(text, &end, 0);
		if (end == text || (*end && *end != ' ' && *end != '\t' && *end != '\n'))
			return 0;
		n++;
		text = end;
	}
	return n;
}

/* ---- what is kept ---- */

struct kept {
	struct list link;
	const struct setting *setting;
	char text[96];
};

static struct kept *kept_find(struct sockets *s, const struct setting *set)
{
	struct list *pos;

	list_for_each (pos, &s->kept) {
		struct kept *k = container_of(pos, struct kept, link);

		if (k->setting == set)
			return k;
	}
	return NULL;
}

static int keep(struct sockets *s, const struct setting *set, const char *value)
{
	struct kept *k = kept_find(s, set);
	size_t n = strlen(value);

	while (n && (value[n - 1] == '\n' || value[n - 1] == ' '))
		n--;
	if (n >= sizeof(k->text))
		return -EINVAL;
	if (!k) {
		k = mem_alloc(s->mem, sizeof(*k));
		if (!k)
			return -ENOBUFS;
		k->setting = set;
		list_push_back(&s->kept, &k->link);
	}
	memcpy(k->text, value, n);
	k->text[n] = '\0';
	return 0;
}

void sysctl_destroy(struct sockets *s)
{
	while (!list_empty(&s->kept)) {
		struct kept *k = list_first(&s->kept, struct kept, link);

		list_del(&k->link);
		mem_release(s->mem, k, sizeof(*k));
	}
}

/* ---- times that Linux counts in retransmissions ---- */

/* The first three as the kernel's tcp_syn_retries: after N of them, one time-out more. */
uint64_t sysctl_syn_time(const struct cpl_config *c, uint32_t n)
{
	uint64_t t = 0, rto = c->rto_initial_ns;

	for (uint32_t i = 0; i <= n; i++) {
		t += rto;
		rto = rto * 2 < c->rto_max_ns ? rto * 2 : c->rto_max_ns;
	}
	return t - c->rto_initial_ns / 2; /* that very time-out, however early it is */
}

/* The kernel's tcp_model_timeout(). */
static uint64_t retries2_time(const struct cpl_config *c, uint32_t n)
{
	uint64_t t = 0, rto = c->rto_min_ns;

	for (uint32_t i = 0; i <= n; i++) {
		t += rto;
		rto = rto * 2 < c->rto_max_ns ? rto * 2 : c->rto_max_ns;
	}
	return t;
}

/* ---- set ---- */

/* net.ipv4.tcp_ecn */
static const uint8_t ecn_modes[] = {
	CPL_ECN_NEVER,
	CPL_ECN_ACTIVE,
	CPL_ECN_PASSIVE,
	CPL_ECN_ACCURATE,
	CPL_ECN_ACCURATE_ASK_CLASSIC,
	CPL_ECN_ACCURATE_PASSIVE,
};

static int set_scalar(struct sockets *s, struct cpl_config *c, const struct setting *set,
		      uint64_t v)
{
	void *at = (char *)c + set->offset;
	uint64_t ns = v * set->unit;

	switch (set->kind) {
	case U8:
		*(uint8_t *)at = (uint8_t)v;
		return 0;
	case U16:
		*(uint16_t *)at = (uint16_t)v;
		return 0;
	case U32:
		*(uint32_t *)at = (uint32_t)v;
		return 0;
	case NS:
		*(uint64_t *)at = ns;
		return 0;
	case SOCKET:
		*(uint32_t *)(void *)((char *)s + set->offset) = (uint32_t)v;
		return 0;
	case SYN_RETRIES:
		s->syn_retries = (uint32_t)v;
		c->r2_syn_ns = sysctl_syn_time(c, s->syn_retries);
		return 0;
	case SYNACK_RETRIES:
		c->synack_retries = (uint32_t)v;
		return 0;
	case RETRIES2:
		s->retries2 = (uint32_t)v;
		c->r2_ns = retries2_time(c, s->retries2);
		return 0;
	case ECN:
		c->ecn = ecn_modes[v];
		return 0;
	default:
		return -EINVAL;
	}
}

static int set_triple(struct cpl_config *c, enum kind kind, const uint64_t *v)
{
	const uint64_t most = 1u << 30;
	uint32_t first = (uint32_t)(v[1] > 2048 ? v[1] : 2048);
	uint32_t last = (uint32_t)(v[2] > first ? v[2] : first);

	if (!v[0] || !v[1] || !v[2] || v[1] > most || v[2] > most)
		return -EINVAL;
	if (kind == RMEM) {
		c->rcvbuf = first;
		c->rcvbuf_max = last;
	} else {
		c->sndbuf = first;
		c->sndbuf_max = last;
	}
	return 0;
}

static int set_name(struct cpl_config *c, const char *value)
{
	size_t n = strcspn(value, " \t\n");

	if (!n || n >= sizeof(c->cc_name))
		return -ENOENT;
	memset(c->cc_name, 0, sizeof(c->cc_name));
	memcpy(c->cc_name, value, n);
	return cc_find(c->cc_name) ? 0 : -ENOENT;
}

int sockets_sysctl_set(struct sockets *s, const char *name, const char *value, uint64_t now)
{
	const struct setting *set = find(name);
	struct cpl_config c = s->stack->config;
	uint64_t v[3];
	int err;

	if (!set) {
		s->asked_level = -1;
		s->asked_name = 0;
		return option_lacking(s, -ENOENT);
	}
	switch (set->kind) {
	case READ_ONLY:
		return -EPERM;
	case KEY:
		err = fastopen_read_keys(s, value);
		return err ? err : keep(s, set, value);
	case TEXT:
		return keep(s, set, value);
	case CC:
		err = set_name(&c, value);
		break;
	case RMEM:
	case WMEM:
		err = numbers(value, v, 3) == 3 ? set_triple(&c, set->kind, v) : -EINVAL;
		break;
	case PORTS:
		if (numbers(value, v, 2) != 2 || v[0] < set->min || v[1] > set->max || v[0] > v[1])
			return -EINVAL;
		c.port_first = (uint16_t)v[0];
		c.port_last = (uint16_t)v[1];
		err = 0;
		break;
	default:
		if (numbers(value, v, 1) != 1 || v[0] < set->min || v[0] > set->max)
			return -EINVAL;
		if (set->kind == KEPT)
			return keep(s, set, value);
		err = set_scalar(s, &c, set, v[0]);
		break;
	}
	return err ? err : cpl_stack_configure(s->stack, &c, now);
}

/* ---- get ---- */

static uint64_t get_scalar(struct sockets *s, const struct setting *set)
{
	const void *at = (const char *)&s->stack->config + set->offset;

	switch (set->kind) {
	case U8:
		return *(const uint8_t *)at;
	case U16:
		return *(const uint16_t *)at;
	case U32:
		return *(const uint32_t *)at;
	case NS:
		return *(const uint64_t *)at / set->unit;
	case SOCKET:
		return *(const uint32_t *)(const void *)((const char *)s + set->offset);
	case SYN_RETRIES:
		return s->syn_retries;
	case SYNACK_RETRIES:
		return s->stack->config.synack_retries;
	case RETRIES2:
		return s->retries2;
	default: /* ECN */
		for (unsigned v = 0; v < sizeof(ecn_modes); v++)
			if (ecn_modes[v] == s->stack->config.ecn)
				return v;
		return 0;
	}
}

int sockets_sysctl_get(struct sockets *s, const char *name, char *text, size_t size)
{
	const struct cpl_config *c = &s->stack->config;
	const struct setting *set = find(name);
	const struct kept *k;
	int n;

	if (!set)
		return -ENOENT;
	switch (set->kind) {
	case KEPT:
	case KEY:
	case TEXT:
		k = kept_find(s, set);
		n = snprintf(text, size, "%s", k ? k->text : set->first);
		break;
	case CC:
		n = snprintf(text, size, "%s", c->cc_name);
		break;
	case READ_ONLY:
		n = snprintf(text, size, "%s", "reno cubic bbr dctcp");
		break;
	case RMEM:
		n = snprintf(text, size, "4096\t%u\t%u", c->rcvbuf, c->rcvbuf_max);
		break;
	case WMEM:
		n = snprintf(text, size, "4096\t%u\t%u", c->sndbuf, c->sndbuf_max);
		break;
	case PORTS:
		n = snprintf(text, size, "%u\t%u", c->port_first, c->port_last);
		break;
	default:
		n = snprintf(text, size, "%llu", (unsigned long long)get_scalar(s, set));
		break;
	}
	return n < 0 || (size_t)n >= size ? -ENOSPC : 0;
}
