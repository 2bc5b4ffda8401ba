#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet watch in a terminal, in a network namespace of its own: what is on the screen, what keys
do, and how it leaves the terminal behind."""
import concurrent.futures
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import inside  # noqa: E402
from inside import COUPLET, INSIDE, attempt, tell  # noqa: E402
from terminal import Terminal  # noqa: E402

MANY = 50000 if os.environ.get("SOAK") else 0
TESTS = []
HELD = []
LAST = "many_connections_leave_the_keys_quick"


def test(function, where=True):
    if where:
        TESTS.append(function)
    return function


def test_where(condition):
    return lambda function: test(function, condition)


# ---- What there is to see -------------------------------------------------------------------

def pair(port, caller):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(8)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("127.0.0.1", caller))
    client.connect(("127.0.0.1", port))
    server = listener.accept()[0]
    listener.close()
    HELD.extend((client, server))
    return client, server


def trickle(client, server):
    """50 kB/s in small pieces, so that each sample sees some of it."""
    def run():
        while True:
            try:
                client.send(b"x" * 1000)
                server.recv(1 << 20)
            except OSError:
                return
            time.sleep(0.02)
    threading.Thread(target=run, daemon=True).start()


def fill(client):
    client.setblocking(False)
    try:
        while True:
            client.send(b"y" * 65536)
    except BlockingIOError:
        pass


def make_all():
    trickle(*pair(2001, 3001))      # moves
    fill(pair(2002, 3002)[0])       # the peer does not read
    pair(2003, 3003)[0].shutdown(socket.SHUT_WR)  # FIN-WAIT-2, CLOSE-WAIT
    pair(2004, 3004)                # idle
    full = socket.socket()          # an accept queue that is full: SYN-SENT
    full.bind(("127.0.0.1", 2005))
    full.listen(0)
    HELD.append(full)
    for port in 3005, 3015:
        s = socket.socket()
        s.setblocking(False)
        s.bind(("127.0.0.1", port))
        try:
            s.connect(("127.0.0.1", 2005))
        except BlockingIOError:
            pass
        HELD.append(s)
    time.sleep(0.4)  # probes have begun


def watch(*args, columns=80, lines=24, **more):
    return Terminal([COUPLET, "watch", "-i0.1", *args], columns, lines, **more)


class open_watch:
    """A terminal that is closed whatever comes."""

    def __init__(self, *args, **more):
        self.args, self.more = args, more

    def __enter__(self):
        self.terminal = watch(*self.args, **self.more)
        return self.terminal

    def __exit__(self, *_):
        self.terminal.close()


def row(terminal, port):
    """The line of the connection that calls from PORT."""
    return terminal.until(rf"^.*127\.0\.0\.1:{port} +127.*$").group()


# ---- The table -------------------------------------------------------------------------------

@test
def what_matters_stands_on_top():
    with open_watch("-l", columns=120) as t:
        t.until(r"\d\.\dK ")  # there are rates
        lines = t.screen.text()
        assert re.match(r"couplet watch  \d+ connections, \d+ in trouble +sampled in [\d.]+ [mu]s,"
                        r" every 0\.\d+ s$", lines[0]), lines[0]
        assert lines[1].endswith("by what matters"), lines[1]
        order = [re.search(r"127\.0\.0\.1:(\d+)", line).group(1) for line in lines[3:]
                 if re.match(r"[> ][! ]127", line)]
        places = [order.index(port) for port in ("3002", "3015", "2003", "3001", "3004")]
        assert places == sorted(places), t.show()
        assert "no room" in row(t, 3002) and "no answer" in row(t, 3015), t.show()
        assert "not closed" in row(t, 2003) and "full" in row(t, 2005) + t.show(), t.show()
        assert "python" in row(t, 3001), t.show()


@test
def rates_are_those_of_the_traffic():
    with open_watch("-i", "1", columns=120) as t:
        def rate(lines):
            found = [re.search(r"^..\S+:3001 .*ESTABLISHED +\d+ +\d+ +(\S+) +(\S+) ", line)
                     for line in lines]
            found = [f.groups() for f in found if f]
            return found and found[0][1].endswith("K") and found[0]
        came, left = t.until(rate)
        assert came == "0" and 30 < float(left[:-1]) < 60, (came, left)


@test
def filters_and_their_errors():
    with open_watch() as t:
        row(t, 3004)
        t.press("/state established and sport = :3004")
        t.until(r"^/state established and sport = :3004$")
        assert t.screen.cursor_shown
        t.press("ENTER")
        t.until(r"couplet watch  1 connection ")
        t.until(r"^filter: state established and sport = :3004 ")
        assert "3004" in t.screen.text()[3] and not t.screen.text()[4], t.show()
        t.press("/")
        t.press("\x15state sent")
        t.press("ENTER")
        t.until(r"there is no state \"sent\"")
        t.until(r"^ +vvvv$")
        t.press("ESC")
        t.until(r"Enter open")
        t.press("ESC")
        t.until(r"^every TCP connection")


@test
def a_filter_on_the_command_line():
    with open_watch("dport", "=", ":2004") as t:
        t.until(r"couplet watch  1 connection ")
        t.until(r"^filter: dport = :2004 ")
    with open_watch(f"pid:{os.getpid()}", "state", "fin-wait-2") as t:
        t.until(r"couplet watch  1 connection ")
    done = subprocess.run([COUPLET, "watch", "state", "sent"], capture_output=True, text=True)
    assert done.returncode == 2 and "no state" in done.stderr, done.stderr


@test
def keys_choose_sort_and_pause():
    with open_watch("-s", "local") as t:
        t.until(r"^>.127\.0\.0\.1:2001")
        t.press("DOWN")
        t.until(r"^>.127\.0\.0\.1:2002")
        selected = [i for i, line in enumerate(t.screen.text()) if line.startswith(">")]
        assert 7 in t.screen.style[selected[0]][5], "the selected row is reversed"
        t.press("r")
        t.until(r"by Local, reversed")
        t.press("s")
        t.until(r"by Foreign$")
        t.press(" ")
        t.until(r"paused$")
        before = t.screen.text()
        t.read(0.3)
        assert t.screen.text() == before, "it goes on"
        t.press("p")
        t.until(r"every 0\.\d+ s$")
        t.press("RIGHT")
        t.press("RIGHT")
        t.until(r"^  Local.*Program.*$")
        t.press("?")
        t.until(r"couplet watch: help")
        t.press("q")
        t.until(r"by Foreign$")
        t.press("q")
        assert t.wait() == 0


@test
def what_changed_is_bold():
    with open_watch("sport", "=", ":3001") as t:
        def bold(lines):
            place = lines[3].find("K ")
            return place > 0 and 1 in t.screen.style[3][place]
        t.until(bold)


# ---- One connection --------------------------------------------------------------------------

@test
def both_ends_of_one():
    with open_watch("sport = :3002") as t:
        row(t, 3002)
        t.press("ENTER")
        t.until(r"^A 127\.0\.0\.1:3002 python\S* \(pid \d+\)   B 127\.0\.0\.1:2002 python")
        t.until(r"^(OK|behind, will heal): ")
        t.until(r"^A no room: the other end's window is zero, [\d,]+ bytes wait")
        t.until(r"^state +ESTABLISHED +=   state +ESTABLISHED")
        t.press("2")
        t.until("A► ESTABLISHED ◄B")
        t.press("3")
        t.until(r"bytes from A to B over time")
        t.until(r"▁ acknowledged  █ in flight: ")
        t.press("ESC")
        t.until(r"couplet watch  1 connection")


@test
def a_plot_that_moves():
    with open_watch("sport = :3001") as t:
        row(t, 3001)
        t.press("ENTER")
        t.press("3")
        t.until(lambda lines: len({i for i, line in enumerate(lines) if "│" in line and
                                   ("▁" in line or "█" in line)}) >= 3)


@test
def the_other_end_in_another_namespace():
    call = "import socket; input(); s = socket.create_connection(('10.78.0.1', 2008)); " \
           "s.send(b'x' * 777); input()"
    with subprocess.Popen(["unshare", "-n", sys.executable, "-c", "print(flush=True);" + call],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()  # it is in its namespace
        inside = ["nsenter", "-t", str(other.pid), "-n"]
        for command in (["ip", "link", "add", "vw0", "type", "veth", "peer", "name", "vw1", "netns",
                         str(other.pid)],
                        ["ip", "addr", "add", "10.78.0.1/24", "dev", "vw0"],
                        ["ip", "link", "set", "vw0", "up"],
                        inside + ["ip", "addr", "add", "10.78.0.2/24", "dev", "vw1"],
                        inside + ["ip", "link", "set", "vw1", "up"]):
            subprocess.run(command, check=True)
        listener = socket.create_server(("10.78.0.1", 2008))
        other.stdin.write(b"\n")
        other.stdin.flush()
        held = listener.accept()[0]
        with open_watch("sport = :2008 and established") as t:
            t.until(r"couplet watch  1 connection ")
            t.press("ENTER")
            t.until(r"^A 10\.78\.0\.1:2008 .*   B 10\.78\.0\.2:\d+ python")
            assert re.search(r"netns \d+$", t.screen.text()[0]) or len(t.screen.text()[0]) == 80
            t.until(r"^recv_queue +777 +send_queue +0$")
        held.close()
        listener.close()
        other.kill()


@test
def one_that_ends_meanwhile():
    client, server = pair(2006, 3006)
    with open_watch("sport = :3006", lines=40) as t:
        row(t, 3006)
        t.press("ENTER")
        t.press("2")
        t.until("A► ESTABLISHED ◄B")
        client.shutdown(socket.SHUT_WR)
        t.until("A► FIN-WAIT-2")
        t.until("CLOSE-WAIT ◄B")
        server.close()
        t.until("A► TIME-WAIT")
        t.until("CLOSED ◄B")


@test
def a_reset_connection_is_gone():
    client, server = pair(2007, 3007)
    with open_watch("sport = :3007", lines=40) as t:
        row(t, 3007)
        t.press("ENTER")
        t.until("= +state +ESTABLISHED")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        server.close()
        t.until("This connection is gone")
        t.press("q")
        t.until("No connection matches")


# ---- The terminal ----------------------------------------------------------------------------

@test
def sizes():
    with open_watch() as t:
        row(t, 3001)
        t.size(40, 10)
        t.until(r"^too small$")
        t.until(r"^40x10; needs 60x12$")
        t.size(132, 50)
        t.until(r"^  Local .*Program +Trouble$")
        assert t.screen.text()[49].startswith("Enter open"), t.show()
        row(t, 3001)
        t.size(80, 24)
        t.until(r"^Enter open  / filter  s sort  Space pause  l listeners  \? help  q quit$")
        assert not t.screen.unknown, t.screen.unknown


@test
def it_quits_cleanly():
    for how, status in (("q", 0), ("Q", 0), ("\3", 0), (signal.SIGINT, 0),
                        (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)):
        with open_watch() as t:
            row(t, 3001)
            assert t.screen.alternate
            t.press(how) if isinstance(how, str) else os.kill(t.pid, how)
            assert t.wait() == status, (how, t.status)
            assert t.is_cooked(), how


@test
def a_terminal_that_goes_away():
    t = watch()
    row(t, 3001)
    os.close(t.fd)
    for _ in range(100):
        pid, status = os.waitpid(t.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.05)
    assert pid, "still there"


@test
def without_colour_and_without_unicode():
    with open_watch(NO_COLOR="1", LC_ALL="C") as t:
        row(t, 3002)
        t.press("ENTER")
        t.until(r"^A sends -+> B receives$")
        t.press("2")
        t.until("A> ESTABLISHED <B")
        assert not re.search(rb"\x1b\[[\d;]*\b3[0-7]m", t.raw), "colours"
        assert all(byte < 0x80 for byte in t.raw), "not ASCII"
    with open_watch() as t:
        row(t, 3002)
        t.until(lambda lines: any(31 in style for line in t.screen.style for style in line))
    with open_watch(TERM="vt100") as t:  # no colour, no cursor keys' mode, little else
        row(t, 3001)
        t.press("q")
        assert t.wait() == 0


@test
def no_terminal():
    for more in {"stdin": subprocess.DEVNULL}, {}:
        done = subprocess.run([COUPLET, "watch"], capture_output=True, text=True, timeout=10, **more)
        assert done.returncode == 3, done.returncode
        assert re.fullmatch(r"couplet watch: .*couplet netstat --watch.*\n", done.stderr), done.stderr
    with open_watch(TERM="no-such-terminal") as t:
        assert t.wait() == 3
        assert b"of no known type" in t.raw, t.raw
    done = subprocess.run([COUPLET, "watch", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage: couplet watch ")
    for wrong in ("-i0", "-i"), ("-i0.02", "0.05"), ("-sx", "nothing to sort by"), ("#3", "no numbers"), ("-z", "-z"):
        done = subprocess.run([COUPLET, "watch", wrong[0]], capture_output=True, text=True)
        assert done.returncode == 2 and wrong[1].strip("-") in done.stderr, (wrong, done.stderr)


@test_where(INSIDE == "root")
def an_ordinary_user_sees_the_same_rows_and_what_is_missing():
    with open_watch(user=65534) as t:
        assert "ESTABLISHED" in row(t, 3001)
        t.until(r"^who holds \d+ sockets is not seen: other users' \(root sees all\) +by what")
        t.press("/sport = :3001\r")
        t.until(r"couplet watch  1 connection ")
        t.press("ENTER")
        t.until(r"^state +ESTABLISHED +=   state +ESTABLISHED")
        t.press("3")
        t.until(r"byte counters: sequence numbers need root")


@test_where(MANY)
def many_connections_leave_the_keys_quick():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    each = min(MANY, 20000, hard // 2 - 200)
    children = [hold_many(number, each) for number in range(-(-MANY // each))]
    for _, ready in children:
        assert os.read(ready, 1)
    try:
        check_many(2 * each * len(children))
    finally:
        for child, _ in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def hold_many(number, each):
    """A process with so many connections, both ends; its pid and where it says that it has them."""
    ready, done = os.pipe()
    child = os.fork()
    if child:
        os.close(done)
        return child, ready
    listener = socket.socket()
    listener.bind(("0.0.0.0", 2100 + number))
    listener.listen(512)
    for _ in range(each):
        client = socket.socket()
        client.connect((f"127.0.{1 + number}.1", 2100 + number))
        HELD.extend((client, listener.accept()[0]))
    os.write(done, b"x")
    while True:
        signal.pause()


def check_many(sockets):
    with open_watch("-l") as t:
        t.until(rf"watch  {sockets // 1000},\d\d\d connections.*sampled in", 30)
        print("# " + t.screen.text()[0])
        began = time.monotonic()
        for _ in range(10):
            t.press("DOWN")
        t.until(lambda lines: lines[13].startswith(">"))
        took = time.monotonic() - began
        print(f"# ten keys in {took * 1000:.0f} ms")
        assert took < 1, took


# ---- The frame ----------------------------------------------------------------------------------

def main():
    """They mostly wait for a screen: some at a time, but for the one that needs the machine."""
    make_all()
    print(f"1..{len(TESTS)}", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        results = [pool.submit(attempt, function) if function.__name__ != LAST else None
                   for function in TESTS]
        for number, (function, result) in enumerate(zip(TESTS, results), 1):
            failed |= tell(number, function, result.result() if result else attempt(function))
    os._exit(failed)


def enter():
    done = subprocess.run([COUPLET, "watch"], capture_output=True, text=True)
    if "without ncurses" in done.stderr:
        inside.skip("couplet was built without ncurses")
    inside.enter(__file__, "nsenter")


if __name__ == "__main__":
    if INSIDE:
        main()
    else:
        enter()
