#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet, couplet netstat and couplet show, against ss(8), in a network namespace of their own."""
import functools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import inside  # noqa: E402
from inside import COUPLET, INSIDE  # noqa: E402

STATES = {"ESTAB": "ESTABLISHED", "SYN-SENT": "SYN_SENT", "SYN-RECV": "SYN_RCVD",
          "FIN-WAIT-1": "FIN_WAIT_1", "FIN-WAIT-2": "FIN_WAIT_2", "TIME-WAIT": "TIME_WAIT",
          "CLOSE-WAIT": "CLOSE_WAIT", "LAST-ACK": "LAST_ACK", "LISTEN": "LISTEN",
          "CLOSING": "CLOSING", "UNCONN": ""}
TESTS = []
HELD = []


def test(function):
    TESTS.append(function)
    return function


def hold(thing):
    HELD.append(thing)
    return thing


def run(*args, ok=True, **more):
    done = subprocess.run([COUPLET, *args], text=True, capture_output=True, timeout=20, **more)
    if ok:
        assert done.returncode == 0, f"{args}: {done.returncode}: {done.stderr}"
    return done


@functools.lru_cache
def bpf():
    """Whether sequence numbers are told: only to the machine's own root."""
    return "sequence numbers were not looked at" not in run("show", "-a", ":2001").stderr


def refused(status, *args):
    done = run(*args, ok=False)
    assert done.returncode == status, f"{args}: {done.returncode}, not {status}: {done.stderr}"
    assert done.stderr.startswith("couplet "), done.stderr
    return done.stderr


# ---- What there is to see -------------------------------------------------------------------

def listener(address, family=socket.AF_INET, backlog=8):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(address)
    s.listen(backlog)
    return hold(s)


def pair(address, local_port, family=socket.AF_INET, to=None):
    server = listener(address, family)
    client = socket.socket(socket.AF_INET if to else family)
    client.bind(("127.0.0.1" if to else address[0], local_port))
    client.connect(to or address)
    return hold(client), hold(server.accept()[0])


def pending(address, local_port):
    s = socket.socket()
    s.setblocking(False)
    s.bind(("127.0.0.1", local_port))
    try:
        s.connect(address)
    except BlockingIOError:
        pass
    return hold(s)


def datagrams(address, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.bind(address)
    return hold(s)


def make_all():
    c, s = pair(("127.0.0.1", 2001), 3001)
    c.send(b"x" * 777)                                              # unread
    pair(("::1", 2002), 3002, socket.AF_INET6)
    pair(("::", 2003), 3003, socket.AF_INET6, ("127.0.0.1", 2003))  # IPv4 over a socket of IPv6
    c, s = pair(("127.0.0.1", 2004), 3004)                          # FIN-WAIT-2, CLOSE-WAIT
    c.shutdown(socket.SHUT_WR)
    c, s = pair(("127.0.0.1", 2005), 3005)                          # TIME-WAIT
    c.close()
    time.sleep(0.05)
    s.close()
    deferred = listener(("127.0.0.1", 2006))                        # SYN-RECEIVED
    deferred.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 60)
    pending(("127.0.0.1", 2006), 3006)
    listener(("127.0.0.1", 2007), backlog=0)                        # SYN-SENT
    pending(("127.0.0.1", 2007), 3007)
    pending(("127.0.0.1", 2007), 3017)
    c, s = pair(("127.0.0.1", 2008), 3008)                          # a peer that does not read
    c.setblocking(False)
    try:
        while True:
            c.send(b"y" * 65536)
    except BlockingIOError:
        pass
    datagrams(("127.0.0.1", 2009))
    datagrams(("::", 2010), socket.AF_INET6)
    datagrams(("127.0.0.1", 3009)).connect(("127.0.0.1", 2009))
    time.sleep(1)  # zero-window probes have begun, delayed ACKs are sent


# ---- The two tables ---------------------------------------------------------------------------

def plain(end):
    host, port = end.rsplit(":", 1)
    host = host.split("%")[0].strip("[]")
    if host.startswith("::ffff:"):
        host = host[7:]
    return ("*" if host in ("0.0.0.0", "::", "*") else host) + ":" + port


def ss(*options):
    out = subprocess.run(["ss", "-H", "-n", "-a", *options], text=True, capture_output=True,
                         check=True).stdout
    rows = []
    for line in out.splitlines():
        words = line.split()
        if len(options) == 1:  # one protocol: ss leaves its column out
            words.insert(0, "tcp" if options[0] == "-t" else "udp")
        proto, state, recv, send, local, peer = words[:6]
        state = STATES[state] if proto == "tcp" else ""
        rows.append((proto, int(recv), int(send), plain(local), plain(peer), state))
    return sorted(rows)


def rows_of(out):
    rows = []
    for line in out.splitlines()[1:]:
        words = line.split() + [""]
        rows.append((words[0].rstrip("6"), int(words[1]), int(words[2]), plain(words[3]),
                     plain(words[4]), words[5]))
    return sorted(rows)


def stable(left, right):
    """Equal at one moment: what moves by itself moves between two looks as well."""
    for _ in range(20):
        a, b, again = left(), right(), left()
        if a == again:
            break
        time.sleep(0.05)
    assert a == b, "only here:\n%s\nonly in ss:\n%s" % (
        "\n".join(map(str, sorted(set(a) - set(b)))), "\n".join(map(str, sorted(set(b) - set(a)))))
    return a


@test
def all_rows_are_those_of_ss():
    rows = stable(lambda: rows_of(run("netstat", "-an").stdout), lambda: ss("-t", "-u"))
    states = {row[5] for row in rows}
    assert states >= {"LISTEN", "ESTABLISHED", "FIN_WAIT_2", "CLOSE_WAIT", "TIME_WAIT", "SYN_RCVD",
                      "SYN_SENT", ""}, states
    assert len(rows) > 20, len(rows)


@test
def tcp_alone_and_udp_alone():
    stable(lambda: rows_of(run("netstat", "-ant").stdout), lambda: ss("-t"))
    stable(lambda: rows_of(run("netstat", "-anu").stdout), lambda: ss("-u"))
    both = rows_of(run("netstat", "-antu").stdout)
    assert both == rows_of(run("netstat", "-an").stdout)


@test
def families():
    four = rows_of(run("netstat", "-an4").stdout)
    six = rows_of(run("netstat", "-an6").stdout)
    assert sorted(four + six) == rows_of(run("netstat", "-an").stdout)
    assert ("tcp", 0, 0, "127.0.0.1:2003", "127.0.0.1:3003", "ESTABLISHED") in four
    assert ("tcp", 0, 0, "::1:2002", "::1:3002", "ESTABLISHED") in six
    assert not [row for row in six if "127.0.0.1" in row[3]]


@test
def listening_and_not():
    listening = rows_of(run("netstat", "-ln").stdout)
    rest = rows_of(run("netstat", "-n").stdout)
    assert {row[5] for row in listening} == {"LISTEN", ""}
    assert "LISTEN" not in {row[5] for row in rest}
    assert ("udp", 0, 0, "127.0.0.1:3009", "127.0.0.1:2009", "") in rest
    assert sorted(listening + rest) == rows_of(run("netstat", "-an").stdout)


@test
def filters():
    def ports(*words):
        out = run("netstat", "-n", *words).stdout
        return sorted(row[3].rsplit(":", 1)[1] for row in rows_of(out))

    assert ports("dport = :2001") == ["3001"]
    assert ports("state", "time-wait") == ["3005"]
    assert ports(":2004") == ["2004", "2004", "3004"]
    assert ports(":2004 and not listen") == ["2004", "3004"]
    assert ports("127.0.0.1:3001-127.0.0.1:2001") == ["2001", "3001"]
    assert ports("-l", ":2004") == ["2004"]
    assert ports("recv_queue = 777") == ["2001"]
    assert ports("state", "syn-sent", "or", "state", "syn-recv") == ["2006", "3017"]
    assert ports("udp", ":2009") == ["2009", "3009"]
    assert ports(f"pid:{os.getpid()}", "dst", "::1") == ["2002", "3002"]
    assert ports(":9") == []


@test
def owners():
    out = run("netstat", "-anp", "sport = :3001").stdout
    assert re.search(rf" {os.getpid()}/python3?\S*$", out.splitlines()[1]), out
    out = run("netstat", "-anp", "state", "time-wait").stdout
    assert out.splitlines()[1].endswith(" -"), out


@test
def names():
    out = run("netstat", "-a", ":2001").stdout
    assert "localhost:" in out or "127.0.0.1:" in out
    started = time.monotonic()
    run("netstat", "-a")
    assert time.monotonic() - started < 3


@test
def numbers_name_rows():
    out = run("netstat", "-N", "-n", "-p", "state", "close-wait").stdout.splitlines()[1]
    number = out.split()[0]
    assert re.fullmatch(r"#\d+", number), out
    shown = run("show", number).stdout
    assert shown.startswith("tcp 127.0.0.1:2004 - 127.0.0.1:3004, CLOSE_WAIT, of "), shown[:200]
    every = run("netstat", "-aNn").stdout.splitlines()[1:]
    assert [row.split()[0] for row in every] == [f"#{i + 1}" for i in range(len(every))]


@test
def again_and_again():
    child = subprocess.Popen([COUPLET, "netstat", "-n", "-c0.05", ":2001"], stdout=subprocess.PIPE,
                             text=True)
    tables = 0
    while tables < 3:
        tables += child.stdout.readline().startswith("Proto")
    child.send_signal(signal.SIGTERM)
    child.wait(10)
    child.stdout.close()


@test
def one_in_full():
    out = run("show", "127.0.0.1:3001-127.0.0.1:2001").stdout
    first = out.splitlines()[0]
    assert first.startswith("tcp 127.0.0.1:3001 - 127.0.0.1:2001, ESTABLISHED, of "), first
    assert f"(pid {os.getpid()}, descriptor " in first
    for pattern in (r"bytes_sent +777 ", r"snd_mss +[\d,]+ bytes", r"cc_name +\w+", r"passive +~no",
                    r"iss +~\d+ " if bpf() else r"unknown: iss snd_una snd_nxt", r"why +~idle"):
        assert re.search(pattern, out), pattern + "\n" + out
    out = run("show", "127.0.0.1:2001-127.0.0.1:3001").stdout
    assert re.search(r"recv_queue +777 bytes", out), out
    out = run("show", "-v", "127.0.0.1:2001-127.0.0.1:3001").stdout
    assert re.search(r"snd_una +\d+ iss\+1 " if bpf() else r"snd_una +- ", out), out
    out = run("show", ":3008", "dport = :2008").stdout
    assert re.search(r"why +~zero-wnd", out), out
    out = run("show", "state", "time-wait").stdout
    assert re.search(r"timer_close +\d+\.\d+ s", out), out


@test
def none_or_several():
    said = refused(1, "show", "127.0.0.1:3101")
    assert "no connection is called \"127.0.0.1:3101\"; the nearest:" in said, said
    assert "127.0.0.1:3001" in said, said
    said = refused(1, "show", "no-such-program-at-all")
    assert "couplet netstat -aN" in said, said
    done = run("show", ":2004", ok=False)
    assert done.returncode == 1 and "3 connections are called \":2004\"" in done.stderr, done.stderr
    assert len(done.stdout.splitlines()) == 4, done.stdout
    assert run("show", "-a", ":2004").stdout.count("\nIdentity\n") == 3


@test
def what_changes():
    c, s = pair(("127.0.0.1", 2030), 3030)
    child = subprocess.Popen([COUPLET, "show", "-c0.05", "dport = :2030"], stdout=subprocess.PIPE,
                             text=True)
    last = "~ computed" if bpf() else "The kernel tells no sequence"
    while not child.stdout.readline().startswith(last):
        pass
    time.sleep(0.2)
    c.send(b"hello")
    line = ""
    while "bytes_sent" not in line:
        line = child.stdout.readline()
        assert line, "ended too early"
    assert re.search(r"bytes_sent +0 -> 5", line), line
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
    rest = child.stdout.read()
    assert "is gone" in rest, rest
    assert child.wait(10) == 0
    child.stdout.close()


@test
def as_json():
    done = run("netstat", "-a", "--json", ok=False)
    if done.returncode == 3:
        assert "JSON" in done.stderr
        return
    infos = json.loads(done.stdout)["snapshots"]
    mine = [i for i in infos if i["local_port"] == 3001]
    assert len(mine) == 1 and mine[0]["bytes_sent"] == 777, mine
    assert ("snd_una" in mine[0]) == bpf() and "cwnd" in mine[0]["derived"]
    assert mine[0]["pid"] == os.getpid()
    one = json.loads(run("show", "--json", "sport = :3001").stdout)["snapshots"]
    assert len(one) == 1 and one[0]["id"] == mine[0]["id"]


@test
def alone():
    out = run().stdout
    lines = out.splitlines()
    assert re.match(r"here +\d+ TCP connections, \d+ listeners, 3 UDP sockets$", lines[0]), out
    assert re.match(r"states +ESTABLISHED \d+, ", lines[1]), out
    assert re.match(r"listening +.*:2001 ", lines[2]), out
    assert re.match(r"programs +python3? \d+", lines[3]), out
    assert re.match(r"look at +'#\d+': ", lines[4]), out
    assert lines[5] == "" and lines[6].startswith("Look "), out
    assert max(map(len, lines)) <= 80, out
    run("show", re.search(r"'(#\d+)'", lines[4]).group(1))


@test
def helpful_mistakes():
    assert "-z" in refused(2, "netstat", "-z")
    assert "--colour" in refused(2, "netstat", "--colour")
    assert "ip route" in refused(2, "netstat", "-r")
    assert "interval" in refused(2, "netstat", "-c1x")
    assert "which connection?" in refused(2, "show")
    said = refused(2, "netstat", "state", "establishd")
    assert "did you mean ESTABLISHED?" in said and "\n          ^^^^^^^^^^\n" in said, said
    said = refused(2, "show", "443")
    assert ":443" in said and "pid:443" in said, said
    for command in "netstat", "show":
        assert run(command, "--help").stdout.startswith(f"usage: couplet {command} ")


@test
def an_ordinary_user():
    """The rows are the same without privileges; who holds the sockets of others is not seen."""
    if INSIDE != "root":
        return
    done = run("netstat", "-anp", user=65534, group=65534, extra_groups=[])
    seen = rows_of("\n".join(line.rsplit(None, 1)[0] for line in done.stdout.splitlines()))
    assert seen == rows_of(run("netstat", "-an").stdout), seen
    assert "no permission to see who holds" in done.stderr, done.stderr
    assert "root" in done.stderr


# ---- The frame ----------------------------------------------------------------------------------

def main(tests):
    make_all()
    print(f"1..{len(tests)}", flush=True)
    sys.exit(any([inside.tell(number, function, inside.attempt(function))
                  for number, function in enumerate(tests, 1)]))


if __name__ == "__main__":
    if INSIDE:
        main(TESTS)
    else:
        inside.enter(__file__, "ss")
