# SPDX-License-Identifier: MIT
"""Troubles, made for real: a class for each, with the findings that doctor owes for it.

make()     builds hosts, links and programs and does the harm; draws its variant from self.rng
ripe()     true once the harm shows in the sockets themselves, as ss(8) and /proc tell them
expected() the findings: Expect(id, ...), all of them
undo()     takes its programs and hosts away again
"""
import contextlib
import dataclasses
import time

from packets import ACK, PSH
from world import eventually


@dataclasses.dataclass
class Expect:
    """A finding that must be there: its kind, and of what it is said, as far as that is fixed."""
    id: str
    ends: frozenset = None  # "address:port" of both ends, or of a listener
    pids: tuple = ()        # one of them is to blame
    netns: tuple = ()       # of the hosts in which it may be said to be
    times: int = 1          # at least that many of the kind, folded or not


def end(address, port):
    """As doctor writes it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Trouble:
    """What all have: a number of their own, two ends, programs."""
    variants = ("",)
    root = ()    # the variants that cannot be made, or seen, in a user namespace
    chance = False  # not there all the time: doctor may have to look more than once
    ask = None   # (host, address, port): what is expected is said of this destination

    def __init__(self, world, number, rng, variant=None):
        self.world, self.rng = world, rng
        self.name = f"{type(self).__name__[:6].lower()}{number}"
        self.variant = variant or rng.choice(self.variants)
        self.version = rng.choice((4, 4, 6))
        self.programs, self.hosts = [], []

    def __str__(self):
        return type(self).__name__ + (f"({self.variant})" if self.variant else "")

    def prepare(self):
        """make(), and note what it made."""
        programs, hosts = set(self.world.programs), set(self.world.hosts)
        self.make()
        self.programs = [p for p in self.world.programs if p not in programs]
        self.hosts = [h for h in self.world.hosts if h not in hosts]

    def make(self):
        raise NotImplementedError

    def ripe(self):
        return True

    def expected(self):
        return []

    def undo(self):
        self.world.destroy(self.programs, self.hosts)

    # -- building blocks

    def program(self, host, name):
        return self.world.program(host, name)

    def two(self):
        self.a, self.b = self.world.two(self.name)
        self.hurry()

    def three(self):
        self.a, self.r, self.b = self.world.three(self.name)
        self.hurry()

    def hurry(self):
        """Retransmissions come at least once a second, where the kernel can (Linux 6.15), and for
        no shorter time than they would otherwise."""
        for host in (self.a, self.b):
            host.sysctl("net/ipv4/tcp_retries2", 200)
            host.sysctl("net/ipv4/tcp_syn_retries", 100)
            with contextlib.suppress(FileNotFoundError):
                host.sysctl("net/ipv4/tcp_rto_max_ms", 1000)

    def connection(self, client_options=None, server_options=None, names=("client", "server"),
                   backlog=16):
        """Two programs with a connection between them, established and accepted."""
        self.client = self.program(self.a, names[0])
        self.server = self.program(self.b, names[1])
        address = self.b.address[self.version]
        self.listener, self.port = self.server.do("listen", address, backlog=backlog,
                                                  **(server_options or {}))
        self.c = self.client.do("connect", address, self.port, **(client_options or {}))
        self.s = self.server.do("accept", self.listener)
        here, there = self.client.do("ends", self.c)
        self.here, self.there = tuple(here), tuple(there)
        self.ends = frozenset((end(*here), end(*there)))

    def exchange(self, n=3000):
        """Some data both ways, so that the connection has a life behind it."""
        for x, this, y, other in ((self.client, self.c, self.server, self.s),
                                  (self.server, self.s, self.client, self.c)):
            x.do("send", this, n)
            y.do("receive", other, n)

    def row(self, host, port, state=None):
        """The socket of HOST with PORT at one of its ends that ss(8) shows; {}: none."""
        for row in host.tcp():
            if row["state"] == "LISTEN" and state != "LISTEN":
                continue
            if state and row["state"] != state:
                continue
            if any(row[end].endswith(f":{port}") for end in ("here", "there")):
                return row
        return {}

    def at_client(self):
        return self.row(self.a, self.here[1])

    def at_server(self):
        return self.row(self.b, self.here[1])

    def netns_of(self, *hosts):
        return tuple(host.netns for host in hosts)

    def kill_host(self):
        """Its power fails."""
        self.b.run("ip", "link", "set", self.b.device[0], "down")
        self.world.destroy([self.server], [self.b])

    def drop(self, host, hook, match):
        """HOST throws away what MATCH says, in nft's words; %s stands for the client's port."""
        host.nft(f"{hook}: {match % {'port': self.here[1]}} counter drop")


# ---- Listeners ---------------------------------------------------------------------------------

class AcceptQueueFull(Trouble):
    variants = ("one short", "long", "stopped")

    def make(self):
        self.two()
        backlog = 0 if self.variant == "one short" else self.rng.randint(3, 8)
        self.server = self.program(self.b, "lazy")
        address = self.b.address[self.version]
        _, self.port = self.server.do("listen", address, backlog=backlog)
        self.callers = self.program(self.a, "callers")
        for _ in range(backlog + 1 + self.rng.randint(3, 5)):
            self.callers.do("connect", address, self.port, wait=False)
        if self.variant == "stopped":
            self.server.stop()

    def ripe(self):
        row = self.row(self.b, self.port, "LISTEN")
        return row["recv"] > row["send"] and self.b.counter("TcpExtListenOverflows") > 0

    def expected(self):
        name = "process_stopped" if self.variant == "stopped" else "accept_queue_full"
        return [Expect(name, frozenset((end(self.b.address[self.version], self.port),))
                       if name == "accept_queue_full" else None, (self.server.pid,),
                       self.netns_of(self.b))]


class SynQueueFull(Trouble):
    def make(self):
        self.version = 4
        self.two()
        self.b.sysctl("net/ipv4/tcp_syncookies", 0)
        self.b.sysctl("net/ipv4/tcp_max_syn_backlog", 16)
        self.b.sysctl("net/core/somaxconn", 16)
        self.server = self.program(self.b, "popular")
        self.port = self.server.do("listen", self.b.address[4], backlog=8)[1]
        self.a.nft("input: ip daddr 10.66.0.0/16 drop")
        self.b.run("ip", "route", "add", "10.66.0.0/16", "via", self.a.address[4])
        flood = self.program(self.a, "flood")
        flood.do("background", "flood", "10.66.{}.{}", (self.b.address[4], self.port), 60, 0.5)

    def ripe(self):
        return sum(row["state"] == "SYN-RECV" for row in self.b.tcp()) >= 8 and \
            self.b.counter("TcpExtTCPReqQFullDrop") > 0

    def expected(self):
        return [Expect("syn_queue_full", frozenset((end(self.b.address[4], self.port),)), (),
                       self.netns_of(self.b))]


# ---- One connection ----------------------------------------------------------------------------

class HalfOpen(Trouble):
    variants = ("lost RST", "rebooted host", "restarted peer", "client gone")
    root = variants  # that the other end is missing is known to who may see all

    def make(self):
        if self.variant == "rebooted host":
            self.three()
        else:
            self.two()
        self.connection()
        self.exchange()
        self.held, self.at = self.client, self.a
        if self.variant == "lost RST":
            self.drop(self.b, "output", "tcp dport %(port)d")
            self.server.do("abort", self.s)
        elif self.variant == "client gone":  # the same the other way round
            self.held, self.at = self.server, self.b
            self.drop(self.a, "output", "tcp sport %(port)d")
            self.client.do("abort", self.c)
        elif self.variant == "restarted peer":
            self.drop(self.b, "output", "tcp dport %(port)d")
            self.server.kill()
            self.world.programs.remove(self.server)
            eventually(lambda: not self.at_server() or self.at_server()["state"] == "FIN-WAIT-1")
            self.b.run("ss", "-K", "dport", "=", f":{self.here[1]}", ok=False)
            eventually(lambda: not self.at_server())
            self.b.nft_clear()
            self.server = self.program(self.b, "server")
            self.server.do("listen", self.there[0], self.there[1])
        else:
            self.kill_host()
            self.b = self.world.host(self.name + "-c")  # comes up again
            self.b.run("ip", "addr", "add", self.there[0], "dev", "lo")

    def ripe(self):
        if self.variant == "client gone":
            return not self.at_client() and self.at_server()["state"] == "ESTAB"
        return self.at_client()["state"] == "ESTAB" and not self.at_server()

    def expected(self):
        return [Expect("half_open", self.ends, (self.held.pid,), self.netns_of(self.at))]


class ZeroWindowStuck(Trouble):
    variants = ("busy", "stopped", "blocked")

    def make(self):
        self.two()
        self.connection(server_options={"rcvbuf": self.rng.choice((4096, 30000, 0))},
                        names=("writer", "reader"))
        self.exchange()
        if self.variant == "stopped":
            self.server.stop()
        elif self.variant == "busy":
            self.server.do("background", "spin")
        self.client.do("fill", self.c)

    def ripe(self):
        row = self.at_client()
        return row.get("timer") == "persist" and row.get("backoff", row["tries"]) >= 2

    def expected(self):
        stopped = self.variant == "stopped"
        return [Expect("process_stopped" if stopped else "zero_window_stuck",
                       None if stopped else self.ends, (self.server.pid,))]


class ProcessStopped(Trouble):
    """With unread data, but a window still: nothing is full yet."""

    def make(self):
        self.two()
        self.connection(names=("asker", "stopped"))
        self.exchange()
        self.server.stop()
        self.client.do("send", self.c, 500)

    def expected(self):
        return [Expect("process_stopped", None, (self.server.pid,))]


class CloseWaitStuck(Trouble):
    """Of one, time tells: nobody is there any more to wait for an answer. Of many, their number."""
    variants = ("one", "peer gone", "many")
    root = ("peer gone",)

    def make(self):
        self.two()
        if self.variant == "peer gone":
            self.a.sysctl("net/ipv4/tcp_fin_timeout", 1)
        self.connection(names=("client", "leaky"))
        self.exchange()
        end = "shutdown" if self.variant == "many" else "close"
        self.client.do(end, self.c)
        for _ in range(11 if self.variant == "many" else 0):
            c = self.client.do("connect", self.there[0], self.there[1])
            self.server.do("accept", self.listener)
            self.client.do(end, c)
        self.quiet = 3 if self.variant == "many" else 11
        self.begun = time.monotonic()

    def ripe(self):
        if self.variant == "peer gone" and self.at_client():
            return False
        return self.at_server()["state"] == "CLOSE-WAIT" and \
            time.monotonic() > self.begun + self.quiet

    def expected(self):
        many = self.variant == "many"
        return [Expect("close_wait_stuck", None if many else self.ends, (self.server.pid,),
                       times=12 if many else 1)]


class FarTrouble(Trouble):
    """With a peer on another machine: nobody here can look at it."""

    def make(self, mute=-1):
        self.version = 4
        self.a = self.world.host(self.name + "-a")
        self.b = self.world.host(self.name + "-x")
        self.world.link(self.a, self.b)
        # The other end of the cable is a device without addresses and a program that answers.
        self.b.run("ip", "addr", "flush", "dev", self.b.device[0])
        self.a.run("ip", "neigh", "replace", self.b.address[4], "lladdr",
                   self.b.link(self.b.device[0])["address"], "dev", self.a.device[0])
        self.far = self.program(self.b, "far")
        self.far.do("play", "FarPeer", self.b.device[0], mute)
        self.client = self.program(self.a, "client")
        self.c = self.client.do("connect", self.b.address[4], 4242)
        here, there = self.client.do("ends", self.c)
        self.here, self.there = tuple(here), tuple(there)
        self.ends = frozenset((end(*here), end(*there)))


class FinWait2Stuck(FarTrouble):
    def make(self):
        super().make()
        self.client.do("send", self.c, 1000)
        self.client.do("shutdown", self.c)
        for _ in range(11):
            self.client.do("shutdown", self.client.do("connect", self.b.address[4], 4242))
        self.begun = time.monotonic()

    def ripe(self):
        return all(row["state"] == "FIN-WAIT-2" for row in self.a.tcp()) and \
            time.monotonic() > self.begun + 3

    def expected(self):
        return [Expect("fin_wait_2_stuck", netns=self.netns_of(self.a), times=12)]


class BlackHole(Trouble):
    variants = ("filtered", "no route", "cable", "killed host", "far")
    tries = 4

    def make(self):
        if self.variant == "far":
            FarTrouble.make(self, mute=2000)
            self.client.do("send", self.c, 1000)
            eventually(lambda: not self.at_client()["send"])
            self.client.do("send", self.c, 5000)
            return
        self.three()
        self.connection()
        self.exchange()
        if self.variant == "filtered":
            self.drop(self.r, "forward", "tcp sport %(port)d")
            self.drop(self.r, "forward", "tcp dport %(port)d")
        elif self.variant == "no route":
            self.r.nft("output: meta l4proto { icmp, ipv6-icmp } drop")
            for host in (self.a, self.b):
                address = host.address[self.version]
                self.r.run("ip", f"-{self.version}", "route", "add", "blackhole",
                           f"{address}/{32 if self.version == 4 else 128}")
        elif self.variant == "killed host":
            self.kill_host()
        else:
            self.b.run("ip", "link", "set", self.b.device[0], "down")
        self.client.do("send", self.c, self.rng.choice((300, 5000, 40000)))

    def ripe(self):
        return self.at_client().get("tries", 0) >= self.tries

    def expected(self):
        return [Expect("black_hole", self.ends, netns=self.netns_of(self.a, self.b))]


class MtuBlackHole(Trouble):
    tries = 4

    def make(self):
        self.three()
        mtu = self.rng.choice((1300, 1400)) if self.version == 6 else self.rng.choice((600, 1200))
        self.r.run("ip", "link", "set", self.r.device[1], "mtu", str(mtu))
        self.connection()
        self.exchange(300)
        self.r.nft("output: meta l4proto { icmp, ipv6-icmp } drop")
        self.client.do("send", self.c, 20000)

    def ripe(self):
        return self.at_client().get("tries", 0) >= self.tries

    def expected(self):
        return [Expect("mtu_black_hole", self.ends, netns=self.netns_of(self.a, self.b))]


class AckPathBroken(Trouble):
    variants = ("filtered on the way", "filtered at home", "no route back")
    tries = 4

    def make(self):
        self.three()
        self.connection()
        self.exchange()
        if self.variant == "filtered on the way":
            self.drop(self.r, "forward", "tcp dport %(port)d")
        elif self.variant == "filtered at home":
            self.drop(self.a, "input", "tcp dport %(port)d")
        else:
            address = self.a.address[self.version]
            self.b.run("ip", f"-{self.version}", "route", "add", "blackhole",
                       f"{address}/{32 if self.version == 4 else 128}")
        self.client.do("send", self.c, self.rng.choice((300, 5000)))

    def ripe(self):
        return self.at_client().get("tries", 0) >= self.tries

    def expected(self):
        return [Expect("ack_path_broken", self.ends, netns=self.netns_of(self.a, self.b))]


class ForgedBytes(Trouble):
    variants = ("to the server", "to the client")

    def make(self):
        self.two()
        self.connection()
        self.exchange()
        seq, expects = self.client.do("sequence", self.c)
        attacker = self.program(self.a if self.variant == "to the server" else self.b, "attacker")
        data = b"INJECTED!!"[:self.rng.randint(4, 10)]
        if self.variant == "to the server":
            attacker.do("forge", self.here, self.there, PSH | ACK, seq, expects, data)
        else:
            attacker.do("forge", self.there, self.here, PSH | ACK, expects, seq, data)
        self.victim = (self.server, self.s) if self.variant == "to the server" else \
            (self.client, self.c)

    def ripe(self):
        return self.victim[0].do("readable", self.victim[1]) > 0

    def expected(self):
        return [Expect("forged_bytes", self.ends, netns=self.netns_of(self.a, self.b))]


class Desynchronised(Trouble):
    variants = ("restored wrongly", "restored behind")

    def make(self):
        self.two()
        self.connection()
        self.exchange()
        ahead = self.rng.randint(1000, 1 << 30)
        if self.variant == "restored wrongly":
            self.client.do("replace", self.c, send_ahead=ahead)
        else:
            self.client.do("replace", self.c, send_ahead=ahead, receive_ahead=ahead)

    def ripe(self):
        return self.at_client()["state"] == "ESTAB"

    def expected(self):
        return [Expect("desynchronised", self.ends, netns=self.netns_of(self.a, self.b))]


class RpFilter(Trouble):
    """The way back leads by another device (RFC 3704)."""
    root = ("",)  # the kernel's reasons tell it

    def make(self):
        self.version = 4
        self.three()
        self.d = self.world.host(self.name + "-d")
        aside = self.world.link(self.b, self.d)
        self.connection()
        self.exchange()
        for name in ("all", self.b.device[0]):
            self.b.sysctl(f"net/ipv4/conf/{name}/rp_filter", 1)
        self.b.run("ip", "route", "add", self.a.address[4] + "/32", "via", aside[4][1])
        self.client.do("send", self.c, 2000)

    def ripe(self):
        return self.at_client().get("tries", 0) >= 2

    def expected(self):
        return [Expect("rp_filter", self.ends, netns=self.netns_of(self.a, self.b))]


class SynNotAnswered(Trouble):
    variants = ("filtered", "nobody there", "answer lost")
    tries = 3

    def make(self):
        self.three()
        address, port = self.b.address[self.version], self.rng.randint(2000, 9000)
        if self.variant == "filtered":
            self.b.nft(f"input: tcp dport {port} drop")
        elif self.variant == "nobody there":
            protocol = "icmp" if self.version == 4 else "icmpv6"
            self.r.nft(f"output: {protocol} type destination-unreachable drop")
            address = address[:-1] + "77"
        else:
            server = self.program(self.b, "server")
            port = server.do("listen", address)[1]
            self.r.nft(f"forward: tcp sport {port} drop")
        self.port = port
        self.client = self.program(self.a, "caller")
        self.c = self.client.do("connect", address, port, wait=False)
        self.target = (address, port)

    def ripe(self):
        row = self.row(self.a, self.port)
        return row["state"] == "SYN-SENT" and row.get("tries", 0) >= self.tries

    def expected(self):
        here, _ = self.client.do("ends", self.c)
        return [Expect("syn_not_answered", frozenset((end(*here), end(*self.target))),
                       (self.client.pid,), self.netns_of(self.a))]


class NagleDelayedAck(Trouble):
    """Seen if the last piece waits at both of two looks: nearly always, where nobody else runs."""
    chance = True

    def make(self):
        self.two()
        self.connection(names=("chatty", "server"))
        self.server.do("background", "echo", self.s, 2)
        self.client.do("background", "write_write_read", self.c)
        self.begun = time.monotonic()

    def ripe(self):
        return time.monotonic() > self.begun + 2

    def expected(self):
        return [Expect("nagle_delayed_ack", self.ends, (self.client.pid,))]


# ---- Hosts and programs ------------------------------------------------------------------------

class PortsExhausted(Trouble):
    variants = ("connections", "TIME-WAIT")
    ports = 12

    def make(self):
        self.two()
        low = self.rng.randint(20, 50) * 1000
        self.a.sysctl("net/ipv4/ip_local_port_range", f"{low} {low + self.ports - 1}")
        self.server = self.program(self.b, "server")
        self.client = self.program(self.a, "greedy")
        address = self.b.address[self.version]
        listener, self.port = self.server.do("listen", address)
        if self.variant == "TIME-WAIT":
            self.a.sysctl("net/ipv4/tcp_tw_reuse", 0)
        for _ in range(self.ports):
            c = self.client.do("connect", address, self.port)
            s = self.server.do("accept", listener)
            if self.variant == "TIME-WAIT":
                self.client.do("close", c)
                self.server.do("close", s)
        eventually(lambda: self.client.do("connect_error", address, self.port) == 99)

    def expected(self):
        return [Expect("ports_exhausted", netns=self.netns_of(self.a))]


class FdLimit(Trouble):
    variants = ("listener", "caller")

    def make(self):
        self.two()
        self.connection(names=("client", "hoarder"))
        self.exchange()
        if self.variant == "listener":
            self.server.do("hoard", self.rng.randint(20, 40))
            self.client.do("connect", self.there[0], self.there[1], wait=False)
            self.guilty = self.server
        else:
            self.client.do("hoard", self.rng.randint(20, 40))
            self.guilty = self.client

    def expected(self):
        return [Expect("fd_limit", None, (self.guilty.pid,))]


class ConntrackFull(Trouble):
    """The limit is the whole machine's, so that it is not lowered: the table is filled."""

    def make(self):
        self.two()
        self.a.nft("input: ct state invalid drop")
        limit = int(self.a.sysctl("net/netfilter/nf_conntrack_max"))
        filler = self.program(self.a, "filler")
        filler.do("fill_conntrack", limit, seconds=60)
        self.limit = limit

    def ripe(self):
        return int(self.a.sysctl("net/netfilter/nf_conntrack_count")) >= self.limit

    def expected(self):
        return [Expect("conntrack_full", netns=self.netns_of(self.a))]


# ---- Destinations: doctor HOST PORT, asked for on the host that calls ----------------------------

class Destination(Trouble):
    """Nothing of it is to be seen among the connections."""
    finding = None

    def make(self):
        self.three()
        self.server = self.program(self.b, "server")
        self.address, self.port = self.b.address[self.version], self.rng.randint(2000, 9000)
        self.harm()
        self.ask = self.a, self.address, self.port

    def expected(self):
        return [Expect(self.finding)]


class NoListener(Destination):
    finding = "no_listener"

    def harm(self):
        pass


class ListensElsewhere(Destination):
    finding = "listener_other_address"

    def harm(self):
        self.server.do("listen", "127.0.0.1" if self.version == 4 else "::1", self.port)


class SynDropped(Destination):
    variants = ("at home", "on the way", "there")
    finding = "syn_dropped"

    def harm(self):
        self.server.do("listen", self.address, self.port)
        host, hook = {"at home": (self.a, "output"), "on the way": (self.r, "forward"),
                      "there": (self.b, "input")}[self.variant]
        host.nft(f"{hook}: tcp dport {self.port} drop")


class SynIcmp(Destination):
    finding = "syn_icmp"

    def harm(self):
        self.server.do("listen", self.address, self.port)
        self.r.nft(f"forward: tcp dport {self.port} reject with icmpx admin-prohibited")


class NoRoute(Destination):
    finding = "no_route"

    def harm(self):
        self.a.run("ip", f"-{self.version}", "route", "del", "default")


ALL = [AcceptQueueFull, SynQueueFull, HalfOpen, ZeroWindowStuck, ProcessStopped, CloseWaitStuck,
       FinWait2Stuck, BlackHole, MtuBlackHole, AckPathBroken, ForgedBytes, Desynchronised,
       SynNotAnswered, RpFilter, NagleDelayedAck, PortsExhausted, FdLimit,
       NoListener, ListensElsewhere, SynDropped, SynIcmp, NoRoute, ConntrackFull]
