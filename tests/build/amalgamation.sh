#!/bin/bash
# SPDX-License-Identifier: MIT
# The amalgamation compiles alone, links, and exports what libcouplet.a exports.
. tests/build/check.sh
one=out/check/amalgamation
libs=$(grep -oE -- '-DHAVE_[A-Z_]+|-isystem [^ ]+' "$OUT/flags" | tr '\n' ' ')

exports()
{
	nm -g --defined-only -j "$1" | grep '^[a-z_]*$' | sort
}

check "couplet.c and couplet.h are written" tools/amalgamate $one
check "couplet.c compiles under gcc" \
	gcc -std=gnu17 -Wall -Wextra -Werror -c -o $one/couplet.o $one/couplet.c
check "couplet.c compiles under clang" \
	clang -std=gnu17 -Wall -Wextra -Werror -fsyntax-only $one/couplet.c
check "couplet.c compiles under clang with CPL_DEBUG and what the build was given" \
	clang -std=gnu17 -Wall -Wextra -Werror -DCPL_DEBUG $libs -fsyntax-only $one/couplet.c
check "couplet.h is C99" gcc -std=c99 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c $one/couplet.h
check "couplet.h is C++" g++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only -x c++ $one/couplet.h
check "it exports what libcouplet.a exports" \
	diff <(exports "$OUT/libcouplet.a") <(exports $one/couplet.o)
end
