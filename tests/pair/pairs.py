# SPDX-License-Identifier: MIT
"""What the tests of couplet pair share: hosts of their own (tests/doctor/world.py), couplet in them,
TAP output.

A test program calls main(tests) and runs again inside PID, mount and network namespaces of its own,
without root in a user namespace as well, in which it is root.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "doctor"))
from packets import ACK, PSH  # noqa: E402
from world import World, eventually, run  # noqa: E402, F401

OUT = os.path.abspath(os.environ.get("OUT", "out/release"))
COUPLET = os.path.join(OUT, "couplet")
SOAK = bool(os.environ.get("SOAK"))
ROOT = os.environ.get("PAIR_INSIDE") == "root"


class Said:
    """What a run of couplet gave."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __str__(self):
        return f"status {self.status}\n{self.out}{self.err}"

    def has(self, *parts):
        flat = " ".join((self.out + self.err).split())
        for part in parts:
            assert part in flat, f"no \"{part}\" in:\n{self}"
        return self

    def lacks(self, *parts):
        flat = " ".join((self.out + self.err).split())
        for part in parts:
            assert part not in flat, f"\"{part}\" in:\n{self}"
        return self


def couplet(*argv, host=None, status=0, before=(), seconds=60):
    """couplet ARGV in HOST, whose exit status is to be STATUS (None: any)."""
    argv = [*before, COUPLET, *map(str, argv)]
    env = dict(os.environ, COLUMNS="80", NO_COLOR="1")

    def go():
        return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env=env,
                              stdin=subprocess.DEVNULL)
    if host:
        with host:
            said = Said(go())
    else:
        said = Said(go())
    assert status is None or said.status == status, f"{argv}: not {status}: {said}"
    return said


def pairs(*argv, host=None, status=0, before=()):
    """couplet pair --json, as (pairs, not_seen)."""
    said = couplet("pair", "--json", *argv, host=host, status=status, before=before)
    document = json.loads(said.out)
    return document["pairs"], document["not_seen"]


def verdicts(found):
    return sorted(pair["verdict"] for pair in found)


def powerless():
    """What stands before a command that is to have no rights."""
    nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"] if ROOT else []
    return ["setpriv", *nobody, "--bounding-set", "-all", "--inh-caps", "-all"]


def sees_numbers():
    """Whether the kernel's sequence numbers are told to us."""
    return "sequence numbers were not looked at" not in couplet("netstat", "--json").err


def machine(host):
    """What stands before a command that is to see HOST, and nothing else of this machine, as if it
    were one of its own."""
    door = os.path.join(os.getcwd(), "net-" + host.name)
    if not os.path.exists(door):
        open(door, "w").close()
        subprocess.run(["mount", "--bind", host.path, door], check=True)
        DOORS.append(door)
    inside = f"hostname {host.name}; mount -t tmpfs none /run; exec \"$@\""
    return ["nsenter", "--net=" + door, "unshare", "-mpu", "--fork", "--kill-child",
            "--mount-proc", "sh", "-c", inside, "sh"]


DOORS = []


def join(words):
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


class Connection:
    """One between a program of A and one of B."""

    def __init__(self, world, a, b, version=4, client=None, server=None, port=0, address=None):
        self.client = client or world.program(a, "client")
        self.server = server or world.program(b, "server")
        address = address or b.address[version]
        self.listener, self.port = self.server.do("listen", address, port)
        self.c = self.client.do("connect", address, self.port)
        self.s = self.server.do("accept", self.listener)
        self.here, self.there = self.client.do("ends", self.c)

    @property
    def name(self):
        return f"{end(self.here)}-{end(self.there)}"

    def talk(self, up=1000, down=5000):
        self.client.do("send", self.c, up)
        self.server.do("receive", self.s, up)
        self.server.do("send", self.s, down)
        self.client.do("receive", self.c, down)

    def forge(self, data):
        """From the client to the server, behind what it has sent; without its window changing."""
        seq, expects = self.client.do("sequence", self.c)
        self.client.do("forge", tuple(self.here), tuple(self.there), PSH | ACK, seq, expects, data)


def end(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def loopback(world, name="one"):
    host = world.host(name)
    host.address = {4: "127.0.0.1", 6: "::1"}
    return host


# ---- The frame --------------------------------------------------------------------------------

def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def enter():
    """This program again, inside."""
    user = [] if os.getuid() == 0 else ["-r"]
    how = ["unshare", *user, "-mnp", "--fork", "--kill-child", "--mount-proc"]
    probe = subprocess.run([*how, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True,
                           text=True)
    if probe.returncode:
        skip("no namespaces: " + (probe.stderr.strip().split("\n") or ["?"])[0])
    os.environ["PAIR_INSIDE"] = "user" if user else "root"
    os.execvp("unshare", [*how, "sh", "-c", "mount -t tmpfs none /run && ip link set lo up && "
                          "exec \"$0\" \"$@\"", sys.executable, os.path.abspath(sys.argv[0]),
                          *sys.argv[1:]])


def run_one(number, name, test):
    world = World()
    started = time.monotonic()
    try:
        reason = test(world)
        if isinstance(reason, str):
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        else:
            print(f"ok {number} - {name}", flush=True)
        return 0
    except Exception:
        print("\n".join("# " + line for line in traceback.format_exc().split("\n")))
        print(f"not ok {number} - {name}", flush=True)
        return 1
    finally:
        while DOORS:
            subprocess.run(["umount", DOORS[-1]], check=True)
            os.unlink(DOORS.pop())
        world.destroy(list(world.programs), list(world.hosts))
        print(f"{time.monotonic() - started:6.2f} s  {name}", file=sys.stderr, flush=True)


def main(tests):
    """Run TESTS, pairs of a sentence and a function of a world, or those that ARGV selects. A test
    that returns a text is skipped for that reason."""
    if "PAIR_INSIDE" not in os.environ:
        enter()
    wanted = [t for t in tests if not sys.argv[1:] or any(w in t[0] for w in sys.argv[1:])]
    print(f"1..{len(wanted)}", flush=True)
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        os.chdir(directory)
        # where a user without rights can run it
        subprocess.run(["cp", COUPLET, directory], check=True)
        globals()["COUPLET"] = os.path.join(directory, "couplet")
        for number, (name, test) in enumerate(wanted, 1):
            failed += run_one(number, name, test)
        os.chdir("/")
    sys.exit(1 if failed else 0)


def numbers(text):
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", text)]
