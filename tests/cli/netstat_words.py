#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet netstat for who knows another netstat: dresses, bundles, UNIX sockets, what lines mean."""
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import inside
import netstat
from netstat import COUPLET, INSIDE, hold, listener, pair, plain, refused, run, stable

TESTS = []


def test(function):
    TESTS.append(function)
    return function


def lines(*args, **more):
    return run(*args, **more).stdout.splitlines()


# ---- Dresses ----------------------------------------------------------------------------------

def proc_net(name):
    """/proc/net/tcp and tcp6: (local port, remote port, state, send, receive)."""
    rows = []
    with open(f"/proc/net/{name}") as f:
        for line in f.readlines()[1:]:
            w = line.split()
            send, recv = (int(n, 16) for n in w[4].split(":"))
            rows.append((int(w[1].rsplit(":")[-1], 16), int(w[2].rsplit(":")[-1], 16),
                         int(w[3], 16), send, recv))
    return rows


STATES = {1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2",
          6: "TIME_WAIT", 7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING"}


@test
def the_table_is_that_of_proc_net_tcp():
    def ours():
        rows = []
        for line in lines("netstat", "-ant", "--dress", "linux"):
            w = line.split()
            if w[0].startswith("tcp"):
                port = [int(end.rsplit(":", 1)[1].replace("*", "0")) for end in w[3:5]]
                # /proc has no limit of the accept queue.
                rows.append((*port, w[5], 0 if w[5] == "LISTEN" else int(w[2]), int(w[1])))
        return sorted(rows)

    def theirs():
        return sorted((a, b, STATES[s], send, recv)
                      for a, b, s, send, recv in proc_net("tcp") + proc_net("tcp6"))

    rows = stable(ours, theirs)
    assert len(rows) > 20 and {"LISTEN", "SYN_RECV", "FIN_WAIT2", "TIME_WAIT"} <= {
        row[2] for row in rows}, rows


@test
def in_linux_dress_the_rows_are_those_of_net_tools():
    def rows(out):
        got = []
        for line in out.splitlines():
            w = line.split()
            if w[0][:3] in ("tcp", "udp"):
                state = w[5] if len(w) > 5 else ""
                got.append((w[0], w[1], "0" if state == "LISTEN" else w[2], w[3], w[4], state))
        return sorted(got)

    def ours():
        return [r for r in rows(run("netstat", "-anut", "--dress", "linux").stdout)
                if not r[3].startswith("127.0.0.1:2003")]

    def theirs():
        out = subprocess.run(["netstat", "-anutW"], capture_output=True, text=True, check=True)
        # They call IPv4 over a socket of AF_INET6 "tcp6".
        return [r for r in rows(out.stdout.replace("::ffff:", ""))
                if not (r[0] == "tcp6" and "127.0.0.1" in r[3])]

    a, b = ours(), theirs()
    a = [r for r in a if r[3] != "127.0.0.1:2003"]
    assert {r[:1] + r[3:] for r in a} == {r[:1] + r[3:] for r in b}, (
        set(a) ^ set(b))
    head = lines("netstat", "-tan", "--dress=linux")
    assert head[0] == "Active Internet connections (servers and established)"
    assert re.match(r"Proto Recv-Q +Send-Q Local Address +Foreign Address +State$", head[1])
    assert lines("netstat", "-tln", "--dress=linux")[0].endswith("(only servers)")
    assert lines("netstat", "-tn", "--dress=linux")[0].endswith("(w/o servers)")


@test
def in_bsd_dress_ends_are_written_with_dots():
    for s in socket.socketpair():
        hold(s)
    out = lines("netstat", "-an", "--dress", "bsd")
    assert out[0] == "Active Internet connections (including servers)", out[0]
    assert re.match(r"Proto Recv-Q +Send-Q +Local Address +Foreign Address +\(state\)$", out[1])
    assert any(re.match(r"tcp4 +0 +8 127\.0\.0\.1\.2001 +\*\.\* +LISTEN$", l) for l in out), out
    assert any(re.match(r"tcp6 +0 +0 ::1\.2002 +::1\.3002 +ESTABLISHED$", l) for l in out), out
    assert any(re.match(r"udp6 +0 +0 \*\.2010 +\*\.\*$", l) for l in out), out
    assert "Active LOCAL (UNIX) domain sockets" in out
    assert "there is no dress" in refused(2, "netstat", "--dress", "vms")


# ---- Options ----------------------------------------------------------------------------------

@test
def the_usual_bundles_work():
    everything = lines("netstat", "-an")
    assert lines("netstat", "-antu") == everything == lines("netstat", "-n", "-a")
    plunt = lines("netstat", "-plunt")
    assert plunt == lines("netstat", "-tulpn")
    assert plunt[0].split()[-1] == "Program" and all(
        re.search(r" \d+/python3?\S*$", line) for line in plunt[1:]), plunt
    assert lines("netstat", "-antp")[0].split()[-2:] == ["(state)", "Program"]
    assert lines("netstat", "-anW") == everything == lines("netstat", "-anv")
    assert lines("netstat", "-an", "-f", "inet") == lines("netstat", "-an4")
    assert lines("netstat", "--inet6", "-an") == lines("netstat", "-an6")
    # Where a BSD's -p takes the protocol it is a filter here, and may stand anywhere.
    tcp = lines("netstat", "-an", "-p", "tcp")
    assert [line.split()[:5] for line in tcp] == [
        line.split()[:5] for line in lines("netstat", "-ant")]
    assert lines("netstat", "tcp", "-n", "-a") == lines("netstat", "-ant")
    extended = lines("netstat", "-tane", "sport = :2001 and listen")
    assert extended[0].split()[-2:] == ["User", "Inode"]
    assert re.search(r" LISTEN +0 +\d+$", extended[1]), extended
    assert re.search(r" root +\d+$", lines("netstat", "-te", "sport = :3001")[1])


@test
def timers_are_shown():
    out = lines("netstat", "-ano", "state", "time-wait")
    assert out[0].endswith(" Timer") and re.search(r" close \d+\.\d+ s$", out[1]), out
    out = lines("netstat", "-ano", "--dress", "linux", "state time-wait")
    assert re.search(r" timewait \(\d+\.\d\d/0/0\)$", out[2]), out
    out = lines("netstat", "-no", "sport = :3008")
    assert re.search(r" persist [\d.]+ m?s(, \d+ so far)?$", out[1]), out


@test
def what_is_not_shown_here_is_shown_elsewhere():
    for option, command in (("-r", "ip route"), ("-i", "ip -s link"), ("-s", "nstat"),
                            ("-g", "ip maddress"), ("-M", "conntrack"), ("-w", "ss -w"),
                            ("--statistics", "nstat"), ("-nr", "ip route"), ("-cr", "ip route"),
                            ("-Z", "ss -Z"), ("-b", "-p")):
        assert command in refused(2, "netstat", option), option
    assert "takes a value" in refused(2, "netstat", "-f")
    assert "no family" in refused(2, "netstat", "-f", "ax25")
    assert "--watch" in refused(2, "netstat", "--watch", "--json")


@test
def continuous_takes_its_interval_as_net_tools_do():
    for words in (["-tnc", ":2001", "0.05"], ["-ctn", "0.05"], ["-tn", "-c0.05"]):
        child = subprocess.Popen([COUPLET, "netstat", *words], stdout=subprocess.PIPE, text=True)
        tables = 0
        while tables < 2:
            line = child.stdout.readline()
            assert line, words
            tables += line.startswith("Proto")
        child.send_signal(signal.SIGTERM)
        child.wait(10)
        child.stdout.close()


@test
def names_are_whole_at_any_width():
    narrow = run("netstat", "-a", env={**os.environ, "COLUMNS": "40"}).stdout
    assert narrow == run("netstat", "-a").stdout
    assert "(state)" in narrow and not re.search(r"\S\.\.\.", narrow)


# ---- UNIX sockets -----------------------------------------------------------------------------

def unix_scene():
    a, b = socket.socketpair()
    a.send(b"12345")
    server = hold(socket.socket(socket.AF_UNIX))
    server.bind("\0couplet-words")
    server.listen(3)
    waiting = hold(socket.socket(socket.AF_UNIX))
    waiting.connect("\0couplet-words")
    datagrams = hold(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    datagrams.bind("\0couplet-dgram")
    return hold(a), hold(b), server


def inode(s):
    return re.search(r"\d+", os.readlink(f"/proc/self/fd/{s.fileno()}")).group()


@test
def unix_sockets_are_those_of_ss():
    a, b, server = unix_scene()
    out = lines("netstat", "-xanp")
    assert re.match(r"Proto Recv-Q Send-Q Type +\(state\) +Inode +Peer +Program +Peer-Program +Path",
                    out[0]), out[0]
    rows = {line.split()[5]: line.split() for line in out[1:] if line.split()[4] in (
        "LISTENING", "CONNECTED")}
    row = rows[inode(b)]
    assert row[1] == "5" and row[6] == inode(a), row
    assert re.match(rf"{os.getpid()}/python", row[8]), row  # the program at the other end
    row = rows[inode(server)]
    assert row[1:5] == ["1", "3", "stream", "LISTENING"] and row[-1] == "@couplet-words", row
    theirs = subprocess.run(["ss", "-Hxan"], capture_output=True, text=True, check=True).stdout
    assert len(out) - 1 == len(theirs.splitlines()), theirs
    ours = {line.split()[-1] for line in out if "@couplet" in line}
    assert ours == {"@couplet-words", "@couplet-dgram"}
    assert len(lines("netstat", "-nx")) < len(out)  # without the listener
    assert [l.split()[-1] for l in lines("netstat", "-xln")[1:]] == ["@couplet-words"]
    assert len(lines("netstat", "-n", "@couplet-w*")) == 2
    both = run("netstat", "-anxt").stdout
    assert "127.0.0.1:2001" in both and "@couplet-words" in both and "127.0.0.1:2009" not in both


@test
def unix_sockets_in_full_and_in_words():
    out = run("show", "@couplet-words").stdout
    assert out.startswith("unix @couplet-words, of python3"), out
    assert "1 of at most 3 wait for accept()" in out
    assert re.search(r"socket_type +stream", out) and "snd_una" not in out, out
    number = lines("netstat", "-xN", "@couplet-words")[1].split()[0]
    assert run("show", number).stdout.startswith("unix @couplet-words, of python3")
    explained = run("netstat", "-nx", "--explain").stdout
    assert "Recv-Q 5: unread by python3" in explained
    assert "Nobody holds the other end: it waits to be accepted" in explained, explained


# ---- Namespaces -------------------------------------------------------------------------------

@test
def connections_of_every_namespace():
    """A namespace with a name and one without; each row says whose it is."""
    if INSIDE != "root":
        return
    code = ("import os,socket,sys\nos.environ['X']='1'\ns=socket.socket()\n"
            "s.bind(('127.0.0.1', int(sys.argv[1])))\ns.listen(5)\nprint('ready', flush=True)\n"
            "sys.stdin.read()\n")
    subprocess.run(["ip", "netns", "add", "couplet-a"], check=True)
    children = []
    try:
        for how in (["ip", "netns", "exec", "couplet-a"], ["unshare", "-n"]):
            children.append(subprocess.Popen(
                [*how, "sh", "-c", "ip link set lo up; exec \"$@\"", "sh", sys.executable, "-c", code,
                 str(2070 + len(children))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            assert children[-1].stdout.readline() == "ready\n"
        rows = run("netstat", "-tlnAp").stdout  # of tests that run beside this one as well
        for row in (r" 127\.0\.0\.1:2070 .* couplet-a +\d+/python",
                    r" 127\.0\.0\.1:2071 .* of pid \d+ +\d+/python",
                    r" 127\.0\.0\.1:2001 .* \(this\) +\d+/python"):
            assert re.search(row, rows), rows
        assert "127.0.0.1:2070" not in run("netstat", "-tln").stdout
        assert "127.0.0.1:2070" in run("netstat", "-A", "--sockets").stdout
    finally:
        for child in children:
            child.stdin.close()
            child.wait(10)
            child.stdout.close()
        subprocess.run(["ip", "netns", "del", "couplet-a"], check=True)


# ---- What lines mean --------------------------------------------------------------------------

@test
def each_line_is_explained():
    out = run("netstat", "-an", "--explain", env={**os.environ, "COLUMNS": "200"}).stdout
    me = rf"python3?\S* \(pid {os.getpid()}\)"
    for local, pattern in (
            ("127.0.0.1:2001 +127.0.0.1:3001", rf"Recv-Q 777: here and acknowledged, unread by {me}; "
             r"the last of it came [\d.]+ m?s"),
            ("127.0.0.1:3008", r"in flight, [\d,]+ not yet sent: the peer's window is zero: "
             rf"{me} does not read; next probe"),
            ("127.0.0.1:2008 +127.0.0.1:3008", r"Its window is closed"),
            ("127.0.0.1:3017", r"its SYN went out (once|\d+ times) and nothing has answered"),
            ("127.0.0.1:2007 +127.0.0.1:3007", rf"{me} has not accepted it: it waits in the queue"),
            ("127.0.0.1:2004 +127.0.0.1:3004", rf"The peer has closed; {me} has not"),
            ("127.0.0.1:3004", r"has shut down its half only"),
            ("127.0.0.1:3005", r"stay reserved for [\d.]+ s"),
            ("127.0.0.1:2006 +127.0.0.1:3006", r"Half-open"),
            (r"127.0.0.1:2007 +\*", r"accept queue: 1 of at most 0 wait for accept\(\). .*It is full"),
            (r"\*:2010", rf"{me} takes datagrams")):
        row = re.search(rf"^\S+ +\d+ +\d+ +{local}.*\n((?:      .*\n)+)", out, re.M)
        assert row, f"{local} is not in:\n{out}"
        below = " ".join(row.group(1).split())
        assert re.search(pattern, below), f"{local}: {below}"
        assert len(row.group(1).splitlines()) <= 4, row.group()
    narrow = run("netstat", "-an", "--explain", env={**os.environ, "COLUMNS": "80"}).stdout
    assert max(len(l) for l in narrow.splitlines() if l.startswith("      ")) <= 80


@test
def descriptors_sockets_and_connections():
    s = listener(("127.0.0.1", 2050))
    waiting = hold(socket.create_connection(("127.0.0.1", 2050)))
    copy = os.dup(s.fileno())
    unused = hold(socket.socket())
    unused.bind(("127.0.0.1", 2051))
    c, d = pair(("127.0.0.1", 2052), 3052)
    c.close()  # an orphan in FIN-WAIT-2: D does not close
    time.sleep(0.3)
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    try:
        out = run("netstat", "--sockets").stdout
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(copy)
    number = inode(s)
    fds = ",".join(str(fd) for fd in sorted((s.fileno(), copy)))
    assert re.search(rf"  fd {fds} ─*► socket {number} ─*► LISTEN +127.0.0.1:2050\n"
                     r" +listens, has no connection; 1 of at most 8 wait for accept\(\)\n"
                     r" +2 descriptors of one socket \(dup\).*\n"
                     rf" +the same socket: fd {s.fileno()} of pid ({child}|{os.getpid()})", out), out
    assert re.search(rf"no fd +not accepted ─*► ESTABLISHED 127.0.0.1:2050 - .*\n"
                     rf"( .*\n)? *.*queue of socket\s+{number}", out), out
    assert re.search(rf"socket {number} ─*► as fd {s.fileno()} of pid", out), out
    assert re.search(r"no fd +no socket ─*► TIME_WAIT +127.0.0.1:3005 - 127.0.0.1:2005", out), out
    assert re.search(r"no fd +orphan ─*► FIN_WAIT_2 +127.0.0.1:3052 - 127.0.0.1:2052", out), out
    if re.match(r"(6\.([89]|\d\d)|[7-9]\.)", os.uname().release):
        assert re.search(rf"fd {unused.fileno()} .*CLOSED +127.0.0.1:2051\n +bound to a port", out), out
    some = run("netstat", "--sockets", "sport = :2050 and not listen").stdout
    assert re.search(rf"no fd +not accepted ─*► .*:2050 - .*queue of\s+socket\s+{number}\n$", some,
                     re.S), some
    assert "unix" in run("netstat", "--sockets", "-x").stdout
    s.close()
    waiting.close()


# ---- Watching ---------------------------------------------------------------------------------

@test
def on_a_pipe_watch_tells_changes_only():
    child = subprocess.Popen([COUPLET, "netstat", "-an", "--watch=0.1", "sport = :2060 or "
                              "sport = :3060"], stdout=subprocess.PIPE, text=True)

    def expect(pattern):
        end = time.monotonic() + 15
        while time.monotonic() < end:
            line = child.stdout.readline()
            assert line, "ended too early"
            if re.match(r"\d\d:\d\d:\d\d " + pattern, line):
                return line
        raise AssertionError(pattern)

    time.sleep(0.5)
    c, s = pair(("127.0.0.1", 2060), 3060)
    expect(r"new +tcp +0 +0 127.0.0.1:3060 +127.0.0.1:2060 +ESTABLISHED")
    c.send(b"x" * 500)
    expect(r"Recv-Q \+500 +tcp +500 ")
    c.shutdown(socket.SHUT_WR)
    expect(r"was ESTABLISHED +tcp +0 +0 127.0.0.1:3060 .* FIN_WAIT_2")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    expect(r"gone +tcp .*3060")
    c.close()
    child.send_signal(signal.SIGTERM)
    child.wait(10)
    child.stdout.close()


@test
def on_a_terminal_watch_redraws_and_marks():
    child, terminal = pty.fork()
    if not child:
        os.environ.update(TERM="xterm", COLUMNS="120")
        os.execv(COUPLET, [COUPLET, "netstat", "-an", "--watch=0.2", "sport = :3062"])
    got = ""

    def expect(pattern):
        nonlocal got
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                got += os.read(terminal, 65536).decode()
            if re.search(pattern, got):
                got = ""
                return
        raise AssertionError(f"{pattern} is not in {got[-800:]!r}")

    try:
        expect(r"\033\[H.*Change")
        c, s = pair(("127.0.0.1", 2062), 3062)
        expect(r"127.0.0.1:3062.*\033\[32mESTABLISHED\033\[0m.*new")
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
        expect(r"127.0.0.1:3062.*gone")
        expect(r"\033\[2J(?:(?!3062).)*Change(?:(?!3062).)*$")  # and forgotten after some turns
        s.close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


# ---- Rows that are pasted ---------------------------------------------------------------------

@test
def every_row_of_every_table_is_understood():
    commands = [["netstat", "-an"], ["netstat", "-tuanpo"], ["netstat", "-tanpe"],
                [COUPLET, "netstat", "-an"], [COUPLET, "netstat", "-anpoe", "--dress", "linux"],
                [COUPLET, "netstat", "-an", "--dress", "bsd"], [COUPLET, "netstat", "-xanp"],
                [COUPLET, "netstat", "-aN"], ["ss", "-tan"], ["ss", "-tuanp"], ["ss", "-tiano"],
                ["ss", "-xan"]]
    for command in commands:
        table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        done = run("explain", "-", input=table)
        assert "Not understood" not in done.stdout, f"{command}: {done.stdout}"
        rows = sum(1 for l in table.splitlines() if re.match(
            r"\s*#?\d*\s*(tcp|udp|unix|u_|ESTAB|LISTEN|SYN|FIN|TIME|CLOS|LAST)", l))
        assert done.stdout.count("Look deeper") == rows, (command, rows, done.stdout)


@test
def a_row_on_the_command_line_in_a_file_or_hostile():
    row = "tcp4 0 0 10.226.245.157.60596 20.189.173.17.https ESTABLISHED"
    for words in ([row], row.split()):
        out = run("explain", *words).stdout
        assert "port 443 (https)" in out and "This machine called" in out, out
    path = "/run/rows"
    with open(path, "w") as f:
        f.write(row + "\nnonsense\n\033[31mred\n")
    out = run("explain", path).stdout
    assert out.count("Look deeper") == 1 and out.count("Not understood") == 2, out
    assert "\033" not in out
    done = run("explain", "-", ok=False, input="nothing\n")
    assert done.returncode == 1 and "holds no row" in done.stderr, done.stderr
    done = run("explain", "-", ok=False, input="x" * 100000)
    assert done.returncode == 1, done.returncode


if __name__ == "__main__":
    if INSIDE:
        netstat.main(TESTS)
    elif not shutil.which("netstat"):
        inside.skip("net-tools is not installed")
    else:
        inside.enter(__file__, "ss")
