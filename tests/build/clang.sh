#!/bin/bash
# SPDX-License-Identifier: MIT
# Every source compiles without a warning under clang as well; the programs for the kernel
# (src/source/bpf), which only clang makes, do so when they are built.
. tests/build/check.sh
# What the build was given for the optional libraries: words, paths and the generated BPF loaders.
libs=$(grep -oE -- '-DHAVE_[A-Z_]+|-isystem [^ ]+|-I[^ ]+/bpf' "$OUT/flags" | tr '\n' ' ')

compile() # compiler and flags..., the files on standard input
{
	xargs -r -n 16 "$@" -std=gnu17 -Wall -Wextra -Werror -Iinclude -Isrc -I. -fsyntax-only >&2
}

# The library's own, with CPL_DEBUG and without: as one source, in amalgamation.sh.
library='src/(base|trace|wire|loss|cc|ip|tcp|stack|link|host)/'
check "every source above the library compiles under clang" \
	compile clang $libs -DCPL_DEBUG < <(find src sim tests bench examples -name '*.c' \
		! -name '*.bpf.c' | grep -vE "^$library")
check "none of them differs by CPL_DEBUG" \
	[ ! "$(grep -rlE 'CPL_DEBUG|DEBUG_ASSERT' --include='*.[ch]' src sim | grep -vE "^$library")" ]
# What needs an optional library compiles without it, to a word that says so.
check "every source compiles without the optional libraries" \
	compile gcc < <(grep -rl HAVE_ --include=*.c src sim)
end
