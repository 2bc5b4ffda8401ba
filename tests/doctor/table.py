# SPDX-License-Identifier: MIT
"""Which trouble couplet doctor names for an ordinary user, and which for root: docs/doctor.md's table.

    python3 tests/doctor/table.py [TROUBLE ...]

Each trouble of faults.py is made in a world of its own, as root; then doctor looks as root, and as a
user without rights from each host in turn: the best of what that user is told counts.
"""
import concurrent.futures
import json
import os
import random
import subprocess
import sys
import traceback

import faults
import trouble
from world import World, eventually

USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
SURE = ("certain", "derived", "likely")


def report(words, user=False):
    done = subprocess.run((USER if user else []) + [faults.COUPLET, "doctor", "--json", *words],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    return json.loads(done.stdout)["findings"] if done.returncode in (0, 1) else []


def told(findings, wanted):
    """How surely WANTED was named, and whether the program to blame was."""
    best = None
    for finding in findings:
        if finding["id"] != wanted:
            continue
        this = (SURE.index(finding["certainty"]), "pid" not in finding)
        best = this if best is None or this < best else best
    return best


def look_at(draw):
    world = World()
    thing = faults.made_of(draw, world, "1")[0]
    thing.prepare()
    eventually(thing.ripe, 40, 0.1)
    words = [thing.ask[1], str(thing.ask[2])] if thing.ask else ["--all"]
    rows = {}
    for expect in thing.expected():
        if not getattr(expect, 'optional', False):
            rows[expect.id] = [None, None]
    for as_user in (True, False):
        hosts = [thing.ask[0]] if thing.ask else world.hosts
        for host in hosts if as_user or thing.ask else [None]:
            if host:
                with host:
                    found = report(words, as_user)
            else:
                found = report(words)
            for wanted, row in rows.items():
                this = told(found, wanted)
                if this is not None and (row[not as_user] is None or this < row[not as_user]):
                    row[not as_user] = this
    print(json.dumps(rows))
    thing.undo()


def inside(draw):
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        look_at(draw)
        status = 0
    except Exception:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def enter(draw):
    done = subprocess.run(["unshare", "-mnp", "--fork", "--kill-child", "--mount-proc",
                           sys.executable, os.path.abspath(__file__), "--inside", draw],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=200)
    if done.returncode:
        print(f"{draw}: {done.stderr}", file=sys.stderr)
        return draw, {}
    return draw, json.loads(done.stdout.strip().splitlines()[-1])


def cell(value):
    if value is None:
        return "-"
    sure, nameless = value
    return SURE[sure] + (" " if nameless else ", with the program")


def main():
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2])
    rng = random.Random(1)
    draws = sys.argv[1:] or [rng.choice(faults.variants([c])) for c in trouble.ALL]
    rows = {}
    with concurrent.futures.ThreadPoolExecutor(faults.JOBS) as pool:
        for _, found in pool.map(enter, draws):
            for name, row in found.items():
                if name not in rows or rows[name][0] is None:
                    rows[name] = row
    print("| finding | ordinary user | root |\n|---|---|---|")
    for name, (user, root) in sorted(rows.items()):
        print(f"| {name.replace('_', '-')} | {cell(user).strip()} | {cell(root).strip()} |")


if __name__ == "__main__":
    main()
