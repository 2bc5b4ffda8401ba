# SPDX-License-Identifier: MIT
"""What the interop tests share: a network namespace of their own, couplet in it, TAP output.

A test program calls main(tests...) and runs again inside: as root in a network and a mount
namespace, else in a user namespace as well, in which it is root. /run is empty there, so that no
stack of this machine is seen. Couplet's end of the link is 10.99.0.2 and fd99::2, the kernel's .1
and ::1. After each test the kernel's own counters are looked at: it has to have liked every packet.
"""
import contextlib
import ctypes
import hashlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

OUT = os.environ.get("OUT", "out/release")
CHECK_OUT = os.environ.get("CHECK_OUT", OUT)
COUPLET = os.path.abspath(os.path.join(OUT, "couplet"))
PEER = os.path.abspath(os.path.join(CHECK_OUT, "tests/interop/peer"))
CHECKED = os.path.abspath(os.path.join(CHECK_OUT, "couplet"))  # under the sanitizers
SOAK = bool(os.environ.get("SOAK"))
INSIDE = os.environ.get("INTEROP_INSIDE")  # "root" or "user", in the namespace
MIB = 1 << 20
LINKS = {"TUN": [], "TUN without offload": ["--no-offload"],
         "TAP": ["--tap"], "TAP without offload": ["--tap", "--no-offload"]}
OURS = {4: "10.99.0.2", 6: "fd99::2"}
KERNELS = {4: "10.99.0.1", 6: "fd99::1"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

# What the kernel counts when a packet is not as it should be.
BAD_SIGNS = {
    "/proc/net/snmp": {"Ip": ("InHdrErrors", "InAddrErrors", "InUnknownProtos", "ReasmFails"),
                       "Icmp": ("InErrors", "InCsumErrors"), "Tcp": ("InErrs", "InCsumErrors"),
                       "Udp": ("InErrors", "InCsumErrors")},
    "/proc/net/netstat": {"IpExt": ("InTruncatedPkts", "InCsumErrors"),
                          "TcpExt": ("PAWSEstab", "PAWSActive", "TCPSackFailures",
                                     "TCPSACKReneging", "TCPSACKDiscard", "TCPDSACKIgnoredOld",
                                     "TCPMemoryPressures", "TCPMD5Failure", "BusyPollRxPackets")},
}
BAD_SIGNS6 = ("Ip6InHdrErrors", "Ip6InAddrErrors", "Ip6InUnknownProtos", "Ip6InTruncatedPkts",
              "Ip6ReasmFails", "Icmp6InErrors", "Icmp6InCsumErrors", "Udp6InErrors",
              "Udp6InCsumErrors")


def kernel_counters():
    """Every counter of this namespace, as {"TcpInSegs": 1, ...}."""
    counters = {}
    for path in BAD_SIGNS:
        with open(path) as file:
            lines = [line.split() for line in file]
        for names, values in zip(lines[::2], lines[1::2]):
            for name, value in zip(names[1:], values[1:]):
                counters[names[0].rstrip(":") + name] = int(value)
    with contextlib.suppress(FileNotFoundError), open("/proc/net/snmp6") as file:
        counters.update((name, int(value)) for name, value in map(str.split, file))
    return counters


def bad_signs(counters):
    wanted = list(BAD_SIGNS6)
    for groups in BAD_SIGNS.values():
        wanted += [group + name for group, names in groups.items() for name in names]
    return {name: counters[name] for name in wanted if counters.get(name)}


# ---- Files ------------------------------------------------------------------------------------

SCRATCH = None  # the directory of this test program


def scratch(name):
    return os.path.join(SCRATCH, name)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def sha256_file(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def random_file(path, size):
    """Octets that no run has seen; the SHA-256 of the file."""
    digest = hashlib.sha256()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        for at in range(0, size, MIB):
            block = os.urandom(min(MIB, size - at))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


# ---- Programs ---------------------------------------------------------------------------------

def url_host(address):
    return f"[{address}]" if ":" in address else address


def run(*argv, ok=True, timeout=60, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(argv, capture_output=True, timeout=timeout, **more)
    if ok:
        assert done.returncode == 0, f"{argv}: status {done.returncode}: {done.stderr[-2000:]!r}"
    return done


def curl(*argv, ok=True, **more):
    return run("curl", "-gsS", "--max-time", "50", *argv, ok=ok, **more)


def eventually(what, seconds=10, step=0.02):
    """What WHAT() returns as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(step)


class Program:
    """One that runs beside the test, its standard error collected."""

    def __init__(self, *argv, **more):
        self.argv = argv
        self.lines = []
        more.setdefault("stdin", subprocess.DEVNULL)
        self.child = subprocess.Popen(argv, stderr=subprocess.PIPE, **more)
        self.pid = self.child.pid
        self.stdin, self.stdout = self.child.stdin, self.child.stdout
        self.reader = threading.Thread(target=self.collect, daemon=True)
        self.reader.start()

    def collect(self):
        for line in self.child.stderr:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    @property
    def said(self):
        return "\n".join(self.lines)

    def says(self, text, seconds=10):
        """Wait until it has said TEXT on standard error."""
        def look():
            if text in self.said:
                return True
            assert self.child.poll() is None or self.reader.is_alive(), \
                f"{self.argv} ended with {self.child.returncode}: {self.said}"
            return False
        eventually(look, seconds)

    def wait(self, seconds=30):
        status = self.child.wait(seconds)
        self.reader.join(1)
        return status

    def stop(self, signo=signal.SIGTERM, seconds=10):
        if self.child.poll() is None:
            self.child.send_signal(signo)
        status = self.wait(seconds)
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe:
                pipe.close()
        if not self.reader.is_alive():  # else a child of its own has the other end
            self.child.stderr.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise


class Serve(Program):
    """couplet serve DIR, until the end of the with block."""

    def __init__(self, root, *options, program=COUPLET):
        super().__init__(program, "serve", *options, root, "--", "cat", stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE)
        self.says(" is at http://")

    def stop(self, **more):
        if not self.stdin.closed:
            self.stdin.close()
        status = self.wait(more.get("seconds", 20))
        self.stdout.close()
        self.child.stderr.close()
        assert status == 0, f"couplet serve: status {status}: {self.said[-3000:]}"
        return status


def note(text):
    print("# " + text, flush=True)


class Peer(Program):
    """peer.c with ARGV, which begins with its options; its input and output are pipes."""

    def __init__(self, *argv, **more):
        more.setdefault("stdin", subprocess.PIPE)
        super().__init__(PEER, "--counters", *argv, stdout=subprocess.PIPE, **more)
        self.says("peer: ready")

    @property
    def counters(self):
        """After its end."""
        pairs = (line.split() for line in self.lines)
        return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}

    def drops(self):
        return {name: n for name, n in self.counters.items() if name.startswith("drop_")}


# ---- A second network namespace, behind this one ----------------------------------------------

FAR = {4: "10.98.0.2", 6: "fd98::2"}
NEAR = {4: "10.98.0.1", 6: "fd98::1"}
LIBC = ctypes.CDLL(None, use_errno=True)


def write_sysctl(name, value):
    with open("/proc/sys/" + name, "w") as file:
        file.write(str(value))


def no_dad():
    """Interfaces made from now on do not wait before they have their link-local addresses."""
    for name in "accept_dad", "dad_transmits":
        write_sysctl("net/ipv6/conf/default/" + name, 0)


@contextlib.contextmanager
def in_far():
    """Sockets made here are of the far namespace, and stay there."""
    with open("/proc/self/ns/net") as here, open("/run/netns/far") as far:
        assert LIBC.setns(far.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert LIBC.setns(here.fileno(), 0) == 0


def far_run(*argv, **more):
    return run("nsenter", "--net=/run/netns/far", *argv, **more)


@contextlib.contextmanager
def bottleneck(*words):
    """`couplet wire` with WORDS between near and far; what it says at its end is in its said."""
    wire = Program(COUPLET, "wire", "tap:near", "tap:far", *words, stdout=subprocess.PIPE)
    assert wire.stdout.readline() == b"near and far are joined.\n", wire.said
    run("ip", "link", "set", "far", "netns", "far")
    try:
        yield wire
    finally:
        wire.stop()


@contextlib.contextmanager
def router(mtu=1500, words=None):
    """
    This namespace forwards between couplet's link and the far one, over a link of MTU, or over
    `couplet wire` with WORDS.
    """
    run("ip", "netns", "add", "far")
    with contextlib.ExitStack() as stack:
        stack.callback(run, "ip", "netns", "del", "far")
        with in_far():
            no_dad()
        if words:
            stack.enter_context(bottleneck(*words))
        else:
            run("ip", "link", "add", "name", "near", "mtu", str(mtu), "type", "veth", "peer",
                "name", "far", "mtu", str(mtu), "netns", "far")
            stack.callback(run, "ip", "link", "del", "near", ok=False)
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            write_sysctl("net/" + path, 1)
        for host, where, do in ((NEAR, "near", run), (FAR, "far", far_run)):
            do("ip", "address", "add", host[4] + "/24", "dev", where)
            do("ip", "address", "add", host[6] + "/64", "dev", where, "nodad")
            do("ip", "link", "set", where, "up")
        far_run("ip", "link", "set", "lo", "up")
        for version in (4, 6):
            far_run("ip", f"-{version}", "route", "add", "default", "via", NEAR[version])
        eventually(lambda: b"tentative" not in run("ip", "address").stdout +
                   far_run("ip", "address").stdout)
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            stack.callback(write_sysctl, "net/" + path, 0)
        yield


@contextlib.contextmanager
def nft(rules):
    """RULES of the forward hook of this namespace."""
    run("nft", f"add table inet interop; add chain inet interop forward "
        "{ type filter hook forward priority 0; }; "
        + "; ".join(f"add rule inet interop forward {rule}" for rule in rules))
    try:
        yield
    finally:
        note(" ".join(run("nft", "list", "table", "inet", "interop").stdout.decode().split()))
        run("nft", "delete", "table", "inet", "interop")


def resident(pid):
    """Bytes of memory of process PID."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def receive_all(s, limit=1 << 34):
    parts = []
    while limit > 0:
        part = s.recv(min(limit, 1 << 18))
        if not part:
            break
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def send_all(s, data):
    """From a thread of its own, so that the other direction goes on; as much as the peer takes."""
    def send():
        with contextlib.suppress(OSError):
            s.sendall(data)
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


# ---- The frame --------------------------------------------------------------------------------

def run_one(function, tolerated):
    before = bad_signs(kernel_counters())
    retransmitted = kernel_counters()["TcpRetransSegs"]
    function()
    after = bad_signs(kernel_counters())
    if kernel_counters()["TcpRetransSegs"] > retransmitted:
        # On a busy machine it times out in vain, and again before it hears of the first time.
        tolerated = (*tolerated, "TcpExtTCPDSACKIgnoredOld")
    grown = {name: after[name] - before.get(name, 0) for name in after}
    bad = {name: n for name, n in grown.items() if n and name not in tolerated}
    assert not bad, f"the kernel has counted {bad}"


def run_tests(tests, tolerated):
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for number, (name, function) in enumerate(tests, 1):
        started = time.monotonic()
        try:
            run_one(function, tuple(tolerated) + getattr(function, "tolerated", ()))
            print(f"ok {number} - {name}", flush=True)
        except Exception:
            failed += 1
            print("\n".join("# " + line for line in traceback.format_exc().split("\n")))
            print(f"not ok {number} - {name}", flush=True)
        print(f"{time.monotonic() - started:6.2f} s  {name}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def enter(tools):
    """This program again, inside."""
    for tool in ("ip", "unshare") + tuple(tools):
        if not shutil.which(tool):
            skip(f"{tool} is not installed")
    how = "-mn" if os.getuid() == 0 else "-rmn"
    inside = "mount -t tmpfs none /run && ip link set lo up && exec \"$0\" \"$@\""
    probe = subprocess.run(["unshare", how, "sh", "-c", inside, "ip", "tuntap", "add", "dev",
                            "probe", "mode", "tun"], capture_output=True, text=True)
    if probe.returncode:
        skip("no network namespace with a TUN device: " + probe.stderr.strip().split("\n")[0])
    os.environ["INTEROP_INSIDE"] = "root" if os.getuid() == 0 else "user"
    os.environ.pop("XDG_RUNTIME_DIR", None)
    os.execvp("unshare", ["unshare", how, "sh", "-c", inside, sys.executable,
                          os.path.abspath(sys.argv[0])] + sys.argv[1:])


def main(tests, prepare=None, tools=(), tolerated=()):
    """
    Run TESTS, pairs of a name and a function; only those whose name contains an argument, if there
    is one. PREPARE is called before them. TOLERATED: counters of the kernel that may grow, for
    all; those of one test are its attribute of that name. TOOLS: programs without which all are
    skipped.
    """
    global SCRATCH
    if not INSIDE:
        enter(tools)
    if len(sys.argv) > 1:
        tests = [t for t in tests if any(word in t[0] for word in sys.argv[1:])]
    with tempfile.TemporaryDirectory() as SCRATCH:
        os.chmod(SCRATCH, 0o755)
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        no_dad()
        if prepare:
            prepare()
        sys.exit(run_tests(tests, tolerated))
