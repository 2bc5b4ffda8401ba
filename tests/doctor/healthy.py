# SPDX-License-Identifier: MIT
"""What looks odd and is well: doctor must say nothing of it.

As troubles (see trouble.py), with no findings expected. alive() is called before and after doctor
has looked: what should move has to move.
"""
import os
import signal
import socket
import subprocess

from packets import ACK, PSH, RST, plain_packets
from trouble import Trouble
from world import eventually

OUT = os.environ.get("OUT", "out/release")
COUPLET = os.path.abspath(os.path.join(OUT, "couplet"))


class Healthy(Trouble):
    mover = None  # the program and its side whose bytes must go on

    def alive(self):
        if self.mover:
            before = self.mover.do("moved_bytes")
            eventually(lambda: self.mover.do("moved_bytes") > before, 10,
                       why=f"{self}: nothing moves")


class IdleKeepAlive(Healthy):
    """Nothing to say, but keep-alive probes are answered."""

    def make(self):
        self.two()
        self.connection(client_options={"keepalive": 1})
        self.exchange(100)

    def ripe(self):
        return self.at_client().get("timer") == "keepalive" and \
            self.a.counter("TcpExtTCPKeepAlive") > 0


class LongIdle(Healthy):
    """Established, and nobody ever said a word; or something was said and not yet read."""
    variants = ("silent", "unread", "unread, nothing more")

    def make(self):
        self.two()
        self.connection()
        if self.variant != "silent":
            self.exchange()
            self.client.do("send", self.c, 700)


class SlowReader(Healthy):
    """The window closes and opens: slow, but it goes on."""
    variants = ("slow", "very slow")

    def make(self):
        self.two()
        self.connection(server_options={"rcvbuf": 8192}, names=("writer", "slow-reader"))
        self.client.do("background", "send_some", self.c)
        n, pause = (2000, 0.02) if self.variant == "slow" else (4000, 0.25)
        self.server.do("background", "read_some", self.s, n, pause)
        self.mover = self.server


class TinyWindows(Healthy):
    def make(self):
        self.two()
        self.connection({"sndbuf": 4608}, {"rcvbuf": 1, "clamp": 1500})
        self.client.do("background", "send_some", self.c, 3000)
        self.server.do("background", "read_some", self.s, 500, 0.001)
        self.mover = self.server


class Lossy(Healthy):
    """One packet of twenty is lost, in both directions."""

    def make(self):
        self.three()
        self.r.nft("forward: meta l4proto tcp numgen random mod 20 < 1 counter drop")
        self.connection({"sndbuf": 100000}, {})
        self.client.do("background", "send_some", self.c, 20000, 0.01)
        self.server.do("background", "read_some", self.s)
        self.mover = self.server

    def ripe(self):
        return self.a.counter("TcpRetransSegs") > 5


class TimeWaitCrowd(Healthy):
    def make(self):
        self.two()
        self.server = self.program(self.b, "server")
        listener, self.port = self.server.do("listen", self.b.address[self.version])
        self.server.do("background", "serve_one", listener)
        self.client = self.program(self.a, "client")
        for _ in range(100):
            self.client.do("visit", self.b.address[self.version], self.port)

    def ripe(self):
        return sum(row["state"] == "TIME-WAIT" for row in self.a.tcp() + self.b.tcp()) >= 90


class HalfClosedInUse(Healthy):
    """One side has closed and takes what the other still sends."""

    def make(self):
        self.two()
        self.connection(names=("taker", "giver"))
        self.client.do("shutdown", self.c)
        self.server.do("background", "send_some", self.s, 2000, 0.02)
        self.client.do("background", "read_some", self.c)
        self.mover = self.client

    def ripe(self):
        return self.at_client()["state"] == "FIN-WAIT-2"


class IdleListeners(Healthy):
    """With a queue for one, or with one waiting in it."""
    variants = ("empty", "one waits")

    def make(self):
        self.two()
        self.server = self.program(self.b, "server")
        address = self.b.address[self.version]
        port = self.server.do("listen", address, backlog=0 if self.variant == "empty" else 8)[1]
        if self.variant == "one waits":
            self.client = self.program(self.a, "client")
            self.client.do("connect", address, port)


class OrderlyClose(Healthy):
    """All is written and closed; what is on the way is being read."""

    def make(self):
        self.two()
        self.connection({"sndbuf": 2000000}, {"rcvbuf": 20000})
        self.client.do("fill", self.c)
        self.client.do("close", self.c)
        self.server.do("background", "read_some", self.s, 3000, 0.03)
        self.mover = self.server

    def ripe(self):
        return self.at_client()["state"] == "FIN-WAIT-1"


class Churn(Healthy):
    """Many short connections."""

    def make(self):
        self.two()
        self.server = self.program(self.b, "server")
        address = self.b.address[self.version]
        listener, port = self.server.do("listen", address)
        self.server.do("background", "serve_one", listener)
        self.client = self.program(self.a, "client")
        self.client.do("background", "visit", address, port, 0.01)
        self.mover = self.client


class Translated(Healthy):
    """Through a router that hides the client's address."""

    def make(self):
        self.version = 4
        self.three()
        self.r.nft(f"nat postrouting: oifname {self.r.device[1]} masquerade")
        self.connection()
        self.exchange()
        self.client.do("background", "send_some", self.c, 2000, 0.01)
        self.server.do("background", "read_some", self.s)
        self.mover = self.server

    def ripe(self):
        return any(self.r.address[4] not in row["there"] and row["there"].startswith("10.")
                   for row in self.b.tcp() if row["state"] == "ESTAB")


class SimultaneousOpen(Healthy):
    """Both call, nobody listens (RFC 9293 section 3.5)."""

    def make(self):
        self.two()
        self.client, self.server = self.program(self.a, "one"), self.program(self.b, "other")
        a, b = self.a.address[self.version], self.b.address[self.version]
        for host in (self.a, self.b):
            host.nft("input: tcp flags & (syn | ack) == syn counter drop")
        self.c = self.client.do("connect", b, 7002, bind=(a, 7001), wait=False)
        self.s = self.server.do("connect", a, 7001, bind=(b, 7002), wait=False)
        self.here = (a, 7001)
        for host in (self.a, self.b):
            host.nft_clear()

    def ripe(self):
        return self.at_client()["state"] == self.at_server()["state"] == "ESTAB"


class SelfConnected(Healthy):
    """One socket that is both ends."""

    def make(self):
        self.a = self.b = self.world.host(self.name)
        self.client = self.program(self.a, "narcissus")
        self.client.do("connect", "127.0.0.1", 7003, bind=("127.0.0.1", 7003))


class Urgent(Healthy):
    """Urgent data that nobody has taken."""

    def make(self):
        self.two()
        self.connection()
        self.client.do("send", self.c, 10)
        self.client.do("send", self.c, 1, socket.MSG_OOB)
        self.client.do("send", self.c, 10)

    def ripe(self):
        return self.server.do("readable", self.s) >= 10


class Twins(Healthy):
    """The same addresses and ports in two namespaces: two connections, not one."""

    def make(self):
        for number in (1, 2):
            host = self.world.host(f"{self.name}-{number}")
            self.a = self.b = host
            server, client = self.program(host, "server"), self.program(host, "client")
            listener = server.do("listen", "127.0.0.1", 7004)[0]
            c = client.do("connect", "127.0.0.1", 7004, bind=("127.0.0.1", 7005))
            s = server.do("accept", listener)
            for _ in range(number):  # not the same sequence numbers
                client.do("send", c, 1000)
                server.do("receive", s, 1000)


class Shared(Healthy):
    """Both ends in one program; and all of it on one host."""

    def make(self):
        self.a = self.b = self.world.host(self.name)
        p = self.program(self.a, "both")
        listener, port = p.do("listen", "::1")
        c = p.do("connect", "::1", port)
        s = p.do("accept", listener)
        p.do("send", c, 100)
        p.do("receive", s, 100)


class Chatter(Healthy):
    """Question and answer, one write each: no trouble with Nagle."""

    def make(self):
        self.two()
        self.connection(client_options={"nodelay": True})
        self.server.do("background", "echo", self.s, 2)
        self.client.do("background", "write_write_read", self.c)
        self.mover = self.client


class Refused(Healthy):
    """Somebody knocks where nobody listens: said to him, and no connection is left."""

    def make(self):
        self.two()
        self.client = self.program(self.a, "knocker")
        for port in range(7010, 7015):
            error = self.client.do("connect_error", self.b.address[self.version], port)
            assert error == 111, error


class Descriptors(Healthy):
    """Many descriptors open, and a few left."""

    def make(self):
        self.two()
        self.connection()
        self.server.do("hoard", 64, 20)


class NarrowPath(Healthy):
    """A router drops what is too big, says so, and is heard (RFC 1191, RFC 8201)."""

    def make(self):
        self.three()
        self.r.run("ip", "link", "set", self.r.device[1], "mtu", "1300")
        self.connection()
        self.client.do("background", "send_some", self.c, 5000, 0.02)
        self.server.do("background", "read_some", self.s)
        self.mover = self.server

    def ripe(self):
        return self.at_client().get("pmtu") == 1300


class Healed(Healthy):
    """The way was broken for a while, and is whole again."""

    def make(self):
        self.three()
        self.connection()
        self.r.nft("forward: meta l4proto tcp drop")
        self.client.do("background", "send_some", self.c, 3000, 0.02)
        self.server.do("background", "read_some", self.s)
        eventually(lambda: self.at_client().get("tries", 0) >= 3)
        self.r.nft_clear()
        self.mover = self.server

    def ripe(self):
        return self.server.do("moved_bytes") > 0


class BlindAttack(Healthy):
    """Forged segments outside the window: refused, and nothing comes of it (RFC 5961)."""

    def make(self):
        self.two()
        self.connection()
        self.exchange()
        self.seq, self.expects = self.client.do("sequence", self.c)
        self.attacker = self.program(self.a, "attacker")
        self.client.do("background", "send_some", self.c, 100, 0.05)
        self.server.do("background", "read_some", self.s)
        self.mover = self.server

    def alive(self):
        super().alive()
        for ahead in (-100000, 1 << 30):
            self.attacker.do("forge", self.here, self.there, RST, self.seq + ahead)
            self.attacker.do("forge", self.here, self.there, PSH | ACK, self.seq + ahead,
                             self.expects, b"forged")


class Scanned(Healthy):
    """A firewall drops what has nothing to do with the connection that it lets pass."""

    def make(self):
        self.two()
        self.connection()
        self.exchange()
        self.b.nft(f"input: tcp dport != {self.port} tcp flags & (syn | ack) == syn drop")
        self.attacker = self.program(self.a, "scanner")
        self.attacker.do("background", "scan", (self.a.address[self.version], 4000),
                         self.b.address[self.version])


class Thinking(Healthy):
    """Asked, closed on the asker's side, and not answered yet: one that thinks long."""

    def make(self):
        self.two()
        self.connection(names=("asker", "thinker"))
        self.client.do("send", self.c, 100)
        self.client.do("shutdown", self.c)
        self.server.do("receive", self.s, 100)


class StoppedIdle(Healthy):
    """A program that is stopped, as by ^Z, and nobody waits for it."""

    def make(self):
        self.two()
        self.connection()
        self.exchange()
        self.server.stop()


class PortsLeft(Healthy):
    """Most of the ports are in use; the same port serves calls to several destinations."""

    def make(self):
        self.two()
        self.a.sysctl("net/ipv4/ip_local_port_range", "30000 30011")
        self.server, self.client = self.program(self.b, "server"), self.program(self.a, "client")
        for _ in range(2):
            address = self.b.address[self.version]
            listener, port = self.server.do("listen", address)
            for _ in range(8):
                self.client.do("connect", address, port)
                self.server.do("accept", listener)


class Reordered(Healthy):
    """One packet of ten comes late, behind those that were sent after it."""

    def make(self):
        self.a, self.r, self.b = (self.world.host(f"{self.name}-{x}") for x in "arb")
        self.world.link(self.a, self.r)
        self.world.link(self.r, self.b)
        for host, last in ((self.a, 1), (self.b, 2)):
            host.address = {4: f"10.99.0.{last}", 6: f"fd99::{last}"}
            device = host.device[0]
            host.run("ip", "addr", "add", host.address[4] + "/24", "dev", device)
            host.run("ip", "addr", "add", host.address[6] + "/64", "dev", device, "nodad")
            with host:
                plain_packets(device)
        for device in self.r.device:
            self.r.run("ip", "addr", "flush", "dev", device)
        shuffler = self.program(self.r, "shuffler")
        shuffler.do("play", "Shuffler", *self.r.device)
        self.connection()
        self.client.do("background", "send_some", self.c, 20000, 0.02)
        self.server.do("background", "read_some", self.s)
        self.mover = self.server

    def ripe(self):
        return self.b.counter("TcpExtTCPOFOQueue") > 5


class CoupletServes(Healthy):
    """Couplet's own TCP beside the kernel's."""
    root = ("",)  # /dev/net/tun

    def make(self):
        self.a = self.b = self.world.host(self.name)
        with self.a:
            self.served = subprocess.Popen(
                [COUPLET, "serve", "/usr/share/doc", "--", "cat"], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.served.stderr:
            if " is at http://" in line:
                address = line.split("http://")[1].split("/")[0].split(":")[0]
                break
        self.client = self.program(self.a, "client")
        self.client.do("connect", address, 80)

    def undo(self):
        self.served.send_signal(signal.SIGTERM)
        self.served.stdin.close()
        self.served.wait(10)
        super().undo()


class Crowd(Healthy):
    """A busy host: many connections, most of them at work in both directions."""
    variants = ("100",)

    def make(self):
        self.two()
        address = self.b.address[self.version]
        self.server, self.client = self.program(self.b, "server"), self.program(self.a, "client")
        listener, port = self.server.do("listen", address, backlog=128)
        ends = {self.client: [], self.server: []}
        for _ in range(int(self.variant)):
            ends[self.client].append(self.client.do("connect", address, port))
            ends[self.server].append(self.server.do("accept", listener))
        for program, numbers in ends.items():
            idle = self.rng.sample(numbers, len(numbers) // 10)
            senders = [number for number in numbers if number not in idle]
            program.do("background", "bustle", senders, numbers)
        self.mover = self.server


ALL = [IdleKeepAlive, LongIdle, SlowReader, TinyWindows, Lossy, TimeWaitCrowd, HalfClosedInUse,
       IdleListeners, OrderlyClose, Churn, Translated, SimultaneousOpen, SelfConnected, Urgent,
       Twins, Shared, Chatter, Refused, Descriptors, NarrowPath, Healed, BlindAttack, Scanned,
       Thinking, StoppedIdle, PortsLeft, Reordered, CoupletServes, Crowd]
