#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Streams between Couplet's TCP and the kernel's, opened by either, with loss and without."""
import contextlib
import functools
import hashlib
import os
import socket
import threading
import time

import world
from world import (FAMILY, FAR, KERNELS, LINKS, MIB, OURS, OUT, SOAK, Peer, Program, eventually,
                   in_far, nft, note, receive_all, router, run, scratch, send_all, sha256)

BULK = (1024 if SOAK else 32) * MIB
LOSSY = (128 if SOAK else 4) * MIB
PORT = 7
ANY = {4: "0.0.0.0", 6: "::"}


def connect(version=4, port=PORT, timeout=30):
    s = socket.socket(FAMILY[version], socket.SOCK_STREAM)
    s.settimeout(timeout)
    s.connect((OURS[version], port))
    return s


def listen(address, port=5001):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.settimeout(30)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    s.listen(300)
    return s


class Source(threading.Thread):
    """Random octets into WRITE, then CLOSE; their SHA-256."""

    def __init__(self, size, write, close):
        super().__init__(daemon=True)
        self.size, self.write, self.close = size, write, close
        self.digest = hashlib.sha256()
        self.error = None
        self.at = 0
        self.start()

    def run(self):
        block = os.urandom(MIB)
        try:
            while self.at < self.size:
                block = block[7:] + block[:7]
                part = block[:min(MIB, self.size - self.at)]
                self.digest.update(part)
                self.write(part)
                self.at += len(part)
            self.close()
        except OSError as error:
            self.error = error

    def stalls(self):
        """Wait until nothing more goes."""
        before = -1
        while before != self.at:
            before = self.at
            time.sleep(0.5)
        assert before < self.size, f"{self.size} octets have gone somewhere"

    def sum(self):
        self.join(120)
        assert not self.is_alive() and not self.error, self.error
        return self.digest.hexdigest()


def sink(read):
    """The SHA-256 of all that READ returns, and how much that was."""
    digest, size = hashlib.sha256(), 0
    while True:
        part = read(MIB)
        if not part:
            return digest.hexdigest(), size
        digest.update(part)
        size += len(part)


class Sink(threading.Thread):
    def __init__(self, read):
        super().__init__(daemon=True)
        self.read = read
        self.result = None
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            self.result = sink(self.read)

    def sum(self):
        self.join(120)
        assert self.result, "it has not ended"
        return self.result[0]


def both_ways(peer, s, size):
    """SIZE octets each way at the same time between peer.c and socket S; seconds it took."""
    started = time.monotonic()
    s.settimeout(120)
    up = Source(size, s.sendall, lambda: s.shutdown(socket.SHUT_WR))
    down = Source(size, lambda part: write_all(peer.stdin, part), peer.stdin.close)
    arrived = Sink(lambda n: os.read(peer.stdout.fileno(), n))
    digest, got = sink(s.recv)
    assert got == size and digest == down.sum(), f"{got} of {size}"
    assert arrived.sum() == up.sum()
    assert peer.wait() == 0, peer.said
    return time.monotonic() - started


def write_all(pipe, data):
    view = memoryview(data)
    while view:
        view = view[os.write(pipe.fileno(), view):]


def one_way(peer, s, size, to_kernel):
    started = time.monotonic()
    s.settimeout(120)
    if to_kernel:
        source = Source(size, lambda part: write_all(peer.stdin, part), peer.stdin.close)
        s.shutdown(socket.SHUT_WR)
        digest, got = sink(s.recv)
    else:
        peer.stdin.close()
        source = Source(size, s.sendall, lambda: s.shutdown(socket.SHUT_WR))
        digest, got = sink(lambda n: os.read(peer.stdout.fileno(), n))
    assert got == size and digest == source.sum(), f"{got} of {size}"
    assert peer.wait() == 0, peer.said
    return time.monotonic() - started


def healthy(peer):
    """
    Nothing has come but what an orderly peer sends: drop_ip_not_ours is what it says to groups,
    drop_tcp_window its probes: of a closed window, and of ours when this machine is busy;
    drop_tcp_no_conn a window update that follows the last ACK.
    """
    drops = {name: n for name, n in peer.drops().items()
             if name not in ("drop_ip_not_ours", "drop_tcp_window", "drop_tcp_no_conn")}
    assert not drops, drops


# ---- Over each kind of link -------------------------------------------------------------------

def streams(link):
    options = LINKS[link]
    for version in (4, 6):
        with Peer(*options, "listen", "5001") as peer, connect(version, 5001) as s:
            seconds = both_ways(peer, s, BULK // 2)
        healthy(peer)
        note(f"{link}, IPv{version}, opened by the kernel, both ways: "
             f"{BULK / seconds / 1e6:.0f} MB/s in all")
        with listen(ANY[version]) as l:
            for to_kernel in (True, False):
                with Peer(*options, "connect", KERNELS[version], "5001") as peer:
                    s, _ = l.accept()
                    with s:
                        seconds = one_way(peer, s, BULK, to_kernel)
                healthy(peer)
                note(f"{link}, IPv{version}, opened by couplet, to "
                     f"{'the kernel' if to_kernel else 'couplet'}: "
                     f"{BULK / seconds / 1e6:.0f} MB/s")


def echo_200():
    """200 connections at once, each with what it was given."""
    for options in ((), ("--tap", "--no-offload")):
        with Peer(*options, "echo", str(PORT)) as peer:
            sockets = [connect((4, 6)[n % 2]) for n in range(200)]
            data = [os.urandom(1000 + 997 * n) for n in range(200)]
            threads = [send_all(s, d) for s, d in zip(sockets, data)]
            for s, d in zip(sockets, data):
                assert receive_all(s, len(d)) == d
            for thread in threads:
                thread.join()
            for s in sockets:
                s.shutdown(socket.SHUT_WR)
            for s in sockets:
                assert receive_all(s) == b""
                s.close()
            peer.stop()
            healthy(peer)


def echo_half_close():
    """All is sent and the FIN behind it before anything is read: all comes back."""
    with Peer("echo", str(PORT)):
        for version in (4, 6):
            with connect(version) as s:
                data = os.urandom(100000)
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                time.sleep(0.05)
                assert receive_all(s) == data
            for _ in range(50):  # the FIN with the data, and right behind the SYN
                with connect(version) as s:
                    s.sendall(b"hello")
                    s.shutdown(socket.SHUT_WR)
                    assert receive_all(s) == b"hello"


def one_octet_at_a_time():
    with Peer("echo", str(PORT)) as peer, connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.monotonic()
        for n in range(1000):
            octet = bytes([n & 255])
            s.sendall(octet)
            assert s.recv(2) == octet
        note(f"round trip of one octet: {(time.monotonic() - started) * 1e3:.0f} us")
        peer.stop()
        healthy(peer)


def mtu(size):
    for options in ((), ("--tap", "--no-offload"), ("--no-offload",)):
        for version in (4, 6):
            with Peer("--mtu", str(size), *options, "listen", "5001") as peer, \
                    connect(version, 5001) as s:
                both_ways(peer, s, 8 * MIB)
            healthy(peer)


def small_mss():
    """Both ends with the smallest segments that each allows."""
    for version in (4, 6):
        with Peer("--mss", "88", "listen", "5001") as peer:
            s = socket.socket(FAMILY[version], socket.SOCK_STREAM)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
            s.connect((OURS[version], 5001))
            with s:
                both_ways(peer, s, MIB)
        healthy(peer)


def the_example():
    """examples/echo.c with socat at the other end, as its head says."""
    run("ip", "tuntap", "add", "dev", "tun7", "mode", "tun")
    run("ip", "address", "add", "10.77.0.1/24", "dev", "tun7")
    run("ip", "link", "set", "tun7", "up")
    try:
        with Program(os.path.join(OUT, "examples/echo"), "tun7"):
            data = os.urandom(4 * MIB)
            eventually(lambda: run("socat", "-T2", "-", "tcp:10.77.0.2:7,connect-timeout=1",
                                   input=b"hello", stdin=None).stdout == b"hello")
            for _ in range(3):  # the kernel's half-close: the rest still comes
                done = run("socat", "-t20", "-", "tcp:10.77.0.2:7", input=data, stdin=None)
                assert sha256(done.stdout) == sha256(data), len(done.stdout)
    finally:
        run("ip", "link", "del", "tun7")


def socat_to_socat():
    """An echo of socat's, reached from ours: half-closed by us, answered to the end."""
    with Program("socat", "tcp-listen:5001,fork,reuseaddr", "exec:cat"), \
            Program("socat", "tcp6-listen:5002,fork,reuseaddr,ipv6only", "exec:cat"):
        for version, port in ((4, 5001), (6, 5002)):
            data = os.urandom(2 * MIB)
            for attempt in range(20):
                with Peer("connect", KERNELS[version], str(port)) as peer:
                    source = Source(len(data), lambda part: write_all(peer.stdin, part),
                                    peer.stdin.close)
                    digest, size = sink(lambda n: os.read(peer.stdout.fileno(), n))
                    status = peer.wait()
                if status == 0:
                    break
                time.sleep(0.1)  # socat was not yet there
            assert status == 0 and size == len(data) and digest == source.sum(), peer.said


# ---- Those who wait ---------------------------------------------------------------------------

def zero_window():
    """A reader that stops, at either end; the other one waits and goes on."""
    with Peer("listen", "5001") as peer, connect(4, 5001) as s:
        source = Source(16 * MIB, s.sendall, lambda: s.shutdown(socket.SHUT_WR))
        source.stalls()
        digest, size = sink(lambda n: os.read(peer.stdout.fileno(), n))
        assert size == 16 * MIB and digest == source.sum()
    with Peer("listen", "5001") as peer, connect(6, 5001) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        source = Source(16 * MIB, lambda part: write_all(peer.stdin, part), peer.stdin.close)
        source.stalls()
        digest, size = sink(s.recv)
        assert size == 16 * MIB and digest == source.sum()


def slow_reader():
    with Peer("listen", "5001") as peer, connect(4, 5001) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        data = os.urandom(300000)
        thread = threading.Thread(target=write_all, args=(peer.stdin, data), daemon=True)
        thread.start()
        got = b""
        while len(got) < len(data):
            got += s.recv(1000)
            if len(got) < 100000:
                time.sleep(0.005)
        assert got == data


def keep_alive():
    """The kernel's probes are answered by us, and ours by the kernel."""
    with Peer("--keepalive", "listen", "5001") as peer, connect(4, 5001) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1),
                              (socket.TCP_KEEPCNT, 1)):
            s.setsockopt(socket.IPPROTO_TCP, option, value)
        time.sleep(2.5)  # unanswered, the first probe would have ended it after 2
        both_ways(peer, s, MIB)


def keep_alive_fails():
    """The other host is cut off: our probes find out."""
    with router():
        with in_far():
            l = listen(FAR[4])
        with l, Peer("--keepalive", "connect", FAR[4], "5001") as peer:
            s, _ = l.accept()
            with s, nft(["drop"]):
                started = time.monotonic()
                assert peer.wait() == 1
                assert "Connection timed out" in peer.said, peer.said
                assert 1.5 < time.monotonic() - started < 5


def refused():
    """Nobody listens: a RST, in either direction."""
    with Peer("echo", str(PORT)) as peer:
        for version in (4, 6):
            try:
                connect(version, 9)
                raise AssertionError("port 9 has answered")
            except ConnectionRefusedError:
                pass
        assert peer.stop() == 0 and peer.counters["rst_out"] == 2, peer.said
    for version in (4, 6):
        peer = Peer("connect", KERNELS[version], "9")
        with peer:
            assert peer.wait() == 1 and "Connection refused" in peer.said, peer.said


def reset():
    """What the kernel aborts ends at ours, and the reverse."""
    with Peer("listen", "5001") as peer, connect(4, 5001) as s:
        s.sendall(b"x")
        assert os.read(peer.stdout.fileno(), 10) == b"x"
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
        assert peer.wait(5) == 1 and "Connection reset" in peer.said, peer.said


# ---- Data in the SYN (RFC 7413) ----------------------------------------------------------------

MSG_FASTOPEN, TCPI_OPT_SYN_DATA = 0x20000000, 32


def syn_data_acked(s):
    return bool(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5] & TCPI_OPT_SYN_DATA)


def fast_open_by_the_kernel():
    """The first SYN brings a cookie home, the second one takes data with it."""
    for version in (4, 6):
        for link in ((), ("--tap", "--no-offload")):
            with Peer(*link, "--fastopen", "echo", str(PORT)) as peer:
                for n, size in enumerate((500, 500, 1000000)):
                    data = os.urandom(size)
                    with socket.socket(FAMILY[version], socket.SOCK_STREAM) as s:
                        # blocking: without a cookie, too, it sends when connected
                        sent = s.sendto(data, MSG_FASTOPEN, (OURS[version], PORT))
                        s.settimeout(30)
                        thread = send_all(s, data[sent:])
                        assert receive_all(s, size) == data
                        thread.join()
                        assert syn_data_acked(s) == (n > 0), n
                peer.stop()
                assert peer.counters["fastopen_passive"] == 2, peer.said
                # none was known, or that of a stack before this one
                assert (peer.counters.get("fastopen_requests", 0) +
                        peer.counters.get("fastopen_passive_fail", 0)) == 1, peer.said


def fast_open_by_couplet():
    for version in (4, 6):
        for link in ((), ("--tap", "--no-offload")):
            world.write_sysctl("net/ipv4/tcp_fastopen", 3)
            l = listen(ANY[version])
            l.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
            with l, Peer(*link, "--fastopen", "connect", KERNELS[version], "5001") as peer:
                first, _ = l.accept()
                with first:
                    assert receive_all(first) == b""
                peer.stdin.write(b"hello")
                peer.stdin.flush()
                s, _ = l.accept()
                with s:
                    assert receive_all(s, 5) == b"hello" and syn_data_acked(s)
                    both_ways(peer, s, MIB)
            assert peer.counters["fastopen_active"] == 1, peer.said


# ---- Through a router: loss, and a narrower link ----------------------------------------------

LOSS = "numgen random mod 100 == 0 counter drop"


def far_streams(version, options, size, rounds=1):
    for _ in range(rounds):
        with in_far():
            l = listen(FAR[version])
        with l, Peer(*options, "connect", FAR[version], "5001") as peer:
            s, _ = l.accept()
            with s:
                seconds = both_ways(peer, s, size)
        note(f"IPv{version} {' '.join(options)}: {2 * size / seconds / 1e6:.1f} MB/s in all, "
             f"{peer.counters.get('segs_retrans', 0)} of {peer.counters['segs_out']} sent again")


def loss():
    """1% of the packets, both ways."""
    with router():
        # as the wire has them, no super-segments
        for name in "near", "far":
            run(*(["nsenter", "--net=/run/netns/far"] if name == "far" else []), "ip", "link",
                "set", name, "gso_max_size", "1500", ok=False)
        with nft([LOSS]):
            for options in (("--no-offload",), (), ("--tap", "--no-offload")):
                for version in (4, 6):
                    far_streams(version, options, LOSSY)


def narrow():
    """A link further on takes less than ours: ICMP says so, both ways."""
    with router(1280):
        for options in (("--mtu", "9000"), ("--no-offload",), ("--tap",)):
            for version in (4, 6):
                far_streams(version, options, 4 * MIB)


def unreachable():
    """ICMP says why a SYN leads nowhere: a hard error ends it, a soft one does not (MUST-56)."""
    with router():
        for version, reject, hard in (
                (4, "icmp type port-unreachable", "Connection refused"),
                (4, "icmp type host-unreachable", None),
                (6, "icmpv6 type port-unreachable", "Connection refused"),
                (6, "icmpv6 type no-route", None)):
            with nft([f"reject with {reject}"]), Peer("connect", FAR[version], "5001") as peer:
                if hard:
                    assert peer.wait(5) == 1 and hard in peer.said, peer.said
                else:
                    peer.says("peer: soft error: ")
                    time.sleep(0.2)
                    assert peer.child.poll() is None


TESTS = [(f"streams over {link}", functools.partial(streams, link)) for link in LINKS]
TESTS += [("200 connections at once", echo_200),
          ("half-close", echo_half_close),
          ("one octet at a time", one_octet_at_a_time),
          ("MTU 1280", functools.partial(mtu, 1280)),
          ("MTU 9000", functools.partial(mtu, 9000)),
          ("MSS 88", small_mss),
          ("the example, and socat", the_example),
          ("an echo of socat's", socat_to_socat),
          ("readers that stop", zero_window),
          ("a slow reader", slow_reader),
          ("keep-alive", keep_alive),
          ("keep-alive, cut off", keep_alive_fails),
          ("refused", refused),
          ("reset", reset),
          ("Fast Open by the kernel", fast_open_by_the_kernel),
          ("Fast Open by couplet", fast_open_by_couplet),
          ("1% loss", loss),
          ("a narrower link further on", narrow),
          ("unreachable", unreachable)]

if __name__ == "__main__":
    world.main(TESTS, tools=("socat", "nft"))
