#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every value that ss(8) -tani tells of a connection, against the snapshot of couplet: connections
at rest, stopped readers, segments that get lost, closed ends; in a network namespace of their own."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import inside  # noqa: E402
from inside import COUPLET, INSIDE, attempt, tell  # noqa: E402

HELD = []
CLOCKS = {"lastsnd": "last_sent", "lastrcv": "last_received", "lastack": "last_ack"}


def ms(text):
    """"204" or "0.017" as nanoseconds."""
    return round(float(text) * 1e6)


def bits(text):
    """"1200bps" as bytes a second."""
    return int(text[:-3]) // 8


def cut(text):
    """A size that 16 bits may not hold: IPv6 over the loopback has an MTU of 65,536."""
    return min(int(text), 65535)


# word of ss: (field of ours, how to read ss's value)
WORDS = {
    "rto": ("rto", ms), "pmtu": ("pmtu", cut), "mss": ("snd_mss", int),
    "rcvmss": ("rcv_mss_est", int), "advmss": ("rcv_mss", int), "backoff": ("backoff", int),
    "bytes_sent": ("bytes_sent", int), "bytes_retrans": ("bytes_retrans", int),
    "segs_out": ("segs_out", int), "segs_in": ("segs_in", int),
    "data_segs_out": ("data_segs_out", int), "data_segs_in": ("data_segs_in", int),
    "notsent": ("not_sent", int), "minrtt": ("rtt_min", ms), "snd_wnd": ("snd_wnd", int),
    "reordering": ("reordering", int), "dsack_dups": ("dsack_dups", int), "ino": ("inode", int),
    "pacing_rate": ("pacing_rate", bits), "delivery_rate": ("delivery_rate", bits),
}


def parse(line):
    """One line of ss -tanieOmH as {field of ours: value}, and the clocks apart."""
    words = line.split()
    local, remote = (int(end.rsplit(":", 1)[1]) if end[-1] != "*" else 0 for end in words[3:5])
    listening = words[0] == "LISTEN"
    names = ("accept_queue", "backlog") if listening else ("recv_queue", "send_queue")
    told = {"local_port": local, "remote_port": remote,
            names[0]: int(words[1]), names[1]: int(words[2])}
    clocks = {}
    options = set(words[5:])
    for at, word in enumerate(words[5:], 5):
        name, _, value = word.partition(":")
        if name in ("pacing_rate", "delivery_rate") and not value:
            value = words[at + 1]
        if name in CLOCKS:
            clocks[CLOCKS[name]] = int(value) * 10**6
        elif name == "wscale":
            told["snd_wscale"], told["rcv_wscale"] = map(int, value.split(","))
        elif name == "rtt":
            told["srtt"], told["rttvar"] = map(ms, value.split("/"))
        elif name == "retrans":
            told["retrans"] = int(value.split("/")[1])
        elif name == "sk":
            told["id"] = int(value, 16)
        elif name == "skmem":
            found = dict(re.findall(r"([a-z]+)(\d+)", value))
            told.update(recv_buffer=int(found["rb"]), send_buffer=int(found["tb"]),
                        drops=int(found["d"]))
            if not listening:
                told.update(recv_memory=int(found["r"]), send_memory=int(found["w"]))
        elif name in WORDS and value:
            field, read = WORDS[name]
            told[field] = read(value)
        elif name == "cwnd" and not listening:
            told["cwnd"] = int(value) * int(re.search(r" mss:(\d+)", line)[1])
        elif name == "ssthresh":
            told["ssthresh"] = int(value) * int(re.search(r" mss:(\d+)", line)[1])
    if words[0] == "ESTAB":
        told["options"] = (1 if "wscale" in line else 0) | (2 if "ts" in options else 0) \
            | (4 if "sack" in options else 0)
        told["cc_name"] = next(w for w in words if w in ("cubic", "reno", "bbr", "dctcp"))
    return (local, remote), told, clocks


def ss():
    out = subprocess.run(["ss", "-tanieOmH"], text=True, capture_output=True, check=True).stdout
    return {key: (told, clocks) for key, told, clocks in map(parse, out.splitlines())}


def couplet():
    done = subprocess.run([COUPLET, "netstat", "-at", "--json"], text=True, capture_output=True,
                          timeout=20)
    assert done.returncode == 0, done.stderr
    return {(i["local_port"], i["remote_port"]): i for i in json.loads(done.stdout)["snapshots"]}


def differences(before, ours, after):
    """What ss and couplet tell apart; clocks stand between those of the two looks of ss."""
    for key, (told, clocks) in before.items():
        if key not in ours or key not in after:
            yield f"{key[0]}-{key[1]} came or went"
            continue
        for field, value in told.items():
            got = ours[key].get(field)
            # 0 is not told where it means "not known"
            if got != value and not (value == 0 and got is None):
                yield f"{key[0]}-{key[1]} {field}: {got}, ss {value}"
        for field, value in clocks.items():
            got, later = ours[key].get(field), after[key][1].get(field, 0)
            if got is not None and not value - 10**7 <= got <= later + 10**7:
                yield f"{key[0]}-{key[1]} {field}: {got}, ss {value} to {later}"


def agree(at_least):
    """Equal at one moment: what moves by itself moves between two looks of ss as well."""
    for _ in range(30):
        before, ours, after = ss(), couplet(), ss()
        wrong = list(differences(before, ours, after))
        if not wrong and len(before) >= at_least:
            return ours
        still = {k: v[0] for k, v in before.items()} == {k: v[0] for k, v in after.items()} and \
            all(after[k][1].get(f, 0) >= t for k, v in before.items() for f, t in v[1].items())
        assert not (wrong and still), "\n".join(wrong)
        time.sleep(0.05)
    raise AssertionError("\n".join(wrong) or f"only {len(before)}")


# ---- What there is to see -------------------------------------------------------------------

def pair(port, family=socket.AF_INET):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((host, port))
    server.listen(4)
    client = socket.create_connection((host, port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    HELD.extend((server, client, server.accept()[0]))
    return HELD[-2:]


def at_rest():
    c, s = pair(5001)
    c.send(b"x" * 5000)
    s.send(b"y" * 300)
    s.recv(1000)
    pair(5002, socket.AF_INET6)
    c, s = pair(5003)
    for _ in range(40):
        c.sendall(b"z" * 30000)
        s.recv(30000, socket.MSG_WAITALL)
    time.sleep(0.3)
    seen = agree(9)
    assert seen[5001, seen_port(seen, 5001)]["recv_queue"] == 4000


def seen_port(seen, port):
    return next(remote for local, remote in seen if local == port and remote)


def a_stopped_reader():
    c, s = pair(5004)
    reader = os.fork()
    if reader == 0:
        while s.recv(65536):
            pass
        os._exit(0)
    try:
        c.send(b"x" * 200000)
        time.sleep(0.1)
        os.kill(reader, signal.SIGSTOP)
        c.setblocking(False)
        try:
            while True:
                c.send(b"y" * 65536)
        except BlockingIOError:
            pass
        time.sleep(0.5)
        seen = agree(3)
        mine = seen[c.getsockname()[1], 5004]
        assert mine["not_sent"] > 0 and mine["why"] in ("zero-wnd", "rwnd"), mine
    finally:
        os.kill(reader, signal.SIGKILL)
        os.waitpid(reader, 0)


def segments_that_get_lost():
    c, s = pair(5005)
    c.send(b"x" * 100)
    s.recv(100)
    for rule in ("add table ip lose",
                 "add chain ip lose in { type filter hook input priority 0 ; }",
                 "add rule ip lose in tcp dport 5005 meta length gt 500 drop"):
        subprocess.run(["nft", rule], check=True)
    try:
        for _ in range(4):
            c.send(b"y" * 1000)
        time.sleep(0.8)
        seen = agree(3)
        mine = seen[c.getsockname()[1], 5005]
        assert mine["retrans"] >= 1 and mine["in_flight"] == 4000, mine
    finally:
        subprocess.run(["nft", "delete", "table", "ip", "lose"], check=True)


def closed_ends():
    c, _ = pair(5006)
    c.send(b"x" * 10)
    c.shutdown(socket.SHUT_WR)
    c, s = pair(5007)
    c.close()
    time.sleep(0.05)
    s.close()
    time.sleep(0.2)
    seen = agree(3)
    assert {i["state"] for i in seen.values()} >= {"FIN-WAIT-2", "CLOSE-WAIT", "TIME-WAIT"}, \
        {i["state"] for i in seen.values()}


TESTS = [at_rest, a_stopped_reader, segments_that_get_lost, closed_ends]


def main():
    failed = False
    if not couplet_has_json():
        inside.skip("couplet was built without JSON")
    print(f"1..{len(TESTS)}", flush=True)
    for number, function in enumerate(TESTS, 1):
        failed |= tell(number, function, attempt(function), "ss tells the same of ")
        while HELD:
            HELD.pop().close()
    sys.exit(failed)


def couplet_has_json():
    return subprocess.run([COUPLET, "netstat", "--json"], capture_output=True).returncode == 0


if __name__ == "__main__":
    if INSIDE:
        main()
    else:
        inside.enter(__file__, "ss", "nft")
