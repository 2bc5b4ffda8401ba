#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet doctor: what its arguments mean, what it ends with and what it says it did not see, in a
network namespace of its own. That it names each trouble rightly is tests/doctor/faults.py's."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

COUPLET = os.path.abspath(os.path.join(os.environ.get("OUT", "out/release"), "couplet"))
INSIDE = os.environ.get("DOCTOR_INSIDE")
TESTS = []
HELD = []


def test(function):
    TESTS.append(function)
    return function


def run(*args, watch="--for=0.1", **more):
    """A short look, where nothing more is asked for."""
    return subprocess.run([COUPLET, "doctor", *watch.split(), *args], text=True, capture_output=True, timeout=30,
                          **more)


def found(*args, status=1, **more):
    """The ids of what is found, and the whole report."""
    done = run("--json", *args, **more)
    assert done.returncode == status, f"{args}: {done.returncode}: {done.stdout}{done.stderr}"
    report = json.loads(done.stdout)
    return [f["id"] for f in report["findings"]], report


def connection(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(8)
    caller = socket.create_connection(("127.0.0.1", port))
    server, _ = listener.accept()
    HELD.extend((listener, server))
    return caller, server


def setup():
    """Port 7001 is well, the server of port 7002 accepts nobody."""
    HELD.append(connection(7001)[0])
    lazy = socket.socket()
    lazy.bind(("127.0.0.1", 7002))
    lazy.listen(0)
    HELD.append(lazy)
    for _ in range(3):
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(("127.0.0.1", 7002))
        HELD.append(caller)


@test
def a_connection_that_is_well():
    ids, report = found(":7001", status=0)
    assert ids == [] and report["connections"] == 2 and report["pairs"] == 1, report
    assert report["checks"] > 0 and not report["trouble"]
    text = run(":7001")
    assert text.returncode == 0 and "no trouble found" in text.stdout, text
    assert "127.0.0.1:7001" in text.stdout and "ESTABLISHED" in text.stdout


@test
def how_long_to_watch():
    begun = time.monotonic()
    assert run(":7001", watch="-f 0.7").returncode == 0
    assert time.monotonic() - begun > 0.7
    # Too short a look leaves something open, and says so.
    caller, server = connection(7004)
    caller.close()
    _, report = found(":7004", status=0)
    assert any("--for=3" in clause for clause in report["not_looked_at"]), report
    server.close()


@test
def two_words_are_a_destination():
    listener = HELD[0]
    threading.Thread(target=lambda: HELD.append(listener.accept()[0]), daemon=True).start()
    done = run("127.0.0.1", "7001")
    assert "SYN" in done.stdout and "handshake" in done.stdout, done
    refused = run("127.0.0.1:7999")
    assert refused.returncode == 1 and "no-listener" in refused.stdout, refused
    # A keyword of the grammar for connections is none.
    assert 'no connection is called "sport 7999"' in run("sport", "7999").stderr
    assert "no connection is called" in run("127.0.0.1:1-127.0.0.1:2").stderr


@test
def from_files():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "here.json")
        subprocess.run([COUPLET, "snap", "-o", path], check=True, capture_output=True, timeout=20)
        _, report = found("--from", path, ":7001", status=0)
        assert any("moment" in clause for clause in report["not_looked_at"]), report
        with open(path, "w", encoding="utf-8") as file:
            file.write("{}")
        bad = run("--from", path)
        assert bad.returncode == 3 and path in bad.stderr, bad
    missing = run("--from=/nonexistent")
    assert missing.returncode == 3 and "/nonexistent" in missing.stderr, missing


@test
def usage():
    for args in (("--for=0", "x"), ("--for=x",), ("--nonsense",), ("--all", "x"), ("sport =",),
                 ("--from=a", "--from=b", "--from=c"), ("--peer=ssh:x", "--from=y"), ("--peer=x",)):
        done = run(*args)
        assert done.returncode == 2 and done.stderr.startswith("couplet doctor: "), (args, done)
    assert run(":7998").returncode == 1
    helped = run("--help")
    assert helped.returncode == 0 and all(len(s) <= 80 for s in helped.stdout.splitlines())


@test
def a_peer_that_is_none():
    done = run("--peer-cmd=false")
    assert done.returncode == 3 and done.stderr.startswith("couplet doctor: "), done


@test
def an_ordinary_user_is_told_what_was_not_seen():
    if INSIDE != "root":
        return "needs root to become another user"
    try:
        done = run(":7001", user=65534, group=65534, extra_groups=[])
    except (PermissionError, subprocess.SubprocessError) as error:
        return f"another user cannot be had: {error}"
    assert "Not looked at: " in done.stdout, done
    assert "sudo couplet doctor --for=0.1 :7001" in done.stdout.replace("\n", " "), done.stdout
    assert "no trouble found in what was looked at" in done.stdout.replace("\n", " "), done.stdout
    return None


@test
def one_that_is_not_with_its_culprit():
    ids, report = found(":7002")
    assert ids == ["accept_queue_full"], report
    finding = report["findings"][0]
    assert finding["pid"] == os.getpid() and finding["program"].startswith("python"), finding
    assert finding["x"]["state"] == "LISTEN" and finding["x"]["local"] == "127.0.0.1:7002"
    assert finding["x"]["fd"] == HELD[3].fileno()
    assert finding["weight"] == "trouble" and finding["evidence"] and finding["next"]


@test
def without_arguments_all_are_looked_at():
    for args, watch in (((), ""), (("--all",), "--for=0.1")):
        _, report = found(*args, watch=watch)
        mine = [f for f in report["findings"] if f.get("pid") == os.getpid()]
        assert [f["id"] for f in mine] == ["accept_queue_full"], report
        assert report["what"] == "every connection"


@test
def people_are_told_in_80_columns():
    done = run(":7002", env=dict(os.environ, COLUMNS="80", LC_ALL="C"))
    assert done.returncode == 1 and done.stdout.isascii(), done.stdout
    assert "the program does not take its connections (accept-queue-full)" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines()), done.stdout
    for label in ("Where", "Why", "Seen", "Sure", "Next"):
        assert f"\n  {label}  " in done.stdout, label


def inside():
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)  # no named namespaces
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    setup()
    print(f"1..{len(TESTS)}", flush=True)
    failed = 0
    for number, function in enumerate(TESTS, 1):
        try:
            reason = function()
            verdict = "ok"
        except Exception:
            failed += 1
            reason, verdict = None, "not ok"
            print("\n".join("# " + s for s in traceback.format_exc().splitlines()))
        print(f"{verdict} {number} {function.__name__.replace('_', ' ')}" +
              (f" # SKIP {reason}" if reason else ""), flush=True)
    sys.exit(1 if failed else 0)


def main():
    if INSIDE:
        inside()
    if not shutil.which("ip") or not shutil.which("unshare"):
        print("1..0 # SKIP ip or unshare is not installed")
        return
    for kind, flags in (("root", "-mnp"), ("user", "-rmnp")):
        how = ["unshare", flags, "--fork", "--kill-child", "--mount-proc"]
        if subprocess.run(how + ["true"], capture_output=True).returncode == 0:
            env = dict(os.environ, DOCTOR_INSIDE=kind)
            os.execvpe("unshare", how + [sys.executable, os.path.abspath(__file__)], env)
    print("1..0 # SKIP no network namespace can be made")


main()
