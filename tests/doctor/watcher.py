#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The kernel's reasons for what it throws away, as src/source/watcher.c tells them: each made with
hosts of the test's own, and found with its addresses, ports, host and reason; and nothing of
healthy traffic.

"test_watcher watch" (tests/source/test_watcher.c) prints the events.
"""
import concurrent.futures
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from packets import ACK, PSH, SYN
from world import World, eventually

OUT = os.path.abspath(os.environ.get("CHECK_OUT", os.environ.get("OUT", "out/release")))
WATCH = os.path.join(OUT, "tests/source/test_watcher")
FIELDS = ("kind", "netns", "protocol", "source", "sport", "target", "dport", "flags", "length",
          "reason", "name", "times")


class Watch:
    """What happened to packets in the with block: .events, of the hosts of WORLD."""

    def __init__(self, world):
        self.world = world

    def __enter__(self):
        self.child = subprocess.Popen([WATCH, "watch"], stdin=subprocess.PIPE, text=True,
                                      stdout=subprocess.PIPE)
        line = self.child.stdout.readline()
        assert line == "ready\n", line
        return self

    def __exit__(self, *unused):
        out, _ = self.child.communicate()
        assert self.child.returncode == 0
        ours = {str(host.netns) for host in self.world.hosts}
        self.events = []
        for line in out.splitlines():
            if line.startswith("note of what happened to packets, the older part"):
                continue  # somebody else's
            assert line.startswith("event "), line
            event = dict(zip(FIELDS, line.split()[1:]))
            if event["netns"] in ours:
                self.events.append(event)

    def find(self, **wanted):
        """The only event with these fields."""
        found = [e for e in self.events
                 if all(e[key] == str(value) for key, value in wanted.items())]
        assert len(found) == 1, f"{wanted}: {found} of {self.events}"
        return found[0]

    def none(self, **wanted):
        found = [e for e in self.events
                 if all(e[key] == str(value) for key, value in wanted.items())]
        assert not found, f"{wanted}: {found}"


def pair(world, a, b, version, **options):
    """(client, its socket, server, its socket, the client's port, the server's)"""
    client, server = world.program(a, "client"), world.program(b, "server")
    listener, port = server.do("listen", b.address[version], **options)
    c = client.do("connect", b.address[version], port)
    s = server.do("accept", listener)
    return client, c, server, s, client.do("ends", c)[0][1], port


def firewall(version):
    def test(world):
        """Who drops, at which host, and how often it was sent again."""
        a, r, b = world.three("f")
        r.nft("forward: tcp dport 99 drop")
        client = world.program(a, "client")
        with Watch(world) as watch:
            c = client.do("connect", b.address[version], 99, wait=False)
            eventually(lambda: any(row.get("tries", 0) >= 1 for row in a.tcp()))
            time.sleep(0.05)
        port = client.do("ends", c)[0][1]
        end = dict(source=a.address[version], sport=port, target=b.address[version], dport=99,
                   protocol=6, flags=SYN)
        drop = watch.find(kind="drop", netns=r.netns, **end)
        assert drop["name"] == "NETFILTER_DROP", drop
        assert int(drop["length"]) == (60 if version == 4 else 80), drop
        again = watch.find(kind="retransmit", netns=a.netns, **end)
        assert 1 <= int(again["times"]) < int(drop["times"]), (again, drop)
        watch.none(kind="rst-sent")
    return test


def too_big(version):
    def test(world):
        """The router's reason, and that its message was dropped."""
        a, r, b = world.three("m")
        r.run("ip", "link", "set", r.device[1], "mtu", "1280")
        client, c, _, _, port, _ = pair(world, a, b, version)
        r.nft("output: meta l4proto { icmp, ipv6-icmp } drop")
        with Watch(world) as watch:
            client.do("send", c, 5000)
            eventually(lambda: any(row.get("tries", 0) >= 2 for row in a.tcp()))
        drops = [e for e in watch.events if e["kind"] == "drop" and e["sport"] == str(port)]
        assert drops and all(int(e["length"]) > 1280 and e["name"] == "PKT_TOO_BIG" and
                             e["netns"] == str(r.netns) for e in drops), drops
        told = watch.find(kind="drop", netns=r.netns, name="NETFILTER_DROP",
                          protocol=1 if version == 4 else 58, target=a.address[version])
        # destination unreachable, fragmentation needed; packet too big
        assert (told["sport"], told["dport"]) == (("3", "4") if version == 4 else ("2", "0")), told
        again = [e for e in watch.events if e["kind"] == "retransmit"]
        assert any(e["length"] == "1500" and e["sport"] == str(port) and
                   e["netns"] == str(a.netns) for e in again), again
    return test


def reverse_path(world):
    """A packet whose sender would be answered by another way (RFC 3704)."""
    a, b = world.two("p")
    b.sysctl("net/ipv4/conf/all/rp_filter", 1)
    attacker = world.program(a, "attacker")
    with Watch(world) as watch:
        attacker.do("forge", ("192.0.2.77", 1234), (b.address[4], 80), SYN, 1)
        time.sleep(0.1)
    drop = watch.find(kind="drop", netns=b.netns, source="192.0.2.77", sport=1234, dport=80)
    assert drop["name"] in ("IP_RPFILTER", "IP_LOCAL_SOURCE"), drop


def old_and_wrong(world):
    """Segments outside the window, and one whose checksum is wrong."""
    a, b = world.two("w")
    client, c, _, _, port, there = pair(world, a, b, 4)
    client.do("send", c, 100)
    seq, expects = client.do("sequence", c)
    here, target = (a.address[4], port), (b.address[4], there)
    with Watch(world) as watch:
        client.do("forge", here, target, PSH | ACK, seq - 5000, expects, b"old")
        client.do("forge", here, target, PSH | ACK, seq + (1 << 30), expects, b"far ahead")
        time.sleep(0.1)
    names = {e["name"] for e in watch.events if e["kind"] == "drop" and e["sport"] == str(port)}
    assert len(names) == 2 and all(name.startswith("TCP_") for name in names), watch.events


def overflow(world):
    """A listener whose queue is full drops by name."""
    a, b = world.two("o")
    server, client = world.program(b, "server"), world.program(a, "client")
    _, port = server.do("listen", b.address[4], backlog=2)  # room for three
    for caller in range(4):
        if caller == 2:  # two more come to be half-open, and only one of them can be taken
            b.nft("input: tcp flags & (syn | ack) == ack drop")
        client.do("connect", b.address[4], port)
    with Watch(world) as watch:
        b.nft_clear()
        eventually(lambda: b.counter("TcpExtListenOverflows") > 0)
    assert any(e["name"] == "TCP_LISTEN_OVERFLOW" and e["dport"] == str(port)
               and e["netns"] == str(b.netns) for e in watch.events), watch.events


def aborted(world):
    """An RST that the program wanted: sent there, received here, the program told."""
    a, b = world.two("r")
    _, _, server, s, port, there = pair(world, a, b, 6)
    with Watch(world) as watch:
        server.do("abort", s)
        eventually(lambda: not a.tcp())
    end = dict(source=b.address[6], sport=there, target=a.address[6], dport=port, protocol=6)
    watch.find(kind="rst-sent", netns=b.netns, flags=4, **end)
    watch.find(kind="rst-received", netns=a.netns, flags=4, **end)
    told = watch.find(kind="error", netns=a.netns, **end)
    assert told["reason"] == "104", told  # ECONNRESET


def unreachable(world):
    """A router says no: the socket is told which."""
    a, r, b = world.three("u")
    r.nft("forward: tcp dport 99 drop")
    client = world.program(a, "client")
    with Watch(world) as watch:
        # Said while connect() itself is at work, it would be an error of that call, not reported.
        client.do("connect", b.address[4], 99, wait=False)
        r.run("nft", "insert rule inet t forward tcp dport 99 reject with icmpx admin-prohibited")
        eventually(lambda: not a.tcp())
    told = watch.find(kind="error", netns=a.netns, source=b.address[4], sport=99)
    assert told["reason"] == "113", told  # EHOSTUNREACH


def quiet(world):
    """Healthy traffic: nothing but what is its normal course."""
    a, b = world.two("q")
    server, client = world.program(b, "server"), world.program(a, "client")
    for version in (4, 6):
        listener, port = server.do("listen", b.address[version])
        server.do("background", "serve_one", listener)
        with Watch(world) as watch:
            for _ in range(50):
                client.do("visit", b.address[version], port)
        drops = [e for e in watch.events if e["kind"] == "drop" and e["protocol"] in ("6", "17")]
        assert not drops, drops
        assert not [e for e in watch.events if e["kind"].startswith("rst")], watch.events


TESTS = [
    ("a firewall's drop is told with its host, over IPv4", firewall(4)),
    ("a firewall's drop is told with its host, over IPv6", firewall(6)),
    ("a packet too big, and the message that did not come, over IPv4", too_big(4)),
    ("a packet too big, and the message that did not come, over IPv6", too_big(6)),
    ("reverse-path filtering is told", reverse_path),
    ("segments outside the window are told by reason", old_and_wrong),
    ("a full accept queue is told", overflow),
    ("an RST is told by who sends and who receives it", aborted),
    ("an ICMP refusal is told with the error that the socket got", unreachable),
    ("of healthy traffic nothing is told", quiet),
]


def inside(test):
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    status = 0
    try:
        test(World())
    except Exception as error:
        print("# " + f"{type(error).__name__}: {error}".replace("\n", "\n# "), flush=True)
        status = 1
    os._exit(status)  # takes all that is left with it


def enter(number):
    return subprocess.run(["unshare", "-mnp", "--fork", "--kill-child", "--mount-proc",
                           sys.executable, os.path.abspath(__file__), "--inside", str(number)],
                          capture_output=True, text=True, timeout=60)


def main():
    if sys.argv[1:2] == ["--inside"]:
        inside(TESTS[int(sys.argv[2])][1])
    probe = subprocess.run([WATCH, "watch"], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL)
    if probe.returncode == 3:
        print(f"1..0 # SKIP {probe.stdout.strip().removeprefix('note ')}")
        return
    wanted = [n for n, t in enumerate(TESTS)
              if not sys.argv[1:] or any(word in t[0] for word in sys.argv[1:])]
    print(f"1..{len(wanted)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        for number, (n, done) in enumerate(zip(wanted, pool.map(enter, wanted)), 1):
            failed += done.returncode != 0
            print(done.stdout + done.stderr, end="")
            print(f"{'not ' if done.returncode else ''}ok {number} {TESTS[n][0]}", flush=True)
    sys.exit(1 if failed else 0)


main()
