#!/bin/sh
# SPDX-License-Identifier: MIT
# Every public header compiles by itself as strict C99 and as C++11, every internal one as GNU C17;
# those of src/source/bpf, which hold the kernel's types and need -target bpf, do so when built.
. tests/build/check.sh
# Where the build found the optional libraries.
libs=$(grep -oE -- '-DHAVE_[A-Z_]+|-isystem [^ ]+|-I[^ ]+/bpf' "$OUT/flags" | tr '\n' ' ')

include() # header: a source that includes it twice
{
	printf '#include <%s>\n#include <%s>\n' "$1" "$1"
}

c99()
{
	include "$1" | gcc -std=c99 -pedantic -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c -
}

cxx()
{
	include "$1" | "$2" -std=c++11 -Wall -Wextra -Werror -Iinclude -fsyntax-only -x c++ -
}

internal()
{
	for header in $(find src sim tests/util -name '*.h' ! -path 'src/source/bpf/*'); do
		include "$header" | gcc -std=gnu17 -Wall -Wextra -Werror -Iinclude -Isrc -I. \
			$libs -fsyntax-only -x c - || { echo "$header does not compile alone"; return 1; }
	done
}

for path in include/couplet/*.h; do
	header=${path#include/}
	check "$header is C99" c99 "$header"
	check "$header is C++ to g++" cxx "$header" g++
	check "$header is C++ to clang++" cxx "$header" clang++
done
check "every internal header compiles alone" internal
end
