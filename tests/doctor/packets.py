# SPDX-License-Identifier: MIT
"""Packets that no kernel's TCP has sent: forged ones, peers that only answer, a cable that
shuffles, and entries for a table of tracked connections."""
import ctypes
import fcntl
import random
import re
import select
import socket
import struct
import time

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def version_of(address):
    return 6 if ":" in address else 4


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_segment(source, target, flags, seq, ack=0, data=b"", window=512, options=b""):
    family = FAMILY[version_of(source[0])]
    src, dst = (socket.inet_pton(family, end[0]) for end in (source, target))
    offset = (20 + len(options)) // 4
    head = struct.pack("!HHIIBBHHH", source[1], target[1], seq & 0xffffffff, ack & 0xffffffff,
                       offset << 4, flags, window, 0, 0) + options
    length = len(head) + len(data)
    pseudo = src + dst + (struct.pack("!BBH", 0, 6, length) if len(src) == 4
                          else struct.pack("!IHBB", length, 0, 0, 6))
    return head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:] + data


def ip_packet(source, target, segment):
    """IPv4 only."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + segment


def ip6_packet(source, target, segment):
    return struct.pack("!IHBB", 6 << 28, len(segment), 6, 64) + \
        socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target) + \
        segment


def raw_send(source, target, *args):
    version = version_of(target[0])
    segment = tcp_segment(source, target, *args)
    if version == 4:
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        s.sendto(ip_packet(source[0], target[0], segment), (target[0], 0))
    else:
        s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        s.sendto(ip6_packet(source[0], target[0], segment), (target[0], 0))
    s.close()


class FarPeer:
    """A host that only answers packets on DEVICE (IPv4): to anybody who looks for its sockets it
    is another machine. It takes connections and acknowledges; it never closes, and after MUTE
    bytes it says nothing any more (-1: always answers); its window is WINDOW."""

    def __init__(self, device, mute=-1, window=60000):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.socket.bind((device, 0))
        self.mute, self.window = mute, window
        self.next = {}  # of each connection: what we expect
        self.taken = 0

    def run(self):
        while True:
            frame, address = self.socket.recvfrom(70000)
            if address[2] != 4 and len(frame) >= 54 and frame[23] == 6:  # not what we sent
                self.answer(frame)

    def answer(self, frame):
        ip = frame[14:14 + struct.unpack("!H", frame[16:18])[0]]
        at = (ip[0] & 15) * 4
        source = (socket.inet_ntoa(ip[12:16]), struct.unpack("!H", ip[at:at + 2])[0])
        target = (socket.inet_ntoa(ip[16:20]), struct.unpack("!H", ip[at + 2:at + 4])[0])
        seq, ack = struct.unpack("!II", ip[at + 4:at + 12])
        flags, data = ip[at + 13], ip[at + (ip[at + 12] >> 4) * 4:]
        if flags & SYN:
            self.next[source] = seq + 1
            self.reply(frame, target, source, SYN | ACK, 1000, self.next[source],
                       struct.pack("!BBH", 2, 4, 1460))
            return
        if seq == self.next.get(source):
            self.next[source] += len(data) + bool(flags & FIN)
        self.taken += len(data)
        if 0 <= self.mute < self.taken or not (data or flags & FIN):
            return
        self.reply(frame, target, source, ACK, ack, self.next.get(source, seq), b"")

    def reply(self, frame, source, target, flags, seq, ack, options):
        segment = tcp_segment(source, target, flags, seq, ack, b"", self.window, options)
        packet = ip_packet(source[0], target[0], segment)
        self.socket.send(frame[6:12] + frame[0:6] + frame[12:14] + packet)


class Shuffler:
    """A cable between two devices of this host, on which one packet of ten is late by 5 ms."""

    def __init__(self, *devices):
        self.sockets = []
        for device in devices:
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            s.bind((device, 0))
            index = socket.if_nametoindex(device)  # PACKET_MR_PROMISC
            s.setsockopt(263, 1, struct.pack("iHH8s", index, 1, 0, b""))
            self.sockets.append(s)
        self.late = []  # (when, socket, frame)

    def run(self):
        while True:
            now = time.monotonic()
            while self.late and self.late[0][0] <= now:
                _, out, frame = self.late.pop(0)
                out.send(frame)
            wait = self.late[0][0] - now if self.late else 1
            for s in select.select(self.sockets, (), (), wait)[0]:
                frame, address = s.recvfrom(70000)
                out = self.sockets[s is self.sockets[0]]
                if address[2] == 4:  # what we sent
                    continue
                if random.random() < 0.1:
                    self.late.append((time.monotonic() + 0.005, out, frame))
                else:
                    out.send(frame)


def plain_packets(device):
    """DEVICE computes each checksum and sends each segment apart, as on a wire."""
    with socket.socket() as s:
        for command in (0x17, 0x1f, 0x24):  # ETHTOOL_STXCSUM, _STSO, _SGSO
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
            fcntl.ioctl(s, 0x8946, request)  # SIOCETHTOOL


def fill_conntrack(n):
    """N assured entries in this host's table of tracked connections, through ctnetlink."""
    def attribute(kind, data):
        size = 4 + len(data)
        return struct.pack("=HH", size, kind) + data + b"\0" * (-size % 4)

    def nested(kind, *parts):
        return attribute(kind | 0x8000, b"".join(parts))

    def tuple_of(kind, source, target, sport, dport):
        return nested(kind, nested(1, attribute(1, source), attribute(2, target)),
                      nested(2, attribute(1, b"\x11"), attribute(2, struct.pack("!H", sport)),
                             attribute(3, struct.pack("!H", dport))))

    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    netlink.bind((0, 0))
    a, b = b"\x0a\xfe\x00\x01", b"\x0a\xfe\x00\x02"
    sample = None
    batch = []
    for i in range(n):
        sport, dport = 0xabcd, 0x1234
        if sample is None:
            body = struct.pack("=BBH", socket.AF_INET, 0, 0) + \
                tuple_of(1, a, b, sport, dport) + tuple_of(2, b, a, dport, sport) + \
                attribute(3, struct.pack("!I", 0x0e)) + attribute(7, struct.pack("!I", 600))
            # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW; request, create, exclusive
            sample = struct.pack("=IHHII", 16 + len(body), 1 << 8, 0x601, 1, 0) + body
            places = [m.start() for m in re.finditer(rb"\xab\xcd\x00\x00", sample)]
            targets = [m.start() for m in re.finditer(rb"\x12\x34\x00\x00", sample)]
            message = bytearray(sample)
            assert len(places) == len(targets) == 2, (places, targets)
        for place in places:
            struct.pack_into("!H", message, place, i & 0xffff)
        for place in targets:
            struct.pack_into("!H", message, place, i >> 16)
        batch.append(bytes(message))
        if len(batch) == 256 or i == n - 1:
            netlink.send(b"".join(batch))
            batch.clear()
    netlink.close()
