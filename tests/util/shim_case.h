/* SPDX-License-Identifier: MIT */
/* What the programs of shim_cases.h have in common. */
#ifndef TESTS_UTIL_SHIM_CASE_H
#define TESTS_UTIL_SHIM_CASE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ECHO_PORT 7

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			printf("%s:%d: %s (errno %d: %s)\n", __func__, __LINE__, #what, errno,     \
			       strerror(errno));                                                   \
			fflush(stdout);                                                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* A connection to PORT of host 0, which need not listen yet. */
int case_dial(uint16_t port);
int case_listener(uint16_t port);
/* Octet number AT of the pattern. */
uint8_t case_octet(size_t at);
/* Send WORD and expect it back. */
void case_say(int fd, const char *word);

/* shim_cases_stream.c */
int case_echo(char **argv);
int case_sendfile(int fd); /* to an echo */
int case_stream(char **argv);
/* shim_cases_wait.c */
int case_mixed(void);
int case_burst(void);
int case_lone(void);
int case_giver(void);
int case_asleep(void);
int case_signals(void);
int case_limit(void);
int case_cancel(void);
int case_workers(void);
int case_beside(void);
int case_storm(void);
/* shim_cases_wake.c */
int case_wakes(void);
/* shim_cases_shut.c */
int case_shut_in(char **argv);
/* shim_cases_crowd.c */
int case_crowd(char **argv);
/* shim_cases_lost.c */
int case_lost(void);

#endif
