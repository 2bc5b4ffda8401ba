# SPDX-License-Identifier: MIT
"""couplet doctor --peer-cmd COMMAND HOST PORT: the far host is asked as well."""
import os
import tempfile

import ground
from ground import FAR, doctor, far_machine, healthy, ill, listener, nft, serve, socket

SHORT = ("--timeout", 1.3)


def hidden(command="nsenter --net={}"):
    """Lets the machine far out of sight; the words with which the doctor asks it all the same."""
    place = os.path.join(tempfile.mkdtemp(), "far")
    ground.write(place, "")
    ground.run("mount", "--bind", "/run/netns/far", place)
    os.environ["PATH"] = os.path.dirname(ground.COUPLET) + ":" + os.environ["PATH"]
    away = ["unshare", "-mpf", "--mount-proc", "sh", "-c",
            "umount -l /run/netns/far /run/netns; mount -t tmpfs none /run; exec \"$0\" \"$@\""]
    ground.DOCTOR[:0] = away
    return ["--peer-cmd", command.format(place)]


def without_a_peer_the_far_host_is_not_seen():
    far_machine()
    listener("127.0.0.1", 7001, "far")
    hidden()
    told = ill(doctor(FAR[4], 7001), "SYN", "syn_refused")
    assert "another machine" in told.unseen, told


def what_the_far_host_knows():
    far_machine()
    listener("127.0.0.1", 7001, "far")
    listener("::1", 7002, "far")
    listener("::", 7003, "far")
    ask = hidden()
    host = os.uname().nodename
    for version in 4, 6:
        told = ill(doctor(*ask, FAR[version], 7000), "SYN", "no_listener")
        assert f"on {host}" in told.evidence, told
    told = ill(doctor(*ask, FAR[4], 7001), "SYN", "listener_other_address")
    assert f"on {host} listens on 127.0.0.1:7001" in told.evidence, told
    ill(doctor(*ask, FAR[4], 7002), "SYN", "listener_other_address")
    ill(doctor(*ask, FAR[4], 7003), "SYN", "listener_other_family")


def a_queue_that_is_full_over_there():
    far_machine()
    listener(FAR[4], 7001, "far", backlog=1)
    for _ in range(4):
        s = ground.hold(socket.socket())
        s.setblocking(False)
        s.connect_ex((FAR[4], 7001))
    ask = hidden()
    told = ill(doctor(*ask, *SHORT, FAR[4], 7001), "SYN", "accept_queue_full")
    assert "2 connections wait" in told.evidence, told


def a_firewall_between_here_and_there():
    far_machine()
    listener(FAR[4], 7001, "far")
    listener(FAR[4], 7002, "far")
    nft("far", "input", "tcp dport 7001 drop", "tcp dport 7002 reject with tcp reset")
    ask = hidden()
    told = ill(doctor(*ask, *SHORT, FAR[4], 7001), "SYN", "syn_dropped")
    assert "does listen on" in told.evidence, told
    told = ill(doctor(*ask, FAR[4], 7002), "SYN", "syn_refused")
    assert "not its own" in told.evidence, told


def what_the_program_there_has_not_read():
    far_machine()
    serve(FAR[4], 80, ground.keep, "far")
    serve(FAR[4], 81, ground.http, "far")
    ask = hidden()
    told = ill(doctor(*ask, FAR[4], 80), "program reads", "no_answer")
    assert "Recv-Q" in told.evidence, told
    assert told.json["findings"][0]["y"]["local"] == "10.1.0.2:80", told
    told = healthy(doctor(*ask, "--probe-data", FAR[4], 81))
    assert "the other end" in told.text["handshake"], told


def a_peer_that_cannot_be_asked():
    far_machine()
    told = ill(doctor("--peer-cmd", "exit 1;", FAR[4], 7001), "SYN", "no_listener")
    hidden()
    told = ill(doctor("--peer-cmd", "exit 1;", FAR[4], 7001), "SYN", "syn_refused")
    assert "far host" in told.unseen, told
    told = ill(doctor("--peer-cmd", "", FAR[4], 7001), "SYN", "syn_refused")
    assert "none of its addresses" in told.unseen, told


CASES = (what_the_program_there_has_not_read, without_a_peer_the_far_host_is_not_seen,
         what_the_far_host_knows, a_queue_that_is_full_over_there,
         a_firewall_between_here_and_there, a_peer_that_cannot_be_asked)
