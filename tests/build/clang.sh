#!/bin/bash
# SPDX-License-Identifier: MIT
# Every source compiles without a warning under clang as well, with and without CPL_DEBUG.
defs=$(grep -o -- '-DHAVE_[A-Z_]*' "$OUT/flags" | tr '\n' ' ')
n=0
status=0

compile() # compiler and flags..., the files on standard input
{
	xargs -r -n 16 "$@" -std=gnu17 -Wall -Wextra -Werror -Iinclude -Isrc -I. -fsyntax-only >&2
}

check() # name command...
{
	n=$((n + 1))
	if "${@:2}"; then
		echo "ok $n $1"
	else
		echo "not ok $n $1"
		status=1
	fi
}

check "every source compiles under clang with CPL_DEBUG" \
	compile clang $defs -DCPL_DEBUG < <(find src sim tests bench examples -name '*.c')
check "every source of the library and the command compiles under clang" \
	compile clang $defs < <(find src sim -name '*.c')
# What needs an optional library compiles without it, to a word that says so.
check "every source compiles without the optional libraries" \
	compile gcc < <(grep -rl HAVE_ --include=*.c src sim)
echo "1..$n"
exit $status
