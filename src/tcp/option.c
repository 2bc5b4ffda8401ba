/* SPDX-License-Identifier: MIT */
/* What a program may set and read of one connection (enum cpl_option). */
#include "tcp/tcp.h"

static void set_flag(struct tcb *tcb, uint32_t flag, uint64_t value)
{
	if (value)
		tcb->flags |= flag;
	else
		tcb->flags &= ~flag;
}

static uint32_t option_flag(enum cpl_option option)
{
	switch (option) {
	case CPL_OPT_NODELAY:
		return TCB_NODELAY;
	case CPL_OPT_CORK:
		return TCB_CORK;
	case CPL_OPT_KEEPALIVE: /* MUST-24 */
		return TCB_KEEPALIVE;
	case CPL_OPT_OOB_INLINE:
		return TCB_OOB_INLINE;
	case CPL_OPT_REUSEADDR:
		return TCB_REUSEADDR;
	case CPL_OPT_LINGER_DROP:
		return TCB_LINGER_DROP;
	case CPL_OPT_V6ONLY:
		return TCB_V6ONLY;
	default:
		return 0;
	}
}

static int set_switch(struct tcp *tcp, struct tcb *tcb, enum cpl_option option, uint64_t value,
		      uint64_t now)
{
	if (value > 1)
		return -EINVAL;
	set_flag(tcb, option_flag(option), value);
	if (option == CPL_OPT_REUSEADDR && !value && tcb_has(tcb, TCB_HASHED))
		port_hold_alone(tcp, tcb->node.id.lport);
	if (option == CPL_OPT_KEEPALIVE && tcb_synchronized(tcb)) {
		tcb->t_slow = CPL_NEVER;
		timer_keep_start(tcp, tcb, tcb->last_received);
		timer_update(tcp, tcb);
	}
	/* As Linux: without cork Nagle decides; switching Nagle off pushes even what is corked. */
	if (option == CPL_OPT_NODELAY && value && tcb->state != CPL_LISTEN && tcb->io)
		tcb->io->hold_over = tcb_write_seq(tcb) != tcb->snd_nxt;
	if (tcb_synchronized(tcb))
		tcb_kick(tcp, tcb);
	(void)now;
	return 0;
}

static int set_cold(struct tcp *tcp, struct tcb *tcb, enum cpl_option option, uint64_t value)
{
	struct tcb_cold *cold = tcb_cold(tcp, tcb);

	if (!cold)
		return -ENOBUFS;
	switch (option) {
	case CPL_OPT_KEEP_IDLE:
		cold->keep_idle_ns = value;
		break;
	case CPL_OPT_KEEP_INTERVAL:
		cold->keep_interval_ns = value;
		break;
	case CPL_OPT_KEEP_COUNT:
		cold->keep_count = (uint32_t)value;
		break;
	case CPL_OPT_USER_TIMEOUT:
		cold->user_timeout_ns = value;
		break;
	case CPL_OPT_MAXSEG:
		cold->maxseg = (uint16_t)value;
		if (tcb_synchronized(tcb))
			tcb_update_mss(tcb);
		break;
	case CPL_OPT_WINDOW_CLAMP:
		cold->window_clamp = (uint32_t)value;
		break;
	case CPL_OPT_NOTSENT_LOWAT:
		cold->notsent_lowat = (uint32_t)value;
		if (tcb->state != CPL_LISTEN)
			tcb_tell_room(tcp, tcb);
		break;
	case CPL_OPT_PACING_MAX:
		cold->pacing_max = value;
		if (tcb->state != CPL_LISTEN && tcb->io) {
			tcb->io->pace_max = value;
			tcb_kick(tcp, tcb); /* what it holds looks again */
		}
		break;
	case CPL_OPT_FASTOPEN:
		cold->fastopen = (uint32_t)value;
		if (tcb->state == CPL_LISTEN)
			tcb->listener->fastopen_max = (uint32_t)value;
		break;
	case CPL_OPT_FASTOPEN_CONNECT:
		cold->fastopen_connect = value;
		break;
	case CPL_OPT_FASTOPEN_NO_COOKIE:
		cold->fastopen_no_cookie = value;
		break;
	case CPL_OPT_OWNER_PID:
		cold->pid = (uint32_t)value;
		break;
	default:
		cold->fd = (uint32_t)value;
		break;
	}
	if ((option == CPL_OPT_KEEP_IDLE || option == CPL_OPT_KEEP_INTERVAL) &&
	    tcb_has(tcb, TCB_KEEPALIVE) && tcb_synchronized(tcb)) {
		tcb->t_slow = CPL_NEVER;
		timer_keep_start(tcp, tcb, tcb->last_received);
		timer_update(tcp, tcb);
	}
	return 0;
}

struct range {
	uint64_t low, high;
};

static struct range option_range(enum cpl_option option)
{
	switch (option) {
	case CPL_OPT_KEEP_IDLE:
	case CPL_OPT_KEEP_INTERVAL:
		return (struct range){ 1000000, 32767 * CPL_SECOND };
	case CPL_OPT_KEEP_COUNT:
		return (struct range){ 1, 127 };
	case CPL_OPT_MAXSEG:
		return (struct range){ 88, 65495 };
	case CPL_OPT_TOS:
		return (struct range){ 0, 255 };
	case CPL_OPT_TTL:
		return (struct range){ 1, 255 };
	case CPL_OPT_SNDBUF:
	case CPL_OPT_RCVBUF:
		return (struct range){ 1, 1u << 30 };
	case CPL_OPT_WINDOW_CLAMP:
	case CPL_OPT_OWNER_PID:
	case CPL_OPT_OWNER_FD:
	case CPL_OPT_NOTSENT_LOWAT:
		return (struct range){ 0, UINT32_MAX };
	case CPL_OPT_FASTOPEN:
		return (struct range){ 0, 65535 };
	case CPL_OPT_USER_TIMEOUT:
	case CPL_OPT_PACING_MAX:
		return (struct range){ 0, UINT64_MAX / 4 };
	default:
		return (struct range){ 0, 1 };
	}
}

int tcp_set_option(struct tcp *tcp, struct tcb *tcb, enum cpl_option option, uint64_t value,
		   uint64_t now)
{
	struct range range = option_range(option);

	if (option == CPL_OPT_URGENT_LEFT || option == CPL_OPT_ERROR || option >= CPL_OPTIONS)
		return -ENOPROTOOPT;
	if (value < range.low || value > range.high)
		return -EINVAL;
	if (option == CPL_OPT_FASTOPEN_CONNECT && !(tcp->config->fastopen & CPL_FASTOPEN_CLIENT))
		return -EOPNOTSUPP;
	if (option >= CPL_OPT_FASTOPEN && option <= CPL_OPT_FASTOPEN_NO_COOKIE &&
	    tcb->state != CPL_CLOSED && tcb->state != CPL_LISTEN)
		return -EINVAL;
	if (option_flag(option))
		return set_switch(tcp, tcb, option, value, now);
	switch (option) {
	case CPL_OPT_SNDBUF:
		tcb->sndbuf = value < 2048 ? 2048 : (uint32_t)value;
		tcb->flags |= TCB_SNDBUF_FIXED;
		if (tcb->state != CPL_LISTEN)
			tcb_tell_room(tcp, tcb);
		return 0;
	case CPL_OPT_RCVBUF:
		tcb->rcvbuf = value < 2048 ? 2048 : (uint32_t)value;
		tcb->flags |= TCB_RCVBUF_FIXED;
		return 0;
	case CPL_OPT_TOS:			  /* MUST-48, SHLD-21 */
		tcb->tos = (uint8_t)(value & ~3); /* the other two bits are ECN's: ours */
		return 0;
	case CPL_OPT_TTL: /* MUST-49 */
		tcb->ttl = (uint8_t)value;
		return 0;
	case CPL_OPT_SOFT_ERRORS: /* SHLD-20 */
		set_flag(tcb, TCB_NO_SOFT, !value);
		return 0;
	case CPL_OPT_QUICKACK:
		if (tcb->state != CPL_LISTEN && tcb->io)
			tcb->io->quick = value ? 16 : 0;
		set_flag(tcb, TCB_PINGPONG, !value);
		if (value && tcb_has(tcb, TCB_DELACK)) {
			tcb->flags |= TCB_ACK_NOW;
			tcb_kick(tcp, tcb);
		}
		return 0;
	default:
		return set_cold(tcp, tcb, option, value);
	}
}

static uint64_t get_cold(const struct tcp *tcp, const struct tcb *tcb, enum cpl_option option)
{
	const struct tcb_cold *cold = tcb->cold;

	switch (option) {
	case CPL_OPT_KEEP_IDLE: /* MUST-27, MUST-28 */
		return tcb_keep_idle(tcp, tcb);
	case CPL_OPT_KEEP_INTERVAL:
		return tcb_keep_interval(tcp, tcb);
	case CPL_OPT_KEEP_COUNT:
		return tcb_keep_count(tcp, tcb);
	case CPL_OPT_USER_TIMEOUT:
		return cold ? cold->user_timeout_ns : 0;
	case CPL_OPT_WINDOW_CLAMP:
		return cold ? cold->window_clamp : 0;
	case CPL_OPT_NOTSENT_LOWAT:
		return tcb_notsent_lowat(tcp, tcb);
	case CPL_OPT_PACING_MAX:
		return cold ? cold->pacing_max : 0;
	case CPL_OPT_FASTOPEN:
		if (tcb->state == CPL_LISTEN)
			return tcb->listener->fastopen_max;
		return cold ? cold->fastopen : 0;
	case CPL_OPT_FASTOPEN_CONNECT:
		return cold && cold->fastopen_connect;
	case CPL_OPT_FASTOPEN_NO_COOKIE:
		return cold && cold->fastopen_no_cookie;
	case CPL_OPT_OWNER_PID:
		return cold ? cold->pid : 0;
	case CPL_OPT_OWNER_FD:
		return cold ? cold->fd : 0;
	default:
		return 0;
	}
}

int tcp_get_option(struct tcp *tcp, struct tcb *tcb, enum cpl_option option, uint64_t *value)
{
	if (option >= CPL_OPTIONS)
		return -ENOPROTOOPT;
	if (option_flag(option)) {
		*value = tcb_has(tcb, option_flag(option));
		return 0;
	}
	switch (option) {
	case CPL_OPT_SNDBUF:
		*value = tcb->sndbuf;
		break;
	case CPL_OPT_RCVBUF:
		*value = tcb->rcvbuf;
		break;
	case CPL_OPT_MAXSEG:
		*value = tcb_synchronized(tcb)		  ? tcb->snd_mss
			 : tcb->cold && tcb->cold->maxseg ? tcb->cold->maxseg
							  : 536;
		break;
	case CPL_OPT_TOS:
		*value = tcb->tos;
		break;
	case CPL_OPT_TTL:
		*value = tcb->ttl;
		break;
	case CPL_OPT_QUICKACK:
		*value = !tcb_has(tcb, TCB_PINGPONG);
		break;
	case CPL_OPT_SOFT_ERRORS:
		*value = !tcb_has(tcb, TCB_NO_SOFT);
		break;
	case CPL_OPT_URGENT_LEFT: /* MUST-33 */
		*value = tcb_has(tcb, TCB_URG_IN) ? tcb->rcv_up - tcb->read_seq : 0;
		break;
	case CPL_OPT_ERROR:
		*value = tcb->error;
		break;
	default:
		*value = get_cold(tcp, tcb, option);
		break;
	}
	return 0;
}
