/* SPDX-License-Identifier: MIT */
/*
 * Where connections are many, what a segment needs is in no cache: the head of its chain, its TCB,
 * what the TCB points to, each known by the one before. The processor waits for one after another,
 * unless those of a whole burst are asked for together, before the first segment is looked at. That
 * is all that happens here: nothing is checked, nothing changes.
 */
#include "stack/stack.h"

#include "wire/bytes.h"

/* Where the chain begins that the TCP segment in F belongs to, asked for; NULL: it is none. */
static const uint32_t *chain_of(struct cpl_stack *s, bool ether, const struct cpl_frame *f,
				uint32_t *last)
{
	const uint8_t *ip = f->data, *ports;
	uint32_t len = f->len;

	if (ether) {
		if (len < ETHER_HLEN)
			return NULL;
		ip += ETHER_HLEN;
		len -= ETHER_HLEN;
	}
	if (len >= IPV4_HLEN + TCP_HLEN && ip[0] == 0x45 && ip[9] == IP_TCP)
		ports = ip + IPV4_HLEN;
	else if (len >= IPV6_HLEN + TCP_HLEN && ip[0] >> 4 == 6 && ip[6] == IP_TCP)
		ports = ip + IPV6_HLEN;
	else
		return NULL;
	if (load32(ports) == *last) /* mostly the connection of the frame before */
		return NULL;
	*last = load32(ports);
	return demux_chain_ahead(&s->tcp, ip, ports);
}

void input_ahead(struct cpl_stack *s, int ifindex, const struct cpl_frame *f, unsigned n)
{
	bool ether;
	const uint32_t *chains[INPUT_AHEAD];
	const struct tcb *tcbs[INPUT_AHEAD];
	unsigned chains_n = 0, tcbs_n = 0;
	uint32_t last = 0;

	if (ifindex < 1 || ifindex > IFACES_MAX)
		return;
	ether = s->ifaces[ifindex].config.kind == CPL_IFACE_ETHER;
	n = n < INPUT_AHEAD ? n : INPUT_AHEAD;
	for (unsigned i = 0; i < n; i++)
		if ((chains[chains_n] = chain_of(s, ether, &f[i], &last)) != NULL)
			chains_n++;
	for (unsigned i = 0; i < chains_n; i++)
		if ((tcbs[tcbs_n] = demux_first_ahead(&s->tcp, *chains[i])) != NULL)
			tcbs_n++;
	for (unsigned i = 0; i < tcbs_n; i++)
		demux_tcb_ahead(&s->tcp, tcbs[i]);
}
