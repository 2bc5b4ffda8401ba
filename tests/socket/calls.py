#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Socket calls on the kernel and on Couplet, the same ones: results, errnos, events, their order.

tests/interop/calls_*.c make the calls and print one case a line. They run in a network namespace
with the kernel's loopback, and under `couplet run` with Couplet's. Where a line differs, calls.differ
says why it may: a regular expression for the case, a tab, the reason. What stands there and does not
differ is an error too, so that the list stays true. Then the same with the stack in the program's
own threads, behind a TUN; with SOAK=1 all of it, in both of the ways.

    tests/socket/calls.py [PROGRAM...]    with -v: print every difference that is not justified
"""
import collections
import concurrent.futures
import itertools
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.abspath(os.environ.get("OUT", "out/release"))
PROGRAMS = ["calls_states", "calls_options", "calls_names", "calls_ready",
            "calls_carried", "calls_messages", "calls_ports", "calls_signals"]
SECONDS = 60


def lines_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=SECONDS, check=False)
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        lines.append(f"(ended with {done.returncode}: {done.stderr.strip()[-300:]})")
    return lines


def apart(command):
    """COMMAND in a network namespace of its own."""
    namespace = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
    return lines_of([*namespace, "sh", "-c", f"ip link set lo up && exec {command}"])


def on_the_kernel(program):
    return apart(program)


def on_couplet(program, how=None):
    if how:
        return apart(f"{OUT}/couplet run --quiet --link tun --inline {how} -- {program}")
    return lines_of([os.path.join(OUT, "couplet"), "run", "--quiet", "--link", "none", "--",
                     program])


def inline_runs(programs):
    """(PROGRAM, HOW): where another way out makes no difference to what it prints."""
    if not os.access("/dev/net/tun", os.W_OK):
        return []
    hows = ("alone", "all") if os.environ.get("SOAK") else ("alone",)
    short = () if os.environ.get("SOAK") else ("calls_options", "calls_messages", "calls_ports",
                                                   "calls_signals")
    return [(name, how) for name in programs for how in hows
            if name != "calls_names" and name not in short]


def path_of(name):
    return os.path.join(OUT, "tests/interop", name)


def justified():
    rules = []
    with open(os.path.join(HERE, "calls.differ"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                pattern, reason = line.rstrip("\n").split("\t")
                rules.append((re.compile(pattern), reason))
    return rules


def group_of(line):
    """'4 listening' of '4 listening bind: EINVAL...': what one test of many cases is called."""
    words = line.split(":")[0].split()
    return " ".join(words[:2]) if len(words) > 2 else " ".join(words[:1])


def compare(name, kernel, couplet, rules, used):
    """The tests of a run: their names, and pairs of lines that differ and may not."""
    groups = collections.OrderedDict()
    for wanted, got in itertools.zip_longest(kernel, couplet, fillvalue="(nothing)"):
        group = groups.setdefault(group_of(wanted if wanted != "(nothing)" else got), [0, []])
        group[0] += 1
        if wanted == got:
            continue
        for pattern, _ in rules:
            if pattern.search(wanted):
                used[pattern] += 1
                break
        else:
            group[1].append((wanted, got))
    return [(f"{name}: {group}: {count} calls answer as the kernel's", wrong)
            for group, (count, wrong) in groups.items()]


def main():
    verbose = "-v" in sys.argv
    programs = [a for a in sys.argv[1:] if a != "-v"] or PROGRAMS
    rules = justified()
    used = collections.Counter()
    tests = []
    runs = [(name, None) for name in programs] + inline_runs(programs)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # they wait more than they work
        kernel = dict(zip(programs, pool.map(lambda name: on_the_kernel(path_of(name)), programs)))
        couplet = list(pool.map(lambda run: on_couplet(path_of(run[0]), run[1]), runs))
    for (name, how), lines in zip(runs, couplet):
        tests += compare(f"{name}, inline {how}" if how else name, kernel[name], lines, rules, used)
    if not sys.argv[1:]:
        for pattern, reason in rules:
            stale = [] if used[pattern] else [(f"{pattern.pattern} ({reason})", "does not differ")]
            tests.append((f"a difference that is there: {pattern.pattern}", stale))
    print(f"1..{len(tests)}")
    for number, (text, wrong) in enumerate(tests, 1):
        print(f"{'not ok' if wrong else 'ok'} {number} - {text}")
        for wanted, got in wrong[:None if verbose else 4]:
            print(f"#   kernel:  {wanted}\n#   couplet: {got}")
    return 1 if any(wrong for _, wrong in tests) else 0


if __name__ == "__main__":
    sys.exit(main())
