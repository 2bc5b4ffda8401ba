#!/bin/sh
# SPDX-License-Identifier: MIT
# The plots of bench/goodput: made where gnuplot is there, else said not to be.
dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
echo 1..2
n=0
failed=0
ok() { # DESCRIPTION COMMAND...
	n=$((n + 1))
	what=$1
	shift
	if "$@"; then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		failed=1
	fi
}

# Each with the lines that it is about: a curve of gnuplot is a path, and its name a title.
drawn() {
	"$OUT/bench/goodput" plots dir="$dir" seconds=2 >"$dir/said" 2>&1 || return 1
	grep -q warning "$dir/said" && cat "$dir/said" && return 1
	for cc in bbr reno cubic dctcp; do
		for plot in goodput-loss cwnd shares; do
			[ $plot-$cc = shares-dctcp ] || grep -q ">[ ]*$cc" "$dir/$plot.svg" || return 1
		done
	done
	[ "$(grep -c '<path' "$dir/shares.svg")" -gt 12 ]
}
if command -v gnuplot >/dev/null; then
	ok "goodput draws goodput over loss, cwnd over time, and shares" drawn
else
	n=1
	echo "ok 1 - goodput draws plots # SKIP there is no gnuplot"
fi

absent() {
	PATH=$dir "$OUT/bench/goodput" plots dir="$dir/none" 2>"$dir/said" &&
		grep -q 'no plots: .*gnuplot-nox' "$dir/said" && [ ! -e "$dir/none" ]
}
ok "without gnuplot it says so, and goes on" absent
exit $failed
