#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/forward.c: one stack answers for every address and port that is routed to it."""
import contextlib
import errno
import os
import socket
import threading
import time

import world
from world import (MIB, OUT, Program, eventually, note, receive_all, run, send_all, sha256)

# Addresses of nobody's, routed into the device; what the forwarder dials for them is 127.0.0.1.
FAR = "93.184.0."
FAR6 = "2001:db8:1::"


class Forward(Program):
    """With a TUN device, up, and routes into it."""

    def __init__(self, *instead):
        run("ip", "tuntap", "add", "dev", "tun8", "mode", "tun")
        run("ip", "address", "add", "10.78.0.1/24", "dev", "tun8")
        run("ip", "-6", "address", "add", "fd78::1/64", "dev", "tun8", "nodad")
        run("ip", "link", "set", "tun8", "up")
        run("ip", "route", "add", FAR + "0/24", "dev", "tun8")
        run("ip", "-6", "route", "add", FAR6 + "/64", "dev", "tun8")
        super().__init__(os.path.join(OUT, "examples/forward"), "tun8", *instead)
        eventually(lambda: "LOWER_UP" in run("ip", "link", "show", "tun8").stdout.decode() and
                   b"tentative" not in run("ip", "address").stdout)

    def stop(self, **more):
        try:
            return super().stop(**more)
        finally:
            run("ip", "link", "del", "tun8", ok=False)


@contextlib.contextmanager
def echo_tcp(address="127.0.0.1", port=7000):
    """An echo of the kernel's, which half-closes when its peer does; how many it has served."""
    served = []

    def one(s):
        with s:
            served.append(s.getpeername())
            with contextlib.suppress(OSError):
                while part := s.recv(65536):
                    s.sendall(part)

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                s, _ = listener.accept()
                threading.Thread(target=one, args=(s,), daemon=True).start()

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=300) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield served
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def echo_udp(port=7000):
    def serve(s):
        with contextlib.suppress(OSError):
            while True:
                data, peer = s.recvfrom(65536)
                if not peer:
                    break
                s.sendto(data, peer)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", port))
        threading.Thread(target=serve, args=(s,), daemon=True).start()
        yield
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_RDWR)


def dial(host, port, timeout=10):
    return socket.create_connection((host, port), timeout=timeout)


def through(s, data):
    with s:
        thread = send_all(s, data)
        got = receive_all(s, len(data))
        thread.join(20)
        s.shutdown(socket.SHUT_WR)
        return got + receive_all(s)


def any_address():
    with echo_tcp() as served, Forward("127.0.0.1"):
        for host in (FAR + "1", FAR + "77", FAR6 + "1", FAR6 + "abcd:1"):
            data = os.urandom(300000)
            assert through(dial(host, 7000), data) == data
        assert len(served) == 4
        data = os.urandom(16 * MIB)
        assert sha256(through(dial(FAR + "9", 7000), data)) == sha256(data)


def half_close():
    with echo_tcp(), Forward("127.0.0.1"):
        with dial(FAR + "1", 7000) as s:
            s.sendall(b"all there is")
            s.shutdown(socket.SHUT_WR)
            assert receive_all(s) == b"all there is"


def refused():
    """What is refused beyond is refused here, and only then."""
    with Forward("127.0.0.1"):
        for host in (FAR + "1", FAR6 + "1"):
            started = time.monotonic()
            try:
                dial(host, 9)
                raise AssertionError("it has answered")
            except ConnectionRefusedError:
                assert time.monotonic() - started < 1


def pending():
    """
    A SYN gets no answer while the dial beyond is under way: nothing is promised that is not there.
    """
    with socket.create_server(("127.0.0.1", 7001), backlog=0) as full, Forward("127.0.0.1"):
        first = dial("127.0.0.1", 7001)  # fills the accept queue: the next dial hangs
        with socket.socket() as s:
            s.setblocking(False)
            assert s.connect_ex((FAR + "1", 7001)) == errno.EINPROGRESS
            time.sleep(0.7)
            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert state(s) == 2, "SYN-SENT is 2"
            full.accept()[0].close()
            eventually(lambda: state(s) == 1, 15)
            s.setblocking(True)
            s.settimeout(10)
            peer, _ = full.accept()
            with peer:
                peer.sendall(b"at last")
            assert receive_all(s) == b"at last"
        first.close()


# The SYN may come again just when the first one is answered, and is answered again.
pending.tolerated = ("TcpInErrs",)


def state(s):
    """The kernel's number of its state: 1 is ESTABLISHED."""
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[0]


def many():
    with echo_tcp() as served, Forward("127.0.0.1"):
        started = time.monotonic()
        sockets = [dial(f"{FAR}{1 + n % 250}", 7000) for n in range(200)]
        for n, s in enumerate(sockets):
            s.sendall(b"%d" % n * 100)
        for n, s in enumerate(sockets):
            s.shutdown(socket.SHUT_WR)
            assert receive_all(s) == b"%d" % n * 100
            s.close()
        assert len(served) == 200
        note(f"200 connections through it in {time.monotonic() - started:.2f} s")


def udp():
    with echo_udp(), Forward("127.0.0.1"):
        for host, family in ((FAR + "1", socket.AF_INET), (FAR + "2", socket.AF_INET),
                             (FAR6 + "1", socket.AF_INET6)):
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.settimeout(5)
                s.connect((host, 7000))
                for size in (0, 1, 1400, 1472, 1473, 9000, 60000):
                    data = os.urandom(size)
                    s.send(data)
                    assert s.recv(65536) == data, size


def udp_refused():
    """Nobody has the port beyond: ICMP says it here, about the very datagram."""
    with Forward("127.0.0.1"):
        for host, family in ((FAR + "1", socket.AF_INET), (FAR6 + "1", socket.AF_INET6)):
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                s.settimeout(3)
                s.connect((host, 9))
                s.send(b"?")
                try:
                    s.recv(10)
                    raise AssertionError("it has answered")
                except ConnectionRefusedError:
                    pass


def socat_through_it():
    with Program("socat", "-T1", "udp-listen:7002,bind=127.0.0.1,fork", "exec:cat"), \
            Program("socat", "tcp-listen:7002,bind=127.0.0.1,fork", "exec:cat"), \
            Forward("127.0.0.1"):
        data = os.urandom(100000)
        eventually(lambda: run("socat", "-t5", "-", f"tcp:{FAR}5:7002", input=data, stdin=None,
                               ok=False).stdout == data)
        done = run("socat", "-t0.3", "-", f"udp:{FAR}5:7002", input=data[:1000], stdin=None)
        assert done.stdout == data[:1000]


TESTS = [("any address, any port", any_address), ("half-close", half_close), ("refused", refused),
         ("pending", pending), ("200 connections", many), ("UDP", udp),
         ("UDP refused", udp_refused), ("socat through it", socat_through_it)]

if __name__ == "__main__":
    world.main(TESTS, tools=("socat",))
