#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Both halves of a connection seen from outside while it runs, and its packets in a capture."""
import json
import os
import re
import shutil
import socket
import time

import world
from world import (COUPLET, LINKS, MIB, OURS, Peer, Program, Serve, curl, eventually, note,
                   random_file, run, scratch, url_host)


def make_files():
    random_file(scratch("www/big"), 24 * MIB)
    random_file(scratch("www/small"), 3000)


def url(path, version=4):
    return f"http://{url_host(OURS[version])}/{path}"


class Download(Program):
    """curl in mid-transfer, which has a while to go, also on a busy machine."""

    def __init__(self, version=4):
        super().__init__("curl", "-gsS", "--limit-rate", "400k", "-o", "/dev/null",
                         url("big", version))
        self.rows = eventually(self.both)

    @staticmethod
    def both():
        """The row of each end, ours first, once what we send waits: curl is slower."""
        found = sorted(rows(":80 and established"), key=lambda row: row[-2])
        ready = len(found) == 2 and int(found[0][2]) > 0 and found[1][-1] != "-"
        return found if ready else None


def rows(*filters):
    done = run(COUPLET, "netstat", "-np", "--source", *filters)
    return [line.split() for line in done.stdout.decode().splitlines()[1:]]


def snapshots(name):
    return json.loads(run(COUPLET, "show", "--json", name).stdout)["snapshots"]


def netstat_sees_both():
    for version in (4, 6):
        with Serve(scratch("www"), "-q") as serve, Download(version) as download:
            ours, theirs = download.rows
            assert ours[3:5] == theirs[4:2:-1], (ours, theirs)  # the same two addresses
            assert ours[3] == f"{url_host(OURS[version])}:80" or version == 6, ours
            assert ours[-3:] == ["couplet", f"{serve.pid}/couplet", "serve"] or \
                ours[-2] == "couplet", ours
            assert theirs[-2:] == ["kernel", f"{download.pid}/curl"], theirs
            listening = rows("-l", ":80")
            assert len(listening) == 1 and "LISTEN" in listening[0], listening
            overview = run(COUPLET).stdout.decode()
            assert re.search(r"^here +2 TCP connections, 1 listener.*; 2 of Couplet's", overview,
                             re.M), overview


def show_opens_both():
    with Serve(scratch("www"), "-q") as serve, Download():
        ours, = snapshots(f"pid:{serve.pid} and established")
        theirs, = snapshots("program = curl")
        for field, other in (("local_port", "remote_port"), ("remote_port", "local_port"),
                             ("local_addr", "remote_addr"), ("snd_wscale", "rcv_wscale"),
                             ("rcv_wscale", "snd_wscale")):
            assert ours[field] == theirs[other], (field, ours[field], theirs[other])
        assert ours["state"] == theirs["state"] == "ESTABLISHED"
        # Two looks at the kernel's end around one at ours: what moves has moved forward.
        for _ in range(10):
            before, = snapshots("program = curl")
            ours, = snapshots(f"pid:{serve.pid} and established")
            after, = snapshots("program = curl")
            assert before["bytes_received"] <= ours["bytes_sent"]
            assert ours["bytes_acked"] <= after["bytes_received"]
            assert ours["bytes_received"] == after["bytes_sent"]
        for field in ("iss", "irs", "snd_una", "snd_nxt", "rcv_nxt", "cwnd", "srtt", "rto"):
            assert field in ours, field
        assert (ours["snd_nxt"] - ours["snd_una"]) % 2**32 <= ours["send_queue"]
        text = run(COUPLET, "show", f"pid:{serve.pid} and established").stdout.decode()
        assert re.search(r"timer_(rexmt|persist) +\d", text) or re.search(r"why +(rwnd|idle|cwnd)", text), \
            text


def counters_agree():
    """When all is over: what one end has counted as sent, the other has as received."""
    with Peer("listen", "5001") as peer:
        with socket.create_connection((OURS[4], 5001), 10) as s:
            s.sendall(b"u" * 123456)
            peer.stdin.write(b"d" * 77777)
            peer.stdin.flush()
            assert len(world.receive_all(s, 77777)) == 77777
            got = 0
            while got < 123456:
                got += len(os.read(peer.stdout.fileno(), MIB))
            time.sleep(0.3)  # the last ACKs
            ours, = snapshots(f"pid:{peer.pid} and established")
            theirs, = snapshots(f"pid:{os.getpid()} and established")
            for one, other in ((ours, theirs), (theirs, ours)):
                assert one["bytes_sent"] == one["bytes_acked"] == other["bytes_received"]
                assert one["send_queue"] == 0 and one["recv_queue"] == 0


# ---- Captures ---------------------------------------------------------------------------------

def traffic(version):
    curl("-o", "/dev/null", url("small", version), url("nothing", version))
    with Program("curl", "-gsS", "--limit-rate", "4M", "-o", "/dev/null", url("big", version)):
        time.sleep(0.1)  # and killed
    run("ip", "neigh", "flush", "all", ok=False)
    curl("-o", "/dev/null", "-r", "0-1000000", url("big", version))


def captures():
    """tcpdump finds every checksum right, TCP's, UDP's, ICMP's, and every packet whole."""
    for name in ("TUN without offload", "TAP without offload"):
        path = scratch("packets.pcapng")
        with Serve(scratch("www"), "-q", "--pcapng", path, *LINKS[name]):
            for version in (4, 6):
                traffic(version)
        done = run("tcpdump", "-r", path, "-nvvv", "-#")
        # The kernel's solicitations for its own address carry a nonce, which tcpdump does not know.
        text = done.stdout.decode(errors="replace").replace("unknown option (14)", "nonce")
        packets = len(re.findall(r"^ *\d+  ", text, re.M))
        good = len(re.findall(r"\(correct\)", text))
        note(f"{name}: {packets} packets, {good} TCP checksums right")
        assert packets > 1500 and good > 1500, (packets, good)
        for word in ("incorrect", "bad cksum", "truncated", "[|", "invalid", "bad hdr", "unknown"):
            where = text.find(word)
            assert where < 0, text[max(0, where - 500):where + 100]
        for flags in (r"\[S\]", r"\[S\.\]", r"\[F\.\]", r"\[R\.?\]", r"\[P\.\]"):
            assert re.search(r"Flags " + flags, text), flags
        assert ("ARP" in text) == name.startswith("TAP") and "IP6" in text
        with_tshark(path)
        assert re.search(r"mss 1460.*sackOK.*TS val.*wscale", text), "options of a SYN"


# An ICMPv6 error of the kernel to itself: the neighbour to which its RST goes (it has killed curl)
# is gone by then, and there is no socket that has asked.
captures.tolerated = ("Icmp6InErrors",)


def with_tshark(path):
    """Where it is installed: nothing malformed, no checksum that is wrong. The kernel sends 0xffff
    where the sum is 0, as UDP does, which tshark does not like; we, on port 80, do not."""
    if not shutil.which("tshark"):
        return
    done = run("tshark", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o",
               "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y",
               "(tcp.checksum.status == 0 and not (tcp.checksum == 0xffff and tcp.dstport == 80)) "
               "or udp.checksum.status == 0 or ip.checksum.status == 0 "
               "or icmp.checksum.status == 0 or icmpv6.checksum.status == 0 or _ws.malformed")
    assert done.stdout == b"", done.stdout[:1000]
    note("tshark agrees")


def captures_with_offload():
    """Super-segments as they passed the device: one frame each, the payload complete."""
    path = scratch("packets.pcapng")
    with Serve(scratch("www"), "-q", "--pcapng", path):
        curl("-o", "/dev/null", url("big"))
    text = run("tcpdump", "-r", path, "-n", "tcp src port 80").stdout.decode()
    lengths = [int(n) for n in re.findall(r"length (\d+)", text)]
    assert max(lengths) > 20000, max(lengths)
    assert sum(lengths) >= 24 * MIB


TESTS = [("netstat sees both ends", netstat_sees_both), ("show opens both", show_opens_both),
         ("the counters of both ends agree", counters_agree), ("captures", captures),
         ("captures with offload", captures_with_offload)]

if __name__ == "__main__":
    world.main(TESTS, make_files, tools=("curl", "tcpdump"))
