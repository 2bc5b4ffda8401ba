#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet serve, get and run on links that do not end in this kernel: an interface that is there, and
memory shared with another couplet."""
import contextlib
import os
import subprocess

import world
from world import (COUPLET, MIB, Serve, Program, eventually, far_run, note, random_file, run,
                   scratch, sha256, sha256_file, url_host)

OURS = {4: "10.95.0.2", 6: "fd95::2"}
FAR = {4: "10.95.0.1", 6: "fd95::1"}
ADDRESSES = ("--address", OURS[4] + "/24", "--address", OURS[6] + "/64")
SUMS = {}


def make_files():
    SUMS["big"] = random_file(os.path.join(scratch("www"), "big"), 16 * MIB)
    SUMS["small"] = random_file(os.path.join(scratch("www"), "small"), 7)


@contextlib.contextmanager
def interface():
    """ours, here, is joined to theirs, in the far namespace, where the kernel has an address."""
    run("ip", "netns", "add", "far")
    try:
        run("ip", "link", "add", "ours", "type", "veth", "peer", "name", "theirs", "netns", "far")
        run("ip", "link", "set", "ours", "up")
        far_run("ip", "link", "set", "lo", "up")
        far_run("ip", "link", "set", "theirs", "up")
        far_run("ip", "address", "add", FAR[4] + "/24", "dev", "theirs")
        far_run("ip", "address", "add", FAR[6] + "/64", "dev", "theirs", "nodad")
        yield
    finally:
        run("ip", "netns", "del", "far")
        eventually(lambda: b"ours" not in run("ip", "link").stdout)


def serve_on(*options):
    with interface(), Serve(scratch("www"), *options, *ADDRESSES) as serve:
        for version in (4, 6):
            for name in SUMS:
                url = f"http://{url_host(OURS[version])}/{name}"
                data = far_run("curl", "-gsS", "--max-time", "30", url).stdout
                assert sha256(data) == SUMS[name], f"{url}: {len(data)} octets"
        assert "over Couplet's TCP on ours" in serve.said, serve.said


def packet():
    serve_on("--link", "packet=ours")


def packet_plain():
    serve_on("--link", "packet=ours", "--no-offload")


def packet_cores():
    serve_on("--link", "packet=ours", "--cores", "2")


# The kernel here sees what comes as well, and has no such address.
for test in (packet, packet_plain, packet_cores):
    test.tolerated = ("IpInAddrErrors", "Ip6InAddrErrors")


def can_xdp():
    with interface():
        probe = run(COUPLET, "get", "--link", "xdp=ours", *ADDRESSES, f"http://{FAR[4]}:1/",
                    ok=False)
    said = probe.stderr.decode()
    if "libxdp" in said or "CAP_" in said:
        note("not tried: " + said.strip())
        return False
    assert "nothing listens on port 1" in said, said
    return True


def xdp():
    if can_xdp():
        serve_on("--link", "xdp=ours")


@contextlib.contextmanager
def far_server():
    with interface():
        server = subprocess.Popen(["nsenter", "--net=/run/netns/far", "python3", "-m",
                                   "http.server", "--bind", "::", "-d", scratch("www"), "8000"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: far_run("curl", "-s", "http://127.0.0.1:8000/small",
                                       ok=False).returncode == 0)
            yield
        finally:
            server.kill()
            server.wait()


def get_from_far():
    with far_server():
        for version in (4, 6):
            run(COUPLET, "get", "--link", "packet=ours", *ADDRESSES, "-o", scratch("got"),
                f"http://{url_host(FAR[version])}:8000/big")
            assert sha256_file(scratch("got")) == SUMS["big"]


def run_on(link):
    """couplet run: an unmodified program on that interface."""
    with far_server():
        for version in (4, 6):
            run(COUPLET, "run", "--link", link, *ADDRESSES, "--", "curl", "-gsS", "-o",
                scratch("got"), f"http://{url_host(FAR[version])}:8000/big")
            assert sha256_file(scratch("got")) == SUMS["big"]
        done = run(COUPLET, "run", "--link", link, "--", "true", ok=False)
        assert done.returncode == 2 and b"which address is the program's" in done.stderr, done


def run_packet():
    run_on("packet=ours")


def run_xdp():
    if can_xdp():
        run_on("xdp=ours")


get_from_far.tolerated = run_packet.tolerated = packet.tolerated


def shm():
    wire = "shm=" + scratch("wire")
    with Serve(scratch("www"), "--link", wire) as serve:
        for url in ("http://10.99.0.2/big", "http://[fd99::2]/big", "http://10.99.0.2/small"):
            run(COUPLET, "get", "--link", wire, "-o", scratch("got"), url)
            assert sha256_file(scratch("got")) == SUMS[url.rsplit("/", 1)[1]], url
        assert "over Couplet's TCP on shm" in serve.said, serve.said
    assert not os.path.exists(scratch("wire"))


def shm_peer_killed():
    """A couplet that is killed in the midst of a download is a wire pulled out; the next works."""
    wire = "shm=" + scratch("wire")
    with Serve(scratch("www"), "--link", wire):
        for _ in range(3):
            get = Program(COUPLET, "get", "--link", wire, "-o", "/dev/null", "http://10.99.0.2/big")
            get.child.kill()
            get.child.wait()
        run(COUPLET, "get", "--link", wire, "-o", scratch("got"), "http://10.99.0.2/big")
        assert sha256_file(scratch("got")) == SUMS["big"]


def refusals():
    with interface():
        run("ip", "address", "add", "10.95.0.9/24", "dev", "ours")
        rows = [(("--link", "packet=ours"), 2, "which address is ours"),
                (("--link", "packet=ours", "--address", "10.95.0.9"), 3, "the kernel's own address"),
                (("--link", "packet=nowhere", *ADDRESSES), 3, "cannot find interface nowhere"),
                (("--link", "packet=ours", "--namespace", *ADDRESSES), 2, "tun or tap alone"),
                (("--address", "10.95.0.2"), 2, "an interface that is there"),
                (("--link", "packet"), 2, "of which interface"),
                (("--link", "xdp=ours:one"), 2, "no number of a queue"),
                (("--link", "string=can"), 2, "a link is tun, tap, packet="),
                (("--link", "shm=/nowhere/wire"), 3, "/nowhere/wire: No such file"),
                (("--link", "shm=" + scratch("w"), "--cores", "2"), 3, "one queue, not 2"),
                (("--link", "packet=ours", "--address", "10.95.0.2/33"), 2, "a length of 1 to 32"),
                (("--link", "packet=ours", "--address", "ten"), 2, "no IP address")]
        for options, status, words in rows:
            done = run(COUPLET, "serve", *options, scratch("www"), "--", "true", ok=False)
            assert done.returncode == status and words in done.stderr.decode(), \
                f"{options}: {done.returncode}: {done.stderr}"


world.main([
    ("files over a packet socket, with offloads", packet),
    ("files over a packet socket, without offloads", packet_plain),
    ("files over a packet socket, two cores with one address", packet_cores),
    ("files over AF_XDP", xdp),
    ("fetched over a packet socket", get_from_far),
    ("an unmodified program on a packet socket", run_packet),
    ("an unmodified program on AF_XDP", run_xdp),
    ("files between two couplets through shared memory", shm),
    ("a couplet that is killed leaves the shared memory to the next", shm_peer_killed),
    ("links that can't be had are refused in a sentence", refusals),
], prepare=make_files, tools=("curl", "nsenter"))
