/* SPDX-License-Identifier: MIT */
/*
 * What the steps of the stairs share: all that was seen on the way up. Each step has its file,
 * stairs_STEP.c, which fills its part and says what it found; stairs.c goes from one to the next.
 */
#ifndef SOURCE_STAIRS_STEP_H
#define SOURCE_STAIRS_STEP_H

#include "source/source.h"
#include "source/stairs.h"
#include "source/stairs_rt.h"
#include "source/tcp_info.h"
#include "source/watcher.h"

#define STAIRS_ADDRESSES 8   /* addresses of one name that are called */
#define STAIRS_MACS	 4   /* machines that answer for one address */
#define STAIRS_PLACES	 256 /* network namespaces that are looked into */
#define STAIRS_ANSWER	 2048
#define STAIRS_BANNER_MS 1200 /* for servers that speak first; a lost ACK shows after 1 s */
#define STAIRS_ANSWER_MS 3000 /* for an answer to a greeting */
#define STAIRS_STILL_MS	 1500 /* data without an ACK so long: three retransmissions or so */
#define STAIRS_ARP_MS	 300
#define STAIRS_AGAIN_MS	 200
#define STAIRS_WATCH_MS	 400  /* without an answer so long: the kernel is watched */
#define STAIRS_OTHERS_MS 1200 /* for the other addresses, once one has answered */

/* ---- The packets themselves (stairs_tap.c) --------------------------------------------------- */

/* What the tap saw of one call. */
struct tap_seen {
	unsigned syn_out, syn_in; /* syn_in: on the way up, of a destination on this machine */
	unsigned answer_in;	  /* SYN,ACK */
	uint32_t answer_ifindex;  /* by which it came */
	unsigned rst_in;
	uint8_t rst_ttl;
};

/* Who answers for one address on one link. */
struct tap_claim {
	struct cpl_addr addr;
	uint32_t ifindex;
	unsigned n;
	uint8_t mac[STAIRS_MACS][6];
};

#define TAP_CLAIMS (2 * STAIRS_ADDRESSES)

struct stairs_tap {
	int fd; /* -1: not open */
	int error;
	unsigned own_n;
	uint8_t own[16][6]; /* our own link addresses */
	unsigned claims;
	struct tap_claim claim[TAP_CLAIMS];
};

struct stairs_call;

/* Opens it for packets from and to PORT; tap->error says why not. */
void tap_open(struct stairs_tap *tap, uint16_t port);
void tap_close(struct stairs_tap *tap);
/* Asks on LINK who has ADDR; SOURCE is ours. With PROBE as if we had no address (RFC 5227 2.1.1).
 */
void tap_ask(struct stairs_tap *tap, const struct rt_link *link, const struct cpl_addr *source,
	     const struct cpl_addr *addr, bool probe);
/* Reads what came so far, into the calls and the claims. */
void tap_read(struct stairs_tap *tap, struct stairs_call *call, unsigned calls, uint16_t port);
/* NULL: nobody was asked for it. */
const struct tap_claim *tap_claim_of(const struct stairs_tap *tap, const struct cpl_addr *addr,
				     uint32_t ifindex);

/* ---- One address (stairs_route.c, stairs_syn.c, stairs_neighbour.c) -------------------------- */

enum stairs_outcome {
	STAIRS_NOT_CALLED,
	STAIRS_NO_CALL, /* connect() or socket() failed at once: error */
	STAIRS_SILENT,	/* nothing came back */
	STAIRS_NO_HOP,	/* the next hop does not answer */
	STAIRS_BY_ICMP, /* an ICMP message: icmp */
	STAIRS_REFUSED, /* RST */
	STAIRS_OPEN,
};

struct stairs_icmp {
	bool ip6;
	uint8_t type, code;
	bool has_from;
	struct cpl_addr from;
};

struct stairs_call {
	struct cpl_addr addr;
	uint32_t scope; /* of a link-local address */
	/* route */
	bool routed; /* the kernel told */
	struct rt_route route;
	bool linked;
	struct rt_link link;
	/* neighbour */
	bool has_hop; /* a neighbour's link address is needed */
	struct cpl_addr hop;
	bool has_neighbour;
	struct rt_neighbour neighbour;
	/* call */
	int fd;
	enum stairs_outcome outcome;
	int error;	       /* positive errno of the call */
	uint64_t began, ended; /* ns */
	struct cpl_addr local;
	uint16_t local_port;
	uint16_t watched_port; /* of one more call while the kernel was watched; 0: none */
	unsigned syns;	       /* sent */
	struct stairs_icmp icmp;
	struct tap_seen seen;
};

/* ---- The namespaces of this machine (stairs_far.c) ------------------------------------------- */

/* Counters of one namespace that grow when it drops a call. */
enum far_counter {
	FAR_RP_FILTER,
	FAR_LISTEN_OVERFLOWS,
	FAR_LISTEN_DROPS,
	FAR_SYN_QUEUE_FULL,
	FAR_COUNTERS
};

struct far_place {
	uint32_t netns;
	int fd; /* of the namespace; -1: of another machine */
	bool ours;
	bool peer;	/* of another machine, which was asked */
	bool elsewhere; /* another namespace there than the address's */
	char name[32];	/* as ip-netns(8) has it, or a program in it */
	bool entered;
	bool has_own;
	struct cpl_addr own; /* one of its addresses, if it has one beside loopback */
	bool has_address;    /* the destination is an address of it */
	bool has_hop;	     /* the next hop's link address is one of its links' */
	bool counted;
	uint64_t before[FAR_COUNTERS], after[FAR_COUNTERS];
	bool asked_back; /* its route to our address was looked up */
	struct rt_route back;
};

/* A socket on the port, or an end of our connection; info.netns tells the place. */
struct far_socket {
	struct cpl_info info;
	unsigned place;
	char process_state; /* 'T' stopped; 0: not known */
	bool known_limit;
	uint32_t descriptors, descriptors_max;
};

struct stairs_far {
	struct far_place place[STAIRS_PLACES];
	unsigned places;
	unsigned denied; /* namespaces that we may not enter, or not see */
	struct far_socket *socket;
	unsigned sockets;
	bool failed;
};

/* Finds the namespaces and reads their counters and addresses: before the call. */
void far_open(struct stairs_far *far, const struct cpl_addr *to, unsigned n);
/*
 * After the call: sockets on PORT, the counters again, the way back to FROM. Replaces what an
 * earlier look found.
 */
void far_look(struct stairs_far *far, const struct stairs_call *call, uint16_t port);
void far_close(struct stairs_far *far);
/* A place on another machine, called NAME; NULL: there are too many. */
struct far_place *far_add_place(struct stairs_far *far, const char *name);
void far_add_socket(struct stairs_far *far, const struct far_place *place,
		    const struct cpl_info *info);
/* The namespace in which the destination of CALL lives; NULL: none that we can see. */
struct far_place *far_place_of(struct stairs_far *far, const struct stairs_call *call);
/* The other end of CALL's connection; NULL: not seen. */
struct far_socket *far_end(struct stairs_far *far, const struct stairs_call *call, uint16_t port);
uint64_t far_grown(const struct far_place *place, enum far_counter counter);
/* "on this machine", "in network namespace NAME", "on HOST" */
struct view_word far_where(const struct far_place *place);
/* "nginx (pid 812)", or "a program" */
struct view_word far_who(const struct cpl_info *info);

/* ---- Names and proxies ----------------------------------------------------------------------- */

enum name_from {
	NAME_LITERAL,
	NAME_FROM_HOSTS,
	NAME_FROM_DNS, /* or whatever else nsswitch.conf(5) names */
};

struct stairs_name {
	enum name_from from;
	unsigned line; /* of the hosts file */
	unsigned n;
	struct cpl_addr addr[STAIRS_ADDRESSES];
	uint32_t scope[STAIRS_ADDRESSES];
	unsigned more;	/* addresses beyond those */
	unsigned dns_n; /* name_ask_dns(): what DNS says */
	struct cpl_addr dns[STAIRS_ADDRESSES];
	uint64_t took_ns;
};

/* The line of the hosts file TEXT that names NAME, from 1; 0: none. */
unsigned name_hosts_line(const char *text, const char *name);
struct stairs;
/* What DNS would have said, had the hosts file not answered. */
void name_ask_dns(struct stairs *s);
/* Addresses among the answers of a DNS message; hostile input. */
unsigned name_dns_answers(const uint8_t *message, size_t len, struct cpl_addr *addr, unsigned max);
/* True if the list of no_proxy names HOST (curl's rules, CIDR included). */
bool proxy_exempt(const char *no_proxy, const char *host);
/* What a proxy variable says, without user name and password. */
struct view_word proxy_shown(const char *value);

/* ---- What is said (stairs_greet.c) ----------------------------------------------------------- */

enum greet_answer {
	GREET_NOTHING,
	GREET_HTTP,
	GREET_TLS,
	GREET_TLS_ALERT,
	GREET_HTTP_WANTS_TLS, /* an HTTP answer that says so */
	GREET_OTHER,
};

/* Writes the request to BUFFER; TO_LENGTH: padded to at least so long. Returns the length. */
size_t greet_http(char *buffer, size_t size, const struct stairs_target *target, size_t to_length);
size_t greet_tls(uint8_t *buffer, size_t size, const struct stairs_target *target,
		 size_t to_length);
enum greet_answer greet_judge(const uint8_t *answer, size_t len);
/* The first line of ANSWER for people. */
struct view_word greet_line(const uint8_t *answer, size_t len);
/* Which greeting fits; STAIRS_GREET_NOBODY: none. */
enum stairs_greeting greet_choose(const struct stairs_options *o);

/* ---- Saying it (stairs_talk.c) --------------------------------------------------------------- */

/* One greeting and what became of it. */
struct stairs_talk {
	enum stairs_greeting greeting;
	size_t request; /* bytes sent */
	bool large;	/* it fills at least one segment */
	uint32_t mss;	/* when it was sent */
	uint64_t began, took_ns, acked_ns, answered_ns;
	bool acked;
	bool eof;
	int error; /* errno with which it ended */
	uint8_t answer[STAIRS_ANSWER];
	size_t answer_n;
	struct linux_tcp_info info; /* the last look at it */
};

/* Says GREETING over CALL, or waits for a banner. LARGE: so that a segment is full. */
void talk_run(struct stairs *s, const struct stairs_call *call, struct stairs_talk *t,
	      enum stairs_greeting greeting, bool large);
/* The same, small, over a new connection to the best address. False: it could not be opened. */
bool talk_again(struct stairs *s, struct stairs_talk *t, enum stairs_greeting greeting);
/* Closes a connection, or a call; one that the other end does not close as well is aborted. */
void talk_end(int fd);
void talk_info(const struct stairs_call *call, struct stairs_talk *t);

/* ---- All of it ------------------------------------------------------------------------------- */

struct stairs {
	struct view_diagnosis *d;
	const struct stairs_options *o;
	struct stairs_name name;
	struct stairs_call call[STAIRS_ADDRESSES];
	unsigned calls;
	struct stairs_call *best; /* that got furthest */
	struct stairs_tap tap;
	struct stairs_far far;
	struct peer *peer; /* NULL: nobody is asked */
	struct watcher *watcher;
	struct source_notes watcher_notes;
	struct view_facts facts; /* what the watcher saw */
	bool tried_to_watch;
	struct stairs_talk talk;   /* over BEST */
	struct view_finding spare; /* takes what is said when memory has run out */
};

/*
 * The steps, in order. Each says its result with view_diagnosis_step(), and returns true if the
 * next may follow.
 */
bool stairs_name(struct stairs *s);
void stairs_routes(struct stairs *s); /* asks; the two below judge */
bool stairs_address(struct stairs *s);
bool stairs_route(struct stairs *s);
void stairs_ask_neighbours(struct stairs *s); /* before the call */
void stairs_see_neighbours(struct stairs *s); /* after it */
bool stairs_neighbour(struct stairs *s);
void stairs_call_all(struct stairs *s);
/* One call by itself. True: it is open. */
bool call_alone(struct stairs_call *c, uint16_t port, unsigned ms);
/* From now on the kernel is asked why it drops packets, if it may be asked. */
void stairs_watch(struct stairs *s);
bool stairs_syn(struct stairs *s);
bool stairs_handshake(struct stairs *s);
bool stairs_data(struct stairs *s);
bool stairs_reads(struct stairs *s);
/* The far host, if it is to be asked: before the calls, and after them. */
void stairs_peer_open(struct stairs *s);
void stairs_peer_look(struct stairs *s);
void stairs_peer_close(struct stairs *s);
/* Apart from the steps. */
void stairs_proxies(struct stairs *s);
/* Refused, or not answered: who is to blame? Of stairs_syn(). */
void stairs_blame_refused(struct stairs *s);
void stairs_blame_silent(struct stairs *s);
/* True, and said, if the hosts file hides an address of DNS that answers. */
bool stairs_blame_name(struct stairs *s);
/* Why the program that holds SOCKET does nothing: stopped, or out of descriptors. */
void stairs_blame_process(struct stairs *s, const struct far_socket *socket,
			  const struct far_place *place);
/* Of several addresses that fail, the one on which a program listens tells more than an RST. */
void stairs_reconsider(struct stairs *s);
void stairs_hang_up(struct stairs *s); /* closes the sockets of all calls */

/* A finding about the destination, with the end of BEST's call that is known; never NULL. */
struct view_finding *stairs_find(struct stairs *s, enum view_finding_id id,
				 enum view_certainty certainty);
/* Whose end it is. */
void stairs_of(struct view_finding *f, const struct far_socket *socket,
	       const struct far_place *place);
uint64_t stairs_now(void); /* ns, monotonic */
/* What the watcher saw of BEST's packets being dropped; NULL: nothing. */
const struct view_event *stairs_drop(struct stairs *s);
/* Why, for people: "a firewall rule (NETFILTER_DROP)" */
struct view_word stairs_reason(const struct view_event *drop);

#endif
