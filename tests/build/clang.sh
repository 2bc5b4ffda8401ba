#!/bin/bash
# SPDX-License-Identifier: MIT
# Every source compiles without a warning under clang as well, with and without CPL_DEBUG.
flags=$(cat "$OUT/flags")
defs=$(grep -o -- '-DHAVE_[A-Z_]*' <<<"$flags" | tr '\n' ' ')
n=0
status=0
for debug in "" -DCPL_DEBUG; do
	n=$((n + 1))
	name="every source compiles under clang${debug:+ with $debug}"
	if find src sim tests bench -name '*.c' -print0 2>/dev/null |
		xargs -0 -n 16 clang -std=gnu17 -Wall -Wextra -Werror -Iinclude -Isrc -I. $defs \
			$debug -O1 -fsyntax-only >&2; then
		echo "ok $n $name"
	else
		echo "not ok $n $name"
		status=1
	fi
done
n=$((n + 1))
# Without the optional libraries what needs them still compiles, to a word that says so.
if find src sim -name '*.c' -print0 2>/dev/null | xargs -0 -r -n 16 gcc -std=gnu17 -Wall -Wextra \
	-Werror -Iinclude -Isrc -I. -fsyntax-only >&2; then
	echo "ok $n every source compiles without the optional libraries"
else
	echo "not ok $n every source compiles without the optional libraries"
	status=1
fi
echo "1..$n"
exit $status
