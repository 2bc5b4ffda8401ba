/* SPDX-License-Identifier: MIT */
/*
 * For counting instructions: valgrind --tool=callgrind --instr-atstart=no
 * --toggle-collect='measured*' PROGRAM ... A program marks what is to be counted APART, names it
 * measured_..., and calls count_from_here() before it: until then it runs at a tenth of the cost.
 */
#ifndef BENCH_APART_H
#define BENCH_APART_H

/* A function of its own, which callgrind can find by name. */
#ifdef __clang__
#define APART __attribute__((noinline))
#else
#define APART __attribute__((noipa))
#endif

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define count_from_here() CALLGRIND_START_INSTRUMENTATION
#else
#define count_from_here() ((void)0)
#endif

#endif
