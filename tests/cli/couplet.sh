#!/bin/sh
# SPDX-License-Identifier: MIT
# The command's front: help, version, suggestions, exit status, output that cannot be written.
couplet=${CHECK_OUT:-out/release}/couplet
n=0
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# expect NAME STATUS OUT-PATTERN ERR-PATTERN ARGUMENTS...: a pattern "" means that nothing may come.
expect() {
	name=$1 status=$2 out=$3 err=$4
	shift 4
	n=$((n + 1))
	"$couplet" "$@" >"$tmp/out" 2>"$tmp/err"
	got=$?
	why=
	[ "$got" -eq "$status" ] || why="status $got"
	for stream in out err; do
		eval "pattern=\$$stream"
		if [ -z "$pattern" ]; then
			[ -s "$tmp/$stream" ] && why="$why; std$stream: $(head -n 1 "$tmp/$stream")"
		else
			grep -q -- "$pattern" "$tmp/$stream" || why="$why; std$stream lacks: $pattern"
		fi
	done
	[ -z "$why" ] && echo "ok $n $name" || { echo "# $why"; echo "not ok $n $name"; }
}

version=$(sed -n 's/.*define CPL_VERSION "\(.*\)"/\1/p' include/couplet/couplet.h)
expect "version" 0 "^couplet $version\$" "" --version
expect "help lists the commands" 0 "couplet explain" "" --help
expect "help says the exit status" 0 "3 could not" "" --help
expect "help of a command" 0 "^usage: couplet explain \[WORD|ROW" "" explain --help
expect "help command" 0 "^usage: couplet explain \[WORD|ROW" "" help explain
expect "unknown command: suggestion" 2 "" 'did you mean "explain"' explian
expect "unknown command: the list" 2 "" 'couplet --help' xyzzyx
expect "unknown option" 2 "" 'there is no option "--frobnicate"' --frobnicate
expect "help of an unknown command" 2 "" 'there is no subcommand "nothing-like-it"' help nothing-like-it
expect "explain: list by theme" 0 "^States" "" explain
expect "explain: a state" 0 "^time-wait - TIME-WAIT" "" explain TIME_WAIT
expect "explain: several words are one" 0 "^syn cookie - " "" explain syn cookie
expect "explain: a field" 0 "^snd_wl1 - a field" "" explain snd_wl1
expect "explain: unknown word" 2 "" 'did you mean "nagle"' explain nagel
expect "explain: nothing near" 2 "" '"couplet explain" lists' explain xyzzyxyzzy
expect "explain: no escape sequences back" 2 "" '"?\[31mx" is not explained' explain "$(printf '\033[31mx')"
expect "explain: too long" 2 "" "no word is as long" explain "$(printf '%0200d' 0)"

for command in explain lab; do
	n=$((n + 1))
	"$couplet" $command >/dev/full 2>"$tmp/err"
	if [ $? -eq 3 ] && grep -q "cannot write the output: No space left" "$tmp/err" &&
		[ "$(wc -l <"$tmp/err")" -eq 1 ]; then
		echo "ok $n $command: a full disk is told"
	else
		sed 's/^/# /' "$tmp/err"
		echo "not ok $n $command: a full disk is told"
	fi
done

# Every subcommand answers --help, and its page exists.
for command in $("$couplet" --help | sed -n 's/.* couplet \([a-z]*\) .*/\1/p' | sort -u); do
	expect "$command --help" 0 "^usage: couplet $command" "" "$command" --help
	n=$((n + 1))
	if [ "$(tail -n 1 "$tmp/out")" = "More: man couplet-$command" ] &&
		[ "$(LC_ALL=C.UTF-8 wc -L <"$tmp/out")" -le 80 ]; then
		echo "ok $n $command --help has 80 columns and ends with where there is more"
	else
		echo "not ok $n $command --help has 80 columns and ends with where there is more"
	fi
	n=$((n + 1))
	if [ -f "man/couplet-$command.1" ]; then
		echo "ok $n $command has a page"
	else
		echo "not ok $n $command has a page"
	fi
done

# refused COMMAND SENTENCE ARGUMENTS...: that sentence and the usage, nothing else.
refused() {
	command=$1 sentence=$2
	shift 2
	expect "$command $*: $sentence" 2 "" "^couplet $command: $sentence; --help" "$command" "$@"
	n=$((n + 1))
	if [ "$(wc -l <"$tmp/err")" -eq 2 ] && sed -n 2p "$tmp/err" | grep -q '^usage: '; then
		echo "ok $n $command $*: in one sentence"
	else
		sed 's/^/# /' "$tmp/err"
		echo "not ok $n $command $*: in one sentence"
	fi
}
for command in $("$couplet" --help | sed -n 's/.* couplet \([a-z]*\) .*/\1/p' | sort -u); do
	[ "$command" = explain ] && continue # to which it is a word
	refused "$command" "option --frobnicate does not exist like this" --frobnicate
	refused "$command" "there is no option -Q" -Q
done
refused show "there is no option -Q" -aQv :1
refused show "there is no option -Q" --all -Qv :1
refused show "option --all=5 does not exist like this" --all=5 :1
refused lab "option --delay takes a value" --delay
refused pair "option --peer takes a value" --peer
refused record "option -s takes a value" -s
refused record "option -s takes a value" -xs
# Options may stand behind what they are about.
refused show "there is no option -Q" :1 -Q
refused pair "there is no option -Q" :1 -Q
refused doctor "there is no option -Q" 127.0.0.1 1 -Q
refused watch "there is no option -Q" :1 -Q
refused record "there is no option -Q" -f 0 -s "$tmp/x.db" :1 -Q
refused serve "option --port takes a value" --port
refused get "option -o takes a value" -o
refused run "option --publish takes a value" --publish
refused wire "option --for takes a value" --for

# Without colour on a pipe, and with none if NO_COLOR is set.
n=$((n + 1))
if TERM=xterm "$couplet" explain tcb | grep -q "$(printf '\033')"; then
	echo "not ok $n no colour on a pipe"
else
	echo "ok $n no colour on a pipe"
fi
echo "1..$n"
