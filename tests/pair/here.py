#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet pair on one machine: healthy and broken pairs, made for real, with and without rights."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pairs as shared
from pairs import (SOAK, Connection, couplet, end, eventually, loopback, machine, main, numbers,
                   pairs, powerless, run, sees_numbers, verdicts)


def healthy(world):
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.talk()
    said = couplet("pair", connection.name, host=host)
    said.has(f"client {end(connection.here)}, client (pid {connection.client.pid}, ",
             f"server {end(connection.there)}, server (pid {connection.server.pid}, ",
             "OK: client and server each have all that the other sent, and know it")
    lines = said.out.splitlines()
    assert all(len(line) <= 80 for line in lines), said
    assert any(line.split()[:4] == ["state", "ESTABLISHED", "=", "state"] for line in lines), said
    if sees_numbers():
        said.has("snd_una iss+1001 = rcv_nxt irs+1001").lacks("could not be made")
    else:
        said.has("bytes_acked", "1,000 = received", "could not be made")
    # by any name of either end
    for name in (f"sport = :{connection.here[1]}", f"pid:{connection.server.pid}"):
        assert couplet("pair", name, host=host).out.splitlines()[0] == lines[0]
    one, _ = pairs(connection.name, host=host)
    assert verdicts(one) == ["ok"] and one[0]["paired_by"] == "address", one
    assert one[0]["x"]["local_port"] == connection.here[1]
    assert one[0]["y"]["local_port"] == connection.there[1]
    assert [c["verdict"] for c in one[0]["checks"]].count("ok") >= 5, one
    out = couplet("pair", "-v", connection.name, host=host).out
    assert "ok      states" in out and "send_buffer" in out, out


def healthy6(world):
    a, b = world.two("six")
    connection = Connection(world, a, b, version=6)
    connection.talk()
    one, _ = pairs(connection.name)
    assert verdicts(one) == ["ok"], one


def many(world):
    host = loopback(world)
    broken = half_open_on(world, host)
    first = Connection(world, host, host)
    second = Connection(world, host, host)
    second.talk()
    said = couplet("pair", "--all", host=host, status=1)
    lines = said.out.splitlines()
    assert lines[0].split() == ["client", "server", "states", "verdict"], said
    assert lines[1].split()[0] == end(broken.here), said  # trouble first
    assert "disagree for good" in lines[1] and lines[2].startswith("    "), said
    said.has("3 connections: 1 disagree for good; 2 OK.")
    for connection in (first, second):
        assert any(line.split() == [end(connection.here), end(connection.there), "ESTABLISHED",
                                    "OK"] for line in lines), said
    said = couplet("pair", "--all", f"sport = :{second.port}", host=host)
    said.has("1 connection: 1 OK.")
    said = couplet("pair", "pid:%d or pid:%d" % (first.client.pid, second.client.pid), host=host,
                   status=1)
    said.has("2 connections are called", "name one, or use --all")
    couplet("pair", ":9", host=host, status=1).has("no connection is called \":9\"")
    rows = couplet("netstat", "-aNn", "state", "established", host=host).out.splitlines()[1:]
    row = next(r.split()[0] for r in rows if f"{end(first.here)} " in r and
               r.split()[4] == end(first.here))
    couplet("pair", row, host=host).has(f"client {end(first.here)}", "OK: ")


def half_open_on(world, host):
    """A server that died without the client's hearing of it."""
    connection = Connection(world, host, host)
    connection.talk()
    host.nft(f"output: tcp sport {connection.port} drop")
    connection.server.do("abort", connection.s)
    return connection


def half_open(world):
    connection = half_open_on(world, loopback(world))
    host = world.hosts[0]
    said = couplet("pair", connection.name, host=host, status=1)
    said.has("no such block", "disagree for good: client holds half of a connection; server only "
             "listens and has no block for it")
    connection.server.do("close", connection.listener)
    said = couplet("pair", connection.name, host=host, status=1)
    said.has("disagree for good: client holds half of a connection whose other half does not exist",
             "server restarted, aborted, or never had it", "no timer that would find out")
    one, _ = pairs(connection.name, host=host, status=1)
    assert one[0]["y"] is None and verdicts(one) == ["disagree"], one
    assert one[0]["certainty"] in ("derived", "likely"), one


def forged(world):
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.talk()
    connection.forge(b"INJECTED!!")
    eventually(lambda: connection.server.do("readable", connection.s) == 10)
    couplet("pair", connection.name, host=host, status=1).has(
        "disagree for good: server has received 10 bytes that client never sent")
    couplet("pair", "--all", host=host, status=1, before=powerless()).has(
        "disagree for good", "server has received 10 bytes that client never sent")


def desynchronised(world):
    """A checkpoint restored with other numbers."""
    if not sees_numbers():
        return "sequence numbers are not told to this user"
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.talk()
    connection.client.do("replace", connection.c, receive_ahead=5000)
    couplet("pair", connection.name, host=host, status=1).has("disagree for good")
    return None


def black_hole(world):
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.talk()
    host.nft(f"input: tcp dport {connection.port} drop")
    connection.client.do("send", connection.c, 3000)
    one, _ = pairs(connection.name, host=host)
    assert verdicts(one) == ["behind"], one
    eventually(lambda: any(row.get("tries", 0) >= 3 for row in host.tcp()))
    for before in ((), powerless()):
        said = couplet("pair", "--all", host=host, status=1, before=before)
        said.has("stuck", "3,000 bytes of client do not get through to server, sent ")


def acks_lost(world):
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.talk()
    host.nft(f"input: tcp sport {connection.port} drop")
    connection.client.do("send", connection.c, 3000)
    eventually(lambda: any(row.get("tries", 0) >= 3 for row in host.tcp()))
    couplet("pair", connection.name, host=host, status=1).has(
        "stuck: server has 3,000 bytes of client, which has sent that ",
        "the ACKs of server do not arrive")


def closing(world):
    """States that differ as they may."""
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.talk()
    connection.client.do("shutdown", connection.c)
    eventually(lambda: any(row["state"] == "FIN-WAIT-2" for row in host.tcp()))
    couplet("pair", connection.name, host=host).has("FIN-WAIT-2 = state CLOSE-WAIT", "OK: ")
    couplet("pair", "--all", host=host, before=powerless()).has("FIN_WAIT_2/CLOSE_WAIT", " OK")
    connection.server.do("close", connection.s)
    connection.client.do("close", connection.c)
    couplet("pair", "--all", host=host).has("TIME_WAIT/none", " OK", "1 connection: 1 OK")


def not_read(world):
    """A program that does not read: behind, not broken; and it is told who."""
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.client.do("fill", connection.c)
    said = couplet("pair", connection.name, host=host)
    said.has("behind, will heal: ", "the program of server leaves", "unread")


def namespaces(world):
    """Containers with equal addresses and ports: each end has its own other end."""
    hosts = [world.host(name) for name in ("n1", "n2", "n3", "n4")]
    connections = []
    for a, b in (hosts[:2], hosts[2:]):
        cable(a, b)
        for port, here in ((7001, 40001), (7002, 40002)):
            connections.append(Fixed(world, a, b, "10.55.0.2", port, "10.55.0.1", here))
    for host in hosts:  # and on each its own loopback
        connections.append(Fixed(world, host, host, "127.0.0.1", 7001, "127.0.0.1", 40001))
    found, not_seen = pairs("--all")
    if not sees_numbers():  # without numbers nothing tells which: nobody is accused
        assert verdicts(found) == ["ok"] * 4 + ["unseen"] * 8, found
        assert {p["paired_by"] for p in found} == {"address", "several"}, found
        couplet("pair", "--all").has("4 OK", "8 not seen")
        return
    assert not not_seen, not_seen
    assert verdicts(found) == ["ok"] * 8, found
    got = {(p["x"]["pid"], p["y"]["pid"], p["x"]["local_port"]) for p in found}
    assert got == {(c.client.pid, c.server.pid, c.here[1]) for c in connections}, found
    said = couplet("pair", "--all")
    said.has("10.55.0.1:40001 n1", "10.55.0.2:7001 n4", "8 connections: 8 OK.")
    # Those of a dead container: its peer is told so, and no other's end is taken for it.
    first = connections[0]
    hosts[1].nft("output: tcp sport 7001 drop")
    first.server.do("abort", first.s)
    found, _ = pairs("--all", status=1)
    broken = [p for p in found if p["verdict"] != "ok"]
    assert len(broken) == 1 and broken[0]["x"]["pid"] == first.client.pid, broken
    assert broken[0]["y"] is None, broken


class Fixed(Connection):
    """With the ports that it is told."""

    def __init__(self, world, a, b, to, port, source, source_port):
        self.client, self.server = world.program(a, "client"), world.program(b, "server")
        self.listener, self.port = self.server.do("listen", to, port)
        self.c = self.client.do("connect", to, port, bind=(source, source_port))
        self.s = self.server.do("accept", self.listener)
        self.here, self.there = self.client.do("ends", self.c)


def cable(a, b):
    """With the same addresses as every other one."""
    run("ip", "link", "add", "name", "eth", "netns", a.name, "type", "veth", "peer", "name", "eth",
        "netns", b.name)
    for host, address in ((a, "10.55.0.1"), (b, "10.55.0.2")):
        host.run("ip", "addr", "add", address + "/24", "dev", "eth")
        host.run("ip", "link", "set", "eth", "up")
    eventually(lambda: all(h.link("eth")["operstate"] == "UP" for h in (a, b)), step=0.01)


def stack_and_kernel(world):
    """One end in Couplet's own stack, the other in the kernel."""
    host = loopback(world)
    os.makedirs("www", exist_ok=True)
    with host:
        child = subprocess.Popen([shared.COUPLET, "serve", "www", "--", "sleep", "60"],
                                 stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = child.stderr.readline()
        if "http://" not in said:
            said += child.stderr.read()
            assert "TUN" in said or "tun" in said, said
            return "no TUN device: " + said.strip()
        client = world.program(host, "client")
        number = client.do("connect", "10.99.0.2", 80)
        client.do("send", number, 100)
        # The kernel may delay the ACK of the answer and its FIN.
        eventually(lambda: verdicts(pairs("--all", host=host)[0]) == ["ok"])
        found, _ = pairs("--all", host=host)
        assert {found[0]["x"]["source"][:6], found[0]["y"]["source"]} == {"kernel", "couplet"}
        said = couplet("pair", "client", host=host)
        said.has("kernel", "couplet", "OK: client and server each have all")
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
    return None


def itself(world):
    """A socket that is connected to itself, by a simultaneous open."""
    host = loopback(world)
    program = world.program(host, "self")
    program.do("connect", "127.0.0.1", 5555, bind=("127.0.0.1", 5555))
    one, _ = pairs("--all", host=host)
    assert verdicts(one) == ["ok"] and one[0]["x"]["id"] == one[0]["y"]["id"], one
    couplet("pair", ":5555", host=host).has("OK: ")


def remote(world):
    """The other end is on another machine: how it could be seen."""
    a, b = world.two("far")
    client = world.program(a, "client")
    server = world.program(b, "server")
    _, port = server.do("listen", b.address[4])
    client.do("connect", b.address[4], port)
    said = couplet("pair", "--all", before=machine(a))
    said.has("0 connections.", "1 more leads to other machines")
    couplet("pair", "-v", "--all", before=machine(a)).has("other end not seen")
    said = couplet("pair", f":{port}", before=machine(a))
    said.has("not seen: not looked at: server was not asked", f"The other end is on {b.address[4]}, "
             "another machine", f"couplet pair --peer ssh:{b.address[4]} ':{port}'",
             "couplet snap -o FILE")


def no_rights(world):
    """What an ordinary user gets, and is told."""
    host = loopback(world)
    connection = Connection(world, host, host)
    connection.talk()
    said = couplet("pair", "--all", host=host, before=powerless())
    said.has("1 connection: 1 OK.", "could not be made")
    said = couplet("pair", f":{connection.here[1]}", host=host, before=powerless())
    said.has("bytes_acked", "OK: ", "(derived)", "checks could not be made")
    said.lacks("snd_una")
    _, not_seen = pairs("--all", host=host, before=powerless())
    assert any("sequence numbers" in text for text in not_seen), not_seen


def busy(world):
    """No false alarm among many connections that are all at work."""
    connections, wanted = (1000, 1000000) if SOAK else (300, 20000)
    host = loopback(world)
    client, server = world.program(host, "client"), world.program(host, "server")
    listener, port = server.do("listen", "127.0.0.1", backlog=1024)
    ends = [(client.do("connect", "127.0.0.1", port), server.do("accept", listener))
            for _ in range(connections)]
    ups, downs = [c for c, _ in ends], [s for _, s in ends]
    client.do("background", "bustle", ups, ups)
    server.do("background", "bustle", downs, downs)
    checks, behind = 0, 0
    for before in ((), powerless()):
        made = 0
        while made < wanted / 2:
            said = couplet("pair", "--all", host=host, before=before)
            assert f"{connections:,} connections: " in said.out, said
            said.lacks("disagree", "stuck", "not seen")
            made += numbers(said.out.rsplit(". ", 1)[1])[0]
            behind += "behind" in said.out
        checks += made
    assert behind, "nothing was under way"
    print(f"# {checks:,} checks", flush=True)


def come_and_go(world):
    """No false alarm among connections that are opened and closed all the time."""
    host = loopback(world)
    server = world.program(host, "server")
    listener, port = server.do("listen", "127.0.0.1", backlog=1024)
    for _ in range(4):
        server.do("background", "serve_one", listener)
    for i in range(4):
        world.program(host, f"client{i}").do("background", "visit", "127.0.0.1", port,
                                                   0.0 if SOAK else 0.01)
    seen = 0
    for before in ((), powerless()):
        for _ in range(200 if SOAK else 4):
            said = couplet("pair", "--all", host=host, before=before)
            said.lacks("disagree", "stuck")
            seen += numbers(said.out.split(" connection")[0].splitlines()[-1])[0]
    assert seen > 100, seen


def usage(world):
    for argv in ((), ("--peer",), ("--nonsense",), ("--all", "(("), ("--peer", "x", "--all"),
                 ("--peer", "ssh:x", "--peer-cmd", "y", "--all"), ("-c0", ":1")):
        couplet("pair", *argv, status=2).has("couplet pair: ")
    couplet("pair", "--help").has("usage: couplet pair ")
    couplet("snap", "x", status=2)
    couplet("snap", "--serve", "-o", "x", status=2)


main([
    ("both ends of a healthy connection, side by side", healthy),
    ("over IPv6, in two namespaces", healthy6),
    ("all of them, trouble first", many),
    ("half a connection", half_open),
    ("forged bytes, with rights and without", forged),
    ("numbers that a faulty checkpoint restored", desynchronised),
    ("a black hole, with rights and without", black_hole),
    ("a way back on which ACKs are lost", acks_lost),
    ("connections that close are healthy", closing),
    ("a program that does not read", not_read),
    ("containers with equal addresses", namespaces),
    ("Couplet's stack against the kernel", stack_and_kernel),
    ("a socket connected to itself", itself),
    ("an end on another machine", remote),
    ("without rights bytes are counted", no_rights),
    ("no false alarm on a busy host", busy),
    ("no false alarm among connections that come and go", come_and_go),
    ("what the command line refuses", usage),
])
