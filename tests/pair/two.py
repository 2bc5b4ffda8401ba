#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""couplet pair over two machines: through a peer, by ssh, from files, through a translator."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pairs as shared
from pairs import (ROOT, SOAK, Connection, couplet, end, eventually, join, machine, main, pairs,
                   run, sees_numbers)


def peer(host):
    return ["--peer-cmd", join(machine(host)), "--peer-couplet", shared.COUPLET]


def healthy(world):
    a, b = world.two("m")
    connections = [Connection(world, a, b) for _ in range(3)]
    for connection in connections:
        connection.talk()
    for here, there in ((a, b), (b, a)):
        said = couplet("pair", *peer(there), "--all", before=machine(here))
        said.has("3 connections: 3 OK.").lacks("other machines")
        said.has(f"{end(connections[0].here)} m-a", f"{end(connections[0].there)} m-b")
        said = couplet("pair", *peer(there), f":{connections[1].here[1]}", before=machine(here))
        said.has(f"client {end(connections[1].here)} in m-a", "OK: client and server each have all")
    found, _ = pairs(*peer(b), "--all", before=machine(a))
    assert {(p["x_where"], p["y_where"], p["verdict"]) for p in found} == {("m-a", "m-b", "ok")}, found


def half_open(world):
    a, b = world.two("m")
    died = Connection(world, a, b)
    died.talk()
    b.nft(f"output: tcp sport {died.port} drop")
    died.server.do("abort", died.s)
    for here, there in ((a, b), (b, a)):
        said = couplet("pair", *peer(there), "--all", before=machine(here), status=1)
        said.has("1 connection: 1 disagree for good", "client holds half of a connection; "
                 "server only listens and has no block for it")


def forged(world):
    a, b = world.two("m")
    connection = Connection(world, a, b)
    connection.talk()
    connection.forge(b"INJECTED!!")
    eventually(lambda: connection.server.do("readable", connection.s) == 10)
    couplet("pair", *peer(b), "--all", before=machine(a), status=1).has(
        "server has received 10 bytes that client never sent")


def busy(world):
    """No alarm, whatever is under way, and however far the looks are apart."""
    n = 200 if SOAK else 50
    a, b = world.two("m")
    client, server = world.program(a, "client"), world.program(b, "server")
    listener, port = server.do("listen", b.address[4], backlog=1024)
    ends = [(client.do("connect", b.address[4], port), server.do("accept", listener))
            for _ in range(n)]
    for program, which in ((client, 0), (server, 1)):
        numbers = [e[which] for e in ends]
        program.do("background", "bustle", numbers, numbers)
    behind = 0
    for _ in range(100 if SOAK else 3):
        said = couplet("pair", *peer(b), "--all", before=machine(a))
        said.has(f"{n} connections: ").lacks("disagree", "stuck", "not seen")
        behind += "behind" in said.out
    assert behind or not SOAK


# ---- Peers that fail ----------------------------------------------------------------------------

def bad_peers(world):
    del world
    greet = "echo couplet-snap 1; "
    for command, sentence in (
            ("echo Welcome;", "the far end said \"Welcome\" where couplet would greet"),
            ("exit 3;", "the far end ended (exit status 3) before it answered"),
            ("exec /no/such/program", "the far end has no such command: is couplet installed there"),
            ("kill -9 $$;", "the far end was killed"),
            ("sleep 60;", "the far end has said nothing for 300.0 ms"),
            (greet + "sleep 60;", "the far end has said nothing for 300.0 ms"),
            (greet + "exit 0;", "the far end ended (exit status 0) before it answered"),
            (greet + "echo error it is too dark; read x;", "the far end could not look: it is too "
             "dark"),
            (greet + "echo snapshot 99999999999999; read x;", "of less than 512 MiB"),
            (greet + "echo snapshot -1; read x;", "would announce a snapshot"),
            (greet + "echo snapshot 3; echo; echo; echo; read x;", "the far end's snapshot is "
             "refused: "),
            (greet + "echo snapshot 2; echo '{}'; read x;", "the far end's snapshot is refused: "
             "this is no snapshot file of couplet"),
            (greet + "echo snapshot 20; echo '{}'; sleep 60;", "said nothing for"),
            (greet + "head -c 100000 /dev/zero; read x;", "where couplet would announce"),
            ("head -c 100000 /dev/urandom;", "the far end"),
            ("printf 'couplet-snap 1\\nerror \\033[31mred\\n'; read x;", "could not look: ?[31mred")):
        started = time.monotonic()
        said = couplet("pair", "--peer-cmd", command, "--peer-timeout", "0.3", "--all", status=3)
        said.has(sentence)
        assert said.err.count("couplet pair:") == 1, said
        assert "\033" not in said.err and time.monotonic() - started < 3, said
    # whatever hung is not left behind
    assert "sleep 60" not in run("ps", "ax").stdout


def served(world):
    """What is asked for is answered, and nothing else."""
    a, _ = world.two("m")
    child = subprocess.Popen([*machine(a), shared.COUPLET, "snap", "--serve"], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == "couplet-snap 1\n"
    for request in ("pass\n", "what\n", "pass owners\n", "x" * 200 + "\n"):
        child.stdin.write(request)
        child.stdin.flush()
        line = child.stdout.readline()
        if request.startswith("pass"):
            word, length = line.split()
            document = json.loads(child.stdout.read(int(length)))
            assert word == "snapshot" and document["host"] == "m-a", document
            assert document["addresses"] and document["boot"], document
        else:
            assert line.startswith("error "), line
    child.stdin.close()
    assert child.wait(10) == 0
    child.stdout.close()


def by_ssh(world):
    """With a real sshd."""
    sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
    if not ROOT:
        return "sshd needs root"
    if not sshd or not shutil.which("ssh"):
        return "openssh-server is not installed"
    a, b = world.two("m")
    connection = Connection(world, a, b)
    connection.talk()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name],
                       check=True)
    here = os.getcwd()
    with open("sshd.conf", "w") as file:
        file.write(f"HostKey {here}/host\nAuthorizedKeysFile {here}/user.pub\nStrictModes no\n"
                   "PermitRootLogin yes\nUsePAM no\nPidFile none\nPasswordAuthentication no\n")
    with open("ssh.conf", "w") as file:
        file.write(f"IdentityFile {here}/user\nStrictHostKeyChecking no\n"
                   "UserKnownHostsFile /dev/null\nLogLevel ERROR\n")
    before = machine(b)
    script = before.index("-c") + 1
    before[script] = before[script].replace("exec", "mkdir -p /run/sshd; exec")
    with running([*before, sshd, "-D", "-e", "-f", f"{here}/sshd.conf"], b, 22):
        subprocess.run(["mount", "--bind", "ssh.conf", "/etc/ssh/ssh_config"], check=True)
        try:
            said = couplet("pair", "--peer", f"ssh:root@{b.address[4]}", "--peer-couplet",
                           shared.COUPLET, f":{connection.port}", before=machine(a))
            said.has(" in m-b", "OK: client and server each have all that the other sent")
            couplet("pair", "--peer", f"ssh:root@{b.address[4]}", "--all", before=machine(a),
                    status=3).has("is couplet installed there?")
            couplet("pair", "--peer", f"ssh:nobody@{b.address[4]}", "--all", before=machine(a),
                    status=3).has("This account is currently not available", "would greet")
        finally:
            subprocess.run(["umount", "/etc/ssh/ssh_config"], check=True)
    return None


@contextlib.contextmanager
def running(argv, host, port):
    """A server in the with block."""
    child = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: any(r["state"] == "LISTEN" and r["here"].endswith(f":{port}")
                               for r in host.tcp()))
        yield
    finally:
        child.kill()
        child.wait()


# ---- Files --------------------------------------------------------------------------------------

def snap(host, name, *options):
    couplet("snap", *options, "-o", os.path.abspath(name), before=machine(host))
    with open(name) as file:
        return json.load(file)


def one_look_each(world):
    a, b = world.two("m")
    connections = [Connection(world, a, b) for _ in range(3)]
    for connection in connections:
        connection.talk()
    first = snap(a, "a.json")
    snap(b, "b.json")
    assert first["host"] == "m-a" and a.address[4] in first["addresses"], first
    said = couplet("pair", "a.json", "b.json")
    said.has("3 connections: 3 OK.", "One look at each, not of one instant")
    said.has("m-a", "m-b")
    couplet("pair", "a.json", "b.json", f":{connections[2].here[1]}").has("OK: ", "(likely)")
    couplet("pair", "a.json").has("0 connections.", "3 more lead to other machines")
    # What was sent between the two looks is no trouble, and not called healthy.
    connections[0].talk(100, 100)
    connections[0].client.do("send", connections[0].c, 10)
    snap(b, "b.json")
    said = couplet("pair", "a.json", "b.json")
    said.has("1 not seen", "2 OK").lacks("disagree")
    couplet("pair", "a.json", "b.json", f":{connections[0].here[1]}").has(
        "not told by two looks of different times")
    # Nor what was opened and closed.
    connections[1].client.do("close", connections[1].c)
    connections[1].server.do("close", connections[1].s)
    snap(b, "b.json")
    couplet("pair", "a.json", "b.json").lacks("disagree")


def looks_that_overlap(world):
    a, b = world.two("m")
    connections = [Connection(world, a, b) for _ in range(3)]
    for connection in connections:
        connection.talk()
    connections[1].forge(b"INJECTED!!")
    children = [subprocess.Popen([*machine(h), shared.COUPLET, "snap", "--passes=1.4", "-o",
                                  os.path.abspath(f"{h.name}.json")]) for h in (a, b)]
    assert [child.wait() for child in children] == [0, 0]
    said = couplet("pair", "m-a.json", "m-b.json", status=1)
    said.has("3 connections: 1 disagree for good; 2 OK.", "server has received 10 bytes that client "
             "never sent", "The looks of the two machines overlap by their clocks: the verdicts hold "
             "if those agree to within ")
    # Two looks that do not overlap prove no more than one each.
    with open("m-b.json") as file:
        document = json.load(file)
    document["when"] += 3600 * 10 ** 9
    with open("m-b.json", "w") as file:
        json.dump(document, file)
    couplet("pair", "m-a.json", "m-b.json").has("1 not seen", "One look at each").lacks("disagree")


def one_machine_twice(world):
    a, b = world.two("m")
    connection = Connection(world, a, a, address=a.address[4])
    connection.talk()
    connection.forge(b"INJECTED!!")
    snap(a, "one.json")
    snap(a, "two.json")
    for order in (("one.json", "two.json"), ("two.json", "one.json")):
        couplet("pair", *order, status=1).has("server has received 10 bytes", "1 connection: 1 ")
    snap(a, "both.json", "--passes")
    couplet("pair", "both.json", status=1).has("server has received 10 bytes")
    couplet("pair", "one.json").has("1 connection: 1 not seen", "One look")


def hostile_files(world):
    del world
    for text, sentence in (
            ("", "line 1, column 0"),
            ("[]", "no snapshot file of couplet"),
            ("{\"couplet\": 2}", "no snapshot file of couplet"),
            ("{\"couplet\": 99, \"snapshots\": []}", "snapshots of version 99"),
            ("{\"couplet\": 2, \"snapshots\": [7]}", "snapshot 1 is no object"),
            ("{\"couplet\": 2, \"host\": 7, \"snapshots\": []}", "\"host\" should be a text"),
            ("{\"couplet\": 2, \"host\": \"%s\", \"snapshots\": []}" % ("x" * 100), "\"host\""),
            ("{\"couplet\": 2, \"addresses\": [\"x\"], \"snapshots\": []}", "no IP address"),
            ("{\"couplet\": 2, \"when\": -1, \"snapshots\": []}", "\"when\""),
            ("{\"couplet\": 2, \"snapshots\": [], \"again\": 3}", "\"again\" should be a list"),
            ("{\"couplet\": 2, \"snapshots\": [], \"passes\": [{\"began\": 2, \"ended\": 1}]}",
             "one after the other"),
            ("[" * 100000, "line 1"),
            ("{\"couplet\": 2, \"snapshots\": [{\"state\": \"\\u001b[31m\"}]}", "state")):
        with open("hostile.json", "w") as file:
            file.write(text)
        said = couplet("pair", "hostile.json", status=3).has("hostile.json: ", sentence)
        assert len(said.err.splitlines()) == 1 and "\033" not in said.err, said
    couplet("pair", "missing.json", status=3).has("missing.json: No such file or directory")
    with open("odd.json", "w") as file:  # a host with a name to dress the terminal
        file.write("{\"couplet\": 2, \"host\": \"\\u001b[31m\", \"snapshots\": []}")
    assert "\033" not in couplet("pair", "odd.json").out


# ---- Through a translator -----------------------------------------------------------------------

def translator(world):
    """Each connection with its own other end, and none with another's."""
    if not sees_numbers():
        return "sequence numbers are not told to this user"
    n = 1000 if SOAK else 100
    a, r, b = world.three("n")
    r.nft("nat postrouting: oifname \"%s\" ip saddr %s/24 tcp sport 0-65535 masquerade to "
          ":20000-21999" % (r.device[1], a.address[4]))
    client, server = world.program(a, "client"), world.program(b, "server")
    listener, port = server.do("listen", b.address[4], backlog=1024)
    wanted = {}
    for i in range(n):
        c = client.do("connect", b.address[4], port)
        s = server.do("accept", listener)
        client.do("send", c, 1 + i * 7 % 900)
        if i % 3 == 0:
            server.do("send", s, 1 + i * 13 % 700)
        seen = server.do("ends", s)[1]
        wanted[client.do("ends", c)[0][1]] = seen[1]
        assert seen[0] != a.address[4], seen
    # over two machines, and in the namespaces of one
    for argv, before in ((peer(b), machine(a)), ((), ())):
        found, _ = pairs(*argv, "--all", before=before)
        paired = [p for p in found if p["y"]]
        right = [p for p in paired if wanted[p["x"]["local_port"]] == p["y"]["remote_port"]]
        assert len(paired) == len(right), f"{len(paired) - len(right)} wrong of {len(paired)}"
        assert len(right) >= n * 0.999, f"{len(right)} of {n}"
        assert all(p["paired_by"] == "sequence" and p["verdict"] == "ok" for p in right), right[:1]
    one = couplet("pair", *peer(b), f":{min(wanted)}", before=machine(a))
    one.has("a translator (NAT) stands between", "OK: ")
    return None


main([
    ("both ends by a peer, from either side", healthy),
    ("half a connection over two machines", half_open),
    ("forged bytes over two machines", forged),
    ("no false alarm over two machines", busy),
    ("a peer that talks nonsense, dies or hangs", bad_peers),
    ("what couplet snap --serve answers", served),
    ("a peer by ssh", by_ssh),
    ("one look at each of two machines", one_look_each),
    ("looks that overlap by the clocks", looks_that_overlap),
    ("two looks at one machine", one_machine_twice),
    ("hostile files are refused", hostile_files),
    ("through a translator by sequence numbers", translator),
])
