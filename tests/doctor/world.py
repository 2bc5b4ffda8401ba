# SPDX-License-Identifier: MIT
"""A small world for doctor to look at: hosts, links and programs of its own.

A world is a process tree in PID, mount and network namespaces of its own: whoever looks around in
it sees its hosts (named network namespaces) and its programs, and nothing else of the machine. It
ends with its first process. As root it is made of plain namespaces, else of a user namespace.

A Program is a child in one host that does with sockets what it is told; see Worker.
"""
import contextlib
import ctypes
import fcntl
import json
import multiprocessing
import os
import random
import re
import resource
import selectors
import signal
import socket
import struct
import subprocess
import threading
import time
import traceback

import packets
from packets import FAMILY, SYN, raw_send, version_of

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PR_SET_NAME = 15
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
REPAIR_OFF_SILENTLY = -1
RECEIVE_QUEUE, SEND_QUEUE = 1, 2


def eventually(what, seconds=20, step=0.05, why=""):
    """What WHAT() returns as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"not within {seconds} s: {why or what}"
        time.sleep(step)


# ---- What a program can do ---------------------------------------------------------------------

class Worker:
    """In the child. Sockets are numbered; each method may be called by Program.do()."""

    def __init__(self):
        self.sockets = {}
        self.files = []
        self.number = 0
        self.moved = 0  # bytes that background threads have moved
        self.selector = None

    def keep(self, s):
        self.number += 1
        self.sockets[self.number] = s
        return self.number

    @staticmethod
    def options(s, rcvbuf=0, sndbuf=0, nodelay=False, keepalive=0, mss=0, clamp=0):
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if sndbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
        if nodelay:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if mss:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
        if clamp:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, clamp)
        if keepalive:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
                s.setsockopt(socket.IPPROTO_TCP, option, keepalive)

    def listen(self, address, port=0, backlog=64, **options):
        s = socket.socket(FAMILY[version_of(address)])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.options(s, **options)
        s.bind((address, port))
        s.listen(backlog)
        return self.keep(s), s.getsockname()[1]

    def connect(self, address, port, bind=None, wait=True, seconds=5, **options):
        """Without WAIT, the call is begun and whatever comes of it comes."""
        s = socket.socket(FAMILY[version_of(address)])
        self.options(s, **options)
        if bind:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(bind)
        if wait:
            s.settimeout(seconds)
            s.connect((address, port))
            s.settimeout(None)
        else:
            s.setblocking(False)
            s.connect_ex((address, port))
        return self.keep(s)

    def connect_error(self, address, port):
        """The errno of a call, 0 if it succeeds."""
        s = socket.socket(FAMILY[version_of(address)])
        s.settimeout(5)
        error = s.connect_ex((address, port))
        s.close()
        return error

    def accept(self, number, **options):
        s, _ = self.sockets[number].accept()
        self.options(s, **options)
        return self.keep(s)

    def ends(self, number):
        """((address, port) here, (address, port) there)"""
        s = self.sockets[number]
        here = s.getsockname()[:2]
        try:
            return here, s.getpeername()[:2]
        except OSError:
            return here, None

    def send(self, number, n=1, flags=0):
        s, data = self.sockets[number], b"x" * n
        if flags:
            s.send(data, flags)
        else:
            s.sendall(data)

    def fill(self, number):
        """As much as both buffers take. Returns how much that was."""
        s, n, idle = self.sockets[number], 0, 0
        s.setblocking(False)
        while idle < 4:  # the buffers grow as the acknowledgments come
            try:
                n += s.send(b"x" * 65536)
                idle = 0
            except BlockingIOError:
                idle += 1
                time.sleep(0.05)
        return n

    def receive(self, number, n):
        s = self.sockets[number]
        while n > 0:
            part = s.recv(min(n, 1 << 16))
            assert part, "the end came early"
            n -= len(part)

    def readable(self, number):
        buffer = bytearray(4)
        fcntl.ioctl(self.sockets[number], 0x541B, buffer)  # FIONREAD
        return struct.unpack("i", buffer)[0]

    def shutdown(self, number):
        self.sockets[number].shutdown(socket.SHUT_WR)

    def close(self, number):
        self.sockets.pop(number).close()

    def abort(self, number):
        """Closed with an RST."""
        s = self.sockets.pop(number)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    # -- for a while

    def background(self, name, *args):
        """Method NAME again and again, until it fails or returns False."""
        method = getattr(self, name)

        def go():
            with contextlib.suppress(OSError):
                while method(*args) is not False:
                    pass
        threading.Thread(target=go, daemon=True).start()

    def moved_bytes(self):
        return self.moved

    def send_some(self, number, n=65536, pause=0.0):
        self.moved += self.sockets[number].send(b"x" * n)
        time.sleep(pause)

    def read_some(self, number, n=65536, pause=0.0):
        part = self.sockets[number].recv(n)
        self.moved += len(part)
        time.sleep(pause)
        return bool(part)

    def echo(self, number, n=1):
        """Answers each N bytes with one."""
        s, got = self.sockets[number], 0
        while got < n:
            part = s.recv(n - got)
            if not part:
                return False
            got += len(part)
        s.send(b"k")
        return True

    def write_write_read(self, number):
        """The pattern that Nagle's algorithm and delayed ACKs make slow."""
        s = self.sockets[number]
        s.send(b"h")
        s.send(b"b")
        self.moved += len(s.recv(1))

    def serve_one(self, number):
        """Takes a connection, answers a byte, reads to the end."""
        s, _ = self.sockets[number].accept()
        s.sendall(b"k" * 100)
        s.recv(1)
        s.close()

    def visit(self, address, port, pause=0.0):
        s = socket.create_connection((address, port), 5)
        self.moved += len(s.recv(1000))
        s.close()
        time.sleep(pause)

    def bustle(self, senders, readers, share=0.1):
        """One round of many connections: all that came is read, a SHARE of the senders sends."""
        for s in self.readable_of(readers):
            self.moved += len(s.recv(1 << 16))
        for number in random.sample(senders, max(1, int(len(senders) * share))):
            with contextlib.suppress(BlockingIOError):
                self.sockets[number].send(b"x" * random.choice((1, 100, 3000, 20000)))
        time.sleep(0.02)

    def readable_of(self, readers):
        """The readable sockets of these numbers, within 5 ms."""
        if not self.selector:
            self.selector = selectors.EpollSelector()
            for number in readers:
                self.sockets[number].setblocking(False)
                self.selector.register(self.sockets[number], selectors.EVENT_READ)
            for s in self.sockets.values():
                s.setblocking(False)
        return [key.fileobj for key, _ in self.selector.select(0.005)]

    def spin(self):
        """Busy with all but its connections."""
        end = time.monotonic() + 0.001
        while time.monotonic() < end:
            pass
        time.sleep(0.01)

    def hoard(self, limit, leave=0):
        """Opens files until none may be opened any more, but LEAVE."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        with contextlib.suppress(OSError):
            while True:
                self.files.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(leave):
            os.close(self.files.pop())

    # -- what only an attacker or a checkpoint does

    def sequence(self, number):
        """(next to be written, next to be received) of a connection."""
        s, seq = self.sockets[number], {}
        s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        for queue in (SEND_QUEUE, RECEIVE_QUEUE):
            s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
            seq[queue] = s.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) & 0xffffffff
        s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF_SILENTLY)
        return seq[SEND_QUEUE], seq[RECEIVE_QUEUE]

    def replace(self, number, send_ahead=0, receive_ahead=0):
        """The same connection with other sequence numbers, as a faulty checkpoint restores it."""
        old = self.sockets.pop(number)
        seq = {SEND_QUEUE: send_ahead, RECEIVE_QUEUE: receive_ahead}
        here, there = old.getsockname(), old.getpeername()
        old.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        for queue in seq:
            old.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
            seq[queue] += old.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ)
        old.close()  # in repair mode: without a segment
        s = socket.socket(FAMILY[version_of(here[0])])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        for queue, value in seq.items():
            value &= 0xffffffff
            s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
            s.setsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, struct.pack("I", value))
        s.bind(here)
        s.connect(there)
        s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF_SILENTLY)
        self.sockets[number] = s

    @staticmethod
    def forge(source, target, flags, seq, ack=0, data=b"", window=512, options=b""):
        """A segment with the addresses of others."""
        raw_send(source, target, flags, seq, ack, data, window, options)

    @staticmethod
    def flood(sources, target, n, pause=0.0):
        """SYNs from N addresses where nobody is."""
        for i in range(n):
            raw_send((sources.format(i // 250, i % 250 + 1), 1024 + i), target, SYN, i * 7919)
        time.sleep(pause)

    def scan(self, source, address):
        """A SYN to each of some ports."""
        for port in range(100, 120):
            raw_send(source, (address, port), SYN, 1)
        time.sleep(0.2)

    def play(self, class_name, *args):
        """FarPeer or Shuffler, from now on."""
        peer = getattr(packets, class_name)(*args)
        threading.Thread(target=peer.run, daemon=True).start()

    def fill_conntrack(self, n):
        packets.fill_conntrack(n)


# ---- Programs ----------------------------------------------------------------------------------

class Program:
    """A child in HOST called NAME, which does what Worker can."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.channel, theirs = multiprocessing.Pipe()
        with host:
            self.pid = os.fork()
            if not self.pid:
                self.work(theirs)
        theirs.close()

    def work(self, channel):
        """In the child; does not return."""
        status = 1
        try:
            for fd in range(3, 256):
                if fd != channel.fileno():
                    with contextlib.suppress(OSError):
                        os.close(fd)
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            LIBC.prctl(PR_SET_NAME, self.name.encode(), 0, 0, 0)
            worker = Worker()
            while True:
                name, args, options = channel.recv()
                try:
                    channel.send((getattr(worker, name)(*args, **options), None))
                except Exception as error:  # the parent is told
                    channel.send((None, f"{type(error).__name__}: {error}\n"
                                  f"{traceback.format_exc()}"))
        except EOFError:
            status = 0
        finally:
            os._exit(status)

    def do(self, method, *args, seconds=30, **options):
        self.channel.send((method, args, options))
        assert self.channel.poll(seconds), f"{self.name}: {method}{args}: no answer"
        value, error = self.channel.recv()
        assert error is None, f"{self.name}: {method}{args}: {error}"
        return value

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self):
        """As ^Z does."""
        self.signal(signal.SIGSTOP)
        eventually(lambda: self.state() == "T")

    def state(self):
        with open(f"/proc/{self.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]

    def kill(self):
        if self.pid:
            self.signal(signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.channel.close()
            self.pid = 0


# ---- Hosts -------------------------------------------------------------------------------------

def run(*argv, ok=True, **more):
    if "input" not in more:
        more["stdin"] = subprocess.DEVNULL
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, **more)
    if ok:
        assert done.returncode == 0, f"{argv}: status {done.returncode}: {done.stderr[-2000:]}"
    return done


class Host:
    """A named network namespace. As a context: what is done in it is done in that namespace."""

    def __init__(self, name):
        self.name = name
        self.address = {}  # 4, 6 -> the first one that a link gave
        self.device = []
        self.path = "/run/netns/" + name
        run("ip", "netns", "add", name)
        self.netns = os.stat(self.path).st_ino
        self.outer = None
        self.run("ip", "link", "set", "lo", "up")
        for name in ("accept_dad", "dad_transmits"):  # nobody waits for it
            self.sysctl("net/ipv6/conf/default/" + name, 0)

    def __enter__(self):
        with open(self.path) as file:
            self.outer = open("/proc/self/ns/net")
            assert LIBC.setns(file.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        return self

    def __exit__(self, *unused):
        assert LIBC.setns(self.outer.fileno(), CLONE_NEWNET) == 0
        self.outer.close()

    def run(self, *argv, **more):
        with self:
            return run(*argv, **more)

    def nft(self, text):
        """Adds rules: lines of "hook: rule"; the hooks' chains are made when first used."""
        script = ["add table inet t"]
        for line in filter(None, map(str.strip, text.split("\n"))):
            hook, rule = line.split(": ", 1)
            kind, _, hook = hook.rpartition(" ")
            family, priority = "filter", 0
            if kind == "nat":
                family, priority = "nat", 100
            script += [f"add chain inet t {hook} {{ type {family} hook {hook} "
                       f"priority {priority}; }}", f"add rule inet t {hook} {rule}"]
        self.run("nft", "; ".join(script))

    def nft_clear(self):
        self.run("nft", "delete table inet t")

    def sysctl(self, name, value=None):
        with self, open("/proc/sys/" + name, "r" if value is None else "w") as file:
            return file.read().strip() if value is None else file.write(str(value))

    def tcp(self):
        """The TCP sockets of this host by ss(8): dicts with the counters that it prints."""
        rows = []
        for line in self.run("ss", "-Htanio").stdout.splitlines():
            if not line[:1].isspace():
                words = line.split()
                rows.append({"state": words[0], "recv": int(words[1]), "send": int(words[2]),
                             "here": words[3], "there": words[4]})
            for key, value in re.findall(r"(\w+):([\d.]+)(?=[\s/]|$)", line):
                rows[-1].setdefault(key, float(value))
            match = re.search(r"timer:\((\w+),[^,]*,(\d+)\)", line)
            if match:
                rows[-1]["timer"], rows[-1]["tries"] = match.group(1), int(match.group(2))
        return rows

    def link(self, device):
        return json.loads(self.run("ip", "-j", "link", "show", device).stdout)[0]

    def counter(self, name):
        """A counter of this namespace, as in nstat."""
        with self:
            for path in ("/proc/net/netstat", "/proc/net/snmp"):
                with open(path) as file:
                    lines = [line.split() for line in file]
                for names, values in zip(lines[::2], lines[1::2]):
                    for key, value in zip(names[1:], values[1:]):
                        if names[0][:-1] + key == name:
                            return int(value)
        return 0


class World:
    """The hosts and programs that one draw has made."""

    def __init__(self):
        self.hosts, self.programs, self.links = [], [], 0

    def host(self, name):
        host = Host(name)
        self.hosts.append(host)
        return host

    def program(self, host, name):
        program = Program(host, name)
        self.programs.append(program)
        return program

    def link(self, a, b):
        """A cable between two hosts, with addresses of both families at its ends."""
        self.links += 1
        n = self.links
        for this, other in ((a, b), (b, a)):
            this.device.append(f"to-{other.name}"[:15])
        run("ip", "link", "add", "name", a.device[-1], "netns", a.name, "type", "veth", "peer",
            "name", b.device[-1], "netns", b.name)
        for last, host in enumerate((a, b), 1):
            address = {v: self.address_on(v, n, last) for v in (4, 6)}
            device = host.device[-1]
            commands = (f"addr add {address[4]}/24 dev {device}\n"
                        f"addr add {address[6]}/64 dev {device} nodad\n"
                        f"link set {device} up\n")
            host.run("ip", "-batch", "-", input=commands)
            for version in address:
                host.address.setdefault(version, address[version])
        for host in (a, b):
            eventually(lambda: host.link(host.device[-1])["operstate"] == "UP", step=0.01)
        return {v: (self.address_on(v, n, 1), self.address_on(v, n, 2)) for v in (4, 6)}

    @staticmethod
    def address_on(version, n, last):
        return f"10.{100 + n // 250}.{n % 250}.{last}" if version == 4 else f"fd00:{n:x}::{last}"

    def two(self, name):
        """Two hosts with a cable between them."""
        a, b = self.host(name + "-a"), self.host(name + "-b")
        self.link(a, b)
        return a, b

    def three(self, name):
        """Two hosts and the router between them."""
        a, r, b = (self.host(f"{name}-{x}") for x in "arb")
        near, far = self.link(a, r), self.link(r, b)
        for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            r.sysctl("net/" + path, 1)
        for version in (4, 6):
            a.run("ip", f"-{version}", "route", "add", "default", "via", near[version][1])
            b.run("ip", f"-{version}", "route", "add", "default", "via", far[version][0])
        return a, r, b

    def destroy(self, programs, hosts):
        for program in programs:
            program.kill()
        for host in hosts:
            if host in self.hosts:
                self.hosts.remove(host)
                run("ip", "netns", "del", host.name)
