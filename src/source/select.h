/* SPDX-License-Identifier: MIT */
/*
 * The one grammar for naming connections, used wherever a command takes CONN or a filter.
 *
 *	expression = term { [ "and" ] term | "or" term }      ("and" binds tighter; also && || & |)
 *	term       = "not" term | "(" expression ")" | name | comparison      ("!" is "not" too)
 *
 * A name is one word:
 *
 *	#3                    the third row of the table
 *	:443  :https          a port, of either end
 *	10.0.0.1  10.0.0.0/8  an address or prefix, of either end; [::1], fe80::1%eth0
 *	10.0.0.1:443          an endpoint, of either end; [::1]:80, *:80, host:port (looked up)
 *	10.0.0.1:5000-10.0.0.2:443      both ends, in either order
 *	pid:812  uid:1000  inode:77  id:19      the owner, or the source's own number
 *	curl  program:curl  py*     the program's name
 *	established  state:time-wait     a state, as any of the netstats spells it
 *	tcp  udp  unix  ip4  ip6      a protocol
 *	/run/user/?  @name      the path of a UNIX socket; * and ? stand for anything
 *
 * A comparison is as ss(8) has it, or of any number among the fields of <couplet/info.def>:
 *
 *	state NAME  exclude NAME    also: all connected synchronized bucket big
 *	sport OP PORT  dport OP PORT    OP: = == != < > <= >= eq ne neq lt gt le leq ge geq, or none
 *	src OP HOST  dst OP HOST        with port or prefix; OP: = != or none
 *	dev OP INTERFACE        that it is bound to, or whose link-local address it has
 *	autobound               its local port is one of those that the system chooses
 *	cwnd < 20000  srtt > 100ms  send_queue > 0  program = curl
 *
 * States that follow each other without an "and" between them mean any of them, as in ss(8). What
 *is unknown of a connection matches no comparison, not even "!=".
 */
#ifndef SOURCE_SELECT_H
#define SOURCE_SELECT_H

#include <stdbool.h>
#include <stddef.h>

#include <couplet/info.h>

#include "source/source.h"

#define SELECT_NODES	 64
#define SELECT_ADDRESSES 8
#define SELECT_ERROR	 200
#define SELECT_NEAREST	 8

enum select_kind {
	SELECT_ALL,
	SELECT_AND,
	SELECT_OR,
	SELECT_NOT,
	SELECT_STATE,
	SELECT_POINT,
	SELECT_PAIR,
	SELECT_PROGRAM,
	SELECT_PATH,
	SELECT_FIELD,
	SELECT_ROW,
};

enum select_side {
	SELECT_EITHER,
	SELECT_LOCAL,
	SELECT_REMOTE
};

enum select_op {
	SELECT_EQ,
	SELECT_NE,
	SELECT_LT,
	SELECT_GT,
	SELECT_LE,
	SELECT_GE
};

/* An address, a prefix, a port, or several of them. */
struct select_point {
	struct cpl_addr addr[SELECT_ADDRESSES]; /* any of these; a name may have several */
	unsigned addrs;				/* 0: any address */
	unsigned prefix;			/* length in the address's own family */
	uint32_t ifindex;			/* 0: any */
	bool has_port;
	uint16_t port;
};

struct select_node {
	enum select_kind kind;
	enum select_side side;
	enum select_op op; /* of a port, a field or a program */
	int left, right;
	unsigned states;
	struct select_point point[2];
	enum cpl_field field;
	uint64_t value; /* of a field, or number of a row */
	bool excludes;	/* the states were told as those that are not meant */
	char name[112]; /* of a program, or a path; * and ? stand for anything */
};

struct select {
	struct select_node node[SELECT_NODES];
	int n;
	int root; /* -1: everything */
};

struct select_error {
	size_t at;  /* where in the text it went wrong */
	size_t len; /* and how many bytes of it are wrong; at least 1 */
	char text[SELECT_ERROR];
};

/*
 * Parses TEXT; empty text selects everything. Returns 0, or -EINVAL with ERROR filled. Looks up
 * names of hosts, if TEXT holds one.
 */
int select_parse(struct select *select, const char *text, struct select_error *error);

/*
 * True if the connection is selected; ROW is its number in the table, from 1.
 * UDP sockets have no state: connected ones count as established, others as closed.
 */
bool select_match(const struct select *select, const struct cpl_info *info, size_t row);

/* True if SELECT names both ends, A-B, and this connection is seen from A. */
bool select_first_end(const struct select *select, const struct cpl_info *info);

/* The TCP states that can match: SOURCE_STATE() bits for struct source_options. */
unsigned select_states(const struct select *select);
/* True if a match needs to know pid or program. */
bool select_needs_owners(const struct select *select);
/* True if a match needs more than addresses, state, queues and timers. */
bool select_needs_details(const struct select *select);
/* True if it needs what the kernel does not tell through sock_diag: sequence numbers and more. */
bool select_needs_block(const struct select *select);
/* True if it can match UNIX sockets only: by their path, or by the word "unix". */
bool select_names_unix(const struct select *select);
/* True if it names single rows, so that the table must be complete and in order. */
bool select_needs_rows(const struct select *select);

/* The order of the table: less than, equal to or greater than 0. */
int select_order(const struct cpl_info *a, const struct cpl_info *b);
/* Sorts into the order of the table, on which row numbers rest: the same each time. */
void select_sort(struct cpl_info *infos, size_t n);

/*
 * The connection whose name in some form of this grammar is nearest to TEXT, as an index into
 * INFOS, best first, at most MAX; returns how many are near enough to be worth a mention.
 */
size_t select_nearest(const char *text, const struct cpl_info *infos, size_t n, size_t *nearest,
		      size_t max);

#endif
