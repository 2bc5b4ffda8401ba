/* SPDX-License-Identifier: MIT */
/*
 * Small programs that run on the hosts of the simulated network. A talk is one connection and the
 * two programs at its ends. What they send is pseudo-random and known to both, so that each octet
 * that arrives is compared: the first that differs fails the run, and so does an end of data that
 * comes too early or too late.
 */
#ifndef SIM_APP_H
#define SIM_APP_H

#include "sim/net.h"

enum app_style {
	APP_SINK,    /* reads all */
	APP_SOURCE,  /* writes send_bytes, reads what comes */
	APP_ECHO,    /* writes what it reads */
	APP_REQUEST, /* rounds times: writes request_bytes, reads response_bytes */
	APP_RESPOND, /* for each request_bytes read, writes response_bytes */
};

/* What a program does when it has written all. */
enum app_end {
	APP_END_SHUTDOWN, /* closes its side, reads to the peer's end, closes */
	APP_END_CLOSE,	  /* closes at once; for programs that expect nothing more */
	APP_END_STAY,	  /* nothing; closes when the peer has */
	APP_END_ABORT,	  /* aborts after end_at octets, read or written */
	APP_END_LEAVE,	  /* closes after end_at octets, with data unread */
};

/* RFC 7413. A SYN that the network doubles may be accepted twice: see compare(). */
enum app_fastopen {
	APP_FASTOPEN_OFF,
	APP_FASTOPEN_DATA,    /* a client opens with data; a server takes it */
	APP_FASTOPEN_CONNECT, /* the client's stack defers the SYN: it must have what to write */
};

struct app_plan {
	enum app_style style;
	uint64_t send_bytes;
	uint32_t rounds, request_bytes, response_bytes;
	uint32_t write_size; /* at most so much a call; 0: 16 KiB */
	uint32_t read_size;
	uint64_t write_gap_ns; /* pause between writes */
	uint64_t read_gap_ns;  /* pause between reads */
	uint64_t read_from_ns; /* after the connection was made: nothing is read before */
	enum app_end end;
	uint64_t end_at;
	uint64_t urgent_at; /* the octet of this number (1 is first) is urgent; 0: none */
	bool urgent_inline; /* read it in the stream */
	bool nodelay, cork, quickack;
	enum app_fastopen fastopen;
	uint64_t keep_idle_ns;		 /* keep-alive; 0: off */
	uint32_t sndbuf, rcvbuf, maxseg; /* 0: as the stack has it */
	char cc[16];
};

enum app_state {
	APP_IDLE,
	APP_OPENING,
	APP_OPEN,
	APP_CLOSED, /* it has closed; the connection ends by itself */
	APP_DONE,   /* the connection is over, or was never made */
};

/* One end. */
struct app {
	struct talk *talk;
	struct net_host *host;
	struct app_plan plan;
	unsigned end;  /* 0: client, 1: server */
	unsigned life; /* of the host on which handle is valid */
	enum app_state state;
	cpl_handle handle;
	uint64_t seed;	    /* of what it writes */
	uint64_t sent;	    /* octets handed to the stack */
	uint64_t received;  /* position in the peer's stream */
	uint64_t opened_at; /* when it was connected */
	uint64_t read_next; /* reads nothing before */
	uint64_t write_next;
	uint64_t wake_at; /* a wake-up is under way for this time; 0: none */
	bool fin_sent;	  /* it has closed its side */
	bool fin_seen;	  /* it has read to the peer's end */
	bool broken;	  /* it aborted, or left data unread */
	bool urgent_read;
	int error; /* of cpl_event, of CLOSED */
};

struct talk {
	struct net *net;
	struct apps *apps;
	unsigned index;
	struct app app[2];
	struct cpl_endpoint address[2]; /* port 0 for the client: any */
	bool simultaneous;		/* both open actively */
	uint64_t start;
	bool again;	  /* it will be opened again: a first try failed, or it repeats */
	unsigned repeats; /* so many times more, from the same port if that is given */
	uint64_t repeat_ns;
	cpl_handle listener;
	unsigned listener_life;
	uint32_t backlog;
	unsigned opens, accepts, strays; /* strays: accepted though the server's end was taken */
};

#define APP_TALKS 16

struct apps {
	struct net *net;
	struct talk talks[APP_TALKS];
	unsigned talks_n;
	bool blind; /* octets are not compared: the links change them unseen */
};

/* Takes net->program. */
void apps_init(struct apps *apps, struct net *net);
/* A talk that CLIENT opens to SERVER at time START; its addresses' ports distinguish talks. */
struct talk *talk_add(struct apps *apps, struct net_host *client, const struct cpl_endpoint *from,
		      struct net_host *server, const struct cpl_endpoint *to,
		      const struct app_plan *client_plan, const struct app_plan *server_plan,
		      uint64_t start);
/* Both programs are through with it. */
bool talk_over(const struct talk *talk);
/* Have the program look again now: after its plan was changed. */
void app_kick(struct app *app);

/* Octets OFF.. of the stream of SEED. */
void app_fill(uint8_t *p, uint64_t seed, uint64_t off, size_t n);

#endif
