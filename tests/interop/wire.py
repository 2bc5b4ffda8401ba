#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet wire: what it does to frames between two devices, in a network namespace of its own."""
import select
import signal
import socket
import struct
import subprocess
import time

import world

KIND = 0x88B5  # an EtherType for experiments: nobody else uses it here


class Wire:
    """`couplet wire` between w0 and w1, and a packet socket at each."""

    def __init__(self, *words, kind="tap"):
        self.process = subprocess.Popen([world.COUPLET, "wire", f"{kind}:w0", f"{kind}:w1", *words],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "w0 and w1 are joined.\n"
        self.ends = []
        for name in ("w0", "w1"):
            end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
            end.bind((name, KIND))
            self.ends.append(end)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for end in self.ends:
            end.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.out, self.err = self.process.communicate(timeout=10)
        if not error[0]:
            assert self.process.returncode == 0, self.err

    def send(self, number, size=100, end=0):
        head = b"\xff" * 6 + b"\x02\0\0\0\0\1" + struct.pack("!HI", KIND, number)
        self.ends[end].send(head + bytes(size - len(head)))

    def receive(self, seconds, end=1):
        """The numbers of the frames that come within so many seconds of each other, with times."""
        came = []
        while select.select([self.ends[end]], [], [], seconds)[0]:
            came.append((struct.unpack("!I", self.ends[end].recv(65536)[14:18])[0],
                         time.monotonic()))
        return came


def frames_come_later_by_the_delay():
    with Wire("ab.delay=80ms", "ba.delay=0ms") as wire:
        sent = time.monotonic()
        wire.send(1)
        came = wire.receive(0.5)
        assert [number for number, _ in came] == [1], came
        assert 0.08 <= came[0][1] - sent < 0.4, came[0][1] - sent
        sent = time.monotonic()
        wire.send(2, end=1)
        came = wire.receive(0.3, end=0)
        assert [number for number, _ in came] == [2], came
        assert came[0][1] - sent < 0.08, came[0][1] - sent
    assert "w0 to w1: " in wire.out and "late by" in wire.out, wire.out


def a_share_is_lost_and_counted():
    with Wire("ab.loss=20%", "seed=7") as wire:
        came = []
        for number in range(500):
            wire.send(number)
            if number % 50 == 49:  # no more than a socket holds
                came += [number for number, _ in wire.receive(0.1)]
        assert 350 < len(came) < 450, len(came)
        assert came == sorted(came)
    assert "lost: " in wire.out, wire.out


def the_bottleneck_has_a_rate_and_a_queue():
    with Wire("rate=800kbit", "queue=20000") as wire:
        began = time.monotonic()
        for number in range(40):  # 10 ms each; 20 find room
            wire.send(number, size=1000)
        came = wire.receive(0.2)
        assert 19 <= len(came) <= 23, len(came)
        assert came[-1][1] - began > 0.18, came[-1][1] - began
    assert "queue full: " in wire.out, wire.out


def some_come_after_their_successors():
    with Wire("reorder=10%,30ms", "seed=3") as wire:
        for number in range(100):
            wire.send(number)
        came = [number for number, _ in wire.receive(0.3)]
        assert sorted(came) == list(range(100)) and came != sorted(came), came


def large_packets_vanish_where_the_mtu_is_small():
    with Wire("mtu=500") as wire:
        wire.send(1, size=1000)
        wire.send(2, size=500 + 14)
        assert [number for number, _ in wire.receive(0.2)] == [2]
    assert "too big: 1" in wire.out, wire.out


def it_ends_by_itself_and_says_nothing_when_quiet():
    began = time.monotonic()
    done = world.run(world.COUPLET, "wire", "tun:w0", "tun:w1", "--for", "1", "--quiet", text=True)
    assert 0.9 < time.monotonic() - began < 5
    assert done.stdout == "w0 and w1 are joined.\n", done.stdout


def mistakes_get_one_sentence():
    rows = [(("tap:w0",), 2, "between which two ends"),
            (("tap:w0", "w1"), 2, '"w1" is no end'),
            (("tap:w0", "tun:w1"), 2, "two of one kind"),
            (("tap:a-name-that-is-too-long", "tap:w1"), 2, "is no name of a device"),
            (("tap:w0", "tap:w1", "delay"), 2, '"delay" is no KEY=VALUE'),
            (("tap:w0", "tap:w1", "delai=3ms"), 2, 'there is no key "delai"'),
            (("tap:w0", "tap:w1", "delay=3"), 2, "that is no value for delay"),
            (("tap:w0", "tap:w1", "loss=101%"), 2, "that is no value for loss"),
            (("tap:w0", "tap:w1", "queue=1bdp"), 2, "needs a rate and a delay"),
            (("tap:w0", "tap:w1", "drop=3-1"), 2, "that is no value for drop"),
            (("tap:w0@nowhere", "tap:w1"), 3, 'no network namespace "nowhere"'),
            (("tap:w0,10.0.0.1", "tap:w1"), 3, "is no ADDRESS/LENGTH")]
    for words, status, sentence in rows:
        done = world.run(world.COUPLET, "wire", *words, ok=False, text=True)
        assert done.returncode == status, f"{words}: {done.returncode}: {done.stderr}"
        assert done.stderr.startswith("couplet wire: ") and sentence in done.stderr, done.stderr


TESTS = [frames_come_later_by_the_delay, a_share_is_lost_and_counted,
         the_bottleneck_has_a_rate_and_a_queue, some_come_after_their_successors,
         large_packets_vanish_where_the_mtu_is_small,
         it_ends_by_itself_and_says_nothing_when_quiet, mistakes_get_one_sentence]

if __name__ == "__main__":
    world.main([("wire: " + test.__name__.replace("_", " "), test) for test in TESTS])
