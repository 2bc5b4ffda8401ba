/* SPDX-License-Identifier: MIT */
/*
 * Inside the server: its clients, the sockets that have descriptors, the calls that wait.
 *
 * A struct held is a socket of the engine with its descriptor's other end; it lives until that
 * hangs up. A struct call is a slot of a client at work: while it is parked, one struct wait for
 * each socket it waits for is on that socket's list.
 */
#ifndef SHIM_SERVER_INSIDE_H
#define SHIM_SERVER_INSIDE_H

#include "base/hash.h"
#include "base/list.h"
#include "base/wheel.h"
#include "shim/inline.h"
#include "shim/protocol.h"
#include "shim/server.h"
#include "stack/sockets.h"

#define HELD_HASH 4096u

struct client;
struct call;

struct held {
	sock_id id;
	shim_token token; /* its place in the low half; 0: free */
	uint32_t place;	  /* the engine's */
	int end;	  /* the other end of the program's descriptor */
	int domain, type;
	uint64_t inode;
	uint32_t next_ino;  /* by inode */
	uint32_t owner_pid; /* who called last, as told to the engine */
	int32_t owner_fd;
	char owner[16];
	bool told;    /* of raw octets */
	bool lingers; /* close(2) waits, as SO_LINGER says */
	bool async;   /* O_ASYNC */
	bool urgent;  /* SIGURG was sent, of the octet at urgent_at */
	uint32_t urgent_at;
	int32_t signals_to;	 /* F_SETOWN: a process, or a group if negative; 0: nobody */
	struct wheel_node grace; /* it hung up, and is about to be heard of by a call */
	struct list waits;
};

struct wait {
	struct list node; /* of the socket's waits */
	struct call *call;
	short events;
	uint32_t round; /* of waking: when it was tried last */
};

struct call {
	struct client *client;
	unsigned slot;
	struct shim_request ask; /* a copy */
	bool parked;
	bool armed;    /* a poll whose bell is to be rung; the call itself is done */
	uint32_t turn; /* tells answers of names to an earlier call apart */
	short events;
	uint64_t began, until;
	size_t done;
	struct list node;	 /* of the server's parked */
	struct wheel_node limit; /* ... `until` */
	int bell;		 /* eventfd of the thread; -1 */
	int waker;		 /* or -1 */
	uint32_t wakers;	 /* that were heard of */
	struct wait one;
	struct wait *waits; /* of a poll */
	unsigned waits_n;
	struct shim_poll *polls; /* a copy */
	unsigned polls_n;
};

struct client {
	struct shim_server *server;
	struct list node;   /* of all */
	struct list active; /* of those whose requests are looked for without a ring */
	int fd;
	uint64_t key;
	uint64_t last; /* request */
	uint32_t pid, uid;
	char program[16];
	bool inlined;		/* it has the stack's memory */
	bool counted;		/* among those that wait */
	struct shim_area *area; /* NULL: has not said hello */
	struct call *calls[SHIM_SLOTS];
	uint64_t sets[SHIM_EPOLLS / 64]; /* epoll sets it has */
};

struct set {
	epoll_id id;
	shim_token token; /* 0: free */
	int bell;
	unsigned refs; /* clients */
	bool ready;
	int holder; /* the other end of what holds it over execve(); -1: none */
	uint64_t inode, key;
};

struct name_job;

struct shim_server {
	struct loop *loop;
	struct sockets *sockets;
	uint64_t now;
	int listener;
	char dir[64], path[108];
	struct siphash_key keys; /* of tokens */
	uint64_t tokens;
	struct list clients, active, parked;
	struct wheel limits; /* of those that are parked */
	struct wheel graces; /* of sockets that linger */
	unsigned clients_n;
	struct held **held; /* by the engine's place; NULL: never used */
	uint32_t held_n, held_live;
	uint32_t round;
	shim_token *ends; /* by descriptor */
	uint32_t ends_n;
	uint32_t by_ino[HELD_HASH];
	unsigned refused_told;	      /* of sockets_refused() */
	struct set sets[SHIM_EPOLLS]; /* by the engine's place */
	struct shim_board *board;
	int board_fd;
	bool spins;
	unsigned misses; /* work that came too late to be looked for, one after the other */
	uint64_t last_work, busy_until;
	bool resting; /* the loop is about to sleep: requests come with a ring */
	struct shim_addr addrs[64];
	unsigned addrs_n;
	shim_say_fn say;
	void *say_arg;
	/* server_inline.c; shared NULL: nothing is inline */
	struct inline_state *shared;
	struct arena *arena;
	struct stack_code code;
	int arena_fd, device, nudge;
	bool inline_all, broken;
	uint64_t rest_until; /* while it rests, and a program drives */
	uint64_t drove_seen; /* when it was last looked at whether that goes on ... */
	uint64_t patience;   /* ... after so many nanoseconds */
	bool driven;	     /* by a program, as of the beginning of the turn */
	bool touched;	     /* something was done to the stack in this turn */
	/* names: server_name.c */
	shim_name_fn name_fn;
	void *name_arg;
	struct names *names;
};

/* server.c */
/* There was something to do: there may be more soon. */
void server_worked(struct shim_server *s);

/* server_held.c */
/* A token that nobody can guess, with PLACE in its low half. */
shim_token token_new(struct shim_server *s, uint32_t place);
/*
 * Hold socket ID of the engine: makes its pair; *DESCRIPTOR is the program's end, to be closed here
 * once it is sent. NULL: *ERROR; the engine's socket is the caller's still.
 */
struct held *held_new(struct shim_server *s, sock_id id, int domain, int type, int *descriptor,
		      int *error);
/* A socket that C has made inline: END is the other end of its descriptor, and ours if it works. */
int held_adopt(struct client *c, const struct shim_adopt *adopt, int end);
/* Also one that was made inline, which a message that is still to be read tells. */
struct held *held_told(struct shim_server *s, shim_token token);
struct held *held_find(struct shim_server *s, shim_token token);
struct held *held_by_id(struct shim_server *s, sock_id id);
struct held *held_by_inode(struct shim_server *s, uint64_t inode);
/* True: no program has its descriptor any more. */
bool held_is_left(const struct held *h);
/* Forget it; the engine's socket stays. */
void held_drop(struct shim_server *s, struct held *h);
/* Nobody waits for what it has sent, which is sent all the same. */
void held_close(struct shim_server *s, struct held *h);
/* As close(2) does it. -EAGAIN: it lingers, to be closed by held_close() after a while. */
int held_leave(struct shim_server *s, struct held *h);
/* Those for which no call has come. */
void held_expire(struct shim_server *s);
void held_owner(struct shim_server *s, struct held *h, const struct client *c, int32_t fd);
/* C has a filter of its own that lacks these of SHIM_NEEDS(). */
void shut_in_say(const struct client *c, uint64_t lacks);
void server_say(struct shim_server *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* server_signals.c: F_SETFL, F_SETOWN; something has happened to the socket. */
int64_t signals_async(struct shim_server *s, struct held *h, bool on);
int64_t signals_owner(struct shim_server *s, struct held *h, int64_t owner);
void signals_forget(struct shim_server *s, struct held *h);
void signals_tell(struct shim_server *s, struct held *h);
/* server_refused.c: the option that was asked for last, if it is not there. C: NULL: nobody knows.
 */
void refused_say(struct shim_server *s, const struct client *c);

/* server_place.c */
/* s->listener, at s->path. */
int place_open(struct shim_server *s, struct link_why *why);
void place_close(struct shim_server *s);

/* server_client.c */
int clients_listen(struct shim_server *s, struct link_why *why);
void client_free(struct client *c);
/* Send the descriptor FD for the answer of SLOT; closes it. 0 or a negative errno. */
int client_gift(struct client *c, unsigned slot, int fd);
/* Read what it sent. Negative: it has to go. */
int client_hear(struct client *c);
/* Look for requests. True: there were some. */
bool clients_serve(struct shim_server *s);
/* Is a request there that was made without a ring? */
bool clients_asked(struct shim_server *s);
void clients_sleep(struct shim_server *s, bool asleep);

/* server_call.c */
/* A request, or the cancelling of one, in SLOT. */
void call_take(struct client *c, unsigned slot);
/* SLOT's answer is there: wake who sleeps until then. CALL: of that slot, or NULL. */
void slot_done(struct shim_slot *slot, struct call *call);
/* Try again what was parked. */
void call_try(struct call *call);
void call_finish(struct call *call, int64_t result);
/* It waits, until call->until at most. */
void call_hold(struct call *call);
/* ... for EVENTS of H. */
void call_park(struct call *call, struct held *h, short events);
void call_unpark(struct call *call);
struct shim_slot *call_slot(const struct call *call);
/* The one of SLOT; NULL: no memory. */
struct call *call_get(struct client *c, unsigned slot);
void call_free(struct call *call);

/* server_poll.c */
void poll_ask(struct call *call);
void poll_try(struct call *call);
void poll_expire(struct call *call);
int64_t set_new(struct call *call, struct shim_answer *answer);
int64_t set_ctl(struct call *call);
int64_t set_take(struct call *call, struct shim_answer *answer);
void set_leave(struct client *c, uint32_t place);
void set_close(struct shim_server *s, struct set *set);
/* SHIM_HOLDER; *FD is kept. 0 or a negative errno: the client is to go. */
int set_hold(struct client *c, const struct shim_message *m, int *fd);
/* SHIM_FIND of a holder: the client has the set as well. -ENOENT. */
int64_t set_find_held(struct call *call, struct shim_answer *answer);
/* The engine's word that sets have something to report, or not any more. */
void sets_woken(struct shim_server *s);
void sets_inherit(struct client *heir, const struct client *c);

/* server_name.c */
int names_open(struct shim_server *s, struct link_why *why);
void names_close(struct shim_server *s);
void names_ask(struct call *call);
void names_answered(struct shim_server *s);

/* server_inline.c */
/* Attached processes came or went: whose is the stack to be? */
void inline_lease(struct shim_server *s);
/* Nobody's any more. */
void inline_end(struct shim_server *s);
void inline_left(struct shim_server *s, const struct client *c);
/* Descriptors to be sent with HELLO. */
unsigned inline_offer(struct client *c, struct shim_hello *hello, int fds[3]);
/* A program reads the device, in this turn. */
bool inline_driven(struct shim_server *s);
/* It does, and nobody is to be told here of what happens. */
bool inline_nobody_waits(const struct shim_server *s);
/* At the end of a turn. */
void inline_tell(struct shim_server *s);

#endif
