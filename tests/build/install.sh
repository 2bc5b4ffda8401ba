#!/bin/bash
# SPDX-License-Identifier: MIT
# What `make install` installs is what a program and a reader need.
. tests/build/check.sh
root=$PWD/out/check/root

embed() # a program built with nothing but the installed files
{
	export PKG_CONFIG_LIBDIR=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
	cat >out/check/embed.c <<-C
		#include <stdio.h>
		#include <couplet/couplet.h>
		int main(void)
		{
			struct cpl_addr a;
			return cpl_addr_parse(&a, "192.0.2.1") || puts(CPL_VERSION) < 0;
		}
	C
	gcc -std=c99 -Wall -Wextra -Werror -o out/check/embed out/check/embed.c \
		$(pkg-config --cflags --libs couplet) &&
		[ "$(out/check/embed)" = "$(pkg-config --modversion couplet)" ]
}

command_runs()
{
	[ "$("$root/usr/bin/couplet" --version)" = "couplet $(out/check/embed)" ]
}

check "make install" make install DESTDIR="$root" prefix=/usr
check "a program finds the library by pkg-config" embed
check "the command runs" command_runs
for example in examples/*.c; do
	[ -e "$example" ] || continue
	check "$example builds with what is installed" \
		gcc -std=gnu17 -Wall -Wextra -Werror -o out/check/example "$example" \
		$(PKG_CONFIG_LIBDIR=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root \
			pkg-config --cflags --libs couplet)
done
for page in man/*.[1-8]; do
	[ -e "$page" ] || continue
	check "$page is installed" test -s "$root/usr/share/man/man${page##*.}/${page##*/}"
done
end
