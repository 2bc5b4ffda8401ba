# SPDX-License-Identifier: MIT
"""Tests of the tools: functions whose name starts with test_, run and printed as TAP.

Each gets an empty directory of its own, in which write() makes files.
"""
import os
import subprocess
import sys
import tempfile
import traceback

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def write(top, path, text, mode=0o644):
    path = os.path.join(top, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def run(*argv, **more):
    """(exit status, standard output and error)"""
    done = subprocess.run(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, cwd=TOP, **more)
    return done.returncode, done.stdout


def main(names):
    tests = [(n, f) for n, f in names.items() if n.startswith("test_")]
    print(f"1..{len(tests)}")
    failed = 0
    for number, (name, test) in enumerate(tests, 1):
        with tempfile.TemporaryDirectory() as top:
            try:
                test(top)
                print(f"ok {number} - {name[5:]}", flush=True)
            except Exception:
                failed += 1
                for line in traceback.format_exc().strip().split("\n"):
                    print("#", line)
                print(f"not ok {number} - {name[5:]}", flush=True)
    sys.exit(1 if failed else 0)
