#!/bin/sh
# SPDX-License-Identifier: MIT
# The man pages are well formed; each subcommand has one, and couplet(1) names it.
n=0
status=0
result() { # STATUS NAME
	n=$((n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $n $2"
	else
		echo "not ok $n $2"
		status=1
	fi
}

for page in man/*.[1-8]; do
	[ -e "$page" ] || continue
	mandoc -T lint -W warning "$page" >&2
	result $? "$page"
done
for name in $(sed -n 's/^COMMAND([A-Z]*, \([a-z]*\),.*/\1/p' src/cli/commands.def); do
	[ -e "man/couplet-$name.1" ] &&
		grep -q "^\.It Cm $name\$" man/couplet.1 && grep -q "^\.Xr couplet-$name 1" man/couplet.1
	result $? "couplet $name has a page, and couplet(1) names it"
done
echo "1..$n"
exit $status
