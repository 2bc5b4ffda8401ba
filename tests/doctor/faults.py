#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Troubles made for real, and what couplet doctor --all says of them: each by its name, on the
right connection, program and host, and nothing else.

Each draw is a world of its own (see world.py) with one or two troubles, or none, beside things that
look odd and are well. Without arguments: each trouble alone, some pairs, everything healthy at
once. SOAK=1: each variant of each, 200 draws by seed, and a busier host. To repeat one:

    tests/doctor/faults.py 'BlackHole(cable)' 'CloseWaitStuck(one) + HalfOpen(lost RST) | Churn'
    SEED=17 tests/doctor/faults.py
    SEED=17-400 tests/doctor/faults.py

What stands behind "|" is healthy. JOBS=n: so many worlds at a time.
"""
import concurrent.futures
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import healthy
import trouble
from world import World, eventually

OUT = os.environ.get("OUT", "out/release")
COUPLET = os.path.abspath(os.path.join(OUT, "couplet"))
SOAK = bool(os.environ.get("SOAK"))
JOBS = int(os.environ.get("JOBS", 10))
ROOT = os.getuid() == 0 and not os.environ.get("AS_USER")
CLASSES = {c.__name__: c for c in trouble.ALL + healthy.ALL}
PAIRS = 6
DRAWS = 200


# ---- What is drawn -----------------------------------------------------------------------------

def variants(classes):
    return [f"{c.__name__}({v})" if v else c.__name__ for c in classes for v in c.variants]


def drawn(seed):
    """One or two troubles and up to three healthy things."""
    rng = random.Random(seed)
    troubles = rng.sample(variants(c for c in trouble.ALL if c is not trouble.ConntrackFull),
                          rng.choice((1, 2, 2)))
    beside = rng.sample(variants(healthy.ALL), rng.randint(0, 3))
    return " + ".join(troubles) + (" | " + " + ".join(beside) if beside else "")


def fixed():
    """The cut for every day, what takes longest first."""
    rng = random.Random(9293)
    singles = [rng.choice(variants([c])) for c in trouble.ALL]
    pairs = [" + ".join(rng.choice(variants([c])) for c in rng.sample(trouble.ALL[:-1], 2))
             for _ in range(PAIRS)]
    if SOAK:
        singles = variants(trouble.ALL)
    slow = [draw for draw in singles + pairs if "CloseWaitStuck" in draw]
    calm = [name for name in variants(healthy.ALL) if possible(name)]
    return [" | " + " + ".join(calm)] + slow + [d for d in singles + pairs if d not in slow]


def named(draw):
    """The troubles and healthy things that DRAW names: [(name, variant)]."""
    things = []
    for word in filter(None, re.split(r"\s*[+|]\s*", draw.strip())):
        match = re.fullmatch(r"(\w+)(?:\((.*)\))?", word)
        if not match or match.group(1) not in CLASSES:
            sys.exit(f"faults.py: {word!r}: there is no such trouble; see trouble.py, healthy.py")
        things.append((match.group(1), match.group(2) or ""))
    return things


def made_of(draw, world, seed):
    return [CLASSES[name](world, number, random.Random(f"{seed} {number} {name}"), variant)
            for number, (name, variant) in enumerate(named(draw), 1)]


# ---- What doctor says --------------------------------------------------------------------------

def doctor(*words):
    """What it says of WORDS, as JSON gives it."""
    env = dict(os.environ)
    env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":exitcode=99"
    done = subprocess.run([COUPLET, "doctor", "--json", *words], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, env=env)
    assert done.returncode in (0, 1), f"doctor: status {done.returncode}: {done.stderr[-2000:]}"
    report = json.loads(done.stdout)
    troubled = any(f["weight"] == "trouble" for f in report["findings"])
    assert done.returncode == int(troubled), f"doctor: status {done.returncode}: {done.stdout}"
    return report


def ends_of(finding):
    """The addresses and ports that the finding names, of whichever ends it tells."""
    return {finding[side][which] for side in ("x", "y") if side in finding
            for which in ("local", "remote") if which in finding[side]}


def netns_of(finding):
    """Of every host that it names."""
    return {finding[side]["netns"] for side in ("x", "y") if "netns" in finding.get(side, {})} | \
        ({finding["netns"]} if "netns" in finding else set())


def fits(expect, finding):
    if finding["id"] != expect.id:
        return False
    if expect.ends and not expect.ends <= ends_of(finding):
        return False
    if expect.pids and finding.get("pid") not in expect.pids:
        return False
    if expect.netns and not netns_of(finding) & set(expect.netns):
        return False
    return finding.get("times", 1) >= expect.times


def compare(expected, findings):
    """What is missing and what is too much, in words."""
    left, wrong = list(findings), []
    for expect in expected:
        found = [f for f in left if fits(expect, f)]
        if found:
            left.remove(found[0])
        else:
            wrong.append(f"missing: {expect}")
    wrong += [f"too much: {json.dumps(f)[:1500]}" for f in left]
    return wrong


# ---- One world ---------------------------------------------------------------------------------

def judge(things):
    """What doctor --all says of THINGS: its report, and what is wrong with it."""
    expected = [e for thing in things if not thing.ask for e in thing.expected()]
    for _ in range(3 if any(thing.chance for thing in things) else 1):
        report = doctor("--all")
        wrong = compare(expected, report["findings"])
        if not wrong:
            break
    return report, wrong


def look_at(draw, seed):
    """In a world of its own. Returns the exit status."""
    world = World()
    things = made_of(draw, world, seed)
    for thing in things:
        thing.prepare()
    for thing in things:
        eventually(thing.ripe, 40, 0.1, why=f"{thing} does not ripen")
    calm = [thing for thing in things if isinstance(thing, healthy.Healthy)]
    for thing in calm:
        thing.alive()
    begun = time.monotonic()
    report, wrong = judge(things)
    print(f"doctor: {time.monotonic() - begun:.2f} s", file=sys.stderr)
    for thing in calm:
        thing.alive()
    for thing in things:
        if thing.ask:
            host, address, port = thing.ask
            with host:
                wrong += compare(thing.expected(), doctor(address, str(port))["findings"])
    if not wrong and len(things) > len(calm) + 1:  # what is mended is not named any more
        things.pop(0).undo()
        report, wrong = judge(things)
    for line in wrong:
        print(line)
    if wrong and os.environ.get("VERBOSE"):
        for host in world.hosts:
            print(f"---- {host.name} {host.netns}\n{host.run('ss', '-tanioOp').stdout}")
        print(json.dumps(report, indent=1))
    for thing in things:
        thing.undo()
    return 1 if wrong else 0


def inside(draw, seed):
    """As the first process of a world."""
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        status = look_at(draw, seed)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # takes all that is left with it


def enter(draw, seed):
    """A new world for DRAW. (status, output, seconds)"""
    how = ["unshare", "-mnp" if ROOT else "-rmnp", "--fork", "--kill-child", "--mount-proc"]
    begun = time.monotonic()
    env = dict(os.environ, OUT=os.path.abspath(OUT))
    env.pop("XDG_RUNTIME_DIR", None)
    done = subprocess.run(how + [sys.executable, os.path.abspath(__file__), "--inside", draw,
                                 str(seed)], capture_output=True, text=True, env=env,
                          stdin=subprocess.DEVNULL, timeout=200)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - begun


# ---- The frame ---------------------------------------------------------------------------------

def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def possible(draw):
    """Whether it needs no more rights than we have."""
    return ROOT or not any(variant in CLASSES[name].root for name, variant in named(draw))


def sentence(draw):
    troubles, _, calm = draw.partition("|")
    if not troubles.strip():
        return f"nothing is said of {calm.count('+') + 1} odd but healthy things at once"
    words = " and ".join(t.strip() for t in troubles.split("+"))
    beside = f" beside {calm.strip()}" if calm else ""
    return f"doctor names {words}{beside} and nothing else"


def main():
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2], sys.argv[3])
    for tool in ("ip", "unshare", "nft", "ss"):
        if not shutil.which(tool):
            skip(f"{tool} is not installed")
    probe = subprocess.run(["unshare", "-mnp" if ROOT else "-rmnp", "--fork", "--mount-proc",
                            "true"], capture_output=True, text=True)
    if probe.returncode:
        skip("no namespaces: " + probe.stderr.strip().split("\n")[0])
    seeds = {}
    if sys.argv[1:]:
        draws = [(draw, os.environ.get("SEED", "1")) for draw in sys.argv[1:]]
    elif os.environ.get("SEED"):
        first, _, last = os.environ["SEED"].partition("-")
        seeds = {drawn(str(n)): str(n) for n in range(int(first), int(last or first) + 1)}
        draws = list(seeds.items())
    else:
        draws = [(draw, "1") for draw in fixed()]
        if SOAK:
            draws.append(("| Crowd(1000)", "1"))
            seeds = {drawn(str(n)): str(n) for n in range(1, DRAWS + 1)}
            draws += list(seeds.items())
    print(f"1..{len(draws)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        results = pool.map(lambda d: enter(*d) if possible(d[0]) else None, draws)
        for number, (draw, result) in enumerate(zip(draws, results), 1):
            if not result:
                print(f"ok {number} {sentence(draw[0])} # SKIP needs root", flush=True)
                continue
            status, output, seconds = result
            if status:
                failed += 1
                print("\n".join("# " + line for line in output.splitlines()))
                again = f"SEED={draw[1]} tests/doctor/faults.py" + \
                    ("" if draw[0] in seeds else f" '{draw[0]}'")
                print(f"# again: {again}")
            print(f"{'not ' if status else ''}ok {number} {sentence(draw[0])}", flush=True)
            print(f"{seconds:6.2f} s  {draw[0]}", file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
