#!/bin/bash
# SPDX-License-Identifier: MIT
# couplet lab: what it shows, that it repeats itself, that it fits the screen, that mistakes are told.
COUPLET=${OUT:-out/release}/couplet
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0

check() { # NAME: the last command's status is the result
	local status=$? name=$1
	n=$((n + 1))
	if [ $status -eq 0 ]; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
	fi
}
lab() { "$COUPLET" lab "$@" >"$dir/out" 2>"$dir/err"; }
has() { grep -qE -- "$1" "$dir/out" || { echo "# missing: $1"; false; }; }
# Nothing is wider than the screen; characters are counted, not bytes.
narrow() { [ "$(LC_ALL=C.UTF-8 wc -L <"$dir/out")" -le 80 ] || { echo "# too wide"; false; }; }
short() { [ "$(wc -l <"$dir/out")" -le 40 ] || { echo "# $(wc -l <"$dir/out") lines"; false; }; }

echo "1..46"

# A real file, over a poor link.
head -c 300000 "$COUPLET" >"$dir/file"
lab --loss 2% --delay 40ms --rate 20mbit --seed 7 "$dir/file"
check "a file over a poor link ends with status 0"
sum=$(sha256sum "$dir/file" | cut -d' ' -f1)
[ "$(grep -c "SHA-256 .* $sum" "$dir/out")" = 2 ]
check "both ends have the SHA-256 that sha256sum computes"
has "300,000 of 300,000 bytes arrived, equal"
check "all octets arrived"
has 'client\$ netstat' && has 'server\$ netstat' && [ "$(grep -c 'ESTABLISHED$' "$dir/out")" -ge 2 ]
check "netstat of both hosts shows the connection"
has 'LISTEN' && has '10\.0\.0\.1' && has '10\.0\.0\.2:5001'
check "netstat shows addresses and the listener"
has 'snd_una' && has 'rcv_nxt' && has 'snd_nxt'
check "both control blocks are shown"
has 'the rules held at each'
check "the ends agree at every instant"
has 'SYN,ACK' && has 'FIN'
check "the ladder has handshake and close"
narrow
check "it fits 80 columns"
cp "$dir/out" "$dir/first"
lab --loss 2% --delay 40ms --rate 20mbit --seed 7 "$dir/file"
cmp -s "$dir/out" "$dir/first"
check "the same seed gives the same output"
lab --loss 2% --delay 40ms --rate 20mbit --seed 8 "$dir/file" && ! cmp -s "$dir/out" "$dir/first"
check "another seed gives another run, as right"

lab && has '262,144 of 262,144 bytes arrived, equal' && narrow
check "without a file it makes one up"
lab -6 --loss 1% && has 'fd00::1' && narrow
check "IPv6"
lab --loss 5% --reorder 5% --duplicate 3% --corrupt 2% --jitter 5ms --no-sack --no-timestamps
check "a very poor link, without SACK and timestamps"
lab --no-window-scaling --cc reno --mtu 576 --size 100k
check "no window scaling, reno, a small MTU"
: >"$dir/empty"
lab "$dir/empty" && has '0 of 0 bytes arrived, equal'
check "an empty file"
lab -v --size 20k && narrow && has 'len'
check "-v fits as well"

# --step: the fields that a segment changed, and in which block.
lab --step --size 3000 && narrow
check "--step ends with status 0 and fits"
has 'the client makes a control block: SYN-SENT' && has "server's block"
check "--step tells whose block it is"
has 'state +SYN-SENT -> ESTABLISHED' && has 'state +SYN-RECEIVED -> ESTABLISHED'
check "--step shows the states change"
has 'snd_nxt +iss\+1 -> iss\+' && has 'rcv_nxt +irs\+1 -> irs\+1449'
check "--step shows sequence numbers change, old to new"

# Stories: the verdict is the last line.
verdict() { # NAME WORDS
	lab --story "$1"
	local s=$?
	[ $s -eq 0 ] && tail -4 "$dir/out" | tr -s ' \n' ' ' | grep -qiE "$2" && narrow && short
}
verdict in-flight 'behind, will heal'
check "story in-flight"
verdict half-open 'disagree for good'
check "story half-open"
has 'ESTABLISHED'
check "half-open: one end is established"
verdict lost-fin 'behind, will heal'
check "story lost-fin"
has 'FIN-WAIT-1'
check "lost-fin: the client is in FIN-WAIT-1"
verdict restart 'disagree for good'
check "story restart"
verdict zero-window 'behind, will heal'
check "story zero-window"
has 'not sending +zero-wnd'
check "zero-window: the client's window is 0"
verdict simultaneous-open 'behind, will heal'
check "story simultaneous-open"
[ "$(grep -o SYN-RECEIVED "$dir/out" | wc -l)" -ge 2 ]
check "simultaneous-open: both are in SYN-RECEIVED"

# The verdicts come true: what followed.
followed() { lab -v --story "$1" && tr -s ' \n' ' ' <"$dir/out" | grep -qE "$2" && narrow; }
followed in-flight 'arrived, whole'
check "what was behind has healed: in-flight"
followed half-open 'client no block, server ESTABLISHED'
check "what disagrees for good has not healed: half-open"
followed lost-fin 'client TIME-WAIT, server no block'
check "what was behind has healed: lost-fin"
followed restart 'connection reset'
check "what disagrees ends with a reset: restart"
followed zero-window 'arrived, whole'
check "what was behind has healed: zero-window"
followed simultaneous-open 'One connection, and the file has arrived, whole'
check "what was behind has healed: simultaneous-open"

# Other outputs.
lab --svg "$dir/run.svg" --size 20k && [ -s "$dir/run-drawing.svg" ] && [ -s "$dir/run-ladder.svg" ] &&
	grep -q '</svg>' "$dir/run-states.svg"
check "--svg writes three pictures"
lab --json --size 50k && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))["snapshots"]
assert len(s) == 2 and s[0]["iss"] == s[1]["irs"] and s[1]["iss"] == s[0]["irs"]' "$dir/out"
check "--json holds both blocks"
lab --pcapng "$dir/run.pcapng" --size 50k && [ "$(od -An -tx4 -N4 "$dir/run.pcapng" | tr -d ' ')" = 0a0d0d0a ]
check "--pcapng writes a capture"

# Mistakes: one clear sentence, status 2 or 3.
mistake() { # STATUS WORDS ARGUMENTS
	local want=$1 words=$2
	shift 2
	lab "$@"
	[ $? -eq "$want" ] && grep -qE "$words" "$dir/err" && [ ! -s "$dir/out" ]
}
mistake 2 'loss: "2x" is no share: write it as 2%' --loss 2x &&
	mistake 2 'delay: "40" is no time' --delay 40 && mistake 2 'rate: "-1mbit"' --rate -1mbit &&
	mistake 2 'loss: "101%"' --loss 101% && mistake 2 'seed: "one"' --seed one
check "numbers without their units"
mistake 2 'did you mean "half-open"' --story halfopen && mistake 2 'no story "x"' --story x
check "a story that does not exist"
mistake 2 'does not exist' --bogus && mistake 2 'takes a value' --loss && mistake 2 'too many' a b
check "options that do not exist, lack a value, or are too many"
mistake 3 'cannot read ".*none"' "$dir/none" && mistake 3 'no regular file' "$dir"
check "files that cannot be read"
mistake 2 'IPv6 needs at least 1280' -6 --mtu 1000 && mistake 2 'drop: "0"' --drop 0
check "values that make no sense together"
lab --help && has 'usage: couplet lab' && has 'simultaneous-open' && narrow && short
check "--help"
