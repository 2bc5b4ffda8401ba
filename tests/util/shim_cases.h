/* SPDX-License-Identifier: MIT */
/* For tests of the library that programs are run with: small programs, each checks itself. */
#ifndef TESTS_UTIL_SHIM_CASES_H
#define TESTS_UTIL_SHIM_CASES_H

/*
 * Run the program NAME with its arguments: host 0 is 10.9.0.1, where an echo listens on port 7.
 * Returns its exit status: 0 fine, 1 with what was wrong on stdout, 2: no such program.
 */
int shim_case(int argc, char **argv);

#endif
