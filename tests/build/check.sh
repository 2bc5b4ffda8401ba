# SPDX-License-Identifier: MIT
# What the tests of the build share, to be read by "." first: TAP for one command after the other.
n=0
status=0

check() # name command...
{
	n=$((n + 1))
	name=$1
	shift
	if "$@" >&2; then
		echo "ok $n $name"
	else
		echo "not ok $n $name"
		status=1
	fi
}

end()
{
	echo "1..$n"
	exit $status
}
