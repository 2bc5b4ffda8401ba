#!/bin/sh
# SPDX-License-Identifier: MIT
# The man pages are well formed.
n=0
status=0
for page in man/*.[1-8]; do
	[ -e "$page" ] || continue
	n=$((n + 1))
	if mandoc -T lint -W warning "$page" >&2; then
		echo "ok $n $page"
	else
		echo "not ok $n $page"
		status=1
	fi
done
[ $n -gt 0 ] && echo "1..$n" || echo "1..0 # SKIP there is no man page yet"
exit $status
