#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ICMP, UDP and fragments between Couplet's stack and the kernel's."""
import contextlib
import errno
import functools
import os
import select
import socket
import struct
import time

import world
from world import FAMILY, FAR, OURS, Peer, eventually, in_far, router, run

LINKS = {"TUN": (), "TAP": ("--tap",), "TAP without offload": ("--tap", "--no-offload")}
ECHO = {4: (8, 0), 6: (128, 129)}
UNREACHABLE = {4: (3, 3), 6: (1, 4)}
TIME_EXCEEDED = {4: 11, 6: 3}
IP_RECVERR = {4: (socket.IPPROTO_IP, 11), 6: (socket.IPPROTO_IPV6, 25)}
PORT = 7


def checksum(data):
    data += b"\0" * (len(data) & 1)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def icmp_socket(version):
    s = socket.socket(FAMILY[version], socket.SOCK_RAW,
                      socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6)
    s.settimeout(5)
    return s


def ping(version, size, host=None, s=None, sequence=1):
    """An echo request of SIZE octets, and the answer to it; the hop limit it came with."""
    host = host or OURS[version]
    request, reply = ECHO[version]
    payload = os.urandom(size)
    message = struct.pack("!BBHHH", request, 0, 0, 77, sequence) + payload
    if version == 4:
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    with contextlib.ExitStack() as stack:
        s = s or stack.enter_context(icmp_socket(version))
        if version == 6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        s.sendto(message, (host, 0))
        end = time.monotonic() + 5
        while time.monotonic() < end:
            data, control, _, peer = s.recvmsg(70000, 200)
            hops = None
            if version == 4:
                hops, data = data[8], data[(data[0] & 15) * 4:]
            for level, kind, value in control:
                if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
                    hops = struct.unpack("i", value)[0]
            if data[0] == reply and data[4:8] == struct.pack("!HH", 77, sequence):
                assert data[8:] == payload and peer[0] == host, f"another answer to {size}"
                assert version == 6 or checksum(data) == 0
                return hops
    raise AssertionError(f"no answer to {size} octets")


def pings():
    for link, options in LINKS.items():
        with Peer(*options, "echo", str(PORT)) as peer:
            for version in (4, 6):
                assert ping(version, 56) == 64
                largest = 1500 - (28 if version == 4 else 48)
                # with fragments: both of them come and go in pieces from one octet more on
                for size in (0, 1, largest, largest + 1, largest + 8, 8192, 30001, 65507 - 48):
                    ping(version, size)
            peer.stop()
            assert peer.counters["reassembled"] >= 10 and peer.counters["fragmented"] >= 10, link


def udp(version, timeout=5):
    s = socket.socket(FAMILY[version], socket.SOCK_DGRAM)
    s.settimeout(timeout)
    return s


def datagrams():
    for link, options in LINKS.items():
        with Peer(*options, "echo", str(PORT)):
            for version in (4, 6):
                largest = 1500 - (28 if version == 4 else 48)
                with udp(version) as s:
                    for size in (0, 1, 2, largest, largest + 1, 8192, 20000, 65507 - 48):
                        data = os.urandom(size)
                        s.sendto(data, (OURS[version], PORT))
                        got, peer = s.recvfrom(70000)
                        assert got == data and peer[:2] == (OURS[version], PORT), (link, size)


def without_checksum():
    """UDP over IPv4 may do without one (RFC 768)."""
    with Peer("echo", str(PORT)), udp(4) as s:
        s.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
        s.sendto(b"unchecked", (OURS[4], PORT))
        assert s.recvfrom(100)[0] == b"unchecked"


def fragments_out_of_order():
    """The kernel takes ours; ours takes these: the last first, one twice."""
    with Peer("echo", str(PORT)) as peer, udp(4) as s, \
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        s.bind(("10.99.0.1", 6000))
        payload = os.urandom(5000)
        datagram = struct.pack("!HHHH", 6000, PORT, 8 + len(payload), 0) + payload
        pieces = [(at, datagram[at:at + 800]) for at in range(0, len(datagram), 800)]
        for order in (reversed(pieces), pieces[1::2] + pieces[::2], pieces[:3] + pieces[2:]):
            for at, piece in order:
                more = 0x2000 if at + len(piece) < len(datagram) else 0
                raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 99, more | at // 8, 64, 17, 0,
                                       socket.inet_aton("10.99.0.1"), socket.inet_aton(OURS[4]))
                           + piece, (OURS[4], 0))
            assert s.recvfrom(6000)[0] == payload
        # A datagram whose fragments overlap is none (RFC 5722), not even in part.
        for at, piece in pieces[:2] + [(800, pieces[1][1][:-8] + b"overlap!")] + pieces[2:]:
            more = 0x2000 if at + len(piece) < len(datagram) else 0
            raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 98, more | at // 8, 64, 17, 0,
                                   socket.inet_aton("10.99.0.1"), socket.inet_aton(OURS[4]))
                       + piece, (OURS[4], 0))
        s.settimeout(0.3)
        try:
            s.recvfrom(6000)
            raise AssertionError("a datagram of overlapping fragments was taken")
        except TimeoutError:
            pass
        peer.stop()
        assert peer.drops().get("drop_frag_overlap", 0) >= 1, peer.drops()


def closed_port():
    """The kernel hears of it from our ICMP, and tells the socket which datagram it was."""
    with Peer("echo", str(PORT)) as peer:
        for version in (4, 6):
            with udp(version) as s:
                s.setsockopt(*IP_RECVERR[version], 1)
                s.connect((OURS[version], 9))
                s.send(b"is anybody there?")
                poll = select.poll()
                poll.register(s, select.POLLERR)
                assert poll.poll(5000), "no ICMP came"
                data, control, flags, to = s.recvmsg(100, 200, socket.MSG_ERRQUEUE)
                assert data == b"is anybody there?" and to[:2] == (OURS[version], 9), (data, to)
                error, origin, kind, code = struct.unpack("=IBBB", control[0][2][:7])
                assert (kind, code) == UNREACHABLE[version], (kind, code)
                assert error == errno.ECONNREFUSED and origin == (2 if version == 4 else 3)
        peer.stop()
        assert peer.counters["icmp_out"] == 2 and peer.drops()["drop_udp_no_port"] == 2


def unknown_protocol():
    """Protocol unreachable; IPv6: parameter problem, unrecognized Next Header (RFC 8200 4)."""
    with Peer("echo", str(PORT)):
        for version, want in ((4, (3, 2)), (6, (4, 1))):
            with socket.socket(FAMILY[version], socket.SOCK_RAW, 253) as s, \
                    icmp_socket(version) as icmp:
                s.sendto(b"experimental", (OURS[version], 0))
                while True:
                    data = icmp.recv(2000)
                    data = data[(data[0] & 15) * 4:] if version == 4 else data
                    if data[0] < 128 and data[0] not in (0, 8):
                        break
                assert tuple(data[:2]) == want, data[:2]


def hops():
    """As traceroute does: the router answers the first, ours the second; TCP's ends as well."""
    with router(), Peer("echo", str(PORT)):
        for version in (4, 6):
            level, option = (socket.IPPROTO_IP, socket.IP_TTL) if version == 4 else \
                (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
            with in_far():
                s, icmp = udp(version), icmp_socket(version)
            with s, icmp:
                seen = []
                for ttl in (1, 2):
                    s.setsockopt(level, option, ttl)
                    s.sendto(b"x" * 30, (OURS[version], 33434 + ttl))
                    while True:
                        data, peer = icmp.recvfrom(2000)
                        data = data[(data[0] & 15) * 4:] if version == 4 else data
                        if data[0] in (TIME_EXCEEDED[version], UNREACHABLE[version][0]):
                            break
                    seen.append((data[0], peer[0]))
                assert seen == [(TIME_EXCEEDED[version], world.NEAR[version]),
                                (UNREACHABLE[version][0], OURS[version])], seen
                with in_far(), icmp_socket(version) as echo:
                    assert ping(version, 3000, s=echo) == 63  # one hop less than 64


hops.tolerated = ("IpInHdrErrors", "Ip6InHdrErrors")  # the packets that go no further


def flood():
    """ICMP errors and echo replies are limited to 1,000 a second; TCP does not notice."""
    with Peer("echo", str(PORT)) as peer, icmp_socket(4) as s, \
            socket.create_connection((OURS[4], PORT), 5) as tcp:
        message = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        for _ in range(25):  # no more at once than the device's queue holds
            for _ in range(200):
                s.sendto(message, (OURS[4], 0))
            tcp.sendall(b"still here")
            assert tcp.recv(100) == b"still here"
        peer.stop()
        assert peer.counters["icmp_in"] + peer.drops().get("drop_icmp_limit", 0) >= 4000, \
            peer.counters
        assert peer.counters["icmp_out"] < 4000, peer.counters


def hostile():
    """Packets that are none: counted by reason, and nothing else happens."""
    source, ours = socket.inet_aton("10.99.0.1"), socket.inet_aton(OURS[4])

    def ip(protocol, payload, length=None, flags=0, ident=1, header=0x45, src=source):
        return struct.pack("!BBHHHBBH4s4s", header, 0, length or 20 + len(payload), ident, flags,
                           64, protocol, 0, src, ours) + payload

    def tcp(flags=2, offset=5, options=b"", sport=4000, check=0):
        return struct.pack("!HHIIBBHHH", sport, PORT, 1, 0, offset << 4, flags, 1000, check,
                           0) + options

    with Peer("--no-offload", "echo", str(PORT)) as peer, \
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw, \
            socket.create_connection((OURS[4], PORT), 5) as good:
        for packet in (ip(6, b""), ip(6, tcp()[:10]), ip(6, tcp(offset=15)), ip(6, tcp(offset=3)),
                       ip(6, tcp(check=0xdead)), ip(17, b"\0\1\0\7\0\3\0\0"), ip(1, b"\3\3\0\0"),
                       ip(6, tcp(), src=ours), ip(6, tcp(), src=b"\377\377\377\377"),
                       ip(6, tcp(), src=b"\340\0\0\1"), ip(17, b"x" * 3, flags=0x2000),
                       ip(17, b"x" * 80, flags=0x1fff), ip(200, b"what"), ip(2, b"\x11" * 8)):
            with contextlib.suppress(OSError):
                raw.sendto(packet, (OURS[4], 0))
        for _ in range(300):
            with contextlib.suppress(OSError):
                raw.sendto(ip(6, os.urandom(40)), (OURS[4], 0))
        good.sendall(b"unimpressed")
        assert good.recv(100) == b"unimpressed"
        good.close()
        time.sleep(0.1)
        peer.stop()
        drops = peer.drops()
        for name in ("drop_tcp_header", "drop_tcp_checksum", "drop_udp_bad", "drop_icmp_bad",
                     "drop_ip_source", "drop_ip_protocol"):
            assert drops.get(name), (name, drops)
        assert sum(drops.values()) >= 300, drops


hostile.tolerated = ("IcmpInErrors",)  # what we quote of a packet that was too short


TESTS = [("pings, and in fragments", pings), ("UDP, and in fragments", datagrams),
         ("UDP without a checksum", without_checksum),
         ("fragments out of order, twice, overlapping", fragments_out_of_order),
         ("UDP to a closed port", closed_port), ("a protocol that is not spoken", unknown_protocol),
         ("hop by hop", hops), ("a flood of pings", flood), ("hostile packets", hostile)]

if __name__ == "__main__":
    world.main(TESTS)
