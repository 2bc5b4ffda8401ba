/* SPDX-License-Identifier: MIT */
/*
 * The packets of our own calls as they pass the device, and who answers for an address on a link:
 * through packet(7), which needs CAP_NET_RAW. What leaves is seen after this machine's firewall,
 * what arrives before it: so one sees on which side of it a packet is lost.
 */
#include "source/stairs_step.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <linux/filter.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>

#include "wire/ether.h"
#include "wire/icmp.h"
#include "wire/ip.h"
#include "wire/tcp.h"

#define FRAME  512
/* At most so many frames are read at one time: a flood must not hold us up. */
#define FRAMES 4096

/* ---- Opening --------------------------------------------------------------------------------- */

/* ARP, ICMPv6, and TCP from or to PORT; calls and answers are short. Offset 0: the network header.
 */
static int filter(int fd, uint16_t port)
{
	struct sock_filter code[] = {
		/* 0 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
				 (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
		/* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHER_ARP, 17, 0),
		/* 2 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHER_IPV6, 10, 0),
		/* 3 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHER_IPV4, 0, 16),
		/* 4 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		/* 5 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP_TCP, 0, 14),
		/* 6 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
		/* 7 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 12, 0),
		/* 8 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		/* 9 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 0),
		/* 10 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 8, 0),
		/* 11 */ BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
		/* 12 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 6, 7),
		/* IPv6 */
		/* 13 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
		/* 14 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IP_ICMP6, 4, 0),
		/* 15 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 40),
		/* 16 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 2, 0),
		/* 17 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 42),
		/* 18 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1),
		/* 19 */ BPF_STMT(BPF_RET | BPF_K, FRAME),
		/* 20 */ BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

static int remember_own(void *arg, const struct rt_link *link)
{
	struct stairs_tap *tap = arg;

	if (link->mac_len == 6 && tap->own_n < sizeof(tap->own) / sizeof(tap->own[0]))
		memcpy(tap->own[tap->own_n++], link->mac, 6);
	return 0;
}

void tap_open(struct stairs_tap *tap, uint16_t port)
{
	struct sockaddr_ll any = { .sll_family = AF_PACKET, .sll_protocol = htons(0x0003) };

	memset(tap, 0, sizeof(*tap));
	/* Protocol 0: nothing comes before the filter stands. */
	tap->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (tap->fd < 0) {
		tap->error = -errno;
		return;
	}
	tap->error = filter(tap->fd, port);
	if (!tap->error && bind(tap->fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		tap->error = -errno;
	if (tap->error) {
		tap_close(tap);
		return;
	}
	rt_links(remember_own, tap);
}

void tap_close(struct stairs_tap *tap)
{
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
}

/* ---- Asking who has an address --------------------------------------------------------------- */

static void send_arp(struct stairs_tap *tap, const struct rt_link *link,
		     const struct cpl_addr *source, const struct cpl_addr *addr, bool probe)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHER_ARP),
		.sll_ifindex = (int)link->ifindex,
		.sll_halen = 6,
		.sll_addr = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
	struct arp_pkt request = { .op = ARP_REQUEST, .tpa = *addr };
	uint8_t packet[ARP_LEN];

	memcpy(request.sha, link->mac, 6);
	request.spa = probe ? cpl_addr4(0, 0, 0, 0) : *source;
	arp_build(packet, &request);
	sendto(tap->fd, packet, sizeof(packet), 0, (struct sockaddr *)&to, sizeof(to));
}

static void send_solicitation(struct stairs_tap *tap, const struct rt_link *link,
			      const struct cpl_addr *source, const struct cpl_addr *addr)
{
	struct cpl_addr group = addr_solicited_node(addr);
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHER_IPV6),
		.sll_ifindex = (int)link->ifindex,
		.sll_halen = 6,
	};
	struct nd_msg nd = { .target = *addr, .has_mac = true };
	uint8_t packet[IPV6_HLEN + ICMP_HLEN + ND_LEN_MAX], body[ND_LEN_MAX];
	struct ip_hdr ip = { .version = 6, .ttl = 255, .protocol = IP_ICMP6 };
	struct icmp_msg m;
	uint32_t len;

	memcpy(nd.mac, link->mac, 6);
	ether_multicast(to.sll_addr, &group);
	nd_build(&m, body, ICMP6_NS, &nd);
	len = icmp6_build(packet + IPV6_HLEN, &m, source, &group);
	ip.src = *source;
	ip.dst = group;
	ip.hlen = IPV6_HLEN;
	ip.len = IPV6_HLEN + len;
	ip_build(packet, &ip);
	sendto(tap->fd, packet, ip.len, 0, (struct sockaddr *)&to, sizeof(to));
}

void tap_ask(struct stairs_tap *tap, const struct rt_link *link, const struct cpl_addr *source,
	     const struct cpl_addr *addr, bool probe)
{
	struct tap_claim *claim = &tap->claim[tap->claims];

	if (tap->fd < 0 || link->type != ARPHRD_ETHER || link->mac_len != 6 ||
	    tap->claims == TAP_CLAIMS || tap_claim_of(tap, addr, link->ifindex))
		return;
	if (!cpl_addr_is4(addr) && probe)
		return; /* the kernel itself has looked: IFA_F_DADFAILED */
	memset(claim, 0, sizeof(*claim));
	claim->addr = *addr;
	claim->ifindex = link->ifindex;
	tap->claims++;
	if (cpl_addr_is4(addr))
		send_arp(tap, link, source, addr, probe);
	else
		send_solicitation(tap, link, source, addr);
}

const struct tap_claim *tap_claim_of(const struct stairs_tap *tap, const struct cpl_addr *addr,
				     uint32_t ifindex)
{
	for (unsigned i = 0; i < tap->claims; i++)
		if (tap->claim[i].ifindex == ifindex && cpl_addr_equal(&tap->claim[i].addr, addr))
			return &tap->claim[i];
	return NULL;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool is_own(const struct stairs_tap *tap, const uint8_t mac[6])
{
	for (unsigned i = 0; i < tap->own_n; i++)
		if (memcmp(tap->own[i], mac, 6) == 0)
			return true;
	return false;
}

/* MAC says that it has ADDR. */
static void claimed(struct stairs_tap *tap, const struct cpl_addr *addr, uint32_t ifindex,
		    const uint8_t mac[6])
{
	struct tap_claim *claim = (struct tap_claim *)tap_claim_of(tap, addr, ifindex);

	if (!claim || claim->n == STAIRS_MACS || is_own(tap, mac))
		return;
	for (unsigned i = 0; i < claim->n; i++)
		if (memcmp(claim->mac[i], mac, 6) == 0)
			return;
	memcpy(claim->mac[claim->n++], mac, 6);
}

static void read_advertisement(struct stairs_tap *tap, const struct sockaddr_ll *from,
			       const struct ip_hdr *ip, const uint8_t *p, uint32_t len)
{
	struct icmp_msg m;
	struct nd_msg nd;

	if (!icmp6_parse(p, len, &ip->src, &ip->dst, &m) || m.type != ICMP6_NA ||
	    !nd_parse(&m, ip->ttl, &ip->src, &ip->dst, &nd))
		return;
	claimed(tap, &nd.target, (uint32_t)from->sll_ifindex, nd.has_mac ? nd.mac : from->sll_addr);
}

static void read_segment(struct stairs_call *call, unsigned calls, uint16_t port,
			 const struct sockaddr_ll *from, const struct ip_hdr *ip, const uint8_t *p,
			 uint32_t len)
{
	bool out = from->sll_pkttype == PACKET_OUTGOING;
	struct tcp_seg seg;

	if (ip->frag_off || tcp_parse(p, len, &ip->src, &ip->dst, true, &seg) == TCP_BAD_HEADER)
		return;
	for (unsigned i = 0; i < calls; i++) {
		struct stairs_call *c = &call[i];
		bool there = cpl_addr_equal(&ip->dst, &c->addr) && seg.dport == port &&
			     seg.sport == c->local_port;
		bool back = cpl_addr_equal(&ip->src, &c->addr) && seg.sport == port &&
			    seg.dport == c->local_port;

		if (there && (seg.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
			c->seen.syn_out += out;
			c->seen.syn_in += !out;
		} else if (back && !out && (seg.flags & TCP_RST)) {
			c->seen.rst_in++;
			c->seen.rst_ttl = ip->ttl;
		} else if (back && !out && (seg.flags & TCP_SYN)) {
			c->seen.answer_in++;
			c->seen.answer_ifindex = (uint32_t)from->sll_ifindex;
		}
	}
}

void tap_read(struct stairs_tap *tap, struct stairs_call *call, unsigned calls, uint16_t port)
{
	uint8_t frame[FRAME];

	if (tap->fd < 0)
		return;
	for (unsigned i = 0; i < FRAMES; i++) {
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		ssize_t n =
			recvfrom(tap->fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);
		bool out = from.sll_pkttype == PACKET_OUTGOING;
		struct ip_problem problem;
		struct ip_hdr ip;
		struct arp_pkt arp;

		if (n < 0)
			return;
		if (ntohs(from.sll_protocol) == ETHER_ARP) {
			if (!out && arp_parse(frame, (uint32_t)n, &arp))
				claimed(tap, &arp.spa, (uint32_t)from.sll_ifindex, arp.sha);
			continue;
		}
		if (ip_parse(frame, (uint32_t)n, &ip, &problem) != IP_OK)
			continue;
		if (ip.protocol == IP_ICMP6 && !out)
			read_advertisement(tap, &from, &ip, frame + ip.hlen, (uint32_t)n - ip.hlen);
		else if (ip.protocol == IP_TCP)
			read_segment(call, calls, port, &from, &ip, frame + ip.hlen,
				     (uint32_t)n - ip.hlen);
	}
}
