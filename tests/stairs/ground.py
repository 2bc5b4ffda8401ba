# SPDX-License-Identifier: MIT
"""What the tests of the stairs share: each case on a ground of its own.

A case is a function that main() is given. It runs in a process of its own, in network, mount and
process namespaces of its own, as root there: in a user namespace where we are not root. /run is
empty, no name server answers, /etc/hosts is the case's to write. Several cases run beside each
other, since most of their time is waiting for what does not come.
"""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback

COUPLET = os.path.abspath(os.path.join(os.environ.get("OUT", "out/release"), "couplet"))
DOCTOR = os.environ.get("DOCTOR", COUPLET + " doctor").split()
CASE = os.environ.get("STAIRS_CASE")
ROOT = os.environ.get("STAIRS_ROOT") == "yes"  # of the machine, not only of a user namespace
LIBC = ctypes.CDLL(None, use_errno=True)
BESIDE = 16
# One that an ordinary user may run.
PYTHON = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
HERE = {4: "10.1.0.1", 6: "fd01::1"}
FAR = {4: "10.1.0.2", 6: "fd01::2"}
STEPS = ["name", "address", "route", "neighbour", "SYN", "handshake", "data", "program reads"]
HELD = []


# ---- Machines and links -------------------------------------------------------------------------

def run(*argv, **more):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, **more)
    assert done.returncode == 0, f"{argv}: status {done.returncode}: {done.stderr}"
    return done.stdout


def ip(command, netns=None):
    return run("ip", *(["-n", netns] if netns else []), *command.split())


def ips(netns, *commands):
    """All of them by one process."""
    run("ip", *(["-n", netns] if netns else []), "-batch", "-", input="\n".join(commands) + "\n")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def read(path):
    with open(path) as file:
        return file.read()


def sysctl(name, value, netns=None):
    """As in sysctl(8), with slashes."""
    with inside(netns):
        write("/proc/sys/net/" + name, str(value))


@contextlib.contextmanager
def inside(netns):
    """Sockets that are made here are of NETNS, and stay there. None: of this one."""
    if not netns:
        yield
        return
    with open("/proc/thread-self/ns/net") as here, open("/run/netns/" + netns) as there:
        assert LIBC.setns(there.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert LIBC.setns(here.fileno(), 0) == 0


def no_dad(netns=None):
    """Interfaces made from now on do not wait before they have their link-local addresses."""
    for name in "accept_dad", "dad_transmits":
        sysctl("ipv6/conf/default/" + name, 0, netns)


def machine(name):
    run("ip", "netns", "add", name)
    no_dad(name)
    ip("link set lo up", name)
    return name


def mac(device, netns=None):
    return json.loads(run("ip", *(["-n", netns] if netns else []), "-j", "link", "show",
                          device))[0]["address"]


def link(one, other, *addresses, mtu=1500):
    """A cable between two interfaces, "eth0" or "far:eth0"; ADDRESSES: a pair for each family."""
    ends = [end.rpartition(":")[::2] for end in (one, other)]
    where = [["name", name] + (["netns", netns] if netns else []) for netns, name in ends]
    run("ip", "link", "add", *where[0], "type", "veth", "peer", *where[1])
    for index, (netns, name) in enumerate(ends):
        ips(netns, f"link set {name} mtu {mtu} up",
            *(f"address add {pair[index]} dev {name}" + (" nodad" if ":" in pair[index] else "")
              for pair in addresses))


def settled(*machines):
    """Until no address is tentative any more."""
    eventually(lambda: not any("tentative" in ip("address", m) for m in (None, *machines)))


def far_machine():
    """The usual ground: one machine on the other end of eth0."""
    machine("far")
    link("eth0", "far:eth0", ("10.1.0.1/24", "10.1.0.2/24"), ("fd01::1/64", "fd01::2/64"))
    settled("far")


def router(mtu=1500):
    """A router at 10.1.0.2 between us and the machine far, which is 10.2.0.2."""
    machine("router")
    machine("far")
    link("eth0", "router:eth0", ("10.1.0.1/24", "10.1.0.2/24"), ("fd01::1/64", "fd01::2/64"))
    link("router:eth1", "far:eth0", ("10.2.0.1/24", "10.2.0.2/24"), ("fd02::1/64", "fd02::2/64"))
    ip(f"link set eth1 mtu {mtu}", "router")
    for version, gateways in ((4, ("10.1.0.2", "10.2.0.1")), (6, ("fd01::2", "fd02::1"))):
        run("ip", f"-{version}", "route", "add", "default", "via", gateways[0])
        run("ip", "-n", "far", f"-{version}", "route", "add", "default", "via", gateways[1])
    sysctl("ipv4/ip_forward", 1, "router")
    sysctl("ipv6/conf/all/forwarding", 1, "router")
    settled("router", "far")


def nft(netns, hook, *rules):
    with inside(netns):
        run("nft", f"add table inet stairs; add chain inet stairs {hook} "
            f"{{ type filter hook {hook} priority 0; }}; "
            + "; ".join(f"add rule inet stairs {hook} {rule}" for rule in rules))


def hosts(*lines):
    write("/run/hosts", "127.0.0.1 localhost\n::1 localhost\n" + "\n".join(lines) + "\n")


# ---- Programs -----------------------------------------------------------------------------------

def hold(thing):
    HELD.append(thing)
    return thing


def eventually(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def listener(address, port, netns=None, backlog=16, only6=True):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(netns):
        s = hold(socket.socket(family))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only6)
    s.bind((address, port))
    s.listen(backlog)
    return s


def serve(address, port, talk, netns=None, **more):
    """A server that lets TALK(connection) have each connection, then closes it."""
    s = listener(address, port, netns, **more)

    def one(connection):
        with contextlib.suppress(OSError), connection:
            talk(connection)

    def loop():
        while True:
            threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return s


def http(connection):
    asked = b""
    while b"\r\n\r\n" not in asked:
        part = connection.recv(65536)
        if not part:
            return
        asked += part
        if asked[0] < 0x20:  # no text
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    connection.recv(1)


def keep(connection):
    """Neither reads nor writes."""
    time.sleep(60)


def swallow(connection):
    while connection.recv(65536):
        pass


def certificate():
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", "/CN=far", "-days", "2", "-keyout", "/run/key.pem", "-out", "/run/cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/run/cert.pem", "/run/key.pem")
    return context


def tls(context):
    def talk(connection):
        with contextlib.suppress(ssl.SSLError), \
                context.wrap_socket(connection, server_side=True) as secured:
            http(secured)
    return talk


def program(code, netns=None, **more):
    """Python CODE in a process of its own; it has to print a line when it is ready."""
    enter = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
    child = hold(subprocess.Popen([*enter, PYTHON, "-c", code], stdout=subprocess.PIPE,
                                  text=True, **more))
    assert child.stdout.readline(), "it did not start"
    return child


# ---- The doctor ---------------------------------------------------------------------------------

class Told:
    """What the doctor told, as JSON."""

    def __init__(self, done):
        self.status, self.said = done.returncode, done.stderr
        assert self.status in (0, 1), f"status {done.returncode}: {done.stderr}"
        self.json = json.loads(done.stdout)
        self.found = [finding["id"] for finding in self.json["findings"]]
        self.result = {step["step"]: step["result"] for step in self.json["stairs"]}
        self.text = {step["step"]: step.get("text", "") for step in self.json["stairs"]}
        self.evidence = "; ".join(e for f in self.json["findings"] for e in f["evidence"])
        self.unseen = "; ".join(self.json["not_looked_at"])

    def __repr__(self):
        return json.dumps(self.json, indent=1)

    @property
    def failing(self):
        return [step for step in STEPS if self.result[step] == "fails"]


def doctor(*words, user=False, **environment):
    more = {"user": 65534, "group": 65534, "extra_groups": []} if user else {}
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    argv = [*DOCTOR, "--json", *map(str, words)]
    return Told(subprocess.run(argv, capture_output=True, text=True, timeout=60,
                               env=env | environment, **more))


def healthy(told, *not_seen):
    """Every step holds, but those that NOT_SEEN names."""
    assert told.status == 0 and not told.found, told
    for step in STEPS:
        good = ("not seen",) if step in not_seen else ("holds", "not needed")
        assert told.result[step] in good, f"{step}: {told}"
    return told


def ill(told, step, *found, status=1):
    """STEP fails, all before hold, none after it is reached, and nothing but FOUND is found."""
    assert told.failing == [step], f"{step}: {told}"
    for index, name in enumerate(STEPS):
        if index < STEPS.index(step):
            assert told.result[name] in ("holds", "not needed", "not seen"), f"{name}: {told}"
        elif index > STEPS.index(step):
            assert told.result[name] == "not reached", f"{name}: {told}"
    assert sorted(told.found) == sorted(found), told
    assert told.status == status, told
    return told


# ---- The frame ----------------------------------------------------------------------------------

class Skip(Exception):
    pass


def as_user():
    """For cases that run the doctor as an ordinary user."""
    if not ROOT:
        raise Skip("not root: there is no other user in a user namespace")


def in_case(cases):
    write("/run/hosts", "127.0.0.1 localhost\n::1 localhost\n")
    write("/run/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    os.chmod("/run/hosts", 0o644)
    for name in "hosts", "resolv.conf":
        run("mount", "--bind", "/run/" + name, "/etc/" + name)
    no_dad()
    try:
        cases[CASE]()
        print("ok")
    except Skip as reason:
        print("skip", reason)
    except Exception:
        print("failed")
        print("\n".join("# " + line for line in traceback.format_exc().split("\n")))
    sys.stdout.flush()
    for thing in HELD:
        if isinstance(thing, subprocess.Popen):
            thing.kill()
    os._exit(0)


INSIDE = ("mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && "
          "exec \"$0\" \"$@\"")


def unshare(*argv, env=None):
    how = "-mnpf" if os.getuid() == 0 else "-rmnpf"
    return subprocess.run(["unshare", how, "--kill-child", "--mount-proc", "sh", "-c", INSIDE,
                           *argv],
                          capture_output=True, text=True, env=env, timeout=90)


def one(name):
    env = dict(os.environ, STAIRS_CASE=name, STAIRS_ROOT="yes" if os.getuid() == 0 else "no")
    try:
        done = unshare(sys.executable, os.path.abspath(sys.argv[0]), env=env)
    except subprocess.TimeoutExpired:
        return name, "failed", "# took too long"
    verdict, _, rest = done.stdout.partition("\n")
    return name, verdict or "failed", rest + "".join("# " + line for line in
                                                     done.stderr.splitlines(True))


def main(*functions):
    cases = {function.__name__: function for function in functions}
    assert len(cases) == len(functions), "two cases of one name"
    if CASE:
        in_case(cases)
    for tool in "ip", "nft", "unshare", "openssl":
        if not shutil.which(tool):
            print(f"1..0 # SKIP {tool} is not installed")
            return
    probe = unshare("true")
    if probe.returncode:
        print("1..0 # SKIP no namespaces: " + probe.stderr.strip().split("\n")[0])
        return
    wanted = sys.argv[1:] or list(cases)
    print(f"1..{len(wanted)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(BESIDE) as pool:
        for number, (name, verdict, rest) in enumerate(pool.map(one, wanted), 1):
            sentence = name.replace("_", " ")
            if verdict.startswith("skip"):
                print(f"ok {number} - {sentence} # SKIP {verdict[5:]}")
            else:
                failed += verdict != "ok"
                print(rest.rstrip("\n") + "\n" if rest.strip() else "", end="")
                print(f"{'ok' if verdict == 'ok' else 'not ok'} {number} - {sentence}", flush=True)
    sys.exit(failed > 0)
