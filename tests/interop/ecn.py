#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Explicit congestion notification between Couplet and the kernel: what they agree on, with every
net.ipv4.tcp_ecn at either end; and marks made by `couplet wire`, counted alike by both ends. Linux
has accurate ECN from 6.18 on, but lets nobody switch it on before 7.0: until then it is the classic
peer to which Couplet falls back.
"""
import contextlib
import json
import os
import socket
import struct

import world
from world import (COUPLET, FAR, KERNELS, MIB, OURS, Peer, eventually, note, receive_all, run,
                   send_all)

PORT = 5001
OPT_ECN, OPT_ACCECN = 8, 32  # CPL_OPT_BIT_*
SENT_SEEN = 3                # CPL_ACCECN_*
CLASSIC, ACCURATE = OPT_ECN, OPT_ECN | OPT_ACCECN


ACCECN_HERE = False          # this kernel lets tcp_ecn be more than 2


def kernel_settings():
    return range(6 if ACCECN_HERE else 3)


def mode(client, server):
    """What the two agree on by their tcp_ecn."""
    asks = {1: CLASSIC, 3: ACCURATE, 4: CLASSIC}.get(client, 0)
    agrees = {0: 0, 1: CLASSIC, 2: CLASSIC}.get(server, ACCURATE)
    return asks & agrees


class Info:
    """The kernel's struct tcp_info, as far as ECN needs it."""

    def __init__(self, s):
        raw = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 280)
        raw += bytes(280 - len(raw))
        self.ecn = bool(raw[5] & 8)
        self.unacked = struct.unpack_from("I", raw, 24)[0]
        self.retrans = struct.unpack_from("I", raw, 100)[0]
        self.delivered_ce = struct.unpack_from("I", raw, 196)[0]
        (self.received_ce, self.delivered_e1, self.delivered_e0, self.delivered_ce_bytes,
         self.received_e1, self.received_e0, self.received_ce_bytes, self.fail,
         self.seen) = struct.unpack_from("7I2H", raw, 248)


def ours():
    """Couplet's only connection, as couplet show has it."""
    shown = json.loads(run(COUPLET, "show", "--json", f":{PORT}").stdout)["snapshots"]
    shown = [s for s in shown if s["source"] == "couplet" and s.get("state") == "ESTABLISHED"]
    assert len(shown) == 1, shown
    return shown[0]


def options(snapshot):
    return snapshot["options"] & ACCURATE


def check_mode(wanted, s, what):
    agreed = options(ours())
    assert agreed == wanted, f"{what}: {agreed}, not {wanted}"
    info = Info(s)
    assert info.ecn == bool(wanted), what
    # the kernel has seen our option if, and only if, the two speak accurate ECN
    assert bool(info.seen) == (wanted == ACCURATE), (what, info.seen)
    assert ours()["ecn_capable"] == bool(wanted), what


def every_setting_the_kernel_opens():
    for server in range(6) if world.SOAK else (5,):
        with Peer("--ecn", str(server), "echo", str(PORT)):
            for client in kernel_settings():
                world.write_sysctl("net/ipv4/tcp_ecn", client)
                with socket.create_connection((OURS[4], PORT)) as s:
                    s.sendall(b"hello")
                    assert s.recv(5) == b"hello"
                    check_mode(mode(client, server), s, f"kernel {client} to couplet {server}")


def every_setting_couplet_opens():
    for client in range(6) if world.SOAK else (3,):
        for server in kernel_settings():
            world.write_sysctl("net/ipv4/tcp_ecn", server)
            with socket.create_server(("", PORT)) as l, \
                    Peer("--ecn", str(client), "connect", KERNELS[4], str(PORT)) as peer:
                s, _ = l.accept()
                with s:
                    peer.stdin.write(b"hello")
                    peer.stdin.flush()
                    assert s.recv(5) == b"hello"
                    check_mode(mode(client, server), s, f"couplet {client} to kernel {server}")


# ---- Marks --------------------------------------------------------------------------------------

@contextlib.contextmanager
def far_server():
    with world.in_far():
        world.write_sysctl("net/ipv4/tcp_ecn", 3 if ACCECN_HERE else 1)
        l = socket.create_server((FAR[4], PORT))
    with l:
        yield l


def marked(cc, size=(4 if world.SOAK else 2) * MIB):
    """Couplet sends through a queue that marks and loses nothing: both ends count alike."""
    with world.router(words=("ab.rate=40mbit", "ab.queue=1m", "ab.ecn=40k", "delay=5ms")):
        with far_server() as l, Peer("--ecn", "3", "--cc", cc, "connect", FAR[4],
                                     str(PORT)) as peer:
            s, _ = l.accept()
            with s:
                data = os.urandom(size)
                send = world.threading.Thread(
                    target=lambda: (peer.stdin.write(data), peer.stdin.flush()), daemon=True)
                send.start()
                assert receive_all(s, size) == data
                send.join()
                eventually(lambda: ours()["in_flight"] == 0)
                mine, kernels = ours(), Info(s)
    note(f"{cc}: {mine['ece_in']} ECE, {mine.get('delivered_ce', '-')} of {mine['data_segs_out']} marked, "
         f"{mine['retrans']} sent again")
    assert options(mine) == (ACCURATE if ACCECN_HERE else CLASSIC), mine["options"]
    assert mine["ecn_capable"] and mine["retrans"] == 0, mine["retrans"]
    if not ACCECN_HERE:
        assert mine["ece_in"] > 0
        return
    assert kernels.received_ce > 0 and kernels.received_e0 > 0
    assert mine["delivered_ce"] == kernels.received_ce, (mine["delivered_ce"], kernels.received_ce)
    assert mine["delivered_ce_bytes"] == kernels.received_ce_bytes
    assert mine["delivered_e0_bytes"] == kernels.received_e0
    assert kernels.received_ce_bytes + kernels.received_e0 == size
    assert mine["accecn_option"] == SENT_SEEN, mine["accecn_option"]


def reno_is_marked():
    marked("reno")


def cubic_is_marked():
    marked("cubic")


def dctcp_is_marked():
    marked("dctcp")


def bbr_is_marked():
    marked("bbr")


def the_kernel_is_marked():
    """The other way: what Couplet feeds back is what the kernel counts."""
    size = 2 * MIB
    with world.router(words=("ba.rate=40mbit", "ba.queue=1m", "ba.ecn=40k", "delay=5ms")):
        with far_server() as l, Peer("--ecn", "3", "connect", FAR[4], str(PORT)) as peer:
            s, _ = l.accept()
            with s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
                data = os.urandom(size)
                thread = send_all(s, data)
                got = b""
                while len(got) < size:
                    got += peer.stdout.read1(1 << 18)
                assert got == data
                thread.join()
                eventually(lambda: Info(s).unacked == 0)  # the last ACKs are 5 ms away
                mine, kernels = ours(), Info(s)
    note(f"kernel: {kernels.delivered_ce} of {mine['ce_in']} marked, {kernels.retrans} sent again")
    assert options(mine) == (ACCURATE if ACCECN_HERE else CLASSIC), mine["options"]
    assert mine["ce_in"] > 0 and kernels.retrans < 2  # a loss probe
    if not ACCECN_HERE:
        assert kernels.delivered_ce >= mine["ce_in"]  # every ACK with ECE counts
        return
    assert kernels.delivered_ce == mine["ce_in"], (kernels.delivered_ce, mine["ce_in"])
    assert kernels.delivered_ce_bytes == mine["received_ce_bytes"]
    assert kernels.delivered_e0 == mine["received_e0_bytes"]
    assert not kernels.fail, kernels.fail


TESTS = [
    ("every tcp_ecn with every other: the kernel opens", every_setting_the_kernel_opens),
    ("every tcp_ecn with every other: couplet opens", every_setting_couplet_opens),
    ("marks on what couplet sends are counted alike by the kernel: reno", reno_is_marked),
    ("marks on what the kernel sends are counted alike by couplet", the_kernel_is_marked),
]
if world.SOAK:
    TESTS += [("the same: cubic", cubic_is_marked), ("the same: dctcp", dctcp_is_marked),
              ("the same: bbr", bbr_is_marked)]


def prepare():
    global ACCECN_HERE
    with contextlib.suppress(OSError):
        world.write_sysctl("net/ipv4/tcp_ecn", 3)
        ACCECN_HERE = True
    note("accurate ECN: " + ("the kernel, too" if ACCECN_HERE else "refused by this kernel"))


if __name__ == "__main__":
    world.main(TESTS, prepare)
